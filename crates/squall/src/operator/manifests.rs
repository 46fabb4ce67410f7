//! What the operator needs in a cluster, as plain manifests and as a chart for Helm: both are made here, of the same parts.

mod chart;
pub(super) mod rights;
mod yaml;

use super::admission::{self, PORT_NAME};
use super::crds;
use super::desk::STOPS_WITHIN;
use crate::agent_pod::{self, COMPONENT_LABEL, NAME_LABEL, STAYS, VERSION, VERSION_LABEL};
use crate::exit::{Failure, Outcome};
use crate::out;
use clap::Args;
use serde_json::{Value as Json, json};
use squall_kubernetes::Kind;
use std::process::ExitCode;

pub(crate) use chart::Options as Chart;

/// Whose numbers nobody has on a node.
const NOBODY: u32 = 65_532;
/// Where the webhook listens, if it is wanted.
const WEBHOOK: &str = "0.0.0.0:9443";
const WEBHOOK_PORT: u16 = 9443;
/// Where the operator keeps journals and undo logs. The folder in it is made by the operator, for itself alone.
const STATE_VOLUME: &str = "/state";
const STATE: &str = "/state/squall";
/// The part that carries experiments out.
pub(super) const OPERATOR: &str = "operator";
/// The part that ends what the operator does, when it is taken away.
const RETIRE: &str = "retire";
/// Of what is named alike in a whole cluster.
const AGENT: &str = "squall-agent";
pub(super) const ACCOUNT: &str = "squall-operator";

