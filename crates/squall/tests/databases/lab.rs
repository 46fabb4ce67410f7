//! A run of the built program on a database, its processes, and a network that can be cut.

use crate::support::{Ended, wait_until};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long the server keeps what nobody is heard of; the default of a run.
pub(crate) const LEASE: Duration = Duration::from_secs(5);

/// A folder with an experiment, its state folder, and the process that carries it out.
pub(crate) struct Run {
    folder: TempDir,
    pub(crate) brain: Ended,
    /// For the commands that come after.
    environment: Vec<(String, String)>,
}

/// Where nothing was done yet.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn squall(&self, arguments: &[&str]) -> Output {
        self.squall_with(arguments, &[])
    }

    /// The same, with variables of the environment.
    pub(crate) fn squall_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        squall(&self.0, &owned(environment), arguments).output().unwrap()
    }

    /// Writes an experiment to `strike.yaml`.
    pub(crate) fn write(&self, strike: &Strike<'_>) {
        strike.write(&self.0);
    }
}

fn owned(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What is struck how, in the words of a method's entry.
pub(crate) struct Strike<'a> {
    pub(crate) fault: &'a str,
    pub(crate) target: &'a str,
    pub(crate) with: &'a str,
    pub(crate) lasts: &'a str,
}

/// A server as clients see it that know nothing of Squall, whatever becomes of its network.
pub(crate) trait Seen {
    /// Its address where this is its host.
    fn url(&self, host: &str) -> String;
    /// What it answers.
    fn ask(&self, text: &str) -> String;
    /// How many sessions Squall has there.
    fn sessions(&self) -> usize;
}

/// A fault on a server, and how it is seen there: by an answer that is another one meanwhile, or by its sessions alone.
pub(crate) struct Seeing<'s> {
    pub(crate) server: &'s dyn Seen,
    pub(crate) host: &'s str,
    pub(crate) fault: &'static str,
    pub(crate) with: &'static str,
    pub(crate) seen_by: Option<&'static str>,
}

