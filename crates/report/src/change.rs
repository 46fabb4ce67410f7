//! How a metric changed under the fault, in words: "p99 +212 ms (95 % CI 180 to 260)" or "no difference seen".

use squall_model::event::MetricChange;
use squall_model::quantity::{self, Unit};

/// What is said where the interval of the difference holds zero.
pub const NOTHING_SEEN: &str = "no difference seen";

/// What is said where too little was measured for an interval.
pub const NOT_COMPARED: &str = "too little measured to compare";

/// The metric and its change: `p99 +212 ms (95 % CI 180 to 260)`, `p99: no difference seen`.
pub fn describe(change: &MetricChange) -> String {
    let name = quantity::short_name(&change.metric);
    let colon = if change.seen && change.difference.is_some() { "" } else { ":" };
    format!("{name}{colon} {}", amount(change))
}

/// The change alone: `+212 ms (95 % CI 180 to 260)`, `no difference seen (95 % CI −3 to 5 ms)`.
pub fn amount(change: &MetricChange) -> String {
    let interval = interval(change).map_or(String::new(), |interval| format!(" ({interval})"));
    format!("{}{interval}", headline(change))
}

/// The change without its interval: `+212 ms`, `no difference seen`, `too little measured to compare`.
pub fn headline(change: &MetricChange) -> String {
    match change.difference {
        Some(difference) if change.seen => Unit::of(&change.metric).show_difference(difference),
        Some(_) if change.interval.is_some() => NOTHING_SEEN.to_owned(),
        // Without an interval nothing can be said, however far apart the two look.
        _ => NOT_COMPARED.to_owned(),
    }
}

/// The interval: `95 % CI 180 to 260`, in the unit of the difference; with its unit where the headline shows none.
pub fn interval(change: &MetricChange) -> Option<String> {
    let (low, high) = change.interval?;
    let unit = Unit::of(&change.metric);
    let difference = change.difference?;
    let scale = unit.difference_scale(if change.seen { difference } else { low.abs().max(high.abs()) });
    let high = if change.seen { scale.bare(high) } else { scale.show(high) };
    Some(format!("95 % CI {} to {high}", scale.bare(low)))
}

/// Before and under the fault: `82 ms → 294 ms`.
pub fn levels(change: &MetricChange) -> String {
    let unit = Unit::of(&change.metric);
    let shown = |level: Option<f64>| level.map_or_else(|| "–".to_owned(), |level| unit.show(level));
    format!("{} → {}", shown(change.baseline), shown(change.during))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(
        metric: &str,
        difference: Option<f64>,
        interval: Option<(f64, f64)>,
        seen: bool,
    ) -> MetricChange {
        let during = difference.map(|difference| 0.082 + difference);
        let method = "bootstrap".to_owned();
        MetricChange {
            metric: metric.into(),
            baseline: Some(0.082),
            during,
            difference,
            interval,
            seen,
            method,
        }
    }

    #[test]
    fn a_difference_is_told_with_its_interval() {
        let change = change("latency_p99", Some(0.2121), Some((0.180, 0.2602)), true);
        assert_eq!(describe(&change), "p99 +212 ms (95 % CI 180 to 260)");
        assert_eq!(levels(&change), "82 ms → 294 ms");
    }

    #[test]
    fn shares_differ_by_points() {
        let change = change("shop.error_rate", Some(0.1232), Some((0.111, 0.1355)), true);
        assert_eq!(describe(&change), "shop error rate +12.3 points (95 % CI 11.1 to 13.6)");
    }

    #[test]
    fn what_is_not_seen_is_not_claimed() {
        let unseen = change("latency_p99", Some(0.001), Some((-0.0031, 0.0052)), false);
        assert_eq!(describe(&unseen), "p99: no difference seen (95 % CI −3.1 to 5.2 ms)");
        assert_eq!(
            describe(&change("latency_p99", Some(0.001), None, false)),
            "p99: too little measured to compare"
        );
        assert_eq!(
            describe(&change("queue_depth", None, None, false)),
            "queue_depth: too little measured to compare"
        );
    }
}
