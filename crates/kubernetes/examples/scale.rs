//! Measures Squall on a real API server with simulated nodes and pods, which are objects without a kubelet: `scale SQUALL FOLDER`.
//!
//! Each line that it prints is a row for `cargo xtask bench scale`.

use serde_json::{Value as Json, json};
use squall_kubernetes::testing::{Lab, Room, alone_with_operators};
use squall_kubernetes::{Application, ClusterError, Deletion, Kind, Operation, PodFilter, wait};
use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const NODES: usize = 100;
const PODS: usize = 10_000;
const STRUCK: usize = 6_000;
const EXPERIMENTS: usize = 1_000;
const PLANS: usize = 5;
/// How long the strike on many pods lasts, and how long the operator is left alone, in seconds.
const LASTS: f64 = 60.0;
const IDLE: f64 = 10.0;
/// How long anything may take before it counts as never.
const LONGEST: Duration = Duration::from_mins(20);
const CALLS_AT_ONCE: usize = 32;

const EXPERIMENT: Kind = Kind::within("squall.dev", "v1", "Experiment", "experiments");
const RUN: Kind = Kind::within("squall.dev", "v1", "Run", "runs");

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(squall), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: scale SQUALL FOLDER".into());
    };
    let lab = Lab::open()?;
    let room = wait(lab.namespace("scale"))?;
    let crowd = Arc::new(Crowd { lab, room, squall: squall.into(), folder: folder.into() });
    crowd.gather()?;
    crowd.plans()?;
    crowd.many_pods("pod-failure")?;
    crowd.many_experiments()?;
    crowd.many_pods("pod-kill")
}

/// A namespace full of pods that no kubelet runs.
struct Crowd {
    lab: Lab,
    room: Room,
    squall: PathBuf,
    folder: PathBuf,
}

impl Crowd {
    /// Makes the nodes and the pods.
    fn gather(self: &Arc<Self>) -> Outcome<()> {
        let namespace = Kind::NAMESPACE.named(None, &self.room.name);
        let allowed =
            Operation::Add { path: "/metadata/labels/squall.dev~1chaos".into(), value: json!("allowed") };
        wait(self.lab.cluster.patch(&namespace, &[allowed]))?;
        self.each(NODES, |number, crowd| async move {
            let node = json!({"metadata": {"name": crowd.node(number)}});
            crowd.lab.cluster.create(&Kind::NODE, None, &node).await.map(drop)
        })?;
        self.each(PODS, |number, crowd| async move { crowd.pod(number).await })
    }

    fn node(&self, number: usize) -> String {
        format!("{}-{}", self.room.name, number % NODES)
    }

