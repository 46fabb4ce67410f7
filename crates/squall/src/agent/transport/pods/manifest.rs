//! What the pod of an agent is: as little as enters its node and does there what is planned.

use super::owner::Owner;
use super::{CONTAINER, PROGRAM};
use crate::agent::node::{self, LEAVES_WITHIN};
use crate::agent::transport::fleet::Needs;
use serde_json::{Value as Json, json};
use squall_model::cluster::MARK_LABEL;
use std::collections::BTreeSet;
use std::time::Duration;

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

/// How much longer than all faults of a run its pods may live: the cluster itself ends them then. No undo waits for it.
const LIVES_FOR: Duration = Duration::from_hours(4);

/// The label by which parts of an application are told apart, and ours.
pub(super) const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "squall-agent");

pub(super) fn labels(run: &str) -> Json {
    json!({"app.kubernetes.io/name": "squall", COMPONENT.0: COMPONENT.1, MARK_LABEL: run})
}

pub(super) fn pod(name: &str, run: &str, on: &str, image: &str, owner: &Owner, needs: &Needs) -> Json {
    let asked = needs.privileges.iter().map(|privilege| privilege.capability().trim_start_matches("CAP_"));
    let capabilities: BTreeSet<&str> = CAPABILITIES.into_iter().chain(asked).collect();
    let deadline = LIVES_FOR + needs.lasts.0.saturating_mul(2);
    // As long as the last who put back may take, and a little more.
    let grace = LEAVES_WITHIN.as_secs() + 10;
    json!({
        "metadata": {
            "name": name,
            "labels": labels(run),
            // Before 1.30 it is said here, since then below.
            "annotations": {format!("container.apparmor.security.beta.kubernetes.io/{CONTAINER}"): "unconfined"},
            "ownerReferences": [owner.reference()],
        },
        "spec": {
            "nodeName": on,
            "hostPID": true,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": deadline.as_secs(),
            "terminationGracePeriodSeconds": grace,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": [PROGRAM, node::ROLE, run],
                "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}},
                "securityContext": {
                    "runAsUser": 0,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"], "add": capabilities},
                    "appArmorProfile": {"type": "Unconfined"},
                    "seLinuxOptions": {"type": "spc_t"},
                },
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::facts::Privilege;
    use squall_model::units;

    #[test]
    fn a_pod_asks_for_what_its_faults_need_and_is_not_privileged() {
        let needs = Needs {
            privileges: [Privilege::DacOverride, Privilege::NetAdmin].into(),
            lasts: units::Duration::seconds(60),
        };
        let owner = Owner::of_test("run-1", "uid-1");
        let pod = pod("squall-run-1-1", "run-1", "node-1", "squall:1", &owner, &needs);
        let context = &pod["spec"]["containers"][0]["securityContext"];
        let added = context["capabilities"]["add"].as_array().unwrap();
        assert!(added.contains(&json!("DAC_OVERRIDE")) && added.contains(&json!("SYS_ADMIN")), "{added:?}");
        assert_eq!(added.iter().filter(|name| **name == json!("NET_ADMIN")).count(), 1);
        assert_eq!(context["privileged"], Json::Null);
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
        assert_eq!(pod["spec"]["activeDeadlineSeconds"], 4 * 3600 + 120);
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "uid-1");
    }
}
