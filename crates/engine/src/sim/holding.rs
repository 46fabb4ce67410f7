//! What the agent answers, and when it ends what it holds by itself.

use super::actor::{Agent, LEASE};
use super::systematic::request;
use super::world::{Meddling, ROUNDED, Shared};
use crate::agent::GRACE;
use serde_json::json;
use squall_model::protocol::{Answer, Call, CallError, CallErrorKind, Request, Restored, VERSION};
use squall_model::target::Target;
use std::sync::Arc;
use std::time::Duration;

/// An agent that holds one injection, which lasts ten seconds.
fn holding(world: &Shared) -> Agent {
    let mut agent = Agent::start(world, "run-1");
    let entry = ("sim.value", Target::Host(true), json!({"path": "/proc/sys/vm/swappiness"}));
    let Ok(Answer::Plan(plan)) = agent.call(Call::Plan(request(vec![entry], 1))) else { panic!("no plan") };
    agent.call(Call::Inject { injections: vec![plan.injections[0].id.clone()] }).unwrap();
    assert!(!world.lock().differences().is_empty());
    agent
}

fn pass(world: &Shared, time: Duration) -> Duration {
    let mut world = world.lock();
    world.now += time;
    world.now
}

fn restored(answer: Result<Answer, CallError>) -> Vec<Restored> {
    match answer {
        Ok(Answer::Restored { restored }) => restored,
        other => panic!("an undo was answered with {other:?}"),
    }
}

#[track_caller]
fn is_halted(agent: &mut Agent, why: &str) {
    for call in [Call::Renew, Call::Observe, Call::Inject { injections: Vec::new() }] {
        let error = agent.call(call).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Halted);
        assert!(error.message.contains(why), "{error}");
    }
}

#[test]
fn what_is_held_says_so_for_as_long_as_the_agent_holds_it() {
    let world = Shared::new(1);
    let mut agent = holding(&world);
    let deadline = Duration::from_secs(10) + LEASE.0 + GRACE;
    let held = agent.core.hands().live();
    let holds = agent.core.hands().holds(&held);
    let hold = holds.values().next().unwrap();
    // The clock on the wall stands still.
    let until = Duration::from_secs(hold.until.as_second().unsigned_abs());
    assert!(hold.run == "run-1" && until >= deadline && until < deadline * 2, "{hold:?}");
}

#[test]
fn the_first_call_is_hello_in_the_same_version() {
    let world = Shared::new(1);
    let mut agent = Agent::start(&world, "run-1");
    let hello = |version| Call::Hello {
        version,
        run: "again".into(),
        lease: LEASE,
        looks_only: false,
        servers: Vec::new(),
    };
    assert!(agent.call(hello(VERSION)).unwrap_err().message.contains("already"));

    let mut agent = Agent::silent(&world);
    assert_eq!(agent.call(Call::Host).unwrap_err().kind, CallErrorKind::Invalid);
    let error = agent.call(hello(VERSION + 1)).unwrap_err();
    assert!(error.message.contains("same release"), "{error}");
    for lease in [1, 3_600] {
        let hello = Call::Hello {
            version: VERSION,
            run: "run-1".into(),
            lease: squall_model::units::Duration::seconds(lease),
            looks_only: false,
            servers: Vec::new(),
        };
        assert!(agent.call(hello).unwrap_err().message.contains("lease"));
    }
    assert!(agent.call(hello(VERSION)).is_ok());
}

#[test]
fn whoever_only_looks_touches_nothing_not_even_what_is_owed() {
    let world = Shared::new(1);
    let holder = holding(&world);
    world.lock().kill(holder.pid);
    let seen = || {
        let world = world.lock();
        (world.changes, world.logs.len())
    };
    let before = seen();
    let mut agent = Agent::silent(&world);
    let (run, servers) = ("plan".to_owned(), Vec::new());
    let hello = Call::Hello { version: VERSION, run, lease: LEASE, looks_only: true, servers };
    let Ok(Answer::Hello { recovered, .. }) = agent.call(hello) else { panic!("no greeting") };
    assert_eq!(recovered, []);
    let entry = ("sim.value", Target::Host(true), json!({"path": "/proc/sys/net/backlog"}));
    let Ok(Answer::Plan(plan)) = agent.call(Call::Plan(request(vec![entry], 1))) else { panic!("no plan") };
    for call in [Call::Inject { injections: vec![plan.injections[0].id.clone()] }, Call::Recover] {
        assert_eq!(agent.call(call).unwrap_err().kind, CallErrorKind::Invalid);
    }
    assert!(agent.call(Call::Bye).is_ok());
    agent.end();
    assert_eq!(seen(), before);
    // A run puts it back first.
    assert_eq!(Agent::start(&world, "run-2").recovered.len(), 1);
    assert!(world.lock().differences().is_empty());
}

