//! Putting back: over our own values only, and looked at again.

use super::fields::{self, Outcome};
use super::{CALLS, TRIES, current, elsewhere, gone_is_well, marks, reference, worded};
use serde_json::Value as Json;
use squall_kubernetes::{Cluster, Deletion, Problem, wait};
use squall_model::cluster::{Field, MARK_LABEL, ObjectRef, put_back_by_hand};
use squall_model::machine::MachineError;
use squall_model::undo::{Difference, Reverted, Undo};

/// The object of an undo that is for a cluster.
pub(super) fn object_of(undo: &Undo) -> Result<&ObjectRef, MachineError> {
    match undo {
        Undo::Object { object, .. } | Undo::Created { object, .. } => Ok(object),
        other => Err(elsewhere(other.kind())),
    }
}

/// Puts back what a record describes. The cluster is the one that it is about.
pub(super) fn put_back(cluster: &Cluster, undo: &Undo) -> Result<Reverted, MachineError> {
    let cluster = cluster.hurried(CALLS);
    match undo {
        Undo::Object { object, fields, mark } => give_back(&cluster, object, fields, mark),
        Undo::Created { object, mark } => take_away(&cluster, object, mark),
        other => Err(elsewhere(other.kind())),
    }
}

/// Where nothing is known, nothing is put back; it is asked again as long as somebody waits.
pub(super) fn under_way(object: &ObjectRef, undo: &Undo, message: &str) -> Reverted {
    let by_hand = marks::by_hand(object, undo);
    Reverted::Drifted(Difference {
        looked_at: object.to_string(),
        before: "as it was".to_owned(),
        now: format!("not known: {message}"),
        remedy: format!("once the cluster can be reached, `squall recover`; by hand: {by_hand}"),
        under_way: true,
    })
}

pub(super) fn give_back(
    cluster: &Cluster,
    object: &ObjectRef,
    fields: &[Field],
    mark: &str,
) -> Result<Reverted, MachineError> {
    let reference = reference(object);
    let mut is_ours = false;
    for _ in 0..TRIES {
        let Some(content) = current(cluster, object)? else {
            return Ok(Reverted::AlreadyGone { looked_at: format!("{object}: it is gone") });
        };
        match fields::back(object, fields, mark, &content) {
            Outcome::Same(words) if is_ours => return Ok(Reverted::Undone { looked_at: words }),
            Outcome::Same(words) => return Ok(Reverted::AlreadyGone { looked_at: words }),
            Outcome::Theirs(words) => return Ok(Reverted::LetStand { looked_at: words }),
            Outcome::Left(difference) => return Ok(Reverted::Drifted(difference)),
            Outcome::Ours(operations) => match wait(cluster.patch(&reference, &operations)) {
                // It is looked at again, by the next turn.
                Ok(_) => is_ours = true,
                Err(error) if matches!(error.problem, Problem::Conflict | Problem::NotFound) => {}
                Err(error) => return Err(worded(error)),
            },
        }
    }
    Ok(Reverted::Drifted(Difference {
        looked_at: object.to_string(),
        before: "as it was".to_owned(),
        now: "changed by others faster than it could be put back".to_owned(),
        remedy: format!("by hand: {}", put_back_by_hand(object, fields)),
        under_way: true,
    }))
}

fn take_away(cluster: &Cluster, object: &ObjectRef, mark: &str) -> Result<Reverted, MachineError> {
    let reference = reference(object);
    let ours = |content: &Json| content["metadata"]["labels"][MARK_LABEL] == *mark;
    let Some(content) = wait(cluster.get(&reference)).map_err(worded)?.filter(ours) else {
        return Ok(Reverted::AlreadyGone { looked_at: format!("{object}: there is none of ours") });
    };
    let how = Deletion { uid: content["metadata"]["uid"].as_str().map(str::to_owned), ..Deletion::default() };
    wait(cluster.delete(&reference, &how)).or_else(gone_is_well).map_err(worded)?;
    let stays = wait(cluster.get(&reference)).map_err(worded)?.as_ref().is_some_and(ours);
    Ok(if stays {
        Reverted::Drifted(Difference {
            looked_at: object.to_string(),
            before: "not there".to_owned(),
            now: "being deleted".to_owned(),
            remedy: format!("wait for it; by hand: {}", object.by_hand("delete", "")),
            under_way: true,
        })
    } else {
        Reverted::Undone { looked_at: format!("{object}: it is gone") }
    })
}
