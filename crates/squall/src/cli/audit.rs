//! `squall audit verify|list|head`: who did what, and whether somebody changed what is told of it.

use super::since::since;
use crate::audit;
use crate::exit::{Failure, Outcome};
use crate::out;
use crate::state::State;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use squall_history::audit::{Head, Line, Verified};
use squall_report::words;
use std::io;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Looks whether the chain of entries is whole; ends with 1 and the first line that is wrong where it is not
    Verify(VerifyOptions),
    /// Lists the entries, the oldest first
    List(ListOptions),
    /// Prints number and hash of the last entry, to be kept elsewhere and given to `verify --head` later
    Head,
}

#[derive(Debug, Args)]
struct VerifyOptions {
    /// Number and hash of an entry, as `squall audit head` printed them, that must still be there
    #[arg(long, value_name = "N:HASH")]
    head: Vec<Head>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListOptions {
    /// Only entries since then: so long ago (7d, 12h, 2w), a date, or a time
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let state = State::locate()?;
        match self.verb {
            Verb::Verify(options) => options.run(&state),
            Verb::List(options) => options.run(&state),
            Verb::Head => {
                let verified = verified(&state, &[])?;
                match (verified.wrong, verified.head) {
                    (Some(wrong), _) => Err(Failure::failed(format!(
                        "the audit log is not whole, line {}: {}; `squall audit verify` tells more",
                        wrong.line, wrong.why
                    ))),
                    (None, Some(head)) => {
                        out::say(head);
                        Ok(ExitCode::SUCCESS)
                    }
                    (None, None) => Err(Failure::failed("there is no entry in the audit log yet")),
                }
            }
        }
    }
}

fn verified(state: &State, heads: &[Head]) -> Result<Verified, Failure> {
    let log = audit::log(state);
    // What is not there is not whole, unless nothing was done yet. Where an entry must be there, that is told.
    let is_missing = !log.file().exists() && !log.head_file().exists();
    let is_unused = state.folder().exists() && !has_runs(state);
    if heads.is_empty() && is_missing && !is_unused {
        let place = if state.folder().exists() {
            ", though there are runs"
        } else {
            ", nor the state folder it would lie in"
        };
        return Err(Failure::invalid(format!(
            "there is no audit log {}{place}; SQUALL_STATE names the state folder, and the first deed begins the log",
            log.file().display()
        )));
    }
    log.verify(heads).map_err(|error| unreadable(state, &error))
}

fn has_runs(state: &State) -> bool {
    std::fs::read_dir(state.runs()).is_ok_and(|mut runs| runs.next().is_some())
}

fn unreadable(state: &State, error: &io::Error) -> Failure {
    Failure::failed(format!("could not read the audit log {}: {error}", audit::log(state).file().display()))
}

impl VerifyOptions {
    fn run(self, state: &State) -> Outcome {
        let file = audit::log(state).file();
        let verified = verified(state, &self.head)?;
        let code = if verified.wrong.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        if self.json {
            out::say_json(&json!({
                "whole": verified.wrong.is_none(),
                "entries": verified.lines,
                "head": verified.head.as_ref().map(Head::to_string),
                "notes": verified.notes,
                "wrong": verified.wrong.as_ref().map(|wrong| json!({"line": wrong.line, "why": wrong.why})),
                "file": file,
            }));
            return Ok(code);
        }
        verified.notes.iter().for_each(|note| out::say(format!("note: {note}")));
        match &verified.wrong {
            None if verified.lines == 0 => {
                out::say(format!("whole: there is no entry in {} yet", file.display()));
            }
            None => out::say(format!("whole: {} entries in {}", verified.lines, file.display())),
            Some(wrong) => out::say(format!(
                "NOT whole: {}:{}: {}\nwhole before it: {} entries",
                file.display(),
                wrong.line,
                wrong.why,
                verified.lines
            )),
        }
        Ok(code)
    }
}

impl ListOptions {
    fn run(self, state: &State) -> Outcome {
        let lines = audit::log(state).lines().map_err(|error| unreadable(state, &error))?;
        let since = self.since.unwrap_or(Timestamp::MIN);
        let lines: Vec<Line> = lines.into_iter().filter(|line| line.at >= since).collect();
        if self.json {
            out::say_json(&lines);
        } else if lines.is_empty() {
            out::say("no such entry is known");
        } else {
            let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
            out::say(out::table(&["NUMBER", "WHEN", "WHO", "WHAT", "ON", ""], &rows));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(line: &Line) -> Vec<String> {
    let details: Vec<String> = line.details.iter().map(|(name, text)| format!("{name}: {text}")).collect();
    let (number, when) = (line.number.to_string(), words::moment(line.at));
    vec![number, when, line.who.clone(), line.what.replace('_', " "), line.on.clone(), details.join("; ")]
}
