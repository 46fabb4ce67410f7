//! `Schedule`: a run of an experiment at each round.

use super::rounds::STARTS_WITHIN;
use super::{Decision, Deed, World, bounded, paused_words, run_of, say, status_of};
use crate::operator::conditions;
use crate::operator::object::{self, Name};
use crate::operator::resources::{
    ConcurrencyPolicy, EXPERIMENT, RunSpec, ScheduleSpec, ScheduleStatus, Source,
};
use crate::rhythm::Rhythm;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use squall_model::experiment::{Concurrency, Schedule};
use squall_model::units::Duration;

/// How many runs are kept where nothing is said.
const KEPT: usize = 10;

/// How rounds of an object are made.
pub(super) struct Rounds {
    pub(super) rhythm: Rhythm,
    pub(super) policy: ConcurrencyPolicy,
    pub(super) within: SignedDuration,
    pub(super) kept: usize,
    /// When the round before was due; where there was none, when the object was made.
    pub(super) last: Timestamp,
    /// The first round begins at once.
    pub(super) begins_at_once: bool,
}

/// What the rounds come to.
#[derive(Default)]
pub(super) struct Turn {
    /// The round that begins, and was due then.
    pub(super) begins: Option<Timestamp>,
    /// When the round that was dealt with last was due.
    pub(super) last: Option<Timestamp>,
    pub(super) next: Option<Timestamp>,
    /// Runs to be ended or deleted.
    pub(super) deeds: Vec<Deed>,
    /// Why a round that is due does not begin.
    pub(super) waits: Option<String>,
}

impl Rounds {
    /// Whose turn it is. `runs` are those of the object, oldest first.
    pub(super) fn turn(&self, runs: &[&Json], now: Timestamp) -> Turn {
        let due = if self.begins_at_once {
            super::rounds::Due { round: Some(now), missed: None, next: self.rhythm.next_after(now) }
        } else {
            self.rhythm.due(self.last, self.within, now)
        };
        let mut turn = Turn { next: due.next, last: due.missed, ..Turn::default() };
        let (active, over): (Vec<&Json>, Vec<&Json>) = runs.iter().copied().partition(|run| is_active(run));
        if let Some(round) = due.round {
            match self.policy {
                ConcurrencyPolicy::Forbid if !active.is_empty() => {
                    turn.waits = Some(format!("the round of {round} waits: another one goes on"));
                }
                ConcurrencyPolicy::Replace if !active.is_empty() => {
                    turn.waits = Some(format!("the round of {round} waits until the one before is ended"));
                    turn.deeds.extend(active.iter().map(|run| Deed::Abort(Name::of(run))));
                }
                _ => {
                    turn.begins = Some(round);
                    turn.last = Some(round);
                }
            }
            if turn.waits.is_some() {
                // It waits no longer than it may be late.
                turn.next = round.checked_add(self.within).ok().min(turn.next).or(turn.next);
            }
        }
        let surplus = over.len().saturating_sub(self.kept);
        let oldest = over.iter().take(surplus).filter(|run| object::deleted(run).is_none());
        turn.deeds.extend(oldest.map(|run| Deed::Delete(Name::of(run))));
        turn
    }
}

fn is_active(run: &Json) -> bool {
    !status_of(run).phase.is_over()
}

/// What is to be done for it. `experiment` is the one that it names, where that is there; `runs` are those of it, oldest first.
pub(crate) fn decide(schedule: &Json, experiment: Option<&Json>, runs: &[&Json], world: &World) -> Decision {
    if object::deleted(schedule).is_some() {
        return Decision::default();
    }
    let mut status: ScheduleStatus = object::part(schedule, "status");
    tell_runs(&mut status, runs);
    let (spec, rounds) = match understood(schedule, &status) {
        Ok(understood) => understood,
        Err(why) => return refused(schedule, status, ("Invalid", &why), world),
    };
    if experiment.is_none_or(|experiment| object::deleted(experiment).is_some()) {
        let name = Name { name: spec.experiment, ..Name::of(schedule) };
        let why = format!("there is no Experiment {name}; no round begins until there is");
        return refused(schedule, status, ("NoExperiment", &why), world);
    }
    conditions::put(
        &mut status.conditions,
        "Accepted",
        Some(true),
        "Read",
        "it can be kept as it is written",
        world.now,
    );
    let held = if spec.suspend {
        Some("`suspend: true` in its spec".to_owned())
    } else {
        paused_words(schedule).or_else(|| world.halted.clone())
    };
    let turn = if held.is_some() { Turn::default() } else { rounds.turn(runs, world.now) };
    let mut deeds = turn.deeds;
    if let Some(due) = turn.begins {
        let spec = RunSpec {
            source: Source {
                api_version: EXPERIMENT.api_version(),
                kind: EXPERIMENT.kind.to_string(),
                name: spec.experiment.clone(),
                uid: None,
            },
            generation: None,
            rest: None,
            scheduled_for: Some(due),
        };
        let name = object::name(schedule);
        deeds.push(run_of(schedule, bounded(name, &due.as_second().to_string()), &spec));
    }
    status.last_schedule_time = turn.last.or(status.last_schedule_time);
    status.next_schedule_time = turn.next;
    match held.or(turn.waits) {
        Some(why) => {
            conditions::put(&mut status.conditions, "Waiting", Some(true), "Held", &why, world.now);
            status.reason = why;
        }
        None => status.conditions.retain(|condition| condition.kind != "Waiting"),
    }
    deeds.extend(say(schedule, json!(status)));
    Decision { deeds, again: turn.next }
}

