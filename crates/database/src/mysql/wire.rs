//! Packets of the protocol of MySQL and `MariaDB`, from and to bytes.

use crate::Rows;

/// The end of a session, which is not answered.
pub(super) const QUIT: u8 = 0x01;
/// A statement.
pub(super) const QUERY: u8 = 0x03;
/// A sign of life.
pub(super) const PING: u8 = 0x0e;

/// The longest part of a packet; one that is as long goes on in the next part.
const PART: usize = 0x00ff_ffff;

const CONNECT_WITH_DATABASE: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
/// Whether a server speaks TLS.
pub(super) const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const MULTI_RESULTS: u32 = 1 << 17;
const PLUGIN_AUTH: u32 = 1 << 19;
const ATTRIBUTES: u32 = 1 << 20;
const LONG_AUTH: u32 = 1 << 21;
/// What we always can. Not several statements in one: who asks to read is not to write by a semicolon.
const ALWAYS: u32 = 1
    | (1 << 2)
    | PROTOCOL_41
    | TRANSACTIONS
    | SECURE_CONNECTION
    | MULTI_RESULTS
    | PLUGIN_AUTH
    | ATTRIBUTES
    | LONG_AUTH;
/// utf8mb4.
const CHARACTERS: u8 = 45;
/// In a status: another answer follows.
const MORE: u16 = 8;

/// What came in one piece.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) number: u8,
    pub(super) payload: Vec<u8>,
}

/// What a server says first.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    version: String,
    /// Our session's number.
    pub(super) id: u32,
    /// Random bytes to show the password with.
    pub(super) nonce: Vec<u8>,
    capabilities: u32,
    /// How users log in, unless one of them does it otherwise.
    pub(super) plugin: String,
    /// Whether TLS is spoken meanwhile.
    pub(super) is_encrypted: bool,
}

impl Greeting {
    pub(super) fn has(&self, capability: u32) -> bool {
        self.capabilities & capability != 0
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }
}

/// Bytes that are taken one after the other; none where they end too early.
struct Taking<'b>(&'b [u8]);

impl<'b> Taking<'b> {
    fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.bytes(bytes)?;
        Some(taken.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    /// Up to a zero, or to the end.
    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        text
    }

    /// A number of as many bytes as it takes.
    fn length(&mut self) -> Option<u64> {
        match self.number(1)? {
            0xfc => self.number(2),
            0xfd => self.number(3),
            0xfe => self.number(8),
            small => Some(small).filter(|small| *small < 0xfb),
        }
    }

