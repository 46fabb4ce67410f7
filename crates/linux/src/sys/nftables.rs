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
//! Sources: `include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h`, `net/netfilter/nf_tables_api.c`; nft(8);
//! `include/libnftnl/udata.h` for comments.

use super::classifier::transport_protocols;
use super::namespace;
use super::netlink::{
    AttributeIter, Attributes, Error, Message, Protocol, Reply, Result, Socket, array_at, attributes, flags,
    text,
};
use super::route::octets;
use rustix::io::Errno;
use squall_model::step::{Denial, PacketFilter, Ports, Prefix};
use std::fmt;

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

/// Where a chain sees packets.
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
        self.add(None, filter, Transport::Any, 1.0, Verdict::Accept, comment);
    }

    /// Denies a share (0 to 1), picked at random, of the packets that a filter describes, and counts those it denies.
    /// In a chain of family `inet`, only those that come in (input) or go out (output, forward) by the link of that
    /// name, if one is named. A packet is picked or not just once, however many prefixes of the filter it lies in.
    ///
    /// Rejecting resets TCP and answers "port unreachable" to the rest; it cannot be done at egress.
    pub fn deny(
        &mut self,
        link: Option<&str>,
        filter: &PacketFilter,
        share: f64,
        denial: Denial,
        comment: &str,
    ) {
        match denial {
            Denial::Drop => self.add(link, filter, Transport::Any, share, Verdict::Drop, comment),
            Denial::Reject => {
                self.add(link, filter, Transport::Is(TCP), share, Verdict::ResetTcp, comment);
                self.add(link, filter, Transport::IsNot(TCP), share, Verdict::PortUnreachable, comment);
            }
        }
    }

    /// A rule looks for one remote prefix, one local prefix and one protocol; a filter that names several becomes
    /// several rules, of which a packet fits at most one.
    fn add(
        &mut self,
        link: Option<&str>,
        filter: &PacketFilter,
        only: Transport,
        share: f64,
        verdict: Verdict,
        comment: &str,
    ) {
        let incoming = self.hook.incoming();
        let family = self.hook.family();
        let ends = |local: bool| if local == incoming { End::Destination } else { End::Source };
        for remote in each(disjoint(&filter.remote)) {
            for local in each(disjoint(&filter.local)) {
                for transport in only.of(filter) {
                    let mut rule = Expressions::default();
                    if let Some(link) = link {
                        rule.meta(
                            if incoming { NFT_META_IIFNAME } else { NFT_META_OIFNAME },
                            &link_name(link),
                        );
                    }
                    for (prefix, end) in [(remote, ends(false)), (local, ends(true))] {
                        prefix.into_iter().for_each(|prefix| rule.prefix(family, prefix, end));
                    }
                    rule.transport(transport);
                    for (ports, end) in [(filter.remote_port, ends(false)), (filter.local_port, ends(true))] {
                        ports.into_iter().for_each(|ports| rule.ports(ports, end));
                    }
                    rule.chance(share);
                    rule.push("counter", Attributes::new());
                    rule.verdict(verdict);
                    self.rules.push(Rule { expressions: rule.list, comment: comment.to_owned() });
                }
            }
        }
    }
}