#[test]
fn silence_beyond_the_lease_ends_everything_and_is_told() {
    let world = Shared::new(1);
    let mut agent = holding(&world);
    assert_eq!(agent.core.next_deadline(), Some(LEASE.0));
    let now = pass(&world, LEASE.0);
    assert!(agent.core.tick(now, false).is_empty(), "the lease is not over");
    let now = pass(&world, Duration::from_millis(1));
    assert_eq!(agent.core.tick(now, false).len(), 1);
    assert!(world.lock().differences().is_empty() && world.lock().logs.is_empty());
    assert_eq!(agent.core.next_deadline(), None);
    is_halted(&mut agent, "the lease expired");
    // The brain learns what was put back, once.
    assert_eq!(restored(agent.call(Call::Undo { injections: Vec::new() })).len(), 1);
    assert!(restored(agent.call(Call::Bye)).is_empty());
    assert!(agent.core.finished());
}

#[test]
fn a_call_that_comes_too_late_finds_everything_put_back() {
    let world = Shared::new(1);
    let mut agent = holding(&world);
    pass(&world, LEASE.0 + LEASE.0);
    is_halted(&mut agent, "the lease expired");
    assert!(world.lock().differences().is_empty());
}

#[test]
fn whoever_waits_for_an_answer_is_not_silent() {
    let world = Shared::new(1);
    let mut agent = holding(&world);
    // The call took longer than the lease.
    let now = pass(&world, LEASE.0 + LEASE.0);
    agent.core.answered(now);
    assert!(agent.core.tick(now, false).is_empty());
    assert!(agent.call(Call::Renew).is_ok());
}

#[test]
fn an_injection_that_its_brain_forgot_is_ended() {
    let world = Shared::new(1);
    let mut agent = holding(&world);
    let lasts = Duration::from_secs(10);
    while world.lock().now < lasts + LEASE.0 + GRACE {
        assert!(agent.call(Call::Renew).is_ok());
        let now = pass(&world, Duration::from_secs(1));
        agent.core.tick(now, false);
    }
    pass(&world, Duration::from_millis(1));
    is_halted(&mut agent, "was not ended in its time");
    assert!(world.lock().differences().is_empty());
}

#[test]
fn an_injection_that_takes_long_to_make_has_its_whole_time() {
    let world = Shared::new(1);
    let mut agent = Agent::start(&world, "run-1");
    let entry = ("sim.value", Target::Host(true), json!({"path": "/proc/sys/vm/swappiness"}));
    let Ok(Answer::Plan(plan)) = agent.call(Call::Plan(request(vec![entry], 1))) else { panic!("no plan") };
    // It takes longer to make than the grace, and lasts ten seconds.
    let call = Call::Inject { injections: vec![plan.injections[0].id.clone()] };
    agent.core.handle(Duration::ZERO, Request { number: 2, call }).answer.unwrap();
    let made = pass(&world, LEASE.0 + GRACE);
    agent.core.answered(made);
    while world.lock().now <= made + Duration::from_secs(10) + LEASE.0 {
        assert!(agent.core.tick(world.lock().now, false).is_empty());
        let response = agent.core.handle(world.lock().now, Request { number: 3, call: Call::Renew });
        assert!(response.answer.is_ok(), "{response:?}");
        pass(&world, Duration::from_secs(1));
    }
}

#[test]
fn the_halt_file_ends_everything() {
    let world = Shared::new(1);
    let mut agent = holding(&world);
    assert_eq!(agent.core.tick(Duration::ZERO, true).len(), 1);
    assert!(world.lock().differences().is_empty());
    is_halted(&mut agent, "`halt`");
}

#[test]
fn what_could_not_be_put_back_stays_owed_until_it_can() {
    let world = Shared::new(1);
    let mut agent = holding(&world);
    let write = |value: &str| Meddling::Write { path: "/proc/sys/vm/swappiness".into(), value: value.into() };
    world.lock().meddle(&write("30"));
    let first = restored(agent.call(Call::Undo { injections: Vec::new() }));
    assert!(first[0].residue()[0].contains("was 60, is 30"), "{first:?}");
    assert!(agent.core.owes() && agent.core.hands().live().is_empty());
    assert_eq!(world.lock().logs.len(), 1);
    // Somebody mends it by hand; the next try sees that and lets go.
    world.lock().meddle(&write("60"));
    let second = restored(agent.call(Call::Undo { injections: Vec::new() }));
    assert!(second[0].residue().is_empty(), "{second:?}");
    assert!(!agent.core.owes() && world.lock().logs.is_empty());
}

/// Lets the kernel fail at everything from the moment that an undo is on disk.
fn fail_once_logged(world: &Shared) {
    let inner = world.clone();
    world.lock().interrupt = Some(Arc::new(move || {
        let mut world = inner.lock();
        if world.logs.values().any(|log| String::from_utf8_lossy(&log.bytes).contains("intend")) {
            world.weather.failing = 1000;
        }
    }));
}

/// The kernel works again, and nobody says a word for a while.
fn calm_and_silent(world: &Shared, agent: &mut Agent) {
    world.lock().interrupt = None;
    world.lock().weather.failing = 0;
    for _ in 0..40 {
        let now = pass(world, Duration::from_millis(500));
        agent.core.tick(now, false);
    }
}

