//! The real run drives the real agent: messages take their time, streams end, and the brain, the agent and its warden
//! are killed or stopped at any moment. What is asserted is what a user relies on: the verdict is true, and nothing
//! outlives its owner by more than was promised.
//!
//! This is `driver.rs` over again without tokio: the same time limits, the same renewals, one queue of happenings.

use super::actor::{Agent, LEASE, ModelHands, hands};
use super::faults::{all_of, samples};
use super::laws::all_is_back;
use super::world::{Doom, Meddling, Shared};
use crate::approval::Approval;
use crate::link::LinkError;
use crate::run::{Identity, Input, List, Output, Question, Reply, Run, Sample};
use crate::testing;
use serde_json::Value as Json;
use squall_model::condition::Condition;
use squall_model::event::{AbortCause, Event};
use squall_model::experiment::{Action, Check, Experiment, ProbeCall, Strike};
use squall_model::node::{Content, Key, Node, Place};
use squall_model::protocol::{Answer, Call, CallError, Restored};
use squall_model::target::Target;
use squall_model::undo::Effect;
use squall_model::units;
use squall_model::value::Value;
use squall_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How often the agent looks at its lease, as the agent's process does.
const AGENT_TICK: Duration = Duration::from_millis(200);
/// How long a warden takes a silent agent to be working.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a warden waits before it tries again.
const WARDEN_PAUSES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_secs(1)];
/// A run that takes longer than this hangs.
const LONGEST: Duration = Duration::from_mins(15);
/// How long a question of the method may take, in seconds.
const ANSWERS_WITHIN: u64 = 6;
/// How soon after the loss of an owner all must be back: at once, but for the time that is modelled.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What happens next, to whom.
#[derive(Debug)]
enum Happening {
    Second,
    Wake,
    ToAgent { link: u64, call: Call, purpose: Purpose },
    ToBrain(Input),
    Timeout { link: u64, number: u64 },
    Renew { link: u64 },
    AgentTick { link: u64 },
    StartAgent { attempt: u64 },
    Linked { link: u64, attempt: u64, recovered: Vec<Restored> },
    StreamEnds { link: u64 },
    Warden { of: u32 },
    WardenTries { pid: u32, tries: usize },
    KillAgent,
    StopAgent,
    KillWarden,
    KillBrain,
    StopBrain(Duration),
    DoomAgent(u64),
    HaltFile,
    FailKernel,
    FillDisk,
    Abort,
    Meddle(Meddling),
    MustBeClean(&'static str),
}

/// A direction of a stream, as the brain sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Out,
    Back,
}

#[derive(Debug, Clone)]
enum Purpose {
    Call(u64),
    Renewal(f64),
}

/// An agent and the stream to it.
struct Linked {
    link: u64,
    agent: Agent,
    warden: bool,
    stopped: bool,
}

/// A brain, its agents, and all that can befall them.
struct Theatre {
    world: Shared,
    dice: fastrand::Rng,
    queue: BTreeMap<(Duration, u64), Happening>,
    scheduled: u64,

    run: Option<Run>,
    journal: Vec<Event>,
    verdict: Option<Verdict>,
    /// The brain does not run before this time.
    stopped_until: Duration,
    unanswered: BTreeMap<u64, u64>,
    attempt: u64,
    link: Option<u64>,
    /// When the last message on its way will arrive.
    arrivals: BTreeMap<(u64, Way), Duration>,

    agents: Vec<Linked>,
    wardens: BTreeMap<u32, ModelHands>,
    /// Whether an agent died after its warden, so that the next agent must put back what it left.
    unwatched: bool,
    /// When an agent died last.
    last_death: Duration,
    links: u64,
    halt_file: bool,
    /// Whether the system cannot bear its faults.
    fragile: bool,
    /// Whether anything was done to the run that a calm day does not bring.
    disturbed: bool,
    has_dud: bool,
    /// Whether more and more processes run.
    grows: bool,
    /// Whether the method asks, and what it does depends on that.
    asks: bool,
    /// Whether a question of the method is under way.
    is_asking: bool,
    /// What is said about the plan, and after how long.
    approval: (Duration, Approval),
    /// What becomes of the questions of the method.
    answering: Answering,
    /// Whether the journal is part of what is told of the day.
    is_watched: bool,
}

/// What becomes of the questions of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answering {
    /// They are answered with an exit code.
    With(u8),
    /// The probe fails.
    Failing,
    /// The answer comes too late.
    Late,
    /// It never comes.
    Lost,
    /// It lacks what was asked for.
    Lacking,
}

impl Answering {
    fn of(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed ^ 0xa5c);
        match dice.u32(0..10) {
            0 => Self::Failing,
            1 => Self::Late,
            2 => Self::Lost,
            3 => Self::Lacking,
            _ => Self::With(dice.u8(0..3)),
        }
    }
}

