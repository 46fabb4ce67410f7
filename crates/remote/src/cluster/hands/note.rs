//! What an object that was changed says of it: whose change it is, until when it is held, and how it is undone. So whoever finds
//! it puts it back without any log. Pure functions.
//!
//! The note is an annotation, `squall.dev/undo.INJECTION`, compact JSON. On workloads it is labels, `squall.dev/undo.INJECTION.N`,
//! the same in pieces of base64 (RFC 4648, section 5) between two `u`, since a label begins and ends with a letter: controllers
//! copy a deployment's annotations to its replica sets, and a stateful set's to its revisions, where they stay, and a rollback
//! would bring them back; labels they do not copy. (Seen on 1.20; `SetNewReplicaSetAnnotations` of the deployment controller,
//! `newRevision` of that of stateful sets.) Beside it stands a label by which such objects are listed.
//!
//! Whoever may write there can forge a note or damage one. So it leads to nothing but fields of the very object that it was
//! made for, and of those to none but what faults change in such an object.

use super::fields::{Patch, refused};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use squall_model::cluster::{
    Field, FieldChange, ISOLATION_LABEL, MARK_LABEL, NO_IMAGE, ObjectChange, ObjectKind, ObjectRef,
    ObjectStep, STRUCK_LABEL, UNDO_PREFIX,
};
use squall_model::machine::{Hold, MachineError};
use squall_model::undo::Undo;
use std::collections::BTreeMap;

/// The version that this code writes. One that it does not know it leaves alone.
const VERSION: u32 = 1;
/// Where notes are.
const MAPS: [&str; 2] = ["annotations", "labels"];
/// What all annotations of an object may come to, names and values, in bytes: a limit of Kubernetes.
const ALL_ANNOTATIONS: usize = 256 << 10;
/// How long the name of a label or an annotation may be behind the `/`, and a label's value.
const LONGEST: usize = 63;
/// How many labels one note may take: more than any fault needs, and few enough to be borne.
const PIECES: usize = 32;

/// What is written down on an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    #[serde(rename = "v")]
    version: u32,
    injection: String,
    /// None for what was made outside of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Hold>,
    /// The number of the object; none on one that was made with the note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    /// What was changed, as the undo log keeps it; none on an object that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<Field>>,
    /// What an object is called that was made under a name which is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<String>,
}

/// A note that was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// The injection; what stands for it in the note's name, where nothing else is known.
    pub(super) injection: String,
    /// Who holds it.
    pub(super) held: Option<Hold>,
    /// How it is put back, or why not.
    pub(super) undo: Result<Undo, String>,
}

impl Note {
    /// The note of a step; `fields` is what it changes, none where it makes the object.
    pub(super) fn of(step: &ObjectStep, fields: Option<&[Field]>) -> Self {
        let is_made_for_another =
            matches!(step.change, ObjectChange::Create { .. }) && step.object.name != own_name(&step.mark);
        Self {
            version: VERSION,
            made: is_made_for_another.then(|| step.object.to_string()),
            injection: step.mark.clone(),
            held: step.held.clone(),
            uid: fields.map(|_| step.object.uid.clone()),
            fields: fields.map(<[Field]>::to_vec),
        }
    }

    /// The note, and the label by which it is found, as fields of an object.
    ///
    /// # Errors
    /// Refused where the object has no room for it, and for what nobody would put back by it.
    pub(super) fn written(&self, object: &ObjectRef, content: &Json) -> Result<Vec<Field>, MachineError> {
        let problem =
            |why: String| refused(format!("could not write down on {object} how it is undone: {why}"));
        self.check(object, content).map_err(problem)?;
        let text = serde_json::to_string(self).map_err(|error| problem(error.to_string()))?;
        let name = name_of(&self.injection);
        let mut written = vec![Field::put(&["metadata", "labels", STRUCK_LABEL], "yes", None)];
        if is_copied(&object.kind) {
            let text = BASE64.encode(text);
            let pieces = text.as_bytes().chunks(LONGEST - 2).map(String::from_utf8_lossy);
            written.extend(pieces.enumerate().map(|(position, piece)| {
                Field::put(&["metadata", "labels", &format!("{name}.{position}")], format!("u{piece}u"), None)
            }));
            if written.len() > PIECES {
                return Err(problem(format!("it would take more than {PIECES} labels")));
            }
        } else {
            let room = ALL_ANNOTATIONS.saturating_sub(size_of_annotations(content));
            if name.len() + text.len() > room {
                let needed = text.len();
                return Err(problem(format!(
                    "its annotations may grow by {room} bytes, and this is {needed} long"
                )));
            }
            written.push(Field::put(&["metadata", "annotations", &name], text, None));
        }
        Ok(written)
    }

