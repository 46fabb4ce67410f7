//! Whole runs against a small world: an agent, probes and metrics that do as they are told, and a clock of numbers.

mod follow;
mod gone;

use super::*;
use crate::testing::{
    ask, check, drifted, experiment, injection, leftover, metric_check, only, restored, strike,
};
use fastrand::Rng;
use squall_model::condition::Condition;
use squall_model::experiment::{Action, Check};
use squall_model::plan::{Plan, PlanRequest};
use squall_model::protocol::{CallErrorKind, Injected};
use squall_model::target_ref::TargetRef;
use squall_model::undo::Evidence;

/// What an agent does with a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Works,
    Refuses,
    /// The kernel lacks what it takes.
    Lacks,
    Halted,
    Hangs,
    Dies,
}

/// How the world behaves.
#[derive(Debug, Clone)]
struct Behaviour {
    connects: Does,
    plans: Does,
    /// What is said about the plan, and after how long.
    approval: (f64, Approval),
    /// Whether more matches a later entry by the time that it begins.
    grows: bool,
    /// The same of a later entry, right before it begins.
    plans_anew: Does,
    /// Whether what an entry strikes is another process by the time that it begins.
    restarts: bool,
    /// So many more begin to match, one at a look.
    newcomers: u32,
    /// Looks for more, what is said about those that would join, and how they are made.
    follows: Does,
    joining: Approval,
    joins: Does,
    /// Injections that never show an effect.
    blind: Vec<String>,
    /// Injections whose target is gone by the time they are to be made.
    gone: Vec<String>,
    /// Injections whose target goes while they are active, and when.
    goes: Vec<(String, f64)>,
    injects: Does,
    observes: Does,
    undoes: Does,
    /// So many undos leave residue before one succeeds.
    drifts: u32,
    effect: bool,
    /// Whether the targets match anything.
    matches: bool,
    /// When the stream to the agent ends by itself.
    agent_dies_at: Option<f64>,
    /// Whether another agent can be started after one was lost, and finds the fault put back.
    replaced: bool,
    /// So many looks of the new agent still find the mark.
    marks: u32,
    /// What the agent says when it is told that we are here.
    renews: Does,
    /// What is injected is no longer held from this second on.
    forgets_at: Option<f64>,
    /// Probes fail in these phases, and do not answer in these.
    probe_fails: Vec<Phase>,
    probe_hangs: Vec<Phase>,
    /// Seconds that a probe's answer takes while the fault is active.
    probe_lags: f64,
    /// The metric `queue` in a phase; absent where it cannot be read.
    queue: fn(Phase, f64) -> Option<f64>,
    /// Requests that fail while the fault is active, of a hundred a second.
    failing: u64,
    /// Seconds after the undo that requests go on failing.
    recovers_after: f64,
    /// What happens from outside, and when.
    outside: Option<(f64, AbortCause)>,
}

fn well() -> Behaviour {
    Behaviour {
        connects: Does::Works,
        plans: Does::Works,
        approval: (SOON, Approval::Implied),
        grows: false,
        plans_anew: Does::Works,
        restarts: false,
        newcomers: 0,
        follows: Does::Works,
        joining: Approval::Implied,
        joins: Does::Works,
        blind: Vec::new(),
        gone: Vec::new(),
        goes: Vec::new(),
        injects: Does::Works,
        observes: Does::Works,
        undoes: Does::Works,
        drifts: 0,
        effect: true,
        matches: true,
        agent_dies_at: None,
        replaced: true,
        marks: 0,
        renews: Does::Works,
        forgets_at: None,
        probe_fails: Vec::new(),
        probe_hangs: Vec::new(),
        probe_lags: SOON,
        queue: |_, _| Some(1.0),
        failing: 0,
        recovers_after: 0.0,
        outside: None,
    }
}

fn thing(name: &str) -> TargetRef {
    TargetRef { thing: name.to_owned(), part: String::new() }
}

/// Whether more is looked for.
fn is_joining(request: &PlanRequest) -> bool {
    request.entries.iter().any(|entry| entry.joining.is_some())
}

/// Seconds that an answer takes.
const SOON: f64 = 0.05;

struct World {
    behaviour: Behaviour,
    run: Run,
    now: f64,
    coming: Vec<(f64, Input)>,
    journal: Vec<(f64, Event)>,
    calls: Vec<(f64, Call)>,
    planned: Vec<PlannedInjection>,
    was_planned: bool,
    /// What really is broken.
    live: BTreeSet<String>,
    agent: bool,
    measuring: bool,
    active_from: f64,
    active_to: f64,
    finished: Option<(Verdict, Vec<String>)>,
}

impl World {
    fn new(experiment: Experiment, behaviour: Behaviour) -> Self {
        let strikes = method::strikes(&experiment).count();
        let first = |entry| PlannedInjection {
            strikes: vec![thing(&format!("i{entry}"))],
            ..injection(&format!("i{entry}"), entry)
        };
        let planned = (0..strikes).map(first).collect();
        let identity = Identity {
            run: "run-1".into(),
            file: "test.yaml".into(),
            options: Vec::new(),
            seed: 7,
            squall: "0.0.0".into(),
            host: "here".into(),
            environment: String::new(),
            origin: String::new(),
            by: String::new(),
            fingerprint: String::new(),
            lease: Duration::seconds(5),
        };
        let mut coming = Vec::new();
        if let Some((at, cause)) = behaviour.outside {
            let input = match cause {
                AbortCause::Journal => Input::JournalFailed("disk full".into()),
                cause => Input::Abort(cause, "from outside".into()),
            };
            coming.push((at, input));
        }
        if let Some(at) = behaviour.agent_dies_at {
            coming.push((at, Input::Lost("killed".into())));
        }
        Self {
            run: Run::new(Arc::new(experiment), identity),
            behaviour,
            now: 0.0,
            coming,
            journal: Vec::new(),
            calls: Vec::new(),
            planned,
            was_planned: false,
            live: BTreeSet::new(),
            agent: false,
            measuring: false,
            active_from: f64::INFINITY,
            active_to: f64::INFINITY,
            finished: None,
        }
    }

