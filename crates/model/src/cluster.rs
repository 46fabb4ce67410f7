//! What experiments name in a Kubernetes cluster, what those things turn out to be, and what is done to them.
//!
//! A cluster is known by the number of its namespace `kube-system`, which no other cluster has: whatever a kubeconfig says
//! tomorrow, an undo cannot hit another cluster. An object is known by its number (`uid`), so that one which was made anew
//! under the same name is another one.

use crate::machine::Hold;
use crate::target::{Mode, Selection, Target};
use crate::units::Duration;
use schemars::JsonSchema;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// The label by which everything that Squall makes in a cluster is found again; its value is the injection or the run.
pub const MARK_LABEL: &str = "squall.dev/mark";

/// The label by which a network policy of ours knows the pods that it is about; its value is the injection.
pub const ISOLATION_LABEL: &str = "squall.dev/isolated";

/// The label of objects that were changed and carry the undo of that: it goes with the last of these. Its value is "yes".
pub const STRUCK_LABEL: &str = "squall.dev/struck";

/// What the names of the annotations (or labels) begin with that hold such an undo; the injection follows.
pub const UNDO_PREFIX: &str = "squall.dev/undo.";

/// An image that no runtime takes, since names of images have no capital letters; the injection follows as its tag.
pub const NO_IMAGE: &str = "Squall/pod-failure";

/// What the name of the lease begins with that the pods of a run's agents belong to; the run follows.
pub const LEASE_PREFIX: &str = "squall-";

/// Namespaces that keep the cluster itself alive: spared unless a pod in them is named one by one.
pub const PROTECTED_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Stands for every namespace.
pub const EVERY_NAMESPACE: &str = "*";

/// Which cluster, and by whose settings. Credentials are never part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct ClusterPlace {
    /// The kubeconfig, by its path; none for the usual one (`KUBECONFIG`, `~/.kube/config`, the pod's own account).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
    /// The context in it; none for its current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// A cluster that cannot be mistaken for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterRef {
    /// The way to it.
    pub place: ClusterPlace,
    /// Where its API server answers, for people.
    pub server: String,
    /// The number of its namespace `kube-system`.
    pub uid: String,
}

impl ClusterRef {
    /// The options of `kubectl` that mean this cluster.
    pub fn options(&self) -> String {
        let option =
            |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(" --{name} {value}"));
        let ClusterPlace { kubeconfig, context } = &self.place;
        let options = [option("kubeconfig", kubeconfig), option("context", context)];
        options.into_iter().flatten().collect()
    }
}

/// One name or several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names(pub Vec<String>);

impl Names {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(" or "))
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Names;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a name or a list of names")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Names, E> {
        Ok(Names(vec![text.to_owned()]))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = sequence.next_element()? {
            names.push(name);
        }
        Ok(Names(names))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

impl JsonSchema for Names {
    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "array"], "minLength": 1, "minItems": 1, "items": { "type": "string", "minLength": 1 }
        })
    }
}

/// A condition on a label, as in `matchExpressions` of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// The label's name.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what; nothing for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// Its value is one of these.
    In,
    /// It has none of these values, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operator, values } = self;
        match operator {
            Operator::In => write!(formatter, "{key} in ({})", values.join(",")),
            Operator::NotIn => write!(formatter, "{key} notin ({})", values.join(",")),
            Operator::Exists => formatter.write_str(key),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
        }
    }
}

/// Labels and expressions as the text that an API server takes: `app=shop,tier in (web,api)`.
pub fn label_selector(labels: &BTreeMap<String, String>, expressions: &[Expression]) -> String {
    let equal = labels.iter().map(|(name, value)| format!("{name}={value}"));
    equal.chain(expressions.iter().map(ToString::to_string)).collect::<Vec<_>>().join(",")
}

