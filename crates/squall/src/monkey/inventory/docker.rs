//! Containers of Docker. Labels say what they are: `squall.app`, `squall.stack`, `squall.detail`, `squall.account`,
//! `squall.region`; without them the service and the project of Compose, else the container's own name.

use serde_json::json;
use squall_linux::docker::{Container, Docker};
use squall_model::machine::MachineError;
use squall_practice::monkey::{DockerInventory, Instance};

/// The containers that run.
pub(super) fn look(inventory: &DockerInventory) -> Result<Vec<Instance>, MachineError> {
    let containers = Docker::from_environment()?.containers()?;
    Ok(containers.into_iter().map(|container| instance(inventory, container)).collect())
}

fn instance(inventory: &DockerInventory, container: Container) -> Instance {
    let label = |names: &[&str]| names.iter().find_map(|name| container.labels.get(*name)).cloned();
    Instance {
        opted_in: container.has_label(&inventory.opt_in),
        healthy: container.is_healthy(),
        account: label(&["squall.account"]).or_else(|| inventory.account.clone()),
        region: label(&["squall.region"]).or_else(|| inventory.region.clone()),
        app: label(&["squall.app", "com.docker.compose.service"]).unwrap_or_else(|| container.name.clone()),
        stack: label(&["squall.stack", "com.docker.compose.project"]).unwrap_or_default(),
        detail: label(&["squall.detail"]).unwrap_or_default(),
        // The whole number: a container of the same name that comes in its place is another.
        target: json!({"container": {"id": container.id}}),
        name: container.name,
        id: container.id,
        ..Instance::default()
    }
}
