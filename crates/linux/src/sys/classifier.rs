//! Picks packets out of a stream: packet filters compiled to classic BPF for the kernel's `cls_bpf`.
//!
//! One program says of each packet whether a qdisc treats it specially. Compared with the older `u32` classifier it
//! knows IPv4 headers with options, IPv6 extension headers, fragments, port ranges, exceptions, and chance. It is
//! loaded with `CAP_NET_ADMIN` alone and works on every kernel since 3.16.
//!
//! The machine has an accumulator A, an index X and sixteen words of memory, and only jumps forward; it returns 0 for
//! "not this packet". A load beyond the end of the packet ends it with 0. Loads at `SKF_NET_OFF` count from the network
//! header, whatever link layer is before it; loads at `SKF_AD_OFF` read not the packet but what the kernel knows of it.
//!
//! The packets are outgoing, so the remote side of a filter is the destination. A packet with a VLAN tag inside of its
//! frame (sent by a virtual machine through a bridge, say) is no IP packet to the program and is never picked.
//!
//! Sources: `Documentation/networking/filter.rst`, `net/core/filter.c`, `net/sched/cls_bpf.c`, `uapi/linux/filter.h`;
//! RFC 791, RFC 8200 section 4.

use super::netlink::{Error, Result};
use super::route::octets;
use squall_model::step::{PacketFilter, Ports, Prefix, Protocol};
use std::net::IpAddr;

/// As many instructions as the kernel takes (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_INDEXED: u16 = 0x48;
const LOAD_BYTE_INDEXED: u16 = 0x50;
const LOAD_NUMBER: u16 = 0x00;
const LOAD_MEMORY: u16 = 0x60;
const INDEX_NUMBER: u16 = 0x01;
const INDEX_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const STORE_INDEX: u16 = 0x03;
const ADD: u16 = 0x04;
const ADD_INDEX: u16 = 0x0c;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const ACCUMULATOR_TO_INDEX: u16 = 0x07;
const INDEX_TO_ACCUMULATOR: u16 = 0x87;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Offsets from here count from the network header (`SKF_NET_OFF`, -0x100000).
const NETWORK: u32 = 0xfff0_0000;
/// The packet's protocol by its link layer (`SKF_AD_OFF + SKF_AD_PROTOCOL`).
const ETHERTYPE: u32 = 0xffff_f000;
/// 32 random bits (`SKF_AD_OFF + SKF_AD_RANDOM`).
const RANDOM: u32 = 0xffff_f000 + 56;

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;

/// Memory word: number of the transport protocol, [`NONE`] if the packet is not IP.
const PROTOCOL: u32 = 0;
/// Memory word: where the transport header is, counted from the network header; [`NONE`] if it is not in the packet.
const TRANSPORT: u32 = 1;
const NONE: u32 = 0xffff;

/// How many IPv6 extension headers are passed over in search of the transport header.
const EXTENSION_HEADERS: usize = 4;

/// What the program returns for a packet that is picked: "the class that goes with this filter".
const PICKED: u32 = u32::MAX;

/// An end of the connection: of an outgoing packet, the source is the local one.
#[derive(Clone, Copy)]
enum Side {
    Local,
    Remote,
}

/// A program that picks packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    operand: u32,
}

impl Program {
    /// Compiles: picks a share (0 to 1) at random of the outgoing packets that any filter of `only` describes (all, if
    /// it is empty) and none of `except`. Fails if the filters are so many that the program is too long for the
    /// kernel, which takes some 200 prefixes.
    pub fn compile(only: &[PacketFilter], except: &[PacketFilter], share: f64) -> Result<Self> {
        let mut assembler = Assembler::default();
        let (pass, pick) = (assembler.label(), assembler.label());
        if only.iter().chain(except).any(|filter| transport_protocols(filter).is_some()) {
            find_transport(&mut assembler);
        }
        for filter in except {
            match_filter(&mut assembler, filter, pass);
        }
        for filter in only {
            match_filter(&mut assembler, filter, pick);
        }
        if !only.is_empty() {
            assembler.jump(pass);
        }
        assembler.place(pick);
        if share < 1.0 {
            assembler.push(LOAD_WORD, RANDOM);
            assembler.jump_if(JUMP_GREATER_OR_EQUAL, (share.max(0.0) * 4_294_967_296.0) as u32, pass);
        }
        assembler.push(RETURN, PICKED);
        assembler.place(pass);
        assembler.push(RETURN, 0);
        assembler.finish()
    }

