//! When rounds of an experiment are due: `@every 2h`, or by cron.

use jiff::{SignedDuration, Timestamp};
use squall_practice::calendar::{Cron, Zone};

/// The shortest time from one round to the next.
const SHORTEST: SignedDuration = SignedDuration::from_secs(1);
/// When rounds are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rhythm {
    /// So long after the one before.
    Every(SignedDuration),
    /// By the clock on the wall.
    Cron(Box<Cron>, Zone),
}

impl Rhythm {
    /// Understands a schedule: `@every 2h`, or cron.
    pub(crate) fn parse(text: &str, zone: Option<&str>) -> Result<Self, String> {
        let text = text.trim();
        let (text, zone) = match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
            Some(rest) => {
                let (named, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                (rest.trim(), Some(named))
            }
            None => (text, zone),
        };
        if let Some(every) = text.strip_prefix("@every") {
            let every = every.trim();
            let wrong = || format!("{every:?} is no time from one round to the next; such as `@every 2h`");
            let every: squall_model::units::Duration = every.parse().map_err(|_| wrong())?;
            let every = SignedDuration::try_from(every.0).map_err(|_| wrong())?;
            return if every < SHORTEST { Err(wrong()) } else { Ok(Self::Every(every)) };
        }
        let zone = zone.map_or_else(|| Ok(Zone::utc()), Zone::named).map_err(|error| error.to_string())?;
        let cron = Cron::parse(text).map_err(|error| error.to_string())?;
        if cron.next_after(Timestamp::UNIX_EPOCH, &zone).is_none() {
            return Err(format!("{text:?} is no time that ever comes"));
        }
        Ok(Self::Cron(Box::new(cron), zone))
    }

    /// The first round after an instant; for `@every`, that of the round before.
    pub(crate) fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(every) => instant.checked_add(*every).ok(),
            Self::Cron(cron, zone) => cron.next_after(instant, zone),
        }
    }
}
