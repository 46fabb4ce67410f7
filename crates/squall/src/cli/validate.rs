//! `squall validate PATH...`: reads, checks, and points at mistakes.

use crate::exit::{Failure, Outcome};
use crate::files::{self, VariableOptions};
use crate::out;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Experiment files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    variables: VariableOptions,
    /// No colour
    #[arg(long)]
    no_color: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let files = files::find(&self.paths)?;
        let overrides = self.variables.overrides(&files)?;
        let mut wrong = 0;
        for file in &files {
            match files::read(file, &overrides, out::colour(self.no_color)) {
                Ok(experiment) => out::say(format!("{}: ok ({})", file.display(), experiment.name)),
                Err(message) => {
                    wrong += 1;
                    out::warn(message);
                }
            }
        }
        match wrong {
            0 => Ok(ExitCode::SUCCESS),
            _ => Err(Failure::invalid(format!("{wrong} of {} files are not valid", files.len()))),
        }
    }
}
