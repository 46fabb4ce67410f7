//! `TimeChaos`: processes that live in another time.

use super::super::ReadError;
use super::super::fields::Fields;
use super::form::Translator;
use super::make::{self, entry};
use super::{Chaos, Kind, Strike, go};

/// See the module.
pub(super) const KIND: Kind = Kind { name: "TimeChaos", embedded: "timeChaos", read };

const CLOCKS: [&str; 10] = [
    "CLOCK_REALTIME",
    "CLOCK_MONOTONIC",
    "CLOCK_PROCESS_CPUTIME_ID",
    "CLOCK_THREAD_CPUTIME_ID",
    "CLOCK_MONOTONIC_RAW",
    "CLOCK_REALTIME_COARSE",
    "CLOCK_MONOTONIC_COARSE",
    "CLOCK_BOOTTIME",
    "CLOCK_REALTIME_ALARM",
    "CLOCK_BOOTTIME_ALARM",
];

fn read(translator: &mut Translator<'_>, fields: &mut Fields<'_>) -> Option<Chaos> {
    let pods = translator.containers(fields);
    let offset = translator
        .required(fields, "timeOffset", "how far the clock is off")
        .and_then(|node| Some((translator.nanoseconds(node)?, node.place)));
    if let Some((0, place)) = offset {
        translator.error(ReadError::at(place, "an offset of nothing changes nothing"));
    }
    let clocks: Vec<Option<_>> = translator
        .optional_texts(fields, "clockIds")
        .into_iter()
        .map(|node| translator.word(&node, "clock", &CLOCKS).map(|_| node))
        .collect();
    let clocks = clocks.into_iter().collect::<Option<Vec<_>>>()?;
    let ((offset, place), pods) = offset.zip(pods)?;
    let mut with = vec![entry("offset", make::text(go::duration(offset), place))];
    if !clocks.is_empty() {
        with.push(entry("clocks", make::list(clocks, fields.key_place("clockIds"))));
    }
    Some(Chaos {
        strikes: vec![Strike { fault: "clock.skew", place, target: pods.node(), with }],
        once: false,
        lasts: None,
    })
}
