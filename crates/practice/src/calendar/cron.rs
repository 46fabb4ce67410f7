//! Schedules as cron writes them: `0 0 9-17 * * MON-FRI`.
//!
//! Six fields are second, minute, hour, day of the month, month, day of the week; five fields leave the seconds away
//! (which are 0 then). Each field is `*` (or `?`), a number, a range `9-17`, a list of these, each with a step if wanted
//! (`*/15`, `8-18/2`; `10/15` begins at 10); months and weekdays also have names. Sunday is 0 or 7, and a range of
//! weekdays may run over the end of the week (`FRI-MON`). `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are
//! known.
//!
//! **Where both the day of the month and the day of the week are restricted, both must fit.** The cron of Unix fires
//! where *either* fits, so that a schedule for one Thursday in June also fires on all other days of one or the other kind;
//! for what breaks things on purpose the narrow reading is the safe one.
//!
//! Local times that the clock skips do not fire; those that it shows twice fire once, the first time.

use super::weekdays::Weekdays;
use super::{CalendarError, FARTHEST, Zone};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time of the day, to the second.
pub type TimeOfDay = Time;

/// When something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// As it was written.
    text: String,
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: Weekdays,
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// One field: what it is called, and what it takes.
struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const SECOND: Field = Field { name: "second", least: 0, most: 59, names: &[] };
const MINUTE: Field = Field { name: "minute", least: 0, most: 59, names: &[] };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, names: &[] };
const DAY: Field = Field { name: "day of the month", least: 1, most: 31, names: &[] };
const MONTH: Field = Field { name: "month", least: 1, most: 12, names: &MONTHS };

impl Cron {
    /// Understands a schedule.
    ///
    /// # Errors
    /// Says which field is wrong, and what it takes; also where no day ever fits (31 February).
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        let written = text.trim().to_owned();
        let expanded =
            NICKNAMES.iter().find(|(name, _)| *name == written).map_or(written.as_str(), |(_, text)| text);
        let fields: Vec<&str> = expanded.split_whitespace().collect();
        let (second, rest) = match fields.as_slice() {
            [second, rest @ ..] if rest.len() == 5 => (*second, rest),
            rest if rest.len() == 5 => ("0", rest),
            other => {
                return Err(CalendarError(format!(
                    "a schedule has five fields (minute, hour, day of the month, month, day of the week) or six (with \
                     the second before them), and {written:?} has {}; such as \"0 0 9-17 * * MON-FRI\"",
                    other.len()
                )));
            }
        };
        let cron = Self {
            seconds: SECOND.parse(second)?,
            minutes: MINUTE.parse(rest[0])?,
            hours: HOUR.parse(rest[1])?,
            days: DAY.parse(rest[2])?,
            months: MONTH.parse(rest[3])?,
            weekdays: parse_weekdays(rest[4])?,
            text: written,
        };
        // A leap year that begins on a Thursday and all that follows from it: 28 years hold every date on every weekday.
        let from = Date::constant(2000, 1, 1);
        let fires = super::Calendar::days_from(from).take(FARTHEST).any(|date| cron.fires_on(date));
        if fires { Ok(cron) } else { Err(CalendarError(format!("{:?} fits no day of any year", cron.text))) }
    }

    /// Whether it fires on a day at all.
    pub fn fires_on(&self, date: Date) -> bool {
        self.days & (1 << date.day()) != 0
            && self.months & (1 << date.month()) != 0
            && self.weekdays.holds(date.weekday())
    }

    /// The times at which it fires on a day on which it does.
    pub fn times(&self) -> impl Iterator<Item = TimeOfDay> + '_ {
        let each = |set: u64, most: i8| (0..=most).filter(move |number| set & (1 << number) != 0);
        each(self.hours, 23).flat_map(move |hour| {
            each(self.minutes, 59).flat_map(move |minute| {
                each(self.seconds, 59).map(move |second| Time::constant(hour, minute, second, 0))
            })
        })
    }

    /// The instants at which it fires on a day, in order.
    pub fn firings(&self, date: Date, zone: &Zone) -> Vec<Timestamp> {
        if !self.fires_on(date) {
            return Vec::new();
        }
        let mut instants: Vec<Timestamp> =
            self.times().filter_map(|time| zone.instant(date.to_datetime(time))).collect();
        // Where clocks are put back, what is written later can come earlier.
        instants.sort_unstable();
        instants
    }

    /// The first instant after `instant` at which it fires.
    pub fn next_after(&self, instant: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let from = zone.at(instant).date();
        super::Calendar::days_from(from)
            .take(FARTHEST)
            .filter(|date| self.fires_on(*date))
            .find_map(|date| self.firings(date, zone).into_iter().find(|firing| *firing > instant))
    }

    /// The days of the week on which it can fire.
    pub fn weekdays(&self) -> Weekdays {
        self.weekdays
    }
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, CalendarError> {
        let mut set = 0;
        for (first, last, step) in parts(text, self)? {
            if first > last {
                return Err(self.wrong(text, &format!("{first} comes after {last}")));
            }
            (first..=last).step_by(step.into()).for_each(|number| set |= 1 << number);
        }
        Ok(set)
    }

    fn number(&self, text: &str, whole: &str) -> Result<u8, CalendarError> {
        let upper = text.to_ascii_uppercase();
        if let Some(at) = self.names.iter().position(|name| *name == upper) {
            return Ok(self.least + at as u8);
        }
        let number = text.parse::<u8>().ok().filter(|number| (self.least..=self.most).contains(number));
        number.ok_or_else(|| self.wrong(whole, &format!("{text:?} is none")))
    }

    fn wrong(&self, text: &str, why: &str) -> CalendarError {
        let names = match self.names {
            [first, .., last] => format!(" or {first} to {last}"),
            _ => String::new(),
        };
        CalendarError(format!(
            "the field {text:?} of the schedule is the {}, {} to {}{names}, as `*`, a number, a range, a list, with \
             steps if wanted (`*/5`): {why}",
            self.name, self.least, self.most
        ))
    }
}

