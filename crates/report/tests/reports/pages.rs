//! The HTML page: well-formed, self-contained, deaf to what a hostile journal says, small.

use crate::{RUNS, support};
use squall_model::event::{Entry, Event};
use squall_report::Format;

/// Elements that have no end tag in HTML.
const VOID: [&str; 2] = ["meta", "br"];

/// Walks through the tags of a page: each is closed in its turn, every attribute is quoted. Returns the tags with
/// their attributes.
fn tags(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((text, after)) = rest.split_once('<') {
        if open.last().is_none_or(|element| element != "style") {
            assert!(!text.contains('>'), "a bare > in {text:?}");
        }
        if let Some(name) = after.strip_prefix('/') {
            let (name, after) = name.split_once('>').unwrap();
            assert_eq!(open.pop().as_deref(), Some(name), "closed out of turn");
            rest = after;
            continue;
        }
        let (name, attributes, closed, after) = tag(after);
        if !closed && !VOID.contains(&name.as_str()) && !name.starts_with('!') {
            open.push(name.clone());
        }
        found.push((name, attributes));
        rest = after;
    }
    assert!(open.is_empty(), "never closed: {open:?}");
    found
}

/// One tag from behind its `<`: name, attributes, whether it closes itself, and what follows.
fn tag(text: &str) -> (String, Vec<(String, String)>, bool, &str) {
    let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap();
    let (name, mut rest) = text.split_at(end);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/>") {
            return (name.to_owned(), attributes, true, after);
        }
        if let Some(after) = rest.strip_prefix('>') {
            return (name.to_owned(), attributes, false, after);
        }
        if name == "!doctype" {
            rest = rest.strip_prefix("html").unwrap();
            continue;
        }
        let (key, after) =
            rest.split_once("=\"").unwrap_or_else(|| panic!("attribute of {name} in {rest:.80}"));
        let (value, after) = after.split_once('"').unwrap();
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == ':'), "{key}");
        assert!(!value.contains('<'), "{value}");
        attributes.push((key.to_owned(), value.to_owned()));
        rest = after;
    }
}

/// Nothing is loaded, nothing is run, no name is given twice.
fn self_contained(page: &str) {
    let mut names = Vec::new();
    for (element, attributes) in tags(page) {
        let known = !matches!(
            element.as_str(),
            "script" | "iframe" | "object" | "embed" | "link" | "img" | "a" | "base"
        );
        assert!(known, "<{element}> has no place in a report");
        for (key, value) in attributes {
            assert!(!key.starts_with("on"), "{key}={value}");
            match key.as_str() {
                "href" => assert!(value.starts_with("#course-"), "{value}"),
                "clip-path" => assert!(value.starts_with("url(#broken-"), "{value}"),
                "src" | "srcset" | "style" | "action" => panic!("{key}={value}"),
                "id" => {
                    assert!(!names.contains(&value), "{value} twice");
                    names.push(value);
                }
                _ => assert!(!value.contains("url("), "{key}={value}"),
            }
        }
    }
    let (_, style) = page.split_once("<style>").unwrap();
    let (style, _) = style.split_once("</style>").unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\""));
    assert!(!page.contains("NaN") && !page.contains("inf%"), "a number went wrong");
}

fn render(format: &str, journal: &[Entry]) -> String {
    Format::named(format).unwrap().render(journal)
}

fn keep(name: &str, page: &str) {
    std::fs::write(format!("{}/{name}.html", env!("CARGO_TARGET_TMPDIR")), page).unwrap();
}

#[test]
fn pages_are_well_formed_and_need_nothing_else() {
    for (name, run) in RUNS.into_iter().chain([("busy", support::busy as fn() -> _)]) {
        let page = render("html", &run());
        keep(name, &page);
        self_contained(&page);
    }
}

#[test]
fn a_page_says_what_matters() {
    let page = render("html", &support::failed());
    for words in [
        "injection, looked at again",
        "<title>Failed: payment-survives-a-slow-ledger</title>",
        "Checkout keeps its objectives",
        "+1.13 s",
        "95 % CI 1.1 to 1.3",
        "no difference seen",
        "18420 packets delayed",
        "noqueue, as before",
        "remove our qdisc from lo",
        "objective &lt; 500 ms",
        "<span>ledger=10.0.0.7:8080</span> <span>--seed</span> <span>42</span>",
        "exit code 1",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let page = render("html", &support::truncated());
    assert!(page.contains("did not finish") && page.contains("squall recover"));
    let page = render("html", &support::residue());
    assert!(page.contains("nsenter -t 812 -n tc qdisc del dev lo root"));
    let page = render("html", &support::aborted());
    assert!(page.contains("no reading: http://127.0.0.1:9090: connection refused"));
}

#[test]
fn an_empty_journal_makes_a_page_too() {
    let page = render("html", &[]);
    self_contained(&page);
    assert!(page.contains("Unfinished"));
}

#[test]
fn a_hostile_journal_is_text() {
    let journal = support::hostile();
    let page = render("html", &journal);
    keep("hostile", &page);
    self_contained(&page);
    assert!(page.contains("&lt;script&gt;"));
    let xml = render("junit", &journal);
    assert!(!xml.contains("<script>") && !xml.contains('\u{1b}'));
    assert!(!render("text", &journal).contains('\u{1b}'));
    assert!(!render("markdown", &journal).contains("\n<script>"));
}

#[test]
fn very_many_metrics_stay_small() {
    let mut journal = support::hour();
    for entry in &mut journal {
        if let Event::Metrics { values, .. } = &mut entry.event {
            values.extend((0..300).map(|number| (format!("custom_{number}"), f64::from(number % 7))));
        }
    }
    let page = render("html", &journal);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains("further metrics are in the journal only"));
}

#[test]
fn an_hour_stays_small() {
    let page = render("html", &support::hour());
    keep("hour", &page);
    self_contained(&page);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}
