//! Who of several operators acts: the holder of a lease, as the API's own controllers do it.
//!
//! Who cannot renew the lease for [`GIVES_UP_AFTER`] ends what it does, before others may believe that it is gone.
//!
//! Source: <https://kubernetes.io/docs/concepts/architecture/leases/>, `client-go/tools/leaderelection`.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use squall_kubernetes::{Cluster, ClusterError, Kind, Operation, Problem, Reference, micro_time};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The lease's name, in the operator's namespace.
pub(crate) const LEASE: &str = "squall-operator";
/// How long it lasts, in seconds.
const LASTS: i64 = 15;
/// How often its holder renews it, and others look.
const RENEWS_EVERY: Duration = Duration::from_secs(2);
/// After so long without a renewal the holder lets go: before others may take it.
const GIVES_UP_AFTER: Duration = Duration::from_secs(10);
/// How long one call may take.
const CALLS: Duration = Duration::from_secs(3);

/// Stands for election, for as long as the value that is returned is listened to: it says whether we lead now.
pub(crate) fn stand(cluster: &Cluster, namespace: &str, me: &str) -> watch::Receiver<bool> {
    let (leads, told) = watch::channel(false);
    let candidate = Candidate {
        cluster: cluster.within(CALLS),
        lease: Kind::LEASE.named(Some(namespace), LEASE),
        me: me.to_owned(),
        seen: None,
    };
    tokio::spawn(candidate.stand(leads));
    told
}

/// Lets another lead at once, where we do.
pub(crate) async fn resign(cluster: &Cluster, namespace: &str, me: &str) -> Result<(), ClusterError> {
    let lease = Kind::LEASE.named(Some(namespace), LEASE);
    let ours = Operation::Test { path: "/spec/holderIdentity".to_owned(), value: json!(me) };
    let nobody = Operation::Replace { path: "/spec/holderIdentity".to_owned(), value: json!("") };
    match cluster.within(CALLS).patch(&lease, &[ours, nobody]).await {
        Err(error) if !matches!(error.problem, Problem::NotFound | Problem::Conflict | Problem::Invalid) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

struct Candidate {
    cluster: Cluster,
    lease: Reference,
    me: String,
    /// What the lease said when it last changed, and when we saw that, by our own clock: those of others may go differently.
    seen: Option<(Json, Instant)>,
}

impl Candidate {
    async fn stand(mut self, leads: watch::Sender<bool>) {
        let mut renewed = Instant::now();
        while !leads.is_closed() {
            match self.try_once().await {
                Ok(true) => {
                    renewed = Instant::now();
                    leads.send_replace(true);
                }
                Ok(false) => {
                    leads.send_replace(false);
                }
                Err(error) => {
                    tracing::warn!(%error, "the lease of the operators could not be renewed");
                    if renewed.elapsed() > GIVES_UP_AFTER {
                        leads.send_replace(false);
                    }
                }
            }
            tokio::time::sleep(RENEWS_EVERY).await;
        }
    }

    /// Renews the lease or takes it; whether it is ours then.
    async fn try_once(&mut self) -> Result<bool, ClusterError> {
        let Some(lease) = self.cluster.get(&self.lease).await? else {
            let spec = spec(&self.me, Timestamp::now(), None);
            let object = json!({"metadata": {"name": self.lease.name}, "spec": spec});
            let made = self.cluster.create(&self.lease.kind, self.lease.namespace.as_deref(), &object).await;
            return lost_to_another(made.map(drop));
        };
        if self.seen.as_ref().is_none_or(|(spec, _)| *spec != lease["spec"]) {
            self.seen = Some((lease["spec"].clone(), Instant::now()));
        }
        let since = self.seen.as_ref().map(|(_, at)| at.elapsed()).unwrap_or_default();
        if !is_ours_to_take(&lease["spec"], &self.me, since) {
            return Ok(false);
        }
        let spec = spec(&self.me, Timestamp::now(), Some(&lease["spec"]));
        let renewed = Operation::Replace { path: "/spec".to_owned(), value: spec };
        lost_to_another(
            self.cluster.patch(&self.lease, &[Operation::unchanged(&lease), renewed]).await.map(drop),
        )
    }
}

/// Whether it is ours; not where another was quicker.
fn lost_to_another(outcome: Result<(), ClusterError>) -> Result<bool, ClusterError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.problem, Problem::Conflict | Problem::Invalid) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a lease is ours, nobody's, or of somebody who has not renewed it for as long as it lasts.
fn is_ours_to_take(spec: &Json, me: &str, unchanged_for: Duration) -> bool {
    let holder = spec["holderIdentity"].as_str().unwrap_or_default();
    let lasts = spec["leaseDurationSeconds"].as_i64().unwrap_or(LASTS).max(1);
    let lasts = Duration::from_secs(lasts.unsigned_abs());
    holder.is_empty() || holder == me || unchanged_for > lasts
}

fn spec(me: &str, now: Timestamp, before: Option<&Json>) -> Json {
    let is_ours = before.is_some_and(|before| before["holderIdentity"] == me);
    let changes = before.and_then(|before| before["leaseTransitions"].as_i64()).unwrap_or(0);
    let written = micro_time(now);
    let acquired =
        before.filter(|_| is_ours).map_or_else(|| json!(written), |before| before["acquireTime"].clone());
    json!({
        "holderIdentity": me, "leaseDurationSeconds": LASTS, "acquireTime": acquired, "renewTime": written,
        "leaseTransitions": if is_ours || before.is_none() { changes } else { changes + 1 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_only_from_the_dead() {
        let held = json!({"holderIdentity": "other", "leaseDurationSeconds": 15});
        assert!(!is_ours_to_take(&held, "me", Duration::from_secs(14)));
        assert!(is_ours_to_take(&held, "me", Duration::from_secs(16)));
        assert!(is_ours_to_take(&held, "other", Duration::ZERO));
        assert!(is_ours_to_take(&json!({"holderIdentity": ""}), "me", Duration::ZERO));
    }

    #[test]
    fn who_takes_over_counts_it() {
        let now = Timestamp::UNIX_EPOCH;
        let first = spec("a", now, None);
        let renewed = spec("a", now, Some(&first));
        let taken = spec("b", now, Some(&renewed));
        assert_eq!((&first["leaseTransitions"], &taken["leaseTransitions"]), (&json!(0), &json!(1)));
        assert_eq!(renewed["acquireTime"], first["acquireTime"]);
    }
}
