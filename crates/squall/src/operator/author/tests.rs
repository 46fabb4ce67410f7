//! What plans need, and users of a real cluster who may do a part of it.

use super::*;
use serde_json::json;
use squall_kubernetes::testing::in_a_room;
use squall_model::cluster::{ClusterPlace, ObjectRef, PlacedContainer, PlacedPod, PodSelector, Shows};
use squall_model::plan::PlanEntry;
use squall_model::step::{ProcessRef, Signal, SignalStep};
use squall_model::target::{Mode, Round, Selection, Target};
use squall_model::units::Duration;

fn cluster(uid: &str) -> ClusterRef {
    ClusterRef { place: ClusterPlace::default(), server: "https://c".to_owned(), uid: uid.to_owned() }
}

fn object(uid: &str, kind: ObjectKind, namespace: Option<&str>, name: &str) -> ObjectRef {
    let namespace = namespace.map(str::to_owned);
    ObjectRef { cluster: cluster(uid), kind, namespace, name: name.to_owned(), uid: "1".to_owned() }
}

fn change(object: ObjectRef, change: ObjectChange) -> Step {
    Step::Object(Box::new(ObjectStep {
        object,
        change,
        shows: Shows::Itself,
        mark: "m".to_owned(),
        held: None,
    }))
}

fn signal() -> Step {
    let process = ProcessRef { pid: 7, start_time: 1, boot_id: "b".to_owned(), name: "web".to_owned() };
    Step::Signal(SignalStep { process, signal: Signal::Kill, may_be_gone: false })
}

fn injection(fault: &str, within: &[Inside], steps: Vec<Step>) -> PlannedInjection {
    PlannedInjection {
        id: "run-1".to_owned(),
        entry: 0,
        fault: fault.to_owned(),
        target: "it".to_owned(),
        steps,
        does: Vec::new(),
        undone_by: Vec::new(),
        claims: Vec::new(),
        lasts: Duration::seconds(1),
        within: within.to_vec(),
        strikes: Vec::new(),
    }
}

fn plan(injections: Vec<PlannedInjection>) -> Plan {
    Plan { injections, ..Plan::default() }
}

fn inside(namespace: &str) -> Inside {
    Inside { cluster: cluster("u"), namespace: namespace.to_owned() }
}

/// One of everything that is done to objects, in the cluster `u`.
fn everything(uid: &str, namespace: &str) -> Plan {
    let of = |kind: ObjectKind, name: &str| object(uid, kind, Some(namespace), name);
    let pod = || of(ObjectKind::pod(), "web-1");
    let node = object(uid, ObjectKind::new("", "v1", "Node", "nodes"), None, "n");
    let workload = of(ObjectKind::new("apps", "v1", "Deployment", "deployments"), "web");
    let fields = |fields: Vec<Field>| ObjectChange::Fields { fields };
    let replicas = Field::put(&["spec", "replicas"], 0, Some(3.into()));
    let mark = Field::put(&["metadata", "annotations", MARK_LABEL], "m", None);
    let image = Field::put(&["spec", "containers", "0", "image"], "x", None);
    let closed = Field::put(&["spec", "unschedulable"], true, None);
    plan(vec![
        injection("k8s.pod_kill", &[], vec![change(pod(), ObjectChange::Delete { grace: None })]),
        injection("k8s.pod_kill", &[], vec![change(pod(), ObjectChange::Delete { grace: None })]),
        injection(
            "k8s.drain",
            &[],
            vec![change(node, fields(vec![closed])), change(pod(), ObjectChange::Evict { grace: None })],
        ),
        injection("k8s.pod_failure", &[], vec![change(pod(), fields(vec![image]))]),
        injection("k8s.scale", &[], vec![change(workload, fields(vec![replicas, mark]))]),
        injection(
            "k8s.network_policy",
            &[],
            vec![change(of(ObjectKind::network_policy(), "p"), ObjectChange::Create { body: json!({}) })],
        ),
    ])
}

