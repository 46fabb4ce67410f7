//! `Run`: one experiment carried out once, begun, ended before its time, put back where its operator is gone, let go of.

use super::{Decision, Deed, Ending, HALTED, PAUSED, World, is_aborted, is_paused, say, status_of};
use crate::operator::resources::{Phase, RunStatus};
use crate::operator::{conditions, object};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use squall_model::verdict::Verdict;

/// How long a deleted object is held for what is still to be put back. Then it is let go, and residue is told.
pub(crate) const HOLDS_FOR: SignedDuration = SignedDuration::from_secs(120);

/// What the operator itself knows of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// It is carried out by this operator, here and now.
    pub(crate) is_live: bool,
    /// It was told to end.
    pub(crate) is_ending: bool,
    /// What it came to so far, where it is live.
    pub(crate) status: Option<RunStatus>,
    /// Whether another one may begin.
    pub(crate) has_room: bool,
}

/// What is to be done for it. `source` is the object that it is of, where that is there.
pub(crate) fn decide(run: &Json, source: Option<&Json>, known: &Known, world: &World) -> Decision {
    let status = status_of(run);
    let deleted = object::deleted(run);
    if status.phase.is_over() && !known.is_live {
        return Decision::of(release(run).into_iter().collect());
    }
    if known.is_live {
        return go_on(run, source, known, world, deleted);
    }
    if status.phase == Phase::Running {
        // Whoever carried it out is gone.
        return overdue(run, deleted, world, Deed::PutBack);
    }
    if deleted.is_some() {
        return Decision::of(release(run).into_iter().collect());
    }
    begin(run, source, known, world, status)
}

/// Nothing is held for which nothing is to be put back: whoever removes the operator leaves nothing that is stuck.
fn release(run: &Json) -> Option<Deed> {
    object::is_held(run).then_some(Deed::Release)
}

/// One that goes on here.
fn go_on(
    run: &Json,
    source: Option<&Json>,
    known: &Known,
    world: &World,
    deleted: Option<Timestamp>,
) -> Decision {
    let mut deeds: Vec<Deed> = Vec::new();
    if let Some(ending) = why_it_ends(run, source, world).filter(|_| !known.is_ending) {
        deeds.push(Deed::End(ending));
    }
    if let Some(status) = &known.status {
        deeds.extend(say(run, json!(status)));
    }
    let mut decision = Decision::of(deeds);
    if let Some(deleted) = deleted.filter(|_| object::is_held(run)) {
        let until = deleted + HOLDS_FOR;
        if world.now >= until {
            decision.deeds.push(Deed::Release);
        }
        decision.again = Some(until);
    }
    decision
}

fn overdue(run: &Json, deleted: Option<Timestamp>, world: &World, deed: Deed) -> Decision {
    let held = deleted.filter(|_| object::is_held(run));
    let Some(until) = held.map(|deleted| deleted + HOLDS_FOR) else { return Decision::of(vec![deed]) };
    let deeds = if world.now >= until { vec![deed, Deed::Release] } else { vec![deed] };
    Decision { deeds, again: Some(until) }
}

/// Why a run is to end, if it is.
fn why_it_ends(run: &Json, source: Option<&Json>, world: &World) -> Option<Ending> {
    if object::deleted(run).is_some() {
        return Some(Ending::new("Deleted", "the run was deleted"));
    }
    let Some(source) = source else {
        return Some(Ending::new("Deleted", "what it is of is gone"));
    };
    if object::deleted(source).is_some() {
        return Some(Ending::new("Deleted", "what it is of was deleted"));
    }
    if let Some(why) = &world.halted {
        return Some(Ending::new(HALTED, why.clone()));
    }
    if is_aborted(run) || is_aborted(source) {
        return Some(Ending::new("Aborted", "its annotation asks for it"));
    }
    if is_paused(run) || is_paused(source) {
        return Some(Ending::new(PAUSED, "its annotation holds it"));
    }
    let meant = run["spec"]["generation"].as_i64();
    let changed = meant.is_some_and(|meant| meant != object::generation(source));
    changed.then(|| Ending::new("Changed", "what it is of was changed"))
}

/// One that has not begun.
fn begin(run: &Json, source: Option<&Json>, known: &Known, world: &World, mut status: RunStatus) -> Decision {
    let ending = why_it_ends(run, source, world);
    match ending {
        Some(ending) if !matches!(ending.word, HALTED | PAUSED) => {
            status.phase = Phase::Finished;
            status.verdict = Some(Verdict::Aborted);
            status.reason = format!("nothing was touched: {}", ending.why);
            status.completion_time = Some(world.now);
            conditions::put(
                &mut status.conditions,
                "Aborted",
                Some(true),
                ending.word,
                &ending.why,
                world.now,
            );
            Decision::of(say(run, json!(status)).into_iter().collect())
        }
        Some(ending) => waiting(run, status, ending.word, &ending.why, world),
        None if !object::is_held(run) => Decision::of(vec![Deed::Hold]),
        None if !known.has_room => {
            waiting(run, status, "Busy", "as many others go on as may at the same time", world)
        }
        None => Decision::of(vec![Deed::Begin]),
    }
}

