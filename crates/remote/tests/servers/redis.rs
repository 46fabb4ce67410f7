//! Steps on a real Redis, seen by a client that knows nothing of Squall.

use crate::door::{Servers, ended_from_elsewhere, planned, sample};
use serde_json::{Value as Json, json};
use squall_database::testing::redis::RedisServer;
use squall_engine::suite::{self, Sample};
use squall_model::machine::Machine;
use squall_model::server::mark_of;
use squall_model::undo::{Effect, Reverted};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Sessions of a mark.
fn held(server: &RedisServer, mark: &str) -> String {
    server.ask("CLIENT LIST").matches(&format!("name={mark} ")).count().to_string()
}

fn value(server: &RedisServer, name: &str) -> String {
    server.ask(&format!("CONFIG GET {name}")).replace('\n', " ")
}

/// A fault on the server, seen by `look`.
fn fault(
    server: &Rc<RedisServer>,
    name: &'static str,
    with: Json,
    look: impl Fn(&RedisServer, &str) -> String + Clone + 'static,
    meddle: Option<fn(&RedisServer)>,
) -> Sample<Servers> {
    let url = server.url();
    sample(
        name,
        server,
        move |machine, injection| last_step(machine, &url, injection, name, &with),
        look,
        meddle,
    )
}

/// What a fault does last: what is done before it only prepares.
fn last_step(
    machine: &mut Servers,
    url: &str,
    injection: &str,
    fault: &str,
    with: &Json,
) -> squall_model::step::Step {
    planned(machine, url, injection, fault, with).unwrap().pop().unwrap()
}

#[test]
fn steps_on_redis_keep_the_laws() {
    let Some(server) = RedisServer::start(&["--maxmemory", "100mb"]) else { return };
    let server = Rc::new(server);
    let mut samples = [
        fault(&server, "redis.connections", json!({"count": 5}), held, None),
        fault(&server, "redis.pause", json!({"mode": "write"}), held, None),
        fault(&server, "redis.slow", json!({"delay": "20ms"}), held, None),
        fault(
            &server,
            "redis.memory",
            json!({"percent": "50%"}),
            |server, _| value(server, "maxmemory"),
            Some(|server| {
                drop(server.ask("CONFIG SET maxmemory 90mb"));
            }),
        ),
        fault(
            &server,
            "redis.readonly_replica",
            json!({}),
            |server, _| value(server, "min-replicas-to-write"),
            None,
        ),
        fault(
            &server,
            "redis.evict",
            json!({"percent": "50%"}),
            |server, _| value(server, "maxmemory"),
            None,
        ),
    ];
    let broken = suite::check(&mut Servers::knowing(&server.url()), &mut samples);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
}

/// Makes a fault as the hands do, looks at the server by other means, and puts it back.
fn struck(server: &RedisServer, fault: &str, with: &Json, look: impl FnOnce(&RedisServer)) -> String {
    let url = server.url();
    let mut machine = Servers::knowing(&url);
    let made = planned(&mut machine, &url, "one-1", fault, with).unwrap();
    let mut undos = Vec::new();
    for step in &made {
        undos.push(machine.capture(step, "one-1").unwrap());
        suite::apply(&mut machine, step, &undos[undos.len() - 1]).unwrap();
    }
    look(server);
    let last = [(&made[made.len() - 1], &undos[undos.len() - 1])];
    let evidence = machine.observe(&last).remove(0).unwrap();
    assert_eq!(evidence.effect, Effect::Seen, "{fault}: {evidence:?}");
    for undo in undos.iter().rev() {
        let reverted = machine.revert(undo).unwrap();
        assert!(matches!(reverted, Reverted::Undone { .. }), "{fault}: {reverted:?}");
    }
    assert_eq!(held(server, &mark_of("one-1")), "0");
    evidence.summary
}

fn took(deed: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    deed();
    begun.elapsed()
}

#[test]
fn each_fault_is_felt_by_other_clients_and_gone_afterwards() {
    let Some(server) = RedisServer::start(&["--maxclients", "30"]) else { return };
    server.ask("SET k v");
    struck(&server, "redis.connections", &json!({"count": 1000}), |server| {
        assert!(server.try_ask("PING").is_ok_and(|said| said.contains("max number of clients")));
    });
    assert_eq!(
        (server.ask("PING").as_str(), value(&server, "tcp-keepalive").as_str()),
        ("PONG", "tcp-keepalive 300")
    );
    struck(&server, "redis.pause", &json!({"mode": "write"}), |server| {
        assert_eq!(server.ask("GET k"), "v");
        assert!(waits(server, "1.2", &["SET", "k", "w"]), "a write went through");
    });
    assert_eq!(server.ask("SET k v"), "OK");
    struck(&server, "redis.memory", &json!({"percent": "50%"}), |server| {
        assert!(server.ask("SET x y").contains("OOM"));
        assert_eq!(server.ask("GET k"), "v");
    });
    struck(&server, "redis.readonly_replica", &json!({}), |server| {
        assert!(server.ask("SET x y").contains("NOREPLICAS"));
    });
    assert_eq!(server.ask("SET x y"), "OK");
    let says = struck(&server, "redis.slow", &json!({"delay": "300ms", "every": "100ms"}), |server| {
        let slowest = (0..10).map(|_| took(|| drop(server.ask("PING")))).max().unwrap();
        assert!(slowest > Duration::from_millis(100), "{slowest:?}");
    });
    assert!(says.starts_with("busy for"), "{says}");
}

