//! The hands: the process that plans, injects, observes and undoes for one brain, over the stream it was started on.
//!
//! It listens on no port. When the stream ends, when the lease runs out, or when the `halt` file appears, it undoes
//! everything that it holds. Its warden, started before the first change, does the same if it dies.

pub(crate) mod frames;
pub(crate) mod node;
pub(crate) mod transport;
pub(crate) mod warden;

use crate::audit::{self, Clerk};
use crate::machines::Machines;
use crate::state::State;
use crate::{crash_point, epilogue, log, registry};
use jiff::Timestamp;
use squall_engine::agent::AgentCore;
use squall_engine::hands::Hands;
use squall_linux::disk::Folder;
use squall_linux::sys::process;
use squall_model::cloud::PATIENCE;
use squall_model::protocol::{Answer, Request, Response, Restored};
use squall_remote::Keyring;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often the agent looks at its lease and the `halt` file when nobody calls; also how often the warden hears it.
const TICK: Duration = Duration::from_millis(200);

/// How often is looked at what is being put back by somebody who takes his time.
pub(crate) const WAITS: Duration = Duration::from_secs(2);

/// `squall agent [--node RUN] [--state FOLDER] [--log FILTER]`: serves the brain on standard input and output.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let option = |flag: &str| arguments.iter().skip_while(|word| *word != flag).nth(1);
    // Before there is any thread.
    let entered = option(node::OPTION).map(|run| node::enter(run));
    let filter = option("--log").cloned();
    let filter = filter.or_else(|| log::asked().map(|filter| filter.to_string_lossy().into_owned()));
    let _log = filter.as_deref().map(log::start_with);
    let here = || option("--state").map_or_else(State::locate, |folder| Ok(State::at(folder)));
    let state = match entered.unwrap_or_else(|| here().map_err(|failure| failure.to_string())) {
        Ok(state) => state,
        Err(error) => {
            let _ = writeln!(io::stderr(), "squall agent: {error}");
            return ExitCode::FAILURE;
        }
    };
    match serve(&state, filter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The brain may be gone, and the terminal with it.
            let _ = writeln!(io::stderr(), "squall agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(state: &State, log: Option<String>) -> Result<(), String> {
    // Before there are threads and a warden, which inherit it.
    process::take_precedence();
    let in_folder = |error: io::Error| {
        format!(
            "could not use the state folder {}: {error}; set SQUALL_STATE to another",
            state.folder().display()
        )
    };
    state.prepare().map_err(in_folder)?;
    let brain = epilogue::parent();
    let mut warden =
        warden::start(state, log).map_err(|error| format!("could not start the warden: {error}"))?;
    let mut disk = Folder::open(state.undo_logs()).map_err(|error| error.to_string())?;
    disk.set_mirror(Some(warden.mirror()));
    let owner = process::own().map_err(|error| format!("could not identify this process: {error}"))?;
    let (mut pulse, mut crash) = (warden.pulse(), crash_point::hook(crash_point::AGENT)?);
    let keyring = Keyring::default();
    warden.learn(&keyring);
    let hands = Hands::new(Machines::with(keyring).keeping(state.folder()), disk, owner, Timestamp::now)
        .with_hook(Box::new(move |point| {
            // However many acts a call takes, each is a sign of life.
            pulse.beat();
            crash(point);
        }));
    let mut agent = AgentCore::new(hands, registry::FAULTS, warden.pid());

    let requests = listen();
    let started = Instant::now();
    while !agent.finished() {
        warden.beat();
        // At every turn: a brain that talks without a pause must not keep it from being seen.
        agent.tick(started.elapsed(), state.halt_file().exists());
        let patience =
            agent.next_deadline().map_or(TICK, |at| at.saturating_sub(started.elapsed()).min(TICK));
        match requests.recv_timeout(patience) {
            Ok(request) => {
                let (number, call) = (request.number, request.call.name());
                tracing::debug!(number, call, "frame in");
                let response = agent.handle(started.elapsed(), request);
                if agent.only_looks() {
                    warden.only_looks();
                }
                tracing::debug!(number, call, accepted = response.answer.is_ok(), "frame out");
                if frames::write(&mut io::stdout().lock(), &response).is_err() {
                    break;
                }
                agent.answered(started.elapsed());
                tell(state, &response);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                tracing::info!("the stream ended: everything is put back");
                break;
            }
        }
    }
    let restored = finish(&mut agent, &mut warden);
    // The brain took its leave, or is gone and cannot write any more. What is still owed is the warden's to tell.
    if !agent.finished() && !agent.owes() && !state.is_of_guest() {
        epilogue::write_after(brain, state, &restored);
    }
    state.leave();
    let residue: Vec<String> = restored.iter().flat_map(Restored::residue).collect();
    if agent.owes() { Err(format!("could not put back: {}", residue.join("; "))) } else { Ok(()) }
}

/// Tells the audit log what was put back of dead owners. Nobody waits for it.
fn tell(state: &State, response: &Response) {
    let Ok(Answer::Hello { recovered, .. }) = &response.answer else { return };
    if !recovered.is_empty() && !state.is_of_guest() {
        let clerk = Clerk::start(state);
        recovered.iter().for_each(|one| clerk.note(audit::recovered(one)));
    }
}

/// Undoes what is still held. What cannot be put back keeps its log, and the warden tries once more.
fn finish(agent: &mut AgentCore<Machines, Folder>, warden: &mut warden::Warden) -> Vec<Restored> {
    let mut restored = agent.stream_ended();
    for pause in [20, 100, 500] {
        if !agent.owes() {
            break;
        }
        std::thread::sleep(Duration::from_millis(pause));
        restored = agent.stream_ended();
    }
    // What a cloud has begun to put back cannot be hastened; whoever waits for it must not look dead meanwhile.
    let begun = Instant::now();
    while agent.owes() && Restored::are_under_way(&restored) && begun.elapsed() < PATIENCE.0 {
        std::thread::sleep(WAITS);
        warden.beat();
        restored = agent.stream_ended();
    }
    restored
}

/// Reads the stream on a thread of its own, so that a silent brain cannot keep the lease from running out. When the
/// stream ends, so does the channel. Anything that is not a request is treated like an end: undoing is always safe.
fn listen() -> mpsc::Receiver<Request> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stream = io::stdin().lock();
        while let Ok(Some(request)) = frames::read(&mut stream) {
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    receiver
}
