//! Any bytes as an experiment file, as a file of variables and as a condition: reading says yes or points at a place,
//! and never panics, hangs or grows without bound.

#![no_main]

#[path = "../../crates/model/tests/catalog/mod.rs"]
mod catalog;

use catalog::Small;
use libfuzzer_sys::fuzz_target;
use squall_model::condition::{Condition, ConditionState};
use squall_model::read::{self, Overrides, Source};
use squall_model::value::{Reading, Value};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // The first byte chooses the format; a file that names none is told by its content.
    let (name, text) = match text.as_bytes().first() {
        Some(b'0') => ("x.yaml", &text[1..]),
        Some(b'1') => ("x.json", &text[1..]),
        Some(b'2') => ("x.toml", &text[1..]),
        _ => ("x", text),
    };
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    let overrides = Overrides {
        variables: Vec::new(),
        environment: [("TOKEN".to_owned(), "s3cr\"et".to_owned())].into_iter().collect(),
        ..Overrides::default()
    };
    match read::experiment(&source, &Small, &overrides) {
        Ok(experiment) => assert!(!experiment.method.is_empty()),
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in &errors {
                assert!(text.get(error.place.start..error.place.end).is_some(), "{error:?}");
            }
            assert!(!read::render(&source, &errors, true).is_empty());
        }
    }
    let _ = read::variables(&source);
    condition(text);
});

/// A condition that was read is judged, and reads again as the same.
fn condition(text: &str) {
    match Condition::parse(text) {
        Ok(condition) => {
            let again = Condition::parse(&condition.text).expect("its own text is a condition");
            assert_eq!(again.names(), condition.names());
            let mut reading = Reading::new();
            let mut state = ConditionState::default();
            for (second, value) in [Value::from(0.5), Value::from("ok"), Value::from(true)].into_iter().enumerate() {
                condition.judge(&mut state, second as f64, &reading);
                for name in condition.names() {
                    reading.insert(name, value.clone());
                }
            }
            condition.judge(&mut state, 4.0, &reading);
            assert!(condition.bounds().iter().all(|bound| bound.value.is_finite()));
        }
        Err(error) => assert!(text.get(error.start..error.end).is_some(), "{error:?}"),
    }
}
