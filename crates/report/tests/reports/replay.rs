//! Journals that earlier versions wrote, kept as they were: each must be read whole and tell the same report.

use crate::same_as_golden;
use serde_json::Value;
use squall_model::event::Entry;
use squall_report::{Colour, Story, text};
use std::path::PathBuf;

/// What has no empty value and must be there: the tag of each event, and what it stands and falls with.
const NEEDED: [&str; 8] = ["at", "elapsed", "event", "phase", "truth", "cause", "verdict", "exit_code"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journals")
}

/// Name and lines of every journal that is kept.
fn journals() -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .map(|path| {
            let lines = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), lines)
        })
        .collect();
    all.sort();
    assert!(!all.is_empty());
    all
}

#[test]
fn old_journals_are_read_whole_and_tell_the_same() {
    for (name, lines) in journals() {
        let read = |line: &String| {
            serde_json::from_str::<Entry>(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"))
        };
        let entries: Vec<Entry> = lines.iter().map(read).collect();
        same_as_golden(&format!("journals/{name}.txt"), &text::summary(&Story::of(&entries), Colour::Off));
    }
}

#[test]
fn absent_fields_are_empty_and_unknown_ones_are_passed_over() {
    for (name, lines) in journals() {
        for line in lines {
            let whole: Value = serde_json::from_str(&line).unwrap();
            let fields: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
            for field in fields.iter().filter(|field| !NEEDED.contains(&field.as_str())) {
                let mut less = whole.clone();
                less.as_object_mut().unwrap().remove(field);
                less["of_later"] = Value::from(1);
                let read = serde_json::from_value::<Entry>(less);
                assert!(read.is_ok(), "{name} without {field}: {:?}: {line}", read.err());
            }
        }
    }
}
