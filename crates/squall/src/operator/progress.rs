//! What a run's events come to, as the status of its object. A pure fold: what is shown of a run in a cluster is a function of
//! its journal, like all else that is shown of it.

use super::conditions;
use super::resources::{InjectionState, InjectionStatus, Phase, RunStatus};
use jiff::Timestamp;
use squall_model::event::{Entry, Event, Hindrance, Planned};
use squall_model::protocol::Restored;
use squall_model::undo::{Effect, Evidence, Reverted};
use squall_model::verdict::Verdict;
use std::collections::BTreeMap;

/// Why nothing is selected, as a condition says it: nothing is there that could be.
pub(crate) const NOTHING_MATCHES: &str = "NothingMatches";
/// What is there passes through a state in which it cannot be struck.
pub(crate) const NOT_READY: &str = "NotReady";
/// Another injection holds it.
pub(crate) const HELD: &str = "Held";
/// All that passes: whoever may wait for it tries again.
pub(crate) const PASSING: [&str; 3] = [NOTHING_MATCHES, NOT_READY, HELD];
/// Whether it may be carried out as it is written.
pub(crate) const ACCEPTED: &str = "Accepted";
/// So many injections are told one by one.
const TOLD: usize = 100;
/// The longest text of one of them, in characters.
const LONGEST: usize = 300;

/// A run as far as it has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    status: RunStatus,
    states: BTreeMap<String, InjectionState>,
    has_ended: bool,
}

/// What keeps a run from selecting, as a condition says it.
fn in_a_word(hindrance: Hindrance) -> &'static str {
    match hindrance {
        Hindrance::NothingMatches => NOTHING_MATCHES,
        Hindrance::NotReady => NOT_READY,
        Hindrance::Held => HELD,
    }
}

impl Progress {
    /// A run that was just begun.
    pub(crate) fn begun(run: &str, holder: &str, at: Timestamp) -> Self {
        let mut status = RunStatus {
            phase: Phase::Running,
            run: run.to_owned(),
            holder: holder.to_owned(),
            start_time: Some(at),
            ..RunStatus::default()
        };
        // Never none at all: a list of which all that was applied is taken away is null then for some API servers (seen on 1.20), and
        // refused by the schema. So a run that had waited, and said so, would never begin.
        conditions::put(
            &mut status.conditions,
            "Selected",
            Some(false),
            "NotYet",
            "its targets are not chosen yet",
            at,
        );
        Self { status, ..Self::default() }
    }

    /// What there is to say now.
    pub(crate) fn status(&self) -> &RunStatus {
        &self.status
    }

    /// Whether something of it is active, or may be.
    #[cfg(test)]
    fn is_active(&self) -> bool {
        self.status.counts.active > 0
    }

