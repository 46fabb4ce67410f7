//! HTTP: a request as a probe, and a number in its answer as a metric.

use crate::json::names;
use crate::metric::{number, reads};
use crate::question::{Auth, Question};
use crate::timeout::Timeout;
use hyper::header;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_http::{Headers, Request, Response, Url, Verb};
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::path::PathBuf;

/// What stands under `http:` as a probe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Where to ask: an `http://` or `https://` URL. Redirects are not followed.
    url: Url,
    /// The method.
    #[serde(default)]
    method: Verb,
    /// Headers to send.
    #[serde(default)]
    headers: Headers,
    /// The body to send; nothing, where not given.
    #[serde(default)]
    body: Option<String>,
    /// How long the whole answer may take.
    #[serde(default)]
    timeout: Timeout,
    /// Who asks: `{bearer: {env: TOKEN}}`, `{basic: {user: squall, password: {file: /run/secrets/shop}}}`,
    /// `{certificate: client.pem, key: client.key}`.
    #[serde(default)]
    auth: Option<Auth>,
    /// A PEM file with certificate authorities to believe beside the web's. Without it, the file that `SSL_CERT_FILE`
    /// names counts.
    #[serde(default)]
    authorities: Option<PathBuf>,
}

/// The `http` probe.
pub struct Http(Question);

impl Probe for Http {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Sends one HTTP request and reads the answer";
    const EXAMPLE: &'static str = "\
- http: {url: \"http://127.0.0.1:8080/health\", timeout: 2s}
  expect: status == 200 and json.database == \"up\"
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("status", "the status code of the answer"),
        ("latency", "seconds from the first step to the end of the answer, the connection included"),
        ("body", "the body of the answer as a text, at most its first MiB"),
        ("json.*", "what stands in a JSON body, by its path: `json.items[0].id`, `json.items.length`"),
        ("json", "a JSON body that is a single value"),
        ("header.*", "a header of the answer, its name in lower case: `header.content-type`"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] = &[("status", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("status < 400");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { url, method, headers, body, timeout, auth, authorities } = parameters;
        let request = Request::of(url, method).headers(headers).body(body.unwrap_or_default());
        Ok(Self(Question::new(request, auth, authorities, timeout)?))
    }
}

impl Observe for Http {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(self.0.ask(|response| Ok(reading(response))))
    }

    fn patience(&self) -> Duration {
        self.0.timeout().patience()
    }
}

fn reading(response: &Response) -> Reading {
    let mut reading = Reading::from([
        ("status".to_owned(), Value::Number(f64::from(response.status))),
        ("latency".to_owned(), Value::Number(response.timings.total.as_secs_f64())),
        ("body".to_owned(), Value::Text(String::from_utf8_lossy(&response.body).into_owned())),
    ]);
    // A cookie opens a session; it has no place in a journal.
    for name in response.headers.keys().filter(|name| **name != header::SET_COOKIE) {
        let values: Vec<_> = response.headers.get_all(name).iter().map(header_text).collect();
        reading.insert(format!("header.{name}"), Value::Text(values.join(", ")));
    }
    if let Ok(document) = serde_json::from_slice(&response.body) {
        names::name_values(&document, &mut reading);
    }
    reading
}

fn header_text(value: &header::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// What stands under `http:` as a metric.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricParameters {
    /// Where to ask: an `http://` or `https://` URL. Redirects are not followed.
    url: Url,
    /// Which value of the answer is the metric, by the names of the `http` probe: `json.queue.depth`,
    /// `header.x-queue-depth`, `latency`.
    value: String,
    /// The method.
    #[serde(default)]
    method: Verb,
    /// Headers to send.
    #[serde(default)]
    headers: Headers,
    /// The body to send; nothing, where not given.
    #[serde(default)]
    body: Option<String>,
    /// How long the whole answer may take.
    #[serde(default = "Timeout::two_seconds")]
    timeout: Timeout,
    /// Who asks: `{bearer: {env: TOKEN}}`, `{basic: {user: squall, password: {file: /run/secrets/shop}}}`,
    /// `{certificate: client.pem, key: client.key}`.
    #[serde(default)]
    auth: Option<Auth>,
    /// A PEM file with certificate authorities to believe beside the web's. Without it, the file that `SSL_CERT_FILE`
    /// names counts.
    #[serde(default)]
    authorities: Option<PathBuf>,
}

/// The `http` metric source.
pub struct HttpMetric {
    question: Question,
    value: String,
}

impl Probe for HttpMetric {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str = "Sends an HTTP request and takes a number from the answer";
    const EXAMPLE: &'static str = "\
queue_depth: {http: {url: \"http://127.0.0.1:8080/stats\", value: json.queue.depth}}
";
    const VALUES: &'static [(&'static str, &'static str)] =
        &[("value", "the number, in the unit that it was answered in")];
    const DEFAULT_EXPECTATION: Option<&'static str> = None;
    type Parameters = MetricParameters;

    fn new(parameters: MetricParameters) -> Result<Self, ProbeError> {
        let MetricParameters { url, value, method, headers, body, timeout, auth, authorities } = parameters;
        if !reads(Http::VALUES, &value) {
            return Err(ProbeError(format!(
                "`value: {value}` is no value of an answer; it is status, latency, body, json.PATH or header.NAME"
            )));
        }
        let request = Request::of(url, method).headers(headers).body(body.unwrap_or_default());
        Ok(Self { question: Question::new(request, auth, authorities, timeout)?, value })
    }
}

