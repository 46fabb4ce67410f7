//! The HTTP statuses that count as a success: `200`, `200-299`, `2xx`, or a list of such.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A set of HTTP statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Whether a status is among them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl From<RangeInclusive<u16>> for Statuses {
    fn from(range: RangeInclusive<u16>) -> Self {
        Self(vec![range])
    }
}

/// Reads `200`, `200-299` or `2xx`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let text = text.trim();
    if let Some(hundred) = text.strip_suffix("xx") {
        let first = hundred.parse::<u16>().ok().filter(|hundred| (1..=9).contains(hundred))? * 100;
        return Some(first..=first + 99);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=999).contains(status));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some(first..=last)
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusesVisitor)
    }
}

struct StatusesVisitor;

impl<'de> Visitor<'de> for StatusesVisitor {
    type Value = Statuses;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HTTP statuses, such as 200, \"200-299\", \"2xx\" or [200, 404]")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Statuses, E> {
        let wrong = || E::custom(format!("{text:?} is no HTTP status, such as 200, 200-299 or 2xx"));
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.map(Statuses).ok_or_else(wrong)
    }

    fn visit_u64<E: Error>(self, status: u64) -> Result<Statuses, E> {
        self.visit_str(&status.to_string())
    }

    fn visit_i64<E: Error>(self, status: i64) -> Result<Statuses, E> {
        self.visit_str(&status.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Statuses, A::Error> {
        let mut all = Vec::new();
        while let Some(Statuses(ranges)) = items.next_element()? {
            all.extend(ranges);
        }
        if all.is_empty() {
            return Err(A::Error::custom("an empty list of statuses would make every answer a failure"));
        }
        Ok(Statuses(all))
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string", "array"],
            "items": {"type": ["integer", "string"]},
            "minItems": 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn statuses_as_people_write_them() {
        let both = [json!(["2xx", 404]), json!("200-299,404"), json!(["200-299", "404"])];
        for written in both {
            let statuses: Statuses = serde_json::from_value(written.clone()).unwrap();
            let found: Vec<u16> = (100..=999).filter(|status| statuses.contains(*status)).collect();
            assert_eq!(found, (200..=299).chain([404]).collect::<Vec<_>>(), "{written}");
        }
        let one: Statuses = serde_json::from_value(json!(503)).unwrap();
        assert!(one.contains(503) && !one.contains(200));
        for wrong in [
            json!("ok"),
            json!(20),
            json!("300-200"),
            json!([]),
            json!(""),
            json!("xx"),
            json!(-200),
            json!(true),
        ] {
            assert!(serde_json::from_value::<Statuses>(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