/// Carries each fault out until it is seen, does something to it, and waits until the server is free of it. Both deeds are
/// told the number of the fault.
pub(crate) fn each_is_freed(
    what: &str,
    faults: &[Seeing<'_>],
    deed: impl Fn(&mut Run, usize),
    after: impl Fn(&mut Run, usize),
) {
    for (number, Seeing { server, host, fault, with, seen_by }) in faults.iter().enumerate() {
        let look = || seen_by.map(|question| server.ask(question));
        let before = look();
        let is_free = || server.sessions() == 0 && look() == before;
        let target = format!("{{database: \"{}\"}}", server.url(host));
        let mut run = Run::start(&Strike { fault, target: &target, with, lasts: "5m" });
        wait_until(|| if seen_by.is_some() { look() != before } else { server.sessions() > 0 });
        let begun = Instant::now();
        deed(&mut run, number);
        wait_until(is_free);
        let took = begun.elapsed();
        let judged =
            if took > LEASE + Duration::from_secs(1) { ", later than the lease and a second" } else { "" };
        println!("{what}: {fault} {with}: free after {:.2} s{judged}", took.as_secs_f64());
        after(&mut run, number);
        assert!(is_free(), "{fault}: it came back");
    }
}

/// Somebody of Squall's is killed during each fault.
pub(crate) fn each_outlives_nobody(who: Killed, faults: &[Seeing<'_>]) {
    let after = |run: &mut Run, _: usize| {
        if matches!(who, Killed::All) {
            run.recover();
        }
        wait_until(|| !run.owes());
    };
    each_is_freed(&format!("killed: {who:?}"), faults, |run, _| run.kill(who), after);
}

/// The network between Squall and the servers is lost during each fault: some lose their packets, some the cable itself.
pub(crate) fn each_outlives_no_network(cables: &[&Cable], faults: &[Seeing<'_>]) {
    let is_cut = |number: usize| number % 3 == 1;
    let lose = |_: &mut Run, number: usize| {
        for cable in cables {
            if is_cut(number) { cable.cut() } else { cable.lose_packets() }
        }
    };
    let mend = |run: &mut Run, number: usize| {
        for cable in cables {
            if !is_cut(number) {
                cable.cut();
            }
            cable.join();
        }
        run.kill(Killed::All);
        run.recover();
        assert!(!run.owes());
    };
    each_is_freed("network lost", faults, lose, mend);
}

impl Strike<'_> {
    fn write(&self, folder: &TempDir) {
        let Self { fault, target, with, lasts } = self;
        let text = format!(
            "apiVersion: squall.dev/v1\nkind: Experiment\nname: strike\nhypothesis: it is seen\nmethod:\n  \
             - fault: {fault}\n    target: {target}\n    with: {with}\n    for: {lasts}\n"
        );
        fs::write(folder.path().join("strike.yaml"), text).unwrap();
    }
}

impl Run {
    /// Puts back what those owed who are gone.
    pub(crate) fn recover(&self) {
        let recovered = self.squall(&["recover"]);
        assert!(recovered.status.success(), "{recovered:?}");
    }

    /// Started, and waited for until the fault is active.
    pub(crate) fn start(strike: &Strike<'_>) -> Self {
        Self::start_with(strike, &[])
    }

    /// The same, with variables of the environment.
    pub(crate) fn start_with(strike: &Strike<'_>, environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        strike.write(&folder);
        let environment = owned(environment);
        let log = |name: &str| fs::File::create(folder.path().join(name)).unwrap();
        let mut command = squall(&folder, &environment, &["run", "strike.yaml", "--yes"]);
        command.stdout(log("out.txt")).stderr(log("err.txt"));
        let run = Self { brain: Ended(command.spawn().unwrap()), folder, environment };
        let mut over = false;
        wait_until(|| {
            over = run.has("verdict");
            over || run.has("injected")
        });
        assert!(!over, "{}: it ended before it began: {}", strike.fault, run.told());
        run
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.events().iter().any(|one| one["event"] == event)
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        let mut journals = fs::read_dir(self.state().join("runs")).into_iter().flatten().flatten();
        let text = journals.find_map(|entry| fs::read_to_string(entry.path()).ok());
        text.unwrap_or_default().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// What it said on both streams.
    pub(crate) fn told(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("out.txt") + &read("err.txt")
    }

    pub(crate) fn squall(&self, arguments: &[&str]) -> Output {
        squall(&self.folder, &self.environment, arguments).output().unwrap()
    }

    /// The same in an environment without the variables of the run.
    pub(crate) fn squall_elsewhere(&self, arguments: &[&str]) -> Output {
        squall(&self.folder, &[], arguments).output().unwrap()
    }

    /// Waits until the run is over, and gives its exit code.
    pub(crate) fn code(&mut self) -> i32 {
        let mut code = None;
        wait_until(|| {
            code = self.brain.0.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().unwrap_or(-1)
    }

    /// The agent is a child of one of the brain's threads.
    pub(crate) fn agent(&self) -> u32 {
        let brain = self.brain.0.id();
        let mut found = None;
        wait_until(|| {
            let threads = fs::read_dir(format!("/proc/{brain}/task")).unwrap().flatten();
            let mut lists =
                threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
            found = lists.find_map(|text| text.split_whitespace().next().map(str::to_owned));
            found.is_some()
        });
        found.unwrap().parse().unwrap()
    }

    pub(crate) fn kill(&mut self, who: Killed) {
        let agent = self.agent();
        match who {
            Killed::Agent => send("KILL", agent),
            Killed::AgentAndWarden => {
                let warden = child(agent);
                send("STOP", agent);
                send("KILL", warden);
                send("KILL", agent);
            }
            Killed::BrainAndAgent => {
                send("STOP", agent);
                self.brain.0.kill().unwrap();
                send("KILL", agent);
            }
            Killed::All => {
                let warden = child(agent);
                send("STOP", agent);
                send("STOP", self.brain.0.id());
                send("KILL", warden);
                send("KILL", agent);
                self.brain.0.kill().unwrap();
            }
            Killed::Stopped => {
                let warden = child(agent);
                [agent, self.brain.0.id(), warden].iter().for_each(|pid| send("STOP", *pid));
            }
        }
    }

    /// Whether any injection is still owed to somebody.
    pub(crate) fn owes(&self) -> bool {
        let folder = self.state().join("live");
        let logs = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        logs.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "undo"))
    }
}

/// Agent and warden are killed while a setting is changed on a server with a password, which stood in the address alone: the
/// brain lives, and its next agent puts the setting back.
pub(crate) fn the_next_agent_knows_the_password(fault: &str, url: &str, ask: impl Fn() -> String) {
    let (before, target) = (ask(), format!("{{database: \"{url}\"}}"));
    let mut run = Run::start(&Strike { fault, target: &target, with: "{}", lasts: "5m" });
    assert_ne!(ask(), before, "{fault}");
    run.kill(Killed::AgentAndWarden);
    let begun = Instant::now();
    wait_until(|| ask() == before);
    println!("{fault}: put back after {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!(run.code(), 4, "{}", run.told());
    assert!(!run.owes() && ask() == before, "{}", run.told());
    let recovered = run.squall(&["recover"]);
    let said = String::from_utf8_lossy(&recovered.stdout);
    assert!(recovered.status.success() && said.contains("nothing to put back"), "{said}");
}

/// Who is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Killed {
    Agent,
    AgentAndWarden,
    BrainAndAgent,
    All,
    /// None of the three, but all stand still: their connections stay, and nothing is heard.
    Stopped,
}

fn squall(folder: &TempDir, environment: &[(String, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
    command.env("SQUALL_STATE", folder.path().join("state")).env_remove("SQUALL_LOG");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

fn child(pid: u32) -> u32 {
    let mut found = None;
    wait_until(|| {
        let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        found = list.split_whitespace().next().map(|pid| pid.parse().unwrap());
        found.is_some()
    });
    found.unwrap()
}

fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
}

/// A network namespace with one address, joined to this one by a cable that can be cut. Gone with the test.
pub(crate) struct Cable {
    pub(crate) namespace: String,
    /// Its end here.
    near: String,
    /// The address at the other end.
    pub(crate) address: String,
    ours: String,
}

impl Cable {
    /// None where it cannot be made: says that the test is skipped.
    pub(crate) fn lay(name: &str, number: u8) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root makes network namespaces");
            return None;
        }
        // Several of these tests may run side by side, of several programs.
        let net = std::process::id() % 250;
        let cable = Self {
            namespace: format!("sqt-{name}-{}", std::process::id()),
            near: format!("sqt{number}x{}", std::process::id()),
            address: format!("10.213.{net}.{}", number * 4 + 2),
            ours: format!("10.213.{net}.{}/30", number * 4 + 1),
        };
        ip(&["netns", "add", &cable.namespace]);
        ip(&["-n", &cable.namespace, "link", "set", "lo", "up"]);
        cable.join();
        Some(cable)
    }

    /// Joins it anew.
    pub(crate) fn join(&self) {
        let Self { namespace, near, address, ours } = self;
        ip(&["link", "add", near, "type", "veth", "peer", "name", "far", "netns", namespace]);
        ip(&["-n", namespace, "addr", "add", &format!("{address}/30"), "dev", "far"]);
        ip(&["-n", namespace, "link", "set", "far", "up"]);
        ip(&["addr", "add", ours, "dev", near]);
        ip(&["link", "set", near, "up"]);
        wait_until(|| Command::new("ping").args(["-c1", "-W1", address]).output().unwrap().status.success());
    }

    /// From now on packets are lost, and nobody is told.
    pub(crate) fn lose_packets(&self) {
        ip(&["-n", &self.namespace, "link", "set", "far", "down"]);
    }

    /// The cable is gone, with both of its ends.
    pub(crate) fn cut(&self) {
        ip(&["link", "del", &self.near]);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.near]).output();
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).output();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ip {}: {told}", arguments.join(" "));
}
