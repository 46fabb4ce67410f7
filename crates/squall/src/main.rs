//! Squall: chaos engineering in one binary.
//!
//! One binary, several roles: the command line (the brain), and the processes that it starts of itself. Those are told
//! apart by their first word before anything else happens, so that a warden stays as small as it is.

mod agent;
#[cfg_attr(
    not(feature = "kubernetes"),
    expect(dead_code, reason = "pods are made where Kubernetes is known")
)]
mod agent_pod;
mod audit;
mod carry;
mod cli;
mod crash_point;
mod demo;
mod epilogue;
mod exit;
mod files;
#[cfg(feature = "kubernetes")]
mod halt;
mod history;
mod instruments;
mod load;
mod log;
mod machines;
mod manual;
mod margins;
mod monkey;
#[cfg(feature = "kubernetes")]
mod operator;
mod out;
mod policy;
mod registry;
mod rhythm;
mod settings;
mod shop_networks;
mod state;
mod telling;
mod undo_logs;
mod user;

use std::process::ExitCode;

/// A role that users never type: its first word and its entry.
type Role = (&'static str, fn(&[String]) -> ExitCode);

const ROLES: &[Role] = &[
    ("agent", agent::main),
    (agent_pod::ROLE, agent::node::main),
    ("warden", agent::warden::main),
    #[cfg(feature = "kubernetes")]
    (agent::transport::KEEPER, agent::transport::keep_pods),
    ("worker", squall_workers::main),
    ("shop", demo::processes::main),
    ("shop-keeper", demo::keeper::main),
    ("cage-keeper", demo::scenario::cage_keeper),
    ("postgres-keeper", demo::scenario::postgres_keeper),
];

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let role = arguments.first().and_then(|word| ROLES.iter().find(|(name, _)| name == word));
    match role {
        Some((_, entry)) => entry(&arguments[1..]),
        None => cli::main(),
    }
}
