//! A real Redis for tests.

use super::{Owner, end, free_port};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use tempfile::TempDir;

const SERVER: &str = "/usr/bin/redis-server";

/// A Redis that keeps nothing on disk.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    password: Option<String>,
    socket: Option<PathBuf>,
    folder: TempDir,
    /// Where it listens.
    pub port: u16,
}

impl RedisServer {
    /// Starts one, with options such as `--maxclients 20`. None where it is not installed: says that the test is skipped.
    ///
    /// # Panics
    /// Where one that is installed does not start.
    pub fn start(options: &[&str]) -> Option<Self> {
        Self::start_in(None, options)
    }

    /// The same in a network namespace (`ip netns`), on an address there.
    ///
    /// # Panics
    /// Where one that is installed does not start.
    pub fn start_in(namespace: Option<(&str, &str)>, options: &[&str]) -> Option<Self> {
        if !Path::new(SERVER).exists() {
            println!("skipped: there is no Redis (Debian: redis-server)");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("sqt-redis-").tempdir().expect("a folder");
        let port = free_port();
        let (name, address) = namespace.unzip();
        let mut command = Owner::ourselves().command(Path::new(SERVER), name);
        command.args(["--bind", address.unwrap_or("127.0.0.1"), "--port"]).arg(port.to_string());
        command.args(["--protected-mode", "no", "--save", "", "--appendonly", "no"]);
        // The socket in the file system is one that no lost network cuts.
        let socket = name.map(|_| folder.path().join("s"));
        if let Some(socket) = &socket {
            command.arg("--unixsocket").arg(socket);
        }
        command.arg("--dir").arg(folder.path()).args(options);
        let child = Owner::ourselves().spawn(&mut command, &folder.path().join("log"));
        let password = options.iter().skip_while(|option| **option != "--requirepass").nth(1);
        let password = password.map(|word| (*word).to_owned());
        let server = Self { child, password, socket, folder, port };
        for _ in 0..600 {
            if server.try_ask("PING").is_ok_and(|answer| answer == "PONG") {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
        panic!("Redis did not start: {log}");
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it with `redis-cli`, which knows nothing of Squall; words are parted by spaces.
    ///
    /// # Errors
    /// What `redis-cli` says, and where it says nothing for 10 s.
    pub fn try_ask(&self, text: &str) -> Result<String, String> {
        let mut command = Command::new("timeout");
        command.args(["10", "redis-cli", "-p"]).arg(self.port.to_string());
        if let Some(socket) = &self.socket {
            command.arg("-s").arg(socket);
        }
        if let Some(password) = &self.password {
            command.args(["--no-auth-warning", "-a", password]);
        }
        let output = command.args(text.split(' ')).output().map_err(|error| error.to_string())?;
        let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(told(&output.stdout)) } else { Err(told(&output.stderr)) }
    }

    /// The same, where it must answer.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn ask(&self, text: &str) -> String {
        self.try_ask(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        end(&mut self.child, Signal::TERM);
    }
}
