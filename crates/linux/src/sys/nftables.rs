//! Packet filters: nftables spoken to over netlink, without `nft`.
//!
//! A *table* holds *chains*; a chain that names a *hook* sees each packet that passes there; its *rules* are tried in
//! order. A rule is a list of *expressions* that load something of the packet into a register, compare it, count, and
//! end with a verdict; the first comparison that fails ends the rule. All changes travel as one batch and are made
//! together or not at all. Numbers are big-endian.
//!
//! * Family `netdev` has the hooks *ingress* and *egress* of one link, outside of all other processing. A packet dropped
//!   at egress is lost on the wire as far as its sender can tell, except that sockets which asked to be told of
//!   errors (`IP_RECVERR`, as `ping` does) get `ENOBUFS`.
//! * Family `inet` has the hooks *input*, *output* and *forward* for IPv4 and IPv6 alike. A packet dropped at output
//!   makes its sender's `send` fail with `EPERM`, which no real network does; use it only where egress is missing
//!   (before Linux 5.16) or to reject.
//!
//! A table with the *owner* flag belongs to the socket that made it: others can see but not change it, and when the
//! socket is closed, by whatever end of its process, the kernel removes the table. That is [`OwnedTables`].
//!
//! The kernel knows the owner by the port of its socket alone, and may hear of a close late: up to ten milliseconds, if
//! anything was deleted just before. A port that has been given again by then belongs to a new owner, whose table would
//! go. So sockets that own tables have ports that no other socket gets.
//!
//! Sources: `include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h`, `net/netfilter/nf_tables_api.c`; nft(8);
//! `include/libnftnl/udata.h` for comments.

use super::classifier::transport_protocols;
use super::netlink::{
    AttributeIter, Attributes, Error, Message, Protocol, Reply, Result, Socket, array_at, attributes, flags,
    text,
};
use super::route::octets;
use rustix::io::Errno;
use squall_model::step::{Denial, PacketFilter, Ports, Prefix};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_DELTABLE: u16 = 2;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_GETRULE: u16 = 7;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFTA_TABLE_USERDATA: u16 = 6;
const NFTA_TABLE_OWNER: u16 = 7;
const NFT_TABLE_F_OWNER: u32 = 2;

const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;

const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_RULE_USERDATA: u16 = 7;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_COUNTER_BYTES: u16 = 1;
const NFTA_COUNTER_PACKETS: u16 = 2;

/// Size of `struct nfgenmsg`: family, version, and the subsystem that a batch is for.
const NFGENMSG: usize = 4;
/// Longest comment that `nft` shows and takes, in bytes.
const LONGEST_COMMENT: usize = 128;

/// What packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Address resolution.
    Arp,
    /// What a bridge passes on.
    Bridge,
    /// All that passes a link.
    Netdev,
    /// Another, by its number.
    Other(u8),
}

impl Family {
    fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Arp => 3,
            Self::Netdev => 5,
            Self::Bridge => 7,
            Self::Ip6 => 10,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        [Self::Inet, Self::Ip, Self::Ip6, Self::Arp, Self::Bridge, Self::Netdev]
            .into_iter()
            .find(|family| family.number() == number)
            .unwrap_or(Self::Other(number))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(formatter, "family {number}"),
            named => formatter.write_str(&format!("{named:?}").to_lowercase()),
        }
    }
}

/// Where a chain sees packets. A link that is not there may be named without an error: since Linux 6.16 such a chain
/// waits for it to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// Packets for this machine; family `inet`.
    Input,
    /// Packets that this machine passes on; family `inet`.
    Forward,
    /// Packets that this machine sends; family `inet`.
    Output,
    /// What comes in by the link of that name; family `netdev`.
    Ingress(String),
    /// What goes out by the link of that name; family `netdev`, Linux 5.16.
    Egress(String),
}

impl Hook {
    /// The family of tables that has the hook.
    pub fn family(&self) -> Family {
        match self {
            Self::Input | Self::Forward | Self::Output => Family::Inet,
            Self::Ingress(_) | Self::Egress(_) => Family::Netdev,
        }
    }

    fn number(&self) -> u32 {
        match self {
            Self::Ingress(_) => 0,
            Self::Input | Self::Egress(_) => 1,
            Self::Forward => 2,
            Self::Output => 3,
        }
    }

    fn incoming(&self) -> bool {
        matches!(self, Self::Input | Self::Ingress(_))
    }

    fn device(&self) -> Option<&str> {
        match self {
            Self::Ingress(device) | Self::Egress(device) => Some(device),
            _ => None,
        }
    }
}

/// A table to be made. All its chains' hooks are of its family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it sees.
    pub family: Family,
    /// Its name, which no other table of the family has.
    pub name: String,
    /// A remark that `nft list ruleset` shows; cut after 128 bytes.
    pub comment: String,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// A chain to be made. Packets that no rule decides on go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    name: String,
    hook: Hook,
    priority: i32,
    rules: Vec<Rule>,
}

/// Before the connection tracker and all that firewalls usually have (`NF_IP_PRI_RAW_BEFORE_DEFRAG`).
pub const FIRST: i32 = -450;

impl Chain {
    /// A chain without rules. Of several chains at one hook, that with the lower priority sees a packet first.
    pub fn new(name: &str, hook: Hook, priority: i32) -> Self {
        Self { name: name.to_owned(), hook, priority, rules: Vec::new() }
    }

    /// Lets the packets that a filter describes pass this chain. What is added later does not see them.
    pub fn spare(&mut self, filter: &PacketFilter, comment: &str) {
        let strike = Strike { share: 1.0, verdict: Verdict::Accept, comment };
        self.add(None, filter, Transport::Any, &strike);
    }

    /// Lets pass what finds the hardware addresses of IPv6 neighbours (`ICMPv6` types 133 to 137, RFC 4861). That of IPv4
    /// is no IP, and only a rule for all packets of a link would see it.
    pub fn spare_neighbour_discovery(&mut self, comment: &str) {
        self.spare_messages(ICMP_V6, 133..=137, comment);
    }

