//! Squall's marks in a cluster, found without any undo log: objects that carry their undo, the leases of runs, to which the
//! pods of their agents belong, and what an earlier Squall or somebody's hands left without an undo: policies that carry our
//! label, pods that do, pods whose containers have no image.

use super::marks::{self, Mark};
use super::{Client, gone_is_well, kind, reference, worded};
use squall_kubernetes::{Deletion, Dependents, Kind, Operation, PodFilter, pointer, wait};
use squall_model::cluster::{
    ISOLATION_LABEL, LEASE_PREFIX, MARK_LABEL, NO_IMAGE, ObjectKind, ObjectRef, STRUCK_LABEL,
};
use squall_model::machine::{Hold, Leftover, MachineError};
use squall_model::undo::{Difference, Reverted};

/// What was found, and what it is about.
pub(super) struct Remainder {
    pub(super) leftover: Leftover,
    object: ObjectRef,
    is: What,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Change(Box<Mark>),
    Policy,
    Label,
    Image,
    Run(Hold),
}

impl Remainder {
    fn new(object: ObjectRef, is: What, injection: &str) -> Self {
        let (what, remedy) = match &is {
            What::Change(mark) => return Self { leftover: mark.leftover(), object, is },
            What::Run(hold) => {
                let what = format!("{object}, and the pods of agents and questions, which belong to it");
                let (held, remedy) = (Some(hold.clone()), "squall recover --cluster".to_owned());
                let leftover = Leftover { what, injection: None, claim: None, digest: None, held, remedy };
                return Self { leftover, object, is };
            }
            What::Policy => (object.to_string(), object.by_hand("delete", "")),
            What::Label => (
                format!("the label {ISOLATION_LABEL} of {object}"),
                object.by_hand("label", &format!(" {ISOLATION_LABEL}-")),
            ),
            What::Image => (
                format!("{object}, whose containers have no image"),
                format!(
                    "`squall recover` where the undo log is; else {}, and its controller makes another",
                    object.by_hand("delete", "")
                ),
            ),
        };
        let injection = (!injection.is_empty()).then(|| injection.to_owned());
        Self {
            leftover: Leftover { what, injection, claim: None, digest: None, held: None, remedy },
            object,
            is,
        }
    }
}

/// All that is left in a cluster.
pub(super) fn find(client: &Client) -> Result<Vec<Remainder>, MachineError> {
    let mut found = unmarked(client)?;
    found.extend(marks::find_by(client)?.into_iter().map(|mark| {
        let (object, injection) = (mark.object.clone(), mark.injection.clone());
        Remainder::new(object, What::Change(Box::new(mark)), &injection)
    }));
    Ok(found)
}

/// What carries no undo of its own.
fn unmarked(client: &Client) -> Result<Vec<Remainder>, MachineError> {
    let object = |kind, namespace: &str, name: &str, uid: &str| ObjectRef {
        cluster: client.reference.clone(),
        kind,
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
        uid: uid.to_owned(),
    };
    let mut found = Vec::new();
    for policy in wait(client.cluster.list(&Kind::NETWORK_POLICY, None, MARK_LABEL)).map_err(worded)? {
        let metadata = &policy["metadata"];
        let text = |name: &str| metadata[name].as_str().unwrap_or_default();
        let injection = metadata["labels"][MARK_LABEL].as_str().unwrap_or_default();
        // What only has our label is not ours to delete.
        if text("name") == format!("squall-{injection}") && metadata["labels"][STRUCK_LABEL].is_null() {
            let object = object(ObjectKind::network_policy(), text("namespace"), text("name"), text("uid"));
            found.push(Remainder::new(object, What::Policy, injection));
        }
    }
    for (lease, until) in wait(client.cluster.leases(None, MARK_LABEL)).map_err(worded)? {
        if let (Some(run), Some(until)) = (lease.name.strip_prefix(LEASE_PREFIX), until) {
            let hold = Hold { run: run.to_owned(), until };
            let namespace = lease.namespace.as_deref().unwrap_or_default();
            let object = object(ObjectKind::lease(), namespace, &lease.name, &lease.uid);
            found.push(Remainder::new(object, What::Run(hold), ""));
        }
    }
    let pods = wait(client.cluster.pods(&PodFilter::default())).map_err(worded)?;
    for pod in pods.iter().filter(|pod| !pod.labels.contains_key(STRUCK_LABEL)) {
        let object = || object(ObjectKind::pod(), &pod.namespace, &pod.name, &pod.uid);
        if let Some(injection) = pod.labels.get(ISOLATION_LABEL) {
            found.push(Remainder::new(object(), What::Label, injection));
        }
        let ours = pod.containers.iter().find_map(|container| container.image.strip_prefix(NO_IMAGE));
        if let Some(tag) = ours {
            found.push(Remainder::new(object(), What::Image, tag.trim_start_matches(':')));
        }
    }
    Ok(found)
}

/// Takes a mark away.
pub(super) fn remove(client: &Client, mark: &Remainder) -> Result<Reverted, MachineError> {
    let cluster = &client.cluster;
    let reference = reference(&mark.object);
    let looked_at = mark.leftover.what.clone();
    match &mark.is {
        What::Change(mark) => return marks::put_back_by(client, mark),
        What::Policy | What::Run(_) => {
            let dependents = matches!(mark.is, What::Run(_)).then_some(Dependents::After);
            let how = Deletion { uid: Some(mark.object.uid.clone()), dependents, ..Deletion::default() };
            wait(cluster.delete(&reference, &how)).or_else(gone_is_well).map_err(worded)?;
        }
        What::Label => {
            let uid =
                Operation::Test { path: "/metadata/uid".to_owned(), value: mark.object.uid.clone().into() };
            let label = Operation::Remove { path: pointer(&["metadata", "labels", ISOLATION_LABEL]) };
            wait(cluster.patch(&reference, &[uid, label])).map(drop).or_else(gone_is_well).map_err(worded)?;
        }
        What::Image => {
            return Ok(Reverted::Drifted(Difference {
                looked_at,
                before: "images that only the undo log knows".to_owned(),
                now: format!("{NO_IMAGE} in place of them"),
                remedy: mark.leftover.remedy.clone(),
                under_way: false,
            }));
        }
    }
    let stays = find(client)?.into_iter().any(|other| other.leftover == mark.leftover);
    Ok(if stays {
        let kind = kind(&mark.object).kind;
        Reverted::Drifted(Difference {
            looked_at,
            before: "not there".to_owned(),
            now: format!("still there: something keeps the {kind}"),
            remedy: mark.leftover.remedy.clone(),
            under_way: false,
        })
    } else {
        Reverted::Undone { looked_at: format!("{looked_at}: gone") }
    })
}
