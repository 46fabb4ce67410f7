//! Faults that strike processes by signals.

pub(crate) mod kill;
pub(crate) mod pause;

use squall_model::facts::{Facts, ProcessFacts, Subject};
use squall_model::fault::PlanError;

/// The process that a fault strikes.
fn struck(facts: &Facts) -> Result<&ProcessFacts, PlanError> {
    match &facts.subject {
        Subject::Process(process) => Ok(process),
        _ => Err(PlanError::Parameters(
            "this fault strikes processes: target: {process: {name: …}}".to_owned(),
        )),
    }
}
