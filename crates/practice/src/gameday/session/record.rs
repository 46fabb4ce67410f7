//! What a session knows: a fold over its journal.

use squall_model::gameday::{Event, Moment, Outcome, Phase, Plan, Setting, Traffic};
use squall_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// The name of a fault that people make.
pub(in crate::gameday) const BY_HAND: &str = "by hand";

/// How an experiment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gameday) enum Run {
    Pending,
    Running,
    Ended(Verdict),
    Skipped,
}

/// What was counted: values, and why there are none.
pub(in crate::gameday) type Counted = (BTreeMap<String, f64>, BTreeMap<String, String>);

/// All that the journal tells and that decisions need.
#[derive(Debug, Clone, Default)]
pub(in crate::gameday) struct Record {
    pub(in crate::gameday) plan: Plan,
    pub(in crate::gameday) setting: Option<Setting>,
    pub(in crate::gameday) phase: Option<Phase>,
    pub(in crate::gameday) phase_since: f64,
    /// When the phase of recovery was over.
    pub(in crate::gameday) analysed_from: Option<f64>,
    /// What is asked.
    pub(in crate::gameday) hold: Option<String>,
    /// The last decision on a hold that nobody has acted on yet.
    pub(in crate::gameday) decision: Option<bool>,
    /// The criterion that people are asked about.
    pub(in crate::gameday) asked: Option<usize>,
    pub(in crate::gameday) runs: Vec<Run>,
    pub(in crate::gameday) verdicts: Vec<(usize, Verdict, Vec<String>)>,
    pub(in crate::gameday) active: BTreeSet<String>,
    /// When a failure was made and when it was put right, for each time that one was.
    pub(in crate::gameday) strikes: Vec<(f64, Option<f64>)>,
    /// From when to when failures were measured that an interruption cut short and that are made again.
    pub(in crate::gameday) cut_short: Vec<(f64, f64)>,
    /// Something was broken, or was about to be: what is counted from then on is no count before.
    pub(in crate::gameday) touched: bool,
    /// The last moment that the journal speaks of.
    pub(in crate::gameday) known_until: f64,
    /// People were asked to put right what they made.
    pub(in crate::gameday) asked_to_put_right: bool,
    pub(in crate::gameday) residue: Vec<String>,
    /// Whether the steady state held, by the time since which it is so.
    pub(in crate::gameday) steady: Vec<(f64, bool, Vec<String>)>,
    pub(in crate::gameday) services: BTreeMap<String, (bool, String)>,
    pub(in crate::gameday) samples: Vec<(f64, BTreeMap<String, f64>)>,
    pub(in crate::gameday) traffic: BTreeMap<String, Vec<Traffic>>,
    pub(in crate::gameday) alerts: Vec<(f64, Result<BTreeSet<String>, String>)>,
    pub(in crate::gameday) before: Option<Counted>,
    /// With what does not hold, in words.
    pub(in crate::gameday) after: Option<(Counted, Vec<String>)>,
    /// When the recovery was told, and after how long it was; none where it did not come.
    pub(in crate::gameday) recovered: Option<(f64, Option<f64>)>,
    pub(in crate::gameday) answers: BTreeMap<usize, (Outcome, String)>,
    pub(in crate::gameday) halted: Option<String>,
    pub(in crate::gameday) refused: Option<String>,
    pub(in crate::gameday) suspended: bool,
    /// Nobody is waited for: a signal ends it.
    pub(in crate::gameday) hurried: bool,
}

impl Record {
    pub(in crate::gameday) fn of(plan: Plan) -> Self {
        Self { runs: vec![Run::Pending; plan.experiments.len()], plan, ..Self::default() }
    }

    pub(in crate::gameday) fn is_rehearsal(&self) -> bool {
        self.setting.as_ref().is_some_and(|setting| setting.rehearsal)
    }

    pub(in crate::gameday) fn is_running(&self) -> bool {
        self.runs.contains(&Run::Running)
    }

    /// Whether a fault is active, or about to be.
    pub(in crate::gameday) fn is_struck(&self) -> bool {
        !self.active.is_empty() || self.is_running()
    }

    /// The next experiment.
    pub(in crate::gameday) fn next_run(&self) -> Option<usize> {
        self.runs.iter().position(|run| *run == Run::Pending)
    }

    /// Experiments that an interruption cut short: those that were going on, and those that a leave ended.
    pub(in crate::gameday) fn interrupted_runs(&self) -> Vec<usize> {
        let cut =
            |run: &Run| *run == Run::Running || (self.suspended && *run == Run::Ended(Verdict::Aborted));
        (0..self.runs.len()).filter(|index| cut(&self.runs[*index])).collect()
    }

    /// When the failure was made first.
    pub(in crate::gameday) fn injected_at(&self) -> Option<f64> {
        self.strikes.first().map(|(from, _)| *from)
    }

    /// Whether what is counted now is a count before any failure, and the first.
    pub(in crate::gameday) fn may_count_before(&self) -> bool {
        self.before.is_none() && !self.touched
    }

    /// When all of it was put right.
    pub(in crate::gameday) fn put_right_at(&self) -> Option<f64> {
        self.strikes.last().and_then(|(_, to)| *to)
    }