    /// Runs to the end, and checks what must hold of every run.
    fn carry_out(mut self) -> Self {
        self.take(Input::Start(Ok(())));
        let mut second = 1.0_f64;
        while self.finished.is_none() {
            assert!(self.now < 600.0, "the run never ends: {:#?}", self.journal.last());
            let wake = self.run.wake_at().unwrap_or(f64::INFINITY);
            let next = self.coming.iter().map(|(at, _)| *at).fold(second.min(wake), f64::min);
            self.now = next.max(self.now);
            if let Some(index) = self.coming.iter().position(|(at, _)| *at <= self.now) {
                let (_, input) = self.coming.remove(index);
                self.arrive(input);
            } else if second <= self.now {
                second += 1.0;
                self.second();
            } else {
                self.take(Input::Time);
            }
        }
        self.check_laws();
        self
    }

    fn arrive(&mut self, input: Input) {
        match &input {
            Input::Lost(_) if !self.agent => return,
            // An agent that dies is survived by its warden, which puts everything back.
            Input::Lost(_) | Input::Answered(_, Err(LinkError::Lost(_)), _) => {
                self.agent = false;
                self.undone();
            }
            Input::Connected(Ok(_)) => self.agent = true,
            _ => {}
        }
        self.take(input);
    }

    fn take(&mut self, input: Input) {
        for output in self.run.on(self.now, input) {
            assert!(self.finished.is_none(), "something is done after the end");
            match output {
                Output::Journal(event) => self.journal.push((self.now, event)),
                Output::Connect => self.connect(),
                Output::Call(number, call) => self.call(number, call),
                Output::Approve(_) => {
                    let (after, approval) = self.behaviour.approval.clone();
                    self.come(after, Input::Approved(approval));
                }
                Output::ApproveJoining(_) => {
                    let approval = self.behaviour.joining.clone();
                    self.come(SOON, Input::JoiningApproved(approval));
                }
                Output::Disconnect => self.agent = false,
                Output::Ask(question) => self.ask(question),
                Output::StartMeasuring => self.measuring = true,
                Output::StopMeasuring => self.measuring = false,
                Output::Finish(verdict, reasons) => self.finished = Some((verdict, reasons)),
            }
        }
    }

    fn come(&mut self, after: f64, input: Input) {
        self.coming.push((self.now + after, input));
    }

    fn undone(&mut self) {
        self.live.clear();
        self.active_to = self.active_to.min(self.now);
    }

    fn connect(&mut self) {
        let again = self.calls.iter().any(|(_, call)| matches!(call, Call::Inject { .. }));
        let does = match again {
            true if self.behaviour.replaced => Does::Works,
            true => Does::Refuses,
            false => self.behaviour.connects,
        };
        match does {
            Does::Works => self.come(SOON, Input::Connected(Ok(Vec::new()))),
            Does::Hangs => self.come(30.0, Input::Connected(Err("it did not answer".into()))),
            _ => self.come(SOON, Input::Connected(Err("sudo: a password is required".into()))),
        }
    }

    fn call(&mut self, number: u64, call: Call) {
        self.calls.push((self.now, call.clone()));
        let behaviour = &self.behaviour;
        let does = match &call {
            Call::Plan(request) if is_joining(request) => behaviour.follows,
            Call::Plan(_) if self.was_planned => behaviour.plans_anew,
            Call::Plan(_) => behaviour.plans,
            Call::Inject { injections } if injections.iter().any(|id| id.starts_with("new-")) => {
                behaviour.joins
            }
            Call::Inject { .. } => behaviour.injects,
            Call::Observe => behaviour.observes,
            Call::Undo { .. } => behaviour.undoes,
            _ => Does::Works,
        };
        let does = if self.agent { does } else { Does::Dies };
        let error = |kind| {
            Err(LinkError::Refused(CallError { kind, message: "it would not".into(), entry: Some(0) }))
        };
        let (after, answer) = match does {
            Does::Works => (SOON, Ok(self.answer(&call))),
            Does::Refuses => (SOON, error(CallErrorKind::Failed)),
            Does::Lacks => (SOON, error(CallErrorKind::Unsupported)),
            Does::Halted => {
                self.undone();
                (SOON, error(CallErrorKind::Halted))
            }
            Does::Hangs => (10.0, Err(LinkError::Lost("it did not answer".into()))),
            Does::Dies => (SOON, Err(LinkError::Lost("the stream ended".into()))),
        };
        self.come(after, Input::Answered(number, answer, after));
    }

    fn answer(&mut self, call: &Call) -> Answer {
        let evidence =
            if self.behaviour.effect { Evidence::seen("9 packets") } else { Evidence::not_seen("0 packets") };
        match call {
            Call::Plan(request) if is_joining(request) => {
                let joining = request.entries[0].joining.clone().unwrap_or_default();
                let number = joining.struck.len() + joining.left_out.len();
                let comes = self.behaviour.newcomers as usize >= number;
                let entry = request.entries[0].entry;
                let id = if entry == 0 { format!("new-{number}") } else { format!("new-{number}-{entry}") };
                let strikes = vec![thing(&id)];
                let new = PlannedInjection { strikes, ..injection(&id, entry) };
                Answer::Plan(Plan {
                    injections: comes.then_some(new).into_iter().collect(),
                    ..Plan::default()
                })
            }
            Call::Plan(request) => {
                let asked = |planned: &&PlannedInjection| {
                    request.entries.iter().any(|one| one.entry == planned.entry)
                };
                let mut injections: Vec<_> = self.planned.iter().filter(asked).cloned().collect();
                if !self.behaviour.matches {
                    injections.clear();
                }
                for planned in injections.iter_mut().filter(|_| self.was_planned) {
                    planned.id = format!("anew-{}", planned.id);
                    planned.target.push_str(if self.behaviour.restarts { ", started again" } else { "" });
                }
                if self.was_planned && self.behaviour.grows {
                    let more =
                        injections.iter().map(|planned| injection("more", planned.entry)).collect::<Vec<_>>();
                    injections.extend(more);
                }
                self.was_planned = true;
                Answer::Plan(Plan { injections, ..Plan::default() })
            }
            Call::Inject { injections } => {
                let is_gone = |id: &String| self.behaviour.gone.contains(id);
                let (gone, made): (Vec<String>, Vec<_>) = injections.iter().cloned().partition(is_gone);
                self.live.extend(made.iter().cloned());
                self.active_from = self.active_from.min(self.now);
                let first = |id: &String| (id.clone(), vec![Evidence::not_seen("0 packets")]);
                Answer::Injected(Injected {
                    evidence: made.iter().map(first).collect(),
                    gone: gone.into_iter().map(|id| (id, "it has ended".to_owned())).collect(),
                })
            }
            Call::Observe => {
                let blind = &self.behaviour.blind;
                let of = |id: &String| {
                    let goes = self.behaviour.goes.iter().find(|(known, _)| known == id);
                    match goes {
                        Some((_, at)) if self.now >= *at => Evidence::gone("it has ended"),
                        _ if blind.contains(id) => Evidence::not_seen("0 packets"),
                        _ => evidence.clone(),
                    }
                };
                let one = |id: &String| (id.clone(), vec![of(id)]);
                Answer::Observed { evidence: self.live.iter().map(one).collect() }
            }
            Call::Undo { injections } => {
                let asked = |id: &&String| injections.is_empty() || injections.contains(id);
                let ids: Vec<String> = self.live.iter().filter(asked).cloned().collect();
                if self.behaviour.drifts > 0 && !ids.is_empty() {
                    self.behaviour.drifts -= 1;
                    return Answer::Restored { restored: ids.iter().map(|id| drifted(id)).collect() };
                }
                self.live.retain(|id| !ids.contains(id));
                if self.live.is_empty() {
                    self.active_to = self.active_to.min(self.now);
                }
                Answer::Restored { restored: ids.iter().map(|id| restored(id)).collect() }
            }
            Call::Leftovers => {
                let marked = self.behaviour.marks > 0;
                self.behaviour.marks = self.behaviour.marks.saturating_sub(1);
                Answer::Leftovers { found: if marked { vec![leftover("i0")] } else { Vec::new() } }
            }
            _ => Answer::Restored { restored: Vec::new() },
        }
    }

