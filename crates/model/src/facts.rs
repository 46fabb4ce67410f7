//! Facts: what a planner may know about the host and the target. Gathered by the machine, read by pure functions.

use crate::cloud::{InstanceFacts, TemplateFacts};
use crate::cluster::{NodeFacts, ObjectFacts, PodFacts};
use crate::server::ServerRef;
use crate::step::{ContainerRef, Direction, DirectoryRef, LinkRef, NamespaceRef, PacketFilter, ProcessRef};
use crate::target::Target;
use crate::units::{Duration, Size};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What kind of thing a fault acts on; a target is resolved to things of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Each process, container or service by itself.
    Process,
    /// Each network namespace by itself, with some or all of its interfaces.
    Network,
    /// The host, or the control groups of processes, containers or services.
    Resource,
    /// A directory and its file system.
    Path,
    /// A database, cache or broker.
    Database,
    /// Each instance in a cloud by itself.
    Instance,
    /// A template of experiments that a cloud carries out itself.
    Template,
    /// Each pod of a Kubernetes cluster by itself.
    Pod,
    /// Each node of a Kubernetes cluster by itself.
    Node,
    /// Each Deployment, StatefulSet or ReplicaSet of a Kubernetes cluster by itself.
    Workload,
    /// Each of Istio's virtual services by itself.
    VirtualService,
}

impl Scope {
    /// Whether what is acted on is on a host, as a pod's processes are on its node.
    pub fn is_on_host(self) -> bool {
        matches!(self, Self::Process | Self::Network | Self::Resource | Self::Path)
    }
}

/// A privilege that a fault may need, named as in `capabilities(7)` without `CAP_`, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privilege {
    /// Configure interfaces, qdiscs and packet filters.
    NetAdmin,
    /// Enter namespaces.
    SysAdmin,
    /// Signal processes of other users.
    Kill,
    /// Look into processes of other users.
    SysPtrace,
    /// Write files of the kernel that belong to root.
    DacOverride,
}

impl Privilege {
    /// The capability's full name: `CAP_NET_ADMIN`.
    pub fn capability(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Kill => "CAP_KILL",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::DacOverride => "CAP_DAC_OVERRIDE",
        }
    }
}

/// Something that a kernel may or may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// `sch_netem`: delay and loss.
    Netem,
    /// `sch_tbf`: rate limit.
    Tbf,
    /// A classful qdisc and a classifier that can pick out single packets.
    PacketClassifier,
    /// nftables with tables that die with their owner.
    PacketFilter,
    /// nftables with a hook behind the local sender, so that drops look like loss.
    SilentEgress,
    /// Control groups, version 2, for processor and memory.
    CgroupV2,
    /// Control groups, version 1, for processor and memory.
    CgroupV1,
}

impl Feature {
    /// Every feature, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Netem,
        Self::Tbf,
        Self::PacketClassifier,
        Self::PacketFilter,
        Self::SilentEgress,
        Self::CgroupV2,
        Self::CgroupV1,
    ];

    /// What it is, and what it is for.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Netem => "sch_netem: delay and loss of packets",
            Self::Tbf => "sch_tbf: limits of bandwidth",
            Self::PacketClassifier => "sch_prio (or sch_htb) and cls_bpf: faults for some packets only",
            Self::PacketFilter => {
                "nftables with tables that die with their owner: partitions, loss without netem"
            }
            Self::SilentEgress => "nftables egress hook: outgoing loss that senders are not told of",
            Self::CgroupV2 => "control groups version 2: load inside a target's own limits",
            Self::CgroupV1 => "control groups version 1: load inside a target's own limits",
        }
    }

    /// How to get it where a kernel of this release lacks it.
    pub fn remedy(self, kernel: &str) -> String {
        let since = |major, minor, built: &str| {
            if release(kernel) < (major, minor) {
                format!("Linux {major}.{minor} or later, {built}")
            } else {
                format!("a kernel {built}")
            }
        };
        match self {
            Self::Netem => {
                "install the kernel's full set of modules (Debian: linux-image-amd64 in place of the -cloud kernel; \
                 Ubuntu: linux-modules-extra-$(uname -r); Fedora: kernel-modules-extra) and `sudo modprobe sch_netem`"
                    .to_owned()
            }
            Self::Tbf => "`sudo modprobe sch_tbf` (CONFIG_NET_SCH_TBF)".to_owned(),
            Self::PacketClassifier => {
                "`sudo modprobe -a sch_prio cls_bpf` (CONFIG_NET_SCH_PRIO, CONFIG_NET_CLS_BPF), or strike all packets \
                 of an interface"
                    .to_owned()
            }
            Self::PacketFilter => format!(
                "`sudo modprobe nf_tables`; where that does not help, {}",
                since(5, 12, "built with CONFIG_NF_TABLES_INET")
            ),
            Self::SilentEgress => {
                since(5, 16, "built with CONFIG_NF_TABLES_NETDEV and CONFIG_NETFILTER_EGRESS")
            }
            Self::CgroupV2 => {
                "mount cgroup2 on /sys/fs/cgroup, with the controllers cpu and memory".to_owned()
            }
            Self::CgroupV1 => {
                "mount the cgroup controllers cpu and memory; version 2 will do as well".to_owned()
            }
        }
    }
}

