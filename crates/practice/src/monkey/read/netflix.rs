//! The TOML of Netflix's Chaos Monkey 2 (`chaosmonkey.toml`). Its names and defaults are those of its `config/param/param.go`
//! and `config/monkey.go`; mean, minimum and grouping, which it keeps for each app in Spinnaker, have the defaults of its
//! page there.

use super::check;
use crate::calendar::{Calendar, Cron, Zone};
use crate::monkey::config::{Account, Config, DockerInventory, Inventory, Kill, NEVER, Trial};
use serde::Deserialize;
use squall_model::node::{Content, Node};
use squall_model::read::{ReadError, decode};
use squall_model::units::Duration;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Monkey {
    enabled: bool,
    leashed: bool,
    schedule_enabled: bool,
    accounts: Vec<String>,
    start_hour: u8,
    end_hour: u8,
    time_zone: Zone,
    // Read and not obeyed: they say how that program runs, see `NOT_OBEYED`.
    cron_path: String,
    term_path: String,
    term_account: String,
    max_apps: i64,
    trackers: Vec<String>,
    error_counter: String,
    decryptor: String,
    outage_checker: String,
    cron_expression: String,
    schedule_cron_path: String,
    schedule_path: String,
    log_path: String,
}

impl Default for Monkey {
    fn default() -> Self {
        Self {
            enabled: false,
            leashed: true,
            schedule_enabled: false,
            accounts: Vec::new(),
            start_hour: 9,
            end_hour: 15,
            time_zone: Zone::named("America/Los_Angeles").unwrap_or_default(),
            cron_path: String::new(),
            term_path: String::new(),
            term_account: String::new(),
            max_apps: i64::MAX,
            trackers: Vec::new(),
            error_counter: String::new(),
            decryptor: String::new(),
            outage_checker: String::new(),
            cron_expression: String::new(),
            schedule_cron_path: String::new(),
            schedule_path: String::new(),
            log_path: String::new(),
        }
    }
}

/// Keys that say how the other program is installed and run, and what stands in their place here.
const NOT_OBEYED: [(&str, &str); 9] = [
    ("cron_path", "`squall monkey run` needs no cron"),
    ("term_path", "`squall monkey run` ends instances itself"),
    ("term_account", "`squall monkey run` runs as who starts it"),
    ("trackers", "what is done is written to the state folder"),
    ("error_counter", "errors are written to the state folder"),
    ("decryptor", "no password is needed"),
    ("schedule_cron_path", "`squall monkey run` needs no cron"),
    ("schedule_path", "`squall monkey run` plans by itself"),
    ("log_path", "what is done is written to the state folder"),
];

pub(super) fn read(root: &Node) -> Result<Config, ReadError> {
    let table = root.get("chaosmonkey").unwrap_or(root);
    let monkey: Monkey = decode(table)?;
    refuse(&monkey, table)?;
    let mut notes = Vec::new();
    if let Content::Map(entries) = &root.content {
        let others = entries.iter().filter(|(key, _)| key.name != "chaosmonkey");
        notes.extend(others.map(|(key, _)| format!("[{}] is not needed here and not obeyed", key.name)));
    }
    let given = NOT_OBEYED.iter().filter(|(key, _)| table.get(key).is_some());
    notes.extend(given.map(|(key, instead)| format!("`{key}` is not obeyed: {instead}")));
    notes.push(
        "mean and minimum time, grouping and exceptions stand in Spinnaker and not in this file: 2 work days, 1 work day, \
         by cluster, none, which are its defaults; a file of `kind: Monkey` can say more"
            .to_owned(),
    );
    let (start, end) = (monkey.start_hour, monkey.end_hour);
    let hours = format!("* {start}-{} * * MON-FRI", end - 1);
    let cron = Cron::parse(&hours).map_err(|error| ReadError::at(table.place, error.to_string()))?;
    let kill = Kill { mean_days: Some(2.0), min_days: 1, ..Kill::default() };
    check(&kill, table)?;
    let account = |name: String| Account { name, ..Account::default() };
    Ok(Config {
        name: "chaosmonkey".to_owned(),
        enabled: monkey.enabled && monkey.schedule_enabled,
        leashed: monkey.leashed,
        calendar: Calendar { time_zone: monkey.time_zone, ..Calendar::default() },
        cron,
        told_before: Duration::default(),
        accounts: monkey.accounts.into_iter().map(account).collect(),
        kill,
        apps: BTreeMap::new(),
        exceptions: Vec::new(),
        only: Vec::new(),
        never: NEVER.map(str::to_owned).to_vec(),
        inventory: vec![Inventory::Docker(DockerInventory::default())],
        trial: Trial { watch: Duration::seconds(10), ..Trial::default() },
        seed: None,
        notes,
    })
}

/// What it would be unsafe not to obey, and what makes no sense.
fn refuse(monkey: &Monkey, table: &Node) -> Result<(), ReadError> {
    let place = |name: &str| table.get(name).map_or(table.place, |node| node.place);
    let wrong = |name: &str, message: &str, help: &str| Err(ReadError::at(place(name), message).help(help));
    if !monkey.outage_checker.is_empty() {
        return wrong(
            "outage_checker",
            "a plugin of another program is to be asked whether there is an outage, which Squall cannot",
            "write a file of `kind: Monkey` with an `outage` check in its place",
        );
    }
    if !monkey.cron_expression.is_empty() {
        return wrong(
            "cron_expression",
            "this says when the other program plans, not when it strikes, and is not obeyed here",
            "leave it away; `start_hour` and `end_hour` say when it strikes",
        );
    }
    if table.get("max_apps").is_some() && monkey.max_apps < i64::from(i32::MAX) {
        return wrong(
            "max_apps",
            "a limit of apps is not known here, and not to obey one would be unsafe",
            "leave it away, or name the apps that are meant in a file of `kind: Monkey`",
        );
    }
    if monkey.start_hour >= monkey.end_hour || monkey.end_hour > 24 {
        return wrong(
            "end_hour",
            "the hours from `start_hour` up to `end_hour` are none",
            "such as start_hour = 9 and end_hour = 15",
        );
    }
    Ok(())
}
