//! The agent on a node of a cluster, in a pod that was made there for the run.
//!
//! The pod's own process only waits. Agents are started beside it, through the cluster's exec stream, and become processes of
//! the node before they do anything else: so all that works on a host works there, and neither agent nor warden is ended with
//! the pod, whoever deletes it and however. What is owed is put back when the stream ends, when the lease runs out, and when
//! the pod is told to go.

use crate::state::State;
use crate::undo_logs;
use squall_linux::step::worker::Program;
use squall_linux::sys::pidfd::Pidfd;
use squall_linux::sys::{node, process};
use squall_model::step::{ProcessRef, Signal};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// The option that makes an agent one of a node; the run follows.
pub(crate) const OPTION: &str = "--node";

/// The first word of the pod's own process; the run follows.
pub(crate) const ROLE: &str = "agent-pod";

/// Where undo logs are kept on a node.
const STATE: &str = "/var/lib/squall";

/// How long an agent may take to end once it is killed, and its warden to put back what it held.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
const PUTS_BACK_WITHIN: Duration = Duration::from_secs(5);

/// How long the pod that is told to go waits for those who put back. It is killed some time after that.
pub(crate) const LEAVES_WITHIN: Duration = Duration::from_secs(50);

/// How long a pod stays in which there is no agent: whoever wanted one is gone.
const IDLES_FOR: Duration = Duration::from_mins(3);

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
    let is_it = |pid: u32| {
        let words = process::command_line(pid).unwrap_or_default();
        matches!(words.as_slice(), [_, role, option, of, ..] if role == "agent" && option == OPTION && of == run)
            && program.is_run_by(pid)
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

/// `squall agent-pod RUN`: the pod's own process. Waits until it is told to go or nobody needs it any more.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [run] = arguments else { return ExitCode::from(2) };
    match wait(run) {
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
    // What an agent holds when it dies, its warden puts back at once.
    let agents = agents_of(run);
    for agent in &agents {
        let ended = end(agent, Signal::Term).or_else(|_| end(agent, Signal::Kill));
        if let Err(error) = ended {
            let _ = writeln!(io::stderr(), "squall {ROLE}: could not end agent {agent}: {error}");
        }
    }
    Ok(wait_for_wardens(&agents, LEAVES_WITHIN))
}
