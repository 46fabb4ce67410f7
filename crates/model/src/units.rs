//! Units of measure as people write them: `30s`, `5%`, `64KiB`, `10mbit`, `200/s`.
//!
//! Every quantity is read from text with its unit and printed back in the shortest exact form, so a file, a plan and
//! a journal show the same words. A bare number is refused where a unit is needed: `delay: 100` could be anything.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Why a text is not the quantity asked for; says what was found and gives an example of what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {wanted}, such as {example}")]
pub struct UnitError {
    /// The text as it was given.
    pub found: String,
    /// What was wanted, with its article: `a duration`.
    pub wanted: &'static str,
    /// Texts that would do.
    pub example: &'static str,
}

/// Splits `12.5ms` into the number and the unit; `None` where the number is missing, negative or not finite.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    number.is_finite().then_some((number, text[end..].trim()))
}

/// A number without needless digits: `1.5`, `30`.
fn plain(number: f64) -> String {
    let rounded = (number * 1e6).round() / 1e6;
    format!("{rounded}")
}

/// Writes what every quantity shares: text in, text out, and a schema that says so.
macro_rules! textual {
    ($name:ident, $pattern:literal, $description:literal $(, $numbers:tt)?) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                // The short form where it says all, the long one where it would lose something.
                let short = self.to_string();
                let text = if short.parse() == Ok(*self) { short } else { self.exact() };
                serializer.serialize_str(&text)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(QuantityVisitor(std::marker::PhantomData))
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                // A `${variable}` may stand wherever a quantity does.
                let text = schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^(", $pattern, r"|.*\$\{.+\}.*)$"),
                    "description": $description
                });
                $(let text = or_number(text, &serde_json::json!($numbers));)?
                text
            }
        }
    };
}

/// The schema of a quantity that may also be a number without a unit, within limits.
fn or_number(mut text: schemars::Schema, limits: &serde_json::Value) -> schemars::Schema {
    text.insert("type".to_owned(), serde_json::json!(["string", "number"]));
    for (word, limit) in limits.as_object().into_iter().flatten() {
        text.insert(word.clone(), limit.clone());
    }
    text
}

/// Accepts text, and numbers by their text, so that each quantity's own parser decides whether a unit is needed.
struct QuantityVisitor<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = UnitError>> serde::de::Visitor<'_> for QuantityVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        // An empty text tells what this quantity is and how it looks.
        match T::from_str("") {
            Err(error) => write!(formatter, "{}, such as {}", error.wanted, error.example),
            Ok(_) => formatter.write_str("a quantity"),
        }
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

/// A length of time, not negative: `250us`, `100ms`, `30s`, `5m`, `2h`, `1h30m`. Kept in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// A duration of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }
    /// A duration of whole milliseconds.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }
    fn exact(self) -> String {
        format!("{}ns", self.0.as_nanos())
    }
    /// The duration in seconds.
    pub fn as_seconds(self) -> f64 {
        self.0.as_secs_f64()
    }
}

