//! Sessions gone through with an invented clock, an invented system, and journals that are cut at every place.

use super::*;
use squall_model::condition::Condition;
use squall_model::experiment::{Check, Load, Metric, ProbeCall};
use squall_model::gameday::{AlertSource, Criterion, DataProbe, Entry, Keeps, LinkedExperiment, Means, Test};
use squall_model::node::{Content, Node, Place};
use squall_model::units::{Duration, Frequency};

fn nothing() -> Node {
    Node { content: Content::Null, place: Place::default() }
}

fn condition(text: &str) -> Condition {
    Condition::parse(text).unwrap()
}

fn measures() -> Measures {
    Measures {
        loads: vec![Load {
            name: "shop".into(),
            kind: "http".into(),
            parameters: nothing(),
            rate: Frequency { per_second: 10.0 },
            timeout: Duration::seconds(1),
            window: Duration::seconds(3),
        }],
        steady_state: vec![Check {
            name: "errors".into(),
            probe: None,
            expect: condition("error_rate < 1%"),
            within: None,
        }],
        data: vec![DataProbe {
            name: "orders".into(),
            source: Metric {
                name: "orders".into(),
                source: "exec".into(),
                parameters: nothing(),
                fresh_for: Duration::seconds(2),
            },
            keeps: Keeps::NotLess,
        }],
        alerts: Some(AlertSource {
            probe: ProbeCall { kind: "alerts".into(), parameters: nothing() },
            names: vec!["Down".into()],
            within: Duration::seconds(10),
            resolved_within: Duration::seconds(10),
        }),
        guard: vec![condition("error_rate > 90%")],
        ..Measures::default()
    }
}

fn plan(experiments: usize) -> Plan {
    let machine = |text: &str, test: Test| Criterion {
        text: text.into(),
        of_hypothesis: false,
        means: Means::Machine(test),
    };
    Plan {
        title: "A day".into(),
        criteria: vec![
            machine("failover", Test::Failover { within: 5.0 }),
            machine(
                "errors",
                Test::Conditions { conditions: vec![condition("error_rate < 50%")], each_second: true },
            ),
            machine(
                "alerts",
                Test::Alerts { names: vec!["Down".into()], within: 10.0, resolved_within: 10.0 },
            ),
            machine("data", Test::Data { probes: vec!["orders".into()] }),
            Criterion {
                text: "people".into(),
                of_hypothesis: false,
                means: Means::People { why: String::new(), remedy: String::new() },
            },
        ],
        experiments: (0..experiments)
            .map(|index| LinkedExperiment {
                file: format!("{index}.yaml"),
                name: format!("e{index}"),
                variables: Vec::new(),
            })
            .collect(),
        ..Plan::default()
    }
}

fn setting(rehearsal: bool) -> Box<Setting> {
    Box::new(Setting {
        file: "plan.md".into(),
        rehearsal,
        observe: 12.0,
        baseline: 3.0,
        recovery: 8.0,
        objectives: Vec::new(),
        limits: Vec::new(),
        squall: "test".into(),
        host: "test".into(),
        ..Setting::default()
    })
}

/// A system that fails when a fault is made, and heals by itself after so many seconds.
struct World {
    session: Session,
    journal: Vec<Entry>,
    now: f64,
    /// Seconds from the fault to healing by itself.
    heals_after: f64,
    /// How bad it is, as an error rate.
    harm: f64,
    alert_after: Option<f64>,
    lasts: f64,
    faulty_since: Option<f64>,
    running: Option<(usize, f64)>,
    orders: f64,
    loses_data: bool,
    finished: Option<Verdict>,
    /// What people say, when they are asked something.
    says: fn(&str) -> Option<Command>,
}

#[expect(clippy::unnecessary_wraps, reason = "others say nothing")]
fn yes(question: &str) -> Option<Command> {
    Some(if question.is_empty() {
        Command::Answer(Outcome::Met, String::new())
    } else {
        Command::Go(String::new())
    })
}

