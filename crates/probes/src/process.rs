//! Processes: whether one that is named runs, in what state, how many there are and how much memory they hold.
//!
//! Source: `/proc` of this host, see proc(5).

use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::target::ProcessSelector;
use squall_model::value::{Reading, Value};
use std::collections::BTreeSet;
use std::fs;
use std::io;

/// The `process` probe.
pub struct Process(ProcessSelector);

impl Probe for Process {
    const NAME: &'static str = "process";
    const SUMMARY: &'static str = "Looks for a process on this host";
    const EXAMPLE: &'static str = "\
- process: {name: postgres}
  expect: running == true and count >= 2
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("running", "whether a process that was named lives; one that is stopped lives, a zombie does not"),
        ("count", "how many live"),
        (
            "state",
            "what the first of them does, the living before the zombies: running, sleeping, waiting (for a device), \
             stopped, traced, idle or zombie; absent where there is none",
        ),
        ("memory", "bytes of memory that they hold together, shared pages counted for each (RSS)"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] =
        &[("running", ValueKind::YesOrNo), ("count", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("running == true");
    type Parameters = ProcessSelector;

    fn new(selector: ProcessSelector) -> Result<Self, ProbeError> {
        if selector.is_empty() {
            return Err(ProbeError(
                "name a process: at least one of name, pid, port, cgroup, cmdline".to_owned(),
            ));
        }
        Ok(Self(selector))
    }
}

impl Observe for Process {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        let selector = self.0.clone();
        Box::pin(async move {
            // To read all of /proc of a busy host takes a while.
            let looked = tokio::task::spawn_blocking(move || look(&selector)).await;
            looked.map_err(|error| ProbeError(format!("look for a process: {error}")))?
        })
    }
}

fn look(selector: &ProcessSelector) -> Result<Reading, ProbeError> {
    let found =
        find(selector).map_err(|error| ProbeError(format!("look for process {selector}: {error}")))?;
    let living: Vec<_> = found.iter().filter(|process| process.lives()).collect();
    let memory: u64 = living.iter().filter_map(|process| memory(process.pid)).sum();
    let mut reading = Reading::from([
        ("running".to_owned(), Value::Bool(!living.is_empty())),
        ("count".to_owned(), Value::Number(living.len() as f64)),
        ("memory".to_owned(), Value::Number(memory as f64)),
    ]);
    if let Some(first) = living.first().copied().or(found.first()) {
        reading.insert("state".to_owned(), Value::from(first.doing()));
    }
    Ok(reading)
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug)]
struct Found {
    pid: u32,
    name: String,
    state: char,
}

impl Found {
    fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    fn doing(&self) -> &'static str {
        match self.state {
            'R' => "running",
            'S' => "sleeping",
            'D' => "waiting",
            'T' => "stopped",
            't' => "traced",
            'I' => "idle",
            'Z' | 'X' | 'x' => "zombie",
            _ => "unknown",
        }
    }

    /// The name stands in parentheses and may itself hold any of `( )` and spaces, so what follows begins
    /// after the last closing one, with the state.
    fn parse(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        Some(Self { pid: pid.parse().ok()?, name: name.to_owned(), state: rest.chars().next()? })
    }

    /// By the kernel's short name, the last part of its program's path, or what it was called as: as targets do.
    fn goes_by(&self, name: &str, words: &[String]) -> bool {
        let last_part = |path: &str| path.trim_end_matches(" (deleted)").rsplit('/').next() == Some(name);
        self.name == name
            || words.first().is_some_and(|word| last_part(word))
            || fs::read_link(format!("/proc/{}/exe", self.pid))
                .is_ok_and(|path| last_part(&path.to_string_lossy()))
    }
}

/// The processes that a selector means, lowest number first; never Squall itself.
fn find(selector: &ProcessSelector) -> io::Result<Vec<Found>> {
    let mut pids = match selector.pid {
        Some(pid) => vec![pid],
        None => all()?,
    };
    pids.sort_unstable();
    pids.retain(|pid| *pid != std::process::id() || selector.pid.is_some());
    let listeners = selector.port.map(Listeners::of).transpose()?;
    let mut found = Vec::new();
    for pid in pids {
        // One that ended meanwhile is not there; what may not be looked into is said.
        let Some(process) = read(pid, "stat")?.as_deref().and_then(Found::parse) else { continue };
        if is_meant(&process, selector)? && listeners.as_ref().is_none_or(|listeners| listeners.include(pid))
        {
            found.push(process);
        }
    }
    match listeners {
        Some(listeners) if found.is_empty() => listeners.check_seen().map(|()| found),
        _ => Ok(found),
    }
}

fn is_meant(process: &Found, selector: &ProcessSelector) -> io::Result<bool> {
    let words = command_line(process.pid)?;
    let name = selector.name.as_ref().is_none_or(|name| process.goes_by(name, &words));
    let text = selector.cmdline.as_ref().is_none_or(|text| words.join(" ").contains(text.as_str()));
    if !(name && text) {
        return Ok(false);
    }
    let Some(cgroup) = &selector.cgroup else { return Ok(true) };
    // Lines are `0::/system.slice/postgres.service`.
    let groups = read(process.pid, "cgroup")?.unwrap_or_default();
    Ok(groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .any(|path| path.contains(cgroup.as_str())))
}

/// The numbers of all processes.
pub(crate) fn all() -> io::Result<Vec<u32>> {
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    Ok(fs::read_dir("/proc")?.filter_map(number).collect())
}

