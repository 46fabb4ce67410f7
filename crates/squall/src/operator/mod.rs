//! The operator: experiments, schedules and runs as objects of a cluster, carried out by the same engine as at a terminal.
//!
//! ```text
//! watch ──► store ──► reconcile (pure: what is to be done) ──► deeds ──► the cluster
//!             ▲                                                  │
//!             └── progress (pure: events of a run as a status) ◄─┴──► live: runs, each by `carry`
//! ```
//!
//! Of several operators one acts ([`leader`]). A run whose operator is gone is put back by the next one ([`put_back`]).

pub(crate) mod admission;
pub(crate) mod author;
mod conditions;
mod crds;
mod deeds;
mod desk;
mod events;
mod kinds;
mod leader;
mod live;
mod manifests;
mod object;
mod progress;
mod put_back;
mod read;
mod reconcile;
mod repeats;
pub(crate) mod resources;
mod retire;
mod store;

use crate::carry::AgentOptions;
use crate::exit::{Failure, Outcome};
use crate::out;
use crate::state::State;
use admission::Webhook;
use clap::{Args, Subcommand, ValueEnum};
use deeds::Office;
use desk::{Desk, Left};
use squall_kubernetes::{Cluster, ClusterError, Place};
use squall_model::units;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How long a call to the cluster may take with all its tries.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many calls are made at the same time.
const CALLS_AT_ONCE: usize = 16;

/// Whether somebody must have recorded who wrote an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum AuthorRule {
    /// What nobody is recorded for is not carried out
    Required,
    /// Who is recorded is asked for; what nobody is recorded for is carried out
    #[default]
    Recorded,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Looks after the kinds of Chaos Mesh too
    #[arg(long)]
    chaos_mesh: bool,
    /// The namespace of the operator's lease and of its agents; without it that of its account, or of the kubeconfig's context
    #[arg(long, value_name = "NAMESPACE", env = "SQUALL_OPERATOR_NAMESPACE")]
    namespace: Option<String>,
    /// Looks after this namespace alone; halts of the whole cluster are heeded all the same
    #[arg(long, value_name = "NAMESPACE")]
    only: Option<String>,
    /// The context of the kubeconfig, outside a cluster
    #[arg(long)]
    context: Option<String>,
    /// How many runs go on at the same time; others wait
    #[arg(long, value_name = "N", default_value_t = 16)]
    at_once: usize,
    /// Whether an object is carried out whose author nobody recorded
    #[arg(long, value_enum, default_value_t)]
    author: AuthorRule,
    #[command(flatten)]
    admission: admission::WebhookOptions,
    /// Lets experiments strike databases and clouds too, with the operator's own network and credentials
    #[arg(long)]
    beyond: bool,
    /// The image of which agents are made on nodes, for faults in pods
    #[arg(long, env = "SQUALL_AGENT_IMAGE", value_name = "IMAGE")]
    agent_image: Option<String>,
    /// How long agents hold faults without hearing from the operator
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    lease: units::Duration,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Prints what the operator needs in a cluster: kinds, rights, the operator itself and its agents
    Manifests(manifests::Options),
    /// Ends all that the operator does and puts it back, so that it can be taken away
    Retire(retire::Options),
    /// Writes the chart for Helm into a folder
    #[command(hide = true)]
    Chart(manifests::Chart),
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        match self.verb {
            None => {}
            Some(Verb::Manifests(options)) => return options.run(),
            Some(Verb::Retire(options)) => return options.run(),
            Some(Verb::Chart(options)) => return options.run(),
        }
        let lease = squall_model::protocol::check_lease(self.lease).map_err(Failure::invalid)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(self.operate(lease))
    }

    async fn operate(self, lease: units::Duration) -> Outcome {
        let state = State::locate()?;
        state.prepare().map_err(|error| state.unusable(&error))?;
        let place = Place { kubeconfig: None, context: self.context.clone() };
        let unreached = |error: ClusterError| Failure::failed(error.to_string());
        let cluster = Cluster::open(&place, PATIENCE).await.map_err(unreached)?;
        let namespace = self.namespace.clone().unwrap_or_else(|| cluster.namespace().to_owned());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let me = format!("{host}-{:04x}", fastrand::u16(..));
        let office = Office {
            me: me.clone(),
            namespace: namespace.clone(),
            chaos_mesh: self.chaos_mesh,
            only: self.only,
            at_once: self.at_once.max(1),
            needs_author: self.author == AuthorRule::Required,
            beyond: self.beyond,
            state,
            agent: AgentOptions {
                lease,
                agent_image: self.agent_image,
                agent_namespace: Some(namespace.clone()),
                resident_agents: true,
                ..AgentOptions::default()
            },
            calls: Semaphore::new(CALLS_AT_ONCE),
            cluster: cluster.clone(),
        };
        out::warn(format!("squall: the operator {me} stands for election in {namespace}, {cluster}"));
        if !office.needs_author {
            out::warn(
                "squall: an object whose author nobody recorded is carried out, whoever wrote it, with all that this operator may do; \
                 `--webhook` and `--author required` change that",
            );
        }
        let office = Arc::new(office);
        // Every replica answers, whoever leads.
        let webhook = Webhook::open(&cluster, &namespace, &self.admission).await.map_err(Failure::failed)?;
        if let Some(address) = webhook.as_ref().and_then(|webhook| webhook.address().ok()) {
            out::warn(format!("squall: the webhook listens on {address}"));
        }
        let _answering = webhook.map(|webhook| {
            let mut answering = JoinSet::new();
            answering.spawn(webhook.serve());
            answering
        });
        let stop = stopped()?;
        let leads = leader::stand(&cluster, &namespace, &me);
        loop {
            let (mut elected, mut stopping) = (leads.clone(), stop.clone());
            tokio::select! {
                led = elected.wait_for(|leads| *leads) => {
                    if led.is_err() {
                        return Err(Failure::failed("the operator's election is over"));
                    }
                }
                _ = stopping.wait_for(|stop| *stop) => return Ok(ExitCode::SUCCESS),
            }
            out::warn(format!("squall: the operator {me} leads"));
            let (desk, mut watching) = Desk::open(Arc::clone(&office)).map_err(unreached)?;
            watching.spawn(put_back::stand_watch(Arc::clone(&office)));
            let left = desk.work(leads.clone(), stop.clone()).await;
            drop(watching);
            match left {
                Left::Stopped => {
                    // Nobody else need wait until the lease is over.
                    if let Err(error) = leader::resign(&cluster, &namespace, &me).await {
                        tracing::warn!(%error, "the lease of the operators could not be given up");
                    }
                    return Ok(ExitCode::SUCCESS);
                }
                Left::Deposed => out::warn(format!("squall: the operator {me} does not lead any more")),
            }
        }
    }
}

/// Becomes true when this process is told to stop.
fn stopped() -> std::io::Result<watch::Receiver<bool>> {
    let (sender, stop) = watch::channel(false);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut arrivals = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            if arrivals.recv().await.is_some() {
                sender.send_replace(true);
            }
        });
    }
    Ok(stop)
}
