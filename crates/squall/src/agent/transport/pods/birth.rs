//! From a manifest to a pod that runs, or to the reason why it never will.

use super::{CallError, failed, invalid, told};
use serde_json::Value as Json;
use squall_kubernetes::{Cluster, Deletion, Kind, Problem, Progress};
use squall_model::protocol::CallErrorKind;
use std::time::Duration;
use tokio::time::Instant;

/// How long a pod may take until it runs: its image may have to be fetched first.
const RUNS_WITHIN: Duration = Duration::from_secs(150);
const LOOKS_EVERY: Duration = Duration::from_millis(200);

/// What may be the reason that a pod is refused.
const PRIVILEGED: &str = "; it shares the node's process numbers and takes capabilities, which PodSecurity allows where the namespace is \
                          labelled pod-security.kubernetes.io/enforce=privileged: choose such a namespace with --agent-namespace";

/// The processors that Squall is built for, as Kubernetes calls them.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// Whether an agent can run on a node at all.
pub(super) async fn check(cluster: &Cluster, name: &str) -> Result<(), CallError> {
    let node = cluster.get(&Kind::NODE.named(None, name)).await.map_err(told)?;
    let node = node.ok_or_else(|| invalid(format!("there is no node {name} in {cluster} any more")))?;
    let status = &node["status"];
    let info = |field: &str| status["nodeInfo"][field].as_str().unwrap_or_default().to_owned();
    let (system, architecture) = (info("operatingSystem"), info("architecture"));
    if system != "linux" || !ARCHITECTURES.contains(&architecture.as_str()) {
        let message = format!(
            "node {name} runs {system} on {architecture}; an agent of Squall runs on linux with {}",
            ARCHITECTURES.join(" or ")
        );
        return Err(CallError { kind: CallErrorKind::Unsupported, ..invalid(message) });
    }
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
    match ready {
        Some(condition) if condition["status"] == "True" => Ok(()),
        condition => {
            let why = condition.map(words).unwrap_or_default();
            Err(failed(format!("node {name} is not ready, so no agent can be made there{why}")))
        }
    }
}

/// Makes a pod and waits until it runs. One that does not is removed.
pub(super) async fn make(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    object: &Json,
) -> Result<(), CallError> {
    let node = object["spec"]["nodeName"].as_str().unwrap_or_default();
    let refused = |error: squall_kubernetes::ClusterError| {
        let hint = if error.problem == Problem::Forbidden { PRIVILEGED } else { "" };
        let error = told(error);
        let message = format!("could not make a pod for an agent on node {node}: {}{hint}", error.message);
        CallError { message, ..error }
    };
    cluster.create(&Kind::POD, Some(namespace), object).await.map_err(refused)?;
    let outcome = wait(cluster, namespace, name).await;
    if outcome.is_err() {
        let reference = Kind::POD.named(Some(namespace), name);
        // The keeper comes by again.
        let _ = cluster.delete(&reference, &Deletion { grace: Some(0), ..Deletion::default() }).await;
    }
    let image = object["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    outcome.map_err(|why| {
        failed(format!("the pod for an agent on node {node} (image {image}) does not come up: {why}"))
    })
}

async fn wait(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), String> {
    let reference = Kind::POD.named(Some(namespace), name);
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < RUNS_WITHIN {
        let pod = cluster.get(&reference).await.map_err(|error| error.to_string())?;
        let pod = pod.ok_or("it was deleted")?;
        match Progress::of(&pod["status"]) {
            Progress::Runs => return Ok(()),
            Progress::Fails(why) => return Err(why),
            Progress::Ended(code, why) => return Err(format!("its program ended at once with {code}{why}")),
            Progress::Waits(why) => last = why,
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
    Err(format!("it did not run within {RUNS_WITHIN:?}{last}"))
}

/// Reason and message of an object's part, after a colon.
fn words(part: &Json) -> String {
    let text = |field: &str| part[field].as_str().filter(|text| !text.is_empty());
    match (text("reason"), text("message")) {
        (None, None) => String::new(),
        (Some(one), None) | (None, Some(one)) => format!(": {one}"),
        (Some(reason), Some(message)) => format!(": {reason}: {message}"),
    }
}
