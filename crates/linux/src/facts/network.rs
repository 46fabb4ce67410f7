//! Facts about networks: what the kernel can do to packets, which namespaces and interfaces a target means, and the
//! connections that the operator works through.

use super::group;
use crate::network::{self, Place};
use crate::step::qdisc::root_facts;
use crate::sys::namespace::Namespace;
use crate::sys::netlink::Error;
use crate::sys::nftables::{self, Chain, FIRST, Hook, OwnedTables, Table};
use crate::sys::qdisc::TrafficControl;
use crate::sys::socket_diag::{TcpSocket, TcpState, tcp_sockets};
use crate::sys::{namespace, process, qdisc, route};
use rustix::io::Errno;
use squall_model::facts::{Feature, GroupFacts, LinkFacts, NetworkFacts, ProcessFacts, Subject};
use squall_model::machine::MachineError;
use squall_model::step::{Denial, LinkRef, NamespaceRef, PacketFilter, Ports, Prefix, Protocol};
use squall_model::target::{ProcessSelector, Target};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::OnceLock;

/// What the kernel can do to packets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Features {
    /// What it can do.
    pub(crate) known: BTreeSet<Feature>,
    /// What could not be tried out.
    pub(crate) unknown: BTreeSet<Feature>,
}

/// Tried out once, in network namespaces made for that; nothing is known without the privilege to make one.
pub(crate) fn features() -> Features {
    static FEATURES: OnceLock<Features> = OnceLock::new();
    let try_all = || {
        let mut features = Features::default();
        features.add(of_traffic_control(), &[Feature::Netem, Feature::Tbf, Feature::PacketClassifier]);
        features.add(of_packet_filter(), &[Feature::PacketFilter, Feature::SilentEgress]);
        features
    };
    FEATURES.get_or_init(try_all).clone()
}

impl Features {
    fn add(&mut self, tried: Result<Vec<Feature>, Error>, all: &[Feature]) {
        match tried {
            Ok(known) => self.known.extend(known),
            Err(_) => self.unknown.extend(all),
        }
    }
}

fn of_traffic_control() -> Result<Vec<Feature>, Error> {
    let features = qdisc::features()?;
    let all = [
        (features.netem, Feature::Netem),
        (features.tbf, Feature::Tbf),
        (features.for_some(), Feature::PacketClassifier),
    ];
    Ok(all.into_iter().filter(|(has, _)| *has).map(|(_, feature)| feature).collect())
}

fn of_packet_filter() -> Result<Vec<Feature>, Error> {
    let has = |hook: Hook| {
        let mut chain = Chain::new("probe", hook.clone(), FIRST);
        chain.deny(None, &PacketFilter::default(), 1.0, Denial::Drop, "");
        let comment = "squall looks what this kernel can do".to_owned();
        let table = Table { family: hook.family(), name: "probe".to_owned(), comment, chains: vec![chain] };
        let tables = [table];
        // A table without an owner goes with the namespace.
        let made = OwnedTables::create(&tables)
            .map(|made| drop(made.release()))
            .or_else(|_| nftables::create(&tables));
        match made {
            Err(error) if matches!(error.errno(), Some(Errno::PERM | Errno::ACCESS)) => Err(error),
            made => Ok(made.is_ok()),
        }
    };
    namespace::run_in_fresh(|| {
        let egress = has(Hook::Egress("lo".to_owned()))?;
        let all = [(egress || has(Hook::Input)?, Feature::PacketFilter), (egress, Feature::SilentEgress)];
        Ok(all.into_iter().filter(|(has, _)| *has).map(|(_, feature)| feature).collect())
    })?
}

/// Finds the network namespaces that a target means. Empty where nothing matches. What is protected comes as the group that it
/// is, to be left out and told by whoever plans.
pub(crate) fn resolve(target: &Target) -> Result<Vec<Subject>, MachineError> {
    let found = match target {
        Target::Host(_) => vec![look(&host()?, None, Vec::new())?],
        Target::Interface(name) => {
            let facts = look(&host()?, Some(name), Vec::new())?;
            if facts.links.is_empty() { Vec::new() } else { vec![facts] }
        }
        Target::Netns(name) => match named(name)? {
            Some(namespace) => vec![look(&namespace, None, Vec::new())?],
            None => Vec::new(),
        },
        Target::Process(selector) => of_processes(selector)?,
        Target::Container(_) | Target::Service(_) | Target::Pod(_) => return of_groups(target),
        Target::Path(_)
        | Target::Database(_)
        | Target::Instances(_)
        | Target::Template(_)
        | Target::Node(_)
        | Target::Workload(_)
        | Target::VirtualService(_) => {
            let wanted = "{netns: …}, {interface: …}, {host: true}, or processes, containers or services";
            return Err(super::misfit("strikes networks", wanted, target));
        }
    };
    Ok(found.into_iter().map(Subject::Network).collect())
}

