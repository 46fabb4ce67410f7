//! Steps: the small closed set of reversible changes that every fault is made of.
//!
//! A step says what to change, never how to change it back: that is the [`Undo`](crate::undo::Undo) which the machine
//! captures before the step is applied. Each kind is carried out in one file, `crates/linux/src/step/`.

use crate::cloud::{self, InstanceChange, InstanceStep, TemplateStep};
use crate::cluster::{ObjectChange, ObjectStep};
use crate::machine::Hold;
use crate::server::{self, SessionsStep, SettingStep};
use crate::target::Target;
use crate::units::{Duration, Rate, Share, Size};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// A process that cannot be mistaken for another: numbers are reused, start times and boots are not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start_time: u64,
    /// The boot that it lives in (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// The kernel's short name of it, for people.
    pub name: String,
}

impl fmt::Display for ProcessRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (pid {})", self.name, self.pid)
    }
}

/// A network namespace and a way into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamespaceRef {
    /// Inode of the namespace: its identity while it lives. A later one may well get the same.
    pub inode: u64,
    /// The kernel's number for it, which no other has in this boot (`SO_NETNS_COOKIE`); 0 on kernels before 5.14.
    #[serde(default)]
    pub cookie: u64,
    /// The way in: `/proc/PID/ns/net` or `/run/netns/NAME`.
    pub path: String,
    /// The boot that it lives in; inodes are reused after a restart.
    pub boot_id: String,
    /// How people know it: `this host`, `netns shop-payment`, `of postgres (pid 812)`.
    pub name: String,
}

/// A network interface within a namespace. The index tells it from a later one of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkRef {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
}

/// A directory and the file system that it is on, told from a later one at the same path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DirectoryRef {
    /// Absolute path without links.
    pub path: String,
    /// Number of its file system (`st_dev`), which counts within one boot only.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// The boot that the device's number belongs to.
    pub boot_id: String,
    /// Where the file system is mounted.
    pub mounted_on: String,
    /// Whether the file system lies in memory, so that what is on it goes with the mount.
    #[serde(default)]
    pub in_memory: bool,
}

/// Addresses with a common prefix: `10.0.0.0/24`, `fd00::/64`; a single address has the full length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Prefix {
    /// The first address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub length: u8,
}

impl Prefix {
    /// The prefix that holds just this address.
    pub fn single(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether an address lies within the prefix. Families never match each other.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let ((mine, width), (other, other_width)) = (bits(self.address), bits(address));
        let mask = if self.length == 0 { 0 } else { u128::MAX << (128 - u32::from(self.length.min(128))) };
        width == other_width && mine & mask == other & mask
    }
}

impl std::str::FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not an address or a CIDR, such as 10.0.0.7, 10.0.0.0/24 or fd00::/64");
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let single = Self::single(address.trim().parse().map_err(|_| wrong())?);
        let length = length.map_or(Ok(single.length), |text| text.trim().parse().map_err(|_| wrong()))?;
        if length > single.length { Err(wrong()) } else { Ok(Self { length, ..single }) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::single(self.address) {
            write!(formatter, "{}", self.address)
        } else {
            write!(formatter, "{}/{}", self.address, self.length)
        }
    }
}

/// Which way traffic goes, as the target sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// What arrives at the target.
    In,
    /// What the target sends.
    #[default]
    Out,
    /// Either way.
    Both,
}

/// A transport protocol.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Transmission Control Protocol, 6.
    Tcp,
    /// User Datagram Protocol, 17.
    Udp,
    /// ICMP over IPv4 (1) and `ICMPv6` over IPv6 (58).
    Icmp,
    /// `ICMPv6` alone (58).
    Icmpv6,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Icmpv6 => "icmpv6",
        })
    }
}

/// An inclusive range of ports; one port is a range of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ports {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// One description of packets; all that is given must match. An empty one matches every packet.
/// `remote` is the far side as the target sees it: the destination of what it sends, the source of what it gets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PacketFilter {
    /// Addresses of the far side; any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote: Vec<Prefix>,
    /// Addresses of the near side; any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local: Vec<Prefix>,
    /// Transport protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Port of the far side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_port: Option<Ports>,
    /// Port of the near side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_port: Option<Ports>,
}

