//! The facilitator's screen, in a terminal of 80 by 24.

use crate::lab::{Desk, Shop, until};
use std::process::{Command, Stdio};

/// A terminal multiplexer of the test's own.
struct Terminal(String);

impl Terminal {
    /// None where there is no such program here.
    fn open(desk: &Desk, command: &str) -> Option<Self> {
        let socket = desk.path("tmux").display().to_string();
        let terminal = Self(socket);
        let status = terminal
            .tmux(&["-f", "/dev/null", "new-session", "-d", "-s", "day", "-x", "80", "-y", "24", command])
            .stderr(Stdio::null())
            .status()
            .ok()?;
        status.success().then_some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.0).args(arguments).stdin(Stdio::null());
        command
    }

    fn shown(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-t", "day"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[track_caller]
    fn see(&self, words: &str) -> String {
        until(&format!("{words} on\n{}", self.shown()), || {
            let shown = self.shown();
            shown.contains(words).then_some(shown)
        })
    }

    fn press(&self, keys: &str) {
        assert!(self.tmux(&["send-keys", "-t", "day", "-l", keys]).status().unwrap().success());
    }

    fn enter(&self) {
        assert!(self.tmux(&["send-keys", "-t", "day", "Enter"]).status().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_facilitator_leads_a_day_from_a_small_terminal() {
    let desk = Desk::new();
    let shop = Shop::open(&desk, &["--fixed"]);
    let variables = desk.set_plan(&shop, None);
    let command = format!(
        "SQUALL_STATE={} exec {} gameday run {} --baseline 2s --observe 8s --var lasts=6s {}",
        desk.path("state").display(),
        env!("CARGO_BIN_EXE_squall"),
        desk.path("database-failure.md").display(),
        variables.join(" ")
    );
    // The shell stays, so that the end can be seen.
    let command = format!("sh -c '{}; echo exit code $?; sleep 60'", command.replace("exec ", ""));
    let Some(terminal) = Terminal::open(&desk, &command) else {
        println!("skipped: there is no tmux here");
        return;
    };
    // What would be touched is shown before anything else.
    let shown = terminal.see("Begin the game day?");
    assert!(shown.contains("SIGSTOP"), "{shown}");
    terminal.press("y");
    terminal.enter();

    let shown = terminal.see("ledger-hangs?");
    for words in
        ["▶ 1 Verify", "turn: Bob Johnson", "error rate", "< 1 %", "steady state", "✓ database", "h HALT"]
    {
        assert!(shown.contains(words), "{words} is not on\n{shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80) && shown.lines().count() <= 24, "{shown}");
    terminal.press("n");
    terminal.press("the cache is cöld; go, halt, quit");
    assert!(terminal.see("cöld").contains("Enter keeps it"));
    terminal.enter();
    terminal.see("Note: the cache is cöld; go, halt, quit");
    terminal.press("g");
    terminal.see("go, with a remark or none:");
    terminal.enter();
    let shown = terminal.see("process.pause on");
    terminal.press("g");
    terminal.see("nothing waits for a go; h halts the day");
    assert!(shown.contains("active") && shown.contains("▶ 3 Observe"), "{shown}");
    terminal.press("f");
    terminal.press("Add a runbook; Bob Johnson; 2026-12-15");
    terminal.enter();
    terminal.see("Follow-up: Add a runbook (Bob Johnson, due 2026-12-15)");
    terminal.see("the analysis?");
    terminal.press("g");
    terminal.enter();
    assert!(terminal.see("Was this met? All alerts fire correctly").contains("y met"));
    terminal.press("y");
    terminal.press("the pager rang");
    terminal.enter();
    terminal.see("ends the day");
    terminal.press("g");
    terminal.enter();
    // The terminal is given back, with the end in a few lines.
    let shown = terminal.see("exit code");
    assert!(shown.contains("the pager rang") && shown.contains("Add a runbook"), "{shown}");
    assert_eq!(desk.outcome("All alerts fire"), "met");
    assert!(!shop.is_stopped("ledger"));
}