    async fn pod(&self, number: usize) -> Result<(), ClusterError> {
        let name = format!("pod-{number}");
        let spec = json!({
            "nodeName": self.node(number),
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            // Nobody tells how their nodes are.
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "main", "image": "simulated:1"}],
        });
        let pod = json!({"metadata": {"name": name, "labels": {"app": "crowd"}}, "spec": spec});
        self.lab.cluster.create(&Kind::POD, Some(&self.room.name), &pod).await?;
        let container = json!({
            "name": "main", "image": "simulated:1", "imageID": "", "ready": true, "restartCount": 0,
            "containerID": format!("simulated://{number:064x}"), "state": {"running": {}},
        });
        let status = json!({"metadata": {"name": name}, "status": {
            "phase": "Running",
            "podIP": format!("10.99.{}.{}", number / 250, number % 250 + 1),
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [container],
        }});
        let how = Application { manager: "scale", force: true, part: Some("status") };
        self.lab.cluster.apply(&Kind::POD, Some(&self.room.name), &status, how).await.map(drop)
    }

    /// Does something for each number, many at the same time.
    fn each<F>(self: &Arc<Self>, count: usize, deed: impl Fn(usize, Arc<Self>) -> F) -> Outcome<()>
    where
        F: Future<Output = Result<(), ClusterError>> + Send + 'static,
    {
        let may = Arc::new(Semaphore::new(CALLS_AT_ONCE));
        let all = wait(async {
            let mut going = JoinSet::new();
            for number in 0..count {
                let (deed, may) = (deed(number, Arc::clone(self)), Arc::clone(&may));
                going.spawn(async move {
                    let _permit = may.acquire_owned().await;
                    deed.await
                });
            }
            Ok(going.join_all().await)
        })?;
        all.into_iter().collect::<Result<(), ClusterError>>().map_err(Into::into)
    }

    /// How long all pods take to be planned.
    fn plans(&self) -> Outcome<()> {
        let file = self.manifest("pod-kill", "all", None)?;
        let mut times = Vec::new();
        for _ in 0..PLANS {
            let started = Instant::now();
            let status = self.squall(&["plan", &file, "--json"]).stdout(Stdio::null()).status()?;
            times.push(started.elapsed().as_secs_f64());
            if !status.success() {
                return Err(format!("squall plan ended with {status}").into());
            }
        }
        times.sort_by(f64::total_cmp);
        let (median, longest) = (times[PLANS / 2], times[PLANS - 1]);
        let figure = format!("{median:.2} s (at most {longest:.2} s)");
        row(
            &format!("{PODS} pods selected and planned (`squall plan`, from start to end)"),
            &figure,
            "< 2 s",
            median < 2.0,
        );
        Ok(())
    }

    /// How long a strike on many pods takes to be made and to be put back, as its journal tells.
    fn many_pods(&self, action: &str) -> Outcome<()> {
        let file = self.manifest(action, "fixed", Some(STRUCK))?;
        let journal = self.folder.join(format!("{action}.jsonl"));
        let words = ["run", &file, "--yes", "--journal", &journal.display().to_string()];
        // What simulated pods show is no matter: they have no kubelet that would stop their containers.
        self.squall(&words).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        let text = fs::read_to_string(&journal)?;
        let events: Vec<Json> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
        let at = |event: Option<&&Json>| event.and_then(|event| event["elapsed"].as_f64());
        let (made, restored) = (of("injected"), of("restored"));
        let whole =
            restored.iter().filter(|event| event["residue"].as_array().is_none_or(Vec::is_empty)).count();
        if made.len() != STRUCK || whole != STRUCK {
            let verdict = of("verdict");
            return Err(format!("{action}: {} made, {whole} whole again: {verdict:?}", made.len()).into());
        }
        let between = |first: Option<f64>, last: Option<f64>| {
            first.zip(last).map(|(first, last)| last - first).ok_or("the journal has no times")
        };
        let took = between(at(of("inject_started").first()), at(made.last()))?;
        row(
            &format!("{STRUCK} pods, {action}: made"),
            &format!("{took:.1} s"),
            &format!("< {LASTS:.0} s, its duration"),
            took < LASTS,
        );
        if action == "pod-failure" {
            let took = between(at(of("undo_started").first()), at(restored.last()))?;
            row(
                &format!("{STRUCK} pods, {action}: put back and looked at"),
                &format!("{took:.1} s"),
                "",
                true,
            );
        }
        Ok(())
    }

    /// What an operator needs for many experiments.
    fn many_experiments(self: &Arc<Self>) -> Outcome<()> {
        let _alone = alone_with_operators()?;
        self.install_kinds()?;
        let squall = format!("--only={0}", self.room.name);
        let words = ["operator", &squall, "--namespace", &self.room.name, "--at-once", "64"];
        let log = File::create(self.folder.join("operator.log"))?;
        let mut command = self.squall(&words);
        let operator = Operator(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        let started = Instant::now();
        self.each(EXPERIMENTS, |number, crowd| async move {
            let target = json!({"pod": {"names": [format!("pod-{number}")]}});
            let strike = json!({"fault": "k8s.network_policy", "target": target, "for": "1s"});
            let name = format!("deny-{number}");
            let experiment = json!({"metadata": {"name": name}, "spec": {"method": [strike]}});
            crowd.lab.cluster.create(&EXPERIMENT, Some(&crowd.room.name), &experiment).await.map(drop)
        })?;
        let made = started.elapsed().as_secs_f64();
        let verdicts = self.until_all_are_over(&started)?;
        let took = started.elapsed().as_secs_f64();
        let passed = verdicts.iter().filter(|verdict| *verdict == "passed").count();
        let title = format!("{EXPERIMENTS} experiments carried out by one operator, 64 at a time");
        let figure =
            format!("{took:.0} s (the API server took {made:.0} s to be given them), {passed} passed");
        row(&title, &figure, "all pass", passed == EXPERIMENTS);
        let peak = operator.status("VmHWM:")? / 1024.0;
        row("memory of that operator, at most", &format!("{peak:.0} MiB"), "< 300 MiB", peak < 300.0);
        let before = operator.processor_seconds()?;
        std::thread::sleep(Duration::from_secs_f64(IDLE));
        let idle = (operator.processor_seconds()? - before) / IDLE * 100.0;
        row(
            "processor of that operator afterwards, with all of them there",
            &format!("{idle:.1} % of one"),
            "",
            true,
        );
        Ok(())
    }

    fn until_all_are_over(&self, started: &Instant) -> Outcome<Vec<String>> {
        while started.elapsed() < LONGEST {
            std::thread::sleep(Duration::from_secs(2));
            let experiments = wait(self.lab.cluster.list(&EXPERIMENT, Some(&self.room.name), ""))?;
            if let Some(invalid) = experiments.iter().find(|one| one["status"]["phase"] == "Invalid") {
                return Err(invalid["status"].to_string().into());
            }
            let runs = wait(self.lab.cluster.list(&RUN, Some(&self.room.name), ""))?;
            let verdicts = runs.iter().filter_map(|run| run["status"]["verdict"].as_str());
            let verdicts: Vec<String> = verdicts.map(str::to_owned).collect();
            if verdicts.len() >= EXPERIMENTS {
                return Ok(verdicts);
            }
        }
        Err("the experiments were not over in time".into())
    }

    fn install_kinds(&self) -> Outcome<()> {
        let output = self.squall(&["operator", "manifests", "--json"]).output()?;
        let list: Json = serde_json::from_slice(&output.stdout)?;
        let kind = Kind::CUSTOM_RESOURCE_DEFINITION;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        for object in items.iter().filter(|object| object["kind"] == *kind.kind) {
            let how = Application { manager: "scale", force: true, part: None };
            wait(self.lab.cluster.apply(&kind, None, object, how))?;
        }
        let is_served =
            async || Ok(self.lab.cluster.list(&EXPERIMENT, Some(&self.room.name), "").await.is_ok());
        Ok(wait(self.room.until("the kind Experiment", is_served))?)
    }

    /// A manifest of Chaos Mesh for the pods of the crowd.
    fn manifest(&self, action: &str, mode: &str, value: Option<usize>) -> Outcome<String> {
        let namespaces = [&self.room.name];
        let mut spec = json!({
            "action": action, "mode": mode, "duration": format!("{LASTS}s"),
            "selector": {"namespaces": namespaces, "labelSelectors": {"app": "crowd"}},
        });
        if let Some(value) = value {
            spec["value"] = json!(value.to_string());
        }
        let manifest = json!({
            "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos",
            "metadata": {"name": format!("{action}-{mode}"), "namespace": self.room.name}, "spec": spec,
        });
        let path = self.folder.join(format!("{action}-{mode}.json"));
        fs::write(&path, manifest.to_string())?;
        Ok(path.display().to_string())
    }

    fn squall(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.squall);
        command.args(words).current_dir(&self.folder).env("SQUALL_STATE", self.folder.join("state"));
        if let Some(kubeconfig) = &self.lab.place.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // No kubelet takes leave of them: a namespace with such pods would go only after a while. What stays is in nobody's way.
        let at_once = Deletion { grace: Some(0), ..Deletion::default() };
        let filter = PodFilter { namespaces: vec![self.room.name.clone()], ..PodFilter::default() };
        let pods = wait(self.lab.cluster.pods(&filter)).unwrap_or_default();
        let pods = pods.iter().map(|pod| Kind::POD.named(Some(&self.room.name), &pod.name));
        let nodes = (0..NODES).map(|number| Kind::NODE.named(None, &self.node(number)));
        let deletions: Vec<_> = pods.chain(nodes).collect();
        for many in deletions.chunks(CALLS_AT_ONCE) {
            let _ = wait(async {
                let mut going = JoinSet::new();
                for reference in many {
                    let (cluster, at_once) = (self.lab.cluster.clone(), at_once.clone());
                    let reference = reference.clone();
                    going.spawn(async move { cluster.delete(&reference, &at_once).await });
                }
                Ok(going.join_all().await)
            });
        }
    }
}

/// An operator, told to stop when the value goes.
struct Operator(Child);

impl Operator {
    /// A line of `/proc/PID/status`, in KiB.
    fn status(&self, name: &str) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        Ok(line.split_whitespace().next().ok_or("no number")?.parse()?)
    }

    /// User and system time, from `/proc/PID/stat` (proc(5), fields 14 and 15), in hundredths of a second.
    fn processor_seconds(&self) -> Outcome<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|ticks| ticks.parse::<f64>().ok());
        Ok((ticks(14).ok_or("no user time")? + ticks(15).ok_or("no system time")?) / 100.0)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

fn row(what: &str, figure: &str, aim: &str, is_met: bool) {
    let met = match (aim, is_met) {
        ("", _) => "unknown",
        (_, true) => "yes",
        (_, false) => "no",
    };
    println!("{}", json!(["row", what, figure, "", "", aim, met]));
}
