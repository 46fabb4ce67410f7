//! Faults on a real PostgreSQL, from outside: under load, with each of Squall's processes killed, and with the network gone.

use crate::lab::{
    Cable, Desk, Killed, Run, Seeing, Seen, Strike, each_outlives_no_network, each_outlives_nobody,
};
use crate::support::{Ended, wait_until};
use squall_database::testing::{PostgresServer, Setup};
use std::process::{Command, Stdio};

/// Faults by their parameters, and how they are seen on the server. All but the last are on a primary.
const FAULTS: &[(&str, &str, Option<&str>)] = &[
    ("postgres.connections", "{count: 12}", None),
    (
        "postgres.lock",
        "{table: critical, mode: EXCLUSIVE}",
        Some(
            "SELECT count(*) FROM pg_locks WHERE relation = 'critical'::regclass AND mode = 'ExclusiveLock' AND granted",
        ),
    ),
    (
        "postgres.lock",
        "{table: critical, rows: x < 5}",
        Some(
            "SELECT count(*) FROM pg_locks WHERE relation = 'critical'::regclass AND mode = 'RowShareLock' AND granted",
        ),
    ),
    (
        "postgres.lock",
        "{advisory: 4711}",
        Some("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND granted"),
    ),
    ("postgres.slow_queries", "{concurrency: 3}", None),
    ("postgres.slow_queries", "{kind: join, concurrency: 2}", None),
    (
        "postgres.long_transaction",
        "{}",
        Some(
            "SELECT count(backend_xmin) FROM pg_stat_activity WHERE application_name LIKE 'squall-%' \
         AND state = 'idle in transaction'",
        ),
    ),
    ("postgres.kill_backends", "{application: nobody, every: 500ms}", None),
    ("postgres.readonly", "{}", Some("SELECT count(*) FROM pg_db_role_setting")),
    ("postgres.replication_lag", "{}", Some("SELECT pg_is_wal_replay_paused()::int")),
];

const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'squall-%'";

impl Seen for PostgresServer {
    fn url(&self, host: &str) -> String {
        format!("postgres://postgres@{host}:{}/postgres", self.port)
    }
    fn ask(&self, text: &str) -> String {
        // What is put back right now may end the session of whoever asks, too.
        self.try_ask(text).unwrap_or_else(|_| self.ask(text))
    }
    fn sessions(&self) -> usize {
        Seen::ask(self, SESSIONS).parse().unwrap()
    }
}

/// All faults, on a primary and its replica, each with its host.
fn faults<'s>(
    primary: (&'s PostgresServer, &'s str),
    replica: (&'s PostgresServer, &'s str),
) -> Vec<Seeing<'s>> {
    let seeing = |(fault, with, seen_by): &(&'static str, &'static str, Option<&'static str>)| {
        let (server, host) = if *fault == "postgres.replication_lag" { replica } else { primary };
        Seeing { server, host, fault, with, seen_by: *seen_by }
    };
    FAULTS.iter().map(seeing).collect()
}

fn prepared(setup: &Setup<'_>) -> Option<PostgresServer> {
    let server = PostgresServer::start_as(setup)?;
    server.ask("CREATE TABLE critical (x int); INSERT INTO critical SELECT generate_series(1, 9)");
    Some(server)
}

fn killed(who: Killed) {
    let Some(server) = prepared(&Setup { settings: &["max_connections=40"], ..Setup::default() }) else {
        return;
    };
    let replica = server.replica();
    each_outlives_nobody(who, &faults((&server, "127.0.0.1"), (&replica, "127.0.0.1")));
}

#[test]
fn nothing_outlives_a_killed_agent() {
    killed(Killed::Agent);
}

#[test]
fn nothing_outlives_killed_brain_and_agent() {
    killed(Killed::BrainAndAgent);
}

#[test]
fn nothing_outlives_all_three_and_recover_closes_the_books() {
    killed(Killed::All);
}

#[test]
fn nothing_outlives_the_network_between_them() {
    let (Some(one), Some(other)) = (Cable::lay("one", 0), Cable::lay("other", 1)) else { return };
    let at = |cable: &Cable| (cable.namespace.clone(), cable.address.clone());
    let ((space, address), (other_space, other_address)) = (at(&one), at(&other));
    let believed = "host all all 0.0.0.0/0 trust";
    let settings = &["max_connections=40"][..];
    let namespace = Some((space.as_str(), address.as_str()));
    let Some(server) = prepared(&Setup { settings, admitted: Some(believed), namespace, ..Setup::default() })
    else {
        return;
    };
    let replica =
        server.replica_as(&Setup { namespace: Some((&other_space, &other_address)), ..Setup::default() });
    each_outlives_no_network(&[&one, &other], &faults((&server, &address), (&replica, &other_address)));
}

