//! Makes a history of many runs, for benchmarks: `many STATE_FOLDER COUNT`. Two hundred experiments about thirty services
//! over two years, each run with a journal of which nothing but the name is real.

use jiff::{SignedDuration, Timestamp};
use squall_history::History;
use squall_model::event::MetricChange;
use squall_model::past::{GameDay, Run, Strike};
use squall_model::verdict::Verdict;
use std::error::Error;
use std::fs;
use std::path::Path;

const BATCH: u64 = 1000;
const FAULTS: [&str; 8] = [
    "network.latency",
    "network.loss",
    "network.partition",
    "network.bandwidth",
    "process.kill",
    "process.pause",
    "cpu.load",
    "memory.spike",
];
const METRICS: [&str; 6] =
    ["error_rate", "success_rate", "availability", "throughput", "latency_p50", "latency_p99"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(state), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: many STATE_FOLDER COUNT".into());
    };
    let count: u64 = count.parse()?;
    let state = Path::new(&state);
    let journals = state.join("runs");
    fs::create_dir_all(&journals)?;
    let mut history = History::open(&state.join("squall.db"))?;
    let now = Timestamp::now();
    for from in (0..count).step_by(BATCH as usize) {
        let runs: Vec<Run> = (from..count.min(from + BATCH)).map(|number| run(number, count, now)).collect();
        for run in &runs {
            fs::write(journals.join(format!("{}.jsonl", run.run)), "")?;
        }
        history.take_in(&runs)?;
    }
    let day = |month: i64| GameDay {
        session: format!("day-{month:03}"),
        title: "the database fails".into(),
        started: ago(now, SignedDuration::from_hours(month * 30 * 24)),
        verdict: Some(Verdict::Passed),
        ..GameDay::default()
    };
    history.take_in_game_days(&(0..24).map(day).collect::<Vec<_>>())?;
    Ok(())
}

fn ago(now: Timestamp, ago: SignedDuration) -> Timestamp {
    now.saturating_sub(ago).unwrap_or(now)
}

/// A whole number below `below` that follows from the run's, as if by chance.
fn choice(number: u64, of: u64, below: usize) -> usize {
    let mixed = (number + of * 0x9e37_79b9).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 33) as usize % below
}

fn run(number: u64, count: u64, now: Timestamp) -> Run {
    let age = SignedDuration::from_secs(((count - number) * (730 * 86_400) / count) as i64);
    let started = ago(now, age);
    let verdict = match choice(number, 1, 100) {
        0..80 => Verdict::Passed,
        80..92 => Verdict::Failed,
        92..96 => Verdict::Aborted,
        96..98 => Verdict::NotSteady,
        98 => Verdict::NoEffect,
        _ => Verdict::Residue,
    };
    let change = |metric: &&str| {
        let baseline = choice(number, 2, 1000) as f64 / 1e4;
        MetricChange {
            metric: (*metric).to_owned(),
            baseline: Some(baseline),
            during: Some(baseline * 1.5),
            difference: Some(baseline * 0.5),
            interval: Some((baseline * 0.25, baseline * 0.75)),
            seen: true,
            method: "bootstrap".into(),
        }
    };
    let experiment = choice(number, 3, 200);
    Run {
        run: format!("{}-{number:06}", started.strftime("%Y%m%d-%H%M%S")),
        experiment: format!("experiment-{experiment:03}"),
        hypothesis: "Checkout keeps its objectives while the database answers later".into(),
        file: format!("experiments/experiment-{experiment:03}.yaml"),
        tags: vec![["nightly", "weekly", "payment"][choice(number, 4, 3)].into()],
        services: vec![format!("service-{:02}", experiment % 30)],
        environment: ["", "staging", "production"][choice(number, 5, 3)].into(),
        host: "build-7".into(),
        origin: ["run", "ci", "monkey shop"][choice(number, 6, 3)].into(),
        by: "ann".into(),
        seed: number,
        squall: env!("CARGO_PKG_VERSION").into(),
        started,
        ended: started,
        seconds: 90.5,
        verdict: Some(verdict),
        reasons: vec!["the hypothesis was judged over the time in which the fault was active".into()],
        injections: u64::from(!matches!(verdict, Verdict::NotSteady)),
        strikes: vec![Strike {
            fault: FAULTS[choice(number, 7, 8)].into(),
            target: "postgres (pid 812)".into(),
        }],
        recovery_seconds: Some(choice(number, 8, 100) as f64 / 10.0),
        recovery_within: Some(30.0),
        comparisons: METRICS.iter().map(change).collect(),
        ..Run::default()
    }
}
