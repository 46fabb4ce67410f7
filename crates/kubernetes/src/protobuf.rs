//! Protocol buffers, as far as lists are read from them: ten thousand pods are a second's work for an API server this way, and
//! four seconds' as JSON.
//!
//! Sources: <https://protobuf.dev/programming-guides/encoding/>, and of what stands around an answer
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>

use std::str;

/// What an answer begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A message that is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// A number, or a truth value.
    Number(u64),
    /// A text, a message, or a map's entry.
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(crate) fn text(self) -> Result<String, Malformed> {
        str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Malformed)
    }

    pub(crate) fn message(self) -> Result<Message<'a>, Malformed> {
        self.bytes().map(Message)
    }

    pub(crate) fn number(self) -> Result<u64, Malformed> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err(Malformed),
        }
    }

    pub(crate) fn is_true(self) -> Result<bool, Malformed> {
        self.number().map(|number| number != 0)
    }

    fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err(Malformed),
        }
    }
}

/// A message: its fields, one after the other, each with its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// The message within an answer, where it is one of these.
    pub(crate) fn within(answer: &'a [u8]) -> Option<Result<Self, Malformed>> {
        let envelope = Self(answer.strip_prefix(MAGIC)?);
        let message = envelope.last(2).and_then(|field| field.ok_or(Malformed)?.message());
        Some(message)
    }

    /// The last field of this number, which counts where there are several.
    pub(crate) fn last(self, number: u64) -> Result<Option<Field<'a>>, Malformed> {
        let mut last = None;
        for field in self {
            let (found, field) = field?;
            if found == number {
                last = Some(field);
            }
        }
        Ok(last)
    }
}

impl<'a> IntoIterator for Message<'a> {
    type Item = Result<(u64, Field<'a>), Malformed>;
    type IntoIter = Fields<'a>;

    fn into_iter(self) -> Fields<'a> {
        Fields(self.0)
    }
}

/// The fields of a message that are not read yet.
#[derive(Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next_field(&mut self) -> Result<(u64, Field<'a>), Malformed> {
        let tag = self.number()?;
        let field = match tag & 7 {
            0 => Field::Number(self.number()?),
            1 => Field::Bytes(self.bytes(8)?),
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
                Field::Bytes(self.bytes(length)?)
            }
            5 => Field::Bytes(self.bytes(4)?),
            _ => return Err(Malformed),
        };
        Ok((tag >> 3, field))
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for place in 0..10 {
            let (byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.next_field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>, Malformed> {
        Message(bytes).into_iter().collect()
    }

    #[test]
    fn fields_are_read_as_the_standard_writes_them() {
        assert_eq!(fields(&[0x08, 0x96, 0x01]), Ok(vec![(1, Field::Number(150))]));
        let text = [0x12, 0x07, b't', b'e', b's', b't', b'i', b'n', b'g'];
        assert_eq!(fields(&text), Ok(vec![(2, Field::Bytes(b"testing"))]));
        assert_eq!(fields(&[0x0d, 1, 2, 3, 4, 0x88, 0x01, 0]).unwrap()[1], (17, Field::Number(0)));
        assert_eq!(Field::Bytes(b"testing").text(), Ok("testing".to_owned()));
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        for torn in [&[0x08][..], &[0x08, 0x96], &[0x12, 0x07, b't'], &[0x0b], &[0xff; 11]] {
            assert_eq!(fields(torn), Err(Malformed), "{torn:?}");
        }
        assert!(Message::within(b"k8s\0\x0a\x00").unwrap().is_err());
        assert!(Message::within(b"{\"kind\":").is_none());
    }
}
