//! Fields of objects: what they were, our values in, the values of before back. Pure functions; whoever calls them asks and
//! tells the cluster.
//!
//! Each patch tests the version of the object that it was made from, so that nobody's change is overwritten.

use super::note;
use serde_json::{Map, Value as Json};
use squall_kubernetes::Operation;
use squall_model::cluster::{Field, FieldChange, ObjectRef, pointer, put_back_by_hand};
use squall_model::machine::MachineError;
use squall_model::undo::Difference;

/// What is to be done to give fields back.
pub(super) enum Outcome {
    /// Nothing: they are as they were.
    Same(String),
    /// They are ours, and this gives them back.
    Ours(Vec<Operation>),
    /// Somebody else gave them other values, in which nothing is of ours: in words.
    Theirs(String),
    /// Something of ours is there, and cannot be told from what is others'.
    Left(Difference),
}

fn at<'c>(content: &'c Json, path: &[String]) -> Option<&'c Json> {
    content.pointer(&pointer(path)).filter(|value| !value.is_null())
}

/// Whether one value is another, but for what the server adds to it.
fn is_like(found: &Json, meant: &Json) -> bool {
    match (found, meant) {
        (Json::Object(found), Json::Object(meant)) => {
            meant.iter().all(|(name, value)| found.get(name).is_some_and(|found| is_like(found, value)))
        }
        (Json::Number(found), Json::Number(meant)) => found.as_f64() == meant.as_f64(),
        _ => found == meant,
    }
}

fn position(content: &Json, path: &[String], element: &Json) -> Option<usize> {
    at(content, path)?.as_array()?.iter().position(|found| is_like(found, element))
}

/// The fields with what is there now as what was before.
pub(super) fn captured(
    object: &ObjectRef,
    fields: &[Field],
    content: &Json,
) -> Result<Vec<Field>, MachineError> {
    let capture = |field: &Field| match &field.change {
        FieldChange::Put { value, .. } => {
            let before = at(content, &field.path).cloned();
            if before.as_ref().is_some_and(|before| is_like(before, value)) {
                return Err(refused(format!(
                    "could not change {} of {object}: it is {value} already, so nothing would change",
                    field.name()
                )));
            }
            let missing = (1..field.path.len()).filter(|depth| at(content, &field.path[..*depth]).is_none());
            let made = missing.count();
            let change = FieldChange::Put { value: value.clone(), before, made };
            Ok(Field { path: field.path.clone(), change })
        }
        FieldChange::Append { element } => match position(content, &field.path, element) {
            Some(_) => Err(refused(format!("{} of {object} has {element} already", field.name()))),
            None => Ok(field.clone()),
        },
    };
    fields.iter().map(capture).collect()
}

/// A patch, and the object as it is after it.
pub(super) struct Patch {
    pub(super) operations: Vec<Operation>,
    pub(super) content: Json,
}

impl Patch {
    /// One that changes nothing yet.
    pub(super) fn of(content: &Json) -> Self {
        Self { operations: Vec::new(), content: content.clone() }
    }

    /// Puts a value where another is, or none.
    fn put(&mut self, path: &[String], value: Json) {
        let (inner, name) = (&path[..path.len() - 1], &path[path.len() - 1]);
        let at = pointer(path);
        match self.content.pointer_mut(&pointer(inner)) {
            Some(Json::Object(map)) => drop(map.insert(name.clone(), value.clone())),
            Some(Json::Array(list)) if name == "-" => list.push(value.clone()),
            _ => {}
        }
        self.operations.push(Operation::Add { path: at, value });
    }

    /// Puts a value in place of one that is there.
    fn replace(&mut self, path: &[String], value: Json) {
        let path = pointer(path);
        if let Some(there) = self.content.pointer_mut(&path) {
            there.clone_from(&value);
        }
        self.operations.push(Operation::Replace { path, value });
    }

    /// Takes away what is there.
    pub(super) fn remove(&mut self, path: &[String]) {
        let (inner, name) = (&path[..path.len() - 1], &path[path.len() - 1]);
        match self.content.pointer_mut(&pointer(inner)) {
            Some(Json::Object(map)) => drop(map.remove(name)),
            Some(Json::Array(list)) => {
                if let Some(position) = name.parse().ok().filter(|position| *position < list.len()) {
                    list.remove(position);
                }
            }
            _ => {}
        }
        self.operations.push(Operation::Remove { path: pointer(path) });
    }

