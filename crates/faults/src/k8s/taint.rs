//! `k8s.taint`: a node gets a taint, which keeps pods away or drives them off.

use super::{change, node};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use squall_model::cluster::{Field, Shows};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Taint;

/// What `k8s.taint` takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The taint's key, such as `squall.dev/chaos`.
    key: String,
    /// Its value; none where not given.
    #[serde(default)]
    value: Option<String>,
    /// What it does to pods that do not tolerate it: NoSchedule keeps new ones away, PreferNoSchedule where it can,
    /// NoExecute also ends those that are there.
    effect: Effect,
}

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

impl Effect {
    fn name(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

impl Fault for Taint {
    const NAME: &'static str = "k8s.taint";
    const SUMMARY: &'static str = "Gives nodes of a Kubernetes cluster a taint";
    const EXAMPLE: &'static str = "\
- fault: k8s.taint
  target: {node: {name: worker-1}}
  with: {key: squall.dev/chaos, effect: NoSchedule}
  for: 5m
";
    const SCOPE: Scope = Scope::Node;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Parameters;

    fn check(parameters: &Parameters) -> Result<(), PlanError> {
        if parameters.key.trim().is_empty() {
            return Err(PlanError::Parameters("`key` is empty; such as squall.dev/chaos".to_owned()));
        }
        Ok(())
    }

    fn plan(parameters: &Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let node = node(facts)?;
        let Parameters { key, value, effect } = parameters;
        let same = |taint: &&serde_json::Value| taint["key"] == *key && taint["effect"] == effect.name();
        if let Some(taint) = node.taints.iter().find(same) {
            return Err(PlanError::Refused(format!(
                "{} has a taint of this key and effect already: {taint}; take another key",
                node.object
            )));
        }
        let mut taint = json!({"key": key, "effect": effect.name()});
        if let Some(value) = value {
            taint["value"] = value.clone().into();
        }
        let field = Field::append(&["spec", "taints"], taint);
        Ok(vec![change(facts, &node.object, vec![field], Shows::Itself)])
    }

    fn notes(parameters: &Parameters, _: &Facts) -> Vec<String> {
        let drives_off = parameters.effect == Effect::NoExecute;
        let words = "NoExecute ends pods on the node without asking their PodDisruptionBudgets, and they do not come back \
                     to it by themselves; k8s.drain asks";
        drives_off.then(|| words.to_owned()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_node;
    use super::*;
    use crate::testing::{golden, refusal};

    #[test]
    fn a_taint_is_added_to_those_that_are_there() {
        let with = "{key: squall.dev/chaos, value: x, effect: NoSchedule}";
        let added = r#"change node worker-1: spec.taints with {"effect":"NoSchedule","key":"squall.dev/chaos","value":"x"} added"#;
        golden::<Taint>(with, &on_node(|_| ()), &[added]);
        let there =
            on_node(|node| node.taints = vec![json!({"key": "squall.dev/chaos", "effect": "NoSchedule"})]);
        assert!(refusal::<Taint>(with, &there).contains("already"));
    }
}
