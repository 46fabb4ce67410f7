//! The kernel spoken to directly: sockets and system calls, no other programs. The only place where `unsafe` is allowed.
//!
//! Everything here is synchronous and holds no state between calls, so that undo needs no runtime. Numbers and names
//! in; plain structs out. What is done with them, and how it is undone, is decided in `step/`.

pub mod cgroup;
mod chance;
pub mod classifier;
pub mod discipline;
pub mod distribution;
pub mod link;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod nftables;
pub mod node;
pub mod pidfd;
pub mod process;
pub mod qdisc;
pub mod route;
pub mod socket_diag;
pub mod wait;
