//! Levels, scores and findings of teams that do more and less.

use super::testing::{ago, exemplary, measured, now, run, service, tally};
use super::*;
use squall_model::maturity::Criterion;
use squall_model::past::{Brief, Limit, day_of};
use squall_model::verdict::Verdict::{Aborted, Failed, NotSteady, Passed, Residue};

fn unmet(facts: &Facts) -> Vec<&'static str> {
    let levels = judge(facts).levels;
    let criteria = levels.iter().flat_map(|level| &level.criteria);
    criteria.filter(|criterion| !criterion.met).map(|criterion| criterion.name).collect()
}

fn criterion(facts: &Facts, name: &str) -> Criterion {
    let levels = judge(facts).levels;
    levels.into_iter().flat_map(|level| level.criteria).find(|criterion| criterion.name == name).unwrap()
}

#[test]
fn an_empty_history_is_the_first_level_and_says_what_is_missing() {
    let maturity = judge(&Facts { now: now(), weekly: vec![None; 4], ..Facts::default() });
    assert_eq!((maturity.level, maturity.name, maturity.levels.len()), (1, "Ad-hoc", 3));
    for criterion in maturity.levels.iter().flat_map(|level| &level.criteria) {
        assert!(
            !criterion.met && criterion.missing.is_some() && criterion.evidence.is_empty(),
            "{criterion:?}"
        );
    }
}

#[test]
fn a_team_that_does_all_is_at_the_fourth_level_with_evidence() {
    let maturity = judge(&exemplary());
    assert_eq!((unmet(&exemplary()), maturity.level), (Vec::new(), 4));
    for criterion in maturity.levels.iter().flat_map(|level| &level.criteria) {
        assert!(criterion.missing.is_none() && !criterion.evidence.is_empty(), "{criterion:?}");
    }
}

#[test]
fn each_criterion_is_missed_by_itself() {
    type Spoil = fn(&mut Facts);
    let cases: [(&str, Spoil); 9] = [
        ("documented experiments", |facts| {
            facts.experiments[0].iter_mut().for_each(|run| run.is_documented = false);
        }),
        ("regular game days", |facts| facts.game_days[0].is_rehearsal = true),
        ("basic automation", |facts| facts.unattended.truncate(2)),
        ("automated chaos tests", |facts| facts.weekly[2] = None),
        ("continuous validation", |facts| {
            let old: Vec<Brief> = (0..6).map(|day| run("a", Passed, 40 + day * 7)).collect();
            facts.experiments[0] = old;
        }),
        ("metrics tracked", |facts| facts.recent.iter_mut().take(6).for_each(|run| run.is_measured = false)),
        ("chaos in production", |facts| facts.production[0].verdict = Some(Residue)),
        ("self-healing", |facts| facts.recent.iter_mut().take(3).for_each(|run| run.recovery_seconds = None)),
        ("predictive failures", |facts| {
            facts.alike[0].iter_mut().for_each(|run| run.objectives.clear());
        }),
    ];
    for (index, (name, spoil)) in cases.into_iter().enumerate() {
        let mut facts = exemplary();
        spoil(&mut facts);
        assert_eq!(unmet(&facts), [name]);
        let expected = u8::try_from(index / 3).unwrap() + 1;
        assert_eq!(judge(&facts).level, expected, "{name}");
    }
}

#[test]
fn limits_searched_again_are_a_trend_and_runs_that_broke_it_are_none() {
    let mut facts = exemplary();
    facts.alike[0][2].verdict = Some(Failed);
    assert_eq!(unmet(&facts), ["predictive failures"]);
    let limit = |days| Limit {
        at: ago(days),
        experiment: "a".into(),
        environment: String::new(),
        parameter: "delay".into(),
        held_up_to: Some("1s".into()),
        broke_at: None,
    };
    facts.limits = vec![limit(10), limit(1)];
    assert_eq!(unmet(&facts), ["predictive failures"], "nine days are too few");
    facts.limits = vec![limit(20), limit(1)];
    assert_eq!(unmet(&facts), Vec::<&str>::new());
}

#[test]
fn a_level_does_not_count_without_those_below() {
    let mut facts = exemplary();
    facts.game_days.clear();
    let maturity = judge(&facts);
    assert_eq!(maturity.level, 1);
    assert!(maturity.levels[1].met && maturity.levels[2].met);
    assert!(criterion(&facts, "regular game days").missing.unwrap().contains("2 more game days"));
}

