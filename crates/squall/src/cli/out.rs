//! Words for the user. A reader that has gone away (`squall faults | head`) ends the words, not in a panic.

use std::io::{self, IsTerminal, Write};

/// Prints a text and a newline to standard output.
pub(crate) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
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

/// A table of two columns, the first as wide as its widest cell.
pub(crate) fn columns(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|(left, right)| format!("  {left:width$}  {right}"));
    lines.collect::<Vec<_>>().join("\n")
}
