//! While faults are made, active and taken back: the method, its evidence, how long it may last.

use super::before::hindrance;
use super::{Purpose, Run, Stage};
use crate::checks::{LONGEST_ERROR, List, Question, Reply, short};
use crate::hypothesis;
use crate::link::LinkError;
use crate::method::{self, Due, LeftOut, plan_request_for};
use crate::restore::Next;
use crate::words;
use squall_model::event::{AbortCause, Event, Hindrance, Planned};
use squall_model::experiment::Ask;
use squall_model::plan::{Plan, PlannedInjection};
use squall_model::protocol::{Answer, Call, CallErrorKind, Injected};
use squall_model::undo::{Effect, Evidence};
use std::collections::BTreeMap;

/// So many injections are asked for in one call.
const AT_ONCE: usize = 100;

/// How long what has joined others may take to show an effect, in seconds.
const SHOWS_WITHIN: f64 = 3.0;

impl Run {
    pub(super) fn carry_out_method(&mut self) -> bool {
        if self.exposure_is_over() {
            return true;
        }
        if self.pending.is_some() {
            return false;
        }
        if self.undoing_some {
            return self.put_some_back();
        }
        match self.method.due(self.now) {
            Due::Wait(until) => {
                self.wake_by(until);
                false
            }
            Due::Ask(index) => {
                self.ask(vec![Question { list: List::Method, index }]);
                true
            }
            Due::LeaveOut(parts) => {
                parts.into_iter().for_each(|part| self.leave_out(part));
                true
            }
            Due::Undecided(why) => {
                self.abort(AbortCause::Unreadable, why);
                true
            }
            Due::Plan(entries) => {
                let seed = self.identity.seed;
                let request = plan_request_for(&self.experiment, seed, |entry| entries.contains(&entry));
                self.call(Purpose::PlanAnew, Call::Plan(request));
                false
            }
            // It waits for what may join it.
            Due::Inject(injections) if injections.is_empty() => {
                self.method.injected(self.now);
                true
            }
            Due::Inject(injections) => {
                self.inject(injections);
                false
            }
            Due::Follow(strike, seconds) => {
                self.follow(strike, seconds);
                true
            }
            Due::Join(injection) => {
                self.join(&injection);
                false
            }
            Due::Observe => {
                self.call(Purpose::Observe, Call::Observe);
                false
            }
            // It never struck anything.
            Due::Undo(injections) if injections.is_empty() => {
                self.end_of_entry();
                self.method.undone();
                true
            }
            Due::Undo(injections) => {
                self.end_of_entry();
                self.active.retain(|id| !injections.contains(id));
                self.journal(Event::UndoStarted { injections: injections.clone(), why: "over".to_owned() });
                self.restoring.begin_some(injections);
                self.undoing_some = true;
                true
            }
            Due::Over if self.is_faultless() && !self.hypothesis.all_asked() => false,
            Due::Over => {
                self.end_of_entry();
                self.begin_undo("over");
                true
            }
        }
    }

    /// The answer to a question of the method. One that comes after the end of its time, or of the method, decides nothing.
    pub(super) fn method_answered(&mut self, index: usize, reply: Reply) {
        if self.stage != Stage::Method || !self.method.awaits(index) {
            return;
        }
        let Some(Ask { name, probe, .. }) = method::asks(&self.experiment).nth(index).cloned() else {
            return;
        };
        // Before anything is cut: half a secret is not known for one.
        let error = reply.reading.as_ref().err().map(|error| self.redactor.text(error));
        let reading = reply.reading.unwrap_or_default();
        let told = self.redactor.values(&reading);
        let shown = told.iter().map(|(name, value)| (name.clone(), short(value.clone()))).collect();
        let error = error.map(|error| words::shortened(&error, LONGEST_ERROR));
        self.journal(Event::Answered {
            name: name.clone(),
            probe: probe.kind.clone(),
            reading: shown,
            error: error.clone(),
            seconds: reply.seconds,
        });
        match error {
            None => self.method.answered(&reading, &told),
            Some(error) => {
                let kind = probe.kind;
                let why = format!(
                    "`{name}` ({kind}) was not answered, so that it is not known what follows: {error}"
                );
                self.abort(AbortCause::Unreadable, why);
            }
        }
    }

