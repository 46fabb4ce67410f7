//! After the method: undo, recovery, analysis.

use super::{Link, Output, Purpose, Run, Shown, Stage};
use crate::record::{PRESENT, Period, Traffic};
use crate::restore::Next;
use crate::{analysis, hypothesis};
use squall_model::event::{AbortCause, Event, Phase};
use squall_model::plan::PlannedInjection;

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
        let within = self.experiment.recovery_within.as_seconds();
        let since = self.steady.held_since().map(|since| since.max(undone));
        let known_later = if self.steady.speak_of_metrics() { KNOWN_LATER } else { 0.0 };
        match since {
            Some(since) if since - undone <= within => {
                if self.now < since + CONFIRMS {
                    self.wake_by(since + CONFIRMS);
                    return false;
                }
                let seconds = since - undone;
                self.findings.held.push(format!("the steady state was back {seconds:.1} s after the undo"));
                self.journal(Event::Recovered { seconds: Some(seconds), within });
            }
            None if self.now < undone + within + known_later => {
                self.wake_by(undone + within + known_later);
                return false;
            }
            _ => {
                let mut reasons = self.steady.shortcomings();
                if reasons.is_empty() {
                    reasons.push("it was back later".to_owned());
                }
                let within = self.experiment.recovery_within;
                self.findings.failed.push(format!(
                    "the steady state was not back within {within} after the undo: {}",
                    reasons.join("; ")
                ));
                self.journal(Event::Recovered { seconds: None, within: within.as_seconds() });
            }
        }
        self.begin_analysis();
        true
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
        self.findings.held.splice(0..0, checks.iter().map(|check| format!("{} held", check.check)));
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
            self.findings.no_effect.push("no fault was made".to_owned());
        }
        // A hypothesis that failed while the fault lasted has failed, even if the fault ended early.
        let failed = !self.findings.failed.is_empty();
        for PlannedInjection { id, fault, target, .. } in &self.planned {
            let Some(shown) = self.shown.get(id) else { continue };
            let summary = if shown.summary.is_empty() { "no evidence" } else { &shown.summary };
            let found = match shown {
                Shown { effect: false, .. } => {
                    format!("{fault} on {target} ({id}) showed no effect: {summary}")
                }
                Shown { lasts: false, .. } if !failed => {
                    format!("{fault} on {target} ({id}) was over before its time: {summary}")
                }
                _ => continue,
            };
            self.findings.no_effect.push(found);
        }
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
