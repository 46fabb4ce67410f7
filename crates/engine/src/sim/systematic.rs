//! Every kind of step, every instant at which the agent may die, every instant at which its recovery may die.

use super::actor::{Agent, recover};
use super::faults::{all_of, samples};
use super::laws::all_is_back;
use super::world::{Doom, Shared};
use serde_json::Value as Json;
use squall_model::plan::{PlanEntry, PlanRequest};
use squall_model::protocol::{Answer, Call, CallError};
use squall_model::target::Target;
use squall_model::units::Duration;
use std::collections::BTreeMap;

pub(super) fn request(entries: Vec<(&str, Target, Json)>, seed: u64) -> PlanRequest {
    let entries = entries.into_iter().enumerate().map(|(entry, (fault, target, with))| PlanEntry {
        entry,
        fault: fault.into(),
        with,
        selection: all_of(target),
        lasts: Duration::seconds(10),
        joining: None,
    });
    PlanRequest {
        entries: entries.collect(),
        seed,
        targets_limit: None,
        spared: Vec::new(),
        allow_data_loss: false,
        together: Vec::new(),
    }
}

/// One whole life of an agent: plan, inject, look, undo. Ends early where the agent dies.
fn life(world: &Shared, sample: (&'static str, Target, Json)) -> Result<(), CallError> {
    let mut agent = Agent::start(world, "run-7");
    let planned = match agent.call(Call::Plan(request(vec![sample], 7)))? {
        Answer::Plan(plan) => plan.injections,
        other => panic!("a plan was answered with {other:?}"),
    };
    let injections: Vec<String> = planned.into_iter().map(|planned| planned.id).collect();
    agent.call(Call::Inject { injections })?;
    agent.call(Call::Observe)?;
    agent.call(Call::Undo { injections: Vec::new() })?;
    agent.call(Call::Bye)?;
    world.lock().kill(agent.pid);
    Ok(())
}

/// How many processes have lived in a world before the one that is to die.
fn next_pid(world: &Shared) -> u32 {
    let mut world = world.lock();
    let probe = world.spawn("probe", super::world::Role::Squall).pid;
    world.kill(probe);
    probe + 1
}

/// That the agent which is started next dies after so many instants.
pub(super) fn doom(world: &Shared, after: u64, power_cut: bool) -> Doom {
    Doom { pid: next_pid(world), after, power_cut }
}

/// Runs a life that is cut off after `first` instants, and a recovery that is cut off after `second`, and checks.
/// Tells which of the two ended by themselves.
fn cut_off(sample: (&'static str, Target, Json), first: u64, second: u64, power_cut: bool) -> (bool, bool) {
    let world = Shared::new(first.wrapping_mul(1_000_003) + second);
    let doom = |after| Some(doom(&world, after, power_cut));
    let (name, target) = (sample.0, sample.1.clone());
    let dying = doom(first);
    world.lock().doom = dying;
    let survived_life = life(&world, sample).is_ok() && world.lock().doom.take().is_some();
    let dying = doom(second);
    world.lock().doom = dying;
    recover(&world, "first recovery");
    let survived_recovery = world.lock().doom.take().is_some();
    all_is_back(&world, &BTreeMap::new());
    let world = world.lock();
    assert!(
        world.violations.is_empty(),
        "{name} on {target}, killed at instant {first}, its recovery at {second}, power cut: {power_cut}\n{}",
        world.trace.join("\n")
    );
    (survived_life, survived_recovery)
}

fn every_instant_of(sample: &(&'static str, Target, Json), power_cut: bool) -> u64 {
    let mut worlds = 0;
    for first in 0.. {
        assert!(first < 10_000, "the agent never comes to an end");
        let mut survived_life = false;
        for second in 0.. {
            worlds += 1;
            let (life, recovery) = cut_off(sample.clone(), first, second, power_cut);
            survived_life = life;
            if recovery {
                break;
            }
        }
        if survived_life {
            break;
        }
    }
    worlds
}

#[test]
fn every_step_survives_death_at_every_instant_and_again_in_recovery() {
    let worlds: u64 = samples().iter().map(|sample| every_instant_of(sample, false)).sum();
    println!("{worlds} worlds");
}

#[test]
fn every_step_survives_a_power_cut_at_every_instant_and_again_in_recovery() {
    let worlds: u64 = samples().iter().map(|sample| every_instant_of(sample, true)).sum();
    println!("{worlds} worlds");
}
