//! Asking a manifest for its values: what each must be, and the mistake where it is not.

use super::super::dialect::Wanted;
use super::super::fields::{Fields, Reader};
use super::super::{ReadError, nearest};
use super::go;
use super::make::{self, Entries};
use crate::node::{Content, Node, Place};

/// A manifest that is being read.
pub(super) struct Translator<'r> {
    /// The mistakes so far.
    pub(super) reader: Reader<'r>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
    /// Whether the faults have no end.
    pub(super) endless: bool,
    /// The namespace that the manifest is in.
    pub(super) namespace: Option<Node>,
    /// That targets are followed, and where that is said.
    pub(super) follow: Option<Place>,
    /// The faults that are named, and what asked for them.
    pub(super) wanted: Vec<Wanted>,
}

/// A length of time of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// In nanoseconds, more than none.
    pub(super) nanoseconds: i128,
    /// Where it stands.
    pub(super) place: Place,
}

impl Span {
    /// As an experiment says it.
    pub(super) fn node(self) -> Node {
        make::text(go::duration(self.nanoseconds), self.place)
    }
}

impl Translator<'_> {
    /// Notes a mistake.
    pub(super) fn error(&mut self, error: ReadError) {
        self.reader.error(error);
    }

    /// Tells the user something, once.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The entry of this name; a mistake where it is missing. An empty text is none, as in Go.
    pub(super) fn required<'n>(
        &mut self,
        fields: &mut Fields<'n>,
        name: &str,
        why: &str,
    ) -> Option<&'n Node> {
        let found = fields.get(name).filter(|node| node.content != Content::Text(String::new()));
        if found.is_none() {
            self.error(ReadError::at(fields.key_place(name), format!("`{name}` is missing: {why}")));
        }
        found
    }

    /// A text.
    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        self.reader.value(node)
    }

    /// The text of this entry, where it is given and not empty.
    pub(super) fn optional_text(&mut self, fields: &mut Fields<'_>, name: &str) -> Option<Node> {
        let node = fields.get(name).filter(|node| !is_blank(node))?;
        self.text(node).map(|_| node.clone())
    }

    /// One of some words.
    pub(super) fn word(&mut self, node: &Node, what: &str, known: &[&'static str]) -> Option<&'static str> {
        let word = self.text(node)?;
        let found = known.iter().find(|known| **known == word);
        if found.is_none() {
            let error = ReadError::at(node.place, format!("unknown {what} `{word}`"));
            self.error(error.label("not known here").help(nearest::advice(&word, known)));
        }
        found.copied()
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, node: &Node) -> Option<bool> {
        if let Content::Bool(value) = node.content {
            return Some(value);
        }
        let message = format!("expected true or false, found {}", node.kind());
        self.error(ReadError::at(node.place, message));
        None
    }

    /// A whole number within limits.
    pub(super) fn whole(&mut self, node: &Node, least: i64, most: i64) -> Option<i64> {
        let number = match node.content {
            Content::Integer(number) => Some(number),
            _ => None,
        };
        let found = number.filter(|number| (least..=most).contains(number));
        if found.is_none() {
            let message = if most == i64::MAX {
                format!("expected a whole number of at least {least}")
            } else {
                format!("expected a whole number between {least} and {most}")
            };
            let error = ReadError::at(node.place, message);
            let is_text = matches!(node.content, Content::Text(_));
            self.error(if is_text { error.help("write it without quotes") } else { error });
        }
        found
    }

    /// The whole number of this entry, where it is given.
    pub(super) fn optional_whole(
        &mut self,
        fields: &mut Fields<'_>,
        name: &str,
        (least, most): (i64, i64),
    ) -> Option<(i64, Place)> {
        let node = fields.get(name)?;
        self.whole(node, least, most).map(|number| (number, node.place))
    }

    /// A number of percent, written as text (`"25"`) or as a number.
    pub(super) fn percent(&mut self, node: &Node) -> Option<f64> {
        let number = match &node.content {
            Content::Integer(number) => Some(*number as f64),
            Content::Float(number) => Some(*number),
            Content::Text(text) => text.parse().ok(),
            _ => None,
        };
        let found = number.filter(|number: &f64| (0.0..=100.0).contains(number));
        if found.is_none() {
            let error = ReadError::at(node.place, "expected a number of percent between 0 and 100");
            self.error(error.help("such as \"25\", without a sign"));
        }
        found
    }

    /// The correlation beside a share; nothing where it is 0.
    pub(super) fn correlation(
        &mut self,
        fields: &mut Fields<'_>,
        name: &str,
    ) -> Option<(crate::node::Key, Node)> {
        let node = fields.get("correlation").filter(|node| !is_blank(node))?;
        let percent = self.percent(node)?;
        (percent > 0.0).then(|| make::entry(name, make::percent(percent, node.place)))
    }

    /// A duration of Go in nanoseconds, also a negative one.
    pub(super) fn nanoseconds(&mut self, node: &Node) -> Option<i128> {
        let text = match &node.content {
            Content::Text(text) => text.clone(),
            Content::Integer(0) => "0".to_owned(),
            _ => {
                let message = format!("expected a duration, found {}", node.kind());
                self.error(
                    ReadError::at(node.place, message).help("such as \"300ms\", \"90s\" or \"1h30m\""),
                );
                return None;
            }
        };
        match go::nanoseconds(&text) {
            Ok(nanoseconds) => Some(nanoseconds),
            Err(message) => {
                self.error(
                    ReadError::at(node.place, message).help("such as \"300ms\", \"90s\" or \"1h30m\""),
                );
                None
            }
        }
    }

    /// A length of time that is more than none.
    pub(super) fn span(&mut self, node: &Node) -> Option<Span> {
        let nanoseconds = self.nanoseconds(node)?;
        if nanoseconds <= 0 {
            self.error(ReadError::at(node.place, "this must be longer than nothing"));
            return None;
        }
        Some(Span { nanoseconds, place: node.place })
    }

    /// The length of time of this entry, where it is given and not an empty text.
    pub(super) fn optional_span(&mut self, fields: &mut Fields<'_>, name: &str) -> Option<Span> {
        let node = fields.get(name).filter(|node| !is_blank(node))?;
        self.span(node)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<Node> {
        let items = self.reader.list(node, what);
        items.iter().filter(|item| self.text(item).is_some()).cloned().collect()
    }

    /// The texts of this entry; none where it is not given.
    pub(super) fn optional_texts(&mut self, fields: &mut Fields<'_>, name: &str) -> Vec<Node> {
        fields.get(name).map_or_else(Vec::new, |node| self.texts(node, &format!("`{name}`")))
    }

    /// A map from names to texts.
    pub(super) fn text_map(&mut self, node: &Node, what: &str) -> Entries {
        let Content::Map(entries) = &node.content else {
            let message = format!("{what} is a map, and this is {}", node.kind());
            self.error(ReadError::at(node.place, message).label("expected a map: `name: value`"));
            return Vec::new();
        };
        entries.iter().filter(|(_, value)| self.text(value).is_some()).cloned().collect()
    }

    /// The map of this entry, unless it is empty.
    pub(super) fn optional_text_map(&mut self, fields: &mut Fields<'_>, name: &str) -> Option<Node> {
        let node = fields.get(name)?;
        let entries = self.text_map(node, &format!("`{name}`"));
        (!entries.is_empty()).then(|| make::map(entries, node.place))
    }

    /// Refuses an entry, with the reason, where it says something.
    pub(super) fn refuse(&mut self, fields: &mut Fields<'_>, name: &str, why: &str, remedy: &str) {
        let Some(node) = fields.get(name).filter(|node| !is_blank(node)) else { return };
        self.error(
            ReadError::at(node.place, format!("`{name}`: {why}")).label("cannot be honoured").help(remedy),
        );
    }

    /// Tells of entries that mean nothing where they stand.
    pub(super) fn pass_over(&mut self, fields: &mut Fields<'_>, names: &[&str], beside: &str) {
        for name in names {
            if fields.get(name).is_some() {
                self.note(format!(
                    "`{name}` means nothing with {beside}; Chaos Mesh passes over it, and so does Squall"
                ));
            }
        }
    }
}

/// An empty text, list or map says nothing; neither does a list of such.
pub(super) fn is_blank(node: &Node) -> bool {
    match &node.content {
        Content::Null => true,
        Content::Text(text) => text.is_empty(),
        Content::List(items) => items.iter().all(is_blank),
        Content::Map(entries) => entries.is_empty(),
        Content::Bool(_) | Content::Integer(_) | Content::Float(_) => false,
    }
}
