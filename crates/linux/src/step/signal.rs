//! Signals to a process. A stop is taken back by a continue, and a continue of a stopped process by a stop; what other
//! signals do cannot be taken back and leaves nothing of ours.
//!
//! Signals go through a pidfd whose process was looked at, so a later process with the same number is never hit.
//! A stop stops all threads of the process.

use crate::step::{Look, failed, gone};
use crate::sys::pidfd::{Pidfd, number};
use crate::sys::process::{self, Stat};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use squall_model::facts::Privilege;
use squall_model::machine::MachineError;
use squall_model::step::{ProcessRef, Signal, SignalStep};
use squall_model::undo::{Difference, Evidence, Reverted, Undo};
use std::time::{Duration, Instant};

/// How long an effect may take to show: a process that waits for a device stops only when the device answered.
const SHOWS_WITHIN: Duration = Duration::from_millis(200);

/// How long a continued process may take to run again.
const RUNS_WITHIN: Duration = Duration::from_secs(1);

/// Reads what must be known to take the signal back. Refuses what could not be.
pub(crate) fn capture(step: &SignalStep) -> Result<Undo, MachineError> {
    let process = &step.process;
    let stat = match process::find(process).filter(|stat| !stat.ended()) {
        Some(stat) => stat,
        None if step.may_be_gone => {
            return Ok(Undo::Nothing { why: format!("nothing: {process} has ended by itself") });
        }
        None => return Err(gone(process)),
    };
    may_send(process, step.signal)?;
    let signal = match (step.signal, stat.state) {
        (Signal::Stop, 'T' | 't') => {
            let message = format!(
                "could not pause {process}: it is stopped already (state {}), and continuing it afterwards would not \
                 leave it as it was; continue it first, or choose another process",
                stat.state
            );
            return Err(MachineError::Refused { message });
        }
        (Signal::Stop, _) => Signal::Cont,
        (Signal::Cont, 'T') => Signal::Stop,
        (signal, _) => {
            let why =
                format!("nothing: {signal} to {process} cannot be taken back and leaves nothing of ours");
            return Ok(Undo::Nothing { why });
        }
    };
    Ok(Undo::Signal { process: process.clone(), signal })
}

/// Sends the signal, unless somebody else stopped or continued the process since it was captured.
pub(crate) fn apply(step: &SignalStep, undo: &Undo) -> Result<(), MachineError> {
    let is_over = || step.may_be_gone && process::find(&step.process).is_none_or(|stat| stat.ended());
    if is_over() {
        return Ok(());
    }
    if matches!(undo, Undo::Signal { .. }) && capture(step)? != *undo {
        let message =
            format!("could not send {} to {}: its state has changed; plan again", step.signal, step.process);
        return Err(MachineError::Refused { message });
    }
    if send(&step.process, step.signal)? || is_over() { Ok(()) } else { Err(gone(&step.process)) }
}

/// Looks for what the signal did.
pub(crate) fn observe(step: &SignalStep, look: Look) -> Evidence {
    let patience = look.left_of(SHOWS_WITHIN);
    let process = &step.process;
    let signal = step.signal;
    match signal {
        Signal::Stop => match wait_for(process, patience, |stat| stat.state == 'T' || stat.ended()) {
            Some(stat) if stat.state == 'T' => Evidence::seen(format!("{process} is stopped")),
            Some(stat) if !stat.ended() => {
                Evidence::not_seen(format!("{process} is not stopped (state {})", stat.state))
            }
            _ => Evidence::gone(format!("{process} is gone")),
        },
        Signal::Kill | Signal::Term | Signal::Int | Signal::Quit | Signal::Abrt => {
            match wait_for(process, patience, Stat::ended).filter(|stat| !stat.ended()) {
                None => Evidence::seen(format!("{process} has ended")),
                Some(stat) => Evidence::not_seen(format!("{process} still runs (state {})", stat.state)),
            }
        }
        // What these do is the program's own affair; that it took the signal is all that can be seen.
        Signal::Cont | Signal::Hup | Signal::Usr1 | Signal::Usr2 => {
            // One that ended of it may keep it among its pending signals until its parent takes notice.
            let taken = |stat: &Stat| stat.ended() || !is_pending(process, signal);
            match wait_for(process, patience, taken) {
                Some(stat) if !taken(&stat) => {
                    Evidence::not_seen(format!("{process} has not taken {signal} yet"))
                }
                Some(stat) if !stat.ended() => Evidence::seen(format!("{process} has taken {signal}")),
                _ => Evidence::seen(format!("{process} has taken {signal} and ended")),
            }
        }
    }
}

