//! What the webhook answers: a pure function from what somebody asks of the API server to how their object is kept.
//!
//! Whoever creates an object, or changes what it asks for, is its author. Whoever changes anything else leaves the author as
//! it is, whatever they write there. The operator itself is nobody's author: what it makes for others names them, and it is let.

use crate::operator::author::Author;
use crate::operator::kinds::MESH_GROUP;
use crate::operator::resources::{AUTHOR, GROUP};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json, json};
use squall_kubernetes::{Operation, pointer};

/// A longer author is refused: an object may hold 256 KiB of annotations.
const LONGEST_AUTHOR: usize = 64 << 10;
const FORBIDDEN: u16 = 403;

/// The answer to the request of an `AdmissionReview`. `operator` is the name of the operator itself.
///
/// Source: <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/>
pub(super) fn review(request: &Json, operator: &str) -> Json {
    let uid = &request["uid"];
    match annotation(request, operator) {
        Err(why) => {
            json!({"uid": uid, "allowed": false, "status": {"code": FORBIDDEN, "message": why}})
        }
        Ok(wanted) => {
            let operations = patch(&request["object"]["metadata"], wanted);
            if operations.is_empty() {
                return json!({"uid": uid, "allowed": true});
            }
            let patch = BASE64.encode(json!(operations).to_string());
            json!({"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": patch})
        }
    }
}

/// What the annotation is to be.
fn annotation(request: &Json, operator: &str) -> Result<Option<Json>, String> {
    let (new, old) = (&request["object"], &request["oldObject"]);
    let as_it_is = Ok(noted(new));
    let is_ours = matches!(request["resource"]["group"].as_str(), Some(GROUP | MESH_GROUP));
    let is_part = request["subResource"].as_str().is_some_and(|part| !part.is_empty());
    if !is_ours || is_part || request["userInfo"]["username"] == operator {
        return as_it_is;
    }
    match request["operation"].as_str() {
        Some("UPDATE") if content(new) == content(old) => Ok(noted(old)),
        Some("CREATE" | "UPDATE") => written(&request["userInfo"]).map(Some),
        _ => as_it_is,
    }
}

fn noted(object: &Json) -> Option<Json> {
    object["metadata"]["annotations"].get(AUTHOR).cloned()
}

/// All that an object says but for what it is called and how it is.
fn content(object: &Json) -> Map<String, Json> {
    let mut content = object.as_object().cloned().unwrap_or_default();
    content.retain(|name, _| name != "metadata" && name != "status");
    content
}

fn written(user: &Json) -> Result<Json, String> {
    let author: Author = serde_json::from_value(user.clone())
        .map_err(|error| format!("the API server did not say who you are: {error}"))?;
    if author.username.is_empty() {
        return Err("the API server did not say who you are: your name is empty".to_owned());
    }
    let text = json!(author).to_string();
    if text.len() > LONGEST_AUTHOR {
        return Err(format!(
            "what the API server knows of {author} takes {} bytes, and an annotation of the author may take {LONGEST_AUTHOR}: \
             be in fewer groups, or use a service account",
            text.len()
        ));
    }
    Ok(text.into())
}

