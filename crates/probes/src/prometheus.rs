//! Prometheus: an instant or a range query of its HTTP API, as Thanos, Mimir and `VictoriaMetrics` have it too.
//!
//! Sources: <https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>, and `#range-queries`.

mod answer;
mod fresh;

use crate::question::{Auth, Question};
use crate::timeout::Timeout;
use answer::Matrix;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_http::{Headers, HttpError, Request, Response, Url, Verb, encoded};
use squall_model::probe::{Observe, Pending, Probe, ProbeError};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// At most so many samples of a range are asked for; Prometheus gives no more than 11000.
const MOST_SAMPLES: u128 = 10_000;

/// A range is asked for in so many steps where the file does not say.
const STEPS: u32 = 20;

/// What stands under `prometheus:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Where Prometheus is, without `/api/v1/query`: `http://127.0.0.1:9090`, or with the path that it is served under.
    url: Url,
    /// A query (`PromQL`) that gives exactly one number: `sum(queue_depth)`. What Prometheus can no longer scrape is
    /// absent at once; what is pushed to it counts for 5 minutes, or for `stale_after`.
    query: String,
    /// A sample that is older is no sample: `30s`. Without it, Prometheus itself says how old one may be (5 minutes,
    /// unless its target is gone).
    #[serde(default)]
    stale_after: Option<Duration>,
    /// Asks for the time up to now in place of this moment: `5m`. What comes is made one number by `take`.
    #[serde(default)]
    range: Option<Duration>,
    /// How far the samples of a `range` lie apart; a twentieth of it, where not given, and at least a second.
    #[serde(default)]
    step: Option<Duration>,
    /// Which number the samples of a `range` make. There must be one of this moment, whatever is taken.
    #[serde(default)]
    take: Option<Take>,
    /// How long the answer may take.
    #[serde(default = "Timeout::two_seconds")]
    timeout: Timeout,
    /// Headers to send, such as `X-Scope-OrgID`.
    #[serde(default)]
    headers: Headers,
    /// Who asks: `{bearer: {env: TOKEN}}`, `{basic: {user: squall, password: {file: /run/secrets/prometheus}}}`,
    /// `{certificate: client.pem, key: client.key}`.
    #[serde(default)]
    auth: Option<Auth>,
    /// A PEM file with certificate authorities to believe beside the web's. Without it, the file that `SSL_CERT_FILE`
    /// names counts.
    #[serde(default)]
    authorities: Option<PathBuf>,
}

/// What is taken of the samples of a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Take {
    /// The latest.
    #[default]
    Last,
    /// Their mean.
    Mean,
    /// The greatest.
    Max,
    /// The least.
    Min,
}

impl Take {
    /// Of at least one value.
    fn of(self, values: &[f64]) -> f64 {
        match self {
            Self::Last => values.last().copied().unwrap_or(f64::NAN),
            Self::Mean => values.iter().sum::<f64>() / values.len() as f64,
            Self::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        }
    }
}

/// The `prometheus` probe and metric source.
pub struct Prometheus {
    question: Question,
    headers: Headers,
    base: Url,
    /// As it stands in the file.
    written: String,
    /// As it is sent, encoded.
    sent: String,
    range: Option<Range>,
}

impl Probe for Prometheus {
    const NAME: &'static str = "prometheus";
    const SUMMARY: &'static str = "Asks Prometheus for one number";
    const EXAMPLE: &'static str = "\
- prometheus: {url: \"http://127.0.0.1:9090\", query: \"sum(rate(errors_total[1m]))\", range: 5m, take: max}
  expect: value < 1/s
";
    const VALUES: &'static [(&'static str, &'static str)] =
        &[("value", "the number, in the unit of the query")];
    const DEFAULT_EXPECTATION: Option<&'static str> = None;
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { url, query, stale_after, range, step, take, timeout, headers, auth, authorities } =
            parameters;
        if query.trim().is_empty() {
            return Err(ProbeError("`query` is empty; it is PromQL, such as sum(queue_depth)".to_owned()));
        }
        let range = match range {
            Some(range) => Some(Range::new(range, step, take.unwrap_or_default()).map_err(ProbeError)?),
            None if step.is_some() || take.is_some() => {
                return Err(ProbeError(
                    "`step` and `take` are about a `range`, which is not given".to_owned(),
                ));
            }
            None => None,
        };
        let sent = match stale_after {
            None => query.clone(),
            Some(age) => fresh::only(&query, age).map_err(ProbeError)?,
        };
        let sent = encoded(&sent);
        let first = endpoint(&url, "query", &format!("query={sent}"))
            .map_err(|error| ProbeError(error.to_string()))?;
        let request = Request::of(first, Verb::default()).headers(headers.clone());
        let question = Question::new(request, auth, authorities, timeout)?.kept();
        Ok(Self { question, headers, base: url, written: query, sent, range })
    }
}

