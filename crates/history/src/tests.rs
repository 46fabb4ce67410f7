//! The history as a whole: what is taken in is found again, and what is wrong with the file is told.

use super::*;
use crate::testing::{days_ago, history, now, run};
use squall_model::past::Tally;
use squall_model::past::day_of;
use squall_model::verdict::Verdict::{self, Aborted, Failed, Passed};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const VERSION_1: &str = include_str!("../tests/golden/version-1.sql");

fn some() -> Vec<Run> {
    let in_staging = Run { environment: "staging".into(), ..run("20260620-a", Passed, 10) };
    let by_ci = Run {
        origin: "ci".into(),
        experiment: "other".into(),
        tags: Vec::new(),
        ..run("20260628-b", Passed, 2)
    };
    vec![run("20260601-c", Failed, 29), in_staging, by_ci]
}

fn names(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| run.run.as_str()).collect()
}

#[test]
fn what_is_taken_in_is_listed_the_newest_first() {
    let (_folder, mut history) = history(&some());
    let all = history.list(&Wanted::default()).unwrap();
    assert_eq!(names(&all), ["20260628-b", "20260620-a", "20260601-c"]);
    assert_eq!(all[2], some()[0]);
    assert_eq!(history.take_in(&some()).unwrap(), 0, "a run was taken in twice");
    assert_eq!(history.known(Kind::Run).unwrap().len(), 3);
}