/// Which pods. All that is given must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PodSelector {
    /// Their namespace, or several; `*` for every one. Without it that of the kubeconfig's context.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub namespace: Names,
    /// Labels with their values: `{app: payment}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Conditions on labels: `[{key: tier, operator: In, values: [web, api]}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expressions: Vec<Expression>,
    /// Annotations with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields that the API server can select by, such as `{spec.serviceAccountName: shop}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Only on these nodes, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Only on nodes with these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_labels: BTreeMap<String, String>,
    /// Only in these phases: Pending, Running, Succeeded, Failed, Unknown. Without it: running ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<String>,
    /// Pods by name, or by `NAMESPACE/NAME`. Who is named so is struck even in a protected namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Containers within the pods, by name, for faults that act on containers. Without it: the first of each pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<String>,
    /// The context of the kubeconfig; without it its current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The kubeconfig, by its path; without it `KUBECONFIG`, `~/.kube/config`, or the account of the pod that Squall runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
    /// Those that were chosen, on one node: what is told to the agent there. Experiments do not name it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    pub placed: Vec<PlacedPod>,
}

/// A pod on the node that it runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: String,
    /// The containers that are struck, by name and number.
    pub containers: Vec<PlacedContainer>,
}

impl PlacedPod {
    /// What a container of it is called where it is struck.
    pub fn name_of(&self, container: &PlacedContainer) -> String {
        format!("container {} of pod {}/{}", container.name, self.namespace, self.name)
    }
}

/// A container on its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedContainer {
    /// Its name in the pod.
    pub name: String,
    /// Its number, as the runtime gives it: 64 hexadecimal digits.
    pub id: String,
}

impl PodSelector {
    /// Whether nothing was said, which would match every pod of a namespace that nobody named.
    pub fn is_empty(&self) -> bool {
        let bare = Self {
            context: self.context.clone(),
            kubeconfig: self.kubeconfig.clone(),
            containers: self.containers.clone(),
            ..Self::default()
        };
        *self == bare
    }

    /// Where they are.
    pub fn place(&self) -> ClusterPlace {
        ClusterPlace { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }
}

fn pairs(word: &str, pairs: &BTreeMap<String, String>) -> Option<String> {
    let written: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (!written.is_empty()).then(|| format!("{word} {}", written.join(",")))
}

impl fmt::Display for PodSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |word: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{word} {}", names.join(" or ")))
        };
        let labels = label_selector(&self.labels, &self.expressions);
        let parts = [
            list("namespace", &self.namespace.0),
            list("name", &self.names),
            (!labels.is_empty()).then(|| format!("labels {labels}")),
            pairs("annotations", &self.annotations),
            pairs("fields", &self.fields),
            list("node", &self.nodes),
            pairs("node labels", &self.node_labels),
            list("phase", &self.phases),
            list("container", &self.containers),
            self.context.as_ref().map(|context| format!("context {context}")),
        ];
        formatter.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Which nodes. All that is given must match; at least one of `name` and `labels` must be given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSelector {
    /// A node by its name, or several.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub name: Names,
    /// Labels with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The context of the kubeconfig; without it its current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The kubeconfig, by its path; without it the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
}

impl NodeSelector {
    /// Where they are.
    pub fn place(&self) -> ClusterPlace {
        ClusterPlace { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }
}

impl fmt::Display for NodeSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = (!self.name.is_empty()).then(|| self.name.to_string());
        let parts = [names, pairs("labels", &self.labels)];
        formatter.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Which objects of one kind in a namespace. At least one of `name` and `labels` must be given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectSelector {
    /// For workloads: Deployment (where not given), StatefulSet or ReplicaSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Their namespace; without it that of the kubeconfig's context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// An object by its name, or several.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub name: Names,
    /// Labels with their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The context of the kubeconfig; without it its current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The kubeconfig, by its path; without it the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
    /// For a virtual service that is named: what it is made of for the time of the fault, where there is none of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make: Option<Made>,
}

/// What an object is made of that is there only while a fault is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its specification, as the API takes it.
    pub spec: BTreeMap<String, Json>,
}

impl ObjectSelector {
    /// Where they are.
    pub fn place(&self) -> ClusterPlace {
        ClusterPlace { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }
}

impl fmt::Display for ObjectSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = (!self.name.is_empty()).then(|| self.name.to_string());
        let namespace = self.namespace.as_ref().map(|namespace| format!("namespace {namespace}"));
        let parts = [self.kind.clone(), names, namespace, pairs("labels", &self.labels)];
        formatter.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Pods with the choice among them, where a fault's parameter names them: `destination: [{pod: {…}, mode: one}]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerPods {
    /// Which.
    pub pod: PodSelector,
    /// How many of those that match; all where not given.
    #[serde(default)]
    pub mode: Mode,
    /// The number or share that `mode` asks for.
    #[serde(default)]
    pub value: Option<f64>,
    /// Whether `fixed-percent` rounds up.
    #[serde(default)]
    pub round: crate::target::Round,
}

