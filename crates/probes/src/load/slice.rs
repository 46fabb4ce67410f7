//! What a span of time brought: how requests ended, how long they took, how late the generator was.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use squall_http::{ErrorKind, HttpError};

/// How one request ended.
pub(super) enum End {
    /// Answered in time; `expected` if the status is a success.
    Answered { status: u16, expected: bool },
    /// No answer, for this reason.
    Failed(HttpError),
    /// Never sent: no connection became free within the timeout.
    Unsent,
    /// Nobody knows: the generator itself was held up while it was due or under way.
    Unknown,
}

/// How many requests ended in which way.
///
/// `success + unexpected + server_error` were answered; all other ways but `unknown` are failures without an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests whose intended send time fell into the span; zero where a span goes by the requests' ends.
    pub intended: u64,
    /// Answered with an expected status: one in the plan's `expect`, or any below 400 without it.
    pub success: u64,
    /// Answered below 500, but not with an expected status.
    pub unexpected: u64,
    /// Answered with 500 or above, and not expected.
    pub server_error: u64,
    /// Sent, but without a whole answer within the timeout.
    pub timeout: u64,
    /// Not sent within the timeout, because all connections were in use.
    pub unsent: u64,
    /// The host name had no address.
    pub resolve: u64,
    /// The connection was refused or did not come about.
    pub connect: u64,
    /// TLS could not be agreed on.
    pub tls: u64,
    /// The server closed the connection before the answer was whole.
    pub reset: u64,
    /// The server's answer was not HTTP.
    pub protocol: u64,
    /// This machine ran short of file descriptors, ports or memory: not the server's trouble, but no answer either.
    pub local: u64,
    /// Due or under way while the generator itself was held up: its process was stopped, its machine paused. What became
    /// of them says nothing of the server, so they are neither success nor failure, and are in no latency.
    pub unknown: u64,
}

impl Counts {
    /// Requests that came to an end, in whatever way that is known.
    pub fn ended(&self) -> u64 {
        self.answered()
            + self.timeout
            + self.unsent
            + self.resolve
            + self.connect
            + self.tls
            + self.reset
            + self.protocol
            + self.local
    }

    /// Requests with a whole answer in time, whatever its status.
    pub fn answered(&self) -> u64 {
        self.success + self.unexpected + self.server_error
    }

    /// Requests that ended other than with success.
    pub fn failed(&self) -> u64 {
        self.ended() - self.success
    }

    /// Requests answered per second of `time`. Where some are unknown, as many of them as of the others.
    pub fn throughput(&self, time: Duration) -> Option<f64> {
        let known = self.ended() as f64 / (self.ended() + self.unknown).max(1) as f64;
        let seconds = time.as_secs_f64() * if self.unknown > 0 { known } else { 1.0 };
        (seconds > 0.0).then(|| self.answered() as f64 / seconds)
    }

    /// Requests answered in time without a server error: with success, or with another status below 500.
    pub fn available(&self) -> u64 {
        self.success + self.unexpected
    }

    /// Requests meant to be sent that have not ended (still waiting, or cut off by the load's stop).
    pub fn unfinished(&self) -> u64 {
        self.intended.saturating_sub(self.ended() + self.unknown)
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.intended += other.intended;
        self.success += other.success;
        self.unexpected += other.unexpected;
        self.server_error += other.server_error;
        self.timeout += other.timeout;
        self.unsent += other.unsent;
        self.resolve += other.resolve;
        self.connect += other.connect;
        self.tls += other.tls;
        self.reset += other.reset;
        self.protocol += other.protocol;
        self.local += other.local;
        self.unknown += other.unknown;
    }

    fn count(&mut self, end: &End) {
        let counter = match end {
            End::Answered { expected: true, .. } => &mut self.success,
            End::Answered { status: 500.., .. } => &mut self.server_error,
            End::Answered { .. } => &mut self.unexpected,
            End::Unsent => &mut self.unsent,
            End::Unknown => &mut self.unknown,
            End::Failed(error) => match error.kind {
                ErrorKind::Resolve => &mut self.resolve,
                ErrorKind::Connect => &mut self.connect,
                ErrorKind::Tls => &mut self.tls,
                ErrorKind::Timeout => &mut self.timeout,
                ErrorKind::Reset => &mut self.reset,
                ErrorKind::Protocol => &mut self.protocol,
                ErrorKind::Request | ErrorKind::Local => &mut self.local,
            },
        };
        *counter += 1;
    }
}

