//! The report as `JUnit` XML, which every CI system reads: one suite a run, one case for each thing that can go wrong.
//!
//! A *failure* means that the system did not do what the experiment expects of it; an *error* means that the
//! experiment could not find out, or that Squall could not put everything back.

use crate::change;
use crate::paint::Colour;
use crate::story::{Injection, Story};
use crate::words::{self, Tone};
use chrono::{DateTime, FixedOffset};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use squall_model::condition::Truth;
use squall_model::event::{AbortCause, Phase};
use squall_model::verdict::Verdict;
use std::time::Duration;

/// The report of several runs.
pub fn suite(stories: &[Story]) -> String {
    let mut report = Report::new("squall");
    report.set_time(stories.iter().map(|story| seconds(story.seconds())).sum::<Duration>());
    report.add_test_suites(stories.iter().map(of_run));
    // The XML is built in memory of valid characters only; there is nothing that could fail.
    report.to_string().unwrap_or_default()
}

fn of_run(story: &Story) -> TestSuite {
    let name =
        if story.header.experiment.is_empty() { "unknown experiment" } else { &story.header.experiment };
    let mut suite = TestSuite::new(name);
    suite.set_time(seconds(story.seconds()));
    if let Some(started) = started(story) {
        suite.set_timestamp(started);
    }
    for (name, value) in properties(story) {
        suite.add_property((name, value.as_str()));
    }
    let mut cases = vec![steady_state(story)];
    cases.extend(hypothesis(story));
    cases.extend(story.injections.iter().map(|injection| evidence(story, injection)));
    cases.push(guard(story));
    cases.push(recovery(story));
    cases.extend(story.injections.iter().filter_map(|injection| put_back(story, injection)));
    cases.push(whole(story));
    for mut case in cases {
        case.set_classname(name);
        suite.add_test_case(case);
    }
    suite.set_system_out(crate::text::summary(story, Colour::Off));
    suite
}

fn properties(story: &Story) -> Vec<(&'static str, String)> {
    let header = &story.header;
    let verdict = story.verdict().map_or("unfinished", Verdict::name);
    let mut properties = vec![
        ("run", header.run.clone()),
        ("seed", header.seed.to_string()),
        ("verdict", verdict.to_owned()),
        ("file", header.file.clone()),
        ("host", header.host.clone()),
        ("squall", header.squall.clone()),
    ];
    let compared = story.comparisons.iter().filter(|comparison| comparison.interval.is_some());
    properties.extend(compared.map(|comparison| ("change", change::describe(comparison))));
    properties
}

/// When the run started, as the format's library takes it; none where nobody knows. Only a suite may say it: the schemas of
/// those who read this have no such attribute elsewhere.
fn started(story: &Story) -> Option<DateTime<FixedOffset>> {
    Some(DateTime::from_timestamp_millis(story.header.started?.as_millisecond())?.fixed_offset())
}

/// The case with the time that it is about, in seconds since the run started; as it is where that is not known.
fn over(span: Option<(f64, f64)>, mut case: TestCase) -> TestCase {
    if let Some((start, end)) = span {
        case.set_time(seconds(end - start));
    }
    case
}

/// When a part of the run began and ended.
fn part(story: &Story, phase: Phase) -> Option<(f64, f64)> {
    let part = story.phases.iter().find(|part| part.phase == phase)?;
    Some((part.start, part.end))
}

fn passed(name: impl Into<String>) -> TestCase {
    TestCase::new(name.into(), TestCaseStatus::success())
}

fn skipped(name: impl Into<String>, why: &str) -> TestCase {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    TestCase::new(name.into(), status)
}

fn not_passed(
    name: impl Into<String>,
    kind: NonSuccessKind,
    class: &str,
    message: impl Into<String>,
) -> TestCase {
    let mut status = TestCaseStatus::non_success(kind);
    let message = message.into();
    status.set_type(class).set_message(message.clone()).set_description(message);
    TestCase::new(name.into(), status)
}

fn failure(name: impl Into<String>, class: &str, message: impl Into<String>) -> TestCase {
    not_passed(name, NonSuccessKind::Failure, class, message)
}

fn error(name: impl Into<String>, class: &str, message: impl Into<String>) -> TestCase {
    not_passed(name, NonSuccessKind::Error, class, message)
}

fn steady_state(story: &Story) -> TestCase {
    const NAME: &str = "steady state before";
    let span = part(story, Phase::SteadyState);
    if story.verdict() == Some(Verdict::NotSteady) {
        return over(span, error(NAME, "not_steady", words::reason(story)));
    }
    let asked = story.tallies.iter().any(|tally| tally.phase == Phase::SteadyState);
    if asked { over(span, passed(NAME)) } else { skipped(NAME, "nothing was asked") }
}

