//! Steps on a real PostgreSQL, seen by a client that knows nothing of Squall.

use crate::door::{Servers, ended_from_elsewhere, planned, sample, step};
use serde_json::{Value as Json, json};
use squall_database::testing::PostgresServer;
use squall_engine::suite::{self, Sample};
use squall_model::facts::{Scope, Subject};
use squall_model::machine::{Machine, MachineError};
use squall_model::server::mark_of;
use squall_model::target::Target;
use squall_model::undo::{Effect, Evidence, Reverted, Undo};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

/// Sessions of a mark, whatever becomes of those that ask.
fn held(server: &PostgresServer, mark: &str) -> String {
    server.ask(&format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{mark}'"))
}

const READ_ONLY: &str = "SELECT split_part(setting, '=', 2) \
                         FROM (SELECT unnest(setconfig) AS setting FROM pg_db_role_setting) AS s \
                         WHERE setting LIKE 'default_transaction_read_only=%'";

const REPLAY: &str = "SELECT pg_get_wal_replay_pause_state() <> 'not paused'";

/// A client that is there until it is ended, and says so by its end.
struct Client(Child);

impl Client {
    fn start(server: &PostgresServer, name: &str, user: &str, text: &str) -> Self {
        let mut command = Command::new("psql");
        command.args(["-XAtq", "-U", user, "-p"]).arg(server.port.to_string()).arg("-h").arg(server.folder());
        command.env("PGAPPNAME", name).args(["-c", text, "postgres"]);
        let client = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let there = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' AND query = $q${text}$q$"
        );
        wait_until("a client is there", || server.ask(&there) != "0");
        client
    }

    fn is_gone(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it did not come to be so within half a minute: {what}");
}

/// A fault as a sample of the suite, with a look at what it does.
fn of(
    server: &Rc<PostgresServer>,
    fault: &'static str,
    with: Json,
    look: impl Fn(&PostgresServer, &str) -> String + Clone + 'static,
    meddle: Option<fn(&PostgresServer)>,
) -> Sample<Servers> {
    let url = server.url();
    sample(
        fault,
        server,
        move |machine, injection| step(machine, &url, injection, fault, &with),
        look,
        meddle,
    )
}

#[test]
fn steps_on_postgres_keep_the_laws() {
    let Some(server) = PostgresServer::start(&["max_connections=40"]) else { return };
    server
        .ask("CREATE TABLE critical_table (x int); INSERT INTO critical_table SELECT generate_series(1, 9)");
    let server = Rc::new(server);
    let locks = |server: &PostgresServer, _: &str| {
        server.ask("SELECT count(*) FROM pg_locks WHERE relation = 'critical_table'::regclass")
    };
    let read_only = |server: &PostgresServer, _: &str| server.ask(READ_ONLY);
    let meddle: fn(&PostgresServer) = |server| {
        drop(server.ask("ALTER DATABASE postgres SET default_transaction_read_only = off"));
    };
    let advisory = |server: &PostgresServer, _: &str| {
        server.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42")
    };
    let mut samples = [
        of(&server, "postgres.connections", json!({"count": 5}), held, None),
        of(&server, "postgres.lock", json!({"table": "critical_table", "mode": "EXCLUSIVE"}), locks, None),
        of(&server, "postgres.lock", json!({"table": "critical_table", "rows": "x < 3"}), locks, None),
        of(&server, "postgres.lock", json!({"advisory": 42}), advisory, None),
        of(&server, "postgres.slow_queries", json!({"concurrency": 3}), held, None),
        of(&server, "postgres.long_transaction", json!({}), held, None),
        of(&server, "postgres.kill_backends", json!({"application": "nobody", "every": "1s"}), held, None),
        of(&server, "postgres.readonly", json!({}), read_only, Some(meddle)),
    ];
    let broken = suite::check(&mut Servers::knowing(&server.url()), &mut samples);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
}

#[test]
fn a_paused_replay_keeps_the_laws() {
    let Some(primary) = PostgresServer::start(&[]) else { return };
    let replica = Rc::new(primary.replica());
    let replay = |server: &PostgresServer, _: &str| server.ask(REPLAY);
    let mut samples = [of(&replica, "postgres.replication_lag", json!({}), replay, None)];
    let broken = suite::check(&mut Servers::knowing(&replica.url()), &mut samples);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
}

/// Plans a fault and carries it out.
fn injected(machine: &mut Servers, url: &str, injection: &str, fault: &str, with: &Json) -> Undo {
    let made = step(machine, url, injection, fault, with);
    let undo = machine.capture(&made, injection).unwrap();
    suite::apply(machine, &made, &undo).unwrap();
    undo
}

/// Looks for the effect until it is there.
fn seen(
    machine: &mut Servers,
    url: &str,
    injection: &str,
    fault: &str,
    with: &Json,
    undo: &Undo,
) -> Evidence {
    let made = step(machine, url, injection, fault, with);
    let mut evidence = None;
    wait_until("an effect is seen", || {
        let found = machine.observe(&[(&made, undo)]).remove(0).unwrap();
        let is_seen = found.effect == Effect::Seen;
        evidence = Some(found);
        is_seen
    });
    evidence.unwrap()
}

#[test]
fn each_fault_shows_its_effect() {
    let Some(server) = PostgresServer::start(&["max_connections=40"]) else { return };
    server.ask("CREATE TABLE t (x int); INSERT INTO t SELECT generate_series(1, 9); CREATE ROLE app LOGIN");
    let url = server.url();
    let mut machine = Servers::knowing(&url);
    for (number, (fault, with, measure, value)) in [
        ("postgres.connections", json!({"count": 7}), "held", 7.0),
        ("postgres.lock", json!({"table": "t"}), "locks", 1.0),
        ("postgres.lock", json!({"table": "t", "rows": "x <= 4"}), "struck", 4.0),
        ("postgres.lock", json!({"advisory": 7}), "locks", 1.0),
        ("postgres.slow_queries", json!({"kind": "sleep", "concurrency": 2}), "active", 1.0),
        ("postgres.slow_queries", json!({"kind": "join", "concurrency": 2}), "active", 1.0),
        ("postgres.long_transaction", json!({}), "holding", 1.0),
        ("postgres.kill_backends", json!({"application": "victim"}), "struck", 1.0),
    ]
    .into_iter()
    .enumerate()
    {
        let mut victim = Client::start(&server, "victim", "app", "SELECT pg_sleep(60)");
        let mut spared = Client::start(&server, "spared", "app", "SELECT pg_sleep(61)");
        let injection = format!("effect-{number}");
        let undo = injected(&mut machine, &url, &injection, fault, &with);
        let evidence = seen(&mut machine, &url, &injection, fault, &with, &undo);
        assert!(evidence.measures[measure] >= value, "{fault} {with}: {evidence:?}");
        assert!(!evidence.summary.contains('{'), "{fault} {with}: {evidence:?}");
        if fault == "postgres.kill_backends" {
            wait_until("the victim is gone", || victim.is_gone());
        } else {
            assert!(!victim.is_gone(), "{fault} ended a client");
        }
        assert!(!spared.is_gone(), "{fault} ended another client");
        let outcome = machine.revert(&undo).unwrap();
        assert!(matches!(outcome, Reverted::Undone { .. }), "{fault} {with}: {outcome:?}");
        assert_eq!(held(&server, &mark_of(&injection)), "0", "{fault}");
    }
}

#[test]
fn rows_that_fit_nothing_are_no_effect() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    server.ask("CREATE TABLE t (x int)");
    let mut machine = Servers::knowing(&server.url());
    let made =
        step(&mut machine, &server.url(), "none-1", "postgres.lock", &json!({"table": "t", "rows": "x < 0"}));
    let undo = machine.capture(&made, "none-1").unwrap();
    suite::apply(&mut machine, &made, &undo).unwrap();
    let evidence = machine.observe(&[(&made, &undo)]).remove(0).unwrap();
    assert_eq!(evidence.effect, Effect::NotSeen, "{evidence:?}");
    machine.revert(&undo).unwrap();
}

