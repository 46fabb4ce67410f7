//! `squall convert FILE`: another tool's file as an experiment of Squall, with what is done otherwise as comments.

use crate::exit::{Failure, Outcome};
use crate::files;
use crate::out;
use crate::registry::Registry;
use clap::Args;
use clap::builder::PossibleValuesParser;
use squall_model::read::{self, Overrides};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The file, such as a manifest of Chaos Mesh or Istio; each document of it where it has several
    file: PathBuf,
    /// What it is written for; without this, what it says itself
    #[arg(long, value_name = "DIALECT", value_parser = PossibleValuesParser::new(read::dialects()))]
    from: Option<String>,
    /// No colour
    #[arg(long)]
    no_color: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        for (position, file) in files::documents(&self.file).iter().enumerate() {
            if position > 0 {
                out::say("---");
            }
            self.convert(file)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Prints a file or a document of it as an experiment.
    fn convert(&self, file: &Path) -> Result<(), Failure> {
        let colour = out::colour(self.no_color);
        let source = files::source(file)?;
        let conversion = read::convert(&source, &Registry, self.from.as_deref()).map_err(|errors| {
            Failure::invalid(read::render(&source, &errors, colour).trim_end().to_owned())
        })?;
        // What could not be carried out is told here, and not when somebody has come to rely on what was printed.
        files::read(file, &Overrides::default(), colour)?;
        for note in &conversion.notes {
            out::say(format!("# {note}"));
        }
        out::write(&read::to_yaml(&conversion.root));
        Ok(())
    }
}
