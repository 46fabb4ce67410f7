//! Traffic as the engine sees it: a running load is asked for its window every second, and for what each stretch of
//! time brought. The load generator itself is elsewhere; the binary joins the two.

use squall_model::quantity::load_metrics;
use std::collections::BTreeMap;
use std::time::Instant;

/// Metrics of one load by their bare names (`error_rate`, `latency_p99`), in base units. What could not be read is
/// absent.
pub type LoadMetrics = BTreeMap<String, f64>;

/// A load that was understood and can be started.
pub trait LoadSource: Send + Sync {
    /// Starts sending.
    ///
    /// # Errors
    /// Says what could not be started and why.
    fn start(&self) -> Result<Box<dyn RunningLoad>, String>;
}

/// A load that is being sent. None of its functions may block: the guard waits for them.
pub trait RunningLoad: Send {
    /// The metrics over the sliding window, as of now.
    fn window(&mut self) -> LoadMetrics;

    /// What has become final since the last call: slices by the *intended* send time of their requests, in order,
    /// without gaps, each once all of its requests have ended. `origin` is the second zero of their times.
    fn slices(&mut self, origin: Instant) -> Vec<Slice>;

    /// Why the last request of that window that failed did, in words; none where all went well.
    fn trouble(&mut self) -> Option<String>;

    /// Sends no more. Slices that are still open become final as they are.
    fn stop(&mut self);
}

/// What a stretch of time brought to the users whose requests were meant to be sent in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Slice {
    /// When it begins, in seconds since the run started.
    pub start: f64,
    /// When it ends.
    pub end: f64,
    /// Requests that came to an end, in whatever way.
    pub ended: u64,
    /// Of these, those answered in time and as expected.
    pub success: u64,
    /// Of these, those answered in time without a server error.
    pub available: u64,
    /// Of these, those answered in time, whatever the status.
    pub answered: u64,
    /// Latencies from the intended send time, as pairs of microseconds and count, by rising value.
    pub latencies: Vec<(u32, u32)>,
    /// How far the generator fell behind its own schedule at worst, in seconds.
    pub late: f64,
    /// Requests of which nothing is known, because the generator was held up: not among those that ended.
    pub unknown: u64,
}

/// The quantile that a metric's name asks for: `latency_p99` is 0.99, `latency_p999` is 0.999.
pub fn quantile_of(metric: &str) -> Option<f64> {
    let digits = metric.strip_prefix("latency_p")?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| format!("0.{digits}").parse().ok()).flatten()
}

impl Slice {
    /// Adds what another stretch brought and widens this one to cover it.
    pub fn merge(&mut self, other: &Self) {
        self.add_counts(other);
        self.latencies = distribution(&[self.latencies.as_slice(), &other.latencies]);
    }

    /// All of `slices` together; `None` where there is none.
    pub fn union<'s>(slices: impl IntoIterator<Item = &'s Self>) -> Option<Self> {
        let slices: Vec<&Self> = slices.into_iter().collect();
        let (first, rest) = slices.split_first()?;
        let mut union = Self { latencies: Vec::new(), ..(*first).clone() };
        for slice in rest {
            union.add_counts(slice);
        }
        union.latencies =
            distribution(&slices.iter().map(|slice| slice.latencies.as_slice()).collect::<Vec<_>>());
        Some(union)
    }

    fn add_counts(&mut self, other: &Self) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.ended += other.ended;
        self.success += other.success;
        self.available += other.available;
        self.answered += other.answered;
        self.late = self.late.max(other.late);
        self.unknown += other.unknown;
    }

    /// A metric by its bare name, in base units; `None` where nothing can be said.
    pub fn metric(&self, name: &str) -> Option<f64> {
        if self.ended > 0 && share_known(self.ended, self.unknown) < 1.0 - MOST_UNKNOWN {
            return None;
        }
        let share = |part: u64| (self.ended > 0).then(|| part as f64 / self.ended as f64);
        match name {
            "error_rate" => share(self.ended - self.success),
            "success_rate" => share(self.success),
            "availability" => share(self.available),
            "throughput" => (self.ended > 0 && self.end > self.start).then(|| {
                self.answered as f64 / (self.end - self.start) / share_known(self.ended, self.unknown)
            }),
            "latency_mean" => self.mean(),
            "latency_max" => self.latencies.last().map(|(value, _)| seconds(*value)),
            _ => self.quantile(quantile_of(name)?),
        }
    }

    fn mean(&self) -> Option<f64> {
        let count: u64 = self.latencies.iter().map(|(_, count)| u64::from(*count)).sum();
        let sum: f64 = self.latencies.iter().map(|(value, count)| seconds(*value) * f64::from(*count)).sum();
        (count > 0).then(|| sum / count as f64)
    }

    /// The smallest latency, in seconds, that a share `q` of all does not exceed (nearest rank).
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let count: u64 = self.latencies.iter().map(|(_, count)| u64::from(*count)).sum();
        let rank = ((count as f64 * q).ceil() as u64).max(1);
        let mut passed = 0;
        self.latencies.iter().find_map(|(value, count)| {
            passed += u64::from(*count);
            (passed >= rank).then(|| seconds(*value))
        })
    }
}

