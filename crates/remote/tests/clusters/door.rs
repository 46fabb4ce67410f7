//! A door to clusters, and what the tests share.

use serde_json::{Value as Json, json};
use squall_kubernetes::testing::Lab;
use squall_kubernetes::{Operation, Reference, wait};
use squall_model::cluster::ClusterPlace;
use squall_model::machine::Hold;
use squall_model::step::Step;
use squall_model::target::Target;
use squall_remote::RemoteMachine;

pub(crate) use crate::hands::Hands as Clusters;

impl Clusters {
    pub(crate) fn of(lab: &Lab) -> Self {
        Self(RemoteMachine::default().knowing_clusters([place(lab)]))
    }
}

/// Where the lab is, as experiments name it.
fn place(lab: &Lab) -> ClusterPlace {
    let kubeconfig = lab.place.kubeconfig.as_ref().map(|path| path.display().to_string());
    ClusterPlace { kubeconfig, context: lab.place.context.clone() }
}

/// The steps of a fault on the first thing that matches, held for so long that nobody else puts them back.
pub(crate) fn planned(
    machine: &mut Clusters,
    injection: &str,
    fault: &str,
    target: &Target,
    with: &Json,
) -> Result<Vec<Step>, String> {
    let mut steps = crate::hands::planned(machine, injection, fault, target, with)?;
    let hold = Hold { run: format!("run-{injection}"), until: "2200-01-01T00:00:00Z".parse().unwrap() };
    steps.iter_mut().for_each(|step| step.hold(&hold));
    Ok(steps)
}

/// A target in the lab.
pub(crate) fn target(lab: &Lab, kind: &str, mut selector: Json) -> Target {
    selector["kubeconfig"] = json!(place(lab).kubeconfig);
    serde_json::from_value(json!({kind: selector})).unwrap()
}

/// An object as the API server has it; null where there is none.
pub(crate) fn read(lab: &Lab, reference: &Reference) -> Json {
    wait(lab.cluster.get(reference)).unwrap().unwrap_or_default()
}

/// Changes an object as somebody else would.
pub(crate) fn change(lab: &Lab, reference: &Reference, path: &str, value: Json) {
    let operation = Operation::Add { path: path.to_owned(), value };
    wait(lab.cluster.patch(reference, &[operation])).unwrap();
}

/// Looks until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("waited for {what} in vain");
}
