//! Paths into JSON documents: a part of `JSONPath` (RFC 9535).
//!
//! ```text
//! path    = "$" { segment }
//! segment = "." NAME | "." "*" | ".." NAME | ".." "*" | "[" inside "]"
//! inside  = 'NAME' | "NAME" | "*" | INDEX | "?" filter
//! filter  = "@" { segment } [ OP literal ]      (parentheses around it are allowed)
//! OP      = "==" | "!=" | "<" | "<=" | ">" | ">="
//! literal = number | 'text' | "text" | true | false | null
//! ```
//! A negative index counts from the end.

use serde_json::Value as Json;
use std::cmp::Ordering;

/// At most so many places are looked at, however a path branches.
const MOST: usize = 100_000;

/// A path that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path(Vec<Segment>);

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    Name(String),
    Index(i64),
    All,
    /// At any depth.
    Anywhere(Box<Segment>),
    Filter(Path, Option<(Operator, Json)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const OPERATORS: &[(&str, Operator)] = &[
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl Path {
    /// Understands a path.
    ///
    /// # Errors
    /// In words, with the rest that was not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader(text.trim());
        if !reader.skip("$") {
            return Err(format!("{text:?} is no JSON path: it begins with `$`, such as $.data[0].depth"));
        }
        let path = reader.segments()?;
        if reader.0.is_empty() { Ok(path) } else { Err(reader.not_understood()) }
    }

    /// All places of a document that it leads to.
    pub(crate) fn find<'j>(&self, document: &'j Json) -> Vec<&'j Json> {
        let mut found = vec![document];
        for segment in &self.0 {
            let mut next = Vec::new();
            for place in found {
                segment.step(place, &mut next);
            }
            next.truncate(MOST);
            found = next;
        }
        found
    }
}

impl Segment {
    fn step<'j>(&self, place: &'j Json, found: &mut Vec<&'j Json>) {
        match (self, place) {
            (Self::Name(name), Json::Object(entries)) => found.extend(entries.get(name)),
            (Self::Index(index), Json::Array(items)) => {
                let from_start = if *index < 0 { index + items.len() as i64 } else { *index };
                found.extend(usize::try_from(from_start).ok().and_then(|index| items.get(index)));
            }
            (Self::All, _) => found.extend(children(place)),
            (Self::Anywhere(inner), _) if found.len() < MOST => {
                inner.step(place, found);
                children(place).for_each(|child| self.step(child, found));
            }
            (Self::Filter(path, test), _) => found.extend(children(place).filter(|child| {
                let values = path.find(child);
                match test {
                    None => !values.is_empty(),
                    Some((operator, wanted)) => values.iter().any(|value| operator.holds(value, wanted)),
                }
            })),
            _ => {}
        }
    }
}

fn children(place: &Json) -> impl Iterator<Item = &Json> {
    let (items, entries) = match place {
        Json::Array(items) => (Some(items), None),
        Json::Object(entries) => (None, Some(entries)),
        _ => (None, None),
    };
    items.into_iter().flatten().chain(entries.into_iter().flat_map(|entries| entries.values()))
}

impl Operator {
    fn holds(self, value: &Json, wanted: &Json) -> bool {
        let order = match (value, wanted) {
            (Json::Number(value), Json::Number(wanted)) => value.as_f64().partial_cmp(&wanted.as_f64()),
            (Json::String(value), Json::String(wanted)) => Some(value.cmp(wanted)),
            (value, wanted) if value == wanted => Some(Ordering::Equal),
            _ => None,
        };
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}

/// What of a path is not read yet.
struct Reader<'t>(&'t str);

