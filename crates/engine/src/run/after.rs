//! After the method: undo, recovery, analysis.

use super::{Link, Output, Purpose, Run, Shown, Stage};
use crate::checks::claim;
use crate::record::{PRESENT, Period, Traffic};
use crate::restore::Next;
use crate::{analysis, hypothesis};
use squall_model::event::{AbortCause, CheckResult, Event, Phase};
use squall_model::experiment::Check;
use squall_model::plan::PlannedInjection;
use squall_model::units::Duration;

/// How long the steady state must hold without a break to count as back, in seconds.
const CONFIRMS: f64 = 2.0;

/// How much later than it happened the moment of recovery can be known from traffic, in seconds.
const KNOWN_LATER: f64 = PRESENT + 1.5;

/// How much longer than a load's timeout the requests of the fault's time are waited for, in seconds.
const SETTLED_LATER: f64 = 2.0;

impl Run {
    /// Puts everything back, looks again and takes leave of the agent. Where nothing was touched, only the latter.
    pub(super) fn begin_undo(&mut self, why: &str) {
        self.record.close(self.now);
        self.pending = None;
        self.undoing_some = false;
        self.active.clear();
        self.to_inject.clear();
        (self.looking, self.joining, self.arriving) = (None, None, None);
        if self.touched {
            self.enter(Stage::Undo, Phase::Undo);
            let injections = self.restoring.owed();
            self.journal(Event::UndoStarted { injections, why: why.to_owned() });
        } else {
            (self.stage, self.stage_since) = (Stage::Undo, self.now);
        }
        self.restoring.begin_all(self.touched);
        let last_word = self.guard.conclude();
        self.journal_all(last_word.into_iter().collect());
    }

    pub(super) fn put_back(&mut self) -> bool {
        // An agent that is not there (yet) holds nothing, where nothing was touched.
        if self.link != Link::Up && !self.touched {
            return self.after_undo();
        }
        if self.pending.is_some() || self.link == Link::Connecting {
            return false;
        }
        match self.restoring.next(self.now) {
            Next::Call(call) => self.call(Purpose::Restore, call),
            Next::Wait(until) => self.wake_by(until),
            Next::Connect => {
                self.link = Link::Connecting;
                self.out.push(Output::Connect);
            }
            Next::Done => return self.after_undo(),
        }
        false
    }

    fn after_undo(&mut self) -> bool {
        let untold = self.restoring.untold();
        self.journal_all(untold);
        self.findings.residue = self.restoring.residue();
        if self.link != Link::Down {
            self.link = Link::Down;
            self.out.push(Output::Disconnect);
        }
        self.count_exposure();
        // Whoever ended the run by hand does not want to wait; without a journal nothing is worth measuring.
        let hurried = matches!(
            self.findings.aborted,
            Some((AbortCause::Signal | AbortCause::Halt | AbortCause::Journal, _))
        );
        if self.touched && !hurried && !self.steady.is_empty() {
            self.begin_recovery();
        } else {
            self.begin_analysis();
        }
        true
    }

    fn begin_recovery(&mut self) {
        self.enter(Stage::Recovery, Phase::Recovery);
        self.steady.start_anew();
        self.ask_steady_state();
    }

    pub(super) fn await_recovery(&mut self) -> bool {
        let undone = self.undone_at.unwrap_or(self.stage_since);
        let late = self.late_checks(undone);
        let longest =
            self.steady.stands().map(|(check, _)| self.allowed(check).as_seconds()).fold(0.0, f64::max);
        match self.steady.held_since().map(|since| since.max(undone)) {
            _ if !late.is_empty() => {
                self.findings.failed.extend(late);
                self.journal(Event::Recovered { seconds: None, within: longest });
            }
            Some(since) if self.now < since + CONFIRMS => {
                self.wake_by(since + CONFIRMS);
                return false;
            }
            Some(since) => {
                let seconds = since - undone;
                self.findings.held.push(format!("the steady state was back {seconds:.1} s after the undo"));
                let own_time = self.steady.stands().filter(|(check, _)| check.within.is_some());
                let back = own_time.filter_map(|(check, since)| {
                    let seconds = since?.max(undone) - undone;
                    Some(format!("{} held again {seconds:.1} s after the undo", claim(check)))
                });
                self.findings.held.extend(back);
                self.journal(Event::Recovered { seconds: Some(seconds), within: longest });
            }
            None => {
                let due = self.steady.stands().filter(|(_, since)| since.is_none());
                let next = due.map(|(check, _)| self.known_late(check, undone)).fold(f64::INFINITY, f64::min);
                self.wake_by(next);
                return false;
            }
        }
        self.begin_analysis();
        true
    }

