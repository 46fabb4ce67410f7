//! Objects of Chaos Mesh: each is carried out by runs, and bears the conditions that tools of Chaos Mesh wait for.
//!
//! Source of the conditions' names and of `status.experiment`: the API of Chaos Mesh, `chaos-mesh.org/v1alpha1`.

use super::experiment::first_line;
use super::run::{HOLDS_FOR, is_at_rest};
use super::schedule::{Turn, of_mesh};
use super::{
    Decision, Deed, HALTED, LOST, PAUSED, World, bounded, is_paused, paused_words, phase_of, run_of, say,
    source, status_of,
};
use crate::operator::resources::{Counts, InjectionState, InjectionStatus, Phase, RunSpec, RunStatus};
use crate::operator::{conditions, object, read};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use squall_model::experiment::Experiment;
use squall_model::units::Duration;
use squall_model::verdict::Verdict;

/// What is left of an interrupted fault is made anew only where it is worth while.
const WORTH_WHILE: Duration = Duration::seconds(1);

/// What is to be done for it. `runs` are those of it, oldest first.
pub(crate) fn decide(object: &Json, runs: &[&Json], world: &World) -> Decision {
    if let Some(deleted) = object::deleted(object) {
        return let_go(object, runs, deleted, world);
    }
    let experiment = match read::experiment(object) {
        Err(why) if runs.iter().all(|run| is_over(run)) => return unreadable(object, runs, &why),
        // What goes on is seen to its end, whatever became of its manifest.
        other => other.ok(),
    };
    let waits = is_paused(object) || world.halted.is_some();
    let schedule = experiment.as_ref().and_then(|experiment| experiment.schedule.as_ref());
    let (mut deeds, begins, again, status) = match schedule.map(|schedule| of_mesh(object, schedule)) {
        Some(Err(why)) => return unreadable(object, runs, &why),
        Some(Ok(rounds)) => {
            let turn = if waits { Turn::default() } else { rounds.turn(runs, world.now) };
            let begins = turn.begins.map(|due| begun(object, &due.as_second().to_string(), Some(due), None));
            let mut status = status(object, runs, world, true);
            status["time"] = turn.last.map_or_else(|| object["status"]["time"].clone(), |last| json!(last));
            let active = runs.iter().filter(|run| !is_over(run)).map(|run| run["metadata"]["name"].clone());
            status["active"] = active.collect();
            (turn.deeds, begins, turn.next, status)
        }
        None => {
            let next = next(object, experiment.as_ref(), runs);
            let status = status(object, runs, world, next.is_some());
            (Vec::new(), next.filter(|_| !waits), None, status)
        }
    };
    // What is true is said first: an operator that stops may come no further.
    deeds.extend(say(object, status));
    // It is held while something of it is to be put back, and no longer: whoever removes the operator leaves nothing stuck.
    match (begins, object::is_held(object)) {
        (Some(_), false) => return Decision { deeds: vec![Deed::Hold], again },
        (Some(begins), true) => deeds.push(begins),
        (None, true) if runs.iter().all(|run| is_at_rest(run)) => deeds.push(Deed::Release),
        // What waited for its targets goes on.
        (None, false) if runs.iter().any(|run| status_of(run).phase == Phase::Running) => {
            deeds.push(Deed::Hold);
        }
        (None, _) => {}
    }
    Decision { deeds, again }
}

/// One that is deleted is held until its runs are over, and no longer than a while.
fn let_go(object: &Json, runs: &[&Json], deleted: Timestamp, world: &World) -> Decision {
    let until = deleted + HOLDS_FOR;
    if !object::is_held(object) {
        return Decision::default();
    }
    if runs.iter().all(|run| is_over(run)) || world.now >= until {
        return Decision::of(vec![Deed::Release]);
    }
    Decision { deeds: Vec::new(), again: Some(until) }
}

fn is_over(run: &Json) -> bool {
    status_of(run).phase.is_over()
}

fn begun(object: &Json, round: &str, scheduled_for: Option<Timestamp>, rest: Option<Duration>) -> Deed {
    let generation = Some(object::generation(object));
    let spec = RunSpec { source: source(object), generation, rest, scheduled_for };
    let name = object::name(object);
    let uid = object::uid(object).split('-').next().unwrap_or_default();
    run_of(object, bounded(name, &format!("{uid}-{round}")), &spec)
}