    /// Lets pass what tells a sender that it was rejected: resets of TCP, "destination unreachable" (RFC 792, RFC 4443).
    pub fn spare_answers(&mut self, comment: &str) {
        const FLAGS: u32 = 13;
        const RESET: u8 = 4;
        let mut rule = Expressions::default();
        rule.transport(Transport::Is(TCP));
        rule.load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS, 1);
        rule.mask(&[RESET]);
        rule.compare(NFT_CMP_EQ, &[RESET]);
        self.accept(rule, comment);
        self.spare_messages(ICMP, 3..=3, comment);
        self.spare_messages(ICMP_V6, 1..=1, comment);
    }

    /// Lets control messages of some types pass; the type is the first byte.
    fn spare_messages(&mut self, protocol: u8, types: RangeInclusive<u8>, comment: &str) {
        let mut rule = Expressions::default();
        rule.transport(Transport::Is(protocol));
        rule.load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
        if types.start() == types.end() {
            rule.compare(NFT_CMP_EQ, &[*types.start()]);
        } else {
            rule.compare(NFT_CMP_GTE, &[*types.start()]);
            rule.compare(NFT_CMP_LTE, &[*types.end()]);
        }
        self.accept(rule, comment);
    }

    fn accept(&mut self, mut rule: Expressions, comment: &str) {
        rule.push("counter", Attributes::new());
        rule.verdict(Verdict::Accept);
        self.rules.push(Rule { expressions: rule.list, comment: comment.to_owned() });
    }

    /// Denies a share (0 to 1), picked at random, of the packets that a filter describes, and counts those it denies.
    /// In a chain of family `inet`, only those that come in (input) or go out (output, forward) by the link of that
    /// name, if one is named. A packet is picked or not just once, however many prefixes of the filter it lies in.
    ///
    /// Rejecting resets TCP and answers "port unreachable" to the rest; it cannot be done at egress. At output name a
    /// link: the answer goes to the sender by the loopback link and would itself be denied by a rule for all packets.
    pub fn deny(
        &mut self,
        link: Option<&str>,
        filter: &PacketFilter,
        share: f64,
        denial: Denial,
        comment: &str,
    ) {
        let mut add = |only, verdict| self.add(link, filter, only, &Strike { share, verdict, comment });
        match denial {
            Denial::Drop => add(Transport::Any, Verdict::Drop),
            Denial::Reject => {
                add(Transport::Is(TCP), Verdict::ResetTcp);
                add(Transport::IsNot(TCP), Verdict::PortUnreachable);
            }
        }
    }

    /// A rule looks for one remote prefix, one local prefix and one protocol; a filter that names several becomes
    /// several rules, of which a packet fits at most one.
    fn add(&mut self, link: Option<&str>, filter: &PacketFilter, only: Transport, strike: &Strike<'_>) {
        for remote in each(disjoint(&filter.remote)) {
            for local in each(disjoint(&filter.local)) {
                for transport in only.of(filter) {
                    let rule = self.rule(link, (remote, local), transport, filter, strike);
                    self.rules.push(rule);
                }
            }
        }
    }

    fn rule(
        &self,
        link: Option<&str>,
        (remote, local): (Option<Prefix>, Option<Prefix>),
        transport: Transport,
        filter: &PacketFilter,
        strike: &Strike<'_>,
    ) -> Rule {
        let (name, remote_end, local_end) = if self.hook.incoming() {
            (NFT_META_IIFNAME, End::Source, End::Destination)
        } else {
            (NFT_META_OIFNAME, End::Destination, End::Source)
        };
        let mut rule = Expressions::default();
        if let Some(link) = link {
            rule.meta(name, &link_name(link));
        }
        for (prefix, end) in [(remote, remote_end), (local, local_end)] {
            if let Some(prefix) = prefix {
                rule.prefix(self.hook.family(), prefix, end);
            }
        }
        rule.transport(transport);
        for (ports, end) in [(filter.remote_port, remote_end), (filter.local_port, local_end)] {
            if let Some(ports) = ports {
                rule.ports(ports, end);
            }
        }
        rule.chance(strike.share);
        rule.push("counter", Attributes::new());
        rule.verdict(strike.verdict);
        Rule { expressions: rule.list, comment: strike.comment.to_owned() }
    }
}

/// What becomes of the packets of a rule.
struct Strike<'a> {
    share: f64,
    verdict: Verdict,
    comment: &'a str,
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMP_V6: u8 = 58;

/// A rule to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    expressions: Attributes,
    comment: String,
}

#[derive(Clone, Copy)]
enum Verdict {
    Accept,
    Drop,
    ResetTcp,
    PortUnreachable,
}

/// The transport protocol that a rule looks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Any,
    Is(u8),
    IsNot(u8),
}

impl Transport {
    /// What is left of a filter's protocols.
    fn of(self, filter: &PacketFilter) -> Vec<Self> {
        let Some(numbers) = transport_protocols(filter) else { return vec![self] };
        let wanted = |number: &u8| match self {
            Self::Any => true,
            Self::Is(only) => *number == only,
            Self::IsNot(not) => *number != not,
        };
        numbers.iter().copied().filter(wanted).map(Self::Is).collect()
    }
}

/// An end of a packet's way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Source,
    Destination,
}

/// Each of some, or once none.
fn each<T>(some: Vec<T>) -> Vec<Option<T>> {
    if some.is_empty() { vec![None] } else { some.into_iter().map(Some).collect() }
}

/// The prefixes without those that lie within another.
fn disjoint(prefixes: &[Prefix]) -> Vec<Prefix> {
    let mut sorted = prefixes.to_vec();
    sorted.sort_by_key(|prefix| prefix.length);
    let mut kept: Vec<Prefix> = Vec::new();
    for prefix in sorted {
        if !kept.iter().any(|wider| wider.contains(prefix.address)) {
            kept.push(prefix);
        }
    }
    kept
}

/// The name of a link as the kernel compares it: 16 bytes, filled up with NUL.
fn link_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

const NFT_REG_VERDICT: u32 = 0;
const NFT_REG_1: u32 = 1;
const NFT_META_PROTOCOL: u32 = 1;
const NFT_META_IIFNAME: u32 = 6;
const NFT_META_OIFNAME: u32 = 7;
const NFT_META_NFPROTO: u32 = 15;
const NFT_META_L4PROTO: u32 = 16;
const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
const NFT_CMP_EQ: u32 = 0;
const NFT_CMP_NEQ: u32 = 1;
const NFT_CMP_LT: u32 = 2;
const NFT_CMP_LTE: u32 = 3;
const NFT_CMP_GTE: u32 = 5;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;

/// The expressions of a rule. All work on the first register.
#[derive(Default)]
struct Expressions {
    list: Attributes,
}

impl Expressions {
    fn push(&mut self, name: &str, data: Attributes) {
        let expression = Attributes::new().put_text(NFTA_EXPR_NAME, name).put_nested(NFTA_EXPR_DATA, data);
        self.list = std::mem::take(&mut self.list).put_nested(NFTA_LIST_ELEM, expression);
    }

