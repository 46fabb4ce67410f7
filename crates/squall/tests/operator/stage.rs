//! A namespace of the cluster with an operator that looks after it alone.

use crate::support::{Ended, wait_until};
use serde_json::{Value as Json, json};
use squall_kubernetes::testing::{Lab, alone_with_operators, in_a_room};
use squall_kubernetes::{Deletion, Kind, Operation, Pod, PodFilter, Problem, wait};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(crate) const EXPERIMENT: Kind = Kind::within("squall.dev", "v1", "Experiment", "experiments");
pub(crate) const SCHEDULE: Kind = Kind::within("squall.dev", "v1", "Schedule", "schedules");
pub(crate) const RUN: Kind = Kind::within("squall.dev", "v1", "Run", "runs");
pub(crate) const HALT: Kind = Kind::everywhere("squall.dev", "v1", "Halt", "halts");
pub(crate) const POD_CHAOS: Kind = Kind::within("chaos-mesh.org", "v1alpha1", "PodChaos", "podchaos");

pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) room: String,
    pub(crate) folder: TempDir,
    pub(crate) kubeconfig: PathBuf,
}

impl Stage {
    /// Runs a test beside a namespace of its own that has opted in, with so many pods of `pay`.
    pub(crate) fn with(word: &str, count: u32, test: fn(&Self)) {
        let _alone = alone_with_operators().unwrap();
        in_a_room(word, async |lab, room| {
            if count > 0 {
                room.deployment("pay", count, "sleep 600").await?;
            }
            let kubeconfig = lab.place.kubeconfig.clone().unwrap();
            let folder = tempfile::tempdir().unwrap();
            let stage = Self { lab: lab.clone(), room: room.name.clone(), folder, kubeconfig };
            let whole = move || {
                stage.install();
                stage.opt_in();
                test(&stage);
            };
            std::thread::spawn(whole).join().unwrap();
            Ok(())
        });
    }

    /// Makes the kinds known, as the program itself describes them.
    fn install(&self) {
        for definition in definitions() {
            let made = || {
                let kind = &Kind::CUSTOM_RESOURCE_DEFINITION;
                match wait(self.lab.cluster.create(kind, None, &definition)) {
                    Err(error) if error.problem != Problem::Conflict => panic!("{error}"),
                    Err(_) => {
                        // Another test's, which may be on its way out.
                        let name = definition["metadata"]["name"].as_str().unwrap();
                        let found = wait(self.lab.cluster.get(&kind.named(None, name))).unwrap();
                        found.is_some_and(|found| found["metadata"]["deletionTimestamp"].is_null())
                    }
                    Ok(_) => true,
                }
            };
            wait_until(made);
        }
        let kinds = [EXPERIMENT, SCHEDULE, RUN, HALT, POD_CHAOS];
        let is_served = |kind: &Kind| wait(self.lab.cluster.list(kind, None, "")).is_ok();
        wait_until(|| kinds.iter().all(is_served));
    }

    fn opt_in(&self) {
        let namespace = Kind::NAMESPACE.named(None, &self.room);
        let object = wait(self.lab.cluster.get(&namespace)).unwrap().unwrap();
        let mut labels = object["metadata"]["labels"].clone();
        labels["squall.dev/chaos"] = json!("allowed");
        let operation = Operation::Add { path: "/metadata/labels".to_owned(), value: labels };
        wait(self.lab.cluster.patch(&namespace, &[operation])).unwrap();
    }

    /// Starts an operator with a state folder of this name.
    pub(crate) fn operator(&self, name: &str) -> Operator {
        self.operator_with(name, &self.kubeconfig, &[])
    }

    pub(crate) fn operator_with(&self, name: &str, kubeconfig: &Path, options: &[&str]) -> Operator {
        self.operator_in(&self.room, name, kubeconfig, options)
    }

    /// Starts an operator that lives in another namespace than it looks after.
    pub(crate) fn operator_in(
        &self,
        home: &str,
        name: &str,
        kubeconfig: &Path,
        options: &[&str],
    ) -> Operator {
        let log = self.folder.path().join(format!("{name}.log"));
        let file = fs::File::create(&log).unwrap();
        let state = self.folder.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(["operator", "--chaos-mesh", "--only", &self.room, "--namespace", home]).args(options);
        command.env("SQUALL_STATE", &state).env("KUBECONFIG", kubeconfig).env_remove("SQUALL_LOG");
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Operator { process: Ended(command.spawn().unwrap()), state, log }
    }

    pub(crate) fn make(&self, kind: &Kind, name: &str, spec: &Json) {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        wait(self.lab.cluster.create(kind, Some(&self.room), &object)).unwrap();
    }

    pub(crate) fn get(&self, kind: &Kind, name: &str) -> Option<Json> {
        wait(self.lab.cluster.get(&kind.named(Some(&self.room), name))).unwrap()
    }

    pub(crate) fn all(&self, kind: &Kind) -> Vec<Json> {
        wait(self.lab.cluster.list(kind, Some(&self.room), "")).unwrap()
    }

