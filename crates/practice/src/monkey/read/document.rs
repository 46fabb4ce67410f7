//! `chaosmonkey:` with a schedule, accounts and kill, as YAML or JSON.

use super::{check, note_contradiction};
use crate::calendar::{Calendar, Cron, Zone};
use crate::monkey::config::{Account, Config, Grouping, Inventory, Kill, NEVER, Scope, Trial};
use serde::Deserialize;
use squall_model::node::Node;
use squall_model::read::{ReadError, decode};
use squall_model::units::{Duration, Share};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    chaosmonkey: Monkey,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Monkey {
    enabled: bool,
    #[serde(default = "yes")]
    leashed: bool,
    schedule: Schedule,
    #[serde(default)]
    accounts: Vec<Account>,
    #[serde(default)]
    spinnaker: Spinnaker,
    kill: Strikes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    #[serde(rename = "type", default)]
    kind: Kind,
    path: Cron,
    #[serde(default, rename = "timeZone", alias = "timezone", alias = "time_zone")]
    time_zone: Option<Zone>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Cron,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Spinnaker {
    #[serde(default)]
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Strikes {
    enabled: bool,
    probability: Option<Share>,
    mean_time_between_kills_in_work_days: Option<f64>,
    #[serde(default)]
    min_time_between_kills_in_work_days: Option<u32>,
    #[serde(default)]
    grouping: Grouping,
    #[serde(default = "yes")]
    regions_are_independent: bool,
    #[serde(default)]
    exceptions: Vec<Scope>,
    #[serde(default)]
    whitelist: Vec<Scope>,
}

fn yes() -> bool {
    true
}

pub(super) fn read(root: &Node) -> Result<Config, ReadError> {
    let File { chaosmonkey: monkey } = decode(root)?;
    let at = |path: &[&str]| {
        let found = path.iter().try_fold(root, |node, name| node.get(name));
        found.unwrap_or(root)
    };
    let Kind::Cron = monkey.schedule.kind;
    if monkey.spinnaker.enabled {
        let place = at(&["chaosmonkey", "spinnaker", "enabled"]).place;
        return Err(ReadError::at(place, "Squall does not speak to Spinnaker")
            .label("must be false")
            .help("it looks for instances itself; write `enabled: false`"));
    }
    let kill = Kill {
        enabled: monkey.kill.enabled,
        mean_days: monkey.kill.mean_time_between_kills_in_work_days,
        min_days: monkey.kill.min_time_between_kills_in_work_days.unwrap_or(1),
        probability: monkey.kill.probability.map(Share::fraction),
        group_by: monkey.kill.grouping,
        regions_are_independent: monkey.kill.regions_are_independent,
        ..Kill::default()
    };
    check(&kill, at(&["chaosmonkey", "kill"]))?;
    let mut notes = Vec::new();
    note_contradiction(&kill, &mut notes);
    if monkey.schedule.time_zone.is_none() {
        notes.push("the file names no time zone: its hours are meant in UTC".to_owned());
    }
    if monkey.leashed && at(&["chaosmonkey"]).get("leashed").is_none() {
        notes.push(
            "the file does not say `leashed: false`: until it does (or with --unleash), nothing is ended"
                .to_owned(),
        );
    }
    Ok(Config {
        name: "chaosmonkey".to_owned(),
        enabled: monkey.enabled,
        leashed: monkey.leashed,
        calendar: Calendar {
            time_zone: monkey.schedule.time_zone.unwrap_or_default(),
            ..Calendar::default()
        },
        cron: monkey.schedule.path,
        told_before: Duration::default(),
        accounts: monkey.accounts,
        kill,
        apps: BTreeMap::new(),
        exceptions: monkey.kill.exceptions,
        only: monkey.kill.whitelist,
        never: NEVER.map(str::to_owned).to_vec(),
        inventory: vec![Inventory::Docker(crate::monkey::config::DockerInventory::default())],
        trial: Trial { watch: Duration::seconds(10), ..Trial::default() },
        seed: None,
        notes,
    })
}
