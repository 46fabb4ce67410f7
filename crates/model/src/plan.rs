//! A plan: what would be touched, where, and how it would be undone. Making one touches nothing.

use crate::cluster::ClusterRef;
use crate::step::{Claim, Step};
use crate::target::{Limit, Selection, Target};
use crate::target_ref::TargetRef;
use crate::units::Duration;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// One fault to be planned, as the brain asks the agent for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanEntry {
    /// Position among the experiment's planned entries; the same in the plan that comes back.
    pub entry: usize,
    /// Name of the fault.
    pub fault: String,
    /// Its parameters, without places.
    pub with: Json,
    /// What it strikes.
    pub selection: Selection,
    /// How long it lasts.
    pub lasts: Duration,
    /// Where the fault is active already: only what has come to match since is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joining: Option<Joining>,
}

/// What is known of the targets of a fault that is active, by whoever looks for more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Joining {
    /// All that it has struck so far, also what is gone by now: the limits hold for all of it.
    #[serde(default)]
    pub struck: BTreeSet<TargetRef>,
    /// What could not be struck, and is not tried again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<TargetRef>,
}

/// What the planning of several entries is bound by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRequest {
    /// What is to be planned.
    pub entries: Vec<PlanEntry>,
    /// Makes choices among targets repeatable.
    pub seed: u64,
    /// At most so many of the targets that match an entry may be struck, from the blast radius.
    pub targets_limit: Option<Limit>,
    /// What must not be struck, in whatever way it is named.
    #[serde(default)]
    pub spared: Vec<Target>,
    /// Whether faults may be planned that could lose other people's data for good.
    #[serde(default)]
    pub allow_data_loss: bool,
    /// Groups of entries that are active at the same time and must not conflict.
    pub together: Vec<Vec<usize>>,
}

/// Pods of a namespace of a cluster, as a place where processes are struck.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Inside {
    /// The cluster.
    pub cluster: ClusterRef,
    /// The namespace.
    pub namespace: String,
}

/// One fault on one resolved target, ready to be injected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedInjection {
    /// Unique on the host; letters, digits and `-` only.
    pub id: String,
    /// The entry that it comes from.
    pub entry: usize,
    /// Name of the fault.
    pub fault: String,
    /// What is struck, for people.
    pub target: String,
    /// The changes, in order.
    pub steps: Vec<Step>,
    /// Each step in words.
    pub does: Vec<String>,
    /// Each step's undo in words, as captured when the plan was made.
    pub undone_by: Vec<String>,
    /// What it holds while it lives.
    pub claims: Vec<Claim>,
    /// How long it lasts.
    pub lasts: Duration,
    /// Whose pods it strikes from within, where an agent on their node plans it: its steps are those of a host, and do not
    /// say whose they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<Inside>,
    /// What tells its target from any other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strikes: Vec<TargetRef>,
}

impl PlannedInjection {
    /// Whether it would do exactly the same to the same target, under whatever name. Steps bear the injection's name
    /// in what they mark, so names do not count.
    pub fn does_the_same_as(&self, other: &Self) -> bool {
        let nameless = |planned: &Self| {
            let steps = serde_json::to_string(&planned.steps).unwrap_or_default();
            (planned.entry, planned.fault.clone(), planned.target.clone(), steps.replace(&planned.id, ""))
        };
        nameless(self) == nameless(other)
    }
}

impl Plan {
    /// That something is to be planned elsewhere and nobody asked there, in words.
    pub fn unplanned(&self) -> Option<String> {
        let Assignment { node, entry, .. } = self.elsewhere.first()?;
        Some(format!("{} is to be planned on node {node}, and no agent was started there", entry.fault))
    }
}

/// A fault on a node of a cluster, with the pods on that node that were chosen for it. Its steps are planned by an agent there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The cluster.
    pub cluster: ClusterRef,
    /// The node, by its name.
    pub node: String,
    /// What is to be planned there.
    pub entry: PlanEntry,
    /// The pods, for people.
    pub pods: Vec<String>,
}

impl Assignment {
    /// Whose pods they are.
    pub fn within(&self) -> Vec<Inside> {
        let Target::Pod(selector) = &self.entry.selection.target else { return Vec::new() };
        let namespaces: BTreeSet<&String> = selector.placed.iter().map(|pod| &pod.namespace).collect();
        let inside =
            |namespace: &String| Inside { cluster: self.cluster.clone(), namespace: namespace.clone() };
        namespaces.into_iter().map(inside).collect()
    }
}

/// All injections of an experiment, in the order of its entries.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The injections.
    pub injections: Vec<PlannedInjection>,
    /// What must be planned by an agent elsewhere, which is asked for it next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Assignment>,
    /// What the user should know before saying yes, such as a protected connection that is spared.
    pub notes: Vec<String>,
    /// Where more was looked for: what of all that was struck matches no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<TargetRef>,
}
