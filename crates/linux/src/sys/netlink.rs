//! Netlink: the datagram socket over which Linux is asked about, and told to change, its network.
//!
//! A datagram holds one or more *messages*. A message is a 16-byte header (`struct nlmsghdr`: length, type, flags,
//! sequence number, port), then a fixed structure that its type calls for, then *attributes*: each a 16-bit length,
//! a 16-bit type and a payload, padded to four bytes; the payload may again be attributes. Numbers are in the
//! machine's byte order, except where a subsystem says otherwise (nftables: big-endian).
//!
//! * A change asks for an acknowledgement (`NLM_F_ACK`) and gets a message of type `NLMSG_ERROR`, whose number is
//!   zero for success or a negated errno. With `NETLINK_EXT_ACK` set the kernel adds a sentence of explanation.
//! * A *dump* (`NLM_F_DUMP`) is answered by many messages and one of type `NLMSG_DONE`. If what is listed changed
//!   meanwhile, the messages carry `NLM_F_DUMP_INTR` and the dump is asked for again.
//!
//! A socket stays in the network namespace in which it was opened, whatever its owner does afterwards; see
//! [`namespace`](super::namespace).
//!
//! Sources: `include/uapi/linux/netlink.h`, `net/netlink/af_netlink.c`, netlink(7), RFC 3549.

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size_force, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send, socket_with,
};
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How long the kernel may take to answer. It answers from within `send`, so this is a guard against the impossible.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The kernel never puts more than 32 KiB of a dump into one datagram; a single object may be somewhat larger.
const LARGEST_DATAGRAM: usize = 256 * 1024;

/// How often a dump is asked for again because what it lists changed meanwhile.
const DUMP_ATTEMPTS: usize = 8;

/// How many datagrams that answer another question are passed over before the socket is given up.
const MOST_STRAY_DATAGRAMS: usize = 1000;

const HEADER: usize = 16;

/// Message flags (`NLM_F_*`).
pub mod flags {
    /// It is a request.
    pub const REQUEST: u16 = 0x01;
    /// Answer with an acknowledgement.
    pub const ACK: u16 = 0x04;
    /// Some message of this dump may contradict another.
    pub const DUMP_INTERRUPTED: u16 = 0x10;
    /// In a request to change: replace what is there.
    pub const REPLACE: u16 = 0x100;
    /// In a request to change: fail if it is there.
    pub const EXCLUSIVE: u16 = 0x200;
    /// In a request to change: make it if it is not there.
    pub const CREATE: u16 = 0x400;
    /// In a request to change: at the end of the list.
    pub const APPEND: u16 = 0x800;
    /// In a request to read: list all.
    pub const DUMP: u16 = 0x300;
    /// In an answer with an error: attributes follow.
    pub const ACK_ATTRIBUTES: u16 = 0x200;
    /// In an answer with an error: the request is quoted by its header only.
    pub const CAPPED: u16 = 0x100;
}

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// What went wrong between us and the kernel's network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel said no, or a system call failed.
    #[error("could not {what}: {reason}")]
    Refused {
        /// What was tried, as it follows on "could not".
        what: String,
        /// The kernel's number for the reason.
        errno: Errno,
        /// The reason in words, and what to do about it where that is known.
        reason: String,
    },
    /// The kernel lacks a part that is needed.
    #[error(
        "could not {what}: this kernel has no {module}; install the distribution's full set of kernel modules (linux-image-… or linux-modules-extra-…) or a kernel built with it"
    )]
    Unsupported {
        /// What was tried, as it follows on "could not".
        what: String,
        /// The name of the kernel module that does it.
        module: String,
        /// The kernel's number for the reason.
        errno: Errno,
    },
    /// No answer came.
    #[error("could not {what}: the kernel did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent {
        /// What was tried, as it follows on "could not".
        what: String,
    },
    /// What is listed changed faster than it could be read.
    #[error("could not {what}: it kept changing while it was read, {DUMP_ATTEMPTS} times over")]
    Changing {
        /// What was tried, as it follows on "could not".
        what: String,
    },
    /// A request that cannot be expressed, or an answer that makes no sense.
    #[error("could not {what}: {detail}")]
    Malformed {
        /// What was tried, as it follows on "could not".
        what: String,
        /// What is wrong with the message.
        detail: String,
    },
}

