//! `SQUALL_LOG`: what operators see of brain, agent and warden when they ask, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::process::{Child, Command, Stdio};

const SECRET: &str = "hunter2-and-more";

struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Standard error of a run whose probe knows a secret.
fn errors_of_a_run(log: Option<&str>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let victim = Victim(Command::new("sleep").arg("61.53125").spawn().unwrap());
    let text = format!(
        "apiVersion: squall.dev/v1\nkind: Experiment\nname: pause\n\
         variables: {{key: {{env: THE_KEY, secret: true}}}}\nsteady_state:\n  \
         - exec: {{command: [sh, -c, \"echo ${{key}}; echo ${{key}} >&2\"]}}\n    expect: exit_code == 0\n\
         method:\n  - fault: process.pause\n    target: {{process: {{pid: {}}}}}\n    for: 1s\n",
        victim.0.id()
    );
    fs::write(folder.path().join("pause.yaml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(["run", "pause.yaml", "--yes", "--no-color"]).current_dir(folder.path());
    command.env("SQUALL_STATE", folder.path().join("state")).env("THE_KEY", SECRET).stdin(Stdio::null());
    command.env_remove("SQUALL_LOG").envs(log.map(|filter| ("SQUALL_LOG", filter)));
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}\n{}", String::from_utf8_lossy(&output.stdout));
    errors
}

#[test]
fn what_is_asked_for_is_told_without_secrets() {
    let told = errors_of_a_run(Some("trace"));
    for words in [
        "frame in number=1 call=\"hello\"",
        "call=\"inject\"",
        "a warden watches",
        "kind=\"signal\" applied=true",
        "outcome=\"undone\"",
        "probe list=SteadyState",
        "answered=true",
        "the agent ended",
        "journal entry=",
    ] {
        assert!(told.contains(words), "{words:?} is not in:\n{told}");
    }
    assert!(!told.contains(SECRET), "{told}");
}

#[test]
fn nothing_is_told_that_is_not_asked_for() {
    assert_eq!(errors_of_a_run(None), "");
    assert_eq!(errors_of_a_run(Some("")), "");
    let steps = errors_of_a_run(Some("squall_engine::hands=info"));
    assert!(steps.contains("applied=true") && !steps.contains("frame"), "{steps}");
    let wrong = errors_of_a_run(Some("squall=loud"));
    assert!(wrong.contains("SQUALL_LOG") && wrong.contains("no filter"), "{wrong}");
}
