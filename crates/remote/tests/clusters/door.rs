//! A door to clusters without a kernel beside it, and what the tests share.

use serde_json::{Value as Json, json};
use squall_faults::ALL;
use squall_kubernetes::testing::{Lab, Room};
use squall_kubernetes::{ClusterError, Kind, Operation, Reference, wait};
use squall_model::cluster::ClusterPlace;
use squall_model::facts::{Facts, HostFacts, Scope, Subject};
use squall_model::machine::{Leftover, Machine, MachineError};
use squall_model::step::{ProcessRef, Step};
use squall_model::target::Target;
use squall_model::undo::{Evidence, Reverted, Undo};
use squall_model::undo_log::Logged;
use squall_model::units::{Duration, Size};
use squall_remote::RemoteMachine;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The door to one cluster.
pub(crate) struct Clusters(RemoteMachine);

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

impl Machine for Clusters {
    fn host(&mut self) -> Result<HostFacts, MachineError> {
        Ok(HostFacts {
            boot_id: "boot".into(),
            kernel: "6.1".into(),
            cpus: 1,
            memory_total: Size(1 << 30),
            memory_available: Size(1 << 30),
            privileges: BTreeSet::new(),
            features: BTreeSet::new(),
            unknown: BTreeSet::new(),
        })
    }
    fn resolve(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError> {
        self.0.resolve(scope, target)
    }
    fn addresses(&mut self, _: &[String]) -> Result<BTreeMap<String, Vec<IpAddr>>, MachineError> {
        Ok(BTreeMap::new())
    }
    fn is_alive(&mut self, _: &ProcessRef) -> bool {
        true
    }
    fn capture(&mut self, step: &Step, _: &str) -> Result<Undo, MachineError> {
        self.0.capture(step)
    }
    fn apply(&mut self, logged: Logged<'_>) -> Result<(), MachineError> {
        self.0.apply(logged)
    }
    fn observe(&mut self, applied: &[(&Step, &Undo)]) -> Vec<Result<Evidence, MachineError>> {
        self.0.observe(applied)
    }
    fn revert(&mut self, undo: &Undo) -> Result<Reverted, MachineError> {
        match undo {
            // As a kernel answers, which is asked for what is nobody's.
            Undo::Nothing { why } => Ok(Reverted::AlreadyGone { looked_at: why.clone() }),
            undo => self.0.revert(undo),
        }
    }
    fn leftovers(&mut self) -> Result<Vec<Leftover>, MachineError> {
        self.0.leftovers()
    }
    fn remove(&mut self, leftover: &Leftover) -> Result<Reverted, MachineError> {
        Ok(self.0.remove(leftover)?.expect("a leftover of ours"))
    }
}

/// A target in the lab.
pub(crate) fn target(lab: &Lab, kind: &str, mut selector: Json) -> Target {
    selector["kubeconfig"] = json!(place(lab).kubeconfig);
    serde_json::from_value(json!({kind: selector})).unwrap()
}

/// What the steps of a fault on the first thing that matches are.
pub(crate) fn planned(
    machine: &mut Clusters,
    injection: &str,
    fault: &str,
    target: &Target,
    with: &Json,
) -> Result<Vec<Step>, String> {
    let fault = ALL.iter().find(|known| known.name() == fault).unwrap();
    let subjects = machine.resolve(fault.scope(), target).map_err(|error| error.to_string())?;
    let subject = subjects.into_iter().next().ok_or("nothing matches")?;
    let facts = Facts {
        injection: injection.into(),
        host: machine.host().unwrap(),
        lease: Duration::seconds(5),
        subject,
        target: target.clone(),
        addresses: BTreeMap::new(),
    };
    fault.plan(with, &facts).map_err(|error| error.to_string())
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

/// Makes the kind that Istio's virtual services are of, where it is not there yet.
pub(crate) async fn with_istio(lab: &Lab, room: &Room) -> Result<(), ClusterError> {
    let kind = &Kind::CUSTOM_RESOURCE_DEFINITION;
    let name = "virtualservices.networking.istio.io";
    if lab.cluster.get(&kind.named(None, name)).await?.is_none() {
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": anything}}});
        let version = json!({"name": "v1beta1", "served": true, "storage": true, "schema": schema});
        let names =
            json!({"plural": "virtualservices", "singular": "virtualservice", "kind": "VirtualService"});
        let spec = json!({
            "group": "networking.istio.io", "scope": "Namespaced", "names": names, "versions": [version]
        });
        let made = lab.cluster.create(kind, None, &json!({"metadata": {"name": name}, "spec": spec})).await;
        // Another test may have been as quick.
        made.map(drop).or_else(|error| {
            if error.problem == squall_kubernetes::Problem::Conflict { Ok(()) } else { Err(error) }
        })?;
    }
    let is_served = async || Ok(lab.cluster.list(&Kind::VIRTUAL_SERVICE, Some(&room.name), "").await.is_ok());
    room.until("the kind VirtualService", is_served).await
}
