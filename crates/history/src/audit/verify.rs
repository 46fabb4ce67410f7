//! Looking whether the chain is whole, and where it is not.

use super::{Audit, HEAD_LOST, Head, Line};
use std::{fs, io};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many lines stand in the chain, up to the first that is wrong.
    pub lines: u64,
    /// The last of them; none where there is none.
    pub head: Option<Head>,
    /// What is worth knowing and not wrong.
    pub notes: Vec<String>,
    /// The first thing that is wrong.
    pub wrong: Option<Wrong>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The line of the file, counted from 1.
    pub line: usize,
    /// What, in words.
    pub why: String,
}

/// A walk along the chain.
struct Walk {
    last: Head,
    notes: Vec<String>,
    /// The first of the lines that were not understood since the last that was.
    unclear: Option<usize>,
    /// Heads that the chain must hold, with where they are from.
    wanted: Vec<(Head, String)>,
}

impl Audit {
    /// Looks whether every line follows from the one before, and the last is the one that is known to be. `kept` are heads
    /// that were kept elsewhere.
    ///
    /// # Errors
    /// The log could not be read.
    pub fn verify(&self, kept: &[Head]) -> io::Result<Verified> {
        let known = match fs::metadata(self.head_file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            _ => Some(self.kept()),
        };
        // Read after the head: a line that is added in between is only one more.
        let text = self.text()?;
        let mut walk = Walk { last: Head::beginning(), notes: Vec::new(), unclear: None, wanted: Vec::new() };
        walk.wanted.extend(kept.iter().map(|head| (head.clone(), "the head that was given".to_owned())));
        if let Some(Ok(head)) = known.as_ref() {
            walk.wanted.push((head.clone(), self.head_file().display().to_string()));
        }
        let wrong = walk.along(&text).err().or_else(|| walk.end(&text, known.as_ref(), self).err());
        let Walk { last, notes, .. } = walk;
        Ok(Verified { lines: last.number, head: (last.number > 0).then_some(last), notes, wrong })
    }
}

impl Walk {
    fn along(&mut self, text: &[u8]) -> Result<(), Wrong> {
        let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        // What stands behind the last end of a line is a line that was not finished.
        let torn = lines.pop().filter(|rest| !rest.is_empty());
        for (index, line) in lines.iter().enumerate() {
            self.step(index + 1, line)?;
        }
        if let Some(line) = self.unclear {
            return Err(wrong(
                line,
                "it is no entry: it was changed, or torn while it was written".to_owned(),
            ));
        }
        torn.map_or(Ok(()), |rest| {
            let why = "the end is torn: writing it was cut off; the next entry begins on a new line and follows the last \
                       whole one";
            Err(wrong(lines.len() + 1, format!("{why} ({} bytes)", rest.len())))
        })
    }

    fn step(&mut self, place: usize, text: &[u8]) -> Result<(), Wrong> {
        let Some(line) = as_written(text) else {
            // Either torn, and then the next one follows the last as if it were not there, or changed.
            self.unclear.get_or_insert(place);
            return Ok(());
        };
        let follows = line.number == self.last.number + 1 && line.previous == self.last.hash;
        if let Some(unclear) = self.unclear.take() {
            if !follows {
                return Err(wrong(unclear, "it was changed".to_owned()));
            }
            self.notes.push(format!(
                "line {unclear} is torn: writing it was cut off, and the chain goes on after it"
            ));
        }
        if line.number > self.last.number + 1 {
            let (from, to) = (self.last.number + 1, line.number - 1);
            let which =
                if from == to { format!("entry {from} is") } else { format!("entries {from} to {to} are") };
            return Err(wrong(place, format!("removed in between: {which} missing before it")));
        }
        if !follows {
            let why = format!(
                "it does not follow from the entry before it, {}: one of them was changed",
                self.last.number
            );
            return Err(wrong(place, why));
        }
        if let Some(why) = line.details.get(HEAD_LOST) {
            let why = format!(
                "before it, audit.head was lost ({why}): nobody can tell whether entries were removed there"
            );
            return Err(wrong(place, why));
        }
        self.last = line.head();
        for (head, from) in &self.wanted {
            if head.number == line.number && head.hash != line.hash {
                return Err(wrong(
                    place,
                    format!("it was changed: {from} knows entry {} with another hash", head.number),
                ));
            }
        }
        Ok(())
    }

    /// What can be wrong behind the last line.
    fn end(&mut self, text: &[u8], known: Option<&Result<Head, String>>, audit: &Audit) -> Result<(), Wrong> {
        let place = text.split(|byte| *byte == b'\n').count();
        let file = audit.head_file();
        for (head, from) in &self.wanted {
            if head.number > self.last.number {
                let why = format!(
                    "the end was removed: {from} knows entry {}, and the last here is {}",
                    head.number, self.last.number
                );
                return Err(wrong(place, why));
            }
        }
        match known {
            Some(Err(why)) => {
                Err(wrong(place, format!("{} was changed, or cannot be read: {why}", file.display())))
            }
            None if self.last.number > 0 => {
                let why = format!("{} is gone: nobody can tell whether the end was removed", file.display());
                Err(wrong(place, why))
            }
            Some(Ok(head)) if head.number < self.last.number => {
                let why = "the last entries are not in audit.head yet: Squall was killed, or the disk was full, before that";
                self.notes.push(why.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The line, where its text is exactly what is written for what it says, with the hash that it should have.
fn as_written(text: &[u8]) -> Option<Line> {
    let line: Line = serde_json::from_slice(text).ok()?;
    let is_whole = line.computed().ok()? == line.hash && serde_json::to_vec(&line).ok()? == text;
    is_whole.then_some(line)
}

fn wrong(line: usize, why: String) -> Wrong {
    Wrong { line, why }
}
