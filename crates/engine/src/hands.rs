//! The hands: the privileged half of the engine. They plan, inject, look, put back and recover, and decide nothing.
//!
//! There is no I/O here: the host is a [`Machine`], the folder of undo logs a [`Disk`], the wall clock a function.
//! The same code runs in the agent, in the warden, in `squall recover` and in the simulator.
//!
//! ```text
//! Hands::new(machine, disk, owner, wall_clock)            owner: this process; wall_clock: for the log's date
//!     .with_hook(hook)                                    crash points, for tests
//! hands.begin(run, lease)                                 what the logs to come say
//! hands.plan(&request, faults) -> Result<Plan, CallError>           touches nothing
//! hands.inject(&ids) -> Result<Injected, CallError>       evidence of each, and whose target is gone
//! hands.observe() -> BTreeMap<id, Vec<Evidence>>
//! hands.undo(&ids) -> Vec<Restored>                       all where none is named; again for what is still owed
//! hands.recover() -> Result<Vec<Restored>, CallError>     what dead owners left
//! hands.leftovers() -> Result<Vec<Leftover>, CallError>   marks, and logs that owe, without a living owner
//! hands.live() / hands.owes()                             active injections / anything not put back yet
//! ```
//!
//! What holds at every instant, whenever the process may die:
//!
//! - a step is applied only after its undo is on disk;
//! - a log is removed only after all its steps were put back and seen to be;
//! - a step that is put back is noted before the one before it is put back, since the two may hang together;
//! - a log that cannot be written stops no undo, and a torn line spoils no other line (should the process die in that
//!   very undo, the next owner looks at its steps again, and may take one that hangs on another for residue);
//! - a step that could not be put back stays owed: it is reported as residue each time, and may be tried again.

mod elsewhere;
mod joining;
mod notes;
mod plan;
mod recover;
mod together;

use crate::agent::GRACE;
use crate::crash::{self, Hook, Point};
use jiff::Timestamp;
use squall_model::machine::{Hold, Leftover, Machine, MachineError};
use squall_model::plan::PlannedInjection;
use squall_model::protocol::{CallError, CallErrorKind, Injected, Restored};
use squall_model::step::{Claim, ProcessRef, Step};
use squall_model::undo::{Evidence, Reverted, Undo};
use squall_model::undo_log::{self, Contents, Disk, LogError, Logged, Opened, UndoLog};
use squall_model::units::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How often a revert that fails is tried at once. Each later call tries anew.
const REVERT_TRIES: u32 = 3;

/// How long one injection may take to be made, at most and on average: all of an entry have their whole time only when the last
/// of them is made.
const MADE_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The privileged half of the engine, on one host. See the module for what it does.
pub struct Hands<M, D> {
    machine: M,
    disk: D,
    hook: Hook,
    owner: ProcessRef,
    wall_clock: fn() -> Timestamp,
    run: String,
    lease: Duration,
    /// Injections planned so far, for names that do not repeat.
    counter: u64,
    planned: BTreeMap<String, PlannedInjection>,
    /// Addresses of the names that faults were planned with: whoever joins is struck like the others.
    addresses: BTreeMap<String, Vec<IpAddr>>,
    /// What was injected and is not put back, in the order of injection.
    promises: Vec<Promise>,
    /// Logs of dead owners that were taken over and are still owed.
    taken: BTreeSet<String>,
    /// Those of them that were found in memory alone.
    remembered: BTreeSet<String>,
    /// Logs whose every step is put back, but which could not be removed.
    unclosed: BTreeSet<String>,
}

/// One injection that may have changed the host, and how to put it back.
struct Promise {
    injection: String,
    fault: String,
    target: String,
    claims: Vec<Claim>,
    log: Notes,
    /// Steps with their undo, in the order of application, that are not known to be put back.
    owed: Vec<(usize, Undo)>,
    /// Steps that were applied, to look for their effect; empty once the undo began.
    active: Vec<(Step, Undo)>,
}

impl Promise {
    /// Begins to put it back: its effects are looked for no more. What is told of it, before any step.
    fn retire(&mut self) -> Restored {
        self.active.clear();
        Restored {
            injection: self.injection.clone(),
            fault: self.fault.clone(),
            target: self.target.clone(),
            steps: Vec::new(),
            errors: Vec::new(),
        }
    }
}

