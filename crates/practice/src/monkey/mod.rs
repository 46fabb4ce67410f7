//! The monkey: ends instances by chance, a day planned ahead, by rules that it can explain.
//!
//! An *instance* is a container, a process, a service or a pod that opted in. Instances form *groups* (by app, stack or cluster).
//! For each group and each day on which it may strike, the monkey rolls once: whether, at which of the schedule's instants,
//! and, when that has come, which of the instances that are healthy then. All three follow from a seed, the group and the
//! date, so a plan can be made again and explained.
//!
//! Where the numbers come from is in `chance.rs`; what Netflix's Chaos Monkey does is followed where it was sound.

mod chance;
mod config;
mod dice;
mod group;
mod plan;
mod read;
mod simulate;
mod strike;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_words;

pub use chance::Chance;
pub use config::{
    Account, AutoScalingInventory, Config, DockerInventory, Grouping, How, Inventory, Kill,
    KubernetesInventory, ProcessInventory, Scope, ServiceInventory, Trial, WorkloadKind,
};
pub use group::{Budget, Eligibility, Group, HowMany, Instance, Wishes};
pub use plan::{Choice, DayPlan, History, LeftOut, Outcome};
pub use read::{Mistakes, read};
pub use simulate::{GapRow, Simulation, Tally, simulate};
pub use strike::{Spared, Victims, experiment, title, victims};
