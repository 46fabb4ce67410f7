//! What decisions come to, done in the cluster.

use super::author::{self, Author};
use super::live::Start;
use super::object::{self, Name};
use super::progress::{HELD, NOT_READY, PASSING, Progress};
use super::read::{self, Reach};
use super::reconcile::{self, Deed};
use super::resources::{CHAOS, FINALIZER, OPTED_IN, Phase, RUN, RunSpec, RunStatus, SOURCE};
use super::{conditions, events, kinds, put_back};
use crate::carry::{self, AgentOptions};
use crate::state::State;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use squall_kubernetes::{
    Application, Cluster, ClusterError, Deletion, Kind, Operation, Problem, Reference, pointer,
};
use squall_model::experiment::Experiment;
use squall_model::verdict::Verdict;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// By this name the cluster knows which fields of a status are ours.
const MANAGER: &str = "squall-operator-status";

/// What all that is done needs.
pub(super) struct Office {
    pub(super) cluster: Cluster,
    /// Who this operator is.
    pub(super) me: String,
    /// Where it lives, and its agents.
    pub(super) namespace: String,
    pub(super) chaos_mesh: bool,
    /// The only namespace that is looked after, if it is one.
    pub(super) only: Option<String>,
    /// How many runs may go on at the same time.
    pub(super) at_once: usize,
    /// Whether an object whose author nobody recorded is carried out.
    pub(super) needs_author: bool,
    /// Whether experiments may strike what is not in the cluster.
    pub(super) beyond: bool,
    pub(super) state: State,
    pub(super) agent: AgentOptions,
    /// So many calls are made at the same time.
    pub(super) calls: Semaphore,
}

