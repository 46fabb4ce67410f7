//! `mysql.connections`: takes the connections that others need.

use super::{mysql, sleepers};
use crate::database::{check_count, fewer, takeable};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::Look;
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Connections;

/// What `mysql.connections` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How many sessions are opened and held. Where the server lets fewer in (`max_connections`), as many as it lets in.
    count: u32,
    /// How many connections stay free for others, so that an operator can still get in. The one more that the server keeps
    /// for a user who may do anything stays free in any case.
    #[serde(default)]
    leave_free: u64,
}

impl Fault for Connections {
    const NAME: &'static str = "mysql.connections";
    const SUMMARY: &'static str =
        "Opens sessions on MySQL or MariaDB and holds them, so that others find none free";
    const EXAMPLE: &'static str = "\
- fault: mysql.connections
  target: {database: \"mysql://app@127.0.0.1:3306/shop\"}
  with: {count: 150, leave_free: 2}
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
        let database = mysql(facts)?;
        let count = takeable(database, parameters.count, parameters.leave_free)?;
        let look = Look::telling("{held} sessions held", "held");
        let mut step = sleepers(facts, database, count, Vec::new(), look);
        step.or_fewer = true;
        Ok(vec![Step::Sessions(step)])
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let fewer =
            mysql(facts).ok().and_then(|database| fewer(database, parameters.count, parameters.leave_free));
        fewer.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_mysql, plan};

    #[test]
    fn as_many_are_held_as_there_are_without_those_that_stay_free() {
        let steps = plan::<Connections>("{count: 500, leave_free: 6}", &on_mysql(|_| ())).unwrap();
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        // 100 connections, 10 used, 6 free, and one that looks.
        assert_eq!((step.count, step.or_fewer), (83, true));
        let full = plan::<Connections>("{count: 5}", &on_mysql(|facts| facts.used = 99)).unwrap_err();
        assert!(full.contains("no connection to take"), "{full}");
    }
}
