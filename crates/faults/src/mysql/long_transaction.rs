//! `mysql.long_transaction`: a transaction that does not end.

use super::{mysql, sleepers};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Look, ServerKind, Statement};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct LongTransaction;

/// What `mysql.long_transaction` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// A table that it reads from, which cannot be altered meanwhile; without it, old rows stay and that is all.
    #[serde(default)]
    table: Option<String>,
}

impl Fault for LongTransaction {
    const NAME: &'static str = "mysql.long_transaction";
    const SUMMARY: &'static str =
        "Keeps a transaction open on MySQL or MariaDB, so that old rows stay and changes of tables wait";
    const EXAMPLE: &'static str = "\
- fault: mysql.long_transaction
  target: {database: \"mysql://app@127.0.0.1:3306/shop\"}
  with: {table: orders}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = mysql(facts)?;
        let mut begin = vec!["START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY".to_owned()];
        if let Some(table) = &parameters.table {
            let table = ServerKind::Mysql.identifier(table);
            begin.push(format!("SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT 1) AS seen"));
        }
        let begin = begin.into_iter().map(Statement::text).collect();
        Ok(vec![Step::Sessions(sleepers(
            facts,
            database,
            1,
            begin,
            Look::telling("the transaction is open", "held"),
        ))])
    }
}
