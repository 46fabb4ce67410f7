//! `redis.connections`: takes the connections that others need.

use super::{redis, setting};
use crate::database::{check_count, fewer, sessions, takeable};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{DatabaseFacts, Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Look, Statement};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Connections;

/// What `redis.connections` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How many sessions are opened and held. Where the server lets fewer in (`maxclients`), as many as it lets in.
    count: u32,
    /// How many connections stay free for others, so that an operator can still get in.
    #[serde(default)]
    leave_free: u64,
}

impl Fault for Connections {
    const NAME: &'static str = "redis.connections";
    const SUMMARY: &'static str = "Opens sessions on Redis and holds them, so that others find none free";
    const EXAMPLE: &'static str = "\
- fault: redis.connections
  target: {database: \"redis://127.0.0.1:6379\"}
  with: {count: 10000, leave_free: 2}
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
        let database = redis(facts)?;
        let count = takeable(database, parameters.count, parameters.leave_free)?;
        let words = "{held} sessions held; {connected_clients} clients are connected";
        let look = Look::asking(Statement::words(["INFO", "clients"]), words, "held");
        let mut step = sessions(facts, database, count, look);
        step.or_fewer = true;
        let soon = keepalive(facts);
        let lasting = lasts_longer(database, soon);
        // A server takes the value at the time when a client connects: so it is set before.
        let keepalive = lasting.then(|| setting(facts, database, "tcp-keepalive", soon.to_string()));
        Ok(keepalive.map(Step::Setting).into_iter().chain([Step::Sessions(step)]).collect())
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(database) = redis(facts) else { return Vec::new() };
        let fewer = fewer(database, parameters.count, parameters.leave_free);
        let mut notes: Vec<String> = fewer.into_iter().collect();
        if !database.settings.contains_key("tcp-keepalive") {
            notes.push(format!(
                "{} does not let us set tcp-keepalive: should this host be lost, it holds these sessions until its own \
                 keepalive ends them (300 s, as a rule)",
                database.server
            ));
        }
        notes
    }
}

/// After how many idle seconds the server asks whether we are there. It asks three times, a second apart.
fn keepalive(facts: &Facts) -> u64 {
    ((facts.lease.as_seconds() / 2.0) as u64).max(1)
}

/// Whether the server would keep a session longer than that of which nothing is heard; 0 is for ever.
fn lasts_longer(database: &DatabaseFacts, soon: u64) -> bool {
    let now = database.settings.get("tcp-keepalive").and_then(|text| text.parse::<u64>().ok());
    now.is_some_and(|now| now == 0 || now > soon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_redis, plan};

    #[test]
    fn sessions_end_by_themselves_where_the_server_can_be_told_so() {
        let facts = on_redis(|_| ());
        let steps = plan::<Connections>("{count: 500, leave_free: 6}", &facts).unwrap();
        let [Step::Setting(keepalive), Step::Sessions(sessions)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(keepalive.write.to_string(), "CONFIG SET tcp-keepalive 2");
        // 100 connections, 10 used, 6 free, and one that looks.
        assert_eq!((sessions.count, sessions.or_fewer), (83, true));
        let managed = on_redis(|facts| drop(facts.settings.remove("tcp-keepalive")));
        assert_eq!(plan::<Connections>("{count: 5}", &managed).unwrap().len(), 1);
        let notes = Connections::notes(&Parameters { count: 5, leave_free: 0 }, &managed);
        assert!(notes[0].contains("300 s"), "{notes:?}");
        let full = plan::<Connections>("{count: 5}", &on_redis(|facts| facts.used = 99)).unwrap_err();
        assert!(full.contains("no connection to take"), "{full}");
    }
}
