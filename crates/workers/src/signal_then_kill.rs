//! Sends a signal to one process, waits, and kills it if it still runs: what a supervisor does that wants it to end.

use crate::Going;
use crate::strike::{Blow, finish};
use squall_model::machine::MachineError;
use squall_model::step::ProcessRef;
use squall_model::undo::Evidence;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How it stands.
#[derive(Debug, Clone, Default)]
enum Outcome {
    #[default]
    Begins,
    Sent,
    EndedAfter(Duration),
    Killed,
    Failed(String),
}

/// A thread that strikes once and waits.
pub(crate) struct Patient {
    process: ProcessRef,
    blow: Blow,
    outcome: Arc<Mutex<Outcome>>,
}

/// Starts the thread; it strikes at once.
pub(crate) fn start(process: ProcessRef, blow: Blow) -> io::Result<Patient> {
    let outcome = Arc::new(Mutex::new(Outcome::default()));
    let (told, victim) = (Arc::clone(&outcome), process.clone());
    let work = move || {
        let tell = |outcome| *told.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        let ended = strike(victim, blow, || tell(Outcome::Sent));
        tell(ended.unwrap_or_else(|error| Outcome::Failed(error.to_string())));
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(work)?;
    Ok(Patient { process, blow, outcome })
}

fn strike(process: ProcessRef, blow: Blow, sent: impl Fn()) -> Result<Outcome, MachineError> {
    let began = Instant::now();
    let Some(struck) = blow.strike(process)? else {
        return Ok(Outcome::Failed("it had ended before".to_owned()));
    };
    sent();
    let was_killed = finish(&struck, began + blow.grace.unwrap_or_default().0)?;
    Ok(if was_killed { Outcome::Killed } else { Outcome::EndedAfter(began.elapsed()) })
}

impl Going for Patient {
    fn evidence(&self) -> Evidence {
        let (process, signal) = (&self.process, self.blow.signal);
        let grace = self.blow.grace.unwrap_or_default();
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let killed = f64::from(u8::from(matches!(outcome, Outcome::Killed)));
        let evidence = match outcome {
            Outcome::Begins => Evidence::not_seen(format!("{signal} is not sent to {process} yet")),
            Outcome::Sent => Evidence::seen(format!("{signal} was sent to {process}, which still runs")),
            Outcome::EndedAfter(time) => Evidence::seen(format!(
                "{signal} was sent to {process}, which ended within {:.1} s",
                time.as_secs_f64()
            )),
            Outcome::Killed => Evidence::seen(format!(
                "{signal} was sent to {process}, which still ran {grace} later and was killed"
            )),
            Outcome::Failed(why) => Evidence::not_seen(format!("{signal} to {process}: {why}")),
        };
        evidence.with("killed_after_grace", killed)
    }
}
