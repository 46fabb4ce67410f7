//! Packets denied by rules: nftables tables of our own, which the kernel removes by itself when we die.
//!
//! Where the rules hook in decides what a denial looks like. What is to vanish is taken at the interface, outside of all
//! other processing: outgoing packets at its egress, where their sender notices nothing, incoming ones at its ingress,
//! so that what the namespace passes on (to containers, over a bridge) is struck as well. A kernel without these hooks
//! gets the rules of its own traffic instead, at output and input; there the sender of a packet that vanishes is told
//! "operation not permitted". What is to be rejected is always taken there, since only there can be answered.
//!
//! Address resolution (ARP, neighbour discovery of IPv6) is never struck: without it connections would not be gone more
//! thoroughly, but those that are spared would go too, and the others come back later.

use crate::network;
use crate::sys::namespace::Namespace;
use crate::sys::netlink::Error;
use crate::sys::nftables::{self, Chain, FIRST, Family, Hook, ListedTable, OwnedTables, RuleCounter, Table};
use squall_model::machine::{Leftover, MachineError};
use squall_model::step::{
    Denial, Direction, LinkRef, NamespaceRef, PacketFilter, PacketFilterStep, PacketRule, Prefix,
};
use squall_model::undo::{Difference, Evidence, Reverted, Undo};
use squall_model::units::Size;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Families that a table of ours may be of.
const FAMILIES: [Family; 2] = [Family::Netdev, Family::Inet];

/// Remark of the rules that let packets pass.
const SPARED: &str = "spared";
/// Remark of the rules that deny.
const DENIED: &str = "denied";

/// The tables that we hold, by namespace and name. The kernel removes them when this goes.
#[derive(Debug, Default)]
pub(crate) struct Tables(HashMap<(u64, String), OwnedTables>);

/// Refuses a name that is taken.
pub(crate) fn capture(step: &PacketFilterStep) -> Result<Undo, MachineError> {
    network::within_planned(&step.namespace, || {
        step.links.iter().try_for_each(|link| network::open_link(link).map(drop))?;
        refuse_taken(&step.table)
    })?;
    Ok(Undo::PacketFilter { namespace: step.namespace.clone(), table: step.table.clone() })
}

fn refuse_taken(table: &str) -> Result<(), MachineError> {
    match standing(table)?.first() {
        None => Ok(()),
        Some(family) => Err(MachineError::Refused {
            message: format!(
                "could not make the nftables table {family} {table}: there is one of that name; `squall leftovers` says \
                 whether it is one of Squall's that was left behind"
            ),
        }),
    }
}

/// Families in which a table of that name stands in the current namespace.
fn standing(table: &str) -> Result<Vec<Family>, MachineError> {
    Ok(families(table, &nftables::tables().map_err(network::worded)?))
}

/// Families of the tables of that name.
fn families(table: &str, listed: &[ListedTable]) -> Vec<Family> {
    listed.iter().filter(|listed| listed.name == table).map(|listed| listed.family).collect()
}

/// Whether a table dies with its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ownership {
    Owned,
    /// For kernels before 5.12; the undo log and the warden take the owner's place.
    Plain,
}

impl Tables {
    /// Makes the table, with the best hooks that the kernel has.
    pub(crate) fn apply(&mut self, step: &PacketFilterStep) -> Result<(), MachineError> {
        let held = network::within_planned(&step.namespace, || {
            step.links.iter().try_for_each(|link| network::open_link(link).map(drop))?;
            refuse_taken(&step.table)?;
            make(step)
        })?;
        if let Some(tables) = held {
            self.0.insert((step.namespace.inode, step.table.clone()), tables);
        }
        Ok(())
    }

    /// Reads the counters of the rules.
    pub(crate) fn observe(&mut self, step: &PacketFilterStep) -> Result<Evidence, MachineError> {
        let counters = match self.0.get_mut(&(step.namespace.inode, step.table.clone())) {
            Some(tables) => read(&step.table, |family, table| tables.counters(family, table)),
            None => network::within(&step.namespace, || read(&step.table, nftables::counters))
                .map(Option::unwrap_or_default),
        }?;
        match lost_link(step)? {
            Some(link) => {
                Ok(Evidence::gone(format!("interface {} is gone, and no packet passes our rules", link.name)))
            }
            None => Ok(evidence(step, &counters)),
        }
    }

    /// What keeps a table alive, where we hold it.
    fn take(&mut self, namespace: u64, table: &str) -> Option<OwnedTables> {
        self.0.remove(&(namespace, table.to_owned()))
    }

