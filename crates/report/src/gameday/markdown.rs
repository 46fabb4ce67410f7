//! The report of a game day as Markdown, for a wiki or an issue.

use super::page::{title, verdict_word};
use super::{Chronicle, Kind, checked_by, meaning, outcome_word, tone};
use crate::markdown::{code, escaped, list, sign};
use crate::words::{self, Tone};
use squall_model::quantity::{Unit, clock, span};
use std::fmt::Write as _;

/// The report.
pub fn page(chronicle: &Chronicle) -> String {
    let mut page = String::new();
    head(&mut page, chronicle);
    criteria(&mut page, chronicle);
    list(
        &mut page,
        "Findings",
        chronicle.findings().iter().map(|(tone, text)| format!("{} {}", sign(*tone), escaped(text))),
    );
    follow_ups(&mut page, chronicle);
    broken(&mut page, chronicle);
    measured(&mut page, chronicle);
    log(&mut page, chronicle);
    rollback(&mut page, &chronicle.plan.rollback);
    let file = chronicle.setting.as_ref().map_or("", |setting| setting.file.as_str());
    let _ = writeln!(page, "<sub>session {} · {}</sub>", escaped(&chronicle.session), escaped(file));
    page
}

fn head(page: &mut String, chronicle: &Chronicle) {
    let verdict = chronicle.verdict();
    let tone = sign(words::verdict_tone(verdict));
    let _ = writeln!(page, "# {tone} {}: {}\n", verdict_word(chronicle), escaped(&title(chronicle)));
    let mut facts: Vec<String> = chronicle.started.map(words::moment).into_iter().collect();
    facts.push(span(chronicle.elapsed));
    let people = chronicle.plan.participants.iter().map(|one| match one.role.as_str() {
        "" => escaped(&one.name),
        role => format!("{} ({})", escaped(&one.name), escaped(role)),
    });
    facts.extend(people);
    let _ = writeln!(page, "{}\n", facts.join(" · "));
    for (name, text) in [("Objective", &chronicle.plan.objective), ("Hypothesis", &chronicle.plan.hypothesis)]
    {
        if !text.is_empty() {
            let _ = writeln!(page, "> **{name}**: {}\n", escaped(text));
        }
    }
    let reasons: &[String] = chronicle.ending.as_ref().map_or(&[], |(_, reasons, _)| reasons);
    let meaning = meaning(verdict, chronicle.is_rehearsal());
    let _ = writeln!(page, "**{}**\n", escaped(reasons.first().map_or(meaning, String::as_str)));
    list(page, "", reasons.iter().skip(1).map(|reason| escaped(reason)));
}

fn criteria(page: &mut String, chronicle: &Chronicle) {
    if chronicle.plan.criteria.is_empty() {
        return;
    }
    page.push_str(
        "## Success criteria\n\n| | Criterion | Outcome | Why | Checked |\n|---|---|---|---|---|\n",
    );
    for (index, criterion) in chronicle.plan.criteria.iter().enumerate() {
        let (mark, word, why) = match chronicle.judgement(index) {
            Some(judged) => (sign(tone(judged.outcome)), outcome_word(judged.outcome), judged.why.as_str()),
            None => (sign(Tone::Neutral), "not judged", ""),
        };
        let by = checked_by(&criterion.means);
        let _ =
            writeln!(page, "| {mark} | {} | {word} | {} | {by} |", escaped(&criterion.text), escaped(why));
    }
    page.push('\n');
}

fn follow_ups(page: &mut String, chronicle: &Chronicle) {
    page.push_str("## Follow-ups\n\n");
    if chronicle.follow_ups.is_empty() {
        page.push_str("Nobody agreed on anything to be done.\n\n");
        return;
    }
    for one in &chronicle.follow_ups {
        let owner = if one.owner.is_empty() { "nobody yet".to_owned() } else { escaped(&one.owner) };
        let due = if one.due.is_empty() { String::new() } else { format!(", due: {}", escaped(&one.due)) };
        let _ = writeln!(page, "- [ ] {} (owner: {owner}{due})", escaped(&one.what));
    }
    page.push('\n');
}

fn broken(page: &mut String, chronicle: &Chronicle) {
    list(
        page,
        "What was broken, and how it was put back",
        chronicle.faults.iter().map(|fault| {
            let until = fault.to.unwrap_or(chronicle.elapsed);
            let when = format!("from {} for {}", clock(fault.from), span(until - fault.from));
            let (tone, state) = match (fault.to, fault.residue.first()) {
                (_, Some(residue)) => (Tone::Bad, format!("not put back: {}", code(residue))),
                (None, None) => (Tone::Bad, "the journal ends while it is active".to_owned()),
                (Some(_), None) => (Tone::Good, fault.over().to_owned()),
            };
            format!("{} {}, {when}: {state}", sign(tone), escaped(&fault.name))
        }),
    );
    let runs = chronicle.runs.iter().filter_map(|run| {
        let (name, verdict, _) = run.ended.as_ref()?;
        let linked = chronicle.plan.experiments.get(run.experiment)?;
        let report = code(&format!("squall report {name}"));
        Some(format!("{}: {verdict}; {report}", escaped(&linked.name)))
    });
    list(page, "Experiments", runs);
}

fn measured(page: &mut String, chronicle: &Chronicle) {
    let mut facts = Vec::new();
    if let Some((seconds, failover, within)) = chronicle.recovered.filter(|_| !chronicle.is_rehearsal()) {
        match failover {
            Some(after) if after > 0.0 => facts.push(format!("Steady again by itself after {}", span(after))),
            Some(_) => facts.push("The steady state was never lost".to_owned()),
            None => {}
        }
        facts.push(match seconds {
            Some(seconds) => format!(
                "Recovered {} after the failure was put right (allowed: {})",
                span(seconds),
                span(within)
            ),
            None => format!("Not recovered within {}", span(within)),
        });
    }
    for series in chronicle.story.series.iter().filter(|series| series.is_telling()) {
        let values = || series.points.iter().filter_map(|point| point.value);
        if values().next().is_some() {
            let (least, greatest) =
                (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
            let name = squall_model::quantity::title(&series.name);
            let unit = series.unit();
            facts.push(format!("{}: {} to {}", escaped(&name), unit.show(least), unit.show(greatest)));
        }
    }
    for (name, before) in &chronicle.before {
        let unit = Unit::of(name);
        if let Some(after) = chronicle.after.get(name) {
            facts.push(format!(
                "{}: {} before, {} afterwards",
                escaped(name),
                unit.show(*before),
                unit.show(*after)
            ));
        }
    }
    list(page, "Measured", facts.into_iter());
}

/// Steps in their order.
fn rollback(page: &mut String, steps: &[String]) {
    if steps.is_empty() {
        return;
    }
    page.push_str("## Rollback plan\n\n");
    for (index, step) in steps.iter().enumerate() {
        let _ = writeln!(page, "{}. {}", index + 1, escaped(step));
    }
    page.push('\n');
}

/// The log whole: it is what such a page is kept for.
fn log(page: &mut String, chronicle: &Chronicle) {
    page.push_str("## What happened\n\n| Time | |\n|--:|---|\n");
    for line in &chronicle.log {
        let tone = if line.tone == Tone::Neutral { String::new() } else { format!("{} ", sign(line.tone)) };
        let is_told = matches!(line.kind, Kind::Phase | Kind::Note | Kind::FollowUp);
        let text = if is_told { format!("**{}**", escaped(&line.text)) } else { escaped(&line.text) };
        let _ = writeln!(page, "| {} | {tone}{text} |", clock(line.elapsed));
    }
    page.push('\n');
}
