//! Chance that comes in runs: what `netem` must be told so that a share of packets is struck and not some other.
//!
//! With a correlation `r` netem does not draw each number by itself: the next is `(1 - r) × random + r × last`, and a packet
//! is struck where its number is below the share. Such means lie closer to the middle than their parts, so a share of
//! 10 % would strike 1.7 % of packets at a correlation of 25 %, and 0.1 % at 50 %. Here the
//! bound is found below which the asked share of *these* numbers lies.
//!
//! Source: `get_crandom` in `net/sched/sch_netem.c`.

/// How finely the numbers between 0 and 1 are told apart.
const CELLS: usize = 2048;
/// Below this much of a difference between two rounds nothing changes any more.
const STILL: f64 = 1e-9;
/// As many rounds as are computed at most; of a higher correlation nobody sees the end of a run.
const ROUNDS: usize = 2000;

/// The bound below which a share of netem's numbers lies, where each resembles the one before by `correlation`.
pub(super) fn bound(share: f64, correlation: f64) -> f64 {
    // All the same for ever: the first number decides, and that is drawn alone.
    if correlation <= 0.0 || correlation >= 1.0 || share <= 0.0 || share >= 1.0 {
        return share;
    }
    let below = distribution(correlation);
    let cell = below.partition_point(|part| *part < share).clamp(1, CELLS);
    let (lower, upper) = (below[cell - 1], below[cell]);
    let within = if upper > lower { (share - lower) / (upper - lower) } else { 1.0 };
    ((cell - 1) as f64 + within) / CELLS as f64
}

/// The share of numbers below each border of cells, once the first has been forgotten.
fn distribution(correlation: f64) -> Vec<f64> {
    let mut below: Vec<f64> = (0..=CELLS).map(|border| border as f64 / CELLS as f64).collect();
    for _ in 0..ROUNDS {
        let next = one_more(&below, correlation);
        let change = next.iter().zip(&below).map(|(new, old)| (new - old).abs()).fold(0.0, f64::max);
        below = next;
        if change < STILL {
            break;
        }
    }
    below
}

/// The distribution of `(1 - r) × random + r × last`, from that of `last`: at `x` the mean of the old one between
/// `(x - (1 - r)) / r` and `x / r`.
fn one_more(below: &[f64], correlation: f64) -> Vec<f64> {
    let mut areas = vec![0.0; CELLS + 1];
    for cell in 0..CELLS {
        areas[cell + 1] = areas[cell] + f64::midpoint(below[cell], below[cell + 1]) / CELLS as f64;
    }
    // The area below the old distribution up to a place, which is 0 before 0 and 1 after 1.
    let area = |place: f64| {
        if place <= 0.0 {
            return 0.0;
        }
        if place >= 1.0 {
            return areas[CELLS] + place - 1.0;
        }
        let cell = (place * CELLS as f64) as usize;
        let within = place - cell as f64 / CELLS as f64;
        let slope = (below[cell + 1] - below[cell]) * CELLS as f64;
        areas[cell] + within * (below[cell] + within * slope / 2.0)
    };
    let fresh = 1.0 - correlation;
    let mean = |x: f64| (area(x / correlation) - area((x - fresh) / correlation)) * correlation / fresh;
    (0..=CELLS).map(|border| mean(border as f64 / CELLS as f64).clamp(0.0, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of numbers below a bound, drawn as the kernel draws them, with the kernel's own rounding.
    fn drawn(bound: f64, correlation: f64) -> f64 {
        const COUNT: u32 = 400_000;
        let rho = (correlation * f64::from(u32::MAX)).round() as u64 + 1;
        let bound = (bound * f64::from(u32::MAX)).round() as u64;
        let (mut state, mut last, mut struck) = (0x2545_f491_4f6c_dd1d_u64, 1 << 31, 0);
        for _ in 0..COUNT {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            last = ((state >> 32) * ((1 << 32) - rho) + last * rho) >> 32;
            struck += u32::from(bound >= last);
        }
        f64::from(struck) / f64::from(COUNT)
    }

    #[test]
    fn as_many_are_struck_as_was_asked() {
        for correlation in [0.01, 0.25, 0.5, 0.75, 0.9] {
            for share in [0.01, 0.1, 0.4, 0.5, 0.95] {
                let struck = drawn(bound(share, correlation), correlation);
                println!("{share} at {correlation}: {struck}, and {} without", drawn(share, correlation));
                // Runs make the count spread more than independent draws would.
                let runs = (1.0 + correlation) / (1.0 - correlation);
                let five = 5.0 * (share * (1.0 - share) * runs / 400_000.0).sqrt();
                assert!((struck - share).abs() < five + 0.001, "{share} at {correlation}: {struck}");
            }
        }
    }

    #[test]
    fn what_needs_no_bound_has_none() {
        for (share, correlation) in [(0.1, 0.0), (0.1, 1.0), (0.0, 0.5), (1.0, 0.5)] {
            assert!((bound(share, correlation) - share).abs() < f64::EPSILON, "{share} {correlation}");
        }
    }
}