    fn ask(&mut self, question: Question) {
        let phase = self.run.phase;
        let fails = self.behaviour.probe_fails.contains(&phase);
        let status = if fails { 503.0 } else { 200.0 };
        let reading = BTreeMap::from([("status".to_owned(), squall_model::value::Value::Number(status))]);
        let (after, reading) = if self.behaviour.probe_hangs.contains(&phase) {
            (5.0, Err("no answer within 5s".to_owned()))
        } else if phase == Phase::Fault {
            (self.behaviour.probe_lags, Ok(reading))
        } else {
            (SOON, Ok(reading))
        };
        self.come(after, Input::Replied(question, Reply { reading, seconds: after }));
    }

    /// A second is over.
    fn second(&mut self) {
        if self.agent && self.behaviour.agent_dies_at.is_none_or(|at| self.now < at) {
            let forgotten = self.behaviour.forgets_at.is_some_and(|at| self.now >= at);
            if forgotten {
                self.undone();
            }
            let live = match self.behaviour.renews {
                Does::Halted if !self.live.is_empty() => {
                    self.undone();
                    Err(CallError {
                        kind: CallErrorKind::Halted,
                        message: "the lease expired".into(),
                        entry: None,
                    })
                }
                _ => Ok(self.live.iter().cloned().collect()),
            };
            self.come(SOON, Input::Renewed { sent: self.now, live });
        }
        let mut sample = Sample::default();
        if self.measuring {
            if let Some(queue) = (self.behaviour.queue)(self.run.phase, self.now) {
                sample.metrics.insert("queue".into(), queue);
            } else {
                sample.errors.insert("queue".into(), "connection refused".into());
            }
        }
        if self.measuring && !self.run.experiment.loads.is_empty() {
            let slice = self.traffic(self.now - 1.0);
            sample.loads.push(BTreeMap::from([("error_rate".into(), slice.metric("error_rate").unwrap())]));
            self.take(Input::Settled(0, vec![slice]));
        }
        if self.finished.is_none() {
            self.take(Input::Second(sample));
        }
    }

    fn traffic(&self, start: f64) -> Slice {
        let broken = start + 1.0 > self.active_from && start < self.active_to + self.behaviour.recovers_after;
        let failed = if broken { self.behaviour.failing } else { 0 };
        let latencies = vec![(if broken { 200_000 } else { 5_000 }, 100)];
        Slice { start, end: start + 1.0, ended: 100, success: 100 - failed, latencies, ..Slice::default() }
    }

    fn check_laws(&self) {
        let (verdict, reasons) = self.finished.as_ref().unwrap();
        let told = || format!("{verdict} {reasons:#?} {:#?} {:#?}", self.behaviour, self.journal);
        assert!(
            matches!(self.journal.last(), Some((_, Event::Verdict { .. }))),
            "the last event is the verdict"
        );
        assert!(!reasons.is_empty() || *verdict == Verdict::Passed, "{}", told());
        assert!(
            self.live.is_empty() || *verdict == Verdict::Residue,
            "a fault is left and nobody says so: {}",
            told()
        );
        assert!(!self.measuring, "the load goes on");
        let injected = self.calls.iter().any(|(_, call)| matches!(call, Call::Inject { .. }));
        if *verdict == Verdict::Passed && !self.planned.is_empty() {
            assert!(injected && self.behaviour.effect, "passed without an effect: {}", told());
            let owed = self.events(|event| matches!(event, Event::InjectStarted { .. })).len()
                - self.events(|event| matches!(event, Event::TargetGone { .. })).len();
            let restored =
                |event: &Event| matches!(event, Event::Restored { residue, .. } if residue.is_empty());
            assert!(self.events(restored).len() >= owed, "passed without everything put back: {}", told());
        }
        if matches!(verdict, Verdict::Invalid | Verdict::NotSteady) {
            assert!(!injected, "{}", told());
        }
        let phases: Vec<Phase> = self.phases();
        assert!(phases.is_sorted(), "{phases:?}");
    }

    fn events(&self, wanted: impl Fn(&Event) -> bool) -> Vec<&(f64, Event)> {
        self.journal.iter().filter(|(_, event)| wanted(event)).collect()
    }

    fn phases(&self) -> Vec<Phase> {
        let phase = |(_, event): &(f64, Event)| match event {
            Event::PhaseStarted { phase } => Some(*phase),
            _ => None,
        };
        self.journal.iter().filter_map(phase).collect()
    }

