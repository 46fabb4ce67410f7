//! The warden: a small process that undoes what is left if its agent dies or stops answering.
//!
//! The agent starts it before the first change and tells it, through a pipe, that it is alive and every line that it
//! writes to an undo log. So the warden needs no disk to know what is owed: a full disk or a damaged log file costs
//! nothing while it lives. It holds a pidfd of the agent, which cannot be mistaken for a later process. However late it
//! is, it keeps its hands from what others put back and injected again: see `squall_engine::hands` on recovery.

use crate::log;
use crate::machines::Machines;
use crate::state::State;
use crate::{crash_point, epilogue, undo_logs};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use squall_engine::hands::Hands;
use squall_linux::disk::{Folder, Mirror, MirrorWriter, MirroredFolder};
use squall_linux::sys::pidfd::Pidfd;
use squall_linux::sys::{process, wait};
use squall_model::cloud::PATIENCE;
use squall_model::protocol::Restored;
use squall_model::step::{ProcessRef, Signal};
use squall_remote::Keyring;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An agent that is silent for this long is not working: it is ended, and its injections are undone.
const SILENCE: Duration = Duration::from_secs(5);
/// How often the agent says that it is alive.
const BEAT: Duration = Duration::from_millis(500);

/// How long a warden may take until it watches; a new one in place of another is not waited for.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// How long the agent waits for a warden to take in a line.
const LISTENS_WITHIN: Duration = Duration::from_millis(250);

/// The agent's end of the pipe, and the process at its other end.
pub(crate) struct Warden {
    state: State,
    /// What a warden logs, if anything.
    log: Option<String>,
    child: Child,
    pulse: Pulse,
    /// Another that is to take its place.
    next: Option<Starting>,
    /// The passwords that the agent knows.
    keyring: Keyring,
    /// Whether the agent touches nothing.
    only_looks: bool,
}

/// Tells the warden that the agent is alive, from wherever the agent is busy.
pub(crate) struct Pulse {
    pipe: Pipe,
    last: Instant,
}

/// A pipe to whichever warden watches now.
#[derive(Clone)]
struct Pipe(Arc<Mutex<Line>>);

struct Line {
    stream: UnixStream,
    /// Whether a line went through in part or not at all. The next would be glued to it and be lost, and each would be
    /// waited for; so nothing more is said to that warden.
    broken: bool,
}

