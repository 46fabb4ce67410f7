//! Before a fault: plan, steady state, baseline. Nothing is touched.

use super::{Link, Output, Run, Stage};
use crate::approval::Approval;
use crate::link::LinkError;
use crate::load;
use crate::method::{self, Method};
use crate::words;
use squall_model::condition::{Bound, Condition};
use squall_model::event::{self, Event, Hindrance, Phase};
use squall_model::experiment::Check;
use squall_model::protocol::{Answer, CallError, CallErrorKind};
use std::collections::BTreeMap;

/// How much longer than the longest window of a load, and than any `for`, metrics may take to hold before, in seconds.
const SETTLES: f64 = 5.0;

/// Two samples in a row, in seconds, with some room for a late tick.
const TWO_SAMPLES: f64 = 0.5;

impl Run {
    pub(super) fn begin(&mut self, ready: Result<(), String>) {
        let started = self.started();
        self.journal(started);
        self.enter(Stage::Plan, Phase::Plan);
        if let Err(why) = ready {
            self.refuse(why);
        } else if !self.is_faultless() {
            self.link = Link::Connecting;
            self.out.push(Output::Connect);
        } else {
            self.begin_steady_state();
        }
    }

    pub(super) fn planned(&mut self, answer: Result<Answer, LinkError>) {
        match answer {
            Ok(Answer::Plan(plan)) => {
                if let Some(why) = plan.unplanned() {
                    return self.refuse(why);
                }
                self.method = Method::new(&self.experiment, &plan.injections);
                self.planned.clone_from(&plan.injections);
                self.following.knows(&plan.notes);
                let injections = self.in_words(&plan.injections);
                self.journal(Event::Planned { injections, notes: plan.notes.clone(), hindered_by: None });
                (self.stage, self.stage_since) = (Stage::Approval, self.now);
                self.out.push(Output::Approve(plan));
            }
            // Nothing is wrong with the experiment: here it cannot be carried out.
            Err(LinkError::Refused(error)) if error.kind == CallErrorKind::Unsupported => {
                self.could_not_inject(self.about_entry(&error));
            }
            Err(LinkError::Refused(error)) => {
                let hindered_by = hindrance(error.kind);
                // Whoever can wait does.
                if hindered_by.is_some() {
                    self.journal(Event::Planned { injections: Vec::new(), notes: Vec::new(), hindered_by });
                }
                self.refuse(self.about_entry(&error));
            }
            Err(LinkError::Lost(why)) => {
                self.link = Link::Down;
                self.refuse(format!("the agent was lost while it planned: {why}"));
            }
            Ok(_) => self.refuse("the agent answered something else than a plan".to_owned()),
        }
    }

    pub(super) fn approved(&mut self, approval: Approval) {
        if self.stage != Stage::Approval {
            return;
        }
        match approval {
            Approval::Implied => {}
            Approval::Agreed { by } => {
                let mut agreed = BTreeMap::new();
                self.planned.iter().for_each(|planned| *agreed.entry(planned.entry).or_default() += 1);
                self.agreed = Some(agreed);
                self.journal(Event::Approved { by });
            }
            Approval::Refused { by, why } => {
                self.journal(Event::Refused { by, why: why.clone() });
                return self.refuse(format!("not carried out: {why}; nothing was touched"));
            }
        }
        self.begin_steady_state();
    }

    /// What came of planning, with the fault that it is about.
    pub(super) fn about_entry(&self, error: &CallError) -> String {
        let strike = error.entry.and_then(|entry| method::strikes(&self.experiment).nth(entry));
        let about = strike.map(|strike| format!("{}: ", strike.fault)).unwrap_or_default();
        format!("{about}{}", error.message)
    }

    /// Ends a run that cannot be carried out; nothing was touched.
    pub(super) fn refuse(&mut self, why: String) {
        self.findings.invalid.push(why);
        self.begin_undo("failed");
    }

    fn begin_steady_state(&mut self) {
        self.enter(Stage::SteadyState, Phase::SteadyState);
        self.measuring = !self.experiment.loads.is_empty() || !self.experiment.metrics.is_empty();
        if self.measuring {
            self.out.push(Output::StartMeasuring);
        }
        self.ask_steady_state();
    }

