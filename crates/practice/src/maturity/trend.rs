//! What can be seen to come before it breaks: metrics under a fault that come nearer to their objective from run to run,
//! and limits that were found lower than before.

use super::criteria::counted;
use squall_model::condition::{Bound, Comparison};
use squall_model::magnitude::Magnitude;
use squall_model::maturity::Finding;
use squall_model::past::{Limit, Run, quoted};
use squall_model::quantity::Unit;
use squall_model::verdict::Verdict;

/// From so many runs on there is a course.
pub(super) const FEWEST: usize = 5;
/// Of all pairs of runs, so many show the later one nearer to the objective.
const STEADY: f64 = 0.8;
/// This part of the first margin is used up.
const SPENT: f64 = 0.25;
/// What would break after more runs is no news yet.
const SOON: f64 = 20.0;

/// A metric under the fault in the newest runs of an experiment, which all did the same and passed.
pub(super) struct Course<'r> {
    objective: &'r Bound,
    /// The runs and what was measured, the oldest first.
    points: Vec<(&'r Run, f64)>,
}

/// The courses that a trend can be told from, of runs that did the same, the newest first.
pub(super) fn courses(runs: &[Run]) -> Vec<Course<'_>> {
    let objectives = runs.first().map(|newest| newest.objectives.as_slice()).unwrap_or_default();
    let courses = objectives.iter().map(|objective| Course::of(objective, runs));
    courses.filter(|course| course.points.len() >= FEWEST).collect()
}

fn during(run: &Run, metric: &str) -> Option<f64> {
    run.comparisons.iter().find(|change| change.metric == metric)?.during
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl<'r> Course<'r> {
    fn of(objective: &'r Bound, runs: &'r [Run]) -> Self {
        let telling = runs.iter().filter(|run| run.is_telling());
        let passed = telling.take_while(|run| run.verdict == Some(Verdict::Passed));
        let measured = passed.filter_map(|run| Some((run, during(run, &objective.name)?)));
        let mut points: Vec<(&Run, f64)> = measured.collect();
        points.reverse();
        Self { objective, points }
    }

    /// The runs, the oldest first.
    pub(super) fn runs(&self) -> impl DoubleEndedIterator<Item = &'r Run> {
        self.points.iter().map(|(run, _)| *run)
    }

    fn is_ceiling(&self) -> bool {
        matches!(self.objective.comparison, Comparison::Less | Comparison::LessOrEqual)
    }

    /// How much was left to the objective in each run; the oldest first.
    fn margins(&self) -> Vec<f64> {
        let sign = if self.is_ceiling() { 1.0 } else { -1.0 };
        self.points.iter().map(|(_, value)| sign * (self.objective.value - value)).collect()
    }

    /// In how many runs it breaks at the pace of the past; none where it does not come nearer.
    fn breaks_in(&self) -> Option<usize> {
        let margins = self.margins();
        let (first, last) = (*margins.first()?, *margins.last()?);
        let pairs = || (0..margins.len()).flat_map(|later| (0..later).map(move |earlier| (earlier, later)));
        let paces: Vec<f64> = pairs()
            .map(|(earlier, later)| (margins[earlier] - margins[later]) / (later - earlier) as f64)
            .collect();
        let nearer = paces.iter().filter(|pace| **pace > 0.0).count() as f64;
        let is_steady = nearer >= paces.len() as f64 * STEADY;
        if !is_steady || first <= 0.0 || first - last < first * SPENT {
            return None;
        }
        let runs = (last / median(paces)).ceil().max(1.0);
        (runs <= SOON).then_some(runs as usize)
    }

    /// That the margin shrinks, where it does.
    pub(super) fn finding(&self) -> Option<Finding> {
        let breaks_in = self.breaks_in()?;
        let (oldest, newest) = (self.points.first()?, self.points.last()?);
        let unit = Unit::of(&self.objective.name);
        Some(Finding {
            weight: 70,
            kind: "margin_shrinks",
            about: newest.0.experiment.clone(),
            found: format!(
                "{} under the fault went from {} to {} over {} runs that passed; its limit is {} {}, which it breaks in {} at \
                 this pace",
                self.objective.name,
                unit.show(oldest.1),
                unit.show(newest.1),
                self.points.len(),
                if self.is_ceiling() { "at most" } else { "at least" },
                unit.show(self.objective.value),
                counted(breaks_in, "run", "runs")
            ),
            run: Some(newest.0.run.clone()),
            command: format!("squall history compare {} {}", oldest.0.run, newest.0.run),
        })
    }
}

/// The metric of an experiment that breaks the soonest.
pub(super) fn shrinking(runs: &[Run]) -> Option<Finding> {
    let courses = courses(runs);
    courses.iter().min_by_key(|course| course.breaks_in().unwrap_or(usize::MAX))?.finding()
}

/// The newest of the limits of each experiment, environment and parameter, with those before it, the newest first.
pub(super) fn searches(limits: &[Limit]) -> impl Iterator<Item = Vec<&Limit>> {
    let is_newest =
        |(index, limit): &(usize, &Limit)| !limits[index + 1..].iter().any(|later| later.is_like(limit));
    let newest = limits.iter().enumerate().filter(is_newest);
    newest.map(|(index, limit)| limits[..=index].iter().rev().filter(|one| one.is_like(limit)).collect())
}

