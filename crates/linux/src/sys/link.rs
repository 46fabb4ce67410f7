//! Making virtual networks: named network namespaces, pairs of virtual cables (`veth`), switches (`bridge`), addresses.
//!
//! A named namespace is a file in `/run/netns` on which the namespace is mounted, as `ip netns add` makes it; it lives
//! until it is unmounted and no process is inside. A cable goes when either of its ends does.
//!
//! Sources: rtnetlink(7), ip-netns(8), veth(4), `include/uapi/linux/{if_link,veth}.h`.

use super::namespace;
use super::netlink::{Attributes, Error, Message, Protocol, Result, Socket, flags};
use super::route;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Use an IPv6 address at once, without asking whether somebody else has it.
const IFA_F_NODAD: u8 = 2;

const FOLDER: &str = "/run/netns";

/// The file of a named namespace.
pub fn namespace_path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// Makes a named network namespace, its loopback link up. Takes `CAP_SYS_ADMIN`.
///
/// # Errors
/// Where the name is taken, or the privilege is missing; nothing is left then.
pub fn create_namespace(name: &str) -> Result<()> {
    let path = namespace_path(name);
    let refused = |errno: Errno| Error::refused(format_args!("make the network namespace {name}"), errno);
    let refused_io = |error: std::io::Error| refused(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    std::fs::create_dir_all(FOLDER).map_err(refused_io)?;
    share_folder();
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::RUSR).map_err(refused)?;
    let made = namespace::run_in_fresh(|| {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        mount_bind(format!("/proc/self/task/{thread}/ns/net"), &path).map_err(refused)?;
        set_up("lo")
    });
    made.and_then(|inside| inside).inspect_err(|_| {
        // What was made in part is no use to anybody; that it cannot be removed changes nothing about the error.
        let _ = delete_namespace(name);
    })
}

/// Lets mounts below the folder of namespaces be seen in other mount namespaces, and removals too: otherwise a
/// namespace would live on wherever a service has a mount namespace of its own.
fn share_folder() {
    // Where it is a mount point already, the first call only adds another, which is not wanted: so try sharing first.
    if mount_change(FOLDER, MountPropagationFlags::SHARED | MountPropagationFlags::REC).is_err() {
        // Without sharing it works as well for everyone who shares our mount namespace.
        let _ = mount_bind(FOLDER, FOLDER)
            .and_then(|()| mount_change(FOLDER, MountPropagationFlags::SHARED | MountPropagationFlags::REC));
    }
}

/// Takes a named namespace away; no error where it is gone already.
pub fn delete_namespace(name: &str) -> Result<()> {
    let path = namespace_path(name);
    match unmount(&path, UnmountFlags::DETACH) {
        // Not mounted, or gone: what is left is at most the file.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(errno) => return Err(Error::refused(format_args!("unmount {}", path.display()), errno)),
    }
    match rustix::fs::unlink(&path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::refused(format_args!("remove {}", path.display()), errno)),
    }
}

