//! What came of each criterion, from what the session knows. Unknown is never met.

use super::session::{Counted, Known};
use squall_model::condition::{Condition, ConditionState, Truth};
use squall_model::gameday::{DataProbe, Judgement, Keeps, Means, Measures, Outcome, Test, Traffic};
use squall_model::quantity::{Unit, span};
use squall_model::value::{Reading, Value};
use squall_model::verdict::Verdict;
use std::collections::BTreeMap;

/// More than this share of the seconds without a reading, and nothing is known.
const MOST_UNREAD: f64 = 0.05;

/// An outcome and why.
type Judged = (Outcome, String);

/// Judges every criterion.
pub(super) fn all(known: &Known, measures: &Measures) -> Vec<Judgement> {
    let judge = |(index, criterion): (usize, &squall_model::gameday::Criterion)| {
        let by_people = matches!(criterion.means, Means::People { .. });
        let (outcome, why) = match &criterion.means {
            Means::People { .. } if known.is_rehearsal() => {
                (Outcome::Rehearsed, "people will be asked".to_owned())
            }
            Means::People { .. } => answered(known, index),
            Means::Machine(test) if known.is_rehearsal() => rehearsed(known, test),
            Means::Machine(test) => one(known, measures, test),
        };
        Judgement { criterion: criterion.text.clone(), outcome, why, by_people }
    };
    known.plan.criteria.iter().enumerate().map(judge).collect()
}

fn answered(known: &Known, index: usize) -> Judged {
    match known.answers.get(&index) {
        Some((outcome, remark)) if remark.is_empty() => (*outcome, "people say so".to_owned()),
        Some((outcome, remark)) => (*outcome, remark.clone()),
        None => (Outcome::Unknown, "nobody was asked".to_owned()),
    }
}

fn one(known: &Known, measures: &Measures, test: &Test) -> Judged {
    let Some(injected) = known.injected_at() else {
        return (Outcome::Unknown, not_injected(known).to_owned());
    };
    match test {
        Test::Conditions { conditions, each_second } => joined(
            conditions.iter().map(|condition| condition_held(known, condition, *each_second, injected)),
        ),
        Test::Failover { within } => failed_over(known, measures, *within),
        Test::Recovery { within } => recovered(known, *within),
        Test::Alerts { names, within, resolved_within } => {
            joined(names.iter().map(|name| alerted(known, name, injected, (*within, *resolved_within))))
        }
        Test::Data { probes } => kept(known, measures, probes),
        Test::Services => healthy(known, measures),
    }
}

/// Why nothing can be judged where no failure was made, or none was made again.
fn not_injected(known: &Known) -> &'static str {
    if known.cut_short.is_empty() {
        "nothing was injected"
    } else {
        "the failure was cut short and not made again"
    }
}

/// The worst of several, with its reasons first.
fn joined(parts: impl Iterator<Item = Judged>) -> Judged {
    let rank = |outcome: Outcome| match outcome {
        Outcome::NotMet => 0,
        Outcome::Unknown => 1,
        Outcome::Rehearsed => 2,
        Outcome::Met => 3,
    };
    let mut parts: Vec<Judged> = parts.collect();
    parts.sort_by_key(|(outcome, _)| rank(*outcome));
    let worst = parts.first().map_or(Outcome::Unknown, |(outcome, _)| *outcome);
    let reasons = parts.into_iter().filter(|(outcome, _)| *outcome == worst).map(|(_, why)| why);
    (worst, reasons.collect::<Vec<_>>().join("; "))
}

/// The times that conditions are judged over: from each failure until the steady state was back; of what an
/// interruption cut short, as long as it was measured.
fn windows(known: &Known, injected: f64) -> Vec<(f64, f64)> {
    let back = known.recovered.filter(|(_, seconds)| seconds.is_some()).map(|(told, _)| told);
    let last = known.samples.last().map_or(injected, |(at, _)| *at);
    let whole = (injected, back.or(known.analysed_from).unwrap_or(last));
    known.cut_short.iter().copied().chain([whole]).collect()
}

/// Whether a moment lies in one of these times.
fn within_one(windows: &[(f64, f64)], moment: f64) -> bool {
    windows.iter().any(|(from, to)| (*from..=*to).contains(&moment))
}