/// How delays spread around their middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Any delay between `delay - jitter` and `delay + jitter` alike.
    #[default]
    Uniform,
    /// Bell-shaped, with `jitter` as the standard deviation.
    Normal,
    /// Heavy-tailed: few delays are much longer.
    Pareto,
    /// A quarter normal and three quarters Pareto.
    Paretonormal,
}

/// What a queueing discipline does to the packets that pass it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum Shape {
    /// Harm to single packets (the kernel's `netem`).
    Netem(Netem),
    /// A limit on the rate (the kernel's `tbf`).
    Bandwidth {
        /// Sustained rate.
        rate: Rate,
        /// Bytes that may pass at once.
        burst: Size,
        /// Longest time that a packet waits before it is dropped.
        queue: Duration,
    },
}

/// Harm to single packets, as the kernel's `netem` does it. Shares of 0 and times of 0 mean: not this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Netem {
    /// Mean delay.
    pub delay: Duration,
    /// Spread of the delay.
    pub jitter: Duration,
    /// How much a delay resembles the one before.
    pub correlation: Share,
    /// Shape of the spread.
    pub distribution: Distribution,
    /// Share of packets that anything is done to.
    pub probability: Share,
    /// Share of packets that are dropped.
    pub loss: Share,
    /// How much a drop resembles the one before.
    pub loss_correlation: Share,
    /// Share of packets that are sent twice.
    #[serde(default)]
    pub duplicate: Share,
    /// How much being sent twice resembles the one before.
    #[serde(default)]
    pub duplicate_correlation: Share,
    /// Share of packets in which one bit is turned over.
    #[serde(default)]
    pub corrupt: Share,
    /// How much being damaged resembles the one before.
    #[serde(default)]
    pub corrupt_correlation: Share,
    /// Share of packets that are not delayed, and so overtake those before them.
    #[serde(default)]
    pub reorder: Share,
    /// How much overtaking resembles the one before.
    #[serde(default)]
    pub reorder_correlation: Share,
    /// Of so many packets in a row, one at most overtakes.
    #[serde(default = "every_one")]
    pub gap: u32,
    /// Rate at which packets are sent on.
    #[serde(default)]
    pub rate: Option<Rate>,
}

fn every_one() -> u32 {
    1
}

impl Default for Netem {
    /// Does nothing to all packets.
    fn default() -> Self {
        Self {
            delay: Duration::default(),
            jitter: Duration::default(),
            correlation: Share::default(),
            distribution: Distribution::default(),
            probability: Share::WHOLE,
            loss: Share::default(),
            loss_correlation: Share::default(),
            duplicate: Share::default(),
            duplicate_correlation: Share::default(),
            corrupt: Share::default(),
            corrupt_correlation: Share::default(),
            reorder: Share::default(),
            reorder_correlation: Share::default(),
            gap: every_one(),
            rate: None,
        }
    }
}

impl Shape {
    /// The share of packets that anything is done to.
    pub fn probability(&self) -> Share {
        match self {
            Self::Netem(netem) => netem.probability,
            Self::Bandwidth { .. } => Share::WHOLE,
        }
    }
}

/// A queueing discipline at the root of one interface; packets that no filter describes pass untouched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QdiscStep {
    /// Namespace of the interface.
    pub namespace: NamespaceRef,
    /// The interface.
    pub link: LinkRef,
    /// What is done to packets.
    pub shape: Shape,
    /// Which packets; empty means all of them.
    pub only: Vec<PacketFilter>,
    /// Packets never to be touched, such as those of the operator's own connection.
    pub except: Vec<PacketFilter>,
}

/// What becomes of a packet that a packet-filter rule describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Denial {
    /// It vanishes.
    #[default]
    Drop,
    /// The sender is told: a reset for TCP, "port unreachable" for the rest.
    Reject,
}

/// One rule of a packet-filter table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PacketRule {
    /// `In` or `Out`; a fault that wants both makes two rules.
    pub direction: Direction,
    /// Which packets.
    pub filter: PacketFilter,
    /// The share of them that is struck, independently at random.
    pub probability: Share,
    /// What becomes of them.
    pub denial: Denial,
}

