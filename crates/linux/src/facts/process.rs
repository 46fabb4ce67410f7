//! Processes that a target names, and which of them may be struck.
//!
//! Three kinds are told apart. *Never* struck, however they are named: process 1, threads of the kernel, Squall itself
//! (agent, warden, workers, the brain) and whatever started it (shell, `sudo`, SSH session). *Protected*, struck only
//! if named by their number: what a host or its containers hang on. All others are free.
//!
//! A name or pattern passes over what is never struck; if nothing else matches, or a number names it, that is an error
//! which says why. Protected processes are listed with the reason in [`ProcessFacts::protected`] unless named by number;
//! whoever plans must leave those out.

use crate::step::failed;
use crate::step::worker::{Program, ROLE};
use crate::sys::cgroup::{self, Controller, Tree};
use crate::sys::process::{self, Stat};
use squall_model::facts::{MemoryLimit, ProcessFacts, Subject};
use squall_model::machine::MachineError;
use squall_model::target::ProcessSelector;
use squall_model::units::Size;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

/// Command lines are cut for plans after as many characters.
const LONGEST_COMMAND: usize = 160;

/// Programs that a host or its containers hang on, by the kernel's short name; a `*` stands for any ending.
const PROTECTED: [(&str, &str); 15] = [
    ("systemd*", "it is part of the system's service manager"),
    ("init", "it is the system's first process"),
    ("dbus-*", "services of the system speak to each other over it"),
    ("sshd*", "people are connected to this host through it"),
    ("NetworkManager", "it keeps this host's network"),
    ("dockerd", "it is the container runtime"),
    ("containerd*", "it is the container runtime"),
    ("docker-proxy", "it is part of the container runtime"),
    ("crio", "it is the container runtime"),
    ("runc*", "it is the container runtime"),
    ("conmon", "it is part of the container runtime"),
    ("podman", "it is the container runtime"),
    ("kubelet", "Kubernetes runs this host through it"),
    ("kube-*", "it is part of Kubernetes"),
    ("k3s*", "it is part of Kubernetes"),
];

/// Subcommands under which Squall itself runs, beside its workers. Programs of the demo are run from the same file and are
/// free.
const OWN_ROLES: [&str; 8] = ["agent", "warden", "run", "limit", "scenario", "recover", "serve", "operator"];

/// Processes of a selector that may be struck, lowest number first. Empty where nothing matches.
pub fn strikeable(selector: &ProcessSelector) -> Result<Vec<ProcessFacts>, MachineError> {
    let snapshot = Snapshot::take()?;
    let by_number = selector.pid.is_some();
    let mut never = Vec::new();
    let mut found = Vec::new();
    for stat in snapshot.matching(selector)? {
        if let Some(why) = snapshot.never(&stat) {
            never.push(format!("{} (pid {}) {why}", stat.name, stat.pid));
        } else {
            let protected = if by_number { None } else { protected(&stat) };
            found.extend(snapshot.facts(&stat, protected));
        }
    }
    match never.first() {
        Some(why) if found.is_empty() => Err(MachineError::Refused {
            message: format!("could not take process {selector} as the target: {why}, and is never struck"),
        }),
        _ => Ok(found),
    }
}

/// Processes of a selector whatever they are, for what strikes their surroundings and not them.
pub fn matching(selector: &ProcessSelector) -> Result<Vec<ProcessFacts>, MachineError> {
    let snapshot = Snapshot::take()?;
    let found = snapshot.matching(selector)?;
    Ok(found
        .iter()
        .filter_map(|stat| {
            let why = snapshot.never(stat).map(str::to_owned).or_else(|| protected(stat));
            snapshot.facts(stat, why)
        })
        .collect())
}

/// Processes of a selector, those in the same control groups together.
pub(crate) fn by_control_groups(selector: &ProcessSelector) -> Result<Vec<Subject>, MachineError> {
    let mut groups: BTreeMap<Vec<String>, Vec<ProcessFacts>> = BTreeMap::new();
    for process in strikeable(selector)? {
        groups.entry(process.cgroups.clone()).or_default().push(process);
    }
    Ok(groups.into_values().map(|processes| Subject::Resource { processes }).collect())
}