/// Continues what we stopped (or stops what we continued) and looks again.
///
/// A continue is sent even if the process does not look stopped: with many threads a stop takes a while to show, and
/// the kernel takes back one that is on its way. A process that runs takes no notice of it.
pub(crate) fn revert(process: &ProcessRef, signal: Signal) -> Result<Reverted, MachineError> {
    let as_before = |stat: &Stat| stat.ended() || (stat.state == 'T') == (signal == Signal::Stop);
    let look = |stat: &Stat| format!("state of {process}: {}", state_in_words(stat.state));
    let over = || Reverted::AlreadyGone { looked_at: format!("{process} is gone") };
    let Some(found) = process::find(process).filter(|stat| !stat.ended()) else { return Ok(over()) };
    if signal == Signal::Stop && as_before(&found) {
        return Ok(Reverted::AlreadyGone { looked_at: look(&found) });
    }
    if !send(process, signal)? {
        return Ok(over());
    }
    Ok(match wait_for(process, RUNS_WITHIN, as_before) {
        None => over(),
        Some(stat) if as_before(&stat) && as_before(&found) => {
            Reverted::AlreadyGone { looked_at: look(&stat) }
        }
        Some(stat) if as_before(&stat) => Reverted::Undone { looked_at: look(&stat) },
        Some(stat) => Reverted::Drifted(Difference {
            looked_at: format!("state of {process}"),
            before: if signal == Signal::Cont { "running" } else { "stopped" }.to_owned(),
            now: state_in_words(stat.state).to_owned(),
            remedy: format!("kill -{} {}", signal.to_string().trim_start_matches("SIG"), process.pid),
            under_way: false,
        }),
    })
}

/// Sends a signal to exactly this process; says whether it was still there.
pub fn send(process: &ProcessRef, signal: Signal) -> Result<bool, MachineError> {
    match Pidfd::open(process) {
        Ok(None) => Ok(false),
        Ok(Some(pidfd)) => send_through(&pidfd, process, signal),
        Err(errno) => told(Err(errno), process, signal),
    }
}

/// Sends a signal to a process that is held; says whether it was still there.
pub fn send_through(hold: &Pidfd, process: &ProcessRef, signal: Signal) -> Result<bool, MachineError> {
    told(hold.send(signal), process, signal)
}

fn told(sent: rustix::io::Result<()>, process: &ProcessRef, signal: Signal) -> Result<bool, MachineError> {
    match sent {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(Errno::PERM) => Err(forbidden(process, signal)),
        Err(errno) => Err(failed(format_args!("send {signal} to {process}"), &errno.into())),
    }
}

/// Whether a signal may be sent to a process; sends none.
pub(crate) fn may_send(process: &ProcessRef, signal: Signal) -> Result<(), MachineError> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or_else(|| gone(process))?;
    match test_kill_process(pid) {
        Err(Errno::PERM) => Err(forbidden(process, signal)),
        // One that ended meanwhile is found missing by whoever looks next.
        _ => Ok(()),
    }
}

fn forbidden(process: &ProcessRef, signal: Signal) -> MachineError {
    MachineError::Forbidden {
        message: format!(
            "could not send {signal} to {process}: it belongs to another user; that takes CAP_KILL: run with --sudo, \
             or as root"
        ),
        needs: Some(Privilege::Kill),
    }
}