/// A table of packet-filter rules (nftables) that the kernel removes by itself when the agent dies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PacketFilterStep {
    /// Namespace that the table lives in.
    pub namespace: NamespaceRef,
    /// Name of the table; begins with `squall_`.
    pub table: String,
    /// The interfaces whose packets are looked at.
    pub links: Vec<LinkRef>,
    /// What is denied.
    pub rules: Vec<PacketRule>,
    /// Packets never to be touched, such as those of the operator's own connection.
    pub except: Vec<PacketFilter>,
}

impl PacketFilterStep {
    /// What the name of every table begins with.
    pub const TABLE_PREFIX: &'static str = "squall_";
    /// What the name of an injection's second table ends with.
    const LOOPBACK_SUFFIX: &'static str = "_lo";

    /// The name of an injection's table.
    pub fn table_of(injection: &str) -> String {
        format!("{}{injection}", Self::TABLE_PREFIX)
    }

    /// The name of an injection's table for the loopback interface, where that needs rules of its own.
    pub fn loopback_table_of(injection: &str) -> String {
        format!("{}{injection}{}", Self::TABLE_PREFIX, Self::LOOPBACK_SUFFIX)
    }

    /// The injection that a table of Squall's belongs to; none for a table of somebody else's.
    pub fn injection_of(table: &str) -> Option<&str> {
        let rest = table.strip_prefix(Self::TABLE_PREFIX)?;
        Some(rest.strip_suffix(Self::LOOPBACK_SUFFIX).unwrap_or(rest))
    }
}

/// A signal by its name without `SIG`: `KILL`, `TERM`, `STOP`, `CONT`, `HUP`, `INT`, `QUIT`, `USR1`, `USR2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the documentation: signal(7)")]
pub enum Signal {
    #[default]
    Kill,
    Term,
    Stop,
    Cont,
    Hup,
    Int,
    Quit,
    Abrt,
    Usr1,
    Usr2,
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SIG{}", format!("{self:?}").to_uppercase())
    }
}

/// A signal sent to one process. A stop is undone by a continue; other signals cannot be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalStep {
    /// The process.
    pub process: ProcessRef,
    /// The signal.
    pub signal: Signal,
    /// Whether it is well that the process ends before: one of many that come and go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_be_gone: bool,
}

/// A value written to a file of the kernel (`/proc`, `/sys`, a control group).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileValueStep {
    /// Absolute path.
    pub path: String,
    /// What is written.
    pub value: String,
    /// Whether the value before is read and written back; `false` for files that are buttons, such as `drop_caches`.
    pub restore: bool,
}

/// How far a file system is filled. Space is counted as `df` counts it: what is kept for root alone does not count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FillUntil {
    /// Until this share of it is used, by whomever.
    Used(Share),
    /// By so many bytes.
    By(Size),
    /// Until only `leave_free` is free.
    LeftFree,
}

/// A container, and the daemon that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRef {
    /// The daemon's socket.
    pub daemon: String,
    /// Its number: 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ContainerRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "container {}", self.name)
    }
}

impl ContainerRef {
    /// The command that starts it.
    pub fn start_by_hand(&self) -> String {
        let number = self.id.get(..12).unwrap_or(&self.id);
        match self.daemon.as_str() {
            "/var/run/docker.sock" | "/run/docker.sock" => format!("docker start {number}"),
            daemon => format!("docker --host unix://{daemon} start {number}"),
        }
    }
}

/// A container that is stopped as its daemon stops it: it stays so until it is started, whatever its restart policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerStep {
    /// Which.
    pub container: ContainerRef,
    /// How long its main process has, from the signal to end by until it is killed; in whole seconds.
    pub grace: Duration,
}

/// A file of our own that takes up the space of a file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FillStep {
    /// The directory that gets the file.
    pub directory: DirectoryRef,
    /// The file's name; begins with `.squall-` and ends with `.fill`.
    pub name: String,
    /// How far.
    pub until: FillUntil,
    /// How much stays free, whatever else is asked for.
    pub leave_free: Size,
}

impl FillStep {
    /// What the name of every such file begins with.
    pub const NAME_PREFIX: &'static str = ".squall-";
    /// And what it ends with.
    pub const NAME_SUFFIX: &'static str = ".fill";

    /// The name of an injection's file.
    pub fn name_of(injection: &str) -> String {
        format!("{}{injection}{}", Self::NAME_PREFIX, Self::NAME_SUFFIX)
    }

