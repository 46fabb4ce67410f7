//! The ledger's files: one with the orders, and one with a long line of log for each of them.
//!
//! As first built, the ledger takes space when it needs it, and whatever cannot be written ends it, the log like the
//! orders. With `reserve`, the space of the orders is taken ahead, and a line of log that finds no room is dropped and
//! counted: a full disk costs the log, not the shop (*Release It!*, 2nd edition, chapter 5, "Steady State").

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

use super::config::SpoolSettings;
use super::ledger::Entry;

/// What is reserved for the orders: some ten thousand of them.
const RESERVE: u64 = 1 << 20;

/// The length of a line of log.
const LINE: usize = 2000;

/// The files, open.
#[derive(Debug)]
pub(super) struct Spool {
    orders: File,
    log: File,
    reserve: bool,
    dropped: AtomicU64,
}

impl Spool {
    /// Opens the files in the folder, which must be there.
    pub(super) fn open(settings: &SpoolSettings) -> io::Result<Self> {
        let open = |name: &str| OpenOptions::new().append(true).create(true).open(settings.folder.join(name));
        let (orders, log) = (open("orders.log")?, open("ledger.log")?);
        if settings.reserve {
            fallocate(&orders, FallocateFlags::KEEP_SIZE, 0, RESERVE)?;
        }
        Ok(Self { orders, log, reserve: settings.reserve, dropped: AtomicU64::new(0) })
    }

    /// Writes an order down.
    pub(super) fn write(&self, entry: &Entry) -> io::Result<()> {
        (&self.orders)
            .write_all(format!("{:016x} {} {}\n", entry.order, entry.item, entry.cents).as_bytes())?;
        let line = format!("{:016x} {:.<LINE$}\n", entry.order, entry.item);
        match (&self.log).write_all(line.as_bytes()) {
            Err(_) if self.reserve => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            written => written,
        }
    }

    /// How many lines of log found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_log_are_written() {
        let folder = tempfile::tempdir().unwrap();
        for reserve in [false, true] {
            let settings = SpoolSettings { folder: folder.path().to_owned(), reserve };
            let spool = Spool::open(&settings).unwrap();
            spool.write(&Entry { order: 7, item: "spoon".into(), cents: 250 }).unwrap();
            assert_eq!(spool.dropped(), 0);
        }
        let orders = std::fs::read_to_string(folder.path().join("orders.log")).unwrap();
        assert_eq!(orders, "0000000000000007 spoon 250\n".repeat(2));
    }
}
