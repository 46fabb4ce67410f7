//! Faults on a real RabbitMQ, from outside: publishers that are blocked, connections that are closed, and each of Squall's
//! processes killed.

use crate::lab::{Desk, Killed, LEASE, Run, Strike};
use crate::support::{Ended, wait_until};
use serde_json::Value;
use squall_database::testing::rabbitmq::RabbitServer;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A client of the broker that knows nothing of Squall.
struct Client {
    _process: Ended,
    log: PathBuf,
}

impl Client {
    /// One that publishes to the queue; one whose name begins with `idle` does not.
    fn start(server: &RabbitServer, folder: &TempDir, name: &str, queue: &str) -> Self {
        let log = folder.path().join(format!("{name}.txt"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/databases/publisher.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).args([name, &server.port.to_string(), queue]).stdin(Stdio::null());
        command.stdout(fs::File::create(&log).unwrap()).stderr(Stdio::null());
        Self { _process: Ended(command.spawn().unwrap()), log }
    }

    fn confirmed(&self) -> usize {
        fs::read_to_string(&self.log).unwrap().lines().count()
    }

    fn goes_on(&self) {
        let before = self.confirmed();
        wait_until(|| self.confirmed() > before);
    }
}

fn is_alarmed(server: &RabbitServer) -> bool {
    server.management("GET", "/api/health/checks/alarms").starts_with("503")
}

/// Who is connected, and in what state, as its management tells.
fn connections(server: &RabbitServer) -> Vec<String> {
    let told = server.management("GET", "/api/connections?columns=user_provided_name,state");
    let list: Vec<Value> = serde_json::from_str(told.strip_prefix("200 ").unwrap()).unwrap();
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or("?").to_owned();
    list.iter().map(|one| format!("{} {}", text(one, "user_provided_name"), text(one, "state"))).collect()
}

fn target(url: &str) -> String {
    format!("{{database: \"{url}\"}}")
}

/// The broker takes ten seconds to start, and an alarm is everybody's: all is done on one, after each other.
#[test]
fn what_is_done_to_rabbitmq_is_felt_by_its_clients_and_gone_whoever_dies() {
    if !Path::new("/usr/lib/python3/dist-packages/pika/__init__.py").exists() {
        println!("skipped: there is no client of RabbitMQ (Debian: python3-pika)");
        return;
    }
    let Some(server) = RabbitServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let publisher = Client::start(&server, &folder, "shop", "orders");
    wait_until(|| publisher.confirmed() > 0);
    alarms_block_publishers_until_they_end(&server, &publisher);
    for (fault, who) in [
        ("rabbitmq.memory_alarm", Killed::Agent),
        ("rabbitmq.disk_alarm", Killed::BrainAndAgent),
        ("rabbitmq.memory_alarm", Killed::All),
        ("rabbitmq.disk_alarm", Killed::All),
        ("rabbitmq.memory_alarm", Killed::Stopped),
    ] {
        no_alarm_outlives(&server, &publisher, fault, who);
    }
    drop(publisher);
    connections_are_closed_and_others_are_not(&server, &folder);
    a_queue_is_purged_only_where_that_is_allowed(&server);
    what_is_thrown_away_of_a_young_queue_is_true_or_unknown(&server);
    what_does_not_exist_is_refused_when_planning(&server);
    an_address_at_which_nothing_listens_is_told(&server);
    what_is_owed_is_put_back_from_another_environment(&server);
    what_another_host_left_is_found_and_ended(&server);
    let log = server.log();
    assert!(!log.contains("crash"), "{log}");
}

fn alarms_block_publishers_until_they_end(server: &RabbitServer, publisher: &Client) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/brokers/rabbitmq.yaml");
    let desk = Desk::new();
    let variables = [
        format!("port={}", server.port),
        format!("management={}", server.management),
        format!("cookie={}", server.cookie().display()),
    ];
    let mut arguments = vec!["run", example.to_str().unwrap(), "--yes"];
    variables.iter().for_each(|variable| arguments.extend(["--var", variable]));
    // Its node is found by the broker's own `epmd`.
    let ran = desk.squall_with(&arguments, &[("ERL_EPMD_PORT", &server.epmd_port.to_string())]);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert!(!is_alarmed(server));
    publisher.goes_on();
}

