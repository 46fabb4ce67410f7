//! What the monkey writes down, in the state folder:
//!
//! ```text
//! monkey/NAME/plan-2026-11-30.json  what was decided for a day, before the day
//! monkey/NAME/log.jsonl             what was done, one event a line, each synced before what it announces
//! monkey/NAME/lock                  held by the monkey that is at work: there is one of each name
//! ```

use crate::state::State;
use jiff::Timestamp;
use jiff::civil::Date;
use rustix::fs::{FlockOperation, Mode, flock};
use serde::{Deserialize, Serialize};
use squall_practice::monkey::{DayPlan, History};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The records of one monkey.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    folder: PathBuf,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// When, by the monkey's clock.
    pub(crate) at: Timestamp,
    /// The day of the plan that it belongs to.
    pub(crate) date: Date,
    /// The group's key; none where it is about the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// A day was planned.
    Planned {
        /// How many strikes.
        strikes: usize,
    },
    /// An owner was told.
    Told {
        /// Who.
        owner: Option<String>,
        /// What.
        words: String,
    },
    /// An instance is about to be ended. Written before it is.
    Striking {
        /// Which.
        instance: String,
        /// What tells it from all others.
        id: String,
        /// When, by the host's clock, which runs go by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_host: Option<Timestamp>,
    },
    /// What came of it.
    Struck {
        /// Which.
        instance: String,
        /// The run's verdict.
        verdict: String,
        /// Why.
        reason: String,
        /// Whether anything was touched.
        touched: bool,
    },
    /// It would have been ended, but the monkey is leashed.
    Leashed {
        /// Which.
        instance: String,
    },
    /// A planned strike was not made, whether or not it was about to be.
    Spared {
        /// Why.
        why: String,
    },
}

