//! `aws.ec2_stop`: stops instances, and starts them again.

use super::{description, instance, step};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::cloud::InstanceChange;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Stop;

/// What `aws.ec2_stop` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Without a chance for its system to write what it holds in memory, as when the power fails.
    #[serde(default)]
    force: bool,
}

impl Fault for Stop {
    const NAME: &'static str = "aws.ec2_stop";
    const SUMMARY: &'static str = "Stops EC2 instances, and starts them again";
    const EXAMPLE: &'static str = "\
- fault: aws.ec2_stop
  target: {instances: {tag: app=shop, zone: eu-west-1a}}
  mode: one
  for: 5m
";
    const SCOPE: Scope = Scope::Instance;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let facts = instance(facts)?;
        match &facts.unstoppable {
            Some(why) => Err(PlanError::Refused(format!(
                "{} cannot be stopped and started again as it was: {why}",
                facts.instance
            ))),
            None => Ok(step(facts, InstanceChange::Stop { force: parameters.force })),
        }
    }

    fn notes(_: &Parameters, facts: &Facts) -> Vec<String> {
        let lasting = "an instance that was stopped starts with another public address (unless it has an Elastic IP), and \
                       without what was in its memory and on instance stores; AWS takes about a minute for each";
        description(facts).into_iter().chain([lasting.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_instance;
    use super::*;
    use crate::testing::plan;

    #[test]
    fn an_instance_is_stopped() {
        let steps = plan::<Stop>("{force: true}", &on_instance(None, |_| ())).unwrap();
        assert_eq!(steps[0].to_string(), "stop instance i-0abc (shop-1) in eu-west-1a by force");
        let by_hand = steps[0].by_hand().unwrap();
        assert_eq!(by_hand, "aws ec2 start-instances --region eu-west-1 --instance-ids i-0abc");
        assert_eq!(steps[0].claim().unwrap().to_string(), "the state of instance i-0abc");
    }

    #[test]
    fn what_would_not_come_back_is_refused() {
        let facts = on_instance(None, |facts| facts.unstoppable = Some("its group replaces it".into()));
        assert!(plan::<Stop>("{}", &facts).unwrap_err().contains("its group replaces it"));
    }
}
