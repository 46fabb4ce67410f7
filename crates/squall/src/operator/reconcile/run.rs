//! `Run`: one experiment carried out once, begun, ended before its time, put back where its operator is gone, let go of.

use super::{Decision, Deed, Ending, HALTED, PAUSED, World, aborted_by, paused_by, say, status_of};
use crate::operator::conditions;
use crate::operator::object::{self, Name};
use crate::operator::progress::PASSING;
use crate::operator::resources::{GROUP, Phase, RunStatus, Source};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use squall_model::verdict::Verdict;

/// How long a deleted object is held for what is still to be put back. Then it is let go, and residue is told.
pub(crate) const HOLDS_FOR: SignedDuration = SignedDuration::from_secs(120);

/// Where nothing matched, it is tried again after a quarter of the time that it has waited; at least so long after, and at most.
const TRIES_AGAIN_AFTER: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(5), SignedDuration::from_secs(120));

/// What a run is of that says no kind.
const OWN_KIND: &str = "Experiment";

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

/// Whether there is nothing of a run that is to be put back: it is over, or waits and has not begun.
pub(super) fn is_at_rest(run: &Json) -> bool {
    let status = status_of(run);
    let waits =
        || status.phase == Phase::Pending && conditions::holding(&status.conditions, "Waiting").is_some();
    status.phase.is_over() || waits()
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
    let kind = run["spec"]["source"]["kind"].as_str().unwrap_or(OWN_KIND);
    let Some(source) = source.filter(|source| object::deleted(source).is_none()) else {
        return Some(Ending::new("Deleted", format!("its {kind} was deleted")));
    };
    if let Some(why) = &world.halted {
        return Some(Ending::new(HALTED, why.clone()));
    }
    if let Some(by) = annotated(run, source, kind, aborted_by) {
        return Some(Ending::new("Aborted", format!("aborted by {by}")));
    }
    if let Some(by) = annotated(run, source, kind, paused_by) {
        return Some(Ending::new(PAUSED, format!("paused by {by}")));
    }
    let meant = run["spec"]["generation"].as_i64();
    let changed = meant.is_some_and(|meant| meant != object::generation(source));
    changed.then(|| Ending::new("Changed", format!("its {kind} was changed")))
}

/// Which annotation of a run, or of what it is of, asks for something, in words.
fn annotated(
    run: &Json,
    source: &Json,
    kind: &str,
    by: impl Fn(&Json) -> Option<&'static str>,
) -> Option<String> {
    let own = by(run).map(|name| format!("its annotation {name}"));
    own.or_else(|| Some(format!("the annotation {} of its {kind}", by(source)?)))
}

/// Why there is nothing that a run could be of, if there never was: whoever made it named it by a name that nothing has. What is
/// named by its number was there, and so was what a run has waited for.
fn names_nothing(run: &Json, status: &RunStatus) -> Option<String> {
    let was_there = object::is_held(run) || !status.conditions.is_empty();
    let named: Source = serde_json::from_value(run["spec"]["source"].clone()).ok()?;
    if was_there || named.uid.is_some() {
        return None;
    }
    let name = Name { name: named.name, ..Name::of(run) };
    let is_own = named.api_version.split_once('/').is_some_and(|(group, _)| group == GROUP);
    let other =
        if is_own { "" } else { " that this operator looks after (the kinds of Chaos Mesh: `--chaos-mesh`)" };
    Some(format!("there is no {} {name}{other}", named.kind))
}

/// One that can never begin as it is written.
fn refused(run: &Json, mut status: RunStatus, why: &str, world: &World) -> Decision {
    status.phase = Phase::Invalid;
    status.verdict = Some(Verdict::Invalid);
    why.clone_into(&mut status.reason);
    status.completion_time = Some(world.now);
    conditions::put(&mut status.conditions, "Accepted", Some(false), "NoSource", why, world.now);
    Decision::of(say(run, json!(status)).into_iter().collect())
}

/// One that has not begun.
fn begin(run: &Json, source: Option<&Json>, known: &Known, world: &World, mut status: RunStatus) -> Decision {
    if source.is_none()
        && let Some(why) = names_nothing(run, &status)
    {
        return refused(run, status, &why, world);
    }
    let again = tries_again(run, &status).filter(|at| world.now < *at);
    match why_it_ends(run, source, world) {
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
        None if again.is_some() => Decision { deeds: release(run).into_iter().collect(), again },
        None if !known.has_room => {
            waiting(run, status, "Busy", "as many others go on as may at the same time", world)
        }
        None if !object::is_held(run) => Decision::of(vec![Deed::Hold]),
        None => Decision::of(vec![Deed::Begin]),
    }
}

