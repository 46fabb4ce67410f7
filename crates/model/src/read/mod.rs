//! Reading experiment files: YAML, JSON and TOML become one tree with places, variables are put in, and the tree
//! becomes typed values. Every mistake points at its place in the file.

use crate::node::{Node, Place};
use serde::de::DeserializeOwned;

/// One mistake in a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// Short words at the place itself: what was expected.
    pub label: String,
    /// What to do: the nearest known name, an example.
    pub help: Option<String>,
}

impl ReadError {
    /// A mistake without a remedy.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), label: String::new(), help: None }
    }
}

/// Reads a typed value out of a tree.
pub fn decode<T: DeserializeOwned>(node: &Node) -> Result<T, ReadError> {
    serde_json::from_value(node.to_json()).map_err(|error| ReadError::at(node.place, error.to_string()))
}
