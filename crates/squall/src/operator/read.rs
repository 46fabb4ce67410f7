//! What an object asks for, as an experiment that may be carried out in its cluster: read as a file would be, and confined to what
//! an author in a namespace may ask of somebody who has more rights than he has.

use super::resources::{EXPERIMENT, GROUP};
use crate::files;
use serde_json::{Value as Json, json};
use squall_model::cluster::{EVERY_NAMESPACE, Names, PROTECTED_NAMESPACES};
use squall_model::experiment::{Action, Experiment, ProbeCall, Strike};
use squall_model::node::{Content, Key, Node};
use squall_model::read::{Overrides, Source, render_by_path};
use squall_model::target::Target;
use squall_model::units::Duration;
use std::collections::BTreeSet;

/// Probes and metric sources that ask over a network or the cluster's API. Others would look at, or run in, the operator's own pod.
const ASKS_ELSEWHERE: &[&str] = &[
    "http",
    "json",
    "tcp",
    "tls",
    "dns",
    "grpc_health",
    "k8s",
    "pod",
    "sql",
    "redis",
    "prometheus",
    "alerts",
];

/// What an object of our kind says itself, so that its `spec` cannot.
const OWN_KEYS: [&str; 4] = ["apiVersion", "kind", "name", "suspend"];

/// The probe that makes a pod.
const POD: &str = "pod";

/// How long a fault lasts whose object says no end: until the object is deleted, and not for ever where nobody does that.
pub(crate) const UNTIL_DELETED: Duration = Duration::seconds(30 * 24 * 3600);

/// Where experiments may strike.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    /// Namespaces that opted in.
    pub(crate) namespaces: BTreeSet<String>,
    /// Whether what is not in the cluster may be struck too, with the operator's own network and credentials.
    pub(crate) beyond: bool,
}

/// The group that an object's kind is of.
pub(crate) fn group(object: &Json) -> &str {
    object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
}

/// Reads an object as an experiment. An error says each mistake in a line of its own, the first one first, with the path of what it
/// is about in the object.
pub(crate) fn experiment(object: &Json) -> Result<Experiment, String> {
    let is_own = group(object) == GROUP;
    let file = if is_own { file_of_own(object) } else { file_of_foreign(object) };
    let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
    // The name says how it is written; nobody sees it.
    let source = Source { name: "object.json".to_owned(), text };
    let read = files::experiment(&source, &Overrides::default());
    let whose = |path: &str| if is_own { path_in_own(path) } else { path_in_foreign(path) };
    let mut experiment = read.map_err(|errors| render_by_path(&source, &errors, whose))?;
    if experiment.endless {
        each_strike(&mut experiment, |strike| strike.lasts = UNTIL_DELETED);
    }
    Ok(experiment)
}

/// An object of our kind as a file: what stands in its `spec`, and its name.
fn file_of_own(object: &Json) -> Json {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut file = json!({"apiVersion": object["apiVersion"], "kind": EXPERIMENT.kind, "name": name});
    for (key, value) in object["spec"].as_object().into_iter().flatten() {
        if !OWN_KEYS.contains(&key.as_str()) {
            file[key] = value.clone();
        }
    }
    file
}

/// An object of another kind as a file: itself, without what a cluster adds.
fn file_of_foreign(object: &Json) -> Json {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "spec": object["spec"],
        "metadata": {
            "name": metadata["name"].as_str().unwrap_or_default(),
            "namespace": metadata["namespace"].as_str().unwrap_or_default(),
        },
    })
}

/// Where in an object of our kind is what a path leads to in its file.
fn path_in_own(path: &str) -> String {
    match path {
        // What is missing from the whole of a file is told at its name.
        "" | "name" => "spec".to_owned(),
        "apiVersion" | "kind" => path.to_owned(),
        _ if path.starts_with('[') => format!("spec{path}"),
        _ => format!("spec.{path}"),
    }
}

