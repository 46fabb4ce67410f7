//! `mysql.readonly`: nothing can be written.

use super::{check_superuser, mysql, watch};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{SettingStep, Statement, mark_of};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct ReadOnly;

/// What `mysql.readonly` takes: nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

impl Fault for ReadOnly {
    const NAME: &'static str = "mysql.readonly";
    const SUMMARY: &'static str = "Makes MySQL or MariaDB read-only, as after a failover";
    const EXAMPLE: &'static str = "\
- fault: mysql.readonly
  target: {database: \"mysql://app@127.0.0.1:3306/shop\"}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(_: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = mysql(facts)?;
        check_superuser(database, "make it read-only")?;
        Ok(vec![Step::Setting(SettingStep {
            server: database.server.clone(),
            mark: mark_of(&facts.injection),
            name: "read_only".to_owned(),
            read: Statement::text("SELECT IF(@@global.read_only, 'ON', 'OFF')"),
            write: Statement::text("SET GLOBAL read_only = ON"),
            ours: "ON".to_owned(),
            check: Vec::new(),
            look: None,
            then: Vec::new(),
            restore: Statement::text("SET GLOBAL read_only = {before}"),
            unset: None,
            finally: Vec::new(),
            watch: Some(watch(facts)),
            lease: facts.lease,
        })])
    }

    fn notes(_: &Parameters, _: &Facts) -> Vec<String> {
        vec!["users who may do anything (SUPER, READ_ONLY ADMIN) still write".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_mysql, plan};

    #[test]
    fn the_server_puts_it_back_itself() {
        let steps = plan::<ReadOnly>("{}", &on_mysql(|_| ())).unwrap();
        let [Step::Setting(step)] = &steps[..] else { panic!("{steps:?}") };
        let watch = step.watch.as_ref().unwrap();
        let says = |prefix: &str, rest: &str| {
            let lock = format!("'{} watch'", step.mark);
            Statement::text(format!("{prefix}{lock}{rest}"))
        };
        assert_eq!(watch.hold, Some(says("DO GET_LOCK(", ", 1)")));
        assert_eq!(watch.wait, says("DO GET_LOCK(", ", 86400)"));
    }
}