/// `struct ifinfomsg` for a link by its number; 0 for a new one.
fn link_header(index: u32) -> Vec<u8> {
    let mut header = vec![0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

/// The number of the link of this name in the namespace of the calling thread.
fn index_of(name: &str) -> Result<u32> {
    let links = route::links()?;
    let found = links.into_iter().find(|link| link.name == name).map(|link| link.index);
    found.ok_or_else(|| Error::refused(format_args!("find the link {name}"), Errno::NODEV))
}

fn change(what: &str, message: &Message) -> Result<()> {
    Socket::open(Protocol::Route)?.request(what, message)
}

/// Switches a link on.
pub fn set_up(name: &str) -> Result<()> {
    route::set_up(index_of(name)?, true)
}

/// Lays a cable: one end `name` here, the other end `peer_name` in the namespace of that file. Takes `CAP_NET_ADMIN`.
pub fn add_cable(name: &str, peer_name: &str, peer_namespace: &Path) -> Result<()> {
    let what = format!("lay a cable from {name} to {peer_name}");
    let namespace = rustix::fs::open(peer_namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::refused(&what, errno))?;
    let peer = Attributes::after(&link_header(0))
        .put_text(IFLA_IFNAME, peer_name)
        .put_u32(IFLA_NET_NS_FD, namespace.as_raw_fd() as u32);
    let kind = Attributes::new()
        .put_text(IFLA_INFO_KIND, "veth")
        .put_nested(IFLA_INFO_DATA, Attributes::new().put_nested(VETH_INFO_PEER, peer));
    add_link(&what, name, kind)
}

/// Makes a switch.
pub fn add_switch(name: &str) -> Result<()> {
    add_link(&format!("make the switch {name}"), name, Attributes::new().put_text(IFLA_INFO_KIND, "bridge"))
}

fn add_link(what: &str, name: &str, kind: Attributes) -> Result<()> {
    let message = Message::new(RTM_NEWLINK, flags::CREATE | flags::EXCLUSIVE, &link_header(0))
        .with(|attributes| attributes.put_text(IFLA_IFNAME, name).put_nested(IFLA_LINKINFO, kind));
    change(what, &message)
}

/// Plugs a link into a switch of the same namespace.
pub fn plug(name: &str, switch: &str) -> Result<()> {
    let (link, switch_index) = (index_of(name)?, index_of(switch)?);
    let message = Message::new(RTM_NEWLINK, 0, &link_header(link))
        .with(|attributes| attributes.put_u32(IFLA_MASTER, switch_index));
    change(&format!("plug {name} into {switch}"), &message)
}

/// Gives a link an address.
pub fn add_address(name: &str, address: IpAddr, prefix_length: u8) -> Result<()> {
    let (family, bytes) = match address {
        IpAddr::V4(v4) => (2, v4.octets().to_vec()),
        IpAddr::V6(v6) => (10, v6.octets().to_vec()),
    };
    let mut header = vec![family, prefix_length, IFA_F_NODAD, 0];
    header.extend(index_of(name)?.to_ne_bytes());
    let message = Message::new(RTM_NEWADDR, flags::CREATE | flags::EXCLUSIVE, &header)
        .with(|attributes| attributes.put(IFA_LOCAL, &bytes).put(IFA_ADDRESS, &bytes));
    change(&format!("give {name} the address {address}"), &message)
}

/// Takes a link away; no error where it is gone already.
pub fn delete(name: &str) -> Result<()> {
    let Ok(index) = index_of(name) else { return Ok(()) };
    match change(&format!("remove the link {name}"), &Message::new(RTM_DELLINK, 0, &link_header(index))) {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::namespace::Namespace;
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    struct Named(Vec<String>);
    impl Drop for Named {
        fn drop(&mut self) {
            self.0.iter().for_each(|name| drop(delete_namespace(name)));
        }
    }

    #[test]
    fn two_namespaces_on_a_switch_reach_each_other() {
        if namespace::run_in_fresh(|| ()).is_err() {
            eprintln!("skipped: making network namespaces takes CAP_SYS_ADMIN");
            return;
        }
        let id = std::process::id();
        let names: Vec<String> =
            ["switch", "a", "b"].iter().map(|part| format!("sqt-link-{id}-{part}")).collect();
        let guard = Named(names.clone());
        names.iter().for_each(|name| create_namespace(name).unwrap());
        assert!(create_namespace(&names[0]).is_err(), "a name was given twice");
        let inside = |name: &str| Namespace::open(namespace_path(name)).unwrap();
        inside(&names[0])
            .run(|| {
                add_switch("switch").unwrap();
                set_up("switch").unwrap();
                for (port, name) in [("port-a", &names[1]), ("port-b", &names[2])] {
                    add_cable(port, "eth0", &namespace_path(name)).unwrap();
                    plug(port, "switch").unwrap();
                    set_up(port).unwrap();
                }
            })
            .unwrap();
        for (name, last) in [(&names[1], 1), (&names[2], 2)] {
            inside(name)
                .run(|| {
                    add_address("eth0", IpAddr::from([198, 18, 250, last]), 24).unwrap();
                    add_address("eth0", format!("fd5c:a11::{last}").parse().unwrap(), 64).unwrap();
                    set_up("eth0").unwrap();
                })
                .unwrap();
        }
        for address in ["198.18.250.1:7", "[fd5c:a11::1]:7"] {
            let listener = inside(&names[1]).run(|| TcpListener::bind(address).unwrap()).unwrap();
            let mut caller = inside(&names[2]).run(|| TcpStream::connect(address).unwrap()).unwrap();
            caller.write_all(b"!").unwrap();
            let mut heard = [0];
            listener.accept().unwrap().0.read_exact(&mut heard).unwrap();
            assert_eq!(heard, *b"!");
        }
        drop(guard);
        assert!(!names.iter().any(|name| namespace_path(name).exists()), "a namespace was left behind");
    }
}
