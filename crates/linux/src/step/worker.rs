//! Workers: processes of our own that must keep running while a fault is active. Undone by ending them.
//!
//! A worker is this very program, run as `squall worker MARK` with its job in the environment, where others cannot read
//! it. The mark stands on its command line, so it is found and ended by any Squall at any time, without a log. It dies with the agent by three nets: the kernel kills it when
//! the agent dies, its standard input comes to an end, and the warden looks for its mark.
//!
//! The pipes are a small protocol: the worker first writes one [`Report`], `Ready` or `Failed`; then for each line
//! that it reads it writes its [`Evidence`] so far.

use crate::facts::signalled;
use crate::step::signal::{may_send, send};
use crate::step::{Look, failed};
use crate::sys::pidfd::Pidfd;
use crate::sys::{process, wait};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use squall_model::facts::Privilege;
use squall_model::machine::{Leftover, MachineError};
use squall_model::step::{ProcessRef, Signal, Work, WorkerStep};
use squall_model::undo::{Difference, Evidence, Reverted, Undo};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The subcommand that a worker is run as.
pub const ROLE: &str = "worker";

/// How long a worker is waited for to be ready. One that needs longer, since a busy machine is what some faults are
/// about, holds up no other injection and no undo: whether it is ready by then is seen at each look.
const READY_WITHIN: Duration = Duration::from_millis(500);
/// How long a worker may take to say what it has done so far.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// How long a worker may take to end by itself once it is asked to.
const ENDS_WITHIN: Duration = Duration::from_millis(300);
/// How long the kernel may take to end it by force; giving back much memory takes a while.
const KILLED_WITHIN: Duration = Duration::from_secs(4);

/// The environment variable that holds a worker's [`Job`] as JSON. A command line can be read by every user of the host,
/// an environment by its owner alone, and what a job names may be a secret.
pub const JOB: &str = "SQUALL_JOB";

/// What a worker is told in its environment, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What it does.
    pub work: Work,
    /// Folders of the control groups that it joins before it begins.
    pub cgroups: Vec<String>,
    /// The priority that it takes: its agent may have precedence over what it does.
    pub priority: i32,
    /// The agent's process number; a worker whose parent is another has lost its agent and ends.
    pub parent: u32,
}

/// One line from a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// It begins.
    Ready,
    /// It cannot, and ends.
    Failed {
        /// What was tried, what came back, what to do.
        message: String,
    },
    /// What it has done so far.
    Evidence(Evidence),
}

/// A worker that this machine started.
#[derive(Debug)]
struct Running {
    child: Child,
    /// The control groups that it joins.
    cgroups: Vec<String>,
    questions: ChildStdin,
    answers: ChildStdout,
    readiness: Readiness,
    /// Bytes of an answer whose end is not read yet.
    unread: Vec<u8>,
}

/// Whether a worker has begun.
#[derive(Debug, Clone)]
enum Readiness {
    Awaited,
    Ready,
    /// Why it never will.
    Failed(String),
}

type Spawning = (Command, mpsc::Sender<io::Result<Child>>);

/// The workers of this machine.
#[derive(Debug)]
pub(crate) struct Workers {
    program: PathBuf,
    running: BTreeMap<String, Running>,
    spawner: Option<mpsc::Sender<Spawning>>,
}

/// Names the worker and this boot. Checks that the worker will be able to do what it is for.
pub(crate) fn capture(step: &WorkerStep) -> Result<Undo, MachineError> {
    for folder in &step.cgroups {
        may_join(folder)?;
    }
    match &step.work {
        Work::SignalEvery { target, signal, .. } => {
            for process in signalled(target)? {
                may_send(&process.process, *signal)?;
            }
        }
        Work::SignalThenKill { process, signal, .. } => may_send(process, *signal)?,
        Work::CpuLoad { .. } | Work::Memory { .. } => {}
    }
    Ok(Undo::Worker { mark: step.mark.clone(), boot_id: process::boot_id().to_owned() })
}

/// Whether a control group may be joined.
fn may_join(folder: &str) -> Result<(), MachineError> {
    let file = Path::new(folder).join("cgroup.procs");
    match access(&file, Access::WRITE_OK) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => Err(MachineError::NotFound {
            message: format!("could not join control group {folder}: it is gone; plan again"),
        }),
        Err(errno) => Err(MachineError::Forbidden {
            message: format!(
                "could not join control group {folder}: {errno}; it belongs to root: run with --sudo"
            ),
            needs: Some(Privilege::DacOverride),
        }),
    }
}