impl Reader<'_> {
    fn skip(&mut self, sign: &str) -> bool {
        let rest = self.0.strip_prefix(sign);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn not_understood(&self) -> String {
        format!("the JSON path is not understood from {:?} on", self.0)
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        self.blanks();
        if self.skip(sign) { Ok(()) } else { Err(self.not_understood()) }
    }

    fn segments(&mut self) -> Result<Path, String> {
        let mut segments = Vec::new();
        loop {
            if self.skip("..") {
                let inner = if self.0.starts_with('[') { self.bracketed()? } else { self.named()? };
                segments.push(Segment::Anywhere(Box::new(inner)));
            } else if self.skip(".") {
                segments.push(self.named()?);
            } else if self.0.starts_with('[') {
                segments.push(self.bracketed()?);
            } else {
                return Ok(Path(segments));
            }
        }
    }

    fn named(&mut self) -> Result<Segment, String> {
        if self.skip("*") {
            return Ok(Segment::All);
        }
        let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
        let length = self.0.find(|letter| !is_part(letter)).unwrap_or(self.0.len());
        if length == 0 {
            return Err(self.not_understood());
        }
        let (name, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(Segment::Name(name.to_owned()))
    }

    fn bracketed(&mut self) -> Result<Segment, String> {
        self.expect("[")?;
        self.blanks();
        let segment = if self.skip("*") {
            Segment::All
        } else if self.skip("?") {
            self.filter()?
        } else if self.0.starts_with(['\'', '"']) {
            Segment::Name(self.text()?)
        } else {
            let length = self.0.find(']').unwrap_or(self.0.len());
            let index = self.0[..length].trim().parse().map_err(|_| self.not_understood())?;
            self.0 = &self.0[length..];
            Segment::Index(index)
        };
        self.expect("]")?;
        Ok(segment)
    }

    fn filter(&mut self) -> Result<Segment, String> {
        self.blanks();
        let in_parentheses = self.skip("(");
        self.expect("@")?;
        let path = self.segments()?;
        self.blanks();
        let operator = OPERATORS.iter().find(|(sign, _)| self.skip(sign)).map(|(_, operator)| *operator);
        let test = match operator {
            Some(operator) => Some((operator, self.literal()?)),
            None => None,
        };
        if in_parentheses {
            self.expect(")")?;
        }
        Ok(Segment::Filter(path, test))
    }

    fn literal(&mut self) -> Result<Json, String> {
        self.blanks();
        if self.0.starts_with(['\'', '"']) {
            return self.text().map(Json::String);
        }
        let length = self.0.find([']', ')', ' ']).unwrap_or(self.0.len());
        let literal = serde_json::from_str(&self.0[..length]).map_err(|_| self.not_understood())?;
        self.0 = &self.0[length..];
        Ok(literal)
    }

    /// A text in quotes. A backslash stands before a quote or another backslash.
    fn text(&mut self) -> Result<String, String> {
        let mut letters = self.0.char_indices();
        let Some((_, quote)) = letters.next() else { return Err(self.not_understood()) };
        let mut text = String::new();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => text.extend(letters.next().map(|(_, letter)| letter)),
                letter if letter == quote => {
                    self.0 = &self.0[at + 1..];
                    return Ok(text);
                }
                letter => text.push(letter),
            }
        }
        Err(self.not_understood())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_found() {
        let document = json!({
            "data": [{"depth": 3, "name": "a", "up": true}, {"depth": 9, "name": "b"}],
            "odd key": {"x": 1}, "deep": {"er": {"depth": 5}}
        });
        for (path, expected) in [
            ("$", json!([document])),
            ("$.data[0].depth", json!([3])),
            ("$.data[-1]['name']", json!(["b"])),
            ("$.data[2].depth", json!([])),
            ("$.data[-3]", json!([])),
            ("$.data[*].depth", json!([3, 9])),
            ("$.data.*.name", json!(["a", "b"])),
            ("$[\"odd key\"].x", json!([1])),
            ("$..depth", json!([3, 9, 5])),
            ("$.data[?@.name=='b'].depth", json!([9])),
            ("$.data[?(@.depth > 3)].name", json!(["b"])),
            ("$.data[?@.up].name", json!(["a"])),
            ("$.data[?@.up == true].name", json!(["a"])),
            ("$.data[?@.name != \"a\"].name", json!(["b"])),
            ("$.data[?@.depth<=9].depth", json!([3, 9])),
            ("$.nothing.at.all", json!([])),
        ] {
            assert_eq!(json!(Path::parse(path).unwrap().find(&document)), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_said() {
        for (path, words) in [
            ("data", "begins with `$`"),
            ("$.", "from \"\" on"),
            ("$.a b", "from \" b\" on"),
            ("$[1", "from \"\" on"),
            ("$[x]", "from \"x]\" on"),
            ("$['a", "not understood"),
            ("$[?@.a == ]", "not understood"),
            ("$[1:2]", "not understood"),
        ] {
            let error = Path::parse(path).unwrap_err();
            assert!(error.contains(words), "{path}: {error}");
        }
    }

    #[test]
    fn a_path_that_branches_ends() {
        let wide = json!(vec![vec![vec![1; 100]; 100]; 100]);
        assert!(Path::parse("$..[*]..[*]").unwrap().find(&wide).len() <= MOST);
    }
}
