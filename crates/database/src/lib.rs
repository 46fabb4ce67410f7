//! Clients of databases, caches and brokers, one file a kind of server.
//!
//! A session goes by a name that marks it as Squall's, so that whoever looks at the server knows whose it is, and finds
//! it again; and it carries limits that the server itself keeps, so that it ends even where the network or this host is
//! lost. All answers are text: what a value means is for those who ask.

mod each;
mod error;
mod mysql;
mod postgres;
mod rabbitmq;
mod redis;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tls;

pub use error::{DatabaseError, Reason};

use squall_model::facts::DatabaseFacts;
use squall_model::server::{PasswordRef, ServerKind, ServerRef, ServerUrl, Statement};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Where a password is looked for that stood in an address which nobody has any more.
pub const PASSWORD_VARIABLE: &str = "SQUALL_DATABASE_PASSWORD";

/// A server, and the password to it.
#[derive(Clone)]
pub struct Login {
    /// Which.
    pub server: ServerRef,
    password: Option<String>,
    /// What a node of Erlang lets others in by.
    cookie: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Login").field(&self.server).finish()
    }
}

impl Login {
    /// The server of an address.
    ///
    /// # Errors
    /// [`Reason::Denied`] where the password cannot be read from where the address says it is.
    pub fn of(url: &ServerUrl) -> Result<Self, DatabaseError> {
        Self::with(&url.server, url.password())
    }

    /// A server with the password that was told in its address, where one was.
    ///
    /// # Errors
    /// [`Reason::Denied`] where the password cannot be read from where the address says it is.
    pub fn with(server: &ServerRef, told: Option<&str>) -> Result<Self, DatabaseError> {
        let denied = |what: &str, cause: String| {
            DatabaseError::new(Reason::Denied, server, &format!("find the {what} for"), cause)
        };
        let cookie = server.broker.as_ref().map_or(&PasswordRef::None, |broker| &broker.cookie);
        let cookie = found(cookie, None).map_err(|cause| {
            let advice = "`cookie_file=PATH` or `cookie_env=NAME` says where it is; as a rule it is in \
                          /var/lib/rabbitmq/.erlang.cookie of the broker's host, which root and rabbitmq may read";
            denied("Erlang cookie", format!("{cause}; {advice}"))
        })?;
        let password = match found(&server.password, told) {
            // Who has the cookie is let in without.
            Err(_) if server.password == PasswordRef::Told && cookie.is_some() => None,
            password => password.map_err(|cause| denied("password", cause))?,
        };
        Ok(Self { server: server.clone(), password, cookie })
    }
}

/// A secret from where it is said to be.
fn found(secret: &PasswordRef, told: Option<&str>) -> Result<Option<String>, String> {
    match secret {
        PasswordRef::None => Ok(None),
        PasswordRef::Told => match told {
            Some(told) => Ok(Some(told.to_owned())),
            None => std::env::var(PASSWORD_VARIABLE).map(Some).map_err(|_| {
                format!("it stood in an address and was written nowhere; say it with {PASSWORD_VARIABLE}=…")
            }),
        },
        PasswordRef::Environment(name) => {
            std::env::var(name).map(Some).map_err(|error| format!("${name}: {error}"))
        }
        PasswordRef::File(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Some(text.trim().to_owned()))
        }
    }
}

/// How a session presents itself, and what ends it.
#[derive(Debug, Clone)]
pub struct Manner {
    /// The name that it goes by: a mark of [`squall_model::server::mark_of`], or `squall`.
    pub name: String,
    /// How long the server keeps it without hearing anything of it, and lets one statement run; none for a session that
    /// waits on the server itself.
    pub lease: Option<Duration>,
    /// How long the connecting may take.
    pub within: Duration,
}

impl Manner {
    /// A session that asks something and leaves.
    pub fn asking(within: Duration) -> Self {
        Self { name: "squall".to_owned(), lease: Some(within.max(Duration::from_secs(1)) * 2), within }
    }
}

/// What a server answered: the rows of the last statement that gave any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, with as many values each; none for what is null.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows a statement changed, where it says so.
    pub changed: u64,
}

impl Rows {
    /// The first value of the first row.
    pub fn first(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }

    /// The values of the first row by the names of their columns.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        let row = self.rows.first().into_iter().flatten();
        self.columns.iter().zip(row).filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
    }
}

/// What is waited for.
pub type Pending<'s, T> = Pin<Box<dyn Future<Output = Result<T, DatabaseError>> + Send + 's>>;

/// A session of ours that is somewhere on a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marked {
    /// What the server knows it by.
    pub id: String,
    /// The name that it goes by.
    pub mark: String,
}

/// An open session. Dropped, it is closed at once, whatever it is waiting for.
pub trait Session: Send + Sync {
    /// Says something and waits for the answer, without bound: the caller and the server's own limits set the time.
    fn say<'s>(&'s mut self, statement: &'s Statement) -> Pending<'s, Rows>;

    /// Says several last words in one breath and leaves, where the protocol lets one: while the server is busy with the first,
    /// the others lie there already and are carried out also where we are gone by then. Sent at once; answered after the last.
    fn say_last<'s>(&'s mut self, statements: &'s [Statement]) -> Pending<'s, Rows> {
        Box::pin(async move {
            let mut rows = Rows::default();
            for statement in statements {
                rows = self.say(statement).await?;
            }
            Ok(rows)
        })
    }

    /// Lets the server know that we are there.
    fn keep_alive(&mut self) -> Pending<'_, ()>;

    /// What the server says of itself.
    fn facts(&mut self) -> Pending<'_, DatabaseFacts>;

    /// Other sessions that go by a name which begins so; those that were opened first come first.
    fn marked<'s>(&'s mut self, prefix: &'s str) -> Pending<'s, Vec<Marked>>;

    /// Ends another session; nothing happens where it is gone.
    fn end<'s>(&'s mut self, other: &'s Marked) -> Pending<'s, ()>;

    /// The same, but what lies behind whatever it waits for is carried out.
    fn let_go<'s>(&'s mut self, other: &'s Marked) -> Pending<'s, ()> {
        self.end(other)
    }
}

/// Opens a session.
///
/// # Errors
/// Says which server, what was tried, and what came back; never the password.
pub async fn open(login: &Login, manner: &Manner) -> Result<Box<dyn Session>, DatabaseError> {
    let opening = async {
        match login.server.kind {
            ServerKind::Postgres => postgres::open(login, manner).await,
            ServerKind::Mysql => mysql::open(login, manner).await,
            ServerKind::Redis => redis::open(login, manner).await,
            ServerKind::Rabbitmq => rabbitmq::open(login, manner).await,
        }
    };
    tokio::time::timeout(manner.within, opening).await.unwrap_or_else(|_| {
        let cause = format!("no answer within {:?}", manner.within);
        Err(DatabaseError::new(Reason::Unreachable, &login.server, "connect to", cause))
    })
}
