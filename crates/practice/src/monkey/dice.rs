//! Chance that can be repeated: what is rolled follows from the seed, the group, the day and the question, and from
//! nothing else, so that another group, another day or another order changes nothing.

use jiff::civil::Date;

/// What is asked of chance; each question has rolls of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question {
    /// Whether there is a strike.
    Whether = 1,
    /// When.
    When = 2,
    /// Whom.
    Whom = 3,
}

/// The dice of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of a group, by its name.
    pub(super) fn of(seed: u64, group: &str) -> Self {
        Self::numbered(seed, fnv(group))
    }

    /// The dice of a group, by a number.
    pub(super) fn numbered(seed: u64, group: u64) -> Self {
        Self(mix(mix(seed) ^ group))
    }

    /// Uniform in `[0, 1)`, for a day by its number and a question.
    pub(super) fn roll(self, day: u64, question: Question) -> f64 {
        self.answer(Asked::of(day, question))
    }

    /// One of `count`, for a day and a question; 0 where there is none.
    pub(super) fn pick(self, day: u64, question: Question, count: usize) -> usize {
        self.choose(Asked::of(day, question), count)
    }

    /// The same as [`Self::roll`], for what was asked before of other dice.
    pub(super) fn answer(self, asked: Asked) -> f64 {
        (mix(self.0 ^ asked.0) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The same as [`Self::pick`].
    pub(super) fn choose(self, asked: Asked, count: usize) -> usize {
        let at = (self.answer(asked) * count as f64) as usize;
        at.min(count.saturating_sub(1))
    }
}

/// A question about a day, to be asked of many dice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked(u64);

impl Asked {
    /// This question about a day, by its number.
    pub(super) fn of(day: u64, question: Question) -> Self {
        Self(mix(day.wrapping_mul(4) + question as u64))
    }
}

/// Days since 1 January of the year 0, to tell days apart.
pub(super) fn number_of(date: Date) -> u64 {
    let days = date.since(Date::constant(0, 1, 1)).map_or(0, |span| span.get_days());
    u64::from(days.unsigned_abs())
}

/// The output function of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// FNV-1a, to make a number of a name.
pub(super) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn rolls_are_uniform_and_independent() {
        // Kolmogorov and Smirnov: with ten thousand rolls the greatest distance stays below 1.95/√n in 999 of 1000 cases.
        for question in [Question::Whether, Question::When, Question::Whom] {
            for by_day in [false, true] {
                let roll = |number: u64| {
                    let (group, day) = if by_day { (1, number) } else { (number, 739_000) };
                    Dice::numbered(7, group).roll(day, question)
                };
                let mut rolls: Vec<f64> = (0..10_000).map(roll).collect();
                rolls.sort_by(f64::total_cmp);
                let distance = rolls.iter().enumerate().map(|(at, roll)| (roll - at as f64 / 10_000.0).abs());
                assert!(distance.fold(0.0, f64::max) < 1.95 / 100.0, "{question:?} {by_day}");
            }
        }
        // What one question answers says nothing about another.
        let pairs = (0..10_000).map(|day| {
            let dice = Dice::of(7, "shop");
            (dice.roll(day, Question::Whether) - 0.5) * (dice.roll(day, Question::When) - 0.5)
        });
        let correlation = pairs.sum::<f64>() / 10_000.0 * 12.0;
        assert!(correlation.abs() < 0.04, "{correlation}");
    }

    #[test]
    fn days_are_counted() {
        assert_eq!(number_of(date(2026, 11, 28)) - number_of(date(2026, 11, 27)), 1);
        assert_eq!(number_of(date(2027, 1, 1)) - number_of(date(2026, 1, 1)), 365);
        assert_eq!(Dice::of(1, "a").pick(5, Question::Whom, 0), 0);
    }
}
