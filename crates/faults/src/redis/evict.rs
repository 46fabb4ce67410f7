//! `redis.evict`: the server throws keys away, as a full cache does.

use super::{check_configurable, limit, primary, watched};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Look, Statement};
use squall_model::step::Step;
use squall_model::units::{Share, Size};

/// See [`Fault::SUMMARY`].
pub(crate) struct Evict;

/// What `redis.evict` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How much memory it may use.
    #[serde(default)]
    size: Option<Size>,
    /// The same as a share of what it uses now; 90% where neither is given.
    #[serde(default)]
    percent: Option<Share>,
    /// Which keys go first.
    #[serde(default)]
    policy: Policy,
}

/// The policies that evict, see <https://redis.io/docs/latest/develop/reference/eviction/>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// Those that were not used for longest.
    #[default]
    AllkeysLru,
    /// Those that were used least often.
    AllkeysLfu,
    /// Any.
    AllkeysRandom,
    /// Among those that expire, those that were not used for longest.
    VolatileLru,
    /// Among those that expire, those that do so first.
    VolatileTtl,
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Self::AllkeysLru => "allkeys-lru",
            Self::AllkeysLfu => "allkeys-lfu",
            Self::AllkeysRandom => "allkeys-random",
            Self::VolatileLru => "volatile-lru",
            Self::VolatileTtl => "volatile-ttl",
        }
    }
}

impl Fault for Evict {
    const NAME: &'static str = "redis.evict";
    const SUMMARY: &'static str = "Lowers Redis' maxmemory and has it throw keys away for it; these are lost";
    const EXAMPLE: &'static str = "\
- fault: redis.evict
  target: {database: \"redis://127.0.0.1:6379\"}
  with: {percent: 70%, policy: allkeys-lru}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = primary(facts)?;
        check_configurable(database)?;
        let percent = parameters.percent.or(parameters.size.is_none().then_some(Share::of(0.9)));
        let limit = limit(database, parameters.size, percent)?;
        let policy = parameters.policy.name();
        let is_other = database.settings.get("maxmemory_policy").is_none_or(|now| now != policy);
        let policy = is_other.then(|| watched(facts, database, "maxmemory-policy", policy.to_owned()));
        let mut limit = watched(facts, database, "maxmemory", limit.to_string());
        let asking =
            Look::asking(Statement::words(["INFO", "stats"]), "{evicted_keys} keys evicted", "evicted_keys");
        limit.look = Some(Look { grows: true, ..asking });
        Ok(policy.into_iter().chain([limit]).map(Step::Setting).collect())
    }

    fn loses(_: &Parameters, facts: &Facts) -> Option<String> {
        let database = redis_of(facts)?;
        Some(format!("the keys that {database} evicts, with all that is in them"))
    }
}

fn redis_of(facts: &Facts) -> Option<String> {
    super::redis(facts).ok().map(|database| database.server.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_redis, plan};

    #[test]
    fn what_is_lost_is_said() {
        let facts = on_redis(|_| ());
        let steps = plan::<Evict>("{percent: 50%, policy: volatile-ttl}", &facts).unwrap();
        let [Step::Setting(policy), Step::Setting(limit)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(policy.write.to_string(), "CONFIG SET maxmemory-policy volatile-ttl");
        assert_eq!(limit.write.to_string(), "CONFIG SET maxmemory 500000");
        let parameters = Parameters { size: None, percent: None, policy: Policy::default() };
        assert!(Evict::loses(&parameters, &facts).unwrap().contains("keys that redis://"));
    }
}