    /// Adds the maps that lead to a field, where they are missing.
    fn add_parents(&mut self, path: &[String]) {
        for depth in 1..path.len() {
            if at(&self.content, &path[..depth]).is_none() {
                self.put(&path[..depth], Json::Object(Map::new()));
            }
        }
    }
}

/// The patch that gives fields our values; refused where they are not as they were captured.
pub(super) fn forth(
    object: &ObjectRef,
    fields: &[Field],
    content: &Json,
) -> Result<Vec<Operation>, MachineError> {
    let mut patch = Patch::of(content);
    patch.operations.push(Operation::unchanged(content));
    for field in fields {
        match &field.change {
            FieldChange::Put { value, before, .. } => {
                let now = at(&patch.content, &field.path);
                if now != before.as_ref() && now != Some(value) {
                    return Err(refused(format!(
                        "could not change {} of {object}: it was {} when that was written down and is {} now, so the undo \
                         would bring back the wrong value; plan again",
                        field.name(),
                        shown(before.as_ref()),
                        shown(now)
                    )));
                }
                patch.add_parents(&field.path);
                match before {
                    Some(_) => patch.replace(&field.path, value.clone()),
                    None => patch.put(&field.path, value.clone()),
                }
            }
            FieldChange::Append { element } if position(&patch.content, &field.path, element).is_some() => {}
            FieldChange::Append { element } => match at(&patch.content, &field.path) {
                Some(Json::Array(_)) => patch.put(&element_of(&field.path, "-"), element.clone()),
                _ => patch.put(&field.path, Json::Array(vec![element.clone()])),
            },
        }
    }
    Ok(patch.operations)
}

/// The path of an element of a list.
fn element_of(list: &[String], position: &str) -> Vec<String> {
    list.iter().cloned().chain([position.to_owned()]).collect()
}

/// What gives fields back, and takes the note of this mark away: what others made of our change by then is theirs, and stands.
/// Where something of ours is in it still, or is at another place by now, the note stays with it.
pub(super) fn back(object: &ObjectRef, fields: &[Field], mark: &str, content: &Json) -> Outcome {
    let mut patch = Patch::of(content);
    let left = left(object, fields, mark, content);
    if left.is_none() {
        note::remove(&mut patch, mark);
    }
    fields.iter().rev().for_each(|field| give_back(&mut patch, field));
    if !patch.operations.is_empty() {
        patch.operations.insert(0, Operation::unchanged(content));
        return Outcome::Ours(patch.operations);
    }
    if let Some(difference) = left {
        return Outcome::Left(difference);
    }
    let theirs: Vec<String> = fields.iter().filter_map(|field| theirs(field, content)).collect();
    if theirs.is_empty() {
        let names: Vec<String> = fields.iter().map(Field::name).collect();
        let as_before = format!("{object}: {} as before", names.join(", "));
        let told: Vec<String> =
            std::iter::once(as_before).chain(waiting_containers(fields, content)).collect();
        return Outcome::Same(told.join("; "));
    }
    let (theirs, by_hand) = (theirs.join("; "), put_back_by_hand(object, fields));
    Outcome::Theirs(format!("{object}: {theirs} by somebody else, and is let stand; by hand: {by_hand}"))
}

/// Gives a field back that is ours.
fn give_back(patch: &mut Patch, field: &Field) {
    match &field.change {
        FieldChange::Put { value, before, made } => {
            if !at(&patch.content, &field.path).is_some_and(|now| is_like(now, value)) {
                return;
            }
            match before {
                Some(before) if before == value => {}
                Some(before) => patch.replace(&field.path, before.clone()),
                None => patch.remove(outermost(&patch.content, &field.path, *made)),
            }
        }
        FieldChange::Append { element } => {
            let Some(position) = position(&patch.content, &field.path, element) else { return };
            let all = at(&patch.content, &field.path).and_then(Json::as_array);
            if all.is_some_and(|all| all.len() == 1) {
                patch.remove(&field.path);
            } else {
                patch.remove(&element_of(&field.path, &position.to_string()));
            }
        }
    }
}

