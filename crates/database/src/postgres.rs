//! PostgreSQL, and what speaks its protocol (version 3).
//!
//! Sources: <https://www.postgresql.org/docs/current/runtime-config-client.html> and
//! <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW>

use crate::error::{NO_PASSWORD, WRONG_PASSWORD};
use crate::{DatabaseError, Login, Manner, Marked, Pending, Reason, Rows, Session, tls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use squall_model::facts::{ClientFacts, DatabaseFacts};
use squall_model::server::{ServerKind, ServerRef, Statement, TlsMode};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_rustls::TlsConnector;
use tokio_rustls::client;

struct Postgres {
    client: Client,
    /// Carries the bytes; ended with the session, so that the server sees its end at once.
    carrier: JoinHandle<()>,
    server: ServerRef,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// Opens a session and sets its limits.
pub(crate) async fn open(login: &Login, manner: &Manner) -> Result<Box<dyn Session>, DatabaseError> {
    let server = &login.server;
    let mut config = Config::new();
    config.user(server.user.as_deref().unwrap_or("postgres")).application_name(&manner.name);
    config.dbname(server.database.as_deref().or(server.user.as_deref()).unwrap_or("postgres"));
    if let Some(password) = &login.password {
        config.password(password);
    }
    let cannot = |error: io::Error| {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Reason::Refused,
            _ => Reason::Unreachable,
        };
        DatabaseError::new(reason, server, "connect to", error.to_string())
    };
    let (client, carrier) = if server.host.starts_with('/') {
        let path = format!("{}/.s.PGSQL.{}", server.host.trim_end_matches('/'), server.port);
        config.ssl_mode(SslMode::Disable);
        start(server, &config, UnixStream::connect(path).await.map_err(cannot)?).await?
    } else {
        config.ssl_mode(match server.tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await.map_err(cannot)?;
        stream.set_nodelay(true).map_err(cannot)?;
        start(server, &config, stream).await?
    };
    let mut session = Postgres { client, carrier, server: server.clone() };
    session.limit(manner.lease).await?;
    Ok(Box::new(session))
}

async fn start<S>(
    server: &ServerRef,
    config: &Config,
    stream: S,
) -> Result<(Client, JoinHandle<()>), DatabaseError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let refused = |error| told(server, "connect to", &error);
    // What comes back of a connection comes back to whoever asks as well. Only where TLS may be spoken does the host need
    // a name that a certificate can bear.
    if server.tls == TlsMode::Disable || server.host.starts_with('/') {
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(refused)?;
        return Ok((client, tokio::spawn(async { drop(connection.await) })));
    }
    let connector = Connector(tls::name(server)?, Arc::new(tls::configuration(server)?));
    let (client, connection) = config.connect_raw(stream, connector).await.map_err(refused)?;
    Ok((client, tokio::spawn(async { drop(connection.await) })))
}

impl Postgres {
    /// What the server ends by itself. What a version does not know is left out. A session without a lease is to outlive
    /// us: it does not look whether we are there, and waits for as long as it takes.
    async fn limit(&mut self, lease: Option<Duration>) -> Result<(), DatabaseError> {
        let version = self.ask("SHOW server_version_num").await?;
        let version: u64 = version.first().and_then(|text| text.parse().ok()).unwrap_or(0);
        let is_local = self.server.host.starts_with('/');
        let (looks, waits) = if lease.is_some() { (1000, 2000) } else { (0, 0) };
        let lease = lease.map_or(0, |lease| lease.as_millis());
        let mut limits = vec![
            format!("SET statement_timeout = {lease}"),
            format!("SET idle_in_transaction_session_timeout = {lease}"),
            format!("SET lock_timeout = {waits}"),
            // Whoever made the database read-only must be able to take that back.
            "SET default_transaction_read_only = off".to_owned(),
        ];
        if version >= 140_000 {
            limits.push(format!("SET idle_session_timeout = {lease}"));
            limits.push(format!("SET client_connection_check_interval = {looks}"));
        }
        if version >= 120_000 && !is_local {
            limits.push(format!("SET tcp_user_timeout = {lease}"));
        }
        if version >= 170_000 {
            limits.push("SET transaction_timeout = 0".to_owned());
        }
        if version < 140_000 && !is_local && lease > 0 {
            // An idle session has no other end there than this.
            limits.push(format!("SET tcp_keepalives_idle = {}", (lease / 2000).max(1)));
            limits.push("SET tcp_keepalives_interval = 1".to_owned());
            limits.push(format!("SET tcp_keepalives_count = {}", (lease / 2000).max(1)));
        }
        self.ask(&limits.join("; ")).await.map(drop)
    }

    async fn ask(&mut self, text: &str) -> Result<Rows, DatabaseError> {
        let messages = self.client.simple_query(text).await;
        let messages = messages.map_err(|error| told(&self.server, "ask", &error))?;
        let mut rows = Rows::default();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    rows.columns = columns.iter().map(|column| column.name().to_owned()).collect();
                    rows.rows.clear();
                }
                SimpleQueryMessage::Row(row) => {
                    let values = (0..row.len()).map(|index| row.get(index).map(str::to_owned));
                    rows.rows.push(values.collect());
                }
                SimpleQueryMessage::CommandComplete(changed) => rows.changed = changed,
                _ => {}
            }
        }
        Ok(rows)
    }
}

