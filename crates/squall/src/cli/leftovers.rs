//! `squall leftovers`: Squall's marks on this machine that belong to no living injection.

use super::recover::left_alone;
use crate::exit::{Failure, Outcome};
use crate::machines::{Elsewhere, Machines};
use crate::out;
use crate::shop_networks;
use crate::state::State;
use crate::undo_logs::{self, Held};
use clap::Args;
use jiff::Timestamp;
use squall_model::machine::{Hold, Leftover, Machine};
use squall_model::step::Claim;
use squall_model::units;
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
        let runs: Vec<&str> = living().map(|one| one.run.as_str()).collect();
        let belongs = |mark: &Leftover| {
            let is_of_a_run = mark.injection.is_none();
            mark.injection.as_deref().is_some_and(|id| alive.contains(&id))
                || mark.held.as_ref().is_some_and(|hold| is_of_a_run && runs.contains(&hold.run.as_str()))
                || mark.claim.as_ref().is_some_and(|claim| claims.contains(&claim))
        };
        let now = Timestamp::now();
        let is_ended =
            |mark: &Leftover| held.iter().any(|one| mark.injection.as_ref() == Some(&one.injection));
        let may_live =
            |mark: &Leftover| !is_ended(mark) && mark.held.as_ref().is_some_and(|hold| !hold.is_overdue(now));
        let (held_yet, mut found): (Vec<Leftover>, Vec<Leftover>) =
            marks.into_iter().filter(|mark| !belongs(mark)).partition(may_live);
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
                held: None,
                remedy: "squall recover".to_owned(),
            });
        }
        found.extend(shop_networks::leftovers());
        if self.json {
            out::say_json(&found.iter().chain(&held_yet).collect::<Vec<_>>());
        } else {
            if found.is_empty() {
                out::say("no leftovers");
            }
            found.iter().for_each(|leftover| out::say(describe(leftover, now)));
            held.iter().filter(|one| one.alive).for_each(|one| out::say(left_alone(one)));
            held_yet.iter().for_each(|mark| out::say(held_by_a_run(mark)));
        }
        Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn describe(leftover: &Leftover, now: Timestamp) -> String {
    let Leftover { what, held, remedy, .. } = leftover;
    let whose = held.as_ref().map(|Hold { run, until }| {
        let overdue = now.duration_since(*until).as_secs();
        let since = if overdue > 0 {
            format!("overdue by {}", units::Duration::seconds(overdue.unsigned_abs()))
        } else {
            "whoever held it is dead".to_owned()
        };
        format!("\n  of run {run}, which meant to hold it until {until}: {since}")
    });
    format!("{what}{}\n  remedy: {remedy}", whose.unwrap_or_default())
}

/// What a run that may live, wherever it is, means to hold yet.
pub(super) fn held_by_a_run(mark: &Leftover) -> String {
    let Leftover { what, held, .. } = mark;
    let (run, until) = held.as_ref().map(|hold| (hold.run.as_str(), hold.until)).unwrap_or_default();
    format!(
        "left alone: {what}, which run {run} means to hold until {until}; if that run is dead, `squall recover --cluster --dead {run}` \
         puts it back now"
    )
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