/// A value that is neither ours nor that of before, in words.
fn theirs(field: &Field, content: &Json) -> Option<String> {
    let FieldChange::Put { value, before, .. } = &field.change else { return None };
    let now = at(content, &field.path);
    let is_known = now == before.as_ref() || now.is_some_and(|now| is_like(now, value));
    (!is_known).then(|| format!("{} was {}, is {}", field.name(), shown(before.as_ref()), shown(now)))
}

/// What of ours is there in another shape, or at another place of its list. Only the note tells that it was not put back yet:
/// without it, what is like ours is somebody else's.
fn left(object: &ObjectRef, fields: &[Field], mark: &str, content: &Json) -> Option<Difference> {
    if !note::is_on(content, mark) {
        return None;
    }
    let found = fields.iter().find_map(|field| {
        let FieldChange::Put { value, before, .. } = &field.change else { return None };
        let now = at(content, &field.path);
        if now.is_some_and(|now| is_like(now, value)) {
            return None;
        }
        let moved = moved(fields, field, value, content);
        let is_mixed = now != before.as_ref() && now.is_some_and(|now| has_some_of(now, value));
        let path = moved.or_else(|| is_mixed.then(|| field.path.clone()))?;
        Some((path.join("."), shown(before.as_ref()), shown(at(content, &path))))
    });
    let (name, before, now) = found?;
    Some(Difference {
        looked_at: format!("{name} of {object}"),
        before,
        now: format!("{now}, where somebody else changed it around what Squall had made of it"),
        remedy: format!("see what of it is to stay: {}", object.by_hand("edit", "")),
        under_way: false,
    })
}

/// Whether some of our value is in another.
fn has_some_of(found: &Json, ours: &Json) -> bool {
    match (found, ours) {
        (Json::Object(found), Json::Object(ours)) => {
            ours.iter().any(|(name, ours)| found.get(name).is_some_and(|found| has_some_of(found, ours)))
        }
        (Json::String(found), Json::String(ours)) => found.contains(ours.as_str()),
        _ => is_like(found, ours),
    }
}

/// Where else in its list our value is: others may have come before it.
fn moved(fields: &[Field], field: &Field, value: &Json, content: &Json) -> Option<Vec<String>> {
    let place = field.path.iter().position(|name| name.parse::<usize>().is_ok())?;
    let (list, within) = (&field.path[..place], &field.path[place + 1..]);
    let count = at(content, list)?.as_array()?.len();
    let mut others = (0..count).map(|position| [&element_of(list, &position.to_string()), within].concat());
    others.find(|path| {
        let is_another = fields.iter().all(|known| known.path != *path);
        is_another && at(content, path).is_some_and(|now| is_like(now, value))
    })
}

/// The fields with what the cluster made of our values, as those that are to be taken back.
pub(super) fn as_made(fields: &[Field], content: &Json) -> Vec<Field> {
    let made_of = |field: &Field| match (&field.change, at(content, &field.path)) {
        (FieldChange::Put { before, made, .. }, Some(now)) => {
            let change = FieldChange::Put { value: now.clone(), before: before.clone(), made: *made };
            Field { path: field.path.clone(), change }
        }
        _ => field.clone(),
    };
    fields.iter().map(made_of).collect()
}

/// The outermost of the maps that we made on the way to a field and that holds nothing else; else the field itself.
fn outermost<'p>(content: &Json, path: &'p [String], made: usize) -> &'p [String] {
    let mut shortest = path;
    for depth in (path.len().saturating_sub(made)..path.len()).rev() {
        let holds_one =
            at(content, &path[..depth]).and_then(Json::as_object).is_some_and(|map| map.len() == 1);
        if !holds_one {
            break;
        }
        shortest = &path[..depth];
    }
    shortest
}

/// The names of those fields that are not as we made them.
pub(super) fn lost(fields: &[Field], content: &Json) -> Vec<String> {
    let is_ours = |field: &&Field| match &field.change {
        FieldChange::Put { value, .. } => at(content, &field.path).is_some_and(|now| is_like(now, value)),
        FieldChange::Append { element } => position(content, &field.path, element).is_some(),
    };
    fields.iter().filter(|field| !is_ours(field)).map(Field::name).collect()
}

