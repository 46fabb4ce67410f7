//! JSON to a tree with places.
//!
//! `serde_json` says first whether the text is JSON; the walk through it afterwards only has to note the places.

use super::tree::{Budget, Entries, text_weight};
use super::{MAX_DEPTH, ReadError, scalar};
use crate::node::{Content, Key, Node, Place};

/// Reads one JSON text; nothing at all is `Null`.
pub(super) fn parse(text: &str) -> Result<Node, ReadError> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let before = text.len() - body.len();
    if body.trim().is_empty() {
        return Ok(Node { content: Content::Null, place: Place::default() });
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(body) {
        Ok(_) => Walk { text, at: before, budget: Budget::default() }.value(0),
        Err(error) => Err(not_json(text, before, &error)),
    }
}

fn not_json(text: &str, before: usize, error: &serde_json::Error) -> ReadError {
    let body = &text[before..];
    let skipped: usize = body.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut start = (before + skipped + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let end = start + text[start..].chars().next().map_or(0, char::len_utf8);
    // `message at line 1 column 2`: the place says that better.
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(words, _)| words);
    ReadError::at(Place { start, end }, format!("not JSON: {message}"))
}

/// A walk through text that is known to be JSON.
struct Walk<'t> {
    text: &'t str,
    at: usize,
    budget: Budget,
}

impl Walk<'_> {
    /// The next byte that is no white space.
    fn next(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Steps over a separator if it stands next.
    fn skip(&mut self, separator: u8) -> bool {
        let found = self.next() == separator;
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Node, ReadError> {
        let first = self.next();
        let start = self.at;
        let content = match first {
            b'{' | b'[' if depth >= MAX_DEPTH => {
                let place = Place { start, end: start + 1 };
                return Err(ReadError::at(place, format!("values nest deeper than {MAX_DEPTH}")));
            }
            b'{' => self.map(depth)?,
            b'[' => self.list(depth)?,
            b'"' => Content::Text(self.string()?.0),
            _ => {
                let rest = &self.text[start..];
                let end = rest.find(|c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace());
                let word = &rest[..end.unwrap_or(rest.len())];
                self.at += word.len();
                scalar::resolve(word).map_err(|words| ReadError::at(Place { start, end: self.at }, words))?
            }
        };
        let place = Place { start, end: self.at };
        self.budget.spend(1, place)?;
        Ok(Node { content, place })
    }

    fn map(&mut self, depth: usize) -> Result<Content, ReadError> {
        self.at += 1;
        let mut entries = Entries::default();
        while !self.skip(b'}') {
            self.skip(b',');
            self.next();
            let (name, place) = self.string()?;
            let key = Key { name, place };
            entries.announce(self.text, &key)?;
            self.skip(b':');
            let node = self.value(depth + 1)?;
            entries.push(key, node);
        }
        Ok(Content::Map(entries.finish()))
    }

    fn list(&mut self, depth: usize) -> Result<Content, ReadError> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.skip(b']') {
            self.skip(b',');
            items.push(self.value(depth + 1)?);
        }
        Ok(Content::List(items))
    }

    fn string(&mut self) -> Result<(String, Place), ReadError> {
        let start = self.at;
        let mut escaped = false;
        let inside = self.text[start..].char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        self.at = inside.map_or(self.text.len(), |(offset, _)| start + offset + 1);
        let place = Place { start, end: self.at };
        // Unpaired surrogates are skipped over by the check and found only here.
        let text: String = serde_json::from_str(&self.text[start..self.at])
            .map_err(|_| ReadError::at(place, "this text holds an escape that is no character"))?;
        self.budget.spend(text_weight(&text), place)?;
        Ok((text, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_serde_json_reads_it() {
        for text in [
            r#" {"a": [1, -2.5e3, true, null, "x\ud83d\ude00\"\\"], "b\u0041": {}, "c": []} "#,
            r#"[[],{"":[{"a":{}}]}]"#,
            "\"text\"",
            "12",
        ] {
            let expected: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text).unwrap().to_json(), expected, "{text}");
        }
    }

    #[test]
    fn places_and_mistakes_are_exact() {
        let text = "{\"ä\": {\"b\": 100}}";
        let node = parse(text).unwrap();
        let inner = node.get("ä").unwrap().get("b").unwrap();
        assert_eq!(&text[inner.place.start..inner.place.end], "100");
        for (text, words, at) in [
            ("{\"a\": 1,}", "not JSON: key must be a string", "}"),
            ("{\n  a: 1}", "not JSON: key must be a string", "a"),
            ("{\"a\": 1, \"a\": 2}", "given twice", "\"a\""),
            ("{\"a\": NaN}", "not JSON: expected", "N"),
            ("\"\\ud800\"", "no character", "\"\\ud800\""),
            ("[99999999999999999999]", "too large", "99999999999999999999"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.message.contains(words), "{text}: {error}");
            assert_eq!(&text[error.place.start..error.place.end], at, "{text}: {error}");
        }
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(parse(&deep).unwrap_err().message.contains("deeper than 64"));
    }
}
