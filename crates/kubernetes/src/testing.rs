//! A real cluster for tests: the one that `SQUALL_TEST_KUBECONFIG` names, or that of `lab/kube` beside the project.
//!
//! Tests run side by side, in several programs: whoever comes first starts the cluster, and nobody stops it but the one who
//! runs all tests (`lab/kube down`). Each test has a namespace of its own, which is deleted after it.

use crate::{Cluster, ClusterError, Deletion, Kind, Place, Pod, PodFilter, wait};
use serde_json::{Value as Json, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long one call may take: the machine does other work, too.
const PATIENCE: Duration = Duration::from_secs(30);
/// Looks for what takes time, and the pause between them.
const LOOKS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// Runs a test in a namespace of its own.
///
/// # Panics
/// Where it fails.
#[expect(clippy::panic, reason = "a test fails by it")]
pub fn in_a_room(word: &str, test: impl AsyncFnOnce(&Lab, &Room) -> Result<(), ClusterError>) {
    let lab = match Lab::open() {
        Ok(lab) => lab,
        Err(why) => return println!("skipped: {why}"),
    };
    let end = wait(async { test(&lab, &lab.namespace(word).await?).await });
    end.unwrap_or_else(|error| panic!("{error}"));
}

/// A cluster that tests may do anything to, in namespaces of their own.
#[derive(Debug, Clone)]
pub struct Lab {
    /// A client of it, with all rights.
    pub cluster: Cluster,
    /// Where it is, for other clients.
    pub place: Place,
    /// The image that its pods run.
    pub image: String,
    /// Whether it is that of `lab/kube`: of one node, which is this machine.
    pub is_here: bool,
}

impl Lab {
    /// The cluster, started if need be.
    ///
    /// # Errors
    /// Why there is none.
    pub fn open() -> Result<Self, String> {
        static FOUND: OnceLock<Result<Lab, String>> = OnceLock::new();
        FOUND.get_or_init(Self::find).clone()
    }

    fn find() -> Result<Self, String> {
        if let Some(named) = std::env::var_os("SQUALL_TEST_KUBECONFIG").filter(|path| !path.is_empty()) {
            let image = std::env::var("SQUALL_TEST_IMAGE").unwrap_or_else(|_| "busybox:stable".to_owned());
            return Self::at(PathBuf::from(named), image, false).map_err(|error| error.to_string());
        }
        let script =
            script().ok_or("no cluster for tests: no lab/kube is beside the project, or you are not root")?;
        let failed = |what: &str, error: std::io::Error| format!("no cluster for tests: {what}: {error}");
        let lock = File::create(std::env::temp_dir().join("squall-test-cluster.lock"));
        let lock = lock.map_err(|error| failed("create a lock", error))?;
        lock.lock().map_err(|error| failed("wait for the lock", error))?;
        let folder =
            std::env::var_os("LAB_KUBE").map_or_else(|| PathBuf::from("/var/lib/lab-kube"), PathBuf::from);
        let kubeconfig = folder.join("kubeconfig");
        let here = || Self::at(kubeconfig.clone(), "lab/busybox:1".to_owned(), true);
        if kubeconfig.is_file()
            && let Ok(lab) = here()
        {
            return Ok(lab);
        }
        let output = Command::new(&script).arg("up").stdin(Stdio::null()).output();
        let output = output.map_err(|error| failed("lab/kube up", error))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(format!("no cluster for tests: lab/kube up: {}", words.trim()));
        }
        here().map_err(|error| format!("no cluster for tests: {error}"))
    }

    fn at(kubeconfig: PathBuf, image: String, is_here: bool) -> Result<Self, ClusterError> {
        let place = Place { kubeconfig: Some(kubeconfig), context: None };
        wait(async {
            let cluster = Cluster::open(&place, PATIENCE).await?;
            // One that stands still answers nothing: it is not waited for.
            let nodes = cluster.within(Duration::from_secs(5)).nodes("").await?;
            let is_ready = nodes.iter().any(|node| node.ready);
            let not_ready = || cluster.error(crate::Problem::Unknown, "use it for tests", "no node is ready");
            if !is_ready {
                return Err(not_ready());
            }
            Ok(Self { cluster: cluster.clone(), place: place.clone(), image, is_here })
        })
    }

    /// A namespace of the test's own, which is deleted when the value is dropped.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn namespace(&self, word: &str) -> Result<Room, ClusterError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sqt-{word}-{}-{number}", std::process::id());
        let object = json!({"metadata": {"name": name, "labels": {"squall.dev/test": "true"}}});
        self.cluster.create(&Kind::NAMESPACE, None, &object).await?;
        let room = Room { lab: self.clone(), name };
        // Pods need the namespace's service account, which comes a moment later; before 1.24, also its secret.
        let account = Kind::SERVICE_ACCOUNT.named(Some(&room.name), "default");
        let with_secret = self.cluster.version().await?.minor < 24;
        room.until("its service account", async || {
            let account = self.cluster.get(&account).await?;
            Ok(account.is_some_and(|account| !with_secret || account["secrets"].is_array()))
        })
        .await?;
        Ok(room)
    }

    /// Loads an image of busybox and these static programs, which are in its `/bin` then, into the nodes.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn load_image(&self, name: &str, programs: &[&Path]) -> Result<(), String> {
        let script = script().filter(|_| self.is_here);
        let script = script.ok_or("no images for tests: the cluster is not that of lab/kube")?;
        let output = Command::new(script).arg("image").arg(name).args(programs).output();
        let output = output.map_err(|error| format!("lab/kube image: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("lab/kube image: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// A namespace of a test.
#[derive(Debug)]
pub struct Room {
    lab: Lab,
    /// Its name.
    pub name: String,
}

impl Room {
    /// The specification of a pod of one container `main` that does this in a shell.
    pub fn pod_spec(&self, script: &str) -> Json {
        json!({
            "terminationGracePeriodSeconds": 0,
            "containers": [self.container("main", script)],
        })
    }

    /// A container that does this in a shell.
    pub fn container(&self, name: &str, script: &str) -> Json {
        let policy = if self.lab.is_here { "Never" } else { "IfNotPresent" };
        json!({"name": name, "image": self.lab.image, "imagePullPolicy": policy, "command": ["/bin/sh", "-c", script]})
    }

    /// Makes pods of a deployment that do this in a shell, labelled `app` by its name, and waits until they are ready.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn deployment(&self, name: &str, count: u32, script: &str) -> Result<Vec<Pod>, ClusterError> {
        let labels = json!({"app": name});
        let object = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": count,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": self.pod_spec(script)},
            },
        });
        self.lab.cluster.create(&Kind::DEPLOYMENT, Some(&self.name), &object).await?;
        self.ready(&format!("app={name}"), count).await
    }

    /// Makes a pod of this specification, and waits until it is ready.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn pod(&self, name: &str, labels: &Json, spec: &Json) -> Result<Pod, ClusterError> {
        let object = json!({"metadata": {"name": name, "labels": labels}, "spec": spec});
        self.lab.cluster.create(&Kind::POD, Some(&self.name), &object).await?;
        self.until(&format!("pod {name} to be ready"), async || {
            Ok(self.lab.cluster.pod(&self.name, name).await?.filter(|pod| pod.ready))
        })
        .await
    }

    /// Makes the kind that Istio's virtual services are of, where the cluster does not have it yet, and waits until it is served.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn with_virtual_services(&self) -> Result<(), ClusterError> {
        let kind = &Kind::VIRTUAL_SERVICE;
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": anything}}});
        let version = json!({"name": kind.version, "served": true, "storage": true, "schema": schema});
        let names = json!({"plural": kind.plural, "singular": "virtualservice", "kind": kind.kind});
        let definition = json!({
            "metadata": {"name": format!("{}.{}", kind.plural, kind.group)},
            "spec": {"group": kind.group, "scope": "Namespaced", "names": names, "versions": [version]},
        });
        match self.lab.cluster.create(&Kind::CUSTOM_RESOURCE_DEFINITION, None, &definition).await {
            // It was there, or another test was as quick.
            Err(error) if error.problem != crate::Problem::Conflict => return Err(error),
            _ => {}
        }
        let is_served = async || Ok(self.lab.cluster.list(kind, Some(&self.name), "").await.is_ok());
        self.until("the kind VirtualService", is_served).await
    }

    /// The pods with these labels, once so many are ready and none is on its way out.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn ready(&self, labels: &str, count: u32) -> Result<Vec<Pod>, ClusterError> {
        let filter = PodFilter {
            namespaces: vec![self.name.clone()],
            labels: labels.to_owned(),
            ..PodFilter::default()
        };
        self.until(&format!("{count} pods {labels} to be ready"), async || {
            let pods = self.lab.cluster.pods(&filter).await?;
            let is_so = pods.len() == count as usize && pods.iter().all(|pod| pod.ready && !pod.deleted);
            Ok(is_so.then_some(pods))
        })
        .await
    }

    /// Looks until there is something to be seen.
    ///
    /// # Errors
    /// `Unknown` where it does not come in a minute; those of the look.
    pub async fn until<T: Awaited>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<T, ClusterError>,
    ) -> Result<T::Seen, ClusterError> {
        for _ in 0..LOOKS {
            if let Some(seen) = look().await?.seen() {
                return Ok(seen);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.lab.cluster.error(crate::Problem::Unknown, &format!("wait for {what}"), "it did not come"))
    }
}

/// What a look shows, or not yet.
pub trait Awaited {
    /// What is seen then.
    type Seen;
    /// What is seen, if it is there.
    fn seen(self) -> Option<Self::Seen>;
}

impl Awaited for bool {
    type Seen = ();
    fn seen(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Awaited for Option<T> {
    type Seen = T;
    fn seen(self) -> Self {
        self
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let namespace = Kind::NAMESPACE.named(None, &self.name);
        // What is not deleted now is in nobody's way.
        let _ = wait(async { self.lab.cluster.delete(&namespace, &Deletion::default()).await });
    }
}

/// Waits until no other test has an operator in the cluster, or the kinds that it looks after; until the guard is dropped, no other
/// has. An operator looks after all that it sees, also what is another test's.
///
/// # Errors
/// The file that stands for it cannot be locked.
pub fn alone_with_operators() -> std::io::Result<std::fs::File> {
    let path = std::env::temp_dir().join("squall-test-operators.lock");
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}

/// The script that starts a cluster, where it is there and may be used.
fn script() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/lab/kube");
    let is_root =
        || std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    (script.is_file() && is_root()).then_some(script)
}
