//! Runs whose operator is gone: what they left in the cluster is put back from its own marks. Agents on nodes have put back theirs
//! by then: their streams ended with the operator.

use super::deeds::Office;
use super::resources::{Phase, RunStatus};
use super::{conditions, reconcile};
use jiff::Timestamp;
use serde_json::Value as Json;
use squall_kubernetes::{Deletion, Dependents, Kind, Problem};
use squall_model::cluster::LEASE_PREFIX;
use squall_model::verdict::Verdict;

/// Puts back what a run left, and gives the status that it ends with.
pub(super) async fn put_back(office: &Office, run: &Json) -> RunStatus {
    let mut status: RunStatus = reconcile::status_of(run);
    let now = Timestamp::now();
    let mut residue: Vec<String> = Vec::new();
    if let Err(why) = take_agents_away(office, &status.run).await {
        residue.push(why);
    }
    let is_clean = residue.is_empty();
    status.phase = Phase::Finished;
    status.verdict = Some(if is_clean { Verdict::Aborted } else { Verdict::Residue });
    status.reason = format!("the operator {} that carried it out is gone", status.holder);
    status.completion_time = Some(now);
    status.residue = residue;
    status.counts.restored += status.counts.active;
    status.counts.active = 0;
    let why = status.reason.clone();
    conditions::put(&mut status.conditions, "Aborted", Some(true), reconcile::LOST, &why, now);
    conditions::put(&mut status.conditions, "AllRecovered", Some(is_clean), "PutBack", "", now);
    status
}

/// The lease that the pods of a run's agents belong to; they go with it.
async fn take_agents_away(office: &Office, run: &str) -> Result<(), String> {
    if run.is_empty() {
        return Ok(());
    }
    let lease = Kind::LEASE.named(Some(&office.namespace), &format!("{LEASE_PREFIX}{run}"));
    let how = Deletion { dependents: Some(Dependents::After), ..Deletion::default() };
    match office.cluster.delete(&lease, &how).await {
        Err(error) if error.problem != Problem::NotFound => Err(error.to_string()),
        _ => Ok(()),
    }
}
