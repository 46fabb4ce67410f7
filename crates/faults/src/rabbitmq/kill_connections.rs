//! `rabbitmq.kill_connections`: connections of clients are closed.

use super::{address_notes, managed};
use crate::database::{check_period, conditions, is_meant, say_every, sessions, who_fits};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{ClientFacts, Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Look, Statement};
use squall_model::step::Step;
use squall_model::units::{Duration, Share};

/// See [`Fault::SUMMARY`].
pub(crate) struct KillConnections;

/// What `rabbitmq.kill_connections` takes. Of several conditions all must hold; a star at the end stands for anything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Those of this user.
    #[serde(default)]
    user: Option<String>,
    /// Those that use this virtual host.
    #[serde(default)]
    vhost: Option<String>,
    /// Those whose client gives itself this name (`connection_name`).
    #[serde(default)]
    application: Option<String>,
    /// Those that come from here: an address, or its beginning: `10.0.0.*`.
    #[serde(default)]
    source: Option<String>,
    /// How many are closed at most, each time; those that have been there for longest. Without it all that fit.
    #[serde(default)]
    at_most: Option<u32>,
    /// The same as a share of those that fit.
    #[serde(default)]
    percent: Option<Share>,
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
            && is(&self.vhost, &client.database)
            && is(&self.application, &client.application)
            && is(&self.source, &client.address)
    }

    fn strike(&self) -> Statement {
        let mut words: Vec<String> = ["EACH", "CONNECTION", "name!=squall*"].map(str::to_owned).into();
        words.extend(conditions([
            ("user", self.user.as_deref()),
            ("vhost", self.vhost.as_deref()),
            ("name", self.application.as_deref()),
            ("source", self.source.as_deref()),
        ]));
        let share = self.percent.map(|share| format!("{}%", share.fraction() * 100.0));
        if let Some(first) = self.at_most.map(|most| most.to_string()).or(share) {
            words.extend(["FIRST".to_owned(), first]);
        }
        words.extend(["SAY", "DELETE", "/api/connections/{id}"].map(str::to_owned));
        Statement(words)
    }
}

impl Fault for KillConnections {
    const NAME: &'static str = "rabbitmq.kill_connections";
    const SUMMARY: &'static str =
        "Closes the connections of clients of RabbitMQ, never Squall's own or those of its plugins";
    const EXAMPLE: &'static str = "\
- fault: rabbitmq.kill_connections
  target: {database: \"amqp://admin@127.0.0.1:5672?password_env=RABBITMQ_PASSWORD\"}
  with: {user: payment, percent: 50%, every: 5s}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        let wrong = |message: &str| Err(PlanError::Parameters(message.to_owned()));
        if parameters.at_most.is_some() && parameters.percent.is_some() {
            return wrong("give `at_most` or `percent`, not both");
        }
        if parameters.at_most == Some(0) || parameters.percent.is_some_and(|share| share.fraction() <= 0.0) {
            return wrong("0 connections are no fault; give a number such as 1, or a share such as 50%");
        }
        check_period(parameters.every)
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let broker = managed(facts)?;
        let mut step = sessions(facts, broker, 1, Look::telling("{struck} connections closed", "struck"));
        let whole = parameters.vhost.as_ref().filter(|vhost| !vhost.ends_with('*'));
        step.check = whole.map(|vhost| Statement::words(["CHECK", "VHOST", vhost])).into_iter().collect();
        say_every(&mut step, parameters.strike(), parameters.every);
        Ok(vec![Step::Sessions(step)])
    }

    fn notes(parameters: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(broker) = managed(facts) else { return Vec::new() };
        let fit = who_fits(broker, |client| parameters.fits(client), described);
        [fit].into_iter().chain(address_notes(broker)).collect()
    }
}

fn described(client: &ClientFacts) -> String {
    let known = [&client.application, &client.user, &client.database];
    let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
    format!("{} ({})", client.id, known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{notes, on_rabbitmq, plan};

    #[test]
    fn conditions_are_joined_and_ours_are_spared() {
        let with = "{user: app, vhost: /, application: pay*, percent: 50%}";
        let steps = plan::<KillConnections>(with, &on_rabbitmq(|_| ())).unwrap();
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        let words = "EACH CONNECTION name!=squall* user=app vhost=/ name=pay* FIRST 50% SAY DELETE /api/connections/{id}";
        assert_eq!((step.begin[0].to_string().as_str(), &step.again), (words, &None));
        assert_eq!(step.check, [Statement::words(["CHECK", "VHOST", "/"])]);
        for (with, told) in [
            ("{at_most: 1, percent: 5%}", "not both"),
            ("{at_most: 0}", "no fault"),
            ("{every: 1ms}", "at least 100ms"),
        ] {
            assert!(
                plan::<KillConnections>(with, &on_rabbitmq(|_| ())).unwrap_err().contains(told),
                "{with}"
            );
        }
    }

    #[test]
    fn those_that_fit_are_named() {
        let client = |id: &str, user: &str| ClientFacts {
            id: id.to_owned(),
            user: Some(user.to_owned()),
            ..ClientFacts::default()
        };
        let facts = on_rabbitmq(|facts| facts.clients = vec![client("1", "app"), client("2", "other")]);
        assert!(
            notes::<KillConnections>("{user: app}", &facts)[0]
                .ends_with("1 on amqp://app@mq:5672/shop fit at the moment: 1 (app)")
        );
        let closed =
            on_rabbitmq(|facts| drop(facts.settings.insert("no_management".into(), "refused".into())));
        assert!(
            plan::<KillConnections>("{}", &closed).unwrap_err().contains("rabbitmq_management): refused")
        );
    }
}
