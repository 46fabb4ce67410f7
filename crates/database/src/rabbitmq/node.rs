//! A node of Erlang, which takes us for a hidden node: how to find it, to be let in by its cookie, and to call functions.
//!
//! The crate `erl_dist` would bring a dozen others (compression, large numbers, another MD5) for as much as is here.
//!
//! Source: <https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html>, the handshake of version 6 (OTP 23 and later);
//! calls are those of `rpc`, which goes to the process `rex`.

use super::term::{Reader, Term, VERSION};
use crate::{DatabaseError, Reason};
use md5::{Digest, Md5};
use ring::rand::{SecureRandom, SystemRandom};
use squall_model::server::ServerRef;
use std::collections::BTreeSet;
use std::io;
use std::sync::{LazyLock, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where `epmd` listens, which knows the ports of a host's nodes; `ERL_EPMD_PORT` says otherwise, as for Erlang itself.
const EPMD_PORT: u16 = 4369;
/// The most that one message may hold.
const LONGEST: usize = 64 << 20;

/// What we can take: all that OTP 23 to 26 insist on, and no more. Without the flag of a published node it is a hidden one.
/// In order: extended references, functions (old and new), extended processes and ports, exported functions, bits, floats,
/// UTF-8 in atoms, maps, large creations, handshake of version 6, unlinking with numbers, processes and ports of 64 bits.
const CAPABILITIES: u64 = 0x4
    | 0x10
    | 0x80
    | 0x100
    | 0x200
    | 0x400
    | 0x800
    | 0x1_0000
    | 0x2_0000
    | 0x4_0000
    | 0x100_0000
    | 0x200_0000
    | 0x4_0000_0000;

/// What our nodes go by. Each name is an atom that the other node never forgets, so they are used again.
static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = Some(host.trim().to_owned()).filter(|host| !host.is_empty());
    Names {
        stem: format!("squall-{:08x}", random().unwrap_or_else(|_| std::process::id())),
        host: host.unwrap_or_else(|| "localhost".to_owned()),
        taken: Mutex::default(),
    }
});

struct Names {
    stem: String,
    host: String,
    taken: Mutex<BTreeSet<u32>>,
}

/// A name while it is in use.
struct Name {
    number: u32,
    text: String,
}

