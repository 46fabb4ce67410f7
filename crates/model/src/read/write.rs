//! Writing a tree as YAML, so that reading it gives the same tree.

use super::scalar;
use crate::node::{Content, Key, Node};
use std::fmt::Write as _;

/// How wide a list or map may be that stands in one line.
const WIDTH: usize = 100;

/// A tree as YAML. What is short and flat stands in one line, but for maps in lists.
pub fn to_yaml(node: &Node) -> String {
    let mut text = String::new();
    match &node.content {
        Content::Map(entries) if !entries.is_empty() => map(entries, 0, &mut text),
        Content::List(items) if !items.is_empty() => list(items, 0, &mut text),
        _ => {
            flow(node, &mut text);
            text.push('\n');
        }
    }
    text
}

fn map(entries: &[(Key, Node)], indent: usize, text: &mut String) {
    for (number, (key, node)) in entries.iter().enumerate() {
        if number > 0 {
            text.extend(std::iter::repeat_n(' ', indent));
        }
        text.push_str(&scalar_text(&key.name));
        text.push(':');
        value(node, indent, text);
    }
}

fn list(items: &[Node], indent: usize, text: &mut String) {
    for (number, node) in items.iter().enumerate() {
        if number > 0 {
            text.extend(std::iter::repeat_n(' ', indent));
        }
        text.push('-');
        match &node.content {
            Content::Map(entries) if !entries.is_empty() => {
                text.push(' ');
                map(entries, indent + 2, text);
            }
            _ => value(node, indent, text),
        }
    }
}

/// What stands after a key or a dash: in the same line if it fits, else below.
fn value(node: &Node, indent: usize, text: &mut String) {
    if let Some(line) = one_line(node, indent) {
        let _ = writeln!(text, " {line}");
        return;
    }
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indent + 2));
    match &node.content {
        Content::Map(entries) => map(entries, indent + 2, text),
        Content::List(items) => list(items, indent + 2, text),
        _ => {}
    }
}

/// A value in one line; none for a list or map that is too wide for that, or holds a list of maps.
fn one_line(node: &Node, indent: usize) -> Option<String> {
    let mut line = String::new();
    flow(node, &mut line);
    let is_single = !matches!(&node.content, Content::List(items) if !items.is_empty())
        && !matches!(&node.content, Content::Map(entries) if !entries.is_empty());
    let fits = is_single || (line.len() + indent <= WIDTH && !holds_maps_in_lists(node));
    fits.then_some(line)
}

fn holds_maps_in_lists(node: &Node) -> bool {
    match &node.content {
        Content::List(items) => items.iter().any(|item| matches!(item.content, Content::Map(_))),
        Content::Map(entries) => entries.iter().any(|(_, node)| holds_maps_in_lists(node)),
        _ => false,
    }
}

fn flow(node: &Node, text: &mut String) {
    match &node.content {
        Content::Null => text.push_str("null"),
        Content::Bool(value) => {
            let _ = write!(text, "{value}");
        }
        Content::Integer(number) => {
            let _ = write!(text, "{number}");
        }
        // With a point or an exponent, so that it stays what it is.
        Content::Float(number) => {
            let _ = write!(text, "{number:?}");
        }
        Content::Text(value) => text.push_str(&scalar_text(value)),
        Content::List(items) => {
            text.push('[');
            for (number, item) in items.iter().enumerate() {
                text.push_str(if number > 0 { ", " } else { "" });
                flow(item, text);
            }
            text.push(']');
        }
        Content::Map(entries) => {
            text.push('{');
            for (number, (key, node)) in entries.iter().enumerate() {
                text.push_str(if number > 0 { ", " } else { "" });
                text.push_str(&scalar_text(&key.name));
                text.push_str(": ");
                flow(node, text);
            }
            text.push('}');
        }
    }
}

/// A text, in quotes unless it can only be read as this text.
fn scalar_text(value: &str) -> String {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-./%+@<>=() ".contains(letter);
    let is_plain = value.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/')
        && value.chars().all(is_word)
        && !value.ends_with(' ')
        && matches!(scalar::resolve(value), Ok(Content::Text(_)));
    if is_plain { value.to_owned() } else { quoted(value) }
}

/// A text in double quotes. What JSON escapes, YAML does alike; a few characters more mean the end of a line to it.
fn quoted(value: &str) -> String {
    let mut text = String::from('"');
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            letter if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(text, "\\u{:04x}", u32::from(letter));
            }
            letter => text.push(letter),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Source, parse, yaml};
    use super::*;

    fn again(json: &serde_json::Value) -> String {
        let source = Source { name: "x.json".into(), text: json.to_string() };
        let text = to_yaml(&parse(&source).unwrap());
        let read = yaml::parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert_eq!(read.to_json(), *json, "{text}");
        text
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for text in [
            "plain",
            "two words",
            "",
            " ",
            "yes",
            "true",
            "null",
            "~",
            "5",
            "0x1F",
            "1.5",
            "1e3",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "'a'",
            "\"a\"",
            "a\nb\n",
            "\ta",
            "a\\b",
            "é",
            "\u{2028}",
            "\u{1}",
            "{a}",
            "[a]",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "%a",
            "@every 2h",
            "`a`",
            "a,b",
            "a:",
            ":a",
            "?",
            "50%",
            "10.0.0.0/8:22",
            "${x}",
            "---",
            "a ",
            "<<",
            "\u{1f600}",
            ".inf",
            "http://a/b?c=d",
            "status >= 200 and status <= 400",
            "/var/**/*",
            "0 3 * * *",
            "12:30",
            "_",
            "=",
        ] {
            again(&serde_json::json!(text));
            again(&serde_json::json!({ text: [text, {"a": text}], "m": {"k": text} }));
        }
        again(
            &serde_json::json!({"a": [], "b": {}, "c": null, "d": [1, -2, 1.5, 1.0, 1e300, true, [[]], [{}]]}),
        );
        let text =
            again(&serde_json::json!([{"a": 1, "b": {"c": "d"}}, [1, [2, {"x": 1}]], "x".repeat(200)]));
        assert!(text.starts_with("- a: 1\n  b: {c: d}\n"), "{text}");
    }

    #[test]
    fn what_is_short_stands_in_one_line_and_lists_of_maps_below() {
        let long = "y".repeat(80);
        let expected = format!(
            "name: x\nmethod:\n  - fault: network.latency\n    target: {{pod: {{labels: {{app: shop}}}}}}\n    more: {long}\n    of:\n      \
             - pod: {{}}\n        mode: one\n"
        );
        assert_eq!(to_yaml(&yaml::parse(&expected).unwrap()), expected);
    }
}
