//! The method as a timeline: which strikes begin when, how long each lasts, what is due now.
//!
//! Entries run in order. The strikes of one entry are active together: each begins `after` its group began and is put
//! back when its own time is over; the next entry begins when all are put back.
//!
//! The first entry with a fault is carried out as it was planned before the run. Each later one is planned anew right
//! before it begins, since what was struck before it may have changed who is there: a service that was killed has
//! another process, and a limit of the blast radius counts what is left. Every one, and not only those whose target is
//! gone: so there is one rule, the limits and protections hold for what is there at that moment, and nothing has to
//! tell a target that is gone from one that is merely different.
//!
//! A question is an entry too, and no fault is active while it is asked. Whether a part with a condition over answers is
//! carried out is decided when its entry begins; one that is left out is neither planned anew nor made.

use crate::answers::{Answers, Decision};
use squall_model::condition::Condition;
use squall_model::experiment::{Action, Ask, Experiment, Strike};
use squall_model::node::Place;
use squall_model::plan::{Joining, PlanEntry, PlanRequest, PlannedInjection};
use squall_model::server::ServerUrl;
use squall_model::target::Target;
use squall_model::units::Duration;
use squall_model::value::Reading;
use std::collections::VecDeque;

/// How often live injections are asked for evidence, in seconds.
const OBSERVES_EVERY: f64 = 2.0;

/// How often is looked for more that a fault should strike, counted from the end of the look before, in seconds.
const FOLLOWS_EVERY: f64 = 5.0;

/// How long before its end nothing joins a fault any more, in seconds: it would hardly be struck.
const FOLLOWS_UNTIL: f64 = 2.0;

/// What the agent is asked to plan for an experiment. The entries are its strikes, in order.
pub fn plan_request(experiment: &Experiment, seed: u64) -> PlanRequest {
    plan_request_for(experiment, seed, |_| true)
}

/// The same for some of the strikes, by their numbers.
pub(crate) fn plan_request_for(
    experiment: &Experiment,
    seed: u64,
    wanted: impl Fn(usize) -> bool,
) -> PlanRequest {
    let entry = |(entry, strike): (usize, &Strike)| PlanEntry {
        entry,
        fault: strike.fault.clone(),
        with: strike.with.to_json(),
        selection: strike.selection.clone(),
        lasts: strike.lasts,
        joining: None,
    };
    let mut next = 0;
    let groups = experiment.method.iter().filter_map(|action| match action {
        Action::Strike(strikes) => {
            let first = next;
            next += strikes.len();
            Some((first..next).filter(|number| wanted(*number)).collect())
        }
        Action::Wait(_) | Action::Ask(_) => None,
    });
    PlanRequest {
        together: groups.filter(|group: &Vec<usize>| !group.is_empty()).collect(),
        entries: strikes(experiment).enumerate().filter(|(number, _)| wanted(*number)).map(entry).collect(),
        seed,
        targets_limit: experiment.blast_radius.targets,
        spared: experiment.blast_radius.spared.clone(),
        allow_data_loss: experiment.blast_radius.allow_data_loss,
    }
}

/// What the agent is asked to plan for a strike that is active for so many more seconds.
pub(crate) fn join_request(
    experiment: &Experiment,
    seed: u64,
    strike: usize,
    seconds: f64,
    joining: &Joining,
) -> PlanRequest {
    let mut request = plan_request_for(experiment, seed, |number| number == strike);
    for entry in &mut request.entries {
        entry.joining = Some(joining.clone());
        entry.lasts = entry.lasts.min(Duration::milliseconds((seconds * 1000.0).ceil() as u64));
    }
    request
}

/// All strikes, in order.
pub(crate) fn strikes(experiment: &Experiment) -> impl Iterator<Item = &Strike> {
    experiment.method.iter().flat_map(Action::strikes)
}

/// All questions, in order.
pub(crate) fn asks(experiment: &Experiment) -> impl Iterator<Item = &Ask> {
    experiment.method.iter().filter_map(|action| match action {
        Action::Ask(ask) => Some(ask),
        Action::Strike(_) | Action::Wait(_) => None,
    })
}

