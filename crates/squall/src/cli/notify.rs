//! `squall notify test`: shows that whoever is to be told can be reached.

use crate::exit::Outcome;
use crate::out;
use crate::settings::SettingsOptions;
use crate::telling;
use clap::{Args, Subcommand};
use squall_model::verdict::Verdict;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Sends a test message to everybody whom the settings name, and says what came back
    Test(SettingsOptions),
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let Deed::Test(settings) = self.deed;
        let told = telling::test(settings, Path::new("."))?;
        let words = |(name, answer): &(String, Result<String, String>)| match answer {
            Ok(answer) => (name.clone(), answer.clone()),
            Err(why) => (name.clone(), format!("not told: {why}")),
        };
        out::say(out::columns(&told.iter().map(words).collect::<Vec<_>>()));
        let all_told = told.iter().all(|(_, answer)| answer.is_ok());
        Ok(if all_told { ExitCode::SUCCESS } else { ExitCode::from(Verdict::Failed.exit_code()) })
    }
}
