//! Partitions, and loss by the packet filter.

use crate::lab::{Lab, Net, injection, rule};
use crate::probe::{Attempt, Flow, binomial, connect};
use squall_model::facts::{Feature, single_directions};
use squall_model::step::{
    Denial, Direction, PacketFilter, PacketFilterStep, PacketRule, Ports, Protocol, Step,
};
use squall_model::undo::Effect;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const PORT: u16 = 7001;
const OTHER_PORT: u16 = 7009;

fn only(port: u16) -> Ports {
    Ports { first: port, last: port }
}

/// All packets, or those with the port at either end.
fn filters(with_port: bool) -> Vec<PacketFilter> {
    if with_port {
        let to = PacketFilter { remote_port: Some(only(PORT)), ..PacketFilter::default() };
        vec![to, PacketFilter { local_port: Some(only(PORT)), ..PacketFilter::default() }]
    } else {
        vec![PacketFilter::default()]
    }
}

fn rules(direction: Direction, denial: Denial, with_port: bool) -> Vec<PacketRule> {
    let ways = single_directions(direction).iter();
    ways.flat_map(|way| filters(with_port).into_iter().map(|filter| rule(*way, filter, 1.0, denial)))
        .collect()
}

/// What must hold under each partition: a packet passes exactly if its way is not cut, a connection comes about only if
/// both are not, and who is rejected knows.
fn check(lab: &Lab, v6: bool, direction: Direction, denial: Denial) {
    let case = format!("{denial:?} {direction:?} v6: {v6}");
    let cut = |way| single_directions(direction).contains(&way);
    for (outgoing, way) in [(true, Direction::Out), (false, Direction::In)] {
        let flow = Flow::new(lab, outgoing, v6, PORT);
        assert_eq!(flow.passes(), !cut(way), "{case}: a packet, outgoing: {outgoing}");
        let attempt = connect(lab, outgoing, v6, PORT);
        let told = denial == Denial::Reject && cut(way);
        if told {
            assert_eq!(attempt, Attempt::Refused, "{case}: a connection, outgoing: {outgoing}");
        } else {
            assert_ne!(attempt, Attempt::Connected, "{case}: a connection, outgoing: {outgoing}");
        }
    }
}

fn passes_everything(lab: &Lab, v6: bool, port: u16) {
    for outgoing in [true, false] {
        assert!(
            Flow::new(lab, outgoing, v6, port).passes(),
            "a packet on {port}, outgoing: {outgoing}, v6: {v6}"
        );
        assert_eq!(connect(lab, outgoing, v6, port), Attempt::Connected, "outgoing: {outgoing}, v6: {v6}");
    }
}

fn partitions(denial: Denial) {
    let Some(mut lab) = Lab::with(&[Feature::PacketFilter]) else { return };
    for direction in [Direction::In, Direction::Out, Direction::Both] {
        for with_port in [false, true] {
            let name = injection();
            let step = lab.packet_filter(&name, rules(direction, denial, with_port));
            let undo = lab.make(&step, &name).unwrap();
            assert_eq!(lab.observe(&step, &undo).effect, Effect::NotSeen, "nothing was sent yet");
            for v6 in [false, true] {
                check(&lab, v6, direction, denial);
                if with_port {
                    passes_everything(&lab, v6, OTHER_PORT);
                }
            }
            let evidence = lab.observe(&step, &undo);
            assert_eq!(evidence.effect, Effect::Seen);
            assert!(evidence.measures["packets"] >= 6.0, "{evidence:?}");
            lab.undo(&undo);
            for v6 in [false, true] {
                passes_everything(&lab, v6, PORT);
            }
            assert_eq!(lab.here.run(&["nft", "list", "ruleset"]), "");
        }
    }
}

#[test]
fn what_is_dropped_vanishes_and_nothing_else_does() {
    partitions(Denial::Drop);
}

#[test]
fn what_is_rejected_is_answered_and_nothing_else_is_touched() {
    partitions(Denial::Reject);
}

