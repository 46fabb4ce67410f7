//! `squall ci init`: a ready pipeline, and two experiments for it to carry out.

mod init;

use crate::exit::Outcome;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Writes a workflow for GitHub Actions or GitLab, and two experiments where there are none
    Init(init::Options),
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        match self.verb {
            Verb::Init(options) => options.run(),
        }
    }
}
