//! `postgres.connections`: takes the connections that others need.

use super::{CLIENTS, postgres};
use crate::database::{available, check_count, look, sessions};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{DatabaseFacts, Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::Statement;
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Connections;

/// What `postgres.connections` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How many sessions are opened and held. Where the server lets fewer in, as many as it lets in, and more as soon as
    /// others leave.
    count: u32,
    /// How many connections stay free for others, so that an operator can still get in. Those that the server keeps for
    /// superusers (`superuser_reserved_connections`) stay free in any case.
    #[serde(default)]
    leave_free: u64,
}

impl Fault for Connections {
    const NAME: &'static str = "postgres.connections";
    const SUMMARY: &'static str =
        "Opens sessions on PostgreSQL and holds them, so that others find none free";
    const EXAMPLE: &'static str = "\
- fault: postgres.connections
  target: {database: \"postgres://app@127.0.0.1:5432/shop\"}
  with: {count: 100, leave_free: 2}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        check_count(parameters.count)
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = postgres(facts)?;
        let kept = database.reserved + parameters.leave_free;
        if available(database, kept) == 0 {
            let DatabaseFacts { used, reserved, .. } = database;
            let limit = database.limit.unwrap_or_default();
            return Err(PlanError::Refused(format!(
                "{} has no connection to take: of {limit} are {used} in use, {reserved} kept for superusers, and {} are to \
                 stay free",
                database.server, parameters.leave_free
            )));
        }
        let look = look(
            format!(
                "SELECT count(*) AS used, current_setting('max_connections') AS \"limit\" FROM {CLIENTS}"
            ),
            "{held} sessions held; {used} of {limit} connections are in use",
            "held",
        );
        let mut step = sessions(facts, database, parameters.count, look);
        step.or_fewer = true;
        step.room = Some(Statement::text(format!(
            "SELECT greatest(0, current_setting('max_connections')::bigint - {kept} - count(*)) FROM {CLIENTS}"
        )));
        // Before version 14 only a session within a transaction has an end that the server itself sets.
        if database.major() < 14 {
            step.begin.push(Statement::text("BEGIN"));
        }
        Ok(vec![Step::Sessions(step)])
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(database) = postgres(facts) else { return Vec::new() };
        let count = available(database, database.reserved + parameters.leave_free);
        let is_less = count < u64::from(parameters.count);
        let less = is_less.then(|| {
            format!(
                "{} has {count} connections to take now, fewer than the {} asked for; more are taken as others leave",
                database.server, parameters.count
            )
        });
        less.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{notes, on_postgres, plan};
    use squall_model::server::SessionsStep;

    fn sessions_of(with: &str, change: impl FnOnce(&mut DatabaseFacts)) -> Result<SessionsStep, String> {
        match plan::<Connections>(with, &on_postgres(change))?.remove(0) {
            Step::Sessions(step) => Ok(step),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn as_many_are_held_as_there_are_without_those_that_stay_free() {
        assert_eq!(sessions_of("{count: 30}", |_| ()).unwrap().count, 30);
        let leaving = sessions_of("{count: 500, leave_free: 6}", |_| ()).unwrap();
        assert!(leaving.room.unwrap().to_string().contains("bigint - 9 - count(*)"));
        // 100 connections, 3 kept, 10 used, and one that looks.
        let told = |with| notes::<Connections>(with, &on_postgres(|_| ()));
        assert!(told("{count: 86}").is_empty());
        assert!(told("{count: 500, leave_free: 6}")[0].contains("has 80 connections to take now"));
        let full = sessions_of("{count: 5}", |facts| facts.used = 97).unwrap_err();
        assert!(full.contains("no connection to take"), "{full}");
        assert!(sessions_of("{count: 0}", |_| ()).unwrap_err().contains("no effect"));
    }

    #[test]
    fn what_has_no_end_of_its_own_is_in_a_transaction() {
        assert_eq!(sessions_of("{count: 1}", |_| ()).unwrap().begin, []);
        let older = sessions_of("{count: 1}", |facts| facts.version = "13.9".into()).unwrap();
        assert_eq!(older.begin, [Statement::text("BEGIN")]);
    }
}
