//! What the monkey is told, whichever file it was read from.

use super::chance::Chance;
use super::group::{Eligibility, Group, Instance, judge};
use crate::calendar::{Calendar, Cron};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use squall_model::step::Signal;
use squall_model::target::{ProcessSelector, fits};
use squall_model::units::Duration;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Clusters whose name ends so are never struck: they are measured against others, or are other tools' tests.
pub(super) const NEVER: [&str; 4] = ["*-canary", "*-baseline", "*-citrus", "*-citrusproxy"];

/// Everything that a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What the monkey is called; its plans are kept under this name.
    pub name: String,
    /// Whether it does anything.
    pub enabled: bool,
    /// Whether it only tells what it would do.
    pub leashed: bool,
    /// Which days are worked and when all is frozen.
    pub calendar: Calendar,
    /// The instants at which it may strike.
    pub cron: Cron,
    /// How long before a strike its owner is told.
    pub told_before: Duration,
    /// Where instances may be, and who owns them; everywhere, where none is given.
    pub accounts: Vec<Account>,
    /// How often, and how.
    pub kill: Kill,
    /// The same for some apps, by name.
    pub apps: BTreeMap<String, Kill>,
    /// What is left alone.
    pub exceptions: Vec<Scope>,
    /// If given, nothing else is struck.
    pub only: Vec<Scope>,
    /// Names of clusters and instances that are left alone.
    pub never: Vec<String>,
    /// Where to look for instances.
    pub inventory: Vec<Inventory>,
    /// What must hold before a strike and again after it.
    pub trial: Trial,
    /// Makes the same choices again; by chance of the host, where none is given.
    pub seed: Option<u64>,
    /// What the file says that may not be what its writer thinks.
    pub notes: Vec<String>,
}

/// Instances that are meant, and who owns them. Each word may hold `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The account.
    pub name: String,
    /// The region.
    #[serde(default = "any")]
    pub region: String,
    /// The stack.
    #[serde(default = "any")]
    pub stack: String,
    /// The detail.
    #[serde(default = "any")]
    pub detail: String,
    /// Who is told before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Any account.
impl Default for Account {
    fn default() -> Self {
        Self { name: any(), region: any(), stack: any(), detail: any(), owner: None }
    }
}

/// Instances that are left alone, or the only ones that are not. What is not said is any; each word may hold `*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The account.
    #[serde(default = "any")]
    pub account: String,
    /// The region.
    #[serde(default = "any")]
    pub region: String,
    /// The app.
    #[serde(default = "any")]
    pub app: String,
    /// The stack.
    #[serde(default = "any")]
    pub stack: String,
    /// The detail.
    #[serde(default = "any")]
    pub detail: String,
}

fn any() -> String {
    "*".to_owned()
}

impl Scope {
    /// Whether all instances are meant.
    pub fn is_everything(&self) -> bool {
        [&self.account, &self.region, &self.app, &self.stack, &self.detail]
            .into_iter()
            .all(|word| word == "*")
    }

    /// Whether an instance is meant.
    pub fn holds(&self, instance: &Instance) -> bool {
        let said = |own: &Option<String>| own.clone().unwrap_or_default();
        fits(&self.account, &said(&instance.account))
            && fits(&self.region, &said(&instance.region))
            && fits(&self.app, &instance.app)
            && fits(&self.stack, &instance.stack)
            && fits(&self.detail, &instance.detail)
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [
            ("account", &self.account),
            ("region", &self.region),
            ("app", &self.app),
            ("stack", &self.stack),
            ("detail", &self.detail),
        ];
        let said =
            words.into_iter().filter(|(_, word)| *word != "*").map(|(name, word)| format!("{name} {word}"));
        let said = said.collect::<Vec<_>>().join(", ");
        formatter.write_str(if said.is_empty() { "everything" } else { &said })
    }
}

/// What counts as one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grouping {
    /// All of an app.
    App,
    /// All of a stack of an app.
    Stack,
    /// All of a cluster: the app, its stack and its detail.
    #[default]
    Cluster,
}

