//! Facts and checks that the tests of all faults share.

use squall_model::facts::{
    DatabaseFacts, Facts, Feature, Freezer, GroupFacts, HostFacts, MemoryLimit, PathFacts, ProcessFacts,
    Subject,
};
use squall_model::fault::{AnyFault, Fault, of};
use squall_model::node::{Content, Node};
use squall_model::read::{Source, parse};
use squall_model::server::ServerUrl;
use squall_model::step::{ContainerRef, DirectoryRef, ProcessRef, Step};
use squall_model::target::{ContainerSelector, ProcessSelector, Target};
use squall_model::units::{Duration, Size};
use std::collections::{BTreeMap, BTreeSet};

/// A host with 4 cores and 8 GiB of memory, of which 6 GiB are available.
pub(crate) fn host() -> HostFacts {
    HostFacts {
        boot_id: "boot".into(),
        kernel: "6.12".into(),
        cpus: 4,
        memory_total: Size(8 << 30),
        memory_available: Size(6 << 30),
        privileges: BTreeSet::new(),
        features: BTreeSet::from([Feature::CgroupV2]),
        unknown: BTreeSet::new(),
    }
}

/// Facts about a subject that a target named.
pub(crate) fn facts(target: Target, subject: Subject) -> Facts {
    let lease = Duration::seconds(5);
    let (injection, lasts) = ("run-1".into(), Duration::default());
    Facts { injection, host: host(), target, lease, lasts, subject, addresses: BTreeMap::new() }
}

/// A process with the number 812.
pub(crate) fn process(name: &str) -> ProcessFacts {
    ProcessFacts {
        process: ProcessRef { pid: 812, start_time: 99, boot_id: "boot".into(), name: name.into() },
        command: format!("/usr/bin/{name}"),
        user: 1000,
        state: 'S',
        listens: Vec::new(),
        cgroups: Vec::new(),
        processors: (0..4).collect(),
        memory: None,
        children: Vec::new(),
        protected: None,
    }
}

/// A process by its name.
pub(crate) fn on_process(name: &str) -> Facts {
    let selector = ProcessSelector { name: Some(name.into()), ..Default::default() };
    facts(Target::Process(selector), Subject::Process(process(name)))
}

/// A PostgreSQL with 100 connections, of which 3 are kept for superusers and 10 are in use.
pub(crate) fn on_postgres(change: impl FnOnce(&mut DatabaseFacts)) -> Facts {
    on_database("postgres://app@db:5432/shop", "15.14", change)
}

/// A `MariaDB` with 100 connections of which 10 are in use, where we may do anything.
pub(crate) fn on_mysql(change: impl FnOnce(&mut DatabaseFacts)) -> Facts {
    on_database("mysql://root@db:3306/shop", "10.11.14-MariaDB-0+deb12u2", |facts| {
        facts.is_superuser = true;
        change(facts);
    })
}

/// A Redis that uses 1 MB of 100 MB, with 100 connections of which 10 are in use.
pub(crate) fn on_redis(change: impl FnOnce(&mut DatabaseFacts)) -> Facts {
    on_database("redis://cache:6379", "7.0.15", |facts| {
        facts.is_superuser = true;
        let settings = [
            ("used_memory", "1000000"),
            ("maxmemory", "100000000"),
            ("maxmemory_policy", "noeviction"),
            ("tcp-keepalive", "300"),
        ];
        facts.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        change(facts);
    })
}

/// A RabbitMQ of which we have the cookie and the management, with one queue.
pub(crate) fn on_rabbitmq(change: impl FnOnce(&mut DatabaseFacts)) -> Facts {
    on_database("amqp://app@mq/shop?cookie_file=/cookie", "3.12.1", |facts| {
        facts.is_superuser = true;
        let settings = [("node", "rabbit@mq"), ("management", "yes"), ("queue shop orders", "7")];
        facts.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        change(facts);
    })
}

/// A server of such an address and version.
pub(crate) fn on_database(url: &str, version: &str, change: impl FnOnce(&mut DatabaseFacts)) -> Facts {
    let url: ServerUrl = url.parse().unwrap();
    let mut database = DatabaseFacts {
        server: url.server.clone(),
        version: version.into(),
        user: "app".into(),
        is_superuser: false,
        is_replica: false,
        limit: Some(100),
        reserved: 3,
        used: 10,
        clients: Vec::new(),
        settings: BTreeMap::from([("database".to_owned(), "shop".to_owned())]),
    };
    change(&mut database);
    facts(Target::Database(Box::new(url)), Subject::Database(database))
}

