//! The operator installed in the cluster, as plain manifests and by Helm.

use crate::lab::{Scene, run, until};
use serde_json::{Value as Json, json};
use squall_kubernetes::testing::alone_with_operators;
use squall_kubernetes::{Application, Deletion, Kind, Pod, PodFilter, Reference, wait};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

const PRIORITY_CLASS: Kind = Kind::everywhere("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses");
const EXPERIMENT: Kind = Kind::within("squall.dev", "v1", "Experiment", "experiments");
const RUN: Kind = Kind::within("squall.dev", "v1", "Run", "runs");

/// What was made in the cluster, but for kinds, which others use too; it goes when this value does.
pub(crate) struct Installed<'s> {
    scene: &'s Scene,
    made: Vec<Reference>,
    /// An operator looks after all that it sees, and kinds are the whole cluster's.
    _alone: File,
}

impl<'s> Installed<'s> {
    /// Applies what the program prints for the namespace of the scene, where it is wanted.
    pub(crate) fn of(scene: &'s Scene, options: &[&str], is_wanted: impl Fn(&Json) -> bool) -> Self {
        let mut installed = Self { scene, made: Vec::new(), _alone: alone_with_operators().unwrap() };
        let mut objects = printed(scene, options);
        objects.retain(is_wanted);
        objects.iter().for_each(|object| installed.apply(object));
        installed
    }

    fn apply(&mut self, object: &Json) {
        let how = Application { manager: "squall-test", force: true, part: None };
        let kind = kind(object);
        let namespace = object["metadata"]["namespace"].as_str();
        wait(self.scene.cluster.apply(&kind, namespace, object, how)).unwrap();
        if kind != Kind::CUSTOM_RESOURCE_DEFINITION && kind != Kind::NAMESPACE {
            self.made.push(kind.named(namespace, object["metadata"]["name"].as_str().unwrap()));
        }
    }

    /// The agent's pod on the node, once it is ready.
    pub(crate) fn agent(&self) -> Pod {
        let filter = PodFilter {
            namespaces: vec![self.scene.room.name.clone()],
            labels: "app.kubernetes.io/name=squall,app.kubernetes.io/component=agent".to_owned(),
            ..PodFilter::default()
        };
        let mut found = None;
        until("the agent of the node", || {
            let pods = wait(self.scene.cluster.pods(&filter)).unwrap();
            found = pods.into_iter().find(|pod| pod.ready && !pod.deleted);
            found.is_some()
        });
        found.unwrap()
    }

    /// A kubeconfig of the operator's own account.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        let Scene { cluster, room, .. } = self.scene;
        let account = Kind::SERVICE_ACCOUNT.named(Some(&room.name), "squall-operator");
        let mut token = None;
        // Where a cluster makes them no more, one is asked for.
        let version = wait(async { cluster.version().await.map(|version| version.minor) }).unwrap();
        if version >= 24 {
            let secret = json!({
                "metadata": {"name": "squall-test-token", "annotations": {"kubernetes.io/service-account.name": "squall-operator"}},
                "type": "kubernetes.io/service-account-token",
            });
            wait(cluster.create(&Kind::SECRET, Some(&room.name), &secret)).unwrap();
        }
        until("the token of the operator's account", || {
            let account = wait(cluster.get(&account)).unwrap().unwrap();
            let name = account["secrets"][0]["name"].as_str().unwrap_or("squall-test-token");
            let secret = wait(cluster.get(&Kind::SECRET.named(Some(&room.name), name))).unwrap();
            token = secret.and_then(|secret| secret["data"]["token"].as_str().map(str::to_owned));
            token.is_some()
        });
        let decoded =
            run(Command::new("sh").args(["-c", "printf %s \"$0\" | base64 -d"]).arg(token.unwrap()));
        let text = std::fs::read_to_string(&self.scene.kubeconfig).unwrap();
        let before = text.split("token:").nth(1).unwrap().split(['}', ',', '\n']).next().unwrap();
        self.scene.kubeconfig_of_our_own(&text.replace(before, &format!(" {}", decoded.unwrap())))
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        for reference in self.made.iter().rev() {
            // What is gone already is well.
            let _ = wait(self.scene.cluster.delete(reference, &Deletion::default()));
        }
    }
}

