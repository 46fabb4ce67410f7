//! Processes of this host. Their owners opt in by a variable in the environment that they are started with.

use super::has_variable;
use serde_json::json;
use squall_linux::facts::process::strikeable;
use squall_model::facts::ProcessFacts;
use squall_model::machine::MachineError;
use squall_practice::monkey::{Instance, ProcessInventory};

/// The processes that match and may be struck.
pub(super) fn look(inventory: &ProcessInventory) -> Result<Vec<Instance>, MachineError> {
    let found = strikeable(&inventory.selector)?;
    let free = found.into_iter().filter(|process| process.protected.is_none());
    Ok(free.map(|process| instance(inventory, &process)).collect())
}

fn instance(inventory: &ProcessInventory, facts: &ProcessFacts) -> Instance {
    let process = &facts.process;
    Instance {
        id: format!("{} since {}", process.pid, process.start_time),
        name: process.to_string(),
        account: inventory.account.clone(),
        region: inventory.region.clone(),
        app: inventory.app.clone(),
        stack: inventory.stack.clone(),
        detail: inventory.detail.clone(),
        opted_in: has_variable(process.pid, &inventory.opt_in),
        // Stopped, waiting to be reaped: not at work.
        healthy: !matches!(facts.state, 'T' | 't' | 'Z' | 'X'),
        target: json!({"process": {"pid": process.pid, "name": process.name}}),
        ..Instance::default()
    }
}