    /// How many instructions it has.
    pub(super) fn length(&self) -> u16 {
        self.instructions.len() as u16 // At most `LONGEST`.
    }

    /// As `struct sock_filter`s.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let bytes = |instruction: &Instruction| {
            let mut bytes = [0; 8];
            bytes[..2].copy_from_slice(&instruction.code.to_ne_bytes());
            bytes[2..4].copy_from_slice(&[instruction.if_true, instruction.if_false]);
            bytes[4..].copy_from_slice(&instruction.operand.to_ne_bytes());
            bytes
        };
        self.instructions.iter().flat_map(bytes).collect()
    }
}

/// The numbers of the transport protocols that a filter describes; none if it does not care. Ports without a protocol
/// mean those that have them in the first four bytes of their header: TCP, UDP and SCTP.
pub(super) fn transport_protocols(filter: &PacketFilter) -> Option<&'static [u8]> {
    let ports = filter.local_port.is_some() || filter.remote_port.is_some();
    match filter.protocol {
        Some(Protocol::Tcp) => Some(&[6]),
        Some(Protocol::Udp) => Some(&[17]),
        Some(Protocol::Icmp | Protocol::Icmpv6) if ports => Some(&[]), // They have no ports.
        Some(Protocol::Icmp) => Some(&[1, 58]),
        Some(Protocol::Icmpv6) => Some(&[58]),
        None if ports => Some(&[6, 17, 132]),
        None => None,
    }
}

/// Goes to `matched` if a filter describes the packet, else on.
fn match_filter(assembler: &mut Assembler, filter: &PacketFilter, matched: Label) {
    let next = assembler.label();
    match_any_prefix(assembler, &filter.remote, Side::Remote, next);
    match_any_prefix(assembler, &filter.local, Side::Local, next);
    match_protocol(assembler, filter, next);
    for (ports, side) in [(filter.remote_port, Side::Remote), (filter.local_port, Side::Local)] {
        if let Some(ports) = ports {
            match_ports(assembler, ports, side, next);
        }
    }
    assembler.jump(matched);
    assembler.place(next);
}

/// Goes to `next` unless one of the prefixes, if there are any, holds the address.
fn match_any_prefix(assembler: &mut Assembler, prefixes: &[Prefix], side: Side, next: Label) {
    if prefixes.is_empty() {
        return;
    }
    let matched = assembler.label();
    for prefix in prefixes {
        let other = assembler.label();
        let (ethertype, first_word) = match (prefix.address, side) {
            (IpAddr::V4(_), Side::Local) => (IPV4, 12),
            (IpAddr::V4(_), Side::Remote) => (IPV4, 16),
            (IpAddr::V6(_), Side::Local) => (IPV6, 8),
            (IpAddr::V6(_), Side::Remote) => (IPV6, 24),
        };
        assembler.push(LOAD_WORD, ETHERTYPE);
        assembler.jump_unless(JUMP_EQUAL, ethertype, other);
        let octets = octets(prefix.address);
        for (index, word) in octets.as_chunks::<4>().0.iter().enumerate() {
            let bits = u32::from(prefix.length).saturating_sub(32 * index as u32).min(32);
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            if mask != 0 {
                assembler.push(LOAD_WORD, NETWORK + first_word + 4 * index as u32);
                assembler.push(AND, mask);
                assembler.jump_unless(JUMP_EQUAL, u32::from_be_bytes(*word) & mask, other);
            }
        }
        assembler.jump(matched);
        assembler.place(other);
    }
    assembler.jump(next);
    assembler.place(matched);
}