impl Name {
    fn take() -> Self {
        let Names { stem, host, taken } = &*NAMES;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (0..u32::MAX).find(|number| !taken.contains(number)).unwrap_or_default();
        taken.insert(number);
        Self { number, text: format!("{stem}-{number}@{host}") }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        NAMES.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

fn random() -> Result<u32, String> {
    let mut bytes = [0; 4];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "no random numbers".to_owned())?;
    Ok(u32::from_be_bytes(bytes))
}

/// A connection to a node.
pub(super) struct Node {
    // Closed before the name is free again.
    stream: TcpStream,
    name: Name,
    creation: u32,
    calls: u32,
    /// What was read and not yet understood.
    buffer: Vec<u8>,
    /// Whether a message may have been sent in part: then nothing more can be said.
    is_torn: bool,
    server: ServerRef,
    port: u16,
}

/// What went wrong while connecting.
enum Failed {
    Io(io::Error),
    Told(Reason, String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn unsupported(cause: impl Into<String>) -> Failed {
    Failed::Told(Reason::Unsupported, cause.into())
}

impl Node {
    /// Connects to the node of a broker, by its cookie.
    pub(super) async fn connect(server: &ServerRef, cookie: &str) -> Result<Self, DatabaseError> {
        let tried = "connect to the Erlang node of";
        Self::open(server, cookie).await.map_err(|failed| match failed {
            Failed::Told(reason, cause) => DatabaseError::new(reason, server, tried, cause),
            Failed::Io(error) => {
                let reason = match error.kind() {
                    io::ErrorKind::ConnectionRefused => Reason::Refused,
                    _ => Reason::Unreachable,
                };
                DatabaseError::new(reason, server, tried, error.to_string())
            }
        })
    }

    async fn open(server: &ServerRef, cookie: &str) -> Result<Self, Failed> {
        let broker = server.broker.as_ref();
        let name = broker.and_then(|broker| broker.node.as_deref());
        let (stream, port) = match broker.and_then(|broker| broker.distribution) {
            None => reach(&server.host, ask_epmd(&server.host, name).await?).await?,
            Some(port) => match (reach(&server.host, port).await, name) {
                // It may have come back elsewhere; without its name it could be taken for another one.
                (Err(gone), Some(name)) => match ask_epmd(&server.host, Some(name)).await {
                    Ok(other) if other != port => reach(&server.host, other).await?,
                    _ => return Err(gone),
                },
                (reached, _) => reached?,
            },
        };
        stream.set_nodelay(true)?;
        // 0 is none.
        let creation = random().map_err(unsupported)?.max(1);
        let server = server.clone();
        let mut node = Self {
            stream,
            name: Name::take(),
            creation,
            calls: 0,
            buffer: Vec::new(),
            is_torn: false,
            server,
            port,
        };
        node.shake_hands(cookie).await?;
        Ok(node)
    }

    /// Where it was found.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Each proves to the other that it knows the cookie, and tells it to nobody.
    async fn shake_hands(&mut self, cookie: &str) -> Result<(), Failed> {
        let name = self.name.text.clone();
        let mut greeting = vec![b'N'];
        greeting.extend(CAPABILITIES.to_be_bytes());
        greeting.extend(self.creation.to_be_bytes());
        greeting.extend((name.len() as u16).to_be_bytes());
        greeting.extend(name.bytes());
        self.greet(&greeting).await?;
        let old = format!(
            "it closed the connection: no Erlang node listens on port {} (is it AMQP's, or the management's? `dist_port` is that on \
             which the node takes other nodes, 25672 as a rule), or one of Erlang/OTP 22 or older, or one that speaks TLS to other \
             nodes",
            self.port
        );
        match &self.greeted(&old).await?[..] {
            b"sok" | b"sok_simultaneous" => {}
            // Our last connection of this name is about to end there.
            b"salive" => self.greet(b"strue").await?,
            other => {
                let told = String::from_utf8_lossy(other.get(1..).unwrap_or_default()).into_owned();
                return Err(Failed::Told(Reason::Denied, format!("it answers `{told}`")));
            }
        }
        let message = self.greeted("it closed the connection before it asked for the cookie").await?;
        let theirs =
            challenge(&message).ok_or_else(|| unsupported("this is not how a node asks for the cookie"))?;
        let ours = random().map_err(unsupported)?;
        let mut reply = vec![b'r'];
        reply.extend(ours.to_be_bytes());
        reply.extend(digest(cookie, theirs));
        self.greet(&reply).await?;
        let wrong = "it does not take this Erlang cookie; it must be that of the broker itself, /var/lib/rabbitmq/.erlang.cookie \
                     as a rule (`rabbitmq-diagnostics erlang_cookie_sources` tells which)";
        let message = self.greeted_or(Reason::Denied, wrong).await?;
        if message.first() != Some(&b'a') || message.get(1..) != Some(&digest(cookie, ours)[..]) {
            return Err(Failed::Told(Reason::Denied, "it does not know the Erlang cookie itself".to_owned()));
        }
        Ok(())
    }

    /// Sends a message of the handshake.
    async fn greet(&mut self, message: &[u8]) -> Result<(), Failed> {
        let framed = [&(message.len() as u16).to_be_bytes(), message].concat();
        Ok(self.stream.write_all(&framed).await?)
    }

    async fn greeted(&mut self, closed: &str) -> Result<Vec<u8>, Failed> {
        self.greeted_or(Reason::Unsupported, closed).await
    }

    /// Receives a message of the handshake; one who closes instead means something by that.
    async fn greeted_or(&mut self, reason: Reason, closed: &str) -> Result<Vec<u8>, Failed> {
        let meant = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                Failed::Told(reason, closed.to_owned())
            }
            _ => Failed::Io(error),
        };
        let length = self.stream.read_u16().await.map_err(meant)?;
        // Who does not understand the greeting says what he speaks.
        let other = match &length.to_be_bytes() {
            b"AM" => Some("AMQP"),
            b"HT" => Some("HTTP"),
            _ => None,
        };
        if let Some(other) = other {
            return Err(unsupported(format!(
                "no Erlang node listens on port {}, but one that speaks {other}; `dist_port` is the port on which the node takes \
                 other nodes, 25672 as a rule",
                self.port
            )));
        }
        let mut message = vec![0; usize::from(length)];
        self.stream.read_exact(&mut message).await.map_err(meant)?;
        Ok(message)
    }