    /// The injection that such a file belongs to; none for a file of somebody else's.
    pub fn injection_of(name: &str) -> Option<&str> {
        name.strip_prefix(Self::NAME_PREFIX)?.strip_suffix(Self::NAME_SUFFIX).filter(|id| !id.is_empty())
    }

    /// How many bytes are still to be taken of a file system with so much used and available together, and so much
    /// available; less than none where others have taken too much already.
    pub fn missing(&self, size: Size, available: Size) -> i64 {
        let available_after = match self.until {
            FillUntil::Used(share) => (size.0 as f64 * (1.0 - share.fraction())).round() as i64,
            FillUntil::By(size) => available.0 as i64 - size.0 as i64,
            FillUntil::LeftFree => self.leave_free.0 as i64,
        };
        available.0 as i64 - available_after
    }

    /// What such a file begins with.
    pub fn mark_of(name: &str) -> String {
        format!("squall disk.fill {}\n", Self::injection_of(name).unwrap_or_default())
    }
}

/// A worker process of our own that must keep running while the fault is active, such as a stressor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStep {
    /// Mark that tells this worker from all others; stands on its command line.
    pub mark: String,
    /// What it does.
    pub work: Work,
    /// Control groups that it joins, as absolute paths of their folders; empty for the agent's own.
    pub cgroups: Vec<String>,
}

impl WorkerStep {
    /// What every worker's mark begins with.
    pub const MARK_PREFIX: &'static str = "squall-worker:";

    /// The mark of an injection's worker.
    pub fn mark_of(injection: &str) -> String {
        format!("{}{injection}", Self::MARK_PREFIX)
    }
}

/// What a worker does, each in one file of `crates/workers/src/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Keeps processor cores busy.
    CpuLoad {
        /// Share of each core.
        percent: Share,
        /// How many cores.
        cores: u32,
        /// Numbers of the only processors that it may run on; empty for all of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        processors: Vec<u32>,
    },
    /// Holds memory: grows by `rate` up to `limit`, then holds it. A spike has no rate and is there at once.
    Memory {
        /// Bytes added each second; none means at once.
        rate: Option<Size>,
        /// Where growth stops.
        limit: Size,
        /// Growth stops too when less than this is available, whoever takes it.
        leave_free: Size,
    },
    /// Sends a signal to one process again and again, and once it is gone to one that matches and was started since, so
    /// that what is restarted is struck too. Whatever else matches is spared.
    SignalEvery {
        /// Whom first.
        process: ProcessRef,
        /// Whom after it: processes, containers or services.
        target: Target,
        /// What.
        signal: Signal,
        /// How often.
        every: Duration,
        /// How long one that was struck may take to end before it is killed; none means that it is left alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace: Option<Duration>,
    },
    /// Sends a signal to one process, and kills it if it has not ended in time.
    SignalThenKill {
        /// Whom.
        process: ProcessRef,
        /// What.
        signal: Signal,
        /// How long it may take to end.
        grace: Duration,
    },
}

/// One reversible change of an injection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Packets are queued, delayed, dropped or slowed at an interface.
    Qdisc(QdiscStep),
    /// Packets are denied by rules.
    PacketFilter(PacketFilterStep),
    /// A process gets a signal.
    Signal(SignalStep),
    /// A file of the kernel gets a value.
    FileValue(FileValueStep),
    /// A worker of our own runs.
    Worker(WorkerStep),
    /// A file system is filled.
    Fill(FillStep),
    /// A container is stopped by its daemon.
    Container(ContainerStep),
    /// Sessions on a server are held.
    Sessions(SessionsStep),
    /// A setting of a server gets a value.
    Setting(SettingStep),
    /// Something is done to an instance in a cloud.
    Instance(InstanceStep),
    /// A cloud carries out an experiment of its own.
    Template(TemplateStep),
    /// An object of a Kubernetes cluster is changed, made, evicted or deleted.
    Object(Box<ObjectStep>),
}

