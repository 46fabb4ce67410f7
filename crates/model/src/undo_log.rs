//! The write-ahead undo log: one file an injection, every undo synced to disk before the change that it undoes.
//!
//! A line is `CRC JSON\n`: the CRC-32 (IEEE 802.3) of the JSON text as eight hexadecimal digits, a space, the record,
//! a newline. A line whose CRC does not match is a record that never was; lines after it still count. The first
//! record says which version of the format follows. A log of a newer version, or with a whole record that is not known
//! here, is not put back in parts or by guess: whoever wrote it does that. The file is removed when everything in it is put back and seen
//! to be, so a file that exists is a promise that is still owed.
//!
//! Only the line that tells how to undo a step is waited for. The rest tells what was done, outlasts the death of its
//! writer, and may be lost in a power cut: recovery then looks again at what was put back already, which is harmless,
//! since a revert may run any number of times and knows the boot that its record belongs to.

use crate::step::{Claim, ProcessRef, Step};
use crate::undo::{Reverted, Undo};
use crate::units::Duration;
use serde::{Deserialize, Serialize};

/// The version of the format that this code writes.
pub const VERSION: u32 = 1;

/// Why a log could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The storage said no: full, read-only, failing.
    #[error("could not {deed} undo log {name}: {cause}")]
    Disk {
        /// What was tried.
        deed: &'static str,
        /// Which file.
        name: String,
        /// What came back.
        cause: String,
    },
    /// Another living process holds the log.
    #[error("undo log {name} belongs to a Squall that is still running")]
    Held {
        /// Which file.
        name: String,
    },
}

/// Where logs are kept. The real one is a folder; the simulator's is a model that loses what was not synced.
pub trait Disk {
    /// Makes a new file and holds its lock. It gets its name only when these bytes are on the disk, so a file without
    /// them was damaged; and once this returns, so is the name. An error where the name exists; nothing is left then.
    fn create(&mut self, name: &str, first: &[u8]) -> Result<(), LogError>;
    /// Adds bytes at the end and returns once they and all before them are on the disk. On an error nothing, some or all
    /// may be there.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError>;
    /// Adds bytes at the end for whoever reads the file from now on, also after our death; a power cut may take them
    /// back. On an error nothing, some or all may be there.
    fn note(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError>;
    /// All bytes of a file.
    fn read(&mut self, name: &str) -> Result<Vec<u8>, LogError>;
    /// Takes a file out of the folder, its lock with it; no error where it is gone already. A power cut may bring it
    /// back.
    fn remove(&mut self, name: &str) -> Result<(), LogError>;
    /// Names of all files, sorted.
    fn list(&mut self) -> Result<Vec<String>, LogError>;
    /// Takes over a file whose holder is gone; [`LogError::Held`] where the holder lives.
    fn take_over(&mut self, name: &str) -> Result<Found, LogError>;
    /// Where a file is, for people.
    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// Where a log that was taken over was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// In its file.
    File,
    /// In memory alone; the file is made anew. It was lost, or else somebody put back what it tells and removed it.
    Memory,
}

/// Who and what a log is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Version of the format.
    pub version: u32,
    /// The injection.
    pub injection: String,
    /// The run that it belongs to.
    pub run: String,
    /// Name of the fault.
    pub fault: String,
    /// What is struck, for people.
    pub target: String,
    /// The agent that holds it.
    pub owner: ProcessRef,
    /// When it was opened, RFC 3339.
    pub at: String,
    /// How long the agent holds it without hearing from its brain.
    pub lease: Duration,
    /// What it holds while it lives.
    pub claims: Vec<Claim>,
    /// Commands that put its steps back by hand, as far as they were known before it began: for whoever finds the rest of
    /// the log damaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// Who and what.
    Opened(Opened),
    /// A step is about to be applied, and this puts it back.
    Intend {
        /// Position of the step in the injection.
        index: usize,
        /// Its undo, which is all that putting back needs: what was done may hold what is nobody's business.
        undo: Undo,
    },
    /// The step's change was made.
    Applied {
        /// Position of the step.
        index: usize,
    },
    /// The step's change was put back or found gone.
    Reverted {
        /// Position of the step.
        index: usize,
        /// How it went.
        outcome: Reverted,
    },
}

/// Proof that a step's undo is on disk; only [`UndoLog::intend`] makes one. Acting before logging does not compile.
#[derive(Debug)]
pub struct Logged<'s> {
    step: &'s Step,
    undo: &'s Undo,
}

impl<'s> Logged<'s> {
    /// The step that may now be applied.
    pub fn step(&self) -> &'s Step {
        self.step
    }
    /// The undo that is on disk, with names and handles chosen at capture.
    pub fn undo(&self) -> &'s Undo {
        self.undo
    }
}

/// The log of one injection, open for writing.
#[derive(Debug)]
pub struct UndoLog {
    name: String,
}

