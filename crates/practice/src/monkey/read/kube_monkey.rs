//! The TOML of kube-monkey (`config.toml`). Its names and defaults are those of its `docs/configuration.md`. How often and how many
//! pods of a workload are ended stands in the labels of the workload, which are read by whoever looks at the cluster.

use crate::calendar::{Calendar, Cron, Zone};
use crate::monkey::config::{Config, How, Inventory, Kill, KubernetesInventory, NEVER, Trial};
use serde::Deserialize;
use squall_model::node::{Content, Node};
use squall_model::read::{ReadError, decode};
use squall_model::units::Duration;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Monkey {
    dry_run: bool,
    time_zone: Zone,
    // When that program plans; it is read and not obeyed.
    #[serde(rename = "run_hour")]
    _run_hour: u8,
    start_hour: u8,
    end_hour: u8,
    graceperiod_sec: u32,
    whitelisted_namespaces: Vec<String>,
    blacklisted_namespaces: Vec<String>,
}

impl Default for Monkey {
    fn default() -> Self {
        Self {
            dry_run: true,
            time_zone: Zone::named("America/Los_Angeles").unwrap_or_default(),
            _run_hour: 8,
            start_hour: 10,
            end_hour: 16,
            graceperiod_sec: 5,
            whitelisted_namespaces: Vec::new(),
            blacklisted_namespaces: vec!["kube-system".to_owned()],
        }
    }
}

pub(super) fn read(root: &Node) -> Result<Config, ReadError> {
    let table = root.get("kubemonkey").unwrap_or(root);
    let monkey: Monkey = decode(table)?;
    let place = |name: &str| table.get(name).map_or(table.place, |node| node.place);
    let (start, end) = (monkey.start_hour, monkey.end_hour);
    if start >= end || end > 23 {
        return Err(ReadError::at(
            place("end_hour"),
            "the hours from `start_hour` up to `end_hour` are none",
        )
        .help("such as start_hour = 10 and end_hour = 16"));
    }
    let mut notes = others(root)?;
    if table.get("run_hour").is_some() {
        notes.push("`run_hour` is not obeyed: days are planned a day ahead".to_owned());
    }
    notes.push(
        "pods are evicted, so that PodDisruptionBudgets hold, and one healthy pod of each workload is left, also of those that \
         say `kill-all`; a file of `kind: Monkey` can say `how: kill` and `keep_healthy: 0`"
            .to_owned(),
    );
    let cron = Cron::parse(&format!("* {start}-{} * * MON-FRI", end - 1));
    let cron = cron.map_err(|error| ReadError::at(table.place, error.to_string()))?;
    let pods = KubernetesInventory {
        namespaces: named(&monkey.whitelisted_namespaces, place("whitelisted_namespaces"))?,
        spared_namespaces: named(&monkey.blacklisted_namespaces, place("blacklisted_namespaces"))?,
        opt_in: Some("kube-monkey/enabled=enabled".to_owned()),
        ..KubernetesInventory::default()
    };
    let grace = Duration::seconds(monkey.graceperiod_sec.into());
    Ok(Config {
        name: "kube-monkey".to_owned(),
        enabled: true,
        leashed: monkey.dry_run,
        calendar: Calendar { time_zone: monkey.time_zone, ..Calendar::default() },
        cron,
        told_before: Duration::default(),
        accounts: Vec::new(),
        kill: Kill { how: How::Evict, grace: Some(grace), ..Kill::default() },
        apps: BTreeMap::new(),
        exceptions: Vec::new(),
        only: Vec::new(),
        never: NEVER.map(str::to_owned).to_vec(),
        inventory: vec![Inventory::Kubernetes(pods)],
        trial: Trial { watch: Duration::seconds(30), ..Trial::default() },
        seed: None,
        notes,
    })
}

/// What else stands in the file: how that program is run and reached is not obeyed, and what changes when it strikes is refused.
fn others(root: &Node) -> Result<Vec<String>, ReadError> {
    let is_on = |table: &Node, key: &str| {
        table.get(key).is_some_and(|node| matches!(node.content, Content::Bool(true)))
    };
    if let Some(debug) = root.get("debug").filter(|debug| is_on(debug, "enabled")) {
        return Err(ReadError::at(
            debug.place,
            "kube-monkey's debug mode kills at once, whatever the hours are; Squall does not",
        )
        .help("leave `[debug]` away; `squall monkey plan` shows what would be done"));
    }
    let Content::Map(entries) = &root.content else { return Ok(Vec::new()) };
    let not_obeyed = entries.iter().filter(|(key, _)| key.name != "kubemonkey").map(|(key, _)| match key.name.as_str() {
        "kubernetes" => "[kubernetes] is not obeyed: the kubeconfig, or the account of the pod, says where the cluster is".to_owned(),
        "notifications" => "[notifications] is not obeyed: settings say whom strikes are told to".to_owned(),
        other => format!("[{other}] is not needed here and not obeyed"),
    });
    Ok(not_obeyed.collect())
}

/// Namespaces without the empty name, which means none or all.
fn named(namespaces: &[String], place: squall_model::node::Place) -> Result<Vec<String>, ReadError> {
    if let Some(pattern) = namespaces.iter().find(|name| name.contains(['?', '['])) {
        return Err(ReadError::at(place, format!("`{pattern}`: only `*` stands for other letters here"))
            .help("name the namespaces, or write `*` for any text"));
    }
    // An empty name among others allows all, as it does there.
    let is_all = namespaces.iter().any(String::is_empty);
    Ok(if is_all { Vec::new() } else { namespaces.to_vec() })
}
