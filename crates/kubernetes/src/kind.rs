//! Kinds of objects, and how one of them is named.

use crate::cluster::{Ask, Cluster};
use crate::error::{ClusterError, Problem};
use serde::Deserialize;
use squall_http::encoded;
use std::borrow::Cow;
use std::fmt;

/// A kind of objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// The group of the API: `apps`; empty for the oldest one.
    pub group: Cow<'static, str>,
    /// The version of the group: `v1`.
    pub version: Cow<'static, str>,
    /// The kind itself: `Deployment`.
    pub kind: Cow<'static, str>,
    /// Many of them, as in addresses: `deployments`.
    pub plural: Cow<'static, str>,
    /// Whether each is in a namespace.
    pub namespaced: bool,
}

impl Kind {
    /// `v1 Pod`
    pub const POD: Self = Self::within("", "v1", "Pod", "pods");
    /// `v1 Node`
    pub const NODE: Self = Self::everywhere("", "v1", "Node", "nodes");
    /// `v1 Namespace`
    pub const NAMESPACE: Self = Self::everywhere("", "v1", "Namespace", "namespaces");
    /// `v1 Service`
    pub const SERVICE: Self = Self::within("", "v1", "Service", "services");
    /// `v1 ConfigMap`
    pub const CONFIG_MAP: Self = Self::within("", "v1", "ConfigMap", "configmaps");
    /// `v1 Secret`
    pub const SECRET: Self = Self::within("", "v1", "Secret", "secrets");
    /// `v1 ServiceAccount`
    pub const SERVICE_ACCOUNT: Self = Self::within("", "v1", "ServiceAccount", "serviceaccounts");
    /// `apps/v1 Deployment`
    pub const DEPLOYMENT: Self = Self::within("apps", "v1", "Deployment", "deployments");
    /// `apps/v1 StatefulSet`
    pub const STATEFUL_SET: Self = Self::within("apps", "v1", "StatefulSet", "statefulsets");
    /// `apps/v1 DaemonSet`
    pub const DAEMON_SET: Self = Self::within("apps", "v1", "DaemonSet", "daemonsets");
    /// `apps/v1 ReplicaSet`
    pub const REPLICA_SET: Self = Self::within("apps", "v1", "ReplicaSet", "replicasets");
    /// `batch/v1 Job`
    pub const JOB: Self = Self::within("batch", "v1", "Job", "jobs");
    /// `networking.k8s.io/v1 NetworkPolicy`
    pub const NETWORK_POLICY: Self =
        Self::within("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies");
    /// `policy/v1 PodDisruptionBudget`; clusters before 1.21 are asked for `policy/v1beta1`.
    pub const POD_DISRUPTION_BUDGET: Self =
        Self::within("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets");
    /// `coordination.k8s.io/v1 Lease`
    pub const LEASE: Self = Self::within("coordination.k8s.io", "v1", "Lease", "leases");
    /// `rbac.authorization.k8s.io/v1 Role`
    pub const ROLE: Self = Self::within("rbac.authorization.k8s.io", "v1", "Role", "roles");
    /// `rbac.authorization.k8s.io/v1 RoleBinding`
    pub const ROLE_BINDING: Self =
        Self::within("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings");
    /// `rbac.authorization.k8s.io/v1 ClusterRole`
    pub const CLUSTER_ROLE: Self =
        Self::everywhere("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles");
    /// `rbac.authorization.k8s.io/v1 ClusterRoleBinding`
    pub const CLUSTER_ROLE_BINDING: Self =
        Self::everywhere("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings");
    /// `apiextensions.k8s.io/v1 CustomResourceDefinition`
    pub const CUSTOM_RESOURCE_DEFINITION: Self = Self::everywhere(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
    );
    /// `admissionregistration.k8s.io/v1 MutatingWebhookConfiguration`
    pub const MUTATING_WEBHOOK_CONFIGURATION: Self = Self::everywhere(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
    );
    /// Istio's `networking.istio.io/v1beta1 VirtualService`, which every Istio since 1.5 serves.
    pub const VIRTUAL_SERVICE: Self =
        Self::within("networking.istio.io", "v1beta1", "VirtualService", "virtualservices");

    /// A kind whose objects are in namespaces.
    pub const fn within(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        let [group, version] = [Cow::Borrowed(group), Cow::Borrowed(version)];
        Self { group, version, kind: Cow::Borrowed(kind), plural: Cow::Borrowed(plural), namespaced: true }
    }

    /// A kind whose objects belong to the whole cluster.
    pub const fn everywhere(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        let [group, version] = [Cow::Borrowed(group), Cow::Borrowed(version)];
        Self { group, version, kind: Cow::Borrowed(kind), plural: Cow::Borrowed(plural), namespaced: false }
    }

    /// `apps/v1`, as objects call it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The object of this name.
    pub fn named(&self, namespace: Option<&str>, name: &str) -> Reference {
        let namespace = namespace.filter(|_| self.namespaced).map(str::to_owned);
        Reference { kind: self.clone(), namespace, name: name.to_owned() }
    }

