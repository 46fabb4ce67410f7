//! Faults on a real Redis, whoever dies and whatever is lost between them.

use crate::lab::{
    Cable, Killed, Run, Seeing, Seen, Strike, each_is_freed, each_outlives_no_network, each_outlives_nobody,
    the_next_agent_knows_the_password,
};
use squall_database::testing::redis::RedisServer;
use std::fs::{self, File};
use std::process::Output;
use std::time::Duration;

/// Faults by their parameters, and how they are seen on the server.
const FAULTS: &[(&str, &str, Option<&str>)] = &[
    ("redis.connections", "{count: 12}", None),
    ("redis.pause", "{mode: write}", None),
    ("redis.slow", "{delay: 20ms}", None),
    ("redis.kill_clients", "{name: nobody, every: 500ms}", None),
    ("redis.memory", "{percent: 50%}", Some("CONFIG GET maxmemory")),
    ("redis.readonly_replica", "{}", Some("CONFIG GET min-replicas-to-write")),
];

impl Seen for RedisServer {
    fn url(&self, host: &str) -> String {
        format!("redis://{host}:{}", self.port)
    }
    fn ask(&self, text: &str) -> String {
        self.ask(text)
    }
    fn sessions(&self) -> usize {
        self.ask("CLIENT LIST").matches("name=squall-").count()
    }
}

#[test]
fn nothing_outlives_its_owners_and_the_network() {
    let Some(cable) = Cable::lay("redis", 3) else { return };
    let place = Some((cable.namespace.as_str(), cable.address.as_str()));
    let Some(server) = RedisServer::start_in(place, &["--maxmemory-policy", "allkeys-lru"]) else { return };
    let seeing = |(fault, with, seen_by): &(&'static str, &'static str, Option<&'static str>)| Seeing {
        server: &server,
        host: &cable.address,
        fault,
        with,
        seen_by: *seen_by,
    };
    let faults: Vec<Seeing<'_>> = FAULTS.iter().map(seeing).collect();
    for who in [Killed::Agent, Killed::BrainAndAgent] {
        each_outlives_nobody(who, &faults);
    }
    // Redis does nothing for a client that has closed: what was set is put back by whoever comes next.
    let kill_and_recover = |run: &mut crate::lab::Run, _: usize| {
        run.kill(Killed::All);
        run.recover();
    };
    each_is_freed("all killed, and recovered", &faults, kill_and_recover, |run, _| assert!(!run.owes()));
    // Of the others one or two idle connections stay, until the server's own keepalive finds that nobody is there.
    let lasting = ["redis.connections", "redis.memory", "redis.readonly_replica"];
    let faults: Vec<_> = faults.into_iter().filter(|one| lasting.contains(&one.fault)).collect();
    each_outlives_no_network(&[&cable], &faults);
    for (name, value) in [("tcp-keepalive", "300"), ("maxmemory-policy", "allkeys-lru")] {
        assert_eq!(server.ask(&format!("CONFIG GET {name}")), format!("{name}\n{value}"));
    }
}

const REPLICAS: &str = "CONFIG GET min-replicas-to-write";

fn guarded() -> Option<(RedisServer, String)> {
    let server = RedisServer::start(&["--requirepass", "geheim"])?;
    let url = format!("redis://default:geheim@127.0.0.1:{}", server.port);
    Some((server, url))
}

#[test]
fn an_agent_that_takes_the_place_of_another_is_told_the_password() {
    let Some((server, url)) = guarded() else { return };
    the_next_agent_knows_the_password("redis.readonly_replica", &url, || server.ask(REPLICAS));
}

#[test]
fn what_somebody_else_is_putting_back_is_waited_for_and_named() {
    let Some((server, url)) = guarded() else { return };
    let target = format!("{{database: \"{url}\"}}");
    let mut run =
        Run::start(&Strike { fault: "redis.readonly_replica", target: &target, with: "{}", lasts: "5m" });
    // A living run is nobody's to put back, and not nothing.
    let alive = run.squall(&["recover"]);
    let told = String::from_utf8_lossy(&alive.stdout).into_owned();
    assert!(alive.status.success() && told.contains("left alone: redis.readonly_replica"), "{alive:?}");
    assert!(!told.contains("nothing to put back"), "{told}");
    run.kill(Killed::All);
    let log = fs::read_dir(run.state().join("live")).unwrap().flatten().next().unwrap().path();
    let lock = File::open(log).unwrap();
    lock.lock().unwrap();
    let recover = || run.squall(&["recover", "--database", &url]);
    let said = |output: &Output| format!("{output:?}");
    let held = recover();
    let me = format!("process {} holds its undo log", std::process::id());
    assert!(held.status.code() == Some(6) && said(&held).contains(&me), "{held:?}");
    assert!(!said(&held).contains("nothing to put back") && !said(&held).contains("geheim"), "{held:?}");
    let freed = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            lock.unlock().unwrap();
        });
        recover()
    });
    assert!(freed.status.success() && said(&freed).contains("put back: redis"), "{freed:?}");
    assert!(!run.owes() && server.ask(REPLICAS) == "min-replicas-to-write\n0");
}
