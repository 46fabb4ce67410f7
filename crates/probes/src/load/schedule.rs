//! When each request of a constant rate is meant to be sent: fixed from the start, whatever the server does.

use std::time::Duration;

/// The intended send times of one generator thread, in nanoseconds since the load's start.
///
/// The `n`-th request of the whole load is due at `n / rate`. With several threads, thread `i` of `t` sends the
/// requests `i, i + t, i + 2t …`, so that together they keep the one schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    first: f64,
    interval: f64,
}

impl Schedule {
    /// `rate` is the whole load's, in requests per second, above zero.
    pub(super) fn new(rate: f64, thread: usize, threads: usize) -> Self {
        let second = 1e9 / rate;
        Self { first: second * thread as f64, interval: second * threads as f64 }
    }

    /// When request `n` of this thread is due.
    pub(super) fn intended(&self, n: u64) -> u64 {
        // A double counts nanoseconds exactly for 104 days.
        (self.first + self.interval * n as f64) as u64
    }

    /// How many requests are due at `now`.
    pub(super) fn due(&self, now: u64) -> u64 {
        let since_first = now as f64 - self.first;
        if since_first < 0.0 { 0 } else { (since_first / self.interval) as u64 + 1 }
    }
}

/// A duration in nanoseconds, at most 584 years.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_one_schedule() {
        let single = Schedule::new(300.0, 0, 1);
        let threads: Vec<Schedule> = (0..3).map(|thread| Schedule::new(300.0, thread, 3)).collect();
        for n in 0..3000 {
            let whole = single.intended(n);
            let part = threads[(n % 3) as usize].intended(n / 3);
            assert!(whole.abs_diff(part) <= 1, "request {n}: {whole} and {part}");
        }
    }

    #[test]
    fn the_count_does_not_drift() {
        for rate in [0.1, 3.0, 200.0, 999.0, 1_000_000.0] {
            let schedule = Schedule::new(rate, 0, 1);
            let hour = 3_600_000_000_000;
            let due = schedule.due(hour);
            assert!(due.abs_diff((rate * 3600.0) as u64 + 1) <= 1, "{due} at {rate}/s");
            assert!(schedule.intended(due) >= hour - 1);
        }
    }

    #[test]
    fn nothing_is_due_before_the_first() {
        let second_thread = Schedule::new(10.0, 1, 2);
        assert_eq!(second_thread.due(99_999_999), 0);
        assert_eq!(second_thread.due(100_000_000), 1);
        assert_eq!(second_thread.due(300_000_000), 2);
    }
}
