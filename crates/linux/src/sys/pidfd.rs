//! Process descriptors: a hold on one process that cannot slip to another when its number is used again.
//!
//! Sources: `pidfd_open(2)`, `pidfd_send_signal(2)`. Linux 5.3 and later.

use super::{process, wait};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use squall_model::step::{ProcessRef, Signal};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// A hold on one process.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Takes hold of exactly this process; `None` where it is gone (one that waits to be reaped is not).
    pub fn open(process: &ProcessRef) -> rustix::io::Result<Option<Self>> {
        let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            // There is no such process, or the number belongs to a thread now, so the process that had it is gone.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        // Looked at after the descriptor is held: if the start time is right now, it was right then.
        Ok(process::find(process).map(|_| Self(descriptor)))
    }

    /// Sends a signal. `ESRCH` where the process has ended, `EPERM` where we may not.
    pub fn send(&self, signal: Signal) -> rustix::io::Result<()> {
        pidfd_send_signal(&self.0, number(signal))
    }

    /// Waits until the process has ended, at most this long; says whether it has.
    pub fn wait(&self, at_most: Duration) -> rustix::io::Result<bool> {
        wait::readable(&self.0, at_most)
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A signal by the kernel's number.
pub fn number(signal: Signal) -> rustix::process::Signal {
    use rustix::process::Signal as Number;
    match signal {
        Signal::Kill => Number::KILL,
        Signal::Term => Number::TERM,
        Signal::Stop => Number::STOP,
        Signal::Cont => Number::CONT,
        Signal::Hup => Number::HUP,
        Signal::Int => Number::INT,
        Signal::Quit => Number::QUIT,
        Signal::Abrt => Number::ABORT,
        Signal::Usr1 => Number::USR1,
        Signal::Usr2 => Number::USR2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::tests::Victim;

    #[test]
    fn a_signal_reaches_the_process_and_its_end_is_seen() {
        let victim = Victim::sleeping();
        let pidfd = Pidfd::open(&victim.reference()).unwrap().unwrap();
        assert!(!pidfd.wait(Duration::ZERO).unwrap());
        pidfd.send(Signal::Kill).unwrap();
        assert!(pidfd.wait(Duration::from_secs(5)).unwrap());
    }

    #[test]
    fn a_later_process_with_the_same_number_is_never_held() {
        let victim = Victim::sleeping();
        let earlier = ProcessRef { start_time: victim.reference().start_time - 1, ..victim.reference() };
        assert!(Pidfd::open(&earlier).unwrap().is_none());
    }

    #[test]
    fn what_is_gone_or_never_was_is_not_held() {
        let victim = Victim::sleeping();
        let gone = victim.reference();
        drop(victim);
        assert!(Pidfd::open(&gone).unwrap().is_none());
        for pid in [0, u32::MAX] {
            assert!(Pidfd::open(&ProcessRef { pid, ..gone.clone() }).unwrap().is_none());
        }
    }
}
