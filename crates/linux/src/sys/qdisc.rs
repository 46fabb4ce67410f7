//! Traffic control: the queueing disciplines (*qdiscs*), classes and filters of a link, over rtnetlink.
//!
//! Every packet that leaves by a link is handed to the link's root qdisc, which decides when, and whether, it goes on.
//! A classful qdisc (`prio`, `htb`) has classes, each with a qdisc of its own, and filters that pick the class of a
//! packet. All have a *handle* of two 16-bit numbers: a qdisc `8001:0`, its classes `8001:1`, `8001:2`; the parent of a
//! qdisc is the class that it hangs on, or "root". The kernel's own default qdisc has the handle 0 and cannot be
//! deleted; deleting any other brings it back.
//!
//! A qdisc outlives whoever made it. It is told from others by its handle, so that [`TrafficControl::delete_root`]
//! removes the one with that handle and never another.
//!
//! One trace stays: a link without a queue (`veth`, with a queue length of 0, as some container runtimes make them) is
//! given a queue length of 1000 by the kernel when its first qdisc is added. Note [`route::Link::queue_length`] before
//! and set it back afterwards with [`route::set_queue_length`].
//!
//! [`route::Link::queue_length`]: super::route::Link::queue_length
//! [`route::set_queue_length`]: super::route::set_queue_length
//!
//! Sources: `include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls,gen_stats}.h`, `net/sched/sch_api.c`; tc(8).

use super::classifier::Program;
use super::discipline::{
    Discipline, Htb, Netem, Prio, Tbf, Treatment, open_class, packet_fifo, treated_class,
};
use super::namespace;
use super::netlink::{
    self, Attributes, Error, Message, Protocol, Reply, Result, Socket, flags, u32_at, u64_at,
};
use rustix::io::Errno;
use std::fmt;
use std::time::Duration;

const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;
const RTM_NEWTCLASS: u16 = 40;
const RTM_GETTCLASS: u16 = 42;
const RTM_NEWTFILTER: u16 = 44;
const RTM_GETTFILTER: u16 = 46;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
const TCA_STATS_PKT64: u16 = 8;
const TCA_BPF_CLASSID: u16 = 3;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;

/// Size of `struct tcmsg`: family, link, handle, parent, and what the type makes of the last word.
const TCMSG: usize = 20;

/// Number of a qdisc or class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub u32);

impl Handle {
    /// Of none: the kernel's default qdisc has it, and who leaves the choice to the kernel gives it.
    pub const NONE: Self = Self(0);
    /// As a parent: the link itself, for what leaves.
    pub const ROOT: Self = Self(u32::MAX);

    /// From its parts: `8001:2` is `new(0x8001, 2)`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self((major as u32) << 16 | minor as u32)
    }

    /// The number of the qdisc.
    pub const fn major(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The number of the class within the qdisc, 0 for the qdisc itself.
    pub const fn minor(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.minor()) {
            (Self::ROOT, _) => formatter.write_str("root"),
            (_, 0) => write!(formatter, "{:x}:", self.major()),
            (_, minor) => write!(formatter, "{:x}:{minor:x}", self.major()),
        }
    }
}

/// What passed through a qdisc or class, and what waits in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Bytes sent on.
    pub bytes: u64,
    /// Packets sent on.
    pub packets: u64,
    /// Packets dropped.
    pub drops: u64,
    /// Times that sending had to wait.
    pub overlimits: u64,
    /// Times that a packet was put back because the device was busy.
    pub requeues: u64,
    /// Bytes that wait.
    pub backlog: u64,
    /// Packets that wait.
    pub queue_length: u64,
}

/// A qdisc that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// What it is made from. That of netem lacks the table of its distribution, which the kernel keeps to itself.
    pub discipline: Discipline,
    /// Its number; [`Handle::NONE`] for the kernel's default.
    pub handle: Handle,
    /// Where it hangs: [`Handle::ROOT`], or a class.
    pub parent: Handle,
    /// What passed.
    pub statistics: Statistics,
}

/// A class that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// What it is made from.
    pub discipline: Discipline,
    /// Its number.
    pub handle: Handle,
    /// The class above, or [`Handle::ROOT`].
    pub parent: Handle,
    /// The qdisc that hangs on it, if it has a handle.
    pub leaf: Handle,
    /// What passed.
    pub statistics: Statistics,
}

/// A filter that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What it is made from.
    pub discipline: Discipline,
    /// The qdisc or class whose packets it looks at.
    pub parent: Handle,
    /// Its place among the filters; lower ones come first.
    pub priority: u16,
    /// Its number within its priority.
    pub handle: u32,
}

/// What a new root qdisc may take the place of. The change is atomic either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The kernel's default only; anything else is an error.
    Default,
    /// Whatever is there.
    Any,
}

/// The traffic control of one network namespace.
#[derive(Debug)]
pub struct TrafficControl {
    socket: Socket,
}

impl TrafficControl {
    /// Of the network namespace that the calling thread is in.
    pub fn open() -> Result<Self> {
        Ok(Self { socket: Socket::open(Protocol::Route)? })
    }