    fn verdict(&self) -> Verdict {
        self.finished.as_ref().unwrap().0
    }

    fn reasons(&self) -> String {
        self.finished.as_ref().unwrap().1.join("\n")
    }

    /// Seconds until the steady state was back; not a number where it was not.
    fn recovery(&self) -> f64 {
        let seconds = self.journal.iter().find_map(|(_, event)| match event {
            Event::Recovered { seconds, .. } => Some(seconds.unwrap_or(f64::NAN)),
            _ => None,
        });
        seconds.expect("nothing is said about the recovery")
    }
}

/// A probe and a metric in the steady state, a guard, a fault of ten seconds.
fn ordinary() -> Experiment {
    let mut experiment = experiment();
    experiment.steady_state = vec![check("health", "status == 200"), metric_check("queue < 10")];
    experiment.hypothesis_holds = experiment.steady_state.clone();
    experiment.guard = vec![Condition::parse("queue > 20").unwrap()];
    experiment.metrics = vec![crate::testing::metric("queue")];
    experiment.method = vec![Action::Strike(vec![strike(10)])];
    experiment.baseline = Duration::seconds(10);
    experiment
}

/// The same with traffic.
fn with_load() -> Experiment {
    let mut experiment = ordinary();
    experiment.loads = vec![crate::testing::load("shop")];
    experiment.hypothesis_holds.push(metric_check("error_rate < 1%"));
    experiment.steady_state.push(metric_check("error_rate < 1%"));
    experiment
}

/// Every fault follows its targets, and lasts long enough for that.
fn follow_all(experiment: &mut Experiment) {
    for action in &mut experiment.method {
        if let Action::Strike(strikes) = action {
            for strike in strikes {
                strike.selection.follow = true;
                strike.lasts = Duration::seconds(20);
            }
        }
    }
}

fn carry_out(experiment: Experiment, change: impl FnOnce(&mut Behaviour)) -> World {
    let mut behaviour = well();
    change(&mut behaviour);
    World::new(experiment, behaviour).carry_out()
}

#[test]
fn a_run_in_order() {
    let world = carry_out(with_load(), |_| ());
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(
        world.phases(),
        [
            Phase::Plan,
            Phase::SteadyState,
            Phase::Baseline,
            Phase::Fault,
            Phase::Undo,
            Phase::Recovery,
            Phase::Analysis
        ]
    );
    let names: Vec<&str> = world
        .calls
        .iter()
        .map(|(_, call)| match call {
            Call::Plan(_) => "plan",
            Call::Inject { .. } => "inject",
            Call::Observe => "observe",
            Call::Undo { .. } => "undo",
            Call::Leftovers => "look",
            Call::Bye => "bye",
            _ => "other",
        })
        .collect();
    assert_eq!(
        names,
        ["plan", "inject", "observe", "observe", "observe", "observe", "observe", "undo", "look", "bye"]
    );
    assert!(world.recovery() < 1.1, "{}", world.recovery());
    let compared = world.events(|event| matches!(event, Event::Compared { .. }));
    let Event::Compared { comparisons } = &compared[0].1 else { panic!() };
    let p99 = comparisons.iter().find(|change| change.metric == "latency_p50").unwrap();
    assert!(p99.seen && (p99.difference.unwrap() - 0.195).abs() < 0.001, "{p99:?}");
}

#[test]
fn every_verdict_has_its_way() {
    type Change = fn(&mut Behaviour);
    let ways: &[(&str, Change, Verdict, &str)] = &[
        ("all is well", |_| (), Verdict::Passed, "held"),
        ("no agent", |b| b.connects = Does::Refuses, Verdict::Invalid, "password"),
        ("an agent that never greets", |b| b.connects = Does::Hangs, Verdict::Invalid, "did not answer"),
        ("no plan", |b| b.plans = Does::Refuses, Verdict::Invalid, "network.latency: it would not"),
        (
            "a kernel that lacks it",
            |b| b.plans = Does::Lacks,
            Verdict::NoEffect,
            "the fault could not be made: network.latency: it would not",
        ),
        ("an agent that dies planning", |b| b.plans = Does::Dies, Verdict::Invalid, "lost while it planned"),
        (
            "a service that is down",
            |b| b.probe_fails = vec![Phase::SteadyState],
            Verdict::NotSteady,
            "status = 503",
        ),
        (
            "a service that hangs",
            |b| b.probe_hangs = vec![Phase::SteadyState],
            Verdict::NotSteady,
            "no answer",
        ),
        ("a long queue", |b| b.queue = |_, _| Some(11.0), Verdict::NotSteady, "queue = 11"),
        ("an unreadable queue", |b| b.queue = |_, _| None, Verdict::NotSteady, "connection refused"),
        ("no effect", |b| b.effect = false, Verdict::NoEffect, "showed no effect: 0 packets"),
        ("an injection that fails", |b| b.injects = Does::Refuses, Verdict::NoEffect, "could not be made"),
        ("a service that breaks", |b| b.probe_fails = vec![Phase::Fault], Verdict::Failed, "status = 503"),
        (
            "a service that stalls",
            |b| b.probe_hangs = vec![Phase::Fault],
            Verdict::Failed,
            "no answer within",
        ),
        (
            "a service that stays down",
            |b| b.probe_fails = vec![Phase::Recovery],
            Verdict::Failed,
            "not back within",
        ),
        (
            "a metric that breaks",
            |b| b.queue = |phase, _| Some(if phase == Phase::Fault { 12.0 } else { 1.0 }),
            Verdict::Failed,
            "queue = 12",
        ),
        (
            "a failure without a fault is not the fault's",
            |b| (b.effect, b.probe_fails) = (false, vec![Phase::Fault]),
            Verdict::NoEffect,
            "no effect",
        ),
        (
            "a guard that trips",
            |b| b.queue = |phase, _| Some(if phase == Phase::Fault { 25.0 } else { 1.0 }),
            Verdict::Aborted,
            "abort_if queue > 20: queue = 25",
        ),
        (
            "a guard that trips before the fault",
            |b| b.queue = |phase, _| Some(if phase == Phase::Baseline { 25.0 } else { 1.0 }),
            Verdict::Aborted,
            "queue = 25",
        ),
        (
            "a guard that goes blind",
            |b| b.queue = |phase, _| (phase != Phase::Fault).then_some(1.0),
            Verdict::Aborted,
            "queue could not be read (connection refused)",
        ),
        ("a lease that runs out", |b| b.renews = Does::Halted, Verdict::Aborted, "the lease expired"),
        ("an agent that forgets", |b| b.forgets_at = Some(17.0), Verdict::Aborted, "no longer holds i0"),
        ("an agent that is halted", |b| b.observes = Does::Halted, Verdict::Aborted, "it would not"),
        ("an agent that dies", |b| b.agent_dies_at = Some(17.5), Verdict::Aborted, "killed"),
        ("an agent that dies making it", |b| b.injects = Does::Dies, Verdict::Aborted, "lost"),
        ("an agent that hangs making it", |b| b.injects = Does::Hangs, Verdict::Aborted, "did not answer"),
        ("an agent that hangs observing", |b| b.observes = Does::Hangs, Verdict::Aborted, "did not answer"),
        ("an agent that dies undoing", |b| b.undoes = Does::Dies, Verdict::Passed, "held"),
        ("an undo that succeeds at last", |b| b.drifts = 2, Verdict::Passed, "held"),
        ("an undo that never does", |b| b.drifts = 99, Verdict::Residue, "tc qdisc del"),
        ("an undo that is refused", |b| b.undoes = Does::Refuses, Verdict::Residue, "squall recover"),
        (
            "an agent that cannot be replaced",
            |b| (b.agent_dies_at, b.replaced) = (Some(17.5), false),
            Verdict::Residue,
            "run `squall recover`",
        ),
        (
            "a warden that needs a while",
            |b| (b.agent_dies_at, b.marks) = (Some(17.5), 3),
            Verdict::Aborted,
            "killed",
        ),
        (
            "marks that do not go",
            |b| (b.agent_dies_at, b.marks) = (Some(17.5), 99),
            Verdict::Residue,
            "a qdisc; tc qdisc del",
        ),
        ("a mark that is found after the undo", |b| b.marks = 1, Verdict::Passed, "held"),
        ("a mark that stays after the undo", |b| b.marks = 99, Verdict::Residue, "a qdisc; tc qdisc del"),
    ];
    for (name, change, verdict, reason) in ways {
        let world = carry_out(ordinary(), change);
        let reasons = world.reasons();
        assert_eq!(world.verdict(), *verdict, "{name}: {reasons}");
        assert!(reasons.contains(reason), "{name}: {reasons}");
    }
}

