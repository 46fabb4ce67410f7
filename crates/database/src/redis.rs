//! Redis, and what speaks its protocol (RESP 2), such as Valkey.
//!
//! The protocol is five kinds of reply, so it is spoken here: a library would be longer to build than this is to read, and
//! none lets us check certificates as an address says (`sslmode`).
//!
//! A session goes by the name of `CLIENT SETNAME`. Redis has no limit for one session alone: what must end where we are
//! lost is said in slices that end by themselves, and idle sessions end by `tcp-keepalive`.
//!
//! Sources: <https://redis.io/docs/latest/develop/reference/protocol-spec/> and <https://redis.io/docs/latest/commands/client-list/>

mod reply;

use crate::each::fits;
use crate::error::{NO_PASSWORD, WRONG_PASSWORD};
use crate::{DatabaseError, Login, Manner, Marked, Pending, Reason, Rows, Session, tls};
use reply::Reply;
use rustix::net::sockopt::set_tcp_quickack;
use squall_model::facts::{ClientFacts, DatabaseFacts};
use squall_model::server::{ServerRef, Statement, TlsMode};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// The most that one answer may hold.
const LONGEST: usize = 64 << 20;
/// How often an idle session says something: the server may have a `timeout` for idle ones. In between it only looks
/// whether it was closed, so that there is hardly ever an answer on its way when the network is lost: what waits to be
/// acknowledged keeps `tcp-keepalive` from finding that out.
const SAYS_SOMETHING: Duration = Duration::from_secs(10);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

struct Redis {
    stream: Box<dyn Stream>,
    /// What the stream goes through, where that is TCP.
    socket: Option<OwnedFd>,
    /// What was read and not yet understood.
    buffer: Vec<u8>,
    /// Answers to what nobody waits for any more.
    owed: usize,
    /// Whether a command may have been sent in part: then nothing more can be said.
    is_torn: bool,
    heard: Instant,
    server: ServerRef,
}

/// Opens a session and names it.
pub(crate) async fn open(login: &Login, manner: &Manner) -> Result<Box<dyn Session>, DatabaseError> {
    let server = &login.server;
    let (stream, socket) = connect(server).await?;
    let mut session = Redis {
        stream,
        socket,
        buffer: Vec::new(),
        owed: 0,
        is_torn: false,
        heard: Instant::now(),
        server: server.clone(),
    };
    if let Some(password) = &login.password {
        let user = server.user.as_deref();
        let words = ["AUTH"].into_iter().chain(user).chain([password.as_str()]);
        session.greet(words).await?;
    }
    session.greet(["CLIENT", "SETNAME", &manner.name]).await?;
    if let Some(database) = &server.database {
        session.greet(["SELECT", database]).await?;
    }
    Ok(Box::new(session))
}

async fn connect(server: &ServerRef) -> Result<(Box<dyn Stream>, Option<OwnedFd>), DatabaseError> {
    let cannot = |error: io::Error| {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Reason::Refused,
            _ => Reason::Unreachable,
        };
        DatabaseError::new(reason, server, "connect to", error.to_string())
    };
    if server.host.starts_with('/') {
        return Ok((Box::new(UnixStream::connect(&server.host).await.map_err(cannot)?), None));
    }
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(cannot)?;
    stream.set_nodelay(true).map_err(cannot)?;
    let socket = Some(stream.as_fd().try_clone_to_owned().map_err(cannot)?);
    // A server cannot be asked whether it speaks TLS: what prefers it gets none.
    if matches!(server.tls, TlsMode::Disable | TlsMode::Prefer) {
        return Ok((Box::new(stream), socket));
    }
    let connector = TlsConnector::from(Arc::new(tls::configuration(server)?));
    let stream = connector.connect(tls::name(server)?, stream).await.map_err(cannot)?;
    Ok((Box::new(stream), socket))
}