#[test]
fn prefixes_and_protocols_pick_the_right_packets() {
    let Some(mut lab) = Lab::with(&[Feature::PacketFilter]) else { return };
    let remote = |text: &str| vec![text.parse().unwrap()];
    let near = PacketFilter { remote: remote("10.9.0.0/29"), ..PacketFilter::default() };
    let cases = [
        (near.clone(), false, true),
        (near, true, false),
        (PacketFilter { remote: remote("10.9.0.8/29"), ..PacketFilter::default() }, false, false),
        (PacketFilter { remote: remote("fd09::/64"), ..PacketFilter::default() }, true, true),
        (PacketFilter { local: remote("10.9.0.1"), ..PacketFilter::default() }, false, true),
        (PacketFilter { protocol: Some(Protocol::Tcp), ..PacketFilter::default() }, false, false),
        (PacketFilter { protocol: Some(Protocol::Udp), ..PacketFilter::default() }, true, true),
    ];
    for (filter, v6, struck) in cases {
        for (outgoing, way) in [(true, Direction::Out), (false, Direction::In)] {
            let name = injection();
            let step = lab.packet_filter(&name, vec![rule(way, filter.clone(), 1.0, Denial::Drop)]);
            let undo = lab.make(&step, &name).unwrap();
            assert_eq!(Flow::new(&lab, outgoing, v6, PORT).passes(), !struck, "{filter} v6: {v6} {way:?}");
            lab.undo(&undo);
        }
    }
}

#[test]
fn what_is_spared_passes_in_spite_of_a_cut_and_so_do_its_neighbours() {
    let Some(mut lab) = Lab::with(&[Feature::PacketFilter]) else { return };
    let operator = |remote: &str| PacketFilter {
        remote: vec![remote.parse().unwrap()],
        protocol: Some(Protocol::Udp),
        local_port: Some(only(22)),
        ..PacketFilter::default()
    };
    let name = injection();
    let step = match lab.packet_filter(&name, rules(Direction::Both, Denial::Drop, false)) {
        Step::PacketFilter(mut step) => {
            step.except = vec![operator("10.9.0.2"), operator("fd09::2")];
            Step::PacketFilter(step)
        }
        other => panic!("{other}"),
    };
    let undo = lab.make(&step, &name).unwrap();
    // What is known of neighbours is forgotten, so that it must be found out again through the cut.
    for net in [&lab.here, &lab.there] {
        net.run(&["ip", "neighbour", "flush", "dev", "eth0"]);
    }
    for v6 in [false, true] {
        let spared = Flow::new(&lab, false, v6, 22);
        assert!((0..20).any(|_| spared.passes()), "v6: {v6}");
        assert!(!Flow::new(&lab, false, v6, PORT).passes(), "v6: {v6}");
    }
    assert!(lab.observe(&step, &undo).measures["packets_spared"] >= 2.0);
    lab.undo(&undo);
}

#[test]
fn rules_on_an_interface_that_is_gone_strike_nobody() {
    let Some(mut lab) = Lab::with(&[Feature::PacketFilter]) else { return };
    let name = injection();
    let step = lab.packet_filter(&name, rules(Direction::Both, Denial::Drop, false));
    let undo = lab.make(&step, &name).unwrap();
    assert!(!Flow::new(&lab, true, false, PORT).passes());
    assert_eq!(lab.observe(&step, &undo).effect, Effect::Seen);
    let Step::PacketFilter(PacketFilterStep { links, .. }) = &step else { unreachable!("made above") };
    lab.here.run(&["ip", "link", "del", &links[0].name]);
    let evidence = lab.observe(&step, &undo);
    assert_eq!(evidence.effect, Effect::Gone, "{}", evidence.summary);
    lab.undo(&undo);
}

