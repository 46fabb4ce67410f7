//! Faults on objects of a real cluster, by the built program and whoever is killed in the middle; seen through the API.

#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/between.rs"]
mod between;
mod support;

use between::Between;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use squall_kubernetes::testing::{Lab, in_a_room};
use squall_kubernetes::{Deletion, Kind, Operation, Pod, PodFilter, wait};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::Ordering;
use support::{Ended, wait_until};
use tempfile::TempDir;

/// A namespace of the cluster, and a folder to run in.
struct Stage {
    lab: Lab,
    room: String,
    folder: TempDir,
    kubeconfig: PathBuf,
}

impl Stage {
    /// Runs a test beside a namespace of its own, with so many pods of each of these names.
    fn with(word: &str, deployments: &[(&str, u32)], test: fn(&Self)) {
        in_a_room(word, async |lab, room| {
            for (name, count) in deployments {
                room.deployment(name, *count, "sleep 600").await?;
            }
            let (lab, room) = (lab.clone(), room.name.clone());
            let kubeconfig = lab.place.kubeconfig.clone().unwrap();
            let stage = Self { lab, room, folder: tempfile::tempdir().unwrap(), kubeconfig };
            std::thread::spawn(move || test(&stage)).join().unwrap();
            Ok(())
        });
    }

    fn pods(&self, app: &str) -> Vec<Pod> {
        let filter = PodFilter {
            namespaces: vec![self.room.clone()],
            labels: format!("app={app}"),
            ..PodFilter::default()
        };
        wait(self.lab.cluster.pods(&filter)).unwrap()
    }