/// What makes the annotation what it is to be.
fn patch(metadata: &Json, wanted: Option<Json>) -> Vec<Operation> {
    let path = pointer(&["metadata", "annotations", AUTHOR]);
    let annotations = metadata["annotations"].as_object();
    let there = annotations.and_then(|annotations| annotations.get(AUTHOR));
    match wanted {
        wanted if wanted.as_ref() == there => Vec::new(),
        None => vec![Operation::Remove { path }],
        Some(value) if annotations.is_some() => vec![Operation::Add { path, value }],
        Some(value) => {
            let path = pointer(&["metadata", "annotations"]);
            vec![Operation::Add { path, value: json!({AUTHOR: value}) }]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATOR: &str = "system:serviceaccount:squall-system:squall-operator";

    fn object(image: &str, annotations: &Json) -> Json {
        json!({"kind": "Experiment", "metadata": {"name": "x", "annotations": annotations}, "spec": {"a": image}})
    }

    fn request(operation: &str, user: &str, new: &Json, old: &Json) -> Json {
        json!({
            "uid": "1", "operation": operation, "object": new, "oldObject": old,
            "resource": {"group": "squall.dev", "version": "v1", "resource": "experiments"},
            "userInfo": {"username": user, "groups": ["team"]},
        })
    }

    /// The patch that comes back for a request that is allowed.
    fn patched(request: &Json) -> Json {
        let response = review(request, OPERATOR);
        assert_eq!((&response["uid"], &response["allowed"]), (&json!("1"), &json!(true)), "{response}");
        match response["patch"].as_str() {
            None => json!([]),
            Some(patch) => serde_json::from_slice(&BASE64.decode(patch).unwrap()).unwrap(),
        }
    }

    fn add(user: &str) -> Json {
        let value = format!(r#"{{"groups":["team"],"username":"{user}"}}"#);
        json!([{"op": "add", "path": "/metadata/annotations/squall.dev~1author", "value": value}])
    }

    #[test]
    fn whoever_creates_is_the_author_whatever_they_say() {
        let bare = json!({"metadata": {"name": "x"}, "spec": {}});
        let value = add("alice")[0]["value"].clone();
        let all = json!([{"op": "add", "path": "/metadata/annotations", "value": {AUTHOR: value}}]);
        assert_eq!(patched(&request("CREATE", "alice", &bare, &Json::Null)), all);
        let forged = object("1", &json!({AUTHOR: r#"{"username":"root"}"#}));
        assert_eq!(patched(&request("CREATE", "alice", &forged, &Json::Null)), add("alice"));
        let nobody = request("CREATE", "", &bare, &Json::Null);
        assert_eq!(review(&nobody, OPERATOR)["allowed"], false);
        let mut many = request("CREATE", "alice", &bare, &Json::Null);
        many["userInfo"]["groups"] = json!(vec!["a-group-of-many"; 5000]);
        let refused = review(&many, OPERATOR);
        assert!(refused["status"]["message"].as_str().unwrap().contains("fewer groups"), "{refused}");
    }

    #[test]
    fn whoever_changes_what_is_asked_for_is_the_author_from_then_on() {
        let (old, new) = (object("1", &json!({AUTHOR: "alice's"})), object("2", &json!({AUTHOR: "alice's"})));
        assert_eq!(patched(&request("UPDATE", "bob", &new, &old)), add("bob"));
        // Also where the kind has no `spec`.
        let other = json!({"metadata": {"annotations": {}}, "data": 1});
        assert_eq!(patched(&request("UPDATE", "bob", &other, &json!({"metadata": {}}))), add("bob"));
    }

    #[test]
    fn whoever_changes_anything_else_leaves_the_author() {
        let old = object("1", &json!({AUTHOR: "alice's"}));
        let paused = object("1", &json!({AUTHOR: "alice's", "squall.dev/pause": "true"}));
        assert_eq!(patched(&request("UPDATE", "bob", &paused, &old)), json!([]));
        let path = "/metadata/annotations/squall.dev~1author";
        let back = json!([{"op": "add", "path": path, "value": "alice's"}]);
        for forged in [object("1", &json!({AUTHOR: "root's"})), object("1", &json!({}))] {
            assert_eq!(patched(&request("UPDATE", "bob", &forged, &old)), back);
        }
        let mut bare = object("1", &json!({}));
        let removed = json!([{"op": "remove", "path": path}]);
        assert_eq!(patched(&request("UPDATE", "bob", &old, &bare)), removed);
        bare["status"] = json!({"phase": "Running"});
        assert_eq!(patched(&request("UPDATE", "bob", &object("1", &json!({})), &bare)), json!([]));
    }

    #[test]
    fn the_operator_names_others_and_is_nobody_itself() {
        let made = object("1", &json!({AUTHOR: "alice's"}));
        assert_eq!(patched(&request("CREATE", OPERATOR, &made, &Json::Null)), json!([]));
        let held = object("2", &json!({AUTHOR: "alice's", "x": "y"}));
        assert_eq!(patched(&request("UPDATE", OPERATOR, &held, &made)), json!([]));
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let mut pods = request("CREATE", "alice", &object("1", &json!({})), &Json::Null);
        pods["resource"]["group"] = json!("");
        assert_eq!(patched(&pods), json!([]));
        let mut status = request("UPDATE", "alice", &object("2", &json!({})), &object("1", &json!({})));
        status["subResource"] = json!("status");
        assert_eq!(patched(&status), json!([]));
        assert_eq!(patched(&request("DELETE", "alice", &Json::Null, &object("1", &json!({})))), json!([]));
    }
}