impl Session for Postgres {
    fn say<'s>(&'s mut self, statement: &'s Statement) -> Pending<'s, Rows> {
        Box::pin(async { self.ask(&statement.to_string()).await })
    }

    fn keep_alive(&mut self) -> Pending<'_, ()> {
        // Nothing is said, which is answered all the same, in a transaction that failed too.
        Box::pin(async { self.ask("").await.map(drop) })
    }

    fn facts(&mut self) -> Pending<'_, DatabaseFacts> {
        Box::pin(async {
            let clients = self.ask(CLIENTS).await?;
            let rows = self.ask(FACTS).await?;
            let named: BTreeMap<&str, &str> = rows.named().collect();
            let number = |name: &str| named.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            let text = |name: &str| named.get(name).copied().unwrap_or_default().to_owned();
            Ok(DatabaseFacts {
                server: self.server.clone(),
                version: text("version"),
                user: text("user"),
                is_superuser: text("superuser") == "on",
                is_replica: text("replica") == "t",
                limit: Some(number("limit")),
                reserved: number("reserved") + number("reserved_too"),
                used: number("used"),
                clients: clients.rows.into_iter().filter_map(client).collect(),
                settings: ["database", "writers"]
                    .into_iter()
                    .filter_map(|name| Some((name.to_owned(), (*named.get(name)?).to_owned())))
                    .collect(),
            })
        })
    }

    fn marked<'s>(&'s mut self, prefix: &'s str) -> Pending<'s, Vec<Marked>> {
        Box::pin(async move {
            let prefix = ServerKind::Postgres.literal(prefix);
            let question = format!(
                "SELECT pid, application_name FROM pg_stat_activity \
                 WHERE starts_with(application_name, {prefix}) AND pid <> pg_backend_pid() ORDER BY backend_start"
            );
            let rows = self.ask(&question).await?.rows;
            let marked = rows.into_iter().filter_map(|row| {
                let [id, mark] = <[_; 2]>::try_from(row).ok()?;
                Some(Marked { id: id?, mark: mark? })
            });
            Ok(marked.collect())
        })
    }

    fn end<'s>(&'s mut self, other: &'s Marked) -> Pending<'s, ()> {
        Box::pin(async move {
            // Its number may be another's by now: the name is looked at in the same breath.
            let mark = ServerKind::Postgres.literal(&other.mark);
            let id: u64 = other.id.parse().unwrap_or_default();
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {id} AND application_name = {mark}"
            );
            self.ask(&end).await.map(drop)
        })
    }
}

const FACTS: &str = r#"SELECT current_setting('server_version') AS version, current_user AS "user",
    current_setting('is_superuser') AS superuser, pg_is_in_recovery() AS replica, current_database() AS database,
    current_setting('max_connections') AS "limit",
    current_setting('superuser_reserved_connections') AS reserved,
    coalesce(current_setting('reserved_connections', true), '0') AS reserved_too,
    (SELECT string_agg(DISTINCT quote_ident(r.rolname), ', ') FROM pg_db_role_setting AS s JOIN pg_roles AS r ON r.oid = s.setrole
     JOIN pg_database AS d ON s.setdatabase IN (0, d.oid) AND d.datname = current_database(), unnest(s.setconfig) AS setting
     WHERE setting IN ('default_transaction_read_only=off', 'default_transaction_read_only=false',
     'default_transaction_read_only=no', 'default_transaction_read_only=0')) AS writers,
    (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
     AND coalesce(backend_type, 'client backend') = 'client backend') AS used"#;