impl World {
    fn new(plan: Plan, options: Options) -> Self {
        Self {
            session: Session::new(plan, measures(), options),
            journal: Vec::new(),
            now: 0.0,
            heals_after: 2.0,
            harm: 0.3,
            alert_after: Some(3.0),
            lasts: 9.0,
            faulty_since: None,
            running: None,
            orders: 0.0,
            loses_data: false,
            finished: None,
            says: yes,
        }
    }

    fn give(&mut self, input: Input) {
        let outputs = self.session.on(self.now, input);
        for output in outputs {
            match output {
                Output::Journal(event) => {
                    let at = jiff::Timestamp::from_second(1_700_000_000 + self.now as i64).unwrap();
                    self.journal.push(Entry { at, elapsed: self.now, event });
                }
                Output::Run(index) => {
                    self.running = Some((index, self.now + 1.0));
                }
                Output::HaltRuns(_) => self.end_run(Verdict::Aborted),
                Output::Count => {
                    let orders = self.orders;
                    self.give(Input::Counted(BTreeMap::from([("orders".to_owned(), Ok(orders))])));
                }
                Output::StopMeasuring => self.give(Input::Settled(Sample::default())),
                Output::Finish(verdict) => self.finished = Some(verdict),
            }
        }
    }

    fn end_run(&mut self, verdict: Verdict) {
        let Some((experiment, _)) = self.running.take() else { return };
        if self.faulty_since.take().is_some() {
            self.give(Input::Over { injection: "i".into(), residue: Vec::new() });
        }
        if self.loses_data {
            self.orders -= 1000.0;
        }
        self.give(Input::RunEnded { experiment, run: "r".into(), verdict, reasons: vec!["because".into()] });
    }

    fn error_rate(&self) -> f64 {
        match self.faulty_since {
            Some(since) if self.now - since < self.heals_after => self.harm,
            _ => 0.0,
        }
    }

    fn sample(&self) -> Sample {
        let rate = self.error_rate();
        let values = BTreeMap::from([("error_rate".to_owned(), rate)]);
        let alert = self
            .faulty_since
            .is_some_and(|since| self.alert_after.is_some_and(|after| self.now - since >= after));
        let firing: BTreeSet<String> = alert.then(|| "Down".to_owned()).into_iter().collect();
        let errors = (rate * 10.0) as u64;
        let part = Traffic {
            from: self.now - 1.0,
            to: self.now,
            ended: 10,
            success: 10 - errors,
            available: 10 - errors,
        };
        Sample {
            present: Some(Present { from: self.now, to: self.now, values: values.clone() }),
            values,
            traffic: BTreeMap::from([("shop".to_owned(), vec![part])]),
            alerts: Some(Ok(firing)),
            ..Sample::default()
        }
    }

    fn second(&mut self) {
        self.now += 1.0;
        self.orders += 5.0;
        if let Some((experiment, from)) = self.running {
            if self.now >= from && self.faulty_since.is_none() {
                self.faulty_since = Some(self.now);
                self.give(Input::Active {
                    experiment,
                    injection: "i".into(),
                    fault: "f".into(),
                    target: "t".into(),
                });
            }
            if self.faulty_since.is_some_and(|since| self.now - since >= self.lasts) {
                self.end_run(Verdict::Passed);
            }
        }
        let sample = self.sample();
        self.give(Input::Second(sample));
        for _ in 0..20 {
            if self.finished.is_some() || !self.session.waits_for_people() {
                break;
            }
            let question = self.session.record.hold.clone().unwrap_or_default();
            let Some(command) = (self.says)(&question) else { break };
            self.give(Input::Said(command));
        }
    }

    fn start(&mut self, rehearsal: bool) {
        self.give(Input::Start(setting(rehearsal), "s".into()));
    }

