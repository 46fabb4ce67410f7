//! Hours of the week: `MON-FRI 09:00-17:00`, or from one day into another: `FRI 14:00 - MON 08:00`.

use super::CalendarError;
use super::weekdays::{self, Weekdays};
use jiff::civil::{DateTime, Weekday};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Minutes of a day.
const DAY: u32 = 24 * 60;

/// A part of every week. Its beginning belongs to it, its end does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// As it was written.
    text: String,
    /// Beginnings and ends in minutes since Monday 00:00; an end may lie in the next week.
    spans: Vec<(u32, u32)>,
}

impl Hours {
    /// Understands `DAYS`, `DAYS HH:MM-HH:MM`, `HH:MM-HH:MM` (every day) and `DAY HH:MM - DAY HH:MM`. An end that is not
    /// after its beginning lies on the next day: `MON-FRI 22:00-06:00`.
    ///
    /// # Errors
    /// Says what is not understood.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        let wrong = || {
            CalendarError(format!(
                "{text:?} are no hours; such as \"MON-FRI 09:00-17:00\" or \"FRI 14:00 - MON 08:00\"; days \
                 without times are meant whole"
            ))
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let spans = match words.as_slice() {
            [first, from, "-", last, to] => {
                let begin = u32::from(weekdays::number(first)?) * DAY + minutes(from).ok_or_else(wrong)?;
                let end = u32::from(weekdays::number(last)?) * DAY + minutes(to).ok_or_else(wrong)?;
                if begin == end {
                    return Err(wrong());
                }
                vec![(begin, if end > begin { end } else { end + 7 * DAY })]
            }
            [times] if times.contains(':') => daily(Weekdays::all(), times).ok_or_else(wrong)?,
            [days] => daily(Weekdays::parse(days)?, "00:00-24:00").ok_or_else(wrong)?,
            [days @ .., times] => daily(Weekdays::parse(&days.join(","))?, times).ok_or_else(wrong)?,
            [] => return Err(wrong()),
        };
        Ok(Self { text: text.trim().to_owned(), spans })
    }

    /// Whether a local time lies within.
    pub fn holds(&self, local: DateTime) -> bool {
        let time = local.time();
        let minute = u32::from(local.date().weekday().to_monday_zero_offset().unsigned_abs()) * DAY
            + u32::from(time.hour().unsigned_abs()) * 60
            + u32::from(time.minute().unsigned_abs());
        let within = |(begin, end): &(u32, u32)| {
            (*begin..*end).contains(&minute) || (*begin..*end).contains(&(minute + 7 * DAY))
        };
        self.spans.iter().any(within)
    }
}

/// The same times on each of some days.
fn daily(days: Weekdays, times: &str) -> Option<Vec<(u32, u32)>> {
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minutes(from)?, minutes(to)?);
    // From nine to nine may be meant as nothing or as all day.
    if from % DAY == to % DAY && (from, to) != (0, DAY) {
        return None;
    }
    let to = if to > from { to } else { to + DAY };
    let day = |number: u32| {
        let weekday = Weekday::from_monday_zero_offset(number as i8).ok()?;
        days.holds(weekday).then_some((number * DAY + from, number * DAY + to))
    };
    Some((0..7).filter_map(day).collect())
}

/// Minutes since midnight of `HH:MM`, up to `24:00`.
fn minutes(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}

impl std::fmt::Display for Hours {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(hours: &str, local: &str) -> bool {
        Hours::parse(hours).unwrap().holds(local.parse().unwrap())
    }

    #[test]
    fn hours_begin_and_end_where_they_say() {
        // 27 November 2026 is a Friday.
        assert!(holds("MON-FRI 09:00-17:00", "2026-11-27 09:00:00"));
        assert!(!holds("MON-FRI 09:00-17:00", "2026-11-27 17:00:00"));
        assert!(!holds("MON-FRI 09:00-17:00", "2026-11-28 12:00:00"));
        assert!(holds("MON FRI 09:00-17:00", "2026-11-27 16:59:59"));
        assert!(holds("SAT,SUN", "2026-11-29 23:59:59") && !holds("SAT,SUN", "2026-11-30 00:00:00"));
        assert!(holds("22:00-06:00", "2026-11-30 05:59:00"));
        for (time, inside) in [
            ("2026-11-27 13:59:00", false),
            ("2026-11-27 14:00:00", true),
            ("2026-11-29 12:00:00", true),
            ("2026-11-30 07:59:00", true),
            ("2026-11-30 08:00:00", false),
        ] {
            assert_eq!(holds("FRI 14:00 - MON 08:00", time), inside, "{time}");
        }
        assert!(holds("SUN 22:00-06:00", "2026-11-30 01:00:00"));
        for wrong in [
            "",
            "09:00",
            "MON 9-17",
            "MON 25:00-26:00",
            "MON 09:00 - 10:00",
            "noon",
            "MON-FRI 09:00-09:00",
            "24:00-00:00",
            "MON 9:00 - MON 9:00",
        ] {
            assert!(Hours::parse(wrong).is_err(), "{wrong}");
        }
    }
}
