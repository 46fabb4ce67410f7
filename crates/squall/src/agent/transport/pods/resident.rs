//! Pods of agents that stay on their nodes for all runs: who uses one makes nothing in the cluster, and takes nothing away.

use crate::agent_pod::{COMPONENT_LABEL, NAME_LABEL, STAYS, VERSION, VERSION_LABEL};
use squall_kubernetes::{Cluster, ClusterError, Phase, Pod, PodFilter};

/// The name of the pod that stays on a node and can be used, or why there is none.
pub(super) async fn find(
    cluster: &Cluster,
    namespace: &str,
    node: &str,
) -> Result<Result<String, String>, ClusterError> {
    let filter = PodFilter {
        namespaces: vec![namespace.to_owned()],
        labels: format!("{}={},{COMPONENT_LABEL}={STAYS}", NAME_LABEL.0, NAME_LABEL.1),
        fields: format!("spec.nodeName={node}"),
        ..PodFilter::default()
    };
    Ok(chosen(&cluster.pods(&filter).await?, namespace, node))
}

/// The first that is ready and of this very version: another one may speak otherwise, and would undo otherwise.
fn chosen(pods: &[Pod], namespace: &str, node: &str) -> Result<String, String> {
    let mut why = format!("no agent stays on node {node} in namespace {namespace}");
    for pod in pods {
        let version = pod.labels.get(VERSION_LABEL).map_or("none", String::as_str);
        if pod.deleted || pod.phase != Phase::Running || !pod.ready {
            why = format!("the agent that stays on node {node}, pod {}, is not ready", pod.name);
        } else if version != VERSION {
            why = format!(
                "the agent that stays on node {node}, pod {}, is of version {version}, and this is {VERSION}",
                pod.name
            );
        } else {
            return Ok(pod.name.clone());
        }
    }
    Err(why)
}
