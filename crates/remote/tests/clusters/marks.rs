//! Changes whose undo log is lost are put back by what their objects tell of them, exactly.

use crate::door::{Clusters, change, planned, read, target, until};
use serde_json::{Value as Json, json};
use squall_engine::suite;
use squall_kubernetes::testing::{Lab, Room, in_a_room};
use squall_kubernetes::{Deletion, Kind, Reference, wait};
use squall_model::cluster::STRUCK_LABEL;
use squall_model::machine::Machine;
use squall_model::undo::Reverted;
use squall_remote::marks::{self, Mark};

/// A fault that is tried on an object.
struct Tried {
    fault: &'static str,
    kind: &'static str,
    with: Json,
    object: Reference,
}

/// Makes the steps of a fault and forgets how they are undone.
fn strike(lab: &Lab, injection: &str, tried: &Tried) {
    let mut machine = Clusters::of(lab);
    let Reference { namespace, name, kind } = &tried.object;
    let mut selector = match tried.kind {
        "pod" => json!({"names": [name]}),
        "workload" => json!({"name": name, "kind": kind.kind}),
        _ => json!({"name": name}),
    };
    if let Some(namespace) = namespace {
        selector["namespace"] = json!(namespace);
    }
    let target = target(lab, tried.kind, selector);
    for step in planned(&mut machine, injection, tried.fault, &target, &tried.with).unwrap() {
        let undo = machine.capture(&step, injection).unwrap();
        suite::apply(&mut machine, &step, &undo).unwrap();
    }
}

/// The marks of an injection.
fn marks_of(lab: &Lab, injection: &str) -> Vec<Mark> {
    let all = marks::find(&lab.cluster).unwrap();
    all.into_iter().filter(|mark| mark.injection == injection).collect()
}

/// An object, but for what the server counts and what its controllers say of it.
fn plain(lab: &Lab, object: &Reference) -> Json {
    let mut content = read(lab, object);
    let metadata = content["metadata"].as_object_mut().unwrap();
    ["resourceVersion", "managedFields", "generation"].iter().for_each(|name| drop(metadata.remove(*name)));
    content.as_object_mut().unwrap().remove("status");
    content
}

/// Objects of every kind that is changed. Nothing but the test's own hands touches them.
async fn objects(lab: &Lab, room: &Room, node: &str) -> Result<(), squall_kubernetes::ClusterError> {
    room.with_virtual_services().await?;
    let namespace = Some(room.name.as_str());
    for kind in [Kind::DEPLOYMENT, Kind::STATEFUL_SET, Kind::REPLICA_SET] {
        let labels = json!({"app": kind.plural});
        let mut spec = json!({"replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": room.pod_spec("sleep 600")}});
        if kind == Kind::STATEFUL_SET {
            spec["serviceName"] = json!("none");
        }
        lab.cluster.create(&kind, namespace, &json!({"metadata": {"name": "few"}, "spec": spec})).await?;
    }
    let routes = json!([{"route": []}, {"fault": {"abort": {"httpStatus": 500}}}]);
    let service =
        json!({"metadata": {"name": "web", "annotations": {"who": "me"}}, "spec": {"http": routes}});
    lab.cluster.create(&Kind::VIRTUAL_SERVICE, namespace, &service).await?;
    room.pod("web", &json!({"app": "web"}), &room.pod_spec("sleep 600")).await?;
    lab.cluster.create(&Kind::NODE, None, &json!({"metadata": {"name": node}})).await?;
    Ok(())
}

/// A node that goes with the test, however it ends.
struct OfTest<'l>(&'l Lab, Reference);

impl Drop for OfTest<'_> {
    fn drop(&mut self) {
        let _ = wait(self.0.cluster.delete(&self.1, &Deletion::default()));
    }
}

#[test]
fn whose_log_is_lost_is_put_back_exactly_by_what_the_object_tells() {
    in_a_room("marks", async |lab, room| {
        let node = format!("{}-node", room.name);
        objects(lab, room, &node).await?;
        let (lab, room) = (lab.clone(), room.name.clone());
        std::thread::spawn(move || put_back_all(&lab, &room, &node)).join().unwrap();
        Ok(())
    });
}

fn put_back_all(lab: &Lab, room: &str, node: &str) {
    let node = OfTest(lab, Kind::NODE.named(None, node));
    let within = |kind: Kind, name| kind.named(Some(room), name);
    let scale = |kind| Tried {
        fault: "k8s.scale",
        kind: "workload",
        with: json!({"replicas": 1}),
        object: within(kind, "few"),
    };
    let on_pod = |fault| Tried { fault, kind: "pod", with: json!({}), object: within(Kind::POD, "web") };
    let all = [
        scale(Kind::DEPLOYMENT),
        scale(Kind::STATEFUL_SET),
        scale(Kind::REPLICA_SET),
        Tried {
            fault: "istio.delay",
            kind: "virtual_service",
            with: json!({"delay": "1s"}),
            object: within(Kind::VIRTUAL_SERVICE, "web"),
        },
        on_pod("k8s.network_policy"),
        on_pod("k8s.pod_failure"),
    ];
    for (number, tried) in all.iter().enumerate() {
        let injection = format!("marks-{}-{number}", std::process::id());
        let before = plain(lab, &tried.object);
        strike(lab, &injection, tried);
        assert_ne!(plain(lab, &tried.object), before, "{}", tried.fault);
        let found = marks_of(lab, &injection);
        // Squall's own policy is one, too.
        assert_eq!(found.len(), 1 + usize::from(tried.fault == "k8s.network_policy"), "{found:?}");
        for mark in &found {
            let held = mark.held.as_ref().unwrap();
            assert_eq!(held.run, format!("run-{injection}"), "{mark:?}");
            let reverted = marks::put_back(&lab.cluster, mark).unwrap();
            assert!(matches!(reverted, Reverted::Undone { .. }), "{reverted:?}");
            // What has been put back may be another's by now.
            let again = marks::put_back(&lab.cluster, mark).unwrap();
            assert!(matches!(again, Reverted::AlreadyGone { .. }), "{again:?}");
        }
        assert_eq!(plain(lab, &tried.object), before, "{}", tried.fault);
        assert_eq!(marks_of(lab, &injection), []);
    }
    nothing_was_copied(lab, room);
    let policies = wait(lab.cluster.list(&Kind::NETWORK_POLICY, Some(room), "")).unwrap();
    assert_eq!(policies, Vec::<Json>::new());
    two_on_one(lab, &node.1);
    others_values_stand(lab, &scale(Kind::DEPLOYMENT));
    forged_ones_lead_nowhere(lab, &scale(Kind::STATEFUL_SET));
}

