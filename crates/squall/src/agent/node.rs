//! The agent on a node of a cluster, in a pod that was made there for the run.
//!
//! The pod's own process only waits. Agents are started beside it, through the cluster's exec stream, and become processes of
//! the node before they do anything else: so all that works on a host works there, and neither agent nor warden is ended with
//! the pod, whoever deletes it and however. What is owed is put back when the stream ends, when the lease runs out, and when
//! the pod is told to go.
//!
//! A pod that stays for all runs first has a process of its own put back what agents before it left on the node, after a power
//! cut for one, and then waits as well, and asks nobody anything.

use crate::agent_pod::{LEAVES_WITHIN, RESIDENT, ROLE};
use crate::machines::Machines;
use crate::state::State;
use crate::undo_logs;
use jiff::Timestamp;
use squall_engine::hands::Hands;
use squall_linux::disk::Folder;
use squall_linux::step::worker::Program;
use squall_linux::sys::pidfd::Pidfd;
use squall_linux::sys::{node, process};
use squall_model::protocol::Restored;
use squall_model::step::{ProcessRef, Signal};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// The option that makes an agent one of a node; the run follows.
pub(crate) const OPTION: &str = "--node";

/// In place of a run: puts back what is left on the node, and ends.
const RECOVER: &str = "--recover";

/// Where undo logs are kept on a node.
const STATE: &str = "/var/lib/squall";

/// How long an agent may take to end once it is killed, and its warden to put back what it held.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
const PUTS_BACK_WITHIN: Duration = Duration::from_secs(5);

/// How long a pod stays in which there is no agent: whoever wanted one is gone.
const IDLES_FOR: Duration = Duration::from_mins(3);

/// The pauses before it is tried again to put back what could not be: each is twice as long as the one before, up to the last.
const TRIES_AGAIN_AFTER: Duration = Duration::from_secs(5);
const TRIES_AGAIN_AT_LEAST_EVERY: Duration = Duration::from_mins(5);

const LOOKS_EVERY: Duration = Duration::from_secs(1);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Makes this process one of the node, before it has threads, and ends an earlier agent of the same run: its stream is lost,
/// and while it lives nobody else puts back what it holds. The state folder, for a guest.
pub(super) fn enter(run: &str) -> Result<State, String> {
    node::enter().map_err(|error| error.to_string())?;
    let me = std::process::id();
    let former: Vec<ProcessRef> = agents_of(run).into_iter().filter(|agent| agent.pid != me).collect();
    for agent in &former {
        end(agent, Signal::Kill)
            .map_err(|error| format!("could not end the agent before ({agent}): {error}"))?;
    }
    wait_for_wardens(&former, PUTS_BACK_WITHIN);
    Ok(State::of_guest(STATE))
}

/// The living agents of a run on this node.
fn agents_of(run: &str) -> Vec<ProcessRef> {
    let program = Program::of(Path::new("/proc/self/exe"));
    agents(|of, pid| of == run && program.is_run_by(pid))
}

/// The living agents that were started in this very container, of whichever run: those of others run other files.
fn agents_of_this_pod() -> Vec<ProcessRef> {
    let file = |pid: &str| {
        let found = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        Some((found.dev(), found.ino()))
    };
    let own = file("self");
    agents(|_, pid| own.is_some() && file(&pid.to_string()) == own)
}

/// The living agents on this node of which this is so, told the run and the process number.
fn agents(is_one: impl Fn(&str, u32) -> bool) -> Vec<ProcessRef> {
    let is_it = |pid: u32| {
        let words = process::command_line(pid).unwrap_or_default();
        matches!(words.as_slice(), [_, role, option, of, ..] if role == "agent" && option == OPTION && is_one(of, pid))
    };
    let living = |pid: u32| process::reference(pid).ok().filter(process::is_alive);
    let all = process::all().unwrap_or_default();
    all.into_iter().filter(|pid| is_it(*pid)).filter_map(living).collect()
}