/// Units of time, largest first, in nanoseconds.
const TIME_UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError {
            found: text.into(),
            wanted: "a duration",
            example: "250us, 100ms, 30s, 5m or 1h30m",
        };
        let mut rest = text.trim();
        let mut total = 0_u64;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let (number, tail) = number_and_unit(rest).ok_or_else(wrong)?;
            let end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
            let unit = tail[..end].replace(['µ', 'μ'], "u");
            let (_, nanoseconds) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let part = number * *nanoseconds as f64;
            // More than a century is a slip of the pen, and would overflow sums later on.
            if part > 3.2e18 {
                return Err(wrong());
            }
            total = total.checked_add(part.round() as u64).ok_or_else(wrong)?;
            rest = tail[end..].trim_start();
        }
        Ok(Self(std::time::Duration::from_nanos(total)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        if total == 0 {
            return formatter.write_str("0s");
        }
        // Below a minute one unit with a fraction reads best (`1.5s`); above, whole units do (`1h30m`).
        if total < 60_000_000_000 {
            let (unit, size) =
                TIME_UNITS.iter().skip(3).find(|(_, size)| total >= *size).unwrap_or(&("ns", 1));
            return write!(formatter, "{}{unit}", plain(total as f64 / *size as f64));
        }
        let mut rest = total;
        for (unit, size) in TIME_UNITS {
            if rest >= size {
                write!(formatter, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}
textual!(
    Duration,
    r"([0-9.]+ ?(d|h|m|s|ms|us|µs|ns) ?)+",
    "A duration with its unit: 250us, 100ms, 30s, 5m, 1h30m"
);

/// A share of a whole, between 0 and 1: `5%` or `0.05`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Share(f64);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(1.0);

    /// A share from a fraction, held within 0 and 1.
    pub fn of(fraction: f64) -> Self {
        Self(if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) })
    }
    fn exact(self) -> String {
        self.0.to_string()
    }
    /// The share as a fraction between 0 and 1.
    pub fn fraction(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong =
            || UnitError { found: text.into(), wanted: "a share between 0 and 1", example: "5% or 0.05" };
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let fraction = match unit {
            "%" => number / 100.0,
            "" => number,
            _ => return Err(wrong()),
        };
        (0.0..=1.0).contains(&fraction).then_some(Self(fraction)).ok_or_else(wrong)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", plain(self.0 * 100.0))
    }
}
textual!(Share, r"[0-9.]+ ?%|[01](\.[0-9]+)?", "A share of a whole: 5% or 0.05", {"minimum": 0, "maximum": 1});

/// An amount of bytes: `64KiB`, `512MiB`, `10MB`, `1GiB`, `100B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);

impl Size {
    fn exact(self) -> String {
        format!("{}B", self.0)
    }
}

/// Units of size in bytes; the binary ones first, so that they are preferred when printing.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// The bytes in one of a unit of size, by its name in any of the usual spellings.
fn bytes_in(unit: &str) -> Option<u64> {
    SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, size)| *size)
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError { found: text.into(), wanted: "a size", example: "64KiB, 512MiB or 10MB" };
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let bytes = number * bytes_in(unit).ok_or_else(wrong)? as f64;
        (bytes <= 9e18).then_some(Self(bytes.round() as u64)).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A round number in its own unit (`10MB`), else one decimal of the largest binary one (`23.5GiB`).
        let is_round = |unit: u64| self.0.is_multiple_of(unit) && self.0 / unit < 10_000;
        let round = SIZE_UNITS.iter().find(|(_, size)| self.0 >= *size && is_round(*size));
        let near = SIZE_UNITS.iter().take(4).find(|(_, size)| self.0 >= *size);
        match (round, near) {
            (Some((unit, size)), _) if *unit != "B" || self.0 < 1000 => {
                write!(formatter, "{}{unit}", self.0 / size)
            }
            (_, Some((unit, size))) => write!(formatter, "{:.1}{unit}", self.0 as f64 / *size as f64),
            _ => write!(formatter, "{}B", self.0),
        }
    }
}
textual!(Size, r"[0-9.]+ ?[KMGTkmgt]?i?[Bb]", "A size with its unit: 64KiB, 512MiB, 10MB");

/// An amount of data each second: `10mbit`, `1000kbit` (bits), `1MB/s`, `512KiB/s` (bytes). Kept in bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rate {
    /// Bits a second.
    pub bits_per_second: u64,
}

impl Rate {
    fn exact(self) -> String {
        format!("{}bit", self.bits_per_second)
    }
    /// The rate in bytes a second.
    pub fn bytes_per_second(self) -> f64 {
        self.bits_per_second as f64 / 8.0
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong =
            || UnitError { found: text.into(), wanted: "a data rate", example: "10mbit, 1000kbit or 1MB/s" };
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let bits = match unit.to_ascii_lowercase().as_str() {
            "bit" | "bps" => 1.0,
            "kbit" | "kbps" => 1e3,
            "mbit" | "mbps" => 1e6,
            "gbit" | "gbps" => 1e9,
            bytes => {
                let bytes = bytes.strip_suffix("/s").ok_or_else(wrong)?;
                bytes_in(bytes).ok_or_else(wrong)? as f64 * 8.0
            }
        };
        let total = number * bits;
        (total <= 9e18).then_some(Self { bits_per_second: total.round() as u64 }).ok_or_else(wrong)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000_u64)];
        match units.iter().find(|(_, size)| self.bits_per_second >= *size) {
            Some((unit, size)) => {
                write!(formatter, "{}{unit}", plain(self.bits_per_second as f64 / *size as f64))
            }
            None => write!(formatter, "{}bit", self.bits_per_second),
        }
    }
}
textual!(
    Rate,
    r"[0-9.]+ ?([kmgKMG]?bit|[kmgKMG]?bps|[KMGkmg]?i?[Bb]/s)",
    "A data rate: 10mbit, 1000kbit, 1MB/s"
);

