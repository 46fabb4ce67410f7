//! Faults of disks: space that runs out. What Squall and the machine itself need is never taken.

pub(crate) mod fill;

use squall_model::facts::{Facts, PathFacts, Subject};
use squall_model::fault::PlanError;

/// The directory that is struck.
fn path(facts: &Facts) -> Result<&PathFacts, PlanError> {
    match &facts.subject {
        Subject::Path(path) => Ok(path),
        _ => Err(PlanError::Parameters("this fault strikes a directory: target: {path: /data}".to_owned())),
    }
}
