//! A network fault made and taken back, beside the same by hand with `tc` and `nft`.

use super::agent::Agent;
use super::figures::{Peer, Row, Samples};
use super::processes::{self, Scratch, output};
use super::{Benchmark, release};
use crate::{Outcome, lab, shell};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "network",
    title: "A network fault, made and taken back",
    how: "Squall: from the calls to the agent until its answers, so with the undo log synced to disk and mirrored to the warden, \
          the look for evidence and the look after the undo. By hand: one process that adds and one that removes, started from \
          within the namespace, with no log and no look. The interface is one end of a pair between two network namespaces of its own. \
          What this kernel lacks is measured, both sides alike, in a second one (User-mode Linux, where all system calls are slow).",
    slow: false,
    run,
};

const REPETITIONS: usize = 200;
const AIM: f64 = 10.0;

/// How this benchmark calls itself in the second kernel: `cargo xtask bench network-inside FAULT SQUALL`.
pub(super) const INSIDE: &str = "network-inside";

/// A fault and how it is made and taken back by hand.
struct Pair {
    fault: &'static str,
    with: fn() -> Value,
    /// Program and arguments, to make it and to take it back.
    by_hand: fn(&Scratch) -> Result<[Vec<String>; 2], String>,
    /// Whether it takes a kernel with `sch_netem`.
    netem: bool,
}

const PAIRS: &[Pair] = &[
    Pair { fault: "network.loss", with: || json!({"loss": "10%"}), by_hand: loss, netem: false },
    Pair {
        fault: "network.latency",
        with: || json!({"delay": "100ms"}),
        by_hand: |_| Ok(by_tc("netem delay 100ms")),
        netem: true,
    },
    Pair {
        fault: "network.bandwidth",
        with: || json!({"rate": "1mbit"}),
        by_hand: |_| Ok(by_tc("tbf rate 1mbit burst 32kbit latency 400ms")),
        netem: false,
    },
];

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    if !shell::is_root() || !shell::has("ip") {
        return Err("it takes root and `ip` (iproute2)".to_owned());
    }
    let squall = release("squall", None)?;
    let namespace = Namespace::new()?;
    let mut rows = Vec::new();
    for pair in PAIRS {
        if pair.netem && !has_netem() {
            rows.extend(in_second_kernel(&squall, pair.fault)?);
        } else {
            rows.extend(measure(scratch, &squall, &namespace, pair)?);
        }
    }
    rows.push(Row::new("for comparison: a synced log, without any fault", log_alone(scratch)?.times()));
    Ok(rows)
}

/// Measures a fault in a kernel that has what this one lacks.
fn in_second_kernel(squall: &Path, fault: &str) -> Result<Vec<Row>, String> {
    let Some(script) = lab::script() else {
        let why = "skipped: this kernel has no sch_netem, and there is no lab/kernel beside the project";
        return Ok(vec![Row::new(fault, why)]);
    };
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let words = [&this.to_string_lossy(), "bench", INSIDE, fault, &squall.to_string_lossy()];
    let words = words.map(str::to_owned);
    let text = output(lab::command(&script, &words)?.env("LAB_TIMEOUT", "900"))?;
    let rows: Vec<Row> = text.lines().filter_map(Row::read).collect();
    if rows.is_empty() { Err(format!("the second kernel gave no figures: {text}")) } else { Ok(rows) }
}

/// `cargo xtask bench network-inside FAULT SQUALL`: prints the rows of one fault, for [`in_second_kernel`].
pub(super) fn inside(arguments: &[String]) -> Outcome {
    let [fault, squall] = arguments else { return Err(format!("usage: {INSIDE} FAULT SQUALL")) };
    let pair = PAIRS.iter().find(|pair| pair.fault == fault).ok_or("there is no such fault here")?;
    let kernel = output(Command::new("uname").arg("-r"))?;
    let rows = measure(&Scratch::new()?, Path::new(squall), &Namespace::new()?, pair)?;
    for row in rows {
        let what = format!("{} (User-mode Linux {})", row.what, kernel.trim());
        println!("{}", Row { what, ..row }.line());
    }
    Ok(())
}

