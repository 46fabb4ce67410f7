//! One objective: a metric and the value that it may not leave.

use squall_model::quantity::Unit;
use squall_model::units::{Duration, Share};

/// The side of the limit on which the metric must stay. The limit itself is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Not above it.
    AtMost,
    /// Not below it.
    AtLeast,
}

/// What objectives may speak of: the metric, its bound and its unit.
pub const METRICS: [(&str, Bound, Unit); 7] = [
    ("error_rate", Bound::AtMost, Unit::Share),
    ("availability", Bound::AtLeast, Unit::Share),
    ("latency_p50", Bound::AtMost, Unit::Seconds),
    ("latency_p90", Bound::AtMost, Unit::Seconds),
    ("latency_p95", Bound::AtMost, Unit::Seconds),
    ("latency_p99", Bound::AtMost, Unit::Seconds),
    ("latency_p999", Bound::AtMost, Unit::Seconds),
];

/// An objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// The metric: `error_rate`.
    pub metric: &'static str,
    /// On which side of the limit it must stay.
    pub bound: Bound,
    /// In base units: seconds, shares of one.
    pub limit: f64,
    unit: Unit,
}

impl Objective {
    /// An objective for one of [`METRICS`]; none for any other name.
    pub fn new(metric: &str, limit: f64) -> Option<Self> {
        let known = METRICS.iter().find(|(name, _, _)| *name == metric);
        known.map(|(metric, bound, unit)| Self { metric, bound: *bound, limit, unit: *unit })
    }

    /// Whether a measured value keeps it.
    pub fn holds(&self, value: f64) -> bool {
        match self.bound {
            Bound::AtMost => value <= self.limit,
            Bound::AtLeast => value >= self.limit,
        }
    }

    /// The worst of some values.
    pub(super) fn worst(&self, values: impl Iterator<Item = f64>) -> Option<f64> {
        match self.bound {
            Bound::AtMost => values.reduce(f64::max),
            Bound::AtLeast => values.reduce(f64::min),
        }
    }

    /// What is asked, in words: `at most 500ms`.
    pub fn asked(&self) -> String {
        let words = match self.bound {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        };
        format!("{words} {}", self.show(self.limit))
    }

    /// A value with its unit and enough digits to tell it from a limit near it: `99.9871%`, `500.41ms`.
    pub fn show(&self, value: f64) -> String {
        match self.unit {
            Unit::Seconds => {
                // What is short is shown to the microsecond, the rest to ten of them.
                let grain = if value < 0.01 { 1.0 } else { 10.0 };
                let microseconds = (value.clamp(0.0, 1e9) * 1e6 / grain).round() * grain;
                Duration(std::time::Duration::from_micros(microseconds as u64)).to_string()
            }
            _ => Share::of((value * 1e6).round() / 1e6).to_string(),
        }
    }
}

/// The quantile that a metric's name asks for: `latency_p99` is 0.99.
pub(super) fn quantile_of(metric: &str) -> Option<f64> {
    let digits = metric.strip_prefix("latency_p")?;
    format!("0.{digits}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_is_allowed() {
        let errors = Objective::new("error_rate", 0.01).unwrap();
        assert!(errors.holds(0.01) && !errors.holds(0.010_001));
        let availability = Objective::new("availability", 0.999).unwrap();
        assert!(availability.holds(0.999) && !availability.holds(0.998_999));
        assert_eq!(Objective::new("throughput", 1.0), None);
    }

    #[test]
    fn a_value_that_misses_is_not_shown_as_the_limit() {
        let availability = Objective::new("availability", 0.9999).unwrap();
        assert_eq!(
            (availability.asked().as_str(), availability.show(0.99987).as_str()),
            ("at least 99.99%", "99.987%")
        );
        let latency = Objective::new("latency_p99", 0.5).unwrap();
        assert_eq!(
            (latency.asked().as_str(), latency.show(0.500_41).as_str()),
            ("at most 500ms", "500.41ms")
        );
        assert_eq!(Objective::new("latency_p99", 1e-6).unwrap().asked(), "at most 1us");
    }

    #[test]
    fn names_of_quantiles_are_decimals() {
        assert_eq!(quantile_of("latency_p99"), Some(0.99));
        assert_eq!(quantile_of("latency_p999"), Some(0.999));
        assert_eq!(quantile_of("error_rate"), None);
    }
}
