//! `squall operator retire`: ends all that an installed operator does and puts it back, while it still has the rights to, so that it
//! can be taken away and leaves nothing behind.
//!
//! The operator's own pods are told to end first, and put back what they hold. Whatever they could not do (one was killed, a
//! webhook without an operator refused it) a desk does that begins nothing.

use super::deeds::Office;
use super::desk::{Desk, Rest, STOPS_WITHIN};
use super::manifests::{ACCOUNT, OPERATOR};
use super::resources::EXPERIMENT;
use super::{CALLS_AT_ONCE, PATIENCE, leader, object};
use crate::agent_pod::{COMPONENT_LABEL, NAME_LABEL};
use crate::carry::AgentOptions;
use crate::exit::{Failure, Outcome};
use crate::out;
use crate::state::State;
use clap::{Args, Parser};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use squall_kubernetes::{Cluster, ClusterError, Deletion, Kind, Operation, Place, PodFilter, Problem};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

/// How long the operator's pods have to be gone: what they take to put back and to end, and what a busy cluster takes to see it.
const PODS_END_WITHIN: Duration = Duration::from_secs(STOPS_WITHIN.as_secs() + 40);
/// How often is looked whether they are.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// How often is told what is waited for.
const TELLS_EVERY: Duration = Duration::from_secs(10);
/// How long it may take to lead: an operator that was killed is believed to lead for as long as its lease lasts.
const LEADS_WITHIN: Duration = Duration::from_secs(45);

/// `squall operator retire`
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the operator was installed
    #[arg(
        long,
        default_value = "squall-system",
        value_name = "NAMESPACE",
        env = "SQUALL_OPERATOR_NAMESPACE"
    )]
    namespace: String,
    /// The context of the kubeconfig
    #[arg(long)]
    context: Option<String>,
    /// It looked after the kinds of Chaos Mesh too; not needed as long as its Deployment is there, which says so
    #[arg(long)]
    chaos_mesh: bool,
    /// It looked after this namespace alone; not needed as long as its Deployment is there
    #[arg(long, value_name = "NAMESPACE")]
    only: Option<String>,
}

/// What an operator was started with.
#[derive(Debug, Parser)]
#[command(no_binary_name = false, disable_help_flag = true)]
struct Started {
    #[command(flatten)]
    options: super::Options,
}

/// What it looked after.
struct LooksAfter {
    chaos_mesh: bool,
    only: Option<String>,
}

fn unreached(error: ClusterError) -> Failure {
    Failure::failed(error.to_string())
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.retire())
    }

    async fn retire(self) -> Outcome {
        let begun = Timestamp::now();
        let state = State::locate()?;
        state.prepare().map_err(|error| state.unusable(&error))?;
        let place = Place { kubeconfig: None, context: self.context.clone() };
        let cluster = Cluster::open(&place, PATIENCE).await.map_err(unreached)?;
        let operator = Kind::DEPLOYMENT.named(Some(&self.namespace), ACCOUNT);
        let deployment = cluster.get(&operator).await.map_err(unreached)?;
        let started = deployment.as_ref().and_then(started);
        let only = self.only.clone().or_else(|| started.as_ref().and_then(|started| started.only.clone()));
        if !has_kinds(&cluster, only.as_deref()).await.map_err(unreached)? {
            out::warn(format!(
                "squall: {cluster} has none of the kinds of Squall's operator: there is nothing to retire"
            ));
            return Ok(ExitCode::SUCCESS);
        }
        match deployment {
            Some(_) => self.end_pods(&cluster).await?,
            None => out::warn(format!("squall: there is no {operator}: what it left is put back")),
        }
        remove_webhook(&cluster, &self.namespace).await.map_err(unreached)?;
        let looks_after = LooksAfter {
            chaos_mesh: self.chaos_mesh || started.is_some_and(|started| started.chaos_mesh),
            only,
        };
        let rest = self.tidy(cluster.clone(), state, looks_after, begun).await?;
        told(&rest, &cluster)
    }

    /// Has the operator's pods end, which end what they do and put it back.
    async fn end_pods(&self, cluster: &Cluster) -> Result<(), Failure> {
        let operator = Kind::DEPLOYMENT.named(Some(&self.namespace), ACCOUNT);
        out::warn(format!(
            "squall: {operator} is to have no pods any more; those that there are put back what they hold"
        ));
        let none = Operation::Replace { path: "/spec/replicas".to_owned(), value: json!(0) };
        cluster.patch(&operator, &[none]).await.map_err(unreached)?;
        let filter = PodFilter {
            namespaces: vec![self.namespace.clone()],
            labels: format!("{}={},{COMPONENT_LABEL}={OPERATOR}", NAME_LABEL.0, NAME_LABEL.1),
            ..PodFilter::default()
        };
        let (end, mut told) = (Instant::now() + PODS_END_WITHIN, Instant::now());
        loop {
            let left = cluster.pods(&filter).await.map_err(unreached)?;
            let Some(pod) = left.first() else { return Ok(()) };
            if Instant::now() >= end {
                return Err(Failure::failed(format!(
                    "pod {} of the operator does not end; see what becomes of it, and retire the operator once more",
                    pod.reference().name
                )));
            }
            if told.elapsed() >= TELLS_EVERY {
                told = Instant::now();
                out::warn(format!("squall: pods of the operator that have not ended yet: {}", left.len()));
            }
            sleep(LOOKS_EVERY).await;
        }
    }

    /// Does what the operator left undone; nobody else may do so at the same time.
    async fn tidy(
        &self,
        cluster: Cluster,
        state: State,
        looks_after: LooksAfter,
        begun: Timestamp,
    ) -> Result<Rest, Failure> {
        let me = format!("retire-{:08x}", fastrand::u32(..));
        let namespace = self.namespace.clone();
        let place = cluster.get(&Kind::NAMESPACE.named(None, &namespace)).await.map_err(unreached)?;
        // With the namespace go the operator's account and its lease: nobody leads there, and nobody can.
        let is_there = place.is_some_and(|place| object::deleted(&place).is_none());
        let leads = is_there.then(|| leader::stand(&cluster, &namespace, &me));
        if let Some(leads) = &leads {
            let elected = timeout(LEADS_WITHIN, leads.clone().wait_for(|leads| *leads)).await.is_ok();
            if !elected {
                return Err(Failure::failed(format!(
                    "another operator leads in {namespace} (Lease {}), or the lease cannot be had; end that operator, and retire \
                     it once more",
                    leader::LEASE
                )));
            }
        }
        let office = Office {
            me: me.clone(),
            namespace: namespace.clone(),
            chaos_mesh: looks_after.chaos_mesh,
            only: looks_after.only,
            at_once: 1,
            needs_author: true,
            beyond: false,
            state,
            agent: AgentOptions::default(),
            calls: Semaphore::new(CALLS_AT_ONCE),
            cluster: cluster.clone(),
        };
        let (desk, watching) = Desk::open(Arc::new(office)).map_err(unreached)?;
        let rest = desk.retire(begun).await;
        drop((watching, leads));
        if is_there && let Err(error) = leader::resign(&cluster, &namespace, &me).await {
            tracing::warn!(%error, "the lease of the operators could not be given up");
        }
        Ok(rest)
    }
}

