//! The pod of an agent that is made for a run: it belongs to the run, and ends with it.

use super::owner::Owner;
use crate::agent::transport::fleet::Needs;
use crate::agent_pod::{self, COMPONENT_LABEL, MADE, NAME_LABEL};
use serde_json::{Value as Json, json};
use squall_model::cluster::MARK_LABEL;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much longer than all faults of a run its pods may live: the cluster itself ends them then. No undo waits for it.
const LIVES_FOR: Duration = Duration::from_hours(4);

/// What is made for a run carries these labels, whatever `part` of Squall it is.
pub(super) fn labels(run: &str, part: &str) -> BTreeMap<String, String> {
    let labels = [(NAME_LABEL.0, NAME_LABEL.1), (COMPONENT_LABEL, part), (MARK_LABEL, run)];
    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// The selector of all that is made for a run.
pub(super) fn selector(run: &str) -> String {
    format!("{}={},{MARK_LABEL}={run}", NAME_LABEL.0, NAME_LABEL.1)
}

pub(super) fn pod(name: &str, run: &str, on: &str, image: &str, owner: &Owner, needs: &Needs) -> Json {
    let deadline = LIVES_FOR + needs.lasts.0.saturating_mul(2);
    let mut spec = agent_pod::spec(image.into(), &[agent_pod::ROLE, run], needs.privileges.iter().copied());
    spec["nodeName"] = on.into();
    spec["restartPolicy"] = "Never".into();
    spec["activeDeadlineSeconds"] = deadline.as_secs().into();
    json!({
        "metadata": {
            "name": name,
            "labels": labels(run, MADE),
            "annotations": agent_pod::annotations(),
            "ownerReferences": [owner.reference()],
        },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::facts::Privilege;
    use squall_model::units;

    #[test]
    fn a_pod_asks_for_what_its_faults_need_and_is_not_privileged() {
        let needs = Needs {
            privileges: [Privilege::DacOverride, Privilege::NetAdmin].into(),
            lasts: units::Duration::seconds(60),
        };
        let owner = Owner::of_test("run-1", "uid-1");
        let pod = pod("squall-run-1-1", "run-1", "node-1", "squall:1", &owner, &needs);
        let context = &pod["spec"]["containers"][0]["securityContext"];
        let added = context["capabilities"]["add"].as_array().unwrap();
        assert!(added.contains(&json!("DAC_OVERRIDE")) && added.contains(&json!("SYS_ADMIN")), "{added:?}");
        assert_eq!(added.iter().filter(|name| **name == json!("NET_ADMIN")).count(), 1);
        assert_eq!(context["privileged"], Json::Null);
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
        assert_eq!(pod["spec"]["activeDeadlineSeconds"], 4 * 3600 + 120);
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "uid-1");
    }
}
