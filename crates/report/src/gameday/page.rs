//! The report of a game day as one page that needs nothing else.

use super::{Chronicle, Kind, checked_by, meaning, outcome_word, timeline, tone};
use crate::chart::Detail;
use crate::html::{
    self, MOST_FOLDED, OPEN_METRICS, POLICY, STYLE, escape, fact, icon, key, section, sign, tone_class,
};
use crate::story::Series;
use crate::words::{self, Tone};
use squall_model::gameday::{Means, Outcome};
use squall_model::quantity::{Unit, clock, count, span};
use squall_model::verdict::Verdict;
use std::fmt::Write as _;

/// At most so many lines of the log stand in the page; a day with more is in its journal.
const LONGEST_LOG: usize = 500;

/// The report.
pub fn page(chronicle: &Chronicle) -> String {
    let word = verdict_word(chronicle);
    let title = title(chronicle);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{word}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escape(&title)
    );
    masthead(&mut page, chronicle, &title);
    banner(&mut page, chronicle);
    keys(&mut page, chronicle);
    course(&mut page, chronicle);
    criteria(&mut page, chronicle);
    metrics(&mut page, chronicle);
    findings(&mut page, chronicle);
    follow_ups(&mut page, chronicle);
    experiments(&mut page, chronicle);
    counted(&mut page, chronicle);
    log(&mut page, chronicle);
    plan(&mut page, chronicle);
    page.push_str("</main>\n");
    foot(&mut page, chronicle);
    page.push_str("</body>\n</html>\n");
    page
}

pub(super) fn title(chronicle: &Chronicle) -> String {
    if chronicle.plan.title.is_empty() { "Game day".to_owned() } else { chronicle.plan.title.clone() }
}

pub(super) fn verdict_word(chronicle: &Chronicle) -> &'static str {
    match chronicle.verdict() {
        Some(Verdict::Passed) if chronicle.is_rehearsal() => "Rehearsed",
        Some(Verdict::Failed) if chronicle.is_rehearsal() => "Not ready",
        other => words::verdict_word(other),
    }
}

fn masthead(page: &mut String, chronicle: &Chronicle, title: &str) {
    let mut facts = Vec::new();
    if let Some(started) = chronicle.started {
        facts.push(format!("<time datetime=\"{started}\">{}</time>", words::moment(started)));
    }
    facts.push(span(chronicle.elapsed));
    if let Some(setting) = &chronicle.setting {
        facts.push(format!("on {}", escape(&setting.host)));
    }
    let kind = if chronicle.is_rehearsal() { "game day, rehearsed" } else { "game day report" };
    let _ = write!(
        page,
        "<header>\n<p class=\"brand\">Squall <span>{kind}</span></p>\n<h1>{}</h1>\n<p class=\"facts\">{}</p>\n",
        escape(title),
        facts.join(" · ")
    );
    if !chronicle.plan.participants.is_empty() {
        page.push_str("<p class=\"tags\">");
        for one in &chronicle.plan.participants {
            let role = if one.role.is_empty() { String::new() } else { format!("{}: ", escape(&one.role)) };
            let _ = write!(page, "<span>{role}{}</span>", escape(&one.name));
        }
        page.push_str("</p>\n");
    }
    page.push_str("</header>\n");
}

