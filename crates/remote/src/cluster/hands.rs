//! Kubernetes clusters: objects that are changed, made, evicted and deleted through the API.
//!
//! What is undone is known by the numbers of the cluster and of the object, and only over our own values. While an API
//! server cannot be reached, what it is to put back is *under way*: it is asked again until it answers.

mod fields;
mod find;
mod leftovers;
pub mod marks;
mod note;
mod owed;
mod side_by_side;

use leftovers::Remainder;
use note::Note;
use serde_json::{Value as Json, json};
use side_by_side::side_by_side;
use squall_kubernetes::{Cluster, ClusterError, Deletion, Kind, Place, PodFilter, Problem, Reference, wait};
use squall_model::cluster::{
    ClusterPlace, ClusterRef, Field, FieldChange, MARK_LABEL, ObjectChange, ObjectRef, ObjectStep,
    STRUCK_LABEL, Shows,
};
use squall_model::facts::{Scope, Subject};
use squall_model::machine::{Leftover, MachineError};
use squall_model::step::Step;
use squall_model::target::Target;
use squall_model::undo::{Effect, Evidence, Reverted, Undo};
use squall_model::undo_log::Logged;
use squall_model::units;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a call may take with all its tries: less than the warden waits for a sign of life.
const CALLS: Duration = Duration::from_secs(4);
/// The same for the first, which gets credentials too, perhaps from a program; and for lists of many.
const FIRST: Duration = Duration::from_secs(15);
/// The same for a look.
const LOOKS: Duration = Duration::from_millis(1500);
/// How long it may take to find what a target is while something is active, however many questions that needs.
const FINDS: Duration = Duration::from_secs(3);
/// What was read so lately need not be read again to plan; whoever makes the change tests it in any case.
const FRESH: Duration = Duration::from_secs(5);
/// How often a change is tried that somebody else's change came before.
const TRIES: u32 = 5;
/// So many objects of one namespace are looked at one by one; more are listed.
const ONE_BY_ONE: usize = 8;
/// So many changed objects are looked at in one look; of more, those first that have shown nothing yet.
const AT_A_LOOK: usize = 256;
/// After so long without an undo that is wanted of it, a cluster that did not answer is asked again.
const SILENT: Duration = Duration::from_secs(1);

/// All clusters that experiments name.
#[derive(Default)]
pub(crate) struct Clusters {
    opened: BTreeMap<ClusterPlace, Client>,
    /// Whether something is active, so that nobody waits for long.
    is_hurried: bool,
    /// When the last target was looked up.
    resolved: Option<Instant>,
    /// Numbers of objects that some fault had changed when they were looked up.
    struck: BTreeSet<String>,
    /// Pods that are to be evicted as soon as their budgets allow it.
    waiting: BTreeSet<String>,
    /// Clusters whose marks are looked for.
    known: Vec<ClusterPlace>,
    /// What was left there at the last look.
    left: Vec<(Client, Remainder)>,
    /// Objects that were seen to be gone, by number: they do not come back.
    gone: BTreeSet<String>,
    /// Objects whose making was refused, by mark and name: there is nothing of ours to be taken away.
    refused: BTreeSet<(String, String)>,
    /// What changed objects have shown, by mark and number, and at which look; of very many not all are looked at each time.
    shown: BTreeMap<(String, String), (u64, Result<Evidence, MachineError>)>,
    /// How many looks there were.
    looks: u64,
    /// When an undo was last wanted of a cluster that does not answer: whoever waits for many undos waits once.
    silent: BTreeMap<ClusterRef, Instant>,
}

/// A cluster that was reached.
#[derive(Clone)]
struct Client {
    cluster: Cluster,
    reference: ClusterRef,
}

impl Clusters {
    /// Whether a target is in a cluster.
    pub(crate) fn has(target: &Target) -> bool {
        // Those that were chosen for a node are that node's.
        !matches!(target, Target::Pod(selector) if !selector.placed.is_empty()) && target.is_in_cluster()
    }

