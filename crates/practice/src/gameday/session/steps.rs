//! What follows from what is known: phase by phase, until something must be waited for.

use super::record::{BY_HAND, Run};
use super::{Output, Session, watch};
use crate::gameday::judge;
use squall_model::gameday::{Event, Means, Outcome, Phase, Test};
use squall_model::quantity::span;
use squall_model::verdict::Verdict;

/// How long after the baseline the steady state may still come, in seconds.
const PATIENCE: f64 = 10.0;
/// How long data that does not hold is counted anew: it may be on its way.
pub(super) const LATE_DATA: f64 = 10.0;

/// How often data that does not hold is counted.
const RECOUNTS_EVERY: f64 = 1.0;

/// Whether a step was made, so that the next may follow at once.
type Stepped = bool;

impl Session {
    pub(super) fn proceed(&mut self, now: f64) {
        while !self.finished && self.step(now) {}
    }

    fn step(&mut self, now: f64) -> Stepped {
        if self.record.suspended {
            if self.record.is_running() {
                return false;
            }
            return self.finish(Verdict::Aborted);
        }
        if self.record.hold.is_some() {
            if !self.options.unattended {
                return false;
            }
            self.emit(now, Event::Decided { go: true, remark: "nobody was asked".to_owned() });
            return true;
        }
        match self.record.phase {
            None => false,
            Some(Phase::Verify) => self.verify(now),
            Some(Phase::Inject) => self.inject(now),
            Some(Phase::Observe) => self.observe(now),
            Some(Phase::Recover) => self.recover(now),
            Some(Phase::Analyse) => self.analyse(now),
        }
    }

    fn finish(&mut self, verdict: Verdict) -> Stepped {
        self.finished = true;
        self.outputs.push(Output::Finish(verdict));
        false
    }

    fn go_to(&mut self, now: f64, phase: Phase) -> Stepped {
        self.emit(now, Event::PhaseStarted { phase });
        true
    }

    fn hold(&mut self, now: f64, question: String) -> Stepped {
        let who = self.record.plan.decides.clone();
        self.emit(now, Event::Held { question, who });
        true
    }

    /// Go or no-go was said: to what is asked, else to what goes on.
    pub(super) fn decided(&mut self, now: f64, go: bool, remark: String) {
        if self.record.hold.is_some() {
            self.emit(now, Event::Decided { go, remark });
        } else if self.takes(go) {
            let remark = if remark.is_empty() { "the observation ends here".to_owned() } else { remark };
            self.emit(now, Event::Decided { go, remark });
        }
    }

    fn lasts(&self, of: fn(&squall_model::gameday::Setting) -> f64) -> f64 {
        self.record.setting.as_ref().map_or(0.0, of)
    }

    /// Whether people make the failure.
    fn is_by_hand(&self) -> bool {
        self.record.plan.experiments.is_empty()
    }

    fn verify(&mut self, now: f64) -> Stepped {
        if self.record.halted.is_some() || self.record.refused.is_some() {
            return self.go_to(now, Phase::Analyse);
        }
        if self.record.decision == Some(true) {
            return self.go_to(now, Phase::Inject);
        }
        let spent = now - self.record.phase_since;
        let baseline = self.lasts(|setting| setting.baseline);
        if spent < baseline {
            return false;
        }
        let is_well = self.watch.has_looked() && self.watch.well_since(now).is_some();
        if !(self.watch.is_blind() || is_well) {
            if spent < baseline + PATIENCE {
                return false;
            }
            return self.not_steady(now);
        }
        if self.record.may_count_before() && !self.measures.data.is_empty() {
            return self.count();
        }
        let next = self.record.next_run().map(|index| self.record.plan.experiments[index].name.clone());
        let state = if self.watch.is_blind() {
            "Nothing tells Squall whether the system is well: look yourselves"
        } else {
            "The steady state holds"
        };
        let what = match next {
            _ if self.record.is_rehearsal() => "Go on with the rehearsal? Nothing is broken".to_owned(),
            Some(name) => format!("Inject {name}?"),
            None => "Make the failure by hand; go once it is made".to_owned(),
        };
        self.hold(now, format!("{state}. {what}"))
    }

    fn count(&mut self) -> Stepped {
        if !self.counting {
            self.counting = true;
            self.outputs.push(Output::Count);
        }
        false
    }

