//! `aws.ec2_reboot`: reboots instances.

use super::{Nothing, description, instance, step};
use squall_model::cloud::InstanceChange;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Reboot;

impl Fault for Reboot {
    const NAME: &'static str = "aws.ec2_reboot";
    const SUMMARY: &'static str = "Reboots EC2 instances";
    const EXAMPLE: &'static str = "\
- fault: aws.ec2_reboot
  target: {instances: {tag: app=shop}}
  mode: one
  for: 3m
";
    const SCOPE: Scope = Scope::Instance;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Nothing;

    fn plan(_: &Nothing, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        Ok(step(instance(facts)?, InstanceChange::Reboot))
    }

    fn notes(_: &Nothing, facts: &Facts) -> Vec<String> {
        let evidence = "EC2 shows an instance as running while it reboots: the only evidence is that the order was accepted";
        description(facts).into_iter().chain([evidence.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_instance;
    use super::*;
    use crate::testing::plan;

    #[test]
    fn an_instance_is_rebooted_and_nothing_is_to_be_undone() {
        let steps = plan::<Reboot>("{}", &on_instance(None, |_| ())).unwrap();
        assert_eq!(steps[0].to_string(), "reboot instance i-0abc (shop-1) in eu-west-1a");
        assert_eq!(steps[0].by_hand(), None);
    }
}