    /// Whether a step is for a cluster.
    pub(crate) fn makes(step: &Step) -> bool {
        matches!(step, Step::Object(_))
    }

    /// Whether an undo is for a cluster.
    pub(crate) fn undoes(undo: &Undo) -> bool {
        matches!(undo, Undo::Object { .. } | Undo::Created { .. })
    }

    /// From now on marks are looked for in these clusters too.
    pub(crate) fn know(&mut self, places: impl IntoIterator<Item = ClusterPlace>) {
        self.known.extend(places);
    }

    /// Marks in the clusters that are known.
    pub(crate) fn leftovers(&mut self) -> Result<Vec<Leftover>, MachineError> {
        self.left.clear();
        for place in self.known.clone() {
            let client = self.client(&place)?;
            self.left.extend(leftovers::find(&client)?.into_iter().map(|one| (client.clone(), one)));
        }
        Ok(self.left.iter().map(|(_, one)| one.leftover.clone()).collect())
    }

    /// Takes away what was found as a leftover; `None` where it is none of a cluster.
    pub(crate) fn remove(&mut self, leftover: &Leftover) -> Result<Option<Reverted>, MachineError> {
        // Each knows its object by number, and looks at it anew.
        let is_it = |(_, one): &&(Client, Remainder)| one.leftover == *leftover;
        if !self.left.iter().any(|one| is_it(&one)) {
            self.leftovers()?;
        }
        let found = self.left.iter().find(is_it);
        found.map(|(client, one)| leftovers::remove(client, one)).transpose()
    }

    /// From now on something is active, or no longer.
    pub(crate) fn hurry(&mut self, is_hurried: bool) {
        self.is_hurried = is_hurried;
    }

    /// What a target is.
    pub(crate) fn resolve(&mut self, scope: Scope, target: &Target) -> Result<Vec<Subject>, MachineError> {
        let client = self.client(&target.cluster().ok_or_else(|| misfit(target))?)?;
        let patience = self.is_hurried.then_some(FINDS);
        let found = match (scope, target) {
            (Scope::Pod, Target::Pod(selector)) => within(patience, target, find::pods(&client, selector)),
            (Scope::Node, Target::Node(selector)) => within(patience, target, find::nodes(&client, selector)),
            (Scope::Workload, Target::Workload(selector)) => {
                within(patience, target, find::workloads(&client, selector))
            }
            (Scope::VirtualService, Target::VirtualService(selector)) => {
                within(patience, target, find::virtual_services(&client, selector))
            }
            _ => return Err(misfit(target)),
        };
        self.resolved = Some(Instant::now());
        let found = found?;
        self.struck.extend(found.iter().filter_map(struck).cloned());
        Ok(found)
    }

    /// Whether such a step may be made at the same time as others: an eviction needs to see what the one before it took of a
    /// budget.
    pub(crate) fn makes_at_once(step: &Step) -> bool {
        matches!(step, Step::Object(step) if !matches!(step.change, ObjectChange::Evict { .. }))
    }

    /// What must be known to undo steps.
    pub(crate) fn capture_all(&mut self, steps: &[&Step]) -> Vec<Result<Undo, MachineError>> {
        let is_fresh = self.resolved.is_some_and(|at| at.elapsed() < FRESH);
        let asked: Vec<_> = steps.iter().map(|step| self.with_client(step)).collect();
        let struck = &self.struck;
        side_by_side(&asked, |asked| {
            let (step, client) = asked.as_ref().map_err(MachineError::clone)?;
            captured(client, step, is_fresh && !struck.contains(&step.object.uid))
        })
    }

