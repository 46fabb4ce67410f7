//! The view of a run as it happens, drawn as lines of styled text: phase, metrics against thresholds, active faults,
//! guard. Whoever owns the terminal puts the lines on it.

use crate::paint::{Line, Span, Style, cut, width as width_of};
use crate::story::{Injection, PhaseSpan, Series, Story, Tally};
use crate::text::{course, faulty_stretches};
use crate::words::{self, Tone};
use squall_model::condition::{Bound, Comparison};
use squall_model::event::{Entry, Phase};
use squall_model::quantity::{clock, count, short_name};

/// Below this width nothing useful can be told apart.
const NARROWEST: usize = 40;
/// Columns of a metric's name.
const NAME: usize = 14;
/// Columns of a metric's value.
const VALUE: usize = 9;
/// At most this many columns of a course.
const WIDEST_COURSE: usize = 48;
/// Columns of a metric's thresholds.
const THRESHOLDS: usize = 24;
/// What the user most needs to know.
const HINT: &str = "Ctrl-C stops and puts everything back";

/// A run as it happens.
#[derive(Debug, Clone, Default)]
pub struct Live {
    story: Story,
    now: f64,
}

impl Live {
    /// Takes in one more event.
    pub fn on(&mut self, entry: &Entry) {
        self.story.on(entry);
        self.tick(entry.elapsed);
    }

    /// Tells the time, in seconds since the run started.
    pub fn tick(&mut self, elapsed: f64) {
        if elapsed.is_finite() {
            self.now = self.now.max(elapsed);
        }
    }

    /// What is known so far.
    pub fn story(&self) -> &Story {
        &self.story
    }
}

/// The view in at most `height` lines of at most `width` columns. It takes as many lines as it has something to say,
/// so that an inline view need not be larger.
pub fn draw(live: &Live, width: usize, height: usize) -> Vec<Line> {
    let width = width.max(NARROWEST);
    let top = [title(live, width), progress(live, width), so_far(live)];
    let bottom = [guard(live), Line::new().with(Style::Dim, HINT)];
    let room = height.saturating_sub(top.len() + bottom.len());
    let faults = faults(live, room.div_ceil(3));
    let metrics = metrics(live, width, room.saturating_sub(faults.len()));
    let airy = room >= faults.len() + metrics.len() + 3;
    let gap = || airy.then(Line::new);
    let below = gap().filter(|_| !metrics.is_empty());
    let middle = gap().into_iter().chain(metrics).chain(below).chain(faults).chain(gap());
    top.into_iter().chain(middle).chain(bottom).take(height).map(|line| line.cut(width)).collect()
}

fn title(live: &Live, width: usize) -> Line {
    let time = clock(live.now);
    let name = cut(&live.story.header.experiment, width.saturating_sub(time.len() + 2));
    Line::new().with(Style::Strong, name).to_column(width - time.len()).with(Style::Dim, time)
}

/// The part of the run, how much of it is over, and what is left.
fn progress(live: &Live, width: usize) -> Line {
    let Some(part) = live.story.phases.last() else { return Line::new().with(Style::Dim, "starting") };
    let style = if part.phase == Phase::Fault { Style::Fault } else { Style::Accent };
    let line = Line::new().with(style, words::phase(part.phase)).to_column(NAME);
    let spent = (live.now - part.start).max(0.0);
    let Some(whole) = length(&live.story, *part).filter(|whole| *whole > 0.0) else {
        return line.with(Style::Dim, clock(spent));
    };
    let limit = if part.phase == Phase::Recovery { "at most " } else { "" };
    let left = format!("{} of {limit}{}", clock(spent), clock(whole));
    let bar = width.saturating_sub(NAME + 2 + left.len()).clamp(8, 40);
    let done = ((spent / whole).min(1.0) * bar as f64).round() as usize;
    line.with(style, "█".repeat(done)).with(Style::Dim, "░".repeat(bar - done)).plain("  ").plain(left)
}

