//! From a container into the machine that it runs on: the namespaces and the control groups of process 1.
//!
//! A container that shares the machine's process numbers (`hostPID`) sees process 1, and with the right capabilities may
//! join it wherever it is. Where a kernel lets nobody look at that one, the process that started the container stands for it.
//! Whoever has done so sees files, networks and groups as a program of the machine does, and is not
//! ended with the container: what runs containers ends what is in the container's control groups, and the capabilities stay
//! those of the container.
//!
//! Sources: namespaces(7), setns(2) (a process with several threads cannot change its mount namespace), cgroups(7).

use super::cgroup;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The machine's first process, or that of the container that stands for a machine.
const FIRST: u32 = 1;

/// How often is looked for whoever started this process, and the pause between the looks.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// What is joined, in this order: the names of files lead to where they did before until the last of them.
const NAMESPACES: [(&str, LinkNameSpaceType); 5] = [
    ("cgroup", LinkNameSpaceType::ControlGroup),
    ("ipc", LinkNameSpaceType::InterProcessCommunication),
    ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
    ("net", LinkNameSpaceType::Network),
    ("mnt", LinkNameSpaceType::Mount),
];

/// Makes the calling process one of the machine: moves it into the namespaces and control groups of process 1. To be called
/// before there is any thread. Takes `CAP_SYS_ADMIN` and `CAP_SYS_CHROOT` for the namespaces, `CAP_SYS_PTRACE` to look at
/// process 1, and that its numbers are the machine's.
///
/// # Errors
/// Says what could not be joined, and what it takes.
pub fn enter() -> io::Result<()> {
    if std::process::id() == FIRST {
        return Err(io::Error::other(
            "could not enter the node: process 1 is this process, so the process numbers here are a container's own; \
             start the pod with `hostPID: true`",
        ));
    }
    let (of, opened) = match namespaces(FIRST) {
        Ok(opened) => (FIRST, opened),
        Err(error) => those_of_the_starter(error)?,
    };
    for (name, kind, descriptor) in opened {
        let entered = move_into_link_name_space(descriptor.as_fd(), Some(kind));
        let tried = format!("enter the {name} namespace of process {of}");
        entered.map_err(|errno| refused(&tried, errno, "CAP_SYS_ADMIN and CAP_SYS_CHROOT"))?;
    }
    std::env::set_current_dir("/")?;
    join_groups()
}

type Namespaces = Vec<(&'static str, LinkNameSpaceType, OwnedFd)>;

/// Those of the process that started this one, or the next one above that is elsewhere: what starts containers may be the parent
/// of who started this. It may be the one that only starts it, and ends in the middle of the look, when it is not found, or nobody
/// may look at it any more; its own parent stands in its place then.
fn those_of_the_starter(of_the_first: io::Error) -> io::Result<(u32, Namespaces)> {
    let mut why = of_the_first;
    for _ in 0..TRIES {
        let parent =
            rustix::process::getppid().map_or(FIRST, |pid| pid.as_raw_nonzero().get().cast_unsigned());
        if parent == FIRST {
            break;
        }
        let starter = above(parent);
        match namespaces(starter) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                why = error;
                std::thread::sleep(BETWEEN_TRIES);
            }
            opened => return opened.map(|opened| (starter, opened)),
        }
    }
    Err(why)
}

/// The first of these parents that sees other files than this process; where there is none, all of them are on the machine
/// itself, and the first one stands for it.
fn above(parent: u32) -> u32 {
    let files = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let own = files("self");
    let mut next = parent;
    while next > FIRST {
        if files(&next.to_string()) != own {
            return next;
        }
        next = parent_of(next).unwrap_or(FIRST);
    }
    parent
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// The namespaces of a process, held open.
fn namespaces(pid: u32) -> io::Result<Namespaces> {
    let mut opened = Vec::new();
    for (name, kind) in NAMESPACES {
        let path = format!("/proc/{pid}/ns/{name}");
        match open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(descriptor) => opened.push((name, kind, descriptor)),
            // Kernels before 4.6 have none for control groups.
            Err(Errno::NOENT) if name == "cgroup" => {}
            Err(errno) => return Err(refused(&format!("open {path}"), errno, "CAP_SYS_PTRACE")),
        }
    }
    Ok(opened)
}

fn refused(tried: &str, errno: Errno, needs: &str) -> io::Error {
    let remedy = match errno {
        Errno::PERM | Errno::ACCESS => format!(
            "; it takes {needs}, and neither AppArmor nor SELinux may be in the way (profile `unconfined`, type `spc_t`)"
        ),
        _ => String::new(),
    };
    io::Error::new(io::Error::from(errno).kind(), format!("could not {tried}: {errno}{remedy}"))
}

/// Moves this process into the control groups that process 1 is in.
fn join_groups() -> io::Result<()> {
    for tree in cgroup::trees()? {
        let could_not = |error: io::Error| {
            let mount = tree.mount.display();
            io::Error::other(format!(
                "could not join the control group of process {FIRST} in {mount}: {error}"
            ))
        };
        let Some(group) = cgroup::in_tree(FIRST, &tree).map_err(could_not)? else { continue };
        cgroup::join(&group.folder).map_err(could_not)?;
    }
    Ok(())
}
