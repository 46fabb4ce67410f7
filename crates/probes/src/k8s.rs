//! Objects of a Kubernetes cluster: whether they are there, how many, how many of them are ready, and one condition.

#[cfg(feature = "kubernetes")]
mod ask;
#[cfg(not(feature = "kubernetes"))]
mod lacking;
mod usage;

use crate::timeout::Timeout;
#[cfg(feature = "kubernetes")]
use ask::Asker;
#[cfg(not(feature = "kubernetes"))]
use lacking::Asker;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::collections::BTreeMap;
use std::time::Instant;

/// What stands under `k8s:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "kubernetes"), expect(dead_code, reason = "a build without clusters asks nothing"))]
pub struct Parameters {
    /// What kind of object: `Pod`, `Deployment`, `Node`, `PodDisruptionBudget`; of kinds that others added, with the group of
    /// their API: `Rollout.argoproj.io`.
    kind: String,
    /// Its namespace; without it that of the kubeconfig's context. Nodes and the like are in none.
    #[serde(default)]
    namespace: Option<String>,
    /// One object, by its name.
    #[serde(default)]
    name: Option<String>,
    /// Only objects with these labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// A condition of their status, such as `Available`: `met` counts those where it is true.
    #[serde(default)]
    condition: Option<String>,
    /// Whether the cluster's metrics API (`metrics.k8s.io`, such as metrics-server) is asked too what pods or nodes use.
    #[serde(default)]
    usage: bool,
    /// The context of the kubeconfig; without it its current one.
    #[serde(default)]
    context: Option<String>,
    /// The kubeconfig, by its path; without it `KUBECONFIG`, `~/.kube/config`, or the account of the pod that Squall runs in.
    #[serde(default)]
    kubeconfig: Option<String>,
    /// How long the answer may take, with all its tries.
    #[serde(default)]
    timeout: Timeout,
}

/// The `k8s` probe.
pub struct K8s {
    parameters: Parameters,
    asker: Asker,
}

impl Probe for K8s {
    const NAME: &'static str = "k8s";
    const SUMMARY: &'static str =
        "Looks at objects of a Kubernetes cluster: whether they are there, ready, and in a condition";
    const EXAMPLE: &'static str = "\
- k8s: {kind: Deployment, namespace: shop, name: payment}
  expect: ready == 1 and ready_replicas >= 2
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        ("present", "whether there is any such object"),
        ("count", "how many there are"),
        ("ready", "how many of them are ready: as their kind says it, or by their condition Ready"),
        ("all_ready", "whether there are any, and all of them are ready"),
        ("replicas", "how many replicas they should have together, for kinds that have replicas"),
        ("ready_replicas", "how many of those are ready"),
        ("met", "how many have the condition that was asked for; absent where none was"),
        (
            "cpu",
            "how many cores they use together, of pods or nodes with `usage: true`; absent where there are none",
        ),
        ("memory", "how many bytes of memory they use together, likewise"),
        ("measured", "how many of them the metrics API tells of: a new pod comes a minute later"),
        ("latency", "seconds until the answer was there"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] = &[
        ("present", ValueKind::YesOrNo),
        ("count", ValueKind::Number),
        ("ready", ValueKind::Number),
        ("all_ready", ValueKind::YesOrNo),
        ("replicas", ValueKind::Number),
        ("ready_replicas", ValueKind::Number),
        ("met", ValueKind::Number),
        ("cpu", ValueKind::Number),
        ("memory", ValueKind::Number),
        ("measured", ValueKind::Number),
    ];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("all_ready == true");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let empty = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
        if parameters.kind.trim().is_empty() || empty(&parameters.name) || empty(&parameters.namespace) {
            return Err(ProbeError("an empty text names nothing".to_owned()));
        }
        if parameters.usage && !matches!(parameters.kind.as_str(), "Pod" | "Node") {
            let kind = &parameters.kind;
            return Err(ProbeError(format!(
                "`usage` is of pods and nodes, and the metrics API tells nothing of kind {kind}; ask for its pods by their labels"
            )));
        }
        Ok(Self { asker: Asker::new(&parameters), parameters })
    }
}

impl Observe for K8s {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(async {
            let begun = Instant::now();
            let found = self.asker.objects(&self.parameters).await?;
            let mut reading = read(&found, self.parameters.condition.as_deref());
            if self.parameters.usage && !found.is_empty() {
                let measurements = self.asker.measurements(&self.parameters).await?;
                reading.extend(usage::of(&found, &measurements)?);
            }
            reading.insert("latency".to_owned(), Value::Number(begun.elapsed().as_secs_f64()));
            Ok(reading)
        })
    }

    fn patience(&self) -> Duration {
        self.parameters.timeout.patience()
    }
}