/// A log that may end in a torn line: one that could not be written, or that its writer died in. The line is ended
/// before anything is written after it, so that it spoils no other; recovery knows a torn line from a damaged one.
struct Notes {
    log: UndoLog,
    name: String,
    torn: bool,
}

impl Notes {
    fn write<'s, D: Disk, T: 's>(
        &mut self,
        disk: &mut D,
        write: impl FnOnce(&mut UndoLog, &mut D) -> Result<T, LogError>,
    ) -> Result<T, CallError> {
        let ended = if self.torn { disk.note(&self.name, b"\n") } else { Ok(()) };
        let written = ended.and_then(|()| write(&mut self.log, disk));
        self.torn = written.is_err();
        written.map_err(|error| failed(error.to_string()))
    }
}

impl<M: Machine, D: Disk> Hands<M, D> {
    /// Hands that hold nothing yet. `owner` is the process that they live in.
    pub fn new(machine: M, disk: D, owner: ProcessRef, wall_clock: fn() -> Timestamp) -> Self {
        Self {
            machine,
            disk,
            hook: crash::none(),
            owner,
            wall_clock,
            run: String::new(),
            lease: Duration::default(),
            counter: 0,
            planned: BTreeMap::new(),
            addresses: BTreeMap::new(),
            promises: Vec::new(),
            taken: BTreeSet::new(),
            remembered: BTreeSet::new(),
            unclosed: BTreeSet::new(),
        }
    }

