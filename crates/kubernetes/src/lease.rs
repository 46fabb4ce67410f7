//! Leases that nobody renews any more: whoever held one is gone, and with it the reason for what belongs to it.
//!
//! Source: <https://kubernetes.io/docs/concepts/architecture/leases/>

use crate::cluster::Cluster;
use crate::error::{ClusterError, Problem};
use crate::kind::Kind;
use crate::object::{Deletion, Dependents, Named};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

/// How much longer is waited than a lease says: clocks may go differently, and whoever renews it may be late.
const DOUBT: SignedDuration = SignedDuration::from_secs(60);

/// A moment as leases have it (`MicroTime`).
pub fn micro_time(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

impl Cluster {
    /// Removes a lease, and then in the cluster's own time what belongs to it. One that is gone is well.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn remove_lease(&self, namespace: &str, name: &str) -> Result<(), ClusterError> {
        let how = Deletion { dependents: Some(Dependents::After), ..Deletion::default() };
        match self.delete(&Kind::LEASE.named(Some(namespace), name), &how).await {
            Err(error) if error.problem != Problem::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The leases in a namespace, or in all, whose labels fit, and which have not been renewed for longer than they last and a
    /// minute.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn expired_leases(
        &self,
        namespace: Option<&str>,
        labels: &str,
    ) -> Result<Vec<Named>, ClusterError> {
        let leases = self.list(&Kind::LEASE, namespace, labels).await?;
        let now = Timestamp::now();
        Ok(leases.iter().filter(|lease| is_expired(&lease["spec"], now)).filter_map(named).collect())
    }
}

fn named(object: &Json) -> Option<Named> {
    let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    Some(Named { namespace: text("namespace"), name: text("name")?, uid: text("uid")? })
}

/// What cannot be understood counts as alive.
fn is_expired(spec: &Json, now: Timestamp) -> bool {
    let renewed = spec["renewTime"].as_str().and_then(|moment| moment.parse::<Timestamp>().ok());
    let lasts = spec["leaseDurationSeconds"].as_i64().map(SignedDuration::from_secs);
    let (Some(renewed), Some(lasts)) = (renewed, lasts) else { return false };
    now.duration_since(renewed) > lasts.max(SignedDuration::ZERO).saturating_add(DOUBT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn moments_are_written_as_the_api_takes_them() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        assert_eq!(micro_time(now), "2026-11-30T12:00:00.000000Z");
    }

    #[test]
    fn only_a_lease_that_nobody_renews_is_expired() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let expired =
            |renewed: &str| is_expired(&json!({"leaseDurationSeconds": 60, "renewTime": renewed}), now);
        assert!(!expired("2026-11-30T11:59:00.000000Z"));
        assert!(!expired("2026-11-30T11:58:10.000000Z"), "clocks may go differently");
        assert!(expired("2026-11-30T11:57:00.000000Z"));
        assert!(!expired("never") && !is_expired(&json!({"leaseDurationSeconds": 60}), now));
    }
}
