//! A queueing discipline at the root of an interface, and what was there brought back exactly.
//!
//! The mark is the number: a root qdisc whose major number is `5c00:` to `5cff:` is Squall's. Its lower half is made of
//! the injection's name, so that the undo of one injection passes over the qdisc of another. (The kernel gives numbers
//! from `8001:` upwards by itself, and people like small ones.)
//!
//! The root goes from what was there to ours in one change of the kernel's, and back in another. So there is no moment
//! at which a crash leaves the interface without either, and a root that is neither ours nor what was there was put
//! there by somebody else, and is left alone.

use crate::network;
use crate::step::packet_filter::ip_only;
use crate::sys::classifier::Program;
use crate::sys::discipline::{self, Discipline, Tbf, Treatment, smallest_burst, treated_class};
use crate::sys::namespace::Namespace;
use crate::sys::qdisc::{self, Handle, Over, Qdisc, Statistics, TrafficControl};
use crate::sys::route::{self, Link};
use squall_model::facts::QdiscFacts;
use squall_model::machine::{Leftover, MachineError, digest_of};
use squall_model::step::{
    Claim, LinkRef, NamespaceRef, Netem, PacketFilter, Prefix, Protocol, QdiscStep, Shape,
};
use squall_model::undo::{Difference, Evidence, QdiscBefore, Reverted, Undo};
use squall_model::units::{Share, Size};
use std::net::Ipv6Addr;

/// The upper half of the major number of every qdisc of ours.
const MARK: u16 = 0x5c00;
const MARK_MASK: u16 = 0xff00;

/// The queue length that the kernel gives to a link without a queue when a qdisc is added (`DEFAULT_TX_QUEUE_LEN`).
const GIVEN_QUEUE_LENGTH: u32 = 1000;

/// Kinds of qdisc whose classes the kernel makes by itself, so that they come back by themselves.
const CLASSES_BY_THEMSELVES: [&str; 12] =
    ["prio", "multiq", "tbf", "netem", "red", "sfb", "fq_codel", "fq_pie", "sfq", "cake", "ets", "choke"];

/// The number of an injection's qdiscs.
fn handle_of(injection: &str) -> Handle {
    Handle::new(MARK | u16::from(digest_of(injection)), 0)
}

fn is_ours(handle: Handle) -> bool {
    handle.major() & MARK_MASK == MARK
}

/// What is at the root of a link, as facts for planners.
pub(crate) fn root_facts(control: &mut TrafficControl, link: &Link) -> Result<QdiscFacts, MachineError> {
    let Some(root) = root(control, link.index)? else {
        return Ok(QdiscFacts { kind: link.qdisc.clone(), handle: 0, has_children: false });
    };
    let has_children = has_children(control, link.index, &root)?;
    Ok(QdiscFacts { kind: root.discipline.kind, handle: root.handle.0, has_children })
}

/// The root qdisc; none where it is the kernel's own default.
fn root(control: &mut TrafficControl, link: u32) -> Result<Option<Qdisc>, MachineError> {
    let root = control.root(link).map_err(network::worded)?;
    Ok(root.filter(|root| root.handle != Handle::NONE))
}

/// Whether anything hangs on a root qdisc that would go with it.
fn has_children(control: &mut TrafficControl, link: u32, root: &Qdisc) -> Result<bool, MachineError> {
    let hangs_on_it = |handle: Handle| handle.major() == root.handle.major();
    let qdiscs = control.qdiscs(link).map_err(network::worded)?;
    if qdiscs.iter().any(|qdisc| qdisc.parent != Handle::ROOT && hangs_on_it(qdisc.parent)) {
        return Ok(true);
    }
    if !CLASSES_BY_THEMSELVES.contains(&root.discipline.kind.as_str()) {
        let classes = control.classes(link).map_err(network::worded)?;
        if classes.iter().any(|class| hangs_on_it(class.handle)) {
            return Ok(true);
        }
    }
    // A kind that takes no filters answers with an error.
    Ok(control.filters(link, root.handle).is_ok_and(|filters| !filters.is_empty()))
}

