//! What a kind of load is, and how an experiment's `load` entry becomes a plan.

use squall_model::catalog::AnyLoad;
use squall_model::experiment;
use squall_model::node::Node;
use squall_model::read::ReadError;

use super::LoadPlan;

/// A kind of load: the manual of [`AnyLoad`], and how to send it. It is one file and one entry in the crate's table.
pub trait LoadKind: AnyLoad {
    /// The plan that the parameters under the kind's own key ask for; rate, timeout and window are put in by
    /// [`plan`].
    ///
    /// # Errors
    /// Points at what is wrong with the parameters.
    fn plan(&self, parameters: &Node) -> Result<LoadPlan, ReadError>;
}

/// The plan of an experiment's `load` entry. Nothing is sent or opened yet.
///
/// # Errors
/// Points at what is wrong with the entry.
pub fn plan(kinds: &[&dyn LoadKind], load: &experiment::Load) -> Result<LoadPlan, ReadError> {
    let wrong = |words: String| ReadError::at(load.parameters.place, words);
    let kind = kinds.iter().find(|kind| kind.name() == load.kind);
    let kind = kind.ok_or_else(|| wrong(format!("there is no kind of load {:?}", load.kind)))?;
    let plan = LoadPlan {
        rate: Some(load.rate.per_second),
        timeout: load.timeout.0,
        window: load.window.0,
        ..kind.plan(&load.parameters)?
    };
    plan.check().map_err(|error| wrong(error.to_string()))?;
    Ok(plan)
}
