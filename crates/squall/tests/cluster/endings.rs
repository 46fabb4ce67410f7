//! However a run ends in the middle, everything is as before, and nothing of Squall is left on the node or in the cluster.

use crate::lab::{LABEL, Run, Scene, ctr, kill, run, until};
use serde_json::{Value as Json, json};
use squall_kubernetes::{Deletion, Kind, wait};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A limit on bandwidth stays in the kernel when its maker dies: somebody must take it away.
fn begun(scene: &Scene) -> Run {
    let command = scene.command("run", &scene.experiment("network.bandwidth", "{rate: 2mbit}", "120s"));
    scene.begin(command, || !scene.marks().is_empty())
}

fn aborted(scene: &Scene, run: Run) {
    let (code, said) = run.end();
    assert_eq!(code, Some(4), "{said}");
    scene.is_as_before(&said);
}

#[test]
fn the_brain_is_killed() {
    let Some(scene) = Scene::open() else { return };
    let run = begun(&scene);
    kill(run.child.id());
    let (_, said) = run.end();
    scene.is_as_before(&said);
}

#[test]
fn the_agent_on_the_node_is_killed_and_then_its_warden_too() {
    let Some(scene) = Scene::open() else { return };
    let run = begun(&scene);
    kill(scene.agent());
    aborted(&scene, run);

    let run = begun(&scene);
    let (agent, warden) = (scene.agent(), scene.warden());
    // The warden first: it would be as quick as we are.
    kill(warden);
    kill(agent);
    aborted(&scene, run);
}

#[test]
fn the_pod_is_deleted_with_and_without_grace_and_killed_by_what_runs_it() {
    let Some(scene) = Scene::open() else { return };
    for grace in [None, Some(0)] {
        let run = begun(&scene);
        let pod = scene.agent_pods().remove(0);
        let name = pod["metadata"]["name"].as_str().unwrap();
        let how = Deletion { grace, ..Deletion::default() };
        wait(scene.cluster.delete(&Kind::POD.named(Some(&scene.room.name), name), &how)).unwrap();
        aborted(&scene, run);
    }
    let run = begun(&scene);
    let pod = scene.agent_pods().remove(0);
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
    run_kill(id.rsplit('/').next().unwrap());
    aborted(&scene, run);
}

/// Who looks whether everything is put back is made where the kubeconfig's context is: here the namespace of the scene.
#[test]
fn the_namespace_of_the_agents_is_deleted() {
    let Some(scene) = Scene::open() else { return };
    let name = format!("{}-agents", scene.room.name);
    let namespace = Kind::NAMESPACE.named(None, &name);
    let object = json!({"metadata": {"name": name, "labels": {"squall.dev/test": "true"}}});
    wait(scene.cluster.create(&Kind::NAMESPACE, None, &object)).unwrap();
    let account = Kind::SERVICE_ACCOUNT.named(Some(&name), "default");
    until("its service account", || wait(scene.cluster.get(&account)).unwrap().is_some());
    let text = std::fs::read_to_string(&scene.kubeconfig).unwrap();
    let here = format!("cluster: lab, namespace: {}", scene.room.name);
    let experiment = scene.experiment("network.bandwidth", "{rate: 2mbit}", "120s");
    let mut command = scene.command_with_agents_in(&name, "run", &experiment);
    command.env("KUBECONFIG", scene.kubeconfig_of_our_own(&text.replacen("cluster: lab", &here, 1)));
    let run = scene.begin(command, || !scene.marks().is_empty());
    wait(scene.cluster.delete(&namespace, &Deletion::default())).unwrap();
    let (code, said) = run.end();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("of the agents is gone"), "{said}");
    scene.is_as_before(&said);
}

/// All that is in the container is killed, by what runs it.
fn run_kill(container: &str) {
    run(&mut ctr(&["tasks", "kill", "--all", "--signal", "SIGKILL", container])).unwrap();
}

#[test]
fn everything_is_killed_and_the_next_run_takes_what_is_left() {
    let Some(scene) = Scene::open() else { return };
    let first = begun(&scene);
    let pod = scene.agent_pods().remove(0);
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap().to_owned();
    let (agent, warden, brain) = (scene.agent(), scene.warden(), first.child.id());
    kill(warden);
    kill(agent);
    kill(brain);
    run_kill(id.rsplit('/').next().unwrap());
    drop(first);
    assert!(!scene.marks().is_empty(), "who took it away?");
    let command = scene.command("run", &scene.experiment("cpu.load", "{percent: 10%, cores: 1}", "1s"));
    let next = scene.begin(command, || scene.marks().is_empty());
    let (code, said) = next.end();
    assert_eq!(code, Some(0), "{said}");
    scene.is_as_before(&said);
}