/// How often something happens: `200/s`, `30/m`. Kept in times a second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Frequency {
    /// Times a second.
    pub per_second: f64,
}

impl Frequency {
    fn exact(self) -> String {
        format!("{}/s", self.per_second)
    }
}

impl FromStr for Frequency {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError { found: text.into(), wanted: "a frequency", example: "200/s or 30/m" };
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let seconds = match unit.trim_start_matches('/').trim() {
            "s" if unit.starts_with('/') => 1.0,
            "m" if unit.starts_with('/') => 60.0,
            "h" if unit.starts_with('/') => 3600.0,
            _ => return Err(wrong()),
        };
        let per_second = number / seconds;
        (per_second > 0.0 && per_second <= 1e7).then_some(Self { per_second }).ok_or_else(wrong)
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.per_second < 1.0 {
            write!(formatter, "{}/m", plain(self.per_second * 60.0))
        } else {
            write!(formatter, "{}/s", plain(self.per_second))
        }
    }
}
textual!(Frequency, r"[0-9.]+ ?/ ?[smh]", "How often: 200/s, 30/m");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, nanoseconds) in [
            ("250us", 250_000),
            ("250µs", 250_000),
            ("100ms", 100_000_000),
            ("1.5s", 1_500_000_000),
            ("5m", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1h 30m", 5_400_000_000_000),
            ("2 h", 7_200_000_000_000),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.0.as_nanos(), nanoseconds, "{text}");
            assert_eq!(
                duration.to_string().parse::<Duration>().unwrap(),
                duration,
                "{text} does not survive printing"
            );
        }
        for wrong in ["", "100", "-1s", "1x", "s", "1e9s", "99999999999999h", "1..2s", "NaNs", "infs"] {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong:?} was read as a duration");
        }
    }

    #[test]
    fn shares_sizes_rates_and_frequencies_keep_their_units() {
        assert!((("50%".parse::<Share>().unwrap().fraction()) - 0.5).abs() < 1e-9);
        assert!((("0.05".parse::<Share>().unwrap().fraction()) - 0.05).abs() < 1e-9);
        assert!(
            "150%".parse::<Share>().is_err()
                && "5".parse::<Share>().is_err()
                && "-1%".parse::<Share>().is_err()
        );
        assert_eq!("64KiB".parse::<Size>().unwrap().0, 65_536);
        assert_eq!("10MB".parse::<Size>().unwrap().to_string(), "10MB");
        assert_eq!("1GiB".parse::<Size>().unwrap().to_string(), "1GiB");
        assert!("10".parse::<Size>().is_err());
        assert_eq!("10mbit".parse::<Rate>().unwrap().bits_per_second, 10_000_000);
        assert_eq!("1MB/s".parse::<Rate>().unwrap().to_string(), "8mbit");
        assert!("1MB".parse::<Rate>().is_err());
        assert!(("30/m".parse::<Frequency>().unwrap().per_second - 0.5).abs() < 1e-9);
        assert!("200".parse::<Frequency>().is_err() && "0/s".parse::<Frequency>().is_err());
    }

    #[test]
    fn what_is_written_down_is_exact_and_what_is_shown_is_short() {
        let size = Size(25_276_502_016);
        assert_eq!(size.to_string(), "23.5GiB");
        assert_eq!(serde_json::from_str::<Size>(&serde_json::to_string(&size).unwrap()).unwrap(), size);
        let duration = Duration(std::time::Duration::from_nanos(1_234_567_891));
        let written = serde_json::to_string(&duration).unwrap();
        assert_eq!(serde_json::from_str::<Duration>(&written).unwrap(), duration);
        let share = Share::of(1.0 / 3.0);
        assert_eq!(serde_json::from_str::<Share>(&serde_json::to_string(&share).unwrap()).unwrap(), share);
    }

    #[test]
    fn a_number_without_its_unit_is_refused_with_an_example() {
        let error = serde_json::from_str::<Duration>("100").unwrap_err().to_string();
        assert!(error.contains("100ms"), "{error}");
    }
}
