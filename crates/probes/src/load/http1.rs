//! HTTP/1.1 for the load path: one kept-alive connection, one request after the other, as few steps as possible.
//!
//! hyper's client passes each request through a channel to a task of the connection and builds it from parts; that
//! is right for a general client. A load generator sends the same bytes each time and needs of the answer only its
//! status and its end, so it writes those bytes and reads the answer in place, with hyper's parser (`httparse`).

use std::future;
use std::mem::MaybeUninit;

use httparse::{ParserConfig, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::generator::Shared;
use squall_http::{ErrorKind, HttpError, Stream};

/// Small, since there may be thousands of connections; it grows where an answer does not fit.
const BUFFER_INITIAL: usize = 2 << 10;
const BUFFER_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;

/// A client with at most one connection, opened when needed and kept while it can be.
#[derive(Default)]
pub(super) struct Client {
    connection: Option<Connection>,
}

struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
}

/// Where the answer's body ends (RFC 9112, section 6.3).
enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

struct Head {
    status: u16,
    length: usize,
    body: Body,
    keep_alive: bool,
}

impl Client {
    /// Sends the request and reads the whole answer. Returns its status.
    pub(super) async fn exchange(&mut self, shared: &Shared) -> Result<u16, HttpError> {
        // Taken out, so that it is gone if this fails or is given up half way.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection { stream: shared.open().await?, buffer: vec![0; BUFFER_INITIAL] },
        };
        let (status, reusable) = connection.exchange(shared).await?;
        if reusable {
            self.connection = Some(connection);
        }
        Ok(status)
    }

    /// Watches the idle connection and drops it when the server closes it. Never returns.
    pub(super) async fn watch(&mut self) {
        if let Some(connection) = &mut self.connection {
            // The end, an error, or bytes that nobody asked for: in each case it is of no more use.
            let _ = connection.stream.read(&mut [0; 1]).await;
            self.connection = None;
        }
        future::pending::<()>().await;
    }
}

impl Connection {
    async fn exchange(&mut self, shared: &Shared) -> Result<(u16, bool), HttpError> {
        let failed = |error| HttpError::talking(shared.tried(), &error);
        self.stream.write_all(shared.http1_bytes()).await.map_err(failed)?;
        self.stream.flush().await.map_err(failed)?;

        let mut filled = 0;
        let head = loop {
            let read = self.read(filled, shared).await?;
            if read == 0 {
                return Err(closed_early(shared));
            }
            filled += read;
            match self.skip_interim(&mut filled, shared)? {
                Some(head) => break head,
                None if filled == BUFFER_MAX => return Err(broken(shared, "the head is longer than 64 KiB")),
                None => {}
            }
        };
        let after_head = filled - head.length;
        let surplus = match head.body {
            Body::Length(length) => self.read_length(length, after_head as u64, shared).await?,
            Body::Chunked => self.read_chunks(head.length..filled, shared).await?,
            Body::UntilClose => {
                while self.read(0, shared).await? > 0 {}
                false
            }
        };
        // Bytes beyond the answer belong to no request; what they would be taken for next is not to be trusted.
        Ok((head.status, head.keep_alive && !surplus))
    }

    /// Reads into the buffer from `filled` on; a full buffer is made larger first.
    async fn read(&mut self, filled: usize, shared: &Shared) -> Result<usize, HttpError> {
        if filled == self.buffer.len() {
            self.buffer.resize((filled * 2).min(BUFFER_MAX), 0);
        }
        let read = self.stream.read(&mut self.buffer[filled..]).await;
        read.map_err(|error| HttpError::talking(shared.tried(), &error))
    }

    /// Parses the head, passing over interim ones (status 1xx). None if it is not there as a whole.
    fn skip_interim(&mut self, filled: &mut usize, shared: &Shared) -> Result<Option<Head>, HttpError> {
        while let Some(head) = parse_head(&self.buffer[..*filled], shared)? {
            if head.status >= 200 {
                return Ok(Some(head));
            }
            if head.status == 101 {
                return Err(broken(shared, "it switched protocols, unasked"));
            }
            self.buffer.copy_within(head.length..*filled, 0);
            *filled -= head.length;
        }
        Ok(None)
    }

    async fn read_length(&mut self, length: u64, mut seen: u64, shared: &Shared) -> Result<bool, HttpError> {
        while seen < length {
            self.grow_for(length - seen);
            let read = self.read(0, shared).await?;
            if read == 0 {
                return Err(closed_early(shared));
            }
            seen += read as u64;
        }
        Ok(seen > length)
    }

    async fn read_chunks(
        &mut self,
        mut unread: std::ops::Range<usize>,
        shared: &Shared,
    ) -> Result<bool, HttpError> {
        let mut chunks = Chunks::default();
        loop {
            let used = chunks
                .read(&self.buffer[unread])
                .map_err(|cause| HttpError::new(ErrorKind::Protocol, shared.tried(), cause))?;
            if let Some(left) = used {
                return Ok(left > 0);
            }
            self.grow_for(chunks.data_left);
            let read = self.read(0, shared).await?;
            if read == 0 {
                return Err(closed_early(shared));
            }
            unread = 0..read;
        }
    }

    /// Makes room for a large body, to read it in fewer steps.
    fn grow_for(&mut self, left: u64) {
        if left > 4 * self.buffer.len() as u64 && self.buffer.len() < BUFFER_MAX {
            self.buffer.resize(BUFFER_MAX, 0);
        }
    }
}