/// What its runs come to.
fn tell_runs(status: &mut ScheduleStatus, runs: &[&Json]) {
    let active = runs.iter().filter(|run| is_active(run));
    status.active = active.filter_map(|run| run["metadata"]["name"].as_str().map(str::to_owned)).collect();
    let over = runs.iter().rev().map(|run| status_of(run)).find(|run| run.verdict.is_some());
    // Why it waits or is refused is said anew each time.
    status.reason = String::new();
    if let Some(over) = over {
        status.verdict = over.verdict;
        status.reason = over.reason;
    }
}

/// One of which no round begins as things are: a word for why, and a sentence.
fn refused(
    schedule: &Json,
    mut status: ScheduleStatus,
    (word, why): (&str, &str),
    world: &World,
) -> Decision {
    conditions::put(&mut status.conditions, "Accepted", Some(false), word, why, world.now);
    status.conditions.retain(|condition| condition.kind != "Waiting");
    status.next_schedule_time = None;
    why.clone_into(&mut status.reason);
    Decision::of(say(schedule, json!(status)).into_iter().collect())
}

fn understood(schedule: &Json, status: &ScheduleStatus) -> Result<(ScheduleSpec, Rounds), String> {
    let spec: ScheduleSpec =
        serde_json::from_value(schedule["spec"].clone()).map_err(|error| format!("its spec: {error}"))?;
    let rhythm = Rhythm::parse(&spec.schedule, spec.time_zone.as_deref())?;
    let rounds = Rounds {
        rhythm,
        policy: spec.concurrency_policy,
        within: spec.starting_deadline_seconds.map_or(STARTS_WITHIN, SignedDuration::from_secs),
        kept: spec.history_limit.map_or(KEPT, |limit| usize::try_from(limit).unwrap_or(0)),
        last: status.last_schedule_time.unwrap_or_else(|| object::created(schedule)),
        begins_at_once: false,
    };
    Ok((spec, rounds))
}

