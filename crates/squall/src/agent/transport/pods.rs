//! Agents in pods, one on each node where a fault of the run strikes: in a pod that stays there for all runs, where the
//! operator's installation has put one, or in one that is made for this run.
//!
//! What is made hangs on one object, a lease that the run renews, so that whoever comes by can tell that nobody
//! needs it any more; a small process beside the brain ([`keeper`]) takes it away when the brain ends, however it ends.

mod asked;
mod birth;
pub(crate) mod keeper;
mod manifest;
mod owner;
mod resident;

use super::Post;
use super::fleet::{Needs, Outposts};
use super::stream::StreamLink;
use crate::agent::node;
use crate::agent_pod::{CONTAINER, PROGRAM};
use crate::carry::AgentOptions;
use crate::log;
use keeper::{Keeper, Stay};
use owner::Owner;
use squall_engine::link::AgentLink;
use squall_kubernetes::{Cluster, ClusterError, Exec, Exit, Kind, Output, Phase, Place, Problem};
use squall_model::cluster::{ClusterPlace, ClusterRef};
use squall_model::probe::Pending;
use squall_model::protocol::{CallError, CallErrorKind};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::OnceCell;

/// How long a cluster may take for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long is waited to learn how a program ended whose stream did, and what became of its pod.
const TELLS_WITHIN: Duration = Duration::from_secs(2);

/// So many bytes are kept of what an agent complains of.
const COMPLAINTS: usize = 2000;

/// What to say to the run.
pub(super) struct Pods(Arc<Site>);

/// All that a run has in clusters.
struct Site {
    run: String,
    image: Option<String>,
    namespace: Option<String>,
    /// Whether pods that stay are used.
    resident: bool,
    /// What agents log, if anything.
    log: Option<String>,
    keeper: Mutex<Option<Keeper>>,
    camps: tokio::sync::Mutex<BTreeMap<ClusterRef, Arc<Camp>>>,
    /// The pod on each node, by its name.
    pods: Mutex<BTreeMap<Post, String>>,
    made: AtomicU32,
    /// What pods that were made for questions hang on, by their place and namespace.
    asked: tokio::sync::Mutex<BTreeMap<(ClusterPlace, String), Owner>>,
}

/// What a run has in one cluster.
struct Camp {
    cluster: Cluster,
    place: ClusterPlace,
    namespace: String,
    /// What pods that are made hang on, once one is.
    owner: OnceCell<Owner>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn invalid(message: impl Into<String>) -> CallError {
    CallError { kind: CallErrorKind::Invalid, message: message.into(), entry: None }
}

fn failed(message: impl Into<String>) -> CallError {
    CallError { kind: CallErrorKind::Failed, ..invalid(message) }
}

fn told(error: ClusterError) -> CallError {
    match error.problem {
        Problem::Unknown => failed(error.to_string()),
        _ => invalid(error.to_string()),
    }
}

/// Where a cluster is, in the words of those who go there.
pub(crate) fn place(place: &ClusterPlace) -> Place {
    let ClusterPlace { kubeconfig, context } = place;
    Place { kubeconfig: kubeconfig.as_ref().map(Into::into), context: context.clone() }
}

impl Pods {
    /// None is made yet.
    pub(super) fn new(run: &str, options: &AgentOptions) -> Self {
        Self(Arc::new(Site {
            run: run.to_owned(),
            image: options.agent_image.clone(),
            namespace: options.agent_namespace.clone(),
            resident: options.resident_agents,
            log: log::asked().map(|filter| filter.to_string_lossy().into_owned()),
            keeper: Mutex::default(),
            camps: tokio::sync::Mutex::default(),
            pods: Mutex::default(),
            made: AtomicU32::new(0),
            asked: tokio::sync::Mutex::default(),
        }))
    }

    /// The run is over: all that it made goes. What could not be removed, in words.
    pub(super) fn leave(&self) -> Option<String> {
        let keeper = locked(&self.0.keeper).take()?;
        keeper.leave()
    }
}

impl Outposts for Pods {
    fn connect(&self, post: &Post, needs: &Needs) -> Pending<'static, Result<Arc<dyn AgentLink>, CallError>> {
        let (site, post, needs) = (Arc::clone(&self.0), post.clone(), needs.clone());
        Box::pin(async move {
            let camp = site.camp(&post.cluster).await?;
            let camp = if site.knows(&post) { site.moved(&post.cluster, camp).await } else { camp };
            let pod = site.pod(&camp, &post, &needs).await?;
            site.start(camp, &post, pod).await
        })
    }

    fn lacks(&self) -> Option<String> {
        let Site { image, resident, .. } = &*self.0;
        (image.is_none() && !resident).then(|| {
            "agents on nodes are made of an image with Squall, and none is named: `squall run` needs --agent-image, \
             SQUALL_AGENT_IMAGE or --resident-agents"
                .to_owned()
        })
    }
}

