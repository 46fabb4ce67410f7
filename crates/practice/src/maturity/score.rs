//! The resilience of a service, from 0 to 100.
//!
//! Every run that struck the service and came to a verdict counts with a weight that halves every thirty days. The score
//! is the share of weight that passed, with one failed run of today's weight added: so a single success is no proof, many
//! are nearly one, and a service that is not tested any more sinks to nothing.

use super::criteria::days_since;
use squall_model::maturity::Score;
use squall_model::past::{Facts, Service, Tally, day_of};
use squall_model::verdict::Verdict;

/// After so many days a run counts half.
const HALF_LIFE: f64 = 30.0;
/// What a score is compared with: that of so many days ago.
const MONTH: i64 = 30;
/// The weight of what is doubted: one run that did not pass.
const DOUBT: f64 = 1.0;

/// How much a run counts by its verdict, before it ages.
fn weight(verdict: Verdict) -> f64 {
    match verdict {
        Verdict::Passed | Verdict::Failed => 1.0,
        // The guard ended it before more could be seen.
        Verdict::Aborted => 0.5,
        Verdict::Residue => 5.0,
        Verdict::Invalid | Verdict::NotSteady | Verdict::NoEffect => 0.0,
    }
}

/// The score on a day, from what was known then; none where nothing was.
pub fn score_at(tallies: &[Tally], day: i64) -> Option<f64> {
    let known = tallies.iter().filter(|tally| tally.day <= day && weight(tally.verdict) > 0.0);
    let (mut passed, mut all) = (0.0, 0.0);
    for tally in known {
        let age = (day - tally.day) as f64;
        let weight = weight(tally.verdict) * tally.count as f64 * (-age / HALF_LIFE).exp2();
        all += weight;
        if tally.verdict == Verdict::Passed {
            passed += weight;
        }
    }
    (all > 0.0).then(|| (100.0 * passed / (all + DOUBT) * 10.0).round() / 10.0)
}

/// Whether a run told something about it, however long ago: what tells was struck.
fn is_tested(service: &Service) -> bool {
    !service.struck.is_empty() || !service.tallies.is_empty()
}

/// The names of those that no run told anything about: nobody knows how resilient they are.
pub(super) fn untested(facts: &Facts) -> Vec<String> {
    let untested = facts.services.iter().filter(|service| !is_tested(service));
    untested.map(|service| service.name.clone()).collect()
}

/// The scores of all services that were tested, the weakest first.
pub(super) fn scores(facts: &Facts) -> Vec<Score> {
    let tested = facts.services.iter().filter(|service| is_tested(service));
    let mut scores: Vec<Score> = tested.map(|service| score(facts, service)).collect();
    scores.sort_by(|one, other| {
        one.score.total_cmp(&other.score).then_with(|| one.service.cmp(&other.service))
    });
    scores
}

fn score(facts: &Facts, service: &Service) -> Score {
    let today = day_of(facts.now);
    let tallies = || service.tallies.iter().filter(|tally| weight(tally.verdict) > 0.0);
    let last = tallies().map(|tally| tally.day).max();
    Score {
        service: service.name.clone(),
        score: score_at(&service.tallies, today).unwrap_or(0.0),
        before: score_at(&service.tallies, today - MONTH),
        runs: tallies().map(|tally| tally.count).sum(),
        untested_days: last.map(|day| (today - day).max(0)).or_else(|| {
            service.last.as_ref().filter(|run| run.is_telling).map(|run| days_since(facts, run.started))
        }),
        last_run: service.last.as_ref().map(|run| run.run.clone()),
    }
}
