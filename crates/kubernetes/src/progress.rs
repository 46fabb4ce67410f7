//! How far the program of a pod is that is made to run once.

use serde_json::Value as Json;

/// For these a container waits that will never run as things are.
const HOPELESS: [&str; 9] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
];

/// How far a pod's program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It runs.
    Runs,
    /// It does not run yet; why, after a colon.
    Waits(String),
    /// It ended with this exit code; what its node says of that, after a colon.
    Ended(i64, String),
    /// It will never end by itself, for this reason: it cannot be started, or its pod was ended.
    Fails(String),
}

impl Progress {
    /// What the status of a pod says of its first container.
    pub fn of(status: &Json) -> Self {
        let container = &status["containerStatuses"][0]["state"];
        let is_over = matches!(status["phase"].as_str(), Some("Failed" | "Succeeded"));
        // The pod was ended from outside, and its program with it: evicted, or longer there than it may be.
        if is_over && status["reason"].is_string() {
            return Self::Fails(trimmed(&words(status)));
        }
        if let Some(waiting) = container["waiting"].as_object() {
            let reason = waiting.get("reason").and_then(Json::as_str).unwrap_or_default();
            let why = words(&container["waiting"]);
            return if HOPELESS.contains(&reason) { Self::Fails(trimmed(&why)) } else { Self::Waits(why) };
        }
        if let Some(code) = container["terminated"]["exitCode"].as_i64() {
            return Self::Ended(code, words(&container["terminated"]));
        }
        if is_over {
            return Self::Fails(trimmed(&words(status)));
        }
        if container["running"].is_object() {
            return Self::Runs;
        }
        let conditions = status["conditions"].as_array().into_iter().flatten();
        Self::Waits(conditions.filter(|condition| condition["status"] != "True").map(words).collect())
    }
}

/// Reason and message of an object's part, after a colon.
fn words(part: &Json) -> String {
    let text = |field: &str| part[field].as_str().filter(|text| !text.is_empty());
    match (text("reason"), text("message")) {
        (None, None) => String::new(),
        (Some(one), None) | (None, Some(one)) => format!(": {one}"),
        (Some(reason), Some(message)) => format!(": {reason}: {message}"),
    }
}

fn trimmed(words: &str) -> String {
    words.trim_start_matches(": ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_says_how_far_its_program_is() {
        let container = |state: Json| json!({"phase": "Pending", "containerStatuses": [{"state": state}]});
        let pulled = container(json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}));
        assert_eq!(Progress::of(&pulled), Progress::Fails("ErrImagePull: no such image".to_owned()));
        let making = container(json!({"waiting": {"reason": "ContainerCreating"}}));
        assert_eq!(Progress::of(&making), Progress::Waits(": ContainerCreating".to_owned()));
        let runs = json!({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]});
        assert_eq!(Progress::of(&runs), Progress::Runs);
        let evicted = json!({"phase": "Failed", "reason": "OutOfcpu", "message": "no room"});
        assert_eq!(Progress::of(&evicted), Progress::Fails("OutOfcpu: no room".to_owned()));
        let ended = container(json!({"terminated": {"exitCode": 1, "reason": "Error"}}));
        assert_eq!(Progress::of(&ended), Progress::Ended(1, ": Error".to_owned()));
        let mut late = container(json!({"terminated": {"exitCode": 137, "reason": "Error"}}));
        (late["phase"], late["reason"]) = (json!("Failed"), json!("DeadlineExceeded"));
        assert_eq!(Progress::of(&late), Progress::Fails("DeadlineExceeded".to_owned()));
        let new = json!({"phase": "Pending", "conditions": [{"status": "False", "reason": "Unschedulable"}]});
        assert_eq!(Progress::of(&new), Progress::Waits(": Unschedulable".to_owned()));
    }
}
