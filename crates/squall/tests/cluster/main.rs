//! Faults in pods of a real cluster, by agents that the program makes on the node: what they do is measured from other pods,
//! and what is left is looked for with other tools.

#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod endings;
mod faults;
mod installed;
mod lab;
mod refused;
mod resident;
mod shop;
