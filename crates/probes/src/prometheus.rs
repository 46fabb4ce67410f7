//! Prometheus as a metric source: an instant query of its HTTP API, as Thanos, Mimir and `VictoriaMetrics` have it too.
//!
//! Source: <https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>

use crate::http::Question;
use crate::timeout::Timeout;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use squall_http::{Headers, HttpError, Request, Response, Url, Verb};
use squall_model::probe::{Observe, Pending, Probe, ProbeError};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::fmt::Write;
use std::path::PathBuf;

/// What stands under `prometheus:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Where Prometheus is, without `/api/v1/query`: `http://127.0.0.1:9090`, or with the path that it is served under.
    url: Url,
    /// A query (`PromQL`) that gives exactly one number: `sum(queue_depth)`. What Prometheus can no longer scrape is
    /// absent at once; what is pushed to it counts for 5 minutes, unless the query says
    /// `queue_depth and timestamp(queue_depth) > time() - 30`.
    query: String,
    /// How long the answer may take.
    #[serde(default = "Timeout::two_seconds")]
    timeout: Timeout,
    /// Headers to send, such as `Authorization: Bearer …` or `X-Scope-OrgID`.
    #[serde(default)]
    headers: Headers,
    /// A PEM file with certificate authorities to believe beside the web's. Without it, the file that `SSL_CERT_FILE`
    /// names counts.
    #[serde(default)]
    authorities: Option<PathBuf>,
}

/// The `prometheus` metric source.
pub struct Prometheus {
    question: Question,
    query: String,
}

impl Probe for Prometheus {
    const NAME: &'static str = "prometheus";
    const SUMMARY: &'static str = "Asks Prometheus for one number";
    const EXAMPLE: &'static str = "\
queue_depth: {prometheus: {url: \"http://127.0.0.1:9090\", query: \"sum(queue_depth)\"}}
";
    const VALUES: &'static [(&'static str, &'static str)] =
        &[("value", "the number, in the unit of the query")];
    const DEFAULT_EXPECTATION: Option<&'static str> = None;
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { url, query, timeout, headers, authorities } = parameters;
        if query.trim().is_empty() {
            return Err(ProbeError("`query` is empty; it is PromQL, such as sum(queue_depth)".to_owned()));
        }
        let wrong = |error: HttpError| ProbeError(error.to_string());
        let url = query_url(&url, &query).map_err(wrong)?;
        let request = Request::of(url, Verb::default()).headers(headers);
        Ok(Self { question: Question { request, authorities: authorities.into(), timeout }, query })
    }
}

fn query_url(base: &Url, query: &str) -> Result<Url, HttpError> {
    let (scheme, authority) = (if base.is_tls() { "https" } else { "http" }, base.authority());
    let path_and_query = base.path_and_query();
    let (path, own) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let path = path.trim_end_matches('/').trim_end_matches("/api/v1/query");
    let mut text = format!("{scheme}://{authority}{path}/api/v1/query?query={}", encoded(query));
    if !own.is_empty() {
        let _ = write!(text, "&{own}");
    }
    Url::parse(&text)
}

/// Percent-encoded, as a value in a query (RFC 3986, section 2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

impl Observe for Prometheus {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let response = self.question.ask().await?;
            let number = sample(&response).map_err(|cause| self.error(&cause))?;
            Ok(Reading::from([("value".to_owned(), Value::Number(number))]))
        })
    }

    fn patience(&self) -> Duration {
        self.question.timeout.patience()
    }
}

impl Prometheus {
    fn error(&self, cause: &str) -> ProbeError {
        let server = self.question.request.url().host_and_port();
        ProbeError(format!("ask Prometheus at {server} for `{}`: {cause}", self.query))
    }
}

/// The body of an answer, see the API's documentation.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Json,
}

/// The one number of an answer, or what is wrong with it.
fn sample(response: &Response) -> Result<f64, String> {
    if response.is_truncated() {
        return Err(
            "the answer is longer than 1 MiB; a metric is one number: add sum(…) or max(…)".to_owned()
        );
    }
    let Ok(Answer { error, data }) = serde_json::from_slice(&response.body) else {
        // Whole: whoever tells it cuts it, once it is without secrets.
        let said = String::from_utf8_lossy(&response.body);
        return Err(format!(
            "the answer with status {} is not one of Prometheus; is `url` right? it says {:?}",
            response.status,
            said.trim()
        ));
    };
    match data {
        Some(data) if response.status < 300 => one(&data),
        _ if error.is_empty() => Err(format!("status {} without a result", response.status)),
        _ => Err(error),
    }
}

fn one(data: &Data) -> Result<f64, String> {
    let pair = match (data.result_type.as_str(), data.result.as_array()) {
        ("scalar", _) => &data.result,
        ("vector", Some(elements)) => match elements.as_slice() {
            [] => return Err("no sample: nothing matches, or it is too old".to_owned()),
            [element] => &element["value"],
            more => {
                let count = more.len();
                return Err(format!(
                    "{count} samples, and a metric is one number: add sum(…), max(…) or a label"
                ));
            }
        },
        ("matrix", _) => {
            return Err(
                "a range of samples, and a metric is one number: put it in rate(…) or max_over_time(…)"
                    .to_owned(),
            );
        }
        (other, _) => return Err(format!("the result is a {other}, not a number")),
    };
    let text =
        pair[1].as_str().ok_or("the sample is a histogram, not a number: put it in histogram_quantile(…)")?;
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("no sample: the value is {text}, such as a division by zero gives")),
    }
}

#[cfg(test)]
mod tests;
