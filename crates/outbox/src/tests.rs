//! Whole runs told to servers that speak like the real ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

mod real;

use crate::testing::journal;
use crate::{Message, Outbox, Surroundings, asked_for, kinds};
use http_body_util::BodyExt as _;
use ring::hmac;
use serde_json::Value;
use squall_http::testing::{RawServer, TestServer, answer, refusing_address};
use squall_model::event::Entry;
use squall_model::read::{self, Source};
use squall_model::settings::Settings;
use squall_model::verdict::Verdict;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A request as it came.
#[derive(Debug, Clone)]
struct Asked {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

type Log = Arc<Mutex<Vec<Asked>>>;

/// A server that notes what it is asked and answers with a status.
fn server(status: u16) -> (TestServer, Log) {
    let log = Log::default();
    let noting = log.clone();
    let server = TestServer::start(move |request| {
        let noting = noting.clone();
        async move {
            let (head, body) = request.into_parts();
            let headers = head.headers.iter().map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            });
            let body = body.collect().await.unwrap().to_bytes();
            noting.lock().unwrap().push(Asked {
                method: head.method.to_string(),
                path: head.uri.to_string(),
                headers: headers.collect(),
                body: String::from_utf8_lossy(&body).into_owned(),
            });
            answer(status, "")
        }
    });
    (server, log)
}

/// No catalog of faults is needed for these keys.
struct Nothing;

impl squall_model::catalog::Catalog for Nothing {
    fn faults(&self) -> &[&dyn squall_model::fault::AnyFault] {
        &[]
    }
    fn probes(&self) -> &[&dyn squall_model::probe::AnyProbe] {
        &[]
    }
    fn metric_sources(&self) -> &[&dyn squall_model::probe::AnyProbe] {
        &[]
    }
    fn loads(&self) -> &[&dyn squall_model::catalog::AnyLoad] {
        &[]
    }
}

fn settings(text: &str) -> Settings {
    let text = format!("apiVersion: squall.dev/v1\nkind: Settings\n{text}\n");
    let source = Source { name: "squall.yaml".to_owned(), text };
    read::settings(&source, &Nothing, &kinds())
        .unwrap_or_else(|errors| panic!("{}", read::render(&source, &errors, false)))
}

fn surroundings(folder: &Path) -> Surroundings {
    let environment = BTreeMap::from([("KEY".to_owned(), "sesame".to_owned())]);
    Surroundings::new(environment, folder.to_owned(), "web 1".to_owned())
}

fn outbox(text: &str) -> Outbox {
    let mut outbox = Outbox::default();
    outbox.add(&settings(text), &surroundings(Path::new(""))).unwrap_or_else(|errors| panic!("{errors:?}"));
    outbox
}

/// Tells a whole run; what did not arrive.
fn tell(outbox: &Outbox, entries: &[Entry]) -> Vec<String> {
    let mut follower = outbox.follow().unwrap();
    entries.iter().for_each(|entry| follower.see(entry));
    follower.close()
}

/// What a server was asked when these settings were told of a run that ended so. `SERVER` stands for its address.
fn asked(text: &str, ended: Verdict) -> Vec<Asked> {
    let (server, log) = server(200);
    let outbox = outbox(&text.replace("SERVER", &format!("http://{}", server.address)));
    let notes = tell(&outbox, &journal("slow <database>", ended));
    assert!(notes.is_empty(), "{notes:?}");
    log.lock().unwrap().clone()
}

#[test]
fn slack_is_told_in_its_own_way() {
    let asked =
        asked("notify: [{slack: {url: SERVER/services/T0/B0/x}, on: [start, abort, end]}]", Verdict::Aborted);
    assert_eq!(asked.len(), 3);
    let abort = &asked[1];
    assert_eq!((abort.method.as_str(), abort.path.as_str()), ("POST", "/services/T0/B0/x"));
    assert_eq!(abort.headers["content-type"], "application/json");
    let text = abort.json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("slow &lt;database&gt; on web-1: is ended early") && text.contains("errors &gt; 5%"),
        "{text}"
    );
    assert_eq!(abort.json()["attachments"][0]["fields"][0]["title"], "hypothesis");
}

