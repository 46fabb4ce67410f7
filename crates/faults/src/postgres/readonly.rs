//! `postgres.readonly`: a database that takes no writes, as a primary that lost its role.

use super::{MAY_END_OTHERS, OTHERS, database_name, literal, primary, watch};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{DatabaseFacts, Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{ServerKind, SettingStep, Statement, mark_of};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct ReadOnly;

/// What `postgres.readonly` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// What becomes of the sessions that clients have with this database. Only one that begins obeys the setting, so `end`
    /// ends them, as a failover does, when the database becomes read-only and when it is no more. `keep` leaves them:
    /// those that were there go on writing, and those that begin meanwhile stay read-only until they end.
    #[serde(default)]
    sessions: Existing,
}

/// What becomes of sessions that do not obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Existing {
    /// They are ended.
    #[default]
    End,
    /// They go on.
    Keep,
}

const NAME: &str = "default_transaction_read_only";

/// Ends those that we may end: without being a superuser, not those of superusers.
fn end_sessions() -> String {
    format!(
        "SELECT count(pg_terminate_backend(a.pid)) FROM {OTHERS} AND a.datname = current_database() \
         AND (NOT r.rolsuper OR current_setting('is_superuser') = 'on')"
    )
}

fn checks(database: &DatabaseFacts, ends: bool) -> Vec<Statement> {
    let (user, name) = (&database.user, database_name(database));
    let owner = "(SELECT datdba FROM pg_database WHERE datname = current_database())";
    let mut checks = vec![super::unless(
        &format!("current_setting('is_superuser') = 'on' OR pg_has_role({owner}, 'USAGE')"),
        &format!("{user} may not change database {name}; strike as its owner or a superuser"),
    )];
    if ends {
        checks.push(super::unless(
            &format!("{MAY_END_OTHERS} OR NOT EXISTS (SELECT FROM {OTHERS} AND a.datname = current_database() AND NOT pg_has_role(r.oid, 'MEMBER'))"),
            &format!(
                "{user} may not end the sessions that clients have with database {name}; let a superuser say GRANT \
                 pg_signal_backend TO {user}, or give `sessions: keep`"
            ),
        ));
    }
    checks
}

impl Fault for ReadOnly {
    const NAME: &'static str = "postgres.readonly";
    const SUMMARY: &'static str = "Makes a database of PostgreSQL read-only for every session that begins, as a primary that lost its role";
    const EXAMPLE: &'static str = "\
- fault: postgres.readonly
  target: {database: \"postgres://admin@127.0.0.1:5432/shop\"}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = primary(facts, Self::NAME)?;
        let name = database_name(database);
        let quoted = ServerKind::Postgres.identifier(&format!("\"{}\"", name.replace('"', "\"\"")));
        let ends = parameters.sessions == Existing::End;
        let end = ends.then(end_sessions);
        // A setting for one user only, or for all databases, is another.
        let read = format!(
            "SELECT split_part(setting, '=', 2) FROM (SELECT unnest(setconfig) AS setting FROM pg_db_role_setting \
             WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = {})) AS settings \
             WHERE starts_with(setting, '{NAME}=')",
            literal(name)
        );
        let after = end.as_ref().map(|end| format!("{}; ", end.replacen("SELECT", "PERFORM", 1)));
        let then: Vec<Statement> = end.map(Statement::text).into_iter().collect();
        Ok(vec![Step::Setting(SettingStep {
            server: database.server.clone(),
            mark: mark_of(&facts.injection),
            name: format!("{NAME} of database {name}"),
            check: checks(database, ends),
            watch: Some(watch(&facts.injection, &read, "on", &after.unwrap_or_default())),
            read: Statement::text(read),
            write: Statement::text(format!("ALTER DATABASE {quoted} SET {NAME} = on")),
            ours: "on".to_owned(),
            finally: then.clone(),
            then,
            restore: Statement::text(format!("ALTER DATABASE {quoted} SET {NAME} = {}", Statement::BEFORE)),
            unset: Some(Statement::text(format!("ALTER DATABASE {quoted} RESET {NAME}"))),
            lease: facts.lease,
            look: None,
        })])
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(database) = primary(facts, Self::NAME) else { return Vec::new() };
        let name = database_name(database);
        let here = database.clients.iter().filter(|client| client.database.as_deref() == Some(name)).count();
        let end = match parameters.sessions {
            Existing::End => format!(
                "the sessions of clients with database {name} ({here} at the moment) are ended twice, so that they begin \
                 anew: when it becomes read-only, and when it is no more"
            ),
            Existing::Keep => format!(
                "the sessions of clients with database {name} ({here} at the moment) are kept and go on writing; those \
                 that begin meanwhile stay read-only until they end, beyond the end of the fault"
            ),
        };
        let writers = database.settings.get("writers").map(|roles| {
            format!(
                "these go on writing, since they have a setting of their own (ALTER ROLE … SET {NAME} = off), which counts for \
                 more than the database's: {roles}"
            )
        });
        std::iter::once(end).chain(writers).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{golden, notes, on_postgres, refusal};

    #[test]
    fn sessions_are_ended_both_ways_unless_they_are_kept() {
        let facts = on_postgres(|_| ());
        golden::<ReadOnly>(
            "{sessions: keep}",
            &facts,
            &[
                "on postgres://app@db:5432/shop: ALTER DATABASE \"shop\" SET default_transaction_read_only = on, so that \
               default_transaction_read_only of database shop is on",
            ],
        );
        assert!(notes::<ReadOnly>("{sessions: keep}", &facts)[0].contains("beyond the end of the fault"));
        let own = on_postgres(|facts| drop(facts.settings.insert("writers".into(), "etl, ops".into())));
        assert!(notes::<ReadOnly>("{}", &own)[1].ends_with(": etl, ops"));
        let steps = crate::testing::plan::<ReadOnly>("{}", &facts).unwrap();
        let [Step::Setting(step)] = &steps[..] else { panic!("{steps:?}") };
        assert!(step.then[0].to_string().contains("pg_terminate_backend"), "{step:?}");
        assert_eq!(step.then, step.finally);
        let wait = step.watch.as_ref().unwrap().wait.to_string();
        assert!(wait.contains("PERFORM count(pg_terminate_backend"), "{wait}");
    }

    #[test]
    fn a_replica_is_read_only_as_it_is() {
        let message = refusal::<ReadOnly>("{}", &on_postgres(|facts| facts.is_replica = true));
        assert!(message.contains("name its primary"), "{message}");
    }
}
