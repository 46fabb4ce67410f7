//! Carries out what a [`Run`] decides: the only place of the engine with a clock, tasks and a disk.
//!
//! ```text
//! let (switch, aborts) = abort_switch();           // hand `switch` to the signal handler, the halt file's watcher
//! let outcome = drive(experiment, Environment { identity, instruments, links, journal, watch, approver, aborts }).await;
//! ```
//!
//! One loop owns the run. It waits for a second to pass, a reply, an abort, and never for anything that could hang:
//! each probe, metric source and call to the agent is a task of its own with a time limit, the journal is written by
//! a task of its own, the agent hears from us on a task of its own. A second's sample takes what is in hand; a source
//! that has not answered within its patience is unreadable. So the guard looks every second, whatever hangs.
//!
//! Run it on a runtime of several threads, as the root future (`block_on`): the loop then has the calling thread for
//! itself, and even a probe that blocks its thread cannot hold up the guard.
//!
//! Dropping the future of [`drive`] lets go of the agent, which puts everything back.

mod agents;
mod instruments;
mod scribe;

use crate::approval::{Approval, Approver};
use crate::checks::LONGEST_ERROR;
use crate::journal::Sink;
use crate::link::Links;
use crate::load::RunningLoad;
use crate::method::servers;
use crate::record::Sample;
use crate::run::{Identity, Input, Output, Run};
use crate::words;
use agents::{Agents, Linked};
use instruments::{Given, Sources, Toolbox};
use jiff::Timestamp;
use scribe::Scribe;
use squall_model::event::{AbortCause, Entry, Event};
use squall_model::experiment::Experiment;
use squall_model::probe::Pending;
use squall_model::redaction::Redactor;
use squall_model::verdict::Verdict;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

pub use instruments::Instruments;

/// How often metrics are sampled and the guard looks.
const TICK: Duration = Duration::from_secs(1);

/// What a run is carried out with.
pub struct Environment {
    /// Who carries out what.
    pub identity: Identity,
    /// Makes probes, metric sources and loads.
    pub instruments: Box<dyn Instruments>,
    /// Starts agents; unused where the method has no fault.
    pub links: Arc<dyn Links>,
    /// Where the journal is written.
    pub journal: Box<dyn Sink>,
    /// Is shown every entry of the journal as it happens. Must not block.
    pub watch: Box<dyn FnMut(&Entry) + Send>,
    /// Is asked whether the plan is to be carried out; it is without further ado where nobody is.
    pub approver: Option<Box<dyn Approver>>,
    /// The other end of an [`AbortSwitch`].
    pub aborts: Aborts,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// In one word.
    pub verdict: Verdict,
    /// Why; the first is the most important.
    pub reasons: Vec<String>,
    /// Whether the whole journal is on disk.
    pub journal: Result<(), String>,
}

/// Ends a run from outside. May be used as often as wanted; a second time also ends the wait for the recovery.
#[derive(Debug, Clone)]
pub struct AbortSwitch(UnboundedSender<(AbortCause, String)>);

/// The run's end of an [`AbortSwitch`].
#[derive(Debug)]
pub struct Aborts(UnboundedReceiver<(AbortCause, String)>);

/// A switch and the end of it that goes into the [`Environment`].
pub fn abort_switch() -> (AbortSwitch, Aborts) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (AbortSwitch(sender), Aborts(receiver))
}

impl AbortSwitch {
    /// Ends the run at once: undo, look again, verdict. `reason` is for people.
    pub fn abort(&self, cause: AbortCause, reason: impl Into<String>) {
        // A run that is over needs no end.
        let _ = self.0.send((cause, reason.into()));
    }
}

/// What tasks tell the loop.
enum Message {
    Input(Input),
    /// An agent was started; the run hears of it as [`Input::Connected`].
    Linked(Linked),
    /// News of the agent of an attempt to start one; of no interest once that one was let go.
    OfAgent(u64, Input),
}

/// Sends to the loop. That it is gone means that nobody needs to know.
#[derive(Clone)]
struct Inbox(UnboundedSender<Message>);

impl Inbox {
    fn send(&self, input: Input) {
        let _ = self.0.send(Message::Input(input));
    }
}

