//! Faults on Redis. What they do are its commands, which the plan shows as they will be said.

pub(crate) mod connections;
pub(crate) mod evict;
pub(crate) mod kill_clients;
pub(crate) mod memory;
pub(crate) mod pause;
pub(crate) mod readonly_replica;
pub(crate) mod slow;

use squall_model::facts::{DatabaseFacts, Facts};
use squall_model::fault::PlanError;
use squall_model::server::{ServerKind, SettingStep, Statement, Watch, mark_of};
use squall_model::units::{Duration, Share, Size};

/// The server that is struck, which must be Redis.
fn redis(facts: &Facts) -> Result<&DatabaseFacts, PlanError> {
    crate::database::of_kind(facts, ServerKind::Redis)
}

/// The same, which must be one that clients write to.
fn primary(facts: &Facts) -> Result<&DatabaseFacts, PlanError> {
    let database = redis(facts)?;
    if database.is_replica {
        let message =
            format!("{} is a replica, which takes no writes of its own; name its primary", database.server);
        return Err(PlanError::Refused(message));
    }
    Ok(database)
}

/// Whether it is this version or a later one.
fn is_since(database: &DatabaseFacts, major: u32, minor: u32) -> bool {
    let mut numbers = database.version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

/// A value of its configuration that is changed.
fn setting(facts: &Facts, database: &DatabaseFacts, name: &str, ours: String) -> SettingStep {
    SettingStep {
        server: database.server.clone(),
        mark: mark_of(&facts.injection),
        name: name.to_owned(),
        read: Statement::words(["CONFIG", "GET", name]),
        write: Statement::words(["CONFIG", "SET", name, &ours]),
        ours,
        check: Vec::new(),
        look: None,
        then: Vec::new(),
        restore: Statement::words(["CONFIG", "SET", name, Statement::BEFORE]),
        unset: None,
        finally: Vec::new(),
        watch: None,
        lease: facts.lease,
    }
}

/// The same, with a watch on the server. Redis has no clock that one could set. But a client may wait for replicas that are
/// not there, for a lease at most, and what it says behind that is carried out then, also where the network is lost. While we
/// are there another one has taken its place by then. Redis forgets what a client says that has closed: of an owner that
/// is killed it takes nothing.
fn watched(facts: &Facts, database: &DatabaseFacts, name: &str, ours: String) -> SettingStep {
    let lease = facts.lease.0.as_millis().to_string();
    let wait = Statement::words(["WAIT", REPLICAS, &lease]);
    let watch = Watch { hold: None, wait, renew: Some(Duration(facts.lease.0 / 3)) };
    SettingStep { watch: Some(watch), ..setting(facts, database, name, ours) }
}

/// More replicas than any server has.
const REPLICAS: &str = "1000000";

/// That its configuration may be read, and so changed: managed servers do not let one.
fn check_configurable(database: &DatabaseFacts) -> Result<(), PlanError> {
    if database.is_superuser {
        return Ok(());
    }
    Err(PlanError::Forbidden(format!(
        "{} does not let {} read its configuration (CONFIG GET), which this fault changes and puts back; managed servers let \
         nobody, elsewhere the user needs +config",
        database.server, database.user
    )))
}

/// How much memory is left to it: so much, or a share of what it uses now; less than it has now in any case.
fn limit(database: &DatabaseFacts, size: Option<Size>, percent: Option<Share>) -> Result<u64, PlanError> {
    let number = |name: &str| database.settings.get(name).and_then(|text| text.parse::<u64>().ok());
    let Some((used, before)) = number("used_memory").zip(number("maxmemory")) else {
        let message = format!("{} does not say how much memory it uses (INFO memory)", database.server);
        return Err(PlanError::Unsupported(message));
    };
    let limit = match (size, percent) {
        (Some(size), None) => size.0,
        (None, percent) => (used as f64 * percent.unwrap_or(Share::WHOLE).fraction()) as u64,
        (Some(_), Some(_)) => {
            return Err(PlanError::Parameters("give `size` or `percent`, not both".to_owned()));
        }
    };
    match limit {
        0 => Err(PlanError::Parameters("a limit of 0 is none to Redis; give more".to_owned())),
        limit if before > 0 && limit >= before => Err(PlanError::Parameters(format!(
            "{} may use no more than {} now; {} would not be less",
            database.server,
            Size(before),
            Size(limit)
        ))),
        limit => Ok(limit),
    }
}
