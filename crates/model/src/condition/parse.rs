//! From the text of a condition to its parts; every mistake is told with the bytes it is about.

use super::{Comparison, Dimension, Expression, Test, quantity};
use crate::quantity::Unit;
use crate::units::Duration;
use crate::value::Value;

/// The longest text that is read as a condition, in bytes.
const MAX_LENGTH: usize = 4096;
/// How deep parentheses may nest.
const MAX_DEPTH: usize = 32;
/// The longest regular expression, in bytes.
const MAX_PATTERN: usize = 1024;
/// How large a compiled regular expression may become, in bytes.
const MAX_PATTERN_SIZE: usize = 1 << 20;

/// Words that cannot be names.
const KEYWORDS: [&str; 4] = ["and", "or", "not", "for"];
/// Units that may stand apart from their number.
const UNITS: [&str; 7] = ["%", "d", "h", "m", "s", "ms", "us"];

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// What is wrong, and what would do.
    pub message: String,
    /// The first byte of the text that it is about.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// The parts of a condition.
pub(super) fn expression(text: &str) -> Result<Expression, ConditionError> {
    if text.len() > MAX_LENGTH {
        let message = format!("a condition may have {MAX_LENGTH} bytes, and this has {}", text.len());
        return Err(ConditionError { message, start: 0, end: text.len() });
    }
    let mut parser = Parser { text, at: 0, depth: 0, clocks: 0 };
    let expression = parser.any()?;
    parser.skip_space();
    if parser.at < text.len() {
        let start = parser.at;
        let found = parser.chunk();
        return Err(parser.wrong(start, format!("expected `and`, `or` or the end, found `{found}`")));
    }
    Ok(expression)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    clocks: usize,
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']')
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes characters as long as they fit.
    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !fits(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Whatever stands next up to a space or parenthesis, to be shown.
    fn chunk(&mut self) -> &'t str {
        let first = self.rest().chars().next().map_or(0, char::len_utf8);
        let more = self.rest()[first..].find(|c: char| c.is_whitespace() || c == ')');
        let chunk = &self.rest()[..first + more.unwrap_or(self.rest().len() - first)];
        self.at += chunk.len();
        chunk
    }

    /// A mistake from `start` to where the parser stands, at least one byte long where there is one.
    fn wrong(&self, start: usize, message: impl Into<String>) -> ConditionError {
        let end = self.at.max(start).min(self.text.len());
        ConditionError { message: message.into(), start: start.min(end), end }
    }

    /// Takes a keyword if it stands next.
    fn keyword(&mut self, word: &str) -> bool {
        self.skip_space();
        let found = self.rest().strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_name));
        if found {
            self.at += word.len();
        }
        found
    }

    fn any(&mut self) -> Result<Expression, ConditionError> {
        let mut parts = vec![self.all()?];
        while self.keyword("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
    }

    fn all(&mut self) -> Result<Expression, ConditionError> {
        let mut parts = vec![self.lasting()?];
        while self.keyword("and") {
            parts.push(self.lasting()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
    }

    fn lasting(&mut self) -> Result<Expression, ConditionError> {
        let negated = self.keyword("not");
        self.skip_space();
        let mut expression =
            if self.rest().starts_with('(') { self.parenthesis()? } else { self.comparison()? };
        if negated {
            expression = Expression::Not(Box::new(expression));
        }
        if self.keyword("for") {
            let seconds = self.duration()?;
            expression = Expression::Lasting { inner: Box::new(expression), seconds, clock: self.clocks };
            self.clocks += 1;
        }
        Ok(expression)
    }

    fn parenthesis(&mut self) -> Result<Expression, ConditionError> {
        let start = self.at;
        self.at += 1;
        if self.depth == MAX_DEPTH {
            return Err(self.wrong(start, format!("parentheses nest deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let inner = self.any()?;
        self.depth -= 1;
        self.skip_space();
        if !self.rest().starts_with(')') {
            return Err(self.wrong(start, "this parenthesis is not closed"));
        }
        self.at += 1;
        Ok(inner)
    }

    fn duration(&mut self) -> Result<f64, ConditionError> {
        self.skip_space();
        let start = self.at;
        let text = self.number_with_unit();
        text.parse::<Duration>().map(Duration::as_seconds).map_err(|_| {
            let found = if text.is_empty() { "nothing" } else { text };
            self.wrong(start, format!("expected a duration after `for`, such as `3s`; found {found}"))
        })
    }

    /// A number with all that clings to it, and a unit that stands apart by a space.
    fn number_with_unit(&mut self) -> &'t str {
        let start = self.at;
        if self.rest().starts_with(['-', '+']) {
            self.at += 1;
        }
        let number = self.take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '%' | '/'));
        if number.ends_with(|c: char| c.is_ascii_digit()) {
            let end = self.at;
            self.skip_space();
            let unit = self.take_while(|c| c.is_alphanumeric() || c == '%');
            if !UNITS.contains(&unit) {
                self.at = end;
            }
        }
        &self.text[start..self.at]
    }

    fn comparison(&mut self) -> Result<Expression, ConditionError> {
        let (start, name) = self.name()?;
        let comparison = self.operator(name)?;
        let test = if comparison == Comparison::Matches {
            Test::Pattern(self.pattern()?)
        } else {
            Test::Against(comparison, self.value(start, name, comparison)?)
        };
        let has_unit = matches!(&test, Test::Against(_, Value::Number(_)))
            && self.text[..self.at].ends_with(|c: char| c.is_alphabetic() || c == '%');
        Ok(Expression::Compare { name: name.to_owned(), test, has_unit })
    }

    fn name(&mut self) -> Result<(usize, &'t str), ConditionError> {
        self.skip_space();
        let start = self.at;
        let name = self.take_while(is_name);
        if KEYWORDS.contains(&name) {
            return Err(self.wrong(start, format!("expected a name such as `error_rate`, found `{name}`")));
        }
        if name.is_empty() {
            let found = self.chunk();
            let found = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
            return Err(
                self.wrong(start, format!("expected a condition such as `error_rate < 1%`, found {found}"))
            );
        }
        if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return Err(self.wrong(start, format!("a condition begins with a name, and `{name}` is none")));
        }
        Ok((start, name))
    }

    fn operator(&mut self, name: &str) -> Result<Comparison, ConditionError> {
        self.skip_space();
        let start = self.at;
        let sign = self.take_while(|c| matches!(c, '<' | '>' | '=' | '!' | '~' | '&' | '|'));
        let hint = match sign {
            "<" => return Ok(Comparison::Less),
            "<=" => return Ok(Comparison::LessOrEqual),
            ">" => return Ok(Comparison::Greater),
            ">=" => return Ok(Comparison::GreaterOrEqual),
            "==" => return Ok(Comparison::Equal),
            "!=" => return Ok(Comparison::NotEqual),
            "=~" => return Ok(Comparison::Matches),
            "=" => "`=` is written `==`".to_owned(),
            "~" | "~=" => format!("`{sign}` is written `=~`"),
            "&&" => "`&&` is written `and`".to_owned(),
            "||" => "`||` is written `or`".to_owned(),
            "=>" => "`=>` is written `>=`".to_owned(),
            "=<" => "`=<` is written `<=`".to_owned(),
            _ => format!("expected one of < <= > >= == != =~ after `{name}`"),
        };
        if sign.is_empty() {
            self.chunk();
        }
        Err(self.wrong(start, hint))
    }

    /// A text in quotes, a word, or a number; a backslash in quotes takes the next quote or backslash as it is.
    fn quoted(&mut self) -> Result<Option<String>, ConditionError> {
        let Some(quote) = self.rest().chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            return Ok(None);
        };
        let start = self.at;
        let mut text = String::new();
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices().skip(1) {
            match c {
                _ if escaped => {
                    // Only quotes and backslashes are escaped, so that `\d` of a regular expression stays whole.
                    if c != quote && c != '\\' {
                        text.push('\\');
                    }
                    text.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                _ if c == quote => {
                    self.at += offset + 1;
                    return Ok(Some(text));
                }
                _ => text.push(c),
            }
        }
        self.at = self.text.len();
        Err(self.wrong(start, "this text has no closing quote"))
    }

    fn pattern(&mut self) -> Result<regex_lite::Regex, ConditionError> {
        self.skip_space();
        let start = self.at;
        let pattern = match self.quoted()? {
            Some(text) => text,
            None => self.take_while(|c| !c.is_whitespace() && c != ')').to_owned(),
        };
        if pattern.is_empty() {
            return Err(self.wrong(start, "expected a regular expression after `=~`, such as \"^ok\""));
        }
        if pattern.len() > MAX_PATTERN {
            return Err(self.wrong(start, format!("a regular expression may have {MAX_PATTERN} bytes")));
        }
        regex_lite::RegexBuilder::new(&pattern)
            .size_limit(MAX_PATTERN_SIZE)
            .build()
            .map_err(|error| self.wrong(start, format!("`{pattern}` is not a regular expression: {error}")))
    }

    fn value(
        &mut self,
        name_start: usize,
        name: &str,
        comparison: Comparison,
    ) -> Result<Value, ConditionError> {
        self.skip_space();
        let start = self.at;
        if let Some(text) = self.quoted()? {
            return self.ordered(start, name, comparison, Value::Text(text));
        }
        if self.rest().starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
            return self.number(name_start, start, name).map(Value::Number);
        }
        let word = self.take_while(is_name);
        if word.is_empty() || KEYWORDS.contains(&word) {
            if word.is_empty() {
                self.chunk();
            }
            let message =
                format!("expected a value to compare `{name}` with, such as `5%`, `500ms` or \"ok\"");
            return Err(self.wrong(start, message));
        }
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::Text(word.to_owned()),
        };
        self.ordered(start, name, comparison, value)
    }

    /// Refuses to ask whether something is more or less than a text.
    fn ordered(
        &self,
        start: usize,
        name: &str,
        comparison: Comparison,
        value: Value,
    ) -> Result<Value, ConditionError> {
        if known_dimension(name).is_some() {
            let message = format!("`{name}` is a number with a unit, and {value} is none");
            return Err(self.wrong(start, message));
        }
        if comparison.is_order() {
            let message = format!(
                "`{name}` can only be more or less than a number, and {value} is none; use `==`, `!=` or `=~`"
            );
            return Err(self.wrong(start, message));
        }
        Ok(value)
    }

    fn number(&mut self, name_start: usize, start: usize, name: &str) -> Result<f64, ConditionError> {
        let text = self.number_with_unit();
        let Some((number, dimension)) = quantity(text) else {
            let message = format!(
                "`{text}` is not a number with a unit, such as `5%`, `500ms`, `64KiB`, `10mbit` or `200/s`; \
                 a text goes in quotes"
            );
            return Err(self.wrong(start, message));
        };
        let (wanted, example) = match known_dimension(name) {
            Some(Dimension::Time) => ("a duration", format!("{text}ms")),
            Some(Dimension::Share) => ("a share between 0 and 1", format!("{text}%")),
            Some(Dimension::Frequency) => ("a frequency", format!("{text}/s")),
            _ => return Ok(number),
        };
        let fits = match (known_dimension(name), dimension) {
            (Some(Dimension::Share), Dimension::Share | Dimension::Plain) => (0.0..=1.0).contains(&number),
            // A bare number of times a second can mean nothing else.
            (Some(Dimension::Frequency), Dimension::Plain) => true,
            (wanted, found) => wanted == Some(found),
        };
        if fits {
            return Ok(number);
        }
        Err(if dimension == Dimension::Plain {
            self.wrong(start, format!("`{name}` is {wanted}, and `{text}` has no unit: write `{example}`"))
        } else if dimension == Dimension::Share {
            self.wrong(start, format!("`{name}` is {wanted}, and `{text}` is not"))
        } else {
            self.wrong(name_start, format!("`{name}` is {wanted} and cannot be compared with `{text}`"))
        })
    }
}

