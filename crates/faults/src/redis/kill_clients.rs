//! `redis.kill_clients`: connections of clients are closed.

use super::redis;
use crate::database::{check_period, conditions, is_meant, say_every, sessions, who_fits};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{ClientFacts, Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Look, Statement};
use squall_model::step::Step;
use squall_model::units::Duration;

/// See [`Fault::SUMMARY`].
pub(crate) struct KillClients;

/// What `redis.kill_clients` takes. Of several conditions all must hold; a star at the end stands for anything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Those of this user (ACL).
    #[serde(default)]
    user: Option<String>,
    /// Those that go by this name (CLIENT SETNAME).
    #[serde(default)]
    name: Option<String>,
    /// Those that come from here: an address, its beginning, or with the port: `10.0.0.*`.
    #[serde(default)]
    source: Option<String>,
    /// How long after one time it is done again; once only where it is not given.
    #[serde(default)]
    every: Option<Duration>,
}

impl Parameters {
    /// Whether a client is meant, as far as it can be told beforehand.
    fn fits(&self, client: &ClientFacts) -> bool {
        let is =
            |wanted: &Option<String>, told: &Option<String>| is_meant(wanted.as_deref(), told.as_deref());
        is(&self.user, &client.user)
            && is(&self.name, &client.application)
            && is(&self.source(), &client.address)
    }

    /// Where they come from, as the server writes it: with a port.
    fn source(&self) -> Option<String> {
        let source = self.source.as_ref()?;
        let has_port = source.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Some(if has_port || source.ends_with('*') { source.clone() } else { format!("{source}:*") })
    }

    fn conditions(&self) -> Vec<String> {
        // Replicas are no clients, and Squall's own connections are spared: also those of its probes.
        let mut words: Vec<String> = ["name!=squall*", "flags!=S*", "flags!=M*"].map(str::to_owned).into();
        let source = self.source();
        let given =
            [("user", self.user.as_deref()), ("name", self.name.as_deref()), ("addr", source.as_deref())];
        words.extend(conditions(given));
        words
    }
}

impl Fault for KillClients {
    const NAME: &'static str = "redis.kill_clients";
    const SUMMARY: &'static str =
        "Closes the connections of clients of Redis, never Squall's own or those of replicas";
    const EXAMPLE: &'static str = "\
- fault: redis.kill_clients
  target: {database: \"redis://127.0.0.1:6379\"}
  with: {source: \"10.0.0.*\", every: 5s}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        check_period(parameters.every)?;
        let words = [&parameters.user, &parameters.name, &parameters.source];
        if words.into_iter().flatten().any(|word| word.is_empty() || word.contains(char::is_whitespace)) {
            return Err(PlanError::Parameters("a condition is a word without spaces".to_owned()));
        }
        Ok(())
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let database = redis(facts)?;
        let mut words = vec!["EACH".to_owned(), "CLIENT".to_owned()];
        words.extend(parameters.conditions());
        words.extend(["SAY", "CLIENT", "KILL", "ID", "{id}"].map(str::to_owned));
        let mut step = sessions(facts, database, 1, Look::telling("{struck} connections closed", "struck"));
        say_every(&mut step, Statement(words), parameters.every);
        Ok(vec![Step::Sessions(step)])
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(database) = redis(facts) else { return Vec::new() };
        vec![who_fits(database, |client| parameters.fits(client), described)]
    }
}

fn described(client: &ClientFacts) -> String {
    let known = [&client.application, &client.user, &client.address];
    let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
    format!("client {} ({})", client.id, known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_redis, plan};

    #[test]
    fn conditions_are_joined_and_ours_are_spared() {
        let steps = plan::<KillClients>("{user: app, source: 10.0.0.7}", &on_redis(|_| ())).unwrap();
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        let words =
            "EACH CLIENT name!=squall* flags!=S* flags!=M* user=app addr=10.0.0.7:* SAY CLIENT KILL ID {id}";
        assert_eq!((step.begin[0].to_string().as_str(), &step.again), (words, &None));
        assert!(
            plan::<KillClients>("{user: 'a b'}", &on_redis(|_| ())).unwrap_err().contains("without spaces")
        );
    }
}
