//! Squall's marks in every network namespace that can be found: tables by their name, qdiscs by their number.

use crate::network::{self, Place};
use crate::step::packet_filter::{self, Tables};
use crate::step::qdisc;
use crate::sys::namespace::Namespace;
use crate::sys::qdisc::Handle;
use squall_model::machine::{Leftover, MachineError};
use squall_model::undo::Reverted;

/// How to remove what was found.
enum Found {
    Table(String),
    Qdisc { link: u32, handle: Handle },
}

/// Whatever carries our mark in any network namespace.
pub(crate) fn network() -> Vec<Leftover> {
    search().into_iter().map(|(_, _, leftover)| leftover).collect()
}

/// Removes what was found; none if it is no such thing, or no longer there.
pub(crate) fn remove(tables: &mut Tables, leftover: &Leftover) -> Result<Option<Reverted>, MachineError> {
    let Some((place, found, _)) = search().into_iter().find(|(_, _, other)| other == leftover) else {
        return Ok(None);
    };
    let namespace = Namespace::open(&place.path).map_err(network::worded)?;
    match found {
        Found::Table(name) => tables.remove_marked(&place, &namespace, &name),
        Found::Qdisc { link, handle } => qdisc::remove_marked(&namespace, link, handle, &leftover.what),
    }
    .map(Some)
}

fn search() -> Vec<(Place, Found, Leftover)> {
    let mut all = Vec::new();
    for place in network::all() {
        // One may end between the listing and the opening, and without the privilege nothing can be made there either.
        let Ok(namespace) = Namespace::open(&place.path) else { continue };
        for (name, leftover) in packet_filter::leftovers(&place, &namespace) {
            all.push((place.clone(), Found::Table(name), leftover));
        }
        for (link, handle, leftover) in qdisc::leftovers(&place, &namespace) {
            all.push((place.clone(), Found::Qdisc { link, handle }, leftover));
        }
    }
    all
}
