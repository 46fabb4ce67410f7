//! What targets are in a cluster: pods, nodes, workloads, virtual services.

use super::Client;
use serde_json::{Value as Json, json};
use squall_kubernetes::{ClusterError, Kind, Node, Phase, Pod, PodFilter};
use squall_model::cluster::{
    EVERY_NAMESPACE, MARK_LABEL, Made, NodeFacts, NodeSelector, ObjectFacts, ObjectKind, ObjectRef,
    ObjectSelector, PROTECTED_NAMESPACES, PodContainer, PodFacts, PodSelector, Restarts, STRUCK_LABEL,
    label_selector,
};
use squall_model::facts::Subject;
use squall_model::units::Duration;
use std::collections::BTreeSet;

/// Pods that match, in the order of their names.
pub(super) async fn pods(client: &Client, selector: &PodSelector) -> Result<Vec<Subject>, ClusterError> {
    let fields = selector.fields.iter().map(|(name, value)| format!("{name}={value}"));
    let fields: Vec<String> = fields.chain(only_name(selector)).collect();
    let filter = PodFilter {
        namespaces: namespaces(client, selector),
        labels: label_selector(&selector.labels, &selector.expressions),
        fields: fields.join(","),
        ..PodFilter::default()
    };
    let nodes = nodes_with(client, selector).await?;
    let mut found = client.cluster.pods(&filter).await?;
    found.retain(|pod| matches(pod, selector, nodes.as_ref()));
    found.sort_unstable_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    let facts = |pod| Subject::Pod(Box::new(facts_of(client, pod, selector)));
    Ok(found.into_iter().map(facts).collect())
}

/// That only a pod of this name is asked for, where just one is named: all the others of its namespace may be very many.
fn only_name(selector: &PodSelector) -> Option<String> {
    let [named] = selector.names.as_slice() else { return None };
    let name = named.split_once('/').map_or(named.as_str(), |(_, name)| name);
    // Anything else would be read as more than one condition, and names no pod.
    let is_a_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.'));
    (is_a_name && !name.is_empty()).then(|| format!("metadata.name={name}"))
}

/// The namespaces that are asked; none means all.
fn namespaces(client: &Client, selector: &PodSelector) -> Vec<String> {
    let mut named = selector.namespace.0.clone();
    if named.iter().any(|name| name == EVERY_NAMESPACE) {
        return Vec::new();
    }
    let of_names = selector.names.iter().filter_map(|name| name.split_once('/'));
    let of_names: Vec<String> = of_names.map(|(namespace, _)| namespace.to_owned()).collect();
    let has_bare_names = selector.names.iter().any(|name| !name.contains('/'));
    if named.is_empty() && (of_names.is_empty() || has_bare_names) {
        named.push(client.cluster.namespace().to_owned());
    }
    named.extend(of_names);
    named
}

/// The nodes that have the labels that are asked for; none where none are.
async fn nodes_with(
    client: &Client,
    selector: &PodSelector,
) -> Result<Option<BTreeSet<String>>, ClusterError> {
    if selector.node_labels.is_empty() {
        return Ok(None);
    }
    let found = client.cluster.nodes(&label_selector(&selector.node_labels, &[])).await?;
    Ok(Some(found.into_iter().map(|node| node.name).collect()))
}

fn is_named(pod: &Pod, selector: &PodSelector) -> bool {
    selector.names.iter().any(|name| match name.split_once('/') {
        Some((namespace, name)) => pod.namespace == namespace && pod.name == name,
        None => pod.name == *name,
    })
}

fn matches(pod: &Pod, selector: &PodSelector, nodes: Option<&BTreeSet<String>>) -> bool {
    let phase = pod.phase.to_string();
    let in_phase = if selector.phases.is_empty() {
        pod.phase == Phase::Running
    } else {
        selector.phases.contains(&phase)
    };
    let node = pod.node.as_deref().unwrap_or_default();
    let annotated = selector.annotations.iter().all(|(name, value)| pod.annotations.get(name) == Some(value));
    !pod.deleted
        && in_phase
        && annotated
        && (selector.names.is_empty() || is_named(pod, selector))
        && (selector.nodes.is_empty() || selector.nodes.iter().any(|name| name == node))
        && nodes.is_none_or(|nodes| nodes.contains(node))
}