/// How often, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kill {
    /// Whether any is struck.
    pub enabled: bool,
    /// The mean number of days between two strikes at a group.
    pub mean_days: Option<f64>,
    /// The least number of days between them.
    pub min_days: u32,
    /// The most likely that a strike may be on one day.
    pub probability: Option<f64>,
    /// What counts as one group.
    pub group_by: Grouping,
    /// Whether each region has groups of its own.
    pub regions_are_independent: bool,
    /// As many instances of a group must be healthy after the strike.
    pub keep_healthy: usize,
    /// How an instance is ended.
    pub signal: Signal,
    /// How a pod is.
    pub how: How,
    /// How long a pod may take to end by itself; otherwise as long as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Duration>,
}

/// How a pod is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It is evicted, as far as its `PodDisruptionBudget` allows it.
    #[default]
    Evict,
    /// It is deleted, whatever any budget says.
    Kill,
}

impl Kill {
    /// The same, with the mean that owners ask for in its place. What is said of the least time and of the chance still holds.
    pub(super) fn at_mean(&self, mean_days: Option<f64>) -> Cow<'_, Self> {
        let Some(mean) = mean_days else { return Cow::Borrowed(self) };
        let mean = mean.max(f64::from(self.min_days.max(1)));
        Cow::Owned(Self { mean_days: Some(mean), ..self.clone() })
    }
}

impl Default for Kill {
    fn default() -> Self {
        Self {
            enabled: true,
            mean_days: None,
            min_days: 1,
            probability: None,
            group_by: Grouping::default(),
            regions_are_independent: true,
            keep_healthy: 1,
            signal: Signal::Kill,
            how: How::default(),
            grace: None,
        }
    }
}

/// Where to look for instances. Each is one file of its own beside the binary's command line.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Inventory {
    /// Containers of Docker on this host, each an instance.
    Docker(DockerInventory),
    /// Processes of this host, each an instance.
    Processes(ProcessInventory),
    /// Units of this host's service manager, each an instance.
    Services(ServiceInventory),
    /// Instances of AWS's Auto Scaling groups.
    AutoScaling(AutoScalingInventory),
    /// Pods of workloads of a Kubernetes cluster.
    Kubernetes(KubernetesInventory),
}

/// The label, or the variable of a process's environment, by which owners opt in.
const OPT_IN: &str = "squall.monkey=enabled";
/// The same where dots cannot be.
const OPT_IN_VARIABLE: &str = "SQUALL_MONKEY=enabled";

/// Containers.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerInventory {
    /// The label by which a container's owners opt in: `NAME=VALUE`.
    pub opt_in: String,
    /// Whose all of them are, where a container's label `squall.account` does not say.
    pub account: Option<String>,
    /// Where all of them are, where a container's label `squall.region` does not say.
    pub region: Option<String>,
}

impl Default for DockerInventory {
    fn default() -> Self {
        Self { opt_in: OPT_IN.to_owned(), account: None, region: None }
    }
}

/// Processes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessInventory {
    /// The app that they are.
    pub app: String,
    /// Which ones.
    #[serde(rename = "match")]
    pub selector: ProcessSelector,
    /// The variable of their environment by which their owners opt in: `NAME=VALUE`.
    #[serde(default = "variable")]
    pub opt_in: String,
    /// Their stack.
    #[serde(default)]
    pub stack: String,
    /// Their detail.
    #[serde(default)]
    pub detail: String,
    /// Whose they are.
    #[serde(default)]
    pub account: Option<String>,
    /// Where they are.
    #[serde(default)]
    pub region: Option<String>,
}

/// Units.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceInventory {
    /// The app that they are.
    pub app: String,
    /// Which ones: `payment@*`.
    pub unit: String,
    /// The variable of their environment by which their owners opt in: `NAME=VALUE`.
    #[serde(default = "variable")]
    pub opt_in: String,
    /// Their stack.
    #[serde(default)]
    pub stack: String,
    /// Their detail.
    #[serde(default)]
    pub detail: String,
    /// Whose they are.
    #[serde(default)]
    pub account: Option<String>,
    /// Where they are.
    #[serde(default)]
    pub region: Option<String>,
}

