//! In place of clusters, in a build without them.

use squall_model::cluster::ClusterPlace;
use squall_model::facts::{Scope, Subject};
use squall_model::machine::{Leftover, MachineError};
use squall_model::step::Step;
use squall_model::target::Target;
use squall_model::undo::{Evidence, Reverted, Undo};
use squall_model::undo_log::Logged;

/// Does nothing, and says why.
#[derive(Default)]
pub(crate) struct Clusters;

fn lacking<T>() -> Result<T, MachineError> {
    let message = "this squall was built without Kubernetes (`--no-default-features`); build it with `--features kubernetes`";
    Err(MachineError::Unsupported { message: message.to_owned() })
}

impl Clusters {
    pub(crate) fn has(target: &Target) -> bool {
        !matches!(target, Target::Pod(selector) if !selector.placed.is_empty()) && target.is_in_cluster()
    }
    pub(crate) fn makes(step: &Step) -> bool {
        matches!(step, Step::Object(_))
    }
    pub(crate) fn undoes(undo: &Undo) -> bool {
        matches!(undo, Undo::Object { .. } | Undo::Created { .. })
    }
    pub(crate) fn know(&mut self, _: impl IntoIterator<Item = ClusterPlace>) {}
    pub(crate) fn leftovers(&mut self) -> Result<Vec<Leftover>, MachineError> {
        Ok(Vec::new())
    }
    pub(crate) fn remove(&mut self, _: &Leftover) -> Result<Option<Reverted>, MachineError> {
        Ok(None)
    }
    pub(crate) fn hurry(&mut self, _: bool) {}
    pub(crate) fn resolve(&mut self, _: Scope, _: &Target) -> Result<Vec<Subject>, MachineError> {
        lacking()
    }
    pub(crate) fn makes_at_once(_: &Step) -> bool {
        false
    }
    pub(crate) fn capture_all(&mut self, steps: &[&Step]) -> Vec<Result<Undo, MachineError>> {
        steps.iter().map(|_| lacking()).collect()
    }
    pub(crate) fn apply_all(&mut self, logged: &[Logged<'_>]) -> Vec<Result<(), MachineError>> {
        logged.iter().map(|_| lacking()).collect()
    }
    pub(crate) fn observe(&mut self, applied: &[&Step]) -> Vec<Result<Evidence, MachineError>> {
        applied.iter().map(|_| lacking()).collect()
    }
    pub(crate) fn revert_all(&mut self, undos: &[&Undo]) -> Vec<Result<Reverted, MachineError>> {
        undos.iter().map(|_| lacking()).collect()
    }
}
