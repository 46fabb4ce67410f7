//! Processes as `/proc` shows them: who they are, what they run, who started them, what they may do.
//!
//! A process number is used again after its process ended, so a process is told from all others by its number, its
//! start time and the boot that it lives in: a [`ProcessRef`]. Whatever is read of a process may be gone at the next
//! look; functions that look at one process say so with `None` or an error, those that list leave it out.
//!
//! Sources: proc(5), `proc_pid_stat(5)`, `proc_pid_status(5)`, capabilities(7).

use rustix::process::{Pid, getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity};
use squall_model::step::ProcessRef;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

/// `PF_KTHREAD` of `include/linux/sched.h`: the process is a thread of the kernel.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// The same for a process on its way to its end (`PF_EXITING`).
const EXITING: u64 = 0x4;
/// SIGKILL among the signals that wait to be taken.
const KILLED: u64 = 1 << (9 - 1);

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its number.
    pub pid: u32,
    /// The kernel's short name of it, at most 15 bytes.
    pub name: String,
    /// State letter: `R` running, `S` sleeping, `D` waiting for a device, `T` stopped, `t` traced, `Z` ended …
    pub state: char,
    /// Its parent's number, 0 for the first process and the kernel's own.
    pub parent: u32,
    /// Its session.
    pub session: u32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// Whether it is a thread of the kernel.
    pub kernel_thread: bool,
    /// Whether it is on its way to its end: it does nothing more, and its files and memory are not all given back.
    pub exiting: bool,
}

/// What `/proc/PID/status` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Number of the process that this one is a thread of; its own for a process.
    pub thread_group: u32,
    /// Its real user.
    pub user: u32,
    /// Signals that wait to be taken, one bit each: bit `n - 1` for signal `n`.
    pub pending: u64,
    /// Effective capabilities, one bit each.
    pub capabilities: u64,
}

impl Stat {
    /// The same as an identity that survives in a log.
    pub fn reference(&self) -> ProcessRef {
        ProcessRef {
            pid: self.pid,
            start_time: self.start_time,
            boot_id: boot_id().to_owned(),
            name: self.name.clone(),
        }
    }

    /// Whether it has ended and waits only to be reaped by its parent.
    pub fn ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Names this boot. Read once: it cannot change while we live.
pub fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
    })
}

/// Reads `/proc/PID/stat`. An error of kind `NotFound` where there is no such process.
pub fn stat(pid: u32) -> io::Result<Stat> {
    let text = read(pid, "stat")?;
    parse_stat(&text).ok_or_else(|| malformed(pid, "stat"))
}

/// Reads `/proc/PID/status`.
pub fn status(pid: u32) -> io::Result<Status> {
    let text = read(pid, "status")?;
    parse_status(&text).ok_or_else(|| malformed(pid, "status"))
}

/// The words that the process was started with; empty for a thread of the kernel and for one that ended.
pub fn command_line(pid: u32) -> io::Result<Vec<String>> {
    let text = read(pid, "cmdline")?;
    let words = text.strip_suffix('\0').unwrap_or(&text);
    Ok(if words.is_empty() { Vec::new() } else { words.split('\0').map(str::to_owned).collect() })
}

/// The environment that the process was started with, as `NAME=VALUE`; takes its user or root.
pub fn environment(pid: u32) -> io::Result<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ"))?;
    let entries = bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    Ok(entries.map(|entry| String::from_utf8_lossy(entry).into_owned()).collect())
}

/// The program that the process runs. The path ends in ` (deleted)` where the file is gone.
pub fn executable(pid: u32) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe"))
}

/// Inodes of the sockets that the process holds open; takes its user or root.
pub fn sockets(pid: u32) -> io::Result<Vec<u64>> {
    let inode = |entry: io::Result<std::fs::DirEntry>| {
        let link = std::fs::read_link(entry.ok()?.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.filter_map(inode).collect())
}

/// Numbers of the processors that a process may run on, in order.
pub fn processors(pid: u32) -> io::Result<Vec<u32>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let set = sched_getaffinity(Some(pid))?;
    Ok((0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).map(|number| number as u32).collect())
}

