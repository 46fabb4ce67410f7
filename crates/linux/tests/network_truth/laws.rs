//! The laws of every machine, kept by the real one for the steps of networks.

use crate::lab::{Lab, Net, cable, injection, rule};
use crate::restoring::{limit, shown};
use squall_engine::suite::{self, Deed, Sample, Trial};
use squall_linux::LinuxMachine;
use squall_linux::sys::link;
use squall_model::facts::Feature;
use squall_model::step::{Denial, Direction, PacketFilter, Step};
use std::rc::Rc;

/// All that a step may change.
fn look(here: &Net) -> String {
    shown(here) + &here.run(&["nft", "-s", "list", "ruleset"])
}

/// Puts another namespace of the same name in the place of this one, with an interface of the same name.
fn replace(here: &Net, there: &Net) {
    link::delete_namespace(&here.0).unwrap();
    // The cable goes with the namespace, which takes a moment.
    let _ = there.output(&["ip", "link", "delete", "eth0"]);
    link::create_namespace(&here.0).unwrap();
    cable(here, there);
}

/// A step on a fresh network, where `tc` did something before, and what it may do meanwhile.
fn trial(
    features: &[Feature],
    before: &[&str],
    meddle: Option<&'static [&'static str]>,
    step: impl FnOnce(&mut Lab, &str) -> Step,
) -> Option<Trial> {
    let mut lab = Lab::with(features)?;
    if !before.is_empty() {
        lab.here.run(&[&["tc", "qdisc"], before].concat());
    }
    let injection = injection();
    let step = step(&mut lab, &injection);
    let Lab { here, there, .. } = lab;
    let nets = Rc::new((here, there));
    let (looked_at, replaced, meddled) = (Rc::clone(&nets), Rc::clone(&nets), nets);
    Some(Trial {
        step,
        injection,
        look: Box::new(move || look(&looked_at.0)),
        reversible: true,
        // What was there before a qdisc whose log is lost, nobody can bring back.
        marked: before.is_empty(),
        destroy: Some(Box::new(move || replace(&replaced.0, &replaced.1))),
        meddle: meddle.map(|command| -> Deed {
            Box::new(move || drop(meddled.0.run(&[&["tc", "qdisc"], command].concat())))
        }),
    })
}

fn check(name: &'static str, prepare: impl Fn() -> Option<Trial> + 'static) {
    if prepare().is_none() {
        return; // It said why.
    }
    let prepare = move |_: &mut LinuxMachine| prepare().unwrap();
    let broken = suite::check(&mut LinuxMachine::new(), &mut [Sample { name, prepare: Box::new(prepare) }]);
    assert!(broken.is_empty(), "{}", suite::describe(&broken));
}

const THEIRS: &[&str] = &["replace", "dev", "eth0", "root", "handle", "77:", "pfifo", "limit", "33"];

fn to_port() -> PacketFilter {
    PacketFilter { remote: vec!["10.9.0.2".parse().unwrap()], ..PacketFilter::default() }
}

#[test]
fn a_qdisc_in_the_place_of_the_default() {
    check("qdisc", || trial(&[Feature::Tbf], &[], Some(THEIRS), |lab, _| lab.qdisc(limit(), vec![])));
}

#[test]
fn a_qdisc_for_some_packets() {
    check("qdisc for some", || {
        trial(&[Feature::Tbf, Feature::PacketClassifier], &[], Some(THEIRS), |lab, _| {
            lab.qdisc(limit(), vec![to_port()])
        })
    });
}

#[test]
fn a_qdisc_in_the_place_of_another() {
    const BEFORE: &[&str] = &[
        "add", "dev", "eth0", "root", "handle", "10:", "tbf", "rate", "777kbit", "burst", "5kb", "latency",
        "70ms",
    ];
    check("qdisc over another", || {
        trial(&[Feature::Tbf, Feature::PacketClassifier], BEFORE, None, |lab, _| {
            lab.qdisc(limit(), vec![to_port()])
        })
    });
}

#[test]
fn a_packet_filter_at_the_interface() {
    check("packet filter", || {
        trial(&[Feature::PacketFilter], &[], None, |lab, injection| {
            let rules = [Direction::In, Direction::Out].map(|way| rule(way, to_port(), 1.0, Denial::Drop));
            lab.packet_filter(injection, rules.to_vec())
        })
    });
}

#[test]
fn a_packet_filter_of_both_kinds() {
    check("packet filter that rejects", || {
        trial(&[Feature::PacketFilter], &[], None, |lab, injection| {
            let rules = vec![
                rule(Direction::In, to_port(), 1.0, Denial::Reject),
                rule(Direction::Out, to_port(), 0.5, Denial::Drop),
            ];
            lab.packet_filter(injection, rules)
        })
    });
}

#[test]
fn netem_for_all_and_for_some() {
    for only in [vec![], vec![to_port()]] {
        check("netem", move || {
            let features = [Feature::Netem, Feature::PacketClassifier];
            trial(&features, &[], Some(THEIRS), |lab, _| lab.qdisc(crate::netem::slow(1.0), only.clone()))
        });
    }
}
