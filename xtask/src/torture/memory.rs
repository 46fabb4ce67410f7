//! The memory of all that runs in the torture, counted by the kernel in a control group of its own, so that what other
//! programs of the machine take or give back meanwhile does not matter.

use std::fs;
use std::path::{Path, PathBuf};

/// Tells the inner process which group it joins.
pub(super) const VARIABLE: &str = "SQT_MEMORY_GROUP";

/// What may be held in the end more than in the beginning: buffers of the torture itself.
const TOLERANCE: u64 = 24 << 20;

/// Where memory is counted: version 1 and version 2 of control groups.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];

/// A control group that goes when this is dropped.
pub(super) struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// Makes one; none without the right to, or where the kernel counts no memory.
    pub(super) fn make() -> Option<Self> {
        ROOTS.iter().find_map(|root| {
            remove_empty(Path::new(root));
            let folder = Path::new(root).join(format!("sqt-{}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            held(&group.0).is_some().then_some(group)
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A folder that is not empty yet belongs to processes that are ending.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Takes away what a torture that was killed has left; a group that is in use stays.
fn remove_empty(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("sqt-") {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn group() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// The inner process, and all that it starts, is counted from now on.
pub(super) fn join() {
    if let Some(group) = group() {
        // Where it is refused, nothing is counted, and `held` stays the same.
        let _ = fs::write(group.join("cgroup.procs"), "0");
    }
}

/// Bytes of anonymous and shared memory that a group's processes hold.
fn held(group: &Path) -> Option<u64> {
    let text = fs::read_to_string(group.join("memory.stat")).ok()?;
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok())
    };
    // Version 1 and version 2.
    Some(value("rss").or_else(|| value("anon"))? + value("shmem").unwrap_or_default())
}

/// Bytes that are held now; none where nobody counts them.
pub(super) fn look() -> Option<u64> {
    held(&group()?)
}

/// How much more is held than before, in words; none where it is as before.
pub(super) fn excess(before: Option<u64>) -> Option<String> {
    let (before, now) = (before?, look()?);
    (now > before + TOLERANCE)
        .then(|| format!("memory: {} MiB are held, before: {} MiB", now >> 20, before >> 20))
}
