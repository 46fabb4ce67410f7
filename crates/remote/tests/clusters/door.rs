//! A door to clusters, and what the tests share.

use serde_json::{Value as Json, json};
use squall_kubernetes::testing::Lab;
use squall_kubernetes::{Operation, Reference, wait};
use squall_model::cluster::ClusterPlace;
use squall_model::target::Target;
use squall_remote::RemoteMachine;

pub(crate) use crate::hands::{Hands as Clusters, planned};

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
