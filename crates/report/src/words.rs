//! The words that all reports share: verdicts, phases, causes, and the sentences about guard, recovery and undo.

use crate::story::{Injection, PutBack, Story, Tally};
use squall_model::condition::{Bound, Comparison, Truth};
use squall_model::event::{AbortCause, CheckResult, Event, Phase};
use squall_model::past;
use squall_model::quantity::{count, span};
use squall_model::undo::Reverted;
use squall_model::value::Value;
use squall_model::verdict::Verdict;

/// How something fared, for its colour and sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// No answer was found, or the run was ended.
    Warning,
    /// Neither.
    Neutral,
}

impl Tone {
    /// A sign that stands for it where there is no colour.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Bad => "✗",
            Self::Warning => "!",
            Self::Neutral => "·",
        }
    }

    /// Good or bad.
    pub fn of(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }

    /// Of a truth.
    pub fn of_truth(truth: &Truth) -> Self {
        match truth {
            Truth::Holds => Self::Good,
            Truth::Fails => Self::Bad,
            Truth::Unknown { .. } => Self::Warning,
        }
    }
}

/// What the method asked, or left out as the answers are, in a sentence.
pub fn choice(event: &Event) -> Option<String> {
    match event {
        Event::Answered { name, probe, error: Some(error), .. } => {
            Some(format!("`{name}` ({probe}) was not answered: {error}"))
        }
        Event::Answered { name, probe, reading, .. } => {
            let shown = reading.iter().map(|(value, read)| match read {
                Value::Number(number) => format!("{value} = {number}"),
                Value::Text(text) => format!("{value} = {text:?}"),
                Value::Bool(read) => format!("{value} = {read}"),
            });
            Some(format!("`{name}` ({probe}) was answered: {}", shown.collect::<Vec<_>>().join(", ")))
        }
        Event::Skipped { what, when, found, .. } => {
            Some(format!("{what} was left out: {found}, and it is for when {when}"))
        }
        _ => None,
    }
}

/// The verdict in a word or two: `Passed`, `Not steady`, `Unfinished`.
pub fn verdict_word(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Passed) => "Passed",
        Some(Verdict::Failed) => "Failed",
        Some(Verdict::Invalid) => "Invalid",
        Some(Verdict::NotSteady) => "Not steady",
        Some(Verdict::Aborted) => "Aborted",
        Some(Verdict::NoEffect) => "No effect",
        Some(Verdict::Residue) => "Residue left",
        None => "Unfinished",
    }
}

/// The colour of a verdict.
pub fn verdict_tone(verdict: Option<Verdict>) -> Tone {
    match verdict {
        Some(Verdict::Passed) => Tone::Good,
        Some(Verdict::Failed | Verdict::Residue) => Tone::Bad,
        Some(Verdict::Invalid | Verdict::NotSteady | Verdict::Aborted | Verdict::NoEffect) => Tone::Warning,
        None => Tone::Neutral,
    }
}

/// What a verdict means, in a sentence.
pub fn verdict_meaning(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Passed) => {
            "The hypothesis held while the fault was truly active, and everything was put back."
        }
        Some(Verdict::Failed) => {
            "The hypothesis did not hold, or the steady state did not return in time; everything was put back."
        }
        Some(Verdict::Invalid) => "The command or a file is wrong; nothing was touched.",
        Some(Verdict::NotSteady) => "The steady state did not hold before; nothing was touched.",
        Some(Verdict::Aborted) => "The run was ended early; everything was put back.",
        Some(Verdict::NoEffect) => {
            "The fault could not be made, showed no effect or was over before its time; everything was put back."
        }
        Some(Verdict::Residue) => "Something could not be put back.",
        None => "The run did not finish: its journal ends without a verdict.",
    }
}

/// What the verdict of a run means, as far as something was judged, and where not all that it did can be put back.
pub fn meaning(story: &Story) -> String {
    let was_struck = story.injections.iter().any(|injection| injection.active.is_some());
    let meaning = match (story.verdict(), story.checks.is_empty(), was_struck) {
        (Some(Verdict::Passed), true, true) => {
            "The fault was truly active, and everything was put back; no hypothesis was judged."
        }
        (Some(Verdict::Passed), true, false) => "No hypothesis was judged, and no fault was made.",
        (Some(Verdict::Passed), false, false) => "The hypothesis held; no fault was made.",
        (verdict, ..) => verdict_meaning(verdict),
    };
    if story.ended_for_good() == 0 {
        return meaning.to_owned();
    }
    meaning.replace("everything was put back", "what can be put back was, and nothing of Squall's is left")
}

