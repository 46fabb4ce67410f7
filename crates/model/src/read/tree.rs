//! What the readers of all formats share: maps whose names are unique, and a budget for the whole tree.

use super::{MAX_NODES, ReadError, line_of};
use crate::node::{Content, Key, Node, Place};
use std::collections::HashMap;

/// A map as it is read.
#[derive(Debug, Default)]
pub(super) struct Entries {
    entries: Vec<(Key, Node)>,
    seen: HashMap<String, Place>,
}

impl Entries {
    /// Notes a name before its value is read; an error where the map has it already.
    pub(super) fn announce(&mut self, text: &str, key: &Key) -> Result<(), ReadError> {
        match self.seen.insert(key.name.clone(), key.place) {
            None => Ok(()),
            Some(first) => {
                let line = line_of(text, first.start);
                let message = format!("`{}` is given twice", key.name);
                Err(ReadError::at(key.place, message).label(format!("first given in line {line}")))
            }
        }
    }

    /// Adds an announced entry.
    pub(super) fn push(&mut self, key: Key, node: Node) {
        self.entries.push((key, node));
    }

    /// Where the last value ends.
    pub(super) fn end(&self) -> Option<usize> {
        self.entries.last().map(|(key, node)| node.place.end.max(key.place.end))
    }

    /// The entries in the order of the file.
    pub(super) fn finish(self) -> Vec<(Key, Node)> {
        self.entries
    }
}

/// Counts what a tree holds, so that a small file cannot become a large tree.
#[derive(Debug, Default)]
pub(super) struct Budget {
    spent: usize,
}

impl Budget {
    /// Accounts for a value that is about to be made.
    pub(super) fn spend(&mut self, weight: usize, place: Place) -> Result<(), ReadError> {
        self.spent = self.spent.saturating_add(weight);
        if self.spent <= MAX_NODES {
            return Ok(());
        }
        Err(ReadError::at(place, format!("this file holds more than {MAX_NODES} values"))
            .label("here the limit is passed")
            .help("every use of an alias or a variable counts as a copy"))
    }
}

/// What a node weighs against the budget, with all that it holds: one for each value, more for long texts.
pub(super) fn weight(node: &Node) -> usize {
    match &node.content {
        Content::Text(text) => text_weight(text),
        Content::List(items) => items.iter().map(weight).sum::<usize>() + 1,
        Content::Map(entries) => {
            entries.iter().map(|(key, node)| text_weight(&key.name) + weight(node)).sum::<usize>() + 1
        }
        _ => 1,
    }
}

/// What a text weighs by itself.
pub(super) fn text_weight(text: &str) -> usize {
    1 + text.len() / 64
}

/// How many lists and maps stand in each other, the node itself with them.
pub(super) fn depth(node: &Node) -> usize {
    match &node.content {
        Content::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Content::Map(entries) => 1 + entries.iter().map(|(_, node)| depth(node)).max().unwrap_or(0),
        _ => 0,
    }
}
