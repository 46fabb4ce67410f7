//! `squall recover`: puts back what injections without an owner left.

use super::leftovers::{held_by_a_run, held_elsewhere};
use crate::audit::{self, Clerk};
use crate::crash_point;
use crate::epilogue;
use crate::exit::{Failure, Outcome};
use crate::machines::{Elsewhere, Machines};
use crate::out;
use crate::shop_networks;
use crate::state::State;
use crate::undo_logs::{self, Held};
use clap::Args;
use jiff::Timestamp;
use squall_engine::hands::Hands;
use squall_linux::disk::Folder;
use squall_linux::sys::process;
use squall_model::cloud::PATIENCE;
use squall_model::fault::is_for_good;
use squall_model::machine::Leftover;
use squall_model::protocol::Restored;
use squall_model::server::ServerUrl;
use squall_remote::Keyring;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long is waited for who holds what dead owners left: the last agent and the warden of a run that is ending try for
/// little more than a second.
const LETS_GO_WITHIN: Duration = Duration::from_secs(3);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// How often is looked at what is being put back by somebody who takes his time.
const WAITS: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// This run, or injection, is dead, wherever it was: put back what it left in clusters before its time is over; may be repeated
    #[arg(long, value_name = "RUN", requires = "cluster")]
    dead: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let state = State::locate()?;
        let mut restored = recover_patiently(&state, self.elsewhere.servers())?;
        let begun = Instant::now();
        if Restored::are_under_way(&restored) && !self.json {
            let owed: Vec<String> = restored.iter().flat_map(Restored::residue).collect();
            out::say(format!("is being put back, and waited for: {}", owed.join("; ")));
        }
        while Restored::are_under_way(&restored) && begun.elapsed() < PATIENCE.0 {
            std::thread::sleep(WAITS);
            Restored::supersede(&mut restored, &recover_with(&state, self.elsewhere.servers())?);
        }
        let (ended, held_yet) = self.end_elsewhere(&state)?;
        restored.extend(ended);
        restored.extend(shop_networks::recover());
        let living: Vec<Held> = undo_logs::all(&state)?.into_iter().filter(|held| held.alive).collect();
        if self.json {
            out::say_json(&restored);
        } else {
            match (restored.as_slice(), living.is_empty() && held_yet.is_empty()) {
                ([], true) => out::say("nothing to put back"),
                ([], false) => {
                    out::say("nothing that an owner left behind; those who live put back what they hold");
                }
                _ => restored.iter().for_each(|one| out::say(describe(one))),
            }
            living.iter().for_each(|held| out::say(left_alone(held)));
            held_yet.iter().for_each(|mark| out::say(held_by_a_run(mark)));
        }
        let residue: Vec<String> = restored.iter().flat_map(Restored::residue).collect();
        if residue.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Failure::residue(residue.join("\n"))) }
    }

    /// Ends what goes by a mark of Squall's on these servers and in these clusters, but for what lives on this machine, and
    /// what a run elsewhere still means to hold, which is given beside.
    fn end_elsewhere(&self, state: &State) -> Result<(Vec<Restored>, Vec<Leftover>), Failure> {
        if self.elsewhere.is_nowhere() {
            return Ok(Default::default());
        }
        let mut held = undo_logs::all(state)?;
        held.extend(held_elsewhere(state));
        let lives = |mark: &Leftover| {
            held.iter().any(|one| one.alive && mark.injection.as_ref() == Some(&one.injection))
        };
        let mut servers = self.elsewhere.remote();
        let unasked = |error: squall_model::machine::MachineError| Failure::failed(error.to_string());
        let found = servers.leftovers().map_err(unasked)?;
        let now = Timestamp::now();
        let is_ended =
            |mark: &Leftover| held.iter().any(|one| mark.injection.as_ref() == Some(&one.injection));
        let (held_yet, over): (Vec<_>, Vec<_>) = found
            .into_iter()
            .filter(|mark| !lives(mark))
            .partition(|mark| !is_ended(mark) && self.may_live(mark, now));
        let mut restored = Vec::new();
        for leftover in over {
            let (steps, errors) = match servers.remove(&leftover) {
                Ok(outcome) => (outcome.into_iter().collect(), Vec::new()),
                Err(error) => (Vec::new(), vec![error.to_string()]),
            };
            let injection = leftover.injection.unwrap_or_default();
            restored.push(Restored {
                injection,
                fault: "a fault".to_owned(),
                target: leftover.what,
                steps,
                errors,
            });
        }
        Ok((restored, held_yet))
    }

    /// Whether a run that is not known to be dead means to hold it yet.
    fn may_live(&self, mark: &Leftover, now: Timestamp) -> bool {
        mark.held.as_ref().is_some_and(|hold| {
            let is_named = |name: &String| *name == hold.run || Some(name) == mark.injection.as_ref();
            !hold.is_overdue(now) && !self.dead.iter().any(is_named)
        })
    }
}