    fn go_on(&mut self) -> Verdict {
        for _ in 0..200 {
            if let Some(verdict) = self.finished {
                return verdict;
            }
            self.second();
        }
        panic!("it never ends: {:?}", self.journal.iter().rev().find(|entry| entry.event.is_acknowledged()));
    }

    fn judged(&self) -> Vec<(Outcome, String)> {
        let judged = self.journal.iter().rev().find_map(|entry| match &entry.event {
            Event::Judged { judgements } => Some(judgements.clone()),
            _ => None,
        });
        judged.unwrap().into_iter().map(|one| (one.outcome, one.why)).collect()
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.judged().into_iter().map(|(outcome, _)| outcome).collect()
    }

    fn phases(&self) -> Vec<Phase> {
        let phase = |entry: &Entry| match &entry.event {
            Event::PhaseStarted { phase } => Some(*phase),
            _ => None,
        };
        self.journal.iter().filter_map(phase).collect()
    }
}

use Outcome::{Met, NotMet, Rehearsed, Unknown};

#[test]
fn a_day_that_goes_well_meets_everything() {
    let mut world = World::new(plan(1), Options::default());
    world.start(false);
    assert_eq!(world.go_on(), Verdict::Passed, "{:?}", world.judged());
    assert_eq!(world.outcomes(), [Met; 5]);
    assert_eq!(world.phases(), Phase::ALL);
    let Event::Ended { verdict: Verdict::Passed, exit_code: 0, .. } = &world.journal.last().unwrap().event
    else {
        panic!("{:?}", world.journal.last())
    };
}

#[test]
fn every_miss_is_told_and_unknown_is_never_met() {
    let mut world = World::new(plan(1), Options { unattended: true });
    (world.heals_after, world.harm, world.alert_after, world.loses_data) = (100.0, 0.6, None, true);
    world.start(false);
    assert_eq!(world.go_on(), Verdict::Failed);
    assert_eq!(world.outcomes(), [NotMet, NotMet, NotMet, NotMet, Unknown], "{:?}", world.judged());

    // Healthy but for what only people could tell.
    let mut world = World::new(plan(1), Options { unattended: true });
    world.start(false);
    assert_eq!(world.go_on(), Verdict::Failed);
    assert_eq!(world.outcomes(), [Met, Met, Met, Met, Unknown]);
}

#[test]
fn a_failure_that_was_put_right_too_early_proves_no_failover() {
    let mut world = World::new(plan(1), Options::default());
    (world.heals_after, world.lasts) = (100.0, 4.0);
    world.start(false);
    assert_eq!(world.go_on(), Verdict::Failed, "{:?}", world.judged());
    let (outcome, why) = &world.judged()[0];
    assert_eq!(*outcome, Unknown, "{why}");
    assert!(why.contains("last longer"), "{why}");
}

#[test]
fn nothing_is_touched_where_the_steady_state_does_not_hold() {
    let mut world = World::new(plan(1), Options { unattended: true });
    world.faulty_since = Some(0.0);
    world.heals_after = 1000.0;
    world.start(false);
    assert_eq!(world.go_on(), Verdict::NotSteady);
    assert!(world.running.is_none());
    assert!(!world.journal.iter().any(|entry| matches!(entry.event, Event::RunStarted { .. })));
}

#[test]
fn the_guard_and_a_halt_put_everything_back() {
    let mut world = World::new(plan(2), Options { unattended: true });
    (world.harm, world.heals_after) = (0.95, 100.0);
    world.start(false);
    assert_eq!(world.go_on(), Verdict::Aborted);
    assert!(world.running.is_none() && world.faulty_since.is_none());
    let halted = world.journal.iter().filter(|entry| matches!(entry.event, Event::Halted { .. })).count();
    assert_eq!(halted, 1);
    let started =
        world.journal.iter().filter(|entry| matches!(entry.event, Event::RunStarted { .. })).count();
    assert_eq!(started, 1, "the second experiment was carried out after a halt");
}

