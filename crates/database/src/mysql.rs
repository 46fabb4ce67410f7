//! MySQL and MariaDB, over their text protocol.
//!
//! It is spoken here, since the library of the field (`mysql_async`) ends a session only after what it waits for, forgets
//! where it was when a question is given up, and knows not all ways to check a certificate: what Squall holds must go at once.
//!
//! A session goes by the attribute `program_name`, where the server keeps those (`performance_schema`), and by a comment in
//! front of whatever it says, which the list of processes shows while that runs. And it holds locks of `GET_LOCK` that have its
//! number and its name, by which it is found while it says nothing.
//!
//! Sources: <https://mariadb.com/kb/en/clientserver-protocol/> and
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>

mod auth;
mod wire;

use crate::error::{NO_PASSWORD, WRONG_PASSWORD};
use crate::{DatabaseError, Login, Manner, Marked, Pending, Reason, Rows, Session, tls};
use auth::Plugin;
use squall_model::facts::{ClientFacts, DatabaseFacts};
use squall_model::server::{MARK_PREFIX, ServerKind, ServerRef, Statement, TlsMode};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use wire::{Answer, Greeting, Packet, Step};

/// The most that one answer may hold.
const LONGEST: usize = 64 << 20;
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

struct Mysql {
    stream: Box<dyn Stream>,
    /// What was read and not yet understood.
    buffer: Vec<u8>,
    /// An answer that nobody waits for any more, as far as it was read.
    unread: Option<Answer>,
    /// Whether a command may have been sent in part: then nothing more can be said.
    is_torn: bool,
    /// What stands in front of whatever is said.
    comment: String,
    server: ServerRef,
    greeting: Greeting,
}

/// Opens a session and sets its limits.
pub(crate) async fn open(login: &Login, manner: &Manner) -> Result<Box<dyn Session>, DatabaseError> {
    let server = &login.server;
    let stream = connect(server).await?;
    let comment =
        if manner.name.starts_with(MARK_PREFIX) { format!("/* {} */ ", manner.name) } else { String::new() };
    let mut session = Mysql {
        stream,
        buffer: Vec::new(),
        unread: None,
        is_torn: false,
        comment,
        server: server.clone(),
        greeting: Greeting::default(),
    };
    let first = session.packet("connect to").await?;
    session.greeting = session
        .refuse("connect to", &first)
        .and_then(|()| wire::greeting(&first.payload).ok_or_else(|| session.strange("connect to")))?;
    let session = session.encrypt().await?;
    let mut session = session.log_in(login, &manner.name).await?;
    session.limit(manner.lease).await?;
    session.sign(&manner.name).await?;
    Ok(Box::new(session))
}

async fn connect(server: &ServerRef) -> Result<Box<dyn Stream>, DatabaseError> {
    let cannot = |error: io::Error| refused(server, &error);
    if server.host.starts_with('/') {
        return Ok(Box::new(UnixStream::connect(&server.host).await.map_err(cannot)?));
    }
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(cannot)?;
    stream.set_nodelay(true).map_err(cannot)?;
    Ok(Box::new(stream))
}

fn refused(server: &ServerRef, error: &io::Error) -> DatabaseError {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Reason::Refused,
        _ => Reason::Unreachable,
    };
    DatabaseError::new(reason, server, "connect to", error.to_string())
}

impl Mysql {
    /// Speaks TLS from here on, where that is wanted and the server has it.
    async fn encrypt(mut self) -> Result<Self, DatabaseError> {
        let (server, has_tls) = (self.server.clone(), self.greeting.has(wire::SSL));
        match server.tls {
            _ if server.host.starts_with('/') => return Ok(self),
            TlsMode::Disable => return Ok(self),
            TlsMode::Prefer if !has_tls => return Ok(self),
            _ if !has_tls => {
                let cause = "the server speaks no TLS: switch it on there, or say sslmode=disable";
                return Err(DatabaseError::new(Reason::Unreachable, &server, "connect to", cause));
            }
            _ => {}
        }
        self.send("connect to", 1, &wire::wants_tls(server.database.is_some())).await?;
        let connector = TlsConnector::from(Arc::new(tls::configuration(&server)?));
        let stream = connector.connect(tls::name(&server)?, self.stream).await;
        self.stream = Box::new(stream.map_err(|error| refused(&server, &error))?);
        self.greeting.is_encrypted = true;
        Ok(self)
    }

