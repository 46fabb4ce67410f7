//! What each level takes. A criterion counts what the history knows of the last months, names the newest runs that show
//! it, and says what is missing.

use super::trend;
use jiff::Timestamp;
use squall_model::maturity::Criterion;
use squall_model::past::{Brief, Facts, Run};
use squall_model::verdict::Verdict;
use std::collections::BTreeMap;

/// How many days back most criteria look.
const QUARTER: i64 = 90;
/// How many days back the rarer things are looked for.
const HALF_YEAR: i64 = 180;
/// Within so many days an experiment is to be carried out again.
const MONTH: i64 = 30;
/// How many runs and days are named as evidence.
const MOST_EVIDENCE: usize = 5;

const DOCUMENTED: usize = 3;
const GAME_DAYS: usize = 2;
const UNATTENDED: usize = 3;
const VALIDATED: usize = 3;
const MEASURED_RUNS: usize = 5;
const MEASURED_SHARE: f64 = 0.8;
const PRODUCTION: usize = 3;
const RECOVERIES: usize = 10;
const RECOVERED_SHARE: f64 = 0.9;
const TRENDS: usize = 3;
const DAYS_OF_A_TREND: i64 = 14;

/// Level 2.
pub(super) fn defined(facts: &Facts) -> [Criterion; 3] {
    [documented(facts), game_days(facts), automation(facts)]
}

/// Level 3.
pub(super) fn managed(facts: &Facts) -> [Criterion; 3] {
    [automated(facts), validated(facts), measured(facts)]
}

/// Level 4.
pub(super) fn optimized(facts: &Facts) -> [Criterion; 3] {
    [in_production(facts), self_healing(facts), predictive(facts)]
}

/// Whole days from a moment until the judgement.
pub(super) fn days_since(facts: &Facts, moment: Timestamp) -> i64 {
    facts.now.duration_since(moment).as_hours().div_euclid(24).max(0)
}

fn is_within(facts: &Facts, moment: Timestamp, days: i64) -> bool {
    facts.now.duration_since(moment).as_hours() < days * 24
}

/// The newest run of each experiment that tells something.
pub(super) fn newest_telling(facts: &Facts) -> impl Iterator<Item = &Brief> {
    facts.experiments.iter().filter_map(|runs| runs.iter().find(|run| run.is_telling))
}

fn criterion(
    name: &'static str,
    wants: String,
    found: String,
    evidence: Vec<String>,
    missing: Option<String>,
) -> Criterion {
    Criterion { name, wants, met: missing.is_none(), found, evidence, missing }
}

fn evidence<'b>(runs: impl IntoIterator<Item = &'b Brief>) -> Vec<String> {
    let mut newest: Vec<&Brief> = runs.into_iter().collect();
    newest.sort_by_key(|run| std::cmp::Reverse(run.started));
    newest.into_iter().take(MOST_EVIDENCE).map(|run| run.run.clone()).collect()
}

/// A count and what is counted: `1 run`, `3 runs`.
pub(super) fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn documented(facts: &Facts) -> Criterion {
    let runs = facts.experiments.iter().filter_map(|runs| runs.first());
    let found: Vec<&Brief> =
        runs.filter(|run| run.is_documented && is_within(facts, run.started, QUARTER)).collect();
    let missing = (found.len() < DOCUMENTED).then(|| {
        format!(
            "write down and carry out {} more with a `hypothesis`; `squall init` begins one",
            counted(DOCUMENTED - found.len(), "experiment", "experiments")
        )
    });
    criterion(
        "documented experiments",
        format!("{DOCUMENTED} experiments with a hypothesis, carried out within {QUARTER} days"),
        counted(found.len(), "experiment", "experiments"),
        evidence(found),
        missing,
    )
}