#[test]
fn no_go_before_the_failure_touches_nothing() {
    let mut world = World::new(plan(1), Options::default());
    world.says = |_| Some(Command::NoGo("a release is going on".into()));
    world.start(false);
    for _ in 0..6 {
        world.second();
    }
    // The last hold, which ends the day, takes any decision.
    assert_eq!(world.finished, Some(Verdict::Aborted));
    let Event::Ended { reasons, .. } = &world.journal.last().unwrap().event else { panic!() };
    assert!(reasons[0].contains("a release is going on"), "{reasons:?}");
    assert!(!world.journal.iter().any(|entry| matches!(entry.event, Event::RunStarted { .. })));
}

#[test]
fn a_rehearsal_goes_through_everything_and_breaks_nothing() {
    let mut world = World::new(plan(2), Options::default());
    world.start(true);
    assert_eq!(world.go_on(), Verdict::Passed, "{:?}", world.judged());
    assert_eq!(world.phases(), Phase::ALL);
    assert_eq!(world.outcomes(), [Rehearsed; 5]);
    let Event::Ended { reasons, .. } = &world.journal.last().unwrap().event else { panic!() };
    assert!(reasons[0].contains("4 of 5 criteria can be checked by machine"), "{reasons:?}");
    assert!(!world.journal.iter().any(|entry| matches!(entry.event, Event::FaultActive { .. })));
    assert!(world.running.is_none());
}

#[test]
fn people_can_make_the_failure_by_hand() {
    let mut world = World::new(plan(0), Options::default());
    world.start(false);
    while !world.session.record.active.contains(record::BY_HAND) {
        world.second();
    }
    world.faulty_since = Some(world.now);
    while world.session.record.put_right_at().is_none() {
        world.second();
    }
    world.faulty_since = None;
    assert_eq!(world.go_on(), Verdict::Passed, "{:?}", world.judged());
    assert_eq!(world.outcomes(), [Met; 5]);
}

#[test]
fn go_and_no_go_mean_something_only_where_something_is_asked() {
    let mut world = World::new(plan(1), Options::default());
    world.says = |_| None;
    world.start(false);
    assert!(!world.session.takes(true) && !world.session.takes(false));
    while !world.session.waits_for_people() {
        world.second();
    }
    assert!(world.session.takes(true) && world.session.takes(false));
    world.give(Input::Said(Command::Go(String::new())));
    while world.faulty_since.is_none() {
        world.second();
    }
    // The experiment goes on; then a go ends the observation.
    assert!(!world.session.takes(true) && !world.session.takes(false));
    while world.running.is_some() {
        world.second();
    }
    assert!(world.session.takes(true) && !world.session.takes(false));
}

#[test]
fn a_signal_ends_it_without_asking_anybody() {
    let mut world = World::new(plan(1), Options::default());
    world.start(false);
    while world.faulty_since.is_none() {
        world.second();
    }
    world.says = |_| None;
    world.give(Input::Interrupted("Ctrl-C".into()));
    assert_eq!(world.finished, Some(Verdict::Aborted));
    assert!(world.running.is_none() && world.faulty_since.is_none());
}

#[test]
fn who_leaves_can_come_back() {
    let mut world = World::new(plan(1), Options::default());
    world.start(false);
    while world.faulty_since.is_none() {
        world.second();
    }
    world.give(Input::Said(Command::Suspend("lunch".into())));
    assert_eq!(world.finished, Some(Verdict::Aborted));
    assert!(world.faulty_since.is_none());
    world.finished = None;
    world.session = Session::resumed(&world.journal, measures(), Options::default()).unwrap();
    world.give(Input::Resume(Vec::new()));
    assert_eq!(world.go_on(), Verdict::Passed, "{:?}", world.judged());
}