/// `squall operator manifests`
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Looks after the kinds of Chaos Mesh too; not beside Chaos Mesh itself
    #[arg(long)]
    chaos_mesh: bool,
    /// Where the operator and its agents live
    #[arg(long, default_value = "squall-system", value_name = "NAMESPACE")]
    namespace: String,
    /// The image with Squall
    #[arg(long, default_value = concat!("squall:", env!("CARGO_PKG_VERSION")), env = "SQUALL_AGENT_IMAGE", value_name = "IMAGE")]
    image: String,
    /// Installs no agents that stay on nodes: each run makes its own
    #[arg(long)]
    no_agents: bool,
    /// For clusters before 1.30, which do not know the field `appArmorProfile` and take no object that has it
    #[arg(long = "before-1.30")]
    before_1_30: bool,
    /// Installs nothing that records who wrote an object, so that the operator carries out whatever is written, whoever wrote it
    #[arg(long)]
    no_webhook: bool,
    /// Lets the operator change and delete objects in this namespace alone (repeatable), and no nodes
    #[arg(long, value_name = "NAMESPACE")]
    strike_in: Vec<String>,
    /// Has the operator look after the objects of this namespace alone, and may it no more
    #[arg(long, value_name = "NAMESPACE")]
    only: Option<String>,
    /// As one list in JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let Self { chaos_mesh, namespace, image, no_agents, before_1_30, no_webhook, strike_in, only, json } =
            self;
        if let Some(name) = strike_in.iter().chain([&namespace]).chain(&only).find(|name| !is_label(name)) {
            return Err(Failure::invalid(format!(
                "{name:?} is no name of a namespace: it has up to 63 small letters, digits and \"-\""
            )));
        }
        let (agents, webhook) = (!no_agents, !no_webhook);
        let wanted = Wanted { chaos_mesh, namespace, image, agents, before_1_30, webhook, strike_in, only };
        if json {
            out::say_json(&json!({"apiVersion": "v1", "kind": "List", "items": objects(&wanted)}));
        } else {
            out::write(&print(&wanted));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether a text can be the name of a namespace (RFC 1123).
fn is_label(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(is_letter)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// What is to be installed.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The kinds of Chaos Mesh too.
    pub(crate) chaos_mesh: bool,
    /// Where operator and agents live.
    pub(crate) namespace: String,
    /// The image with Squall.
    pub(crate) image: String,
    /// Agents that stay on nodes.
    pub(crate) agents: bool,
    /// For a cluster before 1.30.
    pub(crate) before_1_30: bool,
    /// The webhook that records authors.
    pub(crate) webhook: bool,
    /// The namespaces in which objects may be struck; empty where all.
    pub(crate) strike_in: Vec<String>,
    /// The namespace whose objects are looked after; none where all are.
    pub(crate) only: Option<String>,
}

/// Plain manifests: YAML of several documents.
pub(crate) fn print(wanted: &Wanted) -> String {
    let documents = objects(wanted).iter().map(yaml::document).collect::<Vec<_>>();
    documents.join("---\n")
}

/// The same, as objects, in the order in which they are made.
pub(crate) fn objects(wanted: &Wanted) -> Vec<Json> {
    let fill = Fill::of(wanted);
    let is_wanted = |part: &Part| match part.when {
        When::Always | When::Kinds => true,
        When::ChaosMesh | When::KindsOfChaosMesh => wanted.chaos_mesh,
        When::Agents => wanted.agents,
        When::NewAgents => wanted.agents && !wanted.before_1_30,
        When::OldAgents => wanted.agents && wanted.before_1_30,
        When::Webhook => wanted.webhook && !wanted.chaos_mesh,
        When::WebhookForChaosMesh => wanted.webhook && wanted.chaos_mesh,
        When::Everywhere => wanted.strike_in.is_empty(),
        When::InEach | When::Hook => false,
    };
    let within = wanted.strike_in.iter().map(|namespace| rights::strikes_in(&fill, json!(namespace)));
    let parts = parts(&fill).into_iter().filter(is_wanted).flat_map(|part| part.objects);
    let all = [namespace(&wanted.namespace)].into_iter().chain(parts).chain(within);
    match &wanted.only {
        Some(only) => all.map(|object| rights::looking_after(object, only)).collect(),
        None => all.collect(),
    }
}

/// What differs between manifests and charts.
struct Fill {
    namespace: Json,
    image: Json,
    pull_policy: Json,
    pull_secrets: Json,
    replicas: Json,
    operator_words: Json,
    operator_ports: Json,
    /// When it may be sent requests; null where it listens on nothing.
    operator_ready: Json,
    operator_resources: Json,
    agent_resources: Json,
    /// Labels of all objects, beside those by which they are known.
    labels: Vec<(&'static str, Json)>,
}

impl Fill {
    fn of(wanted: &Wanted) -> Self {
        let mut words = vec!["operator"];
        if wanted.chaos_mesh {
            words.push("--chaos-mesh");
        }
        if let Some(only) = &wanted.only {
            words.extend(["--only", only]);
        }
        let (mut ports, mut ready) = (Vec::new(), Json::Null);
        if wanted.webhook {
            words.extend(["--webhook", WEBHOOK, "--author", "required"]);
            ports.push(json!({"name": PORT_NAME, "containerPort": WEBHOOK_PORT, "protocol": "TCP"}));
            ready = json!({"tcpSocket": {"port": PORT_NAME}, "periodSeconds": 2});
        }
        Self {
            namespace: json!(wanted.namespace),
            image: json!(wanted.image),
            pull_policy: json!("IfNotPresent"),
            pull_secrets: json!([]),
            replicas: json!(2),
            operator_words: json!(words),
            operator_ports: json!(ports),
            operator_ready: ready,
            operator_resources: operator_resources(),
            agent_resources: agent_resources(),
            labels: Vec::new(),
        }
    }

    fn labels(&self, component: &str) -> Json {
        let mut labels =
            json!({NAME_LABEL.0: NAME_LABEL.1, COMPONENT_LABEL: component, VERSION_LABEL: VERSION});
        for (name, value) in &self.labels {
            labels[*name] = value.clone();
        }
        labels
    }

    /// An object of the whole cluster.
    fn object(&self, kind: &Kind, name: &str, component: &str) -> Json {
        json!({
            "apiVersion": kind.api_version(),
            "kind": kind.kind,
            "metadata": {"name": name, "labels": self.labels(component)},
        })
    }

    /// An object in the operator's namespace.
    fn object_here(&self, kind: &Kind, name: &str, component: &str) -> Json {
        let mut object = self.object(kind, name, component);
        object["metadata"]["namespace"] = self.namespace.clone();
        object
    }
}

fn operator_resources() -> Json {
    json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}})
}

