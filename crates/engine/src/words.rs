//! Measured values in words: `latency_p99` of 0.212 is `212 ms`, `error_rate` of 0.034 is `3.4 %`.

use squall_model::condition::Condition;
use squall_model::quantity::Unit;
use squall_model::value::{Reading, Value};
use std::collections::BTreeMap;

/// A difference with its sign and unit, and the bounds of its interval in the same unit without it.
pub(crate) fn difference(metric: &str, value: f64, interval: Option<(f64, f64)>) -> String {
    let unit = Unit::of(metric);
    let scale = unit.difference_scale(value);
    let bounds = interval
        .map(|(low, high)| format!(" (95 % CI {} to {})", scale.bare(low), scale.bare(high)))
        .unwrap_or_default();
    format!("{}{bounds}", unit.show_difference(value))
}

/// What a condition spoke of, as it was read: `status = 503, body = "…"`, and why something was not.
pub(crate) fn reading_of(
    condition: &Condition,
    reading: &Reading,
    errors: &BTreeMap<String, String>,
) -> String {
    let value = |name: &str, value: &Value| match value {
        Value::Number(number) => Unit::of(name).show(*number),
        Value::Text(text) => format!("{:?}", shortened(text, 80)),
        Value::Bool(value) => value.to_string(),
    };
    let parts = condition.names().into_iter().map(|name| match reading.get(&name) {
        Some(found) => format!("{name} = {}", value(&name, found)),
        None => match reading.get("cause") {
            // Probes that got an answer without a value say why.
            Some(Value::Text(cause)) if !errors.contains_key(&name) => {
                format!("{name} could not be read ({})", shortened(cause, 80))
            }
            _ => unread(&name, errors),
        },
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
    fn differences_read_as_people_say_them() {
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
        let caused = Reading::from([("cause".to_owned(), Value::from("the answer has no row"))]);
        assert_eq!(
            reading_of(&Condition::parse("value > 1").unwrap(), &caused, &BTreeMap::new()),
            "value could not be read (the answer has no row)"
        );
        assert_eq!(shortened("äöü", 2), "äö…");
    }
}
