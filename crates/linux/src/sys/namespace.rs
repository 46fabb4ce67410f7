//! Network namespaces: each is a network of its own, with links, addresses, routes, qdiscs and packet filters.
//!
//! A namespace has no name in the kernel. It is an inode of the pseudo file system `nsfs`, and lives as long as a
//! process, an open file or a mount refers to it. `/proc/PID/ns/net` leads to that of a process; `ip netns add NAME`
//! makes one stay by mounting it over the file `/run/netns/NAME`. Device and inode tell one from all others that are
//! alive; an inode's number is used again later, so it is checked each time the namespace is entered.
//!
//! A *thread* is in a namespace, and a socket stays in the one that its maker was in. Entering (`setns`) changes the
//! calling thread for good, so it is done on a thread that ends afterwards. No process is started.
//!
//! Sources: namespaces(7), `network_namespaces(7)`, setns(2), ip-netns(8).

use super::netlink::{Error, Result};
use rustix::fs::{Mode, OFlags, fstat, fstatfs, open};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where `ip netns` keeps named namespaces.
const NAMED: &str = "/run/netns";

/// `include/uapi/asm-generic/socket.h`.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// What `nsfs` goes by, see `include/uapi/linux/magic.h`.
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// The namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// What tells a network namespace from every other that is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceId {
    /// Device number of the `nsfs` that it is in.
    pub device: u64,
    /// Inode number, as in `net:[4026531840]`.
    pub inode: u64,
}

/// A namespace with a name, as `ip netns` makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedNamespace {
    /// The name.
    pub name: String,
    /// The way in.
    pub path: PathBuf,
    /// Which it is.
    pub id: NamespaceId,
}

/// A network namespace held open: it lives at least as long as this.
#[derive(Debug)]
pub struct Namespace {
    descriptor: OwnedFd,
    id: NamespaceId,
}

impl Namespace {
    /// Opens the namespace that a path leads to: `/proc/PID/ns/net` or `/run/netns/NAME`. A file over which none is mounted
    /// is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let refused =
            |errno| Error::refused(format_args!("open the network namespace {}", path.display()), errno);
        let descriptor = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(refused)?;
        let status = fstat(&descriptor).map_err(refused)?;
        if fstatfs(&descriptor).map_err(refused)?.f_type != NSFS_MAGIC {
            // `ip netns` makes a file first and mounts the namespace over it, and takes it away in the other order.
            return Err(refused(Errno::NXIO));
        }
        Ok(Self { descriptor, id: NamespaceId { device: status.st_dev, inode: status.st_ino } })
    }

    /// Opens the namespace that a process is in.
    pub fn of_process(pid: u32) -> Result<Self> {
        Self::open(format!("/proc/{pid}/ns/net"))
    }

    /// Opens the namespace that the calling thread is in.
    pub fn own() -> Result<Self> {
        Self::open(OWN)
    }

    /// Which namespace this is. Compare it before use with the one that was planned for.
    pub fn id(&self) -> NamespaceId {
        self.id
    }

    /// The kernel's own number for it, which no other has until the machine is started again: an inode's number is used
    /// again. 0 on kernels before 5.14. Takes `CAP_SYS_ADMIN`, unless the calling thread is in that namespace.
    pub fn cookie(&self) -> Result<u64> {
        self.run(|| own_cookie().map_err(|errno| Error::refused("ask for a namespace's cookie", errno)))?
    }

    /// Moves the calling thread, and threads that it starts later, into the namespace. For a process that has one
    /// thread and is to live there. Takes `CAP_SYS_ADMIN`.
    pub fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.descriptor.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
            |errno| {
                Error::refused(format_args!("enter the network namespace net:[{}]", self.id.inode), errno)
            },
        )
    }

    /// Runs a closure inside the namespace and hands back what it returns. Sockets that it opens stay inside.
    /// Takes `CAP_SYS_ADMIN`, unless the calling thread is in that namespace already.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        if Self::own()?.id == self.id {
            return Ok(inside());
        }
        on_another_thread(|| {
            self.enter()?;
            Ok(inside())
        })
    }
}

/// Runs a closure inside a new, empty network namespace (one loopback link that is down), which ends with it.
/// Features of the kernel are tried out there, where nothing real can be touched. Takes `CAP_SYS_ADMIN`.
pub fn run_in_fresh<T: Send>(inside: impl FnOnce() -> T + Send) -> Result<T> {
    on_another_thread(|| {
        leave_for_a_fresh_one().map_err(|errno| Error::refused("make a network namespace", errno))?;
        Ok(inside())
    })
}

/// Lists the namespaces that have names, in order of their names. Files that are no namespace are left out.
pub fn named() -> Result<Vec<NamedNamespace>> {
    let refused = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        Error::refused(format_args!("list the network namespaces in {NAMED}"), errno)
    };
    let entries = match std::fs::read_dir(NAMED) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(refused)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(refused)?;
        let path = entry.path();
        // One may go away between the listing and the opening.
        if let Ok(namespace) = Namespace::open(&path) {
            found.push(NamedNamespace {
                name: entry.file_name().to_string_lossy().into_owned(),
                path,
                id: namespace.id,
            });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Runs a closure on a thread that ends with it.
fn on_another_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic), // It is the closure's, and so the caller's.
            Err(error) => {
                Err(Error::refused("start a thread", Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)))
            }
        }
    })
}

/// The cookie of the namespace that the calling thread is in, which a socket knows: `SO_NETNS_COOKIE`.
#[expect(unsafe_code, reason = "getsockopt(2)")]
fn own_cookie() -> rustix::io::Result<u64> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the pointers are those of living variables, and `length` is the size of the one that is written to.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match outcome {
        0 => Ok(cookie),
        _ => match Errno::from_io_error(&std::io::Error::last_os_error()) {
            Some(Errno::NOPROTOOPT) => Ok(0),
            other => Err(other.unwrap_or(Errno::IO)),
        },
    }
}