/// Limits below what held the time before.
pub(super) fn lowered(limits: &[Limit]) -> impl Iterator<Item = Finding> {
    searches(limits).filter_map(|search| of_limit(search.get(1)?, search.first()?))
}

fn of_limit(before: &Limit, now: &Limit) -> Option<Finding> {
    let value = |text: &Option<String>| Magnitude::typed(text.as_deref()?);
    let (held, broke) = (value(&before.held_up_to)?, value(&now.broke_at)?);
    // Which way is harsher, either search tells.
    let by_first =
        value(&before.broke_at).and_then(|harsher| Some(broke.part_between(&held, &harsher)? <= 0.0));
    let by_second =
        value(&now.held_up_to).and_then(|milder| Some(held.part_between(&milder, &broke)? >= 1.0));
    by_first.or(by_second).filter(|is_lower| *is_lower)?;
    Some(Finding {
        weight: 65,
        kind: "limit_fell",
        about: now.experiment.clone(),
        found: format!(
            "it held up to {} {held} on {}, and breaks at {broke} now",
            now.parameter,
            before.at.strftime("%Y-%m-%d")
        ),
        run: None,
        command: format!("squall history list --experiment {}", quoted(&now.experiment)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maturity::testing::{ago, measured};

    fn course(values: &[f64]) -> Vec<Run> {
        let run = |(index, value): (usize, &f64)| measured("pay", *value, index as i64);
        values.iter().rev().enumerate().map(run).collect()
    }

    #[test]
    fn a_margin_that_shrinks_is_told_before_it_breaks() {
        let finding = shrinking(&course(&[0.12, 0.18, 0.24, 0.30, 0.36, 0.42])).unwrap();
        assert_eq!(
            finding.found,
            "latency_p99 under the fault went from 120 ms to 420 ms over 6 runs that passed; its limit is at most 450 ms, \
             which it breaks in 1 run at this pace"
        );
        assert_eq!(finding.command, "squall history compare pay-5 pay-0");
        assert!(
            shrinking(&course(&[0.12, 0.15, 0.14, 0.19, 0.22, 0.25])).unwrap().found.contains("in 8 runs")
        );
    }

    #[test]
    fn what_wavers_keeps_its_distance_or_is_too_new_is_not_told() {
        for values in [
            &[0.12, 0.42, 0.13, 0.40, 0.12, 0.41][..],
            &[0.40, 0.401, 0.402, 0.403, 0.404],
            &[0.42, 0.36, 0.30, 0.24, 0.18],
            &[0.12, 0.22, 0.32, 0.42],
        ] {
            assert_eq!(shrinking(&course(values)), None, "{values:?}");
        }
        // One that failed broke what there was: it is told as such.
        let mut runs = course(&[0.12, 0.18, 0.24, 0.30, 0.36, 0.42]);
        runs[2].verdict = Some(Verdict::Failed);
        assert_eq!(shrinking(&runs), None);
    }

    #[test]
    fn what_must_not_fall_is_told_too() {
        let mut runs = course(&[1.0, 0.99, 0.98, 0.97, 0.96]);
        for run in &mut runs {
            run.objectives[0] =
                Bound { name: "availability".into(), comparison: Comparison::GreaterOrEqual, value: 0.95 };
            run.comparisons[0].metric = "availability".into();
        }
        assert!(shrinking(&runs).unwrap().found.contains("from 100 % to 96 % over 5 runs"));
    }

    #[test]
    fn limits_that_fell_are_told() {
        let limit = |parameter: &str, held: Option<&str>, broke: Option<&str>, days| Limit {
            at: ago(days),
            experiment: "pay".into(),
            environment: String::new(),
            parameter: parameter.into(),
            held_up_to: held.map(str::to_owned),
            broke_at: broke.map(str::to_owned),
        };
        let told = |limits: &[Limit]| lowered(limits).map(|finding| finding.found).collect::<Vec<_>>();
        let before = limit("delay", Some("300ms"), Some("400ms"), 30);
        let found = told(&[before.clone(), limit("delay", Some("200ms"), Some("250ms"), 1)]);
        assert_eq!(found, ["it held up to delay 300ms on 2026-05-31, and breaks at 250ms now"]);
        assert_eq!(told(&[before.clone(), limit("delay", None, Some("50ms"), 1)]).len(), 1);
        assert_eq!(
            told(&[limit("quota", Some("20%"), None, 9), limit("quota", Some("60%"), Some("40%"), 1)]).len(),
            1
        );
        let none = [
            before.clone(),
            limit("delay", Some("320ms"), Some("350ms"), 1),
            limit("loss", None, Some("1%"), 1),
        ];
        assert_eq!(told(&none), Vec::<String>::new());
        assert_eq!(told(&[before, limit("delay", Some("400ms"), None, 1)]), Vec::<String>::new());
    }
}