#[test]
fn pagerduty_opens_and_resolves_the_same_alert() {
    let text = "notify: [{pagerduty: {routing_key: {env: KEY}, url: SERVER}, on: [start, end, residue]}]";
    let residue = asked(text, Verdict::Residue);
    assert_eq!(residue[0].path, "/v2/change/enqueue", "that a run begins calls nobody");
    assert!(residue[0].json()["payload"]["summary"].as_str().unwrap().contains("begins"));
    let trigger = residue[1].json();
    assert_eq!(residue[1].path, "/v2/enqueue");
    assert_eq!((&trigger["event_action"], &trigger["routing_key"]), (&"trigger".into(), &"sesame".into()));
    assert_eq!(trigger["payload"]["severity"], "critical");
    assert!(trigger["payload"]["custom_details"]["residue"].as_str().unwrap().contains("netem"));
    let passed = asked(text, Verdict::Passed);
    let resolve = passed[1].json();
    assert_eq!(resolve["event_action"], "resolve");
    assert_eq!(resolve["dedup_key"], trigger["dedup_key"]);
}

#[test]
fn opsgenie_opens_and_closes_the_same_alert() {
    let text =
        "notify: [{opsgenie: {api_key: {env: KEY}, url: SERVER, teams: [payment]}, on: [failure, end]}]";
    let failed = &asked(text, Verdict::Failed)[0];
    assert_eq!(
        (failed.path.as_str(), failed.headers["authorization"].as_str()),
        ("/v2/alerts", "GenieKey sesame")
    );
    let alert = failed.json();
    assert_eq!((&alert["alias"], &alert["priority"]), (&"squall/web-1/slow <database>".into(), &"P2".into()));
    assert_eq!(alert["responders"][0]["name"], "payment");
    let passed = &asked(text, Verdict::Passed)[0];
    assert_eq!(passed.path, "/v2/alerts/squall%2Fweb-1%2Fslow%20%3Cdatabase%3E/close?identifierType=alias");
}

#[test]
fn alertmanager_is_given_alerts_that_begin_before_they_end() {
    let text = "notify: [{alertmanager: {url: SERVER, labels: {team: payment}}, on: [abort, end]}]";
    let aborted = asked(text, Verdict::Aborted);
    assert_eq!(aborted[0].path, "/api/v2/alerts");
    let alert = &aborted[0].json()[0];
    assert_eq!(
        (&alert["labels"]["alertname"], &alert["labels"]["team"]),
        (&"SquallTrouble".into(), &"payment".into())
    );
    let times = |alert: &Value| {
        ["startsAt", "endsAt"].map(|time| alert[time].as_str().unwrap().parse::<jiff::Timestamp>().unwrap())
    };
    let [starts, ends] = times(alert);
    assert!(starts < ends);
    let resolved = asked(text, Verdict::Passed)[0].json();
    assert_eq!(resolved.as_array().unwrap().len(), 2, "trouble and residue are both over");
    let [starts, ends] = times(&resolved[0]);
    assert!(starts < ends && ends < jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 3650));
}

#[test]
fn webhooks_are_signed_and_speak_as_they_are_told() {
    let text = "notify: [{webhook: {url: SERVER/hook?a=1, method: PUT, key: {env: KEY}, headers: {X-Team: {env: KEY}}, \
                template: '{\"text\": \"{{title}}\", \"verdict\": \"{{ verdict }}\"}'}, on: [end]}, {webhook: {url: \
                SERVER/whole}, on: [end]}]";
    let asked = asked(text, Verdict::Passed);
    let of = |path: &str| asked.iter().find(|asked| asked.path.starts_with(path)).unwrap();
    let hook = of("/hook");
    assert_eq!((hook.method.as_str(), hook.path.as_str()), ("PUT", "/hook?a=1"));
    assert_eq!(hook.json()["verdict"], "passed");
    assert_eq!(hook.json()["text"], "Squall: slow <database> on web-1: passed: because");
    assert_eq!(hook.headers["x-team"], "sesame");
    let signature = hook.headers["x-squall-signature"].strip_prefix("sha256=").unwrap();
    let bytes: Vec<u8> = (0..signature.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"sesame");
    hmac::verify(&key, hook.body.as_bytes(), &bytes).unwrap();
    let whole = of("/whole");
    assert!(!whole.headers.contains_key("x-squall-signature"));
    assert_eq!((&whole.json()["kind"], &whole.json()["severity"]), (&"end".into(), &"good".into()));
}

