//! Instances of AWS's Auto Scaling groups. Their tags say what they are: `squall.app`, `squall.stack`, `squall.detail`,
//! `squall.account`; without them the group's name does, as Netflix writes it: `app-stack-detail-v001`.

use squall_model::machine::MachineError;
use squall_practice::monkey::{AutoScalingInventory, Instance};

/// In a build without AWS there is nothing to look with.
#[cfg(not(feature = "aws"))]
pub(super) fn look(_: &AutoScalingInventory) -> Result<Vec<Instance>, MachineError> {
    let message = "this squall was built without AWS, so Auto Scaling groups are not seen; build it with `--features aws`";
    Err(MachineError::Unsupported { message: message.to_owned() })
}

/// The instances that run in the groups that are named.
#[cfg(feature = "aws")]
pub(super) fn look(inventory: &AutoScalingInventory) -> Result<Vec<Instance>, MachineError> {
    with_aws::look(inventory)
}

#[cfg(feature = "aws")]
mod with_aws {
    use super::{AutoScalingInventory, Instance, MachineError};
    use serde_json::{Value as Json, json};
    use squall_aws::{Aws, AwsError, Filter, Group, Member, Place, State, wait};
    use squall_model::target::fits;
    use std::time::Duration;

    /// How long one question may take with all its tries.
    const PATIENCE: Duration = Duration::from_secs(30);

    pub(super) fn look(inventory: &AutoScalingInventory) -> Result<Vec<Instance>, MachineError> {
        let AutoScalingInventory { region, profile, endpoint, .. } = inventory.clone();
        let place = Place { region, endpoint, profile };
        let asked = wait(async {
            let aws = Aws::open(&place, PATIENCE).await?;
            let groups = aws.groups(&[]).await?;
            let in_groups = Filter::Tag("aws:autoscaling:groupName".to_owned(), None);
            let instances = aws.instances(&[in_groups, Filter::State(vec![State::Running])]).await?;
            Ok((aws.region().to_owned(), groups, instances))
        });
        let unseen = |error: AwsError| MachineError::Failed {
            message: format!("look at Auto Scaling groups: {error}"),
        };
        let (region, groups, instances) = asked.map_err(unseen)?;
        let named = groups.iter().filter(|group| fits(&inventory.groups, &group.name));
        let members = named.flat_map(|group| group.members.iter().map(move |member| (group, member)));
        let found = members.filter_map(|(group, member)| {
            let instance = instances.iter().find(|instance| instance.id == member.id)?;
            Some(describe(inventory, &region, group, member, instance))
        });
        Ok(found.collect())
    }

    fn describe(
        inventory: &AutoScalingInventory,
        region: &str,
        group: &Group,
        member: &Member,
        instance: &squall_aws::Instance,
    ) -> Instance {
        let tag = |name: &str| instance.tags.get(name).cloned();
        let (app, stack, detail) = parts(&group.name);
        let opted_in =
            inventory.opt_in.split_once('=').is_some_and(|(name, value)| tag(name).as_deref() == Some(value));
        Instance {
            id: instance.id.clone(),
            name: instance
                .name()
                .map_or_else(|| instance.id.clone(), |name| format!("{name} ({})", instance.id)),
            account: tag("squall.account")
                .or_else(|| inventory.account.clone())
                .or_else(|| Some(instance.account.clone()).filter(|account| !account.is_empty())),
            region: Some(region.to_owned()),
            app: tag("squall.app").unwrap_or(app),
            stack: tag("squall.stack").unwrap_or(stack),
            detail: tag("squall.detail").unwrap_or(detail),
            opted_in,
            healthy: member.in_service && member.healthy,
            target: target(inventory, region, &instance.id),
            ..Instance::default()
        }
    }

    fn target(inventory: &AutoScalingInventory, region: &str, id: &str) -> Json {
        let mut target = json!({"id": id, "region": region, "opt_in": inventory.opt_in});
        for (name, value) in [("profile", &inventory.profile), ("endpoint", &inventory.endpoint)] {
            if let Some(value) = value {
                target[name] = json!(value);
            }
        }
        json!({"instances": target})
    }

    /// App, stack and detail of a group's name, without the number of its version.
    fn parts(group: &str) -> (String, String, String) {
        let is_version = |part: &str| {
            let digits = part.strip_prefix('v').unwrap_or_default();
            digits.len() >= 3 && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let name =
            group.rsplit_once('-').filter(|(_, last)| is_version(last)).map_or(group, |(name, _)| name);
        let mut parts = name.splitn(3, '-').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        (next(), next(), next())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_groups_name_says_what_it_is() {
            let of = |name: &str| {
                let (app, stack, detail) = parts(name);
                [app, stack, detail].join("|")
            };
            assert_eq!(of("shop-prod-cart-eu-v012"), "shop|prod|cart-eu");
            assert_eq!((of("shop-v012"), of("shop")), ("shop||".to_owned(), "shop||".to_owned()));
            assert_eq!(
                (of("shop--cart"), of("shop-prod-v1")),
                ("shop||cart".to_owned(), "shop|prod|v1".to_owned())
            );
        }
    }
}
