//! The state folder: where undo logs, journals and the list of live runs are kept.
//!
//! ```text
//! live/ID.undo    what an injection still owes, held by its agent
//! runs/RUN.jsonl  the journal of a run
//! gamedays/S.jsonl the journal of a game day's session
//! squall.db       the history: all runs, made from their journals
//! audit.jsonl     who did what, each line holding the hash of the one before; audit.head, the last of them
//! brains/RUN      a run that is going on, or was killed and has no verdict yet: who carries it out
//! limits.jsonl    breaking points that were found
//! halt            while this file is there, nothing is injected and what is live is put back
//! ```

use crate::exit::Failure;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use squall_linux::sys::process;
use squall_linux::trust;
use squall_model::step::ProcessRef;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The state folder of this user.
#[derive(Debug, Clone)]
pub(crate) struct State {
    folder: PathBuf,
    /// Whether it is on a machine where Squall comes and goes with a run: there are undo logs and nothing else, and nothing
    /// stays that is empty.
    is_of_guest: bool,
}

/// Bytes that a note of a live run is longer than it must be.
const SPARE: usize = 32;

/// A run that is going on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LiveRun {
    /// Its name.
    pub(crate) run: String,
    /// The experiment's name.
    pub(crate) experiment: String,
    /// The process that carries it out.
    pub(crate) brain: ProcessRef,
    /// Whether its agent is root's, with logs in root's state folder.
    #[serde(default)]
    pub(crate) through_sudo: bool,
    /// Its journal.
    pub(crate) journal: PathBuf,
    /// When it started, RFC 3339.
    pub(crate) started: String,
    /// Who is told of it.
    #[serde(default, skip_serializing_if = "Audience::is_empty")]
    pub(crate) audience: Audience,
    /// Whether it ended and was told, but its journal found no room for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unwritten: bool,
}

/// Who is told of a run: where that stands. Secrets of settings are not in it; an option's URL is there as it was given, for
/// this user's eyes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Audience {
    /// The settings.
    pub(crate) settings: Option<PathBuf>,
    /// Options of the command line that stand in place of settings' keys, by the names of these.
    pub(crate) options: Vec<(String, String)>,
}

