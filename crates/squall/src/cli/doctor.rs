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
        let (mark, remedy) = if host.has(feature) {
            ("yes", String::new())
        } else if host.unknown.contains(&feature) {
            ("?  ", String::new())
        } else {
            ("no ", format!("\n         get it: {}", feature.remedy(&host.kernel)))
        };
        lines.push(format!("  {mark}  {}{remedy}", feature.purpose()));
    }
    if !host.unknown.is_empty() {
        lines.push(
            "  ?: cannot be told without CAP_SYS_ADMIN and CAP_NET_ADMIN; `sudo squall doctor` tells"
                .to_owned(),
        );
    }
    lines.join("\n") + "\n"
}

/// Privileges and features that a fault needs and this host lacks.
fn missing(fault: &dyn AnyFault, host: &HostFacts) -> Vec<String> {
    let lacks = |feature: &Feature| !host.has(*feature) && !host.unknown.contains(feature);
    let words = |feature: &Feature| feature.purpose().to_owned();
    let privileges = fault.privileges().iter().filter(|one| !host.privileges.contains(one));
    let features = fault.features().iter().filter(|one| lacks(one)).map(words);
    let one_of = fault.one_of();
    let choice = one_of.iter().all(lacks).then(|| one_of.iter().map(words).collect::<Vec<_>>().join(", or "));
    privileges
        .map(|one| one.capability().to_owned())
        .chain(features)
        .chain(choice.filter(|words| !words.is_empty()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::facts::Privilege;
    use squall_model::units::Size;

    fn host(features: &[Feature], unknown: &[Feature]) -> HostFacts {
        HostFacts {
            boot_id: "boot".into(),
            kernel: "6.1.176".into(),
            cpus: 2,
            memory_total: Size(8 << 30),
            memory_available: Size(6 << 30),
            privileges: [Privilege::NetAdmin, Privilege::SysAdmin].into(),
            features: features.iter().copied().collect(),
            unknown: unknown.iter().copied().collect(),
        }
    }

    fn line_of<'t>(text: &'t str, word: &str) -> &'t str {
        text.lines().find(|line| line.contains(word)).unwrap()
    }

    #[test]
    fn what_could_not_be_tried_is_not_said_to_be_missing() {
        let text = features(&host(&[Feature::CgroupV2], &[Feature::Tbf]));
        assert!(line_of(&text, "sch_tbf").starts_with("  ?  "), "{text}");
        assert!(!text.contains("CONFIG_NET_SCH_TBF") && text.contains("cannot be told"), "{text}");
        assert!(line_of(&text, "sch_netem").starts_with("  no "), "{text}");
        assert!(!features(&host(&Feature::ALL, &[])).contains("cannot be told"));
    }

    #[test]
    fn a_fault_can_be_made_where_the_kernel_has_what_it_takes() {
        let text = faults(&host(&[Feature::Tbf], &[]));
        assert!(line_of(&text, "network.bandwidth").starts_with("  yes"), "{text}");
        for name in ["network.latency", "network.loss", "network.partition"] {
            assert!(line_of(&text, name).starts_with("  no "), "{text}");
        }
        let loss = faults(&host(&[Feature::PacketFilter], &[]));
        assert!(line_of(&loss, "network.loss").starts_with("  yes"), "{loss}");
    }
}