/// Of this module and its neighbours.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A refusal with what is known about its number.
    pub fn refused(what: impl Display, errno: Errno) -> Self {
        Self::refused_because(what, errno, None)
    }

    fn refused_because(what: impl Display, errno: Errno, explanation: Option<String>) -> Self {
        let mut reason = match explanation {
            Some(explanation) => format!("{} ({errno})", explanation.trim_end_matches('.')),
            None => errno.to_string(),
        };
        if matches!(errno, Errno::PERM | Errno::ACCESS) {
            reason.push_str(
                "; this takes CAP_NET_ADMIN in that network namespace (run as root, or through sudo)",
            );
        }
        Self::Refused { what: what.to_string(), errno, reason }
    }

    /// A message that cannot be understood or expressed.
    pub fn malformed(what: impl Display, detail: impl Display) -> Self {
        Self::Malformed { what: what.to_string(), detail: detail.to_string() }
    }

    /// The kernel's number for the reason, if the kernel gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } | Self::Unsupported { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether the kernel said that the thing, or what it hangs on, does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self.errno(), Some(Errno::NOENT | Errno::NODEV | Errno::NXIO))
    }
}

/// The subsystem at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes, traffic control: rtnetlink(7).
    Route,
    /// Packet filters: `linux/netfilter/nfnetlink.h`.
    Netfilter,
    /// Sockets of others: `sock_diag(7)`.
    SocketDiagnosis,
}

/// A list of attributes under construction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    bytes: Vec<u8>,
    /// An attribute had more than the 65,531 bytes that its length can express.
    oversized: bool,
}

impl Attributes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attributes that follow on a fixed structure, as netem's options do. It is padded to four bytes.
    pub fn after(structure: &[u8]) -> Self {
        let mut attributes = Self { bytes: structure.to_vec(), oversized: false };
        attributes.pad();
        attributes
    }

    /// Adds bytes.
    #[must_use]
    pub fn put(mut self, kind: u16, payload: &[u8]) -> Self {
        let Ok(length) = u16::try_from(payload.len() + 4) else {
            self.oversized = true;
            return self;
        };
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(payload);
        self.pad();
        self
    }

    /// Adds a number in the machine's byte order.
    #[must_use]
    pub fn put_u32(self, kind: u16, number: u32) -> Self {
        self.put(kind, &number.to_ne_bytes())
    }

    /// Adds a number in network byte order, as nftables wants it.
    #[must_use]
    pub fn put_be32(self, kind: u16, number: u32) -> Self {
        self.put(kind, &number.to_be_bytes())
    }

    /// Adds a text with the closing NUL.
    #[must_use]
    pub fn put_text(self, kind: u16, text: &str) -> Self {
        self.put(kind, &[text.as_bytes(), b"\0"].concat())
    }

    /// Adds attributes inside of one attribute.
    #[must_use]
    pub fn put_nested(self, kind: u16, inner: Attributes) -> Self {
        const NESTED: u16 = 0x8000;
        let oversized = self.oversized || inner.oversized;
        let mut whole = self.put(kind | NESTED, &inner.bytes);
        whole.oversized |= oversized;
        whole
    }

    /// The bytes, as they stand in a message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A message to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    kind: u16,
    flags: u16,
    /// The fixed structure and the attributes behind it.
    body: Attributes,
}

impl Message {
    /// A message of a type, with flags besides `NLM_F_REQUEST`, and the structure that the type calls for.
    pub fn new(kind: u16, flags: u16, structure: &[u8]) -> Self {
        Self { kind, flags: flags | flags::REQUEST, body: Attributes::after(structure) }
    }

    /// Adds attributes.
    #[must_use]
    pub fn with(mut self, add: impl FnOnce(Attributes) -> Attributes) -> Self {
        self.body = add(self.body);
        self
    }

    fn encode(&self, what: &impl Display, extra_flags: u16, sequence: u32, into: &mut Vec<u8>) -> Result<()> {
        if self.body.oversized {
            return Err(Error::malformed(what, "an attribute of the request is longer than 65,531 bytes"));
        }
        let length = HEADER + self.body.bytes.len();
        into.extend((length as u32).to_ne_bytes());
        into.extend(self.kind.to_ne_bytes());
        into.extend((self.flags | extra_flags).to_ne_bytes());
        into.extend(sequence.to_ne_bytes());
        into.extend(0u32.to_ne_bytes()); // The port: the kernel fills in ours.
        into.extend(&self.body.bytes);
        Ok(())
    }
}

/// A message from the kernel, without its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its type.
    pub kind: u16,
    /// The fixed structure and the attributes behind it.
    pub payload: Vec<u8>,
}

impl Reply {
    /// The attributes behind a fixed structure of so many bytes.
    pub fn attributes(&self, structure: usize) -> AttributeIter<'_> {
        attributes(self.payload.get(structure.next_multiple_of(4)..).unwrap_or_default())
    }
}