/// Whether the cluster has the operator's kinds at all.
async fn has_kinds(cluster: &Cluster, only: Option<&str>) -> Result<bool, ClusterError> {
    match cluster.list(&EXPERIMENT, only, "").await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.problem, Problem::NotFound | Problem::Invalid) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the operator of a Deployment was started with, as far as it can be read.
fn started(deployment: &Json) -> Option<super::Options> {
    let words = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array()?;
    let words = words.iter().filter_map(Json::as_str);
    Started::try_parse_from(words).ok().map(|started| started.options)
}

/// Without an operator, the API server would refuse every change of what the webhook is asked about.
async fn remove_webhook(cluster: &Cluster, namespace: &str) -> Result<(), ClusterError> {
    let configuration = Kind::MUTATING_WEBHOOK_CONFIGURATION.named(None, super::admission::CONFIGURATION);
    let Some(found) = cluster.get(&configuration).await? else { return Ok(()) };
    if found["webhooks"][0]["clientConfig"]["service"]["namespace"] != namespace {
        return Ok(());
    }
    match cluster.delete(&configuration, &Deletion::default()).await {
        Err(error) if error.problem != Problem::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn told(rest: &Rest, cluster: &Cluster) -> Outcome {
    if !rest.residue.is_empty() {
        return Err(Failure::residue(format!("not all could be put back:\n  {}", rest.residue.join("\n  "))));
    }
    if !rest.held.is_empty() {
        return Err(Failure::failed(format!(
            "this goes on, or is held by Squall's finalizer still: {}; retire the operator once more",
            rest.held.join(", ")
        )));
    }
    out::warn(format!(
        "squall: the operator in {cluster} is retired: nothing of it goes on, and no object is held; take it away, or have it work \
         again with as many replicas as before"
    ));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_says_what_its_operator_looks_after() {
        let of = |words: Json| {
            let container = json!({"args": words});
            started(&json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
        };
        let all = of(json!([
            "operator",
            "--chaos-mesh",
            "--webhook",
            "0.0.0.0:9443",
            "--author",
            "required",
            "--only",
            "shop"
        ]));
        assert!(all.is_some_and(|started| started.chaos_mesh && started.only.as_deref() == Some("shop")));
        assert!(of(json!(["operator"])).is_some_and(|started| !started.chaos_mesh && started.only.is_none()));
        assert!(of(json!(["operator", "--of-a-later-version"])).is_none());
    }
}
