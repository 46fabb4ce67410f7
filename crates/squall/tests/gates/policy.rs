//! Environments: what is denied before anything is touched, and what is carried out within the rules.

use crate::lab::{Desk, Owned, Told};
use std::process::Command;

/// Victims under one name of the test's own.
struct Victims {
    name: String,
    processes: Vec<Owned>,
}

impl Victims {
    fn start(desk: &Desk, which: char, count: usize) -> Self {
        let name = format!("sqtp{which}{}", std::process::id());
        let program = desk.path(&name);
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let processes =
            (0..count).map(|_| Owned(Command::new(&program).arg("300").spawn().unwrap())).collect();
        Self { name, processes }
    }

    fn pid(&self) -> u32 {
        self.processes[0].0.id()
    }
}

/// Settings with rules for production, from line 6 on.
fn settings(desk: &Desk, rules: &str) {
    desk.write(
        "squall.yaml",
        &format!("apiVersion: squall.dev/v1\nkind: Settings\nenvironments:\n  staging: {{}}\n  production:\n{rules}"),
    );
}

fn pause(desk: &Desk, target: &str) {
    desk.write(
        "pause.yaml",
        &format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: pause\nmethod:\n  \
             - {{fault: process.pause, target: {{process: {target}}}, for: 300ms}}\n"
        ),
    );
}

fn run(desk: &Desk, environment: &str, more: &[&str]) -> Told {
    desk.squall(&[&["run", "pause.yaml", "--yes", "--environment", environment], more].concat())
}

fn journals(desk: &Desk) -> Vec<String> {
    let runs = std::fs::read_dir(desk.path("state/runs")).into_iter().flatten().flatten();
    runs.map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect()
}

#[test]
fn what_breaks_a_rule_is_denied_at_its_line_and_touches_nothing() {
    let desk = Desk::new();
    let victims = Victims::start(&desk, 'a', 2);
    pause(&desk, &format!("{{name: {}}}", victims.name));
    settings(
        &desk,
        "    duration: 200ms\n    freeze: [{from: 2000-01-01, to: 2200-01-01, why: the audit}]\n    approval: true\n",
    );
    for told in [
        run(&desk, "production", &[]),
        desk.squall(&["policy", "check", "pause.yaml", "--environment", "production"]),
        run(&desk, "production", &["--dry-run", "--github"]),
    ] {
        told.is(
            2,
            &[
                "denied in production; nothing was touched",
                "squall.yaml:6:",
                "active for 300 ms",
                "at most 200ms",
            ],
        );
        told.is(2, &["squall.yaml:7:", "the audit"]);
    }
    run(&desk, "production", &[]).is(2, &["squall.yaml:8:", "--approved-by"]);
    run(&desk, "production", &["--github"]).is(2, &["::error file=./squall.yaml,line=6"]);
    assert!(journals(&desk).is_empty());
    run(&desk, "prodution", &[]).is(2, &["no environment \"prodution\"", "production, staging"]);
    run(&desk, "staging", &[]).is(0, &["passed"]);
    assert!(journals(&desk)[0].lines().next().unwrap().contains("\"environment\":\"staging\""));
}

#[test]
fn targets_are_counted_and_what_is_protected_is_known_by_any_name() {
    let desk = Desk::new();
    let victims = Victims::start(&desk, 'b', 2);
    settings(&desk, "    targets: 1\n");
    let all = format!("{{name: {}}}", victims.name);
    pause(&desk, &all);
    run(&desk, "production", &[]).is(2, &["squall.yaml:6:", "2 would be struck", "at most 1"]);
    assert!(journals(&desk).is_empty());
    pause(&desk, &format!("{all}, mode: one"));
    run(&desk, "production", &[]).is(0, &["passed"]);

    settings(&desk, &format!("    {{}}\nprotected:\n  - {{process: {all}}}\n"));
    pause(&desk, &format!("{{pid: {}}}", victims.pid()));
    for environment in ["production", "staging"] {
        run(&desk, environment, &[]).is(2, &["squall.yaml:8:", "which the settings protect"]);
    }
    desk.squall(&["run", "pause.yaml", "--yes"]).is(2, &["which the settings protect"]);
    desk.write(
        "squall.yaml",
        "apiVersion: squall.dev/v1\nkind: Settings\nprotected: [{process: {name: nosuch}}]\n",
    );
    desk.squall(&["policy", "check", "pause.yaml", "--environment", "prodution"])
        .is(0, &["strikes nothing that is protected", "no environment has rules in ./squall.yaml"]);
    assert_eq!(journals(&desk).len(), 1);
}

#[test]
fn what_passed_in_staging_may_go_to_production_once_somebody_says_yes() {
    let desk = Desk::new();
    let victims = Victims::start(&desk, 'c', 1);
    pause(&desk, &format!("{{name: {}}}", victims.name));
    settings(&desk, "    promotion: {from: staging, within: 7d}\n    approval: true\n");
    let approved = ["--approved-by", "Ann of the platform team"];
    run(&desk, "production", &approved)
        .is(2, &["squall.yaml:6:", "never passed in staging", "--environment staging"]);
    run(&desk, "staging", &[]).is(0, &["passed"]);
    run(&desk, "production", &[]).is(2, &["squall.yaml:7:", "a person must say yes"]);
    run(&desk, "production", &["--approved-by", " "]).is(2, &["say who has said yes"]);
    run(&desk, "production", &approved).is(0, &["passed"]);
    // What passed there is what may go on, and nothing else of its name.
    let harmless = desk.read("pause.yaml");
    desk.write("pause.yaml", &harmless.replace("300ms", "400ms"));
    run(&desk, "production", &approved).is(2, &["what passed as pause in staging had other faults"]);
    let log = desk.squall(&["audit", "list"]);
    log.is(0, &["denied", "what passed as pause in staging had other faults"]);
    desk.write("pause.yaml", &harmless);
    let journals = journals(&desk);
    let of_production =
        journals.iter().find(|journal| journal.contains("\"environment\":\"production\"")).unwrap();
    assert!(of_production.contains("Ann of the platform team"), "{of_production}");
}

#[test]
fn hours_are_checked_at_any_time() {
    let desk = Desk::new();
    let victims = Victims::start(&desk, 'd', 1);
    pause(&desk, &format!("{{name: {}}}", victims.name));
    let check =
        |at| desk.squall(&["policy", "check", "pause.yaml", "--environment", "production", "--at", at]);
    check("2026-11-20").is(2, &["give a day, a time and a zone: 2026-11-30T10:00:00Z"]);
    check("2026-11-30T09:00:00Z").is(2, &["no settings", "--settings"]);
    settings(&desk, "    hours: \"MON-FRI 09:00-17:00 Europe/Berlin\"\n");
    check("2026-11-30T09:00:00Z").is(0, &["pause (pause.yaml) is allowed in production"]);
    check("2026-11-29T09:00:00Z").is(2, &["squall.yaml:6:", "it is Sun 2026-11-29 10:00 Europe/Berlin"]);
    settings(&desk, "    houres: \"MON-FRI\"\n");
    check("2026-11-30T09:00:00Z").is(2, &["squall.yaml is not valid", "houres", "hours"]);
    // Without settings an environment is a name as any.
    std::fs::remove_file(desk.path("squall.yaml")).unwrap();
    run(&desk, "anywhere", &[]).is(0, &["passed"]);
}