#[test]
fn grafana_is_given_a_region_for_each_fault() {
    let text = "grafana: {url: SERVER/, token: {env: KEY}, tags: [payment], dashboards: [abc]}";
    let asked = asked(text, Verdict::Passed);
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].path.as_str(), asked[0].headers["authorization"].as_str()),
        ("/api/annotations", "Bearer sesame")
    );
    let mark = asked[0].json();
    assert_eq!(mark["timeEnd"].as_i64().unwrap() - mark["time"].as_i64().unwrap(), 9300);
    assert_eq!(mark["tags"], serde_json::json!(["squall", "network.latency", "payment"]));
    assert_eq!(mark["dashboardUID"], "abc");
}

#[test]
fn a_pushgateway_has_the_latest_at_the_end() {
    let asked =
        asked("metrics: {push: {url: SERVER, headers: {Authorization: {env: KEY}}}}", Verdict::Passed);
    let last = asked.last().unwrap();
    assert_eq!((last.method.as_str(), last.path.as_str()), ("PUT", "/metrics/job/squall/instance/web%201"));
    assert_eq!(last.headers["authorization"], "sesame");
    assert!(last.body.contains("squall_runs_total{verdict=\"passed\"} 1\n"), "{}", last.body);
}

#[test]
fn a_collector_gets_one_trace_and_the_latest_metrics() {
    let asked = asked("metrics: {otlp: SERVER}", Verdict::Passed);
    let traces: Vec<&Asked> = asked.iter().filter(|asked| asked.path == "/v1/traces").collect();
    assert_eq!(traces.len(), 1);
    assert_eq!(traces[0].headers["content-type"], "application/json");
    assert!(
        asked.iter().any(|asked| asked.path == "/v1/metrics" && asked.body.contains("squall_runs_total"))
    );
}

#[test]
fn metrics_are_served_and_written_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let told = |verdict| {
        let mut outbox = Outbox::default();
        outbox
            .add(&settings("metrics: {listen: 0, file: squall.prom}"), &surroundings(folder.path()))
            .unwrap();
        outbox.keep(&folder.path().join("metrics.json"));
        let address = outbox.listen().unwrap()[0];
        let notes = tell(&outbox, &journal("x", verdict));
        assert!(notes.is_empty(), "{notes:?}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let get = |path: &str| {
            let request = squall_http::Request::get(&format!("http://{address}{path}")).unwrap();
            let client = squall_http::HttpClient::default();
            runtime.block_on(client.request(&request, Duration::from_secs(10))).unwrap()
        };
        assert_eq!(get("/").status, 404);
        let answer = get("/metrics");
        assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    told(Verdict::Passed);
    let served = told(Verdict::Failed);
    assert!(served.contains("squall_runs_total{verdict=\"passed\"} 1\n"), "counts go on: {served}");
    assert!(served.contains("squall_runs_total{verdict=\"failed\"} 1\n"), "{served}");
    assert_eq!(std::fs::read_to_string(folder.path().join("squall.prom")).unwrap(), served);
}

#[test]
fn one_that_never_answers_keeps_neither_the_run_nor_the_others_waiting() {
    let (silence, over) = std::sync::mpsc::channel::<()>();
    let over = Mutex::new(over);
    // Connections are held until the test is over.
    let silent = RawServer::start(move |_stream| over.lock().unwrap().recv().unwrap_or_default());
    let (held, dead) = refusing_address();
    let (alive, log) = server(200);
    let text = format!(
        "notify: [{{slack: {{url: {}secret-path}}, on: [start, end]}}, {{webhook: {{url: \"http://{dead}/secret-path\"}}, \
         on: [end]}}, {{webhook: {{url: \"{}\"}}, on: [end]}}]",
        silent.url(),
        alive.url("/alive")
    );
    let outbox = outbox(&text);
    let mut follower = outbox.follow().unwrap();
    let begun = Instant::now();
    journal("x", Verdict::Passed).iter().for_each(|entry| follower.see(entry));
    let seen = begun.elapsed();
    let notes = follower.close();
    // To be told took no time, to give up took some.
    assert!(seen * 10 < begun.elapsed(), "{seen:?} of {:?}", begun.elapsed());
    drop(silence);
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].contains("slack") && notes[0].contains("2 messages did not arrive: no answer in time"),
        "{notes:?}"
    );
    assert!(notes[1].contains("webhook") && notes[1].contains("connection refused"), "{notes:?}");
    assert!(notes.iter().all(|note| !note.contains("secret-path")), "{notes:?}");
    assert_eq!(log.lock().unwrap().len(), 1);
    drop(held);
}

