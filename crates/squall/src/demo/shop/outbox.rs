//! The fallback: orders that are taken now and written down later.
//!
//! When the ledger cannot be reached, payment need not turn the customer away; it puts the entry here, answers
//! "202 Accepted", and a task settles what lies here as soon as the ledger is back. The box is bounded: when it
//! is full, honesty is better than memory. It lies in memory, since this is a demonstration; a shop that must
//! not lose an order when it is killed keeps it in its database (the *transactional outbox*, Richardson,
//! *Microservices Patterns*, chapter 3).

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::ledger::Entry;
use super::lock;
use super::metrics::Page;

/// Entries that wait for the ledger, oldest first.
#[derive(Debug)]
pub(super) struct Outbox {
    capacity: usize,
    entries: Mutex<VecDeque<Entry>>,
    arrived: Notify,
    accepted: AtomicU64,
}

impl Outbox {
    /// An empty box for so many entries.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default(), arrived: Notify::new(), accepted: AtomicU64::new(0) }
    }

    /// Takes the entry, unless the box is full.
    pub(super) fn accept(&self, entry: Entry) -> bool {
        let mut entries = lock(&self.entries);
        if entries.len() >= self.capacity {
            return false;
        }
        entries.push_back(entry);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.arrived.notify_one();
        true
    }

    /// Waits for entries, and copies the oldest of them, at most `limit`. They stay until [`Self::settled`].
    pub(super) async fn oldest(&self, limit: usize) -> Vec<Entry> {
        loop {
            let arrived = self.arrived.notified();
            let batch: Vec<Entry> = lock(&self.entries).iter().take(limit).cloned().collect();
            if !batch.is_empty() {
                return batch;
            }
            arrived.await;
        }
    }

    /// Removes the `count` oldest entries: they are in the ledger now.
    pub(super) fn settled(&self, count: usize) {
        let mut entries = lock(&self.entries);
        let count = count.min(entries.len());
        entries.drain(..count);
    }

    /// Adds the length of the box, and how often it helped, to a page of metrics.
    pub(super) fn describe(&self, page: &mut Page) {
        let waiting = lock(&self.entries).len() as u64;
        let accepted = self.accepted.load(Ordering::Relaxed);
        page.gauge("queue_depth", "Work that waits, or is under way.", &[("queue", "outbox")], waiting);
        page.counter(
            "fallbacks_total",
            "Requests answered without the upstream.",
            &[("fallback", "settle-later")],
            accepted,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(order: u64) -> Entry {
        Entry { order, item: "teapot".to_owned(), cents: 1 }
    }

    #[tokio::test]
    async fn entries_leave_in_order_and_only_when_settled() {
        let outbox = Outbox::new(10);
        for order in 0..5 {
            assert!(outbox.accept(entry(order)));
        }
        let first = outbox.oldest(2).await;
        assert_eq!(first, outbox.oldest(2).await);
        outbox.settled(first.len());
        let orders: Vec<u64> = outbox.oldest(10).await.iter().map(|entry| entry.order).collect();
        assert_eq!(orders, [2, 3, 4]);
        outbox.settled(100);
        outbox.accept(entry(9));
        assert_eq!(outbox.oldest(10).await, [entry(9)]);
    }

    #[test]
    fn a_full_box_says_so() {
        let outbox = Outbox::new(2);
        assert!(outbox.accept(entry(1)) && outbox.accept(entry(2)));
        assert!(!outbox.accept(entry(3)));
        assert!(!Outbox::new(0).accept(entry(1)));
    }
}
