//! Alerts that fire: of Prometheus, which evaluates them, or of Alertmanager, which sends them out.
//!
//! Sources: <https://prometheus.io/docs/prometheus/latest/querying/api/#alerts>,
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml> (`GET /alerts`). Mimir, Thanos' ruler and
//! `VictoriaMetrics`' vmalert answer like Prometheus.

use crate::question::{Auth, Question};
use crate::timeout::Timeout;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_http::{Headers, HttpError, Request, Response, Url, Verb};
use squall_model::probe::{Observe, Pending, Probe, ProbeError};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// At most so many alerts are named: a storm of thousands is counted, and those that were asked for are named.
const MOST_NAMED: usize = 500;

/// What stands under `alerts:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Where Prometheus is, without `/api/v1/alerts`: `http://127.0.0.1:9090`.
    #[serde(default)]
    prometheus: Option<Url>,
    /// Where Alertmanager is, without `/api/v2/alerts`: `http://127.0.0.1:9093`. Silenced and inhibited alerts do not
    /// count: nobody is told of them.
    #[serde(default)]
    alertmanager: Option<Url>,
    /// Only alerts of these names (`alertname`); all of them, where not given.
    #[serde(default)]
    names: Vec<String>,
    /// How long the answer may take.
    #[serde(default = "Timeout::two_seconds")]
    timeout: Timeout,
    /// Headers to send, such as `Authorization: Bearer …` or `X-Scope-OrgID`.
    #[serde(default)]
    headers: Headers,
    /// Who asks: `{bearer: {env: TOKEN}}`, `{basic: {user: squall, password: {file: /run/secrets/alerts}}}`,
    /// `{certificate: client.pem, key: client.key}`.
    #[serde(default)]
    auth: Option<Auth>,
    /// A PEM file with certificate authorities to believe beside the web's. Without it, the file that `SSL_CERT_FILE`
    /// names counts.
    #[serde(default)]
    authorities: Option<PathBuf>,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Prometheus,
    Alertmanager,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "Prometheus",
            Self::Alertmanager => "Alertmanager",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Prometheus => "/api/v1/alerts",
            Self::Alertmanager => "/api/v2/alerts?active=true&silenced=false&inhibited=false",
        }
    }
}

/// The `alerts` probe.
pub struct Alerts {
    question: Question,
    server: Server,
    names: BTreeSet<String>,
}

impl Probe for Alerts {
    const NAME: &'static str = "alerts";
    const SUMMARY: &'static str = "Asks Prometheus or Alertmanager which alerts fire";
    const EXAMPLE: &'static str = "\
- alerts: {alertmanager: \"http://127.0.0.1:9093\", names: [HighErrorRate]}
  expect: alert.HighErrorRate == false
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("firing", "how many alerts fire"),
        ("pending", "how many are about to fire; Prometheus only"),
        (
            "alert.*",
            "by name: whether an alert of this name fires; named are those in `names` and those that fire",
        ),
    ];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("firing == 0");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { prometheus, alertmanager, names, timeout, headers, auth, authorities } = parameters;
        let (server, base) = match (prometheus, alertmanager) {
            (Some(url), None) => (Server::Prometheus, url),
            (None, Some(url)) => (Server::Alertmanager, url),
            _ => {
                let wanted = "one of `prometheus: URL` and `alertmanager: URL` must be given";
                return Err(ProbeError(wanted.to_owned()));
            }
        };
        let url = joined(&base, server.path()).map_err(|error| ProbeError(error.to_string()))?;
        let request = Request::of(url, Verb::default()).headers(headers);
        let question = Question::new(request, auth, authorities, timeout)?.kept();
        Ok(Self { question, server, names: names.into_iter().collect() })
    }
}

/// A path below the one that a server is found under.
fn joined(base: &Url, path: &str) -> Result<Url, HttpError> {
    let scheme = if base.is_tls() { "https" } else { "http" };
    let own = base.path_and_query();
    let own = own.split_once('?').map_or(own, |(own, _)| own).trim_end_matches('/');
    let bare = path.split_once('?').map_or(path, |(bare, _)| bare);
    Url::parse(&format!("{scheme}://{}{}{path}", base.authority(), own.trim_end_matches(bare)))
}

impl Observe for Alerts {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(self.question.ask(|response| {
            let seen = read(self.server, response).map_err(|cause| {
                let at = self.question.request().url().host_and_port();
                format!("ask {} at {at} for alerts: {cause}", self.server.name())
            })?;
            Ok(self.reading(&seen))
        }))
    }

    fn patience(&self) -> Duration {
        self.question.timeout().patience()
    }
}