impl Workers {
    /// Workers run this program; `/proc/self/exe` for our own.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program, running: BTreeMap::new(), spawner: None }
    }

    /// Starts the worker, and returns once it is ready or takes too long for that: then a look finds it ready, or why
    /// it is not.
    pub(crate) fn apply(&mut self, step: &WorkerStep) -> Result<(), MachineError> {
        let mark = &step.mark;
        let could_not = |cause: String| MachineError::Failed {
            message: format!("could not start worker {mark}: {cause}"),
        };
        if self.running.contains_key(mark) {
            return Err(could_not("it runs already".to_owned()));
        }
        let mut running = self.start(step).map_err(|error| could_not(error.to_string()))?;
        let outcome = match running.begins(READY_WITHIN) {
            Ok(Readiness::Ready | Readiness::Awaited) => Ok(()),
            Ok(Readiness::Failed(message)) => Err(could_not(message)),
            Err(error) => Err(could_not(running.end_in_words().unwrap_or_else(|| error.to_string()))),
        };
        // One that failed is kept as well: the revert that follows ends and reaps it.
        self.running.insert(mark.clone(), running);
        outcome
    }

    /// Asks a worker what it has done so far.
    pub(crate) fn ask(&mut self, step: &WorkerStep) {
        if let Some(running) = self.running.get_mut(&step.mark) {
            // One that cannot be asked cannot answer either, which is seen there.
            let _ = running.ask();
        }
    }

    /// Waits for what the worker answers.
    pub(crate) fn observe(&mut self, step: &WorkerStep, look: Look) -> Evidence {
        let Some(running) = self.running.get_mut(&step.mark) else {
            return Evidence::not_seen(format!("worker {} was not started here", step.mark));
        };
        let answer = match &running.readiness {
            Readiness::Ready => running.answer(look.left_of(ANSWERS_WITHIN)),
            Readiness::Awaited => Ok(None),
            Readiness::Failed(message) => {
                return Evidence::not_seen(format!("it could not begin: {message}"));
            }
        };
        if let Some(end) = running.end_in_words() {
            let words = format!("the worker has ended: {end}");
            return if is_gone(&running.cgroups) { Evidence::gone(words) } else { Evidence::not_seen(words) };
        }
        match answer {
            Ok(Some(Report::Evidence(evidence))) => evidence,
            Ok(Some(Report::Failed { message })) => Evidence::not_seen(message),
            Ok(None) if matches!(running.readiness, Readiness::Awaited) => {
                Evidence::not_seen("the worker is not ready yet")
            }
            Ok(Some(Report::Ready) | None) => Evidence::not_seen("the worker did not answer in time"),
            Err(error) => Evidence::not_seen(format!("the worker cannot be asked: {error}")),
        }
    }

    /// Ends the worker, whoever started it, and looks again.
    pub(crate) fn revert(&mut self, mark: &str, boot_id: &str) -> Result<Reverted, MachineError> {
        if let Some(running) = self.running.remove(mark) {
            return running.end(mark);
        }
        let bearers = || {
            let same_boot = boot_id == process::boot_id();
            if same_boot { marked(&self.program, |other| other == mark) } else { Vec::new() }
        };
        let found = bearers();
        for process in &found {
            end(process)?;
        }
        let looked_at = format!("no process bears the mark {mark}");
        Ok(match bearers().first() {
            _ if found.is_empty() => Reverted::AlreadyGone { looked_at },
            None => Reverted::Undone { looked_at },
            Some(process) => still_runs(mark, process.pid),
        })
    }

    /// All workers on this machine, ours and others'.
    pub(crate) fn leftovers(&self) -> Vec<(ProcessRef, Leftover)> {
        let mut found = Vec::new();
        for process in marked(&self.program, |mark| mark.starts_with(WorkerStep::MARK_PREFIX)) {
            let Some(mark) = process::command_line(process.pid).ok().and_then(|words| words.get(2).cloned())
            else {
                continue; // It ended just now.
            };
            let leftover = Leftover {
                what: format!("worker {mark} (pid {})", process.pid),
                injection: mark.strip_prefix(WorkerStep::MARK_PREFIX).map(str::to_owned),
                claim: None,
                digest: None,
                held: None,
                remedy: format!("kill {}", process.pid),
            };
            found.push((process, leftover));
        }
        found
    }

    /// Ends a worker that was found as a leftover; `None` where it is none of ours.
    pub(crate) fn remove(&mut self, leftover: &Leftover) -> Result<Option<Reverted>, MachineError> {
        let is_worker = leftover.what.starts_with(&format!("worker {}", WorkerStep::MARK_PREFIX));
        let found = self.leftovers().into_iter().find(|(_, found)| found == leftover);
        let looked_at = format!("{} is gone", leftover.what);
        Ok(match found {
            Some((process, _)) => {
                end(&process)?;
                Some(Reverted::Undone { looked_at })
            }
            None if is_worker => Some(Reverted::AlreadyGone { looked_at }),
            None => None,
        })
    }

    fn start(&mut self, step: &WorkerStep) -> io::Result<Running> {
        let job = Job {
            work: step.work.clone(),
            cgroups: step.cgroups.clone(),
            priority: process::usual_priority(),
            parent: std::process::id(),
        };
        let mut command = Command::new(&self.program);
        command.arg0("squall").arg(ROLE).arg(&step.mark).env(JOB, serde_json::to_string(&job)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = self.spawn(command)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(questions), Some(answers)) => {
                let (readiness, unread) = (Readiness::Awaited, Vec::new());
                Ok(Running { child, cgroups: step.cgroups.clone(), questions, answers, readiness, unread })
            }
            _ => Err(io::Error::other("its pipes are missing")),
        }
    }

    /// Starts a program on a thread that lives as long as we do: the kernel kills a worker when the *thread* that
    /// started it ends, and the caller's thread may be one of a pool.
    fn spawn(&mut self, command: Command) -> io::Result<Child> {
        let stopped = || io::Error::other("the thread that starts workers has ended");
        let (answer, child) = mpsc::channel();
        let spawner = match &self.spawner {
            Some(spawner) => spawner,
            None => self.spawner.insert(start_spawner()?),
        };
        spawner.send((command, answer)).map_err(|_| stopped())?;
        child.recv().map_err(|_| stopped())?
    }
}

