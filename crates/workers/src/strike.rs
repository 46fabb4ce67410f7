//! A signal to exactly one process, and its end if it takes too long over it.

use squall_linux::step::signal::send_through;
use squall_linux::sys::pidfd::Pidfd;
use squall_model::machine::MachineError;
use squall_model::step::{ProcessRef, Signal};
use squall_model::units::Duration;
use std::time::Instant;

/// With what to strike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blow {
    /// What is sent at once.
    pub(crate) signal: Signal,
    /// How long it may take to end before it is killed; none for ever.
    pub(crate) grace: Option<Duration>,
}

/// Somebody who was struck, held so that no later process can be taken for it.
#[derive(Debug)]
pub(crate) struct Struck {
    pub(crate) process: ProcessRef,
    hold: Pidfd,
}

impl Blow {
    /// Sends the signal; none where the process has ended already.
    pub(crate) fn strike(self, process: ProcessRef) -> Result<Option<Struck>, MachineError> {
        let hold = Pidfd::open(&process).map_err(|errno| could_not("take hold of", &process, errno))?;
        let Some(hold) = hold else { return Ok(None) };
        Ok(send_through(&hold, &process, self.signal)?.then_some(Struck { process, hold }))
    }
}

/// Waits until it has ended or the time is over, and then kills it; whether that was needed.
pub(crate) fn finish(struck: &Struck, deadline: Instant) -> Result<bool, MachineError> {
    let Struck { process, hold } = struck;
    let left = deadline.saturating_duration_since(Instant::now());
    let ended = hold.wait(left).map_err(|errno| could_not("wait for the end of", process, errno))?;
    if ended { Ok(false) } else { send_through(hold, process, Signal::Kill) }
}

fn could_not(deed: &str, process: &ProcessRef, errno: rustix::io::Errno) -> MachineError {
    MachineError::Failed { message: format!("could not {deed} {process}: {errno}") }
}