impl Redis {
    /// Says what begins a session. Its errors are of the connecting, and never hold what was said.
    async fn greet<'w>(&mut self, words: impl IntoIterator<Item = &'w str>) -> Result<(), DatabaseError> {
        let words: Vec<&str> = words.into_iter().collect();
        self.ask_as("connect to", &words).await.map(drop)
    }

    async fn ask(&mut self, words: &[&str]) -> Result<Reply, DatabaseError> {
        self.ask_as("ask", words).await
    }

    async fn ask_as(&mut self, tried: &str, words: &[&str]) -> Result<Reply, DatabaseError> {
        let reply = self.exchange(tried, words).await?;
        self.accepted(tried, reply)
    }

    /// A reply that is no error.
    fn accepted(&self, tried: &str, reply: Reply) -> Result<Reply, DatabaseError> {
        let Reply::Error(text) = reply else { return Ok(reply) };
        Err(DatabaseError::new(reason_of(&text), &self.server, tried, advised(&text)))
    }

    /// Sends a command and waits for its answer. May be given up at any time: the answer is then passed over.
    async fn exchange(&mut self, tried: &str, words: &[&str]) -> Result<Reply, DatabaseError> {
        // A pause that is asked for once the one before is over comes behind all who waited: one is always on its way.
        let ahead = usize::from(matches!(words, ["CLIENT", "PAUSE", _, "ALL"]));
        let count = (1 + ahead).saturating_sub(if ahead > 0 { self.owed } else { 0 });
        if count > 0 {
            self.send(tried, &command(words).repeat(count), count).await?;
        }
        loop {
            let reply = self.receive(tried).await?;
            self.owed -= 1;
            if self.owed <= ahead {
                self.heard = Instant::now();
                return Ok(reply);
            }
        }
    }

    /// Sends commands, the answers to which are owed from then on.
    async fn send(&mut self, tried: &str, bytes: &[u8], count: usize) -> Result<(), DatabaseError> {
        if self.is_torn {
            return Err(self.lost(tried, "a command was sent in part"));
        }
        self.is_torn = true;
        let written = self.stream.write_all(bytes).await;
        let flushed = match written {
            Ok(()) => self.stream.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = flushed {
            // A server that takes no more clients says so before it closes.
            let said = self.receive(tried).await;
            let lost = self.lost(tried, &error.to_string());
            return Err(match said {
                Ok(Reply::Error(text)) => {
                    DatabaseError::new(reason_of(&text), &self.server, tried, advised(&text))
                }
                _ => lost,
            });
        }
        self.is_torn = false;
        self.owed += count;
        Ok(())
    }

    async fn receive(&mut self, tried: &str) -> Result<Reply, DatabaseError> {
        loop {
            match reply::parse(&self.buffer) {
                Ok(Some((reply, length))) => {
                    self.buffer.drain(..length);
                    return Ok(reply);
                }
                Ok(None) if self.buffer.len() > LONGEST => {
                    return Err(self.lost(tried, "the answer has no end"));
                }
                Ok(None) => {}
                Err(wrong) => {
                    let cause = format!("this is not how Redis answers: {wrong}");
                    return Err(DatabaseError::new(Reason::Unsupported, &self.server, tried, cause));
                }
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(self.lost(tried, "it closed the connection")),
                Ok(_) => self.acknowledge(),
                Err(error) => return Err(self.lost(tried, &error.to_string())),
            }
        }
    }

    /// Has the kernel acknowledge what was read, which it else puts off by some 40 ms. The server's keepalive finds that a
    /// network is lost only on a connection whose answers are all acknowledged, see tcp(7).
    fn acknowledge(&self) {
        if let Some(socket) = &self.socket {
            // Without it all works as well, but for that.
            let _ = set_tcp_quickack(socket, true);
        }
    }

    fn lost(&self, tried: &str, cause: &str) -> DatabaseError {
        DatabaseError::new(Reason::Lost, &self.server, tried, cause)
    }

    /// Whether the other end has closed; what it said meanwhile is kept.
    async fn is_closed(&mut self) -> bool {
        let (stream, buffer) = (&mut self.stream, &mut self.buffer);
        std::future::poll_fn(|context| {
            let mut room = [0; 512];
            let mut room = ReadBuf::new(&mut room);
            Poll::Ready(match Pin::new(&mut **stream).poll_read(context, &mut room) {
                Poll::Pending => false,
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {
                    buffer.extend_from_slice(room.filled());
                    false
                }
                Poll::Ready(_) => true,
            })
        })
        .await
    }

    /// What a section of `INFO` says, by name.
    async fn info(&mut self, section: &str) -> Result<BTreeMap<String, String>, DatabaseError> {
        let reply = self.ask(&["INFO", section]).await?;
        Ok(reply::lines(&reply.text().unwrap_or_default()).collect())
    }

    /// A value of the configuration; none where we may not read it.
    async fn configured(&mut self, name: &str) -> Result<Option<String>, DatabaseError> {
        match self.ask(&["CONFIG", "GET", name]).await {
            Ok(reply) => Ok(reply.items().nth(1).and_then(Reply::text)),
            Err(error) if matches!(error.reason, Reason::Answered | Reason::Denied) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All clients with what the server knows of them, without ourselves.
    async fn clients(&mut self) -> Result<Vec<BTreeMap<String, String>>, DatabaseError> {
        let own = self.ask(&["CLIENT", "ID"]).await?.text().unwrap_or_default();
        let list = self.ask(&["CLIENT", "LIST"]).await?.text().unwrap_or_default();
        let clients = list.lines().map(|line| {
            let pairs = line.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
        });
        Ok(clients.filter(|client| client.get("id").is_some_and(|id| *id != own)).collect())
    }

    /// `EACH CLIENT user=app name!=squall* SAY CLIENT KILL ID {id}`: what Redis has no command for. Answers how many
    /// there were.
    async fn each(&mut self, words: &[&str]) -> Result<Rows, DatabaseError> {
        let wrong = || {
            let cause = "after EACH CLIENT come conditions, then SAY and a command";
            DatabaseError::new(Reason::Unsupported, &self.server, "ask", cause)
        };
        let say = words.iter().position(|word| *word == "SAY").ok_or_else(wrong)?;
        let (conditions, command) = (&words[..say], &words[say + 1..]);
        let mut struck = 0_u64;
        for client in self.clients().await? {
            if !conditions.iter().all(|condition| fits(&client, condition)) {
                continue;
            }
            let id = client.get("id").map_or("", String::as_str);
            let words: Vec<String> = command.iter().map(|word| word.replace("{id}", id)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match self.ask(&words).await {
                Ok(_) => struck += 1,
                // Gone since.
                Err(error) if error.reason == Reason::Answered => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Reply::Text(struck.to_string()).rows(words))
    }
}

impl Session for Redis {
    fn say<'s>(&'s mut self, statement: &'s Statement) -> Pending<'s, Rows> {
        Box::pin(async {
            let words: Vec<&str> = statement.0.iter().map(String::as_str).collect();
            match words.as_slice() {
                [] => Ok(Rows::default()),
                ["EACH", "CLIENT", rest @ ..] => self.each(rest).await,
                words => Ok(self.ask(words).await?.rows(words)),
            }
        })
    }

    /// The server takes one command after the other from what lies there, also while the network is lost; but it forgets
    /// those of a client that has closed.
    fn say_last<'s>(&'s mut self, statements: &'s [Statement]) -> Pending<'s, Rows> {
        Box::pin(async move {
            let said = statements.iter().map(|statement| {
                let words: Vec<&str> = statement.0.iter().map(String::as_str).collect();
                command(&words)
            });
            let bytes: Vec<u8> = said.chain([command(&["QUIT"])]).flatten().collect();
            self.send("ask", &bytes, statements.len() + 1).await?;
            let mut rows = Rows::default();
            for _ in statements {
                let reply = self.receive("ask").await?;
                self.owed -= 1;
                rows = self.accepted("ask", reply)?.rows(&[]);
            }
            Ok(rows)
        })
    }

    fn keep_alive(&mut self) -> Pending<'_, ()> {
        Box::pin(async {
            if self.heard.elapsed() >= SAYS_SOMETHING {
                return self.ask(&["PING"]).await.map(drop);
            }
            if self.is_closed().await { Err(self.lost("ask", "it closed the connection")) } else { Ok(()) }
        })
    }

    fn facts(&mut self) -> Pending<'_, DatabaseFacts> {
        Box::pin(async {
            let mut says = self.info("default").await?;
            let mut settings = BTreeMap::new();
            for name in ["tcp-keepalive", "timeout", "min-replicas-to-write"] {
                settings.extend(self.configured(name).await?.map(|value| (name.to_owned(), value)));
            }
            let clients = match self.clients().await {
                Ok(clients) => clients.into_iter().filter_map(client).take(1000).collect(),
                Err(error) if error.reason == Reason::Denied => Vec::new(),
                Err(error) => return Err(error),
            };
            // Who may read the configuration may do the rest, as a rule.
            let is_superuser = !settings.is_empty();
            let limit = match says.get("maxclients") {
                Some(limit) => Some(limit.clone()),
                None => self.configured("maxclients").await?,
            };
            let number = |text: Option<&String>| text.and_then(|text| text.parse::<u64>().ok());
            for name in ["maxmemory", "maxmemory_policy", "used_memory", "role"] {
                settings.extend(says.remove(name).map(|value| (name.to_owned(), value)));
            }
            Ok(DatabaseFacts {
                server: self.server.clone(),
                version: says.remove("redis_version").unwrap_or_default(),
                user: self.server.user.clone().unwrap_or_else(|| "default".to_owned()),
                is_superuser,
                is_replica: settings.get("role").is_some_and(|role| role != "master"),
                limit: number(limit.as_ref()),
                reserved: 0,
                used: number(says.get("connected_clients")).unwrap_or(1).saturating_sub(1),
                settings,
                clients,
            })
        })
    }

    fn marked<'s>(&'s mut self, prefix: &'s str) -> Pending<'s, Vec<Marked>> {
        Box::pin(async move {
            let clients = self.clients().await?.into_iter();
            let marked = clients.filter_map(|mut client| {
                let mark = client.remove("name").filter(|name| name.starts_with(prefix))?;
                Some(Marked { id: client.remove("id")?, mark })
            });
            Ok(marked.collect())
        })
    }

    fn end<'s>(&'s mut self, other: &'s Marked) -> Pending<'s, ()> {
        Box::pin(async move {
            // Numbers of clients are never used again.
            match self.ask(&["CLIENT", "KILL", "ID", &other.id]).await {
                Err(error) if error.reason != Reason::Answered => Err(error),
                _ => Ok(()),
            }
        })
    }

    fn let_go<'s>(&'s mut self, other: &'s Marked) -> Pending<'s, ()> {
        Box::pin(async move {
            // As though its time were over. Of one that waits for nothing it is said that it does not.
            match self.ask(&["CLIENT", "UNBLOCK", &other.id]).await {
                Ok(reply) if reply.text().as_deref() == Some("1") => Ok(()),
                Err(error) if error.reason != Reason::Answered => Err(error),
                _ => self.end(other).await,
            }
        })
    }
}

/// A client as planners see it, unless it is Squall's own or a server that replicates.
fn client(mut told: BTreeMap<String, String>) -> Option<ClientFacts> {
    let mut known = |name: &str| told.remove(name).filter(|text| !text.is_empty());
    let (application, flags) = (known("name"), known("flags").unwrap_or_default());
    if application.as_deref().is_some_and(|name| name.starts_with("squall")) || flags.starts_with(['S', 'M'])
    {
        return None;
    }
    Some(ClientFacts {
        id: known("id")?,
        user: known("user"),
        database: known("db"),
        application,
        address: known("addr"),
        state: known("cmd"),
        seconds: known("idle").and_then(|text| text.parse().ok()),
        is_superuser: false,
    })
}

/// A command as it is sent.
fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// An error with what to do about it, where there is something to do about an address or the server.
fn advised(text: &str) -> String {
    let remedy = match text {
        _ if text.starts_with("NOAUTH") => NO_PASSWORD,
        _ if text.starts_with("WRONGPASS") || text.contains("invalid password") => WRONG_PASSWORD,
        _ if text.contains("without any password") => "; that server has no password: leave it away",
        _ if text.contains("max number of clients") => {
            "; end connections that nobody needs, or raise maxclients there"
        }
        _ if text.contains("DB index is out of range") => "; name a database that is there: redis://host/0",
        _ => "",
    };
    format!("{text}{remedy}")
}

/// What an error means, by its first word.
fn reason_of(text: &str) -> Reason {
    match text.split(' ').next().unwrap_or_default() {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => Reason::Denied,
        _ if text.contains("max number of clients reached") => Reason::Full,
        _ if text.contains("invalid password") || text.contains("without any password") => Reason::Denied,
        _ => Reason::Answered,
    }
}

#[cfg(test)]
mod tests;
