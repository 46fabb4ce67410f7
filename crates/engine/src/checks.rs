//! Checks and how they stand: which were asked, which hold, and since when.
//!
//! Probes are asked one question at a time each; an answer that does not come within the probe's patience, or is an
//! error, does not hold. Conditions on metrics are judged on what was sampled.

use crate::settling::{Look, Settling};
use crate::words;
use squall_model::condition::{ConditionState, Truth};
use squall_model::event::{CheckResult, Event, Phase};
use squall_model::experiment::Check;
use squall_model::redaction::Redactor;
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::collections::BTreeMap;

/// Texts read by a probe are shortened to this many characters in the journal.
const LONGEST_TEXT: usize = 200;

/// And so are the words about a question that failed, which may quote an answer.
pub(crate) const LONGEST_ERROR: usize = 500;

/// Of a condition with a `for` that asks for more time than there was.
pub(crate) const TOO_EARLY: &str = "not looked at for as long as its `for` asks";

/// Which list of the experiment a check stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// `steady_state`
    SteadyState,
    /// `hypothesis_holds`
    Hypothesis,
    /// What the `method` asks.
    Method,
}

/// A question to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question {
    /// The list.
    pub list: List,
    /// The position in it.
    pub index: usize,
}

/// What a probe said.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What was read, or why nothing was.
    pub reading: Result<Reading, String>,
    /// How long the question took, in seconds.
    pub seconds: f64,
}

/// The checks of one list.
#[derive(Debug)]
pub(crate) struct Checks {
    list: List,
    redactor: Redactor,
    stands: Vec<Stand>,
}

/// How one check stands.
#[derive(Debug, Clone)]
struct Stand {
    check: Check,
    names: Vec<String>,
    state: ConditionState,
    outstanding: bool,
    /// Since when it has held without a break.
    since: Option<f64>,
    last: Option<Truth>,
    /// Whether there was any answer.
    answered: bool,
    /// How long the slowest answer took, in seconds.
    slowest: f64,
    /// Answers that were judged, and those of them that held.
    asked: u64,
    held: u64,
    /// The last answer in words.
    found: String,
    worst: String,
    /// Under a fault, where it may take its time to hold.
    settling: Option<Settling>,
    /// The longest time that it took, in seconds.
    after: f64,
}

impl Stand {
    /// Judges what was read, and keeps in words what may be told of it.
    fn judge(
        &mut self,
        now: f64,
        since: f64,
        reading: &Reading,
        told: impl FnOnce(&Check) -> String,
    ) -> Truth {
        let truth = self.check.expect.judge(&mut self.state, now, reading);
        self.found = told(&self.check);
        self.since = truth.holds().then(|| self.since.unwrap_or(since));
        self.last = Some(truth.clone());
        truth
    }

    /// Counts an answer. `asked` is when it was asked for, `fault` when the fault began under which it was.
    fn count(&mut self, truth: &Truth, asked: f64, fault: Option<f64>) {
        // What was not looked at for long enough has neither held nor failed.
        if truth.is_too_early() {
            return;
        }
        let look = Look { at: asked, truth: truth.clone(), found: self.found.clone() };
        let judged = match (self.check.within, fault) {
            (Some(within), Some(from)) => self.settle(from, within.as_seconds(), look),
            _ => vec![look],
        };
        self.book(judged);
    }

    /// What is to be judged by now of a check that may take its time.
    fn settle(&mut self, from: f64, within: f64, look: Look) -> Vec<Look> {
        let mut judged = Vec::new();
        let new = || Settling::new(from, within);
        if let Some(earlier) = self.settling.take_if(|settling| !settling.is_of(from)) {
            judged = earlier.end();
            self.after = self.after.max(earlier.after().unwrap_or_default());
        }
        judged.extend(self.settling.get_or_insert_with(new).look(look));
        judged
    }

    fn book(&mut self, judged: Vec<Look>) {
        for look in judged {
            self.asked += 1;
            if look.truth.holds() {
                self.held += 1;
            } else {
                self.worst = look.found;
            }
        }
    }

    /// As it is once all is over: what was still in its time is judged.
    fn concluded(&self) -> Self {
        let mut concluded = self.clone();
        if let Some(settling) = concluded.settling.take() {
            concluded.book(settling.end());
            concluded.after = concluded.after.max(settling.after().unwrap_or_default());
        }
        concluded
    }
}

impl Checks {
    /// What is told of their answers is without the secrets that the redactor knows.
    pub(crate) fn new(list: List, checks: &[Check], redactor: Redactor) -> Self {
        let stand = |check: &Check| Stand {
            check: check.clone(),
            names: check.expect.names(),
            state: ConditionState::unseen_before(),
            outstanding: false,
            since: None,
            last: None,
            answered: false,
            slowest: 0.0,
            asked: 0,
            held: 0,
            found: String::new(),
            worst: String::new(),
            settling: None,
            after: 0.0,
        };
        Self { list, redactor, stands: checks.iter().map(stand).collect() }
    }

