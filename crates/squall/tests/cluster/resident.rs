//! Agents that stay on their nodes: runs use them and leave them there, several at once; and what a power cut left is put back when
//! one starts.

use crate::installed::Installed;
use crate::lab::{Run, Scene, kill, until, workers};
use squall_kubernetes::{Deletion, Kind, wait};
use std::process::Command;

fn installed(scene: &Scene) -> Installed<'_> {
    let operates = |object: &serde_json::Value| object["kind"] == "Deployment";
    Installed::of(scene, &[], |object| !operates(object))
}

/// A run that uses the agents that stay, and has no image to make others of.
fn command(scene: &Scene, experiment: &str) -> Command {
    let mut command = scene.command("run", experiment);
    command.arg("--resident-agents").env_remove("SQUALL_AGENT_IMAGE");
    command
}

fn limited(scene: &Scene, lasts: &str) -> Command {
    command(scene, &scene.experiment("network.bandwidth", "{rate: 2mbit}", lasts))
}

/// Nothing was made for the run, and nothing of it is left.
fn left_nothing(scene: &Scene, said: &str) {
    assert!(scene.agent_pods().is_empty(), "{said}");
    scene.is_as_before(said);
}

#[test]
fn runs_use_the_agent_that_stays_with_the_operators_own_rights_several_at_once() {
    let Some(scene) = Scene::open() else { return };
    let installed = installed(&scene);
    let agent = installed.agent();
    let kubeconfig = installed.kubeconfig();
    let mut first = limited(&scene, "25s");
    first.env("KUBECONFIG", &kubeconfig);
    let first = scene.begin(first, || !scene.marks().is_empty());
    assert!(scene.agent_pods().is_empty());
    assert!(scene.serves(&scene.client, &scene.web), "slowly");
    let busy =
        scene.experiment("cpu.load", "{percent: 10%, cores: 1}", "3s").replace("app: web", "app: client");
    let mut second = command(&scene, &busy);
    second.env("KUBECONFIG", &kubeconfig);
    let second = scene.begin_beside(second, || !workers().is_empty());
    assert!(!scene.marks().is_empty(), "the first one is over too soon: {}", first.said());
    let (code, said) = second.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(!scene.marks().is_empty(), "the end of the second took away what is the first one's");
    let (code, said) = first.end();
    assert_eq!(code, Some(0), "{said}");
    left_nothing(&scene, &said);
    assert_eq!(installed.agent().uid, agent.uid, "it stays");
}

fn delete(scene: &Scene, pod: &str, grace: Option<u32>) {
    let how = Deletion { grace, ..Deletion::default() };
    wait(scene.cluster.delete(&Kind::POD.named(Some(&scene.room.name), pod), &how)).unwrap();
}

#[test]
fn a_pod_that_is_deleted_in_the_middle_has_put_back_and_its_successor_does_what_a_power_cut_left() {
    let Some(scene) = Scene::open() else { return };
    let installed = installed(&scene);
    let before = installed.agent();
    let run: Run = scene.begin(limited(&scene, "120s"), || !scene.marks().is_empty());
    delete(&scene, &before.name, None);
    let (code, said) = run.end();
    assert_eq!(code, Some(4), "{said}");
    left_nothing(&scene, &said);

    let agent = installed.agent();
    assert_ne!(agent.uid, before.uid);
    let run = scene.begin(limited(&scene, "120s"), || !scene.marks().is_empty());
    let (hand, warden) = (scene.agent(), scene.warden());
    kill(warden);
    kill(hand);
    kill(run.child.id());
    drop(run);
    assert!(!scene.marks().is_empty(), "who took it away?");
    // It does what a node does that comes back: its agent starts.
    delete(&scene, &agent.name, Some(0));
    until("what was left to be put back", || scene.marks().is_empty());
    left_nothing(&scene, "by who starts");
    assert_ne!(installed.agent().uid, agent.uid);
}
