//! Where a team stands, in words and as a page that needs nothing else.

use crate::html::{POLICY, STYLE, escape, key, section, sign};
use crate::paint::printable;
use crate::words::{self, Tone};
use squall_model::maturity::{Criterion, Level, Maturity, Score};
use std::fmt::Write as _;

/// A service below this is in trouble.
const WEAK: f64 = 50.0;
/// And from this on in good order.
const STRONG: f64 = 80.0;

/// The head of what shows a criterion, or is to be done for it.
const EVIDENCE: &str = "Shown by, or missing";

/// The report as a page.
pub fn page(maturity: &Maturity) -> String {
    let title = headline(maturity);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    let _ = write!(
        page,
        "<header>\n<p class=\"brand\">Squall <span>maturity</span></p>\n<h1>{title}</h1>\n\
         <p class=\"facts\"><time datetime=\"{0}\">{1}</time> · from {2} in the history</p>\n</header>\n",
        maturity.at,
        words::moment(maturity.at),
        counted(maturity.runs, "run", "runs")
    );
    keys(&mut page, maturity);
    maturity.levels.iter().for_each(|level| of_level(&mut page, level));
    scores(&mut page, maturity);
    page.push_str(
        "</main>\n<footer><p>Squall judges by what its history knows; what was done without it does not count.</p></footer>\n\
         </body>\n</html>\n",
    );
    page
}

/// The same for a terminal.
pub fn text(maturity: &Maturity) -> String {
    let runs = counted(maturity.runs, "run", "runs");
    let mut text = format!("{} (from {runs} in the history)\n", headline(maturity));
    for level in &maturity.levels {
        let _ = writeln!(
            text,
            "\nlevel {}, {}: {}",
            level.level,
            level.name,
            if level.met { "met" } else { "not met" }
        );
        for criterion in &level.criteria {
            let _ = writeln!(
                text,
                "  {} {}: {}",
                tone(criterion).sign(),
                criterion.name,
                printable(&criterion.found)
            );
            match &criterion.missing {
                Some(missing) => drop(writeln!(text, "      missing: {}", printable(missing))),
                None => drop(writeln!(text, "      shown by {}", printable(&criterion.evidence.join(", ")))),
            }
        }
    }
    if !maturity.scores.is_empty() {
        text.push_str("\nresilience, 0 to 100, the weakest first\n");
    }
    for score in &maturity.scores {
        let _ = writeln!(text, "  {:>5.1}  {} ({})", score.score, printable(&score.service), about(score));
    }
    if let Some(untested) = never_tested(maturity) {
        let _ = writeln!(text, "\n{}", printable(&untested));
    }
    text.trim_end().to_owned()
}

fn headline(maturity: &Maturity) -> String {
    format!("Maturity: level {} of 4, {}", maturity.level, maturity.name)
}

fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn tone(criterion: &Criterion) -> Tone {
    if criterion.met { Tone::Good } else { Tone::Neutral }
}

/// How many runs a score is made of, how old they are, and where it comes from.
fn about(score: &Score) -> String {
    let runs = counted(score.runs, "run", "runs");
    let age = match score.untested_days {
        Some(0) => "tested today".to_owned(),
        Some(days) => format!("last tested {} ago", counted(days.unsigned_abs(), "day", "days")),
        None => "not tested for long".to_owned(),
    };
    let before = score.before.map(|before| format!(", {before:.1} a month ago")).unwrap_or_default();
    format!("{runs}, {age}{before}")
}

/// The services that nothing is known of, in a sentence.
fn never_tested(maturity: &Maturity) -> Option<String> {
    let names = maturity.untested.join(", ");
    (!names.is_empty()).then(|| format!("never tested: {names}"))
}

fn keys(page: &mut String, maturity: &Maturity) {
    page.push_str("<dl class=\"keys\">\n");
    for level in &maturity.levels {
        let met = level.criteria.iter().filter(|criterion| criterion.met).count();
        let class = if level.met { "" } else { "quiet" };
        let value = format!("{met} of {}", level.criteria.len());
        key(page, &format!("Level {}, {}", level.level, level.name), class, &value, "criteria are met");
    }
    if let Some(weakest) = maturity.scores.first() {
        let class = if weakest.score < WEAK { "bad" } else { "" };
        key(page, "Weakest service", class, &format!("{:.0}", weakest.score), &escape(&weakest.service));
    }
    page.push_str("</dl>\n");
}

