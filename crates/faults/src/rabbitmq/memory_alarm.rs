//! `rabbitmq.memory_alarm`: the broker believes that it has no memory left.

use super::Alarm;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct MemoryAlarm;

/// What `rabbitmq.memory_alarm` takes: nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

/// At 0 the alarm is on whatever is used, see <https://www.rabbitmq.com/docs/memory>.
const ALARM: Alarm = Alarm {
    name: "memory",
    limit: "vm_memory_high_watermark",
    get: "vm_memory_monitor:get_vm_memory_high_watermark()",
    set: "vm_memory_monitor:set_vm_memory_high_watermark",
    ours: "0",
};

impl Fault for MemoryAlarm {
    const NAME: &'static str = "rabbitmq.memory_alarm";
    const SUMMARY: &'static str = "Raises RabbitMQ's memory alarm, so that it blocks all who publish";
    const EXAMPLE: &'static str = "\
- fault: rabbitmq.memory_alarm
  target: {database: \"amqp://127.0.0.1?cookie_file=/var/lib/rabbitmq/.erlang.cookie\"}
  for: 30s
";
    const SCOPE: Scope = Scope::Database;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(_: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        Ok(vec![Step::Setting(ALARM.plan(facts)?)])
    }

    fn notes(_: &Parameters, facts: &Facts) -> Vec<String> {
        ALARM.notes(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{golden, notes, on_rabbitmq, plan, refusal};
    use squall_model::server::ServerUrl;

    #[test]
    fn the_watermark_is_lowered_and_the_broker_itself_watches_over_it() {
        let facts = on_rabbitmq(|_| ());
        golden::<MemoryAlarm>(
            "{}",
            &facts,
            &["on amqp://app@mq:5672/shop: vm_memory_monitor:set_vm_memory_high_watermark(0), so that \
               vm_memory_high_watermark of rabbit@mq is 0"],
        );
        let steps = plan::<MemoryAlarm>("{}", &facts).unwrap();
        let [Step::Setting(step)] = &steps[..] else { panic!("{steps:?}") };
        let wait = step.watch.as_ref().unwrap().wait.to_string();
        assert!(
            wait.starts_with("register('squall-run-1', self())") && wait.contains("after 5000"),
            "{wait}"
        );
        assert!(wait.ends_with("of 0 -> {restore}; _ -> ok end"), "{wait}");
        assert!(notes::<MemoryAlarm>("{}", &facts)[0].contains("10 connections at the moment"));
    }

    #[test]
    fn what_of_the_address_is_wrong_is_told() {
        let facts = on_rabbitmq(|facts| {
            let told =
                [("no_amqp", "nothing listens on mq:5672"), ("vhost", "false"), ("no_management", "401")];
            facts.settings.extend(told.map(|(name, value)| (name.to_owned(), value.to_owned())));
        });
        let told = notes::<MemoryAlarm>("{}", &facts).join("\n");
        for wrong in
            ["nothing listens on mq:5672", "no virtual host shop", "were not used, and may be wrong: 401"]
        {
            assert!(told.contains(wrong), "{told}");
        }
        assert_eq!(notes::<MemoryAlarm>("{}", &on_rabbitmq(|_| ())).len(), 1);
    }

    #[test]
    fn without_the_cookie_nothing_can_be_raised() {
        let facts = on_rabbitmq(|facts| {
            facts.server = "amqp://mq".parse::<ServerUrl>().unwrap().server;
        });
        assert!(
            refusal::<MemoryAlarm>("{}", &facts).contains("?cookie_file=/var/lib/rabbitmq/.erlang.cookie")
        );
    }
}