/// The servers that are struck, with the passwords in their addresses.
pub(crate) fn servers(experiment: &Experiment) -> Vec<ServerUrl> {
    let targets = strikes(experiment).map(|strike| &strike.selection.target);
    let server = |target: &Target| match target {
        Target::Database(url) => Some((**url).clone()),
        _ => None,
    };
    targets.filter_map(server).collect()
}

/// How long the method lasts if nothing ends it, in seconds.
pub(crate) fn seconds(experiment: &Experiment) -> f64 {
    let action = |action: &Action| match action {
        Action::Wait(wait) => wait.lasts.as_seconds(),
        Action::Ask(ask) => ask.within.as_seconds(),
        Action::Strike(strikes) => {
            let ends = strikes.iter().map(|strike| strike.after.as_seconds() + strike.lasts.as_seconds());
            ends.fold(0.0, f64::max)
        }
    };
    experiment.method.iter().map(action).sum()
}

/// What is due.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Due {
    /// Plan these strikes anew, by their numbers, before they begin.
    Plan(Vec<usize>),
    /// Make these injections, together.
    Inject(Vec<PlannedInjection>),
    /// Ask for evidence.
    Observe,
    /// Look for more that this strike should strike, for the seconds that are left of it.
    Follow(usize, f64),
    /// Make this injection beside those of its strike.
    Join(Box<PlannedInjection>),
    /// Put these back; more of the method follows.
    Undo(Vec<String>),
    /// Nothing before this second.
    Wait(f64),
    /// Ask this question of the method, by its number.
    Ask(usize),
    /// These are left out, as the answers are.
    LeaveOut(Vec<LeftOut>),
    /// What follows cannot be known, for this reason.
    Undecided(String),
    /// The method is over; what is still active is to be put back.
    Over,
}

/// A part of the method that is left out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LeftOut {
    /// What it is, for people.
    pub(crate) what: String,
    /// Whether it is a fault.
    pub(crate) is_fault: bool,
    /// Its condition.
    pub(crate) when: String,
    /// What the answers are.
    pub(crate) found: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Begins at this second.
    Waits(f64),
    Begins,
    /// Lasts until this second.
    Active(f64),
    Ends,
    Over,
}

#[derive(Debug, Clone)]
struct Timed {
    /// Its number among all strikes of the experiment.
    number: usize,
    injections: Vec<PlannedInjection>,
    after: f64,
    lasts: f64,
    state: State,
    /// Whether what begins to match while it is active joins.
    follows: bool,
    /// When the last look for more ended; none while one is under way.
    looked: Option<f64>,
    /// What joins, in order.
    arrivals: VecDeque<PlannedInjection>,
    /// The fault, or the stage of one that it is.
    label: String,
    target: String,
    when: Option<Condition>,
}

/// A question that is to be answered.
#[derive(Debug, Clone)]
struct Asking {
    /// Its number among all questions.
    number: usize,
    name: String,
    within: Duration,
    /// When it was asked; none before.
    asked: Option<f64>,
}

#[derive(Debug, Clone, Default)]
struct Entry {
    /// None for a wait, which lasts `wait` seconds, and for a question.
    strikes: Vec<Timed>,
    wait: f64,
    /// None once it is answered.
    ask: Option<Asking>,
    /// Of a wait and a question.
    when: Option<Condition>,
    stage: Option<String>,
    place: Option<Place>,
    /// Whether it is known what of it is carried out.
    is_decided: bool,
    /// Whether its plan may be carried out as it is.
    is_planned: bool,
}

/// The method while it is carried out.
#[derive(Debug)]
pub(crate) struct Method {
    entries: Vec<Entry>,
    current: usize,
    /// When the current entry began; none before.
    begun: Option<f64>,
    observed: f64,
    answers: Answers,
}

