//! Objects of Chaos Mesh: each is carried out by runs, and bears the conditions that tools of Chaos Mesh wait for.
//!
//! Source of the conditions' names and of `status.experiment`: the API of Chaos Mesh, `chaos-mesh.org/v1alpha1`.

use super::experiment::first_line;
use super::run::{HOLDS_FOR, is_at_rest};
use super::schedule::{Turn, of_mesh};
use super::{
    Decision, Deed, HALTED, LOST, PAUSED, World, bounded, is_paused, run_of, say, source, status_of,
};
use crate::operator::resources::{Counts, InjectionState, Phase, RunSpec, RunStatus};
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
        Err(why) if runs.iter().all(|run| is_over(run)) => return unreadable(object, &why),
        // What goes on is seen to its end, whatever became of its manifest.
        other => other.ok(),
    };
    let waits = is_paused(object) || world.halted.is_some();
    let schedule = experiment.as_ref().and_then(|experiment| experiment.schedule.as_ref());
    let (mut deeds, begins, again, status) = match schedule.map(|schedule| of_mesh(object, schedule)) {
        Some(Err(why)) => return unreadable(object, &why),
        Some(Ok(rounds)) => {
            let turn = if waits { Turn::default() } else { rounds.turn(runs, world.now) };
            let begins = turn.begins.map(|due| begun(object, &due.as_second().to_string(), Some(due), None));
            let mut status = status(object, runs, world);
            status["time"] = turn.last.map_or_else(|| object["status"]["time"].clone(), |last| json!(last));
            let active = runs.iter().filter(|run| !is_over(run)).map(|run| run["metadata"]["name"].clone());
            status["active"] = active.collect();
            (turn.deeds, begins, turn.next, status)
        }
        None => {
            let begins = if waits { None } else { next(object, experiment.as_ref(), runs) };
            (Vec::new(), begins, None, status(object, runs, world))
        }
    };
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
    deeds.extend(say(object, status));
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

/// What the object says of itself: the conditions of Chaos Mesh, its records, and Squall's verdict beside them.
fn status(object: &Json, runs: &[&Json], world: &World) -> Json {
    let last = runs.last().map(|run| status_of(run)).unwrap_or_default();
    let is_over = runs.last().is_some_and(|run| is_over(run));
    let holds = |kind: &str| conditions::holding(&last.conditions, kind).is_some();
    let is_paused = is_paused(object);
    let waits = is_over && was_interrupted(&last);
    let all_recovered = holds("AllRecovered");
    let mut conditions = vec![
        condition("Selected", holds("Selected"), ""),
        condition("AllInjected", holds("AllInjected") && !(all_recovered && waits), ""),
        condition("AllRecovered", all_recovered, ""),
        condition("Paused", is_paused, ""),
    ];
    if object["kind"] == "Workflow" {
        conditions.push(condition("Scheduled", !runs.is_empty(), ""));
        conditions.push(condition("Accomplished", is_over, &last.reason));
    }
    if object["kind"] == "StatusCheck" {
        conditions.push(condition("Completed", is_over, &last.reason));
    }
    if let Some(why) = &world.halted {
        conditions.push(condition("Halted", true, why));
    }
    if last.verdict == Some(Verdict::Invalid) {
        conditions.push(condition("Accepted", false, &last.reason));
    }
    let stops = is_paused || world.halted.is_some() || (is_over && !waits);
    let records: Vec<Json> = last.injections.iter().map(record).collect();
    json!({
        "conditions": conditions,
        "experiment": {"desiredPhase": if stops { "Stop" } else { "Run" }, "containerRecords": records},
        "squall": squall(&last, runs),
    })
}

