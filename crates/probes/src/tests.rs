//! What holds for every entry of the tables.

use super::*;
use squall_model::node::{Content, Node};
use squall_model::read::{Source, parse};
use squall_model::units::{Duration, Frequency};
use std::collections::BTreeSet;

fn yaml(text: &str) -> Node {
    parse(&Source { name: "example.yaml".to_owned(), text: text.to_owned() }).unwrap()
}

/// What stands under the key of this name in an example: in the first entry of a list, or under the entry's own name.
fn parameters(example: &str, name: &str) -> Node {
    let entry = match yaml(example).content {
        Content::List(mut items) => items.remove(0),
        Content::Map(mut entries) => entries.remove(0).1,
        other => panic!("{example}: {other:?}"),
    };
    entry.get(name).unwrap_or_else(|| panic!("{example}: no {name}")).clone()
}

fn tables() -> impl Iterator<Item = &'static &'static dyn AnyProbe> {
    PROBES.iter().chain(METRIC_SOURCES)
}

#[test]
fn names_are_unique() {
    for table in [PROBES, METRIC_SOURCES] {
        let names: BTreeSet<_> = table.iter().map(|entry| entry.name()).collect();
        assert_eq!(names.len(), table.len());
    }
    let names: BTreeSet<_> = LOADS.iter().map(|load| load.name()).collect();
    assert_eq!(names.len(), LOADS.len());
}

#[test]
fn every_example_is_valid() {
    for entry in tables() {
        if let Err(error) = entry.build(&parameters(entry.example(), entry.name())) {
            panic!("{}: {error}", entry.example());
        }
    }
    for load in LOADS {
        if let Err(error) = load.check(&parameters(load.example(), load.name())) {
            panic!("{}: {error}", load.example());
        }
    }
}

#[test]
fn every_expectation_speaks_of_values_that_are_read() {
    use squall_model::condition::Condition;
    for probe in PROBES {
        let Some(text) = probe.default_expectation() else { continue };
        let condition: Condition = text.parse().unwrap();
        for name in condition.names() {
            assert!(probe.values().iter().any(|(known, _)| *known == name), "{}: {name}", probe.name());
        }
    }
    for source in METRIC_SOURCES {
        assert_eq!(source.values().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["value"]);
    }
}

#[test]
fn every_parameter_is_explained() {
    let schemas = tables()
        .map(|entry| (entry.name(), entry.schema()))
        .chain(LOADS.iter().map(|load| (load.name(), load.schema())));
    for (name, schema) in schemas {
        let schema = schema.to_value();
        assert_eq!(schema["additionalProperties"], false, "{name} takes unknown fields");
        let properties = schema["properties"].as_object().unwrap();
        assert!(!properties.is_empty(), "{name}");
        for (property, description) in properties {
            assert!(
                description["description"].as_str().is_some_and(|text| text.len() > 10),
                "{name}.{property}: {description}"
            );
        }
    }
    for entry in tables() {
        assert!(!entry.summary().is_empty() && !entry.values().is_empty(), "{}", entry.name());
    }
}

fn load(text: &str) -> Result<LoadPlan, ReadError> {
    load_plan(&experiment::Load {
        name: "shop".to_owned(),
        kind: "http".to_owned(),
        parameters: yaml(text),
        rate: Frequency { per_second: 200.0 },
        timeout: Duration::seconds(2),
        window: Duration::seconds(10),
    })
}

#[test]
fn a_load_entry_becomes_a_plan() {
    let plan =
        load("{url: 'http://a/pay', method: POST, body: '{}', expect: [2xx, 404], connections: 50}").unwrap();
    assert_eq!((plan.rate, plan.timeout.as_secs(), plan.window.as_secs()), (Some(200.0), 2, 10));
    assert_eq!((plan.connections, plan.http2), (50, false));
    assert_eq!(plan.request.to_string(), "POST http://a/pay");
    let expect = plan.expect.unwrap();
    assert!(expect.contains(299) && expect.contains(404) && !expect.contains(500));
    let plan = load("{url: 'https://a/', http2: true}").unwrap();
    assert!(plan.http2 && plan.expect.is_none());
}

#[test]
fn mistakes_point_at_their_place() {
    for (text, at, words) in [
        ("{url: 'ftp://a/'}", "'ftp://a/'", "http://"),
        ("{url: 'http://a/', expect: fine}", "fine", "no HTTP status"),
        ("{url: 'http://a/', expect: [2xx, 99]}", "99", "no HTTP status"),
        ("{url: 'http://a/', connections: 0}", "0", "not 0"),
        ("{url: 'http://a/', metod: GET}", "metod", "metod"),
        ("{url: 'http://a/', method: get}", "get", "GET"),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.to_string().contains(words), "{text}: {error}");
        assert_eq!(&text[error.place.start..error.place.end], at, "{text}: {error}");
    }
    let error = PROBES[0].build(&yaml("{url: 'http://a/', timeout: 2}")).err().unwrap();
    assert_eq!((error.place.start, error.place.end), (28, 29), "{error}");
}

#[test]
fn a_load_that_cannot_be_is_refused_before_it_starts() {
    let entry = experiment::Load {
        name: "shop".to_owned(),
        kind: "http".to_owned(),
        parameters: yaml("{url: 'http://a/'}"),
        rate: Frequency { per_second: 200.0 },
        timeout: Duration::seconds(2),
        window: Duration::milliseconds(100),
    };
    assert!(load_plan(&entry).unwrap_err().to_string().contains("slices"));
    let entry = experiment::Load { kind: "smtp".to_owned(), window: Duration::seconds(10), ..entry };
    assert!(load_plan(&entry).unwrap_err().to_string().contains("smtp"));
}