/// All processes at one moment, and what is needed to judge them.
pub(super) struct Snapshot {
    pub(super) processes: Vec<Stat>,
    pub(super) trees: Vec<Tree>,
    own: u32,
    own_groups: Vec<PathBuf>,
    ancestors: BTreeSet<u32>,
    program: Program,
    /// By network namespace: which TCP ports are listened on, by the inode of the socket.
    listening: RefCell<HashMap<PathBuf, HashMap<u64, u16>>>,
}

impl Snapshot {
    pub(super) fn take() -> Result<Self, MachineError> {
        let list = process::all().map_err(|error| failed("list the processes", &error))?;
        let processes =
            list.into_iter().filter_map(|pid| process::stat(pid).ok()).filter(|stat| !stat.ended());
        let own = std::process::id();
        let trees = cgroup::trees().unwrap_or_default();
        Ok(Self {
            processes: processes.collect(),
            own,
            own_groups: groups_of(own, &trees).into_iter().map(|group| group.folder).collect(),
            trees,
            ancestors: process::ancestors(own).iter().map(|stat| stat.pid).collect(),
            program: Program::of(Path::new("/proc/self/exe")),
            listening: RefCell::default(),
        })
    }

    fn matching(&self, selector: &ProcessSelector) -> Result<Vec<Stat>, MachineError> {
        if selector.is_empty() {
            return Err(MachineError::Refused {
                message: "could not choose processes: give at least one of name, pid, port, cgroup, cmdline"
                    .into(),
            });
        }
        if let Some(pid) = selector.pid
            && let Ok(status) = process::status(pid)
            && status.thread_group != pid
        {
            let message = format!(
                "could not take pid {pid} as the target: it is a thread of process {}; name that",
                status.thread_group
            );
            return Err(MachineError::NotFound { message });
        }
        Ok(self.processes.iter().filter(|stat| self.matches(stat, selector)).cloned().collect())
    }

    fn matches(&self, stat: &Stat, selector: &ProcessSelector) -> bool {
        let words = || process::command_line(stat.pid).unwrap_or_default();
        let pid = selector.pid.is_none_or(|pid| pid == stat.pid);
        let name = || selector.name.as_ref().is_none_or(|name| goes_by(stat, name, &words()));
        let text = || selector.cmdline.as_ref().is_none_or(|text| words().join(" ").contains(text.as_str()));
        let group = || {
            selector.cgroup.as_ref().is_none_or(|wanted| {
                let paths = cgroup::paths(stat.pid).unwrap_or_default();
                paths.iter().any(|path| path.contains(wanted.as_str()))
            })
        };
        let port = || selector.port.is_none_or(|port| self.listens(stat.pid).contains(&port));
        // The dearest question last. A pattern never means a thread of the kernel; its number may, to be refused.
        (selector.pid.is_some() || !stat.kernel_thread) && pid && name() && text() && group() && port()
    }

