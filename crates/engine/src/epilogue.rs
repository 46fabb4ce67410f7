//! The end of a journal whose brain was killed. Nobody was left to write it, so whoever puts things back, or comes by
//! later, adds what is missing: what is known of the undo, and a verdict. Without I/O.

use squall_model::event::{AbortCause, Entry, Event};
use squall_model::fault::is_for_good;
use squall_model::protocol::Restored;
use squall_model::verdict::Verdict;

use jiff::Timestamp;
use std::collections::BTreeMap;

/// What is put back later than this after the last word, in seconds, is told as if it had been then: the machine was down, or
/// nobody came by, and the run did not last for days. When it was, `at` tells.
const STILL_OF_THE_RUN: f64 = 600.0;

/// Why a journal has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its brain is gone.
    Killed,
    /// Its brain told it, and found no room to write it down.
    Unwritten,
}

impl Why {
    fn cause(self) -> AbortCause {
        match self {
            Self::Killed => AbortCause::Killed,
            Self::Unwritten => AbortCause::Journal,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Killed => {
                "the process that carried this run out ended without a word (it was killed, or the machine went down)"
            }
            Self::Unwritten => "the journal could not be written to its end, which ended the run",
        }
    }
}

/// What is to be added to the journal of a brain that does not live any more; nothing where there is a verdict, or where
/// it is no run's journal.
/// `restored` is what has been put back since, of any run. Injections that are neither told there nor in the journal are
/// taken for settled: the caller has looked that no undo log of the run is left.
pub fn missing(journal: &[Entry], restored: &[Restored], now: Timestamp, why: Why) -> Vec<Entry> {
    let (Some(Entry { event: Event::RunStarted { .. }, .. }), Some(last)) = (journal.first(), journal.last())
    else {
        return Vec::new();
    };
    if journal.iter().any(|entry| matches!(entry.event, Event::Verdict { .. })) {
        return Vec::new();
    }
    let mut residue = residue(journal);
    let mut events = Vec::new();
    if !journal.iter().any(|entry| matches!(entry.event, Event::Aborted { .. })) {
        events.push(Event::Aborted { cause: why.cause(), reason: why.words().to_owned() });
    }
    for told in restored {
        if let Some(open) = residue.get_mut(told.injection.as_str()) {
            *open = told.residue();
            events.push(Event::Restored { residue: told.residue(), restored: told.clone(), seconds: 0.0 });
        }
    }
    let left: Vec<String> = residue.into_values().flatten().collect();
    let touched = journal.iter().any(|entry| matches!(entry.event, Event::InjectStarted { .. }));
    let (verdict, mut reasons) = if !left.is_empty() {
        (Verdict::Residue, left)
    } else if touched {
        (Verdict::Aborted, vec![over(journal).to_owned()])
    } else {
        (Verdict::Aborted, vec!["nothing was touched".to_owned()])
    };
    // What is left comes first; that nothing is, last.
    let place = if verdict == Verdict::Residue { reasons.len() } else { 0 };
    reasons.insert(place, why.words().to_owned());
    events.push(Event::Verdict { verdict, reasons, exit_code: verdict.exit_code(), seconds: last.elapsed });
    let since = now.duration_since(last.at).as_secs_f64();
    let elapsed = last.elapsed + if (0.0..STILL_OF_THE_RUN).contains(&since) { since } else { 0.0 };
    events.into_iter().map(|event| Entry { at: now, elapsed, event }).collect()
}

/// That nothing is left, in words that are true also of what cannot be put back.
fn over(journal: &[Entry]) -> &'static str {
    let is_for_good =
        |entry: &Entry| matches!(&entry.event, Event::InjectStarted { fault, .. } if is_for_good(fault));
    if journal.iter().any(is_for_good) {
        "what was ended stays ended; what can be put back was, and nothing of Squall's is left"
    } else {
        "everything was put back"
    }
}

