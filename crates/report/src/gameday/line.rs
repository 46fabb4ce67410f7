//! Events as lines of text: for the log, and for who has no screen.

use super::{Chronicle, Kind, kind_of, outcome_word, tone};
use crate::words::{Tone, verdict_tone};
use squall_model::gameday::{Entry, Event, Moment, NoteKind, Outcome, Phase};
use squall_model::quantity::{Unit, clock, number, span};

/// An event as a line; none where it is not worth one. `told` is what was known before.
pub fn line(told: &Chronicle, entry: &Entry) -> Option<String> {
    let (_, tone, text) = words(told, &entry.event)?;
    let text = crate::paint::printable(&text);
    Some(format!("{:>7}  {} {text}", clock(entry.elapsed), tone.sign()))
}

/// An event in words.
pub(super) fn words(told: &Chronicle, event: &Event) -> Option<(Kind, Tone, String)> {
    let plain = |kind, text: String| Some((kind, Tone::Neutral, text));
    match event {
        Event::SessionStarted { session, plan, setting, .. } => {
            let what = if setting.rehearsal { "Rehearsal of" } else { "Game day" };
            plain(Kind::Session, format!("{what} {:?} begins, session {session}", plan.title))
        }
        Event::Resumed { interrupted, changed } => plain(Kind::Session, resumed(interrupted, changed)),
        Event::Suspended { reason } => plain(Kind::Session, format!("The facilitator left: {reason}")),
        Event::PhaseStarted { phase } => plain(Kind::Phase, phase_words(told, *phase)),
        Event::Held { question, who } => {
            let who = if who.is_empty() { String::new() } else { format!("{who}: ") };
            Some((Kind::Session, Tone::Warning, format!("{who}go or no-go? {question}")))
        }
        Event::Decided { go, remark } => {
            let word = if *go { "Go" } else { "No-go" };
            let remark = if remark.is_empty() { String::new() } else { format!(": {remark}") };
            plain(said_by_people(&remark), format!("{word}{remark}"))
        }
        Event::Metrics { .. } => None,
        Event::Steady { holds: true, since, .. } => {
            let word = if told.steady.is_empty() { "holds" } else { "is back" };
            Some((Kind::Measured, Tone::Good, format!("The steady state {word} (since {})", clock(*since))))
        }
        Event::Steady { failing, .. } => {
            let why = failing.first().map_or(String::new(), |why| format!(": {why}"));
            let more =
                if failing.len() > 1 { format!(", and {} more", failing.len() - 1) } else { String::new() };
            Some((Kind::Measured, Tone::Bad, format!("The steady state does not hold{why}{more}")))
        }
        Event::Service { name, health, found } => {
            let word = if health.holds() { "is well" } else { "does not answer as expected" };
            Some((Kind::Measured, Tone::of_truth(health), format!("Service {name} {word}: {found}")))
        }
        Event::Alerts { error: Some(why), .. } => {
            Some((Kind::Measured, Tone::Warning, format!("Alerts could not be read: {why}")))
        }
        Event::Alerts { firing, .. } if firing.is_empty() => {
            plain(Kind::Measured, "No alert fires".to_owned())
        }
        Event::Alerts { firing, .. } => plain(Kind::Measured, format!("Alerts fire: {}", firing.join(", "))),
        Event::Data { moment, values, errors, broken } => {
            let counted =
                values.iter().map(|(name, value)| format!("{name} {}", Unit::of(name).show(*value)));
            let failed = errors.iter().map(|(name, why)| format!("{name}: {why}"));
            let words = counted.chain(failed).collect::<Vec<_>>().join(", ");
            let when = if *moment == Moment::Before { "before" } else { "afterwards" };
            match broken.first() {
                Some(broken) => Some((Kind::Measured, Tone::Bad, format!("Data {when}: {words}; {broken}"))),
                None => plain(Kind::Measured, format!("Data {when}: {words}")),
            }
        }
        Event::RunStarted { experiment, rehearsed } => {
            let name = experiment_name(told, *experiment);
            let words = if *rehearsed { "would be carried out now" } else { "begins" };
            plain(Kind::Fault, format!("Experiment {name} {words}"))
        }
        Event::FaultActive { fault, target, .. } => {
            plain(Kind::Fault, format!("Active: {}", crate::story::named(fault, target)))
        }
        Event::FaultOver { injection, residue } => {
            let fault = told.faults.iter().rev().find(|fault| fault.injection == *injection);
            let name = fault.map_or(injection.as_str(), |fault| fault.name.as_str());
            match residue.first() {
                None if fault.is_some_and(|fault| fault.is_for_good) => {
                    Some((Kind::Fault, Tone::Good, format!("Over: {name}: {}", crate::words::FOR_GOOD)))
                }
                None => Some((Kind::Fault, Tone::Good, format!("Put back: {name}"))),
                Some(residue) => Some((Kind::Fault, Tone::Bad, format!("Not put back: {name}: {residue}"))),
            }
        }
        Event::RunEnded { experiment, run, verdict, reasons } => {
            let why = reasons.first().map_or(String::new(), |why| format!(": {why}"));
            let name = experiment_name(told, *experiment);
            let text = format!("Experiment {name} ended as {verdict}{why} (run {run})");
            Some((Kind::Fault, verdict_tone(Some(*verdict)), text))
        }
        Event::Recovered { .. } if told.is_rehearsal() => None,
        Event::Recovered { seconds, failover, within, by_people } => {
            Some(recovery(*seconds, *failover, *within, *by_people))
        }
        Event::Noted { kind, text } => {
            let word = match kind {
                NoteKind::Note => "Note",
                NoteKind::Decision => "Decision",
            };
            plain(kind_of(*kind), format!("{word}: {text}"))
        }
        Event::FollowUp(follow_up) => {
            let owner = if follow_up.owner.is_empty() { "nobody yet" } else { &follow_up.owner };
            let due =
                if follow_up.due.is_empty() { String::new() } else { format!(", due {}", follow_up.due) };
            plain(Kind::FollowUp, format!("Follow-up: {} ({owner}{due})", follow_up.what))
        }
        Event::Asked { criterion } => {
            let text = told.plan.criteria.get(*criterion).map_or("", |criterion| criterion.text.as_str());
            Some((Kind::Session, Tone::Warning, format!("Was this met? {text}")))
        }
        Event::Answered { criterion, outcome, remark } => {
            let text = told.plan.criteria.get(*criterion).map_or("", |criterion| criterion.text.as_str());
            let remark = if remark.is_empty() { String::new() } else { format!(" ({remark})") };
            Some((
                said_by_people(&remark),
                tone(*outcome),
                format!("{text}: {}{remark}", outcome_word(*outcome)),
            ))
        }
        Event::Halted { reason } => Some((Kind::Session, Tone::Bad, format!("Halted: {reason}"))),
        Event::Judged { judgements } => {
            let of = |wanted: Outcome| judgements.iter().filter(|one| one.outcome == wanted).count();
            let parts = [Outcome::Met, Outcome::Rehearsed, Outcome::NotMet, Outcome::Unknown];
            let words = parts.into_iter().filter(|outcome| of(*outcome) > 0);
            let words =
                words.map(|outcome| format!("{} {}", number(of(outcome) as f64), outcome_word(outcome)));
            plain(Kind::Session, format!("Criteria: {}", words.collect::<Vec<_>>().join(", ")))
        }
        Event::Ended { verdict, reasons, .. } => {
            let why = reasons.first().map_or("", String::as_str);
            Some((Kind::Session, verdict_tone(Some(*verdict)), format!("Ended as {verdict}: {why}")))
        }
    }
}

