//! Docker, and what speaks its API (Podman, for one), asked over its socket: which containers run, and as which process.
//!
//! What is done to a container is done to its processes, its namespaces and its control groups, so that it is undone like
//! everything else; only its daemon can stop and start it. `DOCKER_HOST=unix:///path` names another socket than
//! `/var/run/docker.sock`.
//!
//! Source: Docker Engine API, `GET /containers/json`, `GET /containers/{id}/json`, `POST /containers/{id}/stop` and `/start`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use squall_model::facts::Privilege;
use squall_model::machine::MachineError;
use squall_model::target::{ContainerSelector, fits};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Docker listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";
/// How long one answer may pause.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes: some ten thousand containers.
const LONGEST: u64 = 64 << 20;

/// A Docker daemon.
#[derive(Debug, Clone)]
pub struct Docker {
    socket: PathBuf,
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// Its number: 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    #[serde(rename = "Names", deserialize_with = "first_name")]
    pub name: String,
    /// The image that it was made from, as it was named.
    #[serde(default)]
    pub image: String,
    /// Its labels.
    #[serde(default, deserialize_with = "or_none")]
    pub labels: BTreeMap<String, String>,
    /// `running`, `paused`, `restarting`.
    #[serde(default)]
    pub state: String,
    /// The state in words, with what its health check says: `Up 2 minutes (healthy)`.
    #[serde(default)]
    pub status: String,
}

/// Names begin with a slash; further ones are of containers that link here and have a second one.
fn first_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let names: Vec<String> = or_none(deserializer)?;
    let own = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
    Ok(own.unwrap_or_default().to_owned())
}

/// Some daemons write `null` for what is empty.
fn or_none<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Container {
    /// Whether it is one of those that are meant.
    pub fn matches(&self, selector: &ContainerSelector) -> bool {
        let given = |wanted: &Option<String>, fits: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(fits);
        given(&selector.id, &|id| self.id.starts_with(&id.to_ascii_lowercase()))
            && given(&selector.name, &|name| fits(name, &self.name))
            && given(&selector.label, &|label| self.has_label(label))
            && given(&selector.image, &|image| self.is_of(image))
    }

    /// Whether it has a label, `NAME=VALUE` or `NAME` with any value.
    pub fn has_label(&self, label: &str) -> bool {
        match label.split_once('=') {
            Some((name, value)) => self.labels.get(name).is_some_and(|is| is == value),
            None => self.labels.contains_key(label),
        }
    }

    fn is_of(&self, image: &str) -> bool {
        // A colon before the last slash is that of a registry's port.
        let name = match self.image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => &self.image,
        };
        self.image == image || name == image
    }

    /// Whether it does its work as far as Docker can tell: it runs, is not paused, and its health check, if it has one,
    /// has found it well.
    pub fn is_healthy(&self) -> bool {
        let ails = ["(unhealthy)", "(health: starting)", "(Paused)"];
        self.state == "running" && !ails.iter().any(|ail| self.status.contains(ail))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
    #[serde(default)]
    host_config: HostConfig,
}

/// The state of a container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    /// `running`, `paused`, `restarting`, `exited`, `created`, `removing`, `dead`.
    #[serde(default)]
    pub status: String,
    /// Its main process, as this host numbers it; 0 where there is none.
    #[serde(default)]
    pub pid: u32,
    /// When it last began.
    #[serde(default)]
    pub started_at: String,
    /// How it last ended.
    #[serde(default)]
    pub exit_code: i64,
    /// Whether it is removed when it ends.
    #[serde(skip)]
    pub is_removed_at_end: bool,
}

