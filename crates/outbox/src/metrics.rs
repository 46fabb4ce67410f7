//! Metrics of Squall itself: a pure fold over the events of runs, and Prometheus' text format (version 0.0.4).
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use crate::run::Run;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use squall_model::event::{Entry, Event};
use squall_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Upper bounds of the buckets for how long something of Squall's own takes, in seconds.
const OWN_WORK: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of the buckets for recoveries, in seconds.
const RECOVERY: &[f64] = &[0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];

/// What was counted and measured so far, over all runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// When counting began.
    since: Option<Timestamp>,
    status: BTreeMap<String, bool>,
    blast_radius: BTreeMap<String, usize>,
    recovery: Histogram,
    /// By run; those that are over are not kept.
    #[serde(skip)]
    active: BTreeMap<String, usize>,
    injection: Histogram,
    undo: Histogram,
    guard_tick: Histogram,
    residue: u64,
    runs: BTreeMap<String, u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            since: None,
            status: BTreeMap::new(),
            blast_radius: BTreeMap::new(),
            recovery: Histogram::new(RECOVERY),
            active: BTreeMap::new(),
            injection: Histogram::new(OWN_WORK),
            undo: Histogram::new(OWN_WORK),
            guard_tick: Histogram::new(OWN_WORK),
            residue: 0,
            runs: BTreeMap::new(),
        }
    }
}

/// Measurements sorted into buckets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Upper bounds of all buckets but the last, which has none; in rising order.
    pub bounds: Vec<f64>,
    /// How many fell into each bucket.
    pub counts: Vec<u64>,
    /// Their sum.
    pub sum: f64,
}

