//! The report as one page that needs nothing else: no script, no font, no network. What the journal holds is text in
//! it and never markup, and the page's own policy forbids anything to be loaded or run.

use crate::change;
use crate::chart::{self, Detail, part_class};
use crate::story::{Injection, PhaseSpan, PutBack, Series, Story, Tally, telling_changes};
use crate::words::{self, Tone};
use squall_model::condition::Truth;
use squall_model::event::{CheckResult, MetricChange, Phase};
use squall_model::quantity::{Unit, count, span, title};
use squall_model::verdict::Verdict;
use std::fmt::Write as _;

pub(crate) const STYLE: &str = include_str!("style.css");
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// At most so many metrics stand open; the others are folded.
pub(crate) const OPEN_METRICS: usize = 6;
/// At most so many metrics are folded; a page with hundreds would not be read, and hardly be loaded.
pub(crate) const MOST_FOLDED: usize = 60;
/// At most so many injections stand open.
const OPEN_INJECTIONS: usize = 4;
/// At most so many changes are among the key numbers.
const KEY_CHANGES: usize = 3;

/// Said where counts of samples and the judgement of the traffic itself could seem to contradict each other.
const TRAILING: &str = "Conditions on metrics are counted here once a second over a sliding window, which trails the \
                        traffic by seconds. Hypothesis and recovery are judged on the traffic itself.";

/// What is said of figures that are not those of the graphs.
const WHOLE: &str = "These figures are of all that was measured in the whole time. The graphs show a sliding window, which \
                     holds the time before as well, so that after a short fault they differ.";

/// The report of one run.
pub fn page(story: &Story) -> String {
    let header = &story.header;
    let word = words::verdict_word(story.verdict());
    let name = if header.experiment.is_empty() { "Unknown experiment" } else { &header.experiment };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"robots\" content=\"noindex\">\n\
         <title>{word}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(name)
    );
    masthead(&mut page, story, name);
    banner(&mut page, story);
    key_numbers(&mut page, story);
    timeline(&mut page, story);
    metrics(&mut page, story);
    checks(&mut page, story);
    comparisons(&mut page, story);
    injections(&mut page, story);
    guard(&mut page, story);
    notes(&mut page, story);
    reproduce(&mut page, story);
    page.push_str("</main>\n");
    foot(&mut page, story);
    page.push_str("</body>\n</html>\n");
    page
}

/// A text as it stands in HTML, in an element or a quoted attribute. What steers a terminal has no place in a page
/// either: marks that turn the direction of writing would let a text pose as another.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in crate::paint::printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

pub(crate) fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warning => "warning",
        Tone::Neutral => "neutral",
    }
}

/// A sign with a word for who cannot see it.
pub(crate) fn sign(tone: Tone) -> String {
    let word = match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warning => "attention",
        Tone::Neutral => "neutral",
    };
    format!(
        r#"<span class="sign {}" role="img" aria-label="{word}">{}</span>"#,
        tone_class(tone),
        tone.sign()
    )
}

pub(crate) fn section(page: &mut String, class: &str, title: &str) {
    let _ = write!(page, "<section class=\"{class}\">\n<h2>{title}</h2>\n");
}

fn masthead(page: &mut String, story: &Story, name: &str) {
    let header = &story.header;
    let mut facts = Vec::new();
    if let Some(started) = header.started {
        facts.push(format!("<time datetime=\"{started}\">{}</time>", words::moment(started)));
    }
    facts.push(span(story.seconds()));
    if !header.host.is_empty() {
        facts.push(format!("on {}", escape(&header.host)));
    }
    let _ = write!(
        page,
        "<header>\n<p class=\"brand\">Squall <span>experiment report</span></p>\n<h1>{}</h1>\n<p class=\"facts\">{}</p>\n",
        escape(name),
        facts.join(" · ")
    );
    let labels: Vec<&String> = header.services.iter().chain(&header.tags).collect();
    if !labels.is_empty() {
        page.push_str("<p class=\"tags\">");
        let mut seen: Vec<&String> = Vec::new();
        for label in labels {
            if !seen.contains(&label) {
                let _ = write!(page, "<span>{}</span>", escape(label));
                seen.push(label);
            }
        }
        page.push_str("</p>\n");
    }
    page.push_str("</header>\n");
}

