//! The journal's vocabulary: what happened in a run, in order, one JSON object a line.
//!
//! Everything shown afterwards is a function of these events alone, also of those that an earlier Squall wrote: events
//! may gain fields; a reader ignores fields that it does not know and takes absent ones as empty. So a field is never
//! given another meaning, and one without an empty value (a phase, a verdict) is there from the first. What no reader of
//! this version could understand gets another [`VERSION`].

use crate::condition::{Bound, Condition, Truth};
use crate::plan::PlannedInjection;
use crate::protocol::Restored;
use crate::undo::Evidence;
use crate::units::Duration;
use crate::value::Reading;
use crate::verdict::Verdict;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the journal's vocabulary, as this code writes it.
pub const VERSION: u32 = 1;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// Seconds since the run started, by the monotonic clock: differences are true even when the wall clock jumps.
    pub elapsed: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The parts of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Targets are resolved and the plan is made.
    Plan,
    /// The steady state is checked.
    SteadyState,
    /// Metrics are recorded without a fault.
    Baseline,
    /// Faults are made and active.
    Fault,
    /// Everything is put back.
    Undo,
    /// The steady state must come back.
    Recovery,
    /// The time with the fault is compared with the baseline.
    Analysis,
}

/// What ended a run early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortCause {
    /// A condition of the guard held.
    Guard,
    /// Something that the guard needs could not be read.
    Unreadable,
    /// `squall halt`, or the `halt` file.
    Halt,
    /// Ctrl-C or SIGTERM.
    Signal,
    /// The agent is gone or does not answer.
    LostAgent,
    /// The agent gave up its injections because it had not heard from us.
    LeaseExpired,
    /// The blast radius' duration is over.
    BlastRadius,
    /// The journal could not be written.
    Journal,
    /// The process that carried the run out was killed; whoever put things back wrote the end of the journal.
    Killed,
}

/// How a metric under the fault compares with the baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricChange {
    /// The metric.
    #[serde(default)]
    pub metric: String,
    /// Before the fault, in base units.
    #[serde(default)]
    pub baseline: Option<f64>,
    /// While the fault was active.
    #[serde(default)]
    pub during: Option<f64>,
    /// `during - baseline`.
    #[serde(default)]
    pub difference: Option<f64>,
    /// Bounds of the difference that hold it with 95 % confidence.
    #[serde(default)]
    pub interval: Option<(f64, f64)>,
    /// Whether the interval excludes zero: a difference was seen.
    #[serde(default)]
    pub seen: bool,
    /// How the interval was computed: `bootstrap`, `Newcombe`, `Welch`.
    #[serde(default)]
    pub method: String,
}

/// The result of one check over a part of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Name of the check.
    #[serde(default)]
    pub check: String,
    /// The condition, as written.
    #[serde(default)]
    pub expect: String,
    /// Whether it held.
    pub truth: Truth,
    /// How often it was asked, and how often it held.
    #[serde(default)]
    pub asked: u64,
    /// See `asked`.
    #[serde(default)]
    pub held: u64,
    /// Words about the worst answer.
    #[serde(default)]
    pub worst: String,
    /// How soon after a fault began it had to hold, in seconds, where the experiment says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<f64>,
    /// How soon it did, in seconds, after the fault for which it took longest; none where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<f64>,
}

/// A planned injection in words: what is told of it, without the steps, which only its agent needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Its name.
    pub id: String,
    /// The entry of the experiment that it comes from.
    #[serde(default)]
    pub entry: usize,
    /// Name of the fault.
    #[serde(default)]
    pub fault: String,
    /// What is struck.
    #[serde(default)]
    pub target: String,
    /// Each step in words.
    #[serde(default)]
    pub does: Vec<String>,
    /// Each step's undo in words.
    #[serde(default)]
    pub undone_by: Vec<String>,
    /// How long it lasts.
    #[serde(default)]
    pub lasts: Duration,
    /// The condition over answers without which it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

impl Planned {
    /// The same, of a fault that is only made where this holds.
    #[must_use]
    pub fn only(self, when: Option<&Condition>) -> Self {
        Self { when: when.map(|when| when.text.clone()), ..self }
    }
}

impl From<&PlannedInjection> for Planned {
    fn from(planned: &PlannedInjection) -> Self {
        let PlannedInjection { id, entry, fault, target, does, undone_by, lasts, .. } = planned.clone();
        Self { id, entry, fault, target, does, undone_by, lasts, when: None }
    }
}

