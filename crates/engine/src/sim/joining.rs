//! What joins a fault that is active: who is chosen, within which limits, and that all of it is put back whenever anybody dies.

use super::actor::{Agent, LEASE, recover};
use super::laws::all_is_back;
use super::systematic::{doom, request};
use super::world::Shared;
use crate::agent::GRACE;
use serde_json::Value as Json;
use squall_model::plan::{Joining, Plan, PlanRequest};
use squall_model::protocol::{Answer, Call, CallError};
use squall_model::target::{Limit, Mode, ProcessSelector, Target};
use squall_model::units::{self, Share};
use std::collections::BTreeMap;
use std::time::Duration;

fn on(fault: &'static str, name: &str) -> PlanRequest {
    let target = Target::Process(ProcessSelector { name: Some(name.into()), ..ProcessSelector::default() });
    let mut request = request(vec![(fault, target, Json::Null)], 1);
    request.entries[0].selection.follow = true;
    request
}

/// An agent, what is asked of it, and what it has struck so far.
struct Follower {
    world: Shared,
    agent: Agent,
    request: PlanRequest,
    joining: Joining,
}

impl Follower {
    fn begin(request: PlanRequest) -> Self {
        let world = Shared::new(1);
        let agent = Agent::start(&world, "run-1");
        let mut follower = Self { world, agent, request, joining: Joining::default() };
        let plan = plan(&mut follower.agent, follower.request.clone()).unwrap();
        follower.strike(&plan).unwrap();
        follower
    }

    /// Makes what is planned; how many that are.
    fn strike(&mut self, plan: &Plan) -> Result<usize, CallError> {
        let injections = plan.injections.iter().map(|planned| planned.id.clone()).collect();
        self.agent.call(Call::Inject { injections })?;
        self.joining.struck.extend(plan.injections.iter().flat_map(|planned| planned.strikes.clone()));
        Ok(plan.injections.len())
    }

    fn look(&mut self) -> Plan {
        let mut request = self.request.clone();
        request.entries[0].joining = Some(self.joining.clone());
        plan(&mut self.agent, request).unwrap()
    }

    /// Looks once, and strikes what joins; how many that are.
    fn follow(&mut self) -> usize {
        let plan = self.look();
        self.strike(&plan).unwrap()
    }

    fn come(&self, name: &str) {
        self.world.lock().start_another(name);
    }

    /// Of half of two, one is struck: a third changes nothing, and with a fourth another joins.
    fn joins_when_four_are_there(mut self, name: &str) {
        self.come(name);
        assert_eq!(self.follow(), 0, "half of three is one");
        self.come(name);
        assert_eq!(self.follow(), 1, "half of four are two");
        self.end();
    }

    fn end(self) {
        self.agent.end();
        all_is_back(&self.world, &BTreeMap::new());
        assert_eq!(self.world.lock().violations, Vec::<String>::new());
    }
}

fn plan(agent: &mut Agent, request: PlanRequest) -> Result<Plan, CallError> {
    match agent.call(Call::Plan(request))? {
        Answer::Plan(plan) => Ok(plan),
        other => panic!("a plan was answered with {other:?}"),
    }
}

#[test]
fn all_that_match_join_and_none_is_struck_twice() {
    let mut follower = Follower::begin(on("sim.pause", "postgres"));
    assert_eq!(follower.follow(), 0);
    follower.come("postgres");
    follower.come("postgres");
    follower.come("another");
    let plan = follower.look();
    assert_eq!((plan.injections.len(), plan.gone.len()), (2, 0));
    assert_eq!(follower.strike(&plan), Ok(2));
    assert_eq!(follower.follow(), 0);
    follower.end();
}

#[test]
fn the_number_that_the_mode_asks_for_is_kept() {
    let mut request = on("sim.kill", "ledger");
    request.entries[0].selection.mode = Mode::One;
    let mut follower = Follower::begin(request);
    assert_eq!(follower.follow(), 0, "nothing is there");
    follower.world.lock().supervise("ledger");
    follower.come("ledger");
    let plan = follower.look();
    assert_eq!((plan.injections.len(), plan.gone.len()), (1, 1), "who is gone is replaced, by one");
    assert_eq!(follower.strike(&plan), Ok(1));

    let mut request = on("sim.pause", "postgres");
    (request.entries[0].selection.mode, request.entries[0].selection.value) =
        (Mode::FixedPercent, Some(50.0));
    let follower = Follower::begin(request);
    follower.joins_when_four_are_there("postgres");
}

