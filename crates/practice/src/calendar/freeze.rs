//! Times at which nothing may happen: once, from one day to another, or in every week.

use super::{CalendarError, Hours, local};
use jiff::civil::{DateTime, Time};
use jiff::{ToSpan as _, Unit};
use serde::{Deserialize, Deserializer, Serialize};

/// A time at which nothing may happen. In a file `{from: 2026-11-23, to: 2026-11-30, why: Black Friday}` (days are
/// meant whole, the last one too; times are meant exactly) or `{weekly: FRI 14:00 - MON 08:00, why: weekend}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freeze {
    #[serde(flatten)]
    when: When,
    /// Why, for those who wonder.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum When {
    Once { from: DateTime, until: DateTime },
    Weekly { weekly: Hours },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    from: Option<String>,
    #[serde(alias = "until")]
    to: Option<String>,
    weekly: Option<Hours>,
    #[serde(default, alias = "reason")]
    why: String,
}

impl Freeze {
    /// From one local time to another.
    pub fn between(from: DateTime, until: DateTime, reason: impl Into<String>) -> Self {
        Self { when: When::Once { from, until }, reason: reason.into() }
    }

    /// Whether it holds at a local time.
    pub fn holds(&self, local: DateTime) -> bool {
        match &self.when {
            When::Once { from, until } => (*from..*until).contains(&local),
            When::Weekly { weekly } => weekly.holds(local),
        }
    }

    fn read(written: Written) -> Result<Self, CalendarError> {
        let when = match written {
            Written { from: Some(from), to: Some(until), weekly: None, .. } => once(&from, &until)?,
            Written { from: None, to: None, weekly: Some(weekly), .. } => When::Weekly { weekly },
            _ => {
                return Err(CalendarError(
                    "a freeze has `from` and `to`, or `weekly`: {from: 2026-11-23, to: 2026-11-30, why: …}"
                        .to_owned(),
                ));
            }
        };
        Ok(Self { when, reason: written.why })
    }
}

fn once(from: &str, until: &str) -> Result<When, CalendarError> {
    let read = |text: &str| {
        local(text).ok_or_else(|| {
            CalendarError(format!("{text:?} is no day or time; such as 2026-11-23 or 2026-11-23 14:00"))
        })
    };
    let ((begin, _), (end, unit)) = (read(from)?, read(until)?);
    // A day is meant whole.
    let end = if unit == Unit::Day { end.saturating_add(1.day()) } else { end };
    if begin >= end {
        return Err(CalendarError(format!("the freeze ends before it begins: from {from} until {until}")));
    }
    Ok(When::Once { from: begin, until: end })
}

impl std::fmt::Display for Freeze {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.when {
            When::Once { from, until } => {
                let (from, until) = (moment(*from), last(*until));
                write!(formatter, "freeze from {from} until {until}")?;
            }
            When::Weekly { weekly } => write!(formatter, "freeze every week {weekly}")?,
        }
        if self.reason.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.reason) }
    }
}

/// A local time; a day alone where it is its beginning.
fn moment(time: DateTime) -> String {
    if time.time() == Time::midnight() {
        time.date().to_string()
    } else {
        time.strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// The end of a freeze; the last day, with it, where that is meant whole.
fn last(until: DateTime) -> String {
    if until.time() == Time::midnight() {
        format!("the end of {}", until.saturating_sub(1.day()).date())
    } else {
        moment(until)
    }
}

impl<'de> Deserialize<'de> for Freeze {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(Written::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freeze(json: &str) -> Result<Freeze, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn days_are_meant_whole_and_times_exactly() {
        let days = freeze(r#"{"from": "2026-11-23", "until": "2026-11-24", "reason": "sale"}"#).unwrap();
        for (local, holds) in [
            ("2026-11-22 23:59:59", false),
            ("2026-11-23 00:00:00", true),
            ("2026-11-24 23:59:59", true),
            ("2026-11-25 00:00:00", false),
        ] {
            assert_eq!(days.holds(local.parse().unwrap()), holds, "{local}");
        }
        assert_eq!(days.to_string(), "freeze from 2026-11-23 until the end of 2026-11-24: sale");
        let reversed = freeze(r#"{"from": "2026-12-05", "until": "2026-12-01"}"#).unwrap_err();
        assert!(reversed.contains("from 2026-12-05 until 2026-12-01"), "{reversed}");
        let times = freeze(r#"{"from": "2026-11-23 14:00", "until": "2026-11-23T15:30"}"#).unwrap();
        assert_eq!(times.to_string(), "freeze from 2026-11-23 14:00 until 2026-11-23 15:30");
        assert!(times.holds("2026-11-23 15:29:00".parse().unwrap()));
        assert!(!times.holds("2026-11-23 15:30:00".parse().unwrap()));
        let weekly = freeze(r#"{"weekly": "FRI 14:00 - MON 08:00"}"#).unwrap();
        assert!(weekly.holds("2026-11-29 12:00:00".parse().unwrap()));
        for wrong in [
            r#"{"from": "2026-11-23"}"#,
            r#"{"from": "2026-11-23", "until": "2026-11-22"}"#,
            r#"{"from": "soon", "until": "later"}"#,
            r#"{"from": "2026-11-23", "until": "2026-11-24", "weekly": "SAT"}"#,
            r#"{"til": "2026-11-23"}"#,
        ] {
            let error = freeze(wrong).unwrap_err();
            assert!(!error.contains("reason:") && !error.contains("and `until`"), "{wrong}: {error}");
        }
    }
}
