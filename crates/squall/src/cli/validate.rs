//! `squall validate PATH...`: reads experiments, settings and what monkeys are told, checks, and points at mistakes.

use crate::exit::{Failure, Outcome};
use crate::files::{self, VariableOptions};
use crate::monkey;
use crate::out;
use crate::policy::Rules;
use crate::settings;
use crate::state::State;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Experiment files, settings, what a monkey is told, or folders of them
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
        let files = files::find_all(&self.paths)?;
        let (mut experiments, mut others) = (Vec::new(), Vec::new());
        for file in &files {
            match check_of(file) {
                Some(check) => others.push((file, check)),
                None => experiments.push(file.clone()),
            }
        }
        let overrides = self.variables.overrides(&experiments)?;
        let mut wrong = 0;
        let mut tell = |file: &Path, read: Result<String, Failure>| match read {
            Ok(what) => out::say(format!("{}: ok ({what})", file.display())),
            Err(message) => {
                wrong += 1;
                out::warn(message);
            }
        };
        for file in &experiments {
            let read = files::read(file, &overrides, out::colour(self.no_color));
            let notes = read.as_ref().map_or_else(|_| Vec::new(), |experiment| experiment.notes.clone());
            tell(file, read.map(|experiment| experiment.name));
            notes.iter().for_each(|note| out::say(format!("  note: {note}")));
        }
        for (file, check) in others {
            tell(file, check(file, out::colour(self.no_color)));
        }
        match wrong {
            0 => Ok(ExitCode::SUCCESS),
            _ => Err(Failure::invalid(format!("{wrong} of {} files are not valid", files.len()))),
        }
    }
}

/// Reads a file, and says what it is.
type Check = fn(&Path, bool) -> Result<String, Failure>;

/// How a file is checked that says it is no experiment.
fn check_of(file: &Path) -> Option<Check> {
    match files::kind(file).as_deref() {
        Some("Settings") => Some(settings),
        Some("Monkey") => Some(monkey),
        _ => None,
    }
}

fn settings(file: &Path, _colour: bool) -> Result<String, Failure> {
    Rules::of(settings::read(file)?, &State::locate()?).map(|_| "settings".to_owned())
}

fn monkey(file: &Path, colour: bool) -> Result<String, Failure> {
    monkey::config(file, colour).map(|config| format!("monkey {}", config.name))
}