    fn leave_out(&mut self, part: LeftOut) {
        let LeftOut { what, is_fault, when, found } = part;
        if is_fault {
            self.left_out.push(format!("{what}, since {found}"));
        }
        self.journal(Event::Skipped { what, is_fault, when, found });
    }

    /// Injections in words, with the condition under which each is made.
    pub(super) fn in_words(&self, injections: &[PlannedInjection]) -> Vec<Planned> {
        let words = |planned: &PlannedInjection| {
            let strike = method::strikes(&self.experiment).nth(planned.entry);
            Planned::from(planned).only(strike.and_then(|strike| strike.when.as_ref()))
        };
        injections.iter().map(words).collect()
    }

    /// A later entry was planned again. Where that differs from the plan that was told, the difference is told.
    pub(super) fn planned_anew(&mut self, answer: Result<Answer, LinkError>) {
        let Plan { mut injections, notes, .. } = match answer {
            Ok(Answer::Plan(plan)) => match plan.unplanned() {
                Some(why) => return self.could_not_inject(why),
                None => plan,
            },
            Err(LinkError::Lost(why)) => return self.lost(&why),
            Err(LinkError::Refused(error)) => {
                return self.could_not_inject(self.about_entry(&error));
            }
            Ok(_) => {
                return self.could_not_inject("the agent answered something else than a plan".to_owned());
            }
        };
        self.following.knows(&notes);
        self.leave_for_later(&mut injections);
        if let Some(excess) = self.more_than_agreed(&injections) {
            return self.could_not_inject(excess);
        }
        let entries = self.method.current_strikes();
        let (earlier, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.planned)
            .into_iter()
            .partition(|planned| entries.contains(&planned.entry));
        self.planned = others;
        let is_same = earlier.len() == injections.len()
            && earlier.iter().zip(&injections).all(|(one, other)| one.does_the_same_as(other));
        let stands = if is_same {
            earlier
        } else {
            let replaced = earlier.into_iter().map(|planned| planned.id).collect();
            let told = self.in_words(&injections);
            self.journal(Event::Replanned { replaced, injections: told, notes });
            injections
        };
        self.method.planned_anew(&stands);
        self.planned.extend(stands);
    }

    /// Whether a strike of the method follows its targets.
    pub(super) fn follows(&self, strike: usize) -> bool {
        method::strikes(&self.experiment).nth(strike).is_some_and(|strike| strike.selection.follow)
    }

    /// What follows its targets begins with as many as were agreed to; about those that join it is asked again.
    fn leave_for_later(&self, injections: &mut Vec<PlannedInjection>) {
        let Some(agreed) = &self.agreed else { return };
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        injections.retain(|planned| {
            let count = counts.entry(planned.entry).or_default();
            *count += 1;
            !self.follows(planned.entry) || *count <= agreed.get(&planned.entry).copied().unwrap_or(0)
        });
    }

    /// Who said yes to a plan said yes to so many targets, not to those that came since.
    fn more_than_agreed(&self, injections: &[PlannedInjection]) -> Option<String> {
        let agreed = self.agreed.as_ref()?;
        let mut counts: BTreeMap<usize, (&str, usize)> = BTreeMap::new();
        for planned in injections {
            counts.entry(planned.entry).or_insert((&planned.fault, 0)).1 += 1;
        }
        counts.into_iter().find_map(|(entry, (fault, now))| {
            let then = agreed.get(&entry).copied().unwrap_or(0);
            (now > then).then(|| format!("{fault} would strike {now} targets now, but {then} were agreed to"))
        })
    }