/// Raises an alarm, does something to those who did, and waits until the broker is free of it.
fn no_alarm_outlives(server: &RabbitServer, publisher: &Client, fault: &str, who: Killed) {
    let limits =
        "{vm_memory_monitor:get_vm_memory_high_watermark(), rabbit_disk_monitor:get_disk_free_limit()}.";
    let before = server.eval(limits);
    let mut run = Run::start(&Strike { fault, target: &target(&server.url()), with: "{}", lasts: "5m" });
    assert!(is_alarmed(server));
    wait_until(|| connections(server).contains(&"shop blocked".to_owned()));
    let confirmed = publisher.confirmed();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(publisher.confirmed(), confirmed, "a blocked publisher went on");
    let begun = Instant::now();
    run.kill(who);
    wait_until(|| !is_alarmed(server));
    let took = begun.elapsed();
    let judged =
        if took > LEASE + Duration::from_secs(1) { ", later than the lease and a second" } else { "" };
    println!("killed: {who:?}: {fault}: free after {:.2} s{judged}", took.as_secs_f64());
    publisher.goes_on();
    if matches!(who, Killed::Stopped) {
        run.kill(Killed::All);
    }
    if matches!(who, Killed::All | Killed::Stopped) {
        run.recover();
    }
    wait_until(|| !run.owes());
    assert_eq!(server.eval(limits), before);
    assert_eq!(
        server.eval("[Name || Name <- registered(), lists:prefix(\"squall\", atom_to_list(Name))]."),
        "[]"
    );
}

fn connections_are_closed_and_others_are_not(server: &RabbitServer, folder: &TempDir) {
    let clients = ["idle-1", "idle-2", "idle-3", "idle-4", "squall-idle", "shop"];
    let _clients = clients.map(|name| Client::start(server, folder, name, "orders"));
    let count = || connections(server).iter().filter(|line| line.starts_with("idle")).count();
    wait_until(|| connections(server).len() == clients.len());
    for (with, left) in [("{application: idle*, at_most: 1}", 3), ("{application: idle-*, percent: 50%}", 1)]
    {
        let fault = "rabbitmq.kill_connections";
        // By the management alone, as most users can.
        let target = target(&server.url_without_cookie());
        let mut run = Run::start(&Strike { fault, target: &target, with, lasts: "2s" });
        wait_until(|| count() == left);
        assert_eq!(run.code(), 0, "{}", run.told());
    }
    let mut all = Run::start(&Strike {
        fault: "rabbitmq.kill_connections",
        target: &target(&server.url()),
        with: "{user: guest, every: 500ms}",
        lasts: "2s",
    });
    assert_eq!(all.code(), 0, "{}", all.told());
    assert_eq!(connections(server), ["squall-idle running"], "Squall's own are spared");
    assert!(!all.told().contains("guest:guest"));
}

fn a_queue_is_purged_only_where_that_is_allowed(server: &RabbitServer) {
    let waiting = || server.ask(&["list_queues", "messages_ready", "--no-table-headers"]);
    let count: u32 = waiting().parse().unwrap();
    assert!(count > 0);
    let desk = Desk::new();
    desk.write(&Strike {
        fault: "rabbitmq.purge",
        target: &target(&server.url_without_cookie()),
        with: "{queue: orders}",
        lasts: "1s",
    });
    let said = |arguments: &[&str]| {
        let output = desk.squall(arguments);
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (output.status.code(), told.concat())
    };
    let mut planned = said(&["plan", "strike.yaml"]).1;
    // Statistics come once a second.
    wait_until(|| {
        planned = said(&["plan", "strike.yaml"]).1;
        planned.contains(&format!(": {count}, as the broker"))
    });
    assert!(
        planned.contains("PURGE QUEUE orders IN /") && planned.contains("--allow-data-loss"),
        "{planned}"
    );
    let (code, told) = said(&["run", "strike.yaml", "--yes"]);
    assert!(code == Some(2) && told.contains("--allow-data-loss"), "{told}");
    assert_eq!(waiting(), count.to_string());
    let (code, told) = said(&["run", "strike.yaml", "--yes", "--allow-data-loss"]);
    assert!(code == Some(0) && told.contains(&format!("unknown ({count} as its statistics")), "{told}");
    assert_eq!(waiting(), "0");
}

/// What a strike said on both streams, and with which code.
fn ran(arguments: &[&str], fault: &str, url: &str, with: &str) -> (Option<i32>, String) {
    let desk = Desk::new();
    desk.write(&Strike { fault, target: &target(url), with, lasts: "1s" });
    let output = desk.squall(arguments);
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), told.concat())
}

