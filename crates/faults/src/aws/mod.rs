//! Faults on AWS: instances of EC2 and Auto Scaling groups, and experiments of the Fault Injection Service. The steps are
//! those of any cloud.

pub(crate) mod asg_terminate;
pub(crate) mod ec2_reboot;
pub(crate) mod ec2_stop;
pub(crate) mod ec2_terminate;
pub(crate) mod fis;

use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::cloud::{Cloud, InstanceChange, InstanceFacts, InstanceStep};
use squall_model::facts::{Facts, Subject};
use squall_model::fault::PlanError;
use squall_model::step::Step;

/// What takes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// The instance that is struck.
fn instance(facts: &Facts) -> Result<&InstanceFacts, PlanError> {
    match &facts.subject {
        Subject::Instance(facts) if facts.instance.place.cloud == Cloud::Aws => Ok(facts),
        _ => Err(PlanError::Parameters("this fault strikes instances of AWS".to_owned())),
    }
}

fn step(facts: &InstanceFacts, change: InstanceChange) -> Vec<Step> {
    let (instance, opt_in) = (facts.instance.clone(), facts.opt_in.clone());
    vec![Step::Instance(InstanceStep { instance, opt_in, change })]
}

/// The instance as whoever reads the plan should know it.
fn description(facts: &Facts) -> Option<String> {
    let facts = instance(facts).ok()?;
    let tags: Vec<String> = facts.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let group = facts.group.as_ref().map(|group| format!(", group {group}")).unwrap_or_default();
    let account = Some(&facts.instance.account).filter(|account| !account.is_empty());
    let account = account.map(|account| format!(", account {account}")).unwrap_or_default();
    Some(format!("{} is a {}{group}{account}, tags {}", facts.instance, facts.kind, tags.join(", ")))
}

#[cfg(test)]
pub(crate) mod testing {
    //! Instances for the tests of all of them.

    use squall_model::cloud::{CloudPlace, InstanceFacts, InstanceRef, Tag};
    use squall_model::facts::{Facts, Subject};
    use squall_model::target::Target;
    use std::collections::BTreeMap;

    /// An instance that opted in, in a group where one is named.
    pub(crate) fn on_instance(group: Option<&str>, change: impl FnOnce(&mut InstanceFacts)) -> Facts {
        let place = CloudPlace { region: Some("eu-west-1".into()), ..CloudPlace::default() };
        let mut instance = InstanceFacts {
            instance: InstanceRef {
                place,
                id: "i-0abc".into(),
                name: Some("shop-1".into()),
                zone: "eu-west-1a".into(),
                account: "123456789012".into(),
            },
            group: group.map(str::to_owned),
            kind: "t3.micro".into(),
            tags: BTreeMap::from([("squall".into(), "allowed".into())]),
            unstoppable: None,
            opt_in: Tag::opt_in(),
            protected: None,
        };
        change(&mut instance);
        let target = Target::Instances(Box::new(serde_json::from_str(r#"{"id": "i-0abc"}"#).unwrap()));
        crate::testing::facts(target, Subject::Instance(instance))
    }
}
