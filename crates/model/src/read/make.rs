//! Making the tree of an experiment: every node keeps the place of what it was made of.

use crate::node::{Content, Key, Node, Place};

/// Entries of a map.
pub(super) type Entries = Vec<(Key, Node)>;

/// A text.
pub(super) fn text(value: impl Into<String>, place: Place) -> Node {
    Node { content: Content::Text(value.into()), place }
}

/// A whole number.
pub(super) fn whole(value: i64, place: Place) -> Node {
    Node { content: Content::Integer(value), place }
}

/// A list.
pub(super) fn list(items: Vec<Node>, place: Place) -> Node {
    Node { content: Content::List(items), place }
}

/// A map.
pub(super) fn map(entries: Entries, place: Place) -> Node {
    Node { content: Content::Map(entries), place }
}

/// An entry of a map, at the place of its value.
pub(super) fn entry(name: &str, node: Node) -> (Key, Node) {
    (Key { name: name.to_owned(), place: node.place }, node)
}

/// A number as text without a needless fraction: what was written as `25.0` is 25.
pub(super) fn number(value: f64, place: Place) -> Node {
    let is_whole = value.fract() == 0.0 && value.abs() < 1e15;
    let content = if is_whole { Content::Integer(value as i64) } else { Content::Float(value) };
    Node { content, place }
}

/// A share, written in percent.
pub(super) fn percent(value: f64, place: Place) -> Node {
    text(format!("{value}%"), place)
}

/// Puts a dollar before each `${`: in a manifest these characters are text, in an experiment a variable.
pub(super) fn escape(node: &mut Node) {
    match &mut node.content {
        Content::Text(text) if text.contains("${") => *text = text.replace("${", "$${"),
        Content::List(items) => items.iter_mut().for_each(escape),
        Content::Map(entries) => entries.iter_mut().for_each(|(_, node)| escape(node)),
        _ => {}
    }
}
