//! YAML to a tree with places.
//!
//! The parser tells events one by one, so the tree is built without recursion and every limit is checked before
//! memory is spent.

use super::tree::{Budget, Entries, depth, weight};
use super::{MAX_DEPTH, ReadError, scalar};
use crate::node::{Content, Key, Node, Place};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use std::collections::HashMap;

/// Reads one document; nothing at all is `Null`.
pub(super) fn parse(text: &str) -> Result<Node, ReadError> {
    let mut builder = Builder::new(text);
    for event in Parser::new_from_str(builder.body) {
        let (event, span) = event.map_err(|error| builder.scan_error(&error))?;
        let place = builder.place(span);
        builder.take(event, place)?;
    }
    Ok(builder.root.unwrap_or(Node { content: Content::Null, place: Place::default() }))
}

/// A list or map that is being read.
struct Frame {
    collection: Collection,
    start: usize,
    anchor: usize,
}

enum Collection {
    List(Vec<Node>),
    /// The key is there when its value is what comes next.
    Map(Entries, Option<Key>),
}

struct Builder<'t> {
    text: &'t str,
    body: &'t str,
    /// Byte offset of every character, where they differ.
    offsets: Option<Vec<usize>>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    budget: Budget,
    /// Where the document begins.
    document: Option<Place>,
    root: Option<Node>,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        let before = text.len() - body.len();
        let offsets = (!text.is_ascii()).then(|| body.char_indices().map(|(at, _)| at + before).collect());
        Self {
            text,
            body,
            offsets,
            stack: Vec::new(),
            anchors: HashMap::new(),
            budget: Budget::default(),
            document: None,
            root: None,
        }
    }

    /// The parser counts characters; places are bytes.
    fn byte(&self, index: usize) -> usize {
        match &self.offsets {
            None => index.min(self.text.len()),
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.text.len()),
        }
    }

    /// The place of a span, without the white space that the parser may have run over.
    fn place(&self, span: Span) -> Place {
        let start = self.byte(span.start.index());
        let end = self.byte(span.end.index()).max(start);
        let trimmed = self.text.get(start..end).map_or(end, |slice| start + slice.trim_end().len());
        Place { start, end: trimmed }
    }

    fn scan_error(&self, error: &ScanError) -> ReadError {
        let start = self.byte(error.marker().index());
        let end = start + self.text[start..].chars().next().map_or(0, char::len_utf8);
        let mistake = ReadError::at(Place { start, end }, format!("not YAML: {}", error.info()));
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].lines().next().unwrap_or("");
        if line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t') {
            return mistake.help("YAML is indented with spaces, and this line begins with a tab");
        }
        if line.contains("${") {
            return mistake.help("within braces or brackets a variable goes in quotes: \"${name}\"");
        }
        mistake
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), ReadError> {
        self.refuse_another_document(&event)?;
        match event {
            Event::DocumentStart(_) => self.document = Some(place),
            Event::Scalar(value, style, anchor, tag) => {
                self.scalar(&value, style, anchor, tag.as_deref(), place)?;
            }
            Event::Alias(id) => self.alias(id, place)?,
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), "seq", place)?;
                self.open(Collection::List(Vec::new()), anchor, place)?;
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), "map", place)?;
                self.open(Collection::Map(Entries::default(), None), anchor, place)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(place)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// Refuses a second document that says something; people separate by `---` also where nothing comes before or after.
    fn refuse_another_document(&mut self, event: &Event<'_>) -> Result<(), ReadError> {
        let says_something = match event {
            Event::Scalar(value, ScalarStyle::Plain, 0, None) => scalar::resolve(value) != Ok(Content::Null),
            Event::Scalar(..) | Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..) => true,
            _ => false,
        };
        let is_another = self.stack.is_empty() && says_something;
        if !is_another || self.root.as_ref().is_none_or(|root| root.content == Content::Null) {
            return Ok(());
        }
        Err(ReadError::at(self.document.unwrap_or_default(), "a second document begins here")
            .help("only one can be read here: name it by its number, such as `FILE#2`"))
    }

    /// Whether a key of a map is what comes next.
    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { collection: Collection::Map(_, None), .. }))
    }

    fn scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<(), ReadError> {
        let place = self.without_comment(value, style, place);
        let node = Node { content: content(value, style, tag, place)?, place };
        self.budget.spend(weight(&node), place)?;
        if self.expects_key() {
            if anchor > 0 {
                self.remember(anchor, &node)?;
            }
            return self.key(value.to_string(), place);
        }
        self.add(node, anchor)
    }

    /// The parser runs on to the next token, so that a comment after a value can be part of its span.
    fn without_comment(&self, value: &str, style: ScalarStyle, place: Place) -> Place {
        let slice = self.text.get(place.start..place.end).unwrap_or("");
        let length = match style {
            ScalarStyle::Plain if slice.starts_with(value) => Some(value.len()),
            ScalarStyle::SingleQuoted if slice.starts_with('\'') => {
                // A doubled quote is a quote within.
                let within = slice[1..].replace("''", "  ");
                within.find('\'').map(|at| at + 2)
            }
            ScalarStyle::DoubleQuoted if slice.starts_with('"') => {
                let mut escaped = false;
                let end = slice.char_indices().skip(1).find(|(_, c)| {
                    let ends = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    ends
                });
                end.map(|(at, _)| at + 1)
            }
            _ => None,
        };
        Place { start: place.start, end: length.map_or(place.end, |length| place.start + length) }
    }

    fn key(&mut self, name: String, place: Place) -> Result<(), ReadError> {
        if let Some(Frame { collection: Collection::Map(entries, key), .. }) = self.stack.last_mut() {
            let found = Key { name, place };
            entries.announce(self.text, &found)?;
            *key = Some(found);
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, place: Place) -> Result<(), ReadError> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(ReadError::at(place, "this alias stands inside the value that it names"));
        };
        if self.expects_key() {
            return match &node.content {
                Content::Text(name) => self.key(name.clone(), place),
                _ => {
                    Err(ReadError::at(place, "a key must be a text")
                        .label(format!("this is {}", node.kind())))
                }
            };
        }
        self.budget.spend(weight(node), place)?;
        if self.stack.len() + depth(node) > MAX_DEPTH {
            return Err(too_deep(place));
        }
        let node = Node { content: node.content.clone(), place };
        self.add(node, 0)
    }

    fn open(&mut self, collection: Collection, anchor: usize, place: Place) -> Result<(), ReadError> {
        if self.expects_key() {
            return Err(ReadError::at(place, "a key must be a text")
                .label("this is a list or a map")
                .help("a text that begins with `{` or `[`, such as `${name}` in braces, goes in quotes"));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(place));
        }
        self.budget.spend(1, place)?;
        self.stack.push(Frame { collection, start: place.start, anchor });
        Ok(())
    }

    fn close(&mut self, place: Place) -> Result<(), ReadError> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let last = match &frame.collection {
            Collection::List(items) => items.last().map(|node| node.place.end),
            Collection::Map(entries, _) => entries.end(),
        };
        // A flow collection ends with its bracket; a block one with what it holds, not where the parser noticed.
        let is_flow = self.text[frame.start..].starts_with(['{', '[']);
        let end = if is_flow { place.start + 1 } else { last.unwrap_or(frame.start) };
        let place = Place { start: frame.start, end: end.max(frame.start) };
        let content = match frame.collection {
            Collection::List(items) => Content::List(items),
            Collection::Map(entries, _) => Content::Map(self.merged(entries.finish())?),
        };
        self.add(Node { content, place }, frame.anchor)
    }

    /// Puts in what the merge key `<<` names; what the map says itself counts.
    fn merged(&mut self, mut entries: Vec<(Key, Node)>) -> Result<Vec<(Key, Node)>, ReadError> {
        let is_merge = |key: &Key| key.name == "<<" && self.text[key.place.start..].starts_with("<<");
        let Some(position) = entries.iter().position(|(key, _)| is_merge(key)) else { return Ok(entries) };
        let (_, source) = entries.remove(position);
        let place = source.place;
        let sources = match source.content {
            Content::List(items) => items,
            content => vec![Node { content, place }],
        };
        let mut known: std::collections::HashSet<String> =
            entries.iter().map(|(key, _)| key.name.clone()).collect();
        for source in sources {
            let Content::Map(more) = source.content else {
                return Err(ReadError::at(source.place, "`<<` takes a map or a list of maps")
                    .label("this is neither"));
            };
            entries.extend(more.into_iter().filter(|(key, _)| known.insert(key.name.clone())));
        }
        Ok(entries)
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, mut node: Node, anchor: usize) -> Result<(), ReadError> {
        if anchor > 0 {
            self.remember(anchor, &node)?;
        }
        match self.stack.last_mut().map(|frame| &mut frame.collection) {
            None if self.root.is_some() && node.content == Content::Null => {}
            None => self.root = Some(node),
            Some(Collection::List(items)) => items.push(node),
            Some(Collection::Map(entries, key)) => {
                if let Some(key) = key.take() {
                    // Nothing stands nowhere; its key is the place to look at.
                    if node.place.start == node.place.end && node.content == Content::Null {
                        node.place = key.place;
                    }
                    entries.push(key, node);
                }
            }
        }
        Ok(())
    }

    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), ReadError> {
        self.budget.spend(weight(node), node.place)?;
        self.anchors.insert(anchor, node.clone());
        Ok(())
    }
}

