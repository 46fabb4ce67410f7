//! Pods of workloads of a Kubernetes cluster: of a `Deployment`, `StatefulSet` or `DaemonSet`. Labels, of the workload or else of
//! the pod, say that their owners opt in and what they are: `squall.dev/monkey: enabled` (or `squall.monkey`), `squall.app`, `squall.stack`,
//! `squall.detail`, `squall.account`, `squall.region`; and those of kube-monkey: `kube-monkey/enabled`, `mtbf`, `kill-mode`, `kill-value`.

use squall_model::machine::MachineError;
use squall_practice::monkey::{Instance, KubernetesInventory};

/// In a build without Kubernetes there is nothing to look with.
#[cfg(not(feature = "kubernetes"))]
pub(super) fn look(_: &KubernetesInventory) -> Result<Vec<Instance>, MachineError> {
    let message = "this squall was built without Kubernetes, so pods are not seen; build it with `--features kubernetes`";
    Err(MachineError::Unsupported { message: message.to_owned() })
}

/// The pods of the workloads that are meant.
#[cfg(feature = "kubernetes")]
pub(super) fn look(inventory: &KubernetesInventory) -> Result<Vec<Instance>, MachineError> {
    with_kubernetes::look(inventory)
}

#[cfg(feature = "kubernetes")]
mod labels;
#[cfg(feature = "kubernetes")]
mod with_kubernetes;
