//! The cluster, the image of agents, two deployments that speak to each other, and the program that is tested.

use serde_json::Value as Json;
use squall_kubernetes::testing::{Lab, Room};
use squall_kubernetes::{Cluster, Kind, Operation, Pod, PodFilter, wait};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) const LABEL: &str = "squall.dev/mark";

/// Looks for what takes a moment, and the pause between them.
const LOOKS: u32 = 900;
const PAUSE: Duration = Duration::from_millis(100);

/// The cluster whose node is this machine, and the image of agents in it; or why there is none.
fn cluster() -> Result<(Lab, String), String> {
    static FOUND: OnceLock<Result<(Lab, String), String>> = OnceLock::new();
    let find = || {
        let lab = Lab::open()?;
        if !lab.is_here {
            return Err("the cluster is not that of lab/kube, so no image can be put into it".to_owned());
        }
        let image = load_image()?;
        Ok((lab, image))
    };
    FOUND.get_or_init(find).clone()
}

/// Packs the program that is tested with the project's own chore, and puts it into the node.
fn load_image() -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (program, archive) = (folder.path().join("squall"), folder.path().join("image.tar"));
    std::fs::copy(env!("CARGO_BIN_EXE_squall"), &program).map_err(|error| error.to_string())?;
    // Half of it tells debuggers where they are.
    let _ = Command::new("strip").arg("--strip-debug").arg(&program).status();
    let tag = format!("squall/agent:test-{}", std::process::id());
    let (program, archive) = (program.to_string_lossy(), archive.to_string_lossy());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pack = Command::new(env!("CARGO"));
    pack.args(["run", "--quiet", "--package", "xtask", "--", "image", "--binary", &program, "-o", &archive]);
    run(pack.args(["--tag", &tag]).current_dir(root))?;
    let before = run(&mut ctr(&["images", "ls", "-q"]))?;
    for old in before.lines().filter(|name| is_of_the_dead(name)) {
        let _ = run(&mut ctr(&["images", "rm", old]));
    }
    run(&mut ctr(&["images", "import", &archive]))?;
    Ok(tag)
}

/// Whether an image was made by a test program that is gone.
fn is_of_the_dead(image: &str) -> bool {
    let pid = image.strip_prefix("docker.io/squall/agent:test-");
    pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
}

pub(crate) fn ctr(arguments: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    let folder =
        std::env::var_os("LAB_KUBE").map_or_else(|| PathBuf::from("/var/lib/lab-kube"), PathBuf::from);
    command.arg("-a").arg(folder.join("containerd.sock")).args(["-n", "k8s.io"]).args(arguments);
    command
}

/// Runs a program to its end; what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("could not run {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut look: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if look() {
            return;
        }
        sleep(PAUSE);
    }
    panic!("{what}: it did not come");
}

/// A namespace with two deployments of a web server each, `web` and `client`.
pub(crate) struct Scene {
    pub(crate) room: Room,
    pub(crate) cluster: Cluster,
    pub(crate) web: Pod,
    pub(crate) client: Pod,
    pub(crate) image: String,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) folder: tempfile::TempDir,
    /// Process numbers of agents that were seen.
    agents: Mutex<BTreeSet<u32>>,
    /// Tests measure, and share one node of few processors.
    _alone: MutexGuard<'static, ()>,
}

/// The size of what is served, in bytes.
const FILE: u64 = 1_000_000;

const SERVER: &str = "mkdir -p /tmp/www; echo ok > /tmp/www/index.html; head -c 1000000 /dev/zero > /tmp/www/file; exec httpd -f -p 8080 -h /tmp/www";