impl Method {
    /// The method with the injections that were planned for its strikes.
    pub(crate) fn new(experiment: &Experiment, planned: &[PlannedInjection]) -> Self {
        let (mut number, mut asks) = (0, 0);
        let mut timed = |strike: &Strike| {
            let injections = planned.iter().filter(|injection| injection.entry == number).cloned().collect();
            number += 1;
            Timed {
                number: number - 1,
                injections,
                after: strike.after.as_seconds(),
                lasts: strike.lasts.as_seconds(),
                state: State::Over,
                follows: strike.selection.follow,
                looked: None,
                arrivals: VecDeque::new(),
                label: label(strike),
                target: strike.selection.target.to_string(),
                when: strike.when.clone(),
            }
        };
        let entry = |action: &Action| match action {
            Action::Wait(wait) => Entry {
                wait: wait.lasts.as_seconds(),
                when: wait.when.clone(),
                is_planned: true,
                ..Entry::default()
            },
            Action::Ask(ask) => {
                asks += 1;
                let (name, within) = (ask.name.clone(), ask.within);
                let asking = Asking { number: asks - 1, name, within, asked: None };
                Entry { ask: Some(asking), when: ask.when.clone(), is_planned: true, ..Entry::default() }
            }
            Action::Strike(strikes) => Entry {
                strikes: strikes.iter().map(&mut timed).collect(),
                stage: strikes.iter().find_map(|strike| strike.stage.clone()),
                place: strikes.first().map(|strike| strike.place),
                ..Entry::default()
            },
        };
        let mut entries: Vec<Entry> = experiment.method.iter().map(entry).collect();
        // An answer may take its time, and much may have changed by then.
        let mut before_questions = entries.iter_mut().take_while(|entry| entry.ask.is_none());
        if let Some(first) = before_questions.find(|entry| !entry.is_planned) {
            first.is_planned = true;
        }
        Self { entries, current: 0, begun: None, observed: f64::NEG_INFINITY, answers: Answers::default() }
    }

    /// What is due now. To be asked again when that is done, or the second waited for has come.
    pub(crate) fn due(&mut self, now: f64) -> Due {
        loop {
            let last = self.current + 1 >= self.entries.len();
            let Some(entry) = self.entries.get_mut(self.current) else { return Due::Over };
            if !entry.is_decided {
                match entry.decide(&self.answers) {
                    Ok(left_out) if left_out.is_empty() => {}
                    Ok(left_out) => return Due::LeaveOut(left_out),
                    Err(why) => return Due::Undecided(why),
                }
            }
            if !entry.is_planned {
                return Due::Plan(self.current_strikes());
            }
            let begun = *self.begun.get_or_insert_with(|| {
                let has_any = |strike: &&mut Timed| strike.follows || !strike.injections.is_empty();
                for strike in entry.strikes.iter_mut().filter(has_any) {
                    strike.state = State::Waits(now + strike.after);
                }
                now
            });
            if now < begun + entry.wait {
                return Due::Wait(begun + entry.wait);
            }
            if let Some(asking) = &mut entry.ask {
                return asking.due(now);
            }
            if entry.strikes.iter().all(|strike| strike.state == State::Over) {
                self.current += 1;
                self.begun = None;
                continue;
            }
            return self.due_of_strikes(now, last);
        }
    }

    fn due_of_strikes(&mut self, now: f64, last: bool) -> Due {
        let observed = self.observed;
        let strikes = &mut self.entries[self.current].strikes;
        let ended = |strike: &Timed| matches!(strike.state, State::Active(until) if until <= now);
        let first_end =
            strikes.iter().filter(|strike| ended(strike)).map(Timed::turn).fold(f64::INFINITY, f64::min);
        if first_end.is_finite() {
            // What a fault did is asked one last time before it is taken back.
            if observed < first_end {
                self.observed = now;
                return Due::Observe;
            }
            if last && strikes.iter().all(|strike| strike.state == State::Over || ended(strike)) {
                return Due::Over;
            }
            let ending = strikes.iter_mut().filter(|strike| ended(strike));
            let ids = ending.flat_map(|strike| {
                strike.state = State::Ends;
                strike.injections.iter().map(|injection| injection.id.clone())
            });
            return Due::Undo(ids.collect());
        }
        let begins = |strike: &&mut Timed| matches!(strike.state, State::Waits(at) if at <= now);
        let mut beginning = strikes.iter_mut().filter(begins).peekable();
        if beginning.peek().is_some() {
            let injections = beginning.flat_map(|strike| {
                strike.state = State::Begins;
                strike.injections.clone()
            });
            return Due::Inject(injections.collect());
        }
        if let Some(arrival) = strikes.iter_mut().find_map(Timed::arrival) {
            return Due::Join(Box::new(arrival));
        }
        // One look at a time.
        let may_follow = strikes.iter().all(|strike| strike.looked.is_some() || !strike.is_active());
        let mut following =
            strikes.iter_mut().filter(|strike| may_follow && strike.follows_at().is_some_and(|at| at <= now));
        if let Some(strike) = following.next() {
            strike.looked = None;
            let left = strike.turn() - now;
            return Due::Follow(strike.number, left);
        }
        let active = strikes.iter().any(|strike| strike.is_active() && !strike.injections.is_empty());
        let look = if active { observed + OBSERVES_EVERY } else { f64::INFINITY };
        if look <= now {
            self.observed = now;
            return Due::Observe;
        }
        let follows = strikes.iter().filter(|_| may_follow).filter_map(Timed::follows_at);
        Due::Wait(strikes.iter().map(Timed::turn).chain(follows).fold(look, f64::min))
    }

