//! How much of a parameter a fault may have: `delay: 200ms` at most, `rate: ">= 10mbit"` at least.

use serde_json::Value as Json;
use squall_model::units::{Duration, Frequency, Rate, Share, Size};
use std::fmt;

/// A limit on a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Magnitude {
    /// The parameter, of all faults or of one: `delay`, `network.bandwidth.rate`.
    pub parameter: String,
    bound: Bound,
    limit: Quantity,
    /// The limit as it was written.
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtMost,
    AtLeast,
}

/// A value of a parameter in its base unit. Values of different kinds cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Quantity {
    Time(f64),
    Share(f64),
    Bytes(f64),
    Bits(f64),
    Frequency(f64),
    Plain(f64),
}

impl Quantity {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(number) = text.parse::<f64>() {
            return number.is_finite().then_some(Self::Plain(number));
        }
        if text.ends_with('%') {
            return text.parse::<Share>().ok().map(|share| Self::Share(share.fraction()));
        }
        let time = || text.parse::<Duration>().ok().map(|time| Self::Time(time.as_seconds()));
        let size = || text.parse::<Size>().ok().map(|size| Self::Bytes(size.0 as f64));
        let rate = || text.parse::<Rate>().ok().map(|rate| Self::Bits(rate.bits_per_second as f64));
        let often = || text.parse::<Frequency>().ok().map(|often| Self::Frequency(often.per_second));
        // Clocks may be put back: only how far counts.
        let back = || text.strip_prefix('-').and_then(Self::parse);
        time().or_else(size).or_else(rate).or_else(often).or_else(back)
    }

    /// Two values of one kind. A bare number is a share where the other is one (`0.05`), else nothing but itself.
    fn comparable(self, other: Self) -> Option<(f64, f64)> {
        match (self, other) {
            (Self::Time(a), Self::Time(b))
            | (Self::Share(a) | Self::Plain(a), Self::Share(b) | Self::Plain(b))
            | (Self::Bytes(a), Self::Bytes(b))
            | (Self::Bits(a), Self::Bits(b))
            | (Self::Frequency(a), Self::Frequency(b)) => Some((a, b)),
            _ => None,
        }
    }
}

impl Magnitude {
    /// Understands a limit.
    ///
    /// # Errors
    /// Says what is no limit.
    pub fn parse(parameter: &str, text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (bound, value) = match (text.strip_prefix(">="), text.strip_prefix("<=")) {
            (Some(value), _) => (Bound::AtLeast, value),
            (_, Some(value)) => (Bound::AtMost, value),
            _ => (Bound::AtMost, text),
        };
        let limit = Quantity::parse(value).ok_or_else(|| {
            format!("{text:?} is no limit of a parameter, such as 200ms, 10%, 1GiB, 5 or \">= 10mbit\"")
        })?;
        Ok(Self { parameter: parameter.to_owned(), bound, limit, text: value.trim().to_owned() })
    }

    /// What of a fault's parameters it is about, also within lists and maps of them; nothing where the fault has none such.
    pub(super) fn of<'w>(&self, fault: &str, with: &'w Json) -> Vec<&'w Json> {
        let parameter = match self.parameter.strip_prefix(fault).and_then(|rest| rest.strip_prefix('.')) {
            Some(own) => own,
            None => &self.parameter,
        };
        let mut found = Vec::new();
        within(with, parameter, &mut found);
        found
    }

    /// Whether a value keeps to it; nothing where they cannot be compared.
    pub(super) fn allows(&self, value: &Json) -> Option<bool> {
        let quantity = match value {
            Json::String(text) => Quantity::parse(text)?,
            Json::Number(number) => Quantity::Plain(number.as_f64()?),
            _ => return None,
        };
        let (value, limit) = quantity.comparable(self.limit)?;
        Some(match self.bound {
            Bound::AtMost => value <= limit,
            Bound::AtLeast => value >= limit,
        })
    }
}

/// All values of this name.
fn within<'w>(value: &'w Json, name: &str, found: &mut Vec<&'w Json>) {
    match value {
        Json::Object(map) => {
            for (key, value) in map {
                let is_it = key == name && !value.is_null();
                // What is called as its own part is: `delay: {delay: 5s}`.
                if is_it && value.get(name).is_none() {
                    found.push(value);
                } else {
                    within(value, name, found);
                }
            }
        }
        Json::Array(list) => list.iter().for_each(|value| within(value, name, found)),
        _ => {}
    }
}

impl fmt::Display for Magnitude {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = match self.bound {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        };
        write!(formatter, "{} {bound} {}", self.parameter, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_compared_in_their_units() {
        for (limit, value, allowed) in [
            ("200ms", json!("0.2s"), Some(true)),
            ("200ms", json!("201ms"), Some(false)),
            ("10%", json!("0.1"), Some(true)),
            ("10%", json!(0.2), Some(false)),
            ("0.1", json!("11%"), Some(false)),
            (">= 10mbit", json!("1mbit"), Some(false)),
            (">= 10mbit", json!("10MB/s"), Some(true)),
            ("<= 1GiB", json!("512MiB"), Some(true)),
            ("1h", json!("-2h"), Some(false)),
            ("5", json!(6), Some(false)),
            ("30/m", json!("1/s"), Some(false)),
            ("200ms", json!("50%"), None),
            ("200ms", json!([1]), None),
        ] {
            assert_eq!(
                Magnitude::parse("x", limit).unwrap().allows(&value),
                allowed,
                "{value} under {limit}"
            );
        }
        assert!(Magnitude::parse("x", "a lot").is_err() && Magnitude::parse("x", "").is_err());
    }

    #[test]
    fn a_limit_may_be_for_one_fault() {
        let with = json!({"rate": "1mbit", "other": null});
        let limit = Magnitude::parse("network.bandwidth.rate", ">= 10mbit").unwrap();
        assert!(limit.of("network.bandwidth", &with).len() == 1);
        assert!(limit.of("memory.leak", &with).is_empty());
        assert!(Magnitude::parse("rate", "1mbit").unwrap().of("memory.leak", &with).len() == 1);
        assert!(Magnitude::parse("other", "1").unwrap().of("memory.leak", &with).is_empty());
        assert_eq!(limit.to_string(), "network.bandwidth.rate at least 10mbit");
        let deep = json!({"routes": [{"delay": {"delay": "5s"}}, {"delay": {"delay": "1s"}}]});
        let found = Magnitude::parse("delay", "200ms").unwrap().of("istio.faults", &deep).len();
        assert_eq!(found, 2);
    }
}
