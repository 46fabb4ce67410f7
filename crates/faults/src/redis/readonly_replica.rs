//! `redis.readonly_replica`: the server refuses to be written to, as one does that has become a replica.

use super::{REPLICAS, check_configurable, primary, watched};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct ReadonlyReplica;

/// What `redis.readonly_replica` takes: nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

impl Fault for ReadonlyReplica {
    const NAME: &'static str = "redis.readonly_replica";
    const SUMMARY: &'static str = "Has Redis refuse all writes, as after a failover to another server";
    const EXAMPLE: &'static str = "\
- fault: redis.readonly_replica
  target: {database: \"redis://127.0.0.1:6379\"}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    // Not `REPLICAOF`: to follow another server is to lose one's keys for its own, and the way back is another history
    // to all replicas.
    fn plan(_: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = primary(facts)?;
        check_configurable(database)?;
        Ok(vec![Step::Setting(watched(facts, database, "min-replicas-to-write", REPLICAS.to_owned()))])
    }

    fn notes(_: &Parameters, _: &Facts) -> Vec<String> {
        vec!["clients that write are told NOREPLICAS, where a true replica says READONLY".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_redis, plan};

    #[test]
    fn a_setting_that_loses_nothing_is_changed() {
        let steps = plan::<ReadonlyReplica>("{}", &on_redis(|_| ())).unwrap();
        let [Step::Setting(step)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(step.restore.to_string(), "CONFIG SET min-replicas-to-write {before}");
        let watch = step.watch.as_ref().unwrap();
        assert_eq!(watch.wait.to_string(), "WAIT 1000000 5000");
        assert!(watch.renew.unwrap().0 < step.lease.0 / 2);
    }
}