/// Whether a run is of what the object asks for now.
fn is_of_now(object: &Json, run: &Json) -> bool {
    run["spec"]["generation"].as_i64().is_none_or(|meant| meant == object::generation(object))
}

/// The first run of what the object asks for, or the next one where the last was interrupted and something is left of the fault.
fn next(object: &Json, experiment: Option<&Experiment>, runs: &[&Json]) -> Option<Deed> {
    let number = (runs.len() + 1).to_string();
    let Some(last) = runs.last() else { return Some(begun(object, &number, None, None)) };
    if is_over(last) && !is_of_now(object, last) {
        return Some(begun(object, &number, None, None));
    }
    if !is_over(last) || !was_interrupted(&status_of(last)) {
        return None;
    }
    let experiment = experiment?;
    if experiment.endless {
        return Some(begun(object, &number, None, None));
    }
    let whole = read::longest(experiment);
    let of_now = runs.iter().filter(|run| is_of_now(object, run));
    let was_active: SignedDuration = of_now.map(|run| was_active(&status_of(run))).sum();
    let rest = SignedDuration::try_from(whole.0).ok()?.checked_sub(was_active)?;
    let rest = Duration(std::time::Duration::try_from(rest).ok()?);
    let is_lasting = object["spec"]["templates"].is_null() && object["kind"] != "StatusCheck";
    (is_lasting && rest >= WORTH_WHILE).then(|| begun(object, &number, None, Some(rest)))
}

fn was_interrupted(status: &RunStatus) -> bool {
    let aborted = conditions::holding(&status.conditions, "Aborted");
    aborted.is_some_and(|condition| [PAUSED, HALTED, LOST].contains(&condition.reason.as_str()))
}

/// How long all that it did was there.
fn was_active(status: &RunStatus) -> SignedDuration {
    let since = |kind: &str| Some(conditions::holding(&status.conditions, kind)?.last_transition_time);
    let Some(injected) = since("AllInjected") else { return SignedDuration::ZERO };
    let until = since("AllRecovered").or(status.completion_time).unwrap_or(injected);
    until.duration_since(injected).max(SignedDuration::ZERO)
}

/// What the object says of itself: the conditions of Chaos Mesh, its records, and Squall's verdict beside them. `goes_on`: nothing
/// but a pause or a halt keeps another run of it from beginning, now or at its hour.
fn status(object: &Json, runs: &[&Json], world: &World, goes_on: bool) -> Json {
    let last = runs.last().map(|run| status_of(run)).unwrap_or_default();
    let is_over = runs.last().is_some_and(|run| is_over(run));
    let waits = goes_on && (runs.is_empty() || is_over);
    let phase = match (waits, is_paused(object)) {
        (false, _) => phase_of(&last),
        (true, true) => Phase::Paused,
        (true, false) => Phase::Pending,
    };
    let held = why_it_waits(object, world).filter(|_| goes_on);
    let squall = squall(&last, runs, phase, held);
    if last.phase == Phase::Invalid && !goes_on {
        let mut refused = refused(object, runs, &last.reason);
        refused["squall"] = squall;
        return refused;
    }
    let is_one_shot = is_one_shot(object);
    let mut conditions = vec![
        told(&last, "Selected"),
        all_injected(&last, is_one_shot),
        all_recovered(&last, is_one_shot),
        paused(object),
    ];
    if object["kind"] == "Workflow" {
        let (word, message) = if runs.is_empty() {
            ("NotYet", "nothing was begun yet")
        } else {
            ("Begun", "its run was begun")
        };
        conditions.push(condition("Scheduled", !runs.is_empty(), word, message));
    }
    let end = match object["kind"].as_str() {
        Some("Workflow") => Some("Accomplished"),
        Some("StatusCheck") => Some("Completed"),
        _ => None,
    };
    if let Some(kind) = end {
        let word = if is_over { "Finished" } else { "NotYet" };
        conditions.push(condition(kind, is_over, word, &last.reason));
    }
    if let Some(why) = &world.halted {
        conditions.push(condition("Halted", true, HALTED, why));
    }
    if last.verdict == Some(Verdict::Invalid) {
        conditions.push(condition("Accepted", false, "Refused", &last.reason));
    }
    let keeps = is_one_shot && conditions[1]["status"] == "True";
    let stops = !keeps && (is_paused(object) || world.halted.is_some() || (is_over && !goes_on));
    let records: Vec<Json> = last.injections.iter().map(|injection| record(injection, is_one_shot)).collect();
    json!({
        "conditions": conditions,
        "experiment": {"desiredPhase": if stops { "Stop" } else { "Run" }, "containerRecords": records},
        "squall": squall,
    })
}

