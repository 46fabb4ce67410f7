//! What cannot be done is refused with the reason, and leaves nothing.

use crate::lab::Scene;
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