    async fn log_in(mut self, login: &Login, name: &str) -> Result<Self, DatabaseError> {
        const TRIED: &str = "log in to";
        let server = self.server.clone();
        let user = server.user.as_deref().unwrap_or("root");
        let password = login.password.as_deref().unwrap_or_default();
        let is_private = self.greeting.is_encrypted || server.host.starts_with('/');
        let (mut plugin, mut nonce) = (self.greeting.plugin.clone(), self.greeting.nonce.clone());
        // A plugin that is not known may still be changed for another one.
        let first = auth::respond(&plugin, password, &nonce, is_private).unwrap_or_default();
        let hello =
            wire::hello(user, server.database.as_deref(), &plugin, &first, name, self.greeting.is_encrypted);
        self.send(TRIED, if self.greeting.is_encrypted { 2 } else { 1 }, &hello).await?;
        loop {
            let packet = self.packet(TRIED).await?;
            self.refuse(TRIED, &packet)?;
            match packet.payload.as_slice() {
                [0x00, ..] => return Ok(self),
                [0xfe, rest @ ..] => {
                    (plugin, nonce) = wire::change(rest).ok_or_else(|| self.strange(TRIED))?;
                    let response = auth::respond(&plugin, password, &nonce, is_private);
                    let response = response.map_err(|cause| self.denied(&cause))?;
                    self.send(TRIED, packet.number.wrapping_add(1), &response).await?;
                }
                // What it thinks of the hash: known, or to be told the password itself.
                [0x01, 0x03] => {}
                [0x01, 0x04] if Plugin::of(&plugin) == Some(Plugin::CachingSha2) => {
                    let whole =
                        auth::in_the_clear(password, is_private).map_err(|cause| self.denied(&cause))?;
                    self.send(TRIED, packet.number.wrapping_add(1), &whole).await?;
                }
                _ => return Err(self.strange(TRIED)),
            }
        }
    }

    /// What the server ends by itself. A statement that is said in slices ends first, then the session is idle: both
    /// together are no longer than the lease.
    async fn limit(&mut self, lease: Option<Duration>) -> Result<(), DatabaseError> {
        let (idle, longest) = match lease {
            Some(lease) => ((lease / 2).as_secs().max(1), lease.as_secs().max(1)),
            None => (86_400, 0),
        };
        let waits = if lease.is_some() { 2 } else { 86_400 };
        let statement = if self.greeting.is_mariadb() {
            format!("max_statement_time = {longest}")
        } else {
            format!("max_execution_time = {}", longest * 1000)
        };
        let limits = format!(
            "SET SESSION wait_timeout = {idle}, net_read_timeout = {idle}, net_write_timeout = {idle}, \
             lock_wait_timeout = {waits}, innodb_lock_wait_timeout = {waits}, {statement}"
        );
        self.ask(&limits).await.map(drop)
    }

    /// Takes two locks that nobody else wants: with its number one can be asked for, whether a session is Squall's, and whether
    /// it goes by a mark, also while it says nothing.
    async fn sign(&mut self, name: &str) -> Result<(), DatabaseError> {
        for name in BTreeSet::from(["squall", name]) {
            let lock = ServerKind::Mysql.literal(&format!("{name} {}", self.greeting.id));
            self.ask(&format!("DO GET_LOCK({lock}, 0)")).await?;
        }
        Ok(())
    }

    async fn ask(&mut self, text: &str) -> Result<Rows, DatabaseError> {
        self.command(&self.query(text)).await
    }

