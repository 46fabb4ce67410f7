//! `squall maturity`: where the team stands, from evidence in its history.

use crate::exit::Outcome;
use crate::files;
use crate::history;
use crate::out;
use crate::state::State;
use clap::Args;
use jiff::Timestamp;
use squall_practice::maturity::judge;
use squall_report::maturity;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Writes a report as a page
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let judged = judge(&history::facts(&State::locate()?, Timestamp::now())?);
        if self.json {
            out::say_json(&judged);
        } else {
            out::say(maturity::text(&judged));
        }
        if let Some(file) = &self.report {
            files::write(file, &maturity::page(&judged))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
