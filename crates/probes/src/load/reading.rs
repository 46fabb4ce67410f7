//! What the window shows: the load's metrics at one moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::slice::{Counts, Late, Latencies, Slice};

/// The load's metrics over its sliding window, by when requests *ended*. `None` where nothing can be said.
///
/// # Rates
///
/// Each is a share, 0 to 1, of the requests that ended within the window.
///
/// * `success_rate`: answered within the timeout with an expected status (without `expect`: any below 400).
/// * `error_rate`: `1 - success_rate`; all that was not a success, whatever the reason.
/// * `availability`: answered within the timeout without a server error. It differs from `success_rate` by answers
///   that were not expected but are no server error: a 404 is no success, yet the service was there and said so.
///
/// # Latencies
///
/// In seconds, from the *intended* send time to the end of the answer. A server (or a generator) that stalls delays
/// the sending of requests too; a clock that started at the actual sending would leave that out, and show the stall
/// as one slow request in place of the hundreds that met it. Gil Tene named this coordinated omission; his wrk2
/// measures likewise.
///
/// The distribution holds what was answered and what timed out (at its age, a lower bound of what a patient user
/// would have seen). What was refused or reset is left out, since it has no answer and its haste would flatter.
///
/// Requests still outstanding count once they make a latency worse: each figure is the larger of that over those
/// ended (`E`) and that over those ended together with the present ages of those outstanding (`E ∪ A`). An age only
/// grows, so the second is a lower bound of what the same requests will show in the end; the first keeps young
/// requests from pulling the figure down. Hence a total stall shows in the latencies as soon as its victims are
/// many enough for the quantile, at 200 requests/s and a 10 s window after 0.1 s in the 99th percentile, long before
/// any timeout; the error rate follows when timeouts pass. When nothing has ended within the window, the latencies
/// are those ages if the oldest is older than the window, and otherwise `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When it was read.
    pub at: Instant,
    /// How much time the window covers: its length, less at the load's start.
    pub covers: Duration,
    /// How the requests that ended within the window ended.
    pub counts: Counts,
    /// Share of ended requests that failed.
    pub error_rate: Option<f64>,
    /// Share of ended requests that succeeded.
    pub success_rate: Option<f64>,
    /// Share of ended requests answered without a server error.
    pub availability: Option<f64>,
    /// Requests answered (whatever the status) per second; 0 if requests are outstanding but none is answered,
    /// `None` if there was none.
    pub throughput: Option<f64>,
    /// Mean latency in seconds.
    pub latency_mean: Option<f64>,
    /// Median latency in seconds.
    pub latency_p50: Option<f64>,
    /// 75th percentile of latency in seconds.
    pub latency_p75: Option<f64>,
    /// 90th percentile of latency in seconds.
    pub latency_p90: Option<f64>,
    /// 95th percentile of latency in seconds.
    pub latency_p95: Option<f64>,
    /// 99th percentile of latency in seconds.
    pub latency_p99: Option<f64>,
    /// 99.9th percentile of latency in seconds.
    pub latency_p999: Option<f64>,
    /// Longest latency in seconds.
    pub latency_max: Option<f64>,
    /// Requests sent and not yet ended.
    pub in_flight: u64,
    /// Requests due and not sent, because all connections are in use.
    pub waiting: u64,
    /// Connections opened since the load's start.
    pub connections_opened: u64,
    /// How late the generator itself was within the window.
    pub late: Late,
    /// The last error within the window, in words.
    pub last_error: Option<String>,
}

/// What one generator thread knows at one moment.
pub(super) struct Snapshot {
    /// By end time: the window's slices, the running one last.
    pub(super) slices: Vec<Arc<Slice>>,
    /// Ages in nanoseconds of the outstanding requests, each with how many it stands for.
    pub(super) outstanding: Vec<(u64, u64)>,
    pub(super) in_flight: u64,
    pub(super) waiting: u64,
    /// Nanoseconds since the load's start, and the error met then.
    pub(super) last_error: Option<(u64, String)>,
}

