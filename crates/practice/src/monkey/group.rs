//! Instances, the groups that they form, and which of them may be struck at all.

use super::config::{Account, Config, Grouping};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use squall_model::target::{Mode, Round, fits};

/// One thing that can be ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Instance {
    /// What tells it from all others, as long as it lives.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whose it is; none where that is not said.
    pub account: Option<String>,
    /// Where it is; none where that is not said.
    pub region: Option<String>,
    /// The application that it belongs to.
    pub app: String,
    /// The application's stack, such as `staging`; often none.
    pub stack: String,
    /// What tells clusters of one stack apart; often none.
    pub detail: String,
    /// Whether its owners opted in.
    pub opted_in: bool,
    /// Whether it does its work, as far as can be told.
    pub healthy: bool,
    /// How an experiment names it: `{"container": {"id": "…"}}`.
    pub target: Json,
    /// Why it is never struck, whoever opted in.
    pub barred: Option<String>,
    /// What its owners ask for.
    pub wishes: Wishes,
    /// What says how many may go now; none where nothing does.
    pub budget: Option<Budget>,
}

/// What owners ask for of strikes at their group, in place of what the file says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Wishes {
    /// The mean number of days between two strikes.
    pub mean_days: Option<f64>,
    /// How many instances a strike ends; one where nothing is said.
    pub how_many: Option<HowMany>,
}

/// How many instances of a group a strike ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HowMany {
    /// As targets are chosen.
    pub mode: Mode,
    /// The number or the share of 100 that the mode asks for.
    pub value: Option<f64>,
}

impl HowMany {
    /// So many of these; what is left to chance by a roll.
    pub(super) fn of(self, total: usize, roll: f64) -> usize {
        self.mode.count(self.value, Round::Down, total, &mut || roll)
    }
}

/// A number of instances that others allow to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// What says so: `PodDisruptionBudget shop/web`.
    pub name: String,
    /// So many may go now.
    pub allows: usize,
}

impl Instance {
    /// `app-stack-detail`, without what is not there.
    pub fn cluster(&self) -> String {
        let parts = [&self.app, &self.stack, &self.detail].into_iter().filter(|part| !part.is_empty());
        parts.map(String::as_str).collect::<Vec<_>>().join("-")
    }
}

/// Instances of which at most one a day is ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group {
    /// Whose.
    pub account: String,
    /// Where; none where regions count together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The application.
    pub app: String,
    /// The stack, or the cluster, where groups are by those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

impl Group {
    /// A name that tells it from all others.
    pub fn key(&self) -> String {
        let or_all = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
        format!("{}/{}/{}/{}", self.account, or_all(&self.region), self.app, or_all(&self.part))
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.part.as_ref().unwrap_or(&self.app))?;
        if let Some(region) = &self.region {
            write!(formatter, " in {region}")?;
        }
        if self.account.is_empty() { Ok(()) } else { write!(formatter, " ({})", self.account) }
    }
}

/// Whether an instance may be struck, and as what.
#[derive(Debug, Clone, PartialEq)]
pub enum Eligibility {
    /// It may, as one of this group.
    Member {
        /// The group.
        group: Group,
        /// Who is told.
        owner: Option<String>,
    },
    /// It may not, and why.
    Not(String),
}

/// Judges an instance by the rules of a file.
pub(super) fn judge(config: &Config, instance: &Instance) -> Eligibility {
    if !instance.opted_in {
        return Eligibility::Not("it has not opted in".to_owned());
    }
    if let Some(why) = &instance.barred {
        return Eligibility::Not(why.clone());
    }
    let cluster = instance.cluster();
    if let Some(pattern) =
        config.never.iter().find(|never| fits(never, &cluster) || fits(never, &instance.name))
    {
        return Eligibility::Not(format!("`{pattern}` is never struck"));
    }
    let Some(account) = account_of(config, instance) else {
        return Eligibility::Not(nowhere(config, instance));
    };
    // What an instance does not say of itself it has from the only account that it can be of.
    let own_account = instance.account.clone().unwrap_or_else(|| literal(&account.name));
    let own_region = instance.region.clone().unwrap_or_else(|| literal(&account.region));
    let placed =
        Instance { account: Some(own_account.clone()), region: Some(own_region.clone()), ..instance.clone() };
    if let Some(exception) = config.exceptions.iter().find(|scope| scope.holds(&placed)) {
        return Eligibility::Not(format!("it is an exception: {exception}"));
    }
    if !config.only.is_empty() && !config.only.iter().any(|scope| scope.holds(&placed)) {
        return Eligibility::Not("`only` is given, and it fits none of its entries".to_owned());
    }
    let kill = config.kill_of(&instance.app);
    if !kill.enabled {
        return Eligibility::Not(format!("the app {} is left alone by the file", instance.app));
    }
    let part = match kill.group_by {
        Grouping::App => None,
        Grouping::Stack if instance.stack.is_empty() => Some(instance.app.clone()),
        Grouping::Stack => Some(format!("{}-{}", instance.app, instance.stack)),
        Grouping::Cluster => Some(cluster),
    };
    let region = (kill.regions_are_independent && !own_region.is_empty()).then_some(own_region);
    let group = Group { account: own_account, region, app: instance.app.clone(), part };
    Eligibility::Member { group, owner: account.owner.clone() }
}

/// Why an instance is in none of the accounts.
fn nowhere(config: &Config, instance: &Instance) -> String {
    let unsaid = [("account", instance.account.is_none()), ("region", instance.region.is_none())];
    let unsaid: Vec<String> = unsaid
        .into_iter()
        .filter(|(_, is_unsaid)| *is_unsaid)
        .map(|(name, _)| format!("squall.{name}"))
        .collect();
    let none = "it is in none of the accounts, regions, stacks and details of the file";
    if unsaid.is_empty() || config.accounts.len() < 2 {
        return none.to_owned();
    }
    format!(
        "it has no {} (and `inventory` gives none), which of several accounts none is assumed for: {none}",
        unsaid.join(" and no ")
    )
}

/// The first account that an instance fits; all fit where the file names none.
fn account_of(config: &Config, instance: &Instance) -> Option<Account> {
    if config.accounts.is_empty() {
        return Some(Account::default());
    }
    let is_alone = config.accounts.len() == 1;
    // What is not said fits only where there is no choice.
    let holds = |pattern: &str, own: Option<&String>| match own {
        Some(own) => fits(pattern, own),
        None => is_alone || pattern == "*",
    };
    let found = config.accounts.iter().find(|account| {
        holds(&account.name, instance.account.as_ref())
            && holds(&account.region, instance.region.as_ref())
            && fits(&account.stack, &instance.stack)
            && fits(&account.detail, &instance.detail)
    });
    found.cloned()
}

/// A pattern that is a name; nothing where it stands for many.
fn literal(pattern: &str) -> String {
    if pattern.contains('*') { String::new() } else { pattern.to_owned() }
}