    /// Whether this question is being asked, and not answered yet.
    pub(crate) fn awaits(&self, number: usize) -> bool {
        let asking = self.entries.get(self.current).and_then(|entry| entry.ask.as_ref());
        asking.is_some_and(|asking| asking.number == number && asking.asked.is_some())
    }

    /// The question that is being asked is answered; `told` is what may be told of it.
    pub(crate) fn answered(&mut self, reading: &Reading, told: &Reading) {
        let asking = self.entries.get_mut(self.current).and_then(|entry| entry.ask.take());
        if let Some(asking) = asking {
            self.answers.keep(&asking.name, reading, told);
        }
    }

    /// The effect of an injection is over: where its target is followed, it is soon known whether that is gone.
    pub(crate) fn look_soon(&mut self, injection: &str) {
        let strikes = self.entries.get_mut(self.current).map(|entry| entry.strikes.as_mut_slice());
        let has_it =
            |strike: &Timed| strike.follows && strike.injections.iter().any(|known| known.id == injection);
        for strike in strikes.unwrap_or_default().iter_mut().filter(|strike| has_it(strike)) {
            strike.looked = strike.looked.map(|_| f64::NEG_INFINITY);
        }
    }

    /// Whether this strike is active now.
    pub(crate) fn is_active(&self, number: usize) -> bool {
        let strikes = self.entries.get(self.current).map(|entry| entry.strikes.as_slice());
        strikes.unwrap_or_default().iter().any(|strike| strike.number == number && strike.is_active())
    }

    /// A look for more has come to its end; what joins.
    pub(crate) fn followed(&mut self, now: f64, number: usize, arrivals: Vec<PlannedInjection>) {
        let strikes = self.entries.get_mut(self.current).map(|entry| entry.strikes.as_mut_slice());
        let is_it = |strike: &&mut Timed| strike.number == number && strike.is_active();
        for strike in strikes.unwrap_or_default().iter_mut().filter(is_it) {
            strike.looked = Some(now);
            strike.arrivals.extend(arrivals.iter().cloned());
        }
    }

    /// The numbers of the current entry's strikes.
    pub(crate) fn current_strikes(&self) -> Vec<usize> {
        let strikes = self.entries.get(self.current).map(|entry| entry.strikes.as_slice());
        strikes.unwrap_or_default().iter().map(|strike| strike.number).collect()
    }

    /// The current entry was planned anew.
    pub(crate) fn planned_anew(&mut self, injections: &[PlannedInjection]) {
        let Some(entry) = self.entries.get_mut(self.current) else { return };
        entry.is_planned = true;
        for strike in &mut entry.strikes {
            let of_strike = |injection: &&PlannedInjection| injection.entry == strike.number;
            strike.injections = injections.iter().filter(of_strike).cloned().collect();
        }
    }

    /// The strikes that were asked for are active.
    pub(crate) fn injected(&mut self, now: f64) {
        self.observed = now;
        for strike in self.strikes_in(State::Begins) {
            strike.state = State::Active(now + strike.lasts);
            strike.looked = Some(now);
        }
    }

    /// The strikes that were to be put back are.
    pub(crate) fn undone(&mut self) {
        self.strikes_in(State::Ends).for_each(|strike| strike.state = State::Over);
    }

