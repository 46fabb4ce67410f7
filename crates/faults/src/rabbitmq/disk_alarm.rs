//! `rabbitmq.disk_alarm`: the broker believes that its disk is full.

use super::Alarm;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct DiskAlarm;

/// What `rabbitmq.disk_alarm` takes: nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {}

/// An exabyte is free on no disk, see <https://www.rabbitmq.com/docs/disk-alarms>.
const ALARM: Alarm = Alarm {
    name: "disk",
    limit: "disk_free_limit",
    get: "rabbit_disk_monitor:get_disk_free_limit()",
    set: "rabbit_disk_monitor:set_disk_free_limit",
    ours: "1000000000000000000",
};

impl Fault for DiskAlarm {
    const NAME: &'static str = "rabbitmq.disk_alarm";
    const SUMMARY: &'static str = "Raises RabbitMQ's disk alarm, so that it blocks all who publish";
    const EXAMPLE: &'static str = "\
- fault: rabbitmq.disk_alarm
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
    use crate::testing::{on_rabbitmq, plan};

    #[test]
    fn more_is_to_be_free_than_any_disk_has() {
        let steps = plan::<DiskAlarm>("{}", &on_rabbitmq(|_| ())).unwrap();
        let [Step::Setting(step)] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!(step.write.to_string(), "rabbit_disk_monitor:set_disk_free_limit(1000000000000000000)");
        assert_eq!(step.restore.to_string(), "rabbit_disk_monitor:set_disk_free_limit({before})");
    }
}