fn facts_of(client: &Client, pod: Pod, selector: &PodSelector) -> PodFacts {
    let protected = protection(&pod, is_named(&pod, selector));
    let first = pod.containers.iter().find(|container| !container.sidecar).map(|first| first.name.clone());
    let is_chosen = |name: &str| {
        if selector.containers.is_empty() {
            first.as_deref() == Some(name)
        } else {
            selector.containers.iter().any(|chosen| chosen == name)
        }
    };
    let containers =
        pod.containers.iter().filter(|container| !container.sidecar).map(|container| PodContainer {
            chosen: is_chosen(&container.name),
            name: container.name.clone(),
            image: container.image.clone(),
            id: container.id.clone().filter(|_| container.running),
        });
    PodFacts {
        containers: containers.collect(),
        node: pod.node.clone().unwrap_or_default(),
        controller: pod.owner.as_ref().map(|owner| format!("{} {}", owner.kind, owner.name)),
        addresses: pod.addresses.clone(),
        host_network: pod.host_network,
        ready: pod.ready,
        struck: pod.labels.contains_key(STRUCK_LABEL),
        restarts: match pod.restart_policy.as_str() {
            "Never" => Restarts::Never,
            "OnFailure" => Restarts::OnFailure,
            _ => Restarts::Always,
        },
        grace: Duration::seconds(pod.grace),
        protected,
        object: object(client, ObjectKind::pod(), Some(pod.namespace), pod.name, pod.uid),
    }
}

/// Why a pod is spared, if it is.
fn protection(pod: &Pod, is_named: bool) -> Option<String> {
    let is_of_squall = pod.labels.get("app.kubernetes.io/name").is_some_and(|name| name == "squall");
    if is_of_squall || pod.labels.contains_key(MARK_LABEL) {
        return Some("it is Squall's own".to_owned());
    }
    if pod.is_mirror {
        return Some("its node runs it by itself, whatever the cluster says".to_owned());
    }
    let is_pillar = PROTECTED_NAMESPACES.contains(&pod.namespace.as_str());
    (is_pillar && !is_named).then(|| format!("{} keeps the cluster alive", pod.namespace))
}

fn object(
    client: &Client,
    kind: ObjectKind,
    namespace: Option<String>,
    name: String,
    uid: String,
) -> ObjectRef {
    ObjectRef { cluster: client.reference.clone(), kind, namespace, name, uid }
}

/// Nodes that match, each with the pods that could be moved from it.
pub(super) async fn nodes(client: &Client, selector: &NodeSelector) -> Result<Vec<Subject>, ClusterError> {
    let all = client.cluster.nodes("").await?;
    let takes_pods = |node: &Node| node.ready && !node.unschedulable;
    let open = all.iter().filter(|node| takes_pods(node)).count();
    let mut found = Vec::new();
    for node in all {
        let named = selector.name.0.contains(&node.name);
        let labelled = selector.labels.iter().all(|(name, value)| node.labels.get(name) == Some(value));
        if (!selector.name.is_empty() && !named) || !labelled {
            continue;
        }
        let protected = (!named && node.roles.iter().any(|role| role == "control-plane" || role == "master"))
            .then(|| "it keeps the cluster alive".to_owned());
        let filter = PodFilter { fields: format!("spec.nodeName={}", node.name), ..PodFilter::default() };
        let pods = client.cluster.pods(&filter).await?;
        let is_moved = |pod: &Pod| {
            let is_of_node = pod.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
            let is_over = matches!(pod.phase, Phase::Succeeded | Phase::Failed);
            !pod.is_mirror && !pod.deleted && !is_of_node && !is_over
        };
        let none = PodSelector::default();
        let pods: Vec<PodFacts> =
            pods.into_iter().filter(is_moved).map(|pod| facts_of(client, pod, &none)).collect();
        let others = open - usize::from(takes_pods(&node));
        let taints = node.taints.iter().filter_map(|taint| serde_json::to_value(taint).ok()).collect();
        let kind = ObjectKind::new("", "v1", "Node", "nodes");
        found.push(Subject::Node(Box::new(NodeFacts {
            unschedulable: node.unschedulable.then_some(true),
            taints,
            pods,
            others: others as u64,
            struck: node.labels.contains_key(STRUCK_LABEL),
            protected,
            object: object(client, kind, None, node.name, node.uid),
        })));
    }
    Ok(found)
}

