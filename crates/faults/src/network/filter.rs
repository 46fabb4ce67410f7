//! Which packets: the parameters that every fault of networks shares, and what they mean.
//!
//! All is as the target sees it. `destination` is the far side and `source` the near side of what the target sends;
//! with `direction: both` the answers that come back are meant too, so that a fault describes conversations. Only with
//! `direction: in` the words are those of the incoming packets: there `source` is the far side.
//!
//! `port` is the port of either end: what a client sends to a service and what a service answers both have it. On the
//! loopback interface, where each packet is sent and received by the same host, it is the port of the destination, so
//! that a request is struck once and not its answer as well.

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use squall_model::cluster::PeerPods;
use squall_model::facts::{Facts, LinkFacts};
use squall_model::fault::PlanError;
use squall_model::step::{Direction, PacketFilter, Ports, Prefix, Protocol};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::str::FromStr;

/// Writes the parameters of a fault, followed by those that say which packets. (Serde cannot refuse unknown fields
/// where one structure is flattened into another.)
macro_rules! with_filters {
    ($(#[$attribute:meta])* pub(crate) struct Parameters {
        $($(#[$field_attribute:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$attribute])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Parameters {
            $($(#[$field_attribute])* $field: $type,)*
            /// Only packets to these: addresses, CIDRs, host names, each with a port where wanted (`10.0.0.7:5432`), pods
            /// (`{pod: {labels: {app: db}}}`), or a list of them. With `direction: both` also those that come back from there.
            #[serde(default)]
            destination: crate::network::filter::Hosts,
            /// Only packets from these, as for `destination`. Of what the target sends, these are its own addresses.
            #[serde(default)]
            source: crate::network::filter::Hosts,
            /// Only packets with this port at either end: a number, a range such as `8000-8100`, or a list. On the
            /// loopback interface: as their destination.
            #[serde(default)]
            port: crate::network::filter::PortList,
            /// Only packets of this protocol.
            #[serde(default)]
            protocol: Option<squall_model::step::Protocol>,
        }

        impl Parameters {
            fn filters(&self) -> crate::network::filter::Filters<'_> {
                crate::network::filter::Filters {
                    destination: &self.destination,
                    source: &self.source,
                    port: &self.port,
                    protocol: self.protocol,
                    direction: self.direction,
                }
            }
        }
    };
}
pub(super) use with_filters;

/// Which packets, as the user said it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filters<'p> {
    pub(super) destination: &'p Hosts,
    pub(super) source: &'p Hosts,
    pub(super) port: &'p PortList,
    pub(super) protocol: Option<Protocol>,
    pub(super) direction: Direction,
}

impl Filters<'_> {
    /// Host names, to be looked up.
    pub(super) fn host_names(&self) -> Vec<String> {
        let hosts = self.destination.0.iter().chain(&self.source.0);
        let names = hosts.filter_map(|host| match &host.who {
            Who::Name(name) => Some(name.clone()),
            Who::Prefix(_) | Who::Pods(_) => None,
        });
        names.collect()
    }

    /// Checks what can be known without a host.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let with_port = self.destination.0.iter().chain(&self.source.0).any(|host| host.port.is_some());
        if let Some(protocol @ (Protocol::Icmp | Protocol::Icmpv6)) = self.protocol
            && (with_port || !self.port.0.is_empty())
        {
            return Err(PlanError::Parameters(format!(
                "`protocol: {protocol}` has no ports; leave one of the two away"
            )));
        }
        if with_port && !self.port.0.is_empty() {
            let message =
                "`port` beside hosts with a port of their own; say all ports in one of the two ways";
            return Err(PlanError::Parameters(message.to_owned()));
        }
        Ok(())
    }

    /// Whether everything is meant.
    pub(super) fn is_empty(&self) -> bool {
        self.are_wide() && self.protocol.is_none()
    }

    /// Whether neither addresses nor ports are named, so that strangers' traffic is meant as well.
    pub(super) fn are_wide(&self) -> bool {
        self.destination.0.is_empty() && self.source.0.is_empty() && self.port.0.is_empty()
    }

    /// Whether packets of these filters may pass the loopback interface: nobody is named, or an own address is. A
    /// network that the target is itself a part of does not mean what the target says to itself.
    pub(super) fn reach_loopback(&self, facts: &Facts, links: &[LinkFacts]) -> Result<bool, PlanError> {
        let own: Vec<IpAddr> = links.iter().flat_map(|link| link.addresses.iter().copied()).collect();
        let (far, _) = self.ends(facts)?;
        let mut far = far.into_iter().flat_map(|end| end.prefixes).peekable();
        let is_own = |prefix: &Prefix| {
            prefix.address.is_loopback() || own.iter().any(|own| *prefix == Prefix::single(*own))
        };
        Ok(far.peek().is_none() || far.any(|prefix| is_own(&prefix)))
    }

    /// What of the packets that go one way by an interface is meant; empty for all of them.
    pub(super) fn packets(
        &self,
        facts: &Facts,
        direction: Direction,
        loopback: bool,
    ) -> Result<Vec<PacketFilter>, PlanError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let (far, near) = self.ends(facts)?;
        // What comes back by the loopback interface was sent by it: the far port is that of the sender.
        let turned = loopback && direction == Direction::In;
        let port = |port: Option<u16>| port.map(|port| Ports { first: port, last: port });
        let pairs = far.iter().flat_map(|far| near.iter().map(move |near| (far, near)));
        let bases: Vec<PacketFilter> = pairs
            .map(|(far, near)| {
                let (remote, local) = if turned { (near.port, far.port) } else { (far.port, near.port) };
                PacketFilter {
                    remote: far.prefixes.clone(),
                    local: near.prefixes.clone(),
                    remote_port: port(remote),
                    local_port: port(local),
                    protocol: self.protocol,
                }
            })
            .collect();
        if self.port.0.is_empty() {
            return Ok(bases);
        }
        let to =
            |base: &PacketFilter, port: &Ports| PacketFilter { remote_port: Some(*port), ..base.clone() };
        let from =
            |base: &PacketFilter, port: &Ports| PacketFilter { local_port: Some(*port), ..base.clone() };
        let each = self.port.0.iter().flat_map(|port| bases.iter().map(move |base| (base, port)));
        Ok(match (loopback, direction) {
            (false, _) => each.flat_map(|(base, port)| [to(base, port), from(base, port)]).collect(),
            (true, Direction::In) => each.map(|(base, port)| from(base, port)).collect(),
            (true, Direction::Out | Direction::Both) => each.map(|(base, port)| to(base, port)).collect(),
        })
    }

    /// The far and the near side, by their ports.
    fn ends(&self, facts: &Facts) -> Result<(Vec<End>, Vec<End>), PlanError> {
        let (destination, source) = (self.destination.ends(facts)?, self.source.ends(facts)?);
        Ok(if self.direction == Direction::In { (source, destination) } else { (destination, source) })
    }
}

