//! The agent as a process: this test is its brain, over the stream that it was started on.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by them")]

use serde_json::{Value, json};
use squall_model::protocol::VERSION;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// For what must come and may take its time on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Agent {
    child: Child,
    calls: ChildStdin,
    answers: ChildStdout,
    warden: u64,
    folder: tempfile::TempDir,
}

impl Agent {
    fn start() -> Self {
        Self::run(Path::new(env!("CARGO_BIN_EXE_squall")))
    }

    fn run(program: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.args(["agent", "--state"]).arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (calls, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut agent = Self { child, calls, answers, warden: 0, folder };
        let hello = json!({"call": "hello", "version": VERSION, "run": "run-1", "lease": "5s"});
        let answer = agent.call(&hello);
        agent.warden = answer["Ok"]["warden"].as_u64().expect("a warden");
        agent
    }

    fn send(&mut self, call: &Value) {
        let body = json!({"number": 1, "call": call}).to_string();
        self.calls.write_all(&u32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
        self.calls.write_all(body.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> Value {
        let mut length = [0; 4];
        self.answers.read_exact(&mut length).unwrap();
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.answers.read_exact(&mut body).unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["answer"].take()
    }

    fn call(&mut self, call: &Value) -> Value {
        self.send(call);
        self.answer()
    }

    /// Numbers of its living children whose role is this.
    fn children(&self, role: &str) -> Vec<u64> {
        let agent = self.child.id();
        let listed = std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap();
        let plays = |pid: &u64| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).nth(1) == Some(role.as_bytes())
        };
        listed.split_whitespace().map(|pid| pid.parse().unwrap()).filter(plays).collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send_signal(pid: u64, signal: &str) {
    assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_halt_file_is_seen_though_the_brain_talks_without_a_pause() {
    let mut agent = Agent::start();
    let renew = json!({"call": "renew"});
    // There is always a call that waits.
    (0..8).for_each(|_| agent.send(&renew));
    std::fs::write(agent.folder.path().join("halt"), "").unwrap();
    let began = Instant::now();
    loop {
        agent.send(&renew);
        let answer = agent.answer();
        if answer["Err"]["kind"] == "halted" {
            break;
        }
        assert!(answer["Ok"]["live"].is_array(), "{answer}");
        assert!(began.elapsed() < PATIENCE, "the halt file is not seen");
    }
}

#[test]
fn agent_and_warden_have_precedence_over_what_they_are_to_undo() {
    let agent = Agent::start();
    // Field 19 of proc_pid_stat(5), counted after the name.
    let priority = |pid: u64| -> i32 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap()
    };
    let usual = priority(std::process::id().into());
    let (own, warden) = (priority(agent.child.id().into()), priority(agent.warden));
    if rustix::process::geteuid().is_root() {
        assert!(own < usual && warden == own, "{own} and {warden} against {usual}");
    } else {
        assert_eq!((own, warden), (usual, usual));
    }
}

#[test]
fn another_warden_takes_the_place_of_one_that_is_gone_though_the_program_was_replaced() {
    let program = Path::new(env!("CARGO_BIN_EXE_squall"));
    let link = program.with_file_name(format!("sqt-replaced-{}", std::process::id()));
    std::fs::hard_link(program, &link).unwrap();
    let agent = Agent::run(&link);
    std::fs::remove_file(&link).unwrap();
    send_signal(agent.warden, "KILL");
    wait_until("another warden", || agent.children("warden").iter().any(|warden| *warden != agent.warden));
}
