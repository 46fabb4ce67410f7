//! `squall leftovers`: Squall's marks on this machine that belong to no living injection.

use crate::exit::{Failure, Outcome};
use crate::machines::{Elsewhere, Machines};
use crate::out;
use crate::shop_networks;
use crate::state::State;
use crate::undo_logs::{self, Held};
use clap::Args;
use squall_model::machine::{Leftover, Machine};
use squall_model::step::Claim;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    elsewhere: Elsewhere,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let state = State::locate()?;
        let held = undo_logs::all(&state)?;
        let others = held_elsewhere(&state);
        let living = || held.iter().chain(&others).filter(|one| one.alive);
        let alive: Vec<&str> = living().map(|one| one.injection.as_str()).collect();
        let marks = Machines::knowing(&self.elsewhere)
            .leftovers()
            .map_err(|error| Failure::failed(error.to_string()))?;
        let claims: Vec<&Claim> = living().flat_map(|one| &one.claims).collect();
        let belongs = |mark: &Leftover| {
            mark.injection.as_deref().is_some_and(|id| alive.contains(&id))
                || mark.claim.as_ref().is_some_and(|claim| claims.contains(&claim))
        };
        let mut found: Vec<Leftover> = marks.into_iter().filter(|mark| !belongs(mark)).collect();
        for orphan in held.iter().filter(|one| !one.alive) {
            let owed = match (&orphan.agent, orphan.owed.as_slice()) {
                (None, []) => "unknown, the log is damaged".to_owned(),
                (Some(_), []) => "nothing".to_owned(),
                (_, owed) => owed.join("; "),
            };
            found.push(Leftover {
                what: format!(
                    "undo log of {} ({} on {}), owed: {owed}",
                    orphan.injection, orphan.fault, orphan.target
                ),
                injection: Some(orphan.injection.clone()),
                claim: None,
                digest: None,
                remedy: "squall recover".to_owned(),
            });
        }
        found.extend(shop_networks::leftovers());
        if self.json {
            out::say_json(&found);
        } else if found.is_empty() {
            out::say("no leftovers");
        } else {
            found
                .iter()
                .for_each(|leftover| out::say(format!("{}\n  remedy: {}", leftover.what, leftover.remedy)));
        }
        Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What agents with other state folders hold, as far as this user may know it.
pub(super) fn held_elsewhere(state: &State) -> Vec<Held> {
    let read = |other: &State| {
        undo_logs::seen(other).unwrap_or_else(|error| {
            out::warn(format!(
                "squall: an agent with the state folder {} lives, and what it holds may be among these: {error}",
                other.folder().display()
            ));
            Vec::new()
        })
    };
    undo_logs::elsewhere(state).iter().flat_map(read).collect()
}