fn banner(page: &mut String, chronicle: &Chronicle) {
    let verdict = chronicle.verdict();
    let loud = if verdict == Some(Verdict::Residue) { " loud" } else { "" };
    let reasons: &[String] = chronicle.ending.as_ref().map_or(&[], |(_, reasons, _)| reasons);
    let meaning = meaning(verdict, chronicle.is_rehearsal());
    let _ = write!(
        page,
        "<section class=\"verdict {}{loud}\">\n{}\n<div>\n<p class=\"word\">{}</p>\n<p class=\"reason\">{}</p>\n",
        tone_class(words::verdict_tone(verdict)),
        icon(verdict),
        verdict_word(chronicle),
        escape(reasons.first().map_or(meaning, String::as_str))
    );
    if reasons.len() > 1 {
        let more = reasons.len() - 1;
        let _ = writeln!(page, "<p class=\"meaning\">and {more} more, see the findings</p>");
    }
    if !reasons.is_empty() {
        let _ = writeln!(page, "<p class=\"meaning\">{meaning}</p>");
    }
    page.push_str("</div>\n</section>\n");
    for (name, text) in [("Objective", &chronicle.plan.objective), ("Hypothesis", &chronicle.plan.hypothesis)]
    {
        if !text.is_empty() {
            let _ = writeln!(
                page,
                "<figure class=\"hypothesis\"><figcaption>{name}</figcaption><blockquote>{}</blockquote></figure>",
                escape(text)
            );
        }
    }
}

fn keys(page: &mut String, chronicle: &Chronicle) {
    page.push_str("<dl class=\"keys\">\n");
    let (met, total) = (chronicle.count(Outcome::Met), chronicle.plan.criteria.len());
    if chronicle.judgements.is_empty() {
        key(page, "Criteria", "quiet", "not judged", &format!("{total} in the plan"));
    } else if chronicle.is_rehearsal() {
        let ready = chronicle.count(Outcome::Rehearsed);
        let class = if ready == total { "" } else { "bad" };
        key(page, "Criteria", class, &format!("{ready} of {total}"), "can be checked");
    } else {
        let (missed, unknown) = (chronicle.count(Outcome::NotMet), chronicle.count(Outcome::Unknown));
        let class = if met == total { "" } else { "bad" };
        key(
            page,
            "Criteria met",
            class,
            &format!("{met} of {total}"),
            &format!("{missed} not met<br>{unknown} unknown"),
        );
    }
    if !chronicle.is_rehearsal() {
        failover(page, chronicle);
        let lost: f64 = timeline::lost(chronicle).iter().map(|(from, to)| to - from).sum();
        if !chronicle.steady.is_empty() {
            let (class, value) = if lost > 0.0 { ("", span(lost)) } else { ("quiet", "never".to_owned()) };
            key(page, "Steady state lost", class, &value, "in total");
        }
        if !chronicle.faults.is_empty() {
            let clean = chronicle
                .faults
                .iter()
                .filter(|fault| fault.to.is_some() && fault.residue.is_empty())
                .count();
            let class = if clean == chronicle.faults.len() { "" } else { "bad" };
            key(
                page,
                "Put back",
                class,
                &format!("{clean} of {}", chronicle.faults.len()),
                "failures that were made",
            );
        }
    }
    page.push_str("</dl>\n");
}

fn failover(page: &mut String, chronicle: &Chronicle) {
    let Some((seconds, failover, within)) = chronicle.recovered else { return };
    if let Some(failover) = failover {
        let (value, sub) = if failover > 0.0 {
            (span(failover), "until steady again, while the failure lasted")
        } else {
            ("none needed".to_owned(), "the steady state was never lost")
        };
        key(page, "Failover", if failover > 0.0 { "" } else { "quiet" }, &value, sub);
    }
    let allowed = format!("allowed: {}", span(within));
    match seconds {
        Some(seconds) => {
            key(
                page,
                "Recovery",
                "",
                &span(seconds),
                &format!("after the failure was put right<br>{allowed}"),
            );
        }
        None => key(page, "Recovery", "bad", "not recovered", &allowed),
    }
}