#[test]
fn scores_grow_with_proof_and_sink_with_age() {
    let today = day_of(now());
    let score = |tallies: &[_]| score_at(tallies, today);
    assert_eq!(score(&[]), None);
    assert_eq!(score(&[tally(0, NotSteady, 9)]), None);
    assert_eq!(score(&[tally(0, Passed, 1)]), Some(50.0));
    assert_eq!(score(&[tally(0, Passed, 9)]), Some(90.0));
    assert_eq!(score(&[tally(30, Passed, 2)]), Some(50.0));
    assert_eq!(score(&[tally(0, Failed, 3)]), Some(0.0));
    assert_eq!(score(&[tally(0, Passed, 4), tally(0, Aborted, 2)]), Some(66.7));
    // One residue weighs as much as five failures.
    let residue = score(&[tally(0, Passed, 4), tally(0, Residue, 1)]);
    assert_eq!(residue, score(&[tally(0, Passed, 4), tally(0, Failed, 5)]));
    let aged: Vec<f64> =
        [0, 30, 90, 180].iter().filter_map(|days| score(&[tally(*days, Passed, 10)])).collect();
    assert!(aged.windows(2).all(|pair| pair[0] > pair[1]) && aged[3] < 20.0, "{aged:?}");
}

#[test]
fn the_weakest_service_comes_first() {
    let mut facts = exemplary();
    facts.services.push(service("ledger", vec![tally(2, Failed, 3), tally(40, Passed, 9)], &[]));
    facts.services.push(service("untested", Vec::new(), &[]));
    facts.services.push(service("long ago", Vec::new(), &["process.kill"]));
    let Maturity { scores, untested, .. } = judge(&facts);
    let names: Vec<&str> = scores.iter().map(|score| score.service.as_str()).collect();
    assert_eq!(names, ["long ago", "ledger", "payment"]);
    assert_eq!(untested, ["untested"], "what nobody knows is no weakness");
    assert_eq!((scores[1].runs, scores[1].untested_days), (12, Some(2)));
    assert!(scores[1].before.unwrap() > scores[1].score);
}

#[test]
fn findings_are_ranked_each_with_a_command() {
    let mut facts = exemplary();
    assert_eq!(suggest(&facts), []);
    facts.experiments.push(vec![run("left", Residue, 2)]);
    facts.experiments.push(vec![run("broke", Failed, 2), run("broke", Passed, 3)]);
    facts.experiments.push(vec![run("stopped", Aborted, 0)]);
    facts.experiments.push(vec![run("mended", Passed, 1), run("mended", Failed, 2)]);
    facts.experiments.push(vec![run("old", Passed, 31)]);
    let slow = |(index, seconds): (usize, &f64)| Brief {
        recovery_seconds: Some(*seconds),
        ..run("slow", Passed, index as i64)
    };
    facts.experiments.push([3.0, 4.0, 2.9, 1.0, 1.1, 0.9].iter().enumerate().map(slow).collect());
    facts.alike.push((0..6).map(|days| measured("near", 0.42 - 0.06 * days as f64, days)).collect());
    facts.services.push(service(
        "ledger",
        vec![tally(0, Failed, 9), tally(31, Passed, 9)],
        &["process.kill"],
    ));
    let findings = suggest(&facts);
    let told: Vec<(&str, &str)> = findings.iter().map(|one| (one.kind, one.about.as_str())).collect();
    assert_eq!(
        told,
        [
            ("residue", "left"),
            ("failed", "broke"),
            ("aborted", "stopped"),
            ("margin_shrinks", "near"),
            ("score_fell", "ledger"),
            ("recovery_slower", "slow"),
            ("stale", "old"),
            ("never_struck", "ledger"),
            ("never_struck", "payment"),
        ]
    );
    assert_eq!(findings[1].command, "squall run broke.yaml");
    assert_eq!(findings[5].command, "squall history compare slow-5 slow-0");
    assert_eq!(findings[8].command, "squall faults process.kill");
    assert!(findings[5].found.contains("3.0") || findings[5].found.contains("3 s"), "{}", findings[5].found);
    assert!(ago(1) < now());
}