/// What a scalar says, by its tag or, where it has none, by how it is written.
fn content(value: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<Content, ReadError> {
    let plain = || match style {
        ScalarStyle::Plain => scalar::resolve(value).map_err(|words| ReadError::at(place, words)),
        _ => Ok(Content::Text(value.to_owned())),
    };
    let Some(tag) = tag else { return plain() };
    let fits = |content: &Content, kind: &str| match kind {
        "int" => matches!(content, Content::Integer(_)),
        "float" => matches!(content, Content::Integer(_) | Content::Float(_)),
        "bool" => matches!(content, Content::Bool(_)),
        _ => matches!(content, Content::Null),
    };
    match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
        (true, "str") => Ok(Content::Text(value.to_owned())),
        (false, "") if tag.handle == "!" => Ok(Content::Text(value.to_owned())),
        (true, kind @ ("int" | "float" | "bool" | "null")) => {
            let content = scalar::resolve(value).map_err(|words| ReadError::at(place, words))?;
            if !fits(&content, kind) {
                return Err(ReadError::at(place, format!("`{value}` is not what the tag `!!{kind}` says")));
            }
            Ok(match content {
                Content::Integer(number) if kind == "float" => Content::Float(number as f64),
                content => content,
            })
        }
        _ => Err(unknown_tag(tag, place)),
    }
}

