//! Steps on a real PostgreSQL keep the laws, and are seen by a client that knows nothing of Squall.

use serde_json::{Value as Json, json};
use squall_database::testing::PostgresServer;
use squall_engine::suite::{self, Sample, Trial};
use squall_faults::ALL;
use squall_model::facts::{Facts, HostFacts, Scope, Subject};
use squall_model::machine::{Leftover, Machine, MachineError};
use squall_model::server::{ServerUrl, SettingStep, Statement, mark_of};
use squall_model::step::{ProcessRef, Step};
use squall_model::target::Target;
use squall_model::undo::{Effect, Evidence, Reverted, Undo};
use squall_model::undo_log::Logged;
use squall_model::units::{Duration, Size};
use squall_remote::RemoteMachine;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

/// The door to one server, without a kernel beside it.
struct Servers(RemoteMachine);

impl Servers {
    fn knowing(url: &str) -> Self {
        Self(RemoteMachine::default().knowing([url.parse::<ServerUrl>().unwrap()]))
    }
}

impl Machine for Servers {
    fn host(&mut self) -> Result<HostFacts, MachineError> {
        Ok(HostFacts {
            boot_id: "boot".into(),
            kernel: "6.1".into(),
            cpus: 1,
            memory_total: Size(1 << 30),
            memory_available: Size(1 << 30),
            privileges: BTreeSet::new(),
            features: BTreeSet::new(),
            unknown: BTreeSet::new(),
        })
    }
    fn resolve(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError> {
        self.0.resolve(scope, target)
    }
    fn addresses(&mut self, _: &[String]) -> Result<BTreeMap<String, Vec<IpAddr>>, MachineError> {
        Ok(BTreeMap::new())
    }
    fn is_alive(&mut self, _: &ProcessRef) -> bool {
        true
    }
    fn capture(&mut self, step: &Step, _: &str) -> Result<Undo, MachineError> {
        self.0.capture(step)
    }
    fn apply(&mut self, logged: Logged<'_>) -> Result<(), MachineError> {
        self.0.apply(logged)
    }
    fn observe(&mut self, applied: &[(&Step, &Undo)]) -> Vec<Result<Evidence, MachineError>> {
        self.0.observe(applied)
    }
    fn revert(&mut self, undo: &Undo) -> Result<Reverted, MachineError> {
        self.0.revert(undo)
    }
    fn leftovers(&mut self) -> Result<Vec<Leftover>, MachineError> {
        self.0.leftovers()
    }
    fn remove(&mut self, leftover: &Leftover) -> Result<Reverted, MachineError> {
        Ok(self.0.remove(leftover)?.expect("a leftover of ours"))
    }
}

/// The first step of a fault on a server.
fn step(machine: &mut Servers, url: &str, injection: &str, fault: &str, with: &Json) -> Step {
    let target = Target::Database(url.parse().unwrap());
    let fault = ALL.iter().find(|known| known.name() == fault).unwrap();
    let facts = Facts {
        injection: injection.into(),
        host: machine.host().unwrap(),
        lease: Duration::seconds(5),
        subject: machine.resolve(fault.scope(), &target).unwrap().remove(0),
        target,
        addresses: BTreeMap::new(),
    };
    fault.plan(with, &facts).unwrap().remove(0)
}

fn sample(
    name: &'static str,
    server: &Rc<PostgresServer>,
    make: impl Fn(&mut Servers, &str) -> Step + 'static,
    look: impl Fn(&PostgresServer, &str) -> String + Clone + 'static,
    meddle: Option<&'static str>,
) -> Sample<Servers> {
    let (server, mut count) = (Rc::clone(server), 0);
    Sample {
        name,
        prepare: Box::new(move |machine| {
            count += 1;
            let injection = format!("{name}-{count}");
            let step = make(machine, &injection);
            let (looked_at, look, mark) = (Rc::clone(&server), look.clone(), mark_of(&injection));
            let meddled = Rc::clone(&server);
            Trial {
                marked: matches!(step, Step::Sessions(_)),
                step,
                injection,
                look: Box::new(move || look(&looked_at, &mark)),
                reversible: true,
                destroy: None,
                meddle: meddle.map(|text| -> suite::Deed { Box::new(move || drop(meddled.ask(text))) }),
            }
        }),
    }
}

/// Sessions of a mark, whatever becomes of those that ask.
fn held(server: &PostgresServer, mark: &str) -> String {
    server.ask(&format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{mark}'"))
}

const READ_ONLY: &str = "SELECT split_part(setting, '=', 2) \
                         FROM (SELECT unnest(setconfig) AS setting FROM pg_db_role_setting) AS s \
                         WHERE setting LIKE 'default_transaction_read_only=%'";

fn read_only(url: &str, injection: &str) -> Step {
    Step::Setting(SettingStep {
        server: url.parse::<ServerUrl>().unwrap().server,
        mark: mark_of(injection),
        name: "default_transaction_read_only of database postgres".into(),
        read: Statement::text(READ_ONLY),
        write: Statement::text("ALTER DATABASE postgres SET default_transaction_read_only = on"),
        ours: "on".into(),
        then: Vec::new(),
        restore: Statement::text("ALTER DATABASE postgres SET default_transaction_read_only = {before}"),
        unset: Some(Statement::text("ALTER DATABASE postgres RESET default_transaction_read_only")),
        finally: Vec::new(),
        watch: None,
        lease: Duration::seconds(5),
    })
}

#[test]
fn steps_on_postgres_keep_the_laws() {
    let Some(server) = PostgresServer::start(&["max_connections=40"]) else { return };
    server.ask("CREATE TABLE critical_table (x int)");
    let (server, url) = (Rc::new(server), String::new());
    let url = url + &server.url();
    let (first, second, third) = (url.clone(), url.clone(), url.clone());
    let connections = json!({"count": 5});
    let lock = json!({"table": "critical_table", "mode": "EXCLUSIVE"});
    let mut samples = [
        sample(
            "connections",
            &server,
            move |machine, injection| step(machine, &first, injection, "postgres.connections", &connections),
            held,
            None,
        ),
        sample(
            "lock",
            &server,
            move |machine, injection| step(machine, &second, injection, "postgres.lock", &lock),
            |server, _| {
                server.ask("SELECT count(*) FROM pg_locks WHERE relation = 'critical_table'::regclass")
            },
            None,
        ),
        sample(
            "setting",
            &server,
            move |_, injection| read_only(&third, injection),
            |server, _| server.ask(READ_ONLY),
            Some("ALTER DATABASE postgres SET default_transaction_read_only = off"),
        ),
    ];
    let broken = suite::check(&mut Servers::knowing(&url), &mut samples);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
}

#[test]
fn at_the_limit_new_clients_are_refused_and_afterwards_none_is_missing() {
    let Some(server) = PostgresServer::start(&["max_connections=20"]) else { return };
    server.ask("CREATE ROLE app LOGIN");
    let url = format!("postgres://app@127.0.0.1:{}/postgres", server.port);
    let mut machine = Servers::knowing(&url);
    let made = step(&mut machine, &url, "limit-1", "postgres.connections", &json!({"count": 100}));
    let undo = machine.capture(&made, "limit-1").unwrap();
    suite::apply(&mut machine, &made, &undo).unwrap();
    let refused = std::process::Command::new("psql")
        .args([
            "-XAtq",
            "-h",
            "127.0.0.1",
            "-U",
            "app",
            "-p",
            &server.port.to_string(),
            "-c",
            "SELECT 1",
            "postgres",
        ])
        .output()
        .unwrap();
    assert!(!refused.status.success(), "a client was let in");
    // The way in that is kept for operators stays open.
    assert_eq!(held(&server, &mark_of("limit-1")), "17");
    let evidence = machine.observe(&[(&made, &undo)]).remove(0).unwrap();
    assert_eq!((evidence.effect, evidence.measures["held"]), (Effect::Seen, 16.0), "{evidence:?}");
    assert!(matches!(machine.revert(&undo).unwrap(), Reverted::Undone { .. }));
    assert_eq!(held(&server, &mark_of("limit-1")), "0");
}
