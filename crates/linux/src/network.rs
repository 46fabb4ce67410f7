//! Network namespaces and interfaces found again by their identity, and what the kernel says about them in the words
//! of the machine's errors.
//!
//! A path to a namespace is only a way in: `/proc/PID/ns/net` is gone when that process is, while others may still be
//! in the namespace. So a namespace is known by its inode and its boot, and looked for by every way there is.

use crate::sys::namespace::Namespace;
use crate::sys::netlink::Error;
use crate::sys::{process, route};
use rustix::io::Errno;
use squall_model::facts::Privilege;
use squall_model::machine::MachineError;
use squall_model::step::{LinkRef, NamespaceRef};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The network namespace that we are in ourselves.
pub(crate) const OWN: &str = NamespaceRef::OWN;

/// At most so many namespaces are looked into; a host with more is past what one look can serve.
const MOST_NAMESPACES: usize = 4096;

/// A namespace and a way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) inode: u64,
    pub(crate) path: PathBuf,
}

impl Place {
    /// What a person types before a command so that it runs in there; nothing for our own.
    pub(crate) fn prefix(&self) -> String {
        NamespaceRef::prefix_of(&self.path.to_string_lossy())
    }

    /// The same namespace by a mount, where there is one: a process may end before the namespace does.
    pub(crate) fn lasting(self) -> Self {
        mounted().into_iter().find(|place| place.inode == self.inode).unwrap_or(self)
    }

    /// How people know it.
    pub(crate) fn name(&self) -> String {
        let path = self.path.to_string_lossy();
        match path.strip_prefix("/run/netns/").or_else(|| path.strip_prefix("/var/run/netns/")) {
            _ if path == OWN => "this host".to_owned(),
            Some(name) => format!("netns {name}"),
            None => match path.strip_prefix("/proc/").and_then(|rest| rest.split('/').next()?.parse().ok()) {
                Some(pid) => of_process(pid),
                None => path.into_owned(),
            },
        }
    }
}

/// How people know the namespace that a process is in.
pub(crate) fn of_process(pid: u32) -> String {
    let name = process::stat(pid).map_or_else(|_| "a process".to_owned(), |stat| stat.name);
    format!("of {name} (pid {pid})")
}

/// Every network namespace that can be found: our own, those that are mounted somewhere, those of processes. Each once,
/// by the way in that lasts longest.
pub(crate) fn all() -> Vec<Place> {
    let mut found: BTreeMap<u64, Place> = BTreeMap::new();
    let own = Namespace::own().ok().map(|own| Place { inode: own.id().inode, path: PathBuf::from(OWN) });
    for place in own.into_iter().chain(mounted()).chain(of_processes()) {
        if found.len() < MOST_NAMESPACES {
            found.entry(place.inode).or_insert(place);
        }
    }
    found.into_values().collect()
}

/// Namespaces that a mount keeps alive, as `ip netns`, container runtimes and CNI make them. Fields of a line are
/// separated by blanks: the fourth is the root within the file system (`net:[4026532281]`), the fifth the mount point,
/// and the file system's type follows on a lone `-`; see `proc_pid_mountinfo(5)`.
fn mounted() -> Vec<Place> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().filter_map(parse_mount).collect()
}

fn parse_mount(line: &str) -> Option<Place> {
    let (mount, file_system) = line.split_once(" - ")?;
    let fields: Vec<&str> = mount.split(' ').collect();
    let inode = inode_of(fields.get(3)?)?;
    file_system
        .starts_with("nsfs ")
        .then(|| fields.get(4).map(|path| Place { inode, path: PathBuf::from(path) }))
        .flatten()
}

fn of_processes() -> impl Iterator<Item = Place> {
    process::all().unwrap_or_default().into_iter().filter_map(|pid| {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        Some(Place { inode: inode_at(&path)?, path })
    })
}

/// The inode of the namespace that a link of `/proc/PID/ns` leads to.
fn inode_at(path: &Path) -> Option<u64> {
    inode_of(std::fs::read_link(path).ok()?.to_str()?)
}

