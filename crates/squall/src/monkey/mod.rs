//! The monkey at work: it looks for instances, writes a plan for each day a day ahead, and carries the day out. What it
//! decides is decided in `crates/practice`; each strike is an ordinary experiment, carried out like any other.

mod clock;
mod herald;
mod inventory;
mod records;
mod settle;
mod teller;
mod work;

pub(crate) use clock::Clock;
pub(crate) use herald::{Herald, News, Printer};
pub(crate) use inventory::{Seen, look};
pub(crate) use records::{Entry, Event, Records};
pub(crate) use teller::Teller;
pub(crate) use work::{Done, Until, Work};

use crate::exit::Failure;
use crate::files;
use jiff::civil::Date;
use squall_model::read::Overrides;
use squall_practice::monkey::{Config, Group, Instance, Inventory, Victims, experiment, read};
use std::path::Path;

/// Reads what a monkey is told, and checks that an experiment can be made of it.
pub(crate) fn config(file: &Path, colour: bool) -> Result<Config, Failure> {
    let config = read(&files::source(file)?).map_err(|mistakes| {
        Failure::invalid(format!("{} is not valid\n{}", file.display(), mistakes.render(colour).trim_end()))
    })?;
    // What must hold before a strike is read by the reader of experiments; its mistakes are told now, not at the strike.
    let is_in_a_cluster = config.inventory.iter().any(|place| matches!(place, Inventory::Kubernetes(_)));
    let target = if is_in_a_cluster {
        serde_json::json!({"pod": {"names": ["a/pod"]}})
    } else {
        serde_json::json!({"process": {"name": "an-instance"}})
    };
    let instance = Instance { name: "an instance".to_owned(), target, ..Instance::default() };
    let group = Group { account: String::new(), region: None, app: "an app".to_owned(), part: None };
    let victims = Victims { instances: vec![&instance], healthy: 2, of: 2 };
    let text = experiment(&config, &group, &victims).to_string();
    files::of_text(&format!("{}: `outage`", file.display()), text, &overrides()?)?;
    Ok(config)
}

/// Variables in `outage` come from the environment.
fn overrides() -> Result<Overrides, Failure> {
    files::VariableOptions::default().overrides(&[])
}

/// That a day's plan was written before the file said what it says now.
pub(crate) fn stays(date: Date) -> String {
    format!(
        "the plan for {date} was written down before the file (or the seed) was changed, and stays; what was changed counts \
         for days that are not planned yet"
    )
}

/// What all choices follow from: the file's seed, else one that is this host's own and stays the same.
pub(crate) fn seed(config: &Config, asked: Option<u64>) -> u64 {
    asked.or(config.seed).unwrap_or_else(|| {
        let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let text = format!("{}{host}{}", id.trim(), config.name);
        // FNV-1a; 53 bits are exact where JSON numbers are floating point.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        hash >> 11
    })
}