    /// Nothing is touched where the steady state does not hold.
    fn not_steady(&mut self, now: f64) -> Stepped {
        let failing = self.watch.failing();
        let first = failing.first().cloned().unwrap_or_else(|| "nothing could be read".to_owned());
        let done = if self.record.touched {
            "the failure that was cut short was not made again"
        } else {
            "nothing was touched"
        };
        let mut reasons = vec![format!("the steady state does not hold, and {done}: {first}")];
        reasons.extend(failing.into_iter().skip(1));
        self.end(now, Verdict::NotSteady, reasons)
    }

    fn inject(&mut self, now: f64) -> Stepped {
        if self.record.is_rehearsal() {
            for experiment in 0..self.record.runs.len() {
                if self.record.runs[experiment] == Run::Pending {
                    self.emit(now, Event::RunStarted { experiment, rehearsed: true });
                }
            }
            return self.go_to(now, Phase::Observe);
        }
        if !self.record.active.is_empty() {
            return self.go_to(now, Phase::Observe);
        }
        if self.record.is_running() {
            return false;
        }
        if self.record.halted.is_some() {
            return self.go_to(now, Phase::Recover);
        }
        if self.is_by_hand() {
            let (fault, target) = ("a failure made by hand".to_owned(), String::new());
            let injection = BY_HAND.to_owned();
            self.emit(now, Event::FaultActive { experiment: None, injection, fault, target });
            return true;
        }
        match self.next_experiment(now) {
            Some(stepped) => stepped,
            None => self.go_to(now, Phase::Recover),
        }
    }

    /// Begins the next experiment, or asks whether to; none where there is no other.
    fn next_experiment(&mut self, now: f64) -> Option<Stepped> {
        let experiment = self.record.next_run()?;
        let last = self.record.verdicts.last().map(|(_, verdict, _)| *verdict);
        if let Some(last) = last {
            let is_bad = !matches!(last, Verdict::Passed | Verdict::Failed);
            match self.record.decision {
                Some(_) => {}
                None if self.options.unattended && is_bad => {
                    let remark = format!("nobody was asked, and the last experiment ended as {last}");
                    self.emit(now, Event::Decided { go: false, remark });
                    return Some(true);
                }
                None => {
                    let name = &self.record.plan.experiments[experiment].name;
                    let question = format!("The last experiment ended as {last}. Go on with {name}?");
                    return Some(self.hold(now, question));
                }
            }
        }
        self.emit(now, Event::RunStarted { experiment, rehearsed: false });
        self.outputs.push(Output::Run(experiment));
        Some(false)
    }

    fn observe(&mut self, now: f64) -> Stepped {
        if self.record.is_running() {
            return false;
        }
        let by_hand = self.record.active.contains(BY_HAND);
        if self.record.halted.is_none() && !by_hand && self.record.next_run().is_some() {
            return self.next_experiment(now).unwrap_or(false);
        }
        let over = now - self.record.phase_since >= self.lasts(|setting| setting.observe);
        if !(over || self.record.halted.is_some() || self.record.decision == Some(true)) {
            return false;
        }
        if !by_hand || self.record.hurried {
            return self.go_to(now, Phase::Recover);
        }
        if self.record.asked_to_put_right && self.record.decision == Some(true) {
            let injection = BY_HAND.to_owned();
            self.emit(now, Event::FaultOver { injection, residue: Vec::new() });
            return true;
        }
        self.hold(now, "Put the failure right by hand (rollback plan); go once that is done".to_owned())
    }

    fn recover(&mut self, now: f64) -> Stepped {
        let touched = self.record.injected_at().is_some();
        if self.record.hurried || !(touched || self.record.is_rehearsal()) {
            return self.go_to(now, Phase::Analyse);
        }
        if self.record.recovered.is_none() {
            return self.tell_recovery(now);
        }
        let goes_on = self.record.halted.is_some() || self.record.is_rehearsal();
        if !goes_on && self.waits_for_alerts(now) {
            return false;
        }
        if self.record.after.is_none() && !self.measures.data.is_empty() {
            let is_recent = self.recounts.is_some_and(|(_, last)| now - last < RECOUNTS_EVERY);
            return if is_recent { false } else { self.count() };
        }
        if goes_on || self.record.decision == Some(true) {
            return self.go_to(now, Phase::Analyse);
        }
        let question = match self.record.recovered {
            Some((_, Some(seconds))) if seconds > 0.0 => {
                format!("The steady state is back after {}. Go on to the analysis?", span(seconds))
            }
            Some((_, Some(_))) => "The steady state holds. Go on to the analysis?".to_owned(),
            _ if self.watch.is_blind() => "Go on to the analysis?".to_owned(),
            _ => "The steady state did not come back: carry out the rollback plan; go once that is done"
                .to_owned(),
        };
        self.hold(now, question)
    }

