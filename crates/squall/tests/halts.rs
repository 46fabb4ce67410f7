//! `Halt` objects of a real cluster. While there is one, nothing of Squall's goes on in that cluster, no other test either: these
//! run by themselves.

#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "operator/stage.rs"]
mod stage;
mod support;

use serde_json::json;
use squall_kubernetes::{Deletion, wait};
use stage::{EXPERIMENT, HALT, RUN, Stage, holds};
use std::process::{Command, Stdio};
use support::{Ended, wait_until};

/// A halt that goes with the test, however it ends.
struct Halted<'s>(&'s Stage, String);

impl Drop for Halted<'_> {
    fn drop(&mut self) {
        let halt = HALT.named(None, &self.1);
        let _ = wait(self.0.lab.cluster.delete(&halt, &Deletion::default()));
    }
}

impl Stage {
    fn halt(&self) -> Halted<'_> {
        let halted = Halted(self, format!("test-{}", self.room));
        let halt = json!({"metadata": {"name": halted.1}, "spec": {"reason": "smoke"}});
        wait(self.lab.cluster.create(&HALT, None, &halt)).unwrap();
        halted
    }

    /// A run from the command line that scales `pay` down to one.
    fn run_here(&self) -> Command {
        let file = self.folder.path().join("less.yaml");
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: less\nmethod:\n  - fault: k8s.scale\n    \
             target: {{workload: {{namespace: {}, name: pay}}}}\n    with: {{replicas: 1}}\n    for: 10m\n",
            self.room
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(["run", "--yes"]).arg(file).stdin(Stdio::null());
        command.env("SQUALL_STATE", self.folder.path().join("here")).env("KUBECONFIG", &self.kubeconfig);
        command.env_remove("SQUALL_LOG");
        command
    }
}

#[test]
fn a_halt_stops_everything_and_lets_nothing_begin() {
    Stage::with("op-halt", 2, |stage| {
        let _operator = stage.operator("a");
        stage.make(&EXPERIMENT, "less", &Stage::scaling("10m"));
        wait_until(|| stage.replicas() == 1);
        let halted = stage.halt();
        let run = stage.until(&RUN, "less-1", |run| run["status"]["phase"] == "Finished");
        assert_eq!((stage.replicas(), &run["status"]["verdict"]), (2, &json!("aborted")), "{run}");
        assert!(run["status"]["reason"].as_str().unwrap().contains("smoke"), "{run}");
        let halt = || wait(stage.lab.cluster.get(&HALT.named(None, &halted.1))).unwrap().unwrap();
        wait_until(|| holds(&halt(), "Halted"));

        stage.make(&EXPERIMENT, "later", &Stage::scaling("3s"));
        let held = |object: &serde_json::Value| holds(object, "Waiting");
        stage.until(&EXPERIMENT, "later", held);
        assert!(stage.get(&RUN, "later-1").is_none());
        drop(halted);
        stage.until(&RUN, "later-1", |run| run["status"]["verdict"] == "passed");
    });
}

#[test]
fn a_halt_ends_what_goes_on_from_the_command_line_too() {
    Stage::with("halt-all", 2, |stage| {
        let log = stage.folder.path().join("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = stage.run_here();
        let mut run = Ended(command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap());
        wait_until(|| stage.replicas() == 1);
        let halted = stage.halt();
        let code = run.0.wait().unwrap().code();
        let words = std::fs::read_to_string(&log).unwrap();
        assert_eq!((stage.replicas(), code), (2, Some(4)), "{words}");
        assert!(words.contains(&format!("halted by Halt {}: smoke", halted.1)), "{words}");

        let refused = stage.run_here().output().unwrap();
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!((stage.replicas(), refused.status.code()), (2, Some(4)), "{words}");
        assert!(words.contains(&format!("halted by Halt {}: smoke", halted.1)), "{words}");
    });
}
