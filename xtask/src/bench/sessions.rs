//! How soon many sessions are held on a PostgreSQL, and what that takes.

use super::agent::Agent;
use super::figures::{Peer, Row, Samples};
use super::processes::{Owned, Scratch, output, wait_until};
use super::{Benchmark, memory, release};
use crate::shell;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "sessions",
    title: "500 sessions held on PostgreSQL",
    how: "Squall: from the call `inject` of `postgres.connections` to the agent's answer, so with the undo log synced and the \
          effect looked for; the server then counts the sessions. `pgbench -c 500 -j 32` with a script that sleeps: from its start until \
          the server counts 500 (it is asked over and over, which takes some milliseconds each). Memory is `VmRSS` of the \
          agent, and of pgbench, while all are held. The server is on the same machine and forks a process for each.",
    slow: false,
    run,
};

const SESSIONS: u64 = 500;
const REPETITIONS: usize = 5;

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    let squall = release("squall", None)?;
    let server = Server::start()?;
    let mut agent = Agent::start(scratch, &squall)?;
    let injections = plan(&mut agent, &server)?;
    let (mut ours, mut theirs, mut our_memory, mut their_memory) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for _ in 0..REPETITIONS {
        let begun = Instant::now();
        agent.call(&json!({"call": "inject", "injections": injections}))?;
        ours.add_time(begun.elapsed());
        // One more looks.
        let held = server.count("application_name LIKE 'squall-%'")?;
        if held != SESSIONS + 1 {
            return Err(format!("{held} sessions are held, not {SESSIONS} and the one that looks"));
        }
        our_memory.add(memory::resident(agent.pid())?.0);
        agent.call(&json!({"call": "undo", "injections": injections}))?;
        let (time, taken) = by_pgbench(scratch, &server)?;
        theirs.add_time(time);
        their_memory.add(taken);
    }
    let names = |samples| Peer::Measured("pgbench".to_owned(), samples);
    let row = Row::faster("500 sessions, until all are held", &ours, &names(theirs), None);
    let time = row.aiming("< 2.00 s", ours.median() < 2.0);
    let megabytes = |number: f64| format!("{number:.1} MB");
    let mut row = Row::new("memory of the process that holds them", our_memory.show(megabytes));
    row.peer = format!("pgbench: {}", their_memory.show(megabytes));
    Ok(vec![time, row.aiming("< 60 MB", our_memory.max() < 60.0)])
}

fn plan(agent: &mut Agent, server: &Server) -> Result<Value, String> {
    let target = json!({"database": format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", server.port)});
    let entry = json!({"entry": 0, "fault": "postgres.connections", "with": {"count": SESSIONS}, "lasts": "60s",
        "selection": {"target": target}});
    let request =
        json!({"call": "plan", "entries": [entry], "seed": 1, "targets_limit": null, "together": []});
    Ok(json!([agent.call(&request)?["injections"][0]["id"]]))
}

fn by_pgbench(scratch: &Scratch, server: &Server) -> Result<(Duration, f64), String> {
    scratch.file("wait.sql", "SELECT pg_sleep(60);\n")?;
    let (clients, port) = (SESSIONS.to_string(), server.port.to_string());
    let arguments = [
        "-n",
        "-c",
        &clients,
        "-j",
        "32",
        "-T",
        "60",
        "-f",
        "wait.sql",
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-p",
        &port,
        "postgres",
    ];
    let begun = Instant::now();
    let pgbench = Owned::start(&mut scratch.command("pgbench", &arguments))?;
    let held = || server.count("application_name = 'pgbench'").is_ok_and(|count| count == SESSIONS);
    wait_until("pgbench holds all of its sessions", held)?;
    let time = begun.elapsed();
    let taken = memory::resident(pgbench.pid())?.0;
    drop(pgbench);
    wait_until("they are gone", || server.count("application_name = 'pgbench'") == Ok(0))?;
    Ok((time, taken))
}

/// A PostgreSQL in a folder of its own.
struct Server {
    folder: PathBuf,
    /// Ended before the folder goes.
    process: Option<Owned>,
    port: u16,
}

impl Server {
    fn start() -> Result<Self, String> {
        let programs =
            fs::read_dir("/usr/lib/postgresql").map_err(|error| format!("no PostgreSQL: {error}"))?;
        let programs = programs.flatten().map(|entry| entry.path().join("bin")).max();
        let programs = programs.ok_or("there is no PostgreSQL; install postgresql")?;
        // Below the project its user may not be let in.
        let folder = std::env::temp_dir().join(format!("sqt-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        if shell::is_root() {
            output(
                shell::command("chown", &["postgres:postgres", &folder.to_string_lossy()]).current_dir("/"),
            )?;
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.map_err(|error| format!("no free port: {error}"))?.port();
        let mut server = Self { folder, process: None, port };
        let data = server.folder.join("data");
        let mut initdb = as_owner(&programs.join("initdb"));
        output(initdb.args(["--auth=trust", "--username=postgres", "--no-sync", "--pgdata"]).arg(&data))?;
        let mut postgres = as_owner(&programs.join("postgres"));
        postgres.arg("-D").arg(&data).arg("-p").arg(port.to_string()).arg("-k").arg(&server.folder);
        postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=600", "-c", "fsync=off"]);
        // Otherwise the sessions of an ended pgbench sleep on.
        postgres.args(["-c", "client_connection_check_interval=200ms"]);
        postgres.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        server.process = Some(Owned::start(&mut postgres)?);
        wait_until("PostgreSQL answers", || server.count("true").is_ok())?;
        Ok(server)
    }

    /// How many sessions fit.
    fn count(&self, condition: &str) -> Result<u64, String> {
        let question = format!("SELECT count(*) FROM pg_stat_activity WHERE {condition}");
        let (port, folder) = (self.port.to_string(), self.folder.to_string_lossy());
        let arguments = ["-XAtq", "-U", "postgres", "-p", &port, "-h", &folder, "-c", &question, "postgres"];
        let answer = output(shell::command("psql", &arguments).current_dir("/"))?;
        answer.trim().parse().map_err(|_| format!("psql answered {answer:?}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process = None;
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// It refuses to be run by root.
fn as_owner(program: &Path) -> Command {
    let program = program.to_string_lossy();
    let mut command = if shell::is_root() {
        shell::command("setpriv", &["--reuid=postgres", "--regid=postgres", "--clear-groups", &program])
    } else {
        shell::command(&program, &[])
    };
    command.current_dir("/");
    command
}