/// Numbers of all processes that can be seen, lowest first.
pub fn all() -> io::Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc")?;
    let number = |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<u32>().ok();
    let mut numbers: Vec<u32> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The identity of a process that lives now.
pub fn reference(pid: u32) -> io::Result<ProcessRef> {
    Ok(stat(pid)?.reference())
}

/// Our own identity.
pub fn own() -> io::Result<ProcessRef> {
    reference(std::process::id())
}

/// How much sooner than others a process of Squall's gets the processor, where it may.
const PRECEDENCE: i32 = -10;

/// The priority that this process was started with, once it has another.
static USUAL: OnceLock<i32> = OnceLock::new();

/// Gives this process precedence over others, so that no fault starves whoever is to undo it. Takes root, without
/// which all stays as it is. To be called before there are threads: each has a priority of its own (setpriority(2)).
pub fn take_precedence() {
    let usual = usual_priority();
    if usual > PRECEDENCE && setpriority_process(None, PRECEDENCE).is_ok() {
        USUAL.get_or_init(|| usual);
    }
}

/// The priority of what is started to be a fault: the one that we were started with.
pub fn usual_priority() -> i32 {
    USUAL.get().copied().unwrap_or_else(|| getpriority_process(None).unwrap_or_default())
}

/// What `/proc` says of exactly this process, if it is still there; not of a later one with its number. One that
/// ended and waits to be reaped counts as there.
pub fn find(process: &ProcessRef) -> Option<Stat> {
    if process.boot_id != boot_id() {
        return None;
    }
    stat(process.pid).ok().filter(|stat| stat.start_time == process.start_time)
}

/// Whether exactly this process still runs (or is stopped), in this boot.
pub fn is_alive(process: &ProcessRef) -> bool {
    find(process).is_some_and(|stat| !stat.ended())
}

/// Whether exactly this process has ended, or was killed and will have in a moment.
pub fn is_dying(process: &ProcessRef) -> bool {
    let killed = |pid| status(pid).is_ok_and(|status| status.pending & KILLED != 0);
    find(process).is_none_or(|stat| stat.ended() || stat.exiting || killed(stat.pid))
}

/// The process's parent, its parent's parent and so on; nearest first.
pub fn ancestors(pid: u32) -> Vec<Stat> {
    let parent = |pid: u32| stat(pid).ok().map(|stat| stat.parent).filter(|parent| *parent != 0);
    // Each is older than the one before, so the walk ends; the bound is for a `/proc` that changes under it.
    std::iter::successors(parent(pid), |pid| parent(*pid))
        .take(1000)
        .filter_map(|pid| stat(pid).ok())
        .collect()
}

/// Processes that were started by this one and still live.
pub fn children(pid: u32) -> io::Result<Vec<Stat>> {
    Ok(all()?.into_iter().filter_map(|pid| stat(pid).ok()).filter(|stat| stat.parent == pid).collect())
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    // Names and command lines are bytes; what is no UTF-8 must not hide a process.
    match std::fs::read(format!("/proc/{pid}/{file}")) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        // A process that ends between opening and reading answers "no such process".
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(io::ErrorKind::NotFound.into()),
        Err(error) => Err(error),
    }
}

fn malformed(pid: u32, file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/{file} is not in the known format"))
}

/// Field numbers are those of `proc_pid_stat(5)`. The name stands in parentheses and may itself hold any of `( )` and
/// spaces, so the fields are counted from the last closing one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let flags: u64 = field(9)?.parse().ok()?;
    Some(Stat {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        state: field(3)?.chars().next()?,
        parent: field(4)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        start_time: field(22)?.parse().ok()?,
        kernel_thread: flags & KERNEL_THREAD != 0,
        exiting: flags & EXITING != 0,
    })
}