/// Numbers in order as people write them: `0-3, 8`.
pub fn ranges(numbers: &[u32]) -> String {
    let follows = |before: &u32, next: &u32| before.checked_add(1) == Some(*next);
    let runs = numbers.chunk_by(follows).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run.iter().map(ToString::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// What a step takes for itself: two live injections may not hold the same claim, because the undo of one would
/// undo or bring back the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim(pub String);

impl fmt::Display for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Claim {
    /// That of a qdisc on an interface of a network namespace.
    pub fn root_qdisc(namespace: u64, link: &str) -> Self {
        Self(format!("the root qdisc of {link} in network namespace {namespace}"))
    }

    /// That of the space on a file system.
    pub fn free_space(device: u64) -> Self {
        Self(format!("the free space of the file system on device {device:#x}"))
    }
}

impl DirectoryRef {
    /// The path of a file in it.
    pub fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }

    /// The command that removes a file.
    pub fn removal_of(path: &str) -> String {
        format!("rm '{}'", path.replace('\'', r"'\''"))
    }

    /// The command that removes a file in it.
    pub fn removal(&self, name: &str) -> String {
        Self::removal_of(&self.file(name))
    }
}

impl NamespaceRef {
    /// The way into the namespace that a program is in.
    pub const OWN: &'static str = "/proc/self/ns/net";

    /// What a person types before a command so that it runs in there; nothing for a program's own.
    pub fn prefix(&self) -> String {
        Self::prefix_of(&self.path)
    }

    /// The same for the namespace that this path leads to.
    pub fn prefix_of(path: &str) -> String {
        match path.strip_prefix("/run/netns/").or_else(|| path.strip_prefix("/var/run/netns/")) {
            _ if path == Self::OWN => String::new(),
            Some(name) => format!("ip netns exec {name} "),
            None => format!("nsenter --net={path} "),
        }
    }
}

impl Step {
    /// The command that puts it back by hand, as far as it is known before the step is made.
    pub fn by_hand(&self) -> Option<String> {
        match self {
            Self::Qdisc(step) => {
                Some(format!("{}tc qdisc del dev {} root", step.namespace.prefix(), step.link.name))
            }
            Self::PacketFilter(step) => {
                let (prefix, table) = (step.namespace.prefix(), &step.table);
                Some(format!(
                    "{prefix}nft delete table netdev {table}; {prefix}nft delete table inet {table}"
                ))
            }
            Self::Signal(step) => {
                (step.signal == Signal::Stop).then(|| format!("kill -CONT {}", step.process.pid))
            }
            // What stood there before is not known yet.
            Self::FileValue(_) | Self::Setting(_) => None,
            Self::Worker(step) => Some(format!("pkill -KILL -f {}", step.mark)),
            Self::Fill(step) => Some(step.directory.removal(&step.name)),
            Self::Container(step) => Some(step.container.start_by_hand()),
            Self::Sessions(step) => Some(server::removal(&step.server, &step.mark)),
            Self::Instance(step) => {
                matches!(step.change, InstanceChange::Stop { .. }).then(|| step.instance.start_by_hand())
            }
            Self::Template(step) => Some(step.template.stop_by_hand(&step.mark)),
            Self::Object(step) => step.by_hand(),
        }
    }

    /// How long its undo may be under way with nothing to be done but to wait: a cloud starts an instance when it does.
    pub fn undo_takes(&self) -> Duration {
        match self {
            Self::Instance(step) if matches!(step.change, InstanceChange::Stop { .. }) => cloud::PATIENCE,
            Self::Template(_) => cloud::PATIENCE,
            // An API server may be away for a while.
            Self::Object(step)
                if !matches!(step.change, ObjectChange::Delete { .. } | ObjectChange::Evict { .. }) =>
            {
                cloud::PATIENCE
            }
            _ => Duration::default(),
        }
    }

    /// Learns for whom and until when it is held, where it says so on what it strikes.
    pub fn hold(&mut self, hold: &Hold) {
        if let Self::Object(step) = self {
            step.held = Some(hold.clone());
        }
    }

    /// The name of the kind of step.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Qdisc(_) => "qdisc",
            Self::PacketFilter(_) => "packet_filter",
            Self::Signal(_) => "signal",
            Self::FileValue(_) => "file_value",
            Self::Worker(_) => "worker",
            Self::Fill(_) => "fill",
            Self::Container(_) => "container",
            Self::Sessions(_) => "sessions",
            Self::Setting(_) => "setting",
            Self::Instance(_) => "instance",
            Self::Template(_) => "template",
            Self::Object(_) => "object",
        }
    }

    /// What this step holds while it is applied, where nothing else may hold it too.
    pub fn claim(&self) -> Option<Claim> {
        match self {
            Self::Qdisc(step) => Some(Claim::root_qdisc(step.namespace.inode, &step.link.name)),
            Self::Signal(step) => Some(Claim(format!("the run state of process {}", step.process.pid))),
            Self::FileValue(step) if step.restore => Some(Claim(format!("the file {}", step.path))),
            Self::Fill(step) => Some(Claim::free_space(step.directory.device)),
            Self::Container(step) => Some(Claim(format!("the run state of {}", step.container))),
            Self::Setting(step) => Some(Claim(format!("{} on {}", step.name, step.server.place()))),
            Self::Instance(step) => Some(Claim(format!("the state of instance {}", step.instance.id))),
            Self::Template(step) => Some(Claim(format!("the experiments of template {}", step.template.id))),
            Self::Object(step) => Some(Claim(step.claims())),
            // A table of our own name, and workers and sessions of our own stand beside others without touching them.
            Self::PacketFilter(_) | Self::Worker(_) | Self::Sessions(_) | Self::FileValue(_) => None,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bandwidth { rate, burst, queue } => {
                write!(formatter, "limit to {rate} (burst {burst}, queue {queue})")
            }
            Self::Netem(netem) => netem.fmt(formatter),
        }
    }
}