/// The kind of what somebody decided or answered; where nobody was asked, nobody did.
fn said_by_people(remark: &str) -> Kind {
    if remark.contains("nobody was asked") { Kind::Session } else { Kind::Decision }
}

fn resumed(interrupted: &[usize], changed: &[String]) -> String {
    let again = "what was active when it was interrupted was put back, and is made again after a new look at the steady state";
    let again = Some(again.to_owned()).filter(|_| !interrupted.is_empty());
    let parts = std::iter::once("The session goes on".to_owned()).chain(again).chain(changed.iter().cloned());
    parts.collect::<Vec<_>>().join("; ")
}

fn phase_words(told: &Chronicle, phase: Phase) -> String {
    let who = told.turn(phase).map_or(String::new(), |who| format!(", {who}"));
    format!("Phase {} of 5: {}{who}", phase.number(), phase.name())
}

fn experiment_name(told: &Chronicle, experiment: usize) -> &str {
    told.plan.experiments.get(experiment).map_or("?", |linked| linked.name.as_str())
}

fn recovery(
    seconds: Option<f64>,
    failover: Option<f64>,
    within: f64,
    by_people: bool,
) -> (Kind, Tone, String) {
    let by = if by_people { ", people say" } else { "" };
    match seconds {
        Some(seconds) => {
            let by_itself = match failover {
                Some(after) if after > 0.0 => format!("; by itself {} after the failure", span(after)),
                Some(_) => "; it was never lost".to_owned(),
                None => String::new(),
            };
            let after =
                if seconds > 0.0 { format!("{} after", span(seconds)) } else { "at once when".to_owned() };
            let text = format!("Recovered {after} the failure was put right{by_itself}{by}");
            (Kind::Measured, Tone::Good, text)
        }
        None if by_people => (Kind::Measured, Tone::Warning, "Whether it recovered, nobody said".to_owned()),
        None => (Kind::Measured, Tone::Bad, format!("Not recovered within {}", span(within))),
    }
}