/// The members of a field's list as first, last and step.
fn parts(text: &str, field: &Field) -> Result<Vec<(u8, u8, u8)>, CalendarError> {
    let part = |part: &str| {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let number = step.parse::<u8>().ok().filter(|step| *step > 0);
                let number = number.ok_or_else(|| field.wrong(text, &format!("{step:?} is no step")))?;
                (range, Some(number))
            }
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (field.least, field.most),
            Some((first, last)) => (field.number(first, text)?, field.number(last, text)?),
            // `10/15` begins at 10 and goes on to the end.
            None if step.is_some() => (field.number(range, text)?, field.most),
            None => (field.number(range, text)?, field.number(range, text)?),
        };
        Ok((first, last, step.unwrap_or(1)))
    };
    text.split(',').map(part).collect()
}

/// Weekdays begin with Sunday, which is 0 and 7, and may run over the end of the week.
fn parse_weekdays(text: &str) -> Result<Weekdays, CalendarError> {
    const FIELD: Field = Field {
        name: "day of the week",
        least: 0,
        most: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    };
    let mut days = Weekdays::none();
    for (first, last, step) in parts(text, &FIELD)? {
        let last = if last < first { last + 7 } else { last };
        // `*` is 0 to 7, and 7 is Sunday again; a step must not come upon it twice.
        let last = if (first, last) == (0, 7) { 6 } else { last };
        for number in (first..=last).step_by(step.into()) {
            // From Sunday first to Monday first.
            days.add((number + 6) % 7);
        }
    }
    Ok(days)
}

impl std::fmt::Display for Cron {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for Cron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Cron {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};

    fn cron(text: &str) -> Cron {
        Cron::parse(text).unwrap()
    }

    fn next(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let (cron, zone) = (cron(text), Zone::named(zone).unwrap());
        let mut at: Timestamp = after.parse().unwrap();
        (0..count)
            .map(|_| {
                at = cron.next_after(at, &zone).unwrap();
                zone.at(at).strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string()
            })
            .collect()
    }

