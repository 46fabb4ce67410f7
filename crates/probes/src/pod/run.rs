//! From a specification to what its program said.

use super::Parameters;
use serde_json::{Value as Json, json};
use squall_kubernetes::{Cluster, ClusterError, Deletion, Kind, Place, Problem, Progress, Reference};
use squall_model::cluster::ClusterPlace;
use squall_model::probe::{Keep, Kept, ProbeError};
use squall_model::value::{Reading, Value};
use std::time::{Duration, Instant};

/// How long the cluster may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOKS_EVERY: Duration = Duration::from_millis(300);
/// How much later than we the cluster gives the program up.
const LATER: Duration = Duration::from_secs(5);
/// So much of what it printed is kept, in bytes.
const KEPT: u32 = 64 << 10;
/// How a container without a name is called.
const NAME: &str = "main";

/// Makes the pod, waits for the end of its program, and removes it.
pub(super) async fn ask(parameters: &Parameters, keep: &dyn Keep) -> Result<Reading, ProbeError> {
    let begun = Instant::now();
    let place = Place {
        kubeconfig: parameters.kubeconfig.clone().map(Into::into),
        context: parameters.context.clone(),
    };
    let cluster = Cluster::open(&place, PATIENCE).await.map_err(told)?;
    let namespace = parameters.namespace.as_deref().unwrap_or(cluster.namespace()).to_owned();
    let at = ClusterPlace { kubeconfig: parameters.kubeconfig.clone(), context: parameters.context.clone() };
    let kept = keep.keep(&at, &namespace).await.map_err(ProbeError)?;
    cluster.create(&Kind::POD, Some(&namespace), &pod(parameters, &kept)).await.map_err(told)?;
    let made = Made { cluster, reference: Kind::POD.named(Some(&namespace), &kept.name), is_there: true };
    let answer = made.answer(parameters, begun).await;
    made.remove().await;
    answer
}

fn told(error: ClusterError) -> ProbeError {
    ProbeError(error.to_string())
}

/// The pod of a question.
fn pod(parameters: &Parameters, kept: &Kept) -> Json {
    let mut container = json!(parameters.container);
    if container["name"].as_str().unwrap_or_default().is_empty() {
        container["name"] = NAME.into();
    }
    let mut labels = parameters.labels.clone();
    labels.extend(kept.labels.clone());
    let mut spec = json!({
        "restartPolicy": "Never",
        "activeDeadlineSeconds": (parameters.timeout.get() + LATER).as_secs(),
        // Whoever is to be gone is not waited for.
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": parameters.volumes,
    });
    if let Some(account) = &parameters.service_account {
        spec["serviceAccountName"] = account.as_str().into();
    }
    json!({
        "metadata": {"name": kept.name, "labels": labels, "ownerReferences": [kept.owner]},
        "spec": spec,
    })
}

/// A pod that is there, and is removed when it is wanted no more.
struct Made {
    cluster: Cluster,
    reference: Reference,
    is_there: bool,
}

impl Made {
    async fn answer(&self, parameters: &Parameters, begun: Instant) -> Result<Reading, ProbeError> {
        let code = self.end(parameters, begun).await?;
        let stdout = self.cluster.log(&self.reference, KEPT).await.map_err(told)?;
        Ok(Reading::from([
            ("exit_code".to_owned(), Value::Number(code as f64)),
            ("stdout".to_owned(), Value::Text(stdout.trim().to_owned())),
            ("latency".to_owned(), Value::Number(begun.elapsed().as_secs_f64())),
        ]))
    }

