//! Squall's own file, `kind: Monkey`.
//!
//! ```yaml
//! apiVersion: squall.dev/v1
//! kind: Monkey
//! name: shop
//! leashed: false
//! schedule:
//!   cron: "0 * 9-14 * * MON-FRI"
//!   time_zone: Europe/Berlin
//!   holidays: [12-24]
//! inventory:
//!   - docker: {}
//! kill: {mean_days: 5}
//! outage:
//!   steady_state: [{http: {url: "http://127.0.0.1:8080/health"}}]
//! ```

use super::{check, note_contradiction};
use crate::calendar::{Calendar, Cron, Freeze, Holidays, Weekdays, Zone};
use crate::monkey::config::{Account, Config, Grouping, How, Inventory, Kill, NEVER, Scope, Trial};
use serde::Deserialize;
use serde::de::IgnoredAny;
use squall_model::node::{Content, Node};
use squall_model::read::{ReadError, decode};
use squall_model::step::Signal;
use squall_model::units::{Duration, Share};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "apiVersion")]
    _version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    name: String,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default = "yes")]
    leashed: bool,
    schedule: Schedule,
    inventory: Vec<Inventory>,
    #[serde(default)]
    accounts: Vec<Account>,
    kill: Strikes,
    #[serde(default)]
    apps: BTreeMap<String, AppStrikes>,
    #[serde(default)]
    exceptions: Vec<Scope>,
    #[serde(default)]
    only: Vec<Scope>,
    #[serde(default)]
    never: Vec<String>,
    #[serde(default)]
    outage: Outage,
    #[serde(default)]
    seed: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    cron: Cron,
    #[serde(default)]
    time_zone: Zone,
    #[serde(default)]
    work_days: Weekdays,
    #[serde(default)]
    holidays: Holidays,
    #[serde(default)]
    freeze: Vec<Freeze>,
    #[serde(default)]
    told_before: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Strikes {
    #[serde(default = "yes")]
    enabled: bool,
    mean_days: Option<f64>,
    min_days: Option<u32>,
    probability: Option<Share>,
    #[serde(default)]
    group_by: Grouping,
    #[serde(default = "yes")]
    regions_are_independent: bool,
    #[serde(default = "one")]
    keep_healthy: usize,
    #[serde(default)]
    signal: Signal,
    #[serde(default)]
    how: How,
    grace: Option<Duration>,
}

/// What is not said for an app is as for all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppStrikes {
    enabled: Option<bool>,
    mean_days: Option<f64>,
    min_days: Option<u32>,
    probability: Option<Share>,
    group_by: Option<Grouping>,
    regions_are_independent: Option<bool>,
    keep_healthy: Option<usize>,
    signal: Option<Signal>,
    how: Option<How>,
    grace: Option<Duration>,
}

/// The parts of an experiment, which its own reader reads.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Outage {
    #[serde(rename = "metrics")]
    _metrics: Option<IgnoredAny>,
    #[serde(rename = "steady_state")]
    _steady_state: Option<IgnoredAny>,
    #[serde(rename = "guard")]
    _guard: Option<IgnoredAny>,
    #[serde(rename = "hypothesis_holds")]
    _hypothesis_holds: Option<IgnoredAny>,
    #[serde(rename = "recovery")]
    _recovery: Option<IgnoredAny>,
    watch: Option<Duration>,
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

pub(super) fn read(root: &Node) -> Result<Config, ReadError> {
    all_are_there(root)?;
    let file: File = decode(root)?;
    let at = |name: &str| root.get(name).unwrap_or(root);
    let name_is_plain = !file.name.is_empty()
        && file.name.len() <= 64
        && file.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !file.name.starts_with('.');
    if !name_is_plain {
        return Err(ReadError::at(
            at("name").place,
            "`name` names a folder: letters, digits, `-`, `_` and `.`, at most 64",
        ));
    }
    for (index, inventory) in file.inventory.iter().enumerate() {
        check_inventory(inventory, at("inventory"), index)?;
    }
    if file.inventory.is_empty() {
        return Err(ReadError::at(at("inventory").place, "`inventory` names no place to look for instances")
            .help("such as `inventory: [{docker: {}}]`"));
    }
    let kill = Kill {
        enabled: file.kill.enabled,
        mean_days: file.kill.mean_days,
        min_days: file.kill.min_days.unwrap_or(1),
        probability: file.kill.probability.map(Share::fraction),
        group_by: file.kill.group_by,
        regions_are_independent: file.kill.regions_are_independent,
        keep_healthy: file.kill.keep_healthy,
        signal: file.kill.signal,
        how: file.kill.how,
        grace: file.kill.grace,
    };
    check(&kill, at("kill"))?;
    check_signal(kill.signal, at("kill"))?;
    let mut notes = Vec::new();
    note_contradiction(&kill, &mut notes);
    let mut apps = BTreeMap::new();
    for (app, own) in file.apps {
        let node = at("apps").get(&app).unwrap_or(root);
        let merged = own.over(&kill);
        check(&merged, node)?;
        check_signal(merged.signal, node)?;
        note_contradiction(&merged, &mut notes);
        apps.insert(app, merged);
    }
    let schedule = file.schedule;
    let never = NEVER.iter().map(|pattern| (*pattern).to_owned()).chain(file.never).collect();
    let trial =
        Trial { parts: parts(root.get("outage")), watch: file.outage.watch.unwrap_or(Duration::seconds(10)) };
    Ok(Config {
        name: file.name,
        enabled: file.enabled,
        leashed: file.leashed,
        calendar: Calendar {
            time_zone: schedule.time_zone,
            work_days: schedule.work_days,
            holidays: schedule.holidays,
            freeze: schedule.freeze,
        },
        cron: schedule.cron,
        told_before: schedule.told_before,
        accounts: file.accounts,
        kill,
        apps,
        exceptions: file.exceptions,
        only: file.only,
        never,
        inventory: file.inventory,
        trial,
        seed: file.seed,
        notes,
    })
}

