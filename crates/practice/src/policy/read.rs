//! The keys `environments` and `protected` of a settings file, read with the places of their rules.

use super::{Environment, Magnitude, Policy, Promotion};
use crate::calendar::{Freeze, Holidays, Hours, Zone};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use squall_model::node::{Content, Key, Located, Node};
use squall_model::read::{ReadError, decode};
use squall_model::target::{Limit, Target};
use squall_model::units::{Duration, Share};

/// The keys of an environment, so that an unknown one is told with its nearest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Keys {
    #[serde(rename = "targets")]
    _targets: Option<IgnoredAny>,
    #[serde(rename = "magnitude")]
    _magnitude: Option<IgnoredAny>,
    duration: Option<Duration>,
    #[serde(rename = "hours")]
    _hours: Option<IgnoredAny>,
    time_zone: Option<Zone>,
    holidays: Option<Holidays>,
    #[serde(rename = "freeze")]
    _freeze: Option<IgnoredAny>,
    promotion: Option<Promotion>,
    approval: bool,
}

/// Says why a limited parameter (`delay`, `network.bandwidth.rate`) is none that any fault has; nothing where one has it.
pub type Unknown<'u> = &'u dyn Fn(&str) -> Option<String>;

/// Reads the policy. Each part may be absent.
///
/// # Errors
/// The first mistake, at its place.
pub fn read(
    environments: Option<&Node>,
    protected: Option<&Node>,
    unknown: Unknown<'_>,
) -> Result<Policy, ReadError> {
    let mut policy = Policy::default();
    if let Some(node) = environments {
        for (key, node) in entries(node, "`environments`")? {
            policy.environments.insert(key.name.clone(), environment(node, unknown)?);
        }
        check_promotions(&policy)?;
    }
    if let Some(node) = protected {
        policy.protected = decode::<Vec<Target>>(node)?;
        policy.protected_place = node.place;
    }
    Ok(policy)
}

fn entries<'n>(node: &'n Node, what: &str) -> Result<&'n [(Key, Node)], ReadError> {
    match &node.content {
        Content::Map(entries) => Ok(entries),
        // `dev:` without anything has no rules.
        Content::Null => Ok(&[]),
        _ => Err(ReadError::at(node.place, format!("{what} is a map, and this is {}", node.kind()))),
    }
}

fn environment(node: &Node, unknown: Unknown<'_>) -> Result<Environment, ReadError> {
    if node.content == Content::Null {
        return Ok(Environment::default());
    }
    let keys: Keys = decode(node)?;
    let part = |name: &str| node.get(name).filter(|node| node.content != Content::Null);
    let (hours, zone) = match part("hours") {
        Some(node) => hours(node).map(|(hours, zone)| (Some(located(node, hours)), zone))?,
        None => (None, None),
    };
    if let (Some(given), Some(zone), Some(node)) = (&keys.time_zone, &zone, part("time_zone"))
        && given != zone
    {
        let help = "write the zone once: it counts for hours, holidays and freezes alike";
        return Err(
            ReadError::at(node.place, format!("the zone is {given} here, and {zone} in `hours`")).help(help)
        );
    }
    let magnitude = match part("magnitude") {
        Some(node) => {
            let limits = entries(node, "`magnitude`")?.iter();
            limits.map(|entry| limit_of_parameter(entry, unknown)).collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    Ok(Environment {
        targets: part("targets").map(|node| limit(node).map(|limit| located(node, limit))).transpose()?,
        magnitude,
        duration: keys.duration.zip(part("duration")).map(|(value, node)| located(node, value)),
        hours,
        time_zone: keys.time_zone.or(zone).unwrap_or_default(),
        holidays: keys.holidays.zip(part("holidays")).map(|(value, node)| located(node, value)),
        freeze: part("freeze").map(list::<Freeze>).transpose()?.unwrap_or_default(),
        promotion: keys.promotion.zip(part("promotion")).map(|(value, node)| located(node, value)),
        approval: part("approval").filter(|_| keys.approval).map(|node| node.place),
    })
}

fn located<T>(node: &Node, value: T) -> Located<T> {
    Located { value, place: node.place }
}

/// A list of values, each with its place; one value will do for a list of one.
fn list<T: DeserializeOwned>(node: &Node) -> Result<Vec<Located<T>>, ReadError> {
    let items = match &node.content {
        Content::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    items.iter().map(|item| Ok(located(item, decode(item)?))).collect()
}

/// A count where it is a whole number, else a share: as `blast_radius.targets`.
fn limit(node: &Node) -> Result<Limit, ReadError> {
    match &node.content {
        Content::Integer(count) if *count > 0 => Ok(Limit::Count(count.unsigned_abs())),
        Content::Integer(_) => {
            Err(ReadError::at(node.place, "at least one target must be allowed").label("1 or more"))
        }
        Content::Text(text) if text.trim().parse::<u64>().is_ok_and(|count| count > 0) => {
            Ok(Limit::Count(text.trim().parse().unwrap_or(1)))
        }
        _ => decode::<Share>(node).map(Limit::Share),
    }
}

fn limit_of_parameter(
    (key, node): &(Key, Node),
    unknown: Unknown<'_>,
) -> Result<Located<Magnitude>, ReadError> {
    // A limit of nothing would hold nothing back.
    if let Some(why) = unknown(&key.name) {
        return Err(ReadError::at(key.place, why)
            .help("`squall faults NAME` shows the parameters of a fault; write `delay`, or `network.latency.delay` for one fault"));
    }
    let text = match &node.content {
        Content::Integer(number) => number.to_string(),
        Content::Float(number) => number.to_string(),
        _ => decode::<String>(node)?,
    };
    let limit = Magnitude::parse(&key.name, &text).map_err(|why| ReadError::at(node.place, why))?;
    Ok(located(node, limit))
}

/// Hours, with the time zone behind them where there is one: `MON-FRI 09:00-17:00 Europe/Berlin`.
fn hours(node: &Node) -> Result<(Hours, Option<Zone>), ReadError> {
    let text: String = decode(node)?;
    let wrong = |error: crate::calendar::CalendarError| ReadError::at(node.place, error.to_string());
    if let Ok(hours) = Hours::parse(&text) {
        return Ok((hours, None));
    }
    match text.trim().rsplit_once(' ') {
        Some((days, zone)) if zone.contains(char::is_alphabetic) => {
            let hours = Hours::parse(days).map_err(wrong)?;
            Ok((hours, Some(Zone::named(zone).map_err(wrong)?)))
        }
        _ => Hours::parse(&text).map(|hours| (hours, None)).map_err(wrong),
    }
}

/// An experiment can only have passed in an environment that there is.
fn check_promotions(policy: &Policy) -> Result<(), ReadError> {
    let known: Vec<&str> = policy.environments.keys().map(String::as_str).collect();
    for (name, environment) in &policy.environments {
        let Some(promotion) = &environment.promotion else { continue };
        let from = promotion.value.from.as_str();
        if from == name {
            return Err(ReadError::at(
                promotion.place,
                format!(
                    "{name} cannot be promoted from itself: `from` is where the experiment must have passed before"
                ),
            ));
        }
        if !known.contains(&from) {
            let names: Vec<&str> = known.iter().copied().filter(|known| known != name).collect();
            return Err(ReadError::at(
                promotion.place,
                format!("`from` must be another environment of this file, and {from:?} is none"),
            )
            .help(format!(
                "the others are {}",
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            )));
        }
    }
    Ok(())
}
