//! Control groups: which ones a process is in, where their folders are, what limits their memory.
//!
//! Version 1 has one tree of groups for each controller (or few of them); version 2 has one tree for all. A host may
//! have both ("hybrid"), and then a controller is in one of the two. `/proc/PID/cgroup` names the groups by their path
//! within a tree; `/proc/self/mountinfo` says where the trees are mounted, and from which group on (in a container
//! often the container's own group is mounted as if it were the root).
//!
//! Sources: cgroups(7), `Documentation/admin-guide/cgroup-v2.rst`, `cgroup-v1/memory.rst`, `proc_pid_mountinfo(5)`.

use std::io;
use std::path::{Path, PathBuf};

/// A controller that Squall has to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

impl Controller {
    /// Its name in the kernel.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// Version of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// A tree for each controller.
    V1,
    /// One tree for all.
    V2,
}

/// A tree of groups, where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Version of its interface.
    pub version: Version,
    /// Controllers of it, or `name=` and its name; of version 2 those that the root offers.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The group that is mounted there.
    root: String,
}

/// A group of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Version of its interface.
    pub version: Version,
    /// Its path within its tree, as `/proc/PID/cgroup` has it.
    pub path: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Where its tree is mounted.
    pub mount: PathBuf,
}

impl Group {
    /// Whether it is the root of its tree, which holds what is in no group of its own.
    pub fn is_root(&self) -> bool {
        self.folder == self.mount
    }
}

/// A limit on memory and what is used of it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// The limit.
    pub limit: u64,
    /// What is used, without the inactive page cache, which the kernel gives back before it runs out.
    pub used: u64,
}

impl MemoryUse {
    /// What is left.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// The trees that are mounted here.
pub fn trees() -> io::Result<Vec<Tree>> {
    let text = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut trees: Vec<Tree> = text.lines().filter_map(parse_mount).collect();
    for tree in trees.iter_mut().filter(|tree| tree.version == Version::V2) {
        let offered = std::fs::read_to_string(tree.mount.join("cgroup.controllers")).unwrap_or_default();
        tree.controllers = offered.split_whitespace().map(str::to_owned).collect();
    }
    Ok(trees)
}

/// The group of a process that a controller goes by; `None` where the controller is not to be had here.
pub fn of_process(pid: u32, controller: Controller, trees: &[Tree]) -> io::Result<Option<Group>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let tree = trees.iter().find(|tree| tree.controllers.iter().any(|name| name == controller.name()));
    Ok(tree.and_then(|tree| group_in(tree, &text)))
}

/// The group of a process in one tree; `None` where it lies outside of the part that is mounted here.
pub fn in_tree(pid: u32, tree: &Tree) -> io::Result<Option<Group>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    Ok(group_in(tree, &text))
}

/// The file that freezes the group of a process of which the last part of the path `is_it`, its version, and what is written
/// there to freeze; `None` where it has no such group. Version 1: `cgroup-v1/freezer-subsystem.rst`; version 2: `cgroup.freeze`.
pub fn freezer(
    pid: u32,
    trees: &[Tree],
    is_it: impl Fn(&str) -> bool,
) -> Option<(PathBuf, Version, &'static str)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let is_freezer = |tree: &&Tree| {
        tree.version == Version::V2 || tree.controllers.iter().any(|controller| controller == "freezer")
    };
    trees.iter().filter(is_freezer).find_map(|tree| {
        let group = group_in(tree, &text)?;
        // The process may be in a group within that group.
        let within = group.folder.ancestors().take_while(|folder| *folder != tree.mount);
        let named = |folder: &&Path| folder.file_name().and_then(|name| name.to_str()).is_some_and(&is_it);
        let (file, frozen) = match tree.version {
            Version::V1 => ("freezer.state", "FROZEN"),
            Version::V2 => ("cgroup.freeze", "1"),
        };
        let file = within.filter(|folder| folder.starts_with(&tree.mount)).find(named)?.join(file);
        file.exists().then_some((file, tree.version, frozen))
    })
}

/// All paths of groups that a process is in, each within its tree.
pub fn paths(pid: u32) -> io::Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    Ok(text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).map(str::to_owned).collect())
}

/// The tightest memory limit of a group and the groups around it; `None` where only the host's memory limits it.
pub fn memory_use(group: &Group) -> Option<MemoryUse> {
    let groups = group.folder.ancestors().take_while(|folder| folder.starts_with(&group.mount));
    groups.filter_map(|folder| memory_use_of(folder, group.version)).min_by_key(MemoryUse::free)
}

/// Limits as high as this mean "none": version 1 writes the highest multiple of a page.
const UNLIMITED: u64 = 1 << 62;

fn memory_use_of(folder: &Path, version: Version) -> Option<MemoryUse> {
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    let (limit, used, cache) = match version {
        // "max" is no number, and so no limit.
        Version::V2 => ("memory.max", "memory.current", "inactive_file "),
        Version::V1 => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
    };
    let limit = number(limit).filter(|limit| *limit < UNLIMITED)?;
    let statistics = read("memory.stat").unwrap_or_default();
    let cache =
        statistics.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok()).unwrap_or(0);
    Some(MemoryUse { limit, used: number(used)?.saturating_sub(cache) })
}

/// Moves the calling process into a group, with all of its threads. Where version 1 counts the time of processors in a tree of its
/// own, it is counted there too: what Kubernetes and Docker tell of a group's load comes from there.
pub fn join(folder: &Path) -> io::Result<()> {
    let process = std::process::id().to_string();
    std::fs::write(folder.join("cgroup.procs"), &process)?;
    if let Some(counted) = trees().ok().and_then(|trees| counted_in(folder, &trees)) {
        // The load is there in any case.
        let _ = std::fs::write(counted.join("cgroup.procs"), process);
    }
    Ok(())
}

