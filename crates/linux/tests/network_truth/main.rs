//! Whether network faults are true: steps made on a real kernel, between network namespaces of the tests' own, and
//! measured by the tests' own sockets and by `tc`, `ip` and `nft` as independent observers.
//!
//! Tests named `netem_…` need a kernel with `sch_netem`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod lab;
mod laws;
mod netem;
mod netem_harms;
mod partition;
mod probe;
mod restoring;
mod shaping;