/// Addresses that have a port in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct End {
    /// The port; none for any.
    port: Option<u16>,
    /// The addresses; empty for all.
    prefixes: Vec<Prefix>,
}

/// Addresses, prefixes and names of hosts: one or a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Hosts(Vec<Host>);

/// Whose packets, and which of their ports.
#[derive(Debug, Clone, PartialEq)]
struct Host {
    who: Who,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq)]
enum Who {
    Prefix(Prefix),
    Name(String),
    /// Pods, which are addresses by the time that anything is planned.
    Pods(Box<PeerPods>),
}

impl Hosts {
    /// Their addresses, by port. Nobody named is everybody.
    fn ends(&self, facts: &Facts) -> Result<Vec<End>, PlanError> {
        if self.0.is_empty() {
            return Ok(vec![End::default()]);
        }
        let mut by_port: BTreeMap<Option<u16>, BTreeSet<Prefix>> = BTreeMap::new();
        for host in &self.0 {
            by_port.entry(host.port).or_default().extend(host.prefixes(facts)?);
        }
        let end =
            |(port, prefixes): (_, BTreeSet<Prefix>)| End { port, prefixes: prefixes.into_iter().collect() };
        Ok(by_port.into_iter().map(end).collect())
    }
}

impl Host {
    fn prefixes(&self, facts: &Facts) -> Result<Vec<Prefix>, PlanError> {
        let wrong = |message: String| Err(PlanError::Parameters(message));
        match &self.who {
            Who::Prefix(prefix) => Ok(vec![*prefix]),
            Who::Pods(peers) => wrong(format!("nobody looked up the addresses of pod {}", peers.pod)),
            Who::Name(name) => match facts.addresses.get(name).filter(|found| !found.is_empty()) {
                Some(found) => Ok(found.iter().copied().map(Prefix::single).collect()),
                None => wrong(format!(
                    "no address was found for host {name:?}; check the name, or give its address"
                )),
            },
        }
    }
}

