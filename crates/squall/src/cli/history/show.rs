//! `squall history show RUN`: what is kept of a run, and where its journal is.

use crate::exit::Outcome;
use crate::out;
use crate::state::State;
use clap::Args;
use serde_json::json;
use squall_model::past::Run;
use squall_model::quantity::span;
use squall_report::paint::printable;
use squall_report::{change, words};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The run: its name, a beginning of it, `last`, or `last~1` for the one before
    run: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(super) fn run(self) -> Outcome {
        let state = State::locate()?;
        let [run] = super::find(&state, [&self.run])?;
        let journal = state.journal(&run.run);
        let is_there = journal.exists();
        if self.json {
            let mut object = json!(run);
            object["journal"] = json!(is_there.then_some(&journal));
            out::say_json(&object);
            return Ok(ExitCode::SUCCESS);
        }
        let mut rows = rows(&run);
        let journal = journal.display();
        let place = if is_there { journal.to_string() } else { format!("{journal}, which is gone") };
        rows.push(("journal".to_owned(), place));
        out::say(out::columns(&rows));
        if is_there {
            out::say(format!("\n`squall report {}` tells it in full", run.run));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn rows(run: &Run) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, text: String| {
        if !text.is_empty() {
            rows.push((name.to_owned(), printable(&text)));
        }
    };
    row("run", run.run.clone());
    row("experiment", run.experiment.clone());
    row("hypothesis", run.hypothesis.clone());
    row("verdict", words::verdict_word(run.verdict).to_lowercase());
    run.reasons.iter().for_each(|reason| row("because", reason.clone()));
    row("started", format!("{}, took {}", words::moment(run.started), span(run.seconds)));
    row("for", run.origin.clone());
    row("environment", run.environment.clone());
    row("by", run.by.clone());
    row("host", run.host.clone());
    row("services", run.services.join(", "));
    row("tags", run.tags.join(", "));
    for strike in run.strikes.iter().take(20) {
        row("struck", squall_report::story::named(&strike.fault, &strike.target));
    }
    if run.strikes.len() > 20 {
        row("struck", format!("and {} more", run.strikes.len() - 20));
    }
    row("recovery", recovery(run));
    for metric in &run.comparisons {
        row("measured", format!("{} ({})", change::describe(metric), change::levels(metric)));
    }
    row("again", run.command());
    rows
}

/// How soon the steady state was back; empty where that was not looked for.
pub(super) fn recovery(run: &Run) -> String {
    match (run.recovery_seconds, run.recovery_within) {
        (Some(seconds), _) => span(seconds),
        (None, Some(within)) => format!("not within {}", span(within)),
        (None, None) => String::new(),
    }
}