#[test]
fn runs_are_wanted_by_what_they_are() {
    let (_folder, history) = history(&some());
    let listed = |wanted: Wanted| -> Vec<String> {
        history.list(&wanted).unwrap().into_iter().map(|run| run.run).collect()
    };
    let text = |text: &str| Some(text.to_owned());
    let all = Wanted::default;
    assert_eq!(listed(Wanted { since: Some(days_ago(11)), ..all() }).len(), 2);
    assert_eq!(listed(Wanted { experiment: text("other"), ..all() }), ["20260628-b"]);
    assert_eq!(listed(Wanted { verdict: Some(Failed), ..all() }), ["20260601-c"]);
    assert_eq!(listed(Wanted { tag: text("nightly"), ..all() }), ["20260620-a", "20260601-c"]);
    assert_eq!(listed(Wanted { environment: text("staging"), ..all() }), ["20260620-a"]);
    assert_eq!(listed(Wanted { service: text("ledger"), limit: Some(2), ..all() }).len(), 2);
    assert_eq!(listed(Wanted { service: text("nobody"), ..all() }), [""; 0]);
    let much = Wanted {
        service: text("payment"),
        tag: text("nightly"),
        verdict: Some(Passed),
        experiment: text("pay"),
        since: Some(days_ago(20)),
        ..all()
    };
    assert_eq!(listed(much), ["20260620-a"]);
    let mut seen = 0;
    let take = |_| {
        seen += 1;
        false
    };
    history.each(&all(), take).unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn a_run_is_found_by_its_name_or_how_long_ago_it_was() {
    let (_folder, history) = history(&some());
    let found = |name: &str| match history.find(name).unwrap() {
        Found::Run(run) => run.run,
        other => format!("{other:?}"),
    };
    assert_eq!(found("20260620-a"), "20260620-a");
    assert_eq!(found("20260601"), "20260601-c");
    assert_eq!(found("last"), "20260628-b");
    assert_eq!(found("last~2"), "20260601-c");
    for nothing in ["last~3", "last~x", "2027", ""] {
        assert_eq!(found(nothing), "Nothing", "{nothing}");
    }
    assert_eq!(found("202606"), r#"Several(["20260628-b", "20260620-a", "20260601-c"])"#);
}

#[test]
fn the_last_that_passed_is_known_by_environment() {
    let (_folder, history) = history(&some());
    let passed = |environment| history.last_passed("pay", environment, None).unwrap();
    assert_eq!(passed("staging"), Some(("20260620-a".to_owned(), days_ago(10))));
    assert_eq!(passed("production"), None);
    assert_eq!(passed(""), None, "one that failed was taken for passed");
    let marked =
        Run { environment: "staging".into(), fingerprint: "4711".into(), ..run("20260610-m", Passed, 20) };
    let (_folder, history) =
        self::history(&[marked, Run { environment: "staging".into(), ..run("20260620-a", Passed, 10) }]);
    let alike = |fingerprint| history.last_passed("pay", "staging", Some(fingerprint)).unwrap();
    assert_eq!(alike("4711"), Some(("20260610-m".to_owned(), days_ago(20))));
    assert_eq!(alike("0815"), None);
}

#[test]
fn facts_are_the_newest_of_each() {
    let mut runs: Vec<Run> = (0..60).map(|day| run(&format!("r-{day:03}"), Passed, day)).collect();
    runs.push(Run { environment: "production".into(), origin: "ci".into(), ..run("p-1", Failed, 9) });
    let demo = Run { origin: "demo".into(), services: vec!["shop".into()], ..run("d-1", Failed, 70) };
    assert!(!demo.brief().is_documented);
    runs.push(demo);
    // Ended by a person: it tells nothing about the service.
    runs.push(run("h-1", Aborted, 0));
    let (_folder, mut history) = history(&runs);
    let day = GameDay { session: "s-1".into(), started: days_ago(3), ..GameDay::default() };
    let ended = GameDay { verdict: Some(Passed), ..day.clone() };
    history.take_in_game_days(&[day]).unwrap();
    assert!(history.known(Kind::GameDay).unwrap().is_empty(), "it may go on");
    history.take_in_game_days(std::slice::from_ref(&ended)).unwrap();
    let facts = history.facts(now()).unwrap();
    assert_eq!((facts.runs, facts.recent.len(), facts.game_days), (63, 50, vec![ended]));
    assert_eq!(facts.services.len(), 2, "the demo's services are nobody's");
    assert_eq!((facts.production[0].run.as_str(), facts.unattended.len()), ("p-1", 1));
    let weekly: Vec<bool> = facts.weekly.iter().map(Option::is_some).collect();
    assert_eq!(weekly, [false, true, false, false]);
    assert_eq!((facts.experiments.len(), facts.experiments[0].len()), (1, 10));
    let payment = &facts.services[1];
    assert_eq!((payment.name.as_str(), payment.struck[0].count), ("payment", 61));
    assert!(payment.tallies.contains(&Tally { day: day_of(days_ago(9)), verdict: Failed, count: 1 }));
    assert_eq!(payment.tallies.iter().map(|tally| tally.count).sum::<u64>(), 61);
    assert_eq!(payment.last.as_ref().map(|last| last.run.as_str()), Some("h-1"));
}

#[test]
fn runs_that_did_the_same_are_laid_beside_each_other() {
    let marked = |name: &str, mark: &str, days| Run { fingerprint: mark.into(), ..run(name, Passed, days) };
    let searched = Run { origin: "limit".into(), ..marked("limit", "c", 0) };
    let elsewhere = Run { environment: "staging".into(), ..marked("elsewhere", "a", 2) };
    let runs = [searched, marked("new", "a", 1), elsewhere, marked("other", "b", 3), marked("old", "a", 4)];
    let (_folder, history) = history(&runs);
    assert_eq!(names(&history.facts(now()).unwrap().alike[0]), ["new", "old"]);
}

#[test]
fn an_empty_history_has_no_facts() {
    let (_folder, history) = history(&[]);
    let facts = history.facts(now()).unwrap();
    assert_eq!((facts.runs, facts.services.len(), facts.experiments.len()), (0, 0, 0));
    assert_eq!(history.find("last").unwrap(), Found::Nothing);
}

#[test]
fn a_history_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("squall.db");
    let old = Connection::open(&file).unwrap();
    old.execute_batch(VERSION_1).unwrap();
    drop(old);
    let mut history = History::open(&file).unwrap();
    let all = history.list(&Wanted::default()).unwrap();
    assert_eq!(names(&all), ["20260302-080000-0002", "20260301-080000-0001"]);
    assert_eq!((all[0].environment.as_str(), all[0].verdict), ("", Some(Verdict::NotSteady)));
    let facts = history.facts("2026-03-03T00:00:00Z".parse().unwrap()).unwrap();
    let payment = &facts.services[0];
    // What is summed up now was summed up then too.
    assert_eq!(payment.tallies, [Tally { day: 20_513, verdict: Passed, count: 1 }]);
    assert_eq!((payment.struck[0].fault.as_str(), payment.struck[0].count), ("network.latency", 1));
    history.take_in(&some()).unwrap();
    drop(history);
    assert_eq!(History::open(&file).unwrap().list(&Wanted::default()).unwrap().len(), 5);
}

#[test]
fn a_history_of_the_second_version_learns_which_runs_were_measured() {
    let mut short = run("short", Passed, 1);
    short.comparisons.iter_mut().for_each(|change| change.interval = None);
    let (folder, history) = history(&[short, run("long", Passed, 2)]);
    let measured = |history: &History| {
        history.facts(now()).unwrap().recent.iter().map(|run| run.is_measured).collect::<Vec<_>>()
    };
    assert_eq!(measured(&history), [false, true]);
    history.connection.execute_batch("UPDATE run SET measured = 1; PRAGMA user_version = 2").unwrap();
    drop(history);
    assert_eq!(measured(&History::open(&folder.path().join("squall.db")).unwrap()), [false, true]);
}

#[test]
fn a_newer_history_is_left_alone() {
    let (folder, history) = history(&some());
    history.connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(history);
    let error = History::open(&folder.path().join("squall.db")).unwrap_err();
    assert_eq!(error.trouble, Trouble::Newer);
    assert!(error.to_string().contains("newer squall"), "{error}");
}

#[test]
fn a_damaged_history_is_told() {
    let (folder, history) = history(&some());
    let file = folder.path().join("squall.db");
    drop(history);
    let whole = fs::read(&file).unwrap();
    let open_and_list = || History::open(&file).and_then(|history| history.list(&Wanted::default()));
    for damage in [b"no database at all, but long enough to be one".repeat(40), whole[..5000].to_vec()] {
        fs::write(&file, damage).unwrap();
        let error = open_and_list().unwrap_err();
        assert_eq!(error.trouble, Trouble::Damaged, "{error}");
        assert!(error.to_string().contains("squall history list"), "{error}");
    }
    fs::write(&file, whole).unwrap();
    let connection = Connection::open(&file).unwrap();
    connection.execute("UPDATE run SET details = 'nonsense'", []).unwrap();
    assert_eq!(open_and_list().unwrap_err().trouble, Trouble::Damaged);
    connection.execute_batch("DROP TABLE run").unwrap();
    assert_eq!(open_and_list().unwrap_err().trouble, Trouble::Damaged);
}

#[test]
fn one_that_another_process_holds_is_told_after_a_while() {
    let (folder, mut history) = history(&some());
    let other = Connection::open(folder.path().join("squall.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(history.take_in(&[run("x", Passed, 0)]).unwrap_err().trouble, Trouble::Busy);
    assert_eq!(history.list(&Wanted::default()).unwrap().len(), 3, "reading waits for nobody");
}

#[test]
fn a_history_that_cannot_be_written_is_read() {
    let (folder, history) = history(&some());
    let file = folder.path().join("squall.db");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    drop(history);
    let mut looked = History::look(&file).unwrap();
    assert_eq!(looked.list(&Wanted::default()).unwrap().len(), 3);
    assert_eq!(looked.take_in(&[run("x", Passed, 0)]).unwrap_err().trouble, Trouble::Unwritable);
    assert_eq!(
        History::open(&folder.path().join("none/squall.db")).unwrap_err().trouble,
        Trouble::Unwritable
    );
}

#[test]
fn what_is_passed_over_is_known_and_stamps_are_kept() {
    let (_folder, mut history) = history(&some());
    history.pass_over(Kind::Run, "torn", "no beginning").unwrap();
    assert!(history.known(Kind::Run).unwrap().contains("torn"));
    assert!(!history.known(Kind::GameDay).unwrap().contains("torn"));
    assert_eq!(history.stamp(Kind::Run).unwrap(), None);
    history.set_stamp(Kind::Run, 7).unwrap();
    history.set_stamp(Kind::Run, 8).unwrap();
    assert_eq!((history.stamp(Kind::Run).unwrap(), history.stamp(Kind::GameDay).unwrap()), (Some(8), None));
}
