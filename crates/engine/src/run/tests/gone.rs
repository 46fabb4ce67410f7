//! Targets that are gone by the time they are to be struck, or go while they are.

use super::*;
use squall_model::undo::Effect;

/// Two targets of one fault, of which those named are gone by the time they are to be struck.
fn two_of_which(gone: &[&str]) -> World {
    let gone = gone.iter().map(|id| (*id).to_owned()).collect();
    let mut world = World::new(ordinary(), Behaviour { gone, ..well() });
    world.planned.push(PlannedInjection { strikes: vec![thing("i0-too")], ..injection("i0-too", 0) });
    world.carry_out()
}

#[test]
fn a_target_that_is_gone_is_passed_over_and_told() {
    let world = two_of_which(&["i0"]);
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    let told = |event: &Event| matches!(event, Event::TargetGone { injection, what } if injection == "i0" && what == "it has ended");
    assert_eq!(world.events(told).len(), 1);
    let restored: Vec<_> = world.events(|event| matches!(event, Event::Restored { .. }));
    assert!(
        matches!(restored.as_slice(), [(_, Event::Restored { restored, .. })] if restored.injection == "i0-too"),
        "{restored:?}"
    );
}

#[test]
fn where_all_are_gone_nothing_was_put_to_the_test() {
    let world = two_of_which(&["i0", "i0-too"]);
    assert_eq!(world.verdict(), Verdict::NoEffect, "{}", world.reasons());
    assert!(world.reasons().contains("could not be made: it has ended"), "{}", world.reasons());
    assert!(world.events(|event| matches!(event, Event::Restored { .. })).is_empty());
}

#[test]
fn one_that_was_to_join_and_is_gone_is_no_matter_of_the_others() {
    let mut experiment = ordinary();
    follow_all(&mut experiment);
    let world = carry_out(experiment, |behaviour| {
        (behaviour.newcomers, behaviour.gone) = (1, vec!["new-1".to_owned()]);
    });
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    assert_eq!(world.events(|event| matches!(event, Event::TargetGone { .. })).len(), 1);
}

/// Two targets of one fault, of which those named go in the middle of its time.
fn two_of_which_go(goes: &[&str], behaviour: Behaviour) -> World {
    let goes = goes.iter().map(|id| ((*id).to_owned(), 18.0)).collect();
    let mut world = World::new(ordinary(), Behaviour { goes, ..behaviour });
    world.planned.push(PlannedInjection { strikes: vec![thing("i0-too")], ..injection("i0-too", 0) });
    world.carry_out()
}

#[test]
fn a_target_that_goes_in_the_middle_proves_nothing_against_those_that_last() {
    let world = two_of_which_go(&["i0"], well());
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
    let is_gone = |event: &Event| matches!(event, Event::Evidence { injection, evidence } if injection == "i0" && evidence[0].effect == Effect::Gone);
    assert!(!world.events(is_gone).is_empty());
}

#[test]
fn where_all_targets_go_in_the_middle_the_fault_was_over_before_its_time() {
    let world = two_of_which_go(&["i0", "i0-too"], well());
    assert_eq!(world.verdict(), Verdict::NoEffect, "{}", world.reasons());
    let reasons = world.reasons();
    assert!(reasons.contains("(i0) was over before its time, since its target was gone after "), "{reasons}");
    assert!(!reasons.contains("showed no effect"), "{reasons}");
}

#[test]
fn a_target_that_goes_before_it_showed_anything_was_not_struck() {
    let world = two_of_which_go(&["i0"], Behaviour { blind: vec!["i0".to_owned()], ..well() });
    assert_eq!(world.verdict(), Verdict::NoEffect, "{}", world.reasons());
    assert!(
        world.reasons().contains("(i0) showed no effect until its target was gone"),
        "{}",
        world.reasons()
    );
}

#[test]
fn of_one_that_follows_and_goes_it_is_enough_that_it_was_struck() {
    let mut experiment = ordinary();
    follow_all(&mut experiment);
    let world = carry_out(experiment, |behaviour| behaviour.goes = vec![("i0".to_owned(), 18.0)]);
    assert_eq!(world.verdict(), Verdict::Passed, "{}", world.reasons());
}
