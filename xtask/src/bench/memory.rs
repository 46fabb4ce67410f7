//! How much memory the three processes of a run take while a fault is active.

use super::figures::Row;
use super::processes::{Owned, Scratch, output, wait_until};
use super::server::Server;
use super::victims::Victims;
use super::{Benchmark, release, size};
use std::fs;
use std::path::Path;
use std::time::Duration;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "memory",
    title: "Memory while a fault is active",
    how: "A run with a load of 200 requests a second and a paused process, ten seconds into the fault. Resident is `VmRSS`: all \
          pages in memory, those of the program's file too, which the three processes share with each other and with the page \
          cache. Own is what would be free without the process (`Private_Clean` and `Private_Dirty`).",
    slow: false,
    run,
};

/// Roles, and how many megabytes each should stay below.
const AIMS: [(&str, f64); 3] = [("brain", 40.0), ("agent", 12.0), ("warden", 4.0)];

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    let mut rows = measure(scratch, &release("squall", None)?, "")?;
    if let Some(binary) = size::dist() {
        rows.extend(measure(scratch, &binary, " of the static `dist` build")?);
    }
    Ok(rows)
}

fn measure(scratch: &Scratch, squall: &Path, build: &str) -> Result<Vec<Row>, String> {
    let server = Server::start()?;
    let victims = Victims::start(1)?;
    scratch.file("memory.yaml", &experiment(&server, &victims))?;
    output(&mut scratch.command(squall, &["validate", "memory.yaml"]))?;
    let mut brain = Owned::start(&mut scratch.command(squall, &["run", "memory.yaml"]))?;
    wait_until("the victim is stopped", || victims.all(|state| state == 'T'))?;
    std::thread::sleep(Duration::from_secs(10));
    let agent = child(brain.pid(), "agent")?;
    let warden = child(agent, "warden")?;
    let rows = AIMS.iter().zip([brain.pid(), agent, warden]).map(|((role, aim), pid)| {
        let (resident, own) = resident(pid)?;
        let row = Row::new(format!("{role}{build}"), format!("{resident:.1} MB resident, {own:.1} MB own"));
        Ok(row.aiming(format!("< {aim:.0} MB resident"), resident < *aim))
    });
    let rows = rows.collect();
    if !brain.finish(Duration::from_mins(1))? {
        return Err("the run did not pass".to_owned());
    }
    rows
}

fn experiment(server: &Server, victims: &Victims) -> String {
    let (url, target) = (server.url(), victims.target());
    format!(
        "
apiVersion: squall.dev/v1
kind: Experiment
name: memory
hypothesis: it stays small
load: {{page: {{http: {{url: \"{url}\"}}, rate: 200/s, timeout: 1s}}}}
steady_state: [{{expect: error_rate < 50%}}]
method: [{{fault: process.pause, target: {target}, for: 12s}}]
baseline: 3s
"
    )
}

/// The child of a process that plays a role.
fn child(parent: u32, role: &str) -> Result<u32, String> {
    let of_thread =
        |entry: fs::DirEntry| fs::read_to_string(entry.path().join("children")).unwrap_or_default();
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let children: Vec<u32> = threads
        .map(of_thread)
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    let plays = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(role.as_bytes())
    };
    children.into_iter().find(plays).ok_or_else(|| format!("process {parent} has no {role}"))
}

/// Megabytes in memory, and those of the process alone.
pub(super) fn resident(pid: u32) -> Result<(f64, f64), String> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    };
    let (status, rollup) = (read("status")?, read("smaps_rollup")?);
    let own = kilobytes(&rollup, "Private_Clean:") + kilobytes(&rollup, "Private_Dirty:");
    Ok((kilobytes(&status, "VmRSS:") * 1.024e-3, own * 1.024e-3))
}

fn kilobytes(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}
