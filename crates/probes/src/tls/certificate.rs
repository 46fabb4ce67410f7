//! What an X.509 certificate says: of whom, by whom, for which names, from when until when.
//!
//! Source: RFC 5280, section 4.1; X.690 for how it is written down (DER). Signatures are checked elsewhere, by rustls.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use std::net::{Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTETS: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const VERSION: u8 = 0xA0;
const EXTENSIONS: u8 = 0xA3;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
const UTF16_TEXT: u8 = 0x1E;

/// `subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1D, 0x11];

/// Parts of a name: 2.5.4.N, and how they are written (RFC 4514).
const PARTS: &[(u8, &str)] = &[(3, "CN"), (6, "C"), (7, "L"), (8, "ST"), (10, "O"), (11, "OU")];

/// A certificate that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Certificate {
    /// Of whom it is: `CN=shop, O=Example`.
    pub(super) subject: String,
    /// Who gave it out.
    pub(super) issuer: String,
    /// The names and addresses that it is for.
    pub(super) names: Vec<String>,
    /// From when on it is valid, in seconds since 1970.
    pub(super) begins: i64,
    /// Until when it is valid, in seconds since 1970.
    pub(super) ends: i64,
}

impl Certificate {
    /// None where it is not one.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let mut outer = Reader(Reader(der).next(SEQUENCE)?);
        let mut body = Reader(outer.next(SEQUENCE)?);
        body.optional(VERSION);
        body.any()?; // serial number
        body.next(SEQUENCE)?; // algorithm
        let issuer = name(body.next(SEQUENCE)?)?;
        let mut validity = Reader(body.next(SEQUENCE)?);
        let (begins, ends) = (moment(validity.any()?)?, moment(validity.any()?)?);
        let subject = name(body.next(SEQUENCE)?)?;
        body.next(SEQUENCE)?; // key
        let mut names = Vec::new();
        while let Some((tag, inside)) = body.any() {
            if tag == EXTENSIONS {
                names = alternative_names(inside)?;
            }
        }
        Some(Self { subject, issuer, names, begins, ends })
    }
}

/// What is not read yet of some values, each a tag, a length and what is in it.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn any(&mut self) -> Option<(u8, &'b [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            if bytes.len() > 4 {
                return None;
            }
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        };
        let (inside, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, inside))
    }

    fn next(&mut self, wanted: u8) -> Option<&'b [u8]> {
        self.any().filter(|(tag, _)| *tag == wanted).map(|(_, inside)| inside)
    }

    fn optional(&mut self, wanted: u8) {
        if self.0.first() == Some(&wanted) {
            self.any();
        }
    }
}

/// A name: sets of pairs of what a part is and its text.
fn name(bytes: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut sets = Reader(bytes);
    while let Some((_, set)) = sets.any() {
        let mut pairs = Reader(set);
        while let Some((_, pair)) = pairs.any() {
            let mut pair = Reader(pair);
            let kind = pair.next(OBJECT_IDENTIFIER)?;
            let (tag, text) = pair.any()?;
            let known = PARTS.iter().find(|(number, _)| kind == [0x55, 0x04, *number]);
            parts.extend(known.map(|(_, part)| format!("{part}={}", self::text(tag, text))));
        }
    }
    Some(parts.join(", "))
}

fn text(tag: u8, bytes: &[u8]) -> String {
    if tag == UTF16_TEXT {
        let units: Vec<u16> =
            bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        return String::from_utf16_lossy(&units);
    }
    String::from_utf8_lossy(bytes).into_owned()
}

/// `YYMMDDHHMMSSZ` or, from 2050 on, `YYYYMMDDHHMMSSZ`.
fn moment((tag, bytes): (u8, &[u8])) -> Option<i64> {
    let digits = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let (year, rest) = digits.split_at_checked(if tag == UTC_TIME { 2 } else { 4 })?;
    let mut year: i16 = year.parse().ok()?;
    if tag == UTC_TIME {
        year += if year < 50 { 2000 } else { 1900 };
    }
    let pair = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let date = Date::new(year, pair(0)?, pair(2)?).ok()?;
    let time = Time::new(pair(4)?, pair(6)?, pair(8)?, 0).ok()?;
    Some(DateTime::from_parts(date, time).to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut list = Reader(Reader(extensions).next(SEQUENCE)?);
    while let Some((_, extension)) = list.any() {
        let mut extension = Reader(extension);
        if extension.next(OBJECT_IDENTIFIER)? != ALTERNATIVE_NAMES {
            continue;
        }
        // Whether it is critical may stand between.
        let mut octets = extension.any()?;
        if octets.0 != OCTETS {
            octets = extension.any()?;
        }
        let mut names = Reader(Reader(octets.1).next(SEQUENCE)?);
        let mut read = Vec::new();
        while let Some((tag, bytes)) = names.any() {
            read.extend(match (tag, bytes.len()) {
                (DNS_NAME, _) => Some(String::from_utf8_lossy(bytes).into_owned()),
                (IP_ADDRESS, 4) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
                (IP_ADDRESS, 16) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
                _ => None,
            });
        }
        return Some(read);
    }
    Some(Vec::new())
}
