//! The simulator: the real hands, agent and recovery on a model of a host, under a seed, dying at every instant.
//!
//! [`systematic`] goes through every kind of step, kills the agent at every instant, kills the recovery at every
//! instant of its own, and recovers again. [`random`] lets several agents, wardens and recoverers, other people, full
//! disks, failing kernels and power cuts act at once, thousands of seeds a second. [`mutants`] breaks Squall on
//! purpose and sees that the simulator notices.
//!
//! [`brain`] lets the real run drive the real agent through lost messages and killed processes, and checks that its
//! verdict is true.
//!
//! `planning.rs`, `joining.rs` and `holding.rs` test what the hands plan and refuse, and what the agent answers, on the same
//! model, `late.rs` wardens that come when all is over.
//!
//! A failing seed is printed with everything that happened in it. `SQUALL_SIM_SEED=N cargo test -p squall-engine sim`
//! replays it; `SQUALL_SIM_SEEDS=N` sets how many seeds are tried.

mod actor;
mod brain;
mod damage;
mod disk;
mod faults;
mod folders;
mod holding;
mod joining;
mod late;
mod laws;
mod machine;
mod mutants;
mod planning;
mod random;
mod suite;
mod systematic;
mod world;
