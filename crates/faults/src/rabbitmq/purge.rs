//! `rabbitmq.purge`: what waits in a queue is thrown away.

use super::{address_notes, binary, has_cookie, managed, rabbitmq};
use crate::database::{check_period, say_every, sessions};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{DatabaseFacts, Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::server::{Look, Statement};
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

    /// Through the management, which tells no number: what it counts is older than what was published a moment ago. So that
    /// it accepted the purge is the effect.
    fn by_management(&self, broker: &DatabaseFacts) -> Purging {
        let vhost = self.vhost(broker);
        Purging {
            check: Statement::words(["CHECK", "QUEUE", &self.queue, "IN", vhost]),
            purge: Statement::words(["PURGE", "QUEUE", &self.queue, "IN", vhost]),
            look: Look::telling(
                "purges that the broker accepted: {said}; messages thrown away: unknown ({struck} as its statistics counted \
                 them last)",
                "said",
            ),
        }
    }

    /// In the broker's own language, which tells how many messages there were.
    fn by_node(&self, broker: &DatabaseFacts) -> Purging {
        let vhost = self.vhost(broker);
        let queue = format!("rabbit_misc:r({}, queue, {})", binary(vhost), binary(&self.queue));
        let missing = binary(&format!("no queue {} in virtual host {vhost}", self.queue));
        Purging {
            check: Statement::text(format!(
                "case rabbit_amqqueue:lookup({queue}) of {{ok, _}} -> <<>>; _ -> {missing} end"
            )),
            purge: Statement::text(format!(
                "case rabbit_amqqueue:with({queue}, fun(Queue) -> rabbit_amqqueue:purge(Queue) end) of \
                 {{ok, Count}} -> Count; Refused -> error(Refused) end"
            )),
            look: Look::telling("{struck} messages thrown away", "struck"),
        }
    }

    fn purging(&self, facts: &Facts) -> Result<Purging, PlanError> {
        let broker = rabbitmq(facts)?;
        if has_cookie(broker) { Ok(self.by_node(broker)) } else { Ok(self.by_management(managed(facts)?)) }
    }
}

/// How a queue is purged.
struct Purging {
    /// Whether there is such a queue.
    check: Statement,
    purge: Statement,
    look: Look,
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
        check_period(parameters.every)
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let Purging { check, purge, look } = parameters.purging(facts)?;
        let mut step = sessions(facts, rabbitmq(facts)?, 1, look);
        step.check = vec![check];
        say_every(&mut step, purge, parameters.every);
        Ok(vec![Step::Sessions(step)])
    }

    fn loses(parameters: &Parameters, facts: &Facts) -> Option<String> {
        let broker = rabbitmq(facts).ok()?;
        let queue = parameters.named(broker);
        Some(match parameters.waiting(broker) {
            Some(count) => {
                format!("the messages that wait in {queue}: {count}, as the broker counted them last")
            }
            None => format!("the messages that wait in {queue}, of which it did not say how many there are"),
        })
    }

    fn notes(_: &Parameters, facts: &Facts) -> Vec<String> {
        let mut notes = vec!["messages that a consumer has and has not acknowledged stay".to_owned()];
        let Ok(broker) = rabbitmq(facts) else { return notes };
        if !has_cookie(broker) {
            notes.push(
                "the management counts messages late: that it accepts the purge is taken for the effect, even where nothing \
                 waits by then; with the Erlang cookie (`cookie_file=PATH`) their number is known"
                    .to_owned(),
            );
        }
        notes.extend(address_notes(broker));
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{notes, on_rabbitmq, plan};
    use squall_model::server::ServerUrl;

    #[test]
    fn without_the_cookie_an_accepted_purge_is_the_effect() {
        let facts = on_rabbitmq(|facts| facts.server = "amqp://mq/shop".parse::<ServerUrl>().unwrap().server);
        let steps = plan::<Purge>("{queue: orders}", &facts).unwrap();
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(step.begin[0].to_string(), "PURGE QUEUE orders IN shop");
        assert_eq!(step.check[0].to_string(), "CHECK QUEUE orders IN shop");
        assert!(step.look.effect == "said" && step.look.words.contains("unknown"), "{:?}", step.look);
        assert!(notes::<Purge>("{queue: orders}", &facts)[1].contains("cookie_file=PATH"));
    }

    #[test]
    fn what_is_lost_is_counted() {
        let facts = on_rabbitmq(|_| ());
        let steps = plan::<Purge>("{queue: orders, every: 1s}", &facts).unwrap();
        let [Step::Sessions(step)] = &steps[..] else { panic!("{steps:?}") };
        let said = step.begin[0].to_string();
        assert!(said.contains("rabbit_misc:r(<<\"shop\"/utf8>>, queue, <<\"orders\"/utf8>>)"), "{said}");
        assert!(step.check[0].to_string().contains("no queue orders in virtual host shop"));
        assert_eq!(step.look.effect, "struck", "they are counted as they are thrown away");
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
