//! Measured values in words: `latency_p99` of 0.212 is `212 ms`, `error_rate` of 0.034 is `3.4 %`.

use squall_model::condition::Condition;
use squall_model::value::{Reading, Value};
use std::collections::BTreeMap;

/// A number with three significant digits and no needless zeros.
fn plain(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return "0".to_owned();
    }
    let decimals = (2 - number.abs().log10().floor() as i32).clamp(0, 9);
    let text = format!("{number:.*}", decimals as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// What kind of quantity a metric is, by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Seconds,
    Share,
    Other,
}

fn kind(metric: &str) -> Kind {
    let bare = metric.rsplit('.').next().unwrap_or(metric);
    match bare {
        "error_rate" | "success_rate" | "availability" => Kind::Share,
        _ if bare.starts_with("latency_") => Kind::Seconds,
        _ => Kind::Other,
    }
}

/// The factor and the unit that a value of this metric reads best in.
fn scale(metric: &str, value: f64) -> (f64, &'static str) {
    match (kind(metric), value.abs()) {
        (Kind::Share, _) => (100.0, " %"),
        (Kind::Seconds, ..0.001) => (1e6, " µs"),
        (Kind::Seconds, ..1.0) => (1e3, " ms"),
        (Kind::Seconds, _) => (1.0, " s"),
        (Kind::Other, _) if metric.ends_with("throughput") => (1.0, "/s"),
        (Kind::Other, _) => (1.0, ""),
    }
}

/// A metric's value with its unit.
pub(crate) fn quantity(metric: &str, value: f64) -> String {
    let (factor, unit) = scale(metric, value);
    format!("{}{unit}", plain(value * factor))
}

/// A difference with its sign and unit, and the bounds of its interval in the same unit without it.
pub(crate) fn difference(metric: &str, value: f64, interval: Option<(f64, f64)>) -> String {
    let (factor, unit) = scale(metric, value);
    // The difference of two shares is in percentage points.
    let unit = if kind(metric) == Kind::Share { " points" } else { unit };
    let signed = |value: f64| {
        let sign = if value < 0.0 { "−" } else { "" };
        format!("{sign}{}", plain((value * factor).abs()))
    };
    let plus = if value > 0.0 { "+" } else { "" };
    let bounds = interval
        .map(|(low, high)| format!(" (95 % CI {} to {})", signed(low), signed(high)))
        .unwrap_or_default();
    format!("{plus}{}{unit}{bounds}", signed(value))
}

/// What a condition spoke of, as it was read: `status = 503, body = "…"`, and why something was not.
pub(crate) fn reading_of(
    condition: &Condition,
    reading: &Reading,
    errors: &BTreeMap<String, String>,
) -> String {
    let value = |name: &str, value: &Value| match value {
        Value::Number(number) => quantity(name, *number),
        Value::Text(text) => format!("{:?}", shortened(text, 80)),
        Value::Bool(value) => value.to_string(),
    };
    let parts = condition.names().into_iter().map(|name| match reading.get(&name) {
        Some(found) => format!("{name} = {}", value(&name, found)),
        None => unread(&name, errors),
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// That a metric could not be read, and why.
pub(crate) fn unread(name: &str, errors: &BTreeMap<String, String>) -> String {
    match errors.get(name) {
        Some(error) => format!("{name} could not be read ({error})"),
        None => format!("{name} could not be read"),
    }
}

/// At most the first `most` characters.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_people_say_them() {
        assert_eq!(quantity("latency_p99", 0.212_34), "212 ms");
        assert_eq!(quantity("shop.latency_p50", 0.000_85), "850 µs");
        assert_eq!(quantity("latency_max", 1.5), "1.5 s");
        assert_eq!(quantity("error_rate", 0.034), "3.4 %");
        assert_eq!(quantity("throughput", 200.0), "200/s");
        assert_eq!(quantity("queue_depth", 12_345.0), "12345");
        assert_eq!(quantity("queue_depth", 0.0), "0");
        assert_eq!(difference("latency_p99", 0.212, Some((0.18, 0.26))), "+212 ms (95 % CI 180 to 260)");
        assert_eq!(difference("error_rate", -0.02, Some((-0.03, 0.0))), "−2 points (95 % CI −3 to 0)");
    }

    #[test]
    fn readings_name_what_the_condition_speaks_of() {
        let condition = Condition::parse("status == 200 and body =~ \"ok\"").unwrap();
        let reading = Reading::from([("status".to_owned(), Value::from(503.0))]);
        assert_eq!(
            reading_of(&condition, &reading, &BTreeMap::new()),
            "status = 503, body could not be read"
        );
        let errors = BTreeMap::from([("body".to_owned(), "it is cut".to_owned())]);
        assert_eq!(
            reading_of(&condition, &reading, &errors),
            "status = 503, body could not be read (it is cut)"
        );
        assert_eq!(shortened("äöü", 2), "äö…");
    }
}