/// Auto Scaling groups.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoScalingInventory {
    /// The groups by their names, in which `*` stands for any text.
    pub groups: String,
    /// The tag by which an instance's owners opt in: `NAME=VALUE`. Groups hand their tags on to what they launch.
    pub opt_in: String,
    /// Whose all of them are, where neither a tag `squall.account` nor their account's number is meant.
    pub account: Option<String>,
    /// The region, in place of that of AWS's own settings.
    pub region: Option<String>,
    /// The profile whose settings and credentials count.
    pub profile: Option<String>,
    /// Another address than AWS's own.
    pub endpoint: Option<String>,
}

impl Default for AutoScalingInventory {
    fn default() -> Self {
        Self {
            groups: any(),
            opt_in: OPT_IN.to_owned(),
            account: None,
            region: None,
            profile: None,
            endpoint: None,
        }
    }
}

/// Pods of workloads.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KubernetesInventory {
    /// The namespaces that are looked at; every one where none is given.
    pub namespaces: Vec<String>,
    /// Namespaces that are left alone; each may hold `*`.
    pub spared_namespaces: Vec<String>,
    /// The kinds of workloads whose pods are meant.
    pub kinds: Vec<WorkloadKind>,
    /// The label, of the workload or of its pods, by which their owners opt in: `NAME=VALUE`; in place of the usual ones.
    pub opt_in: Option<String>,
    /// Whose all of them are, where a label `squall.account` does not say.
    pub account: Option<String>,
    /// Where all of them are, where a label `squall.region` does not say.
    pub region: Option<String>,
    /// The context of the kubeconfig; without it its current one.
    pub context: Option<String>,
    /// The kubeconfig, by its path; without it the usual one, or the account of the pod that this runs in.
    pub kubeconfig: Option<String>,
}

/// A kind of workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[expect(missing_docs, reason = "they are called so in Kubernetes")]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl WorkloadKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];
}

impl Default for KubernetesInventory {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            spared_namespaces: Vec::new(),
            kinds: WorkloadKind::ALL.to_vec(),
            opt_in: None,
            account: None,
            region: None,
            context: None,
            kubeconfig: None,
        }
    }
}

fn variable() -> String {
    OPT_IN_VARIABLE.to_owned()
}

/// What must hold before a strike and again after it, in the words of an experiment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trial {
    /// Entries of an experiment by their keys: `metrics`, `steady_state`, `guard`, `hypothesis_holds`, `recovery`.
    pub parts: BTreeMap<String, Json>,
    /// How long is watched after the strike.
    pub watch: Duration,
}

impl Trial {
    /// Whether it is asked after a strike how the others do: a guard alone tells only that nothing was worse than it allows.
    pub fn judges(&self) -> bool {
        // What is not said must hold under the fault is what must hold before it.
        self.has_any("hypothesis_holds") || self.has_any("steady_state")
    }

    /// What a strike has shown that nothing spoke against.
    pub fn shown(&self) -> &'static str {
        if self.judges() {
            "and the others did without it"
        } else if self.has_any("guard") {
            "and the guard had no reason to end the watch; nothing else was judged (`outage` has no `steady_state`)"
        } else {
            "and nothing was watched (there is no `outage` check)"
        }
    }

    fn has_any(&self, part: &str) -> bool {
        match self.parts.get(part) {
            Some(Json::Array(entries)) => !entries.is_empty(),
            Some(Json::Object(entries)) => !entries.is_empty(),
            Some(_) => true,
            None => false,
        }
    }
}

impl Config {
    /// Whether nothing may be ended: only told.
    pub fn is_dry(&self) -> bool {
        self.leashed || !self.enabled || !self.kill.enabled
    }

    /// How an app's instances are struck.
    pub fn kill_of(&self, app: &str) -> &Kill {
        self.apps.get(app).unwrap_or(&self.kill)
    }

    /// How likely a strike at a group is on a day, where its owners ask for a mean of their own.
    pub fn chance_at(&self, group: &Group, mean_days: Option<f64>) -> Chance {
        Chance::of(&self.kill_of(&group.app).at_mean(mean_days))
    }

    /// How likely a strike at an app's group is on a day.
    pub fn chance_of(&self, app: &str) -> Chance {
        Chance::of(self.kill_of(app))
    }

    /// Whether an instance may be struck, and as one of which group.
    pub fn judge(&self, instance: &Instance) -> Eligibility {
        judge(self, instance)
    }
}