    fn long_text(&mut self) -> Option<String> {
        let length = usize::try_from(self.length()?).ok()?;
        self.bytes(length).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Reads the greeting (version 10).
pub(super) fn greeting(payload: &[u8]) -> Option<Greeting> {
    let mut taking = Taking(payload);
    if taking.number(1)? != 10 {
        return None;
    }
    let (version, id) = (taking.text(), taking.number(4)? as u32);
    let mut nonce = taking.bytes(8)?.to_vec();
    taking.bytes(1)?;
    let low = taking.number(2)?;
    taking.bytes(3)?;
    let capabilities = (low | (taking.number(2)? << 16)) as u32;
    let length = taking.number(1)? as usize;
    taking.bytes(10)?;
    let rest = taking.bytes(length.saturating_sub(8).max(13))?;
    nonce.extend_from_slice(rest.strip_suffix(&[0]).unwrap_or(rest));
    Some(Greeting { version, id, nonce, capabilities, plugin: taking.text(), is_encrypted: false })
}

/// To which other way of logging in the server changes, with other random bytes.
pub(super) fn change(payload: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut taking = Taking(payload);
    let plugin = taking.text();
    Some((plugin, taking.0.strip_suffix(&[0]).unwrap_or(taking.0).to_vec()))
        .filter(|(plugin, _)| !plugin.is_empty())
}

/// Code and text of an error, where the packet is one.
pub(super) fn error(payload: &[u8]) -> Option<(u16, String)> {
    let mut taking = Taking(payload.strip_prefix(&[0xff])?);
    let code = taking.number(2)? as u16;
    let rest = taking.0;
    // A state follows, but before the greeting.
    let text = if rest.starts_with(b"#") { rest.get(6..).unwrap_or_default() } else { rest };
    Some((code, String::from_utf8_lossy(text).into_owned()))
}

fn capabilities(is_encrypted: bool, has_database: bool) -> u32 {
    ALWAYS | if is_encrypted { SSL } else { 0 } | if has_database { CONNECT_WITH_DATABASE } else { 0 }
}

fn beginning(capabilities: u32) -> Vec<u8> {
    let mut bytes = capabilities.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(1_u32 << 24).to_le_bytes());
    bytes.push(CHARACTERS);
    bytes.extend_from_slice(&[0; 23]);
    bytes
}

/// Asks for TLS.
pub(super) fn wants_tls(has_database: bool) -> Vec<u8> {
    beginning(capabilities(true, has_database))
}

/// Says who we are.
pub(super) fn hello(
    user: &str,
    database: Option<&str>,
    plugin: &str,
    response: &[u8],
    name: &str,
    is_encrypted: bool,
) -> Vec<u8> {
    let mut bytes = beginning(capabilities(is_encrypted, database.is_some()));
    let zero_ended = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend(text.bytes().filter(|byte| *byte != 0));
        bytes.push(0);
    };
    zero_ended(&mut bytes, user);
    put(&mut bytes, response);
    if let Some(database) = database {
        zero_ended(&mut bytes, database);
    }
    zero_ended(&mut bytes, plugin);
    let mut attributes = Vec::new();
    for text in ["_client_name", "squall", "program_name", name] {
        put(&mut attributes, text.as_bytes());
    }
    put(&mut bytes, &attributes);
    bytes
}

/// Bytes with their length in front; what is said here is short.
fn put(bytes: &mut Vec<u8>, what: &[u8]) {
    match what.len() {
        length if length < 0xfb => bytes.push(length as u8),
        length => {
            bytes.push(0xfc);
            bytes.extend_from_slice(&(length as u16).to_le_bytes());
        }
    }
    bytes.extend_from_slice(what);
}

/// A payload in parts as they are sent.
pub(super) fn framed(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 4);
    let (mut rest, mut number) = (payload, number);
    loop {
        let (part, after) = rest.split_at(rest.len().min(PART));
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes()[..3]);
        bytes.push(number);
        bytes.extend_from_slice(part);
        if part.len() < PART {
            return bytes;
        }
        (rest, number) = (after, number.wrapping_add(1));
    }
}

/// Takes a whole packet from what was read; none where its end is still to come.
pub(super) fn unframed(buffer: &mut Vec<u8>) -> Option<Packet> {
    let (mut at, mut payload) = (0, Vec::new());
    loop {
        let head = buffer.get(at..at + 4)?;
        let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        let number = head[3];
        payload.extend_from_slice(buffer.get(at + 4..at + 4 + length)?);
        at += 4 + length;
        if length < PART {
            buffer.drain(..at);
            return Some(Packet { number, payload });
        }
    }
}

/// What is to be done after a packet of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More follows.
    More,
    /// That was all.
    Done,
    /// The server wants a file of ours, and is to get nothing.
    File,
    /// This is no such answer.
    Strange,
}

/// An answer as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) rows: Rows,
    stage: Stage,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    /// So many columns are still to be named.
    Columns(u64),
    /// Their end.
    Named,
    Rows,
}

impl Answer {
    /// Takes the next packet; errors are told before.
    pub(super) fn take(&mut self, payload: &[u8]) -> Step {
        self.try_take(payload).unwrap_or(Step::Strange)
    }