impl Theatre {
    fn new(seed: u64, is_watched: bool) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed ^ 0xb4a1);
        let world = Shared::new(seed);
        world.lock().weather.together = seed.is_multiple_of(2);
        let has_dud = dice.u32(0..8) == 0;
        let mut experiment = experiment(&mut dice, has_dud);
        let answering = Answering::of(seed);
        let asks = depend(&mut experiment, seed);
        let follows = dice.u32(0..3) == 0 && follow(&mut experiment, &mut dice);
        let experiment = Arc::new(experiment);
        let approval = approval(seed);
        // Who said yes to so many has not said yes to more.
        let grows = follows && approval.1 == Approval::Implied;
        let identity = Identity {
            run: format!("run-{seed}"),
            file: "simulated.yaml".into(),
            options: Vec::new(),
            seed,
            squall: "0".into(),
            host: "model".into(),
            environment: String::new(),
            origin: String::new(),
            by: String::new(),
            fingerprint: String::new(),
            lease: LEASE,
        };
        let mut theatre = Self {
            world,
            queue: BTreeMap::new(),
            scheduled: 0,
            run: Some(Run::new(experiment, identity)),
            journal: Vec::new(),
            verdict: None,
            stopped_until: Duration::ZERO,
            unanswered: BTreeMap::new(),
            attempt: 0,
            link: None,
            arrivals: BTreeMap::new(),
            agents: Vec::new(),
            wardens: BTreeMap::new(),
            unwatched: false,
            last_death: Duration::ZERO,
            links: 0,
            halt_file: false,
            fragile: dice.u32(0..4) == 0,
            disturbed: false,
            has_dud,
            grows,
            asks,
            is_asking: false,
            approval,
            answering,
            is_watched,
            dice,
        };
        theatre.disturb();
        theatre
    }

    /// Chooses what goes wrong on this day, if anything does.
    fn disturb(&mut self) {
        for _ in 0..self.dice.u32(0..4) {
            let after = Duration::from_millis(self.dice.u64(0..25_000));
            let pid = self.dice.u32(100..104);
            let value = self.dice.u32(20..30).to_string();
            let happening = match self.dice.u32(0..17) {
                0 | 1 => Happening::KillAgent,
                2 => Happening::StopAgent,
                3 => Happening::KillWarden,
                4 | 5 => Happening::KillBrain,
                6 | 7 => Happening::StopBrain(Duration::from_millis(self.dice.u64(500..15_000))),
                8..11 => Happening::DoomAgent(self.dice.u64(0..60)),
                11 => Happening::HaltFile,
                12 => Happening::Abort,
                13 => Happening::Meddle(Meddling::End { pid, reused: None }),
                14 => Happening::FailKernel,
                15 => Happening::FillDisk,
                _ => Happening::Meddle(Meddling::Write { path: "/proc/sys/vm/swappiness".into(), value }),
            };
            self.disturbed = true;
            self.at(after, happening);
        }
    }

    fn now(&self) -> Duration {
        self.world.lock().now
    }

    fn at(&mut self, time: Duration, happening: Happening) {
        self.scheduled += 1;
        self.queue.insert((time, self.scheduled), happening);
    }

    fn after(&mut self, delay: Duration, happening: Happening) {
        let now = self.now();
        self.at(now + delay, happening);
    }

    /// How long a message or an answer takes: mostly a moment.
    fn moments(&mut self) -> Duration {
        Duration::from_millis(match self.dice.u32(0..20) {
            0 => self.dice.u64(50..900),
            _ => self.dice.u64(0..5),
        })
    }

    fn soon(&mut self, happening: Happening) {
        let delay = self.moments();
        self.after(delay, happening);
    }

    /// A message's way through a stream, in which none overtakes another.
    fn through(&mut self, link: u64, way: Way, happening: Happening) {
        let time = self.now() + self.moments();
        let last = self.arrivals.entry((link, way)).or_default();
        *last = time.max(*last);
        let time = *last;
        self.at(time, happening);
    }

    fn note(&self, text: impl Into<String>) {
        self.world.lock().note(text);
    }

    fn violation(&self, text: impl Into<String>) {
        self.world.lock().violation(text);
    }

    /// Lets everything happen until nothing is left to happen.
    fn play(&mut self) {
        self.at(Duration::ZERO, Happening::ToBrain(Input::Start(Ok(()))));
        self.at(Duration::from_secs(1), Happening::Second);
        while let Some(((time, _), happening)) = self.queue.pop_first() {
            if time > LONGEST {
                if self.run.is_some() {
                    self.violation("the run does not end");
                }
                break;
            }
            {
                let mut world = self.world.lock();
                world.now = world.now.max(time);
            }
            self.happen(happening);
            self.see_the_dead();
        }
        // An agent that is stopped for good, without a warden and a brain, is somebody else's to end.
        for linked in std::mem::take(&mut self.agents) {
            self.world.lock().kill(linked.agent.pid);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Second
            | Happening::Wake
            | Happening::ToBrain(_)
            | Happening::Timeout { .. }
            | Happening::Linked { .. }
            | Happening::Renew { .. }
            | Happening::Abort
                if self.stopped_until > self.now() =>
            {
                self.at(self.stopped_until, happening);
            }
            Happening::Second => self.second(),
            Happening::Wake => self.take(Input::Time),
            Happening::ToBrain(input) => self.hear(input),
            Happening::Timeout { link, number } => {
                if self.unanswered.get(&number) == Some(&link) {
                    self.hear(Input::Answered(number, Err(LinkError::Lost("it did not answer".into())), 0.0));
                }
            }
            Happening::ToAgent { link, call, purpose } => self.call(link, call, purpose),
            Happening::Renew { link } => self.renew(link),
            Happening::AgentTick { link } => self.agent_tick(link),
            Happening::StartAgent { attempt } => self.start_agent(attempt),
            Happening::Linked { link, attempt, recovered } => {
                if self.run.is_none() || attempt != self.attempt {
                    self.soon(Happening::StreamEnds { link });
                } else {
                    self.link = Some(link);
                    self.after(Duration::ZERO, Happening::Renew { link });
                    self.take(Input::Connected(Ok(recovered)));
                }
            }
            Happening::StreamEnds { link } => self.stream_ends(link),
            Happening::Warden { of } => {
                self.note(format!("the warden of {of} recovers"));
                let (pid, hands) = hands(&self.world, "warden");
                self.wardens.insert(pid, hands);
                self.warden_tries(pid, 0);
            }
            Happening::WardenTries { pid, tries } => self.warden_tries(pid, tries),
            Happening::KillAgent => self.kill_agent(),
            Happening::StopAgent => self.stop_agent(),
            Happening::KillWarden => {
                self.note("the warden is killed");
                self.agents.iter_mut().for_each(|linked| linked.warden = false);
            }
            Happening::KillBrain => self.kill_brain(),
            Happening::StopBrain(length) => self.stop_brain(length),
            Happening::DoomAgent(after) => {
                if let Some(linked) = self.agents.first() {
                    let doom = Doom { pid: linked.agent.pid, after, power_cut: false };
                    self.world.lock().doom = Some(doom);
                }
            }
            Happening::HaltFile => {
                self.note("the halt file is made");
                self.halt_file = true;
            }
            Happening::FailKernel => self.world.lock().weather.failing = 500,
            Happening::FillDisk => self.world.lock().weather.full = true,
            Happening::Abort => {
                self.note("Ctrl-C");
                self.take(Input::Abort(AbortCause::Signal, "Ctrl-C".into()));
            }
            Happening::Meddle(change) => self.world.lock().meddle(&change),
            Happening::MustBeClean(why) => {
                let differences = self.world.lock().differences();
                // A kernel that fails may keep what it was given; who is stopped or dies meanwhile has its own time.
                let is_excused = self.unwatched
                    || self.now() < self.last_death + AT_ONCE
                    || self.world.lock().failures > 0
                    || self.agents.iter().any(|linked| linked.stopped);
                if !differences.is_empty() && !is_excused {
                    self.violation(format!("{why}, and still: {differences:?}"));
                }
            }
        }
    }

    // ── The brain ───────────────────────────────────────────────────────────────────────────────────────────────

    fn hear(&mut self, input: Input) {
        if let Input::Answered(number, ..) = &input
            && self.unanswered.remove(number).is_none()
        {
            return;
        }
        if matches!(input, Input::Lost(_) | Input::Answered(_, Err(LinkError::Lost(_)), _)) {
            self.let_go();
        }
        self.take(input);
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        let Some(run) = &mut self.run else { return };
        let outputs = run.on(now.as_secs_f64(), input);
        let wake = run.wake_at();
        for output in outputs {
            self.perform(output);
        }
        if let Some(wake) = wake {
            self.at(Duration::from_secs_f64(wake).max(now) + Duration::from_micros(1), Happening::Wake);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Journal(event) => {
                if self.is_watched && !matches!(event, Event::Metrics { .. } | Event::Probe { .. }) {
                    self.note(format!("journal: {}", serde_json::to_string(&event).unwrap_or_default()));
                }
                self.is_asking &= !matches!(event, Event::Answered { .. } | Event::Aborted { .. });
                match &event {
                    Event::Joined { .. } => self.note("a fault is joined"),
                    Event::Skipped { what, .. } => self.note(format!("{what} is left out")),
                    Event::Aborted { reason, .. } if reason.contains("not answered") => {
                        self.note("a question is not answered");
                    }
                    _ => {}
                }
                self.journal.push(event);
            }
            Output::Connect => {
                self.let_go();
                let attempt = self.attempt;
                self.after(Duration::from_millis(30), Happening::StartAgent { attempt });
            }
            Output::Call(number, call) => {
                let Some(link) = self.link else {
                    let lost = Err(LinkError::Lost("there is no agent".into()));
                    self.unanswered.insert(number, 0);
                    self.soon(Happening::ToBrain(Input::Answered(number, lost, 0.0)));
                    return;
                };
                self.unanswered.insert(number, link);
                let limit = if matches!(call, Call::Inject { .. } | Call::Plan(_)) { 30 } else { 10 };
                self.after(Duration::from_secs(limit), Happening::Timeout { link, number });
                self.through(
                    link,
                    Way::Out,
                    Happening::ToAgent { link, call, purpose: Purpose::Call(number) },
                );
            }
            Output::Approve(_) => {
                let (after, approval) = self.approval.clone();
                self.after(after, Happening::ToBrain(Input::Approved(approval)));
            }
            Output::ApproveJoining(_) => {
                let approval = self.approval_of_joining();
                self.soon(Happening::ToBrain(Input::JoiningApproved(approval)));
            }
            Output::Disconnect => self.let_go(),
            Output::Ask(question) => self.ask(question),
            Output::StartMeasuring | Output::StopMeasuring => {}
            Output::Finish(verdict, reasons) => self.finish(verdict, &reasons),
        }
    }

    /// Now and then somebody says no.
    fn approval_of_joining(&mut self) -> Approval {
        match self.dice.u32(0..8) {
            0 => Approval::Refused { by: "alice".to_owned(), why: "no".to_owned() },
            _ => Approval::Implied,
        }
    }

    fn let_go(&mut self) {
        self.attempt += 1;
        self.unanswered.clear();
        if let Some(link) = self.link.take() {
            self.through(link, Way::Out, Happening::StreamEnds { link });
        }
    }

    /// Whether users suffer now.
    fn suffers(&self) -> bool {
        self.fragile && !self.world.lock().differences().is_empty()
    }

    /// The answer to a question of the method, at some time.
    fn ask_for_the_method(&mut self, question: Question) {
        let read = |name: &str, code: u8| Ok(BTreeMap::from([(name.to_owned(), Value::Number(code.into()))]));
        let (reading, delay) = match self.answering {
            Answering::With(code) => (read("exit_code", code), self.dice.u64(0..ANSWERS_WITHIN * 1000)),
            Answering::Failing => (Err("it broke down".to_owned()), 20),
            Answering::Late => (read("exit_code", 0), self.dice.u64(1000..20_000) + ANSWERS_WITHIN * 1000),
            Answering::Lacking => (read("other", 0), 20),
            Answering::Lost => return,
        };
        let reply = Reply { reading, seconds: 0.01 };
        self.after(Duration::from_millis(delay), Happening::ToBrain(Input::Replied(question, reply)));
    }

    fn ask(&mut self, question: Question) {
        if question.list == List::Method {
            self.is_asking = true;
            return self.ask_for_the_method(question);
        }
        let status = if self.suffers() { 500.0 } else { 200.0 };
        let reading = BTreeMap::from([("status".to_owned(), Value::Number(status))]);
        let reply = Reply { reading: Ok(reading), seconds: 0.01 };
        self.soon(Happening::ToBrain(Input::Replied(question, reply)));
    }

    fn second(&mut self) {
        if self.run.is_none() {
            return;
        }
        self.world.lock().supervise("ledger");
        if self.grows && self.dice.u32(0..6) == 0 {
            let name = ["payment", "postgres"][self.dice.usize(0..2)];
            self.world.lock().start_another(name);
        }
        let errors = if self.suffers() { 50.0 } else { 0.0 };
        let metrics = BTreeMap::from([("errors".to_owned(), errors)]);
        self.take(Input::Second(Sample { metrics, ..Sample::default() }));
        if self.run.is_some() {
            self.after(Duration::from_secs(1), Happening::Second);
        }
    }

    fn renew(&mut self, link: u64) {
        if self.link == Some(link) {
            let purpose = Purpose::Renewal(self.now().as_secs_f64());
            self.through(link, Way::Out, Happening::ToAgent { link, call: Call::Renew, purpose });
            self.after(Duration::from_secs(1), Happening::Renew { link });
        }
    }

    fn kill_brain(&mut self) {
        if self.run.take().is_none() {
            return;
        }
        self.note(format!("the brain is killed{}", self.moment()));
        if self.is_asking {
            self.note("the brain is killed while a question is asked");
        }
        self.attempt += 1;
        if let Some(link) = self.link.take() {
            self.after(Duration::from_millis(1), Happening::StreamEnds { link });
        }
        // An agent that is stopped cannot notice; its warden does.
        let slowest = if self.agents.iter().any(|linked| linked.stopped) { SILENCE } else { Duration::ZERO };
        self.must_be_clean_in(slowest + AT_ONCE, "the brain was killed");
    }

    fn stop_brain(&mut self, length: Duration) {
        let now = self.now();
        self.note(format!("the brain is stopped for {length:?}"));
        self.stopped_until = self.stopped_until.max(now + length);
        if length > LEASE.0 + AT_ONCE + AT_ONCE {
            self.note(format!("the brain is stopped for longer than the lease{}", self.moment()));
        }
        if length > LEASE.0 + AT_ONCE + AT_ONCE && self.agents.iter().all(|linked| !linked.stopped) {
            self.must_be_clean_in(LEASE.0 + AT_ONCE, "the brain was stopped for longer than the lease");
        }
    }

    /// For the trace: whether it matters.
    fn moment(&self) -> &'static str {
        if self.world.lock().differences().is_empty() { "" } else { " while a fault is active" }
    }

    /// Where a warden is there, or nobody needs one.
    fn must_be_clean_in(&mut self, delay: Duration, why: &'static str) {
        if !self.unwatched && self.agents.iter().all(|linked| linked.warden) {
            self.after(delay, Happening::MustBeClean(why));
        }
    }

    // ── The agents ──────────────────────────────────────────────────────────────────────────────────────────────

    fn start_agent(&mut self, attempt: u64) {
        if attempt != self.attempt || self.run.is_none() {
            return;
        }
        // The one before must be gone for good first: it is given the time to end, or is killed.
        for mut linked in std::mem::take(&mut self.agents) {
            if linked.stopped {
                self.world.lock().kill(linked.agent.pid);
                self.bury(&mut linked);
            } else {
                linked.agent.end();
            }
        }
        self.unwatched = false;
        self.links += 1;
        let link = self.links;
        self.note(format!("agent {link} starts"));
        let mut agent = Agent::start(&self.world, &format!("run{attempt}"));
        let recovered = std::mem::take(&mut agent.recovered);
        self.agents.push(Linked { link, agent, warden: true, stopped: false });
        self.after(AGENT_TICK, Happening::AgentTick { link });
        self.through(link, Way::Back, Happening::Linked { link, attempt, recovered });
    }

    fn call(&mut self, link: u64, call: Call, purpose: Purpose) {
        let Some(linked) = self.agents.iter_mut().find(|linked| linked.link == link && !linked.stopped)
        else {
            return;
        };
        let answer = linked.agent.call(call);
        linked.agent.core.answered(self.world.lock().now);
        if !linked.agent.is_alive() {
            return;
        }
        let input = match purpose {
            Purpose::Call(number) => Input::Answered(number, answer.map_err(LinkError::Refused), 0.01),
            Purpose::Renewal(sent) => Input::Renewed { sent, live: live(answer) },
        };
        let finished = linked.agent.core.finished();
        self.through(link, Way::Back, Happening::ToBrain(input));
        if finished {
            self.stream_ends(link);
        }
    }

    fn agent_tick(&mut self, link: u64) {
        let (now, halt_file) = (self.now(), self.halt_file);
        let Some(linked) = self.agents.iter_mut().find(|linked| linked.link == link) else { return };
        if !linked.stopped {
            let restored = linked.agent.core.tick(now, halt_file);
            if !restored.is_empty() {
                self.world.lock().note(format!("the agent ends {} injections by itself", restored.len()));
            }
        }
        self.after(AGENT_TICK, Happening::AgentTick { link });
    }

    fn stream_ends(&mut self, link: u64) {
        if let Some(position) = self.agents.iter().position(|linked| linked.link == link && !linked.stopped) {
            let mut linked = self.agents.swap_remove(position);
            let died = {
                linked.agent.core.stream_ended();
                !linked.agent.is_alive()
            };
            if died {
                self.bury(&mut linked);
            } else {
                self.world.lock().kill(linked.agent.pid);
            }
        }
    }

    fn kill_agent(&mut self) {
        if let Some(linked) = self.agents.first() {
            self.note(format!("agent {} is killed", linked.link));
            self.world.lock().kill(linked.agent.pid);
        }
    }

    fn stop_agent(&mut self) {
        let Some(linked) = self.agents.first_mut() else { return };
        linked.stopped = true;
        self.note("the agent is stopped");
        if self.agents.iter().all(|linked| linked.warden) {
            // Its warden hears nothing more and kills it.
            self.after(SILENCE, Happening::KillAgent);
        }
    }

    /// Whoever died since the last happening is missed by its brain and its warden.
    fn see_the_dead(&mut self) {
        let (living, dead): (Vec<Linked>, Vec<Linked>) =
            std::mem::take(&mut self.agents).into_iter().partition(|linked| linked.agent.is_alive());
        self.agents = living;
        for mut linked in dead {
            self.bury(&mut linked);
        }
    }

    fn bury(&mut self, linked: &mut Linked) {
        let pid = linked.agent.pid;
        if !self.moment().is_empty() {
            self.note("the agent died while a fault was active");
        }
        if self.link == Some(linked.link) {
            let lost = Happening::ToBrain(Input::Lost("the stream ended".into()));
            self.through(linked.link, Way::Back, lost);
        }
        self.unwatched |= !linked.warden;
        self.last_death = self.now();
        if linked.warden {
            let delay = Duration::from_millis(self.dice.u64(0..300));
            self.after(delay, Happening::Warden { of: pid });
            self.after(AT_ONCE, Happening::MustBeClean("the agent died"));
        }
    }

    /// A warden tries a few times, and holds what it has taken over until it ends.
    fn warden_tries(&mut self, pid: u32, tries: usize) {
        let Some(warden) = self.wardens.get_mut(&pid) else { return };
        let restored = warden.recover().unwrap_or_default();
        let is_clean = restored.iter().all(|restored| restored.residue().is_empty());
        match WARDEN_PAUSES.get(tries) {
            Some(pause) if !is_clean => self.after(*pause, Happening::WardenTries { pid, tries: tries + 1 }),
            _ => {
                self.wardens.remove(&pid);
                self.world.lock().kill(pid);
            }
        }
    }

    // ── The end ─────────────────────────────────────────────────────────────────────────────────────────────────

    fn finish(&mut self, verdict: Verdict, reasons: &[String]) {
        self.run = None;
        self.verdict = Some(verdict);
        self.let_go();
        self.note(format!("verdict {verdict}: {}", reasons.join("; ")));
        let differences = self.world.lock().differences();
        if verdict != Verdict::Residue && !differences.is_empty() {
            self.violation(format!("the verdict is {verdict}, and still: {differences:?}"));
        }
        if verdict != Verdict::Residue {
            self.check_no_log_owes();
        }
        if !matches!(self.journal.last(), Some(Event::Verdict { verdict: last, .. }) if *last == verdict) {
            self.violation("the journal does not end with the verdict");
        }
        self.check_restored(verdict);
        self.check_effects(verdict);
        self.check_choice(verdict);
        let expected = match (self.has_dud, self.fragile) {
            _ if self.asks && !matches!(self.answering, Answering::With(_)) => &[Verdict::Aborted][..],
            // Whatever is chosen, it may be nothing, or not the one that has no effect.
            _ if self.asks => &[Verdict::Passed, Verdict::NoEffect, Verdict::Failed, Verdict::Aborted],
            (true, _) => &[Verdict::NoEffect, Verdict::Aborted][..],
            (false, true) => &[Verdict::Failed, Verdict::Aborted, Verdict::Passed],
            (false, false) => &[Verdict::Passed],
        };
        let expected =
            if matches!(self.approval.1, Approval::Refused { .. }) { &[Verdict::Invalid] } else { expected };
        if !self.disturbed && !expected.contains(&verdict) {
            self.violation(format!("on a calm day the verdict is {verdict}: {reasons:?}"));
        }
        let struck = self.journal.iter().any(|event| matches!(event, Event::InjectStarted { .. }));
        if struck && matches!(self.approval.1, Approval::Refused { .. }) {
            self.violation("what was refused was carried out");
        }
        if verdict == Verdict::Residue && !self.disturbed {
            self.violation("there is residue on a calm day");
        }
    }

    /// What could not be put back is kept in its log, and told.
    fn check_no_log_owes(&self) {
        let mut world = self.world.lock();
        let owes = |bytes: &[u8]| !squall_model::undo_log::read(bytes).owed.is_empty();
        let owing: Vec<String> =
            world.logs.iter().filter(|(_, log)| owes(&log.bytes)).map(|(name, _)| name.clone()).collect();
        if !owing.is_empty() {
            world.violation(format!("logs {owing:?} still owe, and the verdict does not tell"));
        }
    }

    /// What the answers do not choose is not made, and a run that made nothing has not passed.
    fn check_choice(&self, verdict: Verdict) {
        let conditions = |event: &Event| match event {
            Event::Planned { injections, .. } | Event::Replanned { injections, .. } => injections
                .iter()
                .filter_map(|planned| Some((planned.id.clone(), planned.when.clone()?)))
                .collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let when: BTreeMap<String, String> = self.journal.iter().flat_map(conditions).collect();
        let begun: Vec<&String> = self
            .journal
            .iter()
            .filter_map(|event| match event {
                Event::InjectStarted { injection, .. } => Some(injection),
                _ => None,
            })
            .collect();
        for (injection, when) in begun.iter().filter_map(|id| Some((id, when.get(*id)?))) {
            let chosen = matches!(self.answering, Answering::With(code) if *when == format!("decision.exit_code == {code}"));
            if !chosen {
                self.violation(format!(
                    "{injection} was made, and `{when}` does not hold: {:?}",
                    self.answering
                ));
            }
        }
        if begun.is_empty() && verdict == Verdict::Passed {
            self.violation("nothing was made, and the run passed");
        }
    }

    /// Each injection that was begun was told to be put back, if the verdict says so.
    fn check_restored(&self, verdict: Verdict) {
        if verdict == Verdict::Residue {
            return;
        }
        let mut begun: BTreeSet<&str> = BTreeSet::new();
        for event in &self.journal {
            match event {
                Event::Injected { injection, .. } => {
                    begun.insert(injection);
                }
                Event::Restored { restored, residue, .. } if residue.is_empty() => {
                    begun.remove(restored.injection.as_str());
                }
                _ => {}
            }
        }
        if !begun.is_empty() {
            self.violation(format!(
                "the verdict is {verdict}, and nothing tells that {begun:?} were put back"
            ));
        }
    }

    /// A run that passed shows an effect of every injection that was planned.
    fn check_effects(&self, verdict: Verdict) {
        if verdict != Verdict::Passed {
            return;
        }
        let mut planned = BTreeSet::new();
        let mut conditions: BTreeMap<&str, &str> = BTreeMap::new();
        for event in &self.journal {
            if let Event::Planned { injections, .. } | Event::Replanned { injections, .. } = event {
                let when = injections
                    .iter()
                    .filter_map(|planned| Some((planned.id.as_str(), planned.when.as_deref()?)));
                conditions.extend(when);
            }
            match event {
                Event::Planned { injections, .. } => {
                    planned.extend(injections.iter().map(|injection| injection.id.as_str()));
                }
                Event::Replanned { replaced, injections, .. } => {
                    planned.retain(|id| !replaced.iter().any(|replaced| replaced == id));
                    planned.extend(injections.iter().map(|injection| injection.id.as_str()));
                }
                Event::Injected { injection, evidence, .. } | Event::Evidence { injection, evidence }
                    if evidence.iter().any(|evidence| evidence.effect == Effect::Seen) =>
                {
                    planned.remove(injection.as_str());
                }
                Event::Skipped { is_fault: true, when, .. } => {
                    planned.retain(|id| conditions.get(id) != Some(&when.as_str()));
                }
                Event::Aborted { .. } => self.violation("an aborted run passed"),
                _ => {}
            }
        }
        if !planned.is_empty() {
            self.violation(format!("the run passed, and {planned:?} showed no effect"));
        }
    }
}

