//! The steady state, the health of services, alerts and the guard, looked at every second. What changes is an event.

use super::{Answer, Present, Sample};
use crate::gameday::judge::found;
use squall_model::condition::{Condition, ConditionState, Truth};
use squall_model::experiment::Check;
use squall_model::gameday::{Event, Measures};
use squall_model::value::{Reading, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The steady state counts as back once it has held for so many seconds; it is back since the first of them.
pub(super) const CONFIRMED: f64 = 2.0;

/// How a check stands.
#[derive(Debug, Default)]
struct Stand {
    state: ConditionState,
    /// When its probe was asked what was judged last.
    asked: Option<f64>,
    truth: Option<Truth>,
    /// Since when it has held, or has not.
    since: Option<f64>,
    lost: Option<f64>,
    found: String,
}

/// All that is looked at.
#[derive(Debug)]
pub(super) struct Watch {
    steady: Vec<(Check, Stand)>,
    services: Vec<(Check, Stand)>,
    guard: Vec<(Condition, ConditionState)>,
    /// What was told of the steady state.
    told: Option<bool>,
    told_health: BTreeMap<String, Truth>,
    told_alerts: Option<Result<BTreeSet<String>, String>>,
    /// Until when what is known of the steady state reaches.
    known_until: f64,
}

impl Watch {
    pub(super) fn new(measures: &Measures) -> Self {
        let stand = |check: &Check| (check.clone(), Stand::default());
        Self {
            steady: measures.steady_state.iter().map(stand).collect(),
            services: measures.services.iter().map(stand).collect(),
            guard: measures
                .guard
                .iter()
                .map(|condition| (condition.clone(), ConditionState::default()))
                .collect(),
            told: None,
            told_health: BTreeMap::new(),
            told_alerts: None,
            known_until: 0.0,
        }
    }

    /// Whether anything tells of the steady state.
    pub(super) fn is_blind(&self) -> bool {
        self.steady.is_empty() && self.services.is_empty()
    }

    /// Since when the steady state has held and every service has answered as expected, where both have for long enough
    /// to be believed.
    pub(super) fn well_since(&self, now: f64) -> Option<f64> {
        let all = self.services.iter().chain(&self.steady);
        let since = latest(all)?;
        (now - since >= CONFIRMED || self.told.is_none()).then_some(since)
    }

    /// Whether everything was asked once.
    pub(super) fn has_looked(&self) -> bool {
        self.services.iter().chain(&self.steady).all(|(_, stand)| stand.truth.is_some())
    }

    /// Until when that is known, in seconds since the session began.
    pub(super) fn known_until(&self) -> f64 {
        self.known_until
    }

    /// The checks that do not hold, with what was read.
    pub(super) fn failing(&self) -> Vec<String> {
        failing(self.services.iter().chain(&self.steady))
    }

    /// Judges a second's sample.
    pub(super) fn look(&mut self, now: f64, sample: &Sample, measures: &Measures) -> Vec<Event> {
        let mut events = Vec::new();
        let present = sample.present.as_ref();
        for (index, (check, stand)) in self.steady.iter_mut().enumerate() {
            if check.probe.is_some() {
                stand.answered(check, sample.steady.get(&index));
            } else {
                stand.sampled(check, now, sample, present);
            }
        }
        for (check, stand) in &mut self.services {
            stand.answered(check, sample.services.get(&check.name));
            let Some(health) = stand.truth.clone() else { continue };
            if self.told_health.get(&check.name) != Some(&health) {
                self.told_health.insert(check.name.clone(), health.clone());
                events.push(Event::Service { name: check.name.clone(), health, found: stand.found.clone() });
            }
        }
        let on_loads =
            !measures.loads.is_empty() && self.steady.iter().any(|(check, _)| check.probe.is_none());
        self.known_until = match present {
            Some(present) if on_loads => present.to,
            None if on_loads => self.known_until,
            _ => now,
        };
        events.extend(self.tell_steady(now));
        if let Some(alerts) = &sample.alerts
            && self.told_alerts.as_ref() != Some(alerts)
        {
            self.told_alerts = Some(alerts.clone());
            let (firing, error) = match alerts {
                Ok(firing) => (firing.iter().cloned().collect(), None),
                Err(why) => (Vec::new(), Some(why.clone())),
            };
            events.push(Event::Alerts { firing, error });
        }
        events
    }

    fn tell_steady(&mut self, now: f64) -> Option<Event> {
        if self.is_blind() {
            return None;
        }
        // What users meet is what counts; that a part is down may be just what they are spared. Where nothing tells what
        // they meet, the parts stand for it.
        let counted = if self.steady.is_empty() { &self.services } else { &self.steady };
        let all = || counted.iter();
        // Before every check was asked once, nothing is known.
        if all().any(|(_, stand)| stand.truth.is_none()) {
            return None;
        }
        let since = latest(all());
        match (since, self.told) {
            (Some(since), told) if told != Some(true) && (told.is_none() || now - since >= CONFIRMED) => {
                self.told = Some(true);
                Some(Event::Steady { holds: true, since, failing: Vec::new() })
            }
            (None, told) if told != Some(false) => {
                let lost = all().filter_map(|(_, stand)| stand.lost).fold(now, f64::min);
                let failing = failing(all());
                self.told = Some(false);
                Some(Event::Steady { holds: false, since: lost, failing })
            }
            _ => None,
        }
    }

    /// Why the guard ends it, if it does. What cannot be read is no reason to go on.
    pub(super) fn guard(&mut self, now: f64, sample: &Sample) -> Option<String> {
        let reading = reading(&sample.values);
        let mut reason = None;
        for (condition, state) in &mut self.guard {
            match condition.judge(state, now, &reading) {
                Truth::Holds => reason = reason.or_else(|| Some(format!("the guard: {condition}"))),
                Truth::Unknown { missing } => {
                    let missing = missing.join(", ");
                    reason = reason.or_else(|| Some(format!("the guard could not read {missing}")));
                }
                Truth::Fails => {}
            }
        }
        reason
    }
}

/// Since when all of these hold.
fn latest<'s>(mut all: impl Iterator<Item = &'s (Check, Stand)>) -> Option<f64> {
    all.try_fold(0.0_f64, |latest, (_, stand)| stand.since.map(|since| latest.max(since)))
}