fn condition_held(known: &Known, condition: &Condition, each_second: bool, injected: f64) -> Judged {
    let windows = windows(known, injected);
    let whole = over_traffic(known, condition, &windows);
    if let (false, Some(judged)) = (each_second, whole) {
        return judged;
    }
    let names = condition.names();
    let mut state = ConditionState::default();
    let (mut read, mut failed, mut worst): (u32, u32, Option<(f64, String)>) = (0, 0, None);
    for (at, values) in known.samples.iter().filter(|(at, _)| within_one(&windows, *at)) {
        let reading = reading_of(values, &names);
        match condition.judge(&mut state, *at, &reading) {
            Truth::Holds => read += 1,
            Truth::Fails => {
                read += 1;
                failed += 1;
            }
            Truth::Unknown { .. } => {}
        }
        worst = worse(worst, condition, &reading);
    }
    let seconds = windows.iter().map(|(from, to)| to - from).sum::<f64>().max(1.0);
    let worst = worst.map_or_else(String::new, |(_, words)| format!(", worst {words}"));
    if failed > 0 {
        return (Outcome::NotMet, format!("{condition} did not hold in {failed} of {read} seconds{worst}"));
    }
    // Of each of these times, the second that it begins in and the one that it ends in may have no sample of their own.
    let ragged = 1.5 * windows.len() as f64;
    if f64::from(read) < (seconds - ragged) * (1.0 - MOST_UNREAD) || read == 0 {
        return (
            Outcome::Unknown,
            format!("{} was read in {read} of {seconds:.0} seconds only", names.join(", ")),
        );
    }
    (Outcome::Met, format!("{condition} held in all of {read} seconds{worst}"))
}

fn reading_of(values: &BTreeMap<String, f64>, names: &[String]) -> Reading {
    let value = |name: &String| Some((name.clone(), Value::Number(*values.get(name)?)));
    names.iter().filter_map(value).collect()
}

/// The value that comes closest to a condition's threshold, or goes furthest beyond.
fn worse(known: Option<(f64, String)>, condition: &Condition, reading: &Reading) -> Option<(f64, String)> {
    use squall_model::condition::Comparison::{Less, LessOrEqual};
    let bounds = condition.bounds();
    let [bound] = &bounds[..] else { return known };
    let Some(value) = reading.get(&bound.name).and_then(Value::number) else { return known };
    let badness = if matches!(bound.comparison, Less | LessOrEqual) { value } else { -value };
    match known {
        Some((worst, words)) if worst >= badness => Some((worst, words)),
        _ => Some((badness, Unit::of(&bound.name).show(value))),
    }
}

/// A share of a load's traffic, judged over all of it at once.
fn over_traffic(known: &Known, condition: &Condition, windows: &[(f64, f64)]) -> Option<Judged> {
    let names = condition.names();
    let [name] = &names[..] else { return None };
    let (load, metric) = match name.split_once('.') {
        Some((load, metric)) => (known.traffic.get(load)?, metric),
        None if known.traffic.len() == 1 => (known.traffic.values().next()?, name.as_str()),
        None => return None,
    };
    let is_within = |part: &&Traffic| windows.iter().any(|(from, to)| part.from >= *from && part.to <= *to);
    let total = load.iter().filter(is_within).fold((0, 0, 0), |sum: (u64, u64, u64), part: &Traffic| {
        (sum.0 + part.ended, sum.1 + part.success, sum.2 + part.available)
    });
    let (ended, success, available) = total;
    if ended == 0 {
        return Some((Outcome::Unknown, "no request ended in that time".to_owned()));
    }
    let share = |count: u64| count as f64 / ended as f64;
    let value = match metric {
        "error_rate" => 1.0 - share(success),
        "success_rate" => share(success),
        "availability" => share(available),
        _ => return None,
    };
    let reading = Reading::from([(name.clone(), Value::Number(value))]);
    let until = windows.last().map_or(0.0, |(_, to)| *to);
    let truth = condition.judge(&mut ConditionState::default(), until, &reading);
    let words = format!("{} over all {ended} requests, expected {condition}", Unit::of(metric).show(value));
    Some((if truth.holds() { Outcome::Met } else { Outcome::NotMet }, words))
}

/// How soon the steady state was back while the failure lasted, at worst; else how long the shortest failure lasted
/// that it was not back in.
///
/// What was asked shortly before the end of a failure is answered after it, and tells nothing of how things were: the
/// steady state counts as back by itself only where it was so for longer than a request may take.
pub(super) fn failover(known: &Known, measures: &Measures) -> Result<f64, f64> {
    let patience = measures.loads.iter().map(|load| load.timeout.as_seconds()).fold(0.0, f64::max);
    let mut worst = 0.0_f64;
    let mut never: Option<f64> = None;
    for (from, to) in &known.strikes {
        let Some(to) = to else { continue };
        match known.steady_at(*to) {
            Some((since, true, _)) if *since < to - patience => worst = worst.max(since - from),
            _ => never = Some(never.map_or(to - from, |shortest| shortest.min(to - from))),
        }
    }
    match never {
        Some(lasted) => Err(lasted),
        None => Ok(worst),
    }
}

