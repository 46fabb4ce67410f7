//! `squall report JOURNAL`: any report, again, from the journal alone.

use super::history;
use crate::exit::{Failure, Outcome};
use crate::files;
use crate::out;
use crate::state::State;
use clap::Args;
use clap::builder::PossibleValuesParser;
use squall_report::{FORMATS, Format};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The journal: a file, or a run: its name, a beginning of it, `last`, or `last~1` for the one before
    journal: PathBuf,
    /// What to tell it in; by the ending of the output's name where it is not said, else text
    #[arg(long, value_parser = PossibleValuesParser::new(FORMATS.iter().map(|format| format.name)))]
    format: Option<String>,
    /// The file to write; standard output where none is named
    #[arg(short, long)]
    output: Option<PathBuf>,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let text = self.format()?.render(&entries(&self.journal)?);
        match &self.output {
            None => out::say(text.trim_end()),
            Some(file) => files::write(file, &text)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn format(&self) -> Result<&'static Format, Failure> {
        if let Some(name) = &self.format {
            return Format::named(name).map_err(Failure::invalid);
        }
        match self.output.as_deref().filter(|file| file.extension().is_some()) {
            Some(file) => {
                Format::of_file(file).map_err(|why| Failure::invalid(format!("{why}, or say `--format`")))
            }
            None => Format::named("text").map_err(Failure::invalid),
        }
    }
}

/// The journal of the run that a name means; none where no run is meant by it.
fn of_a_run(name: &str) -> Result<Option<PathBuf>, Failure> {
    let Ok(state) = State::locate() else { return Ok(None) };
    let path = state.journal(name);
    if path.exists() {
        return Ok(Some(path));
    }
    // No name of a run is a path.
    let is_name = !name.contains('/') && Path::new(name).extension().is_none();
    let meant = if is_name { history::meant(&state, name)? } else { None };
    Ok(meant.map(|run| state.journal(&run.run)))
}

/// The events of a journal, named by its file or by its run.
fn entries(journal: &Path) -> Result<Vec<squall_model::event::Entry>, Failure> {
    // A file needs no state folder.
    let of_run = |run: &str| State::locate().map(|state| state.journal(run)).ok();
    let by_run = if journal.exists() { None } else { of_a_run(&journal.to_string_lossy())? };
    let path = by_run.as_deref().unwrap_or(journal);
    let bytes = std::fs::read(path).map_err(|error| {
        let runs = of_run("RUN").unwrap_or_else(|| PathBuf::from("runs/RUN.jsonl in the state folder"));
        Failure::invalid(format!(
            "could not read the journal {}: {error}; name a file or a run, whose journal is {}",
            path.display(),
            runs.display()
        ))
    })?;
    let journal = squall_engine::journal::read(&bytes);
    if journal.entries.is_empty() {
        return Err(Failure::invalid(format!(
            "{} is not a journal of Squall: no line of it is an event",
            path.display()
        )));
    }
    for note in journal.notes() {
        out::warn(format!("squall: {}: {note}", path.display()));
    }
    Ok(journal.entries)
}
