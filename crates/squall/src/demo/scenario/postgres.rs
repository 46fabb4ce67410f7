//! A real PostgreSQL for a scenario, in a folder of its own, taken away with the scenario, however that ends.

use rustix::process::{Pid, kill_process};
use squall_database::{Login, Manner};
use squall_model::server::{ServerUrl, ServerUrlError, Statement};
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What the keeper says once the server runs; anything else is why it does not.
const READY: &str = "ready";
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// The server, and the process that ends it when this one is gone.
pub(super) struct Postgres {
    keeper: Child,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    /// Where it listens.
    pub(super) port: u16,
}

impl Postgres {
    /// Starts one with settings such as `max_connections=20`.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed, or does not start.
    pub(super) fn start(settings: &[&str]) -> Result<Self, String> {
        let (programs, user) = (programs()?, user());
        let folder = own_folder(user)?;
        let initdb = command(&programs, "initdb", user)
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--pgdata"])
            .arg(folder.join("data"))
            .output();
        if let Err(why) = succeeded(initdb) {
            let _ = fs::remove_dir_all(&folder);
            return Err(format!("could not make a database in {}: {why}", folder.display()));
        }
        // A replica may come for a copy.
        let access = fs::File::options().append(true).open(folder.join("data/pg_hba.conf"));
        let allowed = access.and_then(|mut file| writeln!(file, "host replication all 127.0.0.1/32 trust"));
        allowed.map_err(|error| format!("could not let replicas in: {error}"))?;
        Self::begin(&programs, user, &folder, settings)
    }

    /// Starts another that follows this one.
    ///
    /// # Errors
    /// Where no copy of it can be made.
    pub(super) fn replica(&self, settings: &[&str]) -> Result<Self, String> {
        let folder = own_folder(self.user)?;
        let copied = command(&self.programs, "pg_basebackup", self.user)
            .args(["--write-recovery-conf", "--no-sync", "--checkpoint=fast", "--username=postgres"])
            .args(["--host=127.0.0.1", "--port", &self.port.to_string(), "--pgdata"])
            .arg(folder.join("data"))
            .output();
        if let Err(why) = succeeded(copied) {
            let _ = fs::remove_dir_all(&folder);
            return Err(format!("could not copy the database: {why}"));
        }
        Self::begin(&self.programs, self.user, &folder, settings)
    }

    fn begin(
        programs: &Path,
        user: Option<(u32, u32)>,
        folder: &Path,
        settings: &[&str],
    ) -> Result<Self, String> {
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = port.map_err(|error| format!("could not find a free port: {error}"))?.port();
        let (user_id, group) = user.unwrap_or((0, 0));
        let mut start = Command::new("/proc/self/exe");
        start.arg("postgres-keeper").arg(programs).arg(folder);
        start.args([port.to_string(), user_id.to_string(), group.to_string()]).args(settings);
        let keeper = start.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut keeper = keeper.map_err(|error| format!("could not start PostgreSQL: {error}"))?;
        let mut said = String::new();
        if let Some(stdout) = &mut keeper.stdout {
            let mut byte = [0];
            while matches!(stdout.read(&mut byte), Ok(1)) && byte != *b"\n" {
                said.push(char::from(byte[0]));
            }
        }
        let mut server = Self { keeper, programs: programs.to_owned(), user, port };
        if said != READY {
            return Err(format!("could not start PostgreSQL: {said}"));
        }
        server.wait_until_it_answers()?;
        Ok(server)
    }

    /// Its address, for its superuser.
    pub(super) fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Its address, for somebody else.
    pub(super) fn url_of(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/postgres", self.port)
    }

    /// Says something to it.
    ///
    /// # Errors
    /// What it answers.
    pub(super) fn say(&self, text: &str) -> Result<(), String> {
        say(&self.url(), text)
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.say("SELECT 1") {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(BETWEEN_LOOKS),
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Says something to a server.
///
/// # Errors
/// What it answers, or that it does not.
pub(super) fn say(url: &str, text: &str) -> Result<(), String> {
    let url: ServerUrl = url.parse().map_err(|error: ServerUrlError| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let said = runtime.map_err(|error| error.to_string())?.block_on(async {
        let login = Login::of(&url)?;
        let mut session = squall_database::open(&login, &Manner::asking(Duration::from_secs(2))).await?;
        session.say(&Statement::text(text)).await
    });
    said.map(drop).map_err(|error| error.to_string())
}

/// Where the programs of the latest version are: Debian keeps them apart, others on the path.
fn programs() -> Result<PathBuf, String> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let of_debian = versions.map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let of_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let mut found: Vec<PathBuf> = of_debian.filter(|folder| folder.join("initdb").exists()).collect();
    found.sort();
    found.pop().or_else(|| of_path.into_iter().find(|folder| folder.join("initdb").exists())).ok_or_else(|| {
        "there is no PostgreSQL server on this machine: install one (Debian and Ubuntu: apt-get install postgresql)".to_owned()
    })
}

/// Whose the server is: it refuses to be root's.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse::<u32>);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

/// A folder that the server's user may use, wherever the scenario's own lies.
fn own_folder(user: Option<(u32, u32)>) -> Result<PathBuf, String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("squall-scenario-{}-{number}", std::process::id()));
    let made = fs::create_dir(&folder).and_then(|()| match user {
        Some((user, group)) => chown(&folder, Some(user), Some(group)),
        None => Ok(()),
    });
    made.map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    Ok(folder)
}

fn command(programs: &Path, name: &str, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(programs.join(name));
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn succeeded(output: io::Result<std::process::Output>) -> Result<(), String> {
    let output = output.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.lines().last().unwrap_or_default().to_owned()) }
}

/// `squall postgres-keeper PROGRAMS FOLDER PORT USER GROUP [SETTING…]`: runs the server until standard input ends, then
/// takes it and its folder away.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [programs, folder, port, user, group, settings @ ..] = arguments else { return ExitCode::FAILURE };
    let number = |text: &String| text.parse::<u32>().unwrap_or_default();
    let user = Some((number(user), number(group))).filter(|(user, _)| *user > 0);
    // No terminal, and no signal meant for the scenario's group, reaches the keeper and the server.
    let _ = rustix::process::setsid();
    let folder = Path::new(folder);
    let mut server = command(Path::new(programs), "postgres", user);
    server.arg("-D").arg(folder.join("data")).args(["-p", port]).arg("-k").arg(folder);
    server.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    for setting in settings {
        server.args(["-c", setting]);
    }
    let mut stdout = io::stdout().lock();
    let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let outcome = match child {
        Ok(mut child) => {
            let _ = writeln!(stdout, "{READY}");
            // What cannot be read any more has ended.
            let _ = io::stdin().lock().read_to_end(&mut Vec::new());
            end(&mut child);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(stdout, "{error}");
            ExitCode::FAILURE
        }
    };
    let _ = fs::remove_dir_all(folder);
    outcome
}

/// At once and without a checkpoint; its own processes go with it. One that is stopped hears it once it goes on.
fn end(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, rustix::process::Signal::QUIT);
        let _ = kill_process(pid, rustix::process::Signal::CONT);
    }
    for _ in 0..100 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    let _ = child.kill();
    let _ = child.wait();
}