/// An agent that waits needs next to nothing; those that work are no part of its pod.
fn agent_resources() -> Json {
    json!({"requests": {"cpu": "1m", "memory": "16Mi"}})
}

/// Under which condition a part is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Kinds,
    KindsOfChaosMesh,
    ChaosMesh,
    Agents,
    /// Since Kubernetes 1.30.
    NewAgents,
    /// Before that.
    OldAgents,
    Webhook,
    WebhookForChaosMesh,
    /// Objects may be struck in all namespaces.
    Everywhere,
    /// Once for each namespace in which they may.
    InEach,
    /// Made by Helm alone, while it takes the rest away.
    Hook,
}

/// Objects that belong together.
struct Part {
    name: &'static str,
    when: When,
    objects: Vec<Json>,
}

fn parts(fill: &Fill) -> Vec<Part> {
    let part = |name, when, objects| Part { name, when, objects };
    vec![
        part("crds", When::Kinds, crds::own()),
        part("crds-chaos-mesh", When::KindsOfChaosMesh, crds::chaos_mesh()),
        part("users", When::Always, rights::of_users(fill)),
        part("users-chaos-mesh", When::ChaosMesh, rights::of_users_of_chaos_mesh(fill)),
        part("rights", When::Always, rights::of_the_operator(fill)),
        part("rights-chaos-mesh", When::ChaosMesh, rights::on_chaos_mesh(fill)),
        part("webhook", When::Webhook, webhook(fill, false)),
        part("webhook-chaos-mesh", When::WebhookForChaosMesh, webhook(fill, true)),
        part("rights-everywhere", When::Everywhere, rights::strikes_everywhere(fill)),
        part("agents", When::Agents, for_agents(fill)),
        part("agents-on-nodes", When::NewAgents, vec![agents(fill, true)]),
        part("agents-on-nodes-before-1.30", When::OldAgents, vec![agents(fill, false)]),
        part("operator", When::Always, vec![operator(fill)]),
        part("retire", When::Hook, vec![retire(fill)]),
    ]
}

/// Pods that share a node's process numbers are allowed there.
fn namespace(name: &str) -> Json {
    let level = |mode: &str| format!("pod-security.kubernetes.io/{mode}");
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {
            NAME_LABEL.0: NAME_LABEL.1,
            level("enforce"): "privileged",
            level("audit"): "privileged",
            level("warn"): "privileged",
        }},
    })
}

/// The operator: of its replicas one acts. It touches no node, needs no root and no folder of its node.
fn operator(fill: &Fill) -> Json {
    let selector = json!({NAME_LABEL.0: NAME_LABEL.1, COMPONENT_LABEL: OPERATOR});
    let apart = json!({"weight": 1, "podAffinityTerm": {
        "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": selector},
    }});
    let mut container = container(fill, OPERATOR, &fill.operator_words);
    container["ports"] = fill.operator_ports.clone();
    if !fill.operator_ready.is_null() {
        container["readinessProbe"] = fill.operator_ready.clone();
    }
    let mut pod = pod(fill, container);
    // As long as it takes to put back what it holds, and to say so.
    pod["terminationGracePeriodSeconds"] = json!(STOPS_WITHIN.as_secs() + 10);
    pod["affinity"] =
        json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [apart]}});
    let mut object = fill.object_here(&Kind::DEPLOYMENT, ACCOUNT, OPERATOR);
    object["spec"] = json!({
        "replicas": fill.replicas,
        "selector": {"matchLabels": selector},
        "template": {
            "metadata": {"labels": fill.labels(OPERATOR)},
            "spec": pod,
        },
    });
    object
}

/// A pod of the operator's account, without rights on its node.
fn pod(fill: &Fill, container: Json) -> Json {
    json!({
        "serviceAccountName": ACCOUNT,
        "imagePullSecrets": fill.pull_secrets,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": NOBODY, "runAsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "state", "emptyDir": {}}],
    })
}

