//! Faults on PostgreSQL. What they do is text of its language, which the plan shows as it will be said.

pub(crate) mod connections;
pub(crate) mod failover;
pub(crate) mod kill_backends;
pub(crate) mod lock;
pub(crate) mod long_transaction;
pub(crate) mod readonly;
pub(crate) mod replication_lag;
pub(crate) mod slow_queries;

use squall_model::facts::{DatabaseFacts, Facts};
use squall_model::fault::PlanError;
use squall_model::server::{ServerKind, Statement, Watch, mark_of};

/// The server that is struck, which must be PostgreSQL.
fn postgres(facts: &Facts) -> Result<&DatabaseFacts, PlanError> {
    crate::database::of_kind(facts, ServerKind::Postgres)
}

/// The same, which must take changes.
fn primary<'f>(facts: &'f Facts, fault: &str) -> Result<&'f DatabaseFacts, PlanError> {
    let database = postgres(facts)?;
    if database.is_replica {
        return Err(PlanError::Refused(format!(
            "{} is a replica, which takes no changes, so {fault} can do nothing there; name its primary",
            database.server
        )));
    }
    Ok(database)
}

/// The database that its sessions use.
fn database_name(database: &DatabaseFacts) -> &str {
    database.settings.get("database").map_or("postgres", String::as_str)
}

fn literal(text: &str) -> String {
    ServerKind::Postgres.literal(text)
}

/// A check: nothing where the condition holds, or else what is wrong.
fn unless(condition: &str, wrong: &str) -> Statement {
    Statement::text(format!("SELECT CASE WHEN {condition} THEN NULL ELSE {} END", literal(wrong)))
}

/// The sessions that take a connection. Of others' sessions the server may not tell of which kind they are; those that it
/// runs for itself have no user.
const CLIENTS: &str = "pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL \
    AND coalesce(backend_type, 'client backend') = 'client backend'";

/// The sessions of clients that are not Squall's, as rows `a` with their users `r`.
const OTHERS: &str = "pg_stat_activity AS a JOIN pg_roles AS r ON r.oid = a.usesysid \
    WHERE a.datid IS NOT NULL AND coalesce(a.backend_type, 'client backend') = 'client backend' \
    AND a.pid <> pg_backend_pid() AND a.application_name <> 'squall' AND NOT starts_with(a.application_name, 'squall-')";

/// The sessions that send changes to whoever follows, which are of no database, as rows like those.
const WALSENDERS: &str =
    "pg_stat_activity AS a JOIN pg_roles AS r ON r.oid = a.usesysid WHERE a.backend_type = 'walsender'";

/// Whether we may end the sessions of others.
const MAY_END_OTHERS: &str =
    "current_setting('is_superuser') = 'on' OR pg_has_role('pg_signal_backend', 'MEMBER')";

/// A watch on the server: one session is in a transaction that holds an advisory lock, and the server itself ends it where
/// nothing is heard of it. The other one looks several times a second whether that lock is free, in a transaction of its
/// own each time, so that it keeps nothing from being tidied up; then it puts back what is still `ours`, in spite of
/// whoever does the same, says what is to be said `after` that, and ends itself, since nobody may be there to do so.
fn watch(injection: &str, read: &str, ours: &str, after: &str) -> Watch {
    let lock = lock_number(&mark_of(injection));
    let (ours, restore) = (literal(ours), Watch::RESTORE);
    Watch {
        hold: Some(Statement::text(format!("BEGIN; SELECT pg_advisory_xact_lock({lock})"))),
        renew: None,
        wait: Statement::text(format!(
            "DO $squall$ BEGIN \
             WHILE NOT pg_try_advisory_lock({lock}) LOOP COMMIT; PERFORM pg_sleep(0.2); COMMIT; END LOOP; \
             FOR attempt IN 1..50 LOOP BEGIN \
             EXIT WHEN ({read}) IS DISTINCT FROM {ours}; EXECUTE $restore${restore}$restore$; EXIT; \
             EXCEPTION WHEN OTHERS THEN PERFORM pg_sleep(0.1); END; END LOOP; COMMIT; \
             {after}PERFORM pg_terminate_backend(pg_backend_pid()); END $squall$"
        )),
    }
}

/// A number for an advisory lock that no other mark has, and likely nobody else (FNV-1a, 64 bits).
fn lock_number(mark: &str) -> i64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    i64::from_ne_bytes(mark.bytes().fold(0xcbf2_9ce4_8422_2325, step).to_ne_bytes())
}
