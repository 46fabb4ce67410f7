//! `mysql.slow_queries`: the server is busy with queries.

use super::{mysql, sleepers};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Look, Statement};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct SlowQueries;

/// What `mysql.slow_queries` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How many run at a time: at most 1000.
    count: u32,
    /// Whether they compute (`busy`) or only hold a thread (`sleep`).
    #[serde(default)]
    mode: Mode,
}

/// What a query does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Busy,
    Sleep,
}

/// A good part of a second of computing, which reads and writes nothing.
const BUSY: &str = "SELECT BENCHMARK(500000, SHA2('squall', 512))";

impl Fault for SlowQueries {
    const NAME: &'static str = "mysql.slow_queries";
    const SUMMARY: &'static str = "Runs slow queries on MySQL or MariaDB, so many at a time";
    const EXAMPLE: &'static str = "\
- fault: mysql.slow_queries
  target: {database: \"mysql://app@127.0.0.1:3306/shop\"}
  with: {count: 8, mode: busy}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        match parameters.count {
            0 => Err(PlanError::Parameters("0 queries have no effect; give a count, such as 8".to_owned())),
            1..=1000 => Ok(()),
            many => {
                Err(PlanError::Parameters(format!("{many} queries at a time are too many: at most 1000")))
            }
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = mysql(facts)?;
        let look = Look::telling("{held} sessions; {said} queries answered", "held");
        let mut step = sleepers(facts, database, parameters.count, Vec::new(), look);
        if let (Mode::Busy, Some(again)) = (parameters.mode, &mut step.again) {
            again.statement = Statement::text(BUSY);
        }
        Ok(vec![Step::Sessions(step)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_mysql, plan};

    #[test]
    fn queries_are_short_and_said_again_and_again() {
        for (with, said) in [("{count: 3}", BUSY), ("{count: 3, mode: sleep}", "SELECT SLEEP(1)")] {
            let steps = plan::<SlowQueries>(with, &on_mysql(|_| ())).unwrap();
            let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
            assert_eq!(step.again.as_ref().unwrap().statement.to_string(), said);
        }
        assert!(plan::<SlowQueries>("{count: 0}", &on_mysql(|_| ())).unwrap_err().contains("no effect"));
    }
}
