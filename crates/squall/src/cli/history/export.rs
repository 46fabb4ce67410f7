//! `squall history export`: runs as JSON or CSV. They are written one by one, and never all in memory.

use super::Selection;
use crate::exit::{Failure, Outcome};
use crate::history;
use crate::out;
use crate::state::State;
use clap::{Args, ValueEnum};
use squall_model::past::Run;
use squall_model::verdict::Verdict;
use squall_report::csv;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// At most so many runs, the newest; all where it is not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// What to write
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// The file to write; standard output where none is named
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One array of all that is kept
    Json,
    /// A table with a head (RFC 4180), without metrics and lists of targets
    Csv,
}

impl Options {
    pub(super) fn run(self) -> Outcome {
        let state = State::locate()?;
        match &self.output {
            None => self.write(&state, |text| Ok(out::write(text)))?,
            Some(file) => {
                let failed = |error: io::Error| unwritten(file, &error);
                let opened =
                    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(file);
                let mut writer = BufWriter::new(opened.map_err(failed)?);
                self.write(&state, |text| writer.write_all(text.as_bytes()).map(|()| true).map_err(failed))?;
                writer.flush().map_err(failed)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Gives the text, piece by piece, to `write`, which says whether more is wanted.
    fn write(
        &self,
        state: &State,
        mut write: impl FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let wanted = self.selection.wanted(self.limit);
        let (mut count, mut written, mut asked_again) = (0, write(self.format.begin()), false);
        history::ask(state, |history| {
            // It was damaged and made again: what was written already is not written twice.
            if count > 0 {
                asked_again = true;
                return Ok(());
            }
            history.each(&wanted, |run| {
                written = self.format.piece(&run, count == 0).and_then(|text| write(&text));
                count += 1;
                matches!(written, Ok(true))
            })
        })?;
        if asked_again {
            return Err(Failure::unwritten(
                "the history was damaged while it was exported; export it once more",
            ));
        }
        if written? {
            write(self.format.end())?;
        }
        Ok(())
    }
}

impl Format {
    fn begin(self) -> &'static str {
        match self {
            Self::Json => "[\n",
            Self::Csv => HEAD,
        }
    }

    fn piece(self, run: &Run, is_first: bool) -> Result<String, Failure> {
        match self {
            Self::Json => {
                let text = serde_json::to_string(run).map_err(|error| Failure::failed(error.to_string()))?;
                Ok(if is_first { text } else { format!(",\n{text}") })
            }
            Self::Csv => Ok(csv::row(&cells(run))),
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::Json => "\n]\n",
            Self::Csv => "",
        }
    }
}

const HEAD: &str = "run,experiment,started,seconds,verdict,reason,environment,origin,by,host,services,tags,faults,injections,\
                    recovery_seconds,file,seed\r\n";

fn cells(run: &Run) -> [String; 17] {
    let mut faults: Vec<&str> = run.strikes.iter().map(|strike| strike.fault.as_str()).collect();
    faults.dedup();
    [
        run.run.clone(),
        run.experiment.clone(),
        run.started.to_string(),
        run.seconds.to_string(),
        run.verdict.map_or("", Verdict::name).to_owned(),
        run.reason().to_owned(),
        run.environment.clone(),
        run.origin.clone(),
        run.by.clone(),
        run.host.clone(),
        run.services.join(" "),
        run.tags.join(" "),
        faults.join(" "),
        run.injections.to_string(),
        run.recovery_seconds.map_or(String::new(), |seconds| seconds.to_string()),
        run.file.clone(),
        run.seed.to_string(),
    ]
}

fn unwritten(file: &Path, error: &io::Error) -> Failure {
    Failure::unwritten(format!("could not write {}: {error}", file.display()))
}