    /// The same hands with a hook at their crash points.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hook = hook;
        self
    }

    /// Says which run the injections to come belong to, and how long they are held without hearing from the brain.
    pub fn begin(&mut self, run: &str, lease: Duration) {
        run.clone_into(&mut self.run);
        self.lease = lease;
    }

    /// The process that these hands live in.
    pub fn owner(&self) -> &ProcessRef {
        &self.owner
    }

    /// The host.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Names of the injections that are active.
    pub fn live(&self) -> Vec<String> {
        self.promises.iter().filter(|p| !p.active.is_empty()).map(|p| p.injection.clone()).collect()
    }

    /// Whether anything that these hands changed is not put back.
    pub fn owes(&self) -> bool {
        !self.promises.is_empty()
    }

    /// The entry of the experiment that a planned injection comes from.
    pub fn entry(&self, injection: &str) -> Option<usize> {
        self.planned.get(injection).map(|planned| planned.entry)
    }

    /// How long a planned injection lasts.
    pub fn lasts(&self, injection: &str) -> Option<Duration> {
        self.planned.get(injection).map(|planned| planned.lasts)
    }

    /// Makes planned injections, in order, those far away side by side, and takes a first look at their effect. One whose target
    /// is gone by now is passed over. What fails otherwise is put back and ends the call; those before it stay, and those after
    /// it are not begun, unless they were made at the same time.
    ///
    /// # Errors
    /// `Invalid` for a name that was not planned or is live, and for one in conflict with another injection on this
    /// host; `Failed` where the log could not be written or a step could not be applied. The message says whether
    /// everything of that injection was put back.
    pub fn inject(&mut self, injections: &[String]) -> Result<Injected, CallError> {
        let planned = self.planned_and_held(injections)?;
        let mut gone = BTreeMap::new();
        let mut rest = planned.as_slice();
        while !rest.is_empty() {
            let (wave, others) = rest.split_at(self.wave(rest));
            match wave {
                [one] => unless_gone(one, self.inject_one(one), &mut gone)?,
                many => self.inject_wave(many, &mut gone)?,
            }
            rest = others;
        }
        let chosen: BTreeSet<&String> = injections.iter().collect();
        let Self { machine, promises, .. } = self;
        let evidence = look(machine, promises.iter().filter(|promise| chosen.contains(&promise.injection)));
        Ok(Injected { evidence, gone })
    }

    /// What was planned under these names, with for whom and until when it is held.
    fn planned_and_held(&self, injections: &[String]) -> Result<Vec<PlannedInjection>, CallError> {
        let holds = self.holds(injections);
        let held = |injection: &String| {
            let mut planned = self.planned.get(injection).cloned().ok_or_else(|| {
                invalid(format!("no injection {injection} was planned by this agent; plan again"))
            })?;
            if let Some(hold) = holds.get(&planned.entry) {
                planned.steps.iter_mut().for_each(|step| step.hold(hold));
            }
            Ok(planned)
        };
        injections.iter().map(held).collect()
    }

    /// For whom and until when these are held, by the entry that they come from: rather too long than too short, since whoever
    /// believes that the time is over may put them back.
    pub(crate) fn holds(&self, injections: &[String]) -> BTreeMap<usize, Hold> {
        let mut counts: BTreeMap<usize, (u32, Duration)> = BTreeMap::new();
        let entries: BTreeSet<_> = injections.iter().filter_map(|injection| self.entry(injection)).collect();
        for planned in self.planned.values().filter(|planned| entries.contains(&planned.entry)) {
            let (count, lasts) = counts.entry(planned.entry).or_default();
            (*count, *lasts) = (*count + 1, planned.lasts.max(*lasts));
        }
        let now = (self.wall_clock)();
        let hold = |(entry, (count, lasts)): (usize, (u32, Duration))| {
            let held = lasts.0 + self.lease.0 + GRACE + MADE_WITHIN * (count + 1);
            let until = now.saturating_add(held).unwrap_or(Timestamp::MAX);
            // In whole seconds, which people read.
            let until = Timestamp::from_second(until.as_second() + 1).unwrap_or(until);
            (entry, Hold { run: self.run.clone(), until })
        };
        counts.into_iter().map(hold).collect()
    }

    fn inject_one(&mut self, planned: &PlannedInjection) -> Result<(), CallError> {
        let mut promise = self.open_new(planned)?;
        // The own claims are on disk before others' are read: of two agents at least one sees the other.
        let made = match self.held_by_others(std::slice::from_ref(planned)) {
            Some((_, conflict)) => Err(conflict),
            None => self.apply_all(&mut promise, &planned.steps),
        };
        if let Err(error) = made {
            return Err(self.give_up(promise, planned, error));
        }
        self.promises.push(promise);
        Ok(())
    }

    /// Starts the log of an injection that is not made yet.
    fn open_new(&mut self, planned: &PlannedInjection) -> Result<Promise, CallError> {
        if self.promises.iter().any(|promise| promise.injection == planned.id) {
            return Err(invalid(format!(
                "injection {} was made already and is not put back yet",
                planned.id
            )));
        }
        let opened = Opened {
            version: undo_log::VERSION,
            injection: planned.id.clone(),
            run: self.run.clone(),
            fault: planned.fault.clone(),
            target: planned.target.clone(),
            owner: self.owner.clone(),
            at: (self.wall_clock)().to_string(),
            lease: self.lease,
            claims: planned.claims.clone(),
            by_hand: planned.steps.iter().filter_map(Step::by_hand).collect(),
        };
        (self.hook)(Point::BeforeCreate);
        let log = UndoLog::open(&mut self.disk, opened)
            .map_err(|error| failed(format!("{error}; {} was not injected", planned.fault)))?;
        (self.hook)(Point::AfterCreate);
        Ok(Promise {
            injection: planned.id.clone(),
            fault: planned.fault.clone(),
            target: planned.target.clone(),
            claims: planned.claims.clone(),
            log: Notes { log, name: planned.id.clone(), torn: false },
            owed: Vec::new(),
            active: Vec::new(),
        })
    }

    fn apply_all(&mut self, promise: &mut Promise, steps: &[Step]) -> Result<(), CallError> {
        for (index, step) in steps.iter().enumerate() {
            let undo = self.machine.capture(step, &promise.injection)?;
            let logged = self.intend(promise, index, step, &undo)?;
            (self.hook)(Point::BeforeApply);
            let applied = self.machine.apply(logged);
            (self.hook)(Point::AfterApply);
            self.note_made(promise, index, (step, &undo), applied)?;
        }
        Ok(())
    }

    /// Writes down how a step is undone; from then on that is owed.
    fn intend<'s>(
        &mut self,
        promise: &mut Promise,
        index: usize,
        step: &'s Step,
        undo: &'s Undo,
    ) -> Result<Logged<'s>, CallError> {
        (self.hook)(Point::BeforeIntend);
        let logged = promise.log.write(&mut self.disk, |log, disk| log.intend(disk, index, step, undo))?;
        (self.hook)(Point::AfterIntend);
        promise.owed.push((index, undo.clone()));
        Ok(logged)
    }

    /// Writes down what came of making a step.
    fn note_made(
        &mut self,
        promise: &mut Promise,
        index: usize,
        (step, undo): (&Step, &Undo),
        applied: Result<(), MachineError>,
    ) -> Result<(), CallError> {
        // Names and numbers only: the words about a step are for those who know its secrets.
        let (injection, kind) = (promise.injection.as_str(), step.kind());
        tracing::info!(injection, step = index, kind, applied = applied.is_ok(), "step");
        applied?;
        (self.hook)(Point::BeforeApplied);
        promise.log.write(&mut self.disk, |log, disk| log.applied(disk, index))?;
        (self.hook)(Point::AfterApplied);
        promise.active.push((step.clone(), undo.clone()));
        Ok(())
    }

    /// Puts back an injection that could not be made, and says how that went.
    fn give_up(&mut self, mut promise: Promise, planned: &PlannedInjection, error: CallError) -> CallError {
        let residue = self.put_back(&mut promise).residue();
        let (kind, fate) = if residue.is_empty() {
            (error.kind, "nothing of it is left".to_owned())
        } else {
            self.promises.push(promise);
            (CallErrorKind::Failed, format!("not all of it could be put back: {}", residue.join("; ")))
        };
        let message = format!("{} on {}: {}; {fate}", planned.fault, planned.target, error.message);
        CallError { kind, message, ..error }
    }

    /// Looks for the effect of every active injection, step by step.
    pub fn observe(&mut self) -> BTreeMap<String, Vec<Evidence>> {
        let Self { machine, promises, .. } = self;
        look(machine, promises.iter().filter(|promise| !promise.active.is_empty()))
    }

    /// Puts injections back, the latest first; all where none is named. Those with a worker, a filled disk or a
    /// server far away come last: that takes a while, and nothing else shall wait for it. (No injection stands on
    /// another: of what one claims, no other takes anything.) A name that is not held is passed over, so the call may
    /// be repeated: for what is still owed it is another try.
    pub fn undo(&mut self, injections: &[String]) -> Vec<Restored> {
        self.close_again();
        let named: BTreeSet<&String> = injections.iter().collect();
        let chosen = |promise: &Promise| named.is_empty() || named.contains(&promise.injection);
        let (undone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.promises).into_iter().partition(chosen);
        self.promises = kept;
        let is_slow = |undo: &Undo| {
            let is_remote = matches!(undo, Undo::Sessions { .. } | Undo::Setting { .. });
            let is_in_a_cloud = matches!(
                undo,
                Undo::Instance { .. } | Undo::Template { .. } | Undo::Object { .. } | Undo::Created { .. }
            );
            let is_of_here = matches!(undo, Undo::Worker { .. } | Undo::Fill { .. } | Undo::Container { .. });
            is_remote || is_in_a_cloud || is_of_here
        };
        let has_slow = |promise: &Promise| promise.owed.iter().any(|(_, undo)| is_slow(undo));
        let (slow, quick): (Vec<_>, Vec<_>) =
            undone.into_iter().enumerate().rev().partition(|(_, promise)| has_slow(promise));
        let (positions, mut promises): (Vec<_>, Vec<_>) = quick.into_iter().chain(slow).unzip();
        let restored = self.put_all_back(&mut promises);
        let is_owed = |(_, restored): &(_, &Restored)| !restored.residue().is_empty();
        let outcomes = positions.into_iter().zip(promises).zip(&restored);
        let mut owed: Vec<(usize, Promise)> = outcomes.filter(is_owed).map(|(one, _)| one).collect();
        owed.sort_by_key(|(position, _)| *position);
        self.promises.extend(owed.into_iter().map(|(_, promise)| promise));
        restored
    }

    /// Puts back what a promise owes, in reverse order, whatever fails on the way, and closes its log if all is well.
    fn put_back(&mut self, promise: &mut Promise) -> Restored {
        let mut restored = promise.retire();
        let mut still_owed = Vec::new();
        for (index, undo) in std::mem::take(&mut promise.owed).into_iter().rev() {
            if !self.put_back_step(&mut promise.log, index, &undo, &mut restored) {
                still_owed.insert(0, (index, undo));
            }
        }
        promise.owed = still_owed;
        self.close_if_whole(&restored);
        restored
    }

    fn close_if_whole(&mut self, restored: &Restored) {
        if restored.residue().is_empty() {
            self.close(&restored.injection);
        }
    }

    /// Puts one step back; whether it is as it was.
    fn put_back_step(&mut self, log: &mut Notes, index: usize, undo: &Undo, restored: &mut Restored) -> bool {
        (self.hook)(Point::BeforeRevert);
        let outcome = self.revert_with_patience(undo);
        (self.hook)(Point::AfterRevert);
        self.note_put_back(log, index, undo, outcome, restored)
    }

    /// Writes down what came of putting a step back; whether it is as it was.
    fn note_put_back(
        &mut self,
        log: &mut Notes,
        index: usize,
        undo: &Undo,
        outcome: Result<Reverted, MachineError>,
        restored: &mut Restored,
    ) -> bool {
        let (injection, kind) = (restored.injection.as_str(), undo.kind());
        let fate = outcome.as_ref().map_or("failed", Reverted::name);
        tracing::info!(injection, step = index, kind, outcome = fate, "undo");
        match outcome {
            Ok(outcome) => {
                (self.hook)(Point::BeforeReverted);
                // A full disk must not stop an undo: without the note, the next owner looks at this step again.
                let _ = log.write(&mut self.disk, |log, disk| log.reverted(disk, index, &outcome));
                (self.hook)(Point::AfterReverted);
                let is_back = !matches!(outcome, Reverted::Drifted(_));
                restored.steps.push(outcome);
                is_back
            }
            Err(error) => {
                restored.errors.push(format!("could not {undo}: {error}"));
                false
            }
        }
    }

    /// Tries again at once where a revert fails, since the steps before it are put back whatever comes of it, and may
    /// take from it what it hangs on.
    fn revert_with_patience(&mut self, undo: &Undo) -> Result<Reverted, MachineError> {
        let mut outcome = self.machine.revert(undo);
        for _ in 1..REVERT_TRIES {
            if outcome.is_ok() {
                break;
            }
            // However long a try took, it was a sign of life.
            (self.hook)(Point::BeforeRevert);
            outcome = self.machine.revert(undo);
        }
        outcome
    }

    /// Removes the log of an injection that is put back. A log that stays is tried again at the next call, and is
    /// no residue: all that it describes is as it was.
    fn close(&mut self, injection: &str) {
        (self.hook)(Point::BeforeClose);
        let closed = UndoLog::resume(injection).close(&mut self.disk);
        (self.hook)(Point::AfterClose);
        self.taken.remove(injection);
        self.remembered.remove(injection);
        match closed {
            Ok(()) => self.unclosed.remove(injection),
            Err(_) => self.unclosed.insert(injection.to_owned()),
        };
    }

    fn close_again(&mut self) {
        for injection in self.unclosed.clone() {
            self.close(&injection);
        }
    }

    /// Looks for what is left: Squall's marks on the host, without those of injections whose owner lives, and undo
    /// logs of dead owners that still owe something, since not every change can carry a mark. What an earlier agent of
    /// the same run still holds is left too.
    ///
    /// # Errors
    /// The host could not be looked at, or the folder of logs could not be read.
    pub fn leftovers(&mut self) -> Result<Vec<Leftover>, CallError> {
        let mut found = self.machine.leftovers()?;
        let mut alive: BTreeSet<String> = self.live().into_iter().collect();
        let active = self.promises.iter().filter(|promise| !promise.active.is_empty());
        let mut claims: BTreeSet<Claim> = active.flat_map(|promise| promise.claims.clone()).collect();
        for (name, contents) in self.others()? {
            let living = contents.opened.as_ref().filter(|opened| self.machine.is_alive(&opened.owner));
            match living {
                // The brain has one agent at a time: it has lost that one, which cannot stand for anything.
                Some(opened) if !self.run.is_empty() && opened.run == self.run => {
                    found.push(held_by_the_lost(name, opened));
                }
                Some(opened) => {
                    claims.extend(opened.claims.iter().cloned());
                    alive.insert(name);
                }
                None if contents.owed.is_empty() && contents.foreign.is_none() => {}
                None => found.push(owed_by_the_dead(name, &contents)),
            }
        }
        // What only a run has, and no injection, is for whoever looks for dead runs.
        let is_of_a_run = |leftover: &Leftover| leftover.injection.is_none() && leftover.held.is_some();
        let stands = |leftover: &Leftover| {
            is_of_a_run(leftover)
                || leftover.injection.as_ref().is_some_and(|id| alive.contains(id))
                || leftover.claim.as_ref().is_some_and(|claim| claims.contains(claim))
        };
        Ok(found.into_iter().filter(|leftover| !stands(leftover)).collect())
    }

    /// What the logs of other owners, dead or alive, say, by name.
    fn others(&mut self) -> Result<Vec<(String, Contents)>, CallError> {
        let names = self.disk.list().map_err(|error| failed(error.to_string()))?;
        let held: BTreeSet<&String> = self.promises.iter().map(|promise| &promise.injection).collect();
        let is_ours = |name: &String| held.contains(name) || self.unclosed.contains(name);
        let others: Vec<String> = names.into_iter().filter(|name| !is_ours(name)).collect();
        // A log may be closed between the listing and the reading.
        let read = |name: String| Some((undo_log::read(&self.disk.read(&name).ok()?), name));
        Ok(others.into_iter().filter_map(read).map(|(contents, name)| (name, contents)).collect())
    }

    /// Which of these cannot be had now, and why: another injection on this host holds one of its claims.
    fn held_by_others<'p>(
        &mut self,
        wave: &'p [PlannedInjection],
    ) -> Option<(&'p PlannedInjection, CallError)> {
        let mut earlier: BTreeMap<&Claim, &PlannedInjection> = BTreeMap::new();
        let own = wave.iter().find_map(|planned| {
            let twice = planned.claims.iter().find_map(|claim| {
                let other = earlier.insert(claim, planned)?;
                Some(held_already(&other.id, &other.fault, &other.target, claim))
            });
            Some((planned, twice.or_else(|| self.held_by_own(&planned.claims))?))
        });
        if own.is_some() || wave.iter().all(|planned| planned.claims.is_empty()) {
            return own;
        }
        let mut others = match self.others() {
            Ok(others) => others,
            Err(error) => return Some((wave.first()?, invalid(unlearned(&error)))),
        };
        others.retain(|(name, _)| wave.iter().all(|planned| planned.id != *name));
        let claims = wave.iter().filter(|planned| !planned.claims.is_empty());
        claims.into_iter().find_map(|planned| Some((planned, self.held_by(&others, &planned.claims)?)))
    }

    fn held_by_own(&self, claims: &[Claim]) -> Option<CallError> {
        self.promises.iter().find_map(|promise| {
            let claim = claims.iter().find(|claim| promise.claims.contains(claim))?;
            Some(held_already(&promise.injection, &promise.fault, &promise.target, claim))
        })
    }

    fn held_by(&mut self, others: &[(String, Contents)], claims: &[Claim]) -> Option<CallError> {
        // What a log holds that has lost its head is not known, and unknown is unsafe.
        let headless =
            |(_, contents): &&(String, Contents)| contents.opened.is_none() && !contents.owed.is_empty();
        let foreign = others.iter().find_map(|(name, contents)| Some((name, contents.foreign.as_ref()?)));
        if let Some((name, why)) = foreign {
            return Some(invalid(format!("what undo log {name} holds is not known: {why}")));
        }
        if let Some((name, _)) = others.iter().find(headless) {
            return Some(invalid(format!(
                "undo log {name} is damaged, so that what it holds is not known; put it back with `squall recover`"
            )));
        }
        let (claim, holder) =
            others.iter().filter_map(|(_, contents)| contents.opened.as_ref()).find_map(|opened| {
                let claim = claims.iter().find(|claim| opened.claims.contains(claim))?;
                Some((claim, opened))
            })?;
        let remedy = if self.machine.is_alive(&holder.owner) {
            format!("wait for the end of run {}, or end it with `squall halt {}`", holder.run, holder.run)
        } else {
            "its owner is gone: put it back with `squall recover`".to_owned()
        };
        let message = format!(
            "{claim} is held by injection {} ({} on {}) of {}, and two at once could be neither told apart nor put back; {remedy}",
            holder.injection, holder.fault, holder.target, holder.owner
        );
        Some(CallError { kind: CallErrorKind::Held, ..invalid(message) })
    }
}

