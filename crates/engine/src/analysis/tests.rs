//! The statistics are held against data whose truth is known.

use super::*;
use fastrand::Rng;

const REPETITIONS: u64 = 200;

/// Requests a second.
const RATE: u64 = 40;

/// Seconds of traffic: latencies are log-normal around `milliseconds`; each second has its own mood, and a share of
/// requests fails in bursts.
fn traffic(dice: &mut Rng, seconds: u32, milliseconds: f64, failing: f64) -> Vec<Slice> {
    let second = |number: u32, dice: &mut Rng| {
        let mood = 1.0 + 0.1 * normal(dice);
        let unlucky = (failing * (1.0 + 0.5 * normal(dice))).clamp(0.0, 1.0);
        let mut latencies: Vec<(u32, u32)> = (0..RATE)
            .map(|_| ((milliseconds * mood * 1000.0 * (0.3 * normal(dice)).exp()) as u32, 1))
            .collect();
        latencies.sort_unstable();
        let failed = (0..RATE).filter(|_| dice.f64() < unlucky).count() as u64;
        Slice {
            start: f64::from(number),
            end: f64::from(number + 1),
            ended: RATE,
            success: RATE - failed,
            available: RATE - failed,
            answered: RATE - dice.u64(0..10),
            latencies,
            late: 0.0,
            unknown: 0,
        }
    };
    (0..seconds).map(|number| second(number, dice)).collect()
}

/// Box and Muller.
fn normal(dice: &mut Rng) -> f64 {
    (-2.0 * (1.0 - dice.f64()).ln()).sqrt() * (std::f64::consts::TAU * dice.f64()).cos()
}

/// The truth, from so much traffic that chance hardly matters.
fn truth(milliseconds: f64, failing: f64, metric: &str) -> f64 {
    let mut dice = Rng::with_seed(99);
    Slice::union(&traffic(&mut dice, 1500, milliseconds, failing)).unwrap().metric(metric).unwrap()
}

#[test]
fn intervals_hold_the_truth_about_as_often_as_they_say() {
    let metrics = ["latency_mean", "latency_p50", "latency_p90", "latency_p95", "error_rate", "throughput"];
    let truths = metrics.map(|metric| truth(60.0, 0.05, metric) - truth(50.0, 0.02, metric));
    let mut held = [0_u32; 6];
    for seed in 0..REPETITIONS {
        let mut dice = Rng::with_seed(seed);
        let (before, during) = (traffic(&mut dice, 14, 50.0, 0.02), traffic(&mut dice, 20, 60.0, 0.05));
        let changes = compare_traffic(&before, &during, seed);
        for ((metric, truth), held) in metrics.iter().zip(truths).zip(&mut held) {
            let change = changes.iter().find(|change| change.metric == **metric).unwrap();
            let (low, high) = change.interval.unwrap();
            *held += u32::from(low <= truth && truth <= high);
        }
    }
    for (metric, held) in metrics.iter().zip(held) {
        let share = f64::from(held) / REPETITIONS as f64;
        assert!((0.88..=0.995).contains(&share), "{metric}: {share}");
    }
}

#[test]
fn nothing_is_rarely_seen_where_nothing_is() {
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for seed in 0..REPETITIONS {
        let mut dice = Rng::with_seed(1000 + seed);
        let (before, during) = (traffic(&mut dice, 16, 50.0, 0.01), traffic(&mut dice, 16, 50.0, 0.01));
        for change in compare_traffic(&before, &during, seed) {
            *seen.entry(change.metric).or_default() += u32::from(change.seen);
        }
    }
    assert!(seen.len() > 10);
    for (metric, seen) in seen {
        let share = f64::from(seen) / REPETITIONS as f64;
        assert!(share <= 0.10, "{metric} was seen to differ in {share} of all cases");
    }
}