    /// Makes the changes of steps whose undos are on disk.
    pub(crate) fn apply_all(&mut self, logged: &[Logged<'_>]) -> Vec<Result<(), MachineError>> {
        if let [one] = logged
            && let Step::Object(step) = one.step()
            && let ObjectChange::Evict { grace } = &step.change
        {
            let client = self.client_of(&step.object.cluster);
            let evicted =
                client.and_then(|client| self.evict(&client.cluster.hurried(CALLS), &step.object, *grace));
            return vec![evicted];
        }
        let asked: Vec<_> =
            logged.iter().map(|logged| Ok((self.with_client(logged.step())?, logged.undo()))).collect();
        let made = side_by_side(&asked, |asked: &Result<_, MachineError>| {
            let ((step, client), undo) = asked.as_ref().map_err(MachineError::clone)?;
            make(client, step, undo)
        });
        for (logged, made) in logged.iter().zip(&made) {
            if let (Undo::Created { object, mark }, Err(error)) = (logged.undo(), made)
                && was_refused(error)
            {
                self.refused.insert((mark.clone(), object.to_string()));
            }
        }
        made
    }

    fn with_client<'s>(&mut self, step: &'s Step) -> Result<(&'s ObjectStep, Client), MachineError> {
        let Step::Object(step) = step else { return Err(elsewhere(step.kind())) };
        Ok((step, self.client_of(&step.object.cluster)?))
    }

    /// Asks for an eviction. What a budget does not allow now is asked for again at each look.
    fn evict(
        &mut self,
        cluster: &Cluster,
        pod: &ObjectRef,
        grace: Option<units::Duration>,
    ) -> Result<(), MachineError> {
        let namespace = pod.namespace.as_deref().unwrap_or_default();
        match wait(cluster.evict(namespace, &pod.name, Some(&pod.uid), seconds(grace))) {
            Err(error) if error.problem == Problem::Budget => {
                self.waiting.insert(pod.uid.clone());
                Ok(())
            }
            other => {
                self.waiting.remove(&pod.uid);
                other.or_else(gone_is_well).map_err(worded)
            }
        }
    }

    /// Looks for effects; where many objects of a namespace are meant, all of them in one question.
    pub(crate) fn observe(&mut self, applied: &[&Step]) -> Vec<Result<Evidence, MachineError>> {
        // Only pods are ended.
        let mut listed: BTreeMap<(&ClusterRef, &Option<String>), Vec<&ObjectStep>> = BTreeMap::new();
        let steps = applied.iter().filter_map(|step| match step {
            Step::Object(step) if ends(step) && !self.gone.contains(&step.object.uid) => Some(&**step),
            _ => None,
        });
        for step in steps {
            let ObjectRef { cluster, namespace, .. } = &step.object;
            listed.entry((cluster, namespace)).or_default().push(step);
        }
        let mut lives: BTreeMap<String, Life> = BTreeMap::new();
        let many = listed.into_iter().filter(|(_, steps)| steps.len() > ONE_BY_ONE);
        for ((cluster, namespace), steps) in many {
            // Where that fails, each is asked for by itself, and tells why.
            if let Ok(pods) = self.list(cluster, namespace.clone()) {
                let known = |step: &&ObjectStep| pods.get(&step.object.uid).copied();
                let life = |step| known(step).unwrap_or(Life::Gone);
                lives.extend(steps.iter().map(|step| (step.object.uid.clone(), life(step))));
            }
        }
        self.look_at_changed(applied);
        let look = |step: &&Step| match step {
            Step::Object(step) if ends(step) => self.look_for_end(step, lives.get(&step.object.uid).copied()),
            Step::Object(step) => match self.shown.get(&key(step)) {
                Some((_, seen)) => seen.clone(),
                None => Ok(Evidence::not_seen(format!("{} is not looked at yet", step.object))),
            },
            other => Err(elsewhere(other.kind())),
        };
        let seen = applied.iter().map(look).collect();
        with_their_targets(applied, seen)
    }

