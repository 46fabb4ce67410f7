//! What came of a strike: how it is told, and whether anything was touched at all.

use super::{Entry, Event, Work};
use crate::carry::Carried;
use crate::exit::Failure;
use crate::history;
use squall_history::Wanted;
use squall_model::event;
use squall_model::past::Run;
use squall_model::verdict::Verdict;
use squall_practice::monkey::{Config, title};

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
        let is_begun = |entry: &event::Entry| matches!(entry.event, event::Event::InjectStarted { .. });
        let touched = carried.entries.iter().any(is_begun);
        Self { verdict: carried.verdict, reason: carried.reason, touched }
    }

    /// What the history tells of a run that nobody waited for.
    fn remembered(run: &Run) -> Self {
        let reason = run.reasons.first().map_or("its journal has no end", String::as_str).to_owned();
        let verdict = run.verdict.unwrap_or(Verdict::Aborted);
        Self { verdict, reason, touched: run.injections > 0 }
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
    let was = if name.contains(", ") { "were" } else { "was" };
    match after.verdict {
        Verdict::Passed => format!("{name} {was} ended, {}", config.trial.shown()),
        Verdict::NoEffect => format!("{name} {was} struck, and nothing came of it: {reason}"),
        other => format!("{name} {was} ended; {}: {reason}", other.name().replace('_', " ")),
    }
}

impl Work<'_> {
    /// Settles strikes during which this monkey's process ended: what came of them is in their runs. Whether any must wait
    /// until the end of its run is written.
    pub(super) fn settle_what_was_begun(&self) -> Result<bool, Failure> {
        let mut is_any_open = false;
        for entry in self.records.unsettled() {
            is_any_open |= !self.settle_later(&entry)?;
        }
        Ok(is_any_open)
    }

    /// Whether a strike is settled now, as far as it can be.
    fn settle_later(&self, entry: &Entry) -> Result<bool, Failure> {
        let Event::Striking { instance, by_host, .. } = &entry.event else { return Ok(true) };
        let plan = self.records.plan(entry.date);
        let choices = plan.map(|plan| plan.choices).unwrap_or_default();
        let choice = choices.into_iter().find(|choice| Some(choice.group.key()) == entry.group);
        // Without its plan nobody knows whom it was about.
        let Some(choice) = choice else { return Ok(true) };
        let experiment = title(self.config, &choice.group.to_string());
        let Some(after) = self.remembered(experiment, by_host.unwrap_or(entry.at))? else { return Ok(false) };
        self.settle(entry.date, &choice, instance, &after).map(|()| true)
    }

    /// What came of the first run of an experiment since a time; none where its end is still to be written.
    fn remembered(&self, experiment: String, since: jiff::Timestamp) -> Result<Option<After>, Failure> {
        let wanted = Wanted { since: Some(since), experiment: Some(experiment.clone()), ..Wanted::default() };
        // Asked before the history: an end that is written in between is not taken for a run that never was.
        let is_open = self.state.dead_runs().iter().any(|(_, run)| run.experiment == experiment);
        let runs = history::ask(self.state, |history| history.list(&wanted))?;
        let first = runs.iter().min_by_key(|run| run.started).map(After::remembered);
        let ended = "the monkey's process ended before it came to the strike".to_owned();
        Ok(match first {
            None if is_open => None,
            None => Some(After::nothing(Verdict::Aborted, ended)),
            after => after,
        })
    }
}