    /// One more event.
    pub(crate) fn on(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Planned { hindered_by: Some(hindrance), .. } => {
                self.selected(in_a_word(*hindrance), entry.at);
            }
            Event::Planned { injections, .. } | Event::Joined { injections } => {
                self.plan(injections, &[], entry.at);
            }
            Event::Replanned { replaced, injections, .. } => self.plan(injections, replaced, entry.at),
            // The plan was looked at, and nobody said no.
            Event::PhaseStarted { phase: squall_model::event::Phase::SteadyState } => {
                let conditions = &mut self.status.conditions;
                let message = "it can be carried out, and its authors may do what it does";
                conditions::put(conditions, ACCEPTED, Some(true), "Approved", message, entry.at);
            }
            Event::Injected { injection, evidence, .. } => {
                self.becomes(injection, InjectionState::Active);
                self.show(injection, evidence);
                self.all_injected(entry.at);
            }
            Event::Evidence { injection, evidence } => self.show(injection, evidence),
            Event::TargetGone { injection, what } => {
                self.becomes(injection, InjectionState::Gone);
                self.tell(injection, what);
                self.all_injected(entry.at);
            }
            Event::InjectFailed { injection, message, hindered_by } => {
                self.becomes(injection, InjectionState::Failed);
                let is_untouched = || self.states.values().all(|state| *state == InjectionState::Planned);
                if let Some(hindrance) = hindered_by.filter(|_| is_untouched()) {
                    let conditions = &mut self.status.conditions;
                    conditions::put(
                        conditions,
                        "Selected",
                        Some(false),
                        in_a_word(hindrance),
                        "targets: 0",
                        entry.at,
                    );
                }
                conditions::put(
                    &mut self.status.conditions,
                    "AllInjected",
                    Some(false),
                    "Failed",
                    message,
                    entry.at,
                );
            }
            Event::Aborted { reason, .. } => {
                conditions::put(
                    &mut self.status.conditions,
                    "Aborted",
                    Some(true),
                    "Aborted",
                    reason,
                    entry.at,
                );
            }
            Event::Restored { restored, residue, .. } => {
                // What was never made, and had nothing to put back, was not restored.
                let was_planned = self.states.get(&restored.injection) == Some(&InjectionState::Planned);
                let state = match residue.is_empty() {
                    true if was_planned && had_nothing(restored) => InjectionState::Failed,
                    true => InjectionState::Restored,
                    false => InjectionState::Residue,
                };
                self.becomes(&restored.injection, state);
                let told = residue.iter().map(|words| shortened(words));
                self.status.residue.extend(told.take(TOLD.saturating_sub(self.status.residue.len())));
                self.all_recovered(entry.at);
            }
            Event::Verdict { verdict, reasons, .. } => {
                self.has_ended = true;
                self.status.verdict = Some(*verdict);
                self.status.reason = reasons.first().map(|reason| shortened(reason)).unwrap_or_default();
                // What was refused never ran, so that nothing recovers from it.
                if *verdict != Verdict::Invalid {
                    self.all_recovered(entry.at);
                }
            }
            _ => {}
        }
        self.count();
    }

    /// Says of what is to be struck whether anything is.
    fn selected(&mut self, reason: &str, at: Timestamp) {
        let any = !self.states.is_empty();
        let message = format!("targets: {}", self.states.len());
        conditions::put(&mut self.status.conditions, "Selected", Some(any), reason, &message, at);
    }

    fn plan(&mut self, injections: &[Planned], replaced: &[String], at: Timestamp) {
        for id in replaced {
            self.states.remove(id);
        }
        self.status.injections.retain(|injection| !replaced.contains(&injection.id));
        for Planned { id, fault, target, .. } in injections {
            self.states.insert(id.clone(), InjectionState::Planned);
            if self.status.injections.len() < TOLD {
                self.status.injections.push(InjectionStatus {
                    id: id.clone(),
                    fault: fault.clone(),
                    target: shortened(target),
                    ..InjectionStatus::default()
                });
            }
        }
        let any = !self.states.is_empty();
        self.selected(if any { "Planned" } else { NOTHING_MATCHES }, at);
        let conditions = &mut self.status.conditions;
        conditions::put(conditions, "AllInjected", Some(false), "NotYet", "it is not all made yet", at);
        conditions::put(conditions, "AllRecovered", Some(false), "NotYet", "it is not put back yet", at);
    }

    fn becomes(&mut self, id: &str, state: InjectionState) {
        if let Some(known) = self.states.get_mut(id) {
            *known = state;
        }
        if let Some(told) = self.status.injections.iter_mut().find(|injection| injection.id == id) {
            told.state = state;
        }
    }

    fn show(&mut self, id: &str, evidence: &[Evidence]) {
        self.tell(id, &Evidence::line(evidence));
        match (self.states.get(id), Evidence::effect_of(evidence)) {
            (Some(InjectionState::Active), Effect::Gone) => self.becomes(id, InjectionState::Gone),
            (Some(InjectionState::Gone), Effect::Seen) => self.becomes(id, InjectionState::Active),
            _ => {}
        }
    }

    fn tell(&mut self, id: &str, seen: &str) {
        if let Some(told) = self.status.injections.iter_mut().find(|injection| injection.id == id) {
            told.evidence = vec![shortened(seen)];
        }
    }

    fn all_injected(&mut self, at: Timestamp) {
        let waits = self.states.values().any(|state| *state == InjectionState::Planned);
        if !waits {
            let message = "all of it was made";
            conditions::put(&mut self.status.conditions, "AllInjected", Some(true), "Injected", message, at);
        }
    }

    /// Nothing is active any more, and nothing more will be once it has ended.
    fn all_recovered(&mut self, at: Timestamp) {
        let holds = |wanted| self.states.values().any(|state| *state == wanted);
        let conditions = &mut self.status.conditions;
        if holds(InjectionState::Residue) {
            let message = "what could not be put back is listed under residue";
            conditions::put(conditions, "AllRecovered", Some(false), "Residue", message, at);
        } else if !holds(InjectionState::Active) && (self.has_ended || !holds(InjectionState::Planned)) {
            let message = "nothing of it is there any more";
            conditions::put(conditions, "AllRecovered", Some(true), "Restored", message, at);
        }
    }

    fn count(&mut self) {
        let count = |wanted: &[InjectionState]| {
            let count = self.states.values().filter(|state| wanted.contains(state)).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        self.status.counts.planned = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        self.status.counts.active = count(&[InjectionState::Active]);
        self.status.counts.restored = count(&[InjectionState::Restored]);
        self.status.counts.residue = count(&[InjectionState::Residue]);
    }
}

