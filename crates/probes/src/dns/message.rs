//! Messages of DNS: one question, and what comes back.
//!
//! Source: RFC 1035, section 4; RFC 3596 (AAAA), RFC 2782 (SRV).

use schemars::JsonSchema;
use serde::Deserialize;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Recursion is desired, as any stub resolver does.
const RECURSE: u16 = 0x0100;
const IS_ANSWER: u16 = 0x8000;
const IS_CUT: u16 = 0x0200;
const INTERNET: u16 = 1;

/// A name has no more parts than this; what points in circles ends.
const MOST_PARTS: usize = 128;

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RecordType {
    /// IPv4 addresses.
    #[default]
    A,
    /// IPv6 addresses.
    #[serde(rename = "AAAA")]
    Aaaa,
    /// The name that it stands for.
    #[serde(rename = "CNAME")]
    Cname,
    /// Mail servers, with their preference: `10 mail.example.com`.
    #[serde(rename = "MX")]
    Mx,
    /// Name servers.
    #[serde(rename = "NS")]
    Ns,
    /// The name of an address: `7.0.0.10.in-addr.arpa`.
    #[serde(rename = "PTR")]
    Ptr,
    /// Where a service is: priority, weight, port, host.
    #[serde(rename = "SRV")]
    Srv,
    /// Texts.
    #[serde(rename = "TXT")]
    Txt,
}

impl RecordType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Ptr => 12,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// A name as it is sent: each part after its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(Vec<u8>);

impl Name {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no name of DNS: {why}");
        let bare = text.strip_suffix('.').unwrap_or(text);
        let mut bytes = Vec::new();
        for part in bare.split('.') {
            if part.is_empty() || part.len() > 63 {
                return Err(wrong("each part has 1 to 63 characters"));
            }
            if !part.chars().all(|letter| letter.is_ascii_graphic()) {
                return Err(wrong("write it in ASCII, such as xn--bcher-kva.example"));
            }
            bytes.push(part.len() as u8);
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.push(0);
        if bytes.len() > 255 { Err(wrong("it is longer than 253 characters")) } else { Ok(Self(bytes)) }
    }
}