impl Histogram {
    fn new(bounds: &[f64]) -> Self {
        Self { bounds: bounds.to_vec(), counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn observe(&mut self, value: f64) {
        // What is no number would spoil the sum for ever.
        if value.is_finite() {
            self.counts[self.bounds.partition_point(|bound| *bound < value)] += 1;
            self.sum += value;
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        if self.bounds == other.bounds && self.counts.len() == other.counts.len() {
            self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
            self.sum += other.sum;
        }
    }

    fn is_sound(&self, bounds: &[f64]) -> bool {
        self.bounds == bounds && self.counts.len() == bounds.len() + 1 && self.sum.is_finite()
    }
}

/// All measurements of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name.
    pub name: &'static str,
    /// What is measured, with its unit.
    pub help: &'static str,
    /// The values.
    pub values: Values,
}

/// The values of a family: each with its labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// What is so now.
    Gauge(Vec<Sample>),
    /// What only grows.
    Counter(Vec<Sample>),
    /// How measurements are spread.
    Histogram(Histogram),
}

/// A value and its label, where it has one.
pub type Sample = (Option<(&'static str, String)>, f64);

impl Metrics {
    /// Takes one more event of a run in, which already knows of it. Returns whether anything changed.
    pub fn on(&mut self, run: &Run, entry: &Entry) -> bool {
        match &entry.event {
            Event::RunStarted { .. } => {
                self.since.get_or_insert(entry.at);
                self.active.insert(run.name.clone(), 0);
            }
            Event::Injected { seconds, .. } => {
                self.injection.observe(*seconds);
                self.count_targets(run);
            }
            Event::Restored { residue, seconds, .. } => {
                self.undo.observe(*seconds);
                self.residue += residue.len() as u64;
                self.count_targets(run);
            }
            Event::Guard { slowest_seconds, .. } => self.guard_tick.observe(*slowest_seconds),
            Event::Recovered { seconds: Some(seconds), .. } => self.recovery.observe(*seconds),
            Event::Verdict { verdict, .. } => {
                self.status.insert(run.experiment.clone(), *verdict == Verdict::Passed);
                *self.runs.entry(verdict.name().to_owned()).or_default() += 1;
                self.active.remove(&run.name);
            }
            _ => return false,
        }
        true
    }

    fn count_targets(&mut self, run: &Run) {
        self.active.insert(run.name.clone(), run.active().count());
        let mut services = run.services.clone();
        services.sort();
        let made = run.injections.iter().filter(|injection| injection.active.is_some());
        let targets: BTreeSet<&str> = made.map(|injection| injection.target.as_str()).collect();
        self.blast_radius.insert(services.join(","), targets.len());
    }

    /// What was measured after these were kept for later: counts are added up, and the latest states stand.
    pub fn add(&mut self, later: &Self) {
        self.since = [self.since, later.since].into_iter().flatten().min();
        self.status.extend(later.status.clone());
        self.blast_radius.extend(later.blast_radius.clone());
        self.active.extend(later.active.clone());
        for (mine, more) in [
            (&mut self.recovery, &later.recovery),
            (&mut self.injection, &later.injection),
            (&mut self.undo, &later.undo),
            (&mut self.guard_tick, &later.guard_tick),
        ] {
            mine.add(more);
        }
        self.residue += later.residue;
        for (verdict, count) in &later.runs {
            *self.runs.entry(verdict.clone()).or_default() += count;
        }
    }

    /// Whether what was kept can be added to: another Squall may have had other buckets.
    pub fn is_sound(&self) -> bool {
        self.recovery.is_sound(RECOVERY)
            && [&self.injection, &self.undo, &self.guard_tick].iter().all(|own| own.is_sound(OWN_WORK))
    }

    /// When counting began, if it did.
    pub fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// All families, in the order in which they are shown.
    pub fn families(&self) -> Vec<Family> {
        use Values::{Counter, Gauge};
        let family = |name, help, values| Family { name, help, values };
        let labelled = |label: &'static str, values: Vec<(String, f64)>| -> Vec<Sample> {
            values.into_iter().map(|(text, value)| (Some((label, text)), value)).collect()
        };
        let status = self.status.iter().map(|(name, passed)| (name.clone(), f64::from(u8::from(*passed))));
        let radius = self.blast_radius.iter().map(|(services, targets)| (services.clone(), *targets as f64));
        let runs = self.runs.iter().map(|(verdict, count)| (verdict.clone(), *count as f64));
        let active = self.active.values().sum::<usize>() as f64;
        vec![
            family(
                "chaos_experiment_status",
                "Whether the latest run of the experiment passed: 1, or 0.",
                Gauge(labelled("experiment", status.collect())),
            ),
            family(
                "chaos_blast_radius",
                "How many targets the latest run with these services in its blast radius struck.",
                Gauge(labelled("services", radius.collect())),
            ),
            family(
                "chaos_recovery_time_seconds",
                "Seconds from the end of the undo until the steady state held again.",
                Values::Histogram(self.recovery.clone()),
            ),
            family(
                "squall_injections_active",
                "How many injections are active now.",
                Gauge(vec![(None, active)]),
            ),
            family(
                "squall_injection_seconds",
                "Seconds that it took to make an injection.",
                Values::Histogram(self.injection.clone()),
            ),
            family(
                "squall_undo_seconds",
                "Seconds that it took to put an injection back and to look at what it had touched.",
                Values::Histogram(self.undo.clone()),
            ),
            family(
                "squall_guard_tick_seconds",
                "Seconds of the slowest look of the guard in its run so far, each time that it told.",
                Values::Histogram(self.guard_tick.clone()),
            ),
            family(
                "squall_residue_total",
                "How many things could not be put back.",
                Counter(vec![(None, self.residue as f64)]),
            ),
            family("squall_runs_total", "Runs by verdict.", Counter(labelled("verdict", runs.collect()))),
        ]
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for family in self.families() {
            write_family(&mut text, &family);
        }
        text
    }
}

/// The media type of [`Metrics::text`].
pub const TEXT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

fn write_family(text: &mut String, Family { name, help, values }: &Family) {
    let kind = match values {
        Values::Gauge(_) => "gauge",
        Values::Counter(_) => "counter",
        Values::Histogram(_) => "histogram",
    };
    // Writing to a String does not fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    match values {
        Values::Gauge(samples) | Values::Counter(samples) => {
            for (label, value) in samples {
                let label = label.as_ref().map(|(key, label)| format!("{{{key}=\"{}\"}}", escaped(label)));
                let _ = writeln!(text, "{name}{} {value}", label.unwrap_or_default());
            }
        }
        Values::Histogram(histogram) => {
            let mut below = 0;
            let bounds = histogram.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(&histogram.counts) {
                below += count;
                let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(text, "{name}_sum {}\n{name}_count {below}", histogram.sum);
        }
    }
}

/// A label's value within its quotes.
fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::journal;

    fn fold(events: &[Entry]) -> Metrics {
        let (mut run, mut metrics) = (Run::default(), Metrics::default());
        for entry in events {
            run.on(entry);
            metrics.on(&run, entry);
        }
        metrics
    }

    #[test]
    fn a_run_is_told_in_numbers() {
        let text = fold(&journal("say \"no\"\\\nto chaos", Verdict::Passed)).text();
        for line in [
            "# TYPE chaos_experiment_status gauge",
            r#"chaos_experiment_status{experiment="say \"no\"\\\nto chaos"} 1"#,
            r#"chaos_blast_radius{services="checkout,payment"} 1"#,
            "# TYPE chaos_recovery_time_seconds histogram",
            r#"chaos_recovery_time_seconds_bucket{le="1"} 0"#,
            r#"chaos_recovery_time_seconds_bucket{le="2.5"} 1"#,
            r#"chaos_recovery_time_seconds_bucket{le="+Inf"} 1"#,
            "chaos_recovery_time_seconds_sum 1.5",
            "chaos_recovery_time_seconds_count 1",
            "squall_injections_active 0",
            "squall_injection_seconds_count 1",
            "squall_undo_seconds_count 1",
            "squall_guard_tick_seconds_count 1",
            "squall_residue_total 0",
            r#"squall_runs_total{verdict="passed"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn while_a_fault_is_active_it_is_counted() {
        let journal = journal("x", Verdict::Failed);
        let injected =
            journal.iter().position(|entry| matches!(entry.event, Event::Injected { .. })).unwrap();
        assert!(fold(&journal[..=injected]).text().contains("squall_injections_active 1\n"));
        let whole = fold(&journal).text();
        assert!(whole.contains("squall_injections_active 0\n"));
        assert!(whole.contains("chaos_experiment_status{experiment=\"x\"} 0\n"));
    }

    #[test]
    fn what_was_kept_is_added_to() {
        let mut kept = fold(&journal("x", Verdict::Passed));
        let again: Metrics = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
        assert!(again.is_sound() && again == kept);
        kept.add(&fold(&journal("x", Verdict::Failed)));
        let text = kept.text();
        for line in [
            "chaos_experiment_status{experiment=\"x\"} 0",
            "chaos_recovery_time_seconds_count 2",
            "squall_runs_total{verdict=\"failed\"} 1",
            "squall_runs_total{verdict=\"passed\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
