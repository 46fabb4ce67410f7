//! Writing to the audit log. It comes after what it tells of, or beside it, and never in its way: what cannot be written
//! is told on standard error, and the deed stands.

use crate::out;
use crate::state::State;
use crate::user;
use jiff::Timestamp;
use rustix::fs::OFlags;
use squall_history::audit::{Audit, Note};
use squall_linux::trust;
use squall_model::fault::is_for_good;
use squall_model::protocol::Restored;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// How long the end of a deed waits for its lines: another process may write, the disk may hang.
const PATIENCE: Duration = Duration::from_secs(2);

/// The audit log of a state folder.
pub(crate) fn log(state: &State) -> Audit {
    Audit::of(state.folder())
}

/// A note of this user about what is done now.
pub(crate) fn now(what: &str, on: &str, details: &[(&str, &str)]) -> Note {
    let details = details.iter().filter(|(_, text)| !text.is_empty());
    Note {
        at: Timestamp::now(),
        who: user::name(),
        what: what.to_owned(),
        on: on.to_owned(),
        details: details.map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
    }
}

/// A note that something was put back that a dead owner had left.
pub(crate) fn recovered(restored: &Restored) -> Note {
    let residue = restored.residue();
    let over =
        if is_for_good(&restored.fault) { "cannot be put back, and nothing is left" } else { "put back" };
    let how = if residue.is_empty() { over.to_owned() } else { residue.join("; ") };
    let details = [("fault", restored.fault.as_str()), ("target", &restored.target), ("how", &how)];
    now("recovered", &restored.injection, &details)
}

/// Writes a note down.
pub(crate) fn append(state: &State, note: Note) -> io::Result<()> {
    let log = log(state);
    for file in [log.file(), log.head_file()] {
        match trust::open(&file, OFlags::RDONLY) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    log.append(note).map(|_| ())
}

/// Writes notes down on a thread of its own, so that nobody waits for the disk before the end.
pub(crate) struct Clerk {
    notes: Option<Sender<Note>>,
    /// The first thing that went wrong, when all is written.
    trouble: Receiver<Option<String>>,
}

impl Clerk {
    pub(crate) fn start(state: &State) -> Self {
        let (notes, receiver) = mpsc::channel();
        let (end, trouble) = mpsc::channel();
        let state = state.clone();
        std::thread::spawn(move || {
            let mut first = None;
            for note in receiver {
                if let Err(error) = append(&state, note) {
                    first.get_or_insert_with(|| self::trouble(&state, &error.to_string()));
                }
            }
            // Nobody may be waiting any more.
            let _ = end.send(first);
        });
        Self { notes: Some(notes), trouble }
    }

    /// Hands a note on; never waits.
    pub(crate) fn note(&self, note: Note) {
        if let Some(notes) = &self.notes {
            let _ = notes.send(note);
        }
    }

    /// Waits a moment until all is written. What could not be is told.
    pub(crate) fn close(mut self, state: &State) {
        self.notes = None;
        let late = || Some(trouble(state, "it takes too long"));
        if let Some(trouble) = self.trouble.recv_timeout(PATIENCE).unwrap_or_else(|_| late()) {
            out::warn(format!("squall: {trouble}"));
        }
    }
}

/// Notes what was done.
pub(crate) fn note(state: &State, what: &str, on: &str, details: &[(&str, &str)]) {
    let clerk = Clerk::start(state);
    clerk.note(now(what, on, details));
    clerk.close(state);
}

/// What is said where the log could not be written.
pub(crate) fn trouble(state: &State, why: &str) -> String {
    format!(
        "the audit log {} could not be written ({why}); what was done stands",
        log(state).file().display()
    )
}