/// Reads what must be known to put back what is there. Refuses what could not be.
pub(crate) fn capture(step: &QdiscStep, injection: &str) -> Result<Undo, MachineError> {
    let (link, before) = network::within_planned(&step.namespace, || {
        let link = network::open_link(&step.link)?;
        let mut control = TrafficControl::open().map_err(network::worded)?;
        let before = root(&mut control, link.index)?;
        if let Some(before) = &before {
            refuse_irreplaceable(&mut control, step, before)?;
        }
        Ok((link, before))
    })?;
    if let Some(before) = &before
        && qdisc::recipe(&before.discipline).map_err(network::worded)?.is_none()
    {
        return Err(refusal(step, before, "the kernel does not make it again from what it shows of it"));
    }
    program(step)?;
    Ok(Undo::Qdisc {
        namespace: step.namespace.clone(),
        link: step.link.clone(),
        handle: handle_of(injection).major().into(),
        before: before.map(|qdisc| record(&qdisc)),
        queue_length: (link.queue_length == 0).then_some(0),
    })
}

fn record(qdisc: &Qdisc) -> QdiscBefore {
    let Discipline { kind, options } = qdisc.discipline.clone();
    QdiscBefore { kind, handle: qdisc.handle.0, options }
}

fn refuse_irreplaceable(
    control: &mut TrafficControl,
    step: &QdiscStep,
    before: &Qdisc,
) -> Result<(), MachineError> {
    if is_ours(before.handle) {
        let message = format!(
            "could not put a qdisc on {} ({}): {} {} of Squall's is there already; undo that first (`squall recover`, if \
             whoever made it is gone)",
            step.link.name, step.namespace.name, before.discipline.kind, before.handle
        );
        return Err(MachineError::Refused { message });
    }
    if has_children(control, step.link.index, before)? {
        return Err(refusal(step, before, "it has classes, filters or qdiscs below it"));
    }
    Ok(())
}

fn refusal(step: &QdiscStep, before: &Qdisc, why: &str) -> MachineError {
    MachineError::Refused {
        message: format!(
            "could not put a qdisc on {} ({}): its root qdisc {} {} could not be brought back exactly afterwards, because \
             {why}; strike another interface, or take it away for the time of the experiment",
            step.link.name, step.namespace.name, before.discipline.kind, before.handle
        ),
    }
}

/// The program that picks the packets; none where all are treated.
fn program(step: &QdiscStep) -> Result<Option<Program>, MachineError> {
    let share = step.shape.probability().fraction();
    if step.only.is_empty() && step.except.is_empty() && share >= 1.0 {
        return Ok(None);
    }
    let except = with_neighbour_discovery(&step.except);
    let only: Vec<PacketFilter> = if step.only.is_empty() && !except.is_empty() {
        // What is spared needs address resolution, which is neither IPv4 nor IPv6.
        vec![ip_only(&PacketFilter::default())]
    } else {
        step.only.clone()
    };
    Program::compile(&only, &except, share).map(Some).map_err(network::worded)
}

/// Filters of spared connections and, for those of IPv6, of what finds the hardware addresses that they need
/// (RFC 4861): messages to the far side, to link-local neighbours and to multicast groups.
fn with_neighbour_discovery(spared: &[PacketFilter]) -> Vec<PacketFilter> {
    let far = spared.iter().flat_map(|filter| &filter.remote).filter(|far| far.address.is_ipv6());
    let v6: Vec<Prefix> = far.copied().collect();
    let mut all = spared.to_vec();
    if !v6.is_empty() {
        let link_local = Prefix { address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), length: 10 };
        let multicast = Prefix { address: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0).into(), length: 16 };
        let remote = v6.into_iter().chain([link_local, multicast]).collect();
        all.push(PacketFilter { remote, protocol: Some(Protocol::Icmp), ..PacketFilter::default() });
    }
    all
}

fn treatment(shape: &Shape, link: &Link) -> Treatment {
    match shape {
        Shape::Netem(netem) => Treatment::Netem(discipline::Netem {
            delay: netem.delay.0,
            jitter: netem.jitter.0,
            delay_correlation: netem.correlation.fraction(),
            distribution: netem.distribution,
            loss: netem.loss.fraction(),
            loss_correlation: netem.loss_correlation.fraction(),
            duplicate: netem.duplicate.fraction(),
            duplicate_correlation: netem.duplicate_correlation.fraction(),
            corrupt: netem.corrupt.fraction(),
            corrupt_correlation: netem.corrupt_correlation.fraction(),
            reorder: netem.reorder.fraction(),
            reorder_correlation: netem.reorder_correlation.fraction(),
            gap: netem.gap,
            rate: netem.rate.map(|rate| rate.bits_per_second),
            limit: held(netem),
        }),
        Shape::Bandwidth { rate, burst, queue } => Treatment::Bandwidth(Tbf {
            rate: rate.bits_per_second,
            // A packet longer than the burst would never pass.
            burst: u32::try_from(burst.0).unwrap_or(u32::MAX).max(smallest_burst(link.mtu)),
            queue: queue.0,
        }),
    }
}