/// Goes to `next` unless the transport protocol is the one asked for, or one that has ports where they are asked for.
fn match_protocol(assembler: &mut Assembler, filter: &PacketFilter, next: Label) {
    let Some(wanted) = transport_protocols(filter) else { return };
    let matched = assembler.label();
    assembler.push(LOAD_MEMORY, PROTOCOL);
    for number in wanted {
        assembler.jump_if(JUMP_EQUAL, u32::from(*number), matched);
    }
    assembler.jump(next);
    assembler.place(matched);
}

/// Goes to `next` unless a port is within the range.
fn match_ports(assembler: &mut Assembler, ports: Ports, side: Side, next: Label) {
    let offset = if matches!(side, Side::Local) { 0 } else { 2 };
    assembler.push(LOAD_MEMORY, TRANSPORT);
    assembler.jump_if(JUMP_EQUAL, NONE, next);
    assembler.push(INDEX_MEMORY, TRANSPORT);
    assembler.push(LOAD_HALF_INDEXED, NETWORK + offset);
    assembler.jump_unless(JUMP_GREATER_OR_EQUAL, u32::from(ports.first), next);
    assembler.jump_if(JUMP_GREATER, u32::from(ports.last), next);
}

/// Writes down the transport protocol and where its header is.
fn find_transport(assembler: &mut Assembler) {
    let (v4, v6, done) = (assembler.label(), assembler.label(), assembler.label());
    assembler.push(LOAD_NUMBER, NONE);
    assembler.push(STORE, PROTOCOL);
    assembler.push(STORE, TRANSPORT);
    assembler.push(LOAD_WORD, ETHERTYPE);
    assembler.jump_if(JUMP_EQUAL, IPV4, v4);
    assembler.jump_if(JUMP_EQUAL, IPV6, v6);
    assembler.jump(done);

    assembler.place(v4);
    assembler.push(LOAD_BYTE, NETWORK + 9);
    assembler.push(STORE, PROTOCOL);
    assembler.push(LOAD_HALF, NETWORK + 6);
    assembler.jump_if(JUMP_ANY_BIT, 0x1fff, done); // A later fragment: it has no transport header.
    assembler.push(LOAD_BYTE, NETWORK);
    assembler.push(AND, 0x0f);
    assembler.push(SHIFT_LEFT, 2);
    assembler.push(STORE, TRANSPORT);
    assembler.jump(done);

    assembler.place(v6);
    find_transport_behind_extensions(assembler, done);
    assembler.place(done);
}

/// Passes over the extension headers of an IPv6 packet: A is the number of the header at X.
fn find_transport_behind_extensions(assembler: &mut Assembler, done: Label) {
    const HOP_BY_HOP: u32 = 0;
    const ROUTING: u32 = 43;
    const FRAGMENT: u32 = 44;
    const DESTINATION: u32 = 60;
    let found = assembler.label();
    assembler.push(INDEX_NUMBER, 40);
    assembler.push(LOAD_BYTE, NETWORK + 6);
    for _ in 0..EXTENSION_HEADERS {
        let (extension, fragment, next) = (assembler.label(), assembler.label(), assembler.label());
        for kind in [HOP_BY_HOP, ROUTING, DESTINATION] {
            assembler.jump_if(JUMP_EQUAL, kind, extension);
        }
        assembler.jump_unless(JUMP_EQUAL, FRAGMENT, found);

        assembler.place(fragment);
        assembler.push(LOAD_BYTE_INDEXED, NETWORK);
        assembler.push(STORE, PROTOCOL);
        assembler.push(LOAD_HALF_INDEXED, NETWORK + 2);
        assembler.jump_if(JUMP_ANY_BIT, 0xfff8, done); // A later fragment.
        assembler.push(INDEX_TO_ACCUMULATOR, 0);
        assembler.push(ADD, 8);
        assembler.jump(next);

        assembler.place(extension);
        assembler.push(LOAD_BYTE_INDEXED, NETWORK);
        assembler.push(STORE, PROTOCOL);
        assembler.push(LOAD_BYTE_INDEXED, NETWORK + 1); // Its length in units of 8 bytes, less one.
        assembler.push(ADD, 1);
        assembler.push(SHIFT_LEFT, 3);
        assembler.push(ADD_INDEX, 0);

        assembler.place(next);
        assembler.push(ACCUMULATOR_TO_INDEX, 0);
        assembler.push(LOAD_MEMORY, PROTOCOL);
    }
    assembler.place(found);
    assembler.push(STORE, PROTOCOL);
    assembler.push(STORE_INDEX, TRANSPORT);
}

