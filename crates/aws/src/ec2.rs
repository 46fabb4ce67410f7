//! EC2: instances, and what can be done to them.
//!
//! Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html>

use crate::client::{Ask, Aws};
use crate::endpoint::Service;
use crate::error::{AwsError, Problem};
use crate::xml::Element;
use std::collections::BTreeMap;
use std::fmt;

const EC2: Service = Service { id: "EC2", host: "ec2", signing: "ec2" };
const VERSION: &str = "2016-11-15";
/// Instances in one answer.
const PAGE: u32 = 50;

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is being started.
    Pending,
    /// It runs.
    Running,
    /// It is being stopped.
    Stopping,
    /// It is stopped, and can be started.
    Stopped,
    /// It is being ended for good.
    ShuttingDown,
    /// It is gone for good.
    Terminated,
}

impl State {
    const NAMES: [(&'static str, Self); 6] = [
        ("pending", Self::Pending),
        ("running", Self::Running),
        ("stopping", Self::Stopping),
        ("stopped", Self::Stopped),
        ("shutting-down", Self::ShuttingDown),
        ("terminated", Self::Terminated),
    ];

    fn parse(name: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, state)| *state).ok_or_else(|| format!("no state of an instance is called {name:?}"))
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::NAMES.iter().find(|(_, state)| state == self);
        formatter.write_str(found.map_or("unknown", |(name, _)| name))
    }
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its number, which no other ever gets: `i-0123456789abcdef0`.
    pub id: String,
    /// Its state.
    pub state: State,
    /// Its availability zone.
    pub zone: String,
    /// The account that it belongs to.
    pub account: String,
    /// Its type: `m7g.large`.
    pub kind: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether it is one that AWS may take back at any time.
    pub is_spot: bool,
    /// Whether its root volume goes with it, so that it cannot be stopped.
    pub is_ephemeral: bool,
    /// Why it is in its state, as EC2 says it.
    pub reason: String,
}

impl Instance {
    /// The tag that people name it by.
    pub fn name(&self) -> Option<&str> {
        self.tags.get("Name").map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The Auto Scaling group that it is in, by the tag that AWS itself sets.
    pub fn group(&self) -> Option<&str> {
        self.tags.get("aws:autoscaling:groupName").map(String::as_str)
    }

    fn read(item: &Element, account: &str) -> Result<Self, String> {
        let tags = item.items(&["tagSet"]).map(|tag| (tag.text_at(&["key"]), tag.text_at(&["value"])));
        let id = item.at(&["instanceId"]).ok_or("an instance has no number")?;
        Ok(Self {
            id: id.to_owned(),
            state: State::parse(item.at(&["instanceState", "name"]).unwrap_or_default())?,
            zone: item.text_at(&["placement", "availabilityZone"]),
            account: account.to_owned(),
            kind: item.text_at(&["instanceType"]),
            tags: tags.collect(),
            is_spot: item.at(&["instanceLifecycle"]) == Some("spot"),
            is_ephemeral: item.at(&["rootDeviceType"]) == Some("instance-store"),
            reason: item.text_at(&["reason"]),
        })
    }
}

/// What instances are looked for by; all must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Their numbers.
    Id(Vec<String>),
    /// A tag, with a value or with any.
    Tag(String, Option<String>),
    /// The Auto Scaling group.
    Group(String),
    /// The availability zone.
    Zone(String),
    /// Any of these states.
    State(Vec<State>),
}

impl Filter {
    fn parts(&self) -> (String, Vec<String>) {
        match self {
            Self::Id(ids) => ("instance-id".to_owned(), ids.clone()),
            Self::Tag(key, Some(value)) => (format!("tag:{key}"), vec![literal(value)]),
            Self::Tag(key, None) => ("tag-key".to_owned(), vec![literal(key)]),
            Self::Group(name) => ("tag:aws:autoscaling:groupName".to_owned(), vec![literal(name)]),
            Self::Zone(zone) => ("availability-zone".to_owned(), vec![literal(zone)]),
            Self::State(states) => {
                ("instance-state-name".to_owned(), states.iter().map(ToString::to_string).collect())
            }
        }
    }