/// How many packets netem holds at most. Where it limits the rate, a sender that does not mind would fill whatever there
/// is: then as many as the kernel's own default, beside those that are under way for the time of the delay.
fn held(netem: &Netem) -> u32 {
    const WAITING: u32 = 1000;
    const SHORTEST_PACKET: f64 = 64.0;
    let most = discipline::Netem::default().limit;
    let Some(rate) = netem.rate else { return most };
    let longest = netem.delay.as_seconds() + 4.0 * netem.jitter.as_seconds();
    let under_way = rate.bits_per_second as f64 / 8.0 * longest / SHORTEST_PACKET;
    WAITING.saturating_add(under_way as u32).min(most)
}

/// Puts our qdisc in the place of what was captured.
pub(crate) fn apply(step: &QdiscStep, undo: &Undo) -> Result<(), MachineError> {
    let Undo::Qdisc { handle, before, .. } = undo else {
        let message = format!("could not put a qdisc on {}: the undo is of another step", step.link.name);
        return Err(MachineError::Failed { message });
    };
    let handle = handle_from(*handle);
    let program = program(step)?;
    network::within_planned(&step.namespace, || {
        let link = network::open_link(&step.link)?;
        let mut control = TrafficControl::open().map_err(network::worded)?;
        if root(&mut control, link.index)?.as_ref().map(record) != *before {
            let message = format!(
                "could not put a qdisc on {} ({}): somebody else changed its root qdisc since it was looked at; plan again",
                step.link.name, step.namespace.name
            );
            return Err(MachineError::Refused { message });
        }
        let over = if before.is_none() { Over::Default } else { Over::Any };
        let treatment = treatment(&step.shape, &link);
        match &program {
            None => control.treat_all(link.index, handle, over, &treatment),
            Some(program) => control.treat_some(link.index, handle, over, &treatment, program),
        }
        .map_err(network::worded)
    })
}

/// A handle from the major number that a record keeps.
fn handle_from(major: u32) -> Handle {
    Handle::new(major as u16, 0)
}

/// Reads the statistics of our qdisc, which count from the apply.
pub(crate) fn observe(step: &QdiscStep, undo: &Undo) -> Result<Evidence, MachineError> {
    let Undo::Qdisc { handle, .. } = undo else {
        return Ok(Evidence::not_seen("the undo is of another step"));
    };
    let handle = handle_from(*handle);
    let found = network::within(&step.namespace, || {
        let mut control = TrafficControl::open().map_err(network::worded)?;
        let qdiscs = control.qdiscs(step.link.index).map_err(network::worded)?;
        Ok((qdiscs, network::links_among(std::slice::from_ref(&step.link))?))
    })?;
    let Some((qdiscs, links)) = found else {
        return Ok(Evidence::gone(format!("{} is gone", network::words(&step.namespace))));
    };
    let Some(root) = qdiscs.iter().find(|qdisc| qdisc.handle == handle) else {
        let name = &step.link.name;
        return Ok(match links {
            0 => Evidence::gone(format!("interface {name} is gone")),
            _ => Evidence::lost(format!("our qdisc is not on {name}")),
        });
    };
    let treated = qdiscs.iter().find(|qdisc| qdisc.parent == treated_class(handle)).unwrap_or(root);
    Ok(evidence(&step.shape, treated))
}

fn evidence(shape: &Shape, treated: &Qdisc) -> Evidence {
    let seen = treated.statistics;
    let packets = seen.packets + seen.queue_length;
    let overlimits = seen.overlimits;
    let (took_effect, summary) = match shape {
        Shape::Bandwidth { .. } => (
            overlimits > 0 || seen.drops > 0,
            format!(
                "{packets} packets ({}) through the limit, which held them back {overlimits} times and dropped {}",
                Size(seen.bytes),
                seen.drops
            ),
        ),
        Shape::Netem(netem) => evidence_of_netem(netem, seen),
    };
    let evidence = if took_effect { Evidence::seen(summary) } else { Evidence::not_seen(summary) };
    evidence
        .with("packets", packets as f64)
        .with("bytes", seen.bytes as f64)
        .with("drops", seen.drops as f64)
        .with("overlimits", overlimits as f64)
        .with("requeues", seen.requeues as f64)
}

