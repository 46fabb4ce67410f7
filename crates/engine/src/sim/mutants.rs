//! The simulator's own test: Squall is broken on purpose, in one way at a time, and the simulator must notice.

use super::random::live_through;
use super::world::Mutant;

/// How many seeds a mutant may survive.
const SEEDS: u64 = 40_000;

/// The first seed that shows a mutant, and what it shows.
fn found(mutant: Mutant) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| live_through(seed, Some(mutant)).err().map(|trace| (seed, trace)))
}

#[track_caller]
fn is_caught(mutant: Mutant, by: &str) {
    match found(mutant) {
        None => panic!("{mutant:?} goes unnoticed over {SEEDS} seeds"),
        Some((seed, trace)) => {
            let first = trace.lines().next().unwrap_or_default();
            assert!(first.contains(by), "{mutant:?} was caught at seed {seed} by something else: {first}");
        }
    }
}

#[test]
fn an_undo_that_is_not_synced_is_noticed() {
    is_caught(Mutant::NoSync, "its undo is not on the disk");
}

#[test]
fn a_change_before_its_undo_is_logged_is_noticed() {
    is_caught(Mutant::ActBeforeIntend, "");
}

#[test]
fn a_log_that_is_closed_before_the_undo_is_noticed() {
    is_caught(Mutant::CloseBeforeRevert, "");
}

#[test]
fn steps_put_back_in_the_wrong_order_are_noticed() {
    is_caught(Mutant::ForwardOrder, "");
}

#[test]
fn a_recovery_that_takes_a_living_owners_log_is_noticed() {
    is_caught(Mutant::IgnoreLocks, "who lives");
}

#[test]
fn a_process_known_by_its_number_alone_is_noticed() {
    is_caught(Mutant::TrustPids, "");
}

#[test]
fn an_undo_that_overwrites_what_somebody_else_wrote_is_noticed() {
    is_caught(Mutant::OverwriteForeign, "should be");
}

#[test]
fn a_late_warden_that_trusts_its_memory_is_noticed() {
    is_caught(Mutant::TrustMemory, "");
}
