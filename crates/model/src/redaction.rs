//! Secrets taken out of texts, before anybody sees them.
//!
//! A text is redacted whole and cut afterwards: a cut that falls into a secret would leave its beginning, which nobody
//! knows for one any more. What a machine reads (the names of events, phases and verdicts, of metrics and injections) is
//! no text: a secret that happens to be called `passed` must not take a verdict away.

use crate::event::{CheckResult, Entry, Event, MetricChange, Planned};
use crate::protocol::Restored;
use crate::undo::{Difference, Evidence, Reverted};
use crate::value::{Reading, Value};

/// Secrets of fewer characters are hidden only where they stand alone.
const SHORTEST_WITHIN_WORDS: usize = 4;

/// What stands in place of a secret.
pub const HIDDEN: &str = "[hidden]";

/// Takes secrets out of what is written and shown.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// Each secret as it is, and as it stands inside of quotes.
    forms: Vec<String>,
}

impl Redactor {
    /// Hides these texts wherever they stand, and their forms inside of quotes. Empty ones are passed over.
    pub fn new(secrets: &[String]) -> Self {
        let mut forms: Vec<String> = Vec::new();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            let quotes = [serde_json::Value::from(secret.as_str()).to_string(), format!("{secret:?}")];
            forms.extend(quotes.iter().map(|quoted| quoted[1..quoted.len() - 1].to_owned()));
            forms.push(secret.clone());
        }
        forms.sort();
        forms.dedup();
        Self { forms }
    }

    /// A text without secrets. Where two overlap, both are hidden whole.
    pub fn text(&self, text: &str) -> String {
        let mut found: Vec<(usize, usize)> = self
            .forms
            .iter()
            .flat_map(|form| occurrences(text, form).filter(|at| is_told(text, form, *at)))
            .collect();
        found.sort_unstable();
        let mut told = String::with_capacity(text.len());
        let mut at = 0;
        let mut hidden = found.into_iter().peekable();
        while let Some((start, mut end)) = hidden.next() {
            while let Some((_, further)) = hidden.next_if(|(next, _)| *next < end) {
                end = end.max(further);
            }
            told.push_str(&text[at..start]);
            told.push_str(HIDDEN);
            at = end;
        }
        told.push_str(&text[at..]);
        told
    }

    /// The texts of a reading without secrets; its names stay.
    pub fn values(&self, reading: &Reading) -> Reading {
        let hide = |value: &Value| match value {
            Value::Text(text) => Value::Text(self.text(text)),
            other => other.clone(),
        };
        reading.iter().map(|(name, value)| (name.clone(), hide(value))).collect()
    }

    /// An entry of the journal without secrets.
    #[must_use]
    pub fn entry(&self, mut entry: Entry) -> Entry {
        if !self.forms.is_empty() {
            self.event(&mut entry.event);
        }
        entry
    }

    fn hide(&self, text: &mut String) {
        *text = self.text(text);
    }

    fn all<'t>(&self, texts: impl IntoIterator<Item = &'t mut String>) {
        texts.into_iter().for_each(|text| self.hide(text));
    }

    /// Every field is named, so that whoever adds one decides whether it is a text.
    fn event(&self, event: &mut Event) {
        match event {
            Event::RunStarted {
                experiment,
                hypothesis,
                tags,
                file,
                options,
                services,
                conditions,
                environment,
                origin,
                version: _,
                run: _,
                seed: _,
                squall: _,
                host: _,
                by: _,
                objectives: _,
                limits: _,
                method_seconds: _,
                baseline_seconds: _,
                fingerprint: _,
                recovery_seconds: _,
            } => {
                self.all([experiment, hypothesis, file, environment, origin]);
                self.all(tags.iter_mut().chain(options).chain(services));
                self.all(conditions.iter_mut().flat_map(|(name, text)| [name, text]));
            }
            Event::PhaseStarted { phase: _ }
            | Event::UndoStarted { injections: _, why: _ }
            | Event::Recovered { seconds: _, within: _ } => {}
            Event::Planned { injections, notes, .. } => {
                injections.iter_mut().for_each(|planned| self.planned(planned));
                self.all(notes);
            }
            Event::Approved { by } => self.hide(by),
            Event::Refused { by, why } => [by, why].into_iter().for_each(|text| self.hide(text)),
            Event::Replanned { injections, notes, replaced: _ } => {
                injections.iter_mut().for_each(|planned| self.planned(planned));
                self.all(notes);
            }
            Event::Joined { injections } => {
                injections.iter_mut().for_each(|planned| self.planned(planned));
            }
            Event::Probe { check, expect, reading, error, phase: _, truth: _, seconds: _ } => {
                self.all([check, expect].into_iter().chain(error));
                *reading = self.reading(reading);
            }
            Event::Answered { error, reading, name: _, probe: _, seconds: _ } => {
                self.all(error);
                *reading = self.reading(reading);
            }
            Event::Skipped { what, when, found, is_fault: _ } => self.all([what, when, found]),
            Event::Metrics { errors, phase: _, values: _ } => self.all(errors.values_mut()),
            Event::InjectStarted { target, stage, injection: _, fault: _ } => {
                self.all(std::iter::once(target).chain(stage));
            }
            Event::Injected { evidence, injection: _, seconds: _ }
            | Event::Evidence { evidence, injection: _ } => {
                evidence.iter_mut().for_each(|evidence| self.evidence(evidence));
            }
            Event::TargetGone { what: message, injection: _ }
            | Event::InjectFailed { message, injection: _, hindered_by: _ }
            | Event::Note { message } => self.hide(message),
            Event::Guard { conditions, ticks: _, slowest_seconds: _ } => {
                self.all(conditions.iter_mut().map(|(condition, _)| condition));
            }
            Event::Aborted { reason, cause: _ } => self.hide(reason),
            Event::Restored { restored, residue, seconds: _ } => {
                self.restored(restored);
                self.all(residue);
            }
            Event::Compared { comparisons } => comparisons.iter().for_each(is_without_texts),
            Event::Judged { checks } => checks.iter_mut().for_each(|check| self.check(check)),
            Event::Verdict { reasons, verdict: _, exit_code: _, seconds: _ } => self.all(reasons),
        }
    }

    /// What a reading calls its values is ours up to the first dot, and what was answered after it, as in `json.KEY`.
    fn reading(&self, reading: &Reading) -> Reading {
        let name = |name: String| match name.split_once('.') {
            Some((ours, theirs)) => format!("{ours}.{}", self.text(theirs)),
            None => name,
        };
        self.values(reading).into_iter().map(|(found, value)| (name(found), value)).collect()
    }

    /// The words of a planned injection without secrets.
    pub fn planned(&self, planned: &mut Planned) {
        let Planned { target, does, undone_by, id: _, entry: _, fault: _, lasts: _, when } = planned;
        self.all(std::iter::once(target).chain(does).chain(undone_by).chain(when));
    }

    fn evidence(&self, evidence: &mut Evidence) {
        let Evidence { summary, effect: _, measures: _ } = evidence;
        self.hide(summary);
    }

    fn restored(&self, restored: &mut Restored) {
        let Restored { target, steps, errors, injection: _, fault: _ } = restored;
        self.all(std::iter::once(target).chain(errors));
        for step in steps {
            match step {
                Reverted::Undone { looked_at }
                | Reverted::AlreadyGone { looked_at }
                | Reverted::LetStand { looked_at } => self.hide(looked_at),
                Reverted::Drifted(Difference { looked_at, before, now, remedy, .. }) => {
                    self.all([looked_at, before, now, remedy]);
                }
            }
        }
    }

    fn check(&self, result: &mut CheckResult) {
        let CheckResult { check, expect, worst, truth: _, asked: _, held: _, within: _, after: _ } = result;
        self.all([check, expect, worst]);
    }
}