    /// Why it is not to be believed, if so.
    fn check(&self, object: &ObjectRef, content: &Json) -> Result<(), String> {
        if self.version != VERSION {
            let version = self.version;
            return Err(format!("it is of version {version}, and this squall knows version {VERSION}"));
        }
        let Some(fields) = &self.fields else {
            // A copy of it, perhaps under another name or in another namespace, is somebody else's.
            let is_named_so = object.name == own_name(&self.injection)
                || (object.kind.kind == "VirtualService" && self.made == Some(object.to_string()));
            let is_ours = content["metadata"]["labels"][MARK_LABEL] == self.injection && is_named_so;
            return if is_ours { Ok(()) } else { Err("Squall did not make this object".to_owned()) };
        };
        if self.uid.as_ref() != Some(&object.uid) {
            return Err("it is about another object, of which this one is a copy".to_owned());
        }
        match fields.iter().find(|field| !may_be_changed(&object.kind, &self.injection, field)) {
            Some(field) => Err(format!("no fault changes {field}")),
            None => Ok(()),
        }
    }

    fn undo(self, object: &ObjectRef) -> Undo {
        let (object, mark) = (Box::new(object.clone()), self.injection);
        match self.fields {
            Some(fields) => Undo::Object { object, fields, mark },
            None => Undo::Created { object, mark },
        }
    }
}

/// What objects are called that are made for an injection, unless somebody has named them.
fn own_name(injection: &str) -> String {
    format!("squall-{injection}")
}

/// All notes on an object that has the label for it.
pub(super) fn found_on(object: &ObjectRef, content: &Json) -> Vec<Found> {
    let mut found: BTreeMap<&str, Result<String, String>> = BTreeMap::new();
    let mut pieces: BTreeMap<&str, BTreeMap<usize, &str>> = BTreeMap::new();
    for (map, name, value) in all(content) {
        let value = value.as_str().unwrap_or_default();
        match name.rsplit_once('.').map(|(name, position)| (name, position.parse())) {
            Some((name, Ok(position))) if map == "labels" => {
                pieces.entry(name).or_default().insert(position, value);
            }
            _ => drop(found.insert(name, Ok(value.to_owned()))),
        }
    }
    found.extend(pieces.into_iter().map(|(name, pieces)| (name, joined(&pieces))));
    if found.is_empty() {
        let undo = Err("nothing is written there on how it is undone".to_owned());
        return vec![Found { injection: String::new(), held: None, undo }];
    }
    found.into_iter().map(|(name, text)| read(object, content, name, text)).collect()
}

fn read(object: &ObjectRef, content: &Json, name: &str, text: Result<String, String>) -> Found {
    let note = text.and_then(|text| {
        let damaged = |error: serde_json::Error| format!("what is written there is damaged: {error}");
        let note: Note = serde_json::from_str(&text).map_err(damaged)?;
        note.check(object, content)?;
        if name == name_of(&note.injection) { Ok(note) } else { Err("its name is another's".to_owned()) }
    });
    match note {
        Ok(note) => {
            let (injection, held) = (note.injection.clone(), note.held.clone());
            Found { injection, held, undo: Ok(note.undo(object)) }
        }
        Err(why) => {
            let injection = name.strip_prefix(UNDO_PREFIX).unwrap_or(name).to_owned();
            Found { injection, held: None, undo: Err(why) }
        }
    }
}

fn joined(pieces: &BTreeMap<usize, &str>) -> Result<String, String> {
    let damaged = || "what is written there is damaged".to_owned();
    let is_whole = pieces.keys().copied().eq(0..pieces.len());
    let inner = pieces.values().map(|piece| piece.strip_prefix('u')?.strip_suffix('u'));
    let text = inner.collect::<Option<String>>().filter(|_| is_whole).ok_or_else(damaged)?;
    String::from_utf8(BASE64.decode(text).map_err(|_| damaged())?).map_err(|_| damaged())
}