/// What Squall has to say beyond that.
fn squall(last: &RunStatus, runs: &[&Json]) -> Json {
    let mut told =
        json!({"phase": last.phase, "run": runs.last().map(|run| run["metadata"]["name"].clone())});
    if let Some(verdict) = last.verdict {
        told["verdict"] = json!(verdict);
    }
    // Also why it waits.
    if !last.reason.is_empty() {
        told["reason"] = json!(last.reason);
    }
    if last.counts != Counts::default() {
        told["counts"] = json!(last.counts);
    }
    if !last.residue.is_empty() {
        told["residue"] = json!(last.residue);
    }
    told
}

fn condition(kind: &str, holds: bool, reason: &str) -> Json {
    json!({"type": kind, "status": if holds { "True" } else { "False" }, "reason": reason})
}

fn record(injection: &crate::operator::resources::InjectionStatus) -> Json {
    let is_active = injection.state == InjectionState::Active;
    let was_made = is_active || matches!(injection.state, InjectionState::Restored | InjectionState::Residue);
    let is_restored = injection.state == InjectionState::Restored;
    json!({
        "id": record_id(&injection.target),
        "selectorKey": ".",
        "phase": if is_active { "Injected" } else { "Not Injected" },
        "injectedCount": u8::from(was_made), "recoveredCount": u8::from(is_restored),
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

fn unreadable(object: &Json, why: &str) -> Decision {
    let release = object::is_held(object).then_some(Deed::Release);
    Decision::of(release.into_iter().chain(say(object, refused(object, why))).collect())
}

fn refused(object: &Json, why: &str) -> Json {
    let why = why.chars().take(2000).collect::<String>();
    let conditions = [
        condition("Selected", false, ""),
        condition("AllInjected", false, ""),
        condition("AllRecovered", false, ""),
        condition("Paused", is_paused(object), ""),
        condition("Accepted", false, &why),
    ];
    json!({
        "conditions": conditions,
        "experiment": {"desiredPhase": "Stop"},
        "squall": {"phase": Phase::Invalid, "verdict": Verdict::Invalid, "reason": first_line(&why)},
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, chaos, run, world};
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

    fn conditions(decision: &Decision) -> Vec<String> {
        let Some(Deed::Status(status)) = decision.deeds.last() else { return Vec::new() };
        let all = status["conditions"].as_array().unwrap();
        let held = all.iter().filter(|one| one["status"] == "True");
        held.map(|one| one["type"].as_str().unwrap().to_owned()).collect()
    }

    fn interrupted(word: &str, seconds: i64) -> Json {
        let begun: Timestamp = NOW.parse().unwrap();
        let at = |kind: &str, reason: &str, moment: Timestamp| json!({"type": kind, "status": "True", "reason": reason, "lastTransitionTime": moment});
        let end = begun + SignedDuration::from_secs(seconds);
        let mut run = run();
        run["status"] = json!({"phase": "Finished", "verdict": "aborted", "conditions": [
            at("Selected", "", begun), at("AllInjected", "", begun), at("AllRecovered", "", end), at("Aborted", word, end),
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
        assert_eq!(decision.deeds[0], Deed::Release);
    }

    #[test]
    fn it_is_carried_out_once_and_bears_the_conditions() {
        let object = failure(Some("60s"));
        let run = made(&decide(&object, &[], &world())).unwrap();
        assert_eq!(run["spec"]["source"]["kind"], "PodChaos");
        let over = interrupted("Aborted", 60);
        let decision = decide(&object, &[&over], &world());
        assert!(made(&decision).is_none());
        assert_eq!(decision.deeds[0], Deed::Release, "nothing is to be put back any more");
        assert_eq!(conditions(&decision), ["Selected", "AllInjected", "AllRecovered"]);
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
        assert_eq!(decide(&object, &[&waiting], &world()).deeds[0], Deed::Release);
        let let_go = chaos("PodChaos", object["spec"].clone());
        waiting["status"] = json!({"phase": "Running"});
        assert_eq!(decide(&let_go, &[&waiting], &world()).deeds[0], Deed::Hold, "it found some");
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
