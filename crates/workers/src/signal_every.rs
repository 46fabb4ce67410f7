//! Sends a signal to one process again and again, and once it is gone to one that its target matches and that was started
//! since, so that what is restarted is struck too.
//!
//! Each time it is looked for anew. What must never be struck, or is protected, is passed over each time; and so is what
//! ran already when this began: the plan has chosen one, and spared the others.

use crate::Going;
use crate::strike::{Blow, Struck, finish};
use squall_linux::facts::signalled;
use squall_linux::sys::process;
use squall_model::facts::ProcessFacts;
use squall_model::machine::MachineError;
use squall_model::step::ProcessRef;
use squall_model::target::Target;
use squall_model::undo::Evidence;
use squall_model::units::Duration;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Whom to strike, with what, how often.
#[derive(Debug, Clone)]
pub(crate) struct Strikes {
    /// Whom first.
    pub(crate) process: ProcessRef,
    /// Whom after it.
    pub(crate) target: Target,
    /// With what.
    pub(crate) blow: Blow,
    /// How often.
    pub(crate) every: Duration,
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

/// When this began. Start times are counted in hundredths of a second: of what was started in that very one, what ran already is
/// known by its number.
struct Beginning {
    own: u64,
    ran_already: BTreeSet<u32>,
}

impl Beginning {
    fn now() -> io::Result<Self> {
        Ok(Self { own: process::own()?.start_time, ran_already: process::all()?.into_iter().collect() })
    }

    fn is_before(&self, process: &ProcessRef) -> bool {
        match process.start_time.cmp(&self.own) {
            Ordering::Less => false,
            Ordering::Equal => !self.ran_already.contains(&process.pid),
            Ordering::Greater => true,
        }
    }
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
    let since = Beginning::now()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || strike_on(&todo, &since, &told))?;
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
        let often = if tally.sent == 1 { "once".to_owned() } else { format!("{} times", tally.sent) };
        let says = format!("{signal} was sent {often}{last}{killed}{vain}");
        let evidence = if tally.sent > 0 { Evidence::seen(says) } else { Evidence::not_seen(says) };
        evidence.with("signals_sent", tally.sent as f64).with("killed_after_grace", tally.killed as f64)
    }
}

fn strike_on(strikes: &Strikes, since: &Beginning, tally: &Mutex<Tally>) {
    loop {
        let began = Instant::now();
        let struck = round(strikes, since);
        {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.in_vain = struck.as_ref().err().map(ToString::to_string);
            if let Ok(struck) = &struck {
                tally.sent += 1;
                tally.last = Some(struck.process.clone());
            }
        }
        if let (Some(grace), Ok(struck)) = (strikes.blow.grace, struck) {
            let outcome = finish(&struck, began + grace.0);
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(was_killed) => tally.killed += u64::from(was_killed),
                Err(error) => tally.in_vain = Some(error.to_string()),
            }
        }
        std::thread::sleep(strikes.every.0.saturating_sub(began.elapsed()));
    }
}

/// One round: look, choose, strike. An error where nothing was struck.
fn round(strikes: &Strikes, since: &Beginning) -> Result<Struck, MachineError> {
    let chosen = choose(signalled(&strikes.target)?, &strikes.process, since);
    // One that ended meanwhile was not struck by us.
    let struck = chosen.map(|process| strikes.blow.strike(process)).transpose()?.flatten();
    struck.ok_or_else(|| MachineError::NotFound {
        message: format!("{} is gone, and no {} was started since", strikes.process, strikes.target),
    })
}

/// The first while it lives, or else, by chance, one of those that were started since.
fn choose(found: Vec<ProcessFacts>, first: &ProcessRef, since: &Beginning) -> Option<ProcessRef> {
    let is_first = |process: &ProcessRef| (process.pid, process.start_time) == (first.pid, first.start_time);
    let mut found: Vec<ProcessRef> = found.into_iter().map(|facts| facts.process).collect();
    if let Some(position) = found.iter().position(is_first) {
        return Some(found.swap_remove(position));
    }
    found.retain(|process| since.is_before(process));
    let mut bytes = [0; 8];
    // Without chance the first is struck; that is no reason to strike none.
    let dice = match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(_) => usize::from_ne_bytes(bytes),
        Err(_) => 0,
    };
    (!found.is_empty()).then(|| found.swap_remove(dice % found.len()))
}
