//! Nodes, as far as it matters here whom to harm and how.
//!
//! Source: <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/>

use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::kind::Kind;
use crate::list::Which;
use crate::wire;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What keeps pods off a node, but for those that tolerate it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, which may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule`, or `NoExecute`.
    pub effect: String,
}

impl fmt::Display for Taint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equals = if self.value.is_empty() { "" } else { "=" };
        write!(formatter, "{}{equals}{}:{}", self.key, self.value, self.effect)
    }
}

/// An address of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Address {
    /// `InternalIP`, `ExternalIP`, `Hostname`…
    #[serde(rename = "type")]
    pub kind: String,
    /// The address, or the name.
    pub address: String,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, which another one may have later.
    pub name: String,
    /// Its uid, which no other ever has.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether no new pods are put on it.
    pub unschedulable: bool,
    /// What keeps pods off it.
    pub taints: Vec<Taint>,
    /// Whether it is ready to run pods.
    pub ready: bool,
    /// Its roles, by its labels: `control-plane`.
    pub roles: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// Its processors: `amd64`, `arm64`.
    pub architecture: String,
    /// Its system: `linux`, `windows`.
    pub system: String,
    /// Its kernel: `6.1.0-18-amd64`.
    pub kernel: String,
    /// What runs its containers: `containerd://1.6.20`.
    pub runtime: String,
    /// Its kubelet: `v1.33.1`.
    pub kubelet: String,
}

impl Cluster {
    /// The nodes whose labels fit, of which no selector means all.
    ///
    /// # Errors
    /// `Invalid` where the selector is none; otherwise see [`ClusterError`].
    pub async fn nodes(&self, labels: &str) -> Result<Vec<Node>, ClusterError> {
        let nodes: Vec<wire::Node> = self.all(&Kind::NODE, Which { labels, ..Which::default() }).await?;
        Ok(nodes.into_iter().map(Node::from).collect())
    }
}