impl Pipe {
    fn new(stream: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(Line { stream, broken: false })))
    }

    fn is_broken(&self) -> bool {
        self.0.lock().is_ok_and(|line| line.broken)
    }

    /// From now on this is the pipe.
    fn lead_to(&self, stream: UnixStream) {
        if let Ok(mut line) = self.0.lock() {
            *line = Line { stream, broken: false };
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = self.0.lock().map_err(|_| io::Error::other("the pipe is in disorder"))?;
        if line.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = line.stream.write_all(bytes);
        line.broken = written.is_err();
        written.map(|()| bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pulse {
    fn is_due(&self) -> bool {
        self.last.elapsed() >= BEAT
    }

    pub(crate) fn beat(&mut self) {
        if self.is_due() {
            self.last = Instant::now();
            // A pipe that takes nothing is seen to be broken by the warden's keeper.
            let _ = self.pipe.write_all(b"beat\n");
        }
    }
}

/// Starts a warden and waits until it watches. It logs what `log` lets through, if anything.
pub(crate) fn start(state: &State, log: Option<String>) -> io::Result<Warden> {
    let mut starting = Starting::spawn(state, log.as_deref())?;
    if !starting.is_ready(STARTS_WITHIN)? {
        let _ = starting.child.kill();
        return Err(io::Error::other(format!("it did not begin to watch within {STARTS_WITHIN:?}")));
    }
    let pulse = Pulse { pipe: Pipe::new(starting.stream), last: Instant::now() };
    tracing::info!(pid = starting.child.id(), "a warden watches");
    Ok(Warden {
        state: state.clone(),
        log,
        child: starting.child,
        pulse,
        next: None,
        keyring: Keyring::default(),
        only_looks: false,
    })
}

/// A warden that does not watch yet.
struct Starting {
    child: Child,
    stream: UnixStream,
    since: Instant,
}

impl Starting {
    fn spawn(state: &State, log: Option<&str>) -> io::Result<Self> {
        let me = process::own().map_err(io::Error::other)?;
        let (ours, theirs) = UnixStream::pair()?;
        // The running program, whatever lies at its path by now.
        let mut command = Command::new("/proc/self/exe");
        match log {
            Some(filter) => command.env(log::VARIABLE, filter).stderr(Stdio::inherit()),
            None => command.env_remove(log::VARIABLE).stderr(Stdio::null()),
        };
        let child = command
            .arg0("squall")
            .arg("warden")
            .arg(serde_json::to_string(&me)?)
            .arg(state.folder())
            .args(state.is_of_guest().then_some(GUEST))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .spawn()?;
        // A warden that cannot keep up must never hold up an undo.
        ours.set_write_timeout(Some(LISTENS_WITHIN))?;
        Ok(Self { child, stream: ours, since: Instant::now() })
    }

    /// Whether it watches by now. An error where it never will.
    fn is_ready(&mut self, at_most: Duration) -> io::Result<bool> {
        let stdout = self.child.stdout.as_mut().ok_or_else(|| io::Error::other("no pipe"))?;
        if !wait::readable(&*stdout, at_most)? {
            return Ok(false);
        }
        let ended = |error| io::Error::other(format!("it did not begin to watch: {error}"));
        stdout.read_exact(&mut [0; 1]).map_err(ended).map(|()| true)
    }
}

impl Warden {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says now and then that the agent is alive, and puts a new warden in the place of one that is gone or does not
    /// listen any more.
    pub(crate) fn beat(&mut self) {
        if !self.pulse.is_due() {
            return;
        }
        let is_gone = matches!(self.child.try_wait(), Ok(Some(_)));
        if is_gone || self.next.is_some() || self.pulse.pipe.is_broken() {
            // Until it succeeds the logs on disk are what there is, and the next beat tries again.
            let _ = self.replace();
        }
        self.pulse.beat();
    }

    /// What tells the warden that the agent is alive in the middle of its acts.
    pub(crate) fn pulse(&self) -> Pulse {
        Pulse { pipe: self.pulse.pipe.clone(), last: Instant::now() }
    }

    /// Starts another warden, which is not waited for, or lets it take over once it watches: it is told what the logs
    /// on disk say, which its predecessor knew.
    fn replace(&mut self) -> io::Result<()> {
        // One that hears nothing any more would take that for the death of its agent.
        let _ = self.child.kill();
        let mut next = if let Some(next) = self.next.take() {
            next
        } else {
            tracing::warn!(pid = self.child.id(), "the warden is gone or deaf: another one is started");
            Starting::spawn(&self.state, self.log.as_deref())?
        };
        match next.is_ready(Duration::ZERO) {
            Ok(true) => {}
            Ok(false) if next.since.elapsed() < STARTS_WITHIN => {
                self.next = Some(next);
                return Ok(());
            }
            not_ready => {
                let _ = next.child.kill();
                return not_ready.map(|_| ());
            }
        }
        self.child = next.child;
        self.pulse.pipe.lead_to(next.stream);
        for (server, password) in self.keyring.all() {
            self.pulse.pipe.write_all(&key_line(&server, &password))?;
        }
        if self.only_looks {
            self.pulse.pipe.write_all(LOOKS)?;
        }
        let mut mirror = self.mirror();
        for (name, bytes) in undo_logs::own(&self.state)? {
            bytes.split_inclusive(|byte| *byte == b'\n').for_each(|line| mirror.appended(&name, line));
        }
        Ok(())
    }

    /// Tells whichever warden watches each password that this keyring keeps: without it, it could not undo.
    pub(crate) fn learn(&mut self, keyring: &Keyring) {
        self.keyring = keyring.clone();
        let mut pipe = self.pulse.pipe.clone();
        // A pipe that takes nothing is seen to be broken by the warden's keeper.
        keyring.confide(move |server, password| drop(pipe.write_all(&key_line(server, password))));
    }

    /// Tells whichever warden watches that the agent only looks: nobody is to put anything back after it.
    pub(crate) fn only_looks(&mut self) {
        if !self.only_looks {
            self.only_looks = true;
            let _ = self.pulse.pipe.write_all(LOOKS);
        }
    }

    /// Receives every line of the undo logs.
    pub(crate) fn mirror(&self) -> Box<dyn Mirror> {
        Box::new(MirrorWriter::new(self.pulse.pipe.clone()))
    }
}

/// The line that tells that the agent only looks.
const LOOKS: &[u8] = b"looks\n";

/// What a line begins with that tells a password.
const KEY: &[u8] = b"key ";

/// A password as a line of the pipe, which is the only place where it is written.
fn key_line(server: &str, password: &str) -> Vec<u8> {
    let pair = serde_json::Value::from(vec![server, password]);
    [KEY, pair.to_string().as_bytes(), b"\n"].concat()
}

/// Says that the state folder is a guest's.
const GUEST: &str = "guest";

/// `squall warden AGENT STATE [guest]`: watches the agent on the pipe that is standard input.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let _log = log::start();
    let (agent, state) = match arguments {
        [agent, folder] => (agent, State::at(folder)),
        [agent, folder, word] if word == GUEST => (agent, State::of_guest(folder)),
        _ => return ExitCode::from(2),
    };
    let Ok(agent) = serde_json::from_str::<ProcessRef>(agent) else { return ExitCode::from(2) };
    let watched = watch(&agent, &state);
    state.leave();
    match watched {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn watch(agent: &ProcessRef, state: &State) -> Result<(), String> {
    // It was started from `/proc/self/exe`, which is no name to find it by.
    rustix::thread::set_name(c"squall").map_err(|error| error.to_string())?;
    // A session of its own: no terminal, and no signal meant for the agent's group, reaches the warden.
    rustix::process::setsid().map_err(|error| error.to_string())?;
    let Some(pidfd) = Pidfd::open(agent).map_err(|error| error.to_string())? else { return Ok(()) };
    let pipe = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?);
    pipe.set_nonblocking(true).map_err(|error| error.to_string())?;
    let folder = Folder::open(state.undo_logs()).map_err(|error| error.to_string())?;
    let mut ear = Ear::new(MirroredFolder::new(folder));
    write_ready().map_err(|error| error.to_string())?;

    loop {
        let mut watched = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&pipe, PollFlags::IN)];
        // An interrupted wait is a short wait.
        let _ = poll(&mut watched, Some(&ear.patience()));
        let ended = !watched[0].revents().is_empty();
        let open = ear.listen(&pipe);
        if ended {
            tracing::info!(agent = agent.pid, settled = ear.memory.is_settled(), "the agent ended");
            if ear.only_looks {
                return Ok(());
            }
            return recover(ear.memory, ear.keyring, state);
        }
        let hangs = ear.heard.elapsed() > SILENCE && !ear.memory.is_settled();
        // An agent that closed its end is on its way out; the pidfd tells when it is gone.
        let lingers = !open && !pidfd.wait(SILENCE).unwrap_or(false);
        if hangs || lingers {
            tracing::warn!(
                agent = agent.pid,
                hangs,
                lingers,
                "the agent does not work any more: it is ended"
            );
            // It may have ended in this very moment; the next look tells.
            let _ = pidfd.send(Signal::Kill);
        }
    }
}

fn write_ready() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(b"1")?;
    stdout.flush()
}

