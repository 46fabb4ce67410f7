//! A small shop to practise on: four real HTTP services with one real weakness, and its cure.
//!
//! ```text
//!   customer ──► gateway ──► payment ──► ledger
//!                   └──────► cache
//! ```
//!
//! The gateway takes the order, the payment service takes the money, the ledger writes it down, and the
//! cache remembers prices. As first built (`fixed: false`), the shop is fast and never fails, as long as
//! nothing ever goes wrong:
//!
//! - payment waits for the ledger *for ever*, on sixteen connections. When the ledger slows from 3 ms to
//!   150 ms, sixteen connections carry a hundred calls a second instead of five thousand, and at two hundred
//!   orders a second the line only grows. One slow service has become two ("Cascading Failures" and
//!   "Blocked Threads", Nygard, *Release It!*, 2nd edition, chapter 4).
//! - gateway answers each failure with three retries at once, so that a payment service in trouble gets up
//!   to four times its traffic (*Site Reliability Engineering*, chapter 22, "Addressing Cascading Failures").
//!
//! With `fixed: true` the same code runs with four published patterns turned on, one file each:
//!
//! | pattern | where | source |
//! |---|---|---|
//! | timeout | [`upstream`] | *Release It!*, chapter 5, "Timeouts" |
//! | retry budget | [`retry_budget`] | *Site Reliability Engineering*, chapter 21, "Handling Overload" |
//! | circuit breaker | [`breaker`] | *Release It!*, chapter 5, "Circuit Breaker" |
//! | fallback: take the order now, settle it later | [`outbox`] | *Release It!*, chapter 5, "Decoupling Middleware"; the transactional outbox of Richardson, *Microservices Patterns*, chapter 3 |
//!
//! What makes the last two safe is that the ledger knows each order by its number and writes it down once,
//! however often it is told ([`ledger`]).

mod books;
mod breaker;
mod cache;
mod config;
mod gateway;
mod http;
mod ledger;
mod metrics;
mod outbox;
mod payment;
mod pool;
mod retry_budget;
mod server;
mod spool;
mod upstream;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use books::TABLE;
pub(crate) use config::{BookSettings, CallPolicy, Config, Layout, ReceiptSettings, SpoolSettings};

/// One of the four services of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    /// Takes orders from customers.
    Gateway,
    /// Takes the money.
    Payment,
    /// Writes every payment down.
    Ledger,
    /// Remembers prices.
    Cache,
}

impl Service {
    /// All services, those that others need first.
    pub(crate) const ALL: [Service; 4] =
        [Service::Ledger, Service::Cache, Service::Payment, Service::Gateway];

    /// The name used in command lines, metrics and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::Gateway => "gateway",
            Service::Payment => "payment",
            Service::Ledger => "ledger",
            Service::Cache => "cache",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Service {
    type Err = ShopError;

    fn from_str(name: &str) -> Result<Self, ShopError> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == name)
            .ok_or_else(|| ShopError::UnknownService(name.to_owned()))
    }
}

/// Why a service of the shop could not start.
#[derive(Debug, Error)]
pub(crate) enum ShopError {
    /// The address is taken, or not one of this machine's.
    #[error("{service} could not listen on {address}: {source}; choose a free address of this machine")]
    Listen {
        /// Who wanted to listen.
        service: Service,
        /// Where.
        address: SocketAddr,
        /// What the kernel answered.
        source: io::Error,
    },
    /// No port, or no signal handler, was to be had from the kernel.
    #[error("could not prepare the shop: {0}")]
    System(#[from] io::Error),
    /// The configuration is no JSON, or lacks a field.
    #[error("the shop's configuration cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A number in the configuration is outside of what the shop can do.
    #[error("the shop's configuration has {field} = {value}; it must be {allowed}")]
    OutOfRange {
        /// The field, with its path.
        field: &'static str,
        /// What it held.
        value: String,
        /// What it may hold.
        allowed: &'static str,
    },
    /// A layout names a service twice or not at all.
    #[error("the shop needs exactly one address for {service}, got {count}")]
    Layout {
        /// The service.
        service: Service,
        /// How many addresses it was given.
        count: usize,
    },
    /// No such service.
    #[error("the shop has no service {0:?}; it has gateway, payment, ledger and cache")]
    UnknownService(String),
}

/// Runs one service of the shop until the process gets SIGTERM, or until the returned future is dropped;
/// either closes the listener and all connections.
///
/// # Errors
///
/// [`ShopError::Listen`] when the address cannot be had, [`ShopError::OutOfRange`] when the configuration is
/// unusable. Once it listens, it only ends with `Ok`.
pub(crate) async fn serve(service: Service, config: Config) -> Result<(), ShopError> {
    config.check()?;
    let address = config.layout.address(service);
    let listener =
        server::listen(address).map_err(|source| ShopError::Listen { service, address, source })?;
    match service {
        Service::Gateway => until_terminated(server::run(listener, gateway::Gateway::new(&config))).await,
        Service::Payment => until_terminated(server::run(listener, payment::Payment::new(&config))).await,
        Service::Ledger => until_terminated(server::run(listener, ledger::Ledger::new(&config)?)).await,
        Service::Cache => until_terminated(server::run(listener, cache::Cache::new(&config))).await,
    }
}

async fn until_terminated(server: impl Future<Output = ()>) -> Result<(), ShopError> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        () = server => {}
        _ = terminated.recv() => {}
    }
    Ok(())
}

/// Locks, even if a holder panicked: everything locked here is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