fn banner(page: &mut String, story: &Story) {
    let verdict = story.verdict();
    let tone = tone_class(words::verdict_tone(verdict));
    let loud = if verdict == Some(Verdict::Residue) { " loud" } else { "" };
    let _ = write!(
        page,
        "<section class=\"verdict {tone}{loud}\">\n{}\n<div>\n<p class=\"word\">{}</p>\n<p class=\"reason\">{}</p>\n",
        icon(verdict),
        words::verdict_word(verdict),
        escape(words::reason(story))
    );
    let further = words::further_reasons(story);
    if !further.is_empty() {
        page.push_str("<ul>\n");
        for reason in further {
            let _ = writeln!(page, "<li>{}</li>", escape(reason));
        }
        page.push_str("</ul>\n");
    }
    let residue = story.residue();
    if !residue.is_empty() {
        page.push_str("<p class=\"reason\">To be put right by hand:</p>\n<ul>\n");
        for residue in residue {
            let _ = writeln!(page, "<li><code>{}</code></li>", escape(residue));
        }
        page.push_str("</ul>\n");
    }
    if story.ending.as_ref().is_some_and(|ending| !ending.reasons.is_empty()) {
        let _ = writeln!(page, "<p class=\"meaning\">{}</p>", words::meaning(story));
    }
    page.push_str("</div>\n</section>\n");
    if !story.header.hypothesis.is_empty() {
        let _ = writeln!(
            page,
            "<figure class=\"hypothesis\"><figcaption>Hypothesis</figcaption><blockquote>{}</blockquote></figure>",
            escape(&story.header.hypothesis)
        );
    }
}

/// A picture of the verdict, drawn in a square of 24.
pub(crate) fn icon(verdict: Option<Verdict>) -> String {
    let drawing = match verdict {
        Some(Verdict::Passed) => {
            "<circle cx=\"12\" cy=\"12\" r=\"9\"/><path d=\"m8 12.4 2.7 2.7L16.2 9.5\"/>"
        }
        Some(Verdict::Failed) => "<circle cx=\"12\" cy=\"12\" r=\"9\"/><path d=\"m9 9 6 6m0-6-6 6\"/>",
        Some(Verdict::Residue) => "<path d=\"M12 3.6 21.4 20H2.6z\"/><path d=\"M12 10v4.5m0 2.6v.1\"/>",
        Some(Verdict::Aborted) => {
            "<path d=\"M8.3 3h7.4L21 8.3v7.4L15.7 21H8.3L3 15.7V8.3z\"/><path d=\"M9 9h6v6H9z\"/>"
        }
        Some(Verdict::NotSteady) => {
            "<circle cx=\"12\" cy=\"12\" r=\"9\"/><path d=\"M6.5 12.5c1.5-4 3.3-4 5 0s3.800 4 6 -1\"/>"
        }
        Some(Verdict::NoEffect) => "<circle cx=\"12\" cy=\"12\" r=\"9\"/><path d=\"M8 12h8\"/>",
        Some(Verdict::Invalid) => "<circle cx=\"12\" cy=\"12\" r=\"9\"/><path d=\"M12 7.500v5.500m0 3v.1\"/>",
        None => {
            "<circle cx=\"12\" cy=\"12\" r=\"9\" stroke-dasharray=\"3 2.65\"/><path d=\"M8 12h.1m3.850 0h.1m3.850 0h.1\"/>"
        }
    };
    format!(
        "<svg class=\"icon\" viewBox=\"0 0 24 24\" width=\"40\" height=\"40\" aria-hidden=\"true\">{drawing}</svg>"
    )
}

