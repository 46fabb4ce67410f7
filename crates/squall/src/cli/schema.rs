//! `squall schema`: the JSON Schema of experiment files.

use crate::exit::{Failure, Outcome};
use crate::out;
use crate::registry::Registry;
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What to describe
    #[arg(default_value = "experiment")]
    what: String,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        if self.what != "experiment" {
            return Err(Failure::invalid(format!(
                "there is no schema of {:?}; try `squall schema experiment`",
                self.what
            )));
        }
        out::say_json(&squall_model::read::schema(&Registry));
        Ok(ExitCode::SUCCESS)
    }
}
