//! What to do next: findings of the past, the weightiest first, each with a command.

use super::criteria::{counted, days_since, newest_telling};
use super::{score, trend};
use squall_model::maturity::Finding;
use squall_model::past::{Brief, Facts, Service};
use squall_model::quantity::span;
use squall_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// After so many days an experiment that passed should be carried out again.
const STALE: i64 = 30;
/// A score that fell by so many points is told.
const FALL: f64 = 10.0;
/// A recovery counts as slower from this factor on, between the medians of the newest three and of those before.
const SLOWER_BY: f64 = 1.5;
/// And from so many seconds on.
const SLOWER_AT_LEAST: f64 = 0.5;
/// How many of the newest recoveries are compared with those before.
const NEWEST: usize = 3;

/// Everything that should be looked at, the weightiest first.
pub fn suggest(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = newest_telling(facts).filter_map(|run| of_newest(facts, run)).collect();
    findings.extend(facts.experiments.iter().filter_map(|runs| slower(runs)));
    findings.extend(facts.alike.iter().filter_map(|runs| trend::shrinking(runs)));
    findings.extend(trend::lowered(&facts.limits));
    findings.extend(fallen(facts));
    findings.extend(never_struck(facts));
    findings.sort_by(|one, other| other.weight.cmp(&one.weight).then_with(|| one.about.cmp(&other.about)));
    findings
}

/// What the newest run of an experiment asks for.
fn of_newest(facts: &Facts, run: &Brief) -> Option<Finding> {
    let days = days_since(facts, run.started);
    let ago =
        if days == 0 { "today".to_owned() } else { format!("{} ago", counted(days as usize, "day", "days")) };
    let (weight, kind, found) = match run.verdict? {
        Verdict::Residue => (100, "residue", format!("it left residue {ago} and was not carried out since")),
        Verdict::Failed => (90, "failed", format!("it failed {ago} and was not carried out since")),
        Verdict::Aborted => {
            (80, "aborted", format!("its guard ended it {ago}, and it was not carried out since"))
        }
        Verdict::Passed if days > STALE => {
            (40, "stale", format!("it passed {ago}; what was true then may not be now"))
        }
        _ => return None,
    };
    // What is left over is looked for before anything is struck again.
    let command = if kind == "residue" { "squall leftovers".to_owned() } else { run.command.clone() };
    Some(Finding { weight, kind, about: run.experiment.clone(), found, run: Some(run.run.clone()), command })
}

/// That an experiment's recoveries became slower.
fn slower(runs: &[Brief]) -> Option<Finding> {
    let seconds: Vec<f64> = runs.iter().filter_map(|run| run.recovery_seconds).collect();
    let (newest, before) = seconds.split_at_checked(NEWEST).filter(|(_, before)| before.len() >= NEWEST)?;
    let (now, then) = (median(newest)?, median(before)?);
    if now <= then * SLOWER_BY || now - then < SLOWER_AT_LEAST {
        return None;
    }
    let run = runs.first()?;
    Some(Finding {
        weight: 60,
        kind: "recovery_slower",
        about: run.experiment.clone(),
        found: format!("recovery takes {} now, where it took {} before (medians)", span(now), span(then)),
        run: Some(run.run.clone()),
        command: compare(runs),
    })
}

/// The newest run beside the oldest that is known of it.
fn compare(runs: &[Brief]) -> String {
    match (runs.last(), runs.first()) {
        (Some(oldest), Some(newest)) => format!("squall history compare {} {}", oldest.run, newest.run),
        _ => "squall history list".to_owned(),
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Services whose score fell.
fn fallen(facts: &Facts) -> impl Iterator<Item = Finding> {
    score::scores(facts).into_iter().filter_map(|score| {
        let before = score.before?;
        let fall = before - score.score;
        if fall < FALL {
            return None;
        }
        let service = facts.services.iter().find(|service| service.name == score.service)?;
        Some(Finding {
            weight: (50.0 + fall / 4.0).min(75.0) as u8,
            kind: "score_fell",
            about: score.service,
            found: format!("its resilience fell from {before:.0} to {:.0} within a month", score.score),
            run: score.last_run,
            command: again(service),
        })
    })
}

/// The command that strikes a service again.
fn again(service: &Service) -> String {
    let command = service.last.as_ref().map(|run| run.command.clone()).filter(|command| !command.is_empty());
    command.unwrap_or_else(|| format!("squall history list --service {}", service.name))
}

/// The kind of a fault: `network` of `network.latency`.
fn kind(fault: &str) -> &str {
    fault.split('.').next().unwrap_or(fault)
}

/// Services that were never struck with a kind of fault that others were.
fn never_struck(facts: &Facts) -> Vec<Finding> {
    // Of each kind the fault that was made most often, by how many services it is known.
    let mut counts: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for struck in facts.services.iter().flat_map(|service| &service.struck) {
        *counts.entry(kind(&struck.fault)).or_default().entry(&struck.fault).or_default() += struck.count;
    }
    let mut findings = Vec::new();
    for service in &facts.services {
        let known: BTreeSet<&str> = service.struck.iter().map(|struck| kind(&struck.fault)).collect();
        for (kind, faults) in counts.iter().filter(|(kind, _)| !known.contains(*kind)) {
            let Some((fault, _)) = faults.iter().max_by_key(|(_, count)| **count) else { continue };
            findings.push(Finding {
                weight: 20,
                kind: "never_struck",
                about: service.name.clone(),
                found: format!("it was never struck with a {kind} fault, as other services were"),
                run: None,
                command: format!("squall faults {fault}"),
            });
        }
    }
    findings
}