fn of_level(page: &mut String, level: &Level) {
    let state = if level.met { "met" } else { "not met yet" };
    section(page, "card", &format!("Level {}: {}, {state}", level.level, level.name));
    page.push_str("<table class=\"criteria\">\n");
    let _ = write!(
        page,
        "<thead><tr><th>Criterion</th><th>Found</th><th>{EVIDENCE}</th></tr></thead>\n<tbody>\n"
    );
    for criterion in &level.criteria {
        let next = match &criterion.missing {
            Some(missing) => escape(missing),
            None => format!("<small>shown by {}</small>", names(&criterion.evidence)),
        };
        let _ = writeln!(
            page,
            "<tr><th>{}{}<small>{}</small></th><td data-name=\"Found\">{}</td><td data-name=\"{EVIDENCE}\">{next}</td></tr>",
            sign(tone(criterion)),
            escape(criterion.name),
            escape(&criterion.wants),
            escape(&criterion.found)
        );
    }
    page.push_str("</tbody>\n</table>\n</section>\n");
}

fn scores(page: &mut String, maturity: &Maturity) {
    if maturity.scores.is_empty() && maturity.untested.is_empty() {
        return;
    }
    section(page, "card", "Resilience by service");
    if !maturity.scores.is_empty() {
        table_of_scores(page, &maturity.scores);
    }
    if let Some(untested) = never_tested(maturity) {
        let _ = writeln!(page, "<p class=\"remark\">{}</p>", escape(&untested));
    }
    page.push_str("</section>\n");
}

/// Names that are not broken at their hyphens, as far as there is room.
fn names(names: &[String]) -> String {
    let whole = |name: &String| format!("<span class=\"name\">{}</span>", escape(name));
    names.iter().map(whole).collect::<Vec<_>>().join(", ")
}

fn table_of_scores(page: &mut String, scores: &[Score]) {
    page.push_str(
        "<table>\n<thead><tr><th>Service</th><th class=\"number\">Score</th><th>From</th></tr></thead>\n",
    );
    page.push_str("<tbody>\n");
    for score in scores {
        let class = match score.score {
            weak if weak < WEAK => "bad",
            middle if middle < STRONG => "warning",
            _ => "good",
        };
        let _ = writeln!(
            page,
            "<tr><th>{}</th><td class=\"number {class}\" data-name=\"Score\">{:.1}</td><td data-name=\"From\">{}</td></tr>",
            escape(&score.service),
            score.score,
            about(score)
        );
    }
    page.push_str(
        "</tbody>\n</table>\n<p class=\"remark\">0 to 100: the share of weight that passed. Runs count half after thirty \
         days, a run that the guard ended counts half a failure, and residue five.</p>\n",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maturity() -> Maturity {
        let criterion = |name, met: bool| Criterion {
            name,
            wants: "3 experiments".into(),
            met,
            found: "2 <experiments>".into(),
            evidence: if met { vec!["run-1".into(), "run-2".into()] } else { Vec::new() },
            missing: (!met).then(|| "carry out 1 more".into()),
        };
        let score = |service: &str, score, before, untested_days| Score {
            service: service.into(),
            score,
            before,
            runs: 4,
            untested_days,
            last_run: Some("run-1".into()),
        };
        Maturity {
            at: "2026-06-30T12:00:00Z".parse().unwrap(),
            level: 1,
            name: "Ad-hoc",
            runs: 12,
            levels: vec![Level {
                level: 2,
                name: "Defined",
                met: false,
                criteria: vec![
                    criterion("documented experiments", true),
                    criterion("regular game days", false),
                ],
            }],
            scores: vec![score("<ledger>", 33.3, Some(60.0), Some(3)), score("payment", 90.0, None, Some(0))],
            untested: vec!["search".into()],
        }
    }

    #[test]
    fn the_page_tells_levels_and_scores_and_loads_nothing() {
        let page = page(&maturity());
        for words in [
            "<h1>Maturity: level 1 of 4, Ad-hoc</h1>",
            "<th>Shown by, or missing</th>",
            "shown by <span class=\"name\">run-1</span>, <span class=\"name\">run-2</span>",
            "<p class=\"remark\">never tested: search</p>",
            "carry out 1 more",
            "2 &lt;experiments&gt;",
            "&lt;ledger&gt;",
            "<td class=\"number bad\" data-name=\"Score\">33.3</td>",
            "4 runs, last tested 3 days ago, 60.0 a month ago",
        ] {
            assert!(page.contains(words), "{words:?} is not in:\n{page}");
        }
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    }

    #[test]
    fn the_text_tells_the_same() {
        let text = text(&maturity());
        assert!(text.starts_with("Maturity: level 1 of 4, Ad-hoc (from 12 runs in the history)\n"), "{text}");
        assert!(text.contains("\nlevel 2, Defined: not met\n"), "{text}");
        assert!(text.contains("      missing: carry out 1 more\n"), "{text}");
        assert!(text.ends_with("   90.0  payment (4 runs, tested today)\n\nnever tested: search"), "{text}");
    }
}
