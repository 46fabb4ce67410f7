//! A real `MariaDB` for tests.

use super::{Owner, end, free_port};
use rustix::process::Signal;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;
use tempfile::TempDir;

const SERVER: &str = "/usr/sbin/mariadbd";

/// A `MariaDB` into which `root` is let from loopback without a password.
#[derive(Debug)]
pub struct MariaDbServer {
    child: Child,
    folder: TempDir,
    /// Where it listens.
    pub port: u16,
}

impl MariaDbServer {
    /// Starts one, with options such as `--max-connections=20`. None where it is not installed: says that the test is
    /// skipped.
    ///
    /// # Panics
    /// Where one that is installed does not start.
    pub fn start(options: &[&str]) -> Option<Self> {
        Self::start_in(None, options)
    }

    /// The same in a network namespace (`ip netns`), on an address there; `root` is let in from anywhere.
    ///
    /// # Panics
    /// Where one that is installed does not start.
    pub fn start_in(namespace: Option<(&str, &str)>, options: &[&str]) -> Option<Self> {
        if !Path::new(SERVER).exists() {
            println!("skipped: there is no MariaDB (Debian: mariadb-server)");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("sqt-mariadb-").tempdir().expect("a folder");
        let user = Owner::of("mysql");
        user.give(folder.path());
        let data = folder.path().join("data");
        let mut install = Command::new("mariadb-install-db");
        // Several that are made at the same time would take each other's temporary tables.
        install.env("TMPDIR", folder.path());
        install.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
        user.run(install.arg(format!("--datadir={}", data.display())));
        let port = free_port();
        let (name, address) = namespace.unzip();
        let mut command = user.command(Path::new(SERVER), name);
        command.env("TMPDIR", folder.path());
        command.args([
            "--no-defaults",
            // Whoever comes from elsewhere has no name here.
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
        ]);
        command.arg(format!("--bind-address={}", address.unwrap_or("127.0.0.1")));
        command.arg(format!("--datadir={}", data.display())).arg(format!("--port={port}"));
        command.arg(format!("--socket={}", folder.path().join("s").display())).args(options);
        let child = user.spawn(&mut command, &folder.path().join("log"));
        let server = Self { child, folder, port };
        for _ in 0..600 {
            if server.try_ask("SELECT 1").is_ok() {
                if namespace.is_some() {
                    // Nothing that a replica would do as well.
                    server.ask("SET sql_log_bin = 0; CREATE USER root@'%'; GRANT ALL ON *.* TO root@'%'");
                }
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
        panic!("MariaDB did not start: {log}");
    }

    /// Its address, for `root`.
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it with `mariadb`, which knows nothing of Squall: rows are lines, columns are parted by tabs.
    ///
    /// # Errors
    /// What `mariadb` says.
    pub fn try_ask(&self, text: &str) -> Result<String, String> {
        // Over the socket: the one more connection that is kept for whoever may do anything is for it.
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "-uroot", "-BN", "--connect-timeout=5"]);
        command.arg(format!("--socket={}", self.folder.path().join("s").display()));
        let output = command.args(["-e", text]).output().map_err(|error| error.to_string())?;
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

impl Drop for MariaDbServer {
    fn drop(&mut self) {
        end(&mut self.child, Signal::TERM);
    }
}
