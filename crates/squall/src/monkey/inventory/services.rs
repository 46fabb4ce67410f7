//! Units of the service manager. Their owners opt in by a variable in the environment of the unit's main process:
//! `Environment=SQUALL_MONKEY=enabled`.

use super::has_variable;
use serde_json::json;
use squall_linux::facts::resolve;
use squall_model::facts::{GroupFacts, Scope, Subject};
use squall_model::machine::MachineError;
use squall_model::target::Target;
use squall_practice::monkey::{Instance, ServiceInventory};

/// The units that match, run, and may be struck.
pub(super) fn look(inventory: &ServiceInventory) -> Result<Vec<Instance>, MachineError> {
    let found = resolve(Scope::Process, &Target::Service(inventory.unit.clone()))?;
    let free = found.into_iter().filter_map(|subject| match subject {
        Subject::Group(group) if group.protected.is_none() => instance(inventory, &group),
        _ => None,
    });
    Ok(free.collect())
}

fn instance(inventory: &ServiceInventory, group: &GroupFacts) -> Option<Instance> {
    let main = group.processes.first()?;
    let unit = group.name.strip_prefix("service ").unwrap_or(&group.name);
    Some(Instance {
        id: format!("{unit}: {} since {}", main.process.pid, main.process.start_time),
        name: unit.to_owned(),
        account: inventory.account.clone(),
        region: inventory.region.clone(),
        app: inventory.app.clone(),
        stack: inventory.stack.clone(),
        detail: inventory.detail.clone(),
        opted_in: has_variable(main.process.pid, &inventory.opt_in),
        healthy: !matches!(main.state, 'T' | 't' | 'Z' | 'X'),
        target: json!({"service": unit}),
        ..Instance::default()
    })
}
