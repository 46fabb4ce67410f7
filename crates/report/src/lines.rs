//! One plain line an event, as it happens, for logs and pipes. What repeats itself is told once.

use crate::change;
use crate::paint::printable;
use crate::story::{Injection, Story, evidence_line, rank, telling_changes};
use crate::words;
use squall_model::condition::Truth;
use squall_model::event::{Entry, Event, Phase, Planned};
use squall_model::quantity::{Unit, short_name, span};
use squall_model::undo::{Effect, Evidence};
use std::collections::BTreeMap;

/// Metrics are told this often, in seconds.
const METRICS_EVERY: f64 = 10.0;
/// At a terminal, reasons, notes and errors are cut to this many characters: a line there is for skimming.
const LONGEST: usize = 400;

/// Tells events as lines, in order.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    story: Story,
    truths: BTreeMap<(String, String), Truth>,
    guarded: BTreeMap<String, Truth>,
    effects: BTreeMap<String, Effect>,
    /// The longest line; none where lines are as long as what they say.
    longest: Option<usize>,
    metrics_told: Option<f64>,
}

impl Lines {
    /// Lines for a terminal, none of them very long.
    pub fn for_a_terminal() -> Self {
        Self { longest: Some(LONGEST), ..Self::default() }
    }

    /// The line for an event; none where it says nothing new.
    pub fn on(&mut self, entry: &Entry) -> Option<String> {
        self.story.on(entry);
        let (topic, message) = self.message(entry)?;
        let message = printable(&message);
        let message = match self.longest {
            Some(longest) => crate::paint::cut(&message, longest),
            None => message,
        };
        Some(format!("{:>7.1}s  {topic:<9} {message}", entry.elapsed))
    }

    fn message(&mut self, entry: &Entry) -> Option<(&'static str, String)> {
        Some(match &entry.event {
            Event::RunStarted { experiment, seed, run, .. } => {
                ("run", format!("{experiment} (seed {seed}, run {run})"))
            }
            Event::PhaseStarted { phase } => ("phase", self.phase(*phase)),
            Event::Planned { injections, notes, .. } => ("plan", planned(injections, notes)),
            Event::Replanned { injections, notes, .. } => {
                ("plan", format!("planned anew, and it differs: {}", planned(injections, notes)))
            }
            Event::Joined { injections } => ("joined", planned(injections, &[])),
            Event::Answered { .. } | Event::Skipped { .. } => ("method", crate::words::choice(&entry.event)?),
            Event::Approved { by } => ("plan", format!("{by} said yes")),
            Event::Refused { by, why } => ("plan", format!("{by} said no: {why}")),
            Event::Probe { phase, .. } => ("check", self.checks(*phase)?),
            Event::Metrics { phase, values, errors } => {
                if let Some(checks) = self.checks(*phase) {
                    return Some(("check", checks));
                }
                if self.metrics_told.is_some_and(|told| entry.elapsed - told < METRICS_EVERY - 0.5) {
                    return None;
                }
                self.metrics_told = Some(entry.elapsed);
                ("metrics", metrics(values, errors)?)
            }
            Event::InjectStarted { injection, stage, .. } => {
                let stage = stage.as_ref().map_or(String::new(), |stage| format!(" ({stage})"));
                ("fault", format!("{}{stage}: injecting", self.name(injection)))
            }
            Event::Injected { injection, evidence, .. } => {
                self.effects.insert(injection.clone(), Evidence::effect_of(evidence));
                let evidence = after_comma(&evidence_line(evidence));
                ("fault", format!("{}: injected{evidence}", self.name(injection)))
            }
            Event::TargetGone { injection, what } => {
                ("fault", format!("{}: passed over: {what}", self.name(injection)))
            }
            Event::InjectFailed { injection, message, .. } => {
                let name = self.name(injection);
                let name = if name.is_empty() { name } else { format!("{name}: ") };
                ("fault", format!("{name}could not be injected: {message}"))
            }
            Event::Evidence { injection, evidence } => {
                let shows = Evidence::effect_of(evidence);
                if self.effects.insert(injection.clone(), shows) == Some(shows) {
                    return None;
                }
                ("evidence", format!("{}: {}", self.name(injection), evidence_line(evidence)))
            }
            Event::Guard { conditions, .. } => ("guard", self.guard(conditions)?),
            Event::Aborted { cause, reason } => {
                ("abort", format!("ended by {}: {reason}", words::cause(*cause)))
            }
            Event::UndoStarted { injections, why } => {
                let names: Vec<String> = injections.iter().map(|id| self.name(id)).collect();
                let what =
                    if names.is_empty() { "nothing is left to be".to_owned() } else { names.join(", ") };
                ("undo", format!("putting back ({why}): {what}"))
            }
            Event::Restored { restored, .. } => ("restored", self.restored(&restored.injection)?),
            Event::Recovered { .. } => ("recovery", words::recovery(&self.story)?.1),
            Event::Compared { .. } => {
                let changes = telling_changes(&self.story);
                if changes.iter().all(|change| change.interval.is_none()) {
                    return Some(("compared", change::NOT_COMPARED.to_owned()));
                }
                let changes: Vec<String> = changes.into_iter().map(change::describe).collect();
                ("compared", changes.join("; "))
            }
            Event::Judged { checks } => {
                let each = checks.iter().map(|result| {
                    let check = words::check(&result.check, &result.expect);
                    format!("{check} {} ({})", words::truth(&result.truth), words::held(result))
                });
                ("judged", each.collect::<Vec<_>>().join("; "))
            }
            Event::Note { message } => ("note", message.clone()),
            Event::Verdict { verdict, reasons, exit_code, seconds } => {
                let reasons = reasons.join("; ");
                let reasons = if reasons.is_empty() { reasons } else { format!(": {reasons}") };
                ("verdict", format!("{verdict}{reasons} (exit code {exit_code}, took {})", span(*seconds)))
            }
        })
    }

