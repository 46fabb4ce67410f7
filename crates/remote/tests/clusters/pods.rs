//! Faults on pods, seen by what becomes of them.

use crate::door::{Clusters, change, planned, read, target, until};
use serde_json::{Value as Json, json};
use squall_engine::suite;
use squall_kubernetes::testing::{Lab, Room, in_a_room};
use squall_kubernetes::{Deletion, Kind, Pod, PodFilter, wait};
use squall_model::machine::Machine;
use squall_model::step::Step;
use squall_model::undo::{Effect, Evidence, Reverted, Undo};

/// Makes the steps of a fault, waits until each shows an effect, looks, and puts them back.
fn struck(
    lab: &Lab,
    fault: &str,
    kind: &str,
    selector: Json,
    with: &Json,
    look: impl FnOnce(),
) -> Vec<Reverted> {
    let mut machine = Clusters::of(lab);
    let steps = planned(&mut machine, "pods-1", fault, &target(lab, kind, selector), with).unwrap();
    let mut made: Vec<(Step, Undo)> = Vec::new();
    for step in steps {
        let undo = machine.capture(&step, "pods-1").unwrap();
        suite::apply(&mut machine, &step, &undo).unwrap();
        made.push((step, undo));
    }
    until("an effect", || {
        let applied: Vec<(&Step, &Undo)> = made.iter().map(|(step, undo)| (step, undo)).collect();
        let seen = machine.observe(&applied);
        seen.iter().all(|evidence| evidence.as_ref().unwrap().effect == Effect::Seen)
    });
    look();
    // Somebody else may have to do it, from the record alone.
    let mut other = Clusters::of(lab);
    made.iter().rev().map(|(_, undo)| other.revert(undo).unwrap()).collect()
}

fn pods(lab: &Lab, room: &str, labels: &str) -> Vec<Pod> {
    let filter = PodFilter { namespaces: vec![room.into()], labels: labels.into(), ..PodFilter::default() };
    wait(lab.cluster.pods(&filter)).unwrap()
}

/// Runs a test that waits for answers by itself on a thread of its own.
fn aside(lab: &Lab, room: &Room, test: fn(&Lab, &str)) {
    let (lab, name) = (lab.clone(), room.name.clone());
    std::thread::spawn(move || test(&lab, &name)).join().unwrap();
}

#[test]
fn a_pod_that_was_killed_is_replaced_and_another_of_its_name_is_spared() {
    in_a_room("kill", async |lab, room| {
        room.deployment("web", 2, "sleep 600").await?;
        room.pod("alone", &json!({"app": "alone"}), &room.pod_spec("sleep 600")).await?;
        aside(lab, room, |lab, room| {
            let before = pods(lab, room, "app=web");
            let selector = json!({"namespace": room, "names": [before[0].name]});
            let reverted = struck(lab, "k8s.pod_kill", "pod", selector, &json!({"grace": "0s"}), || ());
            assert!(matches!(reverted[0], Reverted::AlreadyGone { .. }), "{reverted:?}");
            until("another pod", || {
                let now = pods(lab, room, "app=web");
                now.len() == 2 && now.iter().all(|pod| pod.ready && pod.uid != before[0].uid)
            });
            assert!(pods(lab, room, "app=web").iter().any(|pod| pod.uid == before[1].uid));
            // A step that was planned for a pod does nothing to another one of its name.
            let mut machine = Clusters::of(lab);
            let named = target(lab, "pod", json!({"namespace": room, "names": ["alone"]}));
            let step = planned(&mut machine, "k-1", "k8s.pod_kill", &named, &json!({})).unwrap().remove(0);
            let pod = Kind::POD.named(Some(room), "alone");
            let object = read(lab, &pod);
            wait(lab.cluster.delete(&pod, &Deletion { grace: Some(0), ..Deletion::default() })).unwrap();
            until("it to be gone", || read(lab, &pod).is_null());
            let again = json!({"metadata": {"name": "alone"}, "spec": {
                "containers": [{"name": "main", "image": object["spec"]["containers"][0]["image"], "imagePullPolicy": "Never",
                    "command": ["sleep", "600"]}], "terminationGracePeriodSeconds": 0}});
            let made = wait(lab.cluster.create(&Kind::POD, Some(room), &again)).unwrap();
            let undo = machine.capture(&step, "k-1").unwrap();
            suite::apply(&mut machine, &step, &undo).unwrap();
            assert_eq!(read(lab, &pod)["metadata"]["uid"], made["metadata"]["uid"]);
            assert!(read(lab, &pod)["metadata"]["deletionTimestamp"].is_null());
        });
        Ok(())
    });
}

