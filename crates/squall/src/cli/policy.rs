//! `squall policy check`: whether an environment allows experiments, without carrying them out.

use crate::carry::{self, AgentOptions};
use crate::exit::{Failure, Outcome};
use crate::files::{self, VariableOptions};
use crate::out;
use crate::policy::{self, Circumstances, Rules};
use crate::settings::SettingsOptions;
use crate::state::State;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Says whether an environment allows experiments, and what denies them; carries nothing out
    Check(Check),
}

#[derive(Debug, Args)]
struct Check {
    /// Experiment files, folders of them, or `-` for the standard input
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The environment
    #[arg(long, value_name = "NAME")]
    environment: String,
    #[command(flatten)]
    variables: VariableOptions,
    #[command(flatten)]
    settings: SettingsOptions,
    /// When it would be carried out: 2026-11-30T10:00:00Z; now, where it is not said
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<Timestamp>,
    /// As if this person had said yes
    #[arg(long, value_name = "NAME", value_parser = policy::approver)]
    approved_by: Option<String>,
    /// Makes the choice among targets repeatable
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    agent: AgentOptions,
}

/// An instant; a day alone is none.
fn instant(text: &str) -> Result<Timestamp, String> {
    let form = "give a day, a time and a zone: 2026-11-30T10:00:00Z, or 2026-11-30T11:00:00+01:00";
    text.parse().map_err(|_| form.to_owned())
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        match self.verb {
            Verb::Check(check) => check.run(),
        }
    }
}

impl Check {
    fn run(self) -> Outcome {
        let files = files::find(&self.paths)?;
        let overrides = self.variables.overrides(&files)?;
        let rules = Rules::find(&self.settings, &files, &State::locate()?)?.ok_or_else(|| {
            Failure::invalid(
                "there are no settings with `environments` or `protected`, so nothing is denied; name a file with --settings",
            )
        })?;
        let circumstances = Circumstances {
            environment: Some(&self.environment),
            at: self.at.unwrap_or_else(Timestamp::now),
            // At a terminal a run would ask.
            approved: self.approved_by.is_some() || std::io::stdin().is_terminal(),
            seed: self.seed.unwrap_or_else(carry::random_seed),
            agent: &self.agent,
        };
        let mut denied = Vec::new();
        for file in &files {
            let mut experiment = files::read(file, &overrides, out::colour(false))?;
            match rules.admit(file, &mut experiment, circumstances) {
                Ok(()) => {
                    let allowed = rules.verdict_of_allowed(&self.environment);
                    out::say(format!("{} ({}) {allowed}", experiment.name, file.display()));
                }
                Err(denial) => denied.push(denial.to_string()),
            }
        }
        if denied.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Failure::invalid(denied.join("\n\n"))) }
    }
}