/// Refuses to change fields that another injection has changed, or may have: what they were before is known to that one alone, and
/// its undo would take ours for somebody else's.
pub(super) fn unless_held(
    object: &ObjectRef,
    fields: &[Field],
    injection: &str,
    content: &Json,
) -> Result<(), MachineError> {
    if all(content).next().is_none() {
        return Ok(());
    }
    let meets = |theirs: &Field| fields.iter().any(|ours| excludes(ours, theirs));
    let holds = |found: &&Found| match &found.undo {
        Ok(Undo::Object { fields, .. }) => fields.iter().any(meets),
        Ok(_) => false,
        Err(_) => true,
    };
    let others = found_on(object, content);
    let Some(other) = others.iter().filter(|other| other.injection != injection).find(holds) else {
        return Ok(());
    };
    let by = other.held.as_ref().map_or_else(String::new, |Hold { run, until }| {
        format!(" of run {run}, which means to hold it until {until}")
    });
    let message = format!(
        "could not change {object}: it is held by injection {}{by}; wait for that, or end it; if nobody holds it any more, \
         `squall recover --cluster` puts it back",
        other.injection
    );
    Err(MachineError::Held { message })
}

/// Whether two changes are of the same value. Elements of a list stand beside each other.
fn excludes(one: &Field, other: &Field) -> bool {
    one.path == other.path && !(is_element(one) && is_element(other))
}

fn is_element(field: &Field) -> bool {
    matches!(field.change, FieldChange::Append { .. })
}

/// Whether an object has the note of an injection.
pub(super) fn is_on(content: &Json, injection: &str) -> bool {
    all(content).any(|(_, name, _)| is_of(name, injection))
}