    /// Goes on if the register compares so with a value.
    fn compare(&mut self, operator: u32, value: &[u8]) {
        let (register, comparison, data) = (1, 2, 3);
        let expression = Attributes::new()
            .put_be32(register, NFT_REG_1)
            .put_be32(comparison, operator)
            .put_nested(data, Attributes::new().put(NFTA_DATA_VALUE, value));
        self.push("cmp", expression);
    }

    fn load_meta(&mut self, key: u32) {
        let (register, what) = (1, 2);
        self.push("meta", Attributes::new().put_be32(register, NFT_REG_1).put_be32(what, key));
    }

    /// Goes on if what the kernel knows of the packet is so.
    fn meta(&mut self, key: u32, value: &[u8]) {
        self.load_meta(key);
        self.compare(NFT_CMP_EQ, value);
    }

    fn load_payload(&mut self, header: u32, from: u32, bytes: usize) {
        let (register, base, offset, length) = (1, 2, 3, 4);
        let expression = Attributes::new()
            .put_be32(register, NFT_REG_1)
            .put_be32(base, header)
            .put_be32(offset, from)
            .put_be32(length, bytes as u32);
        self.push("payload", expression);
    }

    /// Goes on if the address at an end of the way lies within a prefix.
    fn prefix(&mut self, family: Family, prefix: Prefix, end: End) {
        let v4 = prefix.address.is_ipv4();
        match (family, v4) {
            (Family::Netdev, true) => self.meta(NFT_META_PROTOCOL, &0x0800_u16.to_be_bytes()),
            (Family::Netdev, false) => self.meta(NFT_META_PROTOCOL, &0x86dd_u16.to_be_bytes()),
            (_, true) => self.meta(NFT_META_NFPROTO, &[Family::Ip.number()]),
            (_, false) => self.meta(NFT_META_NFPROTO, &[Family::Ip6.number()]),
        }
        let offset = match (v4, end) {
            (true, End::Source) => 12,
            (true, End::Destination) => 16,
            (false, End::Source) => 8,
            (false, End::Destination) => 24,
        };
        // Whole bytes are compared as they are; else the address as a whole is masked first.
        let mut value = octets(prefix.address);
        let length = prefix.length.min(8 * value.len() as u8);
        let (whole, bits) = (usize::from(length / 8), length % 8);
        if bits == 0 {
            value.truncate(whole);
        }
        if value.is_empty() {
            return; // A prefix of no bits holds every address.
        }
        self.load_payload(NFT_PAYLOAD_NETWORK_HEADER, offset, value.len());
        if bits > 0 {
            let mut mask = vec![0; value.len()];
            mask[..whole].fill(0xff);
            mask[whole] = !(0xff >> bits);
            value.iter_mut().zip(&mask).for_each(|(byte, mask)| *byte &= mask);
            self.mask(&mask);
        }
        self.compare(NFT_CMP_EQ, &value);
    }

    /// Keeps the bits of the register that are set in the mask.
    fn mask(&mut self, bits: &[u8]) {
        let (source, destination, length, mask, xor) = (1, 2, 3, 4, 5);
        let value = |bytes: &[u8]| Attributes::new().put(NFTA_DATA_VALUE, bytes);
        let expression = Attributes::new()
            .put_be32(source, NFT_REG_1)
            .put_be32(destination, NFT_REG_1)
            .put_be32(length, bits.len() as u32)
            .put_nested(mask, value(bits))
            .put_nested(xor, value(&vec![0; bits.len()]));
        self.push("bitwise", expression);
    }

    fn transport(&mut self, transport: Transport) {
        let (operator, number) = match transport {
            Transport::Any => return,
            Transport::Is(number) => (NFT_CMP_EQ, number),
            Transport::IsNot(number) => (NFT_CMP_NEQ, number),
        };
        self.load_meta(NFT_META_L4PROTO);
        self.compare(operator, &[number]);
    }

    /// Goes on if the port at an end of the way is within a range. The protocol was compared before.
    fn ports(&mut self, ports: Ports, end: End) {
        let offset = if end == End::Source { 0 } else { 2 };
        self.load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset, 2);
        if ports.first == ports.last {
            self.compare(NFT_CMP_EQ, &ports.first.to_be_bytes());
        } else {
            self.compare(NFT_CMP_GTE, &ports.first.to_be_bytes());
            self.compare(NFT_CMP_LTE, &ports.last.to_be_bytes());
        }
    }

    /// Goes on for a share of the packets. The random number is in the machine's byte order and "less than" compares
    /// byte by byte, so it is turned into network order first.
    fn chance(&mut self, share: f64) {
        const PARTS: u32 = 1_000_000;
        const NFT_NG_RANDOM: u32 = 1;
        const NFT_BYTEORDER_HTON: u32 = 1;
        if share >= 1.0 {
            return;
        }
        let (register, modulus, kind) = (1, 2, 3);
        let number = Attributes::new()
            .put_be32(register, NFT_REG_1)
            .put_be32(modulus, PARTS)
            .put_be32(kind, NFT_NG_RANDOM);
        self.push("numgen", number);
        let (source, destination, operation, length, size) = (1, 2, 3, 4, 5);
        let order = Attributes::new()
            .put_be32(source, NFT_REG_1)
            .put_be32(destination, NFT_REG_1)
            .put_be32(operation, NFT_BYTEORDER_HTON)
            .put_be32(length, 4)
            .put_be32(size, 4);
        self.push("byteorder", order);
        let struck = (share.max(0.0) * f64::from(PARTS)).round() as u32;
        self.compare(NFT_CMP_LT, &struck.to_be_bytes());
    }

    fn verdict(&mut self, verdict: Verdict) {
        const NF_DROP: u32 = 0;
        const NF_ACCEPT: u32 = 1;
        const NFT_REJECT_TCP_RST: u32 = 1;
        const NFT_REJECT_ICMPX_UNREACH: u32 = 2;
        const NFT_REJECT_ICMPX_PORT_UNREACH: u8 = 1;
        match verdict {
            Verdict::Accept => self.decide(NF_ACCEPT),
            Verdict::Drop => self.decide(NF_DROP),
            Verdict::ResetTcp => self.reject(NFT_REJECT_TCP_RST, 0),
            Verdict::PortUnreachable => self.reject(NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH),
        }
    }

    fn decide(&mut self, verdict: u32) {
        let (register, data, code) = (1, 2, 1);
        let value =
            Attributes::new().put_nested(NFTA_DATA_VERDICT, Attributes::new().put_be32(code, verdict));
        self.push("immediate", Attributes::new().put_be32(register, NFT_REG_VERDICT).put_nested(data, value));
    }

    fn reject(&mut self, kind: u32, code: u8) {
        let (how, icmp_code) = (1, 2);
        self.push("reject", Attributes::new().put_be32(how, kind).put(icmp_code, &[code]));
    }
}

