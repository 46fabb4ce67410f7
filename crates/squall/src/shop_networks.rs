//! Networks of demo shops on this machine: their names are the mark that tells whose they are, log or no log.
//!
//! The network with number 92 is `squall-shop-92`, the host's end of a cable, and the network namespaces
//! `squall-shop-92-switch`, `squall-shop-92-ledger` … in which its keeper and its services live. One that nobody lives in
//! was left by a demo that was killed together with its keeper.

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use squall_linux::sys::namespace::Namespace;
use squall_linux::sys::{link, process};
use squall_model::machine::Leftover;
use squall_model::protocol::Restored;
use squall_model::undo::Reverted;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// What every name begins with.
const PREFIX: &str = "squall-shop-";

/// Numbers that a network may have. Its cable's name has at most the 15 letters that a kernel takes.
pub(crate) const NUMBERS: RangeInclusive<u8> = 92..=200;

/// The network of one demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(pub(crate) u8);

impl fmt::Display for Number {
    /// Its name, which is also that of the host's end of its cable.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}", self.0)
    }
}

impl Number {
    /// Name of one of its namespaces.
    pub(crate) fn namespace(self, part: &str) -> String {
        format!("{self}-{part}")
    }

    /// Names of its namespaces that are there.
    fn namespaces(self) -> io::Result<Vec<String>> {
        let of_it = format!("{self}-");
        let mut of_it: Vec<String> = names()?.into_iter().filter(|name| name.starts_with(&of_it)).collect();
        of_it.sort();
        Ok(of_it)
    }

    /// Whether a process other than this one lives in it, or may: only root can look at processes of others.
    pub(crate) fn is_inhabited(self) -> bool {
        if !geteuid().is_root() {
            return true;
        }
        let Ok(namespaces) = self.namespaces() else { return true };
        let Ok(own) = Namespace::own() else { return true };
        let ids = namespaces.iter().filter_map(|name| Namespace::open(link::namespace_path(name)).ok());
        // A file without a namespace on it lies in another file system.
        let ids: BTreeSet<_> =
            ids.map(|namespace| namespace.id()).filter(|id| id.device == own.id().device).collect();
        let lives_there =
            |pid: &u32| Namespace::of_process(*pid).is_ok_and(|namespace| ids.contains(&namespace.id()));
        let me = std::process::id();
        process::all().unwrap_or_default().iter().filter(|pid| **pid != me).any(lives_there)
    }

    /// Takes it away; no error where it is gone already.
    pub(crate) fn remove(self) -> Result<(), String> {
        let words = |error: &dyn fmt::Display| format!("could not remove the demo's network {self}: {error}");
        link::delete(&self.to_string()).map_err(|error| words(&error))?;
        for name in self.namespaces().map_err(|error| words(&error))? {
            link::delete_namespace(&name).map_err(|error| words(&error))?;
        }
        Ok(())
    }
}

/// Networks that are being made have nobody in them yet: whoever makes one, or takes away what nobody lives in, holds
/// this lock meanwhile. It is the folder's, and the kernel frees it when its holder ends.
pub(crate) fn lock() -> io::Result<File> {
    std::fs::create_dir_all(folder())?;
    let folder = File::open(folder())?;
    flock(&folder, FlockOperation::LockExclusive)?;
    Ok(folder)
}

/// All that are there, whole or in part.
pub(crate) fn all() -> io::Result<BTreeSet<Number>> {
    let number = |name: String| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok().map(Number);
    Ok(names()?.into_iter().filter_map(number).collect())
}

/// Takes away those that nobody lives in, and says which and how it went. The lock must be held.
pub(crate) fn remove_abandoned(_lock: &File) -> io::Result<Vec<(Number, Result<(), String>)>> {
    let abandoned = all()?.into_iter().filter(|number| !number.is_inhabited());
    Ok(abandoned.map(|number| (number, number.remove())).collect())
}

/// Those that nobody lives in, as marks.
pub(crate) fn leftovers() -> Vec<Leftover> {
    // Where nothing is there, no lock is made; one that cannot be had means that nothing can be removed either.
    if all().is_ok_and(|all| all.is_empty()) {
        return Vec::new();
    }
    let Ok(_lock) = lock() else { return Vec::new() };
    let abandoned = all().unwrap_or_default().into_iter().filter(|number| !number.is_inhabited());
    let mark = |number: Number| Leftover {
        what: format!(
            "network of a demo that ended: network namespaces {}",
            number.namespaces().unwrap_or_default().join(", ")
        ),
        injection: None,
        claim: None,
        digest: None,
        held: None,
        remedy: "squall recover".to_owned(),
    };
    abandoned.map(mark).collect()
}

/// Takes away those that nobody lives in, and tells it as of injections that were put back.
pub(crate) fn recover() -> Vec<Restored> {
    if all().is_ok_and(|all| all.is_empty()) {
        return Vec::new();
    }
    let told = |(number, removed): (Number, Result<(), String>)| Restored {
        injection: number.to_string(),
        fault: "the network".to_owned(),
        target: "a demo that ended".to_owned(),
        steps: removed
            .is_ok()
            .then(|| Reverted::Undone { looked_at: format!("{number}: no network namespace is left") })
            .into_iter()
            .collect(),
        errors: removed.err().into_iter().collect(),
    };
    let removed = lock().and_then(|lock| remove_abandoned(&lock)).unwrap_or_default();
    removed.into_iter().map(told).collect()
}

fn folder() -> PathBuf {
    link::namespace_path("")
}

/// Names of all named network namespaces, and of files that were to be some.
fn names() -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
