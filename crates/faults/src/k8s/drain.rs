//! `k8s.drain`: a node takes no more pods, and those on it go elsewhere.

use super::{Ending, change, cordon, node, note_without_controller, step};
use squall_model::cluster::{ObjectChange, Shows};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Drain;

impl Fault for Drain {
    const NAME: &'static str = "k8s.drain";
    const SUMMARY: &'static str = "Drains nodes of a Kubernetes cluster: they take no more pods, and those on them are evicted, as far as their \
         PodDisruptionBudgets allow it";
    const EXAMPLE: &'static str = "\
- fault: k8s.drain
  target: {node: {labels: {pool: spot}}}
  mode: one
  for: 5m
";
    const SCOPE: Scope = Scope::Node;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Ending;

    fn check(parameters: &Ending) -> Result<(), PlanError> {
        parameters.check()
    }

    fn plan(parameters: &Ending, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let node = node(facts)?;
        let close = cordon::field(node).map(|field| change(facts, &node.object, vec![field], Shows::Itself));
        let evictions = node.pods.iter().filter(|pod| pod.protected.is_none()).map(|pod| {
            step(facts, &pod.object, ObjectChange::Evict { grace: parameters.grace }, Shows::Itself)
        });
        Ok(close.into_iter().chain(evictions).collect())
    }

    fn notes(_: &Ending, facts: &Facts) -> Vec<String> {
        let Ok(node) = node(facts) else { return Vec::new() };
        let mut notes = Vec::new();
        if node.others == 0 {
            notes.push(format!(
                "no other node takes pods: those of {} wait until it is open again",
                node.object
            ));
        }
        notes.push(
            "pods that were evicted do not come back to the node by themselves once it is open again"
                .to_owned(),
        );
        notes.extend(
            node.pods.iter().filter(|pod| pod.protected.is_none()).filter_map(note_without_controller),
        );
        let spared = node
            .pods
            .iter()
            .filter_map(|pod| Some(format!("{} stays: {}", pod.object, pod.protected.as_ref()?)));
        notes.extend(spared);
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_node;
    use super::*;
    use crate::testing::{golden, notes};

    #[test]
    fn a_node_is_closed_before_its_pods_are_evicted() {
        let close = "change node worker-1: spec.unschedulable = true";
        golden::<Drain>("{}", &on_node(|_| ()), &[close, "evict pod shop/payment-1"]);
        let closed = on_node(|node| node.unschedulable = Some(true));
        golden::<Drain>("{}", &closed, &["evict pod shop/payment-1"]);
        let alone = on_node(|node| node.others = 0);
        assert!(notes::<Drain>("{}", &alone)[0].contains("no other node"));
    }
}
