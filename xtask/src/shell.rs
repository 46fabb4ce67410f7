//! Running other programs, and telling what is run.

use crate::Outcome;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// A command in the project's root.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command to its end, says how long it took, and fails where it failed.
pub(crate) fn run(title: &str, command: &mut Command) -> Outcome {
    timed(title, command, Command::status)
}

/// The same for a way of running it.
pub(crate) fn timed(
    title: &str,
    command: &mut Command,
    how: impl FnOnce(&mut Command) -> io::Result<ExitStatus>,
) -> Outcome {
    eprintln!("── {title}");
    let started = Instant::now();
    let status = how(command).map_err(|error| format!("{title}: could not run {command:?}: {error}"))?;
    eprintln!(
        "── {title}: {} after {:.1} s",
        if status.success() { "ok" } else { "FAILED" },
        started.elapsed().as_secs_f64()
    );
    if status.success() { Ok(()) } else { Err(format!("{title}: {command:?} ended with {status}")) }
}

/// Whether a program can be found.
pub(crate) fn has(program: &str) -> bool {
    let found = |folder: PathBuf| folder.join(program).is_file();
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(found))
        || ["/usr/sbin", "/sbin"].iter().any(|folder| found(PathBuf::from(folder)))
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}
