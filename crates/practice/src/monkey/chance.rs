//! How likely a strike is on one day, so that the time between strikes is what was asked for.
//!
//! After a strike a group is left alone until `minimum` days have passed (the next strike comes on the `minimum`-th day at
//! the earliest), then each day is rolled with the same chance `p`. The gap between strikes is therefore
//! `minimum - 1 + G` with `G` geometric, and its mean `minimum - 1 + 1/p`. For a mean of `mean` days:
//!
//! ```text
//! p = 1 / (mean - minimum + 1)
//! ```
//!
//! Netflix's Chaos Monkey uses `1/mean` whatever the minimum, so that with a minimum above 1 the mean comes out too long.
//! Where a file gives a `probability` too, the smaller of both counts: neither limit is broken.
//!
//! Days are those on which the monkey may strike at all: work days on which the schedule fires and not all is frozen.

use super::config::Kill;

/// The chance of one day, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance {
    /// The chance of a strike on a day on which the group is not left alone.
    pub a_day: f64,
    /// The least number of days from one strike to the next.
    pub minimum: u32,
}

impl Chance {
    /// What a file asks for.
    pub fn of(kill: &Kill) -> Self {
        let minimum = kill.min_days.max(1);
        let by_mean = kill.mean_days.map(|mean| 1.0 / (mean - f64::from(minimum) + 1.0));
        let a_day = match (by_mean, kill.probability) {
            (Some(mean), Some(probability)) => mean.min(probability),
            (Some(chance), None) | (None, Some(chance)) => chance,
            (None, None) => 0.0,
        };
        Self { a_day: a_day.clamp(0.0, 1.0), minimum }
    }

    /// The mean number of days from one strike to the next; infinite where there is none.
    pub fn mean(&self) -> f64 {
        f64::from(self.minimum) - 1.0 + 1.0 / self.a_day
    }

    /// The probability that the gap between two strikes is so many days or more.
    pub fn of_gap_of_at_least(&self, days: u32) -> f64 {
        let more = days.saturating_sub(self.minimum);
        (1.0 - self.a_day).powi(i32::try_from(more).unwrap_or(i32::MAX))
    }

    /// How often a group is struck, in words.
    pub fn words(&self) -> String {
        if self.a_day <= 0.0 {
            return "no strike, ever".to_owned();
        }
        let days =
            |count: u32| if count == 1 { "1 work day".to_owned() } else { format!("{count} work days") };
        format!("one strike in {:.1} work days on average, {} at least", self.mean(), days(self.minimum))
    }

    /// The probability that the gap between two strikes is exactly so many days.
    pub fn of_gap(&self, days: u32) -> f64 {
        match days.checked_sub(self.minimum) {
            Some(more) => self.a_day * (1.0 - self.a_day).powi(i32::try_from(more).unwrap_or(i32::MAX)),
            None => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chance(mean_days: Option<f64>, min_days: u32, probability: Option<f64>) -> Chance {
        Chance::of(&Kill { mean_days, min_days, probability, ..Kill::default() })
    }

    #[test]
    fn the_mean_is_what_was_asked_for_with_any_minimum() {
        for (mean, minimum) in [(1.0, 1), (2.0, 0), (2.0, 1), (2.0, 2), (5.0, 3), (7.5, 4), (20.0, 10)] {
            let chance = chance(Some(mean), minimum, None);
            assert!((chance.mean() - mean).abs() < 1e-9, "{mean} {minimum}");
            // The distribution says the same as the formula.
            let sum: f64 = (1..20_000).map(|days| f64::from(days) * chance.of_gap(days)).sum();
            assert!((sum - mean).abs() < 1e-6, "{mean} {minimum}: {sum}");
            let tail: f64 = (9..20_000).map(|days| chance.of_gap(days)).sum();
            assert!((tail - chance.of_gap_of_at_least(9)).abs() < 1e-6, "{mean} {minimum}: {tail}");
            assert!((chance.of_gap_of_at_least(1) - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_chance_of_nothing_is_called_so() {
        assert_eq!(chance(None, 1, Some(0.0)).words(), "no strike, ever");
        let words = chance(Some(2.0), 1, None).words();
        assert_eq!(words, "one strike in 2.0 work days on average, 1 work day at least");
    }

    #[test]
    fn of_two_limits_the_smaller_counts() {
        for (mean, probability, a_day) in [
            (Some(2.0), Some(0.1), 0.1),
            (Some(20.0), Some(0.1), 0.05),
            (None, Some(0.1), 0.1),
            (None, None, 0.0),
        ] {
            assert!((chance(mean, 1, probability).a_day - a_day).abs() < 1e-12, "{mean:?} {probability:?}");
        }
    }
}