/// What is not this verb's to put back, in words.
pub(super) fn left_alone(held: &Held) -> String {
    let Held { fault, target, injection, owner, .. } = held;
    format!(
        "left alone: {fault} on {target} ({injection}), which the living agent {owner} holds; `squall halt` ends it"
    )
}

/// Puts back what is owed by dead owners, in this process.
pub(crate) fn recover(state: &State) -> Result<Vec<Restored>, Failure> {
    recover_patiently(state, &[])
}

/// The same, and waits a while for whoever else is putting it back: that may be somebody of the very run that left it, who
/// cannot. What they do not let go of is still owed.
fn recover_patiently(state: &State, servers: &[ServerUrl]) -> Result<Vec<Restored>, Failure> {
    let begun = Instant::now();
    let mut restored = recover_with(state, servers)?;
    loop {
        let held = undo_logs::passed_over(state, &restored)?;
        if held.is_empty() {
            return Ok(restored);
        }
        if begun.elapsed() > LETS_GO_WITHIN {
            restored.extend(held.iter().map(|held| held_by_another(state, held)));
            return Ok(restored);
        }
        std::thread::sleep(BETWEEN_LOOKS);
        // Each attempt asks servers anew and is audited, for all that is owed: it is made when somebody has let go.
        if held.iter().any(|held| undo_logs::holder(state, &held.injection).is_none()) {
            Restored::supersede(&mut restored, &recover_with(state, servers)?);
        }
    }
}

/// What is owed and cannot be had.
fn held_by_another(state: &State, held: &Held) -> Restored {
    let Held { fault, target, injection, owner, owed, .. } = held;
    let by = undo_logs::holder(state, injection).unwrap_or_else(|| "another process".to_owned());
    let error = format!(
        "{fault} on {target} ({injection}), which agent {owner} left, is owed: {}; {by} holds its undo log, and puts it back \
         if it can; run `squall recover` again when that has ended",
        owed.join("; ")
    );
    Restored {
        injection: injection.clone(),
        fault: fault.clone(),
        target: target.clone(),
        steps: Vec::new(),
        errors: vec![error],
    }
}

/// The same, with the passwords that stand in these addresses and the ways to brokers that they tell.
fn recover_with(state: &State, servers: &[ServerUrl]) -> Result<Vec<Restored>, Failure> {
    let unusable = |error: std::io::Error| {
        Failure::failed(format!("could not use the state folder {}: {error}", state.folder().display()))
    };
    state.prepare().map_err(unusable)?;
    let disk = Folder::open(state.undo_logs()).map_err(|error| Failure::failed(error.to_string()))?;
    let owner = process::own().map_err(|error| Failure::failed(error.to_string()))?;
    let hook = crash_point::hook(crash_point::RECOVERY).map_err(Failure::invalid)?;
    let keyring = Keyring::default();
    servers.iter().for_each(|url| keyring.prefer(url));
    let mut hands = Hands::new(Machines::with(keyring), disk, owner, Timestamp::now).with_hook(hook);
    let restored = hands.recover().map_err(|error| Failure::failed(error.to_string()))?;
    epilogue::write(state, &restored);
    let clerk = Clerk::start(state);
    restored.iter().for_each(|one| clerk.note(audit::recovered(one)));
    clerk.close(state);
    Ok(restored)
}

/// One injection that was put back, in words.
pub(crate) fn describe(restored: &Restored) -> String {
    let looked: Vec<&str> = restored.steps.iter().map(squall_model::undo::Reverted::looked_at).collect();
    let verb = match (restored.residue().is_empty(), is_for_good(&restored.fault)) {
        (false, _) => "NOT put back",
        (true, true) => "over, and what was ended stays ended",
        (true, false) => "put back",
    };
    let looked =
        if looked.is_empty() { String::new() } else { format!("; looked at: {}", looked.join("; ")) };
    format!("{verb}: {} on {} ({}){looked}", restored.fault, restored.target, restored.injection)
}
