//! Asks a cluster.

use super::Parameters;
use serde_json::Value as Json;
use squall_kubernetes::{Cluster, ClusterError, Kind, Place};
use squall_model::probe::ProbeError;
use tokio::sync::OnceCell;

/// Kinds that are asked for without looking them up.
const KNOWN: [Kind; 15] = [
    Kind::POD,
    Kind::NODE,
    Kind::NAMESPACE,
    Kind::SERVICE,
    Kind::CONFIG_MAP,
    Kind::SECRET,
    Kind::SERVICE_ACCOUNT,
    Kind::DEPLOYMENT,
    Kind::STATEFUL_SET,
    Kind::DAEMON_SET,
    Kind::REPLICA_SET,
    Kind::JOB,
    Kind::NETWORK_POLICY,
    Kind::POD_DISRUPTION_BUDGET,
    Kind::LEASE,
];

/// A cluster that is reached when it is first asked.
pub(super) struct Asker {
    place: Place,
    reached: OnceCell<(Cluster, Kind)>,
}

impl Asker {
    pub(super) fn new(parameters: &Parameters) -> Self {
        let kubeconfig = parameters.kubeconfig.clone().map(Into::into);
        Self { place: Place { kubeconfig, context: parameters.context.clone() }, reached: OnceCell::new() }
    }

    /// The objects that are meant, as they are now.
    pub(super) async fn objects(&self, parameters: &Parameters) -> Result<Vec<Json>, ProbeError> {
        self.ask(parameters).await.map_err(|error| ProbeError(error.to_string()))
    }

    async fn ask(&self, parameters: &Parameters) -> Result<Vec<Json>, ClusterError> {
        let (cluster, kind) = self.reached.get_or_try_init(|| self.reach(parameters)).await?;
        let cluster = cluster.within(parameters.timeout.get());
        let namespace = parameters.namespace.as_deref().unwrap_or(cluster.namespace());
        let labels: Vec<String> =
            parameters.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let has_labels = |object: &Json| {
            let found = &object["metadata"]["labels"];
            parameters.labels.iter().all(|(name, value)| found[name] == **value)
        };
        Ok(match &parameters.name {
            Some(name) => {
                let found = cluster.get(&kind.named(Some(namespace), name)).await?;
                found.into_iter().filter(has_labels).collect()
            }
            None => cluster.list(kind, kind.namespaced.then_some(namespace), &labels.join(",")).await?,
        })
    }

    async fn reach(&self, parameters: &Parameters) -> Result<(Cluster, Kind), ClusterError> {
        let cluster = Cluster::open(&self.place, parameters.timeout.get()).await?;
        let (name, group) = parameters.kind.split_once('.').unwrap_or((&parameters.kind, ""));
        let known = KNOWN.into_iter().find(|kind| kind.kind == name && group.is_empty());
        let kind = match known {
            Some(kind) => kind,
            None => cluster.discover(group, None, name).await?,
        };
        Ok((cluster, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::super::K8s;
    use serde_json::json;
    use squall_kubernetes::testing::in_a_room;
    use squall_model::probe::{Observe, Probe};
    use squall_model::value::{Reading, Value};

    #[test]
    fn objects_of_a_real_cluster_are_counted_and_looked_at() {
        in_a_room("probe", async |lab, room| {
            room.deployment("web", 2, "sleep 600").await?;
            let ask = async |mut with: serde_json::Value| -> Result<Reading, String> {
                with["kubeconfig"] = json!(lab.place.kubeconfig);
                with["timeout"] = json!("30s");
                if with["kind"] != "Node" {
                    with["namespace"] = json!(room.name);
                }
                let probe = K8s::new(serde_json::from_value(with).unwrap()).unwrap();
                probe.observe().await.map_err(|error| error.to_string())
            };
            let web =
                ask(json!({"kind": "Deployment", "name": "web", "condition": "Available"})).await.unwrap();
            assert_eq!(
                (&web["all_ready"], &web["ready_replicas"]),
                (&Value::Bool(true), &Value::Number(2.0))
            );
            assert_eq!(web["met"], Value::Number(1.0));
            let pods = ask(json!({"kind": "Pod", "labels": {"app": "web"}})).await.unwrap();
            assert_eq!((&pods["count"], &pods["ready"]), (&Value::Number(2.0), &Value::Number(2.0)));
            let none = ask(json!({"kind": "Deployment", "name": "none"})).await.unwrap();
            assert_eq!(none["present"], Value::Bool(false));
            assert_eq!(ask(json!({"kind": "Node"})).await.unwrap()["present"], Value::Bool(true));
            // A kind that is looked up, and one that there is not.
            let roles = ask(json!({"kind": "Role.rbac.authorization.k8s.io"})).await.unwrap();
            assert_eq!(roles["count"], Value::Number(0.0));
            let unknown = ask(json!({"kind": "Rollout.argoproj.io"})).await.unwrap_err();
            assert!(unknown.contains("Rollout"), "{unknown}");
            Ok(())
        });
    }
}