/// What is to be done for an object.
pub(super) struct Task {
    pub(super) kind: Kind,
    pub(super) object: Arc<Json>,
    /// What it is of, where it is a run.
    pub(super) source: Option<Arc<Json>>,
    pub(super) deeds: Vec<Deed>,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Done {
    /// Objects as they are now.
    pub(super) objects: Vec<(Kind, Json)>,
    /// A run that begins.
    pub(super) start: Option<Start>,
    /// What went wrong.
    pub(super) error: Option<String>,
}

/// Does it, one deed after another, up to the first that goes wrong.
pub(super) async fn carry_out(office: &Office, task: Task) -> Done {
    let mut done = Done::default();
    let _turn = office.calls.acquire().await;
    for deed in &task.deeds {
        if let Err(error) = one(office, &task, deed, &mut done).await {
            // What is gone, or other than it was, is decided anew when the cluster tells of it.
            let is_over = matches!(error.problem, Problem::NotFound | Problem::Conflict);
            done.error = (!is_over).then(|| error.to_string());
            return done;
        }
        // What comes after it takes for granted that it is done.
        if done.error.is_some() {
            return done;
        }
    }
    done
}

async fn one(office: &Office, task: &Task, deed: &Deed, done: &mut Done) -> Result<(), ClusterError> {
    let Task { kind, object, .. } = task;
    let cluster = &office.cluster;
    match deed {
        Deed::Create { namespace, run } => match cluster.create(&RUN, Some(namespace), run).await {
            Ok(made) => done.objects.push((RUN, made)),
            Err(error) if error.problem == Problem::Conflict => {
                let name = run["metadata"]["name"].as_str().unwrap_or_default();
                let there = cluster.get(&RUN.named(Some(namespace), name)).await?;
                if !there.is_some_and(|there| is_of_the_same(&there, run)) {
                    let why =
                        format!("a Run of the name {name} is there that is of something else, or just goes");
                    let waits = reconcile::waits_for_a_name(object, &why, Timestamp::now());
                    done.error = Some(why);
                    if object["status"] != waits {
                        done.objects.push((kind.clone(), say(cluster, kind, object, &waits).await?));
                    }
                }
            }
            Err(error) => return Err(error),
        },
        Deed::Status(status) => {
            let said = say(cluster, kind, object, status).await?;
            done.objects.push((kind.clone(), said));
        }
        Deed::Hold => {
            let held = cluster.patch(&reference(kind, object), &hold(object)).await?;
            done.objects.push((kind.clone(), held));
        }
        Deed::Release => {
            if let Some(operations) = release(as_left(task, done)) {
                cluster.patch(&reference(kind, object), &operations).await?;
            }
        }
        Deed::Delete(name) => {
            let run = RUN.named(Some(&name.namespace), &name.name);
            cluster.delete(&run, &Deletion::default()).await?;
        }
        Deed::Abort(name) => abort(cluster, name).await?,
        Deed::Begin => begin(office, task, done).await?,
        Deed::PutBack => {
            let status = match put_back::put_back(office, object).await {
                Ok(status) => status,
                Err(error) => {
                    // It is tried again.
                    done.error = Some(error);
                    return Ok(());
                }
            };
            let said = say(cluster, kind, object, &json!(status)).await?;
            done.objects.push((kind.clone(), said));
        }
        Deed::End(_) => {}
    }
    Ok(())
}

/// The object as the deeds before left it.
fn as_left<'o>(task: &'o Task, done: &'o Done) -> &'o Json {
    let uid = object::uid(&task.object);
    let mut said = done.objects.iter().rev().map(|(_, object)| object);
    said.find(|object| object::uid(object) == uid).unwrap_or(&task.object)
}

/// Whether a run that is there was made for the same object as one that was to be made by its name: also a round of a schedule, which
/// names its experiment without a number, bears that of its schedule.
fn is_of_the_same(there: &Json, wanted: &Json) -> bool {
    let number = |run: &Json| run["metadata"]["labels"][SOURCE].as_str().map(str::to_owned);
    number(there).is_some() && number(there) == number(wanted) && object::deleted(there).is_none()
}

fn reference(kind: &Kind, object: &Json) -> Reference {
    let Name { namespace, name } = Name::of(object);
    kind.named(Some(&namespace), &name)
}

/// Has an object say this of itself, by server-side apply. Where its kind has no status of its own, as those of older installations
/// of Chaos Mesh, the whole is told.
async fn say(cluster: &Cluster, kind: &Kind, object: &Json, status: &Json) -> Result<Json, ClusterError> {
    let Name { namespace, name } = Name::of(object);
    // The number keeps a later object of the same name from hearing what was said of this one.
    let wanted = json!({"metadata": {"name": name, "uid": object::uid(object)}, "status": status});
    let how = Application { manager: MANAGER, force: true, part: Some("status") };
    let said = match cluster.apply(kind, Some(&namespace), &wanted, how).await {
        Err(error) if error.problem == Problem::NotFound && reads(cluster, kind, object).await? => {
            cluster.apply(kind, Some(&namespace), &wanted, Application { part: None, ..how }).await
        }
        other => other,
    }?;
    events::tell(cluster, kind, object, status);
    Ok(said)
}

/// Whether an object is still there.
async fn reads(cluster: &Cluster, kind: &Kind, object: &Json) -> Result<bool, ClusterError> {
    let found = cluster.get(&reference(kind, object)).await?;
    Ok(found.is_some_and(|found| object::uid(&found) == object::uid(object)))
}

fn hold(object: &Json) -> Vec<Operation> {
    let value = if object["metadata"]["finalizers"].is_array() {
        Operation::Add { path: "/metadata/finalizers/-".to_owned(), value: json!(FINALIZER) }
    } else {
        Operation::Add { path: "/metadata/finalizers".to_owned(), value: json!([FINALIZER]) }
    };
    vec![Operation::unchanged(object), value]
}

/// Takes our finalizer away, and nobody else's.
fn release(object: &Json) -> Option<Vec<Operation>> {
    let all = object["metadata"]["finalizers"].as_array()?;
    let place = all.iter().position(|one| one == FINALIZER)?;
    Some(vec![
        Operation::unchanged(object),
        Operation::Remove { path: format!("/metadata/finalizers/{place}") },
    ])
}

async fn abort(cluster: &Cluster, name: &Name) -> Result<(), ClusterError> {
    let run = RUN.named(Some(&name.namespace), &name.name);
    let Some(object) = cluster.get(&run).await? else { return Ok(()) };
    let mut operations = vec![Operation::unchanged(&object)];
    if object["metadata"]["annotations"].is_null() {
        operations.push(Operation::Add { path: "/metadata/annotations".to_owned(), value: json!({}) });
    }
    let path = pointer(&["metadata", "annotations", super::resources::ABORT]);
    operations.push(Operation::Add { path, value: json!("true") });
    cluster.patch(&run, &operations).await.map(drop)
}

/// Reads what a run is of, says in its object that it runs, and has it begin.
async fn begin(office: &Office, task: &Task, done: &mut Done) -> Result<(), ClusterError> {
    let Task { kind, object: run, source, .. } = task;
    let now = Timestamp::now();
    let Some(source) = source else { return Ok(()) };
    let ready = prepare(office, run, source).await?;
    let (experiment, authors, reach) = match ready {
        Ok(ready) => ready,
        Err(why) => {
            let mut status: RunStatus = reconcile::status_of(run);
            status.phase = Phase::Invalid;
            status.verdict = Some(Verdict::Invalid);
            status.reason = reconcile::experiment::first_line(&why).chars().take(2000).collect();
            status.completion_time = Some(now);
            conditions::put(&mut status.conditions, "Accepted", Some(false), "Refused", &why, now);
            let said = say(&office.cluster, kind, run, &json!(status)).await?;
            done.objects.push((kind.clone(), said));
            return Ok(());
        }
    };
    let name = carry::name_of_run(now);
    // Whoever finds it in this state, and us not there, knows what to look for.
    let begun = Progress::begun(&name, &office.me, now);
    let said = say(&office.cluster, kind, run, &json!(begun.status())).await?;
    done.objects.push((kind.clone(), said));
    let (of_mesh, spec) = (of_mesh(run), spec(run));
    done.start = Some(Start {
        name: Name::of(run),
        run: name,
        experiment,
        authors,
        beyond: office.beyond,
        reach,
        holder: office.me.clone(),
        cluster: office.cluster.clone(),
        state: office.state.clone(),
        agent: office.agent.clone(),
        waits_on: match spec {
            // A round of a schedule is not tried again: another follows.
            Some(RunSpec { scheduled_for: Some(_), .. }) | None => &[],
            // Chaos Mesh looks for targets until some are there.
            Some(_) if of_mesh.is_some() => &PASSING,
            Some(_) => &[NOT_READY, HELD],
        },
        seed: of_mesh.as_ref().and_then(lasting_seed).unwrap_or_else(carry::random_seed),
    });
    Ok(())
}

fn spec(run: &Json) -> Option<RunSpec> {
    serde_json::from_value(run["spec"].clone()).ok()
}

/// What a run is to do for an object of Chaos Mesh; `None` where it is of another kind, or a round of a schedule.
fn of_mesh(run: &Json) -> Option<RunSpec> {
    let spec = spec(run)?;
    let is_of_mesh = spec.source.api_version.split('/').next() == Some(kinds::MESH_GROUP);
    (is_of_mesh && spec.scheduled_for.is_none()).then_some(spec)
}

/// A seed that all runs of one generation of an object have in common, so that what goes on after a pause strikes what was struck
/// before, as far as it is there still. It comes from the object's number, which the cluster made at random.
fn lasting_seed(spec: &RunSpec) -> Option<u64> {
    let digits: String = spec.source.uid.as_deref()?.chars().filter(|letter| *letter != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    let mixed = (number >> 64) as u64 ^ number as u64 ^ spec.generation.unwrap_or_default().cast_unsigned();
    // No digit is lost.
    Some((mixed ^ (mixed >> 53)) % carry::SEEDS)
}

type Ready = (Experiment, Vec<Author>, BTreeSet<String>);

/// The experiment of a run, its authors, and the namespaces that opted in; or why it may not be carried out.
async fn prepare(office: &Office, run: &Json, source: &Json) -> Result<Result<Ready, String>, ClusterError> {
    let opted_in = office.cluster.metadata(&Kind::NAMESPACE, None, &format!("{CHAOS}={OPTED_IN}")).await?;
    let namespaces = opted_in.into_iter().map(|namespace| namespace.name).collect();
    let reach = Reach { namespaces, beyond: office.beyond };
    let ready = || {
        let mut experiment = read::experiment(source).map_err(|why| {
            let kind = source["kind"].as_str().unwrap_or_default();
            format!("{kind} {} is not valid: {why}", Name::of(source))
        })?;
        read::confine(&mut experiment, &Name::of(run).namespace, &reach)?;
        if let Some(rest) = spec(run).and_then(|spec| spec.rest) {
            read::shorten(&mut experiment, rest);
        }
        // Whoever writes a schedule, or what it names, has the other's rights at his disposal otherwise.
        let authors = Author::all(run, source, office.needs_author)?;
        Ok((experiment, authors, reach.namespaces.clone()))
    };
    let ready = ready();
    if let Ok((experiment, authors, _)) = &ready
        && read::makes_pods(experiment)
    {
        let (cluster, namespace) = (&office.cluster, Name::of(run).namespace);
        for author in authors {
            if let Err(why) = author::may_make_pods(cluster, author, &namespace).await {
                return Ok(Err(why));
            }
        }
        if let Err(why) = author::operator_may_make_pods(cluster, &office.namespace, &namespace).await {
            return Ok(Err(why));
        }
    }
    Ok(ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_after_a_pause_chooses_as_before() {
        let seed = |uid: &str, generation: i64| {
            let source =
                json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "name": "a", "uid": uid});
            let run = json!({"spec": {"source": source, "generation": generation}});
            of_mesh(&run).and_then(|spec| lasting_seed(&spec))
        };
        let uid = "6b1f7f0e-9f5c-4a41-8d43-5a6f7f3a2b10";
        assert!(seed(uid, 1).is_some_and(|seed| seed < carry::SEEDS));
        assert_eq!(seed(uid, 1), seed(uid, 1));
        assert_ne!(seed(uid, 1), seed(uid, 2));
        assert_ne!(seed(uid, 1), seed("7b1f7f0e-9f5c-4a41-8d43-5a6f7f3a2b10", 1));
        assert_eq!(seed("no number", 1), None);
    }

    #[test]
    fn a_run_that_was_made_already_is_told_from_another_of_its_name() {
        let run = |schedule: &str| json!({"metadata": {"labels": {SOURCE: schedule}}, "spec": {"source": {"name": "a"}}});
        assert!(
            is_of_the_same(&run("u-1"), &run("u-1")),
            "a round that names its experiment without a number"
        );
        assert!(!is_of_the_same(&run("u-2"), &run("u-1")));
        assert!(!is_of_the_same(&json!({"metadata": {}}), &json!({"metadata": {}})));
        let mut going = run("u-1");
        going["metadata"]["deletionTimestamp"] = json!("2026-11-30T00:00:00Z");
        assert!(!is_of_the_same(&going, &run("u-1")));
    }

    #[test]
    fn only_our_finalizer_goes() {
        let object =
            |finalizers: Json| json!({"metadata": {"resourceVersion": "7", "finalizers": finalizers}});
        let foreign = object(json!(["a", FINALIZER, "b"]));
        let operations = release(&foreign).unwrap();
        assert_eq!(operations[1], Operation::Remove { path: "/metadata/finalizers/1".to_owned() });
        assert_eq!(release(&object(json!(["a"]))), None);
        let held = hold(&object(json!(["a"])));
        assert_eq!(
            held[1],
            Operation::Add { path: "/metadata/finalizers/-".to_owned(), value: json!(FINALIZER) }
        );
    }
}