/// A place in the program that instructions before it jump to.
#[derive(Clone, Copy)]
struct Label(usize);

/// Builds a program. A conditional jump reaches only 255 instructions far; each is therefore one over an
/// unconditional jump, which reaches everywhere.
#[derive(Default)]
struct Assembler {
    instructions: Vec<Instruction>,
    /// Where each label was placed.
    labels: Vec<usize>,
    /// Jumps and where they go.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn label(&mut self) -> Label {
        self.labels.push(0);
        Label(self.labels.len() - 1)
    }

    fn place(&mut self, label: Label) {
        self.labels[label.0] = self.instructions.len();
    }

    fn push(&mut self, code: u16, operand: u32) {
        self.instructions.push(Instruction { code, if_true: 0, if_false: 0, operand });
    }

    fn jump(&mut self, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(JUMP, 0);
    }

    fn jump_if(&mut self, test: u16, operand: u32, to: Label) {
        self.instructions.push(Instruction { code: test, if_true: 0, if_false: 1, operand });
        self.jump(to);
    }

    fn jump_unless(&mut self, test: u16, operand: u32, to: Label) {
        self.instructions.push(Instruction { code: test, if_true: 1, if_false: 0, operand });
        self.jump(to);
    }

    fn finish(mut self) -> Result<Program> {
        if self.instructions.len() > LONGEST {
            let detail = format_args!(
                "it takes {} instructions and the kernel allows {LONGEST}; name fewer addresses, or shorter prefixes",
                self.instructions.len()
            );
            return Err(Error::malformed("compile the packet filter", detail));
        }
        for (from, to) in self.jumps {
            self.instructions[from].operand = (self.labels[to.0] - from - 1) as u32;
        }
        Ok(Program { instructions: self.instructions })
    }
}

#[cfg(test)]
mod tests {
    use super::super::discipline::{Tbf, Treatment, treated_class};
    use super::super::namespace::tests::{TestNamespace, privileged};
    use super::super::qdisc::{Handle, Over, TrafficControl};
    use super::super::route;
    use super::*;
    use rustix::net::{AddressFamily, SendFlags, SocketAddrV4, SocketAddrV6, SocketType, sendto, socket};
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    /// A link by which packets of any shape are sent for a qdisc to look at; the far end drops them.
    struct Bench {
        _namespaces: (TestNamespace, TestNamespace),
        link: u32,
        control: TrafficControl,
        raw: [OwnedFd; 2],
    }

    impl Bench {
        fn new() -> Self {
            let (here, there) = TestNamespace::with_neighbour();
            let hardware = there.run(&["cat", "/sys/class/net/eth0/address"]);
            for gateway in ["10.9.0.2", "fd09::2"] {
                here.run(&["ip", "neighbour", "replace", gateway, "dev", "eth0", "lladdr", hardware.trim()]);
                here.run(&["ip", "route", "add", "default", "via", gateway]);
            }
            let (link, control, raw) = here
                .open()
                .run(|| {
                    let links = route::links().unwrap();
                    let link = links.into_iter().find(|link| link.name == "eth0").unwrap().index;
                    let raw = [AddressFamily::INET, AddressFamily::INET6].map(|family| {
                        socket(family, SocketType::RAW, Some(rustix::net::ipproto::RAW)).unwrap()
                    });
                    (link, TrafficControl::open().unwrap(), raw)
                })
                .unwrap();
            Self { _namespaces: (here, there), link, control, raw }
        }