/// Whether what it does is over as it is done: Chaos Mesh never calls such an object recovered, and its tools wait for `AllInjected`.
///
/// Source: `+chaos-mesh:oneshot` in `api/v1alpha1` of Chaos Mesh.
fn is_one_shot(object: &Json) -> bool {
    let spec = &object["spec"];
    [spec, &spec["podChaos"], &spec["awsChaos"]]
        .iter()
        .filter_map(|spec| spec["action"].as_str())
        .any(|action| matches!(action, "pod-kill" | "container-kill" | "ec2-restart"))
}

/// Why nothing of it goes on at the moment, in words; where nothing holds it, it waits for its turn.
fn why_it_waits(object: &Json, world: &World) -> Option<String> {
    paused_words(object).or_else(|| world.halted.clone())
}

/// What Squall has to say beyond that. `held`: why no more of it begins, though more is to come.
fn squall(last: &RunStatus, runs: &[&Json], phase: Phase, held: Option<String>) -> Json {
    let mut told = json!({"phase": phase, "run": runs.last().map(|run| run["metadata"]["name"].clone())});
    if let Some(verdict) = last.verdict {
        told["verdict"] = json!(verdict);
    }
    let held = held.filter(|_| last.residue.is_empty());
    let reason = held.unwrap_or_else(|| last.reason.clone());
    if !reason.is_empty() {
        told["reason"] = json!(reason);
    }
    if last.counts != Counts::default() {
        told["counts"] = json!(last.counts);
    }
    if !last.residue.is_empty() {
        told["residue"] = json!(last.residue);
    }
    told
}

