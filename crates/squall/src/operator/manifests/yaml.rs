//! Objects as YAML, in the order in which people write them; for charts with holes that Helm fills.

use serde_json::{Map, Value as Json};
use std::fmt::Write as _;

/// What a text begins with that is to stand there as it is: an expression of Helm's.
const RAW: char = '\u{e000}';

/// These keys come first, in this order; others by the alphabet.
const FIRST: [&str; 6] = ["apiVersion", "kind", "name", "metadata", "type", "spec"];

/// What YAML would take for something else than a text, if it stood there without quotes.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// A value that Helm puts in place.
pub(super) fn raw(expression: &str) -> Json {
    Json::String(format!("{RAW}{{{{ {expression} }}}}"))
}

/// A text of a document.
pub(super) fn document(value: &Json) -> String {
    let mut text = String::new();
    match value {
        Json::Object(entries) if !entries.is_empty() => map(entries, 0, &mut text),
        other => {
            let _ = writeln!(text, "{}", scalar(other));
        }
    }
    text
}

fn map(entries: &Map<String, Json>, indent: usize, text: &mut String) {
    let place = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    let mut sorted: Vec<(&String, &Json)> = entries.iter().collect();
    sorted.sort_by_key(|(key, _)| (place(key), *key));
    for (number, (key, value)) in sorted.into_iter().enumerate() {
        if number > 0 {
            text.extend(std::iter::repeat_n(' ', indent));
        }
        text.push_str(&plain(key));
        text.push(':');
        match value {
            Json::Object(entries) if !entries.is_empty() => {
                text.push('\n');
                text.extend(std::iter::repeat_n(' ', indent + 2));
                map(entries, indent + 2, text);
            }
            Json::Array(items) if !items.is_empty() => list(items, indent, text),
            other => {
                let _ = writeln!(text, " {}", scalar(other));
            }
        }
    }
}

fn list(items: &[Json], indent: usize, text: &mut String) {
    let is_flat = items.iter().all(|item| !item.is_object() && !item.is_array());
    if is_flat {
        let words: Vec<String> = items.iter().map(scalar).collect();
        let line = words.join(", ");
        if line.len() + indent < 100 {
            let _ = writeln!(text, " [{line}]");
            return;
        }
    }
    text.push('\n');
    for item in items {
        text.extend(std::iter::repeat_n(' ', indent));
        text.push_str("- ");
        match item {
            Json::Object(entries) if !entries.is_empty() => map(entries, indent + 2, text),
            other => {
                let _ = writeln!(text, "{}", scalar(other));
            }
        }
    }
}

/// What stands in one line: JSON is YAML, too.
fn scalar(value: &Json) -> String {
    match value {
        Json::String(text) => text.strip_prefix(RAW).map_or_else(|| plain(text), str::to_owned),
        other => other.to_string(),
    }
}

/// A text without quotes where nobody could take it for something else.
fn plain(text: &str) -> String {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    let is_plain = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '/')
        && text.chars().all(is_letter)
        && !WORDS.contains(&text.to_lowercase().as_str());
    if is_plain { text.to_owned() } else { Json::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_written_as_people_do() {
        let object = json!({
            "spec": {"b": "yes", "a": [1, "x"], "list": [{"name": "x", "d": {}}, {"k": []}]},
            "kind": "Pod", "metadata": {"name": "1", "labels": {"a/b": "c: d"}}, "apiVersion": "v1",
            "hole": raw("toJson .Values.x"),
        });
        let expected = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \"1\"\n  labels:\n    a/b: \"c: d\"\nspec:\n  \
                        a: [1, x]\n  b: \"yes\"\n  list:\n  - name: x\n    d: {}\n  - k: []\nhole: {{ toJson .Values.x }}\n";
        assert_eq!(document(&object), expected);
    }
}
