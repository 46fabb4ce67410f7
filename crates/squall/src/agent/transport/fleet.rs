//! Many agents that are one to the brain: the one here, and one on each node of a cluster where a fault of the run strikes.
//!
//! ```text
//! brain ── FleetLink ──┬── the agent here: chooses among all pods, and says on which nodes something is to be planned
//!                      ├── the agent on node-1: plans, injects, observes and undoes for the pods there
//!                      └── the agent on node-2
//! ```
//!
//! Plans, evidence and what was put back are merged; injections go to who planned them, to all at the same time. Where one
//! agent is lost, all are: the brain lets go of every stream, so that each agent undoes what it holds, and then connects to all
//! of them again. Each agent hears from us by itself, so that a slow one costs no other its lease.

mod merged;
mod roll;

use super::Post;
use merged::{Answered, Member, gather, joined};
use roll::Roll;
use squall_engine::link::{AgentLink, LinkError, Links};
#[cfg(not(feature = "kubernetes"))]
use squall_model::cluster::ClusterPlace;
use squall_model::facts::Privilege;
use squall_model::plan::{Assignment, Inside, Plan, PlanRequest};
use squall_model::probe::Pending;
#[cfg(not(feature = "kubernetes"))]
use squall_model::probe::{Keep, Kept};
use squall_model::protocol::{Answer, Call, CallError, CallErrorKind, Restored};
use squall_model::units;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// So many agents are started at the same time.
const AT_ONCE: usize = 24;

/// How often an agent hears from us: soon enough for the shortest lease, with one that went astray.
const RENEWS_EVERY: Duration = Duration::from_millis(500);

/// What an agent on a node must be able to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The privileges of the faults that are planned.
    pub(crate) privileges: BTreeSet<Privilege>,
    /// How long all of them take together.
    pub(crate) lasts: units::Duration,
}

/// Starts agents on nodes.
pub(crate) trait Outposts: Send + Sync {
    /// Starts an agent on a node and opens a stream to it. Where the run had one there, that one is ended first.
    ///
    /// # Errors
    /// Says what was tried, what came back and what to do.
    fn connect(&self, post: &Post, needs: &Needs) -> Pending<'static, Result<Arc<dyn AgentLink>, CallError>>;

    /// What is to be told to a run before agents can be started, if something is, for those who only plan one.
    fn lacks(&self) -> Option<String> {
        None
    }
}

/// There are none, in a program that was built without Kubernetes.
#[cfg(not(feature = "kubernetes"))]
pub(super) struct Nowhere;

#[cfg(not(feature = "kubernetes"))]
impl Outposts for Nowhere {
    fn connect(&self, post: &Post, _: &Needs) -> Pending<'static, Result<Arc<dyn AgentLink>, CallError>> {
        let message = format!("could not start an agent on {post}: this squall was built without Kubernetes");
        let error = CallError { kind: CallErrorKind::Invalid, message, entry: None };
        Box::pin(std::future::ready(Err(error)))
    }
}

#[cfg(not(feature = "kubernetes"))]
impl Keep for Nowhere {
    fn keep(&self, _: &ClusterPlace, _: &str) -> Pending<'_, Result<Kept, String>> {
        Box::pin(std::future::ready(Err("this squall was built without Kubernetes".to_owned())))
    }
}

/// Opens streams to all agents of a run.
pub(crate) struct Fleet {
    here: Box<dyn Links>,
    outposts: Arc<dyn Outposts>,
    roll: Arc<Mutex<Roll>>,
}

impl Fleet {
    /// The agent here, and others where they are needed.
    pub(crate) fn new(here: impl Links + 'static, outposts: Arc<dyn Outposts>) -> Self {
        Self { here: Box::new(here), outposts, roll: Arc::default() }
    }
}

impl Links for Fleet {
    fn connect(&self) -> Pending<'static, Result<Arc<dyn AgentLink>, String>> {
        let here = self.here.connect();
        let (outposts, roll) = (Arc::clone(&self.outposts), Arc::clone(&self.roll));
        Box::pin(async move {
            // Who may owe something is reached again, or nothing is known.
            let (posts, needs) = {
                let roll = locked(&roll);
                (roll.posts().clone(), roll.needs().clone())
            };
            let mut starting = JoinSet::new();
            for post in posts {
                let connecting = outposts.connect(&post, &needs);
                starting.spawn(async move { (post, connecting.await) });
            }
            let crew = Crew {
                here: here.await?,
                nodes: Mutex::default(),
                hello: Mutex::default(),
                hearts: Mutex::default(),
                outposts,
                roll,
            };
            while let Some(started) = starting.join_next().await {
                let (post, link) = started.map_err(|error| error.to_string())?;
                let link = link.map_err(|error| format!("on {post}: {error}"))?;
                crew.take_on(post, link);
            }
            let link: Arc<dyn AgentLink> = Arc::new(FleetLink(Arc::new(crew)));
            Ok(link)
        })
    }
}

