//! The percentile bootstrap of latency differences (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
//! chapter 13), resampling whole blocks of time so that the dependence within a block is kept (Carlstein, The Use of
//! Subseries Values, Annals of Statistics 14, 1986; Künsch, The Jackknife and the Bootstrap for General Stationary
//! Observations, Annals of Statistics 17, 1989).

use super::intervals::Interval;
use crate::load::Slice;
use fastrand::Rng;

/// How often both sides are resampled.
const RESAMPLES: usize = 1000;

/// Blocks are joined in pairs while there are more latencies than this and more than [`FEWEST_BLOCKS`] blocks, so
/// that hours of traffic take no longer than minutes.
const MOST_LATENCIES: usize = 40_000;
const FEWEST_BLOCKS: usize = 60;

/// With fewer requests than this beyond a quantile, its interval says nothing.
const FEWEST_BEYOND: f64 = 10.0;

/// The quantiles that are compared, rising.
const QUANTILES: [f64; 6] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999];

/// Resampled differences of the mean (first) and of each quantile.
pub(super) struct Differences {
    columns: [Vec<f64>; QUANTILES.len() + 1],
    fewest_requests: f64,
}

/// Differences of latencies, `during` less `before`, in seconds.
pub(super) fn differences(before: &[Slice], during: &[Slice], seed: u64) -> Differences {
    let (before, during) = (Side::new(before), Side::new(during));
    let mut differences = Differences {
        columns: Default::default(),
        fewest_requests: before.requests().min(during.requests()),
    };
    if differences.fewest_requests < 1.0 {
        return differences;
    }
    let mut dice = Rng::with_seed(seed);
    for _ in 0..RESAMPLES {
        let (before, during) = (before.resample(&mut dice), during.resample(&mut dice));
        if let (Some(before), Some(during)) = (before, during) {
            for (index, column) in differences.columns.iter_mut().enumerate() {
                column.push(during[index] - before[index]);
            }
        }
    }
    differences
}

impl Differences {
    /// Whether there are requests enough beyond a quantile.
    pub(super) fn is_telling(&self, quantile: f64) -> bool {
        self.fewest_requests * (1.0 - quantile) >= FEWEST_BEYOND
    }

    /// The interval for a quantile, or for the mean where none is given.
    pub(super) fn interval(&mut self, quantile: Option<f64>) -> Option<Interval> {
        let index = match quantile {
            None => 0,
            Some(wanted) => 1 + QUANTILES.iter().position(|known| (known - wanted).abs() < 1e-9)?,
        };
        if !self.is_telling(quantile.unwrap_or(0.5)) {
            return None;
        }
        let column = &mut self.columns[index];
        column.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| column.get((share * (column.len() as f64 - 1.0)).round() as usize).copied();
        Some(Interval { low: at(0.025)?, high: at(0.975)? })
    }
}

/// One side's latencies by rising value, each with its block.
struct Side {
    /// Microseconds, block, count.
    latencies: Vec<(u32, u32, u32)>,
    /// Requests in each block.
    blocks: Vec<u64>,
}

impl Side {
    fn new(blocks: &[Slice]) -> Self {
        let mut blocks = blocks.to_vec();
        while blocks.len() > FEWEST_BLOCKS
            && blocks.iter().map(|block| block.latencies.len()).sum::<usize>() > MOST_LATENCIES
        {
            blocks = blocks.chunks(2).filter_map(Slice::union).collect();
        }
        let with_block = |(number, block): (usize, &Slice)| {
            let number = number as u32;
            block.latencies.iter().map(move |(value, count)| (*value, number, *count)).collect::<Vec<_>>()
        };
        let mut latencies: Vec<_> = blocks.iter().enumerate().flat_map(with_block).collect();
        latencies.sort_unstable();
        let requests = |block: &Slice| block.latencies.iter().map(|(_, count)| u64::from(*count)).sum();
        Self { latencies, blocks: blocks.iter().map(requests).collect() }
    }

    fn requests(&self) -> f64 {
        self.blocks.iter().sum::<u64>() as f64
    }

    /// Mean and quantiles, in seconds, of as many blocks as there are, drawn with replacement.
    fn resample(&self, dice: &mut Rng) -> Option<[f64; QUANTILES.len() + 1]> {
        let mut drawn = vec![0_u64; self.blocks.len()];
        for _ in 0..self.blocks.len() {
            drawn[dice.usize(..self.blocks.len())] += 1;
        }
        let total: u64 = self.blocks.iter().zip(&drawn).map(|(requests, times)| requests * times).sum();
        if total == 0 {
            return None;
        }
        let mut statistics = [0.0; QUANTILES.len() + 1];
        let ranks = QUANTILES.map(|quantile| (quantile * total as f64).ceil() as u64);
        let (mut passed, mut next, mut sum) = (0, 0, 0.0);
        for (value, block, count) in &self.latencies {
            let weight = u64::from(*count) * drawn[*block as usize];
            passed += weight;
            sum += f64::from(*value) * weight as f64;
            while next < ranks.len() && passed >= ranks[next] {
                next += 1;
                statistics[next] = f64::from(*value) / 1e6;
            }
        }
        statistics[0] = sum / total as f64 / 1e6;
        Some(statistics)
    }
}