fn failed_over(known: &Known, measures: &Measures, within: f64) -> Judged {
    if known.steady.is_empty() {
        return (Outcome::Unknown, "the steady state was never read".to_owned());
    }
    if known.put_right_at().is_none() {
        return (Outcome::Unknown, "the failure was not put right yet".to_owned());
    }
    let limit = span(within);
    match failover(known, measures) {
        Ok(seconds) if seconds <= 0.0 => {
            (Outcome::Met, format!("the steady state was never lost (allowed: {limit})"))
        }
        Ok(seconds) if seconds <= within => {
            (Outcome::Met, format!("steady again {} after the failure (allowed: {limit})", span(seconds)))
        }
        Ok(seconds) => (
            Outcome::NotMet,
            format!("steady again only {} after the failure (allowed: {limit})", span(seconds)),
        ),
        Err(lasted) if lasted >= within => (
            Outcome::NotMet,
            format!("not steady again within {limit}, nor while the failure lasted ({})", span(lasted)),
        ),
        Err(lasted) => {
            let lasted = span(lasted);
            let why = format!(
                "the failure lasted {lasted} only, and the steady state was not back by then; whether it comes back \
                 within {limit} is not known: let it last longer"
            );
            (Outcome::Unknown, why)
        }
    }
}

fn recovered(known: &Known, within: f64) -> Judged {
    let limit = span(within);
    match known.recovered {
        Some((_, Some(seconds))) if seconds <= within => (
            Outcome::Met,
            format!("steady {} after the failure was put right (allowed: {limit})", span(seconds)),
        ),
        Some((_, Some(seconds))) => (
            Outcome::NotMet,
            format!("steady only {} after the failure was put right (allowed: {limit})", span(seconds)),
        ),
        Some((told, None)) if known.put_right_at().is_some_and(|at| told - at >= within) => {
            (Outcome::NotMet, format!("not steady within {limit}"))
        }
        _ => (Outcome::Unknown, "whether it recovered was not seen to the end".to_owned()),
    }
}

/// When an alert was first seen to fire after a moment at which it did not.
pub(super) fn first_fired(known: &Known, name: &str, since: f64) -> Option<f64> {
    known.alerts.iter().find(|(at, firing)| *at >= since && fires(firing, name)).map(|(at, _)| *at)
}

/// Whether it fires as far as is known.
pub(super) fn fires_now(known: &Known, name: &str) -> bool {
    known.alerts.last().is_some_and(|(_, firing)| fires(firing, name))
}

fn fires(firing: &Result<std::collections::BTreeSet<String>, String>, name: &str) -> bool {
    firing.as_ref().is_ok_and(|firing| firing.contains(name))
}

fn alerted(known: &Known, name: &str, injected: f64, (within, resolved_within): (f64, f64)) -> Judged {
    let before = known.alerts.iter().rev().find(|(at, _)| *at < injected);
    match before {
        None => return (Outcome::Unknown, format!("{name}: no alerts were read before the failure")),
        Some((_, Err(why))) => return (Outcome::Unknown, format!("{name}: {why}")),
        Some((_, Ok(firing))) if firing.contains(name) => {
            return (Outcome::Unknown, format!("{name} was firing before the failure already"));
        }
        Some(_) => {}
    }
    let Some(fired) = first_fired(known, name, injected) else {
        let unread = known.alerts.iter().find(|(at, firing)| *at >= injected && firing.is_err());
        return match unread {
            Some((_, Err(why))) => (Outcome::Unknown, format!("{name}: {why}")),
            _ => (Outcome::NotMet, format!("{name} did not fire")),
        };
    };
    let after = fired - injected;
    if after > within {
        return (
            Outcome::NotMet,
            format!("{name} fired only after {} (allowed: {})", span(after), span(within)),
        );
    }
    let fired = format!("{name} fired after {}", span(after));
    match (known.alerts.last(), known.recovered) {
        (Some((_, Err(why))), _) => (Outcome::Unknown, format!("{fired}; whether it is over: {why}")),
        (Some((_, Ok(firing))), Some((told, _))) if firing.contains(name) => {
            let why = format!("{fired} and still fires {} after the recovery", span(resolved_within));
            let ended = known.analysed_from.unwrap_or(told);
            if ended - told >= resolved_within {
                (Outcome::NotMet, why)
            } else {
                (Outcome::Unknown, format!("{fired}; the day ended before it was over"))
            }
        }
        (Some((_, Ok(firing))), None) if firing.contains(name) => {
            (Outcome::Unknown, format!("{fired}; the day ended before it was over"))
        }
        _ => (Outcome::Met, format!("{fired} and was over afterwards")),
    }
}

