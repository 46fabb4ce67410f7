//! Where instances are found: one file a place.

mod auto_scaling;
mod docker;
mod kubernetes;
mod processes;
mod services;

use squall_linux::sys::process;
use squall_practice::monkey::{Config, Instance, Inventory};

/// What was found, and what could not be looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Instances, whether they opted in or not.
    pub(crate) instances: Vec<Instance>,
    /// Places that could not be looked at, and why. What is unknown is not struck.
    pub(crate) unknown: Vec<String>,
}

/// Looks everywhere that a file names.
pub(crate) fn look(config: &Config) -> Seen {
    let mut seen = Seen::default();
    for inventory in &config.inventory {
        let found = match inventory {
            Inventory::Docker(docker) => docker::look(docker),
            Inventory::Processes(processes) => processes::look(processes),
            Inventory::Services(services) => services::look(services),
            Inventory::AutoScaling(groups) => auto_scaling::look(groups),
            Inventory::Kubernetes(pods) => kubernetes::look(pods),
        };
        match found {
            Ok(instances) => seen.instances.extend(instances),
            Err(error) => seen.unknown.push(error.to_string()),
        }
    }
    seen
}

/// Whether a process was started with a variable, `NAME=VALUE`, in its environment. Not where that cannot be read.
fn has_variable(pid: u32, variable: &str) -> bool {
    process::environment(pid).is_ok_and(|environment| environment.iter().any(|entry| entry == variable))
}
