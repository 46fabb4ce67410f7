//! Lines of styled text for terminals, independent of any terminal library, and safe to print: what the journal
//! holds cannot steer the terminal.

use crate::words::Tone;
use std::fmt::Write as _;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// As the terminal has it.
    #[default]
    Plain,
    /// Titles and numbers that matter.
    Strong,
    /// What may be overlooked.
    Dim,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// No answer, or close to a limit.
    Warning,
    /// Of the fault.
    Fault,
    /// Of a measurement.
    Accent,
}

impl Style {
    /// The escape sequence (ECMA-48, "select graphic rendition"); the sixteen colours follow the user's own palette.
    fn escape(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Warning => "\x1b[33m",
            Self::Fault => "\x1b[35m",
            Self::Accent => "\x1b[36m",
        }
    }
}

impl From<Tone> for Style {
    fn from(tone: Tone) -> Self {
        match tone {
            Tone::Good => Self::Good,
            Tone::Bad => Self::Bad,
            Tone::Warning => Self::Warning,
            Tone::Neutral => Self::Dim,
        }
    }
}

/// A piece of text of one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// How it looks.
    pub style: Style,
    /// What it says; holds no control characters.
    pub text: String,
}

/// A line of text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line(pub Vec<Span>);

/// Whether colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    On,
    /// For a file or a pipe.
    Off,
}

impl Line {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a piece of text.
    #[must_use]
    pub fn with(mut self, style: Style, text: impl AsRef<str>) -> Self {
        self.0.push(Span { style, text: printable(text.as_ref()) });
        self
    }

    /// Adds text as the terminal has it.
    #[must_use]
    pub fn plain(self, text: impl AsRef<str>) -> Self {
        self.with(Style::Plain, text)
    }

    /// Adds spaces up to a column.
    #[must_use]
    pub fn to_column(self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width());
        self.plain(" ".repeat(missing))
    }

    /// How many columns it takes.
    pub fn width(&self) -> usize {
        self.0.iter().map(|span| width(&span.text)).sum()
    }

    /// Cuts it to a width; what is cut shows as `…`.
    #[must_use]
    pub fn cut(mut self, columns: usize) -> Self {
        if self.width() <= columns {
            return self;
        }
        let mut left = columns;
        for span in &mut self.0 {
            let length = width(&span.text);
            span.text = cut(&span.text, left);
            // A span that ends right at the edge hides that more follows.
            if length == left && left > 0 {
                span.text = format!("{}…", head(&span.text, left - 1));
            }
            left = left.saturating_sub(length);
        }
        self
    }

    /// As text, with or without colours.
    pub fn text(&self, colour: Colour) -> String {
        let mut text = String::new();
        for span in &self.0 {
            let escape = if colour == Colour::On { span.style.escape() } else { "" };
            let reset = if escape.is_empty() { "" } else { "\x1b[0m" };
            let _ = write!(text, "{escape}{}{reset}", span.text);
        }
        text.trim_end_matches(' ').to_owned()
    }
}

/// A text without what could steer a terminal: control characters, and marks that turn the direction of writing.
pub fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let safe = |c: char| {
        if matches!(c, '\n' | '\t') {
            ' '
        } else if steers(c) {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(safe).collect()
}

/// How many columns of a terminal a text takes: two for wide characters, none for marks that combine with the one
/// before (Unicode Standard Annex 11).
pub fn width(text: &str) -> usize {
    text.width()
}

/// As much of the beginning as fits into so many columns, with all marks of its last character.
fn head(text: &str, columns: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        // This selector makes the sign before it an emoji, which is wide.
        used += if *c == '\u{fe0f}' { 1 } else { c.width().unwrap_or(0) };
        used > columns
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// As much as fits into so many columns; what is cut shows as `…`.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    match columns {
        0 => String::new(),
        _ => format!("{}…", head(text, columns - 1)),
    }
}

/// Breaks a text into lines of at most `width` columns, at spaces where there are any.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    // A wide character needs two.
    let columns = columns.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    for mut word in text.split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        while width(word) > columns {
            let (fits, rest) = word.split_at(head(word, columns).len());
            // What no line can hold, such as a joined emoji that terminals draw as its parts, stands as it is.
            if fits.is_empty() {
                break;
            }
            lines.push(fits.to_owned());
            word = rest;
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The heights of a sparkline.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A value as a character between the floor and the ceiling of its line.
pub fn spark(value: f64, floor: f64, ceiling: f64) -> char {
    let share = if ceiling > floor { (value - floor) / (ceiling - floor) } else { 0.0 };
    HEIGHTS[(share.clamp(0.0, 1.0) * 7.0).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_cannot_steer_the_terminal() {
        let line = Line::new().plain("a\x1b[2Jb\u{202e}c\nd");
        assert_eq!(line.text(Colour::Off), "a\u{fffd}[2Jb\u{fffd}c d");
    }

    #[test]
    fn lines_are_cut_where_they_end() {
        let line = Line::new().plain("abc").with(Style::Good, "def").plain("ghi");
        assert_eq!(line.clone().cut(9).text(Colour::Off), "abcdefghi");
        assert_eq!(line.clone().cut(7).text(Colour::Off), "abcdef…");
        assert_eq!(line.clone().cut(6).text(Colour::Off), "abcde…");
        assert_eq!(line.clone().cut(2).text(Colour::Off), "a…");
        assert_eq!(line.cut(0).text(Colour::Off), "");
    }

    #[test]
    fn colours_are_written_only_where_asked() {
        let line = Line::new().with(Style::Bad, "no").plain("  ");
        assert_eq!(line.text(Colour::On), "\x1b[31mno\x1b[0m");
        assert_eq!(line.text(Colour::Off), "no");
    }

    #[test]
    fn long_words_are_broken_too() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a abcdefghij b", 4), ["a", "abcd", "efgh", "ij b"]);
        assert!(wrapped("", 10).is_empty());
    }

    #[test]
    fn columns_are_counted_and_not_characters() {
        // Four wide characters; a letter with its accent as a mark; an emoji that a selector makes one.
        assert_eq!([width("支払遅延"), width("e\u{301}"), width("❤\u{fe0f}"), width("🦀")], [8, 1, 2, 2]);
        assert_eq!(cut("支払遅延", 8), "支払遅延");
        assert_eq!(cut("支払遅延", 7), "支払遅…");
        assert_eq!(cut("支払遅延", 6), "支払…", "half of a character cannot be shown");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…", "a mark stays with its letter");
        assert_eq!(wrapped("支払遅延 支払", 6), ["支払遅", "延", "支払"]);
        let line = Line::new().plain("支払").to_column(6).plain("x");
        assert_eq!((line.text(Colour::Off).as_str(), line.width()), ("支払  x", 7));
        for columns in 0..12 {
            let line =
                Line::new().plain("支e\u{301}払").with(Style::Good, "🦀❤\u{fe0f}").plain("abc").cut(columns);
            assert!(line.width() <= columns, "{columns}: {line:?}");
        }
    }

    #[test]
    fn sparks_rise_with_values() {
        assert_eq!(spark(0.0, 0.0, 1.0), '▁');
        assert_eq!(spark(0.5, 0.0, 1.0), '▅');
        assert_eq!(spark(7.0, 0.0, 1.0), '█');
        assert_eq!(spark(1.0, 1.0, 1.0), '▁');
    }
}