const TCP: u8 = 6;

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
        // Only the bytes that count are loaded; the last of them may need a mask.
        let length = usize::from(prefix.length.min(Prefix::single(prefix.address).length));
        let mut value = octets(prefix.address);
        value.truncate(length.div_ceil(8));
        let Some(last) = value.last_mut() else { return };
        let ignored_bits = value_bits(length);
        *last &= 0xff << ignored_bits;
        self.load_payload(NFT_PAYLOAD_NETWORK_HEADER, offset, value.len());
        if ignored_bits > 0 {
            let mut mask = vec![0xff; value.len() - 1];
            mask.push(0xff << ignored_bits);
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

/// How many bits of the last byte do not count.
fn value_bits(length: usize) -> u32 {
    (8 - length % 8) as u32 % 8
}

/// Tables that live as long as this does. When it is dropped, or the process ends in whatever way, the kernel removes
/// them at once. The descriptor is not passed on to programs started; a child that is forked without starting a program
/// would share it and keep the tables alive.
#[derive(Debug)]
pub struct OwnedTables {
    socket: Socket,
}

impl OwnedTables {
    /// Makes tables in the network namespace of the calling thread, all of them or none. Fails if one is there already.
    /// Needs Linux 5.12.
    pub fn create(tables: &[Table]) -> Result<Self> {
        let mut socket = Socket::open(Protocol::Netfilter)?;
        make(&mut socket, tables, NFT_TABLE_F_OWNER)?;
        Ok(Self { socket })
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
    let message = message(NFT_MSG_DELTABLE, 0, family).with(|list| list.put_text(NFTA_TABLE_NAME, name));
    match commit(&mut socket, format_args!("delete the nftables table {family} {name}"), vec![message]) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::OPNOTSUPP)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn table_messages(table: &Table, flags: u32, messages: &mut Vec<Message>) {
    let Table { family, name, comment, chains } = table;
    messages.push(message(NFT_MSG_NEWTABLE, flags::CREATE | flags::EXCLUSIVE, *family).with(|list| {
        list.put_text(NFTA_TABLE_NAME, name)
            .put_be32(NFTA_TABLE_FLAGS, flags)
            .put(NFTA_TABLE_USERDATA, &user_data(comment))
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
                list.put_text(NFTA_RULE_TABLE, name)
                    .put_text(NFTA_RULE_CHAIN, &chain.name)
                    .put_nested(NFTA_RULE_EXPRESSIONS, rule.expressions.clone())
                    .put(NFTA_RULE_USERDATA, &user_data(&rule.comment))
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

/// A comment as `nft` keeps it: type 0, length with the closing NUL, text.
fn user_data(comment: &str) -> Vec<u8> {
    let mut end = comment.len().min(LONGEST_COMMENT - 1);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    let text = &comment.as_bytes()[..end];
    [&[0, text.len() as u8 + 1][..], text, &[0]].concat()
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
    /// Netlink port of that socket; mostly the number of its process.
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
        owner: be32(&list, NFTA_TABLE_OWNER),
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

/// Which parts of nftables a kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for one part of the kernel")]
pub struct Features {
    /// Tables that die with their owner (Linux 5.12).
    pub owner: bool,
    /// Family `inet`.
    pub inet: bool,
    /// Family `netdev` with the hook ingress.
    pub ingress: bool,
    /// Family `netdev` with the hook egress (Linux 5.16).
    pub egress: bool,
    /// Picking packets at random.
    pub chance: bool,
    /// Rejecting in family `inet`.
    pub reject: bool,
}

/// Finds out what the kernel has, by using it in a network namespace made for that and gone afterwards. Kernel modules
/// that are there but not loaded are loaded. Takes `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`.
pub fn features() -> Result<Features> {
    namespace::run_in_fresh(|| {
        let lo = || "lo".to_owned();
        let everything = PacketFilter::default();
        let drop = (1.0, Denial::Drop);
        let has = |owned: bool, hook: Hook, (share, denial): (f64, Denial)| {
            let mut chain = Chain::new("probe", hook.clone(), 0);
            chain.deny(None, &everything, share, denial, "");
            let table = Table {
                family: hook.family(),
                name: "probe".to_owned(),
                comment: String::new(),
                chains: vec![chain],
            };
            let tables = std::slice::from_ref(&table);
            let made = if owned { OwnedTables::create(tables).map(std::mem::drop) } else { create(tables) };
            if made.is_ok() && !owned {
                delete(table.family, &table.name)?;
            }
            match made {
                Ok(()) => Ok(true),
                Err(error) if matches!(error.errno(), Some(Errno::PERM | Errno::ACCESS) | None) => Err(error),
                Err(_) => Ok(false),
            }
        };
        let ingress = has(false, Hook::Ingress(lo()), drop)?;
        let inet = has(false, Hook::Input, drop)?;
        let any = || if inet { Hook::Input } else { Hook::Ingress(lo()) };
        Ok(Features {
            owner: has(true, any(), drop)?,
            inet,
            ingress,
            egress: has(false, Hook::Egress(lo()), drop)?,
            chance: has(false, any(), (0.5, Denial::Drop))?,
            reject: has(false, Hook::Input, (1.0, Denial::Reject))?,
        })
    })?
}
