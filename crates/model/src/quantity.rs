//! The metrics of loads and their units, and numbers as people read them: three significant digits, a fitting scale.

/// What a number counts. Numbers themselves are always in base units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A time, in seconds.
    Seconds,
    /// A share of a whole, 0 to 1, shown in percent.
    Share,
    /// How often, in times a second.
    PerSecond,
    /// An amount of data, in bytes.
    Bytes,
    /// A number whose unit is not known.
    Plain,
}

/// What every load measures, under its bare name, and in what.
pub const LOAD_METRICS: [(&str, Unit); 12] = [
    ("error_rate", Unit::Share),
    ("success_rate", Unit::Share),
    ("availability", Unit::Share),
    ("throughput", Unit::PerSecond),
    ("latency_mean", Unit::Seconds),
    ("latency_p50", Unit::Seconds),
    ("latency_p75", Unit::Seconds),
    ("latency_p90", Unit::Seconds),
    ("latency_p95", Unit::Seconds),
    ("latency_p99", Unit::Seconds),
    ("latency_p999", Unit::Seconds),
    ("latency_max", Unit::Seconds),
];

/// The bare names of what every load measures.
pub fn load_metrics() -> impl Iterator<Item = &'static str> {
    LOAD_METRICS.iter().map(|(name, _)| *name)
}

/// A unit with a prefix that fits the numbers at hand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// What a number in base units is multiplied by.
    pub factor: f64,
    /// What is written after it: `ms`, `%`, `/s`; empty for a plain number.
    pub suffix: &'static str,
}

const SECONDS: [Scale; 3] = [
    Scale { factor: 1.0, suffix: "s" },
    Scale { factor: 1e3, suffix: "ms" },
    Scale { factor: 1e6, suffix: "µs" },
];
const BYTES: [Scale; 4] = [
    Scale { factor: 1.0 / (1_u64 << 30) as f64, suffix: "GiB" },
    Scale { factor: 1.0 / (1_u64 << 20) as f64, suffix: "MiB" },
    Scale { factor: 1.0 / 1024.0, suffix: "KiB" },
    Scale { factor: 1.0, suffix: "B" },
];

impl Unit {
    /// The unit of a load's metric, bare or after the load's name (`shop.latency_p99`), and of a probe's `latency`.
    /// Names within a probe's answer (`json.latency`) are the answering service's own.
    pub fn of_traffic(metric: &str) -> Option<Self> {
        let last = match metric.split_once('.') {
            None => metric,
            Some((load, last)) if load != "json" && !last.contains('.') => last,
            Some(_) => return None,
        };
        let known = LOAD_METRICS.iter().find(|(name, _)| *name == last).map(|(_, unit)| *unit);
        known.or_else(|| (last == "latency" || last.starts_with("latency_")).then_some(Self::Seconds))
    }

    /// What is known of a metric by its name: that of traffic, and Prometheus' habit of naming the base unit at the end.
    pub fn of(metric: &str) -> Self {
        let by_ending = || match metric {
            _ if metric.starts_with("json.") => Self::Plain,
            _ if metric.ends_with("_seconds") => Self::Seconds,
            _ if metric.ends_with("_ratio") => Self::Share,
            _ if metric.ends_with("_bytes") => Self::Bytes,
            _ => Self::Plain,
        };
        Self::of_traffic(metric).unwrap_or_else(by_ending)
    }

    /// The scale in which a number of this size reads best.
    pub fn scale(self, size: f64) -> Scale {
        let readable = |scales: &[Scale], smallest: Scale| {
            let fits = |scale: &&Scale| size.abs() * scale.factor >= 0.9995;
            scales.iter().find(fits).copied().unwrap_or(smallest)
        };
        match self {
            // A zero, and a time that no clock of ours tells from it, is shown in the unit that most latencies have.
            Self::Seconds if size.abs() < 5e-8 => SECONDS[1],
            Self::Seconds => readable(&SECONDS, SECONDS[2]),
            Self::Bytes => readable(&BYTES, BYTES[3]),
            Self::Share => Scale { factor: 100.0, suffix: "%" },
            Self::PerSecond => Scale { factor: 1.0, suffix: "/s" },
            Self::Plain => Scale { factor: 1.0, suffix: "" },
        }
    }

    /// A number with its unit: `294 ms`, `12.4 %`, `200/s`.
    pub fn show(self, number: f64) -> String {
        self.scale(number).show(number)
    }

    /// A difference with its sign and unit: `+212 ms`, `−3.1 points`. Shares differ by points, not by percent, which
    /// would be a share of a share.
    pub fn show_difference(self, difference: f64) -> String {
        let scale = self.difference_scale(difference);
        let sign = if difference > 0.0 { "+" } else { "" };
        format!("{sign}{}", scale.show(difference))
    }

    /// The scale of a difference.
    pub fn difference_scale(self, difference: f64) -> Scale {
        match self {
            Self::Share => Scale { factor: 100.0, suffix: "points" },
            other => other.scale(difference),
        }
    }
}

impl Scale {
    /// A number in base units, in this scale and with its unit.
    pub fn show(self, value: f64) -> String {
        let space = if self.suffix.is_empty() || self.suffix.starts_with('/') { "" } else { " " };
        format!("{}{space}{}", self.bare(value), self.suffix)
    }

    /// A number in base units, in this scale, without its unit.
    pub fn bare(self, value: f64) -> String {
        number(value * self.factor)
    }
}

