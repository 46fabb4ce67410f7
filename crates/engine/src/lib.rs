//! The engine: plan, inject, observe, guard, verdict, undo, recovery.
//!
//! The brain: [`run`] decides without touching anything, [`driver`] carries out what it decides.

pub mod agent;
pub mod analysis;
mod answers;
pub mod approval;
mod checks;
pub mod crash;
pub mod driver;
pub mod epilogue;
mod following;
mod guard;
pub mod hands;
mod hypothesis;
pub mod journal;
pub mod link;
pub mod load;
mod method;
mod record;
mod restore;
pub mod run;
mod settling;
#[cfg(test)]
mod sim;
pub mod suite;
#[cfg(test)]
mod testing;
mod troubles;
mod verdict;
mod words;

pub use method::plan_request;
