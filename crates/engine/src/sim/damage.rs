//! Logs that a failing disk damaged while nobody held them: nothing is lost in silence.

use super::actor::{Agent, recover};
use super::faults::samples;
use super::laws::all_is_back;
use super::systematic::request;
use super::world::Shared;
use squall_model::protocol::{Answer, Call, Restored};
use std::collections::BTreeMap;

/// A pause, and everything.
const SAMPLES: [usize; 3] = [4, 11, 12];

/// How many bytes lie between two that are damaged.
const STRIDE: usize = 3;

/// A host on which an agent died while it held one injection, and the name of its log.
fn orphaned(which: usize) -> (Shared, String) {
    let world = Shared::new(1);
    let mut agent = Agent::start(&world, "run-1");
    let Ok(Answer::Plan(plan)) = agent.call(Call::Plan(request(vec![samples()[which].clone()], 1))) else {
        panic!("no plan")
    };
    agent.call(Call::Inject { injections: vec![plan.injections[0].id.clone()] }).unwrap();
    world.lock().kill(agent.pid);
    (world, plan.injections[0].id.clone())
}

fn length_of_log(which: usize) -> usize {
    let (world, name) = orphaned(which);
    let world = world.lock();
    world.logs[&name].bytes.len()
}

fn damage(world: &Shared, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    if let Some(log) = world.lock().logs.get_mut(name) {
        change(&mut log.bytes);
        log.synced = log.bytes.len();
    }
}

#[test]
fn a_flipped_bit_anywhere_is_survived_or_told() {
    for which in SAMPLES {
        let length = length_of_log(which);
        // The last line ends the log: with its newline gone it looks torn, and is only the note of the last step.
        for position in (0..length - 1).step_by(STRIDE) {
            let (world, name) = orphaned(which);
            let keys = world.lock().keys_of_log(&name);
            damage(&world, &name, |bytes| bytes[position] ^= 1 << (position % 7));
            let log = String::from_utf8_lossy(&world.lock().logs[&name].bytes).into_owned();
            all_is_back(&world, &BTreeMap::from([(name, keys)]));
            let world = world.lock();
            assert!(world.violations.is_empty(), "byte {position}: {}\n{log}", world.trace.join("\n"));
        }
    }
}

#[test]
fn what_carries_a_mark_is_found_behind_a_log_that_was_cut_anywhere() {
    let marked = ["qdisc", "table", "worker", "fill"];
    for which in SAMPLES {
        for length in (0..length_of_log(which)).step_by(STRIDE) {
            let (world, name) = orphaned(which);
            damage(&world, &name, |bytes| bytes.truncate(length));
            recover(&world, "recovery");
            let world = world.lock();
            let mut left = world.host.look();
            left.retain(|key, value| {
                marked.iter().any(|kind| key.starts_with(kind))
                    && (value.contains("netem") || value.contains("disk.fill"))
            });
            assert!(left.is_empty(), "cut to {length} bytes: {left:?}\n{}", world.trace.join("\n"));
            assert!(world.violations.is_empty(), "{}", world.trace.join("\n"));
        }
    }
}

#[test]
fn a_log_of_a_newer_squall_is_told_and_left_alone_until_it_is_put_back_by_that() {
    for which in SAMPLES {
        let (world, name) = orphaned(which);
        let before = world.lock().host.look();
        let original = world.lock().logs[&name].bytes.clone();
        damage(&world, &name, |bytes| {
            let json = br#"{"record":"of_later","index":9}"#;
            bytes.extend_from_slice(format!("{:08x} ", crc32fast::hash(json)).as_bytes());
            bytes.extend_from_slice(json);
            bytes.push(b'\n');
        });
        let told = recover(&world, "an older squall");
        assert_eq!(told.len(), 1);
        assert!(told[0].errors[0].contains("was not touched"), "{told:?}");
        assert_eq!((world.lock().host.look(), told[0].steps.len()), (before, 0));
        damage(&world, &name, |bytes| *bytes = original);
        recover(&world, "the squall that wrote it");
        assert!(world.lock().differences().is_empty() && world.lock().logs.is_empty());
    }
}

#[test]
fn a_log_of_which_nothing_is_left_is_told_until_somebody_removes_it() {
    for bytes in [&b""[..], b"torn", b"\n", b"00000000 {\"record\":\"ope\n", b"\0\xff garbage"] {
        let (world, name) = orphaned(0);
        damage(&world, &name, |log| *log = bytes.to_vec());
        for _ in 0..2 {
            let told: Vec<Restored> = recover(&world, "recovery");
            assert_eq!(told.len(), 1, "{bytes:?}: {told:?}");
            let residue = told[0].residue().join("; ");
            assert!(residue.contains("not one of its lines") && residue.contains("`rm "), "{residue}");
        }
        assert!(world.lock().logs.contains_key(&name));
    }
}

#[test]
fn a_lost_undo_is_told_with_the_command_that_puts_it_back() {
    let (world, name) = orphaned(SAMPLES[0]);
    damage(&world, &name, |log| {
        let first = log.iter().position(|byte| *byte == b'\n').unwrap_or_default();
        log[first + 20] ^= 1;
    });
    let told: Vec<Restored> = recover(&world, "recovery");
    let residue = told.iter().flat_map(Restored::residue).collect::<Vec<_>>().join("; ");
    assert!(residue.contains("by hand: `kill -CONT "), "{residue}");
}

#[test]
fn a_log_without_a_change_is_removed_without_a_word() {
    let (world, name) = orphaned(0);
    // Its change is put back by hand.
    let host = world.lock().twin.clone();
    world.lock().host = host;
    damage(&world, &name, |log| {
        let first = log.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        log.truncate(first);
    });
    let told: Vec<Restored> = recover(&world, "recovery");
    assert!(told.is_empty() && world.lock().logs.is_empty(), "{told:?}");
}
