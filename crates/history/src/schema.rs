//! The tables, and how a database of an earlier version gets those of this one.
//!
//! A migration, once released, is never changed: the next one goes below it. Moments are microseconds since 1970 in UTC.

use rusqlite::{Connection, TransactionBehavior};

/// The version of the tables, kept in `user_version`.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// What makes version n + 1 of version n; an empty database has version 0.
const MIGRATIONS: [&str; 3] = [RUNS, ENVIRONMENTS, MEASURED];

/// Version 1: runs, and what they are searched by. `details` is all that is remembered of a run, as JSON.
const RUNS: &str = "
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    experiment TEXT NOT NULL,
    started INTEGER NOT NULL,
    verdict TEXT NOT NULL,
    telling INTEGER NOT NULL,
    documented INTEGER NOT NULL,
    measured INTEGER NOT NULL,
    recovery REAL,
    recovery_within REAL,
    command TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT;
CREATE INDEX run_by_start ON run (started);
CREATE INDEX run_by_experiment ON run (experiment, started);
CREATE INDEX run_by_verdict ON run (verdict, started);
CREATE TABLE tag (name TEXT NOT NULL, started INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (name, started, id))
    STRICT, WITHOUT ROWID;
CREATE TABLE service (name TEXT NOT NULL, started INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (name, started, id))
    STRICT, WITHOUT ROWID;
CREATE TABLE passed_over (kind TEXT NOT NULL, name TEXT NOT NULL, why TEXT NOT NULL, PRIMARY KEY (kind, name))
    STRICT, WITHOUT ROWID;
CREATE TABLE folder (kind TEXT PRIMARY KEY, stamp INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Version 2: environments, runs that nobody started by hand, game days, and what is summed up of each service, so that
/// no judgement has to read every run.
const ENVIRONMENTS: &str = "
ALTER TABLE run ADD COLUMN environment TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN unattended INTEGER NOT NULL DEFAULT 0;
CREATE INDEX run_by_environment ON run (environment, started);
CREATE INDEX run_by_attendance ON run (unattended, started);
CREATE TABLE game_day (
    session TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    rehearsal INTEGER NOT NULL,
    started INTEGER NOT NULL,
    verdict TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tally (
    service TEXT NOT NULL, day INTEGER NOT NULL, verdict TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (service, day, verdict)
) STRICT, WITHOUT ROWID;
CREATE TABLE struck (service TEXT NOT NULL, fault TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (service, fault))
    STRICT, WITHOUT ROWID;
INSERT INTO tally
    SELECT service.name, service.started / 86400000000, run.verdict, count(*)
    FROM service JOIN run USING (id) WHERE run.telling GROUP BY 1, 2, 3;
INSERT INTO struck
    SELECT name, fault, count(*) FROM (
        SELECT DISTINCT service.name AS name, run.id, json_extract(strike.value, '$.fault') AS fault
        FROM service JOIN run USING (id), json_each(run.details, '$.strikes') AS strike WHERE run.telling
    ) GROUP BY 1, 2;
";

/// Version 3: runs whose comparisons all had too little to compare are not measured.
const MEASURED: &str = "
UPDATE run SET measured = EXISTS (
    SELECT 1 FROM json_each(run.details, '$.comparisons') AS change
    WHERE json_extract(change.value, '$.interval') IS NOT NULL
);
";

/// Why a database cannot be used as it is.
pub(crate) enum NotReady {
    /// A newer Squall wrote it, in this version.
    Newer(i64),
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for NotReady {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

fn version(connection: &Connection) -> Result<i64, NotReady> {
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        newer if newer > VERSION => Err(NotReady::Newer(newer)),
        version => Ok(version),
    }
}

/// Brings the tables up to date, all at once or not at all.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), NotReady> {
    if version(connection)? == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it meanwhile.
    let known = usize::try_from(version(&transaction)?).unwrap_or_default();
    for migration in &MIGRATIONS[known..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// Checks that the tables are those of this version.
pub(crate) fn check(connection: &Connection) -> Result<(), NotReady> {
    // One that cannot be brought up to date is read as far as that goes: statements say what is missing.
    version(connection).map(|_| ())
}
