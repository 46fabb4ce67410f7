//! A JSON document as named values that a condition can speak of: `json.status`, `json.items[0].id`,
//! `json.items.length`.

use serde_json::Value as Json;
use squall_model::value::{Reading, Value};

/// At most this many values are named: a page of a thousand orders is not what a condition asks for.
const MOST: usize = 1000;

/// Adds what stands in `document` to `reading`, under names that begin with `json`. `null` has no value, so its name
/// is absent. Names go as deep as the document; a parser reads none deeper than 128.
pub(crate) fn name_values(document: &Json, reading: &mut Reading) {
    let limit = reading.len() + MOST;
    add("json", document, limit, reading);
}

fn add(name: &str, json: &Json, limit: usize, reading: &mut Reading) {
    if reading.len() >= limit {
        return;
    }
    match json {
        Json::Array(items) => {
            reading.insert(format!("{name}.length"), Value::Number(items.len() as f64));
            // At the top, `json.[0]` keeps the beginning that all these names have in common.
            let dot = if name == "json" { "." } else { "" };
            for (index, item) in items.iter().enumerate().take(MOST) {
                add(&format!("{name}{dot}[{index}]"), item, limit, reading);
            }
        }
        Json::Object(entries) => {
            for (key, value) in entries {
                add(&format!("{name}.{key}"), value, limit, reading);
            }
        }
        _ => reading.extend(value(json).map(|value| (name.to_owned(), value))),
    }
}

/// A value of JSON as conditions have it; none for `null`, lists and maps.
pub(crate) fn value(json: &Json) -> Option<Value> {
    match json {
        Json::Bool(value) => Some(Value::Bool(*value)),
        // Every number of JSON has a nearest one here: this cannot be absent.
        Json::Number(number) => Some(Value::Number(number.as_f64().unwrap_or(f64::NAN))),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn named(document: &Json) -> Vec<(String, Value)> {
        let mut reading = Reading::new();
        name_values(document, &mut reading);
        reading.into_iter().collect()
    }

    #[test]
    fn values_are_named_by_their_path() {
        let document = json!({"status": "up", "items": [{"id": 7, "gone": null}], "deep": {"ok": true}});
        assert_eq!(
            named(&document),
            [
                ("json.deep.ok".to_owned(), Value::Bool(true)),
                ("json.items.length".to_owned(), Value::Number(1.0)),
                ("json.items[0].id".to_owned(), Value::Number(7.0)),
                ("json.status".to_owned(), Value::from("up")),
            ]
        );
        assert_eq!(named(&json!([[5]]))[0].0, "json.[0].length");
        assert_eq!(named(&json!(4.5)), [("json".to_owned(), Value::Number(4.5))]);
        assert_eq!(named(&json!(null)), []);
    }

    #[test]
    fn a_huge_document_is_cut() {
        let many: Vec<u32> = (0..100_000).collect();
        assert!(named(&json!({ "a": many })).len() <= MOST + 1);
    }
}
