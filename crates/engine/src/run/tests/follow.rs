//! Faults that follow their targets.

use super::*;
use squall_model::units::Duration;

/// A fault of twenty seconds that follows its targets.
fn following() -> Experiment {
    let mut experiment = ordinary();
    follow_all(&mut experiment);
    experiment
}

impl World {
    fn looks(&self) -> Vec<(f64, PlanRequest)> {
        let look = |(at, call): &(f64, Call)| match call {
            Call::Plan(request) if is_joining(request) => Some((*at, request.clone())),
            _ => None,
        };
        self.calls.iter().filter_map(look).collect()
    }

    fn injected(&self) -> Vec<&str> {
        let made = self.journal.iter().filter_map(|(_, event)| match event {
            Event::Injected { injection, .. } => Some(injection.as_str()),
            _ => None,
        });
        made.collect()
    }

    fn notes(&self) -> Vec<&str> {
        let words = self.journal.iter().filter_map(|(_, event)| match event {
            Event::Note { message } => Some(message.as_str()),
            _ => None,
        });
        words.collect()
    }
}

#[test]
fn what_begins_to_match_is_struck_for_the_time_that_is_left() {
    let world = carry_out(following(), |behaviour| behaviour.newcomers = 2);
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(world.injected(), ["i0", "new-1", "new-2"]);
    let looks = world.looks();
    assert_eq!(looks.len(), 3, "every five seconds, and not at the very end");
    let lasts: Vec<Duration> = looks.iter().map(|(_, request)| request.entries[0].lasts).collect();
    assert!(lasts.windows(2).all(|pair| pair[1] < pair[0]) && lasts[0] < Duration::seconds(16), "{lasts:?}");
    let struck = |look: usize| looks[look].1.entries[0].joining.clone().unwrap().struck.len();
    assert_eq!((struck(0), struck(2)), (1, 3));
    assert_eq!(world.events(|event| matches!(event, Event::Joined { .. })).len(), 2);
    // All are put back together, once.
    let undone = world.events(|event| matches!(event, Event::UndoStarted { .. }));
    let [(_, Event::UndoStarted { injections, .. })] = undone.as_slice() else { panic!("{undone:?}") };
    assert_eq!(injections.len(), 3);
}

#[test]
fn without_being_asked_to_nobody_looks_for_more() {
    let world = carry_out(ordinary(), |behaviour| behaviour.newcomers = 2);
    assert!(world.looks().is_empty());
}

#[test]
fn that_more_cannot_be_looked_for_is_told_once_and_ends_nothing() {
    let world = carry_out(following(), |behaviour| behaviour.follows = Does::Refuses);
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(world.looks().len(), 3);
    let told: Vec<_> = world.notes().into_iter().filter(|note| note.contains("it would not")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn an_agent_that_is_lost_while_it_looks_is_lost() {
    let world = carry_out(following(), |behaviour| behaviour.follows = Does::Dies);
    assert_eq!(world.verdict(), Verdict::Aborted, "{}", world.reasons());
}

#[test]
fn the_end_does_not_wait_for_a_look() {
    // It would take ten seconds to be lost; Ctrl-C comes before.
    let world = carry_out(following(), |behaviour| {
        behaviour.follows = Does::Hangs;
        behaviour.outside = Some((18.0, AbortCause::Signal));
    });
    let undone = world.events(|event| matches!(event, Event::UndoStarted { .. }));
    assert!((undone[0].0 - 18.0).abs() < 0.5, "{undone:?}");
}

#[test]
fn what_cannot_be_struck_is_left_out_and_the_others_go_on() {
    let world = carry_out(following(), |behaviour| {
        (behaviour.newcomers, behaviour.joins) = (1, Does::Refuses);
    });
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(world.injected(), ["i0"]);
    let failed =
        world.events(|event| matches!(event, Event::InjectFailed { injection, .. } if injection == "new-1"));
    assert_eq!(failed.len(), 1);
    let last = world.looks().pop().unwrap().1.entries[0].joining.clone().unwrap();
    assert!(last.left_out.contains(&thing("new-1")) && !last.struck.contains(&thing("new-1")), "{last:?}");
}

#[test]
fn who_is_asked_about_those_that_join_may_say_no() {
    let world = carry_out(following(), |behaviour| {
        behaviour.newcomers = 1;
        behaviour.joining = Approval::Refused { by: "alice".into(), why: "not that namespace".into() };
    });
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(world.injected(), ["i0"]);
    let told: Vec<_> = world.notes().into_iter().filter(|note| note.contains("not that namespace")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_fault_that_matches_nothing_yet_is_joined_later() {
    let world = carry_out(following(), |behaviour| (behaviour.matches, behaviour.newcomers) = (false, 0));
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(world.injected(), ["new-0"]);
    let mut late = following();
    late.blast_radius.duration = Some(Duration::seconds(16));
    let world = carry_out(late, |behaviour| behaviour.matches = false);
    assert_eq!(world.verdict(), Verdict::Passed, "nothing was active before: {}", world.reasons());

    let nothing = |behaviour: &mut Behaviour| {
        (behaviour.matches, behaviour.follows) = (false, Does::Refuses);
    };
    let world = carry_out(following(), nothing);
    assert_eq!((world.verdict(), world.reasons().as_str()), (Verdict::NoEffect, "no fault was made"));
    assert!(world.phases().iter().all(|phase| *phase != Phase::Undo), "nothing was touched");
}

#[test]
fn what_struck_nothing_ends_without_ending_the_others() {
    let mut experiment = following();
    let mut short = strike(6);
    (short.selection.follow, short.selection.optional) = (true, true);
    let mut world = World::new(experiment.clone(), well());
    experiment.method = vec![Action::Strike(vec![strike(20), short])];
    world.run = Run::new(Arc::new(experiment), world.run.identity.clone());
    let world = world.carry_out();
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    let undos = world.calls.iter().filter(|(_, call)| matches!(call, Call::Undo { .. })).count();
    assert_eq!(undos, 1, "an undo of nothing is an undo of all");
}

#[test]
fn who_joined_too_late_to_show_anything_proves_nothing_either_way() {
    let blind = |newcomers: u32, id: &str| {
        let id = id.to_owned();
        move |behaviour: &mut Behaviour| (behaviour.newcomers, behaviour.blind) = (newcomers, vec![id])
    };
    let world = carry_out(following(), blind(1, "new-1"));
    assert_eq!(world.verdict(), Verdict::NoEffect, "it had fifteen seconds");
    assert!(world.reasons().contains("(new-1) showed no effect"), "{}", world.reasons());
    let mut short = following();
    if let Action::Strike(strikes) = &mut short.method[0] {
        strikes[0].lasts = Duration::milliseconds(7200);
    }
    let world = carry_out(short, blind(1, "new-1"));
    assert_eq!(world.injected(), ["i0", "new-1"]);
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
}

#[test]
fn a_later_turn_begins_with_what_was_agreed_to_and_is_joined_by_the_rest() {
    let mut experiment = following();
    experiment.method.extend(experiment.method.clone());
    let world = carry_out(experiment, |behaviour| {
        (behaviour.approval, behaviour.grows) = ((SOON, agreed()), true);
    });
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(world.injected(), ["i0", "i1"]);
}
