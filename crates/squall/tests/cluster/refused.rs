//! What cannot be done is refused with the reason, and leaves nothing.

use crate::lab::Scene;
use serde_json::{Value as Json, json};
use squall_kubernetes::{Deletion, Kind, Reference, wait};
use std::path::Path;

/// Runs to the end: exit status and words.
fn ended(scene: &Scene, mut command: std::process::Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(scene.marks().is_empty());
    (output.status.code(), String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn a_plan_makes_no_pod_and_what_nodes_lack_is_told() {
    let Some(scene) = Scene::open() else { return };
    let loss = scene.experiment("network.loss", "{loss: 50%}", "5s");
    let (code, said) = ended(&scene, scene.command("plan", &loss));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("on node lab-node, by an agent that is made there for the run"), "{said}");
    assert!(scene.agent_pods().is_empty());

    let mut without = scene.command("run", &loss);
    without.env_remove("SQUALL_AGENT_IMAGE");
    let (code, said) = ended(&scene, without);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--agent-image"), "{said}");

    let mut missing = scene.command("run", &loss);
    missing.env("SQUALL_AGENT_IMAGE", "registry.invalid/squall:none");
    let (code, said) = ended(&scene, missing);
    assert!(code != Some(0) && said.contains("ErrImagePull"), "{code:?}: {said}");
    scene.is_as_before(&said);

    let latency = scene.experiment("network.latency", "{delay: 100ms}", "5s");
    if Path::new("/sys/module/sch_netem").exists() {
        println!("skipped: the node's kernel has sch_netem");
        return;
    }
    let (code, said) = ended(&scene, scene.command("run", &latency));
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("on node lab-node") && said.contains("sch_netem"), "{said}");
    scene.is_as_before(&said);
}

/// What the user `weak` may do in a namespace, as long as the value lives.
struct Allowed<'s> {
    scene: &'s Scene,
    made: [Reference; 2],
}

impl<'s> Allowed<'s> {
    fn to_weak(scene: &'s Scene, namespace: &str, rules: &Json) -> Self {
        let (name, group) = (format!("weak-{}", scene.room.name), "rbac.authorization.k8s.io");
        let role = json!({"metadata": {"name": name}, "rules": rules});
        let bound = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "weak"}],
        });
        let made = [(Kind::ROLE, role), (Kind::ROLE_BINDING, bound)].map(|(kind, object)| {
            wait(scene.cluster.create(&kind, Some(namespace), &object)).unwrap();
            kind.named(Some(namespace), &name)
        });
        Self { scene, made }
    }
}

impl Drop for Allowed<'_> {
    fn drop(&mut self) {
        for reference in &self.made {
            // What is gone already is well.
            let _ = wait(self.scene.cluster.delete(reference, &Deletion::default()));
        }
    }
}

#[test]
fn what_a_cluster_refuses_to_make_is_no_residue() {
    let Some(scene) = Scene::open() else { return };
    let rule = |kind: &str, verbs: &[&str]| json!([{"apiGroups": [""], "resources": [kind], "verbs": verbs}]);
    let _known = Allowed::to_weak(&scene, "kube-system", &rule("namespaces", &["get"]));
    let _pods = Allowed::to_weak(&scene, &scene.room.name, &rule("pods", &["get", "list", "patch"]));
    let text = std::fs::read_to_string(&scene.kubeconfig).unwrap();
    if !text.contains("user: {") {
        println!("skipped: the kubeconfig of this cluster is not one that this test can change");
        return;
    }
    let weak = scene.kubeconfig_of_our_own(&text.replacen("user: {", "user: {as: weak, ", 1));

    let experiment = scene.experiment("k8s.network_policy", "{}", "5s");
    let mut command = scene.command("run", &experiment);
    command.env("KUBECONFIG", &weak);
    let (code, said) = ended(&scene, command);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("networkpolicies") && !said.contains("RESIDUE"), "{said}");
    // What it may not even list is told in the cluster's words.
    let elsewhere = experiment.replace(&format!("namespace: {}", scene.room.name), "namespace: kube-system");
    let mut command = scene.command("plan", &elsewhere);
    command.env("KUBECONFIG", &weak);
    let (code, said) = ended(&scene, command);
    assert!(code != Some(0) && said.contains("pods is forbidden"), "{said}");
    assert!(!said.contains('\0'), "{said}");
}