impl Alerts {
    fn reading(&self, seen: &[Seen]) -> Reading {
        let counts = |alert: &&Seen| self.names.is_empty() || self.names.contains(&alert.name);
        let count = |firing: bool| {
            let number = seen.iter().filter(counts).filter(|alert| alert.firing == firing).count();
            Value::Number(number as f64)
        };
        let mut reading =
            Reading::from([("firing".to_owned(), count(true)), ("pending".to_owned(), count(false))]);
        for name in &self.names {
            reading.insert(format!("alert.{name}"), Value::Bool(false));
        }
        for alert in seen.iter().filter(counts).filter(|alert| alert.firing).take(MOST_NAMED) {
            reading.insert(format!("alert.{}", alert.name), Value::Bool(true));
        }
        reading
    }
}

/// An alert as it stands.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    name: String,
    firing: bool,
}

/// What Prometheus answers.
#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    alerts: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    labels: BTreeMap<String, String>,
    state: String,
}

/// What Alertmanager answers, for each alert.
#[derive(Deserialize)]
struct Sent {
    labels: BTreeMap<String, String>,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

fn read(server: Server, response: &Response) -> Result<Vec<Seen>, String> {
    if !(200..300).contains(&response.status) {
        return Err(format!("it answered {}", response.status));
    }
    if response.is_truncated() {
        return Err("its answer is longer than is read; ask for fewer alerts".to_owned());
    }
    let not_understood = |error: serde_json::Error| format!("its answer was not understood: {error}");
    let name = |labels: &BTreeMap<String, String>| labels.get("alertname").cloned().unwrap_or_default();
    match server {
        Server::Prometheus => {
            let answer: Answer = serde_json::from_slice(&response.body).map_err(not_understood)?;
            let seen = answer.data.alerts.iter();
            Ok(seen
                .map(|alert| Seen { name: name(&alert.labels), firing: alert.state == "firing" })
                .collect())
        }
        Server::Alertmanager => {
            let answer: Vec<Sent> = serde_json::from_slice(&response.body).map_err(not_understood)?;
            // `unprocessed` alerts fire as well; that no receiver was chosen yet is a matter of seconds.
            let active = answer.iter().filter(|alert| alert.status.state != "suppressed");
            Ok(active.map(|alert| Seen { name: name(&alert.labels), firing: true }).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use squall_http::testing::{TestServer, answer};

    const PROMETHEUS: &str = r#"{"status": "success", "data": {"alerts": [
        {"labels": {"alertname": "A"}, "annotations": {}, "state": "firing", "value": "1e+00"},
        {"labels": {"alertname": "B"}, "annotations": {}, "state": "pending", "value": "1e+00"}]}}"#;
    const ALERTMANAGER: &str = r#"[{"labels": {"alertname": "A"}, "status": {"state": "active", "silencedBy": []}},
        {"labels": {"alertname": "B"}, "status": {"state": "suppressed", "silencedBy": ["x"]}}]"#;

    #[test]
    fn both_servers_are_understood() {
        for (kind, body) in [("prometheus", PROMETHEUS), ("alertmanager", ALERTMANAGER)] {
            let server = TestServer::start(move |_| std::future::ready(answer(200, body)));
            let probe: Alerts = built(json!({kind: server.url("/"), "names": ["A", "B", "C"]}));
            let reading = ask(&probe).unwrap();
            assert_eq!(reading["firing"], Value::Number(1.0), "{kind}");
            assert_eq!(reading["alert.A"], Value::Bool(true), "{kind}");
            assert_eq!(reading["alert.B"], Value::Bool(false), "{kind}");
            assert_eq!(reading["alert.C"], Value::Bool(false), "{kind}");
            let all: Alerts = built(json!({kind: server.url("/")}));
            assert_eq!(ask(&all).unwrap().get("alert.C"), None, "{kind}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error_and_not_silence() {
        for body in ["", "{}", "[{}]", "<html>"] {
            let server = TestServer::start(move |_| std::future::ready(answer(200, body)));
            let probe: Alerts = built(json!({"prometheus": server.url("")}));
            assert!(ask(&probe).unwrap_err().to_string().contains("ask Prometheus at"), "{body}");
        }
        assert!(refusal::<Alerts>(json!({})).contains("must be given"));
        assert!(
            refusal::<Alerts>(json!({"prometheus": "http://a/", "alertmanager": "http://b/"}))
                .contains("one of")
        );
    }

    #[test]
    fn addresses_with_and_without_the_path_are_taken() {
        let path = |text: &str| {
            joined(&Url::parse(text).unwrap(), "/api/v1/alerts").unwrap().path_and_query().to_owned()
        };
        assert_eq!(path("http://a:9090"), "/api/v1/alerts");
        assert_eq!(path("http://a:9090/prom/"), "/prom/api/v1/alerts");
        assert_eq!(path("http://a:9090/prom/api/v1/alerts?x=y"), "/prom/api/v1/alerts");
    }
}