/// Refuses every tag but the one that says what is there anyway.
fn refuse_tag(tag: Option<&Tag>, kind: &str, place: Place) -> Result<(), ReadError> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == kind) => Err(unknown_tag(tag, place)),
        _ => Ok(()),
    }
}

fn too_deep(place: Place) -> ReadError {
    ReadError::at(place, format!("values nest deeper than {MAX_DEPTH}"))
}

fn unknown_tag(tag: &Tag, place: Place) -> ReadError {
    ReadError::at(place, format!("the tag `{tag}` means nothing here")).help("leave the tag away")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn json(text: &str) -> serde_json::Value {
        parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).to_json()
    }

    fn error(text: &str) -> (String, String) {
        let error = parse(text).expect_err(text);
        (error.to_string(), text[error.place.start..error.place.end].to_owned())
    }

    #[test]
    fn documents_become_trees() {
        assert_eq!(
            json("a: [1, x, {b: null}]\n\"c\": |\n  one\n  two\nd: !!str 5\n\u{e9}: 'it''s'\n"),
            serde_json::json!({"a": [1, "x", {"b": null}], "c": "one\ntwo\n", "d": "5", "é": "it's"})
        );
        assert_eq!(
            json("base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\nlist: [*b]")["more"],
            serde_json::json!({"y": 3, "x": 1})
        );
        assert_eq!(json("\u{feff}a: 1"), serde_json::json!({"a": 1}));
        assert_eq!(json("# only words\n"), serde_json::Value::Null);
        for text in [
            "---\na: 1\n",
            "---\n---\na: 1\n",
            "a: 1\n---\n",
            "a: 1\n...\n---\n# words\n---\n~\n",
            "--- # x\na: 1\n...",
        ] {
            assert_eq!(json(text), serde_json::json!({"a": 1}), "{text:?}");
        }
    }

    #[test]
    fn places_are_bytes_also_after_other_alphabets_and_line_ends_of_windows() {
        for text in [
            "\u{feff}ä: \"ü€\" # x\r\nb:\r\n  - z\u{1f600}: 100ms\r\n",
            "ä: \"ü€\"\nb:\n  - z\u{1f600}: 100ms # x\n\n",
        ] {
            let node = parse(text).unwrap();
            let at = |place: Place| &text[place.start..place.end];
            assert_eq!(at(node.get("ä").unwrap().place), "\"ü€\"");
            let Content::List(items) = &node.get("b").unwrap().content else { panic!("no list") };
            let Content::Map(entries) = &items[0].content else { panic!("no map") };
            assert_eq!(at(entries[0].0.place), "z\u{1f600}");
            assert_eq!(at(entries[0].1.place), "100ms");
            assert_eq!(at(items[0].place), "z\u{1f600}: 100ms");
        }
        let text = "a: {b: 1, c: [2]} # x\nd: |\n  text\n\n\ne:\n";
        let node = parse(text).unwrap();
        let at = |name: &str| &text[node.get(name).unwrap().place.start..node.get(name).unwrap().place.end];
        assert_eq!(at("a"), "{b: 1, c: [2]}");
        assert!(at("d").ends_with("text"), "{:?}", at("d"));
        assert_eq!(at("e"), "e");
    }

    #[test]
    fn mistakes_point_at_their_place() {
        for (text, words, at) in [
            ("a: 1\nb: 2\na: 3\n", "`a` is given twice (first given in line 1)", "a"),
            ("a: 1\n---\nb: 2\n", "a second document", "---"),
            ("a: 1\n---\n---\nb: 2\n", "a second document", "---"),
            ("a: 1\n---\n\"\"\n", "a second document", "---"),
            ("a: !python/object x\n", "means nothing here", "!python/object x"),
            ("a: !!int x\n", "not what the tag", "!!int x"),
            ("a: .inf\n", "no number that can be used", ".inf"),
            ("a: &x [*x]\n", "inside the value that it names", "*x"),
            ("{a: 1}: 2\n", "a key must be a text", "{"),
            ("a: {<<: 5}\n", "takes a map or a list of maps", "5"),
        ] {
            let (message, place) = error(text);
            assert!(message.contains(words), "{text:?}: {message}");
            assert_eq!(place, at, "{text:?}: {message}");
        }
        assert!(error("a:\n\t- b\n").0.contains("begins with a tab"));
        assert!(error("a: b: c\n").0.contains("not YAML"));
        assert!(error("a: *nowhere\n").0.contains("not YAML"));
    }

    #[test]
    fn bombs_do_not_go_off() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            let uses = vec![format!("*a{before}"); 10].join(", ");
            writeln!(bomb, "a{level}: &a{level} [{uses}]").unwrap();
        }
        assert!(error(&bomb).0.contains("more than 100000 values"));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), vec!["*a"; 1000].join(", "));
        assert!(error(&long).0.contains("more than 100000 values"));
        assert!(error(&format!("{}{}", "[".repeat(100), "]".repeat(100))).0.contains("deeper than 64"));
        assert!(error(&"- ".repeat(100)).0.contains("deeper than 64"));
        let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
        assert!(error(&format!("a: &a {deep}\nb: [[[[[*a]]]]]\n")).0.contains("deeper than 64"));
    }
}
