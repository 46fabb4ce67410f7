//! Objects for the tests of decisions.

use super::World;
use serde_json::{Value as Json, json};

pub(super) const NOW: &str = "2026-11-30T12:00:00Z";

pub(super) fn world() -> World {
    World { now: NOW.parse().unwrap(), halted: None }
}

fn metadata(name: &str) -> Json {
    json!({"name": name, "namespace": "shop", "uid": format!("{name}-uid"), "generation": 1, "creationTimestamp": NOW})
}

pub(super) fn experiment() -> Json {
    let strike = json!({"fault": "k8s.pod_kill", "target": {"pod": {"labels": {"app": "pay"}}}});
    json!({"apiVersion": "squall.dev/v1", "kind": "Experiment", "metadata": metadata("x"), "spec": {"method": [strike]}})
}

pub(super) fn run() -> Json {
    json!({
        "apiVersion": "squall.dev/v1", "kind": "Run", "metadata": metadata("x-1"),
        "spec": {"source": {"apiVersion": "squall.dev/v1", "kind": "Experiment", "name": "x", "uid": "x-uid"}, "generation": 1},
    })
}

pub(super) fn schedule(text: &str) -> Json {
    json!({"apiVersion": "squall.dev/v1", "kind": "Schedule", "metadata": metadata("nightly"),
        "spec": {"schedule": text, "experiment": "x"}})
}

pub(super) fn chaos(kind: &str, spec: Json) -> Json {
    json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": kind, "metadata": metadata("c"), "spec": spec})
}

/// The condition of a run whose plan nobody refused.
pub(super) fn accepted() -> Json {
    json!({"type": "Accepted", "status": "True", "reason": "Approved", "lastTransitionTime": NOW})
}
