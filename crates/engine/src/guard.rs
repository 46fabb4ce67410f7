//! The guard: while a fault may be active, what must not happen is looked for every second. Unknown is unsafe.

use crate::record::Sample;
use crate::words;
use squall_model::condition::{Condition, ConditionState, Truth};
use squall_model::event::{AbortCause, Event};

/// The guard writes to the journal at least this often, in seconds.
const WRITES_EVERY: f64 = 10.0;

/// It looks every second. Where two looks lie further apart than this, in seconds, it was blind.
const BLIND: f64 = 3.0;

/// The conditions that end a run, and how they stand.
#[derive(Debug)]
pub(crate) struct Guard {
    conditions: Vec<Watched>,
    ticks: u64,
    slowest: f64,
    written: Option<f64>,
    /// How often it had looked by then.
    told: u64,
    looked: Option<f64>,
}

#[derive(Debug)]
struct Watched {
    condition: Condition,
    names: Vec<String>,
    state: ConditionState,
    truth: Option<Truth>,
}

/// What a look found.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// To be journaled.
    pub(crate) event: Option<Event>,
    /// What ends the run.
    pub(crate) tripped: Option<(AbortCause, String)>,
}

impl Guard {
    pub(crate) fn new(conditions: &[Condition]) -> Self {
        let watched = |condition: &Condition| Watched {
            condition: condition.clone(),
            names: condition.names(),
            state: ConditionState::default(),
            truth: None,
        };
        Self {
            conditions: conditions.iter().map(watched).collect(),
            ticks: 0,
            slowest: 0.0,
            written: None,
            told: 0,
            looked: None,
        }
    }

    /// What the guard needs and cannot read in this sample.
    pub(crate) fn unreadable(&self, loads: &[String], sample: &Sample) -> Vec<String> {
        let missing = |watched: &Watched| {
            let reading = sample.reading(loads, &watched.names);
            watched.names.iter().filter(|name| !reading.contains_key(*name)).cloned().collect::<Vec<_>>()
        };
        self.conditions.iter().flat_map(missing).collect()
    }

    /// Judges every condition on the sample of a second.
    pub(crate) fn look(&mut self, now: f64, loads: &[String], sample: &Sample) -> Look {
        if self.conditions.is_empty() {
            return Look::default();
        }
        self.ticks += 1;
        self.slowest = self.slowest.max(sample.late);
        let mut changed = false;
        let mut tripped = self.blind(now);
        for watched in &mut self.conditions {
            let reading = sample.reading(loads, &watched.names);
            let truth = watched.condition.judge(&mut watched.state, now, &reading);
            let found = words::reading_of(&watched.condition, &reading, &sample.errors);
            let trip = match &truth {
                Truth::Fails => None,
                Truth::Holds => Some((AbortCause::Guard, format!("abort_if {}: {found}", watched.condition))),
                Truth::Unknown { missing } => {
                    Some((AbortCause::Unreadable, unreadable(&watched.condition, missing, sample)))
                }
            };
            // A condition that holds says more than one that cannot be read.
            let holds = matches!(trip, Some((AbortCause::Guard, _)));
            if tripped.is_none() || holds {
                tripped = trip.or(tripped);
            }
            changed |= watched.truth.as_ref() != Some(&truth);
            watched.truth = Some(truth);
        }
        let due = self.written.is_none_or(|written| now - written >= WRITES_EVERY);
        let event = (changed || due).then(|| {
            self.written = Some(now);
            self.told = self.ticks;
            self.event()
        });
        Look { event, tripped }
    }

    /// Its last word, where it looked since the one before: how often it did in all.
    pub(crate) fn conclude(&mut self) -> Option<Event> {
        let has_news = self.ticks > self.told;
        self.told = self.ticks;
        has_news.then(|| self.event())
    }