    #[test]
    fn the_seeds_schedule_fires_each_hour_of_the_offices() {
        let office = cron("0 0 9-17 * * MON-FRI");
        assert_eq!(office.weekdays().to_string(), "MON-FRI");
        let times: Vec<_> = office.times().collect();
        assert_eq!((times.len(), times[0], times[8]), (9, time(9, 0, 0, 0), time(17, 0, 0, 0)));
        assert!(office.fires_on(date(2026, 11, 27)) && !office.fires_on(date(2026, 11, 28)));
        assert_eq!(
            next("0 0 9-17 * * MON-FRI", "UTC", "2026-11-27T16:59:59Z", 2),
            ["Fri 2026-11-27 17:00:00 +00:00", "Mon 2026-11-30 09:00:00 +00:00"]
        );
    }

    #[test]
    fn five_fields_lists_steps_and_names() {
        assert_eq!(cron("*/20 8,10 * * *").times().count(), 6);
        assert_eq!(cron("10/15 * * * *").times().filter(|time| time.hour() == 0).count(), 4);
        assert_eq!(cron("0 30 8-18/5 ? jan-mar,DEC sun").times().count(), 3);
        assert_eq!(cron("0 0 * * 7"), Cron { text: "0 0 * * 7".into(), ..cron("0 0 * * 0") });
        assert_eq!(cron("0 0 * * FRI-MON").weekdays().to_string(), "MON,FRI-SUN");
        assert_eq!(cron("0 0 * * 5-7").weekdays().to_string(), "FRI-SUN");
        assert_eq!(cron("0 0 * * 1-5").weekdays().to_string(), "MON-FRI");
        assert_eq!(cron("0 0 * * */2").weekdays().to_string(), "TUE,THU,SAT,SUN");
        assert_eq!(cron("@weekly").weekdays().to_string(), "SUN");
        assert_eq!(
            next("0 0 29 2 MON", "UTC", "2026-01-01T00:00:00Z", 2),
            ["Mon 2044-02-29 00:00:00 +00:00", "Mon 2072-02-29 00:00:00 +00:00"]
        );
    }

    #[test]
    fn day_of_the_month_and_weekday_must_both_fit() {
        // Unix' cron would fire on each Friday and each 13th.
        assert_eq!(
            next("0 12 13 * FRI", "UTC", "2026-01-01T00:00:00Z", 3),
            [
                "Fri 2026-02-13 12:00:00 +00:00",
                "Fri 2026-03-13 12:00:00 +00:00",
                "Fri 2026-11-13 12:00:00 +00:00"
            ]
        );
    }

    #[test]
    fn skipped_times_do_not_fire_and_repeated_ones_fire_once() {
        // Berlin, 29 March 2026: 02:00 becomes 03:00. 25 October 2026: 03:00 becomes 02:00.
        assert_eq!(
            next("0 30 1-3 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z", 3),
            [
                "Sun 2026-03-29 01:30:00 +01:00",
                "Sun 2026-03-29 03:30:00 +02:00",
                "Mon 2026-03-30 01:30:00 +02:00"
            ]
        );
        assert_eq!(
            next("0 30 2-3 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", 3),
            [
                "Sun 2026-10-25 02:30:00 +02:00",
                "Sun 2026-10-25 03:30:00 +01:00",
                "Mon 2026-10-26 02:30:00 +01:00"
            ]
        );
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-03-28T10:00:00Z", 1),
            ["Mon 2026-03-30 02:30:00 +02:00"]
        );
    }

    #[test]
    fn mistakes_name_their_field() {
        for (text, says) in [
            ("0 0 9-17 * *", ""),
            ("* * * *", "has 4"),
            ("", "has 0"),
            ("0 60 * * * *", "minute"),
            ("0 0 24 * * *", "hour"),
            ("0 0 17-9 * * *", "17 comes after 9"),
            ("0 0 0 0 * *", "day of the month"),
            ("0 0 0 L * *", "\"L\" is none"),
            ("0 0 0 * FOO *", "JAN to DEC"),
            ("0 0 0 * * 8", "day of the week"),
            ("*/0 * * * *", "no step"),
            ("0 0 31 2 *", "no day of any year"),
            ("@reboot", "has 1"),
        ] {
            let outcome = Cron::parse(text);
            if says.is_empty() {
                assert!(outcome.is_ok(), "{text}");
            } else {
                assert!(outcome.unwrap_err().to_string().contains(says), "{text}");
            }
        }
    }
}