impl Records {
    /// Those of a monkey by its name.
    pub(crate) fn of(state: &State, name: &str) -> Self {
        Self { folder: state.folder().join("monkey").join(name) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder and keeps every other monkey of the name away until the file is closed; `None` where one is at
    /// work.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        std::fs::create_dir_all(&self.folder)?;
        rustix::fs::chmod(&self.folder, Mode::RWXU)?;
        let path = self.folder.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn plan_file(&self, date: Date) -> PathBuf {
        self.folder.join(format!("plan-{date}.json"))
    }

    /// The plan that was written for a day, if one was. One that cannot be read is none: it is made again, the same.
    pub(crate) fn plan(&self, date: Date) -> Option<DayPlan> {
        serde_json::from_slice(&std::fs::read(self.plan_file(date)).ok()?).ok()
    }

    /// Writes a day's plan, whole or not at all.
    pub(crate) fn write_plan(&self, plan: &DayPlan) -> io::Result<()> {
        let path = self.plan_file(plan.date);
        let making = path.with_extension("new");
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&making)?;
        file.write_all(&serde_json::to_vec_pretty(plan)?)?;
        file.sync_all()?;
        std::fs::rename(&making, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Adds a line to the log; it is on disk when this returns.
    pub(crate) fn add(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let path = self.folder.join("log.jsonl");
        let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        // A line that was torn by a crash must not swallow this one.
        if ends_torn(&file)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        file.sync_data()
    }

    /// What was done so far, oldest first. Torn lines are left out.
    pub(crate) fn log(&self) -> Vec<Entry> {
        let Ok(file) = File::open(self.folder.join("log.jsonl")) else { return Vec::new() };
        let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
        lines.filter_map(|line| serde_json::from_slice(&line).ok()).collect()
    }

    /// Strikes that were begun and of which nobody wrote down what came of them, oldest first.
    pub(crate) fn unsettled(&self) -> Vec<Entry> {
        let mut begun: Vec<Entry> = Vec::new();
        for entry in self.log() {
            match &entry.event {
                Event::Striking { .. } => begun.push(entry),
                Event::Struck { .. } | Event::Spared { .. } => {
                    begun.retain(|other| (other.date, &other.group) != (entry.date, &entry.group));
                }
                _ => {}
            }
        }
        begun
    }

    /// When each group was struck last. A strike that was begun counts, unless it is known that nothing was touched; what
    /// only would have been done counts where `dry`, so that a leashed monkey tells what a free one would do.
    pub(crate) fn history(&self, dry: bool) -> History {
        let mut history = History::new();
        // Strikes that were begun, with when the group was struck before.
        let mut begun: BTreeMap<String, Option<Date>> = BTreeMap::new();
        for Entry { date, group, event, .. } in self.log() {
            let Some(group) = group else { continue };
            match event {
                Event::Striking { .. } => {
                    let last = history.insert(group.clone(), date);
                    begun.insert(group, last);
                }
                Event::Struck { touched: true, .. } => drop(begun.remove(&group)),
                Event::Struck { touched: false, .. } | Event::Spared { .. } => match begun.remove(&group) {
                    Some(Some(last)) => drop(history.insert(group, last)),
                    Some(None) => drop(history.remove(&group)),
                    None => {}
                },
                Event::Leashed { .. } if dry => drop(history.insert(group, date)),
                _ => {}
            }
        }
        history
    }
}

/// Whether a file's last byte is not the end of a line.
fn ends_torn(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let length = file.metadata()?.len();
    let mut last = [0];
    Ok(length > 0 && file.read_at(&mut last, length - 1)? == 1 && last != [b'\n'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn entry(day: i8, group: &str, event: Event) -> Entry {
        let at = Timestamp::UNIX_EPOCH;
        Entry { at, date: date(2026, 12, day), group: Some(group.to_owned()), event }
    }

    fn striking() -> Event {
        Event::Striking { instance: "a".into(), id: "1".into(), by_host: None }
    }

    fn spared() -> Event {
        Event::Spared { why: "there may be an outage".into() }
    }

    fn struck(touched: bool) -> Event {
        Event::Struck { instance: "a".into(), verdict: "passed".into(), reason: String::new(), touched }
    }

    #[test]
    fn a_strike_that_was_begun_counts_unless_nothing_was_touched() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::of(&State::at(folder.path()), "shop");
        let lock = records.lock().unwrap().unwrap();
        assert!(records.lock().unwrap().is_none(), "one monkey of a name");
        for line in [
            entry(1, "a", striking()),
            entry(1, "a", struck(true)),
            entry(2, "a", striking()),
            entry(2, "a", struck(false)),
            entry(2, "b", striking()),
            entry(3, "c", Event::Leashed { instance: "c".into() }),
            entry(3, "d", striking()),
            entry(3, "d", struck(false)),
            entry(3, "e", striking()),
            entry(3, "e", spared()),
            entry(4, "a", striking()),
            entry(4, "a", spared()),
            // Not even begun: what was before stays.
            entry(5, "a", spared()),
        ] {
            records.add(&line).unwrap();
        }
        let days = |dry| -> Vec<(String, i8)> {
            records.history(dry).into_iter().map(|(group, date)| (group, date.day())).collect()
        };
        assert_eq!(days(false), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(days(true).len(), 3);
        // Of "b" nobody knows what came of it, until somebody has looked.
        let unsettled = records.unsettled();
        assert_eq!((unsettled.len(), unsettled[0].group.as_deref()), (1, Some("b")));
        records.add(&entry(2, "b", struck(true))).unwrap();
        assert_eq!(records.unsettled(), []);
        drop(lock);
    }

    #[test]
    fn a_torn_line_swallows_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::of(&State::at(folder.path()), "shop");
        records.lock().unwrap();
        records.add(&entry(1, "a", striking())).unwrap();
        let log = records.folder().join("log.jsonl");
        let whole = std::fs::read(&log).unwrap();
        std::fs::write(&log, [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
        records.add(&entry(2, "b", striking())).unwrap();
        assert_eq!(records.log().len(), 2);
    }
}