impl Observe for Prometheus {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(self.ask())
    }

    fn patience(&self) -> Duration {
        self.question.timeout().patience()
    }
}

#[derive(Debug, Clone, Copy)]
struct Range {
    steps: u32,
    step: std::time::Duration,
    take: Take,
}

impl Prometheus {
    async fn ask(&self) -> Result<Reading, ProbeError> {
        match self.range {
            None => self.question.ask(|response| self.reading(answer::sample(response))).await,
            Some(range) => self.ask_range(range).await,
        }
    }

    async fn ask_range(&self, range: Range) -> Result<Reading, ProbeError> {
        let now = in_milliseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let start = now.saturating_sub(range.step * range.steps);
        let [start, end, step] = [start, now, range.step].map(|time| format!("{:.3}", time.as_secs_f64()));
        let asked = format!("query={}&start={start}&end={end}&step={step}", self.sent);
        let url =
            endpoint(&self.base, "query_range", &asked).map_err(|error| ProbeError(error.to_string()))?;
        let request = Request::of(url, Verb::default()).headers(self.headers.clone());
        let read = |response: &Response| {
            let samples = answer::clock_agrees(response, now).and_then(|()| answer::samples(response));
            self.reading(samples.and_then(|samples| range.number(&samples, now.as_secs_f64())))
        };
        self.question.ask_as(&request, read).await
    }

    fn reading(&self, number: Result<f64, String>) -> Result<Reading, String> {
        let number = number.map_err(|cause| {
            let server = self.question.request().url().host_and_port();
            format!("ask Prometheus at {server} for `{}`: {cause}", self.written)
        })?;
        Ok(Reading::from([("value".to_owned(), Value::Number(number))]))
    }
}

impl Range {
    fn new(range: Duration, step: Option<Duration>, take: Take) -> Result<Self, String> {
        let second = std::time::Duration::from_secs(1);
        let step = step.map_or_else(|| (range.0 / STEPS).max(second), |step| step.0);
        let step = in_milliseconds(step);
        if step.is_zero() || step > range.0 {
            return Err(format!("`step` is above zero and at most the `range` of {range}"));
        }
        let steps = range.0.as_millis() / step.as_millis();
        if steps > MOST_SAMPLES {
            return Err(format!("{steps} samples are more than {MOST_SAMPLES}: take a longer `step`"));
        }
        Ok(Self { steps: steps as u32, step, take })
    }

    /// The number that samples up to `now` make. One of this moment must be among them: what was is no more known to
    /// be so.
    fn number(self, samples: &Matrix, now: f64) -> Result<f64, String> {
        let Some((latest, _)) = samples.last() else {
            return Err("no sample: nothing matches, or it is too old".to_owned());
        };
        let age = now - latest;
        if age > self.step.as_secs_f64() / 2.0 {
            return Err(format!("no sample of this moment: the latest is {age:.0} s old"));
        }
        let values: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
        Ok(self.take.of(&values))
    }
}

/// Prometheus reckons in milliseconds; with less, no sample would fall on the end of a range.
fn in_milliseconds(time: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_millis(time.as_millis() as u64)
}

fn endpoint(base: &Url, kind: &str, asked: &str) -> Result<Url, HttpError> {
    let (scheme, authority) = (if base.is_tls() { "https" } else { "http" }, base.authority());
    let path_and_query = base.path_and_query();
    let (path, own) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let path = path.trim_end_matches('/').trim_end_matches("/api/v1/query");
    let mut text = format!("{scheme}://{authority}{path}/api/v1/{kind}?{asked}");
    if !own.is_empty() {
        let _ = write!(text, "&{own}");
    }
    Url::parse(&text)
}

#[cfg(test)]
mod tests;
