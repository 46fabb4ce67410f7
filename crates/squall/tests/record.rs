//! What is kept of runs: history, audit log, maturity and suggestions, from the command line; and what happens to runs where
//! it cannot be kept.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use rusqlite::Connection;
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::{Ended, wait_until};
use tempfile::TempDir;

/// A state folder and experiments beside it, gone with the test.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.experiment("holds", "true");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// An experiment without a fault, whose hypothesis is that a program succeeds.
    fn experiment(&self, name: &str, program: &str) {
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: {name}\nhypothesis: it holds\ntags: [nightly]\n\
             blast_radius: {{services: [payment]}}\n\
             steady_state:\n  - exec: {{command: [\"true\"]}}\n    expect: exit_code == 0\n\
             method:\n  - wait: 0s\n\
             hypothesis_holds:\n  - exec: {{command: [\"{program}\"]}}\n    expect: exit_code == 0\n"
        );
        fs::write(self.path(&format!("{name}.yaml")), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("SQUALL_STATE", self.path("state")).env_remove("SQUALL_LOG").env_remove("CI");
        command
    }

    fn squall(&self, arguments: &[&str]) -> Told {
        Told::of(&self.command(arguments).output().unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let told = self.squall(&[arguments, &["--json"]].concat());
        serde_json::from_str(&told.out)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", told.out, told.errors))
    }

    fn listed(&self) -> Vec<Value> {
        self.json(&["history", "list"]).as_array().unwrap().clone()
    }

    /// The journals of all runs.
    fn journals(&self) -> Vec<PathBuf> {
        let runs = fs::read_dir(self.path("state/runs")).into_iter().flatten().flatten();
        runs.map(|entry| entry.path()).collect()
    }

    /// A process that the test started, stopped for long by a run that was started too.
    fn start_pause(&self) -> (Ended, Ended) {
        let victim = Ended(Command::new("sleep").arg("600").spawn().unwrap());
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: pause\nblast_radius: {{services: [ledger]}}\nmethod:\n  \
             - fault: process.pause\n    target: {{process: {{pid: {}}}}}\n    for: 5m\n",
            victim.0.id()
        );
        fs::write(self.path("pause.yaml"), text).unwrap();
        let mut command = self.command(&["run", "pause.yaml", "--yes"]);
        let run = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_until(|| self.is_told("injected"));
        (victim, run)
    }

    /// Whether a journal tells of an event.
    fn is_told(&self, event: &str) -> bool {
        let word = format!("\"event\":\"{event}\"");
        self.journals().iter().any(|path| fs::read_to_string(path).unwrap().contains(&word))
    }

    fn deeds(&self) -> Vec<String> {
        let lines = self.json(&["audit", "list"]);
        lines.as_array().unwrap().iter().map(|line| line["what"].as_str().unwrap().to_owned()).collect()
    }
}

struct Told {
    code: i32,
    out: String,
    errors: String,
}

impl Told {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap(), out: text(&output.stdout), errors: text(&output.stderr) }
    }

    #[track_caller]
    fn is(&self, code: i32, words: &[&str]) -> &Self {
        let told = format!("{}\n{}", self.out, self.errors);
        assert_eq!(self.code, code, "{told}");
        for word in words {
            assert!(told.contains(word), "{word:?} is not in:\n{told}");
        }
        self
    }
}

fn kill(run: &mut Ended) {
    run.0.kill().unwrap();
    run.0.wait().unwrap();
}

fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
}

/// A child of one of a process's threads, when there is one.
fn the_child_of(pid: u32) -> u32 {
    let mut found = None;
    wait_until(|| {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let mut lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        found = lists.find_map(|list| list.split_whitespace().next().map(str::to_owned));
        found.is_some()
    });
    found.unwrap().parse().unwrap()
}

