//! The operator on a real cluster, from outside: objects are made, and what becomes of them is seen through the API.

#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

#[path = "../support/between.rs"]
mod between;
mod carried;
mod endings;
mod schedules;
mod stage;
#[path = "../support/mod.rs"]
mod support;