    /// Looks at objects that were changed or made: those first that have shown nothing yet, then those whose look is longest ago.
    fn look_at_changed(&mut self, applied: &[&Step]) {
        self.looks += 1;
        let changed = applied.iter().filter(|step| matches!(step, Step::Object(step) if !ends(step)));
        let mut due: Vec<_> = changed.map(|step| (self.last_look(step), *step)).collect();
        due.sort_by_key(|(last, _)| *last);
        let due: Vec<&Step> = due.into_iter().take(AT_A_LOOK).map(|(_, step)| step).collect();
        let asked: Vec<_> = due.iter().map(|step| self.with_client(step)).collect();
        let seen = side_by_side(&asked, |asked| {
            let (step, client) = asked.as_ref().map_err(MachineError::clone)?;
            shown(client, step)
        });
        for (step, seen) in due.iter().zip(seen) {
            if let Step::Object(step) = step {
                self.shown.insert(key(step), (self.looks, seen));
            }
        }
    }

    /// Whether an object has shown an effect, and at which look it was looked at last.
    fn last_look(&self, step: &Step) -> (bool, u64) {
        let Step::Object(step) = step else { return (false, 0) };
        let last = self.shown.get(&key(step));
        let is_seen = |seen: &Evidence| seen.effect == Effect::Seen;
        last.map_or((false, 0), |(look, seen)| (seen.as_ref().is_ok_and(is_seen), *look))
    }

    /// How it is with the pods of a namespace, by their numbers.
    fn list(
        &mut self,
        cluster: &ClusterRef,
        namespace: Option<String>,
    ) -> Result<BTreeMap<String, Life>, MachineError> {
        let client = self.client_of(cluster)?;
        let filter = PodFilter { namespaces: namespace.into_iter().collect(), ..PodFilter::default() };
        let pods = wait(client.cluster.hurried(LOOKS).pods(&filter)).map_err(worded)?;
        let life = |deleted| if deleted { Life::Ends } else { Life::Stays };
        Ok(pods.into_iter().map(|pod| (pod.uid, life(pod.deleted))).collect())
    }

    /// One look at a pod that is to end. `life` is what a list has told of it already.
    fn look_for_end(&mut self, step: &ObjectStep, life: Option<Life>) -> Result<Evidence, MachineError> {
        let object = &step.object;
        if self.gone.contains(&object.uid) {
            return Ok(ended(object, true));
        }
        if let Some(life) = life {
            return self.end_of(step, life);
        }
        let content = current(&self.client_of(&object.cluster)?.cluster.hurried(LOOKS), object)?;
        let life = match content {
            None => Life::Gone,
            Some(content) if content["metadata"]["deletionTimestamp"].is_null() => Life::Stays,
            Some(_) => Life::Ends,
        };
        self.end_of(step, life)
    }

    /// What there is to say of a pod that is to end.
    fn end_of(&mut self, step: &ObjectStep, life: Life) -> Result<Evidence, MachineError> {
        let object = &step.object;
        if life == Life::Gone {
            self.gone.insert(object.uid.clone());
        }
        if life != Life::Stays {
            return Ok(ended(object, life == Life::Gone));
        }
        if let (ObjectChange::Evict { grace }, true) = (&step.change, self.waiting.contains(&object.uid)) {
            let cluster = self.client_of(&object.cluster)?.cluster.hurried(LOOKS);
            self.evict(&cluster, object, *grace)?;
            if !self.waiting.contains(&object.uid) {
                return Ok(ended(object, false));
            }
            let words = format!("the disruption budget of {object} does not allow its eviction yet");
            return Ok(Evidence::not_seen(words));
        }
        Ok(Evidence::not_seen(format!("{object} is still there")))
    }

