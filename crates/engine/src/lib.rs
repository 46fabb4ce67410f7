//! The engine: plan, inject, observe, guard, verdict, undo, recovery.

pub mod agent;
pub mod crash;
pub mod hands;
pub mod suite;
