//! Steps on a real `MariaDB`, seen by a client that knows nothing of Squall.

use crate::door::{Servers, ended_from_elsewhere, planned, sample, step};
use serde_json::{Value as Json, json};
use squall_database::testing::mariadb::MariaDbServer;
use squall_engine::suite::{self, Sample};
use squall_model::machine::Machine;
use squall_model::server::mark_of;
use squall_model::undo::{Effect, Reverted};
use std::process::{Command, Output};
use std::rc::Rc;

/// Sessions of a mark, by the locks that they hold.
fn held(server: &MariaDbServer, mark: &str) -> String {
    server.ask(&format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE IS_USED_LOCK(CONCAT('{mark} ', ID)) = ID"
    ))
}

fn read_only(server: &MariaDbServer) -> String {
    server.ask("SELECT @@global.read_only")
}

fn fault(
    server: &Rc<MariaDbServer>,
    name: &'static str,
    with: Json,
    look: impl Fn(&MariaDbServer, &str) -> String + Clone + 'static,
    meddle: Option<fn(&MariaDbServer)>,
) -> Sample<Servers> {
    let url = server.url();
    sample(name, server, move |machine, injection| step(machine, &url, injection, name, &with), look, meddle)
}

/// Another client, which comes over the network and may not do everything.
fn as_user(server: &MariaDbServer, text: &str) -> Output {
    let port = format!("-P{}", server.port);
    let mut command = Command::new("timeout");
    command.args(["2", "mariadb", "--no-defaults", "-uapp", "-h127.0.0.1", &port, "-BN", "-e", text]);
    command.output().unwrap()
}

fn with_user(options: &[&str]) -> Option<MariaDbServer> {
    let server = MariaDbServer::start(options)?;
    server.ask(
        "CREATE USER app; CREATE DATABASE shop; CREATE TABLE shop.orders (id int PRIMARY KEY) ENGINE=InnoDB",
    );
    server.ask("GRANT ALL ON shop.* TO app; INSERT INTO shop.orders VALUES (1), (2)");
    Some(server)
}

#[test]
fn steps_on_mariadb_keep_the_laws() {
    let Some(server) = with_user(&[]) else { return };
    let server = Rc::new(server);
    let mut samples = [
        fault(&server, "mysql.connections", json!({"count": 5}), held, None),
        fault(&server, "mysql.slow_queries", json!({"count": 2, "mode": "sleep"}), held, None),
        fault(&server, "mysql.lock", json!({"table": "shop.orders"}), held, None),
        fault(&server, "mysql.lock", json!({"table": "shop.orders", "rows": "id < 2"}), held, None),
        fault(&server, "mysql.long_transaction", json!({"table": "shop.orders"}), held, None),
        fault(
            &server,
            "mysql.readonly",
            json!({}),
            |server, _| read_only(server),
            Some(|server| {
                drop(server.ask("SET GLOBAL read_only = OFF"));
            }),
        ),
    ];
    let broken = suite::check(&mut Servers::knowing(&server.url()), &mut samples);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
}

/// Makes a fault as the hands do, looks at the server by other means, and puts it back.
fn struck(server: &MariaDbServer, fault: &str, with: &Json, look: impl FnOnce(&MariaDbServer)) -> String {
    let url = server.url();
    let mut machine = Servers::knowing(&url);
    let made = planned(&mut machine, &url, "one-1", fault, with).unwrap().remove(0);
    let undo = machine.capture(&made, "one-1").unwrap();
    suite::apply(&mut machine, &made, &undo).unwrap();
    look(server);
    let evidence = machine.observe(&[(&made, &undo)]).remove(0).unwrap();
    assert_eq!(evidence.effect, Effect::Seen, "{fault}: {evidence:?}");
    let reverted = machine.revert(&undo).unwrap();
    assert!(matches!(reverted, Reverted::Undone { .. }), "{fault}: {reverted:?}");
    assert_eq!(held(server, &mark_of("one-1")), "0");
    evidence.summary
}

#[test]
fn each_fault_is_felt_by_other_clients_and_gone_afterwards() {
    let Some(server) = with_user(&["--max-connections=20"]) else { return };
    let insert = "INSERT INTO shop.orders (id) VALUES (7)";
    struck(&server, "mysql.connections", &json!({"count": 100}), |server| {
        let mut refused = as_user(server, "SELECT 1");
        // One was left for whoever looks; a second client finds none.
        if refused.status.success() {
            let held = std::thread::scope(|scope| {
                let other = scope.spawn(|| as_user(server, "SELECT SLEEP(1)"));
                std::thread::sleep(std::time::Duration::from_millis(300));
                refused = as_user(server, "SELECT 1");
                other.join()
            });
            drop(held);
        }
        assert!(String::from_utf8_lossy(&refused.stderr).contains("Too many connections"), "{refused:?}");
    });
    assert!(as_user(&server, "SELECT 1").status.success());
    let says = struck(&server, "mysql.lock", &json!({"table": "shop.orders"}), |server| {
        assert_eq!(as_user(server, "SELECT * FROM shop.orders").status.code(), Some(124));
    });
    assert!(says.starts_with("the lock is held"), "{says}");
    struck(&server, "mysql.lock", &json!({"table": "shop.orders", "rows": "id = 1"}), |server| {
        assert_eq!(as_user(server, "UPDATE shop.orders SET id = 9 WHERE id = 1").status.code(), Some(124));
        assert!(as_user(server, "SELECT * FROM shop.orders").status.success());
    });
    struck(&server, "mysql.long_transaction", &json!({"table": "shop.orders"}), |server| {
        assert_eq!(as_user(server, "ALTER TABLE shop.orders ADD x int").status.code(), Some(124));
    });
    struck(&server, "mysql.readonly", &json!({}), |server| {
        let refused = as_user(server, insert);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("read-only"), "{refused:?}");
    });
    assert_eq!(read_only(&server), "0");
    assert!(as_user(&server, insert).status.success());
    let says = struck(&server, "mysql.slow_queries", &json!({"count": 3}), |server| {
        let running =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%BENCHMARK(500000%'";
        let mut most = 0;
        for _ in 0..20 {
            most = most.max(server.ask(running).parse::<u32>().unwrap_or(0));
        }
        assert!(most >= 3, "{most}");
    });
    assert!(says.contains("queries answered"), "{says}");
    let victim = Command::new("mariadb")
        .args([
            "--no-defaults",
            "-uapp",
            "-h127.0.0.1",
            &format!("-P{}", server.port),
            "-e",
            "SELECT SLEEP(20)",
        ])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while server.ask("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app'") == "0" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let says = struck(&server, "mysql.kill_connections", &json!({"user": "app"}), |server| {
        assert_eq!(held(server, &mark_of("one-1")), "2");
    });
    assert_eq!(says, "1 sessions ended");
    assert!(!victim.wait_with_output().unwrap().status.success());
}