#[test]
fn a_read_only_database_refuses_writes_and_its_sessions_begin_anew() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    server.ask(
        "CREATE TABLE t (x int); CREATE ROLE app LOGIN; CREATE ROLE etl LOGIN; GRANT ALL ON t TO app, etl",
    );
    server.ask("ALTER ROLE etl SET default_transaction_read_only = off; ALTER ROLE app SET work_mem = '5MB'");
    let url = server.url();
    let mut machine = Servers::knowing(&url);
    let target = Target::Database(Box::new(url.parse().unwrap()));
    let subject = machine.resolve(Scope::Database, &target).unwrap().remove(0);
    let Subject::Database(facts) = subject else { panic!("{subject:?}") };
    assert_eq!(facts.settings["writers"], "etl");
    let mut before = Client::start(&server, "before", "app", "SELECT pg_sleep(60)");
    let undo = injected(&mut machine, &url, "ro-1", "postgres.readonly", &json!({}));
    wait_until("the session of before is ended", || before.is_gone());
    let write = |user: &str| {
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-U", user, "-p"]).arg(server.port.to_string()).arg("-h").arg(server.folder());
        psql.args(["-c", "INSERT INTO t VALUES (1)", "postgres"]).output().unwrap()
    };
    assert!(write("etl").status.success());
    let refused = write("app");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("read-only transaction"), "{refused:?}");
    let mut meanwhile = Client::start(&server, "meanwhile", "app", "SELECT pg_sleep(62)");
    assert!(matches!(machine.revert(&undo).unwrap(), Reverted::Undone { .. }));
    wait_until("the session that was read-only is ended", || meanwhile.is_gone());
    assert!(write("app").status.success());
}