/// The namespace that we are in ourselves.
fn host() -> Result<NamespaceRef, MachineError> {
    let own = Namespace::own().map_err(network::worded)?;
    Ok(reference(&own, network::OWN.to_owned(), "this host".to_owned()))
}

fn reference(namespace: &Namespace, path: String, name: String) -> NamespaceRef {
    // Without the privilege to go in nothing will be made there either.
    let cookie = namespace.cookie().unwrap_or(0);
    NamespaceRef { inode: namespace.id().inode, cookie, path, boot_id: process::boot_id().to_owned(), name }
}

fn named(name: &str) -> Result<Option<NamespaceRef>, MachineError> {
    let listed = namespace::named().map_err(network::worded)?.into_iter().find(|other| other.name == name);
    let Some(found) = listed else { return Ok(None) };
    let namespace = Namespace::open(&found.path).map_err(network::worded)?;
    let path = found.path.to_string_lossy().into_owned();
    Ok(Some(reference(&namespace, path, format!("netns {name}"))))
}

/// The namespaces of the processes that may be struck, each once, with the ports that those listen on.
fn of_processes(selector: &ProcessSelector) -> Result<Vec<NetworkFacts>, MachineError> {
    let by_number = selector.pid.is_some();
    let matching = super::process::matching(selector)?;
    let protected = matching.iter().find_map(|process| process.protected.clone());
    let strikeable: Vec<ProcessFacts> =
        matching.into_iter().filter(|process| by_number || process.protected.is_none()).collect();
    if let (true, Some(why)) = (strikeable.is_empty(), protected) {
        return Err(MachineError::Refused {
            message: format!("could not take the network of process {selector} as the target: {why}"),
        });
    }
    of_members(strikeable.into_iter().map(|process| (process, None)))
}

/// The namespaces of the containers or services that may be struck, and what is spared.
fn of_groups(target: &Target) -> Result<Vec<Subject>, MachineError> {
    let (free, protected): (Vec<_>, Vec<_>) =
        group::find(target)?.into_iter().partition(|group| group.protected.is_none());
    of_free_and_protected(target, free, protected)
}

fn of_free_and_protected(
    target: &Target,
    free: Vec<GroupFacts>,
    protected: Vec<GroupFacts>,
) -> Result<Vec<Subject>, MachineError> {
    if let (true, Some(GroupFacts { name, protected: Some(why), .. })) = (free.is_empty(), protected.first())
    {
        return Err(MachineError::Refused {
            message: format!("could not take the network of {target} as the target: {name} is spared, {why}"),
        });
    }
    let struck = of_members(free.into_iter().flat_map(|group| {
        let name = group.name;
        group.processes.into_iter().map(move |process| (process, Some(name.clone())))
    }))?;
    let spared = protected.into_iter().map(Subject::Group);
    Ok(struck.into_iter().map(Subject::Network).chain(spared).collect())
}

/// The namespaces of processes, each once, by the name that is given or the process's.
fn of_members(
    members: impl Iterator<Item = (ProcessFacts, Option<String>)>,
) -> Result<Vec<NetworkFacts>, MachineError> {
    let own = host()?;
    let mut found: Vec<(NamespaceRef, Vec<u16>)> = Vec::new();
    for (process, name) in members {
        let pid = process.process.pid;
        let namespace = match Namespace::of_process(pid) {
            Ok(namespace) => namespace,
            Err(error) if error.is_absent() => continue,
            Err(error) => return Err(network::worded(error)),
        };
        let inode = namespace.id().inode;
        match found.iter_mut().find(|(known, _)| known.inode == inode) {
            Some((_, ports)) => ports.extend(process.listens),
            None if inode == own.inode => found.push((own.clone(), process.listens)),
            None => {
                let place = Place { inode, path: PathBuf::from(format!("/proc/{pid}/ns/net")) };
                let path = place.lasting().path.to_string_lossy().into_owned();
                let name = name.unwrap_or_else(|| network::of_process(pid));
                found.push((reference(&namespace, path, name), process.listens));
            }
        }
    }
    let look = |(namespace, mut ports): (NamespaceRef, Vec<u16>)| {
        ports.sort_unstable();
        ports.dedup();
        look(&namespace, None, ports)
    };
    found.into_iter().map(look).collect()
}

