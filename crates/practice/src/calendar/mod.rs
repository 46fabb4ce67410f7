//! Calendars: which days are worked, at which instants something may happen, and when nothing may.
//!
//! Everything is reckoned in the calendar's time zone and given instants by the caller. Where clocks are put forward,
//! local times that do not exist do not happen; where they are put back, a local time that happens twice counts once,
//! the first time. Zones are those of the system, else those that come with the binary.

mod cron;
mod freeze;
mod holidays;
mod hours;
mod weekdays;

pub use cron::{Cron, TimeOfDay};
pub use freeze::Freeze;
pub use holidays::{Holiday, Holidays};
pub use hours::Hours;
pub use weekdays::Weekdays;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _, Unit, Zoned};
use serde::{Deserialize, Serialize};

/// A text that could not be understood, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CalendarError(pub String);

/// Days counted in a search before it is given up: a leap day on a given weekday comes at least every 40 years.
const FARTHEST: usize = 40 * 366;

/// A time zone by its name, such as `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of this name in the IANA database.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn named(name: &str) -> Result<Self, CalendarError> {
        TimeZone::get(name).map(Self).map_err(|_| {
            CalendarError(format!(
                "there is no time zone {name:?}; give a name of the IANA database, such as Europe/Berlin, \
                 America/New_York or UTC"
            ))
        })
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// What the local clock shows at an instant.
    pub fn at(&self, instant: Timestamp) -> Zoned {
        instant.to_zoned(self.0.clone())
    }

    /// The instant at which the local clock first shows this; `None` where it skips over it.
    pub fn instant(&self, local: DateTime) -> Option<Timestamp> {
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Gap { .. } => None,
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(local).ok()
            }
        }
    }

    /// The first instant of a local day: midnight, or later where the clock skips over midnight.
    pub fn start_of(&self, date: Date) -> Timestamp {
        match date.to_zoned(self.0.clone()) {
            Ok(zoned) => zoned.timestamp(),
            // Only beyond the ends of the calendar (years -9999 and 9999).
            Err(_) => Timestamp::MAX,
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::named(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Which days are worked, and when nothing may happen. In a file:
///
/// ```yaml
/// time_zone: Europe/Berlin
/// work_days: MON-FRI
/// holidays: [us, 12-24, 2026-05-02, easter+1]
/// freeze: [{from: 2026-11-23, to: 2026-11-30, why: Black Friday}]
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calendar {
    /// The zone whose clock counts; UTC where none is given.
    pub time_zone: Zone,
    /// The days of the week that are worked; Monday to Friday where none are given.
    pub work_days: Weekdays,
    /// Days that are not worked though their weekday is.
    pub holidays: Holidays,
    /// Times at which nothing may happen.
    pub freeze: Vec<Freeze>,
}

/// What a day is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Day {
    /// It is worked.
    Work,
    /// Its weekday is not worked.
    Free,
    /// It is a holiday, with its name.
    Holiday(String),
}

impl std::fmt::Display for Day {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Work => formatter.write_str("a work day"),
            Self::Free => formatter.write_str("a free day"),
            Self::Holiday(name) => write!(formatter, "a holiday ({name})"),
        }
    }
}

impl Calendar {
    /// What a day is.
    pub fn day(&self, date: Date) -> Day {
        if !self.work_days.holds(date.weekday()) {
            Day::Free
        } else if let Some(name) = self.holidays.on(date) {
            Day::Holiday(name)
        } else {
            Day::Work
        }
    }

    /// Whether a day is worked.
    pub fn is_work_day(&self, date: Date) -> bool {
        self.day(date) == Day::Work
    }

    /// The local date at an instant.
    pub fn date(&self, instant: Timestamp) -> Date {
        self.time_zone.at(instant).date()
    }

    /// The days from one on, as many as the calendar knows.
    pub fn days_from(date: Date) -> impl Iterator<Item = Date> {
        date.series(1.day())
    }

    /// The first work day after a day; `None` where none comes (no weekday is worked).
    pub fn next_work_day(&self, date: Date) -> Option<Date> {
        Self::days_from(date).skip(1).take(FARTHEST).find(|date| self.is_work_day(*date))
    }

    /// How many work days lie after `from`, up to and with `to`: 1 from a Friday to the Monday after it. 0 where `to`
    /// does not lie after `from`.
    pub fn work_days_between(&self, from: Date, to: Date) -> usize {
        Self::days_from(from)
            .skip(1)
            .take_while(|date| *date <= to)
            .filter(|date| self.is_work_day(*date))
            .count()
    }

    /// Why nothing may happen at an instant, if so: the freeze that holds.
    pub fn frozen(&self, instant: Timestamp) -> Option<&Freeze> {
        let local = self.time_zone.at(instant).datetime();
        self.freeze.iter().find(|freeze| freeze.holds(local))
    }

