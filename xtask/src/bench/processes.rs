//! What a benchmark starts and makes, ended and removed however it ends.

use crate::shell;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder of a benchmark's own, below `target/bench`.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Result<Self, String> {
        let folder = shell::root().join(format!("target/bench/sqt-{}", std::process::id()));
        fs::create_dir_all(&folder)
            .map_err(|error| format!("could not make {}: {error}", folder.display()))?;
        Ok(Self(folder))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and says where.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|error| format!("could not write {}: {error}", path.display()))?;
        Ok(path)
    }

    /// A command that runs in this folder, with a state folder of its own, its output thrown away.
    pub(super) fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).current_dir(&self.0).env("SQUALL_STATE", self.path("state"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of a folder below `target` harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that ends with the value.
pub(super) struct Owned(Child);

impl Owned {
    pub(super) fn start(command: &mut Command) -> Result<Self, String> {
        command.spawn().map(Self).map_err(|error| format!("could not start {command:?}: {error}"))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end, at most so long; whether it succeeded.
    pub(super) fn finish(&mut self, within: Duration) -> Result<bool, String> {
        let started = Instant::now();
        while started.elapsed() < within {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Ok(Some(status)) => return Ok(status.success()),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("process {} did not end within {} s", self.pid(), within.as_secs()))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        // A gentle end first: servers take their own processes along.
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if self.finish(Duration::from_secs(2)).is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// How long a command takes from its start to its end.
pub(super) fn time(command: &mut Command) -> Result<Duration, String> {
    let started = Instant::now();
    let status = command.status().map_err(|error| format!("could not start {command:?}: {error}"))?;
    let time = started.elapsed();
    if status.success() { Ok(time) } else { Err(format!("{command:?} ended with {status}")) }
}

/// What a command prints.
pub(super) fn output(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("could not start {command:?}: {error}"))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(format!("{command:?} ended with {status}: {}", String::from_utf8_lossy(&stderr).trim()))
}

/// Waits until something is so.
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > Duration::from_secs(20) {
            return Err(format!("waited in vain until {what}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