    /// Where they are, in one namespace or in all.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let namespace = namespace.filter(|_| self.namespaced);
        let namespace = namespace.map(|name| format!("/namespaces/{}", encoded(name))).unwrap_or_default();
        format!("{root}/{}{namespace}/{}", self.api_version(), self.plural)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.plural)?;
        if self.group.is_empty() { Ok(()) } else { write!(formatter, ".{}", self.group) }
    }
}

/// One object, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Its kind.
    pub kind: Kind,
    /// The namespace that it is in, if its kind is in namespaces.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Reference {
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.kind.path(self.namespace.as_deref()), encoded(&self.name))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.kind.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(formatter, "{namespace}/")?;
        }
        formatter.write_str(&self.name)
    }
}

impl Cluster {
    /// Looks up a kind by its name (`Rollout`) in a group (`argoproj.io`), in the version that is given or else in the one that
    /// the cluster prefers.
    ///
    /// # Errors
    /// `NotFound` where the cluster does not know it.
    pub async fn discover(
        &self,
        group: &str,
        version: Option<&str>,
        kind: &str,
    ) -> Result<Kind, ClusterError> {
        let named = if group.is_empty() { kind.to_owned() } else { format!("{kind} of {group}") };
        let tried = format!("look up the kind {named}");
        let version = match version {
            Some(version) => version.to_owned(),
            None if group.is_empty() => "v1".to_owned(),
            None => {
                let path = format!("/apis/{}", encoded(group));
                self.read::<Group>(Ask::get(&tried, path)).await?.preferred_version.version
            }
        };
        let root = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", encoded(group)) };
        let resources: Resources =
            self.read(Ask::get(&tried, format!("{root}/{}", encoded(&version)))).await?;
        // Parts of objects are listed too: `pods/exec`.
        let wholes = resources.resources.into_iter().filter(|resource| !resource.name.contains('/'));
        let found = wholes.into_iter().find(|resource| resource.kind == kind);
        let resource = found.ok_or_else(|| {
            self.error(
                Problem::NotFound,
                &tried,
                &format!("{version} has no such kind; `kubectl api-resources` lists them"),
            )
        })?;
        Ok(Kind {
            group: group.to_owned().into(),
            version: version.into(),
            kind: resource.kind.into(),
            plural: resource.name.into(),
            namespaced: resource.namespaced,
        })
    }

    /// A kind as this cluster serves it: budgets have their final version since 1.21 only.
    pub(crate) async fn served(&self, kind: &Kind) -> Result<Kind, ClusterError> {
        if kind.group != "policy" || kind.version != "v1" {
            return Ok(kind.clone());
        }
        let look = || async {
            let group: Group = self.read(Ask::get("look up the versions of policy", "/apis/policy")).await?;
            let is_final = group.versions.iter().any(|known| known.version == "v1");
            Ok(if is_final { "v1" } else { "v1beta1" }.to_owned())
        };
        let version = self.inner.budgets.get_or_try_init(look).await?;
        Ok(Kind { version: version.clone().into(), ..kind.clone() })
    }

    /// The version in which this cluster wants to be told of evictions: the final one since 1.22 only.
    pub(crate) async fn version_of_evictions(&self) -> Result<&str, ClusterError> {
        let look = || async {
            let tried = "look up how pods are evicted";
            let resources: Resources = self.read(Ask::get(tried, "/api/v1")).await?;
            let eviction = resources.resources.into_iter().find(|resource| resource.name == "pods/eviction");
            match eviction.and_then(|eviction| eviction.group.zip(eviction.version)) {
                Some((group, version)) => Ok(format!("{group}/{version}")),
                None => Err(self.error(Problem::NotFound, tried, "this cluster evicts no pods")),
            }
        };
        self.inner.evictions.get_or_try_init(look).await.map(String::as_str)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    preferred_version: GroupVersion,
    versions: Vec<GroupVersion>,
}

#[derive(Debug, Deserialize)]
struct GroupVersion {
    version: String,
}

#[derive(Debug, Deserialize)]
struct Resources {
    resources: Vec<Resource>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    name: String,
    kind: String,
    namespaced: bool,
    group: Option<String>,
    version: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        let reference = Kind::POD.named(Some("shop"), "../../nodes/a?x=");
        assert_eq!(reference.path(), "/api/v1/namespaces/shop/pods/..%2F..%2Fnodes%2Fa%3Fx%3D");
    }

    #[test]
    fn what_belongs_to_the_cluster_has_no_namespace() {
        assert_eq!(Kind::NODE.named(Some("shop"), "a").path(), "/api/v1/nodes/a");
        assert_eq!(Kind::DEPLOYMENT.path(None), "/apis/apps/v1/deployments");
        assert_eq!(Kind::DEPLOYMENT.named(Some("shop"), "cart").to_string(), "Deployment shop/cart");
    }
}