impl From<PeerPods> for Selection {
    fn from(peers: PeerPods) -> Self {
        let PeerPods { pod, mode, value, round } = peers;
        Self { target: Target::Pod(Box::new(pod)), mode, value, round, optional: false, follow: false }
    }
}

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKind {
    /// Group of the API; empty for the core.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Version of the API.
    pub version: String,
    /// Its name: `Pod`.
    pub kind: String,
    /// Its name in paths: `pods`.
    pub plural: String,
}

impl ObjectKind {
    /// A kind by its words.
    pub fn new(group: &str, version: &str, kind: &str, plural: &str) -> Self {
        Self { group: group.into(), version: version.into(), kind: kind.into(), plural: plural.into() }
    }

    /// Pods.
    pub fn pod() -> Self {
        Self::new("", "v1", "Pod", "pods")
    }

    /// Leases.
    pub fn lease() -> Self {
        Self::new("coordination.k8s.io", "v1", "Lease", "leases")
    }

    /// Network policies.
    pub fn network_policy() -> Self {
        Self::new("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")
    }

    /// `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// What `kubectl` calls it.
    fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// An object that cannot be mistaken for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The cluster that it is in.
    pub cluster: ClusterRef,
    /// What it is.
    pub kind: ObjectKind,
    /// Its namespace; none for what is in none, such as nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its number; empty for one that is still to be made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind.kind.as_str() {
            "Pod" => "pod",
            "Node" => "node",
            other => other,
        };
        match &self.namespace {
            Some(namespace) => write!(formatter, "{kind} {namespace}/{}", self.name),
            None => write!(formatter, "{kind} {}", self.name),
        }
    }
}

impl ObjectRef {
    /// A command of `kubectl` about it: `kubectl VERB RESOURCE NAME`.
    pub fn by_hand(&self, verb: &str, rest: &str) -> String {
        let namespace =
            self.namespace.as_ref().map(|name| format!(" --namespace {name}")).unwrap_or_default();
        let options = self.cluster.options();
        format!("kubectl{options}{namespace} {verb} {} {}{rest}", self.kind.resource(), self.name)
    }
}

/// A container as its pod's status shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodContainer {
    /// Its name.
    pub name: String,
    /// The image that the pod names for it.
    pub image: String,
    /// Its number; none where it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether the experiment means it.
    pub chosen: bool,
}

/// A pod as its cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodFacts {
    /// Which.
    pub object: ObjectRef,
    /// The node that it runs on; empty where it runs on none yet.
    #[serde(default)]
    pub node: String,
    /// Its containers, in their order, without those that run before the others.
    pub containers: Vec<PodContainer>,
    /// What keeps up its number, in words: `ReplicaSet payment-5d9`; none for one that nobody makes anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// Its addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Whether it uses the network of its node.
    #[serde(default)]
    pub host_network: bool,
    /// Whether it is ready to serve.
    #[serde(default)]
    pub ready: bool,
    /// Whether a fault has changed it that is not put back yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub struck: bool,
    /// Which of its containers that end are started again.
    #[serde(default)]
    pub restarts: Restarts,
    /// How long its containers may take to end when they are told to: its `terminationGracePeriodSeconds`.
    #[serde(default)]
    pub grace: Duration,
    /// Why it is protected, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<String>,
}

/// What is done about containers of a pod that have ended: its `restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Restarts {
    /// All are started again.
    #[default]
    Always,
    /// Those that failed are.
    OnFailure,
    /// None is.
    Never,
}

impl PodFacts {
    /// The pod as the agent on its node knows it.
    pub fn placed(&self) -> PlacedPod {
        let chosen = self.containers.iter().filter(|container| container.chosen);
        let containers = chosen.filter_map(|container| {
            Some(PlacedContainer { name: container.name.clone(), id: container.id.clone()? })
        });
        PlacedPod {
            namespace: self.object.namespace.clone().unwrap_or_default(),
            name: self.object.name.clone(),
            uid: self.object.uid.clone(),
            containers: containers.collect(),
        }
    }
}