    fn query(&self, text: &str) -> Vec<u8> {
        [&[wire::QUERY], self.comment.as_bytes(), text.as_bytes()].concat()
    }

    /// Sends a command and waits for its answer. May be given up at any time: the answer is then passed over.
    async fn command(&mut self, bytes: &[u8]) -> Result<Rows, DatabaseError> {
        const TRIED: &str = "ask";
        if self.unread.is_some() {
            // Whatever it says is nobody's business any more, but that it is lost.
            if let Err(error) = self.answer(TRIED).await
                && error.reason == Reason::Lost
            {
                return Err(error);
            }
        }
        self.send(TRIED, 0, bytes).await?;
        self.unread = Some(Answer::default());
        self.answer(TRIED).await
    }

    async fn answer(&mut self, tried: &str) -> Result<Rows, DatabaseError> {
        loop {
            let packet = self.packet(tried).await?;
            let Some(mut answer) = self.unread.take() else { return Ok(Rows::default()) };
            self.refuse(tried, &packet)?;
            match answer.take(&packet.payload) {
                Step::More => self.unread = Some(answer),
                Step::Done => return Ok(answer.rows),
                // It asks for a file of ours.
                Step::File => {
                    self.unread = Some(answer);
                    self.send(tried, packet.number.wrapping_add(1), &[]).await?;
                }
                Step::Strange => {
                    self.is_torn = true;
                    return Err(self.strange(tried));
                }
            }
        }
    }

    async fn send(&mut self, tried: &str, number: u8, payload: &[u8]) -> Result<(), DatabaseError> {
        self.send_framed(tried, &wire::framed(number, payload)).await
    }

    async fn send_framed(&mut self, tried: &str, bytes: &[u8]) -> Result<(), DatabaseError> {
        if self.is_torn {
            return Err(self.lost(tried, "a command was sent in part"));
        }
        self.is_torn = true;
        let sent = match self.stream.write_all(bytes).await {
            Ok(()) => self.stream.flush().await,
            Err(error) => Err(error),
        };
        sent.map_err(|error| self.lost(tried, &error.to_string()))?;
        self.is_torn = false;
        Ok(())
    }

    async fn packet(&mut self, tried: &str) -> Result<Packet, DatabaseError> {
        loop {
            if let Some(packet) = wire::unframed(&mut self.buffer) {
                return Ok(packet);
            }
            if self.buffer.len() > LONGEST {
                return Err(self.lost(tried, "the answer has no end"));
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(self.lost(tried, "it closed the connection")),
                Ok(_) => {}
                Err(error) => return Err(self.lost(tried, &error.to_string())),
            }
        }
    }

    /// An error, where the packet is one.
    fn refuse(&self, tried: &str, packet: &Packet) -> Result<(), DatabaseError> {
        let Some((code, text)) = wire::error(&packet.payload) else { return Ok(()) };
        let reason = match code {
            1040 | 1203 | 1226 => Reason::Full,
            1044 | 1045 | 1130 | 1142 | 1143 | 1227 | 1251 | 1698 => Reason::Denied,
            1053 | 1927 => Reason::Lost,
            _ => Reason::Answered,
        };
        let remedy = match code {
            1045 if text.contains("using password: NO") => NO_PASSWORD,
            1045 => WRONG_PASSWORD,
            1698 => {
                "; this user logs in as the system's user of that name: come over the socket (?host=/path/of.sock) as that one, or \
                 name another user"
            }
            1130 => "; allow this host there: CREATE USER name@'host'",
            1044 => "; grant the user something on that database, or name another one",
            1046 | 1049 => "; name a database that is there: mysql://user@host/database",
            1040 => "; end sessions that nobody needs, or raise max_connections there",
            1203 | 1226 => {
                "; end sessions of this user, or raise how many they may have (max_user_connections)"
            }
            _ => "",
        };
        Err(DatabaseError::new(reason, &self.server, tried, format!("{text} [{code}]{remedy}")))
    }