/// The injections that were begun and are not told to be put back, with what could not be when it was last tried.
fn residue(journal: &[Entry]) -> BTreeMap<&str, Vec<String>> {
    let mut open = BTreeMap::new();
    for entry in journal {
        match &entry.event {
            Event::InjectStarted { injection, .. } => {
                open.insert(injection.as_str(), Vec::new());
            }
            Event::Restored { restored, residue, .. } if residue.is_empty() => {
                open.remove(restored.injection.as_str());
            }
            Event::Restored { restored, residue, .. } => {
                open.insert(restored.injection.as_str(), residue.clone());
            }
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::event::Phase;
    use squall_model::undo::Reverted;

    fn journal(events: impl IntoIterator<Item = Event>) -> Vec<Entry> {
        let entry = |event| Entry { at: "2026-01-02T03:04:05Z".parse().unwrap(), elapsed: 4.0, event };
        let started = serde_json::from_str(r#"{"event": "run_started"}"#).unwrap();
        std::iter::once(started).chain(events).map(entry).collect()
    }

    fn begun(injection: &str) -> Event {
        let [injection, fault, target] = [injection, "process.pause", "pid 7"].map(str::to_owned);
        Event::InjectStarted { injection, fault, target, stage: None }
    }

    fn restored(injection: &str, errors: &[&str]) -> Restored {
        Restored {
            injection: injection.into(),
            fault: "process.pause".into(),
            target: "pid 7".into(),
            steps: vec![Reverted::Undone { looked_at: "state of 7".into() }],
            errors: errors.iter().map(ToString::to_string).collect(),
        }
    }

    fn told(restored: Restored) -> Event {
        Event::Restored { residue: restored.residue(), restored, seconds: 0.1 }
    }

    fn names(entries: &[Entry]) -> Vec<String> {
        let name = |entry: &Entry| serde_json::to_value(entry).unwrap()["event"].as_str().unwrap().to_owned();
        entries.iter().map(name).collect()
    }

    #[track_caller]
    fn ends(entries: &[Entry], expected: Verdict, words: &str) {
        let Some(Entry { event: Event::Verdict { verdict, reasons, .. }, .. }) = entries.last() else {
            panic!("no verdict: {entries:?}");
        };
        assert_eq!(*verdict, expected, "{reasons:?}");
        assert!(reasons[0].contains(words), "{reasons:?}");
    }

    fn add(journal: &[Entry], restored: &[Restored]) -> Vec<Entry> {
        missing(journal, restored, "2026-01-02T03:04:07Z".parse().unwrap(), Why::Killed)
    }

    #[test]
    fn a_killed_run_is_aborted_with_what_was_put_back() {
        let added = add(&journal([begun("a"), begun("b")]), &[restored("b", &[]), restored("other", &[])]);
        assert_eq!(names(&added), ["aborted", "restored", "verdict"]);
        ends(&added, Verdict::Aborted, "ended without a word");
        assert!(added.iter().all(|entry| (entry.elapsed - 6.0).abs() < 1e-9));
    }

    #[test]
    fn what_a_killed_run_ended_for_good_is_not_called_put_back() {
        let mut killed = begun("a");
        if let Event::InjectStarted { fault, .. } = &mut killed {
            *fault = "process.kill".to_owned();
        }
        let added = format!("{:?}", add(&journal([killed]), &[]));
        assert!(added.contains("stays ended") && !added.contains("everything was put back"), "{added}");
    }

    #[test]
    fn days_in_which_nobody_came_by_are_not_part_of_the_run() {
        let late = missing(&journal([begun("a")]), &[], "2026-01-04T00:00:00Z".parse().unwrap(), Why::Killed);
        assert!((late[0].elapsed - 4.0).abs() < 1e-9, "{late:?}");
        assert_eq!(late[0].at.to_string(), "2026-01-04T00:00:00Z");
    }

    #[test]
    fn what_could_not_be_put_back_is_residue() {
        let added = add(&journal([begun("a")]), &[restored("a", &["no such file"])]);
        ends(&added, Verdict::Residue, "no such file");
        // Told before the brain was killed, and not mended since.
        ends(&add(&journal([begun("a"), told(restored("a", &["stuck"]))]), &[]), Verdict::Residue, "stuck");
        let mended = add(&journal([begun("a"), told(restored("a", &["stuck"]))]), &[restored("a", &[])]);
        ends(&mended, Verdict::Aborted, "ended without a word");
        // What was put back is not put back again by what another run tells.
        let twice = add(&journal([begun("a"), told(restored("a", &[]))]), &[restored("a", &["late"])]);
        ends(&twice, Verdict::Aborted, "ended without a word");
    }

    #[test]
    fn before_anything_is_touched_it_says_so_and_an_abort_is_told_once() {
        let added = add(&journal([Event::PhaseStarted { phase: Phase::Baseline }]), &[]);
        let Event::Verdict { reasons, .. } = &added[1].event else { panic!("{added:?}") };
        assert_eq!(reasons[1], "nothing was touched");
        let guard = Event::Aborted { cause: AbortCause::Guard, reason: "too slow".into() };
        assert_eq!(names(&add(&journal([begun("a"), guard]), &[])), ["verdict"]);
    }

    #[test]
    fn a_whole_journal_stays_as_it_is() {
        let verdict =
            Event::Verdict { verdict: Verdict::Passed, reasons: Vec::new(), exit_code: 0, seconds: 1.0 };
        assert!(add(&journal([begun("a"), verdict]), &[restored("a", &[])]).is_empty());
        assert!(add(&[], &[]).is_empty());
        assert!(add(&journal([begun("a")])[1..], &[]).is_empty());
    }
}
