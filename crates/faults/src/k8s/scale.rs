//! `k8s.scale`: another number of replicas.

use super::{change, object};
use schemars::JsonSchema;
use serde::Deserialize;
use squall_model::cluster::{Field, Shows};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Scale;

/// What `k8s.scale` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// How many replicas there shall be; 0 for none.
    replicas: u32,
}

impl Fault for Scale {
    const NAME: &'static str = "k8s.scale";
    const SUMMARY: &'static str =
        "Gives Deployments, StatefulSets or ReplicaSets of a Kubernetes cluster another number of replicas";
    const EXAMPLE: &'static str = "\
- fault: k8s.scale
  target: {workload: {namespace: shop, name: payment}}
  with: {replicas: 1}
  for: 60s
";
    const SCOPE: Scope = Scope::Workload;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let workload = object(facts, "workloads of a cluster")?;
        // The API server puts 1 where nobody said a number.
        let before = workload.content["spec"]["replicas"].as_u64().unwrap_or(1);
        if before == u64::from(parameters.replicas) {
            return Err(PlanError::Refused(format!(
                "{} has {before} replicas already, so nothing would change",
                workload.object
            )));
        }
        let field = Field::put(&["spec", "replicas"], parameters.replicas, Some(before.into()));
        Ok(vec![change(facts, &workload.object, vec![field], Shows::Replicas)])
    }

    fn notes(_: &Parameters, facts: &Facts) -> Vec<String> {
        let Ok(workload) = object(facts, "workloads") else { return Vec::new() };
        let owner = &workload.content["metadata"]["ownerReferences"][0];
        let owned = owner["name"].as_str().map(|name| {
            let kind = owner["kind"].as_str().unwrap_or("an object");
            format!("{} belongs to {kind} {name}, which will put its own number back", workload.object)
        });
        owned.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_deployment;
    use super::*;
    use crate::testing::{golden, refusal};

    #[test]
    fn replicas_change_and_are_known_from_before() {
        golden::<Scale>(
            "{replicas: 0}",
            &on_deployment(),
            &["change Deployment shop/payment: spec.replicas = 0"],
        );
        assert!(refusal::<Scale>("{replicas: 3}", &on_deployment()).contains("nothing would change"));
    }
}