/// Looks at the interfaces of a namespace: the named one, or all but those that are only a part of another (ports of
/// a bridge, cables of a bond), whose packets pass the other as well and would be struck twice.
fn look(
    namespace: &NamespaceRef,
    only_link: Option<&str>,
    listens: Vec<u16>,
) -> Result<NetworkFacts, MachineError> {
    let is_host = namespace.inode == Namespace::own().map_err(network::worded)?.id().inode;
    let links = network::within_planned(namespace, || {
        let mut addresses: BTreeMap<u32, Vec<IpAddr>> = BTreeMap::new();
        for found in route::addresses().map_err(network::worded)? {
            addresses.entry(found.link).or_default().push(found.address);
        }
        let mut control = TrafficControl::open().map_err(network::worded)?;
        let mut links = Vec::new();
        for link in route::links().map_err(network::worded)? {
            if only_link.map_or(link.master.is_none(), |name| link.name == name) {
                links.push(LinkFacts {
                    root_qdisc: root_facts(&mut control, &link)?,
                    link: LinkRef { index: link.index, name: link.name },
                    up: link.up,
                    loopback: link.loopback,
                    addresses: addresses.remove(&link.index).unwrap_or_default(),
                });
            }
        }
        Ok(links)
    })?;
    let control_paths = if is_host { control_paths()? } else { Vec::new() };
    let link_named = only_link.is_some();
    Ok(NetworkFacts { namespace: namespace.clone(), is_host, links, link_named, listens, control_paths })
}

/// A connection by its far end and our own port.
type Connection = (SocketAddr, u16);

/// The connections that the operator works through: what SSH told our ancestors and us of them, and what the SSH
/// server among our ancestors holds open (`sudo` forgets the first, a terminal multiplexer the second).
fn control_paths() -> Result<Vec<PacketFilter>, MachineError> {
    let own = std::process::id();
    let ancestors = process::ancestors(own);
    let told = std::iter::once(own).chain(ancestors.iter().map(|stat| stat.pid)).filter_map(|pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let environment = String::from_utf8_lossy(&environment).into_owned();
        environment.split('\0').find_map(parse_ssh_connection)
    });
    let servers = ancestors.iter().filter(|stat| stat.name.starts_with("sshd"));
    known_paths(told.collect(), held_open(servers))
}

/// What SSH servers hold open; why it cannot be known, where one cannot be looked into.
fn held_open<'s>(servers: impl Iterator<Item = &'s process::Stat>) -> Result<Vec<Connection>, String> {
    let mut held = HashSet::new();
    for server in servers {
        match process::sockets(server.pid) {
            Ok(sockets) => held.extend(sockets),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("sockets of {} (pid {}): {error}", server.name, server.pid)),
        }
    }
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let sockets = tcp_sockets().map_err(|error| format!("sockets of this host: {error}"))?;
    let holds =
        |socket: &TcpSocket| socket.state == TcpState::Established && held.contains(&socket.inode.into());
    Ok(sockets.into_iter().filter(holds).map(|socket| (socket.remote, socket.local.port())).collect())
}

/// All that is known. Where an SSH server cannot be looked into and nobody told of a connection either, there is one
/// that would not be spared: unknown is unsafe.
fn known_paths(
    mut told: BTreeSet<Connection>,
    held: Result<Vec<Connection>, String>,
) -> Result<Vec<PacketFilter>, MachineError> {
    match held {
        Ok(held) => told.extend(held),
        Err(_) if !told.is_empty() => {}
        Err(why) => {
            return Err(MachineError::Refused {
                message: format!(
                    "could not learn which connection you work through ({why}), so it could be struck as well; run \
                     with --sudo, or keep SSH_CONNECTION in the environment"
                ),
            });
        }
    }
    Ok(told.into_iter().map(|(remote, local_port)| control_path(remote, local_port)).collect())
}

fn control_path(remote: SocketAddr, local_port: u16) -> PacketFilter {
    let port = |port| Some(Ports { first: port, last: port });
    PacketFilter {
        remote: vec![Prefix::single(remote.ip())],
        local: Vec::new(),
        protocol: Some(Protocol::Tcp),
        remote_port: port(remote.port()),
        local_port: port(local_port),
    }
}