/// The first two numbers of a kernel's release; nothing is earlier than what cannot be read.
fn release(kernel: &str) -> (u32, u32) {
    let mut numbers = kernel.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    }
}

/// The host as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// This boot.
    pub boot_id: String,
    /// The kernel's release.
    pub kernel: String,
    /// Processors that are online.
    pub cpus: u32,
    /// Memory of the host.
    pub memory_total: Size,
    /// Memory that can be had without swapping.
    pub memory_available: Size,
    /// What the agent may do.
    pub privileges: BTreeSet<Privilege>,
    /// What the kernel can do.
    pub features: BTreeSet<Feature>,
    /// What could not be tried out, for want of a privilege, and so is not known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<Feature>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// Which.
    pub process: ProcessRef,
    /// Its command line, shortened; secrets are the user's to keep off it, and it is shown in plans only.
    pub command: String,
    /// Its user's number.
    pub user: u32,
    /// State letter of `/proc/PID/stat`: `R`, `S`, `D`, `T`, `Z` …
    pub state: char,
    /// TCP ports that it listens on.
    pub listens: Vec<u16>,
    /// Folders of its control groups for processor and memory (absolute paths), without those that the agent shares
    /// with it (such as the root group): what is charged there is not the process's alone.
    pub cgroups: Vec<String>,
    /// Numbers of the processors that it may run on; empty where they could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processors: Vec<u32>,
    /// The tightest memory limit of its control groups; none where nothing but the host's memory limits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryLimit>,
    /// Those that it started and that live, without those that they started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ProcessRef>,
    /// Why it is protected, if it is: process 1, ourselves, the shell that started us …
    pub protected: Option<String>,
}

/// A limit on the memory of a control group and how much of it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLimit {
    /// The limit.
    pub limit: Size,
    /// What is used of it, without the page cache that the kernel would give back.
    pub used: Size,
}

/// A root qdisc that is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QdiscFacts {
    /// Its kind.
    pub kind: String,
    /// Its handle, 0 for the kernel's own default.
    pub handle: u32,
    /// Whether it has classes, filters or child qdiscs, which cannot be brought back exactly.
    pub has_children: bool,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkFacts {
    /// Which.
    pub link: LinkRef,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its root qdisc.
    pub root_qdisc: QdiscFacts,
}

/// One network namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// Which.
    pub namespace: NamespaceRef,
    /// Whether it is the host's own, which the operator's connection and everything else uses too.
    pub is_host: bool,
    /// Its interfaces; only the named one, where the target named one.
    pub links: Vec<LinkFacts>,
    /// Whether the target named an interface.
    pub link_named: bool,
    /// TCP ports that the target's processes listen on, where the target is a process.
    pub listens: Vec<u16>,
    /// Connections of the operator (SSH) that must not be touched, as the host sees them.
    pub control_paths: Vec<PacketFilter>,
}

/// Processes that are one thing: a container, a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupFacts {
    /// What people call it: `container web`.
    pub name: String,
    /// Its processes; the first is the main one, with which the others go. Never empty.
    pub processes: Vec<ProcessFacts>,
    /// How its control group is frozen, where it has one of its own for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freezer: Option<Freezer>,
    /// The container that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerRef>,
    /// Why it is protected, if it is.
    pub protected: Option<String>,
}

/// A file that freezes a control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freezer {
    /// The file.
    pub path: String,
    /// What is written to freeze.
    pub frozen: String,
}

/// A directory and the file system that it is on. Sizes are those that `df` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathFacts {
    /// Which.
    pub directory: DirectoryRef,
    /// The kind of its file system: `ext4`, `tmpfs`.
    pub file_system: String,
    /// What is used and available together.
    pub size: Size,
    /// What can still be written by others than root.
    pub available: Size,
    /// Whether it is the machine's own root file system.
    pub is_root: bool,
    /// Whether Squall keeps its undo logs and journals there.
    pub holds_state: bool,
}

