//! Whoever writes an experiment into a cluster has it carried out by the operator, which may do much more than they may. So
//! the operator asks first whether the author could do to the same objects what the plan does: the API server knows
//! (`SubjectAccessReview`). What happens within pods is asked for as `create pods/exec`, which is what it amounts to. What the
//! API server cannot judge (hosts, databases, clouds, other clusters) is refused.

use super::manifests::ACCOUNT;
use super::manifests::rights::QUESTIONS;
use super::object::Name;
use super::resources::AUTHOR;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use squall_kubernetes::{Cluster, Kind, User, Wish};
use squall_model::cluster::{ClusterRef, Field, MARK_LABEL, ObjectChange, ObjectKind, ObjectStep};
use squall_model::plan::{Assignment, Inside, Plan, PlannedInjection};
use squall_model::step::Step;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// So many of the things that somebody may not do are told.
const TOLD: usize = 5;

/// Who made an object, or changed last what it asks for. The annotation [`AUTHOR`] holds it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Author {
    /// The name, as the API server knows it.
    pub(crate) username: String,
    /// What tells them from a later one of the same name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    /// The groups that they are in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<String>,
    /// What else those that decide may want to know of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) extra: BTreeMap<String, Vec<String>>,
    /// What they wrote, in words: a run tells its refusal to what it is of, too, which somebody else may have written.
    #[serde(skip)]
    pub(crate) wrote: String,
}

impl fmt::Display for Author {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.username)
    }
}

impl Author {
    /// Whoever an object names; none where it names nobody.
    ///
    /// # Errors
    /// The annotation is none of ours.
    pub(crate) fn of(object: &Json) -> Result<Option<Self>, String> {
        let wrong = |why: &str| {
            format!(
                "the annotation {AUTHOR} names no author: {why}; take it away, and apply the object again"
            )
        };
        match &object["metadata"]["annotations"][AUTHOR] {
            Json::Null => Ok(None),
            Json::String(text) => {
                let author: Self = serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
                if author.username.is_empty() {
                    Err(wrong("its `username` is empty"))
                } else {
                    Ok(Some(Self { wrote: in_words(object), ..author }))
                }
            }
            _ => Err(wrong("it is no text")),
        }
    }

    /// Those who must be allowed to do what a run does: whoever wrote what it is of, and whoever wrote the run, where that is
    /// somebody else. None where nobody is recorded.
    ///
    /// # Errors
    /// An annotation is none of ours; or nobody is recorded for one of both, and somebody must be.
    pub(crate) fn all(run: &Json, source: &Json, must_be: bool) -> Result<Vec<Self>, String> {
        let mut authors: Vec<Self> = Vec::new();
        // The source first: mostly it is what its author wrote, and the run follows from it.
        for object in [source, run] {
            match Self::of(object)? {
                Some(author) if authors.iter().any(|known| known.is(&author)) => {}
                Some(author) => authors.insert(0, author),
                None if must_be => return Err(unrecorded(object)),
                None => {}
            }
        }
        Ok(authors)
    }

    fn is(&self, other: &Self) -> bool {
        let Self { username, uid, groups, extra, .. } = self;
        (username, uid, groups, extra) == (&other.username, &other.uid, &other.groups, &other.extra)
    }

    fn user(&self) -> User {
        let Self { username, uid, groups, extra, .. } = self.clone();
        User { username, uid, groups, extra }
    }
}

fn in_words(object: &Json) -> String {
    format!("the {} {}", object["kind"].as_str().unwrap_or_default(), Name::of(object))
}

fn unrecorded(object: &Json) -> String {
    format!(
        "nobody recorded who wrote {}, so nobody knows whether they may have it carried out; the operator's webhook records that of \
         what is written while it is there: write it anew (delete it and apply it), or have the operator go on without: `--author \
         recorded`",
        in_words(object)
    )
}

/// What somebody must be allowed to do, for the plan to be theirs: one of these verbs, to one of these parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    namespace: Option<String>,
    kind: ObjectKind,
    verbs: &'static [&'static str],
    parts: &'static [&'static str],
}

