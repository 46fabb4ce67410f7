//! What experiments name in a cloud, whichever it is: instances, and experiments that the cloud carries out itself.
//!
//! Another cloud joins with a name in [`Cloud`], one file in `crates/remote/src/cloud/` and one line in the table there;
//! targets, steps, undo records and planners are the same for all.

use crate::units::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A cloud.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// Amazon Web Services.
    #[default]
    Aws,
}

impl fmt::Display for Cloud {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Aws => "AWS",
        })
    }
}

/// Where in a cloud, and by whose settings. Credentials are never part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct CloudPlace {
    /// The cloud.
    #[serde(default)]
    pub cloud: Cloud,
    /// The region; none for that of the cloud's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The profile of the cloud's own settings whose credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Another address than the cloud's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl fmt::Display for CloudPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.region.as_deref().unwrap_or("the usual region"))?;
        self.endpoint.as_ref().map_or(Ok(()), |endpoint| write!(formatter, " at {endpoint}"))
    }
}

/// A tag, with its value or with any: `app=shop`, `app`. What stands before the first `=` is its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Its value; none for any.
    pub value: Option<String>,
}

impl Tag {
    /// The one by which owners allow that something is struck, where an experiment names no other: `squall=allowed`.
    pub fn opt_in() -> Self {
        Self { name: "squall".to_owned(), value: Some("allowed".to_owned()) }
    }

    /// Whether it is among some tags.
    pub fn is_in(&self, tags: &BTreeMap<String, String>) -> bool {
        let found = tags.get(&self.name);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| value == found))
    }
}

impl TryFrom<String> for Tag {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (name, value) =
            text.split_once('=').map_or((text.as_str(), None), |(name, value)| (name, Some(value)));
        if name.trim().is_empty() {
            return Err(format!("{text:?} is no tag; one is written so: app=shop, or app for any value"));
        }
        Ok(Self { name: name.trim().to_owned(), value: value.map(|value| value.trim().to_owned()) })
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.to_string()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(formatter, "={value}"))
    }
}

/// Which instances, among those that run. All that is given must match; one of `id`, `tag` and `group` must be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceSelector {
    /// An instance by its number: `i-0123456789abcdef0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A tag, with its value or with any: `app=shop`, `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The group that keeps them at a number (Auto Scaling group), by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The availability zone: `eu-west-1a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The tag by which their owners allow it; instances without it are spared. `squall=allowed`, where not given.
    #[serde(default = "Tag::opt_in")]
    pub opt_in: Tag,
    /// The cloud.
    #[serde(default)]
    pub cloud: Cloud,
    /// The region; without it, that of the cloud's own settings (`AWS_REGION`, the profile, the machine's metadata).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The profile whose settings and credentials count; without it `AWS_PROFILE` or the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Another address than the cloud's own, such as that of a server that plays AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl InstanceSelector {
    /// Whether it names nothing but a place, which would match everything there.
    pub fn is_empty(&self) -> bool {
        self.id.is_none() && self.tag.is_none() && self.group.is_none()
    }

    /// Where they are.
    pub fn place(&self) -> CloudPlace {
        let Self { cloud, region, profile, endpoint, .. } = self;
        let (region, profile, endpoint) = (region.clone(), profile.clone(), endpoint.clone());
        CloudPlace { cloud: *cloud, region, profile, endpoint }
    }
}

impl fmt::Display for InstanceSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.id.as_ref().map(|id| format!("id {id}")),
            self.tag.as_ref().map(|tag| format!("tag {tag}")),
            self.group.as_ref().map(|group| format!("group {group}")),
            self.zone.as_ref().map(|zone| format!("zone {zone}")),
            self.region.as_ref().map(|region| format!("region {region}")),
        ];
        formatter.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// A template of experiments that the cloud carries out itself, such as those of AWS's Fault Injection Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateSelector {
    /// Its number: `EXT1a2b3c4d5e6f7`.
    pub id: String,
    /// The tag by which its owners allow it. `squall=allowed`, where not given.
    #[serde(default = "Tag::opt_in")]
    pub opt_in: Tag,
    /// The cloud.
    #[serde(default)]
    pub cloud: Cloud,
    /// The region; without it, that of the cloud's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The profile whose settings and credentials count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Another address than the cloud's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl TemplateSelector {
    /// Where it is.
    pub fn place(&self) -> CloudPlace {
        let Self { cloud, region, profile, endpoint, .. } = self;
        let (region, profile, endpoint) = (region.clone(), profile.clone(), endpoint.clone());
        CloudPlace { cloud: *cloud, region, profile, endpoint }
    }
}

/// An instance that cannot be mistaken for another: no cloud gives a number twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceRef {
    /// Where it is; the region is always said.
    pub place: CloudPlace,
    /// Its number.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its availability zone.
    pub zone: String,
    /// The account that it belongs to.
    pub account: String,
}

impl fmt::Display for InstanceRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "instance {}", self.id)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(formatter, " ({name})"))?;
        write!(formatter, " in {}", self.zone)
    }
}

impl InstanceRef {
    /// The command that starts it again.
    pub fn start_by_hand(&self) -> String {
        match self.place.cloud {
            Cloud::Aws => {
                format!("aws ec2 start-instances{} --instance-ids {}", self.place.options(), self.id)
            }
        }
    }
}

