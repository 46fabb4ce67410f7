//! `squall suggest`: what to do next, from what the history shows.

use crate::exit::Outcome;
use crate::history;
use crate::out;
use crate::state::State;
use clap::Args;
use jiff::Timestamp;
use squall_model::maturity::Finding;
use squall_practice::maturity::suggest;
use squall_report::paint::printable;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// At most so many findings, the weightiest
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All findings, as JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let findings = suggest(&history::facts(&State::locate()?, Timestamp::now())?);
        if self.json {
            out::say_json(&findings);
        } else if findings.is_empty() {
            out::say("the history shows nothing that has to be looked at");
        } else {
            let limit = self.limit as usize;
            let texts: Vec<String> = findings.iter().zip(1..).take(limit).map(describe).collect();
            out::say(texts.join("\n"));
            if findings.len() > limit {
                out::say(format!("\n{} more; --limit shows them", findings.len() - limit));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe((finding, number): (&Finding, usize)) -> String {
    let run = finding.run.as_ref().map(|run| format!(" (run {run})")).unwrap_or_default();
    let command = if finding.command.is_empty() { "squall history list" } else { &finding.command };
    printable(&format!("{number:>3}. {}: {}{run}", finding.about, finding.found))
        + "\n       "
        + &printable(command)
}