fn course(page: &mut String, chronicle: &Chronicle) {
    if chronicle.phases.is_empty() {
        return;
    }
    section(page, "card whole", "Timeline");
    page.push_str(&timeline::picture(chronicle));
    page.push_str("\n<ul class=\"legend\">\n");
    for (phase, from, to) in chronicle.phases.iter().filter(|(_, from, to)| to - from >= 0.05) {
        let _ = writeln!(
            page,
            "<li><i class=\"{}\"></i>{} <small>{}</small></li>",
            timeline::class(*phase),
            phase.name(),
            span(to - from)
        );
    }
    if !timeline::lost(chronicle).is_empty() {
        page.push_str("<li><i class=\"missed\"></i>steady state lost</li>\n");
    }
    if chronicle.log.iter().any(|line| matches!(line.kind, Kind::Note | Kind::Decision | Kind::FollowUp)) {
        page.push_str("<li><i class=\"said\"></i>somebody wrote something down</li>\n");
    }
    page.push_str("</ul>\n</section>\n");
}

fn criteria(page: &mut String, chronicle: &Chronicle) {
    if chronicle.plan.criteria.is_empty() {
        return;
    }
    section(page, "card", "Success criteria");
    page.push_str("<table class=\"criteria\">\n<thead><tr><th>Criterion</th><th>Outcome</th><th>Why</th></tr></thead>\n<tbody>\n");
    for (index, criterion) in chronicle.plan.criteria.iter().enumerate() {
        let judged = chronicle.judgement(index);
        let (class, sign, word, why) = match judged {
            Some(judged) => (
                tone_class(tone(judged.outcome)),
                sign(tone(judged.outcome)),
                outcome_word(judged.outcome),
                judged.why.as_str(),
            ),
            None => ("quiet", sign(Tone::Neutral), "not judged", "the day did not get so far"),
        };
        let of = if criterion.of_hypothesis { "hypothesis, " } else { "" };
        let by = if judged.is_some_and(|judged| judged.by_people) {
            "by people"
        } else {
            checked_by(&criterion.means)
        };
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}<small>{of}{by}</small></th><td class=\"{class}\" data-name=\"Outcome\">{sign}{word}</td><td data-name=\"Why\">{}</td></tr>",
            escape(&criterion.text),
            escape(why)
        );
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
}

fn metrics(page: &mut String, chronicle: &Chronicle) {
    let story = &chronicle.story;
    if story.series.is_empty() {
        return;
    }
    section(page, "card metrics", "Metrics");
    let (mut open, mut folded): (Vec<&Series>, Vec<&Series>) =
        story.series.iter().partition(|series| series.is_telling());
    let beyond = open.split_off(open.len().min(OPEN_METRICS));
    folded.splice(0..0, beyond);
    folded.truncate(MOST_FOLDED);
    for (number, series) in open.iter().enumerate() {
        html::metric(page, story, series, number, Detail { columns: 500, hints: true });
    }
    if !folded.is_empty() {
        let many = if folded.len() == 1 { "metric" } else { "metrics" };
        let _ = writeln!(page, "<details><summary>{} more {many}</summary>", folded.len());
        let columns = (4000 / folded.len()).clamp(40, 250);
        for (number, series) in folded.iter().enumerate() {
            html::metric(page, story, series, open.len() + number, Detail { columns, hints: false });
        }
        page.push_str("</details>\n");
    }
    page.push_str("</section>\n");
}

fn findings(page: &mut String, chronicle: &Chronicle) {
    let findings = chronicle.findings();
    if findings.is_empty() {
        return;
    }
    section(page, "card", "Findings");
    for (tone, text) in findings {
        let _ = writeln!(page, "<p class=\"line\">{}{}</p>", sign(tone), escape(&text));
    }
    page.push_str("</section>\n");
}

fn follow_ups(page: &mut String, chronicle: &Chronicle) {
    section(page, "card", "Follow-ups");
    if chronicle.follow_ups.is_empty() {
        page.push_str("<p class=\"quiet\">Nobody agreed on anything to be done.</p>\n</section>\n");
        return;
    }
    page.push_str("<table class=\"follow-ups\">\n<thead><tr><th>What</th><th>Owner</th><th>Due</th></tr></thead>\n<tbody>\n");
    for one in &chronicle.follow_ups {
        let shown = |text: &str| {
            if text.is_empty() {
                "<span class=\"warning\">nobody yet</span>".to_owned()
            } else {
                escape(text)
            }
        };
        let due = if one.due.is_empty() {
            "<span class=\"quiet\">no date</span>".to_owned()
        } else {
            escape(&one.due)
        };
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td data-name=\"Owner\">{}</td><td data-name=\"Due\">{due}</td></tr>",
            escape(&one.what),
            shown(&one.owner)
        );
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
}

