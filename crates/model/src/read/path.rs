//! Where a mistake is, as the path of the value in place of a line: for what was never written as the text that was read.

use super::{ReadError, Source, parse, render};
use crate::node::{Content, Node};

/// The mistakes in the order given, a line each, with the paths of what they are about. `whose` makes of a path within the text
/// what its author knows the value by.
pub fn render_by_path(source: &Source, errors: &[ReadError], whose: impl Fn(&str) -> String) -> String {
    let tree = parse(source).ok();
    let one = |error: &ReadError| {
        let path = tree.as_ref().map(|tree| path(tree, error.place.start)).unwrap_or_default();
        let path = whose(&path);
        // A line each.
        let words = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        if path.is_empty() { words } else { format!("{path}: {words}") }
    };
    render::each(errors, one).join("\n")
}

/// The path of the innermost value or key at a byte, such as `method[0].target.pod`; empty for the whole.
fn path(tree: &Node, at: usize) -> String {
    let mut path = String::new();
    let mut node = tree;
    while let Some((step, inner)) = step(node, at) {
        if !path.is_empty() && !step.starts_with('[') {
            path.push('.');
        }
        path.push_str(&step);
        match inner {
            Some(inner) => node = inner,
            None => break,
        }
    }
    path
}

/// The part of a value that a byte stands in, and what is in that; a key has nothing in it.
fn step(node: &Node, at: usize) -> Option<(String, Option<&Node>)> {
    let holds = |node: &Node| node.place.start <= at && at < node.place.end;
    match &node.content {
        Content::List(items) => {
            let number = items.iter().position(holds)?;
            Some((format!("[{number}]"), items.get(number)))
        }
        Content::Map(entries) => entries.iter().find_map(|(key, value)| {
            let is_key = key.place.start <= at && at < key.place.end;
            let inner = if is_key { None } else { Some(value).filter(|value| holds(value)) };
            (is_key || inner.is_some()).then(|| (named(&key.name), inner))
        }),
        _ => None,
    }
}

/// A name as it stands in a path; one with signs in it is told apart from them.
fn named(name: &str) -> String {
    let is_plain =
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
    if is_plain { name.to_owned() } else { format!("[{name:?}]") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Place;

    const TEXT: &str = r#"{"method": [{}, {"target": {"pod": {"label": {"a.b/c": "x"}}}}], "wait": 1}"#;

    fn path_at(words: &str) -> String {
        let source = Source { name: "x.json".to_owned(), text: TEXT.to_owned() };
        path(&parse(&source).unwrap(), TEXT.find(words).unwrap())
    }

    #[test]
    fn the_innermost_value_or_key_is_named() {
        for (words, expected) in [
            ("{\"method", ""),
            ("\"method", "method"),
            ("[{}", "method"),
            ("{}", "method[0]"),
            ("{\"target", "method[1]"),
            ("\"label", "method[1].target.pod.label"),
            ("{\"a.b", "method[1].target.pod.label"),
            ("\"a.b", "method[1].target.pod.label[\"a.b/c\"]"),
            ("\"x\"", "method[1].target.pod.label[\"a.b/c\"]"),
            ("1}", "wait"),
        ] {
            assert_eq!(path_at(words), expected, "{words}");
        }
    }

    #[test]
    fn each_mistake_is_a_line() {
        let source = Source { name: "x.json".to_owned(), text: TEXT.to_owned() };
        let place = |words: &str| {
            let start = TEXT.find(words).unwrap();
            Place { start, end: start + 1 }
        };
        let errors = [
            ReadError::at(place("\"label"), "unknown key `label`").help("did you\nmean `labels`?"),
            ReadError::at(Place::default(), "too much"),
        ];
        let whose = |path: &str| format!("spec{}{path}", if path.is_empty() { "" } else { "." });
        assert_eq!(
            render_by_path(&source, &errors, whose),
            "spec.method[1].target.pod.label: unknown key `label`; did you mean `labels`?\nspec: too much"
        );
        let many = vec![errors[0].clone(); 30];
        assert!(render_by_path(&source, &many, str::to_owned).ends_with("and 10 more mistakes"));
    }
}
