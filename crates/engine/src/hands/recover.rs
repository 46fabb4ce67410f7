//! Recovery: puts back what dead owners left. Runs at the start of every agent, in the warden and in
//! `squall recover`.
//!
//! A log whose lock can be had belongs to nobody alive; one whose lock is held is never touched. All logs that can be
//! had are taken first and put back after, the latest first. A log's file is removed exactly when nothing of it is
//! left to be told: a step that cannot be put back, or a damaged line that may have been a step's undo, keeps the
//! file, so that it is told again next time and is forgotten only by whoever removes the file by hand.

use super::{Hands, Notes, Promise, failed};
use crate::crash::Point;
use jiff::Timestamp;
use squall_model::machine::{Leftover, Machine};
use squall_model::protocol::{CallError, Restored};
use squall_model::undo_log::{self, Contents, Disk, LogError, UndoLog};

/// What stands for a name that a damaged log does not tell any more.
const UNKNOWN: &str = "unknown";

/// A dead owner's log, ours now.
struct Orphan {
    promise: Promise,
    at: Option<Timestamp>,
    /// Whether the line that tells what it holds could be read.
    is_named: bool,
    /// What is lost to damage, in words; none where nothing is.
    loss: Option<String>,
}

impl<M: Machine, D: Disk> Hands<M, D> {
    /// Puts back what dead owners left, and says what was put back and what could not be. Logs that never led to a
    /// change, or whose every change is known to be put back, are removed without a word.
    ///
    /// # Errors
    /// The folder of logs could not be listed.
    pub fn recover(&mut self) -> Result<Vec<Restored>, CallError> {
        self.close_again();
        let names = self.disk.list().map_err(|error| failed(error.to_string()))?;
        let mut told = Vec::new();
        let mut orphans = Vec::new();
        for name in names {
            if self.promises.iter().any(|promise| promise.injection == name) || self.unclosed.contains(&name)
            {
                continue;
            }
            match self.take(&name) {
                Ok(Some(bytes)) => orphans.push(orphan(&name, &bytes)),
                Ok(None) => {}
                Err(error) => told.push(nothing_known(&name, &error)),
            }
        }
        orphans.sort_by(|a, b| (b.at, &b.promise.injection).cmp(&(a.at, &a.promise.injection)));
        let mut restored: Vec<(Orphan, Restored)> = Vec::new();
        for mut orphan in orphans {
            let outcome = self.put_back_orphan(&mut orphan);
            restored.push((orphan, outcome));
        }
        self.remove_marks(&mut restored);
        for (orphan, outcome) in restored {
            if outcome.residue().is_empty() {
                self.close(&orphan.promise.injection);
            }
            if !(outcome.steps.is_empty() && outcome.errors.is_empty()) {
                told.push(outcome);
            }
        }
        Ok(told)
    }

    /// Takes a log over and reads it; none where its owner lives, or somebody else has put it back meanwhile.
    fn take(&mut self, name: &str) -> Result<Option<Vec<u8>>, LogError> {
        (self.hook)(Point::BeforeTakeOver);
        let taken = if self.taken.contains(name) { Ok(()) } else { self.disk.take_over(name) };
        (self.hook)(Point::AfterTakeOver);
        let read = match taken {
            Ok(()) => {
                self.taken.insert(name.to_owned());
                self.disk.read(name)
            }
            Err(LogError::Held { .. }) => return Ok(None),
            Err(error) => Err(error),
        };
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => {
                let is_gone = self.disk.list().is_ok_and(|names| !names.iter().any(|known| known == name));
                if is_gone {
                    self.taken.remove(name);
                    Ok(None)
                } else {
                    Err(error)
                }
            }
        }
    }

    /// Puts back what the log tells. The file stays for now.
    fn put_back_orphan(&mut self, orphan: &mut Orphan) -> Restored {
        let promise = &mut orphan.promise;
        let mut restored = Restored {
            injection: promise.injection.clone(),
            fault: promise.fault.clone(),
            target: promise.target.clone(),
            steps: Vec::new(),
            errors: Vec::new(),
        };
        for (index, undo) in std::mem::take(&mut promise.owed).into_iter().rev() {
            self.put_back_step(&mut promise.log, index, &undo, &mut restored);
        }
        restored.errors.extend(orphan.loss.clone());
        restored
    }

    /// Looks for marks of the injections that were put back: a second look that needs no log, and the only one that
    /// finds what a damaged or truncated log described. A mark that has no room for its injection's name is taken for an
    /// orphan's only if the part that it has room for fits, and what it holds is the orphan's as far as that is known:
    /// somebody else's, whose logs may be in another folder, is let be.
    fn remove_marks(&mut self, restored: &mut [(Orphan, Restored)]) {
        if restored.is_empty() {
            return;
        }
        let found = match self.machine.leftovers() {
            Ok(found) => found,
            Err(error) => {
                for (orphan, outcome) in restored.iter_mut().filter(|(orphan, _)| orphan.loss.is_some()) {
                    let name = &orphan.promise.injection;
                    outcome.errors.push(format!("could not look for marks of injection {name}: {error}"));
                }
                return;
            }
        };
        for leftover in found {
            let maker = restored.iter_mut().find(|(orphan, _)| orphan.may_have_made(&leftover));
            if let Some((_, outcome)) = maker
                && !self.is_held_by_the_living(&leftover)
            {
                self.remove_mark(&leftover, outcome);
            }
        }
    }

    /// Whether somebody else may hold what a mark without a name holds. Asked after the mark was seen: whoever made it
    /// has a log from before he made it until after it is gone.
    fn is_held_by_the_living(&mut self, leftover: &Leftover) -> bool {
        let Some(claim) = leftover.claim.clone().filter(|_| leftover.injection.is_none()) else {
            return false;
        };
        if self.promises.iter().any(|promise| promise.claims.contains(&claim)) {
            return true;
        }
        let Ok(others) = self.others() else { return true };
        others.iter().filter(|(name, _)| !self.taken.contains(name)).any(|(_, contents)| {
            // What a log holds that has lost its head is not known.
            contents.opened.as_ref().is_none_or(|opened| opened.claims.contains(&claim))
        })
    }

    fn remove_mark(&mut self, leftover: &Leftover, outcome: &mut Restored) {
        (self.hook)(Point::BeforeRevert);
        let removed = self.machine.remove(leftover);
        (self.hook)(Point::AfterRevert);
        match removed {
            Ok(reverted) => outcome.steps.push(reverted),
            Err(error) => outcome.errors.push(format!(
                "could not remove {}: {error}; remove it by hand: {}",
                leftover.what, leftover.remedy
            )),
        }
    }
}