#[test]
fn the_next_run_waits_less_for_one_that_did_not_answer() {
    let (held, dead) = refusing_address();
    let outbox = outbox(&format!("notify: [{{webhook: {{url: \"http://{dead}\"}}, on: [end]}}]"));
    let times = [(); 2].map(|()| {
        let begun = Instant::now();
        assert_eq!(tell(&outbox, &journal("x", Verdict::Passed)).len(), 1);
        begun.elapsed()
    });
    assert!(times[1] * 2 < times[0], "{times:?}");
    drop(held);
}

#[test]
fn more_than_there_is_room_for_is_said_and_holds_nobody_up() {
    let outbox = outbox("notify: [{webhook: {url: \"http://127.0.0.1:1/\"}, on: [start]}]");
    let mut follower = outbox.follow().unwrap();
    let entry = &journal("x", Verdict::Passed)[6];
    (0..100_000).for_each(|_| follower.see(entry));
    assert!(follower.close().iter().all(|note| note.contains("too much at once")));
}

#[test]
fn a_test_says_what_came_back_and_no_secret() {
    let (refusing, _) = server(403);
    let (good, log) = server(204);
    let text = format!(
        "notify: [{{webhook: {{url: \"{}\"}}, on: [residue]}}, {{webhook: {{url: \"{}\"}}}}]",
        refusing.url("/secret-path"),
        good.url("/")
    );
    let at = "2026-11-29T12:00:00Z".parse().unwrap();
    let told = outbox(&text).tell(&Message::test("web-1", at));
    assert_eq!(told[0].1, Err("HTTP 403".to_owned()));
    assert_eq!(told[1].1, Ok("HTTP 204".to_owned()));
    assert!(!told[0].0.contains("secret"), "{}", told[0].0);
    assert_eq!(log.lock().unwrap()[0].json()["kind"], "test");
}

#[test]
fn what_is_missing_is_told_at_its_place_and_without_secrets() {
    for (text, words) in [
        ("notify: [{slack: {url: {env: NONE}}}]", "`slack`: the environment has no `NONE`"),
        ("notify: [{slack: {url: {env: KEY}}}]", "`slack`: this is no URL that can be used"),
        ("notify: [{webhook: {url: \"http://a/\", template: '{{titel}}'}}]", "speaks of `titel`"),
        ("notify: [{webhook: {url: \"http://a/\", method: GET}}]", "POST or PUT"),
        ("metrics: {file: /nowhere/x.prom}", "the folder of /nowhere/x.prom is not there"),
        ("metrics: {file: x.txt}", "does not end in .prom"),
        ("grafana: {url: \"http://a\", token: {file: /nowhere}}", "could not read the secret in /nowhere"),
        ("notify: [{email: {server: a, from: nobody, to: [a@b.c]}}]", "`nobody` is no address"),
        ("notify: [{email: {server: a, from: a@b.c, to: []}}]", "`to` names nobody"),
        (
            "notify: [{email: {server: a, from: a@b.c, to: [a@b.c], user: a, password: b, security: none}}]",
            "not sent without encryption",
        ),
    ] {
        let errors = Outbox::default().add(&settings(text), &surroundings(Path::new(""))).expect_err(text);
        let error = errors[0].to_string();
        assert!(error.contains(words) && !error.contains("sesame"), "{text}: {error}");
        assert!(errors[0].place.end > errors[0].place.start);
    }
    let mut outbox = Outbox::default();
    let asked = Settings { metrics: vec![asked_for("push", "no url")], ..Settings::default() };
    assert!(outbox.add(&asked, &surroundings(Path::new(""))).is_err());
}
