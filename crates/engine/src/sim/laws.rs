//! What must hold in every simulated world, whatever happened in it.

use super::actor::recover;
use super::world::{Shared, World};
use squall_model::protocol::Restored;
use std::collections::{BTreeMap, BTreeSet};

/// Recovers a last time with nothing in the way, and checks that the host is as if Squall had never been there, that
/// no log is left, and that what is told as residue is true.
///
/// `spoilt` names the injections whose logs were damaged on purpose: theirs may be lost, but never in silence.
pub(super) fn all_is_back(shared: &Shared, spoilt: &BTreeMap<String, BTreeSet<String>>) {
    calm(&mut shared.lock());
    let told = recover(shared, "last recovery");
    let again = recover(shared, "another recovery");
    let mut world = shared.lock();
    if residues(&told) != residues(&again) {
        world.violation(format!("two recoveries tell different residue: {told:?} and {again:?}"));
    }
    check_host(&mut world, &told, spoilt);
    check_logs(&mut world, &told, spoilt);
}

fn calm(world: &mut World) {
    world.doom = None;
    world.interrupt = None;
    world.weather.full = false;
    world.weather.failing = 0;
}

fn residues(told: &[Restored]) -> BTreeMap<&str, Vec<String>> {
    told.iter()
        .map(|restored| (restored.injection.as_str(), restored.residue()))
        .filter(|(_, residue)| !residue.is_empty())
        .collect()
}

fn check_host(world: &mut World, told: &[Restored], spoilt: &BTreeMap<String, BTreeSet<String>>) {
    let residues = residues(told);
    for (key, difference) in world.differences() {
        let is_spoilt = spoilt
            .iter()
            .any(|(injection, keys)| keys.contains(&key) && residues.contains_key(injection.as_str()));
        // Where the kernel itself failed, a step may be out of reach for good; but not in silence.
        let is_told = is_spoilt
            || world.failures > 0
                && residues.keys().any(|injection| world.keys_of_log(injection).contains(&key));
        if !is_told {
            world.violation(format!("{key} {difference}"));
        }
    }
}

fn check_logs(world: &mut World, told: &[Restored], spoilt: &BTreeMap<String, BTreeSet<String>>) {
    let residues = residues(told);
    for name in world.logs.keys().cloned().collect::<Vec<_>>() {
        if !residues.contains_key(name.as_str()) {
            world.violation(format!("log {name} is left and nothing is told of it"));
        }
    }
    for (injection, residue) in residues {
        let touched = world.keys_of_log(injection);
        let is_true =
            world.explains_residue(&touched) || spoilt.contains_key(injection) || world.failures > 0;
        if !is_true {
            world.violation(format!("{injection} is told to leave residue, and does not: {residue:?}"));
        }
    }
}