/// Tables that live as long as this does. When it is dropped, or the process ends in whatever way, the kernel removes
/// them at once. The descriptor is not passed on to programs started; a child that is forked without starting a program
/// would share it and keep the tables alive.
#[derive(Debug)]
pub struct OwnedTables {
    socket: Socket,
    names: Vec<(Family, String)>,
}

impl OwnedTables {
    /// Makes tables in the network namespace of the calling thread, all of them or none. Fails if one is there already.
    /// Needs Linux 5.12.
    pub fn create(tables: &[Table]) -> Result<Self> {
        let mut socket = open_owner()?;
        make(&mut socket, tables, NFT_TABLE_F_OWNER)?;
        let names = tables.iter().map(|table| (table.family, table.name.clone())).collect();
        Ok(Self { socket, names })
    }

    /// Removes the tables at once, and lists those that stand in the namespace after; none where that could not be
    /// told, and then ours are gone too. Dropping this does the same and takes a hundred times as long: see
    /// [`close_aside`].
    pub fn release(self) -> Option<Vec<ListedTable>> {
        let Self { mut socket, names } = self;
        let messages = names.iter().map(|(family, name)| deletion(*family, name)).collect();
        // Where this is refused, what is left goes with the socket, which is closed here.
        commit(&mut socket, "delete nftables tables", messages).ok()?;
        let left = tables_of(&mut socket).ok();
        close_aside(socket);
        left
    }

    /// What the rules of a table counted. Works from any network namespace.
    pub fn counters(&mut self, family: Family, table: &str) -> Result<Vec<RuleCounter>> {
        counters_of(&mut self.socket, family, table)
    }

    /// Lists the tables of the network namespace that these are in.
    pub fn tables(&mut self) -> Result<Vec<ListedTable>> {
        tables_of(&mut self.socket)
    }
}

/// How many bits of an owner's port hold the number of its process, which is below 2²² (`PID_MAX_LIMIT`). The kernel
/// gives ports in this range, for the first socket of a process, or above 2³¹, and so none of ours.
const PROCESS_BITS: u32 = 22;

/// These bits.
const PROCESS_MASK: u32 = (1 << PROCESS_BITS) - 1;

/// How many ports a process may have for its owners before the first is used again.
const OWNER_PORTS: u32 = (1 << (31 - PROCESS_BITS)) - 1;

/// Opens a socket with a port that no other socket has, or had a moment ago.
fn open_owner() -> Result<Socket> {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    let mut attempts = 0..OWNER_PORTS;
    loop {
        let number = OPENED.fetch_add(1, Ordering::Relaxed) % OWNER_PORTS + 1;
        let port = number << PROCESS_BITS | std::process::id() & PROCESS_MASK;
        match Socket::open_as(Protocol::Netfilter, port) {
            // A process of the same number in another PID namespace may have it, or one of our own, long ago.
            Err(error) if error.errno() == Some(Errno::ADDRINUSE) && attempts.next().is_some() => {}
            result => return result,
        }
    }
}

/// Closes a socket on a thread of its own. Where anything of nftables was deleted just before, by whomever, the kernel
/// lets a socket go only when no packet can be under way in it any more, which takes a hundred times as long as all else.
fn close_aside(socket: Socket) {
    // Should there be no thread to be had, the closure is dropped here and the wait is ours.
    let _ = std::thread::Builder::new().name("packet filter".to_owned()).spawn(move || drop(socket));
}

/// Makes tables in the network namespace of the calling thread that stay until they are deleted, all of them or none.
/// Fails if one is there already.
pub fn create(tables: &[Table]) -> Result<()> {
    make(&mut Socket::open(Protocol::Netfilter)?, tables, 0)
}

fn make(socket: &mut Socket, tables: &[Table], flags: u32) -> Result<()> {
    let mut messages = Vec::new();
    for table in tables {
        table_messages(table, flags, &mut messages);
    }
    let names: Vec<String> = tables.iter().map(|table| format!("{} {}", table.family, table.name)).collect();
    commit(socket, format_args!("add the nftables table {}", names.join(" and ")), messages).map_err(
        |error| {
            let families: Vec<String> = tables.iter().map(|table| table.family.to_string()).collect();
            match error {
                Error::Refused { what, errno: Errno::OPNOTSUPP, .. } => {
                    let module = format!("nf_tables for {} (or not with that hook)", families.join(" and "));
                    Error::Unsupported { what, module, errno: Errno::OPNOTSUPP }
                }
                other => other,
            }
        },
    )
}

/// Deletes a table in the network namespace of the calling thread. Says whether it was there. One that another socket
/// owns is refused with `EPERM`.
pub fn delete(family: Family, name: &str) -> Result<bool> {
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let what = format_args!("delete the nftables table {family} {name}");
    match commit(&mut socket, what, vec![deletion(family, name)]) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::OPNOTSUPP)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn deletion(family: Family, name: &str) -> Message {
    message(NFT_MSG_DELTABLE, 0, family).with(|list| list.put_text(NFTA_TABLE_NAME, name))
}

fn table_messages(table: &Table, flags: u32, messages: &mut Vec<Message>) {
    let Table { family, name, comment, chains } = table;
    messages.push(message(NFT_MSG_NEWTABLE, flags::CREATE | flags::EXCLUSIVE, *family).with(|list| {
        let list = list.put_text(NFTA_TABLE_NAME, name).put_be32(NFTA_TABLE_FLAGS, flags);
        put_comment(list, NFTA_TABLE_USERDATA, comment)
    }));
    for chain in chains {
        messages.push(message(NFT_MSG_NEWCHAIN, flags::CREATE | flags::EXCLUSIVE, *family).with(|list| {
            const NF_ACCEPT: u32 = 1;
            let mut hook = Attributes::new()
                .put_be32(NFTA_HOOK_HOOKNUM, chain.hook.number())
                .put(NFTA_HOOK_PRIORITY, &chain.priority.to_be_bytes());
            if let Some(device) = chain.hook.device() {
                hook = hook.put_text(NFTA_HOOK_DEV, device);
            }
            list.put_text(NFTA_CHAIN_TABLE, name)
                .put_text(NFTA_CHAIN_NAME, &chain.name)
                .put_nested(NFTA_CHAIN_HOOK, hook)
                .put_be32(NFTA_CHAIN_POLICY, NF_ACCEPT)
                .put_text(NFTA_CHAIN_TYPE, "filter")
        }));
        for rule in &chain.rules {
            messages.push(message(NFT_MSG_NEWRULE, flags::CREATE | flags::APPEND, *family).with(|list| {
                let list = list
                    .put_text(NFTA_RULE_TABLE, name)
                    .put_text(NFTA_RULE_CHAIN, &chain.name)
                    .put_nested(NFTA_RULE_EXPRESSIONS, rule.expressions.clone());
                put_comment(list, NFTA_RULE_USERDATA, &rule.comment)
            }));
        }
    }
}

