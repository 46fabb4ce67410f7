//! Who removes what a run made in clusters when its brain ends, however that ends: a process of its own, which is told on a
//! pipe where something is about to be made, and begins when the pipe ends.

use super::{ClusterPlace, PATIENCE, owner, place};
use crate::agent_pod::LEAVES_WITHIN;
use serde::{Deserialize, Serialize};
use squall_kubernetes::{Cluster, ClusterError, Deletion, Kind, Problem};
use std::io::{self, BufRead, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The first word of the process.
pub(crate) const ROLE: &str = "pod-keeper";

/// How long the run waits for it.
const WAITS_FOR: Duration = Duration::from_secs(20);
/// How long it goes on trying: the pods have their time to end, and a cluster may be away for a while.
const TRIES_FOR: Duration = Duration::from_secs(LEAVES_WITHIN.as_secs() + 60);
const BETWEEN_TRIES: Duration = Duration::from_millis(300);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Where a run has something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stay {
    place: ClusterPlace,
    namespace: String,
    run: String,
}

impl Stay {
    pub(super) fn new(place: &ClusterPlace, namespace: &str, run: &str) -> Self {
        Self { place: place.clone(), namespace: namespace.to_owned(), run: run.to_owned() }
    }

    /// The selector of its pods.
    fn labels(&self) -> String {
        super::manifest::selector(&self.run)
    }
}

/// A line of the pipe.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    stay: Stay,
    /// Whether there is something, or may be: it turned out that there is not.
    is_there: bool,
}

/// The run's end of the pipe.
pub(super) struct Keeper {
    child: Child,
    pipe: ChildStdin,
    stays: Vec<Stay>,
}

impl Keeper {
    pub(super) fn start() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let pipe = child.stdin.take().ok_or_else(|| io::Error::other("it has no pipe"))?;
        Ok(Self { child, pipe, stays: Vec::new() })
    }

    pub(super) fn tell(&mut self, stay: &Stay) -> io::Result<()> {
        self.write(stay, true)?;
        self.stays.push(stay.clone());
        Ok(())
    }

    /// Nothing was made there.
    pub(super) fn forget(&mut self, stay: &Stay) {
        // Where it does not hear of that, it looks in vain.
        if self.write(stay, false).is_ok() {
            self.stays.retain(|known| known != stay);
        }
    }

    fn write(&mut self, stay: &Stay, is_there: bool) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line { stay: stay.clone(), is_there })?;
        line.push(b'\n');
        self.pipe.write_all(&line)
    }

    /// Lets it begin, and waits a while. What is not gone then, in words.
    pub(super) fn leave(self) -> Option<String> {
        let Self { mut child, pipe, stays } = self;
        drop(pipe);
        let begun = Instant::now();
        let why = loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return None,
                Ok(Some(_)) => break "could not be removed",
                _ if begun.elapsed() > WAITS_FOR => break "are still on their way out",
                _ => std::thread::sleep(BETWEEN_LOOKS),
            }
        };
        let look = |stay: &Stay| {
            let Stay { place, namespace, .. } = stay;
            let options = [("kubeconfig", &place.kubeconfig), ("context", &place.context)];
            let options = options
                .into_iter()
                .filter_map(|(name, value)| Some(format!(" --{name} {}", value.as_ref()?)));
            let options: String = options.collect();
            format!("kubectl{options} --namespace {namespace} get pods,leases --selector {}", stay.labels())
        };
        let looks = stays.iter().map(look).collect::<Vec<_>>().join("; ");
        Some(format!("pods that were made for the run {why}; see: {looks}"))
    }
}

/// `squall pod-keeper`: hears of places on standard input, and removes what is there when it ends.
pub(crate) fn main(_: &[String]) -> ExitCode {
    // No signal that is meant for the run ends it.
    let _ = rustix::process::setsid();
    let lines = io::stdin().lock().lines().map_while(Result::ok);
    let mut stays: Vec<Stay> = Vec::new();
    for Line { stay, is_there } in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
        stays.retain(|known| *known != stay);
        stays.extend(is_there.then_some(stay));
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let is_gone = runtime.block_on(async {
        let mut all = true;
        for stay in &stays {
            all &= remove(stay).await;
        }
        all
    });
    if is_gone { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Removes what a run has in one place; whether it is gone.
async fn remove(stay: &Stay) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < TRIES_FOR {
        if let Ok(true) = try_once(stay).await {
            return true;
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    false
}

/// Whether nothing is there any more.
async fn try_once(stay: &Stay) -> Result<bool, ClusterError> {
    let Stay { place: at, namespace, run } = stay;
    let cluster = Cluster::open(&place(at), PATIENCE).await?;
    owner::remove(&cluster, namespace, run).await?;
    let pods = cluster.list(&Kind::POD, Some(namespace), &stay.labels()).await?;
    for pod in &pods {
        let metadata = &pod["metadata"];
        // Nothing of it runs any more: its node, which would remove it, may take its time.
        let is_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if is_over || metadata["deletionTimestamp"].is_null() {
            let name = metadata["name"].as_str().unwrap_or_default();
            let how = Deletion { grace: is_over.then_some(0), ..Deletion::default() };
            let deleted = cluster.delete(&Kind::POD.named(Some(namespace), name), &how).await;
            deleted.or_else(|error| if error.problem == Problem::NotFound { Ok(()) } else { Err(error) })?;
        }
    }
    Ok(pods.is_empty())
}