fn parse_status(text: &str) -> Option<Status> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()
    };
    let bits = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    Some(Status {
        thread_group: field("Tgid")?.parse().ok()?,
        user: field("Uid")?.parse().ok()?,
        pending: bits("SigPnd")? | bits("ShdPnd")?,
        capabilities: bits("CapEff")?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    /// A process of the test's own in a group of its own; ended with all that it started when dropped.
    pub(crate) struct Victim(pub(crate) Child);

    impl Victim {
        /// Starts a program that a test may strike.
        pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.process_group(0);
            Self(command.spawn().unwrap())
        }

        /// One that sleeps for a minute.
        pub(crate) fn sleeping() -> Self {
            let victim = Self::start("sleep", &["60"]);
            // Between fork and exec it still bears the test's own name.
            wait_until(|| stat(victim.pid()).is_ok_and(|stat| stat.name == "sleep" && stat.state == 'S'));
            victim
        }

        pub(crate) fn pid(&self) -> u32 {
            self.0.id()
        }

        pub(crate) fn reference(&self) -> ProcessRef {
            reference(self.pid()).unwrap()
        }
    }

    impl Drop for Victim {
        fn drop(&mut self) {
            let group = rustix::process::Pid::from_child(&self.0);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = self.0.wait();
        }
    }

    /// Waits, up to half a minute, until something is so.
    pub(crate) fn wait_until(mut condition: impl FnMut() -> bool) {
        for _ in 0..3000 {
            if condition() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("it did not become so within half a minute");
    }

    #[test]
    fn names_with_parentheses_and_spaces_do_not_confuse() {
        let text =
            "812 (a) R (b c) S 1 812 811 34816 812 4194304 119 0 0 0 0 0 0 0 20 0 1 0 16402 2945024 195";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (812, "a) R (b c", 'S'));
        assert_eq!((stat.parent, stat.session, stat.start_time), (1, 811, 16402));
        assert!(!stat.kernel_thread && !stat.exiting);
        assert!(parse_stat(&text.replace("4194304", "4194308")).unwrap().exiting);
        assert_eq!(parse_stat("812 (cut"), None);
        assert_eq!(parse_stat("812 (cut) S 1"), None);
    }

    #[test]
    fn we_find_ourselves_our_parents_and_our_children() {
        let own = own().unwrap();
        assert_eq!(own.pid, std::process::id());
        assert!(is_alive(&own));
        let status = status(own.pid).unwrap();
        assert_eq!(status.thread_group, own.pid);
        assert_eq!(status.user, rustix::process::getuid().as_raw());
        assert_eq!(ancestors(own.pid)[0].pid, std::os::unix::process::parent_id());
        let victim = Victim::sleeping();
        assert!(children(own.pid).unwrap().iter().any(|child| child.pid == victim.pid()));
        assert_eq!(command_line(victim.pid()).unwrap(), ["sleep", "60"]);
        assert!(executable(victim.pid()).unwrap().is_absolute());
        assert!(all().unwrap().contains(&victim.pid()));
    }

    #[test]
    fn another_start_time_or_boot_is_another_process() {
        let own = own().unwrap();
        assert!(!is_alive(&ProcessRef { start_time: own.start_time + 1, ..own.clone() }));
        assert!(!is_alive(&ProcessRef { boot_id: "another".to_owned(), ..own }));
    }

    #[test]
    fn an_ended_process_is_not_alive_though_its_parent_has_not_looked() {
        let mut victim = Victim::sleeping();
        let reference = victim.reference();
        assert!(!is_dying(&reference));
        victim.0.kill().unwrap();
        wait_until(|| !is_alive(&reference));
        assert!(is_dying(&reference));
        assert!(find(&reference).unwrap().ended());
        victim.0.wait().unwrap();
        assert_eq!(find(&reference), None);
        assert_eq!(stat(victim.pid()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn sockets_are_found_by_their_inode() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let before = sockets(std::process::id()).unwrap().len();
        drop(listener);
        assert!(before > 0);
    }
}
