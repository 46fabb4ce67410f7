//! `rabbitmq.purge`: what waits in a queue is thrown away.

use super::managed;
use crate::database::sessions;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{DatabaseFacts, Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Again, Look, Statement};
use squall_model::step::Step;
use squall_model::units::Duration;

/// See [`Fault::SUMMARY`].
pub(crate) struct Purge;

/// What `rabbitmq.purge` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The name of the queue.
    queue: String,
    /// Its virtual host; that of the address where it is not given.
    #[serde(default)]
    vhost: Option<String>,
    /// How long after one time it is done again; once only where it is not given.
    #[serde(default)]
    every: Option<Duration>,
}

/// Strikes more often than this would be a load of their own.
const SHORTEST_PERIOD: Duration = Duration::milliseconds(100);

impl Parameters {
    fn vhost<'p>(&'p self, broker: &'p DatabaseFacts) -> &'p str {
        self.vhost.as_deref().or(broker.server.database.as_deref()).unwrap_or("/")
    }

    /// How many messages the broker counts in it; none where it did not tell of the queue.
    fn waiting<'p>(&self, broker: &'p DatabaseFacts) -> Option<&'p String> {
        broker.settings.get(&format!("queue {} {}", self.vhost(broker), self.queue))
    }

    fn named(&self, broker: &DatabaseFacts) -> String {
        format!("queue {} in virtual host {} of {}", self.queue, self.vhost(broker), broker.server)
    }
}

impl Fault for Purge {
    const NAME: &'static str = "rabbitmq.purge";
    const SUMMARY: &'static str = "Throws away what waits in a queue of RabbitMQ; these messages are lost";
    const EXAMPLE: &'static str = "\
- fault: rabbitmq.purge
  target: {database: \"amqp://admin@127.0.0.1:5672/shop?password_env=RABBITMQ_PASSWORD\"}
  with: {queue: orders}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        match parameters.every.filter(|every| *every < SHORTEST_PERIOD) {
            Some(_) => Err(PlanError::Parameters("`every` is 100ms or more".to_owned())),
            None => Ok(()),
        }
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let broker = managed(facts)?;
        let vhost = parameters.vhost(broker);
        let purge = Statement::words(["PURGE", "QUEUE", &parameters.queue, "IN", vhost]);
        let look = Look::telling("{struck} messages thrown away, as the broker counted them last", "struck");
        let mut step = sessions(facts, broker, 1, look);
        step.begin = vec![purge.clone()];
        step.again = parameters.every.map(|every| Again { statement: purge, every });
        Ok(vec![Step::Sessions(step)])
    }

    fn loses(parameters: &Parameters, facts: &Facts) -> Option<String> {
        let broker = managed(facts).ok()?;
        let queue = parameters.named(broker);
        Some(match parameters.waiting(broker) {
            Some(count) => {
                format!("the messages that wait in {queue}: {count}, as the broker counted them last")
            }
            None => format!("the messages that wait in {queue}, of which it did not say how many there are"),
        })
    }

    fn notes(_: &Parameters, _: &Facts) -> Vec<String> {
        vec!["messages that a consumer has and has not acknowledged stay".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_rabbitmq, plan};

    #[test]
    fn what_is_lost_is_counted() {
        let facts = on_rabbitmq(|_| ());
        let steps = plan::<Purge>("{queue: orders, every: 1s}", &facts).unwrap();
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(step.begin[0].to_string(), "PURGE QUEUE orders IN shop");
        assert!(step.again.is_some());
        let parameters = |vhost: Option<&str>| Parameters {
            queue: "orders".into(),
            vhost: vhost.map(str::to_owned),
            every: None,
        };
        assert!(
            Purge::loses(&parameters(None), &facts)
                .unwrap()
                .contains("orders in virtual host shop of amqp://app@mq:5672/shop: 7,")
        );
        assert!(Purge::loses(&parameters(Some("/")), &facts).unwrap().contains("did not say how many"));
    }
}
