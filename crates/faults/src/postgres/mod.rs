//! Faults on PostgreSQL. What they do is text of its language, which the plan shows as it will be said.

pub(crate) mod connections;
pub(crate) mod lock;

use squall_model::facts::{DatabaseFacts, Facts};
use squall_model::fault::PlanError;
use squall_model::server::ServerKind;

/// The server that is struck, which must be PostgreSQL.
fn postgres(facts: &Facts) -> Result<&DatabaseFacts, PlanError> {
    crate::database::of_kind(facts, ServerKind::Postgres)
}
