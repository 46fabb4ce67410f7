//! Journals whose brain was killed get their end: from the agent that puts back what it held, from its warden, and from
//! whoever comes by later. An undo never waits for it, and nothing is written while the brain lives.

use crate::audit;
use crate::state::{LiveRun, State};
use crate::undo_logs;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, OFlags, flock};
use squall_engine::{epilogue, journal};
use squall_linux::trust;
use squall_model::event::{Entry, Event};
use squall_model::protocol::Restored;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an agent waits for a brain whose stream ended: a process that is killed closes its files a moment before it
/// has ended.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// The same for an agent, whose brain may be about to end. `brain` is the agent's parent since it began.
pub(crate) fn write_after(brain: u32, state: &State, restored: &[Restored]) {
    let begun = Instant::now();
    while parent() == brain {
        if begun.elapsed() > ENDS_WITHIN {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    write(state, restored);
}

/// The process that started this one, while that lives.
pub(crate) fn parent() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned())
}

/// Ends the journals of all brains that do not live any more. What was put back just now is told in those that it
/// belongs to. A journal that cannot be ended now is left to whoever comes by next.
pub(crate) fn write(state: &State, restored: &[Restored]) {
    for (note, run) in state.dead_runs() {
        if let Err(error) = end(state, &note, &run, restored) {
            tracing::warn!(run = run.run, %error, "the journal of a killed run could not be ended");
        }
    }
}

fn end(state: &State, note: &Path, run: &LiveRun, restored: &[Restored]) -> io::Result<()> {
    let lock = trust::open(note, OFlags::RDONLY)?;
    let is_held = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err();
    if is_held || lock.metadata()?.nlink() == 0 || is_owed(state, run, restored) {
        return Ok(());
    }
    let (past, added) = match trust::open(&run.journal, OFlags::RDWR | OFlags::APPEND) {
        Ok(file) => add(file, run, restored)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), Vec::new()),
        Err(error) => return Err(error),
    };
    tell(state, &run.run, &added);
    std::fs::remove_file(note)?;
    // Others may take their time. Settings can name files: nobody reads those with the rights of another.
    if !added.is_empty() && lock.metadata()?.uid() == rustix::process::geteuid().as_raw() {
        run.audience.tell(state, &past, &added);
    }
    Ok(())
}

/// Whether something of this run is still to be put back, by a living agent or by the next recovery. What was tried just
/// now and told is not waited for.
fn is_owed(state: &State, run: &LiveRun, restored: &[Restored]) -> bool {
    let Ok(held) = undo_logs::all(state) else { return true };
    let is_told = |injection: &str| restored.iter().any(|one| one.injection == injection);
    held.iter().any(|log| log.run == run.run && (log.alive || !is_told(&log.injection)))
}

/// Adds what is missing at the end of a journal; what stood there, and what was added.
fn add(mut file: File, run: &LiveRun, restored: &[Restored]) -> io::Result<(Vec<Entry>, Vec<Entry>)> {
    let bytes = trust::read(&run.journal)?;
    let past = journal::read(&bytes).entries;
    let why = if run.unwritten { epilogue::Why::Unwritten } else { epilogue::Why::Killed };
    let entries = epilogue::missing(&past, restored, Timestamp::now(), why);
    // The last line of the brain may be torn.
    let mut lines = if bytes.ends_with(b"\n") { Vec::new() } else { b"\n".to_vec() };
    for entry in &entries {
        lines.extend(journal::line(entry)?);
    }
    if !entries.is_empty() {
        file.write_all(&lines)?;
        file.sync_data()?;
    }
    Ok((past, entries))
}

/// Tells the audit log how a run ended whose brain could not tell it any more.
fn tell(state: &State, run: &str, added: &[Entry]) {
    for entry in added {
        if let Event::Verdict { verdict, reasons, .. } = &entry.event {
            let why = reasons.first().map_or("", String::as_str);
            audit::note(state, "run_ended", run, &[("verdict", verdict.name()), ("why", why)]);
        }
    }
}