/// What controllers make of an object says nothing of us.
fn nothing_was_copied(lab: &Lab, room: &str) {
    let revisions = Kind::within("apps", "v1", "ControllerRevision", "controllerrevisions");
    for kind in [Kind::REPLICA_SET, revisions] {
        let objects = wait(lab.cluster.list(&kind, Some(room), "")).unwrap();
        assert!(!objects.is_empty());
        objects
            .iter()
            .for_each(|object| assert!(!object["metadata"].to_string().contains("squall.dev/undo")));
    }
}

/// Two injections meet on one node.
fn two_on_one(lab: &Lab, node: &Reference) {
    let on_node = |fault, with| Tried { fault, kind: "node", with, object: node.clone() };
    let cordon = on_node("k8s.cordon", json!({}));
    let taint = on_node("k8s.taint", json!({"key": "squall.dev/marks", "effect": "NoSchedule"}));
    let (one, other) =
        (format!("marks-{}-cordon", std::process::id()), format!("marks-{}-taint", std::process::id()));
    let seen = || {
        let content = read(lab, node);
        let taints = content["spec"]["taints"].to_string().contains("squall.dev/marks");
        (
            content["spec"]["unschedulable"] == true,
            taints,
            content["metadata"]["labels"][STRUCK_LABEL] == "yes",
        )
    };
    assert_eq!(seen(), (false, false, false));
    strike(lab, &one, &cordon);
    // The cluster's own taint follows a cordon, and is written with the list as its controller knew it before.
    let follows = "node.kubernetes.io/unschedulable";
    until(follows, || read(lab, node)["spec"]["taints"].to_string().contains(follows));
    strike(lab, &other, &taint);
    assert_eq!(seen(), (true, true, true));
    marks::put_back(&lab.cluster, &marks_of(lab, &one)[0]).unwrap();
    assert_eq!(seen(), (false, true, true));
    marks::put_back(&lab.cluster, &marks_of(lab, &other)[0]).unwrap();
    assert_eq!(seen(), (false, false, false));
    let left = read(lab, node)["metadata"].to_string();
    assert!(!left.contains("squall.dev/undo"), "{left}");
}

/// A value that somebody else gave is let stand and told once.
fn others_values_stand(lab: &Lab, tried: &Tried) {
    let injection = format!("marks-{}-theirs", std::process::id());
    let before = plain(lab, &tried.object);
    strike(lab, &injection, tried);
    change(lab, &tried.object, "/spec/replicas", json!(2));
    let reverted = marks::put_back(&lab.cluster, &marks_of(lab, &injection)[0]).unwrap();
    assert!(
        matches!(&reverted, Reverted::LetStand { looked_at } if looked_at.contains("by somebody else")),
        "{reverted:?}"
    );
    assert_eq!(read(lab, &tried.object)["spec"]["replicas"], 2);
    assert_eq!(plain(lab, &tried.object)["metadata"], before["metadata"]);
}

/// Notes that were written by others, or for another object, change nothing.
fn forged_ones_lead_nowhere(lab: &Lab, tried: &Tried) {
    let injection = format!("marks-{}-forged", std::process::id());
    strike(lab, &injection, tried);
    let content = read(lab, &tried.object);
    // As a backup brings it back: the same words on another object.
    let labels = &content["metadata"]["labels"];
    let kind = Kind::REPLICA_SET;
    let copy = kind.named(tried.object.namespace.as_deref(), "few");
    change(lab, &copy, "/metadata/labels", labels.clone());
    let before = plain(lab, &copy);
    let marks = marks_of(lab, &injection);
    let [one, other] = marks.as_slice() else { panic!("{marks:?}") };
    let (copied, own) = if one.object.kind.kind == kind.kind { (one, other) } else { (other, one) };
    assert!(copied.held.is_none(), "{copied:?}");
    let reverted = marks::put_back(&lab.cluster, copied).unwrap();
    assert!(matches!(&reverted, Reverted::Drifted(told) if told.now.contains("a copy")), "{reverted:?}");
    assert_eq!(plain(lab, &copy), before);
    let reverted = marks::put_back(&lab.cluster, own).unwrap();
    assert!(matches!(reverted, Reverted::Undone { .. }), "{reverted:?}");
    assert_eq!(plain(lab, &copy), before);
}
