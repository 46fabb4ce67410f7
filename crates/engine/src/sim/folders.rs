//! Agents whose logs are in different folders, as those of different users are: none sees the logs of the other, and none
//! may touch what the other holds.

use super::actor::Agent;
use super::systematic::request;
use super::world::Shared;
use serde_json::{Value as Json, json};
use squall_model::machine::digest_of;
use squall_model::protocol::{Answer, Call};
use squall_model::target::Target;

/// An agent of a folder that holds one injection, and the injection's name.
fn holding(world: &Shared, run: &str, folder: u8, entry: (&str, Target, Json)) -> (Agent, String) {
    let mut agent = Agent::start_in(world, run, folder);
    let Ok(Answer::Plan(plan)) = agent.call(Call::Plan(request(vec![entry], 1))) else { panic!("no plan") };
    let injection = plan.injections[0].id.clone();
    agent.call(Call::Inject { injections: vec![injection.clone()] }).unwrap();
    (agent, injection)
}

fn queue() -> (&'static str, Target, Json) {
    ("sim.queue", Target::Netns("shop".into()), Json::Null)
}

fn value() -> (&'static str, Target, Json) {
    ("sim.value", Target::Host(true), json!({"path": "/proc/sys/vm/swappiness"}))
}

/// Lets an agent of one folder live and one of another die and be recovered. The dead one's log is damaged if `spoil`.
fn recover_beside(run: &str, spoil: bool) {
    let world = Shared::new(1);
    let (living, held) = holding(&world, "run-0", 1, queue());
    let (dead, owed) = holding(&world, run, 2, value());
    world.lock().kill(dead.pid);
    if spoil {
        // A part of the name in a mark fits by chance; that the rest of it does not, only the log could have told.
        if digest_of(&held) == digest_of(&owed) {
            return;
        }
        if let Some(log) = world.lock().logs.get_mut(&owed) {
            log.bytes.iter_mut().skip(12).take(8).for_each(|byte| *byte ^= 1);
        }
    }
    let before = world.lock().made_by.len();
    let next = Agent::start_in(&world, "run-next", 2);
    assert_eq!(next.recovered.len(), 1, "{run}");
    let left = world.lock().made_by.len();
    assert_eq!(left, before - 1, "{run}: the qdiscs of the living were taken: {:?}", world.lock().trace);
    assert_eq!(world.lock().violations, Vec::<String>::new());
    next.end();
    living.end();
    assert!(world.lock().differences().is_empty());
}

#[test]
fn recovery_lets_be_what_another_folders_agent_holds() {
    for run in 1..200 {
        recover_beside(&format!("run-{run}"), false);
    }
}

#[test]
fn recovery_of_a_damaged_log_lets_be_what_another_folders_agent_holds() {
    for run in 1..200 {
        recover_beside(&format!("run-{run}"), true);
    }
}
