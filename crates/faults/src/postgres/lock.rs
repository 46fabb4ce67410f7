//! `postgres.lock`: holds a lock that others wait for.

use super::postgres;
use crate::database::{look, sessions};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{ServerKind, Statement, mark_of};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Lock;

/// What `postgres.lock` takes: a table, rows of a table, or the number of an advisory lock.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The table, with its schema where it needs one: `public.orders`.
    #[serde(default)]
    table: Option<String>,
    /// The lock on the table, as `LOCK TABLE` names it. EXCLUSIVE stops writers, ACCESS EXCLUSIVE readers too.
    #[serde(default)]
    mode: Option<Mode>,
    /// Only the rows of the table for which this is true are locked, as by an update of them: `id < 100`.
    #[serde(default)]
    rows: Option<String>,
    /// The number of an advisory lock (`pg_advisory_lock`), in place of a table.
    #[serde(default)]
    advisory: Option<i64>,
}

/// The modes of `LOCK TABLE`, see <https://www.postgresql.org/docs/current/explicit-locking.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum Mode {
    #[serde(rename = "ACCESS SHARE")]
    AccessShare,
    #[serde(rename = "ROW SHARE")]
    RowShare,
    #[serde(rename = "ROW EXCLUSIVE")]
    RowExclusive,
    #[serde(rename = "SHARE UPDATE EXCLUSIVE")]
    ShareUpdateExclusive,
    #[serde(rename = "SHARE")]
    Share,
    #[serde(rename = "SHARE ROW EXCLUSIVE")]
    ShareRowExclusive,
    #[serde(rename = "EXCLUSIVE")]
    Exclusive,
    #[serde(rename = "ACCESS EXCLUSIVE")]
    AccessExclusive,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }
}

impl Parameters {
    /// What takes the lock, within a transaction.
    fn statement(&self) -> Result<String, PlanError> {
        let table = self.table.as_ref().map(|table| ServerKind::Postgres.identifier(table));
        match (table, self.mode, &self.rows, self.advisory) {
            (Some(table), mode, None, None) => {
                let mode = mode.unwrap_or(Mode::Exclusive).name();
                Ok(format!("LOCK TABLE {table} IN {mode} MODE"))
            }
            // Counted within the statement: the rows themselves are nobody's business.
            (Some(table), None, Some(rows), None) => {
                Ok(format!("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {rows} FOR UPDATE) AS locked"))
            }
            (None, None, None, Some(number)) => Ok(format!("SELECT pg_advisory_xact_lock({number})")),
            (None, None, None, None) => Err(PlanError::Parameters(
                "what is to be locked? give `table: orders`, with `rows: id < 100` for some of its rows, or `advisory: 42`"
                    .to_owned(),
            )),
            _ => Err(PlanError::Parameters(
                "`mode` locks a whole table, `rows` some of it, and `advisory` is no table: give one of them".to_owned(),
            )),
        }
    }
}

impl Fault for Lock {
    const NAME: &'static str = "postgres.lock";
    const SUMMARY: &'static str =
        "Holds a lock on a table, on rows of it, or an advisory one, so that others wait";
    const EXAMPLE: &'static str = "\
- fault: postgres.lock
  target: {database: \"postgres://app@127.0.0.1:5432/shop\"}
  with: {table: orders, mode: EXCLUSIVE}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        let is_one_condition = |rows: &String| !rows.trim().is_empty() && !rows.contains(';');
        match &parameters.rows {
            Some(rows) if !is_one_condition(rows) => Err(PlanError::Parameters(
                "`rows` is one condition, such as id < 100, without a semicolon".to_owned(),
            )),
            _ => parameters.statement().map(drop),
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = postgres(facts)?;
        let mark = ServerKind::Postgres.literal(&mark_of(&facts.injection));
        // Row locks stand in the rows; of them the lock on the table is seen, and who waits for the transaction.
        let ask = format!(
            "WITH ours AS (SELECT pid FROM pg_stat_activity WHERE application_name = {mark} AND pid <> pg_backend_pid()) \
             SELECT (SELECT count(*) FROM pg_locks WHERE granted AND locktype IN ('relation', 'advisory') \
             AND pid IN (SELECT pid FROM ours)) AS locks, \
             (SELECT count(*) FROM pg_stat_activity AS other WHERE EXISTS (SELECT 1 FROM ours \
             WHERE ours.pid = ANY (pg_blocking_pids(other.pid)))) AS waiting"
        );
        let look = look(ask, "{locks} locks held, {waiting} sessions wait for them", "locks");
        let mut step = sessions(facts, database, 1, look);
        step.begin = vec![Statement::text("BEGIN"), Statement::text(parameters.statement()?)];
        Ok(vec![Step::Sessions(step)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_postgres, plan};

    fn said(with: &str) -> Result<String, String> {
        let steps = plan::<Lock>(with, &on_postgres(|_| ()))?;
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!((step.count, step.begin[0].to_string()), (1, "BEGIN".to_owned()));
        Ok(step.begin[1].to_string())
    }

    #[test]
    fn a_lock_is_on_a_table_on_rows_or_on_a_number() {
        assert_eq!(said("{table: orders}").unwrap(), r#"LOCK TABLE "orders" IN EXCLUSIVE MODE"#);
        let readers = said("{table: public.orders, mode: ACCESS EXCLUSIVE}").unwrap();
        assert_eq!(readers, r#"LOCK TABLE "public"."orders" IN ACCESS EXCLUSIVE MODE"#);
        let rows = said("{table: orders, rows: id < 9}").unwrap();
        assert!(rows.contains(r#"FROM "orders" WHERE id < 9 FOR UPDATE"#), "{rows}");
        assert_eq!(said("{advisory: -7}").unwrap(), "SELECT pg_advisory_xact_lock(-7)");
    }

    #[test]
    fn what_says_nothing_or_too_much_is_refused() {
        for with in [
            "{}",
            "{table: x, advisory: 1}",
            "{table: x, mode: SHARE, rows: a}",
            "{table: x, rows: a; b}",
            "{mode: SHARE}",
        ] {
            assert!(said(with).is_err(), "{with}");
        }
    }
}
