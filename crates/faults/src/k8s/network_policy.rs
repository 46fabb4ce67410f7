//! `k8s.network_policy`: pods are cut off by a NetworkPolicy of their own.
//!
//! Each pod gets a label that only our policy selects; the policy is made first, so that the label is the switch.

use super::{change, pod, step};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use squall_model::cluster::{Field, ISOLATION_LABEL as LABEL, ObjectChange, ObjectKind, ObjectRef, Shows};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Direction;
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct NetworkPolicy;

/// What `k8s.network_policy` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Which way is denied: in, out, or both.
    #[serde(default = "both")]
    direction: Direction,
}

fn both() -> Direction {
    Direction::Both
}

impl Fault for NetworkPolicy {
    const NAME: &'static str = "k8s.network_policy";
    const SUMMARY: &'static str = "Cuts pods of a Kubernetes cluster off by a NetworkPolicy that allows nothing, where the cluster enforces them";
    const EXAMPLE: &'static str = "\
- fault: k8s.network_policy
  target: {pod: {namespace: shop, labels: {app: payment}}}
  mode: one
  with: {direction: in}
  for: 60s
";
    const SCOPE: Scope = Scope::Pod;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let pod = pod(facts)?;
        let types: &[&str] = match parameters.direction {
            Direction::In => &["Ingress"],
            Direction::Out => &["Egress"],
            Direction::Both => &["Ingress", "Egress"],
        };
        let policy = ObjectRef {
            kind: ObjectKind::network_policy(),
            name: format!("squall-{}", facts.injection),
            uid: String::new(),
            ..pod.object.clone()
        };
        let selector = json!({"matchLabels": {LABEL: facts.injection}});
        let body = json!({"spec": {"podSelector": selector, "policyTypes": types}});
        let label = Field::put(&["metadata", "labels", LABEL], facts.injection.clone(), None);
        Ok(vec![
            step(facts, &policy, ObjectChange::Create { body }, Shows::Itself),
            change(facts, &pod.object, vec![label], Shows::Itself),
        ])
    }

    fn notes(_: &Parameters, _: &Facts) -> Vec<String> {
        vec![
            "a NetworkPolicy has an effect only where the cluster's network plug-in enforces it, and there perhaps not on \
             connections that are open already; network.partition works without it"
                .to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_pod;
    use super::*;
    use crate::testing::{golden, plan};

    #[test]
    fn the_policy_is_there_before_the_pod_is_labelled() {
        let steps = [
            "make NetworkPolicy shop/squall-run-1",
            "change pod shop/payment-1: metadata.labels.squall.dev/isolated = \"run-1\"",
        ];
        golden::<NetworkPolicy>("{}", &on_pod(|_| ()), &steps);
        let planned = plan::<NetworkPolicy>("{direction: in}", &on_pod(|_| ())).unwrap();
        let Step::Object(step) = &planned[0] else { panic!("{planned:?}") };
        let ObjectChange::Create { body } = &step.change else { panic!("{step:?}") };
        assert_eq!(body["spec"]["policyTypes"], json!(["Ingress"]));
        assert_eq!(body["spec"]["podSelector"]["matchLabels"][LABEL], "run-1");
    }
}
