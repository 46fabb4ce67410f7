//! CloudWatch as a metric source: one statistic of one metric, also percentiles.

#[cfg(feature = "aws")]
mod ask;
#[cfg(not(feature = "aws"))]
mod lacking;

use crate::timeout::Timeout;
#[cfg(feature = "aws")]
use ask::Asker;
#[cfg(not(feature = "aws"))]
use lacking::Asker;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::probe::{Observe, Pending, Probe, ProbeError};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What stands under `cloudwatch:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "a build without AWS asks nothing"))]
pub struct Parameters {
    /// The namespace: `AWS/ApplicationELB`.
    namespace: String,
    /// The metric: `TargetResponseTime`.
    metric: String,
    /// Exactly those dimensions that the metric is kept by: `{LoadBalancer: app/shop/50dc6c495c0c9188}`.
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
    /// `average`, `sum`, `minimum`, `maximum`, `count`, or a percentile: `p99`, `p99.9`.
    statistic: String,
    /// The time that makes one number: a multiple of a minute, or 1, 5, 10, 20 or 30 seconds for metrics of high resolution.
    /// Asked for is the last such time that is over.
    #[serde(default = "minute")]
    period: Duration,
    /// How old the newest number may be, from the end of its period: AWS's own services write a few minutes late.
    #[serde(default = "five_minutes")]
    within: Duration,
    /// The number where there is no sample in that time: `0` for errors that AWS counts only when there are some. Without
    /// it, no sample is no number, which a guard takes for unsafe.
    #[serde(default)]
    absent: Option<f64>,
    /// How long an answer counts. Each question costs money, and the numbers change once a period; a sixth of the period,
    /// and at most 10 seconds, where not given.
    #[serde(default)]
    every: Option<Duration>,
    /// The region; without it, that of AWS's own settings (`AWS_REGION`, the profile, the machine's metadata).
    #[serde(default)]
    region: Option<String>,
    /// The profile whose settings and credentials count; without it `AWS_PROFILE` or the usual ones.
    #[serde(default)]
    profile: Option<String>,
    /// Another address than AWS's own; `AWS_ENDPOINT_URL` says the same.
    #[serde(default)]
    endpoint: Option<String>,
    /// How long the answer may take, with all its tries.
    #[serde(default)]
    timeout: Timeout,
}

fn minute() -> Duration {
    Duration::seconds(60)
}

fn five_minutes() -> Duration {
    Duration::seconds(300)
}

/// The `cloudwatch` metric source.
pub struct CloudWatch {
    asker: Asker,
    absent: Option<f64>,
    every: std::time::Duration,
    timeout: Timeout,
    /// The last answer, and when it came.
    last: Mutex<Option<(Instant, f64)>>,
}

impl Probe for CloudWatch {
    const NAME: &'static str = "cloudwatch";
    const SUMMARY: &'static str = "Asks CloudWatch for one statistic of one metric";
    const EXAMPLE: &'static str = "\
latency: {cloudwatch: {namespace: AWS/ApplicationELB, metric: TargetResponseTime, statistic: p99,
                       dimensions: {LoadBalancer: app/shop/50dc6c495c0c9188}, region: eu-west-1}}
";
    const VALUES: &'static [(&'static str, &'static str)] =
        &[("value", "the number, in the unit of the metric")];
    const DEFAULT_EXPECTATION: Option<&'static str> = None;
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let (absent, timeout, period) = (parameters.absent, parameters.timeout, parameters.period.0);
        let usual = (period / 6).min(std::time::Duration::from_secs(10));
        let every = parameters.every.map_or(usual, |every| every.0);
        Ok(Self { asker: Asker::new(parameters)?, absent, every, timeout, last: Mutex::default() })
    }
}

impl Observe for CloudWatch {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let known = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let number = match known {
                Some((at, number)) if at.elapsed() < self.every => number,
                _ => self.ask().await?,
            };
            Ok(Reading::from([("value".to_owned(), Value::Number(number))]))
        })
    }

    fn patience(&self) -> Duration {
        self.timeout.patience()
    }
}

impl CloudWatch {
    async fn ask(&self) -> Result<f64, ProbeError> {
        let number = match (self.asker.ask().await, self.absent) {
            (Ok(None), Some(absent)) => absent,
            (Ok(None), None) => return Err(self.asker.nothing()),
            (Ok(Some(number)), _) => number,
            (Err(error), _) => return Err(error),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), number));
        Ok(number)
    }
}

#[cfg(all(test, feature = "aws"))]
mod tests;
