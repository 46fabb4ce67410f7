//! The view of a run as it happens, drawn at several moments and sizes.

use crate::{same_as_golden, support};
use squall_model::event::{Entry, Event};
use squall_report::{Colour, Live, live};
use std::fmt::Write as _;

fn at(entries: &[Entry], seconds: f64) -> Live {
    let mut live = Live::default();
    entries.iter().filter(|entry| entry.elapsed <= seconds).for_each(|entry| live.on(entry));
    live.tick(seconds);
    live
}

fn drawn(live: &Live, width: usize, height: usize) -> String {
    let lines = live::draw(live, width, height);
    assert!(lines.len() <= height, "{} lines of {height}", lines.len());
    lines.iter().map(|line| line.text(Colour::Off) + "\n").collect()
}

#[test]
fn moments_of_a_run() {
    let failed = support::failed();
    let mut views = String::new();
    for seconds in [0.05, 2.0, 20.0, 50.0, 95.0, 200.0] {
        let _ = write!(views, "--- {seconds} s\n{}", drawn(&at(&failed, seconds), 80, 16));
    }
    let _ = write!(views, "--- aborted\n{}", drawn(&at(&support::aborted(), 48.2), 80, 16));
    let _ = write!(views, "--- narrow and low\n{}", drawn(&at(&failed, 50.0), 48, 9));
    same_as_golden("live.txt", &views);
}

#[test]
fn every_size_is_kept() {
    let failed = support::failed();
    for seconds in [0.0, 10.0, 60.0, 100.0] {
        let live = at(&failed, seconds);
        for (width, height) in [(80, 24), (80, 0), (40, 3), (41, 7), (200, 50), (0, 16)] {
            for line in live::draw(&live, width, height) {
                assert!(line.width() <= width.max(40), "{width}: {line:?}");
            }
            drawn(&live, width, height);
        }
    }
}

#[test]
fn many_faults_leave_room_for_the_rest() {
    let mut entries = support::failed();
    entries.retain(|entry| entry.elapsed < 60.0);
    let injected: Vec<Entry> =
        entries.iter().filter(|entry| matches!(entry.event, Event::Injected { .. })).cloned().collect();
    for number in 0..40 {
        let mut entry = injected[0].clone();
        if let Event::Injected { injection, .. } = &mut entry.event {
            *injection = format!("many-{number}");
        }
        entries.push(entry);
    }
    let view = drawn(&at(&entries, 60.0), 80, 16);
    assert!(view.contains("more faults active") && view.contains("p99") && view.contains("Ctrl-C"), "{view}");
}
