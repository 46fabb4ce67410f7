//! The warden: a small process that undoes what is left if its agent dies or stops answering.
//!
//! The agent starts it before the first change and tells it, through a pipe, that it is alive and every line that it
//! writes to an undo log. So the warden needs no disk to know what is owed: a full disk or a damaged log file costs
//! nothing while it lives. It holds a pidfd of the agent, which cannot be mistaken for a later process.

use crate::state::State;
use crate::undo_logs;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use squall_engine::hands::Hands;
use squall_linux::disk::{Folder, Mirror, MirrorWriter, MirroredFolder};
use squall_linux::machine::LinuxMachine;
use squall_linux::sys::pidfd::Pidfd;
use squall_linux::sys::process;
use squall_model::protocol::Restored;
use squall_model::step::{ProcessRef, Signal};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An agent that is silent for this long is not working: it is ended, and its injections are undone.
const SILENCE: Duration = Duration::from_secs(5);
/// How often the agent says that it is alive.
const BEAT: Duration = Duration::from_millis(500);

/// The agent's end of the pipe, and the process at its other end.
pub(crate) struct Warden {
    state: State,
    child: Child,
    pipe: Pipe,
    last_beat: Instant,
}

/// A pipe to whichever warden watches now.
#[derive(Clone)]
struct Pipe(Arc<Mutex<UnixStream>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::Error::other("the pipe is in disorder"))?.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts a warden and waits until it watches.
pub(crate) fn start(state: &State) -> io::Result<Warden> {
    let (child, stream) = spawn(state)?;
    let pipe = Pipe(Arc::new(Mutex::new(stream)));
    Ok(Warden { state: state.clone(), child, pipe, last_beat: Instant::now() })
}

fn spawn(state: &State) -> io::Result<(Child, UnixStream)> {
    let me = process::own().map_err(io::Error::other)?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg("warden")
        .arg(serde_json::to_string(&me)?)
        .arg(state.folder())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut ready = [0; 1];
    let stdout = child.stdout.as_mut().ok_or_else(|| io::Error::other("no pipe"))?;
    stdout
        .read_exact(&mut ready)
        .map_err(|error| io::Error::other(format!("it did not begin to watch: {error}")))?;
    // A warden that cannot keep up must never hold up an undo: it then lives by the logs on disk.
    ours.set_write_timeout(Some(Duration::from_millis(250)))?;
    Ok((child, ours))
}

impl Warden {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says now and then that the agent is alive, and puts a new warden in the place of one that is gone.
    pub(crate) fn beat(&mut self) {
        if self.last_beat.elapsed() < BEAT {
            return;
        }
        self.last_beat = Instant::now();
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            // Until it succeeds the logs on disk are what there is, and the next beat tries again.
            let _ = self.replace();
        }
        let _ = self.pipe.write_all(b"beat\n");
    }

    /// Starts another warden and tells it what the logs on disk say, which its predecessor knew.
    fn replace(&mut self) -> io::Result<()> {
        let (child, stream) = spawn(&self.state)?;
        self.child = child;
        if let Ok(mut pipe) = self.pipe.0.lock() {
            *pipe = stream;
        }
        let mut mirror = MirrorWriter::new(self.pipe.clone());
        for (name, bytes) in undo_logs::own(&self.state)? {
            bytes.split_inclusive(|byte| *byte == b'\n').for_each(|line| mirror.appended(&name, line));
        }
        Ok(())
    }

    /// Receives every line of the undo logs.
    pub(crate) fn mirror(&self) -> Box<dyn Mirror> {
        Box::new(MirrorWriter::new(self.pipe.clone()))
    }
}

/// `squall warden AGENT STATE`: watches the agent on the pipe that is standard input.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [agent, folder] = arguments else { return ExitCode::from(2) };
    let Ok(agent) = serde_json::from_str::<ProcessRef>(agent) else { return ExitCode::from(2) };
    match watch(&agent, &State::at(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn watch(agent: &ProcessRef, state: &State) -> Result<(), String> {
    // A session of its own: no terminal, and no signal meant for the agent's group, reaches the warden.
    rustix::process::setsid().map_err(|error| error.to_string())?;
    let Some(pidfd) = Pidfd::open(agent).map_err(|error| error.to_string())? else { return Ok(()) };
    let pipe = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?);
    pipe.set_nonblocking(true).map_err(|error| error.to_string())?;
    let folder = Folder::open(state.undo_logs()).map_err(|error| error.to_string())?;
    let mut ear = Ear { memory: MirroredFolder::new(folder), partial: Vec::new(), heard: Instant::now() };
    write_ready().map_err(|error| error.to_string())?;

    loop {
        let mut watched = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&pipe, PollFlags::IN)];
        // An interrupted wait is a short wait.
        let _ = poll(&mut watched, Some(&ear.patience()));
        let ended = !watched[0].revents().is_empty();
        let open = ear.listen(&pipe);
        if ended {
            return recover(ear.memory);
        }
        let hangs = ear.heard.elapsed() > SILENCE && !ear.memory.is_settled();
        // An agent that closed its end is on its way out; the pidfd tells when it is gone.
        let lingers = !open && !pidfd.wait(SILENCE).unwrap_or(false);
        if hangs || lingers {
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

/// Puts back what the agent left, from the logs on disk and from memory.
fn recover(memory: MirroredFolder) -> Result<(), String> {
    let owner = process::own().map_err(|error| error.to_string())?;
    let mut hands = Hands::new(LinuxMachine::new(), memory, owner, Timestamp::now);
    // What fails now may work in a moment: a process in the middle of an exit, a busy kernel table.
    for pause in [0, 50, 200, 1000] {
        std::thread::sleep(Duration::from_millis(pause));
        let clean = |restored: Vec<Restored>| restored.iter().all(|one| one.residue().is_empty());
        if hands.recover().is_ok_and(clean) {
            return Ok(());
        }
    }
    Err("something could not be put back".to_owned())
}

/// What the agent has said.
struct Ear {
    memory: MirroredFolder,
    /// A line that has not ended yet.
    partial: Vec<u8>,
    /// When something was last heard.
    heard: Instant,
}

impl Ear {
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
        let mut ear = Ear { memory, partial: Vec::new(), heard: Instant::now() };
        let json = br#"{"record":"applied","index":0}"#;
        let line = format!("{:08x} {}", crc32fast::hash(json), String::from_utf8_lossy(json));
        let said = format!("beat\nappend a-1 {line}\nappend b-1 {line}\nremove b-1\nbeat\nappend a-1 {line}");
        said.bytes().for_each(|byte| ear.take(&[byte]));
        assert_eq!(ear.memory.list().unwrap(), ["a-1"]);
        assert_eq!(ear.memory.read("a-1").unwrap(), format!("{line}\n").into_bytes());
    }
}