fn measure(scratch: &Scratch, squall: &Path, namespace: &Namespace, pair: &Pair) -> Result<Vec<Row>, String> {
    let mut agent = Agent::start(scratch, squall)?;
    let entry = json!({"entry": 0, "fault": pair.fault, "with": (pair.with)(), "lasts": "60s",
        "selection": {"target": {"netns": namespace.0}}});
    let request =
        json!({"call": "plan", "entries": [entry], "seed": 1, "targets_limit": null, "together": []});
    let plan = match agent.call(&request) {
        Ok(plan) => plan,
        Err(why) => return Ok(vec![Row::new(pair.fault, format!("skipped: {why}"))]),
    };
    let injections = json!([plan["injections"][0]["id"]]);
    let mut by_hand = (pair.by_hand)(scratch);
    let (mut made, mut undone, mut whole, mut theirs) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for _ in 0..REPETITIONS {
        let inject = timed(&mut agent, &json!({"call": "inject", "injections": injections}))?;
        let undo = timed(&mut agent, &json!({"call": "undo", "injections": injections}))?;
        made.add_time(inject);
        undone.add_time(undo);
        whole.add_time(inject + undo);
        if let Ok(commands) = &by_hand {
            match namespace.inside(|| commands.iter().map(|command| run_one(command)).sum()) {
                Ok(time) => theirs.add_time(time),
                Err(why) => by_hand = Err(why),
            }
        }
    }
    let peer = by_hand.map_or_else(Peer::Missing, |[make, _]| Peer::Measured(make[0].clone(), theirs));
    Ok(vec![
        Row::faster(&format!("{}, made and taken back", pair.fault), &whole, &peer, Some(AIM)),
        Row::new("of these: made", made.times()),
        Row::new("of these: taken back", undone.times()),
    ])
}

/// What the disk takes for itself: a new file of some lines, synced with its folder, and removed.
fn log_alone(scratch: &Scratch) -> Result<Samples, String> {
    let (folder, file) = (scratch.path(""), scratch.path("alone.undo"));
    let write = || {
        let mut log = File::create(&file)?;
        log.write_all(&[b'x'; 800])?;
        log.sync_data()?;
        File::open(&folder)?.sync_all()?;
        std::fs::remove_file(&file)
    };
    let mut samples = Samples::default();
    for _ in 0..REPETITIONS {
        let started = Instant::now();
        write().map_err(|error| format!("could not write {}: {error}", file.display()))?;
        samples.add_time(started.elapsed());
    }
    Ok(samples)
}

fn timed(agent: &mut Agent, call: &Value) -> Result<Duration, String> {
    let started = Instant::now();
    agent.call(call)?;
    Ok(started.elapsed())
}

fn run_one(command: &[String]) -> Result<Duration, String> {
    let [program, arguments @ ..] = command else { return Err("there is no command".to_owned()) };
    processes::time(Command::new(program).args(arguments))
}

/// The words of two `tc` commands.
fn by_tc(what: &str) -> [Vec<String>; 2] {
    let words = |text: String| text.split(' ').map(str::to_owned).collect();
    [
        words(format!("tc qdisc add dev {INTERFACE} root {what}")),
        words(format!("tc qdisc del dev {INTERFACE} root")),
    ]
}

/// As Squall does it: `netem` where the kernel has it, else a packet filter.
fn loss(scratch: &Scratch) -> Result<[Vec<String>; 2], String> {
    if has_netem() {
        return Ok(by_tc("netem loss 10%"));
    }
    let rules = "table inet sqt {\n  chain out {\n    type filter hook output priority 0;\n    numgen random mod 100 < 10 drop\n  }\n}\n";
    let file = scratch.file("loss.nft", rules)?.to_string_lossy().into_owned();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Ok([words(&["nft", "-f", &file]), words(&["nft", "delete", "table", "inet", "sqt"])])
}

fn has_netem() -> bool {
    let add = ["netns", "exec"];
    // Asked in a namespace of its own, so that nothing is left where the answer is yes.
    Namespace::new().is_ok_and(|namespace| {
        let mut command = Command::new("ip");
        command.args(add).arg(&namespace.0).args(["tc", "qdisc", "add", "dev", INTERFACE, "root", "netem"]);
        output(&mut command).is_ok()
    })
}

const INTERFACE: &str = "veth0";

/// A network namespace with one interface, whose other end is in a second one; both are removed with the value.
struct Namespace(String);

impl Namespace {
    fn new() -> Result<Self, String> {
        let name = format!("sqt-bench-{}-{}", std::process::id(), fastrand::u16(..));
        let ip = |arguments: &str| output(Command::new("ip").args(arguments.split(' '))).map(drop);
        let namespace = Self(name);
        let (name, other) = (&namespace.0, namespace.other());
        ip(&format!("netns add {name}"))?;
        ip(&format!("netns add {other}"))?;
        ip(&format!("-n {name} link add {INTERFACE} type veth peer name {INTERFACE} netns {other}"))?;
        ip(&format!("-n {name} addr add 10.99.0.1/24 dev {INTERFACE}"))?;
        ip(&format!("-n {name} link set {INTERFACE} up"))?;
        Ok(namespace)
    }

    fn other(&self) -> String {
        format!("{}-other", self.0)
    }

    /// Does something on a thread that is in the namespace, and with it the programs that it starts.
    fn inside<T: Send>(&self, deed: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
        let enter = || {
            let way = File::open(format!("/run/netns/{}", self.0))?;
            move_into_link_name_space(way.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok::<_, std::io::Error>(())
        };
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter().map_err(|error| format!("could not enter {}: {error}", self.0))?;
                deed()
            });
            thread.join().unwrap_or_else(|_| Err("the thread broke down".to_owned()))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for name in [&self.0, &self.other()] {
            let _ = output(Command::new("ip").args(["netns", "del", name]));
        }
    }
}
