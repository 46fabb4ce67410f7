//! A log file that is followed. Where it is rotated, what was written to the old one is read to its end, then the new
//! one from its beginning.

use super::tally::Tally;
use rustix::fs::OFlags;
use squall_model::probe::ProbeError;
use squall_model::value::Reading;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// At most so many bytes are read at a look.
const MOST_AT_ONCE: u64 = 256 << 20;

pub(super) struct LogFile {
    path: PathBuf,
    followed: Arc<Mutex<Followed>>,
}

struct Followed {
    /// None before the first look.
    open: Option<Open>,
    tally: Tally,
}

/// The file that is read, and how far it is.
struct Open {
    file: File,
    at: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, tally: Tally) -> Self {
        Self { path, followed: Arc::new(Mutex::new(Followed { open: None, tally })) }
    }

    pub(super) async fn begin(&self) -> Result<bool, ProbeError> {
        self.look(Followed::begin).await
    }

    pub(super) async fn reading(&self) -> Result<Reading, ProbeError> {
        self.look(Followed::reading).await
    }

    /// Looks on a thread of its own: a disk may take its time.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Followed, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ProbeError> {
        let (followed, path) = (self.followed.clone(), self.path.clone());
        let looking = tokio::task::spawn_blocking(move || {
            look(&mut followed.lock().unwrap_or_else(PoisonError::into_inner), &path)
        });
        let failed = |why: String| ProbeError(format!("read {}: {why}", self.path.display()));
        looking.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }
}

fn open(path: &Path) -> io::Result<File> {
    // A pipe would keep its opener waiting for whoever writes to it.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("this is not a file that can be read again"))
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Followed {
    /// Begins at the end of the file, where that is not done yet.
    fn begin(&mut self, path: &Path) -> io::Result<bool> {
        if self.open.is_some() {
            return Ok(false);
        }
        let mut file = open(path)?;
        let at = file.seek(SeekFrom::End(0))?;
        self.open = Some(Open { file, at });
        self.tally.begin();
        Ok(true)
    }

    fn reading(&mut self, path: &Path) -> io::Result<Reading> {
        let Self { open, tally } = self;
        let open = open.as_mut().ok_or_else(|| io::Error::other("it was not looked at before"))?;
        open.follow(path, tally)?;
        Ok(tally.reading())
    }
}

impl Open {
    /// Reads what was written since the last look.
    fn follow(&mut self, path: &Path, tally: &mut Tally) -> io::Result<()> {
        let named = match fs::metadata(path) {
            Ok(named) => Some(identity(&named)),
            // Renamed, and its successor is not there yet: who writes still writes to the old one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let own = self.file.metadata()?;
        if own.len() < self.at {
            // Cut to nothing, as `copytruncate` does.
            self.at = 0;
            tally.break_off();
        }
        self.read(tally)?;
        if named.is_some_and(|named| named != identity(&own)) {
            *self = Self { file: open(path)?, at: 0 };
            tally.break_off();
            self.read(tally)?;
        }
        Ok(())
    }

    fn read(&mut self, tally: &mut Tally) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.at))?;
        let mut room = vec![0; 64 << 10];
        let mut read = 0;
        loop {
            let length = self.file.read(&mut room)?;
            if length == 0 {
                return Ok(());
            }
            self.at += length as u64;
            read += length as u64;
            tally.take(&room[..length]);
            if read >= MOST_AT_ONCE {
                return Err(io::Error::other("it grows faster than it can be read"));
            }
        }
    }
}