#[test]
fn every_abort_in_every_phase_puts_everything_back_at_once() {
    let causes = [
        AbortCause::Guard,
        AbortCause::Unreadable,
        AbortCause::Halt,
        AbortCause::Signal,
        AbortCause::LostAgent,
        AbortCause::LeaseExpired,
        AbortCause::BlastRadius,
        AbortCause::Journal,
    ];
    // Planning until 0.1; steady state until 2; baseline until 12.05; making until 12.1; fault until 22.1; then undo.
    let moments = [
        (0.02, Phase::Plan, false),
        (0.07, Phase::Plan, false),
        (0.5, Phase::SteadyState, false),
        (5.0, Phase::Baseline, false),
        (12.07, Phase::Fault, true),
        (15.0, Phase::Fault, true),
        (22.17, Phase::Undo, true),
        (23.1, Phase::Recovery, true),
    ];
    for cause in causes {
        for (at, phase, touched) in moments {
            let world = carry_out(ordinary(), |behaviour| behaviour.outside = Some((at, cause)));
            let name = format!("{cause:?} at {at}");
            let aborted = world.events(|event| matches!(event, Event::Aborted { .. }));
            assert_eq!((aborted.len(), aborted[0].0), (1, at), "{name}");
            let before =
                world.journal.iter().take_while(|(_, event)| !matches!(event, Event::Aborted { .. }));
            let last = before.filter_map(|(_, event)| match event {
                Event::PhaseStarted { phase } => Some(*phase),
                _ => None,
            });
            assert_eq!(last.last(), Some(phase), "{name}");
            assert_eq!(world.verdict(), Verdict::Aborted, "{name}");
            let undo = world.calls.iter().find(|(_, call)| matches!(call, Call::Undo { .. }));
            assert_eq!(undo.is_some(), touched, "{name}");
            if phase == Phase::Fault {
                assert!((undo.unwrap().0 - at).abs() < 1e-9, "{name}: the undo waited");
            }
            let hurried = matches!(cause, AbortCause::Halt | AbortCause::Signal | AbortCause::Journal);
            if hurried {
                assert!(world.now < at + 1.0, "{name} took {}", world.now - at);
            }
        }
    }
}

#[test]
fn an_undo_does_not_wait_for_an_injection_that_hangs() {
    let world = carry_out(ordinary(), |behaviour| {
        behaviour.injects = Does::Hangs;
        behaviour.outside = Some((14.0, AbortCause::Signal));
    });
    let undo = world.calls.iter().find(|(_, call)| matches!(call, Call::Undo { .. })).unwrap();
    assert!((undo.0 - 14.0).abs() < 1e-9);
    assert_eq!(world.verdict(), Verdict::Aborted);
}

#[test]
fn probes_that_hang_do_not_hold_up_the_guard() {
    let world = carry_out(ordinary(), |behaviour| {
        behaviour.probe_hangs = vec![Phase::Fault];
        behaviour.queue = |phase, now| Some(if phase == Phase::Fault && now > 14.5 { 25.0 } else { 1.0 });
    });
    let aborted = world.events(|event| matches!(event, Event::Aborted { .. }));
    assert!((aborted[0].0 - 15.0).abs() < 1e-9, "{aborted:?}");
}

#[test]
fn a_steady_state_that_breaks_in_the_baseline_keeps_the_fault_from_being_made() {
    let by_probe = carry_out(ordinary(), |behaviour| behaviour.probe_fails = vec![Phase::Baseline]);
    let by_metric = carry_out(ordinary(), |behaviour| {
        behaviour.queue = |phase, now| Some(if phase == Phase::Baseline && now > 8.0 { 12.0 } else { 1.0 });
    });
    for world in [by_probe, by_metric] {
        assert_eq!(world.verdict(), Verdict::NotSteady, "{}", world.reasons());
        assert!(world.events(|event| matches!(event, Event::InjectStarted { .. })).is_empty());
    }
}