fn start_spawner() -> io::Result<mpsc::Sender<Spawning>> {
    let (sender, receiver) = mpsc::channel::<Spawning>();
    std::thread::Builder::new().name("workers".to_owned()).spawn(move || {
        for (mut command, answer) in receiver {
            // Nobody waits for the answer only if the machine is gone, and then the worker sees its pipes end.
            let _ = answer.send(command.spawn());
        }
    })?;
    Ok(sender)
}

impl Running {
    /// Whether it has begun; its first line says so.
    fn begins(&mut self, within: Duration) -> io::Result<Readiness> {
        if matches!(self.readiness, Readiness::Awaited) {
            self.readiness = match self.answer(within)? {
                Some(Report::Ready) => Readiness::Ready,
                Some(Report::Failed { message }) => Readiness::Failed(message),
                Some(Report::Evidence(_)) => Readiness::Failed("it answered before it was ready".to_owned()),
                None => Readiness::Awaited,
            };
        }
        Ok(self.readiness.clone())
    }

    /// Sends a line, to be answered with one; none to a worker that is not ready.
    fn ask(&mut self) -> io::Result<()> {
        if !matches!(self.begins(Duration::ZERO)?, Readiness::Ready) {
            return Ok(());
        }
        // An answer that came too late for an earlier question is none to this one.
        while self.answer(Duration::ZERO)?.is_some() {}
        self.questions.write_all(b"\n")
    }

    /// Waits for one line; `None` where it did not come in time.
    fn answer(&mut self, at_most: Duration) -> io::Result<Option<Report>> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !wait::readable(&self.answers, left)? {
                return Ok(None);
            }
            let mut buffer = [0; 4096];
            match self.answers.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Ends it and reaps it: a child that was reaped is gone for certain, without a look at all processes. One that the
    /// kernel cannot end yet, since a device does not answer, is not waited for without limit.
    fn end(mut self, mark: &str) -> Result<Reverted, MachineError> {
        let number = self.child.id();
        let ended = self.end_in_words();
        // While it is not reaped its number is its own.
        if ended.is_none()
            && let Ok(process) = process::reference(number)
        {
            end(&process)?;
        }
        let looked_at = format!("worker {mark} (pid {number})");
        Ok(match (ended, self.end_in_words()) {
            (Some(how), _) => Reverted::AlreadyGone { looked_at: format!("{looked_at}: {how}") },
            (None, Some(_)) => Reverted::Undone { looked_at: format!("{looked_at} has ended") },
            (None, None) => still_runs(mark, number),
        })
    }

    /// How it ended, if it has.
    fn end_in_words(&mut self) -> Option<String> {
        use std::os::unix::process::ExitStatusExt;
        // Its pipes end a moment before it can be waited for.
        let status = self.child.try_wait().ok()??;
        Some(match status.signal() {
            Some(_) if is_gone(&self.cgroups) => {
                "its container or service is gone, and it with it".to_owned()
            }
            Some(9) => "it was killed (SIGKILL); where memory ran out, by the kernel".to_owned(),
            Some(signal) => format!("it was ended by signal {signal}"),
            None => format!("it exited with {}", status.code().unwrap_or_default()),
        })
    }
}

