//! `postgres.lock`: holds a lock that others wait for.

use super::{database_name, literal, postgres, primary};
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
                Ok(format!("SELECT count(*) FROM (SELECT 1 FROM {table} WHERE ({rows}) FOR UPDATE) AS locked"))
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

    /// What must be so for the lock to be had.
    fn checks(&self, user: &str, database: &str) -> Vec<Statement> {
        let Some(table) = &self.table else { return Vec::new() };
        let quoted = ServerKind::Postgres.identifier(table);
        let name = literal(&quoted);
        let needed = match (self.mode.unwrap_or(Mode::Exclusive), &self.rows) {
            (_, Some(_)) | (Mode::AccessShare, _) => "SELECT",
            (Mode::RowShare | Mode::RowExclusive, _) => "INSERT, UPDATE, DELETE, TRUNCATE",
            _ => "UPDATE, DELETE, TRUNCATE",
        };
        let advice =
            if self.rows.is_some() { "SELECT, UPDATE" } else { needed.split(',').next().unwrap_or(needed) };
        let denied =
            format!("{user} may not lock {quoted}; let its owner say GRANT {advice} ON {quoted} TO {user}");
        let mut checks = vec![
            super::unless(
                &format!("to_regclass({name}) IS NOT NULL"),
                &format!(
                    "there is no table {quoted} in database {database} that {user} finds; name it with its schema, such \
                     as public.{table}"
                ),
            ),
            super::unless(
                &format!("(SELECT relkind IN ('r', 'p') FROM pg_class WHERE oid = to_regclass({name}))"),
                &format!("{quoted} is no table (perhaps a view or an index); name the table itself"),
            ),
            super::unless(&format!("has_table_privilege(to_regclass({name}), '{needed}')"), &denied),
        ];
        if let Some(rows) = &self.rows {
            checks
                .push(super::unless(&format!("has_table_privilege(to_regclass({name}), 'UPDATE')"), &denied));
            // Reads nothing, and tells what is wrong with the condition.
            checks.push(Statement::text(format!("SELECT NULL FROM {quoted} WHERE ({rows}) LIMIT 0")));
        }
        checks
    }
}

/// Who holds what the sessions of a mark wait for.
fn blame(mark: &str) -> Statement {
    Statement::text(format!(
        "SELECT 'the lock cannot be had, since another session has one: ' || string_agg(format('pid %s (%s, user %s, %s, its \
         transaction began %s seconds ago)', holder.pid, coalesce(nullif(holder.application_name, ''), 'without a name'), \
         holder.usename, coalesce(holder.state, 'we may not see what it does'), \
         coalesce(round(extract(epoch FROM clock_timestamp() - holder.xact_start))::text, 'some')), ', ') || \
         '; wait for it, or end it with SELECT pg_terminate_backend(' || min(holder.pid) || ')' \
         FROM pg_stat_activity AS holder WHERE holder.pid IN (SELECT unnest(pg_blocking_pids(waiting.pid)) \
         FROM pg_stat_activity AS waiting WHERE waiting.application_name = {mark})"
    ))
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
        let is_of_the_server = |table: &String| {
            let name = table.replace('"', "");
            name.starts_with("pg_") || name.starts_with("information_schema.")
        };
        if parameters.table.as_ref().is_some_and(is_of_the_server) {
            return Err(PlanError::Refused(
                "the server's own catalogs are not locked: nobody could come in any more, operators included"
                    .to_owned(),
            ));
        }
        match &parameters.rows {
            Some(rows) if !is_one_condition(rows) => Err(PlanError::Parameters(
                "`rows` is one condition, such as id < 100, without a semicolon".to_owned(),
            )),
            _ => parameters.statement().map(drop),
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = match parameters.advisory {
            Some(_) => postgres(facts)?,
            None => primary(facts, Self::NAME)?,
        };
        let mark = literal(&mark_of(&facts.injection));
        // Row locks stand in the rows; of them the lock on the table is seen, and who waits for the transaction.
        let ask = format!(
            "WITH ours AS (SELECT pid FROM pg_stat_activity WHERE application_name = {mark} AND pid <> pg_backend_pid()) \
             SELECT (SELECT count(*) FROM pg_locks WHERE granted AND locktype IN ('relation', 'advisory') \
             AND pid IN (SELECT pid FROM ours)) AS locks, \
             (SELECT count(*) FROM pg_stat_activity AS other WHERE EXISTS (SELECT 1 FROM ours \
             WHERE ours.pid = ANY (pg_blocking_pids(other.pid)))) AS waiting"
        );
        let look = match parameters.rows {
            // A condition that fits no row has no effect, though the table is locked a little.
            Some(_) => look(ask, "{struck} rows locked, {waiting} sessions wait for them", "struck"),
            None => look(ask, "{locks} locks held, {waiting} sessions wait for them", "locks"),
        };
        let mut step = sessions(facts, database, 1, look);
        step.check = parameters.checks(&database.user, database_name(database));
        step.blame = Some(blame(&mark));
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
        assert!(rows.contains(r#"FROM "orders" WHERE (id < 9) FOR UPDATE"#), "{rows}");
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