impl CloudPlace {
    /// The options of the cloud's own command that mean this place.
    fn options(&self) -> String {
        let option =
            |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(" --{name} {value}"));
        let Self { region, profile, endpoint, .. } = self;
        let options = [("region", region), ("profile", profile), ("endpoint-url", endpoint)];
        options.into_iter().filter_map(|(name, value)| option(name, value)).collect()
    }
}

/// An instance as the cloud describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceFacts {
    /// Which.
    pub instance: InstanceRef,
    /// The group that keeps it at a number, if one does.
    pub group: Option<String>,
    /// Its type: `m7g.large`.
    pub kind: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Why it cannot be stopped and started again as it was, if so.
    pub unstoppable: Option<String>,
    /// The tag by which its owners allow that it is struck, and which it has unless it is protected.
    pub opt_in: Tag,
    /// Why it is protected, if it is.
    pub protected: Option<String>,
}

/// What is done to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum InstanceChange {
    /// It is stopped, and started again by the undo.
    Stop {
        /// Without a chance for its system to write what it holds in memory.
        force: bool,
    },
    /// It is rebooted.
    Reboot,
    /// It is ended for good.
    Terminate,
    /// It is ended for good, and its group launches another.
    Replace {
        /// The group.
        group: String,
    },
}

/// Something done to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStep {
    /// Which.
    pub instance: InstanceRef,
    /// The tag that it must still have when it is struck.
    pub opt_in: Tag,
    /// What.
    pub change: InstanceChange,
}

impl fmt::Display for InstanceStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance, change, .. } = self;
        match change {
            InstanceChange::Stop { force: false } => write!(formatter, "stop {instance}"),
            InstanceChange::Stop { force: true } => write!(formatter, "stop {instance} by force"),
            InstanceChange::Reboot => write!(formatter, "reboot {instance}"),
            InstanceChange::Terminate => write!(formatter, "terminate {instance} for good"),
            InstanceChange::Replace { group } => {
                write!(formatter, "terminate {instance} for good; its group {group} launches another")
            }
        }
    }
}

/// A template that cannot be mistaken for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TemplateRef {
    /// Where it is; the region is always said.
    pub place: CloudPlace,
    /// Its number.
    pub id: String,
}

impl fmt::Display for TemplateRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "template {} in {}",
            self.id,
            self.place.region.as_deref().unwrap_or("the usual region")
        )
    }
}

impl TemplateRef {
    /// The command that ends an experiment of it which carries a mark.
    pub fn stop_by_hand(&self, mark: &str) -> String {
        match self.place.cloud {
            Cloud::Aws => format!(
                "aws fis stop-experiment{} --id EXP… # the one whose tag {MARK_TAG} is {mark}",
                self.place.options()
            ),
        }
    }
}

/// A template as the cloud describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateFacts {
    /// Which.
    pub template: TemplateRef,
    /// What it is for, as its owners say.
    pub description: String,
    /// What its experiments do, each in a few words.
    pub does: Vec<String>,
    /// What they strike, each in a few words.
    pub strikes: Vec<String>,
    /// What ends them by itself, such as an alarm; often nothing.
    pub ended_by: Vec<String>,
    /// The tag by which its owners allow it.
    pub opt_in: Tag,
    /// Why it is protected, if it is.
    pub protected: Option<String>,
}

/// An experiment that the cloud carries out, started from a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateStep {
    /// From which.
    pub template: TemplateRef,
    /// The tag that it must still have.
    pub opt_in: Tag,
    /// The value of the tag [`MARK_TAG`] that the experiment carries.
    pub mark: String,
}

impl fmt::Display for TemplateStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "start an experiment from {}", self.template)
    }
}

/// The tag by which Squall knows what it made in a cloud; its value is the injection's name.
pub const MARK_TAG: &str = "squall-injection";

/// How long a cloud may take to stop and start an instance, or to end an experiment: large ones take minutes.
pub const PATIENCE: Duration = Duration::seconds(900);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_a_name_and_perhaps_a_value() {
        let tag = |text: &str| Tag::try_from(text.to_owned());
        assert_eq!(tag("app=a=b").unwrap(), Tag { name: "app".into(), value: Some("a=b".into()) });
        assert_eq!(tag("app").unwrap().to_string(), "app");
        assert!(tag("=x").is_err() && tag(" ").is_err());
        let tags = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
        let is_in = |text: &str| tag(text).unwrap().is_in(&tags);
        assert!(is_in("app") && is_in("app=shop") && !is_in("app=sho") && !is_in("squall"));
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let selector: InstanceSelector =
            serde_json::from_str(r#"{"group": "shop", "zone": "eu-west-1a"}"#).unwrap();
        assert_eq!(selector.opt_in, Tag::opt_in());
        assert_eq!(selector.to_string(), "group shop, zone eu-west-1a");
        assert!(!selector.is_empty());
        let place: InstanceSelector =
            serde_json::from_str(r#"{"zone": "eu-west-1a", "region": "eu-west-1"}"#).unwrap();
        assert!(place.is_empty());
    }
}