    fn inject(&mut self, injections: Vec<PlannedInjection>) {
        injections.iter().for_each(|injection| self.begin_to_strike(injection));
        self.count_exposure();
        self.to_inject = injections.into_iter().map(|injection| injection.id).collect();
        self.inject_some();
    }

    /// From now on it may be there.
    pub(super) fn begin_to_strike(&mut self, injection: &PlannedInjection) {
        self.touched = true;
        self.restoring.owe(injection);
        if self.follows(injection.entry) {
            self.following.strikes(injection);
        }
        self.journal(Event::InjectStarted {
            injection: injection.id.clone(),
            fault: injection.fault.clone(),
            target: injection.target.clone(),
            stage: self.method.stage(),
        });
    }

    /// Asks for the next of those that are to be made. They come in parts, so that the guard and whoever halts the run need
    /// not wait for thousands.
    fn inject_some(&mut self) {
        let count = self.to_inject.len().min(AT_ONCE);
        let injections = self.to_inject.drain(..count).collect();
        self.call(Purpose::Inject, Call::Inject { injections });
    }

    pub(super) fn injected(&mut self, answer: Result<Answer, LinkError>, seconds: f64) {
        match answer {
            Ok(Answer::Injected(Injected { evidence, gone })) => {
                for (injection, evidence) in evidence {
                    self.is_made(injection, evidence, seconds);
                }
                gone.into_iter().for_each(|(injection, what)| self.pass_over(injection, what));
                if !self.to_inject.is_empty() {
                    return self.inject_some();
                }
                if let Some(why) = self.nobody_was_there() {
                    return self.could_not_inject(why);
                }
                self.method.injected(self.now);
                self.are_active();
            }
            Err(LinkError::Refused(error)) if error.kind != CallErrorKind::Halted => {
                self.hindered_by(hindrance(error.kind), error.message);
            }
            Ok(_) => self.could_not_inject("the agent answered something else".to_owned()),
            Err(error) => self.agent_failed(error),
        }
    }

    pub(super) fn is_made(&mut self, injection: String, evidence: Vec<Evidence>, seconds: f64) {
        self.active.insert(injection.clone());
        self.shown.entry(injection.clone()).or_default().made = self.now;
        self.show(&injection, &evidence);
        self.journal(Event::Injected { injection, evidence, seconds });
    }

    /// The target of an injection has gone since it was planned for: nothing was made, and nothing is owed.
    pub(super) fn pass_over(&mut self, injection: String, what: String) {
        self.restoring.was_not_made(&injection);
        self.gone.insert(injection.clone(), what.clone());
        self.journal(Event::TargetGone { injection, what });
    }

    /// Of a strike that is made now all targets are gone: what the first is said to have come to.
    fn nobody_was_there(&self) -> Option<String> {
        self.method.current_strikes().into_iter().find_map(|strike| {
            let mut planned = self.planned.iter().filter(|planned| planned.entry == strike).peekable();
            let first = self.gone.get(&planned.peek()?.id)?;
            planned.all(|planned| self.gone.contains_key(&planned.id)).then(|| first.clone())
        })
    }

    /// All that was asked for is there.
    pub(super) fn are_active(&mut self) {
        self.active_since = self.now;
        if !self.record.under_fault() {
            self.record.open(self.now, self.method.label(), true);
            self.failures_before = self.hypothesis.failures();
        }
        let questions = self.hypothesis.ask();
        self.ask(questions);
    }

    pub(super) fn could_not_inject(&mut self, message: String) {
        self.hindered_by(None, message);
    }

    fn hindered_by(&mut self, hindered_by: Option<Hindrance>, message: String) {
        self.findings.no_effect.push(format!("the fault could not be made: {message}"));
        self.journal(Event::InjectFailed { injection: String::new(), message, hindered_by });
        self.begin_undo("failed");
    }