    /// The exit code of its program.
    async fn end(&self, parameters: &Parameters, begun: Instant) -> Result<i64, ProbeError> {
        let image = parameters.container.get("image").and_then(Json::as_str).unwrap_or_default();
        let failed = |why: &str| ProbeError(format!("{} (image {image}): {why}", self.reference));
        let (limit, mut last) = (parameters.timeout.get(), "it did not begin".to_owned());
        while begun.elapsed() < limit {
            match self.cluster.get(&self.reference).await {
                Ok(None) => return Err(failed("somebody deleted it")),
                Ok(Some(pod)) => match Progress::of(&pod["status"]) {
                    Progress::Ended(code, _) => return Ok(code),
                    Progress::Fails(why) => return Err(failed(&why)),
                    Progress::Waits(why) => last = format!("it does not run{why}"),
                    Progress::Runs => "its program runs".clone_into(&mut last),
                },
                // The cluster may be back before the time is over.
                Err(error) if error.problem == Problem::Unknown => last = error.to_string(),
                Err(error) => return Err(told(error)),
            }
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        Err(failed(&format!("it did not end within {limit:?}: {last}; `timeout` says how long it may take")))
    }

    async fn remove(mut self) {
        self.is_there = delete(&self.cluster, &self.reference).await.is_err();
    }
}

async fn delete(cluster: &Cluster, pod: &Reference) -> Result<(), ClusterError> {
    match cluster.delete(pod, &Deletion { grace: Some(0), ..Deletion::default() }).await {
        Err(error) if error.problem != Problem::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A question that is not wanted any more leaves nothing either. Where nobody can do it here, whoever keeps the run's pods does.
impl Drop for Made {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_there {
            let (cluster, pod) = (self.cluster.clone(), self.reference.clone());
            runtime.spawn(async move { delete(&cluster, &pod).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pod;
    use super::*;
    use squall_kubernetes::testing::{Lab, Room, in_a_room};
    use squall_model::probe::{Observe, Pending, Probe};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// Lets the pod belong to an object of the test's.
    struct Owned(Json);

    impl Keep for Owned {
        fn keep(&self, _: &ClusterPlace, _: &str) -> Pending<'_, Result<Kept, String>> {
            let labels = BTreeMap::from([("kept".to_owned(), "yes".to_owned())]);
            let kept = Kept { name: "ask-1".to_owned(), labels, owner: self.0.clone() };
            Box::pin(async move { Ok(kept) })
        }
    }

    async fn owner(lab: &Lab, room: &Room) -> Result<Json, ClusterError> {
        let object = json!({"metadata": {"name": "owner"}});
        let made = lab.cluster.create(&Kind::CONFIG_MAP, Some(&room.name), &object).await?;
        let uid = &made["metadata"]["uid"];
        Ok(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}))
    }

    fn asked(lab: &Lab, room: &Room, container: &Json, timeout: &str, owned: Owned) -> Pod {
        let parameters = json!({
            "kubeconfig": lab.place.kubeconfig, "namespace": room.name, "labels": {"mine": "yes", "kept": "no"},
            "container": container, "timeout": timeout,
        });
        let mut probe = Pod::new(serde_json::from_value(parameters).unwrap()).unwrap();
        probe.kept_by(Arc::new(owned));
        probe
    }

    #[test]
    fn a_program_runs_to_its_end_and_its_pod_is_gone() {
        in_a_room("ask", async |lab, room| {
            let labels = "mine=yes,kept=yes";
            let gone = async || Ok(lab.cluster.list(&Kind::POD, Some(&room.name), labels).await?.is_empty());
            let ends = room.container("main", "echo ' slow '; exit 3");
            let owner = owner(lab, room).await?;
            let owned = || Owned(owner.clone());
            let reading = asked(lab, room, &ends, "60s", owned()).observe().await.unwrap();
            assert_eq!(reading["exit_code"], Value::Number(3.0));
            assert_eq!(reading["stdout"], Value::from("slow"));
            room.until("the pod to go", gone).await?;

            let stays = room.container("main", "sleep 600");
            // Pods of the same name follow each other at once.
            let late = asked(lab, room, &stays, "4s", owned()).observe().await.unwrap_err().to_string();
            assert!(late.contains("did not end within 4s"), "{late}");
            room.until("the pod to go", gone).await?;
            let none = json!({"image": "none.invalid/none:1", "imagePullPolicy": "Never"});
            let none = asked(lab, room, &none, "60s", owned()).observe().await.unwrap_err().to_string();
            assert!(none.contains("ErrImageNeverPull") && none.contains("none.invalid/none:1"), "{none}");
            room.until("the pod to go", gone).await?;

            // A question that nobody waits for any more.
            let probe = asked(lab, room, &stays, "60s", owned());
            let _ = tokio::time::timeout(Duration::from_secs(2), probe.observe()).await;
            room.until("the pods to go", gone).await
        });
    }
}
