//! Keeps a run besides its journal: in the audit log while it goes on, in the history when it is over. All of it happens on
//! a thread of its own, and the end of a run waits for it only so long: the journal is the truth, and `squall history`
//! takes in from it what is missing.

use super::Witness;
use crate::audit;
use crate::out;
use crate::state::State;
use squall_history::audit::Note;
use squall_history::{History, HistoryError};
use squall_model::event::{Entry, Event};
use squall_model::past::Run;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// How long the end of a run waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Keeps one run.
pub(super) struct Recorder {
    entries: Option<Sender<Entry>>,
    /// What went wrong, in words; comes when everything is kept.
    troubles: Receiver<Vec<String>>,
}

impl Recorder {
    pub(super) fn start(state: &State) -> Self {
        let (entries, receiver) = mpsc::channel();
        let (end, troubles) = mpsc::channel();
        let state = state.clone();
        std::thread::spawn(move || {
            // Nobody may be waiting any more.
            let _ = end.send(keep(&state, &receiver));
        });
        Self { entries: Some(entries), troubles }
    }
}

impl Witness for Recorder {
    fn see(&mut self, entry: &Entry) {
        if let Some(entries) = &self.entries {
            let _ = entries.send(entry.clone());
        }
    }

    fn close(&mut self) {
        self.entries = None;
        let troubles = self.troubles.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let late = "history and audit log take too long; the run is in its journal, from which `squall history list` \
                        takes it in";
            vec![late.to_owned()]
        });
        troubles.into_iter().for_each(|trouble| out::warn(format!("squall: {trouble}")));
    }
}

/// Keeps what comes; returns when the run is over and kept, with what went wrong.
fn keep(state: &State, entries: &Receiver<Entry>) -> Vec<String> {
    let mut run = Run::default();
    let mut unwritten = None;
    for entry in entries {
        run.on(&entry);
        if let Some(note) = note(&run, &entry)
            && let Err(error) = audit::append(state, note)
        {
            unwritten.get_or_insert_with(|| audit::trouble(state, &error.to_string()));
        }
    }
    let kept = if run.verdict.is_some() { take_in(state, run) } else { Ok(()) };
    unwritten
        .into_iter()
        .chain(kept.err().map(|error| format!("{error}; the run is in its journal")))
        .collect()
}

fn take_in(state: &State, run: Run) -> Result<(), HistoryError> {
    let mut history = History::open(&state.history_file())?;
    history.close_at_once()?;
    history.take_in(&[run]).map(|_| ())
}

/// What the audit log is told of an event.
fn note(run: &Run, entry: &Entry) -> Option<Note> {
    let about_run = |what, details: &[(&str, &str)]| Some(audit::now(what, &run.run, details));
    let note = match &entry.event {
        Event::RunStarted { .. } => about_run(
            "run_started",
            &[
                ("experiment", &run.experiment),
                ("file", &run.file),
                ("environment", &run.environment),
                ("origin", &run.origin),
                ("services", &run.services.join(", ")),
            ],
        ),
        Event::Approved { by } => about_run("approved", &[("by", by)]),
        Event::Refused { by, why } => about_run("refused", &[("by", by), ("why", why)]),
        Event::Aborted { reason, .. } => about_run("run_aborted", &[("why", reason)]),
        Event::Verdict { verdict, .. } => {
            about_run("run_ended", &[("verdict", verdict.name()), ("why", run.reason())])
        }
        _ => None,
    };
    note.map(|note| Note { at: entry.at, ..note })
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_history::Wanted;

    fn entries() -> Vec<Entry> {
        let lines = [
            r#""event":"run_started","run":"r-1","experiment":"pay""#,
            r#""event":"inject_started","injection":"a","fault":"process.kill","target":"pid 8""#,
            r#""event":"restored","injection":"a","fault":"process.kill","target":"pid 8""#,
            r#""event":"verdict","verdict":"passed","exit_code":0"#,
        ];
        let entry = |line: &str| {
            serde_json::from_str(&format!(r#"{{"at":"2026-01-02T03:04:05Z","elapsed":1,{line}}}"#)).unwrap()
        };
        lines.into_iter().map(entry).collect()
    }

    fn recorded(state: &State) -> Vec<String> {
        let mut recorder = Recorder::start(state);
        entries().iter().for_each(|entry| recorder.see(entry));
        recorder.entries = None;
        recorder.troubles.recv().unwrap()
    }

    #[test]
    fn a_run_is_kept_in_history_and_audit_log() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        assert_eq!(recorded(&state), [""; 0]);
        let history = History::open(&state.history_file()).unwrap();
        let runs = history.list(&Wanted::default()).unwrap();
        assert_eq!((runs.len(), runs[0].experiment.as_str(), runs[0].injections), (1, "pay", 1));
        let lines = audit::log(&state).lines().unwrap();
        let told: Vec<(&str, &str)> =
            lines.iter().map(|line| (line.what.as_str(), line.on.as_str())).collect();
        assert_eq!(told, [("run_started", "r-1"), ("run_ended", "r-1")]);
        assert_eq!(audit::log(&state).verify(&[]).unwrap().wrong, None);
    }

    #[test]
    fn what_cannot_be_kept_is_told_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        std::fs::write(state.history_file(), "no database ".repeat(400)).unwrap();
        std::fs::create_dir(audit::log(&state).file()).unwrap();
        let troubles = recorded(&state);
        assert_eq!(troubles.len(), 2, "{troubles:?}");
        assert!(troubles[0].contains("audit log") && troubles[1].contains("damaged"), "{troubles:?}");
        assert!(troubles[1].contains("in its journal"), "{troubles:?}");
        assert!(std::fs::read_to_string(state.history_file()).unwrap().starts_with("no database"));
    }
}
