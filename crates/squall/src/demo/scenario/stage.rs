//! The weak services of the scenarios: the shop, built with one weakness or without it.

use super::cage::Cage;
use super::postgres::{self, Postgres};
use crate::demo::processes::Shop;
use crate::demo::shop::{
    BookSettings, CallPolicy, Config, Layout, ReceiptSettings, Service, SpoolSettings, TABLE,
};
use squall_linux::sys::mount;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The size of the small disk.
const DISK: u64 = 64 << 20;
/// The limit on memory of one service.
const MEMORY: u64 = 64 << 20;
/// How often the supervisor looks.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// How long a session with the database is used, in milliseconds: all the time, or renewed often.
const KEPT: u64 = 60_000;
const RENEWED: u64 = 500;

/// Who the shop is to its database.
const SHOPKEEPER: &str = "shop";

/// Makes the service, with its weakness or with that `fixed`. What it needs of the disk goes below the folder.
pub(super) type Build = fn(folder: &Path, fixed: bool) -> Result<Stage, String>;

/// A service that runs, and what it stands on. Taken away when dropped, in this order.
pub(super) struct Stage {
    attendant: Option<Attendant>,
    shop: Shop,
    /// Databases; the shop, which uses them, goes before them.
    databases: Vec<Postgres>,
    cage: Option<Arc<Cage>>,
    /// The experiment's variables that say where the service is.
    variables: Vec<(&'static str, String)>,
}

impl Stage {
    fn of(config: Config) -> Result<Self, String> {
        let shop = Shop::open_as(&config)?;
        let url = format!("http://{}/checkout", shop.address(Service::Gateway));
        Ok(Self { attendant: None, shop, databases: Vec::new(), cage: None, variables: vec![("url", url)] })
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.variables.push((name, value.to_string()));
        self
    }

    fn ledger_port(&self) -> u16 {
        self.shop.address(Service::Ledger).port()
    }

    /// The variables, as if given with `--var`.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        self.variables.iter().map(|(name, value)| format!("{name}={value}"))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Else it would start again what the shop ends, or promote what is taken away.
        self.attendant.take();
    }
}

fn config(fixed: bool) -> Result<Config, String> {
    Ok(Layout::loopback().map_err(|error| error.to_string())?.config(fixed))
}

/// Payment waits for the ledger without a timeout; or with one, a budget of retries, a circuit breaker and an outbox.
pub(super) fn silent_ledger(_: &Path, fixed: bool) -> Result<Stage, String> {
    let stage = Stage::of(config(fixed)?)?;
    let port = stage.ledger_port();
    Ok(stage.with("dependency_port", port))
}

/// The same, where the network is cut.
pub(super) fn cut_off_ledger(folder: &Path, fixed: bool) -> Result<Stage, String> {
    Ok(silent_ledger(folder, fixed)?.with("dependency_host", "127.0.0.1"))
}

/// Gateway and payment try four times each, and the ledger bears twice the usual traffic.
pub(super) fn storm(_: &Path, fixed: bool) -> Result<Stage, String> {
    let mut config = config(fixed)?;
    config.ledger.work_ms = [8, 12];
    config.ledger.at_once = Some(2);
    if !fixed {
        let impatient =
            |timeout| CallPolicy { timeout_ms: Some(timeout), retries: 3, ..CallPolicy::patient(256, 256) };
        config.gateway.payment = impatient(900);
        config.payment.ledger = impatient(200);
    }
    let stage = Stage::of(config)?;
    let port = stage.ledger_port();
    Ok(stage.with("last_port", port))
}

/// The ledger keeps its books in a real PostgreSQL with few connections, and waits for one without end; or fails in time,
/// so that payment takes the order and settles it later.
pub(super) fn few_connections(_: &Path, fixed: bool) -> Result<Stage, String> {
    let database = Postgres::start(&["max_connections=24"])?;
    // Without a pool each order connects anew, and finds one day that others were faster.
    let stage = keeping_books(vec![database], fixed, if fixed { KEPT } else { 0 })?;
    let url = stage.databases[0].url_of(SHOPKEEPER);
    // To connect for each order is dear: fewer of them, so that a busy machine bears it while all is well.
    Ok(stage.with("database", url).with("count", 24).with("rate", "40/s"))
}

/// The same, with a table that a migration locks.
pub(super) fn locked_orders(_: &Path, fixed: bool) -> Result<Stage, String> {
    let database = Postgres::start(&[])?;
    let url = database.url();
    Ok(keeping_books(vec![database], fixed, RENEWED)?.with("database", url).with("table", "orders"))
}