/// Tells of all keys that are missing at once.
fn all_are_there(root: &Node) -> Result<(), ReadError> {
    let needed = [
        ("name", "`name: shop`"),
        ("schedule", "`schedule: {cron: \"0 * 9-14 * * MON-FRI\"}`"),
        ("inventory", "`inventory: [{docker: {}}]`"),
        ("kill", "`kill: {mean_days: 5}`"),
    ];
    let missing: Vec<_> = needed.into_iter().filter(|(name, _)| root.get(name).is_none()).collect();
    let names: Vec<String> = missing.iter().map(|(name, _)| format!("`{name}`")).collect();
    let examples: Vec<&str> = missing.iter().map(|(_, example)| *example).collect();
    let are = match names.as_slice() {
        [] => return Ok(()),
        [_] => "is",
        _ => "are",
    };
    let message = format!("{} {are} missing", names.join(", "));
    Err(ReadError::at(root.place, message).help(format!("such as {}", examples.join(", "))))
}

impl AppStrikes {
    fn over(self, all: &Kill) -> Kill {
        // A mean or a probability of its own replaces both: the other was meant for the mean of all.
        let own_chance = self.mean_days.is_some() || self.probability.is_some();
        let probability = self.probability.map(Share::fraction);
        let (mean_days, probability) =
            if own_chance { (self.mean_days, probability) } else { (all.mean_days, all.probability) };
        Kill {
            enabled: self.enabled.unwrap_or(all.enabled),
            mean_days,
            min_days: self.min_days.unwrap_or(all.min_days),
            probability,
            group_by: self.group_by.unwrap_or(all.group_by),
            regions_are_independent: self.regions_are_independent.unwrap_or(all.regions_are_independent),
            keep_healthy: self.keep_healthy.unwrap_or(all.keep_healthy),
            signal: self.signal.unwrap_or(all.signal),
            how: self.how.unwrap_or(all.how),
            grace: self.grace.or(all.grace),
        }
    }
}

/// Stopping is not ending.
fn check_signal(signal: Signal, node: &Node) -> Result<(), ReadError> {
    match signal {
        Signal::Stop | Signal::Cont => Err(ReadError::at(
            node.get("signal").unwrap_or(node).place,
            format!("{signal} does not end a process; KILL and TERM do"),
        )),
        _ => Ok(()),
    }
}

fn check_inventory(inventory: &Inventory, list: &Node, index: usize) -> Result<(), ReadError> {
    let place = match &list.content {
        Content::List(items) => items.get(index).map_or(list.place, |node| node.place),
        _ => list.place,
    };
    let (opt_in, empty) = match inventory {
        Inventory::Docker(docker) => (&docker.opt_in, false),
        Inventory::AutoScaling(groups) => (&groups.opt_in, false),
        Inventory::Kubernetes(pods) => match &pods.opt_in {
            Some(opt_in) => (opt_in, false),
            None => return Ok(()),
        },
        Inventory::Processes(processes) => (&processes.opt_in, processes.selector.is_empty()),
        Inventory::Services(services) => {
            (&services.opt_in, services.unit.trim_matches(['*', '.']).is_empty())
        }
    };
    if empty {
        return Err(
            ReadError::at(place, "this would look at every process or unit of the host").help("name some")
        );
    }
    match opt_in.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok(()),
        _ => Err(ReadError::at(place, format!("`opt_in` is NAME=VALUE, and this is {opt_in:?}"))),
    }
}

fn parts(outage: Option<&Node>) -> BTreeMap<String, serde_json::Value> {
    match outage.map(|node| &node.content) {
        Some(Content::Map(entries)) => {
            let of_experiment = entries.iter().filter(|(key, _)| key.name != "watch");
            of_experiment.map(|(key, node)| (key.name.clone(), node.to_json())).collect()
        }
        _ => BTreeMap::new(),
    }
}
