//! The objectives' metrics as questions to Prometheus, over counters and a histogram under the names of the user.

use super::objective::quantile_of;
use squall_model::units::Duration;

/// What the metrics of a service are called, and which of them are meant.
#[derive(Debug, Clone)]
pub struct Names {
    /// The counter of requests that failed.
    pub errors: String,
    /// The counter of all requests.
    pub requests: String,
    /// The histogram of latencies, without `_bucket`: in seconds, or in milliseconds where the name says so.
    pub latency: String,
    /// Labels, as they stand between braces: `job="shop"`.
    pub selector: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            errors: "error_total".to_owned(),
            requests: "request_total".to_owned(),
            latency: "request_duration_seconds".to_owned(),
            selector: String::new(),
        }
    }
}

impl Names {
    /// The query that gives a metric, in base units, over a window; none for a metric that is no objective's.
    pub fn query(&self, metric: &str, window: Duration) -> Option<String> {
        match metric {
            "error_rate" => Some(self.error_rate(window)),
            "availability" => Some(format!("1 - {}", self.error_rate(window))),
            _ => quantile_of(metric).map(|quantile| self.latency(quantile, window)),
        }
    }

    fn error_rate(&self, window: Duration) -> String {
        let rate = |name: &str| format!("sum(rate({name}{}[{}]))", self.labels(), range(window));
        format!("{} / {}", rate(&self.errors), rate(&self.requests))
    }

    fn latency(&self, quantile: f64, window: Duration) -> String {
        let name = self.latency.trim_end_matches("_bucket");
        let rate = format!("rate({name}_bucket{}[{}])", self.labels(), range(window));
        let in_milliseconds = name.ends_with("_milliseconds") || name.ends_with("_ms");
        let scale = if in_milliseconds { " / 1000" } else { "" };
        format!("histogram_quantile({quantile}, sum by (le) ({rate})){scale}")
    }

    fn labels(&self) -> String {
        if self.selector.is_empty() { String::new() } else { format!("{{{}}}", self.selector) }
    }
}

/// A duration as `PromQL` writes it: `5m`, `1h30m`, `1500ms`. It knows no fractions and nothing below a millisecond.
fn range(window: Duration) -> String {
    let text = window.to_string();
    if text.contains(['.', 'u', 'n']) { format!("{}ms", window.0.as_millis().max(1)) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_over_all_buckets_of_all_instances() {
        let names = Names { selector: "job=\"shop\"".to_owned(), ..Names::default() };
        let five = Duration::seconds(300);
        assert_eq!(
            names.query("error_rate", five).unwrap(),
            "sum(rate(error_total{job=\"shop\"}[5m])) / sum(rate(request_total{job=\"shop\"}[5m]))"
        );
        assert_eq!(
            Names::default().query("latency_p99", five).unwrap(),
            "histogram_quantile(0.99, sum by (le) (rate(request_duration_seconds_bucket[5m])))"
        );
        let old = Names { latency: "http_latency_ms_bucket".to_owned(), ..Names::default() };
        assert!(
            old.query("latency_p50", five).unwrap().ends_with("rate(http_latency_ms_bucket[5m]))) / 1000")
        );
        assert!(names.query("availability", five).unwrap().starts_with("1 - sum("));
        assert_eq!(names.query("throughput", five), None);
    }

    #[test]
    fn ranges_are_such_as_prometheus_reads() {
        for (text, expected) in
            [("5m", "5m"), ("1h30m", "1h30m"), ("1.5s", "1500ms"), ("250us", "1ms"), ("90s", "1m30s")]
        {
            assert_eq!(range(text.parse().unwrap()), expected);
        }
    }
}
