//! `--since`: how far back is looked.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use squall_model::units::Duration;

/// A moment: so long ago (`7d`, `12h`, `2w`), a date (in UTC), or a moment as in journals.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    moment(text, Timestamp::now())
}

fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let weeks = text.strip_suffix('w').and_then(|weeks| weeks.parse::<u32>().ok());
    if let Some(ago) = weeks.map(|weeks| SignedDuration::from_hours(i64::from(weeks) * 7 * 24)) {
        return Ok(now.checked_sub(ago).unwrap_or(Timestamp::MIN));
    }
    if let Ok(ago) = text.parse::<Duration>() {
        return Ok(now.checked_sub(ago.0).unwrap_or(Timestamp::MIN));
    }
    if let Ok(date) = text.parse::<Date>()
        && let Ok(begins) = date.to_zoned(TimeZone::UTC)
    {
        return Ok(begins.timestamp());
    }
    text.parse().map_err(|_| {
        format!("{text:?} is no moment: say how long ago (7d, 12h, 2w), a date (2026-11-01) or a time (2026-11-01T09:00:00Z)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_understood() {
        let now = "2026-11-10T12:00:00Z".parse().unwrap();
        let is = |text: &str| moment(text, now).map(|moment| moment.to_string());
        assert_eq!(is("7d").as_deref(), Ok("2026-11-03T12:00:00Z"));
        assert_eq!(is("1w").as_deref(), Ok("2026-11-03T12:00:00Z"));
        assert_eq!(is("1h30m").as_deref(), Ok("2026-11-10T10:30:00Z"));
        assert_eq!(is("2026-11-01").as_deref(), Ok("2026-11-01T00:00:00Z"));
        assert_eq!(is("2026-11-01T09:00:00Z").as_deref(), Ok("2026-11-01T09:00:00Z"));
        assert!(is("yesterday").unwrap_err().contains("7d, 12h"));
    }
}
