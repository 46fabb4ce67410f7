//! What each service counts, in the text format of Prometheus.
//!
//! The names are few and the same in all services: `requests_total{outcome}`, `request_seconds` (a
//! histogram), `queue_depth{queue}`, `fallbacks_total{fallback}`, `retries_total{upstream}`,
//! `breaker_open{upstream}`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::StatusCode;

/// Upper bounds of the histogram's buckets, in milliseconds.
const BOUNDS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// 2xx, except 202.
    Ok,
    /// 202: taken, to be settled later.
    Accepted,
    /// 3xx and 4xx: the client's mistake.
    Refused,
    /// 5xx: ours.
    Failed,
    /// The client left before there was a reply.
    Abandoned,
}

impl Outcome {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Ok, "ok"),
        (Self::Accepted, "accepted"),
        (Self::Refused, "refused"),
        (Self::Failed, "failed"),
        (Self::Abandoned, "abandoned"),
    ];

    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            202 => Self::Accepted,
            200..=299 => Self::Ok,
            500.. => Self::Failed,
            _ => Self::Refused,
        }
    }
}

/// Requests of one service, counted and timed.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// One more than there are bounds: the last is for what is slower than all of them.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Metrics {
    /// Begins to time a request. If the observation is dropped without an end, the client has left.
    pub(super) fn begin(&self) -> Observation<'_> {
        Observation { metrics: self, begin: Instant::now(), outcome: Outcome::Abandoned }
    }

    fn record(&self, outcome: Outcome, took: Duration) {
        let bucket =
            BOUNDS.iter().position(|bound| took <= Duration::from_millis(*bound)).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    /// Adds the counts to a page.
    pub(super) fn describe(&self, page: &mut Page) {
        for (outcome, name) in Outcome::ALL {
            let count = self.outcomes[outcome as usize].load(Ordering::Relaxed);
            page.counter("requests_total", "Requests by how they ended.", &[("outcome", name)], count);
        }
        let mut so_far = 0;
        let lines = page.family("request_seconds", "How long requests took, in seconds.", "histogram");
        for (index, bucket) in self.buckets.iter().enumerate() {
            so_far += bucket.load(Ordering::Relaxed);
            let bound =
                BOUNDS.get(index).map_or("+Inf".to_owned(), |bound| (*bound as f64 / 1000.0).to_string());
            lines.push(format!("request_seconds_bucket{{le=\"{bound}\"}} {so_far}"));
        }
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        lines.push(format!("request_seconds_sum {seconds}"));
        lines.push(format!("request_seconds_count {so_far}"));
    }
}

/// One request under way.
#[derive(Debug)]
pub(super) struct Observation<'a> {
    metrics: &'a Metrics,
    begin: Instant,
    outcome: Outcome,
}

impl Observation<'_> {
    /// Ends it with the status of the reply.
    pub(super) fn end(mut self, status: StatusCode) {
        self.outcome = Outcome::of(status);
    }
}

impl Drop for Observation<'_> {
    fn drop(&mut self) {
        self.metrics.record(self.outcome, self.begin.elapsed());
    }
}

/// A page of metrics: families in order of name, each with its help and type once.
#[derive(Debug, Default)]
pub(super) struct Page {
    families: BTreeMap<&'static str, Family>,
}

#[derive(Debug)]
struct Family {
    help: &'static str,
    kind: &'static str,
    lines: Vec<String>,
}

/// The labels of one sample; names and values are words of ours and need no escaping.
type Labels<'a> = &'a [(&'static str, &'static str)];

impl Page {
    /// Adds a number that only grows.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: u64) {
        self.family(name, help, "counter").push(sample(name, labels, value));
    }

    /// Adds a number that goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: u64) {
        self.family(name, help, "gauge").push(sample(name, labels, value));
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: &'static str) -> &mut Vec<String> {
        &mut self.families.entry(name).or_insert(Family { help, kind, lines: Vec::new() }).lines
    }
}

fn sample(name: &str, labels: Labels<'_>, value: u64) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    if labels.is_empty() {
        format!("{name} {value}")
    } else {
        format!("{name}{{{}}} {value}", labels.join(","))
    }
}

impl fmt::Display for Page {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, family) in &self.families {
            writeln!(formatter, "# HELP {name} {}", family.help)?;
            writeln!(formatter, "# TYPE {name} {}", family.kind)?;
            for line in &family.lines {
                writeln!(formatter, "{line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_in_each_place() {
        let metrics = Metrics::default();
        metrics.begin().end(StatusCode::OK);
        metrics.begin().end(StatusCode::ACCEPTED);
        metrics.begin().end(StatusCode::SERVICE_UNAVAILABLE);
        drop(metrics.begin());
        metrics.record(Outcome::Ok, Duration::from_mins(1));
        let mut page = Page::default();
        metrics.describe(&mut page);
        let page = page.to_string();
        assert!(page.contains("requests_total{outcome=\"ok\"} 2\n"), "{page}");
        assert!(page.contains("requests_total{outcome=\"accepted\"} 1\n"), "{page}");
        assert!(page.contains("requests_total{outcome=\"failed\"} 1\n"), "{page}");
        assert!(page.contains("requests_total{outcome=\"abandoned\"} 1\n"), "{page}");
        assert!(page.contains("request_seconds_bucket{le=\"5\"} 4\n"), "{page}");
        assert!(page.contains("request_seconds_bucket{le=\"+Inf\"} 5\n"), "{page}");
        assert!(page.contains("request_seconds_count 5\n"), "{page}");
    }

    #[test]
    fn help_and_type_are_said_once_a_family() {
        let mut page = Page::default();
        page.gauge("queue_depth", "Waiting.", &[("queue", "a")], 1);
        page.counter("other_total", "Other.", &[], 3);
        page.gauge("queue_depth", "Waiting.", &[("queue", "b")], 2);
        assert_eq!(
            page.to_string(),
            "# HELP other_total Other.\n# TYPE other_total counter\nother_total 3\n\
             # HELP queue_depth Waiting.\n# TYPE queue_depth gauge\n\
             queue_depth{queue=\"a\"} 1\nqueue_depth{queue=\"b\"} 2\n"
        );
    }
}
