//! The reports of a game day: written at its end, or again with `squall gameday report SESSION`.

use super::{notebook, resume};
use crate::exit::{Failure, Outcome};
use crate::files;
use crate::out;
use crate::state::State;
use clap::Args;
use squall_model::gameday::Outcome as Judged;
use squall_report::gameday::{self, Chronicle};
use squall_report::paint::printable;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The session: its name, its journal, or `last`
    #[arg(default_value = "last")]
    session: String,
    /// Writes a report, .html, .md or .csv (follow-ups); may be given several times
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let reports = Reports::of(&self.output, None)?;
        let state = State::locate()?;
        let journal = notebook::find(&state, &self.session)?;
        let chronicle = Chronicle::of(&notebook::read(&journal)?);
        reports.spare(&state, &[of_session(&chronicle), vec![journal]].concat())?;
        if self.output.is_empty() {
            out::say(summary(&chronicle));
        }
        reports.write(&chronicle);
        Ok(ExitCode::SUCCESS)
    }
}

/// The files that a session is made of, as its journal names them.
fn of_session(chronicle: &Chronicle) -> Vec<PathBuf> {
    let Some(setting) = &chronicle.setting else { return Vec::new() };
    let experiments = chronicle.plan.experiments.iter().map(|linked| &linked.file);
    experiments.chain([&setting.file, &setting.with]).map(|name| resume::file_of(setting, name)).collect()
}

/// Tells a chronicle.
type Tell = fn(&Chronicle) -> String;

/// The formats by the ending of a file's name.
const FORMATS: [(&str, Tell); 5] = [
    ("html", gameday::html),
    ("htm", gameday::html),
    ("md", gameday::markdown),
    ("markdown", gameday::markdown),
    ("csv", gameday::csv),
];

/// Files to be written at the end, known to be possible.
pub(super) struct Reports(Vec<(PathBuf, Tell)>);

impl Reports {
    /// Refuses what could not be written later.
    pub(super) fn of(reports: &[PathBuf], followups: Option<&Path>) -> Result<Self, Failure> {
        let mut files: Vec<(PathBuf, Tell)> = Vec::new();
        for file in reports {
            let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or("");
            let known = FORMATS.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
            let (_, tell) = known.ok_or_else(|| {
                Failure::invalid(format!(
                    "{}: a report of a game day ends in .html, .md or .csv (follow-ups)",
                    file.display()
                ))
            })?;
            files.push((file.clone(), *tell));
        }
        files.extend(followups.map(|file| (file.to_owned(), gameday::csv as Tell)));
        files.iter().try_for_each(|(file, _)| files::writable(file))?;
        Ok(Self(files))
    }

    /// Refuses to write over what the day is made of, by whatever name, and over what is kept in the state folder.
    pub(super) fn spare(&self, state: &State, used: &[PathBuf]) -> Result<(), Failure> {
        for (file, _) in &self.0 {
            let name = file.display();
            if let Some(used) = used.iter().find(|used| files::are_one(file, used)) {
                return Err(Failure::invalid(format!(
                    "{name} would be written over {}, which the day is made of; name another file, nothing was touched",
                    used.display()
                )));
            }
            let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or("");
            let is_report = FORMATS.iter().any(|(known, _)| known.eq_ignore_ascii_case(ending));
            if !is_report && files::lies_in(file, state.folder()) {
                return Err(Failure::invalid(format!(
                    "{name} lies in Squall's state folder; name another file, nothing was touched"
                )));
            }
        }
        Ok(())
    }

    /// Writes them. That one could not be written changes no verdict.
    pub(super) fn write(&self, chronicle: &Chronicle) {
        for (file, tell) in &self.0 {
            match files::write(file, &tell(chronicle)) {
                Ok(()) => out::say(format!("wrote {}", file.display())),
                Err(failure) => out::lose(failure.to_string()),
            }
        }
    }
}

/// The end of a day in a few lines.
pub(super) fn summary(chronicle: &Chronicle) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", printable(&chronicle.plan.title));
    for judgement in &chronicle.judgements {
        let (sign, word) = match judgement.outcome {
            Judged::Met => ("✓", "met"),
            Judged::NotMet => ("✗", "not met"),
            Judged::Unknown => ("!", "unknown"),
            Judged::Rehearsed => ("·", "can be checked"),
        };
        let _ = writeln!(text, "  {sign} {word:8}  {}", printable(&judgement.criterion));
        let _ = writeln!(text, "              {}", printable(&judgement.why));
    }
    for one in &chronicle.follow_ups {
        let owner = if one.owner.is_empty() { "nobody yet" } else { &one.owner };
        let due = if one.due.is_empty() { String::new() } else { format!(", due {}", one.due) };
        let _ = writeln!(text, "  to do      {} ({owner}{due})", printable(&one.what));
    }
    match &chronicle.ending {
        Some((verdict, reasons, _)) => {
            let why = reasons.first().map_or("", String::as_str);
            let _ = write!(text, "{verdict}: {}", printable(why));
        }
        None => text.push_str("not over yet"),
    }
    text
}
