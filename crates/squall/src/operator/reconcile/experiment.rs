//! `Experiment`: carried out once as it is, and again when it changes.

use super::{Decision, World, bounded, is_paused, run_of, say, source, status_of};
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
    let accepted = is_new.then(|| read::experiment(experiment));
    match &accepted {
        Some(Ok(_)) => {
            conditions::put(&mut status.conditions, "Accepted", Some(true), "Read", "", world.now);
        }
        Some(Err(why)) => {
            conditions::put(&mut status.conditions, "Accepted", Some(false), "Invalid", why, world.now);
            status.phase = Phase::Invalid;
            status.verdict = Some(Verdict::Invalid);
            status.reason = first_line(why);
            status.observed_generation = generation;
            return Decision::of(say(experiment, json!(status)).into_iter().collect());
        }
        None => {}
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
    match waits {
        Some((reason, why)) => {
            conditions::put(&mut status.conditions, "Waiting", Some(true), reason, &why, world.now);
            if is_new {
                status.phase = if reason == "Halted" { Phase::Pending } else { Phase::Paused };
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

fn why_it_waits(experiment: &Json, world: &World) -> Option<(&'static str, String)> {
    if let Some(why) = &world.halted {
        return Some(("Halted", why.clone()));
    }
    if experiment["spec"]["suspend"] == true {
        return Some(("Suspended", "`suspend: true` in its spec; schedules and runs can name it".to_owned()));
    }
    is_paused(experiment).then(|| ("Paused", "its annotation holds it".to_owned()))
}

/// What its last run says of it.
fn mirror(status: &mut ExperimentStatus, runs: &[&Json]) {
    let Some(run) = runs.last() else { return };
    let last = status_of(run);
    status.last_run = run["metadata"]["name"].as_str().map(str::to_owned);
    status.last_run_time = last.start_time;
    status.phase = last.phase;
    status.verdict = last.verdict;
    status.reason = last.reason;
}

/// The most important line of an error.
pub(super) fn first_line(why: &str) -> String {
    why.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Deed;
    use super::super::testing::{NOW, experiment as object, run, world};
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
        }
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
