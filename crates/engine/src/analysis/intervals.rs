//! Intervals of differences by formula: of two shares, of two means.

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
/// burst of a hundred is not a hundred witnesses. Bursts longer than a block are still counted once a block.
pub(super) fn newcombe(before: &[(u64, u64)], during: &[(u64, u64)]) -> Option<Interval> {
    let (before, during) = (Proportion::new(before)?, Proportion::new(during)?);
    let difference = during.share - before.share;
    let ((low_before, high_before), (low_during, high_during)) = (before.wilson(), during.wilson());
    let below = (during.share - low_during).hypot(high_before - before.share);
    let above = (high_during - during.share).hypot(before.share - low_before);
    Some(Interval { low: difference - below, high: difference + above })
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
        Some(Self { share, witnesses: all / design_effect })
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
        let interval = newcombe(&blocks(48, 80, 10), &blocks(56, 70, 10)).unwrap();
        assert!(
            (interval.low - 0.0524).abs() < 1e-3 && (interval.high - 0.3339).abs() < 1e-3,
            "{interval:?}"
        );
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
            spread.witnesses > 5999.0 && burst.witnesses < 200.0,
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
