//! What is printed: the summary and the lines.

use crate::{RUNS, same_as_golden, support};
use squall_model::verdict::Verdict;
use squall_report::{Colour, Lines, Story, text, words};

#[test]
fn the_summary_of_each_kind_of_run() {
    for (name, run) in RUNS {
        let summary = text::summary(&Story::of(&run()), Colour::Off);
        for line in summary.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        same_as_golden(&format!("{name}.txt"), &summary);
    }
}

#[test]
fn the_lines_of_each_kind_of_run() {
    for (name, run) in RUNS {
        let mut lines = Lines::default();
        let told: String = run().iter().filter_map(|entry| lines.on(entry)).map(|line| line + "\n").collect();
        same_as_golden(&format!("{name}.lines"), &told);
    }
}

#[test]
fn what_was_never_made_was_not_put_back() {
    let mut journal = support::Journal::new("slow", "", 60.0);
    journal.prelude();
    journal.undo("failed");
    journal.latency_undone();
    let story = Story::of(&journal.verdict(Verdict::NoEffect, &["the fault could not be made"]));
    let (_, words) = words::put_back(&story);
    assert_eq!(words, "no injection was made; it was looked, and nothing is left");
    let (_, words) = words::put_back(&Story::of(&support::failed()));
    assert_eq!(words, "1 of 1 injection put back, and looked at again");
}

#[test]
fn what_was_ended_is_not_called_put_back() {
    let (_, words) = words::put_back(&Story::of(&support::killed(true)));
    assert_eq!(words, format!("1 injection {}", words::FOR_GOOD));
    let (_, words) = words::put_back(&Story::of(&support::killed(false)));
    assert_eq!(
        words,
        format!("1 of 1 injection put back, and looked at again; 1 injection {}", words::FOR_GOOD)
    );
    let entries = support::killed(true);
    let mut lines = Lines::default();
    let told: Vec<String> = entries.iter().filter_map(|entry| lines.on(entry)).collect();
    let summary = text::summary(&Story::of(&entries), Colour::Off);
    for format in ["html", "markdown", "junit", "json"] {
        let page = squall_report::Format::named(format).unwrap().render(&entries).to_lowercase();
        for lie in [
            "1 of 1",
            "everything was put back",
            "put back: process.kill",
            "put back in",
            "\"put_back\": true",
        ] {
            assert!(!page.contains(lie), "{format} says {lie:?}: {page}");
        }
    }
    for told in told.into_iter().chain([summary]) {
        assert!(!told.contains("put back in") && !told.contains("1 of 1"), "{told}");
    }
}

#[test]
fn who_joined_is_told_and_a_run_that_passed_is_no_mistake_in_any_report() {
    let entries = support::joined();
    let mut lines = Lines::default();
    let told: Vec<String> = entries.iter().filter_map(|entry| lines.on(entry)).collect();
    assert!(told.iter().any(|line| line.contains("joined") && line.contains("late (pid 9)")), "{told:?}");
    let summary = text::summary(&Story::of(&entries), Colour::Off);
    assert!(summary.contains("joined later") && summary.contains("could not join"), "{summary}");
    let render = |format: &str| squall_report::Format::named(format).unwrap().render(&entries);
    assert!(render("html").contains("joined later") && render("markdown").contains("joined later"));
    assert!(render("json").contains("\"joined\": true"), "{}", render("json"));
    let xml = render("junit");
    assert!(xml.contains("failures=\"0\" errors=\"0\"") && xml.contains("<skipped"), "{xml}");
}

#[test]
fn colour_changes_nothing_but_colour() {
    let story = Story::of(&support::failed());
    let coloured = text::summary(&story, Colour::On);
    assert!(coloured.contains("\x1b[31m"));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(trimmed(&plain), trimmed(&text::summary(&story, Colour::Off)));
}

#[test]
fn a_journal_in_any_order_tells_the_same() {
    let mut shuffled = support::failed();
    shuffled.reverse();
    // Events of one moment keep their order.
    shuffled.sort_by(|one, other| other.elapsed.total_cmp(&one.elapsed));
    let told = text::summary(&Story::of(&shuffled), Colour::Off);
    assert!(
        told.contains("FAILED") && told.contains("p99") && told.contains("18420 packets delayed"),
        "{told}"
    );
}

#[test]
fn nothing_at_all_is_an_unfinished_run() {
    let told = text::summary(&Story::of(&[]), Colour::Off);
    assert!(
        told.contains("UNFINISHED") && told.contains("not known: the journal ends before the run did"),
        "{told}"
    );
}