    /// Forgets how the checks stood, not what is outstanding.
    pub(crate) fn start_anew(&mut self) {
        for stand in &mut self.stands {
            stand.state = ConditionState::unseen_before();
            (stand.since, stand.last) = (None, None);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stands.is_empty()
    }

    /// Whether any check speaks of metrics.
    pub(crate) fn speak_of_metrics(&self) -> bool {
        self.stands.iter().any(|stand| stand.check.probe.is_none())
    }

    /// Questions to the probes that are not busy with the last one.
    pub(crate) fn ask(&mut self) -> Vec<Question> {
        let list = self.list;
        let free = |(_, stand): &(usize, &mut Stand)| stand.check.probe.is_some() && !stand.outstanding;
        let questions = self.stands.iter_mut().enumerate().filter(free).map(|(index, stand)| {
            stand.outstanding = true;
            Question { list, index }
        });
        questions.collect()
    }

    /// Questions to the probes that were never asked.
    pub(crate) fn ask_first(&mut self) -> Vec<Question> {
        if self.stands.iter().any(|stand| stand.check.probe.is_some() && !stand.answered) {
            self.ask()
        } else {
            Vec::new()
        }
    }

    /// Whether a probe has not answered yet.
    pub(crate) fn outstanding(&self) -> bool {
        self.stands.iter().any(|stand| stand.outstanding)
    }

    /// Whether every probe has answered at least once.
    pub(crate) fn all_asked(&self) -> bool {
        self.stands.iter().all(|stand| stand.check.probe.is_none() || stand.answered)
    }

    /// How long the slowest answer of a check took so far, in seconds, where it is in the list.
    pub(crate) fn slowest(&self, check: &str) -> Option<f64> {
        self.stands.iter().find(|stand| stand.check.name == check).map(|stand| stand.slowest)
    }

    /// The name of a check.
    pub(crate) fn name(&self, index: usize) -> Option<&str> {
        self.stands.get(index).map(|stand| stand.check.name.as_str())
    }

    /// Books a probe's reply; none for a check that does not exist. `fault` is when the fault began under which it was
    /// asked, where it was.
    pub(crate) fn replied(
        &mut self,
        now: f64,
        phase: Phase,
        index: usize,
        reply: Reply,
        fault: Option<f64>,
    ) -> Option<Event> {
        let stand = self.stands.get_mut(index)?;
        stand.outstanding = false;
        let (reading, error) = match reply.reading {
            Ok(reading) => {
                stand.slowest = stand.slowest.max(reply.seconds);
                (reading, None)
            }
            Err(error) => (Reading::new(), Some(error)),
        };
        // Before anything is cut: half a secret is not known for one.
        let told = self.redactor.values(&reading);
        let error = error.map(|error| words::shortened(&self.redactor.text(&error), LONGEST_ERROR));
        let truth = stand.judge(now, now, &reading, |check| {
            error.clone().unwrap_or_else(|| words::reading_of(&check.expect, &told, &BTreeMap::new()))
        });
        stand.answered = true;
        stand.count(&truth, now - reply.seconds, fault);
        Some(Event::Probe {
            phase,
            check: stand.check.name.clone(),
            expect: stand.check.expect.text.clone(),
            truth,
            reading: told.into_iter().map(|(name, value)| (name, short(value))).collect(),
            error,
            seconds: reply.seconds,
        })
    }

    /// Judges the checks that speak of metrics. `read` gives the values for some names, and since when they were so;
    /// `errors` says why some are absent.
    pub(crate) fn judge_metrics(
        &mut self,
        now: f64,
        errors: &BTreeMap<String, String>,
        read: impl Fn(&[String]) -> (f64, Reading),
    ) {
        for stand in self.stands.iter_mut().filter(|stand| stand.check.probe.is_none()) {
            let (since, reading) = read(&stand.names);
            stand.judge(now, since, &reading, |check| words::reading_of(&check.expect, &reading, errors));
        }
    }

    /// For how many seconds the checks must be looked at before all can be known to hold.
    pub(crate) fn take(&self) -> f64 {
        self.stands.iter().map(|stand| stand.check.expect.takes()).fold(0.0, f64::max)
    }

    /// Each check, and since when it has held, where it does.
    pub(crate) fn stands(&self) -> impl Iterator<Item = (&Check, Option<f64>)> {
        self.stands.iter().map(|stand| (&stand.check, stand.since))
    }

    /// Since when all checks have held, where they do.
    pub(crate) fn held_since(&self) -> Option<f64> {
        self.stands
            .iter()
            .map(|stand| stand.since)
            .try_fold(f64::NEG_INFINITY, |latest, since| Some(latest.max(since?)))
    }

    /// Whether a probe's last answer did not hold.
    pub(crate) fn a_probe_fails(&self) -> bool {
        let fails =
            |stand: &Stand| stand.last.as_ref().is_some_and(|truth| !truth.holds() && !truth.is_too_early());
        self.stands.iter().any(|stand| stand.check.probe.is_some() && fails(stand))
    }

    /// What does not hold (or was not answered), in words.
    pub(crate) fn shortcomings(&self) -> Vec<String> {
        self.shortcomings_of(|_| true)
    }

    /// The same of some of the checks.
    pub(crate) fn shortcomings_of(&self, which: impl Fn(&Check) -> bool) -> Vec<String> {
        let failing = self.stands.iter().filter(|stand| stand.since.is_none() && which(&stand.check));
        let describe = |stand: &Stand| {
            let found = match &stand.last {
                None => "no answer yet".to_owned(),
                Some(truth) if truth.is_too_early() => format!("{}, {TOO_EARLY}", stand.found),
                Some(_) => stand.found.clone(),
            };
            format!("{}: {found}", claim(&stand.check))
        };
        failing.map(describe).collect()
    }

    /// What the probes said over all their answers; metrics are not among them.
    pub(crate) fn results(&self) -> Vec<(usize, CheckResult)> {
        let probes = self.stands.iter().enumerate().filter(|(_, stand)| stand.check.probe.is_some());
        let result = |(index, stand): (usize, &Stand)| {
            let stand = &stand.concluded();
            let truth = match stand.asked {
                // Answered, and still not judged: not for long enough.
                0 if stand.answered => Truth::Unknown { missing: Vec::new() },
                0 => Truth::Unknown { missing: vec![stand.check.name.clone()] },
                asked if asked == stand.held => Truth::Holds,
                _ => Truth::Fails,
            };
            let truth_holds = truth.holds();
            let worst = match stand.asked {
                0 if stand.answered => TOO_EARLY.to_owned(),
                0 => "no answer".to_owned(),
                _ => stand.worst.clone(),
            };
            let result = CheckResult {
                check: stand.check.name.clone(),
                expect: stand.check.expect.text.clone(),
                truth,
                asked: stand.asked,
                held: stand.held,
                worst,
                within: stand.check.within.map(Duration::as_seconds),
                after: stand.check.within.and((stand.held > 0 && truth_holds).then_some(stand.after)),
            };
            (index, result)
        };
        probes.map(result).collect()
    }

    /// Answers so far that did not hold.
    pub(crate) fn failures(&self) -> u64 {
        self.stands.iter().map(|stand| stand.asked - stand.held).sum()
    }
}

/// What a check claims: its name, and its condition where the name does not say it.
pub(crate) fn claim(check: &Check) -> String {
    if check.name == check.expect.text {
        check.name.clone()
    } else {
        format!("{} ({})", check.name, check.expect)
    }
}

/// A value as the journal keeps it.
pub(crate) fn short(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(words::shortened(&text, LONGEST_TEXT)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::condition::Condition;
    use squall_model::experiment::ProbeCall;
    use squall_model::node::{Content, Node, Place};

    /// What is told of one reply to a check on `body`, in the event and in words.
    fn told(reading: Result<Reading, String>) -> String {
        let parameters = Node { content: Content::Null, place: Place::default() };
        let check = Check {
            name: "shop".into(),
            probe: Some(ProbeCall { kind: "http".into(), parameters }),
            expect: Condition::parse("body =~ \"^x*hunter2-and-more\"").unwrap(),
            within: None,
        };
        let redactor = Redactor::new(&["hunter2-and-more".into()]);
        let mut checks = Checks::new(List::SteadyState, &[check], redactor);
        let is_answered = reading.is_ok();
        let event =
            checks.replied(1.0, Phase::SteadyState, 0, Reply { reading, seconds: 0.1 }, None).unwrap();
        let Event::Probe { truth, .. } = &event else { panic!("{event:?}") };
        assert_eq!(truth.holds(), is_answered, "judged on something else than what was read");
        format!("{event:?} {:?} {:?}", checks.results(), checks.stands)
    }

    #[test]
    fn what_must_hold_for_some_time_is_not_judged_before() {
        let list = [crate::testing::check("health", "status == 200 for 2s")];
        let mut checks = Checks::new(List::SteadyState, &list, Redactor::default());
        let mut answer = |second: u32, status: f64| {
            let reading = Ok(Reading::from([("status".into(), Value::from(status))]));
            checks.replied(second.into(), Phase::SteadyState, 0, Reply { reading, seconds: 0.1 }, None);
            let (_, result) = checks.results().remove(0);
            (checks.a_probe_fails(), result.truth.is_too_early(), result.held, result.asked)
        };
        assert_eq!([answer(0, 200.0), answer(1, 200.0)], [(false, true, 0, 0); 2], "too early is no failure");
        assert_eq!([answer(2, 200.0), answer(3, 503.0)], [(false, false, 1, 1), (true, false, 1, 2)]);
        assert_eq!(answer(4, 200.0), (true, false, 1, 3), "it was seen to fail a second ago");
    }

    #[test]
    fn a_cut_within_a_secret_leaves_nothing_of_it() {
        for before in (50..85).chain(180..205).chain(480..505) {
            let text = format!("{}hunter2-and-more", "x".repeat(before));
            for reading in
                [Ok(Reading::from([("body".into(), Value::from(text.as_str()))])), Err(text.clone())]
            {
                let told = told(reading).replace("^x*hunter2-and-more", "");
                assert!(!told.contains("xhu"), "{before}: {told}");
            }
        }
    }
}
