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

/// What was found in all namespaces, and why one of them could not be looked through.
#[derive(Default)]
struct Search {
    found: Vec<(Place, Found, Leftover)>,
    failure: Option<MachineError>,
}

/// Whatever carries our mark in any network namespace. One that cannot be looked through is a failure: nobody knows
/// what is in there.
pub(crate) fn network() -> Result<Vec<Leftover>, MachineError> {
    let Search { found, failure } = search();
    failure.map_or_else(|| Ok(found.into_iter().map(|(_, _, leftover)| leftover).collect()), Err)
}

/// Removes what was found; none if it is no such thing, or no longer there.
pub(crate) fn remove(tables: &mut Tables, leftover: &Leftover) -> Result<Option<Reverted>, MachineError> {
    let Search { found, failure } = search();
    let Some((place, found, _)) = found.into_iter().find(|(_, _, other)| is_same(leftover, other)) else {
        return failure.map_or(Ok(None), Err);
    };
    let namespace = Namespace::open(&place.path).map_err(network::worded)?;
    match found {
        Found::Table(name) => tables.remove_marked(&place, &namespace, &name),
        Found::Qdisc { link, handle } => qdisc::remove_marked(&namespace, link, handle, &leftover.what),
    }
    .map(Some)
}

/// The same namespace may be found by another way the next time, and go by another name then: what is held tells more.
fn is_same(one: &Leftover, other: &Leftover) -> bool {
    one == other || (one.claim.is_some() && (&one.claim, one.digest) == (&other.claim, other.digest))
}

fn search() -> Search {
    let mut search = Search::default();
    for place in network::all() {
        // One may end between the listing and the opening, and without the privilege nothing can be made there either.
        let Ok(namespace) = Namespace::open(&place.path) else { continue };
        let tables = packet_filter::leftovers(&place, &namespace);
        for (name, leftover) in search.looked(tables) {
            search.found.push((place.clone(), Found::Table(name), leftover));
        }
        let qdiscs = qdisc::leftovers(&place, &namespace);
        for (link, handle, leftover) in search.looked(qdiscs) {
            search.found.push((place.clone(), Found::Qdisc { link, handle }, leftover));
        }
    }
    search
}

impl Search {
    /// What a look found. A namespace that ended meanwhile has nothing left, nor has a kernel that knows no such thing,
    /// nor can there be anything of ours where we may not even look.
    fn looked<T>(&mut self, look: Result<Vec<T>, MachineError>) -> Vec<T> {
        look.unwrap_or_else(|error| {
            if let MachineError::Refused { .. } | MachineError::Failed { .. } = error {
                self.failure.get_or_insert(error);
            }
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::step::Claim;

    fn failed(message: &str) -> MachineError {
        MachineError::Failed { message: message.to_owned() }
    }

    #[test]
    fn a_look_that_failed_is_not_taken_for_nothing_found() {
        let mut search = Search::default();
        assert_eq!(search.looked(Ok(vec![1_u8])), vec![1]);
        assert!(search.looked::<u8>(Err(MachineError::NotFound { message: "ended".into() })).is_empty());
        assert!(search.failure.is_none());
        assert!(search.looked::<u8>(Err(failed("first"))).is_empty());
        assert!(search.looked::<u8>(Err(failed("second"))).is_empty());
        assert_eq!(search.failure.unwrap().to_string(), "first");
    }

    #[test]
    fn a_qdisc_is_the_same_by_whatever_way_its_namespace_is_found() {
        let found = |name: &str, inode: u64| Leftover {
            what: format!("qdisc htb 5c54: on eth0 in {name}"),
            injection: None,
            claim: Some(Claim::root_qdisc(inode, "eth0")),
            digest: Some(0x54),
            held: None,
            remedy: String::new(),
        };
        assert!(is_same(&found("netns shop", 7), &found("of nginx (pid 12)", 7)));
        assert!(!is_same(&found("netns shop", 7), &found("netns shop", 8)));
    }
}