impl UndoLog {
    /// Starts a log. Nothing may be captured or applied before this returns.
    pub fn open(disk: &mut impl Disk, opened: Opened) -> Result<Self, LogError> {
        let log = Self { name: opened.injection.clone() };
        let first = log.line(&Record::Opened(opened))?;
        disk.create(&log.name, &first)?;
        Ok(log)
    }

    /// Continues a log whose holder is gone.
    pub fn resume(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Writes down how a step will be undone, and returns once that is on disk.
    pub fn intend<'s>(
        &mut self,
        disk: &mut impl Disk,
        index: usize,
        step: &'s Step,
        undo: &'s Undo,
    ) -> Result<Logged<'s>, LogError> {
        let line = self.line(&Record::Intend { index, undo: undo.clone() })?;
        disk.append(&self.name, &line)?;
        Ok(Logged { step, undo })
    }

    /// Notes that a step was applied.
    pub fn applied(&mut self, disk: &mut impl Disk, index: usize) -> Result<(), LogError> {
        self.note(disk, &Record::Applied { index })
    }

    /// Notes that a step was put back.
    pub fn reverted(
        &mut self,
        disk: &mut impl Disk,
        index: usize,
        outcome: &Reverted,
    ) -> Result<(), LogError> {
        self.note(disk, &Record::Reverted { index, outcome: outcome.clone() })
    }

    /// Everything is put back: the promise is kept and the file goes.
    pub fn close(self, disk: &mut impl Disk) -> Result<(), LogError> {
        disk.remove(&self.name)
    }

    fn note(&self, disk: &mut impl Disk, record: &Record) -> Result<(), LogError> {
        disk.note(&self.name, &self.line(record)?)
    }

    fn line(&self, record: &Record) -> Result<Vec<u8>, LogError> {
        encode(record).map_err(|cause| LogError::Disk { deed: "write", name: self.name.clone(), cause })
    }
}

/// One record as a line.
fn encode(record: &Record) -> Result<Vec<u8>, String> {
    let json = serde_json::to_string(record).map_err(|error| error.to_string())?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

/// What a log says, as far as it can be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contents {
    /// Who and what; none where that line is damaged or was never written.
    pub opened: Option<Opened>,
    /// Steps that may have been applied and are not known to be put back, in the order of application.
    pub owed: Vec<(usize, Undo)>,
    /// Why only another Squall can put it back, if so; nothing is owed then as far as is known here.
    pub foreign: Option<String>,
    /// Lines before the last that cannot be read: damage, since only a last line can be torn by a crash.
    pub damaged_lines: usize,
}

/// Reads a log of any shape; damage is counted, never an error.
pub fn read(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        let Some(json) = checked(line) else {
            contents.damaged_lines += usize::from(!is_last);
            continue;
        };
        if let Some(why) = foreign(json) {
            contents.foreign.get_or_insert(why);
        }
        match serde_json::from_str(json).ok() {
            Some(Record::Opened(opened)) => contents.opened = Some(opened),
            Some(Record::Intend { index, undo }) => {
                contents.owed.retain(|(known, _)| *known != index);
                contents.owed.push((index, undo));
            }
            // What drifted is still owed: recovery tries again. What is not known is foreign.
            Some(Record::Applied { .. } | Record::Reverted { outcome: Reverted::Drifted(_), .. }) | None => {}
            Some(Record::Reverted { index, .. }) => contents.owed.retain(|(known, _)| *known != index),
        }
    }
    if contents.foreign.is_some() {
        contents.owed.clear();
    }
    contents
}

/// Why a whole record can only be understood by another Squall, if so.
fn foreign(json: &str) -> Option<String> {
    /// What every version says.
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        record: String,
        #[serde(default)]
        version: u32,
    }
    let what = match serde_json::from_str::<Head>(json) {
        Ok(head) if head.record == "opened" && head.version > VERSION => {
            format!("is of version {} of the format, and this squall knows version {VERSION}", head.version)
        }
        _ if serde_json::from_str::<Record>(json).is_ok() => return None,
        Ok(head) => format!("has a record {:?} that this squall does not know", head.record),
        Err(_) => "has a record that this squall does not know".to_owned(),
    };
    Some(format!("it {what}: `squall recover` of the squall that wrote it, or of a newer one, puts it back"))
}

/// Whether not one line of a log can be read. Since a log has its first line from its beginning, that is always damage.
pub fn is_lost(bytes: &[u8]) -> bool {
    !bytes.split(|byte| *byte == b'\n').any(is_whole)
}

/// Whether a line, without its newline, is as it was written: its checksum is right.
pub fn is_whole(line: &[u8]) -> bool {
    checked(line).is_some()
}

/// The JSON of a line whose checksum is right.
fn checked(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?;
    let (checksum, json) = text.split_once(' ')?;
    let matches = u32::from_str_radix(checksum, 16).ok()? == crc32fast::hash(json.as_bytes());
    matches.then_some(json)
}
