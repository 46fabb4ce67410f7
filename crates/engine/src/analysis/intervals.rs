//! Intervals of differences by formula: of two shares, of two quantiles, of two means.

use crate::load::Slice;

/// The 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Bounds that hold a difference with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The mean of what is not empty.
pub(super) fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// The difference of two shares, `during` less `before`, each given by blocks as (how many, of how many).
///
/// Newcombe's hybrid score interval (Interval Estimation for the Difference between Independent Proportions,
/// Statistics in Medicine 17, 1998, method 10), on sample sizes reduced by the blocks' design effect (Rao and Scott,
/// A Simple Method for the Analysis of Clustered Binary Data, Biometrics 48, 1992): failures come in bursts, and a
/// burst of a hundred is not a hundred witnesses. Bursts longer than a block are still counted once a block. With few
/// blocks the design effect itself is hardly known, so that the sample sizes are reduced by Student's distribution of
/// as many as there are too (Korn and Graubard, Confidence Intervals for Proportions with Small Expected Number of
/// Positive Counts Estimated from Survey Data, Survey Methodology 24, 1998).
pub(super) fn newcombe(before: &[(u64, u64)], during: &[(u64, u64)]) -> Option<Interval> {
    let (before, during) = (Proportion::new(before)?, Proportion::new(during)?);
    Some(recovered((before.share, before.wilson()), (during.share, during.wilson())))
}

/// The difference of two quantiles, `during` less `before`, each given by blocks of latencies: for where there are too
/// few blocks to be resampled. Each side's interval is between the values that the bounds of the share below its
/// quantile fall on (Woodruff, Confidence Intervals for Medians and Other Position Measures, Journal of the American
/// Statistical Association 47, 1952), that share as in [`newcombe`].
pub(super) fn woodruff(before: &[Slice], during: &[Slice], quantile: f64) -> Option<Interval> {
    let side = |blocks: &[Slice]| -> Option<(f64, (f64, f64))> {
        let all = Slice::union(blocks)?;
        let value = all.quantile(quantile)?;
        let below = |block: &Slice| {
            let counts = |wanted: &dyn Fn(f64) -> bool| -> u64 {
                let counted = block.latencies.iter().filter(|(latency, _)| wanted(f64::from(*latency) / 1e6));
                counted.map(|(_, count)| u64::from(*count)).sum()
            };
            (counts(&|latency| latency <= value), counts(&|_| true))
        };
        let (low, high) = Proportion::new(&blocks.iter().map(below).collect::<Vec<_>>())?.wilson();
        Some((value, (all.quantile(low)?, all.quantile(high)?)))
    };
    Some(recovered(side(before)?, side(during)?))
}

/// The interval of a difference from a value and an interval on either side (Zou and Donner, Construction of
/// Confidence Limits about Effect Measures, Statistics in Medicine 27, 2008).
fn recovered(before: (f64, (f64, f64)), during: (f64, (f64, f64))) -> Interval {
    let ((before, (low_before, high_before)), (during, (low_during, high_during))) = (before, during);
    let below = (during - low_during).hypot(high_before - before);
    let above = (high_during - during).hypot(before - low_before);
    Interval { low: during - before - below, high: during - before + above }
}

/// A share and the number of independent witnesses that it is worth.
struct Proportion {
    share: f64,
    witnesses: f64,
}

impl Proportion {
    fn new(blocks: &[(u64, u64)]) -> Option<Self> {
        let blocks: Vec<(f64, f64)> = blocks
            .iter()
            .filter(|(_, all)| *all > 0)
            .map(|(part, all)| (*part as f64, *all as f64))
            .collect();
        let count = blocks.len() as f64;
        let all: f64 = blocks.iter().map(|(_, all)| all).sum();
        if count < 2.0 {
            return None;
        }
        let share = blocks.iter().map(|(part, _)| part).sum::<f64>() / all;
        let residuals: f64 = blocks.iter().map(|(part, all)| (part - share * all).powi(2)).sum();
        let clustered = count / (count - 1.0) * residuals / all.powi(2);
        let independent = share * (1.0 - share) / all;
        let design_effect = if independent > 0.0 { (clustered / independent).max(1.0) } else { 1.0 };
        let known_by_few = (Z / student(count - 1.0)).powi(2);
        Some(Self { share, witnesses: all / design_effect * known_by_few })
    }

    /// Wilson's score interval (Probable Inference, the Law of Succession, and Statistical Inference, Journal of the
    /// American Statistical Association 22, 1927).
    fn wilson(&self) -> (f64, f64) {
        let (share, n) = (self.share, self.witnesses);
        let centre = share + Z * Z / (2.0 * n);
        let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
    }
}