fn words(plan: &Plan) -> Vec<String> {
    needs(plan, "u", false).unwrap().keys().map(ToString::to_string).collect()
}

#[test]
fn each_step_needs_what_it_does_and_is_asked_for_once() {
    let all = [
        "patch or update nodes in the whole cluster",
        "create pods/eviction in namespace shop",
        "delete pods in namespace shop",
        "patch or update pods in namespace shop",
        "patch or update deployments.apps or deployments.apps/scale in namespace shop",
        "create networkpolicies.networking.k8s.io in namespace shop",
    ];
    assert_eq!(words(&everything("u", "shop")), all);
    assert_eq!(namespaces(&everything("u", "shop")), BTreeSet::from(["shop".to_owned()]));
}

fn assignment(namespaces: &[&str]) -> Assignment {
    let placed = namespaces.iter().map(|namespace| PlacedPod {
        namespace: (*namespace).to_owned(),
        name: "web".to_owned(),
        uid: "1".to_owned(),
        containers: vec![PlacedContainer { name: "main".to_owned(), id: "c".to_owned() }],
    });
    let target = Target::Pod(Box::new(PodSelector { placed: placed.collect(), ..PodSelector::default() }));
    let selection = Selection {
        target,
        mode: Mode::All,
        value: None,
        round: Round::Down,
        optional: false,
        follow: false,
    };
    let lasts = Duration::seconds(1);
    let entry = PlanEntry {
        entry: 0,
        fault: "cpu.load".to_owned(),
        with: json!({}),
        selection,
        lasts,
        joining: None,
    };
    Assignment { cluster: cluster("u"), node: "n".to_owned(), entry, pods: vec!["pod shop/web".to_owned()] }
}

#[test]
fn what_happens_within_pods_is_what_a_shell_in_them_could_do() {
    let within = plan(vec![injection("process.kill", &[inside("shop"), inside("cart")], vec![signal()])]);
    let exec = ["create pods/exec in namespace cart", "create pods/exec in namespace shop"];
    assert_eq!(words(&within), exec);
    let elsewhere = Plan { elsewhere: vec![assignment(&["shop", "cart", "shop"])], ..Plan::default() };
    assert_eq!(words(&elsewhere), exec);
    for plan in [within, elsewhere] {
        assert_eq!(namespaces(&plan), BTreeSet::from(["cart".to_owned(), "shop".to_owned()]));
    }
}

#[test]
fn what_no_role_speaks_of_is_refused() {
    let refused = |plan: &Plan| needs(plan, "u", false).unwrap_err();
    let host = plan(vec![injection("process.kill", &[], vec![signal()])]);
    assert!(
        refused(&host).starts_with("process.kill on it: no role of the cluster says"),
        "{}",
        refused(&host)
    );
    let nobody = Plan { elsewhere: vec![assignment(&[])], ..Plan::default() };
    assert!(refused(&nobody).contains("no role"));
    let other = everything("v", "shop");
    assert!(refused(&other).contains("another cluster, at https://c"), "{}", refused(&other));
}

fn written(kind: &str, by: Json) -> Json {
    json!({"kind": kind, "metadata": {"namespace": "shop", "name": "x", "annotations": {AUTHOR: by}}})
}

