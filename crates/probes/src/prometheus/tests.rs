//! Against a real Prometheus, where its program is installed, that scrapes itself and an exporter of the test; and
//! against answers that a real one seldom gives.

use super::*;
use crate::test_probe::{ask, built, refusal};
use serde_json::json;
use squall_http::testing::{RawServer, read_request, refusing_address};
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
        self.ask(query, json!({}))
    }

    fn ask(&self, query: &str, mut parameters: serde_json::Value) -> Result<f64, String> {
        for (name, value) in [("url", self.url.as_str()), ("query", query), ("timeout", "10s")] {
            parameters[name] = value.into();
        }
        read(&built::<Prometheus>(parameters))
    }

    fn ranges(&self) {
        let range =
            |query: &str, take: &str| self.ask(query, json!({"range": "5s", "step": "250ms", "take": take}));
        // What grows by one a second was 0 five seconds ago.
        let start = now().as_secs_f64();
        let grown = format!("vector(time() - {start})");
        let [last, mean, most, least] =
            ["last", "mean", "max", "min"].map(|take| range(&grown, take).unwrap());
        assert!((last - mean - 2.5).abs() < 1.0 && most + 0.5 >= last && (most - least - 5.0).abs() < 1.0);
        assert_eq!(range("sum(queue_depth)", "mean"), Ok(12.5));
        assert!(range("queue_depth", "max").unwrap_err().contains("2 series"));
        assert!(range("no_such_metric", "last").unwrap_err().contains("no sample"));
        assert!(range("sum(requests_total) / 0", "max").unwrap_err().contains("NaN"));
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
        // An exporter may say itself of when a sample is.
        let minute_ago = now().as_millis() - 60_000;
        let metrics = format!(
            "queue_depth{{shard=\"a\"}} 5\nqueue_depth{{shard=\"b\"}} 7.5\nrequests_total 0\nold 3 {minute_ago}\n"
        );
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

    assert_eq!(server.read("old * 2"), Ok(6.0));
    for query in ["old * 2", "sum(old) / sum(queue_depth)", "max_over_time(old[5m])"] {
        let error = server.ask(query, json!({"stale_after": "30s"})).unwrap_err();
        assert!(error.contains("no sample") && error.contains(query), "{error}");
    }
    assert_eq!(server.ask("max_over_time(old[5m]) + old", json!({"stale_after": "2m"})), Ok(6.0));
    assert_eq!(server.ask("sum(queue_depth)", json!({"stale_after": "30s"})), Ok(12.5));
    server.ranges();

    // Prometheus marks what an exporter no longer gives as stale at the next scrape.
    healthy.store(false, Ordering::SeqCst);
    let error = server.read_until("sum(queue_depth)", Result::is_err).unwrap_err();
    assert!(error.contains("no sample"), "{error}");
    let error =
        server.ask("sum(queue_depth)", json!({"range": "30s", "step": "200ms", "take": "max"})).unwrap_err();
    assert!(error.contains("no sample of this moment"), "{error}");
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

fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

#[test]
fn a_server_that_is_down_or_slow_or_away_is_unknown() {
    let (_held, refusing) = refusing_address();
    let silent = RawServer::start(|mut stream| while read_request(&mut stream) {});
    let breaking = RawServer::start(|mut stream| {
        use std::io::Write;
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"status\"").unwrap();
    });
    for (url, words) in [
        (format!("http://{refusing}"), "connection refused"),
        (silent.url(), "not done within 200ms"),
        (breaking.url(), "read the body"),
        ("http://no-such-host.invalid".to_owned(), "resolve"),
    ] {
        for parameters in [json!({}), json!({"range": "1m"})] {
            let mut parameters = parameters;
            parameters["url"] = url.as_str().into();
            parameters["query"] = "sum(a)".into();
            parameters["timeout"] = "200ms".into();
            let error = read(&built::<Prometheus>(parameters)).unwrap_err();
            assert!(error.contains(words), "{url}: {error}");
        }
    }
}

/// What a range of a minute in steps of ten seconds is, where the server answers so; times are seconds from now.
fn ranging(offset: i64, samples: &'static [(f64, &'static str)]) -> Result<f64, String> {
    let server = TestServer::start(move |_| {
        let pairs: Vec<_> =
            samples.iter().map(|(at, value)| json!([now().as_secs_f64() + at, value])).collect();
        let body = json!({"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": pairs}]}});
        let mut response = answer(200, body.to_string());
        let date =
            SystemTime::now().checked_add(std::time::Duration::from_secs(offset.unsigned_abs())).unwrap();
        response.headers_mut().insert("date", httpdate::fmt_http_date(date).parse().unwrap());
        future::ready(response)
    });
    read(&built::<Prometheus>(
        json!({"url": server.url("/"), "query": "a", "range": "1m", "step": "10s", "take": "mean"}),
    ))
}