/// An error that says which entry it is about.
fn about(planned: &PlannedInjection, error: CallError) -> CallError {
    CallError { entry: error.entry.or(Some(planned.entry)), ..error }
}

/// Notes an injection whose target is gone; any other error remains one.
fn unless_gone(
    planned: &PlannedInjection,
    made: Result<(), CallError>,
    gone: &mut BTreeMap<String, String>,
) -> Result<(), CallError> {
    match made {
        Err(error) if error.kind == CallErrorKind::Gone => {
            gone.insert(planned.id.clone(), error.message);
            Ok(())
        }
        other => other.map_err(|error| about(planned, error)),
    }
}

fn held_already(injection: &str, fault: &str, target: &str, claim: &Claim) -> CallError {
    invalid(format!("injection {injection} ({fault} on {target}) holds {claim} already"))
}

fn unlearned(error: &CallError) -> String {
    format!("could not learn what other injections hold: {error}")
}

/// A log as something that is left: its owner lives, and is an earlier agent of the same run that does not answer.
fn held_by_the_lost(name: String, opened: &Opened) -> Leftover {
    let (fault, target, owner) = (&opened.fault, &opened.target, &opened.owner);
    Leftover {
        what: format!("{fault} on {target}, still held by {owner}, which does not answer"),
        injection: Some(name),
        claim: None,
        digest: None,
        held: None,
        remedy: format!("kill -KILL {}; squall recover", owner.pid),
    }
}

