//! Faults on the objects of a Kubernetes cluster, made through its API: pods, nodes, workloads.

pub(crate) mod cordon;
pub(crate) mod drain;
pub(crate) mod evict;
pub(crate) mod network_policy;
pub(crate) mod pod_failure;
pub(crate) mod pod_kill;
pub(crate) mod scale;
pub(crate) mod taint;

use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::cluster::{
    Field, NodeFacts, ObjectChange, ObjectFacts, ObjectRef, ObjectStep, PodFacts, Shows,
};
use squall_model::facts::{Facts, Subject};
use squall_model::fault::PlanError;
use squall_model::step::Step;
use squall_model::units::Duration;

/// What takes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// How a pod is asked to end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ending {
    /// How long the pod may take to end by itself, in whole seconds; 0s ends it at once. Without it, as long as the pod
    /// says itself (30 s, where it says nothing).
    #[serde(default)]
    grace: Option<Duration>,
}

impl Ending {
    /// The API counts grace in whole seconds; a part of one must not become "at once".
    fn check(&self) -> Result<(), PlanError> {
        match self.grace {
            Some(grace) if grace.0.subsec_nanos() > 0 => Err(PlanError::Parameters(format!(
                "grace: {grace} is not a whole number of seconds, in which Kubernetes counts it"
            ))),
            _ => Ok(()),
        }
    }
}

fn misfit(wanted: &str) -> PlanError {
    PlanError::Parameters(format!("this fault strikes {wanted}"))
}

/// The pod that is struck.
fn pod(facts: &Facts) -> Result<&PodFacts, PlanError> {
    match &facts.subject {
        Subject::Pod(pod) => Ok(pod),
        _ => Err(misfit("pods of a cluster")),
    }
}

/// The node that is struck.
fn node(facts: &Facts) -> Result<&NodeFacts, PlanError> {
    match &facts.subject {
        Subject::Node(node) => Ok(node),
        _ => Err(misfit("nodes of a cluster")),
    }
}

/// The object that is struck.
pub(crate) fn object<'f>(facts: &'f Facts, wanted: &str) -> Result<&'f ObjectFacts, PlanError> {
    match &facts.subject {
        Subject::Object(object) => Ok(object),
        _ => Err(misfit(wanted)),
    }
}

/// A step on an object.
pub(crate) fn step(facts: &Facts, object: &ObjectRef, change: ObjectChange, shows: Shows) -> Step {
    Step::Object(Box::new(ObjectStep {
        object: object.clone(),
        change,
        shows,
        mark: facts.injection.clone(),
        held: None,
    }))
}

/// A step that changes fields of an object.
pub(crate) fn change(facts: &Facts, object: &ObjectRef, fields: Vec<Field>, shows: Shows) -> Step {
    step(facts, object, ObjectChange::Fields { fields }, shows)
}

/// What must be known of a pod that is ended for good.
fn note_without_controller(pod: &PodFacts) -> Option<String> {
    pod.controller.is_none().then(|| format!("{} has no controller: nothing makes it anew", pod.object))
}

#[cfg(test)]
pub(crate) mod testing {
    //! Objects of a cluster for the tests of all of them.

    use squall_model::cluster::{
        ClusterPlace, ClusterRef, NodeFacts, ObjectFacts, ObjectKind, ObjectRef, PodContainer, PodFacts,
        Restarts,
    };
    use squall_model::facts::{Facts, Subject};
    use squall_model::target::Target;

    fn reference(kind: ObjectKind, namespace: Option<&str>, name: &str) -> ObjectRef {
        let cluster =
            ClusterRef { place: ClusterPlace::default(), server: "https://cluster".into(), uid: "c".into() };
        ObjectRef {
            cluster,
            kind,
            namespace: namespace.map(Into::into),
            name: name.into(),
            uid: "u-1".into(),
        }
    }

    /// A pod with two containers of which the first is meant, kept up by a ReplicaSet.
    pub(crate) fn on_pod(change: impl FnOnce(&mut PodFacts)) -> Facts {
        let container = |name: &str, chosen| PodContainer {
            name: name.into(),
            image: format!("shop/{name}:1"),
            id: Some(format!("{name}-id")),
            chosen,
        };
        let mut pod = PodFacts {
            object: reference(ObjectKind::pod(), Some("shop"), "payment-1"),
            node: "worker-1".into(),
            containers: vec![container("payment", true), container("proxy", false)],
            controller: Some("ReplicaSet payment".into()),
            addresses: vec!["10.0.0.7".parse().unwrap()],
            host_network: false,
            ready: true,
            struck: false,
            restarts: Restarts::Always,
            grace: squall_model::units::Duration::seconds(30),
            protected: None,
        };
        change(&mut pod);
        let target = Target::Pod(Box::new(serde_json::from_str(r#"{"namespace": "shop"}"#).unwrap()));
        crate::testing::facts(target, Subject::Pod(Box::new(pod)))
    }

    /// A node with one pod that can be moved, beside two others.
    pub(crate) fn on_node(change: impl FnOnce(&mut NodeFacts)) -> Facts {
        let Subject::Pod(pod) = on_pod(|_| ()).subject else { unreachable!() };
        let mut node = NodeFacts {
            object: reference(ObjectKind::new("", "v1", "Node", "nodes"), None, "worker-1"),
            unschedulable: None,
            taints: Vec::new(),
            pods: vec![*pod],
            others: 2,
            struck: false,
            protected: None,
        };
        change(&mut node);
        let target = Target::Node(Box::new(serde_json::from_str(r#"{"name": "worker-1"}"#).unwrap()));
        crate::testing::facts(target, Subject::Node(Box::new(node)))
    }

    /// Another object with this content.
    pub(crate) fn on_object(kind: ObjectKind, name: &str, content: &str) -> Facts {
        let object = reference(kind, Some("shop"), name);
        let content = serde_json::from_str(content).unwrap();
        let target = Target::Workload(Box::new(serde_json::from_str(r#"{"name": "x"}"#).unwrap()));
        let facts = ObjectFacts { object, content, protected: None };
        crate::testing::facts(target, Subject::Object(Box::new(facts)))
    }

    /// A Deployment with three replicas.
    pub(crate) fn on_deployment() -> Facts {
        let kind = ObjectKind::new("apps", "v1", "Deployment", "deployments");
        on_object(kind, "payment", r#"{"spec": {"replicas": 3}}"#)
    }
}
