//! The summary that a terminal shows after a run: the verdict, what changed, what was put back.

use crate::change;
use crate::paint::{Colour, Line, Style, cut, spark, wrapped};
use crate::sample;
use crate::story::{Series, Story, rank, wants_less};
use crate::words::{self, Tone};
use squall_model::quantity::{short_name, span};

/// The columns of a terminal that nothing is known of.
const WIDTH: usize = 80;
/// Where the second column begins.
const INDENT: usize = 14;
/// How wide a sparkline is.
const SPARKS: usize = 32;
/// How many metrics are drawn; the report has them all.
const METRICS: usize = 5;

/// The summary of a run, for a terminal of 80 columns.
pub fn summary(story: &Story, colour: Colour) -> String {
    let mut text = String::from("\n");
    for line in lines(story) {
        text.push_str(&line.text(colour));
        text.push('\n');
    }
    text.push('\n');
    text
}

/// The same without colour, for a file.
pub fn plain(story: &Story) -> String {
    summary(story, Colour::Off)
}

fn lines(story: &Story) -> Vec<Line> {
    let mut page = Page::default();
    verdict(&mut page, story);
    metrics(&mut page, story);
    checks(&mut page, story);
    faults(&mut page, story);
    put_back(&mut page, story);
    if let Some((tone, words)) = words::recovery(story) {
        page.signed("Recovery", tone, &words);
    }
    if let Some((tone, words)) = words::guard(story) {
        page.signed(words::guard_title(story), tone, &words);
    }
    for note in story.remarks() {
        page.row("Note", Style::Plain, note);
    }
    page.gap();
    foot(&mut page, story);
    page.lines
}

/// Lines in two columns: a topic, said once, and what is said of it.
#[derive(Default)]
struct Page {
    lines: Vec<Line>,
    topic: &'static str,
}

impl Page {
    fn gap(&mut self) {
        if self.lines.last().is_some_and(|line| line.width() > 0) {
            self.lines.push(Line::new());
        }
        self.topic = "";
    }

    /// The first column of the next line: the topic, where it is new.
    fn lead(&mut self, topic: &'static str) -> Line {
        let shown = if self.topic == topic { "" } else { topic };
        self.topic = topic;
        Line::new().plain("  ").with(Style::Dim, shown).to_column(2 + INDENT)
    }

    fn row(&mut self, topic: &'static str, style: Style, words: &str) {
        for words in wrapped(words, WIDTH - 2 - INDENT) {
            let line = self.lead(topic).with(style, words);
            self.lines.push(line);
        }
    }

    fn signed(&mut self, topic: &'static str, tone: Tone, words: &str) {
        for (index, words) in wrapped(words, WIDTH - 4 - INDENT).into_iter().enumerate() {
            let sign = if index == 0 { tone.sign() } else { " " };
            let line = self.lead(topic).with(tone.into(), sign).plain(" ").plain(words);
            self.lines.push(line);
        }
    }

    fn paragraph(&mut self, style: Style, words: &str) {
        for words in wrapped(words, WIDTH - 4) {
            self.lines.push(Line::new().plain("  ").with(style, words));
        }
    }
}

fn verdict(page: &mut Page, story: &Story) {
    let tone = words::verdict_tone(story.verdict());
    let word = words::verdict_word(story.verdict()).to_uppercase();
    let name = Line::new().plain("  ").with(tone.into(), format!("{} {word}", tone.sign()));
    let column = name.width().max(2 + INDENT - 2) + 2;
    page.lines
        .push(name.to_column(column).with(Style::Strong, cut(&story.header.experiment, WIDTH - column)));
    page.gap();
    if !story.header.hypothesis.is_empty() {
        page.paragraph(Style::Dim, &story.header.hypothesis);
        page.gap();
    }
    page.paragraph(Style::Plain, words::reason(story));
    for further in words::further_reasons(story) {
        page.paragraph(Style::Plain, further);
    }
    page.gap();
}