/// The one sentence that says why.
pub fn reason(story: &Story) -> &str {
    let first = story.ending.as_ref().and_then(|ending| ending.reasons.first());
    first.map_or_else(|| verdict_meaning(story.verdict()), String::as_str)
}

/// Reasons beyond the first.
pub fn further_reasons(story: &Story) -> &[String] {
    story.ending.as_ref().and_then(|ending| ending.reasons.get(1..)).unwrap_or_default()
}

/// A part of the run, as people call it.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Plan => "Plan",
        Phase::SteadyState => "Steady state",
        Phase::Baseline => "Baseline",
        Phase::Fault => "Fault",
        Phase::Undo => "Undo",
        Phase::Recovery => "Recovery",
        Phase::Analysis => "Analysis",
    }
}

/// What ended a run early, as people call it.
pub fn cause(cause: AbortCause) -> &'static str {
    match cause {
        AbortCause::Guard => "the guard",
        AbortCause::Unreadable => "something that could not be read",
        AbortCause::Halt => "squall halt",
        AbortCause::Signal => "a signal",
        AbortCause::LostAgent => "a lost agent",
        AbortCause::LeaseExpired => "an expired lease",
        AbortCause::BlastRadius => "the blast radius",
        AbortCause::Journal => "a journal that could not be written",
        AbortCause::Killed => "the end of squall's own process",
    }
}

/// A comparison as it is written.
pub fn comparison(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "<",
        Comparison::LessOrEqual => "≤",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => "≥",
        Comparison::Equal => "=",
        Comparison::NotEqual => "≠",
        Comparison::Matches => "=~",
    }
}

/// A threshold without its name: `< 500 ms`.
pub fn bound(bound: &Bound) -> String {
    format!(
        "{} {}",
        comparison(bound.comparison),
        squall_model::quantity::Unit::of(&bound.name).show(bound.value)
    )
}

/// Whether a condition held, in a word.
pub fn truth(truth: &Truth) -> &'static str {
    match truth {
        Truth::Holds => "holds",
        Truth::Fails => "does not hold",
        Truth::Unknown { .. } => "unknown",
    }
}

/// A check with its condition; the condition alone where the check has no other name.
pub fn check(name: &str, expect: &str) -> String {
    if name.is_empty() || name == expect { expect.to_owned() } else { format!("{name}: {expect}") }
}

/// How a check fared over time: `held 27 of 30, worst 41.2 %`.
pub fn held(result: &CheckResult) -> String {
    let allowed = |within: f64| format!(", allowed: {}", span(within));
    match (result.after, result.within) {
        (Some(after), within) => {
            format!(
                "held from {} after the fault began{}",
                span(after),
                within.map(allowed).unwrap_or_default()
            )
        }
        (None, Some(within)) if !result.truth.holds() => {
            format!("{}{}", with_worst(result.held, result.asked, &result.worst), allowed(within))
        }
        _ => with_worst(result.held, result.asked, &result.worst),
    }
}

/// How a check fared in one part of the run.
pub fn tallied(tally: &Tally) -> String {
    with_worst(tally.held, tally.asked, &tally.worst())
}

fn with_worst(held: u64, asked: u64, worst: &str) -> String {
    let (held, joint) = match (held, asked) {
        (_, 0) => ("never judged".to_owned(), ": "),
        (1, 1) => ("held".to_owned(), ", "),
        (0, 1) => ("did not hold".to_owned(), ": "),
        (held, asked) => (format!("held {} of {} times", count(held), count(asked)), ", worst: "),
    };
    if worst.is_empty() { held } else { format!("{held}{joint}{worst}") }
}

