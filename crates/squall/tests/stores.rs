//! Faults on caches, with the whole program: what could lose data, and owners that die.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use squall_database::testing::redis::RedisServer;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn experiment(folder: &Path, server: &RedisServer, fault: &str, with: &str) {
    let text = format!(
        "apiVersion: squall.dev/v1\nkind: Experiment\nname: cache\nhypothesis: seen by redis-cli\nmethod:\n  \
         - fault: {fault}\n    target: {{database: \"{}\"}}\n    with: {with}\n    for: 3s\n",
        server.url()
    );
    fs::write(folder.join("cache.yaml"), text).unwrap();
}

fn squall(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
    command.env("SQUALL_STATE", folder.path().join("state")).env_remove("SQUALL_LOG");
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn held(server: &RedisServer) -> usize {
    server.ask("CLIENT LIST").matches("name=squall-").count()
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_could_lose_data_is_refused_unless_that_is_allowed() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    // Words are parted by spaces there.
    let fill = "for\ti=1,20000\tdo\tredis.call('SET','k'..i,string.rep('x',100))\tend";
    server.ask(&format!("EVAL {fill} 0"));
    experiment(folder.path(), &server, "redis.evict", "{percent: 60%}");
    let planned = said(&squall(&folder, &["plan", "cache.yaml"]).output().unwrap());
    assert!(
        planned.contains("could lose data for good") && planned.contains("--allow-data-loss"),
        "{planned}"
    );
    let refused = squall(&folder, &["run", "cache.yaml", "--yes"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("--allow-data-loss"), "{}", said(&refused));
    assert_eq!(
        (server.ask("DBSIZE").as_str(), server.ask("CONFIG GET maxmemory").as_str()),
        ("20000", "maxmemory\n0")
    );
    let allowed = squall(&folder, &["run", "cache.yaml", "--yes", "--allow-data-loss"]).output().unwrap();
    assert_eq!(allowed.status.code(), Some(0), "{}", said(&allowed));
    assert!(server.ask("DBSIZE").parse::<u32>().unwrap() < 20_000);
    assert_eq!(server.ask("CONFIG GET maxmemory"), "maxmemory\n0");
    assert_eq!(server.ask("CONFIG GET maxmemory-policy"), "maxmemory-policy\nnoeviction");
}

#[test]
fn connections_are_given_back_when_their_owner_is_killed() {
    let Some(server) = RedisServer::start(&[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    experiment(folder.path(), &server, "redis.connections", "{count: 50}");
    let text = fs::read_to_string(folder.path().join("cache.yaml")).unwrap();
    fs::write(folder.path().join("cache.yaml"), text.replace("for: 3s", "for: 60s")).unwrap();
    let mut brain = squall(&folder, &["run", "cache.yaml", "--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| held(&server) >= 50);
    brain.kill().unwrap();
    brain.wait().unwrap();
    wait_until(|| held(&server) == 0);
    wait_until(|| server.ask("CONFIG GET tcp-keepalive") == "tcp-keepalive\n300");
}

/// Whether a NATS server answers within a second.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let (mut said, mut room) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&said).contains("PONG") {
            match stream.read(&mut room)? {
                0 => return Ok(false),
                count => said.extend_from_slice(&room[..count]),
            }
        }
        Ok(true)
    };
    ask().unwrap_or(false)
}

#[test]
fn a_broker_stands_still_and_goes_on() {
    let port = squall_database::testing::free_port();
    let mut command = Command::new("/usr/sbin/nats-server");
    command.args(["-a", "127.0.0.1", "-p", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut broker) = command.spawn() else {
        println!("skipped: there is no NATS (Debian: nats-server)");
        return;
    };
    wait_until(|| answers(port));
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/brokers/nats.yaml");
    let variable = format!("port={port}");
    let run = squall(&folder, &["run", example.to_str().unwrap(), "--yes", "--var", &variable])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until(|| !answers(port));
    let output = run.wait_with_output().unwrap();
    let is_well = answers(port);
    broker.kill().unwrap();
    broker.wait().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(is_well, "the broker does not answer afterwards");
}