impl Site {
    /// The cluster, and the namespace of agents in it.
    async fn camp(&self, known: &ClusterRef) -> Result<Arc<Camp>, CallError> {
        let mut camps = self.camps.lock().await;
        if let Some(camp) = camps.get(known) {
            return Ok(Arc::clone(camp));
        }
        let cluster = Cluster::open(&place(&known.place), PATIENCE).await.map_err(told)?;
        let uid = cluster.uid().await.map_err(told)?;
        if uid != known.uid {
            return Err(invalid(format!(
                "{cluster} is another one ({uid}) than the one in which pods were chosen ({}, {}); does the agent here \
                 use the same kubeconfig? Name it: `kubeconfig:` or `context:` in the target",
                known.server, known.uid
            )));
        }
        let namespace = self.namespace.clone().unwrap_or_else(|| cluster.namespace().to_owned());
        let (place, owner) = (known.place.clone(), OnceCell::new());
        let camp = Arc::new(Camp { cluster, place, namespace, owner });
        camps.insert(known.clone(), Arc::clone(&camp));
        Ok(camp)
    }

    /// Whether the run had a pod on a node.
    fn knows(&self, post: &Post) -> bool {
        locked(&self.pods).contains_key(post)
    }

    /// Where somebody has deleted the namespace of the agents in the middle of the run, those who put back what agents held there,
    /// or see that it is put back, are made in the namespace of the kubeconfig's context.
    async fn moved(&self, known: &ClusterRef, camp: Arc<Camp>) -> Arc<Camp> {
        let other = camp.cluster.namespace().to_owned();
        if other == camp.namespace || !is_gone(&camp.cluster, &camp.namespace).await {
            return camp;
        }
        crate::out::warn(format!(
            "squall: the namespace {} of the agents is gone; what they held is looked after from {other}",
            camp.namespace
        ));
        let (cluster, place) = (camp.cluster.clone(), camp.place.clone());
        let moved = Arc::new(Camp { cluster, place, namespace: other, owner: OnceCell::new() });
        self.camps.lock().await.insert(known.clone(), Arc::clone(&moved));
        moved
    }

    /// What the pods of the run hang on. Nothing of it is made before a pod is.
    async fn owner<'c>(&self, camp: &'c Camp) -> Result<&'c Owner, CallError> {
        let make = || self.make_owner(&camp.cluster, &camp.place, &camp.namespace);
        camp.owner.get_or_try_init(make).await
    }

    /// Makes what pods of the run in a namespace hang on, once somebody is there to remove it.
    async fn make_owner(
        &self,
        cluster: &Cluster,
        at: &ClusterPlace,
        namespace: &str,
    ) -> Result<Owner, CallError> {
        let stay = Stay::new(at, namespace, &self.run);
        self.keep(&stay)?;
        let made = Owner::make(cluster, namespace, &self.run).await;
        if made.as_ref().is_err_and(|error| error.problem == Problem::Forbidden)
            && let Some(keeper) = &mut *locked(&self.keeper)
        {
            // There is nothing, and whoever may not make it would try in vain to remove it.
            keeper.forget(&stay);
        }
        let owner = made.map_err(told)?;
        tokio::spawn(owner::sweep(cluster.clone(), namespace.to_owned()));
        Ok(owner)
    }

    /// Has somebody else remove what is made, should we not be there to do it. Before any of it is.
    fn keep(&self, stay: &Stay) -> Result<(), CallError> {
        let could_not = |error: std::io::Error| {
            failed(format!("could not start who removes what is made in the cluster: {error}"))
        };
        let mut keeper = locked(&self.keeper);
        if keeper.is_none() {
            *keeper = Some(Keeper::start().map_err(could_not)?);
        }
        keeper.as_mut().map_or(Ok(()), |keeper| keeper.tell(stay).map_err(could_not))
    }

    /// The pod on a node: the one that the run has there, one that stays there, or a new one.
    async fn pod(&self, camp: &Camp, post: &Post, needs: &Needs) -> Result<String, CallError> {
        let before = locked(&self.pods).get(post).cloned();
        if let Some(name) = before {
            let pod = camp.cluster.pod(&camp.namespace, &name).await.map_err(told)?;
            if pod.is_some_and(|pod| pod.phase == Phase::Running && !pod.deleted) {
                return Ok(name);
            }
        }
        let mut none_stays = String::new();
        if self.resident {
            match resident::find(&camp.cluster, &camp.namespace, &post.node).await.map_err(told)? {
                Ok(name) => {
                    locked(&self.pods).insert(post.clone(), name.clone());
                    return Ok(name);
                }
                Err(why) => none_stays = format!(" ({why})"),
            }
        }
        let image = self.image.as_deref().ok_or_else(|| {
            invalid(format!(
                "faults in pods are made by an agent on their node, and no image with Squall was named for it{none_stays}: \
                 name one that {post} can have, with --agent-image or SQUALL_AGENT_IMAGE; `cargo xtask image` makes one \
                 from Squall's own program"
            ))
        })?;
        if !none_stays.is_empty() {
            tracing::info!(node = post.node, "a pod is made for an agent{none_stays}");
        }
        birth::check(&camp.cluster, &post.node).await?;
        let name = format!("squall-{}-{}", self.run, self.made.fetch_add(1, Ordering::Relaxed) + 1);
        let owner = self.owner(camp).await?;
        let object = manifest::pod(&name, &self.run, &post.node, image, owner, needs);
        birth::make(&camp.cluster, &camp.namespace, &name, &object).await?;
        locked(&self.pods).insert(post.clone(), name.clone());
        tracing::info!(pod = name, node = post.node, "a pod for an agent runs");
        Ok(name)
    }

    /// Starts an agent in a pod.
    async fn start(
        &self,
        camp: Arc<Camp>,
        post: &Post,
        pod: String,
    ) -> Result<Arc<dyn AgentLink>, CallError> {
        let mut command = vec![PROGRAM, "agent", node::OPTION, &self.run];
        if let Some(filter) = &self.log {
            command.extend(["--log", filter]);
        }
        let started = camp.cluster.exec(&camp.namespace, &pod, Some(CONTAINER), &command).await;
        let Exec { stdin, stdout, stderr, exit } = started.map_err(told)?;
        let complaints = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(listen(stderr, Arc::clone(&complaints), self.log.is_some(), post.to_string()));
        let end = Arc::new(Mutex::new(Some(exit)));
        let why = move |_| {
            let end = locked(&end).take();
            let (camp, pod, complaints) = (Arc::clone(&camp), pod.clone(), Arc::clone(&complaints));
            Box::pin(async move { why_lost(&camp, &pod, end, &complaints).await }) as Pending<'static, String>
        };
        Ok(Arc::new(StreamLink::new(stdin, stdout, why)))
    }
}

