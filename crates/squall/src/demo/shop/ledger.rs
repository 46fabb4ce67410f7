//! The ledger: writes every payment down, once.
//!
//! `POST /append` takes a list of entries, works for a few milliseconds, and answers how many of them were new.
//! An order that it has already written down it does not write again, however often it is told. So a caller that
//! heard nothing may simply tell it again: retries and late settlement are safe only because of this
//! (*idempotency*; Helland, "Idempotence Is Not a Medical Condition", ACM Queue 10(4), 2012).
//!
//! `GET /entries` gives the totals.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::books::{BookTrouble, Books};
use super::config::{Config, ReceiptSettings};
use super::http::{Reply, Request};
use super::lock;
use super::metrics::{Metrics, Page};
use super::server::Handler;
use super::spool::Spool;

/// Orders whose numbers are remembered; older ones are only in the totals.
const REMEMBERED: usize = 50_000;

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The number of the order, the same however often it is sent.
    pub(super) order: u64,
    /// What was bought.
    pub(super) item: String,
    /// For how much.
    pub(super) cents: u64,
}

/// The totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Orders written down.
    pub(super) entries: u64,
    /// Their sum.
    pub(super) cents: u64,
    /// How often an order was told again that was already written down.
    pub(super) repeated: u64,
}

/// The service.
#[derive(Debug)]
pub(super) struct Ledger {
    work_ms: [u64; 2],
    /// One for each write that may be made at once.
    turns: Option<Arc<Semaphore>>,
    spool: Option<Spool>,
    books: Option<Books>,
    receipts: Option<Receipts>,
    book: Mutex<Book>,
    metrics: Metrics,
}

/// What is remembered of the latest orders.
#[derive(Debug)]
struct Receipts {
    settings: ReceiptSettings,
    kept: Mutex<VecDeque<Vec<u8>>>,
    lost: Mutex<Vec<Vec<u8>>>,
}

impl Receipts {
    /// Every byte is written, so that the memory is truly taken.
    fn keep(&self) {
        let taken = |kib: usize| vec![1; kib << 10];
        let mut kept = lock(&self.kept);
        if kept.len() >= self.settings.latest {
            kept.pop_front();
        }
        kept.push_back(taken(self.settings.kib));
        lock(&self.lost).push(taken(self.settings.lost_kib));
    }
}

#[derive(Debug, Default)]
struct Book {
    totals: Totals,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Book {
    /// Writes an entry down, unless it is already there.
    fn write(&mut self, entry: &Entry) {
        if !self.known.insert(entry.order) {
            self.totals.repeated += 1;
            return;
        }
        self.order.push_back(entry.order);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.totals.entries += 1;
        self.totals.cents = self.totals.cents.saturating_add(entry.cents);
    }
}

impl Ledger {
    /// An empty ledger.
    pub(super) fn new(config: &Config) -> io::Result<Self> {
        let settings = &config.ledger;
        Ok(Self {
            work_ms: settings.work_ms,
            turns: settings.at_once.map(|count| Arc::new(Semaphore::new(count))),
            spool: settings.spool.as_ref().map(Spool::open).transpose()?,
            books: settings.books.as_ref().map(Books::new).transpose()?,
            receipts: settings.receipts.map(|settings| Receipts {
                settings,
                kept: Mutex::default(),
                lost: Mutex::default(),
            }),
            book: Mutex::default(),
            metrics: Metrics::default(),
        })
    }

    /// The time that a write takes. Where only some are made at once, it is spent also for a caller who has gone away:
    /// that is what makes retries dear.
    async fn work(&self) {
        let [shortest, longest] = self.work_ms;
        let work = Duration::from_millis(fastrand::u64(shortest..=longest));
        let Some(turns) = &self.turns else { return tokio::time::sleep(work).await };
        let turns = Arc::clone(turns);
        let written = tokio::spawn(async move {
            let _turn = turns.acquire().await;
            tokio::time::sleep(work).await;
        });
        // A task that failed has taken its time as well.
        let _ = written.await;
    }

    /// Writes an order into the files. Nothing else was thought of but that this works: what cannot be written ends the
    /// process, as an exception that nobody catches does.
    fn spool(&self, entry: &Entry) {
        if let Some(Err(error)) = self.spool.as_ref().map(|spool| spool.write(entry)) {
            crate::out::warn(format!("squall shop: the ledger could not write an order down: {error}"));
            std::process::exit(1);
        }
    }

    async fn append(&self, request: &Request) -> Result<Reply, Reply> {
        let entries: Vec<Entry> = request.json()?;
        self.work().await;
        if let Some(books) = &self.books {
            let unwritten =
                |error: BookTrouble| Reply::error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
            books.write(&entries).await.map_err(unwritten)?;
        }
        for entry in &entries {
            self.spool(entry);
            if let Some(receipts) = &self.receipts {
                receipts.keep();
            }
        }
        let mut book = lock(&self.book);
        for entry in &entries {
            book.write(entry);
        }
        Ok(Reply::json(StatusCode::OK, &book.totals))
    }
}

impl Handler for Ledger {
    async fn handle(&self, request: Request) -> Reply {
        match (&request.method, request.path.as_str()) {
            (&Method::POST, "/append") => self.append(&request).await.unwrap_or_else(|refusal| refusal),
            (&Method::GET, "/entries") => Reply::json(StatusCode::OK, &lock(&self.book).totals),
            _ => Reply::not_found(),
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn describe(&self, page: &mut Page) {
        let totals = lock(&self.book).totals;
        page.counter("entries_total", "Orders written down.", &[], totals.entries);
        page.counter("repeated_total", "Orders told again.", &[], totals.repeated);
        let dropped = self.spool.as_ref().map_or(0, Spool::dropped);
        page.counter("log_lines_dropped_total", "Lines of log that found no room.", &[], dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_written_once_and_memory_is_bounded() {
        let mut book = Book::default();
        for order in 0..(REMEMBERED as u64 + 10) {
            let entry = Entry { order, item: String::new(), cents: u64::MAX };
            book.write(&entry);
            book.write(&entry);
        }
        assert_eq!(book.totals.entries, REMEMBERED as u64 + 10);
        assert_eq!(book.totals.repeated, book.totals.entries);
        assert_eq!((book.known.len(), book.order.len()), (REMEMBERED, REMEMBERED));
    }
}
