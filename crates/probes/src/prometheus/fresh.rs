//! A query that sees no sample older than some time. Servers say how old one may be for all queries alike, and only
//! newer ones take it from who asks; so it is written into the query: each selector `S` of a moment becomes
//! `(S and timestamp(S) > time() - AGE)`, and of what a range `S[5m]` selects, something must be as young.
//!
//! Source of the words and signs: <https://prometheus.io/docs/prometheus/latest/querying/basics/>.

use squall_model::units::Duration;
use std::fmt::Write;

/// Before parentheses with labels.
const LABELS_FOLLOW: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: &[&str] = &["and", "or", "unless", "bool", "atan2", "inf", "nan"];

/// The query with only what is young enough.
///
/// # Errors
/// In words, where it asks for another moment than now.
pub(super) fn only(query: &str, age: Duration) -> Result<String, String> {
    let mut writer =
        Writer { rest: query, age: age.as_seconds(), written: String::new(), ranges: Vec::new() };
    while !writer.rest.is_empty() {
        writer.step()?;
    }
    let Writer { written, ranges, .. } = writer;
    let young =
        |selector: &String| format!(" and on() (max(timestamp({selector})) > time() - {})", age.as_seconds());
    match ranges.as_slice() {
        [] => Ok(written),
        ranges => Ok(format!("({written}){}", ranges.iter().map(young).collect::<String>())),
    }
}

struct Writer<'q> {
    rest: &'q str,
    age: f64,
    written: String,
    /// What is selected over a range.
    ranges: Vec<String>,
}

impl<'q> Writer<'q> {
    fn step(&mut self) -> Result<(), String> {
        let Some(first) = self.rest.chars().next() else { return Ok(()) };
        match first {
            '@' => return Err(another_moment("@")),
            '#' => drop(self.take(self.rest.find('\n').unwrap_or(self.rest.len()))),
            '"' | '\'' | '`' => self.copy(text_length(self.rest)),
            '{' => self.selector(0),
            '[' => self.copy(closing(self.rest, ']')),
            '0'..='9' | '.' => self.copy(number_length(self.rest)),
            _ if is_word(first) => return self.word(),
            _ => self.copy(first.len_utf8()),
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), String> {
        let length = word_length(self.rest);
        let word = self.rest[..length].to_ascii_lowercase();
        let after = self.rest[length..].trim_start();
        let next = after[..word_length(after)].to_ascii_lowercase();
        if word == "offset" {
            return Err(another_moment("offset"));
        }
        if LABELS_FOLLOW.contains(&word.as_str()) && after.starts_with('(') {
            self.copy(self.rest.len() - after.len() + closing(after, ')'));
        } else if LABELS_FOLLOW.contains(&word.as_str())
            || OPERATORS.contains(&word.as_str())
            || after.starts_with('(')
            || ["by", "without"].contains(&next.as_str())
        {
            self.copy(length);
        } else {
            self.selector(length);
        }
        Ok(())
    }

    /// A selector whose name has this length.
    fn selector(&mut self, name: usize) {
        let after = self.rest[name..].trim_start();
        let labels = if after.starts_with('{') { closing(after, '}') } else { 0 };
        let length = if labels == 0 { name } else { self.rest.len() - after.len() + labels };
        let selector = self.take(length);
        if self.rest.trim_start().starts_with('[') {
            self.written.push_str(selector);
            self.ranges.push(selector.to_owned());
        } else {
            // Into a text that grows as it needs nothing fails.
            let _ = write!(self.written, "({selector} and timestamp({selector}) > time() - {})", self.age);
        }
    }

    fn take(&mut self, length: usize) -> &'q str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn copy(&mut self, length: usize) {
        let taken = self.take(length);
        self.written.push_str(taken);
    }
}

fn another_moment(sign: &str) -> String {
    format!(
        "`stale_after` is about this moment, and the query asks for another one (`{sign}`); leave one of them away"
    )
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

fn word_length(text: &str) -> usize {
    text.find(|letter| !is_word(letter)).unwrap_or(text.len())
}

/// A number or a duration: `0x1F`, `1e-5`, `5m`.
fn number_length(text: &str) -> usize {
    let mut before = ' ';
    let of_number = |letter: char| {
        let belongs = letter.is_ascii_alphanumeric()
            || letter == '.'
            || (matches!(letter, '+' | '-') && matches!(before, 'e' | 'E') && !text.starts_with("0x"));
        before = letter;
        !belongs
    };
    text.find(of_number).unwrap_or(text.len())
}

/// A text in quotes, with them.
fn text_length(text: &str) -> usize {
    let mut letters = text.char_indices();
    let Some((_, quote)) = letters.next() else { return 0 };
    while let Some((at, letter)) = letters.next() {
        if letter == quote {
            return at + 1;
        }
        if letter == '\\' && quote != '`' {
            letters.next();
        }
    }
    text.len()
}

/// Up to the sign that closes what the first one opens, with both.
fn closing(text: &str, close: char) -> usize {
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        at += match letter {
            '"' | '\'' | '`' => text_length(&text[at..]),
            _ => letter.len_utf8(),
        };
        if letter == close {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_a_moment_and_of_a_range_are_found() {
        let young = |selector: &str| format!("({selector} and timestamp({selector}) > time() - 30)");
        for (query, expected) in [
            ("a", young("a")),
            ("sum(a)", format!("sum({})", young("a"))),
            (
                "sum by (pod, x) (a:b{c=\"}\", d=~'x'})",
                format!("sum by (pod, x) ({})", young("a:b{c=\"}\", d=~'x'}")),
            ),
            ("sum(a) by (by)", format!("sum({}) by (by)", young("a"))),
            ("{__name__=\"a\"} > bool 1e-5", format!("{} > bool 1e-5", young("{__name__=\"a\"}"))),
            (
                "a / on (x) group_left (y) b {c='1'} # d",
                format!("{} / on (x) group_left (y) {} ", young("a"), young("b {c='1'}")),
            ),
            ("time() - 5 and inf", "time() - 5 and inf".to_owned()),
            (
                "label_replace(a, \"b\", \"$1\", \"c\", \"(.*)\")",
                format!("label_replace({}, \"b\", \"$1\", \"c\", \"(.*)\")", young("a")),
            ),
            (
                "rate(a{b=\"c\"}[5m])",
                "(rate(a{b=\"c\"}[5m])) and on() (max(timestamp(a{b=\"c\"})) > time() - 30)".to_owned(),
            ),
            ("max_over_time(sum(a)[5m:1m])", format!("max_over_time(sum({})[5m:1m])", young("a"))),
            ("\"a\\\"b\"", "\"a\\\"b\"".to_owned()),
            ("ä", "ä".to_owned()),
        ] {
            assert_eq!(only(query, Duration::seconds(30)).unwrap(), expected, "{query}");
        }
        for query in ["a offset 5m", "a @ 5", "rate(a[5m] OFFSET 1h)"] {
            assert!(only(query, Duration::seconds(30)).unwrap_err().contains("another one"), "{query}");
        }
    }
}