/// What one wants to know first: the greatest changes, how soon it was well again, whether all was put back.
fn key_numbers(page: &mut String, story: &Story) {
    page.push_str("<dl class=\"keys\">\n");
    for change in telling_changes(story).into_iter().take(KEY_CHANGES) {
        let name = title(&change.metric);
        match change::interval(change) {
            Some(interval) => {
                let class = if change.seen { "" } else { "quiet" };
                let sub = format!("{}<br>{interval}", change::levels(change));
                key(page, &name, class, &change::headline(change), &sub);
            }
            None => key(page, &name, "quiet", &change::levels(change), change::NOT_COMPARED),
        }
    }
    if let Some(recovery) = story.recovery {
        let (class, value, sub) = match recovery.seconds {
            Some(seconds) => ("", span(seconds), "until steady again"),
            None => ("bad", "not recovered".to_owned(), "the steady state did not come back"),
        };
        key(page, "Recovery", class, &value, &format!("{sub}<br>allowed: {}", span(recovery.within)));
    }
    let total = story.put_backs_that_can_be().count() + story.never_put_back().len();
    let clean = story.put_backs_that_can_be().filter(|(_, done)| done.residue.is_empty()).count();
    let injections = if total == 1 { "injection" } else { "injections" };
    let for_good = words::ended_for_good(story);
    let (class, value, sub) = match total {
        0 if !for_good.is_empty() => ("", "nothing to do".to_owned(), String::new()),
        0 if story.put_backs().next().is_some() => {
            ("", "nothing to do".to_owned(), "no injection was made; nothing is left".to_owned())
        }
        0 => ("quiet", "nothing to do".to_owned(), "nothing was touched".to_owned()),
        _ if clean == total => ("", format!("{clean} of {total}"), format!("{injections}, looked at again")),
        _ if story.residue().is_empty() => {
            let sub = format!("{injections}; the journal does not tell of the rest");
            ("bad", format!("{clean} of {total}"), sub)
        }
        _ => ("bad", format!("{clean} of {total}"), format!("{injections}; residue is left")),
    };
    let subs: Vec<String> = [sub, for_good].into_iter().filter(|sub| !sub.is_empty()).collect();
    key(page, "Put back", class, &value, &subs.join("<br>"));
    page.push_str("</dl>\n");
}

/// One key number; `sub` is markup.
pub(crate) fn key(page: &mut String, name: &str, class: &str, value: &str, sub: &str) {
    let value = match value.split_once(' ') {
        // The number counts more than its unit.
        Some((number, unit)) if !unit.contains(' ') && number.ends_with(|c: char| c.is_ascii_digit()) => {
            format!("{} <span>{}</span>", escape(number), escape(unit))
        }
        _ => escape(value),
    };
    let _ = writeln!(
        page,
        "<div><dt>{}</dt><dd class=\"{class}\"><strong>{}</strong><small>{sub}</small></dd></div>",
        escape(name),
        value
    );
}

fn timeline(page: &mut String, story: &Story) {
    if story.phases.is_empty() && story.tallies.is_empty() {
        return;
    }
    section(page, "card whole", "Timeline");
    page.push_str(&chart::timeline(story));
    page.push_str("\n<ul class=\"legend\">\n");
    let lasting = |part: &&PhaseSpan| part.end - part.start >= 0.0005;
    for part in story.phases.iter().filter(lasting) {
        let _ = writeln!(
            page,
            "<li><i class=\"{}\"></i>{} <small>{}</small></li>",
            part_class(part.phase),
            words::phase(part.phase),
            span(part.end - part.start)
        );
    }
    if story.tallies.iter().any(|tally| !tally.misses.is_empty()) {
        page.push_str("<li><i class=\"missed\"></i>check missed</li>\n");
    }
    if story.tallies.iter().any(|tally| tally.misses.iter().any(|miss| miss.unknown)) {
        page.push_str("<li><i class=\"unknown\"></i>no answer</li>\n");
    }
    page.push_str("</ul>\n</section>\n");
}

fn metrics(page: &mut String, story: &Story) {
    if story.series.is_empty() {
        return;
    }
    section(page, "card metrics", "Metrics");
    let (mut open, mut folded): (Vec<&Series>, Vec<&Series>) =
        story.series.iter().partition(|series| series.is_telling());
    if open.is_empty() {
        std::mem::swap(&mut open, &mut folded);
    }
    let beyond = open.split_off(open.len().min(OPEN_METRICS));
    folded.splice(0..0, beyond);
    let left_out = folded.len().saturating_sub(MOST_FOLDED);
    folded.truncate(MOST_FOLDED);
    for (number, series) in open.iter().enumerate() {
        metric(page, story, series, number, Detail { columns: 500, hints: true });
    }
    if !folded.is_empty() {
        let many = if folded.len() == 1 { "metric" } else { "metrics" };
        let _ = writeln!(page, "<details><summary>{} more {many}</summary>", folded.len());
        // The more there are, the coarser they are drawn: the page stays light.
        let columns = (4000 / folded.len()).clamp(40, 250);
        for (number, series) in folded.iter().enumerate() {
            metric(page, story, series, open.len() + number, Detail { columns, hints: false });
        }
        if left_out > 0 {
            let _ =
                writeln!(page, "<p class=\"remark\">{left_out} further metrics are in the journal only.</p>");
        }
        page.push_str("</details>\n");
    }
    page.push_str("</section>\n");
}

