//! Erlang's terms as bytes: as much of the external term format as calls and their answers need.
//!
//! Source: <https://www.erlang.org/doc/apps/erts/erl_ext_dist.html>

use std::fmt::{self, Write};

/// What a term begins with that stands alone.
pub(super) const VERSION: u8 = 131;
/// Nothing of ours is nested deeper.
const DEEPEST: usize = 200;

/// A term.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Integer(i128),
    Float(f64),
    Atom(String),
    Binary(Vec<u8>),
    List(Vec<Term>),
    Tuple(Vec<Term>),
    /// What is only handed back: processes, references, maps, functions, as they came.
    Other(Vec<u8>),
}

impl Term {
    pub(super) fn atom(text: &str) -> Self {
        Self::Atom(text.to_owned())
    }

    /// A text as Erlang's scanner takes it: a list of characters.
    pub(super) fn text(text: &str) -> Self {
        Self::List(text.chars().map(|letter| Self::Integer(i128::from(u32::from(letter)))).collect())
    }

    pub(super) fn is_atom(&self, wanted: &str) -> bool {
        matches!(self, Self::Atom(text) if text == wanted)
    }

    /// The elements of a tuple that begins with this atom.
    pub(super) fn tagged(&self, tag: &str) -> Option<&[Self]> {
        match self {
            Self::Tuple(elements) => {
                elements.split_first().filter(|(first, _)| first.is_atom(tag)).map(|(_, rest)| rest)
            }
            _ => None,
        }
    }

    /// As a value for those who do not speak Erlang: texts without quotes.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Atom(text) => text.clone(),
            Self::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => other.to_string(),
        }
    }

    /// Writes it down, without the byte that stands before a whole one.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Integer(number) => write_integer(*number, bytes),
            Self::Float(number) => {
                bytes.push(70);
                bytes.extend(number.to_be_bytes());
            }
            Self::Atom(text) => {
                bytes.push(118);
                bytes.extend((text.len() as u16).to_be_bytes());
                bytes.extend(text.bytes());
            }
            Self::Binary(content) => {
                bytes.push(109);
                bytes.extend((content.len() as u32).to_be_bytes());
                bytes.extend(content);
            }
            Self::List(elements) => {
                if !elements.is_empty() {
                    bytes.push(108);
                    bytes.extend((elements.len() as u32).to_be_bytes());
                    elements.iter().for_each(|element| element.write(bytes));
                }
                bytes.push(106);
            }
            Self::Tuple(elements) => {
                bytes.push(105);
                bytes.extend((elements.len() as u32).to_be_bytes());
                elements.iter().for_each(|element| element.write(bytes));
            }
            Self::Other(raw) => bytes.extend(raw),
        }
    }

    /// A whole term, after its first byte was read.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        reader.term(0)
    }
}

fn write_integer(number: i128, bytes: &mut Vec<u8>) {
    if let Ok(number) = i32::try_from(number) {
        bytes.push(98);
        bytes.extend(number.to_be_bytes());
        return;
    }
    let magnitude = number.unsigned_abs().to_le_bytes();
    let length = magnitude.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.extend([110, length as u8, u8::from(number < 0)]);
    bytes.extend(&magnitude[..length]);
}

