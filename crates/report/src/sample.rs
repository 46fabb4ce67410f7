//! Fewer points that tell the same: what a reader must not miss is the extreme of each stretch of time.

use crate::story::Point;

/// Readings further apart than this are not joined: nothing is known of the time between. Metrics are read every
/// second.
const LONGEST_STEP: f64 = 5.0;

/// Whether smaller is worse for a metric of this name.
pub(crate) fn less_is_worse(metric: &str) -> bool {
    let last = metric.rsplit_once('.').map_or(metric, |(_, last)| last);
    matches!(last, "throughput" | "availability" | "success_rate")
}

/// The worst reading in each of `count` equal stretches of time; none where it could not be read. Stretches shorter
/// than the time between two readings take the reading before.
pub(crate) fn worst(
    points: &[Point],
    range: (f64, f64),
    count: usize,
    less_is_worse: bool,
) -> Vec<Option<f64>> {
    let mut worst: Vec<Option<Option<f64>>> = vec![None; count];
    for point in points {
        let Some(bucket) = bucket_of(point.elapsed, range, count) else { continue };
        let known = worst[bucket].get_or_insert(None);
        *known = match (*known, point.value) {
            (Some(known), Some(value)) => {
                Some(if less_is_worse { known.min(value) } else { known.max(value) })
            }
            (known, value) => known.or(value),
        };
    }
    let last = worst.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let mut before = None;
    for stretch in &mut worst[..last] {
        before = *stretch.get_or_insert(before);
    }
    worst.into_iter().map(Option::flatten).collect()
}

/// The stretch that a moment lies in.
pub(crate) fn bucket_of(elapsed: f64, (from, to): (f64, f64), count: usize) -> Option<usize> {
    let inside = count > 0 && to > from && (from..=to).contains(&elapsed);
    inside.then(|| (((elapsed - from) / (to - from) * count as f64) as usize).min(count - 1))
}

/// Unbroken pieces of a course, each thinned to the first, least, greatest and last reading of each of `count`
/// stretches of time. Where a reading failed, or is long in coming, a piece ends.
pub(crate) fn pieces(points: &[Point], range: (f64, f64), count: usize) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut open = false;
    let mut before = f64::NEG_INFINITY;
    for point in points {
        let Some(value) = point.value else {
            open = false;
            continue;
        };
        open &= point.elapsed - before <= LONGEST_STEP;
        before = point.elapsed;
        match pieces.last_mut().filter(|_| open) {
            Some(piece) => piece.push((point.elapsed, value)),
            None => pieces.push(vec![(point.elapsed, value)]),
        }
        open = true;
    }
    pieces.into_iter().map(|piece| thinned(piece, range, count)).collect()
}

/// The stretches of time without a reading, between readings that are there or were tried.
pub(crate) fn gaps(points: &[Point]) -> Vec<(f64, f64)> {
    let mut gaps: Vec<(f64, f64)> = Vec::new();
    let mut since: Option<f64> = None;
    let mut before: Option<f64> = None;
    for point in points {
        match point.value {
            Some(_) => {
                let began = since.take().or(before.filter(|before| point.elapsed - before > LONGEST_STEP));
                gaps.extend(began.map(|began| (began, point.elapsed)));
            }
            None if since.is_none() => since = Some(before.unwrap_or(point.elapsed)),
            None => {}
        }
        before = Some(point.elapsed);
    }
    gaps.extend(since.zip(before));
    gaps
}

fn thinned(piece: Vec<(f64, f64)>, range: (f64, f64), count: usize) -> Vec<(f64, f64)> {
    if piece.len() <= count * 2 {
        return piece;
    }
    let mut kept = Vec::new();
    for stretch in
        piece.chunk_by(|one, other| bucket_of(one.0, range, count) == bucket_of(other.0, range, count))
    {
        let least = (0..stretch.len()).min_by(|one, other| stretch[*one].1.total_cmp(&stretch[*other].1));
        let greatest = (0..stretch.len()).max_by(|one, other| stretch[*one].1.total_cmp(&stretch[*other].1));
        let mut chosen: Vec<usize> =
            [Some(0), least, greatest, Some(stretch.len() - 1)].into_iter().flatten().collect();
        chosen.sort_unstable();
        chosen.dedup();
        kept.extend(chosen.into_iter().map(|index| stretch[index]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(values: &[Option<f64>]) -> Vec<Point> {
        values
            .iter()
            .enumerate()
            .map(|(index, value)| Point { elapsed: index as f64, value: *value })
            .collect()
    }

    #[test]
    fn the_worst_of_each_stretch_is_kept() {
        let points = course(&[Some(1.0), Some(9.0), Some(2.0), Some(3.0), None, None, Some(4.0), None]);
        assert_eq!(worst(&points, (0.0, 8.0), 4, false), [Some(9.0), Some(3.0), None, Some(4.0)]);
        assert_eq!(worst(&points, (0.0, 8.0), 4, true), [Some(1.0), Some(2.0), None, Some(4.0)]);
    }

    #[test]
    fn stretches_between_two_readings_are_no_gaps() {
        let points = course(&[Some(1.0), Some(2.0)]);
        assert_eq!(worst(&points, (0.0, 2.0), 4, false), [Some(1.0), Some(1.0), Some(2.0), None]);
    }

    #[test]
    fn thinning_keeps_peaks_and_ends() {
        let values: Vec<_> = (0..10_000).map(|index| Some(if index == 7_777 { 99.0 } else { 1.0 })).collect();
        let thin = pieces(&course(&values), (0.0, 10_000.0), 100);
        assert_eq!(thin.len(), 1);
        assert!(thin[0].len() <= 400, "{}", thin[0].len());
        assert!(thin[0].contains(&(7_777.0, 99.0)));
        assert_eq!((thin[0][0].0, thin[0].last().unwrap().0), (0.0, 9_999.0));
    }

    #[test]
    fn failed_readings_break_the_course() {
        let points = course(&[None, Some(1.0), None, None, Some(2.0), Some(3.0), None]);
        assert_eq!(pieces(&points, (0.0, 7.0), 100), [vec![(1.0, 1.0)], vec![(4.0, 2.0), (5.0, 3.0)]]);
        assert_eq!(gaps(&points), [(0.0, 1.0), (1.0, 4.0), (5.0, 6.0)]);
    }

    #[test]
    fn silence_breaks_the_course_too() {
        let late = [Point { elapsed: 1.0, value: Some(1.0) }, Point { elapsed: 60.0, value: Some(2.0) }];
        assert_eq!(pieces(&late, (0.0, 60.0), 100).len(), 2);
        assert_eq!(gaps(&late), [(1.0, 60.0)]);
    }
}
