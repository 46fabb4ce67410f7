//! The ledger's books in a real database, and the pool of sessions to it.
//!
//! A pool has a bound, and a caller who finds no session free waits for one. How long is the question that this file is
//! about: as first built, for as long as it takes; with `wait_ms`, until then, and whoever called is told and can do
//! something else (Nygard, *Release It!*, chapter 5, "Timeouts"). With several databases it writes to whichever takes
//! writes now, as libpq's `target_session_attrs=read-write` does.

use super::config::BookSettings;
use super::ledger::Entry;
use super::lock;
use squall_database::{DatabaseError, Login, Manner, Session};
use squall_model::server::{ServerKind, ServerUrl, Statement};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::Semaphore;

/// How long a connection may take, where no other time is set: for whoever waits, for ever.
const FOR_EVER: Duration = Duration::from_hours(1);
/// The rest between two tries to get a session.
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// Why an order could not be written down.
#[derive(Debug, Error)]
pub(super) enum BookTrouble {
    #[error("no session within {0} ms")]
    TimedOut(u64),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The books.
pub(super) struct Books {
    settings: BookSettings,
    logins: Vec<Login>,
    places: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

/// A session that nobody uses just now.
struct Idle {
    session: Box<dyn Session>,
    born: Instant,
}

impl std::fmt::Debug for Books {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Books").field(&self.settings).finish()
    }
}

impl Books {
    /// Nothing is opened yet.
    pub(super) fn new(settings: &BookSettings) -> std::io::Result<Self> {
        let login = |url: &String| {
            let url: ServerUrl = url.parse().map_err(std::io::Error::other)?;
            Login::of(&url).map_err(std::io::Error::other)
        };
        Ok(Self {
            logins: settings.databases.iter().map(login).collect::<Result<_, _>>()?,
            places: Semaphore::new(settings.connections),
            idle: Mutex::default(),
            settings: settings.clone(),
        })
    }

    /// Writes orders down, once each.
    pub(super) async fn write(&self, entries: &[Entry]) -> Result<(), BookTrouble> {
        let Some(wait) = self.settings.wait_ms else { return self.write_patiently(entries).await };
        let written = tokio::time::timeout(Duration::from_millis(wait), self.write_patiently(entries)).await;
        written.unwrap_or_else(|_| {
            // What did not answer is not used again: it may be a server that others have taken the place of.
            lock(&self.idle).clear();
            Err(BookTrouble::TimedOut(wait))
        })
    }

    async fn write_patiently(&self, entries: &[Entry]) -> Result<(), BookTrouble> {
        let _place = self.places.acquire().await;
        let mut idle = match self.idle_session() {
            Some(idle) => idle,
            None => self.new_session().await,
        };
        idle.session.say(&statement(entries)).await?;
        if idle.born.elapsed() < Duration::from_millis(self.settings.lifetime_ms) {
            lock(&self.idle).push(idle);
        }
        Ok(())
    }

    fn idle_session(&self) -> Option<Idle> {
        lock(&self.idle).pop()
    }

    /// Tries until a database lets us in.
    async fn new_session(&self) -> Idle {
        loop {
            for login in &self.logins {
                if let Ok(session) = self.open(login).await {
                    return Idle { session, born: Instant::now() };
                }
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }

    async fn open(&self, login: &Login) -> Result<Box<dyn Session>, DatabaseError> {
        let within = self.settings.wait_ms.map_or(FOR_EVER, |wait| Duration::from_millis(wait / 2));
        let manner = Manner { name: "shop-ledger".to_owned(), lease: None, within };
        let mut session = squall_database::open(login, &manner).await?;
        // Locks are waited for as long as sessions are.
        let patience = format!("SET lock_timeout = {}", self.settings.wait_ms.unwrap_or(0));
        session.say(&Statement::text(patience)).await?;
        if self.logins.len() > 1 {
            // A replica refuses this, and the next one is tried.
            session.say(&Statement::text("CREATE TEMPORARY TABLE writes (x int)")).await?;
        }
        Ok(session)
    }
}

/// The statement that writes orders down; one that is there already is left as it is.
fn statement(entries: &[Entry]) -> Statement {
    let row = |entry: &Entry| {
        // Numbers of orders use all 64 bits, and the column's are signed.
        let order = entry.order.cast_signed();
        format!("({order}, {}, {})", ServerKind::Postgres.literal(&entry.item), entry.cents.cast_signed())
    };
    let rows: Vec<String> = entries.iter().map(row).collect();
    Statement::text(format!(
        "INSERT INTO orders (number, item, cents) VALUES {} ON CONFLICT (number) DO NOTHING",
        rows.join(", ")
    ))
}

/// What must be there before anything is written down.
pub(crate) const TABLE: &str = "CREATE TABLE orders (number bigint PRIMARY KEY, item text, cents bigint)";
