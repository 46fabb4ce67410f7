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

/// More sessions than anybody needs.
const MOST: u32 = 20_000;

/// That a number of sessions has an effect, and is one that can be held.
pub(crate) fn check_count(count: u32) -> Result<(), PlanError> {
    match count {
        0 => Err(PlanError::Parameters("0 sessions have no effect; give a count, such as 100".to_owned())),
        count if count > MOST => Err(PlanError::Parameters(format!(
            "{count} sessions are more than one agent holds: at most {MOST}"
        ))),
        _ => Ok(()),
    }
}