fn live(answer: Result<Answer, CallError>) -> Result<Vec<String>, CallError> {
    answer.map(|answer| match answer {
        Answer::Renewed { live } => live,
        other => panic!("a renewal was answered with {other:?}"),
    })
}

/// An experiment of some faults, one after the other or together.
fn experiment(dice: &mut fastrand::Rng, has_dud: bool) -> Experiment {
    let mut experiment = testing::experiment();
    let check = |probe: bool, expect: &str| Check {
        name: expect.to_owned(),
        probe: probe.then(|| ProbeCall { kind: "http".into(), parameters: testing::nothing() }),
        expect: condition(expect),
        within: None,
    };
    experiment.steady_state = vec![check(true, "status == 200"), check(false, "errors < 5")];
    experiment.hypothesis_holds = vec![check(true, "status == 200"), check(false, "errors < 5")];
    experiment.metrics = vec![testing::metric("errors")];
    if dice.bool() {
        experiment.guard = vec![condition("errors > 20 for 2s")];
    }
    experiment.baseline = units::Duration::seconds(dice.u64(0..3));
    experiment.method = (0..dice.usize(1..3)).map(|_| strikes(dice)).collect();
    if dice.u32(0..4) == 0 {
        // As `repeat: 2`: what was killed is another process by then.
        experiment.method.extend(experiment.method.first().cloned());
    }
    if dice.u32(0..4) == 0 {
        experiment.method.insert(0, Action::wait(units::Duration::seconds(dice.u64(0..3))));
    }
    if has_dud {
        let dud = strike("sim.dud", Target::Host(true), &Json::Null, dice);
        experiment.method.push(Action::Strike(vec![dud]));
    }
    experiment
}

