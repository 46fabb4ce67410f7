//! `squall doctor`: what this machine can do, what is missing, and how to get it.

use crate::cli::out;
use crate::exit::{Failure, Outcome};
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

/// What each feature is for, and how to get it where it is missing.
const FEATURES: &[(Feature, &str, &str)] = &[
    (
        Feature::Netem,
        "sch_netem: delay and loss of packets",
        "a kernel with CONFIG_NET_SCH_NETEM (Debian: linux-image-amd64; Red Hat: kernel-modules-extra)",
    ),
    (Feature::Tbf, "sch_tbf: limits of bandwidth", "a kernel with CONFIG_NET_SCH_TBF"),
    (
        Feature::PacketClassifier,
        "a classifier: faults for some packets only",
        "a kernel with CONFIG_NET_CLS_BPF or CONFIG_NET_CLS_U32, and sch_prio or sch_htb",
    ),
    (
        Feature::PacketFilter,
        "nftables: partitions, loss without netem",
        "a kernel with CONFIG_NF_TABLES_INET",
    ),
    (
        Feature::SilentEgress,
        "nftables egress hook: outgoing loss that senders do not see",
        "Linux 5.16 with CONFIG_NETFILTER_EGRESS",
    ),
    (
        Feature::CgroupV2,
        "control groups v2: load inside a target's own limits",
        "mount cgroup2 on /sys/fs/cgroup",
    ),
    (
        Feature::CgroupV1,
        "control groups v1: load inside a target's own limits",
        "not needed where v2 is there",
    ),
];

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let state = State::locate();
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
    for (feature, what, remedy) in FEATURES {
        let has = host.has(*feature);
        let remedy = if has { String::new() } else { format!("\n         get it: {remedy}") };
        lines.push(format!("  {}  {what}{remedy}", mark(has)));
    }
    lines.join("\n") + "\n"
}

/// Privileges and features that a fault needs and this host lacks.
fn missing(fault: &dyn AnyFault, host: &HostFacts) -> Vec<String> {
    let privileges = fault.privileges().iter().filter(|one| !host.privileges.contains(one));
    let features = fault.features().iter().filter(|one| !host.has(**one));
    let name = |feature: &Feature| {
        FEATURES.iter().find(|(known, _, _)| known == feature).map_or("", |(_, what, _)| what)
    };
    privileges
        .map(|one| one.capability().to_owned())
        .chain(features.map(|one| name(one).to_owned()))
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
