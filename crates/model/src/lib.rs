//! The vocabulary of Squall: experiments, units, targets, facts, steps, undo records, events and verdicts.
//!
//! Nothing here reads a file, asks a kernel, or waits: the crate is the language that the other floors speak.
//! See `ARCHITECTURE.md` for the house.

pub mod catalog;
pub mod cloud;
pub mod cluster;
pub mod condition;
pub mod event;
pub mod experiment;
pub mod facts;
pub mod fault;
pub mod gameday;
pub mod machine;
pub mod magnitude;
pub mod maturity;
pub mod node;
pub mod past;
pub mod plan;
pub mod probe;
pub mod protocol;
pub mod quantity;
pub mod read;
pub mod redaction;
pub mod server;
pub mod settings;
pub mod step;
pub mod target;
pub mod target_ref;
pub mod undo;
pub mod undo_log;
pub mod units;
pub mod value;
pub mod verdict;
