//! Asks a cluster.

use super::Parameters;
use serde_json::Value as Json;
use squall_kubernetes::{Cluster, ClusterError, Kind, Place, Problem};
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

/// What the metrics API tells of pods, and of nodes.
const POD_METRICS: Kind = Kind::within(METRICS, METRICS_VERSION, "PodMetrics", "pods");
const NODE_METRICS: Kind = Kind::everywhere(METRICS, METRICS_VERSION, "NodeMetrics", "nodes");
const METRICS: &str = "metrics.k8s.io";
const METRICS_VERSION: &str = "v1beta1";

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

    /// What the metrics API tells of the pods or nodes that are meant.
    pub(super) async fn measurements(&self, parameters: &Parameters) -> Result<Vec<Json>, ProbeError> {
        let worded = |error: ClusterError| ProbeError(error.to_string());
        let (cluster, kind) =
            self.reached.get_or_try_init(|| self.reach(parameters)).await.map_err(worded)?;
        let kind = if kind.namespaced { POD_METRICS } else { NODE_METRICS };
        let lacks = |error: &ClusterError| error.problem == Problem::NotFound;
        match self.found(cluster, &kind, parameters).await {
            // Of one that is not measured the answer is the same as without the API.
            Ok(found) if found.is_empty() => {}
            Err(error) if lacks(&error) => {}
            other => return other.map_err(worded),
        }
        let cluster = cluster.within(parameters.timeout.get());
        match cluster.discover(METRICS, Some(METRICS_VERSION), &kind.kind).await {
            Ok(_) => Ok(Vec::new()),
            Err(error) if lacks(&error) => Err(ProbeError(format!(
                "this cluster has no {METRICS}/{METRICS_VERSION}, which `usage: true` asks ({error}); install metrics-server, or \
                 ask its Prometheus"
            ))),
            Err(error) => Err(worded(error)),
        }
    }

    async fn ask(&self, parameters: &Parameters) -> Result<Vec<Json>, ClusterError> {
        let (cluster, kind) = self.reached.get_or_try_init(|| self.reach(parameters)).await?;
        self.found(cluster, kind, parameters).await
    }

    /// What is meant, of this kind.
    async fn found(
        &self,
        cluster: &Cluster,
        kind: &Kind,
        parameters: &Parameters,
    ) -> Result<Vec<Json>, ClusterError> {
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
    use squall_kubernetes::testing::{Lab, Room, in_a_room};
    use squall_kubernetes::{ClusterError, Deletion, Kind, wait};
    use squall_model::probe::{Observe, Probe};
    use squall_model::value::{Reading, Value};

    #[test]
    fn objects_of_a_real_cluster_are_counted_and_looked_at() {
        in_a_room("probe", async |lab, room| {
            room.deployment("web", 2, "sleep 600").await?;
            // What a Deployment says of its pods comes a moment after them.
            let reference = Kind::DEPLOYMENT.named(Some(&room.name), "web");
            let is_told = async || {
                let web = lab.cluster.get(&reference).await?;
                Ok(web.is_some_and(|web| web["status"]["readyReplicas"] == 2))
            };
            room.until("the Deployment to say so", is_told).await?;
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

    /// The metrics API as a kind that is added, which is gone with the test: this cluster has no metrics-server.
    struct Measuring<'l>(&'l Lab);

    impl Measuring<'_> {
        const NAME: &'static str = "pods.metrics.k8s.io";

        async fn add<'l>(lab: &'l Lab, room: &Room) -> Result<Measuring<'l>, ClusterError> {
            let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            let version = json!({"name": super::METRICS_VERSION, "served": true, "storage": true,
                "schema": {"openAPIV3Schema": anything}});
            let names = json!({"plural": "pods", "singular": "podmetrics", "kind": "PodMetrics"});
            let approved = json!({"api-approved.kubernetes.io": "unapproved, for a test"});
            let definition = json!({
                "metadata": {"name": Self::NAME, "annotations": approved},
                "spec": {"group": super::METRICS, "scope": "Namespaced", "names": names, "versions": [version]},
            });
            lab.cluster.create(&Kind::CUSTOM_RESOURCE_DEFINITION, None, &definition).await?;
            let added = Measuring(lab);
            let is_served =
                async || Ok(lab.cluster.list(&super::POD_METRICS, Some(&room.name), "").await.is_ok());
            room.until("measurements", is_served).await?;
            Ok(added)
        }
    }

    impl Drop for Measuring<'_> {
        fn drop(&mut self) {
            let named = Kind::CUSTOM_RESOURCE_DEFINITION.named(None, Self::NAME);
            let _ = wait(self.0.cluster.delete(&named, &Deletion::default()));
        }
    }

    #[test]
    fn what_pods_use_is_told_by_the_metrics_api_where_there_is_one() {
        in_a_room("usage", async |lab, room| {
            let pods = room.deployment("web", 2, "sleep 600").await?;
            let ask = async |more: serde_json::Value| -> Result<Reading, String> {
                let mut with = json!({"kind": "Pod", "namespace": room.name, "usage": true, "timeout": "30s",
                    "kubeconfig": lab.place.kubeconfig});
                with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                let probe =
                    K8s::new(serde_json::from_value(with).unwrap()).map_err(|error| error.to_string())?;
                probe.observe().await.map_err(|error| error.to_string())
            };
            let web = json!({"labels": {"app": "web"}});
            if lab.cluster.list(&super::POD_METRICS, Some(&room.name), "").await.is_ok() {
                println!("skipped: this cluster has a metrics API of its own");
                return Ok(());
            }
            for meant in [&web, &json!({"name": pods[0].name})] {
                let error = ask(meant.clone()).await.unwrap_err();
                assert!(
                    error.contains("has no metrics.k8s.io/v1beta1") && error.contains("metrics-server"),
                    "{error}"
                );
            }
            assert!(ask(json!({"kind": "Deployment"})).await.unwrap_err().contains("of pods and nodes"));

            let measuring = Measuring::add(lab, room).await?;
            assert!(ask(web.clone()).await.unwrap_err().contains("tells nothing yet"));
            for (pod, cpu) in pods.iter().zip(["250m", "125000000n"]) {
                let metadata = json!({"name": pod.name, "labels": {"app": "web"}});
                let usage = json!({"cpu": cpu, "memory": "64Mi"});
                let measured =
                    json!({"metadata": metadata, "containers": [{"name": "main", "usage": usage}]});
                lab.cluster.create(&super::POD_METRICS, Some(&room.name), &measured).await?;
            }
            let both = ask(web).await.unwrap();
            assert_eq!((&both["cpu"], &both["measured"]), (&Value::Number(0.375), &Value::Number(2.0)));
            assert_eq!(both["memory"], Value::Number(134_217_728.0));
            let one = ask(json!({"name": pods[0].name})).await.unwrap();
            assert_eq!((&one["cpu"], &one["count"]), (&Value::Number(0.25), &Value::Number(1.0)));
            let none = ask(json!({"labels": {"app": "none"}})).await.unwrap();
            assert!(!none.contains_key("cpu"));
            drop(measuring);
            Ok(())
        });
    }
}
