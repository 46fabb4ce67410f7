//! `squall maturity`: where the team stands, from evidence in its history.

use crate::exit::{Failure, Outcome};
use crate::files;
use crate::history;
use crate::out;
use crate::state::State;
use clap::Args;
use jiff::Timestamp;
use squall_practice::maturity::judge;
use squall_report::{Format, maturity};
use std::path::{Path, PathBuf};
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
        self.report.as_deref().map_or(Ok(()), must_be_a_page)?;
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

/// Nothing else than a page is written, whatever the file is called.
fn must_be_a_page(file: &Path) -> Result<(), Failure> {
    match Format::of_file(file) {
        Ok(format) if format.name == "html" => Ok(()),
        _ => Err(Failure::invalid(format!(
            "--report writes a page: end the name of {} in .html or .htm (--json is for programs)",
            file.display()
        ))),
    }
}