#[test]
fn sessions_that_feed_a_replica_are_ended_where_they_are_meant_and_begin_anew() {
    let Some(primary) = PostgresServer::start(&[]) else { return };
    let replica = primary.replica();
    let fed_by = || primary.ask("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'");
    wait_until("the replica is fed", || !fed_by().is_empty());
    let before = fed_by();
    let (url, with) = (primary.url(), json!({"kind": "walsender", "user": "postgres"}));
    let mut machine = Servers::knowing(&url);
    let undo = injected(&mut machine, &url, "fed-1", "postgres.kill_backends", &with);
    let evidence = seen(&mut machine, &url, "fed-1", "postgres.kill_backends", &with, &undo);
    assert!(evidence.summary.starts_with("1 sessions were ended"), "{evidence:?}");
    wait_until("the replica is fed anew", || !["", before.as_str()].contains(&fed_by().as_str()));
    assert!(!matches!(machine.revert(&undo).unwrap(), Reverted::Drifted(_)));
    drop(replica);
}

#[test]
fn the_server_itself_puts_settings_back_when_nobody_is_left() {
    let Some(primary) = PostgresServer::start(&[]) else { return };
    let replica = primary.replica();
    let changed = |server: &PostgresServer, ask: &str| !matches!(server.ask(ask).as_str(), "" | "f");
    for (server, fault, ask) in
        [(&primary, "postgres.readonly", READ_ONLY), (&replica, "postgres.replication_lag", REPLAY)]
    {
        let mut machine = Servers::knowing(&server.url());
        let undo = injected(&mut machine, &server.url(), "gone-1", fault, &json!({}));
        assert!(changed(server, ask), "{fault}");
        let mut meanwhile = (fault == "postgres.readonly")
            .then(|| Client::start(server, "meanwhile", "postgres", "SELECT pg_sleep(60)"));
        let begun = std::time::Instant::now();
        // No undo: the sessions end as those of a killed process do.
        drop(machine);
        wait_until(fault, || !changed(server, ask));
        println!("{fault}: put back by the server {:?} after its owner was gone", begun.elapsed());
        if let Some(meanwhile) = &mut meanwhile {
            wait_until("a session that was read-only is ended too", || meanwhile.is_gone());
        }
        wait_until("nobody waits any more", || held(server, &mark_of("gone-1")) == "0");
        let outcome = Servers::knowing(&server.url()).revert(&undo).unwrap();
        assert!(matches!(outcome, Reverted::AlreadyGone { .. }), "{outcome:?}");
    }
}

