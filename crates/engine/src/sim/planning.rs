//! What is planned, and what is refused before anything is touched.

use super::actor::Agent;
use super::faults::all_of;
use super::systematic::request;
use super::world::{Role, Shared};
use serde_json::{Value as Json, json};
use squall_model::plan::{Plan, PlanRequest};
use squall_model::protocol::{Answer, Call, CallError, CallErrorKind};
use squall_model::target::{Limit, Mode, ProcessSelector, Target};
use squall_model::units::Share;

fn named(name: &str) -> Target {
    Target::Process(ProcessSelector { name: Some(name.into()), ..ProcessSelector::default() })
}

fn one(fault: &'static str, target: Target, with: Json) -> PlanRequest {
    request(vec![(fault, target, with)], 1)
}

fn value(path: &str) -> (&'static str, Target, Json) {
    ("sim.value", Target::Host(true), json!({"path": path}))
}

fn plan(agent: &mut Agent, request: PlanRequest) -> Result<Plan, CallError> {
    match agent.call(Call::Plan(request))? {
        Answer::Plan(plan) => Ok(plan),
        other => panic!("a plan was answered with {other:?}"),
    }
}

/// Plans on a fresh host.
fn try_plan(request: PlanRequest) -> Result<Plan, CallError> {
    let world = Shared::new(1);
    let mut agent = Agent::start(&world, "run-1");
    let planned = plan(&mut agent, request);
    assert_eq!(world.lock().changes, 0, "a plan touches nothing");
    planned
}

#[track_caller]
fn refused(request: PlanRequest, words: &[&str]) {
    let error = try_plan(request).unwrap_err();
    // Nothing is wrong with an experiment that this kernel is too little for.
    let kind = match &error.message {
        message if message.contains("modprobe") => CallErrorKind::Unsupported,
        message if message.contains("nothing on this host matches") => CallErrorKind::NothingMatches,
        _ => CallErrorKind::Invalid,
    };
    assert_eq!((error.kind, error.entry), (kind, Some(0)), "{error}");
    for word in words {
        assert!(error.message.contains(word), "{word:?} is not in {:?}", error.message);
    }
}

#[test]
fn a_plan_tells_each_step_and_its_undo() {
    let plan = try_plan(one("sim.queue", Target::Netns("shop".into()), Json::Null)).unwrap();
    let [injection] = plan.injections.as_slice() else { panic!("{plan:?}") };
    assert_eq!(injection.steps.len(), 2);
    assert!(injection.does[0].contains("eth1 (netns shop)"), "{injection:?}");
    assert!(injection.undone_by[1].contains("leaving fq_codel"), "{injection:?}");
    assert_eq!(injection.claims.len(), 2);
    let letters = injection.id.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    assert!(letters && injection.id.len() <= 20, "{}", injection.id);
}

#[test]
fn names_differ_from_run_to_run_and_within_one() {
    let world = Shared::new(1);
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut agent = Agent::start(&world, "run-1");
        for _ in 0..5 {
            ids.insert(
                plan(&mut agent, one("sim.load", Target::Host(true), Json::Null)).unwrap().injections[0]
                    .id
                    .clone(),
            );
        }
    }
    assert_eq!(ids.len(), 100);
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    refused(one("sim.nothing", Target::Host(true), Json::Null), &["sim.nothing", "squall faults"]);
    refused(
        one("sim.forbidden", Target::Host(true), Json::Null),
        &["CAP_SYS_ADMIN", "sudo squall", "--sudo", "setcap cap_sys_admin+ep"],
    );
    refused(one("sim.unsupported", Target::Host(true), Json::Null), &["sch_tbf", "modprobe", "6.1.0-model"]);
}

#[test]
fn an_empty_match_is_an_error_unless_it_is_optional() {
    refused(one("sim.pause", named("nobody"), Json::Null), &["process name nobody", "optional: true"]);
    let mut optional = one("sim.pause", named("nobody"), Json::Null);
    optional.entries[0].selection.optional = true;
    let plan = try_plan(optional).unwrap();
    assert!(plan.injections.is_empty() && plan.notes[0].contains("nobody"), "{plan:?}");
}

#[test]
fn the_protected_are_spared_unless_named_by_number() {
    refused(one("sim.pause", named("init"), Json::Null), &["protected", "process 1", "pid"]);
    let by_number = Target::Process(ProcessSelector { pid: Some(1), ..ProcessSelector::default() });
    assert_eq!(try_plan(one("sim.pause", by_number, Json::Null)).unwrap().injections.len(), 1);
    // Squall itself bears the same name as a service.
    let world = Shared::new(1);
    world.lock().spawn("postgres", Role::Squall);
    let mut agent = Agent::start(&world, "run-1");
    let plan = plan(&mut agent, one("sim.pause", named("postgres"), Json::Null)).unwrap();
    assert_eq!(plan.injections.len(), 2);
    assert!(plan.notes[0].contains("is spared: Squall itself"), "{:?}", plan.notes);
}

#[test]
fn what_the_settings_protect_is_not_struck_however_it_is_named() {
    let sparing = |fault, target, spared: &Target| PlanRequest {
        spared: vec![spared.clone()],
        ..one(fault, target, Json::Null)
    };
    let by_number = Target::Process(ProcessSelector { pid: Some(1), ..ProcessSelector::default() });
    refused(sparing("sim.pause", by_number, &named("init")), &["process name init", "settings protect"]);
    refused(sparing("sim.load", Target::Host(true), &Target::Host(true)), &["settings protect"]);
    let shop = Target::Netns("shop".into());
    refused(sparing("sim.queue", shop.clone(), &shop), &["settings protect"]);
    for free in [named("init"), named("nobody"), shop] {
        assert!(try_plan(sparing("sim.pause", named("postgres"), &free)).is_ok(), "{free}");
    }
}

