//! `squall history list`: runs, the newest first.

use super::Selection;
use crate::exit::Outcome;
use crate::history;
use crate::out;
use crate::state::State;
use clap::Args;
use squall_model::past::Run;
use squall_model::quantity::span;
use squall_report::words;
use std::process::ExitCode;

const HEAD: [&str; 7] = ["RUN", "STARTED", "VERDICT", "TOOK", "EXPERIMENT", "SERVICES", "FOR"];

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// At most so many runs
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(super) fn run(self) -> Outcome {
        // One more, to know whether there are more.
        let wanted = self.selection.wanted(Some(self.limit.saturating_add(1)));
        let mut runs = history::ask(&State::locate()?, |history| history.list(&wanted))?;
        let has_more = runs.len() > self.limit as usize;
        runs.truncate(self.limit as usize);
        if self.json {
            out::say_json(&runs);
        } else if runs.is_empty() {
            out::say("no such run is known");
        } else {
            out::say(out::table(&HEAD, &runs.iter().map(row).collect::<Vec<_>>()));
            if has_more {
                out::say(format!("\nthese are the newest {}; --limit shows more", self.limit));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(run: &Run) -> Vec<String> {
    let purpose = [run.origin.as_str(), run.environment.as_str()];
    let purpose: Vec<&str> = purpose.into_iter().filter(|word| !word.is_empty()).collect();
    vec![
        run.run.clone(),
        words::moment(run.started),
        run.verdict.map_or("no end", squall_model::verdict::Verdict::name).to_owned(),
        span(run.seconds),
        run.experiment.clone(),
        run.services.join(", "),
        purpose.join(", "),
    ]
}