/// What is known of a metric by its name.
fn known_dimension(name: &str) -> Option<Dimension> {
    match Unit::of_traffic(name)? {
        Unit::Share => Some(Dimension::Share),
        Unit::PerSecond => Some(Dimension::Frequency),
        Unit::Seconds => Some(Dimension::Time),
        Unit::Bytes | Unit::Plain => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Condition;

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, at, words) in [
            ("", "", "expected a condition such as `error_rate < 1%`, found the end"),
            ("latency_p99 < 500", "500", "`latency_p99` is a duration, and `500` has no unit: write `500ms`"),
            ("shop.latency_mean < 5", "5", "is a duration"),
            ("latency_p99 < 5%", "5%", "is a duration"),
            ("latency_p99 < 5MB", "latency_p99 < 5MB", "`latency_p99` is a duration and cannot be compared"),
            (
                "error_rate > 5",
                "5",
                "`error_rate` is a share between 0 and 1, and `5` has no unit: write `5%`",
            ),
            ("availability > 120%", "120%", "is a share between 0 and 1"),
            ("error_rate = 5%", "=", "`=` is written `==`"),
            ("a < 1 && b > 2", "&&", "expected `and`, `or` or the end, found `&&`"),
            ("a << 1", "<<", "expected one of < <= > >= == != =~ after `a`"),
            ("a < ", "", "expected a value to compare `a` with"),
            ("a", "", "expected one of"),
            ("a b", "b", "expected one of"),
            ("a < ok", "ok", "can only be more or less than a number"),
            ("a < 5parsecs", "5parsecs", "`5parsecs` is not a number with a unit"),
            ("a == 'x", "'x", "no closing quote"),
            ("(a < 1", "(a < 1", "not closed"),
            ("a < 1)", ")", "found `)`"),
            ("a < 1 for", "", "expected a duration after `for`"),
            ("a < 1 for 3", "3", "such as `3s`; found 3"),
            ("5 < a", "5", "begins with a name"),
            ("not not a < 1", "not", "expected a name"),
            ("a < 1 and", "", "found the end"),
            ("a =~ '('", "'('", "is not a regular expression"),
            ("a =~", "", "expected a regular expression"),
        ] {
            let error = Condition::parse(text).expect_err(text);
            assert_eq!(&text[error.start..error.end], at, "{text}: {error}");
            assert!(error.message.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn size_depth_and_patterns_are_limited() {
        let deep = format!("{}a < 1{}", "(".repeat(40), ")".repeat(40));
        assert!(Condition::parse(&deep).unwrap_err().message.contains("deeper"));
        let fine = format!("{}a < 1{}", "(".repeat(30), ")".repeat(30));
        assert!(Condition::parse(&fine).is_ok());
        assert!(Condition::parse(&"a < 1 and ".repeat(1000)).unwrap_err().message.contains("4096 bytes"));
        assert!(Condition::parse("a =~ '((x{500}){500}){500}'").is_err());
        assert!(Condition::parse(&format!("a =~ '{}'", "x".repeat(2000))).is_err());
    }

    #[test]
    fn words_that_begin_like_keywords_are_names() {
        let condition =
            Condition::parse("order > 1 and android == 2 and forks != notes or nothing =~ x").unwrap();
        assert_eq!(condition.names(), ["order", "android", "forks", "nothing"]);
    }

    #[test]
    fn quotes_keep_what_they_hold() {
        let condition = Condition::parse(r#"a =~ "\d+ \"x\" \\." and b == 'it''"#);
        assert!(condition.is_err());
        assert!(Condition::parse(r#"a =~ "\d+ \"x\" \\.""#).is_ok());
    }
}
