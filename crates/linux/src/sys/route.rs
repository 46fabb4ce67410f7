//! Links (network interfaces), their addresses, and the way that a packet would take, over rtnetlink.
//!
//! Sources: rtnetlink(7), `include/uapi/linux/{rtnetlink,if_link,if_addr}.h`.

use super::netlink::{Attributes, Message, Protocol, Reply, Result, Socket, array_at, u32_at};
use rustix::io::Errno;
use squall_model::step::Prefix;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_QDISC: u16 = 6;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;

const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;

/// Size of `struct ifinfomsg`: family, type, index, flags, mask of flags to change.
const IFINFOMSG: usize = 16;
/// Size of `struct ifaddrmsg`: family, prefix length, flags, scope, index.
const IFADDRMSG: usize = 8;
/// Size of `struct rtmsg`.
const RTMSG: usize = 12;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number, which is never given twice while the namespace lives.
    pub index: u32,
    /// Its name, which may change.
    pub name: String,
    /// The kind of virtual link (`veth`, `bridge`, `wireguard` …); none for hardware and loopback.
    pub kind: Option<String>,
    /// Whether it was switched on.
    pub up: bool,
    /// Whether it is the loopback link.
    pub loopback: bool,
    /// Longest packet that it carries, in bytes, without the link-layer header.
    pub mtu: u32,
    /// How many packets a queue on it holds if nothing else is said. 0 on links that need no queue; the kernel sets
    /// it to 1000 when a qdisc is added to such a link, and leaves it there: see [`set_queue_length`].
    pub queue_length: u32,
    /// Kind of its root qdisc.
    pub qdisc: String,
    /// Number of the link that it sits on, or is joined to (the other end of a `veth`, in its own namespace).
    pub peer: Option<u32>,
    /// Number of the link that it is a part of: the bridge of a port, the bond of a cable.
    pub master: Option<u32>,
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAddress {
    /// Number of the link.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// How many of its leading bits are common to all on the link.
    pub prefix_length: u8,
}

/// The way that a packet would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Number of the link that it would leave by.
    pub link: u32,
    /// The next station, if the destination is not on the link itself.
    pub gateway: Option<IpAddr>,
    /// The address that it would carry as its source.
    pub source: Option<IpAddr>,
}

/// Lists the links of the current network namespace, in order of their numbers.
pub fn links() -> Result<Vec<Link>> {
    let question = Message::new(RTM_GETLINK, 0, &[0; IFINFOMSG]);
    let replies = Socket::open(Protocol::Route)?.dump("list the network interfaces", &question)?;
    let mut links: Vec<Link> = replies.iter().filter_map(link).collect();
    links.sort_by_key(|link| link.index);
    Ok(links)
}

fn link(reply: &Reply) -> Option<Link> {
    if reply.kind != RTM_NEWLINK {
        return None;
    }
    let attributes = reply.attributes(IFINFOMSG);
    let flags = u32_at(&reply.payload, 8)?;
    Some(Link {
        index: u32_at(&reply.payload, 4)?,
        name: attributes.text(IFLA_IFNAME)?,
        kind: attributes.nested(IFLA_LINKINFO).text(IFLA_INFO_KIND),
        up: flags & IFF_UP != 0,
        loopback: flags & IFF_LOOPBACK != 0,
        mtu: attributes.u32(IFLA_MTU)?,
        queue_length: attributes.u32(IFLA_TXQLEN)?,
        qdisc: attributes.text(IFLA_QDISC)?,
        peer: attributes.u32(IFLA_LINK),
        master: attributes.u32(IFLA_MASTER),
    })
}

/// Lists the addresses of all links of the current network namespace, IPv4 before IPv6.
pub fn addresses() -> Result<Vec<LinkAddress>> {
    let mut socket = Socket::open(Protocol::Route)?;
    let mut addresses = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let question = Message::new(RTM_GETADDR, 0, &[family as u8, 0, 0, 0, 0, 0, 0, 0]);
        match socket.dump("list the addresses of network interfaces", &question) {
            Ok(replies) => addresses.extend(replies.iter().filter_map(link_address)),
            Err(error) if error.errno() == Some(Errno::OPNOTSUPP) => {} // A kernel without IPv6.
            Err(error) => return Err(error),
        }
    }
    Ok(addresses)
}

