//! Where exporters send: a URL alone, or with headers.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use squall_model::settings::Secret;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A URL, and what goes with each request to it.
pub(crate) struct Target {
    pub(crate) url: Secret,
    pub(crate) headers: BTreeMap<String, Secret>,
}

/// The long form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Long {
    /// The URL.
    url: Secret,
    /// Headers, such as `Authorization`.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TargetVisitor)
    }
}

struct TargetVisitor;

impl<'de> Visitor<'de> for TargetVisitor {
    type Value = Target;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a URL, or `{url: …, headers: {…}}`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Target, E> {
        let url = Secret::deserialize(StrDeserializer::new(text))?;
        Ok(Target { url, headers: BTreeMap::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
        let Long { url, headers } = Long::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Target { url, headers })
    }
}

impl JsonSchema for Target {
    fn schema_name() -> Cow<'static, str> {
        "Target".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = Long::json_schema(generator);
        let any = serde_json::json!({"anyOf": [{"type": "string"}, long]});
        Schema::try_from(any).unwrap_or_default()
    }
}