/// A node as its cluster describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Which.
    pub object: ObjectRef,
    /// Whether no new pods are put there; none where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unschedulable: Option<bool>,
    /// Its taints, as they stand there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Json>,
    /// The pods on it that can be moved, which those of DaemonSets and static ones cannot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodFacts>,
    /// How many nodes could take them, without this one.
    pub others: u64,
    /// Whether a fault has changed it that is not put back yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub struck: bool,
    /// Why it is protected, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<String>,
}

/// Any other object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectFacts {
    /// Which.
    pub object: ObjectRef,
    /// What it says, without what the server keeps for itself (`managedFields`).
    pub content: Json,
    /// Why it is protected, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<String>,
}

/// A field of an object, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The names that lead to it, from the outside in; a number for the place in a list.
    pub path: Vec<String>,
    /// What becomes of it.
    #[serde(flatten)]
    pub change: FieldChange,
}

/// What becomes of a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "field", rename_all = "snake_case")]
pub enum FieldChange {
    /// It gets a value.
    Put {
        /// The value.
        value: Json,
        /// What it was; none where it was not there.
        before: Option<Json>,
        /// How many of the maps that lead to it were not there either.
        #[serde(default)]
        made: usize,
    },
    /// Its list gets another element.
    Append {
        /// The element.
        element: Json,
    },
}

impl Field {
    /// A field that gets a value.
    pub fn put(path: &[&str], value: impl Into<Json>, before: Option<Json>) -> Self {
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        Self { path, change: FieldChange::Put { value: value.into(), before, made: 0 } }
    }

    /// A list that gets another element.
    pub fn append(path: &[&str], element: impl Into<Json>) -> Self {
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        Self { path, change: FieldChange::Append { element: element.into() } }
    }

    /// Its path as people write it: `spec.replicas`.
    pub fn name(&self) -> String {
        self.path.join(".")
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            FieldChange::Put { value, .. } => write!(formatter, "{} = {value}", self.name()),
            FieldChange::Append { element } => write!(formatter, "{} with {element} added", self.name()),
        }
    }
}

/// What is done to an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ObjectChange {
    /// It is deleted, for good.
    Delete {
        /// How long it may take to end by itself; none for as long as it says itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace: Option<Duration>,
    },
    /// A pod is asked to go elsewhere, as far as its disruption budgets allow.
    Evict {
        /// How long it may take to end by itself; none for as long as it says itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace: Option<Duration>,
    },
    /// Fields of it change.
    Fields {
        /// Which, and how.
        fields: Vec<Field>,
    },
    /// It is made.
    Create {
        /// The whole of it, but for its mark.
        body: Json,
    },
}

/// By what the effect of a change is known, beside the change itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shows {
    /// By nothing else.
    #[default]
    Itself,
    /// Containers of the pod that do not run any more.
    Down,
    /// As many replicas as it says.
    Replicas,
}

/// Something done to an object of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectStep {
    /// Which.
    pub object: ObjectRef,
    /// What.
    #[serde(flatten)]
    pub change: ObjectChange,
    /// By what its effect is known.
    #[serde(default)]
    pub shows: Shows,
    /// The mark of the injection.
    pub mark: String,
    /// For which run and until when it is held, which the object is to say of itself; known once it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
}

impl ObjectStep {
    /// The command that puts it back, as far as it is known before.
    pub fn by_hand(&self) -> Option<String> {
        match &self.change {
            ObjectChange::Delete { .. } | ObjectChange::Evict { .. } => None,
            ObjectChange::Create { .. } => Some(self.object.by_hand("delete", "")),
            ObjectChange::Fields { fields } => Some(put_back_by_hand(&self.object, fields)),
        }
    }