#[test]
fn a_pod_that_was_kept_from_working_works_again_with_its_own_image() {
    in_a_room("failure", async |lab, room| {
        room.deployment("web", 1, "sleep 600").await?;
        aside(lab, room, |lab, room| {
            let before = pods(lab, room, "app=web").remove(0);
            let selector = json!({"namespace": room, "labels": {"app": "web"}});
            let reverted = struck(lab, "k8s.pod_failure", "pod", selector, &json!({}), || {
                let pod = pods(lab, room, "app=web").remove(0);
                assert!(!pod.containers[0].running && pod.uid == before.uid, "{pod:?}");
                let found = Clusters::of(lab).leftovers().unwrap();
                let leftover = found.iter().find(|leftover| leftover.what.contains(&pod.name)).unwrap();
                assert_eq!(leftover.injection.as_deref(), Some("pods-1"), "{leftover:?}");
            });
            assert!(matches!(reverted[0], Reverted::Undone { .. }), "{reverted:?}");
            until("it to work", || {
                let pod = pods(lab, room, "app=web").remove(0);
                pod.ready && pod.uid == before.uid && pod.containers[0].image == before.containers[0].image
            });
        });
        Ok(())
    });
}

#[test]
fn a_pod_is_cut_off_by_a_policy_of_its_own_and_both_marks_are_found_and_taken_away() {
    in_a_room("policy", async |lab, room| {
        room.deployment("web", 1, "sleep 600").await?;
        aside(lab, room, |lab, room| {
            let selector = json!({"namespace": room, "labels": {"app": "web"}});
            let policies = || wait(lab.cluster.list(&Kind::NETWORK_POLICY, Some(room), "")).unwrap();
            let mut found = Vec::new();
            let reverted = struck(lab, "k8s.network_policy", "pod", selector, &json!({}), || {
                let policy = policies().remove(0);
                let labels = policy["spec"]["podSelector"]["matchLabels"].clone();
                let pod = pods(lab, room, "app=web").remove(0);
                let (name, value) = labels.as_object().unwrap().iter().next().unwrap();
                assert_eq!(pod.labels.get(name).map(String::as_str), value.as_str());
                let mut finder = Clusters::of(lab);
                let ours = |what: &str| what.contains(room);
                found = finder.leftovers().unwrap().into_iter().filter(|one| ours(&one.what)).collect();
                for leftover in &found {
                    assert!(matches!(finder.remove(leftover).unwrap(), Reverted::Undone { .. }));
                }
                assert!(policies().is_empty() && !pods(lab, room, "app=web")[0].labels.contains_key(name));
            });
            assert_eq!(found.len(), 2, "{found:?}");
            let nothing = |one: &Reverted| matches!(one, Reverted::AlreadyGone { .. });
            assert!(reverted.iter().all(nothing), "{reverted:?}");
        });
        Ok(())
    });
}

