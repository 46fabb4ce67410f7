//! What a pod of an agent is, whoever makes it: the run for itself, or the operator's installation for all runs.
//!
//! As little as enters its node and does there what is planned.

use serde_json::{Value as Json, json};
use squall_model::facts::Privilege;
use std::collections::BTreeSet;
use std::time::Duration;

/// The first word of the pod's own process; the run follows, or [`RESIDENT`].
pub(crate) const ROLE: &str = "agent-pod";

/// Instead of a run: the pod stays, for all of them.
pub(crate) const RESIDENT: &str = "--resident";

/// The program, in the image.
pub(crate) const PROGRAM: &str = "/squall";

/// The container of the pod.
pub(crate) const CONTAINER: &str = "agent";

/// How long the pod that is told to go waits for those who put back. It is killed some time after that.
pub(crate) const LEAVES_WITHIN: Duration = Duration::from_secs(50);

/// The labels by which an application, its parts and its version are known, and ours.
pub(crate) const NAME_LABEL: (&str, &str) = ("app.kubernetes.io/name", "squall");
pub(crate) const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
pub(crate) const VERSION_LABEL: &str = "app.kubernetes.io/version";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An agent that was made for a run.
pub(crate) const MADE: &str = "squall-agent";
/// A pod that was made for a question of a run.
pub(crate) const ASKED: &str = "squall-question";
/// One that stays.
pub(crate) const STAYS: &str = "agent";

/// Where a container says since 1.30 what `AppArmor` has to do with it. It stands in an annotation as well, for older clusters.
pub(crate) const PROFILE: &str = "appArmorProfile";

/// What every agent on a node must be able to do, and why:
///
/// - `SYS_ADMIN`, `SYS_CHROOT`: enter the node's namespaces, and later those of pods;
/// - `SYS_PTRACE`: see in which namespaces other processes are;
/// - `DAC_READ_SEARCH`: see which sockets processes of other users hold;
/// - `NET_ADMIN`, `KILL`: look for marks in networks, and put back what an earlier agent left there, whatever it was;
/// - `SYS_NICE`: be served before the load that a fault makes, so that the undo is not starved by it.
///
/// With the first three, and the node's process numbers, whoever is in that pod can become root on the node: the list is
/// short so that it can be read, and is no wall.
const CAPABILITIES: [&str; 7] =
    ["SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "DAC_READ_SEARCH", "NET_ADMIN", "KILL", "SYS_NICE"];

/// Whatever a fault may need: an agent that stays does not know what it will be asked for.
pub(crate) const ALL_PRIVILEGES: [Privilege; 5] =
    [Privilege::NetAdmin, Privilege::SysAdmin, Privilege::Kill, Privilege::SysPtrace, Privilege::DacOverride];

/// What a pod of an agent is made of; `words` are those of its process, after the program.
pub(crate) fn spec(image: Json, words: &[&str], privileges: impl IntoIterator<Item = Privilege>) -> Json {
    let asked = privileges.into_iter().map(|privilege| privilege.capability().trim_start_matches("CAP_"));
    let capabilities: BTreeSet<&str> = CAPABILITIES.into_iter().chain(asked).collect();
    let command: Vec<&str> = [PROGRAM].into_iter().chain(words.iter().copied()).collect();
    json!({
        "hostPID": true,
        // As long as the last who put back may take, and a little more.
        "terminationGracePeriodSeconds": LEAVES_WITHIN.as_secs() + 10,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{
            "name": CONTAINER,
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}},
            "securityContext": {
                "runAsUser": 0,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"], "add": capabilities},
                PROFILE: {"type": "Unconfined"},
                "seLinuxOptions": {"type": "spc_t"},
            },
        }],
    })
}

/// Before 1.30 it is said in an annotation that `AppArmor` shall not be in the way.
pub(crate) fn annotations() -> Json {
    json!({format!("container.apparmor.security.beta.kubernetes.io/{CONTAINER}"): "unconfined"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_stays_can_do_whatever_a_fault_may_need() {
        for privilege in ALL_PRIVILEGES {
            // Whoever adds one is led here by the compiler.
            match privilege {
                Privilege::NetAdmin
                | Privilege::SysAdmin
                | Privilege::Kill
                | Privilege::SysPtrace
                | Privilege::DacOverride => {}
            }
        }
        let spec = spec("squall:1".into(), &[ROLE, RESIDENT], ALL_PRIVILEGES);
        let context = &spec["containers"][0]["securityContext"];
        let added = context["capabilities"]["add"].as_array().unwrap();
        assert!(added.contains(&json!("DAC_OVERRIDE")) && added.contains(&json!("SYS_ADMIN")), "{added:?}");
        assert_eq!(added.iter().filter(|name| **name == json!("NET_ADMIN")).count(), 1);
        assert_eq!(context["privileged"], Json::Null);
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["containers"][0]["ports"], Json::Null);
    }
}
