//! Mistakes as people see them: file, line and column, the line itself, and a mark under the place.

use super::{ReadError, Source, line_of};
use crate::server::passwords_in;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// How many mistakes are shown; what comes after is counted.
const MAX_SHOWN: usize = 20;
/// How wide a line is shown around the place, in characters.
const WIDTH: usize = 140;

/// The mistakes with the lines that they are about, in the order given.
pub fn render(source: &Source, errors: &[ReadError], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(WIDTH).decor_style(DecorStyle::Ascii);
    each(errors, |error| one(&renderer, source, error)).join("\n\n") + "\n"
}

/// The first mistakes in words, and how many there are beyond them.
pub(super) fn each(errors: &[ReadError], one: impl Fn(&ReadError) -> String) -> Vec<String> {
    let mut shown: Vec<String> = errors.iter().take(MAX_SHOWN).map(one).collect();
    if errors.len() > MAX_SHOWN {
        shown.push(format!("and {} more mistakes", errors.len() - MAX_SHOWN));
    }
    shown
}

fn one(renderer: &Renderer, source: &Source, error: &ReadError) -> String {
    let text = &source.text;
    let (first, last) = line_around(text, error.place.start);
    let line = masked(&text[first..last]);
    // A value of several lines is marked in its first one.
    let start = error.place.start.clamp(first, last);
    let end = error.place.end.clamp(start, last);
    let mark = boundary(text, start) - first..boundary(text, end) - first;
    let label = printable(&error.label);
    let annotation = AnnotationKind::Primary.span(mark);
    let annotation = if label.is_empty() { annotation } else { annotation.label(label) };
    let mut group = Group::with_title(Level::ERROR.primary_title(printable(&error.message))).element(
        Snippet::source(line.as_str())
            .line_start(line_of(text, first))
            .path(printable(&source.name))
            .annotation(annotation),
    );
    if let Some(help) = &error.help {
        group = group.element(Level::HELP.message(printable(help)));
    }
    renderer.render(&[group])
}

/// First byte of the line of a byte, and the byte after its last.
fn line_around(text: &str, at: usize) -> (usize, usize) {
    let at = boundary(text, at.min(text.len()));
    let first = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let last = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    (first, first + text[first..last].trim_end_matches('\r').len())
}

/// The nearest character boundary at or before a byte.
fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The line without the passwords of its addresses; all else stays where it is.
fn masked(line: &str) -> String {
    passwords_in(line)
        .iter()
        .fold(line.to_owned(), |line, password| line.replace(password, &"*".repeat(password.len())))
}

/// What a file holds must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Place;

    #[test]
    fn a_mistake_shows_file_line_column_mark_and_help() {
        let source = Source { name: "x.yaml".to_owned(), text: "a: 1\nbé: {dealy: 1s}\n".to_owned() };
        let start = source.text.find("dealy").unwrap();
        let error = ReadError::at(Place { start, end: start + 5 }, "unknown key `dealy`")
            .label("not known here")
            .help("did you mean `delay`?");
        assert_eq!(
            render(&source, &[error], false),
            "error: unknown key `dealy`\n --> x.yaml:2:6\n  |\n2 | bé: {dealy: 1s}\n  |      ^^^^^ not known here\n  |\n  = help: did you mean `delay`?\n"
        );
    }

    #[test]
    fn a_password_in_the_line_is_not_shown() {
        let text = "target: {database: \"postgres://u:hünter2@h/d?x=1\"}\n".to_owned();
        let source = Source { name: "x.yaml".to_owned(), text };
        let shown = render(&source, &[ReadError::at(Place { start: 19, end: 49 }, "wrong")], false);
        assert!(shown.contains("postgres://u:********@h/d?x=1") && !shown.contains("nter2"), "{shown}");
    }

    #[test]
    fn odd_places_and_control_characters_do_no_harm() {
        let source = Source { name: "a\u{1b}[31m".to_owned(), text: "ä\u{1b}[0m\r\nzwei".to_owned() };
        for start in 0..12 {
            for end in 0..12 {
                let error = ReadError::at(Place { start, end }, "bad\u{7}").label("x").help("y\u{1b}");
                let shown = render(&source, &[error.clone(), error], false);
                assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
            }
        }
        let empty = Source { name: "e".to_owned(), text: String::new() };
        assert!(render(&empty, &[ReadError::at(Place::default(), "empty")], true).contains("empty"));
        assert!(
            render(&empty, &vec![ReadError::at(Place::default(), "x"); 30], false).contains("and 10 more")
        );
    }
}