/// The agents that there are now.
struct Crew {
    here: Arc<dyn AgentLink>,
    nodes: Mutex<BTreeMap<Post, Arc<dyn AgentLink>>>,
    /// How the brain greeted.
    hello: Mutex<Option<Call>>,
    /// Tell each that we are here.
    hearts: Mutex<JoinSet<()>>,
    outposts: Arc<dyn Outposts>,
    roll: Arc<Mutex<Roll>>,
}

/// A stream to all of them.
struct FleetLink(Arc<Crew>);

/// What holds no more than a list or a map is in order even where somebody died holding it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crew {
    /// One more. From the first on, each is told by itself that we are here: the brain waits for all of them before it tells
    /// them again, and one that is busy would cost the others their lease.
    fn take_on(&self, post: Post, link: Arc<dyn AgentLink>) {
        let mut hearts = locked(&self.hearts);
        if hearts.is_empty() {
            hearts.spawn(keep_telling(Arc::clone(&self.here)));
        }
        hearts.spawn(keep_telling(Arc::clone(&link)));
        locked(&self.nodes).insert(post, link);
    }

    fn members(&self) -> Vec<(Member, Arc<dyn AgentLink>)> {
        let here = (Member::Here, Arc::clone(&self.here));
        let nodes = locked(&self.nodes);
        let nodes = nodes.iter().map(|(post, link)| (Member::On(post.clone()), Arc::clone(link)));
        [here].into_iter().chain(nodes).collect()
    }

    /// Asks all of them, at once.
    fn ask_all(&self, call: &Call) -> Vec<(Member, Pending<'static, Answered>)> {
        self.members().into_iter().map(|(member, link)| (member, link.call(call.clone()))).collect()
    }

    /// Asks each for its own injections, at once; `made` makes a call of their names.
    fn ask_for(
        &self,
        injections: Vec<String>,
        made: impl Fn(Vec<String>) -> Call,
    ) -> Vec<(Member, Pending<'static, Answered>)> {
        let members = self.members();
        let mut shares = locked(&self.roll).shares(injections);
        let asked = members.into_iter().filter_map(|(member, link)| {
            let share = shares.remove(&member)?;
            Some((member, link.call(made(share))))
        });
        let mut asked: Vec<(Member, Pending<'static, Answered>)> = asked.collect();
        for (member, names) in shares {
            let message = format!("could not reach what holds {}: no agent is {member}", names.join(", "));
            let nobody = CallError { kind: CallErrorKind::Invalid, message, entry: None };
            asked.push((member, Box::pin(std::future::ready(Err(LinkError::Refused(nobody))))));
        }
        asked
    }

    /// Has everything planned on the nodes that is to be planned there.
    async fn plan_elsewhere(
        self: Arc<Self>,
        mut plan: Plan,
        request: PlanRequest,
        needs: Needs,
    ) -> Result<Plan, LinkError> {
        let mut posts: BTreeMap<Post, Vec<Assignment>> = BTreeMap::new();
        for assignment in std::mem::take(&mut plan.elsewhere) {
            let post = Post { cluster: assignment.cluster.clone(), node: assignment.node.clone() };
            posts.entry(post).or_default().push(assignment);
        }
        // Told by who chose them: the agents there know processes only.
        let within = |post: &Post, entry: usize| -> Vec<Inside> {
            let assigned = posts.get(post).into_iter().flatten().filter(|one| one.entry.entry == entry);
            assigned.flat_map(Assignment::within).collect()
        };
        locked(&self.roll).need(&needs);
        let is_joining = request.entries.iter().any(|entry| entry.joining.is_some());
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut planning = JoinSet::new();
        for (post, assignments) in &posts {
            let (crew, room) = (Arc::clone(&self), Arc::clone(&room));
            let post = post.clone();
            let entries = assignments.iter().map(|assignment| assignment.entry.clone()).collect();
            // Chosen and counted already.
            let (targets_limit, spared) = (None, Vec::new());
            let request = PlanRequest { entries, targets_limit, spared, ..request.clone() };
            planning.spawn(async move {
                let _room = room.acquire_owned().await;
                let planned = crew.plan_on(&post, request).await;
                (post, planned)
            });
        }
        let mut planned = BTreeMap::new();
        while let Some(done) = planning.join_next().await {
            let (post, part) = done.map_err(|error| LinkError::Lost(error.to_string()))?;
            match part {
                // What joins on other nodes need not wait for this one.
                Err(LinkError::Refused(error)) if is_joining => plan.notes.push(error.message),
                part => drop(planned.insert(post, part?)),
            }
        }
        for (post, part) in planned {
            let mut part = locked(&self.roll).enter(&post, part);
            for injection in &mut part.injections {
                injection.within = within(&post, injection.entry);
            }
            plan.injections.extend(part.injections);
            plan.notes.extend(part.notes.into_iter().map(|note| format!("{post}: {note}")));
        }
        plan.injections.sort_by_key(|injection| injection.entry);
        Ok(plan)
    }

    async fn plan_on(&self, post: &Post, request: PlanRequest) -> Result<Plan, LinkError> {
        let member = Member::On(post.clone());
        let there = locked(&self.nodes).get(post).cloned();
        let mut notes = Vec::new();
        let link = if let Some(link) = there {
            link
        } else {
            let needs = locked(&self.roll).needs().clone();
            let link = self.outposts.connect(post, &needs).await;
            let link = link.map_err(|error| member.worded(LinkError::Refused(error)))?;
            let hello = locked(&self.hello).clone();
            let hello = hello.ok_or_else(|| LinkError::Lost("nobody was greeted yet".to_owned()))?;
            let greeted = link.call(hello).await.map_err(|error| member.worded(error))?;
            if let Answer::Hello { recovered, .. } = greeted {
                notes.extend(recovered.iter().map(found));
            }
            locked(&self.roll).add(post.clone());
            self.take_on(post.clone(), Arc::clone(&link));
            link
        };
        match link.call(Call::Plan(request)).await.map_err(|error| member.worded(error))? {
            Answer::Plan(mut plan) => {
                plan.notes.splice(0..0, notes);
                Ok(plan)
            }
            _ => Err(member.worded(LinkError::Lost("it answered something else than a plan".to_owned()))),
        }
    }
}

