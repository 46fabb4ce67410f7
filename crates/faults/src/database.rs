//! What the faults on servers share.

use squall_model::facts::{DatabaseFacts, Facts, Subject};
use squall_model::fault::PlanError;
use squall_model::server::{Look, ServerKind, SessionsStep, Statement, mark_of};

/// The server that is struck, which must be of a kind.
pub(crate) fn of_kind(facts: &Facts, kind: ServerKind) -> Result<&DatabaseFacts, PlanError> {
    let found = match &facts.subject {
        Subject::Database(database) if database.server.kind == kind => return Ok(database),
        Subject::Database(database) => database.server.kind.name(),
        _ => "no server",
    };
    Err(PlanError::Parameters(format!("this fault strikes {}, and the target is {found}", kind.name())))
}

/// Sessions that go by the injection's mark and only stay; what else they do is added.
pub(crate) fn sessions(facts: &Facts, database: &DatabaseFacts, count: u32, look: Look) -> SessionsStep {
    SessionsStep {
        server: database.server.clone(),
        mark: mark_of(&facts.injection),
        count,
        or_fewer: false,
        room: None,
        check: Vec::new(),
        begin: Vec::new(),
        blame: None,
        again: None,
        finally: Vec::new(),
        lease: facts.lease,
        look,
    }
}

/// Asks the server for named numbers, tells them in words, and takes the one called `effect` for the effect.
pub(crate) fn look(ask: impl Into<String>, words: &str, effect: &str) -> Look {
    Look { ask: Some(Statement::text(ask)), words: words.to_owned(), effect: effect.to_owned() }
}
