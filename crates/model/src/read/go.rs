//! Quantities as Go, Chaos Mesh and Istio spell them, said as Squall spells them.

use std::fmt::Write as _;

/// Units of time, largest first, in nanoseconds.
const TIME: [(&str, i128); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

/// A duration of Go (`1h30m`, `-10m100ns`, `.5s`) in nanoseconds; in words what is wrong with it.
pub(super) fn nanoseconds(text: &str) -> Result<i128, String> {
    let wrong = |what: &str| Err(format!("{text:?} is no duration: {what}"));
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return wrong("nothing is said");
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let Some((_, size)) = TIME.iter().find(|(name, _)| *name == unit) else {
            return wrong(match unit {
                "" => "its unit is missing",
                "d" => "it counts in h, m, s, ms, us and ns; a day is 24h",
                _ => "it counts in h, m, s, ms, us and ns",
            });
        };
        let Some(part) = multiple(number, *size) else { return wrong("its number cannot be read") };
        total += part;
        if total > i128::from(i64::MAX) {
            return wrong("it is longer than 292 years");
        }
        rest = tail;
    }
    Ok(sign * total)
}

/// So many of a unit; what is less than one of the smallest is cut off, as Go does.
fn multiple(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    if !is_number || whole.len() > 19 {
        return None;
    }
    let fraction = fraction.get(..fraction.len().min(18))?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? };
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<i128>().ok()? };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(whole * unit + part * unit / scale)
}

/// A length of time as Squall writes it, exact to the nanosecond.
pub(super) fn duration(nanoseconds: i128) -> String {
    let mut rest = nanoseconds.unsigned_abs();
    let mut text = if nanoseconds < 0 { "-".to_owned() } else { String::new() };
    for (unit, size) in TIME.iter().filter(|(unit, _)| unit.is_ascii()) {
        let size = size.unsigned_abs();
        if rest >= size {
            let _ = write!(text, "{}{unit}", rest / size);
            rest %= size;
        }
    }
    if nanoseconds == 0 { "0s".to_owned() } else { text }
}

/// A rate of Chaos Mesh (`1mbit`, `100kbps`, where `bps` are bytes) as Squall writes it, with its bits a second.
pub(super) fn rate(text: &str) -> Option<(String, u128)> {
    const UNITS: [(&str, &str, u128, u128); 10] = [
        ("kbit", "kbit", 1, 1_000),
        ("mbit", "mbit", 1, 1_000_000),
        ("gbit", "gbit", 1, 1_000_000_000),
        ("tbit", "gbit", 1_000, 1_000_000_000),
        ("kbps", "KB/s", 1, 8_000),
        ("mbps", "MB/s", 1, 8_000_000),
        ("gbps", "GB/s", 1, 8_000_000_000),
        ("tbps", "TB/s", 1, 8_000_000_000_000),
        ("bps", "B/s", 1, 8),
        ("bit", "bit", 1, 1),
    ];
    let lower = text.trim().to_ascii_lowercase();
    let (number, ours, factor, bits) = UNITS
        .iter()
        .find_map(|(unit, ours, factor, bits)| Some((lower.strip_suffix(unit)?, ours, factor, bits)))?;
    let number: u64 = number.trim().parse().ok().filter(|_| !number.starts_with('+'))?;
    let number = u128::from(number) * factor;
    Some((format!("{number}{ours}"), number * bits))
}

/// A size (`256MB`, `1GiB`, `512M`, `1024`) as Squall writes it.
pub(super) fn size(text: &str) -> Option<String> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = (text.get(..end)?, text.get(end..)?.trim().to_ascii_lowercase());
    let is_number = number.parse::<f64>().is_ok();
    let ours = match unit.as_str() {
        "" | "b" => "B",
        "k" | "kb" => "KB",
        "m" | "mb" => "MB",
        "g" | "gb" => "GB",
        "t" | "tb" => "TB",
        "ki" | "kib" => "KiB",
        "mi" | "mib" => "MiB",
        "gi" | "gib" => "GiB",
        "ti" | "tib" => "TiB",
        _ => return None,
    };
    is_number.then(|| format!("{number}{ours}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Duration, Rate, Size};

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected, ours) in [
            ("1h30m", 5_400_000_000_000, "1h30m"),
            ("-10m100ns", -600_000_000_100, "-10m100ns"),
            (".5s", 500_000_000, "500ms"),
            ("1.5h", 5_400_000_000_000, "1h30m"),
            ("0.25ms", 250_000, "250us"),
            ("1.5µs", 1_500, "1us500ns"),
            ("+90s", 90_000_000_000, "1m30s"),
            ("0", 0, "0s"),
            ("0ms", 0, "0s"),
            ("1.0000000019s", 1_000_000_001, "1s1ns"),
        ] {
            assert_eq!(nanoseconds(text), Ok(expected), "{text}");
            assert_eq!(duration(expected), ours, "{text}");
            if expected > 0 {
                assert_eq!(ours.parse::<Duration>().unwrap().0.as_nanos(), expected.unsigned_abs(), "{ours}");
            }
        }
        for (wrong, why) in [
            ("", "nothing is said"),
            ("30", "unit is missing"),
            ("1d", "a day is 24h"),
            ("1 h", "it counts in"),
            ("5 minutes", "it counts in"),
            (".s", "cannot be read"),
            ("1.2.3s", "cannot be read"),
            ("9999999999h", "292 years"),
            ("--1s", "it counts in"),
            ("1h 30m", "it counts in"),
        ] {
            let message = nanoseconds(wrong).expect_err(wrong);
            assert!(message.contains(why), "{wrong}: {message}");
        }
    }

    #[test]
    fn rates_in_bytes_are_not_taken_for_bits() {
        for (text, ours, bits) in [
            ("100kbps", "100KB/s", 800_000),
            ("1mbit", "1mbit", 1_000_000),
            (" 2 Gbit ", "2gbit", 2_000_000_000),
            ("3tbit", "3000gbit", 3_000_000_000_000),
            ("1tbps", "1TB/s", 8_000_000_000_000),
            ("5bps", "5B/s", 40),
            ("7bit", "7bit", 7),
        ] {
            assert_eq!(rate(text), Some((ours.to_owned(), bits)), "{text}");
            assert_eq!(u128::from(ours.parse::<Rate>().unwrap().bits_per_second), bits, "{ours}");
        }
        for wrong in ["1", "1.5mbit", "-1bit", "1MB/s", "mbit", "+1bit", ""] {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_keep_their_units() {
        for (text, ours, bytes) in [
            ("256MB", "256MB", 256_000_000),
            ("1GiB", "1GiB", 1 << 30),
            ("1.5 gb", "1.5GB", 1_500_000_000),
            ("512M", "512MB", 512_000_000),
            ("1024", "1024B", 1024),
        ] {
            assert_eq!(size(text).as_deref(), Some(ours), "{text}");
            assert_eq!(ours.parse::<Size>().unwrap().0, bytes, "{ours}");
        }
        for wrong in ["", "MB", "50%", "5 bits", "1PB", "-1MB", "1.2.3MB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
