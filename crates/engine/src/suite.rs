//! The laws that every [`Machine`] keeps, as a suite that any machine can be put through: the real kernel and the
//! simulator's model pass the same one.
//!
//! ```ignore
//! let mut samples = vec![Sample { name: "qdisc", prepare: Box::new(|machine| Trial { step, .. }) }];
//! let broken = suite::check(&mut machine, &mut samples);
//! assert!(broken.is_empty(), "{}", suite::describe(&broken));
//! ```
//!
//! Each law prepares a target of its own, so that one broken law does not break the next. A [`Trial`] looks at its
//! target by other means than the machine's.

use squall_model::machine::{Leftover, Machine, MachineError};
use squall_model::step::{Claim, Step};
use squall_model::undo::{Reverted, Undo};
use squall_model::undo_log::{Disk, Found, LogError, UndoLog};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Something done to a trial's target from outside.
pub type Deed = Box<dyn FnMut()>;

/// A step on a target that was made for it. Whatever the target needs to be cleaned up is best owned by `look`.
pub struct Trial {
    /// The step.
    pub step: Step,
    /// The injection that it belongs to; unique for each trial.
    pub injection: String,
    /// An independent look at all that the step may change, as text that is equal where nothing changed.
    pub look: Box<dyn FnMut() -> String>,
    /// Whether an undo brings back what was there; `false` for a kill, or for a button.
    pub reversible: bool,
    /// Whether the change carries Squall's mark, so that `leftovers` finds it.
    pub marked: bool,
    /// Makes the target vanish, where that can be done, best with another in its place that could be mistaken for it.
    /// `look` then looks at that.
    pub destroy: Option<Deed>,
    /// Changes the very thing that the step changed, as somebody else would, where that can be done.
    pub meddle: Option<Deed>,
}

/// A kind of step, and how to make a fresh target for it.
pub struct Sample<M> {
    /// Its name in reports.
    pub name: &'static str,
    /// Makes a target and the step on it.
    pub prepare: Box<dyn FnMut(&mut M) -> Trial>,
}

/// A law that a machine does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The sample.
    pub sample: &'static str,
    /// The law.
    pub law: &'static str,
    /// What was seen instead.
    pub seen: String,
}

/// Broken laws, one a line.
pub fn describe(broken: &[Broken]) -> String {
    broken.iter().fold(String::new(), |mut text, Broken { sample, law, seen }| {
        let _ = writeln!(text, "{sample}: {law}: {seen}");
        text
    })
}

/// Puts a machine through all laws with all samples. Empty is good.
pub fn check<M: Machine>(machine: &mut M, samples: &mut [Sample<M>]) -> Vec<Broken> {
    let mut broken = Vec::new();
    for sample in samples {
        for number in 0..LAWS {
            let trial = (sample.prepare)(machine);
            let mut bench = Bench { machine: &mut *machine, trial, log: MemoryDisk::default() };
            let (law, holds) = laws()[number];
            if let Err(seen) = holds(&mut bench) {
                broken.push(Broken { sample: sample.name, law, seen });
            }
        }
    }
    broken
}

/// How many laws there are.
const LAWS: usize = 11;

type Law<'m, M> = fn(&mut Bench<'m, M>) -> Result<(), String>;

fn laws<'m, M: Machine>() -> [(&'static str, Law<'m, M>); LAWS] {
    [
        ("a capture changes nothing", Bench::capture_changes_nothing),
        ("a revert without an apply changes nothing", Bench::revert_without_apply),
        ("a revert brings back what was there", Bench::revert_brings_back),
        ("an applied step can be observed without being changed", Bench::observe_changes_nothing),
        ("a revert may be repeated", Bench::revert_twice),
        ("one revert is enough for an apply that ran twice", Bench::apply_twice),
        ("a revert tolerates that the target is gone", Bench::target_gone),
        ("a revert leaves alone what somebody else changed", Bench::somebody_else),
        ("an apply does not overwrite what was changed after its capture", Bench::overtaken),
        ("what an apply makes carries a mark, and nothing does after the revert", Bench::marks_are_found),
        ("what carries a mark can be removed without a log", Bench::marks_are_removed),
    ]
}

/// One law at work on one trial.
struct Bench<'m, M> {
    machine: &'m mut M,
    trial: Trial,
    log: MemoryDisk,
}