/// Whether what a worker was in is gone: one of its control groups is no more, or has no process left in it.
fn is_gone(cgroups: &[String]) -> bool {
    let is_empty = |folder: &String| match std::fs::read_to_string(Path::new(folder).join("cgroup.procs")) {
        Ok(processes) => processes.trim().is_empty(),
        // A group that is on its way cannot be read either.
        Err(error) => {
            error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(Errno::NODEV.raw_os_error())
        }
    };
    cgroups.iter().any(is_empty)
}

fn still_runs(mark: &str, pid: u32) -> Reverted {
    Reverted::Drifted(Difference {
        looked_at: format!("worker {mark}"),
        before: "not running".to_owned(),
        now: format!("pid {pid} still runs"),
        remedy: format!("kill -KILL {pid}"),
        under_way: false,
    })
}

/// Ends a worker: politely, then by force; returns once it is gone.
fn end(process: &ProcessRef) -> Result<(), MachineError> {
    let refused = |error: rustix::io::Errno| failed(format_args!("end worker {process}"), &error.into());
    // Held before it is signalled: its end is waited for, however short its life.
    let Some(pidfd) = Pidfd::open(process).map_err(refused)? else { return Ok(()) };
    for (signal, within) in [(Signal::Term, ENDS_WITHIN), (Signal::Kill, KILLED_WITHIN)] {
        if !send(process, signal)? || pidfd.wait(within).map_err(refused)? {
            return Ok(());
        }
    }
    Ok(()) // The second look will tell.
}

/// Living workers whose mark is wanted: `PROGRAM worker MARK …`, run from our program. An editor or a `grep` that has
/// a mark among its words is none.
fn marked(program: &Path, wanted: impl Fn(&str) -> bool) -> Vec<ProcessRef> {
    let ours = Program::of(program);
    let is_it = |pid: u32| {
        let words = process::command_line(pid).unwrap_or_default();
        let bears_mark =
            words.get(1).is_some_and(|word| word == ROLE) && words.get(2).is_some_and(|mark| wanted(mark));
        bears_mark && ours.is_run_by(pid)
    };
    let living = |pid: u32| process::stat(pid).ok().filter(|stat| !stat.ended()).map(|stat| stat.reference());
    let pids = process::all().unwrap_or_default();
    pids.into_iter().filter_map(|pid| identified(|| living(pid), || is_it(pid))).collect()
}

/// A process that is what it should be: who it is is asked before that is looked at, and again after, since another may
/// have got its number meanwhile.
fn identified(
    mut who: impl FnMut() -> Option<ProcessRef>,
    is_it: impl FnOnce() -> bool,
) -> Option<ProcessRef> {
    let process = who()?;
    (is_it() && who().as_ref() == Some(&process)).then_some(process)
}

/// A program's file: by its inode, or by its name where another version was installed meanwhile.
#[derive(Debug)]
pub struct Program {
    inode: Option<(u64, u64)>,
    name: Option<String>,
}

impl Program {
    /// The one that lies at a path.
    pub fn of(path: &Path) -> Self {
        let target = std::fs::read_link(path).unwrap_or_else(|_| path.to_owned());
        Self { inode: inode(path), name: file_name(&target) }
    }

    /// Whether a process runs it.
    pub fn is_run_by(&self, pid: u32) -> bool {
        let path = format!("/proc/{pid}/exe");
        let name = process::executable(pid).ok().and_then(|path| file_name(&path));
        (self.inode.is_some() && inode(Path::new(&path)) == self.inode)
            || (name.is_some() && name == self.name)
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_was_in_is_gone_with_its_control_group_or_its_last_process() {
        let group = tempfile::tempdir().unwrap();
        let folder = group.path().to_string_lossy().into_owned();
        let is_gone_with = |processes: &str| {
            std::fs::write(group.path().join("cgroup.procs"), processes).unwrap();
            is_gone(std::slice::from_ref(&folder))
        };
        assert!(!is_gone(&[]) && !is_gone_with("812\n") && is_gone_with(""));
        assert!(is_gone(&[format!("{folder}/none")]));
    }

    #[test]
    fn a_number_that_is_used_again_during_the_look_is_nobody() {
        let own = process::own().unwrap();
        let other = ProcessRef { start_time: own.start_time + 1, ..own.clone() };
        let look = |mut seen: Vec<ProcessRef>| identified(|| seen.pop(), || true);
        assert_eq!(look(vec![own.clone(), own.clone()]), Some(own.clone()));
        assert_eq!(look(vec![own.clone(), other]), None);
        assert_eq!(look(vec![own.clone()]), None);
        assert_eq!(identified(|| Some(own.clone()), || false), None);
    }
}