    /// Tells of the recovery as soon as it is known, one way or the other.
    fn tell_recovery(&mut self, now: f64) -> Stepped {
        let within = self.lasts(|setting| setting.recovery);
        let tell = |seconds, failover, by_people| Event::Recovered { seconds, failover, within, by_people };
        if self.record.is_rehearsal() {
            self.emit(now, tell(Some(0.0), None, false));
            return true;
        }
        let Some(put_right) = self.record.put_right_at() else { return false };
        if self.watch.is_blind() {
            let event = match (self.options.unattended, self.record.decision) {
                (true, _) => tell(None, None, true),
                (false, Some(go)) => tell(go.then_some(now - put_right), None, true),
                (false, None) => return self.hold(now, "Is the system back as it was?".to_owned()),
            };
            self.emit(now, event);
            return true;
        }
        let since = self.watch.well_since(now);
        let is_known = self.watch.known_until() >= put_right + watch::CONFIRMED;
        let is_late = now - put_right >= within + watch::CONFIRMED;
        let seconds = since.filter(|_| is_known).map(|since| (since - put_right).max(0.0));
        if seconds.is_none() && !is_late {
            return false;
        }
        let failover = judge::failover(&self.record, &self.measures).ok();
        self.emit(now, tell(seconds, failover, false));
        true
    }

    /// Whether an alert that a criterion speaks of may still fire in time, or be resolved in time.
    fn waits_for_alerts(&self, now: f64) -> bool {
        let Some((told, seconds)) = self.record.recovered else { return false };
        let injected = self.record.injected_at().unwrap_or(now);
        self.record.plan.criteria.iter().any(|criterion| {
            let Means::Machine(Test::Alerts { names, within, resolved_within }) = &criterion.means else {
                return false;
            };
            names.iter().any(|name| {
                let fired = judge::first_fired(&self.record, name, injected);
                let fires = judge::fires_now(&self.record, name);
                (fired.is_none() && now - injected < *within)
                    || (seconds.is_some() && fires && now - told < *resolved_within)
            })
        })
    }

    fn analyse(&mut self, now: f64) -> Stepped {
        if !self.settled {
            if !self.stopping {
                self.stopping = true;
                self.outputs.push(Output::StopMeasuring);
            }
            return false;
        }
        if self.record.asked.is_some() && !self.options.unattended {
            return false;
        }
        if let Some(criterion) = self.unanswered() {
            if self.options.unattended || self.record.is_rehearsal() {
                let remark = "nobody was asked".to_owned();
                self.emit(now, Event::Answered { criterion, outcome: Outcome::Unknown, remark });
            } else {
                self.emit(now, Event::Asked { criterion });
            }
            return true;
        }
        if self.record.decision.is_none() && !self.options.unattended {
            return self.hold(now, "Note decisions and follow-ups; go ends the day".to_owned());
        }
        let judgements = judge::all(&self.record, &self.measures);
        let (verdict, reasons) = judge::verdict(&self.record, &judgements);
        self.emit(now, Event::Judged { judgements });
        self.end(now, verdict, reasons)
    }

    /// The next criterion that people have not answered; none where nothing was tried.
    fn unanswered(&self) -> Option<usize> {
        let is_open = |index: &usize| {
            matches!(self.record.plan.criteria[*index].means, Means::People { .. })
                && !self.record.answers.contains_key(index)
        };
        let tried = self.record.injected_at().is_some() || self.record.is_rehearsal();
        (0..self.record.plan.criteria.len()).find(is_open).filter(|_| tried)
    }

    fn end(&mut self, now: f64, verdict: Verdict, reasons: Vec<String>) -> Stepped {
        let exit_code = verdict.exit_code();
        self.emit(now, Event::Ended { verdict, reasons, exit_code, seconds: now });
        self.finish(verdict)
    }
}
