//! One run: by its name, the beginning of its name, how long ago it was, or what it proved.

use crate::list::of_details;
use crate::moment;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use squall_model::past::Run;

/// How many names are told where several begin alike.
const MOST_TOLD: i64 = 5;

/// What a name means.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// One run.
    Run(Box<Run>),
    /// No run.
    Nothing,
    /// The names of several runs begin so; some of them.
    Several(Vec<String>),
}

pub(crate) fn run(connection: &Connection, name: &str) -> rusqlite::Result<Found> {
    let found = match steps_back(name) {
        Some(steps) => nth_last(connection, steps)?,
        None => named(connection, name)?,
    };
    if let Some(details) = found {
        return Ok(Found::Run(Box::new(of_details(&details)?)));
    }
    let names = beginning_with(connection, name)?;
    match names.as_slice() {
        [] => Ok(Found::Nothing),
        [only] => {
            let details = named(connection, only)?;
            details.map_or(Ok(Found::Nothing), |details| Ok(Found::Run(Box::new(of_details(&details)?))))
        }
        _ => Ok(Found::Several(names)),
    }
}

/// How many runs before the newest: `last` is 0, `last~2` is 2.
fn steps_back(name: &str) -> Option<u32> {
    match name.strip_prefix("last")? {
        "" => Some(0),
        rest => rest.strip_prefix('~')?.parse().ok(),
    }
}

fn nth_last(connection: &Connection, steps: u32) -> rusqlite::Result<Option<String>> {
    let statement = "SELECT details FROM run ORDER BY started DESC, id DESC LIMIT 1 OFFSET ?1";
    connection.query_row(statement, [steps], |row| row.get(0)).optional()
}

fn named(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT details FROM run WHERE run = ?1", [name], |row| row.get(0)).optional()
}

fn beginning_with(connection: &Connection, beginning: &str) -> rusqlite::Result<Vec<String>> {
    if beginning.is_empty() {
        return Ok(Vec::new());
    }
    // No name holds the last of all characters.
    let end = format!("{beginning}\u{10ffff}");
    let statement = "SELECT run FROM run WHERE run >= ?1 AND run < ?2 ORDER BY run DESC LIMIT ?3";
    connection.prepare(statement)?.query_map(params![beginning, end, MOST_TOLD], |row| row.get(0))?.collect()
}

pub(crate) fn last_passed(
    connection: &Connection,
    experiment: &str,
    environment: &str,
    fingerprint: Option<&str>,
) -> rusqlite::Result<Option<(String, Timestamp)>> {
    let statement = "SELECT run, started FROM run WHERE experiment = ?1 AND environment = ?2 AND verdict = 'passed' \
                     AND (?3 IS NULL OR json_extract(details, '$.fingerprint') = ?3) ORDER BY started DESC LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, moment(row.get(1)?)));
    connection.query_row(statement, params![experiment, environment, fingerprint], read).optional()
}