impl Need {
    const WHOLE: &'static [&'static str] = &[""];
    const DELETE: &'static [&'static str] = &["delete"];
    const CREATE: &'static [&'static str] = &["create"];
    /// Whoever may write an object anew may change it.
    const CHANGE: &'static [&'static str] = &["patch", "update"];

    fn exec(namespace: &str) -> Self {
        let namespace = Some(namespace.to_owned());
        Self { namespace, kind: ObjectKind::pod(), verbs: Self::CREATE, parts: &["exec"] }
    }

    fn make_pods(namespace: &str) -> Self {
        let namespace = Some(namespace.to_owned());
        Self { namespace, kind: ObjectKind::pod(), verbs: Self::CREATE, parts: Self::WHOLE }
    }

    /// What a step takes.
    fn of(step: &ObjectStep) -> Self {
        let (verbs, parts): (&[&str], &[&str]) = match &step.change {
            ObjectChange::Delete { .. } => (Self::DELETE, Self::WHOLE),
            ObjectChange::Evict { .. } => (Self::CREATE, &["eviction"]),
            ObjectChange::Create { .. } => (Self::CREATE, Self::WHOLE),
            ObjectChange::Fields { fields } if only_replicas(fields) => (Self::CHANGE, &["", "scale"]),
            ObjectChange::Fields { .. } => (Self::CHANGE, Self::WHOLE),
        };
        Self { namespace: step.object.namespace.clone(), kind: step.object.kind.clone(), verbs, parts }
    }

    /// What is in the address of the API, part by part.
    fn resources(&self) -> Vec<String> {
        let group = if self.kind.group.is_empty() { String::new() } else { format!(".{}", self.kind.group) };
        let part = |part: &&str| if part.is_empty() { String::new() } else { format!("/{part}") };
        self.parts.iter().map(|name| format!("{}{group}{}", self.kind.plural, part(name))).collect()
    }

    async fn is_granted(&self, cluster: &Cluster, user: &User) -> Result<bool, String> {
        let ObjectKind { group, version, kind, plural } = self.kind.clone();
        let namespaced = self.namespace.is_some();
        let [group, version, kind, plural] = [group, version, kind, plural].map(Into::into);
        let kind = Kind { group, version, kind, plural, namespaced };
        for part in self.parts {
            let part = Some(*part).filter(|part| !part.is_empty());
            for verb in self.verbs {
                let wish = Wish { verb, kind: &kind, part, namespace: self.namespace.as_deref(), name: None };
                if cluster.may_user(user, &wish).await.map_err(|error| error.to_string())? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verbs.join(" or "), self.resources().join(" or "))?;
        match &self.namespace {
            Some(namespace) => write!(formatter, " in namespace {namespace}"),
            None => formatter.write_str(" in the whole cluster"),
        }
    }
}

/// Whether nothing changes but a number of replicas, and our own mark.
fn only_replicas(fields: &[Field]) -> bool {
    let is_ours = |field: &Field| {
        let mine = field.path.last().is_some_and(|name| name.starts_with(MARK_LABEL));
        field.path.first().is_some_and(|first| first == "metadata") && mine
    };
    fields.iter().all(|field| field.name() == "spec.replicas" || is_ours(field))
}

/// Whether the author may make pods in a namespace, as questions of an experiment do.
///
/// # Errors
/// That they may not, and what to grant; or why the cluster could not be asked.
pub(crate) async fn may_make_pods(cluster: &Cluster, author: &Author, namespace: &str) -> Result<(), String> {
    let need = Need::make_pods(namespace);
    if need.is_granted(cluster, &author.user()).await? {
        return Ok(());
    }
    Err(refused(author, &format!("{need} (a question that a pod answers)")))
}

/// Whether the operator itself, of this namespace, may make pods in another, as questions of an experiment do.
///
/// # Errors
/// That it may not, and the command that grants it; or why the cluster could not be asked.
pub(crate) async fn operator_may_make_pods(
    cluster: &Cluster,
    home: &str,
    namespace: &str,
) -> Result<(), String> {
    let wish = Wish { verb: "create", kind: &Kind::POD, part: None, namespace: Some(namespace), name: None };
    if cluster.may(&wish).await.map_err(|error| error.to_string())? {
        return Ok(());
    }
    Err(format!(
        "a question that a pod answers needs a pod in {namespace}, where the operator may make none; nothing was touched. Allow it: \
         `kubectl create rolebinding --namespace {namespace} squall-questions --clusterrole {QUESTIONS} --serviceaccount {home}:{ACCOUNT}`"
    ))
}

