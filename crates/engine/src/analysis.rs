//! The time under the fault compared with the baseline, each metric with an interval of 95 % confidence.
//!
//! Requests within a second are not independent: one stall delays them all. So nothing here counts requests as if
//! they were. What is resampled, or taken as the unit of variance, is a block of traffic, a second or longer.
//!
//! | metrics | interval of the difference |
//! |---|---|
//! | latency mean and quantiles | percentile bootstrap over whole blocks, see `bootstrap.rs` |
//! | error rate, success rate, availability | Newcombe's, with the blocks' design effect, see `intervals.rs` |
//! | throughput, metrics of sources | Welch's, with the samples' autocorrelation, see `intervals.rs` |
//! | longest latency | none: the bootstrap of an extreme is not valid |
//!
//! A difference is *seen* where the interval excludes zero. With less than [`FEWEST`] blocks or samples on either
//! side, means have no interval; shares and quantiles, which have hundreds of requests in a few seconds, have one down
//! to [`FEWEST_OF_SHARES`] blocks, quantiles then by Woodruff's formula. With too few requests beyond a quantile, it has
//! none.

mod bootstrap;
mod intervals;

use crate::load::{self, Slice, quantile_of};
use crate::record::{Period, Record};
use crate::words;
use intervals::Interval;
use squall_model::event::MetricChange;
use squall_model::quantity::load_metrics;

/// With fewer blocks or samples than this on either side, nothing is said about a difference.
pub const FEWEST: usize = 8;

/// With fewer blocks than this on either side, nothing is said about a difference of shares or quantiles.
pub const FEWEST_OF_SHARES: usize = 3;

/// Method of a comparison without an interval because there is too little data.
pub const TOO_FEW: &str = "too few";

/// Compares each metric under the fault with the baseline. Empty where there is no baseline or no fault.
pub(crate) fn compare(record: &Record, seed: u64) -> Vec<MetricChange> {
    let faults: Vec<&Period> = record.periods.iter().filter(|period| period.under_fault).collect();
    let Some(baseline) = record.periods.first().filter(|period| !period.under_fault && !faults.is_empty())
    else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    for number in 0..record.loads.len() {
        let before = baseline.traffic[number].blocks();
        let during: Vec<Slice> =
            faults.iter().flat_map(|fault| fault.traffic[number].blocks()).cloned().collect();
        if before.is_empty() || during.is_empty() {
            continue;
        }
        changes.extend(compare_traffic(before, &during, seed).into_iter().map(|change| MetricChange {
            metric: load::journal_name(&record.loads, number, &change.metric),
            ..change
        }));
    }
    let samples = |periods: &[&Period], name: &str| -> Vec<f64> {
        periods.iter().flat_map(|period| period.values(name)).collect()
    };
    let mut names: Vec<&String> = record
        .periods
        .iter()
        .flat_map(|period| &period.samples)
        .flat_map(|second| second.values.keys())
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (before, during) = (samples(&[baseline], name), samples(&faults, name));
        if !before.is_empty() && !during.is_empty() {
            changes.push(compare_samples(name, &before, &during));
        }
    }
    changes
}

/// What is known about a metric before the uncertainty is looked at.
fn change(metric: &str, baseline: Option<f64>, during: Option<f64>) -> MetricChange {
    let difference = baseline.zip(during).map(|(baseline, during)| during - baseline);
    let (metric, method) = (metric.to_owned(), TOO_FEW.to_owned());
    MetricChange { metric, baseline, during, difference, interval: None, seen: false, method }
}

fn with_interval(change: MetricChange, interval: Option<Interval>, method: &str) -> MetricChange {
    match interval {
        Some(Interval { low, high }) if low.is_finite() && high.is_finite() => MetricChange {
            interval: Some((low, high)),
            seen: low > 0.0 || high < 0.0,
            method: method.to_owned(),
            ..change
        },
        _ => change,
    }
}

fn compare_traffic(before: &[Slice], during: &[Slice], seed: u64) -> Vec<MetricChange> {
    let (Some(all_before), Some(all_during)) = (Slice::union(before), Slice::union(during)) else {
        return Vec::new();
    };
    let blocks = before.len().min(during.len());
    let (enough, some) = (blocks >= FEWEST, blocks >= FEWEST_OF_SHARES);
    let mut latencies = bootstrap::differences(before, during, seed);
    let compared = load_metrics().map(|metric| {
        let change = change(metric, all_before.metric(metric), all_during.metric(metric));
        match metric {
            "latency_max" if enough => MetricChange { method: "none".to_owned(), ..change },
            "throughput" if enough => {
                let rates = |blocks: &[Slice]| {
                    let rate = |block: &Slice| block.answered as f64 / (block.end - block.start);
                    blocks.iter().map(rate).collect::<Vec<_>>()
                };
                with_interval(change, intervals::welch(&rates(before), &rates(during)), "Welch")
            }
            "error_rate" | "success_rate" | "availability" if some => {
                let interval = intervals::newcombe(&shares(metric, before), &shares(metric, during));
                with_interval(change, interval, "Newcombe")
            }
            _ if enough => with_interval(change, latencies.interval(quantile_of(metric)), "bootstrap"),
            _ => match quantile_of(metric) {
                Some(quantile) if some && latencies.is_telling(quantile) => {
                    with_interval(change, intervals::woodruff(before, during, quantile), "Woodruff")
                }
                _ => change,
            },
        }
    });
    // A metric that neither side has says nothing.
    compared.filter(|change| change.baseline.is_some() || change.during.is_some()).collect()
}

/// Of each block, how many requests count for a share, and of how many.
fn shares(metric: &str, blocks: &[Slice]) -> Vec<(u64, u64)> {
    let part = |block: &Slice| match metric {
        "success_rate" => block.success,
        "availability" => block.available,
        _ => block.ended - block.success,
    };
    blocks.iter().map(|block| (part(block), block.ended)).collect()
}

fn compare_samples(name: &str, before: &[f64], during: &[f64]) -> MetricChange {
    let mean = |samples: &[f64]| (!samples.is_empty()).then(|| intervals::mean(samples));
    let change = change(name, mean(before), mean(during));
    if before.len() < FEWEST || during.len() < FEWEST {
        return change;
    }
    with_interval(change, intervals::welch(before, during), "Welch")
}

/// A comparison in words: `latency_p99 +212 ms (95 % CI 180 to 260)`, `error_rate: no difference seen`.
pub fn describe(change: &MetricChange) -> String {
    let MetricChange { metric, difference, interval, seen, .. } = change;
    match (difference, interval) {
        (Some(difference), Some(_)) if *seen => {
            format!("{metric} {}", words::difference(metric, *difference, *interval))
        }
        (Some(_), Some(_)) => format!("{metric}: no difference seen"),
        (Some(difference), None) => {
            let why = if change.method == TOO_FEW { "too little was measured" } else { "no interval" };
            format!("{metric} {} ({why})", words::difference(metric, *difference, None))
        }
        (None, _) => format!("{metric}: not measured on both sides"),
    }
}

#[cfg(test)]
mod tests;
