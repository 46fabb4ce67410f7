//! `mysql.readonly`: nothing can be written.

use super::{check_superuser, is_mariadb, mysql};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{ServerKind, SettingStep, Statement, Watch, mark_of};
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
        let mark = mark_of(&facts.injection);
        let lock = ServerKind::Mysql.literal(&format!("{mark} watch"));
        // A day is longer than any fault.
        let watch = is_mariadb(database).then(|| Watch {
            hold: Statement::text(format!("DO GET_LOCK({lock}, 1)")),
            wait: Statement::text(format!(
                "BEGIN NOT ATOMIC DO GET_LOCK({lock}, 86400); {}; END",
                Watch::RESTORE
            )),
        });
        Ok(vec![Step::Setting(SettingStep {
            server: database.server.clone(),
            mark,
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
            watch,
            lease: facts.lease,
        })])
    }

    fn notes(_: &Parameters, facts: &Facts) -> Vec<String> {
        let mut notes = vec!["users who may do anything (SUPER, READ_ONLY ADMIN) still write".to_owned()];
        if mysql(facts).is_ok_and(|database| !is_mariadb(database)) {
            let note = "should this host be lost, MySQL stays read-only until `squall recover` reaches it: only \
                        MariaDB can put that back itself";
            notes.push(note.to_owned());
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_mysql, plan};

    #[test]
    fn mariadb_puts_it_back_itself() {
        let watch = |version: &str| {
            let facts = on_mysql(|facts| facts.version = version.to_owned());
            let steps = plan::<ReadOnly>("{}", &facts).unwrap();
            let [Step::Setting(step)] = &steps[..] else { panic!("{steps:?}") };
            (step.watch.clone(), ReadOnly::notes(&Parameters {}, &facts).len())
        };
        let (told, notes) = watch("10.11.14-MariaDB");
        assert!(told.unwrap().wait.to_string().ends_with("86400); {restore}; END"));
        assert_eq!((notes, watch("8.4.2")), (1, (None, 2)));
    }
}