/// Carries an experiment out, from the plan to the verdict.
pub async fn drive(experiment: Arc<Experiment>, environment: Environment) -> Outcome {
    let Environment { identity, instruments, links, journal, watch, approver, mut aborts } = environment;
    let (sender, mut messages) = mpsc::unbounded_channel();
    let inbox = Inbox(sender);
    let started = Instant::now();
    let (toolbox, ready) = match Toolbox::build(&experiment, &*instruments) {
        Ok(toolbox) => (toolbox, Ok(())),
        Err(why) => (Toolbox::default(), Err(why)),
    };
    let mut driver = Driver {
        agents: Agents::new(links, &identity, servers(&experiment), started, inbox.clone()),
        run: Run::new(Arc::clone(&experiment), identity),
        scribe: Scribe::new(journal, watch, Redactor::new(&experiment.secrets), inbox.clone()),
        toolbox,
        sources: Sources::default(),
        loads: Vec::new(),
        approver,
        tasks: JoinSet::new(),
        inbox,
        started,
        over: None,
    };
    let mut ticks = tokio::time::interval_at(started + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    driver.take(Input::Start(ready));
    while driver.over.is_none() {
        let wake = driver.run.wake_at().map(|second| started + Duration::from_secs_f64(second));
        tokio::select! {
            biased;
            Some((cause, reason)) = aborts.0.recv() => driver.take(Input::Abort(cause, reason)),
            due = ticks.tick() => driver.tick(due),
            Some(message) = messages.recv() => driver.receive(message),
            () = sleep_until(wake) => driver.take(Input::Time),
        }
    }
    driver.leave().await
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

/// A run and all that it is carried out with.
struct Driver {
    run: Run,
    agents: Agents,
    scribe: Scribe,
    toolbox: Toolbox,
    sources: Sources,
    loads: Vec<Box<dyn RunningLoad>>,
    approver: Option<Box<dyn Approver>>,
    tasks: JoinSet<()>,
    inbox: Inbox,
    started: Instant,
    over: Option<(Verdict, Vec<String>)>,
}

impl Driver {
    fn take(&mut self, input: Input) {
        let now = self.started.elapsed().as_secs_f64();
        for output in self.run.on(now, input) {
            self.perform(now, output);
        }
    }

    fn receive(&mut self, message: Message) {
        let input = match message {
            Message::Linked(linked) => match self.agents.linked(linked) {
                Some(recovered) => Input::Connected(Ok(recovered)),
                None => return,
            },
            Message::OfAgent(attempt, input) => {
                if !self.agents.is_current(attempt) {
                    return;
                }
                let lost = self.agents.notice(&input);
                self.take(input);
                // A call that nobody waits for any more may be the first to tell.
                if let Some(why) = lost {
                    self.take(Input::Lost(why));
                }
                return;
            }
            Message::Input(input) => input,
        };
        self.take(input);
    }

    /// A second is over: traffic that became final, then the sample, on which the guard looks.
    fn tick(&mut self, due: Instant) {
        while self.tasks.try_join_next().is_some() {}
        let origin = self.started.into_std();
        let settled: Vec<_> = self.loads.iter_mut().map(|load| load.slices(origin)).collect();
        for (load, slices) in settled.into_iter().enumerate().filter(|(_, slices)| !slices.is_empty()) {
            self.take(Input::Settled(load, slices));
        }
        let Given { values: metrics, errors, asked } = self.sources.read(self.started);
        // Without secrets before they are cut: half a secret is not known for one.
        let told = |error: String| words::shortened(&self.scribe.hide(&error), LONGEST_ERROR);
        let errors = errors.into_iter().map(|(name, error)| (name, told(error))).collect();
        let troubles = self.loads.iter_mut().map(|load| load.trouble().map(told)).collect();
        let loads = self.loads.iter_mut().map(|load| load.window()).collect();
        let late = due.elapsed().as_secs_f64();
        self.take(Input::Second(Sample { loads, metrics, errors, asked, troubles, late }));
    }

    fn perform(&mut self, now: f64, output: Output) {
        match output {
            Output::Journal(event) => self.journal(now, event),
            Output::Connect => self.agents.connect(),
            Output::Call(number, call) => self.agents.call(number, call),
            Output::Approve(plan) => self.approve(|approver| approver.decide(plan), Input::Approved),
            Output::ApproveJoining(plan) => {
                self.approve(|approver| approver.decide_joining(plan), Input::JoiningApproved);
            }
            Output::Disconnect => self.agents.let_go(),
            Output::Ask(question) => self.toolbox.ask(question, &mut self.tasks, &self.inbox),
            Output::StartMeasuring => self.start_measuring(),
            Output::StopMeasuring => {
                self.loads.iter_mut().for_each(|load| load.stop());
                self.sources = Sources::default();
            }
            Output::Finish(verdict, reasons) => self.over = Some((verdict, reasons)),
        }
    }

    fn journal(&mut self, elapsed: f64, event: Event) {
        self.scribe.write(Entry { at: Timestamp::now(), elapsed, event });
    }

    fn approve(
        &mut self,
        ask: impl FnOnce(&dyn Approver) -> Pending<'static, Approval>,
        told: fn(Approval) -> Input,
    ) {
        let Some(approver) = self.approver.as_deref() else {
            return self.inbox.send(told(Approval::Implied));
        };
        let (decision, inbox) = (tokio::spawn(ask(approver)), self.inbox.clone());
        let broke_down = |error: JoinError| Approval::Refused {
            by: "the one who is asked".to_owned(),
            why: format!("no answer: {error}"),
        };
        self.tasks.spawn(async move { inbox.send(told(decision.await.unwrap_or_else(broke_down))) });
    }

    fn start_measuring(&mut self) {
        self.sources = self.toolbox.start_sources(self.started);
        match self.toolbox.start_loads() {
            Ok(loads) => self.loads = loads,
            Err(why) => self.inbox.send(Input::LoadsFailed(why)),
        }
    }

    async fn leave(self) -> Outcome {
        let Self { scribe, over, agents, tasks, loads, sources, .. } = self;
        drop((agents, tasks, loads, sources));
        let (verdict, reasons) = over.unwrap_or((Verdict::Invalid, Vec::new()));
        let reasons = reasons.iter().map(|reason| scribe.hide(reason)).collect();
        Outcome { verdict, reasons, journal: scribe.close().await }
    }
}

#[cfg(test)]
mod tests;