impl<M: Machine> Bench<'_, M> {
    fn capture_changes_nothing(&mut self) -> Result<(), String> {
        let before = (self.trial.look)();
        self.capture()?;
        self.capture()?;
        same("the capture", &before, &(self.trial.look)())
    }

    fn revert_without_apply(&mut self) -> Result<(), String> {
        let undo = self.capture()?;
        let before = (self.trial.look)();
        self.revert_well(&undo)?;
        same("the revert", &before, &(self.trial.look)())
    }

    fn revert_brings_back(&mut self) -> Result<(), String> {
        let before = (self.trial.look)();
        let undo = self.capture_and_apply()?;
        if before == (self.trial.look)() {
            return Err("the apply changed nothing that an independent look shows".to_owned());
        }
        self.revert_well(&undo)?;
        self.is_back(&before)
    }

    fn observe_changes_nothing(&mut self) -> Result<(), String> {
        let undo = self.capture_and_apply()?;
        let before = (self.trial.look)();
        for seen in self.machine.observe(&[(&self.trial.step, &undo)]) {
            seen.map_err(failed("the look for an effect"))?;
        }
        let seen = same("the look for an effect", &before, &(self.trial.look)());
        self.revert_well(&undo)?;
        seen
    }

    fn revert_twice(&mut self) -> Result<(), String> {
        let before = (self.trial.look)();
        let undo = self.capture_and_apply()?;
        self.revert_well(&undo)?;
        self.revert_well(&undo)?;
        self.is_back(&before)
    }

    fn apply_twice(&mut self) -> Result<(), String> {
        let before = (self.trial.look)();
        let undo = self.capture_and_apply()?;
        // Whether the second is refused is the machine's choice.
        let _ = self.apply(&undo)?;
        self.revert_well(&undo)?;
        self.is_back(&before)
    }

    fn target_gone(&mut self) -> Result<(), String> {
        let undo = self.capture_and_apply()?;
        let Some(mut destroy) = self.trial.destroy.take() else { return self.revert_well(&undo) };
        destroy();
        let left = (self.trial.look)();
        self.revert_well(&undo)?;
        self.revert_well(&undo)?;
        same("the revert", &left, &(self.trial.look)())
    }

    fn somebody_else(&mut self) -> Result<(), String> {
        let undo = self.capture_and_apply()?;
        let Some(mut meddle) = self.trial.meddle.take() else { return self.revert_well(&undo) };
        meddle();
        let theirs = (self.trial.look)();
        self.machine.revert(&undo).map_err(failed("the revert"))?;
        same("the revert", &theirs, &(self.trial.look)())
    }

    fn overtaken(&mut self) -> Result<(), String> {
        let undo = self.capture()?;
        let Some(mut meddle) = self.trial.meddle.take() else { return Ok(()) };
        meddle();
        let theirs = (self.trial.look)();
        // Refused or not: in the end it must be as the other one left it.
        let _ = self.apply(&undo)?;
        self.machine.revert(&undo).map_err(failed("the revert"))?;
        same("apply and revert together", &theirs, &(self.trial.look)())
    }

    fn marks_are_found(&mut self) -> Result<(), String> {
        let known = self.marks()?;
        let undo = self.capture_and_apply()?;
        let made = self.new_marks(&known)?;
        let found = if self.trial.marked && made.is_empty() {
            Err("nothing carries a mark after the apply".to_owned())
        } else {
            self.are_ours(&made)
        };
        self.revert_well(&undo)?;
        found?;
        match self.new_marks(&known)?.as_slice() {
            [] => Ok(()),
            left => Err(format!("after the revert there is still {}", words(left))),
        }
    }

    fn marks_are_removed(&mut self) -> Result<(), String> {
        if !self.trial.marked {
            return Ok(());
        }
        let before = (self.trial.look)();
        let known = self.marks()?;
        let undo = self.capture_and_apply()?;
        for leftover in self.new_marks(&known)? {
            self.machine.remove(&leftover).map_err(failed("the removal"))?;
        }
        let left = self.new_marks(&known)?;
        let now = (self.trial.look)();
        self.revert_well(&undo)?;
        if !left.is_empty() {
            return Err(format!("after the removal there is still {}", words(&left)));
        }
        same("the removal", &before, &now)
    }

    fn capture(&mut self) -> Result<Undo, String> {
        self.machine.capture(&self.trial.step, &self.trial.injection).map_err(failed("the capture"))
    }

    fn capture_and_apply(&mut self) -> Result<Undo, String> {
        let undo = self.capture()?;
        self.apply(&undo)?.map_err(failed("the apply"))?;
        Ok(undo)
    }

    /// The outer error is the suite's own.
    fn apply(&mut self, undo: &Undo) -> Result<Result<(), MachineError>, String> {
        let mut log = UndoLog::resume("suite");
        let logged =
            log.intend(&mut self.log, 0, &self.trial.step, undo).map_err(|error| error.to_string())?;
        Ok(self.machine.apply(logged))
    }

    /// A revert that must succeed and find nothing that differs.
    fn revert_well(&mut self, undo: &Undo) -> Result<(), String> {
        match self.machine.revert(undo).map_err(failed("the revert"))? {
            Reverted::Drifted(difference) => Err(format!("the revert found a difference: {difference:?}")),
            Reverted::LetStand { looked_at } => {
                Err(format!("the revert took ours for another's: {looked_at}"))
            }
            Reverted::Undone { .. } | Reverted::AlreadyGone { .. } => Ok(()),
        }
    }

    fn is_back(&mut self, before: &str) -> Result<(), String> {
        let now = (self.trial.look)();
        if self.trial.reversible { same("apply and revert together", before, &now) } else { Ok(()) }
    }

    fn marks(&mut self) -> Result<Vec<Leftover>, String> {
        self.machine.leftovers().map_err(failed("the look for marks"))
    }

    /// Marks that are new and may be of this trial: other tests run at the same time, and nobody takes away what is theirs.
    fn new_marks(&mut self, known: &[Leftover]) -> Result<Vec<Leftover>, String> {
        let Trial { injection, step, .. } = &self.trial;
        let claims: Vec<Claim> = step.claim().into_iter().collect();
        let mut marks = self.machine.leftovers().map_err(failed("the look for marks"))?;
        marks.retain(|mark| !known.contains(mark) && mark.may_be_of(injection, Some(&claims)));
        Ok(marks)
    }

    fn are_ours(&self, marks: &[Leftover]) -> Result<(), String> {
        let nameless = marks.iter().filter(|mark| mark.remedy.is_empty() || mark.what.is_empty());
        match nameless.count() {
            0 => Ok(()),
            count => Err(format!("{count} marks of {} do not say what they are", self.trial.injection)),
        }
    }
}