/// Why nothing can be struck now that may be struck in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hindrance {
    /// Nothing is there that the target names.
    NothingMatches,
    /// What is there is in a state that passes, such as a container that is just started.
    NotReady,
    /// Another injection holds it, until that is put back.
    Held,
}

/// What can happen in a run.
#[expect(clippy::large_enum_variant, reason = "the first event of a run is large, and there is one of it")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event.
    RunStarted {
        /// Version of the journal's vocabulary.
        #[serde(default)]
        version: u32,
        /// Unique name of the run.
        #[serde(default)]
        run: String,
        /// Name of the experiment.
        #[serde(default)]
        experiment: String,
        /// Its hypothesis.
        #[serde(default)]
        hypothesis: String,
        /// Its tags.
        #[serde(default)]
        tags: Vec<String>,
        /// The file.
        #[serde(default)]
        file: String,
        /// Options of the command that carried it out, beside the file and the seed, so that it can be given again.
        /// Secrets are left out of them. Where the first is a word, they are a whole command in place of `run FILE`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        options: Vec<String>,
        /// Makes the run's choices repeatable.
        #[serde(default)]
        seed: u64,
        /// Version of Squall.
        #[serde(default)]
        squall: String,
        /// Name of the host.
        #[serde(default)]
        host: String,
        /// The environment that it was carried out in, as whoever started it says; empty where that was not said.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        environment: String,
        /// What it was carried out for: `run`, `ci`, `gameday SESSION`, `monkey NAME`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        origin: String,
        /// Name of the user who started it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
        /// A mark of what its faults are, how much of them and for how long, wherever they strike: that of another run is
        /// the same where it did the same.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        fingerprint: String,
        /// Services of the blast radius.
        #[serde(default)]
        services: Vec<String>,
        /// Conditions that are judged: name of the check or `guard`, and the text.
        #[serde(default)]
        conditions: Vec<(String, String)>,
        /// Thresholds to draw beside metrics, from the steady state and hypothesis.
        #[serde(default)]
        objectives: Vec<Bound>,
        /// Thresholds of the guard.
        #[serde(default)]
        limits: Vec<Bound>,
        /// How long the method lasts if nothing ends it, in seconds.
        #[serde(default)]
        method_seconds: f64,
        /// How long the baseline lasts, in seconds.
        #[serde(default)]
        baseline_seconds: f64,
        /// How soon the steady state must be back, in seconds.
        #[serde(default)]
        recovery_seconds: f64,
    },
    /// A part of the run begins.
    PhaseStarted {
        /// Which.
        phase: Phase,
    },
    /// The plan, before anything is touched.
    Planned {
        /// What will be done, and how it will be undone.
        #[serde(default)]
        injections: Vec<Planned>,
        /// What the user should know.
        #[serde(default)]
        notes: Vec<String>,
        /// Why nothing is planned, where that may be otherwise in a while.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hindered_by: Option<Hindrance>,
    },
    /// Somebody was asked about the plan and said yes.
    Approved {
        /// Who.
        #[serde(default)]
        by: String,
    },
    /// Somebody was asked about the plan and said no: nothing is touched.
    Refused {
        /// Who.
        #[serde(default)]
        by: String,
        /// Why.
        #[serde(default)]
        why: String,
    },
    /// An entry of the method was planned anew right before it began, and what is struck or how is not what was planned
    /// before: a service that was killed has a new process. Where nothing differs, the earlier plan stands.
    Replanned {
        /// Planned injections that will not be made.
        #[serde(default)]
        replaced: Vec<String>,
        /// What will be done in their place, and how it will be undone.
        #[serde(default)]
        injections: Vec<Planned>,
        /// What the user should know.
        #[serde(default)]
        notes: Vec<String>,
    },
    /// While a fault that follows its targets is active, more matches it now, and is struck too.
    Joined {
        /// What will be done, and how it will be undone.
        #[serde(default)]
        injections: Vec<Planned>,
    },
    /// A check was asked.
    Probe {
        /// The part of the run.
        phase: Phase,
        /// Name of the check.
        #[serde(default)]
        check: String,
        /// The condition, as written.
        #[serde(default)]
        expect: String,
        /// Whether it held.
        truth: Truth,
        /// What was read, shortened.
        #[serde(default)]
        reading: Reading,
        /// Why nothing was read, if so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// How long the question took, in seconds.
        #[serde(default)]
        seconds: f64,
    },
    /// The method asked a question, and this is the answer that decides what follows.
    Answered {
        /// What the answer is called.
        #[serde(default)]
        name: String,
        /// The probe that was asked.
        #[serde(default)]
        probe: String,
        /// What was read, shortened.
        #[serde(default)]
        reading: Reading,
        /// Why nothing was read, if so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// How long the question took, in seconds.
        #[serde(default)]
        seconds: f64,
    },
    /// A part of the method is left out: its condition over answers does not hold.
    Skipped {
        /// The fault and its target, or what else it is.
        #[serde(default)]
        what: String,
        /// Whether it is a fault.
        #[serde(default)]
        is_fault: bool,
        /// The condition.
        #[serde(default)]
        when: String,
        /// What the answers were.
        #[serde(default)]
        found: String,
    },
    /// All metrics of a second. A metric that could not be read is absent.
    Metrics {
        /// The part of the run.
        phase: Phase,
        /// By name, in base units.
        #[serde(default)]
        values: BTreeMap<String, f64>,
        /// Why metrics are absent, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        errors: BTreeMap<String, String>,
    },
    /// An injection is about to be made.
    InjectStarted {
        /// Which.
        #[serde(default)]
        injection: String,
        /// Name of the fault.
        #[serde(default)]
        fault: String,
        /// What is struck.
        #[serde(default)]
        target: String,
        /// What stage of a ramp or repetition it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
    },
    /// An injection is active.
    Injected {
        /// Which.
        #[serde(default)]
        injection: String,
        /// First evidence of each step.
        #[serde(default)]
        evidence: Vec<Evidence>,
        /// How long it took to make, in seconds.
        #[serde(default)]
        seconds: f64,
    },
    /// An injection was not made, since its target has gone since it was planned for. The others go on.
    TargetGone {
        /// Which.
        #[serde(default)]
        injection: String,
        /// What is gone.
        #[serde(default)]
        what: String,
    },
    /// An injection could not be made.
    InjectFailed {
        /// Which; empty where it is about several.
        #[serde(default)]
        injection: String,
        /// What was tried and what came back.
        #[serde(default)]
        message: String,
        /// What kept it from being made, where that may be otherwise in a while.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hindered_by: Option<Hindrance>,
    },
    /// Evidence of a live injection, while it lasts and at its end.
    Evidence {
        /// Which.
        #[serde(default)]
        injection: String,
        /// Of each step.
        #[serde(default)]
        evidence: Vec<Evidence>,
    },
    /// The guard looked. Written when something changes and at least every ten seconds.
    Guard {
        /// Ticks so far.
        #[serde(default)]
        ticks: u64,
        /// Each condition with whether it held.
        #[serde(default)]
        conditions: Vec<(String, Truth)>,
        /// How long the slowest look took so far, in seconds.
        #[serde(default)]
        slowest_seconds: f64,
    },
    /// The run is ended early.
    Aborted {
        /// Why.
        cause: AbortCause,
        /// In words.
        #[serde(default)]
        reason: String,
    },
    /// Putting back begins.
    UndoStarted {
        /// Which injections.
        #[serde(default)]
        injections: Vec<String>,
        /// Why: `over`, `aborted`, `failed`.
        #[serde(default)]
        why: String,
    },
    /// An injection was put back, with what was looked at; or was not.
    Restored {
        /// What and how.
        #[serde(flatten)]
        restored: Restored,
        /// What could not be put back, in words; empty is good.
        #[serde(default)]
        residue: Vec<String>,
        /// How long the call took, in seconds.
        #[serde(default)]
        seconds: f64,
    },
    /// The steady state is back, or did not come back in time.
    Recovered {
        /// Seconds from the end of the undo until the steady state held; none where it did not.
        #[serde(default)]
        seconds: Option<f64>,
        /// How long was waited at most.
        #[serde(default)]
        within: f64,
    },
    /// Metrics under the fault compared with the baseline.
    Compared {
        /// Each metric.
        #[serde(default)]
        comparisons: Vec<MetricChange>,
    },
    /// How the hypothesis fared.
    Judged {
        /// Each of its checks.
        #[serde(default)]
        checks: Vec<CheckResult>,
    },
    /// Something worth knowing that is no verdict, such as that the load generator fell behind.
    Note {
        /// In words.
        #[serde(default)]
        message: String,
    },
    /// The last event.
    Verdict {
        /// The verdict.
        verdict: Verdict,
        /// Why, in words; the first is the most important.
        #[serde(default)]
        reasons: Vec<String>,
        /// The exit code.
        exit_code: u8,
        /// How long the run took, in seconds.
        #[serde(default)]
        seconds: f64,
    },
}
