//! `squall history compare A B`: two runs side by side, and what got better or worse.

use super::show::recovery;
use crate::exit::Outcome;
use crate::out;
use crate::state::State;
use clap::Args;
use squall_model::event::MetricChange;
use squall_model::past::Run;
use squall_model::quantity::title;
use squall_practice::comparison::{Comparison, Trend, compare};
use squall_report::{change, words};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The first run: its name, a beginning of it, `last`, or `last~1`
    first: String,
    /// The second run, which is better or worse than the first
    second: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(super) fn run(self) -> Outcome {
        let [first, second] = super::find(&State::locate()?, [&self.first, &self.second])?;
        let comparison = compare(&first, &second);
        if self.json {
            out::say_json(&comparison);
        } else {
            out::say(describe(&comparison, &first, &second));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(comparison: &Comparison, first: &Run, second: &Run) -> String {
    let mut rows = vec![
        row("experiment", first.experiment.clone(), second.experiment.clone(), None),
        row("started", words::moment(first.started), words::moment(second.started), None),
        row("verdict", verdict(first), verdict(second), Some(comparison.verdict)),
        row("recovery", recovery(first), recovery(second), Some(comparison.recovery)),
    ];
    for metric in &comparison.metrics {
        let shown = |change: &Option<MetricChange>| change.as_ref().map_or_else(|| "–".to_owned(), in_words);
        rows.push(row(
            &title(&metric.metric),
            shown(&metric.first),
            shown(&metric.second),
            Some(metric.trend),
        ));
    }
    let mut text = out::table(&["", &first.run, &second.run, ""], &rows);
    for (what, names) in [("better", &comparison.better), ("worse", &comparison.worse)] {
        if !names.is_empty() {
            text = format!("{text}\n\n{what}: {}", names.join(", "));
        }
    }
    if comparison.better.is_empty() && comparison.worse.is_empty() {
        text += "\n\nnothing is seen to be better or worse";
    }
    comparison.notes.iter().fold(text, |text, note| text + "\nnote: " + note)
}

fn row(name: &str, first: String, second: String, trend: Option<Trend>) -> Vec<String> {
    let trend = match trend {
        Some(Trend::Better) => "better",
        Some(Trend::Worse) => "worse",
        Some(Trend::Same) => "no difference seen",
        Some(Trend::Unknown) | None => "",
    };
    vec![name.to_owned(), first, second, trend.to_owned()]
}

fn verdict(run: &Run) -> String {
    words::verdict_word(run.verdict).to_lowercase()
}

/// Before and under the fault, and the change: `0 % → 12 %, +12 points`.
fn in_words(metric: &MetricChange) -> String {
    format!("{}, {}", change::levels(metric), change::headline(metric))
}