/// Whether nothing was there that could be put back.
fn had_nothing(restored: &Restored) -> bool {
    restored.steps.iter().all(|step| matches!(step, Reverted::AlreadyGone { .. }))
}

/// A text that fits into a status.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Progress {
        let mut progress = Progress::begun("r-1", "me", Timestamp::UNIX_EPOCH);
        for line in lines {
            let line = format!(r#"{{"at":"2026-01-02T03:04:05Z","elapsed":1,{line}}}"#);
            progress.on(&serde_json::from_str(&line).unwrap());
        }
        progress
    }

    fn condition(progress: &Progress, kind: &str) -> String {
        let found = progress.status().conditions.iter().find(|condition| condition.kind == kind);
        found.map_or_else(|| "none".to_owned(), |condition| condition.status.clone())
    }

    #[test]
    fn what_has_begun_says_at_least_one_condition() {
        assert_eq!(condition(&after(&[]), "Selected"), "False");
        let said = serde_json::to_value(after(&[]).status()).unwrap();
        assert_eq!(said["conditions"].as_array().map(Vec::len), Some(1), "{said}");
    }

    #[test]
    fn what_is_held_when_it_is_to_be_made_selects_nothing() {
        let held = r#""event":"inject_failed","message":"it is held","hindered_by":"held""#;
        let reason = |lines: &[&str]| {
            let status = after(lines).status().clone();
            conditions::failing(&status.conditions, "Selected").map(|condition| condition.reason.clone())
        };
        assert_eq!(reason(&[PLANNED, held]).as_deref(), Some(HELD));
        let injected = r#""event":"injected","injection":"a","evidence":[]"#;
        assert_eq!(reason(&[PLANNED, injected, held]), None, "something of it was made");
        let undone = r#""event":"restored","injection":"a","fault":"k8s.scale","target":"x","steps":[{"outcome":"already_gone","looked_at":"marks"}]"#;
        assert_eq!(after(&[PLANNED, held, undone]).status().counts.restored, 0, "it was never made");
        let other = r#""event":"inject_failed","message":"no such file""#;
        assert_eq!(reason(&[PLANNED, other]), None);
    }

    #[test]
    fn what_is_gone_is_not_active_until_it_is_back() {
        let injected = r#""event":"injected","injection":"a","evidence":[{"effect":"seen","summary":"cut"}]"#;
        let gone =
            r#""event":"evidence","injection":"a","evidence":[{"effect":"gone","summary":"eth0 is gone"}]"#;
        let back = r#""event":"evidence","injection":"a","evidence":[{"effect":"seen","summary":"cut"}]"#;
        let active = |lines: &[&str]| after(lines).status().counts.active;
        assert_eq!(active(&[PLANNED, injected]), 1);
        assert_eq!(active(&[PLANNED, injected, gone]), 0);
        assert_eq!(active(&[PLANNED, injected, gone, back]), 1);
    }

    const PLANNED: &str = r#""event":"planned","injections":[{"id":"a","fault":"k8s.scale","target":"x"},{"id":"b","fault":"k8s.scale","target":"y"}]"#;

    #[test]
    fn conditions_follow_the_events() {
        let told = [
            PLANNED,
            r#""event":"injected","injection":"a","evidence":[{"effect":"seen","summary":"scaled"}]"#,
            r#""event":"injected","injection":"b","evidence":[]"#,
            r#""event":"restored","injection":"a","fault":"k8s.scale","target":"x"}"#.trim_end_matches('}'),
            r#""event":"restored","injection":"b","fault":"k8s.scale","target":"y"}"#.trim_end_matches('}'),
            r#""event":"verdict","verdict":"passed","exit_code":0"#,
        ];
        let states = |upto: usize| {
            let progress = after(&told[..upto]);
            ["Selected", "AllInjected", "AllRecovered"].map(|kind| condition(&progress, kind))
        };
        assert_eq!(states(1), ["True", "False", "False"]);
        assert_eq!(states(2), ["True", "False", "False"]);
        assert_eq!(states(3), ["True", "True", "False"]);
        assert!(after(&told[..3]).is_active());
        assert_eq!(states(4), ["True", "True", "False"]);
        assert_eq!(states(5), ["True", "True", "True"]);
        let progress = after(&told);
        assert_eq!(progress.status().injections[0].evidence, ["scaled"]);
        let counts = progress.status().counts;
        assert_eq!((counts.planned, counts.active, counts.restored, counts.residue), (2, 0, 2, 0));
    }

    #[test]
    fn a_target_that_is_gone_is_waited_for_by_nobody() {
        let told = [
            PLANNED,
            r#""event":"injected","injection":"a","evidence":[]"#,
            r#""event":"target_gone","injection":"b","what":"pod y is gone""#,
            r#""event":"restored","injection":"a""#,
        ];
        assert_eq!(condition(&after(&told[..3]), "AllInjected"), "True");
        let progress = after(&told);
        assert_eq!(condition(&progress, "AllRecovered"), "True");
        let InjectionStatus { state, evidence, .. } = &progress.status().injections[1];
        assert_eq!(
            (*state, evidence.as_slice()),
            (InjectionState::Gone, ["pod y is gone".to_owned()].as_slice())
        );
    }

    #[test]
    fn what_is_refused_never_recovered() {
        let refused = r#""event":"verdict","verdict":"invalid","exit_code":2"#;
        let progress = after(&[PLANNED, r#""event":"refused","by":"x","why":"y""#, refused]);
        assert_eq!(condition(&progress, "AllRecovered"), "False");
        assert_eq!(condition(&progress, ACCEPTED), "none");
        let approved = after(&[PLANNED, r#""event":"phase_started","phase":"steady_state""#]);
        assert_eq!(condition(&approved, ACCEPTED), "True");
    }

    #[test]
    fn residue_is_never_recovered() {
        let progress = after(&[
            PLANNED,
            r#""event":"injected","injection":"a","evidence":[]"#,
            r#""event":"restored","injection":"a","residue":["by hand: kubectl …"]"#,
            r#""event":"verdict","verdict":"residue","exit_code":6"#,
        ]);
        assert_eq!(condition(&progress, "AllRecovered"), "False");
        assert_eq!(progress.status().residue, ["by hand: kubectl …"]);
    }
}
