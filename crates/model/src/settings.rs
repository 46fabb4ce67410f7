//! What is set once for all experiments of a place: where metrics go, who is told, where faults are marked, and
//! what is allowed where.
//!
//! What can be named there (`push`, `slack`) is known to whoever sends: the reader is given their tables.

use crate::node::Node;
use crate::read::ReadError;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// A file of settings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// Where metrics go.
    pub metrics: Vec<Call>,
    /// Who is told, and when.
    pub notify: Vec<Notify>,
    /// Where faults are marked, such as on the dashboards of Grafana.
    pub marks: Vec<Call>,
    /// What is allowed in which environment, for whoever judges it.
    pub environments: Option<Node>,
    /// What is never struck, likewise.
    pub protected: Option<Node>,
}

/// One thing that settings name, with its parameters as they stand there.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its name in the table of whoever builds it.
    pub kind: String,
    /// Checked, and with their place.
    pub parameters: Node,
}

/// Somebody to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Notify {
    /// By what.
    pub call: Call,
    /// When.
    pub on: Vec<Occasion>,
}

/// When somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A run begins: its plan was made and approved.
    Start,
    /// A run is over, whatever came of it.
    End,
    /// A run is over, and the hypothesis did not hold, or could not be tried.
    Failure,
    /// A run is ended early; everything is being put back.
    Abort,
    /// Something could not be put back.
    Residue,
}

impl Occasion {
    /// When somebody is told whose settings do not say: when something is wrong.
    pub const DEFAULT: [Self; 3] = [Self::Abort, Self::Failure, Self::Residue];
}

/// A name that settings may use, and what its parameters are.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The name.
    pub name: &'static str,
    /// Checks parameters as they stand in a file; errors point at the place.
    pub check: fn(&Node) -> Result<(), ReadError>,
    /// In `notify`: what it tells nothing of.
    pub silent_on: &'static [Occasion],
}

/// All that settings may name.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    /// Under `metrics`.
    pub metrics: Vec<Kind>,
    /// In the entries of `notify`.
    pub notify: Vec<Kind>,
    /// Keys of their own that say where faults are marked.
    pub marks: Vec<Kind>,
}

/// A text that may be secret: written out, or in the environment (`{env: NAME}`), or in a file (`{file: PATH}`). It is
/// never shown, not even for debugging.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// As it is.
    Plain(String),
    /// The value of this variable of the environment.
    Environment(String),
    /// What this file holds, without white space around it.
    File(PathBuf),
}

impl Secret {
    /// Its text without white space around it. `variable` looks into the environment, `file` reads a file.
    ///
    /// # Errors
    /// In words, without the secret: where it was looked for, and what to do.
    pub fn text(
        &self,
        variable: impl FnOnce(&str) -> Option<String>,
        file: impl FnOnce(&Path) -> Result<String, String>,
    ) -> Result<String, String> {
        let text = match self {
            Self::Plain(text) => text.clone(),
            Self::Environment(name) => variable(name).ok_or_else(|| {
                format!("the environment has no `{name}`; set it, or write `{{file: PATH}}` in place of `{{env: {name}}}`")
            })?,
            Self::File(path) => file(path)?,
        };
        match (text.trim(), self) {
            ("", Self::Plain(_)) => {
                Err("a text is empty; write it out, or `{env: NAME}` or `{file: PATH}`".to_owned())
            }
            ("", Self::Environment(name)) => Err(format!("`{name}` is empty in the environment")),
            ("", Self::File(path)) => Err(format!("there is nothing in the file {}", path.display())),
            (text, _) => Ok(text.to_owned()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => formatter.write_str("(a secret)"),
            Self::Environment(name) => write!(formatter, "{{env: {name}}}"),
            Self::File(path) => write!(formatter, "{{file: {}}}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text, `{env: NAME}` or `{file: PATH}`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::Plain(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum From {
            Env,
            File,
        }
        let secret = match map.next_key()? {
            Some(From::Env) => Secret::Environment(map.next_value()?),
            Some(From::File) => Secret::File(map.next_value()?),
            None => return Err(de::Error::custom("neither `env` nor `file` is given")),
        };
        match map.next_key::<From>()? {
            None => Ok(secret),
            Some(_) => Err(de::Error::custom("only one of `env` and `file` can be given")),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let by = |key: &str| {
            serde_json::json!({"type": "object", "properties": {key: {"type": "string"}}, "required": [key],
                "additionalProperties": false})
        };
        let any = serde_json::json!({"anyOf": [{"type": "string"}, by("env"), by("file")]});
        Schema::try_from(any).unwrap_or_default()
    }
}
