//! A run, as a state machine without I/O and without a clock: what happened goes in with its second, what is to be
//! done comes out. `driver.rs` joins it to the world; a test or a simulator can as well.
//!
//! ```text
//! plan → approval → steady state → baseline → method (inject, observe, put back, under guard) → undo, look again, leave
//!      → recovery → analysis → verdict
//! ```
//!
//! * **Plan.** Nothing is touched. What cannot be planned makes the run `invalid`.
//! * **Approval.** Whoever is asked sees the plan and says yes or no; a no makes the run `invalid`. The yes binds: the
//!   very injections of the plan are made, and an entry that is planned anew later never begins with more targets.
//! * **Steady state.** Every probe is asked and must hold at once. Conditions on metrics may take as long to settle as
//!   the longest window of a load and five seconds more, and must hold in two samples in a row; the guard's metrics
//!   must be readable. Else `not_steady`, and nothing was touched.
//! * **Baseline.** Metrics are recorded. From here on the guard looks every second.
//! * **Method.** See `method.rs` for the order. Probes of the hypothesis are asked every second while a fault is
//!   active. Whatever ends the run early leads to the undo at once, even while an injection is being made.
//! * **Questions.** The method may ask probes, and leave out what their answers do not choose. What is not answered ends
//!   the run: whether the rest was wanted is not known.
//! * **Following.** A fault that follows its targets is planned anew every few seconds while it is active, and what joins it is
//!   struck for the rest of its time. Whoever was asked about the plan is asked about that too.
//! * **Undo.** See `restore.rs`.
//! * **Recovery.** Every check of the steady state must hold again, and go on holding for two seconds. The time is
//!   counted from the end of the undo to the first moment from which on all held. Conditions on traffic are judged
//!   on requests meant to be sent after the undo, so that a sliding window does not blur the moment.
//! * **Analysis.** See `hypothesis.rs`, `analysis.rs`, `verdict.rs`.

mod after;
mod before;
mod ending;
mod follow;
mod strikes;

use crate::approval::Approval;
use crate::checks::Checks;
use crate::following::Following;
use crate::guard::Guard;
use crate::hypothesis;
use crate::link::LinkError;
use crate::load::{self, Slice};
use crate::method::{self, Method, plan_request};
use crate::record::{Period, Record};
use crate::restore::Restoring;
use crate::troubles::Troubles;
use crate::verdict::Findings;
use squall_model::event::{AbortCause, Event, Phase};
use squall_model::experiment::Experiment;
use squall_model::plan::{Plan, PlannedInjection};
use squall_model::protocol::{Answer, Call, CallError, Injected, Restored};
use squall_model::redaction::Redactor;
use squall_model::units::Duration;
use squall_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use crate::checks::{List, Question, Reply};
pub use crate::record::Sample;

/// How long users of a fault's time are let wait for an answer at least before it counts as none, in seconds.
const PATIENCE_UNDER_FAULT: f64 = 1.0;

