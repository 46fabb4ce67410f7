//! `squall halt [RUN]`: ends all runs (or one) at once and waits until everything is put back.

use crate::cli::recover;
use crate::exit::{Failure, Outcome};
use crate::out;
use crate::state::{LiveRun, State};
use crate::undo_logs::{self, Held};
use clap::Args;
use squall_linux::sys::pidfd::Pidfd;
use squall_linux::sys::process;
use squall_model::protocol::Restored;
use squall_model::step::{ProcessRef, Signal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The run to end; all of them where none is named
    run: Option<String>,
}

/// How long a run may take to put everything back by itself before its agent is ended, whose warden then does it.
const PATIENCE: Duration = Duration::from_secs(5);

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let state = State::locate();
        let runs: Vec<LiveRun> = state.live_runs().into_iter().filter(|live| self.means(&live.run)).collect();
        let held = self.held(&state)?;
        if runs.is_empty() && held.is_empty() {
            return self.nothing();
        }
        for live in &runs {
            // SIGUSR1 is "halt" to a run: it aborts, puts everything back, and says so in its verdict.
            signal(&live.brain, Signal::Usr1)?;
        }
        if !self.wait(&state, &runs, PATIENCE)? {
            end_agents(&self.held(&state)?);
            self.wait(&state, &runs, PATIENCE)?;
        }
        let recovered = recover::recover(&state)?;
        for live in &runs {
            out::say(format!("halted run {} of {}", live.run, live.experiment));
        }
        for one in &held {
            out::say(format!("put back: {} on {} ({})", one.fault, one.target, one.injection));
        }
        let residue: Vec<String> = recovered.iter().flat_map(Restored::residue).collect();
        let left: Vec<String> = self.held(&state)?.into_iter().flat_map(|held| held.owed).collect();
        if residue.is_empty() && left.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(Failure::residue(format!("not put back: {}", [residue, left].concat().join("; "))))
        }
    }

    fn means(&self, run: &str) -> bool {
        self.run.as_deref().is_none_or(|wanted| wanted == run)
    }

    fn held(&self, state: &State) -> Result<Vec<Held>, Failure> {
        Ok(undo_logs::all(state)?.into_iter().filter(|held| self.means(&held.run)).collect())
    }

    fn nothing(&self) -> Outcome {
        if let Some(run) = &self.run {
            return Err(Failure::invalid(format!(
                "there is no live run {run:?}; `squall status` lists them"
            )));
        }
        out::say("nothing is alive on this machine");
        Ok(ExitCode::SUCCESS)
    }

    /// Waits until nothing is held any more; whether that was in time.
    fn wait(&self, state: &State, runs: &[LiveRun], patience: Duration) -> Result<bool, Failure> {
        let started = Instant::now();
        loop {
            let over = self.held(state)?.iter().all(|held| !held.alive)
                && !runs.iter().any(|live| live.is_injecting(state));
            if over || started.elapsed() > patience {
                return Ok(over);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Ends agents that did not give up what they hold; their wardens put it back.
fn end_agents(held: &[Held]) {
    for one in held.iter().filter(|one| one.alive) {
        if let Ok(agent) = process::reference(one.owner) {
            // It may end by itself in this very moment.
            let _ = signal(&agent, Signal::Kill);
        }
    }
}

/// Signals exactly this process; one that is gone needs no signal.
fn signal(process: &ProcessRef, signal: Signal) -> Result<(), Failure> {
    let held = Pidfd::open(process)
        .map_err(|error| Failure::failed(format!("could not reach {process}: {error}")))?;
    held.map_or(Ok(()), |held| held.send(signal)).map_err(|error| {
        Failure::failed(format!("could not send {signal} to {process}: {error}; try `sudo squall halt`"))
    })
}

impl LiveRun {
    fn is_injecting(&self, state: &State) -> bool {
        undo_logs::all(state).is_ok_and(|held| held.iter().any(|one| one.run == self.run))
    }
}