/// The containers of a pod whose images fields are about, and whether none of them runs.
pub(super) fn struck_containers(fields: &[Field], content: &Json) -> (Vec<String>, bool) {
    let names = containers_of(fields, content);
    let none_runs = !names.iter().any(|name| !state_of(name, content)["running"].is_null());
    (names, none_runs)
}

/// Which of the containers whose images fields are about do not run, and why, in words.
pub(super) fn waiting_containers(fields: &[Field], content: &Json) -> Vec<String> {
    let waits = |name: String| {
        let state = state_of(&name, content);
        let reason = ["waiting", "terminated"].iter().find_map(|kind| state[kind]["reason"].as_str());
        let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        state["running"].is_null().then(|| format!("container {name} does not run yet{why}"))
    };
    containers_of(fields, content).into_iter().filter_map(waits).collect()
}

fn containers_of(fields: &[Field], content: &Json) -> Vec<String> {
    let name = |field: &Field| {
        let container = at(content, field.path.get(..3).filter(|path| path[1] == "containers")?)?;
        container["name"].as_str().map(str::to_owned)
    };
    fields.iter().filter_map(name).collect()
}

fn state_of<'c>(container: &str, content: &'c Json) -> &'c Json {
    let statuses = content["status"]["containerStatuses"].as_array().into_iter().flatten();
    let mut of_it = statuses.filter(|status| status["name"] == *container);
    of_it.next().map_or(&Json::Null, |status| &status["state"])
}

fn shown(value: Option<&Json>) -> String {
    value.map_or_else(|| "not set".to_owned(), Json::to_string)
}