    pub(super) fn await_steady_state(&mut self) -> bool {
        if self.steady.a_probe_fails() {
            self.findings.not_steady = self.steady.shortcomings();
            self.begin_undo("failed");
            return true;
        }
        let metrics_matter = self.steady.speak_of_metrics() || !self.experiment.guard.is_empty();
        let unreadable = self.guard.unreadable(&self.record.loads, &self.latest);
        let held_long = |since: f64| !self.steady.speak_of_metrics() || self.now - since >= TWO_SAMPLES;
        if self.steady.held_since().is_some_and(held_long)
            && (!metrics_matter || self.samples > 0)
            && unreadable.is_empty()
        {
            self.begin_baseline();
            return true;
        }
        let window = self.experiment.loads.iter().map(|load| load.window.as_seconds()).fold(0.0, f64::max);
        let latest = self.stage_since + window + self.steady.take() + SETTLES;
        if self.now < latest {
            self.wake_by(latest);
        } else if !self.steady.outstanding() {
            let mut reasons = self.steady.shortcomings();
            if !unreadable.is_empty() {
                let names = unreadable.iter().map(|name| words::unread(name, &self.latest.errors));
                reasons.push(format!("the guard: {}", names.collect::<Vec<_>>().join(", ")));
            }
            reasons.extend(self.troubles.now());
            if reasons.is_empty() {
                reasons.push("the steady state did not hold for two seconds in a row".to_owned());
            }
            self.findings.not_steady = reasons;
            self.begin_undo("failed");
            return true;
        }
        false
    }

    fn begin_baseline(&mut self) {
        self.enter(Stage::Baseline, Phase::Baseline);
        self.record.open(self.now, "baseline".to_owned(), false);
    }

    pub(super) fn measure_baseline(&mut self) -> bool {
        let until = self.stage_since + self.experiment.baseline.as_seconds();
        if self.now < until {
            self.wake_by(until);
            return false;
        }
        if !self.is_faultless() && !self.experiment.baseline.0.is_zero() && !self.steady.is_empty() {
            // What held before the baseline may have broken since.
            if !std::mem::replace(&mut self.asked_again, true) {
                self.ask_steady_state();
            }
            if self.steady.outstanding() {
                return false;
            }
            if self.steady.held_since().is_none() {
                self.findings.not_steady = self.steady.shortcomings();
                self.begin_undo("failed");
                return true;
            }
        }
        self.record.close(self.now);
        self.enter(Stage::Method, Phase::Fault);
        if self.is_faultless() {
            self.record.open(self.now, "method".to_owned(), false);
            let questions = self.hypothesis.ask_first();
            self.ask(questions);
        }
        true
    }

    fn started(&self) -> Event {
        let experiment = &*self.experiment;
        let claims = experiment.steady_state.iter().chain(&experiment.hypothesis_holds);
        let mut conditions: Vec<(String, String)> =
            claims.map(|check| (check.name.clone(), check.expect.text.clone())).collect();
        conditions.extend(experiment.guard.iter().map(|guard| ("guard".to_owned(), guard.text.clone())));
        conditions.dedup();
        let on_metrics = |check: &&Check| check.probe.is_none();
        let objectives =
            experiment.steady_state.iter().chain(&experiment.hypothesis_holds).filter(on_metrics);
        Event::RunStarted {
            version: event::VERSION,
            run: self.identity.run.clone(),
            experiment: experiment.name.clone(),
            hypothesis: experiment.hypothesis.clone(),
            tags: experiment.tags.clone(),
            file: self.identity.file.clone(),
            options: self.identity.options.clone(),
            seed: self.identity.seed,
            squall: self.identity.squall.clone(),
            host: self.identity.host.clone(),
            environment: self.identity.environment.clone(),
            origin: self.identity.origin.clone(),
            by: self.identity.by.clone(),
            fingerprint: self.identity.fingerprint.clone(),
            services: experiment.blast_radius.services.clone(),
            conditions,
            objectives: self.bounds(objectives.map(|check| &check.expect)),
            limits: self.bounds(experiment.guard.iter()),
            method_seconds: method::seconds(experiment),
            baseline_seconds: experiment.baseline.as_seconds(),
            recovery_seconds: experiment.recovery_within.as_seconds(),
        }
    }

    /// Thresholds, each once, under the names that metrics have in the journal.
    fn bounds<'c>(&self, conditions: impl Iterator<Item = &'c Condition>) -> Vec<Bound> {
        let mut bounds: Vec<Bound> = Vec::new();
        for mut bound in conditions.flat_map(Condition::bounds) {
            if let Some((load, metric)) = load::find(&self.record.loads, &bound.name) {
                bound.name = load::journal_name(&self.record.loads, load, metric);
            }
            if !bounds.contains(&bound) {
                bounds.push(bound);
            }
        }
        bounds
    }
}

/// What a plan failed on, where it may be otherwise in a while.
pub(super) fn hindrance(refused: CallErrorKind) -> Option<Hindrance> {
    match refused {
        CallErrorKind::NothingMatches => Some(Hindrance::NothingMatches),
        CallErrorKind::NotReady | CallErrorKind::Gone => Some(Hindrance::NotReady),
        CallErrorKind::Held => Some(Hindrance::Held),
        _ => None,
    }
}
