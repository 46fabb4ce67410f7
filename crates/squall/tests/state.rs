//! State folders: what `status`, `halt` and `leftovers` tell of them, one's own and those of others on the machine.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::{Ended, wait_until};
use tempfile::TempDir;

/// A state folder and what stands beside it, gone with the test.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("SQUALL_STATE", self.path("state")).env_remove("SQUALL_LOG");
        command
    }

    fn squall(&self, arguments: &[&str]) -> Told {
        Told::of(&self.command(arguments).output().unwrap())
    }

    /// Starts a run that keeps a little of a core busy until it is ended, and waits for its undo log.
    fn start_load(&self) -> (Ended, String) {
        let text = "apiVersion: squall.dev/v1\nkind: Experiment\nname: busy\nmethod:\n  - fault: cpu.load\n    \
                    target: {host: true}\n    with: {percent: 1%, cores: 1}\n    for: 10m\n";
        fs::write(self.path("busy.yaml"), text).unwrap();
        let mut command = self.command(&["run", "busy.yaml", "--yes"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut injection = None;
        wait_until(|| {
            injection = names(&self.path("state/live")).pop();
            injection.is_some()
        });
        (Ended(child), injection.unwrap().trim_end_matches(".undo").to_owned())
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
    fn is(&self, code: i32, words: &[&str]) {
        let told = format!("{}\n{}", self.out, self.errors);
        assert_eq!(self.code, code, "{told}");
        for word in words {
            assert!(told.contains(word), "{word:?} is not in:\n{told}");
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A process as notes and logs name it.
fn reference(pid: u32) -> Value {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // proc_pid_stat(5): the start time is the 22nd field, the 20th after the name.
    let start: u64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    json!({"pid": pid, "start_time": start, "boot_id": boot.trim(), "name": "sh"})
}

#[test]
fn what_an_agent_with_another_state_folder_holds_is_no_leftover_and_is_told_by_status() {
    let (here, there) = (Desk::new(), Desk::new());
    let (_run, injection) = there.start_load();
    let told = here.squall(&["leftovers"]);
    assert!(!told.out.contains(&injection), "{}", told.out);
    here.squall(&["status"]).is(0, &[&injection, there.path("state").to_str().unwrap()]);
    let status: Value = serde_json::from_str(&here.squall(&["status", "--json"]).out).unwrap();
    assert!(status["elsewhere"].to_string().contains(&injection), "{status}");
    there.squall(&["halt"]).is(0, &["halted run", "put back: cpu.load on this host"]);
    assert_eq!(names(&there.path("state/live")), [""; 0]);
    there.squall(&["halt"]).is(0, &["nothing is alive"]);
}

#[test]
fn what_others_could_have_written_is_not_done() {
    let desk = Desk::new();
    let file = desk.path("a file");
    fs::write(&file, "as it was").unwrap();
    let boot = reference(std::process::id())["boot_id"].take();
    let undo = json!({"record": "intend", "index": 0, "undo": {
        "undo": "file_value", "path": file, "before": "written by recovery", "ours": "as it was", "boot_id": boot
    }});
    let live = desk.path("state/live");
    fs::create_dir_all(&live).unwrap();
    let log = live.join("a-1.undo");
    fs::write(&log, format!("{:08x} {undo}\n", crc32fast::hash(undo.to_string().as_bytes()))).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (path, wrong) in [(&log, 0o666), (&live, 0o777), (&desk.path("state"), 0o777)] {
        mode(path, wrong);
        let told = desk.squall(&["recover"]);
        assert!(told.code != 0 && told.errors.contains("not trusted"), "{} {}", told.out, told.errors);
        assert_eq!(fs::read_to_string(&file).unwrap(), "as it was");
        assert!(log.exists(), "the promise is still owed");
        mode(path, 0o700);
    }
    desk.squall(&["recover"]).is(0, &["put back"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "written by recovery");
    let homeless = desk.command(&["status"]).env_remove("SQUALL_STATE").env_remove("HOME").output().unwrap();
    // Root has a place of its own.
    let told = Told::of(&homeless);
    assert!(told.code == 0 || told.errors.contains("set SQUALL_STATE"), "{}", told.errors);
}

#[test]
fn halt_tells_of_a_run_that_does_not_end() {
    let desk = Desk::new();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' USR1; echo; exec sleep 120"]).stdout(Stdio::piped());
    let mut deaf = Ended(shell.spawn().expect("a shell"));
    // It is deaf once it has said something.
    std::io::Read::read(deaf.0.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    fs::create_dir_all(desk.path("state/brains")).unwrap();
    let note = json!({
        "run": "run-1", "experiment": "shop", "brain": reference(deaf.0.id()), "through_sudo": true,
        "journal": desk.path("state/runs/run-1.jsonl"), "started": "2026-01-01T00:00:00Z"
    });
    fs::write(desk.path("state/brains/run-1"), note.to_string()).unwrap();
    desk.squall(&["status"]).is(0, &["run run-1 of shop", "sudo squall status"]);
    desk.squall(&["halt"]).is(6, &["run run-1 of shop", "still goes on", "sudo squall halt"]);
}

#[test]
fn a_log_that_was_cut_or_emptied_is_residue_with_a_way_out() {
    for rest in ["", "1234abcd {\"record\":\"op"] {
        let desk = Desk::new();
        desk.squall(&["status"]).is(0, &[]);
        let live = desk.path("state/live");
        fs::create_dir_all(&live).unwrap();
        fs::set_permissions(&live, fs::Permissions::from_mode(0o700)).unwrap();
        let log = live.join("cut-1.undo");
        fs::write(&log, rest).unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
        desk.squall(&["leftovers"]).is(1, &["owed: unknown, the log is damaged"]);
        let remedy = format!("`rm {}`", log.display());
        for _ in 0..2 {
            desk.squall(&["recover"]).is(6, &["kill -CONT PID", &remedy]);
        }
        assert!(log.exists());
    }
}
