//! Faults on a real Redis, whoever dies and whatever is lost between them.

use crate::lab::{
    Cable, Killed, Seeing, Seen, each_is_freed, each_outlives_no_network, each_outlives_nobody,
};
use squall_database::testing::redis::RedisServer;

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