#[test]
fn a_tenth_of_packets_is_lost_by_chance() {
    const COUNT: usize = 5000;
    let Some(mut lab) = Lab::with(&[Feature::PacketFilter, Feature::SilentEgress]) else { return };
    for (outgoing, way) in [(true, Direction::Out), (false, Direction::In)] {
        for v6 in [false, true] {
            let name = injection();
            let udp = PacketFilter { protocol: Some(Protocol::Udp), ..PacketFilter::default() };
            let step = lab.packet_filter(&name, vec![rule(way, udp, 0.1, Denial::Drop)]);
            let undo = lab.make(&step, &name).unwrap();
            let lost = COUNT - Flow::new(&lab, outgoing, v6, PORT).arrived(COUNT);
            println!("{way:?} v6: {v6}: {lost} of {COUNT} lost");
            assert!(binomial(COUNT, 0.1).contains(&lost), "{way:?} v6: {v6}: {lost} of {COUNT}");
            assert_eq!(lab.observe(&step, &undo).measures["packets"] as usize, lost);
            lab.undo(&undo);
            assert_eq!(Flow::new(&lab, outgoing, v6, PORT).arrived(500), 500);
        }
    }
}

/// A step that denies packets on the loopback interface.
fn on_loopback(lab: &mut Lab, name: &str, filter: PacketFilter, denial: Denial) -> Step {
    let facts = lab.here.facts(&mut lab.machine);
    let link = facts.links.iter().find(|link| link.loopback).unwrap().link.clone();
    Step::PacketFilter(PacketFilterStep {
        namespace: facts.namespace,
        table: PacketFilterStep::loopback_table_of(name),
        links: vec![link],
        rules: vec![rule(Direction::Out, filter, 1.0, denial)],
        except: vec![],
    })
}

#[test]
fn on_loopback_a_rejected_sender_is_told_whatever_the_filter() {
    let Some(mut lab) = Lab::with(&[Feature::PacketFilter]) else { return };
    let connect = |lab: &Lab, to: &str| {
        lab.here.inside(|| {
            let listener = TcpListener::bind((to, PORT)).unwrap();
            TcpStream::connect_timeout(&listener.local_addr().unwrap(), Duration::from_millis(300))
                .map(drop)
                .map_err(|error| error.kind())
        })
    };
    for to in ["127.0.0.1", "::1"] {
        assert_eq!(connect(&lab, to), Ok(()));
        let by_address = PacketFilter { remote: vec![to.parse().unwrap()], ..PacketFilter::default() };
        let by_port = PacketFilter { remote_port: Some(only(PORT)), ..PacketFilter::default() };
        for filter in [by_address, by_port] {
            for (denial, kind) in
                [(Denial::Reject, ErrorKind::ConnectionRefused), (Denial::Drop, ErrorKind::TimedOut)]
            {
                let name = injection();
                let step = on_loopback(&mut lab, &name, filter.clone(), denial);
                let undo = lab.make(&step, &name).unwrap();
                assert_eq!(connect(&lab, to), Err(kind), "{filter} {denial:?}");
                lab.undo(&undo);
            }
        }
        assert_eq!(connect(&lab, to), Ok(()));
    }
}

#[test]
fn what_a_namespace_passes_on_to_others_is_cut_as_well() {
    let Some(mut lab) = Lab::with(&[Feature::PacketFilter, Feature::SilentEgress]) else { return };
    // A third namespace behind the one where the fault is made, as a container is behind its host.
    let behind = Net::new();
    lab.here.run(&["ip", "link", "add", "inner", "type", "veth", "peer", "name", "eth0", "netns", &behind.0]);
    lab.here.run(&["ip", "address", "add", "10.8.0.1/24", "dev", "inner"]);
    lab.here.run(&["ip", "link", "set", "inner", "up"]);
    lab.here.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
    behind.run(&["ip", "address", "add", "10.8.0.2/24", "dev", "eth0"]);
    behind.run(&["ip", "link", "set", "eth0", "up"]);
    behind.run(&["ip", "route", "add", "default", "via", "10.8.0.1"]);
    lab.there.run(&["ip", "route", "add", "10.8.0.0/24", "via", "10.9.0.1"]);
    let pings = || behind.output(&["ping", "-n", "-c", "1", "-W", "0.3", "10.9.0.2"]).status.success();
    assert!((0..20).any(|_| pings()), "the route does not work");
    for way in [Direction::In, Direction::Out] {
        let name = injection();
        let step = lab.packet_filter(&name, rules(way, Denial::Drop, false));
        let undo = lab.make(&step, &name).unwrap();
        assert!(!pings(), "{way:?}");
        lab.undo(&undo);
        assert!(pings(), "{way:?}");
    }
}
