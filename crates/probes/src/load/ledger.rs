//! Where a generator thread books each request: once by when it was meant to be sent, once by when it ended.
//!
//! The two books answer two questions. *What did users of that moment get?* is asked after the run, of slices by
//! intended send time: a request belongs to the phase in which its user came. *How is it going now?* is asked
//! every second, of a window by end time: a request that fails after a 30 s timeout must be seen when it fails,
//! though its user came long before the window.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::slice::{End, Slice, Tally};
use squall_http::HttpError;

pub(super) struct Ledger {
    origin: Instant,
    slice: u64,
    /// By intended time: slices whose requests have not all ended; the first has the index `first_open`.
    open: VecDeque<Tally>,
    first_open: u64,
    /// By intended time: slices whose requests have all ended, without gaps, until taken.
    settled: VecDeque<Slice>,
    /// By end time: the running slice, and the whole ones before it within the window.
    current: Tally,
    current_index: u64,
    window: VecDeque<Arc<Slice>>,
    window_slices: usize,
    last_error: Option<(u64, HttpError)>,
    spare: Vec<Tally>,
}

impl Ledger {
    /// Times given to it are nanoseconds since `origin`.
    pub(super) fn new(origin: Instant, slice: Duration, window: Duration) -> Self {
        let slice_ns = super::schedule::nanoseconds(slice);
        // The running slice is part of the window too.
        let window_slices = (window.as_nanos() / slice.as_nanos()).saturating_sub(1) as usize;
        Self {
            origin,
            slice: slice_ns,
            open: VecDeque::from([Tally::new()]),
            first_open: 0,
            settled: VecDeque::new(),
            current: Tally::new(),
            current_index: 0,
            window: VecDeque::new(),
            window_slices,
            last_error: None,
            spare: Vec::new(),
        }
    }

    /// Books that a request meant for `intended` came due, seen at `now`.
    pub(super) fn due(&mut self, intended: u64, now: u64) {
        self.roll(now);
        let late = Duration::from_nanos(now.saturating_sub(intended));
        self.current.late.count(late);
        if let Some(tally) = self.open_at(intended) {
            tally.counts.intended += 1;
            tally.late.count(late);
        }
    }

    /// Books that a request came due for `intended` while nobody could look, and was not sent.
    pub(super) fn missed(&mut self, intended: u64, now: u64) {
        self.roll(now);
        if let Some(tally) = self.open_at(intended) {
            tally.counts.intended += 1;
        }
        self.end(intended, now, End::Unknown);
    }

    /// Books that the request meant for `intended` ended at `now`.
    pub(super) fn end(&mut self, intended: u64, now: u64, end: End) {
        self.roll(now);
        let latency = now.saturating_sub(intended);
        self.current.end(&end, latency);
        if let Some(tally) = self.open_at(intended) {
            tally.end(&end, latency);
        }
        if let End::Failed(error) = end {
            self.last_error = Some((now, error));
        }
    }

    /// Moves on to `now`: closes the running slice of the window, opens those that have begun.
    pub(super) fn roll(&mut self, now: u64) {
        let index = now / self.slice;
        if index <= self.current_index {
            return;
        }
        if index - self.current_index > self.window_slices as u64 {
            self.window.clear();
            self.current.clear();
            self.current_index = index;
        }
        while self.current_index < index {
            let closed = self.close(self.current_index, &self.current);
            self.current.clear();
            self.current_index += 1;
            self.window.push_back(Arc::new(closed));
        }
        let surplus = self.window.len().saturating_sub(self.window_slices);
        self.window.drain(..surplus);
        while self.first_open + (self.open.len() as u64) <= index {
            let tally = self.spare.pop().unwrap_or_else(Tally::new);
            self.open.push_back(tally);
        }
    }

    /// Settles the slices that end before `noted` (up to which all due requests have been booked) and whose
    /// requests have all ended.
    pub(super) fn settle(&mut self, noted: u64) {
        while self.open.len() > 1 && (self.first_open + 1) * self.slice <= noted {
            if self.open[0].counts.unfinished() > 0 {
                break;
            }
            self.settle_first();
        }
    }