        /// How many of the packets the program picks.
        fn picked(&mut self, program: &Program, packets: &[Vec<u8>]) -> u64 {
            const ROOT: Handle = Handle::new(0x5a11, 0);
            let limit = Tbf { rate: 1_000_000_000, burst: 10_000_000, queue: Duration::from_secs(1) };
            self.control
                .treat_some(self.link, ROOT, Over::Default, &Treatment::Bandwidth(limit), program)
                .unwrap();
            for packet in packets {
                self.send(packet);
            }
            let qdiscs = self.control.qdiscs(self.link).unwrap();
            let treated = qdiscs.into_iter().find(|qdisc| qdisc.parent == treated_class(ROOT)).unwrap();
            self.control.delete_root(self.link, ROOT).unwrap();
            treated.statistics.packets + treated.statistics.queue_length
        }

        fn send(&self, packet: &[u8]) {
            if packet[0] >> 4 == 4 {
                let octets: [u8; 4] = packet[16..20].try_into().unwrap();
                let to = SocketAddrV4::new(Ipv4Addr::from(octets), 0);
                sendto(&self.raw[0], packet, SendFlags::empty(), &to).unwrap();
            } else {
                let octets: [u8; 16] = packet[24..40].try_into().unwrap();
                let to = SocketAddrV6::new(Ipv6Addr::from(octets), 0, 0, 0);
                sendto(&self.raw[1], packet, SendFlags::empty(), &to).unwrap();
            }
        }

        fn picks(&mut self, filter: &PacketFilter, packet: &[u8]) -> bool {
            let program = Program::compile(std::slice::from_ref(filter), &[], 1.0).unwrap();
            self.picked(&program, &[packet.to_vec()]) == 1
        }
    }

