//! The arena: everything that the torture makes to be struck, and takes away again.
//!
//! As root it lives in namespaces of its own (processes, mounts, network), so that nothing on the machine can be hit
//! and the kernel takes all of it away when the torture ends, however it ends. Elsewhere it is a folder and a herd of
//! victims; all programs that run are files of that folder, so they are found and ended by that.

use super::processes;
use super::snapshot::{self, Snapshot};
use crate::shell;
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Two network namespaces that are joined by a cable. The second one's end has a queueing discipline of its own.
pub(super) const NAMESPACES: [&str; 2] = ["sqt-near", "sqt-far"];
const ENDS: [&str; 2] = ["sqt0", "sqt1"];

/// Victims by name, and how many there are of each.
const VICTIMS: &[(&str, usize)] = &[("sqt-pause", 2), ("sqt-kill", 3)];

/// What is struck, and where it lives.
pub(super) struct Arena {
    pub(super) folder: PathBuf,
    /// Whether processes, mounts and networks of others are out of sight.
    pub(super) isolated: bool,
    pub(super) root: bool,
    pub(super) victims: Victims,
    /// All mounts before the first fault.
    pub(super) mounts: String,
    /// What everything else looked like before the first fault.
    pub(super) before: Snapshot,
}

impl Arena {
    /// Makes everything. The folder holds the binary already.
    pub(super) fn make(folder: &Path, isolated: bool) -> Result<Self, String> {
        let root = shell::is_root();
        if isolated {
            // Of our own: what is in them can be compared exactly, and goes with us.
            for place in ["/dev/shm", "/run/netns"] {
                fs::create_dir_all(place).map_err(|error| format!("could not make {place}: {error}"))?;
                tool("mount", &["-t", "tmpfs", "sqt", place])?;
            }
            let data = folder.join("data");
            fs::create_dir_all(&data)
                .map_err(|error| format!("could not make {}: {error}", data.display()))?;
            tool("mount", &["-t", "tmpfs", "-o", "size=8m", "sqt", &data.to_string_lossy()])?;
            tool("ip", &["link", "set", "lo", "up"])?;
            make_network()?;
        }
        let victims = Victims::start(folder)?;
        let mut arena = Self {
            folder: folder.to_owned(),
            isolated,
            root,
            victims,
            mounts: snapshot::mounts(),
            before: Snapshot::default(),
        };
        arena.renew_state()?;
        arena.before = Snapshot::take(&mut arena);
        Ok(arena)
    }

    pub(super) fn squall(&self) -> PathBuf {
        self.folder.join("squall")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// A small file system to be filled, where there is one.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A command of the Squall under test.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.squall());
        command.args(arguments).env("SQUALL_STATE", self.state()).env_remove("SQUALL_CRASH_AT");
        command.stdin(Stdio::null());
        command
    }

    /// An empty state folder in place of the one before.
    pub(super) fn renew_state(&self) -> Result<(), String> {
        let state = self.state();
        if state.exists() {
            fs::remove_dir_all(&state)
                .map_err(|error| format!("could not empty {}: {error}", state.display()))?;
        }
        fs::create_dir(&state).map_err(|error| format!("could not make {}: {error}", state.display()))
    }

    /// Makes everything as it was at first, whatever a failed case has left.
    pub(super) fn mend(&mut self) -> Result<(), String> {
        self.victims.end();
        processes::end_all(&self.folder);
        while self.isolated && tool("umount", &[&self.state().to_string_lossy()]).is_ok() {}
        if self.isolated {
            for namespace in NAMESPACES {
                // One that is not there is what we want.
                let _ = tool("ip", &["netns", "del", namespace]);
            }
            make_network()?;
        }
        self.victims = Victims::start(&self.folder)?;
        self.renew_state()?;
        let left = Snapshot::take(self).differences(&self.before);
        if left.is_empty() { Ok(()) } else { Err(format!("could not mend the arena: {}", left.join("; "))) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.victims.end();
        processes::end_all(&self.folder);
    }
}

fn make_network() -> Result<(), String> {
    for namespace in NAMESPACES {
        tool("ip", &["netns", "add", namespace])?;
    }
    let [near, far] = NAMESPACES;
    let [near_end, far_end] = ENDS;
    let cable =
        ["link", "add", near_end, "netns", near, "type", "veth", "peer", "name", far_end, "netns", far];
    tool("ip", &cable)?;
    for (number, (namespace, end)) in NAMESPACES.iter().zip(ENDS).enumerate() {
        let (v4, v6) = (format!("10.83.0.{}/24", number + 1), format!("fd83::{}/64", number + 1));
        tool("ip", &["-n", namespace, "address", "add", &v4, "dev", end])?;
        tool("ip", &["-n", namespace, "address", "add", &v6, "dev", end, "nodad"])?;
        tool("ip", &["-n", namespace, "link", "set", end, "up"])?;
        tool("ip", &["-n", namespace, "link", "set", "lo", "up"])?;
    }
    tool("tc", &["-n", far, "qdisc", "add", "dev", far_end, "root", "handle", "7:", "pfifo", "limit", "77"])
}

/// Runs a program that must succeed.
pub(super) fn tool(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("could not start {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {} ended with {}: {}", arguments.join(" "), output.status, said.trim()))
}

/// Processes that sleep, each in a place of its own that is filled again when it dies.
pub(super) struct Victims {
    folder: PathBuf,
    places: Vec<(&'static str, Child)>,
    /// How many have died so far.
    pub(super) deaths: usize,
}

impl Victims {
    fn start(folder: &Path) -> Result<Self, String> {
        let mut victims = Self { folder: folder.to_owned(), places: Vec::new(), deaths: 0 };
        for (name, count) in VICTIMS {
            let program = folder.join(name);
            if !program.exists() {
                let copied = fs::copy("/bin/sleep", &program);
                copied.map_err(|error| format!("could not make victim {}: {error}", program.display()))?;
            }
            for _ in 0..*count {
                let child = victims.spawn(name)?;
                victims.places.push((name, child));
            }
        }
        Ok(victims)
    }

    fn spawn(&self, name: &str) -> Result<Child, String> {
        let mut command = Command::new(self.folder.join(name));
        command.arg("100000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(|error| format!("could not start victim {name}: {error}"))
    }

    /// Puts a new one in the place of each that has died.
    pub(super) fn tend(&mut self) {
        for place in 0..self.places.len() {
            if let Ok(Some(_)) = self.places[place].1.try_wait() {
                self.deaths += 1;
                if let Ok(child) = self.spawn(self.places[place].0) {
                    self.places[place].1 = child;
                }
            }
        }
    }

    /// How many of each there are, and how many of those are stopped.
    pub(super) fn look(&self) -> String {
        let look = |name: &str| {
            let states = self
                .places
                .iter()
                .filter(|(other, _)| *other == name)
                .map(|(_, child)| processes::state(child.id()));
            let states: Vec<char> = states.flatten().filter(|state| !matches!(state, 'Z' | 'X')).collect();
            let stopped = states.iter().filter(|state| matches!(state, 'T' | 't')).count();
            format!("{} {name}, {stopped} stopped", states.len())
        };
        VICTIMS.iter().map(|(name, _)| look(name)).collect::<Vec<_>>().join("; ")
    }

    /// Continues those that are stopped.
    pub(super) fn resume(&self) {
        self.places.iter().for_each(|(_, child)| processes::send(child.id(), Signal::CONT));
    }

    fn end(&mut self) {
        for (_, mut child) in self.places.drain(..) {
            processes::send(child.id(), Signal::KILL);
            // A stopped process dies of SIGKILL all the same.
            let _ = child.wait();
        }
    }
}
