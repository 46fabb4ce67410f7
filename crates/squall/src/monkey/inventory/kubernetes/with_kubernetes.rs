//! Looking at the cluster.

use super::labels::{Labels, selects};
use super::{Instance, KubernetesInventory, MachineError};
use serde_json::{Value as Json, json};
use squall_kubernetes::{Cluster, ClusterError, Kind, Phase, Place, Pod, PodFilter, wait};
use squall_model::cluster::{MARK_LABEL, PROTECTED_NAMESPACES};
use squall_model::target::fits;
use squall_practice::monkey::{Budget, WorkloadKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// How long one question may take with all its tries.
const PATIENCE: Duration = Duration::from_secs(30);
/// The label by which a Deployment tells the pods of its generations apart.
const GENERATION: &str = "pod-template-hash";

/// The workloads of a cluster by namespace, kind and name.
type Workloads = BTreeMap<(String, WorkloadKind, String), Json>;

/// What was found of a cluster.
struct Found {
    workloads: Workloads,
    budgets: Vec<Json>,
    pods: Vec<Pod>,
}

pub(super) fn look(inventory: &KubernetesInventory) -> Result<Vec<Instance>, MachineError> {
    let unseen =
        |error: ClusterError| MachineError::Failed { message: format!("look at workloads: {error}") };
    let found = wait(find(inventory)).map_err(unseen)?;
    Ok(found.pods.iter().filter_map(|pod| instance(inventory, &found, pod)).collect())
}

async fn find(inventory: &KubernetesInventory) -> Result<Found, ClusterError> {
    let place = Place {
        kubeconfig: inventory.kubeconfig.as_ref().map(PathBuf::from),
        context: inventory.context.clone(),
    };
    let cluster = Cluster::open(&place, PATIENCE).await?;
    let mut workloads = Workloads::new();
    for kind in inventory.kinds.iter().copied().collect::<BTreeSet<_>>() {
        for object in list(&cluster, inventory, &kind_of(kind)).await? {
            let word = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
            workloads.insert((word("namespace"), kind, word("name")), object);
        }
    }
    let budgets = list(&cluster, inventory, &Kind::POD_DISRUPTION_BUDGET).await?;
    let namespaces = if asks_for_all(inventory) { Vec::new() } else { inventory.namespaces.clone() };
    let mut pods = cluster.pods(&PodFilter { namespaces, ..PodFilter::default() }).await?;
    pods.retain(|pod| is_meant(inventory, &pod.namespace) && pod.phase == Phase::Running && !pod.deleted);
    pods.sort_unstable_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    Ok(Found { workloads, budgets, pods })
}

fn kind_of(kind: WorkloadKind) -> Kind {
    match kind {
        WorkloadKind::Deployment => Kind::DEPLOYMENT,
        WorkloadKind::StatefulSet => Kind::STATEFUL_SET,
        WorkloadKind::DaemonSet => Kind::DAEMON_SET,
    }
}

/// Whether every namespace is asked for, and those that are meant are picked out here.
fn asks_for_all(inventory: &KubernetesInventory) -> bool {
    inventory.namespaces.is_empty() || inventory.namespaces.iter().any(|name| name.contains('*'))
}

fn is_meant(inventory: &KubernetesInventory, namespace: &str) -> bool {
    inventory.namespaces.is_empty() || inventory.namespaces.iter().any(|pattern| fits(pattern, namespace))
}

async fn list(
    cluster: &Cluster,
    inventory: &KubernetesInventory,
    kind: &Kind,
) -> Result<Vec<Json>, ClusterError> {
    if asks_for_all(inventory) {
        return cluster.list(kind, None, "").await;
    }
    let mut all = Vec::new();
    for namespace in &inventory.namespaces {
        all.extend(cluster.list(kind, Some(namespace), "").await?);
    }
    Ok(all)
}

/// A pod as an instance of its workload; none where it is of none that is meant.
fn instance(inventory: &KubernetesInventory, found: &Found, pod: &Pod) -> Option<Instance> {
    let (kind, name) = owner(pod)?;
    let workload = found.workloads.get(&(pod.namespace.clone(), kind, name.clone()))?;
    let labels = Labels { workload: &workload["metadata"]["labels"], pod: &pod.labels };
    let label = |name: &str| labels.get(name).map(str::to_owned);
    let (wishes, mistake) = match labels.wishes() {
        Ok(wishes) => (wishes, None),
        Err(why) => (squall_practice::monkey::Wishes::default(), Some(why)),
    };
    let kind_word = match kind {
        WorkloadKind::Deployment => "",
        WorkloadKind::StatefulSet => "statefulset",
        WorkloadKind::DaemonSet => "daemonset",
    };
    Some(Instance {
        id: pod.uid.clone(),
        name: format!("{}/{}", pod.namespace, pod.name),
        account: label("squall.account").or_else(|| inventory.account.clone()),
        region: label("squall.region").or_else(|| inventory.region.clone()),
        app: label("squall.app").unwrap_or(name),
        stack: label("squall.stack").unwrap_or_else(|| pod.namespace.clone()),
        detail: label("squall.detail").unwrap_or_else(|| kind_word.to_owned()),
        opted_in: labels.opted_in(inventory.opt_in.as_deref()),
        healthy: pod.ready,
        target: target(inventory, pod),
        barred: barred(inventory, pod).or(mistake),
        wishes,
        budget: budget(&found.budgets, pod),
    })
}

/// The workload that replaces a pod.
fn owner(pod: &Pod) -> Option<(WorkloadKind, String)> {
    let owner = pod.owner.as_ref()?;
    match owner.kind.as_str() {
        "StatefulSet" => Some((WorkloadKind::StatefulSet, owner.name.clone())),
        "DaemonSet" => Some((WorkloadKind::DaemonSet, owner.name.clone())),
        // Those of a Deployment are called by it and by the generation.
        "ReplicaSet" => {
            let generation = pod.labels.get(GENERATION)?;
            let name = owner.name.strip_suffix(generation.as_str())?.strip_suffix('-')?;
            Some((WorkloadKind::Deployment, name.to_owned()))
        }
        _ => None,
    }
}

fn target(inventory: &KubernetesInventory, pod: &Pod) -> Json {
    let mut target = json!({"names": [format!("{}/{}", pod.namespace, pod.name)]});
    for (name, value) in [("context", &inventory.context), ("kubeconfig", &inventory.kubeconfig)] {
        if let Some(value) = value {
            target[name] = json!(value);
        }
    }
    json!({"pod": target})
}

/// Why a pod is never struck.
fn barred(inventory: &KubernetesInventory, pod: &Pod) -> Option<String> {
    let namespace = pod.namespace.as_str();
    if PROTECTED_NAMESPACES.contains(&namespace) {
        return Some(format!("{namespace} keeps the cluster alive"));
    }
    if pod.labels.contains_key(MARK_LABEL) {
        return Some("it is Squall's own".to_owned());
    }
    let pattern = inventory.spared_namespaces.iter().find(|pattern| fits(pattern, namespace))?;
    Some(format!("`{pattern}` of `spared_namespaces` leaves {namespace} alone"))
}

/// The budget that allows the fewest to go, of those that are about a pod. One that is not understood allows none.
fn budget(budgets: &[Json], pod: &Pod) -> Option<Budget> {
    let in_namespace = |budget: &&Json| budget["metadata"]["namespace"] == pod.namespace.as_str();
    let about = budgets.iter().filter(in_namespace).filter_map(|budget| {
        let allows = match selects(&budget["spec"]["selector"], &pod.labels) {
            Some(false) => return None,
            // Until its controller has counted, nobody knows.
            Some(true) => budget["status"]["disruptionsAllowed"].as_u64().unwrap_or(0),
            None => 0,
        };
        let name = budget["metadata"]["name"].as_str().unwrap_or_default();
        let name = format!("PodDisruptionBudget {}/{name}", pod.namespace);
        Some(Budget { name, allows: usize::try_from(allows).unwrap_or(usize::MAX) })
    });
    about.min_by_key(|budget| budget.allows)
}