#[test]
fn an_answer_that_came_only_when_the_fault_was_over_is_none() {
    let hung = carry_out(ordinary(), |behaviour| behaviour.probe_lags = 10.5);
    assert_eq!(hung.verdict(), Verdict::Failed, "{}", hung.reasons());
    assert!(hung.reasons().contains("no answer in the 10"), "{}", hung.reasons());
    // Answers that take a while take a while at the end, too.
    for lag in [SOON, 0.9, 2.7] {
        let slow = carry_out(ordinary(), |behaviour| behaviour.probe_lags = lag);
        assert_eq!(slow.verdict(), Verdict::Passed, "{lag}: {}", slow.reasons());
    }
}

#[test]
fn traffic_is_judged_over_the_whole_time_of_the_fault() {
    let world = carry_out(with_load(), |behaviour| behaviour.failing = 2);
    assert_eq!(world.verdict(), Verdict::Failed);
    assert!(world.reasons().contains("error_rate = 2 %"), "{}", world.reasons());
}

#[test]
fn the_moment_of_recovery_is_not_blurred_by_windows() {
    for (lasts, expected) in [(0.0, 0.0..1.1), (4.0, 4.0..5.5)] {
        let world = carry_out(with_load(), |behaviour| {
            (behaviour.failing, behaviour.recovers_after) = (50, lasts);
        });
        let seconds = world.recovery();
        assert!(expected.contains(&seconds), "{seconds} for {lasts}");
    }
    let mut experiment = with_load();
    experiment.recovery_within = Duration::seconds(3);
    let world = carry_out(experiment, |behaviour| (behaviour.failing, behaviour.recovers_after) = (50, 8.0));
    assert_eq!((world.verdict(), world.recovery().is_nan()), (Verdict::Failed, true));
}

/// Something must come to be within four seconds of the fault: a metric, and what a probe says.
fn expecting(metric: &str) -> Experiment {
    let mut experiment = ordinary();
    let within = Some(Duration::seconds(4));
    experiment.hypothesis_holds =
        vec![Check { within, ..metric_check(metric) }, Check { within, ..check("alert", "status == 200") }];
    experiment
}

#[test]
fn what_must_hold_within_some_time_of_the_fault_may_take_it() {
    // The fault begins at about 12 s.
    let world =
        carry_out(expecting("queue > 5"), |b| b.queue = |_, now| Some(if now > 14.5 { 9.0 } else { 1.0 }));
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert!(world.reasons().contains("queue > 5 held 2."), "{}", world.reasons());
    assert!(world.reasons().contains("alert held 0.0 s after the fault began"), "{}", world.reasons());
    let results = world.events(|event| matches!(event, Event::Judged { .. }));
    let (_, Event::Judged { checks }) = results[0] else { panic!("{results:?}") };
    assert_eq!((checks[0].within, checks[0].held), (Some(4.0), checks[0].asked));
    assert!(checks[0].after.is_some_and(|after| (2.0..=4.0).contains(&after)), "{checks:?}");

    let late =
        carry_out(expecting("queue > 5"), |b| b.queue = |_, now| Some(if now > 17.5 { 9.0 } else { 1.0 }));
    assert_eq!(late.verdict(), Verdict::Failed);
    assert!(
        late.reasons().contains("did not hold within 4 s of the fault and from then on; queue = 1"),
        "{}",
        late.reasons()
    );
    let gone = carry_out(expecting("queue > 5"), |b| {
        b.queue = |_, now| Some(if (14.5..17.5).contains(&now) { 9.0 } else { 1.0 });
    });
    assert_eq!(gone.verdict(), Verdict::Failed, "it must hold until the fault is over");
    let silent = carry_out(expecting("queue > 5"), |b| b.probe_fails = vec![Phase::Fault]);
    assert!(
        silent.reasons().contains("alert (status == 200): did not hold within 4 s"),
        "{}",
        silent.reasons()
    );
    let mut unread = expecting("queue > 5");
    unread.guard.clear();
    let unread = carry_out(unread, |b| b.queue = |phase, _| (phase != Phase::Fault).then_some(1.0));
    assert!(unread.reasons().contains("queue could not be read"), "{}", unread.reasons());
    assert_eq!(unread.verdict(), Verdict::Failed);
}

#[test]
fn each_check_of_the_steady_state_may_have_its_own_time_to_come_back() {
    let of = |within: Option<u64>, back_at: fn(Phase, f64) -> Option<f64>| {
        let mut experiment = ordinary();
        experiment.hypothesis_holds.clear();
        experiment.recovery_within = Duration::seconds(3);
        experiment.steady_state[1].within = within.map(Duration::seconds);
        carry_out(experiment, |behaviour| behaviour.queue = back_at)
    };
    let slow: fn(Phase, f64) -> Option<f64> =
        |phase, now| Some(if phase == Phase::Recovery && now < 36.0 { 15.0 } else { 1.0 });
    let world = of(Some(20), slow);
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert!(world.reasons().contains("queue < 10 held again"), "{}", world.reasons());
    assert!(world.recovery() > 3.0);
    for within in [None, Some(5)] {
        let world = of(within, slow);
        assert_eq!(world.verdict(), Verdict::Failed);
        let words =
            format!("not back within {}s after the undo: queue < 10: queue = 15", within.unwrap_or(3));
        assert!(world.reasons().contains(&words), "{}", world.reasons());
    }
}

#[test]
fn faults_are_never_active_for_longer_than_the_blast_radius_allows() {
    let mut experiment = ordinary();
    experiment.blast_radius.duration = Some(Duration::seconds(12));
    let pause = Action::wait(Duration::seconds(20));
    experiment.method = vec![Action::Strike(vec![strike(8)]), pause, Action::Strike(vec![strike(8)])];
    let world = carry_out(experiment, |_| ());
    assert_eq!(world.verdict(), Verdict::Aborted);
    assert!(world.reasons().contains("blast_radius.duration"), "{}", world.reasons());
    let aborted = world.events(|event| matches!(event, Event::Aborted { .. }))[0].0;
    // 12 before, 8.3 of the first with its undo, 20 of waiting, 3.7 of the second.
    assert!((43.5..44.5).contains(&aborted), "{aborted}");
}

