//! Days that are not worked though their weekday is.

use super::CalendarError;
use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Holidays: dates, rules, and calendars that are known by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Holidays(Vec<Holiday>);

/// A holiday, or a calendar of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holiday {
    /// One date: `2026-05-02`.
    Once(Date),
    /// Every year on a date: `12-24`.
    Yearly {
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
    },
    /// So many days after (or before) Easter Sunday of the western churches: `easter+1`, `easter-2`.
    Easter(i16),
    /// The federal holidays of the United States, observed on the nearest weekday: `us`.
    UnitedStates,
}

impl Holidays {
    /// These.
    pub fn new(holidays: Vec<Holiday>) -> Self {
        Self(holidays)
    }

    /// The name of the holiday on a date, if it is one.
    pub fn on(&self, date: Date) -> Option<String> {
        self.0.iter().find_map(|holiday| holiday.on(date))
    }
}

impl Holiday {
    /// Understands `2026-05-02`, `12-24`, `easter+1`, `us`.
    ///
    /// # Errors
    /// Says what would be understood.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        let wrong = || {
            CalendarError(format!(
                "{text:?} is no holiday; give a date (2026-05-02), a day of every year (12-24), days from Easter Sunday \
                 (easter+1, easter-2), or `us` for the federal holidays of the United States"
            ))
        };
        let lower = text.trim().to_ascii_lowercase();
        if lower == "us" {
            return Ok(Self::UnitedStates);
        }
        if let Some(offset) = lower.strip_prefix("easter") {
            let days = if offset.is_empty() { Ok(0) } else { offset.parse::<i16>() };
            return days.ok().filter(|days| (-100..=100).contains(days)).map(Self::Easter).ok_or_else(wrong);
        }
        if let Some((month, day)) = lower.split_once('-').filter(|(month, _)| month.len() == 2) {
            let (month, day) = (month.parse().map_err(|_| wrong())?, day.parse().map_err(|_| wrong())?);
            // 2024 is a leap year: 02-29 is a day of some years.
            Date::new(2024, month, day).map_err(|_| wrong())?;
            return Ok(Self::Yearly { month, day });
        }
        lower.parse().map(Self::Once).map_err(|_| wrong())
    }

    /// Its name, if it is on this date.
    pub fn on(&self, date: Date) -> Option<String> {
        match self {
            Self::Once(_) | Self::Yearly { .. } | Self::Easter(_) => {
                self.is_on(date).then(|| self.to_string())
            }
            Self::UnitedStates => united_states(date).map(|name| format!("us: {name}")),
        }
    }

    fn is_on(&self, date: Date) -> bool {
        match self {
            Self::Once(day) => *day == date,
            Self::Yearly { month, day } => (date.month(), date.day()) == (*month, *day),
            // An offset can lead into the neighbouring year.
            Self::Easter(offset) => {
                let sunday = date.checked_sub(i64::from(*offset).days()).ok();
                sunday.is_some_and(|sunday| easter(sunday.year()) == Some(sunday))
            }
            Self::UnitedStates => united_states(date).is_some(),
        }
    }
}

/// Easter Sunday of the Gregorian calendar: the anonymous algorithm printed by Meeus, Astronomical Algorithms, chapter 8.
fn easter(year: i16) -> Option<Date> {
    let year = i32::from(year);
    let (golden, century, of_century) = (year % 19, year / 100, year % 100);
    let correction = (8 * century + 13) / 25;
    let epact = (19 * golden + century - century / 4 - correction + 15) % 30;
    let to_sunday = (32 + 2 * (century % 4) + 2 * (of_century / 4) - epact - of_century % 4) % 7;
    let exception = (golden + 11 * epact + 19 * to_sunday) / 433;
    let month = (epact + to_sunday - 7 * exception + 90) / 25;
    let day = (epact + to_sunday - 7 * exception + 33 * month + 19) % 32;
    Date::new(year as i16, month as i8, day as i8).ok()
}