/// What does not hold of data that was counted before and after, in words.
pub(super) fn broken_data(
    probes: &[DataProbe],
    before: Option<&Counted>,
    after: &BTreeMap<String, f64>,
) -> Vec<String> {
    let before_of = |name: &str| before.and_then(|(values, _)| values.get(name)).copied();
    let broken = |probe: &DataProbe| {
        let after = *after.get(&probe.name)?;
        let name = &probe.name;
        match (&probe.keeps, before_of(name)) {
            (Keeps::NotLess, Some(before)) if after < before => {
                Some(format!("{name} fell from {before} to {after}"))
            }
            (Keeps::Unchanged, Some(before)) if (after - before).abs() > f64::EPSILON * before.abs() => {
                Some(format!("{name} was {before} and is {after}"))
            }
            (Keeps::Condition(condition), _) => {
                let reading = Reading::from([("value".to_owned(), Value::Number(after))]);
                let holds = condition.judge(&mut ConditionState::default(), 0.0, &reading).holds();
                (!holds).then(|| format!("{name} is {after}, expected {condition}"))
            }
            _ => None,
        }
    };
    probes.iter().filter_map(broken).collect()
}

fn kept(known: &Known, measures: &Measures, probes: &[String]) -> Judged {
    let Some(((values, errors), broken)) = &known.after else {
        return (Outcome::Unknown, "data was not counted afterwards".to_owned());
    };
    let of_these = |words: &&String| probes.iter().any(|name| words.starts_with(&format!("{name} ")));
    let broken: Vec<&str> = broken.iter().filter(of_these).map(String::as_str).collect();
    if !broken.is_empty() {
        return (Outcome::NotMet, broken.join("; "));
    }
    let before = known.before.as_ref();
    let missing = probes.iter().find_map(|name| {
        let why = errors.get(name).or_else(|| before.and_then(|(_, errors)| errors.get(name)));
        let has_before = before.is_some_and(|(values, _)| values.contains_key(name));
        let needs_before = measures
            .data
            .iter()
            .any(|probe| probe.name == *name && !matches!(probe.keeps, Keeps::Condition(_)));
        match why {
            Some(why) => Some(format!("{name}: {why}")),
            None if !values.contains_key(name) => Some(format!("{name} was not counted")),
            None if needs_before && !has_before => Some(format!("{name} was not counted before the failure")),
            None => None,
        }
    });
    if let Some(missing) = missing {
        return (Outcome::Unknown, missing);
    }
    let counted = probes.iter().map(|name| {
        let after = values.get(name).copied().unwrap_or_default();
        match before.and_then(|(values, _)| values.get(name)) {
            Some(before) => format!("{name}: {before} before, {after} after"),
            None => format!("{name}: {after}"),
        }
    });
    (Outcome::Met, counted.collect::<Vec<_>>().join("; "))
}

fn healthy(known: &Known, measures: &Measures) -> Judged {
    joined(measures.services.iter().map(|service| match known.services.get(&service.name) {
        None => (Outcome::Unknown, format!("{} was not asked", service.name)),
        Some((true, found)) => (Outcome::Met, format!("{}: {found}", service.name)),
        Some((false, found)) => (Outcome::NotMet, format!("{}: {found}", service.name)),
    }))
}

/// Whether what a test needs could be read.
fn rehearsed(known: &Known, test: &Test) -> Judged {
    let ready = |words: String| (Outcome::Rehearsed, words);
    let latest = known.samples.last().map(|(_, values)| values);
    match test {
        Test::Conditions { conditions, .. } => joined(conditions.iter().map(|condition| {
            let names = condition.names();
            let reading = latest.map(|values| reading_of(values, &names)).unwrap_or_default();
            match names.iter().find(|name| !reading.contains_key(*name)) {
                Some(name) => (Outcome::Unknown, format!("{name} could not be read")),
                None => ready(format!("can be checked: {}", found(condition, &reading))),
            }
        })),
        Test::Failover { .. } | Test::Recovery { .. } => match known.steady.last() {
            Some((_, true, _)) => ready("can be checked: the steady state holds".to_owned()),
            Some((_, false, failing)) => (Outcome::Unknown, failing.join("; ")),
            None => (Outcome::Unknown, "the steady state was never read".to_owned()),
        },
        Test::Alerts { names, .. } => match known.alerts.last() {
            Some((_, Ok(firing))) => match names.iter().find(|name| firing.contains(*name)) {
                Some(name) => (Outcome::Unknown, format!("{name} is firing already")),
                None => ready("can be checked: none of them fires now".to_owned()),
            },
            Some((_, Err(why))) => (Outcome::Unknown, why.clone()),
            None => (Outcome::Unknown, "no alerts were read".to_owned()),
        },
        Test::Data { probes } => {
            let empty = (BTreeMap::new(), BTreeMap::new());
            let (values, errors) = known.before.as_ref().unwrap_or(&empty);
            match probes.iter().find(|name| !values.contains_key(*name)) {
                Some(name) => {
                    let why = errors.get(name).map_or("it was not counted", String::as_str);
                    (Outcome::Unknown, format!("{name}: {why}"))
                }
                None => ready("can be checked: it was counted twice".to_owned()),
            }
        }
        Test::Services if known.services.is_empty() => (Outcome::Unknown, "no service was asked".to_owned()),
        Test::Services => ready("can be checked".to_owned()),
    }
}