/// What netem counts, and what must be reckoned. It counts each packet that it sent on, copies among them, those that it
/// dropped, and, as "requeues", those that it put before all others; neither copies nor damaged packets. (On a network card
/// that was busy, those that the card gave back count as requeues of the root as well.)
fn evidence_of_netem(netem: &Netem, seen: Statistics) -> (bool, String) {
    let packets = seen.packets + seen.queue_length;
    let is_some = |share: Share| share.fraction() > 0.0;
    let mut told: Vec<(String, bool)> = Vec::new();
    let overtook = if is_some(netem.reorder) { seen.requeues.min(packets) } else { 0 };
    if !netem.delay.0.is_zero() {
        let delayed = packets - overtook;
        told.push((format!("{delayed} packets delayed"), delayed > 0));
    }
    if is_some(netem.reorder) {
        told.push((format!("{overtook} sent before those that waited"), overtook > 0));
    }
    if is_some(netem.loss) {
        told.push((format!("{} packets lost, {packets} not", seen.drops), seen.drops > 0));
    } else if netem.rate.is_some() && seen.drops > 0 {
        told.push((format!("{} packets dropped", seen.drops), true));
    }
    if let Some(rate) = netem.rate {
        told.push((format!("{packets} packets ({}) at {rate}", Size(seen.bytes)), packets > 0));
    }
    let twice = netem.duplicate.fraction();
    for (share, correlation, words) in [
        (twice / (1.0 + twice), netem.duplicate_correlation, "copies"),
        (netem.corrupt.fraction(), netem.corrupt_correlation, "damaged"),
    ] {
        if share > 0.0 {
            let about = packets as f64 * share;
            let left = if told.is_empty() { format!("{packets} packets left, ") } else { String::new() };
            let part =
                format!("{left}about {about:.0} of them {words} (reckoned: the kernel does not count those)");
            told.push((part, about * (1.0 - correlation.fraction()) > SURELY_SOME));
        }
    }
    let took_effect = told.iter().any(|(_, is_effect)| *is_effect);
    (took_effect, told.into_iter().map(|(part, _)| part).collect::<Vec<_>>().join(", "))
}

/// Where so many are expected, there is none in less than one of a thousand runs.
const SURELY_SOME: f64 = 7.0;

/// What an undo record of a qdisc says.
pub(crate) struct Record<'a> {
    pub(crate) namespace: &'a NamespaceRef,
    pub(crate) link: &'a LinkRef,
    pub(crate) handle: u32,
    pub(crate) before: Option<&'a QdiscBefore>,
    pub(crate) queue_length: Option<u32>,
}

/// Takes our qdisc away, brings back what was there, and looks again.
pub(crate) fn revert(record: &Record<'_>) -> Result<Reverted, MachineError> {
    let gone = |what: String| Reverted::AlreadyGone { looked_at: format!("{what} is gone") };
    let reverted = network::within(record.namespace, || {
        let Some(link) = network::find_link(record.link)? else {
            return Ok(gone(format!("interface {} ({})", record.link.name, record.namespace.name)));
        };
        let mut control = TrafficControl::open().map_err(network::worded)?;
        let ours = handle_from(record.handle);
        let now = root(&mut control, link.index)?;
        let stood = now.as_ref().is_some_and(|root| root.handle == ours);
        if stood {
            put_back(&mut control, link.index, ours, record.before)?;
        }
        let now = root(&mut control, link.index)?;
        give_queue_length(record, &link, now.as_ref())?;
        Ok(judge(record, &link, stood, now.as_ref()))
    })?;
    Ok(reverted.unwrap_or_else(|| gone(network::words(record.namespace))))
}

/// Puts what was there in the place of ours, in one change.
fn put_back(
    control: &mut TrafficControl,
    link: u32,
    ours: Handle,
    before: Option<&QdiscBefore>,
) -> Result<(), MachineError> {
    let Some(before) = before else {
        return control.delete_root(link, ours).map(drop).map_err(network::worded);
    };
    let listed = Discipline { kind: before.kind.clone(), options: before.options.clone() };
    // The recipe was found at capture; should it not be found now, what was listed is the best guess, and the look
    // afterwards tells.
    let recipe = qdisc::recipe(&listed).ok().flatten().unwrap_or(listed);
    control.replace(link, Handle::ROOT, Handle(before.handle), &recipe).map_err(network::worded)
}