impl fmt::Display for Netem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_some = |share: Share| share.fraction() > 0.0;
        let runs = |correlation: Share| {
            if is_some(correlation) {
                format!(", in runs (correlation {correlation})")
            } else {
                String::new()
            }
        };
        let mut parts = Vec::new();
        if self.delay.as_seconds() > 0.0 {
            let spread =
                if self.jitter.as_seconds() > 0.0 { format!(" ± {}", self.jitter) } else { String::new() };
            let share = if self.probability.fraction() < 1.0 {
                format!(" on {} of packets", self.probability)
            } else {
                String::new()
            };
            parts.push(format!("delay by {}{spread}{share}", self.delay));
        }
        if is_some(self.reorder) {
            let gap = match self.gap {
                0 | 1 => String::new(),
                gap => format!(", one of {gap} at most"),
            };
            let runs = runs(self.reorder_correlation);
            parts.push(format!("let {} of packets overtake those before{gap}{runs}", self.reorder));
        }
        let shares = [
            ("drop", self.loss, "of packets", self.loss_correlation),
            ("send", self.duplicate, "of packets twice", self.duplicate_correlation),
            ("turn over a bit in", self.corrupt, "of packets", self.corrupt_correlation),
        ];
        for (verb, share, what, correlation) in shares {
            if is_some(share) {
                parts.push(format!("{verb} {share} {what}{}", runs(correlation)));
            }
        }
        if let Some(rate) = self.rate {
            parts.push(format!("limit to {rate}"));
        }
        formatter.write_str(&parts.join(", "))
    }
}

impl fmt::Display for PacketFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |prefixes: &[Prefix]| prefixes.iter().map(Prefix::to_string).collect::<Vec<_>>().join(", ");
        let ports = |ports: &Ports| {
            if ports.first == ports.last {
                ports.first.to_string()
            } else {
                format!("{}-{}", ports.first, ports.last)
            }
        };
        let parts = [
            self.protocol.map(|protocol| protocol.to_string()),
            (!self.remote.is_empty()).then(|| format!("with {}", list(&self.remote))),
            self.remote_port.as_ref().map(|range| format!("remote port {}", ports(range))),
            (!self.local.is_empty()).then(|| format!("of {}", list(&self.local))),
            self.local_port.as_ref().map(|range| format!("local port {}", ports(range))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        formatter.write_str(if parts.is_empty() { "all packets" } else { "" })?;
        formatter.write_str(&parts.join(" "))
    }
}

