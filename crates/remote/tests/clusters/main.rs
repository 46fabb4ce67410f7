//! Steps on objects of a real cluster keep the laws, and are seen through the API by somebody else.

#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod door;
#[path = "../support/hands.rs"]
mod hands;
mod laws;
mod marks;
mod pods;
