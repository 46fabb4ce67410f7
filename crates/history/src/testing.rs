//! Runs and histories for tests.

use crate::History;
use jiff::{SignedDuration, Timestamp};
use squall_model::event::MetricChange;
use squall_model::past::{Run, Strike};
use squall_model::verdict::Verdict;
use tempfile::TempDir;

/// The moment at which tests take place.
pub(crate) fn now() -> Timestamp {
    "2026-06-30T12:00:00Z".parse().unwrap()
}

pub(crate) fn days_ago(days: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_hours(days * 24)).unwrap()
}

/// A run that struck something and ended with a verdict, so many days ago.
pub(crate) fn run(name: &str, verdict: Verdict, days: i64) -> Run {
    Run {
        run: name.into(),
        experiment: "pay".into(),
        hypothesis: "it holds".into(),
        file: "pay.yaml".into(),
        tags: vec!["nightly".into()],
        services: vec!["payment".into(), "ledger".into()],
        started: days_ago(days),
        ended: days_ago(days),
        verdict: Some(verdict),
        reasons: vec!["because".into()],
        injections: 1,
        strikes: vec![Strike { fault: "network.latency".into(), target: "eth0".into() }],
        recovery_seconds: Some(1.5),
        recovery_within: Some(30.0),
        comparisons: vec![MetricChange {
            metric: "error_rate".into(),
            baseline: Some(0.0),
            during: Some(0.25),
            difference: Some(0.25),
            interval: Some((0.2, 0.3)),
            seen: true,
            method: String::new(),
        }],
        ..Run::default()
    }
}

/// A history in a folder that goes with it.
pub(crate) fn history(runs: &[Run]) -> (TempDir, History) {
    let folder = tempfile::tempdir().unwrap();
    let mut history = History::open(&folder.path().join("squall.db")).unwrap();
    history.take_in(runs).unwrap();
    (folder, history)
}
