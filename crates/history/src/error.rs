//! What can be wrong with a history, and what to do about it.

use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// The history could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.describe())]
pub struct HistoryError {
    /// What is wrong with it.
    pub trouble: Trouble,
    file: PathBuf,
    why: String,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// What stands in the file is not what Squall wrote.
    Damaged,
    /// A newer Squall wrote it.
    Newer,
    /// Another process holds it.
    Busy,
    /// It cannot be opened or written: missing rights, a read-only or full disk.
    Unwritable,
    /// Anything else.
    Other,
}

impl HistoryError {
    pub(crate) fn of(file: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, InvalidColumnType, SqlInputError, SqliteFailure};
        let trouble = match error {
            // The statements are right, so what they are about is not.
            SqlInputError { .. } | FromSqlConversionFailure(..) | InvalidColumnType(..) => Trouble::Damaged,
            SqliteFailure(failure, _) => match failure.code {
                // `Unknown` is SQLITE_ERROR, such as a table that is missing.
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown => Trouble::Damaged,
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Trouble::Busy,
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::PermissionDenied => Trouble::Unwritable,
                _ => Trouble::Other,
            },
            _ => Trouble::Other,
        };
        Self { trouble, file: file.to_owned(), why: error.to_string() }
    }

    pub(crate) fn newer(file: &Path, version: i64) -> Self {
        let why =
            format!("it has version {version}, and this squall knows version {}", crate::schema::VERSION);
        Self { trouble: Trouble::Newer, file: file.to_owned(), why }
    }

    pub(crate) fn unwritable(file: &Path, error: &io::Error) -> Self {
        Self { trouble: Trouble::Unwritable, file: file.to_owned(), why: error.to_string() }
    }

    fn describe(&self) -> String {
        let Self { trouble, file, why } = self;
        let file = file.display();
        match trouble {
            Trouble::Damaged => format!(
                "the history {file} is damaged ({why}); `squall history list` moves it aside and makes it again from the \
                 journals"
            ),
            Trouble::Newer => {
                format!(
                    "the history {file} was written by a newer squall ({why}); use that one, or move the file away"
                )
            }
            Trouble::Busy => {
                format!("another process holds the history {file} ({why}); try again when it is done")
            }
            Trouble::Unwritable => {
                format!(
                    "the history {file} could not be written: {why}; mend the disk or the rights to the file"
                )
            }
            Trouble::Other => format!("the history {file} could not be used: {why}"),
        }
    }
}
