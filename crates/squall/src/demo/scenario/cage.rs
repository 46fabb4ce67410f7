//! A control group with a limit on memory for one service, taken away with its scenario, however that ends.

use squall_linux::sys::cgroup::{self, Controller, Version};
use squall_linux::sys::pidfd::Pidfd;
use squall_linux::sys::process;
use squall_model::step::Signal;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// What the keeper says once it watches.
const READY: u8 = b'1';
/// How long those who live in the group may take to end by themselves, and then by force.
const FAREWELL: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// As likely to be ended by the kernel as Squall's worker, so that the larger of the two is.
const LIKELIER: &str = "1000";

/// The group, and the process that takes it away when this one is gone.
pub(super) struct Cage {
    folder: PathBuf,
    keeper: Child,
}

impl Cage {
    /// Makes a group with so many bytes.
    ///
    /// # Errors
    /// Where there are no control groups for memory, or none may be made.
    pub(super) fn make(limit: u64) -> Result<Self, String> {
        let trees = cgroup::trees().map_err(|error| format!("could not find control groups: {error}"))?;
        let own = cgroup::of_process(std::process::id(), Controller::Memory, &trees).ok().flatten();
        let own = own.ok_or("this host has no control groups for memory; mount cgroup2 on /sys/fs/cgroup")?;
        let mut why = String::new();
        // Within our own group, or where version 2 does not let one with processes have groups, at the top.
        for parent in [&own.folder, &own.mount] {
            let folder = parent.join(format!("squall-scenario-{}", std::process::id()));
            // The keeper comes first: from its first moment the group has somebody who takes it away.
            let cage = Self { keeper: keeper(&folder)?, folder };
            match make(&cage.folder, own.version, limit) {
                Ok(()) => return Ok(cage),
                Err(error) => why = format!("{}: {error}", cage.folder.display()),
            }
        }
        Err(format!("could not make a control group with a limit on memory ({why}); it takes root"))
    }

    /// Moves a process into the group.
    pub(super) fn take_in(&self, pid: u32) -> io::Result<()> {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string())?;
        fs::write(format!("/proc/{pid}/oom_score_adj"), LIKELIER)
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Starts the keeper of a group that is not there yet.
fn keeper(folder: &Path) -> Result<Child, String> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("cage-keeper").arg(folder);
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut ready = [0];
    let told = started.and_then(|mut keeper| {
        let told = keeper.stdout.take().map_or(Ok(()), |mut stdout| stdout.read_exact(&mut ready));
        told.map(|()| keeper)
    });
    match told {
        Ok(keeper) if ready == [READY] => Ok(keeper),
        _ => Err("the keeper of the control group did not start".to_owned()),
    }
}

fn make(folder: &Path, version: Version, limit: u64) -> io::Result<()> {
    if let (Version::V2, Some(parent)) = (version, folder.parent()) {
        // Where it is on already, or may not be switched on, the limit's file tells.
        let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
    }
    fs::create_dir(folder)?;
    let (file, swap, least) = match version {
        Version::V1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", limit),
        Version::V2 => ("memory.max", "memory.swap.max", 0),
    };
    let limited = fs::write(folder.join(file), limit.to_string());
    if limited.is_err() {
        let _ = fs::remove_dir(folder);
    } else if folder.join(swap).exists() {
        // What is swapped out would not count.
        let _ = fs::write(folder.join(swap), least.to_string());
    }
    limited
}

/// `squall cage-keeper FOLDER`: waits for the end of standard input, and then takes the group away.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [folder] = arguments else { return ExitCode::FAILURE };
    // No terminal, and no signal meant for the scenario's group, reaches the keeper.
    let _ = rustix::process::setsid();
    let mut stdout = io::stdout().lock();
    if stdout.write_all(&[READY]).and_then(|()| stdout.flush()).is_err() {
        return ExitCode::FAILURE;
    }
    // What cannot be read any more has ended.
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    if take_away(Path::new(folder)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn take_away(folder: &Path) -> bool {
    for by_force in [false, true] {
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline {
            if fs::remove_dir(folder).is_ok() || !folder.exists() {
                return true;
            }
            if by_force {
                end_all(folder);
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
    false
}

fn end_all(folder: &Path) {
    let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in list.lines().filter_map(|line| line.parse().ok()) {
        if let Ok(Some(held)) = process::reference(pid).map(|one| Pidfd::open(&one).ok().flatten()) {
            let _ = held.send(Signal::Kill);
        }
    }
}