/// When one is tried again that nothing matched, or nothing that was ready and free.
fn tries_again(run: &Json, status: &RunStatus) -> Option<Timestamp> {
    let waiting = conditions::holding(&status.conditions, "Waiting")
        .filter(|waiting| PASSING.contains(&waiting.reason.as_str()))?;
    let since = waiting.last_transition_time;
    let (least, most) = TRIES_AGAIN_AFTER;
    Some(since + (since.duration_since(object::created(run)) / 4).clamp(least, most))
}

fn waiting(run: &Json, mut status: RunStatus, word: &'static str, why: &str, world: &World) -> Decision {
    why.clone_into(&mut status.reason);
    conditions::put(&mut status.conditions, "Waiting", Some(true), word, why, world.now);
    Decision::of(say(run, json!(status)).into_iter().chain(release(run)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, experiment, run, world};
    use super::*;
    use crate::operator::progress::NOTHING_MATCHES;

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
            matches!(decide(&held(run()), &full).as_slice(), [Deed::Status(status), Deed::Release] if status["phase"] == "Pending" && status["reason"].is_string())
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
    fn what_matched_nothing_is_tried_again_less_and_less_often() {
        let source = experiment();
        let after = |waited: i64, since: i64| {
            let mut run = held(run());
            let tried = object::created(&run) + SignedDuration::from_secs(waited);
            let waiting = json!({"type": "Waiting", "status": "True", "reason": NOTHING_MATCHES, "message": "", "lastTransitionTime": tried});
            run["status"] = json!({"phase": "Pending", "conditions": [waiting]});
            let world = World { now: tried + SignedDuration::from_secs(since), ..world() };
            let decision = super::decide(&run, Some(&source), &known(), &world);
            let seconds = decision.again.map(|again| again.duration_since(tried).as_secs());
            (decision.deeds, seconds)
        };
        assert_eq!(after(1, 4), (vec![Deed::Release], Some(5)), "nothing is held meanwhile");
        assert_eq!(after(1, 5), (vec![Deed::Begin], None));
        assert_eq!(after(100, 6), (vec![Deed::Release], Some(25)));
        assert_eq!(after(100_000, 6), (vec![Deed::Release], Some(120)));
    }

    #[test]
    fn what_never_began_touched_nothing() {
        let decision = super::decide(&held(run()), None, &known(), &world());
        let [Deed::Status(status)] = decision.deeds.as_slice() else { panic!() };
        assert_eq!((&status["phase"], &status["verdict"]), (&json!("Finished"), &json!("aborted")));
        assert_eq!(status["reason"], "nothing was touched: its Experiment was deleted");
    }

    #[test]
    fn a_run_of_what_never_was_is_invalid_and_one_whose_source_went_is_aborted() {
        let mut by_hand = run();
        by_hand["spec"]["source"] = json!({"name": "nothere"});
        let told = |run: &Json| match super::decide(run, None, &known(), &world()).deeds.as_slice() {
            [Deed::Status(status)] => status.clone(),
            other => panic!("{other:?}"),
        };
        let status = told(&by_hand);
        assert_eq!((&status["phase"], &status["verdict"]), (&json!("Invalid"), &json!("invalid")));
        assert_eq!(status["reason"], "there is no Experiment shop/nothere");
        assert_eq!(status["conditions"][0]["type"], "Accepted");
        assert_eq!(told(&held(by_hand.clone()))["verdict"], "aborted", "it was about to begin");
        by_hand["spec"]["source"] =
            json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "name": "y"});
        assert!(told(&by_hand)["reason"].as_str().unwrap().contains("--chaos-mesh"));
    }

    #[test]
    fn endings_say_in_plain_words_what_happened() {
        let why = |run: &Json, source: &Json| why_it_ends(run, Some(source), &world()).unwrap().why;
        let marked = |mut object: Json, name: &str| {
            object["metadata"]["annotations"] = json!({name: "true"});
            object
        };
        let abort = "squall.dev/abort";
        assert_eq!(why(&marked(run(), abort), &experiment()), "aborted by its annotation squall.dev/abort");
        assert_eq!(
            why(&run(), &marked(experiment(), abort)),
            "aborted by the annotation squall.dev/abort of its Experiment"
        );
        let pause = "experiment.chaos-mesh.org/pause";
        assert_eq!(
            why(&run(), &marked(experiment(), pause)),
            "paused by the annotation experiment.chaos-mesh.org/pause of its Experiment"
        );
        let mut changed = experiment();
        changed["metadata"]["generation"] = json!(2);
        assert_eq!(why(&run(), &changed), "its Experiment was changed");
    }
}
