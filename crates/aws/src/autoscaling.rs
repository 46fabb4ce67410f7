//! Auto Scaling groups, and the end of one of their instances, which they replace.
//!
//! Source: <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/Welcome.html>

use crate::client::{Ask, Aws};
use crate::ec2::tree;
use crate::endpoint::Service;
use crate::error::AwsError;
use crate::xml::Element;
use std::collections::BTreeMap;

const AUTO_SCALING: Service = Service { id: "Auto Scaling", host: "autoscaling", signing: "autoscaling" };
const VERSION: &str = "2011-01-01";
const PAGE: u32 = 20;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many instances it should have.
    pub desired: u32,
    /// Those that it has.
    pub members: Vec<Member>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What it does not do at present, such as `Launch`.
    pub suspended: Vec<String>,
}

/// An instance of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: String,
    /// Its availability zone.
    pub zone: String,
    /// Whether the group counts it as at work: `InService`.
    pub in_service: bool,
    /// Whether it is healthy, as far as the group knows.
    pub healthy: bool,
}

impl Group {
    /// How many are at work and healthy.
    pub fn in_service(&self) -> usize {
        self.members.iter().filter(|member| member.in_service && member.healthy).count()
    }

    fn read(item: &Element) -> Self {
        let tags = item.items(&["Tags"]).map(|tag| (tag.text_at(&["Key"]), tag.text_at(&["Value"])));
        let members = item.items(&["Instances"]).map(|member| Member {
            id: member.text_at(&["InstanceId"]),
            zone: member.text_at(&["AvailabilityZone"]),
            in_service: member.at(&["LifecycleState"]) == Some("InService"),
            healthy: member.text_at(&["HealthStatus"]).eq_ignore_ascii_case("healthy"),
        });
        Self {
            name: item.text_at(&["AutoScalingGroupName"]),
            desired: item.at(&["DesiredCapacity"]).and_then(|text| text.parse().ok()).unwrap_or(0),
            members: members.collect(),
            tags: tags.collect(),
            suspended: item.items(&["SuspendedProcesses"]).map(|one| one.text_at(&["ProcessName"])).collect(),
        }
    }
}

impl Aws {
    /// Groups by their names, or all of them where none is named.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn groups(&self, names: &[String]) -> Result<Vec<Group>, AwsError> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut parameters = vec![("MaxRecords".to_owned(), PAGE.to_string())];
            let numbered = (1..).zip(names);
            parameters
                .extend(numbered.map(|(at, name): (u32, _)| {
                    (format!("AutoScalingGroupNames.member.{at}"), name.clone())
                }));
            parameters.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let root = self.auto_scaling("autoscaling:DescribeAutoScalingGroups", &parameters).await?;
            let result = root.child("DescribeAutoScalingGroupsResult").cloned().unwrap_or_default();
            found.extend(result.items(&["AutoScalingGroups"]).map(Group::read));
            token = result.at(&["NextToken"]).map(str::to_owned);
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Ends an instance of a group, which launches another: how many it should have stays as it is.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn terminate_in_group(&self, id: &str) -> Result<(), AwsError> {
        let parameters = [("InstanceId", id), ("ShouldDecrementDesiredCapacity", "false")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.auto_scaling("autoscaling:TerminateInstanceInAutoScalingGroup", &parameters).await.map(|_| ())
    }

    pub(crate) async fn auto_scaling(
        &self,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Element, AwsError> {
        let body = self.ask(Ask::query(AUTO_SCALING, action, VERSION, parameters)).await?;
        tree(action, &body)
    }
}