/// The federal holiday of the United States on a date (5 U.S.C. § 6103): those with a fixed date are observed on the
/// Friday before where they fall on a Saturday, on the Monday after where they fall on a Sunday.
fn united_states(date: Date) -> Option<&'static str> {
    const FIXED: [(i8, i8, &str); 5] = [
        (1, 1, "New Year's Day"),
        (6, 19, "Juneteenth"),
        (7, 4, "Independence Day"),
        (11, 11, "Veterans Day"),
        (12, 25, "Christmas Day"),
    ];
    /// Month, weekday, which of the month (-1 the last).
    const FLOATING: [(i8, Weekday, i8, &str); 6] = [
        (1, Weekday::Monday, 3, "Birthday of Martin Luther King, Jr."),
        (2, Weekday::Monday, 3, "Washington's Birthday"),
        (5, Weekday::Monday, -1, "Memorial Day"),
        (9, Weekday::Monday, 1, "Labor Day"),
        (10, Weekday::Monday, 2, "Columbus Day"),
        (11, Weekday::Thursday, 4, "Thanksgiving Day"),
    ];
    let floating = FLOATING.iter().find(|(month, weekday, which, _)| {
        date.month() == *month && date.nth_weekday_of_month(*which, *weekday).is_ok_and(|found| found == date)
    });
    if let Some((.., name)) = floating {
        return Some(name);
    }
    let stands_for = match date.weekday() {
        Weekday::Friday => date.tomorrow().ok(),
        Weekday::Monday => date.yesterday().ok(),
        _ => None,
    };
    let fixed =
        |date: Date| FIXED.iter().find(|(month, day, _)| (date.month(), date.day()) == (*month, *day));
    fixed(date).or_else(|| stands_for.and_then(fixed)).map(|(.., name)| *name)
}

impl std::fmt::Display for Holiday {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Once(date) => write!(formatter, "{date}"),
            Self::Yearly { month, day } => write!(formatter, "{month:02}-{day:02}"),
            Self::Easter(0) => formatter.write_str("easter"),
            Self::Easter(days) => write!(formatter, "easter{days:+}"),
            Self::UnitedStates => formatter.write_str("us"),
        }
    }
}

impl Serialize for Holiday {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Holiday {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn easter_is_where_the_churches_have_it() {
        for (year, month, day) in [(1961, 4, 2), (2000, 4, 23), (2008, 3, 23), (2026, 4, 5), (2038, 4, 25)] {
            assert_eq!(easter(year), Some(date(year, month, day)));
        }
    }

    #[test]
    fn federal_holidays_are_observed_on_weekdays() {
        let on = |year, month, day| united_states(date(year, month, day));
        assert_eq!(on(2026, 7, 3), Some("Independence Day"));
        assert_eq!(on(2027, 7, 5), Some("Independence Day"));
        assert_eq!(on(2021, 12, 31), Some("New Year's Day"));
        assert_eq!(on(2026, 11, 26), Some("Thanksgiving Day"));
        assert_eq!(on(2026, 5, 25), Some("Memorial Day"));
        assert_eq!(on(2026, 11, 27), None);
        let days = date(2026, 1, 1).series(1.day()).take(365);
        let free = days.filter(|date| !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday));
        assert_eq!(free.filter(|date| united_states(*date).is_some()).count(), 11);
    }

    #[test]
    fn holidays_are_read_and_written() {
        for text in ["2026-05-02", "12-24", "02-29", "easter", "easter+1", "easter-2", "us"] {
            assert_eq!(Holiday::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "13-01", "02-30", "2026-02-30", "eastern", "easter+1000", "de", "christmas"] {
            assert!(Holiday::parse(wrong).is_err(), "{wrong}");
        }
        let good_friday = Holiday::parse("easter-2").unwrap();
        assert_eq!(good_friday.on(date(2026, 4, 3)), Some("easter-2".into()));
        assert_eq!(good_friday.on(date(2026, 4, 4)), None);
    }
}
