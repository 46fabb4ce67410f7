//! Wardens that are so late that somebody else has put everything back, and may have injected the same again.

use super::actor::{Agent, recover_what_was_heard};
use super::laws::all_is_back;
use super::systematic::request;
use super::world::Shared;
use serde_json::json;
use squall_model::protocol::{Answer, Call, Restored};
use squall_model::target::Target;
use std::collections::BTreeMap;

/// An agent that changed a file, and the name of its log.
fn injected(world: &Shared, run: &str) -> (Agent, String) {
    let mut agent = Agent::start(world, run);
    let entry = ("sim.value", Target::Host(true), json!({"path": "/proc/sys/vm/swappiness"}));
    let Ok(Answer::Plan(plan)) = agent.call(Call::Plan(request(vec![entry], 1))) else { panic!("no plan") };
    let name = plan.injections[0].id.clone();
    agent.call(Call::Inject { injections: vec![name.clone()] }).unwrap();
    (agent, name)
}

/// An agent died, another has put its change back and made the same one again; what the first one's warden heard.
fn injected_again() -> (Shared, Agent, String, BTreeMap<String, Vec<u8>>) {
    let world = Shared::new(1);
    let (dead, _) = injected(&world, "run-1");
    world.lock().kill(dead.pid);
    let (living, name) = injected(&world, "run-2");
    let heard = world.lock().settled_logs_of_the_dead();
    assert_eq!(heard.len(), 1);
    (world, living, name, heard)
}

fn all_ends_well(world: &Shared, agent: Agent) {
    assert!(agent.end().iter().all(|restored| restored.residue().is_empty()));
    all_is_back(world, &BTreeMap::new());
    assert!(world.lock().violations.is_empty(), "{}", world.lock().trace.join("\n"));
}

#[test]
fn what_was_put_back_and_made_again_is_left_to_its_owner() {
    let (world, living, name, heard) = injected_again();
    let told = recover_what_was_heard(&world, "late warden", heard);
    assert!(told.is_empty(), "{told:?}");
    assert!(!world.lock().differences().is_empty(), "the living injection was undone");
    assert_eq!(world.lock().logs.keys().collect::<Vec<_>>(), [&name]);
    all_ends_well(&world, living);
}

#[test]
fn while_the_same_is_being_made_nothing_is_touched_and_that_is_told() {
    let (world, living, name, heard) = injected_again();
    let whole = world.lock().logs[&name].bytes.clone();
    let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    world.lock().logs.get_mut(&name).unwrap().bytes.truncate(first_line);
    let told: Vec<String> =
        recover_what_was_heard(&world, "late warden", heard).iter().flat_map(Restored::residue).collect();
    assert!(told.len() == 1 && told[0].contains(&format!("{name} is being made")), "{told:?}");
    assert!(!world.lock().differences().is_empty(), "the living injection was undone");
    world.lock().logs.get_mut(&name).unwrap().bytes = whole;
    all_ends_well(&world, living);
}

#[test]
fn what_nobody_put_back_is_put_back_from_memory() {
    let world = Shared::new(1);
    let (dead, name) = injected(&world, "run-1");
    {
        let mut world = world.lock();
        world.kill(dead.pid);
        world.remove_log(&name);
    }
    let heard = world.lock().settled_logs_of_the_dead();
    let told = recover_what_was_heard(&world, "warden", heard);
    assert_eq!(told.len(), 1);
    assert!(told[0].residue().is_empty() && world.lock().differences().is_empty(), "{told:?}");
    assert!(world.lock().logs.is_empty());
}
