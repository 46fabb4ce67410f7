//! Facts for tests.

use jiff::{SignedDuration, Timestamp};
use squall_model::condition::{Bound, Comparison};
use squall_model::event::MetricChange;
use squall_model::past::{Brief, Facts, GameDay, Run, Service, Struck, Tally, day_of};
use squall_model::verdict::Verdict;

pub(super) fn now() -> Timestamp {
    "2026-06-30T12:00:00Z".parse().unwrap()
}

pub(super) fn ago(days: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_hours(days * 24)).unwrap()
}

/// A run that was measured and recovered, so many days ago.
pub(super) fn run(experiment: &str, verdict: Verdict, days: i64) -> Brief {
    Brief {
        run: format!("{experiment}-{days}"),
        experiment: experiment.into(),
        started: ago(days),
        verdict: Some(verdict),
        environment: String::new(),
        is_telling: true,
        is_documented: true,
        is_measured: true,
        recovery_seconds: Some(1.0),
        recovery_within: Some(30.0),
        command: format!("squall run {experiment}.yaml"),
    }
}

/// A run that passed, with what it measured of a latency that must stay below 450 ms.
pub(super) fn measured(experiment: &str, latency: f64, days: i64) -> Run {
    let change = MetricChange {
        metric: "latency_p99".into(),
        baseline: Some(0.1),
        during: Some(latency),
        difference: Some(latency - 0.1),
        interval: Some((latency - 0.11, latency - 0.09)),
        seen: true,
        method: "bootstrap".into(),
    };
    Run {
        run: format!("{experiment}-{days}"),
        experiment: experiment.into(),
        started: ago(days),
        verdict: Some(Verdict::Passed),
        injections: 1,
        comparisons: vec![change],
        objectives: vec![Bound { name: "latency_p99".into(), comparison: Comparison::Less, value: 0.45 }],
        ..Run::default()
    }
}

pub(super) fn tally(days: i64, verdict: Verdict, count: u64) -> Tally {
    Tally { day: day_of(now()) - days, verdict, count }
}

pub(super) fn service(name: &str, tallies: Vec<Tally>, faults: &[&str]) -> Service {
    let struck = faults.iter().map(|fault| Struck { fault: (*fault).to_owned(), count: 1 }).collect();
    Service { name: name.into(), tallies, struck, last: Some(run(name, Verdict::Passed, 1)) }
}

/// Facts of a team that does all that there is.
pub(super) fn exemplary() -> Facts {
    let experiments: Vec<Vec<Brief>> = ["a", "b", "c"]
        .into_iter()
        .map(|name| (0..6).map(|week| run(name, Verdict::Passed, week * 7 + 1)).collect())
        .collect();
    let mut recent: Vec<Brief> = experiments.iter().flatten().cloned().collect();
    recent.sort_by_key(|run| std::cmp::Reverse(run.started));
    let day = |days| GameDay {
        session: format!("day-{days}"),
        started: ago(days),
        verdict: Some(Verdict::Passed),
        ..GameDay::default()
    };
    Facts {
        now: now(),
        runs: recent.len() as u64,
        unattended: recent[..5].to_vec(),
        weekly: (0..4).map(|week| Some(run("a", Verdict::Passed, week * 7 + 1))).collect(),
        production: recent[..3].to_vec(),
        game_days: vec![day(20), day(110)],
        services: vec![service("payment", vec![tally(1, Verdict::Passed, 10)], &["network.latency"])],
        recent,
        experiments,
        alike: ["a", "b", "c"]
            .map(|name| (0..6).map(|week| measured(name, 0.2, week * 7 + 1)).collect())
            .into(),
        limits: Vec::new(),
    }
}