fn game_days(facts: &Facts) -> Criterion {
    let is_real = |day: &&squall_model::past::GameDay| !day.is_rehearsal && day.verdict.is_some();
    let found: Vec<_> = facts
        .game_days
        .iter()
        .filter(is_real)
        .filter(|day| is_within(facts, day.started, HALF_YEAR))
        .collect();
    let is_recent = found.iter().any(|day| is_within(facts, day.started, QUARTER));
    let missing = match found.len() {
        few if few < GAME_DAYS => Some(format!(
            "hold {}; `squall gameday new` writes a plan (rehearsals do not count)",
            counted(GAME_DAYS - few, "more game day", "more game days")
        )),
        _ if !is_recent => Some(format!("the last was more than {QUARTER} days ago: hold the next one")),
        _ => None,
    };
    criterion(
        "regular game days",
        format!("{GAME_DAYS} game days within {HALF_YEAR} days, one of them within {QUARTER}"),
        counted(found.len(), "game day", "game days"),
        found.iter().take(MOST_EVIDENCE).map(|day| day.session.clone()).collect(),
        missing,
    )
}

fn automation(facts: &Facts) -> Criterion {
    let found: Vec<&Brief> =
        facts.unattended.iter().filter(|run| is_within(facts, run.started, QUARTER)).collect();
    let missing = (found.len() < UNATTENDED).then(|| {
        format!(
            "let a pipeline (`squall run` where CI=true) or `squall monkey run` carry out {}",
            counted(UNATTENDED - found.len(), "more run", "more runs")
        )
    });
    criterion(
        "basic automation",
        format!("{UNATTENDED} runs within {QUARTER} days that nobody started by hand"),
        if found.len() >= UNATTENDED {
            format!("{UNATTENDED} runs or more")
        } else {
            counted(found.len(), "run", "runs")
        },
        evidence(found),
        missing,
    )
}

fn automated(facts: &Facts) -> Criterion {
    let weeks = facts.weekly.len();
    let found: Vec<&Brief> = facts.weekly.iter().flatten().collect();
    let missing = (weeks == 0 || found.len() < weeks).then(|| {
        let empty = facts.weekly.iter().filter(|week| week.is_none()).count();
        format!(
            "{empty} of the last {weeks} weeks had none: let a pipeline carry experiments out at least weekly"
        )
    });
    criterion(
        "automated chaos tests",
        "in each of the last four weeks a run that nobody started by hand".to_owned(),
        format!("in {} of the last {weeks} weeks", found.len()),
        evidence(found),
        missing,
    )
}

fn validated(facts: &Facts) -> Criterion {
    let known: Vec<&Brief> =
        newest_telling(facts).filter(|run| is_within(facts, run.started, HALF_YEAR)).collect();
    let (fresh, stale): (Vec<&Brief>, Vec<&Brief>) =
        known.into_iter().partition(|run| is_within(facts, run.started, MONTH));
    let missing = if let Some(oldest) = stale.iter().min_by_key(|run| run.started) {
        Some(format!(
            "{} older than {MONTH} days: carry out again {}",
            counted(
                stale.len(),
                "experiment was not carried out again and is",
                "experiments were not carried out again and are"
            ),
            oldest.experiment
        ))
    } else if fresh.len() < VALIDATED {
        Some(format!("{} in use; have {VALIDATED}", counted(fresh.len(), "experiment is", "experiments are")))
    } else {
        None
    };
    criterion(
        "continuous validation",
        format!(
            "{VALIDATED} experiments or more, each that struck something within {HALF_YEAR} days again within {MONTH}"
        ),
        format!("{} fresh, {} older", fresh.len(), stale.len()),
        evidence(fresh),
        missing,
    )
}

fn measured(facts: &Facts) -> Criterion {
    let telling: Vec<&Brief> =
        facts.recent.iter().filter(|run| run.is_telling && is_within(facts, run.started, QUARTER)).collect();
    let found: Vec<&Brief> = telling.iter().copied().filter(|run| run.is_measured).collect();
    let is_enough =
        found.len() >= MEASURED_RUNS && found.len() as f64 >= telling.len() as f64 * MEASURED_SHARE;
    let missing = (!is_enough).then(|| {
        "give experiments a `load` or `metrics` and a `baseline`, so that the fault's effect is measured"
            .to_owned()
    });
    criterion(
        "metrics tracked",
        format!(
            "of the newest runs of {QUARTER} days, {:.0} % compared metrics with a baseline, and {MEASURED_RUNS} at least",
            MEASURED_SHARE * 100.0
        ),
        format!("{} of {}", found.len(), counted(telling.len(), "run", "runs")),
        evidence(found),
        missing,
    )
}