fn refused(author: &Author, missing: &str) -> String {
    format!(
        "{author}, who wrote {}, may not do what it does: {missing}; grant it by a Role or a ClusterRole bound to {author} \
         (`kubectl auth can-i --as {author} …` checks), or have somebody apply it who may",
        author.wrote
    )
}

/// Whether the author may do to the objects of this cluster what the plan does. `beyond`: whoever runs the operator lets
/// everybody strike databases and clouds, of which no role speaks.
///
/// # Errors
/// Says who may not do what where, and what to grant; or what cannot be judged; or why the cluster could not be asked.
pub(crate) async fn check(
    cluster: &Cluster,
    author: &Author,
    plan: &Plan,
    beyond: bool,
) -> Result<(), String> {
    let uid = cluster.uid().await.map_err(|error| error.to_string())?;
    let (user, mut missing) = (author.user(), Vec::new());
    for (need, what) in needs(plan, uid, beyond)? {
        if !need.is_granted(cluster, &user).await? {
            missing.push(format!("{need} ({what})"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let more = missing.len().saturating_sub(TOLD);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    missing.truncate(TOLD);
    Err(refused(author, &format!("{}{more}", missing.join("; "))))
}

/// What it takes to do what a plan does in the cluster of this number, and one example of what it is for.
fn needs(plan: &Plan, cluster: &str, beyond: bool) -> Result<BTreeMap<Need, String>, String> {
    let mut needs = BTreeMap::new();
    for injection in &plan.injections {
        let PlannedInjection { fault, target, steps, within, .. } = injection;
        let what = format!("{fault} on {target}");
        let mut need = |need: Need| {
            needs.entry(need).or_insert_with(|| what.clone());
        };
        for Inside { cluster: other, namespace } in within {
            check_cluster(other, cluster, &what)?;
            need(Need::exec(namespace));
        }
        for step in steps {
            match step {
                Step::Object(step) => {
                    check_cluster(&step.object.cluster, cluster, &what)?;
                    need(Need::of(step));
                }
                step if !within.is_empty() && is_on_host(step) => {}
                step if beyond && is_beyond(step) => {}
                _ => return Err(unjudged(&what)),
            }
        }
    }
    for assignment in &plan.elsewhere {
        let Assignment { entry, pods, .. } = assignment;
        let what = format!("{} on {}", entry.fault, pods.join(", "));
        let within = assignment.within();
        if within.is_empty() {
            return Err(unjudged(&what));
        }
        for Inside { cluster: other, namespace } in within {
            check_cluster(&other, cluster, &what)?;
            needs.entry(Need::exec(&namespace)).or_insert_with(|| what.clone());
        }
    }
    Ok(needs)
}

/// Whether a step strikes the kernel of the machine that its agent is on, and what runs there.
fn is_on_host(step: &Step) -> bool {
    matches!(
        step,
        Step::Qdisc(_)
            | Step::PacketFilter(_)
            | Step::Signal(_)
            | Step::FileValue(_)
            | Step::Worker(_)
            | Step::Fill(_)
    )
}

/// Whether a step strikes a server or a cloud.
fn is_beyond(step: &Step) -> bool {
    matches!(step, Step::Sessions(_) | Step::Setting(_) | Step::Instance(_) | Step::Template(_))
}

fn unjudged(what: &str) -> String {
    format!(
        "{what}: no role of the cluster says who may do that, so the operator does not do it; an operator strikes pods, nodes, \
         workloads and other objects of its own cluster, with --beyond also databases and clouds, and `squall run` all the rest"
    )
}

fn check_cluster(other: &ClusterRef, cluster: &str, what: &str) -> Result<(), String> {
    if other.uid == cluster {
        return Ok(());
    }
    Err(format!(
        "{what} is in another cluster, at {}: an operator strikes its own only; leave `context` and `kubeconfig` out of the target",
        other.server
    ))
}

/// The namespaces whose objects a plan strikes. Nodes are in none.
pub(crate) fn namespaces(plan: &Plan) -> BTreeSet<String> {
    let within = plan.injections.iter().flat_map(|injection| injection.within.clone());
    let elsewhere = plan.elsewhere.iter().flat_map(Assignment::within);
    let steps = plan.injections.iter().flat_map(|injection| &injection.steps);
    let objects = steps.filter_map(|step| match step {
        Step::Object(step) => step.object.namespace.clone(),
        _ => None,
    });
    within.chain(elsewhere).map(|inside| inside.namespace).chain(objects).collect()
}

#[cfg(test)]
mod tests;