fn append(path: &Path, bytes: &[u8]) {
    File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_run_is_listed_shown_compared_and_exported() {
    let desk = Desk::new();
    desk.experiment("fails", "false");
    desk.squall(&["history", "list"]).is(0, &["no such run is known"]);
    desk.squall(&["run", "fails.yaml", "--yes", "--environment", "staging"]).is(1, &[]);
    let ci = desk.command(&["run", "holds.yaml", "--yes", "--seed", "7"]).env("CI", "true").output().unwrap();
    Told::of(&ci).is(0, &[]);
    let runs = desk.listed();
    assert_eq!(runs.len(), 2);
    assert_eq!((&runs[0]["verdict"], &runs[1]["verdict"]), (&"passed".into(), &"failed".into()));
    assert_eq!((&runs[0]["origin"], &runs[1]["environment"]), (&"ci".into(), &"staging".into()));
    assert_eq!((&runs[0]["seed"], &runs[0]["services"][0]), (&7.into(), &"payment".into()));
    assert!(!runs[0]["by"].as_str().unwrap().is_empty());
    desk.squall(&["history", "list", "--verdict", "failed", "--tag", "nightly", "--since", "1d"])
        .is(0, &["fails"]);
    desk.squall(&["history", "list", "--service", "nobody"]).is(0, &["no such run is known"]);
    desk.squall(&["history", "list", "--limit", "1"]).is(0, &["holds", "--limit shows more"]);
    desk.squall(&["history", "list", "--verdict", "good"]).is(2, &["not_steady"]);
    let name = runs[0]["run"].as_str().unwrap();
    desk.squall(&["history", "show", "last"])
        .is(0, &[name, "squall run holds.yaml", "it holds", "squall report"]);
    desk.squall(&["history", "show", name]).is(0, &["passed"]);
    let shown = desk.json(&["history", "show", "last~1"]);
    assert!(Path::new(shown["journal"].as_str().unwrap()).is_file(), "{shown}");
    desk.squall(&["history", "show", "nothing"]).is(2, &["there is no run \"nothing\""]);
    desk.squall(&["history", "show", "20"]).is(2, &["several runs begin with"]);
    desk.squall(&["history", "compare", "last~1", "last"])
        .is(0, &["better: verdict", "different experiments", "different environments"]);
    assert_eq!(desk.json(&["history", "compare", "last", "last~1"])["worse"][0], "verdict");
    let csv = desk.squall(&["history", "export", "--format", "csv"]);
    assert!(csv.out.starts_with("run,experiment,started,") && csv.out.lines().count() == 3, "{}", csv.out);
    desk.squall(&["history", "export", "-o", "runs.json", "--experiment", "holds"]).is(0, &[]);
    let exported: Value = serde_json::from_str(&fs::read_to_string(desk.path("runs.json")).unwrap()).unwrap();
    assert_eq!(exported.as_array().unwrap().as_slice(), &runs[..1]);
    desk.squall(&["history", "export", "-o", "none/runs.json"]).is(74, &["none/runs.json"]);
    desk.squall(&["history", "export", "-o", "none.json", "--experiment", "none"]).is(0, &[]);
    assert_eq!(
        fs::read_to_string(desk.path("none.json")).unwrap().split_whitespace().collect::<String>(),
        "[]"
    );
}

#[test]
fn a_damaged_history_stops_no_run_and_is_made_again_when_asked() {
    let desk = Desk::new();
    desk.squall(&["run", "holds.yaml", "--yes"]).is(0, &[]);
    // What a run wrote is in the write-ahead log until somebody asks.
    assert_eq!(desk.listed().len(), 1);
    fs::write(desk.path("state/squall.db"), "no database at all ".repeat(300)).unwrap();
    let told = desk.squall(&["run", "holds.yaml", "--yes"]);
    told.is(0, &["is damaged", "the run is in its journal"]);
    assert_eq!(told.errors.matches("squall: ").count(), 1, "{}", told.errors);
    assert!(fs::read_to_string(desk.path("state/squall.db")).unwrap().starts_with("no database"));
    let told = desk.squall(&["history", "list", "--json"]);
    told.is(0, &["made again from the journals", "squall.db.corrupt-"]);
    assert_eq!(desk.listed().len(), 2);
    let aside = fs::read_dir(desk.path("state")).unwrap().flatten();
    assert!(
        aside
            .map(|entry| entry.file_name())
            .any(|name| name.to_string_lossy().starts_with("squall.db.corrupt-"))
    );
    // What is only found to be damaged when it is asked is mended as well.
    let connection = Connection::open(desk.path("state/squall.db")).unwrap();
    connection.execute("UPDATE run SET details = 'x'", []).unwrap();
    drop(connection);
    desk.squall(&["history", "show", "last"]).is(0, &["made again", "holds"]);
}

#[test]
fn a_history_that_is_held_or_no_file_stops_no_run() {
    let desk = Desk::new();
    desk.squall(&["run", "holds.yaml", "--yes"]).is(0, &[]);
    let held = Connection::open(desk.path("state/squall.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = desk.squall(&["run", "holds.yaml", "--yes"]);
    told.is(0, &["another process holds the history"]);
    assert_eq!(told.errors.matches("squall: ").count(), 1, "{}", told.errors);
    desk.squall(&["history", "list"]).is(0, &["newer runs may be missing", "holds"]);
    drop(held);
    assert_eq!(desk.listed().len(), 2);
    let desk = Desk::new();
    fs::create_dir_all(desk.path("state/squall.db")).unwrap();
    fs::set_permissions(desk.path("state"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    desk.squall(&["run", "holds.yaml", "--yes"]).is(0, &["could not be written"]);
}

#[test]
fn a_run_that_is_killed_after_its_verdict_is_in_the_history() {
    let desk = Desk::new();
    fs::create_dir(desk.path("state")).unwrap();
    desk.squall(&["history", "list"]).is(0, &[]);
    // It waits for the history, and never comes to write it.
    let held = Connection::open(desk.path("state/squall.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut command = desk.command(&["run", "holds.yaml", "--yes"]);
    let mut run = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    wait_until(|| desk.is_told("verdict"));
    kill(&mut run);
    drop(held);
    assert_eq!(desk.listed()[0]["verdict"], "passed");
    assert_eq!(desk.listed().len(), 1);
}

#[test]
fn a_run_that_is_killed_while_it_strikes_is_in_history_and_audit_log() {
    let desk = Desk::new();
    let (_victim, mut run) = desk.start_pause();
    assert_eq!(desk.listed(), [Value::Null; 0], "it is not over");
    kill(&mut run);
    // The end is written, and then the note that it is still to be written is taken away.
    wait_until(|| desk.is_told("verdict") && !desk.listed().is_empty());
    let runs = desk.listed();
    assert_eq!(
        (runs.len(), &runs[0]["verdict"], &runs[0]["cause"]),
        (1, &"aborted".into(), &"killed".into())
    );
    wait_until(|| desk.deeds() == ["run_started", "run_ended"]);
    desk.squall(&["audit", "verify"]).is(0, &["whole: 2 entries"]);
}

#[test]
fn the_audit_log_tells_who_halted_what() {
    let desk = Desk::new();
    let (_victim, _run) = desk.start_pause();
    desk.squall(&["halt"]).is(0, &["halted run"]);
    wait_until(|| desk.deeds().contains(&"run_ended".to_owned()));
    let mut deeds = desk.deeds();
    deeds.sort();
    assert_eq!(deeds, ["halt", "run_aborted", "run_ended", "run_started"]);
    desk.squall(&["audit", "list", "--since", "1h"])
        .is(0, &["run started", "origin: run", "experiment: pause"]);
    desk.squall(&["audit", "verify"]).is(0, &["whole: 4 entries"]);
}

#[test]
fn what_the_next_run_puts_back_is_in_the_audit_log() {
    let desk = Desk::new();
    let (_victim, mut run) = desk.start_pause();
    let brain = run.0.id();
    // The agent is a child of one of the brain's threads, the warden the agent's.
    let agent = the_child_of(brain);
    let warden = the_child_of(agent);
    send("STOP", agent);
    send("STOP", brain);
    send("KILL", warden);
    send("KILL", agent);
    kill(&mut run);
    let victim = Ended(Command::new("sleep").arg("600").spawn().unwrap());
    let text = fs::read_to_string(desk.path("pause.yaml")).unwrap().replace("5m", "100ms");
    let (before, _) = text.split_once("pid:").unwrap();
    fs::write(desk.path("next.yaml"), format!("{before}pid: {}}}}}\n    for: 100ms\n", victim.0.id()))
        .unwrap();
    desk.squall(&["run", "next.yaml", "--yes"]).is(0, &[]);
    wait_until(|| desk.deeds().contains(&"recovered".to_owned()));
    let deeds = desk.deeds();
    assert_eq!(deeds.iter().filter(|deed| *deed == "run_ended").count(), 2, "{deeds:?}");
    assert_eq!(desk.listed().len(), 2);
    desk.squall(&["audit", "verify"]).is(0, &[]);
}

#[test]
fn an_audit_log_that_was_changed_cut_or_torn_is_told() {
    let desk = Desk::new();
    for verb in ["verify", "head"] {
        desk.squall(&["audit", verb]).is(2, &["there is no audit log /", "nor the state folder"]);
    }
    desk.squall(&["audit", "list"]).is(0, &["no such entry"]);
    assert!(desk.listed().is_empty() && !desk.path("state").exists(), "a question made a state folder");
    // Nothing was done yet: nothing is missing.
    fs::create_dir(desk.path("state")).unwrap();
    desk.squall(&["audit", "verify"]).is(0, &["whole: there is no entry"]);
    desk.squall(&["run", "holds.yaml", "--yes"]).is(0, &[]);
    let log = desk.path("state/audit.jsonl");
    let whole = fs::read_to_string(&log).unwrap();
    let kept = desk.path("state/audit.head");
    let both = [(log.clone(), whole.clone()), (kept.clone(), fs::read_to_string(&kept).unwrap())];
    both.iter().for_each(|(file, _)| fs::remove_file(file).unwrap());
    desk.squall(&["audit", "verify"]).is(2, &["there is no audit log /", "though there are runs"]);
    both.iter().for_each(|(file, text)| fs::write(file, text).unwrap());
    let head = desk.squall(&["audit", "head"]).out;
    desk.squall(&["audit", "verify", "--head", head.trim()]).is(0, &["whole: 2 entries"]);
    desk.squall(&["audit", "verify", "--head", "2:ab"]).is(2, &["no head"]);
    // As if it had been killed in the middle of a line.
    append(&log, &whole.as_bytes()[..70]);
    desk.squall(&["audit", "verify"]).is(1, &["NOT whole", "audit.jsonl:3: the end is torn"]);
    desk.squall(&["run", "holds.yaml", "--yes"]).is(0, &[]);
    desk.squall(&["audit", "verify"]).is(0, &["note: line 3 is torn", "whole: 4 entries"]);
    let verified = desk.json(&["audit", "verify"]);
    assert_eq!((&verified["whole"], &verified["entries"]), (&true.into(), &4.into()));
    fs::write(&log, whole.replace("run_ended", "run_begun")).unwrap();
    desk.squall(&["audit", "verify"]).is(1, &["audit.jsonl:2: "]);
    fs::write(&log, whole.lines().next().unwrap().to_owned() + "\n").unwrap();
    desk.squall(&["audit", "verify"]).is(1, &["the end was removed"]);
    assert_eq!(desk.json(&["audit", "verify"])["wrong"]["line"], 2);
}

#[test]
fn an_audit_log_that_cannot_be_written_stops_no_run() {
    let desk = Desk::new();
    fs::create_dir(desk.path("state")).unwrap();
    std::os::unix::fs::symlink("/dev/full", desk.path("state/audit.jsonl")).unwrap();
    let told = desk.squall(&["run", "holds.yaml", "--yes"]);
    told.is(0, &["the audit log", "what was done stands"]);
    assert_eq!(desk.listed().len(), 1);
}

#[test]
fn a_copy_of_a_journal_is_the_same_run_and_last_is_reported() {
    let desk = Desk::new();
    desk.squall(&["report", "last"]).is(2, &["could not read the journal last"]);
    for name in ["first", "second"] {
        desk.experiment(name, "true");
        desk.squall(&["run", &format!("{name}.yaml"), "--yes"]).is(0, &[]);
    }
    let journal = desk.journals().remove(0);
    fs::copy(&journal, desk.path("state/runs/copy.jsonl")).unwrap();
    assert_eq!(desk.listed().len(), 2);
    fs::copy(&journal, desk.path("state/runs/again.jsonl")).unwrap();
    assert_eq!(desk.listed().len(), 2);
    desk.squall(&["report", "last"]).is(0, &["second"]);
    desk.squall(&["report", "last~1"]).is(0, &["first"]);
    desk.squall(&["report", "20"]).is(2, &["the names of several runs begin with"]);
    desk.squall(&["history", "list", "--limit", "0"]).is(2, &["--limit"]);
    desk.squall(&["history", "list", "--since", "1w"]).is(0, &["second"]);
}

#[test]
fn maturity_and_suggestions_come_from_the_history() {
    let desk = Desk::new();
    let maturity = desk.json(&["maturity"]);
    assert_eq!((&maturity["level"], &maturity["runs"]), (&1.into(), &0.into()));
    desk.squall(&["suggest"]).is(0, &["nothing that has to be looked at"]);
    let (mut victim, mut run) = desk.start_pause();
    kill(&mut run);
    wait_until(|| desk.is_told("verdict"));
    kill(&mut victim);
    for name in ["one", "two", "three"] {
        desk.experiment(name, "true");
        desk.squall(&["run", &format!("{name}.yaml"), "--yes"]).is(0, &[]);
    }
    let maturity = desk.json(&["maturity"]);
    let documented = &maturity["levels"][0]["criteria"][0];
    assert_eq!((&documented["met"], documented["evidence"].as_array().unwrap().len()), (&true.into(), 3));
    assert_eq!(maturity["level"], 1);
    desk.squall(&["maturity", "--report", "maturity.html"]).is(0, &["missing: hold 2 more game days"]);
    let page = fs::read_to_string(desk.path("maturity.html")).unwrap();
    assert!(page.contains("Maturity: level 1 of 4") && !page.contains("<script"), "{page}");
    desk.squall(&["maturity", "--report", "m.pdf"]).is(2, &["m.pdf", "in .html or .htm"]);
    assert!(!desk.path("m.pdf").exists());
    // Runs without a fault tell nothing about the service.
    assert_eq!(maturity["untested"], serde_json::json!(["ledger", "payment"]));
}

#[test]
fn a_failure_is_suggested_to_be_carried_out_again() {
    let desk = Desk::new();
    let victim = Ended(Command::new("sleep").arg("600").spawn().unwrap());
    let text = format!(
        "apiVersion: squall.dev/v1\nkind: Experiment\nname: pause\nblast_radius: {{services: [ledger]}}\n\
         steady_state:\n  - exec: {{command: [\"true\"]}}\n    expect: exit_code == 0\n\
         method:\n  - fault: process.pause\n    target: {{process: {{pid: {}}}}}\n    for: 200ms\n\
         hypothesis_holds:\n  - exec: {{command: [\"false\"]}}\n    expect: exit_code == 0\n",
        victim.0.id()
    );
    fs::write(desk.path("pause.yaml"), text).unwrap();
    desk.squall(&["run", "pause.yaml", "--yes"]).is(1, &[]);
    let findings = desk.json(&["suggest"]);
    assert_eq!(
        (&findings[0]["kind"], &findings[0]["command"]),
        (&"failed".into(), &"squall run pause.yaml".into())
    );
    desk.squall(&["suggest"]).is(0, &["1. pause: it failed today", "squall run pause.yaml"]);
    let score = &desk.json(&["maturity"])["scores"][0];
    assert_eq!(
        (&score["service"], &score["score"], &score["runs"]),
        (&"ledger".into(), &0.0.into(), &1.into())
    );
}