/// Whether and when the steady state came back.
pub fn recovery(story: &Story) -> Option<(Tone, String)> {
    let recovery = story.recovery?;
    let within = span(recovery.within);
    Some(match recovery.seconds {
        Some(seconds) => {
            (Tone::Good, format!("steady state back after {} (allowed: {within})", span(seconds)))
        }
        None => (Tone::Bad, format!("the steady state did not come back within {within}")),
    })
}

/// What is said of an injection that ended something, once it is over.
pub const FOR_GOOD: &str = "cannot be put back: what was ended stays ended; nothing of Squall's is left";

/// What is said of an injection that should have ended something and never showed that it did.
pub const ENDED_NOTHING: &str = "ended nothing, as far as was seen; nothing of Squall's is left";

/// What is said of an injection that leaves nothing to put back.
pub fn for_good(injection: &Injection) -> &'static str {
    if injection.has_ended_something() { FOR_GOOD } else { ENDED_NOTHING }
}

/// How many injections ended something for good, and how many should have; empty where there are none.
pub fn ended_for_good(story: &Story) -> String {
    let told = |count: usize, words: &str| match count {
        0 => None,
        1 => Some(format!("1 injection {words}")),
        count => Some(format!("{count} injections {words}")),
    };
    let all = [told(story.ended_for_good(), FOR_GOOD), told(story.ended_nothing(), ENDED_NOTHING)];
    all.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What was put back, counted: `2 of 2 injections put back, each looked at again`, and what cannot be.
pub fn put_back(story: &Story) -> (Tone, String) {
    let (mut all, mut clean) = (0, 0);
    for (_, done) in story.put_backs_that_can_be() {
        all += 1;
        clean += usize::from(done.residue.is_empty());
    }
    let for_good = ended_for_good(story);
    let is_owed = all + story.never_put_back().len() > 0;
    match (is_owed, for_good.is_empty()) {
        (_, true) => counted(story, all, clean),
        (false, false) => (Tone::Good, for_good),
        (true, false) => {
            let (tone, words) = counted(story, all, clean);
            (tone, format!("{words}; {for_good}"))
        }
    }
}

/// The same of those that can be put back.
fn counted(story: &Story, all: usize, clean: usize) -> (Tone, String) {
    let missing = story.never_put_back().len();
    let things = if all + missing == 1 { "injection" } else { "injections" };
    match (all + missing, clean) {
        (0, _) if story.ending.is_none() => {
            (Tone::Warning, "not known: the journal ends before the run did".to_owned())
        }
        (0, _) if story.put_backs().next().is_some() => {
            (Tone::Good, "no injection was made; it was looked, and nothing is left".to_owned())
        }
        (0, _) => (Tone::Neutral, "nothing was touched".to_owned()),
        (total, clean) if total == clean => {
            (Tone::Good, format!("{clean} of {total} {things} put back, and looked at again"))
        }
        (total, clean) if missing > 0 => {
            let rest = "the journal does not tell of the rest: run `squall recover`, then `squall leftovers`";
            (Tone::Bad, format!("{clean} of {total} {things} put back; {rest}"))
        }
        (total, clean) => (Tone::Bad, format!("{clean} of {total} {things} put back; residue is left")),
    }
}

/// How one injection was put back.
pub fn put_back_tone(done: &PutBack) -> Tone {
    Tone::of(done.residue.is_empty())
}

/// How the undo of a step begins that leaves nothing to undo.
const NOTHING: &str = "nothing: ";

/// What was looked at after a step of an undo.
pub fn looked_at_in(step: &Reverted) -> &str {
    let looked_at = step.looked_at();
    looked_at.strip_prefix(NOTHING).unwrap_or(looked_at)
}

/// The steps of an undo that are told: that nothing brings back what was ended is untrue where nothing was.
pub fn told_steps<'s>(injection: &Injection, done: &'s PutBack) -> Vec<&'s Reverted> {
    let is_untrue = injection.is_for_good() && !injection.has_ended_something();
    let steps = done.restored.steps.iter();
    steps.filter(|step| !(is_untrue && matches!(step, Reverted::AlreadyGone { .. }))).collect()
}

