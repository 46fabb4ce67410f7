//! Manual pages out of JSON Schemas: the doc comments of the parameters are the manual.

use crate::out;
use schemars::Schema;
use serde_json::Value as Json;

/// `; did you mean "x"?` where a known name is near, else nothing.
pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let best = known.map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate)).min();
    match best {
        Some((distance, candidate)) if distance <= candidate.len() / 2 => {
            format!("; did you mean {candidate:?}?")
        }
        _ => String::new(),
    }
}

/// The text with two spaces before each line.
pub(crate) fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The parameters that a schema describes, one a line: name, default, meaning.
pub(crate) fn parameters(schema: &Schema) -> String {
    let schema = schema.as_value();
    let Some(properties) = schema.get("properties").and_then(Json::as_object).filter(|map| !map.is_empty())
    else {
        return "  none".to_owned();
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let rows: Vec<(String, String)> = properties
        .iter()
        .map(|(name, property)| {
            let meaning =
                property.get("description").and_then(Json::as_str).unwrap_or_default().replace('\n', " ");
            let default = match property.get("default") {
                _ if required.contains(&name.as_str()) => " (required)".to_owned(),
                None | Some(Json::Null) => String::new(),
                Some(Json::String(text)) => format!(" (default {text})"),
                Some(other) => format!(" (default {other})"),
            };
            (name.clone(), format!("{meaning}{default}"))
        })
        .collect();
    out::columns(&rows)
}