/// A session that is killed while the fault is active, after so many seconds of it, and goes on.
fn killed_and_resumed(mut world: World, seconds: usize) -> World {
    world.start(false);
    while world.faulty_since.is_none() {
        world.second();
    }
    (0..seconds).for_each(|_| world.second());
    // Its agent puts it back, and nobody is there to be told.
    (world.faulty_since, world.running) = (None, None);
    world.now += 20.0;
    world.session = Session::resumed(&world.journal, measures(), world.session.options).unwrap();
    world
}

#[test]
fn what_was_counted_before_the_first_failure_stands_after_a_resume() {
    let mut world = killed_and_resumed(World::new(plan(1), Options { unattended: true }), 3);
    world.orders = -500.0;
    world.give(Input::Resume(Vec::new()));
    world.go_on();
    let (outcome, why) = &world.judged()[3];
    assert_eq!(*outcome, NotMet, "{why}");
    assert!(why.contains("orders fell from"), "{why}");
}

#[test]
fn what_was_never_counted_before_the_failure_is_unknown_after_a_resume() {
    let mut world = killed_and_resumed(World::new(plan(1), Options { unattended: true }), 3);
    let is_count = |entry: &Entry| matches!(entry.event, Event::Data { .. });
    world.journal.retain(|entry| !is_count(entry));
    world.session = Session::resumed(&world.journal, measures(), world.session.options).unwrap();
    world.give(Input::Resume(Vec::new()));
    world.go_on();
    let (outcome, why) = &world.judged()[3];
    assert_eq!((*outcome, why.as_str()), (Unknown, "orders was not counted before the failure"));
}

#[test]
fn what_was_measured_of_a_failure_that_was_cut_short_counts() {
    let conditions =
        |each_second| Test::Conditions { conditions: vec![condition("error_rate < 5%")], each_second };
    let mut day = plan(1);
    day.criteria[1].means = Means::Machine(conditions(true));
    day.criteria[2].means = Means::Machine(conditions(false));
    let mut world = World::new(day, Options { unattended: true });
    (world.heals_after, world.harm) = (100.0, 0.9);
    let mut world = killed_and_resumed(world, 4);
    // Made again, nothing fails.
    world.harm = 0.0;
    world.give(Input::Resume(Vec::new()));
    world.go_on();
    let judged = world.judged();
    assert_eq!((judged[1].0, judged[2].0), (NotMet, NotMet), "{judged:?}");
}

#[test]
fn a_failure_that_was_cut_short_and_not_made_again_is_not_one_that_never_was() {
    let mut world = killed_and_resumed(World::new(plan(1), Options::default()), 3);
    world.says = |_| Some(Command::NoGo("enough".into()));
    world.give(Input::Resume(Vec::new()));
    assert_eq!(world.go_on(), Verdict::Aborted);
    let Event::Ended { reasons, .. } = &world.journal.last().unwrap().event else { panic!() };
    assert!(reasons[0].contains("was made again: enough"), "{reasons:?}");
}

/// A session that is killed after any of its events goes on from its journal, and comes to the same end.
#[test]
fn a_session_that_is_killed_at_any_event_comes_to_the_same_end() {
    let mut whole = World::new(plan(2), Options::default());
    whole.start(false);
    assert_eq!(whole.go_on(), Verdict::Passed);
    let journal = whole.journal;
    for cut in 1..journal.len() {
        let mut world = World::new(plan(2), Options::default());
        world.journal = journal[..cut].to_vec();
        world.now = journal[cut - 1].elapsed + 20.0;
        // The agent of whatever was active has put it back meanwhile.
        world.session = Session::resumed(&world.journal, measures(), Options::default()).unwrap();
        world.give(Input::Resume(Vec::new()));
        let verdict = world.go_on();
        let last = &journal[cut - 1].event;
        // A gap in the measurements of the time that is judged leaves something unknown, and that only.
        let gap = world.judged().iter().all(|(outcome, _)| matches!(outcome, Met | Unknown));
        assert!(verdict == Verdict::Passed || gap, "cut after {last:?}: {:?}", world.judged());
    }
}