/// Puts back what the agent left, from the logs on disk and from memory; then ends the journal of a brain that is gone.
fn recover(memory: MirroredFolder, keyring: Keyring, state: &State) -> Result<(), String> {
    let owner = process::own().map_err(|error| error.to_string())?;
    let hook = crash_point::hook(crash_point::WARDEN)?;
    let mut hands = Hands::new(Machines::with(keyring), memory, owner, Timestamp::now).with_hook(hook);
    // What fails now may work in a moment: a process in the middle of an exit, a busy kernel table.
    let (mut told, mut clean) = (Vec::new(), false);
    for pause in [0, 50, 200, 1000] {
        std::thread::sleep(Duration::from_millis(pause));
        let Ok(restored) = hands.recover() else { continue };
        let residue: usize = restored.iter().map(|one| one.residue().len()).sum();
        tracing::info!(injections = restored.len(), residue, "what the agent left is put back");
        Restored::supersede(&mut told, &restored);
        clean = residue == 0;
        if clean {
            break;
        }
    }
    let begun = Instant::now();
    while !clean && Restored::are_under_way(&told) && begun.elapsed() < PATIENCE.0 {
        std::thread::sleep(super::WAITS);
        let Ok(restored) = hands.recover() else { continue };
        Restored::supersede(&mut told, &restored);
        clean = told.iter().all(|one| one.residue().is_empty());
    }
    epilogue::write(state, &told);
    if clean { Ok(()) } else { Err("something could not be put back".to_owned()) }
}

