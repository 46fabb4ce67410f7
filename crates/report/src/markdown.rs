//! The report as GitHub-flavoured Markdown, short enough for a comment on a pull request.

use crate::change;
use crate::story::{Story, telling_changes};
use crate::words::{self, Tone};
use squall_model::quantity::{Unit, count, span, title};
use std::fmt::Write as _;

/// Notes and residue are cut to this many lines each: a comment has a limit, and the HTML report has them all.
const LONGEST_LIST: usize = 20;

/// The report of one run.
pub fn page(story: &Story) -> String {
    let mut page = String::new();
    verdict(&mut page, story);
    changes(&mut page, story);
    checks(&mut page, story);
    faults(&mut page, story);
    aftermath(&mut page, story);
    foot(&mut page, story);
    page
}

pub(crate) fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✅",
        Tone::Bad => "❌",
        Tone::Warning => "⚠️",
        Tone::Neutral => "➖",
    }
}

fn verdict(page: &mut String, story: &Story) {
    let verdict = story.verdict();
    let tone = sign(words::verdict_tone(verdict));
    let name = escaped(&story.header.experiment);
    let _ = writeln!(page, "## {tone} {}: {name}\n", words::verdict_word(verdict));
    if !story.header.hypothesis.is_empty() {
        let _ = writeln!(page, "> {}\n", escaped(&story.header.hypothesis));
    }
    let _ = writeln!(page, "**{}**\n", escaped(words::reason(story)));
    list(page, "", words::further_reasons(story).iter().map(|reason| escaped(reason)));
}

fn changes(page: &mut String, story: &Story) {
    if story.comparisons.is_empty() {
        return;
    }
    page.push_str("| Metric | Baseline | Under fault | Change |\n|---|--:|--:|---|\n");
    for change in telling_changes(story) {
        let unit = Unit::of(&change.metric);
        let level = |level: Option<f64>| level.map_or_else(|| "–".to_owned(), |level| unit.show(level));
        let interval = change::interval(change).map_or(String::new(), |interval| format!(" ({interval})"));
        let headline = change::headline(change);
        let headline = if change.seen { format!("**{headline}**") } else { headline };
        let name = escaped(&title(&change.metric));
        let (before, during) = (level(change.baseline), level(change.during));
        let _ = writeln!(page, "| {name} | {before} | {during} | {headline}{interval} |");
    }
    page.push('\n');
}

fn checks(page: &mut String, story: &Story) {
    if !story.checks.is_empty() {
        page.push_str("| | Check under fault | Held | Worst |\n|---|---|--:|---|\n");
        for result in &story.checks {
            let tone = sign(Tone::of_truth(&result.truth));
            let held = format!("{} of {}", count(result.held), count(result.asked));
            let (check, worst) = (in_cell(&check(&result.check, &result.expect)), escaped(&result.worst));
            let _ = writeln!(page, "| {tone} | {check} | {held} | {worst} |");
        }
        page.push('\n');
        return;
    }
    let missed = story.tallies.iter().filter(|tally| tally.held < tally.asked);
    list(
        page,
        "Checks that missed",
        missed.map(|tally| {
            let (check, phase) =
                (check(&tally.check, &tally.expect), words::phase(tally.phase).to_lowercase());
            format!("{} {check}, {phase}: {}", sign(Tone::Bad), escaped(&words::tallied(tally)))
        }),
    );
}

/// A check with its condition as code.
fn check(name: &str, expect: &str) -> String {
    if name.is_empty() || name == expect {
        code(expect)
    } else {
        format!("{} {}", escaped(name), code(expect))
    }
}

fn faults(page: &mut String, story: &Story) {
    list(
        page,
        "Faults",
        story.injections.iter().map(|injection| {
            let (tone, evidence) = words::evidence(injection);
            let when = story.window(injection).map_or(String::new(), |(start, end)| {
                format!(", from {} for {}", span(start), span(end - start))
            });
            let joined = if injection.joined { ", joined later" } else { "" };
            format!("{} {}{joined}{when}: {}", sign(tone), escaped(&injection.name()), escaped(&evidence))
        }),
    );
}