    /// Puts back what the records describe, over our own values only, and looks again.
    pub(crate) fn revert_all(&mut self, undos: &[&Undo]) -> Vec<Result<Reverted, MachineError>> {
        self.silent.retain(|_, since| since.elapsed() < SILENT);
        let asked: Vec<_> = undos.iter().map(|undo| (*undo, self.client_that_answers(undo))).collect();
        let refused = &self.refused;
        let outcomes = side_by_side(&asked, |(undo, client)| {
            if let Undo::Created { object, mark } = undo
                && refused.contains(&(mark.clone(), object.to_string()))
            {
                return Ok(Reverted::AlreadyGone {
                    looked_at: format!("{object}: the cluster refused to make it"),
                });
            }
            owed::put_back(&client.as_ref().map_err(MachineError::clone)?.cluster, undo)
        });
        let told = |(undo, outcome): (&&Undo, _)| match (owed::object_of(undo)?, outcome) {
            (object, Err(MachineError::Failed { message })) => {
                self.silent.entry(object.cluster.clone()).or_insert_with(Instant::now);
                Ok(owed::under_way(object, undo, &message))
            }
            (object, outcome) => {
                // What comes later looks at it anew.
                self.shown.remove(&(mark_of(undo), object.uid.clone()));
                outcome
            }
        };
        undos.iter().zip(outcomes).map(told).collect()
    }

    /// The client for an undo, unless its cluster just did not answer.
    fn client_that_answers(&mut self, undo: &Undo) -> Result<Client, MachineError> {
        let cluster = &owed::object_of(undo)?.cluster;
        if let Some(since) = self.silent.get_mut(cluster) {
            // However many there are, all of one call have waited once.
            *since = Instant::now();
            let message = format!("{} does not answer", cluster.server);
            return Err(MachineError::Failed { message });
        }
        self.client_of(cluster)
    }

    /// The client of the place that a target names.
    fn client(&mut self, place: &ClusterPlace) -> Result<Client, MachineError> {
        if let Some(client) = self.opened.get(place) {
            return Ok(client.clone());
        }
        let ClusterPlace { kubeconfig, context } = place.clone();
        let cluster = wait(Cluster::open(&Place { kubeconfig: kubeconfig.map(Into::into), context }, FIRST))
            .map_err(worded)?;
        let uid = wait(cluster.uid()).map_err(worded)?.to_owned();
        // What is undone later finds its way from wherever that is done.
        let lasting = ClusterPlace {
            kubeconfig: match cluster.kubeconfig() {
                [one] => Some(std::path::absolute(one).as_ref().unwrap_or(one).display().to_string()),
                _ => place.kubeconfig.clone(),
            },
            context: cluster.context().map(str::to_owned),
        };
        let reference = ClusterRef { place: lasting, server: cluster.server().to_owned(), uid };
        let client = Client { cluster, reference };
        self.opened.insert(client.reference.place.clone(), client.clone());
        self.opened.insert(place.clone(), client.clone());
        Ok(client)
    }

    /// The client of a cluster that was written down: the same one, whatever the settings lead to now.
    fn client_of(&mut self, cluster: &ClusterRef) -> Result<Client, MachineError> {
        let client = self.client(&cluster.place)?;
        if client.reference.uid == cluster.uid {
            return Ok(client);
        }
        let settings = cluster.place.kubeconfig.as_deref().unwrap_or("the kubeconfig");
        let message = format!(
            "{settings} leads to another cluster now ({}) than the one that was struck ({}); give it a context for that one",
            client.reference.server, cluster.server
        );
        Err(MachineError::Refused { message })
    }
}

/// Waits for what a target is, and no longer than that where somebody is in a hurry.
fn within(
    patience: Option<Duration>,
    target: &Target,
    finding: impl Future<Output = Result<Vec<Subject>, ClusterError>>,
) -> Result<Vec<Subject>, MachineError> {
    let Some(patience) = patience else { return wait(finding).map_err(worded) };
    let found = wait(async { Ok(tokio::time::timeout(patience, finding).await) }).map_err(worded)?;
    let late = |_| MachineError::Failed {
        message: format!("could not find what matches {target}: the cluster did not say within {patience:?}"),
    };
    found.map_err(late)?.map_err(worded)
}