/// The ledger knows the primary alone and waits for it without end; or it knows the replica too, and somebody lets that take
/// the primary's place.
pub(super) fn replicated_books(_: &Path, fixed: bool) -> Result<Stage, String> {
    let primary = Postgres::start(&["wal_level=replica"])?;
    let replica = primary.replica(&[])?;
    let (port, urls) = (primary.port, [primary.url(), replica.url()]);
    let mut stage = keeping_books(vec![primary, replica], fixed, RENEWED)?.with("database_port", port);
    stage.attendant = fixed.then(|| watchman(urls));
    Ok(stage)
}

/// A shop whose ledger keeps its books in the first of these databases; or in whichever takes writes.
fn keeping_books(databases: Vec<Postgres>, fixed: bool, lifetime_ms: u64) -> Result<Stage, String> {
    let first = databases.first().ok_or("a database is missing")?;
    // Whoever is no superuser finds no connection where all others are taken.
    let prepared = format!("CREATE ROLE {SHOPKEEPER} LOGIN; {TABLE}; GRANT ALL ON orders TO {SHOPKEEPER}");
    first.say(&prepared).map_err(|error| format!("could not prepare the database: {error}"))?;
    let mut config = config(fixed)?;
    let known = if fixed { databases.len() } else { 1 };
    config.ledger.books = Some(BookSettings {
        databases: databases.iter().take(known).map(|database| database.url_of(SHOPKEEPER)).collect(),
        connections: 8,
        wait_ms: fixed.then_some(60),
        lifetime_ms,
    });
    let mut stage = Stage::of(config)?;
    stage.databases = databases;
    Ok(stage)
}

/// The ledger writes to a small disk, and ends when it cannot; or has its space reserved.
pub(super) fn writing_ledger(folder: &Path, fixed: bool) -> Result<Stage, String> {
    let disk = folder.join("disk");
    let could_not = |error: io::Error| {
        format!("could not make a small disk on {}: {error}; it takes root (CAP_SYS_ADMIN)", disk.display())
    };
    std::fs::create_dir_all(&disk).map_err(could_not)?;
    let disk = std::fs::canonicalize(&disk).map_err(could_not)?;
    // Only this process and its children see it, and the kernel takes it away with them.
    mount::private_memory(&disk, DISK).map_err(could_not)?;
    let mut config = config(false)?;
    config.ledger.spool = Some(SpoolSettings { folder: disk.clone(), reserve: fixed });
    Ok(Stage::of(config)?.with("path", disk.display()))
}

/// The ledger has little memory, and nobody starts it again when the kernel has ended it; or somebody does.
pub(super) fn limited_ledger(_: &Path, fixed: bool) -> Result<Stage, String> {
    let cage = Arc::new(Cage::make(MEMORY)?);
    let mut config = config(false)?;
    // 35 MiB soon, and slowly more: with what the fault takes, more than there is, and more than the fault has.
    config.ledger.receipts = Some(ReceiptSettings { kib: 90, latest: 400, lost_kib: 5 });
    let mut stage = Stage::of(config.clone())?;
    let caught =
        |error: io::Error| format!("could not limit the memory of the ledger: {error}; it takes root");
    let pid = stage.shop.pid(Service::Ledger).unwrap_or_default();
    cage.take_in(pid).map_err(caught)?;
    if fixed {
        let child = stage.shop.take(Service::Ledger).ok_or("the ledger is not there")?;
        let command = stage.shop.command(Service::Ledger, &config).map_err(|error| error.to_string())?;
        stage.attendant = Some(supervisor(child, command, Arc::clone(&cage)));
    }
    let port = stage.ledger_port();
    stage.cage = Some(cage);
    Ok(stage.with("port", port))
}

/// Looks after a stage on a thread of its own, until it is dropped.
struct Attendant {
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Attendant {
    /// Takes a turn several times a second, as long as there is something to be done.
    fn start(mut turn: impl FnMut() -> ControlFlow<()> + Send + 'static) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stops);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && turn().is_continue() {
                std::thread::sleep(LOOKS_EVERY);
            }
        });
        Self { stops, thread: Some(thread) }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Lets a replica take the place of its primary when that does not answer, as a manager of a cluster does.
fn watchman([primary, replica]: [String; 2]) -> Attendant {
    Attendant::start(move || {
        let is_lost = postgres::say(&primary, "SELECT 1").is_err();
        if is_lost && postgres::say(&replica, "SELECT pg_promote(false)").is_ok() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
}

/// Starts a service again whenever it has ended.
fn supervisor(child: Child, mut command: Command, cage: Arc<Cage>) -> Attendant {
    let mut service = Supervised(child);
    Attendant::start(move || {
        if !matches!(service.0.try_wait(), Ok(None))
            && let Ok(again) = command.spawn()
        {
            service.0 = again;
            // One that is outside of the group serves as well.
            let _ = cage.take_in(service.0.id());
        }
        ControlFlow::Continue(())
    })
}

/// A service that goes with its supervisor.
struct Supervised(Child);

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