fn container(fill: &Fill, name: &str, words: &Json) -> Json {
    let from_itself = |field: &str| json!({"fieldRef": {"fieldPath": field}});
    json!({
        "name": name,
        "image": fill.image,
        "imagePullPolicy": fill.pull_policy,
        "command": [agent_pod::PROGRAM],
        "args": words,
        "env": [
            {"name": "SQUALL_STATE", "value": STATE},
            {"name": "SQUALL_AGENT_IMAGE", "value": fill.image},
            {"name": "SQUALL_OPERATOR_NAMESPACE", "valueFrom": from_itself("metadata.namespace")},
        ],
        "resources": fill.operator_resources,
        "volumeMounts": [{"name": "state", "mountPath": STATE_VOLUME}],
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
    })
}

/// Ends what the operator does before Helm takes its rights away. Where that fails, Helm takes nothing away.
fn retire(fill: &Fill) -> Json {
    let mut pod = pod(fill, container(fill, RETIRE, &json!([OPERATOR, RETIRE])));
    pod["restartPolicy"] = "Never".into();
    let mut job = fill.object_here(&Kind::JOB, &format!("{ACCOUNT}-{RETIRE}"), RETIRE);
    job["metadata"]["annotations"] = json!({
        "helm.sh/hook": "pre-delete",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
    });
    job["spec"] = json!({
        "backoffLimit": 0,
        // Helm waits no longer, where it is not told to.
        "activeDeadlineSeconds": 290,
        "template": {"metadata": {"labels": fill.labels(RETIRE)}, "spec": pod},
    });
    job
}

/// What the API server must know to ask the webhook, and what the webhook needs.
fn webhook(fill: &Fill, chaos_mesh: bool) -> Vec<Json> {
    let asked = admission::manifests(&fill.namespace, chaos_mesh);
    rights::of_the_webhook(fill).into_iter().chain(asked).collect()
}

/// What agents need besides themselves: nothing that could ask the cluster anything.
fn for_agents(fill: &Fill) -> Vec<Json> {
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": AGENT, "labels": fill.labels(STAYS)},
        "description": "Agents of Squall: who undoes is not to be evicted for who can wait",
        "value": 1_000_000,
        "preemptionPolicy": "Never",
    });
    let mut account = fill.object_here(&Kind::SERVICE_ACCOUNT, AGENT, STAYS);
    account["automountServiceAccountToken"] = false.into();
    vec![class, account]
}