/// A way to the cluster that can be cut, or swallow all that comes.
struct Way {
    port: u16,
    state: Arc<AtomicU8>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

const OPEN: u8 = 0;
const SWALLOWS: u8 = 1;

impl Way {
    fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, streams) = (Arc::new(AtomicU8::new(OPEN)), Arc::new(Mutex::new(Vec::new())));
        let (swallows, kept) = (Arc::clone(&state), Arc::clone(&streams));
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&server) else { continue };
                kept.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let swallows = Arc::clone(&swallows);
                    std::thread::spawn(move || pass(from, to, &swallows));
                }
            }
        });
        Self { port, state, streams }
    }

    /// Ends all streams; new ones are let through.
    fn cut(&self) {
        self.streams.lock().unwrap().drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    fn swallow(&self) {
        self.state.store(SWALLOWS, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, swallows: &AtomicU8) {
    let mut buffer = [0; 16384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if swallows.load(Ordering::Relaxed) == OPEN && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A run whose way to the cluster is in our hands. What speaks to the cluster without it is not.
fn begun_over(scene: &Scene) -> (Way, Run) {
    let text = std::fs::read_to_string(&scene.kubeconfig).unwrap();
    let at = text.find("https://").unwrap() + "https://".len();
    let server = text[at..].split(['"', ',', '}', '\n']).next().unwrap().to_owned();
    let way = Way::to(server.clone());
    let host = server.split(':').next().unwrap();
    let ours = text.replace(
        &format!("https://{server}\""),
        &format!("https://127.0.0.1:{}\", tls-server-name: \"{host}\"", way.port),
    );
    assert_ne!(ours, text);
    let file = scene.kubeconfig_of_our_own(&ours);
    let mut command = scene.command("run", &scene.experiment("network.bandwidth", "{rate: 2mbit}", "120s"));
    command.env("KUBECONFIG", file);
    let run = scene.begin(command, || !scene.marks().is_empty());
    (way, run)
}

#[test]
fn the_stream_is_cut() {
    let Some(scene) = Scene::open() else { return };
    let (way, run) = begun_over(&scene);
    way.cut();
    aborted(&scene, run);
}

#[test]
fn the_way_to_the_cluster_swallows_everything() {
    let Some(scene) = Scene::open() else { return };
    let (way, run) = begun_over(&scene);
    way.swallow();
    // The lease is all that tells the agent.
    until("the fault ends within the lease", || scene.marks().is_empty());
    until("the agent ends when its stream does, or is told to", || {
        // The way comes back.
        way.state.store(OPEN, Ordering::Relaxed);
        way.cut();
        std::thread::sleep(Duration::from_secs(1));
        scene.hands().is_empty()
    });
    let (code, said) = run.end();
    assert!(code == Some(4) || code == Some(6), "{code:?}: {said}");
    scene.is_as_before(&said);
}

#[test]
fn a_run_that_is_dead_for_long_is_swept_by_the_next_one() {
    let Some(scene) = Scene::open() else { return };
    let lease = serde_json::json!({
        "metadata": {"name": "squall-dead", "labels": {LABEL: "dead", "app.kubernetes.io/name": "squall"}},
        "spec": {"leaseDurationSeconds": 60, "renewTime": "2020-01-01T00:00:00.000000Z"},
    });
    let lease = wait(scene.cluster.create(&Kind::LEASE, Some(&scene.room.name), &lease)).unwrap();
    let mut spec: Json = scene.room.pod_spec("sleep 1000");
    spec["restartPolicy"] = "Never".into();
    let owner = serde_json::json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": "squall-dead", "uid": lease["metadata"]["uid"],
    });
    let pod = serde_json::json!({
        "metadata": {"name": "squall-dead-1", "labels": {LABEL: "dead"}, "ownerReferences": [owner]},
        "spec": spec,
    });
    wait(scene.cluster.create(&Kind::POD, Some(&scene.room.name), &pod)).unwrap();
    let command = scene.command("run", &scene.experiment("cpu.load", "{percent: 10%, cores: 1}", "1s"));
    let run = scene.begin(command, || {
        wait(scene.cluster.get(&Kind::LEASE.named(Some(&scene.room.name), "squall-dead"))).unwrap().is_none()
    });
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    scene.is_as_before(&said);
}