/// How long a part of the run lasts at most, in seconds, where that is known.
fn length(story: &Story, part: PhaseSpan) -> Option<f64> {
    match part.phase {
        Phase::Baseline => Some(story.header.baseline_seconds),
        Phase::Fault => Some(story.header.method_seconds),
        Phase::Recovery => Some(story.header.recovery_seconds),
        _ => None,
    }
}

/// How the run stands: what went wrong first, what is being done otherwise.
fn so_far(live: &Live) -> Line {
    let (tone, words) = standing(&live.story);
    Line::new().with(tone.into(), tone.sign()).plain(" ").with(tone.into(), words)
}

fn standing(story: &Story) -> (Tone, String) {
    if let Some(ending) = &story.ending {
        let verdict = Some(ending.verdict);
        return (
            words::verdict_tone(verdict),
            format!("{}: {}", words::verdict_word(verdict), words::reason(story)),
        );
    }
    if let Some(residue) = story.residue().first() {
        return (Tone::Bad, format!("residue: {residue}"));
    }
    if let Some(abort) = &story.abort {
        return (Tone::Bad, format!("ended by {}: {}", words::cause(abort.cause), abort.reason));
    }
    let missed: Vec<&Tally> = story
        .tallies
        .iter()
        .filter(|tally| tally.phase == Phase::Fault && tally.held < tally.asked)
        .collect();
    if let [first, rest @ ..] = &missed[..] {
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        let check = words::check(&first.check, &first.expect);
        let held = format!("held {} of {} times", count(first.held), count(first.asked));
        return (Tone::Bad, format!("{check}: {held}{more}"));
    }
    let phase = story.phases.last().map(|part| part.phase);
    let answers: u64 =
        story.tallies.iter().filter(|tally| Some(tally.phase) == phase).map(|tally| tally.asked).sum();
    match phase {
        Some(Phase::Fault) if answers > 0 => {
            (Tone::Good, format!("every check holds so far ({} answers)", count(answers)))
        }
        Some(Phase::SteadyState) => (Tone::Neutral, "checking the steady state".to_owned()),
        Some(Phase::Baseline) => (Tone::Neutral, "measuring what is normal".to_owned()),
        Some(Phase::Fault) => (Tone::Neutral, "nothing was asked yet".to_owned()),
        Some(Phase::Undo) => (Tone::Neutral, "putting everything back".to_owned()),
        Some(Phase::Recovery) => (Tone::Neutral, "waiting for the steady state to come back".to_owned()),
        Some(Phase::Analysis) => (Tone::Neutral, "comparing with the baseline".to_owned()),
        Some(Phase::Plan) | None => (Tone::Neutral, "looking at the targets".to_owned()),
    }
}

/// The most telling metrics, and under them a rule where a fault was active.
fn metrics(live: &Live, width: usize, room: usize) -> Vec<Line> {
    let story = &live.story;
    let columns = width.saturating_sub(NAME + VALUE + THRESHOLDS + 3).clamp(8, WIDEST_COURSE);
    let range = (0.0, stretch(live.now, columns));
    let shown = story.series.iter().filter(|series| series.is_telling()).take(room.saturating_sub(1));
    let mut lines: Vec<Line> = shown.map(|series| metric(series, story, range, columns)).collect();
    if !lines.is_empty() && !story.fault_windows().is_empty() {
        let rule = faulty_stretches(story, range, columns);
        let rule: String = rule.into_iter().map(|faulty| if faulty { '━' } else { ' ' }).collect();
        lines.push(
            Line::new().with(Style::Dim, "fault active").to_column(NAME + VALUE + 2).with(Style::Fault, rule),
        );
    }
    lines
}

/// The end of the time that a course spans: whole seconds a column, so that it does not flicker as time goes on.
pub(crate) fn stretch(now: f64, columns: usize) -> f64 {
    let columns = columns as f64;
    (now / columns).floor().mul_add(columns, columns)
}

