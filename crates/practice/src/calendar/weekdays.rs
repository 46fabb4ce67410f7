//! Sets of days of the week: `MON-FRI`, `MON,WED`, `FRI-MON`.

use super::CalendarError;
use jiff::civil::Weekday;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names, Monday first, as they are shown.
pub(super) const NAMES: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];

/// Days of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekdays(u8);

impl Weekdays {
    /// None.
    pub fn none() -> Self {
        Self(0)
    }

    /// All seven.
    pub fn all() -> Self {
        Self(0x7f)
    }

    /// Understands days and ranges of days, by name (`MON` or `Monday`), divided by commas or spaces.
    ///
    /// # Errors
    /// Says what is no day.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        let mut days = Self::none();
        for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            days.add_range(first, last);
        }
        if days == Self::none() {
            return Err(CalendarError("no day is named; such as MON-FRI".to_owned()));
        }
        Ok(days)
    }

    /// Adds the days from one to another (0 is Monday), over the end of the week where the last comes first.
    pub(super) fn add_range(&mut self, first: u8, last: u8) {
        let length = (last + 7 - first) % 7;
        for step in 0..=length {
            self.0 |= 1 << ((first + step) % 7);
        }
    }

    /// Adds one day; 0 is Monday.
    pub(super) fn add(&mut self, day: u8) {
        self.0 |= 1 << (day % 7);
    }

    /// Whether the day is one of these.
    pub fn holds(self, day: Weekday) -> bool {
        self.0 & (1 << day.to_monday_zero_offset()) != 0
    }
}

/// Monday to Friday.
impl Default for Weekdays {
    fn default() -> Self {
        Self(0x1f)
    }
}

/// The number of a day by its name: 0 is Monday.
pub(super) fn number(name: &str) -> Result<u8, CalendarError> {
    let upper = name.trim().to_ascii_uppercase();
    let full =
        ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"].map(str::to_owned);
    let found =
        NAMES.iter().position(|known| *known == upper).or(full.iter().position(|known| *known == upper));
    found.map(|at| at as u8).ok_or_else(|| {
        CalendarError(format!("{name:?} is no day of the week; they are {}", NAMES.join(", ")))
    })
}

impl std::fmt::Display for Weekdays {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let holds = |day: usize| self.0 & (1 << day) != 0;
        let mut parts = Vec::new();
        let mut day = 0;
        while day < 7 {
            let first = day;
            while day < 7 && holds(day) {
                day += 1;
            }
            match day - first {
                0 => day += 1,
                1 => parts.push(NAMES[first].to_owned()),
                2 => parts.extend([NAMES[first].to_owned(), NAMES[first + 1].to_owned()]),
                _ => parts.push(format!("{}-{}", NAMES[first], NAMES[day - 1])),
            }
        }
        formatter.write_str(&parts.join(","))
    }
}

impl Serialize for Weekdays {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Weekdays {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written() {
        for (text, shown) in [
            ("MON-FRI", "MON-FRI"),
            ("mon, wed", "MON,WED"),
            ("FRI-MON", "MON,FRI-SUN"),
            ("Saturday sunday", "SAT,SUN"),
            ("MON-SUN", "MON-SUN"),
            ("SUN-THU", "MON-THU,SUN"),
        ] {
            let days = Weekdays::parse(text).unwrap();
            assert_eq!(days.to_string(), shown, "{text}");
            assert_eq!(Weekdays::parse(shown), Ok(days));
        }
        for wrong in ["", "MON-", "1-5", "Mittwoch"] {
            assert!(Weekdays::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Weekdays::default().holds(Weekday::Friday) && !Weekdays::default().holds(Weekday::Saturday));
    }
}