    /// Calls a function there and waits for what it returns. May be given up at any time: the answer is then passed over.
    pub(super) async fn call(
        &mut self,
        module: &str,
        function: &str,
        arguments: Vec<Term>,
    ) -> Result<Term, DatabaseError> {
        self.calls = self.calls.wrapping_add(1);
        let (process, reference) = (self.process(), self.reference());
        let call = Term::Tuple(vec![
            Term::atom("call"),
            Term::atom(module),
            Term::atom(function),
            Term::List(arguments),
            // By this the called one knows who we are: `node(group_leader())`.
            process.clone(),
        ]);
        let from = Term::Tuple(vec![process, reference]);
        self.tell("rex", &Term::Tuple(vec![Term::atom("$gen_call"), from, call])).await?;
        let answer = loop {
            let message = self.receive().await?;
            if let Some(answer) = self.answer(&message) {
                break answer.map_err(|wrong| {
                    let cause = format!("this is not how a node answers: {wrong}");
                    DatabaseError::new(Reason::Unsupported, &self.server, "ask", cause)
                })?;
            }
        };
        match answer.tagged("badrpc") {
            Some(reason) => {
                let reason: Vec<String> = reason.iter().map(Term::to_string).collect();
                Err(DatabaseError::new(Reason::Answered, &self.server, "ask", reason.join(",")))
            }
            None => Ok(answer),
        }
    }

    /// Sends a message to whoever goes by a name there; nobody hears of it where there is none.
    pub(super) async fn tell(&mut self, name: &str, message: &Term) -> Result<(), DatabaseError> {
        let control = Term::Tuple(vec![Term::Integer(6), self.process(), Term::atom(""), Term::atom(name)]);
        let mut bytes = vec![112, VERSION];
        control.write(&mut bytes);
        bytes.push(VERSION);
        message.write(&mut bytes);
        self.send(&bytes).await
    }

    fn process(&self) -> Term {
        let mut bytes = vec![88];
        Term::atom(&self.name.text).write(&mut bytes);
        for number in [1, 0, self.creation] {
            bytes.extend(number.to_be_bytes());
        }
        Term::Other(bytes)
    }

    /// The reference of the last call.
    fn reference(&self) -> Term {
        let mut bytes = vec![90, 0, 3];
        Term::atom(&self.name.text).write(&mut bytes);
        bytes.extend(self.creation.to_be_bytes());
        bytes.extend(self.numbers());
        Term::Other(bytes)
    }

    /// The numbers of the reference of the last call.
    fn numbers(&self) -> [u8; 12] {
        let mut numbers = [0; 12];
        // A number of which nodes use 18 bits only.
        numbers[..4].copy_from_slice(&(self.calls & 0x3ffff).to_be_bytes());
        numbers[4..8].copy_from_slice(&(self.calls >> 18).to_be_bytes());
        numbers
    }

    /// What a message answers to the last call; none where it is another message.
    fn answer(&self, message: &[u8]) -> Option<Result<Term, String>> {
        let mut reader = Reader::new(message);
        if reader.take(2) != Ok(&[112, VERSION]) {
            return None;
        }
        let control = match Term::read(&mut reader) {
            Ok(Term::Tuple(control)) => control,
            Ok(_) => return None,
            Err(wrong) => return Some(Err(wrong)),
        };
        if control.first() != Some(&Term::Integer(2)) || reader.take(1).is_err() {
            return None;
        }
        match Term::read(&mut reader) {
            Ok(Term::Tuple(mut pair)) if pair.len() == 2 => {
                let is_ours = matches!(&pair[0], Term::Other(raw) if raw.ends_with(&self.numbers()));
                is_ours.then(|| Ok(pair.remove(1)))
            }
            Ok(_) => None,
            Err(wrong) => Some(Err(wrong)),
        }
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), DatabaseError> {
        if self.is_torn {
            return Err(self.lost("a message was sent in part"));
        }
        self.is_torn = true;
        let framed = [&(message.len() as u32).to_be_bytes(), message].concat();
        let sent = self.stream.write_all(&framed).await;
        sent.map_err(|error| self.lost(&error.to_string()))?;
        self.is_torn = false;
        Ok(())
    }

