//! Sends a signal to what a target matches, again and again, so that what is restarted is struck too.
//!
//! Each time it is looked for anew. What must never be struck, or is protected, is passed over each time.

use crate::Going;
use crate::strike::{Blow, Struck, finish};
use squall_linux::facts::signalled;
use squall_model::facts::ProcessFacts;
use squall_model::machine::MachineError;
use squall_model::step::ProcessRef;
use squall_model::target::Target;
use squall_model::undo::Evidence;
use squall_model::units::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Whom to strike, with what, how often.
#[derive(Debug, Clone)]
pub(crate) struct Strikes {
    /// Whom.
    pub(crate) target: Target,
    /// With what.
    pub(crate) blow: Blow,
    /// How often.
    pub(crate) every: Duration,
    /// How many of those that match at most each time.
    pub(crate) at_most: usize,
}

/// What was done so far.
#[derive(Debug, Clone, Default)]
struct Tally {
    sent: u64,
    /// How many had to be killed because they took too long to end.
    killed: u64,
    last: Option<ProcessRef>,
    /// Why the last round struck nothing, if it did not.
    in_vain: Option<String>,
}

/// A thread that strikes.
pub(crate) struct Striker {
    strikes: Strikes,
    tally: Arc<Mutex<Tally>>,
}

/// Starts the thread that strikes; the first time at once.
pub(crate) fn start(strikes: Strikes) -> io::Result<Striker> {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let told = Arc::clone(&tally);
    let todo = strikes.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || strike_on(&todo, &told))?;
    Ok(Striker { strikes, tally })
}

impl Going for Striker {
    fn evidence(&self) -> Evidence {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Blow { signal, grace } = self.strikes.blow;
        let last = tally.last.map(|process| format!(", last to {process}")).unwrap_or_default();
        let vain =
            tally.in_vain.map(|why| format!("; the last round struck nothing: {why}")).unwrap_or_default();
        let killed = grace
            .map(|grace| format!("; {} still ran {grace} later and were killed", tally.killed))
            .unwrap_or_default();
        let says = format!("{signal} was sent {} times{last}{killed}{vain}", tally.sent);
        let evidence = if tally.sent > 0 { Evidence::seen(says) } else { Evidence::not_seen(says) };
        evidence.with("signals_sent", tally.sent as f64).with("killed_after_grace", tally.killed as f64)
    }
}

fn strike_on(strikes: &Strikes, tally: &Mutex<Tally>) {
    loop {
        let began = Instant::now();
        let struck = round(strikes);
        {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.in_vain = struck.as_ref().err().map(ToString::to_string);
            if let Ok(struck) = &struck {
                tally.sent += struck.len() as u64;
                tally.last = struck.last().map(|struck| struck.process.clone());
            }
        }
        if let (Some(grace), Ok(struck)) = (strikes.blow.grace, struck) {
            // The deadline is one for all: they were struck together.
            let deadline = began + grace.0;
            for struck in struck {
                let outcome = finish(&struck, deadline);
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                match outcome {
                    Ok(was_killed) => tally.killed += u64::from(was_killed),
                    Err(error) => tally.in_vain = Some(error.to_string()),
                }
            }
        }
        std::thread::sleep(strikes.every.0.saturating_sub(began.elapsed()));
    }
}

/// One round: look, choose, strike. An error where nothing was struck.
fn round(strikes: &Strikes) -> Result<Vec<Struck>, MachineError> {
    let free = signalled(&strikes.target)?;
    let mut struck = Vec::new();
    for process in choose(free, strikes.at_most) {
        // One that ended meanwhile was not struck by us.
        struck.extend(strikes.blow.strike(process.process)?);
    }
    if struck.is_empty() {
        let message = format!("nothing matched {}", strikes.target);
        return Err(MachineError::NotFound { message });
    }
    Ok(struck)
}

/// Some of the processes, by chance: the first of a pool shall not be the only one that is ever struck.
fn choose(mut found: Vec<ProcessFacts>, at_most: usize) -> Vec<ProcessFacts> {
    while found.len() > at_most {
        let mut bytes = [0; 8];
        // Without chance the first ones are struck; that is no reason to strike none.
        let dice = match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
            Ok(_) => usize::from_ne_bytes(bytes),
            Err(_) => found.len() - 1,
        };
        let spared = dice % found.len();
        found.remove(spared);
    }
    found
}
