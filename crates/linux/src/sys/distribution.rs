//! Tables of delays for `netem`: how a delay spreads around its mean.
//!
//! netem draws a random place in a table of 16-bit numbers and delays by `mean + jitter × number / 8192`. The table is
//! thus the inverse of a cumulative distribution at evenly spaced places, with 8192 for "one jitter". Without a table
//! the spread is uniform between one jitter less and one more. The tables here have the same 4096 numbers as those that
//! come with `tc`, so that a distribution means the same in both.
//!
//! Sources: `tabledist` in `net/sched/sch_netem.c`; `netem/{normal,pareto,paretonormal}.c` of iproute2; P. J. Acklam,
//! "An algorithm for computing the inverse normal cumulative distribution function" (2003).

use squall_model::step::Distribution;

/// What stands for one jitter (`NETEM_DIST_SCALE`).
const SCALE: f64 = 8192.0;
/// How many numbers a table has; netem takes up to 16384.
const LENGTH: u32 = 4096;

/// The table of a distribution; none for the uniform one, which netem computes by itself.
pub fn table(distribution: Distribution) -> Option<Vec<i16>> {
    let value = match distribution {
        Distribution::Uniform => return None,
        Distribution::Normal => normal,
        Distribution::Pareto => pareto,
        Distribution::Paretonormal => |place| 0.25 * normal(place) + 0.75 * pareto(place).round(),
    };
    Some((0..LENGTH).map(|place| value(place).round().min(f64::from(i16::MAX)) as i16).collect())
}

/// A standard normal distribution.
fn normal(place: u32) -> f64 {
    SCALE * inverse_normal((f64::from(place) + 0.125) / f64::from(LENGTH))
}

/// A Pareto distribution with the exponent 3, less its mean of 1.5, divided by its variance of 0.75.
fn pareto(place: u32) -> f64 {
    let share = 1.0 - f64::from(place) / f64::from(LENGTH);
    (SCALE * (share.powf(-1.0 / 3.0) - 1.5) / 0.75).min(f64::from(i16::MAX))
}

/// The number below which a standard normal variable lies with the given probability (between 0 and 1, both
/// excluded), by Acklam's rational approximation; its relative error is below 1.15e-9.
#[expect(clippy::unreadable_literal, clippy::excessive_precision, reason = "the coefficients as published")]
fn inverse_normal(probability: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.383577518672690e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 5] =
        [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0];
    const TAIL: f64 = 0.02425;
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |probability: f64| {
        let q = (-2.0 * probability.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    };
    if probability < TAIL {
        tail(probability)
    } else if probability > 1.0 - TAIL {
        -tail(1.0 - probability)
    } else {
        let q = probability - 0.5;
        q * polynomial(&A, q * q) / polynomial(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(table: &[i16]) -> (f64, f64) {
        let count = table.len() as f64;
        let mean = table.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let variance = table.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
        (mean / SCALE, variance.sqrt() / SCALE)
    }

    #[test]
    fn tables_have_the_moments_of_their_distribution() {
        assert_eq!(table(Distribution::Uniform), None);
        let (mean, deviation) = moments(&table(Distribution::Normal).unwrap());
        assert!(mean.abs() < 0.002 && (deviation - 1.0).abs() < 0.005, "{mean} {deviation}");
        // Capped at four jitters, a Pareto distribution loses a part of its tail.
        let (mean, deviation) = moments(&table(Distribution::Pareto).unwrap());
        assert!(mean.abs() < 0.05 && (0.7..1.16).contains(&deviation), "{mean} {deviation}");
        let (mean, deviation) = moments(&table(Distribution::Paretonormal).unwrap());
        assert!(mean.abs() < 0.05 && (0.7..1.16).contains(&deviation), "{mean} {deviation}");
    }

    #[test]
    fn tables_are_those_that_come_with_tc() {
        for (distribution, name) in [
            (Distribution::Normal, "normal"),
            (Distribution::Pareto, "pareto"),
            (Distribution::Paretonormal, "paretonormal"),
        ] {
            let path = [
                "/usr/lib/x86_64-linux-gnu/tc",
                "/usr/lib/aarch64-linux-gnu/tc",
                "/usr/lib/tc",
                "/usr/share/tc",
            ]
            .map(|folder| format!("{folder}/{name}.dist"));
            let Some(text) = path.iter().find_map(|path| std::fs::read_to_string(path).ok()) else {
                println!("skipped: {name}.dist of iproute2 is not on this machine");
                continue;
            };
            let numbers = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
            let theirs: Vec<i32> = numbers.map(|number| number.parse().unwrap()).collect();
            let ours = table(distribution).unwrap();
            assert_eq!(ours.len(), theirs.len());
            for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                assert!((i32::from(*ours) - theirs).abs() <= 1, "{name} at {place}: {ours}, tc has {theirs}");
            }
        }
    }
}
