//! Lines of styled text for terminals, independent of any terminal library, and safe to print: what the journal
//! holds cannot steer the terminal.

use crate::words::Tone;
use std::fmt::Write as _;

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

    /// How many columns it takes, at one a character.
    pub fn width(&self) -> usize {
        self.0.iter().map(|span| span.text.chars().count()).sum()
    }

    /// Cuts it to a width; what is cut shows as `…`.
    #[must_use]
    pub fn cut(mut self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut left = width;
        for span in &mut self.0 {
            let length = span.text.chars().count();
            span.text = cut(&span.text, left);
            // A span that ends right at the edge hides that more follows.
            if length == left && left > 0 {
                span.text = span.text.chars().take(left - 1).chain(['…']).collect();
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

/// The first `width` characters; what is cut shows as `…`.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    match width {
        0 => String::new(),
        _ => text.chars().take(width - 1).chain(['…']).collect(),
    }
}

/// Breaks a text into lines of at most `width` columns, at spaces where there are any.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.push(word.into_iter().collect());
            word = rest;
        }
        used += word.len();
        line.extend(word);
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
    fn sparks_rise_with_values() {
        assert_eq!(spark(0.0, 0.0, 1.0), '▁');
        assert_eq!(spark(0.5, 0.0, 1.0), '▅');
        assert_eq!(spark(7.0, 0.0, 1.0), '█');
        assert_eq!(spark(1.0, 1.0, 1.0), '▁');
    }
}