/// Of others the server tells only who they are to whoever may not read all statistics: the kind of a session too is none
/// then, and so are state and address.
const CLIENTS: &str = "SELECT a.pid, a.usename, a.datname, nullif(a.application_name, ''), host(a.client_addr), a.state, \
    extract(epoch FROM clock_timestamp() - a.state_change), coalesce(r.rolsuper, false) \
    FROM pg_stat_activity AS a LEFT JOIN pg_roles AS r ON r.oid = a.usesysid \
    WHERE a.datid IS NOT NULL AND a.usesysid IS NOT NULL AND coalesce(a.backend_type, 'client backend') = 'client backend' \
    AND a.pid <> pg_backend_pid() AND a.application_name <> 'squall' AND NOT starts_with(a.application_name, 'squall-') \
    ORDER BY a.backend_start LIMIT 1000";

fn client(row: Vec<Option<String>>) -> Option<ClientFacts> {
    let [id, user, database, application, address, state, seconds, superuser] =
        <[_; 8]>::try_from(row).ok()?;
    Some(ClientFacts {
        id: id?,
        user,
        database,
        application,
        address,
        state,
        seconds: seconds.and_then(|text| text.parse().ok()),
        is_superuser: superuser.as_deref() == Some("t"),
    })
}

/// What came back, with what the server says of it.
fn told(server: &ServerRef, tried: &str, error: &tokio_postgres::Error) -> DatabaseError {
    let Some(database) = error.as_db_error() else {
        let mut cause = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            let inner_text = inner.to_string();
            if !cause.contains(&inner_text) {
                cause = format!("{cause}: {inner_text}");
            }
            source = inner.source();
        }
        let is_without_password = cause.contains("password missing");
        let reason = match () {
            () if is_without_password => Reason::Denied,
            () if error.is_closed() => Reason::Lost,
            () => Reason::Unreachable,
        };
        let remedy = match () {
            () if is_without_password => NO_PASSWORD,
            () if cause.contains("server does not support TLS") => {
                "; the server speaks no TLS: switch it on there (ssl = on), or say sslmode=disable"
            }
            () if cause.contains("invalid peer certificate") => {
                "; name the authority that signed it with sslrootcert=/path/ca.pem, and the host as the certificate does"
            }
            () => "",
        };
        return DatabaseError::new(reason, server, tried, format!("{cause}{remedy}"));
    };
    let code = database.code();
    let reason = match *code {
        SqlState::TOO_MANY_CONNECTIONS => Reason::Full,
        SqlState::INSUFFICIENT_PRIVILEGE
        | SqlState::INVALID_PASSWORD
        | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Reason::Denied,
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => Reason::Lost,
        _ => Reason::Answered,
    };
    let remedy = match *code {
        SqlState::INVALID_PASSWORD => WRONG_PASSWORD,
        SqlState::TOO_MANY_CONNECTIONS => {
            "; end sessions that nobody needs, raise max_connections there, or name a superuser, for whom some are kept"
        }
        SqlState::INVALID_CATALOG_NAME if server.database.is_none() => {
            "; the address names no database, so the one of the user's name was meant: postgres://user@host/database"
        }
        SqlState::INVALID_CATALOG_NAME => "; name a database that is there: postgres://user@host/database",
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if database.message().ends_with("does not exist") => {
            "; name a user that is there: postgres://user@host/database"
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "; allow it in the server's pg_hba.conf (and where that asks for TLS, say sslmode=require)"
        }
        _ => "",
    };
    let mut cause = database.message().to_owned();
    for more in [database.detail(), database.hint()].into_iter().flatten() {
        cause = format!("{cause} ({more})");
    }
    let cause = format!("{cause} [{}]{remedy}", code.code());
    DatabaseError::new(reason, server, tried, cause)
}

/// Makes TLS of a stream, where it may.
struct Connector(ServerName<'static>, Arc<ClientConfig>);

impl<S> TlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async {
            TlsConnector::from(self.1).connect(self.0, stream).await.map(|stream| Encrypted(Box::new(stream)))
        })
    }
}

/// A stream with TLS.
struct Encrypted<S>(Box<client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