    fn uids(&self, app: &str) -> BTreeSet<String> {
        self.pods(app).into_iter().map(|pod| pod.uid).collect()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text.replace("ROOM", &self.room)).unwrap();
    }

    fn squall(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("SQUALL_STATE", self.folder.path().join("state")).env("KUBECONFIG", &self.kubeconfig);
        command.env_remove("SQUALL_LOG");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.squall(arguments).output().unwrap()
    }

    /// Starts a run that keeps the pod of `web` from working for long, and waits until it does not.
    fn failing(&self, lasts: &str) -> Ended {
        let brain = self.striking(
            "k8s.pod_failure",
            &format!("target: {{pod: {{namespace: ROOM, labels: {{app: web}}}}}}\n    for: {lasts}\n"),
        );
        // Its kubelet has ended it, and the run has seen that.
        wait_until(|| !self.has_own_image() && self.log().contains("do not run"));
        brain
    }

    /// Starts a run of one fault.
    fn striking(&self, fault: &str, rest: &str) -> Ended {
        self.write(
            "one.yaml",
            &format!(
                "apiVersion: squall.dev/v1\nkind: Experiment\nname: one\nmethod:\n  - fault: {fault}\n    {rest}"
            ),
        );
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = self.squall(&["run", "one.yaml", "--yes"]);
        Ended(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// Kills all of a run at once, and loses its log.
    fn lost(&self, brain: &Ended) {
        kill_all(brain);
        fs::remove_dir_all(self.folder.path().join("state")).unwrap();
    }

    /// Lets what was changed there be over for long.
    fn pass_the_time(&self, kind: &Kind) {
        let struck = wait(self.lab.cluster.list(kind, Some(&self.room), "squall.dev/struck")).unwrap();
        for object in struck {
            let metadata = &object["metadata"];
            let is_ours = |entry: &(&String, &Json)| entry.0.starts_with("squall.dev/undo.");
            let (name, note) = metadata["annotations"].as_object().unwrap().iter().find(is_ours).unwrap();
            let mut note: Json = serde_json::from_str(note.as_str().unwrap()).unwrap();
            note["held"]["until"] = json!("2020-01-01T00:00:00Z");
            let path = squall_kubernetes::pointer(&["metadata", "annotations", name]);
            let older = Operation::Replace { path, value: json!(note.to_string()) };
            let named = kind.named(Some(&self.room), metadata["name"].as_str().unwrap());
            wait(self.lab.cluster.patch(&named, &[older])).unwrap();
        }
    }

    /// The lines that a command says of this room.
    fn told(&self, arguments: &[&str]) -> String {
        let said = words(&self.run(arguments));
        said.lines().filter(|line| line.contains(&self.room)).collect::<Vec<_>>().join("\n")
    }

    /// Puts another pod in place of that of `web`: a kubelet waits longer each time that it starts the same one again.
    fn renew(&self) {
        let [pod] = &self.pods("web")[..] else { panic!("there is more than one pod") };
        let how = Deletion { grace: Some(0), ..Deletion::default() };
        wait(self.lab.cluster.delete(&Kind::POD.named(Some(&self.room), &pod.name), &how)).unwrap();
        wait_until(|| self.works() && self.pods("web")[0].uid != pod.uid);
    }

    /// What the run that was started last has said.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Whether the pod of `web` has its own image and runs.
    fn works(&self) -> bool {
        let [pod] = &self.pods("web")[..] else { return false };
        self.has_own_image() && pod.containers[0].running
    }

    fn has_own_image(&self) -> bool {
        self.pods("web").iter().all(|pod| self.is_own_image(pod))
    }

    fn is_own_image(&self, pod: &Pod) -> bool {
        pod.containers[0].image == self.lab.image
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Those that a process has started and that live, and those that they have.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for thread in threads {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}

fn send(signal: &str, pid: u32) {
    // It may have ended by itself meanwhile.
    let _ = Command::new("kill").args(["-s", signal, &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Kills a run with its agent and its warden, of whom none sees another die first.
fn kill_all(brain: &Ended) {
    let family = [vec![brain.0.id()], descendants(brain.0.id())].concat();
    assert!(family.len() >= 3, "{family:?}");
    family.iter().rev().for_each(|one| send("STOP", *one));
    family.iter().for_each(|one| send("KILL", *one));
}

#[test]
fn a_manifest_of_chaos_mesh_kills_as_many_as_it_says_and_nobody_else() {
    Stage::with("seed", &[("payment-service", 3), ("other", 2)], |stage| {
        // As in the field, but for the namespace and the time.
        stage.write(
            "kill.yaml",
            "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {name: pod-failure, namespace: ROOM}\nspec:\n  \
             mode: random-max-percent\n  value: \"30\"\n  action: pod-kill\n  duration: \"3s\"\n  selector:\n    \
             namespaces: [ROOM]\n    labelSelectors: {app: payment-service}\n  scheduler: {cron: \"@every 2h\"}\n",
        );
        let (payment, other) = (stage.uids("payment-service"), stage.uids("other"));
        let plan = stage.run(&["plan", "kill.yaml"]);
        assert!(plan.status.success(), "{}", words(&plan));
        assert!(words(&plan).contains("@every 2h"), "{}", words(&plan));
        assert_eq!(stage.uids("payment-service"), payment);
        let run = stage.run(&["run", "kill.yaml", "--yes"]);
        assert_eq!(run.status.code(), Some(0), "{}", words(&run));
        wait_until(|| {
            let pods = stage.pods("payment-service");
            pods.len() == 3 && pods.iter().all(|pod| pod.ready)
        });
        assert_eq!(stage.uids("payment-service").intersection(&payment).count(), 2);
        assert_eq!(stage.uids("other"), other);
    });
}

/// A fault that has nothing to do with the pod.
const OTHER: &str = "apiVersion: squall.dev/v1\nkind: Experiment\nname: other\nmethod:\n  - fault: k8s.scale\n    \
                     target: {workload: {namespace: ROOM, name: web}}\n    with: {replicas: 2}\n    for: 1s\n";

#[test]
fn whoever_is_killed_the_pod_works_again() {
    Stage::with("killed", &[("web", 1)], |stage| {
        // The brain: its agent puts back. The agent: its warden does. Both: the warden as well.
        for victims in [&[0_usize][..], &[1], &[0, 1]] {
            let mut brain = stage.failing("120s");
            let family = [vec![brain.0.id()], descendants(brain.0.id())].concat();
            assert!(family.len() >= 3, "{family:?}");
            victims.iter().for_each(|victim| send("KILL", family[*victim]));
            wait_until(|| stage.works());
            brain.0.wait().unwrap();
            stage.renew();
        }
        let web = stage.uids("web");
        // All three: whoever comes next does, and until then the mark is found from anywhere.
        let brain = stage.failing("120s");
        kill_all(&brain);
        let found = stage.run(&["leftovers", "--cluster"]);
        assert!(
            !found.status.success() && words(&found).contains(&format!("pod {}/web", stage.room)),
            "{}",
            words(&found)
        );
        // Who has another state folder keeps his hands from it; and a plan puts nothing back, nor does its warden.
        let mut elsewhere = stage.squall(&["run", "one.yaml", "--yes"]);
        let refused = elsewhere.env("SQUALL_STATE", stage.folder.path().join("elsewhere")).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
        assert!(words(&refused).contains("is held by injection"), "{}", words(&refused));
        stage.write("other.yaml", OTHER);
        let plan = words(&stage.run(&["plan", "other.yaml"]));
        assert!(plan.contains("still to be put back: 1"), "{plan}");
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert!(!stage.has_own_image(), "a plan has put something back");
        let recovered = stage.run(&["recover"]);
        assert!(recovered.status.success(), "{}", words(&recovered));
        wait_until(|| stage.works());
        assert_eq!(stage.uids("web"), web, "another pod works");
        let nothing = words(&stage.run(&["leftovers", "--cluster"]));
        assert!(!nothing.contains(&stage.room), "{nothing}");
    });
}

#[test]
fn without_a_log_the_marks_tell_what_is_to_be_put_back_and_when() {
    Stage::with("lost", &[("web", 1)], |stage| {
        let web = stage.uids("web");
        let brain = stage.failing("120s");
        let run = |stage: &Stage| {
            let found = stage.run(&["leftovers", "--cluster", "--json"]);
            let found: Json = serde_json::from_slice(&found.stdout).unwrap();
            let ours = |one: &&Json| one["what"].as_str().unwrap().contains(&stage.room);
            let run = found.as_array().unwrap().iter().find(ours).map(|one| one["held"]["run"].clone());
            run.unwrap().as_str().unwrap().to_owned()
        };
        // Whoever lives is let be, and told as such.
        let told = stage.told(&["leftovers", "--cluster"]);
        assert!(told.starts_with("left alone") && told.contains("which the living agent"), "{told}");
        stage.told(&["recover", "--cluster"]);
        assert!(!stage.has_own_image());
        stage.lost(&brain);
        // That it is dead nobody can know before its time is over.
        for verb in ["leftovers", "recover"] {
            let told = stage.told(&[verb, "--cluster"]);
            let name = run(stage);
            assert!(told.contains("left alone") && told.contains(&format!("--dead {name}")), "{told}");
        }
        assert!(!stage.has_own_image());
        stage.pass_the_time(&Kind::POD);
        let told = words(&stage.run(&["leftovers", "--cluster"]));
        assert!(told.contains("overdue by"), "{told}");
        let told = stage.told(&["recover", "--cluster"]);
        assert!(told.starts_with("put back"), "{told}");
        wait_until(|| stage.works());
        assert_eq!(stage.uids("web"), web, "another pod works");

        // One that somebody knows to be dead need not be waited for.
        let rest =
            "target: {workload: {namespace: ROOM, name: web}}\n    with: {replicas: 0}\n    for: 120s\n";
        let brain = stage.striking("k8s.scale", rest);
        wait_until(|| stage.pods("web").is_empty());
        stage.lost(&brain);
        let told = stage.told(&["recover", "--cluster", "--dead", "another-run"]);
        assert!(told.contains("left alone"), "{told}");
        let told = stage.told(&["recover", "--cluster", "--dead", &run(stage)]);
        assert!(told.starts_with("put back"), "{told}");
        wait_until(|| stage.pods("web").len() == 1);
        assert_eq!(stage.told(&["leftovers", "--cluster"]), "");
        for (kind, name) in [(Kind::DEPLOYMENT, "web"), (Kind::REPLICA_SET, "")] {
            let objects = wait(stage.lab.cluster.list(&kind, Some(&stage.room), "")).unwrap();
            let is_it = |object: &&Json| object["metadata"]["name"].as_str().unwrap().starts_with(name);
            let ours = objects.iter().find(is_it).unwrap()["metadata"].to_string();
            assert!(!ours.contains("squall.dev/undo") && !ours.contains("squall.dev/struck"), "{ours}");
        }
    });
}

#[test]
fn a_pod_that_goes_before_its_turn_is_passed_over_and_the_others_are_struck() {
    Stage::with("early", &[("web", 2)], |stage| {
        stage.write(
            "early.yaml",
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: early\nsteady_state:\n  \
             - exec: {command: [sleep, '4'], timeout: 20s}\nmethod:\n  \
             - fault: k8s.pod_failure\n    target: {pod: {namespace: ROOM, labels: {app: web}}}\n    \
             for: 3s\n",
        );
        let mut brain = stage.start_file("early.yaml");
        wait_until(|| stage.log().contains("steady state"));
        let gone = stage.pods("web").remove(0);
        let how = Deletion { grace: Some(0), ..Deletion::default() };
        wait(stage.lab.cluster.delete(&Kind::POD.named(Some(&stage.room), &gone.name), &how)).unwrap();
        wait_until(|| stage.pods("web").iter().any(|pod| !stage.is_own_image(pod)));
        assert!(stage.pods("web").iter().filter(|pod| !stage.is_own_image(pod)).count() == 1);
        let code = brain.0.wait().unwrap().code();
        let log = stage.log();
        assert!(log.contains("passed over") && log.contains(&format!("{} is gone", gone.name)), "{log}");
        assert!(stage.has_own_image(), "{log}");
        assert_eq!(code, Some(0), "{log}");
    });
}

#[test]
fn a_namespace_that_is_deleted_in_the_middle_is_no_residue() {
    Stage::with("gone", &[("web", 1)], |stage| {
        let mut brain = stage.failing("12s");
        let namespace = Kind::NAMESPACE.named(None, &stage.room);
        wait(stage.lab.cluster.delete(&namespace, &Deletion::default())).unwrap();
        let code = brain.0.wait().unwrap().code();
        let log = stage.log();
        // That the effect did not last is told; nothing is residue.
        assert_eq!(code, Some(5), "{log}");
        assert!(log.contains("it is gone") || log.contains("as before"), "{log}");
        assert!(fs::read_dir(stage.folder.path().join("state/live")).unwrap().next().is_none());
    });
}

impl Stage {
    /// The same, by way of something that can be away for a while.
    fn by_way_of_between(&self) -> Option<(Self, Between)> {
        if !self.lab.is_here {
            println!("skipped: the settings of another cluster than lab/kube's may be written in any way");
            return None;
        }
        let server = self.lab.cluster.server().to_owned();
        let kubeconfig = self.folder.path().join("kubeconfig");
        let between = Between::before(&server, &self.kubeconfig, &kubeconfig);
        let (lab, room, folder) = (self.lab.clone(), self.room.clone(), tempfile::tempdir().unwrap());
        Some((Self { lab, room, folder, kubeconfig }, between))
    }

    /// An experiment with this entry, which follows the pods of `web`.
    fn following(&self, entry: &str) {
        let target = "target: {pod: {namespace: ROOM, labels: {app: web}}}";
        self.write(
            "follow.yaml",
            &format!(
                "apiVersion: squall.dev/v1\nkind: Experiment\nname: follow\nmethod:\n  - {target}\n    follow: true\n{entry}"
            ),
        );
    }

    fn start(&self) -> Ended {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = self.squall(&["run", "follow.yaml", "--yes"]);
        Ended(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    fn scale(&self, replicas: u32) {
        let named = Kind::DEPLOYMENT.named(Some(&self.room), "web");
        let operation = Operation::Replace { path: "/spec/replicas".into(), value: replicas.into() };
        wait(self.lab.cluster.patch(&named, &[operation])).unwrap();
    }

    /// How many pods of `web` are cut off: each by a policy and a label of its own.
    fn cut_off(&self) -> usize {
        let policies = wait(self.lab.cluster.list(&Kind::NETWORK_POLICY, Some(&self.room), "")).unwrap();
        let pods = self.pods("web");
        let labelled = pods.iter().filter(|pod| pod.labels.contains_key("squall.dev/isolated")).count();
        labelled.min(policies.len())
    }
}

#[test]
fn a_pod_that_comes_while_others_are_cut_off_is_cut_off_too_and_all_is_put_back() {
    Stage::with("follow", &[("web", 1)], |stage| {
        stage.following("    fault: k8s.network_policy\n    for: 40s\n");
        let plan = words(&stage.run(&["plan", "follow.yaml"]));
        assert!(plan.contains("also what begins to match"), "{plan}");
        let mut brain = stage.start();
        wait_until(|| stage.cut_off() == 1);
        stage.scale(2);
        wait_until(|| stage.cut_off() == 2);
        // The one that is gone needs no undo, and the one in its place is struck.
        wait(
            stage.lab.cluster.delete(
                &Kind::POD.named(Some(&stage.room), &stage.pods("web")[0].name),
                &Deletion::default(),
            ),
        )
        .unwrap();
        wait_until(|| {
            stage.pods("web").iter().filter(|pod| !pod.deleted).count() == 2 && stage.cut_off() >= 2
        });
        assert_eq!(brain.0.wait().unwrap().code(), Some(0), "{}", stage.log());
        assert!(stage.log().contains("joined later"), "{}", stage.log());
        assert_eq!(stage.cut_off(), 0);
        assert!(stage.pods("web").iter().all(|pod| !pod.labels.contains_key("squall.dev/isolated")));
        let policies = wait(stage.lab.cluster.list(&Kind::NETWORK_POLICY, Some(&stage.room), "")).unwrap();
        assert!(policies.is_empty(), "{policies:?}");
    });
}

#[test]
fn an_api_server_that_is_away_while_more_is_looked_for_ends_nothing() {
    Stage::with("looks", &[("web", 1)], |stage| {
        let Some((stage, between)) = stage.by_way_of_between() else { return };
        // Longer than any cluster takes for another pod; it is interrupted.
        stage.following("    fault: k8s.network_policy\n    for: 5m\n");
        let mut brain = stage.start();
        wait_until(|| stage.cut_off() == 1);
        between.is_away.store(true, Ordering::Relaxed);
        wait_until(|| stage.log().contains("could not look for what else matches"));
        stage.scale(2);
        between.is_away.store(false, Ordering::Relaxed);
        wait_until(|| stage.cut_off() == 2);
        assert!(stage.log().contains("can look for what else matches again"), "{}", stage.log());
        send("INT", brain.0.id());
        assert_eq!(brain.0.wait().unwrap().code(), Some(4), "{}", stage.log());
        assert_eq!(stage.cut_off(), 0);
    });
}

#[test]
fn a_kill_that_follows_kills_whoever_comes_one_at_a_time() {
    Stage::with("again", &[("web", 2)], |stage| {
        stage.following("    fault: k8s.pod_kill\n    mode: one\n    with: {grace: 0s}\n    for: 20s\n");
        let first = stage.uids("web");
        let mut seen = first.clone();
        let mut brain = stage.start();
        while brain.0.try_wait().unwrap().is_none() {
            seen.extend(stage.uids("web"));
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        assert_eq!(brain.0.wait().unwrap().code(), Some(0), "{}", stage.log());
        let killed = seen.len() - first.len();
        assert!((2..=4).contains(&killed), "{killed} were killed: {}", stage.log());
    });
}

#[test]
fn an_api_server_that_is_away_when_the_fault_ends_is_waited_for() {
    Stage::with("away", &[("web", 1)], |stage| {
        let Some((stage, between)) = stage.by_way_of_between() else { return };
        let mut brain = stage.failing("12s");
        between.is_away.store(true, Ordering::Relaxed);
        // The undo was tried, and nothing could be known.
        wait_until(|| stage.log().contains("not known"));
        assert!(!stage.has_own_image());
        between.is_away.store(false, Ordering::Relaxed);
        let code = brain.0.wait().unwrap().code();
        // What nobody could look at for so long counts as not seen; nothing is residue.
        assert!(matches!(code, Some(0 | 5)), "{code:?}: {}", stage.log());
        wait_until(|| stage.works());
    });
}

#[test]
fn only_the_fault_block_of_a_virtual_service_changes_and_it_is_restored_exactly() {
    in_a_room("istio", async |lab, room| {
        room.with_virtual_services().await?;
        // That of the mission, as it is.
        let spec = json!({"hosts": ["payment-service"], "http": [{
            "fault": {
                "delay": {"percentage": {"value": 10.0}, "fixedDelay": "5s"},
                "abort": {"percentage": {"value": 5.0}, "httpStatus": 503},
            },
            "route": [{"destination": {"host": "payment-service"}}],
        }]});
        let service = json!({"metadata": {"name": "payment-service-chaos"}, "spec": spec});
        lab.cluster.create(&Kind::VIRTUAL_SERVICE, Some(&room.name), &service).await?;
        let (lab, room) = (lab.clone(), room.name.clone());
        std::thread::spawn(move || {
            let named = Kind::VIRTUAL_SERVICE.named(Some(&room), "payment-service-chaos");
            let read = || wait(lab.cluster.get(&named)).unwrap().unwrap()["spec"].clone();
            let kubeconfig = lab.place.kubeconfig.clone().unwrap();
            let stage =
                Stage { lab: lab.clone(), room: room.clone(), folder: tempfile::tempdir().unwrap(), kubeconfig };
            stage.write(
                "istio.yaml",
                "apiVersion: squall.dev/v1\nkind: Experiment\nname: istio\nmethod:\n  - together:\n      \
                 - fault: istio.delay\n        target: {virtual_service: {namespace: ROOM, name: payment-service-chaos}}\n        \
                 with: {delay: 250ms, probability: 50%}\n      \
                 - fault: istio.abort\n        target: {virtual_service: {namespace: ROOM, name: payment-service-chaos}}\n        \
                 with: {status: 500}\n    for: 4s\n",
            );
            let before: Json = read();
            let mut brain = Ended(stage.squall(&["run", "istio.yaml", "--yes"]).stdout(Stdio::null()).spawn().unwrap());
            wait_until(|| read()["http"][0]["fault"]["abort"]["httpStatus"] == 500);
            let struck = read();
            assert_eq!(struck["http"][0]["fault"]["delay"]["fixedDelay"], "0.25s");
            assert_eq!(struck["http"][0]["route"], before["http"][0]["route"]);
            assert_eq!(brain.0.wait().unwrap().code(), Some(0));
            assert_eq!(read(), before);
        })
        .join()
        .unwrap();
        Ok(())
    });
}

/// That of the mission, as it is.
const PAYMENT: &str = "\
# istio-fault-injection.yaml
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata:
  name: payment-service-chaos
spec:
  hosts:
  - payment-service
  http:
  - fault:
      delay:
        percentage:
          value: 10.0
        fixedDelay: 5s
      abort:
        percentage:
          value: 5.0
        httpStatus: 503
    route:
    - destination:
        host: payment-service
";

impl Stage {
    /// Runs a test in a namespace where there may be virtual services, and which the settings name.
    fn with_istio(word: &str, test: fn(&Self)) {
        in_a_room(word, async |lab, room| {
            room.with_virtual_services().await?;
            let (lab, room, folder) = (lab.clone(), room.name.clone(), tempfile::tempdir().unwrap());
            let kubeconfig = folder.path().join("kubeconfig");
            let settings = fs::read_to_string(lab.place.kubeconfig.as_ref().unwrap()).unwrap();
            let here = settings.replace("user: admin}}", &format!("user: admin, namespace: {room}}}}}"));
            if here == settings {
                println!(
                    "skipped: the settings of another cluster than lab/kube's may be written in any way"
                );
                return Ok(());
            }
            fs::write(&kubeconfig, here).unwrap();
            let stage = Self { lab, room, folder, kubeconfig };
            std::thread::spawn(move || test(&stage)).join().unwrap();
            Ok(())
        });
    }

    /// The virtual service of the mission, if it is there.
    fn payment(&self) -> Option<Json> {
        let named = Kind::VIRTUAL_SERVICE.named(Some(&self.room), "payment-service-chaos");
        wait(self.lab.cluster.get(&named)).unwrap()
    }

    /// Starts a run of a file.
    fn start_file(&self, file: &str) -> Ended {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = self.squall(&["run", file, "--yes"]);
        Ended(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

#[test]
fn a_manifest_of_istio_is_made_for_the_run_where_it_is_not_there() {
    Stage::with_istio("manifest", |stage| {
        stage.write("payment.yaml", PAYMENT);
        let plan = words(&stage.run(&["plan", "payment.yaml"]));
        let made = format!("make VirtualService {}/payment-service-chaos", stage.room);
        assert!(plan.contains(&made) && plan.contains("is not in the cluster"), "{plan}");
        assert_eq!(stage.payment(), None);

        // To its end, for a shorter time.
        let converted = words(&stage.run(&["convert", "payment.yaml"]));
        stage.write("short.yaml", &converted.replace("    with:", "    for: 3s\n    with:"));
        let mut brain = stage.start_file("short.yaml");
        wait_until(|| stage.payment().is_some());
        let http = json!([{
            "fault": {
                "delay": {"percentage": {"value": 10}, "fixedDelay": "5s"},
                "abort": {"percentage": {"value": 5}, "httpStatus": 503},
            },
            "route": [{"destination": {"host": "payment-service"}}],
        }]);
        assert_eq!(stage.payment().unwrap()["spec"], json!({"hosts": ["payment-service"], "http": http}));
        assert_eq!(brain.0.wait().unwrap().code(), Some(0), "{}", stage.log());
        assert_eq!(stage.payment(), None);

        // As it is; whoever is killed, it goes.
        for victims in [&[0_usize][..], &[0, 1]] {
            let mut brain = stage.start_file("payment.yaml");
            wait_until(|| stage.payment().is_some());
            let family = [vec![brain.0.id()], descendants(brain.0.id())].concat();
            victims.iter().for_each(|victim| send("KILL", family[*victim]));
            wait_until(|| stage.payment().is_none());
            brain.0.wait().unwrap();
        }

        // With the log lost, by the mark; and what only looks like it stays.
        let brain = stage.start_file("payment.yaml");
        wait_until(|| stage.payment().is_some());
        stage.lost(&brain);
        stage.pass_the_time(&Kind::VIRTUAL_SERVICE);
        let mut copy = stage.payment().unwrap();
        copy["metadata"] = json!({"name": "copy", "labels": copy["metadata"]["labels"], "annotations": copy["metadata"]["annotations"]});
        wait(stage.lab.cluster.create(&Kind::VIRTUAL_SERVICE, Some(&stage.room), &copy)).unwrap();
        let told = stage.told(&["recover", "--cluster"]);
        assert!(told.contains("put back"), "{told}");
        assert_eq!(stage.payment(), None);
        let named = Kind::VIRTUAL_SERVICE.named(Some(&stage.room), "copy");
        assert!(wait(stage.lab.cluster.get(&named)).unwrap().is_some());
    });
}

#[test]
fn a_manifest_of_istio_changes_only_the_fault_block_of_what_is_there() {
    Stage::with_istio("there", |stage| {
        stage.write("payment.yaml", PAYMENT);
        let spec = json!({"hosts": ["payment-service"], "gateways": ["mesh"], "http": [
            {"timeout": "7s", "fault": {"delay": {"percent": 1, "fixedDelay": "1s"}}, "route": [{"destination": {"host": "a"}}]},
            {"route": [{"destination": {"host": "b"}}]},
        ]});
        let service =
            json!({"metadata": {"name": "payment-service-chaos", "labels": {"team": "pay"}}, "spec": spec});
        wait(stage.lab.cluster.create(&Kind::VIRTUAL_SERVICE, Some(&stage.room), &service)).unwrap();
        let mut brain = stage.start_file("payment.yaml");
        wait_until(|| stage.payment().unwrap()["spec"] != spec);
        let struck = stage.payment().unwrap();
        let route = &struck["spec"]["http"][0];
        assert_eq!(route["fault"]["delay"], json!({"percentage": {"value": 10}, "fixedDelay": "5s"}));
        assert_eq!(route["fault"]["abort"], json!({"percentage": {"value": 5}, "httpStatus": 503}));
        assert_eq!((&route["timeout"], &struck["spec"]["http"][1]), (&json!("7s"), &spec["http"][1]));
        send("INT", brain.0.id());
        assert_eq!(brain.0.wait().unwrap().code(), Some(4), "{}", stage.log());
        let after = stage.payment().unwrap();
        assert_eq!((&after["spec"], &after["metadata"]["labels"]), (&spec, &json!({"team": "pay"})));
        assert_eq!(after["metadata"]["annotations"], Json::Null);
    });
}

impl Stage {
    /// Labels a deployment, and not its pods.
    fn label(&self, name: &str, labels: &[(&str, &str)]) {
        let operations = labels.iter().map(|(label, value)| Operation::Add {
            path: squall_kubernetes::pointer(&["metadata", "labels", label]),
            value: json!(value),
        });
        let reference = Kind::DEPLOYMENT.named(Some(&self.room), name);
        wait(self.lab.cluster.patch(&reference, &operations.collect::<Vec<_>>())).unwrap();
    }

    /// Lets the monkey work around the time that it planned for an app; what it said. Each works by a file that knows this app
    /// alone: the days of one file are planned once, and an hour that is over does not come again.
    fn monkey_at(&self, file: &str, app: &str) -> String {
        let text = fs::read_to_string(self.folder.path().join(file)).unwrap();
        let file = &format!("{app}-{file}");
        self.write(
            file,
            &format!("{}only: [{{app: {app}}}]\n", text.replace("\nname: ", &format!("\nname: {app}-"))),
        );
        let words = ["monkey", "plan", "--config", file, "--from", "2026-11-30", "--days", "1", "--json"];
        let planned = self.run(&words);
        assert!(planned.status.success(), "{planned:?}");
        let plan: Json = serde_json::from_slice(&planned.stdout).unwrap();
        let choices = plan["days"][0]["choices"].as_array().unwrap();
        let choice = choices.iter().find(|choice| choice["group"]["app"] == app).unwrap();
        let at: Timestamp = choice["at"].as_str().unwrap().parse().unwrap();
        let time = |seconds| (at + SignedDuration::from_secs(seconds)).to_string();
        let (now, until) = (time(-2), time(25));
        words_of(&self.run(&["monkey", "run", "--config", file, "--now", &now, "--until", &until]))
    }
}

fn words_of(output: &Output) -> String {
    assert!(output.status.success(), "{}", words(output));
    words(output)
}

#[test]
fn the_monkey_ends_pods_of_workloads_that_opted_in_as_far_as_budgets_allow() {
    const MONKEY: &str = "apiVersion: squall.dev/v1\nkind: Monkey\nleashed: false\nseed: 5\n\
        schedule: {cron: '0 * 9-14 * * MON-FRI'}\ninventory: [{kubernetes: {namespaces: [ROOM]}}]\noutage: {watch: 2s}\n";
    let deployments = [("web", 3), ("cart", 2), ("quiet", 2), ("odd", 2)];
    Stage::with("monkey", &deployments, |stage| {
        let of_kube_monkey = [
            ("kube-monkey/enabled", "enabled"),
            ("kube-monkey/mtbf", "1"),
            ("kube-monkey/identifier", "web"),
        ];
        let two = [("kube-monkey/kill-mode", "fixed"), ("kube-monkey/kill-value", "2")];
        stage.label("web", &[&of_kube_monkey[..], &two].concat());
        stage.label("odd", &[("kube-monkey/enabled", "enabled"), ("kube-monkey/mtbf", "soon")]);
        stage.label("cart", &[("squall.dev/monkey", "enabled")]);
        let budget = json!({
            "metadata": {"name": "cart"},
            "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "cart"}}},
        });
        wait(stage.lab.cluster.create(&Kind::POD_DISRUPTION_BUDGET, Some(&stage.room), &budget)).unwrap();
        stage.write("monkey.yaml", &format!("{MONKEY}name: careful\nkill: {{mean_days: 1, grace: 0s}}\n"));
        stage.write(
            "careless.yaml",
            &format!("{MONKEY}name: careless\nkill: {{mean_days: 1, grace: 0s, how: kill}}\n"),
        );
        let explained =
            words_of(&stage.run(&["monkey", "explain", "--config", "monkey.yaml", "--date", "2026-11-30"]));
        for told in
            ["web-", "cart-", "it has not opted in", "kube-monkey/mtbf is no time", "a mean of 1.0 days"]
        {
            assert!(explained.contains(told), "{told}: {explained}");
        }
        let before = ["web", "cart", "quiet", "odd"].map(|app| stage.uids(app));
        let left = || {
            let apps = ["web", "cart", "quiet", "odd"].iter().zip(&before);
            apps.map(|(app, before)| stage.uids(app).intersection(before).count()).collect::<Vec<_>>()
        };
        let told = stage.monkey_at("monkey.yaml", "web");
        assert!(told.contains("are ended now, 2 of 3 instances"), "{told}");
        assert_eq!(left(), [1, 2, 2, 2], "{told}");
        let told = stage.monkey_at("monkey.yaml", "cart");
        let refused = format!("PodDisruptionBudget {}/cart allows none to go now", stage.room);
        assert!(told.contains(&refused), "{told}");
        assert_eq!(left(), [1, 2, 2, 2], "{told}");
        let told = stage.monkey_at("careless.yaml", "cart");
        assert!(told.contains("is ended now, one of 2 instances"), "{told}");
        assert_eq!(left(), [1, 1, 2, 2], "{told}");
    });
}

/// Pods that answer questions.
const QUESTIONS: &str = "app.kubernetes.io/component=squall-question";

impl Stage {
    /// A workflow of Chaos Mesh that asks a container of this script, and kills pods of `web` or of `cart` by what it says.
    fn workflow(&self, script: &str) {
        let kill = |app: &str| {
            format!(
                "  - name: kill-{app}\n    templateType: PodChaos\n    deadline: 4s\n    podChaos: {{action: pod-kill, mode: all, \
                 gracePeriod: 0, selector: {{namespaces: [ROOM], labelSelectors: {{app: {app}}}}}}}\n"
            )
        };
        self.write(
            "workflow.yaml",
            &format!(
                "apiVersion: chaos-mesh.org/v1alpha1\nkind: Workflow\nmetadata: {{name: chooses, namespace: ROOM}}\nspec:\n  entry: ask\n  \
                 templates:\n  - name: ask\n    templateType: Task\n    deadline: 60s\n    task:\n      labels: {{mine: 'yes'}}\n      \
                 container: {{name: main, image: {}, imagePullPolicy: IfNotPresent, env: [{{name: MODE, value: slow}}], command: [sh, -c, '{script}']}}\n    \
                 conditionalBranches:\n    - {{target: kill-web, expression: 'exitCode == 3 && stdout contains \"slow\"'}}\n    \
                 - {{target: kill-cart, expression: 'exitCode == 3 && stdout contains \"fast\"'}}\n{}{}",
                self.lab.image,
                kill("web"),
                kill("cart")
            ),
        );
    }

    fn questions(&self) -> Vec<Json> {
        wait(self.lab.cluster.list(&Kind::POD, Some(&self.room), QUESTIONS)).unwrap()
    }

    fn leases(&self) -> Vec<Json> {
        wait(self.lab.cluster.list(&Kind::LEASE, Some(&self.room), "squall.dev/mark")).unwrap()
    }

    /// Starts the workflow, and waits until its container runs.
    fn asking(&self) -> Ended {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = self.squall(&["run", "workflow.yaml", "--yes"]);
        let brain = Ended(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        wait_until(|| self.questions().iter().any(|pod| pod["status"]["phase"] == "Running"));
        brain
    }
}

#[test]
fn what_a_task_says_chooses_one_of_two_branches() {
    Stage::with("task", &[("web", 1), ("cart", 1)], |stage| {
        // A dollar in a manifest is one of the container's shell.
        stage.workflow("echo $MODE; exit 3");
        let (web, cart) = (stage.uids("web"), stage.uids("cart"));
        let plan = words_of(&stage.run(&["plan", "workflow.yaml"]));
        assert!(
            plan.contains("asks `ask` (pod)") && plan.contains("only   when ask.exit_code == 3"),
            "{plan}"
        );
        assert_eq!(stage.questions(), Vec::<Json>::new());
        let said = words_of(&stage.run(&["run", "workflow.yaml", "--yes"]));
        assert!(said.contains("exit_code = 3, latency") && said.contains("stdout = \"slow\""), "{said}");
        assert!(said.contains("k8s.pod_kill on") && said.contains("was left out"), "{said}");
        assert!(stage.uids("web").is_disjoint(&web), "{said}");
        assert_eq!(stage.uids("cart"), cart, "{said}");
        wait_until(|| stage.questions().is_empty() && stage.leases().is_empty());

        // Neither branch: nothing was put to the test.
        stage.workflow("exit 0");
        let web = stage.uids("web");
        let none = stage.run(&["run", "workflow.yaml", "--yes"]);
        assert_eq!(none.status.code(), Some(5), "{}", words(&none));
        assert!(words(&none).contains("no fault was made; left out: "), "{}", words(&none));
        assert_eq!((stage.uids("web"), stage.uids("cart")), (web, cart));
        wait_until(|| stage.questions().is_empty() && stage.leases().is_empty());
    });
}

#[test]
fn whoever_asks_and_is_killed_leaves_no_pod() {
    Stage::with("asks", &[("web", 1), ("cart", 1)], |stage| {
        stage.workflow("sleep 600");
        let brain = stage.asking();
        send("KILL", brain.0.id());
        wait_until(|| stage.questions().is_empty() && stage.leases().is_empty());
        drop(brain);

        // With all that would remove it: the lease is found once it is not renewed, and the pod goes with it.
        let brain = stage.asking();
        kill_all(&brain);
        drop(brain);
        let [lease] = &stage.leases()[..] else { panic!("{:?}", stage.leases()) };
        assert_eq!(stage.questions().len(), 1);
        let name = lease["metadata"]["name"].as_str().unwrap();
        let path = "/spec/renewTime".to_owned();
        let long_ago = Operation::Replace { path, value: json!("2020-01-01T00:00:00.000000Z") };
        wait(stage.lab.cluster.patch(&Kind::LEASE.named(Some(&stage.room), name), &[long_ago])).unwrap();
        let told = stage.told(&["leftovers", "--cluster"]);
        assert!(told.contains("agents and questions"), "{told}");
        stage.run(&["recover", "--cluster"]);
        wait_until(|| stage.questions().is_empty() && stage.leases().is_empty());
    });
}
