//! `postgres.long_transaction`: a transaction that stays open, so that the server can tidy nothing up behind it.

use super::postgres;
use crate::database::{look, sessions};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Statement, mark_of};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct LongTransaction;

/// `postgres.long_transaction` takes none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

impl Fault for LongTransaction {
    const NAME: &'static str = "postgres.long_transaction";
    const SUMMARY: &'static str = "Keeps a transaction with a snapshot open, idle, as a forgotten one: dead rows pile up that no vacuum can \
         remove";
    const EXAMPLE: &'static str = "\
- fault: postgres.long_transaction
  target: {database: \"postgres://app@127.0.0.1:5432/shop\"}
  for: 10m
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(_: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = postgres(facts)?;
        let mark = super::literal(&mark_of(&facts.injection));
        let ask = format!(
            "SELECT count(backend_xmin) AS holding, coalesce(max(age(backend_xmin)), 0) AS age, \
             (SELECT coalesce(sum(n_dead_tup), 0) FROM pg_stat_user_tables) AS dead FROM pg_stat_activity \
             WHERE application_name = {mark} AND state = 'idle in transaction' AND pid <> pg_backend_pid()"
        );
        let words = "{holding} snapshots held, {age} transactions old; {dead} dead rows in this database";
        let mut step = sessions(facts, database, 1, look(ask, words, "holding"));
        // Its snapshot is kept from the first question to the end.
        step.begin = vec![
            Statement::text("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            Statement::text("SELECT 1"),
        ];
        Ok(vec![Step::Sessions(step)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{golden, on_postgres};

    #[test]
    fn a_snapshot_is_taken_and_kept() {
        golden::<LongTransaction>(
            "{}",
            &on_postgres(|_| ()),
            &[
                "on postgres://app@db:5432/shop: hold a session, begun with BEGIN ISOLATION LEVEL REPEATABLE READ READ \
               ONLY; SELECT 1",
            ],
        );
    }
}