/// Who carries out what, where.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Unique name of the run.
    pub run: String,
    /// The experiment's file.
    pub file: String,
    /// Options of the command that carries it out, beside the file and the seed, without secrets.
    pub options: Vec<String>,
    /// Makes the run's choices repeatable.
    pub seed: u64,
    /// Version of Squall.
    pub squall: String,
    /// Name of the host.
    pub host: String,
    /// The environment that it is carried out in; empty where that was not said.
    pub environment: String,
    /// What it is carried out for: `run`, `ci`, `gameday SESSION`, `monkey NAME`.
    pub origin: String,
    /// Name of the user who started it.
    pub by: String,
    /// A mark of what its faults are, wherever they strike.
    pub fingerprint: String,
    /// How long an agent holds injections without hearing from us.
    pub lease: Duration,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The run begins; or cannot, because something that it names cannot be made (an instrument, a load).
    Start(Result<(), String>),
    /// Time has passed: what [`Run::wake_at`] asked for.
    Time,
    /// A second has passed, and these are its metrics.
    Second(Sample),
    /// Traffic of a load (by its position) became final.
    Settled(usize, Vec<Slice>),
    /// The loads could not be started.
    LoadsFailed(String),
    /// An agent was started and greeted, and what it put back on start; or it could not be.
    Connected(Result<Vec<Restored>, String>),
    /// What came of a call, by its number, and how many seconds it took.
    Answered(u64, Result<Answer, LinkError>, f64),
    /// What was said about the plan.
    Approved(Approval),
    /// What was said about those that would join a fault.
    JoiningApproved(Approval),
    /// The agent was told at the second `sent` that we are here, and which injections it holds.
    Renewed {
        /// When it was told.
        sent: f64,
        /// What it said.
        live: Result<Vec<String>, CallError>,
    },
    /// The stream to the agent ended.
    Lost(String),
    /// A probe replied.
    Replied(Question, Reply),
    /// Somebody ends the run: `halt`, a signal.
    Abort(AbortCause, String),
    /// The journal could not be written.
    JournalFailed(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a handful at a time, and gone at once")]
pub enum Output {
    /// Write it to the journal and show it.
    Journal(Event),
    /// Start an agent and greet it. Any earlier one is lost: let go of its stream.
    Connect,
    /// Call the agent; answers come with the number. A call may be made while an earlier one is unanswered.
    Call(u64, Call),
    /// Ask whether this plan is to be carried out.
    Approve(Plan),
    /// Ask whether these are to be struck too, in the middle of the run.
    ApproveJoining(Plan),
    /// Let go of the agent; it has been told.
    Disconnect,
    /// Ask a probe.
    Ask(Question),
    /// Start all loads and metric sources.
    StartMeasuring,
    /// Stop them.
    StopMeasuring,
    /// The run is over.
    Finish(Verdict, Vec<String>),
}

/// Where the run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Plan,
    Approval,
    SteadyState,
    Baseline,
    Method,
    Undo,
    Recovery,
    Analysis,
    Over,
}

/// Whether there is an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Down,
    Connecting,
    Up,
}

/// What an unanswered call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Plan,
    PlanAnew,
    Inject,
    Join,
    Observe,
    Restore,
}

/// What an injection has shown.
#[derive(Debug, Clone, Default)]
struct Shown {
    /// Whether an effect was seen at any time.
    effect: bool,
    /// Whether it was seen the last time that somebody looked.
    lasts: bool,
    /// When it was made.
    made: f64,
    /// When its target was first found gone, if it was the last time that somebody looked.
    gone: Option<f64>,
    /// When it joined others; none for those that were there from the first.
    joined: Option<f64>,
    /// Whether it had the time to show an effect when somebody looked.
    had_time: bool,
    summary: String,
}

/// A run of one experiment.
#[derive(Debug)]
pub struct Run {
    experiment: Arc<Experiment>,
    identity: Identity,
    now: f64,
    out: Vec<Output>,
    wake: f64,
    stage: Stage,
    stage_since: f64,
    phase: Phase,

    link: Link,
    calls: u64,
    pending: Option<(u64, Purpose)>,

    steady: Checks,
    /// Whether the steady state was asked for once more after the baseline.
    asked_again: bool,
    hypothesis: Checks,
    guard: Guard,
    redactor: Redactor,
    record: Record,
    /// The last sample, and how many there were.
    latest: Sample,
    samples: u64,
    measuring: bool,
    troubles: Troubles,

    planned: Vec<PlannedInjection>,
    /// How many injections of each entry somebody has said yes to; none where nobody was asked.
    agreed: Option<BTreeMap<usize, usize>>,
    method: Method,
    /// Faults that were left out, and why, in words.
    left_out: Vec<String>,
    /// What was said of the targets that were gone when their injections were to be made, by injection.
    gone: BTreeMap<String, String>,
    following: Following,
    /// The call that looks for more, and for which strike.
    looking: Option<(u64, usize)>,
    /// Those that would join a strike, while somebody is asked about them.
    joining: Option<(usize, Vec<PlannedInjection>)>,
    /// The one that is being made beside the others.
    arriving: Option<PlannedInjection>,
    /// Injections that the agent said it made, and that were not asked back yet; and since when they are all there.
    active: BTreeSet<String>,
    /// Injections that are to be made as soon as those before them are.
    to_inject: VecDeque<String>,
    active_since: f64,
    shown: BTreeMap<String, Shown>,
    failures_before: u64,
    /// Whether anything may ever have been touched.
    touched: bool,
    /// How long faults were active before `exposed_since`, for the blast radius.
    exposure: f64,
    exposed_since: Option<f64>,