    /// Whether the current entry has no strike that is active or still to begin.
    pub(crate) fn entry_ends(&self, now: f64) -> bool {
        let ends = |strike: &Timed| match strike.state {
            State::Waits(_) | State::Begins => false,
            State::Active(until) => until <= now,
            State::Ends | State::Over => true,
        };
        self.entries.get(self.current).is_none_or(|entry| entry.strikes.iter().all(ends))
    }

    /// What the current entry is, for people.
    pub(crate) fn label(&self) -> String {
        let strikes = self.entries.get(self.current).map(|entry| entry.strikes.as_slice());
        let labels = strikes.unwrap_or_default().iter().map(|strike| strike.label.as_str());
        labels.collect::<Vec<_>>().join(" and ")
    }

    /// The stage of a ramp or repetition that the current entry is.
    pub(crate) fn stage(&self) -> Option<String> {
        self.entries.get(self.current).and_then(|entry| entry.stage.clone())
    }

    /// Drops the stages that follow of the ramp or repetition that the current entry belongs to; returns how many.
    pub(crate) fn stop_growing(&mut self) -> usize {
        let Some(place) =
            self.entries.get(self.current).filter(|entry| entry.stage.is_some()).map(|entry| entry.place)
        else {
            return 0;
        };
        let before = self.entries.len();
        let mut number = 0;
        let current = self.current;
        self.entries.retain(|entry| {
            number += 1;
            number <= current + 1 || entry.stage.is_none() || entry.place != place
        });
        before - self.entries.len()
    }

    fn strikes_in(&mut self, state: State) -> impl Iterator<Item = &mut Timed> {
        let strikes = self.entries.get_mut(self.current).map(|entry| entry.strikes.as_mut_slice());
        strikes.unwrap_or_default().iter_mut().filter(move |strike| strike.state == state)
    }
}

impl Entry {
    /// Leaves out what the answers do not choose, and says what that is; or why it cannot be known.
    fn decide(&mut self, answers: &Answers) -> Result<Vec<LeftOut>, String> {
        let mut left_out = Vec::new();
        let mut goes =
            |when: &Option<Condition>, what: String, is_fault: bool| match answers.decide(when.as_ref()) {
                Decision::Goes => Ok(true),
                Decision::LeftOut(found) => {
                    let when = when.as_ref().map(|when| when.text.clone()).unwrap_or_default();
                    left_out.push(LeftOut { what, is_fault, when, found });
                    Ok(false)
                }
                Decision::Unknown(why) => {
                    Err(format!("whether {what} is to be carried out cannot be known: {why}"))
                }
            };
        if !goes(&self.when, self.what(), false)? {
            (self.wait, self.ask) = (0.0, None);
        }
        let mut chosen = Vec::new();
        for strike in &self.strikes {
            if goes(&strike.when, format!("{} on {}", strike.label, strike.target), true)? {
                chosen.push(strike.clone());
            }
        }
        self.strikes = chosen;
        self.is_planned |= self.strikes.is_empty();
        self.is_decided = true;
        Ok(left_out)
    }

    /// What a wait or a question is, for people.
    fn what(&self) -> String {
        match &self.ask {
            Some(asking) => format!("the question `{}`", asking.name),
            None => format!("a wait of {} s", self.wait),
        }
    }
}

impl Asking {
    fn due(&mut self, now: f64) -> Due {
        let Some(asked) = self.asked else {
            self.asked = Some(now);
            return Due::Ask(self.number);
        };
        let until = asked + self.within.as_seconds();
        if now < until {
            return Due::Wait(until);
        }
        let Self { name, within, .. } = self;
        Due::Undecided(format!(
            "`{name}` was not answered within {within}, so that it is not known what follows"
        ))
    }
}

impl Timed {
    fn is_active(&self) -> bool {
        matches!(self.state, State::Active(_))
    }

    /// When more is to be looked for; none where it is not.
    fn follows_at(&self) -> Option<f64> {
        let State::Active(until) = self.state else { return None };
        let at = self.looked? + FOLLOWS_EVERY;
        (self.follows && at <= until - FOLLOWS_UNTIL).then_some(at)
    }

    /// The next that joins, which is one of it from now on.
    fn arrival(&mut self) -> Option<PlannedInjection> {
        let arrival = self.arrivals.pop_front().filter(|_| self.is_active())?;
        self.injections.push(arrival.clone());
        Some(arrival)
    }