/// The group of the same path in the tree that counts the time of processors, where that is another than the one that shares it out.
fn counted_in(folder: &Path, trees: &[Tree]) -> Option<PathBuf> {
    let has = |tree: &Tree, name: &str| tree.controllers.iter().any(|controller| controller == name);
    let tree = trees.iter().find(|tree| has(tree, "cpu") && folder.starts_with(&tree.mount))?;
    if tree.version == Version::V2 || has(tree, "cpuacct") {
        return None;
    }
    let counts = trees.iter().find(|other| has(other, "cpuacct") && other.root == tree.root)?;
    Some(counts.mount.join(folder.strip_prefix(&tree.mount).ok()?))
}

/// `36 35 98:0 /root /mount/point options… - type source super,options`
fn parse_mount(line: &str) -> Option<Tree> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let mut file_system = file_system.split(' ');
    let version = match file_system.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let options = file_system.nth(1)?.split(',');
    // A tree of version 1 without controllers has a name: `name=systemd`.
    let is_name = |option: &str| !option.contains('=') || option.starts_with("name=");
    let controllers = options.filter(|option| !matches!(*option, "rw" | "ro") && is_name(option));
    Some(Tree {
        version,
        controllers: controllers.map(str::to_owned).collect(),
        mount: PathBuf::from(point),
        root: root.to_owned(),
    })
}

/// Finds the group of a tree in the text of `/proc/PID/cgroup`: lines `NUMBER:CONTROLLERS:PATH`, without controllers
/// for version 2.
fn group_in(tree: &Tree, text: &str) -> Option<Group> {
    let path = text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let is_it = match tree.version {
            Version::V2 => controllers.is_empty(),
            Version::V1 => controllers.split(',').any(|one| tree.controllers.iter().any(|name| name == one)),
        };
        is_it.then_some(path)
    })?;
    // What lies outside of the mounted part cannot be reached.
    let below = Path::new(path).strip_prefix(&tree.root).ok()?;
    let folder = if below.as_os_str().is_empty() { tree.mount.clone() } else { tree.mount.join(below) };
    Some(Group { version: tree.version, path: path.to_owned(), folder, mount: tree.mount.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct";
    const V1_CONTAINER: &str =
        "32 31 0:29 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:11 - cgroup cgroup rw,memory";
    const V2: &str = "28 24 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn trees_are_read_from_mounts() {
        let tree = parse_mount(V1).unwrap();
        assert_eq!((tree.version, tree.mount.to_str().unwrap()), (Version::V1, "/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(tree.controllers, ["cpu", "cpuacct"]);
        assert_eq!(parse_mount(V2).unwrap().version, Version::V2);
        assert_eq!(parse_mount("1 0 8:1 / / rw - ext4 /dev/sda1 rw"), None);
        assert_eq!(parse_mount("torn"), None);
    }

    #[test]
    fn load_is_counted_in_the_tree_that_counts() {
        let tree = |name: &str| {
            parse_mount(&format!("32 31 0:29 / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}")).unwrap()
        };
        let apart = [tree("memory"), tree("cpu"), tree("cpuacct")];
        let counted = |group: &str, trees: &[Tree]| counted_in(Path::new(group), trees);
        assert_eq!(
            counted("/sys/fs/cgroup/cpu/docker/abc", &apart).as_deref(),
            Some(Path::new("/sys/fs/cgroup/cpuacct/docker/abc"))
        );
        assert_eq!(counted("/sys/fs/cgroup/memory/docker/abc", &apart), None);
        assert_eq!(counted("/sys/fs/cgroup/cpu,cpuacct/a", &[parse_mount(V1).unwrap()]), None);
        assert_eq!(counted("/sys/fs/cgroup/a", &[parse_mount(V2).unwrap()]), None);
    }

    #[test]
    fn groups_are_found_below_what_is_mounted() {
        let text = "9:memory:/docker/abc/web\n2:cpu,cpuacct:/\n0::/user.slice/a.scope\n";
        let memory = group_in(&parse_mount(V1_CONTAINER).unwrap(), text).unwrap();
        assert_eq!(memory.folder, Path::new("/sys/fs/cgroup/memory/web"));
        let cpu = group_in(&parse_mount(V1).unwrap(), text).unwrap();
        assert!(cpu.is_root());
        let unified = group_in(&parse_mount(V2).unwrap(), text).unwrap();
        assert_eq!(unified.folder, Path::new("/sys/fs/cgroup/user.slice/a.scope"));
        assert_eq!(group_in(&parse_mount(V1_CONTAINER).unwrap(), "9:memory:/other\n"), None);
        let named = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd";
        let group = group_in(&parse_mount(named).unwrap(), "9:name=systemd:/init.scope\n").unwrap();
        assert_eq!(group.folder, Path::new("/sys/fs/cgroup/systemd/init.scope"));
    }

    #[test]
    fn our_own_groups_are_folders() {
        let trees = trees().unwrap();
        for controller in [Controller::Cpu, Controller::Memory] {
            match of_process(std::process::id(), controller, &trees).unwrap() {
                Some(group) => assert!(group.folder.join("cgroup.procs").exists(), "{group:?}"),
                None => println!("skipped: no {} controller is mounted here", controller.name()),
            }
        }
        assert!(!paths(std::process::id()).unwrap().is_empty());
    }
}
