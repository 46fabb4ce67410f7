//! A Docker daemon of the test's own, with its own folders and socket, and containers without a network. All of it goes
//! when the test ends.

use serde_json::{Value as Json, json};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The image that containers are made from: busybox alone.
const IMAGE: &str = "sqt-busybox";

/// A daemon that runs.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
    /// The control group that all containers are in.
    group: String,
}

impl Lab {
    /// Starts a daemon; says why where that cannot be done here.
    pub(crate) fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can start dockerd".to_owned());
        }
        let busybox =
            ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
        let busybox = busybox.ok_or("there is no busybox; install busybox-static")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(folder.path().join("daemon.json"), "{}").map_err(|error| error.to_string())?;
        let log = File::create(folder.path().join("log")).map_err(|error| error.to_string())?;
        let name = folder.path().file_name().unwrap_or_default().to_string_lossy();
        let group = format!("sqt-{}", name.trim_start_matches('.'));
        let daemon = Command::new("dockerd")
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--host", &format!("unix://{}", at("docker.sock")), "--config-file", &at("daemon.json")])
            // Nothing of this host is touched: no bridge, no packet filter.
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", &format!("/{group}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("could not start dockerd: {error}; install docker.io"))?;
        let mut lab = Self { folder, daemon: Some(daemon), group };
        lab.wait_for_daemon()?;
        lab.import(busybox)?;
        Ok(lab)
    }

    /// Folders alone, for what needs no containers.
    pub(crate) fn without_daemon() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), daemon: None, group: String::new() }
    }

    fn wait_for_daemon(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.ask("GET", "/_ping", "text/plain", &[]).is_err() {
            if let Some(Ok(Some(status))) = self.daemon.as_mut().map(Child::try_wait) {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                return Err(format!(
                    "dockerd does not run here ({status}): {}",
                    log.lines().last().unwrap_or("")
                ));
            }
            if Instant::now() > deadline {
                return Err("dockerd did not answer within a minute".to_owned());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn import(&self, busybox: &Path) -> Result<(), String> {
        let root = self.folder.path().join("root");
        std::fs::create_dir_all(root.join("bin")).map_err(|error| error.to_string())?;
        std::fs::copy(busybox, root.join("bin/busybox")).map_err(|error| error.to_string())?;
        let tar = Command::new("tar").arg("-C").arg(&root).args(["-c", "."]).output();
        let tar = tar.map_err(|error| error.to_string())?.stdout;
        let path = format!("/images/create?fromSrc=-&repo={IMAGE}");
        self.ask("POST", &path, "application/x-tar", &tar).map(drop)
    }

    /// Where the daemon listens, for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// A folder for the test's files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a container that runs a shell's script; gives its number.
    pub(crate) fn run(&self, name: &str, labels: &[(&str, &str)], script: &str) -> String {
        let labels: serde_json::Map<String, Json> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        self.start_container(name, json!({"Cmd": ["/bin/busybox", "sh", "-c", script], "Labels": labels}))
    }

    /// Starts a container with the daemon's own words for what it is; gives its number.
    pub(crate) fn start_container(&self, name: &str, mut body: Json) -> String {
        body["Image"] = IMAGE.into();
        body["NetworkDisabled"] = true.into();
        let made = self.post(&format!("/containers/create?name={name}"), &body);
        let id = made["Id"].as_str().unwrap().to_owned();
        self.ask("POST", &format!("/containers/{id}/start"), "application/json", &[]).unwrap();
        id
    }

    /// What the daemon says of a container's state.
    pub(crate) fn state(&self, id: &str) -> Json {
        let answer = self.ask("GET", &format!("/containers/{id}/json"), "application/json", &[]).unwrap();
        serde_json::from_str::<Json>(&answer).unwrap()["State"].clone()
    }

    /// Whether a container runs.
    pub(crate) fn runs(&self, id: &str) -> bool {
        self.state(id)["Running"] == true
    }

    /// Files that say whether a container is frozen, whichever there is.
    pub(crate) fn freezers(&self, id: &str) -> [PathBuf; 2] {
        let group = Path::new(&self.group).join(id);
        let root = Path::new("/sys/fs/cgroup");
        [root.join("freezer").join(&group).join("freezer.state"), root.join(&group).join("cgroup.freeze")]
    }

    /// The number of a container's main process.
    pub(crate) fn pid(&self, id: &str) -> u32 {
        self.state(id)["Pid"].as_u64().unwrap() as u32
    }

    fn post(&self, path: &str, body: &Json) -> Json {
        let answer = self.ask("POST", path, "application/json", body.to_string().as_bytes()).unwrap();
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<String, String> {
        let ask = || {
            let mut stream = UnixStream::connect(self.socket())?;
            let length = body.len();
            write!(
                stream,
                "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
            )?;
            stream.write_all(body)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        let answer: String = ask().map_err(|error: std::io::Error| format!("{method} {path}: {error}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status.starts_with('2') {
            Ok(body.to_owned())
        } else {
            Err(format!("{method} {path}: {status} {body}"))
        }
    }

    /// Runs Squall with this daemon, in a state folder of the test's own.
    pub(crate) fn squall(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(arguments).env("DOCKER_HOST", self.host()).env("SQUALL_STATE", self.path("state"));
        command.stdin(Stdio::null());
        command
    }

    /// The same, to its end.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.squall(arguments).output().unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let Some(mut process) = self.daemon.take() else { return };
        // Containers first: those of a daemon that is gone would live on.
        let listed = self.ask("GET", "/containers/json?all=1", "application/json", &[]).unwrap_or_default();
        for container in serde_json::from_str::<Vec<Json>>(&listed).unwrap_or_default() {
            let id = container["Id"].as_str().unwrap_or_default();
            let _ = self.ask("DELETE", &format!("/containers/{id}?force=1"), "application/json", &[]);
        }
        let daemon = rustix::process::Pid::from_child(&process);
        let _ = rustix::process::kill_process(daemon, rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = rustix::process::kill_process_group(daemon, rustix::process::Signal::KILL);
        let _ = process.wait();
        for tree in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            // Where it is in none of the trees, or a tree is the whole, there is nothing to remove.
            let _ = std::fs::remove_dir(tree.path().join(&self.group));
        }
        let _ = std::fs::remove_dir(Path::new("/sys/fs/cgroup").join(&self.group));
    }
}

/// Waits, up to half a minute, until something is so.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..300 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it did not become so within half a minute: {what}");
}