pub(crate) fn metric(page: &mut String, story: &Story, series: &Series, number: usize, detail: Detail) {
    let _ = write!(page, "<figure class=\"metric\">\n<figcaption><h3>{}</h3>", escape(&title(&series.name)));
    if let Some(change) = story.change(&series.name) {
        let _ = write!(page, "<p>{}</p>", change_markup(change));
    }
    page.push_str("</figcaption>\n");
    page.push_str(&chart::metric(story, series, number, detail));
    let mut remarks: Vec<String> = chart::beyond(series)
        .into_iter()
        .map(|bound| {
            let kind = if series.limits.contains(bound) { "guard limit" } else { "objective" };
            format!("{kind} {} lies above this graph", words::bound(bound))
        })
        .collect();
    remarks.extend(series.error.as_ref().map(|error| format!("no reading: {error}")));
    for remark in remarks {
        let _ = write!(page, "\n<p class=\"remark\">{}</p>", escape(&remark));
    }
    page.push_str("</figure>\n");
}

/// A change as markup: levels, then what was seen.
fn change_markup(change: &MetricChange) -> String {
    let class = if change.seen { "seen" } else { "quiet" };
    let interval =
        change::interval(change).map_or(String::new(), |interval| format!(" <small>({interval})</small>"));
    format!(
        "<span>{}</span> <strong class=\"{class}\">{}</strong>{interval}",
        change::levels(change),
        change::headline(change)
    )
}

/// The parts of the run in which checks are asked.
const ASKED: [Phase; 4] = [Phase::SteadyState, Phase::Baseline, Phase::Fault, Phase::Recovery];