fn in_production(facts: &Facts) -> Criterion {
    let found: Vec<&Brief> = facts
        .production
        .iter()
        .filter(|run| run.is_telling && is_within(facts, run.started, QUARTER))
        .collect();
    let residue = found.iter().find(|run| run.verdict == Some(Verdict::Residue));
    let missing = match residue {
        Some(run) => Some(format!("run {} left residue in production: find out why", run.run)),
        None if found.len() < PRODUCTION => Some(format!(
            "carry out {} with `--environment production`, small ones first",
            counted(PRODUCTION - found.len(), "more run", "more runs")
        )),
        None => None,
    };
    criterion(
        "chaos in production",
        format!("{PRODUCTION} runs in production within {QUARTER} days, none of which left residue"),
        counted(found.len(), "run", "runs"),
        evidence(found),
        missing,
    )
}

fn self_healing(facts: &Facts) -> Criterion {
    let waited: Vec<&Brief> = facts
        .recent
        .iter()
        .filter(|run| {
            run.is_telling && run.recovery_within.is_some() && is_within(facts, run.started, QUARTER)
        })
        .collect();
    let found: Vec<&Brief> = waited.iter().copied().filter(|run| run.recovery_seconds.is_some()).collect();
    let missing = if waited.len() < RECOVERIES {
        Some(format!(
            "carry out {} with a steady state whose return is measured",
            counted(RECOVERIES - waited.len(), "more run", "more runs")
        ))
    } else if (found.len() as f64) < waited.len() as f64 * RECOVERED_SHARE {
        let worst = waited.iter().find(|run| run.recovery_seconds.is_none());
        let which = worst.map(|run| format!("; the newest is {}", run.run)).unwrap_or_default();
        Some(format!(
            "after {} the steady state did not come back in time{which}",
            counted(waited.len() - found.len(), "run", "runs")
        ))
    } else {
        None
    };
    criterion(
        "self-healing",
        format!(
            "after {:.0} % of the newest runs of {QUARTER} days ({RECOVERIES} at least) the steady state came back in time by \
             itself",
            RECOVERED_SHARE * 100.0
        ),
        format!("{} of {}", found.len(), counted(waited.len(), "run", "runs")),
        evidence(found),
        missing,
    )
}

/// Failures can be seen to come where the same is measured again and again: by what `suggest` tells from.
fn predictive(facts: &Facts) -> Criterion {
    let measured = facts.alike.iter().flat_map(|runs| trend::courses(runs)).filter_map(|course| {
        let runs: Vec<&Run> =
            course.runs().filter(|run| run.is_measured() && is_within(facts, run.started, QUARTER)).collect();
        let (oldest, newest) = (runs.first()?, runs.last()?);
        let is_trend = runs.len() >= trend::FEWEST && is_span_of_trend(oldest.started, newest.started);
        is_trend.then(|| (newest.experiment.as_str(), newest.run.clone()))
    });
    let searched = trend::searches(&facts.limits).filter_map(|search| {
        let newest = *search.first()?;
        let oldest = search.iter().rfind(|limit| is_within(facts, limit.at, QUARTER))?;
        let evidence = format!("the limit of {} in {}", newest.parameter, newest.experiment);
        is_span_of_trend(oldest.at, newest.at).then_some((newest.experiment.as_str(), evidence))
    });
    // Each experiment once, whatever is known of it.
    let found: BTreeMap<&str, String> = searched.chain(measured).collect();
    let missing = (found.len() < TRENDS).then(|| {
        format!(
            "carry out {} {} times in the same way with an objective on a metric, or search its limit again, over \
             {DAYS_OF_A_TREND} days or more, so that `squall suggest` can tell what gets worse before it breaks",
            counted(TRENDS - found.len(), "more experiment", "more experiments"),
            trend::FEWEST
        )
    });
    criterion(
        "predictive failures",
        format!(
            "{TRENDS} experiments with a trend, over {DAYS_OF_A_TREND} days of the last {QUARTER} or more: a metric and its \
             objective in the newest {} runs, which passed, or its limit, searched twice",
            trend::FEWEST
        ),
        counted(found.len(), "experiment", "experiments"),
        found.into_values().take(MOST_EVIDENCE).collect(),
        missing,
    )
}

fn is_span_of_trend(oldest: Timestamp, newest: Timestamp) -> bool {
    newest.duration_since(oldest).as_hours() >= DAYS_OF_A_TREND * 24
}