    /// Settles all slices, whatever has not ended in them; the last one ends at `now`.
    pub(super) fn settle_all(&mut self, now: u64) {
        self.roll(now);
        while !self.open.is_empty() {
            self.settle_first();
        }
        let now = self.instant(now);
        if let Some(last) = self.settled.back_mut() {
            last.end = last.end.min(now).max(last.start);
        }
    }

    fn settle_first(&mut self) {
        if let Some(mut tally) = self.open.pop_front() {
            let slice = self.close(self.first_open, &tally);
            self.settled.push_back(slice);
            self.first_open += 1;
            tally.clear();
            self.spare.push(tally);
        }
    }

    /// The settled slices, oldest first, to be taken from.
    pub(super) fn settled(&mut self) -> &mut VecDeque<Slice> {
        &mut self.settled
    }

    /// The window's whole slices, by end time.
    pub(super) fn window(&self) -> Vec<Arc<Slice>> {
        self.window.iter().cloned().collect()
    }

    /// The running slice by end time, as of `now`.
    pub(super) fn running(&self, now: u64) -> Slice {
        Slice { end: self.instant(now), ..self.close(self.current_index, &self.current) }
    }

    /// The last error within the window, with when it was met.
    pub(super) fn last_error(&self) -> Option<&(u64, HttpError)> {
        let window_begins = self.current_index.saturating_sub(self.window_slices as u64) * self.slice;
        self.last_error.as_ref().filter(|(at, _)| *at >= window_begins)
    }

    fn close(&self, index: u64, tally: &Tally) -> Slice {
        Slice {
            start: self.instant(index * self.slice),
            end: self.instant((index + 1) * self.slice),
            counts: tally.counts,
            latencies: tally.latencies(),
            late: tally.late,
        }
    }

    fn open_at(&mut self, intended: u64) -> Option<&mut Tally> {
        let position = (intended / self.slice).checked_sub(self.first_open)?;
        self.open.get_mut(position as usize)
    }

    fn instant(&self, nanoseconds: u64) -> Instant {
        self.origin + Duration::from_nanos(nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn ledger() -> Ledger {
        Ledger::new(Instant::now(), Duration::from_millis(250), Duration::from_secs(1))
    }

    fn ok() -> End {
        End::Answered { status: 200, expected: true }
    }

    #[test]
    fn a_request_counts_where_it_was_meant_and_where_it_ended() {
        let mut ledger = ledger();
        ledger.due(100 * MS, 100 * MS);
        ledger.end(100 * MS, 900 * MS, ok());
        assert_eq!(ledger.running(910 * MS).counts.success, 1);
        ledger.settle(1000 * MS);
        let settled: Vec<_> = ledger.settled().drain(..).collect();
        assert_eq!(settled.iter().map(|slice| slice.counts.success).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(settled[0].end, settled[1].start);
        let latency = settled[0].quantile(0.5).unwrap();
        assert!((latency - 0.8).abs() < 0.001, "{latency}");
    }

    #[test]
    fn a_slice_waits_for_its_requests_and_for_the_pacer() {
        let mut ledger = ledger();
        ledger.due(100 * MS, 100 * MS);
        ledger.roll(600 * MS);
        ledger.settle(600 * MS);
        assert!(ledger.settled().is_empty(), "one is outstanding");
        ledger.end(100 * MS, 610 * MS, ok());
        ledger.settle(200 * MS);
        assert!(ledger.settled().is_empty(), "more may still come due in it");
        ledger.settle(610 * MS);
        assert_eq!(ledger.settled().len(), 2);
    }

    #[test]
    fn the_window_forgets() {
        let mut ledger = ledger();
        ledger.end(0, 10 * MS, ok());
        ledger.roll(700 * MS);
        assert_eq!(ledger.window().iter().map(|slice| slice.counts.success).sum::<u64>(), 1);
        ledger.roll(1100 * MS);
        assert_eq!(ledger.window().iter().map(|slice| slice.counts.success).sum::<u64>(), 0);
        assert_eq!(ledger.window().len(), 3);
        ledger.roll(3_600_000 * MS);
        assert!(ledger.window().len() <= 3);
    }
}