/// The number of what was found, where some fault has changed it.
fn struck(found: &Subject) -> Option<&String> {
    let (object, is_struck) = match found {
        Subject::Pod(pod) => (&pod.object, pod.struck),
        Subject::Node(node) => (&node.object, node.struck),
        Subject::Object(other) => {
            (&other.object, !other.content["metadata"]["labels"][STRUCK_LABEL].is_null())
        }
        _ => return None,
    };
    is_struck.then_some(&object.uid)
}

/// How it is with an object that is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Nothing ends it.
    Stays,
    /// It is being deleted.
    Ends,
    /// It is not there any more.
    Gone,
}

/// An object as it is now; none where it is gone, or another has its name.
fn current(cluster: &Cluster, object: &ObjectRef) -> Result<Option<Json>, MachineError> {
    let found = wait(cluster.get(&reference(object))).map_err(worded)?;
    let is_it = |content: &Json| object.uid.is_empty() || content["metadata"]["uid"] == object.uid;
    Ok(found.filter(is_it))
}

/// Whether a step ends its object.
fn ends(step: &ObjectStep) -> bool {
    matches!(step.change, ObjectChange::Delete { .. } | ObjectChange::Evict { .. })
}

fn ended(object: &ObjectRef, is_gone: bool) -> Evidence {
    let state = if is_gone { "gone" } else { "ending" };
    Evidence::seen(format!("{object} is {state}")).with("deleted", 1.0)
}

/// What was made for an object that is gone strikes nothing any more, though it is there.
fn with_their_targets(
    applied: &[&Step],
    seen: Vec<Result<Evidence, MachineError>>,
) -> Vec<Result<Evidence, MachineError>> {
    let steps = applied.iter().map(|step| if let Step::Object(step) = step { Some(&**step) } else { None });
    let is_gone =
        |seen: &Result<Evidence, MachineError>| seen.as_ref().is_ok_and(|seen| seen.effect == Effect::Gone);
    let gone: BTreeMap<&String, Evidence> = steps
        .clone()
        .zip(&seen)
        .filter(|(_, seen)| is_gone(seen))
        .filter_map(|(step, seen)| Some((&step?.mark, seen.clone().ok()?)))
        .collect();
    let of_target = |step: &ObjectStep| match step.change {
        ObjectChange::Create { .. } => gone.get(&step.mark).cloned(),
        _ => None,
    };
    steps.zip(&seen).map(|(step, seen)| step.and_then(of_target).map_or_else(|| seen.clone(), Ok)).collect()
}

/// Whether fields are as we made them, and what that has done.
fn changed(step: &ObjectStep, fields: &[Field], content: &Json) -> Evidence {
    let object = &step.object;
    let lost = fields::lost(fields, content);
    if !lost.is_empty() {
        let lost = lost.join(", ");
        return Evidence::lost(format!("{lost} of {object} is not as it was made: somebody else changed it"));
    }
    match step.shows {
        Shows::Itself => {
            let fields: Vec<String> = fields.iter().map(Field::to_string).collect();
            Evidence::seen(format!("{object}: {}", fields.join(", ")))
        }
        Shows::Replicas => {
            let wanted = content["spec"]["replicas"].as_u64().unwrap_or(1);
            let count = |name: &str| content["status"][name].as_u64().unwrap_or(0);
            let (now, ready) = (count("replicas"), count("readyReplicas"));
            let words = format!("{object}: replicas {now}, ready {ready}, wanted {wanted}");
            let evidence = if now == wanted { Evidence::seen(words) } else { Evidence::not_seen(words) };
            evidence.with("replicas", now as f64).with("ready", ready as f64)
        }
        Shows::Down => {
            let down = fields::struck_containers(fields, content);
            let words = |state: &str| format!("containers of {object} {state}: {}", down.0.join(", "));
            if down.1 { Evidence::seen(words("do not run")) } else { Evidence::not_seen(words("still run")) }
        }
    }
}