    /// Removes the table and looks again.
    pub(crate) fn revert(&mut self, namespace: &NamespaceRef, table: &str) -> Result<Reverted, MachineError> {
        let looked_at = format!("nftables tables named {table} in {}", network::words(namespace));
        let held = self.take(namespace.inode, table);
        let was_held = held.is_some();
        // What we hold is in the namespace, which therefore lives: no other can have its number.
        let is_there = was_held && network::leads_to(&namespace.path, namespace.inode);
        let left = held.and_then(OwnedTables::release);
        if is_there && left.is_some_and(|left| families(table, &left).is_empty()) {
            return Ok(Reverted::Undone { looked_at: format!("{looked_at}: none") });
        }
        let Some(place) = network::find(namespace)? else {
            return Ok(Reverted::AlreadyGone { looked_at: format!("{} is gone", network::words(namespace)) });
        };
        network::inside(&place, || {
            let stood = was_held | remove(table)?;
            Ok(match standing(table)?.as_slice() {
                [] if stood => Reverted::Undone { looked_at: format!("{looked_at}: none") },
                [] => Reverted::AlreadyGone { looked_at: format!("{looked_at}: none") },
                [family, ..] => Reverted::Drifted(Difference {
                    looked_at,
                    before: "none".to_owned(),
                    now: format!("{family} {table}"),
                    remedy: format!("{}nft delete table {family} {table}", namespace.prefix()),
                    under_way: false,
                }),
            })
        })
    }
}

/// An interface that is gone, where all are: rules outlive what they were made for.
fn lost_link(step: &PacketFilterStep) -> Result<Option<&LinkRef>, MachineError> {
    let all_gone = network::within(&step.namespace, || {
        let standing = network::links_among(&step.links)?;
        Ok(standing == 0)
    })?;
    Ok(step.links.first().filter(|_| all_gone.unwrap_or(true)))
}

/// Deletes what stands of a table in the current namespace; says whether anything did.
fn remove(table: &str) -> Result<bool, MachineError> {
    let mut stood = false;
    for family in standing(table)? {
        stood |= nftables::delete(family, table).map_err(|error| {
            let owner = nftables::tables().unwrap_or_default().into_iter().find(|listed| listed.name == table);
            match owner.and_then(|listed| listed.owner) {
                Some(owner) => MachineError::Refused {
                    message: format!(
                        "could not delete the nftables table {family} {table}: process {owner} is alive and owns it; end \
                         that, and the kernel removes the table"
                    ),
                },
                None => network::worded(error),
            }
        })?;
    }
    Ok(stood)
}

