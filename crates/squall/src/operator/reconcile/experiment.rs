//! `Experiment`: carried out once as it is, and again when it changes.

use super::{Decision, World, bounded, paused_words, phase_of, run_of, say, source, status_of};
use crate::operator::resources::{ExperimentStatus, Phase, RunSpec};
use crate::operator::{conditions, object, read};
use serde_json::{Value as Json, json};
use squall_model::verdict::Verdict;

/// What is to be done for it. `runs` are those of it, oldest first.
pub(crate) fn decide(experiment: &Json, runs: &[&Json], world: &World) -> Decision {
    if object::deleted(experiment).is_some() {
        // Its runs go with it, and each of them puts back what it did.
        return Decision::default();
    }
    let mut status: ExperimentStatus = object::part(experiment, "status");
    let generation = object::generation(experiment);
    let is_new = generation > status.observed_generation;
    if is_new {
        accept(&mut status, experiment, world);
    }
    if let Some(refused) = conditions::failing(&status.conditions, "Accepted") {
        // Whatever a run of an earlier generation came to, this one is invalid, as if it had been made so.
        let reason = first_line(&refused.message);
        mirror(&mut status, runs);
        status.phase = Phase::Invalid;
        status.verdict = Some(Verdict::Invalid);
        status.reason = reason;
        status.observed_generation = generation;
        status.conditions.retain(|condition| condition.kind != "Waiting");
        return Decision::of(say(experiment, json!(status)).into_iter().collect());
    }
    let mut deeds = Vec::new();
    let waits = why_it_waits(experiment, world);
    let is_begun = runs.iter().any(|run| run["spec"]["generation"] == generation);
    if is_new && waits.is_none() {
        if !is_begun {
            let spec = RunSpec {
                source: source(experiment),
                generation: Some(generation),
                rest: None,
                scheduled_for: None,
            };
            let name = object::name(experiment);
            deeds.push(run_of(experiment, bounded(name, &generation.to_string()), &spec));
        }
        status.observed_generation = generation;
    }
    mirror(&mut status, runs);
    let goes_on = runs.iter().any(|run| !status_of(run).phase.is_over());
    match waits {
        Some((reason, why)) => {
            conditions::put(&mut status.conditions, "Waiting", Some(true), reason, &why, world.now);
            // What goes on, since a schedule or somebody's run names it, is told before what waits.
            if is_new && !goes_on {
                status.phase = if reason == "Halted" { Phase::Pending } else { Phase::Paused };
                if status.verdict.is_none() {
                    status.reason = why;
                }
            }
        }
        None => status.conditions.retain(|condition| condition.kind != "Waiting"),
    }
    if is_new && !is_begun && !deeds.is_empty() {
        status.phase = Phase::Pending;
    }
    deeds.extend(say(experiment, json!(status)));
    Decision::of(deeds)
}

/// Reads it as it is now, and says whether it can be carried out.
fn accept(status: &mut ExperimentStatus, experiment: &Json, world: &World) {
    let (accepted, word, why) = match read::experiment(experiment) {
        Ok(_) => (true, "Read", "it can be carried out as it is written".to_owned()),
        Err(why) => (false, "Invalid", why),
    };
    conditions::put(&mut status.conditions, "Accepted", Some(accepted), word, &why, world.now);
    if accepted && status.phase == Phase::Invalid {
        // That was said of what stood there before.
        *status = ExperimentStatus {
            observed_generation: status.observed_generation,
            last_run: status.last_run.take(),
            last_run_time: status.last_run_time.take(),
            conditions: std::mem::take(&mut status.conditions),
            ..ExperimentStatus::default()
        };
    }
}

fn why_it_waits(experiment: &Json, world: &World) -> Option<(&'static str, String)> {
    if let Some(why) = &world.halted {
        return Some(("Halted", why.clone()));
    }
    if experiment["spec"]["suspend"] == true {
        return Some(("Suspended", "`suspend: true` in its spec; schedules and runs can name it".to_owned()));
    }
    paused_words(experiment).map(|why| ("Paused", why))
}

/// What its last run says of it; while one goes on, that one. What somebody asked for and was refused says nothing of it.
fn mirror(status: &mut ExperimentStatus, runs: &[&Json]) {
    let was_refused =
        |run: &Json| run["spec"]["generation"].is_null() && status_of(run).phase == Phase::Invalid;
    let going = runs.iter().rev().find(|run| !status_of(run).phase.is_over());
    let Some(run) = going.or(runs.iter().rev().find(|run| !was_refused(run))) else { return };
    let last = status_of(run);
    status.last_run = run["metadata"]["name"].as_str().map(str::to_owned);
    status.last_run_time = last.start_time;
    status.phase = phase_of(&last);
    status.verdict = last.verdict;
    status.reason = last.reason;
}