/// Moves the calling thread into a new network namespace.
#[expect(unsafe_code, reason = "unshare(2)")]
fn leave_for_a_fresh_one() -> rustix::io::Result<()> {
    // SAFETY: what makes unshare unsafe is a file table of one's own; only the network namespace is left here.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::process::{Command, Output};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Whether the tests may make namespaces; says why not if not.
    pub(crate) fn privileged() -> bool {
        let privileged = run_in_fresh(|| ()).is_ok();
        if !privileged {
            println!("skipped: this test makes network namespaces, which takes root");
        }
        privileged
    }

    /// A named namespace that a test made with `ip netns add`, removed when dropped.
    pub(crate) struct TestNamespace(pub(crate) String);

    impl TestNamespace {
        pub(crate) fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let namespace = Self(format!("sqt-{}-{number}", std::process::id()));
            ip(&["netns", "add", &namespace.0]);
            namespace.run(&["ip", "link", "set", "lo", "up"]);
            namespace
        }

        pub(crate) fn path(&self) -> PathBuf {
            Path::new(NAMED).join(&self.0)
        }

        pub(crate) fn open(&self) -> Namespace {
            Namespace::open(self.path()).unwrap()
        }

        /// Runs a program inside, which must succeed, and returns what it printed.
        pub(crate) fn run(&self, command: &[&str]) -> String {
            let output = self.output(command);
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        }

        /// Runs a program inside.
        pub(crate) fn output(&self, command: &[&str]) -> Output {
            Command::new("ip").args(["netns", "exec", &self.0]).args(command).output().unwrap()
        }

        /// A second namespace, joined to this one by a cable: `eth0` has 10.9.0.1 and `fd09::1` here, 10.9.0.2 and
        /// `fd09::2` there.
        pub(crate) fn with_neighbour() -> (Self, Self) {
            let (here, there) = (Self::new(), Self::new());
            here.run(&[
                "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &there.0,
            ]);
            for (namespace, number) in [(&here, 1), (&there, 2)] {
                namespace.run(&["ip", "address", "add", &format!("10.9.0.{number}/24"), "dev", "eth0"]);
                namespace.run(&[
                    "ip",
                    "address",
                    "add",
                    &format!("fd09::{number}/64"),
                    "dev",
                    "eth0",
                    "nodad",
                ]);
                // So that a question for a hardware address that came too early is soon asked again.
                let retry = "echo 20 > /proc/sys/net/ipv6/neigh/eth0/retrans_time_ms";
                namespace.run(&["sh", "-c", retry]);
                namespace.run(&["ip", "link", "set", "eth0", "up"]);
            }
            // Only now do the two know each other's hardware addresses.
            for address in ["10.9.0.2", "fd09::2"] {
                let answers =
                    |_| here.output(&["ping", "-n", "-c", "1", "-W", "0.1", address]).status.success();
                assert!((0..40).any(answers), "{address} does not answer");
            }
            (here, there)
        }
    }

    impl Drop for TestNamespace {
        fn drop(&mut self) {
            let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
        }
    }

    fn ip(arguments: &[&str]) {
        let output = Command::new("ip").args(arguments).output().unwrap();
        assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn a_named_namespace_is_found_entered_and_left() {
        if !privileged() {
            return;
        }
        let made = TestNamespace::new();
        let listed = named().unwrap().into_iter().find(|namespace| namespace.name == made.0).unwrap();
        let namespace = made.open();
        assert_eq!(listed.id, namespace.id());
        let before = Namespace::own().unwrap().id();
        let inside = namespace.run(|| Namespace::own().unwrap().id()).unwrap();
        assert_eq!(inside, namespace.id());
        assert_ne!(inside, before);
        assert_eq!(Namespace::own().unwrap().id(), before);
        assert_eq!(Namespace::of_process(std::process::id()).unwrap().id(), before);
        let link = format!("net:[{}]", before.inode);
        assert_eq!(std::fs::read_link(OWN).unwrap().to_string_lossy(), link);
    }

    #[test]
    fn ones_own_namespace_is_entered_without_a_thread() {
        let thread = std::thread::current().id();
        let inside = Namespace::own().unwrap().run(|| std::thread::current().id()).unwrap();
        assert_eq!(inside, thread);
    }

    #[test]
    fn a_fresh_namespace_is_new_each_time() {
        if !privileged() {
            return;
        }
        let own = Namespace::own().unwrap().id();
        let fresh = run_in_fresh(|| Namespace::own().map(|namespace| namespace.id())).unwrap().unwrap();
        assert_ne!(fresh, own);
        let cookie = || run_in_fresh(|| Namespace::own().unwrap().cookie().unwrap()).unwrap();
        let (first, second) = (cookie(), cookie());
        // Where the kernel knows cookies, they never come again; inodes do.
        assert!(first == 0 || first != second, "{first} {second}");
        assert_eq!(Namespace::own().unwrap().cookie(), Namespace::own().unwrap().cookie());
    }

    #[test]
    fn what_is_no_namespace_is_refused() {
        let gone = Namespace::open("/run/netns/sqt-there-is-none").unwrap_err();
        assert!(gone.is_absent());
        assert!(gone.to_string().contains("/run/netns/sqt-there-is-none"), "{gone}");
        // As the file is over which `ip netns` mounts one.
        assert!(Namespace::open("/proc/self/status").unwrap_err().is_absent());
        assert!(Namespace::own().is_ok());
    }
}
