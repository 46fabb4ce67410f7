//! A run, as a state machine without I/O and without a clock: what happened goes in with its second, what is to be
//! done comes out. `driver.rs` joins it to the world; a test or a simulator can as well.
//!
//! ```text
//! plan → steady state → baseline → method (inject, observe, put back, under guard) → undo, look again, leave
//!      → recovery → analysis → verdict
//! ```
//!
//! * **Plan.** Nothing is touched. What cannot be planned makes the run `invalid`.
//! * **Steady state.** Every probe is asked and must hold at once. Conditions on metrics may take as long to settle as
//!   the longest window of a load and [`SETTLES`] seconds, and must hold in two seconds' samples in a row; the guard's metrics must be
//!   readable. Else `not_steady`, and nothing was touched.
//! * **Baseline.** Metrics are recorded. From here on the guard looks every second.
//! * **Method.** See `method.rs` for the order. Probes of the hypothesis are asked every second while a fault is
//!   active. Whatever ends the run early leads to the undo at once, even while an injection is being made.
//! * **Undo.** See `restore.rs`.
//! * **Recovery.** Every check of the steady state must hold again, and go on holding for [`CONFIRMS`] seconds. The
//!   time is counted from the end of the undo to the first moment from which on all held. Conditions on traffic are
//!   judged on requests meant to be sent after the undo, so that a sliding window does not blur the moment.
//! * **Analysis.** See `hypothesis.rs`, `analysis.rs`, `verdict.rs`.

use crate::analysis;
use crate::checks::Checks;
use crate::guard::Guard;
use crate::hypothesis;
use crate::link::LinkError;
use crate::load::{self, Slice};
use crate::method::{self, Due, Method, plan_request};
use crate::record::{PRESENT, Period, Record};
use crate::restore::{Next, Restoring};
use crate::verdict::Findings;
use squall_model::condition::{Bound, Condition};
use squall_model::event::{AbortCause, Event, Phase};
use squall_model::experiment::{Check, Experiment};
use squall_model::plan::{Plan, PlannedInjection};
use squall_model::protocol::{Answer, Call, CallError, CallErrorKind, Restored};
use squall_model::undo::{Effect, Evidence};
use squall_model::units::Duration;
use squall_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use crate::checks::{List, Question, Reply};
pub use crate::record::Sample;

/// Version of the journal's vocabulary.
const JOURNAL_VERSION: u32 = 1;

/// How much longer than the longest window of a load metrics may take to hold before, in seconds.
pub const SETTLES: f64 = 5.0;

/// How long the steady state must hold without a break to count as back, in seconds.
pub const CONFIRMS: f64 = 2.0;

/// How much later than it happened the moment of recovery can be known from traffic, in seconds.
const KNOWN_LATER: f64 = PRESENT + 1.5;

/// How much longer than a load's timeout the requests of the fault's time are waited for, in seconds.
const SETTLED_LATER: f64 = 2.0;

/// Two samples in a row, in seconds, with some room for a late tick.
const TWO_SAMPLES: f64 = 0.5;

/// Who carries out what, where.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Unique name of the run.
    pub run: String,
    /// The experiment's file.
    pub file: String,
    /// Makes the run's choices repeatable.
    pub seed: u64,
    /// Version of Squall.
    pub squall: String,
    /// Name of the host.
    pub host: String,
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
pub enum Output {
    /// Write it to the journal and show it.
    Journal(Event),
    /// Start an agent and greet it. Any earlier one is lost: let go of its stream.
    Connect,
    /// Call the agent; answers come with the number. A call may be made while an earlier one is unanswered.
    Call(u64, Call),
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
    SteadyState,
    Baseline,
    Method,
    Undo,
    Recovery,
    Analysis,
    Over,
}

/// What an unanswered call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Plan,
    Inject,
    Observe,
    Restore,
}

/// What an injection has shown.
#[derive(Debug, Clone, Default)]
struct Shown {
    effect: bool,
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