impl Reading {
    pub(super) fn new(
        at: Instant,
        window: Duration,
        load_start: Instant,
        connections_opened: u64,
        snapshots: &[Snapshot],
    ) -> Self {
        let slices = || snapshots.iter().flat_map(|snapshot| &snapshot.slices);
        let (mut counts, mut late) = (Counts::default(), Late::default());
        for slice in slices() {
            counts.merge(&slice.counts);
            late.merge(&slice.late);
        }
        let begins = slices().map(|slice| slice.start).min().unwrap_or(at).max(load_start);
        let covers = at.saturating_duration_since(begins);
        let outstanding = snapshots.iter().flat_map(|snapshot| &snapshot.outstanding);
        let outstanding = Latencies::from_pairs(
            outstanding.map(|(age, count)| (u32::try_from(age / 1000).unwrap_or(u32::MAX), *count)),
        );
        let share = |part: u64| (counts.ended() > 0).then(|| part as f64 / counts.ended() as f64);
        let any = counts.ended() > 0 || !outstanding.is_empty();
        let throughput = counts.throughput(covers).filter(|_| any);
        let bounded =
            Bounded::new(Latencies::union(slices().map(|slice| &slice.latencies)), &outstanding, window);
        let quantile = |q: f64| bounded.figure(|latencies| latencies.quantile(q));
        Self {
            at,
            covers,
            counts,
            error_rate: share(counts.failed()),
            success_rate: share(counts.success),
            availability: share(counts.available()),
            throughput,
            latency_mean: bounded.figure(Latencies::mean),
            latency_p50: quantile(0.5),
            latency_p75: quantile(0.75),
            latency_p90: quantile(0.9),
            latency_p95: quantile(0.95),
            latency_p99: quantile(0.99),
            latency_p999: quantile(0.999),
            latency_max: bounded.figure(Latencies::max),
            in_flight: snapshots.iter().map(|snapshot| snapshot.in_flight).sum(),
            waiting: snapshots.iter().map(|snapshot| snapshot.waiting).sum(),
            connections_opened,
            late,
            last_error: snapshots
                .iter()
                .filter_map(|snapshot| snapshot.last_error.clone())
                .max_by_key(|(at, _)| *at)
                .map(|(_, error)| error),
        }
    }

    /// Why requests of the window failed, in words: the last error, else the kinds of answers that were none.
    pub fn trouble(&self) -> Option<String> {
        let Counts { server_error, unexpected, unsent, .. } = self.counts;
        let answers = |count: u64, which: &str| (count > 0).then(|| format!("an answer had {which}"));
        self.last_error
            .clone()
            .or_else(|| answers(server_error, "a status of 500 or above"))
            .or_else(|| answers(unexpected, "a status that is not expected"))
            .or_else(|| (unsent > 0).then(|| "no connection was free within the timeout".to_owned()))
    }

    /// A metric by its name in experiment files, such as `latency_p99`; the outer `None` means there is no such one.
    pub fn metric(&self, name: &str) -> Option<Option<f64>> {
        METRICS.iter().find(|(known, _)| *known == name).map(|(_, read)| read(self))
    }
}

/// How a metric is read.
type ReadMetric = fn(&Reading) -> Option<f64>;

/// The metrics of a load: their names in experiment files, and where they stand in a reading.
pub const METRICS: &[(&str, ReadMetric)] = &[
    ("error_rate", |reading| reading.error_rate),
    ("success_rate", |reading| reading.success_rate),
    ("availability", |reading| reading.availability),
    ("throughput", |reading| reading.throughput),
    ("latency_mean", |reading| reading.latency_mean),
    ("latency_p50", |reading| reading.latency_p50),
    ("latency_p75", |reading| reading.latency_p75),
    ("latency_p90", |reading| reading.latency_p90),
    ("latency_p95", |reading| reading.latency_p95),
    ("latency_p99", |reading| reading.latency_p99),
    ("latency_p999", |reading| reading.latency_p999),
    ("latency_max", |reading| reading.latency_max),
];

