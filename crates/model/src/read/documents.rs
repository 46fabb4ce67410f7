//! Files of several YAML documents: each is read by itself, with the lines that it has in the file.

use super::{Format, MAX_LENGTH, Source};
use std::ops::Range;

/// So many documents are told apart; a file of more is read as a whole, which says what is wrong.
const MOST: usize = 1000;
/// What separates the name of a file from the number of a document in it.
const SEPARATOR: char = '#';

/// What a document is called: `experiments.yaml#2`.
pub fn document_name(file: &str, number: usize) -> String {
    format!("{file}{SEPARATOR}{number}")
}

/// The file of a name, and the number of the document in it where the name has one, counted from 1.
pub fn file_and_document(name: &str) -> (&str, Option<usize>) {
    let parts = name.rsplit_once(SEPARATOR).filter(|(file, _)| !file.is_empty());
    let found =
        parts.and_then(|(file, number)| Some((file, number.parse().ok().filter(|number| *number > 0)?)));
    found.map_or((name, None), |(file, number)| (file, Some(number)))
}

/// How many documents of a file say something; 1 for one that holds no YAML, and for one that is empty.
pub fn count_documents(source: &Source) -> usize {
    documents(source).len().max(1)
}

/// One document of a file, counted from 1 among those that say something. It stands in the lines where it stands in the file.
pub fn document(source: &Source, number: usize) -> Option<Source> {
    let found = documents(source);
    let name = document_name(&source.name, number);
    if found.len() <= 1 {
        return (number == 1).then(|| Source { name, text: source.text.clone() });
    }
    let place = found.get(number.checked_sub(1)?)?.clone();
    let lines_before = source.text[..place.start].bytes().filter(|byte| *byte == b'\n').count();
    Some(Source { name, text: "\n".repeat(lines_before) + &source.text[place] })
}

/// Where the documents are that say something. A line that begins with `---` begins one wherever it stands (YAML 1.2, 9.1.2), one
/// that begins with `...` ends one.
fn documents(source: &Source) -> Vec<Range<usize>> {
    let text = &source.text;
    if text.len() > MAX_LENGTH || Format::of(source) != Format::Yaml {
        return Vec::new();
    }
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if at > start && is_marker(line, "---") {
            found.push(start..at);
            start = at;
        }
        at += line.len();
        if is_marker(line, "...") {
            found.push(start..at);
            start = at;
        }
    }
    found.push(start..at);
    found.retain(|place| says_something(&text[place.clone()]));
    if found.len() > MOST { Vec::new() } else { found }
}

fn is_marker(line: &str, marker: &str) -> bool {
    let rest = line.trim_start_matches('\u{feff}').strip_prefix(marker);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether there is more than markers, comments, directives and nothing.
fn says_something(document: &str) -> bool {
    let content = document.lines().map(|line| {
        let line = line.trim_start_matches('\u{feff}');
        let line = if is_marker(line, "---") { &line["---".len()..] } else { line };
        line.trim()
    });
    let is_content =
        |line: &&str| !line.is_empty() && !line.starts_with(['#', '%']) && !is_marker(line, "...");
    content.filter(is_content).any(|line| !matches!(line, "~" | "null"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::{line_of, parse};

    fn file(text: &str) -> Source {
        Source { name: "a.yaml".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn each_document_stands_in_its_lines() {
        let text = "# several\n---\na: 1\n---\n# nothing\n--- # second\nb: |\n  x\n   ---\n...\n%YAML 1.2\n---\n~\n--- {c: 3}\n";
        let source = file(text);
        assert_eq!(count_documents(&source), 3);
        for (number, key, line) in [(1, "a", 3), (2, "b", 8), (3, "c", 14)] {
            let one = document(&source, number).unwrap();
            assert_eq!(one.name, format!("a.yaml#{number}"));
            let root = parse(&one).unwrap();
            let place = root.get(key).unwrap_or_else(|| panic!("{one:?}")).place;
            assert_eq!(line_of(&one.text, place.start), line, "{one:?}");
        }
        assert_eq!(document(&source, 4), None);
        assert_eq!(document(&source, 0), None);
    }

    #[test]
    fn a_file_of_one_document_is_itself() {
        for text in [
            "a: 1\n",
            "---\na: 1\n---\n",
            "\u{feff}---\n---\na: 1\n",
            "# words\n",
            "",
            "a: 1\n...\n---\n# x\n---\n~\n",
        ] {
            let source = file(text);
            assert_eq!(count_documents(&source), 1, "{text:?}");
            assert_eq!(document(&source, 1).unwrap().text, text);
            assert_eq!(document(&source, 2), None);
        }
        let toml = Source { name: "a.toml".to_owned(), text: "a = '''\n---\nb\n---\n'''\n".to_owned() };
        assert_eq!(count_documents(&toml), 1);
        assert_eq!(count_documents(&file(&"---\na\n".repeat(2000))), 1);
    }

    #[test]
    fn a_name_says_the_file_and_the_document() {
        assert_eq!(file_and_document("x/a.yaml#12"), ("x/a.yaml", Some(12)));
        for name in ["a.yaml", "a#b.yaml", "a.yaml#0", "a.yaml#", "#1", "a.yaml#-1"] {
            assert_eq!(file_and_document(name), (name, None), "{name}");
        }
    }
}