    /// Lists the qdiscs of a link, but not those that the kernel made by itself for classes.
    pub fn qdiscs(&mut self, link: u32) -> Result<Vec<Qdisc>> {
        let question = Message::new(RTM_GETQDISC, 0, &tcmsg(link, Handle::NONE, Handle::NONE, 0));
        let replies = self.socket.dump(format_args!("list the qdiscs of interface {link}"), &question)?;
        // The kernel lists those of all links, whatever is asked.
        Ok(of_link(&replies, link)
            .filter_map(|reply| {
                Some(Qdisc {
                    discipline: discipline(reply)?,
                    handle: Handle(u32_at(&reply.payload, 8)?),
                    parent: Handle(u32_at(&reply.payload, 12)?),
                    statistics: statistics(reply),
                })
            })
            .collect())
    }

    /// The root qdisc of a link. None on a link that is no longer there, and on one with several transmit queues
    /// whose default qdiscs stand side by side.
    pub fn root(&mut self, link: u32) -> Result<Option<Qdisc>> {
        Ok(self.qdiscs(link)?.into_iter().find(|qdisc| qdisc.parent == Handle::ROOT))
    }

    /// Lists the classes of a link.
    pub fn classes(&mut self, link: u32) -> Result<Vec<Class>> {
        let question = Message::new(RTM_GETTCLASS, 0, &tcmsg(link, Handle::NONE, Handle::NONE, 0));
        let replies = self.socket.dump(format_args!("list the classes of interface {link}"), &question)?;
        Ok(of_link(&replies, link)
            .filter_map(|reply| {
                Some(Class {
                    discipline: discipline(reply)?,
                    handle: Handle(u32_at(&reply.payload, 8)?),
                    parent: Handle(u32_at(&reply.payload, 12)?),
                    leaf: Handle(u32_at(&reply.payload, 16)?),
                    statistics: statistics(reply),
                })
            })
            .collect())
    }

    /// Lists the filters that look at the packets of a qdisc or class.
    pub fn filters(&mut self, link: u32, parent: Handle) -> Result<Vec<Filter>> {
        let question = Message::new(RTM_GETTFILTER, 0, &tcmsg(link, Handle::NONE, parent, 0));
        let what = format_args!("list the filters at {parent} of interface {link}");
        let replies = self.socket.dump(what, &question)?;
        Ok(of_link(&replies, link)
            .filter_map(|reply| {
                Some(Filter {
                    discipline: discipline(reply)?,
                    handle: u32_at(&reply.payload, 8)?,
                    parent: Handle(u32_at(&reply.payload, 12)?),
                    priority: (u32_at(&reply.payload, 16)? >> 16) as u16,
                })
            })
            .filter(|filter| filter.handle != 0) // Without a handle it is the list that filters are in.
            .collect())
    }

    /// Adds a qdisc below a parent where there is none but the kernel's default.
    pub fn add(&mut self, link: u32, parent: Handle, handle: Handle, discipline: &Discipline) -> Result<()> {
        self.make(RTM_NEWQDISC, flags::EXCLUSIVE, link, (parent, handle), discipline)
    }

    /// Puts a qdisc below a parent, in place of the one that is there, if any. The change is atomic.
    pub fn replace(
        &mut self,
        link: u32,
        parent: Handle,
        handle: Handle,
        discipline: &Discipline,
    ) -> Result<()> {
        self.make(RTM_NEWQDISC, flags::REPLACE, link, (parent, handle), discipline)
    }

    /// Adds a class to a qdisc or class.
    pub fn add_class(
        &mut self,
        link: u32,
        parent: Handle,
        handle: Handle,
        discipline: &Discipline,
    ) -> Result<()> {
        self.make(RTM_NEWTCLASS, flags::EXCLUSIVE, link, (parent, handle), discipline)
    }

    fn make(
        &mut self,
        kind: u16,
        mode: u16,
        link: u32,
        (parent, handle): (Handle, Handle),
        discipline: &Discipline,
    ) -> Result<()> {
        let Discipline { kind: name, options } = discipline;
        let message =
            Message::new(kind, flags::CREATE | mode, &tcmsg(link, handle, parent, 0)).with(|attributes| {
                let attributes = attributes.put_text(TCA_KIND, name);
                if options.is_empty() { attributes } else { attributes.put(TCA_OPTIONS, options) }
            });
        let object = if kind == RTM_NEWTCLASS { "class" } else { "qdisc" };
        let what = format_args!("add {name} {object} {handle} to interface {link} at {parent}");
        self.socket.request(what, &message).map_err(|error| if_unsupported(error, &format!("sch_{name}")))
    }

    /// Adds a filter to a classful qdisc: the packets that the program picks belong to `class`.
    pub fn add_filter(&mut self, link: u32, qdisc: Handle, program: &Program, class: Handle) -> Result<()> {
        const PRIORITY: u32 = 1;
        let all_protocols = u32::from((libc::ETH_P_ALL as u16).to_be());
        let options = Attributes::new()
            .put_u32(TCA_BPF_CLASSID, class.0)
            .put(TCA_BPF_OPS_LEN, &program.length().to_ne_bytes())
            .put(TCA_BPF_OPS, &program.to_bytes());
        let structure = tcmsg(link, Handle::NONE, qdisc, PRIORITY << 16 | all_protocols);
        let message = Message::new(RTM_NEWTFILTER, flags::CREATE | flags::EXCLUSIVE, &structure)
            .with(|attributes| attributes.put_text(TCA_KIND, "bpf").put_nested(TCA_OPTIONS, options));
        let what = format_args!("add a bpf filter to interface {link} at {qdisc}");
        self.socket.request(what, &message).map_err(|error| if_unsupported(error, "cls_bpf"))
    }