/// The objects that the program prints.
fn printed(scene: &Scene, options: &[&str]) -> Vec<Json> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args([
        "operator",
        "manifests",
        "--json",
        "--namespace",
        &scene.room.name,
        "--image",
        &scene.image,
    ]);
    let version = wait(async { scene.cluster.version().await.map(|version| version.minor) }).unwrap();
    if version < 30 {
        command.arg("--before-1.30");
    }
    let list: Json = serde_json::from_str(&run(command.args(options)).unwrap()).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn kind(object: &Json) -> Kind {
    let known = [
        Kind::NAMESPACE,
        Kind::SERVICE,
        Kind::SERVICE_ACCOUNT,
        Kind::DEPLOYMENT,
        Kind::DAEMON_SET,
        Kind::ROLE,
        Kind::ROLE_BINDING,
        Kind::CLUSTER_ROLE,
        Kind::CLUSTER_ROLE_BINDING,
        Kind::CUSTOM_RESOURCE_DEFINITION,
        Kind::MUTATING_WEBHOOK_CONFIGURATION,
        PRIORITY_CLASS,
    ];
    let name = object["kind"].as_str().unwrap();
    known.into_iter().find(|kind| kind.kind == name).unwrap_or_else(|| panic!("what is {name}?"))
}

/// The kinds under a group of the test's own, which nobody else has objects of.
#[test]
fn the_cluster_takes_the_kinds_and_refuses_what_needs_no_explanation() {
    let Some(scene) = Scene::open() else { return };
    let cluster = &scene.cluster;
    let group = format!("{}.squall.dev", scene.room.name);
    let definitions = printed(&scene, &["--chaos-mesh"]);
    let mut definitions: Vec<Json> =
        definitions.into_iter().filter(|object| object["kind"] == "CustomResourceDefinition").collect();
    assert_eq!(definitions.len(), 21);
    let mut names = Vec::new();
    for definition in &mut definitions {
        let own =
            if definition["spec"]["group"] == "squall.dev" { group.clone() } else { format!("mesh.{group}") };
        let name = format!("{}.{own}", definition["spec"]["names"]["plural"].as_str().unwrap());
        definition["spec"]["group"] = own.into();
        definition["metadata"]["name"] = name.clone().into();
        wait(cluster.create(&Kind::CUSTOM_RESOURCE_DEFINITION, None, definition)).unwrap();
        names.push(Kind::CUSTOM_RESOURCE_DEFINITION.named(None, &name));
    }
    let conditions = |name: &Reference| {
        let definition = wait(cluster.get(name)).unwrap().unwrap();
        let all = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let words = all.iter().map(|one| (one["type"].as_str().unwrap().to_owned(), one["status"] == "True"));
        words.collect::<BTreeMap<String, bool>>()
    };
    let expected = BTreeMap::from([("NamesAccepted".to_owned(), true), ("Established".to_owned(), true)]);
    for name in &names {
        let mut seen = BTreeMap::new();
        until(&format!("{name} to be established"), || {
            seen = conditions(name);
            seen.get("Established") == Some(&true)
        });
        assert_eq!(seen, expected, "{name}: its schema is not structural");
    }
    let experiments = Kind { group: group.into(), ..EXPERIMENT };
    until("the kind to be served", || wait(cluster.list(&experiments, None, "")).is_ok());
    let good = || {
        json!({
            "steady_state": [{"http": {"url": "http://web"}, "expect": "status == 200"}],
            "method": [{"fault": "network.loss", "target": {"pod": {"labels": {"app": "web"}}}, "with": {"loss": "10%"}, "for": "60s"}],
            "blast_radius": {"targets": 0.3}, "recovery": {"within": 5},
        })
    };
    let made = |name: &str, spec: Json| {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        wait(cluster.create(&experiments, Some(&scene.room.name), &object)).map_err(|error| error.to_string())
    };
    assert_eq!(made("good", good()).unwrap()["spec"], good());
    let mut misspelt = good();
    misspelt["hypthesis"] = json!("what our reader points at must still be there");
    misspelt["method"][0]["target"]["pod"]["label"] = json!({});
    assert_eq!(made("misspelt", misspelt.clone()).unwrap()["spec"], misspelt);
    let bad = |pointer: &str, value: Json| {
        let mut spec = good();
        *spec.pointer_mut(pointer).unwrap() = value;
        made("bad", spec).unwrap_err()
    };
    assert!(bad("/method/0/fault", json!("network.los")).contains("network.loss"));
    assert!(bad("/method", json!("x")).contains("must be of type array"));
    assert!(bad("/method/0/target/pod", json!(["web"])).contains("must be of type object"));
    assert!(made("empty", json!({})).unwrap_err().contains("method"));
    for name in &names {
        wait(cluster.delete(name, &Deletion::default())).unwrap();
    }
}

