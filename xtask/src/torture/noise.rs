//! How late this machine wakes those who sleep: what a limit in seconds must make allowance for.
//!
//! A thread sleeps for two milliseconds again and again and adds up by how much it was woken too late. While something
//! is waited for, that sum is the time for which the machine did something else. A promise of `lease + 1 s` is asked
//! of a machine that runs programs when they are due; on one that does not, each of the three or four processes
//! between a kill and the last look may be late as often as that thread was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const NAP: Duration = Duration::from_millis(2);

/// How many processes must be woken, one after the other, between a kill and the last look.
const PROCESSES: u32 = 4;

/// The sum of all lateness since it was started.
#[derive(Debug, Clone)]
pub(super) struct Noise(Arc<AtomicU64>);

impl Noise {
    /// Starts to measure, until this process ends.
    pub(super) fn measure() -> Self {
        let lost = Arc::new(AtomicU64::new(0));
        let sum = Arc::clone(&lost);
        thread::spawn(move || {
            loop {
                let started = Instant::now();
                thread::sleep(NAP);
                let late = started.elapsed().saturating_sub(NAP);
                sum.fetch_add(late.as_micros() as u64, Ordering::Relaxed);
            }
        });
        Self(lost)
    }

    /// All lateness so far; two readings make a span.
    pub(super) fn so_far(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// What is allowed on top of a limit for a span that began at `before`.
    pub(super) fn allowance(&self, before: Duration) -> Duration {
        self.so_far().saturating_sub(before) * PROCESSES
    }
}
