//! An object of the cluster, as far as all kinds are alike.

use super::resources::FINALIZER;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;
use std::fmt;

/// Which object of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    /// Empty for what is in none.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl Name {
    pub(crate) fn of(object: &Json) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        Self { namespace: text("namespace"), name: text("name") }
    }
}

pub(crate) fn uid(object: &Json) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// Its name alone.
pub(crate) fn name(object: &Json) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub(crate) fn generation(object: &Json) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or(0)
}

pub(crate) fn annotation<'o>(object: &'o Json, name: &str) -> Option<&'o str> {
    object["metadata"]["annotations"][name].as_str()
}

/// Whether an annotation says `true`.
pub(crate) fn says(object: &Json, name: &str) -> bool {
    annotation(object, name) == Some("true")
}

pub(crate) fn moment(value: &Json) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

pub(crate) fn created(object: &Json) -> Timestamp {
    moment(&object["metadata"]["creationTimestamp"]).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Since when it is being deleted, if it is.
pub(crate) fn deleted(object: &Json) -> Option<Timestamp> {
    moment(&object["metadata"]["deletionTimestamp"])
}

/// Whether our finalizer holds it.
pub(crate) fn is_held(object: &Json) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|one| one == FINALIZER))
}

/// A part of it as its type; what cannot be read, or is not there, is as if nothing was said.
pub(crate) fn part<'o, T: Deserialize<'o> + Default>(object: &'o Json, name: &str) -> T {
    T::deserialize(&object[name]).unwrap_or_default()
}