impl Who {
    fn read(text: &str) -> Option<Self> {
        if let Ok(prefix) = text.parse() {
            return Some(Self::Prefix(prefix));
        }
        // What has no letter was meant as an address.
        let is_name = text.bytes().any(|byte| byte.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        is_name.then(|| Self::Name(text.to_owned()))
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(who) = Who::read(text) {
            return Ok(Self { who, port: None });
        }
        // An address of IPv6 with a port stands in brackets.
        let with_port = text.rsplit_once(':').and_then(|(host, port)| {
            let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
            let port = port.parse().ok().filter(|port| *port > 0)?;
            Some(Self { who: Who::read(host)?, port: Some(port) })
        });
        with_port.ok_or_else(|| {
            format!(
                "{text:?} is neither an address, a CIDR nor a host name, such as 10.0.0.7, fd00::/64, db.internal or \
                 10.0.0.7:5432"
            )
        })
    }
}

/// Ports and ranges of ports: one or a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PortList(Vec<Ports>);

/// A range of ports as it is read.
struct Range(Ports);

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(Ports { first, last })),
            _ => Err(format!("{text:?} is not a port or a range of ports, such as 5432 or 8000-8100")),
        }
    }
}

/// What is said of a filter that is given and names nothing.
const NOTHING: &str = "nothing is named here, and without this filter every packet is meant: name something, or \
                       leave it away";

/// What may stand in a list of filters.
trait Item: FromStr<Err = String> {
    /// From a map, where one may stand for it.
    fn from_map<'de, A: MapAccess<'de>>(_: A) -> Option<Result<Self, A::Error>> {
        None
    }
}

impl Item for Range {}

impl Item for Host {
    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Option<Result<Self, A::Error>> {
        let peers = PeerPods::deserialize(MapAccessDeserializer::new(map));
        Some(peers.map(|peers| Self { who: Who::Pods(Box::new(peers)), port: None }))
    }
}

/// Reads one thing or a list of things, each from text, a number, or a map where that may be.
struct OneOrMany<T> {
    wanted: &'static str,
    may_be_many: bool,
    kind: PhantomData<T>,
}

impl<'de, T: Item> Visitor<'de> for OneOrMany<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.wanted)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        Ok(vec![text.parse().map_err(E::custom)?])
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Vec<T>, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Vec<T>, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
        Err(E::custom(NOTHING))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
        T::from_map(map).ok_or_else(|| A::Error::invalid_type(Unexpected::Map, &self))?.map(|item| vec![item])
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        if !self.may_be_many {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        let mut all = Vec::new();
        while let Some(One(item)) = sequence.next_element()? {
            all.push(item);
        }
        // Who filters by an empty list, such as that of a variable, does not mean everything.
        if all.is_empty() { Err(A::Error::custom(NOTHING)) } else { Ok(all) }
    }
}

/// One thing, from text or a number.
struct One<T>(T);

impl<'de, T: Item> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = OneOrMany { wanted: "text or a number", may_be_many: false, kind: PhantomData };
        let mut found = deserializer.deserialize_any(visitor)?;
        found.pop().map(Self).ok_or_else(|| D::Error::custom("expected text or a number, found nothing"))
    }
}

impl<'de> Deserialize<'de> for Hosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = "an address, a CIDR, a host name, pods, or a list of them";
        deserializer.deserialize_any(OneOrMany { wanted, may_be_many: true, kind: PhantomData }).map(Self)
    }
}

impl<'de> Deserialize<'de> for PortList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = "a port, a range of ports, or a list of them";
        let ranges: Vec<Range> =
            deserializer.deserialize_any(OneOrMany { wanted, may_be_many: true, kind: PhantomData })?;
        Ok(Self(ranges.into_iter().map(|range| range.0).collect()))
    }
}

impl JsonSchema for Hosts {
    fn schema_name() -> Cow<'static, str> {
        "Hosts".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let pods = generator.subschema_for::<PeerPods>();
        let text = schemars::json_schema!({ "type": "string", "minLength": 1 });
        schemars::json_schema!({
            "anyOf": [text, pods, { "type": "array", "minItems": 1, "items": { "anyOf": [text, pods] } }]
        })
    }
}

impl JsonSchema for PortList {
    fn schema_name() -> Cow<'static, str> {
        "PortList".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["integer", "string", "array"],
            "minimum": 1, "minLength": 1, "minItems": 1,
            "items": { "type": ["integer", "string"] }
        })
    }
}