    /// How soon after the undo a check of the steady state must hold again.
    fn allowed(&self, check: &Check) -> Duration {
        check.within.unwrap_or(self.experiment.recovery_within)
    }

    /// From when on it is known that a check which does not hold is late.
    fn known_late(&self, check: &Check, undone: f64) -> f64 {
        let known_later = if check.probe.is_none() { KNOWN_LATER } else { 0.0 };
        undone + self.allowed(check).as_seconds() + known_later
    }

    /// Which checks of the steady state did not hold again in their time, in words.
    fn late_checks(&self, undone: f64) -> Vec<String> {
        let is_late = |check: &Check, since: Option<f64>| match since {
            Some(since) => since - undone > self.allowed(check).as_seconds(),
            None => self.now >= self.known_late(check, undone),
        };
        let late: Vec<&Check> = self
            .steady
            .stands()
            .filter(|(check, since)| is_late(check, *since))
            .map(|(check, _)| check)
            .collect();
        let mut times: Vec<Duration> = late.iter().map(|check| self.allowed(check)).collect();
        times.sort();
        times.dedup();
        let told = |within: Duration| {
            let of_time = |check: &Check| {
                late.iter().any(|late| late.name == check.name) && self.allowed(check) == within
            };
            let mut reasons = self.steady.shortcomings_of(of_time);
            if reasons.is_empty() {
                let later = late.iter().filter(|check| of_time(check));
                reasons.extend(later.map(|check| format!("{}: it was back later", claim(check))));
            }
            format!("the steady state was not back within {within} after the undo: {}", reasons.join("; "))
        };
        times.into_iter().map(told).collect()
    }

    pub(super) fn begin_analysis(&mut self) {
        if self.judged_periods().is_empty()
            && self.hypothesis.results().iter().all(|(_, result)| result.asked == 0)
        {
            (self.stage, self.stage_since) = (Stage::Analysis, self.now);
        } else {
            self.enter(Stage::Analysis, Phase::Analysis);
        }
    }

    pub(super) fn analyse(&mut self) -> bool {
        let end = self.judged_periods().iter().filter_map(|period| period.to).fold(0.0, f64::max);
        let timeout = self.experiment.loads.iter().map(|load| load.timeout.as_seconds()).fold(0.0, f64::max);
        let until = end + timeout + SETTLED_LATER;
        let complete = self.record.settled_until() >= end && !self.hypothesis.outstanding();
        if self.findings.aborted.is_none() && !complete && self.now < until {
            self.wake_by(until);
            return false;
        }
        self.compare();
        self.judge();
        self.look_for_effects();
        self.finish();
        false
    }

    fn compare(&mut self) {
        let blocks =
            || self.record.periods.iter().flat_map(|period| &period.traffic).flat_map(Traffic::blocks);
        let late = blocks().map(|block| block.late).fold(0.0, f64::max);
        let unknown: u64 = blocks().map(|block| block.unknown).sum();
        if unknown > 0 {
            self.journal(Event::Note {
                message: format!(
                    "{unknown} requests are not counted: Squall itself was held up while they were due or under way (its \
                     process was stopped, or its machine paused or starved)"
                ),
            });
        }
        if late > 0.1 {
            self.journal(Event::Note {
                message: format!(
                    "the load generator fell up to {:.0} ms behind its schedule; latencies are too high by as much",
                    late * 1000.0
                ),
            });
        }
        let comparisons = analysis::compare(&self.record, self.identity.seed);
        if !comparisons.is_empty() {
            self.journal(Event::Compared { comparisons });
        }
    }

    /// The time over which the hypothesis is judged: while faults were active, or all of it where there was to be none.
    fn judged_periods(&self) -> Vec<&Period> {
        let measured =
            |period: &&Period| !period.samples.is_empty() || period.totals().iter().any(Option::is_some);
        let periods = self.record.periods.iter();
        periods
            .filter(|period| if self.is_faultless() { measured(period) } else { period.under_fault })
            .collect()
    }