impl Orphan {
    fn may_have_made(&self, leftover: &Leftover) -> bool {
        let claims = self.is_named.then_some(self.promise.claims.as_slice());
        leftover.may_be_of(&self.promise.injection, claims)
    }
}

fn orphan(name: &str, bytes: &[u8]) -> Orphan {
    let Contents { opened, owed, damaged_lines } = undo_log::read(bytes);
    let lost = if damaged_lines == 0 { 0 } else { lost_intents(bytes) };
    let claims = opened.as_ref().map(|opened| opened.claims.clone()).unwrap_or_default();
    let loss = (lost > 0).then(|| {
        let look = if claims.is_empty() {
            String::new()
        } else {
            let claims = claims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!(" look at {claims};")
        };
        format!(
            "undo log {name} is damaged: {lost} of its lines cannot be read, and a change that they described is put \
             back only if it could be found by its mark;{look} when all is well, remove the file"
        )
    });
    let is_named = opened.is_some();
    let at = opened.as_ref().and_then(|opened| opened.at.parse().ok());
    let (fault, target) = match opened {
        Some(opened) => (opened.fault, opened.target),
        None => (UNKNOWN.to_owned(), UNKNOWN.to_owned()),
    };
    let torn = bytes.last().is_some_and(|last| *last != b'\n');
    let log = Notes { log: UndoLog::resume(name), name: name.to_owned(), torn };
    let promise =
        Promise { injection: name.to_owned(), fault, target, claims, log, owed, active: Vec::new() };
    Orphan { promise, at, is_named, loss }
}

/// How many unreadable lines may have been a step's undo: all but torn ones, which never were, and those that are
/// still seen to be one other record.
fn lost_intents(bytes: &[u8]) -> usize {
    let harmless = [&br#""record":"opened""#[..], br#""record":"applied""#, br#""record":"reverted""#];
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    lines.pop();
    let is_lost = |line: &&[u8]| {
        let is_damaged = undo_log::read(&[line, &b"\n"[..]].concat()).damaged_lines > 0;
        let records = count(line, br#""record":"#);
        let is_other = records == 1 && harmless.iter().any(|kind| count(line, kind) == 1);
        is_damaged && !is_torn(line) && !is_other
    };
    lines.iter().filter(|line| is_lost(line)).count()
}

/// Whether a line is the beginning of a record and nothing else: what a failed write leaves. Its JSON text ends before
/// its outermost brace is closed; damage changes bytes and seldom their number, so it leaves that brace where it is.
fn is_torn(line: &[u8]) -> bool {
    let (checksum, json) = line.split_at(line.len().min(8));
    let Some((space, json)) = json.split_first() else {
        return checksum.iter().all(u8::is_ascii_hexdigit);
    };
    let ends_early = |error: serde_json::Error| error.is_eof();
    let ends_early = serde_json::from_slice::<serde_json::Value>(json).err().is_some_and(ends_early);
    *space == b' ' && ends_early && (json.is_empty() || count(json, b"{") > count(json, b"}"))
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).filter(|window| *window == needle).count()
}

/// The report about a log that cannot be read at all.
fn nothing_known(name: &str, error: &LogError) -> Restored {
    Restored {
        injection: name.to_owned(),
        fault: UNKNOWN.to_owned(),
        target: UNKNOWN.to_owned(),
        steps: Vec::new(),
        errors: vec![format!("{error}; what it describes is not put back; try `squall recover` again")],
    }
}
