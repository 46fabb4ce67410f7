//! Faults on MySQL and `MariaDB`. What they do is text of their language, which the plan shows as it will be said.
//!
//! A session is seen by its mark while it says something, so sessions that are held sleep on the server, a second at a time.

pub(crate) mod connections;
pub(crate) mod kill_connections;
pub(crate) mod lock;
pub(crate) mod long_transaction;
pub(crate) mod readonly;
pub(crate) mod replication_lag;
pub(crate) mod slow_queries;

use squall_model::facts::{DatabaseFacts, Facts};
use squall_model::fault::PlanError;
use squall_model::server::{Again, Look, ServerKind, SessionsStep, Statement, Watch, mark_of};
use squall_model::units::Duration;

/// The server that is struck, which must be MySQL or `MariaDB`.
fn mysql(facts: &Facts) -> Result<&DatabaseFacts, PlanError> {
    crate::database::of_kind(facts, ServerKind::Mysql)
}

/// Whether it is `MariaDB`.
fn is_mariadb(database: &DatabaseFacts) -> bool {
    database.version.contains("MariaDB")
}

/// A watch on the server: one session holds a lock, and the server itself ends it where nothing is heard of it. The other one
/// waits for that lock, longer than any fault lasts, and what puts back lies behind that.
fn watch(facts: &Facts) -> Watch {
    let lock = ServerKind::Mysql.literal(&format!("{} watch", mark_of(&facts.injection)));
    Watch {
        hold: Some(Statement::text(format!("DO GET_LOCK({lock}, 1)"))),
        wait: Statement::text(format!("DO GET_LOCK({lock}, 86400)")),
        renew: None,
    }
}

/// That we may do anything on the server.
fn check_superuser(database: &DatabaseFacts, to: &str) -> Result<(), PlanError> {
    if database.is_superuser {
        return Ok(());
    }
    let DatabaseFacts { server, user, .. } = database;
    Err(PlanError::Forbidden(format!(
        "{user} may not {to} on {server}; name a user with ALL PRIVILEGES or SUPER on *.*"
    )))
}

/// Sessions that begin with something and then sleep on the server.
fn sleepers(
    facts: &Facts,
    database: &DatabaseFacts,
    count: u32,
    begin: Vec<Statement>,
    look: Look,
) -> SessionsStep {
    let mut step = crate::database::sessions(facts, database, count, look);
    step.begin = begin;
    step.again = Some(Again { statement: Statement::text("SELECT SLEEP(1)"), every: Duration::seconds(0) });
    step
}