    /// What it holds: nobody else may change the same fields of the same object, or delete it twice.
    pub fn claims(&self) -> String {
        let object = format!("{} ({})", self.object, self.object.uid);
        match &self.change {
            ObjectChange::Delete { .. } | ObjectChange::Evict { .. } => format!("the life of {object}"),
            ObjectChange::Create { .. } => format!("the name of {}", self.object),
            ObjectChange::Fields { fields } => {
                let names: Vec<String> = fields.iter().map(Field::name).collect();
                format!("{} of {object}", names.join(" and "))
            }
        }
    }
}

/// The command that gives fields their values back.
pub fn put_back_by_hand(object: &ObjectRef, fields: &[Field]) -> String {
    let operations: Vec<Json> = fields
        .iter()
        .filter_map(|field| match &field.change {
            FieldChange::Put { before: Some(before), .. } => {
                Some(serde_json::json!({"op": "replace", "path": pointer(&field.path), "value": before}))
            }
            FieldChange::Put { before: None, .. } => {
                Some(serde_json::json!({"op": "remove", "path": pointer(&field.path)}))
            }
            // Where in the list it stands is not known.
            FieldChange::Append { .. } => None,
        })
        .collect();
    if operations.is_empty() {
        return object.by_hand("edit", "");
    }
    object.by_hand("patch", &format!(" --type json --patch '{}'", Json::from(operations)))
}

/// A path as a JSON pointer (RFC 6901).
pub fn pointer(path: &[String]) -> String {
    let escaped = |name: &String| name.replace('~', "~0").replace('/', "~1");
    path.iter().flat_map(|name| ["/".to_owned(), escaped(name)]).collect()
}

impl fmt::Display for ObjectStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = &self.object;
        let within = |grace: &Option<Duration>| match grace {
            Some(grace) if *grace == Duration::default() => ", at once".to_owned(),
            Some(grace) => format!(", within {grace}"),
            None => String::new(),
        };
        match &self.change {
            ObjectChange::Delete { grace } => write!(formatter, "delete {object}{}", within(grace)),
            ObjectChange::Evict { grace } => write!(formatter, "evict {object}{}", within(grace)),
            ObjectChange::Create { .. } => write!(formatter, "make {object}"),
            ObjectChange::Fields { fields } => {
                let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
                write!(formatter, "change {object}: {}", fields.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_expressions_are_written_as_the_api_server_takes_them() {
        let labels = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
        let expression = |operator, values: &[&str]| Expression {
            key: "tier".into(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let all = [
            expression(Operator::In, &["web", "api"]),
            expression(Operator::NotIn, &["db"]),
            expression(Operator::Exists, &[]),
            expression(Operator::DoesNotExist, &[]),
        ];
        let text = label_selector(&labels, &all);
        assert_eq!(text, "app=shop,tier in (web,api),tier notin (db),tier,!tier");
    }

    #[test]
    fn a_selector_without_anything_but_a_context_is_empty() {
        let read = |text: &str| serde_json::from_str::<PodSelector>(text).unwrap();
        assert!(read("{}").is_empty() && read(r#"{"context": "test", "containers": ["web"]}"#).is_empty());
        assert!(!read(r#"{"namespace": "shop"}"#).is_empty());
        let many = read(r#"{"namespace": ["a", "b"], "labels": {"app": "x"}, "names": ["p"]}"#);
        assert_eq!(many.to_string(), "namespace a or b, name p, labels app=x");
        assert_eq!(serde_json::to_value(read(r#"{"namespace": "a"}"#)).unwrap()["namespace"], "a");
    }

    #[test]
    fn what_is_put_back_by_hand_is_a_patch() {
        let cluster =
            ClusterRef { place: ClusterPlace::default(), server: "https://c".into(), uid: "u".into() };
        let kind = ObjectKind::new("apps", "v1", "Deployment", "deployments");
        let object =
            ObjectRef { cluster, kind, namespace: Some("shop".into()), name: "web".into(), uid: "1".into() };
        let fields = [
            Field::put(&["spec", "replicas"], 0, Some(3.into())),
            Field::put(&["metadata", "labels", "squall.dev/mark"], "x", None),
        ];
        assert_eq!(
            put_back_by_hand(&object, &fields),
            "kubectl --namespace shop patch deployments.apps web --type json --patch \
             '[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":3},\
             {\"op\":\"remove\",\"path\":\"/metadata/labels/squall.dev~1mark\"}]'"
        );
    }
}