/// The difference of two means, `during` less `before` (Welch, The Generalization of Student's Problem when Several
/// Different Population Variances are Involved, Biometrika 34, 1947).
///
/// Samples of neighbouring seconds resemble each other, so their number is reduced as for a first-order
/// autoregressive process, by `(1 - r) / (1 + r)` with the autocorrelation `r` of neighbours (Bayley and Hammersley,
/// The "Effective" Number of Independent Observations in an Autocorrelated Time Series, 1946). A metric that itself
/// is a moving average over minutes is more dependent than that; its interval is then too narrow.
pub(super) fn welch(before: &[f64], during: &[f64]) -> Option<Interval> {
    let (before, during) = (Mean::new(before)?, Mean::new(during)?);
    let difference = during.value - before.value;
    let (left, right) = (before.variance / before.witnesses, during.variance / during.witnesses);
    let error = (left + right).sqrt();
    if error == 0.0 {
        return Some(Interval { low: difference, high: difference });
    }
    let freedom = (left + right).powi(2)
        / (left.powi(2) / (before.witnesses - 1.0) + right.powi(2) / (during.witnesses - 1.0));
    let reach = student(freedom.max(1.0)) * error;
    Some(Interval { low: difference - reach, high: difference + reach })
}

/// A mean with its variance and the number of independent witnesses that it is worth.
struct Mean {
    value: f64,
    variance: f64,
    witnesses: f64,
}

impl Mean {
    fn new(samples: &[f64]) -> Option<Self> {
        let count = samples.len() as f64;
        if count < 2.0 {
            return None;
        }
        let mean = mean(samples);
        let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
        let products: f64 = samples.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
        // Estimated from n values the autocorrelation is too low by about (1 + 3 r) / n (Kendall, Note on Bias in
        // the Estimation of Autocorrelation, Biometrika 41, 1954).
        let raw = if squares > 0.0 { products / squares } else { 0.0 };
        let alike = (raw + (1.0 + 3.0 * raw) / count).clamp(0.0, 0.95);
        let witnesses = (count * (1.0 - alike) / (1.0 + alike)).max(2.0);
        Some(Self { value: mean, variance: squares / (count - 1.0), witnesses })
    }
}

/// The 97.5 % point of Student's distribution (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5).
fn student(freedom: f64) -> f64 {
    let z = Z;
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
        (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1482.0 * z.powi(5) - 1920.0 * z.powi(3) - 945.0 * z)
            / 92_160.0,
    ];
    // Horner's rule in 1 / freedom.
    z + terms.iter().rev().fold(0.0, |sum, term| (sum + term) / freedom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_match_published_figures() {
        // Newcombe 1998, table II, row (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339.
        let blocks = |part: u64, all: u64, each: u64| -> Vec<(u64, u64)> {
            // Spread evenly, so that the design effect is one.
            let count = all / each;
            (0..count).map(|index| (part * (index + 1) / count - part * index / count, each)).collect()
        };
        // A block for each witness, whose number is then known by all of them.
        let side =
            |part: u64, all: u64| Proportion { share: part as f64 / all as f64, witnesses: all as f64 };
        let (before, during) = (side(48, 80), side(56, 70));
        let interval = recovered((before.share, before.wilson()), (during.share, during.wilson()));
        assert!(
            (interval.low - 0.0524).abs() < 1e-3 && (interval.high - 0.3339).abs() < 1e-3,
            "{interval:?}"
        );
        // By few blocks less is known.
        let few = newcombe(&blocks(48, 80, 20), &blocks(56, 70, 14)).unwrap();
        assert!(few.low < 0.03 && few.high > 0.35, "{few:?}");
        // Tables of Student's distribution.
        for (freedom, point) in [(3.0, 3.182), (5.0, 2.571), (10.0, 2.228), (30.0, 2.042), (1e6, 1.960)] {
            assert!((student(freedom) - point).abs() < 0.03, "{freedom}: {}", student(freedom));
        }
    }

    #[test]
    fn bursts_are_worth_fewer_witnesses() {
        let spread: Vec<(u64, u64)> = (0..30).map(|_| (2, 200)).collect();
        let burst: Vec<(u64, u64)> = (0..30).map(|second| (if second == 7 { 60 } else { 0 }, 200)).collect();
        let (spread, burst) = (Proportion::new(&spread).unwrap(), Proportion::new(&burst).unwrap());
        assert!((spread.share - burst.share).abs() < 1e-12);
        assert!(
            spread.witnesses > 5400.0 && burst.witnesses < 200.0,
            "{} {}",
            spread.witnesses,
            burst.witnesses
        );
    }

    #[test]
    fn what_never_varies_differs_exactly() {
        assert_eq!(welch(&[3.0; 10], &[5.0; 10]), Some(Interval { low: 2.0, high: 2.0 }));
    }
}