impl State {
    /// Whether it does something: it runs and is not paused.
    pub fn runs(&self) -> bool {
        self.status == "running"
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    auto_remove: bool,
}

impl Docker {
    /// The daemon that `DOCKER_HOST` names, else the one of this host.
    ///
    /// # Errors
    /// `DOCKER_HOST` names one that is not reached by a socket of this host.
    pub fn from_environment() -> Result<Self, MachineError> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        match host.strip_prefix("unix://") {
            Some(path) => Ok(Self::at(path)),
            None if host.is_empty() => Ok(Self::at(SOCKET)),
            None => Err(MachineError::Refused {
                message: format!(
                    "could not ask Docker at DOCKER_HOST={host}: only containers of this host can be struck; run Squall \
                     there, or name a socket: DOCKER_HOST=unix://{SOCKET}"
                ),
            }),
        }
    }

    /// The daemon that listens on this socket.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The containers that run (or are paused), by name.
    pub fn containers(&self) -> Result<Vec<Container>, MachineError> {
        let mut containers: Vec<Container> = self.get("/containers/json")?.unwrap_or_default();
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(containers)
    }

    /// The main process of a container, as this host numbers it; `None` where the container is gone or does not run.
    pub fn main_process(&self, id: &str) -> Result<Option<u32>, MachineError> {
        Ok(self.state(id)?.map(|state| state.pid).filter(|pid| *pid != 0))
    }

    /// The state of a container; `None` where it is gone.
    pub fn state(&self, id: &str) -> Result<Option<State>, MachineError> {
        let found: Option<Inspected> = self.get(&format!("/containers/{id}/json"))?;
        Ok(found.map(|Inspected { state, host_config }| State {
            is_removed_at_end: host_config.auto_remove,
            ..state
        }))
    }

    /// Stops a container as the daemon does: it gets the signal to end by, and is killed after so many seconds. Waits until
    /// it has ended. Whether there was one that could be stopped.
    pub fn stop(&self, id: &str, grace: u64) -> Result<bool, MachineError> {
        self.post(&format!("/containers/{id}/stop?t={grace}"))
    }

    /// Starts a container. Whether there was one that had ended.
    pub fn start(&self, id: &str) -> Result<bool, MachineError> {
        self.post(&format!("/containers/{id}/start"))
    }

    /// Asks for a change. Whether it was made: it was not where all is so already (304), or there is nothing (404).
    fn post(&self, path: &str) -> Result<bool, MachineError> {
        let (status, body) = self.ask("POST", path)?;
        match status {
            200..=299 => Ok(true),
            304 | 404 => Ok(false),
            other => Err(self.failed(path, &format!("it answered {other}: {}", words(&body)))),
        }
    }

    /// Asks for a path; `None` where there is nothing (404).
    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, MachineError> {
        let (status, body) = self.ask("GET", path)?;
        match status {
            200 => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| self.failed(path, &format!("the answer is not understood: {error}"))),
            404 => Ok(None),
            other => Err(self.failed(path, &format!("it answered {other}: {}", words(&body)))),
        }
    }

    /// Status and body of the answer.
    fn ask(&self, method: &str, path: &str) -> Result<(u16, Vec<u8>), MachineError> {
        let answer = self.exchange(method, path).map_err(|error| self.unreachable(&error))?;
        split(&answer).ok_or_else(|| self.failed(path, "it answered something that is not HTTP"))
    }

    fn exchange(&self, method: &str, path: &str) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // The answer to HTTP/1.0 comes in one piece and ends with the connection.
        let request = format!("{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn failed(&self, path: &str, why: &str) -> MachineError {
        let message = format!("could not ask Docker at {} for {path}: {why}", self.socket.display());
        MachineError::Failed { message }
    }

    fn unreachable(&self, error: &io::Error) -> MachineError {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => MachineError::NotFound {
                message: format!(
                    "could not ask Docker at {socket}: {error}; is it running? DOCKER_HOST=unix:///path names another \
                     socket"
                ),
            },
            io::ErrorKind::PermissionDenied => MachineError::Forbidden {
                message: format!(
                    "could not ask Docker at {socket}: {error}; it belongs to root and the group docker: run with --sudo, \
                     or as root"
                ),
                needs: Some(Privilege::DacOverride),
            },
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => MachineError::Failed {
                message: format!(
                    "could not ask Docker at {socket}: no answer within {} s",
                    PATIENCE.as_secs()
                ),
            },
            _ => MachineError::Failed { message: format!("could not ask Docker at {socket}: {error}") },
        }
    }
}