#[test]
fn what_fails_to_be_put_back_while_the_brain_is_silent_is_tried_again() {
    let world = Shared::new(1);
    let mut agent = holding(&world);
    fail_once_logged(&world);
    let now = pass(&world, LEASE.0 + Duration::from_millis(1));
    assert!(!agent.core.tick(now, false)[0].residue().is_empty());
    let again = agent.core.next_deadline().expect("another try");
    assert!(again > now && agent.core.tick(now, false).is_empty(), "not at once");
    calm_and_silent(&world, &mut agent);
    assert!(!agent.core.owes() && world.lock().differences().is_empty() && world.lock().logs.is_empty());
    assert_eq!(agent.core.next_deadline(), None);
    // What is told is how it ended.
    let told = restored(agent.call(Call::Undo { injections: Vec::new() }));
    assert!(told.len() == 1 && told[0].residue().is_empty(), "{told:?}");
}

#[test]
fn what_was_made_in_part_and_could_not_be_put_back_is_on_the_lease_too() {
    for seed in 0..20 {
        let world = Shared::new(seed);
        let mut agent = Agent::start(&world, "run-1");
        let entry = ("sim.value", Target::Host(true), json!({"path": "/proc/sys/vm/swappiness"}));
        let planned = agent.call(Call::Plan(request(vec![entry], 1)));
        let Ok(Answer::Plan(plan)) = planned else { panic!("no plan") };
        fail_once_logged(&world);
        agent.call(Call::Inject { injections: vec![plan.injections[0].id.clone()] }).unwrap_err();
        assert!(agent.core.owes());
        calm_and_silent(&world, &mut agent);
        assert!(!agent.core.owes() && world.lock().differences().is_empty());
    }
}

#[test]
fn a_value_that_its_undo_would_not_know_again_is_not_kept() {
    let world = Shared::new(1);
    let mut agent = Agent::start(&world, "run-1");
    let entry = ("sim.value", Target::Host(true), json!({"path": ROUNDED}));
    let Ok(Answer::Plan(plan)) = agent.call(Call::Plan(request(vec![entry], 1))) else { panic!("no plan") };
    let error = agent.call(Call::Inject { injections: vec![plan.injections[0].id.clone()] }).unwrap_err();
    assert!(error.message.contains("in other words; nothing of it is left"), "{error}");
    assert!(!agent.core.owes() && world.lock().differences().is_empty() && world.lock().logs.is_empty());
}

#[test]
fn what_dead_owners_owe_is_left_over_until_it_is_recovered() {
    let world = Shared::new(1);
    let agent = holding(&world);
    let mut other = Agent::start(&world, "run-2");
    let leftovers = |agent: &mut Agent| match agent.call(Call::Leftovers) {
        Ok(Answer::Leftovers { found }) => found,
        answer => panic!("{answer:?}"),
    };
    assert!(leftovers(&mut other).is_empty(), "its owner lives");
    world.lock().kill(agent.pid);
    let found = leftovers(&mut other);
    assert!(found[0].what.contains("write \"60\" back") && found[0].injection.is_some(), "{found:?}");
    assert_eq!(restored(other.call(Call::Recover)).len(), 1);
    assert!(leftovers(&mut other).is_empty() && world.lock().differences().is_empty());
}

#[test]
fn a_mark_without_a_name_is_not_left_over_while_somebody_holds_its_place() {
    let world = Shared::new(1);
    let mut agent = Agent::start(&world, "run-1");
    let entry = ("sim.queue", Target::Netns("shop".into()), json!({}));
    let Ok(Answer::Plan(plan)) = agent.call(Call::Plan(request(vec![entry], 1))) else { panic!("no plan") };
    agent.call(Call::Inject { injections: vec![plan.injections[0].id.clone()] }).unwrap();
    let mut other = Agent::start(&world, "run-2");
    for agent in [&mut agent, &mut other] {
        let found = agent.call(Call::Leftovers);
        assert!(matches!(&found, Ok(Answer::Leftovers { found }) if found.is_empty()), "{found:?}");
    }
    world.lock().kill(agent.pid);
    let Ok(Answer::Leftovers { found }) = other.call(Call::Leftovers) else { panic!("no look") };
    // Two interfaces, and the log.
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn what_an_earlier_agent_of_the_same_run_holds_is_left_over() {
    let world = Shared::new(1);
    let _hung = holding(&world);
    let mut next = Agent::start(&world, "run-1");
    let Ok(Answer::Leftovers { found }) = next.call(Call::Leftovers) else { panic!("no look") };
    assert!(found.len() == 1 && found[0].injection.is_some(), "{found:?}");
    assert!(found[0].what.contains("does not answer") && found[0].remedy.contains("kill"), "{found:?}");
}

#[test]
fn a_request_is_answered_with_its_number() {
    let world = Shared::new(1);
    let mut agent = Agent::start(&world, "run-1");
    let response = agent.core.handle(Duration::ZERO, Request { number: 41, call: Call::Renew });
    assert_eq!(response.number, 41);
}
