//! Whole days on the shop.

use crate::lab::{Alerting, Desk, Shop, Spoken, is_root, until};

/// Short times, for all of them.
const SHORT: [&str; 6] = ["--baseline", "2s", "--observe", "6s", "--recovery", "30s"];

fn arguments<'a>(first: &[&'a str], variables: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let variables = variables.iter().map(String::as_str);
    first.iter().copied().chain(SHORT).chain(variables).chain(more.iter().copied()).collect()
}

const RUN: [&str; 4] = ["gameday", "run", "database-failure.md", "--yes"];

/// The plan as it is, from its Markdown to its reports.
fn from_the_plan_to_the_report(desk: &Desk) {
    let shop = Shop::open(desk, &["--fixed"]);
    let prometheus = Alerting::watch(&shop);
    let variables = desk.set_plan(&shop, Some(&prometheus.url));
    let reports =
        ["--report", "day.html", "--report", "day.md", "--followups", "todo.csv", "--var", "lasts=6s"];
    let (code, said) = desk.squall(&arguments(&RUN, &variables, &reports));
    assert!(!shop.is_stopped("ledger"), "{said}");

    let journal = desk.journal();
    let ended = journal.last().unwrap();
    assert_eq!(ended["event"], "ended", "{said}");
    assert_eq!(desk.outcome("No data loss"), "met", "{said}");
    assert_eq!(desk.outcome("All alerts fire"), "met", "{said}");
    let criteria = ["Automatic failover", "No data loss", "Error rate", "All alerts", "System will maintain"];
    let all_met = criteria.iter().all(|criterion| desk.outcome(criterion) == "met");
    // A loaded machine may lose requests; then the day must say so.
    assert_eq!(code, i32::from(!all_met), "{said}");
    assert_eq!(ended["exit_code"], code);
    let phases: Vec<&str> = journal
        .iter()
        .filter(|entry| entry["event"] == "phase_started")
        .map(|entry| entry["phase"].as_str().unwrap())
        .collect();
    assert_eq!(phases, ["verify", "inject", "observe", "recover", "analyse"]);

    let page = desk.read("day.html");
    for words in
        ["Database Failure Simulation", "process.pause", "<svg", "John Doe", "LedgerDown", "No data loss"]
    {
        assert!(page.contains(words), "{words} is not in the report");
    }
    assert!(!page.contains("<script"));
    assert!(desk.read("day.md").contains("## Success criteria"));
    assert!(desk.read("todo.csv").starts_with("follow_up,owner,due"));
    // The same again, from the journal alone.
    let (code, said) = desk.squall(&["gameday", "report", "last", "-o", "again.html"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(desk.read("again.html"), page);
    is_kept(desk);
}

/// Audit log and history tell of the day.
fn is_kept(desk: &Desk) {
    let json = |arguments: &[&str]| -> serde_json::Value {
        let output = desk.command(arguments).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let audited = json(&["audit", "list", "--json"]);
    let lines = audited.as_array().unwrap();
    let deeds: Vec<&str> = lines.iter().map(|line| line["what"].as_str().unwrap()).collect();
    assert_eq!(
        (deeds.first(), deeds.last()),
        (Some(&"gameday_started"), Some(&"gameday_ended")),
        "{deeds:?}"
    );
    for deed in ["gameday_decided", "run_started", "run_ended"] {
        assert!(deeds.contains(&deed), "{deeds:?}");
    }
    let session = lines[0]["on"].as_str().unwrap();
    assert_eq!(json(&["audit", "verify", "--json"])["whole"], true);
    let run = &json(&["history", "list", "--json"])[0];
    assert_eq!(run["origin"].as_str(), Some(format!("gameday {session}").as_str()));
    let days = &json(&["maturity", "--json"])["levels"][0]["criteria"][1];
    assert_eq!((&days["name"], &days["evidence"][0]), (&"regular game days".into(), &session.into()));
}

#[test]
fn a_day_goes_from_its_plan_to_its_report() {
    from_the_plan_to_the_report(&Desk::new());
}

#[test]
fn a_day_needs_no_privilege() {
    if !is_root() {
        println!("skipped: the other tests are without privilege already");
        return;
    }
    from_the_plan_to_the_report(&Desk::of_nobody());
}

#[test]
fn a_weakness_is_found_and_what_people_say_is_kept() {
    let desk = Desk::new();
    let shop = Shop::open(&desk, &[]);
    let variables = desk.set_plan(&shop, None);
    let mut day = Spoken::begin(
        &desk,
        &arguments(
            &["gameday", "run", "database-failure.md"],
            &variables,
            &["--var", "lasts=7s", "--followups", "f.csv"],
        ),
    );
    day.hear("Inject ledger-hangs?");
    day.say("note we begin");
    day.say("go all are here");
    day.hear("Active: process.pause");
    assert!(until("the ledger stops", || shop.is_stopped("ledger").then_some(true)));
    day.say("decision we wait");
    day.say("follow-up Give payment a timeout; Jane Smith; 2026-12-01");
    day.hear("Go on to the analysis?");
    day.say("go");
    day.hear("Was this met? All alerts fire correctly");
    day.say("no nobody was paged");
    day.hear("go ends the day");
    day.say("go");
    let (code, said) = day.end();
    assert_eq!(code, 1, "{said}");
    assert!(!shop.is_stopped("ledger"));
    assert_eq!(desk.outcome("Error rate"), "not_met", "{said}");
    assert_eq!(desk.outcome("All alerts fire"), "not_met", "{said}");
    assert_eq!(desk.outcome("No data loss"), "met", "{said}");
    // It was back only after the failure was put right: nothing is known of a failover.
    assert_eq!(desk.outcome("Automatic failover"), "unknown", "{said}");
    assert!(desk.read("f.csv").contains("Give payment a timeout,Jane Smith,2026-12-01"));
    for words in ["Note: we begin", "Go: all are here", "Decision: we wait", "nobody was paged"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
}

#[test]
fn a_session_that_is_killed_leaves_no_fault_loses_no_note_and_goes_on() {
    let desk = Desk::new();
    let shop = Shop::open(&desk, &["--fixed"]);
    let variables = desk.set_plan(&shop, None);
    let plan = ["gameday", "run", "database-failure.md"];
    let mut day = Spoken::begin(&desk, &arguments(&plan, &variables, &["--var", "lasts=20s"]));
    day.hear("Inject ledger-hangs?");
    day.say("go");
    day.hear("Active: process.pause");
    until("the ledger stops", || shop.is_stopped("ledger").then_some(()));
    day.say("note the cache is cold");
    day.hear("Note: the cache is cold");
    day.process.kill().unwrap();
    day.process.wait().unwrap();
    until("the ledger goes on", || (!shop.is_stopped("ledger")).then_some(()));
    let kept = desk.journal().iter().any(|entry| entry["text"] == "the cache is cold");
    assert!(kept, "a note that was shown as kept is lost");
    drop(day);

    // Nothing else is struck than what was verified.
    let resumed = ["gameday", "run", "--resume", "last", "--yes"];
    let (code, said) = desk.squall(&[&resumed[..], &["--var", "ledger_pid=1"]].concat());
    let began = format!("began with ledger_pid={}", shop.pid("ledger"));
    assert!(code == 2 && said.contains(&began) && said.contains("stays open"), "{said}");
    // Nor is an experiment carried out that is not what was agreed.
    let agreed = desk.read("ledger-hangs.yaml");
    desk.write("ledger-hangs.yaml", &agreed.replace("duration: 10m", "duration: 11m"));
    let (code, said) = desk.squall(&resumed);
    assert!(code == 2 && said.contains("--accept-changes") && said.contains("stays open"), "{said}");
    desk.write("ledger-hangs.yaml", &agreed);
    desk.write("database-failure.md", &(crate::lab::PLAN.to_owned() + "\n## Background\nwords\n"));
    // From whatever folder.
    std::fs::create_dir(desk.path("elsewhere")).unwrap();
    let elsewhere = |arguments: &[&str]| desk.squall_in("elsewhere", arguments);
    let (code, said) = elsewhere(&resumed);
    assert!([0, 1].contains(&code), "{said}");
    assert!(said.contains("what was active when it was interrupted was put back"), "{said}");
    assert!(said.contains("the plan has changed since the session began"), "{said}");
    assert!(!shop.is_stopped("ledger"));
    let journal = desk.journal();
    assert_eq!(journal.iter().filter(|entry| entry["event"] == "resumed").count(), 1);
    assert_eq!(journal.iter().filter(|entry| entry["event"] == "fault_active").count(), 2, "{said}");
    assert_eq!(journal.last().unwrap()["event"], "ended");
    assert_eq!(desk.outcome("No data loss"), "met", "{said}");
    // What was counted before the first failure is what counts.
    let counted_before = |entry: &&serde_json::Value| entry["moment"] == "before";
    assert_eq!(journal.iter().filter(counted_before).count(), 1, "{said}");
    std::fs::remove_file(desk.path("ledger-hangs.yaml")).unwrap();
    let (code, said) = elsewhere(&resumed);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("is over"), "{said}");
    // Nor does a report overwrite the plan from there.
    let (code, said) = elsewhere(&["gameday", "report", "last", "-o", "../database-failure.md"]);
    assert_eq!(code, 2, "{said}");
}

#[test]
fn a_halt_and_a_signal_put_everything_back_at_once() {
    let desk = Desk::new();
    let shop = Shop::open(&desk, &["--fixed"]);
    let variables = desk.set_plan(&shop, None);
    let plan = ["gameday", "run", "database-failure.md"];
    let more = ["--var", "lasts=120s"];
    let strike = || {
        let mut day = Spoken::begin(&desk, &arguments(&plan, &variables, &more));
        day.hear("Inject ledger-hangs?");
        day.say("go");
        until("the ledger stops", || shop.is_stopped("ledger").then_some(()));
        day
    };
    let mut day = strike();
    day.say("halt customers complain");
    until("the ledger goes on", || (!shop.is_stopped("ledger")).then_some(()));
    day.hear("Was this met?");
    day.say("unknown");
    day.hear("go ends the day");
    day.say("go");
    let (code, said) = day.end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("Halted: customers complain"), "{said}");

    let day = strike();
    let (code, said) = desk.squall(&["halt"]);
    assert_eq!(code, 0, "{said}");
    assert!(!shop.is_stopped("ledger"));
    let (code, said) = day.end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("Halted: squall halt"), "{said}");
}

#[test]
fn a_rehearsal_breaks_nothing_and_a_day_that_is_not_steady_touches_nothing() {
    let desk = Desk::new();
    let shop = Shop::open(&desk, &["--fixed"]);
    let variables = desk.set_plan(&shop, None);
    let (code, said) = desk.squall(&arguments(&RUN, &variables, &["--rehearse"]));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("would be carried out now") && !said.contains("Active:"), "{said}");
    assert!(desk.path("state/runs").read_dir().unwrap().next().is_none(), "an experiment was carried out");

    // Nobody listens there.
    let mut wrong = variables.clone();
    "gateway=127.0.0.1:1".clone_into(&mut wrong[1]);
    let (code, said) = desk.squall(&arguments(&RUN, &wrong, &[]));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("nothing was touched") && !said.contains("Active:"), "{said}");
}