#[test]
fn what_cannot_be_done_is_told_before_anything_is_with_a_remedy() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    server.ask(
        "CREATE TABLE t (x int); CREATE VIEW v AS SELECT 1; CREATE TABLE own (x int); CREATE ROLE app LOGIN; \
         CREATE ROLE other LOGIN; GRANT SELECT ON t TO app; ALTER TABLE own OWNER TO app",
    );
    let _victim = Client::start(&server, "victim", "other", "SELECT pg_sleep(60)");
    let _superuser = Client::start(&server, "root", "postgres", "SELECT pg_sleep(60)");
    for (user, fault, with, told) in [
        ("app", "postgres.lock", json!({"table": "nothing"}), "there is no table \"nothing\""),
        ("app", "postgres.lock", json!({"table": "v"}), "is no table"),
        ("app", "postgres.lock", json!({"table": "t"}), "GRANT UPDATE ON \"t\" TO app"),
        ("app", "postgres.lock", json!({"table": "t", "rows": "x = 1"}), "GRANT SELECT, UPDATE"),
        ("app", "postgres.lock", json!({"table": "own", "rows": "y = 1"}), "column \"y\" does not exist"),
        ("app", "postgres.kill_backends", json!({"application": "victim"}), "GRANT pg_signal_backend TO app"),
        ("app", "postgres.kill_backends", json!({"state": "idle"}), "GRANT pg_"),
        ("app", "postgres.kill_backends", json!({"user": "postgres"}), "may not end sessions of others"),
        ("app", "postgres.readonly", json!({}), "as its owner or a superuser"),
        ("app", "postgres.replication_lag", json!({}), "is no replica"),
        ("nobody", "postgres.connections", json!({"count": 1}), "name a user that is there"),
    ] {
        let url = format!("postgres://{user}@127.0.0.1:{}/postgres", server.port);
        let mut machine = Servers::knowing(&url);
        let error = match planned(&mut machine, &url, "told-1", fault, &with) {
            Ok(made) => machine.capture(&made[0], "told-1").unwrap_err().to_string(),
            Err(error) => error,
        };
        assert!(error.contains(told), "{user} {fault} {with}: {error}");
    }
    for (user, fault, with) in [
        ("app", "postgres.lock", json!({"table": "own"})),
        ("app", "postgres.lock", json!({"table": "t", "mode": "ACCESS SHARE"})),
        ("app", "postgres.kill_backends", json!({"user": "app"})),
        ("postgres", "postgres.readonly", json!({})),
    ] {
        let url = format!("postgres://{user}@127.0.0.1:{}/postgres", server.port);
        let mut machine = Servers::knowing(&url);
        let made = step(&mut machine, &url, "told-2", fault, &with);
        assert!(machine.capture(&made, "told-2").is_ok(), "{user} {fault} {with}");
    }
}

#[test]
fn a_lock_that_cannot_be_had_is_told_with_who_holds_it() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    server.ask("CREATE TABLE t (x int); INSERT INTO t VALUES (1)");
    let _holder = Client::start(
        &server,
        "nightly-report",
        "postgres",
        "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT pg_advisory_xact_lock(9); SELECT pg_sleep(60)",
    );
    let url = server.url();
    let mut machine = Servers::knowing(&url);
    for (number, with) in [json!({"table": "t"}), json!({"advisory": 9})].iter().enumerate() {
        let injection = format!("held-{number}");
        let made = step(&mut machine, &url, &injection, "postgres.lock", with);
        let undo = machine.capture(&made, &injection).unwrap();
        let error = suite::apply(&mut machine, &made, &undo).unwrap_err();
        let MachineError::Failed { message } = &error else { panic!("{error:?}") };
        for part in ["nightly-report", "user postgres", "pg_terminate_backend("] {
            assert!(message.contains(part), "{message}");
        }
        machine.revert(&undo).unwrap();
        assert_eq!(held(&server, &mark_of(&injection)), "0");
    }
}

#[test]
fn at_the_limit_new_clients_are_refused_and_afterwards_none_is_missing() {
    let Some(server) = PostgresServer::start(&["max_connections=20"]) else { return };
    server.ask("CREATE ROLE app LOGIN");
    let url = format!("postgres://app@127.0.0.1:{}/postgres", server.port);
    let mut machine = Servers::knowing(&url);
    let with = json!({"count": 100});
    let made = step(&mut machine, &url, "limit-1", "postgres.connections", &with);
    let undo = machine.capture(&made, "limit-1").unwrap();
    suite::apply(&mut machine, &made, &undo).unwrap();
    let lets_in = || {
        let mut command = Command::new("psql");
        command.args(["-XAtq", "-h", "127.0.0.1", "-U", "app", "-p", &server.port.to_string()]);
        command.args(["-c", "SELECT 1", "postgres"]).output().unwrap().status.success()
    };
    // The one who planned may still be counted when the first are opened.
    assert!((0..200).any(|_| !lets_in()), "clients are let in");
    // The way in that is kept for operators stays open.
    assert_eq!(held(&server, &mark_of("limit-1")), "17");
    let evidence = machine.observe(&[(&made, &undo)]).remove(0).unwrap();
    assert_eq!((evidence.effect, evidence.measures["held"]), (Effect::Seen, 16.0), "{evidence:?}");
    assert!(matches!(machine.revert(&undo).unwrap(), Reverted::Undone { .. }));
    assert_eq!(held(&server, &mark_of("limit-1")), "0");
    assert!(lets_in());
}

#[test]
fn what_another_host_set_is_found_and_put_back_by_its_name() {
    let Some(server) = PostgresServer::start(&[]) else { return };
    let is_set = || server.ask("SELECT count(*) FROM pg_db_role_setting") == "1";
    let found = ended_from_elsewhere(&server.url(), "postgres.readonly", is_set);
    assert!(found.contains("2 sessions named squall-other-1 on "), "{found}");
}