impl Observe for HttpMetric {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(self.question.ask(|response| {
            let request = self.question.request();
            let wrong = |what: String| Err(format!("{request}: {what}"));
            if response.status >= 400 {
                return wrong(format!("answered with status {}, so there is no number", response.status));
            }
            match reading(response).remove(&self.value) {
                None => wrong(format!("the answer has no {}", self.value)),
                Some(found) => match number(&found) {
                    Some(number) => Ok(Reading::from([("value".to_owned(), Value::Number(number))])),
                    None => wrong(format!("{} is not a number", self.value)),
                },
            }
        }))
    }

    fn patience(&self) -> Duration {
        self.question.timeout().patience()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use http_body_util::BodyExt;
    use serde_json::json;
    use squall_http::testing::{RawServer, TestServer, answer, read_request, refusing_address};
    use std::future;

    fn shop() -> TestServer {
        TestServer::start(|request| async move {
            let path = request.uri().path().to_owned();
            let key = request.headers().get("x-key").cloned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = match path.as_str() {
                "/echo" => answer(201, body),
                "/stats" => answer(200, r#"{"queue": {"depth": 12}, "name": "q", "text": "3.5"}"#),
                _ => answer(503, r#"{"queue": {"depth": 0}}"#),
            };
            response.headers_mut().insert("set-cookie", "session=1".parse().unwrap());
            key.map(|key| response.headers_mut().insert("x-key", key));
            response
        })
    }

    #[test]
    fn the_answer_has_names() {
        let server = shop();
        let probe = built::<Http>(json!({
            "url": server.url("/echo"), "method": "POST", "headers": {"X-Key": "a"}, "body": r#"{"a": [{"b": 5}]}"#
        }));
        let reading = ask(&probe).unwrap();
        assert_eq!(reading["status"], Value::Number(201.0));
        assert_eq!(reading["json.a[0].b"], Value::Number(5.0));
        assert_eq!(reading["header.x-key"], Value::from("a"));
        assert_eq!(reading["body"], Value::from(r#"{"a": [{"b": 5}]}"#));
        assert!(reading["latency"].number().unwrap() > 0.0);
        assert!(!reading.contains_key("header.set-cookie"));
    }

    #[test]
    fn an_error_page_is_an_answer_and_silence_is_none() {
        let server = shop();
        let probe = built::<Http>(json!({"url": server.url("/nowhere")}));
        assert_eq!(ask(&probe).unwrap()["status"], Value::Number(503.0));

        let (_held, address) = refusing_address();
        let probe = built::<Http>(
            json!({"url": format!("http://{address}/"), "headers": {"Authorization": "sesame"}}),
        );
        let error = ask(&probe).unwrap_err().to_string();
        assert!(error.contains("connection refused") && !error.contains("sesame"), "{error}");

        let silent = RawServer::start(|mut stream| while read_request(&mut stream) {});
        let probe = built::<Http>(json!({"url": silent.url(), "timeout": "100ms"}));
        assert!(ask(&probe).unwrap_err().to_string().contains("100ms"));
        assert!(probe.patience() > Duration::milliseconds(100));
    }

    #[test]
    fn a_metric_is_one_number_of_the_answer() {
        let server = shop();
        let metric = |path: &str, value: &str| {
            ask(&built::<HttpMetric>(json!({"url": server.url(path), "value": value})))
        };
        assert_eq!(metric("/stats", "json.queue.depth").unwrap()["value"], Value::Number(12.0));
        assert_eq!(metric("/stats", "json.text").unwrap()["value"], Value::Number(3.5));
        assert!(metric("/stats", "latency").unwrap()["value"].number().unwrap() > 0.0);
        for (path, value, words) in [
            ("/stats", "json.name", "json.name is not a number"),
            ("/stats", "json.queue.length", "has no json.queue.length"),
            ("/nowhere", "json.queue.depth", "status 503"),
        ] {
            let error = metric(path, value).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn mistakes_are_said_before_anything_is_sent() {
        for (parameters, words) in [
            (json!({"url": "ftp://a/"}), "http://"),
            (json!({"url": "http://a/", "methdo": "GET"}), "methdo"),
            (json!({"url": "http://a/", "timeout": 5}), "duration"),
            (json!({"url": "http://a/", "timeout": "0s"}), "above zero"),
            (json!({"url": "http://a/", "headers": {"Authorization": "ses\name"}}), "authorization"),
        ] {
            let error = refusal::<Http>(parameters);
            assert!(error.to_lowercase().contains(words) && !error.contains("ses\n"), "{error}");
        }
        let error = refusal::<HttpMetric>(json!({"url": "http://a/", "value": "queue"}));
        assert!(error.contains("json.PATH"), "{error}");
    }

    #[test]
    fn being_dropped_ends_the_question() {
        let server = TestServer::start(|_| future::pending());
        let probe = built::<Http>(json!({"url": server.url("/"), "timeout": "1h"}));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let asked = runtime.block_on(async {
            tokio::time::timeout(std::time::Duration::from_millis(100), probe.observe()).await
        });
        assert!(asked.is_err());
    }
}