/// Looks again and again until what is seen will do or the time is over; gives the last look, `None` where the process
/// is gone.
fn wait_for(process: &ProcessRef, at_most: Duration, will_do: impl Fn(&Stat) -> bool) -> Option<Stat> {
    let deadline = Instant::now() + at_most;
    loop {
        let stat = process::find(process)?;
        if will_do(&stat) || Instant::now() >= deadline {
            return Some(stat);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a signal was sent and is not taken yet.
fn is_pending(process: &ProcessRef, signal: Signal) -> bool {
    process::status(process.pid)
        .is_ok_and(|status| status.pending & (1 << (number(signal).as_raw() - 1)) != 0)
}

fn state_in_words(state: char) -> &'static str {
    match state {
        'T' => "stopped",
        't' => "stopped by a debugger",
        'Z' | 'X' => "ended",
        'D' => "waiting for a device",
        _ => "running",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::tests::{Victim, wait_until};
    use squall_model::undo::Effect;

    fn step(victim: &Victim, signal: Signal) -> SignalStep {
        SignalStep { process: victim.reference(), signal, may_be_gone: false }
    }

    /// The state letter as `ps` reports it: not through our own reader.
    fn state_by_ps(pid: u32) -> String {
        let output = std::process::Command::new("ps").args(["-o", "state=", "-p", &pid.to_string()]).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn one_of_many_may_end_before() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = process::reference(child.id()).unwrap();
        let step = SignalStep { process, signal: Signal::Stop, may_be_gone: true };
        let undo = capture(&step).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        apply(&step, &undo).unwrap();
        assert!(matches!(capture(&step).unwrap(), Undo::Nothing { .. }));
        assert!(capture(&SignalStep { may_be_gone: false, ..step }).is_err());
    }

    #[test]
    fn a_pause_stops_and_its_undo_continues() {
        let victim = Victim::sleeping();
        let pause = step(&victim, Signal::Stop);
        let undo = capture(&pause).unwrap();
        let Undo::Signal { process, signal } = undo.clone() else { panic!("no undo") };
        assert_eq!(state_by_ps(victim.pid()), "S");
        // The law: a revert is safe where the step never ran.
        assert!(matches!(revert(&process, signal).unwrap(), Reverted::AlreadyGone { .. }));
        apply(&pause, &undo).unwrap();
        assert_eq!(observe(&pause, Look::begin()).effect, Effect::Seen);
        assert!(matches!(apply(&pause, &undo).unwrap_err(), MachineError::Refused { .. }));
        assert_eq!(state_by_ps(victim.pid()), "T");
        assert!(matches!(revert(&process, signal).unwrap(), Reverted::Undone { .. }));
        assert_ne!(state_by_ps(victim.pid()), "T");
        assert_eq!(observe(&pause, Look::begin()).effect, Effect::NotSeen);
        assert!(matches!(revert(&process, signal).unwrap(), Reverted::AlreadyGone { .. }));
    }

    #[test]
    fn an_undo_right_after_a_stop_takes_it_back_though_it_does_not_show_yet() {
        let many_threads = "import threading,time
for _ in range(20): threading.Thread(target=lambda: [time.sleep(0.001) for _ in range(30000)], daemon=True).start()
time.sleep(60)";
        let victim = Victim::start("python3", &["-c", many_threads]);
        let tasks = || std::fs::read_dir(format!("/proc/{}/task", victim.pid())).map_or(0, Iterator::count);
        wait_until(|| tasks() > 20);
        let pause = step(&victim, Signal::Stop);
        for _ in 0..200 {
            let Undo::Signal { process, signal } = capture(&pause).unwrap() else { panic!("no undo") };
            send(&process, Signal::Stop).unwrap();
            assert!(!matches!(revert(&process, signal).unwrap(), Reverted::Drifted(_)));
        }
        std::thread::sleep(Duration::from_millis(50));
        assert_ne!(state_by_ps(victim.pid()), "T");
    }

    #[test]
    fn what_is_stopped_already_is_refused() {
        let victim = Victim::sleeping();
        send(&victim.reference(), Signal::Stop).unwrap();
        wait_until(|| state_by_ps(victim.pid()) == "T");
        let error = capture(&step(&victim, Signal::Stop)).unwrap_err();
        assert!(
            matches!(&error, MachineError::Refused { message } if message.contains("already")),
            "{error}"
        );
    }

    #[test]
    fn one_that_ended_of_a_signal_has_taken_it_though_nobody_took_notice() {
        for signal in [Signal::Hup, Signal::Usr1] {
            // A child that is not waited for stays, with its last signal pending.
            let victim = Victim::sleeping();
            let step = step(&victim, signal);
            let undo = capture(&step).unwrap();
            apply(&step, &undo).unwrap();
            let evidence = observe(&step, Look::begin());
            assert_eq!(evidence.effect, Effect::Seen, "{}", evidence.summary);
        }
    }

    #[test]
    fn a_missing_privilege_is_named_when_the_step_is_captured() {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new("sleep");
        let Ok(child) = command.arg("60").uid(65534).process_group(0).spawn() else {
            println!("skipped: to start a process of another user takes root");
            return;
        };
        let victim = Victim(child);
        let kill = step(&victim, Signal::Kill);
        // Capabilities are a thread's own.
        let (planned, sent) = std::thread::scope(|scope| {
            let without = || {
                let mut own = capabilities(None).unwrap();
                own.effective.remove(CapabilitySet::KILL);
                set_capabilities(None, own).unwrap();
                (capture(&kill).unwrap_err(), send(&kill.process, Signal::Kill).unwrap_err())
            };
            scope.spawn(without).join().unwrap()
        });
        for error in [planned, sent] {
            let MachineError::Forbidden { message, needs } = error else { panic!("{error}") };
            assert_eq!(needs, Some(Privilege::Kill));
            assert!(message.contains("CAP_KILL"), "{message}");
        }
        assert!(process::is_alive(&kill.process));
    }

    #[test]
    fn a_kill_ends_and_owes_nothing() {
        let victim = Victim::sleeping();
        let kill = step(&victim, Signal::Kill);
        let undo = capture(&kill).unwrap();
        assert!(matches!(undo, Undo::Nothing { .. }));
        assert_eq!(observe(&kill, Look::begin()).effect, Effect::NotSeen);
        apply(&kill, &undo).unwrap();
        assert_eq!(observe(&kill, Look::begin()).effect, Effect::Seen);
    }

    #[test]
    fn a_signal_that_is_ignored_shows_no_effect() {
        let victim = Victim::start("sh", &["-c", "trap '' TERM; echo; while :; do sleep 1; done"]);
        wait_until(|| process::children(victim.pid()).is_ok_and(|children| !children.is_empty()));
        let term = step(&victim, Signal::Term);
        apply(&term, &capture(&term).unwrap()).unwrap();
        assert_eq!(observe(&term, Look::begin()).effect, Effect::NotSeen);
    }

    #[test]
    fn however_many_are_looked_at_share_one_patience() {
        let victim = Victim::start("sh", &["-c", "trap '' TERM; echo; while :; do sleep 1; done"]);
        let term = step(&victim, Signal::Term);
        let look = Look(Instant::now().checked_sub(SHOWS_WITHIN).unwrap());
        // One look that waits as long as it may, against many for which no time is left.
        let waiting = Instant::now();
        assert_eq!(observe(&term, Look::begin()).effect, Effect::NotSeen);
        let waited = waiting.elapsed();
        let looking = Instant::now();
        (0..10).for_each(|_| assert_eq!(observe(&term, look).effect, Effect::NotSeen));
        assert!(looking.elapsed() < waited * 5, "{:?} against {waited:?}", looking.elapsed());
    }

    #[test]
    fn a_process_that_is_gone_is_not_found_and_needs_no_undo() {
        let victim = Victim::sleeping();
        let pause = step(&victim, Signal::Stop);
        let undo = capture(&pause).unwrap();
        let process = victim.reference();
        drop(victim);
        assert!(matches!(capture(&pause).unwrap_err(), MachineError::Gone { .. }));
        assert!(matches!(apply(&pause, &undo).unwrap_err(), MachineError::Gone { .. }));
        assert!(matches!(revert(&process, Signal::Cont).unwrap(), Reverted::AlreadyGone { .. }));
        assert_eq!(observe(&pause, Look::begin()).effect, Effect::Gone);
    }

    #[test]
    fn a_paused_process_that_is_killed_needs_no_undo() {
        let victim = Victim::sleeping();
        let pause = step(&victim, Signal::Stop);
        apply(&pause, &capture(&pause).unwrap()).unwrap();
        send(&pause.process, Signal::Kill).unwrap();
        wait_until(|| !process::is_alive(&pause.process));
        assert!(matches!(revert(&pause.process, Signal::Cont).unwrap(), Reverted::AlreadyGone { .. }));
    }
}
