//! One run of the Squall under test, watched through its journal.

use super::arena::Arena;
use crate::shell;
use rustix::process::Signal;
use serde_json::{Value as Json, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A run that was started.
pub(super) struct Run {
    child: Child,
    journal: PathBuf,
    said: PathBuf,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exit(i32),
    Signal(i32),
}

impl Run {
    /// Starts `squall run` on a method. `prepare` may change the command.
    pub(super) fn start(
        arena: &Arena,
        method: &Json,
        lease: Duration,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self, String> {
        let path = |name: &str| arena.folder.join(name);
        let (file, journal, said) = (path("experiment.json"), path("journal.jsonl"), path("said.txt"));
        let experiment = json!({
            "apiVersion": "squall.dev/v1",
            "kind": "Experiment",
            "name": "torture",
            "hypothesis": "Whatever happens to Squall, nothing of it is left",
            "steady_state": [{"exec": {"command": ["true"]}, "expect": "exit_code == 0"}],
            "method": method,
            "baseline": "0s",
            "recovery": {"within": "10s"},
        });
        let in_folder = |error: std::io::Error| format!("{}: {error}", arena.folder.display());
        fs::write(&file, experiment.to_string()).map_err(in_folder)?;
        // The run of the case before wrote one too.
        let _ = fs::remove_file(&journal);
        let output = File::create(&said).map_err(in_folder)?;
        let lease = format!("{}s", lease.as_secs());
        let words = ["run", &file.to_string_lossy(), "--yes", "--no-color", "--lease", &lease, "--seed", "1"];
        let mut command = arena.command(&words);
        command.arg("--journal").arg(&journal);
        command.stdout(output.try_clone().map_err(in_folder)?).stderr(output);
        prepare(&mut command);
        let child = command.spawn().map_err(|error| format!("could not start squall: {error}"))?;
        Ok(Self { child, journal, said })
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How many events of a kind the journal has.
    pub(super) fn count(&self, event: &str) -> usize {
        let text = fs::read_to_string(&self.journal).unwrap_or_default();
        text.matches(&format!(r#""event":"{event}""#)).count()
    }

    /// How it ended; `None` while it goes on.
    pub(super) fn end(&mut self) -> Option<End> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.try_wait().ok()??;
        Some(status.code().map_or_else(|| End::Signal(status.signal().unwrap_or_default()), End::Exit))
    }

    /// The end of what it said, for a report.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.said).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(6)..].join(" ⏎ ");
        if last.is_empty() { "it said nothing".to_owned() } else { format!("it said: {last}") }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        super::processes::send(self.child.id(), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The binary under test: `SQUALL_BIN`, or a build with crash points.
pub(super) fn binary(release: bool) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("SQUALL_BIN") {
        return Ok(PathBuf::from(path));
    }
    let mut arguments = vec!["build", "--package", "squall", "--features", "failpoints", "--quiet"];
    arguments.extend(release.then_some("--release"));
    shell::run("squall with crash points", &mut shell::command("cargo", &arguments))?;
    Ok(shell::root().join("target").join(if release { "release" } else { "debug" }).join("squall"))
}

/// The names of all crash points, as the binary tells them; none where it was built without.
pub(super) fn crash_points(binary: &Path, state: &Path) -> Vec<String> {
    let mut command = Command::new(binary);
    command.args(["agent", "--state"]).arg(state).env("SQUALL_CRASH_AT", "?").stdin(Stdio::null());
    let said = command
        .output()
        .map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
        .unwrap_or_default();
    let known = said.split_once("known are ").map(|(_, names)| names.trim().to_owned()).unwrap_or_default();
    known.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