/// Where more than this share of all requests is unknown, the others speak for too little of the time.
const MOST_UNKNOWN: f64 = 0.5;

/// Which share of all requests is known.
fn share_known(ended: u64, unknown: u64) -> f64 {
    ended as f64 / (ended + unknown) as f64
}

fn seconds(microseconds: u32) -> f64 {
    f64::from(microseconds) / 1e6
}

/// Several distributions as one, by rising value.
fn distribution(parts: &[&[(u32, u32)]]) -> Vec<(u32, u32)> {
    let mut all: Vec<(u32, u32)> = parts.concat();
    all.sort_unstable_by_key(|(value, _)| *value);
    all.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    all
}

/// The load's name before a metric's, where several loads must be told apart.
fn full_name(load: &str, metric: &str) -> String {
    format!("{load}.{metric}")
}

/// The name under which a load's metric stands in the journal: bare where there is one load.
pub fn journal_name(loads: &[String], load: usize, metric: &str) -> String {
    if loads.len() == 1 { metric.to_owned() } else { full_name(&loads[load], metric) }
}

/// The load and the bare metric that a name in a condition means.
pub fn find<'n>(loads: &[String], name: &'n str) -> Option<(usize, &'n str)> {
    let known = |metric: &str| load_metrics().any(|known| known == metric) || quantile_of(metric).is_some();
    if let Some((load, metric)) = name.split_once('.') {
        let load = loads.iter().position(|candidate| candidate == load)?;
        return known(metric).then_some((load, metric));
    }
    (loads.len() == 1 && known(name)).then_some((0, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(start: f64, latencies: &[(u32, u32)]) -> Slice {
        let count = latencies.iter().map(|(_, count)| u64::from(*count)).sum();
        Slice {
            start,
            end: start + 1.0,
            ended: count,
            success: count,
            available: count,
            answered: count,
            latencies: latencies.to_vec(),
            late: 0.0,
            unknown: 0,
        }
    }

    #[test]
    fn slices_merge_to_what_was_measured_together() {
        let mut merged = slice(0.0, &[(1000, 5), (3000, 1)]);
        merged.merge(&slice(1.0, &[(1000, 1), (2000, 3)]));
        assert_eq!(merged.latencies, [(1000, 6), (2000, 3), (3000, 1)]);
        assert_eq!(merged.metric("throughput"), Some(5.0));
        assert_eq!(merged.metric("latency_p50"), Some(0.001));
        assert_eq!(merged.metric("latency_p90"), Some(0.002));
        assert_eq!(merged.metric("latency_p999"), Some(0.003));
        assert_eq!(merged.metric("latency_max"), Some(0.003));
        assert_eq!(merged.metric("error_rate"), Some(0.0));
        assert_eq!(Slice::default().metric("error_rate"), None);
        let known = |unknown| Slice { unknown, ..slice(0.0, &[(1000, 4)]) }.metric("error_rate");
        assert_eq!((known(4), known(5)), (Some(0.0), None), "a sliver says nothing of the whole");
        assert_eq!(Slice::default().metric("queue_depth"), None);
    }

    #[test]
    fn names_with_and_without_the_load() {
        let (one, two) = (vec!["shop".to_owned()], vec!["shop".to_owned(), "admin".to_owned()]);
        assert_eq!(find(&one, "error_rate"), Some((0, "error_rate")));
        assert_eq!(find(&one, "shop.latency_p99"), Some((0, "latency_p99")));
        assert_eq!(find(&two, "admin.latency_p99"), Some((1, "latency_p99")));
        assert_eq!((find(&two, "error_rate"), find(&one, "queue_depth")), (None, None));
        assert_eq!(journal_name(&one, 0, "throughput"), "throughput");
        assert_eq!(journal_name(&two, 1, "throughput"), "admin.throughput");
    }
}