#[test]
fn whoever_may_not_is_told_with_what_they_wrote() {
    let by = |kind: &str, name: &str| written(kind, format!(r#"{{"username": "{name}"}}"#).into());
    let wrote = |run: &Json, source: &Json| -> Vec<String> {
        let all = Author::all(run, source, true).unwrap();
        all.iter().map(|author| refused(author, "delete pods")).collect()
    };
    let told = wrote(&by("Run", "bob"), &by("Experiment", "root"));
    assert!(told[0].starts_with("bob, who wrote the Run shop/x, may not"), "{}", told[0]);
    assert!(told[1].starts_with("root, who wrote the Experiment shop/x, may not"), "{}", told[1]);
    let told = wrote(&by("Run", "bob"), &by("Experiment", "bob"));
    assert!(told.len() == 1 && told[0].contains("the Experiment"), "the run is made for it: {told:?}");
    let nobody = json!({"kind": "Run", "metadata": {"namespace": "shop", "name": "y"}});
    let why = Author::all(&nobody, &by("Experiment", "root"), true).unwrap_err();
    assert!(why.starts_with("nobody recorded who wrote the Run shop/y, "), "{why}");
    assert_eq!(Author::all(&nobody, &by("Experiment", "root"), false).unwrap().len(), 1);
}

#[test]
fn authors_are_read_as_they_were_written_or_not_at_all() {
    let noted = |annotation: Json| Author::of(&written("Run", annotation));
    assert_eq!(Author::of(&json!({"metadata": {}})), Ok(None));
    let alice = Author { username: "alice".to_owned(), groups: vec!["g".to_owned()], ..Author::default() };
    let read = Author { wrote: "the Run shop/x".to_owned(), ..alice.clone() };
    assert_eq!(noted(serde_json::to_string(&alice).unwrap().into()), Ok(Some(read)));
    for wrong in [json!("alice"), json!("{}"), json!(r#"{"username": ""}"#), json!({"username": "alice"})] {
        assert!(noted(wrong).unwrap_err().contains("names no author"));
    }
}

#[test]
fn a_cluster_says_who_may_do_what() {
    in_a_room("author", async |lab, room| {
        let cluster = &lab.cluster;
        let plan = everything(cluster.uid().await?, &room.name);
        let user = format!("alice-{}", room.name);
        let alice = Author {
            username: user.clone(),
            groups: vec![format!("{user}-team")],
            wrote: "it".to_owned(),
            ..Author::default()
        };
        let refused = check(cluster, &alice, &plan, false).await.unwrap_err();
        assert!(
            refused.starts_with(&format!("{user}, who wrote it, may not do what it does: ")),
            "{refused}"
        );
        assert!(
            refused.contains("patch or update nodes in the whole cluster (k8s.drain on it)"),
            "{refused}"
        );
        assert!(refused.contains("; and 1 more; grant it"), "{refused}");

        let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        let rules = [
            rule("", &["pods"], &["delete", "update"]),
            rule("", &["pods/eviction"], &["create"]),
            rule("apps", &["deployments/scale"], &["patch"]),
            rule("networking.k8s.io", &["networkpolicies"], &["create"]),
        ];
        let role = json!({"metadata": {"name": "chaos"}, "rules": rules});
        cluster.create(&Kind::ROLE, Some(&room.name), &role).await?;
        let binding = json!({
            "metadata": {"name": "chaos"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "chaos"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": alice.groups[0]}],
        });
        cluster.create(&Kind::ROLE_BINDING, Some(&room.name), &binding).await?;
        // All but the node, which no role of a namespace grants. Roles take a moment to be known.
        room.until("only the node to be missing", async || {
            let refused = check(cluster, &alice, &plan, false).await.unwrap_err();
            let missing = refused.split("does: ").nth(1).unwrap_or_default();
            Ok(missing.starts_with("patch or update nodes in the whole cluster (k8s.drain on it); grant it"))
        })
        .await?;
        let mut plan = plan;
        plan.injections.retain(|injection| injection.fault != "k8s.drain");
        assert_eq!(check(cluster, &alice, &plan, false).await, Ok(()));
        let elsewhere = everything(cluster.uid().await?, "default");
        assert!(check(cluster, &alice, &elsewhere, false).await.is_err());
        let admin =
            Author { username: "root".into(), groups: vec!["system:masters".into()], ..Author::default() };
        assert_eq!(check(cluster, &admin, &elsewhere, false).await, Ok(()));
        Ok(())
    });
}