    connected: bool,
    connecting: bool,
    calls: u64,
    pending: Option<(u64, Purpose)>,

    steady: Checks,
    hypothesis: Checks,
    guard: Guard,
    record: Record,
    latest: Sample,
    sampled: bool,
    measuring: bool,

    planned: Vec<PlannedInjection>,
    method: Method,
    /// Injections that the agent said it made, and that were not asked back yet; and since when they are all there.
    active: BTreeSet<String>,
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
        Self {
            now: 0.0,
            out: Vec::new(),
            wake: f64::INFINITY,
            stage: Stage::Plan,
            stage_since: 0.0,
            phase: Phase::Plan,
            connected: false,
            connecting: false,
            calls: 0,
            pending: None,
            steady: Checks::new(List::SteadyState, &experiment.steady_state),
            hypothesis: Checks::new(List::Hypothesis, &experiment.hypothesis_holds),
            guard: Guard::new(&experiment.guard),
            record: Record::new(loads),
            latest: Sample::default(),
            sampled: false,
            measuring: false,
            planned: Vec::new(),
            method: Method::new(&experiment, &[]),
            active: BTreeSet::new(),
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
                Stage::Plan | Stage::Over => false,
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

    // ── Plan ────────────────────────────────────────────────────────────────────────────────────────────────────

    fn begin(&mut self, ready: Result<(), String>) {
        let started = self.started();
        self.journal(started);
        self.enter(Stage::Plan, Phase::Plan);
        if let Err(why) = ready {
            self.refuse(why);
        } else if !self.is_faultless() {
            self.connecting = true;
            self.out.push(Output::Connect);
        } else {
            self.begin_steady_state();
        }
    }

    fn planned(&mut self, answer: Result<Answer, LinkError>) {
        match answer {
            Ok(Answer::Plan(Plan { injections, notes })) => {
                self.method = Method::new(&self.experiment, &injections);
                self.planned.clone_from(&injections);
                self.journal(Event::Planned { injections, notes });
                self.begin_steady_state();
            }
            Err(LinkError::Refused(error)) => {
                let entry = error.entry.and_then(|entry| method::strikes(&self.experiment).nth(entry));
                let about = entry.map(|strike| format!("{}: ", strike.fault)).unwrap_or_default();
                self.refuse(format!("{about}{}", error.message));
            }
            Err(LinkError::Lost(why)) => {
                self.connected = false;
                self.refuse(format!("the agent was lost while it planned: {why}"));
            }
            Ok(_) => self.refuse("the agent answered something else than a plan".to_owned()),
        }
    }

    /// Ends a run that cannot be carried out; nothing was touched.
    fn refuse(&mut self, why: String) {
        self.findings.invalid.push(why);
        self.begin_undo("failed");
    }

    // ── Steady state and baseline ───────────────────────────────────────────────────────────────────────────────

    fn begin_steady_state(&mut self) {
        self.enter(Stage::SteadyState, Phase::SteadyState);
        self.measuring = !self.experiment.loads.is_empty() || !self.experiment.metrics.is_empty();
        if self.measuring {
            self.out.push(Output::StartMeasuring);
        }
        self.ask_steady_state();
    }

    fn await_steady_state(&mut self) -> bool {
        if self.steady.a_probe_fails() {
            self.findings.not_steady = self.steady.shortcomings();
            self.begin_undo("failed");
            return true;
        }
        let metrics_matter = self.steady.speak_of_metrics() || !self.experiment.guard.is_empty();
        let unreadable = self.guard.unreadable(&self.record.loads, &self.latest);
        let held_long = |since: f64| !self.steady.speak_of_metrics() || self.now - since >= TWO_SAMPLES;
        if self.steady.held_since().is_some_and(held_long)
            && (!metrics_matter || self.sampled)
            && unreadable.is_empty()
        {
            self.begin_baseline();
            return true;
        }
        let window = self.experiment.loads.iter().map(|load| load.window.as_seconds()).fold(0.0, f64::max);
        let latest = self.stage_since + window + SETTLES;
        if self.now < latest {
            self.wake_by(latest);
        } else if !self.steady.outstanding() {
            let mut reasons = self.steady.shortcomings();
            if !unreadable.is_empty() {
                let reason = |name: &String| {
                    self.latest.errors.get(name).map_or("no value", String::as_str).to_owned()
                };
                let names = unreadable.iter().map(|name| format!("{name} ({})", reason(name)));
                reasons.push(format!("the guard cannot read {}", names.collect::<Vec<_>>().join(", ")));
            }
            if reasons.is_empty() {
                reasons.push("the steady state did not hold for two seconds in a row".to_owned());
            }
            self.findings.not_steady = reasons;
            self.begin_undo("failed");
            return true;
        }
        false
    }

    fn begin_baseline(&mut self) {
        self.enter(Stage::Baseline, Phase::Baseline);
        self.record.open(self.now, "baseline".to_owned(), false);
    }

    fn measure_baseline(&mut self) -> bool {
        let until = self.stage_since + self.experiment.baseline.as_seconds();
        if self.now < until {
            self.wake_by(until);
            return false;
        }
        self.record.close(self.now);
        self.enter(Stage::Method, Phase::Fault);
        if self.is_faultless() {
            self.record.open(self.now, "method".to_owned(), false);
            let questions = self.hypothesis.ask_first();
            self.ask(questions);
        }
        true
    }

    // ── Method ──────────────────────────────────────────────────────────────────────────────────────────────────

    fn carry_out_method(&mut self) -> bool {
        if self.exposure_is_over() {
            return true;
        }
        if self.pending.is_some() {
            return false;
        }
        if self.undoing_some {
            return self.put_some_back();
        }
        match self.method.due(self.now) {
            Due::Wait(until) => {
                self.wake_by(until);
                false
            }
            Due::Inject(injections) => {
                self.inject(injections);
                false
            }
            Due::Observe => {
                self.call(Purpose::Observe, Call::Observe);
                false
            }
            Due::Undo(injections) => {
                self.end_of_entry();
                self.active.retain(|id| !injections.contains(id));
                self.journal(Event::UndoStarted { injections: injections.clone(), why: "over".to_owned() });
                self.restoring.begin_some(injections);
                self.undoing_some = true;
                true
            }
            Due::Over if self.is_faultless() && !self.hypothesis.all_asked() => false,
            Due::Over => {
                self.end_of_entry();
                self.begin_undo("over");
                true
            }
        }
    }

    fn inject(&mut self, injections: Vec<PlannedInjection>) {
        self.touched = true;
        let stage = self.method.stage();
        for injection in &injections {
            self.restoring.owe(injection);
            self.journal(Event::InjectStarted {
                injection: injection.id.clone(),
                fault: injection.fault.clone(),
                target: injection.target.clone(),
                stage: stage.clone(),
            });
        }
        self.count_exposure();
        let injections = injections.into_iter().map(|injection| injection.id).collect();
        self.call(Purpose::Inject, Call::Inject { injections });
    }

    fn injected(&mut self, answer: Result<Answer, LinkError>, seconds: f64) {
        match answer {
            Ok(Answer::Injected { evidence }) => {
                for (injection, evidence) in evidence {
                    self.active.insert(injection.clone());
                    self.show(&injection, &evidence);
                    self.journal(Event::Injected { injection, evidence, seconds });
                }
                self.active_since = self.now;
                self.method.injected(self.now);
                if !self.record.under_fault() {
                    self.record.open(self.now, self.method.label(), true);
                    self.failures_before = self.hypothesis.failures();
                }
                let questions = self.hypothesis.ask();
                self.ask(questions);
            }
            Err(LinkError::Refused(error)) if error.kind != CallErrorKind::Halted => {
                self.could_not_inject(error.message);
            }
            Ok(_) => self.could_not_inject("the agent answered something else".to_owned()),
            Err(error) => self.agent_failed(error),
        }
    }

    fn could_not_inject(&mut self, message: String) {
        self.findings.no_effect.push(format!("the fault could not be made: {message}"));
        self.journal(Event::InjectFailed { injection: String::new(), message });
        self.begin_undo("failed");
    }

    fn observed(&mut self, answer: Result<Answer, LinkError>) {
        match answer {
            Ok(Answer::Observed { evidence }) => {
                for (injection, evidence) in evidence {
                    self.show(&injection, &evidence);
                    self.journal(Event::Evidence { injection, evidence });
                }
            }
            Err(LinkError::Refused(error)) if error.kind != CallErrorKind::Halted => {
                self.journal(Event::Note {
                    message: format!("could not look for evidence: {}", error.message),
                });
            }
            Ok(_) => {}
            Err(error) => self.agent_failed(error),
        }
    }

    fn show(&mut self, injection: &str, evidence: &[Evidence]) {
        let shown = self.shown.entry(injection.to_owned()).or_default();
        shown.effect |= evidence.iter().any(|evidence| evidence.effect == Effect::Seen);
        shown.summary =
            evidence.iter().map(|evidence| evidence.summary.as_str()).collect::<Vec<_>>().join("; ");
    }

    /// Before the last strike of a group is taken back: a ramp grows only while the hypothesis holds.
    fn end_of_entry(&mut self) {
        if !self.method.entry_ends(self.now) || !self.record.under_fault() {
            return;
        }
        self.record.close(self.now);
        let (Some(stage), Some(period)) = (self.method.stage(), self.record.periods.last()) else { return };
        let list = &self.experiment.hypothesis_holds;
        let mut breaks = hypothesis::breaks(list, &self.record, period, &self.latest);
        if self.hypothesis.failures() > self.failures_before {
            breaks.extend(hypothesis::shortcomings(
                &self.hypothesis.results().into_iter().map(|(_, result)| result).collect::<Vec<_>>(),
            ));
        }
        if breaks.is_empty() {
            return;
        }
        let dropped = self.method.stop_growing();
        let left_out =
            if dropped > 0 { format!(" ({dropped} further stages left out)") } else { String::new() };
        self.findings.failed.push(format!("broke at {stage}{left_out}: {}", breaks.join("; ")));
    }

    fn put_some_back(&mut self) -> bool {
        match self.restoring.next(self.now) {
            Next::Call(call) => self.call(Purpose::Restore, call),
            Next::Wait(until) => self.wake_by(until),
            Next::Connect => {}
            Next::Done => {
                self.undoing_some = false;
                self.method.undone();
                if self.restoring.has_residue() {
                    self.begin_undo("failed");
                }
                return true;
            }
        }
        false
    }

    // ── What ends a run early ───────────────────────────────────────────────────────────────────────────────────

    fn abort(&mut self, cause: AbortCause, reason: String) {
        let by_hand = matches!(cause, AbortCause::Signal | AbortCause::Halt);
        if self.stage >= Stage::Analysis || (self.findings.aborted.is_some() && !by_hand) {
            return;
        }
        // Who is waiting for the recovery of an aborted run may end that wait too.
        if self.findings.aborted.is_none() {
            self.journal(Event::Aborted { cause, reason: reason.clone() });
            self.findings.aborted = Some((cause, reason));
        }
        match self.stage {
            Stage::Recovery => self.begin_analysis(),
            Stage::Undo | Stage::Analysis | Stage::Over => {}
            Stage::Plan | Stage::SteadyState | Stage::Baseline | Stage::Method => self.begin_undo("aborted"),
        }
    }

    /// The agent is gone, or says that it holds injections no more.
    fn agent_failed(&mut self, error: LinkError) {
        match error {
            LinkError::Lost(why) => self.lost(&why),
            LinkError::Refused(error) => self.abort(AbortCause::LeaseExpired, error.message),
        }
    }

    fn lost(&mut self, why: &str) {
        if !self.connected {
            return;
        }
        (self.connected, self.pending) = (false, None);
        match self.stage {
            Stage::Plan => self.refuse(format!("the agent was lost while it planned: {why}")),
            Stage::Undo => {
                if self.may_be_harming() {
                    self.journal(Event::Note {
                        message: format!("the agent was lost while it put back: {why}"),
                    });
                }
                self.restoring.lost(self.now, why);
            }
            Stage::Recovery | Stage::Analysis | Stage::Over => {}
            Stage::SteadyState | Stage::Baseline | Stage::Method => {
                self.restoring.lost(self.now, why);
                self.abort(AbortCause::LostAgent, format!("the agent was lost: {why}"));
            }
        }
    }

    fn renewed(&mut self, sent: f64, live: Result<Vec<String>, CallError>) {
        match live {
            // Of what a call of before an injection says about it, nothing follows.
            Ok(live) if self.stage == Stage::Method && sent >= self.active_since => {
                let missing: Vec<&str> =
                    self.active.iter().filter(|id| !live.contains(id)).map(String::as_str).collect();
                if !missing.is_empty() {
                    let reason = format!("the agent no longer holds {}", missing.join(", "));
                    self.abort(AbortCause::LeaseExpired, reason);
                }
            }
            Err(error) if error.kind == CallErrorKind::Halted && self.stage < Stage::Undo => {
                self.abort(AbortCause::LeaseExpired, error.message);
            }
            _ => {}
        }
    }

    fn count_exposure(&mut self) {
        match (self.may_be_harming(), self.exposed_since) {
            (true, None) => self.exposed_since = Some(self.now),
            (false, Some(since)) => {
                self.exposure += self.now - since;
                self.exposed_since = None;
                self.undone_at = Some(self.now);
            }
            _ => {}
        }
    }

    /// Ends the run where faults were active for as long as the blast radius allows.
    fn exposure_is_over(&mut self) -> bool {
        let (Some(limit), Some(since)) = (self.experiment.blast_radius.duration, self.exposed_since) else {
            return false;
        };
        let until = since + limit.as_seconds() - self.exposure;
        if self.now < until {
            self.wake_by(until);
            return false;
        }
        let reason = format!("faults were active for {limit}, as long as blast_radius.duration allows");
        self.abort(AbortCause::BlastRadius, reason);
        true
    }

    // ── Undo ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Puts everything back, looks again and takes leave of the agent. Where nothing was touched, only the latter.
    fn begin_undo(&mut self, why: &str) {
        self.record.close(self.now);
        self.pending = None;
        self.undoing_some = false;
        self.active.clear();
        if self.touched {
            self.enter(Stage::Undo, Phase::Undo);
            let injections = self.restoring.owed();
            self.journal(Event::UndoStarted { injections, why: why.to_owned() });
        } else {
            (self.stage, self.stage_since) = (Stage::Undo, self.now);
        }
        self.restoring.begin_all(self.touched);
    }

    fn put_back(&mut self) -> bool {
        // An agent that is not there (yet) holds nothing, where nothing was touched.
        if !self.connected && !self.touched {
            return self.after_undo();
        }
        if self.pending.is_some() || self.connecting {
            return false;
        }
        match self.restoring.next(self.now) {
            Next::Call(call) => self.call(Purpose::Restore, call),
            Next::Wait(until) => self.wake_by(until),
            Next::Connect => {
                self.connecting = true;
                self.out.push(Output::Connect);
            }
            Next::Done => return self.after_undo(),
        }
        false
    }

    fn after_undo(&mut self) -> bool {
        self.restoring.untold().into_iter().for_each(|event| self.journal(event));
        self.findings.residue = self.restoring.residue();
        if self.connected || self.connecting {
            (self.connected, self.connecting) = (false, false);
            self.out.push(Output::Disconnect);
        }
        self.count_exposure();
        // Whoever ended the run by hand does not want to wait; without a journal nothing is worth measuring.
        let hurried = matches!(
            self.findings.aborted,
            Some((AbortCause::Signal | AbortCause::Halt | AbortCause::Journal, _))
        );
        if self.touched && !hurried && !self.steady.is_empty() {
            self.begin_recovery();
        } else {
            self.begin_analysis();
        }
        true
    }

    // ── Recovery ────────────────────────────────────────────────────────────────────────────────────────────────

    fn begin_recovery(&mut self) {
        self.enter(Stage::Recovery, Phase::Recovery);
        self.steady.start_anew();
        self.ask_steady_state();
    }

    fn await_recovery(&mut self) -> bool {
        let undone = self.undone_at.unwrap_or(self.stage_since);
        let within = self.experiment.recovery_within.as_seconds();
        let since = self.steady.held_since().map(|since| since.max(undone));
        let known_later = if self.steady.speak_of_metrics() { KNOWN_LATER } else { 0.0 };
        match since {
            Some(since) if since - undone <= within => {
                if self.now < since + CONFIRMS {
                    self.wake_by(since + CONFIRMS);
                    return false;
                }
                let seconds = since - undone;
                self.findings.held.push(format!("the steady state was back {seconds:.1} s after the undo"));
                self.journal(Event::Recovered { seconds: Some(seconds), within });
            }
            None if self.now < undone + within + known_later => {
                self.wake_by(undone + within + known_later);
                return false;
            }
            _ => {
                let mut reasons = self.steady.shortcomings();
                if reasons.is_empty() {
                    reasons.push("it was back later".to_owned());
                }
                let within = self.experiment.recovery_within;
                self.findings.failed.push(format!(
                    "the steady state was not back within {within} after the undo: {}",
                    reasons.join("; ")
                ));
                self.journal(Event::Recovered { seconds: None, within: within.as_seconds() });
            }
        }
        self.begin_analysis();
        true
    }

    // ── Analysis ────────────────────────────────────────────────────────────────────────────────────────────────

    fn begin_analysis(&mut self) {
        if self.judged_periods().is_empty()
            && self.hypothesis.results().iter().all(|(_, result)| result.asked == 0)
        {
            (self.stage, self.stage_since) = (Stage::Analysis, self.now);
        } else {
            self.enter(Stage::Analysis, Phase::Analysis);
        }
    }

    fn analyse(&mut self) -> bool {
        let end = self.judged_periods().iter().filter_map(|period| period.to).fold(0.0, f64::max);
        let timeout = self.experiment.loads.iter().map(|load| load.timeout.as_seconds()).fold(0.0, f64::max);
        let until = end + timeout + SETTLED_LATER;
        // A slice can end a little after the period does, and is not part of it.
        let complete = self.record.settled_until() >= end - 1.0 && !self.hypothesis.outstanding();
        if self.findings.aborted.is_none() && !complete && self.now < until {
            self.wake_by(until);
            return false;
        }
        self.compare();
        self.judge();
        self.look_for_effects();
        self.finish();
        false
    }

    fn compare(&mut self) {
        let late = self
            .record
            .periods
            .iter()
            .flat_map(|period| &period.traffic)
            .flat_map(|traffic| traffic.blocks());
        let late = late.map(|block| block.late).fold(0.0, f64::max);
        if late > 0.1 {
            self.journal(Event::Note {
                message: format!(
                    "the load generator fell up to {:.0} ms behind its schedule; latencies are too high by as much",
                    late * 1000.0
                ),
            });
        }
        let comparisons = analysis::compare(&self.record, self.identity.seed);
        if !comparisons.is_empty() {
            self.journal(Event::Compared { comparisons });
        }
    }

    /// The time over which the hypothesis is judged: while faults were active, or all of it where there was to be none.
    fn judged_periods(&self) -> Vec<&Period> {
        let measured =
            |period: &&Period| !period.samples.is_empty() || period.totals().iter().any(Option::is_some);
        let periods = self.record.periods.iter();
        periods
            .filter(|period| if self.is_faultless() { measured(period) } else { period.under_fault })
            .collect()
    }

    fn judge(&mut self) {
        let asked = self.hypothesis.results().iter().any(|(_, result)| result.asked > 0);
        let periods = self.judged_periods();
        if periods.is_empty() && !asked {
            return;
        }
        let checks =
            hypothesis::judge(&self.experiment.hypothesis_holds, &self.hypothesis, &self.record, &periods);
        let shortcomings = hypothesis::shortcomings(&checks);
        self.findings.held.splice(0..0, checks.iter().map(|check| format!("{} held", check.check)));
        self.findings.failed.extend(shortcomings);
        self.journal(Event::Judged { checks });
    }

    /// A fault that showed no effect proves nothing.
    fn look_for_effects(&mut self) {
        if self.is_faultless() || self.findings.aborted.is_some() {
            return;
        }
        if self.shown.is_empty() && self.findings.no_effect.is_empty() {
            self.findings.no_effect.push("no fault was made".to_owned());
        }
        for injection in &self.planned {
            if let Some(shown) = self.shown.get(&injection.id).filter(|shown| !shown.effect) {
                let PlannedInjection { id, fault, target, .. } = injection;
                let summary = if shown.summary.is_empty() { "no evidence" } else { &shown.summary };
                self.findings
                    .no_effect
                    .push(format!("{fault} on {target} ({id}) showed no effect: {summary}"));
            }
        }
    }

    fn finish(&mut self) {
        if self.measuring {
            self.out.push(Output::StopMeasuring);
        }
        let (verdict, reasons) = self.findings.verdict();
        self.journal(Event::Verdict {
            verdict,
            reasons: reasons.clone(),
            exit_code: verdict.exit_code(),
            seconds: self.now,
        });
        self.stage = Stage::Over;
        self.out.push(Output::Finish(verdict, reasons));
    }

    // ── What happens all the time ───────────────────────────────────────────────────────────────────────────────

    fn second(&mut self, sample: Sample) {
        let values = sample.values(&self.record.loads);
        if !values.is_empty() || !sample.errors.is_empty() {
            self.journal(Event::Metrics { phase: self.phase, values, errors: sample.errors.clone() });
        }
        self.record.sampled(self.now, &sample);
        self.sampled = true;
        self.latest = sample;
        match self.stage {
            Stage::SteadyState => {
                let (now, loads) = (self.now, &self.record.loads);
                self.steady.judge_metrics(now, |names| (now, self.latest.reading(loads, names)));
                self.ask_steady_state();
            }
            Stage::Baseline | Stage::Method => {
                self.look_out();
                if self.stage == Stage::Method && self.record.under_fault() {
                    let questions = self.hypothesis.ask();
                    self.ask(questions);
                }
            }
            Stage::Recovery => {
                self.judge_recovery();
                self.ask_steady_state();
            }
            Stage::Plan | Stage::Undo | Stage::Analysis | Stage::Over => {}
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

    fn judge_recovery(&mut self) {
        let undone = self.undone_at.unwrap_or(self.stage_since);
        let present = self.record.present(undone);
        let (begins, spans) = present.unwrap_or_default();
        let of_traffic =
            |names: &[String]| names.iter().all(|name| load::find(&self.record.loads, name).is_some());
        self.steady.judge_metrics(self.now, |names| {
            let since = if of_traffic(names) { begins } else { self.now };
            (since, hypothesis::present_reading(&self.record, names, &spans, &self.latest))
        });
    }

    fn replied(&mut self, question: Question, reply: Reply) {
        let checks = match question.list {
            List::SteadyState => &mut self.steady,
            List::Hypothesis => &mut self.hypothesis,
        };
        if let Some(event) = checks.replied(self.now, self.phase, question.index, reply) {
            self.journal(event);
        }
    }

    fn greeted(&mut self, recovered: Result<Vec<Restored>, String>) {
        if !self.connecting {
            return;
        }
        (self.connecting, self.connected) = (false, recovered.is_ok());
        match (self.stage, recovered) {
            (Stage::Plan, Ok(recovered)) => {
                let events = self.restoring.settle(recovered, 0.0);
                events.into_iter().for_each(|event| self.journal(event));
                self.call(Purpose::Plan, Call::Plan(plan_request(&self.experiment, self.identity.seed)));
            }
            (Stage::Plan, Err(why)) => self.refuse(format!("no agent could be started: {why}")),
            (_, recovered) => {
                let events = self.restoring.connected(self.now, recovered);
                events.into_iter().for_each(|event| self.journal(event));
            }
        }
    }

    fn answered(&mut self, number: u64, answer: Result<Answer, LinkError>, seconds: f64) {
        let purpose = self.pending.filter(|(pending, _)| *pending == number).map(|(_, purpose)| purpose);
        if purpose.is_some() {
            self.pending = None;
        }
        match purpose {
            Some(Purpose::Plan) => self.planned(answer),
            Some(Purpose::Inject) => self.injected(answer, seconds),
            Some(Purpose::Observe) => self.observed(answer),
            Some(Purpose::Restore) => match answer {
                Err(LinkError::Lost(why)) => self.lost(&why),
                answer => {
                    let events = self.restoring.answered(self.now, answer, seconds);
                    events.into_iter().for_each(|event| self.journal(event));
                }
            },
            None => self.answered_late(answer, seconds),
        }
    }

    /// The answer to a call that something more important has overtaken: what it says is still true.
    fn answered_late(&mut self, answer: Result<Answer, LinkError>, seconds: f64) {
        match answer {
            Ok(Answer::Injected { evidence }) => {
                for (injection, evidence) in evidence {
                    self.show(&injection, &evidence);
                    self.journal(Event::Injected { injection, evidence, seconds });
                }
            }
            Ok(Answer::Restored { restored }) => {
                let events = self.restoring.settle(restored, seconds);
                events.into_iter().for_each(|event| self.journal(event));
            }
            _ => {}
        }
    }

    // ── Small things ────────────────────────────────────────────────────────────────────────────────────────────

    fn journal(&mut self, event: Event) {
        self.out.push(Output::Journal(event));
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

    fn started(&self) -> Event {
        let experiment = &*self.experiment;
        let claims = experiment.steady_state.iter().chain(&experiment.hypothesis_holds);
        let mut conditions: Vec<(String, String)> =
            claims.map(|check| (check.name.clone(), check.expect.text.clone())).collect();
        conditions.extend(experiment.guard.iter().map(|guard| ("guard".to_owned(), guard.text.clone())));
        conditions.dedup();
        let on_metrics = |check: &&Check| check.probe.is_none();
        let objectives =
            experiment.steady_state.iter().chain(&experiment.hypothesis_holds).filter(on_metrics);
        Event::RunStarted {
            version: JOURNAL_VERSION,
            run: self.identity.run.clone(),
            experiment: experiment.name.clone(),
            hypothesis: experiment.hypothesis.clone(),
            tags: experiment.tags.clone(),
            file: self.identity.file.clone(),
            seed: self.identity.seed,
            squall: self.identity.squall.clone(),
            host: self.identity.host.clone(),
            services: experiment.blast_radius.services.clone(),
            conditions,
            objectives: self.bounds(objectives.map(|check| &check.expect)),
            limits: self.bounds(experiment.guard.iter()),
            method_seconds: method::seconds(experiment),
            baseline_seconds: experiment.baseline.as_seconds(),
            recovery_seconds: experiment.recovery_within.as_seconds(),
        }
    }

    /// Thresholds, each once, under the names that metrics have in the journal.
    fn bounds<'c>(&self, conditions: impl Iterator<Item = &'c Condition>) -> Vec<Bound> {
        let mut bounds: Vec<Bound> = Vec::new();
        for mut bound in conditions.flat_map(Condition::bounds) {
            if let Some((load, metric)) = load::find(&self.record.loads, &bound.name) {
                bound.name = load::journal_name(&self.record.loads, load, metric);
            }
            if !bounds.contains(&bound) {
                bounds.push(bound);
            }
        }
        bounds
    }
}

#[cfg(test)]
mod tests;