#[test]
fn autocorrelated_gauges_are_rarely_seen_to_differ() {
    // An autoregressive gauge: each second keeps 60 % of the last.
    let gauge = |dice: &mut Rng, count: usize, level: f64| {
        let mut value = 0.0;
        (0..count)
            .map(|_| {
                value = 0.6 * value + normal(dice);
                level + value
            })
            .collect::<Vec<f64>>()
    };
    let (mut false_alarms, mut found) = (0, 0);
    for seed in 0..REPETITIONS {
        let mut dice = Rng::with_seed(seed);
        let before = gauge(&mut dice, 60, 10.0);
        false_alarms += u64::from(compare_samples("queue", &before, &gauge(&mut dice, 60, 10.0)).seen);
        found += u64::from(compare_samples("queue", &before, &gauge(&mut dice, 60, 14.0)).seen);
    }
    assert!(false_alarms * 10 <= REPETITIONS, "{false_alarms} false alarms");
    assert_eq!(found, REPETITIONS);
}

#[test]
fn a_clear_difference_is_told_in_words_and_the_same_seed_tells_the_same() {
    let mut dice = Rng::with_seed(5);
    let (before, during) = (traffic(&mut dice, 20, 50.0, 0.0), traffic(&mut dice, 20, 250.0, 0.3));
    let changes = compare_traffic(&before, &during, 7);
    assert_eq!(changes, compare_traffic(&before, &during, 7));
    let words = |metric: &str| describe(changes.iter().find(|change| change.metric == metric).unwrap());
    assert!(words("latency_p95").starts_with("latency_p95 +3"), "{}", words("latency_p95"));
    assert!(words("latency_p95").contains(" ms (95 % CI "), "{}", words("latency_p95"));
    assert!(words("error_rate").starts_with("error_rate +"), "{}", words("error_rate"));
    assert_eq!(words("throughput"), "throughput: no difference seen");
    assert!(words("latency_max").ends_with("(no interval)"), "{}", words("latency_max"));
}

#[test]
fn a_plain_difference_is_seen_in_few_seconds() {
    let mut dice = Rng::with_seed(5);
    let (before, during) = (traffic(&mut dice, 10, 45.0, 0.0), traffic(&mut dice, 4, 3950.0, 1.0));
    let changes = compare_traffic(&before, &during, 7);
    let seen = |metric: &str| changes.iter().find(|change| change.metric == metric).unwrap().seen;
    for metric in ["error_rate", "success_rate", "availability", "latency_p50", "latency_p90"] {
        assert!(seen(metric), "{metric}: {changes:?}");
    }
}

#[test]
fn in_few_seconds_little_is_claimed() {
    let metrics = ["latency_p50", "latency_p75", "latency_p90", "error_rate"];
    let truths = metrics.map(|metric| truth(60.0, 0.05, metric) - truth(50.0, 0.02, metric));
    let mut held = [0_u32; 4];
    for seed in 0..REPETITIONS {
        let mut dice = Rng::with_seed(seed);
        let (before, during) = (traffic(&mut dice, 5, 50.0, 0.02), traffic(&mut dice, 4, 60.0, 0.05));
        let changes = compare_traffic(&before, &during, seed);
        for ((metric, truth), held) in metrics.iter().zip(truths).zip(&mut held) {
            let change = changes.iter().find(|change| change.metric == **metric).unwrap();
            let (low, high) = change.interval.unwrap();
            *held += u32::from(low <= truth && truth <= high);
        }
    }
    for (metric, held) in metrics.iter().zip(held) {
        let share = f64::from(held) / REPETITIONS as f64;
        assert!(share >= 0.92, "{metric}: {share}");
    }
}

#[test]
fn too_little_is_not_compared() {
    let mut dice = Rng::with_seed(5);
    let (before, during) = (traffic(&mut dice, 20, 50.0, 0.0), traffic(&mut dice, 2, 500.0, 0.0));
    let changes = compare_traffic(&before, &during, 7);
    assert!(
        changes.iter().all(|change| !change.seen && change.interval.is_none() && change.method == TOO_FEW)
    );
    let samples = compare_samples("queue", &[1.0; 20], &[2.0; 3]);
    assert!(!samples.seen && samples.difference == Some(1.0));
    // Of 800 requests none is reliably beyond the 99.9th percentile.
    let during = traffic(&mut dice, 20, 500.0, 0.0);
    let p999 =
        compare_traffic(&before, &during, 7).into_iter().find(|change| change.metric == "latency_p999");
    assert_eq!(p999.unwrap().method, TOO_FEW);
}