fn failed(deed: &str) -> impl FnOnce(MachineError) -> String {
    move |error| format!("{deed} failed: {error}")
}

fn same(deed: &str, before: &str, now: &str) -> Result<(), String> {
    if before == now { Ok(()) } else { Err(format!("{deed} changed the target:\n- {before}\n+ {now}")) }
}

fn words(leftovers: &[Leftover]) -> String {
    leftovers.iter().map(|leftover| leftover.what.as_str()).collect::<Vec<_>>().join(", ")
}

/// Makes the change of a step whose undo is in a log in memory, for tests of single steps.
pub fn apply(machine: &mut impl Machine, step: &Step, undo: &Undo) -> Result<(), MachineError> {
    let mut disk = MemoryDisk::default();
    let mut log = UndoLog::resume("suite");
    let logged = log.intend(&mut disk, 0, step, undo);
    machine.apply(logged.map_err(|error| MachineError::Failed { message: error.to_string() })?)
}

/// A folder of logs in memory, for what does not ask where logs are kept.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    files: BTreeMap<String, Vec<u8>>,
}

impl Disk for MemoryDisk {
    fn create(&mut self, name: &str, first: &[u8]) -> Result<(), LogError> {
        self.files.insert(name.to_owned(), first.to_vec());
        Ok(())
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        self.files.entry(name.to_owned()).or_default().extend_from_slice(bytes);
        Ok(())
    }
    fn note(&mut self, name: &str, bytes: &[u8]) -> Result<(), LogError> {
        self.append(name, bytes)
    }
    fn read(&mut self, name: &str) -> Result<Vec<u8>, LogError> {
        Ok(self.files.get(name).cloned().unwrap_or_default())
    }
    fn remove(&mut self, name: &str) -> Result<(), LogError> {
        self.files.remove(name);
        Ok(())
    }
    fn list(&mut self) -> Result<Vec<String>, LogError> {
        Ok(self.files.keys().cloned().collect())
    }
    fn take_over(&mut self, _name: &str) -> Result<Found, LogError> {
        Ok(Found::File)
    }
}