/// Opts the scene's namespace in, and has the operator carry an experiment out there.
fn carries_out(scene: &Scene, installed: &Installed) {
    let cluster = &scene.cluster;
    let label = json!({"metadata": {"name": scene.room.name, "labels": {"squall.dev/chaos": "allowed"}}});
    let how = Application { manager: "squall-test-opts-in", ..Application::default() };
    wait(cluster.apply(&Kind::NAMESPACE, None, &label, how)).unwrap();
    let agent = installed.agent();
    let spec = json!({
        "steady_state": [{"http": {"url": format!("http://{}:8080/", scene.web.addresses[0])}, "expect": "status == 200"}],
        "method": [{
            "fault": "network.bandwidth", "with": {"rate": "2mbit"}, "for": "12s",
            "target": {"pod": {"namespace": scene.room.name, "labels": {"app": "web"}}},
        }],
    });
    let object = json!({"metadata": {"name": "slow"}, "spec": spec});
    // The API server asks the webhook about it, by way of its Service.
    let mut made = Json::Null;
    until("the webhook", || {
        wait(cluster.create(&EXPERIMENT, Some(&scene.room.name), &object)).is_ok_and(|object| {
            made = object;
            true
        })
    });
    let author = made["metadata"]["annotations"]["squall.dev/author"].as_str().unwrap_or_default();
    assert!(author.contains("username"), "{made}");
    let run = || {
        wait(cluster.list(&RUN, Some(&scene.room.name), "")).unwrap().into_iter().next().unwrap_or_default()
    };
    until("the fault", || {
        let run = run();
        assert!(run["status"]["completionTime"].is_null(), "{run}");
        !scene.marks().is_empty()
    });
    assert!(scene.serves(&scene.client, &scene.web), "slowly");
    assert!(scene.agent_pods().is_empty(), "a pod was made, and there is one that stays");
    let mut seen = Json::Null;
    until("the end of the run", || {
        seen = run();
        seen["status"]["phase"] == "Finished"
    });
    assert_eq!(seen["status"]["verdict"], "passed", "{seen}");
    assert!(scene.marks().is_empty());
    assert_eq!(installed.agent().uid, agent.uid);
    wait(cluster.delete(&EXPERIMENT.named(Some(&scene.room.name), "slow"), &Deletion::default())).unwrap();
    until("its object goes", || {
        wait(cluster.list(&EXPERIMENT, Some(&scene.room.name), "")).unwrap().is_empty()
    });
}

/// Has the operator strike a pod for longer than anybody waits.
fn strikes_for_long(scene: &Scene) {
    let spec = json!({"method": [{
        "fault": "k8s.pod_failure", "for": "10m",
        "target": {"pod": {"namespace": scene.room.name, "labels": {"app": "web"}}},
    }]});
    let object = json!({"metadata": {"name": "long"}, "spec": spec});
    wait(scene.cluster.create(&EXPERIMENT, Some(&scene.room.name), &object)).unwrap();
    until("the fault of long", || is_struck(scene));
}

fn is_struck(scene: &Scene) -> bool {
    let pod = wait(scene.cluster.get(&scene.web.reference())).unwrap().unwrap();
    pod["spec"]["containers"][0]["image"].as_str().unwrap().starts_with("Squall/")
}

/// Nothing goes on any more, nothing is struck, and no object is held.
fn nothing_is_left(scene: &Scene) {
    assert!(!is_struck(scene));
    let runs = wait(scene.cluster.list(&RUN, Some(&scene.room.name), "")).unwrap();
    let long = runs.iter().find(|run| run["spec"]["source"]["name"] == "long").unwrap();
    assert_eq!(
        (&long["status"]["phase"], &long["status"]["verdict"]),
        (&json!("Finished"), &json!("aborted"))
    );
    assert!(runs.iter().all(|run| run["metadata"]["finalizers"].is_null()), "{runs:?}");
    wait(scene.cluster.delete(&EXPERIMENT.named(Some(&scene.room.name), "long"), &Deletion::default()))
        .unwrap();
    until("the run goes with its experiment", || {
        wait(scene.cluster.list(&RUN, Some(&scene.room.name), "")).unwrap().is_empty()
    });
}

#[test]
fn plain_manifests_are_all_that_an_operator_needs() {
    let Some(scene) = Scene::open() else { return };
    let room = scene.room.name.clone();
    // Others test operators, too.
    let options = ["--strike-in", &room, "--only", &room];
    let mut installed = Installed::of(&scene, &options, |object| object["kind"] != "Deployment");
    for object in printed(&scene, &options).into_iter().filter(|object| object["kind"] == "Deployment") {
        installed.apply(&object);
    }
    carries_out(&scene, &installed);
    strikes_for_long(&scene);
    let mut retire = Command::new(env!("CARGO_BIN_EXE_squall"));
    retire.env("KUBECONFIG", &scene.kubeconfig).env("SQUALL_STATE", scene.folder.path().join("retire"));
    retire.args(["operator", "retire", "--namespace", &room]);
    run(&mut retire).unwrap();
    nothing_is_left(&scene);
    run(&mut retire).unwrap();
}