/// Sends changes as one transaction.
fn commit(socket: &mut Socket, what: impl fmt::Display, changes: Vec<Message>) -> Result<()> {
    let subsystem = NFNL_SUBSYS_NFTABLES.to_be_bytes();
    let mark = |kind| Message::new(kind, 0, &[0, 0, subsystem[0], subsystem[1]]);
    let mut batch = vec![mark(NFNL_MSG_BATCH_BEGIN)];
    batch.extend(changes);
    batch.push(mark(NFNL_MSG_BATCH_END));
    socket.batch(what, &batch, 1)
}

fn message(kind: u16, flags: u16, family: Family) -> Message {
    Message::new(NFNL_SUBSYS_NFTABLES << 8 | kind, flags, &[family.number(), 0, 0, 0])
}

/// Adds a comment as `nft` keeps it: type 0, length with the closing NUL, text.
fn put_comment(list: Attributes, kind: u16, comment: &str) -> Attributes {
    let mut end = comment.len().min(LONGEST_COMMENT - 1);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    let text = &comment.as_bytes()[..end];
    if text.is_empty() {
        list
    } else {
        list.put(kind, &[&[0, text.len() as u8 + 1][..], text, &[0]].concat())
    }
}

fn comment(list: &AttributeIter<'_>, kind: u16) -> String {
    match list.find_kind(kind) {
        Some([0, length, rest @ ..]) => text(rest.get(..usize::from(*length)).unwrap_or_default()),
        _ => String::new(),
    }
}

fn be32(list: &AttributeIter<'_>, kind: u16) -> Option<u32> {
    array_at(list.find_kind(kind)?, 0).map(u32::from_be_bytes)
}

fn be64(list: &AttributeIter<'_>, kind: u16) -> Option<u64> {
    array_at(list.find_kind(kind)?, 0).map(u64::from_be_bytes)
}

/// A table that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTable {
    /// What it sees.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// Its remark.
    pub comment: String,
    /// Whether it goes away with the socket that made it.
    pub owned: bool,
    /// Number of the process that holds that socket, where the socket's port tells.
    pub owner: Option<u32>,
}

/// Lists the tables of the network namespace of the calling thread, of all families. None on a kernel without nftables.
pub fn tables() -> Result<Vec<ListedTable>> {
    tables_of(&mut Socket::open(Protocol::Netfilter)?)
}

