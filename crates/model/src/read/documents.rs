//! Files of several YAML documents, and lists of objects as `kubectl get -o yaml` prints them: each document and each object is read
//! by itself, with the lines that it has in the file.

use super::{Format, MAX_LENGTH, Source, parse};
use crate::node::{Content, Place};
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

/// How many documents of a file say something, each object of a list for one; 1 for one that is empty.
pub fn count_documents(source: &Source) -> usize {
    parts(source).len().max(1)
}

/// One document of a file, counted from 1 among those that say something. It stands in the lines where it stands in the file.
pub fn document(source: &Source, number: usize) -> Option<Source> {
    let found = parts(source);
    let name = document_name(&source.name, number);
    let text = match (found.as_slice(), number) {
        ([] | [Part { is_of_list: false, .. }], 1) => source.text.clone(),
        (found, number) => alone(&source.text, &found.get(number.checked_sub(1)?)?.place),
    };
    Some(Source { name, text })
}

/// The same, without the list around an object that is alone in it.
pub fn without_list(source: Source) -> Source {
    match parts(&source).as_slice() {
        [Part { place, is_of_list: true }] => Source { text: alone(&source.text, place), ..source },
        _ => source,
    }
}

/// A part of a text in its lines and columns, with nothing before it and after it.
fn alone(text: &str, place: &Range<usize>) -> String {
    let before = &text[..place.start];
    let line = before.rfind('\n').map_or(before, |end| &before[end + 1..]);
    let lines_before = before.bytes().filter(|byte| *byte == b'\n').count();
    "\n".repeat(lines_before) + &" ".repeat(line.chars().count()) + &text[place.clone()]
}

/// A document, or an object of a list that is one.
struct Part {
    place: Range<usize>,
    is_of_list: bool,
}

fn parts(source: &Source) -> Vec<Part> {
    let found = documents(source).into_iter();
    let parts = |place: Range<usize>| match objects(source, &place) {
        Some(objects) => objects.into_iter().map(|place| Part { place, is_of_list: true }).collect(),
        None => vec![Part { place, is_of_list: false }],
    };
    let parts: Vec<Part> = found.flat_map(parts).collect();
    if parts.len() > MOST { Vec::new() } else { parts }
}

/// Where the objects are of a document that is a list of Kubernetes; `None` for any other, and for one without objects.
fn objects(source: &Source, document: &Range<usize>) -> Option<Vec<Range<usize>>> {
    let text = &source.text[document.clone()];
    // It is read as a whole only where it may be one.
    if !text.contains("List") {
        return None;
    }
    let root = parse(&Source { name: source.name.clone(), text: text.to_owned() }).ok()?;
    let is_list = |kind: &str| kind.ends_with("List");
    matches!(&root.get("kind")?.content, Content::Text(kind) if is_list(kind)).then_some(())?;
    let Content::List(items) = &root.get("items")?.content else { return None };
    let place = |place: Place| document.start + place.start..document.start + place.end;
    (!items.is_empty()).then(|| items.iter().map(|item| place(item.place)).collect())
}

/// Where the documents are that say something. A line that begins with `---` begins one wherever it stands (YAML 1.2, 9.1.2), one
/// that begins with `...` ends one.
fn documents(source: &Source) -> Vec<Range<usize>> {
    let text = &source.text;
    match Format::of(source) {
        _ if text.len() > MAX_LENGTH => return Vec::new(),
        Format::Yaml => {}
        _ => return std::iter::once(0..text.len()).collect(),
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
    fn each_object_of_a_list_is_a_document_in_its_lines() {
        let text = "apiVersion: v1\nitems:\n- a: 1\n  b: |\n    x\n    y\n-\n  c: [2,\n   3]\n- {d: 4} # four\nkind: List\nmetadata: {}\n---\ne: 5\n";
        let source = file(text);
        assert_eq!(count_documents(&source), 4);
        for (number, key, line) in [(1, "a", 3), (2, "c", 8), (3, "d", 10), (4, "e", 14)] {
            let one = document(&source, number).unwrap();
            let root = parse(&one).unwrap();
            let place = root.get(key).unwrap_or_else(|| panic!("{one:?}")).place;
            assert_eq!(line_of(&one.text, place.start), line, "{one:?}");
        }
        assert!(document(&source, 1).unwrap().text.ends_with('y'), "{:?}", document(&source, 1));
        let json = Source {
            name: "a.json".to_owned(),
            text: "{\"kind\": \"PodChaosList\", \"items\": [{\"a\": 1},\n {\"b\": 2}]}".to_owned(),
        };
        assert_eq!(count_documents(&json), 2);
        assert_eq!(document(&json, 2).unwrap().text, "\n {\"b\": 2}");
    }

    #[test]
    fn an_object_that_is_alone_in_a_list_is_read_without_it() {
        let list = file("kind: List\nitems:\n- kind: PodChaos\n  spec: {}\n");
        assert_eq!(count_documents(&list), 1);
        let one = without_list(list);
        assert_eq!(one.text, "\n\n  kind: PodChaos\n  spec: {}");
        assert_eq!(document(&file("kind: List\nitems: [{a: 1}]\n"), 1).unwrap().text, "\n        {a: 1}");
        for text in ["kind: List\nitems: []\n", "kind: List\n", "a: List\n"] {
            assert_eq!(without_list(file(text)).text, text);
        }
    }

    #[test]
    fn a_name_says_the_file_and_the_document() {
        assert_eq!(file_and_document("x/a.yaml#12"), ("x/a.yaml", Some(12)));
        for name in ["a.yaml", "a#b.yaml", "a.yaml#0", "a.yaml#", "#1", "a.yaml#-1"] {
            assert_eq!(file_and_document(name), (name, None), "{name}");
        }
    }
}