/// Agents that wait on every node for runs to speak to them.
fn agents(fill: &Fill, knows_profiles: bool) -> Json {
    let selector = json!({NAME_LABEL.0: NAME_LABEL.1, COMPONENT_LABEL: STAYS});
    let words = [agent_pod::ROLE, agent_pod::RESIDENT];
    let mut pod = agent_pod::spec(fill.image.clone(), &words, agent_pod::ALL_PRIVILEGES);
    pod["serviceAccountName"] = AGENT.into();
    pod["priorityClassName"] = AGENT.into();
    pod["imagePullSecrets"] = fill.pull_secrets.clone();
    pod["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
    if !knows_profiles && let Some(context) = pod["containers"][0]["securityContext"].as_object_mut() {
        context.remove(agent_pod::PROFILE);
    }
    pod["containers"][0]["imagePullPolicy"] = fill.pull_policy.clone();
    pod["containers"][0]["resources"] = fill.agent_resources.clone();
    let mut set = fill.object_here(&Kind::DAEMON_SET, AGENT, STAYS);
    set["spec"] = json!({
        "selector": {"matchLabels": selector},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
        "template": {
            "metadata": {"labels": fill.labels(STAYS), "annotations": agent_pod::annotations()},
            "spec": pod,
        },
    });
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::read::{Source, parse};

    fn wanted() -> Wanted {
        Wanted {
            chaos_mesh: false,
            namespace: "squall-system".to_owned(),
            image: "squall:1".to_owned(),
            agents: true,
            before_1_30: false,
            webhook: false,
            strike_in: Vec::new(),
            only: None,
        }
    }

    fn names(objects: &[Json]) -> Vec<String> {
        let name = |object: &Json| {
            let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
            format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
        };
        objects.iter().map(name).collect()
    }

    #[test]
    fn what_is_not_asked_for_is_not_there() {
        let all = names(&objects(&wanted()));
        assert!(all.contains(&"DaemonSet squall-agent".to_owned()), "{all:?}");
        assert!(!all.iter().any(|name| name.contains("chaos")), "{all:?}");
        let without = names(&objects(&Wanted { agents: false, ..wanted() }));
        assert!(!without.iter().any(|name| name.ends_with("squall-agent")), "{without:?}");
        let mesh = names(&objects(&Wanted { chaos_mesh: true, ..wanted() }));
        assert!(mesh.contains(&"CustomResourceDefinition podchaos.chaos-mesh.org".to_owned()), "{mesh:?}");
        let shop = objects(&Wanted { strike_in: vec!["shop".to_owned()], ..wanted() });
        let bound = shop.iter().filter(|object| object["roleRef"]["name"] == "squall-operator-strikes");
        let bound: Vec<&Json> = bound.collect();
        assert_eq!((bound.len(), &bound[0]["kind"]), (1, &json!("RoleBinding")));
        assert_eq!(bound[0]["metadata"]["namespace"], "shop");
        assert!(!names(&shop).contains(&"ClusterRoleBinding squall-operator-nodes".to_owned()));
    }

    #[test]
    fn an_operator_of_one_namespace_may_change_no_objects_of_others() {
        let all = objects(&Wanted { chaos_mesh: true, only: Some("shop".to_owned()), ..wanted() });
        for role in ["squall-operator-objects", "squall-operator-chaos-mesh"] {
            let bound: Vec<&Json> = all.iter().filter(|object| object["roleRef"]["name"] == role).collect();
            assert_eq!((bound.len(), &bound[0]["kind"]), (1, &json!("RoleBinding")), "{role}");
            assert_eq!(bound[0]["metadata"]["namespace"], "shop");
        }
        let operator = all.iter().find(|object| object["kind"] == "Deployment").unwrap();
        let words = &operator["spec"]["template"]["spec"]["containers"][0]["args"];
        assert_eq!(*words, json!(["operator", "--chaos-mesh", "--only", "shop"]));
        let everywhere = names(&objects(&wanted()));
        assert!(everywhere.contains(&"ClusterRoleBinding squall-operator-objects".to_owned()));
    }

    #[test]
    fn no_pod_listens_and_only_the_operator_has_a_token() {
        for object in objects(&wanted()) {
            let pod = &object["spec"]["template"]["spec"];
            let Some(container) = pod["containers"].get(0) else { continue };
            let ports = container.get("ports").and_then(Json::as_array);
            assert!(ports.is_none_or(Vec::is_empty) && pod.get("hostNetwork").is_none(), "{object}");
            let context = &container["securityContext"];
            assert_eq!(
                (&context["privileged"], &context["readOnlyRootFilesystem"]),
                (&Json::Null, &json!(true))
            );
            let is_agent = object["kind"] == "DaemonSet";
            assert_eq!(pod["automountServiceAccountToken"] == false, is_agent);
            assert_eq!(pod["hostPID"] == true, is_agent);
        }
    }

    #[test]
    fn documents_are_read_as_what_they_were_made_of() {
        let wanted = Wanted { chaos_mesh: true, webhook: true, strike_in: vec!["1".to_owned()], ..wanted() };
        let text = print(&wanted);
        let documents: Vec<&str> = text.split("---\n").collect();
        let objects = objects(&wanted);
        assert_eq!(documents.len(), objects.len());
        for (document, object) in documents.iter().zip(&objects) {
            let source = Source { name: "manifest.yaml".to_owned(), text: (*document).to_owned() };
            assert_eq!(parse(&source).unwrap().to_json(), *object);
        }
    }
}