fn tables_of(socket: &mut Socket) -> Result<Vec<ListedTable>> {
    match socket.dump("list the nftables tables", &message(NFT_MSG_GETTABLE, 0, Family::Other(0))) {
        Ok(replies) => Ok(replies.iter().filter_map(listed_table).collect()),
        Err(error) if matches!(error.errno(), Some(Errno::INVAL | Errno::OPNOTSUPP)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn listed_table(reply: &Reply) -> Option<ListedTable> {
    let list = reply.attributes(NFGENMSG);
    Some(ListedTable {
        family: Family::from_number(*reply.payload.first()?),
        name: list.text(NFTA_TABLE_NAME)?,
        comment: comment(&list, NFTA_TABLE_USERDATA),
        owned: be32(&list, NFTA_TABLE_FLAGS).is_some_and(|flags| flags & NFT_TABLE_F_OWNER != 0),
        owner: be32(&list, NFTA_TABLE_OWNER).filter(|port| port >> 31 == 0).map(|port| port & PROCESS_MASK),
    })
}

/// What a rule with a counter counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCounter {
    /// Name of the rule's chain.
    pub chain: String,
    /// The rule's number within the table.
    pub handle: u64,
    /// The rule's remark.
    pub comment: String,
    /// Packets that reached the verdict.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What the rules of a table in the network namespace of the calling thread counted, in their order. Empty for a table
/// that is not there.
pub fn counters(family: Family, table: &str) -> Result<Vec<RuleCounter>> {
    counters_of(&mut Socket::open(Protocol::Netfilter)?, family, table)
}

fn counters_of(socket: &mut Socket, family: Family, table: &str) -> Result<Vec<RuleCounter>> {
    let question = message(NFT_MSG_GETRULE, 0, family).with(|list| list.put_text(NFTA_RULE_TABLE, table));
    let replies =
        socket.dump(format_args!("read the counters of the nftables table {family} {table}"), &question)?;
    // Older kernels list the rules of all tables.
    let of_table =
        |reply: &&Reply| reply.attributes(NFGENMSG).text(NFTA_RULE_TABLE).as_deref() == Some(table);
    Ok(replies.iter().filter(of_table).filter_map(rule_counter).collect())
}

fn rule_counter(reply: &Reply) -> Option<RuleCounter> {
    let list = reply.attributes(NFGENMSG);
    let counter = list
        .nested(NFTA_RULE_EXPRESSIONS)
        .map(|(_, expression)| attributes(expression))
        .find(|expression| expression.text(NFTA_EXPR_NAME).as_deref() == Some("counter"))?
        .nested(NFTA_EXPR_DATA);
    Some(RuleCounter {
        chain: list.text(NFTA_RULE_CHAIN)?,
        handle: be64(&list, NFTA_RULE_HANDLE)?,
        comment: comment(&list, NFTA_RULE_USERDATA),
        packets: be64(&counter, NFTA_COUNTER_PACKETS)?,
        bytes: be64(&counter, NFTA_COUNTER_BYTES)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::namespace::tests::{TestNamespace, privileged};
    use super::super::namespace::{self, Namespace};
    use super::*;
    use squall_model::step::Protocol as Transport;
    use std::collections::BTreeSet;
    use std::io::{BufRead, BufReader, ErrorKind};
    use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    /// Whether the kernel can do this, tried in a network namespace that is gone afterwards.
    fn has(owned: bool, hook: Hook, share: f64, denial: Denial) -> bool {
        let mut chain = Chain::new("probe", hook, FIRST);
        chain.deny(None, &PacketFilter::default(), share, denial, "");
        let tables = [table("probe", vec![chain])];
        let made = namespace::run_in_fresh(|| {
            if owned { OwnedTables::create(&tables).map(drop) } else { create(&tables) }
        });
        matches!(made, Ok(Ok(())))
    }

    /// Whether the kernel has all of nftables; says why not if not.
    fn has_all() -> bool {
        if !privileged() {
            return false;
        }
        let parts = [
            ("owners of tables", has(true, Hook::Input, 1.0, Denial::Drop)),
            ("egress hooks", has(false, Hook::Egress("lo".to_owned()), 1.0, Denial::Drop)),
            ("numgen", has(false, Hook::Input, 0.5, Denial::Drop)),
            ("reject", has(false, Hook::Input, 1.0, Denial::Reject)),
        ];
        let missing = parts.iter().find(|(_, has)| !has);
        missing.inspect(|(part, _)| println!("skipped: this kernel has no {part} in nftables")).is_none()
    }

    fn table(name: &str, chains: Vec<Chain>) -> Table {
        Table {
            family: chains[0].hook.family(),
            name: name.to_owned(),
            comment: "squall of a test".to_owned(),
            chains,
        }
    }

    /// A table with one chain with one rule that drops.
    fn dropping(hook: Hook, filter: &PacketFilter, share: f64) -> Table {
        denying(hook, filter, share, Denial::Drop)
    }

    fn denying(hook: Hook, filter: &PacketFilter, share: f64, denial: Denial) -> Table {
        let mut chain = Chain::new("c", hook, FIRST);
        chain.deny(None, filter, share, denial, "test");
        table("sqt", vec![chain])
    }

    fn own(namespace: &Namespace, tables: &[Table]) -> OwnedTables {
        namespace.run(|| OwnedTables::create(tables)).unwrap().unwrap()
    }

    fn udp(port: u16) -> PacketFilter {
        let ports = Some(Ports { first: port, last: port });
        PacketFilter { protocol: Some(Transport::Udp), remote_port: ports, ..PacketFilter::default() }
    }

    fn to(prefixes: &[&str]) -> PacketFilter {
        let remote = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
        PacketFilter { remote, ..PacketFilter::default() }
    }

    fn egress() -> Hook {
        Hook::Egress("eth0".to_owned())
    }

    /// Two sockets, of which the first can send to the second.
    fn pair(here: &Namespace, there: &Namespace, v6: bool) -> (UdpSocket, UdpSocket) {
        let [mine, theirs] =
            if v6 { ["[fd09::1]:0", "[fd09::2]:7001"] } else { ["10.9.0.1:0", "10.9.0.2:7001"] };
        let sender = here.run(|| UdpSocket::bind(mine).unwrap()).unwrap();
        let receiver = there.run(|| UdpSocket::bind(theirs).unwrap()).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        (sender, receiver)
    }

    /// How many of so many packets arrive. All must be sent without an error.
    fn arrived((sender, receiver): &(UdpSocket, UdpSocket), count: usize) -> usize {
        const AT_ONCE: usize = 200; // As many as the receiver's buffer holds.
        let receive = |sent: usize| (0..sent).map_while(|_| receiver.recv(&mut [0; 200]).ok()).count();
        let batches = (0..count).step_by(AT_ONCE).map(|done| AT_ONCE.min(count - done));
        batches
            .map(|batch| {
                (0..batch).for_each(|_| assert_eq!(sender.send(&[0; 100]).unwrap(), 100));
                receive(batch)
            })
            .sum()
    }

    /// What nft shows without what was counted: a new interface says something of its own now and then.
    fn without_counts(shown: &str) -> String {
        let mut words = shown.split_inclusive(char::is_whitespace).peekable();
        let mut text = String::new();
        while let Some(word) = words.next() {
            let is_count = matches!(word.trim(), "packets" | "bytes");
            let is_counted = words.peek().is_some_and(|next| next.trim().parse::<u64>().is_ok());
            if is_count && is_counted {
                words.next();
            } else {
                text.push_str(word);
            }
        }
        text
    }

    #[test]
    fn a_table_is_shown_by_nft_as_it_was_asked_for() {
        if !has_all() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let namespace = here.open();
        let mut input = Chain::new("in", Hook::Input, FIRST);
        input.spare(&PacketFilter { local: to(&["10.9.0.1"]).remote, ..udp(22) }, "ssh");
        input.spare_answers("answer");
        input.spare_neighbour_discovery("neighbour");
        let ranged = PacketFilter {
            remote_port: Some(Ports { first: 50, last: 60 }),
            protocol: Some(Transport::Tcp),
            ..to(&["10.9.0.0/21", "fd09::/61"])
        };
        input.deny(Some("eth0"), &ranged, 0.3, Denial::Reject, "");
        let mut output = Chain::new("out", Hook::Output, 7);
        output.deny(Some("eth0"), &to(&["10.9.0.0/24", "fd09::/64", "::/0"]), 1.0, Denial::Drop, "");
        let mut lossy = Chain::new("lossy", egress(), -5);
        lossy.deny(
            None,
            &PacketFilter { protocol: Some(Transport::Icmp), ..to(&["10.9.0.2"]) },
            0.25,
            Denial::Drop,
            "x",
        );
        let tables = [table("sqt_inet", vec![input, output]), table("sqt_netdev", vec![lossy])];
        namespace.run(|| create(&tables)).unwrap().unwrap();
        // Versions of nft write the test of one flag in two ways.
        let shown = here.run(&["nft", "list", "ruleset"]).replace("tcp flags & rst == rst", "tcp flags rst");
        println!("{shown}");
        let shown = without_counts(&shown);
        let lines: Vec<&str> =
            shown.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "}").collect();
        // A priority is shown with the name of a known one near it.
        let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!(count("comment \"squall of a test\""), 2);
        assert_eq!(count("type filter hook input priority -450; policy accept;"), 1);
        assert_eq!(count("type filter hook output priority"), 1);
        assert_eq!(count("type filter hook egress device \"eth0\" priority"), 1);
        for rule in [
            "ip daddr 10.9.0.1 udp sport 22 counter accept comment \"ssh\"",
            "tcp flags rst counter accept comment \"answer\"",
            "icmp type destination-unreachable counter accept comment \"answer\"",
            "icmpv6 type destination-unreachable counter accept comment \"answer\"",
            "icmpv6 type 133-137 counter accept comment \"neighbour\"",
            "iifname \"eth0\" ip saddr 10.9.0.0/21 tcp sport 50-60 numgen random mod 1000000 < 300000 counter reject with tcp reset",
            "iifname \"eth0\" ip6 saddr fd09::/61 tcp sport 50-60 numgen random mod 1000000 < 300000 counter reject with tcp reset",
            "oifname \"eth0\" ip daddr 10.9.0.0/24 counter drop",
            "oifname \"eth0\" meta nfproto ipv6 counter drop",
            "ip daddr 10.9.0.2 meta l4proto icmp numgen random mod 1000000 < 250000 counter drop comment \"x\"",
        ] {
            assert!(lines.iter().any(|line| line.starts_with(rule)), "missing: {rule}");
        }
        assert_eq!(lines.iter().filter(|line| line.contains("fd09::/64")).count(), 0, "it lies within ::/0");

        let listed = namespace.run(tables_in_here).unwrap();
        let (names, owned): (Vec<_>, Vec<_>) =
            listed.iter().map(|table| (table.name.as_str(), table.owned)).unzip();
        assert_eq!((names, owned), (vec!["sqt_inet", "sqt_netdev"], vec![false, false]));
        assert!(listed.iter().all(|table| table.comment == "squall of a test" && table.owner.is_none()));
        assert_eq!(listed[1].family, Family::Netdev);
        namespace
            .run(|| {
                assert!(delete(Family::Inet, "sqt_inet").unwrap());
                assert!(!delete(Family::Inet, "sqt_inet").unwrap(), "deleting again does nothing");
                assert!(delete(Family::Netdev, "sqt_netdev").unwrap());
            })
            .unwrap();
        assert_eq!(here.run(&["nft", "list", "ruleset"]), "");
    }

    fn tables_in_here() -> Vec<ListedTable> {
        let mut tables = tables().unwrap();
        tables.sort_by(|one, other| one.name.cmp(&other.name));
        tables
    }

    #[test]
    fn an_owned_table_goes_with_its_owner_and_nobody_else_deletes_it() {
        if !has_all() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let namespace = here.open();
        let mut owned =
            own(&namespace, &[dropping(Hook::Input, &udp(9), 1.0), dropping(egress(), &udp(9), 1.0)]);
        let listed = owned.tables().unwrap();
        assert!(
            listed.len() == 2
                && listed.iter().all(|table| table.owned && table.owner == Some(std::process::id())),
            "{listed:?}"
        );
        let refused = namespace.run(|| delete(Family::Inet, "sqt")).unwrap().unwrap_err();
        assert_eq!(refused.errno(), Some(Errno::PERM));
        assert!(
            !here.output(&["nft", "flush", "ruleset"]).status.success() || owned.tables().unwrap().len() == 2
        );
        drop(owned);
        assert_eq!(namespace.run(tables_in_here).unwrap(), []);
    }

    #[test]
    fn no_owner_gets_the_port_of_another_socket_that_closes_meanwhile() {
        let ports: BTreeSet<u32> = (0..100).map(|_| open_owner().unwrap().port()).collect();
        assert_eq!(ports.len(), 100);
        let first_of_a_process = 1..1 << PROCESS_BITS;
        assert!(ports.iter().all(|port| !first_of_a_process.contains(port) && port >> 31 == 0));
        assert!(ports.iter().all(|port| port & PROCESS_MASK == std::process::id()));
    }

    #[test]
    fn an_owned_table_goes_when_its_process_is_killed() {
        const HOLD: &str = "SQUALL_TEST_HOLD_TABLE_IN";
        if let Ok(path) = std::env::var(HOLD) {
            let _owned = own(&Namespace::open(path).unwrap(), &[dropping(Hook::Input, &udp(9), 1.0)]);
            println!("holding");
            std::thread::sleep(Duration::from_secs(20));
            return;
        }
        if !has_all() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let mut holder = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "sys::nftables::tests::an_owned_table_goes_when_its_process_is_killed",
            ])
            .env(HOLD, here.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(holder.stdout.take().unwrap());
        let held = output.lines().map_while(std::io::Result::ok).any(|line| line.ends_with("holding"));
        let during = here.open().run(tables_in_here).unwrap();
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(held);
        assert_eq!(during.len(), 1);
        assert_eq!(here.open().run(tables_in_here).unwrap(), []);
    }

    #[test]
    fn a_batch_is_made_whole_or_not_at_all() {
        if !has_all() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let namespace = here.open();
        let good = dropping(Hook::Input, &udp(9), 1.0);
        let bad = denying(egress(), &udp(9), 1.0, Denial::Reject); // Which cannot be done there.
        let error = namespace.run(|| OwnedTables::create(&[good.clone(), bad])).unwrap().unwrap_err();
        assert!(
            error.to_string().starts_with("could not add the nftables table inet sqt and netdev sqt: "),
            "{error}"
        );
        assert_eq!(namespace.run(tables_in_here).unwrap(), []);
        let owned = own(&namespace, std::slice::from_ref(&good));
        let again = namespace.run(|| create(std::slice::from_ref(&good))).unwrap().unwrap_err();
        assert!(matches!(again.errno(), Some(Errno::EXIST | Errno::PERM)), "{again}");
        drop(owned);
    }

    #[test]
    fn a_large_batch_is_taken() {
        if !has_all() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let many: Vec<String> =
            (0..2000).map(|number| format!("10.{}.{}.0/25", number / 250, number % 250)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut owned = own(&here.open(), &[dropping(egress(), &to(&many), 1.0)]);
        assert_eq!(owned.counters(Family::Netdev, "sqt").unwrap().len(), 2000);
    }

    #[test]
    fn packets_dropped_at_egress_are_lost_in_silence_and_counted() {
        if !has_all() {
            return;
        }
        let (here, there) = TestNamespace::with_neighbour();
        let (near, far) = (here.open(), there.open());
        for v6 in [false, true] {
            let sockets = pair(&near, &far, v6);
            assert_eq!(arrived(&sockets, 5), 5);
            let mut owned = own(&near, &[dropping(egress(), &udp(7001), 1.0)]);
            assert_eq!(arrived(&sockets, 20), 0);
            let counted = owned.counters(Family::Netdev, "sqt").unwrap();
            let header = if v6 { 48 } else { 28 };
            assert_eq!((counted[0].packets, counted[0].bytes), (20, 20 * (100 + header + 14)));
            assert_eq!((counted[0].chain.as_str(), counted[0].comment.as_str()), ("c", "test"));
            drop(owned);
            assert_eq!(arrived(&sockets, 5), 5);
        }
    }

    #[test]
    fn a_share_of_packets_is_lost_once_whatever_the_prefixes() {
        if !has_all() {
            return;
        }
        let (here, there) = TestNamespace::with_neighbour();
        let (near, far) = (here.open(), there.open());
        let sockets = pair(&near, &far, false);
        let filter = to(&["10.9.0.2", "10.9.0.0/24", "10.9.0.0/24", "10.0.0.0/8", "fd09::/64"]);
        let mut owned = own(&near, &[dropping(egress(), &filter, 0.3)]);
        let arrived = arrived(&sockets, 2000);
        // 1400 ± 5 standard deviations of 20.5.
        assert!((1297..=1503).contains(&arrived), "{arrived} of 2000");
        let counted = owned.counters(Family::Netdev, "sqt").unwrap();
        assert_eq!(counted.iter().map(|rule| rule.packets).sum::<u64>(), 2000 - arrived as u64);
    }

    #[test]
    fn filters_take_the_right_packets_at_every_hook() {
        if !has_all() {
            return;
        }
        let (here, there) = TestNamespace::with_neighbour();
        let (near, far) = (here.open(), there.open());
        let sockets = pair(&near, &far, false);
        let sender = sockets.0.local_addr().unwrap().port();
        let ports = |first, last| Some(Ports { first, last });
        // What the receiver sees has the ends the other way round.
        let cases: [(PacketFilter, PacketFilter, bool); 8] = [
            (to(&["10.9.0.0/30"]), to(&["10.9.0.1"]), true),
            (to(&["10.9.0.4/30"]), to(&["10.9.0.2"]), false),
            (to(&["fd09::/64"]), to(&["::/0"]), false),
            (
                PacketFilter { remote_port: ports(7000, 7001), ..PacketFilter::default() },
                PacketFilter { local_port: ports(7000, 7001), ..PacketFilter::default() },
                true,
            ),
            (
                PacketFilter { local_port: ports(sender, sender), ..PacketFilter::default() },
                PacketFilter { remote_port: ports(sender, sender), ..PacketFilter::default() },
                true,
            ),
            (
                PacketFilter { remote_port: ports(7002, 7003), ..PacketFilter::default() },
                PacketFilter { remote_port: ports(7001, 7001), ..PacketFilter::default() },
                false,
            ),
            (
                PacketFilter { protocol: Some(Transport::Tcp), ..to(&["10.9.0.2"]) },
                PacketFilter { protocol: Some(Transport::Icmp), ..PacketFilter::default() },
                false,
            ),
            (
                PacketFilter { local: to(&["10.9.0.1"]).remote, ..to(&["10.9.0.2"]) },
                PacketFilter { local: to(&["10.9.0.2"]).remote, ..to(&["10.9.0.1"]) },
                true,
            ),
        ];
        for (leaving, arriving, expected) in cases {
            let ingress = Hook::Ingress("eth0".to_owned());
            for (namespace, hook, filter) in
                [(&near, egress(), &leaving), (&far, ingress, &arriving), (&far, Hook::Input, &arriving)]
            {
                let owned = own(namespace, &[dropping(hook.clone(), filter, 1.0)]);
                assert_eq!(arrived(&sockets, 1) == 0, expected, "{hook:?}: {filter}");
                drop(owned);
            }
        }
        // Which link a packet comes by counts too, and what is spared before is not denied.
        for (link, spare, expected) in [("eth0", false, true), ("eth1", false, false), ("eth0", true, false)]
        {
            let mut chain = Chain::new("c", Hook::Input, FIRST);
            if spare {
                chain.spare(&to(&["10.9.0.1"]), "");
            }
            chain.deny(Some(link), &PacketFilter::default(), 1.0, Denial::Drop, "");
            let owned = own(&far, &[table("sqt", vec![chain])]);
            assert_eq!(arrived(&sockets, 1) == 0, expected, "{link} {spare}");
            drop(owned);
        }
    }

    #[test]
    fn a_drop_at_output_is_told_to_the_sender() {
        if !has_all() {
            return;
        }
        let (here, there) = TestNamespace::with_neighbour();
        let (sender, _receiver) = pair(&here.open(), &there.open(), false);
        let _owned = own(&here.open(), &[dropping(Hook::Output, &udp(7001), 1.0)]);
        assert_eq!(sender.send(&[0]).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_rejected_sender_knows_at_once() {
        if !has_all() {
            return;
        }
        let (here, there) = TestNamespace::with_neighbour();
        let (near, far) = (here.open(), there.open());
        for address in ["10.9.0.2:7002", "[fd09::2]:7002"] {
            let address: SocketAddr = address.parse().unwrap();
            let listener = far.run(|| TcpListener::bind(address).unwrap()).unwrap();
            let connect =
                || near.run(|| TcpStream::connect_timeout(&address, Duration::from_secs(5))).unwrap();
            connect().unwrap();
            for (namespace, hook) in [(&far, Hook::Input), (&near, Hook::Output)] {
                let mut chain = Chain::new("c", hook.clone(), FIRST);
                chain.deny(Some("eth0"), &PacketFilter::default(), 1.0, Denial::Reject, "");
                let owned = own(namespace, &[table("sqt", vec![chain])]);
                // Told, not timed out.
                assert_eq!(connect().unwrap_err().kind(), ErrorKind::ConnectionRefused, "{hook:?} {address}");
                drop(owned);
            }
            connect().unwrap();
            drop(listener);
        }
        // UDP gets "port unreachable", which a connected socket reports at the next call.
        let (sender, _receiver) = pair(&near, &far, false);
        sender.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _owned = own(&far, &[denying(Hook::Input, &PacketFilter::default(), 1.0, Denial::Reject)]);
        sender.send(&[0]).unwrap();
        assert_eq!(sender.recv(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn what_the_kernel_has_is_what_nft_can_make() {
        if !privileged() {
            return;
        }
        let inet = has(false, Hook::Input, 1.0, Denial::Drop);
        let namespace = TestNamespace::new();
        let chain = |family: &str, hook: &str| {
            let commands = format!(
                "add table {family} t; add chain {family} t c {{ type filter hook {hook} priority 0; }}"
            );
            namespace.output(&["nft", &commands]).status.success()
        };
        assert_eq!(inet, chain("inet", "input"));
        let ingress = has(false, Hook::Ingress("lo".to_owned()), 1.0, Denial::Drop);
        assert_eq!(ingress, chain("netdev", "ingress device lo"));
        if !inet {
            let table = dropping(Hook::Input, &udp(9), 1.0);
            let error = namespace.open().run(|| create(&[table])).unwrap().unwrap_err();
            assert!(error.to_string().contains("this kernel has no nf_tables for inet"), "{error}");
        }
    }
}
