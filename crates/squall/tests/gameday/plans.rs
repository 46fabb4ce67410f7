//! Plans written and understood, without a shop.

use crate::lab::{Desk, PLAN};
use std::io::Write;
use std::process::Stdio;

#[test]
fn a_new_plan_is_a_valid_one() {
    let desk = Desk::new();
    let (code, said) = desk.squall(&["gameday", "new", "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(desk.squall(&["gameday", "check", "gameday.md"]).0, 0);
    let (code, said) = desk.squall(&["gameday", "new", "--yes"]);
    assert_eq!(code, 2, "a plan was written over: {said}");
    assert!(said.contains("is there already") && said.contains("name another file"), "{said}");
    let (code, said) = desk.squall(&["gameday", "new", "other.md", "--yes", "--experiment", "gone.yaml"]);
    assert!(
        code == 2 && said.contains("no experiment gone.yaml") && !desk.path("other.md").exists(),
        "{said}"
    );

    let given = [
        "gameday",
        "new",
        "mine.md",
        "--title",
        "Cache failure",
        "--participant",
        "Scribe: Bo Li",
        "--criterion",
        "Error rate stays below 2%",
        "--rollback",
        "Restart the cache",
        "--url",
        "http://127.0.0.1:1/",
        "--start",
        "14:00",
    ];
    let (code, said) = desk.squall(&given);
    assert_eq!(code, 0, "{said}");
    let (code, said) = desk.squall(&["gameday", "check", "mine.md"]);
    assert_eq!(code, 0, "{said}");
    for words in [
        "Cache failure",
        "Bo Li",
        "14:15",
        "error_rate < 2%",
        "1. Restart the cache",
        "2 of 2 criteria",
        "Recover   Verify recovery",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
}

#[test]
fn a_plan_as_it_is_says_what_would_make_machines_check_it() {
    let desk = Desk::new();
    desk.write("plan.md", PLAN);
    let (code, said) = desk.squall(&["gameday", "check", "plan.md"]);
    assert_eq!(code, 0, "{said}");
    for words in [
        "Incident Commander",
        "2 minutes",
        "1%",
        "alerts",
        "1. Restore database from backup",
        "steady_state: [",
        "data: {",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let (code, said) = desk.squall(&["gameday", "check", "plan.md", "--json"]);
    assert_eq!(code, 0, "{said}");
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["plan"]["participants"][1]["name"], "Jane Smith");
    assert_eq!(json["plan"]["timeline"][1]["phase"], "inject");
    assert_eq!(json["checks"][0]["machine"], false);
    // People would make the failure, and nobody is asked.
    let (code, said) = desk.squall(&["gameday", "run", "plan.md", "--yes"]);
    assert_eq!(code, 2, "{said}");
}

#[test]
fn mistakes_point_at_line_and_column() {
    let desk = Desk::new();
    let plan = |from: &str, to: &str| desk.write("plan.md", &PLAN.replacen(from, to, 1));
    plan("10:30", "10:75");
    let (code, said) = desk.squall(&["gameday", "check", "plan.md"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("plan.md:17:3") && said.contains("10:75 is no time of day"), "{said}");
    plan("## Success Criteria", "## Succes Criteria");
    let (_, said) = desk.squall(&["gameday", "check", "plan.md"]);
    assert!(said.contains("plan.md:20:4") && said.contains("did you mean `Success Criteria`"), "{said}");

    let block = "\n\n```squall\nload: {shop: {http: {url: \"http://127.0.0.1:1/\"}, rate: 50}}\nexperiments: [gone.yaml]\n```\n";
    desk.write("plan.md", &(PLAN.to_owned() + block));
    let (_, said) = desk.squall(&["gameday", "check", "plan.md"]);
    assert!(said.contains("plan.md:33:57") && said.contains("is not a frequency"), "{said}");
    desk.write("plan.md", &(PLAN.to_owned() + &block.replace("rate: 50", "rate: 50/s")));
    let (_, said) = desk.squall(&["gameday", "check", "plan.md"]);
    assert!(said.contains("plan.md:34:15") && said.contains("there is no file gone.yaml"), "{said}");
    desk.write("plan.squall.yaml", "criteria: {\"No date loss\": {failover: 2m}}\n");
    desk.write("plan.md", PLAN);
    let (_, said) = desk.squall(&["gameday", "check", "plan.md"]);
    assert!(said.contains("plan.squall.yaml:1:12") && said.contains("the plan has no criterion"), "{said}");
}

#[test]
fn a_report_is_never_written_over_what_the_day_is_made_of() {
    let desk = Desk::new();
    let block = "\n\n```squall\nexperiments: [strike.yaml]\n```\n";
    let strike = "apiVersion: squall.dev/v1\nkind: Experiment\nname: strike\nmethod:\n  - fault: cpu.load\n    target: {host: true}\n    with: {cores: 1}\n    for: 1s\n";
    let files = [("plan.md", PLAN.to_owned() + block), ("strike.yaml", strike.to_owned())];
    for (name, text) in &files {
        desk.write(name, text);
    }
    std::os::unix::fs::symlink(desk.path("plan.md"), desk.path("link.md")).unwrap();
    let run = ["gameday", "run", "plan.md", "--yes", "--rehearse", "--observe", "1s", "--baseline", "0s"];
    let refused = |more: &[&str]| {
        let (code, said) = desk.squall(more);
        assert_eq!(code, 2, "{more:?}: {said}");
        assert!(said.contains("nothing was touched"), "{more:?}: {said}");
        for (name, text) in &files {
            assert_eq!(desk.read(name), *text, "{name} was written over by {more:?}");
        }
    };
    let outputs = [["--report", "plan.md"], ["--report", "link.md"], ["--followups", "./strike.yaml"]];
    for output in outputs {
        refused(&[&run[..], &output].concat());
    }
    assert!(
        !desk.path("state/gamedays").exists()
            || desk.path("state/gamedays").read_dir().unwrap().next().is_none()
    );

    desk.write("plan.squall.yaml", "observe: 1s\n");
    desk.write("plan.md", PLAN);
    let (code, said) = desk.squall(&[&run[..], &["--followups", "plan.squall.yaml"]].concat());
    assert_eq!((code, desk.read("plan.squall.yaml").as_str()), (2, "observe: 1s\n"), "{said}");
    let (code, said) = desk.squall(&[&run[..], &["--report", "day.md"]].concat());
    assert!([0, 1].contains(&code) && desk.path("day.md").is_file(), "{said}");
    let (code, said) = desk.squall(&["gameday", "report", "last", "-o", "plan.md"]);
    assert_eq!((code, desk.read("plan.md").as_str()), (2, PLAN), "{said}");
    let journal = desk.path("state/gamedays").read_dir().unwrap().next().unwrap().unwrap().path();
    let journal = journal.to_str().unwrap();
    let (code, said) = desk.squall(&[&run[..], &["--followups", journal]].concat());
    assert_eq!(code, 2, "{said}");
    // A report may be written anew.
    let (code, said) = desk.squall(&["gameday", "report", "last", "-o", "day.md"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_go_that_nothing_waits_for_is_answered_and_its_reason_is_kept() {
    let desk = Desk::new();
    desk.write("plan.md", PLAN);
    desk.write("plan.squall.yaml", "probes: {self: {exec: {command: \"true\"}}}\nbaseline: 600s\n");
    let mut command = desk.command(&["gameday", "run", "plan.md"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut day = command.spawn().unwrap();
    day.stdin.take().unwrap().write_all(b"go\nno-go a release is on\nquit\n").unwrap();
    let output = day.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    for words in ["nothing waits for a go; `halt` ends it", "nothing waits for a no-go"] {
        assert!(told.contains(words), "{told}");
    }
    let journal = desk.journal();
    assert!(journal.iter().any(|entry| entry["text"] == "no-go, while nothing was asked: a release is on"));
    assert!(!journal.iter().any(|entry| entry["event"] == "decided"));
}

#[test]
fn a_proposed_check_with_a_gap_is_refused_until_it_is_filled_in() {
    let desk = Desk::new();
    desk.write("plan.md", "# Game Day: X\n## Success Criteria\n- Customers are happy\n");
    let (code, said) = desk.squall(&["gameday", "check", "plan.md"]);
    assert_eq!(code, 0, "{said}");
    let proposed =
        said.lines().find(|line| line.trim().starts_with("criteria: {")).unwrap().trim().to_owned();
    let with = |line: &str| {
        let load = "load: {shop: {http: {url: \"http://127.0.0.1:1/\"}, rate: 1/s}}\n";
        desk.write("plan.squall.yaml", &format!("{load}{line}\n"));
        desk.squall(&["gameday", "check", "plan.md"])
    };
    let (code, said) = with(&proposed);
    assert_eq!(code, 2, "{proposed}\n{said}");
    let (code, said) = with(&proposed.replace("METRIC < ${LIMIT}", "error_rate < 1%"));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_file_of_another_kind_is_told_what_checks_it() {
    let desk = Desk::new();
    desk.write("plan.md", PLAN);
    desk.write("day.yaml", "apiVersion: squall.dev/v1\nkind: GameDay\nobserve: 1s\n");
    desk.write("strike.yaml", "apiVersion: squall.dev/v1\nkind: Experiment\nname: strike\n");
    for (arguments, words) in [
        (["validate", "plan.md"], "squall gameday check plan.md"),
        (["run", "plan.md"], "squall gameday check plan.md"),
        (["validate", "day.yaml"], "--with day.yaml"),
        (["run", "day.yaml"], "--with day.yaml"),
    ] {
        let (code, said) = desk.squall(&arguments);
        assert!(code == 2 && said.contains(words), "{arguments:?}: {said}");
    }
    for (file, words) in [("strike.yaml", "squall validate strike.yaml"), ("day.yaml", "--with day.yaml")] {
        let (code, said) = desk.squall(&["gameday", "check", file]);
        assert!(code == 2 && said.contains(words), "{file}: {said}");
    }
}