fn aftermath(page: &mut String, story: &Story) {
    let facts = [Some(words::put_back(story)), words::recovery(story), words::guard(story)];
    let names = ["Put back", "Recovery", words::guard_title(story)];
    let told =
        names.iter().zip(facts).filter_map(|(name, fact)| fact.map(|(tone, words)| (name, tone, words)));
    let told = told.map(|(name, tone, words)| format!("{} {name}: {}", sign(tone), escaped(&words)));
    let looks = story.put_backs().filter(|(_, done)| done.residue.is_empty()).flat_map(|(known, done)| {
        words::told_steps(known, done)
            .into_iter()
            .map(|step| format!("Looked at: {}", escaped(words::looked_at_in(step))))
    });
    list(page, "Afterwards", told.chain(looks));
    list(page, "Residue, to be put right by hand", story.residue().into_iter().map(code));
    list(page, "Notes", story.remarks().map(|note| escaped(note)));
}

fn foot(page: &mut String, story: &Story) {
    let header = &story.header;
    let mut parts = vec![format!("took {}", span(story.seconds()))];
    if !header.squall.is_empty() {
        parts.push(format!("Squall {}", escaped(&header.squall)));
    }
    parts.extend(header.started.map(words::moment));
    if !header.run.is_empty() {
        parts.push(format!("run {}", escaped(&header.run)));
    }
    let _ = writeln!(page, "<sub>{}</sub>", parts.join(" · "));
    if !header.file.is_empty() {
        let _ = writeln!(page, "\n<sub>Again: {}</sub>", code(&words::reproduce(story)));
    }
}

/// A list under a title; nothing at all where it is empty.
pub(crate) fn list(page: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if !items.is_empty() && !title.is_empty() {
        let _ = writeln!(page, "**{title}**\n");
    }
    for item in items.iter().take(LONGEST_LIST) {
        let _ = writeln!(page, "- {item}");
    }
    if items.len() > LONGEST_LIST {
        let _ = writeln!(page, "- … and {} more", items.len() - LONGEST_LIST);
    }
    if !items.is_empty() {
        page.push('\n');
    }
}

/// A text without meaning to Markdown or HTML, on one line.
pub(crate) fn escaped(text: &str) -> String {
    let characters: Vec<char> = crate::paint::printable(text).chars().collect();
    let word = |index: Option<usize>| {
        index.and_then(|index| characters.get(index)).is_some_and(|c| c.is_alphanumeric())
    };
    let mut escaped = String::new();
    for (index, &c) in characters.iter().enumerate() {
        // An underscore within a word is one.
        let within = c == '_' && word(index.checked_sub(1)) && word(Some(index + 1));
        if r"\`*_[]<>|~&#!".contains(c) && !within {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A text as code: within a fence that is longer than any in the text.
pub(crate) fn code(text: &str) -> String {
    let text = crate::paint::printable(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    if longest == 0 {
        return format!("`{text}`");
    }
    let fence = "`".repeat(longest + 1);
    format!("{fence} {text} {fence}")
}

/// Code within a table, where a bar would end the cell.
pub(crate) fn in_cell(code: &str) -> String {
    code.replace(r"\|", "|").replace('|', r"\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_journal_holds_is_text_and_nothing_else() {
        assert_eq!(escaped("latency_p99 of <b>|x|</b>\n# no"), r"latency_p99 of \<b\>\|x\|\</b\> \# no");
        assert_eq!(escaped("_a_ *b* [c](d)"), r"\_a\_ \*b\* \[c\](d)");
        assert_eq!(code("a `` b"), "``` a `` b ```");
        assert_eq!(in_cell(&code("body =~ a|b")), r"`body =~ a\|b`");
    }
}