/// How far the generator fell behind its own schedule: the time from when a request was due to when the generator
/// came to see it. It says nothing of the server; where it is not small beside the latencies, the generator (or
/// its machine) was the bottleneck, and the latencies are too high by about as much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Late {
    /// The worst.
    pub max: Duration,
    /// All together, to be divided by `count`.
    pub total: Duration,
    /// Requests that came due.
    pub count: u64,
}

impl Late {
    /// The mean, zero if nothing came due.
    pub fn mean(&self) -> Duration {
        let nanoseconds = self.total.as_nanos().checked_div(u128::from(self.count)).unwrap_or_default();
        Duration::from_nanos(nanoseconds as u64)
    }

    /// Adds that of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        self.total += other.total;
        self.count += other.count;
    }

    pub(super) fn count(&mut self, late: Duration) {
        self.max = self.max.max(late);
        self.total += late;
        self.count += 1;
    }
}

/// A distribution of latencies as pairs of a value in microseconds and its count, by rising value.
///
/// The values are those of an HDR histogram with three significant digits: each stands for all within 0.05 % of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    pairs: Vec<(u32, u64)>,
}

impl Latencies {
    /// From pairs (microseconds, count) in any order.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().filter(|(_, count)| *count > 0).collect();
        pairs.sort_unstable();
        pairs.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        Self { pairs }
    }

    fn from_histogram(histogram: &Histogram<u32>) -> Self {
        let pairs = histogram.iter_recorded().map(|bucket| {
            let value = histogram.median_equivalent(bucket.value_iterated_to());
            (u32::try_from(value).unwrap_or(u32::MAX), u64::from(bucket.count_at_value()))
        });
        Self { pairs: pairs.collect() }
    }

    /// The pairs (microseconds, count), by rising value.
    pub fn pairs(&self) -> &[(u32, u64)] {
        &self.pairs
    }

    /// How many latencies there are.
    pub fn count(&self) -> u64 {
        self.pairs.iter().map(|(_, count)| count).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The smallest latency that a share `q` (0 to 1) of all does not exceed, in seconds (nearest rank).
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = ((self.count() as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        self.pairs.iter().find_map(|(value, count)| {
            seen += count;
            (seen >= rank).then(|| seconds(*value))
        })
    }

    /// The mean in seconds.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.pairs.iter().map(|(value, count)| seconds(*value) * *count as f64).sum();
        (!self.is_empty()).then(|| sum / self.count() as f64)
    }

    /// The longest in seconds.
    pub fn max(&self) -> Option<f64> {
        self.pairs.last().map(|(value, _)| seconds(*value))
    }

    /// Adds those of `other`.
    pub fn merge(&mut self, other: &Self) {
        if !other.is_empty() {
            *self = Self::union([self as &Self, other]);
        }
    }

    /// All of `parts` together.
    pub fn union<'p>(parts: impl IntoIterator<Item = &'p Self>) -> Self {
        Self::from_pairs(parts.into_iter().flat_map(|part| part.pairs.iter().copied()))
    }
}

fn seconds(microseconds: u32) -> f64 {
    f64::from(microseconds) / 1e6
}

/// The totals of one span of time. Spans merge: the slices of a whole phase together are the phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// When the span begins.
    pub start: Instant,
    /// When the span ends; the next begins there.
    pub end: Instant,
    /// How its requests ended.
    pub counts: Counts,
    /// How long they took from their intended send time: the answered ones until the end of their answer, those
    /// that ran into the timeout (sent or not) until then, as a lower bound. Those refused, reset or otherwise
    /// failed are not in it: a fast refusal would make a broken server look quick.
    pub latencies: Latencies,
    /// How late the generator was.
    pub late: Late,
}