fn words(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim().to_owned()
}

/// Status and body of an answer.
fn split(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer[end + 4..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A daemon that gives each asker the next answer.
    fn daemon(answers: Vec<String>) -> (tempfile::TempDir, Docker, std::thread::JoinHandle<Vec<String>>) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let serve = |answer: String| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 4096];
                let length = stream.read(&mut asked).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&asked[..length]).into_owned()
            };
            answers.into_iter().map(serve).collect()
        });
        (folder, Docker::at(socket), server)
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}")
    }

    const TWO: &str = r#"[
      {"Id": "bbbbbbbbbbbbbb00", "Names": ["/db/web", "/web"], "Image": "registry:5000/shop/web:1.2",
       "Labels": {"app": "shop", "squall.monkey": "enabled"}, "State": "running", "Status": "Up 2 minutes (healthy)"},
      {"Id": "aaaaaaaaaaaaaa00", "Names": ["/db"], "Image": "postgres", "Labels": null, "State": "running",
       "Status": "Up 3 seconds (health: starting)"}]"#;

    #[test]
    fn containers_are_listed_and_chosen() {
        let inspected = r#"{"Id": "bb", "State": {"Status": "running", "Pid": 4711}}"#;
        let gone = "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such container\"}".to_owned();
        let (_folder, docker, server) = daemon(vec![ok(TWO), ok(inspected), gone]);
        let containers = docker.containers().unwrap();
        let [db, web] = containers.as_slice() else { panic!("{containers:?}") };
        assert_eq!((db.name.as_str(), web.name.as_str()), ("db", "web"));
        assert!(web.is_healthy() && !db.is_healthy());
        let matches = |text: &str| {
            let selector: ContainerSelector = serde_json::from_str(text).unwrap();
            (web.matches(&selector), db.matches(&selector))
        };
        for text in [
            r#"{"name": "web"}"#,
            r#"{"name": "w*"}"#,
            r#"{"id": "BBBBBBBBBBBBBB"}"#,
            r#"{"label": "app"}"#,
            r#"{"label": "app=shop"}"#,
            r#"{"image": "registry:5000/shop/web"}"#,
            r#"{"image": "registry:5000/shop/web:1.2"}"#,
            r#"{"name": "web", "label": "squall.monkey=enabled"}"#,
        ] {
            assert_eq!(matches(text), (true, false), "{text}");
        }
        for text in
            [r#"{"label": "app=other"}"#, r#"{"image": "web"}"#, r#"{"name": "we"}"#, r#"{"id": "b0"}"#]
        {
            assert_eq!(matches(text), (false, false), "{text}");
        }
        assert_eq!(matches(r#"{"image": "postgres"}"#), (false, true));
        assert_eq!(docker.main_process("bb").unwrap(), Some(4711));
        assert_eq!(docker.main_process("cc").unwrap(), None);
        let asked = server.join().unwrap();
        assert!(asked[1].starts_with("GET /containers/bb/json HTTP/1.0\r\n"), "{}", asked[1]);
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = Docker::at(folder.path().join("none")).containers().unwrap_err();
        assert!(
            matches!(&nobody, MachineError::NotFound { message } if message.contains("is it running")),
            "{nobody}"
        );
        for (answer, says) in [
            (
                "HTTP/1.0 500 Internal Server Error\r\n\r\n{\"message\":\"boom\"}",
                "500: {\"message\":\"boom\"}",
            ),
            ("SSH-2.0-OpenSSH", "not HTTP"),
            ("HTTP/1.0 200 OK\r\n\r\n[{", "not understood"),
        ] {
            let (_folder, docker, server) = daemon(vec![answer.to_owned()]);
            let error = docker.containers().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            server.join().unwrap();
        }
    }
}