/// Makes the tables in the current namespace, and hands over what keeps them alive, if anything does.
fn make(step: &PacketFilterStep) -> Result<Option<OwnedTables>, MachineError> {
    let mut refusal = None;
    for ownership in [Ownership::Owned, Ownership::Plain] {
        for at_interface in [true, false] {
            let tables = tables(step, at_interface);
            let made = match ownership {
                Ownership::Owned => OwnedTables::create(&tables).map(Some),
                Ownership::Plain => nftables::create(&tables).map(|()| None),
            };
            match made {
                Ok(held) => return Ok(held),
                // The first refusal names what is missing of the best way; later ones what is missing of poorer ways.
                Err(error @ Error::Unsupported { .. }) => {
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(network::worded(error)),
            }
        }
    }
    Err(refusal.map_or_else(
        || MachineError::Unsupported { message: "could not make an nftables table".to_owned() },
        network::worded,
    ))
}

/// The tables of a step: one for the hooks of interfaces and one for those of the namespace's own traffic, as far as
/// there are rules for them.
fn tables(step: &PacketFilterStep, at_interface: bool) -> Vec<Table> {
    let mut tables = Vec::new();
    for family in FAMILIES {
        let mut chains = Vec::new();
        for link in &step.links {
            for direction in [Direction::Out, Direction::In] {
                let hook_of = |rule: &PacketRule| hook(rule, link, at_interface);
                let rules: Vec<&PacketRule> = step
                    .rules
                    .iter()
                    .filter(|rule| rule.direction == direction && hook_of(rule).family() == family)
                    .collect();
                if let Some(first) = rules.first() {
                    chains.push(chain(step, link, hook_of(first), &rules));
                }
            }
        }
        if !chains.is_empty() {
            let comment = comment_of(&step.table);
            tables.push(Table { family, name: step.table.clone(), comment, chains });
        }
    }
    tables
}

/// The remark of a table: the injection that it belongs to, as the table's name has it.
fn comment_of(table: &str) -> String {
    format!("squall injection {}", PacketFilterStep::injection_of(table).unwrap_or(table))
}

fn hook(rule: &PacketRule, link: &LinkRef, at_interface: bool) -> Hook {
    match (rule.direction, at_interface && rule.denial == Denial::Drop) {
        (Direction::In, true) => Hook::Ingress(link.name.clone()),
        (Direction::In, false) => Hook::Input,
        (Direction::Out | Direction::Both, true) => Hook::Egress(link.name.clone()),
        (Direction::Out | Direction::Both, false) => Hook::Output,
    }
}

fn chain(step: &PacketFilterStep, link: &LinkRef, hook: Hook, rules: &[&PacketRule]) -> Chain {
    let way = if matches!(hook, Hook::Ingress(_) | Hook::Input) { "in" } else { "out" };
    // Chains of interfaces see that interface only; the others must be told.
    let only_link = (hook.family() == Family::Inet).then_some(link.name.as_str());
    let mut chain = Chain::new(&format!("{way}_{}", link.index), hook, FIRST);
    for filter in &step.except {
        chain.spare(filter, SPARED);
    }
    chain.spare_neighbour_discovery(SPARED);
    if rules.iter().any(|rule| rule.denial == Denial::Reject) {
        chain.spare_answers(SPARED);
    }
    for rule in rules {
        chain.deny(only_link, &ip_only(&rule.filter), rule.probability.fraction(), rule.denial, DENIED);
    }
    chain
}

/// The same packets, but none that are neither IPv4 nor IPv6, such as those of address resolution.
pub(crate) fn ip_only(filter: &PacketFilter) -> PacketFilter {
    if !filter.remote.is_empty() || !filter.local.is_empty() {
        return filter.clone();
    }
    let any = |address| Prefix { address, length: 0 };
    let remote = vec![any(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), any(IpAddr::V6(Ipv6Addr::UNSPECIFIED))];
    PacketFilter { remote, ..filter.clone() }
}

/// The counters of a table's rules, in whichever families it stands.
fn read(
    table: &str,
    mut counters: impl FnMut(Family, &str) -> crate::sys::netlink::Result<Vec<RuleCounter>>,
) -> Result<Vec<RuleCounter>, MachineError> {
    let mut all = Vec::new();
    for family in FAMILIES {
        match counters(family, table) {
            Ok(found) => all.extend(found),
            // A kernel without that family, or no table in it.
            Err(error) if error.is_absent() || matches!(error, Error::Unsupported { .. }) => {}
            Err(error) => return Err(network::worded(error)),
        }
    }
    Ok(all)
}

fn evidence(step: &PacketFilterStep, counters: &[RuleCounter]) -> Evidence {
    let sum = |chain: &str, remark: &str, number: fn(&RuleCounter) -> u64| -> u64 {
        let counted = counters
            .iter()
            .filter(|rule| rule.comment == remark && rule.chain.starts_with(chain))
            .map(number);
        counted.sum()
    };
    let packets = |rule: &RuleCounter| rule.packets;
    let (out, into) = (sum("out_", DENIED, packets), sum("in_", DENIED, packets));
    let bytes = sum("", DENIED, |rule| rule.bytes);
    let verb =
        if step.rules.iter().all(|rule| rule.denial == Denial::Reject) { "rejected" } else { "dropped" };
    let evidence = if counters.is_empty() {
        Evidence::lost(format!("the table {} is not there", step.table))
    } else if out + into == 0 {
        Evidence::not_seen(format!("no packet {verb} so far"))
    } else {
        Evidence::seen(format!(
            "{} packets {verb} ({out} outgoing, {into} incoming, {})",
            out + into,
            Size(bytes)
        ))
    };
    evidence
        .with("packets", (out + into) as f64)
        .with("packets_out", out as f64)
        .with("packets_in", into as f64)
        .with("bytes", bytes as f64)
        .with("packets_spared", sum("", SPARED, packets) as f64)
}

/// Tables of ours in a namespace, with the name to remove each by. Those of one name in several families are one.
pub(crate) fn leftovers(
    place: &network::Place,
    namespace: &Namespace,
) -> Result<Vec<(String, Leftover)>, MachineError> {
    let tables = network::inside(namespace, || nftables::tables().map_err(network::worded))?;
    let mut by_name: BTreeMap<String, Vec<ListedTable>> = BTreeMap::new();
    for table in tables {
        by_name.entry(table.name.clone()).or_default().push(table);
    }
    let ours = by_name.into_iter().filter_map(|(name, tables)| {
        let injection = Some(PacketFilterStep::injection_of(&name)?.to_owned());
        let families: Vec<String> = tables.iter().map(|table| table.family.to_string()).collect();
        let by_hand = |family| format!("{}nft delete table {family} {name}", place.prefix());
        let remedy = match tables.iter().find_map(|table| table.owner) {
            Some(owner) => format!("kill {owner}  # owns the table, which goes with it"),
            None => families.iter().map(by_hand).collect::<Vec<_>>().join(" && "),
        };
        let what = format!("nftables table {name} ({}) in {}", families.join(", "), place.name());
        Some((name, Leftover { what, injection, claim: None, digest: None, held: None, remedy }))
    });
    Ok(ours.collect())
}

impl Tables {
    /// Removes a table that was found by its mark, whoever holds it.
    pub(crate) fn remove_marked(
        &mut self,
        place: &network::Place,
        namespace: &Namespace,
        table: &str,
    ) -> Result<Reverted, MachineError> {
        let was_held = self.take(place.inode, table).map(OwnedTables::release).is_some();
        let stood = network::inside(namespace, || remove(table))?;
        let looked_at = format!("nftables tables named {table} in {}", place.name());
        Ok(if was_held || stood {
            Reverted::Undone { looked_at }
        } else {
            Reverted::AlreadyGone { looked_at }
        })
    }
}