    /// Whether the steady state held at a moment; none where that is not known.
    pub(in crate::gameday) fn steady_at(&self, moment: f64) -> Option<&(f64, bool, Vec<String>)> {
        self.steady.iter().rev().find(|(since, _, _)| *since <= moment)
    }

    pub(in crate::gameday) fn apply(&mut self, now: f64, event: &Event) {
        self.learn(now, event);
        self.known_until = now;
    }

    fn learn(&mut self, now: f64, event: &Event) {
        match event {
            Event::SessionStarted { setting, .. } => self.setting = Some((**setting).clone()),
            Event::Resumed { interrupted, .. } => self.resumed(interrupted),
            Event::Suspended { .. } => self.suspended = true,
            Event::PhaseStarted { phase } => {
                self.phase = Some(*phase);
                self.phase_since = now;
                (self.hold, self.decision) = (None, None);
                if *phase == Phase::Analyse {
                    self.analysed_from = Some(now);
                }
            }
            Event::Held { question, .. } => {
                self.hold = Some(question.clone());
                self.decision = None;
                self.asked_to_put_right = self.phase == Some(Phase::Observe) && self.active.contains(BY_HAND);
            }
            Event::Decided { go, remark } => self.decided(*go, remark),
            Event::Metrics { values, traffic, .. } => {
                if !values.is_empty() {
                    self.samples.push((now, values.clone()));
                }
                for (load, parts) in traffic {
                    self.traffic.entry(load.clone()).or_default().extend(parts);
                }
            }
            Event::Steady { holds, since, failing } => self.steady.push((*since, *holds, failing.clone())),
            Event::Service { name, health, found } => {
                drop(self.services.insert(name.clone(), (health.holds(), found.clone())));
            }
            Event::Alerts { firing, error } => {
                let known = match error {
                    Some(error) => Err(error.clone()),
                    None => Ok(firing.iter().cloned().collect()),
                };
                self.alerts.push((now, known));
            }
            // The first count stands: a later one may lack what a failure lost already.
            Event::Data { moment: Moment::Before, values, errors, .. } => {
                if self.may_count_before() {
                    self.before = Some((values.clone(), errors.clone()));
                }
            }
            Event::Data { moment: Moment::After, values, errors, broken } => {
                self.after = Some(((values.clone(), errors.clone()), broken.clone()));
            }
            Event::RunStarted { experiment, rehearsed } => {
                self.set_run(*experiment, if *rehearsed { Run::Skipped } else { Run::Running });
                self.touched |= !rehearsed;
                self.decision = None;
            }
            Event::FaultActive { injection, .. } => {
                if self.active.is_empty() {
                    self.strikes.push((now, None));
                }
                self.active.insert(injection.clone());
                self.touched = true;
            }
            Event::FaultOver { injection, residue } => {
                self.active.remove(injection);
                self.residue.extend(residue.iter().cloned());
                self.decision = None;
                self.put_right_where_nothing_is_active(now);
            }
            Event::RunEnded { experiment, verdict, reasons, .. } => {
                self.set_run(*experiment, Run::Ended(*verdict));
                self.verdicts.push((*experiment, *verdict, reasons.clone()));
                // Whatever it did not tell of is over with it.
                self.active.retain(|injection| injection == BY_HAND);
                self.put_right_where_nothing_is_active(now);
            }
            Event::Recovered { seconds, .. } => {
                self.recovered = Some((now, *seconds));
                self.decision = None;
            }
            Event::Asked { criterion } => self.asked = Some(*criterion),
            Event::Answered { criterion, outcome, remark } => {
                self.asked = None;
                drop(self.answers.insert(*criterion, (*outcome, remark.clone())));
            }
            Event::Halted { reason } => {
                self.halted = Some(reason.clone());
                self.hold = None;
            }
            Event::Noted { .. } | Event::FollowUp(_) | Event::Judged { .. } | Event::Ended { .. } => {}
        }
    }

    fn decided(&mut self, go: bool, remark: &str) {
        self.hold = None;
        self.decision = Some(go);
        match self.phase {
            Some(Phase::Verify) if !go => self.refused = Some(remark.to_owned()),
            // No-go to the next experiment is no-go to those after it.
            Some(Phase::Inject | Phase::Observe) if !go => {
                self.decision = None;
                let pending = self.runs.iter_mut().filter(|run| **run == Run::Pending);
                pending.for_each(|run| *run = Run::Skipped);
            }
            _ => {}
        }
    }

    fn put_right_where_nothing_is_active(&mut self, now: f64) {
        if let Some((_, to)) = self.strikes.last_mut().filter(|_| self.active.is_empty()) {
            to.get_or_insert(now);
        }
    }

    fn set_run(&mut self, experiment: usize, run: Run) {
        if let Some(known) = self.runs.get_mut(experiment) {
            *known = run;
        }
    }

    /// What was cut short is to be done again. What was measured of it, and counted before it, still counts.
    fn resumed(&mut self, interrupted: &[usize]) {
        self.suspended = false;
        if interrupted.is_empty() {
            return;
        }
        for experiment in interrupted {
            self.set_run(*experiment, Run::Pending);
            self.verdicts.retain(|(known, _, _)| known != experiment);
        }
        self.active.clear();
        if let Some(from) = self.injected_at() {
            self.cut_short.push((from, self.known_until));
        }
        self.strikes.clear();
        self.recovered = None;
        (self.after, self.decision, self.hold) = (None, None, None);
    }
}