/// Walks over attributes, as far as they make sense.
#[derive(Debug, Clone)]
pub struct AttributeIter<'a> {
    rest: &'a [u8],
}

/// Reads a list of attributes. Bytes that make none end the list; nothing panics.
pub fn attributes(bytes: &[u8]) -> AttributeIter<'_> {
    AttributeIter { rest: bytes }
}

impl<'a> Iterator for AttributeIter<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const KIND_BITS: u16 = 0x3fff; // Without "nested" and "in network byte order".
        let length = usize::from(u16_at(self.rest, 0)?);
        let kind = u16_at(self.rest, 2)? & KIND_BITS;
        let payload = self.rest.get(4..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    }
}

impl<'a> AttributeIter<'a> {
    /// The payload of the first attribute of a kind, from here on.
    pub fn find_kind(&self, wanted: u16) -> Option<&'a [u8]> {
        self.clone().find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
    }

    /// What [`attributes`] reads inside of the first attribute of a kind; none if there is no such attribute.
    #[must_use]
    pub fn nested(&self, wanted: u16) -> AttributeIter<'a> {
        attributes(self.find_kind(wanted).unwrap_or_default())
    }

    /// A number in the machine's byte order.
    pub fn u32(&self, wanted: u16) -> Option<u32> {
        u32_at(self.find_kind(wanted)?, 0)
    }

    /// A text, up to its NUL; what is not UTF-8 is replaced.
    pub fn text(&self, wanted: u16) -> Option<String> {
        self.find_kind(wanted).map(text)
    }
}

/// Text up to its NUL; what is not UTF-8 is replaced.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Bytes at a place, if there are as many.
pub fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// A 16-bit number in the machine's byte order at a place.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_ne_bytes)
}

/// A 32-bit number in the machine's byte order at a place.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_ne_bytes)
}

/// A 64-bit number in the machine's byte order at a place.
pub fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array_at(bytes, offset).map(u64::from_ne_bytes)
}

/// One message as it was received.
#[derive(Debug, PartialEq, Eq)]
struct Received<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// Takes a datagram apart. What makes no message ends it.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(datagram, 0)? as usize;
        let received = Received {
            kind: u16_at(datagram, 4)?,
            flags: u16_at(datagram, 6)?,
            sequence: u32_at(datagram, 8)?,
            payload: datagram.get(HEADER..length)?,
        };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(received)
    })
}

/// What a message of type `NLMSG_ERROR` or `NLMSG_DONE` says: done, or the number of the refusal and its explanation.
fn outcome(received: &Received<'_>) -> std::result::Result<(), (Errno, Option<String>)> {
    let errno = match array_at(received.payload, 0).map(i32::from_ne_bytes) {
        Some(0) => return Ok(()),
        Some(number @ -4095..0) => Errno::from_raw_os_error(-number),
        Some(positive) if received.kind == NLMSG_DONE && positive > 0 => return Ok(()),
        _ => Errno::PROTO, // The kernel has no such numbers.
    };
    if received.flags & flags::ACK_ATTRIBUTES == 0 {
        return Err((errno, None));
    }
    // An error quotes the request's header and, unless capped, the rest of the request. A "done" quotes nothing.
    let quoted = match (received.kind, received.flags & flags::CAPPED) {
        (NLMSG_DONE, _) => 0,
        (_, 0) => u32_at(received.payload, 4).unwrap_or(0) as usize,
        _ => HEADER,
    };
    let behind =
        quoted.checked_next_multiple_of(4).and_then(|quoted| received.payload.get(4..)?.get(quoted..));
    let explanation = attributes(behind.unwrap_or_default()).text(NLMSGERR_ATTR_MSG);
    Err((errno, explanation.filter(|text| !text.is_empty())))
}

