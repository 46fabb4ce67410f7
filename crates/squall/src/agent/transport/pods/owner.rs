//! The lease that all pods of a run hang on: while it is renewed, the run lives. When it goes, the cluster takes the pods.

use super::manifest::labels;
use crate::agent_pod::MADE;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use squall_kubernetes::{Cluster, ClusterError, Kind, Operation, Problem, Reference, micro_time};
use squall_model::cluster::{LEASE_PREFIX as PREFIX, MARK_LABEL};
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long a run may not be heard of until it counts as dead, in seconds.
const LASTS: i64 = 60;

const RENEWS_EVERY: Duration = Duration::from_secs(15);

/// The name of a run's lease.
fn name(run: &str) -> String {
    format!("{PREFIX}{run}")
}

fn reference(namespace: &str, run: &str) -> Reference {
    Kind::LEASE.named(Some(namespace), &name(run))
}

/// A lease that is renewed while this value is there.
pub(super) struct Owner {
    name: String,
    uid: String,
    renewing: Option<AbortHandle>,
}

impl Owner {
    pub(super) async fn make(cluster: &Cluster, namespace: &str, run: &str) -> Result<Self, ClusterError> {
        let now = micro_time(Timestamp::now());
        let object = json!({
            "metadata": {"name": name(run), "labels": labels(run, MADE)},
            "spec": {"holderIdentity": run, "leaseDurationSeconds": LASTS, "acquireTime": now, "renewTime": now},
        });
        let made = match cluster.create(&Kind::LEASE, Some(namespace), &object).await {
            // Another part of the run has one there already.
            Err(error) if error.problem == Problem::Conflict => {
                let there = cluster.get(&reference(namespace, run)).await?;
                there.filter(|lease| lease["spec"]["holderIdentity"] == run).ok_or(error)?
            }
            made => made?,
        };
        let uid = made["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let renewing = tokio::spawn(renew(cluster.clone(), reference(namespace, run))).abort_handle();
        Ok(Self { name: name(run), uid, renewing: Some(renewing) })
    }

    /// What names it as the owner of others.
    pub(super) fn reference(&self) -> Json {
        let kind = Kind::LEASE;
        json!({"apiVersion": kind.api_version(), "kind": kind.kind, "name": self.name, "uid": self.uid})
    }

    #[cfg(test)]
    pub(super) fn of_test(run: &str, uid: &str) -> Self {
        Self { name: name(run), uid: uid.to_owned(), renewing: None }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(renewing) = &self.renewing {
            renewing.abort();
        }
    }
}

async fn renew(cluster: Cluster, lease: Reference) {
    loop {
        tokio::time::sleep(RENEWS_EVERY).await;
        let value = json!(micro_time(Timestamp::now()));
        let operation = Operation::Replace { path: "/spec/renewTime".to_owned(), value };
        if let Err(error) = cluster.patch(&lease, &[operation]).await {
            tracing::warn!(%error, "the lease of the run's pods could not be renewed");
        }
    }
}

/// Removes a run's lease, and with it its pods, in the cluster's own time.
pub(super) async fn remove(cluster: &Cluster, namespace: &str, run: &str) -> Result<(), ClusterError> {
    cluster.remove_lease(namespace, &name(run)).await
}

/// Removes what dead runs left in a namespace. Nobody waits for it.
pub(super) async fn sweep(cluster: Cluster, namespace: String) {
    let leases = match cluster.expired_leases(Some(&namespace), MARK_LABEL).await {
        Ok(leases) => leases,
        Err(error) => return tracing::warn!(%error, "could not look for what dead runs left in the cluster"),
    };
    // Only ours are named so.
    for run in leases.iter().filter_map(|lease| lease.name.strip_prefix(PREFIX)) {
        match remove(&cluster, &namespace, run).await {
            Ok(()) => tracing::info!(run, namespace, "the pods of a dead run are removed"),
            Err(error) => tracing::warn!(run, %error, "the pods of a dead run could not be removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_called_after_its_run() {
        assert_eq!(name("r1"), "squall-r1");
    }
}