    /// Treats all packets that leave by a link. The new root qdisc is named by `handle`, whose minor number is 0.
    pub fn treat_all(&mut self, link: u32, handle: Handle, over: Over, treatment: &Treatment) -> Result<()> {
        self.put_root(link, handle, over, &treatment.discipline())
    }

    fn put_root(&mut self, link: u32, handle: Handle, over: Over, discipline: &Discipline) -> Result<()> {
        match over {
            Over::Default => self.add(link, Handle::ROOT, handle, discipline),
            Over::Any => self.replace(link, Handle::ROOT, handle, discipline),
        }
    }

    /// Treats the packets that a program picks; the others pass as ever, and at no time is a packet treated that
    /// should not be. As [`treat_all`](Self::treat_all) else. If it fails midway, [`delete_root`](Self::delete_root)
    /// removes what is there.
    ///
    /// This makes a `prio` with two bands, the second with what treats; where the kernel has no `sch_prio`, an `htb` with
    /// one class that holds nothing back by itself. (`htb` then says once in the kernel's log that what hangs on it is
    /// "non-work-conserving", which is meant.) The treated class is in both [`treated_class`].
    pub fn treat_some(
        &mut self,
        link: u32,
        handle: Handle,
        over: Over,
        treatment: &Treatment,
        program: &Program,
    ) -> Result<()> {
        /// As many packets as links hold by default.
        const QUEUE: u32 = 1000;
        let (untreated, treated) = (Handle::new(handle.major(), 1), treated_class(handle));
        let bands = Prio { bands: 2, band_of_priority: [0; 16] };
        match self.put_root(link, handle, over, &bands.discipline()) {
            Ok(()) => self.add(link, untreated, Handle::NONE, &packet_fifo(QUEUE))?,
            Err(Error::Unsupported { .. }) => {
                let root = Htb { default_class: 0, unlimited_queue: QUEUE };
                self.put_root(link, handle, over, &root.discipline())?;
                self.add_class(link, handle, treated, &open_class())?;
            }
            Err(error) => return Err(error),
        }
        self.add(link, treated, Handle::NONE, &treatment.discipline())?;
        self.add_filter(link, handle, program, treated)
    }