    /// Why there is no instant of a day at which a schedule fires and nothing is frozen; none where there is one.
    pub fn closed(&self, cron: &Cron, date: Date) -> Option<String> {
        let day = self.day(date);
        if day != Day::Work {
            return Some(format!("it is {day}"));
        }
        let firings = cron.firings(date, &self.time_zone);
        if firings.is_empty() {
            return Some("the schedule does not fire on it".to_owned());
        }
        let holding: Option<Vec<&Freeze>> = firings.into_iter().map(|at| self.frozen(at)).collect();
        let mut words: Vec<String> = holding?.into_iter().map(ToString::to_string).collect();
        words.dedup();
        Some(words.join(", then "))
    }

    /// Whether a schedule fires on a work day, leaving holidays and freezes aside.
    pub fn meets(&self, cron: &Cron) -> bool {
        // 28 years hold every date on every weekday.
        let days = Self::days_from(Date::constant(2000, 1, 1)).take(FARTHEST);
        days.into_iter().any(|date| cron.fires_on(date) && self.work_days.holds(date.weekday()))
    }

    /// The instants of a day at which a schedule fires and nothing is frozen, in order. Empty on days that are not
    /// worked.
    pub fn openings(&self, cron: &Cron, date: Date) -> Vec<Timestamp> {
        if !self.is_work_day(date) {
            return Vec::new();
        }
        cron.firings(date, &self.time_zone).into_iter().filter(|at| self.frozen(*at).is_none()).collect()
    }
}

/// A date and a time as people write them: `2026-11-23`, `2026-11-23 14:00`.
fn local(text: &str) -> Option<(DateTime, Unit)> {
    let text = text.trim();
    if let Ok(date) = text.parse::<Date>()
        && text.len() == "2026-11-23".len()
    {
        return Some((date.at(0, 0, 0, 0), Unit::Day));
    }
    text.parse::<DateTime>().ok().map(|time| (time, Unit::Second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn calendar(text: &str) -> Calendar {
        let source = squall_model::read::Source { name: "calendar.yaml".into(), text: text.into() };
        squall_model::read::decode(&squall_model::read::parse(&source).unwrap()).unwrap()
    }

    #[test]
    fn a_calendar_is_read_and_says_what_a_day_is() {
        let calendar = calendar(
            "time_zone: Europe/Berlin\nwork_days: MON-THU\nholidays: [us, 12-24, 2026-05-06, easter+1]\n\
             freeze: [{from: 2026-11-23, until: 2026-11-24 12:00, reason: Black Friday}]",
        );
        assert_eq!(calendar.day(date(2026, 11, 27)), Day::Free);
        assert!(
            matches!(calendar.day(date(2026, 11, 26)), Day::Holiday(name) if name.contains("Thanksgiving"))
        );
        assert!(matches!(calendar.day(date(2026, 4, 6)), Day::Holiday(name) if name == "easter+1"));
        assert_eq!(calendar.day(date(2026, 5, 6)), Day::Holiday("2026-05-06".into()));
        let cron = Cron::parse("0 0 9-17 * * *").unwrap();
        assert_eq!(calendar.openings(&cron, date(2026, 11, 23)), []);
        assert_eq!(calendar.openings(&cron, date(2026, 11, 24)).len(), 6);
        assert_eq!(calendar.openings(&cron, date(2026, 11, 25)).len(), 9);
        assert_eq!(calendar.openings(&cron, date(2026, 11, 27)), []);
    }

    #[test]
    fn work_days_are_counted_over_weekends_and_holidays() {
        let calendar = calendar("holidays: [2026-11-30]");
        assert_eq!(calendar.time_zone, Zone::utc());
        let friday = date(2026, 11, 27);
        assert_eq!(calendar.next_work_day(friday), Some(date(2026, 12, 1)));
        assert_eq!(calendar.work_days_between(friday, date(2026, 12, 1)), 1);
        assert_eq!(calendar.work_days_between(friday, friday), 0);
        assert_eq!(calendar.work_days_between(friday, date(2026, 12, 4)), 4);
        let never = Calendar { work_days: Weekdays::none(), ..Calendar::default() };
        assert_eq!(never.next_work_day(friday), None);
    }

    #[test]
    fn zones_come_along_and_unknown_ones_are_refused() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        assert_eq!(berlin.to_string(), "Europe/Berlin");
        let noon = berlin.instant(date(2026, 7, 1).at(12, 0, 0, 0)).unwrap();
        assert_eq!(noon.to_string(), "2026-07-01T10:00:00Z");
        assert!(Zone::named("Europe/Atlantis").unwrap_err().to_string().contains("Europe/Atlantis"));
        // Cairo put its clocks forward at midnight: 24 April 2026 began at one o'clock.
        let cairo = Zone::named("Africa/Cairo").unwrap();
        assert_eq!(cairo.start_of(date(2026, 4, 24)).to_string(), "2026-04-23T22:00:00Z");
    }
}
