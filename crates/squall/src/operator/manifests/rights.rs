//! Who may do what in the cluster: the operator, and those who use it.

use super::{ACCOUNT, Fill, OPERATOR};
use crate::operator::admission::{CONFIGURATION, NAME as WEBHOOK};
use crate::operator::kinds::MESH_GROUP;
use crate::operator::resources::GROUP;
use serde_json::{Value as Json, json};
use squall_kubernetes::Kind;

/// To look after experiments, schedules and runs.
const OBJECTS: &str = "squall-operator-objects";
const STRIKES: &str = "squall-operator-strikes";
/// What pods for questions take. It is bound by whoever wants them, in a namespace.
pub(crate) const QUESTIONS: &str = "squall-operator-questions";
const NODES: &str = "squall-operator-nodes";
const ON_CHAOS_MESH: &str = "squall-operator-chaos-mesh";
const USERS: &str = "users";
/// To see halts.
const HALTED: &str = "squall-halts";
const RBAC: &str = "rbac.authorization.k8s.io";

const READS: [&str; 2] = ["get", "list"];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Json {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// On one object alone.
fn rule_on(group: &str, resource: &str, name: &str, verbs: &[&str]) -> Json {
    with(rule(group, &[resource], verbs), "resourceNames", json!([name]))
}

/// What the operator is allowed always: to look after its own kinds, to look, to ask who may do what; and in its own namespace
/// what its lease and its agents need.
pub(super) fn of_the_operator(fill: &Fill) -> Vec<Json> {
    let objects = vec![
        rule(GROUP, &["experiments", "schedules"], &["get", "list", "watch", "patch"]),
        rule(GROUP, &["runs"], &["get", "list", "watch", "create", "patch", "delete"]),
        rule(GROUP, &["experiments/status", "schedules/status", "runs/status"], &["patch"]),
        rule("", &["events"], &["create"]),
    ];
    let whole = vec![
        rule(GROUP, &["halts"], &["get", "list", "watch", "patch"]),
        rule(GROUP, &["halts/status"], &["patch"]),
        rule("", &["pods", "nodes", "namespaces", "services"], &READS),
        rule("apps", &["deployments", "statefulsets", "daemonsets", "replicasets"], &READS),
        rule("batch", &["jobs"], &READS),
        rule("networking.k8s.io", &["networkpolicies"], &READS),
        rule("networking.istio.io", &["virtualservices"], &READS),
        rule("metrics.k8s.io", &["pods", "nodes"], &READS),
        rule("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
    ];
    let here = vec![
        rule("coordination.k8s.io", &["leases"], &["get", "list", "create", "patch", "delete"]),
        rule("", &["pods"], &["create", "delete"]),
        // Which of the two verbs it is depends on the version of the cluster.
        rule("", &["pods/exec"], &["get", "create"]),
        // To retire.
        rule_on("apps", "deployments", ACCOUNT, &["get", "patch"]),
    ];
    vec![
        fill.object_here(&Kind::SERVICE_ACCOUNT, ACCOUNT, OPERATOR),
        role(fill, ACCOUNT, whole),
        binding(fill, ACCOUNT),
        role(fill, OBJECTS, objects),
        binding(fill, OBJECTS),
        // What changes objects; it is bound everywhere or in some namespaces.
        role(fill, STRIKES, strikes()),
        role(fill, QUESTIONS, questions()),
        with(fill.object_here(&Kind::ROLE, ACCOUNT, OPERATOR), "rules", json!(here)),
        bound(fill, fill.object_here(&Kind::ROLE_BINDING, ACCOUNT, OPERATOR), "Role", ACCOUNT),
    ]
}

/// The same object, where the operator looks after the objects of one namespace.
pub(super) fn looking_after(mut object: Json, namespace: &str) -> Json {
    let role = object["roleRef"]["name"].as_str();
    if role.is_some_and(|role| [OBJECTS, ON_CHAOS_MESH].contains(&role)) {
        object["kind"] = json!(Kind::ROLE_BINDING.kind);
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

/// What faults on objects do.
fn strikes() -> Vec<Json> {
    vec![
        rule("", &["pods"], &["patch", "delete"]),
        rule("", &["pods/eviction"], &["create"]),
        rule("apps", &["deployments", "statefulsets", "replicasets"], &["patch"]),
        rule("networking.k8s.io", &["networkpolicies"], &["create", "patch", "delete"]),
        rule("networking.istio.io", &["virtualservices"], &["create", "patch", "delete"]),
    ]
}

/// What a pod takes that answers a question, and what it belongs to.
fn questions() -> Vec<Json> {
    vec![
        rule("", &["pods"], &["get", "list", "create", "delete"]),
        rule("", &["pods/log"], &["get"]),
        rule("coordination.k8s.io", &["leases"], &["get", "list", "create", "patch", "delete"]),
    ]
}

/// In all namespaces, and on nodes.
pub(super) fn strikes_everywhere(fill: &Fill) -> Vec<Json> {
    vec![
        binding(fill, STRIKES),
        role(fill, NODES, vec![rule("", &["nodes"], &["patch"])]),
        binding(fill, NODES),
    ]
}

/// In one namespace.
pub(super) fn strikes_in(fill: &Fill, namespace: Json) -> Json {
    let mut object = fill.object(&Kind::ROLE_BINDING, STRIKES, OPERATOR);
    object["metadata"]["namespace"] = namespace;
    bound(fill, object, "ClusterRole", STRIKES)
}

/// What the webhook needs: the Secret of its authority, and to tell the API server of it.
pub(super) fn of_the_webhook(fill: &Fill) -> Vec<Json> {
    let here = vec![rule_on("", "secrets", WEBHOOK, &["get", "patch"]), rule("", &["secrets"], &["create"])];
    let configurations = "mutatingwebhookconfigurations";
    let asked =
        rule_on("admissionregistration.k8s.io", configurations, CONFIGURATION, &["get", "patch", "delete"]);
    vec![
        role(fill, WEBHOOK, vec![asked]),
        binding(fill, WEBHOOK),
        with(fill.object_here(&Kind::ROLE, WEBHOOK, OPERATOR), "rules", json!(here)),
        bound(fill, fill.object_here(&Kind::ROLE_BINDING, WEBHOOK, OPERATOR), "Role", WEBHOOK),
    ]
}

/// To look after the kinds of Chaos Mesh.
pub(super) fn on_chaos_mesh(fill: &Fill) -> Vec<Json> {
    let rules = vec![rule(MESH_GROUP, &["*"], &["get", "list", "watch", "patch"])];
    vec![role(fill, ON_CHAOS_MESH, rules), binding(fill, ON_CHAOS_MESH)]
}

/// Those who may edit or view a namespace may do so with experiments there. A halt is the whole cluster's, and everybody sees it:
/// it ends what they run from wherever they are.
pub(super) fn of_users(fill: &Fill) -> Vec<Json> {
    let kinds = ["experiments", "schedules", "runs"];
    let edit = vec![rule(GROUP, &kinds, &EDITS)];
    let all = ["experiments", "schedules", "runs", "halts"];
    let view = vec![rule(GROUP, &all, &["get", "list", "watch"])];
    let halt = vec![rule(GROUP, &["halts"], &EDITS)];
    let everybody = json!({"kind": "Group", "apiGroup": RBAC, "name": "system:authenticated"});
    vec![
        aggregated(fill, "squall-edit", &["admin", "edit"], edit),
        aggregated(fill, "squall-view", &["admin", "edit", "view"], view),
        aggregated(fill, "squall-halt", &[], halt),
        aggregated(fill, HALTED, &[], vec![rule(GROUP, &["halts"], &READS)]),
        bound_to(&everybody, fill.object(&Kind::CLUSTER_ROLE_BINDING, HALTED, USERS), "ClusterRole", HALTED),
    ]
}

/// The same for the kinds of Chaos Mesh.
pub(super) fn of_users_of_chaos_mesh(fill: &Fill) -> Vec<Json> {
    let edit = vec![rule(MESH_GROUP, &["*"], &EDITS)];
    let view = vec![rule(MESH_GROUP, &["*"], &["get", "list", "watch"])];
    vec![
        aggregated(fill, "squall-chaos-mesh-edit", &["admin", "edit"], edit),
        aggregated(fill, "squall-chaos-mesh-view", &["admin", "edit", "view"], view),
    ]
}

const EDITS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// A role that belongs to those that every cluster has.
fn aggregated(fill: &Fill, name: &str, to: &[&str], rules: Vec<Json>) -> Json {
    let mut object = fill.object(&Kind::CLUSTER_ROLE, name, USERS);
    for role in to {
        object["metadata"]["labels"][format!("{RBAC}/aggregate-to-{role}")] = "true".into();
    }
    with(object, "rules", json!(rules))
}

fn role(fill: &Fill, name: &str, rules: Vec<Json>) -> Json {
    with(fill.object(&Kind::CLUSTER_ROLE, name, OPERATOR), "rules", json!(rules))
}

/// The operator has a role of the same name in the whole cluster.
fn binding(fill: &Fill, name: &str) -> Json {
    bound(fill, fill.object(&Kind::CLUSTER_ROLE_BINDING, name, OPERATOR), "ClusterRole", name)
}

fn bound(fill: &Fill, object: Json, kind: &str, role: &str) -> Json {
    let account = json!({"kind": "ServiceAccount", "name": ACCOUNT, "namespace": fill.namespace});
    bound_to(&account, object, kind, role)
}

fn bound_to(subject: &Json, object: Json, kind: &str, role: &str) -> Json {
    let object = with(object, "roleRef", json!({"apiGroup": RBAC, "kind": kind, "name": role}));
    with(object, "subjects", json!([subject]))
}

fn with(mut object: Json, field: &str, value: Json) -> Json {
    object[field] = value;
    object
}
