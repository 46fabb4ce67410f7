//! What faults in pods do, seen from other pods and from the cluster.

use crate::lab::{Scene, timed, until, workers};
use squall_kubernetes::wait;

#[test]
fn half_of_a_pods_packets_are_lost_for_others_and_all_come_through_after() {
    let Some(scene) = Scene::open() else { return };
    assert!((scene.answered(&scene.client, &scene.web) - 100.0).abs() < 0.1);
    let command = scene.command("run", &scene.experiment("network.loss", "{loss: 50%}", "12s"));
    let run = scene.begin(command, || !scene.marks().is_empty());
    let pod = scene.agent_pods().remove(0);
    let context = &pod["spec"]["containers"][0]["securityContext"];
    assert!(context["privileged"].is_null(), "{context}");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "Lease");
    let answered = scene.answered(&scene.client, &scene.web);
    assert!((20.0..80.0).contains(&answered), "{answered}% come through");
    // Nobody else is struck.
    assert!((scene.answered(&scene.web, &scene.web) - 100.0).abs() < 0.1);
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    scene.is_as_before(&said);
}

#[test]
fn a_pods_bandwidth_is_limited_for_others() {
    let Some(scene) = Scene::open() else { return };
    let (before, served) = timed(|| scene.serves(&scene.client, &scene.web));
    assert!(served);
    let command = scene.command("run", &scene.experiment("network.bandwidth", "{rate: 2mbit}", "15s"));
    let run = scene.begin(command, || !scene.marks().is_empty());
    // A megabyte at two megabits a second.
    let (during, served) = timed(|| scene.serves(&scene.client, &scene.web));
    assert!(served);
    assert!(during > before * 4, "{during:?} in place of {before:?}");
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    scene.is_as_before(&said);
}

#[test]
fn two_deployments_are_cut_from_each_other_on_both_sides_and_from_nobody_else() {
    let Some(scene) = Scene::open() else { return };
    let bystander = wait(scene.room.deployment("other", 1, "sleep 1000")).unwrap().remove(0);
    let with = format!(
        "{{destination: {{pod: {{namespace: {}, labels: {{app: client}}}}}}, direction: both}}",
        scene.room.name
    );
    let command = scene.command("run", &scene.experiment("network.partition", &with, "15s"));
    let run = scene.begin(command, || !scene.marks().is_empty());
    assert!(!scene.serves(&scene.client, &scene.web), "the client reaches the server");
    assert!(!scene.serves(&scene.web, &scene.client), "the server reaches the client");
    assert!(scene.serves(&bystander, &scene.web), "somebody else does not reach the server");
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(scene.serves(&scene.client, &scene.web) && scene.serves(&scene.web, &scene.client));
    scene.is_as_before(&said);
}

#[test]
fn the_process_of_a_container_is_killed_and_the_cluster_starts_it_again() {
    let Some(scene) = Scene::open() else { return };
    let restarts = || {
        let pod = wait(scene.cluster.pod(&scene.web.namespace, &scene.web.name)).unwrap().unwrap();
        pod.containers[0].restarts
    };
    assert_eq!(restarts(), 0);
    let command = scene.command("run", &scene.experiment("process.kill", "{}", "3s"));
    let run = scene.begin(command, || restarts() == 1);
    let (_, said) = run.end();
    assert!(said.contains("process.kill on container main of pod"), "{said}");
    until("the server", || scene.serves(&scene.client, &scene.web));
    scene.is_as_before(&said);
}

#[test]
fn a_container_that_is_started_again_is_killed_again_where_its_pod_is_followed() {
    let Some(scene) = Scene::open() else { return };
    let restarts = || {
        let pod = wait(scene.cluster.pod(&scene.web.namespace, &scene.web.name)).unwrap().unwrap();
        pod.containers[0].restarts
    };
    let experiment =
        scene.experiment("process.kill", "{}", "50s").replace("    for: ", "    follow: true\n    for: ");
    let run = scene.begin(scene.command("run", &experiment), || restarts() >= 2);
    let (_, said) = run.end();
    assert!(said.contains("joined later"), "{said}");
    // A kubelet waits longer each time that it starts the same one again.
    until("the server", || scene.serves(&scene.client, &scene.web));
    scene.is_as_before(&said);
}

#[test]
fn a_pod_that_comes_in_the_middle_loses_its_packets_too() {
    let Some(scene) = Scene::open() else { return };
    let experiment = scene
        .experiment("network.loss", "{loss: 100%}", "40s")
        .replace("    for: ", "    follow: true\n    for: ");
    let run = scene.begin(scene.command("run", &experiment), || !scene.marks().is_empty());
    scene.scale("web", 2);
    let mut other = None;
    until("another server", || {
        other = scene.pods("web").into_iter().find(|pod| pod.uid != scene.web.uid && pod.ready);
        other.is_some()
    });
    let other = other.unwrap();
    until("its marks", || !scene.marks_of(&other).is_empty());
    assert!(scene.answered(&scene.client, &other) < 1.0);
    let (code, said) = run.end();
    // Nobody could ask the server.
    assert!(code == Some(1) && said.contains("2 of 2 injections put back"), "{said}");
    assert!(scene.marks_of(&other).is_empty() && (scene.answered(&scene.client, &other) - 100.0).abs() < 0.1);
    scene.is_as_before(&said);
}

#[test]
fn memory_and_processor_are_taken_within_the_pods_own_control_groups() {
    let Some(scene) = Scene::open() else { return };
    let number = |file: &str| {
        let (code, printed) = scene.shell(&scene.web, &format!("cat /sys/fs/cgroup/{file}"));
        if code == 0 { printed.trim().parse::<u64>().ok() } else { None }
    };
    let Some(before) = number("memory/memory.usage_in_bytes") else {
        println!("skipped: control groups of version 2 have other files");
        return;
    };
    let command = scene.command("run", &scene.experiment("memory.spike", "{size: 60MiB}", "6s"));
    let run = scene.begin(command, || {
        number("memory/memory.usage_in_bytes").is_some_and(|now| now > before + (50 << 20))
    });
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(number("memory/memory.usage_in_bytes").unwrap() < before + (30 << 20));

    let group = |pid: u32| {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        groups.lines().find_map(|line| Some(line.split_once(":cpu:")?.1.to_owned()))
    };
    let own = group(scene.process_of(&scene.web).unwrap());
    assert!(own.is_some());
    let command = scene.command("run", &scene.experiment("cpu.load", "{percent: 50%, cores: 1}", "6s"));
    let run = scene.begin(command, || workers().into_iter().any(|pid| group(pid) == own));
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    scene.is_as_before(&said);
}