    /// When something is to happen to it.
    fn turn(&self) -> f64 {
        match self.state {
            State::Waits(at) | State::Active(at) => at,
            State::Begins | State::Ends | State::Over => f64::INFINITY,
        }
    }
}

/// A fault, or the stage of one that it is.
fn label(strike: &Strike) -> String {
    match &strike.stage {
        Some(stage) => format!("{} {stage}", strike.fault),
        None => strike.fault.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ask, experiment, injection, only, strike};
    use squall_model::experiment::Wait;
    use squall_model::units::Duration;
    use squall_model::value::Value;

    fn method(actions: Vec<Action>) -> Method {
        let mut experiment = experiment();
        experiment.method = actions;
        let count = strikes(&experiment).count();
        let planned: Vec<_> = (0..count).map(|entry| injection(&format!("i{entry}"), entry)).collect();
        Method::new(&experiment, &planned)
    }

    /// Carries the method out with an agent that needs no time; what was due, and when.
    fn transcript(method: &mut Method) -> Vec<String> {
        let (mut now, mut lines) = (0.0, Vec::new());
        for _ in 0..1000 {
            match method.due(now) {
                Due::Plan(numbers) => method.planned_anew(
                    &numbers
                        .iter()
                        .map(|number| injection(&format!("i{number}"), *number))
                        .collect::<Vec<_>>(),
                ),
                Due::Inject(injections) => {
                    let ids: Vec<_> = injections.iter().map(|injection| injection.id.as_str()).collect();
                    lines.push(format!("{now} +{}", ids.join(",")));
                    method.injected(now);
                }
                Due::Undo(ids) => {
                    lines.push(format!("{now} -{}", ids.join(",")));
                    method.undone();
                }
                Due::Observe => {}
                Due::Ask(number) => {
                    lines.push(format!("{now} asks {number}"));
                    now += 1.0;
                    assert!(method.awaits(number) && matches!(method.due(now), Due::Wait(_)));
                    let answer = Reading::from([("exit_code".to_owned(), Value::Number(0.0))]);
                    method.answered(&answer, &answer);
                }
                Due::LeaveOut(parts) => {
                    let parts: Vec<_> = parts.iter().map(|part| part.what.as_str()).collect();
                    lines.push(format!("{now} without {}", parts.join(", ")));
                }
                Due::Undecided(why) => {
                    lines.push(format!("{now} undecided: {why}"));
                    return lines;
                }
                Due::Follow(number, left) => {
                    lines.push(format!("{now} ?i{number} for {left}"));
                    let arrival = injection(&format!("j{now}"), number);
                    method.followed(now, number, vec![arrival]);
                }
                Due::Join(injection) => lines.push(format!("{now} &{}", injection.id)),
                Due::Wait(until) => {
                    assert!(until > now && until.is_finite(), "waits for ever at {now}: {method:?}");
                    now = until;
                }
                Due::Over => {
                    lines.push(format!("{now} over"));
                    return lines;
                }
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn entries_run_in_order_and_groups_together() {
        let mut after = strike(4);
        after.after = Duration::seconds(3);
        let mut method = method(vec![
            Action::Strike(vec![strike(10), after]),
            Action::wait(Duration::seconds(5)),
            Action::Strike(vec![strike(2)]),
        ]);
        assert_eq!(transcript(&mut method), ["0 +i0", "3 +i1", "7 -i1", "10 -i0", "15 +i2", "17 over"]);
    }

    #[test]
    fn evidence_is_asked_for_again_and_again_and_before_the_end() {
        let mut method = method(vec![Action::Strike(vec![strike(5)])]);
        assert!(matches!(method.due(0.0), Due::Inject(_)));
        assert_eq!(method.due(0.1), Due::Wait(f64::INFINITY), "nothing is due while it is being made");
        method.injected(0.5);
        assert_eq!(method.due(0.5), Due::Wait(2.5));
        assert_eq!(method.due(2.5), Due::Observe);
        assert_eq!((method.due(4.5), method.due(4.6)), (Due::Observe, Due::Wait(5.5)));
        assert_eq!((method.due(5.5), method.due(5.6)), (Due::Observe, Due::Over));
    }

    #[test]
    fn more_is_looked_for_every_few_seconds_and_not_at_the_very_end() {
        let mut follows = strike(13);
        follows.selection.follow = true;
        let mut method = method(vec![Action::Strike(vec![follows, strike(12)])]);
        assert_eq!(
            transcript(&mut method),
            ["0 +i0,i1", "5 ?i0 for 8", "5 &j5", "10 ?i0 for 3", "10 &j10", "12 -i1", "13 over"]
        );
    }

    #[test]
    fn what_matched_nothing_is_passed_over() {
        let mut experiment = experiment();
        experiment.method = vec![Action::Strike(vec![strike(10)]), Action::Strike(vec![strike(10)])];
        let mut method = Method::new(&experiment, &[injection("i1", 1)]);
        assert_eq!(transcript(&mut method), ["0 +i1", "10 over"]);
        let mut method = Method::new(&experiment, &[]);
        assert_eq!(method.due(0.0), Due::Plan(vec![1]), "it may be there by now");
        method.planned_anew(&[]);
        assert_eq!(method.due(0.0), Due::Over);
    }

    #[test]
    fn answers_choose_what_is_carried_out() {
        let when = |text: &str| Some(Condition::parse(text).unwrap());
        let wait = |seconds: u64, text: &str| {
            Action::Wait(Wait { lasts: Duration::seconds(seconds), when: when(text) })
        };
        let mut method = method(vec![
            ask("a", 5),
            Action::Strike(vec![only("a.exit_code == 1", strike(3)), only("a.exit_code == 0", strike(4))]),
            wait(7, "a.exit_code == 1"),
            Action::Strike(vec![only("a.exit_code > 1", strike(3))]),
            wait(2, "a.exit_code < 1"),
            Action::Strike(vec![strike(1)]),
        ]);
        let fault = "network.latency on this host";
        assert_eq!(
            transcript(&mut method),
            [
                "0 asks 0".to_owned(),
                format!("1 without {fault}"),
                "1 +i1".to_owned(),
                "5 -i1".to_owned(),
                "5 without a wait of 7 s".to_owned(),
                format!("5 without {fault}"),
                "7 +i3".to_owned(),
                "8 over".to_owned(),
            ]
        );
    }

    #[test]
    fn what_is_not_answered_decides_nothing() {
        let mut unanswered = method(vec![ask("a", 5), Action::Strike(vec![strike(3)])]);
        assert_eq!(unanswered.due(0.0), Due::Ask(0));
        assert_eq!(unanswered.due(4.0), Due::Wait(5.0));
        assert!(
            matches!(unanswered.due(5.0), Due::Undecided(why) if why.contains("`a` was not answered within 5s"))
        );
        let mut lacking =
            method(vec![ask("a", 5), Action::Strike(vec![only("a.stdout == \"x\"", strike(3))])]);
        let lines = transcript(&mut lacking);
        assert!(lines[1].contains("a.stdout could not be read"), "{lines:?}");
    }

    #[test]
    fn a_ramp_stops_growing_and_the_rest_goes_on() {
        let stage = |number: u32| {
            let mut strike = strike(10);
            strike.stage = Some(format!("delay {number}0ms ({number} of 3)"));
            strike.place = Place { start: 7, end: 9 };
            Action::Strike(vec![strike])
        };
        let mut method = method(vec![stage(1), stage(2), stage(3), Action::Strike(vec![strike(5)])]);
        assert!(matches!(method.due(0.0), Due::Inject(_)));
        method.injected(0.0);
        assert!(!method.entry_ends(9.0) && method.entry_ends(10.0));
        assert_eq!(method.label(), "network.latency delay 10ms (1 of 3)");
        assert_eq!(method.stop_growing(), 2);
        assert_eq!(method.due(10.0), Due::Observe);
        assert_eq!(method.due(10.0), Due::Undo(vec!["i0".into()]));
        method.undone();
        assert_eq!(method.due(10.0), Due::Plan(vec![3]));
        method.planned_anew(&[injection("i3", 3)]);
        match method.due(10.0) {
            Due::Inject(injections) => assert_eq!(injections[0].id, "i3"),
            other => panic!("{other:?}"),
        }
    }
}
