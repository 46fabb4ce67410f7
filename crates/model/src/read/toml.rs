//! TOML to a tree with places.

use super::tree::{Budget, text_weight};
use super::{MAX_DEPTH, ReadError};
use crate::node::{Content, Key, Node, Place};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads one TOML text; nothing at all is `Null`. Dates and times become texts.
pub(super) fn parse(text: &str) -> Result<Node, ReadError> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { before: text.len() - body.len(), budget: Budget::default() };
    let table = DeTable::parse(body).map_err(|error| {
        let place = reader.place(error.span().unwrap_or_default());
        ReadError::at(place, format!("not TOML: {}", error.message().trim()))
    })?;
    let place = reader.place(table.span());
    let content = reader.table(table.get_ref(), 0, place)?;
    let content = if table.get_ref().is_empty() { Content::Null } else { content };
    Ok(Node { content, place: Place { start: place.start, end: text.trim_end().len().max(place.start) } })
}

struct Reader {
    before: usize,
    budget: Budget,
}

impl Reader {
    fn place(&self, span: Range<usize>) -> Place {
        Place { start: span.start + self.before, end: span.end.max(span.start) + self.before }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, depth: usize) -> Result<Node, ReadError> {
        let place = self.place(value.span());
        if depth > MAX_DEPTH {
            return Err(ReadError::at(place, format!("values nest deeper than {MAX_DEPTH}")));
        }
        self.budget.spend(1, place)?;
        let wrong = |words: String| ReadError::at(place, words);
        let content = match value.get_ref() {
            DeValue::String(text) => {
                self.budget.spend(text_weight(text), place)?;
                Content::Text(text.to_string())
            }
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map(Content::Integer)
                .map_err(|_| wrong(format!("the number `{integer}` is too large")))?,
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => Content::Float(number),
                _ => {
                    return Err(wrong(format!(
                        "`{float}` is no number that can be used here; give a finite one"
                    )));
                }
            },
            DeValue::Boolean(value) => Content::Bool(*value),
            DeValue::Datetime(moment) => Content::Text(moment.to_string()),
            DeValue::Array(items) => {
                Content::List(items.iter().map(|item| self.value(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.table(table, depth, place)?,
        };
        Ok(Node { content, place })
    }

    fn table(&mut self, table: &DeTable<'_>, depth: usize, place: Place) -> Result<Content, ReadError> {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            self.budget.spend(text_weight(key.get_ref()), place)?;
            let key = Key { name: key.get_ref().to_string(), place: self.place(key.span()) };
            entries.push((key, self.value(value, depth + 1)?));
        }
        // The parser sorts by name; people read from top to bottom.
        entries.sort_by_key(|(key, _)| key.place.start);
        Ok(Content::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_trees_in_the_order_of_the_file() {
        let text = "z = 1\na.b = [0x1F, 1_000, 1.5]\nwhen = 2024-01-02T03:04:05Z\n[[method]]\nfault = \"x\"\n[method.with]\nd = true\n";
        let node = parse(text).unwrap();
        assert_eq!(
            node.to_json(),
            serde_json::json!({"z": 1, "a": {"b": [31, 1000, 1.5]}, "when": "2024-01-02T03:04:05Z",
                "method": [{"fault": "x", "with": {"d": true}}]})
        );
        let Content::Map(entries) = &node.content else { panic!("no map") };
        assert_eq!(
            entries.iter().map(|(key, _)| key.name.as_str()).collect::<Vec<_>>(),
            ["z", "a", "when", "method"]
        );
        let place = entries[2].1.place;
        assert_eq!(&text[place.start..place.end], "2024-01-02T03:04:05Z");
        assert_eq!(parse("# nothing\n").unwrap().content, Content::Null);
    }

    #[test]
    fn mistakes_point_at_their_place() {
        for (text, words, at) in [
            ("a = 1\na = 2\n", "not TOML", "a"),
            ("a = inf\n", "no number that can be used", "inf"),
            ("a = 99999999999999999999\n", "too large", "99999999999999999999"),
            ("a = yes\n", "not TOML", "yes"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.message.contains(words), "{text}: {error}");
            assert_eq!(&text[error.place.start..error.place.end], at, "{text}: {error}");
        }
        assert!(parse(&format!("a = {}{}", "[".repeat(70), "]".repeat(70))).is_err());
    }
}
