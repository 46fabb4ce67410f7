//! Two runs side by side, and what got better or worse from the first to the second.
//!
//! Nothing is claimed that was not seen: metrics differ where the intervals of their changes do not touch.

use serde::Serialize;
use squall_model::event::MetricChange;
use squall_model::past::Run;
use squall_model::verdict::Verdict;
use std::collections::BTreeSet;

/// Times of recovery count as different from this share on.
const SLOWER_BY: f64 = 1.2;
/// And from so many seconds on.
const SLOWER_AT_LEAST: f64 = 0.2;

/// Which way something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// The second is better.
    Better,
    /// The second is worse.
    Worse,
    /// No difference was seen.
    Same,
    /// Nobody can tell: something is missing, or it is not known which way is better.
    Unknown,
}

/// What differs between two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The first run.
    pub first: Side,
    /// The second run.
    pub second: Side,
    /// Which way the verdict went.
    pub verdict: Trend,
    /// Which way the time of recovery went.
    pub recovery: Trend,
    /// Every metric of either.
    pub metrics: Vec<Metric>,
    /// What got better: `verdict`, `recovery`, metrics.
    pub better: Vec<String>,
    /// What got worse.
    pub worse: Vec<String>,
    /// What the reader should know, such as that the two are of different experiments.
    pub notes: Vec<String>,
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// Its name.
    pub run: String,
    /// Name of the experiment.
    pub experiment: String,
    /// The verdict.
    pub verdict: Option<Verdict>,
    /// Seconds until the steady state was back.
    pub recovery_seconds: Option<f64>,
}

/// A metric in both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub metric: String,
    /// In the first; none where it was not measured.
    pub first: Option<MetricChange>,
    /// In the second.
    pub second: Option<MetricChange>,
    /// Which way its change under the fault went.
    pub trend: Trend,
}

/// Compares a run with a later one.
pub fn compare(first: &Run, second: &Run) -> Comparison {
    let names: BTreeSet<&str> =
        first.comparisons.iter().chain(&second.comparisons).map(|change| change.metric.as_str()).collect();
    let metrics: Vec<Metric> = names.into_iter().map(|name| metric(name, first, second)).collect();
    let (verdict, recovery) = (of_verdicts(first.verdict, second.verdict), of_recoveries(first, second));
    let parts = [("verdict", verdict), ("recovery", recovery)].map(|(name, trend)| (name.to_owned(), trend));
    let parts: Vec<(String, Trend)> =
        parts.into_iter().chain(metrics.iter().map(|metric| (metric.metric.clone(), metric.trend))).collect();
    let that_are = |wanted: Trend| {
        parts.iter().filter(|(_, trend)| *trend == wanted).map(|(name, _)| name.clone()).collect()
    };
    Comparison {
        first: side(first),
        second: side(second),
        better: that_are(Trend::Better),
        worse: that_are(Trend::Worse),
        verdict,
        recovery,
        metrics,
        notes: notes(first, second),
    }
}

fn side(run: &Run) -> Side {
    Side {
        run: run.run.clone(),
        experiment: run.experiment.clone(),
        verdict: run.verdict,
        recovery_seconds: run.recovery_seconds,
    }
}

