//! Pods, nodes and names as the API writes them, as far as they are read: as JSON, and what there may be many of also in protocol
//! buffers.

mod messages;

pub(crate) use messages::FromMessage;

use crate::node::{Address, Taint};
use crate::pod::{Owner, Phase};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The annotation of those that a node runs by itself.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// What a node's labels of its roles begin with, and the older one that holds the role as its value.
const ROLE: &str = "node-role.kubernetes.io/";
const OLD_ROLE: &str = "kubernetes.io/role";
/// What the API server puts where nobody says how long a pod may take to end, in seconds.
const GRACE: u64 = 30;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Pod {
    metadata: Metadata,
    spec: PodSpec,
    status: PodStatus,
}

/// Any object, by its name.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Object {
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
    creation_timestamp: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(default)]
    owner_references: Vec<OwnerReference>,
}

#[derive(Debug, Default, Deserialize)]
struct OwnerReference {
    #[serde(default)]
    controller: bool,
    #[serde(flatten)]
    owner: Owner,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    node_name: Option<String>,
    restart_policy: Option<String>,
    termination_grace_period_seconds: Option<i64>,
    #[serde(default)]
    host_network: bool,
    #[serde(default)]
    service_account_name: String,
    containers: Vec<ContainerSpec>,
    #[serde(default)]
    init_containers: Vec<ContainerSpec>,
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerSpec {
    name: String,
    #[serde(default)]
    image: String,
    restart_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    empty_dir: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    phase: Phase,
    #[serde(default)]
    conditions: Vec<Condition>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(default, rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    #[serde(default)]
    container_statuses: Vec<ContainerStatus>,
    #[serde(default)]
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Default, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
struct PodIp {
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: String,
    #[serde(rename = "containerID")]
    container_id: Option<String>,
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    restart_count: u32,
    #[serde(default)]
    state: ContainerState,
}

#[derive(Debug, Default, Deserialize)]
struct ContainerState {
    running: Option<Running>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    metadata: Metadata,
    spec: NodeSpec,
    status: NodeStatus,
}

#[derive(Debug, Deserialize)]
struct NodeSpec {
    #[serde(default)]
    unschedulable: bool,
    #[serde(default)]
    taints: Vec<Taint>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatus {
    #[serde(default)]
    conditions: Vec<Condition>,
    #[serde(default)]
    addresses: Vec<Address>,
    #[serde(default)]
    node_info: NodeInfo,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeInfo {
    architecture: String,
    operating_system: String,
    kernel_version: String,
    container_runtime_version: String,
    kubelet_version: String,
}

fn is_ready(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True")
}

impl From<Pod> for crate::pod::Pod {
    fn from(Pod { metadata, spec, status }: Pod) -> Self {
        let owner = metadata.owner_references.into_iter().find(|reference| reference.controller);
        let ips = status.pod_ips.iter().map(|one| &one.ip).chain(&status.pod_ip);
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in ips.filter_map(|ip| ip.parse().ok()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let sidecars = spec
            .init_containers
            .into_iter()
            .filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let mut statuses = status.container_statuses;
        statuses.extend(status.init_container_statuses);
        let containers = spec.containers.into_iter().map(|container| (container, false));
        let containers = containers
            .chain(sidecars.map(|container| (container, true)))
            .map(|(container, sidecar)| container.with(&statuses, sidecar));
        Self {
            ready: is_ready(&status.conditions),
            containers: containers.collect(),
            addresses,
            owner: owner.map(|reference| reference.owner),
            is_mirror: metadata.annotations.contains_key(MIRROR),
            has_local_files: spec.volumes.iter().any(|volume| volume.empty_dir.is_some()),
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            created_at: metadata.creation_timestamp.unwrap_or_default(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            node: spec.node_name.filter(|name| !name.is_empty()),
            host_network: spec.host_network,
            phase: status.phase,
            deleted: metadata.deletion_timestamp.is_some(),
            service_account: spec.service_account_name,
            restart_policy: spec.restart_policy.unwrap_or_default(),
            grace: spec.termination_grace_period_seconds.map_or(GRACE, |grace| grace.max(0).unsigned_abs()),
        }
    }
}

impl From<Object> for crate::object::Named {
    fn from(Object { metadata: Metadata { namespace, name, uid, .. } }: Object) -> Self {
        Self { namespace: Some(namespace).filter(|name| !name.is_empty()), name, uid }
    }
}

impl ContainerSpec {
    fn with(self, statuses: &[ContainerStatus], sidecar: bool) -> crate::pod::Container {
        let status = statuses.iter().find(|status| status.name == self.name);
        let id = status.and_then(|status| status.container_id.as_deref()).unwrap_or_default();
        let (runtime, id) = id.split_once("://").unzip();
        let running = status.and_then(|status| status.state.running.as_ref());
        crate::pod::Container {
            name: self.name,
            image: self.image,
            id: id.map(str::to_owned),
            runtime: runtime.map(str::to_owned),
            running: running.is_some(),
            ready: status.is_some_and(|status| status.ready),
            restarts: status.map_or(0, |status| status.restart_count),
            started_at: running.and_then(|running| running.started_at.clone()),
            sidecar,
        }
    }
}

impl From<Node> for crate::node::Node {
    fn from(Node { metadata, spec, status }: Node) -> Self {
        let roles = metadata.labels.iter().filter_map(|(key, value)| {
            if key == OLD_ROLE { Some(value.as_str()) } else { key.strip_prefix(ROLE) }
        });
        let mut roles: Vec<String> = roles.filter(|role| !role.is_empty()).map(str::to_owned).collect();
        roles.sort_unstable();
        roles.dedup();
        let info = status.node_info;
        Self {
            roles,
            name: metadata.name,
            uid: metadata.uid,
            labels: metadata.labels,
            annotations: metadata.annotations,
            unschedulable: spec.unschedulable,
            taints: spec.taints,
            ready: is_ready(&status.conditions),
            addresses: status.addresses,
            architecture: info.architecture,
            system: info.operating_system,
            kernel: info.kernel_version,
            runtime: info.container_runtime_version,
            kubelet: info.kubelet_version,
        }
    }
}