/// The verdict of the whole day, and its reasons.
pub(super) fn verdict(known: &Known, judgements: &[Judgement]) -> (Verdict, Vec<String>) {
    let mut reasons: Vec<(Verdict, String)> = Vec::new();
    let residue = known.residue.iter().map(|residue| (Verdict::Residue, format!("not put back: {residue}")));
    reasons.extend(residue);
    if let Some(halted) = &known.halted {
        reasons.push((Verdict::Aborted, format!("halted: {halted}")));
    }
    if let Some(refused) = &known.refused {
        let why = if refused.is_empty() { String::new() } else { format!(": {refused}") };
        let words = if known.cut_short.is_empty() {
            format!("no-go before the failure was made{why}; nothing was touched")
        } else {
            format!("no-go before the failure that was cut short was made again{why}")
        };
        reasons.push((Verdict::Aborted, words));
    }
    for (experiment, verdict, why) in &known.verdicts {
        let name = known.plan.experiments.get(*experiment).map_or("?", |linked| linked.name.as_str());
        if *verdict != Verdict::Passed {
            let why = why.first().map_or(String::new(), |why| format!(": {why}"));
            reasons.push((*verdict, format!("{name} ended as {verdict}{why}")));
        }
    }
    let tried = known.injected_at().is_some() || known.is_rehearsal();
    if let (true, Some((_, None)), false) = (tried, known.recovered, known.steady.is_empty()) {
        reasons.push((Verdict::Failed, "the steady state did not come back in time".to_owned()));
    }
    let of = |wanted: Outcome| judgements.iter().filter(move |judged| judged.outcome == wanted);
    for judged in of(Outcome::NotMet) {
        reasons.push((Verdict::Failed, format!("{}: {}", judged.criterion, judged.why)));
    }
    if tried {
        for judged in of(Outcome::Unknown) {
            reasons.push((Verdict::Failed, format!("{}: unknown: {}", judged.criterion, judged.why)));
        }
    } else if reasons.is_empty() {
        reasons.push((Verdict::Aborted, not_injected(known).to_owned()));
    }
    let worst = reasons.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Passed);
    // What decides comes first.
    reasons.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
    let mut words: Vec<String> = reasons.into_iter().map(|(_, words)| words).collect();
    if words.is_empty() {
        words.push(if known.is_rehearsal() { gone_through(judgements) } else { all_met(judgements.len()) });
    }
    (worst, words)
}

/// What a rehearsal without any mistake says.
fn gone_through(judgements: &[Judgement]) -> String {
    let by_machine = judgements.iter().filter(|judged| !judged.by_people).count();
    match (by_machine, judgements.len()) {
        (0, _) => {
            "everything was gone through; no criterion is checked by machine, people will be asked".to_owned()
        }
        (machine, all) if machine == all => {
            "everything was gone through, and every check can be made".to_owned()
        }
        (machine, all) => format!(
            "everything was gone through; {machine} of {all} criteria can be checked by machine, people will be asked about \
             the rest"
        ),
    }
}

fn all_met(criteria: usize) -> String {
    match criteria {
        1 => "the one criterion was met".to_owned(),
        several => format!("all {several} criteria were met"),
    }
}

/// What a condition speaks of, as it was read: `error_rate 0.4%`.
pub(super) fn found(condition: &Condition, reading: &Reading) -> String {
    let each = condition.names().into_iter().map(|name| match reading.get(&name) {
        Some(Value::Number(number)) => format!("{name} {}", Unit::of(&name).show(*number)),
        Some(other) => {
            let text: String = other.to_string().chars().take(80).collect();
            format!("{name} {text}")
        }
        None => format!("{name} unread"),
    });
    each.collect::<Vec<_>>().join(", ")
}