    fn lost(&self, tried: &str, cause: &str) -> DatabaseError {
        DatabaseError::new(Reason::Lost, &self.server, tried, cause)
    }

    fn denied(&self, cause: &str) -> DatabaseError {
        DatabaseError::new(Reason::Denied, &self.server, "log in to", cause)
    }

    fn strange(&self, tried: &str) -> DatabaseError {
        DatabaseError::new(Reason::Unsupported, &self.server, tried, "this is not how MySQL answers")
    }

    /// Sessions with what they say just now, without this one.
    async fn processes(&mut self) -> Result<Vec<Vec<Option<String>>>, DatabaseError> {
        let own = self.greeting.id.to_string();
        let rows = self.ask("SHOW FULL PROCESSLIST").await?.rows;
        Ok(rows.into_iter().filter(|row| row.len() >= 8 && row[0].as_deref() != Some(&own)).collect())
    }

    async fn each(&mut self, question: &str, deed: &str) -> Result<Rows, DatabaseError> {
        let mut struck = 0_u64;
        for row in self.ask(question).await?.rows {
            let Some(Some(id)) = row.into_iter().next() else { continue };
            match self.ask(&deed.replace("{id}", &id)).await {
                Ok(_) => struck += 1,
                // Gone since.
                Err(error) if error.reason == Reason::Answered => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Rows {
            columns: vec!["struck".to_owned()],
            rows: vec![vec![Some(struck.to_string())]],
            changed: 0,
        })
    }
}

impl Session for Mysql {
    /// Of two texts the second is said for each row of the answer to the first, with its first column as `{id}`.
    fn say<'s>(&'s mut self, statement: &'s Statement) -> Pending<'s, Rows> {
        Box::pin(async {
            match statement.0.as_slice() {
                [question, deed] => self.each(question, deed).await,
                _ => self.ask(&statement.to_string()).await,
            }
        })
    }

    /// The server takes one command after the other from what lies there. What it has not read yet is also why it does not
    /// notice that we are gone while it waits within the first.
    fn say_last<'s>(&'s mut self, statements: &'s [Statement]) -> Pending<'s, Rows> {
        Box::pin(async move {
            let said =
                statements.iter().map(|statement| wire::framed(0, &self.query(&statement.to_string())));
            let bytes: Vec<u8> = said.chain([wire::framed(0, &[wire::QUIT])]).flatten().collect();
            self.send_framed("ask", &bytes).await?;
            // Nothing more can be said.
            self.is_torn = true;
            let mut rows = Rows::default();
            for _ in statements {
                self.unread = Some(Answer::default());
                rows = self.answer("ask").await?;
            }
            Ok(rows)
        })
    }

    fn keep_alive(&mut self) -> Pending<'_, ()> {
        Box::pin(async { self.command(&[wire::PING]).await.map(drop) })
    }

