//! Recovery: puts back what dead owners left. Runs at the start of every agent, in the warden and in
//! `squall recover`.
//!
//! A log whose lock can be had belongs to nobody alive; one whose lock is held is never touched. All logs that can be
//! had are taken first and put back after, the latest first. A log's file is removed exactly when nothing of it is
//! left to be told: a step that cannot be put back, or a damaged line that may have been a step's undo, keeps the
//! file, so that it is told again next time and is forgotten only by whoever removes the file by hand.
//!
//! A warden may be so late that another Squall has put everything back, removed the log and made the same injection
//! again. From its memory alone it could not tell that log from a lost one, and its undo would undo the new injection.
//! Claims tell: nobody injects what a log in the folder still holds, so a living owner's log that owes and holds the
//! same came after this one was settled.

use super::{Hands, Notes, Promise, failed};
use crate::crash::Point;
use jiff::Timestamp;
use squall_model::machine::{Leftover, Machine};
use squall_model::protocol::{CallError, Restored};
use squall_model::step::Claim;
use squall_model::undo_log::{self, Contents, Disk, Found, LogError, Opened, UndoLog};

/// What stands for a name that a damaged log does not tell any more.
const UNKNOWN: &str = "unknown";

/// A dead owner's log, ours now.
struct Orphan {
    promise: Promise,
    at: Option<Timestamp>,
    /// Whether the line that tells what it holds could be read.
    is_named: bool,
    /// Whether only another Squall can put it back.
    is_foreign: bool,
    /// What is lost to damage, or to another version, in words; none where nothing is.
    loss: Option<String>,
}

/// Whoever holds something now.
struct Holder {
    name: String,
    claims: Vec<Claim>,
    /// Whether it has changed something, or is about to.
    owes: bool,
}

/// What a log means, beside what others hold.
enum Standing {
    /// It is to be put back.
    Owed,
    /// Somebody put it back: another injection holds the same by now.
    Settled,
    /// Another injection is about to hold the same, or to give it up because of this log.
    Unclear(String),
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
                Ok(Some(bytes)) => orphans.push(orphan(&name, &self.disk.place(&name), &bytes)),
                Ok(None) => {}
                Err(error) => told.push(nothing_known(&name, &error)),
            }
        }
        orphans.sort_by(|a, b| (b.at, &b.promise.injection).cmp(&(a.at, &a.promise.injection)));
        // Our claims are on the disk by now, so that whoever begins to inject from here on sees them.
        let holders = self.holders()?;
        let mut restored: Vec<(Orphan, Restored)> = Vec::new();
        for mut orphan in orphans {
            match self.standing(&orphan, &holders) {
                Standing::Owed => {}
                Standing::Settled => {
                    self.close(&orphan.promise.injection);
                    continue;
                }
                Standing::Unclear(holder) => {
                    told.push(unclear(&orphan, &holder));
                    continue;
                }
            }
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
        let taken = if self.taken.contains(name) { Ok(Found::File) } else { self.disk.take_over(name) };
        (self.hook)(Point::AfterTakeOver);
        let read = match taken {
            Ok(found) => {
                self.taken.insert(name.to_owned());
                if found == Found::Memory {
                    self.remembered.insert(name.to_owned());
                }
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
                    self.remembered.remove(name);
                    Ok(None)
                } else {
                    Err(error)
                }
            }
        }
    }

    /// What the living hold, we among them. A dead owner's log may itself be one that a late warden made anew.
    fn holders(&mut self) -> Result<Vec<Holder>, CallError> {
        let mut others = self.others()?;
        others.retain(|(name, _)| !self.taken.contains(name));
        let others = others.into_iter().filter_map(|(name, contents)| {
            let opened = contents.opened.filter(|opened| self.machine.is_alive(&opened.owner))?;
            Some(Holder { name, claims: opened.claims, owes: !contents.owed.is_empty() })
        });
        let own = self.promises.iter().map(|promise| Holder {
            name: promise.injection.clone(),
            claims: promise.claims.clone(),
            owes: true,
        });
        Ok(others.chain(own).collect())
    }

    fn standing(&self, orphan: &Orphan, holders: &[Holder]) -> Standing {
        let promise = &orphan.promise;
        let hold_it_too = |holder: &&Holder| holder.claims.iter().any(|claim| promise.claims.contains(claim));
        let mut rivals = holders.iter().filter(hold_it_too);
        match rivals.clone().find(|holder| holder.owes).or_else(|| rivals.next()) {
            Some(holder) if holder.owes => Standing::Settled,
            // It looks for others' claims right now. A log that stood in the folder all the time it cannot miss.
            Some(holder) if self.remembered.contains(&promise.injection) => {
                Standing::Unclear(holder.name.clone())
            }
            _ => Standing::Owed,
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
        !self.is_foreign && leftover.may_be_of(&self.promise.injection, claims)
    }
}

fn orphan(name: &str, place: &str, bytes: &[u8]) -> Orphan {
    let Contents { opened, owed, foreign, damaged_lines } = undo_log::read(bytes);
    let claims = opened.as_ref().map(|opened| opened.claims.clone()).unwrap_or_default();
    let is_foreign = foreign.is_some();
    let foreign = foreign.map(|why| format!("undo log {name} was not touched: {why}"));
    let loss = foreign.or_else(|| loss(bytes, damaged_lines, opened.as_ref(), place));
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
    Orphan { promise, at, is_named, is_foreign, loss }
}

/// The report about a log of which the next look tells whether it is still owed.
fn unclear(orphan: &Orphan, holder: &str) -> Restored {
    let promise = &orphan.promise;
    Restored {
        injection: promise.injection.clone(),
        fault: promise.fault.clone(),
        target: promise.target.clone(),
        steps: Vec::new(),
        errors: vec![format!(
            "injection {holder} is being made on the same thing just now, so this one was not touched; try \
             `squall recover` in a moment"
        )],
    }
}

/// What a damaged log does not tell any more, in words, with what to do about it; none where nothing is lost.
fn loss(bytes: &[u8], damaged_lines: usize, opened: Option<&Opened>, place: &str) -> Option<String> {
    let lost = if damaged_lines == 0 { 0 } else { lost_intents(bytes) };
    let what = if undo_log::is_lost(bytes) {
        "not one of its lines can be read".to_owned()
    } else if lost > 0 {
        format!("{lost} of its lines cannot be read")
    } else {
        return None;
    };
    let remedy = match opened {
        Some(opened) if !opened.by_hand.is_empty() => format!("`{}`", opened.by_hand.join("; ")),
        Some(opened) if !opened.claims.is_empty() => {
            let claims = opened.claims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("look at {claims}")
        }
        _ => "`ps -eo pid,stat,args | awk '$2 ~ /^T/'` shows stopped processes, `kill -CONT PID` continues one, `squall \
              leftovers` shows marks"
            .to_owned(),
    };
    Some(format!(
        "undo log {place} is damaged: {what}, and a change that they described is put back only if it could be found by \
         its mark; to put it back by hand: {remedy}; when all is well, `rm {place}`"
    ))
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
