//! `aws.ec2_terminate`: ends instances for good.

use super::{Nothing, description, instance, step};
use squall_model::cloud::InstanceChange;
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Terminate;

impl Fault for Terminate {
    const NAME: &'static str = "aws.ec2_terminate";
    const SUMMARY: &'static str = "Terminates EC2 instances, for good";
    const EXAMPLE: &'static str = "\
- fault: aws.ec2_terminate
  target: {instances: {tag: app=worker}}
  mode: one
  for: 5m
";
    const SCOPE: Scope = Scope::Instance;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Nothing;

    fn plan(_: &Nothing, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        Ok(step(instance(facts)?, InstanceChange::Terminate))
    }

    fn loses(_: &Nothing, facts: &Facts) -> Option<String> {
        let instance = instance(facts).ok()?;
        Some(format!(
            "what is on {} alone: its instance stores, and the volumes that go with it",
            instance.instance.id
        ))
    }

    fn notes(_: &Nothing, facts: &Facts) -> Vec<String> {
        let lasting = "nothing brings a terminated instance back, nor the volumes that go with it";
        description(facts).into_iter().chain([lasting.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_instance;
    use super::*;
    use crate::testing::plan;
    use squall_model::fault::is_for_good;

    #[test]
    fn an_instance_is_terminated_for_good() {
        let facts = on_instance(Some("shop"), |_| ());
        let steps = plan::<Terminate>("{}", &facts).unwrap();
        assert_eq!(steps[0].to_string(), "terminate instance i-0abc (shop-1) in eu-west-1a for good");
        assert!(is_for_good(Terminate::NAME) && steps[0].by_hand().is_none());
        assert!(Terminate::loses(&Nothing {}, &facts).unwrap().contains("i-0abc"));
        let notes = Terminate::notes(&Nothing {}, &facts);
        assert!(
            notes[0].contains("t3.micro, group shop, account 123456789012, tags squall=allowed"),
            "{notes:?}"
        );
    }
}