fn link_address(reply: &Reply) -> Option<LinkAddress> {
    if reply.kind != RTM_NEWADDR {
        return None;
    }
    let attributes = reply.attributes(IFADDRMSG);
    // On a point-to-point link the first is the far end's; IPv6 mostly gives only the first.
    let address = attributes.find_kind(IFA_LOCAL).or_else(|| attributes.find_kind(IFA_ADDRESS))?;
    Some(LinkAddress {
        link: u32_at(&reply.payload, 4)?,
        address: ip_address(address)?,
        prefix_length: *reply.payload.get(1)?,
    })
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => array_at::<4>(bytes, 0).map(|octets| Ipv4Addr::from(octets).into()),
        16 => array_at::<16>(bytes, 0).map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

/// The bytes of an address, in network order.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Finds out by which link of the current network namespace a packet to an address would leave.
/// Where no route leads there the error's number is `ENETUNREACH` (or as the route's type has it).
pub fn route_to(destination: IpAddr) -> Result<Route> {
    let family = if destination.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut structure = [0; RTMSG];
    structure[0] = family as u8;
    structure[1] = Prefix::single(destination).length;
    let question = Message::new(RTM_GETROUTE, 0, &structure)
        .with(|attributes: Attributes| attributes.put(RTA_DST, &octets(destination)));
    let what = format_args!("find the route to {destination}");
    let reply = Socket::open(Protocol::Route)?.ask(what, &question)?;
    let attributes = reply.attributes(RTMSG);
    let address = |kind| attributes.find_kind(kind).and_then(ip_address);
    match attributes.u32(RTA_OIF) {
        Some(link) if reply.kind == RTM_NEWROUTE => {
            Ok(Route { link, gateway: address(RTA_GATEWAY), source: address(RTA_PREFSRC) })
        }
        _ => Err(super::netlink::Error::malformed(what, "the kernel's answer names no link")),
    }
}

/// Sets how many packets a queue on a link of the current network namespace holds if nothing else is said.
pub fn set_queue_length(link: u32, packets: u32) -> Result<()> {
    let change = change_of(link, 0, 0).with(|attributes| attributes.put_u32(IFLA_TXQLEN, packets));
    Socket::open(Protocol::Route)?.request(format_args!("set the queue length of interface {link}"), &change)
}

/// Switches a link of the current network namespace on or off.
pub fn set_up(link: u32, up: bool) -> Result<()> {
    let change = change_of(link, if up { IFF_UP } else { 0 }, IFF_UP);
    let way = if up { "up" } else { "down" };
    Socket::open(Protocol::Route)?.request(format_args!("set interface {link} {way}"), &change)
}

/// A change of a link that exists: without "create", `RTM_NEWLINK` makes none.
fn change_of(link: u32, flags: u32, mask: u32) -> Message {
    let numbers = [0, link, flags, mask].map(u32::to_ne_bytes);
    Message::new(RTM_NEWLINK, 0, numbers.as_flattened())
}

#[cfg(test)]
mod tests {
    use super::super::namespace::run_in_fresh;
    use super::super::namespace::tests::{TestNamespace, privileged};
    use super::*;

    #[test]
    fn links_and_addresses_are_those_that_ip_shows() {
        if !privileged() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        let (links, addresses) = here.open().run(|| (links().unwrap(), addresses().unwrap())).unwrap();
        let shown: serde_json::Value =
            serde_json::from_str(&here.run(&["ip", "-j", "-d", "address"])).unwrap();
        let shown = shown.as_array().unwrap();
        assert_eq!(links.len(), shown.len());
        for (link, shown) in links.iter().zip(shown) {
            assert_eq!(link.index, shown["ifindex"]);
            assert_eq!(link.name, shown["ifname"].as_str().unwrap());
            assert_eq!(link.kind.as_deref(), shown["linkinfo"]["info_kind"].as_str());
            assert_eq!(link.mtu, shown["mtu"]);
            assert_eq!(link.queue_length, shown["txqlen"]);
            assert_eq!(link.qdisc, shown["qdisc"].as_str().unwrap());
            assert_eq!(link.loopback, link.name == "lo");
            assert!(link.up);
            let mine: Vec<String> = (addresses.iter().filter(|address| address.link == link.index))
                .map(|address| format!("{}/{}", address.address, address.prefix_length))
                .collect();
            let theirs: Vec<String> = (shown["addr_info"].as_array().unwrap().iter())
                .map(|info| format!("{}/{}", info["local"].as_str().unwrap(), info["prefixlen"]))
                .collect();
            assert_eq!(mine, theirs);
        }
    }

    #[test]
    fn the_route_is_the_one_that_ip_finds() {
        if !privileged() {
            return;
        }
        let (here, _there) = TestNamespace::with_neighbour();
        here.run(&["ip", "route", "add", "198.51.100.0/24", "via", "10.9.0.2"]);
        here.open()
            .run(|| {
                let eth0 = links().unwrap().into_iter().find(|link| link.name == "eth0").unwrap().index;
                let near = route_to("10.9.0.77".parse().unwrap()).unwrap();
                assert_eq!(near, Route { link: eth0, gateway: None, source: "10.9.0.1".parse().ok() });
                let far = route_to("198.51.100.7".parse().unwrap()).unwrap();
                assert_eq!((far.link, far.gateway), (eth0, "10.9.0.2".parse().ok()));
                assert_eq!(route_to("fd09::2".parse().unwrap()).unwrap().link, eth0);
                assert_eq!(route_to("127.0.0.1".parse().unwrap()).unwrap().link, 1);
                let nowhere = route_to("203.0.113.1".parse().unwrap()).unwrap_err();
                assert_eq!(nowhere.errno(), Some(Errno::NETUNREACH));
            })
            .unwrap();
    }

    #[test]
    fn a_link_is_switched_and_its_queue_length_set() {
        if !privileged() {
            return;
        }
        run_in_fresh(|| {
            let lo = || links().unwrap().remove(0);
            assert!(!lo().up);
            set_up(1, true).unwrap();
            set_queue_length(1, 77).unwrap();
            assert_eq!((lo().up, lo().queue_length), (true, 77));
            set_up(1, false).unwrap();
            assert!(!lo().up);
            assert!(set_up(99, true).unwrap_err().is_absent());
        })
        .unwrap();
    }
}