fn path_in_foreign(path: &str) -> String {
    if path.is_empty() { "spec".to_owned() } else { path.to_owned() }
}

fn each_strike(experiment: &mut Experiment, mut change: impl FnMut(&mut Strike)) {
    for action in &mut experiment.method {
        if let Action::Strike(strikes) = action {
            strikes.iter_mut().for_each(&mut change);
        }
    }
}

/// Lets no fault last longer than that.
pub(crate) fn shorten(experiment: &mut Experiment, rest: Duration) {
    each_strike(experiment, |strike| strike.lasts = Duration(strike.lasts.0.min(rest.0)));
}

/// How long the longest fault lasts, if nothing ends it.
pub(crate) fn longest(experiment: &Experiment) -> Duration {
    let strikes = experiment.method.iter().flat_map(Action::strikes);
    Duration(strikes.map(|strike| strike.lasts.0).max().unwrap_or_default())
}

/// Confines an experiment of a namespace to where it may strike, and says what its words mean there: without a namespace its own,
/// with `*` all that opted in.
pub(crate) fn confine(experiment: &mut Experiment, namespace: &str, reach: &Reach) -> Result<(), String> {
    for probe in probes(experiment) {
        check_looks_elsewhere(&probe.kind)?;
        place_probe(probe, namespace)?;
    }
    for metric in &mut experiment.metrics {
        check_looks_elsewhere(&metric.source)?;
        if metric.source == "k8s" {
            default_namespace(&mut metric.parameters, namespace);
        }
    }
    let mut refusal = None;
    each_strike(experiment, |strike| {
        place_peers(&mut strike.with, namespace);
        if let Err(why) = place(&mut strike.selection.target, namespace, reach) {
            refusal.get_or_insert_with(|| format!("{}: {why}", strike.fault));
        }
    });
    refusal.map_or(Ok(()), Err)
}

/// Whether a probe or metric source may be asked from here.
fn check_looks_elsewhere(kind: &str) -> Result<(), String> {
    if ASKS_ELSEWHERE.contains(&kind) {
        return Ok(());
    }
    Err(format!(
        "`{kind}` would look at the operator's own pod, or act there with its rights; in a cluster these are asked: {}",
        ASKS_ELSEWHERE.join(", ")
    ))
}

/// All probes that are asked: of what is expected, and of the method.
fn probes(experiment: &mut Experiment) -> impl Iterator<Item = &mut ProbeCall> {
    let checks = experiment.steady_state.iter_mut().chain(&mut experiment.hypothesis_holds);
    let questions = experiment.method.iter_mut().filter_map(|action| match action {
        Action::Ask(ask) => Some(&mut ask.probe),
        Action::Strike(_) | Action::Wait(_) => None,
    });
    checks.filter_map(|check| check.probe.as_mut()).chain(questions)
}

/// Whether it makes pods in the namespace of its object, to ask what their programs say.
pub(crate) fn makes_pods(experiment: &Experiment) -> bool {
    probes(&mut experiment.clone()).any(|probe| probe.kind == POD)
}

