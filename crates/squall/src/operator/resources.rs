//! Squall's own kinds in a cluster, `squall.dev/v1`: what users write, and what the operator answers.
//!
//! | kind | is |
//! |---|---|
//! | `Experiment` | an experiment: its `spec` is an experiment file without `apiVersion`, `kind` and `name`; is carried out once, and again when it changes |
//! | `Schedule` | when an experiment is carried out again and again |
//! | `Run` | one experiment carried out once; also of a manifest of Chaos Mesh |
//! | `Halt` | while there is one in the cluster, nothing runs |

pub(crate) use crate::halt::HALT;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_kubernetes::Kind;
use squall_model::units::Duration;
use squall_model::verdict::Verdict;

/// The group of the kinds.
pub(crate) const GROUP: &str = "squall.dev";
/// Their version.
pub(crate) const VERSION: &str = "v1";

/// `squall.dev/v1 Experiment`
pub(crate) const EXPERIMENT: Kind = Kind::within(GROUP, VERSION, "Experiment", "experiments");
/// `squall.dev/v1 Schedule`
pub(crate) const SCHEDULE: Kind = Kind::within(GROUP, VERSION, "Schedule", "schedules");
/// `squall.dev/v1 Run`
pub(crate) const RUN: Kind = Kind::within(GROUP, VERSION, "Run", "runs");

/// The label of a run whose value is the number of the object that it was made for.
pub(crate) const SOURCE: &str = "squall.dev/source";
/// What holds an object until everything that was done for it is put back, or the bound for that is over.
pub(crate) const FINALIZER: &str = "squall.dev/restored";
/// Who made an object, or changed what it asks for last: JSON of `{username, uid, groups}`, as the API server knows them.
pub(crate) const AUTHOR: &str = "squall.dev/author";
/// `"true"` ends the run of an object for good.
pub(crate) const ABORT: &str = "squall.dev/abort";
/// `"true"` ends the run of an object, and lets none begin until it is taken away.
pub(crate) const PAUSE: &str = "squall.dev/pause";
/// The label, with the value [`OPTED_IN`], of namespaces whose pods may be struck.
pub(crate) const CHAOS: &str = "squall.dev/chaos";
/// See [`CHAOS`].
pub(crate) const OPTED_IN: &str = "allowed";

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Phase {
    /// It waits: for its turn, or for the end of a halt.
    #[default]
    Pending,
    /// It is carried out.
    Running,
    /// It is held by its pause annotation.
    Paused,
    /// It is over; the verdict says how.
    Finished,
    /// It cannot be carried out as it is written; the condition `Accepted` says why.
    Invalid,
}

impl Phase {
    /// Whether nothing more becomes of it.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Invalid)
    }
}

/// One thing that is so, is not so, or is not known, since when, and why.
///
/// Source: the API conventions of Kubernetes for conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// What: `Accepted`, `Selected`, `AllInjected`, `AllRecovered`, `Paused`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    /// Why, in one word.
    pub(crate) reason: String,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(crate) last_transition_time: Timestamp,
    /// The generation of the object that it was said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
}

/// What is known of an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExperimentStatus {
    /// The generation that was carried out last, or is.
    pub(crate) observed_generation: i64,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// The verdict of its last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(crate) verdict: Option<Verdict>,
    /// The most important reason for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    /// Its last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_run: Option<String>,
    /// When that began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(crate) last_run_time: Option<Timestamp>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Condition>,
}

/// Whether a round of a schedule may begin while another goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum ConcurrencyPolicy {
    /// It is left out.
    #[default]
    Forbid,
    /// It begins.
    Allow,
    /// The other is ended, and then it begins.
    Replace,
}

/// When an experiment is carried out again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ScheduleSpec {
    /// When: five or six fields of cron, or `@every 2h`.
    pub(crate) schedule: String,
    /// The time zone that it is meant in, such as `Europe/Berlin`; UTC without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_zone: Option<String>,
    /// The experiment of this namespace that is carried out, by its name.
    pub(crate) experiment: String,
    /// Lets no round begin while it is true.
    #[serde(default)]
    pub(crate) suspend: bool,
    /// Whether a round may begin while another goes on.
    #[serde(default)]
    pub(crate) concurrency_policy: ConcurrencyPolicy,
    /// How late a round may begin, in seconds; a later one is left out. A minute without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub(crate) starting_deadline_seconds: Option<i64>,
    /// How many runs that are over are kept; ten without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) history_limit: Option<i32>,
}

/// What is known of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ScheduleStatus {
    /// When the last round was due.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(crate) last_schedule_time: Option<Timestamp>,
    /// When the next one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(crate) next_schedule_time: Option<Timestamp>,
    /// The verdict of the last round that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(crate) verdict: Option<Verdict>,
    /// Why no round begins, where none does; else the most important reason for the verdict.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    /// Runs that go on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) active: Vec<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Condition>,
}

/// What is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Source {
    /// The group and version of its kind.
    #[serde(default = "own_version")]
    pub(crate) api_version: String,
    /// Its kind.
    #[serde(default = "experiment")]
    pub(crate) kind: String,
    /// Its name, in the namespace of the run.
    pub(crate) name: String,
    /// Its number: a later object of the same name is another. Without it, whichever has the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<String>,
}

fn own_version() -> String {
    format!("{GROUP}/{VERSION}")
}

fn experiment() -> String {
    EXPERIMENT.kind.to_string()
}

/// One experiment carried out once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunSpec {
    /// What is carried out.
    pub(crate) source: Source,
    /// The generation of it that was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<i64>,
    /// No fault lasts longer than that: what is left of one that was interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(crate) rest: Option<Duration>,
    /// When it was due, for a round of a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(crate) scheduled_for: Option<Timestamp>,
}

/// Where an injection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum InjectionState {
    /// It is to be made.
    #[default]
    Planned,
    /// It is there.
    Active,
    /// It is put back, and that was seen.
    Restored,
    /// It could not be put back, or not all of it.
    Residue,
    /// Its target is gone: it was not made then, or is not there any more.
    Gone,
    /// It was not made.
    Failed,
}

/// One fault on one target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct InjectionStatus {
    /// Its name.
    pub(crate) id: String,
    /// Name of the fault.
    pub(crate) fault: String,
    /// What is struck.
    pub(crate) target: String,
    /// Where it stands.
    pub(crate) state: InjectionState,
    /// What was seen of its effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) evidence: Vec<String>,
}

/// How many injections stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Counts {
    /// All.
    pub(crate) planned: u32,
    /// Those that are there now.
    pub(crate) active: u32,
    /// Those that are put back.
    pub(crate) restored: u32,
    /// Those that could not be.
    pub(crate) residue: u32,
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RunStatus {
    /// Where it stands.
    pub(crate) phase: Phase,
    /// The verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(crate) verdict: Option<Verdict>,
    /// The most important reason for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    /// The name of the run in journals, marks and reports.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) run: String,
    /// The operator that carries it out.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) holder: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(crate) start_time: Option<Timestamp>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(crate) completion_time: Option<Timestamp>,
    /// How many injections stand where.
    pub(crate) counts: Counts,
    /// The first hundred injections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) injections: Vec<InjectionStatus>,
    /// What could not be put back, with the command that would.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) residue: Vec<String>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Condition>,
}

/// Stops everything in the cluster, and keeps it stopped while it is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HaltSpec {
    /// Why, for those who see their runs end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

/// What is known of a halt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HaltStatus {
    /// How many runs still end because of it; 0 when all is put back.
    pub(crate) running: u32,
    /// `Halted` is true once nothing runs any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) conditions: Vec<Condition>,
}
