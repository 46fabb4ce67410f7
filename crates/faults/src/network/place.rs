//! Where: the interfaces that a fault of networks strikes, and what it must leave alone.

use super::filter::Filters;
use squall_model::facts::{Facts, Feature, LinkFacts, NetworkFacts, Subject};
use squall_model::fault::PlanError;
use squall_model::step::{Direction, PacketFilter, QdiscStep, Shape, Step};

/// The network namespace that is struck.
pub(super) fn network(facts: &Facts) -> Result<&NetworkFacts, PlanError> {
    match &facts.subject {
        Subject::Network(network) => Ok(network),
        _ => Err(PlanError::Parameters(
            "this fault strikes networks: target: {interface: NAME}, {netns: NAME}, {process: {name: …}} or {host: true}"
                .to_owned(),
        )),
    }
}

/// The interfaces that are struck: the named one, or all that are up. The loopback interface only where packets are
/// described that may pass there: what a namespace says to itself is no network to those outside.
pub(super) fn links<'f>(facts: &'f Facts, filters: &Filters<'_>) -> Result<Vec<&'f LinkFacts>, PlanError> {
    let network = network(facts)?;
    let name = &network.namespace.name;
    if network.link_named {
        return match network.links.iter().find(|link| !link.up) {
            Some(down) => Err(PlanError::Refused(format!(
                "interface {} ({name}) is down: no packet passes there; choose another",
                down.link.name
            ))),
            None => Ok(network.links.iter().collect()),
        };
    }
    if network.is_host && filters.are_wide() {
        return Err(PlanError::Refused(format!(
            "this would strike all traffic of {name}, of whatever program; say which packets with `port: {}` or \
             `destination: …`, or name an interface (`target: {{interface: NAME}}`)",
            network.listens.first().map_or_else(|| "…".to_owned(), ToString::to_string)
        )));
    }
    let with_loopback = !filters.is_empty() && filters.reach_loopback(facts, &network.links)?;
    let struck: Vec<&LinkFacts> =
        network.links.iter().filter(|link| link.up && (with_loopback || !link.loopback)).collect();
    if struck.is_empty() {
        return Err(PlanError::Refused(format!(
            "no interface of {name} is up that these packets could pass; check the target"
        )));
    }
    Ok(struck)
}

/// A sentence for the plan where all of the host's loopback interface is struck, which is everybody's.
pub(super) fn about_loopback(facts: &Facts, filters: &Filters<'_>) -> Vec<String> {
    let Ok(network) = network(facts) else { return Vec::new() };
    if !network.is_host || !network.link_named || !filters.are_wide() {
        return Vec::new();
    }
    let sentence = |link: &LinkFacts| {
        format!(
            "{} carries all that the programs of {} say to each other, Squall's own probes and loads among them; \
             `port: …` names what is meant",
            link.link.name, network.namespace.name
        )
    };
    network.links.iter().filter(|link| link.loopback).map(sentence).collect()
}

/// Packets that are never touched: those of the connections that the operator works through.
pub(super) fn spared(facts: &Facts) -> Result<Vec<PacketFilter>, PlanError> {
    Ok(network(facts)?.control_paths.clone())
}

/// A queueing discipline on each of the interfaces, for what leaves by it.
pub(super) fn qdiscs(facts: &Facts, filters: &Filters<'_>, shape: &Shape) -> Result<Vec<Step>, PlanError> {
    let network = network(facts)?;
    let except = spared(facts)?;
    let mut steps = Vec::new();
    for link in links(facts, filters)? {
        refuse_children(link, network)?;
        let only = filters.packets(facts, Direction::Out, link.loopback)?;
        let share = shape.probability().fraction();
        let treats_some = !only.is_empty() || !except.is_empty() || share < 1.0;
        if treats_some && !facts.host.has(Feature::PacketClassifier) {
            return Err(PlanError::Unsupported(format!(
                "could not pick out packets on {}: {}",
                link.link.name,
                facts.host.lacks(Feature::PacketClassifier)
            )));
        }
        steps.push(Step::Qdisc(QdiscStep {
            namespace: network.namespace.clone(),
            link: link.link.clone(),
            shape: shape.clone(),
            only,
            except: except.clone(),
        }));
    }
    Ok(steps)
}

/// A root qdisc with something below it cannot be brought back exactly.
fn refuse_children(link: &LinkFacts, network: &NetworkFacts) -> Result<(), PlanError> {
    let root = &link.root_qdisc;
    if !root.has_children {
        return Ok(());
    }
    Err(PlanError::Refused(format!(
        "the root qdisc of {} ({}), {} {:x}:, has classes, filters or qdiscs below it and could not be brought back exactly; \
         name another interface, or take it away for the time of the experiment",
        link.link.name,
        network.namespace.name,
        root.kind,
        root.handle >> 16
    )))
}

/// Only what leaves can be delayed or held back; says what to do instead for what arrives.
pub(super) fn refuse_incoming(direction: Direction, verb: &str) -> Result<(), PlanError> {
    if direction == Direction::Out {
        return Ok(());
    }
    Err(PlanError::Unsupported(format!(
        "packets can be {verb} only where they leave; for those that arrive, strike the side that sends them, with \
         `direction: out`"
    )))
}

/// A step of netem needs the kernel to have it.
pub(super) fn require_netem(facts: &Facts, verb: &str) -> Result<(), PlanError> {
    if facts.host.has(Feature::Netem) {
        return Ok(());
    }
    Err(PlanError::Unsupported(format!("could not {verb} packets: {}", facts.host.lacks(Feature::Netem))))
}