impl State {
    /// `SQUALL_STATE`; else `/var/lib/squall` as root, `$XDG_STATE_HOME/squall` or `~/.local/state/squall` as a user.
    ///
    /// # Errors
    /// None of these is set. (A folder that anybody may make, such as one in `/tmp`, is no place for what is believed.)
    pub(crate) fn locate() -> Result<Self, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let by_default = || {
            if rustix::process::geteuid().is_root() {
                return Some(PathBuf::from("/var/lib/squall"));
            }
            let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
            state.map(|state| state.join("squall"))
        };
        let folder = set("SQUALL_STATE").or_else(by_default).ok_or_else(|| {
            Failure::invalid(
                "could not find a state folder: HOME is not set; set SQUALL_STATE to a folder of your own",
            )
        })?;
        Ok(Self { folder: std::path::absolute(folder)?, is_of_guest: false })
    }

    /// A given folder.
    pub(crate) fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), is_of_guest: false }
    }

    /// A folder on a machine that is somebody else's.
    pub(crate) fn of_guest(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), is_of_guest: true }
    }

    pub(crate) fn is_of_guest(&self) -> bool {
        self.is_of_guest
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
    pub(crate) fn undo_logs(&self) -> PathBuf {
        self.folder.join("live")
    }
    pub(crate) fn journal(&self, run: &str) -> PathBuf {
        self.runs().join(format!("{run}.jsonl"))
    }
    pub(crate) fn runs(&self) -> PathBuf {
        self.folder.join("runs")
    }
    pub(crate) fn history_file(&self) -> PathBuf {
        self.folder.join("squall.db")
    }
    pub(crate) fn gamedays(&self) -> PathBuf {
        self.folder.join("gamedays")
    }
    pub(crate) fn halt_file(&self) -> PathBuf {
        self.folder.join("halt")
    }
    fn brains(&self) -> PathBuf {
        self.folder.join("brains")
    }

    /// Makes the folders, readable by their owner alone: journals and logs tell how a system is built. Refuses folders
    /// that others can write: what stands in them is believed.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let others = [self.runs(), self.gamedays(), self.brains()];
        let others = others.into_iter().filter(|_| !self.is_of_guest);
        let folders: Vec<PathBuf> =
            [self.folder.clone(), self.undo_logs()].into_iter().chain(others).collect();
        let made = |folder: &PathBuf| {
            trust::make_folder(folder)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
        };
        folders.iter().try_for_each(made)
    }

    /// Leaves nothing that is empty behind, where it is a guest's and nobody else needs it.
    pub(crate) fn leave(&self) {
        if self.is_of_guest {
            for folder in [self.undo_logs(), self.folder.clone()] {
                // What is not empty stays.
                let _ = std::fs::remove_dir(folder);
            }
        }
    }

    /// The failure where the folder cannot be used: it may not be written to, or its disk is full.
    pub(crate) fn unusable(&self, error: &io::Error) -> Failure {
        let folder = self.folder.display();
        Failure::invalid(format!(
            "could not use the state folder {folder}: {error}; set SQUALL_STATE to another"
        ))
    }

    /// Notes that a run goes on; the note goes with the value that is returned.
    pub(crate) fn announce(&self, live: &LiveRun) -> io::Result<Announcement> {
        let path = self.brains().join(&live.run);
        let mut text = serde_json::to_vec(live)?;
        // Room for a word more, should there be none when it is needed.
        text.resize(text.len() + SPARE, b' ');
        let mut note = trust::create(&path)?;
        // Half a note says nothing: where it cannot be written whole, it goes.
        let announcement = Announcement(path);
        std::io::Write::write_all(&mut note, &text)?;
        Ok(announcement)
    }

    /// The runs that go on, oldest first.
    pub(crate) fn live_runs(&self) -> Vec<LiveRun> {
        let mut runs: Vec<LiveRun> = self.notes(true).map(|(_, run)| run).collect();
        runs.sort_by(|a, b| a.started.cmp(&b.started));
        runs
    }

    /// The runs whose brain is gone and whose journal has no end yet, and their notes.
    pub(crate) fn dead_runs(&self) -> Vec<(PathBuf, LiveRun)> {
        self.notes(false).collect()
    }

    /// The names of runs and sessions that go on, or whose end is still to be written.
    pub(crate) fn announced(&self) -> HashSet<String> {
        let notes = std::fs::read_dir(self.brains()).into_iter().flatten().flatten();
        notes.map(|note| note.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Removes journals of runs that are over, the oldest first, until no more than so many with so many bytes are left. The latest
    /// stays in any case.
    #[cfg(any(test, feature = "kubernetes"))]
    pub(crate) fn thin_journals(&self, most: usize, bytes: u64) -> io::Result<()> {
        let announced = self.announced();
        let mut journals = Vec::new();
        for entry in std::fs::read_dir(self.runs())? {
            let (path, facts) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
            let is_over = |run: &str| !announced.contains(run);
            if path.file_stem().and_then(|run| run.to_str()).is_some_and(is_over) {
                journals.push((facts.modified()?, facts.len(), path));
            }
        }
        journals.sort_unstable_by(|one, other| other.cmp(one));
        let mut sum = 0;
        for (number, (_, length, path)) in journals.into_iter().enumerate() {
            sum += length;
            if number >= most.max(1) || (number > 0 && sum > bytes) {
                match std::fs::remove_file(path) {
                    // Another run that ends now may have been faster.
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Notes of brains that live, or do not. Those that others could have written are passed over: whoever is named there
    /// may be sent a signal.
    fn notes(&self, alive: bool) -> impl Iterator<Item = (PathBuf, LiveRun)> {
        let entries = std::fs::read_dir(self.brains()).into_iter().flatten().flatten();
        entries.filter_map(move |entry| {
            let live: LiveRun = serde_json::from_slice(&trust::read(&entry.path()).ok()?).ok()?;
            (process::is_alive(&live.brain) == alive).then(|| (entry.path(), live))
        })
    }
}

/// A run's note among the live ones; removed when dropped.
#[derive(Debug)]
pub(crate) struct Announcement(PathBuf);

impl Audience {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Announcement {
    /// Leaves the note behind, for a journal that has no end: whoever comes by when this process is gone gives it one, and
    /// tells nobody, since all were told. The note keeps its length: there is no room for a longer one.
    pub(crate) fn leave(self, live: &LiveRun) {
        let ended = LiveRun { unwritten: true, audience: Audience::default(), ..live.clone() };
        let rewritten = serde_json::to_vec(&ended).map_err(io::Error::from).and_then(|mut text| {
            let file = trust::open(&self.0, OFlags::WRONLY)?;
            text.resize(usize::try_from(file.metadata()?.len()).unwrap_or(text.len()).max(text.len()), b' ');
            file.write_all_at(&text, 0)
        });
        if let Err(error) = rewritten {
            tracing::warn!(run = live.run, %error, "the note of a run whose journal has no end could not be changed");
        }
        std::mem::forget(self);
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // A note left behind is recognised by its dead process, and by the verdict in its journal.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn the_latest_journals_stay_and_those_of_runs_that_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        state.prepare().unwrap();
        let write = |run: &str, age: u64| {
            let path = state.journal(run);
            std::fs::write(&path, [0; 100]).unwrap();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        ["now", "new", "newer", "old", "oldest"]
            .iter()
            .zip([0, 3, 2, 4, 5])
            .for_each(|(run, age)| write(run, age));
        std::fs::write(state.brains().join("oldest"), "").unwrap();
        let left = || {
            let entries = std::fs::read_dir(state.runs()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        state.thin_journals(3, 1000).unwrap();
        assert_eq!(left(), ["new.jsonl", "newer.jsonl", "now.jsonl", "oldest.jsonl"]);
        state.thin_journals(3, 250).unwrap();
        assert_eq!(left(), ["newer.jsonl", "now.jsonl", "oldest.jsonl"]);
        state.thin_journals(3, 1).unwrap();
        assert_eq!(left(), ["now.jsonl", "oldest.jsonl"]);
    }
}