    fn facts(&mut self) -> Pending<'_, DatabaseFacts> {
        Box::pin(async {
            let rows = self.ask(FACTS).await?;
            let named: BTreeMap<&str, &str> = rows.named().collect();
            let text = |name: &str| named.get(name).copied().unwrap_or_default().to_owned();
            let number = |name: &str| text(name).parse::<u64>().ok();
            let grants = self.ask("SHOW GRANTS").await.map(|rows| rows.rows).unwrap_or_default();
            let may_all = |grant: &str| {
                grant.contains(" ON *.* ") && (grant.contains("ALL PRIVILEGES") || grant.contains("SUPER"))
            };
            let is_superuser = grants.iter().flatten().flatten().any(|grant| may_all(grant));
            let used = self.ask("SHOW GLOBAL STATUS LIKE 'Threads_connected'").await?;
            let used =
                used.rows.first().and_then(|row| row.get(1)?.as_deref()?.parse::<u64>().ok()).unwrap_or(1);
            let replica = self.ask("SHOW SLAVE STATUS").await.is_ok_and(|rows| !rows.rows.is_empty());
            let processes = self.processes().await?;
            let settings = [("database", text("database")), ("read_only", text("read_only"))];
            Ok(DatabaseFacts {
                server: self.server.clone(),
                version: text("version"),
                user: text("user"),
                is_superuser,
                is_replica: replica,
                limit: number("limit"),
                // One more is let in, where it may do anything.
                reserved: 0,
                used: used.saturating_sub(1),
                clients: processes.into_iter().filter_map(client).take(1000).collect(),
                settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
            })
        })
    }

    fn marked<'s>(&'s mut self, prefix: &'s str) -> Pending<'s, Vec<Marked>> {
        Box::pin(async move {
            let mut found = BTreeSet::new();
            let literal = ServerKind::Mysql.literal(prefix);
            let attributes = format!(
                "SELECT PROCESSLIST_ID, ATTR_VALUE FROM performance_schema.session_account_connect_attrs \
                 WHERE ATTR_NAME = 'program_name' AND LEFT(ATTR_VALUE, CHAR_LENGTH({literal})) = {literal} \
                 AND PROCESSLIST_ID <> CONNECTION_ID()"
            );
            let attributes = match self.ask(&attributes).await {
                Ok(rows) => rows.rows,
                Err(error) if error.reason == Reason::Lost => return Err(error),
                Err(_) => Vec::new(),
            };
            for row in attributes {
                if let [Some(id), Some(mark)] = &row[..] {
                    found.insert(Marked { id: id.clone(), mark: mark.clone() });
                }
            }
            // Those that go by this very name hold a lock with it.
            let idle = format!(
                "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() \
                 AND IS_USED_LOCK(CONCAT({literal}, ' ', ID)) = ID"
            );
            let idle = self.ask(&idle).await?.rows.into_iter().filter_map(|row| row.into_iter().next()?);
            found.extend(idle.map(|id| Marked { id, mark: prefix.to_owned() }));
            let processes = self.processes().await?;
            found.extend(processes.iter().filter_map(|row| {
                let mark = row[7].as_deref()?.strip_prefix("/* ")?.split_once(" */")?.0;
                let id = row[0].clone()?;
                mark.starts_with(prefix).then(|| Marked { id, mark: mark.to_owned() })
            }));
            let mut found: Vec<Marked> = found.into_iter().collect();
            found.sort_by_key(|marked| marked.id.parse::<u64>().unwrap_or(u64::MAX));
            Ok(found)
        })
    }

    fn end<'s>(&'s mut self, other: &'s Marked) -> Pending<'s, ()> {
        Box::pin(async move {
            // Numbers of sessions are not used again while the server runs.
            let id: u64 = other.id.parse().unwrap_or_default();
            match self.ask(&format!("KILL CONNECTION {id}")).await {
                Err(error) if error.reason != Reason::Answered => Err(error),
                _ => Ok(()),
            }
        })
    }
}

/// A client as planners see it, unless it is Squall's own or none that a user has.
fn client(row: Vec<Option<String>>) -> Option<ClientFacts> {
    let [id, user, host, database, command, seconds, _, info, ..] = &row[..] else { return None };
    let is_own = info.as_deref().is_some_and(|info| info.starts_with("/* squall"));
    let is_client = !matches!(command.as_deref(), Some("Daemon" | "Binlog Dump" | "Binlog Dump GTID"))
        && user.as_deref() != Some("system user");
    if is_own || !is_client {
        return None;
    }
    Some(ClientFacts {
        id: id.clone()?,
        user: user.clone(),
        database: database.clone(),
        application: None,
        address: host.clone(),
        state: command.clone(),
        seconds: seconds.as_deref().and_then(|text| text.parse().ok()),
        is_superuser: false,
    })
}

const FACTS: &str = "SELECT VERSION() AS version, CURRENT_USER() AS user, @@max_connections AS `limit`, \
                     DATABASE() AS `database`, IF(@@global.read_only, 'ON', 'OFF') AS read_only";

#[cfg(test)]
mod tests;