    restoring: Restoring,
    undoing_some: bool,
    undone_at: Option<f64>,
    findings: Findings,
}

impl Run {
    /// A run that has not begun.
    pub fn new(experiment: Arc<Experiment>, identity: Identity) -> Self {
        let loads = experiment.loads.iter().map(|load| load.name.clone()).collect();
        let redactor = Redactor::new(&experiment.secrets);
        Self {
            now: 0.0,
            out: Vec::new(),
            wake: f64::INFINITY,
            stage: Stage::Plan,
            stage_since: 0.0,
            phase: Phase::Plan,
            link: Link::Down,
            calls: 0,
            pending: None,
            steady: Checks::new(List::SteadyState, &experiment.steady_state, redactor.clone()),
            asked_again: false,
            hypothesis: Checks::new(List::Hypothesis, &experiment.hypothesis_holds, redactor.clone()),
            redactor,
            guard: Guard::new(&experiment.guard),
            record: Record::new(loads),
            latest: Sample::default(),
            samples: 0,
            measuring: false,
            troubles: Troubles::default(),
            planned: Vec::new(),
            agreed: None,
            method: Method::new(&experiment, &[]),
            left_out: Vec::new(),
            gone: BTreeMap::new(),
            following: Following::default(),
            looking: None,
            joining: None,
            arriving: None,
            active: BTreeSet::new(),
            to_inject: VecDeque::new(),
            active_since: 0.0,
            shown: BTreeMap::new(),
            failures_before: 0,
            touched: false,
            exposure: 0.0,
            exposed_since: None,
            restoring: Restoring::new(identity.lease.as_seconds()),
            undoing_some: false,
            undone_at: None,
            findings: Findings::default(),
            experiment,
            identity,
        }
    }

    /// Takes in what happened at the second `now` since the run started, and says what is to be done, in order.
    pub fn on(&mut self, now: f64, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        if self.stage != Stage::Over {
            self.take(input);
            self.proceed();
        }
        std::mem::take(&mut self.out)
    }

    /// When [`Input::Time`] is wanted at the latest, in seconds since the run started.
    pub fn wake_at(&self) -> Option<f64> {
        self.wake.is_finite().then_some(self.wake)
    }