#[test]
fn a_ramp_names_the_stage_that_broke() {
    let mut experiment = with_load();
    let stage = |number: u32| {
        let mut strike = strike(6);
        strike.stage = Some(format!("delay {number}00ms ({number} of 4)"));
        Action::Strike(vec![strike])
    };
    experiment.method = (1..=4).map(stage).collect();
    let world = carry_out(experiment, |behaviour| {
        behaviour.queue = |phase, now| Some(if phase == Phase::Fault && now > 19.0 { 12.0 } else { 1.0 });
    });
    assert_eq!(world.verdict(), Verdict::Failed);
    let reasons = world.reasons();
    assert!(reasons.starts_with("broke at delay 200ms (2 of 4) (2 further stages left out)"), "{reasons}");
    assert_eq!(world.events(|event| matches!(event, Event::InjectStarted { .. })).len(), 2);
}

/// A fault, a pause, and the same fault again.
fn repeated() -> Experiment {
    let mut experiment = ordinary();
    let again = || Action::Strike(vec![strike(4)]);
    experiment.method = vec![again(), Action::wait(Duration::seconds(2)), again()];
    experiment
}

#[test]
fn a_later_entry_is_planned_anew_and_what_differs_is_told() {
    for restarts in [false, true] {
        let world = carry_out(repeated(), |behaviour| behaviour.restarts = restarts);
        assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
        let planned: Vec<_> = world
            .calls
            .iter()
            .filter_map(|(_, call)| match call {
                Call::Plan(request) => Some(request.entries.iter().map(|e| e.entry).collect::<Vec<_>>()),
                _ => None,
            })
            .collect();
        assert_eq!(planned, [vec![0, 1], vec![1]], "the first entry is made as it was planned");
        let injected: Vec<_> = world
            .journal
            .iter()
            .filter_map(|(_, event)| match event {
                Event::InjectStarted { injection, target, .. } => Some((injection.as_str(), target.as_str())),
                _ => None,
            })
            .collect();
        let told: Vec<_> = world
            .journal
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Replanned { replaced, injections, .. } => Some((replaced, &injections[0].id)),
                _ => None,
            })
            .collect();
        if restarts {
            assert_eq!(injected, [("i0", "eth0"), ("anew-i1", "eth0, started again")]);
            assert_eq!(told, [(&vec!["i1".to_owned()], &"anew-i1".to_owned())]);
        } else {
            assert_eq!(injected, [("i0", "eth0"), ("i1", "eth0")], "the plan that was told stands");
            assert!(told.is_empty(), "{told:?}");
        }
    }
}

/// Whoever is asked.
fn agreed() -> Approval {
    Approval::Agreed { by: "alice".into() }
}

#[test]
fn a_plan_that_is_refused_is_not_carried_out() {
    let refused = Approval::Refused { by: "alice".into(), why: "not on a Friday".into() };
    let world = carry_out(with_load(), |behaviour| behaviour.approval = (40.0, refused));
    assert_eq!(world.verdict(), Verdict::Invalid);
    assert!(world.reasons().contains("not on a Friday; nothing was touched"), "{}", world.reasons());
    assert_eq!(world.phases(), [Phase::Plan]);
    assert_eq!(world.events(|event| matches!(event, Event::Refused { .. })).len(), 1);
}

#[test]
fn what_was_agreed_to_is_carried_out_and_never_more() {
    let mut experiment = ordinary();
    experiment.method = vec![Action::Strike(vec![strike(5)]), Action::Strike(vec![strike(5)])];
    let world = carry_out(experiment.clone(), |behaviour| behaviour.approval = (40.0, agreed()));
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(world.events(|event| matches!(event, Event::Approved { by } if by == "alice")).len(), 1);
    let first = world.calls.iter().find(|(_, call)| matches!(call, Call::Inject { .. })).unwrap();
    assert_eq!(first.1, Call::Inject { injections: vec!["i0".into()] });

    let world = carry_out(experiment.clone(), |behaviour| {
        (behaviour.approval, behaviour.grows) = ((SOON, agreed()), true);
    });
    assert_eq!(world.verdict(), Verdict::NoEffect);
    assert!(
        world.reasons().contains("would strike 2 targets now, but 1 were agreed to"),
        "{}",
        world.reasons()
    );
    // Who said yes beforehand said yes to whatever matches.
    let world = carry_out(experiment, |behaviour| behaviour.grows = true);
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
}

#[test]
fn nobody_has_to_answer() {
    let never = |behaviour: &mut Behaviour| behaviour.approval = (f64::INFINITY, agreed());
    let world = carry_out(ordinary(), |behaviour| {
        never(behaviour);
        behaviour.outside = Some((30.0, AbortCause::Signal));
    });
    assert_eq!(world.verdict(), Verdict::Aborted);
    let world = carry_out(ordinary(), |behaviour| {
        never(behaviour);
        behaviour.agent_dies_at = Some(30.0);
    });
    assert_eq!(world.verdict(), Verdict::Invalid, "{}", world.reasons());
    assert!(world.reasons().contains("lost before its plan was agreed to"), "{}", world.reasons());
}

#[test]
fn a_later_entry_that_cannot_be_planned_ends_the_method() {
    type Change = fn(&mut Behaviour);
    let ways: [(Change, Verdict, &str); 3] = [
        (
            |b| b.plans_anew = Does::Refuses,
            Verdict::NoEffect,
            "could not be made: network.latency: it would not",
        ),
        (|b| b.plans_anew = Does::Dies, Verdict::Aborted, "the agent was lost"),
        (|b| b.plans_anew = Does::Hangs, Verdict::Aborted, "did not answer"),
    ];
    for (change, verdict, reason) in ways {
        let world = carry_out(repeated(), change);
        assert_eq!(world.verdict(), verdict, "{}", world.reasons());
        assert!(world.reasons().contains(reason), "{}", world.reasons());
        assert_eq!(world.events(|event| matches!(event, Event::InjectStarted { .. })).len(), 1);
    }
}

