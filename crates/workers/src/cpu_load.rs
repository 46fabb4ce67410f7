//! Keeps processor cores busy: one thread a core, each busy for a share of the time.
//!
//! A thread compares the processor time that it got with the share of the wall-clock time that it should have got, and
//! is busy while it is behind. So the share is true also where sleeps last longer than asked and where others compete.
//! What competition took is made up for, up to a second's worth: an older debt would turn into a burst.

use crate::Going;
use rustix::time::{ClockId, clock_gettime};
use squall_model::undo::Evidence;
use squall_model::units::Share;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Busy and idle time alternate this fast, well below what a monitor averages over.
const PERIOD: Duration = Duration::from_millis(20);

/// The longest debt of processor time that is made up for.
const LONGEST_DEBT: Duration = Duration::from_secs(1);

/// Threads that are busy.
pub(crate) struct CpuLoad {
    share: Share,
    started: Instant,
    /// Processor time that each thread got, in nanoseconds.
    burnt: Vec<Arc<AtomicU64>>,
}

/// Starts a thread for each core. They are not tied to cores: the scheduler spreads them as it would any program's.
pub(crate) fn start(share: Share, cores: u32) -> io::Result<CpuLoad> {
    let mut load = CpuLoad { share, started: Instant::now(), burnt: Vec::new() };
    for core in 0..cores {
        let burnt = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&burnt);
        let thread = std::thread::Builder::new().name(format!("load-{core}"));
        thread.spawn(move || keep_busy(share.fraction(), &count))?;
        load.burnt.push(burnt);
    }
    Ok(load)
}

impl Going for CpuLoad {
    fn evidence(&self) -> Evidence {
        let burnt: u64 = self.burnt.iter().map(|burnt| burnt.load(Ordering::Relaxed)).sum();
        let seconds = burnt as f64 / 1e9;
        let cores = self.burnt.len() as f64;
        let reached = seconds / (self.started.elapsed().as_secs_f64() * cores).max(1e-9);
        let says = format!(
            "{cores} {} {:.1}% busy with it ({} asked), {seconds:.1} CPU seconds so far",
            if self.burnt.len() == 1 { "core" } else { "cores" },
            reached * 100.0,
            self.share
        );
        // Less than a tenth of what was asked is no load.
        let evidence = if reached >= self.share.fraction() / 10.0 {
            Evidence::seen(says)
        } else {
            Evidence::not_seen(says)
        };
        evidence.with("cpu_seconds", seconds).with("share_of_each_core", reached)
    }
}

fn keep_busy(share: f64, burnt: &AtomicU64) {
    let mut pace = Pace { share, allowed: 0.0 };
    let mut last = (Instant::now(), thread_time());
    loop {
        std::thread::sleep(PERIOD.mul_f64(1.0 - share));
        let began = thread_time();
        let owed = pace.owed(last.0.elapsed(), began.saturating_sub(last.1));
        last = (Instant::now(), began);
        while thread_time().saturating_sub(began) < owed.min(PERIOD) {
            spin();
        }
        burnt.store(thread_time().as_nanos() as u64, Ordering::Relaxed);
    }
}

/// The account of one thread, in seconds of processor time.
struct Pace {
    share: f64,
    /// What it may still use up.
    allowed: f64,
}

impl Pace {
    /// What the thread should use now, after so much more wall-clock and processor time.
    fn owed(&mut self, wall: Duration, used: Duration) -> Duration {
        self.allowed += self.share * wall.as_secs_f64() - used.as_secs_f64();
        self.allowed = self.allowed.min(LONGEST_DEBT.as_secs_f64());
        Duration::from_secs_f64(self.allowed.max(0.0))
    }
}

/// Arithmetic for some tens of microseconds, between looks at the clock.
fn spin() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..10_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    std::hint::black_box(state);
}

/// Processor time of the calling thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_thread_that_is_behind_catches_up_and_one_that_is_ahead_waits() {
        let mut pace = Pace { share: 0.5, allowed: 0.0 };
        assert_eq!(pace.owed(milliseconds(20), Duration::ZERO), milliseconds(10));
        assert_eq!(pace.owed(milliseconds(20), milliseconds(15)), milliseconds(5));
        assert_eq!(pace.owed(milliseconds(10), milliseconds(20)), Duration::ZERO);
        // It is 10 ms ahead: only what comes after that is owed.
        assert_eq!(pace.owed(milliseconds(40), Duration::ZERO), milliseconds(10));
    }

    #[test]
    fn a_long_debt_is_forgiven() {
        let mut pace = Pace { share: 1.0, allowed: 0.0 };
        assert_eq!(pace.owed(Duration::from_mins(1), Duration::ZERO), LONGEST_DEBT);
        assert_eq!(pace.owed(Duration::ZERO, LONGEST_DEBT), Duration::ZERO);
    }
}