/// The most important line of an error.
pub(crate) fn first_line(why: &str) -> String {
    why.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Deed;
    use super::super::testing::{NOW, accepted, experiment as object, run, world};
    use super::*;

    fn created(decision: &Decision) -> Vec<String> {
        let names = decision.deeds.iter().filter_map(|deed| match deed {
            Deed::Create { run, .. } => run["metadata"]["name"].as_str().map(str::to_owned),
            _ => None,
        });
        names.collect()
    }

    fn status(decision: &Decision) -> Json {
        let told = decision.deeds.iter().find_map(|deed| match deed {
            Deed::Status(status) => Some(status.clone()),
            _ => None,
        });
        told.unwrap_or_default()
    }

    #[test]
    fn each_generation_is_carried_out_once() {
        let mut experiment = object();
        let decision = decide(&experiment, &[], &world());
        assert_eq!(created(&decision), ["x-1"]);
        assert_eq!(status(&decision)["phase"], "Pending");
        experiment["status"] = status(&decision);
        assert_eq!(
            decide(&experiment, &[], &world()),
            Decision::default(),
            "a run that somebody deleted stays so"
        );
        let mut done = run();
        done["status"] = json!({"phase": "Finished", "verdict": "passed", "startTime": NOW});
        let decision = decide(&experiment, &[&done], &world());
        assert_eq!((status(&decision)["verdict"].as_str(), created(&decision).len()), (Some("passed"), 0));
        experiment["status"] = status(&decision);
        experiment["metadata"]["generation"] = json!(2);
        assert_eq!(created(&decide(&experiment, &[&done], &world())), ["x-2"]);
    }

    #[test]
    fn what_is_held_waits() {
        let halted = World { halted: Some("fire".to_owned()), ..world() };
        let decision = decide(&object(), &[], &halted);
        assert!(created(&decision).is_empty());
        assert_eq!(status(&decision)["conditions"][1]["message"], "fire");
        let mut paused = object();
        paused["metadata"]["annotations"] = json!({"squall.dev/pause": "true"});
        let mut suspended = object();
        suspended["spec"]["suspend"] = json!(true);
        for held in [paused, suspended] {
            let decision = decide(&held, &[], &world());
            assert!(created(&decision).is_empty());
            assert_eq!(status(&decision)["phase"], "Paused");
            assert_eq!(status(&decision)["observedGeneration"], 0, "it is carried out once it may be");
            assert!(status(&decision)["reason"].is_string(), "{decision:?}");
        }
    }

    #[test]
    fn what_waits_and_is_run_by_somebody_says_what_goes_on() {
        let mut suspended = object();
        suspended["spec"]["suspend"] = json!(true);
        let mut run = run();
        run["status"] = json!({"phase": "Running"});
        let asked = status(&decide(&suspended, &[&run], &world()));
        assert_eq!(asked["phase"], "Pending", "it is not known yet whether it may");
        run["status"]["conditions"] = json!([accepted()]);
        let going = status(&decide(&suspended, &[&run], &world()));
        assert_eq!((&going["phase"], &going["lastRun"]), (&json!("Running"), &json!("x-1")));
        let mut refused = self::run();
        refused["spec"]["generation"] = Json::Null;
        refused["status"] = json!({"phase": "Invalid", "verdict": "invalid", "reason": "bob may not"});
        let told = status(&decide(&suspended, &[&refused], &world()));
        assert_eq!(
            (&told["phase"], &told["verdict"]),
            (&json!("Paused"), &Json::Null),
            "it says nothing of it"
        );
        run["status"] = json!({"phase": "Finished", "verdict": "passed", "reason": "all held"});
        let over = status(&decide(&suspended, &[&run], &world()));
        assert_eq!(
            (&over["phase"], &over["verdict"], &over["reason"]),
            (&json!("Paused"), &json!("passed"), &json!("all held"))
        );
    }

    #[test]
    fn what_becomes_invalid_is_as_if_it_had_been_made_so() {
        let mut made = object();
        made["spec"]["method"][0]["target"]["pod"] = json!({"label": {"app": "pay"}});
        let made = status(&decide(&made, &[], &world()));
        let mut changed = object();
        changed["status"] = status(&decide(&changed, &[], &world()));
        changed["metadata"]["generation"] = json!(2);
        changed["spec"]["method"][0]["target"]["pod"] = json!({"label": {"app": "pay"}});
        let mut run = run();
        run["status"] = json!({"phase": "Running"});
        changed["status"] = status(&decide(&changed, &[&run], &world()));
        run["status"] =
            json!({"phase": "Finished", "verdict": "aborted", "reason": "its Experiment was changed"});
        let decision = decide(&changed, &[&run], &world());
        assert_eq!(decision, Decision::default(), "the end of the old run changes nothing");
        let changed = &changed["status"];
        for field in ["phase", "verdict", "reason"] {
            assert_eq!(changed[field], made[field], "{field}");
        }
        assert!(made["reason"].as_str().unwrap().starts_with("spec.method[0].target.pod.label: "), "{made}");
        assert_eq!((&changed["observedGeneration"], &changed["lastRun"]), (&json!(2), &json!("x-1")));
    }

    #[test]
    fn what_is_mended_is_not_invalid_any_more() {
        let mut wrong = object();
        wrong["spec"]["method"][0]["fault"] = json!("k8s.pod_kil");
        let refused = status(&decide(&wrong, &[], &world()));
        let mut mended = object();
        mended["metadata"]["generation"] = json!(2);
        mended["spec"]["suspend"] = json!(true);
        mended["status"] = refused;
        let told = status(&decide(&mended, &[], &world()));
        assert_eq!((&told["phase"], told.get("verdict")), (&json!("Paused"), None), "{told}");
        assert!(told["reason"].as_str().unwrap().contains("suspend"), "{told}");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let mut wrong = object();
        wrong["spec"]["method"][0]["fault"] = json!("k8s.pod_kil");
        let decision = decide(&wrong, &[], &world());
        assert!(created(&decision).is_empty());
        let status = status(&decision);
        assert_eq!((&status["phase"], &status["verdict"]), (&json!("Invalid"), &json!("invalid")));
        assert!(status["conditions"][0]["message"].as_str().unwrap().contains("k8s.pod_kill"), "{status}");
    }
}
