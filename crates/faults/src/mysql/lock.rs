//! `mysql.lock`: holds a lock that others wait for.

use super::{mysql, sleepers};
use crate::database::look;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Look, ServerKind, Statement};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Lock;

/// What `mysql.lock` takes: a table, or rows of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The table, with its database where the address names none: `shop.orders`.
    table: String,
    /// The lock on the table, as `LOCK TABLES` names it: WRITE stops readers and writers, READ writers.
    #[serde(default)]
    mode: Option<Mode>,
    /// Only the rows of the table for which this is true are locked, as by an update of them: `id < 100`.
    #[serde(default)]
    rows: Option<String>,
}

/// The modes of `LOCK TABLES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Mode {
    Write,
    Read,
}

/// How many sessions wait for a lock.
const WAITING: &str = "SELECT (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table%') \
                       + (SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state = 'LOCK WAIT') AS waiting";

impl Fault for Lock {
    const NAME: &'static str = "mysql.lock";
    const SUMMARY: &'static str =
        "Holds a lock on a table of MySQL or MariaDB, or on rows of it, so that others wait";
    const EXAMPLE: &'static str = "\
- fault: mysql.lock
  target: {database: \"mysql://app@127.0.0.1:3306/shop\"}
  with: {table: orders, mode: WRITE}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        let is_one_condition = |rows: &String| !rows.trim().is_empty() && !rows.contains(';');
        match (&parameters.rows, parameters.mode) {
            (Some(_), Some(_)) => Err(PlanError::Parameters(
                "`mode` locks a whole table, `rows` some of it: give one".to_owned(),
            )),
            (Some(rows), _) if !is_one_condition(rows) => Err(PlanError::Parameters(
                "`rows` is one condition, such as id < 100, without a semicolon".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = mysql(facts)?;
        let table = ServerKind::Mysql.identifier(&parameters.table);
        let begin = match (&parameters.rows, parameters.mode) {
            // Counted within the statement: the rows themselves are nobody's business.
            (Some(rows), _) => vec![
                "START TRANSACTION".to_owned(),
                format!("SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE {rows} FOR UPDATE) AS locked"),
            ],
            (None, Some(Mode::Read)) => vec![format!("LOCK TABLES {table} READ")],
            (None, _) => vec![format!("LOCK TABLES {table} WRITE")],
        };
        let begin = begin.into_iter().map(Statement::text).collect();
        let look = if database.is_superuser {
            look(WAITING, "the lock is held, {waiting} sessions wait for locks", "held")
        } else {
            Look::telling("the lock is held", "held")
        };
        Ok(vec![Step::Sessions(sleepers(facts, database, 1, begin, look))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_mysql, plan};

    #[test]
    fn a_lock_is_on_a_table_or_on_rows() {
        let said = |with: &str| {
            let steps = plan::<Lock>(with, &on_mysql(|_| ()))?;
            let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
            Ok::<_, String>(step.begin.last().unwrap().to_string())
        };
        assert_eq!(said("{table: shop.orders}").unwrap(), "LOCK TABLES `shop`.`orders` WRITE");
        assert_eq!(said("{table: orders, mode: READ}").unwrap(), "LOCK TABLES `orders` READ");
        assert!(said("{table: orders, rows: id < 9}").unwrap().contains("WHERE id < 9 FOR UPDATE"));
        for with in ["{table: a, rows: x, mode: READ}", "{table: a, rows: 'x; y'}"] {
            assert!(said(with).is_err(), "{with}");
        }
    }
}
