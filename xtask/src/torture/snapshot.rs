//! What the world looks like, read by other means than Squall's: `tc`, `nft`, `/proc` and plain folders.

use super::arena::{Arena, NAMESPACES};
use super::{memory, processes};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What must be gone in the end and may outlive the faults: a brain that lives ends its run in its own time.
const OF_THE_RUN: [&str; 2] = ["brains, agents and wardens", "all processes"];

/// Facts by name, each a text that can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    facts: BTreeMap<String, String>,
    /// Bytes of memory; a fact that need not be the same to the byte.
    memory: Option<u64>,
}

impl Snapshot {
    /// Reads everything.
    pub(super) fn take(arena: &mut Arena) -> Self {
        let mut snapshot = Self::glance(arena);
        snapshot.facts.extend(networks(arena));
        snapshot
    }

    /// Reads what needs no program to be started.
    fn glance(arena: &mut Arena) -> Self {
        arena.victims.tend();
        let mut facts = BTreeMap::new();
        let mut fact = |name: &str, text: String| facts.insert(name.to_owned(), text);
        fact("victims", arena.victims.look());
        let (workers, others) = squalls(&arena.folder);
        fact("workers", workers);
        fact(OF_THE_RUN[0], others);
        fact("undo logs", listing(&arena.state().join("live"), |_| true));
        fact("control groups", control_groups());
        if arena.isolated {
            fact(OF_THE_RUN[1], processes::census().join(" "));
            fact("/dev/shm", listing(Path::new("/dev/shm"), |_| true));
            fact("files of the small file system", data(arena));
            fact("new mounts", new_mounts(&arena.mounts));
            fact("network namespaces", listing(Path::new("/run/netns"), |_| true));
        } else {
            fact("/dev/shm", listing(Path::new("/dev/shm"), |name| name.contains("squall")));
        }
        Self { facts, memory: memory::look() }
    }

    /// What differs from what was before, in words.
    pub(super) fn differences(&self, before: &Self) -> Vec<String> {
        let text = |snapshot: &Self, name: &str| snapshot.facts.get(name).cloned().unwrap_or_default();
        let names = self.facts.keys().filter(|name| self.facts.get(*name) != before.facts.get(*name));
        let found =
            names.map(|name| format!("{name}: {:?}, before: {:?}", text(self, name), text(before, name)));
        found.chain(memory::excess(before.memory)).collect()
    }

    /// What is not as before; `but_the_run` passes over the processes that carry a run out. What takes other programs
    /// to look at is looked at only once all else is clean.
    pub(super) fn residue(arena: &mut Arena, but_the_run: bool) -> Vec<String> {
        let mut now = Self::glance(arena);
        if but_the_run {
            now.facts.retain(|name, _| !OF_THE_RUN.contains(&name.as_str()));
        }
        let differences = now.differences(&arena.before);
        if !differences.is_empty() {
            return differences;
        }
        now.facts = networks(arena).into_iter().collect();
        now.differences(&arena.before)
    }
}

/// Whether a network namespace differs from what it was.
pub(super) fn network_differs(arena: &Arena) -> bool {
    networks(arena).iter().any(|(name, text)| arena.before.facts.get(name) != Some(text))
}

/// Names of the files on the small file system.
pub(super) fn data(arena: &Arena) -> String {
    listing(&arena.data(), |_| true)
}

/// Workers, and the processes that carry a run out.
fn squalls(folder: &Path) -> (String, String) {
    let squalls = processes::of_folder(folder).into_iter().filter(|process| process.program == "squall");
    let (workers, others): (Vec<_>, Vec<_>) = squalls.partition(|process| process.role == "worker");
    let list = |found: Vec<processes::Process>| {
        found.iter().map(|process| format!("{} {}", process.role, process.pid)).collect::<Vec<_>>().join(", ")
    };
    (list(workers), list(others))
}

/// The sorted names in a folder; one that is not there has none.
fn listing(folder: &Path, counts: impl Fn(&str) -> bool) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| counts(name)).collect();
    names.sort();
    names.join(" ")
}

/// All mounts, one a line.
pub(super) fn mounts() -> String {
    fs::read_to_string("/proc/self/mounts").unwrap_or_default()
}

/// Mounts that were not there at first. (One that was may go by itself: when its folder is removed elsewhere.)
fn new_mounts(at_first: &str) -> String {
    let known: Vec<&str> = at_first.lines().collect();
    mounts().lines().filter(|mount| !known.contains(mount)).collect::<Vec<_>>().join("; ")
}

/// Control groups with Squall's name, at any depth that a person would make one.
fn control_groups() -> String {
    fn walk(folder: &Path, depth: usize, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().contains("squall") {
                    found.push(path.display().to_string());
                }
                walk(&path, depth - 1, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), 4, &mut found);
    found.sort();
    found.join(" ")
}

/// Queueing disciplines, filters and packet rules of each namespace, and of the one that the torture lives in.
fn networks(arena: &Arena) -> Vec<(String, String)> {
    if !arena.isolated {
        return Vec::new();
    }
    let mut facts = Vec::new();
    for namespace in NAMESPACES {
        let end = if namespace == NAMESPACES[0] { "sqt0" } else { "sqt1" };
        let inside = |program: &str, rest: &[&str]| {
            let net = format!("--net=/run/netns/{namespace}");
            let mut words = vec![net.as_str(), program];
            words.extend(rest);
            json("nsenter", &words)
        };
        facts.push((format!("qdiscs of {namespace}"), inside("tc", &["-j", "qdisc", "show"])));
        facts.push((format!("filters of {namespace}"), inside("tc", &["-j", "filter", "show", "dev", end])));
        facts.push((format!("packet rules of {namespace}"), inside("nft", &["-j", "list", "ruleset"])));
    }
    facts.push(("qdiscs".to_owned(), json("tc", &["-j", "qdisc", "show"])));
    facts.push(("packet rules".to_owned(), json("nft", &["-j", "list", "ruleset"])));
    facts
}

/// What a program says, as JSON without what changes by itself.
fn json(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let Ok(output) = output else { return format!("{program} is not there") };
    let Ok(mut said) = serde_json::from_slice::<Json>(&output.stdout) else {
        // Nothing at all is what `tc` says about no filters.
        return String::from_utf8_lossy(&output.stdout).into_owned();
    };
    forget_counters(&mut said);
    said.to_string()
}

fn forget_counters(value: &mut Json) {
    match value {
        Json::Object(fields) => {
            ["refcnt", "bytes", "packets", "metainfo"].iter().for_each(|name| drop(fields.remove(*name)));
            fields.values_mut().for_each(forget_counters);
        }
        Json::Array(values) => values.iter_mut().for_each(forget_counters),
        _ => {}
    }
}