/// Lets some of the faults depend on a question that is asked before them; whether any does.
fn depend(experiment: &mut Experiment, seed: u64) -> bool {
    let mut dice = fastrand::Rng::with_seed(seed ^ 0xde9);
    if dice.u32(0..4) != 0 {
        return false;
    }
    let at = dice.usize(0..experiment.method.len());
    let mut any = false;
    for action in &mut experiment.method[at..] {
        let Action::Strike(strikes) = action else { continue };
        for strike in strikes {
            if dice.u32(0..3) == 0 {
                continue;
            }
            strike.when = Some(condition(&format!("decision.exit_code == {}", dice.u8(0..2))));
            any = true;
        }
    }
    experiment.method.insert(at, testing::ask("decision", ANSWERS_WITHIN));
    any || matches!(Answering::of(seed), Answering::Failing | Answering::Late | Answering::Lost)
}

/// Lets faults on processes follow them, for long enough; whether there are any.
fn follow(experiment: &mut Experiment, dice: &mut fastrand::Rng) -> bool {
    let mut any = false;
    for action in &mut experiment.method {
        let Action::Strike(strikes) = action else { continue };
        for strike in
            strikes.iter_mut().filter(|strike| matches!(strike.selection.target, Target::Process(_)))
        {
            strike.selection.follow = true;
            strike.lasts = units::Duration::milliseconds(dice.u64(7_000..16_000));
            any = true;
        }
    }
    any
}