/// Numbers, and the names of a metric and of a method.
fn is_without_texts(change: &MetricChange) {
    let MetricChange { metric: _, baseline: _, during: _, difference: _, interval: _, seen: _, method: _ } =
        change;
}

/// Where a form stands in a text, also where it overlaps itself.
/// Whether a secret is told at a place. A very short one is in many words by chance, which say nothing of it and are of
/// no use without their letters: it is hidden where it stands alone.
fn is_told(text: &str, form: &str, (start, end): (usize, usize)) -> bool {
    let stands_alone =
        || !text[..start].ends_with(char::is_alphanumeric) && !text[end..].starts_with(char::is_alphanumeric);
    form.chars().count() >= SHORTEST_WITHIN_WORDS || stands_alone()
}

fn occurrences<'t>(text: &'t str, form: &'t str) -> impl Iterator<Item = (usize, usize)> + 't {
    let step = form.chars().next().map_or(1, char::len_utf8);
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text.get(from..)?.find(form)?;
        from = start + step;
        Some((start, start + form.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Truth;
    use crate::event::Phase;
    use crate::verdict::Verdict;
    use std::collections::BTreeMap;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(&secrets.iter().map(|&secret| secret.to_owned()).collect::<Vec<_>>())
    }

    fn entry(event: Event) -> Entry {
        Entry { at: "2026-01-02T03:04:05Z".parse().unwrap(), elapsed: 1.25, event }
    }

    #[test]
    fn secrets_are_hidden_in_every_form_and_where_they_overlap() {
        let redactor = redactor(&["pass\"wörd", "", "pass", "abcab", "hide", "x"]);
        for (text, told) in [
            ("a pass here", "a [hidden] here"),
            ("pass\"wörd", "[hidden]"),
            (r#"{"key": "pass\"wörd"}"#, r#"{"key": "[hidden]"}"#),
            ("zabcabcaby, abcab", "z[hidden]y, [hidden]"),
            ("passhide", "[hidden][hidden]"),
            // A very short one where it stands alone.
            ("x fixes ?key=x&y", "[hidden] fixes ?key=[hidden]&y"),
            ("", ""),
        ] {
            assert_eq!(redactor.text(text), told);
        }
        assert_eq!(Redactor::default().text("text"), "text");
    }

    #[test]
    fn a_probe_keeps_its_truth_and_loses_what_is_secret() {
        let event = Event::Probe {
            phase: Phase::Fault,
            check: "http ?key=hunter2".into(),
            expect: "json.hunter2 == \"hunter2\"".into(),
            truth: Truth::Holds,
            reading: BTreeMap::from([
                ("json.hunter2".into(), Value::from("hunter2")),
                ("status".into(), Value::from(200.0)),
            ]),
            error: Some("hunter2".into()),
            seconds: 0.1,
        };
        let told = redactor(&["hunter2", "status", "holds", "fault"]).entry(entry(event));
        let line = serde_json::to_string(&told).unwrap();
        assert!(!line.contains("hunter2"), "{line}");
        let Event::Probe { phase: Phase::Fault, truth: Truth::Holds, reading, .. } = told.event else {
            panic!("{line}")
        };
        assert_eq!(reading["status"], Value::from(200.0));
    }

    #[test]
    fn a_secret_that_is_called_like_a_verdict_takes_none_away() {
        let verdict = entry(Event::Verdict {
            verdict: Verdict::Passed,
            reasons: vec!["the pass held".into()],
            exit_code: 0,
            seconds: 2.0,
        });
        for secret in ["pass", "passed", "verdict", "event", "reasons", "0"] {
            let told = redactor(&[secret]).entry(verdict.clone());
            let Event::Verdict { verdict, reasons, .. } = &told.event else { panic!("{secret}: {told:?}") };
            assert_eq!(*verdict, Verdict::Passed);
            assert!(!reasons[0].contains(secret), "{secret}: {reasons:?}");
        }
    }
}
