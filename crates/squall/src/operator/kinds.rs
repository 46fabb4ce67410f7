//! The kinds that the operator looks after.

use super::resources::{EXPERIMENT, HALT, RUN, SCHEDULE};
use squall_kubernetes::Kind;

/// The group of Chaos Mesh.
pub(crate) const MESH_GROUP: &str = "chaos-mesh.org";
/// The version of it.
pub(crate) const MESH_VERSION: &str = "v1alpha1";

const fn mesh(kind: &'static str, plural: &'static str) -> Kind {
    Kind::within(MESH_GROUP, MESH_VERSION, kind, plural)
}

/// The kinds of Chaos Mesh, also those that are refused by name.
pub(crate) const MESH: [Kind; 17] = [
    mesh("PodChaos", "podchaos"),
    mesh("NetworkChaos", "networkchaos"),
    mesh("StressChaos", "stresschaos"),
    mesh("IOChaos", "iochaos"),
    mesh("TimeChaos", "timechaos"),
    mesh("DNSChaos", "dnschaos"),
    mesh("HTTPChaos", "httpchaos"),
    mesh("AWSChaos", "awschaos"),
    mesh("GCPChaos", "gcpchaos"),
    mesh("AzureChaos", "azurechaos"),
    mesh("JVMChaos", "jvmchaos"),
    mesh("KernelChaos", "kernelchaos"),
    mesh("BlockChaos", "blockchaos"),
    mesh("PhysicalMachineChaos", "physicalmachinechaos"),
    mesh("Schedule", "schedules"),
    mesh("Workflow", "workflows"),
    mesh("StatusCheck", "statuschecks"),
];

/// Squall's own.
pub(crate) const OWN: [Kind; 4] = [EXPERIMENT, SCHEDULE, RUN, HALT];

/// All that are looked after.
pub(crate) fn all(chaos_mesh: bool) -> Vec<Kind> {
    let mesh = if chaos_mesh { MESH.to_vec() } else { Vec::new() };
    OWN.into_iter().chain(mesh).collect()
}