/// What the agent has said.
struct Ear {
    memory: MirroredFolder,
    keyring: Keyring,
    /// Whether the agent touches nothing.
    only_looks: bool,
    /// A line that has not ended yet.
    partial: Vec<u8>,
    /// When something was last heard.
    heard: Instant,
}

impl Ear {
    fn new(memory: MirroredFolder) -> Self {
        let heard = Instant::now();
        Self { memory, keyring: Keyring::default(), only_looks: false, partial: Vec::new(), heard }
    }

    /// How long nothing needs to be looked at: until the silence would be too long, where something is owed.
    fn patience(&self) -> Timespec {
        let left = (SILENCE + Duration::from_millis(1)).saturating_sub(self.heard.elapsed());
        let (least, most) = (Duration::from_millis(10), Duration::from_secs(1));
        let patience = if self.memory.is_settled() { most } else { left.clamp(least, most) };
        Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() }
    }

    /// Takes in what is there to be read; whether the pipe is still open.
    fn listen(&mut self, mut pipe: &UnixStream) -> bool {
        let mut buffer = [0; 16384];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.take(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.heard = Instant::now();
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            if let Some(key) = line.strip_prefix(KEY) {
                if let Ok((server, password)) = serde_json::from_slice::<(String, String)>(key) {
                    self.keyring.hear(&server, &password);
                }
                continue;
            }
            if line == LOOKS {
                self.only_looks = true;
                continue;
            }
            // A beat is heard by arriving; the memory passes it over.
            self.memory.hear(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::undo_log::Disk;

    #[test]
    fn the_warden_remembers_open_logs_however_the_lines_arrive() {
        let folder = tempfile::tempdir().unwrap();
        let memory = MirroredFolder::new(Folder::open(folder.path()).unwrap());
        let mut ear = Ear::new(memory);
        let json = br#"{"record":"applied","index":0}"#;
        let line = format!("{:08x} {}", crc32fast::hash(json), String::from_utf8_lossy(json));
        let said = format!("beat\nappend a-1 {line}\nappend b-1 {line}\nremove b-1\nbeat\nappend a-1 {line}");
        said.bytes().for_each(|byte| ear.take(&[byte]));
        assert_eq!(ear.memory.list().unwrap(), ["a-1"]);
        assert_eq!(ear.memory.read("a-1").unwrap(), format!("{line}\n").into_bytes());
    }

    #[test]
    fn a_warden_that_does_not_listen_is_waited_for_once() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut pipe = Pipe::new(ours);
        let line = [&[b'x'; 4095][..], b"\n"].concat();
        let sent = (0..10_000).take_while(|_| pipe.write_all(&line).is_ok()).count();
        assert!(pipe.is_broken() && sent < 10_000);
        // It listens again; nothing is glued to what was cut short.
        theirs.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 4096];
        while theirs.read(&mut buffer).is_ok() {}
        assert!(pipe.write_all(b"beat\n").is_err());
        assert_eq!(theirs.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // Another takes its place.
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        pipe.lead_to(ours);
        pipe.write_all(b"beat\n").unwrap();
        let mut beat = [0; 5];
        theirs.read_exact(&mut beat).unwrap();
        assert_eq!(&beat, b"beat\n");
    }
}