fn inode_of(text: &str) -> Option<u64> {
    text.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// Whether a path leads to a namespace with this number.
pub(crate) fn leads_to(path: &str, inode: u64) -> bool {
    Namespace::open(path).is_ok_and(|namespace| namespace.id().inode == inode)
}

/// Finds a namespace again; none where it is gone.
pub(crate) fn find(wanted: &NamespaceRef) -> Result<Option<Namespace>, MachineError> {
    if wanted.boot_id != process::boot_id() {
        return Ok(None);
    }
    let is_it = |namespace: &Namespace| {
        let same_cookie = || namespace.cookie().is_ok_and(|cookie| cookie == wanted.cookie);
        namespace.id().inode == wanted.inode && (wanted.cookie == 0 || same_cookie())
    };
    if let Some(namespace) = Namespace::open(&wanted.path).ok().filter(is_it) {
        return Ok(Some(namespace));
    }
    let others = mounted().into_iter().chain(of_processes()).filter(|place| place.inode == wanted.inode);
    let mut refusal = None;
    for place in others {
        match Namespace::open(&place.path) {
            Ok(namespace) if is_it(&namespace) => return Ok(Some(namespace)),
            Ok(_) => {}
            Err(error) if error.is_absent() => {}
            Err(error) => refusal = Some(worded(error)),
        }
    }
    refusal.map_or(Ok(None), Err)
}

/// Works inside a namespace that a record describes; none where it is gone.
pub(crate) fn within<T: Send>(
    wanted: &NamespaceRef,
    work: impl FnOnce() -> Result<T, MachineError> + Send,
) -> Result<Option<T>, MachineError> {
    let mut work = Some(work);
    // Mostly it is where it was; then the thread that works there makes sure of it first.
    if wanted.boot_id == process::boot_id()
        && let Ok(namespace) = Namespace::open(&wanted.path)
        && namespace.id().inode == wanted.inode
    {
        let is_it = || wanted.cookie == 0 || own_cookie().is_ok_and(|cookie| cookie == wanted.cookie);
        let worked = namespace.run(|| if is_it() { work.take().map(|work| work()) } else { None });
        if let Ok(Some(result)) = worked {
            return result.map(Some);
        }
    }
    match (find(wanted)?, work) {
        (Some(namespace), Some(work)) => inside(&namespace, work).map(Some),
        _ => Ok(None),
    }
}

fn own_cookie() -> crate::sys::netlink::Result<u64> {
    Namespace::own()?.cookie()
}

/// Works inside a namespace that was there when the plan was made.
pub(crate) fn within_planned<T: Send>(
    wanted: &NamespaceRef,
    work: impl FnOnce() -> Result<T, MachineError> + Send,
) -> Result<T, MachineError> {
    within(wanted, work)?.ok_or_else(|| MachineError::Gone {
        message: format!(
            "could not find {}: it has ended since it was planned for; plan again",
            words(wanted)
        ),
    })
}

/// A namespace for people.
pub(crate) fn words(namespace: &NamespaceRef) -> String {
    let name = namespace.name.strip_prefix("netns ").unwrap_or(&namespace.name);
    match name {
        "this host" => format!("this host's network namespace (net:[{}])", namespace.inode),
        name => format!("network namespace {name} (net:[{}])", namespace.inode),
    }
}

/// Works inside a namespace. What the work opens there stays there.
pub(crate) fn inside<T: Send>(
    namespace: &Namespace,
    work: impl FnOnce() -> Result<T, MachineError> + Send,
) -> Result<T, MachineError> {
    namespace.run(work).map_err(worded)?
}

/// Finds a link of the current namespace again; none where it is gone. A link keeps its number when it is renamed.
pub(crate) fn find_link(wanted: &LinkRef) -> Result<Option<route::Link>, MachineError> {
    Ok(route::links().map_err(worded)?.into_iter().find(|link| link.index == wanted.index))
}

/// How many of these links the current namespace still has.
pub(crate) fn links_among(wanted: &[LinkRef]) -> Result<usize, MachineError> {
    let links = route::links().map_err(worded)?;
    Ok(wanted.iter().filter(|wanted| links.iter().any(|link| link.index == wanted.index)).count())
}

/// A link of the current namespace that was there when the plan was made, under the name that was planned for.
pub(crate) fn open_link(wanted: &LinkRef) -> Result<route::Link, MachineError> {
    find_link(wanted)?.filter(|link| link.name == wanted.name).ok_or_else(|| MachineError::NotFound {
        message: format!(
            "could not find interface {}: it has gone or was renamed since it was planned for; plan again",
            wanted.name
        ),
    })
}

/// An error of the kernel's in the machine's words.
pub(crate) fn worded(error: Error) -> MachineError {
    let message = error.to_string();
    match (&error, error.errno()) {
        (Error::Unsupported { .. }, _) | (_, Some(Errno::PROTONOSUPPORT)) => {
            MachineError::Unsupported { message }
        }
        (_, Some(Errno::PERM | Errno::ACCESS)) => MachineError::Forbidden {
            message: format!(
                "{message}; it takes CAP_NET_ADMIN and CAP_SYS_ADMIN: run with --sudo, or as root"
            ),
            needs: Some(Privilege::NetAdmin),
        },
        _ if error.is_absent() => MachineError::NotFound { message },
        _ => MachineError::Failed { message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_namespaces_are_told_from_others() {
        let line = "612 29 0:4 net:[4026532281] /run/netns/shop rw shared:278 - nsfs nsfs rw";
        let place = parse_mount(line).unwrap();
        assert_eq!((place.inode, place.prefix().as_str()), (4_026_532_281, "ip netns exec shop "));
        assert_eq!(place.name(), "netns shop");
        for other in [
            "612 29 0:4 mnt:[4026532281] /run/a rw - nsfs nsfs rw",
            "22 1 0:20 / /proc rw - proc proc rw",
            "cut",
        ] {
            assert_eq!(parse_mount(other), None, "{other}");
        }
    }

    #[test]
    fn our_own_namespace_is_found_by_any_way_and_another_boots_by_none() {
        let own = Namespace::own().unwrap().id().inode;
        let mut wanted = NamespaceRef {
            inode: own,
            cookie: Namespace::own().unwrap().cookie().unwrap(),
            path: "/proc/4194305/ns/net".into(),
            boot_id: process::boot_id().into(),
            name: "test".into(),
        };
        assert_eq!(find(&wanted).unwrap().unwrap().id().inode, own);
        wanted.cookie += 1;
        assert!(find(&wanted).unwrap().is_none(), "the same number, and not the same namespace");
        wanted.cookie = 0;
        assert!(find(&wanted).unwrap().is_some());
        wanted.boot_id = "earlier".into();
        assert!(find(&wanted).unwrap().is_none());
        assert!(all().iter().any(|place| place.inode == own && place.prefix().is_empty()));
    }
}
