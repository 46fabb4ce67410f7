//! Faults that strike processes by signals.

pub(crate) mod kill;
pub(crate) mod pause;

use squall_model::facts::{Facts, ProcessFacts, Subject};
use squall_model::fault::PlanError;

/// The process that a fault strikes: of a container or a service the main one, with which the others go.
fn struck(facts: &Facts) -> Result<&ProcessFacts, PlanError> {
    match &facts.subject {
        Subject::Process(process) => Some(process),
        Subject::Group(group) => group.processes.first(),
        _ => None,
    }
    .ok_or_else(|| {
        PlanError::Parameters(
            "this fault strikes processes: target: {process: {name: …}}, {container: {name: …}} or {service: …}"
                .to_owned(),
        )
    })
}
