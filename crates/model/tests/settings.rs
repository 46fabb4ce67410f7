//! Settings, good and bad: what is read from them, and what is said about mistakes.

#![allow(clippy::panic, clippy::unwrap_used, reason = "this is a test")]

mod catalog;

use catalog::Small;
use serde::Deserialize;
use squall_model::read::{self, Source};
use squall_model::settings::{Kind, Kinds, Occasion, Secret, Settings};

const HEAD: &str = "apiVersion: squall.dev/v1\nkind: Settings\n";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hook {
    url: Secret,
}

fn kinds() -> Kinds {
    let hook = |name, silent_on| Kind { name, check: |node| read::decode::<Hook>(node).map(drop), silent_on };
    let text = |name| Kind { name, check: |node| read::decode::<String>(node).map(drop), silent_on: &[] };
    Kinds {
        metrics: vec![text("push"), text("file")],
        notify: vec![hook("slack", &[Occasion::Start]), hook("webhook", &[])],
        marks: vec![hook("grafana", &[])],
    }
}

fn source(text: &str) -> Source {
    Source { name: "squall.yaml".to_owned(), text: text.to_owned() }
}

fn good(text: &str) -> Settings {
    let source = source(&format!("{HEAD}{text}"));
    read::settings(&source, &Small, &kinds())
        .unwrap_or_else(|errors| panic!("{}", read::render(&source, &errors, false)))
}

#[test]
fn settings_are_read() {
    let text = "metrics: {push: \"http://127.0.0.1:9091\", file: x.prom}\nnotify:\n  - slack: {url: {env: SLACK}}\n  - \
                webhook: {url: {file: /run/secrets/hook}}\n    on: [start, end]\ngrafana: {url: x}\n";
    let settings = good(text);
    let names: Vec<&str> = settings.metrics.iter().map(|call| call.kind.as_str()).collect();
    assert_eq!(names, ["push", "file"]);
    assert_eq!(settings.notify[0].on, Occasion::DEFAULT);
    assert_eq!(settings.notify[1].on, [Occasion::Start, Occasion::End]);
    assert_eq!(settings.marks[0].kind, "grafana");
    let hook: Hook = read::decode(&settings.notify[0].call.parameters).unwrap();
    assert_eq!(hook.url, Secret::Environment("SLACK".to_owned()));
    assert_eq!(good(""), Settings::default());
    let rules = good("environments: {dev: {}}\nprotected: []\n");
    assert!(rules.environments.is_some() && rules.protected.is_some());
}

#[test]
fn mistakes_point_at_their_places() {
    for (text, words, at) in [
        ("metric: {}", "unknown key `metric` (not known here); did you mean `metrics`?", "metric"),
        ("metrics: {pusch: x}", "did you mean `push`?", "pusch"),
        ("metrics: [push]", "`metrics` is a map", "[push]"),
        ("notify: {slack: {url: x}}", "`notify` is a list", "{slack: {url: x}}"),
        (
            "notify: [{slak: {url: x}}]",
            "unknown notifier or key `slak` (not known here); did you mean `slack`?",
            "slak",
        ),
        ("notify: [{on: [end]}]", "this does not say who is told; known: `slack`, `webhook`", "{on: [end]}"),
        ("notify: [{slack: {url: x}, webhook: {url: x}}]", "only one notifier", "webhook"),
        ("notify: [{slack: {url: x}, on: [finish]}]", "unknown value `finish`", "finish"),
        ("notify: [{slack: {url: x}, on: []}]", "`on` names nothing", "[]"),
        ("notify: [{slack: {url: x}, on: [start]}]", "`slack` tells nothing of these", "[start]"),
        ("notify: [{slack: {ulr: x}}]", "did you mean `url`?", "ulr"),
        ("notify: [{slack: {url: {environment: X}}}]", "known: `env`, `file`", "environment"),
        ("notify: [{slack: {url: {env: X, file: Y}}}]", "only one of `env` and `file`", "{env: X, file: Y}"),
        ("notify: [{slack: {url: {}}}]", "neither `env` nor `file`", "{}"),
        ("notify: [{slack: {url: [x]}}]", "expected a text, `{env: NAME}` or `{file: PATH}`", "[x]"),
    ] {
        let source = source(&format!("{HEAD}{text}\n"));
        let errors = read::settings(&source, &Small, &kinds()).expect_err(text);
        let error = errors[0].to_string();
        assert!(error.contains(words), "{text}: {error}");
        assert_eq!(&source.text[errors[0].place.start..errors[0].place.end], at, "{text}: {error}");
    }
}

#[test]
fn settings_are_told_from_other_files() {
    assert!(read::is_settings(&source(HEAD)).unwrap());
    assert!(!read::is_settings(&source("kind: Experiment\n")).unwrap());
    assert!(read::is_settings(&source("a: b: c")).is_err());
    for (text, words) in [
        ("kind: Settings\n", "`apiVersion` is missing"),
        ("apiVersion: squall.dev/v1\nkind: Experiment\n", "`kind` is not `Settings`"),
        ("apiVersion: squall.dev/v2\nkind: Settings\n", "`apiVersion` is not `squall.dev/v1`"),
        ("", "this file is empty; settings begin with"),
        ("# later\n", "this file is empty; settings begin with"),
    ] {
        let errors = read::settings(&source(text), &Small, &kinds()).expect_err(text);
        assert!(errors[0].to_string().contains(words), "{text}: {}", errors[0]);
    }
}