#[test]
fn a_policy_that_somebody_took_away_cuts_nobody_off_and_one_of_a_pod_that_is_gone_strikes_nothing() {
    in_a_room("lost", async |lab, room| {
        room.deployment("web", 1, "sleep 600").await?;
        aside(lab, room, |lab, room| {
            let selector = json!({"namespace": room, "labels": {"app": "web"}});
            let mut machine = Clusters::of(lab);
            let target = target(lab, "pod", selector);
            let steps = planned(&mut machine, "lost-1", "k8s.network_policy", &target, &json!({})).unwrap();
            let make = |machine: &mut Clusters, step: &Step| {
                let undo = machine.capture(step, "lost-1").unwrap();
                suite::apply(machine, step, &undo).unwrap();
                undo
            };
            let undos: Vec<Undo> = steps.iter().map(|step| make(&mut machine, step)).collect();
            let made: Vec<(&Step, &Undo)> = steps.iter().zip(&undos).collect();
            let shows = |machine: &mut Clusters| {
                let seen: Vec<_> = machine.observe(&made).into_iter().map(Result::unwrap).collect();
                (Evidence::effect_of(&seen), Evidence::line(&seen))
            };
            assert_eq!(shows(&mut machine).0, Effect::Seen);
            let pod = pods(lab, room, "app=web").remove(0);
            let label = "/metadata/labels/squall.dev~1isolated";
            change(lab, &pod.reference(), label, json!("nobody"));
            let (effect, line) = shows(&mut machine);
            assert!(effect == Effect::Lost && line.contains("labels.squall.dev/isolated of pod"), "{line}");
            change(lab, &pod.reference(), label, json!("lost-1"));
            assert_eq!(shows(&mut machine).0, Effect::Seen);
            let policy = Kind::NETWORK_POLICY.named(Some(room), "squall-lost-1");
            wait(lab.cluster.delete(&policy, &Deletion::default())).unwrap();
            let (effect, line) = shows(&mut machine);
            assert!(effect == Effect::Lost && line.contains("squall-lost-1 is not there"), "{line}");
            make(&mut machine, &steps[0]);
            let at_once = Deletion { grace: Some(0), ..Deletion::default() };
            wait(lab.cluster.delete(&pod.reference(), &at_once)).unwrap();
            until("the pod to be gone", || shows(&mut machine).0 == Effect::Gone);
            for undo in undos.iter().rev() {
                machine.revert(undo).unwrap();
            }
        });
        Ok(())
    });
}

#[test]
fn a_budget_is_respected_until_it_allows_more() {
    in_a_room("budget", async |lab, room| {
        room.deployment("web", 1, "sleep 600").await?;
        let spec = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}});
        let budget = json!({"metadata": {"name": "web"}, "spec": spec});
        lab.cluster.create(&Kind::POD_DISRUPTION_BUDGET, Some(&room.name), &budget).await?;
        let named = Kind::POD_DISRUPTION_BUDGET.named(Some(&room.name), "web");
        room.until("the budget to be counted", async || {
            Ok(lab.cluster.get(&named).await?.is_some_and(|budget| budget["status"]["expectedPods"] == 1))
        })
        .await?;
        aside(lab, room, |lab, room| {
            let before = pods(lab, room, "app=web").remove(0);
            let mut machine = Clusters::of(lab);
            let web = target(lab, "pod", json!({"namespace": room, "labels": {"app": "web"}}));
            let step = planned(&mut machine, "b-1", "k8s.evict", &web, &json!({})).unwrap().remove(0);
            let undo = machine.capture(&step, "b-1").unwrap();
            suite::apply(&mut machine, &step, &undo).unwrap();
            let look = |machine: &mut Clusters| machine.observe(&[(&step, &undo)]).remove(0).unwrap();
            let evidence = look(&mut machine);
            assert_eq!(evidence.effect, Effect::NotSeen);
            assert!(evidence.summary.contains("budget"), "{evidence:?}");
            assert_eq!(pods(lab, room, "app=web")[0].uid, before.uid);
            let budget = Kind::POD_DISRUPTION_BUDGET.named(Some(room), "web");
            wait(lab.cluster.delete(&budget, &Deletion::default())).unwrap();
            until("the eviction", || look(&mut machine).effect == Effect::Seen);
            until("another pod", || pods(lab, room, "app=web").iter().all(|pod| pod.uid != before.uid));
        });
        Ok(())
    });
}

#[test]
fn what_keeps_the_cluster_alive_is_spared_unless_it_is_named() {
    in_a_room("spared", async |lab, room| {
        let made = room.pod("mine", &json!({"squall.dev/mark": "x"}), &room.pod_spec("sleep 600")).await?;
        aside(lab, room, |lab, room| {
            let mut machine = Clusters::of(lab);
            let all = target(lab, "pod", json!({"namespace": room}));
            let found = machine.resolve(squall_model::facts::Scope::Pod, &all).unwrap();
            let [squall_model::facts::Subject::Pod(pod)] = found.as_slice() else { panic!("{found:?}") };
            assert!(pod.protected.as_ref().unwrap().contains("Squall's own"));
        });
        assert_eq!(made.name, "mine");
        Ok(())
    });
}