fn experiments(page: &mut String, chronicle: &Chronicle) {
    if chronicle.runs.is_empty() && chronicle.faults.is_empty() {
        return;
    }
    section(page, "card", "What was broken, and how it was put back");
    for run in &chronicle.runs {
        let linked = chronicle.plan.experiments.get(run.experiment);
        let _ = write!(
            page,
            "<article>\n<h3>{}</h3>\n<dl class=\"facts\">\n",
            escape(linked.map_or("?", |linked| linked.name.as_str()))
        );
        match &run.ended {
            Some((name, verdict, reasons)) => {
                let why = reasons.first().map_or(String::new(), |why| format!(": {}", escape(why)));
                let sign = sign(words::verdict_tone(Some(*verdict)));
                fact(page, "Experiment", &format!("{sign}{}{why}", words::verdict_word(Some(*verdict))));
                fact(page, "Its report", &format!("<code>squall report {}</code>", escape(name)));
            }
            None if run.rehearsed => fact(page, "Experiment", "left out: this was a rehearsal"),
            None => fact(page, "Experiment", "the journal ends before it did"),
        }
        let prefix = format!("{}:", run.experiment + 1);
        let of_run = |fault: &&super::Fault| fault.injection.starts_with(&prefix) && fault.from >= run.from;
        chronicle.faults.iter().filter(of_run).for_each(|one| fault(page, chronicle, one));
        page.push_str("</dl>\n</article>\n");
    }
    let by_hand: Vec<_> = chronicle.faults.iter().filter(|fault| fault.injection == super::BY_HAND).collect();
    if !by_hand.is_empty() {
        page.push_str("<article>\n<dl class=\"facts\">\n");
        by_hand.into_iter().for_each(|one| fault(page, chronicle, one));
        page.push_str("</dl>\n</article>\n");
    }
    page.push_str("</section>\n");
}

fn fault(page: &mut String, chronicle: &Chronicle, fault: &super::Fault) {
    let until = fault.to.unwrap_or(chronicle.elapsed);
    let when = format!("from {} to {}, for {}", clock(fault.from), clock(until), span(until - fault.from));
    let state = match (fault.to, fault.residue.first()) {
        (_, Some(residue)) => format!("{}not put back: {}", sign(Tone::Bad), escape(residue)),
        (None, None) => format!("{}the journal ends while it is active", sign(Tone::Bad)),
        (Some(_), None) => format!("{}{}", sign(Tone::Good), fault.over()),
    };
    fact(page, "Active", &format!("<p>{}, {when}</p><p>{state}</p>", escape(&fault.name)));
}

fn counted(page: &mut String, chronicle: &Chronicle) {
    if chronicle.services.is_empty() && chronicle.alerts.is_empty() && chronicle.before.is_empty() {
        return;
    }
    section(page, "card", "Services, alerts, data");
    page.push_str("<dl class=\"facts\">\n");
    for (name, changes) in &chronicle.services {
        let told = changes.iter().map(|(at, healthy, found)| {
            format!("<p>{}{} {}</p>", sign(Tone::of(*healthy)), clock(*at), escape(found))
        });
        fact(page, &escape(name), &told.collect::<String>());
    }
    let told = chronicle.alerts.iter().map(|(at, firing, error)| {
        let words = match error {
            Some(why) => format!("{}{} {}", sign(Tone::Warning), clock(*at), escape(why)),
            None if firing.is_empty() => format!("{}{} none fires", sign(Tone::Neutral), clock(*at)),
            None => format!("{}{} {}", sign(Tone::Warning), clock(*at), escape(&firing.join(", "))),
        };
        format!("<p>{words}</p>")
    });
    fact(page, "Alerts", &told.collect::<String>());
    for (name, before) in &chronicle.before {
        let unit = Unit::of(name);
        let after =
            chronicle.after.get(name).map_or_else(|| "not counted".to_owned(), |after| unit.show(*after));
        let broken = chronicle.broken.iter().any(|words| words.starts_with(&format!("{name} ")));
        let sign = if chronicle.after.contains_key(name) { sign(Tone::of(!broken)) } else { String::new() };
        fact(page, &escape(name), &format!("{sign}{} before, {after} afterwards", unit.show(*before)));
    }
    page.push_str("</dl>\n</section>\n");
}