/// Deployments and the like that match.
pub(super) async fn workloads(
    client: &Client,
    selector: &ObjectSelector,
) -> Result<Vec<Subject>, ClusterError> {
    let kind = match selector.kind.as_deref() {
        Some("StatefulSet") => Kind::STATEFUL_SET,
        Some("ReplicaSet") => Kind::REPLICA_SET,
        _ => Kind::DEPLOYMENT,
    };
    objects(client, selector, &kind).await
}

/// Virtual services that match.
pub(super) async fn virtual_services(
    client: &Client,
    selector: &ObjectSelector,
) -> Result<Vec<Subject>, ClusterError> {
    objects(client, selector, &Kind::VIRTUAL_SERVICE).await
}

async fn objects(
    client: &Client,
    selector: &ObjectSelector,
    kind: &Kind,
) -> Result<Vec<Subject>, ClusterError> {
    let namespace = selector.namespace.as_deref().unwrap_or(client.cluster.namespace());
    let mut found = if let [name] = selector.name.0.as_slice() {
        let one = client.cluster.get(&kind.named(Some(namespace), name)).await?;
        one.into_iter().collect()
    } else {
        client.cluster.list(kind, Some(namespace), &label_selector(&selector.labels, &[])).await?
    };
    let text = |content: &Json, name: &str| content["metadata"][name].as_str().unwrap_or_default().to_owned();
    let label =
        |content: &Json, name: &String| content["metadata"]["labels"][name].as_str().map(str::to_owned);
    found.retain(|content| {
        let named = selector.name.is_empty() || selector.name.0.contains(&text(content, "name"));
        named && selector.labels.iter().all(|(name, value)| label(content, name).as_ref() == Some(value))
    });
    found.sort_by_key(|content| text(content, "name"));
    if let (true, Some(made), [name]) = (found.is_empty(), &selector.make, selector.name.0.as_slice()) {
        let Made { labels, annotations, spec } = made;
        let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
        found.push(json!({"metadata": metadata, "spec": spec}));
    }
    let is_pillar = PROTECTED_NAMESPACES.contains(&namespace) && selector.name.is_empty();
    let facts = |mut content: Json| {
        if let Some(metadata) = content["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let known = ObjectKind::new(&kind.group, &kind.version, &kind.kind, &kind.plural);
        let (name, uid) = (text(&content, "name"), text(&content, "uid"));
        Subject::Object(Box::new(ObjectFacts {
            object: object(client, known, Some(namespace.to_owned()), name, uid),
            content,
            protected: is_pillar.then(|| format!("{namespace} keeps the cluster alive")),
        }))
    };
    Ok(found.into_iter().map(facts).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_named_alone_is_asked_for_alone() {
        let asked = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            only_name(&PodSelector { names, ..PodSelector::default() })
        };
        assert_eq!(asked(&["web-0"]).as_deref(), Some("metadata.name=web-0"));
        assert_eq!(asked(&["shop/web-0"]).as_deref(), Some("metadata.name=web-0"));
        for others in [&[][..], &["web-0", "web-1"], &["a,spec.nodeName=b"], &["shop/"]] {
            assert_eq!(asked(others), None, "{others:?}");
        }
    }
}
