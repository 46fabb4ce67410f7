//! `postgres.replication_lag`: a replica that stops replaying what it gets, and falls behind.

use super::{postgres, watch};
use crate::database::look;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{SettingStep, Statement, mark_of};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct ReplicationLag;

/// `postgres.replication_lag` takes none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

/// One that was promoted replays nothing any more, and nothing is paused there.
const READ: &str = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 'running' WHEN pg_is_wal_replay_paused() THEN 'paused' \
                    ELSE 'running' END";

const LAG: &str = "SELECT coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0) AS bytes, \
                   coalesce(round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())), 0) AS seconds";

impl Fault for ReplicationLag {
    const NAME: &'static str = "postgres.replication_lag";
    const SUMMARY: &'static str = "Has a replica of PostgreSQL replay nothing, so that it falls behind its primary and readers see old rows";
    const EXAMPLE: &'static str = "\
- fault: postgres.replication_lag
  target: {database: \"postgres://admin@replica:5432/shop\"}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(_: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = postgres(facts)?;
        if !database.is_replica {
            return Err(PlanError::Refused(format!(
                "{} is no replica, so there is nothing to fall behind of; name one that follows it",
                database.server
            )));
        }
        let user = &database.user;
        let restore = Statement::text("SELECT pg_wal_replay_resume()");
        Ok(vec![Step::Setting(SettingStep {
            server: database.server.clone(),
            mark: mark_of(&facts.injection),
            name: "the replay of changes".to_owned(),
            check: vec![super::unless(
                "has_function_privilege('pg_wal_replay_pause()', 'EXECUTE') AND \
                 has_function_privilege('pg_wal_replay_resume()', 'EXECUTE')",
                &format!(
                    "{user} may not pause the replay; let a superuser say on the primary: GRANT EXECUTE ON FUNCTION \
                     pg_wal_replay_pause(), pg_wal_replay_resume() TO {user}"
                ),
            )],
            read: Statement::text(READ),
            write: Statement::text("SELECT pg_wal_replay_pause()"),
            ours: "paused".to_owned(),
            then: Vec::new(),
            restore,
            unset: None,
            finally: Vec::new(),
            watch: Some(watch(&facts.injection, READ, "paused", "")),
            lease: facts.lease,
            // A primary on which nobody writes leaves nobody behind.
            look: Some(look(
                LAG,
                "{bytes} bytes are not replayed; {seconds} seconds since the last change",
                "bytes",
            )),
        })])
    }

    fn notes(_: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(database) = postgres(facts) else { return Vec::new() };
        vec![format!(
            "what is not replayed piles up on the disk of {} until the fault is over",
            database.server.place()
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{golden, on_postgres, refusal};

    #[test]
    fn the_replay_is_paused_on_a_replica_only() {
        golden::<ReplicationLag>(
            "{}",
            &on_postgres(|facts| facts.is_replica = true),
            &[
                "on postgres://app@db:5432/shop: SELECT pg_wal_replay_pause(), so that the replay of changes is paused",
            ],
        );
        let message = refusal::<ReplicationLag>("{}", &on_postgres(|_| ()));
        assert!(message.contains("no replica"), "{message}");
    }
}
