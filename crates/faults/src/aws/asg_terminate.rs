//! `aws.asg_terminate`: ends instances of Auto Scaling groups, which replace them.

use super::{Nothing, description, instance, step};
use squall_model::cloud::InstanceChange;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Terminate;

impl Fault for Terminate {
    const NAME: &'static str = "aws.asg_terminate";
    const SUMMARY: &'static str =
        "Terminates instances of Auto Scaling groups, which launch others in their place";
    const EXAMPLE: &'static str = "\
- fault: aws.asg_terminate
  target: {instances: {group: shop-prod-v012, zone: eu-west-1a}}
  mode: one
  for: 5m
";
    const SCOPE: Scope = Scope::Instance;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Nothing;

    fn plan(_: &Nothing, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let facts = instance(facts)?;
        match &facts.group {
            Some(group) => Ok(step(facts, InstanceChange::Replace { group: group.clone() })),
            None => Err(PlanError::Refused(format!(
                "{} is in no Auto Scaling group, so nothing would replace it; aws.ec2_terminate ends it all the same",
                facts.instance
            ))),
        }
    }

    fn notes(_: &Nothing, facts: &Facts) -> Vec<String> {
        description(facts).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_instance;
    use super::*;
    use crate::testing::plan;

    #[test]
    fn an_instance_of_a_group_is_replaced() {
        let steps = plan::<Terminate>("{}", &on_instance(Some("shop-v1"), |_| ())).unwrap();
        let words =
            "terminate instance i-0abc (shop-1) in eu-west-1a for good; its group shop-v1 launches another";
        assert_eq!(steps[0].to_string(), words);
        let alone = plan::<Terminate>("{}", &on_instance(None, |_| ())).unwrap_err();
        assert!(alone.contains("aws.ec2_terminate"), "{alone}");
    }
}
