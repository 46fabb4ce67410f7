//! What is printed: the summary and the lines.

use crate::{RUNS, same_as_golden, support};
use squall_model::event::{AbortCause, Event, Phase};
use squall_model::undo::{Evidence, Reverted};
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

/// A run of one injection on a pod, which shows what is given, a second apart, and is over then.
fn of_a_pod(fault: &str, shows: &[Evidence], verdict: Verdict) -> Vec<squall_model::event::Entry> {
    let pod = "pod shop/web-1";
    let mut journal = support::Journal::new("pods", "", 20.0);
    journal.plan(&[("pod-1", fault, pod, "strike it", "nothing brings it back")], 20, &[]);
    journal.phase(Phase::Fault);
    journal.inject("pod-1", fault, pod, shows[0].clone());
    for evidence in &shows[1..] {
        journal.wait(2.0);
        journal.evidence("pod-1", evidence.clone());
    }
    journal.undo("over");
    let looked_at = format!("nothing brings {pod} back; its controller makes another elsewhere");
    journal.restored("pod-1", fault, pod, Reverted::AlreadyGone { looked_at });
    journal.verdict(verdict, &["no condition was given, so nothing was judged but the fault and its undo"])
}

fn in_every_format(entries: &[squall_model::event::Entry]) -> Vec<String> {
    let mut lines = Lines::default();
    let told: Vec<String> = entries.iter().filter_map(|entry| lines.on(entry)).collect();
    let render = |format: &str| squall_report::Format::named(format).unwrap().render(entries);
    // The summary is broken at spaces.
    let summary = text::summary(&Story::of(entries), Colour::Off);
    let summary = summary.split_whitespace().collect::<Vec<_>>().join(" ");
    vec![summary, told.join("\n"), render("html"), render("markdown"), render("junit")]
}

#[test]
fn what_was_struck_until_it_was_gone_is_told_as_such() {
    let (down, gone) = (Evidence::seen("containers do not run"), Evidence::gone("pod shop/web-1 is gone"));
    let entries = of_a_pod("k8s.pod_failure", &[down.clone(), down, gone.clone(), gone], Verdict::Passed);
    let story = Story::of(&entries);
    let (tone, words) = words::evidence(&story.injections[0]);
    assert_eq!(tone, words::Tone::Neutral);
    assert_eq!(words, "struck, until its target was gone after 4 s; before that: containers do not run");
    for page in in_every_format(&entries) {
        assert!(!page.contains("no effect seen") && page.contains("gone"), "{page}");
    }
    let json = squall_report::Format::named("json").unwrap().render(&entries);
    assert!(json.contains("\"effect_seen\": true") && json.contains("\"gone_after\": "), "{json}");
}

#[test]
fn what_somebody_took_back_or_decided_otherwise_is_told_as_such() {
    let (cut, lost) = (Evidence::seen("the label is there"), Evidence::lost("the policy is not there"));
    let shows = [cut.clone(), lost.clone()];
    let story = Story::of(&of_a_pod("k8s.network_policy", &shows, Verdict::NoEffect));
    let told = words::evidence(&story.injections[0]);
    let line =
        "struck, until somebody else took it back: the policy is not there; before that: the label is there";
    assert_eq!(told, (words::Tone::Warning, line.to_owned()));
    assert!(!story.injections[0].effect_seen());
    let stands = Reverted::LetStand { looked_at: "replicas was 2, is 3".into() };
    assert_eq!(words::reverted(&stands), (words::Tone::Warning, "replicas was 2, is 3".to_owned()));
}

#[test]
fn what_could_not_be_made_is_said_once() {
    let mut journal = support::Journal::new("pods", "", 20.0);
    let message = "this kernel lacks sch_netem".to_owned();
    journal.say(Event::InjectFailed { injection: String::new(), message, hindered_by: None });
    let entries =
        journal.verdict(Verdict::NoEffect, &["the fault could not be made: this kernel lacks sch_netem"]);
    let summary = text::summary(&Story::of(&entries), Colour::Off);
    let summary = summary.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(summary.matches("lacks sch_netem").count(), 1, "{summary}");
}

#[test]
fn a_target_that_was_gone_before_it_showed_anything_was_not_struck() {
    let shows = [Evidence::not_seen("0 packets"), Evidence::gone("interface eth0 is gone")];
    let entries = of_a_pod("network.loss", &shows, Verdict::NoEffect);
    let (_, words) = words::evidence(&Story::of(&entries).injections[0]);
    assert_eq!(words, "no effect seen until its target was gone after 2 s: interface eth0 is gone");
}

#[test]
fn a_run_without_a_hypothesis_is_not_said_to_have_kept_one() {
    let entries = of_a_pod("k8s.pod_failure", &[Evidence::seen("down")], Verdict::Passed);
    let meaning = words::meaning(&Story::of(&entries));
    assert_eq!(meaning, "The fault was truly active, and everything was put back; no hypothesis was judged.");
    for page in in_every_format(&entries) {
        assert!(!page.contains("hypothesis held"), "{page}");
    }
    assert!(words::meaning(&Story::of(&support::passed())).starts_with("The hypothesis held while"));
}

#[test]
fn an_eviction_that_was_never_allowed_has_ended_nothing() {
    let refused = Evidence::not_seen("the disruption budget does not allow it");
    let entries = of_a_pod("k8s.evict", &[refused.clone(), refused], Verdict::NoEffect);
    let (_, words) = words::put_back(&Story::of(&entries));
    assert_eq!(words, format!("1 injection {}", words::ENDED_NOTHING));
    for page in in_every_format(&entries) {
        assert!(!page.contains("stays ended") && !page.contains("brings pod"), "{page}");
    }
}

#[test]
fn a_question_without_an_answer_is_not_told_of_a_guard() {
    let mut journal = support::Journal::new("asks", "", 20.0);
    journal.plan_latency();
    let reason = "`size` (http) was not answered".to_owned();
    journal.say(Event::Aborted { cause: AbortCause::Unreadable, reason });
    let entries = journal.verdict(Verdict::Aborted, &["`size` (http) was not answered"]);
    let summary = text::summary(&Story::of(&entries), Colour::Off);
    assert!(summary.contains("ended by something that could not be read"), "{summary}");
    assert!(!summary.contains("Guard") && !summary.contains("the guard"), "{summary}");
}

#[test]
fn lines_are_cut_at_a_terminal_alone() {
    let reason = "because ".repeat(100) + "of the end";
    let entries = support::Journal::new("long", "", 20.0).verdict(Verdict::NoEffect, &[&reason]);
    let last = |mut lines: Lines| entries.iter().filter_map(|entry| lines.on(entry)).last().unwrap();
    assert!(last(Lines::default()).contains("of the end (exit code"));
    assert!(last(Lines::for_a_terminal()).ends_with('…'));
}