/// A program of PostgreSQL's that puts load on it, as a user without privileges.
fn pgbench(server: &PostgresServer, arguments: &[&str]) -> Command {
    let mut command = Command::new("pgbench");
    command
        .args(["-h", "127.0.0.1", "-U", "app", "-p", &server.port.to_string()])
        .args(arguments)
        .arg("postgres");
    command.stdin(Stdio::null());
    command
}

#[test]
fn under_load_connections_and_locks_are_felt_and_none_is_missing_afterwards() {
    let Some(server) = prepared(&Setup { settings: &["max_connections=30"], ..Setup::default() }) else {
        return;
    };
    server.ask("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app");
    assert!(pgbench(&server, &["-i", "-q", "-s", "1"]).output().unwrap().status.success());
    let target = format!("{{database: \"postgres://app@127.0.0.1:{}/postgres\"}}", server.port);
    let load =
        pgbench(&server, &["-n", "-c", "4", "-T", "600"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut load = Ended(load.unwrap());
    let done = || -> u64 {
        server.ask("SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'").parse().unwrap()
    };
    let lets_in = || pgbench(&server, &["-n", "-S", "-t", "1"]).output().unwrap().status.success();
    wait_until(|| {
        server.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'") == "4"
    });
    let strike = Strike { fault: "postgres.connections", target: &target, with: "{count: 100}", lasts: "5m" };
    let mut run = Run::start(&strike);
    wait_until(|| !lets_in());
    assert!(load.0.try_wait().unwrap().is_none(), "clients that were there are gone");
    run.kill(Killed::BrainAndAgent);
    wait_until(lets_in);
    wait_until(|| server.ask(SESSIONS) == "0");
    // All of them can be had again.
    let clients = pgbench(&server, &["-n", "-S", "-c", "20", "-t", "10"]).output().unwrap();
    assert!(clients.status.success(), "{clients:?}");

    let locked = "SELECT count(*) FROM pg_locks WHERE relation = 'pgbench_accounts'::regclass \
                  AND mode = 'AccessExclusiveLock' AND granted";
    let with = "{table: pgbench_accounts, mode: ACCESS EXCLUSIVE}";
    let mut run = Run::start(&Strike { fault: "postgres.lock", target: &target, with, lasts: "3s" });
    wait_until(|| server.ask(locked) == "1" || run.has("verdict"));
    let code = run.code();
    assert_eq!(code, 0, "{}", run.told());
    assert_eq!(server.ask(locked), "0");
    let looked = run.events().into_iter().filter(|event| event.to_string().contains("sessions wait")).count();
    assert!(looked > 0, "{:?}", run.events());
    let before = done();
    wait_until(|| done() > before + 100);
    assert!(load.0.try_wait().unwrap().is_none(), "the load has ended");
}

#[test]
fn a_server_that_stands_still_goes_on_when_its_agent_is_killed() {
    let Some(server) = prepared(&Setup::default()) else { return };
    let mut session = Command::new("psql");
    session.args(["-XAtq", "-h", "127.0.0.1", "-U", "postgres", "-p", &server.port.to_string()]);
    session.args(["-c", "SELECT pg_sleep(600)", "postgres"]).stdout(Stdio::null()).stderr(Stdio::null());
    let _session = Ended(session.spawn().unwrap());
    let sleeping = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND pid <> pg_backend_pid()";
    wait_until(|| !server.ask(sleeping).is_empty());
    let all = [server.pid(), server.ask(sleeping).parse().unwrap()];
    let stands_still = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    };
    let target = format!("{{process: {{pid: {}}}}}", server.pid());
    for who in [Killed::Agent, Killed::BrainAndAgent] {
        let strike = Strike { fault: "postgres.failover", target: &target, with: "{}", lasts: "5m" };
        let mut run = Run::start(&strike);
        wait_until(|| all.iter().all(stands_still));
        run.kill(who);
        wait_until(|| !all.iter().any(stands_still));
        assert_eq!(server.ask("SELECT 1"), "1");
        wait_until(|| !run.owes());
    }
}

#[test]
fn what_another_host_left_is_found_and_ended_by_its_name() {
    let Some(server) = prepared(&Setup::default()) else { return };
    let lost = |_| {
        let mut session = Command::new("psql");
        session.args(["-XAtq", "-h", "127.0.0.1", "-U", "postgres", "-p", &server.port.to_string()]);
        session.args(["-c", "SELECT pg_sleep(600)", "postgres"]).env("PGAPPNAME", "squall-lost-1-abcd");
        Ended(session.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let _sessions: Vec<Ended> = (0..3).map(lost).collect();
    wait_until(|| server.ask(SESSIONS) == "3");
    let desk = Desk::new();
    let url = server.url();
    let found = desk.squall(&["leftovers", "--database", &url]);
    let told = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(told.contains("3 sessions named squall-lost-1-abcd") && !found.status.success(), "{found:?}");
    let ended = desk.squall(&["recover", "--database", &url]);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(server.ask(SESSIONS), "0");
    assert!(desk.squall(&["leftovers", "--database", &url]).status.success());
}