fn log(page: &mut String, chronicle: &Chronicle) {
    section(page, "card", "What happened");
    let left_out = chronicle.log.len().saturating_sub(LONGEST_LOG);
    page.push_str("<ol class=\"log\">\n");
    for line in chronicle.log.iter().take(LONGEST_LOG) {
        let class = match line.kind {
            Kind::Phase => " class=\"phase\"",
            Kind::Note | Kind::Decision | Kind::FollowUp => " class=\"people\"",
            _ => "",
        };
        let sign = if line.tone == Tone::Neutral { String::new() } else { sign(line.tone) };
        let _ = writeln!(
            page,
            "<li{class}><time datetime=\"{}\" title=\"{}\">{}</time><span>{sign}{}</span></li>",
            line.at,
            words::moment(line.at),
            clock(line.elapsed),
            escape(&line.text)
        );
    }
    page.push_str("</ol>\n");
    if left_out > 0 {
        let _ = writeln!(
            page,
            "<p class=\"remark\">{} more lines are in the journal.</p>",
            count(left_out as u64)
        );
    }
    page.push_str("</section>\n");
}

fn plan(page: &mut String, chronicle: &Chronicle) {
    let plan = &chronicle.plan;
    if plan.timeline.is_empty() && plan.rollback.is_empty() {
        return;
    }
    section(page, "card", "The plan");
    page.push_str("<dl class=\"facts\">\n");
    let slots = plan.timeline.iter().map(|slot| {
        let who = if slot.who.is_empty() {
            String::new()
        } else {
            format!(" <small>{}</small>", escape(&slot.who))
        };
        format!("<p>{} {}{who}</p>", escape(&slot.at), escape(&slot.text))
    });
    fact(page, "Timeline", &slots.collect::<String>());
    let steps = plan.rollback.iter().enumerate();
    let steps = steps.map(|(index, step)| format!("<p>{}. {}</p>", index + 1, escape(step)));
    fact(page, "Rollback", &steps.collect::<String>());
    let people = plan.criteria.iter().filter_map(|criterion| match &criterion.means {
        Means::People { remedy, .. } if !remedy.is_empty() => {
            Some(format!("<p>{}<br><code>{}</code></p>", escape(&criterion.text), escape(remedy)))
        }
        _ => None,
    });
    fact(page, "For next time", &people.collect::<String>());
    page.push_str("</dl>\n</section>\n");
}

fn foot(page: &mut String, chronicle: &Chronicle) {
    let mut facts = Vec::new();
    if let Some(setting) = &chronicle.setting {
        facts.push(format!("Squall {}", escape(&setting.squall)));
        facts.push(escape(&setting.file));
    }
    facts.push(format!("session {}", escape(&chronicle.session)));
    if chronicle.interruptions > 0 {
        facts.push(format!("resumed {} times", chronicle.interruptions));
    }
    if let Some((_, _, code)) = &chronicle.ending {
        facts.push(format!("exit code {code}"));
    }
    let _ = writeln!(page, "<footer><p>{}</p></footer>", facts.join(" · "));
}