/// Gives a link without a queue its length back, if it is as the kernel left it.
fn give_queue_length(record: &Record<'_>, link: &Link, root: Option<&Qdisc>) -> Result<(), MachineError> {
    let Some(length) = record.queue_length else { return Ok(()) };
    // Looked at again: it was our qdisc that changed it, maybe since the link was listed.
    let now = network::find_link(record.link)?.map_or(link.queue_length, |link| link.queue_length);
    if root.is_none() && now == GIVEN_QUEUE_LENGTH {
        route::set_queue_length(link.index, length).map_err(network::worded)?;
    }
    Ok(())
}

/// Compares what is there with what was.
fn judge(record: &Record<'_>, link: &Link, stood: bool, now: Option<&Qdisc>) -> Reverted {
    let place = format!("the root qdisc of {} ({})", link.name, record.namespace.name);
    let words = |qdisc: Option<&QdiscBefore>| match qdisc {
        None => "the kernel's default".to_owned(),
        Some(qdisc) => format!("{} {}", qdisc.kind, Handle(qdisc.handle)),
    };
    let is_now = now.map(self::record);
    let looked_at = format!("{place}: {}", words(is_now.as_ref()));
    if is_now.as_ref() == record.before {
        return if stood { Reverted::Undone { looked_at } } else { Reverted::AlreadyGone { looked_at } };
    }
    let prefix = record.namespace.prefix();
    let name = &link.name;
    let remedy = match record.before {
        // Somebody else put their own there after ours was gone, or in its place.
        None if !stood => return Reverted::AlreadyGone { looked_at },
        None => format!("{prefix}tc qdisc del dev {name} root"),
        Some(before) => {
            let handle = Handle(before.handle);
            format!("{prefix}tc qdisc replace dev {name} root handle {handle} {} …", before.kind)
        }
    };
    let before = words(record.before);
    Reverted::Drifted(Difference {
        looked_at: place,
        before,
        now: words(is_now.as_ref()),
        remedy,
        under_way: false,
    })
}

/// Qdiscs of ours in a namespace, with the link and number to remove each by.
pub(crate) fn leftovers(
    place: &network::Place,
    namespace: &Namespace,
) -> Result<Vec<(u32, Handle, Leftover)>, MachineError> {
    let look = || {
        let links = route::links().map_err(network::worded)?;
        let mut control = TrafficControl::open().map_err(network::worded)?;
        let mut found = Vec::new();
        for link in links {
            if let Some(root) = root(&mut control, link.index)?.filter(|root| is_ours(root.handle)) {
                found.push((link, root));
            }
        }
        Ok(found)
    };
    let found = network::inside(namespace, look)?;
    let leftover = |(link, root): (Link, Qdisc)| {
        let what =
            format!("qdisc {} {} on {} in {}", root.discipline.kind, root.handle, link.name, place.name());
        let remedy = format!("{}tc qdisc del dev {} root", place.prefix(), link.name);
        let claim = Some(Claim::root_qdisc(place.inode, &link.name));
        let [digest, _] = root.handle.major().to_le_bytes();
        (
            link.index,
            root.handle,
            Leftover { what, injection: None, claim, digest: Some(digest), held: None, remedy },
        )
    };
    Ok(found.into_iter().map(leftover).collect())
}

/// Removes a qdisc that was found by its mark. What was there before it only the lost log knew, so nobody can say that
/// all is as it was: that is told as a difference.
pub(crate) fn remove_marked(
    namespace: &Namespace,
    link: u32,
    handle: Handle,
    what: &str,
) -> Result<Reverted, MachineError> {
    let stood = network::inside(namespace, || {
        let mut control = TrafficControl::open().map_err(network::worded)?;
        control.delete_root(link, handle).map_err(network::worded)
    })?;
    if !stood {
        return Ok(Reverted::AlreadyGone { looked_at: what.to_owned() });
    }
    Ok(Reverted::Drifted(Difference {
        looked_at: format!("{what}, found by its mark and removed"),
        before: "not known, because the undo log that told it is damaged".to_owned(),
        now: "the kernel's default".to_owned(),
        remedy:
            "nothing, unless the interface had a qdisc of its own: then set that again with tc qdisc replace"
                .to_owned(),
        under_way: false,
    }))
}