pub(crate) fn metric(series: &Series, story: &Story, range: (f64, f64), columns: usize) -> Line {
    let unit = series.unit();
    let value = series.last();
    let shown = value.map_or_else(|| "unread".to_owned(), |value| unit.show(value));
    let broken = |bound: &Bound, ends_run: bool| value.is_some_and(|value| holds(bound, value) == ends_run);
    let worrying = series.objectives.iter().any(|bound| broken(bound, false));
    let style = match value {
        None => Style::Warning,
        Some(_) if worrying => Style::Bad,
        Some(_) => Style::Strong,
    };
    let mut line = Line::new()
        .with(Style::Dim, cut(&short_name(&series.name), NAME - 1))
        .to_column(NAME + VALUE - width_of(&shown).min(VALUE))
        .with(style, &shown)
        .plain("  ");
    line.0
        .extend(course(series, story, range, columns).into_iter().map(|(style, text)| Span { style, text }));
    line = line.to_column(NAME + VALUE + 2 + columns + 1);
    for bound in &series.objectives {
        let style = if broken(bound, false) { Style::Bad } else { Style::Good };
        line = line.with(style, words::bound(bound)).plain("  ");
    }
    for bound in &series.limits {
        let style = if broken(bound, true) { Style::Bad } else { Style::Dim };
        line = line.with(style, format!("guard {}", words::bound(bound))).plain(" ");
    }
    line
}

fn holds(bound: &Bound, value: f64) -> bool {
    match bound.comparison {
        Comparison::Less => value < bound.value,
        Comparison::LessOrEqual => value <= bound.value,
        Comparison::Greater => value > bound.value,
        Comparison::GreaterOrEqual => value >= bound.value,
        // A threshold is none of these.
        Comparison::Equal | Comparison::NotEqual | Comparison::Matches => true,
    }
}

/// What is active now, with its evidence; what became of it otherwise.
fn faults(live: &Live, room: usize) -> Vec<Line> {
    let story = &live.story;
    let active: Vec<&Injection> = story.live().collect();
    if active.is_empty() {
        return vec![idle(story)];
    }
    let shown = if active.len() > room.max(1) { room.max(2) - 1 } else { active.len() };
    let mut lines: Vec<Line> = active[..shown].iter().map(|injection| fault(injection)).collect();
    if shown < active.len() {
        lines.push(Line::new().with(Style::Dim, format!("and {} more faults active", active.len() - shown)));
    }
    lines
}

fn fault(injection: &Injection) -> Line {
    let stage = injection.aside().map_or(String::new(), |stage| format!(" ({stage})"));
    let line = Line::new().with(Style::Fault, injection.name() + &stage).plain("  ");
    let evidence = injection.evidence_line();
    match (evidence.is_empty(), injection.effect_seen()) {
        (true, _) => line.with(Style::Dim, "no evidence yet"),
        (false, true) => line.plain(evidence),
        (false, false) => line.with(Style::Warning, evidence),
    }
}

fn idle(story: &Story) -> Line {
    if story.put_backs().next().is_none() {
        return Line::new().with(Style::Dim, "no fault is active");
    }
    let (tone, words) = words::put_back(story);
    Line::new().with(tone.into(), words)
}

fn guard(live: &Live) -> Line {
    let line = Line::new().with(Style::Dim, "guard").to_column(NAME);
    let Some(guard) = &live.story.guard else { return line.with(Style::Dim, "not started") };
    let held: Vec<String> = guard
        .conditions
        .iter()
        .filter(|(_, truth)| Tone::of_truth(truth) != Tone::Bad)
        .map(|(condition, truth)| format!("{condition} {}", words::truth(truth)))
        .collect();
    let conditions = if guard.conditions.len() == 1 { "condition" } else { "conditions" };
    let looked = format!("{} looks, last told {} ago", count(guard.ticks), clock(live.now - guard.elapsed));
    if held.is_empty() {
        let watched = guard.conditions.len();
        line.with(Style::Good, format!("watching {watched} {conditions}"))
            .with(Style::Dim, format!("  {looked}"))
    } else {
        line.with(Style::Bad, held.join("; ")).with(Style::Dim, format!("  {looked}"))
    }
}