    pub(crate) fn delete(&self, kind: &Kind, name: &str) {
        wait(self.lab.cluster.delete(&kind.named(Some(&self.room), name), &Deletion::default())).unwrap();
    }

    pub(crate) fn annotate(&self, kind: &Kind, name: &str, annotations: Json) {
        let operation = Operation::Add { path: "/metadata/annotations".to_owned(), value: annotations };
        wait(self.lab.cluster.patch(&kind.named(Some(&self.room), name), &[operation])).unwrap();
    }

    /// Waits until an object says something of itself.
    #[track_caller]
    pub(crate) fn until(&self, kind: &Kind, name: &str, is_so: impl Fn(&Json) -> bool) -> Json {
        let mut seen = Json::Null;
        wait_until(|| {
            seen = self.get(kind, name).unwrap_or_default();
            is_so(&seen)
        });
        seen
    }

    /// Waits until a condition of an object holds.
    #[track_caller]
    pub(crate) fn until_condition(&self, kind: &Kind, name: &str, condition: &str) -> Json {
        self.until(kind, name, |object| holds(object, condition))
    }

    pub(crate) fn replicas(&self) -> u64 {
        self.get(&Kind::DEPLOYMENT, "pay").unwrap()["spec"]["replicas"].as_u64().unwrap()
    }

    pub(crate) fn pods(&self) -> Vec<Pod> {
        let filter = PodFilter {
            namespaces: vec![self.room.clone()],
            labels: "app=pay".to_owned(),
            ..PodFilter::default()
        };
        wait(self.lab.cluster.pods(&filter)).unwrap()
    }

    /// The pods whose image is none.
    pub(crate) fn failing(&self) -> usize {
        let fails = |pod: &&Pod| pod.containers[0].image.starts_with("Squall/");
        self.pods().iter().filter(fails).count()
    }

    /// Whether any object of the namespace that faults change bears a mark of Squall's.
    pub(crate) fn is_marked(&self) -> bool {
        let is_ours = |object: &Json| {
            ["labels", "annotations"].iter().any(|map| {
                let names = object["metadata"][*map].as_object();
                names.is_some_and(|names| names.keys().any(|name| name.starts_with("squall.dev/")))
            })
        };
        [Kind::POD, Kind::DEPLOYMENT].iter().any(|kind| self.all(kind).iter().any(is_ours))
    }

    /// An experiment that scales `pay` down to one.
    pub(crate) fn scaling(lasts: &str) -> Json {
        json!({"method": [{
            "fault": "k8s.scale", "target": {"workload": {"name": "pay"}}, "with": {"replicas": 1}, "for": lasts,
        }]})
    }

    /// A manifest of Chaos Mesh that keeps one pod of `pay` from working.
    pub(crate) fn failure(duration: Option<&str>) -> Json {
        let mut spec =
            json!({"action": "pod-failure", "mode": "one", "selector": {"labelSelectors": {"app": "pay"}}});
        if let Some(duration) = duration {
            spec["duration"] = json!(duration);
        }
        spec
    }
}

/// Whether a condition of an object holds.
pub(crate) fn holds(object: &Json, condition: &str) -> bool {
    let all = object["status"]["conditions"].as_array();
    all.is_some_and(|all| all.iter().any(|one| one["type"] == condition && one["status"] == "True"))
}

pub(crate) struct Operator {
    process: Ended,
    state: PathBuf,
    log: PathBuf,
}

/// Told to stop, it lets go of what it holds: a namespace that is deleted afterwards goes.
impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the operator said:\n{}", self.log());
        }
        if matches!(self.process.0.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

impl Operator {
    fn end(&mut self) -> Option<i32> {
        let pid = self.process.0.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        self.process.0.wait().unwrap().code()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills the operator, and its agents and their wardens, all before any of them can do anything: its machine is gone, and its
    /// state folder with it.
    pub(crate) fn lose(mut self) {
        let state = self.state.display().to_string();
        let pid = self.process.0.id();
        let mut all = vec![pid];
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(other) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&command).into_owned();
            if other != pid && words.contains(&state) && words.contains("squall") {
                all.push(other);
            }
        }
        for signal in ["-STOP", "-KILL"] {
            let pids: Vec<String> = all.iter().map(u32::to_string).collect();
            // Who has ended meanwhile is gone all the same.
            let _ = Command::new("kill").arg(signal).args(pids).status();
        }
        let _ = self.process.0.wait();
        fs::remove_dir_all(&self.state).unwrap();
    }

    /// Kills the operator alone.
    pub(crate) fn kill(mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.end()
    }
}

/// The kinds, as the program describes them.
fn definitions() -> Vec<Json> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    let output = command.args(["operator", "manifests", "--chaos-mesh", "--json"]).output().unwrap();
    let list: Json = serde_json::from_slice(&output.stdout).unwrap();
    let items = list["items"].as_array().unwrap();
    items.iter().filter(|object| object["kind"] == "CustomResourceDefinition").cloned().collect()
}
