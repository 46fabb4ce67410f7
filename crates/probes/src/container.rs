//! Containers: whether one runs and how healthy it says it is, by Docker's API over its socket, as Podman has it too.
//!
//! Source: Docker Engine API, `GET /containers/{id}/json`.

use crate::timeout::Timeout;
use schemars::JsonSchema;
use serde::Deserialize;
use squall_http::{HttpClient, Request, Response};
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::path::PathBuf;

/// Where Docker listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// What stands under `container:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The name or the beginning of the number of the container.
    name: String,
    /// The socket of the daemon. Where not given, `DOCKER_HOST=unix:///PATH` counts, else `/var/run/docker.sock`.
    #[serde(default)]
    socket: Option<PathBuf>,
    /// How long the answer may take.
    #[serde(default = "Timeout::two_seconds")]
    timeout: Timeout,
}

/// The `container` probe.
pub struct Container {
    request: Request,
    name: String,
    socket: Option<PathBuf>,
    timeout: Timeout,
}

impl Probe for Container {
    const NAME: &'static str = "container";
    const SUMMARY: &'static str = "Looks at a container of Docker on this host";
    const EXAMPLE: &'static str = "\
- container: {name: shop}
  expect: running == true and restarts == 0
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("running", "whether it runs; one that is paused does not"),
        (
            "state",
            "running, paused, restarting, created, removing, exited or dead; missing where there is no such container",
        ),
        ("health", "what its health check says: healthy, unhealthy or starting; none where it has no check"),
        ("restarts", "how often the daemon has started it anew"),
        ("exit_code", "how it last ended; absent while it runs"),
        ("oom_killed", "whether it was last ended for want of memory"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] = &[
        ("running", ValueKind::YesOrNo),
        ("restarts", ValueKind::Number),
        ("exit_code", ValueKind::Number),
        ("oom_killed", ValueKind::YesOrNo),
    ];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("running == true and health != unhealthy");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { name, socket, timeout } = parameters;
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(ProbeError(format!("{name:?} is not the name of a container")));
        }
        let request = Request::get(&format!("http://docker/containers/{name}/json"));
        let request = request.map_err(|error| ProbeError(error.to_string()))?;
        Ok(Self { request, name, socket, timeout })
    }
}

/// The parts of the answer that are read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
    #[serde(default)]
    restart_count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    #[serde(default)]
    exit_code: i64,
    #[serde(default, rename = "OOMKilled")]
    oom_killed: bool,
    #[serde(default, alias = "Healthcheck")]
    health: Option<Health>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    #[serde(default)]
    status: String,
}

impl Observe for Container {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let socket = self.socket().map_err(ProbeError)?;
            let failed = |why: String| {
                ProbeError(format!("look at container {} by {}: {why}", self.name, socket.display()))
            };
            let client = HttpClient::default();
            let asked = client.request_on_socket(&socket, &self.request, self.timeout.get()).await;
            let response = asked.map_err(|error| failed(error.to_string()))?;
            reading(&response).map_err(failed)
        })
    }

    fn patience(&self) -> Duration {
        self.timeout.patience()
    }
}

impl Container {
    fn socket(&self) -> Result<PathBuf, String> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        match std::env::var("DOCKER_HOST") {
            Ok(host) if !host.is_empty() => {
                host.strip_prefix("unix://").map(PathBuf::from).ok_or_else(|| {
                    format!("DOCKER_HOST is {host}, and containers are looked at by a unix:// socket alone")
                })
            }
            _ => Ok(PathBuf::from(SOCKET)),
        }
    }
}

fn reading(response: &Response) -> Result<Reading, String> {
    if response.status == 404 {
        return Ok(Reading::from([
            ("running".to_owned(), Value::Bool(false)),
            ("state".to_owned(), Value::from("missing")),
        ]));
    }
    if response.status != 200 {
        let said = String::from_utf8_lossy(&response.body);
        return Err(format!("it answered with status {}: {}", response.status, said.trim()));
    }
    let inspected: Inspected = serde_json::from_slice(&response.body)
        .map_err(|error| format!("its answer was not understood: {error}"))?;
    let Inspected { state, restart_count } = inspected;
    let health = state.health.map(|health| health.status).filter(|status| !status.is_empty());
    let mut reading = Reading::from([
        ("running".to_owned(), Value::Bool(state.status == "running")),
        ("health".to_owned(), Value::Text(health.unwrap_or_else(|| "none".to_owned()))),
        ("restarts".to_owned(), Value::Number(f64::from(restart_count))),
        ("oom_killed".to_owned(), Value::Bool(state.oom_killed)),
    ]);
    if !["running", "paused", "restarting", "created"].contains(&state.status.as_str()) {
        reading.insert("exit_code".to_owned(), Value::Number(state.exit_code as f64));
    }
    reading.insert("state".to_owned(), Value::Text(state.status));
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use squall_http::testing::SocketServer;

    fn answering(status: &'static str, body: &'static str) -> Result<Reading, String> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let _server = SocketServer::start(&socket, status, body);
        ask(&built::<Container>(json!({"name": "shop", "socket": socket}))).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_daemon_says_is_read() {
        let healthy = r#"{"Id": "a", "RestartCount": 2, "State": {"Status": "running", "Running": true, "ExitCode": 0,
            "OOMKilled": false, "Health": {"Status": "healthy", "FailingStreak": 0}}}"#;
        let reading = answering("200 OK", healthy).unwrap();
        assert_eq!((&reading["running"], &reading["health"]), (&Value::Bool(true), &Value::from("healthy")));
        assert_eq!(reading["restarts"], Value::Number(2.0));
        assert!(!reading.contains_key("exit_code"));
        let ended = r#"{"State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true, "Health": null}}"#;
        let reading = answering("200 OK", ended).unwrap();
        assert_eq!(
            (&reading["running"], &reading["exit_code"]),
            (&Value::Bool(false), &Value::Number(137.0))
        );
        assert_eq!((&reading["health"], &reading["oom_killed"]), (&Value::from("none"), &Value::Bool(true)));
        let missing = answering("404 Not Found", r#"{"message": "No such container: shop"}"#).unwrap();
        assert_eq!(missing["state"], Value::from("missing"));
    }

    #[test]
    fn what_is_no_answer_is_unknown() {
        assert!(answering("200 OK", "{}").unwrap_err().contains("not understood"));
        let error = answering("500 Internal Server Error", "no room").unwrap_err();
        assert!(error.contains("status 500: no room") && error.contains("container shop by"), "{error}");
        let error =
            ask(&built::<Container>(json!({"name": "shop", "socket": "/none/docker.sock"}))).unwrap_err();
        assert!(error.to_string().contains("/none/docker.sock"), "{error}");
        assert!(refusal::<Container>(json!({"name": "../a"})).contains("name of a container"));
    }
}