/// One to three faults at once, of which no two take the same thing.
fn strikes(dice: &mut fastrand::Rng) -> Action {
    let all = samples();
    // Everything else in the list conflicts with none of these.
    let together: [&[usize]; 10] =
        [&[0], &[1, 2], &[3, 6], &[4, 7, 10], &[8], &[9, 1], &[11], &[6, 9, 3], &[5], &[12, 1]];
    let chosen = together[dice.usize(0..together.len())];
    let strikes = chosen.iter().map(|which| {
        let (fault, target, with) = &all[*which];
        strike(fault, target.clone(), with, dice)
    });
    Action::Strike(strikes.collect())
}

fn strike(fault: &str, target: Target, with: &Json, dice: &mut fastrand::Rng) -> Strike {
    Strike {
        fault: fault.to_owned(),
        selection: all_of(target),
        with: node(with),
        after: units::Duration::milliseconds(dice.u64(0..1_500)),
        ..testing::strike(dice.u64(2..7))
    }
}

fn node(value: &Json) -> Node {
    let entry = |(name, value): (&String, &Json)| {
        let text = Content::Text(value.as_str().unwrap_or_default().to_owned());
        let key = Key { name: name.clone(), place: Place::default() };
        (key, Node { content: text, place: Place::default() })
    };
    let entries = value.as_object().map(|map| map.iter().map(entry).collect()).unwrap_or_default();
    Node { content: Content::Map(entries), place: Place::default() }
}

