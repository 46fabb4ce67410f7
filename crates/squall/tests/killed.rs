//! A run whose process is killed: what it did is put back, and its journal gets an end from whoever did that. And one whose
//! process is stopped for a while, which is no fault of the system.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/disk.rs"]
mod disk;
mod support;

use disk::Disk;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use support::{Ended, wait_until};
use tempfile::TempDir;

fn kill(run: &mut Ended) {
    run.0.kill().unwrap();
    run.0.wait().unwrap();
}

/// A run that pauses a process of the test's own for long.
struct Run {
    folder: TempDir,
    victim: Ended,
    brain: Ended,
}

impl Run {
    /// Started, and waited for until its journal tells of this event.
    fn until(event: &str) -> Self {
        Self::of(event, "5m", "")
    }

    /// The same for so long, with more in the file.
    fn of(event: &str, lasts: &str, more: &str) -> Self {
        Self::at(tempfile::tempdir().unwrap(), event, lasts, more)
    }

    fn at(folder: TempDir, event: &str, lasts: &str, more: &str) -> Self {
        let victim = Ended(Command::new("sleep").arg("600").spawn().unwrap());
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: pause\nbaseline: 3s\nsteady_state:\n  \
             - exec: {{command: [\"true\"]}}\n    expect: exit_code == 0\n\
             method:\n  - fault: process.pause\n    target: {{process: {{pid: {}}}}}\n    for: {lasts}\n{more}",
            victim.0.id()
        );
        fs::write(folder.path().join("pause.yaml"), text).unwrap();
        let mut command = squall(&folder, &["run", "pause.yaml", "--yes"]);
        let brain = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let run = Self { folder, victim, brain };
        wait_until(|| run.events().iter().any(|one| one["event"] == event));
        run
    }

    fn journal(&self) -> Option<PathBuf> {
        let runs = fs::read_dir(self.folder.path().join("state/runs")).ok()?;
        runs.flatten().map(|entry| entry.path()).next()
    }

    fn events(&self) -> Vec<Value> {
        let text = self.journal().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn squall(&self, arguments: &[&str]) -> Output {
        squall(&self.folder, arguments).output().unwrap()
    }

    /// Waits for the end of the journal, and gives all that is told of it.
    fn ending(&self) -> Value {
        wait_until(|| self.events().last().is_some_and(|last| last["event"] == "verdict"));
        self.events().pop().unwrap()
    }

    fn restored(&self) -> usize {
        self.events().iter().filter(|event| event["event"] == "restored").count()
    }

    fn victim_is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.victim.0.id())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    }
}

fn squall(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
    command.env("SQUALL_STATE", folder.path().join("state")).env_remove("SQUALL_LOG");
    command
}

/// The child of a process, when it has one.
fn child(pid: u32) -> u32 {
    let mut found = None;
    wait_until(|| {
        let path = format!("/proc/{pid}/task/{pid}/children");
        found = fs::read_to_string(path).unwrap().split_whitespace().next().map(|pid| pid.parse().unwrap());
        found.is_some()
    });
    found.unwrap()
}

fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
}

/// The agent is a child of one of the brain's threads.
fn agent_of(brain: u32) -> u32 {
    let mut found = None;
    wait_until(|| {
        let threads = fs::read_dir(format!("/proc/{brain}/task")).unwrap().flatten();
        let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        found =
            children.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).next();
        found.is_some()
    });
    found.unwrap().parse().unwrap()
}

#[test]
fn the_agent_ends_the_journal_of_a_killed_brain() {
    let mut run = Run::until("injected");
    kill(&mut run.brain);
    let verdict = run.ending();
    assert_eq!((&verdict["verdict"], &verdict["exit_code"]), (&"aborted".into(), &4.into()), "{verdict}");
    assert!(!run.victim_is_stopped());
    assert_eq!(run.restored(), 1, "{:?}", run.events());
    let name = run.journal().unwrap().file_stem().unwrap().to_str().unwrap().to_owned();
    let report = run.squall(&["report", &name, "--format", "text"]);
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(report.contains("ABORTED") && report.contains("ended without a word"), "{report}");
    // Whoever comes by later adds nothing.
    let before = run.events();
    assert!(run.squall(&["recover"]).status.success());
    assert_eq!(run.events(), before);
    wait_until(|| fs::read_dir(run.folder.path().join("state/brains")).unwrap().count() == 0);
}

#[test]
fn a_brain_that_is_killed_early_has_touched_nothing() {
    let mut run = Run::until("probe");
    kill(&mut run.brain);
    let verdict = run.ending();
    assert_eq!(
        (&verdict["verdict"], &verdict["reasons"][1]),
        (&"aborted".into(), &"nothing was touched".into())
    );
}

