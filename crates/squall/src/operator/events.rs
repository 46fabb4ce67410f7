//! What becomes of an object, as events of the cluster: what `kubectl describe` shows below it. They are told of what its status
//! newly says, so nothing is told twice, and nothing waits for them or depends on them.
//!
//! Source: the API conventions of Kubernetes for events, `v1 Event`.

use super::object::{self, Name};
use super::progress::{ACCEPTED, PASSING};
use super::reconcile::experiment::first_line;
use super::resources::{EXPERIMENT, HALT, Phase, RUN};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use squall_kubernetes::{Cluster, Kind};
use std::time::Duration;

/// `v1 Event`
const EVENT: Kind = Kind::within("", "v1", "Event", "events");
/// Who tells them.
const TELLER: &str = "squall-operator";
/// The longest message that a cluster takes, in characters.
const LONGEST: usize = 1000;
/// How long is tried to tell one.
const PATIENCE: Duration = Duration::from_secs(5);

/// One thing that became so.
#[derive(Debug, PartialEq, Eq)]
struct News {
    is_well: bool,
    reason: &'static str,
    message: String,
}

/// Tells what is new in a status, beside whatever else is done. What cannot be told is left.
pub(super) fn tell(cluster: &Cluster, kind: &Kind, object: &Json, status: &Json) {
    if *kind == HALT {
        return;
    }
    let events: Vec<Json> = news(kind, &object["status"], status)
        .iter()
        .flat_map(|news| about(kind, object, news).into_iter().map(|about| event(&about, news)))
        .collect();
    if events.is_empty() {
        return;
    }
    let cluster = cluster.hurried(PATIENCE);
    let namespace = Name::of(object).namespace;
    tokio::spawn(async move {
        for event in events {
            if let Err(error) = cluster.create(&EVENT, Some(&namespace), &event).await {
                tracing::debug!(%error, "an event could not be told");
            }
        }
    });
}

/// What a status says that the one before did not.
fn news(kind: &Kind, before: &Json, now: &Json) -> Vec<News> {
    let becomes = |is_so: &dyn Fn(&Json) -> bool| !is_so(before) && is_so(now);
    let is_in = |phase: Phase| move |status: &Json| *part(status, "phase") == json!(phase);
    let mut news = Vec::new();
    let mut tell = |is_well, reason, message: &str| {
        let message = message.chars().take(LONGEST).collect();
        news.push(News { is_well, reason, message });
    };
    // A run is in this phase before it is known whether it may.
    if becomes(&|status| is_in(Phase::Running)(status) && (*kind != RUN || holds(status, ACCEPTED))) {
        tell(true, "Running", "it is carried out");
    }
    if becomes(&|status| holds(status, "AllInjected")) {
        tell(true, "Injected", "everything that was planned is injected");
    }
    // A run that came to nothing has put nothing back.
    let restored = part(now, "counts")["restored"].as_u64().unwrap_or_default();
    if becomes(&|status| holds(status, "AllRecovered")) && restored > 0 {
        tell(true, "Recovered", "everything is put back");
    }
    let reason = first_line(part(now, "reason").as_str().unwrap_or_default());
    for word in PASSING {
        if becomes(&|status| is_in(Phase::Pending)(status) && is_hindered(status, word)) {
            tell(false, word, &reason);
        }
    }
    if becomes(&is_in(Phase::Invalid)) {
        tell(false, "Invalid", &reason);
    }
    // The verdict is there a moment before it is known what becomes of the object then.
    let is_judged = |status: &Json| part(status, "verdict").is_string() && !is_in(Phase::Running)(status);
    if becomes(&is_judged) && !is_in(Phase::Invalid)(now) {
        let verdict = part(now, "verdict").as_str().unwrap_or_default();
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let word = if is_in(Phase::Paused)(now) { "Paused" } else { "Finished" };
        tell(verdict == "passed", word, &format!("{verdict}{why}"));
    }
    news
}

/// A part of what Squall says; in a status of Chaos Mesh that is by itself.
fn part<'s>(status: &'s Json, name: &str) -> &'s Json {
    let squall = &status["squall"];
    if squall.is_null() { &status[name] } else { &squall[name] }
}