/// A process by its number.
pub(crate) fn on_pid(pid: u32) -> Facts {
    let selector = ProcessSelector { pid: Some(pid), ..Default::default() };
    facts(Target::Process(selector), Subject::Process(process("payment")))
}

/// A container with two processes.
pub(crate) fn on_container() -> Facts {
    let group = GroupFacts {
        name: "container web".into(),
        processes: vec![process("web"), process("web-worker")],
        freezer: Some(Freezer {
            path: "/sys/fs/cgroup/freezer/docker/abc/freezer.state".into(),
            frozen: "FROZEN".into(),
        }),
        container: Some(ContainerRef {
            daemon: "/var/run/docker.sock".into(),
            id: "0123456789abcdef".into(),
            name: "web".into(),
        }),
        protected: None,
    };
    let selector = ContainerSelector { name: Some("web".into()), ..Default::default() };
    facts(Target::Container(selector), Subject::Group(group))
}

/// The host as a whole.
pub(crate) fn on_host() -> Facts {
    facts(Target::Host(true), Subject::Resource { processes: Vec::new() })
}

/// A directory on a file system of 10 GiB, of which 8 GiB are available.
pub(crate) fn on_path(path: &str, mounted_on: &str) -> Facts {
    let directory = DirectoryRef {
        path: path.into(),
        device: 7,
        inode: 2,
        boot_id: "boot".into(),
        mounted_on: mounted_on.into(),
        in_memory: false,
    };
    let found = PathFacts {
        directory,
        file_system: "ext4".into(),
        size: Size(10 << 30),
        available: Size(8 << 30),
        is_root: mounted_on == "/",
        holds_state: false,
    };
    facts(Target::Path(path.into()), Subject::Path(found))
}

/// A process with control groups.
pub(crate) fn on_group(folders: &[&str]) -> Facts {
    let cgroups = folders.iter().map(|folder| (*folder).to_owned()).collect();
    let processes = vec![ProcessFacts { cgroups, ..process("payment") }];
    Facts { subject: Subject::Resource { processes }, ..on_process("payment") }
}

/// A process in a control group with a limit on memory, of which some is used.
pub(crate) fn on_limited_group(limit: &str, used: &str) -> Facts {
    let memory = MemoryLimit { limit: limit.parse().unwrap(), used: used.parse().unwrap() };
    let cgroups = vec!["/sys/fs/cgroup/payment".to_owned()];
    let processes = vec![ProcessFacts { memory: Some(memory), cgroups, ..process("payment") }];
    Facts { subject: Subject::Resource { processes }, ..on_process("payment") }
}

fn yaml(text: &str) -> Node {
    parse(&Source { name: "test.yaml".into(), text: text.into() })
        .unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// The `method` entry that an example shows.
pub(crate) fn entry(example: &str) -> Node {
    match yaml(example).content {
        Content::List(mut entries) if entries.len() == 1 => entries.remove(0),
        other => panic!("an example is a list with one entry, not {other:?}"),
    }
}

/// What a fault's example gives as parameters, as text.
pub(crate) fn example<F: Fault>() -> String {
    entry(F::EXAMPLE).get("with").map_or_else(|| "{}".to_owned(), |with| with.to_json().to_string())
}

/// Plans as the engine does.
pub(crate) fn plan<F: Fault>(with: &str, facts: &Facts) -> Result<Vec<Step>, String> {
    let with = yaml(with);
    let fault = of::<F>();
    fault
        .check(&with)
        .map_err(|error| [error.message, error.label, error.help.unwrap_or_default()].join("; "))?;
    fault.plan(&with.to_json(), facts).map_err(|error| error.to_string())
}

/// Plans what must be possible, and compares the steps in words.
#[track_caller]
pub(crate) fn golden<F: Fault>(with: &str, facts: &Facts, steps: &[&str]) {
    let planned = plan::<F>(with, facts).unwrap_or_else(|error| panic!("{with}: {error}"));
    let words: Vec<String> = planned.iter().map(ToString::to_string).collect();
    assert_eq!(words, steps);
    let json = serde_json::to_string(&planned).unwrap();
    assert_eq!(
        serde_json::from_str::<Vec<Step>>(&json).unwrap(),
        planned,
        "a plan does not survive the journal"
    );
}

/// What is to be said of a plan beside its steps.
pub(crate) fn notes<F: Fault>(with: &str, facts: &Facts) -> Vec<String> {
    of::<F>().notes(&yaml(with).to_json(), facts)
}

/// Plans what must be refused, and gives the reason.
#[track_caller]
pub(crate) fn refusal<F: Fault>(with: &str, facts: &Facts) -> String {
    match plan::<F>(with, facts) {
        Ok(steps) => panic!("{with} was not refused: {steps:?}"),
        Err(message) => message,
    }
}