/// How rounds of an object of Chaos Mesh are made whose manifest has a schedule.
pub(super) fn of_mesh(object: &Json, schedule: &Schedule) -> Result<Rounds, String> {
    let last = object::moment(&object["status"]["time"]);
    let within = |deadline: Duration| SignedDuration::try_from(deadline.0).unwrap_or(SignedDuration::MAX);
    Ok(Rounds {
        rhythm: Rhythm::parse(&schedule.cron, None)?,
        policy: match schedule.concurrency {
            Concurrency::Forbid => ConcurrencyPolicy::Forbid,
            Concurrency::Allow => ConcurrencyPolicy::Allow,
        },
        within: schedule.starting_deadline.map_or(STARTS_WITHIN, within),
        kept: schedule.history.map_or(KEPT, |limit| usize::try_from(limit).unwrap_or(KEPT)),
        // The first version, whose faults bear their schedule themselves, began at once; later ones wait for their hour.
        begins_at_once: object["kind"] != "Schedule" && last.is_none(),
        last: last.unwrap_or_else(|| object::created(object)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, experiment, run, schedule, world};
    use super::*;

    fn decide(schedule: &Json, runs: &[&Json], world: &World) -> Decision {
        super::decide(schedule, Some(&experiment()), runs, world)
    }

    fn at(seconds: i64) -> World {
        World { now: world().now + SignedDuration::from_secs(seconds), ..world() }
    }

    fn begun(decision: &Decision) -> Vec<String> {
        let names = decision.deeds.iter().filter_map(|deed| match deed {
            Deed::Create { run, .. } => run["metadata"]["name"].as_str().map(str::to_owned),
            _ => None,
        });
        names.collect()
    }

    fn told(schedule: &Json, decision: &Decision) -> Json {
        let mut schedule = schedule.clone();
        if let Some(Deed::Status(status)) = decision.deeds.last() {
            schedule["status"] = status.clone();
        }
        schedule
    }

    #[test]
    fn a_round_begins_once() {
        let schedule = schedule("@every 60s");
        let decision = decide(&schedule, &[], &at(59));
        assert!(begun(&decision).is_empty());
        assert_eq!(decision.again, Some(at(60).now));
        let decision = decide(&schedule, &[], &at(61));
        assert_eq!(begun(&decision), [format!("nightly-{}", at(60).now.as_second())]);
        let schedule = told(&schedule, &decision);
        assert!(begun(&decide(&schedule, &[], &at(62))).is_empty());
    }

    #[test]
    fn rounds_do_not_pile_up() {
        let mut schedule = schedule("@every 60s");
        let mut active = run();
        active["status"] = json!({"phase": "Running"});
        assert!(begun(&decide(&schedule, &[&active], &at(61))).is_empty());
        schedule["spec"]["concurrencyPolicy"] = json!("Allow");
        assert_eq!(begun(&decide(&schedule, &[&active], &at(61))).len(), 1);
        schedule["spec"]["concurrencyPolicy"] = json!("Replace");
        let decision = decide(&schedule, &[&active], &at(61));
        assert_eq!(decision.deeds[0], Deed::Abort(Name::of(&active)));
        assert!(begun(&decision).is_empty());
        active["status"]["phase"] = json!("Finished");
        assert_eq!(begun(&decide(&schedule, &[&active], &at(62))).len(), 1);
    }

    #[test]
    fn old_runs_go_and_held_schedules_wait() {
        let mut schedule = schedule("@every 60s");
        schedule["spec"]["historyLimit"] = json!(1);
        let mut over = run();
        over["status"] = json!({"phase": "Finished", "verdict": "passed"});
        let decision = decide(&schedule, &[&over, &over], &at(1));
        assert_eq!(decision.deeds[0], Deed::Delete(Name::of(&over)));
        schedule["spec"]["suspend"] = json!(true);
        let decision = decide(&schedule, &[], &at(61));
        assert_eq!((begun(&decision).len(), decision.again), (0, None));
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        let mut schedule = schedule("61 * * * *");
        schedule["status"] = json!({"nextScheduleTime": NOW});
        let decision = decide(&schedule, &[], &at(0));
        let Deed::Status(status) = &decision.deeds[0] else { panic!() };
        assert!(status["conditions"][0]["message"].as_str().unwrap().contains("minute"), "{status}");
        assert_eq!(status["conditions"][0]["message"], status["reason"]);
        assert_eq!(status.get("nextScheduleTime"), None, "there is no next one");
        schedule["spec"]["schedule"] = json!("0 9 * * *");
        schedule["spec"]["timeZone"] = json!("Mars/Base");
        let decision = decide(&schedule, &[], &at(0));
        let Deed::Status(status) = &decision.deeds[0] else { panic!() };
        assert!(status["reason"].as_str().unwrap().contains("Mars/Base"), "{status}");
    }

    #[test]
    fn no_round_begins_of_an_experiment_that_is_not_there() {
        let schedule = schedule("@every 60s");
        let decision = super::decide(&schedule, None, &[], &at(61));
        let [Deed::Status(status)] = decision.deeds.as_slice() else { panic!("{decision:?}") };
        let condition = &status["conditions"][0];
        assert_eq!((&condition["type"], &condition["status"]), (&json!("Accepted"), &json!("False")));
        assert_eq!(status["reason"], "there is no Experiment shop/x; no round begins until there is");
        let mut deleted = experiment();
        deleted["metadata"]["deletionTimestamp"] = json!(NOW);
        assert!(begun(&super::decide(&schedule, Some(&deleted), &[], &at(61))).is_empty());
        let schedule = told(&schedule, &decision);
        let decision = decide(&schedule, &[], &at(61));
        assert_eq!(begun(&decision).len(), 1);
        assert_eq!(told(&schedule, &decision)["status"].get("reason"), None, "it is there now");
    }
}
