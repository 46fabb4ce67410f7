//! Journals for the tests.
#![allow(clippy::unwrap_used, reason = "for tests")]

use jiff::{SignedDuration, Timestamp};
use squall_model::event::{AbortCause, Entry, Event, Phase};
use squall_model::protocol::Restored;
use squall_model::verdict::Verdict;

fn entry(elapsed: f64, event: Event) -> Entry {
    let began: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
    Entry { at: began + SignedDuration::from_millis((elapsed * 1000.0) as i64), elapsed, event }
}

/// The last event.
pub(crate) fn verdict(verdict: Verdict) -> Entry {
    let event = Event::Verdict {
        verdict,
        reasons: vec!["because".to_owned()],
        exit_code: verdict.exit_code(),
        seconds: 20.0,
    };
    entry(20.0, event)
}

/// A run that ended so, with one injection.
pub(crate) fn journal(experiment: &str, ended: Verdict) -> Vec<Entry> {
    let started: Event = serde_json::from_value(serde_json::json!({
        "event": "run_started", "run": "20261129-120000-abcd", "experiment": experiment, "hypothesis": "it is well",
        "services": ["payment", "checkout"], "host": "web-1", "squall": "0.1.0", "file": "x.yaml",
    }))
    .unwrap();
    let phase = |at, phase| entry(at, Event::PhaseStarted { phase });
    let (injection, fault, target) = ("1".to_owned(), "network.latency".to_owned(), "eth0".to_owned());
    let mut journal = vec![
        entry(0.0, started),
        phase(0.1, Phase::Plan),
        phase(0.2, Phase::SteadyState),
        phase(1.0, Phase::Fault),
        entry(
            1.1,
            Event::InjectStarted {
                injection: injection.clone(),
                fault: fault.clone(),
                target: target.clone(),
                stage: None,
            },
        ),
        entry(1.2, Event::Injected { injection: injection.clone(), evidence: Vec::new(), seconds: 0.02 }),
        entry(5.0, Event::Guard { ticks: 4, conditions: Vec::new(), slowest_seconds: 0.004 }),
    ];
    if ended == Verdict::Aborted {
        journal
            .push(entry(6.0, Event::Aborted { cause: AbortCause::Guard, reason: "errors > 5%".to_owned() }));
    }
    let left =
        if ended == Verdict::Residue { vec!["eth0: was fq_codel, is netem".to_owned()] } else { Vec::new() };
    let restored = Restored { injection, fault, target, steps: Vec::new(), errors: Vec::new() };
    journal.extend([
        phase(10.0, Phase::Undo),
        entry(10.5, Event::Restored { restored, residue: left, seconds: 0.03 }),
        phase(10.6, Phase::Recovery),
        entry(12.0, Event::Recovered { seconds: Some(1.5), within: 30.0 }),
        verdict(ended),
    ]);
    journal
}
