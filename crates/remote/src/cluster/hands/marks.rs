//! What carries the undo of a change to it, found in a cluster and put back without any log.

use super::note::{self, Found};
use super::{Client, current, owed, worded};
use serde_json::Value as Json;
use squall_kubernetes::{Cluster, Kind, Problem, wait};
use squall_model::cluster::{
    ClusterPlace, ClusterRef, Field, ObjectKind, ObjectRef, STRUCK_LABEL, UNDO_PREFIX, put_back_by_hand,
};
use squall_model::machine::{Hold, Leftover, MachineError};
use squall_model::undo::{Difference, Reverted, Undo};

/// Kinds of objects that faults change or make.
const KINDS: [Kind; 7] = [
    Kind::POD,
    Kind::NODE,
    Kind::DEPLOYMENT,
    Kind::STATEFUL_SET,
    Kind::REPLICA_SET,
    Kind::NETWORK_POLICY,
    Kind::VIRTUAL_SERVICE,
];

/// A change of an object, as the object itself tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The object.
    pub object: ObjectRef,
    /// The injection that changed it.
    pub injection: String,
    /// The run, and until when it means to hold the change; none where that is not told, or not to be believed.
    pub held: Option<Hold>,
    /// How it is put back, or why it cannot be from this alone.
    undo: Result<Undo, String>,
}

impl Mark {
    /// What is changed, in words.
    pub fn what(&self) -> String {
        let object = &self.object;
        match &self.undo {
            Ok(Undo::Object { fields, .. }) => {
                let fields: Vec<String> = fields.iter().map(Field::to_string).collect();
                format!("{object}: {}", fields.join(", "))
            }
            Ok(_) => object.to_string(),
            Err(why) => format!("{object}, which Squall has changed; how that is undone is not known: {why}"),
        }
    }

    /// The same as something that is left over.
    pub(super) fn leftover(&self) -> Leftover {
        Leftover {
            what: self.what(),
            injection: (!self.injection.is_empty()).then(|| self.injection.clone()),
            claim: None,
            digest: None,
            held: self.held.clone(),
            remedy: self.remedy(),
        }
    }

    fn remedy(&self) -> String {
        match &self.undo {
            Ok(undo) => format!("`squall recover --cluster`; by hand: {}", by_hand(&self.object, undo)),
            Err(_) => format!(
                "`squall recover` where the undo log is; or see that it is as it should be ({}), and take the labels and annotations \
                 away whose names begin with {UNDO_PREFIX} and {STRUCK_LABEL}",
                self.object.by_hand("get", " --output yaml")
            ),
        }
    }
}

/// The command that puts back what a record describes.
pub(super) fn by_hand(object: &ObjectRef, undo: &Undo) -> String {
    match undo {
        Undo::Object { fields, .. } => put_back_by_hand(object, fields),
        _ => object.by_hand("delete", ""),
    }
}

/// All marks in a cluster, of the living and the dead. Waits for the answers on this thread.
///
/// # Errors
/// Where a list cannot be had: what is there is not known then.
pub fn find(cluster: &Cluster) -> Result<Vec<Mark>, MachineError> {
    find_by(&client(cluster)?)
}

/// Puts a change back by what the object tells of it, where it still does, and looks again. As with an undo log, only values
/// that are still ours are given back, and the mark goes with them. Waits for the answers on this thread.
///
/// # Errors
/// Where the cluster cannot be asked, or refuses the change.
pub fn put_back(cluster: &Cluster, mark: &Mark) -> Result<Reverted, MachineError> {
    put_back_by(&client(cluster)?, mark)
}

/// A client for whoever has no place for it.
fn client(cluster: &Cluster) -> Result<Client, MachineError> {
    let uid = wait(cluster.uid()).map_err(worded)?.to_owned();
    let context = cluster.context().map(str::to_owned);
    let place = ClusterPlace { kubeconfig: None, context };
    let reference = ClusterRef { place, server: cluster.server().to_owned(), uid };
    Ok(Client { cluster: cluster.clone(), reference })
}

pub(super) fn find_by(client: &Client) -> Result<Vec<Mark>, MachineError> {
    let mut marks = Vec::new();
    for kind in KINDS {
        let objects = match wait(client.cluster.list(&kind, None, STRUCK_LABEL)) {
            // Nobody has installed Istio, or given rights on what is not there.
            Err(error)
                if matches!(error.problem, Problem::NotFound | Problem::Forbidden)
                    && !is_served(client, &kind)? =>
            {
                continue;
            }
            other => other.map_err(worded)?,
        };
        marks.extend(objects.iter().flat_map(|content| marks_on(client, &kind, content)));
    }
    Ok(marks)
}

/// Whether the cluster has a kind. Everybody may ask for that.
fn is_served(client: &Client, kind: &Kind) -> Result<bool, MachineError> {
    match wait(client.cluster.discover(&kind.group, Some(&kind.version), &kind.kind)) {
        Ok(_) => Ok(true),
        Err(error) if error.problem == Problem::NotFound => Ok(false),
        Err(error) => Err(worded(error)),
    }
}

fn marks_on(client: &Client, kind: &Kind, content: &Json) -> Vec<Mark> {
    let text = |name: &str| content["metadata"][name].as_str().map(str::to_owned);
    let object = ObjectRef {
        cluster: client.reference.clone(),
        kind: ObjectKind::new(&kind.group, &kind.version, &kind.kind, &kind.plural),
        namespace: text("namespace"),
        name: text("name").unwrap_or_default(),
        uid: text("uid").unwrap_or_default(),
    };
    let mark = |Found { injection, held, undo }| Mark { object: object.clone(), injection, held, undo };
    note::found_on(&object, content).into_iter().map(mark).collect()
}

pub(super) fn put_back_by(client: &Client, mark: &Mark) -> Result<Reverted, MachineError> {
    let object = &mark.object;
    if object.cluster.uid != client.reference.uid {
        let message =
            format!("could not put back {object}: it is in another cluster, {}", object.cluster.server);
        return Err(MachineError::Refused { message });
    }
    let undo = match &mark.undo {
        Ok(undo) => undo,
        Err(why) => {
            return Ok(Reverted::Drifted(Difference {
                looked_at: object.to_string(),
                before: "not known".to_owned(),
                now: format!("changed by injection {}: {why}", mark.injection),
                remedy: mark.remedy(),
                under_way: false,
            }));
        }
    };
    // Where the mark is gone, somebody has put it back, and equal values are his.
    let content = current(&client.cluster, object)?;
    if !content.is_some_and(|content| note::is_on(&content, &mark.injection)) {
        return Ok(Reverted::AlreadyGone { looked_at: format!("{object}: it carries no mark of ours") });
    }
    owed::put_back(&client.cluster, undo)
}