/// Joins what several filters describe.
fn either(filters: &[PacketFilter]) -> String {
    match filters {
        [] => "all packets".to_owned(),
        some => some.iter().map(PacketFilter::to_string).collect::<Vec<_>>().join(" or "),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qdisc(step) => {
                write!(
                    formatter,
                    "on {} ({}), {}: {}",
                    step.link.name,
                    step.namespace.name,
                    either(&step.only),
                    step.shape
                )
            }
            Self::PacketFilter(step) => {
                let links = step.links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ");
                write!(formatter, "on {links} ({}): ", step.namespace.name)?;
                let rules = step.rules.iter().map(|rule| {
                    let verb = if rule.denial == Denial::Drop { "drop" } else { "reject" };
                    let share = if rule.probability.fraction() < 1.0 {
                        format!("{} of ", rule.probability)
                    } else {
                        String::new()
                    };
                    let way = if rule.direction == Direction::In { "incoming" } else { "outgoing" };
                    if rule.filter == PacketFilter::default() {
                        format!("{verb} {share}all {way} packets")
                    } else {
                        format!("{verb} {share}{way} {}", rule.filter)
                    }
                });
                formatter.write_str(&rules.collect::<Vec<_>>().join("; "))
            }
            Self::Signal(step) => write!(formatter, "send {} to {}", step.signal, step.process),
            Self::FileValue(step) => write!(formatter, "write {:?} to {}", step.value, step.path),
            Self::Container(step) => {
                write!(formatter, "have {} stopped by its daemon, within {}", step.container, step.grace)
            }
            Self::Fill(step) => {
                write!(formatter, "fill the file system on {} ", step.directory.mounted_on)?;
                match step.until {
                    FillUntil::Used(share) => write!(formatter, "until {share} of it is used"),
                    FillUntil::By(size) => write!(formatter, "by {size}"),
                    FillUntil::LeftFree => write!(formatter, "until {} is free", step.leave_free),
                }?;
                write!(formatter, ", with the file {}", step.directory.file(&step.name))
            }
            Self::Sessions(step) => step.fmt(formatter),
            Self::Instance(step) => step.fmt(formatter),
            Self::Template(step) => step.fmt(formatter),
            Self::Object(step) => step.fmt(formatter),
            Self::Setting(step) => {
                write!(
                    formatter,
                    "on {}: {}, so that {} is {}",
                    step.server, step.write, step.name, step.ours
                )?;
                step.then.iter().try_for_each(|statement| write!(formatter, ", then {statement}"))
            }
            Self::Worker(step) => {
                match &step.work {
                    Work::CpuLoad { percent, cores, processors } => {
                        let cores = if *cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
                        write!(formatter, "run a worker that keeps {cores} {percent} busy")?;
                        if !processors.is_empty() {
                            write!(formatter, " on processors {}", ranges(processors))?;
                        }
                    }
                    Work::Memory { rate: None, limit, .. } => {
                        write!(formatter, "run a worker that holds {limit} of memory")?;
                    }
                    Work::Memory { rate: Some(rate), limit, .. } => {
                        write!(formatter, "run a worker whose memory grows by {rate}/s up to {limit}")?;
                    }
                    Work::SignalEvery { process, target, signal, every, grace } => {
                        write!(
                            formatter,
                            "run a worker that sends {signal} every {every} to {process}, and once it is gone to what is \
                             started of {target}"
                        )?;
                        if let Some(grace) = grace {
                            write!(formatter, "; and SIGKILL {grace} later to what still runs")?;
                        }
                    }
                    Work::SignalThenKill { process, signal, grace } => {
                        write!(
                            formatter,
                            "run a worker that sends {signal} to {process}, and SIGKILL {grace} later if it still runs"
                        )?;
                    }
                }
                if step.cgroups.is_empty() {
                    Ok(())
                } else {
                    write!(formatter, ", in {}", step.cgroups.join(" and "))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_a_range() {
        assert_eq!(ranges(&[0, 1, 2, 3, 8, u32::MAX]), "0-3, 8, 4294967295");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn a_netem_of_before_is_read_as_it_was_meant() {
        let before = r#"{"shape":"netem","delay":"100ms","jitter":"20ms","correlation":"0%","distribution":"normal",
            "probability":"50%","loss":"0%","loss_correlation":"0%"}"#;
        let shape: Shape = serde_json::from_str(before).unwrap();
        let expected = Netem {
            delay: Duration::milliseconds(100),
            jitter: Duration::milliseconds(20),
            distribution: Distribution::Normal,
            probability: Share::of(0.5),
            ..Netem::default()
        };
        assert_eq!(shape, Shape::Netem(expected));
        assert_eq!(shape.to_string(), "delay by 100ms ± 20ms on 50% of packets");
        let json = serde_json::to_value(&shape).unwrap();
        assert_eq!(json["shape"], "netem", "what is written has the same form: {json}");
        assert_eq!(serde_json::from_value::<Shape>(json).unwrap(), shape);
    }
}