/// A database, cache or broker, as it answers to whoever speaks to it for us.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// Which.
    pub server: ServerRef,
    /// Its version, as it says it: `15.14`, `11.8.3-MariaDB`.
    pub version: String,
    /// Who we are to it.
    pub user: String,
    /// Whether it lets us do anything.
    pub is_superuser: bool,
    /// Whether it follows another one.
    pub is_replica: bool,
    /// How many clients it takes at once; none where nothing limits them.
    pub limit: Option<u64>,
    /// How many of those it keeps for administrators.
    pub reserved: u64,
    /// How many there are, without the one that asked.
    pub used: u64,
    /// Who they are, as far as the server tells, without those that are Squall's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<ClientFacts>,
    /// Its address and those of its peers, in words, for whoever plans.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// A client of a server. What the server does not tell is none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ClientFacts {
    /// What the server knows its session by.
    pub id: String,
    /// Who it is to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The database that it uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The name that it gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What it does, in the server's words: `idle in transaction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// For how many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Whether it may do anything on the server.
    #[serde(default)]
    pub is_superuser: bool,
}

impl DatabaseFacts {
    /// The first number of the version; 0 where it has none.
    pub fn major(&self) -> u32 {
        let digits: String = self.version.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    }

    /// How many more clients like us it would take.
    pub fn free(&self) -> Option<u64> {
        let kept = if self.is_superuser { 0 } else { self.reserved };
        self.limit.map(|limit| limit.saturating_sub(kept).saturating_sub(self.used))
    }
}

/// The thing that one injection acts on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "subject", rename_all = "snake_case")]
pub enum Subject {
    /// A process.
    Process(ProcessFacts),
    /// A container or a service.
    Group(GroupFacts),
    /// A network namespace.
    Network(NetworkFacts),
    /// The host, or processes whose control groups are joined.
    Resource {
        /// The processes named; empty for the host.
        processes: Vec<ProcessFacts>,
    },
    /// A directory.
    Path(PathFacts),
    /// A database, cache or broker.
    Database(DatabaseFacts),
    /// An instance in a cloud.
    Instance(InstanceFacts),
    /// A template of a cloud's own experiments.
    Template(TemplateFacts),
    /// A pod of a Kubernetes cluster.
    Pod(Box<PodFacts>),
    /// A node of a Kubernetes cluster.
    Node(Box<NodeFacts>),
    /// Another object of a Kubernetes cluster.
    Object(Box<ObjectFacts>),
}

/// All that a planner gets to see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Name of the injection, unique on the host; goes into marks and names.
    pub injection: String,
    /// The host.
    pub host: HostFacts,
    /// What the experiment named, for workers that look for it again.
    pub target: Target,
    /// How long the injection is held without hearing from the brain.
    pub lease: Duration,
    /// How long the injection lasts; 0 where that is not known.
    pub lasts: Duration,
    /// What is acted on.
    pub subject: Subject,
    /// Addresses of the host names that the fault asked for.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

impl HostFacts {
    /// Whether the kernel has a feature.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// That the kernel lacks a feature, and how to get it: the end of an error.
    pub fn lacks(&self, feature: Feature) -> String {
        let (kernel, purpose) = (&self.kernel, feature.purpose());
        if self.unknown.contains(&feature) {
            return format!(
                "without CAP_SYS_ADMIN and CAP_NET_ADMIN it cannot be told whether this kernel ({kernel}) has {purpose}"
            );
        }
        format!("this kernel ({kernel}) lacks {purpose}; to get it: {}", feature.remedy(kernel))
    }
}

/// Both ways as single ones.
pub fn single_directions(direction: Direction) -> &'static [Direction] {
    match direction {
        Direction::In => &[Direction::In],
        Direction::Out => &[Direction::Out],
        Direction::Both => &[Direction::In, Direction::Out],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_asks_for_a_later_kernel_only_where_this_one_is_too_old() {
        assert!(Feature::PacketFilter.remedy("5.10.0-8-amd64").contains("Linux 5.12 or later"));
        let newer = Feature::PacketFilter.remedy("6.1.176");
        assert!(!newer.contains("Linux 5") && newer.contains("CONFIG_NF_TABLES_INET"), "{newer}");
        assert!(Feature::SilentEgress.remedy("5.15").contains("Linux 5.16 or later"));
        assert!(!Feature::SilentEgress.remedy("5.16.1+").contains("later"));
        assert_eq!([release("6.18.44-fc"), release("odd")], [(6, 18), (0, 0)]);
    }
}