/// A log as something that is left: nobody alive stands for it.
fn owed_by_the_dead(name: String, contents: &Contents) -> Leftover {
    let undos = contents.owed.iter().map(|(_, undo)| undo.to_string()).collect::<Vec<_>>().join("; ");
    let still = contents.foreign.clone().unwrap_or_else(|| format!("it is still to: {undos}"));
    Leftover {
        what: format!("undo log {name}, whose owner is gone; {still}"),
        injection: Some(name),
        claim: None,
        digest: None,
        held: None,
        remedy: "squall recover".to_owned(),
    }
}

/// Looks for the effects of injections, all in one look. A look that fails is no evidence.
fn look<'p>(
    machine: &mut impl Machine,
    promises: impl Iterator<Item = &'p Promise>,
) -> BTreeMap<String, Vec<Evidence>> {
    let promises: Vec<&Promise> = promises.collect();
    let applied: Vec<(&Step, &Undo)> =
        promises.iter().flat_map(|promise| promise.active.iter().map(|(step, undo)| (step, undo))).collect();
    let mut seen = machine.observe(&applied).into_iter().map(|seen| match seen {
        Ok(seen) => seen,
        Err(MachineError::Gone { message }) => Evidence::gone(message),
        Err(error) => Evidence::not_seen(format!("could not look for an effect: {error}")),
    });
    let of =
        |promise: &&Promise| (promise.injection.clone(), seen.by_ref().take(promise.active.len()).collect());
    promises.iter().map(of).collect()
}

fn invalid(message: impl Into<String>) -> CallError {
    CallError { kind: CallErrorKind::Invalid, message: message.into(), entry: None }
}

fn failed(message: impl Into<String>) -> CallError {
    CallError { kind: CallErrorKind::Failed, message: message.into(), entry: None }
}
