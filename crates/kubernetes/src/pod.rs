//! Pods, as far as it matters here whom to harm and where.
//!
//! Source: <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>

use crate::cluster::{Ask, Cluster};
use crate::error::{ClusterError, Problem};
use crate::kind::{Kind, Reference};
use crate::list::Which;
use crate::wire;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// Which pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFilter {
    /// The namespaces that they are in; none means all.
    pub namespaces: Vec<String>,
    /// What their labels must be, as the API writes it: `app=shop,tier in (web, api)`.
    pub labels: String,
    /// What their fields must be, as the API writes it: `spec.nodeName=node-1,status.phase=Running`.
    pub fields: String,
    /// Whether they may be as the API server remembers them: a moment ago, or longer ago where that server has lost the others.
    /// Servers before 1.31 are several times faster this way. Whoever does something to such a pod names its uid.
    pub remembered: bool,
}

/// How far a pod is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub enum Phase {
    /// Not all of its containers have been started.
    Pending,
    /// It is on a node, and a container runs or is being started.
    Running,
    /// All of its containers have ended well, for good.
    Succeeded,
    /// All of its containers have ended, one of them badly.
    Failed,
    /// Its node tells nothing of it.
    #[default]
    Unknown,
}

impl Phase {
    const ALL: [(&str, Self); 5] = [
        ("Pending", Self::Pending),
        ("Running", Self::Running),
        ("Succeeded", Self::Succeeded),
        ("Failed", Self::Failed),
        ("Unknown", Self::Unknown),
    ];

    /// The phase of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, phase)| *phase)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// What an object belongs to, and is replaced by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Deserialize)]
pub struct Owner {
    /// Its kind: `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name in the pod.
    pub name: String,
    /// The image that it was asked for with.
    pub image: String,
    /// Its id on the node, once it has one, without the name of what runs it: that is what control groups are named by.
    pub id: Option<String>,
    /// What runs it: `containerd`, `cri-o`, `docker`.
    pub runtime: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is ready to serve.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// Since when it runs (RFC 3339).
    pub started_at: Option<String>,
    /// Whether it is one of those that are started first and stay beside the others.
    pub sidecar: bool,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The namespace that it is in.
    pub namespace: String,
    /// Its name, which another one may have later.
    pub name: String,
    /// Its uid, which no other ever has.
    pub uid: String,
    /// The state of it that was read.
    pub resource_version: String,
    /// Since when it is (RFC 3339).
    pub created_at: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The node that it is on, once it is on one.
    pub node: Option<String>,
    /// Whether it has its node's network, and no own one.
    pub host_network: bool,
    /// How far it is.
    pub phase: Phase,
    /// Whether it is ready to serve.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleted: bool,
    /// What replaces it when it is gone.
    pub owner: Option<Owner>,
    /// Its addresses: of both families, where the cluster has both.
    pub addresses: Vec<IpAddr>,
    /// Its containers, and those that stay beside them.
    pub containers: Vec<Container>,
    /// Whether it is only the picture of one that its node runs by itself: deleting the picture does nothing to it.
    pub is_mirror: bool,
    /// Whether files that are gone with it are in volumes of its own.
    pub has_local_files: bool,
    /// Its service account.
    pub service_account: String,
    /// Whether containers that end are started again: `Always`, `OnFailure`, `Never`.
    pub restart_policy: String,
    /// How long its containers may take to end when they are told to, in seconds.
    pub grace: u64,
}

impl Pod {
    /// What names it in the API.
    pub fn reference(&self) -> Reference {
        Kind::POD.named(Some(&self.namespace), &self.name)
    }

    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }
}

impl fmt::Display for Pod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl Cluster {
    /// The pods that fit.
    ///
    /// # Errors
    /// `Invalid` where a selector is none; otherwise see [`ClusterError`].
    pub async fn pods(&self, filter: &PodFilter) -> Result<Vec<Pod>, ClusterError> {
        let mut namespaces: Vec<Option<&str>> = filter.namespaces.iter().map(|name| Some(&**name)).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        if namespaces.is_empty() {
            namespaces.push(None);
        }
        let mut found = Vec::new();
        for namespace in namespaces {
            let PodFilter { labels, fields, remembered, .. } = filter;
            let which = Which { namespace, labels, fields, remembered: *remembered };
            let pods: Vec<wire::Pod> = self.all(&Kind::POD, which).await?;
            found.extend(pods.into_iter().map(Pod::from));
        }
        Ok(found)
    }

    /// What the only container of a pod printed, on either output; the first so many bytes.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn log(&self, pod: &Reference, limit: u32) -> Result<String, ClusterError> {
        let path = format!("{}/log?limitBytes={limit}", pod.path());
        let answer = self.ask(Ask::get(format!("read what {pod} printed"), path)).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// One pod, if there is one of this name.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Pod>, ClusterError> {
        let reference = Kind::POD.named(Some(namespace), name);
        let asked = self.read::<wire::Pod>(Ask::get(format!("read {reference}"), reference.path())).await;
        match asked {
            Ok(pod) => Ok(Some(pod.into())),
            Err(error) if error.problem == Problem::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last lines that a container wrote.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        lines: u32,
    ) -> Result<String, ClusterError> {
        let reference = Kind::POD.named(Some(namespace), pod);
        let container = container.map(|name| format!("&container={}", squall_http::encoded(name)));
        let path = format!(
            "{}/log?tailLines={lines}&limitBytes={LONGEST_LOG}{}",
            reference.path(),
            container.unwrap_or_default()
        );
        let ask = Ask { accept: "*/*", ..Ask::get(format!("read the log of {reference}"), path) };
        let answer = self.ask(ask).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// So many bytes of a log are read.
const LONGEST_LOG: u32 = 1 << 20;
