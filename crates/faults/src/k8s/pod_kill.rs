//! `k8s.pod_kill`: deletes pods.

use super::{Ending, note_without_controller, pod, step};
use squall_model::cluster::{ObjectChange, Shows};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct PodKill;

impl Fault for PodKill {
    const NAME: &'static str = "k8s.pod_kill";
    const SUMMARY: &'static str =
        "Deletes pods of a Kubernetes cluster; making them anew is their controller's part";
    const EXAMPLE: &'static str = "\
- fault: k8s.pod_kill
  target: {pod: {namespace: shop, labels: {app: payment}}}
  mode: fixed-percent
  value: 30%
  with: {grace: 0s}
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
        let change = ObjectChange::Delete { grace: parameters.grace };
        Ok(vec![step(facts, &pod(facts)?.object, change, Shows::Itself)])
    }

    fn notes(_: &Ending, facts: &Facts) -> Vec<String> {
        pod(facts).ok().and_then(note_without_controller).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_pod;
    use super::*;
    use crate::testing::{golden, notes, refusal};
    use squall_model::fault::is_for_good;

    #[test]
    fn a_pod_is_deleted_for_good() {
        golden::<PodKill>("{}", &on_pod(|_| ()), &["delete pod shop/payment-1"]);
        golden::<PodKill>("{grace: 0s}", &on_pod(|_| ()), &["delete pod shop/payment-1, at once"]);
        golden::<PodKill>("{grace: 5s}", &on_pod(|_| ()), &["delete pod shop/payment-1, within 5s"]);
        assert!(is_for_good(PodKill::NAME));
        assert!(refusal::<PodKill>("{grace: 500ms}", &on_pod(|_| ())).contains("whole number of seconds"));
    }

    #[test]
    fn that_nothing_makes_a_pod_anew_is_said() {
        assert!(notes::<PodKill>("{}", &on_pod(|_| ())).is_empty());
        let notes = notes::<PodKill>("{}", &on_pod(|pod| pod.controller = None));
        assert!(notes[0].contains("nothing makes it anew"), "{notes:?}");
    }
}