/// Whether a command of another client waits for longer than this.
fn waits(server: &RedisServer, seconds: &str, words: &[&str]) -> bool {
    let mut command = std::process::Command::new("timeout");
    command.args([seconds, "redis-cli", "-p", &server.port.to_string()]).args(words);
    !command.output().unwrap().status.success()
}

/// While everything waits nobody can look, so this is no part of the laws.
#[test]
fn a_pause_of_all_is_whole_and_ends_with_its_owner() {
    let Some(server) = RedisServer::start(&[]) else { return };
    struck(&server, "redis.pause", &json!({}), |server| assert!(waits(server, "3", &["PING"])));
    assert_eq!(server.ask("PING"), "PONG");
    let mut owner = Servers::knowing(&server.url());
    let step = planned(&mut owner, &server.url(), "two-1", "redis.pause", &json!({})).unwrap().remove(0);
    let undo = owner.capture(&step, "two-1").unwrap();
    suite::apply(&mut owner, &step, &undo).unwrap();
    assert!(waits(&server, "2", &["PING"]));
    drop(owner);
    let mut heir = Servers::knowing(&server.url());
    let reverted = heir.revert(&undo).unwrap();
    assert!(!matches!(reverted, Reverted::Drifted(_)), "{reverted:?}");
    assert!(!waits(&server, "1", &["PING"]));
}

#[test]
fn clients_are_closed_and_ours_are_not() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let mut victim = std::process::Command::new("redis-cli")
        .args(["-p", &server.port.to_string(), "BLPOP", "none", "0"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !server.ask("CLIENT LIST").contains("cmd=blpop") {
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = server.ask("CLIENT LIST");
    let id =
        before.lines().find(|line| line.contains("cmd=blpop")).unwrap().split(' ').next().unwrap().to_owned();
    let says = struck(&server, "redis.kill_clients", &json!({"source": "127.0.0.1"}), |server| {
        assert!(!server.ask("CLIENT LIST").contains(&format!("{id} ")));
        assert_eq!(held(server, &mark_of("one-1")), "2");
    });
    assert_eq!(says, "1 connections closed");
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn what_was_evicted_before_is_no_effect() {
    let Some(server) = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    // Words are parted by spaces there.
    server.ask("EVAL for\ti=1,20000\tdo\tredis.call('SET','k'..i,string.rep('x',100))\tend 0");
    server.ask("CONFIG SET maxmemory 2mb");
    let is_none_evicted = || server.ask("INFO stats").lines().any(|line| line.trim() == "evicted_keys:0");
    while is_none_evicted() {
        server.ask("SET one more");
    }
    server.ask("CONFIG SET maxmemory 100mb");
    let mut machine = Servers::knowing(&server.url());
    let step = last_step(&mut machine, &server.url(), "later-1", "redis.evict", &json!({"size": "90MB"}));
    let undo = machine.capture(&step, "later-1").unwrap();
    suite::apply(&mut machine, &step, &undo).unwrap();
    let evidence = machine.observe(&[(&step, &undo)]).remove(0).unwrap();
    assert_eq!(evidence.effect, Effect::NotSeen, "{evidence:?}");
    assert!(matches!(machine.revert(&undo).unwrap(), Reverted::Undone { .. }));
}

#[test]
fn one_watch_puts_back_all_that_was_set_what_was_set_last_first() {
    let Some(server) = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    // Words are parted by spaces there.
    server.ask("EVAL for\ti=1,20000\tdo\tredis.call('SET','k'..i,string.rep('x',100))\tend 0");
    let url = server.url();
    let mut owner = Servers::knowing(&url);
    let made = planned(&mut owner, &url, "lost-1", "redis.memory", &json!({"percent": "50%"})).unwrap();
    for step in &made {
        let undo = owner.capture(step, "lost-1").unwrap();
        suite::apply(&mut owner, step, &undo).unwrap();
    }
    let set = || [value(&server, "maxmemory"), value(&server, "maxmemory-policy")];
    assert!(set()[0] != "maxmemory 0" && set()[1] == "maxmemory-policy noeviction", "{:?}", set());
    // It is renewed within a lease, and holds what it put in.
    std::thread::sleep(Duration::from_secs(6));
    assert!(set()[0] != "maxmemory 0", "{:?}", set());
    // As though the time were over: nobody was there to renew it.
    while set() != ["maxmemory 0", "maxmemory-policy allkeys-lru"] {
        let clients = server.ask("CLIENT LIST");
        for client in clients.lines().filter(|line| line.contains("cmd=wait")) {
            let id = client.split(' ').next().unwrap().strip_prefix("id=").unwrap();
            server.ask(&format!("CLIENT UNBLOCK {id}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.ask("DBSIZE"), "20000");
}

#[test]
fn what_another_host_set_is_found_and_put_back_by_its_name() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let is_set = || value(&server, "min-replicas-to-write") != "min-replicas-to-write 0";
    let found = ended_from_elsewhere(&server.url(), "redis.readonly_replica", is_set);
    assert!(found.contains("a session named squall-other-1 on "), "{found}");
}
