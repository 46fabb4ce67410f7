//! `squall limit`: where a hypothesis about free space breaks, found on a small file system of the test's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/disk.rs"]
mod disk;

use disk::Disk;
use serde_json::Value;
use std::fs;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A folder with an experiment, and a small file system mounted on `data`.
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
        let disk = Disk::mount(&data, "16m")?;
        let path = data.display();
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: space\nbaseline: 0s\nsteady_state:\n  \
             - exec: {{command: [\"sh\", \"-c\", \"[ $(df -B1 --output=avail {path} | tail -1) -gt 8000000 ]\"]}}\n    \
             expect: exit_code == 0\nmethod:\n  - fault: disk.fill\n    target: {{path: \"{path}\"}}\n    \
             with: {{size: 1MiB}}\n    for: 1s\n"
        );
        fs::write(folder.path().join("space.yaml"), text).unwrap();
        Some(Self { _disk: disk, folder })
    }

    fn limit(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command
            .args(["limit", "space.yaml", "--json"])
            .args(more)
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
            .env("SQUALL_STATE", self.folder.path().join("state"))
            .env_remove("SQUALL_LOG")
            .output()
            .unwrap()
    }
}

#[test]
fn the_breaking_point_lies_between_what_held_and_what_did_not() {
    let Some(desk) = Desk::new() else { return };
    let found = desk.limit(&["--search", "size", "--from", "1MiB", "--to", "13MiB", "--steps", "6"]);
    let errors = String::from_utf8_lossy(&found.stderr).into_owned();
    assert_eq!(found.status.code(), Some(0), "{errors}");
    let told: Value = serde_json::from_slice(&found.stdout).unwrap();
    // 16 MiB with 8 MB free: 8777216 bytes may be taken.
    assert_eq!((&told["held_up_to"], &told["broke_at"]), (&"7936KiB".into(), &"8704KiB".into()), "{told}");
    assert_eq!(told["runs"].as_array().unwrap().len(), 6);
    assert_eq!(told["warning"], Value::Null);
    // With less room it breaks where it held, and that is said.
    fs::write(desk.folder.path().join("data/more"), vec![7; 4 << 20]).unwrap();
    let found = desk.limit(&["--search", "size", "--from", "1MiB", "--to", "9MiB", "--steps", "4"]);
    let less: Value = serde_json::from_slice(&found.stdout).unwrap();
    let warning = less["warning"].as_str().unwrap_or_default();
    assert!(warning.contains("it held up to 7936KiB"), "{less}");
    let journals = fs::read_dir(desk.folder.path().join("state/runs")).unwrap().count();
    assert_eq!(journals, 10);
}

#[test]
fn what_cannot_be_searched_is_refused_and_trouble_ends_the_search() {
    let Some(desk) = Desk::new() else { return };
    for (more, says) in [
        (["--search", "delay", "--from", "1ms", "--to", "2ms"], "no fault of the experiment"),
        (["--search", "size", "--from", "1MiB", "--to", "2s"], "no two values of one kind"),
        (["--search", "size", "--from", "much", "--to", "2MiB"], "is no quantity"),
    ] {
        let refused = desk.limit(&more);
        let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && errors.contains(says), "{errors}");
        assert!(!desk.folder.path().join("state/runs").exists());
    }
    // The second try asks for more than there is.
    let ended = desk.limit(&["--search", "size", "--from", "1MiB", "--to", "100MiB"]);
    assert_eq!(ended.status.code(), Some(2));
    let told: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&told["held_up_to"], &told["broke_at"]), (&"1MiB".into(), &Value::Null), "{told}");
    let warning = told["warning"].as_str().unwrap_or_default();
    assert!(warning.contains("did not come to its end") && warning.contains("is not known"), "{told}");
    // Of each value alone the report says how to try it again.
    let again = |path: std::path::PathBuf| {
        let journal = fs::read_to_string(path).unwrap();
        let begun: Value = serde_json::from_str(journal.lines().next().unwrap()).unwrap();
        let words: Vec<String> = serde_json::from_value(begun["options"].clone()).unwrap();
        words.join(" ")
    };
    let runs = fs::read_dir(desk.folder.path().join("state/runs")).unwrap().flatten();
    let again: Vec<String> = runs.map(|entry| again(entry.path())).collect();
    let first = "limit space.yaml --search size --from 1MiB --to 100MiB --steps 1 --seed ";
    assert!(again.iter().any(|command| command.starts_with(first)), "{again:?}");
}
