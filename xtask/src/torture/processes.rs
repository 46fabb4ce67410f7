//! Processes as `/proc` shows them: read here again, so that Squall's own reading is not what judges Squall.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;

/// A living process that runs a program of the torture's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Name of the program's file.
    pub(super) program: String,
    /// The first word after the program: the role of a Squall; empty for one that is about to end.
    pub(super) role: String,
}

/// All that run a program of the folder. One that has ended and is not waited for yet is not living.
pub(super) fn of_folder(folder: &Path) -> Vec<Process> {
    let mut found: Vec<Process> = pids().into_iter().filter_map(|pid| read(pid, folder)).collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// The numbers of all processes.
fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn read(pid: u32, folder: &Path) -> Option<Process> {
    let program = match fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(executable) => executable.strip_prefix(folder).ok()?.to_string_lossy().into_owned(),
        // One that is about to end has a name still, and its files, but no memory and so no program any more.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            name(pid).filter(|name| folder.join(name).exists())?
        }
        Err(_) => return None,
    };
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let role = words.split(|byte| *byte == 0).nth(1).unwrap_or_default();
    let is_living = !matches!(state(pid)?, 'Z' | 'X');
    is_living.then(|| Process { pid, program, role: String::from_utf8_lossy(role).into_owned() })
}

/// The kernel's short name of a process.
fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// The letter of a process' state.
pub(super) fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it stands in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Names of all processes that this one can see, sorted, with how many there are of each.
pub(super) fn census() -> Vec<String> {
    let name = |pid: u32| {
        let living = state(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'));
        living.then(|| fs::read_to_string(format!("/proc/{pid}/comm")).ok()).flatten()
    };
    let mut names: Vec<String> =
        pids().into_iter().filter_map(name).map(|name| name.trim().to_owned()).collect();
    names.sort();
    names
}

/// Sends a signal; one that has ended meanwhile does not mind.
pub(super) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Ends every process that runs a program of the folder, stopped or not.
pub(super) fn end_all(folder: &Path) {
    for _ in 0..100 {
        let left = of_folder(folder);
        if left.is_empty() {
            return;
        }
        left.iter().for_each(|process| send(process.pid, Signal::KILL));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
