//! `k8s.cordon`: a node takes no more pods.

use super::{Nothing, change, node};
use squall_model::cluster::{Field, NodeFacts, Shows};
use squall_model::facts::{Facts, Feature, Privilege, Scope};
use squall_model::fault::{Fault, PlanError};
use squall_model::step::Step;

/// See [`Fault::SUMMARY`].
pub(crate) struct Cordon;

/// The field that keeps new pods away; none where they are kept away already.
pub(super) fn field(node: &NodeFacts) -> Option<Field> {
    let is_closed = node.unschedulable == Some(true);
    (!is_closed).then(|| Field::put(&["spec", "unschedulable"], true, node.unschedulable.map(Into::into)))
}

impl Fault for Cordon {
    const NAME: &'static str = "k8s.cordon";
    const SUMMARY: &'static str = "Lets nodes of a Kubernetes cluster take no more pods";
    const EXAMPLE: &'static str = "\
- fault: k8s.cordon
  target: {node: {name: worker-1}}
  for: 5m
";
    const SCOPE: Scope = Scope::Node;
    const PRIVILEGES: &'static [Privilege] = &[];
    const FEATURES: &'static [Feature] = &[];
    type Parameters = Nothing;

    fn plan(_: &Nothing, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let node = node(facts)?;
        let field = field(node).ok_or_else(|| {
            PlanError::Refused(format!("{} takes no more pods already, so nothing would change", node.object))
        })?;
        Ok(vec![change(facts, &node.object, vec![field], Shows::Itself)])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_node;
    use super::*;
    use crate::testing::{golden, refusal};

    #[test]
    fn a_node_takes_no_more_pods() {
        golden::<Cordon>("{}", &on_node(|_| ()), &["change node worker-1: spec.unschedulable = true"]);
        let closed = on_node(|node| node.unschedulable = Some(true));
        assert!(refusal::<Cordon>("{}", &closed).contains("already"));
    }
}
