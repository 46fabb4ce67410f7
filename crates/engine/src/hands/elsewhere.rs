//! Faults on pods that only an agent on their node can make: here the pods are chosen, among all of the cluster; there the
//! steps are planned.

use super::notes::{Remarks, note};
use super::plan::{Dice, not_joined};
use super::{Hands, invalid};
use crate::crash::Point;
use serde_json::Value as Json;
use squall_model::cluster::{ClusterRef, PeerPods, PodFacts, PodSelector};
use squall_model::facts::{Scope, Subject};
use squall_model::fault::AnyFault;
use squall_model::machine::Machine;
use squall_model::plan::{Assignment, Joining, Plan, PlanEntry, PlanRequest};
use squall_model::protocol::{CallError, CallErrorKind};
use squall_model::target::{Mode, Selection, Target};
use squall_model::undo_log::Disk;
use std::collections::BTreeMap;

/// Parameters that may name pods in place of addresses.
const PEERS: [&str; 2] = ["destination", "source"];

/// Whether a fault on this target is made by an agent elsewhere.
pub(super) fn is_meant(fault: &dyn AnyFault, target: &Target) -> bool {
    matches!(target, Target::Pod(selector) if selector.placed.is_empty()) && fault.scope().is_on_host()
}

impl<M: Machine, D: Disk> Hands<M, D> {
    /// Chooses the pods, and says which node's agent is to plan for which of them.
    pub(super) fn assign(
        &mut self,
        fault: &dyn AnyFault,
        entry: &PlanEntry,
        request: &PlanRequest,
        dice: &mut Dice,
        plan: &mut Plan,
    ) -> Result<(), CallError> {
        let subjects = self.choose(fault, entry, request, dice, plan)?;
        let pods = subjects.into_iter().filter_map(|subject| match subject {
            Subject::Pod(facts) => Some(*facts),
            _ => None,
        });
        let mut nodes: BTreeMap<(ClusterRef, String), Vec<PodFacts>> = BTreeMap::new();
        for pod in pods {
            match check(fault, &entry.selection.target, &pod) {
                Ok(()) => {}
                Err(error) if entry.joining.is_some() => {
                    note(&mut plan.notes, not_joined(fault, &error));
                    continue;
                }
                Err(error) => return Err(error),
            }
            nodes.entry((pod.object.cluster.clone(), pod.node.clone())).or_default().push(pod);
        }
        plan.elsewhere.extend(nodes.into_iter().map(|((cluster, node), pods)| {
            let names = pods.iter().map(|pod| pod.object.to_string()).collect();
            Assignment { cluster, node, entry: placed(entry, &pods), pods: names }
        }));
        Ok(())
    }

    /// The same entry with the addresses of the pods that its parameters name.
    pub(super) fn with_peers_looked_up(
        &mut self,
        entry: &PlanEntry,
        dice: &mut Dice,
    ) -> Result<PlanEntry, CallError> {
        let mut entry = entry.clone();
        for name in PEERS {
            let Some(value) = entry.with.get_mut(name) else { continue };
            let hosts = match value.take() {
                Json::Array(hosts) => hosts,
                other => vec![other],
            };
            let mut found = Vec::new();
            for host in hosts {
                match host {
                    Json::Object(_) => found.extend(self.addresses_of(name, host, dice)?),
                    other => found.push(other),
                }
            }
            *value = if found.len() == 1 { found.remove(0) } else { Json::Array(found) };
        }
        Ok(entry)
    }

    fn addresses_of(&mut self, name: &str, peers: Json, dice: &mut Dice) -> Result<Vec<Json>, CallError> {
        let peers: PeerPods =
            serde_json::from_value(peers).map_err(|error| invalid(format!("`{name}`: {error}")))?;
        let selection = Selection::from(peers);
        (self.hook)(Point::BeforePlan);
        let found = self.machine.resolve(Scope::Pod, &selection.target)?;
        let chosen = selection.choose(found, &mut || dice.roll());
        let addresses = chosen.iter().flat_map(|subject| match subject {
            Subject::Pod(facts) => facts.addresses.clone(),
            _ => Vec::new(),
        });
        let addresses: Vec<Json> = addresses.map(|address| address.to_string().into()).collect();
        if addresses.is_empty() {
            return Err(invalid(format!(
                "`{name}` names {}, and nothing in the cluster that has an address matches; correct it",
                selection.target
            )));
        }
        Ok(addresses)
    }
}

/// Whether an agent on the pod's node could strike it.
fn check(fault: &dyn AnyFault, target: &Target, pod: &PodFacts) -> Result<(), CallError> {
    let (name, object) = (fault.name(), &pod.object);
    if fault.scope() == Scope::Network && pod.host_network {
        return Err(invalid(format!(
            "{name} on {object} would strike all of node {}, whose network it uses; choose a target that does not match it",
            pod.node
        )));
    }
    let Target::Pod(selector) = target else { return Ok(()) };
    let missing = |name: &&String| pod.containers.iter().all(|container| container.name != **name);
    if let Some(missing) = selector.containers.iter().find(missing) {
        let known: Vec<&str> = pod.containers.iter().map(|container| container.name.as_str()).collect();
        return Err(invalid(format!("{object} has no container {missing}; it has: {}", known.join(", "))));
    }
    match not_ready(pod) {
        Some(why) => Err(CallError {
            kind: CallErrorKind::NotReady,
            ..invalid(format!("{name} cannot strike {object} now: {why}"))
        }),
        None => Ok(()),
    }
}

/// Why an agent could not strike a pod now, though perhaps in a while.
fn not_ready(pod: &PodFacts) -> Option<&'static str> {
    if pod.node.is_empty() {
        return Some("it runs on no node yet");
    }
    pod.placed().containers.is_empty().then_some("no container of it that is meant runs")
}

/// Leaves out the pods that could not be struck now, where there are others.
pub(super) fn ready(found: Vec<Subject>, notes: &mut Vec<String>) -> Vec<Subject> {
    let why = |subject: &Subject| match subject {
        Subject::Pod(pod) => not_ready(pod).map(|why| (pod.object.to_string(), why)),
        _ => None,
    };
    if found.iter().all(|subject| why(subject).is_some()) {
        return found;
    }
    let mut remarks = Remarks::default();
    let is_ready = |subject: &Subject| {
        let Some((pod, why)) = why(subject) else { return true };
        remarks.add(&pod, format!("{pod} is left out: {why}"));
        false
    };
    let ready = found.into_iter().filter(is_ready).collect();
    remarks.tell(notes);
    ready
}

/// What the agent on the node is to plan: everything that was chosen.
fn placed(entry: &PlanEntry, pods: &[PodFacts]) -> PlanEntry {
    let selector = match &entry.selection.target {
        Target::Pod(selector) => (**selector).clone(),
        _ => PodSelector::default(),
    };
    let placed = pods.iter().map(PodFacts::placed).collect();
    let target = Target::Pod(Box::new(PodSelector { placed, ..selector }));
    let selection =
        Selection { target, mode: Mode::All, value: None, follow: false, ..entry.selection.clone() };
    // What joins is counted here already.
    let joining = entry.joining.as_ref().map(|_| Joining::default());
    PlanEntry { selection, joining, ..entry.clone() }
}
