//! The kinds that Squall does not carry out, each with the reason and what to do instead.

use super::super::ReadError;
use crate::node::Place;

/// Why a kind is not carried out.
pub(super) struct Refusal {
    kind: &'static str,
    embedded: &'static str,
    why: &'static str,
    instead: &'static str,
}

const REFUSED: [Refusal; 12] = [
    Refusal {
        kind: "JVMChaos",
        embedded: "jvmChaos",
        why: "Squall puts no agent into a Java virtual machine",
        instead: "what a slow or failing method does to its callers shows with NetworkChaos or HTTPChaos on the same pods; busy \
                  processors and full memory with StressChaos",
    },
    Refusal {
        kind: "KernelChaos",
        embedded: "kernelChaos",
        why: "it lets functions of the node's kernel fail, for which Squall has no fault that is sure to be put back",
        instead: "failing files are IOChaos with `action: fault`, a lack of memory is StressChaos with `memory`",
    },
    Refusal {
        kind: "BlockChaos",
        embedded: "blockChaos",
        why: "it needs a kernel module of Chaos Mesh that holds back a node's block device",
        instead: "slow files are IOChaos with `action: latency`",
    },
    Refusal {
        kind: "GCPChaos",
        embedded: "gcpChaos",
        why: "of clouds, Squall knows AWS",
        instead: "what the loss of a node does shows with `k8s.drain` or `k8s.pod_kill` on that node's pods",
    },
    Refusal {
        kind: "AzureChaos",
        embedded: "azureChaos",
        why: "of clouds, Squall knows AWS",
        instead: "what the loss of a node does shows with `k8s.drain` or `k8s.pod_kill` on that node's pods",
    },
    Refusal {
        kind: "PhysicalMachineChaos",
        embedded: "physicalmachineChaos",
        why: "it speaks to chaosd, a service with an open port on that machine, which Squall has none of",
        instead: "run Squall on that machine with an experiment of its own: `network-delay` is `network.latency`, `stress-cpu` is \
                  `cpu.load`, `stress-mem` is `memory.spike`, `disk-fill` is `disk.fill`, `process` is `process.kill`",
    },
    Refusal {
        kind: "PhysicalMachine",
        embedded: "",
        why: "it is the address of a machine and no experiment",
        instead: "run Squall on that machine",
    },
    Refusal {
        kind: "RemoteCluster",
        embedded: "",
        why: "it is the address of a cluster and no experiment",
        instead: "name that cluster by its kubeconfig: `KUBECONFIG=… squall run …`",
    },
    Refusal {
        kind: "PodNetworkChaos",
        embedded: "",
        why: "Chaos Mesh makes it from a NetworkChaos, for itself",
        instead: "use the NetworkChaos that it was made from",
    },
    Refusal {
        kind: "PodIOChaos",
        embedded: "",
        why: "Chaos Mesh makes it from an IOChaos, for itself",
        instead: "use the IOChaos that it was made from",
    },
    Refusal {
        kind: "PodHttpChaos",
        embedded: "",
        why: "Chaos Mesh makes it from an HTTPChaos, for itself",
        instead: "use the HTTPChaos that it was made from",
    },
    Refusal {
        kind: "WorkflowNode",
        embedded: "",
        why: "Chaos Mesh makes it from a Workflow, for itself",
        instead: "use the Workflow that it was made from",
    },
];

/// Why manifests of this kind are not carried out; nothing of those that are.
pub(super) fn refusal(kind: &str) -> Option<&'static Refusal> {
    REFUSED.iter().find(|refusal| refusal.kind == kind)
}

/// The names of the kinds that may stand within a schedule or workflow, with what their specifications are called there.
pub(super) fn embedded() -> impl Iterator<Item = (&'static str, &'static str)> {
    REFUSED
        .iter()
        .filter(|refusal| !refusal.embedded.is_empty())
        .map(|refusal| (refusal.kind, refusal.embedded))
}

impl Refusal {
    /// The mistake of naming it.
    pub(super) fn error(&self, name: &str, place: Place) -> ReadError {
        ReadError::at(place, format!("{name} cannot be carried out: {}", self.why))
            .label("cannot be honoured")
            .help(self.instead)
    }
}
