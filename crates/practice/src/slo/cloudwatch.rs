//! The objectives' metrics as statistics of CloudWatch, under the names that AWS's own services give theirs.

use super::objective::quantile_of;

/// What the metrics of a service are called in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudWatchNames {
    /// The count of requests that failed.
    pub errors: String,
    /// The count of all requests.
    pub requests: String,
    /// Latencies: in seconds, or in milliseconds.
    pub latency: String,
    /// Whether in milliseconds.
    pub in_milliseconds: bool,
}

/// One statistic of one metric, and what it is multiplied by to be in base units.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric.
    pub metric: String,
    /// The statistic: `sum`, `p99`.
    pub statistic: String,
    /// The factor.
    pub scale: f64,
}

/// Namespaces of AWS's own: failed requests, all requests, latency, and whether that is in milliseconds.
/// Source: the CloudWatch chapters of each service's guide.
const KNOWN: [(&str, &str, &str, &str, bool); 4] = [
    ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "RequestCount", "TargetResponseTime", false),
    ("AWS/ELB", "HTTPCode_Backend_5XX", "RequestCount", "Latency", false),
    ("AWS/ApiGateway", "5XXError", "Count", "Latency", true),
    ("AWS/Lambda", "Errors", "Invocations", "Duration", true),
];

impl CloudWatchNames {
    /// The names of a namespace, with those that the user gives in place of them.
    ///
    /// # Errors
    /// Which names of another namespace are missing.
    pub fn of(
        namespace: &str,
        errors: Option<&str>,
        requests: Option<&str>,
        latency: Option<&str>,
    ) -> Result<Self, String> {
        let known = KNOWN.iter().find(|(name, ..)| *name == namespace);
        let usual = known.map(|(_, errors, requests, latency, _)| (*errors, *requests, *latency));
        let name = |own: Option<&str>, usual: Option<&str>| own.or(usual).unwrap_or_default().to_owned();
        if usual.is_none() && errors.is_none() && requests.is_none() && latency.is_none() {
            let known: Vec<&str> = KNOWN.iter().map(|(name, ..)| *name).collect();
            return Err(format!(
                "the names of the metrics are known for the namespaces {}; for {namespace} give --errors-metric, \
                 --requests-metric and --latency-metric, as far as the objectives need them",
                known.join(", ")
            ));
        }
        let own_unit = latency.map(|name| {
            let name = name.to_ascii_lowercase();
            name.ends_with("ms") || name.contains("milli")
        });
        Ok(Self {
            errors: name(errors, usual.map(|names| names.0)),
            requests: name(requests, usual.map(|names| names.1)),
            latency: name(latency, usual.map(|names| names.2)),
            in_milliseconds: own_unit.or(known.map(|known| known.4)).unwrap_or(false),
        })
    }

    /// The sample of a latency; none for a metric that is none, or has no name.
    pub fn latency(&self, metric: &str) -> Option<Sample> {
        let quantile = quantile_of(metric).filter(|_| !self.latency.is_empty())?;
        // 0.999 × 100 is 99.9 but for the last bit.
        let percent = (quantile * 1e6).round() / 1e4;
        let scale = if self.in_milliseconds { 1e-3 } else { 1.0 };
        Some(Sample { metric: self.latency.clone(), statistic: format!("p{percent}"), scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_aws_are_known_and_others_are_given() {
        let balancer = CloudWatchNames::of("AWS/ApplicationELB", None, Some("Mine"), None).unwrap();
        assert_eq!(
            (balancer.errors.as_str(), balancer.requests.as_str()),
            ("HTTPCode_Target_5XX_Count", "Mine")
        );
        let sample = balancer.latency("latency_p999").unwrap();
        let expected = Sample { metric: "TargetResponseTime".into(), statistic: "p99.9".into(), scale: 1.0 };
        assert_eq!(sample, expected);
        let function = CloudWatchNames::of("AWS/Lambda", None, None, None).unwrap();
        assert!(function.in_milliseconds && function.latency("latency_p50").unwrap().scale < 0.1);
        let own = CloudWatchNames::of("Shop", None, None, Some("LatencyMs")).unwrap();
        assert!(own.in_milliseconds && own.latency("error_rate").is_none());
        assert!(CloudWatchNames::of("Shop", None, None, None).unwrap_err().contains("AWS/ApplicationELB"));
    }
}