#[test]
fn without_a_fault_no_agent_is_started_and_nothing_waits() {
    let mut experiment = experiment();
    experiment.steady_state = vec![check("health", "status == 200")];
    experiment.hypothesis_holds = experiment.steady_state.clone();
    let world = carry_out(experiment, |_| ());
    assert_eq!((world.verdict(), world.calls.len()), (Verdict::Passed, 0));
    assert!(world.now < 0.2, "{}", world.now);
}

/// A question, and a fault that depends on it.
fn asking(when: &str) -> Experiment {
    let mut experiment = ordinary();
    experiment.method = vec![ask("mode", 5), Action::Strike(vec![only(when, strike(10))])];
    experiment
}

#[test]
fn an_answer_decides_and_what_it_leaves_out_is_told() {
    let world = carry_out(asking("mode.status == 200"), |_| {});
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(world.events(|event| matches!(event, Event::Answered { error: None, .. })).len(), 1);

    let world = carry_out(asking("mode.status == 503"), |_| {});
    assert_eq!(world.verdict(), Verdict::NoEffect, "{}", world.reasons());
    assert!(world.reasons().contains("left out: network.latency on "), "{}", world.reasons());
    assert!(world.reasons().contains("since mode.status = 200"), "{}", world.reasons());
    assert_eq!(world.events(|event| matches!(event, Event::Skipped { is_fault: true, .. })).len(), 1);
    assert!(world.events(|event| matches!(event, Event::InjectStarted { .. })).is_empty());

    let world = carry_out(asking("mode.body =~ x"), |_| {});
    assert_eq!(world.verdict(), Verdict::Aborted, "{}", world.reasons());
    assert!(world.reasons().contains("mode.body could not be read"), "{}", world.reasons());
}

#[test]
fn a_fault_that_matched_nothing_proves_nothing() {
    let world = carry_out(ordinary(), |behaviour| behaviour.matches = false);
    assert_eq!((world.verdict(), world.reasons().as_str()), (Verdict::NoEffect, "no fault was made"));
    assert_eq!(world.calls.len(), 2, "plan and bye: {:?}", world.calls);
}

/// Thousands of worlds that behave at random: the laws hold in all of them (see `check_laws`).
#[test]
fn whatever_happens_the_laws_hold() {
    let phases = [Phase::SteadyState, Phase::Fault, Phase::Recovery, Phase::Undo];
    let queues: [fn(Phase, f64) -> Option<f64>; 4] = [
        |_, _| Some(1.0),
        |phase, _| Some(if phase == Phase::Fault { 12.0 } else { 1.0 }),
        |phase, now| Some(if phase == Phase::Fault && now > 15.0 { 25.0 } else { 1.0 }),
        |phase, _| (phase != Phase::Fault).then_some(1.0),
    ];
    let mut verdicts = BTreeMap::new();
    for seed in 0..3000 {
        let mut dice = Rng::with_seed(seed);
        let does = |dice: &mut Rng| match dice.u8(0..12) {
            0 => Does::Refuses,
            1 => Does::Halted,
            2 => Does::Hangs,
            3 => Does::Dies,
            _ => Does::Works,
        };
        let some_phase = |dice: &mut Rng| match dice.u8(0..8) {
            0 => vec![phases[dice.usize(..phases.len())]],
            _ => Vec::new(),
        };
        let behaviour = Behaviour {
            connects: if dice.u8(0..20) == 0 { Does::Refuses } else { Does::Works },
            plans: if dice.u8(0..20) == 0 { Does::Dies } else { Does::Works },
            approval: match seed % 8 {
                0 => (seed as f64 / 100.0, agreed()),
                1 => (seed as f64 / 100.0, Approval::Refused { by: "alice".into(), why: "no".into() }),
                _ => (SOON, Approval::Implied),
            },
            grows: seed % 3 == 0,
            plans_anew: does(&mut dice),
            restarts: dice.bool(),
            newcomers: dice.u32(0..4),
            follows: does(&mut dice),
            joining: match dice.u8(0..6) {
                0 => Approval::Refused { by: "alice".into(), why: "no".into() },
                _ => Approval::Implied,
            },
            joins: does(&mut dice),
            blind: Vec::new(),
            gone: ["i0", "i1", "anew-i2", "new-1"]
                .into_iter()
                .filter(|_| dice.u8(0..8) == 0)
                .map(String::from)
                .collect(),
            goes: ["i0", "i1", "new-1"]
                .into_iter()
                .filter(|_| dice.u8(0..8) == 0)
                .map(|id| (id.to_owned(), seed as f64 / 75.0))
                .collect(),
            injects: does(&mut dice),
            observes: does(&mut dice),
            undoes: does(&mut dice),
            drifts: dice.u32(0..5).saturating_sub(1),
            effect: dice.u8(0..6) > 0,
            matches: dice.u8(0..12) > 0,
            agent_dies_at: (dice.u8(0..4) == 0).then(|| dice.f64() * 40.0),
            replaced: dice.u8(0..4) > 0,
            marks: dice.u32(0..6).saturating_sub(3),
            renews: if dice.u8(0..12) == 0 { Does::Halted } else { Does::Works },
            forgets_at: (dice.u8(0..12) == 0).then(|| dice.f64() * 40.0),
            probe_fails: some_phase(&mut dice),
            probe_hangs: some_phase(&mut dice),
            probe_lags: if seed % 5 == 0 { 6.0 } else { SOON },
            queue: queues[dice.usize(..12).saturating_sub(8)],
            failing: dice.u64(0..4).saturating_sub(2),
            recovers_after: dice.f64() * 5.0,
            outside: (dice.u8(0..4) == 0).then(|| {
                let causes = [AbortCause::Signal, AbortCause::Halt, AbortCause::Journal];
                (dice.f64() * 45.0, causes[dice.usize(..3)])
            }),
        };
        let mut experiment = if dice.bool() { with_load() } else { ordinary() };
        if dice.bool() {
            let mut late = strike(5);
            late.after = Duration::seconds(3);
            let pause = Action::wait(Duration::seconds(2));
            experiment.method =
                vec![Action::Strike(vec![strike(4), late]), pause, Action::Strike(vec![strike(3)])];
        }
        if dice.bool() {
            follow_all(&mut experiment);
        }
        let world = World::new(experiment, behaviour).carry_out();
        *verdicts.entry(world.verdict()).or_insert(0) += 1;
    }
    assert_eq!(verdicts.len(), 7, "{verdicts:?}");
}