    /// The fault and its target, for the name of an injection; the name itself where nothing is known of it.
    fn name(&self, injection: &str) -> String {
        let known = self.story.injections.iter().find(|known| known.id == injection);
        known.map(Injection::name).filter(|name| !name.is_empty()).unwrap_or_else(|| injection.to_owned())
    }

    fn phase(&self, phase: Phase) -> String {
        let header = &self.story.header;
        let name = words::phase(phase).to_lowercase();
        match phase {
            Phase::Baseline if header.baseline_seconds > 0.0 => {
                format!("{name}, {}", span(header.baseline_seconds))
            }
            Phase::Fault if header.method_seconds > 0.0 => format!("{name}, {}", span(header.method_seconds)),
            Phase::Recovery => format!("{name}, at most {}", span(header.recovery_seconds)),
            _ => name,
        }
    }

    /// The checks that hold now and did not, or the other way round.
    fn checks(&mut self, phase: Phase) -> Option<String> {
        let mut changes = Vec::new();
        for tally in self.story.tallies.iter().filter(|tally| tally.phase == phase) {
            let Some(truth) = &tally.truth else { continue };
            let told = self.truths.insert((tally.check.clone(), tally.expect.clone()), truth.clone());
            if told.is_some_and(|told| same_kind(&told, truth)) {
                continue;
            }
            let worst = if truth.holds() { String::new() } else { tally.worst() };
            let worst = if worst.is_empty() { worst } else { format!(" ({worst})") };
            let check = words::check(&tally.check, &tally.expect);
            changes.push(format!("{check} {}{worst}", words::truth(truth)));
        }
        (!changes.is_empty()).then(|| changes.join("; "))
    }

    /// What changed among the guard's conditions.
    fn guard(&mut self, conditions: &[(String, Truth)]) -> Option<String> {
        let first = self.guarded.is_empty();
        let mut changes = Vec::new();
        for (condition, truth) in conditions {
            let told = self.guarded.insert(condition.clone(), truth.clone());
            // That nothing is wrong is what one expects of a guard.
            let expected = told.unwrap_or(Truth::Fails);
            if !same_kind(&expected, truth) {
                changes.push(format!("{condition} {}", words::truth(truth)));
            }
        }
        if first && changes.is_empty() && !conditions.is_empty() {
            let all: Vec<&str> = conditions.iter().map(|(condition, _)| condition.as_str()).collect();
            return Some(format!("watching {}", all.join("; ")));
        }
        (!changes.is_empty()).then(|| changes.join("; "))
    }

    fn restored(&self, injection: &str) -> Option<String> {
        let (known, done) = self.story.put_backs().find(|(known, _)| known.id == injection)?;
        let name = known.name();
        Some(if done.residue.is_empty() {
            let looks: Vec<&str> =
                words::told_steps(known, done).into_iter().map(words::looked_at_in).collect();
            let looks =
                if looks.is_empty() { String::new() } else { format!(", looked at {}", looks.join("; ")) };
            if known.is_for_good() {
                return Some(format!("{name}: {}{looks}", words::for_good(known)));
            }
            format!("{name}: put back in {}{looks}", span(done.seconds))
        } else {
            format!("{name}: RESIDUE: {}", done.residue.join("; "))
        })
    }
}

fn same_kind(one: &Truth, other: &Truth) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

fn after_comma(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(", {text}") }
}

fn planned(injections: &[Planned], notes: &[String]) -> String {
    let each: Vec<String> = injections
        .iter()
        .map(|planned| {
            let when = planned.when.as_ref().map(|when| format!(" when {when}")).unwrap_or_default();
            format!("{} for {}{when}", crate::story::named(&planned.fault, &planned.target), planned.lasts)
        })
        .collect();
    let notes = if notes.is_empty() { String::new() } else { format!(" (note: {})", notes.join("; ")) };
    let count = match each.len() {
        0 => return format!("no injections{notes}"),
        1 => "1 injection".to_owned(),
        several => format!("{several} injections"),
    };
    format!("{count}: {}{notes}", each.join("; "))
}

/// The most telling metrics; those that could not be read by name.
fn metrics(values: &BTreeMap<String, f64>, errors: &BTreeMap<String, String>) -> Option<String> {
    let mut telling: Vec<(&String, &f64)> = values.iter().filter(|(name, _)| rank(name) <= 3).collect();
    telling.sort_by_key(|(name, _)| rank(name));
    let mut parts: Vec<String> = telling
        .into_iter()
        .take(6)
        .map(|(name, value)| format!("{} {}", short_name(name), Unit::of(name).show(*value)))
        .collect();
    parts.extend(errors.iter().take(3).map(|(name, error)| format!("{name} unread: {error}")));
    (!parts.is_empty()).then(|| parts.join(", "))
}
