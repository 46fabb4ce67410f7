//! Putting back: undo, look again, take leave of the agent; and what is done when the agent is lost meanwhile.
//!
//! An injection is *owed* from the moment its making is asked for until its undo was seen to be complete: the agent
//! says so step by step, or, where the agent that knew is gone, a new one finds no mark of it. What is still owed in
//! the end is residue.

use crate::link::LinkError;
use squall_model::event::Event;
use squall_model::machine::Leftover;
use squall_model::plan::PlannedInjection;
use squall_model::protocol::{Answer, Call, Restored};
use squall_model::step::Claim;
use squall_model::undo::Reverted;
use std::collections::{BTreeMap, BTreeSet};

/// How often an undo that leaves residue is tried.
const MOST_TRIES: u32 = 3;

/// Seconds between looks at what is being put back by somebody who takes his time.
const WAITS: f64 = 2.0;

/// Seconds between tries, and between looks after a lost agent: its warden needs a moment.
const PAUSE: f64 = 1.0;

/// How much longer than the lease a lost agent's injections may take to be put back, in seconds.
const GRACE: f64 = 10.0;

/// So many injections are put back by one call, so that it is answered in time however many there are.
const AT_ONCE: usize = 64;

/// What an injection that is owed is, and why it still is.
#[derive(Debug, Clone, Default)]
struct Debt {
    fault: String,
    target: String,
    /// What it holds, to know its marks by that do not name it.
    claims: Vec<Claim>,
    /// What the undo said that it could not do.
    residue: Vec<String>,
    /// Whether all that is being put back, and there is nothing to do but to look again.
    under_way: bool,
    /// How many seconds that may take.
    takes: f64,
    /// What the last look found of it.
    marks: Vec<String>,
    /// Whether the journal has its residue.
    told: bool,
    /// The residue that the journal was told last: each try says the same again, and once is enough.
    said: Vec<String>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Next {
    /// Ask the agent.
    Call(Call),
    /// Start another agent.
    Connect,
    /// Nothing before this second.
    Wait(f64),
    /// Nothing more.
    Done,
}

impl Debt {
    /// Why it is still owed.
    fn words(&self) -> Vec<String> {
        let known: Vec<String> = self.residue.iter().chain(&self.marks).cloned().collect();
        if known.is_empty() {
            vec!["it is not known whether it was put back; run `squall recover`".to_owned()]
        } else {
            known
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Undo,
    Look,
    Connect,
    Recover,
    Leave,
    Done,
}

/// How putting back stands.
#[derive(Debug)]
pub(crate) struct Restoring {
    lease: f64,
    /// All injections of this run that were ever owed, without residue.
    ours: BTreeMap<String, Debt>,
    owed: BTreeMap<String, Debt>,
    /// What is owed or was, in the order in which it came to be.
    order: Vec<String>,
    /// What this undo is about; empty for all, which is followed by the look and the leave.
    only: Vec<String>,
    /// What is asked for in parts before all of it is: the last part first.
    parts: Vec<Vec<String>>,
    step: Step,
    not_before: f64,
    tries: u32,
    /// Since when is waited for what is under way.
    waiting_since: Option<f64>,
    looks: u32,
    /// Whether the last look found a mark.
    marked: bool,
    lost_at: Option<f64>,
    /// What was said of what other runs had left: its residue.
    of_others: BTreeMap<String, Vec<String>>,
}

impl Restoring {
    /// Nothing is owed yet. `lease` in seconds.
    pub(crate) fn new(lease: f64) -> Self {
        Self {
            lease,
            ours: BTreeMap::new(),
            owed: BTreeMap::new(),
            order: Vec::new(),
            only: Vec::new(),
            parts: Vec::new(),
            step: Step::Done,
            not_before: 0.0,
            tries: 0,
            waiting_since: None,
            looks: 0,
            marked: false,
            lost_at: None,
            of_others: BTreeMap::new(),
        }
    }

    /// From now on this injection is owed.
    pub(crate) fn owe(&mut self, injection: &PlannedInjection) {
        let debt = Debt {
            fault: injection.fault.clone(),
            target: injection.target.clone(),
            claims: injection.claims.clone(),
            takes: injection.steps.iter().map(|step| step.undo_takes().as_seconds()).fold(0.0, f64::max),
            ..Debt::default()
        };
        self.order.push(injection.id.clone());
        self.ours.insert(injection.id.clone(), debt.clone());
        self.owed.insert(injection.id.clone(), debt);
    }

    /// Nothing of an injection was made, and nothing of it can be left.
    pub(crate) fn was_not_made(&mut self, injection: &str) {
        self.owed.remove(injection);
    }

    /// What is owed.
    pub(crate) fn owed(&self) -> Vec<String> {
        self.owed.keys().cloned().collect()
    }

    /// Begins to put some injections back while the agent goes on.
    pub(crate) fn begin_some(&mut self, injections: Vec<String>) {
        (self.only, self.step, self.tries, self.not_before) = (injections, Step::Undo, 0, 0.0);
        self.waiting_since = None;
        self.divide();
    }

    /// Begins to put everything back and to take leave. `touched` says whether there can be anything.
    pub(crate) fn begin_all(&mut self, touched: bool) {
        self.only.clear();
        self.divide();
        (self.tries, self.not_before, self.waiting_since) = (0, 0.0, None);
        // A lost agent is being replaced already.
        if self.lost_at.is_none() {
            self.step = if touched { Step::Undo } else { Step::Leave };
        }
    }

    /// Divides what this undo is about into parts, the latest last so that it comes first, where one call would be too long. A
    /// call about all of it follows, for what was left.
    fn divide(&mut self) {
        let only: BTreeSet<&String> = self.only.iter().collect();
        let is_meant = |id: &&String| self.owed.contains_key(*id) && (only.is_empty() || only.contains(id));
        let meant: Vec<String> = self.order.iter().filter(is_meant).cloned().collect();
        let parts = meant.chunks(AT_ONCE).map(<[String]>::to_vec);
        self.parts = if meant.len() > AT_ONCE { parts.collect() } else { Vec::new() };
    }

    /// The agent is gone. Where nothing is owed, nothing is left to do.
    pub(crate) fn lost(&mut self, now: f64, why: &str) {
        let since = *self.lost_at.get_or_insert(now);
        if self.owed.is_empty() {
            self.step = Step::Done;
        } else if now - since >= self.lease + GRACE {
            self.give_up(why);
        } else {
            (self.step, self.not_before) = (Step::Connect, now + PAUSE);
        }
    }

    pub(crate) fn next(&self, now: f64) -> Next {
        let call = match self.step {
            Step::Done => return Next::Done,
            _ if now < self.not_before => return Next::Wait(self.not_before),
            Step::Connect => return Next::Connect,
            Step::Undo => Call::Undo { injections: self.parts.last().unwrap_or(&self.only).clone() },
            Step::Look => Call::Leftovers,
            Step::Recover => Call::Recover,
            Step::Leave => Call::Bye,
        };
        Next::Call(call)
    }

    /// Another agent was started, and what it put back on start; or it could not be.
    pub(crate) fn connected(&mut self, now: f64, recovered: Result<Vec<Restored>, String>) -> Vec<Event> {
        match recovered {
            Ok(recovered) => {
                let events = self.settle(recovered, 0.0);
                (self.step, self.not_before) = (Step::Look, 0.0);
                events
            }
            Err(why) => {
                self.lost(now, &why);
                Vec::new()
            }
        }
    }

    /// What came of a call of [`Restoring::next`]. `seconds` is how long it took.
    pub(crate) fn answered(
        &mut self,
        now: f64,
        answer: Result<Answer, LinkError>,
        seconds: f64,
    ) -> Vec<Event> {
        match (self.step, answer) {
            (_, Err(LinkError::Lost(why))) => {
                self.lost(now, &why);
                Vec::new()
            }
            (Step::Undo, Ok(Answer::Restored { restored })) => {
                let events = self.settle(restored, seconds);
                if self.parts.pop().is_none() {
                    self.after_undo(now);
                }
                events
            }
            (Step::Undo, answer) => {
                self.parts.clear();
                let why = complaint(answer, "undo");
                for debt in self.owed.values_mut() {
                    debt.residue = vec![format!("{why}; try `squall recover`")];
                }
                self.after_undo(now);
                Vec::new()
            }
            (Step::Look, Ok(Answer::Leftovers { found })) => {
                let left = found.into_iter().filter_map(|leftover| {
                    let id = self.maker(&leftover)?;
                    Some((id, format!("{}; {}", leftover.what, leftover.remedy)))
                });
                let left = left.collect();
                let events = self.looked(left, seconds);
                self.after_look(now);
                events
            }
            (Step::Look, answer) => {
                let why = complaint(answer, "leftovers");
                self.explain(&why);
                self.step = Step::Leave;
                Vec::new()
            }
            (Step::Recover, answer) => {
                self.step = Step::Look;
                match answer {
                    Ok(Answer::Restored { restored }) => self.settle(restored, seconds),
                    _ => Vec::new(),
                }
            }
            (Step::Leave, answer) => {
                self.step = Step::Done;
                match answer {
                    Ok(Answer::Restored { restored }) => self.settle(restored, seconds),
                    _ => Vec::new(),
                }
            }
            (Step::Connect | Step::Done, _) => Vec::new(),
        }
    }

    /// Books what was put back. What had left residue and is whole now is no longer owed. What an agent put back of
    /// dead owners of other runs is worth a note.
    pub(crate) fn settle(&mut self, restored: Vec<Restored>, seconds: f64) -> Vec<Event> {
        let settle = |restored: Restored| {
            let stands = let_stand(&restored);
            self.settle_one(restored, seconds).into_iter().chain(stands)
        };
        restored.into_iter().flat_map(settle).collect()
    }

    /// What is only under way is no residue yet: it is noted, once for each new word of it.
    fn settle_one(&mut self, restored: Restored, seconds: f64) -> Option<Event> {
        let residue = restored.residue();
        let Some(debt) = self.ours.get(&restored.injection) else {
            let said = self.of_others.insert(restored.injection.clone(), residue.clone());
            let message = of_others(&restored, &residue);
            return (said.as_ref() != Some(&residue)).then_some(Event::Note { message });
        };
        if residue.is_empty() {
            self.owed.remove(&restored.injection);
            return Some(Event::Restored { restored, residue, seconds });
        }
        let under_way = restored.is_under_way();
        let said = if under_way { Vec::new() } else { residue.clone() };
        let debt = Debt { residue: residue.clone(), told: !under_way, under_way, said, ..debt.clone() };
        let known = self.owed.insert(restored.injection.clone(), debt);
        if !under_way {
            let is_new = known.is_none_or(|known| known.said != residue);
            return is_new.then_some(Event::Restored { restored, residue, seconds });
        }
        let is_new = known.is_none_or(|known| known.residue != residue);
        let words =
            format!("{} on {} is being put back: {}", restored.fault, restored.target, residue.join("; "));
        is_new.then_some(Event::Note { message: words })
    }

    /// What is still owed, in words; empty is good.
    pub(crate) fn residue(&self) -> Vec<String> {
        let words = |(id, debt): (&String, &Debt)| {
            format!("{} on {} ({id}): {}", debt.fault, debt.target, debt.words().join("; "))
        };
        self.owed.iter().map(words).collect()
    }

    /// What is still owed and is not in the journal yet, for it.
    pub(crate) fn untold(&mut self) -> Vec<Event> {
        let untold = self.owed.iter_mut().filter(|(_, debt)| !debt.told);
        let event = |(id, debt): (&String, &mut Debt)| {
            debt.told = true;
            debt.said = debt.words();
            let restored = Restored {
                injection: id.clone(),
                fault: debt.fault.clone(),
                target: debt.target.clone(),
                steps: Vec::new(),
                errors: debt.words(),
            };
            Event::Restored { residue: restored.residue(), restored, seconds: 0.0 }
        };
        untold.map(event).collect()
    }

    /// Whether anything that was tried to be put back could not be.
    pub(crate) fn has_residue(&self) -> bool {
        self.owed.values().any(|debt| !debt.residue.is_empty())
    }

    fn after_undo(&mut self, now: f64) {
        let since = *self.waiting_since.get_or_insert(now);
        let mut residue = self.owed.values().filter(|debt| !debt.residue.is_empty()).peekable();
        let is_any = residue.peek().is_some();
        if is_any && residue.all(|debt| debt.under_way && now - since < debt.takes) {
            self.not_before = now + WAITS;
            return;
        }
        self.tries += 1;
        if self.has_residue() && self.tries < MOST_TRIES {
            self.not_before = now + PAUSE;
        } else {
            self.step = if self.only.is_empty() { Step::Look } else { Step::Done };
        }
    }

    /// Whose mark it is: of the injection that it names, or else of ours that holds what it is on.
    fn maker(&self, leftover: &Leftover) -> Option<String> {
        leftover.injection.clone().or_else(|| {
            let claim = leftover.claim.as_ref()?;
            let mut of_the_place = self.owed.iter().chain(self.ours.iter().rev());
            of_the_place.find(|(_, debt)| debt.claims.contains(claim)).map(|(id, _)| id.clone())
        })
    }

    /// Compares what is owed with the marks that were found. What the agent could not undo stays residue even where
    /// no mark of it is seen: not everything can carry one.
    fn looked(&mut self, marks: Vec<(String, String)>, seconds: f64) -> Vec<Event> {
        self.owed.values_mut().for_each(|debt| debt.marks.clear());
        let mut events = Vec::new();
        let whole: Vec<String> = self
            .owed
            .iter()
            .filter(|(id, debt)| debt.residue.is_empty() && !marks.iter().any(|(mark, _)| mark == *id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in whole {
            if let Some(debt) = self.owed.remove(&id) {
                let looked_at = format!("this machine, for marks of {id}: there are none");
                let restored = Restored {
                    injection: id,
                    fault: debt.fault,
                    target: debt.target,
                    steps: vec![Reverted::AlreadyGone { looked_at }],
                    errors: Vec::new(),
                };
                events.push(Event::Restored { restored, residue: Vec::new(), seconds });
            }
        }
        for (id, mark) in marks {
            // A mark of what was said to be put back says that it was not.
            let Some(debt) = self.ours.get(&id) else { continue };
            let debt = self.owed.entry(id).or_insert_with(|| debt.clone());
            debt.marks.push(mark);
            debt.told = false;
            self.marked = true;
        }
        events
    }

    /// Marks are tried to be removed, and looked for again: a few times, or as long as a lost agent's warden may be
    /// at it.
    fn after_look(&mut self, now: f64) {
        self.looks += 1;
        let patient = match self.lost_at {
            Some(since) => now - since < self.lease + GRACE + self.longest(),
            None => self.looks < MOST_TRIES,
        };
        if std::mem::take(&mut self.marked) && patient {
            (self.step, self.not_before) = (Step::Recover, now + PAUSE);
        } else {
            self.step = Step::Leave;
        }
    }

    /// How long what is owed may take to be put back, in seconds, beyond what anything takes.
    fn longest(&self) -> f64 {
        self.owed.values().map(|debt| debt.takes).fold(0.0, f64::max)
    }

    fn give_up(&mut self, why: &str) {
        self.explain(why);
        self.step = Step::Done;
    }

    fn explain(&mut self, why: &str) {
        for debt in self.owed.values_mut().filter(|debt| debt.residue.is_empty()) {
            debt.residue =
                vec![format!("it is not known whether it was put back ({why}); run `squall recover`")];
        }
    }
}

/// What somebody else changed meanwhile is worth a note, though nothing of ours is left.
fn let_stand(restored: &Restored) -> Vec<Event> {
    let Restored { fault, target, steps, .. } = restored;
    let words = |step: &Reverted| match step {
        Reverted::LetStand { looked_at } => {
            Some(Event::Note { message: format!("{fault} on {target}: {looked_at}") })
        }
        _ => None,
    };
    steps.iter().filter_map(words).collect()
}

fn of_others(restored: &Restored, residue: &[String]) -> String {
    let Restored { injection, fault, target, .. } = restored;
    let what = format!("{fault} on {target} ({injection}), which an earlier owner had left");
    if residue.is_empty() {
        format!("put back {what}")
    } else {
        format!("could not put back {what}: {}", residue.join("; "))
    }
}

/// Why an answer is not the one that was hoped for.
fn complaint(answer: Result<Answer, LinkError>, call: &str) -> String {
    match answer {
        Err(error) => format!("{call}: {error}"),
        Ok(_) => format!("{call}: the agent answered something else"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{drifted, injection, leftover, lost, refused, restored};

    #[test]
    fn what_is_under_way_is_waited_for_and_told_once() {
        let mut restoring = Restoring::new(5.0);
        restoring.owe(&injection("a", 0));
        restoring.owed.values_mut().chain(restoring.ours.values_mut()).for_each(|debt| debt.takes = 60.0);
        restoring.begin_all(true);
        let mut slow = drifted("a");
        if let Some(Reverted::Drifted(difference)) = slow.steps.first_mut() {
            difference.under_way = true;
        }
        let answer = |restored: Restored| Ok(Answer::Restored { restored: vec![restored] });
        for look in 0..30 {
            let now = f64::from(look) * WAITS;
            assert_eq!(restoring.next(now), Next::Call(Call::Undo { injections: Vec::new() }), "{now}");
            let events = restoring.answered(now, answer(slow.clone()), 0.1);
            let notes = events.iter().filter(|event| matches!(event, Event::Note { .. })).count();
            assert_eq!((events.len(), notes), if look == 0 { (1, 1) } else { (0, 0) }, "{events:?}");
            assert_eq!(restoring.next(now), Next::Wait(now + WAITS));
        }
        let mut other =
            Restoring { owed: restoring.owed.clone(), ours: restoring.ours.clone(), ..Restoring::new(5.0) };
        other.begin_all(true);
        let events = other.answered(1.0, answer(restored("a")), 0.1);
        assert!(matches!(&events[..], [Event::Restored { residue, .. }] if residue.is_empty()), "{events:?}");
        // It took too long: tried as anything is, and told as residue in the end.
        for now in [60.0, 62.0, 64.0] {
            restoring.answered(now, answer(slow.clone()), 0.1);
        }
        assert_eq!(restoring.next(70.0), Next::Call(Call::Leftovers));
        assert!(restoring.has_residue() && restoring.untold().len() == 1);
    }

    #[test]
    fn what_somebody_else_decided_is_told_and_is_no_residue() {
        let mut restoring = owing(&["a"]);
        let mut stands = restored("a");
        stands.steps = vec![Reverted::LetStand { looked_at: "replicas: was 3, is 5".into() }];
        let events = restoring.answered(0.1, Ok(Answer::Restored { restored: vec![stands] }), 0.1);
        let [Event::Restored { residue, .. }, Event::Note { message }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(residue.is_empty() && message.contains("was 3, is 5"), "{message}");
        assert!(restoring.residue().is_empty());
    }

    fn owing(ids: &[&str]) -> Restoring {
        let mut restoring = Restoring::new(5.0);
        ids.iter().for_each(|id| restoring.owe(&injection(id, 0)));
        restoring.begin_all(true);
        restoring
    }

    #[test]
    fn many_are_put_back_in_parts_the_latest_first_and_then_what_is_left() {
        let names: Vec<String> = (0..250).map(|number| format!("i{number}")).collect();
        let mut restoring = owing(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut asked = Vec::new();
        while let Next::Call(Call::Undo { injections }) = restoring.next(0.0) {
            // Two of them are forgotten at first.
            let is_done = |name: &&String| !["i7", "i240"].contains(&name.as_str());
            let done: Vec<&str> = injections.iter().filter(is_done).map(String::as_str).collect();
            restoring.answered(
                0.0,
                Ok(undone(if injections.is_empty() { &["i7", "i240"] } else { &done })),
                0.1,
            );
            asked.push(injections);
        }
        let ends: Vec<_> = asked.iter().map(|part| (part.first(), part.len())).collect();
        assert_eq!(
            ends,
            [(names.get(192), 58), (names.get(128), 64), (names.get(64), 64), (names.first(), 64), (None, 0)]
        );
        assert_eq!((restoring.next(0.0), restoring.residue().len()), (Next::Call(Call::Leftovers), 0));
    }

    fn undone(ids: &[&str]) -> Answer {
        Answer::Restored { restored: ids.iter().map(|id| restored(id)).collect() }
    }

    #[test]
    fn undo_look_leave() {
        let mut restoring = owing(&["a", "b"]);
        assert_eq!(restoring.next(0.0), Next::Call(Call::Undo { injections: Vec::new() }));
        assert_eq!(restoring.answered(0.1, Ok(undone(&["a", "b"])), 0.1).len(), 2);
        assert_eq!(restoring.next(0.1), Next::Call(Call::Leftovers));
        let others = Ok(Answer::Leftovers { found: vec![leftover("somebody-elses")] });
        assert!(restoring.answered(0.2, others, 0.1).is_empty());
        assert_eq!(restoring.next(0.2), Next::Call(Call::Bye));
        restoring.answered(0.3, Ok(undone(&[])), 0.1);
        assert_eq!((restoring.next(0.3), restoring.residue().len()), (Next::Done, 0));
    }

    #[test]
    fn an_undo_that_leaves_something_is_tried_three_times() {
        let mut restoring = owing(&["a"]);
        for (try_number, now) in [(1, 0.0), (2, 1.0), (3, 2.0)] {
            assert!(matches!(restoring.next(now), Next::Call(Call::Undo { .. })), "try {try_number}");
            let events = restoring.answered(now, Ok(Answer::Restored { restored: vec![drifted("a")] }), 0.1);
            assert_eq!(events.len(), usize::from(try_number == 1), "the same is said again: {events:?}");
            if try_number < 3 {
                assert_eq!(restoring.next(now), Next::Wait(now + 1.0));
            }
        }
        assert_eq!(restoring.next(2.0), Next::Call(Call::Leftovers));
        restoring.answered(2.0, Ok(Answer::Leftovers { found: vec![] }), 0.1);
        assert_eq!(restoring.residue().len(), 1, "what drifted has no mark, and is residue all the same");

        let mut restoring = owing(&["a"]);
        restoring.answered(0.0, Err(refused("busy")), 0.1);
        restoring.answered(1.0, Ok(undone(&["a"])), 0.1);
        assert!(restoring.residue().is_empty(), "the second try succeeded");
    }

    #[test]
    fn a_lost_agents_injections_are_looked_for_by_the_next() {
        let mut restoring = owing(&["a", "b"]);
        restoring.answered(10.0, Err(lost()), 0.1);
        assert_eq!((restoring.next(10.0), restoring.next(11.0)), (Next::Wait(11.0), Next::Connect));
        restoring.connected(11.0, Ok(vec![restored("a")]));
        assert_eq!(restoring.next(11.0), Next::Call(Call::Leftovers));
        restoring.answered(11.1, Ok(Answer::Leftovers { found: vec![leftover("b")] }), 0.1);
        assert_eq!(
            (restoring.next(11.1), restoring.next(12.2)),
            (Next::Wait(12.1), Next::Call(Call::Recover))
        );
        restoring.answered(12.2, Ok(undone(&["b"])), 0.1);
        restoring.answered(12.3, Ok(Answer::Leftovers { found: vec![] }), 0.1);
        assert_eq!((restoring.next(12.3), restoring.residue().len()), (Next::Call(Call::Bye), 0));
    }

    #[test]
    fn a_mark_that_names_no_injection_is_known_by_what_it_is_on() {
        let claim = Claim("the root qdisc of eth0".into());
        let mut restoring = Restoring::new(5.0);
        let planned = injection("a", 0);
        restoring.owe(&PlannedInjection { claims: vec![claim.clone()], ..planned });
        restoring.begin_all(true);
        restoring.answered(0.0, Ok(undone(&["a"])), 0.1);
        assert!(restoring.residue().is_empty());
        let other = Leftover { injection: None, claim: Some(Claim("eth1".into())), ..leftover("") };
        let found = vec![Leftover { injection: None, claim: Some(claim), ..leftover("") }, other];
        restoring.answered(0.1, Ok(Answer::Leftovers { found }), 0.1);
        let residue = restoring.residue();
        assert!(residue.len() == 1 && residue[0].contains("(a): a qdisc; tc qdisc del"), "{residue:?}");
    }

    #[test]
    fn an_agent_that_cannot_be_replaced_leaves_the_unknown() {
        let mut restoring = owing(&["a"]);
        restoring.lost(0.0, "killed");
        let mut now = 0.0;
        while restoring.next(now) != Next::Done {
            assert!(now < 60.0, "it never gives up");
            now += 0.5;
            if restoring.next(now) == Next::Connect {
                restoring.connected(now, Err("sudo: a password is required".into()));
            }
        }
        let residue = restoring.residue().join("\n");
        assert!(
            residue.contains("a password is required") && residue.contains("squall recover"),
            "{residue}"
        );
    }

    #[test]
    fn a_lost_agent_that_held_nothing_matters_no_more() {
        let mut restoring = Restoring::new(5.0);
        restoring.begin_all(false);
        assert_eq!(restoring.next(0.0), Next::Call(Call::Bye));
        restoring.answered(0.0, Err(lost()), 0.1);
        assert_eq!(restoring.next(0.0), Next::Done);
    }
}
