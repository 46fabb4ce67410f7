//! How much of a fault: a quantity of whatever kind, and the values between two of them.

use crate::node::Content;
use crate::units::{Duration, Frequency, Rate, Share, Size};
use std::fmt;
use std::str::FromStr;

/// The kinds of magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Integer,
    Number,
    Duration,
    Share,
    Size,
    Rate,
    Frequency,
}

impl Unit {
    /// The kind that two values share; `0.5` beside `10%` is a share too.
    fn common(first: &Magnitude, last: &Magnitude) -> Option<Self> {
        let is_bare = |quantity: &Magnitude| matches!(quantity.unit, Self::Integer | Self::Number);
        let could_be_share =
            |quantity: &Magnitude| is_bare(quantity) && (0.0..=1.0).contains(&quantity.number);
        match (first.unit, last.unit) {
            (first, last) if first == last => Some(first),
            _ if is_bare(first) && is_bare(last) => Some(Self::Number),
            (Self::Share, _) if could_be_share(last) => Some(Self::Share),
            (_, Self::Share) if could_be_share(first) => Some(Self::Share),
            _ => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Integer | Self::Number => "a number",
            Self::Duration => "a duration",
            Self::Share => "a share",
            Self::Size => "a size",
            Self::Rate => "a data rate",
            Self::Frequency => "a frequency",
        }
    }
}

/// A number in the base unit of its kind: nanoseconds, fractions, bytes, bits a second, times a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Magnitude {
    unit: Unit,
    number: f64,
}

impl Magnitude {
    /// As it is typed on a command line; none where it is no quantity.
    pub fn typed(text: &str) -> Option<Self> {
        let text = text.trim();
        let number = || text.parse().map(Content::Integer).or_else(|_| text.parse().map(Content::Float));
        Self::of(&number().unwrap_or_else(|_| Content::Text(text.to_owned())))
    }

    /// Both as the kind that they share; none where they share none.
    pub fn alike(first: Self, last: Self) -> Option<(Self, Self)> {
        let unit = Unit::common(&first, &last)?;
        Some((Self { unit, ..first }, Self { unit, ..last }))
    }

    /// What it is: `a duration`.
    pub fn words(&self) -> &'static str {
        self.unit.words()
    }

    /// A value of a file; none where it is no quantity.
    pub fn of(content: &Content) -> Option<Self> {
        let new = |unit, number| Some(Self { unit, number });
        match content {
            Content::Integer(number) => new(Unit::Integer, *number as f64),
            Content::Float(number) => new(Unit::Number, *number),
            Content::Text(text) => Duration::from_str(text)
                .map(|duration| (Unit::Duration, duration.0.as_nanos() as f64))
                .or_else(|_| Share::from_str(text).map(|share| (Unit::Share, share.fraction())))
                .or_else(|_| Size::from_str(text).map(|size| (Unit::Size, size.0 as f64)))
                .or_else(|_| Rate::from_str(text).map(|rate| (Unit::Rate, rate.bits_per_second as f64)))
                .or_else(|_| Frequency::from_str(text).map(|often| (Unit::Frequency, often.per_second)))
                .ok()
                .and_then(|(unit, number)| new(unit, number)),
            _ => None,
        }
    }

    /// The value that lies `part` of the way towards another.
    #[must_use]
    pub fn towards(&self, other: &Self, part: f64) -> Self {
        let number = self.number + (other.number - self.number) * part;
        let is_whole = matches!(self.unit, Unit::Integer | Unit::Duration | Unit::Size | Unit::Rate);
        Self { unit: self.unit, number: if is_whole { number.round() } else { number } }
    }

    /// How far of the way between two others it lies; none where it is of another kind.
    pub fn part_between(&self, from: &Self, to: &Self) -> Option<f64> {
        let (value, _) = Self::alike(*self, *to)?;
        let way = to.number - from.number;
        (value.unit == to.unit && way != 0.0).then(|| (value.number - from.number) / way)
    }

    /// The value as it stands in a file.
    pub fn content(&self) -> Content {
        match self.unit {
            Unit::Integer => Content::Integer(self.number as i64),
            Unit::Number => Content::Float(self.number),
            // Sizes and rates are printed rounded; here every byte and bit counts.
            Unit::Size => Content::Text(format!("{}B", self.number)),
            Unit::Rate => Content::Text(format!("{}bit", self.number)),
            Unit::Frequency => Content::Text(format!("{}/s", self.number)),
            Unit::Duration | Unit::Share => Content::Text(self.to_string()),
        }
    }
}

impl fmt::Display for Magnitude {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Integer | Unit::Number => write!(formatter, "{}", self.number),
            Unit::Duration => {
                write!(formatter, "{}", Duration(std::time::Duration::from_nanos(self.number as u64)))
            }
            Unit::Share => write!(formatter, "{}", Share::of(self.number)),
            Unit::Size => write!(formatter, "{}", Size(self.number as u64)),
            Unit::Rate => write!(formatter, "{}", Rate { bits_per_second: self.number as u64 }),
            Unit::Frequency => write!(formatter, "{}", Frequency { per_second: self.number }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_what_a_file_would_say() {
        for (text, words) in [
            ("100ms", "a duration"),
            ("5%", "a share"),
            ("64MiB", "a size"),
            ("10mbit", "a data rate"),
            ("20/s", "a frequency"),
            ("3", "a number"),
            ("0.5", "a number"),
        ] {
            let typed = Magnitude::typed(text).unwrap();
            assert_eq!((typed.words(), typed.to_string().as_str()), (words, text));
        }
        assert_eq!(Magnitude::typed("much"), None);
    }

    #[test]
    fn halfway_is_of_the_same_kind() {
        let both =
            |from, to| Magnitude::alike(Magnitude::typed(from).unwrap(), Magnitude::typed(to).unwrap());
        let (from, to) = both("10ms", "200ms").unwrap();
        assert_eq!(from.towards(&to, 0.5).to_string(), "105ms");
        let (from, to) = both("0", "10%").unwrap();
        assert_eq!(from.towards(&to, 0.5).content(), Content::Text("5%".into()));
        assert!(both("10ms", "1MiB").is_none());
        let part = |text| Magnitude::typed(text).unwrap().part_between(&from, &to);
        assert_eq!((part("5%"), part("1MiB")), (Some(0.5), None));
    }
}