    /// An IPv4 packet from 10.9.0.1 with options (in whole words) and a place among fragments (in units of 8 bytes).
    fn v4(to: &str, protocol: u8, options: usize, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45 + options as u8, 0, 0, 0, 0, 9, 0, 0, 64, protocol, 0, 0, 10, 9, 0, 1];
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet.extend(to.parse::<Ipv4Addr>().unwrap().octets());
        packet.extend(vec![1; 4 * options]); // "No operation".
        packet.extend(payload);
        packet
    }

    /// An IPv6 packet from `fd09::1`; what follows the header begins with a header of the given kind.
    fn v6(to: &str, next: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
        packet.extend("fd09::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(to.parse::<Ipv6Addr>().unwrap().octets());
        packet.extend(rest);
        packet
    }

    /// A UDP (or, for its first four bytes, TCP) header from port 4000.
    fn to_port(port: u16) -> Vec<u8> {
        [
            &4000_u16.to_be_bytes()[..],
            &port.to_be_bytes(),
            &[0, 8, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat()
    }

    /// An IPv6 extension header of some length, before a header of the given kind.
    fn extension(next: u8, words: u8) -> Vec<u8> {
        let padding = usize::from(words) * 8 + 4;
        [&[next, words, 1, padding as u8][..], &vec![0; padding]].concat()
    }

    fn filter(change: impl FnOnce(&mut PacketFilter)) -> PacketFilter {
        let mut filter = PacketFilter::default();
        change(&mut filter);
        filter
    }

    fn ports(first: u16, last: u16) -> Ports {
        Ports { first, last }
    }

    #[test]
    fn packets_are_picked_by_address() {
        if !privileged() {
            return;
        }
        let mut bench = Bench::new();
        let udp = to_port(53);
        for (prefix, to, expected) in [
            ("198.51.100.7", "198.51.100.7", true),
            ("198.51.100.7", "198.51.100.8", false),
            ("198.51.100.0/24", "198.51.100.255", true),
            ("198.51.100.0/25", "198.51.100.128", false),
            ("198.51.100.77/24", "198.51.100.1", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("::/0", "203.0.113.1", false),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("2001:db8:0:1::/64", "2001:db8:0:1:ffff::", true),
            ("2001:db8::7", "2001:db8::7", true),
            ("2001:db8::7", "2001:db8::1:7", false),
        ] {
            let packet = if to.contains(':') { v6(to, 17, &udp) } else { v4(to, 17, 0, 0, &udp) };
            let remote = filter(|filter| filter.remote = vec![prefix.parse().unwrap()]);
            assert_eq!(bench.picks(&remote, &packet), expected, "{prefix} of {to}");
            let both = filter(|filter| {
                filter.remote = vec!["192.0.2.1".parse().unwrap(), prefix.parse().unwrap()];
                filter.local = vec!["10.9.0.0/16".parse().unwrap(), "fd09::/16".parse().unwrap()];
            });
            assert_eq!(bench.picks(&both, &packet), expected, "{prefix} of {to}, from here");
            let elsewhere = filter(|filter| filter.local = vec!["10.8.0.0/16".parse().unwrap()]);
            assert!(!bench.picks(&elsewhere, &packet));
        }
    }

    #[test]
    fn packets_are_picked_by_protocol_and_port_behind_every_header() {
        if !privileged() {
            return;
        }
        let mut bench = Bench::new();
        let dns = to_port(53);
        let four = "198.51.100.7";
        let six = "2001:db8::7";
        let fragment =
            |next: u8, offset: u16| [&[next, 0][..], &(offset << 3).to_be_bytes(), &[0, 0, 0, 1]].concat();
        let packets = [
            ("IPv4", v4(four, 17, 0, 0, &dns)),
            ("IPv4 with options", v4(four, 17, 3, 0, &dns)),
            ("IPv4 with the most options", v4(four, 17, 10, 0, &dns)),
            ("IPv4, first fragment", v4(four, 17, 0, 0x2000, &dns)),
            ("IPv6", v6(six, 17, &dns)),
            ("IPv6 with an extension", v6(six, 60, &[extension(17, 0), dns.clone()].concat())),
            ("IPv6 with two", v6(six, 60, &[extension(60, 2), extension(17, 1), dns.clone()].concat())),
            ("IPv6, first fragment", v6(six, 44, &[fragment(17, 0), dns.clone()].concat())),
        ];
        for (name, packet) in packets {
            for (expected, wanted) in [
                (true, filter(|filter| filter.protocol = Some(Protocol::Udp))),
                (false, filter(|filter| filter.protocol = Some(Protocol::Tcp))),
                (true, filter(|filter| filter.remote_port = Some(ports(53, 53)))),
                (true, filter(|filter| filter.remote_port = Some(ports(50, 60)))),
                (false, filter(|filter| filter.remote_port = Some(ports(54, 60)))),
                (false, filter(|filter| filter.remote_port = Some(ports(1, 52)))),
                (true, filter(|filter| filter.local_port = Some(ports(4000, 4000)))),
                (
                    false,
                    filter(|filter| {
                        (filter.local_port, filter.remote_port) = (Some(ports(53, 53)), Some(ports(53, 53)));
                    }),
                ),
                (
                    true,
                    filter(|filter| {
                        (filter.protocol, filter.remote_port) = (Some(Protocol::Udp), Some(ports(53, 53)));
                    }),
                ),
            ] {
                assert_eq!(bench.picks(&wanted, &packet), expected, "{name}: {wanted}");
            }
        }
        // A later fragment has a protocol and no ports, though its bytes look like some.
        let udp = filter(|filter| filter.protocol = Some(Protocol::Udp));
        let domain = filter(|filter| filter.remote_port = Some(ports(53, 53)));
        for packet in [v4(four, 17, 0, 5, &dns), v6(six, 44, &[fragment(17, 5), dns.clone()].concat())] {
            assert!(bench.picks(&udp, &packet));
            assert!(!bench.picks(&domain, &packet));
        }
        // Nor does ICMP have ports; a packet that is too short has nothing.
        let icmp = filter(|filter| filter.protocol = Some(Protocol::Icmp));
        assert!(bench.picks(&icmp, &v4(four, 1, 0, 0, &dns)));
        assert!(bench.picks(&icmp, &v6(six, 58, &dns)));
        assert!(!bench.picks(&domain, &v4(four, 1, 0, 0, &dns)));
        let icmpv6 = filter(|filter| filter.protocol = Some(Protocol::Icmpv6));
        assert!(!bench.picks(&icmpv6, &v4(four, 1, 0, 0, &dns)));
        assert!(bench.picks(&icmpv6, &v6(six, 58, &dns)));
        let nonsense = filter(|filter| {
            (filter.protocol, filter.remote_port) = (Some(Protocol::Icmp), Some(ports(53, 53)));
        });
        assert!(!bench.picks(&nonsense, &v4(four, 1, 0, 0, &dns)));
        assert!(!bench.picks(&domain, &v4(four, 17, 0, 0, &[0, 53])));
    }

    #[test]
    fn exceptions_and_several_filters_and_chance() {
        if !privileged() {
            return;
        }
        let mut bench = Bench::new();
        let net = filter(|filter| filter.remote = vec!["198.51.100.0/24".parse().unwrap()]);
        let web = filter(|filter| filter.remote_port = Some(ports(80, 80)));
        let ssh = filter(|filter| filter.remote_port = Some(ports(22, 22)));
        let packets = [(53, "198.51.100.7"), (80, "192.0.2.1"), (22, "198.51.100.7"), (443, "192.0.2.1")]
            .map(|(port, to)| v4(to, 17, 0, 0, &to_port(port)));
        let each = |bench: &mut Bench, program: &Program| {
            packets.each_ref().map(|packet| bench.picked(program, std::slice::from_ref(packet)))
        };
        let program = Program::compile(&[net.clone(), web], std::slice::from_ref(&ssh), 1.0).unwrap();
        assert_eq!(each(&mut bench, &program), [1, 1, 0, 0]);
        let all_but = Program::compile(&[], &[ssh], 1.0).unwrap();
        assert_eq!(each(&mut bench, &all_but), [1, 1, 0, 1]);
        let never = Program::compile(&[], &[], 0.0).unwrap();
        assert_eq!(each(&mut bench, &never), [0, 0, 0, 0]);
        let some = Program::compile(&[net], &[], 0.3).unwrap();
        let picked = bench.picked(&some, &vec![packets[0].clone(); 2000]);
        // 600 ± 5 standard deviations of 20.5.
        assert!((497..=703).contains(&picked), "{picked} of 2000");
    }

    #[test]
    fn many_prefixes_load_and_too_many_are_refused() {
        if !privileged() {
            return;
        }
        let mut bench = Bench::new();
        let prefixes = |count: u16| {
            let of = |number: u16| format!("2001:db8:{number:x}::1").parse().unwrap();
            filter(|filter| filter.remote = (0..count).map(of).collect())
        };
        assert!(bench.picks(&prefixes(200), &v6("2001:db8:c7::1", 17, &to_port(1))));
        assert!(!bench.picks(&prefixes(200), &v6("2001:db8:c8::1", 17, &to_port(1))));
        let error = Program::compile(&[prefixes(400)], &[], 1.0).unwrap_err();
        assert!(error.to_string().contains("name fewer addresses"), "{error}");
    }
}