/// What an agent that was just made found there.
fn found(restored: &Restored) -> String {
    let Restored { fault, target, injection, .. } = restored;
    format!("{fault} on {target} ({injection}), which an earlier run had left: {}", restored.fate())
}

/// Tells an agent that we are here until the task is ended.
async fn keep_telling(link: Arc<dyn AgentLink>) {
    let mut ticks = tokio::time::interval(RENEWS_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Whoever waits for an answer learns what is in it; one question at a time is enough.
        if matches!(link.call(Call::Renew).await, Err(LinkError::Lost(_))) {
            return;
        }
    }
}

impl AgentLink for FleetLink {
    fn call(&self, call: Call) -> Pending<'static, Answered> {
        let crew = &self.0;
        match call {
            Call::Hello { .. } => {
                *locked(&crew.hello) = Some(call.clone());
                joined(gather(crew.ask_all(&call)), Arc::clone(&crew.roll))
            }
            Call::Host => crew.here.call(call),
            Call::Plan(request) => self.plan(request),
            Call::Inject { ref injections } if injections.is_empty() => crew.here.call(call),
            Call::Inject { injections } => {
                let asked = crew.ask_for(injections, |injections| Call::Inject { injections });
                joined(gather(asked), Arc::clone(&crew.roll))
            }
            Call::Undo { injections } if !injections.is_empty() => {
                let asked = crew.ask_for(injections, |injections| Call::Undo { injections });
                joined(gather(asked), Arc::clone(&crew.roll))
            }
            Call::Observe | Call::Undo { .. } | Call::Renew | Call::Recover | Call::Leftovers | Call::Bye => {
                joined(gather(crew.ask_all(&call)), Arc::clone(&crew.roll))
            }
        }
    }
}

impl FleetLink {
    fn plan(&self, request: PlanRequest) -> Pending<'static, Answered> {
        let crew = Arc::clone(&self.0);
        let here = crew.here.call(Call::Plan(request.clone()));
        Box::pin(async move {
            let Answer::Plan(mut plan) = here.await? else {
                return Err(LinkError::Lost("it answered something else than a plan".to_owned()));
            };
            locked(&crew.roll).note(&plan);
            if plan.elsewhere.is_empty() {
                return Ok(Answer::Plan(plan));
            }
            if matches!(*locked(&crew.hello), Some(Call::Hello { looks_only: true, .. })) {
                merged::describe(&mut plan);
                plan.notes.extend(crew.outposts.lacks());
                return Ok(Answer::Plan(plan));
            }
            let needs = needs_of(&request);
            crew.plan_elsewhere(plan, request, needs).await.map(Answer::Plan)
        })
    }
}

/// What it takes to make all that is asked for, on whichever node.
fn needs_of(request: &PlanRequest) -> Needs {
    let mut needs = Needs::default();
    for entry in &request.entries {
        let fault = crate::registry::FAULTS.iter().find(|fault| fault.name() == entry.fault);
        let Some(fault) = fault.filter(|fault| fault.scope().is_on_host()) else { continue };
        needs.privileges.extend(fault.privileges());
        needs.lasts = units::Duration(needs.lasts.0.saturating_add(entry.lasts.0));
    }
    needs
}

#[cfg(test)]
mod tests;