fn waiting(run: &Json, mut status: RunStatus, word: &'static str, why: &str, world: &World) -> Decision {
    conditions::put(&mut status.conditions, "Waiting", Some(true), word, why, world.now);
    Decision::of(say(run, json!(status)).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, experiment, run, world};
    use super::*;

    fn known() -> Known {
        Known { has_room: true, ..Known::default() }
    }

    fn live() -> Known {
        Known { is_live: true, ..known() }
    }

    fn held(mut run: Json) -> Json {
        run["metadata"]["finalizers"] = json!(["squall.dev/restored"]);
        run
    }

    #[test]
    fn nothing_begins_that_is_not_held() {
        let source = experiment();
        let decide = |run: &Json, known: &Known| super::decide(run, Some(&source), known, &world()).deeds;
        assert_eq!(decide(&run(), &known()), [Deed::Hold]);
        assert_eq!(decide(&held(run()), &known()), [Deed::Begin]);
        let full = Known { has_room: false, ..known() };
        assert!(
            matches!(decide(&held(run()), &full).as_slice(), [Deed::Status(status)] if status["phase"] == "Pending")
        );
    }

    #[test]
    fn a_run_ends_when_it_must() {
        let ends = |run: &Json, source: Option<&Json>, world: &World| match super::decide(
            run,
            source,
            &live(),
            world,
        )
        .deeds
        .as_slice()
        {
            [] => "goes on",
            [Deed::End(ending), ..] => ending.word,
            other => panic!("{other:?}"),
        };
        let source = experiment();
        assert_eq!(ends(&held(run()), Some(&source), &world()), "goes on");
        assert_eq!(ends(&held(run()), None, &world()), "Deleted");
        let halted = World { halted: Some("fire".to_owned()), ..world() };
        assert_eq!(ends(&held(run()), Some(&source), &halted), "Halted");
        let mut changed = experiment();
        changed["metadata"]["generation"] = json!(2);
        assert_eq!(ends(&held(run()), Some(&changed), &world()), "Changed");
        for (name, word) in [
            ("squall.dev/abort", "Aborted"),
            ("squall.dev/pause", "Paused"),
            ("experiment.chaos-mesh.org/pause", "Paused"),
            ("workflow.chaos-mesh.org/abort", "Aborted"),
        ] {
            let mut marked = experiment();
            marked["metadata"]["annotations"] = json!({name: "true"});
            assert_eq!(ends(&held(run()), Some(&marked), &world()), word);
        }
        let mut deleted = held(run());
        deleted["metadata"]["deletionTimestamp"] = json!(NOW);
        assert_eq!(ends(&deleted, Some(&source), &world()), "Deleted");
        let ending = Known { is_ending: true, ..live() };
        assert_eq!(super::decide(&held(run()), None, &ending, &world()).deeds, [], "it is told once");
    }

    #[test]
    fn a_run_whose_operator_is_gone_is_put_back() {
        let mut lost = held(run());
        lost["status"] = json!({"phase": "Running", "holder": "another"});
        let source = experiment();
        assert_eq!(super::decide(&lost, Some(&source), &known(), &world()).deeds, [Deed::PutBack]);
    }

    #[test]
    fn no_finalizer_is_stuck() {
        let mut deleted = held(run());
        deleted["metadata"]["deletionTimestamp"] = json!(NOW);
        assert_eq!(
            super::decide(&deleted, None, &known(), &world()).deeds,
            [Deed::Release],
            "nothing was begun"
        );
        let mut over = held(run());
        over["status"] = json!({"phase": "Finished"});
        assert_eq!(super::decide(&over, None, &known(), &world()).deeds, [Deed::Release], "it is over");
        deleted["status"] = json!({"phase": "Running", "holder": "another"});
        let later = World { now: world().now + HOLDS_FOR, ..world() };
        assert_eq!(super::decide(&deleted, None, &known(), &later).deeds, [Deed::PutBack, Deed::Release]);
        let ending = Known { is_ending: true, ..live() };
        let decision = super::decide(&deleted, None, &ending, &world());
        assert_eq!((decision.deeds, decision.again), (vec![], Some(world().now + HOLDS_FOR)));
        assert_eq!(super::decide(&deleted, None, &ending, &later).deeds, [Deed::Release]);
    }

    #[test]
    fn what_never_began_touched_nothing() {
        let decision = super::decide(&held(run()), None, &known(), &world());
        let [Deed::Status(status)] = decision.deeds.as_slice() else { panic!() };
        assert_eq!((&status["phase"], &status["verdict"]), (&json!("Finished"), &json!("aborted")));
    }
}
