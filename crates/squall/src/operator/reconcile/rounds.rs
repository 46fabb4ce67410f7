//! Rounds: when the next one is due, and whether one is due now.

use crate::rhythm::Rhythm;
use jiff::{SignedDuration, Timestamp};

/// How late a round may begin where nothing is said.
pub(crate) const STARTS_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// So many rounds that are late are looked through for the last of them.
const LOOKED_THROUGH: usize = 5000;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Due {
    /// The round that is to begin now.
    pub(crate) round: Option<Timestamp>,
    /// The last of those that it is too late for.
    pub(crate) missed: Option<Timestamp>,
    /// The one after that.
    pub(crate) next: Option<Timestamp>,
}

impl Rhythm {
    /// What is due now. `last` is when the round before was due, and `within` how late one may begin.
    pub(crate) fn due(&self, last: Timestamp, within: SignedDuration, now: Timestamp) -> Due {
        let latest = match self {
            Self::Every(every) => {
                let rounds = now.duration_since(last).as_secs().max(0) / every.as_secs().max(1);
                let passed = i32::try_from(rounds).ok().and_then(|rounds| every.checked_mul(rounds));
                passed.filter(|_| rounds > 0).and_then(|passed| last.checked_add(passed).ok())
            }
            Self::Cron(..) => {
                // Whatever is too late for a beginning need not be counted.
                let from = now.checked_sub(within).map_or(last, |earliest| earliest.max(last));
                let rounds = std::iter::successors(self.next_after(from), |round| self.next_after(*round));
                rounds.take(LOOKED_THROUGH).take_while(|round| *round <= now).last()
            }
        };
        let is_late = latest.is_some_and(|round| now.duration_since(round) > within);
        let next = match self {
            Self::Every(_) => self.next_after(latest.unwrap_or(last)),
            Self::Cron(..) => self.next_after(now),
        };
        Due { round: latest.filter(|_| !is_late), missed: latest.filter(|_| is_late), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-11-30T{time}Z").parse().unwrap()
    }

    #[test]
    fn rounds_by_the_clock() {
        let rhythm = Rhythm::parse("*/10 * * * *", None).unwrap();
        let due = |last: &str, now: &str| rhythm.due(at(last), STARTS_WITHIN, at(now));
        let nothing = due("10:00:00", "10:09:59");
        assert_eq!((nothing.round, nothing.next), (None, Some(at("10:10:00"))));
        assert_eq!(due("10:00:00", "10:10:03").round, Some(at("10:10:00")));
        assert_eq!(due("10:10:00", "10:10:04").round, None, "it has begun");
        assert_eq!(due("10:00:00", "10:12:00").round, None, "it is too late for it");
        assert_eq!(
            due("08:00:00", "10:10:03").round,
            Some(at("10:10:00")),
            "of many that were missed, the last"
        );
    }

    #[test]
    fn rounds_at_intervals() {
        let rhythm = Rhythm::parse("@every 2h", None).unwrap();
        let due = |last: &str, now: &str| rhythm.due(at(last), STARTS_WITHIN, at(now));
        assert_eq!(due("10:00:00", "11:59:59"), Due { next: Some(at("12:00:00")), ..Due::default() });
        assert_eq!(due("10:00:00", "12:00:01").round, Some(at("12:00:00")));
        let late = due("10:00:00", "15:30:00");
        assert_eq!((late.round, late.missed, late.next), (None, Some(at("14:00:00")), Some(at("16:00:00"))));
    }

    #[test]
    fn zones_are_heeded() {
        let rhythm = Rhythm::parse("0 9 * * *", Some("Europe/Berlin")).unwrap();
        assert_eq!(rhythm.next_after(at("00:00:00")), Some(at("08:00:00")));
        let same = Rhythm::parse("CRON_TZ=Europe/Berlin 0 9 * * *", None).unwrap();
        assert_eq!(same.next_after(at("00:00:00")), Some(at("08:00:00")));
        for wrong in ["@every 0s", "@every soon", "61 * * * *", "0 0 30 2 *", "@reboot", ""] {
            assert!(Rhythm::parse(wrong, None).is_err(), "{wrong}");
        }
        assert!(Rhythm::parse("0 9 * * *", Some("Mars/Base")).is_err());
    }
}