    fn try_take(&mut self, payload: &[u8]) -> Option<Step> {
        let mut taking = Taking(payload);
        let first = *payload.first()?;
        let is_end = first == 0xfe && payload.len() < 9;
        match self.stage {
            Stage::Head if first == 0x00 => {
                taking.bytes(1)?;
                self.rows.changed = taking.length()?;
                taking.length()?;
                Some(self.ended(taking.number(2)? as u16))
            }
            Stage::Head if first == 0xfb => Some(Step::File),
            Stage::Head => {
                self.stage = Stage::Columns(taking.length().filter(|count| *count > 0)?);
                self.rows = Rows::default();
                Some(Step::More)
            }
            Stage::Columns(left) => {
                for _ in 0..4 {
                    taking.long_text()?;
                }
                self.rows.columns.push(taking.long_text()?);
                self.stage = if left == 1 { Stage::Named } else { Stage::Columns(left - 1) };
                Some(Step::More)
            }
            Stage::Named => {
                self.stage = Stage::Rows;
                is_end.then_some(Step::More)
            }
            Stage::Rows if is_end => {
                taking.bytes(3)?;
                Some(self.ended(taking.number(2)? as u16))
            }
            Stage::Rows => {
                let values = self.rows.columns.iter().map(|_| {
                    if taking.0.first() == Some(&0xfb) {
                        taking.bytes(1)?;
                        return Some(None);
                    }
                    taking.long_text().map(Some)
                });
                let values = values.collect::<Option<Vec<_>>>()?;
                self.rows.rows.push(values);
                Some(Step::More)
            }
        }
    }

    fn ended(&mut self, status: u16) -> Step {
        if status & MORE == 0 {
            return Step::Done;
        }
        self.stage = Stage::Head;
        Step::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_when_they_are_whole() {
        let long = vec![7; PART + 3];
        for payload in [&b""[..], b"abc", &long] {
            let bytes = framed(3, payload);
            let mut buffer = bytes[..bytes.len() - 1].to_vec();
            assert!(unframed(&mut buffer).is_none());
            let mut buffer = [bytes.as_slice(), b"next"].concat();
            assert_eq!(unframed(&mut buffer).unwrap().payload, payload);
            assert_eq!(buffer, b"next");
        }
    }

    #[test]
    fn an_answer_is_rows_or_a_count() {
        let column = b"\x03def\x00\x00\x00\x01x\x00rest";
        let mut answer = Answer::default();
        let end = b"\xfe\x00\x00\x02\x00";
        for packet in [&b"\x01"[..], column, end, b"\x027a", b"\xfb"] {
            assert_eq!(answer.take(packet), Step::More, "{packet:?}");
        }
        assert_eq!(answer.take(end), Step::Done);
        assert_eq!(
            (answer.rows.columns, answer.rows.rows),
            (vec!["x".into()], vec![vec![Some("7a".into())], vec![None]])
        );
        let mut answer = Answer::default();
        assert_eq!(answer.take(b"\x00\x05\x00\x02\x00\x00\x00"), Step::Done);
        assert_eq!(answer.rows.changed, 5);
        assert_eq!(Answer::default().take(b"\xfbfile"), Step::File);
    }

    #[test]
    fn what_is_no_answer_is_told_and_never_harms() {
        for bytes in [&b""[..], b"\xfe", b"\x00", b"\xfc\x01", b"\xfd\xff\xff"] {
            assert_eq!(Answer::default().take(bytes), Step::Strange, "{bytes:?}");
            let mut answer = Answer { stage: Stage::Columns(1), ..Answer::default() };
            assert_eq!(answer.take(bytes), Step::Strange, "{bytes:?}");
        }
        for length in 0..60 {
            assert!(greeting(&vec![10; length]).is_none_or(|greeting| greeting.nonce.len() < 60));
        }
        assert_eq!(error(b"\xff\x10\x04Too many connections"), Some((1040, "Too many connections".into())));
        assert_eq!(error(b"\xff\x10\x04#08004Too many"), Some((1040, "Too many".into())));
        assert_eq!(error(b"\xff"), None);
    }
}
