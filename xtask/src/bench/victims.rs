//! Processes to strike: they sleep, and carry a name that nothing else on the machine has.

use super::processes::{Owned, wait_until};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Some sleeping processes, ended with the value.
pub(super) struct Victims {
    name: String,
    processes: Vec<Owned>,
}

impl Victims {
    pub(super) fn start(count: usize) -> Result<Self, String> {
        let name = format!("sqt-bench-victim-{}", std::process::id());
        let start = || {
            let mut command = Command::new("sleep");
            command.arg0(&name).arg("600").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Owned::start(&mut command)
        };
        let processes = (0..count).map(|_| start()).collect::<Result<_, _>>()?;
        let victims = Self { name, processes };
        wait_until("the victims sleep", || victims.all(|state| state == 'S'))?;
        Ok(victims)
    }

    /// The target of an experiment that strikes all of them.
    pub(super) fn target(&self) -> String {
        format!("{{process: {{cmdline: {}}}}}", self.name)
    }

    /// Whether all are in such a state, as the kernel shows it.
    pub(super) fn all(&self, is_so: impl Fn(char) -> bool) -> bool {
        self.processes.iter().all(|process| state(process.pid()).is_some_and(&is_so))
    }
}

/// The letter of a process' state.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it stands in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}