/// The latencies of those ended, and of those with the ages of the outstanding ones.
struct Bounded {
    ended: Latencies,
    with_outstanding: Latencies,
}

impl Bounded {
    fn new(ended: Latencies, outstanding: &Latencies, window: Duration) -> Self {
        let stalled = outstanding.max().is_some_and(|oldest| oldest > window.as_secs_f64());
        let with_outstanding = if ended.is_empty() && !stalled {
            Latencies::default()
        } else {
            Latencies::union([&ended, outstanding])
        };
        Self { ended, with_outstanding }
    }

    fn figure(&self, of: impl Fn(&Latencies) -> Option<f64>) -> Option<f64> {
        match (of(&self.ended), of(&self.with_outstanding)) {
            (Some(ended), Some(all)) => Some(ended.max(all)),
            (ended, all) => ended.or(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn read(ended: &[(u32, u64)], outstanding: &[(u64, u64)]) -> Reading {
        let start = Instant::now();
        let at = start + Duration::from_secs(100);
        let answered = ended.iter().map(|(_, count)| count).sum();
        let slice = Slice {
            start: start + Duration::from_secs(90),
            end: at,
            counts: Counts { success: answered, ..Counts::default() },
            latencies: Latencies::from_pairs(ended.iter().copied()),
            late: Late::default(),
        };
        let snapshot = Snapshot {
            slices: vec![Arc::new(slice)],
            outstanding: outstanding.to_vec(),
            in_flight: outstanding.len() as u64,
            waiting: 0,
            last_error: None,
        };
        Reading::new(at, Duration::from_secs(10), start, 1, &[snapshot])
    }

    #[test]
    fn young_outstanding_requests_do_not_flatter() {
        let reading = read(&[(5_000, 100)], &[(MS, 900)]);
        assert_eq!(reading.latency_p50, Some(0.005));
        assert_eq!(reading.latency_mean, Some(0.005));
        assert_eq!(reading.throughput, Some(10.0));
    }

    #[test]
    fn a_stall_shows_in_latencies_before_any_timeout() {
        // 10 s of 200 requests/s at 5 ms, then nothing for 1 s.
        let ages: Vec<_> = (0..200).map(|n| (n * 5 * MS, 1)).collect();
        let reading = read(&[(5_000, 2000)], &ages);
        assert_eq!(reading.latency_p50, Some(0.005));
        assert!(reading.latency_p99.unwrap() > 0.8, "{:?}", reading.latency_p99);
        assert!(reading.latency_max.unwrap() > 0.99);
        assert_eq!(reading.error_rate, Some(0.0));
    }

    #[test]
    fn nothing_ended_says_nothing_until_the_stall_fills_the_window() {
        let begun = read(&[], &[(3 * MS, 1)]);
        assert_eq!((begun.latency_p99, begun.error_rate, begun.throughput), (None, None, Some(0.0)));
        let stalled = read(&[], &[(11_000 * MS, 1), (3 * MS, 1)]);
        assert_eq!(stalled.latency_max, Some(11.0));
        let idle = read(&[], &[]);
        assert_eq!((idle.latency_max, idle.throughput), (None, None));
    }

    #[test]
    fn metrics_are_found_by_name() {
        let known = squall_model::quantity::load_metrics();
        assert!(known.eq(METRICS.iter().map(|(name, _)| *name)), "each is measured, in the same order");
        let reading = read(&[(5_000, 100)], &[]);
        assert_eq!(reading.metric("latency_p99"), Some(Some(0.005)));
        assert_eq!(reading.metric("success_rate"), Some(Some(1.0)));
        assert_eq!(reading.metric("latency_p98"), None);
    }
}
