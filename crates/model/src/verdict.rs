//! The one word at the end of a run, and the exit code that scripts rely on.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a run found. Ordered by exit code: of several runs the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The hypothesis held while the fault was truly active, and everything was put back.
    Passed,
    /// The hypothesis did not hold, or the steady state did not return in time; everything was put back.
    Failed,
    /// The command or a file is wrong; nothing was touched.
    Invalid,
    /// The steady state did not hold before; nothing was touched.
    NotSteady,
    /// The guard, `halt`, Ctrl-C or SIGTERM ended the run; everything was put back.
    Aborted,
    /// The fault could not be made or showed no effect; everything was put back.
    NoEffect,
    /// Something could not be put back.
    Residue,
}

impl Verdict {
    /// All of them, by exit code.
    pub const ALL: [Self; 7] = [
        Self::Passed,
        Self::Failed,
        Self::Invalid,
        Self::NotSteady,
        Self::Aborted,
        Self::NoEffect,
        Self::Residue,
    ];

    /// The verdict of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }

    /// The exit code of `squall run` for this verdict.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::NotSteady => 3,
            Self::Aborted => 4,
            Self::NoEffect => 5,
            Self::Residue => 6,
        }
    }

    /// The name as it stands in journals and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
            Self::NotSteady => "not_steady",
            Self::Aborted => "aborted",
            Self::NoEffect => "no_effect",
            Self::Residue => "residue",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