fn failing<'s>(all: impl Iterator<Item = &'s (Check, Stand)>) -> Vec<String> {
    all.filter(|(_, stand)| stand.since.is_none())
        .map(|(check, stand)| {
            let why = if stand.found.is_empty() { "no answer yet" } else { &stand.found };
            format!("{}: {why}", check.name)
        })
        .collect()
}

fn reading(values: &BTreeMap<String, f64>) -> Reading {
    values.iter().map(|(name, value)| (name.clone(), Value::Number(*value))).collect()
}

impl Stand {
    /// Judges a probe's answer, once.
    fn answered(&mut self, check: &Check, answer: Option<&Answer>) {
        let Some(answer) = answer.filter(|answer| self.asked != Some(answer.asked)) else { return };
        self.asked = Some(answer.asked);
        match &answer.reading {
            Ok(reading) => {
                let truth = check.expect.judge(&mut self.state, answer.asked, reading);
                self.took((answer.asked, answer.asked), truth, found(&check.expect, reading));
            }
            Err(why) => {
                self.state = ConditionState::default();
                self.took(
                    (answer.asked, answer.asked),
                    Truth::Unknown { missing: check.expect.names() },
                    why.clone(),
                );
            }
        }
    }

    /// Judges metrics: those of loads on what users met lately, others as they were read.
    fn sampled(&mut self, check: &Check, now: f64, sample: &Sample, present: Option<&Present>) {
        let names = check.expect.names();
        let lately = present.filter(|present| names.iter().any(|name| present.values.contains_key(name)));
        let mut values = sample.values.clone();
        if let Some(present) = present {
            values.extend(present.values.clone());
        }
        let reading = reading(&values);
        let at = lately.map_or(now, |present| present.to);
        let truth = check.expect.judge(&mut self.state, at, &reading);
        let span = lately.map_or((now, now), |present| (present.from, present.to));
        self.took(span, truth, found(&check.expect, &reading));
    }

    /// What was measured from one moment to another.
    fn took(&mut self, (from, to): (f64, f64), truth: Truth, found: String) {
        let holds = truth.holds();
        self.since = holds.then(|| self.since.unwrap_or(from));
        self.lost = (!holds).then(|| self.lost.unwrap_or(to));
        self.truth = Some(truth);
        self.found = found;
    }
}
