//! The faults that are made in the arena, one entry each, and how each is seen without asking Squall.

use super::arena::{Arena, NAMESPACES};
use super::{processes, snapshot};
use fastrand::Rng;
use serde_json::{Value as Json, json};

/// What a fault strikes: two of the same in one run could be refused as a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Struck {
    Network,
    Pause,
    Kill,
    Load,
    Memory,
    Caches,
    Disk,
}

/// A fault of the catalog.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    struck: Struck,
    /// Whether Squall finds what it made by a mark, so that it can be put back without any log.
    pub(super) marked: bool,
    /// Its parameters, some of them left to chance.
    with: fn(&mut Rng) -> Json,
}

pub(super) const FAULTS: &[Fault] = &[
    Fault { name: "process.pause", struck: Struck::Pause, marked: false, with: |_| json!({}) },
    Fault { name: "process.kill", struck: Struck::Kill, marked: true, with: kill },
    Fault {
        name: "cpu.load",
        struck: Struck::Load,
        marked: true,
        with: |_| json!({"percent": "20%", "cores": 1}),
    },
    Fault { name: "memory.spike", struck: Struck::Memory, marked: true, with: |_| json!({"size": "96MiB"}) },
    Fault { name: "memory.leak", struck: Struck::Memory, marked: true, with: leak },
    Fault { name: "memory.drop_caches", struck: Struck::Caches, marked: true, with: |_| json!({}) },
    Fault { name: "disk.fill", struck: Struck::Disk, marked: true, with: fill },
    Fault { name: "network.partition", struck: Struck::Network, marked: true, with: partition },
    Fault { name: "network.loss", struck: Struck::Network, marked: true, with: loss },
    Fault { name: "network.bandwidth", struck: Struck::Network, marked: true, with: bandwidth },
    Fault { name: "network.latency", struck: Struck::Network, marked: true, with: latency },
];

fn kill(random: &mut Rng) -> Json {
    if random.bool() { json!({}) } else { json!({"every": "100ms"}) }
}

fn leak(_: &mut Rng) -> Json {
    json!({"rate": "64MiB/s", "size": "128MiB"})
}

fn fill(random: &mut Rng) -> Json {
    [json!({"percent": "90%"}), json!({"size": "4MiB"}), json!({"leave_free": "1MiB"})][random.usize(..3)]
        .clone()
}

fn partition(random: &mut Rng) -> Json {
    let direction = ["in", "out", "both"][random.usize(..3)];
    match random.usize(..3) {
        0 => json!({"direction": direction}),
        1 => json!({"direction": direction, "destination": ["10.83.0.0/24", "fd83::/64"]}),
        _ => json!({"direction": direction, "protocol": "tcp", "port": 5432}),
    }
}

fn loss(random: &mut Rng) -> Json {
    if random.bool() { json!({"loss": "30%"}) } else { json!({"loss": "10%", "destination": "10.83.0.0/24"}) }
}

fn bandwidth(random: &mut Rng) -> Json {
    if random.bool() { json!({"rate": "1mbit"}) } else { json!({"rate": "10mbit", "port": 5432}) }
}

fn latency(random: &mut Rng) -> Json {
    if random.bool() {
        json!({"delay": "100ms"})
    } else {
        json!({"delay": "50ms", "jitter": "10ms", "destination": "10.83.0.0/24"})
    }
}

impl Fault {
    /// Why it cannot be made here; `None` where it can.
    pub(super) fn missing(&self, isolated: bool, root: bool) -> Option<&'static str> {
        match self.struck {
            Struck::Network if !isolated => Some("it needs network namespaces of the torture's own, as root"),
            Struck::Network if self.name == "network.latency" && !has_netem() => {
                Some("this kernel has no sch_netem; it is tested in a second kernel, see `cargo xtask lab`")
            }
            Struck::Network if self.name == "network.partition" && !has_packet_filter() => {
                Some("this kernel has no nf_tables")
            }
            Struck::Disk if !isolated => Some("it needs a file system of the torture's own, as root"),
            Struck::Caches if !root => Some("it needs root"),
            _ => None,
        }
    }

    /// The entry of an experiment's method.
    pub(super) fn entry(&self, arena: &Arena, random: &mut Rng, lasts: &str) -> Json {
        // By its path, which no other process bears, were it of another torture.
        let victim = |name: &str| json!({"process": {"cmdline": arena.folder.join(name).to_string_lossy()}});
        let target = match self.struck {
            Struck::Network => json!({"netns": NAMESPACES[random.usize(..2)]}),
            Struck::Pause => victim("sqt-pause"),
            Struck::Kill => victim("sqt-kill"),
            Struck::Load | Struck::Memory | Struck::Caches => json!({"host": true}),
            Struck::Disk => json!({"path": arena.data().to_string_lossy()}),
        };
        let mode = if self.struck == Struck::Kill { "one" } else { "all" };
        json!({"fault": self.name, "target": target, "mode": mode, "with": (self.with)(random), "for": lasts})
    }

    /// Whether its effect is there.
    pub(super) fn is_seen(&self, arena: &mut Arena, deaths_before: usize) -> bool {
        arena.victims.tend();
        match self.struck {
            Struck::Network => snapshot::network_differs(arena),
            Struck::Pause => arena.victims.look().contains("2 sqt-pause, 2 stopped"),
            Struck::Kill => arena.victims.deaths > deaths_before,
            Struck::Load | Struck::Memory => {
                processes::of_folder(&arena.folder).iter().any(|process| process.role == "worker")
            }
            Struck::Disk => snapshot::data(arena).contains(".squall-"),
            // What is cached again the moment after leaves nothing to be seen.
            Struck::Caches => true,
        }
    }

    /// Whether both can be active at the same time.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        self.struck != other.struck
    }
}

/// Whether the kernel knows packet-filter tables.
fn has_packet_filter() -> bool {
    super::arena::tool("nft", &["list", "tables"]).is_ok()
}

/// Whether the kernel takes a netem qdisc, tried where it harms nobody.
fn has_netem() -> bool {
    let [near, _] = NAMESPACES;
    let add = ["-n", near, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"];
    let remove = ["-n", near, "qdisc", "del", "dev", "lo", "root"];
    super::arena::tool("tc", &add).is_ok() && super::arena::tool("tc", &remove).is_ok()
}
