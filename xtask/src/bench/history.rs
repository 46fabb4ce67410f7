//! How long questions to a long history take, and how much memory.

use super::figures::{Row, Samples};
use super::processes::{Scratch, output, time};
use super::{Benchmark, release};
use crate::shell;
use std::fs;
use std::path::Path;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "history",
    title: "A history of 100,000 runs",
    how: "Runs of 200 experiments about 30 services over two years, made by `crates/history/examples/many.rs`, each with a \
          journal in the folder `runs`. Times are those of the whole program, from start to end; memory is the most that it had \
          resident (`ru_maxrss`). In the last row a journal is added before each question, so that the folder is compared with \
          the history again.",
    slow: false,
    run,
};

const RUNS: &str = "100000";
const REPETITIONS: usize = 20;
/// Seconds.
const SLOWEST: f64 = 0.1;
/// Megabytes.
const LARGEST: f64 = 100.0;

const QUESTIONS: [&[&str]; 9] = [
    &["history", "list"],
    &["history", "list", "--service", "service-07", "--since", "30d"],
    &["history", "list", "--verdict", "residue", "--limit", "100"],
    &["history", "list", "--tag", "weekly", "--experiment", "experiment-042"],
    &["history", "list", "--environment", "production", "--json"],
    &["history", "show", "last~50000"],
    &["history", "compare", "last~1", "last"],
    &["maturity", "--json"],
    &["suggest", "--json"],
];

fn run(scratch: &Scratch) -> Result<Vec<Row>, String> {
    let squall = release("squall", None)?;
    let many = release("squall-history", Some("many"))?;
    let state = scratch.path("state");
    output(&mut scratch.command(&many, &[&state.to_string_lossy(), RUNS]))?;
    // The first question looks the folder through, and the first after that notes that all is known.
    std::thread::sleep(std::time::Duration::from_secs(3));
    time(&mut scratch.command(&squall, QUESTIONS[0]))?;
    let mut rows = Vec::new();
    for question in QUESTIONS {
        rows.push(measure(scratch, &squall, question, || Ok(()))?);
    }
    let mut number = 0;
    let mut added = measure(scratch, &squall, QUESTIONS[0], || {
        number += 1;
        add_journal(&state, number)
    })?;
    added.what += ", after another run";
    rows.push(added);
    Ok(rows)
}

/// A journal that the history does not know.
fn add_journal(state: &Path, number: usize) -> Result<(), String> {
    let run = format!("20990101-000000-{number:04}");
    let text = format!(
        "{{\"at\":\"2099-01-01T00:00:00Z\",\"elapsed\":0,\"event\":\"run_started\",\"run\":\"{run}\",\"experiment\":\"added\"}}\n\
         {{\"at\":\"2099-01-01T00:00:01Z\",\"elapsed\":1,\"event\":\"verdict\",\"verdict\":\"passed\",\"exit_code\":0}}\n"
    );
    let path = state.join(format!("runs/{run}.jsonl"));
    fs::write(&path, text).map_err(|error| format!("could not write {}: {error}", path.display()))
}

fn measure(
    scratch: &Scratch,
    squall: &Path,
    question: &[&str],
    mut before: impl FnMut() -> Result<(), String>,
) -> Result<Row, String> {
    let mut times = Samples::default();
    for _ in 0..REPETITIONS {
        before()?;
        times.add_time(time(&mut scratch.command(squall, question))?);
    }
    let megabytes = most_resident(scratch, squall, question)?;
    let shown = format!("{}, {megabytes:.1} MB", times.times());
    let is_met = times.median() < SLOWEST && megabytes < LARGEST;
    Ok(Row::new(format!("`squall {}`", question.join(" ")), shown).aiming("< 100 ms, < 100 MB", is_met))
}

/// The most memory that a program had resident, in megabytes; by Python, which knows of `wait4`.
fn most_resident(scratch: &Scratch, squall: &Path, question: &[&str]) -> Result<f64, String> {
    let script = "import resource, subprocess, sys\n\
                  subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n\
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let program = squall.to_string_lossy();
    let mut arguments = vec!["-c", script, &program];
    arguments.extend(question);
    let mut command = shell::command("python3", &arguments);
    let told = output(command.env("SQUALL_STATE", scratch.path("state")))?;
    told.trim()
        .parse()
        .map(|kilobytes: f64| kilobytes * 1.024e-3)
        .map_err(|_| format!("python3 printed {told:?}"))
}