/// A conversation with one subsystem of the kernel, in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open(protocol: Protocol) -> Result<Self> {
        Self::open_as(protocol, 0)
    }

    /// Likewise, with a port of the caller's choice; 0 leaves it to the kernel. `EADDRINUSE` where another has it.
    pub fn open_as(protocol: Protocol, port: u32) -> Result<Self> {
        use rustix::net::netlink;
        let subsystem = match protocol {
            Protocol::Route => None, // Number 0, which rustix spells so.
            Protocol::Netfilter => Some(netlink::NETFILTER),
            Protocol::SocketDiagnosis => Some(netlink::SOCK_DIAG),
        };
        Self::prepare(subsystem, port)
            .map_err(|errno| Error::refused(format_args!("open a {protocol:?} netlink socket"), errno))
    }

    fn prepare(subsystem: Option<rustix::net::Protocol>, port: u32) -> rustix::io::Result<Self> {
        let descriptor =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, subsystem)?;
        set_socket_timeout(&descriptor, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        // A long batch must fit into one datagram. Without the privilege the default (208 KiB) has to do.
        let _ = set_socket_send_buffer_size_force(&descriptor, 4 * 1024 * 1024);
        // Kernels before 4.12 do not know these; they only say less about what they refuse.
        let _ = set_netlink_option(&descriptor, libc::NETLINK_EXT_ACK);
        let _ = set_netlink_option(&descriptor, libc::NETLINK_CAP_ACK);
        bind(&descriptor, &SocketAddrNetlink::new(port, 0))?;
        // Connected to the kernel (port 0), the socket takes nothing from other processes.
        connect(&descriptor, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { descriptor, sequence: 0, buffer: vec![0; LARGEST_DATAGRAM] })
    }

    /// The port that it is bound to.
    #[cfg(test)]
    pub(super) fn port(&self) -> u32 {
        let address = rustix::net::getsockname(&self.descriptor).unwrap();
        SocketAddrNetlink::try_from(address).unwrap().pid()
    }

    /// Asks for a change and waits until it is made. `what` follows on "could not" in the error.
    pub fn request(&mut self, what: impl Display, message: &Message) -> Result<()> {
        self.exchange(what, message, flags::ACK).map(drop)
    }

    /// Asks a question that has one answer.
    pub fn ask(&mut self, what: impl Display, message: &Message) -> Result<Reply> {
        let replies = self.exchange(&what, message, flags::ACK)?;
        replies.into_iter().next().ok_or_else(|| Error::malformed(what, "the kernel's answer is empty"))
    }

    /// Asks for a list, and again if it changed while it was read.
    pub fn dump(&mut self, what: impl Display, message: &Message) -> Result<Vec<Reply>> {
        for _ in 0..DUMP_ATTEMPTS {
            match self.exchange(&what, message, flags::DUMP) {
                Err(Error::Changing { .. }) => {}
                result => return result,
            }
        }
        Err(Error::Changing { what: what.to_string() })
    }

    /// Sends messages in one datagram, of which the last but `trailing` is answered when all before it are done.
    /// The first refusal, of whichever message, is the result. nftables' transactions are sent this way.
    pub fn batch(&mut self, what: impl Display, batch: &[Message], trailing: usize) -> Result<()> {
        let answered = batch.len().saturating_sub(1 + trailing);
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        for (index, message) in batch.iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            let acknowledge = if index == answered { flags::ACK } else { 0 };
            message.encode(&what, acknowledge, self.sequence, &mut datagram)?;
        }
        self.send(&what, &datagram)?;
        let mut refusal = None;
        self.receive_until(&what, |received| {
            let index = received.sequence.wrapping_sub(first) as usize;
            if received.kind != NLMSG_ERROR || index >= batch.len() {
                return Ok(false);
            }
            let outcome = outcome(received);
            // A refusal of the opening message is one of the whole batch, and it comes first and maybe alone.
            let last = index == answered || (index == 0 && outcome.is_err());
            if let (Err((errno, explanation)), None) = (outcome, &refusal) {
                refusal = Some(Error::refused_because(&what, errno, explanation));
            }
            Ok(last)
        })?;
        refusal.map_or(Ok(()), Err)
    }

    fn exchange(&mut self, what: impl Display, message: &Message, extra_flags: u16) -> Result<Vec<Reply>> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut datagram = Vec::new();
        message.encode(&what, extra_flags, sequence, &mut datagram)?;
        self.send(&what, &datagram)?;
        let mut replies = Vec::new();
        let mut interrupted = false;
        self.receive_until(&what, |received| {
            if received.sequence != sequence {
                return Ok(false);
            }
            interrupted |= received.flags & flags::DUMP_INTERRUPTED != 0;
            match received.kind {
                NLMSG_NOOP => Ok(false),
                NLMSG_ERROR | NLMSG_DONE => match outcome(received) {
                    Ok(()) => Ok(true),
                    Err((errno, explanation)) => Err(Error::refused_because(&what, errno, explanation)),
                },
                NLMSG_OVERRUN => Err(Error::malformed(&what, "the kernel lost a part of its answer")),
                kind => {
                    replies.push(Reply { kind, payload: received.payload.to_vec() });
                    Ok(false)
                }
            }
        })?;
        if interrupted { Err(Error::Changing { what: what.to_string() }) } else { Ok(replies) }
    }

    fn send(&mut self, what: &impl Display, datagram: &[u8]) -> Result<()> {
        match rustix::io::retry_on_intr(|| send(&self.descriptor, datagram, SendFlags::empty())) {
            Ok(_) => Ok(()), // A datagram is sent whole or not at all.
            Err(errno) => Err(Error::refused(what, errno)),
        }
    }

    /// Hands over each message that comes until one is the last.
    fn receive_until(
        &mut self,
        what: &impl Display,
        mut last: impl FnMut(&Received<'_>) -> Result<bool>,
    ) -> Result<()> {
        let mut strays = 0;
        while strays < MOST_STRAY_DATAGRAMS {
            let received =
                rustix::io::retry_on_intr(|| recv(&self.descriptor, &mut self.buffer[..], RecvFlags::TRUNC));
            let length = match received {
                Ok((_, length)) if length <= self.buffer.len() => length,
                Ok((_, length)) => {
                    return Err(Error::malformed(what, format_args!("an answer of {length} bytes")));
                }
                Err(Errno::AGAIN) => return Err(Error::Silent { what: what.to_string() }),
                Err(errno) => return Err(Error::refused(what, errno)),
            };
            let sequence = self.sequence;
            let mut stray = true;
            for message in messages(&self.buffer[..length]) {
                stray &= message.sequence != sequence;
                if last(&message)? {
                    return Ok(());
                }
            }
            strays += usize::from(stray);
        }
        Err(Error::malformed(what, "only answers to other questions came"))
    }
}

