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
        let leases = self.leases(namespace, labels).await?.into_iter();
        let now = Timestamp::now();
        Ok(leases.filter(|(_, until)| is_expired(*until, now)).map(|(lease, _)| lease).collect())
    }

    /// The leases in a namespace, or in all, whose labels fit, and until when each is held; `None` where that cannot be understood.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn leases(
        &self,
        namespace: Option<&str>,
        labels: &str,
    ) -> Result<Vec<(Named, Option<Timestamp>)>, ClusterError> {
        let leases = self.list(&Kind::LEASE, namespace, labels).await?;
        Ok(leases.iter().filter_map(|lease| Some((named(lease)?, held_until(&lease["spec"])))).collect())
    }
}

fn named(object: &Json) -> Option<Named> {
    let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    Some(Named { namespace: text("namespace"), name: text("name")?, uid: text("uid")? })
}

/// What cannot be understood counts as alive.
fn is_expired(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_some_and(|until| now.duration_since(until) > DOUBT)
}

fn held_until(spec: &Json) -> Option<Timestamp> {
    let renewed: Timestamp = spec["renewTime"].as_str()?.parse().ok()?;
    let lasts = SignedDuration::from_secs(spec["leaseDurationSeconds"].as_i64()?);
    renewed.checked_add(lasts.max(SignedDuration::ZERO)).ok()
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
        let is_expired = |spec: Json| is_expired(held_until(&spec), now);
        let expired = |renewed: &str| is_expired(json!({"leaseDurationSeconds": 60, "renewTime": renewed}));
        assert!(!expired("2026-11-30T11:59:00.000000Z"));
        assert!(!expired("2026-11-30T11:58:10.000000Z"), "clocks may go differently");
        assert!(expired("2026-11-30T11:57:00.000000Z"));
        assert!(!expired("never") && !is_expired(json!({"leaseDurationSeconds": 60})));
    }

    #[test]
    fn a_lease_is_held_for_as_long_as_it_says_after_it_was_renewed() {
        let until = |spec: Json| held_until(&spec).map(|until| until.to_string());
        let renewed = |seconds: Json| json!({"leaseDurationSeconds": seconds, "renewTime": "2026-11-30T11:59:00.000000Z"});
        assert_eq!(until(renewed(json!(60))).as_deref(), Some("2026-11-30T12:00:00Z"));
        assert_eq!(until(renewed(json!(-5))).as_deref(), Some("2026-11-30T11:59:00Z"));
        for spec in
            [renewed(Json::Null), renewed(json!(i64::MAX)), json!({"leaseDurationSeconds": 60}), Json::Null]
        {
            assert_eq!(until(spec), None);
        }
    }
}