    fn judge(&mut self) {
        self.judge_hypothesis();
        if self.is_faultless() {
            self.findings.held.push("the method has no fault: nothing was put to the test".to_owned());
        }
    }

    fn judge_hypothesis(&mut self) {
        let asked = self.hypothesis.results().iter().any(|(_, result)| result.asked > 0);
        let periods = self.judged_periods();
        if periods.is_empty() && !asked {
            return;
        }
        let checks =
            hypothesis::judge(&self.experiment.hypothesis_holds, &self.hypothesis, &self.record, &periods);
        if checks.is_empty() {
            self.findings
                .held
                .push("no condition was given, so nothing was judged but the fault and its undo".to_owned());
            return;
        }
        let shortcomings = hypothesis::shortcomings(&checks);
        self.findings.held.splice(0..0, checks.iter().map(has_held));
        if !shortcomings.is_empty() {
            self.findings.failed.extend(shortcomings);
            self.findings.failed.extend(self.troubles.under_fault());
        }
        self.journal(Event::Judged { checks });
    }

    /// A fault that showed no effect proves nothing.
    fn look_for_effects(&mut self) {
        let not_begun = !self.findings.invalid.is_empty() || !self.findings.not_steady.is_empty();
        if self.is_faultless() || not_begun || self.findings.aborted.is_some() {
            return;
        }
        if self.shown.is_empty() && self.findings.no_effect.is_empty() {
            let left_out = &self.left_out;
            let why = if left_out.is_empty() {
                String::new()
            } else {
                format!("; left out: {}", left_out.join("; "))
            };
            self.findings.no_effect.push(format!("no fault was made{why}"));
        }
        // A hypothesis that failed while the fault lasted has failed, even if the fault ended early.
        let failed = !self.findings.failed.is_empty();
        for planned in &self.planned {
            let PlannedInjection { id, fault, target, .. } = planned;
            let Some(shown) = self.shown.get(id).filter(|shown| !self.is_excused(planned, shown)) else {
                continue;
            };
            let summary = if shown.summary.is_empty() { "no evidence" } else { &shown.summary };
            let what = match shown {
                Shown { effect: false, gone: Some(since), made, .. } => {
                    format!("showed no effect until its target was gone after {:.1} s", since - made)
                }
                Shown { effect: false, .. } => "showed no effect".to_owned(),
                Shown { lasts: false, .. } if failed => continue,
                Shown { lasts: false, gone: Some(since), made, .. } => {
                    let seconds = since - made;
                    format!("was over before its time, since its target was gone after {seconds:.1} s")
                }
                Shown { lasts: false, .. } => "was over before its time".to_owned(),
                Shown { .. } => continue,
            };
            self.findings.no_effect.push(format!("{fault} on {target} ({id}) {what}: {summary}"));
        }
    }

    /// Whether nothing follows from what it does not show: it joined too late for that, or its target is gone. Of targets that
    /// are followed it or others of its fault must have shown what that does; else it must have, and others must have lasted.
    fn is_excused(&self, planned: &PlannedInjection, shown: &Shown) -> bool {
        let any_other = |is_so: fn(&Shown) -> bool| {
            let others = self.planned.iter().filter(|other| other.entry == planned.entry);
            others.filter_map(|other| self.shown.get(&other.id)).any(is_so)
        };
        let is_gone = shown.gone.is_some() || (!shown.lasts && self.following.is_gone(planned));
        let follows = self.follows(planned.entry);
        (shown.effect && is_gone && any_other(|other| other.lasts))
            || ((!shown.had_time || (follows && is_gone)) && any_other(|other| other.effect))
    }

    fn finish(&mut self) {
        if self.measuring {
            self.out.push(Output::StopMeasuring);
        }
        let (verdict, reasons) = self.findings.verdict();
        self.journal(Event::Verdict {
            verdict,
            reasons: reasons.clone(),
            exit_code: verdict.exit_code(),
            seconds: self.now,
        });
        self.stage = Stage::Over;
        self.out.push(Output::Finish(verdict, reasons));
    }
}

/// What held, in words.
fn has_held(result: &CheckResult) -> String {
    match result.after {
        Some(after) => format!("{} held {after:.1} s after the fault began and from then on", result.check),
        None => format!("{} held", result.check),
    }
}