fn end(agent: &ProcessRef, signal: Signal) -> io::Result<()> {
    let Some(pidfd) = Pidfd::open(agent)? else { return Ok(()) };
    match pidfd.send(signal) {
        Ok(()) if pidfd.wait(ENDS_WITHIN)? => Ok(()),
        Ok(()) => Err(io::Error::other("it was sent a signal and is not gone yet")),
        Err(_) if !process::is_alive(agent) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits until no warden of these agents is there any more; whether that is so.
fn wait_for_wardens(agents: &[ProcessRef], within: Duration) -> bool {
    let begun = Instant::now();
    let is_watched = || undo_logs::wardens().iter().any(|(agent, _)| agents.contains(agent));
    while !agents.is_empty() && is_watched() {
        if begun.elapsed() > within {
            return false;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    true
}

/// `squall agent-pod RUN`: the pod's own process. Waits until it is told to go or nobody needs it any more; with `--resident`
/// in place of a run, only until it is told.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [run] = arguments else { return ExitCode::from(2) };
    let ended = match run.as_str() {
        RESIDENT => stay(),
        RECOVER => recover(),
        run => wait(run),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            let _ = writeln!(io::stderr(), "squall {ROLE}: what the agents held is not put back yet");
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "squall {ROLE}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is put back when it ends.
fn wait(run: &str) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut told, mut asked) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut needed = Instant::now();
        while needed.elapsed() < IDLES_FOR {
            tokio::select! {
                _ = told.recv() => break,
                _ = asked.recv() => break,
                () = tokio::time::sleep(LOOKS_EVERY) => {}
            }
            if !agents_of(run).is_empty() {
                needed = Instant::now();
            }
        }
        Ok::<_, io::Error>(())
    })?;
    Ok(end_all(&agents_of(run)))
}

/// Ends agents: what one holds when it dies, its warden puts back at once. Whether all is put back.
fn end_all(agents: &[ProcessRef]) -> bool {
    for agent in agents {
        let ended = end(agent, Signal::Term).or_else(|_| end(agent, Signal::Kill));
        if let Err(error) = ended {
            let _ = writeln!(io::stderr(), "squall {ROLE}: could not end agent {agent}: {error}");
        }
    }
    wait_for_wardens(agents, LEAVES_WITHIN)
}

/// Has what is left on the node put back, again and again until it is, and waits until it is told to go. Whether all that was
/// held then is put back.
fn stay() -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut told, mut asked) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = told.recv() => {}
            _ = asked.recv() => {}
            () = recover_and_rest() => {}
        }
        Ok::<_, io::Error>(())
    })?;
    Ok(end_all(&agents_of_this_pod()))
}

/// Never ends.
async fn recover_and_rest() {
    let mut pause = TRIES_AGAIN_AFTER;
    while !recovered().await {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(TRIES_AGAIN_AT_LEAST_EVERY);
    }
    std::future::pending::<()>().await;
}

/// A process of its own goes to the node: this one must stay in the pod, so that it ends with it.
async fn recovered() -> bool {
    let mut command = Command::new("/proc/self/exe");
    let ended = command.args([ROLE, RECOVER]).stdin(Stdio::null()).kill_on_drop(true).status().await;
    match ended {
        Ok(status) => status.success(),
        Err(error) => {
            let _ = writeln!(io::stderr(), "squall {ROLE}: could not start who puts back: {error}");
            false
        }
    }
}

/// Puts back what dead agents left on this node; whether all of it is.
fn recover() -> io::Result<bool> {
    node::enter()?;
    let state = State::of_guest(STATE);
    if !state.undo_logs().is_dir() {
        return Ok(true);
    }
    state.prepare()?;
    let disk = Folder::open(state.undo_logs()).map_err(io::Error::other)?;
    let owner = process::own()?;
    let machines = Machines::default().keeping(state.folder());
    let mut hands = Hands::new(machines, disk, owner, Timestamp::now);
    let restored = hands.recover().map_err(io::Error::other)?;
    for one in &restored {
        let Restored { fault, target, injection, .. } = one;
        let _ = writeln!(io::stdout(), "squall {ROLE}: {fault} on {target} ({injection}): {}", one.fate());
    }
    state.leave();
    Ok(restored.iter().all(|one| one.residue().is_empty()))
}
