//! `squall gameday new|check|run|report`: game days from a plan in Markdown to their report.

mod check;
mod commands;
mod measure;
mod new;
mod notebook;
mod plan;
mod report;
mod resume;
mod run;
mod screen;

use crate::exit::Outcome;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Asks a few questions and writes a plan
    New(new::Options),
    /// Says what was understood of a plan, and what a machine can check of it; touches nothing
    Check(check::Options),
    /// Carries a plan out: verify, inject, observe, recover, analyse
    Run(Box<run::Options>),
    /// Tells a session again from its journal
    Report(report::Options),
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        match self.verb {
            Verb::New(options) => options.run(),
            Verb::Check(options) => options.run(),
            Verb::Run(options) => options.run(),
            Verb::Report(options) => options.run(),
        }
    }
}
