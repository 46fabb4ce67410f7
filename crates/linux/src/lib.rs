//! The hands: steps carried out on a Linux kernel, and the only unsafe code.
//!
//! [`LinuxMachine`] is the door: it looks at the host (`facts/`), and captures, applies, observes and reverts steps
//! (`step/`, one file a kind). [`disk`] keeps the undo logs, [`trust`] says whose may be believed. [`sys`] speaks to the kernel. All of it is synchronous, so
//! that undo needs no runtime.

pub mod disk;
pub mod docker;
pub mod facts;
mod leftovers;
pub mod machine;
mod mounts;
mod network;
pub mod step;
pub mod sys;
pub mod trust;

pub use machine::LinuxMachine;