/// A pod is only made in the object's own namespace, where its author can be asked for the right to.
fn place_probe(probe: &mut ProbeCall, namespace: &str) -> Result<(), String> {
    if probe.kind == "k8s" || probe.kind == POD {
        default_namespace(&mut probe.parameters, namespace);
    }
    if probe.kind != POD {
        return Ok(());
    }
    let text = |key: &str| match probe.parameters.get(key).map(|node| &node.content) {
        Some(Content::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    elsewhere(text("kubeconfig"), text("context"))?;
    match text("namespace") {
        Some(named) if named == namespace => Ok(()),
        named => Err(format!(
            "a pod for a question is made in {namespace}, the namespace of the object, and not in {}; leave `namespace` away",
            named.unwrap_or("another one")
        )),
    }
}

/// Gives a map a namespace, where it has none.
fn default_namespace(node: &mut Node, namespace: &str) {
    let place = node.place;
    if let Content::Map(entries) = &mut node.content
        && !entries.iter().any(|(key, _)| key.name == "namespace")
    {
        let value = Node { content: Content::Text(namespace.to_owned()), place };
        entries.push((Key { name: "namespace".to_owned(), place }, value));
    }
}

/// Gives pods that parameters name a namespace, where they have none.
fn place_peers(node: &mut Node, namespace: &str) {
    match &mut node.content {
        Content::List(items) => items.iter_mut().for_each(|item| place_peers(item, namespace)),
        Content::Map(entries) => {
            for (key, value) in entries {
                if key.name == "pod" {
                    default_namespace(value, namespace);
                }
                place_peers(value, namespace);
            }
        }
        _ => {}
    }
}

/// Says where a target is, and refuses one that is out of reach.
fn place(target: &mut Target, own: &str, reach: &Reach) -> Result<(), String> {
    match target {
        Target::Pod(pods) => {
            elsewhere(pods.kubeconfig.as_deref(), pods.context.as_deref())?;
            let named = pods.names.iter().filter_map(|name| name.split_once('/'));
            let named: Vec<String> = named.map(|(namespace, _)| namespace.to_owned()).collect();
            if pods.namespace.0.iter().any(|name| name == EVERY_NAMESPACE) {
                pods.namespace = Names(reach.namespaces.iter().cloned().collect());
                if pods.namespace.is_empty() {
                    return Err(no_namespace());
                }
            } else if pods.namespace.is_empty() {
                let all_named = !pods.names.is_empty() && named.len() == pods.names.len();
                let namespaces: BTreeSet<String> = if all_named {
                    named.iter().cloned().collect()
                } else {
                    BTreeSet::from([own.to_owned()])
                };
                pods.namespace = Names(namespaces.into_iter().collect());
            }
            pods.namespace.0.iter().chain(&named).try_for_each(|namespace| within(namespace, reach))
        }
        Target::Workload(objects) | Target::VirtualService(objects) => {
            elsewhere(objects.kubeconfig.as_deref(), objects.context.as_deref())?;
            let namespace = objects.namespace.get_or_insert_with(|| own.to_owned());
            within(namespace, reach)
        }
        Target::Node(nodes) => elsewhere(nodes.kubeconfig.as_deref(), nodes.context.as_deref()),
        Target::Database(_) | Target::Instances(_) | Target::Template(_) if reach.beyond => Ok(()),
        other => Err(format!(
            "{other} is not in the cluster: the operator strikes pods, nodes, workloads and virtual services; with --beyond also \
             databases and clouds, with its own network and credentials"
        )),
    }
}

fn elsewhere(kubeconfig: Option<&str>, context: Option<&str>) -> Result<(), String> {
    match kubeconfig.or(context) {
        None => Ok(()),
        Some(named) => Err(format!(
            "`{named}` names another cluster, and the operator strikes in its own; leave it away"
        )),
    }
}

fn within(namespace: &str, reach: &Reach) -> Result<(), String> {
    if reach.namespaces.contains(namespace) {
        return Ok(());
    }
    if PROTECTED_NAMESPACES.contains(&namespace) {
        return Err(format!(
            "the namespace {namespace} is protected, since it keeps the cluster alive: only what is named one by one is struck there, \
             and only where the namespace has the label {}={}",
            super::resources::CHAOS,
            super::resources::OPTED_IN
        ));
    }
    Err(format!(
        "the namespace {namespace} has not opted in to be struck; whoever it belongs to does: kubectl label namespace {namespace} \
         {}={}",
        super::resources::CHAOS,
        super::resources::OPTED_IN
    ))
}

fn no_namespace() -> String {
    format!(
        "no namespace has opted in to be struck; whoever one belongs to does: kubectl label namespace NAME {}={}",
        super::resources::CHAOS,
        super::resources::OPTED_IN
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(namespaces: &[&str]) -> Reach {
        Reach { namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(), beyond: false }
    }

    fn own(method: Json) -> Json {
        json!({
            "apiVersion": "squall.dev/v1", "kind": "Experiment", "metadata": {"name": "x", "namespace": "shop"},
            "spec": {"suspend": true, "method": [method]},
        })
    }

    fn target_of(experiment: &Experiment) -> Target {
        experiment.method[0].strikes()[0].selection.target.clone()
    }

    #[test]
    fn an_object_is_read_as_a_file_would_be() {
        let object =
            own(json!({"fault": "k8s.pod_kill", "target": {"pod": {"labels": {"app": "pay"}}}, "for": "5s"}));
        let mut experiment = experiment(&object).unwrap();
        assert_eq!(experiment.name, "x");
        confine(&mut experiment, "shop", &reach(&["shop"])).unwrap();
        let Target::Pod(pods) = target_of(&experiment) else { panic!() };
        assert_eq!(pods.namespace.0, ["shop"]);
        assert_eq!(longest(&experiment), Duration::seconds(5));
        let wrong = own(json!({"fault": "k8s.pod_kil", "target": {"pod": {"labels": {"app": "pay"}}}}));
        let error = super::experiment(&wrong).unwrap_err();
        assert!(error.starts_with("spec.method[0].fault: ") && error.contains("k8s.pod_kill"), "{error}");
    }

    #[test]
    fn a_mistake_is_told_with_its_path_in_the_object() {
        let told = |object: &Json| super::experiment(object).unwrap_err();
        let pod = json!({"label": {"app": "pay"}});
        let typo = told(&own(json!({"fault": "k8s.pod_kill", "target": {"pod": pod}})));
        assert!(typo.starts_with("spec.method[0].target.pod.label: ") && typo.contains("`labels`"), "{typo}");
        let mut object = own(json!({"fault": "k8s.pod_kill", "target": {"pod": {"labels": {"app": "pay"}}}}));
        object["spec"]["metod"] = json!(1);
        assert!(told(&object).starts_with("spec.metod: "), "{}", told(&object));
        object["spec"] = json!({});
        assert!(told(&object).starts_with("spec: "), "{}", told(&object));
        let spec =
            json!({"action": "pod-kil", "mode": "one", "selector": {"labelSelectors": {"app": "pay"}}});
        let foreign =
            told(&json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "spec": spec,
            "metadata": {"name": "x.yaml", "namespace": "shop"}}));
        assert!(foreign.starts_with("spec.action: "), "{foreign}");
        for words in [typo, foreign] {
            assert!(!words.contains("-->") && !words.contains("object.json"), "{words}");
        }
    }

    #[test]
    fn only_what_opted_in_is_struck() {
        let strike = |pod: Json| {
            let object = own(json!({"fault": "k8s.pod_kill", "target": {"pod": pod}}));
            let mut experiment = experiment(&object).unwrap();
            confine(&mut experiment, "shop", &reach(&["bank", "tax"])).map(|()| {
                match target_of(&experiment) {
                    Target::Pod(pods) => pods.namespace.0,
                    _ => panic!(),
                }
            })
        };
        assert_eq!(strike(json!({"namespace": "*", "labels": {"a": "b"}})).unwrap(), ["bank", "tax"]);
        assert_eq!(strike(json!({"names": ["bank/a", "tax/b"]})).unwrap(), ["bank", "tax"]);
        for refused in [
            json!({"labels": {"a": "b"}}),
            json!({"namespace": ["bank", "shop"], "labels": {"a": "b"}}),
            json!({"names": ["bank/a", "shop/b"]}),
            json!({"namespace": "bank", "names": ["shop/b"]}),
        ] {
            let error = strike(refused).unwrap_err();
            assert!(error.contains("kubectl label namespace"), "{error}");
        }
        for protected in [
            json!({"namespace": "kube-system", "labels": {"a": "b"}}),
            json!({"namespace": "bank", "names": ["kube-system/b"]}),
        ] {
            let error = strike(protected).unwrap_err();
            assert!(
                error.contains("kube-system is protected") && !error.contains("kubectl label"),
                "{error}"
            );
        }
        let error = strike(json!({"namespace": "bank", "labels": {"a": "b"}, "kubeconfig": "/etc/passwd"}));
        assert!(error.unwrap_err().contains("another cluster"));
    }

    #[test]
    fn nothing_is_done_in_the_operators_own_pod() {
        let refused = |object: &Json| {
            let mut experiment = experiment(object).unwrap();
            confine(&mut experiment, "shop", &reach(&["shop"])).unwrap_err()
        };
        let host = own(json!({"fault": "process.kill", "target": {"process": {"name": "squall"}}}));
        assert!(refused(&host).contains("not in the cluster"));
        let mut probing = own(json!({"fault": "k8s.pod_kill", "target": {"pod": {"labels": {"a": "b"}}}}));
        probing["spec"]["steady_state"] = json!([{"exec": {"command": ["id"]}, "expect": "exit_code == 0"}]);
        assert!(refused(&probing).contains("`exec`"), "{}", refused(&probing));
    }

    #[test]
    fn a_pod_for_a_question_is_made_in_the_objects_own_namespace() {
        let asked = |pod: Json| {
            let mut object = own(json!({"ask": {"pod": pod}, "as": "decision"}));
            let fault = json!({"fault": "k8s.pod_kill", "target": {"pod": {"labels": {"a": "b"}}}, "when": "decision.exit_code == 0"});
            object["spec"]["method"].as_array_mut().unwrap().push(fault);
            let mut experiment = experiment(&object).unwrap();
            assert!(makes_pods(&experiment));
            confine(&mut experiment, "shop", &reach(&["shop", "bank"])).map(|()| {
                probes(&mut experiment)
                    .map(|probe| probe.parameters.to_json()["namespace"].clone())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(asked(json!({"container": {"image": "x"}})).unwrap(), [json!("shop")]);
        let refused = asked(json!({"container": {"image": "x"}, "namespace": "bank"})).unwrap_err();
        assert!(refused.contains("not in bank"), "{refused}");
        let refused = asked(json!({"container": {"image": "x"}, "context": "other"})).unwrap_err();
        assert!(refused.contains("another cluster"), "{refused}");
        let mut outside = own(json!({"ask": {"exec": {"command": ["id"]}}, "as": "decision"}));
        let fault = json!({"fault": "k8s.pod_kill", "target": {"pod": {"labels": {"a": "b"}}}});
        outside["spec"]["method"].as_array_mut().unwrap().push(fault);
        let mut outside = experiment(&outside).unwrap();
        assert!(confine(&mut outside, "shop", &reach(&["shop"])).unwrap_err().contains("`exec`"));
    }

    #[test]
    fn chaos_mesh_without_a_duration_lasts_until_it_is_deleted() {
        let object = |spec: Json| {
            json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "spec": spec,
                "metadata": {"name": "x", "namespace": "shop", "finalizers": ["a"], "uid": "u"}, "status": {"a": 1}})
        };
        let spec = |action: &str| json!({"action": action, "mode": "all", "selector": {"labelSelectors": {"app": "pay"}}});
        assert_eq!(longest(&experiment(&object(spec("pod-failure"))).unwrap()), UNTIL_DELETED);
        assert!(longest(&experiment(&object(spec("pod-kill"))).unwrap()) < UNTIL_DELETED);
        let mut bounded = spec("pod-failure");
        bounded["duration"] = json!("45s");
        let mut bounded = experiment(&object(bounded)).unwrap();
        assert_eq!(longest(&bounded), Duration::seconds(45));
        shorten(&mut bounded, Duration::seconds(7));
        assert_eq!(longest(&bounded), Duration::seconds(7));
    }
}
