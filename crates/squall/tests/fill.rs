//! `disk.fill` as users run it: on a file system of the test's own, planned, carried out, refused, killed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/disk.rs"]
mod disk;
mod support;

use disk::Disk;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use support::{Ended, wait_until};
use tempfile::TempDir;

/// A folder with a state folder, and a small file system mounted on `data`.
struct Desk {
    // Gone before the folder that it is mounted in.
    _disk: Disk,
    folder: TempDir,
}

impl Desk {
    /// None without the privilege, which is said.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let disk = Disk::mount(&data, "8m")?;
        fs::write(data.join("orders"), "17").unwrap();
        Some(Self { _disk: disk, folder })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("SQUALL_STATE", self.folder.path().join("state")).env_remove("SQUALL_LOG");
        command
    }

    fn squall(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Writes an experiment that fills a directory.
    fn experiment(&self, path: &str, with: &str, lasts: &str) {
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: full\nmethod:\n  - fault: disk.fill\n    \
             target: {{path: \"{path}\"}}\n    with: {with}\n    for: {lasts}\n"
        );
        fs::write(self.folder.path().join("full.yaml"), text).unwrap();
    }

    /// The names on the small file system.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data()).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn is_full(&self) -> bool {
        self.names().iter().any(|name| {
            name.starts_with(".squall-") && {
                fs::metadata(self.data().join(name)).is_ok_and(|file| file.len() > 1 << 20)
            }
        })
    }

    fn start(&self) -> Ended {
        let mut command = self.command(&["run", "full.yaml", "--yes"]);
        let run = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        wait_until(|| self.is_full());
        run
    }
}

/// The agent is a child of one of the brain's threads.
fn agent_of(brain: u32) -> u32 {
    let mut found = None;
    wait_until(|| {
        let threads = fs::read_dir(format!("/proc/{brain}/task")).unwrap().flatten();
        let mut children =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        found = children.find_map(|text| text.split_whitespace().next().map(|pid| pid.parse().unwrap()));
        found.is_some()
    });
    found.unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[test]
fn a_file_system_is_filled_for_a_while_and_the_journal_says_how_full_it_was() {
    let Some(desk) = Desk::new() else { return };
    desk.experiment(desk.data().to_str().unwrap(), "{percent: 90%}", "2s");
    let plan = told(&desk.squall(&["plan", "full.yaml"]));
    assert!(plan.contains("until 90% of it is used") && plan.contains("remove "), "{plan}");
    assert_eq!(desk.names(), ["orders"], "a plan touches nothing");
    let run = desk.squall(&["run", "full.yaml", "--yes", "--journal", "journal.jsonl"]);
    assert_eq!(run.status.code(), Some(0), "{}", told(&run));
    assert_eq!(desk.names(), ["orders"]);
    let journal = fs::read_to_string(desk.folder.path().join("journal.jsonl")).unwrap();
    let events: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let injected = events.iter().find(|event| event["event"] == "injected").unwrap().to_string();
    assert!(injected.contains("is 90% full") && injected.contains("available_bytes"), "{injected}");
}

#[test]
fn killed_processes_leave_no_file() {
    let Some(desk) = Desk::new() else { return };
    desk.experiment(desk.data().to_str().unwrap(), "{percent: 90%}", "10m");
    let mut run = desk.start();
    let killed = Command::new("kill").args(["-KILL", &agent_of(run.0.id()).to_string()]).status().unwrap();
    assert!(killed.success());
    wait_until(|| desk.names() == ["orders"]);
    run.0.wait().unwrap();
    let mut run = desk.start();
    run.0.kill().unwrap();
    wait_until(|| desk.names() == ["orders"]);
    let leftovers = desk.squall(&["leftovers"]);
    assert!(!told(&leftovers).contains(desk.data().to_str().unwrap()), "{}", told(&leftovers));
}

#[test]
fn what_squall_and_the_machine_need_is_refused() {
    let Some(desk) = Desk::new() else { return };
    for (path, says) in [("/etc", "the machine's root file system"), ("/sqt-no-such", "nothing on this host")]
    {
        desk.experiment(path, "{size: 1MiB}", "1s");
        let refused = desk.squall(&["run", "full.yaml", "--yes"]);
        assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
        assert!(told(&refused).contains(says), "{}", told(&refused));
    }
    // With the state folder on it, it is too small to be struck at all.
    desk.experiment(desk.data().to_str().unwrap(), "{percent: 90%}", "1s");
    let mut within = desk.command(&["run", "full.yaml", "--yes"]);
    let refused = within.env("SQUALL_STATE", desk.data().join("state")).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert!(told(&refused).contains("64MiB stay free"), "{}", told(&refused));
}