#[test]
fn a_range_needs_a_sample_of_this_moment() {
    assert_eq!(ranging(0, &[(-10.0, "1"), (0.0, "3")]), Ok(2.0));
    assert!(ranging(0, &[(-20.0, "1"), (-10.0, "3")]).unwrap_err().contains("the latest is 10 s old"));
    assert!(ranging(0, &[]).unwrap_err().contains("no sample"));
    assert!(ranging(0, &[(-10.0, "NaN"), (0.0, "3")]).unwrap_err().contains("NaN"));
    assert!(ranging(60, &[(0.0, "3")]).unwrap_err().contains("its clock"));
}

#[test]
fn who_asks_is_shown_and_never_told() {
    let (acceptor, pem, identity) = squall_http::testing::mutual_tls();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let speech = squall_http::testing::Speech { http2: false, tls: Some(acceptor) };
    let server = TestServer::speaking(speech, |request| {
        let shown = request.headers().get("authorization").map_or("nothing", |shown| shown.to_str().unwrap());
        // `squall:open sesame`
        future::ready(if ["Basic c3F1YWxsOm9wZW4gc2VzYW1l", "Bearer sesame!"].contains(&shown) {
            answer(200, r#"{"status": "success", "data": {"resultType": "scalar", "result": [1, "3"]}}"#)
        } else {
            answer(401, format!("{shown} lets nobody in"))
        })
    });
    let asking = |auth: serde_json::Value| {
        let mut auth = auth;
        auth["certificate"] = write("me.pem", &format!("{}\n{}", identity.0, identity.1)).to_str().into();
        let url = server.url("/").replace("http:", "https:");
        let authorities = write("authority.pem", &pem);
        read(&built::<Prometheus>(
            json!({"url": url, "query": "a", "auth": auth, "authorities": authorities}),
        ))
    };
    let token = write("token", "sesame!\n");
    assert_eq!(asking(json!({"bearer": {"file": token}})), Ok(3.0));
    assert_eq!(asking(json!({"basic": {"user": "squall", "password": "open sesame"}})), Ok(3.0));
    write("token", "mustard");
    for auth in
        [json!({"bearer": {"file": token}}), json!({"basic": {"user": "squall", "password": "mustard"}})]
    {
        let error = asking(auth).unwrap_err();
        assert!(error.contains("[hidden] lets nobody in") && !error.contains("mustard"), "{error}");
        assert!(!error.contains("c3F1YWxsOm11c3RhcmQ="), "{error}");
    }
    let error = asking(json!({"bearer": {"env": "SQUALL_TEST_NO_SUCH"}})).unwrap_err();
    assert!(error.contains("the environment has no `SQUALL_TEST_NO_SUCH`"), "{error}");
    let wrong = json!({"url": "http://p", "query": "a", "auth": {"bearer": "a", "basic": {"user": "b", "password": "c"}}});
    assert!(refusal::<Prometheus>(wrong).contains("only one"));
}

#[test]
fn the_path_of_the_server_is_kept() {
    let url = |base: &str| endpoint(&Url::parse(base).unwrap(), "query", "query=a").unwrap().to_string();
    assert_eq!(url("http://p:9090"), "http://p:9090/api/v1/query?query=a");
    assert_eq!(url("http://p:9090/api/v1/query"), "http://p:9090/api/v1/query?query=a");
    assert_eq!(url("https://p/select/0/?tenant=x"), "https://p/select/0/api/v1/query?query=a&tenant=x");
}

#[test]
fn a_query_must_be_there() {
    assert!(refusal::<Prometheus>(json!({"url": "http://p:9090", "query": " "})).contains("PromQL"));
    assert!(refusal::<Prometheus>(json!({"url": "http://p:9090"})).contains("query"));
    for (wrong, words) in [
        (json!({"take": "max"}), "`range`"),
        (json!({"range": "5m", "step": "6m"}), "`step`"),
        (json!({"range": "24h", "step": "1s"}), "longer `step`"),
        (json!({"stale_after": "5s"}), "another one"),
    ] {
        let mut wrong = wrong;
        wrong["url"] = "http://p:9090".into();
        wrong["query"] = "a offset 5m".into();
        let error = refusal::<Prometheus>(wrong);
        assert!(error.contains(words), "{error}");
    }
}