    /// Whether a fault may be active.
    pub fn may_be_harming(&self) -> bool {
        !self.restoring.owed().is_empty()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Start(ready) => self.begin(ready),
            Input::Time => {}
            Input::Second(sample) => self.second(sample),
            Input::Settled(load, slices) => self.record.settled(load, slices),
            Input::LoadsFailed(message) => self.refuse(format!("the load could not be started: {message}")),
            Input::Connected(recovered) => self.greeted(recovered),
            Input::Answered(number, answer, seconds) => self.answered(number, answer, seconds),
            Input::Approved(approval) => self.approved(approval),
            Input::JoiningApproved(approval) => self.joining_approved(approval),
            Input::Renewed { sent, live } => self.renewed(sent, live),
            Input::Lost(why) => self.lost(&why),
            Input::Replied(question, reply) => self.replied(question, reply),
            Input::Abort(cause, reason) => self.abort(cause, reason),
            Input::JournalFailed(message) => {
                self.abort(AbortCause::Journal, format!("the journal could not be written: {message}"));
            }
        }
    }

    /// Goes on as far as it is possible now.
    fn proceed(&mut self) {
        loop {
            self.wake = f64::INFINITY;
            self.count_exposure();
            let moved = match self.stage {
                Stage::Plan | Stage::Approval | Stage::Over => false,
                Stage::SteadyState => self.await_steady_state(),
                Stage::Baseline => self.measure_baseline(),
                Stage::Method => self.carry_out_method(),
                Stage::Undo => self.put_back(),
                Stage::Recovery => self.await_recovery(),
                Stage::Analysis => self.analyse(),
            };
            if !moved {
                return;
            }
        }
    }

    fn second(&mut self, sample: Sample) {
        let values = sample.values(&self.record.loads);
        if !values.is_empty() || !sample.errors.is_empty() {
            self.journal(Event::Metrics { phase: self.phase, values, errors: sample.errors.clone() });
        }
        self.record.sampled(self.now, &sample);
        let under_fault = self.stage == Stage::Method;
        let new = self.troubles.take(&self.record.loads, &sample.troubles, under_fault);
        self.journal_all(new.into_iter().map(|message| Event::Note { message }).collect());
        self.samples += 1;
        self.latest = sample;
        match self.stage {
            Stage::SteadyState => {
                self.judge_steady_state();
                self.ask_steady_state();
            }
            Stage::Baseline => {
                self.judge_steady_state();
                self.look_out();
            }
            Stage::Method => {
                self.look_out();
                if self.record.under_fault() {
                    let questions = self.hypothesis.ask();
                    self.ask(questions);
                }
            }
            Stage::Recovery => {
                self.judge_recovery();
                self.ask_steady_state();
            }
            Stage::Plan | Stage::Approval | Stage::Undo | Stage::Analysis | Stage::Over => {}
        }
    }

    fn look_out(&mut self) {
        let look = self.guard.look(self.now, &self.record.loads, &self.latest);
        if let Some(event) = look.event {
            self.journal(event);
        }
        if let Some((cause, reason)) = look.tripped {
            self.abort(cause, reason);
        }
    }

    fn judge_steady_state(&mut self) {
        let (now, loads, latest) = (self.now, &self.record.loads, &self.latest);
        self.steady.judge_metrics(now, &latest.errors, |names| (now, latest.reading(loads, names)));
    }

    fn judge_recovery(&mut self) {
        let undone = self.undone_at.unwrap_or(self.stage_since);
        let present = self.record.present(undone);
        let (begins, spans) = present.unwrap_or_default();
        let of_traffic =
            |names: &[String]| names.iter().all(|name| load::find(&self.record.loads, name).is_some());
        let latest = self.latest.since(undone);
        self.steady.judge_metrics(self.now, &latest.errors, |names| {
            let since = if of_traffic(names) { begins } else { self.now };
            (since, hypothesis::present_reading(&self.record, names, &spans, &latest))
        });
    }

    fn replied(&mut self, question: Question, reply: Reply) {
        if question.list == List::Method {
            return self.method_answered(question.index, reply);
        }
        let reply = self.seen_under_fault(question, reply);
        let fault = self.fault_at(self.now - reply.seconds);
        let checks = match question.list {
            List::SteadyState => &mut self.steady,
            List::Hypothesis | List::Method => &mut self.hypothesis,
        };
        if let Some(event) = checks.replied(self.now, self.phase, question.index, reply, fault) {
            self.journal(event);
        }
    }

    /// When the fault began that was active at a second, or that was the last one to be by then.
    fn fault_at(&self, second: f64) -> Option<f64> {
        let begun = |period: &&Period| period.under_fault && period.from <= second;
        self.record.periods.iter().rev().find(begun).map(|period| period.from)
    }

    /// The reply as users of the fault's time had it: what hung until the fault was over has not answered them.
    fn seen_under_fault(&self, question: Question, reply: Reply) -> Reply {
        let name = self.hypothesis.name(question.index).filter(|_| question.list == List::Hypothesis);
        let (Some(name), Ok(_)) = (name, &reply.reading) else { return reply };
        let asked = self.now - reply.seconds;
        let waited = |period: &Period| {
            let over = period.to.filter(|over| period.under_fault && (asked..self.now).contains(over))?;
            Some(over - asked)
        };
        let slowest = self
            .steady
            .slowest(name)
            .unwrap_or_default()
            .max(self.hypothesis.slowest(name).unwrap_or_default());
        let patience = (2.0 * slowest).max(PATIENCE_UNDER_FAULT);
        match self.record.periods.iter().rev().find_map(waited) {
            Some(waited) if waited > patience => {
                let why =
                    format!("no answer in the {waited:.1} s until the fault was over; it came only then");
                Reply { reading: Err(why), ..reply }
            }
            _ => reply,
        }
    }

    fn greeted(&mut self, recovered: Result<Vec<Restored>, String>) {
        if self.link != Link::Connecting {
            return;
        }
        self.link = if recovered.is_ok() { Link::Up } else { Link::Down };
        match (self.stage, recovered) {
            (Stage::Plan, Ok(recovered)) => {
                let events = self.restoring.settle(recovered, 0.0);
                self.journal_all(events);
                self.call(Purpose::Plan, Call::Plan(plan_request(&self.experiment, self.identity.seed)));
            }
            (Stage::Plan, Err(why)) => self.refuse(format!("no agent could be started: {why}")),
            (_, recovered) => {
                let events = self.restoring.connected(self.now, recovered);
                self.journal_all(events);
            }
        }
    }

    fn answered(&mut self, number: u64, answer: Result<Answer, LinkError>, seconds: f64) {
        if let Some((_, strike)) = self.looking.take_if(|(looking, _)| *looking == number) {
            return self.followed(strike, answer);
        }
        let purpose = self.pending.filter(|(pending, _)| *pending == number).map(|(_, purpose)| purpose);
        if purpose.is_some() {
            self.pending = None;
        }
        match purpose {
            Some(Purpose::Plan) => self.planned(answer),
            Some(Purpose::PlanAnew) => self.planned_anew(answer),
            Some(Purpose::Inject) => self.injected(answer, seconds),
            Some(Purpose::Join) => self.joined(answer, seconds),
            Some(Purpose::Observe) => self.observed(answer),
            Some(Purpose::Restore) => match answer {
                Err(LinkError::Lost(why)) => self.lost(&why),
                answer => {
                    let events = self.restoring.answered(self.now, answer, seconds);
                    self.journal_all(events);
                }
            },
            None => self.answered_late(answer, seconds),
        }
    }

    /// The answer to a call that something more important has overtaken: what it says is still true.
    fn answered_late(&mut self, answer: Result<Answer, LinkError>, seconds: f64) {
        match answer {
            Ok(Answer::Injected(Injected { evidence, gone })) => {
                gone.into_iter().for_each(|(injection, what)| self.pass_over(injection, what));
                for (injection, evidence) in evidence {
                    self.show(&injection, &evidence);
                    self.journal(Event::Injected { injection, evidence, seconds });
                }
            }
            Ok(Answer::Restored { restored }) => {
                let events = self.restoring.settle(restored, seconds);
                self.journal_all(events);
            }
            // The driver has let go of the agent, and with it of any call that waits now.
            Err(LinkError::Lost(why)) => self.lost(&why),
            _ => {}
        }
    }

    fn journal(&mut self, event: Event) {
        self.out.push(Output::Journal(event));
    }

    fn journal_all(&mut self, events: Vec<Event>) {
        self.out.extend(events.into_iter().map(Output::Journal));
    }

    fn enter(&mut self, stage: Stage, phase: Phase) {
        (self.stage, self.stage_since, self.phase) = (stage, self.now, phase);
        self.journal(Event::PhaseStarted { phase });
    }

    fn call(&mut self, purpose: Purpose, call: Call) {
        self.calls += 1;
        self.pending = Some((self.calls, purpose));
        self.out.push(Output::Call(self.calls, call));
    }

    fn ask_steady_state(&mut self) {
        let questions = self.steady.ask();
        self.ask(questions);
    }

    fn ask(&mut self, questions: Vec<Question>) {
        self.out.extend(questions.into_iter().map(Output::Ask));
    }

    /// Whether the method has no fault at all.
    fn is_faultless(&self) -> bool {
        method::strikes(&self.experiment).next().is_none()
    }

    fn wake_by(&mut self, second: f64) {
        self.wake = self.wake.min(second);
    }
}

#[cfg(test)]
mod tests;
