//! Networks that the tests of these faults share.

use crate::testing;
use squall_model::facts::{Facts, Feature, LinkFacts, NetworkFacts, QdiscFacts, Subject};
use squall_model::step::{LinkRef, NamespaceRef, PacketFilter};
use squall_model::target::Target;

fn link(index: u32, name: &str, addresses: &[&str]) -> LinkFacts {
    LinkFacts {
        link: LinkRef { index, name: name.into() },
        up: true,
        loopback: name == "lo",
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        root_qdisc: QdiscFacts { kind: "noqueue".into(), handle: 0, has_children: false },
    }
}

fn network(name: &str, is_host: bool) -> NetworkFacts {
    NetworkFacts {
        namespace: NamespaceRef {
            inode: 4_026_532_281,
            cookie: 0,
            path: "/run/netns/shop".into(),
            boot_id: "boot".into(),
            name: name.into(),
        },
        is_host,
        links: vec![
            link(1, "lo", &["127.0.0.1", "::1"]),
            link(2, "eth0", &["10.0.0.3", "fd00::3"]),
            LinkFacts { up: false, ..link(3, "eth1", &[]) },
        ],
        link_named: false,
        listens: Vec::new(),
        control_paths: if is_host { on::operator() } else { Vec::new() },
    }
}

fn facts(target: Target, network: NetworkFacts) -> Facts {
    let all = [Feature::Netem, Feature::Tbf, Feature::PacketClassifier, Feature::PacketFilter];
    with_features(testing::facts(target, Subject::Network(network)), &all)
}

/// A namespace `shop` with the interfaces `lo`, `eth0` (10.0.0.3, `fd00::3`) and `eth1`, which is down.
pub(super) fn netns() -> Facts {
    facts(Target::Netns("shop".into()), network("netns shop", false))
}

/// The same host with these features of the kernel only.
pub(super) fn with_features(mut facts: Facts, features: &[Feature]) -> Facts {
    facts.host.features = features.iter().copied().collect();
    facts
}

/// The same host, which knows the addresses of a name.
pub(super) fn resolving(name: &str, addresses: &[&str], mut facts: Facts) -> Facts {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    facts.addresses.insert(name.into(), addresses);
    facts
}

/// Targets in the host's own namespace.
pub(super) mod on {
    use super::{Facts, NetworkFacts, PacketFilter, QdiscFacts, Target, facts, network};

    /// The connection that the operator works through.
    pub(in super::super) fn operator() -> Vec<PacketFilter> {
        vec![PacketFilter { remote: vec!["203.0.113.9".parse().unwrap()], ..PacketFilter::default() }]
    }

    /// The host as a whole, for a process that listens on port 5432.
    pub(in super::super) fn host() -> Facts {
        let network = NetworkFacts { listens: vec![5432], ..network("this host", true) };
        facts(Target::Host(true), network)
    }

    fn only(name: &str) -> NetworkFacts {
        let mut network = network("this host", true);
        network.links.retain(|link| link.link.name == name);
        NetworkFacts { link_named: true, ..network }
    }

    /// An interface.
    pub(in super::super) fn interface(name: &str) -> Facts {
        facts(Target::Interface(name.into()), only(name))
    }

    /// An interface that is down.
    pub(in super::super) fn down() -> Facts {
        facts(Target::Interface("eth1".into()), only("eth1"))
    }

    /// An interface with a qdisc that has classes.
    pub(in super::super) fn shaped() -> Facts {
        let mut network = only("eth0");
        network.links[0].root_qdisc = QdiscFacts { kind: "htb".into(), handle: 0x1_0000, has_children: true };
        facts(Target::Interface("eth0".into()), network)
    }
}
