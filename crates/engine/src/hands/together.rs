//! Many injections far away, made and put back side by side: each waits for its answer, and one after another they would wait
//! for the sum of all.
//!
//! What holds for one holds for all of a wave: their undos are on disk before the first of them is made, and of two agents that
//! want the same at least one sees the other. Where some of a wave fail, those are put back, and the others stay.

use super::{Hands, Promise, about, unless_gone};
use crate::crash::Point;
use squall_model::machine::{Machine, MachineError};
use squall_model::plan::PlannedInjection;
use squall_model::protocol::{CallError, Restored};
use squall_model::step::Step;
use squall_model::undo::{Reverted, Undo};
use squall_model::undo_log::Disk;
use std::collections::BTreeMap;

/// So many injections make a wave.
const WAVE: usize = 32;

impl<M: Machine, D: Disk> Hands<M, D> {
    /// How many of the first of these are made at the same time.
    pub(super) fn wave(&self, planned: &[PlannedInjection]) -> usize {
        let may = |planned: &&PlannedInjection| match planned.steps.as_slice() {
            [step] => self.machine.makes_at_once(step),
            _ => false,
        };
        planned.iter().take(WAVE).take_while(may).count().max(1)
    }

    /// Makes injections of one step each, and notes those whose target is gone. The first error is told; what of the others could
    /// be made stays.
    pub(super) fn inject_wave(
        &mut self,
        wave: &[PlannedInjection],
        gone: &mut BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        let mut promises = Vec::new();
        let mut refused = None;
        for planned in wave {
            match self.open_new(planned) {
                Ok(promise) => promises.push(promise),
                Err(error) => {
                    refused = Some(about(planned, error));
                    break;
                }
            }
        }
        // The own claims are on disk before others' are read: of two agents at least one sees the other.
        let refused = refused.or_else(|| {
            let (planned, conflict) = self.held_by_others(wave)?;
            Some(about(planned, conflict))
        });
        if let Some(error) = refused {
            promises.iter_mut().for_each(|promise| drop(self.put_back(promise)));
            return Err(error);
        }
        self.make_all(promises, wave, gone)
    }

    /// Writes down how each is undone, makes them all, and notes which are made.
    fn make_all(
        &mut self,
        mut promises: Vec<Promise>,
        wave: &[PlannedInjection],
        gone: &mut BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        let steps: Vec<(&Step, &str)> =
            wave.iter().map(|planned| (&planned.steps[0], planned.id.as_str())).collect();
        let undos = self.machine.capture_all(&steps);
        let (mut logged, mut failures) = (Vec::new(), Vec::new());
        for ((promise, undo), (step, _)) in promises.iter_mut().zip(&undos).zip(&steps) {
            let undo = undo.as_ref().map_err(|error| CallError::from(error.clone()));
            let intended = undo.and_then(|undo| self.intend(promise, 0, step, undo));
            failures.push(intended.map(|one| logged.push(one)).err());
        }
        (self.hook)(Point::BeforeApply);
        let mut outcomes = self.machine.apply_all(logged).into_iter();
        (self.hook)(Point::AfterApply);
        let mut first = Ok(());
        for (((mut promise, planned), undo), failure) in
            promises.into_iter().zip(wave).zip(&undos).zip(failures)
        {
            let outcome = match (failure, undo) {
                (None, Ok(undo)) => {
                    // What the machine says nothing of is not known to be made.
                    let applied = outcomes.next().unwrap_or_else(|| Err(silent(&planned.steps[0])));
                    self.note_made(&mut promise, 0, (&planned.steps[0], undo), applied)
                }
                (Some(error), _) => Err(error),
                (None, Err(error)) => Err(error.clone().into()),
            };
            let made = match outcome {
                Ok(()) => {
                    self.promises.push(promise);
                    Ok(())
                }
                Err(error) => Err(self.give_up(promise, planned, error)),
            };
            first = first.and(unless_gone(planned, made, gone));
        }
        first
    }

    /// Puts promises back, as many at the same time as may be; what came of each, in order.
    pub(super) fn put_all_back(&mut self, promises: &mut [Promise]) -> Vec<Restored> {
        let mut restored = Vec::new();
        let mut rest = promises;
        while !rest.is_empty() {
            let may = |promise: &&Promise| match promise.owed.as_slice() {
                [(_, undo)] => self.machine.reverts_at_once(undo),
                _ => false,
            };
            let count = rest.iter().take(WAVE).take_while(may).count().max(1);
            let (wave, others) = rest.split_at_mut(count);
            match wave {
                [one] => restored.push(self.put_back(one)),
                many => restored.extend(self.put_wave_back(many)),
            }
            rest = others;
        }
        restored
    }

    fn put_wave_back(&mut self, wave: &mut [Promise]) -> Vec<Restored> {
        (self.hook)(Point::BeforeRevert);
        let undos: Vec<&Undo> = wave.iter().flat_map(|promise| &promise.owed).map(|(_, undo)| undo).collect();
        let mut outcomes = self.machine.revert_all(&undos).into_iter();
        (self.hook)(Point::AfterRevert);
        wave.iter_mut().map(|promise| self.put_back_knowing(promise, outcomes.next())).collect()
    }

    /// Puts back a promise of one step, of which the first try came to this.
    fn put_back_knowing(
        &mut self,
        promise: &mut Promise,
        outcome: Option<Result<Reverted, MachineError>>,
    ) -> Restored {
        // What failed is tried again by itself.
        let Some(Ok(outcome)) = outcome else { return self.put_back(promise) };
        let mut restored = promise.retire();
        for (index, undo) in std::mem::take(&mut promise.owed) {
            if !self.note_put_back(&mut promise.log, index, &undo, Ok(outcome.clone()), &mut restored) {
                promise.owed.push((index, undo));
            }
        }
        self.close_if_whole(&restored);
        restored
    }
}

fn silent(step: &Step) -> MachineError {
    MachineError::Failed { message: format!("nothing is known of it: {step}") }
}