/// Helm, where it is: beside what is built, or in the path.
fn helm(scene: &Scene) -> Option<Command> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    let beside = target.join("helm/helm");
    let program = if beside.is_file() { beside } else { PathBuf::from("helm") };
    if run(Command::new(&program).arg("version")).is_err() {
        println!("skipped: there is no Helm; `cargo xtask test` gets it");
        return None;
    }
    let mut command = Command::new(program);
    // It keeps what it knows in folders of the user's.
    for (variable, folder) in
        [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        command.env(variable, scene.folder.path().join("helm").join(folder));
    }
    command.env("KUBECONFIG", &scene.kubeconfig).args(["--namespace", &scene.room.name]);
    Some(command)
}

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/squall")
}

/// What Helm has installed, and takes away however the test ends: others would ask a webhook that is gone.
struct Release<'s>(&'s Scene);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let taken_away = helm(self.0).map(|mut helm| run(helm.args(["uninstall", "squall", "--wait"])));
        assert!(std::thread::panicking() || matches!(taken_away, Some(Ok(_))), "{taken_away:?}");
    }
}

#[test]
fn helm_installs_the_chart_and_takes_it_away() {
    let Some(scene) = Scene::open() else { return };
    let Some(mut command) = helm(&scene) else { return };
    // Kinds are others' too, and stay.
    let kinds = Installed::of(&scene, &[], |object| object["kind"] == "CustomResourceDefinition");
    let room = scene.room.name.clone();
    let (repository, tag) = scene.image.split_once(':').unwrap();
    let values =
        format!("image.repository={repository},image.tag={tag},crds.enabled=false,strikeIn={{{room}}}");
    let words = format!("operator.args={{--only,{room}}}");
    command.args(["install", "squall"]).arg(chart()).args(["--set", &values, "--set", &words]);
    let release = Release(&scene);
    run(&mut command).unwrap();
    carries_out(&scene, &kinds);
    strikes_for_long(&scene);
    drop(release);
    nothing_is_left(&scene);
    assert!(wait(scene.cluster.list(&Kind::JOB, Some(&room), "")).unwrap().is_empty());
    assert!(wait(scene.cluster.list(&Kind::DAEMON_SET, Some(&room), "")).unwrap().is_empty());
    let roles = wait(scene.cluster.list(&Kind::CLUSTER_ROLE, None, "app.kubernetes.io/name=squall")).unwrap();
    assert!(roles.is_empty(), "{roles:?}");
}

/// What Helm makes of the chart is what is printed, but for its own labels.
#[test]
fn the_chart_says_the_same_as_the_manifests() {
    let Some(scene) = Scene::open() else { return };
    let Some(mut command) = helm(&scene) else { return };
    let (repository, tag) = scene.image.split_once(':').unwrap();
    let values = format!("image.repository={repository},image.tag={tag},chaosMesh=true");
    let version = wait(async { scene.cluster.version().await.map(ToString::to_string) }).unwrap();
    let text = run(command
        .args(["template", "squall", "--kube-version", &version])
        .arg(chart())
        .args(["--set", &values]))
    .unwrap();
    let parsed = text.split("---\n").filter(|document| document.contains("kind:")).map(|document| {
        let source = squall_model::read::Source { name: "chart".to_owned(), text: document.to_owned() };
        squall_model::read::parse(&source).unwrap_or_else(|error| panic!("{error:?}: {document}")).to_json()
    });
    let mut of_helm = by_name(parsed.collect());
    let mut of_ours = by_name(printed(&scene, &["--chaos-mesh"]));
    of_ours.retain(|name, _| !name.starts_with("Namespace "));
    // What Helm makes to take all away is made by nobody else.
    let hook = of_helm.remove("Job squall-operator-retire");
    assert!(hook.is_some_and(|job| job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"));
    assert_eq!(of_helm.keys().collect::<Vec<_>>(), of_ours.keys().collect::<Vec<_>>());
    for (name, object) in of_helm {
        assert_eq!(object, of_ours[&name], "{name}");
    }
}

fn by_name(objects: Vec<Json>) -> BTreeMap<String, Json> {
    let bare = |mut object: Json| {
        let name =
            format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        for pointer in ["/metadata/labels", "/spec/template/metadata/labels"] {
            if let Some(labels) = object.pointer_mut(pointer).and_then(Json::as_object_mut) {
                let of_helm = ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"];
                labels.retain(|label, _| !of_helm.contains(&label.as_str()));
            }
        }
        if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Json::as_object_mut) {
            annotations.retain(|name, _| name != "helm.sh/resource-policy");
        }
        if object["metadata"]["annotations"] == json!({}) {
            object["metadata"].as_object_mut().unwrap().remove("annotations");
        }
        (name, object)
    };
    objects.into_iter().map(bare).collect()
}