fn holds(status: &Json, kind: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn is_hindered(status: &Json, word: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Selected" && condition["reason"] == word)
}

/// Whom something is told of: the object, and what it is of where that does not say the same of itself.
fn about(kind: &Kind, object: &Json, news: &News) -> Vec<Json> {
    let Name { namespace, name } = Name::of(object);
    let mut all = vec![json!({
        "apiVersion": kind.api_version(), "kind": kind.kind, "namespace": namespace, "name": name,
        "uid": object::uid(object),
    })];
    let source = &object["spec"]["source"];
    let is_of_experiment = *kind == RUN && source["kind"] == *EXPERIMENT.kind && source["uid"].is_string();
    if is_of_experiment && matches!(news.reason, "Injected" | "Recovered") {
        let mut source = source.clone();
        source["namespace"] = namespace.into();
        all.push(source);
    }
    all
}

fn event(about: &Json, news: &News) -> Json {
    let now = Timestamp::now();
    let name = about["name"].as_str().unwrap_or_default();
    // Moments of events have whole seconds.
    let moment = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    json!({
        "metadata": {"generateName": format!("{name}.")},
        "involvedObject": about,
        "type": if news.is_well { "Normal" } else { "Warning" },
        "reason": news.reason, "message": news.message,
        "source": {"component": TELLER}, "reportingComponent": TELLER,
        "firstTimestamp": moment, "lastTimestamp": moment, "count": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::progress::NOTHING_MATCHES;

    fn told(before: &Json, now: &Json) -> Vec<(bool, &'static str, String)> {
        news(&RUN, before, now).into_iter().map(|news| (news.is_well, news.reason, news.message)).collect()
    }

    fn holding(kinds: &[&str]) -> Vec<Json> {
        kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect()
    }

    #[test]
    fn what_becomes_so_is_told_once() {
        let running = json!({"phase": "Running", "conditions": holding(&["Accepted", "AllInjected"])});
        let reasons = |news: Vec<(bool, &'static str, String)>| -> Vec<&str> {
            news.into_iter().map(|(_, reason, _)| reason).collect()
        };
        assert_eq!(reasons(told(&Json::Null, &running)), ["Running", "Injected"]);
        assert!(told(&running, &running).is_empty());
        let over = json!({"phase": "Finished", "verdict": "failed", "reason": "down\nfor 3s",
            "counts": {"restored": 1}, "conditions": holding(&["Accepted", "AllInjected", "AllRecovered"])});
        let news = told(&running, &over);
        assert_eq!(news[1], (false, "Finished", "failed: down".to_owned()));
        assert_eq!(reasons(news), ["Recovered", "Finished"]);
        let unmatched = json!([{"type": "Selected", "status": "False", "reason": NOTHING_MATCHES}]);
        let nothing = json!({"phase": "Pending", "reason": "no pod", "conditions": unmatched});
        let running = json!({"phase": "Running"});
        assert_eq!(told(&running, &nothing), [(false, NOTHING_MATCHES, "no pod".to_owned())]);
        assert!(told(&nothing, &nothing).is_empty());
    }

    #[test]
    fn what_is_refused_is_told_as_such_and_nothing_else() {
        let asked = json!({"phase": "Running", "conditions": holding(&["Selected"])});
        assert!(told(&json!({"phase": "Pending"}), &asked).is_empty(), "it is not known whether it may");
        let refused =
            json!({"phase": "Invalid", "verdict": "invalid", "reason": "bob may not", "conditions": []});
        assert_eq!(told(&asked, &refused), [(false, "Invalid", "bob may not".to_owned())]);
    }

    #[test]
    fn what_chaos_mesh_does_not_know_is_told_too() {
        let refused = json!({"squall": {"phase": "Invalid", "reason": "spec.action: no"}, "conditions": []});
        assert_eq!(told(&Json::Null, &refused), [(false, "Invalid", "spec.action: no".to_owned())]);
        let passed = json!({"squall": {"phase": "Finished", "verdict": "passed", "reason": ""}});
        assert_eq!(told(&refused, &passed), [(true, "Finished", "passed".to_owned())]);
        let running = json!({"squall": {"phase": "Running"}});
        let paused = json!({"squall": {"phase": "Paused", "verdict": "aborted", "reason": "by somebody"}});
        assert_eq!(told(&running, &paused), [(false, "Paused", "aborted: by somebody".to_owned())]);
        let undone = json!({"squall": {"phase": "Running", "verdict": "aborted", "reason": "by somebody"}});
        assert!(told(&running, &undone).is_empty(), "it is not known yet what becomes of it");
        assert_eq!(told(&undone, &paused).len(), 1);
        let between = json!({"squall": {"phase": "Pending", "verdict": "passed"}});
        assert_eq!(told(&running, &between), [(true, "Finished", "passed".to_owned())], "a round is over");
    }

    #[test]
    fn an_experiment_hears_of_what_its_runs_inject() {
        let run = json!({"metadata": {"namespace": "shop", "name": "x-1", "uid": "u"},
            "spec": {"source": {"apiVersion": "squall.dev/v1", "kind": "Experiment", "name": "x", "uid": "v"}}});
        let news = |reason| News { is_well: true, reason, message: String::new() };
        let names = |news: &News| -> Vec<String> {
            about(&RUN, &run, news).iter().map(|about| about["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&news("Injected")), ["x-1", "x"]);
        assert_eq!(names(&news("Finished")), ["x-1"], "the experiment's own status says that");
        let event = event(&about(&RUN, &run, &news("Injected"))[1], &news("Injected"));
        assert_eq!(event["involvedObject"]["namespace"], "shop");
        assert_eq!(event["metadata"]["generateName"], "x.");
    }
}