/// What there is to say of objects.
fn read(objects: &[Json], condition: Option<&str>) -> Reading {
    let count = objects.len() as f64;
    let ready = objects.iter().filter(|object| is_ready(object)).count() as f64;
    let sum = |number: fn(&Json) -> Option<u64>| objects.iter().filter_map(number).sum::<u64>() as f64;
    let mut reading = Reading::from([
        ("present".to_owned(), Value::Bool(!objects.is_empty())),
        ("count".to_owned(), Value::Number(count)),
        ("ready".to_owned(), Value::Number(ready)),
        ("all_ready".to_owned(), Value::Bool(!objects.is_empty() && ready >= count)),
    ]);
    if objects.iter().any(|object| replicas(object).is_some()) {
        reading.insert("replicas".to_owned(), Value::Number(sum(replicas)));
        reading.insert("ready_replicas".to_owned(), Value::Number(sum(ready_replicas)));
    }
    if let Some(condition) = condition {
        let met = objects.iter().filter(|object| has(object, condition)).count() as f64;
        reading.insert("met".to_owned(), Value::Number(met));
    }
    reading
}

/// How many replicas an object should have; none where its kind has none.
fn replicas(object: &Json) -> Option<u64> {
    let (spec, status) = (&object["spec"], &object["status"]);
    match object["kind"].as_str()? {
        "Deployment" | "StatefulSet" | "ReplicaSet" => Some(spec["replicas"].as_u64().unwrap_or(1)),
        "DaemonSet" => status["desiredNumberScheduled"].as_u64(),
        _ => spec["replicas"].as_u64(),
    }
}

fn ready_replicas(object: &Json) -> Option<u64> {
    let name = if object["kind"] == "DaemonSet" { "numberReady" } else { "readyReplicas" };
    object["status"][name].as_u64()
}

/// Whether a condition of an object's status is true.
fn has(object: &Json, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let is_it = |found: &&Json| found["type"] == condition;
    conditions.and_then(|all| all.iter().find(is_it)).is_some_and(|found| found["status"] == "True")
}

/// Whether an object does its work. What its controller has not seen yet is not known to.
fn is_ready(object: &Json) -> bool {
    let generation = object["metadata"]["generation"].as_i64();
    let is_seen = match object["status"]["observedGeneration"].as_i64() {
        Some(observed) => generation.is_none_or(|generation| observed >= generation),
        None => true,
    };
    if object["metadata"]["deletionTimestamp"].is_string() || !is_seen {
        return false;
    }
    match object["kind"].as_str() {
        Some("Pod" | "Node") => has(object, "Ready"),
        Some("Job") => has(object, "Complete"),
        Some("Namespace") => object["status"]["phase"] == "Active",
        _ => match replicas(object) {
            Some(wanted) => ready_replicas(object).unwrap_or(0) >= wanted,
            None if object["status"]["conditions"].is_array() => has(object, "Ready"),
            // What has no status has nothing to be ready for.
            None => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_says_in_its_own_way_whether_it_is_ready() {
        let deployment = |ready: u64, observed: i64| {
            json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": 3},
                   "status": {"readyReplicas": ready, "observedGeneration": observed}})
        };
        assert!(is_ready(&deployment(3, 2)) && !is_ready(&deployment(2, 2)) && !is_ready(&deployment(3, 1)));
        let pod = |status: &str| json!({"kind": "Pod", "status": {"conditions": [{"type": "Ready", "status": status}]}});
        assert!(is_ready(&pod("True")) && !is_ready(&pod("False")) && !is_ready(&json!({"kind": "Pod"})));
        let mut going = pod("True");
        going["metadata"] = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert!(!is_ready(&going));
        let daemons = json!({"kind": "DaemonSet", "status": {"desiredNumberScheduled": 2, "numberReady": 1}});
        assert!(!is_ready(&daemons));
        assert!(is_ready(&json!({"kind": "ConfigMap"})));

        let reading = read(&[deployment(3, 2), deployment(1, 2)], Some("Available"));
        let number = |name: &str| reading[name].clone();
        assert_eq!((number("count"), number("ready")), (Value::Number(2.0), Value::Number(1.0)));
        assert_eq!((number("replicas"), number("ready_replicas")), (Value::Number(6.0), Value::Number(4.0)));
        assert_eq!((number("met"), number("all_ready")), (Value::Number(0.0), Value::Bool(false)));
        let none = read(&[], None);
        assert_eq!((&none["present"], &none["all_ready"]), (&Value::Bool(false), &Value::Bool(false)));
    }
}