/// What must be known to undo a step.
fn captured(client: &Client, step: &ObjectStep, is_fresh: bool) -> Result<Undo, MachineError> {
    let object = &step.object;
    match &step.change {
        ObjectChange::Delete { .. } => Ok(Undo::Nothing {
            why: format!("nothing brings {object} back; its controller, where it has one, makes another"),
        }),
        ObjectChange::Evict { .. } => Ok(Undo::Nothing {
            why: format!(
                "nothing brings {object} back; its controller, where it has one, makes another elsewhere"
            ),
        }),
        ObjectChange::Create { .. } => {
            Ok(Undo::Created { object: Box::new(object.clone()), mark: step.mark.clone() })
        }
        ObjectChange::Fields { fields } => {
            let is_known = |field: &Field| {
                matches!(&field.change, FieldChange::Put { before: Some(_), .. } | FieldChange::Append { .. })
            };
            let fields = if is_fresh && fields.iter().all(is_known) {
                fields.clone()
            } else {
                let content =
                    current(&client.cluster.hurried(CALLS), object)?.ok_or_else(|| gone_meanwhile(object))?;
                note::unless_held(object, fields, &step.mark, &content)?;
                fields::captured(object, fields, &content)?
            };
            Ok(Undo::Object { object: Box::new(object.clone()), fields, mark: step.mark.clone() })
        }
    }
}

/// Makes the change of a step whose undo is on disk; evictions are asked for elsewhere.
fn make(client: &Client, step: &ObjectStep, undo: &Undo) -> Result<(), MachineError> {
    let cluster = client.cluster.hurried(CALLS);
    match (&step.change, undo) {
        (ObjectChange::Delete { grace }, _) => {
            let how =
                Deletion { uid: Some(step.object.uid.clone()), grace: seconds(*grace), dependents: None };
            wait(cluster.delete(&reference(&step.object), &how)).or_else(gone_is_well).map_err(worded)
        }
        (ObjectChange::Create { body }, _) => create(&cluster, step, body),
        (ObjectChange::Fields { .. }, Undo::Object { fields, .. }) => put(&cluster, step, fields),
        _ => Err(MachineError::Failed { message: "the undo is of another step".to_owned() }),
    }
}

/// What a look at a step's object is known by.
fn key(step: &ObjectStep) -> (String, String) {
    (step.mark.clone(), step.object.uid.clone())
}

/// The mark of what is undone.
fn mark_of(undo: &Undo) -> String {
    match undo {
        Undo::Object { mark, .. } | Undo::Created { mark, .. } => mark.clone(),
        _ => String::new(),
    }
}

/// One look at an object that was changed or made.
fn shown(client: &Client, step: &ObjectStep) -> Result<Evidence, MachineError> {
    let object = &step.object;
    let content = current(&client.cluster.hurried(LOOKS), object)?;
    Ok(match (&step.change, content) {
        (ObjectChange::Fields { fields }, Some(content)) => changed(step, fields, &content),
        (ObjectChange::Fields { .. }, None) => Evidence::gone(format!("{object} is gone")),
        (_, Some(_)) => Evidence::seen(format!("{object} is there")),
        (_, None) => Evidence::lost(format!("{object} is not there: somebody else deleted it")),
    })
}

