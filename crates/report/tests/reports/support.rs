//! Journals of runs as they could have been, always the same: failed, passed, aborted, with residue, cut short, busy,
//! hostile.

use jiff::{SignedDuration, Timestamp};
use squall_model::condition::{Bound, Comparison, Truth};
use squall_model::event::{AbortCause, CheckResult, Entry, Event, MetricChange, Phase, Planned};
use squall_model::protocol::Restored;
use squall_model::undo::{Difference, Evidence, Reverted};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use squall_model::verdict::Verdict;
use std::collections::BTreeMap;

/// Writes a journal with a clock of its own.
pub(crate) struct Journal {
    pub(crate) entries: Vec<Entry>,
    elapsed: f64,
    noise: u64,
    guard_ticks: u64,
}

/// Metric, baseline, during, interval, whether a difference was seen.
type Row = (&'static str, f64, f64, Option<(f64, f64)>, bool);

pub(crate) const LATENCY: &str = "payment-1a2b-0";
const HEALTH: (&str, &str) = ("http http://127.0.0.1:8080/health", "status == 200");

impl Journal {
    pub(crate) fn new(experiment: &str, hypothesis: &str, method_seconds: f64) -> Self {
        let mut journal = Self { entries: Vec::new(), elapsed: 0.0, noise: 7, guard_ticks: 0 };
        let bound = |name: &str, comparison, value| Bound { name: name.into(), comparison, value };
        journal.say(Event::RunStarted {
            version: 1,
            run: "20260304-123005-k3x9".into(),
            experiment: experiment.into(),
            hypothesis: hypothesis.into(),
            tags: vec!["payment".into(), "network".into()],
            file: "examples/slow-ledger.yaml".into(),
            options: vec!["--var".into(), "ledger=10.0.0.7:8080".into()],
            seed: 42,
            squall: "0.1.0".into(),
            host: "build-7".into(),
            environment: String::new(),
            origin: String::new(),
            by: String::new(),
            fingerprint: String::new(),
            services: vec!["payment".into()],
            conditions: vec![
                (HEALTH.0.into(), HEALTH.1.into()),
                ("error_rate < 1%".into(), "error_rate < 1%".into()),
                ("latency_p99 < 500ms".into(), "latency_p99 < 500ms".into()),
                ("guard".into(), "error_rate > 50% for 3s".into()),
            ],
            objectives: vec![
                bound("error_rate", Comparison::Less, 0.01),
                bound("latency_p99", Comparison::Less, 0.5),
            ],
            limits: vec![
                bound("error_rate", Comparison::Greater, 0.5),
                bound("latency_p99", Comparison::Greater, 3.0),
            ],
            method_seconds,
            baseline_seconds: 30.0,
            recovery_seconds: 30.0,
        });
        journal
    }

    pub(crate) fn say(&mut self, event: Event) {
        let start: Timestamp = "2026-03-04T12:30:05Z".parse().unwrap();
        let at = start.checked_add(SignedDuration::from_millis((self.elapsed * 1000.0) as i64)).unwrap();
        self.entries.push(Entry { at, elapsed: self.elapsed, event });
    }

    pub(crate) fn wait(&mut self, seconds: f64) {
        self.elapsed = ((self.elapsed + seconds) * 1000.0).round() / 1000.0;
    }

    pub(crate) fn phase(&mut self, phase: Phase) {
        self.say(Event::PhaseStarted { phase });
    }

    /// Noise around 1, by a linear congruential generator.
    fn noise(&mut self, share: f64) -> f64 {
        self.noise =
            self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (self.noise >> 11) as f64 / (1_u64 << 53) as f64;
        1.0 + (uniform - 0.5) * 2.0 * share
    }

    /// One second of traffic: metrics and checks.
    pub(crate) fn second(&mut self, phase: Phase, error_rate: f64, latency_p99: f64, throughput: f64) {
        let error_rate = if error_rate == 0.0 { 0.0 } else { error_rate * self.noise(0.3) };
        let p99 = latency_p99 * self.noise(0.12);
        let values: BTreeMap<String, f64> = [
            ("error_rate", error_rate),
            ("success_rate", 1.0 - error_rate),
            ("availability", 1.0 - error_rate),
            ("throughput", throughput * self.noise(0.02)),
            ("latency_mean", p99 * 0.3 * self.noise(0.05)),
            ("latency_p50", p99 * 0.25 * self.noise(0.05)),
            ("latency_p95", p99 * 0.8 * self.noise(0.05)),
            ("latency_p99", p99),
            ("latency_p999", p99 * 1.4 * self.noise(0.2)),
            ("latency_max", p99 * 1.6 * self.noise(0.2)),
            ("queue_depth", (p99 * 60.0 * self.noise(0.4)).round()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        self.say(Event::Metrics { phase, values, errors: BTreeMap::new() });
        self.probe(phase, HEALTH, "status", 200.0, true);
        self.wait(1.0);
    }

    pub(crate) fn unread_second(&mut self, phase: Phase, why: &str) {
        let errors =
            ["error_rate", "latency_p99", "throughput"].map(|name| (name.to_owned(), why.to_owned()));
        self.say(Event::Metrics { phase, values: BTreeMap::new(), errors: errors.into() });
        self.wait(1.0);
    }

    fn probe(&mut self, phase: Phase, (check, expect): (&str, &str), name: &str, value: f64, holds: bool) {
        let truth = if holds { Truth::Holds } else { Truth::Fails };
        let reading = Reading::from([(name.to_owned(), Value::Number(value))]);
        let (check, expect) = (check.to_owned(), expect.to_owned());
        self.say(Event::Probe { phase, check, expect, truth, reading, error: None, seconds: 0.004 });
    }

    pub(crate) fn guard(&mut self, holds: bool) {
        self.guard_ticks += 10;
        let truth = if holds { Truth::Holds } else { Truth::Fails };
        self.say(Event::Guard {
            ticks: self.guard_ticks,
            conditions: vec![
                ("error_rate > 50% for 3s".into(), truth),
                ("latency_p99 > 3s".into(), Truth::Fails),
            ],
            slowest_seconds: 0.0021,
        });
    }

    pub(crate) fn plan(&mut self, injections: &[(&str, &str, &str, &str, &str)], lasts: u64, notes: &[&str]) {
        self.phase(Phase::Plan);
        let planned = |(entry, known): (usize, &(&str, &str, &str, &str, &str))| Planned {
            id: known.0.into(),
            entry,
            fault: known.1.into(),
            target: known.2.into(),
            does: vec![known.3.into()],
            undone_by: vec![known.4.into()],
            lasts: Duration::seconds(lasts),
            when: None,
        };
        self.say(Event::Planned {
            injections: injections.iter().enumerate().map(planned).collect(),
            notes: notes.iter().map(|&note| note.to_owned()).collect(),
            hindered_by: None,
        });
        self.wait(0.08);
    }

    pub(crate) fn plan_latency(&mut self) {
        self.plan(
            &[(
                LATENCY,
                "network.latency",
                "of payment (pid 812)",
                "on lo (of payment (pid 812)), tcp remote port 9003: delay by 400ms ± 40ms on 50% of packets",
                "remove our qdisc from lo (of payment (pid 812)), leaving the kernel's default",
            )],
            60,
            &["ssh from 10.0.0.7 port 50412 is spared"],
        );
    }

    /// Plan, steady state, baseline.
    pub(crate) fn prelude(&mut self) {
        self.plan_latency();
        self.quiet();
    }

    /// Steady state and baseline.
    pub(crate) fn quiet(&mut self) {
        self.phase(Phase::SteadyState);
        for _ in 0..3 {
            self.second(Phase::SteadyState, 0.0, 0.082, 200.0);
        }
        self.phase(Phase::Baseline);
        for _ in 0..30 {
            self.second(Phase::Baseline, 0.0, 0.082, 200.0);
        }
    }

    pub(crate) fn inject(&mut self, id: &str, fault: &str, target: &str, first: Evidence) {
        let (injection, fault, target) = (id.to_owned(), fault.to_owned(), target.to_owned());
        self.say(Event::InjectStarted { injection: injection.clone(), fault, target, stage: None });
        self.wait(0.012);
        self.say(Event::Injected { injection, evidence: vec![first], seconds: 0.011 });
    }

    pub(crate) fn inject_latency(&mut self) {
        let first = Evidence::not_seen("0 packets delayed").with("packets", 0.0);
        self.inject(LATENCY, "network.latency", "of payment (pid 812)", first);
    }

    pub(crate) fn evidence(&mut self, id: &str, evidence: Evidence) {
        self.say(Event::Evidence { injection: id.into(), evidence: vec![evidence] });
    }

    pub(crate) fn delayed(&mut self, packets: u32) {
        let evidence =
            Evidence::seen(format!("{packets} packets delayed")).with("packets", f64::from(packets));
        self.evidence(LATENCY, evidence);
    }

    pub(crate) fn undo(&mut self, why: &str) {
        self.phase(Phase::Undo);
        self.say(Event::UndoStarted { injections: vec![LATENCY.into()], why: why.into() });
        self.wait(0.009);
    }

    pub(crate) fn restored(&mut self, id: &str, fault: &str, target: &str, step: Reverted) {
        let (injection, fault, target) = (id.into(), fault.into(), target.into());
        let restored = Restored { injection, fault, target, steps: vec![step], errors: Vec::new() };
        let residue = restored.residue();
        self.say(Event::Restored { restored, residue, seconds: 0.008 });
    }

    pub(crate) fn latency_undone(&mut self) {
        let looked_at = "the root qdisc of lo (of payment (pid 812)): noqueue, as before".to_owned();
        self.restored(LATENCY, "network.latency", "of payment (pid 812)", Reverted::Undone { looked_at });
    }

    pub(crate) fn recover(&mut self, seconds: u32) {
        self.phase(Phase::Recovery);
        for left in (0..seconds).rev() {
            let left = f64::from(left.min(10));
            self.second(Phase::Recovery, 0.02 * left, 0.12 + 0.2 * left, 198.0);
        }
        self.say(Event::Recovered { seconds: Some(f64::from(seconds) - 0.8), within: 30.0 });
        for _ in 0..4 {
            self.second(Phase::Recovery, 0.0, 0.082, 200.0);
        }
        self.phase(Phase::Analysis);
    }

    pub(crate) fn compare(&mut self, rows: &[Row]) {
        let comparisons = rows.iter().map(|(metric, baseline, during, interval, seen)| MetricChange {
            metric: (*metric).into(),
            baseline: Some(*baseline),
            during: Some(*during),
            difference: Some(during - baseline),
            interval: *interval,
            seen: *seen,
            method: if *metric == "error_rate" { "Newcombe" } else { "bootstrap" }.into(),
        });
        let comparisons = comparisons.collect();
        self.say(Event::Compared { comparisons });
    }

    pub(crate) fn judge(&mut self, rows: &[(&str, u64, u64, &str)]) {
        let checks = rows.iter().map(|(expect, asked, held, worst)| CheckResult {
            check: if *expect == HEALTH.1 { HEALTH.0.into() } else { (*expect).into() },
            expect: (*expect).into(),
            truth: if asked == held { Truth::Holds } else { Truth::Fails },
            asked: *asked,
            held: *held,
            worst: (*worst).into(),
            within: None,
            after: None,
        });
        let checks = checks.collect();
        self.say(Event::Judged { checks });
    }

    pub(crate) fn verdict(mut self, verdict: Verdict, reasons: &[&str]) -> Vec<Entry> {
        self.wait(0.03);
        self.say(Event::Verdict {
            verdict,
            reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
            exit_code: verdict.exit_code(),
            seconds: self.elapsed,
        });
        self.entries
    }
}

const SLOW: &str = "Checkout keeps its objectives while the ledger answers 400 ms later";

/// Payment has no timeout: errors and latency rise far above what is allowed.
pub(crate) fn failed() -> Vec<Entry> {
    let mut journal = Journal::new("payment-survives-a-slow-ledger", SLOW, 60.0);
    journal.prelude();
    slow_method(&mut journal);
    journal.undo("over");
    journal.latency_undone();
    journal.recover(6);
    journal.compare(&[
        ("error_rate", 0.0, 0.124, Some((0.111, 0.1355)), true),
        ("latency_p99", 0.0821, 1.214, Some((1.102, 1.297)), true),
        ("throughput", 199.9, 199.4, Some((-1.2, 0.3)), false),
        ("latency_p50", 0.0206, 0.301, Some((0.276, 0.332)), true),
    ]);
    journal.judge(&[
        ("status == 200", 60, 60, ""),
        ("error_rate < 1%", 1, 0, "error_rate = 12.4 %"),
        ("latency_p99 < 500ms", 1, 0, "latency_p99 = 1.21 s"),
    ]);
    journal
        .say(Event::Note { message: "the load generator kept its rate: 200/s asked, 199.7/s sent".into() });
    journal.verdict(
        Verdict::Failed,
        &[
            "error_rate < 1% did not hold: 12.4 % of requests failed while the fault was active (worst 16.1 %)",
            "latency_p99 < 500ms did not hold: 1.21 s while the fault was active (worst 1.34 s)",
        ],
    )
}

fn slow_method(journal: &mut Journal) {
    journal.phase(Phase::Fault);
    journal.inject_latency();
    for second in 0_u32..60 {
        let rise = (f64::from(second) / 6.0).min(1.0);
        journal.second(Phase::Fault, 0.124 * rise, 0.082 + 1.13 * rise, 199.0);
        if second % 10 == 9 {
            journal.guard(false);
            journal.delayed((second + 1) * 307);
        }
    }
}

/// With a timeout and a fallback, nothing is lost.
pub(crate) fn passed() -> Vec<Entry> {
    let mut journal = Journal::new("payment-survives-a-slow-ledger", SLOW, 60.0);
    journal.prelude();
    journal.phase(Phase::Fault);
    journal.inject_latency();
    for second in 0_u32..60 {
        journal.second(Phase::Fault, 0.001, 0.21, 200.0);
        if second % 10 == 9 {
            journal.guard(false);
            journal.delayed((second + 1) * 307);
        }
    }
    journal.undo("over");
    journal.latency_undone();
    journal.recover(1);
    journal.compare(&[
        ("error_rate", 0.0, 0.001, Some((-0.0004, 0.0021)), false),
        ("latency_p99", 0.0821, 0.2101, Some((0.119, 0.137)), true),
        ("throughput", 199.9, 199.7, Some((-0.8, 0.5)), false),
    ]);
    journal.judge(&[
        ("status == 200", 60, 60, ""),
        ("error_rate < 1%", 1, 1, ""),
        ("latency_p99 < 500ms", 1, 1, ""),
    ]);
    journal.verdict(Verdict::Passed, &["every check held while the fault was active"])
}

/// The guard ends the run after a third of its method.
pub(crate) fn aborted() -> Vec<Entry> {
    let mut journal = Journal::new("payment-survives-a-slow-ledger", SLOW, 60.0);
    journal.prelude();
    journal.phase(Phase::Fault);
    journal.inject_latency();
    for second in 0_u32..14 {
        journal.second(Phase::Fault, 0.06 * f64::from(second), 0.082 + 0.17 * f64::from(second), 190.0);
    }
    journal.delayed(3_911);
    journal.unread_second(Phase::Fault, "http://127.0.0.1:9090: connection refused");
    journal.guard(true);
    journal
        .say(Event::Aborted { cause: AbortCause::Guard, reason: "error_rate > 50% for 3s: 71.2 %".into() });
    journal.undo("aborted");
    journal.latency_undone();
    journal.recover(9);
    journal.verdict(Verdict::Aborted, &["the guard ended the run: error_rate > 50% for 3s (71.2 %)"])
}

/// A process is killed, beside a slow network or alone.
pub(crate) fn killed(alone: bool) -> Vec<Entry> {
    let mut journal = Journal::new("payment-survives-without-one-worker", "", 10.0);
    let kill = (
        "kill-1",
        "process.kill",
        "worker (pid 830)",
        "send SIGKILL",
        "nothing: SIGKILL cannot be taken back",
    );
    journal.plan(&[kill], 10, &[]);
    journal.quiet();
    journal.phase(Phase::Fault);
    journal.inject(kill.0, kill.1, kill.2, Evidence::seen("worker (pid 830) has ended"));
    if !alone {
        journal.inject_latency();
    }
    journal.second(Phase::Fault, 0.0, 0.09, 200.0);
    journal.undo("over");
    if !alone {
        journal.latency_undone();
    }
    let looked_at =
        "nothing: SIGKILL to worker (pid 830) cannot be taken back and leaves nothing of ours".into();
    journal.restored(kill.0, kill.1, kill.2, Reverted::AlreadyGone { looked_at });
    journal.recover(1);
    journal.verdict(Verdict::Passed, &["every check held while the fault was active"])
}

/// A run that passed, in which one joined and was gone soon, and another could not be struck.
pub(crate) fn joined() -> Vec<Entry> {
    const FAULT: &str = "process.pause";
    let mut journal = Journal::new("followed", "", 20.0);
    journal.plan(&[("p-1", FAULT, "web (pid 7)", "stop", "continue")], 20, &[]);
    journal.phase(Phase::Fault);
    journal.inject("p-1", FAULT, "web (pid 7)", Evidence::seen("web (pid 7) is stopped"));
    journal.wait(5.0);
    let planned = |id: &str, target: &str| Planned {
        id: id.to_owned(),
        entry: 0,
        fault: FAULT.to_owned(),
        target: target.to_owned(),
        does: Vec::new(),
        undone_by: Vec::new(),
        lasts: Duration::seconds(15),
        when: None,
    };
    let injections = vec![planned("p-2", "late (pid 9)"), planned("p-3", "held (pid 10)")];
    journal.say(Event::Joined { injections });
    journal.inject("p-2", FAULT, "late (pid 9)", Evidence::seen("late (pid 9) is stopped"));
    journal.evidence("p-2", Evidence::not_seen("late (pid 9) is gone"));
    journal.say(Event::InjectFailed {
        injection: "p-3".to_owned(),
        message: "it is held".to_owned(),
        hindered_by: None,
    });
    journal.undo("over");
    for (id, target) in [("p-1", "web (pid 7)"), ("p-2", "late (pid 9)")] {
        journal.restored(id, FAULT, target, Reverted::Undone { looked_at: "it runs".to_owned() });
    }
    journal.verdict(Verdict::Passed, &[])
}

/// Somebody else changed the qdisc meanwhile.
pub(crate) fn residue() -> Vec<Entry> {
    let mut journal = Journal::new("payment-survives-a-slow-ledger", SLOW, 60.0);
    journal.prelude();
    slow_method(&mut journal);
    journal.undo("over");
    let drifted = Difference {
        looked_at: "the root qdisc of lo (of payment (pid 812))".into(),
        before: "noqueue".into(),
        now: "pfifo 8001:".into(),
        remedy: "run: nsenter -t 812 -n tc qdisc del dev lo root".into(),
        under_way: false,
    };
    journal.restored(LATENCY, "network.latency", "of payment (pid 812)", Reverted::Drifted(drifted));
    journal.phase(Phase::Recovery);
    for _ in 0..30 {
        journal.second(Phase::Recovery, 0.03, 0.6, 199.0);
    }
    journal.say(Event::Recovered { seconds: None, within: 30.0 });
    journal.verdict(
        Verdict::Residue,
        &["the root qdisc of lo (of payment (pid 812)) is not as it was: was noqueue, is pfifo 8001:"],
    )
}

/// The brain died in the middle of the method.
pub(crate) fn truncated() -> Vec<Entry> {
    let mut entries = failed();
    let cut = entries.iter().position(|entry| entry.elapsed > 60.0).unwrap();
    entries.truncate(cut);
    entries
}

/// Two faults at once, one after, one that shows no effect, one that could not be made; a gap in the metrics.
pub(crate) fn busy() -> Vec<Entry> {
    let mut journal =
        Journal::new("checkout-survives-a-bad-afternoon", "The shop sells on while its parts fail", 90.0);
    let target = "of payment (pid 812)";
    journal.plan(
        &[
            (LATENCY, "network.latency", target, "on lo: delay by 400ms ± 40ms", "remove our qdisc from lo"),
            (
                "cpu-1",
                "cpu.load",
                "this host",
                "run a worker that keeps 2 cores 80% busy",
                "end worker sq-cpu-1",
            ),
            (
                "pause-1",
                "process.pause",
                "cache (pid 820)",
                "send SIGSTOP to cache (pid 820)",
                "send SIGCONT to cache (pid 820)",
            ),
            (
                "loss-1",
                "network.loss",
                "of ledger (pid 830)",
                "on lo: drop 10% of packets",
                "remove our qdisc from lo",
            ),
            (
                "kill-1",
                "process.kill",
                "ledger (pid 830)",
                "send SIGKILL to ledger (pid 830)",
                "nothing: a kill cannot be taken back",
            ),
        ],
        30,
        &[],
    );
    journal.quiet();
    journal.phase(Phase::Fault);
    journal.inject_latency();
    journal.inject(
        "cpu-1",
        "cpu.load",
        "this host",
        Evidence::seen("1.6 cores kept busy").with("cores", 1.6),
    );
    for second in 0_u32..40 {
        if second == 20 {
            let looked_at = "worker sq-cpu-1: no process carries its mark".to_owned();
            journal.restored("cpu-1", "cpu.load", "this host", Reverted::Undone { looked_at });
        }
        journal.second(Phase::Fault, 0.004, 0.35, 199.0);
    }
    journal.delayed(18_420);
    journal.latency_undone();
    journal.inject("pause-1", "process.pause", "cache (pid 820)", Evidence::seen("stopped for 0.1 s"));
    for second in 0_u32..25 {
        if (8..16).contains(&second) {
            journal.unread_second(Phase::Fault, "load shop: no request was answered within 2s");
        } else {
            journal.second(Phase::Fault, 0.03, 0.7, 150.0);
        }
    }
    journal.evidence("pause-1", Evidence::seen("stopped for 25 s"));
    let looked_at = "the run state of cache (pid 820): S, as before".to_owned();
    journal.restored("pause-1", "process.pause", "cache (pid 820)", Reverted::Undone { looked_at });
    journal.inject("loss-1", "network.loss", "of ledger (pid 830)", Evidence::not_seen("0 packets dropped"));
    for _ in 0..10 {
        journal.second(Phase::Fault, 0.0, 0.09, 200.0);
    }
    journal.guard(false);
    journal.evidence("loss-1", Evidence::not_seen("0 of 0 packets dropped"));
    let message = "could not send SIGKILL to ledger (pid 830): it is gone".to_owned();
    let (injection, stage) = ("kill-1".to_owned(), None);
    let target = "ledger (pid 830)".into();
    journal.say(Event::InjectStarted {
        injection: injection.clone(),
        fault: "process.kill".into(),
        target,
        stage,
    });
    journal.say(Event::InjectFailed { injection, message, hindered_by: None });
    journal.undo("failed");
    let looked_at = "the root qdisc of lo (of ledger (pid 830)): noqueue, as before".to_owned();
    journal.restored("loss-1", "network.loss", "of ledger (pid 830)", Reverted::AlreadyGone { looked_at });
    journal.recover(3);
    journal.compare(&[
        ("error_rate", 0.0, 0.011, Some((0.009, 0.014)), true),
        ("latency_p99", 0.0821, 0.55, Some((0.48, 0.61)), true),
        ("throughput", 199.9, 187.2, Some((-18.2, -7.3)), true),
    ]);
    journal.judge(&[("status == 200", 75, 75, ""), ("error_rate < 1%", 1, 0, "error_rate = 1.1 %")]);
    journal.verdict(
        Verdict::NoEffect,
        &[
            "process.kill on ledger (pid 830) could not be made",
            "network.loss on ledger (pid 830) showed no effect",
        ],
    )
}

/// An hour of traffic with a fault in the middle, and a check that misses every other time.
pub(crate) fn hour() -> Vec<Entry> {
    let mut journal = Journal::new("an-hour", "It holds for an hour", 1800.0);
    journal.prelude();
    for _ in 0..870 {
        journal.second(Phase::Baseline, 0.0, 0.082, 200.0);
    }
    journal.phase(Phase::Fault);
    journal.inject_latency();
    for second in 0_u32..1800 {
        let odd = f64::from(second % 2);
        journal.second(Phase::Fault, 0.03 * odd, 0.3 + 0.4 * odd, 200.0);
    }
    journal.delayed(1_000_000);
    journal.undo("over");
    journal.latency_undone();
    journal.recover(300);
    journal.verdict(Verdict::Failed, &["error_rate < 1% did not hold"])
}

/// A journal that tries to become markup, to steer the terminal, and to break numbers.
pub(crate) fn hostile() -> Vec<Entry> {
    const EVIL: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u{1b}[2J\u{202e}`|</style></title>{{7*7}}&lt;";
    let mut entries = failed();
    for entry in &mut entries {
        let mut json = serde_json::to_value(&*entry).unwrap();
        poison(&mut json, EVIL);
        *entry = serde_json::from_value(json).unwrap();
    }
    let extremes = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 0.0, -0.0, 1e300, f64::NAN, f64::INFINITY];
    let mut last = entries.last().unwrap().clone();
    for (index, value) in extremes.into_iter().enumerate() {
        let values = BTreeMap::from([("latency_p99".to_owned(), value), (format!("{EVIL}{index}"), value)]);
        last.event = Event::Metrics { phase: Phase::Fault, values, errors: BTreeMap::new() };
        entries.push(last.clone());
    }
    entries
}

/// Every text but those that name a kind of thing becomes evil.
fn poison(json: &mut serde_json::Value, evil: &str) {
    use serde_json::Value::{Array, Object, String};
    const KINDS: [&str; 10] =
        ["event", "phase", "truth", "at", "cause", "outcome", "effect", "verdict", "comparison", "lasts"];
    match json {
        String(text) => *text = format!("{text}{evil}"),
        Array(items) => items.iter_mut().for_each(|item| poison(item, evil)),
        Object(fields) => {
            for (key, value) in fields.iter_mut().filter(|(key, _)| !KINDS.contains(&key.as_str())) {
                // The names of metrics stay, so that there are graphs.
                if key != "name" && key != "metric" {
                    poison(value, evil);
                }
            }
        }
        _ => {}
    }
}
