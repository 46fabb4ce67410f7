//! Markdown as sections of items and paragraphs, each with its place.

use super::BLOCK;
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use squall_model::node::Place;
use std::ops::Range;

/// A text and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) words: String,
    pub(super) place: Place,
    /// Files that it links to or names as code.
    pub(super) files: Vec<(String, Place)>,
    /// Whether it is an entry of a list or table, and not a paragraph.
    pub(super) is_item: bool,
}

/// A heading and what stands below it.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) heading: Text,
    pub(super) level: HeadingLevel,
    pub(super) texts: Vec<Text>,
}

/// A document.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// What stands before the first heading.
    pub(super) preface: Vec<Text>,
    pub(super) sections: Vec<Section>,
    /// The contents of the blocks in the language `squall`.
    pub(super) blocks: Vec<Range<usize>>,
}

/// Reads a document. Everything is some Markdown: there are no mistakes.
pub(super) fn read(text: &str) -> Document {
    let mut reader = Reader::default();
    let options = Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_STRIKETHROUGH;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        reader.take(event, range, text);
    }
    reader.finish();
    reader.document
}

#[derive(Default)]
struct Reader {
    document: Document,
    current: Option<Text>,
    /// The level of the heading that is being read.
    heading: Option<HeadingLevel>,
    /// How many lists or rows the current text lies in.
    depth: usize,
    in_block: bool,
    skipping: bool,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, range: Range<usize>, source: &str) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                self.finish();
                self.heading = Some(level);
                self.begin(range, false);
            }
            Event::Start(Tag::Paragraph) if self.current.is_none() => self.begin(range, self.depth > 0),
            Event::Start(Tag::Item | Tag::TableRow | Tag::TableHead) => {
                self.finish();
                self.depth += 1;
                // The head of a table names its columns and is no entry.
                self.skipping =
                    matches!(source.as_bytes().get(range.start), Some(b'|')) && is_head(source, &range);
                self.begin(range, true);
            }
            Event::Start(Tag::CodeBlock(kind)) => self.block(&kind),
            Event::Start(Tag::Link { dest_url, .. }) => {
                let place = found(source, &range, &dest_url);
                self.file(dest_url.into_string(), place);
            }
            Event::Start(Tag::TableCell) => {
                if let Some(current) = &mut self.current
                    && !current.words.trim().is_empty()
                {
                    current.words.push_str(" - ");
                }
            }
            Event::End(TagEnd::Heading(_) | TagEnd::Paragraph) => self.finish(),
            Event::End(TagEnd::Item | TagEnd::TableRow | TagEnd::TableHead) => {
                self.finish();
                self.depth = self.depth.saturating_sub(1);
                self.skipping = false;
            }
            Event::End(TagEnd::CodeBlock) => self.in_block = false,
            Event::Text(words) if self.in_block => {
                if let Some(block) = self.document.blocks.last_mut() {
                    *block = if block.start == block.end { range } else { block.start..range.end };
                }
                drop(words);
            }
            Event::Text(words) => self.say(&words, &range),
            Event::Code(words) => {
                let place = found(source, &range, &words);
                self.file(words.to_string(), place);
                self.say(&words, &range);
            }
            Event::SoftBreak | Event::HardBreak => self.say(" ", &range),
            _ => {}
        }
    }

    fn begin(&mut self, range: Range<usize>, is_item: bool) {
        let place = Place { start: range.start, end: range.start };
        self.current = Some(Text { words: String::new(), place, files: Vec::new(), is_item });
    }

    fn block(&mut self, kind: &CodeBlockKind<'_>) {
        self.finish();
        if let CodeBlockKind::Fenced(language) = kind
            && language.split([' ', ',', '{']).next() == Some(BLOCK)
        {
            self.in_block = true;
            self.document.blocks.push(0..0);
        }
    }

    fn say(&mut self, words: &str, range: &Range<usize>) {
        // A tight list's item holds its text without a paragraph around it.
        let Some(current) = &mut self.current else { return };
        if current.words.is_empty() && !words.trim().is_empty() {
            current.place.start = range.start;
        }
        current.words.push_str(words);
        current.place.end = current.place.end.max(range.end);
    }

    fn file(&mut self, name: String, place: Place) {
        if let Some(current) = &mut self.current {
            current.files.push((name, place));
        }
    }

    fn finish(&mut self) {
        let Some(mut text) = self.current.take() else { return };
        text.words = String::from(text.words.trim());
        if let Some(level) = self.heading.take() {
            self.document.sections.push(Section { heading: text, level, texts: Vec::new() });
        } else if !text.words.is_empty() && !self.skipping {
            match self.document.sections.last_mut() {
                Some(section) => section.texts.push(text),
                None => self.document.preface.push(text),
            }
        }
    }
}

/// Whether a row of a table is followed by the rule that makes it the head.
fn is_head(source: &str, range: &Range<usize>) -> bool {
    let after = source.get(range.end..).unwrap_or("").trim_start_matches(['\r', '\n']);
    let rule = after.lines().next().unwrap_or("");
    rule.contains('-') && rule.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
}

/// Where characters stand within a part of the source.
fn found(source: &str, range: &Range<usize>, wanted: &str) -> Place {
    let within = source.get(range.clone()).unwrap_or("");
    match within.rfind(wanted) {
        Some(at) => Place { start: range.start + at, end: range.start + at + wanted.len() },
        None => Place { start: range.start, end: range.end },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(document: &Document) -> Vec<Vec<&str>> {
        let of = |section: &Section| section.texts.iter().map(|text| text.words.clone()).collect::<Vec<_>>();
        let owned: Vec<Vec<String>> = document.sections.iter().map(of).collect();
        owned.into_iter().map(|texts| texts.into_iter().map(|text| &*text.leak()).collect()).collect()
    }

    #[test]
    fn lists_tables_and_paragraphs_become_texts() {
        let source = "intro\n\n# Title\n\none\ntwo\n\n## List\n- a **b**\n- [ ] c\n\n- loose\n\n## Table\n\n| Role | Name |\n|------|------|\n| Lead | Jane |\n| Scribe | Bo |\n\n1. `x.yaml`\n2. [the x](y.yaml)\n";
        let document = read(source);
        assert_eq!(document.preface[0].words, "intro");
        assert_eq!(
            texts(&document),
            [
                vec!["one two"],
                vec!["a b", "c", "loose"],
                vec!["Lead - Jane", "Scribe - Bo", "x.yaml", "the x"]
            ]
        );
        let items = &document.sections[2].texts;
        assert_eq!(items[2].files[0].0, "x.yaml");
        let (file, place) = &items[3].files[0];
        assert_eq!((file.as_str(), &source[place.start..place.end]), ("y.yaml", "y.yaml"));
        let item = &document.sections[1].texts[0];
        assert!(source[item.place.start..].starts_with("a **b**"));
    }

    #[test]
    fn blocks_are_found_where_they_stand() {
        let source = "# T\n\n```squall\nload: 1\nmore: 2\n```\n\n```yaml\nno: 1\n```\n";
        let document = read(source);
        assert_eq!(document.blocks.len(), 1);
        assert_eq!(&source[document.blocks[0].clone()], "load: 1\nmore: 2\n");
        assert!(document.sections[0].texts.is_empty(), "{:?}", document.sections);
    }

    #[test]
    fn nested_lists_keep_every_item() {
        let document = read("# T\n- a\n  - b\n  - c\n- d\n");
        assert_eq!(texts(&document), [["a", "b", "c", "d"]]);
    }
}
