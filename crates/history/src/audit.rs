//! Who did what, when: `audit.jsonl`, to which lines are only ever added, each holding the hash of the one before.
//!
//! A line's hash is SHA-256 over the hash of the line before (64 hexadecimal digits; zeros before the first) followed by
//! the line itself without its own hash. Whoever changes or removes a line breaks the chain there. `audit.head` holds
//! number and hash of the last line, so that an end that was cut off is missed too; it is written before the first line, and
//! where it is lost later, the next line says so for ever. Who can write both files can write them anew from the first line
//! on: that is seen only where a head was kept elsewhere.

mod verify;

pub use verify::{Verified, Wrong};

use crate::hexadecimal;
use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How many letters of a text are kept: no line becomes longer than what is read back to find the last one.
const LONGEST: usize = 500;
/// So many bytes are read back from the end to find the last line.
const TAIL: u64 = 256 * 1024;
/// How many details of one line are kept.
const MOST_DETAILS: usize = 20;
/// The detail of a line before which the head was lost: nobody can tell what was removed there.
const HEAD_LOST: &str = "audit_head_lost";

/// What is to be written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub who: String,
    /// What was done: `run_started`, `approved`, `halt`, …
    pub what: String,
    /// What it was done to, such as the name of a run.
    pub on: String,
    /// More about it.
    pub details: BTreeMap<String, String>,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub who: String,
    /// What was done.
    pub what: String,
    /// What it was done to.
    pub on: String,
    /// More about it.
    pub details: BTreeMap<String, String>,
    /// Hash of the line before; zeros before the first.
    pub previous: String,
    /// Hash of this line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

impl Line {
    /// The line that follows a head.
    fn after(head: &Head, lost: Option<String>, note: Note) -> Result<Self, serde_json::Error> {
        let details = note.details.into_iter().take(MOST_DETAILS);
        let details = details.chain(lost.map(|why| (HEAD_LOST.to_owned(), why)));
        let mut line = Self {
            number: head.number + 1,
            at: note.at,
            who: short(note.who),
            what: short(note.what),
            on: short(note.on),
            details: details.map(|(name, text)| (short(name), short(text))).collect(),
            previous: head.hash.clone(),
            hash: String::new(),
        };
        line.hash = line.computed()?;
        Ok(line)
    }

    /// The hash that the line should have.
    fn computed(&self) -> Result<String, serde_json::Error> {
        let bare = serde_json::to_string(&Self { hash: String::new(), ..self.clone() })?;
        let mut context = Context::new(&SHA256);
        context.update(self.previous.as_bytes());
        context.update(bare.as_bytes());
        Ok(hexadecimal(context.finish().as_ref()))
    }

    fn head(&self) -> Head {
        Head { number: self.number, hash: self.hash.clone() }
    }
}

/// A text, cut where it is too long.
fn short(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Number and hash of a line: `12:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Number of the line.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

impl Head {
    /// What the first line follows.
    fn beginning() -> Self {
        Self { number: 0, hash: "0".repeat(64) }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.number, self.hash)
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.trim().split_once(':').and_then(|(number, hash)| Some((number.parse().ok()?, hash)));
        let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        match parts {
            Some((number, hash)) if is_hash(hash) => Ok(Self { number, hash: hash.to_ascii_lowercase() }),
            _ => Err(format!("{text:?} is no head: it is a number, a colon and 64 hexadecimal digits")),
        }
    }
}

/// The audit log of a state folder.
#[derive(Debug, Clone)]
pub struct Audit {
    folder: PathBuf,
}

impl Audit {
    /// That of a folder.
    pub fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The log.
    pub fn file(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    /// Number and hash of the last line, in a file of their own.
    pub fn head_file(&self) -> PathBuf {
        self.folder.join("audit.head")
    }

    /// Adds a line; it is on disk when this returns. Waits while another process adds one.
    ///
    /// # Errors
    /// It could not be written. What was begun to be written is taken back, or is a torn line that never was.
    pub fn append(&self, note: Note) -> io::Result<Line> {
        let mut file = self.open()?;
        file.lock()?;
        let length = file.metadata()?.len();
        let tail = tail(&mut file, length)?;
        let kept = self.kept();
        if length == 0 && kept.is_err() {
            self.keep(&Head::beginning())?;
        }
        let lost = kept.as_ref().err().filter(|_| length > 0).cloned();
        let line = Line::after(&last(&tail, kept.ok()), lost, note)?;
        let mut bytes = Vec::new();
        // A torn line must not swallow this one.
        if tail.last().is_some_and(|last| *last != b'\n') {
            bytes.push(b'\n');
        }
        serde_json::to_writer(&mut bytes, &line)?;
        bytes.push(b'\n');
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            // Where that fails too, the line is torn.
            let _ = file.set_len(length);
            return Err(error);
        }
        self.keep(&line.head())?;
        Ok(line)
    }

    /// The head, or why there is none.
    fn kept(&self) -> Result<Head, String> {
        let path = self.head_file();
        // A pipe would keep everybody waiting.
        let is_file = fs::metadata(&path).map_err(|error| error.to_string())?.is_file();
        let text = if is_file {
            fs::read_to_string(&path)
        } else {
            Err(io::Error::other("it is not a regular file"))
        };
        text.map_err(|error| error.to_string())?.parse()
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o600);
        // Opened for reading and writing, a pipe keeps nobody waiting.
        let file = match options.open(self.file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = options.create(true).open(self.file())?;
                // The name must be there after a power cut.
                File::open(&self.folder)?.sync_all()?;
                file
            }
            opened => opened?,
        };
        regular(file)
    }

    /// Writes the head, whole or not at all.
    fn keep(&self, head: &Head) -> io::Result<()> {
        let making = self.folder.join("audit.head.new");
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&making)?;
        writeln!(file, "{head}")?;
        file.sync_data()?;
        fs::rename(&making, self.head_file())
    }

    /// The lines that can be read, oldest first. Whether they are whole is for [`Audit::verify`] to say.
    pub fn lines(&self) -> io::Result<Vec<Line>> {
        let text = self.text()?;
        Ok(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// The log as it stands when nobody writes to it; empty where there is none.
    fn text(&self) -> io::Result<Vec<u8>> {
        match fs::metadata(self.file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Ok(found) if !found.is_file() => return Err(not_regular()),
            _ => {}
        }
        let mut file = File::open(self.file())?;
        file.lock_shared()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(text)
    }
}

/// The file, where it is one: a device may never end.
fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file; move it away")
}

/// What the next line follows. Where the end of the log was cut off, the head still knows it, and the gap stays to be seen.
fn last(tail: &[u8], kept: Option<Head>) -> Head {
    let lines = tail.rsplit(|byte| *byte == b'\n');
    let last =
        lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok()).map(|line| line.head()).next();
    [last, kept].into_iter().flatten().max_by_key(|head| head.number).unwrap_or_else(Head::beginning)
}

/// The last bytes of a file.
fn tail(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
