//! An experiment as it was read and checked: what is asked, what is done, what ends it, what is expected.

use crate::condition::Condition;
use crate::node::Node;
use crate::target::{Limit, Selection, Target};
use crate::units::{Duration, Frequency};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a fault lasts where the file does not say.
pub const DEFAULT_LASTS: Duration = Duration::seconds(60);
/// How long the baseline is measured where there is something to measure.
pub const DEFAULT_BASELINE: Duration = Duration::seconds(30);
/// How soon the steady state must be back.
pub const DEFAULT_RECOVERY: Duration = Duration::seconds(30);
/// How old the value of a metric may be: a look of the guard, and the one before.
pub const DEFAULT_FRESH: Duration = Duration::seconds(2);
/// How long the method waits for an answer that it asks for.
pub const DEFAULT_ANSWER: Duration = Duration::seconds(60);
/// The sliding window over which load is measured.
pub const DEFAULT_WINDOW: Duration = Duration::seconds(10);

/// A whole experiment, with variables put in, every name known and every condition understood.
#[derive(Debug, Clone, Default)]
pub struct Experiment {
    /// Name: what reports and metrics call it.
    pub name: String,
    /// What is believed, in a sentence.
    pub hypothesis: String,
    /// Words to choose experiments by.
    pub tags: Vec<String>,
    /// Traffic that Squall sends itself.
    pub loads: Vec<Load>,
    /// Anything else that is measured every second.
    pub metrics: Vec<Metric>,
    /// What must hold before, and again after.
    pub steady_state: Vec<Check>,
    /// Hard limits.
    pub blast_radius: BlastRadius,
    /// What is done, in order.
    pub method: Vec<Action>,
    /// What ends the run at once.
    pub guard: Vec<Condition>,
    /// What is judged over the time that the fault was active; the steady state, where the file gives none.
    pub hypothesis_holds: Vec<Check>,
    /// How long to measure before.
    pub baseline: Duration,
    /// How soon the steady state must hold again after the undo.
    pub recovery_within: Duration,
    /// When rounds of it begin, for whoever keeps schedules.
    pub schedule: Option<Schedule>,
    /// Whether the file gives its faults no end, as files of other tools may: there they last until somebody ends them.
    pub endless: bool,
    /// What is done otherwise than the file's own tool does it, each a sentence; none for files of Squall.
    pub notes: Vec<String>,
    /// Texts that must never be printed, logged or journaled.
    pub secrets: Vec<String>,
}

/// When rounds of an experiment begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// When: five or six fields of cron, or `@every 2h`. Not checked when reading.
    pub cron: String,
    /// Whether a round may begin while another goes on.
    pub concurrency: Concurrency,
    /// How late a round may begin; without it, at any time.
    pub starting_deadline: Option<Duration>,
    /// How many rounds are remembered.
    pub history: Option<u32>,
}

/// Whether a round of a schedule may begin while another goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// It is left out.
    #[default]
    Forbid,
    /// It begins.
    Allow,
}

/// Traffic: requests at a constant rate.
#[derive(Debug, Clone)]
pub struct Load {
    /// Its name: `shop` in `shop.error_rate`.
    pub name: String,
    /// Name of the kind of load: `http`.
    pub kind: String,
    /// What is sent, for the load generator of that kind.
    pub parameters: Node,
    /// Requests a second.
    pub rate: Frequency,
    /// When a request counts as unanswered.
    pub timeout: Duration,
    /// The sliding window of its metrics.
    pub window: Duration,
}

/// A metric read from a source every second.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Its name in conditions.
    pub name: String,
    /// Name of the source: `prometheus`.
    pub source: String,
    /// What is asked, for that source.
    pub parameters: Node,
    /// How old its value may be, counted from when it was asked for; what is older is unknown.
    pub fresh_for: Duration,
}

/// A question and the answer that is expected.
#[derive(Debug, Clone)]
pub struct Check {
    /// A short name for people, such as `http http://127.0.0.1:8080/health` or the condition itself.
    pub name: String,
    /// The probe that is asked; none where the condition speaks of metrics.
    pub probe: Option<ProbeCall>,
    /// What is expected of the answer.
    pub expect: Condition,
    /// How long it may take to hold: in the hypothesis after a fault began, in the steady state after the undo.
    pub within: Option<Duration>,
}

/// A probe and what it is asked.
#[derive(Debug, Clone)]
pub struct ProbeCall {
    /// Name of the kind of probe.
    pub kind: String,
    /// What it is asked.
    pub parameters: Node,
}

/// Hard limits of what may be struck.
#[derive(Debug, Clone, Default)]
pub struct BlastRadius {
    /// Names of the services concerned, for people and metrics.
    pub services: Vec<String>,
    /// At most so many of the targets that match an entry of the method.
    pub targets: Option<Limit>,
    /// At most this long with any fault active, over the whole run.
    pub duration: Option<Duration>,
    /// What must not be struck, in whatever way it is named: what the settings protect.
    pub spared: Vec<Target>,
    /// Whether faults may be made that could lose data for good. No file says so, only whoever carries it out.
    pub allow_data_loss: bool,
}

/// One entry of the method.
#[derive(Debug, Clone)]
pub enum Action {
    /// One or several faults that are active at the same time.
    Strike(Vec<Strike>),
    /// Nothing for a while, under guard.
    Wait(Wait),
    /// A question, whose answer decides what is done later.
    Ask(Ask),
}

impl Action {
    /// Nothing for so long, in any case.
    pub const fn wait(lasts: Duration) -> Self {
        Self::Wait(Wait { lasts, when: None })
    }

    /// Its faults.
    pub fn strikes(&self) -> &[Strike] {
        match self {
            Self::Strike(strikes) => strikes,
            Self::Wait(_) | Self::Ask(_) => &[],
        }
    }
}

/// A while in which nothing is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// How long.
    pub lasts: Duration,
    /// Over answers; where it does not hold, nothing is waited for.
    pub when: Option<Condition>,
}

/// A question of the method. No fault is active while it is asked.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What the answer is called: conditions say `NAME.exit_code`.
    pub name: String,
    /// The probe that is asked, once.
    pub probe: ProbeCall,
    /// How long it may take; without an answer by then, what follows cannot be decided, and the run ends.
    pub within: Duration,
    /// Over earlier answers; where it does not hold, it is not asked.
    pub when: Option<Condition>,
}

/// One fault as it stands in the file. Ramps and repetitions are unrolled: each stage is a strike of its own.
#[derive(Debug, Clone)]
pub struct Strike {
    /// Name of the fault.
    pub fault: String,
    /// What is struck.
    pub selection: Selection,
    /// Its parameters.
    pub with: Node,
    /// How long it lasts.
    pub lasts: Duration,
    /// Waits this long after the others of its group have begun.
    pub after: Duration,
    /// Where the strike stands in the file.
    pub place: crate::node::Place,
    /// What stage of a ramp or repetition it is, for people: `delay 73ms (2 of 5)`.
    pub stage: Option<String>,
    /// Over answers that the method asked for before; where it does not hold, the fault is left out.
    pub when: Option<Condition>,
}
