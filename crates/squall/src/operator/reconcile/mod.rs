//! Decisions: what is to be done for an object, from the object, from what belongs to it and from the hour. Pure functions; whoever
//! calls them does it, and asks again when something has changed.

pub(crate) mod chaos_mesh;
pub(crate) mod experiment;
pub(crate) mod halt;
pub(crate) mod rounds;
pub(crate) mod run;
pub(crate) mod schedule;
#[cfg(test)]
mod testing;

use super::conditions;
use super::object;
use super::object::Name;
use super::progress::ACCEPTED;
use super::read;
use super::resources::{ABORT, AUTHOR, Condition, GROUP, PAUSE, Phase, RunSpec, RunStatus, SOURCE, Source};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

/// Chaos Mesh's own annotation that holds an experiment back.
const MESH_PAUSE: &str = "experiment.chaos-mesh.org/pause";
/// And the one that ends a workflow.
const MESH_ABORT: &str = "workflow.chaos-mesh.org/abort";

/// What all decisions follow from.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    /// Why nothing may run, if so.
    pub(crate) halted: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    /// A run is made, unless there is one of that name.
    Create { namespace: String, run: Json },
    /// A run begins.
    Begin,
    /// What a run left whose operator is gone is put back, and the run is over.
    PutBack,
    /// A run that goes on is ended.
    End(Ending),
    /// An object says this of itself.
    Status(Json),
    /// Our finalizer holds the object.
    Hold,
    /// It lets go of it.
    Release,
    /// A run is deleted.
    Delete(Name),
    /// A run is told to end, by its annotation.
    Abort(Name),
}

/// What is to be done for an object, and when it must be looked at again though nothing has changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Decision {
    pub(crate) deeds: Vec<Deed>,
    pub(crate) again: Option<Timestamp>,
}

impl Decision {
    fn of(deeds: Vec<Deed>) -> Self {
        Self { deeds, again: None }
    }
}

/// Why a run is ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    /// In one word, as conditions have it.
    pub(crate) word: &'static str,
    /// In a sentence.
    pub(crate) why: String,
}

impl Ending {
    fn new(word: &'static str, why: impl Into<String>) -> Self {
        Self { word, why: why.into() }
    }
}

/// What is held or has been interrupted goes on afterwards, where its kind can: these are the words of such endings.
pub(crate) const PAUSED: &str = "Paused";
/// See [`PAUSED`].
pub(crate) const HALTED: &str = "Halted";
/// See [`PAUSED`]: the operator that carried it out is gone.
pub(crate) const LOST: &str = "OperatorLost";

fn is_paused(object: &Json) -> bool {
    paused_by(object).is_some()
}

/// The annotation that holds an object back, if one does.
fn paused_by(object: &Json) -> Option<&'static str> {
    [PAUSE, MESH_PAUSE].into_iter().find(|name| object::says(object, name))
}

/// The annotation that ends what an object does, if one does.
fn aborted_by(object: &Json) -> Option<&'static str> {
    [ABORT, MESH_ABORT].into_iter().find(|name| object::says(object, name))
}

/// That an object is paused by its own annotation, in words.
fn paused_words(object: &Json) -> Option<String> {
    Some(format!("paused by its annotation {}", paused_by(object)?))
}

pub(super) fn status_of(run: &Json) -> RunStatus {
    object::part(run, "status")
}

/// Where a run stands, as what it is of tells it: while it is not known whether it may, nobody is told that it is carried out.
fn phase_of(run: &RunStatus) -> Phase {
    match run.phase {
        Phase::Running if conditions::holding(&run.conditions, ACCEPTED).is_none() => Phase::Pending,
        phase => phase,
    }
}

/// The deed that has an object say this, unless it does already.
fn say(object: &Json, status: Json) -> Option<Deed> {
    (object["status"] != status).then_some(Deed::Status(status))
}

/// What an object says of itself whose next run cannot be made, since something else's has its name. All else stays as it was said:
/// the object is tried again.
pub(super) fn waits_for_a_name(object: &Json, why: &str, now: Timestamp) -> Json {
    let mut status = object["status"].clone();
    if read::group(object) != GROUP {
        status["squall"]["phase"] = json!(Phase::Pending);
        status["squall"]["reason"] = json!(why);
        return status;
    }
    let mut conditions: Vec<Condition> = object::part(&status, "conditions");
    conditions::put(&mut conditions, "Waiting", Some(true), "NameTaken", why, now);
    status["conditions"] = json!(conditions);
    status["reason"] = json!(why);
    status
}

/// A run of an object: it belongs to the object and bears its author.
fn run_of(source: &Json, name: String, spec: &RunSpec) -> Deed {
    let metadata = &source["metadata"];
    let mut run = json!({
        "metadata": {
            "name": name,
            "labels": {SOURCE: metadata["uid"]},
            "ownerReferences": [{
                "apiVersion": source["apiVersion"], "kind": source["kind"], "name": metadata["name"],
                "uid": metadata["uid"], "controller": true, "blockOwnerDeletion": false,
            }],
        },
        "spec": spec,
    });
    if let Some(author) = object::annotation(source, AUTHOR) {
        run["metadata"]["annotations"] = json!({AUTHOR: author});
    }
    Deed::Create { namespace: Name::of(source).namespace, run }
}

/// What a run is of.
fn source(object: &Json) -> Source {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    Source {
        api_version: text(&object["apiVersion"]),
        kind: text(&object["kind"]),
        name: text(&object["metadata"]["name"]),
        uid: Some(object::uid(object).to_owned()),
    }
}

/// A name that is no longer than names may be, and still tells apart what the whole of it would.
fn bounded(name: &str, rest: &str) -> String {
    let room = 63_usize.saturating_sub(rest.len() + 1);
    let short: String = name.chars().take(room).collect();
    format!("{}-{rest}", short.trim_end_matches(['-', '.']))
}

#[cfg(test)]
mod tests {
    use super::testing::{NOW, chaos, experiment};
    use super::*;

    #[test]
    fn an_object_says_that_it_waits_for_a_name() {
        let now: Timestamp = NOW.parse().unwrap();
        let mut own = experiment();
        own["status"] = waits_for_a_name(&own, "a Run of the name x-1 is there", now);
        let condition = &own["status"]["conditions"][0];
        assert_eq!((&condition["type"], &condition["reason"]), (&json!("Waiting"), &json!("NameTaken")));
        assert_eq!(own["status"]["reason"], condition["message"]);
        let later = now + jiff::SignedDuration::from_secs(3);
        let again = waits_for_a_name(&own, "a Run of the name x-1 is there", later);
        assert_eq!(again, own["status"], "it is not said anew each time");
        let mesh = waits_for_a_name(&chaos("PodChaos", json!({})), "it is there", now);
        assert_eq!(mesh["squall"], json!({"phase": "Pending", "reason": "it is there"}));
    }
}