/// One step of an undo: what came of it, and what was looked at.
pub fn reverted(step: &Reverted) -> (Tone, String) {
    match step {
        // What cannot be taken back says so itself.
        Reverted::AlreadyGone { looked_at } if looked_at.starts_with(NOTHING) => {
            (Tone::Good, looked_at_in(step).to_owned())
        }
        Reverted::Undone { looked_at } => (Tone::Good, format!("put back; looked at {looked_at}")),
        Reverted::AlreadyGone { looked_at } => (Tone::Good, format!("already gone; looked at {looked_at}")),
        Reverted::LetStand { looked_at } => (Tone::Warning, looked_at.clone()),
        Reverted::Drifted(difference) => (
            Tone::Bad,
            format!(
                "{}: was {}, is {}; {}",
                difference.looked_at, difference.before, difference.now, difference.remedy
            ),
        ),
    }
}

/// Whether an injection shows that it works, and how.
pub fn evidence(injection: &Injection) -> (Tone, String) {
    let line = injection.evidence_line();
    match (&injection.failure, injection.active) {
        (Some(failure), _) if injection.joined => (Tone::Warning, format!("could not join: {failure}")),
        (Some(failure), _) => (Tone::Bad, format!("could not be made: {failure}")),
        (None, None) => (Tone::Neutral, "never made".to_owned()),
        (None, Some(_)) if line.is_empty() => (Tone::Warning, "no evidence was given".to_owned()),
        (None, Some(_)) => match (injection.gone_after(), &injection.shown) {
            (Some(after), Some(shown)) => (
                Tone::Neutral,
                format!("struck, until its target was gone after {}; before that: {shown}", span(after)),
            ),
            (Some(after), None) => (
                Tone::Warning,
                format!("no effect seen until its target was gone after {}: {line}", span(after)),
            ),
            (None, _) if injection.effect_seen() => (Tone::Good, line),
            (None, Some(shown)) if injection.is_lost() => (
                Tone::Warning,
                format!("struck, until somebody else took it back: {line}; before that: {shown}"),
            ),
            (None, _) => (Tone::Warning, format!("no effect seen: {line}")),
        },
    }
}

/// What the guard's last word is called: where no guard looked, the run may still have been ended.
pub fn guard_title(story: &Story) -> &'static str {
    let is_guarded = story.guard.as_ref().is_some_and(|guard| !guard.conditions.is_empty());
    match &story.abort {
        Some(abort) if abort.cause != AbortCause::Guard && !is_guarded => "Ended",
        _ => "Guard",
    }
}

/// The guard's last word in one line.
pub fn guard(story: &Story) -> Option<(Tone, String)> {
    if let Some(abort) = &story.abort {
        return Some((Tone::Bad, format!("ended by {}: {}", cause(abort.cause), abort.reason)));
    }
    let guard = story.guard.as_ref()?;
    let slowest = if guard.slowest > 0.0 {
        format!(", the slowest look took {}", span(guard.slowest))
    } else {
        String::new()
    };
    let looks = if guard.ticks == 1 { "once".to_owned() } else { format!("{} times", count(guard.ticks)) };
    Some((Tone::Good, format!("looked {looks} and had no reason to end the run{slowest}")))
}

/// The command that repeats the run.
pub fn reproduce(story: &Story) -> String {
    let header = &story.header;
    let command = past::command(&header.file, &header.options);
    if past::is_whole_command(&header.options) {
        command
    } else {
        format!("{command} --seed {}", header.seed)
    }
}

/// A moment as people read it, in UTC.
pub fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_repeated_with_its_options() {
        let mut story = Story::default();
        story.header.file = "my shop.yaml".to_owned();
        story.header.options = ["--var", "name=two words", "--sudo"].map(str::to_owned).to_vec();
        story.header.seed = 7;
        assert_eq!(reproduce(&story), "squall run 'my shop.yaml' --var 'name=two words' --sudo --seed 7");
        story.header.options = ["demo", "--fixed"].map(str::to_owned).to_vec();
        assert_eq!(reproduce(&story), "squall demo --fixed");
    }

    #[test]
    fn a_check_is_not_named_twice() {
        assert_eq!(check("error_rate < 1%", "error_rate < 1%"), "error_rate < 1%");
        assert_eq!(check("http /health", "status == 200"), "http /health: status == 200");
    }
}