/// Each metric with its course, its thresholds' crossing and its change.
fn metrics(page: &mut Page, story: &Story) {
    let telling = |series: &&Series| {
        let readable = series.points.iter().any(|point| point.value.is_some());
        let named = series.is_judged();
        let compared = story.change(&series.name).is_some() && rank(&series.name) == 3;
        readable && (named || compared || rank(&series.name) < 3)
    };
    let shown: Vec<&Series> = story.series.iter().filter(telling).take(METRICS).collect();
    let readings = shown.iter().filter_map(|series| series.points.first());
    let begun = readings.map(|point| point.elapsed).fold(story.horizon(), f64::min);
    for series in &shown {
        let label = cut(&short_name(&series.name), INDENT - 1);
        let mut line = Line::new().plain("  ").with(Style::Dim, label).to_column(2 + INDENT);
        for (style, sparks) in course(series, story, (begun, story.horizon()), SPARKS) {
            line = line.with(style, sparks);
        }
        let line = line.plain("  ");
        let Some(change) = story.change(&series.name) else {
            let last = series.last().map_or_else(String::new, |last| series.unit().show(last));
            page.lines.push(line.plain(last));
            continue;
        };
        page.lines.push(line.plain(change::levels(change)));
        if change.interval.is_some() {
            let style = if change.seen { Style::Strong } else { Style::Dim };
            page.lines.push(Line::new().to_column(2 + INDENT).with(style, change::amount(change)));
        }
    }
    if !story.comparisons.is_empty() && story.comparisons.iter().all(|change| change.interval.is_none()) {
        page.lines.push(Line::new().to_column(2 + INDENT).with(Style::Dim, change::NOT_COMPARED));
    }
    if shown.is_empty() {
        for change in &story.comparisons {
            page.row("Under fault", Style::Plain, &change::describe(change));
        }
    }
    page.gap();
}

/// The course of a metric as a line of blocks, in pieces of one style: the time of the fault stands out.
pub(crate) fn course(
    series: &Series,
    story: &Story,
    range: (f64, f64),
    width: usize,
) -> Vec<(Style, String)> {
    let worst = sample::worst(&series.points, range, width, sample::less_is_worse(&series.name));
    // A course far below its objective looks low, not wild.
    let allowed = series.objectives.iter().filter(|bound| wants_less(bound)).map(|bound| bound.value);
    let ceiling = worst.iter().flatten().copied().chain(allowed).fold(0.0_f64, f64::max);
    let floor = worst.iter().flatten().copied().fold(0.0_f64, f64::min);
    let faulty = faulty_stretches(story, range, width);
    let mut pieces: Vec<(Style, String)> = Vec::new();
    for (value, faulty) in worst.into_iter().zip(faulty) {
        let style = if faulty { Style::Fault } else { Style::Accent };
        let sign = value.map_or(' ', |value| spark(value, floor, ceiling));
        match pieces.last_mut().filter(|(known, _)| *known == style) {
            Some((_, sparks)) => sparks.push(sign),
            None => pieces.push((style, sign.to_string())),
        }
    }
    pieces
}

/// In which of `count` stretches of time a fault was active.
pub(crate) fn faulty_stretches(story: &Story, (from, to): (f64, f64), count: usize) -> Vec<bool> {
    let windows = story.fault_windows();
    let step = (to - from) / count.max(1) as f64;
    let touched = |index: usize| {
        let (start, end) = (from + step * index as f64, from + step * (index + 1) as f64);
        windows.iter().any(|window| window.0 < end && window.1 > start)
    };
    (0..count).map(touched).collect()
}

fn checks(page: &mut Page, story: &Story) {
    for result in &story.checks {
        let words = format!("{} — {}", words::check(&result.check, &result.expect), words::held(result));
        page.signed("Hypothesis", Tone::of_truth(&result.truth), &words);
    }
    if story.checks.is_empty() {
        for tally in story.tallies.iter().filter(|tally| tally.held < tally.asked) {
            let check = words::check(&tally.check, &tally.expect);
            let when = words::phase(tally.phase).to_lowercase();
            page.signed("Checks", Tone::Bad, &format!("{check} — {when}: {}", words::tallied(tally)));
        }
    }
}

fn faults(page: &mut Page, story: &Story) {
    for injection in &story.injections {
        let (tone, evidence) = words::evidence(injection);
        let stage = injection.aside().map_or(String::new(), |stage| format!(", {stage}"));
        let when = story.window(injection).map_or(String::new(), |(start, end)| {
            format!(", from {} for {}", span(start), span(end - start))
        });
        page.signed("Fault", tone, &format!("{}{stage}{when}: {evidence}", injection.name()));
    }
}

fn put_back(page: &mut Page, story: &Story) {
    let (tone, words) = words::put_back(story);
    page.signed("Put back", tone, &words);
    for residue in story.residue() {
        page.row("Residue", Style::Bad, residue);
    }
    for left in story.never_put_back() {
        page.row(
            "Residue?",
            Style::Bad,
            &format!("{}: the journal ends before it was put back", left.name()),
        );
    }
}

fn foot(page: &mut Page, story: &Story) {
    let header = &story.header;
    let mut parts = vec![format!("{} in all", span(story.seconds()))];
    parts.extend(header.started.map(words::moment));
    if !header.host.is_empty() {
        parts.push(format!("host {}", header.host));
    }
    if !header.run.is_empty() {
        parts.push(format!("run {}", header.run));
    }
    page.paragraph(Style::Dim, &parts.join(" · "));
    if !header.file.is_empty() {
        page.paragraph(Style::Dim, &format!("again: {}", words::reproduce(story)));
    }
}