#[test]
fn the_limits_hold_at_any_time_and_in_total() {
    let share = Limit::Share(Share::of(0.5));
    let mut request = on("sim.kill", "ledger");
    request.targets_limit = Some(Limit::Count(2));
    let mut follower = Follower::begin(request);
    for joins in [1, 0] {
        follower.world.lock().supervise("ledger");
        let plan = follower.look();
        assert_eq!(plan.injections.len(), joins, "two are struck in total, and no third");
        assert_eq!(plan.notes.iter().any(|note| note.contains("left alone")), joins == 0);
        follower.strike(&plan).unwrap();
    }

    let mut request = on("sim.pause", "postgres");
    request.targets_limit = Some(share);
    request.entries[0].selection.mode = Mode::One;
    let mut follower = Follower::begin(request);
    follower.request.entries[0].selection.mode = Mode::All;
    follower.joins_when_four_are_there("postgres");
}

#[test]
fn what_was_left_out_is_not_tried_again_and_another_takes_its_place() {
    let mut request = on("sim.pause", "postgres");
    request.entries[0].selection.mode = Mode::One;
    let mut follower = Follower::begin(request);
    let struck = std::mem::take(&mut follower.joining.struck);
    follower.joining.left_out = struck.clone();
    let plan = follower.look();
    assert_eq!(plan.injections.len(), 1);
    assert!(plan.injections[0].strikes.iter().all(|one| !struck.contains(one)), "{plan:?}");
    follower.end();
}

#[test]
fn one_that_cannot_be_struck_is_a_note_and_the_others_join() {
    let mut follower = Follower::begin(on("sim.pause", "postgres"));
    follower.come("postgres");
    follower.come("postgres");
    // Another Squall holds one of the two.
    let pid = follower.look().injections[0].strikes[0].thing.split(' ').nth(1).unwrap().parse().unwrap();
    let mut other = Agent::start(&follower.world, "run-2");
    let target = Target::Process(ProcessSelector { pid: Some(pid), ..ProcessSelector::default() });
    let theirs = plan(&mut other, request(vec![("sim.pause", target, Json::Null)], 1)).unwrap();
    other.call(Call::Inject { injections: vec![theirs.injections[0].id.clone()] }).unwrap();
    let plan = follower.look();
    assert_eq!(plan.injections.len(), 1);
    assert!(plan.notes.iter().any(|note| note.contains("is held by injection")), "{:?}", plan.notes);
    follower.strike(&plan).unwrap();
    other.end();
    follower.end();
}

#[test]
fn who_joins_gives_those_before_no_more_time() {
    let mut follower = Follower::begin(on("sim.pause", "postgres"));
    follower.come("postgres");
    let renew = |follower: &mut Follower| {
        follower.world.lock().now += Duration::from_secs(1);
        follower.agent.call(Call::Renew)
    };
    for _ in 0..9 {
        renew(&mut follower).unwrap();
    }
    // A second is left of ten.
    follower.request.entries[0].lasts = units::Duration::seconds(1);
    assert_eq!(follower.follow(), 1);
    let held = (0..60).take_while(|_| renew(&mut follower).is_ok()).count() as u64;
    assert_eq!(held, 1 + (LEASE.0 + GRACE).as_secs(), "all of them end in the time of the first");
    follower.end();
}

#[test]
fn a_plan_says_that_targets_are_followed() {
    let world = Shared::new(1);
    let mut agent = Agent::start(&world, "run-1");
    let plan = plan(&mut agent, on("sim.pause", "postgres")).unwrap();
    assert!(plan.notes[0].contains("also what begins to match process name postgres is struck"), "{plan:?}");
}

/// A life in which two join, one after the other. Ends early where the agent dies.
fn life(world: &Shared) -> Result<(), CallError> {
    let mut agent = Agent::start(world, "run-7");
    let mut request = on("sim.pause", "postgres");
    let mut joining = Joining::default();
    for _ in 0..3 {
        let planned = plan(&mut agent, request.clone())?;
        let injections = planned.injections.iter().map(|planned| planned.id.clone()).collect();
        agent.call(Call::Inject { injections })?;
        joining.struck.extend(planned.injections.iter().flat_map(|planned| planned.strikes.clone()));
        request.entries[0].joining = Some(joining.clone());
        world.lock().start_another("postgres");
    }
    agent.call(Call::Observe)?;
    agent.call(Call::Undo { injections: Vec::new() })?;
    agent.call(Call::Bye)?;
    world.lock().kill(agent.pid);
    Ok(())
}

#[test]
fn all_is_put_back_whenever_an_agent_dies_that_others_join() {
    for power_cut in [false, true] {
        let mut instants = 0..10_000;
        let survived = instants.find(|first| {
            let world = Shared::new(*first);
            let dying = doom(&world, *first, power_cut);
            world.lock().doom = Some(dying);
            let survived = life(&world).is_ok() && world.lock().doom.take().is_some();
            recover(&world, "recovery");
            all_is_back(&world, &BTreeMap::new());
            let world = world.lock();
            assert!(
                world.violations.is_empty(),
                "killed at instant {first}, power cut: {power_cut}\n{}",
                world.trace.join("\n")
            );
            survived
        });
        assert!(survived.is_some_and(|instants| instants > 50), "{survived:?}");
    }
}
