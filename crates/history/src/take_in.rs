//! Taking in: what is written to the database.

use crate::{Kind, micros};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use squall_model::past::{GameDay, Run, day_of};
use squall_model::verdict::Verdict;
use std::collections::{BTreeSet, HashSet};

/// The name of a verdict in the database; empty where there is none.
pub(crate) fn verdict_name(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("", Verdict::name)
}

pub(crate) fn runs(connection: &mut Connection, runs: &[Run]) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut taken = 0;
    for known in runs {
        taken += usize::from(run(&transaction, known)?);
    }
    transaction.commit()?;
    Ok(taken)
}

/// Takes a run in; whether it was not known yet.
fn run(transaction: &Transaction<'_>, run: &Run) -> rusqlite::Result<bool> {
    let details =
        serde_json::to_string(run).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let brief = run.brief();
    let started = micros(run.started);
    let added = transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO run (run, experiment, started, verdict, telling, documented, measured, recovery, \
             recovery_within, command, details, environment, unattended) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            run.run,
            run.experiment,
            started,
            verdict_name(run.verdict),
            brief.is_telling,
            brief.is_documented,
            brief.is_measured,
            run.recovery_seconds,
            run.recovery_within,
            brief.command,
            details,
            run.environment,
            run.is_unattended(),
        ])?;
    if added == 0 {
        return Ok(false);
    }
    let id = transaction.last_insert_rowid();
    let mut tagged = transaction.prepare_cached("INSERT OR IGNORE INTO tag VALUES (?1, ?2, ?3)")?;
    for tag in &run.tags {
        tagged.execute(params![tag, started, id])?;
    }
    // The demo's services are nobody's, and have no resilience to be judged.
    let services: BTreeSet<&String> = run.services.iter().filter(|_| !run.is_demo()).collect();
    let mut about = transaction.prepare_cached("INSERT INTO service VALUES (?1, ?2, ?3)")?;
    for service in &services {
        about.execute(params![service, started, id])?;
    }
    if run.is_telling() {
        sum_up(transaction, run, &services)?;
    }
    Ok(true)
}

fn sum_up(transaction: &Transaction<'_>, run: &Run, services: &BTreeSet<&String>) -> rusqlite::Result<()> {
    let faults: BTreeSet<&String> = run.strikes.iter().map(|strike| &strike.fault).collect();
    let mut tally = transaction.prepare_cached(
        "INSERT INTO tally VALUES (?1, ?2, ?3, 1) ON CONFLICT DO UPDATE SET count = count + 1",
    )?;
    let mut struck = transaction.prepare_cached(
        "INSERT INTO struck VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE SET count = count + 1",
    )?;
    for service in services {
        tally.execute(params![service, day_of(run.started), verdict_name(run.verdict)])?;
        for fault in &faults {
            struck.execute(params![service, fault])?;
        }
    }
    Ok(())
}

pub(crate) fn game_days(connection: &mut Connection, days: &[GameDay]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for day in days {
        transaction.execute(
            "INSERT OR REPLACE INTO game_day VALUES (?1, ?2, ?3, ?4, ?5)",
            params![day.session, day.title, day.is_rehearsal, micros(day.started), verdict_name(day.verdict)],
        )?;
    }
    transaction.commit()
}

pub(crate) fn pass_over(connection: &Connection, kind: Kind, name: &str, why: &str) -> rusqlite::Result<()> {
    let statement = "INSERT OR REPLACE INTO passed_over VALUES (?1, ?2, ?3)";
    connection.execute(statement, params![kind.name(), name, why]).map(|_| ())
}

pub(crate) fn known(connection: &Connection, kind: Kind) -> rusqlite::Result<HashSet<String>> {
    let names = match kind {
        Kind::Run => "SELECT run FROM run",
        // One that is not over may go on.
        Kind::GameDay => "SELECT session FROM game_day WHERE verdict != ''",
    };
    let statement = format!("{names} UNION ALL SELECT name FROM passed_over WHERE kind = ?1");
    connection.prepare(&statement)?.query_map([kind.name()], |row| row.get(0))?.collect()
}

pub(crate) fn stamp(connection: &Connection, kind: Kind) -> rusqlite::Result<Option<i64>> {
    let statement = "SELECT stamp FROM folder WHERE kind = ?1";
    connection.query_row(statement, [kind.name()], |row| row.get(0)).optional()
}

pub(crate) fn set_stamp(connection: &Connection, kind: Kind, stamp: i64) -> rusqlite::Result<()> {
    let statement = "INSERT OR REPLACE INTO folder VALUES (?1, ?2)";
    connection.execute(statement, params![kind.name(), stamp]).map(|_| ())
}
