//! Runs whose operator is gone: what they left in the cluster is put back from its own marks. Agents on nodes have put back theirs
//! by then: their streams ended with the operator.
//!
//! The same stands watch over everybody's changes of objects: one that is still there a minute after its time is put back, whoever
//! made it and wherever that machine is now.

use super::deeds::Office;
use super::resources::{InjectionState, Phase, RunStatus};
use super::{conditions, reconcile};
use crate::out;
use jiff::Timestamp;
use serde_json::Value as Json;
use squall_kubernetes::{Cluster, Problem};
use squall_model::cluster::LEASE_PREFIX;
use squall_model::undo::Reverted;
use squall_model::verdict::Verdict;
use squall_remote::marks::{self, Mark};
use std::sync::Arc;
use std::time::Duration;

/// How often is looked for what is overdue.
const LOOKS_EVERY: Duration = Duration::from_secs(30);

/// Puts back what a run left, and gives the status that it ends with; an error where the cluster could not be asked, so that nothing
/// is known yet.
pub(super) async fn put_back(office: &Office, run: &Json) -> Result<RunStatus, String> {
    let mut status: RunStatus = reconcile::status_of(run);
    let name = status.run.clone();
    let mut residue = Vec::new();
    if !name.is_empty() {
        // The pods of its agents belong to that, and go with it.
        let lease = format!("{LEASE_PREFIX}{name}");
        office.cluster.remove_lease(&office.namespace, &lease).await.map_err(|error| error.to_string())?;
        // And those of its questions to one beside the run; where that may not be removed, none could be made.
        let namespace = run["metadata"]["namespace"].as_str().unwrap_or_default();
        match office.cluster.remove_lease(namespace, &lease).await {
            Err(error) if error.problem != Problem::Forbidden => return Err(error.to_string()),
            _ => {}
        }
        let is_its = move |mark: &Mark| mark.held.as_ref().is_some_and(|held| held.run == name);
        residue = marks_put_back(&office.cluster, is_its).await?;
    }
    let now = Timestamp::now();
    let is_clean = residue.is_empty();
    status.phase = Phase::Finished;
    status.verdict = Some(if is_clean { Verdict::Aborted } else { Verdict::Residue });
    status.reason = format!("the operator {} that carried it out is gone", status.holder);
    status.completion_time = Some(now);
    if is_clean {
        status.counts.restored += status.counts.active;
        for told in &mut status.injections {
            if told.state == InjectionState::Active {
                told.state = InjectionState::Restored;
            }
        }
    } else {
        status.counts.residue = u32::try_from(residue.len()).unwrap_or(u32::MAX);
        status.residue = residue;
    }
    status.counts.active = 0;
    let why = status.reason.clone();
    conditions::put(&mut status.conditions, "Aborted", Some(true), reconcile::LOST, &why, now);
    let (word, message) = if is_clean {
        ("PutBack", "the operator put it back, as whoever carried it out is gone")
    } else {
        ("Residue", "what could not be put back is listed under residue")
    };
    conditions::put(&mut status.conditions, "AllRecovered", Some(is_clean), word, message, now);
    Ok(status)
}

/// Puts back what carries certain marks; what could not be, in words.
async fn marks_put_back(
    cluster: &Cluster,
    is_meant: impl Fn(&Mark) -> bool + Send + 'static,
) -> Result<Vec<String>, String> {
    let cluster = cluster.clone();
    let work = move || {
        let found = marks::find(&cluster).map_err(|error| error.to_string())?;
        let mut residue = Vec::new();
        for mark in found.iter().filter(|mark| is_meant(mark)) {
            match marks::put_back(&cluster, mark).map_err(|error| error.to_string())? {
                Reverted::Drifted(difference) if difference.under_way => return Err(difference.to_string()),
                Reverted::Drifted(difference) => residue.push(difference.to_string()),
                // What the mark tells is what the fault made of it; what was looked at is how it is now.
                Reverted::Undone { looked_at }
                | Reverted::AlreadyGone { looked_at }
                | Reverted::LetStand { looked_at } => {
                    out::warn(format!("squall: put back, since nobody holds it any more: {looked_at}"));
                }
            }
        }
        Ok(residue)
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

/// Puts back what is overdue, for as long as it is polled.
pub(super) async fn stand_watch(office: Arc<Office>) {
    let mut told = Vec::new();
    loop {
        let now = Timestamp::now();
        let is_overdue = move |mark: &Mark| mark.held.as_ref().is_some_and(|held| held.is_overdue(now));
        match marks_put_back(&office.cluster, is_overdue).await {
            Ok(residue) => {
                if residue != told {
                    residue.iter().for_each(|words| out::warn(format!("squall: residue: {words}")));
                    told = residue;
                }
            }
            Err(error) => tracing::warn!(error, "could not look for what is overdue"),
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
}
