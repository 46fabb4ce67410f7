//! `squall slo check`: whether a service keeps its objectives, as a gate for pipelines.

mod check;
mod cloudwatch;
mod prometheus;
mod results;
mod traffic;

use crate::exit::Outcome;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measures a service, or reads what was measured, and ends with 1 and a table where an objective is missed
    Check(Box<check::Options>),
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        match self.verb {
            Verb::Check(options) => options.run(),
        }
    }
}