fn command_line(pid: u32) -> io::Result<Vec<String>> {
    let text = read(pid, "cmdline")?.unwrap_or_default();
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}

/// The resident set of a process in bytes; none where it is gone. The line is `VmRSS:   1234 kB`, in units of 1024.
pub(crate) fn memory(pid: u32) -> Option<u64> {
    let status = read(pid, "status").ok()??;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// A file of a process; `None` where the process is gone.
pub(crate) fn read(pid: u32, file: &str) -> io::Result<Option<String>> {
    match fs::read(format!("/proc/{pid}/{file}")) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // So says the kernel of a process that ended between opening and reading.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The sockets that listen on a TCP port in the network namespace of Squall.
struct Listeners {
    port: u16,
    inodes: BTreeSet<u64>,
}

impl Listeners {
    fn of(port: u16) -> io::Result<Self> {
        let mut inodes = BTreeSet::new();
        for table in ["tcp", "tcp6"] {
            match fs::read_to_string(format!("/proc/self/net/{table}")) {
                Ok(text) => inodes.extend(text.lines().skip(1).filter_map(|line| listening(line, port))),
                // A kernel without IPv6 has no second table.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { port, inodes })
    }

    /// Whether a process holds one of them open.
    fn include(&self, pid: u32) -> bool {
        let inode = |entry: io::Result<fs::DirEntry>| -> Option<u64> {
            let link = fs::read_link(entry.ok()?.path()).ok()?;
            link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        };
        let open = || fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
        !self.inodes.is_empty() && open().filter_map(inode).any(|inode| self.inodes.contains(&inode))
    }

    /// Nobody seen is not the same as nobody there: files of other users' processes are root's alone to see.
    fn check_seen(&self) -> io::Result<()> {
        if self.inodes.is_empty() || rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let words = format!(
            "something listens on port {}, but whose process it is only root can see; run as root, or use the `tcp` probe",
            self.port
        );
        Err(io::Error::new(io::ErrorKind::PermissionDenied, words))
    }
}

/// The inode of a socket that listens on `port`. Lines of `/proc/net/tcp` are
/// `0: 0100007F:1F90 00000000:0000 0A … INODE …`; the state `0A` is LISTEN.
fn listening(line: &str, port: u16) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let found = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    (*state == "0A" && found == port).then(|| inode.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use std::process::{Child, Command};

    /// A process of the test's own, ended when dropped.
    struct Victim(Child);

    impl Victim {
        fn start(words: &[&str]) -> Self {
            Self(Command::new(words[0]).args(&words[1..]).spawn().unwrap())
        }

        fn signal(&self, signal: rustix::process::Signal) {
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
        }
    }

    impl Drop for Victim {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn look(parameters: serde_json::Value) -> Reading {
        ask(&built::<Process>(parameters)).unwrap()
    }

    fn wait_for(parameters: &serde_json::Value, name: &str, value: &Value) -> Reading {
        for _ in 0..500 {
            let reading = look(parameters.clone());
            if reading.get(name) == Some(value) {
                return reading;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("{name} did not become {value} within 10 s: {:?}", look(parameters.clone()));
    }

    #[test]
    fn a_process_is_found_and_its_states_are_told_apart() {
        let mut victim = Victim::start(&["sleep", "62.0625"]);
        let by_text = json!({"cmdline": "sleep 62.0625"});
        let reading = wait_for(&by_text, "state", &Value::from("sleeping"));
        assert_eq!((&reading["running"], &reading["count"]), (&Value::Bool(true), &Value::Number(1.0)));
        assert!(reading["memory"].number().unwrap() > 0.0);
        let by_both = json!({"name": "sleep", "pid": victim.0.id()});
        assert_eq!(look(by_both.clone())["count"], Value::Number(1.0));
        assert_eq!(look(json!({"name": "dd", "pid": victim.0.id()}))["running"], Value::Bool(false));

        victim.signal(rustix::process::Signal::STOP);
        let reading = wait_for(&by_both, "state", &Value::from("stopped"));
        assert_eq!(reading["running"], Value::Bool(true));

        victim.signal(rustix::process::Signal::KILL);
        let reading = wait_for(&json!({"pid": victim.0.id()}), "state", &Value::from("zombie"));
        assert_eq!((&reading["running"], &reading["count"]), (&Value::Bool(false), &Value::Number(0.0)));

        victim.0.wait().unwrap();
        let reading = look(by_text);
        assert_eq!(reading["running"], Value::Bool(false));
        assert!(!reading.contains_key("state"));
    }

    #[test]
    fn a_process_is_found_by_the_port_that_it_listens_on() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // The test itself listens; it is passed over unless it is named by its number.
        let by_number = json!({"port": port, "pid": std::process::id()});
        assert_eq!(look(by_number.clone())["count"], Value::Number(1.0));
        drop(listener);
        assert_eq!(look(by_number)["running"], Value::Bool(false));
    }

    #[test]
    fn names_with_parentheses_and_spaces_do_not_confuse() {
        let stat = "812 (a) R (b c) S 1 812 811 34816 812 4194304 119";
        let found = Found::parse(stat).unwrap();
        assert_eq!((found.pid, found.name.as_str(), found.state), (812, "a) R (b c", 'S'));
        assert!(Found::parse("812 (cut").is_none() && Found::parse("").is_none());
    }

    #[test]
    fn a_process_must_be_named() {
        assert!(refusal::<Process>(json!({})).contains("at least one of"));
        assert!(refusal::<Process>(json!({"nmae": "sleep"})).contains("nmae"));
    }
}