#[test]
fn the_blast_radius_is_a_hard_limit() {
    let limited = |limit: Limit, mode: Mode, value: Option<f64>| {
        let mut request = one("sim.pause", named("postgres"), Json::Null);
        request.targets_limit = Some(limit);
        request.entries[0].selection.mode = mode;
        request.entries[0].selection.value = value;
        request
    };
    let share = |fraction| Limit::Share(Share::of(fraction));
    refused(limited(share(0.5), Mode::All, None), &["2 targets match", "allows 50%", "so 1", "`value: 1`"]);
    refused(limited(share(0.99), Mode::FixedPercent, Some(100.0)), &["2 would be struck"]);
    assert_eq!(try_plan(limited(share(0.5), Mode::One, None)).unwrap().injections.len(), 1);
    // A share of less than one target allows one.
    assert_eq!(try_plan(limited(share(0.01), Mode::Fixed, Some(1.0))).unwrap().injections.len(), 1);
    assert_eq!(try_plan(limited(share(1.0), Mode::All, None)).unwrap().injections.len(), 2);
    // A count.
    refused(
        limited(Limit::Count(1), Mode::All, None),
        &["2 would be struck", "allows 1 of them;", "`value: 1`"],
    );
    assert_eq!(try_plan(limited(Limit::Count(1), Mode::One, None)).unwrap().injections.len(), 1);
    assert_eq!(try_plan(limited(Limit::Count(5), Mode::All, None)).unwrap().injections.len(), 2);
}

#[test]
fn a_fixed_number_that_is_not_there_is_said_not_to_be() {
    let mut request = one("sim.pause", named("postgres"), Json::Null);
    (request.entries[0].selection.mode, request.entries[0].selection.value) = (Mode::Fixed, Some(9.0));
    let plan = try_plan(request).unwrap();
    assert_eq!(plan.injections.len(), 2);
    assert_eq!(plan.notes, ["`value: 9` is more than match process name postgres: all 2 are struck"]);
}

#[test]
fn a_seed_makes_the_choice_repeatable() {
    let choice = |seed| {
        let mut request = one("sim.pause", named("postgres"), Json::Null);
        request.seed = seed;
        request.entries[0].selection.mode = Mode::One;
        try_plan(request).unwrap().injections[0].target.clone()
    };
    assert_eq!(choice(5), choice(5));
    assert!((0..20).any(|seed| choice(seed) != choice(0)));
}

#[test]
fn two_that_are_active_together_may_not_take_the_same() {
    let both = || request(vec![value("/proc/sys/vm/swappiness"), value("/proc/sys/vm/swappiness")], 1);
    assert!(try_plan(both()).is_ok(), "one after the other is well");
    let together = PlanRequest { together: vec![vec![0, 1]], ..both() };
    let error = try_plan(together).unwrap_err();
    assert_eq!(error.entry, Some(1));
    assert!(error.message.contains("both take the file /proc/sys/vm/swappiness"), "{error}");
}

#[test]
fn what_another_squall_holds_is_refused_and_says_whose_it_is() {
    let world = Shared::new(1);
    let mut first = Agent::start(&world, "first");
    let planned = plan(&mut first, request(vec![value("/proc/sys/vm/swappiness")], 1)).unwrap();
    // Planned before the first injected, so that only the injection can notice.
    let mut second = Agent::start(&world, "second");
    let late = plan(&mut second, request(vec![value("/proc/sys/vm/swappiness")], 1)).unwrap();
    let inject = |plan: &Plan| Call::Inject { injections: vec![plan.injections[0].id.clone()] };
    first.call(inject(&planned)).unwrap();
    let error = second.call(inject(&late)).unwrap_err();
    assert_eq!((error.kind, error.entry), (CallErrorKind::Held, Some(0)));
    assert!(error.message.contains("squall halt first"), "{error}");
    let error = plan(&mut second, request(vec![value("/proc/sys/vm/swappiness")], 1)).unwrap_err();
    assert!(error.message.contains("is held by injection"), "{error}");
    // Without its owner it is a matter for recovery.
    world.lock().kill(first.pid);
    let error = plan(&mut second, request(vec![value("/proc/sys/vm/swappiness")], 1)).unwrap_err();
    assert!(error.message.contains("squall recover"), "{error}");
    assert!(second.call(Call::Recover).is_ok());
    assert!(plan(&mut second, request(vec![value("/proc/sys/vm/swappiness")], 1)).is_ok());
}

#[test]
fn a_victim_that_another_squall_stopped_is_said_to_be_held_not_to_be_stopped() {
    let world = Shared::new(1);
    let mut first = Agent::start(&world, "first");
    let pause = || one("sim.pause", named("payment"), Json::Null);
    let planned = plan(&mut first, pause()).unwrap();
    first.call(Call::Inject { injections: vec![planned.injections[0].id.clone()] }).unwrap();
    let mut second = Agent::start(&world, "second");
    let error = plan(&mut second, pause()).unwrap_err();
    assert_eq!((error.kind, error.entry), (CallErrorKind::Held, Some(0)));
    assert!(error.message.contains(&planned.injections[0].id), "{error}");
    assert!(error.message.contains("squall halt first"), "{error}");
}

#[test]
fn a_group_of_one_entry_takes_each_target_once() {
    let mut request = request(vec![("sim.pause", named("postgres"), Json::Null)], 1);
    request.entries[0].selection = all_of(named("postgres"));
    assert_eq!(try_plan(request).unwrap().injections.len(), 2);
}