    /// Why a process is never struck, if so.
    pub(super) fn never(&self, stat: &Stat) -> Option<&'static str> {
        let role = || process::command_line(stat.pid).ok().and_then(|words| words.get(1).cloned());
        if stat.pid == 1 {
            Some("is the first process, which all others hang on")
        } else if stat.kernel_thread {
            Some("is a thread of the kernel")
        } else if stat.pid == self.own {
            Some("is Squall itself")
        } else if self.ancestors.contains(&stat.pid) {
            Some("started Squall")
        } else if self.program.is_run_by(stat.pid)
            && role().is_some_and(|role| role == ROLE || OWN_ROLES.contains(&role.as_str()))
        {
            Some("is Squall itself")
        } else {
            None
        }
    }

    /// Whether a process is a worker of Squall's. It is never struck either, but what it is in may be: it was moved there by a
    /// fault, and Squall does not hang on it.
    pub(super) fn is_worker(&self, stat: &Stat) -> bool {
        let is_its_role = |words: Vec<String>| words.get(1).is_some_and(|role| role == ROLE);
        stat.pid != self.own
            && self.program.is_run_by(stat.pid)
            && process::command_line(stat.pid).is_ok_and(is_its_role)
    }

    pub(super) fn facts(&self, stat: &Stat, protected: Option<String>) -> Option<ProcessFacts> {
        // One that ended since the snapshot is left out.
        let status = process::status(stat.pid).ok()?;
        let groups = groups_of(stat.pid, &self.trees);
        let memory = cgroup::of_process(stat.pid, Controller::Memory, &self.trees).ok().flatten();
        let limit = memory.as_ref().and_then(cgroup::memory_use);
        let own = groups.iter().filter(|group| !group.is_root() && !self.own_groups.contains(&group.folder));
        let folders: BTreeSet<String> =
            own.map(|group| group.folder.to_string_lossy().into_owned()).collect();
        Some(ProcessFacts {
            process: stat.reference(),
            command: shortened(&process::command_line(stat.pid).unwrap_or_default().join(" ")),
            user: status.user,
            state: stat.state,
            listens: self.listens(stat.pid).into_iter().collect(),
            cgroups: folders.into_iter().collect(),
            processors: process::processors(stat.pid).unwrap_or_default(),
            memory: limit.map(|memory| MemoryLimit { limit: Size(memory.limit), used: Size(memory.used) }),
            children: self.children(stat).map(Stat::reference).collect(),
            protected,
        })
    }

    fn children(&self, of: &Stat) -> impl Iterator<Item = &Stat> {
        let parent = of.pid;
        self.processes.iter().filter(move |stat| stat.parent == parent)
    }

    /// TCP ports that a process listens on; none where its files cannot be looked at.
    fn listens(&self, pid: u32) -> BTreeSet<u16> {
        let (Ok(sockets), Ok(namespace)) =
            (process::sockets(pid), std::fs::read_link(format!("/proc/{pid}/ns/net")))
        else {
            return BTreeSet::new();
        };
        if sockets.is_empty() {
            return BTreeSet::new();
        }
        let mut listening = self.listening.borrow_mut();
        let ports = listening.entry(namespace).or_insert_with(|| listening_sockets(pid));
        sockets.iter().filter_map(|inode| ports.get(inode).copied()).collect()
    }
}

/// Whether a process goes by a name: the kernel's short one, that of its program's file, or what it was called as.
fn goes_by(stat: &Stat, name: &str, words: &[String]) -> bool {
    let last_part =
        |path: &str| path.rsplit('/').next().unwrap_or_default().trim_end_matches(" (deleted)").to_owned();
    stat.name == name
        || words.first().is_some_and(|word| last_part(word) == name)
        || process::executable(stat.pid).is_ok_and(|path| last_part(&path.to_string_lossy()) == name)
}

/// Why a process is struck only if it is named by its number, if so.
pub(super) fn protected(stat: &Stat) -> Option<String> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => stat.name.starts_with(beginning),
        None => stat.name == pattern,
    };
    let (_, why) = PROTECTED.iter().find(|(pattern, _)| fits(pattern))?;
    Some((*why).to_owned())
}

fn groups_of(pid: u32, trees: &[Tree]) -> Vec<cgroup::Group> {
    let group = |controller| cgroup::of_process(pid, controller, trees).ok().flatten();
    [Controller::Cpu, Controller::Memory].into_iter().filter_map(group).collect()
}

/// Sockets that listen for TCP in the network namespace of a process, by inode. Lines of `/proc/PID/net/tcp`:
/// `0: 0100007F:1F90 00000000:0000 0A … INODE …`, state `0A` is LISTEN.
fn listening_sockets(pid: u32) -> HashMap<u64, u16> {
    let mut found = HashMap::new();
    for table in ["tcp", "tcp6"] {
        let text: io::Result<String> = std::fs::read_to_string(format!("/proc/{pid}/net/{table}"));
        // A kernel without IPv6 has no second table.
        for line in text.unwrap_or_default().lines().skip(1) {
            found.extend(parse_listening(line));
        }
    }
    found
}

