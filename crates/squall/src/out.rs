//! Words for the user. A reader that has gone away (`squall faults | head`) ends the words, not in a panic.
//!
//! All that goes to standard output goes through here, so that what could not be written (a full disk) is told at the
//! end of every verb, and none of them ends as if all were well.

use crate::exit::UNWRITTEN;
use squall_report::paint::{printable, width};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

/// What could not be written so far, in words; each once.
static LOST: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What is told at the end.
static LATER: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Prints a text and a newline to standard output.
pub(crate) fn say(text: impl std::fmt::Display) {
    write(&format!("{text}\n"));
}

/// Writes a text to standard output as it is; whether somebody may have got it.
pub(crate) fn write(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    drop(stdout);
    note(&written);
    written.is_ok()
}

/// Notes what came of writing to standard output. A reader that has gone away wanted no more.
pub(crate) fn note(written: &io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        lose(format!("could not write to standard output: {error}"));
    }
}

/// Notes that a result was lost, to be told by [`finish`].
pub(crate) fn lose(what: String) {
    let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
    if !lost.contains(&what) {
        lost.push(what);
    }
}

/// The end of a verb: tells what could not be written. An exit code that tells of something else stays, since that is
/// what a script must know first.
pub(crate) fn finish(code: ExitCode) -> ExitCode {
    let lost = std::mem::take(&mut *LOST.lock().unwrap_or_else(PoisonError::into_inner));
    lost.iter().for_each(|what| warn(format!("squall: {what}")));
    LATER.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(warn);
    if lost.is_empty() || code != ExitCode::SUCCESS { code } else { ExitCode::from(UNWRITTEN) }
}

/// Notes something that is to be told on standard error at the end of the verb, because a screen is drawn now.
pub(crate) fn warn_later(text: String) {
    LATER.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}

/// Prints a text and a newline to standard error.
pub(crate) fn warn(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a value as indented JSON.
pub(crate) fn say_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(text),
        Err(error) => warn(format!("squall: could not write JSON: {error}")),
    }
}

/// How colour is asked for: by the terminal, unless it can none, or `NO_COLOR` or `--no-color` says otherwise.
pub(crate) fn colour(refused: bool) -> bool {
    !refused
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb")
        && io::stdout().is_terminal()
}

/// A table with a head, each column but the last as wide as its widest cell.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(&head)
        .chain(rows)
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
        .collect();
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| widest(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, wide)| format!("{cell}{}", " ".repeat(wide.saturating_sub(width(cell)))));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A table of two columns, the first as wide as its widest cell.
pub(crate) fn columns(rows: &[(String, String)]) -> String {
    let widest = rows.iter().map(|(left, _)| width(left)).max().unwrap_or(0);
    let gap = |left: &str| " ".repeat(widest - width(left));
    let lines = rows.iter().map(|(left, right)| format!("  {left}{}  {right}", gap(left)));
    lines.collect::<Vec<_>>().join("\n")
}