    pub(super) fn observed(&mut self, answer: Result<Answer, LinkError>) {
        match answer {
            Ok(Answer::Observed { evidence }) => {
                // Of very many only what is new is told.
                let are_many = evidence.len() > AT_ONCE;
                for (injection, evidence) in evidence {
                    let is_told = are_many
                        && self
                            .shown
                            .get(&injection)
                            .is_some_and(|shown| shown.summary == Evidence::line(&evidence));
                    self.show(&injection, &evidence);
                    if !is_told {
                        self.journal(Event::Evidence { injection, evidence });
                    }
                }
            }
            Err(LinkError::Refused(error)) if error.kind != CallErrorKind::Halted => {
                self.journal(Event::Note {
                    message: format!("could not look for evidence: {}", error.message),
                });
            }
            Ok(_) => {}
            Err(error) => self.agent_failed(error),
        }
    }

    pub(super) fn show(&mut self, injection: &str, evidence: &[Evidence]) {
        let now = self.now;
        let shown = self.shown.entry(injection.to_owned()).or_default();
        let before = shown.lasts;
        let effect = Evidence::effect_of(evidence);
        shown.lasts = effect == Effect::Seen;
        shown.gone = (effect == Effect::Gone).then(|| shown.gone.unwrap_or(now));
        shown.had_time |= shown.joined.is_none_or(|joined| now - joined >= SHOWS_WITHIN);
        shown.effect |= shown.lasts;
        shown.summary = Evidence::line(evidence);
        if before && !shown.lasts {
            self.method.look_soon(injection);
        }
    }

    /// Before the last strike of a group is taken back: a ramp grows only while the hypothesis holds.
    fn end_of_entry(&mut self) {
        if !self.method.entry_ends(self.now) || !self.record.under_fault() {
            return;
        }
        self.record.close(self.now);
        let (Some(stage), Some(period)) = (self.method.stage(), self.record.periods.last()) else { return };
        let list = &self.experiment.hypothesis_holds;
        let mut breaks = hypothesis::breaks(list, &self.record, period, &self.latest);
        if self.hypothesis.failures() > self.failures_before {
            breaks.extend(hypothesis::shortcomings(
                &self.hypothesis.results().into_iter().map(|(_, result)| result).collect::<Vec<_>>(),
            ));
        }
        if breaks.is_empty() {
            return;
        }
        let dropped = self.method.stop_growing();
        let left_out =
            if dropped > 0 { format!(" ({dropped} further stages left out)") } else { String::new() };
        self.findings.failed.push(format!("broke at {stage}{left_out}: {}", breaks.join("; ")));
    }

    fn put_some_back(&mut self) -> bool {
        match self.restoring.next(self.now) {
            Next::Call(call) => self.call(Purpose::Restore, call),
            Next::Wait(until) => self.wake_by(until),
            Next::Connect => {}
            Next::Done => {
                self.undoing_some = false;
                self.method.undone();
                if self.restoring.has_residue() {
                    self.findings.failed.push(
                        "the method was ended early: not everything could be put back at first".to_owned(),
                    );
                    self.begin_undo("failed");
                }
                return true;
            }
        }
        false
    }

    pub(super) fn count_exposure(&mut self) {
        match (self.may_be_harming(), self.exposed_since) {
            (true, None) => self.exposed_since = Some(self.now),
            (false, Some(since)) => {
                self.exposure += self.now - since;
                self.exposed_since = None;
                self.undone_at = Some(self.now);
            }
            _ => {}
        }
    }

    /// Ends the run where faults were active for as long as the blast radius allows.
    fn exposure_is_over(&mut self) -> bool {
        let (Some(limit), Some(since)) = (self.experiment.blast_radius.duration, self.exposed_since) else {
            return false;
        };
        let until = since + limit.as_seconds() - self.exposure;
        if self.now < until {
            self.wake_by(until);
            return false;
        }
        let reason = format!("faults were active for {limit}, as long as blast_radius.duration allows");
        self.abort(AbortCause::BlastRadius, reason);
        true
    }
}
