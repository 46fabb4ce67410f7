//! The payment service: takes the money, and has the ledger write it down. Here sits the weakness.
//!
//! `POST /pay` takes an [`Entry`]. `GET /price/ITEM` gives the price in cents.
//!
//! Naive, it waits for the ledger as long as the ledger likes, and without the ledger there is no sale. Fixed,
//! it waits 80 ms (some twenty times what the ledger needs), spends at most a tenth more calls on retries,
//! stops asking a ledger that does not answer, and takes the order all the same: the entry goes to the
//! [`Outbox`] and is settled when the ledger is back.

use std::time::Duration;

use hyper::{Method, StatusCode};

use super::Service;
use super::config::Config;
use super::http::{Reply, Request};
use super::ledger::Entry;
use super::metrics::{Metrics, Page};
use super::outbox::Outbox;
use super::pool::Outgoing;
use super::server::Handler;
use super::upstream::{CallError, Upstream};

/// What the shop sells, in cents.
const PRICES: [(&str, u64); 4] = [("teapot", 2450), ("teacup", 690), ("kettle", 3900), ("spoon", 250)];

/// Entries that are settled with one call; a few kilobytes.
const BATCH: usize = 64;

/// The rest before the ledger is asked again whether it takes what lies in the outbox.
const SETTLE_REST: Duration = Duration::from_millis(250);

/// The service.
#[derive(Debug)]
pub(super) struct Payment {
    ledger: Upstream,
    /// The ledger again, for what lies in the outbox.
    settle: Upstream,
    outbox: Outbox,
    metrics: Metrics,
}

impl Payment {
    /// The service as configured.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            ledger: Upstream::new(Service::Ledger, &config.layout, &config.payment.ledger),
            settle: Upstream::new(Service::Ledger, &config.layout, &config.payment.settle),
            outbox: Outbox::new(config.payment.outbox),
            metrics: Metrics::default(),
        }
    }

    async fn pay(&self, request: &Request) -> Result<Reply, Reply> {
        let entry: Entry = request.json()?;
        if entry.item.len() > 64 {
            return Err(Reply::error(StatusCode::BAD_REQUEST, "the item's name is longer than 64 bytes"));
        }
        match write_down(&self.ledger, std::slice::from_ref(&entry)).await {
            Ok(()) => Ok(Reply::text(StatusCode::OK, "paid\n")),
            Err(_) if self.outbox.accept(entry) => Ok(Reply::text(StatusCode::ACCEPTED, "settles later\n")),
            Err(error) => Err(Reply::error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())),
        }
    }
}

impl Handler for Payment {
    async fn handle(&self, request: Request) -> Reply {
        match (&request.method, request.path.as_str()) {
            (&Method::POST, "/pay") => self.pay(&request).await.unwrap_or_else(|refusal| refusal),
            (&Method::GET, path) => path.strip_prefix("/price/").map_or_else(Reply::not_found, price),
            _ => Reply::not_found(),
        }
    }

    async fn ready(&self) -> Reply {
        match self.ledger.ping().await {
            Ok(()) => Reply::text(StatusCode::OK, "ready\n"),
            Err(error) => Reply::error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn describe(&self, page: &mut Page) {
        self.ledger.describe(page);
        self.outbox.describe(page);
    }

    /// Settles what lies in the outbox, oldest first, for as long as the service runs.
    async fn background(&self) {
        loop {
            let batch = self.outbox.oldest(BATCH).await;
            match write_down(&self.settle, &batch).await {
                Ok(()) => self.outbox.settled(batch.len()),
                Err(_) => tokio::time::sleep(SETTLE_REST).await,
            }
        }
    }
}

async fn write_down(ledger: &Upstream, entries: &[Entry]) -> Result<(), CallError> {
    let request = Outgoing::post("/append", &entries).map_err(|trouble| ledger.error(trouble))?;
    let answer = ledger.call(&request).await?;
    if answer.status.is_success() { Ok(()) } else { Err(ledger.refused(&answer)) }
}

fn price(item: &str) -> Reply {
    match PRICES.iter().find(|(name, _)| *name == item) {
        Some((_, cents)) => Reply::text(StatusCode::OK, cents.to_string()),
        None => Reply::not_found(),
    }
}
