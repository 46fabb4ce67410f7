//! A session's journal on the disk: one JSON object a line. What people are shown as kept is synced first, so that no end
//! of this process loses it.

use crate::exit::Failure;
use crate::state::State;
use rustix::fs::FlockOperation;
use squall_model::gameday::{Entry, Event};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A journal that this process alone writes.
#[derive(Debug)]
pub(super) struct Notebook {
    file: File,
    path: PathBuf,
    /// The bytes of all lines that were written whole.
    length: u64,
}

impl Notebook {
    /// A new journal.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)?;
        lock(&file)?;
        // The name, too, must be there after a power cut.
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { file, path: path.to_owned(), length: 0 })
    }

    /// A journal to go on with, and what stands in it. A torn last line is a line that never was.
    pub(super) fn reopen(path: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        lock(&file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64)?;
            file.sync_all()?;
        }
        Ok((Self { file, path: path.to_owned(), length: whole as u64 }, entries(&bytes[..whole])))
    }

    /// Takes the journal away again.
    pub(super) fn discard(&self) {
        // One that stays is empty, and says so to its reader.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Writes a line; returns once it is on disk, where it is one that people count on. Of one that could not be written
    /// nothing is left, so that it spoils none after it.
    pub(super) fn write(&mut self, entry: &Entry) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| {
            format!("the journal {} could not be written: {error}", self.path.display())
        };
        let mut line = serde_json::to_vec(entry).map_err(|error| failed(&error))?;
        line.push(b'\n');
        let mut written = (&self.file).write_all(&line);
        if written.is_ok() && entry.event.is_acknowledged() {
            written = self.file.sync_data();
        }
        if let Err(error) = written {
            // Where even that fails, the line is torn, and a reader passes it over.
            let _ = self.file.set_len(self.length);
            return Err(failed(&error));
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

fn lock(file: &File) -> io::Result<()> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        if error == rustix::io::Errno::WOULDBLOCK {
            io::Error::other("another squall carries this session out")
        } else {
            error.into()
        }
    })
}

/// The events of a journal, as far as they can be read.
pub(super) fn entries(bytes: &[u8]) -> Vec<Entry> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The journal that a name means: a file, a session, or `last`.
pub(super) fn find(state: &State, name: &str) -> Result<PathBuf, Failure> {
    let folder = state.gamedays();
    let path = Path::new(name);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if name == "last" {
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let newest = files.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).max();
        return newest.ok_or_else(|| {
            Failure::invalid(format!("there is no session of a game day yet in {}", folder.display()))
        });
    }
    let path = folder.join(format!("{name}.jsonl"));
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::invalid(format!(
        "there is no session {name:?} in {}; `last` is the newest",
        folder.display()
    )))
}

/// Reads a journal for a report.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| Failure::invalid(format!("could not read {}: {error}", path.display())))?;
    let entries = entries(&bytes);
    if !entries.iter().any(|entry| matches!(entry.event, Event::SessionStarted { .. })) {
        return Err(Failure::invalid(format!("{} is not the journal of a game day", path.display())));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::gameday::NoteKind;

    fn note(text: &str) -> Entry {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        Entry { at, elapsed: 1.5, event: Event::Noted { kind: NoteKind::Note, text: text.into() } }
    }

    #[test]
    fn what_was_written_is_there_and_what_was_torn_never_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.jsonl");
        let mut notebook = Notebook::create(&path).unwrap();
        notebook.write(&note("one")).unwrap();
        notebook.write(&note("two\nlines")).unwrap();
        assert!(Notebook::reopen(&path).unwrap_err().to_string().contains("another squall"));
        drop(notebook);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"at\":\"2026").unwrap();
        let (mut notebook, entries) = Notebook::reopen(&path).unwrap();
        assert_eq!(entries, [note("one"), note("two\nlines")]);
        notebook.write(&note("three")).unwrap();
        drop(notebook);
        assert_eq!(Notebook::reopen(&path).unwrap().1.len(), 3);
        assert!(Notebook::create(&path).is_err(), "a journal was written over");
    }
}