#[test]
fn recovery_ends_the_journal_where_all_three_were_killed() {
    let mut run = Run::until("injected");
    let agent = agent_of(run.brain.0.id());
    let warden = child(agent);
    send("STOP", agent);
    send("STOP", run.brain.0.id());
    send("KILL", warden);
    send("KILL", agent);
    kill(&mut run.brain);
    assert!(run.victim_is_stopped());
    // The kernel may have torn the last line.
    File::options().append(true).open(run.journal().unwrap()).unwrap().write_all(b"{\"at\":\"20").unwrap();
    assert!(run.squall(&["recover"]).status.success());
    assert!(!run.victim_is_stopped());
    assert_eq!((run.ending()["verdict"].as_str(), run.restored()), (Some("aborted"), 1));
}

#[test]
fn a_warden_ends_the_journal_where_brain_and_agent_were_killed() {
    let mut run = Run::until("injected");
    let agent = agent_of(run.brain.0.id());
    send("STOP", agent);
    kill(&mut run.brain);
    send("KILL", agent);
    assert_eq!(run.ending()["verdict"], "aborted");
    assert_eq!(run.restored(), 1);
    assert!(!run.victim_is_stopped());
}

/// Answers every request with a short word, for as long as the tests run.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                // The empty line that ends a request's head; it has no body.
                while lines
                    .find(|line| line.as_ref().map_or(true, String::is_empty))
                    .is_some_and(|line| line.is_ok())
                {
                    (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
                }
            });
        }
    });
    port
}

/// A run under load whose process is stopped for a while when its fault is there.
fn stopped_for(time: Duration, abort_if: &str) -> Run {
    let load = format!(
        "load: {{shop: {{http: {{url: \"http://127.0.0.1:{}/\"}}, rate: 50/s, timeout: 500ms}}}}\n\
         hypothesis_holds: [{{expect: error_rate < 1%}}, {{expect: throughput > 40/s}}]\n{abort_if}",
        server()
    );
    let run = Run::of("injected", "7s", &load);
    send("STOP", run.brain.0.id());
    std::thread::sleep(time);
    send("CONT", run.brain.0.id());
    run
}

#[test]
fn requests_that_a_stopped_brain_did_not_send_are_no_errors_of_the_system() {
    let run = stopped_for(Duration::from_millis(2200), "");
    let verdict = run.ending();
    assert_eq!(verdict["verdict"], "passed", "{verdict}");
    let notes: Vec<String> = run.events().iter().map(|event| event["message"].to_string()).collect();
    assert!(
        notes.iter().any(|note| note.contains("requests are not counted: Squall itself was held up")),
        "{notes:?}"
    );
}

#[test]
fn a_guard_that_could_not_look_ends_the_run() {
    let run = stopped_for(Duration::from_millis(4500), "guard: [{abort_if: error_rate > 50%}]\n");
    let verdict = run.ending();
    assert_eq!(verdict["verdict"], "aborted", "{verdict}");
    assert!(verdict["reasons"].to_string().contains("the guard could not look for"), "{verdict}");
    assert!(!run.victim_is_stopped());
}

#[test]
fn a_journal_that_found_no_room_gets_its_end_when_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&folder.path().join("state"), "1m") else { return };
    // Asked every second, these fill whatever is left of the journal's last page.
    let checks = "  - {exec: {command: [\"true\"]}, expect: exit_code == 0}\n".repeat(20);
    let mut run = Run::at(folder, "injected", "5m", &format!("hypothesis_holds:\n{checks}"));
    // Gone before the folder that it is mounted in.
    let _disk = disk;
    let filler = run.folder.path().join("state/filler");
    let mut file = File::create(&filler).unwrap();
    // What is freed meanwhile, such as an undo log's page, is taken too.
    while run.brain.0.try_wait().unwrap().is_none() {
        let _ = file.write(&[0; 512]);
    }
    assert!(!run.victim_is_stopped());
    assert!(run.events().iter().all(|event| event["event"] != "verdict"));
    drop(file);
    fs::remove_file(filler).unwrap();
    // The agent may be trying just now, and fail.
    wait_until(|| {
        assert!(run.squall(&["status"]).status.success());
        run.events().last().is_some_and(|last| last["event"] == "verdict")
    });
    let verdict = run.ending();
    assert_eq!(verdict["verdict"], "aborted", "{verdict}");
    assert!(verdict["reasons"].to_string().contains("could not be written to its end"), "{verdict}");
    let known = run.squall(&["history", "list"]);
    assert!(String::from_utf8_lossy(&known.stdout).contains("aborted"), "{known:?}");
}