/// A number with three significant digits, without needless zeros, with thousands set apart: `0.125`, `82`, `18,412`.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    if size >= 1e15 {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        _ if size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.9995 => 2,
        _ if !(1e-9..0.09995).contains(&size) => 3,
        _ => (2.0 - size.log10().floor()) as usize,
    };
    let text = format!("{size:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut shown = grouped(whole);
    if !fraction.is_empty() {
        shown = format!("{shown}.{fraction}");
    }
    if value < 0.0 && shown != "0" { format!("−{shown}") } else { shown }
}

/// A count with thousands set apart.
pub fn count(value: u64) -> String {
    grouped(&value.to_string())
}

fn grouped(digits: &str) -> String {
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A span of time as people say it: `240 ms`, `1.2 s`, `1 min 45 s`, `2 h 5 min`.
pub fn span(seconds: f64) -> String {
    if !(seconds.is_finite() && seconds >= 59.95) {
        let tenths = (seconds * 10.0).round() / 10.0;
        return if seconds >= 9.95 { format!("{} s", number(tenths)) } else { Unit::Seconds.show(seconds) };
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    let parts = if hours > 0 { [(hours, "h"), (minutes, "min")] } else { [(minutes, "min"), (rest, "s")] };
    let shown =
        parts.iter().filter(|(amount, _)| *amount > 0).map(|(amount, unit)| format!("{amount} {unit}"));
    shown.collect::<Vec<_>>().join(" ")
}

/// A span of time as a clock shows it: `0:32`, `1:05:00`.
pub fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{rest:02}") } else { format!("{minutes}:{rest:02}") }
}

/// A metric's name for people, short: `p99`, `error rate`, `shop p99`; a name that is not known stays as it is.
pub fn short_name(metric: &str) -> String {
    named(metric, |last| match last {
        "latency_p999" => Some("p99.9".to_owned()),
        "latency_mean" => Some("mean latency".to_owned()),
        "latency_max" => Some("longest latency".to_owned()),
        _ => last.strip_prefix("latency_").map(str::to_owned).or_else(|| spoken(last)),
    })
}

/// A metric's name for people, in full, as a title: `Latency p99`, `Error rate`, `shop: Error rate`.
pub fn title(metric: &str) -> String {
    named(metric, |last| match last {
        "latency_p999" => Some("Latency p99.9".to_owned()),
        "latency_mean" => Some("Mean latency".to_owned()),
        "latency_max" => Some("Longest latency".to_owned()),
        _ => match last.strip_prefix("latency_") {
            Some(quantile) => Some(format!("Latency {quantile}")),
            None => spoken(last).map(|name| {
                let mut letters = name.chars();
                letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
            }),
        },
    })
}

fn spoken(last: &str) -> Option<String> {
    matches!(last, "error_rate" | "success_rate" | "availability" | "throughput" | "latency")
        .then(|| last.replace('_', " "))
}

fn named(metric: &str, speak: impl Fn(&str) -> Option<String>) -> String {
    match metric.split_once('.') {
        Some((load, last)) if load != "json" => match speak(last) {
            Some(spoken) => format!("{load} {spoken}"),
            None => metric.to_owned(),
        },
        _ => speak(metric).unwrap_or_else(|| metric.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        for (value, shown) in [
            (0.0, "0"),
            (-1e-12, "0"),
            (-0.000_123_4, "−0.000123"),
            (0.12549, "0.125"),
            (1.0, "1"),
            (1.234, "1.23"),
            (82.04, "82"),
            (99.97, "100"),
            (18_412.4, "18,412"),
            (1_234_567.0, "1,234,567"),
            (-3.15, "−3.15"),
            (f64::NAN, "–"),
            (3e18, "3.00e18"),
        ] {
            assert_eq!(number(value), shown, "{value}");
        }
    }

    #[test]
    fn units_follow_the_names_of_metrics() {
        assert_eq!(Unit::of("shop.latency_p99").show(0.2941), "294 ms");
        assert_eq!(Unit::of("latency_p50").show(0.000_25), "250 µs");
        assert_eq!(Unit::of("latency_max").show(2.5), "2.5 s");
        assert_eq!(Unit::of("latency_max").show(0.0), "0 ms");
        assert_eq!(Unit::of("error_rate").show(0.1239), "12.4 %");
        assert_eq!(Unit::of("throughput").show(199.6), "200/s");
        assert_eq!(Unit::of("heap_bytes").show(3.5 * 1024.0 * 1024.0), "3.5 MiB");
        assert_eq!(Unit::of("queue_depth").show(12.0), "12");
        assert_eq!(Unit::of("json.latency_p99").show(12.0), "12");
        assert_eq!(Unit::of("error_rate").show_difference(0.042), "+4.2 points");
        assert_eq!(Unit::of("latency_p99").show_difference(-0.003_1), "−3.1 ms");
    }

    #[test]
    fn spans_and_clocks_read_as_spoken() {
        for (seconds, shown) in [
            (0.24, "240 ms"),
            (1.24, "1.24 s"),
            (12.04, "12 s"),
            (59.97, "1 min"),
            (105.2, "1 min 45 s"),
            (7500.0, "2 h 5 min"),
        ] {
            assert_eq!(span(seconds), shown);
        }
        assert_eq!(clock(32.9), "0:32");
        assert_eq!(clock(3900.0), "1:05:00");
    }

    #[test]
    fn names_are_spoken_where_they_are_known() {
        assert_eq!(short_name("latency_p99"), "p99");
        assert_eq!(short_name("shop.error_rate"), "shop error rate");
        assert_eq!(short_name("queue_depth"), "queue_depth");
        assert_eq!(title("latency_p999"), "Latency p99.9");
        assert_eq!(title("error_rate"), "Error rate");
        assert_eq!(title("json.error_rate"), "json.error_rate");
    }
}