fn what_is_thrown_away_of_a_young_queue_is_true_or_unknown(server: &RabbitServer) {
    let run = ["run", "strike.yaml", "--yes", "--allow-data-loss"];
    // From here on its statistics know nothing that is younger than a minute, as those of others do for 5 s.
    server.eval("application:set_env(rabbit, collect_statistics_interval, 60000).");
    let publish = |queue: &str| {
        let declared = server.management_with("PUT", &format!("/api/queues/%2F/{queue}"), "{}");
        assert!(declared.starts_with("201"), "{declared}");
        for _ in 0..3 {
            let message = format!(
                "{{\"properties\":{{}},\"routing_key\":\"{queue}\",\"payload\":\"x\",\"payload_encoding\":\"string\"}}"
            );
            let told = server.management_with("POST", "/api/exchanges/%2F/amq.default/publish", &message);
            assert!(told.contains("true"), "{told}");
        }
    };
    publish("young");
    let waiting = || server.ask(&["list_queues", "name", "messages_ready", "--no-table-headers"]);
    assert!(waiting().contains("young\t3"), "{}", waiting());
    let (code, told) = ran(&run, "rabbitmq.purge", &server.url_without_cookie(), "{queue: young}");
    assert!(code == Some(0) && told.contains("messages thrown away: unknown"), "{told}");
    assert!(waiting().contains("young\t0"), "{}", waiting());
    publish("younger");
    let (code, told) = ran(&run, "rabbitmq.purge", &server.url(), "{queue: younger}");
    assert!(code == Some(0) && told.contains("3 messages thrown away"), "{told}");
    // That nothing waits is known for sure.
    let (code, told) = ran(&run, "rabbitmq.purge", &server.url(), "{queue: younger}");
    assert!(code != Some(0) && told.contains("0 messages thrown away"), "{told}");
}

fn what_does_not_exist_is_refused_when_planning(server: &RabbitServer) {
    for url in [server.url(), server.url_without_cookie()] {
        let (code, told) = ran(&["plan", "strike.yaml"], "rabbitmq.purge", &url, "{queue: nosuch}");
        assert!(code == Some(2) && told.contains("no queue nosuch in virtual host /"), "{code:?} {told}");
        let with = "{vhost: nosuch}";
        let (code, told) = ran(&["plan", "strike.yaml"], "rabbitmq.kill_connections", &url, with);
        assert!(code == Some(2) && told.contains("no virtual host nosuch"), "{code:?} {told}");
    }
}

fn an_address_at_which_nothing_listens_is_told(server: &RabbitServer) {
    let url = server.url().replace(&format!(":{}?", server.port), ":1/nosuch?");
    let (code, told) = ran(&["plan", "strike.yaml"], "rabbitmq.memory_alarm", &url, "{}");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("nothing accepts connections on 127.0.0.1:1"), "{told}");
    assert!(told.contains("no virtual host nosuch"), "{told}");
}

/// The node is found by its `epmd` when planning; whoever puts back knows nothing of that one.
fn what_is_owed_is_put_back_from_another_environment(server: &RabbitServer) {
    let url = server.url().replace(&format!("&dist_port={}", server.distribution), "");
    let mut run = Run::start_with(
        &Strike { fault: "rabbitmq.disk_alarm", target: &target(&url), with: "{}", lasts: "5m" },
        &[("ERL_EPMD_PORT", &server.epmd_port.to_string())],
    );
    run.kill(Killed::All);
    wait_until(|| !is_alarmed(server));
    let recovered = run.squall_elsewhere(&["recover"]);
    assert!(recovered.status.success(), "{recovered:?}");
    assert!(!run.owes());
}

fn what_another_host_left_is_found_and_ended(server: &RabbitServer) {
    server.eval(
        "spawn(fun() -> register('squall-lost-1-abcd', self()), receive _ -> ok end end), timer:sleep(200), ok.",
    );
    let desk = Desk::new();
    let url = server.url();
    let found = desk.squall(&["leftovers", "--database", &url]);
    let told = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(told.contains("named squall-lost-1-abcd") && !found.status.success(), "{found:?}");
    let ended = desk.squall(&["recover", "--database", &url]);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(server.eval("whereis('squall-lost-1-abcd')."), "undefined");
    assert!(desk.squall(&["leftovers", "--database", &url]).status.success());
    // Without the cookie it cannot be known.
    let unknown = desk.squall(&["leftovers", "--database", &server.url_without_cookie()]);
    assert!(!unknown.status.success(), "{unknown:?}");
}
