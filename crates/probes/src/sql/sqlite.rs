//! `SQLite`: a file that is opened anew for each question, and only to be read.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use squall_database::Rows;
use squall_model::probe::ProbeError;
use squall_model::units;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;

/// More rows than any question of a probe should have; the first and the count are told.
const MOST: usize = 100_000;

/// A database in a file.
#[derive(Debug)]
pub(super) struct File(PathBuf);

/// Ends what is asked when nobody waits for it any more.
struct Interrupted(InterruptHandle);

impl Drop for Interrupted {
    fn drop(&mut self) {
        self.0.interrupt();
    }
}

impl File {
    pub(super) fn at(path: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err("after `sqlite:` comes the whole path of a file: sqlite:/var/lib/shop.db".to_owned());
        }
        Ok(Self(path))
    }

    /// Asks on a thread of its own, since `SQLite` waits for locks and disks.
    pub(super) async fn ask(&self, query: String, within: Duration) -> Result<Rows, ProbeError> {
        let failed = |cause: String| ProbeError(format!("could not ask {}: {cause}", self.0.display()));
        let (path, (told, handle)) = (self.0.clone(), oneshot::channel());
        let asked = tokio::task::spawn_blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(within)?;
            let _ = told.send(Interrupted(connection.get_interrupt_handle()));
            rows(&connection, &query)
        });
        let answer = async {
            // Held until the answer is there or too late.
            let _interrupted = handle.await;
            asked.await
        };
        let answer = tokio::time::timeout(within, answer).await;
        let answer = answer.map_err(|_| failed(format!("no answer within {}", units::Duration(within))))?;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        answer.map_err(|error: rusqlite::Error| failed(error.to_string()))
    }
}

fn rows(connection: &Connection, query: &str) -> Result<Rows, rusqlite::Error> {
    let mut statement = connection.prepare(query)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut found = Rows { columns, ..Rows::default() };
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if found.rows.len() == MOST {
            break;
        }
        let values = (0..found.columns.len()).map(|index| row.get_ref(index).map(text));
        found.rows.push(values.collect::<Result<_, _>>()?);
    }
    Ok(found)
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
