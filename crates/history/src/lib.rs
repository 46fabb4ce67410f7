//! What is kept of runs besides their journals: a database that knows all of them, and an audit log whose lines hold each
//! other.
//!
//! The journals are the truth: whatever the database knows can be taken in from them again. So nothing here is worth
//! waiting for, and a run or an undo that cannot write it goes on. Moments come from the caller; nothing here reads a clock.

pub mod audit;
mod error;
mod facts;
mod find;
mod fingerprint;
mod list;
mod schema;
mod take_in;

pub use error::{HistoryError, Trouble};
pub use find::Found;
pub use fingerprint::{fingerprint, mark};
pub use list::Wanted;

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use squall_model::past::{Facts, GameDay, Run};
use std::collections::HashSet;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long is waited for another process that writes.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Which journals a name is about: runs and game days are named alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The journal of a run.
    Run,
    /// The journal of a game day.
    GameDay,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::GameDay => "gameday",
        }
    }
}

/// The history: a database (`SQLite`) in a file of its own.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    file: PathBuf,
}

impl History {
    /// Opens the history, makes it where there is none, and brings one of an earlier version up to date.
    pub fn open(file: &Path) -> Result<Self, HistoryError> {
        // SQLite would make it readable for all.
        let made = OpenOptions::new().create(true).append(true).mode(0o600).open(file);
        made.map_err(|error| HistoryError::unwritable(file, &error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let mut connection = Connection::open_with_flags(file, flags)?;
            connection.busy_timeout(PATIENCE)?;
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            schema::migrate(&mut connection)?;
            Ok(connection)
        };
        Self::opened(file, open())
    }

    /// The history of where nothing happened yet; it is kept nowhere.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn of_nothing() -> Result<Self, HistoryError> {
        let open = || {
            let mut connection = Connection::open_in_memory()?;
            schema::migrate(&mut connection)?;
            Ok(connection)
        };
        Self::opened(Path::new(":memory:"), open())
    }

    /// Opens a history that cannot be written, to read in it.
    pub fn look(file: &Path) -> Result<Self, HistoryError> {
        // A write-ahead log cannot be read without making a file beside it. What cannot be written does not change.
        let name = format!(
            "file:{}?immutable=1",
            file.display().to_string().replace('%', "%25").replace('?', "%3f")
        );
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(name, flags)?;
            schema::check(&connection)?;
            Ok(connection)
        };
        Self::opened(file, open())
    }

    fn opened(file: &Path, opened: Result<Connection, schema::NotReady>) -> Result<Self, HistoryError> {
        match opened {
            Ok(connection) => Ok(Self { connection, file: file.to_owned() }),
            Err(schema::NotReady::Newer(version)) => Err(HistoryError::newer(file, version)),
            Err(schema::NotReady::Failed(error)) => Err(HistoryError::of(file, &error)),
        }
    }

    /// Leaves the tidying up to whoever opens the history next, so that closing it takes no time.
    pub fn close_at_once(&self) -> Result<(), HistoryError> {
        let set = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        self.told(set.map(|_| ()))
    }

    /// Takes runs in; how many of them it did not know yet.
    pub fn take_in(&mut self, runs: &[Run]) -> Result<usize, HistoryError> {
        let taken = take_in::runs(&mut self.connection, runs);
        self.told(taken)
    }

    /// Takes game days in, each again where it went on.
    pub fn take_in_game_days(&mut self, days: &[GameDay]) -> Result<(), HistoryError> {
        let taken = take_in::game_days(&mut self.connection, days);
        self.told(taken)
    }

    /// Remembers that a journal holds nothing to be taken in, so that it is not read again.
    pub fn pass_over(&mut self, kind: Kind, name: &str, why: &str) -> Result<(), HistoryError> {
        self.told(take_in::pass_over(&self.connection, kind, name, why))
    }

    /// The names of all that was taken in or passed over.
    pub fn known(&self, kind: Kind) -> Result<HashSet<String>, HistoryError> {
        self.told(take_in::known(&self.connection, kind))
    }

    /// The state of a folder, as it was when all its journals were known.
    pub fn stamp(&self, kind: Kind) -> Result<Option<i64>, HistoryError> {
        self.told(take_in::stamp(&self.connection, kind))
    }

    /// Notes the state of a folder whose journals are all known.
    pub fn set_stamp(&mut self, kind: Kind, stamp: i64) -> Result<(), HistoryError> {
        self.told(take_in::set_stamp(&self.connection, kind, stamp))
    }

    /// The newest runs that are wanted, the newest first.
    pub fn list(&self, wanted: &Wanted) -> Result<Vec<Run>, HistoryError> {
        let mut runs = Vec::new();
        self.each(wanted, |run| {
            runs.push(run);
            true
        })?;
        Ok(runs)
    }

    /// Gives each run that is wanted, the newest first, until `take` wants no more. They are never all in memory.
    pub fn each(&self, wanted: &Wanted, take: impl FnMut(Run) -> bool) -> Result<(), HistoryError> {
        self.told(list::each(&self.connection, wanted, take))
    }

    /// The run that a name means: its own, a beginning of it that no other has, `last`, or `last~N`.
    pub fn find(&self, name: &str) -> Result<Found, HistoryError> {
        self.told(find::run(&self.connection, name))
    }

    /// The newest run of an experiment in an environment that passed, and when it started; of those that did the same only,
    /// where a [`fingerprint`] says what.
    pub fn last_passed(
        &self,
        experiment: &str,
        environment: &str,
        fingerprint: Option<&str>,
    ) -> Result<Option<(String, Timestamp)>, HistoryError> {
        self.told(find::last_passed(&self.connection, experiment, environment, fingerprint))
    }

    /// What judgements know of the past.
    pub fn facts(&self, now: Timestamp) -> Result<Facts, HistoryError> {
        self.told(facts::facts(&self.connection, now))
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn told<T>(&self, result: rusqlite::Result<T>) -> Result<T, HistoryError> {
        result.map_err(|error| HistoryError::of(&self.file, &error))
    }
}

/// Microseconds since 1970, as they stand in the database.
fn micros(moment: Timestamp) -> i64 {
    moment.as_microsecond()
}

/// The moment that a number of microseconds stands for.
fn moment(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}

/// Two digits a byte.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