impl Slice {
    /// Adds the totals of `other` and widens the span to cover it.
    pub fn merge(&mut self, other: &Self) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.counts.merge(&other.counts);
        self.latencies.merge(&other.latencies);
        self.late.merge(&other.late);
    }

    /// A latency quantile in seconds, see [`Latencies::quantile`].
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.latencies.quantile(q)
    }

    /// How long the span is.
    pub fn length(&self) -> Duration {
        self.end.duration_since(self.start)
    }
}

/// A slice while it is being filled: its latencies stand in a histogram.
pub(super) struct Tally {
    pub(super) counts: Counts,
    pub(super) late: Late,
    histogram: Histogram<u32>,
}

impl Tally {
    pub(super) fn new() -> Self {
        // Three significant digits, in microseconds; it grows by itself to what is recorded.
        let histogram = Histogram::new(3).expect("three significant digits are within HdrHistogram's bounds");
        Self { counts: Counts::default(), late: Late::default(), histogram }
    }

    /// Books one end. `latency` in nanoseconds.
    pub(super) fn end(&mut self, end: &End, latency: u64) {
        self.counts.count(end);
        let has_latency = match end {
            End::Answered { .. } | End::Unsent => true,
            End::Failed(error) => error.kind == ErrorKind::Timeout,
            End::Unknown => false,
        };
        if has_latency {
            let microseconds = (latency / 1000).clamp(1, u64::from(u32::MAX));
            // It grows to any value that fits 64 bits, so there is nothing to report.
            let _ = self.histogram.record(microseconds);
        }
    }

    pub(super) fn latencies(&self) -> Latencies {
        Latencies::from_histogram(&self.histogram)
    }

    /// Empties it for its next use.
    pub(super) fn clear(&mut self) {
        self.counts = Counts::default();
        self.late = Late::default();
        self.histogram.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(start: Instant, milliseconds: std::ops::Range<u64>, values: &[u32]) -> Slice {
        let mut tally = Tally::new();
        for value in values {
            tally.counts.intended += 1;
            tally.late.count(Duration::from_micros(1));
            tally.end(&End::Answered { status: 200, expected: true }, u64::from(*value) * 1000);
        }
        Slice {
            start: start + Duration::from_millis(milliseconds.start),
            end: start + Duration::from_millis(milliseconds.end),
            counts: tally.counts,
            latencies: tally.latencies(),
            late: tally.late,
        }
    }

    #[test]
    fn merging_is_the_same_as_measuring_together() {
        let start = Instant::now();
        let first: Vec<u32> = (1..500).map(|n| n * 37).collect();
        let second: Vec<u32> = (1..700).map(|n| n * 61).collect();
        let mut merged = slice(start, 250..500, &second);
        merged.merge(&slice(start, 0..250, &first));
        let together = slice(start, 0..500, &[first, second].concat());
        assert_eq!(merged, together);
        assert_eq!(merged.length(), Duration::from_millis(500));
    }

    #[test]
    fn quantiles_are_within_the_histograms_precision() {
        let values: Vec<u32> = (1..=100_000).collect();
        let slice = slice(Instant::now(), 0..250, &values);
        for q in [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0] {
            let exact = q * 0.1;
            let measured = slice.quantile(q).unwrap();
            assert!((measured - exact).abs() <= exact * 0.001, "p{}: {measured} for {exact}", q * 100.0);
        }
        assert!((slice.latencies.mean().unwrap() - 0.05).abs() < 0.0001);
        assert_eq!(slice.latencies.count(), 100_000);
    }

    #[test]
    fn nothing_measured_has_no_quantile() {
        let empty = Latencies::default();
        assert_eq!((empty.quantile(0.5), empty.mean(), empty.max()), (None, None, None));
    }

    #[test]
    fn outcomes_are_told_apart() {
        let mut counts = Counts::default();
        for (status, expected) in [(200, true), (404, false), (503, false), (503, true)] {
            counts.count(&End::Answered { status, expected });
        }
        counts.count(&End::Failed(HttpError::new(ErrorKind::Reset, "GET /", "connection reset")));
        counts.count(&End::Unsent);
        assert_eq!((counts.success, counts.unexpected, counts.server_error), (2, 1, 1));
        assert_eq!((counts.ended(), counts.answered(), counts.failed(), counts.available()), (6, 4, 4, 3));
    }
}
