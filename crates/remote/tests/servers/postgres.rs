//! Steps on a real PostgreSQL, seen by a client that knows nothing of Squall.

use crate::door::{Servers, sample, step};
use serde_json::json;
use squall_database::testing::PostgresServer;
use squall_engine::suite;
use squall_model::machine::Machine;
use squall_model::server::{ServerUrl, SettingStep, Statement, mark_of};
use squall_model::step::Step;
use squall_model::undo::{Effect, Reverted};
use squall_model::units::Duration;
use std::rc::Rc;

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
            |server: &PostgresServer, _: &str| server.ask(READ_ONLY),
            Some(|server| {
                drop(server.ask("ALTER DATABASE postgres SET default_transaction_read_only = off"));
            }),
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
    let lets_in = || {
        let mut command = std::process::Command::new("psql");
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
}