fn checks(page: &mut String, story: &Story) {
    if story.checks.is_empty() && story.tallies.is_empty() {
        return;
    }
    section(page, "card", "Checks");
    let phases: Vec<Phase> =
        ASKED.into_iter().filter(|phase| story.tallies.iter().any(|tally| tally.phase == *phase)).collect();
    page.push_str("<table class=\"checks\">\n<thead><tr><th>Check</th>");
    for phase in &phases {
        let _ = write!(page, "<th class=\"number\">{}</th>", words::phase(*phase));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for (check, expect) in check_names(story) {
        check_row(page, story, &phases, check, expect);
    }
    page.push_str("</tbody>\n</table>\n");
    if story.samples_claims() {
        let _ = writeln!(page, "<p class=\"remark\">{TRAILING}</p>");
    }
    page.push_str("</section>\n");
}

/// Every check once: those that were judged first.
fn check_names(story: &Story) -> Vec<(&str, &str)> {
    let judged = story.checks.iter().map(|result| (result.check.as_str(), result.expect.as_str()));
    let tallied = story.tallies.iter().map(|tally| (tally.check.as_str(), tally.expect.as_str()));
    let mut names: Vec<(&str, &str)> = Vec::new();
    for name in judged.chain(tallied) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn check_row(page: &mut String, story: &Story, phases: &[Phase], check: &str, expect: &str) {
    let judged = story.checks.iter().find(|result| result.check == check && result.expect == expect);
    let _ = write!(page, "<tr><th scope=\"row\">");
    if let Some(result) = judged {
        page.push_str(&sign(Tone::of_truth(&result.truth)));
    }
    let _ = write!(page, "<code>{}</code>", escape(expect));
    if !check.is_empty() && check != expect {
        let _ = write!(page, "<small>{}</small>", escape(check));
    }
    if let Some(result) = judged {
        let _ = write!(page, "<small>{}</small>", escape(&judgement(story, result)));
    }
    page.push_str("</th>");
    for phase in phases {
        let name = words::phase(*phase);
        let tally = story
            .tallies
            .iter()
            .find(|tally| tally.phase == *phase && tally.check == check && tally.expect == expect);
        let Some(tally) = tally else {
            let _ = write!(page, "<td class=\"number quiet\" data-name=\"{name}\">–</td>");
            continue;
        };
        let class = if tally.held == tally.asked { "" } else { " bad" };
        let worst = tally.worst();
        let worst = if worst.is_empty() { worst } else { format!("<small>worst {}</small>", escape(&worst)) };
        let _ = write!(
            page,
            "<td class=\"number{class}\" data-name=\"{name}\">{} <small class=\"of\">of {}</small>{worst}</td>",
            count(tally.held),
            count(tally.asked)
        );
    }
    page.push_str("</tr>\n");
}

/// How the hypothesis fared on one check, with how often it held where the table does not say that already.
fn judgement(story: &Story, result: &CheckResult) -> String {
    let same = |tally: &&Tally| {
        tally.phase == Phase::Fault
            && (tally.check.as_str(), tally.expect.as_str()) == (&result.check, &result.expect)
            && (tally.asked, tally.held) == (result.asked, result.held)
    };
    let mut words = format!("hypothesis {}", words::truth(&result.truth));
    let is_told = story.tallies.iter().any(|tally| same(&tally));
    if result.within.is_some() || (result.asked > 1 && !is_told) {
        let _ = write!(words, ": {}", words::held(result));
    } else if result.asked <= 1 && !result.worst.is_empty() {
        let _ = write!(words, ": {}", result.worst);
    }
    if let Truth::Unknown { missing } = &result.truth
        && result.worst.is_empty()
        && !missing.is_empty()
    {
        let _ = write!(words, "; could not be read: {}", missing.join(", "));
    }
    words
}

fn comparisons(page: &mut String, story: &Story) {
    if story.comparisons.is_empty() {
        return;
    }
    section(page, "card", "Baseline against fault");
    let telling = telling_changes(story);
    let rest: Vec<&MetricChange> =
        story.comparisons.iter().filter(|change| !telling.contains(change)).collect();
    comparison_table(page, &telling);
    if !rest.is_empty() {
        let _ = writeln!(page, "<details><summary>{} more</summary>", rest.len());
        comparison_table(page, &rest);
        page.push_str("</details>\n");
    }
    let _ = writeln!(page, "<p class=\"remark\">{WHOLE}</p>");
    page.push_str("</section>\n");
}

fn comparison_table(page: &mut String, changes: &[&MetricChange]) {
    page.push_str(
        "<table class=\"compared\">\n<thead><tr><th>Metric</th><th class=\"number\">Baseline</th>\
         <th class=\"number\">Under fault</th><th class=\"number\">Change</th></tr></thead>\n<tbody>\n",
    );
    for change in changes {
        let unit = Unit::of(&change.metric);
        let level = |level: Option<f64>| level.map_or_else(|| "–".to_owned(), |level| unit.show(level));
        let class = if change.seen { "" } else { " quiet" };
        let how = change::interval(change).map_or(String::new(), |interval| match change.method.as_str() {
            "" => interval,
            method => format!("{interval}, {method}"),
        });
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td class=\"number\" data-name=\"Baseline\">{}</td>\
             <td class=\"number\" data-name=\"Under fault\">{}</td>\
             <td class=\"number{class}\" data-name=\"Change\">{}<small>{}</small></td></tr>",
            escape(&title(&change.metric)),
            level(change.baseline),
            level(change.during),
            escape(&change::headline(change)),
            escape(&how)
        );
    }
    page.push_str("</tbody>\n</table>\n");
}

fn injections(page: &mut String, story: &Story) {
    if story.injections.is_empty() && story.failures.is_empty() {
        return;
    }
    section(page, "card", "What was done, and how it was put back");
    for failure in &story.failures {
        let _ = writeln!(page, "<p class=\"line\">{}{}</p>", sign(Tone::Bad), escape(failure));
    }
    let open = story.injections.len().min(OPEN_INJECTIONS);
    for known in &story.injections[..open] {
        injection(page, story, known);
    }
    if story.injections.len() > open {
        let rest = story.injections.len() - open;
        let injections = if rest == 1 { "injection" } else { "injections" };
        let _ = writeln!(page, "<details><summary>{rest} more {injections}</summary>");
        for known in &story.injections[open..] {
            injection(page, story, known);
        }
        page.push_str("</details>\n");
    }
    page.push_str("</section>\n");
}

fn injection(page: &mut String, story: &Story, known: &Injection) {
    let stage = known.aside().map_or(String::new(), |stage| format!(" <small>{}</small>", escape(&stage)));
    let _ = write!(page, "<article>\n<h3>{}{stage}</h3>\n<dl class=\"facts\">\n", escape(&known.name()));
    if let Some((start, end)) = story.window(known) {
        let open = if known.ended.is_none() { ", as far as the journal goes" } else { "" };
        let when = format!("from {} to {}, for {}{open}", span(start), span(end), span(end - start));
        fact(page, "Active", &escape(&when));
    }
    let (tone, evidence) = words::evidence(known);
    fact(page, "Evidence", &format!("{}{}", sign(tone), escape(&evidence)));
    fact(page, "Did", &lines(&known.does));
    fact(page, "Undone by", &lines(&known.undone_by));
    match &known.put_back {
        Some(done) => fact(page, "Put back", &put_back(known, done)),
        None if known.active.or(known.begun).is_some() && known.failure.is_none() => {
            let words = "the journal ends before it was put back: run <code>squall recover</code>, then <code>squall leftovers</code>";
            fact(page, "Put back", &format!("{}{words}", sign(Tone::Bad)));
        }
        None => {}
    }
    page.push_str("</dl>\n</article>\n");
}

/// One fact; `value` is markup, and nothing is said where it is empty.
pub(crate) fn fact(page: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        let _ = writeln!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
}

fn lines(texts: &[String]) -> String {
    let each: Vec<String> = texts.iter().map(|text| format!("<p>{}</p>", escape(text))).collect();
    each.join("")
}

fn put_back(known: &Injection, done: &PutBack) -> String {
    let mut markup = String::new();
    if known.is_for_good() && done.residue.is_empty() {
        let _ = write!(markup, "<p>{}{}</p>", sign(Tone::Neutral), escape(words::for_good(known)));
    }
    for step in words::told_steps(known, done) {
        let (tone, words) = words::reverted(step);
        let _ = write!(markup, "<p>{}{}</p>", sign(tone), escape(&words));
    }
    for error in &done.restored.errors {
        let _ = write!(markup, "<p>{}{}</p>", sign(Tone::Bad), escape(error));
    }
    let told = done.restored.residue();
    for residue in done.residue.iter().filter(|residue| !told.contains(residue)) {
        let _ = write!(markup, "<p>{}{}</p>", sign(Tone::Bad), escape(residue));
    }
    let _ = write!(markup, "<p><small>took {}</small></p>", span(done.seconds));
    markup
}

fn guard(page: &mut String, story: &Story) {
    let Some((tone, words)) = words::guard(story) else { return };
    section(page, "card whole", words::guard_title(story));
    let _ = writeln!(page, "<p class=\"line\">{}{}</p>", sign(tone), escape(&words));
    if let Some(guard) = story.guard.as_ref().filter(|guard| !guard.conditions.is_empty()) {
        page.push_str("<ul class=\"conditions\">\n");
        for (condition, truth) in &guard.conditions {
            // For a guard, it is bad when the condition holds.
            let (class, word) = match truth {
                Truth::Holds => ("bad", "held"),
                Truth::Fails => ("quiet", "did not hold"),
                Truth::Unknown { .. } => ("warning", "unknown"),
            };
            let condition = escape(condition);
            let _ =
                writeln!(page, "<li><code>{condition}</code> <small class=\"{class}\">{word}</small></li>");
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</section>\n");
}

fn notes(page: &mut String, story: &Story) {
    if story.notes.is_empty() {
        return;
    }
    section(page, "card", "Notes");
    page.push_str("<ul class=\"notes\">\n");
    for note in &story.notes {
        let _ = writeln!(page, "<li>{}</li>", escape(note));
    }
    page.push_str("</ul>\n</section>\n");
}

fn reproduce(page: &mut String, story: &Story) {
    if story.header.file.is_empty() {
        return;
    }
    section(page, "card whole", "Run it again");
    // Lines break between words of the command, not within them.
    let words = words::reproduce(story);
    let words: Vec<String> = words.split(' ').map(|word| format!("<span>{}</span>", escape(word))).collect();
    let _ = write!(page, "<pre><code>{}</code></pre>\n</section>\n", words.join(" "));
}

fn foot(page: &mut String, story: &Story) {
    let header = &story.header;
    let mut facts = Vec::new();
    if !header.squall.is_empty() {
        facts.push(format!("Squall {}", escape(&header.squall)));
    }
    if header.version > 0 {
        facts.push(format!("journal version {}", header.version));
    }
    if !header.run.is_empty() {
        facts.push(format!("run {}", escape(&header.run)));
    }
    if let Some(ending) = &story.ending {
        facts.push(format!("exit code {}", ending.exit_code));
    }
    let _ = writeln!(page, "<footer><p>{}</p></footer>", facts.join(" · "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(
            escape("<a href=\"x\" b='c'>&\u{0}\n"),
            "&lt;a href=&quot;x&quot; b=&#39;c&#39;&gt;&amp;\u{fffd} "
        );
    }
}
