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
pub(crate) fn sessions(facts: &Facts, database: &DatabaseFacts, count: u32, words: &str) -> SessionsStep {
    SessionsStep {
        server: database.server.clone(),
        mark: mark_of(&facts.injection),
        count,
        or_fewer: false,
        begin: Vec::new(),
        again: None,
        finally: Vec::new(),
        lease: facts.lease,
        look: Look { ask: None, words: words.to_owned(), effect: "held".to_owned() },
    }
}

/// Asks for named numbers.
pub(crate) fn asking(text: impl Into<String>) -> Option<Statement> {
    Some(Statement::text(text))
}
