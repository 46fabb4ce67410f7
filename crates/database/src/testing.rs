//! Real servers for tests: each started on loopback, on a port and in a folder of its own, and ended by its number.

#![expect(clippy::panic, reason = "a test that cannot have its server fails")]

pub mod mariadb;
pub mod rabbitmq;
pub mod redis;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A port that nobody listens on just now.
///
/// # Panics
/// Where loopback has none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}

/// How a PostgreSQL is to be.
#[derive(Debug, Default)]
pub struct Setup<'a> {
    /// Settings such as `max_connections=40`.
    pub settings: &'a [&'a str],
    /// Lines of `pg_hba.conf` on who is let in from elsewhere; without it whoever says to be somebody is believed.
    pub admitted: Option<&'a str>,
    /// Files in its data folder, such as a certificate, which nobody else may read.
    pub files: &'a [(&'a str, &'a str)],
    /// The network namespace that it is in (`ip netns`), and the address there that it listens on.
    pub namespace: Option<(&'a str, &'a str)>,
}

/// A PostgreSQL with the database `postgres`.
#[derive(Debug)]
pub struct PostgresServer {
    child: Child,
    folder: TempDir,
    programs: PathBuf,
    /// Where it listens.
    pub port: u16,
}

impl PostgresServer {
    /// Starts one, with settings such as `max_connections=40`. None where it is not installed: says that the test is
    /// skipped.
    ///
    /// # Panics
    /// Where one that is installed does not start.
    pub fn start(settings: &[&str]) -> Option<Self> {
        Self::start_as(&Setup { settings, ..Setup::default() })
    }

    /// The same, as told.
    ///
    /// # Panics
    /// Where one that is installed does not start.
    pub fn start_as(setup: &Setup<'_>) -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: there is no PostgreSQL (Debian: postgresql)");
            return None;
        };
        let user = Owner::of("postgres");
        let folder = Self::folder_of(&user);
        let data = folder.path().join("data");
        let mut initdb = Command::new(programs.join("initdb"));
        initdb.args(["--auth=trust", "--username=postgres", "--no-sync", "--pgdata"]).arg(&data);
        user.run(&mut initdb);
        if let Some(admitted) = setup.admitted {
            let lines = format!("local all,replication all trust\n{admitted}\n");
            std::fs::write(data.join("pg_hba.conf"), lines).expect("who is let in");
        }
        for (name, text) in setup.files {
            let path = data.join(name);
            std::fs::write(&path, text).expect("a file");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
            user.give(&path);
        }
        Some(Self::begin(folder, programs, &user, setup))
    }

    /// A replica that follows this one.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn replica(&self) -> Self {
        self.replica_as(&Setup::default())
    }

    /// The same, as told. It is fed over the socket in the file system, which no lost network cuts.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn replica_as(&self, setup: &Setup<'_>) -> Self {
        let user = Owner::of("postgres");
        let folder = Self::folder_of(&user);
        let mut copy = Command::new(self.programs.join("pg_basebackup"));
        copy.args(["-U", "postgres", "-h"]).arg(self.folder()).arg("-p").arg(self.port.to_string());
        copy.args(["-R", "-c", "fast", "-D"]).arg(folder.path().join("data"));
        user.run(&mut copy);
        Self::begin(folder, self.programs.clone(), &user, setup)
    }

    fn folder_of(user: &Owner) -> TempDir {
        let folder = tempfile::Builder::new().prefix("sqt-postgres-").tempdir().expect("a folder");
        user.give(folder.path());
        folder
    }

    fn begin(folder: TempDir, programs: PathBuf, user: &Owner, setup: &Setup<'_>) -> Self {
        let port = free_port();
        let address = setup.namespace.map_or("127.0.0.1", |(_, address)| address);
        let mut command = user.command(&programs.join("postgres"), setup.namespace.map(|(name, _)| name));
        command.arg("-D").arg(folder.path().join("data")).arg("-p").arg(port.to_string());
        command.arg("-k").arg(folder.path()).args(["-c", &format!("listen_addresses={address}")]);
        command.args(["-c", "fsync=off"]);
        for setting in setup.settings {
            command.arg("-c").arg(setting);
        }
        let child = user.spawn(&mut command, &folder.path().join("log"));
        let server = Self { child, folder, programs, port };
        for _ in 0..600 {
            if server.try_ask("SELECT 1").is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
        panic!("PostgreSQL did not start: {log}");
    }

    /// Its address, for the superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The number of its main process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of its files and of its socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of PostgreSQL's own programs.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Asks it with `psql`, which knows nothing of Squall, over its socket in the file system, which no lost network cuts:
    /// rows are lines, columns are parted by `|`.
    ///
    /// # Errors
    /// What `psql` says.
    pub fn try_ask(&self, text: &str) -> Result<String, String> {
        let mut command = Command::new("psql");
        command
            .args(["-XAtq", "-U", "postgres", "-p"])
            .arg(self.port.to_string())
            .arg("-h")
            .arg(self.folder());
        // Whatever a database was made, this client may do what it is asked to.
        command.env("PGOPTIONS", "-c default_transaction_read_only=off");
        let output = command.args(["-c", text, "postgres"]).output().map_err(|error| error.to_string())?;
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

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // SIGQUIT: at once, without a checkpoint; its own children go with it.
        end(&mut self.child, Signal::QUIT);
    }
}

/// Ends a server, by force where it takes too long.
pub(crate) fn end(child: &mut Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
    for _ in 0..100 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Where Debian keeps the programs of the latest PostgreSQL.
fn programs() -> Option<PathBuf> {
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|folder| folder.join("postgres").exists()).max()
}

/// Who runs a server that refuses to be run by root.
pub(crate) struct Owner(Option<(u32, u32)>);

impl Owner {
    /// This user of the system, where we are root; ourselves otherwise.
    pub(crate) fn of(name: &str) -> Self {
        let number = |flag: &str| {
            let output = Command::new("id").args([flag, name]).output().ok()?;
            String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().ok()
        };
        Self(if geteuid().is_root() { number("-u").zip(number("-g")) } else { None })
    }

    /// Whoever runs the test.
    pub(crate) fn ourselves() -> Self {
        Self(None)
    }

    pub(crate) fn give(&self, folder: &Path) {
        if let Some((user, group)) = self.0 {
            std::os::unix::fs::chown(folder, Some(user), Some(group)).expect("the folder's owner");
        }
    }

    /// A program in a network namespace, which takes root to enter: what enters it becomes the user and then the program,
    /// with the number that it has.
    fn command(&self, program: &Path, namespace: Option<&str>) -> Command {
        let Some(namespace) = namespace else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{namespace}"));
        if let Some((user, group)) = self.0 {
            command.arg(format!("--setuid={user}")).arg(format!("--setgid={group}"));
        }
        command.arg(program);
        command
    }

    fn be(&self, command: &mut Command) {
        if command.get_program() == "nsenter" {
            command.current_dir("/").stdin(Stdio::null());
            return;
        }
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command.current_dir("/").stdin(Stdio::null());
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, command: &mut Command) {
        self.be(command);
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a server that writes what it says to a file.
    pub(crate) fn spawn(&self, command: &mut Command, log: &Path) -> Child {
        self.be(command);
        let file =
            || -> io::Result<std::fs::File> { std::fs::File::options().create(true).append(true).open(log) };
        command.stdout(file().expect("a log")).stderr(file().expect("a log"));
        command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}