fn closed_early(shared: &Shared) -> HttpError {
    HttpError::new(ErrorKind::Reset, shared.tried(), "connection closed before the answer was whole")
}

fn broken(shared: &Shared, cause: &str) -> HttpError {
    HttpError::new(ErrorKind::Protocol, shared.tried(), cause)
}

fn parse_head(bytes: &[u8], shared: &Shared) -> Result<Option<Head>, HttpError> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    let length = match parsed {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(broken(shared, &format!("the answer is not HTTP/1.1: {error}"))),
    };
    let status = response.code.unwrap_or_default();
    let mut keep_alive = response.version == Some(1);
    let mut body = Body::UntilClose;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            // A coding outranks a length (RFC 9112, section 6.3).
            if !matches!(body, Body::Chunked) {
                body = Body::Length(parse_length(header.value).ok_or_else(|| {
                    broken(shared, &format!("Content-Length is `{}`", String::from_utf8_lossy(header.value)))
                })?);
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let last = header.value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
            body = if last.eq_ignore_ascii_case(b"chunked") { Body::Chunked } else { Body::UntilClose };
        } else if header.name.eq_ignore_ascii_case("connection") {
            for option in header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    keep_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    keep_alive = true;
                }
            }
        }
    }
    if shared.is_head() || status < 200 || status == 204 || status == 304 {
        body = Body::Length(0);
    }
    // What ends with the connection leaves none to keep, whatever the headers say.
    keep_alive &= !matches!(body, Body::UntilClose);
    Ok(Some(Head { status, length, body, keep_alive }))
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let only_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    only_digits.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

/// A reader of the chunked coding (RFC 9112, section 7.1) that keeps nothing but where it stands.
#[derive(Default)]
struct Chunks {
    place: Place,
    /// Bytes of data left in this chunk.
    data_left: u64,
    /// Digits of the size read so far.
    digits: u32,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    /// After the size's digits, to the line's end: extensions are passed over.
    SizeEnd,
    Data,
    /// The line end after the data.
    DataEnd,
    /// After the last chunk: at the beginning of a line of the trailer.
    TrailerStart,
    /// Within a line of the trailer.
    Trailer,
}

impl Chunks {
    /// Reads `bytes`. Returns how many were left over after the end of the body, or None if it has not ended.
    fn read(&mut self, mut bytes: &[u8]) -> Result<Option<usize>, String> {
        loop {
            if self.place == Place::Data {
                let skipped = self.data_left.min(bytes.len() as u64);
                bytes = &bytes[skipped as usize..];
                self.data_left -= skipped;
                if self.data_left == 0 {
                    self.place = Place::DataEnd;
                }
            }
            let Some((byte, rest)) = bytes.split_first() else {
                return Ok(None);
            };
            bytes = rest;
            if self.step(*byte)? {
                return Ok(Some(bytes.len()));
            }
        }
    }

    /// Takes one byte that is not data. Returns whether it was the body's last.
    fn step(&mut self, byte: u8) -> Result<bool, String> {
        match (self.place, byte) {
            (Place::Size, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.digits += 1;
                if self.digits > 15 {
                    return Err("a chunk's size has more than 15 digits".to_owned());
                }
                self.data_left = self.data_left * 16 + u64::from(digit);
            }
            (Place::Size, b'\r' | b' ' | b'\t' | b';') if self.digits > 0 => self.place = Place::SizeEnd,
            (Place::Size | Place::SizeEnd, b'\n') if self.digits > 0 => {
                self.digits = 0;
                self.place = if self.data_left == 0 { Place::TrailerStart } else { Place::Data };
            }
            (Place::DataEnd, b'\n') => self.place = Place::Size,
            (Place::TrailerStart, b'\n') => return Ok(true),
            (Place::Trailer, b'\n') => self.place = Place::TrailerStart,
            (Place::SizeEnd, _) | (Place::DataEnd | Place::TrailerStart, b'\r') => {}
            (Place::TrailerStart | Place::Trailer, _) => self.place = Place::Trailer,
            (Place::Size | Place::DataEnd | Place::Data, _) => {
                return Err(format!("byte 0x{byte:02x} where a chunk's size or end should be"));
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_where_they_end_however_they_are_cut() {
        let body = b"4;name=value\r\nwiki\r\n10\r\n0123456789abcdef\r\n0\r\nExpires: never\r\n\r\nrest";
        let end = body.len() - 4;
        for cut in 0..body.len() {
            let mut chunks = Chunks::default();
            let left = match chunks.read(&body[..cut]).unwrap() {
                Some(left) => {
                    assert_eq!(cut - left, end, "cut at {cut}");
                    continue;
                }
                None => chunks.read(&body[cut..]).unwrap(),
            };
            assert_eq!(left, Some(4), "cut at {cut}");
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for body in [&b"x\r\n"[..], b"\r\n", b"4\r\nwikiX", b"ffffffffffffffff\r\n"] {
            assert!(Chunks::default().read(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn lengths_are_digits_only() {
        assert_eq!(parse_length(b" 42 "), Some(42));
        for wrong in [&b""[..], b"-1", b"+1", b"1, 1", b"99999999999999999999999"] {
            assert_eq!(parse_length(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }
}
