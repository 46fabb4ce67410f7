//! `mysql.replication_lag`: a replica falls behind.

use super::{check_superuser, is_mariadb, mysql, watch};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{SettingStep, Statement, mark_of};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct ReplicationLag;

/// What `mysql.replication_lag` takes: nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

const MARIADB: &str =
    "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'SLAVE_RUNNING'";
const MYSQL: &str = "SELECT SERVICE_STATE FROM performance_schema.replication_applier_status LIMIT 1";

impl Fault for ReplicationLag {
    const NAME: &'static str = "mysql.replication_lag";
    const SUMMARY: &'static str =
        "Stops the replay on a replica of MySQL or MariaDB, so that it falls behind";
    const EXAMPLE: &'static str = "\
- fault: mysql.replication_lag
  target: {database: \"mysql://app@127.0.0.1:3306/shop\"}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(_: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = mysql(facts)?;
        check_superuser(database, "stop its replay")?;
        if !database.is_replica {
            let message = format!("{} is no replica: name one that follows another server", database.server);
            return Err(PlanError::Refused(message));
        }
        let (read, word) = if is_mariadb(database) { (MARIADB, "SLAVE") } else { (MYSQL, "REPLICA") };
        Ok(vec![Step::Setting(SettingStep {
            server: database.server.clone(),
            mark: mark_of(&facts.injection),
            name: "the replay".to_owned(),
            read: Statement::text(read),
            write: Statement::text(format!("STOP {word} SQL_THREAD")),
            ours: "OFF".to_owned(),
            check: Vec::new(),
            look: None,
            then: Vec::new(),
            restore: Statement::text(format!("START {word} SQL_THREAD")),
            unset: None,
            finally: Vec::new(),
            watch: Some(watch(facts)),
            lease: facts.lease,
        })])
    }
}