fn parse_listening(line: &str) -> Option<(u64, u16)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (*state == "0A").then_some((inode.parse().ok()?, port))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_COMMAND) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::tests::{Victim, wait_until};

    fn pids(selector: &ProcessSelector) -> Vec<u32> {
        strikeable(selector).unwrap().iter().map(|found| found.process.pid).collect()
    }

    fn refusal(selector: &ProcessSelector) -> String {
        match strikeable(selector).unwrap_err() {
            MachineError::Refused { message } => message,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_process_is_found_by_name_command_line_and_number() {
        let victim = Victim::start("sleep", &["61.0625"]);
        wait_until(|| process::stat(victim.pid()).is_ok_and(|stat| stat.name == "sleep"));
        let by_text = ProcessSelector { cmdline: Some("sleep 61.0625".into()), ..Default::default() };
        assert_eq!(pids(&by_text), [victim.pid()]);
        let by_name = ProcessSelector { name: Some("sleep".into()), ..Default::default() };
        assert!(pids(&by_name).contains(&victim.pid()));
        let by_all = ProcessSelector { pid: Some(victim.pid()), ..by_name.clone() };
        let found = strikeable(&by_all).unwrap();
        assert_eq!((found[0].command.as_str(), found[0].state), ("sleep 61.0625", 'S'));
        let contradictory =
            ProcessSelector { pid: Some(victim.pid()), name: Some("dd".into()), ..Default::default() };
        assert_eq!(pids(&contradictory), [0; 0]);
    }

    #[test]
    fn a_process_is_found_by_the_port_that_it_listens_on() {
        let program = "import socket,sys,time
s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen(); open(sys.argv[1],'w').write(str(s.getsockname()[1])); time.sleep(60)";
        let file = tempfile::NamedTempFile::new().unwrap();
        let victim = Victim::start("python3", &["-c", program, file.path().to_str().unwrap()]);
        let port = || std::fs::read_to_string(file.path()).ok()?.parse::<u16>().ok();
        wait_until(|| port().is_some());
        let selector = ProcessSelector { port: port(), ..Default::default() };
        let found = strikeable(&selector).unwrap();
        assert_eq!(found.len(), 1);
        // `python3` may be a wrapper that starts another.
        let family = process::ancestors(found[0].process.pid);
        assert!(found[0].process.pid == victim.pid() || family.iter().any(|stat| stat.pid == victim.pid()));
        assert_eq!(found[0].listens, [port().unwrap()]);
    }

    #[test]
    fn squall_its_starters_and_the_first_process_are_never_struck() {
        for pid in [std::process::id(), std::os::unix::process::parent_id(), 1] {
            let message = refusal(&ProcessSelector { pid: Some(pid), ..Default::default() });
            assert!(message.contains("never struck"), "{message}");
        }
        let own = process::own().unwrap().name;
        let by_name = ProcessSelector { name: Some(own), cmdline: None, ..Default::default() };
        match strikeable(&by_name) {
            Ok(others) => assert!(others.iter().all(|found| found.process.pid != std::process::id())),
            Err(error) => assert!(error.to_string().contains("Squall itself"), "{error}"),
        }
        assert!(refusal(&ProcessSelector::default()).contains("at least one"));
    }

    #[test]
    fn the_pillars_of_a_host_are_protected_by_name() {
        let stat = |name: &str| Stat {
            pid: 77,
            name: name.into(),
            state: 'S',
            parent: 1,
            session: 77,
            start_time: 1,
            kernel_thread: false,
            exiting: false,
        };
        for name in ["sshd", "systemd-journal", "containerd-shim", "dockerd", "kubelet"] {
            assert!(protected(&stat(name)).is_some(), "{name}");
        }
        for name in ["postgres", "initdb", "sleep"] {
            assert_eq!(protected(&stat(name)), None);
        }
    }

    #[test]
    fn threads_are_not_processes() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || receiver.recv());
        let own = std::process::id();
        let tasks = std::fs::read_dir(format!("/proc/{own}/task")).unwrap();
        let mut numbers =
            tasks.map(|task| task.unwrap().file_name().to_str().unwrap().parse::<u32>().unwrap());
        let other = numbers.find(|number| *number != own).unwrap();
        let error = strikeable(&ProcessSelector { pid: Some(other), ..Default::default() }).unwrap_err();
        assert!(error.to_string().contains(&format!("thread of process {own}")), "{error}");
        drop(sender);
        let _ = thread.join().unwrap();
    }

    #[test]
    fn lines_of_listening_sockets_are_told_from_others() {
        let listening =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4711 1";
        assert_eq!(parse_listening(listening), Some((4711, 8080)));
        assert_eq!(parse_listening(&listening.replace(" 0A ", " 01 ")), None);
        assert_eq!(parse_listening("cut"), None);
    }
}