/// Whether a namespace is deleted, or is being deleted.
async fn is_gone(cluster: &Cluster, namespace: &str) -> bool {
    match cluster.get(&Kind::NAMESPACE.named(None, namespace)).await {
        Ok(found) => found.is_none_or(|found| !found["metadata"]["deletionTimestamp"].is_null()),
        // Nothing is known.
        Err(_) => false,
    }
}

/// Hears what an agent complains of, and hands on its log.
async fn listen(mut stderr: Output, complaints: Arc<Mutex<Vec<u8>>>, is_log: bool, node: String) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let heard = &buffer[..count];
        if is_log {
            let lines = String::from_utf8_lossy(heard);
            lines.lines().for_each(|line| crate::out::warn(format!("{node}: {line}")));
        }
        let mut kept = locked(&complaints);
        kept.extend_from_slice(heard);
        let surplus = kept.len().saturating_sub(COMPLAINTS);
        kept.drain(..surplus);
    }
}

/// Why an agent is lost: what it said, how it ended, what became of its pod.
async fn why_lost(camp: &Camp, pod: &str, end: Option<Exit>, complaints: &Mutex<Vec<u8>>) -> String {
    let code = match end {
        Some(end) => tokio::time::timeout(TELLS_WITHIN, end.code()).await.ok(),
        None => None,
    };
    let ended = match code {
        Some(Ok(code)) => format!("it ended with {code}"),
        Some(Err(error)) => error.to_string(),
        None => "its stream ended".to_owned(),
    };
    let looked = camp.cluster.hurried(TELLS_WITHIN).pod(&camp.namespace, pod).await;
    let state = match looked {
        Ok(None) => Some("its pod was deleted".to_owned()),
        Ok(Some(found)) if found.deleted => Some("its pod is being deleted".to_owned()),
        Ok(Some(found)) if found.phase != Phase::Running => Some(format!("its pod is {}", found.phase)),
        Ok(Some(_)) | Err(_) => None,
    };
    let said = String::from_utf8_lossy(&locked(complaints)).split_whitespace().collect::<Vec<_>>().join(" ");
    let said = (!said.is_empty()).then(|| format!("it said: {said}"));
    let parts = [Some(format!("the agent is gone: {ended}")), state, said];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_no_image_is_told_before_the_run() {
        let lacks = |options: AgentOptions| Pods::new("r", &options).lacks();
        let told = lacks(AgentOptions::default()).unwrap();
        assert!(told.contains("--agent-image"), "{told}");
        assert_eq!(
            lacks(AgentOptions { agent_image: Some("squall:1".into()), ..AgentOptions::default() }),
            None
        );
        assert_eq!(lacks(AgentOptions { resident_agents: true, ..AgentOptions::default() }), None);
    }
}
