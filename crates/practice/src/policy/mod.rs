//! Environments: what an experiment may do in each, and when. A run that breaks a rule is denied before anything is
//! touched, with the rule's place in the file, why, and what would be allowed.

mod judge;
mod magnitude;
mod read;

pub use judge::{Denial, Record, Request, constrain, judge, judge_protected, judge_targets};
pub use magnitude::Magnitude;
pub use read::{Unknown, read};

use crate::calendar::{Freeze, Holidays, Hours, Zone};
use squall_model::node::{Located, Place};
use squall_model::target::{Limit, Target};
use squall_model::units::Duration;
use std::collections::BTreeMap;

/// What is allowed where.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Each environment by its name.
    pub environments: BTreeMap<String, Environment>,
    /// What is never struck, in whatever environment.
    pub protected: Vec<Target>,
    /// Where that stands.
    pub protected_place: Place,
}

/// The rules of an environment. What is not given is allowed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Environment {
    /// At most so many of the targets that match an entry.
    pub targets: Option<Located<Limit>>,
    /// How much of a parameter a fault may have.
    pub magnitude: Vec<Located<Magnitude>>,
    /// At most this long with any fault active.
    pub duration: Option<Located<Duration>>,
    /// Runs lie within these hours.
    pub hours: Option<Located<Hours>>,
    /// The clock that hours, holidays and freezes are read from.
    pub time_zone: Zone,
    /// No run on these days.
    pub holidays: Option<Located<Holidays>>,
    /// No run at these times.
    pub freeze: Vec<Located<Freeze>>,
    /// The experiment must have passed elsewhere before.
    pub promotion: Option<Located<Promotion>>,
    /// A person must say yes.
    pub approval: Option<Place>,
}

/// Where an experiment must have passed, and how lately.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// The environment.
    pub from: String,
    /// At most this long ago.
    #[serde(default = "a_week")]
    pub within: Duration,
}

fn a_week() -> Duration {
    Duration::seconds(7 * 24 * 3600)
}

#[cfg(test)]
mod tests;