fn condition(text: &str) -> Condition {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What is said about the plan: mostly nobody is asked; who is asked thinks for a while, and may say no.
fn approval(seed: u64) -> (Duration, Approval) {
    let mut dice = fastrand::Rng::with_seed(seed ^ 0xa991);
    let by = "alice".to_owned();
    match dice.u32(0..8) {
        0 => (Duration::from_millis(dice.u64(0..20_000)), Approval::Agreed { by }),
        1 => (Duration::from_millis(dice.u64(0..20_000)), Approval::Refused { by, why: "no".to_owned() }),
        _ => (Duration::ZERO, Approval::Implied),
    }
}

/// Plays one day; everything that happened, as an error where a promise was broken.
fn play(seed: u64, is_watched: bool) -> Result<(String, Option<Verdict>), String> {
    let mut theatre = Theatre::new(seed, is_watched);
    theatre.play();
    all_is_back(&theatre.world, &BTreeMap::new());
    let world = theatre.world.lock();
    let trace = world.trace.join("\n");
    if world.violations.is_empty() {
        Ok((trace, theatre.verdict))
    } else {
        Err(format!("{}\n\n{trace}", world.violations.join("\n")))
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn the_verdict_is_true_whatever_befalls_the_run() {
    if let Some(seed) = number_from("SQUALL_SIM_SEED") {
        must_hold(seed);
        return;
    }
    let seeds = number_from("SQUALL_SIM_SEEDS").unwrap_or(20_000) / 10;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads as u64 {
            scope.spawn(move || (first..seeds).step_by(threads).for_each(must_hold));
        }
    });
}

fn must_hold(seed: u64) {
    if play(seed, false).is_err() {
        let trace = play(seed, true).err().unwrap_or_default();
        panic!("SQUALL_SIM_SEED={seed} cargo test -p squall-engine sim::brain replays this\n{trace}");
    }
}

#[test]
fn the_corners_are_reached() {
    let days: Vec<_> = (0..600).filter_map(|seed| play(seed, false).ok()).collect();
    for verdict in [Verdict::Passed, Verdict::Failed, Verdict::Aborted, Verdict::NoEffect, Verdict::Residue] {
        let count = days.iter().filter(|(_, word)| *word == Some(verdict)).count();
        assert!(count > 0, "no run ends as {verdict}");
    }
    for corner in [
        "the brain is killed while a fault is active",
        "the brain is stopped for longer than the lease while a fault is active",
        "the agent died while a fault was active",
        "is killed at append",
        "is killed at after_apply",
        "recovers",
        "injections by itself",
        "the halt file is made",
        "is started again",
        "a fault is joined",
        "is left out",
        "a question is not answered",
        "the brain is killed while a question is asked",
    ] {
        let count = days.iter().filter(|(trace, _)| trace.contains(corner)).count();
        assert!(count > 0, "{corner:?} is never reached");
    }
}
