//! The laws of the suite, on a real API server.

use crate::door::{Clusters, change, planned, read, target};
use serde_json::{Value as Json, json};
use squall_engine::suite::{self, Deed, Sample, Trial};
use squall_kubernetes::testing::{Lab, Room, in_a_room};
use squall_kubernetes::{ClusterError, Deletion, Kind, Reference, wait};
use squall_model::target::Target;
use std::cell::Cell;
use std::rc::Rc;

/// How a fault is tried on an object that is made for it.
struct Tried {
    fault: &'static str,
    with: Json,
    target: Target,
    /// Which of the fault's steps is meant.
    step: usize,
    object: Reference,
    /// What of the object is looked at.
    part: fn(&Json) -> Json,
    /// What somebody else would write, and where.
    meddling: Option<(&'static str, Json)>,
}

fn sample(lab: &Lab, make: impl Fn(u32) -> Tried + 'static) -> Sample<Clusters> {
    let (lab, count) = (lab.clone(), Rc::new(Cell::new(0)));
    Sample {
        name: make(0).fault,
        prepare: Box::new(move |machine| {
            count.set(count.get() + 1);
            let tried = make(count.get());
            // Others may put this suite through the same cluster.
            let injection = format!("law-{}-{}", std::process::id(), count.get());
            let mut steps = planned(machine, &injection, tried.fault, &tried.target, &tried.with).unwrap();
            let step = steps.remove(tried.step);
            let (lab, object, part) = (lab.clone(), tried.object.clone(), tried.part);
            let meddle = tried.meddling.clone().map(|(path, value)| -> Deed {
                let (lab, object) = (lab.clone(), tried.object.clone());
                Box::new(move || change(&lab, &object, path, value.clone()))
            });
            Trial {
                marked: true,
                step,
                injection,
                look: Box::new(move || part(&read(&lab, &object)).to_string()),
                reversible: true,
                destroy: None,
                meddle,
            }
        }),
    }
}

/// Deployments that never have a pod, one for each trial.
async fn deployments(lab: &Lab, room: &Room, count: u32) -> Result<(), ClusterError> {
    for number in 1..=count {
        let name = format!("scaled-{number}");
        let labels = json!({"app": name});
        let spec = json!({
            "replicas": 3, "paused": true, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": room.pod_spec("sleep 600")},
        });
        let object = json!({"metadata": {"name": name}, "spec": spec});
        lab.cluster.create(&Kind::DEPLOYMENT, Some(&room.name), &object).await?;
        let routes = json!([{"route": []}, {"name": "slow", "fault": {"abort": {"httpStatus": 500}}}]);
        let service = json!({"metadata": {"name": name}, "spec": {"hosts": ["shop"], "http": routes}});
        lab.cluster.create(&Kind::VIRTUAL_SERVICE, Some(&room.name), &service).await?;
        let node = json!({"metadata": {"name": format!("{}-{name}", room.name)}, "spec": {}});
        lab.cluster.create(&Kind::NODE, None, &node).await?;
    }
    Ok(())
}

fn spec(content: &Json) -> Json {
    content["spec"].clone()
}

/// Our taints, and those that others gave it in the test. Controllers add some of their own.
fn taints(node: &Json) -> Json {
    let none = Vec::new();
    let all = node["spec"]["taints"].as_array().unwrap_or(&none);
    let of_tests = |taint: &&Json| taint["key"].as_str().is_some_and(|key| key.starts_with("squall.dev/"));
    all.iter().filter(of_tests).cloned().collect()
}

/// How many trials a sample has at most.
const TRIALS: u32 = 16;

#[test]
fn steps_on_objects_keep_the_laws() {
    in_a_room("laws", async |lab, room| {
        room.with_virtual_services().await?;
        deployments(lab, room, TRIALS).await?;
        // The suite asks the cluster by itself, and waits for each answer.
        let (lab, name) = (lab.clone(), room.name.clone());
        let broken = std::thread::spawn(move || laws(&lab, &name)).join().unwrap();
        assert!(broken.is_empty(), "{}", suite::describe(&broken));
        Ok(())
    });
}

fn laws(lab: &Lab, room: &str) -> Vec<suite::Broken> {
    let named = |kind: &Kind, number: u32| kind.named(Some(room), &format!("scaled-{}", number.max(1)));
    let node = |number: u32| Kind::NODE.named(None, &format!("{room}-scaled-{}", number.max(1)));
    let of = |lab: &Lab, kind: &str, object: &Reference| {
        let mut selector = json!({"name": object.name});
        if let Some(namespace) = &object.namespace {
            selector["namespace"] = json!(namespace);
        }
        target(lab, kind, selector)
    };
    let scaled = |number| {
        let object = named(&Kind::DEPLOYMENT, number);
        Tried {
            fault: "k8s.scale",
            with: json!({"replicas": 0}),
            target: of(lab, "workload", &object),
            step: 0,
            object,
            part: spec,
            meddling: Some(("/spec/replicas", json!(7))),
        }
    };
    let delayed = |number| {
        let object = named(&Kind::VIRTUAL_SERVICE, number);
        Tried {
            fault: "istio.delay",
            with: json!({"delay": "5s", "probability": "10%", "route": "slow"}),
            target: of(lab, "virtual_service", &object),
            step: 0,
            object,
            part: spec,
            meddling: Some(("/spec/http/1/fault", json!({"delay": {"fixedDelay": "1s"}}))),
        }
    };
    let closed = |number| {
        let object = node(number);
        Tried {
            fault: "k8s.cordon",
            with: json!({}),
            target: of(lab, "node", &object),
            step: 0,
            object,
            part: |node| node["spec"]["unschedulable"].clone(),
            meddling: None,
        }
    };
    let tainted = |number| {
        let object = node(number);
        Tried {
            fault: "k8s.taint",
            with: json!({"key": "squall.dev/law", "effect": "NoSchedule"}),
            target: of(lab, "node", &object),
            step: 0,
            object,
            part: taints,
            meddling: None,
        }
    };
    let _nodes = Nodes(lab, (1..=TRIALS).map(node).collect());
    {
        let mut samples = [
            sample_of(lab, scaled),
            sample_of(lab, delayed),
            sample_of(lab, closed),
            sample_of(lab, tainted),
        ];
        suite::check(&mut Clusters::of(lab), &mut samples)
    }
}

/// Nodes that go with the test, however it ends.
struct Nodes<'l>(&'l Lab, Vec<Reference>);

impl Drop for Nodes<'_> {
    fn drop(&mut self) {
        for node in &self.1 {
            let _ = wait(self.0.cluster.delete(node, &Deletion::default()));
        }
    }
}

/// The same for what borrows; the suite is over before what it borrows is gone.
fn sample_of(lab: &Lab, make: impl Fn(u32) -> Tried) -> Sample<Clusters> {
    let all: Vec<Tried> = (0..=TRIALS).map(make).collect();
    sample(lab, move |number| {
        let tried = &all[number as usize];
        Tried {
            with: tried.with.clone(),
            target: tried.target.clone(),
            object: tried.object.clone(),
            meddling: tried.meddling.clone(),
            ..*tried
        }
    })
}