fn hypothesis(story: &Story) -> Vec<TestCase> {
    if story.checks.is_empty() {
        return vec![skipped("hypothesis", "not judged: the run ended before")];
    }
    let span = part(story, Phase::Fault);
    let judged = story.checks.iter().map(|result| {
        let name = format!("hypothesis: {}", words::check(&result.check, &result.expect));
        over(
            span,
            match &result.truth {
                Truth::Holds => passed(name),
                Truth::Fails => failure(name, "did_not_hold", words::held(result)),
                Truth::Unknown { .. } => error(name, "unknown", words::held(result)),
            },
        )
    });
    judged.collect()
}

fn evidence(story: &Story, injection: &Injection) -> TestCase {
    let name = format!("evidence: {}", called(injection));
    let (tone, words) = words::evidence(injection);
    let case = match tone {
        Tone::Good => passed(name),
        Tone::Neutral => skipped(name, &words),
        // The verdict knows whether anything follows from that: a target that is followed may be gone, or have come late.
        Tone::Warning if story.verdict() == Some(Verdict::Passed) => skipped(name, &words),
        Tone::Bad => error(name, "not_made", words),
        Tone::Warning => error(name, "no_effect", words),
    };
    over(story.window(injection), case)
}

/// Several injections may have the same fault and target; each is a case of its own.
fn called(injection: &Injection) -> String {
    format!("{} [{}]", injection.name(), injection.id)
}

fn guard(story: &Story) -> TestCase {
    const NAME: &str = "guard";
    // It looks from the baseline on, until it ends the run or the undo begins.
    let begun = part(story, Phase::Baseline).or_else(|| part(story, Phase::Fault)).map(|(start, _)| start);
    let ended = story.abort.as_ref().map(|abort| abort.elapsed);
    let ended = ended.or_else(|| part(story, Phase::Undo).map(|(start, _)| start)).unwrap_or(story.elapsed);
    let span = begun.map(|begun| (begun, ended.max(begun)));
    over(
        span,
        match (&story.abort, &story.guard) {
            (Some(abort), _) if abort.cause == AbortCause::Guard => {
                failure(NAME, "guard", abort.reason.clone())
            }
            (Some(abort), _) => {
                error(NAME, "aborted", format!("ended by {}: {}", words::cause(abort.cause), abort.reason))
            }
            (None, Some(_)) => passed(NAME),
            (None, None) => return skipped(NAME, "nothing was guarded"),
        },
    )
}

fn recovery(story: &Story) -> TestCase {
    const NAME: &str = "recovery";
    let begun = part(story, Phase::Recovery).map_or(story.elapsed, |(start, _)| start);
    let lasted = |seconds: f64| Some((begun, begun + seconds));
    match (story.recovery, words::recovery(story)) {
        (Some(recovery), Some((Tone::Bad, words))) => {
            over(lasted(recovery.within), failure(NAME, "not_recovered", words))
        }
        (Some(recovery), _) => over(lasted(recovery.seconds.unwrap_or_default()), passed(NAME)),
        (None, _) => skipped(NAME, "the run did not come to it"),
    }
}

fn put_back(story: &Story, injection: &Injection) -> Option<TestCase> {
    let what = if injection.is_for_good() { "nothing left" } else { "put back" };
    let name = format!("{what}: {}", called(injection));
    let Some(done) = &injection.put_back else {
        let owed = injection.active.or(injection.begun).is_some() && injection.failure.is_none();
        return owed.then(|| {
            error(name, "not_told", "the journal ends before it was put back; run `squall recover`")
        });
    };
    let case =
        if done.residue.is_empty() { passed(name) } else { error(name, "residue", done.residue.join("\n")) };
    let told = injection.ended.unwrap_or(story.elapsed);
    Some(over(Some((told - done.seconds, told)), case))
}

/// The run as a whole, so that no verdict but `passed` leaves a suite without a failure or an error.
fn whole(story: &Story) -> TestCase {
    const NAME: &str = "run";
    over(
        Some((0.0, story.seconds())),
        match story.verdict() {
            None => error(NAME, "unfinished", words::reason(story)),
            Some(Verdict::Passed) => passed(NAME),
            Some(Verdict::Failed) => failure(NAME, Verdict::Failed.name(), words::reason(story)),
            Some(verdict) => error(NAME, verdict.name(), words::reason(story)),
        },
    )
}

/// Seconds as a duration; what makes no sense is none.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