fn notes(first: &Run, second: &Run) -> Vec<String> {
    let differ = |what: &str, one: &str, other: &str| {
        let shown = |text: &str| if text.is_empty() { "none".to_owned() } else { format!("{text:?}") };
        (one != other).then(|| format!("they have different {what}: {} and {}", shown(one), shown(other)))
    };
    let strikes = |run: &Run| {
        let names: BTreeSet<&str> = run.strikes.iter().map(|strike| strike.fault.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    [
        differ("experiments", &first.experiment, &second.experiment),
        differ("environments", &first.environment, &second.environment),
        differ("hosts", &first.host, &second.host),
        differ("faults", &strikes(first), &strikes(second)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How bad a verdict is; none where nothing was learned.
fn badness(verdict: Option<Verdict>) -> Option<u8> {
    match verdict? {
        Verdict::Passed => Some(0),
        Verdict::Failed => Some(1),
        Verdict::Aborted => Some(2),
        Verdict::Residue => Some(3),
        Verdict::Invalid | Verdict::NotSteady | Verdict::NoEffect => None,
    }
}

fn of_verdicts(first: Option<Verdict>, second: Option<Verdict>) -> Trend {
    match (badness(first), badness(second)) {
        _ if first == second => Trend::Same,
        (Some(one), Some(other)) if other < one => Trend::Better,
        (Some(_), Some(_)) => Trend::Worse,
        _ => Trend::Unknown,
    }
}

fn of_recoveries(first: &Run, second: &Run) -> Trend {
    // One that was waited for and did not come took for ever.
    let seconds = |run: &Run| run.recovery_seconds.or(run.recovery_within.map(|_| f64::INFINITY));
    match (seconds(first), seconds(second)) {
        (Some(one), Some(other)) if is_slower(one, other) => Trend::Worse,
        (Some(one), Some(other)) if is_slower(other, one) => Trend::Better,
        (Some(_), Some(_)) => Trend::Same,
        _ => Trend::Unknown,
    }
}

fn is_slower(one: f64, other: f64) -> bool {
    other > one * SLOWER_BY && other - one > SLOWER_AT_LEAST
}

fn metric(name: &str, first: &Run, second: &Run) -> Metric {
    let change = |run: &Run| run.comparisons.iter().find(|change| change.metric == name).cloned();
    let (first, second) = (change(first), change(second));
    let intervals = first
        .as_ref()
        .and_then(|change| change.interval)
        .zip(second.as_ref().and_then(|change| change.interval));
    let trend = match (intervals, more_is_worse(name)) {
        (Some(((_, high), (low, _))), Some(worse)) if low > high => {
            if worse {
                Trend::Worse
            } else {
                Trend::Better
            }
        }
        (Some(((low, _), (_, high))), Some(worse)) if high < low => {
            if worse {
                Trend::Better
            } else {
                Trend::Worse
            }
        }
        (Some(_), Some(_)) => Trend::Same,
        _ => Trend::Unknown,
    };
    Metric { metric: name.to_owned(), first, second, trend }
}

/// Whether more of a metric is worse; none where that is not known.
fn more_is_worse(metric: &str) -> Option<bool> {
    let last = metric.rsplit_once('.').map_or(metric, |(_, last)| last);
    match last {
        "error_rate" => Some(true),
        "success_rate" | "availability" | "throughput" => Some(false),
        _ if last.starts_with("latency_") => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(verdict: Verdict, recovery: Option<f64>, changes: &[(&str, f64, f64)]) -> Run {
        let change = |(metric, low, high): &(&str, f64, f64)| MetricChange {
            metric: (*metric).to_owned(),
            baseline: Some(0.0),
            during: Some(f64::midpoint(*low, *high)),
            difference: Some(f64::midpoint(*low, *high)),
            interval: Some((*low, *high)),
            seen: true,
            method: String::new(),
        };
        Run {
            verdict: Some(verdict),
            recovery_seconds: recovery,
            recovery_within: Some(30.0),
            comparisons: changes.iter().map(change).collect(),
            ..Run::default()
        }
    }

    #[test]
    fn what_got_better_and_worse_is_told() {
        let first = run(
            Verdict::Failed,
            Some(10.0),
            &[
                ("error_rate", 0.2, 0.3),
                ("throughput", -50.0, -40.0),
                ("shop.latency_p99", 0.1, 0.2),
                ("depth", 1.0, 2.0),
            ],
        );
        let second = run(
            Verdict::Passed,
            Some(3.0),
            &[
                ("error_rate", 0.0, 0.1),
                ("throughput", -90.0, -80.0),
                ("shop.latency_p99", 0.15, 0.3),
                ("depth", 5.0, 6.0),
            ],
        );
        let there = compare(&first, &second);
        assert_eq!(there.better, ["verdict", "recovery", "error_rate"]);
        assert_eq!(there.worse, ["throughput"]);
        let trends: Vec<Trend> = there.metrics.iter().map(|metric| metric.trend).collect();
        assert_eq!(trends, [Trend::Unknown, Trend::Better, Trend::Same, Trend::Worse]);
        let back = compare(&second, &first);
        assert_eq!((back.better, back.worse.len()), (vec!["throughput".to_owned()], 3));
    }

    #[test]
    fn what_is_not_known_is_not_claimed() {
        let unsteady = run(Verdict::NotSteady, None, &[]);
        let other = compare(&unsteady, &run(Verdict::Passed, Some(1.0), &[("error_rate", 0.0, 0.1)]));
        assert_eq!((other.verdict, other.metrics[0].trend), (Trend::Unknown, Trend::Unknown));
        assert_eq!(other.recovery, Trend::Better);
        let never = Run { recovery_within: None, ..unsteady.clone() };
        assert_eq!(compare(&never, &unsteady).recovery, Trend::Unknown);
        let close = compare(&run(Verdict::Passed, Some(0.1), &[]), &run(Verdict::Passed, Some(0.2), &[]));
        assert_eq!((close.verdict, close.recovery), (Trend::Same, Trend::Same));
        let elsewhere = Run { experiment: "other".into(), ..unsteady.clone() };
        assert_eq!(
            compare(&unsteady, &elsewhere).notes,
            ["they have different experiments: none and \"other\""]
        );
    }
}
