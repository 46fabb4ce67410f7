//! `squall completions SHELL`: completions on standard output.

use crate::cli::Arguments;
use crate::exit::{Failure, Outcome};
use crate::out;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The shell
    shell: Shell,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "squall", &mut text);
        out::write(&String::from_utf8(text).map_err(|error| Failure::failed(error.to_string()))?);
        Ok(ExitCode::SUCCESS)
    }
}