/// The far end and our own port, from `SSH_CONNECTION=FAR PORT OWN PORT` (ssh(1)).
fn parse_ssh_connection(variable: &str) -> Option<(SocketAddr, u16)> {
    let words: Vec<&str> = variable.strip_prefix("SSH_CONNECTION=")?.split(' ').collect();
    let [far, far_port, _, own_port] = words.as_slice() else { return None };
    let far: IpAddr = far.split('%').next()?.parse().ok()?;
    Some((SocketAddr::new(far.to_canonical(), far_port.parse().ok()?), own_port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_connection_is_read_from_what_ssh_tells() {
        let parse = |text: &str| parse_ssh_connection(text).map(|(far, own)| (far.to_string(), own));
        assert_eq!(
            parse("SSH_CONNECTION=203.0.113.9 50214 192.0.2.1 22"),
            Some(("203.0.113.9:50214".into(), 22))
        );
        assert_eq!(
            parse("SSH_CONNECTION=::ffff:203.0.113.9 50214 ::ffff:192.0.2.1 22"),
            Some(("203.0.113.9:50214".into(), 22))
        );
        assert_eq!(
            parse("SSH_CONNECTION=fe80::1%eth0 50214 fe80::2%eth0 2222"),
            Some(("[fe80::1]:50214".into(), 2222))
        );
        for other in ["SSH_CONNECTION=", "SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535", "SSH_TTY=/dev/pts/0"] {
            assert_eq!(parse(other), None);
        }
        let path = control_path("203.0.113.9:50214".parse().unwrap(), 22);
        assert_eq!(path.to_string(), "tcp with 203.0.113.9 remote port 50214 local port 22");
    }

    #[test]
    fn an_operator_whose_connection_is_not_known_is_not_taken_for_nobody() {
        let connection = ("203.0.113.9:50214".parse().unwrap(), 22);
        let told = || BTreeSet::from([connection]);
        let unknown = || Err("sockets of sshd (pid 7): Permission denied".to_owned());
        assert_eq!(known_paths(BTreeSet::new(), Ok(Vec::new())).unwrap(), []);
        assert_eq!(known_paths(told(), Ok(vec![connection])).unwrap().len(), 1);
        assert_eq!(known_paths(told(), unknown()).unwrap().len(), 1);
        let error = known_paths(BTreeSet::new(), unknown()).unwrap_err();
        assert!(
            matches!(&error, MachineError::Refused { message } if message.contains("sshd (pid 7)")),
            "{error}"
        );
    }

    #[test]
    fn the_host_is_a_namespace_with_a_loopback_interface() {
        let Subject::Network(host) = resolve(&Target::Host(true)).unwrap().remove(0) else {
            panic!("no network")
        };
        assert!(host.is_host && !host.link_named);
        let lo = host.links.iter().find(|link| link.loopback).unwrap();
        assert_eq!((lo.link.name.as_str(), lo.up), ("lo", true));
        assert!(lo.addresses.iter().all(IpAddr::is_loopback) && !lo.addresses.is_empty());
        let Subject::Network(named) = resolve(&Target::Interface("lo".into())).unwrap().remove(0) else {
            panic!("no network")
        };
        assert_eq!((named.links, named.link_named), (vec![lo.clone()], true));
        assert_eq!(resolve(&Target::Interface("sqt-none".into())).unwrap(), []);
        assert_eq!(resolve(&Target::Netns("sqt-none".into())).unwrap(), []);
    }

    #[test]
    fn a_group_that_is_protected_is_told_beside_those_that_are_struck() {
        let own = process::own().unwrap().pid;
        let selector = ProcessSelector { pid: Some(own), ..ProcessSelector::default() };
        let processes = super::super::process::matching(&selector).unwrap();
        let group = |name: &str, protected: Option<&str>| GroupFacts {
            name: name.into(),
            processes: processes.clone(),
            freezer: None,
            container: None,
            protected: protected.map(str::to_owned),
        };
        let (free, spared) = (group("web", None), group("agent", Some("Squall is in it")));
        let target = Target::Service("*".into());
        let found = of_free_and_protected(&target, vec![free], vec![spared.clone()]).unwrap();
        assert!(
            matches!(&found[..], [Subject::Network(_), Subject::Group(told)] if *told == spared),
            "{found:?}"
        );
        let error = of_free_and_protected(&target, Vec::new(), vec![spared]).unwrap_err().to_string();
        assert!(error.contains("agent is spared, Squall is in it"), "{error}");
    }
}