#[test]
fn a_lost_owner_leaves_nothing_and_mariadb_itself_puts_back_what_was_set() {
    let Some(server) = with_user(&[]) else { return };
    let url = server.url();
    let mut owner = Servers::knowing(&url);
    let made = planned(&mut owner, &url, "lost-1", "mysql.readonly", &json!({})).unwrap().remove(0);
    let undo = owner.capture(&made, "lost-1").unwrap();
    suite::apply(&mut owner, &made, &undo).unwrap();
    assert_eq!(read_only(&server), "1");
    // The one that is held goes, as where nothing more is heard of it; the one that waits is still there.
    let holder = server.ask("SELECT IS_USED_LOCK('squall-lost-1 watch')");
    server.ask(&format!("KILL {holder}"));
    for _ in 0..100 {
        if read_only(&server) == "0" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(read_only(&server), "0");
    assert!(!matches!(owner.revert(&undo).unwrap(), Reverted::Drifted(_)));
    assert_eq!(held(&server, &mark_of("lost-1")), "0");
}

#[test]
fn a_replica_falls_behind_and_catches_up() {
    let Some(primary) = with_user(&["--log-bin=log", "--server-id=1"]) else { return };
    let Some(replica) = MariaDbServer::start(&["--server-id=2"]) else { return };
    primary.ask("CREATE USER copy; GRANT REPLICATION SLAVE ON *.* TO copy");
    replica.ask(&format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='copy', MASTER_LOG_FILE='log.000001', \
         MASTER_LOG_POS=4; START SLAVE",
        primary.port
    ));
    let count = || replica.try_ask("SELECT COUNT(*) FROM shop.orders").unwrap_or_default();
    let wait_for = |wanted: &str| {
        for _ in 0..200 {
            if count() == wanted {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(count(), wanted, "{}", replica.ask("SHOW SLAVE STATUS"));
    };
    wait_for("2");
    struck(&replica, "mysql.replication_lag", &json!({}), |_| {
        primary.ask("INSERT INTO shop.orders VALUES (3)");
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(count(), "2");
    });
    wait_for("3");
    // And where its owner dies.
    let url = replica.url();
    let mut owner = Servers::knowing(&url);
    let made = planned(&mut owner, &url, "lost-1", "mysql.replication_lag", &json!({})).unwrap().remove(0);
    let undo = owner.capture(&made, "lost-1").unwrap();
    suite::apply(&mut owner, &made, &undo).unwrap();
    primary.ask("INSERT INTO shop.orders VALUES (4)");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(count(), "3");
    drop(owner);
    wait_for("4");
}

#[test]
fn a_watch_that_somebody_ends_is_made_again_and_the_evidence_says_so() {
    let Some(server) = with_user(&[]) else { return };
    let url = server.url();
    let mut machine = Servers::knowing(&url);
    let made = planned(&mut machine, &url, "seen-1", "mysql.readonly", &json!({})).unwrap().remove(0);
    let undo = machine.capture(&made, "seen-1").unwrap();
    suite::apply(&mut machine, &made, &undo).unwrap();
    let waits = "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'User lock'";
    let first = server.ask(waits);
    server.ask(&format!("KILL {first}"));
    let is_other = || !["", first.as_str()].contains(&server.ask(waits).as_str());
    for _ in 0..200 {
        if is_other() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(is_other(), "{}", server.ask("SHOW PROCESSLIST"));
    // It is told once it is seen to wait.
    let told = |machine: &mut Servers| machine.observe(&[(&made, &undo)]).remove(0).unwrap().summary;
    for _ in 0..100 {
        if told(&mut machine).contains("made again") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(told(&mut machine).ends_with("ended on the server, and made again"), "{}", told(&mut machine));
    assert_eq!(read_only(&server), "1");
    assert!(matches!(machine.revert(&undo).unwrap(), Reverted::Undone { .. }));
    assert_eq!((read_only(&server).as_str(), server.ask(waits).as_str()), ("0", ""));
}

#[test]
fn what_another_host_set_is_found_and_put_back_by_its_name() {
    let Some(server) = with_user(&[]) else { return };
    let found = ended_from_elsewhere(&server.url(), "mysql.readonly", || read_only(&server) == "1");
    assert!(found.contains("named squall-other-1 on "), "{found}");
}
