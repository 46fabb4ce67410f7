//! `redis.memory`: the server has no memory left for what clients write.

use super::{check_configurable, limit, primary, watched};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;
use squall_model::units::{Share, Size};

/// See [`Fault::SUMMARY`].
pub(crate) struct Memory;

/// What `redis.memory` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How much memory it may use.
    #[serde(default)]
    size: Option<Size>,
    /// The same as a share of what it uses now; 100% where neither is given, and so nothing more can be written.
    #[serde(default)]
    percent: Option<Share>,
}

impl Fault for Memory {
    const NAME: &'static str = "redis.memory";
    const SUMMARY: &'static str =
        "Lowers Redis' maxmemory, so that it refuses what would need more; nothing is evicted";
    const EXAMPLE: &'static str = "\
- fault: redis.memory
  target: {database: \"redis://127.0.0.1:6379\"}
  with: {percent: 90%}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = primary(facts)?;
        check_configurable(database)?;
        let limit = limit(database, parameters.size, parameters.percent)?;
        // Undone in reverse order: there is never less memory while keys may be evicted.
        let evicts = database.settings.get("maxmemory_policy").is_none_or(|policy| policy != "noeviction");
        let policy = evicts.then(|| watched(facts, database, "maxmemory-policy", "noeviction".to_owned()));
        let limit = watched(facts, database, "maxmemory", limit.to_string());
        Ok(policy.into_iter().chain([limit]).map(Step::Setting).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_redis, plan};

    fn said(with: &str, policy: &str) -> Result<Vec<String>, String> {
        let facts = on_redis(|facts| drop(facts.settings.insert("maxmemory_policy".into(), policy.into())));
        let steps = plan::<Memory>(with, &facts)?;
        Ok(steps
            .iter()
            .map(|step| if let Step::Setting(step) = step { step.write.to_string() } else { panic!() })
            .collect())
    }

    #[test]
    fn nothing_is_evicted_while_there_is_less_memory() {
        assert_eq!(said("{percent: 50%}", "noeviction").unwrap(), ["CONFIG SET maxmemory 500000"]);
        let steps = said("{size: 64KiB}", "allkeys-lru").unwrap();
        assert_eq!(steps, ["CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory 65536"]);
        assert!(said("{size: 0B}", "noeviction").unwrap_err().contains("none to Redis"));
        assert!(said("{size: 1GiB}", "noeviction").unwrap_err().contains("not be less"));
        let replica = plan::<Memory>("{}", &on_redis(|facts| facts.is_replica = true)).unwrap_err();
        assert!(replica.contains("is a replica"), "{replica}");
        let managed = plan::<Memory>("{}", &on_redis(|facts| facts.is_superuser = false)).unwrap_err();
        assert!(managed.contains("CONFIG GET"), "{managed}");
    }
}
