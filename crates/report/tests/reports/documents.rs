//! Markdown, `JUnit` and JSON.

use crate::{RUNS, same_as_golden, support};
use squall_model::event::Entry;
use squall_model::verdict::Verdict;
use squall_report::{Story, json, junit, markdown};

#[test]
fn markdown_of_each_kind_of_run() {
    for (name, run) in RUNS {
        same_as_golden(&format!("{name}.md"), &markdown::page(&Story::of(&run())));
    }
}

#[test]
fn junit_of_each_kind_of_run() {
    for (name, run) in RUNS {
        same_as_golden(&format!("{name}.xml"), &junit::suite(&[Story::of(&run())]));
    }
}

fn json_of(journal: &[Entry]) -> serde_json::Value {
    serde_json::from_str(&json::objects(&[Story::of(journal)])).unwrap()
}

#[test]
fn json_of_several_runs_is_a_list() {
    let stories = [Story::of(&support::passed()), Story::of(&support::failed())];
    let list: serde_json::Value = serde_json::from_str(&json::objects(&stories)).unwrap();
    assert_eq!((&list[0]["verdict"], &list[1]["verdict"]), (&"passed".into(), &"failed".into()));
}

#[test]
fn json_of_a_run() {
    let text = json::objects(&[Story::of(&support::failed())]);
    same_as_golden("failed.json", &text);
}

#[test]
fn several_runs_are_several_suites() {
    let stories: Vec<Story> = RUNS.iter().map(|(_, run)| Story::of(&run())).collect();
    let xml = junit::suite(&stories);
    assert_eq!(xml.matches("<testsuite ").count(), RUNS.len());
}

#[test]
fn every_verdict_but_passed_shows_in_junit() {
    for verdict in [
        Verdict::Failed,
        Verdict::Invalid,
        Verdict::NotSteady,
        Verdict::Aborted,
        Verdict::NoEffect,
        Verdict::Residue,
    ] {
        let journal = support::Journal::new("bare", "", 1.0).verdict(verdict, &["why"]);
        let xml = junit::suite(&[Story::of(&journal)]);
        assert!(xml.contains("<failure") || xml.contains("<error"), "{verdict}: {xml}");
    }
    let xml = junit::suite(&[Story::of(&[])]);
    assert!(xml.contains("unfinished"), "{xml}");
    let xml = junit::suite(&[Story::of(&support::passed())]);
    assert!(xml.contains("failures=\"0\" errors=\"0\""), "{xml}");
}

#[test]
fn json_says_what_scripts_ask() {
    let value = json_of(&support::residue());
    assert_eq!(value["verdict"], "residue");
    assert_eq!(value["exit_code"], 6);
    assert_eq!(value["restored"], false);
    assert!(value["residue"][0].as_str().unwrap().contains("pfifo"));
    let value = json_of(&support::truncated());
    assert!(value["verdict"].is_null() && value["exit_code"].is_null());
    assert_eq!(value["not_put_back"][0], support::LATENCY);
    let value = json_of(&support::passed());
    assert_eq!(value["comparisons"][1]["words"], "p99 +128 ms (95 % CI 119 to 137)");
    assert!((value["recovery_seconds"].as_f64().unwrap() - 0.2).abs() < 1e-9);
}