fn condition(kind: &str, holds: bool, reason: &str, message: &str) -> Json {
    let status = if holds { "True" } else { "False" };
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

/// As the run says it.
fn told(run: &RunStatus, kind: &str) -> Json {
    let said = run.conditions.iter().find(|condition| condition.kind == kind);
    match said {
        Some(said) => condition(kind, said.status == "True", &said.reason, &said.message),
        None => condition(kind, false, "NotYet", "nothing was begun yet"),
    }
}

/// Of a run it stays true that all was injected; of an object it is so as long as all of it is there.
fn all_injected(run: &RunStatus, is_one_shot: bool) -> Json {
    if run.counts.restored > 0 && !is_one_shot {
        return condition("AllInjected", false, "Restored", "it is put back");
    }
    let are_gone = |run: &RunStatus| {
        !run.injections.is_empty()
            && run.injections.iter().all(|injection| injection.state == InjectionState::Gone)
    };
    if !is_one_shot && are_gone(run) {
        return condition("AllInjected", false, "Gone", "all that it struck is gone");
    }
    told(run, "AllInjected")
}

fn all_recovered(run: &RunStatus, is_one_shot: bool) -> Json {
    if is_one_shot && conditions::holding(&run.conditions, "AllRecovered").is_some() {
        let message = "what was ended comes back by itself: nothing of it is recovered";
        return condition("AllRecovered", false, "OneShot", message);
    }
    told(run, "AllRecovered")
}

fn paused(object: &Json) -> Json {
    match paused_words(object) {
        Some(why) => condition("Paused", true, "Annotated", &why),
        None => condition("Paused", false, "NotAnnotated", "no annotation holds it"),
    }
}

fn record(injection: &InjectionStatus, is_one_shot: bool) -> Json {
    let is_restored = injection.state == InjectionState::Restored && !is_one_shot;
    // What could not be put back is there still.
    let is_there = !is_restored
        && matches!(
            injection.state,
            InjectionState::Active | InjectionState::Restored | InjectionState::Residue
        );
    json!({
        "id": record_id(&injection.target),
        "selectorKey": ".",
        "phase": if is_there { "Injected" } else { "Not Injected" },
        "injectedCount": u8::from(is_there || is_restored), "recoveredCount": u8::from(is_restored),
    })
}

/// As tools of Chaos Mesh know it: `NAMESPACE/POD`, or `NAMESPACE/POD/CONTAINER`.
fn record_id(target: &str) -> String {
    let container = target.strip_prefix("container ").and_then(|rest| rest.split_once(" of pod "));
    match container {
        Some((container, pod)) => format!("{pod}/{container}"),
        None => target.strip_prefix("pod ").unwrap_or(target).to_owned(),
    }
}

fn unreadable(object: &Json, runs: &[&Json], why: &str) -> Decision {
    let release = object::is_held(object).then_some(Deed::Release);
    Decision::of(say(object, refused(object, runs, why)).into_iter().chain(release).collect())
}

/// One that cannot be carried out as it is written now. What it did as it was written before is recovered.
fn refused(object: &Json, runs: &[&Json], why: &str) -> Json {
    let why = why.chars().take(2000).collect::<String>();
    let never = |kind: &str| condition(kind, false, "Refused", "it is refused as it is written");
    let earlier = runs.iter().rev().map(|run| status_of(run)).find(|run| run.phase != Phase::Invalid);
    let recovered = earlier.map(|run| all_recovered(&run, is_one_shot(object)));
    let conditions = [
        never("Selected"),
        never("AllInjected"),
        recovered.unwrap_or_else(|| never("AllRecovered")),
        paused(object),
        condition("Accepted", false, "Refused", &why),
    ];
    json!({
        "conditions": conditions,
        "experiment": {"desiredPhase": "Stop"},
        "squall": {"phase": Phase::Invalid, "verdict": Verdict::Invalid, "reason": first_line(&why)},
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, accepted, chaos, run, world};
    use super::*;

    fn held(spec: Json) -> Json {
        let mut object = chaos("PodChaos", spec);
        object["metadata"]["finalizers"] = json!(["squall.dev/restored"]);
        object
    }

    fn failure(duration: Option<&str>) -> Json {
        let mut spec =
            json!({"action": "pod-failure", "mode": "all", "selector": {"labelSelectors": {"app": "pay"}}});
        if let Some(duration) = duration {
            spec["duration"] = json!(duration);
        }
        held(spec)
    }

    fn made(decision: &Decision) -> Option<Json> {
        decision.deeds.iter().find_map(|deed| match deed {
            Deed::Create { run, .. } => Some(run.clone()),
            _ => None,
        })
    }

    fn status_told(decision: &Decision) -> Option<&Json> {
        decision.deeds.iter().find_map(|deed| match deed {
            Deed::Status(status) => Some(status),
            _ => None,
        })
    }

    fn status_in(decision: &Decision) -> Json {
        status_told(decision).unwrap_or_else(|| panic!("{decision:?}")).clone()
    }

    fn conditions(decision: &Decision) -> Vec<String> {
        let Some(status) = status_told(decision) else { return Vec::new() };
        let all = status["conditions"].as_array().unwrap();
        let held = all.iter().filter(|one| one["status"] == "True");
        held.map(|one| one["type"].as_str().unwrap().to_owned()).collect()
    }

    fn interrupted(word: &str, seconds: i64) -> Json {
        let begun: Timestamp = NOW.parse().unwrap();
        let at = |kind: &str, reason: &str, moment: Timestamp| json!({"type": kind, "status": "True", "reason": reason, "lastTransitionTime": moment});
        let end = begun + SignedDuration::from_secs(seconds);
        let mut run = run();
        run["status"] = json!({"phase": "Finished", "verdict": "aborted", "counts": {"planned": 1, "restored": 1},
            "injections": [{"target": "pod shop/pay-1", "state": "Restored"}], "conditions": [
            at("Selected", "Planned", begun), at("AllInjected", "Injected", begun), at("AllRecovered", "Restored", end), at("Aborted", word, end),
        ]});
        run
    }

    #[test]
    fn one_that_is_changed_is_carried_out_anew() {
        let mut object = failure(Some("60s"));
        object["metadata"]["generation"] = json!(1);
        let mut over = interrupted("Changed", 20);
        over["spec"]["generation"] = json!(1);
        assert!(made(&decide(&object, &[&over], &world())).is_none(), "it is as it was");
        object["metadata"]["generation"] = json!(2);
        let again = made(&decide(&object, &[&over], &world())).unwrap();
        assert_eq!((&again["spec"]["generation"], &again["spec"]["rest"]), (&json!(2), &Json::Null));
        // What it was active for before counts for nothing.
        let mut paused = interrupted(PAUSED, 20);
        paused["spec"]["generation"] = json!(2);
        let rest = made(&decide(&object, &[&over, &paused], &world())).unwrap()["spec"]["rest"].clone();
        assert_eq!(rest, "40s");
        object["spec"]["mode"] = json!("some");
        let decision = decide(&object, &[&over, &paused], &world());
        assert!(made(&decision).is_none());
        assert_eq!(decision.deeds.last(), Some(&Deed::Release));
        assert_eq!(conditions(&decision), ["AllRecovered"], "what it did before is put back");
    }

    #[test]
    fn what_is_gone_is_not_injected_any_more() {
        let mut run = interrupted("", 0);
        run["status"]["phase"] = json!("Running");
        run["status"]["counts"] = json!({"planned": 2});
        run["status"]["conditions"] = json!([accepted(), {"type": "AllInjected", "status": "True", "reason": "Injected", "lastTransitionTime": NOW}]);
        let mut told = |states: [&str; 2]| {
            run["status"]["injections"] =
                states.map(|state| json!({"target": "pod shop/pay-1", "state": state})).as_slice().into();
            let status = status_in(&decide(&failure(None), &[&run], &world()));
            status["conditions"][1]["reason"].as_str().unwrap().to_owned()
        };
        assert_eq!(told(["Gone", "Gone"]), "Gone");
        assert_eq!(told(["Gone", "Active"]), "Injected");
    }

    #[test]
    fn it_is_carried_out_once_and_bears_the_conditions() {
        let object = failure(Some("60s"));
        let run = made(&decide(&object, &[], &world())).unwrap();
        assert_eq!(run["spec"]["source"]["kind"], "PodChaos");
        let over = interrupted("Aborted", 60);
        let decision = decide(&object, &[&over], &world());
        assert!(made(&decision).is_none());
        assert_eq!(decision.deeds.last(), Some(&Deed::Release), "nothing is to be put back any more");
        assert_eq!(conditions(&decision), ["Selected", "AllRecovered"], "nothing of it is injected any more");
        let record = &status_in(&decision)["experiment"]["containerRecords"][0];
        assert_eq!((&record["phase"], &record["recoveredCount"]), (&json!("Not Injected"), &json!(1)));
    }

    #[test]
    fn what_is_over_as_it_is_done_stays_injected() {
        let kill =
            json!({"action": "pod-kill", "mode": "all", "selector": {"labelSelectors": {"app": "pay"}}});
        let decision = decide(&held(kill), &[&interrupted("Aborted", 1)], &world());
        assert_eq!(conditions(&decision), ["Selected", "AllInjected"]);
        let experiment = &status_in(&decision)["experiment"];
        assert_eq!(experiment["desiredPhase"], "Run");
        let record = &experiment["containerRecords"][0];
        assert_eq!((&record["phase"], &record["recoveredCount"]), (&json!("Injected"), &json!(0)));
    }

    #[test]
    fn all_is_injected_as_long_as_all_of_it_is() {
        let mut active = interrupted("Aborted", 60);
        let status = &mut active["status"];
        *status = json!({"phase": "Running", "conditions": [status["conditions"][0], status["conditions"][1], accepted()],
            "counts": {"planned": 2, "active": 2}});
        let decision = decide(&failure(Some("60s")), &[&active], &world());
        assert_eq!(conditions(&decision), ["Selected", "AllInjected"]);
        assert_eq!(status_in(&decision)["squall"]["phase"], "Running");
        active["status"]["counts"] = json!({"planned": 2, "active": 1, "restored": 1});
        assert_eq!(conditions(&decide(&failure(Some("60s")), &[&active], &world())), ["Selected"]);
    }

    #[test]
    fn a_condition_says_why_in_a_word_and_a_sentence() {
        let mut paused = failure(Some("60s"));
        paused["metadata"]["annotations"] = json!({"experiment.chaos-mesh.org/pause": "true"});
        let halted = World { halted: Some("smoke in the room".to_owned()), ..world() };
        let mut workflow = interrupted("Aborted", 1);
        workflow["status"]["reason"] = json!("the guard ended it: p99 > 1");
        let mut accomplished = failure(None);
        accomplished["kind"] = json!("Workflow");
        for decision in [
            decide(&paused, &[&interrupted(PAUSED, 40)], &world()),
            decide(&failure(None), &[], &halted),
            decide(&accomplished, &[&workflow], &world()),
            decide(&chaos("JVMChaos", json!({"action": "gc"})), &[], &world()),
        ] {
            let status = status_in(&decision);
            for condition in status["conditions"].as_array().unwrap() {
                let word = condition["reason"].as_str().unwrap();
                let is_word = word.starts_with(|first: char| first.is_ascii_uppercase())
                    && word.chars().all(|letter| letter.is_ascii_alphanumeric());
                assert!(is_word && condition["message"].is_string(), "{condition}");
            }
        }
    }

    #[test]
    fn one_that_is_refused_is_as_if_it_could_not_be_read() {
        let mut refused = run();
        let why = "not carried out: bob, who wrote this, may not do what it does";
        refused["status"] = json!({"phase": "Invalid", "verdict": "invalid", "reason": why, "conditions": [
            {"type": "Selected", "status": "True", "reason": "Planned", "lastTransitionTime": NOW},
        ]});
        let status = status_in(&decide(&failure(None), &[&refused], &world()));
        let unread = status_in(&decide(&chaos("JVMChaos", json!({"action": "gc"})), &[], &world()));
        let words = |status: &Json| -> Vec<Json> {
            let all = status["conditions"].as_array().unwrap().iter();
            all.map(|one| json!([one["type"], one["status"], one["reason"]])).collect()
        };
        assert_eq!(words(&status), words(&unread));
        assert_eq!(status["conditions"][4]["message"], why);
        assert_eq!((&status["squall"]["reason"], &status["squall"]["run"]), (&json!(why), &json!("x-1")));
    }

    #[test]
    fn the_phase_says_whether_more_is_to_come() {
        let phase = |object: &Json, runs: &[&Json]| {
            status_in(&decide(object, runs, &world()))["squall"]["phase"].clone()
        };
        let mut paused = failure(Some("60s"));
        assert_eq!(phase(&paused, &[&interrupted("Aborted", 20)]), "Finished");
        paused["metadata"]["annotations"] = json!({"squall.dev/pause": "true"});
        assert_eq!(phase(&paused, &[&interrupted(PAUSED, 20)]), "Paused");
        assert_eq!(phase(&paused, &[]), "Paused");
        assert_eq!(phase(&paused, &[&interrupted(PAUSED, 60)]), "Finished", "its time is over");
        let reason = status_in(&decide(&paused, &[], &world()))["squall"]["reason"].clone();
        assert_eq!(reason, "paused by its annotation squall.dev/pause");
        let kill =
            json!({"action": "pod-kill", "mode": "one", "selector": {"labelSelectors": {"app": "pay"}}});
        let spec = json!({"schedule": "@every 2h", "type": "PodChaos", "podChaos": kill});
        let mut schedule = chaos("Schedule", spec);
        let mut round = interrupted("", 1);
        round["status"] = json!({"phase": "Finished", "verdict": "passed"});
        assert_eq!(phase(&schedule, &[&round]), "Pending", "another round is to come");
        schedule["metadata"]["annotations"] = json!({"squall.dev/pause": "true"});
        assert_eq!(phase(&schedule, &[&round]), "Paused");
        round["status"] = json!({"phase": "Running", "conditions": [accepted()]});
        assert_eq!(phase(&schedule, &[&round]), "Running");
    }

    #[test]
    fn what_was_interrupted_goes_on_for_the_rest() {
        for word in [PAUSED, HALTED, LOST] {
            let run = made(&decide(&failure(Some("60s")), &[&interrupted(word, 40)], &world())).unwrap();
            assert_eq!(run["spec"]["rest"], "20s", "{word}");
            assert!(made(&decide(&failure(Some("60s")), &[&interrupted(word, 60)], &world())).is_none());
            let endless = made(&decide(&failure(None), &[&interrupted(word, 4000)], &world())).unwrap();
            assert_eq!(endless["spec"]["rest"], Json::Null);
        }
        let mut paused = failure(Some("60s"));
        paused["metadata"]["annotations"] = json!({"experiment.chaos-mesh.org/pause": "true"});
        let decision = decide(&paused, &[&interrupted(PAUSED, 40)], &world());
        assert!(made(&decision).is_none());
        assert_eq!(conditions(&decision), ["Selected", "AllRecovered", "Paused"]);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        let object = chaos("JVMChaos", json!({"action": "gc"}));
        let decision = decide(&object, &[], &world());
        let [Deed::Status(status)] = decision.deeds.as_slice() else { panic!("{decision:?}") };
        assert!(status["squall"]["reason"].as_str().unwrap().contains("JVMChaos"), "{status}");
    }

    #[test]
    fn a_deleted_object_waits_for_its_run_and_not_for_ever() {
        let mut object = failure(None);
        object["metadata"]["deletionTimestamp"] = json!(NOW);
        let mut active = run();
        active["status"] = json!({"phase": "Running"});
        let decision = decide(&object, &[&active], &world());
        assert_eq!((decision.deeds, decision.again), (vec![], Some(world().now + HOLDS_FOR)));
        let later = World { now: world().now + HOLDS_FOR, ..world() };
        assert_eq!(decide(&object, &[&active], &later).deeds, [Deed::Release]);
        active["status"]["phase"] = json!("Finished");
        assert_eq!(decide(&object, &[&active], &world()).deeds, [Deed::Release]);
    }

    #[test]
    fn what_waits_for_its_targets_is_not_held() {
        let object = failure(None);
        let mut waiting = run();
        let condition = json!({"type": "Waiting", "status": "True", "reason": "NothingMatches", "message": "",
            "lastTransitionTime": NOW});
        waiting["status"] = json!({"phase": "Pending", "conditions": [condition]});
        assert_eq!(decide(&object, &[&waiting], &world()).deeds.last(), Some(&Deed::Release));
        let let_go = chaos("PodChaos", object["spec"].clone());
        waiting["status"] = json!({"phase": "Running"});
        assert_eq!(decide(&let_go, &[&waiting], &world()).deeds.last(), Some(&Deed::Hold), "it found some");
        waiting["status"] = json!({"phase": "Pending"});
        let deeds = decide(&object, &[&waiting], &world()).deeds;
        assert!(matches!(deeds.as_slice(), [Deed::Status(_)]), "it is about to begin: {deeds:?}");
    }

    #[test]
    fn the_first_version_begins_at_once_and_a_schedule_waits() {
        let kill =
            json!({"action": "pod-kill", "mode": "one", "selector": {"labelSelectors": {"app": "pay"}}});
        let mut old = kill.clone();
        old["scheduler"] = json!({"cron": "@every 2h"});
        let decision = decide(&held(old), &[], &world());
        assert!(made(&decision).is_some());
        assert_eq!(decision.again, Some(world().now + SignedDuration::from_hours(2)));
        let spec = json!({"schedule": "@every 2h", "type": "PodChaos", "podChaos": kill});
        let mut schedule = chaos("Schedule", spec);
        schedule["metadata"]["finalizers"] = json!(["squall.dev/restored"]);
        let decision = decide(&schedule, &[], &world());
        assert!(made(&decision).is_none(), "{decision:?}");
        assert_eq!(decision.again, Some(world().now + SignedDuration::from_hours(2)));
    }
}
