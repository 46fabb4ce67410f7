//! The journal on its way to disk and back: one JSON object a line, readable even where it is torn.

use squall_model::event::{self, Entry, Event};
use std::fs::File;
use std::io::{self, Write};

/// Where a journal is written.
pub trait Sink: Send {
    /// Appends one line, with its end.
    fn write(&mut self, line: &[u8]) -> io::Result<()>;
    /// Returns when all that was written is on disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.write_all(line)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Whether an event is a change that must be on disk before others follow.
pub fn is_a_change(event: &Event) -> bool {
    matches!(
        event,
        Event::RunStarted { .. }
            | Event::Approved { .. }
            | Event::Refused { .. }
            | Event::InjectStarted { .. }
            | Event::Injected { .. }
            | Event::TargetGone { .. }
            | Event::InjectFailed { .. }
            | Event::Aborted { .. }
            | Event::UndoStarted { .. }
            | Event::Restored { .. }
            | Event::Verdict { .. }
    )
}

/// An entry as a line, with its end.
pub fn line(entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

/// A journal that was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    /// What could be read, in order.
    pub entries: Vec<Entry>,
    /// How many lines are damaged: not JSON, or a known event without what it needs. A torn last line is one.
    pub damaged_lines: usize,
    /// How many lines are events that this version does not know.
    pub unknown_events: usize,
}

impl Journal {
    /// What its reader should know of it, in words: that a newer Squall wrote it, or that lines are missing.
    pub fn notes(&self) -> Vec<String> {
        let newer = self.entries.iter().find_map(|entry| match &entry.event {
            Event::RunStarted { version, squall, .. } if *version > event::VERSION => Some(format!(
                "it was written by squall {squall} in version {version} of the vocabulary, and this squall knows version \
                 {}: what is told is what is known of it; use that squall or a newer one for the rest",
                event::VERSION
            )),
            _ => None,
        });
        let lines = |count: usize, why: &str| (count > 0).then(|| format!("lines that {why}: {count}"));
        let unknown = lines(self.unknown_events, "tell of something that this squall does not know");
        newer.into_iter().chain(unknown).chain(lines(self.damaged_lines, "could not be read")).collect()
    }
}

/// Reads a journal as far as it can be read.
pub fn read(bytes: &[u8]) -> Journal {
    let mut journal = Journal::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => journal.entries.push(entry),
            Err(error) if error.to_string().starts_with("unknown variant") => journal.unknown_events += 1,
            Err(_) => journal.damaged_lines += 1,
        }
    }
    journal
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::event::Phase;
    use squall_model::protocol::Restored;
    use squall_model::verdict::Verdict;
    use std::collections::BTreeMap;

    fn entry(event: Event) -> Entry {
        Entry { at: "2026-01-02T03:04:05Z".parse().unwrap(), elapsed: 1.25, event }
    }

    fn some() -> Vec<Entry> {
        let restored = Restored {
            injection: "a".into(),
            fault: "network.loss".into(),
            target: "eth0".into(),
            steps: Vec::new(),
            errors: vec!["no".into()],
        };
        vec![
            entry(Event::PhaseStarted { phase: Phase::Fault }),
            entry(Event::Metrics {
                phase: Phase::Fault,
                values: BTreeMap::from([("error_rate".into(), 0.5)]),
                errors: BTreeMap::new(),
            }),
            entry(Event::Restored { residue: restored.residue(), restored, seconds: 0.1 }),
            entry(Event::Verdict {
                verdict: Verdict::Residue,
                reasons: vec!["no".into()],
                exit_code: 6,
                seconds: 2.0,
            }),
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes: Vec<u8> = some().iter().flat_map(|entry| line(entry).unwrap()).collect();
        assert_eq!(read(&bytes), Journal { entries: some(), damaged_lines: 0, unknown_events: 0 });
    }

    #[test]
    fn torn_damaged_and_unknown_lines_are_passed_over() {
        let mut bytes: Vec<u8> = some().iter().flat_map(|entry| line(entry).unwrap()).collect();
        bytes.truncate(bytes.len() - 10);
        bytes.splice(
            0..0,
            *b"\x00\xff\n\n{\"at\":\"2026-01-02T03:04:05Z\",\"elapsed\":1,\"event\":\"of_later\",\"x\":1}\n",
        );
        let journal = read(&bytes);
        assert_eq!((journal.entries.len(), journal.damaged_lines, journal.unknown_events), (3, 2, 1));
        let notes = journal.notes().join("\n");
        assert!(notes.contains("does not know: 1") && notes.contains("could not be read: 2"), "{notes}");
    }

    #[test]
    fn a_newer_journal_is_read_as_far_as_it_is_known_and_says_so() {
        let head =
            r#"{"at":"2026-01-02T03:04:05Z","elapsed":0,"event":"run_started","run":"r","squall":"9.0.0""#;
        let bytes = |version| format!("{head},\"version\":{version},\"of_later\":[1]}}\n");
        assert_eq!(read(bytes(event::VERSION).as_bytes()).notes(), [""; 0]);
        let journal = read(bytes(event::VERSION + 1).as_bytes());
        assert_eq!(journal.entries.len(), 1);
        assert!(journal.notes()[0].contains("squall 9.0.0"), "{:?}", journal.notes());
    }
}
