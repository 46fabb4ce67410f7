//! What it costs to ask Prometheus for many metrics each second, and to judge a condition of the guard on each.

use super::figures::{Row, Samples};
use super::processes::{Owned, Scratch, output, wait_until};
use super::{Benchmark, release};
use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "conditions",
    title: "A hundred conditions on Prometheus each second",
    how: "A run whose guard has 100 conditions on 100 metrics, each a query of its own to a real Prometheus, asked and judged \
          each second: the processor time of `squall run` (user and system, by `/proc`, journal included), as a share of one \
          processor, in ten stretches of three seconds.",
    slow: false,
    run,
};

const CONDITIONS: usize = 100;
const STRETCHES: usize = 10;
const STRETCH: Duration = Duration::from_secs(3);
/// The aim, in percent of one processor.
const AIM: f64 = 5.0;

/// In which the kernel counts processor time (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    let squall = release("squall", None)?;
    let (_prometheus, url) = prometheus(scratch)?;
    scratch.file("conditions.yaml", &experiment(&url))?;
    output(&mut scratch.command(&squall, &["validate", "conditions.yaml"]))?;
    let journal = scratch.path("journal.jsonl").display().to_string();
    let mut brain =
        Owned::start(&mut scratch.command(&squall, &["run", "conditions.yaml", "--journal", &journal]))?;
    // The first answers take a connection each.
    std::thread::sleep(Duration::from_secs(4));
    let mut shares = Samples::default();
    for _ in 0..STRETCHES {
        let before = ticks(brain.pid())?;
        std::thread::sleep(STRETCH);
        let spent = (ticks(brain.pid())? - before) as f64 / TICKS_PER_SECOND;
        shares.add(spent / STRETCH.as_secs_f64() * 100.0);
    }
    if !brain.finish(Duration::from_mins(1))? {
        return Err("the run did not pass".to_owned());
    }
    check(Path::new(&journal))?;
    let share = shares.show(|percent| format!("{percent:.1} %"));
    let row = Row::new(format!("{CONDITIONS} conditions a second, share of one processor"), share);
    Ok(vec![row.aiming(format!("< {AIM:.0} %"), shares.median() < AIM)])
}

/// A Prometheus that watches itself, and where it is.
fn prometheus(scratch: &Scratch) -> Result<(Owned, String), String> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(|error| format!("no free port: {error}"))?.to_string();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: self, static_configs: [{{targets: ['{address}']}}]}}]\n"
    );
    scratch.file("prometheus.yml", &config)?;
    let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"];
    let mut command = scratch.command("prometheus", &arguments);
    let server = Owned::start(command.arg(format!("--web.listen-address={address}")))?;
    wait_until("Prometheus listens", || std::net::TcpStream::connect(&address).is_ok())?;
    // Until it has looked at itself, there is nothing to ask for.
    std::thread::sleep(Duration::from_secs(3));
    Ok((server, format!("http://{address}")))
}

fn experiment(url: &str) -> String {
    let seconds = STRETCH.as_secs() * STRETCHES as u64 + 8;
    let mut text = format!(
        "apiVersion: squall.dev/v1\nkind: Experiment\nname: conditions\nhypothesis: it costs little\nbaseline: 0\n\
         method: [{{wait: {seconds}s}}]\nmetrics:\n"
    );
    // Writing to a string cannot fail.
    for number in 0..CONDITIONS {
        let _ = writeln!(
            text,
            "  m{number}: {{prometheus: {{url: \"{url}\", query: \"max(up{{job='self'}}) + {number}\", timeout: 1s}}}}"
        );
    }
    text.push_str("guard:\n");
    for number in 0..CONDITIONS {
        let _ = writeln!(text, "  - abort_if: m{number} > {} for 3s", number + 1);
    }
    text
}

/// That every second had a value for each metric.
fn check(journal: &Path) -> Result<(), String> {
    let text = fs::read_to_string(journal).map_err(|error| format!("{}: {error}", journal.display()))?;
    let seconds: Vec<&str> = text.lines().filter(|line| line.contains("\"event\":\"metrics\"")).collect();
    let asked = |line: &&&str| line.matches("\"m").count() > CONDITIONS && line.contains("\"m99\":");
    if seconds.len() > STRETCHES && seconds.iter().filter(asked).count() + 2 >= seconds.len() {
        return Ok(());
    }
    Err(format!("not every second has {CONDITIONS} values: {}", seconds.last().unwrap_or(&"none has any")))
}

/// Processor time of a process in ticks: the fourteenth and fifteenth words of `/proc/PID/stat`.
fn ticks(pid: u32) -> Result<u64, String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_err(|error| format!("the run ended early: {error}"))?;
    let words =
        stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    number(11)
        .zip(number(12))
        .map(|(user, system)| user + system)
        .ok_or_else(|| format!("no times in {stat:?}"))
}
