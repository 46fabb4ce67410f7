//! `k8s.evict`: asks pods to go elsewhere, as a node that is drained does.

use super::{Ending, note_without_controller, pod, step};
use squall_model::cluster::{ObjectChange, Shows};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Evict;

impl Fault for Evict {
    const NAME: &'static str = "k8s.evict";
    const SUMMARY: &'static str =
        "Evicts pods of a Kubernetes cluster, as far as their PodDisruptionBudgets allow it";
    const EXAMPLE: &'static str = "\
- fault: k8s.evict
  target: {pod: {namespace: shop, labels: {app: payment}}}
  mode: one
  for: 60s
";
    const SCOPE: Scope = Scope::Pod;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Ending;

    fn check(parameters: &Ending) -> Result<(), PlanError> {
        parameters.check()
    }

    fn plan(parameters: &Ending, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let change = ObjectChange::Evict { grace: parameters.grace };
        Ok(vec![step(facts, &pod(facts)?.object, change, Shows::Itself)])
    }

    fn notes(_: &Ending, facts: &Facts) -> Vec<String> {
        let patience = "what a PodDisruptionBudget does not allow yet is asked for again every few seconds while the fault lasts";
        let lasting = pod(facts).ok().and_then(note_without_controller);
        lasting.into_iter().chain([patience.to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_pod;
    use super::*;
    use crate::testing::golden;

    #[test]
    fn a_pod_is_evicted() {
        golden::<Evict>("{grace: 5s}", &on_pod(|_| ()), &["evict pod shop/payment-1, within 5s"]);
    }
}
