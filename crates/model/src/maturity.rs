//! Where a team stands, and what it should do next: the vocabulary of `squall maturity` and `squall suggest`.

use jiff::Timestamp;
use serde::Serialize;

/// Where a team stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Maturity {
    /// The moment of the judgement.
    pub at: Timestamp,
    /// 1 to 4: the highest level whose criteria, and those of all levels below, are met.
    pub level: u8,
    /// Its name.
    pub name: &'static str,
    /// How many runs the history knows.
    pub runs: u64,
    /// The levels above the first, each with its criteria.
    pub levels: Vec<Level>,
    /// The resilience of each service, the weakest first.
    pub scores: Vec<Score>,
    /// Services that no run has told anything about, by name.
    pub untested: Vec<String>,
}

/// A level and its criteria.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Level {
    /// 2 to 4.
    pub level: u8,
    /// Its name.
    pub name: &'static str,
    /// Whether all its criteria are met.
    pub met: bool,
    /// What it takes.
    pub criteria: Vec<Criterion>,
}

/// One thing that a level takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Criterion {
    /// Its name.
    pub name: &'static str,
    /// What must be so.
    pub wants: String,
    /// Whether it is.
    pub met: bool,
    /// What was found.
    pub found: String,
    /// Runs and game days that show it, the newest first.
    pub evidence: Vec<String>,
    /// What is missing, where it is not met.
    pub missing: Option<String>,
}

/// The resilience of a service, from 0 to 100.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The service.
    pub service: String,
    /// Now.
    pub score: f64,
    /// What it was thirty days ago; none where nothing was known then.
    pub before: Option<f64>,
    /// How many runs count.
    pub runs: u64,
    /// Days since the last that counts; none where that is too long ago.
    pub untested_days: Option<i64>,
    /// The newest run about it.
    pub last_run: Option<String>,
}

/// Something that should be looked at next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// How much it matters, from 0 to 100.
    pub weight: u8,
    /// What kind of finding it is: `residue`, `failed`, `aborted`, `margin_shrinks`, `limit_fell`, `score_fell`,
    /// `recovery_slower`, `stale`, `never_struck`.
    pub kind: &'static str,
    /// The experiment or service that it is about.
    pub about: String,
    /// What was found, in a sentence.
    pub found: String,
    /// The run that shows it.
    pub run: Option<String>,
    /// The command to run next.
    pub command: String,
}
