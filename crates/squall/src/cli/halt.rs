//! `squall halt [RUN]`: ends all runs (or one) at once and waits until everything is put back.

use crate::audit;
use crate::cli::recover;
use crate::exit::{Failure, Outcome};
use crate::out;
use crate::state::{LiveRun, State};
use crate::undo_logs::{self, Held};
use clap::Args;
use squall_linux::sys::pidfd::Pidfd;
use squall_model::fault::is_for_good;
use squall_model::protocol::Restored;
use squall_model::step::{ProcessRef, Signal};
use squall_report::words::FOR_GOOD;
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
        let state = State::locate()?;
        let runs: Vec<LiveRun> = state.live_runs().into_iter().filter(|live| self.means(&live.run)).collect();
        let held = self.held(&state)?;
        if runs.is_empty() && held.is_empty() {
            return self.nothing(&state);
        }
        // One that cannot be reached keeps nobody from reaching the others.
        let mut troubles = tell(&runs);
        if !self.wait(&state, &runs)? {
            // Said again, it also ends a run's wait for the steady state, which may take its time to come back.
            troubles = tell(&runs);
            troubles.extend(end_agents(&self.held(&state)?));
            self.wait(&state, &runs)?;
        }
        let recovered = recover::recover(&state)?;
        let left = self.held(&state)?;
        let alive = state.live_runs();
        let (going_on, ended): (Vec<_>, Vec<_>) =
            runs.iter().partition(|live| alive.iter().any(|other| other.run == live.run));
        let on = if runs.is_empty() { "injections without a run".to_owned() } else { names(&runs) };
        audit::note(&state, "halt", &on, &[("asked_for", self.run.as_deref().unwrap_or("everything"))]);
        for live in ended {
            out::say(format!("halted run {} of {}", live.run, live.experiment));
        }
        for one in held.iter().filter(|one| !left.iter().any(|other| other.injection == one.injection)) {
            out::say(over(one));
        }
        let residue: Vec<String> = recovered.iter().flat_map(Restored::residue).collect();
        let owed: Vec<String> = left.iter().map(still_held).collect();
        let going_on: Vec<String> = going_on.into_iter().map(still_going_on).collect();
        if residue.is_empty() && owed.is_empty() && going_on.is_empty() {
            Ok(ExitCode::SUCCESS)
        } else {
            Err(Failure::residue([going_on, owed, residue, troubles].concat().join("\n")))
        }
    }

    fn means(&self, run: &str) -> bool {
        self.run.as_deref().is_none_or(|wanted| wanted == run)
    }

    fn held(&self, state: &State) -> Result<Vec<Held>, Failure> {
        Ok(undo_logs::all(state)?.into_iter().filter(|held| self.means(&held.run)).collect())
    }

    fn nothing(&self, state: &State) -> Outcome {
        if let Some(run) = &self.run {
            return Err(Failure::invalid(format!(
                "there is no live run {run:?}; `squall status` lists them"
            )));
        }
        let others = undo_logs::elsewhere(state);
        if others.is_empty() {
            out::say("nothing is alive on this machine");
            return Ok(ExitCode::SUCCESS);
        }
        out::say(format!("nothing is alive with the state folder {}; others are:", state.folder().display()));
        for other in &others {
            let held = undo_logs::seen(other);
            let held = held.map_or_else(
                |_| "what only its user may know".to_owned(),
                |held| match held.len() {
                    0 => "nothing now".to_owned(),
                    1 => "1 injection".to_owned(),
                    count => format!("{count} injections"),
                },
            );
            let folder = other.folder().display();
            out::say(format!(
                "  an agent with the state folder {folder} holds {held}; `SQUALL_STATE={folder} squall halt` ends it"
            ));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Waits until the runs have ended and nothing is held any more; whether that was in time. What a run's agent
    /// holds is not always to be seen here, as that of root; but a run that has ended has put it back, or said that it
    /// did not.
    fn wait(&self, state: &State, runs: &[LiveRun]) -> Result<bool, Failure> {
        let started = Instant::now();
        loop {
            let alive = state.live_runs();
            let over = !runs.iter().any(|live| alive.iter().any(|other| other.run == live.run))
                && self.held(state)?.iter().all(|held| !held.alive);
            if over || started.elapsed() > PATIENCE {
                return Ok(over);
            }
            // An agent whose run is announced in another folder will not hear of this by itself.
            let is_ours = |held: &Held| runs.iter().any(|live| live.run == held.run);
            let (_, foreign): (Vec<_>, Vec<_>) = self.held(state)?.into_iter().partition(is_ours);
            end_agents(&foreign);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn names(runs: &[LiveRun]) -> String {
    runs.iter().map(|live| live.run.as_str()).collect::<Vec<_>>().join(", ")
}

/// SIGUSR1 is "halt" to a run: it aborts, puts everything back, and says so in its verdict. Tells what went wrong.
fn tell(runs: &[LiveRun]) -> Vec<String> {
    runs.iter().filter_map(|live| signal(&live.brain, Signal::Usr1).err()).collect()
}

/// Ends agents that did not give up what they hold; their wardens put it back. Tells what went wrong.
fn end_agents(held: &[Held]) -> Vec<String> {
    let living = held.iter().filter(|one| one.alive).filter_map(|one| one.agent.as_ref());
    living.filter_map(|agent| signal(agent, Signal::Kill).err()).collect()
}

/// Signals exactly this process; one that is gone needs no signal.
fn signal(process: &ProcessRef, signal: Signal) -> Result<(), String> {
    let held = Pidfd::open(process).map_err(|error| format!("could not reach {process}: {error}"))?;
    held.map_or(Ok(()), |held| held.send(signal))
        .map_err(|error| format!("could not send {signal} to {process}: {error}; try `sudo squall halt`"))
}

/// What is said of an injection of which nothing is held any more.
fn over(one: &Held) -> String {
    let name = format!("{} on {} ({})", one.fault, one.target, one.injection);
    if is_for_good(&one.fault) { format!("{name} {FOR_GOOD}") } else { format!("put back: {name}") }
}

fn still_held(held: &Held) -> String {
    let owed = if held.owed.is_empty() { "it is not known what".to_owned() } else { held.owed.join("; ") };
    format!("not put back: {} on {} ({}): {owed}", held.fault, held.target, held.injection)
}

fn still_going_on(live: &LiveRun) -> String {
    let advice = if live.through_sudo { "; its agent is root's: `sudo squall halt` ends that" } else { "" };
    format!(
        "run {} of {} (pid {}) still goes on, and its faults may{advice}",
        live.run, live.experiment, live.brain.pid
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_linux::sys::process;
    use std::process::Command;

    #[test]
    fn what_was_ended_is_not_called_put_back() {
        let held = |fault: &str| Held {
            injection: "a-1".into(),
            run: "run-1".into(),
            fault: fault.into(),
            target: "container w1".into(),
            owner: 1,
            alive: false,
            lease: "5s".into(),
            since: String::new(),
            owed: Vec::new(),
            claims: Vec::new(),
            agent: None,
        };
        assert_eq!(over(&held("process.pause")), "put back: process.pause on container w1 (a-1)");
        let killed = over(&held("process.kill"));
        assert!(killed.starts_with("process.kill on container w1 (a-1) cannot be put back"), "{killed}");
    }

    #[test]
    fn a_process_that_got_the_number_of_a_dead_agent_is_let_be() {
        let mut child = Command::new("sleep").arg("61.40625").spawn().unwrap();
        let agent = process::reference(child.id()).unwrap();
        let held = |agent: ProcessRef| Held {
            injection: "a-1".into(),
            run: "run-1".into(),
            fault: "process.pause".into(),
            target: "sleep".into(),
            owner: agent.pid,
            alive: true,
            lease: "5s".into(),
            since: String::new(),
            owed: Vec::new(),
            claims: Vec::new(),
            agent: Some(agent),
        };
        let earlier = ProcessRef { start_time: agent.start_time - 1, ..agent.clone() };
        assert_eq!(end_agents(&[held(earlier)]), Vec::<String>::new());
        assert!(child.try_wait().unwrap().is_none(), "somebody else was killed");
        assert_eq!(end_agents(&[held(agent)]), Vec::<String>::new());
        child.wait().unwrap();
    }
}