pub(super) fn refused(message: String) -> MachineError {
    MachineError::Refused { message }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;
    use squall_model::cluster::{ClusterPlace, ClusterRef, ObjectKind};

    pub(in super::super) fn object() -> ObjectRef {
        let cluster = ClusterRef { place: ClusterPlace::default(), server: "s".into(), uid: "c".into() };
        let kind = ObjectKind::new("", "v1", "Node", "nodes");
        ObjectRef { cluster, kind, namespace: None, name: "n".into(), uid: "u".into() }
    }

    /// What a patch makes of an object, as a server would.
    pub(in super::super) fn patched(content: &Json, operations: &[Operation]) -> Json {
        let mut content = content.clone();
        for operation in operations {
            match operation {
                Operation::Test { path, value } => assert_eq!(content.pointer(path), Some(value)),
                Operation::Add { path, value } => {
                    let (parent, name) = path.rsplit_once('/').unwrap();
                    let name = name.replace("~1", "/").replace("~0", "~");
                    match content.pointer_mut(parent).unwrap() {
                        Json::Array(list) => list.push(value.clone()),
                        parent => parent[name] = value.clone(),
                    }
                }
                Operation::Replace { path, value } => *content.pointer_mut(path).unwrap() = value.clone(),
                Operation::Remove { path } => {
                    let (parent, name) = path.rsplit_once('/').unwrap();
                    let name = name.replace("~1", "/").replace("~0", "~");
                    match content.pointer_mut(parent).unwrap() {
                        Json::Array(list) => drop(list.remove(name.parse().unwrap())),
                        Json::Object(map) => drop(map.remove(&name).unwrap()),
                        other => panic!("{other}"),
                    }
                }
            }
        }
        content
    }

    /// Fields there and back again leave everything as it was, and a second undo finds nothing to do.
    #[track_caller]
    fn there_and_back(fields: &[Field], before: &Json) -> Json {
        let fields = captured(&object(), fields, before).unwrap();
        let struck = patched(before, &forth(&object(), &fields, before).unwrap());
        assert!(lost(&fields, &struck).is_empty() && !lost(&fields, before).is_empty());
        // Applied twice it changes nothing more.
        let again = patched(&struck, &forth(&object(), &fields, &struck).unwrap());
        assert_eq!(again, struck);
        let Outcome::Ours(operations) = back(&object(), &fields, "i-1", &struck) else { panic!("not ours") };
        assert_eq!(&patched(&struck, &operations), before);
        assert!(matches!(back(&object(), &fields, "i-1", before), Outcome::Same(_)));
        struck
    }

    #[test]
    fn fields_go_there_and_back_and_nothing_else_changes() {
        let version = json!({"resourceVersion": "7"});
        let node = json!({"metadata": version, "spec": {"podCIDR": "10.0.0.0/24"}});
        there_and_back(&[Field::put(&["spec", "unschedulable"], true, None)], &node);
        there_and_back(
            &[Field::append(&["spec", "taints"], json!({"key": "a", "effect": "NoSchedule"}))],
            &node,
        );
        let tainted = json!({"metadata": version, "spec": {"taints": [{"key": "b"}]}});
        there_and_back(&[Field::append(&["spec", "taints"], json!({"key": "a"}))], &tainted);
        // A label with a slash, in a map that is not there.
        let struck = there_and_back(&[Field::put(&["metadata", "labels", "squall.dev/x"], "1", None)], &node);
        assert_eq!(struck["metadata"]["labels"]["squall.dev/x"], "1");
        let routes = json!({"metadata": version, "spec": {"http": [{"route": []}, {"fault": {"abort": {"httpStatus": 500}}}]}});
        let delay = |route: &str| {
            Field::put(&["spec", "http", route, "fault", "delay"], json!({"fixedDelay": "5s"}), None)
        };
        let struck = there_and_back(&[delay("0"), delay("1")], &routes);
        assert_eq!(struck["spec"]["http"][1]["fault"]["abort"]["httpStatus"], 500);
    }

    #[test]
    fn a_map_that_we_made_stays_while_it_holds_something_of_others() {
        let before = json!({"metadata": {"resourceVersion": "7"}, "spec": {}});
        let field = Field::put(&["spec", "fault", "delay"], 1, None);
        let fields = captured(&object(), &[field], &before).unwrap();
        let struck =
            json!({"metadata": {"resourceVersion": "8"}, "spec": {"fault": {"delay": 1, "abort": 2}}});
        let Outcome::Ours(operations) = back(&object(), &fields, "i-1", &struck) else { panic!("not ours") };
        assert_eq!(patched(&struck, &operations)["spec"], json!({"fault": {"abort": 2}}));
    }

    #[test]
    fn what_others_changed_is_let_stand_and_told() {
        let before = json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}});
        let fields = captured(&object(), &[Field::put(&["spec", "replicas"], 0, None)], &before).unwrap();
        let theirs = json!({"metadata": {"resourceVersion": "9"}, "spec": {"replicas": 5}});
        let Outcome::Theirs(words) = back(&object(), &fields, "i-1", &theirs) else { panic!("not theirs") };
        assert!(
            words.starts_with("node n: spec.replicas was 3, is 5 by somebody else, and is let stand"),
            "{words}"
        );
        let error = forth(&object(), &fields, &theirs).unwrap_err().to_string();
        assert!(error.contains("was 3 when that was written down and is 5 now"), "{error}");
        let same = captured(&object(), &[Field::put(&["spec", "replicas"], 3, None)], &before).unwrap_err();
        assert!(same.to_string().contains("nothing would change"));
    }

    /// What comes of an object that somebody else changed while its note says that it is not put back.
    #[track_caller]
    fn left_on(field: Field, before: &Json, spec: Json) -> Outcome {
        let fields = captured(&object(), &[field], before).unwrap();
        let note = json!({"squall.dev/undo.i-1": "{}", "a": "b"});
        let theirs = json!({"metadata": {"resourceVersion": "9", "annotations": note}, "spec": spec});
        let first = back(&object(), &fields, "i-1", &theirs);
        let Outcome::Ours(operations) = first else { return first };
        back(&object(), &fields, "i-1", &patched(&theirs, &operations))
    }

    #[test]
    fn what_has_something_of_ours_in_it_is_left_with_its_note() {
        let version = json!({"resourceVersion": "7"});
        let pod = json!({"metadata": version, "spec": {"containers": [{"image": "shop:1"}]}});
        let image = Field::put(&["spec", "containers", "0", "image"], "Squall/pod-failure:i-1", None);
        let with = |image: &str| json!({"containers": [{"image": image}]});
        let mirrored = left_on(image.clone(), &pod, with("mirror/Squall/pod-failure:i-1"));
        assert!(matches!(&mirrored, Outcome::Left(told) if told.before == "\"shop:1\""));
        assert!(matches!(left_on(image.clone(), &pod, with("shop:2")), Outcome::Theirs(_)));
        assert!(matches!(left_on(image, &pod, with("shop:1")), Outcome::Same(_)));

        let delay = json!({"fixedDelay": "5s", "percentage": {"value": 100}});
        let routes = json!({"metadata": version, "spec": {"http": [{"name": "a"}, {"name": "b"}]}});
        let field = || Field::put(&["spec", "http", "0", "fault", "delay"], delay.clone(), None);
        let before_ours =
            json!({"http": [{"name": "new"}, {"name": "a", "fault": {"delay": delay}}, {"name": "b"}]});
        let Outcome::Left(told) = left_on(field(), &routes, before_ours) else { panic!("not seen") };
        assert_eq!(told.looked_at, "spec.http.1.fault.delay of node n");
        let longer = json!({"fixedDelay": "9s", "percentage": {"value": 100}});
        let mixed = json!({"http": [{"name": "a", "fault": {"delay": longer}}, {"name": "b"}]});
        assert!(matches!(left_on(field(), &routes, mixed), Outcome::Left(_)));
        assert!(matches!(left_on(field(), &routes, json!({"http": [{"name": "b"}]})), Outcome::Same(_)));
    }

    #[test]
    fn containers_that_do_not_run_yet_are_told_with_the_reason() {
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let status = |state: &Json| json!({"containerStatuses": [{"name": "web", "state": state}]});
        let pod = |state: &Json| {
            json!({"metadata": {"resourceVersion": "7"}, "status": status(state),
                   "spec": {"containers": [{"name": "web", "image": "shop:1"}]}})
        };
        let image = [Field::put(&["spec", "containers", "0", "image"], "Squall/a", Some(json!("shop:1")))];
        let told = |state: Json| match back(&object(), &image, "i-1", &pod(&state)) {
            Outcome::Same(words) => words,
            _ => panic!("not as before"),
        };
        let as_before = "node n: spec.containers.0.image as before";
        assert_eq!(told(waits), format!("{as_before}; container web does not run yet: CrashLoopBackOff"));
        assert_eq!(told(json!({"running": {}})), as_before);
    }

    #[test]
    fn what_the_cluster_makes_of_our_values_is_taken_back_like_ours() {
        let before = json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 5}});
        let fields = captured(&object(), &[Field::put(&["spec", "replicas"], 0, None)], &before).unwrap();
        let bent = json!({"metadata": {"resourceVersion": "8"}, "spec": {"replicas": 2}});
        assert_eq!(lost(&fields, &bent), ["spec.replicas"]);
        let Outcome::Ours(operations) = back(&object(), &as_made(&fields, &bent), "i-1", &bent) else {
            panic!("not ours")
        };
        assert_eq!(patched(&bent, &operations)["spec"]["replicas"], 5);
    }

    #[test]
    fn several_elements_of_a_list_go_and_no_other_does() {
        let node = json!({"metadata": {"resourceVersion": "7"}, "spec": {"taints": [{"key": "x"}]}});
        let taint = |key: &str| Field::append(&["spec", "taints"], json!({"key": key}));
        there_and_back(&[taint("a"), taint("b")], &node);
        let turned = json!({"metadata": {"resourceVersion": "8"}, "spec": {"taints": [{"key": "b"}, {"key": "x"}, {"key": "a"}]}});
        let Outcome::Ours(operations) = back(&object(), &[taint("a"), taint("b")], "i-1", &turned) else {
            panic!("not ours")
        };
        assert_eq!(patched(&turned, &operations)["spec"], node["spec"]);
    }

    #[test]
    fn what_the_server_adds_to_an_element_does_not_hide_it() {
        let field = Field::append(&["spec", "taints"], json!({"key": "a", "effect": "NoExecute"}));
        let struck = json!({"metadata": {"resourceVersion": "7"}, "spec": {"taints": [
            {"key": "b", "effect": "NoSchedule"},
            {"key": "a", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"},
        ]}});
        let Outcome::Ours(operations) = back(&object(), &[field], "i-1", &struck) else { panic!("not ours") };
        assert_eq!(patched(&struck, &operations)["spec"]["taints"].as_array().unwrap().len(), 1);
    }
}
