//! A file as a tree in which every value knows its place, whatever format it was written in.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value as Json};

/// Where something stands in a file: byte offsets, half open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

/// A value and the place where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What stands there.
    pub content: Content,
    /// Where it stands.
    pub place: Place,
}

/// What a node holds: the data model shared by YAML, JSON and TOML.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Named values in the order of the file; names are unique.
    Map(Vec<(Key, Node)>),
}

/// The name of a map's entry, and where the name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// A value with the place that it was read from, to point at when it turns out wrong later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl Node {
    /// What kind of value this is, with its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "yes or no",
            Content::Integer(_) | Content::Float(_) => "a number",
            Content::Text(_) => "a text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }

    /// The entry of this name, where the node is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The same tree without its places.
    pub fn to_json(&self) -> Json {
        match &self.content {
            Content::Null => Json::Null,
            Content::Bool(value) => Json::Bool(*value),
            Content::Integer(value) => Json::Number((*value).into()),
            Content::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
            Content::Text(value) => Json::String(value.clone()),
            Content::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => Json::Object(
                entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }
}
