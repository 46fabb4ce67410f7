//! Walking through the maps of a file: what was asked for is known, everything else is a mistake.

use super::{ReadError, decode, nearest};
use crate::catalog::Catalog;
use crate::node::{Content, Key, Node, Place};
use crate::units::Duration;
use serde::de::DeserializeOwned;

/// How many mistakes are noted; nobody reads more.
const MAX_ERRORS: usize = 100;

/// What reading an experiment needs everywhere: the file's text, what can be named, and the mistakes so far.
pub(super) struct Reader<'r> {
    pub(super) text: &'r str,
    pub(super) catalog: &'r dyn Catalog,
    /// Texts that must not be shown.
    pub(super) secrets: &'r [String],
    pub(super) errors: Vec<ReadError>,
}

impl Reader<'_> {
    /// Notes a mistake.
    pub(super) fn error(&mut self, error: ReadError) {
        if !self.is_full() {
            self.errors.push(error);
        }
    }

    /// Whether enough mistakes were noted.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= MAX_ERRORS
    }

    /// The entries of a map of named things; a noted mistake where there are more than can be meant.
    pub(super) fn at_most<'n>(
        &mut self,
        entries: &'n [(Key, Node)],
        limit: usize,
        what: &str,
    ) -> &'n [(Key, Node)] {
        match entries.get(limit) {
            None => entries,
            Some((key, _)) => {
                let message = format!("at most {limit} {what} can be given, and these are {}", entries.len());
                self.error(ReadError::at(key.place, message).label("one too many"));
                &entries[..limit]
            }
        }
    }

    /// A value of a type; nothing, and a noted mistake, where it is none.
    pub(super) fn value<T: DeserializeOwned>(&mut self, node: &Node) -> Option<T> {
        decode(node).map_err(|error| self.error(error)).ok()
    }

    /// A duration. A bare 0 has no unit to be unclear about.
    pub(super) fn duration(&mut self, node: &Node) -> Option<Duration> {
        if node.content == Content::Integer(0) {
            return Some(Duration::default());
        }
        self.value(node)
    }

    /// A text that says something, without control characters: names go into reports and file names.
    pub(super) fn name(&mut self, node: &Node, what: &str) -> Option<String> {
        let name: String = self.value(node)?;
        if name.trim().is_empty() {
            self.error(ReadError::at(node.place, format!("{what} is empty")));
            return None;
        }
        if name.chars().any(char::is_control) || name.len() > 200 {
            let message = format!("{what} must be one line of at most 200 bytes");
            self.error(ReadError::at(node.place, message));
            return None;
        }
        Some(name.trim().to_owned())
    }

    /// The entries of a list; a noted mistake where it is none.
    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        if let Content::List(items) = &node.content {
            return items;
        }
        let message = format!("{what} is a list, and this is {}", node.kind());
        self.error(
            ReadError::at(node.place, message)
                .label("expected a list")
                .help("each entry begins with `- ` in a line of its own"),
        );
        &[]
    }

    /// The fields of a map; a noted mistake where it is none.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, what: &str) -> Option<Fields<'n>> {
        if let Content::Map(entries) = &node.content {
            return Some(Fields { place: node.place, entries, known: Vec::new() });
        }
        let message = format!("{what} is a map, and this is {}", node.kind());
        self.error(ReadError::at(node.place, message).label("expected a map: `name: value`"));
        None
    }
}

/// The entries of a map, asked for one by one.
pub(super) struct Fields<'n> {
    /// Where the map stands.
    pub(super) place: Place,
    entries: &'n [(Key, Node)],
    known: Vec<String>,
}

impl<'n> Fields<'n> {
    /// The entry of this name; an entry without a value is none.
    pub(super) fn get(&mut self, name: &str) -> Option<&'n Node> {
        self.get_or_null(name).filter(|node| node.content != Content::Null)
    }

    /// The entry of this name, also where it has no value.
    pub(super) fn get_or_null(&mut self, name: &str) -> Option<&'n Node> {
        // Some are asked for twice, and each is told once.
        if !self.known.iter().any(|known| known == name) {
            self.known.push(name.to_owned());
        }
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// Where the name of an entry stands.
    pub(super) fn key_place(&self, name: &str) -> Place {
        self.entries.iter().find(|(key, _)| key.name == name).map_or(self.place, |(key, _)| key.place)
    }

    /// The one entry, among those not asked for so far, that says the kind by its name. A mistake is noted for each
    /// that says none of `names`, and where several do; none at all is up to the caller.
    pub(super) fn kind(
        &self,
        names: &[&str],
        what: &str,
        reader: &mut Reader<'_>,
    ) -> Option<(&'n Key, &'n Node)> {
        let rest = self.entries.iter().filter(|(key, _)| !self.known.contains(&key.name));
        let (found, unknown): (Vec<_>, Vec<_>) =
            rest.partition(|(key, _)| names.contains(&key.name.as_str()));
        let known: Vec<&str> = names.iter().copied().chain(self.known.iter().map(String::as_str)).collect();
        for (key, _) in unknown {
            if reader.is_full() {
                return None;
            }
            reader.error(
                ReadError::at(key.place, format!("unknown {what} or key `{}`", key.name))
                    .label("not known here")
                    .help(nearest::advice(&key.name, &known)),
            );
        }
        match found.as_slice() {
            [] => None,
            [(key, node)] => Some((key, node)),
            [_, (second, _), ..] => {
                let message = format!("only one {what} can stand here, and `{}` is another", second.name);
                reader.error(ReadError::at(second.place, message).label("a second one"));
                None
            }
        }
    }

    /// Notes every entry that was not asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        for (key, _) in self.entries.iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            if reader.is_full() {
                return;
            }
            reader.error(
                ReadError::at(key.place, format!("unknown key `{}`", key.name))
                    .label("not known here")
                    .help(nearest::advice(&key.name, &known)),
            );
        }
    }
}