/// The question as it is sent.
pub(super) fn question(id: u16, name: &Name, wanted: RecordType) -> Vec<u8> {
    let mut bytes: Vec<u8> = [id, RECURSE, 1, 0, 0, 0].iter().flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend_from_slice(&name.0);
    bytes.extend([wanted.code(), INTERNET].iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// `NOERROR`, `NXDOMAIN`, …
    pub(super) rcode: String,
    /// It did not fit in a datagram.
    pub(super) is_cut: bool,
    /// What was asked for, each as a text.
    pub(super) records: Vec<String>,
    /// The least time that one of them may be kept, in seconds.
    pub(super) ttl: Option<u32>,
}

/// Reads the answer to a question; none where it is the answer to another.
pub(super) fn answer(bytes: &[u8], asked: &[u8], wanted: RecordType) -> Result<Option<Answer>, String> {
    let broken = || "the answer is not a message of DNS".to_owned();
    let mut reader = Reader { bytes, at: 0 };
    let header: Option<[u16; 6]> = (|| {
        Some([reader.word()?, reader.word()?, reader.word()?, reader.word()?, reader.word()?, reader.word()?])
    })();
    let [id, flags, questions, answers, _, _] = header.ok_or_else(broken)?;
    if Some(&id.to_be_bytes()[..]) != asked.get(..2) || flags & IS_ANSWER == 0 {
        return Ok(None);
    }
    let rcode = rcode(flags & 0xF);
    // One that could not read the question does not repeat it.
    if questions == 1 {
        let own = asked.get(12..).unwrap_or_default();
        let repeated = reader.take(own.len()).ok_or_else(broken)?;
        if !repeated.eq_ignore_ascii_case(own) {
            return Ok(None);
        }
    } else if answers > 0 {
        return Err(broken());
    }
    let is_cut = flags & IS_CUT != 0;
    let mut answer = Answer { rcode, is_cut, records: Vec::new(), ttl: None };
    if is_cut {
        return Ok(Some(answer));
    }
    for _ in 0..answers {
        reader.record(wanted, &mut answer).ok_or_else(broken)?;
    }
    answer.records.sort();
    Ok(Some(answer))
}

fn rcode(code: u16) -> String {
    let names = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    names.get(usize::from(code)).map_or_else(|| format!("RCODE{code}"), |name| (*name).to_owned())
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn word(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn name(&mut self) -> Option<String> {
        let mut parts: Vec<String> = Vec::new();
        let mut behind = None;
        for _ in 0..MOST_PARTS {
            let length = usize::from(self.byte()?);
            match length >> 6 {
                0 if length == 0 => {
                    self.at = behind.unwrap_or(self.at);
                    return Some(parts.join("."));
                }
                0 => parts.push(String::from_utf8_lossy(self.take(length)?).to_ascii_lowercase()),
                // The rest of it stands elsewhere.
                3 => {
                    let low = usize::from(self.byte()?);
                    behind.get_or_insert(self.at);
                    self.at = (length & 0x3F) << 8 | low;
                }
                _ => return None,
            }
        }
        None
    }

    /// Reads the next record; takes it down as a text where it is of the type that was asked for.
    fn record(&mut self, wanted: RecordType, answer: &mut Answer) -> Option<()> {
        self.name()?;
        let (kind, class) = (self.word()?, self.word()?);
        let ttl = u32::from(self.word()?) << 16 | u32::from(self.word()?);
        let length = usize::from(self.word()?);
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        if kind == wanted.code() && class == INTERNET {
            answer.records.push(self.data(wanted, end)?);
            answer.ttl = Some(answer.ttl.map_or(ttl, |least| least.min(ttl)));
        }
        self.at = end;
        Some(())
    }

    fn data(&mut self, wanted: RecordType, end: usize) -> Option<String> {
        Some(match wanted {
            RecordType::A => Ipv4Addr::from(<[u8; 4]>::try_from(self.take(4)?).ok()?).to_string(),
            RecordType::Aaaa => Ipv6Addr::from(<[u8; 16]>::try_from(self.take(16)?).ok()?).to_string(),
            RecordType::Cname | RecordType::Ns | RecordType::Ptr => self.name()?,
            RecordType::Mx => format!("{} {}", self.word()?, self.name()?),
            RecordType::Srv => format!("{} {} {} {}", self.word()?, self.word()?, self.word()?, self.name()?),
            RecordType::Txt => {
                let mut text = Vec::new();
                while self.at < end {
                    let length = usize::from(self.byte()?);
                    text.extend_from_slice(self.take(length)?);
                }
                String::from_utf8_lossy(&text).into_owned()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_its_answer() {
        let name = Name::parse("a.Test.").unwrap();
        let asked = question(7, &name, RecordType::Mx);
        assert_eq!(asked, b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x04Test\0\0\x0F\0\x01");
        let mut answered = asked.to_ascii_lowercase();
        answered[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 2]);
        // A name that points to that of the question, and a record of another type before the one that was asked for.
        answered.extend_from_slice(b"\xC0\x0C\0\x05\0\x01\0\0\0\x05\0\x02\xC0\x0C");
        answered.extend_from_slice(b"\xC0\x0C\0\x0F\0\x01\0\0\x01\x02\0\x06\0\x0A\x01m\xC0\x0C");
        let answer = |bytes: &[u8]| answer(bytes, &asked, RecordType::Mx);
        let read = answer(&answered).unwrap().unwrap();
        assert_eq!((read.rcode.as_str(), read.ttl, read.is_cut), ("NOERROR", Some(258), false));
        assert_eq!(read.records, ["10 m.a.test"]);
        for cut in 0..answered.len() {
            assert!(answer(&answered[..cut]).is_err(), "{cut}");
        }
        let mut other = answered.clone();
        other[1] = 8;
        assert_eq!(answer(&other), Ok(None));
    }

    #[test]
    fn names_that_point_in_circles_end() {
        let mut reader = Reader { bytes: b"\xC0\x00", at: 0 };
        assert_eq!(reader.name(), None);
        for wrong in ["", ".", "a..b", "ä.test", &"a".repeat(64), &"abc.".repeat(70)] {
            assert!(Name::parse(wrong).is_err(), "{wrong}");
        }
    }
}
