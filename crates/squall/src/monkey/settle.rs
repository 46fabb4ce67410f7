//! What came of a strike: how it is told, and whether anything was touched at all.

use crate::carry::Carried;
use squall_model::event::Event;
use squall_model::verdict::Verdict;
use squall_practice::monkey::Config;

/// What came of a strike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct After {
    /// The run's verdict.
    pub(super) verdict: Verdict,
    /// The most important reason.
    pub(super) reason: String,
    /// Whether the instance was struck.
    pub(super) touched: bool,
}

impl After {
    /// What a run tells.
    pub(super) fn of(carried: Carried) -> Self {
        let is_begun =
            |entry: &squall_model::event::Entry| matches!(entry.event, Event::InjectStarted { .. });
        let touched = carried.entries.iter().any(is_begun);
        Self { verdict: carried.verdict, reason: carried.reason, touched }
    }

    /// That it did not come to a strike.
    pub(super) fn nothing(verdict: Verdict, reason: String) -> Self {
        Self { verdict, reason, touched: false }
    }

    /// Why the instance was not struck.
    pub(super) fn spared(&self, name: &str) -> String {
        match self.verdict {
            Verdict::NotSteady => {
                format!("there may be an outage, so {name} is left alone ({})", self.reason)
            }
            Verdict::Invalid => format!("{name} is left alone: {}", self.reason),
            other => format!("{name} is left alone: {}: {}", other.name().replace('_', " "), self.reason),
        }
    }
}

/// What the owner of an instance that was struck is told.
pub(super) fn words(config: &Config, name: &str, after: &After) -> String {
    let reason = &after.reason;
    match after.verdict {
        Verdict::Passed => format!("{name} was ended, {}", config.trial.shown()),
        Verdict::NoEffect => format!("{name} was struck, and nothing came of it: {reason}"),
        other => format!("{name} was ended; {}: {reason}", other.name().replace('_', " ")),
    }
}