    /// Whether an instance fits. AWS filters first; what it takes for a pattern is looked at again.
    fn fits(&self, instance: &Instance) -> bool {
        match self {
            Self::Id(ids) => ids.contains(&instance.id),
            Self::Tag(key, Some(value)) => instance.tags.get(key) == Some(value),
            Self::Tag(key, None) => instance.tags.contains_key(key),
            Self::Group(name) => instance.group() == Some(name),
            Self::Zone(zone) => instance.zone == *zone,
            Self::State(states) => states.contains(&instance.state),
        }
    }
}

/// A filter's value in which stars and question marks stand for themselves.
fn literal(text: &str) -> String {
    text.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?")
}

/// What became of an instance that something was asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The instance.
    pub id: String,
    /// Its state before.
    pub before: State,
    /// Its state from now on.
    pub now: State,
}

impl Aws {
    /// All instances that fit all filters, in the order of their numbers. Without a filter, none: nobody asks for all.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn instances(&self, filters: &[Filter]) -> Result<Vec<Instance>, AwsError> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        while !filters.is_empty() {
            let mut parameters = vec![("MaxResults".to_owned(), PAGE.to_string())];
            for (number, filter) in (1..).zip(filters) {
                let (name, values) = filter.parts();
                parameters.push((format!("Filter.{number}.Name"), name));
                let values = (1..).zip(values);
                parameters.extend(values.map(|(at, value)| (format!("Filter.{number}.Value.{at}"), value)));
            }
            parameters.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let root = self.ec2("ec2:DescribeInstances", &parameters).await?;
            for reservation in root.items(&["reservationSet"]) {
                let account = reservation.text_at(&["ownerId"]);
                for item in reservation.items(&["instancesSet"]) {
                    let instance =
                        Instance::read(item, &account).map_err(|why| odd("ec2:DescribeInstances", &why))?;
                    found.extend(Some(instance).filter(|one| filters.iter().all(|filter| filter.fits(one))));
                }
            }
            token = root.at(&["nextToken"]).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    /// Stops instances, which may take a minute. `force`: without a chance for the system to write its caches.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn stop(&self, ids: &[String], force: bool) -> Result<Vec<Change>, AwsError> {
        let mut parameters = numbered(ids);
        if force {
            parameters.push(("Force".to_owned(), "true".to_owned()));
        }
        self.changes("ec2:StopInstances", &parameters).await
    }

    /// Starts instances that are stopped; nothing is changed of one that runs.
    ///
    /// # Errors
    /// `State` while one is still being stopped; else see [`AwsError`].
    pub async fn start(&self, ids: &[String]) -> Result<Vec<Change>, AwsError> {
        self.changes("ec2:StartInstances", &numbered(ids)).await
    }

    /// Ends instances for good.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn terminate(&self, ids: &[String]) -> Result<Vec<Change>, AwsError> {
        self.changes("ec2:TerminateInstances", &numbered(ids)).await
    }

    /// Reboots instances. They stay `running` all the while.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn reboot(&self, ids: &[String]) -> Result<(), AwsError> {
        self.ec2("ec2:RebootInstances", &numbered(ids)).await.map(|_| ())
    }

    async fn changes(
        &self,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Vec<Change>, AwsError> {
        let root = self.ec2(action, parameters).await?;
        let change = |item: &Element| -> Result<Change, String> {
            Ok(Change {
                id: item.text_at(&["instanceId"]),
                before: State::parse(item.at(&["previousState", "name"]).unwrap_or_default())?,
                now: State::parse(item.at(&["currentState", "name"]).unwrap_or_default())?,
            })
        };
        let changes: Result<Vec<_>, _> = root.items(&["instancesSet"]).map(change).collect();
        changes.map_err(|why| odd(action, &why))
    }

    pub(crate) async fn ec2(
        &self,
        action: &'static str,
        parameters: &[(String, String)],
    ) -> Result<Element, AwsError> {
        let body = self.ask(Ask::query(EC2, action, VERSION, parameters)).await?;
        tree(action, &body)
    }
}

fn numbered(ids: &[String]) -> Vec<(String, String)> {
    (1..).zip(ids).map(|(number, id): (u32, _)| (format!("InstanceId.{number}"), id.clone())).collect()
}

/// An answer in XML.
pub(crate) fn tree(action: &str, body: &[u8]) -> Result<Element, AwsError> {
    let text = String::from_utf8_lossy(body);
    Element::read(&text).map_err(|why| odd(action, &why))
}

/// An answer that is not understood.
pub(crate) fn odd(action: &str, why: &str) -> AwsError {
    AwsError::new(Problem::Unknown, format!("{action}: the answer is not understood: {why}"))
}