/// Takes the note of an injection away, and with the last one the label. What was not there before is not there then.
pub(super) fn remove(patch: &mut Patch, injection: &str) {
    let ours =
        |(map, name, _): (&'static str, &str, &Json)| is_of(name, injection).then(|| (map, name.to_owned()));
    let ours: Vec<_> = all(&patch.content).filter_map(ours).collect();
    for (map, name) in ours {
        remove_one(patch, map, &name);
    }
    if all(&patch.content).next().is_none() && !patch.content["metadata"]["labels"][STRUCK_LABEL].is_null() {
        remove_one(patch, "labels", STRUCK_LABEL);
    }
}

/// No server shows a map of these that is empty: one that is empty then was not there before.
fn remove_one(patch: &mut Patch, map: &str, name: &str) {
    let is_last = patch.content["metadata"][map].as_object().is_some_and(|map| map.len() == 1);
    let path = ["metadata", map, name].map(str::to_owned);
    patch.remove(if is_last { &path[..2] } else { &path });
}

/// All notes, or pieces of them: in which map, by which name, and what they say.
fn all(content: &Json) -> impl Iterator<Item = (&'static str, &str, &Json)> {
    let of_map = move |map| {
        let entries = content["metadata"][map].as_object().into_iter().flatten();
        entries.map(move |(name, value)| (map, name.as_str(), value))
    };
    MAPS.into_iter().flat_map(of_map).filter(|(_, name, _)| name.starts_with(UNDO_PREFIX))
}

/// Whether a name is that of an injection's note, or of a piece of it.
fn is_of(name: &str, injection: &str) -> bool {
    let is_piece = |rest: &str| rest.strip_prefix('.').is_some_and(|number| number.parse::<usize>().is_ok());
    name.strip_prefix(&name_of(injection)).is_some_and(|rest| rest.is_empty() || is_piece(rest))
}

/// What the note of an injection is called: by the injection, or what can stand for it in a name.
fn name_of(injection: &str) -> String {
    let (_, prefix) = UNDO_PREFIX.split_once('/').unwrap_or_default();
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric();
    let fits = injection.len() <= LONGEST - prefix.len() - ".00".len()
        && injection.bytes().all(|byte| is_letter(byte) || byte == b'-')
        && injection.bytes().last().is_some_and(is_letter);
    if fits {
        return format!("{UNDO_PREFIX}{injection}");
    }
    // FNV-1a.
    let number = injection.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{UNDO_PREFIX}{number:016x}")
}

/// Whether controllers copy what is annotated to objects of their own.
fn is_copied(kind: &ObjectKind) -> bool {
    kind.group == "apps"
}

fn size_of_annotations(content: &Json) -> usize {
    let all = content["metadata"]["annotations"].as_object().into_iter().flatten();
    all.map(|(name, value)| name.len() + value.as_str().unwrap_or_default().len()).sum()
}

/// Whether a fault changes such a field in such an object, and so may a note have it put back.
fn may_be_changed(kind: &ObjectKind, injection: &str, field: &Field) -> bool {
    let path: Vec<&str> = field.path.iter().map(String::as_str).collect();
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let put = match &field.change {
        FieldChange::Put { value, before, made } if *made <= 1 => Some((value, before.as_ref())),
        FieldChange::Put { .. } => return false,
        FieldChange::Append { .. } => None,
    };
    match (kind.kind.as_str(), path.as_slice(), put) {
        ("Pod", ["spec", "containers", number, "image"], Some((value, Some(Json::String(_))))) => {
            is_number(number) && *value == format!("{NO_IMAGE}:{injection}")
        }
        ("Pod", ["metadata", "labels", ISOLATION_LABEL], Some((value, None))) => *value == *injection,
        ("Node", ["spec", "unschedulable"], Some((value, before))) => {
            *value == true && before.is_none_or(|before| *before == false)
        }
        ("Node", ["spec", "taints"], None) => true,
        ("Deployment" | "StatefulSet" | "ReplicaSet", ["spec", "replicas"], Some((value, Some(before)))) => {
            value.is_number() && before.is_number()
        }
        ("VirtualService", ["spec", "http", number, "fault", "delay" | "abort"], Some(_)) => {
            is_number(number)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::tests::{object, patched};
    use super::super::fields::{Outcome, back, captured, forth};
    use super::*;
    use serde_json::json;
    use squall_model::cluster::Shows;

    fn of_kind(group: &str, kind: &str) -> ObjectRef {
        ObjectRef { kind: ObjectKind::new(group, "v1", kind, "things"), ..object() }
    }

    fn step(object: &ObjectRef, mark: &str, fields: &[Field]) -> ObjectStep {
        let hold = Hold { run: "run-1".into(), until: "2026-11-30T12:00:00Z".parse().unwrap() };
        let change = ObjectChange::Fields { fields: fields.to_vec() };
        ObjectStep {
            object: object.clone(),
            change,
            shows: Shows::Itself,
            mark: mark.into(),
            held: Some(hold),
        }
    }

    /// An object with a change by an injection and its note.
    fn struck(object: &ObjectRef, mark: &str, fields: &[Field], content: &Json) -> (Vec<Field>, Json) {
        let fields = captured(object, fields, content).unwrap();
        let note = Note::of(&step(object, mark, &fields), Some(&fields));
        let all = [fields.clone(), note.written(object, content).unwrap()].concat();
        (fields, patched(content, &forth(object, &all, content).unwrap()))
    }

    fn given_back(object: &ObjectRef, mark: &str, fields: &[Field], content: &Json) -> Json {
        let Outcome::Ours(operations) = back(object, fields, mark, content) else { panic!("nothing to do") };
        patched(content, &operations)
    }

    /// What its note tells is what was changed, and it goes without a trace.
    #[track_caller]
    fn there_and_back(object: &ObjectRef, fields: &[Field], content: &Json) -> Json {
        let (fields, struck) = struck(object, "i-1", fields, content);
        let again = forth(object, &fields, &struck).map(|operations| patched(&struck, &operations));
        assert_eq!(again.as_ref(), Ok(&struck));
        let found = found_on(object, &struck);
        let [Found { injection, held: Some(held), undo }] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((injection.as_str(), held.run.as_str()), ("i-1", "run-1"));
        let (boxed, mark) = (Box::new(object.clone()), "i-1".to_owned());
        assert_eq!(undo, &Ok(Undo::Object { object: boxed, fields: fields.clone(), mark }));
        assert_eq!(&given_back(object, "i-1", &fields, &struck), content);
        struck
    }

    #[test]
    fn a_note_tells_how_a_change_is_undone_and_goes_with_it() {
        let bare = json!({"metadata": {"resourceVersion": "7"}, "spec": {"a": 1, "replicas": 3}});
        let rich = json!({"metadata": {"resourceVersion": "7", "labels": {"app": "x"}, "annotations": {"who": "me"}},
            "spec": {"a": 1, "replicas": 3}});
        let cordon = [Field::put(&["spec", "unschedulable"], true, None)];
        let scale = [Field::put(&["spec", "replicas"], 0, None)];
        for content in [&bare, &rich] {
            let node = there_and_back(&of_kind("", "Node"), &cordon, content);
            assert!(node["metadata"]["annotations"]["squall.dev/undo.i-1"].is_string());
            assert_eq!(node["metadata"]["labels"][STRUCK_LABEL], "yes");
            let workload = there_and_back(&of_kind("apps", "Deployment"), &scale, content);
            assert_eq!(workload["metadata"]["annotations"], content["metadata"]["annotations"]);
            let labels = workload["metadata"]["labels"].as_object().unwrap();
            let is_value = |value: &str| {
                let letters = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
                value.len() <= LONGEST && value.chars().all(letters)
            };
            assert!(labels.values().all(|value| is_value(value.as_str().unwrap())), "{labels:?}");
            assert!(labels.contains_key("squall.dev/undo.i-1.0"));
        }
        // A label of ours, in a map that is there for us alone.
        let isolated = [Field::put(&["metadata", "labels", ISOLATION_LABEL], "i-1", None)];
        there_and_back(&of_kind("", "Pod"), &isolated, &bare);
    }

    #[test]
    fn one_object_bears_the_notes_of_several_injections() {
        let object = of_kind("", "Node");
        let before = json!({"metadata": {"resourceVersion": "7"}, "spec": {"a": 1}});
        let cordon = [Field::put(&["spec", "unschedulable"], true, None)];
        let taint = [Field::append(&["spec", "taints"], json!({"key": "k", "effect": "NoSchedule"}))];
        let (cordon, once) = struck(&object, "i-1", &cordon, &before);
        let (taint, twice) = struck(&object, "i-10", &taint, &once);
        assert_eq!(found_on(&object, &twice).len(), 2);
        assert!(is_on(&twice, "i-1") && is_on(&twice, "i-10") && !is_on(&twice, "i"));
        let left = given_back(&object, "i-1", &cordon, &twice);
        assert!(!is_on(&left, "i-1") && left["metadata"]["labels"][STRUCK_LABEL] == "yes");
        assert_eq!(given_back(&object, "i-10", &taint, &left), before);
        // In the other order too.
        let left = given_back(&object, "i-10", &taint, &twice);
        assert_eq!(given_back(&object, "i-1", &cordon, &left), before);
    }

    #[test]
    fn what_others_made_of_it_is_theirs_and_the_note_goes() {
        let object = of_kind("apps", "Deployment");
        let before = json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}});
        let (fields, mut struck) =
            struck(&object, "i-1", &[Field::put(&["spec", "replicas"], 0, None)], &before);
        struck["spec"]["replicas"] = json!(5);
        let left = given_back(&object, "i-1", &fields, &struck);
        assert_eq!(left, json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 5}}));
        assert!(matches!(back(&object, &fields, "i-1", &left), Outcome::Theirs(_)));
    }

    /// What a note that was tampered with leads to.
    fn tampered(object: &ObjectRef, fields: &[Field], tamper: impl FnOnce(&mut Json)) -> String {
        let mut note = json!(Note::of(&step(object, "i-1", fields), Some(fields)));
        tamper(&mut note);
        let annotations = json!({"squall.dev/undo.i-1": note.to_string()});
        let labels = json!({STRUCK_LABEL: "yes", MARK_LABEL: "i-1"});
        let found = found_on(object, &json!({"metadata": {"annotations": annotations, "labels": labels}}));
        found[0].undo.clone().unwrap_err()
    }

    #[test]
    fn a_forged_note_leads_to_nothing_that_no_fault_changes() {
        let (node, pod) = (of_kind("", "Node"), of_kind("", "Pod"));
        let cordon = [Field::put(&["spec", "unschedulable"], true, None)];
        let with = |object: &ObjectRef, field: Field| tampered(object, &[field], |_| ());
        assert!(tampered(&node, &cordon, |note| note["uid"] = json!("other")).contains("a copy"));
        assert!(tampered(&node, &cordon, |note| note["v"] = json!(2)).contains("version 2"));
        assert!(tampered(&node, &cordon, |note| note["injection"] = json!("i-2")).contains("another's"));
        let rootless = |note: &mut Json| drop(note.as_object_mut().unwrap().remove("fields"));
        assert!(tampered(&node, &cordon, rootless).contains("did not make"));
        assert!(tampered(&node, &cordon, |note| *note = json!([1])).contains("damaged"));
        assert!(tampered(&node, &cordon, |note| note["held"]["until"] = json!("soon")).contains("damaged"));
        let refused = [
            (&pod, Field::put(&["spec", "serviceAccountName"], "a", Some(json!("admin")))),
            (&pod, Field::put(&["spec", "containers", "0", "image"], "shop/web:1", Some(json!("evil:1")))),
            (&pod, Field::put(&["metadata", "ownerReferences"], json!([]), None)),
            (&node, Field::put(&["spec", "unschedulable"], false, Some(json!(true)))),
            (&node, Field::put(&["spec", "taints"], json!([]), None)),
            (&node, Field::put(&["spec", "replicas"], 1, Some(json!(2)))),
        ];
        for (object, field) in refused {
            let why = with(object, field.clone());
            assert!(why.contains("no fault changes"), "{field}: {why}");
        }
        let mut deep = Field::put(&["spec", "unschedulable"], true, None);
        deep.change = FieldChange::Put { value: json!(true), before: None, made: 2 };
        assert!(with(&node, deep).contains("no fault changes"));
    }

    #[test]
    fn a_damaged_note_is_told_and_leads_nowhere() {
        let object = of_kind("apps", "Deployment");
        let before = json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}});
        let (_, whole) = struck(&object, "i-1", &[Field::put(&["spec", "replicas"], 0, None)], &before);
        let damage = |name: &str, value: Option<&str>| {
            let mut content = whole.clone();
            let labels = content["metadata"]["labels"].as_object_mut().unwrap();
            match value {
                Some(value) => drop(labels.insert(name.to_owned(), json!(value))),
                None => drop(labels.remove(name)),
            }
            found_on(&object, &content)[0].clone()
        };
        for (name, value) in
            [("0", None), ("1", None), ("1", Some("uu")), ("1", Some("x")), ("77", Some("uAAu"))]
        {
            let found = damage(&format!("squall.dev/undo.i-1.{name}"), value);
            assert!(
                found.undo.is_err() && found.injection == "i-1" && found.held.is_none(),
                "{name}: {found:?}"
            );
        }
        let bare = found_on(&object, &json!({"metadata": {"labels": {STRUCK_LABEL: "yes"}}}));
        assert!(bare[0].undo.as_ref().unwrap_err().contains("nothing is written"));
    }

    #[test]
    fn what_another_injection_has_changed_is_left_to_it() {
        let deployment = of_kind("apps", "Deployment");
        let before = json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}});
        let fields = [Field::put(&["spec", "replicas"], 0, None)];
        let (_, struck_once) = struck(&deployment, "i-1", &fields, &before);
        let more = [Field::put(&["spec", "replicas"], 5, Some(json!(0)))];
        let error = unless_held(&deployment, &more, "i-2", &struck_once).unwrap_err().to_string();
        assert!(error.contains("held by injection i-1 of run run-1"), "{error}");
        assert_eq!(unless_held(&deployment, &more, "i-1", &struck_once), Ok(()));
        assert_eq!(unless_held(&deployment, &more, "i-2", &before), Ok(()));
        // Two on one object are no trouble where they change different things.
        let node = of_kind("", "Node");
        let cordon = [Field::put(&["spec", "unschedulable"], true, None)];
        let (_, closed) = struck(&node, "i-1", &cordon, &json!({"metadata": {"resourceVersion": "7"}}));
        let taint = Field {
            path: vec!["spec".into(), "taints".into()],
            change: FieldChange::Append { element: json!({"key": "k"}) },
        };
        assert_eq!(unless_held(&node, &[taint], "i-2", &closed), Ok(()));
        assert!(unless_held(&node, &cordon, "i-2", &closed).is_err());
    }

    #[test]
    fn what_has_no_room_for_a_note_is_refused() {
        let object = of_kind("", "Node");
        let cordon = [Field::put(&["spec", "unschedulable"], true, None)];
        let note = Note::of(&step(&object, "i-1", &cordon), Some(&cordon));
        let full = json!({"metadata": {"annotations": {"a": "x".repeat(ALL_ANNOTATIONS - 100)}}});
        let error = note.written(&object, &full).unwrap_err().to_string();
        assert!(error.contains("may grow by 99 bytes"), "{error}");
        let of_more = [Field::put(&["spec", "secret"], 1, None)];
        let error = Note::of(&step(&object, "i-1", &of_more), Some(&of_more)).written(&object, &json!({}));
        assert!(error.unwrap_err().to_string().contains("no fault changes spec.secret"));
    }

    #[test]
    fn a_name_that_does_not_fit_is_stood_for_by_a_number() {
        assert_eq!(name_of("a1b2c3-1-ffff"), "squall.dev/undo.a1b2c3-1-ffff");
        for name in ["x".repeat(80), "a/b".to_owned(), "a-".to_owned(), String::new()] {
            let (_, part) =
                name_of(&name).split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            assert!(part.len() == "undo.".len() + 16 && part.bytes().all(|byte| byte != b'/'), "{part}");
        }
    }
}