/// Switches a netlink option of a socket on, for which rustix has no call.
#[expect(unsafe_code, reason = "setsockopt(2)")]
fn set_netlink_option(socket: &OwnedFd, option: libc::c_int) -> std::io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the kernel reads `length` bytes at `on`, which
    // is as many as there are, and keeps no pointer.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nest() {
        let bytes = Attributes::new()
            .put(1, b"abc")
            .put_nested(2, Attributes::new().put_u32(3, 7).put_text(4, "xy"))
            .into_bytes();
        assert_eq!(bytes.len(), 8 + 4 + 8 + 8);
        let read = attributes(&bytes);
        assert_eq!(read.find_kind(1), Some(&b"abc"[..]));
        assert_eq!(read.nested(2).u32(3), Some(7));
        assert_eq!(read.nested(2).text(4).as_deref(), Some("xy"));
        assert_eq!(read.nested(9).count(), 0);
    }

    #[test]
    fn an_attribute_that_is_too_long_is_refused_before_it_is_sent() {
        let inner = Attributes::new().put(1, &vec![0; 70_000]);
        let message = Message::new(18, 0, &[0; 16]).with(|list| list.put_nested(2, inner));
        let error = Socket::open(Protocol::Route).unwrap().request("send too much", &message).unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not send too much: an attribute of the request is longer than 65,531 bytes"
        );
    }

    #[test]
    fn no_bytes_make_the_readers_panic() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let length = (random() % 96) as usize;
            let mut bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
            // Small lengths, so that the readers get further than the first four bytes.
            for at in (0..length).step_by(4) {
                if random() % 2 == 0 {
                    bytes[at] = (random() % 40) as u8;
                    bytes[at + 1..length.min(at + 2)].fill(0);
                }
            }
            for received in messages(&bytes) {
                let _ = outcome(&received);
                let _ = outcome(&Received { kind: NLMSG_ERROR, flags: flags::ACK_ATTRIBUTES, ..received });
            }
            for (_, payload) in attributes(&bytes) {
                assert!(payload.len() <= bytes.len());
                attributes(payload).text(1);
            }
        }
    }

    #[test]
    fn the_kernel_explains_its_refusal() {
        // RTM_GETQDISC for a link that is not there.
        let structure = [&[0u8; 4][..], &i32::MAX.to_ne_bytes(), &[0; 12]].concat();
        let error = Socket::open(Protocol::Route)
            .unwrap()
            .request("read a qdisc", &Message::new(38, 0, &structure))
            .unwrap_err();
        assert_eq!(error.errno(), Some(Errno::NODEV));
        assert!(error.is_absent());
        assert!(error.to_string().starts_with("could not read a qdisc: "), "{error}");
    }

    #[test]
    fn a_socket_goes_on_after_a_refusal_and_answers_do_not_mix() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        for _ in 0..50 {
            socket.request("do the unknown", &Message::new(9999, 0, &[0; 16])).unwrap_err();
            // RTM_GETLINK lists at least the loopback interface.
            let links = socket.dump("list links", &Message::new(18, 0, &[0; 16])).unwrap();
            assert!(links.iter().all(|link| link.kind == 16) && !links.is_empty());
        }
    }
}
