//! `squall doctor`: what this machine can do, what is missing, and how to get it.

use crate::exit::{Failure, Outcome};
use crate::out;
use crate::registry::FAULTS;
use crate::state::State;
use clap::Args;
use serde_json::json;
use squall_linux::machine::LinuxMachine;
use squall_model::facts::{Feature, HostFacts};
use squall_model::fault::AnyFault;
use squall_model::machine::Machine;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let state = State::locate()?;
        let host = LinuxMachine::new().host().map_err(|error| Failure::failed(error.to_string()))?;
        let usable = state.prepare();
        if self.json {
            let faults: Vec<_> = FAULTS
                .iter()
                .map(|fault| json!({ "fault": fault.name(), "missing": missing(*fault, &host) }))
                .collect();
            out::say_json(&json!({
                "host": host, "faults": faults, "state": state.folder(), "state_usable": usable.is_ok(),
            }));
            return Ok(ExitCode::SUCCESS);
        }
        out::say(format!(
            "Linux {}, {} processors, {} of memory ({} available)\n",
            host.kernel, host.cpus, host.memory_total, host.memory_available
        ));
        out::say(features(&host));
        out::say(faults(&host));
        match usable {
            Ok(()) => out::say(format!("State folder: {}", state.folder().display())),
            Err(error) => out::say(format!(
                "State folder: {} cannot be used ({error}); set SQUALL_STATE to another",
                state.folder().display()
            )),
        }
        if state.halt_file().exists() {
            out::say(format!("Halted: nothing is injected while {} is there", state.halt_file().display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn mark(good: bool) -> &'static str {
    if good { "yes" } else { "no " }
}

fn features(host: &HostFacts) -> String {
    let mut lines = vec!["This kernel".to_owned()];
    for feature in Feature::ALL {
        let has = host.has(feature);
        let remedy = if has { String::new() } else { format!("\n         get it: {}", feature.remedy()) };
        lines.push(format!("  {}  {}{remedy}", mark(has), feature.purpose()));
    }
    lines.join("\n") + "\n"
}

/// Privileges and features that a fault needs and this host lacks.
fn missing(fault: &dyn AnyFault, host: &HostFacts) -> Vec<String> {
    let privileges = fault.privileges().iter().filter(|one| !host.privileges.contains(one));
    let features = fault.features().iter().filter(|one| !host.has(**one));
    privileges
        .map(|one| one.capability().to_owned())
        .chain(features.map(|one| one.purpose().to_owned()))
        .collect()
}

fn faults(host: &HostFacts) -> String {
    let mut lines = vec!["Faults that you can make".to_owned()];
    let mut lacks_privilege = false;
    for fault in FAULTS {
        let missing = missing(*fault, host);
        lacks_privilege |= missing.iter().any(|one| one.starts_with("CAP_"));
        let needs =
            if missing.is_empty() { String::new() } else { format!("  (needs {})", missing.join("; ")) };
        lines.push(format!("  {}  {}{needs}", mark(missing.is_empty()), fault.name()));
    }
    if lacks_privilege {
        lines.push(
            "\nPrivileges: run as root, or `squall run --sudo` so that only the agent is root,".to_owned(),
        );
        lines.push("or `sudo setcap cap_net_admin,cap_sys_admin,cap_kill,cap_sys_ptrace,cap_dac_override+ep $(which squall)`.".to_owned());
    }
    lines.join("\n") + "\n"
}
