//! Against a real Prometheus, where its program is installed, that scrapes itself and an exporter of the test; and
//! against answers that a real one seldom gives.

use super::*;
use crate::test_probe::{ask, built, refusal};
use serde_json::json;
use squall_http::testing::{TestServer, answer};
use std::future;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// A Prometheus of the test's own, ended when dropped.
struct Server {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Server {
    /// None where there is no such program here.
    fn start(exporter: &TestServer) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // Taken and let go; nobody else on this machine asks for ports in the moment between.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs:\n\
             - {{job_name: self, metrics_path: /metrics-server/metrics, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}\n\
             - {{job_name: shop, static_configs: [{{targets: ['{}']}}]}}\n",
            exporter.address
        );
        std::fs::write(&config, text).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--web.route-prefix=/metrics-server/", "--log.level=error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { process, url: format!("http://127.0.0.1:{port}/metrics-server"), _folder: folder })
    }

    fn read(&self, query: &str) -> Result<f64, String> {
        let probe = built::<Prometheus>(json!({"url": self.url, "query": query, "timeout": "10s"}));
        read(&probe)
    }

    fn read_until(&self, query: &str, seen: impl Fn(&Result<f64, String>) -> bool) -> Result<f64, String> {
        for _ in 0..600 {
            let read = self.read(query);
            if seen(&read) {
                return read;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{query}: not seen within 30 s; the last was {:?}", self.read(query));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(probe: &Prometheus) -> Result<f64, String> {
    ask(probe).map(|reading| reading["value"].number().unwrap()).map_err(|error| error.to_string())
}

#[test]
fn one_number_from_a_real_prometheus() {
    let healthy = Arc::new(AtomicBool::new(true));
    let state = healthy.clone();
    let exporter = TestServer::start(move |_| {
        let metrics = "queue_depth{shard=\"a\"} 5\nqueue_depth{shard=\"b\"} 7.5\nrequests_total 0\n";
        let healthy = state.load(Ordering::SeqCst);
        future::ready(if healthy { answer(200, metrics) } else { answer(500, "") })
    });
    let Some(server) = Server::start(&exporter) else {
        println!("skipped: there is no program `prometheus` here");
        return;
    };
    let sum = server.read_until("sum(queue_depth)", Result::is_ok);
    assert_eq!(sum, Ok(12.5));
    assert_eq!(server.read("queue_depth{shard=\"b\"}"), Ok(7.5));
    assert_eq!(server.read("scalar(sum(queue_depth)) * 2"), Ok(25.0));
    assert_eq!(server.read_until("up{job=\"self\"}", Result::is_ok), Ok(1.0));
    for (query, words) in [
        ("queue_depth", "2 samples"),
        ("no_such_metric", "no sample"),
        ("requests_total / requests_total", "NaN"),
        ("sum(queue_depth) / 0", "+Inf"),
        ("queue_depth and timestamp(queue_depth) > time() + 30", "no sample"),
        ("queue_depth[1m]", "rate("),
        ("sum(queue_depth", "parse error"),
        ("\"text\"", "not a number"),
    ] {
        let error = server.read(query).unwrap_err();
        assert!(error.contains(words) && error.contains(query), "{query}: {error}");
    }

    // Prometheus marks what an exporter no longer gives as stale at the next scrape.
    healthy.store(false, Ordering::SeqCst);
    let error = server.read_until("sum(queue_depth)", Result::is_err).unwrap_err();
    assert!(error.contains("no sample"), "{error}");
}

fn answering(status: u16, body: &'static str) -> Result<f64, String> {
    let server = TestServer::start(move |request| {
        let as_asked = *request.uri() == *"/api/v1/query?query=sum%28a%7Bb%3D%22%C3%A4%22%7D%29"
            && request.headers()["authorization"] == "Bearer sesame";
        future::ready(if as_asked { answer(status, body) } else { answer(404, "") })
    });
    read(&built::<Prometheus>(json!({
        "url": server.url("/"), "query": "sum(a{b=\"ä\"})", "headers": {"Authorization": "Bearer sesame"}
    })))
}

#[test]
fn answers_that_are_none_are_said() {
    let vector = r#"{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "3"]}]}}"#;
    assert_eq!(answering(200, vector), Ok(3.0));
    for (status, body, words) in [
        (401, "go away", "status 401"),
        (200, "<html>", "is `url` right?"),
        (
            503,
            r#"{"status": "error", "errorType": "timeout", "error": "query timed out"}"#,
            "query timed out",
        ),
        (500, "{}", "status 500"),
        (
            200,
            r#"{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}}"#,
            "histogram",
        ),
    ] {
        let error = answering(status, body).unwrap_err();
        assert!(error.contains(words) && error.contains("sum(a") && !error.contains("sesame"), "{error}");
    }
}

#[test]
fn the_path_of_the_server_is_kept() {
    let url = |base: &str| query_url(&Url::parse(base).unwrap(), "a").unwrap().to_string();
    assert_eq!(url("http://p:9090"), "http://p:9090/api/v1/query?query=a");
    assert_eq!(url("http://p:9090/api/v1/query"), "http://p:9090/api/v1/query?query=a");
    assert_eq!(url("https://p/select/0/?tenant=x"), "https://p/select/0/api/v1/query?query=a&tenant=x");
}

#[test]
fn a_query_must_be_there() {
    assert!(refusal::<Prometheus>(json!({"url": "http://p:9090", "query": " "})).contains("PromQL"));
    assert!(refusal::<Prometheus>(json!({"url": "http://p:9090"})).contains("query"));
}