fn create(cluster: &Cluster, step: &ObjectStep, body: &Json) -> Result<(), MachineError> {
    let mut body = body.clone();
    body["metadata"]["name"] = step.object.name.clone().into();
    body["metadata"]["labels"][MARK_LABEL] = step.mark.clone().into();
    body["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("squall");
    for field in Note::of(step, None).written(&step.object, &body)? {
        if let FieldChange::Put { value, .. } = field.change {
            body[&field.path[0]][&field.path[1]][&field.path[2]] = value;
        }
    }
    let made = wait(cluster.create(&kind(&step.object), step.object.namespace.as_deref(), &body));
    made.map(drop).map_err(worded)
}

/// Gives fields our values, unless they are not as they were captured, and writes down on the object how that is undone.
fn put(cluster: &Cluster, step: &ObjectStep, fields: &[Field]) -> Result<(), MachineError> {
    let object = &step.object;
    let (reference, note) = (reference(object), Note::of(step, Some(fields)));
    for _ in 0..TRIES {
        let content = current(cluster, object)?.ok_or_else(|| gone_meanwhile(object))?;
        note::unless_held(object, fields, &step.mark, &content)?;
        let all = [fields, &note.written(object, &content)?].concat();
        match wait(cluster.patch(&reference, &fields::forth(object, &all, &content)?)) {
            Ok(made) => return unless_bent(cluster, step, fields, &made),
            Err(error) if error.problem == Problem::Conflict => {}
            Err(error) => return Err(worded(error)),
        }
    }
    Err(MachineError::Failed {
        message: format!(
            "could not change {object}: others change it at the same time, {TRIES} times in a row"
        ),
    })
}

/// Takes back at once what the cluster made other values of, as a rule of its own may: later it could not be told from what
/// somebody else decided.
fn unless_bent(
    cluster: &Cluster,
    step: &ObjectStep,
    fields: &[Field],
    made: &Json,
) -> Result<(), MachineError> {
    let object = &step.object;
    let bent = fields::lost(fields, made);
    if bent.is_empty() {
        return Ok(());
    }
    let taken_back = owed::give_back(cluster, object, &fields::as_made(fields, made), &step.mark);
    let fate = match taken_back {
        Ok(Reverted::Drifted(difference)) => difference.to_string(),
        Ok(other) => other.looked_at().to_owned(),
        Err(error) => format!("and that could not be taken back: {error}"),
    };
    let message = format!("the cluster makes something else of {} of {object}: {fate}", bent.join(", "));
    Err(MachineError::Refused { message })
}

/// Whole seconds, as the API counts them.
fn seconds(grace: Option<units::Duration>) -> Option<u32> {
    grace.map(|grace| u32::try_from(grace.0.as_secs()).unwrap_or(u32::MAX))
}

/// What is gone, or another's by now, needs no end.
fn gone_is_well(error: ClusterError) -> Result<(), ClusterError> {
    match error.problem {
        Problem::NotFound | Problem::Conflict => Ok(()),
        _ => Err(error),
    }
}

fn kind(object: &ObjectRef) -> Kind {
    let known = object.kind.clone();
    Kind {
        group: known.group.into(),
        version: known.version.into(),
        kind: known.kind.into(),
        plural: known.plural.into(),
        namespaced: object.namespace.is_some(),
    }
}

fn reference(object: &ObjectRef) -> Reference {
    kind(object).named(object.namespace.as_deref(), &object.name)
}

fn gone_meanwhile(object: &ObjectRef) -> MachineError {
    MachineError::Gone { message: format!("{object} is gone, or another has its name; plan again") }
}

fn misfit(target: &Target) -> MachineError {
    MachineError::Refused { message: format!("this fault does not strike {target}") }
}

fn elsewhere(kind: &str) -> MachineError {
    MachineError::Refused { message: format!("a step of the kind {kind} is not for a cluster") }
}

/// Whether an order was not carried out for sure: somebody answered, and said no.
fn was_refused(error: &MachineError) -> bool {
    matches!(
        error,
        MachineError::Forbidden { .. } | MachineError::Refused { .. } | MachineError::NotFound { .. }
    )
}

fn worded(error: ClusterError) -> MachineError {
    let message = error.to_string();
    match error.problem {
        Problem::NotFound => MachineError::NotFound { message },
        Problem::Forbidden => MachineError::Forbidden { message, needs: None },
        Problem::Invalid | Problem::Conflict | Problem::Budget => MachineError::Refused { message },
        Problem::Expired | Problem::Unknown => MachineError::Failed { message },
    }
}
