//! What the faults on servers share.

use squall_model::facts::{ClientFacts, DatabaseFacts, Facts, Subject};
use squall_model::fault::PlanError;
use squall_model::server::{Again, Look, ServerKind, SessionsStep, Statement, is_like, mark_of};
use squall_model::units::Duration;

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
    Look::asking(Statement::text(ask), words, effect)
}

/// How many connections may be taken, where so many are kept for others: one more is Squall's own, which looks.
pub(crate) fn available(database: &DatabaseFacts, kept: u64) -> u64 {
    database.limit.unwrap_or(u64::MAX).saturating_sub(database.used + kept + 1)
}

/// As many as are asked for and may be taken; none at all is no fault.
pub(crate) fn takeable(database: &DatabaseFacts, asked: u32, leave_free: u64) -> Result<u32, PlanError> {
    match u64::from(asked).min(available(database, leave_free)) {
        0 => Err(PlanError::Refused(format!(
            "{} has no connection to take: of {} are {} in use, and {leave_free} are to stay free",
            database.server,
            database.limit.unwrap_or_default(),
            database.used
        ))),
        count => Ok(count as u32),
    }
}

/// That fewer may be taken than were asked for, where it is so.
pub(crate) fn fewer(database: &DatabaseFacts, asked: u32, leave_free: u64) -> Option<String> {
    let count = available(database, leave_free);
    let told =
        || format!("{} has {count} connections to take, fewer than the {asked} asked for", database.server);
    (count < u64::from(asked)).then(told)
}

/// Whether a client is as a parameter wants it, as far as the server tells; one that is not given wants nothing.
pub(crate) fn is_meant(wanted: Option<&str>, told: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| is_like(told.unwrap_or_default(), wanted))
}

/// Parameters that were given, as conditions of a statement that is said of each client.
pub(crate) fn conditions<'p, const N: usize>(
    parameters: [(&'p str, Option<&'p str>); N],
) -> impl Iterator<Item = String> {
    parameters.into_iter().filter_map(|(name, wanted)| Some(format!("{name}={}", wanted?)))
}

/// Has a statement said when the sessions begin, and again every so often where that is asked for.
pub(crate) fn say_every(step: &mut SessionsStep, statement: Statement, every: Option<Duration>) {
    step.again = every.map(|every| Again { statement: statement.clone(), every });
    step.begin = vec![statement];
}

/// What is done to clients again and again is done at most so often.
pub(crate) const SHORTEST_PERIOD: Duration = Duration::milliseconds(100);

/// That what is done every so often is not done too often.
pub(crate) fn check_period(every: Option<Duration>) -> Result<(), PlanError> {
    match every.filter(|every| *every < SHORTEST_PERIOD) {
        Some(every) => Err(PlanError::Parameters(format!(
            "every: {every} is too often; at least {SHORTEST_PERIOD} must lie between"
        ))),
        None => Ok(()),
    }
}

/// Whom a fault on clients would hit at the moment; at most twenty are named.
pub(crate) fn who_fits(
    database: &DatabaseFacts,
    fits: impl Fn(&ClientFacts) -> bool,
    described: impl Fn(&ClientFacts) -> String,
) -> String {
    let server = &database.server;
    let fitting: Vec<_> = database.clients.iter().filter(|client| fits(client)).collect();
    let named: Vec<String> = fitting.iter().take(20).map(|client| described(client)).collect();
    let more = fitting.len().saturating_sub(named.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    match fitting.len() {
        0 => format!("no client of {server} fits at the moment"),
        count => format!("{count} on {server} fit at the moment: {}{more}", named.join(", ")),
    }
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
