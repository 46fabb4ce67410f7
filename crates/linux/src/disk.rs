//! Where undo logs are kept on a real host: a folder with one file an injection, and a copy in another process.
//!
//! A file is `INJECTION.undo`, readable by its owner alone, written at its end only. The process that made it holds its
//! lock (`flock`), which the kernel frees when the process ends, however it ends; so whoever gets the lock may take
//! over. A [`Mirror`] gets each line too, once it is in the file: the warden keeps them in memory as a
//! [`MirroredFolder`], so that a log which is cut, overwritten or deleted meanwhile costs nothing.
//!
//! Sources: open(2), fsync(2) (on new names: the folder is synced too), flock(2).

use crate::sys::process;
use crate::trust;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, fchmod, flock, fstat, ftruncate, linkat};
use rustix::io::Errno;
use squall_model::undo_log::{self, Disk, Found, LogError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the files' names end in; anything else in the folder is not ours.
const SUFFIX: &str = ".undo";

/// Names longer than this are refused, well below what file systems take.
const LONGEST_NAME: usize = 200;

/// A process that was killed is seen to be dead a moment before the kernel has closed its files and freed its locks:
/// its threads end one by one, each when the processor has time for it.
const DIES_WITHIN: Duration = Duration::from_secs(1);
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// How many logs a mirror's reader keeps open, well below what a process may open.
const MOST_OPEN: usize = 400;

/// Who gets a copy of what is written.
pub trait Mirror: Send {
    /// A line is in the file.
    fn appended(&mut self, name: &str, line: &[u8]);
    /// A file is gone: nothing is owed any longer.
    fn removed(&mut self, name: &str);
}

/// A mirror that writes what it gets to a stream, one line each: `append NAME LINE` or `remove NAME`.
#[derive(Debug)]
pub struct MirrorWriter<W>(W);

impl<W: Write + Send> MirrorWriter<W> {
    /// Writes to this stream. Its other end is read with [`MirroredFolder::hear`]. Errors are passed over: the line is
    /// in the file already, and whoever started the other end sees its death by other means.
    pub fn new(stream: W) -> Self {
        Self(stream)
    }

    fn send(&mut self, parts: &[&[u8]]) {
        // At once, so that hardly ever half a line is all that a killed writer leaves; the reader passes it over.
        let _ = self.0.write_all(&parts.concat()).and_then(|()| self.0.flush());
    }
}

impl<W: Write + Send> Mirror for MirrorWriter<W> {
    fn appended(&mut self, name: &str, line: &[u8]) {
        self.send(&[b"append ", name.as_bytes(), b" ", line]);
    }
    fn removed(&mut self, name: &str) {
        self.send(&[b"remove ", name.as_bytes(), b"\n"]);
    }
}

/// Which process holds the lock of an undo log now, as far as that is to be known.
pub fn holder(log: &Path) -> Option<u32> {
    let inode = log.metadata().ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 4242 fe:00:131 0 EOF`; one that waits has an arrow in the second place. A device's number
    // is not everywhere the one that files tell, as on btrfs.
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words.as_slice() else { return None };
        let is_it = place.rsplit(':').next() == Some(inode.as_str());
        is_it.then(|| pid.parse().ok())?
    })
}

/// A file whose lock we hold.
#[derive(Debug)]
struct Held {
    file: File,
    /// How long the file is up to the last whole line.
    length: u64,
    /// Whether bytes stand after the last whole line that could not be taken away.
    torn: bool,
}

/// The folder of undo logs. While it is empty it may come and go: where guests are, the last one that leaves takes it along, and
/// whoever needs it next makes it again, perhaps in the same moment.
pub struct Folder {
    path: PathBuf,
    held: BTreeMap<String, Held>,
    mirror: Option<Box<dyn Mirror>>,
}

impl Folder {
    /// Opens the folder; makes it, for its owner alone, where it is not there. One that others can write is refused.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, LogError> {
        let path = path.into();
        let refused = |error: io::Error| failed("use the folder of", &path, &error);
        trust::make_folder(&path).map_err(refused)?;
        Ok(Self { path, held: BTreeMap::new(), mirror: None })
    }

    /// Copies what is written from now on to a mirror too, before `append` returns.
    pub fn set_mirror(&mut self, mirror: Option<Box<dyn Mirror>>) {
        self.mirror = mirror;
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> Result<PathBuf, LogError> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
            return Err(LogError::Disk {
                deed: "name",
                name: format!("{name:?}"),
                cause: "a name has letters, digits and \"-\" only".to_owned(),
            });
        }
        Ok(self.path.join(format!("{name}{SUFFIX}")))
    }

    /// Locks an open file that must still bear its name: between opening and locking another process may have taken
    /// it over, settled and removed it.
    fn hold(&mut self, name: &str, file: File, length: u64, torn: bool) -> Result<(), LogError> {
        let held = || LogError::Held { name: name.to_owned() };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(held()),
            Err(errno) => return Err(failed("lock", &self.file(name)?, &errno.into())),
        }
        match fstat(&file) {
            Ok(status) if status.st_nlink > 0 => {
                self.held.insert(name.to_owned(), Held { file, length, torn });
                Ok(())
            }
            _ => Err(held()),
        }
    }

    /// Adds whole lines; with `sync`, they are on the disk after.
    fn write(&mut self, name: &str, bytes: &[u8], sync: bool) -> Result<(), LogError> {
        let path = self.file(name)?;
        let refused = |error: io::Error| failed("write", &path, &error);
        let not_ours =
            || refused(io::Error::other("its lock is not held here: create it or take it over first"));
        let held = self.held.get_mut(name).ok_or_else(not_ours)?;
        held.append(bytes, sync).map_err(refused)?;
        if let Some(mirror) = &mut self.mirror {
            mirror.appended(name, bytes);
        }
        Ok(())
    }

    fn create_file(&mut self, name: &str, first: &[u8]) -> Result<(), LogError> {
        let path = self.file(name)?;
        let refused = |error: io::Error| failed("create", &path, &error);
        let file = trust::while_folders_go(|| self.make_file(name, &path, first)).map_err(refused)?;
        let length = first.len() as u64;
        self.held.insert(name.to_owned(), Held { file, length, torn: false });
        if let Err(error) = File::open(&self.path).and_then(|folder| folder.sync_all()) {
            self.held.remove(name);
            // Should it stay, recovery finds a log that owes nothing.
            let _ = std::fs::remove_file(&path);
            return Err(refused(error));
        }
        if let Some(mirror) = &mut self.mirror {
            mirror.appended(name, first);
        }
        Ok(())
    }

    /// Makes a file without a name, fills it, and gives it its name when that is on the disk. Not found, where the folder goes
    /// meanwhile.
    fn make_file(&self, name: &str, path: &Path, first: &[u8]) -> io::Result<File> {
        trust::make_folder(&self.path)?;
        let unnamed = Unnamed::create(&self.path, name)?;
        // A umask takes bits away and never adds any; this gives back what one may have taken.
        fchmod(&unnamed.file, Mode::RUSR | Mode::WUSR)?;
        flock(&unnamed.file, FlockOperation::NonBlockingLockExclusive)?;
        (&unnamed.file).write_all(first)?;
        unnamed.file.sync_data()?;
        unnamed.name(path)
    }
}

/// A file that is being filled and has no name yet, so that nothing of it is left if we die meanwhile. Some file systems
/// know no such files: there it has another name, which nobody looks at.
struct Unnamed {
    file: File,
    other_name: Option<PathBuf>,
}

impl Unnamed {
    fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags | OFlags::TMPFILE, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Self { file: file.into(), other_name: None }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
                let other_name = folder.join(format!("{name}.new"));
                let flags = flags | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
                let file = rustix::fs::open(&other_name, flags, Mode::RUSR | Mode::WUSR)?;
                Ok(Self { file: file.into(), other_name: Some(other_name) })
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives it its name; an error where that is taken.
    fn name(self, path: &Path) -> io::Result<File> {
        let from = match &self.other_name {
            Some(other_name) => other_name.clone(),
            None => PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd())),
        };
        linkat(CWD, from, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
        self.file.try_clone()
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(other_name) = &self.other_name {
            let _ = std::fs::remove_file(other_name);
        }
    }
}

impl Disk for Folder {
    fn create(&mut self, name: &str, first: &[u8]) -> Result<(), LogError> {
        self.create_file(name, first)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        self.write(name, bytes, true)
    }

    fn note(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        self.write(name, bytes, false)
    }

    fn place(&self, name: &str) -> String {
        self.path.join(format!("{name}{SUFFIX}")).display().to_string()
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, LogError> {
        let path = self.file(name)?;
        trust::read(&path).map_err(|error| failed("read", &path, &error))
    }

    fn remove(&mut self, name: &str) -> Result<(), LogError> {
        let path = self.file(name)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &path, &error));
            }
            _ => {}
        }
        self.held.remove(name);
        if let Some(mirror) = &mut self.mirror {
            mirror.removed(name);
        }
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<String>, LogError> {
        let refused = |error: io::Error| failed("list", &self.path, &error);
        let mut names = Vec::new();
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries.map_err(refused)?,
        };
        for entry in entries {
            let file = entry.map_err(refused)?.file_name();
            if let Some(name) = file.to_str().and_then(|file| file.strip_suffix(SUFFIX))
                && self.file(name).is_ok()
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// A file that is gone by now counts as held: its holder was alive a moment ago and settled it.
    fn take_over(&mut self, name: &str) -> Result<Found, LogError> {
        let deadline = Instant::now() + DIES_WITHIN;
        loop {
            match self.try_to_take_over(name) {
                Err(LogError::Held { .. }) if self.may_be_dying(name) && Instant::now() < deadline => {
                    std::thread::sleep(BETWEEN_TRIES);
                }
                taken => return taken.map(|()| Found::File),
            }
        }
    }
}

impl Folder {
    /// Whether a log's owner is dead or dying and its lock must be free in a moment, or is not known because the line
    /// that names it is damaged. (Where the one that holds the lock is somebody else who is putting it back, the file
    /// is gone in a moment.)
    fn may_be_dying(&mut self, name: &str) -> bool {
        let Ok(bytes) = self.read(name) else { return false };
        undo_log::read(&bytes).opened.is_none_or(|opened| process::is_dying(&opened.owner))
    }

    fn try_to_take_over(&mut self, name: &str) -> Result<(), LogError> {
        if self.held.contains_key(name) {
            return Ok(());
        }
        let path = self.file(name)?;
        let refused = |error: io::Error| failed("take over", &path, &error);
        let held = || LogError::Held { name: name.to_owned() };
        // A log that can no longer be written still tells what is to be put back, and its lock is as good.
        let file =
            trust::open(&path, OFlags::RDWR | OFlags::APPEND).or_else(|_| trust::open(&path, OFlags::RDONLY));
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(held()),
            file => file.map_err(refused)?,
        };
        self.hold(name, file, 0, false)?;
        // Read only now: until the lock was ours, its holder could still write.
        let bytes = self.read(name)?;
        let owner = undo_log::read(&bytes).opened.map(|opened| opened.owner);
        // Where locks do not reach, as on some network file systems, the owner's life decides.
        if owner.is_some_and(|owner| owner.pid != std::process::id() && process::is_alive(&owner)) {
            self.held.remove(name);
            return Err(held());
        }
        if let Some(log) = self.held.get_mut(name) {
            log.length = bytes.len() as u64;
            log.torn = bytes.last().is_some_and(|last| *last != b'\n');
        }
        Ok(())
    }
}

impl Held {
    /// Adds whole lines, and syncs them where wanted. What a failed write leaves is taken away again, or else closed
    /// off with a newline before the next line: glued to it, that one would be lost.
    fn append(&mut self, bytes: &[u8], sync: bool) -> io::Result<()> {
        let lines = if self.torn { [b"\n", bytes].concat() } else { bytes.to_vec() };
        let file = &mut self.file;
        let written = file.write_all(&lines).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        match &written {
            Ok(()) => {
                self.length += lines.len() as u64;
                self.torn = false;
            }
            Err(_) => self.torn = self.torn || ftruncate(&self.file, self.length).is_err(),
        }
        written
    }
}

/// The folder as a mirror's reader sees it: what it heard counts, whatever became of the file.
pub struct MirroredFolder {
    folder: Folder,
    heard: BTreeMap<String, Heard>,
}

/// A log that was heard.
struct Heard {
    lines: Vec<u8>,
    /// Its file, opened when it was first heard: one that was removed since still tells whether it was settled before.
    file: Option<File>,
}

impl Heard {
    /// What the file holds, whether it has its name still or not; nothing where that cannot be read.
    fn in_file(&self) -> Vec<u8> {
        let read = |file: &File| -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or_default()];
            file.read_exact_at(&mut bytes, 0).map(|()| bytes)
        };
        self.file.as_ref().and_then(|file| read(file).ok()).unwrap_or_default()
    }

    /// What was heard, then what stands in the file alone. Damaged lines of the file are left out, since their whole
    /// text was heard too.
    fn with(&self, file: &[u8]) -> Vec<u8> {
        let known: BTreeSet<&[u8]> = self.lines.split(|byte| *byte == b'\n').collect();
        let mut merged = self.lines.clone();
        for line in
            file.split(|byte| *byte == b'\n').filter(|line| !known.contains(line) && undo_log::is_whole(line))
        {
            merged.extend_from_slice(line);
            merged.push(b'\n');
        }
        merged
    }
}

impl MirroredFolder {
    /// Nothing is heard yet.
    pub fn new(folder: Folder) -> Self {
        Self { folder, heard: BTreeMap::new() }
    }

    /// Takes in one line of a [`MirrorWriter`], with or without its newline. A line that makes no sense, such as one
    /// that was cut when its writer was killed, is passed over: it is in the file.
    pub fn hear(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let word = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).ok();
        if let Some(name) = line.strip_prefix(b"remove ").and_then(word) {
            self.heard.remove(&name);
        } else if let Some(rest) = line.strip_prefix(b"append ")
            && let Some(space) = rest.iter().position(|byte| *byte == b' ')
            && let Some(name) = word(&rest[..space])
            && undo_log::is_whole(&rest[space + 1..])
        {
            if !self.heard.contains_key(&name) {
                let path = self.folder.file(&name).ok().filter(|_| self.heard.len() < MOST_OPEN);
                let file = path.and_then(|path| File::open(path).ok());
                self.heard.insert(name.clone(), Heard { lines: Vec::new(), file });
            }
            let Some(heard) = self.heard.get_mut(&name) else { return };
            heard.lines.extend_from_slice(&rest[space + 1..]);
            heard.lines.push(b'\n');
        }
    }

    /// Whether nothing that was heard is still owed.
    pub fn is_settled(&self) -> bool {
        self.heard.is_empty()
    }
}

impl Disk for MirroredFolder {
    fn create(&mut self, name: &str, first: &[u8]) -> Result<(), LogError> {
        self.folder.create(name, first)
    }

    fn place(&self, name: &str) -> String {
        self.folder.place(name)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        if let Some(heard) = self.heard.get_mut(name) {
            heard.lines.extend_from_slice(bytes);
        }
        self.folder.append(name, bytes)
    }

    fn note(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        if let Some(heard) = self.heard.get_mut(name) {
            heard.lines.extend_from_slice(bytes);
        }
        self.folder.note(name, bytes)
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, LogError> {
        match self.heard.get(name) {
            Some(heard) => Ok(heard.with(&self.folder.read(name).unwrap_or_default())),
            None => self.folder.read(name),
        }
    }

    fn remove(&mut self, name: &str) -> Result<(), LogError> {
        self.heard.remove(name);
        self.folder.remove(name)
    }

    fn list(&mut self) -> Result<Vec<String>, LogError> {
        // What was heard must be undone though the folder is gone.
        let listed = match self.folder.list() {
            Err(error) if self.heard.is_empty() => return Err(error),
            listed => listed.unwrap_or_default(),
        };
        let names: BTreeSet<String> = listed.into_iter().chain(self.heard.keys().cloned()).collect();
        Ok(names.into_iter().collect())
    }

    /// A file that is gone was settled by somebody else where its own last words say so; else it is made anew. A disk
    /// that fails does not keep what was heard from being put back.
    fn take_over(&mut self, name: &str) -> Result<Found, LogError> {
        let missing = self.folder.file(name).is_ok_and(|path| !path.exists());
        let Some(heard) = self.heard.get_mut(name) else { return self.folder.take_over(name) };
        let taken = if missing {
            let lines = heard.with(&heard.in_file());
            if undo_log::read(&lines).owed.is_empty() {
                self.heard.remove(name);
                return Err(LogError::Held { name: name.to_owned() });
            }
            self.folder.create(name, &lines).map(|()| Found::Memory)
        } else {
            self.folder.take_over(name).inspect(|_| {
                // From here on the folder keeps it open.
                heard.file = None;
            })
        };
        if matches!(taken, Err(LogError::Disk { .. })) { Ok(Found::Memory) } else { taken }
    }
}

/// An error with what to do about it.
fn failed(deed: &'static str, path: &Path, error: &io::Error) -> LogError {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space there",
        io::ErrorKind::ReadOnlyFilesystem => "; set SQUALL_STATE to a folder that can be written",
        io::ErrorKind::PermissionDenied => {
            "; run as the user who owns that folder, or set SQUALL_STATE to one of your own"
        }
        io::ErrorKind::AlreadyExists => "; an injection of that name is still owed: run `squall recover`",
        _ => "",
    };
    LogError::Disk { deed, name: path.display().to_string(), cause: format!("{error}{advice}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::step::{ProcessRef, Signal};
    use squall_model::undo::{Reverted, Undo};
    use squall_model::undo_log::{Contents, Logged, Opened, UndoLog};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
    use std::sync::{Arc, Mutex};

    fn opened(name: &str, owner: ProcessRef) -> Opened {
        Opened {
            version: undo_log::VERSION,
            injection: name.to_owned(),
            run: "run".into(),
            fault: "process.pause".into(),
            target: "sleep".into(),
            owner,
            at: "2026-01-01T00:00:00Z".into(),
            lease: squall_model::units::Duration::seconds(5),
            claims: Vec::new(),
            by_hand: Vec::new(),
        }
    }

    fn step() -> squall_model::step::Step {
        let process = process::own().unwrap();
        squall_model::step::Step::Signal(squall_model::step::SignalStep {
            process,
            signal: Signal::Stop,
            may_be_gone: false,
        })
    }

    fn undo() -> Undo {
        Undo::Signal { process: process::own().unwrap(), signal: Signal::Cont }
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::open(state.path().join("live")).unwrap();
        (state, folder)
    }

    fn contents(disk: &mut impl Disk, name: &str) -> Contents {
        undo_log::read(&disk.read(name).unwrap())
    }

    /// What a log's holder leaves when it is killed: the file, and no lock.
    fn abandoned(folder: &mut Folder, name: &str) {
        let owner = ProcessRef { start_time: 1, ..process::own().unwrap() };
        let mut log = UndoLog::open(folder, opened(name, owner)).unwrap();
        let (step, undo) = (step(), undo());
        let _: Logged<'_> = log.intend(folder, 0, &step, &undo).unwrap();
        folder.held.remove(name);
    }

    #[test]
    fn a_log_is_written_read_and_settled() {
        let (_state, mut folder) = folder();
        let mut log = UndoLog::open(&mut folder, opened("a-1", process::own().unwrap())).unwrap();
        let (step, undo) = (step(), undo());
        log.intend(&mut folder, 0, &step, &undo).unwrap();
        log.applied(&mut folder, 0).unwrap();
        assert_eq!(folder.list().unwrap(), ["a-1"]);
        assert_eq!(contents(&mut folder, "a-1").owed, [(0, undo)]);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path), 0o700);
        assert_eq!(mode(&folder.path.join("a-1.undo")), 0o600);
        log.reverted(&mut folder, 0, &Reverted::Undone { looked_at: "x".into() }).unwrap();
        assert_eq!(contents(&mut folder, "a-1").owed, []);
        log.close(&mut folder).unwrap();
        assert_eq!(folder.list().unwrap(), [""; 0]);
        folder.remove("a-1").unwrap();
    }

    #[test]
    fn a_living_holder_keeps_its_log() {
        let (state, mut folder) = folder();
        UndoLog::open(&mut folder, opened("a-1", process::own().unwrap())).unwrap();
        let mut other = Folder::open(state.path().join("live")).unwrap();
        assert_eq!(other.take_over("a-1"), Err(LogError::Held { name: "a-1".into() }));
        assert!(matches!(other.append("a-1", b"x\n"), Err(LogError::Disk { .. })));
        let message = other.create("a-1", b"").unwrap_err().to_string();
        assert!(message.contains("squall recover"), "{message}");
        drop(folder);
        other.take_over("a-1").unwrap();
        other.take_over("a-1").unwrap();
        assert_eq!(other.take_over("gone"), Err(LogError::Held { name: "gone".into() }));
    }

    #[test]
    fn without_a_lock_the_owners_life_decides() {
        let (state, mut folder) = folder();
        let alive = process::reference(std::os::unix::process::parent_id()).unwrap();
        UndoLog::open(&mut folder, opened("a-1", alive)).unwrap();
        folder.held.clear();
        let mut other = Folder::open(state.path().join("live")).unwrap();
        assert_eq!(other.take_over("a-1"), Err(LogError::Held { name: "a-1".into() }));
        abandoned(&mut folder, "b-2");
        other.take_over("b-2").unwrap();
    }

    #[test]
    fn a_dead_or_unknown_owners_lock_is_waited_for() {
        let (state, mut folder) = folder();
        abandoned(&mut folder, "dead-1");
        abandoned(&mut folder, "unknown-2");
        for name in ["dead-1", "unknown-2"] {
            let mut dying = Folder::open(state.path().join("live")).unwrap();
            dying.take_over(name).unwrap();
            if name == "unknown-2" {
                std::fs::write(folder.path.join("unknown-2.undo"), "damaged\n").unwrap();
            }
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                drop(dying);
            });
            folder.take_over(name).unwrap();
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_log_has_its_first_line_from_its_beginning_on_every_file_system() {
        let (_state, mut folder) = folder();
        UndoLog::open(&mut folder, opened("a-1", process::own().unwrap())).unwrap();
        assert!(!undo_log::is_lost(&folder.read("a-1").unwrap()));
        let path = folder.path.join("b-2.undo");
        let other_name = folder.path.join("b-2.new");
        let mut unnamed = Unnamed::create(&folder.path, "b-2").unwrap();
        if unnamed.other_name.is_none() {
            // As where there are no files without a name.
            unnamed =
                Unnamed { file: File::create(&other_name).unwrap(), other_name: Some(other_name.clone()) };
        }
        unnamed.file.write_all(b"x").unwrap();
        assert!(other_name.exists() && !path.exists());
        unnamed.name(&path).unwrap();
        assert!(!other_name.exists());
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        let again = Unnamed::create(&folder.path, "b-2").unwrap();
        assert_eq!(again.name(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_torn_last_line_does_not_spoil_the_next() {
        let (_state, mut folder) = folder();
        abandoned(&mut folder, "a-1");
        let path = folder.path.join("a-1.undo");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"01234567 {\"record\":\"appl");
        std::fs::write(&path, bytes).unwrap();
        folder.take_over("a-1").unwrap();
        UndoLog::resume("a-1").reverted(&mut folder, 0, &Reverted::Undone { looked_at: "x".into() }).unwrap();
        assert_eq!(contents(&mut folder, "a-1").owed, []);
    }

    #[test]
    fn what_is_not_ours_is_passed_over_and_odd_names_are_refused() {
        let (_state, mut folder) = folder();
        for foreign in ["notes.txt", "a b.undo", ".undo", "x.undo~"] {
            std::fs::write(folder.path.join(foreign), "").unwrap();
        }
        folder.create("a-1", b"").unwrap();
        assert_eq!(folder.list().unwrap(), ["a-1"]);
        for name in ["", "../x", "a/b", "a.b", "ü", &"x".repeat(201)] {
            assert!(matches!(folder.create(name, b""), Err(LogError::Disk { .. })), "{name}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_with_a_remedy() {
        let message = Folder::open("/proc/sqt/live").err().unwrap().to_string();
        assert!(message.contains("/proc/sqt/live"), "{message}");
        let (_state, mut folder) = folder();
        std::fs::remove_dir(&folder.path).unwrap();
        std::fs::write(&folder.path, "").unwrap();
        assert!(folder.create("a-1", b"").unwrap_err().to_string().contains("a-1.undo"));
        assert!(folder.list().is_err());
    }

    #[test]
    fn a_folder_that_a_guest_took_along_is_made_again() {
        let (_state, mut folder) = folder();
        std::fs::remove_dir(&folder.path).unwrap();
        assert_eq!(folder.list().unwrap(), [""; 0]);
        folder.create("a-1", b"").unwrap();
        assert_eq!(folder.list().unwrap(), ["a-1"]);
    }

    #[test]
    fn guests_that_leave_in_any_moment_keep_nobody_from_writing() {
        let (_state, mut folder) = folder();
        // Four guests leave while each log is made, one after the other, as soon as there is a folder to take along.
        let (guests, is_over) = (AtomicI32::new(0), AtomicBool::new(false));
        let path = folder.path.clone();
        let leave = || {
            while !is_over.load(Ordering::Relaxed) {
                // One that leaves late may have been counted out already: there are fewer than none then, until others come.
                if guests.load(Ordering::Relaxed) > 0 && std::fs::remove_dir(&path).is_ok() {
                    guests.fetch_sub(1, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(leave);
            for number in 0..50 {
                let name = format!("a-{number}");
                guests.store(4, Ordering::Relaxed);
                let created = folder.create(&name, b"x\n");
                let listed = folder.list();
                guests.store(0, Ordering::Relaxed);
                let removed = folder.remove(&name);
                if (&created, &listed, &removed) != (&Ok(()), &Ok(vec![name]), &Ok(())) {
                    is_over.store(true, Ordering::Relaxed);
                    panic!("{number}: {created:?}, {listed:?}, {removed:?}");
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }

    /// Runs one test of this file again, inside a mount namespace of its own with a tiny disk at `$SQT_DISK`.
    fn again_on_a_disk(test: &str, options: &str) {
        let disk = tempfile::tempdir().unwrap();
        let script =
            format!("mount -t tmpfs -o {options} sqt-disk \"$SQT_DISK\" && exec \"$0\" --exact {test}");
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env("SQT_DISK", disk.path())
            .output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&text);
                // A failed assertion is the test's; anything before it is the machine's.
                assert!(!text.contains("panicked"), "{text}");
                println!("skipped: could not mount a small disk: {text}");
            }
            Err(error) => println!("skipped: could not run unshare: {error}"),
        }
    }

    #[test]
    fn a_full_disk_is_an_error_and_loses_nothing() {
        let Ok(disk) = std::env::var("SQT_DISK") else {
            return again_on_a_disk("disk::tests::a_full_disk_is_an_error_and_loses_nothing", "size=16k");
        };
        let mut folder = Folder::open(Path::new(&disk).join("live")).unwrap();
        let owner = ProcessRef { start_time: 1, ..process::own().unwrap() };
        let mut log = UndoLog::open(&mut folder, opened("a-1", owner)).unwrap();
        let (step, undo) = (step(), undo());
        let mut written = 0;
        let error = loop {
            match log.intend(&mut folder, written, &step, &undo) {
                Ok(_) => written += 1,
                Err(error) => break error.to_string(),
            }
            assert!(written < 1000, "the disk never became full");
        };
        assert!(error.contains("No space left") && error.contains("free some space"), "{error}");
        let read = contents(&mut folder, "a-1");
        assert_eq!((read.owed.len(), read.damaged_lines), (written, 0));
        assert!(folder.read("a-1").unwrap().ends_with(b"\n"), "half a line was left");
        log.close(&mut folder).unwrap();
        assert_eq!(folder.list().unwrap(), [""; 0]);
    }

    #[test]
    fn a_read_only_disk_is_an_error_with_a_remedy() {
        let Ok(disk) = std::env::var("SQT_DISK") else {
            return again_on_a_disk("disk::tests::a_read_only_disk_is_an_error_with_a_remedy", "size=16k,ro");
        };
        let message = Folder::open(Path::new(&disk).join("live")).err().unwrap().to_string();
        assert!(message.contains("SQUALL_STATE"), "{message}");
        let mut folder = Folder::open(&disk).unwrap();
        let message = folder.create("a-1", b"").unwrap_err().to_string();
        assert!(message.contains("SQUALL_STATE"), "{message}");
    }

    /// A mirror that the test reads.
    #[derive(Clone, Default)]
    struct Tape(Arc<Mutex<Vec<u8>>>);

    impl Write for Tape {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log as its dead owner left it, and the mirror's view of it.
    fn mirrored() -> (tempfile::TempDir, PathBuf, MirroredFolder) {
        let (state, mut folder) = folder();
        let tape = Tape::default();
        folder.set_mirror(Some(Box::new(MirrorWriter::new(tape.clone()))));
        abandoned(&mut folder, "b-2");
        folder.take_over("b-2").unwrap();
        folder.remove("b-2").unwrap();
        abandoned(&mut folder, "a-1");
        drop(folder);
        let mut mirrored = MirroredFolder::new(Folder::open(state.path().join("live")).unwrap());
        let heard = tape.0.lock().unwrap().clone();
        heard.split_inclusive(|byte| *byte == b'\n').for_each(|line| mirrored.hear(line));
        mirrored.hear(b"append a-1 torn");
        mirrored.hear(b"nonsense\n");
        let path = state.path().join("live/a-1.undo");
        (state, path, mirrored)
    }

    #[test]
    fn a_mirror_heals_a_log_that_was_cut_overwritten_or_deleted() {
        let damages: [fn(&Path); 4] = [
            |_| (),
            |path| File::options().write(true).open(path).unwrap().set_len(20).unwrap(),
            |path| std::fs::write(path, vec![b'#'; 700]).unwrap(),
            |path| std::fs::remove_file(path).unwrap(),
        ];
        for damage in damages {
            let (_state, path, mut mirrored) = mirrored();
            assert!(!mirrored.is_settled());
            damage(&path);
            assert_eq!(mirrored.list().unwrap(), ["a-1"]);
            mirrored.take_over("a-1").unwrap();
            let read = contents(&mut mirrored, "a-1");
            assert_eq!((read.owed.as_slice(), read.damaged_lines), ([(0, undo())].as_slice(), 0));
            let outcome = Reverted::Undone { looked_at: "x".into() };
            UndoLog::resume("a-1").reverted(&mut mirrored, 0, &outcome).unwrap();
            assert_eq!(contents(&mut mirrored, "a-1").owed, []);
            mirrored.remove("a-1").unwrap();
            assert!(mirrored.is_settled());
            assert_eq!(mirrored.list().unwrap(), [""; 0]);
        }
    }

    #[test]
    fn a_log_that_was_settled_and_removed_behind_the_mirrors_back_is_not_made_again() {
        let (state, path, mut mirrored) = mirrored();
        let mut folder = Folder::open(state.path().join("live")).unwrap();
        folder.take_over("a-1").unwrap();
        let mut log = UndoLog::resume("a-1");
        log.reverted(&mut folder, 0, &Reverted::Undone { looked_at: "x".into() }).unwrap();
        log.close(&mut folder).unwrap();
        assert_eq!(mirrored.take_over("a-1"), Err(LogError::Held { name: "a-1".into() }));
        assert!(mirrored.is_settled() && !path.exists());
    }

    #[test]
    fn a_log_that_was_lost_is_told_from_one_in_its_file() {
        let (_state, path, mut mirrored) = mirrored();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mirrored.take_over("a-1"), Ok(Found::Memory));
        assert!(path.exists());
        let (_state, _path, mut mirrored) = self::mirrored();
        assert_eq!(mirrored.take_over("a-1"), Ok(Found::File));
    }

    #[test]
    fn what_was_heard_needs_no_disk() {
        let (_state, path, mut mirrored) = mirrored();
        let folder = path.parent().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        // Nothing can be made there either.
        std::os::unix::fs::symlink("/nowhere/sqt", folder).unwrap();
        assert_eq!(mirrored.list().unwrap(), ["a-1"]);
        mirrored.take_over("a-1").unwrap();
        assert_eq!(contents(&mut mirrored, "a-1").owed, [(0, undo())]);
        let mut log = UndoLog::resume("a-1");
        log.reverted(&mut mirrored, 0, &Reverted::Undone { looked_at: "x".into() }).unwrap_err();
        assert_eq!(contents(&mut mirrored, "a-1").owed, [], "it is not put back twice");
        log.close(&mut mirrored).unwrap();
        assert!(mirrored.is_settled());
    }

    #[test]
    fn lines_that_the_mirror_did_not_hear_are_read_from_the_file() {
        let (state, _path, mut mirrored) = mirrored();
        let mut folder = Folder::open(state.path().join("live")).unwrap();
        folder.take_over("a-1").unwrap();
        UndoLog::resume("a-1").reverted(&mut folder, 0, &Reverted::Undone { looked_at: "x".into() }).unwrap();
        assert_eq!(contents(&mut mirrored, "a-1").owed, []);
    }
}