    /// The next message. Those without content ask whether we are there, and are answered.
    async fn receive(&mut self) -> Result<Vec<u8>, DatabaseError> {
        loop {
            if let Some(length) = self.buffer.first_chunk().map(|length| u32::from_be_bytes(*length) as usize)
            {
                if length > LONGEST {
                    return Err(self.lost("the answer has no end"));
                }
                if self.buffer.len() >= 4 + length {
                    let message = self.buffer.drain(..4 + length).skip(4).collect::<Vec<u8>>();
                    if length > 0 {
                        return Ok(message);
                    }
                    self.send(&[]).await?;
                    continue;
                }
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(self.lost("it closed the connection")),
                Ok(_) => {}
                Err(error) => return Err(self.lost(&error.to_string())),
            }
        }
    }

    fn lost(&self, cause: &str) -> DatabaseError {
        DatabaseError::new(Reason::Lost, &self.server, "ask the Erlang node of", cause)
    }
}

/// The challenge of a node that shakes hands: behind its capabilities.
fn challenge(message: &[u8]) -> Option<u32> {
    let rest = message.strip_prefix(b"N")?;
    rest.get(8..12)?.try_into().ok().map(u32::from_be_bytes)
}

/// The proof that one knows the cookie.
fn digest(cookie: &str, challenge: u32) -> [u8; 16] {
    Md5::digest(format!("{cookie}{challenge}")).into()
}

async fn reach(host: &str, port: u16) -> Result<(TcpStream, u16), Failed> {
    Ok((TcpStream::connect((host, port)).await?, port))
}

/// The port of a node: that of this name, or the only one there is.
async fn ask_epmd(host: &str, wanted: Option<&str>) -> Result<u16, Failed> {
    let port = std::env::var("ERL_EPMD_PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(EPMD_PORT);
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Failed::Told(
            Reason::Refused,
            format!("no epmd listens on port {port} of {host}; say `dist_port=NUMBER` where there is none"),
        ),
        _ => Failed::Io(error),
    };
    let mut stream = TcpStream::connect((host, port)).await.map_err(refused)?;
    // NAMES_REQ; it answers with its own port and closes.
    stream.write_all(&[0, 1, b'n']).await?;
    let mut answer = Vec::new();
    stream.take(1 << 20).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(answer.get(4..).unwrap_or_default()).into_owned();
    node_port(&answer, wanted).map_err(unsupported)
}

/// Finds a port in the lines of `epmd`: `name rabbit at port 25672`.
fn node_port(answer: &str, wanted: Option<&str>) -> Result<u16, String> {
    // Tools that look at a node are nodes too.
    let nodes: Vec<(&str, u16)> = answer
        .lines()
        .filter_map(|line| line.strip_prefix("name ")?.split_once(" at port "))
        .filter_map(|(name, port)| Some((name, port.trim().parse().ok()?)))
        .filter(|(name, _)| !name.starts_with("rabbitmqcli"))
        .collect();
    let wanted = wanted.map(|wanted| wanted.split('@').next().unwrap_or_default());
    let found: Vec<_> =
        nodes.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name)).collect();
    match found[..] {
        [(_, port)] => Ok(*port),
        [] if nodes.is_empty() => Err("epmd knows no node there".to_owned()),
        _ => {
            let names: Vec<&str> = nodes.iter().map(|(name, _)| *name).collect();
            Err(format!("epmd knows these nodes there: {}; say which with `node=NAME`", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_among_others() {
        let answer = "name rabbit at port 25672\nname rabbitmqcli-1-rabbit at port 35672\n";
        assert_eq!(node_port(answer, None), Ok(25672));
        let both = format!("{answer}name hare at port 25673\n");
        assert_eq!(node_port(&both, Some("hare@mq")), Ok(25673));
        assert!(node_port(&both, None).unwrap_err().contains("rabbit, hare; say which"));
        assert!(node_port(&both, Some("fox")).unwrap_err().contains("rabbit, hare"));
        assert!(node_port("", None).unwrap_err().contains("no node"));
    }

    #[test]
    fn names_are_used_again() {
        let (one, two) = (Name::take(), Name::take());
        assert_ne!(one.text, two.text);
        let again = one.text.clone();
        drop(one);
        assert_eq!(Name::take().text, again);
    }
}
