//! The facts that judgements need. Each question is answered from an index and asks for the newest only, so that a
//! history of a hundred thousand runs takes no longer than a short one.

use crate::list::{Wanted, each};
use crate::{micros, moment};
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Params, Row, params};
use squall_model::past::{Brief, Facts, GameDay, LIMIT, Run, Service, Struck, Tally, day_of};
use squall_model::verdict::Verdict;

/// How many of the newest runs are looked at.
const RECENT: u32 = 50;
/// How many of each experiment.
const OF_AN_EXPERIMENT: u32 = 10;
/// How many of an experiment are looked through for those that did the same.
const LOOKED_THROUGH: u32 = 30;
/// How many weeks back are looked at for runs that nobody started by hand.
const WEEKS: i64 = 4;
/// How many days back a service's runs are counted.
const TALLIED_DAYS: i64 = 180;
/// What production is called.
const PRODUCTION: [&str; 3] = ["production", "prod", "live"];

const BRIEF: &str = "SELECT run.run, run.experiment, run.started, run.verdict, run.environment, run.telling, \
                     run.documented, run.measured, run.recovery, run.recovery_within, run.command FROM run";

pub(crate) fn facts(connection: &Connection, now: Timestamp) -> rusqlite::Result<Facts> {
    Ok(Facts {
        now,
        runs: connection
            .query_row("SELECT count(*) FROM run", [], |row| row.get(0))
            .map(i64::unsigned_abs)?,
        recent: briefs(connection, "ORDER BY started DESC LIMIT ?1", [RECENT])?,
        unattended: briefs(connection, "WHERE unattended = 1 ORDER BY started DESC LIMIT 5", [])?,
        weekly: (0..WEEKS).map(|week| of_week(connection, now, week)).collect::<rusqlite::Result<_>>()?,
        production: production(connection)?,
        game_days: game_days(connection)?,
        experiments: of_each_experiment(connection, briefs_of)?,
        alike: of_each_experiment(connection, alike)?,
        limits: Vec::new(),
        services: services(connection, now)?,
    })
}

fn briefs(connection: &Connection, which: &str, parameters: impl Params) -> rusqlite::Result<Vec<Brief>> {
    connection.prepare_cached(&format!("{BRIEF} {which}"))?.query_map(parameters, brief)?.collect()
}

fn brief(row: &Row<'_>) -> rusqlite::Result<Brief> {
    Ok(Brief {
        run: row.get(0)?,
        experiment: row.get(1)?,
        started: moment(row.get(2)?),
        verdict: Verdict::named(row.get_ref(3)?.as_str()?),
        environment: row.get(4)?,
        is_telling: row.get(5)?,
        is_documented: row.get(6)?,
        is_measured: row.get(7)?,
        recovery_seconds: row.get(8)?,
        recovery_within: row.get(9)?,
        command: row.get(10)?,
    })
}

/// The newest run of a week that nobody started by hand; week 0 are the last seven days.
fn of_week(connection: &Connection, now: Timestamp, week: i64) -> rusqlite::Result<Option<Brief>> {
    let back =
        |weeks: i64| micros(now.saturating_sub(SignedDuration::from_hours(weeks * 7 * 24)).unwrap_or(now));
    let which = "WHERE unattended = 1 AND started > ?1 AND started <= ?2 ORDER BY started DESC LIMIT 1";
    Ok(briefs(connection, which, [back(week + 1), back(week)])?.pop())
}

fn production(connection: &Connection) -> rusqlite::Result<Vec<Brief>> {
    let mut found = Vec::new();
    for name in PRODUCTION {
        found.extend(briefs(connection, "WHERE environment = ?1 ORDER BY started DESC LIMIT 10", [name])?);
    }
    found.sort_by_key(|brief| std::cmp::Reverse(brief.started));
    Ok(found)
}

fn game_days(connection: &Connection) -> rusqlite::Result<Vec<GameDay>> {
    let statement =
        "SELECT session, title, rehearsal, started, verdict FROM game_day ORDER BY started DESC LIMIT 20";
    let read = |row: &Row<'_>| {
        Ok(GameDay {
            session: row.get(0)?,
            title: row.get(1)?,
            is_rehearsal: row.get(2)?,
            started: moment(row.get(3)?),
            verdict: Verdict::named(row.get_ref(4)?.as_str()?),
        })
    };
    connection.prepare(statement)?.query_map([], read)?.collect()
}

/// Each different value of an indexed column, found by leaping from one to the next.
fn names(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<Vec<String>> {
    let statement = format!(
        "WITH RECURSIVE known (value) AS (\
             SELECT min({column}) FROM {table} \
             UNION ALL \
             SELECT (SELECT min({column}) FROM {table} WHERE {column} > known.value) FROM known WHERE value IS NOT NULL\
         ) SELECT value FROM known WHERE value IS NOT NULL"
    );
    connection.prepare(&statement)?.query_map([], |row| row.get(0))?.collect()
}

fn of_each_experiment<T>(
    connection: &Connection,
    ask: impl Fn(&Connection, &str) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    names(connection, "run", "experiment")?.iter().map(|name| ask(connection, name)).collect()
}

fn briefs_of(connection: &Connection, experiment: &str) -> rusqlite::Result<Vec<Brief>> {
    let which = "WHERE experiment = ?1 ORDER BY started DESC LIMIT ?2";
    briefs(connection, which, params![experiment, OF_AN_EXPERIMENT])
}

/// The newest runs that can be laid beside each other. Those that search for a limit do something else each time.
fn alike(connection: &Connection, experiment: &str) -> rusqlite::Result<Vec<Run>> {
    let wanted =
        Wanted { experiment: Some(experiment.to_owned()), limit: Some(LOOKED_THROUGH), ..Wanted::default() };
    let mut alike: Vec<Run> = Vec::new();
    let did = |run: &Run| (run.environment.clone(), run.fingerprint.clone());
    each(connection, &wanted, |run| {
        if run.origin != LIMIT && alike.first().is_none_or(|newest| did(newest) == did(&run)) {
            alike.push(run);
        }
        alike.len() < OF_AN_EXPERIMENT as usize
    })?;
    Ok(alike)
}

fn services(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Service>> {
    names(connection, "service", "name")?.into_iter().map(|name| service(connection, now, name)).collect()
}

fn service(connection: &Connection, now: Timestamp, name: String) -> rusqlite::Result<Service> {
    let tally = |row: &Row<'_>| {
        let Some(verdict) = Verdict::named(row.get_ref(1)?.as_str()?) else { return Ok(None) };
        let count = row.get::<_, i64>(2)?.unsigned_abs();
        Ok(Some(Tally { day: row.get(0)?, verdict, count }))
    };
    let tallies = connection
        .prepare_cached("SELECT day, verdict, count FROM tally WHERE service = ?1 AND day > ?2")?
        .query_map(params![name, day_of(now) - TALLIED_DAYS], tally)?
        .filter_map(Result::transpose)
        .collect::<rusqlite::Result<_>>()?;
    let read = |row: &Row<'_>| Ok(Struck { fault: row.get(0)?, count: row.get::<_, i64>(1)?.unsigned_abs() });
    let struck = connection
        .prepare_cached("SELECT fault, count FROM struck WHERE service = ?1")?
        .query_map([&name], read)?
        .collect::<rusqlite::Result<_>>()?;
    let which = "WHERE id = (SELECT id FROM service WHERE name = ?1 ORDER BY started DESC LIMIT 1)";
    let last = briefs(connection, which, [&name])?.pop();
    Ok(Service { name, tallies, struck, last })
}