    /// Removes the root qdisc with all that hangs on it, if it has that handle. Says whether it was there; a link
    /// that is gone, a default qdisc and another's qdisc mean that it was not.
    pub fn delete_root(&mut self, link: u32, handle: Handle) -> Result<bool> {
        let message = Message::new(RTM_DELQDISC, 0, &tcmsg(link, handle, Handle::ROOT, 0));
        match self.socket.request(format_args!("delete qdisc {handle} of interface {link}"), &message) {
            Ok(()) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            // "Invalid handle": there is one, and it is not ours.
            Err(error) if error.errno() == Some(Errno::INVAL) => {
                if self.root(link)?.is_some_and(|root| root.handle == handle) {
                    Err(error)
                } else {
                    Ok(false)
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// `struct tcmsg`.
fn tcmsg(link: u32, handle: Handle, parent: Handle, information: u32) -> [u8; TCMSG] {
    let mut structure = [0; TCMSG];
    for (index, number) in [link, handle.0, parent.0, information].into_iter().enumerate() {
        structure[4 + 4 * index..][..4].copy_from_slice(&number.to_ne_bytes());
    }
    structure
}

fn of_link(replies: &[Reply], link: u32) -> impl Iterator<Item = &Reply> {
    replies.iter().filter(move |reply| {
        matches!(reply.kind, RTM_NEWQDISC | RTM_NEWTCLASS | RTM_NEWTFILTER)
            && u32_at(&reply.payload, 4) == Some(link)
    })
}

fn discipline(reply: &Reply) -> Option<Discipline> {
    let attributes = reply.attributes(TCMSG);
    let options = attributes.find_kind(TCA_OPTIONS).unwrap_or_default().to_vec();
    Some(Discipline { kind: attributes.text(TCA_KIND)?, options })
}

fn statistics(reply: &Reply) -> Statistics {
    let all = reply.attributes(TCMSG).nested(TCA_STATS2);
    let basic = all.find_kind(TCA_STATS_BASIC).unwrap_or_default();
    let queue = all.find_kind(TCA_STATS_QUEUE).unwrap_or_default();
    let number = |offset| u64::from(u32_at(queue, offset).unwrap_or(0));
    let packets_64 = all.find_kind(TCA_STATS_PKT64).and_then(|bytes| u64_at(bytes, 0));
    Statistics {
        bytes: u64_at(basic, 0).unwrap_or(0),
        packets: packets_64.or_else(|| u32_at(basic, 8).map(u64::from)).unwrap_or(0),
        queue_length: number(0),
        backlog: number(4),
        drops: number(8),
        requeues: number(12),
        overlimits: number(16),
    }
}

/// `ENOENT` means "no such kind" or "no such parent"; the kernel's words tell which.
fn if_unsupported(error: Error, module: &str) -> Error {
    match error {
        Error::Refused { what, errno, reason }
            if errno == Errno::NOENT
                && (reason.contains("kind is unknown") || reason.contains("classifier not found")) =>
        {
            Error::Unsupported { what, module: module.to_owned(), errno }
        }
        other => other,
    }
}

/// Which parts of traffic control a kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for one kernel module")]
pub struct Features {
    /// `sch_netem`: delay and loss.
    pub netem: bool,
    /// `sch_tbf`: a limit on the rate.
    pub tbf: bool,
    /// `sch_prio`: bands, so that some packets can be treated.
    pub prio: bool,
    /// `sch_htb`: classes, which will do for the same.
    pub htb: bool,
    /// `cls_bpf`: filters.
    pub bpf: bool,
}

impl Features {
    /// Whether some packets only can be treated.
    pub fn for_some(&self) -> bool {
        (self.prio || self.htb) && self.bpf
    }
}

/// Finds out what the kernel has, by using it on the loopback link of a network namespace made for that and gone
/// afterwards. Kernel modules that are there but not loaded are loaded. Takes `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`.
pub fn features() -> Result<Features> {
    namespace::run_in_fresh(|| {
        let mut control = TrafficControl::open()?;
        let prio = Prio { bands: 2, band_of_priority: [0; 16] }.discipline();
        let htb = Htb { default_class: 0, unlimited_queue: 10 }.discipline();
        let tbf = Tbf { rate: 1_000_000, burst: 100_000, queue: Duration::from_millis(1) };
        let mut features = Features {
            netem: control.has(&Netem::default().discipline())?,
            tbf: control.has(&tbf.discipline())?,
            prio: control.has(&prio)?,
            htb: control.has(&htb)?,
            bpf: false,
        };
        if features.prio || features.htb {
            let root = Handle::new(1, 0);
            control.add(LOOPBACK, Handle::ROOT, root, if features.prio { &prio } else { &htb })?;
            let program = Program::compile(&[], &[], 1.0)?;
            features.bpf = had(control.add_filter(LOOPBACK, root, &program, treated_class(root)))?;
        }
        Ok(features)
    })?
}

/// The only link of a new network namespace.
const LOOPBACK: u32 = 1;

impl TrafficControl {
    /// Whether the kernel has a qdisc, tried out on the loopback link.
    fn has(&mut self, discipline: &Discipline) -> Result<bool> {
        let handle = Handle::new(1, 0);
        let had = had(self.add(LOOPBACK, Handle::ROOT, handle, discipline))?;
        self.delete_root(LOOPBACK, handle)?;
        Ok(had)
    }
}

/// What to ask for so as to get a root qdisc again just as it was listed; none if it cannot be had. This is found out by
/// making it in a network namespace made for that: not every kind takes what it shows, some show a time one unit
/// shorter than it was asked for, and netem does not show everything. Classes, filters and qdiscs below the root are
/// another matter: a qdisc that has any cannot be made again this way. Takes `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`.
pub fn recipe(listed: &Discipline) -> Result<Option<Discipline>> {
    if listed.kind == "netem" && Netem::may_have_a_table(&listed.options) {
        return Ok(None);
    }
    namespace::run_in_fresh(|| {
        let mut control = TrafficControl::open()?;
        let mut asked = listed.clone();
        for _ in 0..2 {
            let handle = Handle::new(1, 0);
            match control.replace(LOOPBACK, Handle::ROOT, handle, &asked) {
                Ok(()) => {}
                Err(Error::Refused { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
            let Some(got) = control.root(LOOPBACK)? else { return Ok(None) };
            if got.discipline == *listed {
                return Ok(Some(asked));
            }
            asked.options = with_lost_units(&listed.options, &got.discipline.options);
            control.delete_root(LOOPBACK, handle)?;
        }
        Ok(None)
    })?
}

/// The options wanted, with one added to each number that came out one lower when they were asked for. (The codel
/// family keeps times in units of 1.024 µs and shows them in whole microseconds, rounded down.)
fn with_lost_units(wanted: &[u8], got: &[u8]) -> Vec<u8> {
    let numbers: Vec<Option<u32>> = netlink::attributes(got).map(|(_, payload)| u32_at(payload, 0)).collect();
    let asked =
        netlink::attributes(wanted).enumerate().fold(Attributes::new(), |asked, (index, (kind, payload))| {
            match (u32_at(payload, 0), numbers.get(index)) {
                (Some(number), Some(Some(got)))
                    if payload.len() == 4 && got.checked_add(1) == Some(number) =>
                {
                    asked.put_u32(kind, number.saturating_add(1))
                }
                _ => asked.put(kind, payload),
            }
        });
    asked.into_bytes()
}

fn had(outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(Error::Unsupported { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::discipline::smallest_burst;
    use super::super::namespace::Namespace;
    use super::super::namespace::tests::{TestNamespace, privileged};
    use super::super::route;
    use super::*;
    use serde_json::Value;
    use squall_model::step::{Distribution, PacketFilter, Ports, Protocol as Transport};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Instant;

    const OURS: Handle = Handle::new(0x5a11, 0);

    /// Numbers of links in a namespace.
    fn link(namespace: &TestNamespace, name: &str) -> u32 {
        let links = namespace.open().run(|| route::links().unwrap()).unwrap();
        links.into_iter().find(|link| link.name == name).unwrap().index
    }

    fn control(namespace: &TestNamespace) -> TrafficControl {
        namespace.open().run(|| TrafficControl::open().unwrap()).unwrap()
    }

    /// What `tc` shows.
    fn shown(namespace: &TestNamespace, object: &str, link: &str) -> Vec<Value> {
        let text = namespace.run(&["tc", "-s", "-j", "-d", object, "show", "dev", link]);
        let value: Value = serde_json::from_str(if text.trim().is_empty() { "[]" } else { &text }).unwrap();
        value.as_array().unwrap().clone()
    }

    /// What `tc` shows of the classes of `eth0`, which it knows no JSON for.
    fn classes(namespace: &TestNamespace) -> String {
        namespace.run(&["tc", "-d", "class", "show", "dev", "eth0"])
    }

    fn udp_to_port(port: u16) -> PacketFilter {
        let ports = Ports { first: port, last: port };
        PacketFilter { protocol: Some(Transport::Udp), remote_port: Some(ports), ..PacketFilter::default() }
    }

    #[test]
    fn handles_are_shown_as_tc_shows_them() {
        let shown = [Handle::NONE, Handle::ROOT, Handle::new(0x8001, 0), Handle::new(1, 0x10)]
            .map(|handle| handle.to_string());
        assert_eq!(shown, ["0:", "root", "8001:", "1:10"]);
    }

    #[test]
    fn a_rate_limit_is_made_as_asked_listed_and_removed() {
        if !privileged() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let before = control.root(eth0).unwrap().unwrap();
        assert_eq!((before.handle, before.discipline.kind.as_str()), (Handle::NONE, "noqueue"));
        let limit = Tbf { rate: 8_000_000, burst: 20_000, queue: Duration::from_millis(200) };
        control.treat_all(eth0, OURS, Over::Default, &Treatment::Bandwidth(limit)).unwrap();

        let tc = &shown(&here, "qdisc", "eth0")[0];
        assert_eq!(tc["kind"], "tbf");
        assert_eq!(tc["handle"], "5a11:");
        assert_eq!(tc["root"], true);
        assert_eq!(tc["options"]["rate"], 1_000_000); // tc's JSON is in bytes.
        assert!(tc["options"]["burst"].to_string().contains("20000"), "{tc}");
        assert_eq!(tc["options"]["lat"].as_u64().map(|lat| (lat + 500) / 1000), Some(200), "{tc}");
        let ours = control.root(eth0).unwrap().unwrap();
        assert_eq!((ours.handle, ours.parent), (OURS, Handle::ROOT));

        assert!(!control.delete_root(eth0, Handle::new(7, 0)).unwrap(), "another's qdisc stays");
        assert!(control.delete_root(eth0, OURS).unwrap());
        assert!(!control.delete_root(eth0, OURS).unwrap(), "deleting again does nothing");
        assert!(!control.delete_root(4_000_000, OURS).unwrap(), "nor does it on a link that is gone");
        assert_eq!(control.root(eth0).unwrap().unwrap().discipline, before.discipline);
    }

    #[test]
    fn an_existing_qdisc_is_not_pushed_aside() {
        if !privileged() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        here.run(&["tc", "qdisc", "add", "dev", "eth0", "root", "handle", "9:", "pfifo", "limit", "12"]);
        let limit = Tbf { rate: 8_000_000, burst: 20_000, queue: Duration::from_millis(200) };
        let error = control.treat_all(eth0, OURS, Over::Default, &Treatment::Bandwidth(limit)).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EXIST), "{error}");
        assert_eq!(control.root(eth0).unwrap().unwrap().handle, Handle::new(9, 0));
    }

    #[test]
    fn a_queue_length_that_the_kernel_changed_can_be_set_back() {
        if !privileged() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        here.run(&["ip", "link", "set", "eth0", "txqueuelen", "0"]);
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let length = || {
            let links = here.open().run(|| route::links().unwrap()).unwrap();
            links.into_iter().find(|link| link.index == eth0).unwrap().queue_length
        };
        control.add(eth0, Handle::ROOT, OURS, &packet_fifo(10)).unwrap();
        control.delete_root(eth0, OURS).unwrap();
        println!("the kernel left a queue length of {}", length());
        here.open().run(|| route::set_queue_length(eth0, 0).unwrap()).unwrap();
        assert_eq!(length(), 0);
        assert_eq!(control.root(eth0).unwrap().unwrap().discipline.kind, "noqueue");
    }

    /// A qdisc that was listed can be made again from what was listed.
    #[test]
    fn a_qdisc_is_restored_from_its_bytes() {
        if !privileged() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let kinds: [&[&str]; 6] = [
            &["tbf", "rate", "3mbit", "burst", "9k", "latency", "70ms"],
            &["pfifo", "limit", "33"],
            &["codel", "limit", "99"],
            &["fq_codel", "limit", "999", "target", "7ms", "noecn"],
            &["prio", "bands", "4"],
            &["netem", "delay", "50ms", "10ms", "25%", "loss", "3%", "rate", "5mbit", "reorder", "4%"],
        ];
        for kind in kinds {
            let add = [&["tc", "qdisc", "add", "dev", "eth0", "root", "handle", "9:"], kind].concat();
            if !here.output(&add).status.success() {
                println!("skipped: this kernel has no {}", kind[0]);
                continue;
            }
            let listed = control.root(eth0).unwrap().unwrap();
            if kind[0] == "netem" {
                // It might have had a distribution, of which nothing is shown.
                assert_eq!(recipe(&listed.discipline).unwrap(), None);
            }
            let recipe = recipe(&listed.discipline).unwrap().unwrap_or(listed.discipline.clone());
            let options =
                |tc: &[Value]| (tc[0]["kind"].clone(), tc[0]["handle"].clone(), tc[0]["options"].clone());
            let before = options(&shown(&here, "qdisc", "eth0"));
            control.replace(eth0, Handle::ROOT, OURS, &packet_fifo(5)).unwrap();
            control.replace(eth0, Handle::ROOT, listed.handle, &recipe).unwrap();
            assert_eq!(options(&shown(&here, "qdisc", "eth0")), before);
            let again = control.root(eth0).unwrap().unwrap();
            assert_eq!((again.handle, &again.discipline), (listed.handle, &listed.discipline));
            assert!(control.delete_root(eth0, listed.handle).unwrap());
        }
    }

    #[test]
    fn a_qdisc_that_does_not_take_its_own_bytes_is_known() {
        if !privileged() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        here.run(&["tc", "qdisc", "add", "dev", "eth0", "root", "handle", "9:", "htb", "default", "30"]);
        let listed = control(&here).root(link(&here, "eth0")).unwrap().unwrap();
        assert_eq!(recipe(&listed.discipline).unwrap(), None, "htb shows a version that it does not accept");
    }

    #[test]
    fn rates_beyond_32_bits_are_expressed() {
        if !privileged() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let limit = Tbf { rate: 100_000_000_000, burst: 9_000_000, queue: Duration::from_millis(1) };
        control.treat_all(eth0, OURS, Over::Default, &Treatment::Bandwidth(limit.clone())).unwrap();
        assert_eq!(shown(&here, "qdisc", "eth0")[0]["options"]["rate"], 12_500_000_000_u64);
        control.delete_root(eth0, OURS).unwrap();
        let everything = Program::compile(&[], &[], 1.0).unwrap();
        control.treat_some(eth0, OURS, Over::Default, &Treatment::Bandwidth(limit), &everything).unwrap();
        let tbf = shown(&here, "qdisc", "eth0").into_iter().find(|qdisc| qdisc["kind"] == "tbf").unwrap();
        assert_eq!(tbf["options"]["rate"], 12_500_000_000_u64);
    }

    #[test]
    fn a_rate_limit_for_some_packets_spares_the_others() {
        if !privileged() {
            return;
        }
        let (here, there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let limit = Tbf { rate: 80_000, burst: smallest_burst(1500), queue: Duration::from_millis(100) };
        let program = Program::compile(&[udp_to_port(7001)], &[], 1.0).unwrap();
        control.treat_some(eth0, OURS, Over::Default, &Treatment::Bandwidth(limit), &program).unwrap();

        let receiver = |port: u16| {
            let socket = there.open().run(move || UdpSocket::bind(("10.9.0.2", port)).unwrap()).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            socket
        };
        let (limited, free) = (receiver(7001), receiver(7002));
        let sender = here.open().run(|| UdpSocket::bind("10.9.0.1:0").unwrap()).unwrap();
        for _ in 0..100 {
            sender.send_to(&[0; 400], "10.9.0.2:7001").unwrap();
            sender.send_to(&[0; 400], "10.9.0.2:7002").unwrap();
        }
        let count = |socket: &UdpSocket| std::iter::from_fn(|| socket.recv(&mut [0; 500]).ok()).count();
        assert_eq!(count(&free), 100);
        let passed = count(&limited);
        assert!(passed < 20, "1532 bytes at once, then 10 kB/s: {passed} of 400 bytes passed at once");
        let qdiscs = control.qdiscs(eth0).unwrap();
        let queue = qdiscs.into_iter().find(|qdisc| qdisc.parent == treated_class(OURS)).unwrap();
        assert!(queue.statistics.drops > 50, "{queue:?}");
        let tc = shown(&here, "qdisc", "eth0").into_iter().find(|qdisc| qdisc["kind"] == "tbf").unwrap();
        assert_eq!(tc["options"]["rate"], 10_000);
        assert_eq!(tc["drops"], queue.statistics.drops);
        assert_eq!(control.filters(eth0, OURS).unwrap().len(), 1);
        assert!(control.delete_root(eth0, OURS).unwrap());
        assert!(control.classes(eth0).unwrap().is_empty());
    }

    /// Seconds that a number of bytes takes from one namespace to the other.
    fn transfer(from: &Namespace, to: &Namespace, bytes: usize) -> f64 {
        let listener = to.run(|| TcpListener::bind("10.9.0.2:0").unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut sender = from.run(|| TcpStream::connect(address).unwrap()).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(move || sender.write_all(&vec![0; bytes]).unwrap());
            let mut buffer = vec![0; bytes];
            receiver.read_exact(&mut buffer).unwrap();
        });
        start.elapsed().as_secs_f64()
    }

    #[test]
    fn a_rate_limit_limits_the_rate() {
        if !privileged() {
            return;
        }
        let (here, there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let (from, to) = (here.open(), there.open());
        let everything = Program::compile(&[], &[], 1.0).unwrap();
        let limit = || {
            let limit = Tbf { rate: 8_000_000, burst: 20_000, queue: Duration::from_millis(50) };
            Treatment::Bandwidth(limit)
        };
        for way in ["all", "some"] {
            match way {
                "all" => control.treat_all(eth0, OURS, Over::Default, &limit()).unwrap(),
                _ => control.treat_some(eth0, OURS, Over::Default, &limit(), &everything).unwrap(),
            }
            let seconds = transfer(&from, &to, 1_000_000);
            let rate = 8e6 / seconds;
            println!("{way}: {rate:.0} bit/s of goodput");
            // Goodput is some 5 % below the rate, which counts headers; a busy machine can only be slower.
            assert!(rate < 8_400_000.0, "{way}: {rate}");
            assert!(control.delete_root(eth0, OURS).unwrap());
        }
    }

    #[test]
    fn what_the_kernel_has_is_what_tc_can_make() {
        if !privileged() {
            return;
        }
        let features = features().unwrap();
        println!("{features:?}");
        let namespace = TestNamespace::new();
        let arguments: [(&[&str], bool); 4] = [
            (&["netem", "delay", "1ms"], features.netem),
            (&["tbf", "rate", "1mbit", "burst", "99k", "latency", "1ms"], features.tbf),
            (&["prio"], features.prio),
            (&["htb"], features.htb),
        ];
        for (kind, expected) in arguments {
            let add = [&["tc", "qdisc", "replace", "dev", "lo", "root"], kind].concat();
            assert_eq!(namespace.output(&add).status.success(), expected, "{kind:?}");
        }
        let missing = control(&namespace).replace(
            1,
            Handle::ROOT,
            OURS,
            &Discipline { kind: "no_such".to_owned(), options: Vec::new() },
        );
        let error = missing.unwrap_err();
        assert!(error.to_string().contains("this kernel has no sch_no_such"), "{error}");
    }

    #[test]
    fn a_class_is_made_as_asked() {
        if !privileged() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let root = Htb { default_class: 0x20, unlimited_queue: 77 };
        control.add(eth0, Handle::ROOT, OURS, &root.discipline()).unwrap();
        control.add_class(eth0, OURS, treated_class(OURS), &open_class()).unwrap();
        control.add(eth0, treated_class(OURS), Handle::new(0x77, 0), &packet_fifo(44)).unwrap();
        let qdiscs = shown(&here, "qdisc", "eth0");
        assert_eq!(qdiscs[0]["options"]["default"], "0x20");
        assert_eq!(qdiscs[0]["options"]["direct_qlen"], 77);
        assert_eq!((&qdiscs[1]["kind"], &qdiscs[1]["parent"]), (&"pfifo".into(), &"5a11:2".into()));
        let class = classes(&here);
        assert!(class.contains("rate 10Tbit ceil 10Tbit linklayer ethernet"), "{class}");
        let listed = control.classes(eth0).unwrap();
        assert_eq!((listed[0].leaf, listed[0].parent), (Handle::new(0x77, 0), Handle::ROOT));
    }

    /// Whether the kernel has what netem takes; says why not if not.
    fn has_netem() -> bool {
        let has = privileged() && features().is_ok_and(|features| features.netem && features.for_some());
        if !has {
            println!("skipped: this kernel has no sch_netem, sch_prio or cls_bpf");
        }
        has
    }

    #[test]
    fn netem_gets_every_option_as_asked() {
        if !has_netem() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let netem = Netem {
            delay: Duration::from_millis(100),
            jitter: Duration::from_millis(20),
            delay_correlation: 0.25,
            distribution: Distribution::Normal,
            loss: 0.1,
            loss_correlation: 0.5,
            duplicate: 0.02,
            duplicate_correlation: 0.0,
            corrupt: 0.01,
            corrupt_correlation: 1.0,
            reorder: 0.05,
            reorder_correlation: 0.3,
            gap: 7,
            rate: Some(8_000_000),
            limit: 4321,
        };
        control.treat_all(eth0, OURS, Over::Default, &Treatment::Netem(netem)).unwrap();
        let shown = shown(&here, "qdisc", "eth0");
        assert_eq!(shown[0]["kind"], "netem");
        let options = &shown[0]["options"];
        assert_eq!(options["limit"], 4321);
        let number = |path: &str| options.pointer(path).and_then(Value::as_f64).unwrap();
        for (path, expected) in [
            ("/delay/delay", 0.1),
            ("/delay/jitter", 0.02),
            ("/delay/correlation", 0.25),
            // Below this bound lies a tenth of numbers that resemble each other by a half.
            ("/loss-random/loss", super::super::chance::bound(0.1, 0.5)),
            ("/loss-random/correlation", 0.5),
            ("/duplicate/duplicate", 0.02),
            ("/corrupt/corrupt", 0.01),
            ("/corrupt/correlation", 1.0),
            ("/reorder/reorder", super::super::chance::bound(0.05, 0.3)),
            ("/reorder/correlation", 0.3),
            ("/gap", 7.0),
            ("/rate/rate", 1_000_000.0),
        ] {
            assert!((number(path) / expected - 1.0).abs() < 1e-6, "{path}: {options}");
        }
    }

    /// Round-trip times that `ping` measures, in milliseconds, one for each packet that came back.
    fn round_trips(from: &TestNamespace, to: &str, count: u32, interval: &str) -> Vec<f64> {
        let output = from.output(&["ping", "-n", "-c", &count.to_string(), "-i", interval, "-W", "1", to]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let times =
            text.lines().filter_map(|line| line.split_once("time=")?.1.split_once(' ')?.0.parse().ok());
        times.collect()
    }

    fn median(mut numbers: Vec<f64>) -> f64 {
        numbers.sort_by(f64::total_cmp);
        numbers[numbers.len() / 2]
    }

    #[test]
    fn a_delay_on_half_of_the_packets_delays_half_of_the_packets() {
        if !has_netem() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let delay = || Netem {
            delay: Duration::from_millis(100),
            jitter: Duration::from_millis(20),
            ..Netem::default()
        };
        let icmp = PacketFilter { protocol: Some(Transport::Icmp), ..PacketFilter::default() };
        let program = Program::compile(&[icmp], &[], 0.5).unwrap();
        control.treat_some(eth0, OURS, Over::Default, &Treatment::Netem(delay()), &program).unwrap();
        for to in ["10.9.0.2", "fd09::2"] {
            let times = round_trips(&here, to, 300, "0.02");
            // No packet that is delayed can be faster than this.
            let (delayed, direct): (Vec<f64>, Vec<f64>) = times.iter().partition(|time| **time >= 79.0);
            println!(
                "{to}: {} of {} delayed, median {:.1} ms, others {:.1} ms",
                delayed.len(),
                times.len(),
                median(delayed.clone()),
                median(direct.clone())
            );
            assert_eq!(times.len(), 300);
            // 300 throws of a coin: 150 ± 5 standard deviations of 8.7.
            assert!((107..=193).contains(&delayed.len()), "{to}: {} of 300", delayed.len());
            // What the machine adds, it adds to both.
            let added = median(delayed) - median(direct);
            assert!((90.0..140.0).contains(&added), "{to}: {added} ms");
        }
        assert!(control.delete_root(eth0, OURS).unwrap());
        let times = round_trips(&here, "10.9.0.2", 20, "0.02");
        assert!(median(times.clone()) < 79.0, "delayed after the end: {times:?}");
    }

    #[test]
    fn loss_is_silent_and_as_frequent_as_asked() {
        if !has_netem() {
            return;
        }
        let (here, there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        let netem = Netem { loss: 0.1, ..Netem::default() };
        control.treat_all(eth0, OURS, Over::Default, &Treatment::Netem(netem)).unwrap();
        let receiver = there.open().run(|| UdpSocket::bind("10.9.0.2:7001").unwrap()).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let sender = here.open().run(|| UdpSocket::bind("10.9.0.1:0").unwrap()).unwrap();
        let mut received = 0;
        for _ in 0..40 {
            // Fifty at a time, so that the receiver's buffer holds them.
            (0..50).for_each(|_| assert_eq!(sender.send_to(&[1; 100], "10.9.0.2:7001").unwrap(), 100));
            sender.send_to(&[2; 1], "10.9.0.2:7001").unwrap();
            receiver.set_nonblocking(false).unwrap();
            let mut buffer = [0; 200];
            while let Ok(length) = receiver.recv(&mut buffer) {
                received += usize::from(length == 100);
                receiver.set_nonblocking(true).unwrap();
            }
        }
        println!("{received} of 2000 came");
        // 2000 × 0.9 ± 5 standard deviations of 13.4.
        assert!((1733..=1867).contains(&received), "{received} of 2000");
    }

    #[test]
    fn a_distribution_has_its_shape() {
        if !has_netem() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let (eth0, mut control) = (link(&here, "eth0"), control(&here));
        for distribution in [Distribution::Uniform, Distribution::Normal, Distribution::Pareto] {
            let (delay, jitter) = (Duration::from_millis(150), Duration::from_millis(30));
            let netem = Netem { delay, jitter, distribution, ..Netem::default() };
            control.treat_all(eth0, OURS, Over::Default, &Treatment::Netem(netem)).unwrap();
            let times = round_trips(&here, "10.9.0.2", 300, "0.01");
            control.delete_root(eth0, OURS).unwrap();
            let within = times.iter().filter(|time| (120.0..180.0).contains(*time)).count();
            let beyond = times.iter().filter(|time| **time > 230.0).count();
            println!("{distribution:?}: {within} of {} within one jitter, {beyond} far out", times.len());
            match distribution {
                Distribution::Uniform => assert!(within > 240 && beyond < 10),
                Distribution::Normal => assert!((150..260).contains(&within) && beyond < 20), // 68 %
                _ => assert!(beyond >= 3), // 3 % are beyond 80 ms more than the mean.
            }
        }
    }
}
