//! The journal of a run in the state folder, which counts, and a copy where the user wants one, which does not: a copy
//! that cannot be written any more, or hangs, is given up with a note, and the run goes on.

use crate::exit::Failure;
use squall_engine::journal::Sink;
use squall_linux::trust;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

/// So many lines may wait for a slow copy before it is given up.
const MOST_WAITING: usize = 65_536;

/// How long the end of a run waits for the rest of the copy.
const FAREWELL: Duration = Duration::from_secs(2);

/// A journal and perhaps its copy.
pub(super) struct Journals {
    main: File,
    copy: Option<SyncSender<Vec<u8>>>,
    /// Whether a line found no room.
    overrun: bool,
}

/// A copy that is being written.
pub(super) struct Copy {
    path: PathBuf,
    written: Receiver<io::Result<()>>,
}

impl Journals {
    /// The journal that counts.
    pub(super) fn create(main: &Path) -> io::Result<Self> {
        Ok(Self { main: trust::create(main)?, copy: None, overrun: false })
    }

    /// Writes a copy too, from now on, on a thread of its own.
    ///
    /// # Errors
    /// The file cannot be made; nothing was touched yet.
    pub(super) fn copy_to(&mut self, path: &Path) -> Result<Copy, Failure> {
        let create = |path| OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
        let mut file = create(path).map_err(|error: io::Error| {
            Failure::invalid(format!("could not make the copy of the journal {}: {error}", path.display()))
        })?;
        let (lines, waiting) = mpsc::sync_channel::<Vec<u8>>(MOST_WAITING);
        let (done, written) = mpsc::channel();
        std::thread::spawn(move || {
            let result = waiting.iter().try_for_each(|line| match line.as_slice() {
                [] => Err(io::Error::other("it did not keep up")),
                line => file.write_all(line),
            });
            // Whoever asked may have stopped waiting.
            let _ = done.send(result);
        });
        self.copy = Some(lines);
        Ok(Copy { path: path.to_owned(), written })
    }

    /// Hands a line on; never waits. An empty line stands for those that found no room.
    fn pass_on(&mut self, line: &[u8]) {
        let Some(copy) = &self.copy else { return };
        let line = if self.overrun { &[] } else { line };
        match copy.try_send(line.to_vec()) {
            Ok(()) if self.overrun => self.copy = None,
            Ok(()) => {}
            Err(mpsc::TrySendError::Full(_)) => self.overrun = true,
            Err(mpsc::TrySendError::Disconnected(_)) => self.copy = None,
        }
    }
}

impl Sink for Journals {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.main.write_all(line)?;
        self.pass_on(line);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.main.sync_data()
    }
}

impl Copy {
    /// Why the copy is not whole, if so. To be asked when the run is over.
    pub(super) fn lost(self) -> Option<String> {
        let why = match self.written.recv_timeout(FAREWELL) {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it is still being written".to_owned(),
        };
        Some(format!("the copy of the journal {} is not complete: {why}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_fails_is_given_up_and_the_journal_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.jsonl");
        let mut journals = Journals::create(&main).unwrap();
        // Every write to this device fails as on a full disk.
        let copy = journals.copy_to(Path::new("/dev/full")).unwrap();
        for line in [b"1\n", b"2\n"] {
            journals.write(line).unwrap();
            journals.sync().unwrap();
        }
        drop(journals);
        assert_eq!(std::fs::read(&main).unwrap(), b"1\n2\n");
        let note = copy.lost().unwrap();
        assert!(note.contains("/dev/full") && note.contains("No space left"), "{note}");
    }

    #[test]
    fn a_copy_that_hangs_does_not_hold_up_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let (main, pipe) = (folder.path().join("main.jsonl"), folder.path().join("pipe"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        // Somebody opened the pipe and reads nothing.
        let reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        let mut journals = Journals::create(&main).unwrap();
        let copy = journals.copy_to(&pipe).unwrap();
        let line = [b'x'; 100];
        let count = MOST_WAITING + 2 * 65536 / line.len();
        (0..count).for_each(|_| journals.write(&line).unwrap());
        assert_eq!(std::fs::metadata(&main).unwrap().len(), (count * line.len()) as u64);
        drop(journals);
        assert!(copy.lost().is_some());
        drop(reader);
    }

    #[test]
    fn a_whole_copy_is_the_same_and_one_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (main, other) = (folder.path().join("main.jsonl"), folder.path().join("copy.jsonl"));
        let mut journals = Journals::create(&main).unwrap();
        let copy = journals.copy_to(&other).unwrap();
        journals.write(b"1\n").unwrap();
        journals.sync().unwrap();
        let missing = folder.path().join("missing/copy.jsonl");
        let error = journals.copy_to(&missing).err().unwrap().to_string();
        assert!(error.contains("missing/copy.jsonl"), "{error}");
        drop(journals);
        assert_eq!((copy.lost(), std::fs::read(&other).unwrap()), (None, std::fs::read(&main).unwrap()));
    }
}