    /// What happened while nobody looked is not known, and unknown is unsafe.
    fn blind(&mut self, now: f64) -> Option<(AbortCause, String)> {
        let gap = now - self.looked.replace(now)?;
        let why = format!(
            "the guard could not look for {gap:.1} s: Squall itself was held up (its process was stopped, or its machine \
             paused or starved)"
        );
        (gap > BLIND).then_some((AbortCause::Unreadable, why))
    }

    fn event(&self) -> Event {
        let stand = |watched: &Watched| Some((watched.condition.text.clone(), watched.truth.clone()?));
        Event::Guard {
            ticks: self.ticks,
            conditions: self.conditions.iter().filter_map(stand).collect(),
            slowest_seconds: self.slowest,
        }
    }
}

fn unreadable(condition: &Condition, missing: &[String], sample: &Sample) -> String {
    let names: Vec<String> = missing.iter().map(|name| words::unread(name, &sample.errors)).collect();
    format!("abort_if {condition} cannot be judged: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn sample(values: &[(&str, f64)]) -> Sample {
        let metrics = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Sample { metrics, ..Sample::default() }
    }

    fn guard(conditions: &[&str]) -> Guard {
        Guard::new(&conditions.iter().map(|text| Condition::parse(text).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn what_holds_long_enough_trips() {
        let mut guard = guard(&["queue > 5 for 2s"]);
        let mut looks = [(0.0, 9.0), (1.0, 9.0), (2.0, 9.0)]
            .map(|(now, queue)| guard.look(now, &[], &sample(&[("queue", queue)])).tripped)
            .into_iter();
        assert_eq!((looks.next().unwrap(), looks.next().unwrap()), (None, None));
        let (cause, reason) = looks.next().unwrap().unwrap();
        assert_eq!(cause, AbortCause::Guard);
        assert_eq!(reason, "abort_if queue > 5 for 2s: queue = 9");
    }

    #[test]
    fn what_cannot_be_read_trips_and_says_why() {
        let mut guard = guard(&["queue > 5", "depth > 7"]);
        let mut sample = sample(&[("depth", 1.0)]);
        sample.errors = BTreeMap::from([("queue".to_owned(), "connection refused".to_owned())]);
        let (cause, reason) = guard.look(1.0, &[], &sample).tripped.unwrap();
        assert_eq!(cause, AbortCause::Unreadable);
        assert!(reason.contains("queue could not be read (connection refused)"), "{reason}");
        assert_eq!(guard.unreadable(&[], &sample), ["queue"]);
        sample.metrics.insert("depth".into(), 8.0);
        assert_eq!(guard.look(2.0, &[], &sample).tripped.unwrap().0, AbortCause::Guard);
    }

    #[test]
    fn a_guard_that_was_blind_trips() {
        let mut guard = guard(&["queue > 5"]);
        let mut trips = |now: f64, queue: f64| {
            guard.look(now, &[], &sample(&[("queue", queue)])).tripped.map(|trip| trip.0)
        };
        assert_eq!((trips(1.0, 1.0), trips(2.1, 1.0), trips(4.9, 1.0)), (None, None, None));
        assert_eq!(trips(8.0, 1.0), Some(AbortCause::Unreadable));
        assert_eq!(trips(12.0, 9.0), Some(AbortCause::Guard), "what is seen says more");
    }

    #[test]
    fn it_writes_when_something_changes_and_every_ten_seconds() {
        let mut guard = guard(&["queue > 5"]);
        let written: Vec<bool> = (0..25)
            .map(|second| {
                let queue = if second == 13 { 6.0 } else { 1.0 };
                guard.look(f64::from(second), &[], &sample(&[("queue", queue)])).event.is_some()
            })
            .collect();
        let seconds: Vec<usize> = written.iter().enumerate().filter(|(_, w)| **w).map(|(s, _)| s).collect();
        assert_eq!(seconds, [0, 10, 13, 14, 24]);
        assert_eq!(guard.conclude(), None, "all is told");
        guard.look(25.0, &[], &sample(&[("queue", 1.0)]));
        assert!(matches!(guard.conclude(), Some(Event::Guard { ticks: 26, .. })));
        assert_eq!(guard.conclude(), None);
    }
}