impl Scene {
    /// None, with words, where there is no cluster.
    pub(crate) fn open() -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (lab, image) = match cluster() {
            Ok(found) => found,
            Err(why) => {
                println!("skipped: {why}");
                return None;
            }
        };
        let cluster = lab.cluster.clone();
        let (room, web, client) = wait(async {
            let room = lab.namespace("node").await?;
            let web = room.deployment("web", 1, SERVER).await?.remove(0);
            let client = room.deployment("client", 1, SERVER).await?.remove(0);
            Ok((room, web, client))
        })
        .unwrap();
        let kubeconfig = lab.place.kubeconfig.clone().unwrap();
        let folder = tempfile::tempdir().unwrap();
        Some(Self {
            room,
            cluster,
            web,
            client,
            image,
            kubeconfig,
            folder,
            agents: Mutex::default(),
            _alone: alone,
        })
    }

    /// Runs a shell's script in a pod; its exit status and what it printed.
    pub(crate) fn shell(&self, pod: &Pod, script: &str) -> (i32, String) {
        let ran =
            wait(self.cluster.run(&pod.namespace, &pod.name, None, &["/bin/sh", "-c", script])).unwrap();
        (ran.code, String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// The share of packets that get from one pod to another and back, in percent.
    pub(crate) fn answered(&self, from: &Pod, to: &Pod) -> f64 {
        let script = format!("ping -c 60 -i 0.02 -W 1 {} | grep -o '[0-9.]*% packet loss'", to.addresses[0]);
        let (_, printed) = self.shell(from, &script);
        let lost = printed.split('%').next().unwrap_or_default().trim().parse::<f64>();
        100.0 - lost.unwrap_or_else(|_| panic!("ping said {printed:?}"))
    }

    /// Whether a file of a megabyte is to be had from a pod, as long as something comes every other second.
    pub(crate) fn serves(&self, from: &Pod, to: &Pod) -> bool {
        // A static busybox's own `wget` looks names up and dies of it.
        let ask = "printf 'GET /file HTTP/1.0\\r\\n\\r\\n'";
        let (_, printed) = self.shell(from, &format!("{ask} | nc -w 2 {} 8080 | wc -c", to.addresses[0]));
        printed.trim().parse::<u64>().unwrap() >= FILE
    }

    /// An experiment with one fault on the web server's pod.
    pub(crate) fn experiment(&self, fault: &str, with: &str, lasts: &str) -> String {
        let (namespace, address) = (&self.room.name, self.web.addresses[0]);
        format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: {fault}\nhypothesis: The web server can be asked\n\
             steady_state:\n  - http: {{url: \"http://{address}:8080/\"}}\n    expect: status == 200\n\
             method:\n  - fault: {fault}\n    target: {{pod: {{namespace: {namespace}, labels: {{app: web}}}}}}\n    \
             with: {with}\n    for: {lasts}\nrecovery: {{within: 60s}}\n"
        )
    }

    /// A kubeconfig of this test's own.
    pub(crate) fn kubeconfig_of_our_own(&self, text: &str) -> PathBuf {
        let file = self.folder.path().join("kubeconfig");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The program, on an experiment.
    pub(crate) fn command(&self, verb: &str, experiment: &str) -> Command {
        self.command_with_agents_in(&self.room.name, verb, experiment)
    }

    /// The same, with agents in another namespace.
    pub(crate) fn command_with_agents_in(&self, namespace: &str, verb: &str, experiment: &str) -> Command {
        let file = self.folder.path().join("experiment.yaml");
        std::fs::write(&file, experiment).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.arg(verb).arg(file).args(["--agent-namespace", namespace]).stdin(Stdio::null());
        command.env("KUBECONFIG", &self.kubeconfig).env("SQUALL_AGENT_IMAGE", &self.image);
        command.env("SQUALL_STATE", self.folder.path().join("state")).env_remove("SQUALL_LOG");
        command
    }

    /// Starts a run, and waits until what it does is to be seen.
    pub(crate) fn begin(&self, command: Command, is_seen: impl FnMut() -> bool) -> Run {
        self.begin_with("output", command, is_seen)
    }

    /// The same, while another goes on.
    pub(crate) fn begin_beside(&self, command: Command, is_seen: impl FnMut() -> bool) -> Run {
        self.begin_with("output-beside", command, is_seen)
    }

    fn begin_with(&self, output: &str, mut command: Command, mut is_seen: impl FnMut() -> bool) -> Run {
        let output = self.folder.path().join(output);
        let file = File::create(&output).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let mut run = Run { child: command.spawn().unwrap(), output };
        until("the fault", || {
            if let Some(status) = run.child.try_wait().unwrap() {
                panic!("the run ended with {status}: {}", run.said());
            }
            is_seen()
        });
        run
    }

    /// The names of Squall's tables in the network of the web server's pod, by `nft`, and what limits it, by `tc`.
    pub(crate) fn marks(&self) -> Vec<String> {
        self.marks_of(&self.web)
    }

    /// The same of another pod.
    pub(crate) fn marks_of(&self, pod: &Pod) -> Vec<String> {
        let Some(pid) = self.process_of(pod) else { return Vec::new() };
        let inside = |words: &[&str]| {
            run(Command::new("nsenter").args(["-t", &pid.to_string(), "-n"]).args(words)).unwrap_or_default()
        };
        let tables = inside(&["nft", "list", "tables"]);
        let disciplines = inside(&["tc", "qdisc", "show", "dev", "eth0"]);
        let of_ours = tables.lines().filter(|line| line.contains("squall"));
        let limits = disciplines.lines().filter(|line| line.contains("tbf") || line.contains("5c07"));
        of_ours.chain(limits).map(str::to_owned).collect()
    }

    /// The pods of a deployment.
    pub(crate) fn pods(&self, app: &str) -> Vec<Pod> {
        let labels = format!("app={app}");
        let filter = PodFilter { namespaces: vec![self.room.name.clone()], labels, ..PodFilter::default() };
        wait(self.cluster.pods(&filter)).unwrap()
    }

    /// Lets a deployment have so many pods.
    pub(crate) fn scale(&self, app: &str, replicas: u32) {
        let operation = Operation::Replace { path: "/spec/replicas".into(), value: replicas.into() };
        wait(self.cluster.patch(&Kind::DEPLOYMENT.named(Some(&self.room.name), app), &[operation])).unwrap();
    }

    /// A process of a pod, seen from the node.
    pub(crate) fn process_of(&self, pod: &Pod) -> Option<u32> {
        let pod = wait(self.cluster.pod(&pod.namespace, &pod.name)).unwrap()?;
        let id = pod.containers[0].id.clone()?;
        processes().into_iter().find(|pid| {
            let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            groups.contains(&id)
        })
    }

    /// The pods that were made for agents.
    pub(crate) fn agent_pods(&self) -> Vec<Json> {
        wait(self.cluster.list(&Kind::POD, Some(&self.room.name), LABEL)).unwrap()
    }

    /// Agents of this test's runs and their wardens, on the node.
    pub(crate) fn hands(&self) -> Vec<(u32, String)> {
        let runs = std::fs::read_dir(self.folder.path().join("state/runs")).into_iter().flatten().flatten();
        let runs: Vec<String> = runs
            .filter_map(|run| Some(run.file_name().to_str()?.strip_suffix(".jsonl")?.to_owned()))
            .collect();
        let words = |pid: u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).replace('\0', " ").trim().to_owned()
        };
        let all: Vec<(u32, String)> = processes().into_iter().map(|pid| (pid, words(pid))).collect();
        let is_ours = |words: &str| {
            runs.iter().any(|run| words.split(' ').collect::<Vec<_>>().ends_with(&["agent", "--node", run]))
        };
        let mut agents = self.agents.lock().unwrap();
        agents.extend(all.iter().filter(|(_, words)| is_ours(words)).map(|(pid, _)| *pid));
        let watches = |words: &str| agents.iter().any(|pid| words.contains(&format!("\"pid\":{pid},")));
        let is_one = |words: &str| is_ours(words) || (words.ends_with(" guest") && watches(words));
        all.iter().filter(|(_, words)| is_one(words)).cloned().collect()
    }

    pub(crate) fn agent(&self) -> u32 {
        self.hands().into_iter().find(|(_, words)| words.contains("agent --node ")).unwrap().0
    }

    pub(crate) fn warden(&self) -> u32 {
        self.hands().into_iter().find(|(_, words)| words.ends_with(" guest")).unwrap().0
    }

    /// Everything is as before: the fault, agents, pods and the lease are gone, and packets get through.
    pub(crate) fn is_as_before(&self, said: &str) {
        until(&format!("the fault ends; {said}"), || self.marks().is_empty());
        until(&format!("agents end; {said}"), || self.hands().is_empty());
        until(&format!("pods go; {said}"), || self.agent_pods().is_empty());
        let leases = wait(self.cluster.list(&Kind::LEASE, Some(&self.room.name), LABEL)).unwrap();
        assert!(leases.is_empty(), "{leases:?}");
        assert!((self.answered(&self.client, &self.web) - 100.0).abs() < 0.1);
        let logs = std::fs::read_dir("/var/lib/squall/live").into_iter().flatten().flatten();
        // Others may be at work on this machine.
        let is_of_this =
            |log: &PathBuf| std::fs::read_to_string(log).is_ok_and(|text| text.contains(&self.room.name));
        let logs: Vec<PathBuf> = logs.map(|log| log.path()).filter(is_of_this).collect();
        assert!(logs.is_empty(), "{logs:?}");
    }
}

/// What keeps a processor busy, on the node.
pub(crate) fn workers() -> Vec<u32> {
    let is_one = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|words| words.starts_with(b"squall\0worker\0"))
    };
    processes().into_iter().filter(is_one).collect()
}

fn processes() -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Ends a process by force.
pub(crate) fn kill(pid: u32) {
    run(Command::new("kill").args(["-KILL", &pid.to_string()])).unwrap();
}

/// A run that goes on.
pub(crate) struct Run {
    pub(crate) child: Child,
    output: PathBuf,
}

impl Run {
    /// What it said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Waits for its end: the exit status, and all that it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        until("the end of the run", || self.child.try_wait().unwrap().is_some());
        (self.child.wait().unwrap().code(), self.said())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long something takes.
pub(crate) fn timed<T>(action: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let done = action();
    (begun.elapsed(), done)
}
