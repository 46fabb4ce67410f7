//! The report as one JSON object for scripts. Field names are part of the product: they may be added to, not changed.
//!
//! Numbers are in base units: seconds, shares of one, times a second. What is not known is `null`.

use crate::change;
use crate::story::{Injection, Story};
use crate::words;
use serde::Serialize;
use squall_model::condition::Truth;
use squall_model::event::AbortCause;
use squall_model::undo::{Evidence, Reverted};
use squall_model::verdict::Verdict;

#[derive(Serialize)]
struct Summary<'s> {
    run: &'s str,
    experiment: &'s str,
    hypothesis: &'s str,
    tags: &'s [String],
    file: &'s str,
    seed: u64,
    host: &'s str,
    squall: &'s str,
    services: &'s [String],
    started: Option<jiff::Timestamp>,
    seconds: f64,
    /// `null` where the run did not finish.
    verdict: Option<Verdict>,
    exit_code: Option<u8>,
    reasons: &'s [String],
    comparisons: Vec<Comparison<'s>>,
    checks: Vec<Check<'s>>,
    injections: Vec<InjectionSummary<'s>>,
    guard: Option<GuardSummary<'s>>,
    abort: Option<AbortSummary<'s>>,
    recovery_seconds: Option<f64>,
    recovery_within: Option<f64>,
    /// Whether all that was injected is known to be put back.
    restored: bool,
    residue: Vec<&'s str>,
    /// Injections that the journal never tells to be put back.
    not_put_back: Vec<&'s str>,
    notes: Vec<&'s str>,
}

#[derive(Serialize)]
struct Comparison<'s> {
    metric: &'s str,
    baseline: Option<f64>,
    during: Option<f64>,
    difference: Option<f64>,
    interval: Option<(f64, f64)>,
    seen: bool,
    method: &'s str,
    words: String,
}

#[derive(Serialize)]
struct Check<'s> {
    #[serde(rename = "check")]
    name: &'s str,
    expect: &'s str,
    truth: &'static str,
    asked: u64,
    held: u64,
    worst: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<f64>,
}

#[derive(Serialize)]
struct InjectionSummary<'s> {
    id: &'s str,
    fault: &'s str,
    target: &'s str,
    stage: Option<&'s str>,
    /// Whether it joined others of its fault in the middle.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    joined: bool,
    start: Option<f64>,
    end: Option<f64>,
    /// Whether an effect was seen, until its target was gone where that is so.
    effect_seen: bool,
    /// After how many seconds its target was gone, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_after: Option<f64>,
    evidence: &'s [Evidence],
    failure: Option<&'s str>,
    put_back: bool,
    /// Whether it ended something that no undo brings back; `put_back` is false then, and of one that should have and never
    /// showed it.
    for_good: bool,
    looked_at: Vec<&'s str>,
    residue: &'s [String],
}

#[derive(Serialize)]
struct GuardSummary<'s> {
    ticks: u64,
    slowest_seconds: f64,
    conditions: Vec<Guarded<'s>>,
}

#[derive(Serialize)]
struct Guarded<'s> {
    condition: &'s str,
    truth: &'static str,
}

#[derive(Serialize)]
struct AbortSummary<'s> {
    cause: AbortCause,
    reason: &'s str,
    elapsed: f64,
}

/// The report of one run as an object, of several as a list of them; indented, with a newline at the end.
pub fn objects(stories: &[Story]) -> String {
    let summaries: Vec<Summary> = stories.iter().map(summary).collect();
    let written = match summaries.as_slice() {
        [one] => serde_json::to_string_pretty(one),
        several => serde_json::to_string_pretty(several),
    };
    // Maps of texts and numbers cannot fail to be written.
    let mut text = written.unwrap_or_default();
    text.push('\n');
    text
}

fn summary(story: &Story) -> Summary<'_> {
    let header = &story.header;
    let ending = story.ending.as_ref();
    let residue = story.residue();
    let not_put_back: Vec<&str> = story.never_put_back().iter().map(|known| known.id.as_str()).collect();
    Summary {
        run: &header.run,
        experiment: &header.experiment,
        hypothesis: &header.hypothesis,
        tags: &header.tags,
        file: &header.file,
        seed: header.seed,
        host: &header.host,
        squall: &header.squall,
        services: &header.services,
        started: header.started,
        seconds: story.seconds(),
        verdict: story.verdict(),
        exit_code: ending.map(|ending| ending.exit_code),
        reasons: ending.map(|ending| ending.reasons.as_slice()).unwrap_or_default(),
        comparisons: comparisons(story),
        checks: checks(story),
        injections: story.injections.iter().map(|injection| of_injection(story, injection)).collect(),
        guard: guard(story),
        abort: story.abort.as_ref().map(|abort| AbortSummary {
            cause: abort.cause,
            reason: &abort.reason,
            elapsed: abort.elapsed,
        }),
        recovery_seconds: story.recovery.and_then(|recovery| recovery.seconds),
        recovery_within: story.recovery.map(|recovery| recovery.within),
        restored: residue.is_empty() && not_put_back.is_empty(),
        residue,
        not_put_back,
        notes: story.notes.iter().chain(&story.failures).map(String::as_str).collect(),
    }
}

fn comparisons(story: &Story) -> Vec<Comparison<'_>> {
    let compared = story.comparisons.iter().map(|comparison| Comparison {
        metric: &comparison.metric,
        baseline: comparison.baseline,
        during: comparison.during,
        difference: comparison.difference,
        interval: comparison.interval,
        seen: comparison.seen,
        method: &comparison.method,
        words: change::describe(comparison),
    });
    compared.collect()
}

fn checks(story: &Story) -> Vec<Check<'_>> {
    let judged = story.checks.iter().map(|result| Check {
        name: &result.check,
        expect: &result.expect,
        truth: truth(&result.truth),
        asked: result.asked,
        held: result.held,
        worst: &result.worst,
        within: result.within,
        after: result.after,
    });
    judged.collect()
}

fn of_injection<'s>(story: &Story, injection: &'s Injection) -> InjectionSummary<'s> {
    let window = story.window(injection);
    let done = injection.put_back.as_ref();
    InjectionSummary {
        id: &injection.id,
        fault: &injection.fault,
        target: &injection.target,
        stage: injection.stage.as_deref(),
        joined: injection.joined,
        start: window.map(|(start, _)| start),
        end: window.map(|(_, end)| end),
        effect_seen: injection.effect_seen(),
        evidence: &injection.evidence,
        failure: injection.failure.as_deref(),
        put_back: !injection.is_for_good()
            && done.is_some_and(|done| words::put_back_tone(done) == words::Tone::Good),
        gone_after: injection.gone_after(),
        for_good: injection.has_ended_something(),
        looked_at: done
            .map(|done| done.restored.steps.iter().map(Reverted::looked_at).collect())
            .unwrap_or_default(),
        residue: done.map(|done| done.residue.as_slice()).unwrap_or_default(),
    }
}

fn guard(story: &Story) -> Option<GuardSummary<'_>> {
    let guard = story.guard.as_ref()?;
    let conditions = guard
        .conditions
        .iter()
        .map(|(condition, known)| Guarded { condition, truth: truth(known) })
        .collect();
    Some(GuardSummary { ticks: guard.ticks, slowest_seconds: guard.slowest, conditions })
}

fn truth(truth: &Truth) -> &'static str {
    match truth {
        Truth::Holds => "holds",
        Truth::Fails => "fails",
        Truth::Unknown { .. } => "unknown",
    }
}
