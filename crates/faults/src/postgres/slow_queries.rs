//! `postgres.slow_queries`: queries that take long, several at a time, on and on.

use super::postgres;
use crate::database::{look, sessions};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Again, Statement, mark_of};
use squall_model::step::Step;
use squall_model::units::Duration;

/// See [`Fault::SUMMARY`].
pub(crate) struct SlowQueries;

/// What `postgres.slow_queries` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// `sleep` holds a connection and does nothing; `join` computes, on a processor core of the server each.
    #[serde(default)]
    kind: Kind,
    /// How many at the same time. None of them runs for longer than a second, and the next begins at once: what is lost on
    /// the way ends with the second.
    concurrency: u32,
}

/// What the queries do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// They wait.
    #[default]
    Sleep,
    /// They compute.
    Join,
}

impl Kind {
    /// About half a second each, so that the rest of the second is for a slow server. No table of anybody's is read.
    fn statement(self) -> Statement {
        Statement::text(match self {
            Self::Sleep => "SELECT pg_sleep(0.5)",
            Self::Join => {
                "SELECT count(*) FROM generate_series(1, 1500) AS a(x) CROSS JOIN generate_series(1, 1500) AS b(y) \
                 WHERE (a.x * b.y) % 7 = 8"
            }
        })
    }
}

/// As many at once are more than any server computes.
const MOST: u32 = 1_000;

impl Fault for SlowQueries {
    const NAME: &'static str = "postgres.slow_queries";
    const SUMMARY: &'static str =
        "Keeps PostgreSQL busy with slow queries, several at a time: sleepers or expensive joins";
    const EXAMPLE: &'static str = "\
- fault: postgres.slow_queries
  target: {database: \"postgres://app@127.0.0.1:5432/shop\"}
  with: {kind: join, concurrency: 4}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        match parameters.concurrency {
            0 => Err(PlanError::Parameters(
                "0 queries at a time have no effect; give a concurrency, such as 4".to_owned(),
            )),
            many if many > MOST => {
                Err(PlanError::Parameters(format!("{many} queries at a time are too many: at most {MOST}")))
            }
            _ => Ok(()),
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = postgres(facts)?;
        let count = parameters.concurrency;
        // One more looks.
        if let Some(free) = database.free().filter(|free| *free < u64::from(count) + 1) {
            return Err(PlanError::Refused(format!(
                "{} has {free} free connections, and {count} queries at a time take {} with the one that looks; lower \
                 `concurrency`, or use postgres.connections to take them all",
                database.server,
                count + 1
            )));
        }
        let mark = super::literal(&mark_of(&facts.injection));
        let ask = format!(
            "SELECT count(*) AS active FROM pg_stat_activity WHERE application_name = {mark} AND state = 'active' \
             AND pid <> pg_backend_pid()"
        );
        let look = look(ask, "{active} slow queries run, {said} are done, {failed} failed", "active");
        let mut step = sessions(facts, database, count, look);
        step.begin = vec![Statement::text("SET statement_timeout = 1000")];
        if database.major() >= 14 {
            // A query may be at work when the network is lost, and only after it is nothing heard: it counts as well.
            let idle = facts.lease.0.as_millis() * 4 / 5;
            step.begin.push(Statement::text(format!("SET idle_session_timeout = {idle}")));
        }
        let statement = parameters.kind.statement();
        step.again = Some(Again { statement, every: Duration::seconds(0) });
        Ok(vec![Step::Sessions(step)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{golden, on_postgres, refusal};

    #[test]
    fn queries_are_short_and_said_again() {
        golden::<SlowQueries>(
            "{concurrency: 3}",
            &on_postgres(|_| ()),
            &[
                "on postgres://app@db:5432/shop: hold 3 sessions, begun with SET statement_timeout = 1000; SET idle_session_timeout = 4000, each saying \
               again and again: SELECT pg_sleep(0.5)",
            ],
        );
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let full = refusal::<SlowQueries>("{concurrency: 90}", &on_postgres(|_| ()));
        assert!(full.contains("87 free connections") && full.contains("postgres.connections"), "{full}");
        assert!(refusal::<SlowQueries>("{concurrency: 0}", &on_postgres(|_| ())).contains("no effect"));
    }
}