/// Reads terms from bytes.
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'b [u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or("a term ends too early")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// An unsigned number of so many bytes.
    pub(super) fn number(&mut self, bytes: usize) -> Result<usize, String> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn text(&mut self, length: usize) -> Result<String, String> {
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn terms(&mut self, count: usize, depth: usize) -> Result<Vec<Term>, String> {
        // Each takes a byte at least: what is left bounds what is set aside.
        let mut terms = Vec::with_capacity(count.min(self.bytes.len() - self.at));
        for _ in 0..count {
            terms.push(self.term(depth + 1)?);
        }
        Ok(terms)
    }

    fn term(&mut self, depth: usize) -> Result<Term, String> {
        if depth > DEEPEST {
            return Err("a term is nested too deeply".to_owned());
        }
        let begun = self.at;
        let tag = self.number(1)?;
        Ok(match tag {
            97 => Term::Integer(self.number(1)? as i128),
            98 => Term::Integer(i128::from(self.number(4)? as u32 as i32)),
            110 => self.big()?,
            70 => {
                let bytes = self.take(8)?.try_into().map_err(|_| "a short number")?;
                Term::Float(f64::from_be_bytes(bytes))
            }
            100 | 118 => {
                let length = self.number(2)?;
                Term::Atom(self.text(length)?)
            }
            115 | 119 => {
                let length = self.number(1)?;
                Term::Atom(self.text(length)?)
            }
            109 => {
                let length = self.number(4)?;
                Term::Binary(self.take(length)?.to_vec())
            }
            106 => Term::List(Vec::new()),
            107 => {
                let length = self.number(2)?;
                let letters = self.take(length)?.iter();
                Term::List(letters.map(|letter| Term::Integer(i128::from(*letter))).collect())
            }
            108 => {
                let count = self.number(4)?;
                let elements = self.terms(count, depth)?;
                match self.term(depth + 1)? {
                    Term::List(rest) if rest.is_empty() => Term::List(elements),
                    _ => Term::Other(self.bytes[begun..self.at].to_vec()),
                }
            }
            104 => {
                let count = self.number(1)?;
                Term::Tuple(self.terms(count, depth)?)
            }
            105 => {
                let count = self.number(4)?;
                Term::Tuple(self.terms(count, depth)?)
            }
            other => {
                self.pass(other, depth)?;
                Term::Other(self.bytes[begun..self.at].to_vec())
            }
        })
    }

    /// A number of more than 32 bits, its lowest byte first.
    fn big(&mut self) -> Result<Term, String> {
        let (length, is_negative) = (self.number(1)?, self.number(1)? != 0);
        let bytes = self.take(length)?;
        if length > 15 {
            return Err("a number is too large".to_owned());
        }
        let magnitude = bytes.iter().rev().fold(0, |number, byte| number << 8 | i128::from(*byte));
        Ok(Term::Integer(if is_negative { -magnitude } else { magnitude }))
    }

    /// Passes over what is only handed back.
    fn pass(&mut self, tag: usize, depth: usize) -> Result<(), String> {
        match tag {
            // Processes, ports and references: the name of a node, then numbers.
            88 | 120 => self.node_and(12, depth),
            89 => self.node_and(8, depth),
            90 => {
                let count = self.number(2)?;
                self.node_and(4 + 4 * count, depth)
            }
            103 => self.node_and(9, depth),
            114 => {
                let count = self.number(2)?;
                self.node_and(1 + 4 * count, depth)
            }
            // Bits, a map, an external function, and a function.
            77 => {
                let length = self.number(4)?;
                self.take(length + 1).map(drop)
            }
            116 => {
                let count = self.number(4)?;
                self.terms(count.saturating_mul(2), depth).map(drop)
            }
            113 => self.terms(3, depth).map(drop),
            112 => {
                let size = self.number(4)?;
                self.take(size.saturating_sub(4)).map(drop)
            }
            other => Err(format!("a term of the unknown kind {other}")),
        }
    }

    fn node_and(&mut self, bytes: usize, depth: usize) -> Result<(), String> {
        self.term(depth + 1)?;
        self.take(bytes).map(drop)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Float(number) => write!(formatter, "{number:?}"),
            Self::Atom(text) => formatter.write_str(text),
            Self::Binary(bytes) => write!(formatter, "<<\"{}\">>", String::from_utf8_lossy(bytes)),
            Self::List(elements) => match letters(elements) {
                Some(text) => write!(formatter, "\"{text}\""),
                None => joined(formatter, '[', elements, ']'),
            },
            Self::Tuple(elements) => joined(formatter, '{', elements, '}'),
            Self::Other(_) => formatter.write_str("…"),
        }
    }
}

/// The text that a list of characters is.
fn letters(elements: &[Term]) -> Option<String> {
    let letter = |term: &Term| match term {
        Term::Integer(number) => {
            u32::try_from(*number).ok().and_then(char::from_u32).filter(|letter| !letter.is_control())
        }
        _ => None,
    };
    elements.iter().map(letter).collect::<Option<String>>().filter(|text| !text.is_empty())
}

fn joined(formatter: &mut fmt::Formatter<'_>, begin: char, elements: &[Term], end: char) -> fmt::Result {
    formatter.write_char(begin)?;
    for (number, element) in elements.iter().enumerate() {
        write!(formatter, "{}{element}", if number > 0 { "," } else { "" })?;
    }
    formatter.write_char(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let term = Term::Tuple(vec![
            Term::List(vec![Term::Integer(-5), Term::Integer(1 << 60), Term::Integer(-(1 << 40))]),
            Term::text("ä(1)."),
            Term::Float(0.4),
            Term::Binary(b"x".to_vec()),
            Term::List(Vec::new()),
        ]);
        let mut bytes = Vec::new();
        term.write(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Term::read(&mut reader).unwrap(), term);
        assert!(reader.take(1).is_err());
        assert_eq!(term.to_string(), r#"{[-5,1152921504606846976,-1099511627776],"ä(1).",0.4,<<"x">>,[]}"#);
        for end in 0..bytes.len() {
            assert!(Term::read(&mut Reader::new(&bytes[..end])).is_err());
        }
    }

    #[test]
    fn what_is_not_understood_is_handed_back_as_it_came() {
        // A process: `term_to_binary(self())` on a node called a@b.
        let mut process = vec![88, 119, 3];
        process.extend(b"a@b");
        process.extend([0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]);
        // [process | 1], which is no list.
        let improper = [&[108, 0, 0, 0, 1][..], &process, &[97, 1]].concat();
        let map = [&[116, 0, 0, 0, 1][..], &[97, 1], &process].concat();
        for raw in [process, improper, map] {
            let term = Term::read(&mut Reader::new(&raw)).unwrap();
            assert_eq!(term, Term::Other(raw));
        }
        assert!(Term::read(&mut Reader::new(&[116, 255, 255, 255, 255])).is_err());
        assert!(
            Term::read(&mut Reader::new(&[108, 0, 0, 0, 1].repeat(1000))).unwrap_err().contains("deeply")
        );
    }
}
