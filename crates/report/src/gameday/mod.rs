//! Game days: everything that is shown of one, as pure functions of its session's journal.
//!
//! [`Chronicle`] folds the events once; the screen, the lines and the reports tell it, each in its own way.

mod csv;
mod line;
mod markdown;
mod page;
pub mod screen;
mod timeline;

use crate::story::Story;
use crate::words::Tone;
use jiff::Timestamp;
use squall_model::event;
use squall_model::gameday::{
    Entry, Event, FollowUp, Judgement, Means, Moment, NoteKind, Outcome, Phase, Plan, Setting, Test,
};
use squall_model::protocol::Restored;
use squall_model::verdict::Verdict;
use std::collections::BTreeMap;

pub use csv::follow_ups as csv;
pub use line::line;
pub use markdown::page as markdown;
pub use page::page as html;

/// Alerts by when they were seen, and why nothing is known.
type Firing = (f64, Vec<String>, Option<String>);

/// All that a session's journal tells. Times are seconds since the session began.
#[derive(Debug, Clone, Default)]
pub struct Chronicle {
    /// The session's name.
    pub session: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// The plan.
    pub plan: Plan,
    /// How it is carried out.
    pub setting: Option<Setting>,
    /// The phases gone through, with begin and end.
    pub phases: Vec<(Phase, f64, f64)>,
    /// What is asked, and who decides.
    pub hold: Option<(String, String)>,
    /// The criterion that people are asked about.
    pub asked: Option<usize>,
    /// What was said and what happened, in order.
    pub log: Vec<Line>,
    /// Faults with begin and end.
    pub faults: Vec<Fault>,
    /// How the experiments ended.
    pub runs: Vec<Run>,
    /// Whether the steady state held, since when, and what did not hold.
    pub steady: Vec<(f64, bool, Vec<String>)>,
    /// The health of services: whether they answer as expected, what was read, and when it changed.
    pub services: BTreeMap<String, Vec<(f64, bool, String)>>,
    /// Alerts.
    pub alerts: Vec<Firing>,
    /// What was counted before and after, and what does not hold.
    pub before: BTreeMap<String, f64>,
    /// See `before`.
    pub after: BTreeMap<String, f64>,
    /// See `before`.
    pub broken: Vec<String>,
    /// Seconds to recover, seconds to fail over, and how long was waited.
    pub recovered: Option<(Option<f64>, Option<f64>, f64)>,
    /// What came of the criteria.
    pub judgements: Vec<Judgement>,
    /// What is to be done, in the order that it was agreed.
    pub follow_ups: Vec<FollowUp>,
    /// Why the day was ended early.
    pub halted: Option<String>,
    /// How often it was interrupted.
    pub interruptions: usize,
    /// From when to when nobody measured, between the first failure and the analysis.
    pub unmeasured: Vec<(f64, f64)>,
    /// Verdict, reasons, exit code.
    pub ending: Option<(Verdict, Vec<String>, u8)>,
    /// The last moment that the journal speaks of.
    pub elapsed: f64,
    /// The metrics, with the times of faults.
    pub(crate) story: Story,
}

/// What a line of the log is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A phase begins.
    Phase,
    /// Go or no-go.
    Decision,
    /// Somebody's note.
    Note,
    /// A follow-up.
    FollowUp,
    /// A fault.
    Fault,
    /// What was measured.
    Measured,
    /// The session itself.
    Session,
}

/// A line of the log.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub elapsed: f64,
    /// When, by the clock on the wall.
    pub at: Timestamp,
    /// What it is about.
    pub kind: Kind,
    /// How it is.
    pub tone: Tone,
    /// What.
    pub text: String,
}

/// A failure that was made.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Its name within its run.
    pub injection: String,
    /// What and of what.
    pub name: String,
    /// When it began.
    pub from: f64,
    /// When it was over.
    pub to: Option<f64>,
    /// What could not be put back.
    pub residue: Vec<String>,
    /// Whether it ended something that no undo brings back.
    pub is_for_good: bool,
}

impl Fault {
    /// What is said of it when it is over and left nothing.
    pub fn over(&self) -> &'static str {
        if self.is_for_good { crate::words::FOR_GOOD } else { "put back" }
    }
}

/// An experiment of the day.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its position in the plan.
    pub experiment: usize,
    /// When it began.
    pub from: f64,
    /// Whether it was left out, because nothing was to be broken.
    pub rehearsed: bool,
    /// The run's name, what it found, and why.
    pub ended: Option<(String, Verdict, Vec<String>)>,
}

impl Chronicle {
    /// Tells a journal.
    pub fn of(entries: &[Entry]) -> Self {
        let mut chronicle = Self::default();
        entries.iter().for_each(|entry| chronicle.on(entry));
        chronicle
    }

    /// The phase that goes on, and when it began.
    pub fn phase(&self) -> Option<(Phase, f64)> {
        self.phases.last().map(|(phase, from, _)| (*phase, *from))
    }

    /// Whether this is a rehearsal.
    pub fn is_rehearsal(&self) -> bool {
        self.setting.as_ref().is_some_and(|setting| setting.rehearsal)
    }

    /// The verdict; none where the day is not over.
    pub fn verdict(&self) -> Option<Verdict> {
        self.ending.as_ref().map(|(verdict, ..)| *verdict)
    }

    /// Whose turn it is in a phase.
    pub fn turn(&self, phase: Phase) -> Option<&str> {
        self.plan.turns.iter().find(|(known, _)| *known == phase).map(|(_, who)| who.as_str())
    }

    /// Whether a failure was made whose recovery is not over.
    fn is_struck(&self) -> bool {
        let is_judged = self.phases.iter().any(|(phase, ..)| *phase == Phase::Analyse);
        !self.faults.is_empty() && !is_judged
    }

    /// Whether anything was broken yet, or was about to be.
    fn is_touched(&self) -> bool {
        !self.faults.is_empty() || self.runs.iter().any(|run| !run.rehearsed)
    }

    /// How many criteria had an outcome, of all.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.judgements.iter().filter(|judgement| judgement.outcome == outcome).count()
    }

    /// All that could not be put back.
    pub fn residue(&self) -> Vec<&str> {
        self.faults.iter().flat_map(|fault| fault.residue.iter().map(String::as_str)).collect()
    }

    /// The outcome of a criterion and why, once it was judged.
    pub fn judgement(&self, criterion: usize) -> Option<&Judgement> {
        self.judgements.get(criterion)
    }

    /// Takes in one more event.
    pub fn on(&mut self, entry: &Entry) {
        let elapsed = if entry.elapsed.is_finite() { entry.elapsed.max(0.0) } else { self.elapsed };
        if matches!(entry.event, Event::Resumed { .. }) && self.is_struck() {
            self.unmeasured.push((self.elapsed, elapsed.max(self.elapsed)));
        }
        self.elapsed = self.elapsed.max(elapsed);
        if let (Some((_, _, end)), None) = (self.phases.last_mut(), &self.ending) {
            *end = self.elapsed;
        }
        self.tell(entry);
        if let Some((kind, tone, text)) = line::words(self, &entry.event) {
            self.log.push(Line { elapsed, at: entry.at, kind, tone, text });
        }
        self.learn(elapsed, entry);
    }

    /// Takes in an event that could not be written down. What people said is not kept, and is shown as lost; of the rest
    /// it is known that it happened. Returns the line that says so.
    pub fn lose(&mut self, entry: &Entry) -> Option<String> {
        let words = line::words(self, &entry.event);
        let is_said = matches!(
            entry.event,
            Event::Noted { .. } | Event::FollowUp(_) | Event::Decided { .. } | Event::Answered { .. }
        );
        if !matches!(entry.event, Event::Noted { .. } | Event::FollowUp(_)) {
            self.learn(entry.elapsed, entry);
        }
        let (_, _, text) = words?;
        let lost = if is_said { "Lost, the journal could not be written" } else { "Not in the journal" };
        let text = format!("{lost}: {text}");
        let (elapsed, at) = (entry.elapsed, entry.at);
        let line = format!(
            "{:>7}  {} {}",
            squall_model::quantity::clock(elapsed),
            Tone::Bad.sign(),
            crate::paint::printable(&text)
        );
        self.log.push(Line { elapsed, at, kind: Kind::Session, tone: Tone::Bad, text });
        Some(line)
    }

    fn learn(&mut self, elapsed: f64, entry: &Entry) {
        match &entry.event {
            Event::SessionStarted { session, plan, setting, .. } => {
                self.session.clone_from(session);
                self.plan = (**plan).clone();
                self.setting = Some((**setting).clone());
                self.started = Some(entry.at);
                self.follow_ups.clone_from(&plan.follow_ups);
            }
            Event::Resumed { .. } => self.interruptions += 1,
            Event::PhaseStarted { phase } => {
                self.phases.push((*phase, elapsed, elapsed));
                self.hold = None;
            }
            Event::Held { question, who } => self.hold = Some((question.clone(), who.clone())),
            Event::Decided { .. } => self.hold = None,
            Event::Steady { holds, since, failing } => self.steady.push((*since, *holds, failing.clone())),
            Event::Service { name, health, found } => {
                let service = self.services.entry(name.clone()).or_default();
                service.push((elapsed, health.holds(), found.clone()));
            }
            Event::Alerts { firing, error } => self.alerts.push((elapsed, firing.clone(), error.clone())),
            // The first count stands, as in the session itself.
            Event::Data { moment: Moment::Before, values, .. } => {
                if self.before.is_empty() && !self.is_touched() {
                    self.before.clone_from(values);
                }
            }
            Event::Data { moment: Moment::After, values, broken, .. } => {
                self.after.clone_from(values);
                self.broken.clone_from(broken);
            }
            Event::RunStarted { experiment, rehearsed } => {
                let (experiment, rehearsed) = (*experiment, *rehearsed);
                self.runs.push(Run { experiment, from: elapsed, rehearsed, ended: None });
            }
            Event::FaultActive { injection, fault, target, .. } => self.faults.push(Fault {
                injection: injection.clone(),
                name: crate::story::named(fault, target),
                is_for_good: squall_model::fault::is_for_good(fault),
                from: elapsed,
                to: None,
                residue: Vec::new(),
            }),
            Event::FaultOver { injection, residue } => {
                let open = |fault: &&mut Fault| fault.injection == *injection && fault.to.is_none();
                if let Some(fault) = self.faults.iter_mut().rev().find(open) {
                    fault.to = Some(elapsed);
                    fault.residue.clone_from(residue);
                }
            }
            Event::RunEnded { experiment, run, verdict, reasons } => {
                if let Some(known) = self.runs.iter_mut().rev().find(|known| known.experiment == *experiment)
                {
                    known.ended = Some((run.clone(), *verdict, reasons.clone()));
                }
                // Whatever it did not tell of is over with it.
                let by_run = |fault: &&mut Fault| fault.to.is_none() && fault.injection != BY_HAND;
                self.faults.iter_mut().filter(by_run).for_each(|fault| fault.to = Some(elapsed));
            }
            Event::Recovered { seconds, failover, within, .. } => {
                self.recovered = Some((*seconds, *failover, *within));
            }
            Event::FollowUp(follow_up) => self.follow_ups.push(follow_up.clone()),
            Event::Asked { criterion } => self.asked = Some(*criterion),
            Event::Answered { .. } => self.asked = None,
            Event::Halted { reason } => {
                self.halted.get_or_insert_with(|| reason.clone());
                self.hold = None;
            }
            Event::Judged { judgements } => self.judgements.clone_from(judgements),
            Event::Ended { verdict, reasons, exit_code, .. } => {
                self.ending = Some((*verdict, reasons.clone(), *exit_code));
                self.hold = None;
            }
            Event::Metrics { .. } | Event::Noted { .. } | Event::Suspended { .. } => {}
        }
        if let Event::Resumed { interrupted, .. } = &entry.event
            && !interrupted.is_empty()
        {
            // Their agents put them back when the session was lost; when exactly, the runs' own journals tell.
            self.faults
                .iter_mut()
                .filter(|fault| fault.to.is_none())
                .for_each(|fault| fault.to = Some(elapsed));
        }
    }

    /// Tells the story of the metrics, as that of a run: the same charts draw it.
    fn tell(&mut self, entry: &Entry) {
        let event = match &entry.event {
            Event::SessionStarted { session, plan, setting, .. } => event::Event::RunStarted {
                version: 0,
                run: session.clone(),
                experiment: plan.title.clone(),
                hypothesis: plan.hypothesis.clone(),
                tags: Vec::new(),
                file: setting.file.clone(),
                options: Vec::new(),
                seed: 0,
                squall: setting.squall.clone(),
                host: setting.host.clone(),
                environment: String::new(),
                origin: String::new(),
                by: String::new(),
                fingerprint: String::new(),
                services: Vec::new(),
                conditions: Vec::new(),
                objectives: setting.objectives.clone(),
                limits: setting.limits.clone(),
                method_seconds: setting.observe,
                baseline_seconds: setting.baseline,
                recovery_seconds: setting.recovery,
            },
            Event::Metrics { values, errors, .. } if !(values.is_empty() && errors.is_empty()) => {
                event::Event::Metrics {
                    phase: event::Phase::Fault,
                    values: values.clone(),
                    errors: errors.clone(),
                }
            }
            Event::FaultActive { injection, fault, target, .. } => {
                let (injection, fault, target) = (injection.clone(), fault.clone(), target.clone());
                let started =
                    event::Event::InjectStarted { injection: injection.clone(), fault, target, stage: None };
                self.story.on(&event::Entry { at: entry.at, elapsed: entry.elapsed, event: started });
                event::Event::Injected { injection, evidence: Vec::new(), seconds: 0.0 }
            }
            Event::FaultOver { injection, residue } => event::Event::Restored {
                restored: Restored {
                    injection: injection.clone(),
                    fault: String::new(),
                    target: String::new(),
                    steps: Vec::new(),
                    errors: Vec::new(),
                },
                residue: residue.clone(),
                seconds: 0.0,
            },
            _ => {
                self.story.elapsed = self.story.elapsed.max(self.elapsed);
                return;
            }
        };
        self.story.on(&event::Entry { at: entry.at, elapsed: entry.elapsed, event });
    }

    /// What the day found that somebody should look into, the gravest first.
    pub fn findings(&self) -> Vec<(Tone, String)> {
        let mut findings: Vec<(Tone, String)> = Vec::new();
        let residue = self.residue();
        findings.extend(residue.iter().map(|residue| (Tone::Bad, format!("Not put back: {residue}"))));
        let of = |wanted: Outcome| self.judgements.iter().filter(move |one| one.outcome == wanted);
        findings
            .extend(of(Outcome::NotMet).map(|one| (Tone::Bad, format!("{}: {}", one.criterion, one.why))));
        findings.extend(
            of(Outcome::Unknown)
                .map(|one| (Tone::Warning, format!("{}: unknown: {}", one.criterion, one.why))),
        );
        findings.extend(self.unmeasured.iter().map(|gap| (Tone::Warning, unmeasured_words(*gap))));
        if let (Some((None, _, within)), false) =
            (self.recovered, self.is_rehearsal() || self.steady.is_empty())
        {
            let words =
                format!("The steady state did not come back within {}", squall_model::quantity::span(within));
            findings.push((Tone::Bad, words));
        }
        for (name, changes) in &self.services {
            let down: Vec<&(f64, bool, String)> = changes.iter().filter(|(_, healthy, _)| !healthy).collect();
            if let Some((at, _, found)) = down.first() {
                let when = squall_model::quantity::clock(*at);
                let more = if down.len() > 1 {
                    format!(", and {} more times", down.len() - 1)
                } else {
                    String::new()
                };
                findings.push((
                    Tone::Warning,
                    format!("Service {name} did not answer as expected at {when}: {found}{more}"),
                ));
            }
        }
        for run in &self.runs {
            if let Some((_, verdict, reasons)) = &run.ended
                && *verdict != Verdict::Passed
            {
                let name =
                    self.plan.experiments.get(run.experiment).map_or("?", |linked| linked.name.as_str());
                let why = reasons.first().map_or(String::new(), |why| format!(": {why}"));
                let tone = crate::words::verdict_tone(Some(*verdict));
                findings.push((tone, format!("Experiment {name} ended as {verdict}{why}")));
            }
        }
        findings
    }
}

/// An interruption, and what it means for what is judged.
fn unmeasured_words((from, to): (f64, f64)) -> String {
    let (from, to) = (squall_model::quantity::clock(from), squall_model::quantity::clock(to));
    format!(
        "Interrupted at {from} while a failure was not recovered from: nothing was measured until {to}; what is judged \
         by traffic and seconds counts what was measured before and after"
    )
}

/// The name of a fault that people made.
const BY_HAND: &str = "by hand";

/// The tone of an outcome.
pub(crate) fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Met => Tone::Good,
        Outcome::NotMet => Tone::Bad,
        Outcome::Unknown => Tone::Warning,
        Outcome::Rehearsed => Tone::Neutral,
    }
}

/// An outcome in a word or two.
pub(crate) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Met => "met",
        Outcome::NotMet => "not met",
        Outcome::Unknown => "unknown",
        Outcome::Rehearsed => "can be checked",
    }
}

/// What a verdict means for a game day.
pub(crate) fn meaning(verdict: Option<Verdict>, rehearsal: bool) -> &'static str {
    match verdict {
        Some(Verdict::Passed) if rehearsal => "Everything was gone through; nothing was broken.",
        Some(Verdict::Passed) => "Every success criterion was met, and everything was put back.",
        Some(Verdict::Failed) if rehearsal => "The plan is not ready: something cannot be checked.",
        Some(Verdict::Failed) => {
            "At least one success criterion was not met, or nobody knows; everything was put back."
        }
        Some(Verdict::NotSteady) => "The steady state did not hold before; nothing was touched.",
        Some(Verdict::Aborted) => "The day was ended early; what had been made was put back.",
        Some(Verdict::NoEffect) => "A fault could not be made or showed no effect; everything was put back.",
        Some(Verdict::Residue) => "Something could not be put back.",
        Some(Verdict::Invalid) => "The plan or an experiment is wrong.",
        None => "The day is not over: its journal ends without a verdict.",
    }
}

/// Who checks a criterion, in a word.
pub(crate) fn checked_by(means: &Means) -> &'static str {
    match means {
        Means::Machine(Test::Conditions { .. }) => "by metrics",
        Means::Machine(Test::Failover { .. } | Test::Recovery { .. }) => "by the steady state",
        Means::Machine(Test::Alerts { .. }) => "by alerts",
        Means::Machine(Test::Data { .. }) => "by counting",
        Means::Machine(Test::Services) => "by health checks",
        Means::People { .. } => "by people",
    }
}

/// Who noted something, as a kind of line.
pub(crate) fn kind_of(note: NoteKind) -> Kind {
    match note {
        NoteKind::Note => Kind::Note,
        NoteKind::Decision => Kind::Decision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::Colour;
    use squall_model::condition::Truth;
    use squall_model::gameday::{Criterion, LinkedExperiment, Participant};

    const EVIL: &str = "<script>alert(1)</script> | *x* \u{1b}[2J";

    /// A day with something of everything, all texts of which want to be markup.
    fn day() -> Vec<Entry> {
        let criterion = |means| Criterion { text: EVIL.into(), of_hypothesis: false, means };
        let people = Means::People { why: EVIL.into(), remedy: EVIL.into() };
        let plan = Plan {
            title: EVIL.into(),
            objective: EVIL.into(),
            hypothesis: EVIL.into(),
            participants: vec![Participant { role: EVIL.into(), name: EVIL.into() }],
            turns: Phase::ALL.map(|phase| (phase, EVIL.to_owned())).to_vec(),
            decides: EVIL.into(),
            criteria: vec![criterion(people), criterion(Means::Machine(Test::Services))],
            rollback: vec![EVIL.into()],
            experiments: vec![LinkedExperiment {
                file: EVIL.into(),
                name: EVIL.into(),
                variables: Vec::new(),
            }],
            ..Plan::default()
        };
        let setting = Setting {
            file: EVIL.into(),
            rehearsal: false,
            observe: 10.0,
            baseline: 1.0,
            recovery: 10.0,
            objectives: Vec::new(),
            limits: Vec::new(),
            squall: "0".into(),
            host: EVIL.into(),
            ..Setting::default()
        };
        let judgement =
            |outcome| Judgement { criterion: EVIL.into(), outcome, why: EVIL.into(), by_people: false };
        let events = vec![
            Event::SessionStarted {
                version: 1,
                session: EVIL.into(),
                plan: Box::new(plan),
                setting: Box::new(setting),
            },
            Event::PhaseStarted { phase: Phase::Verify },
            Event::Service { name: EVIL.into(), health: Truth::Fails, found: EVIL.into() },
            Event::Alerts { firing: vec![EVIL.into()], error: None },
            Event::Metrics {
                values: BTreeMap::from([(EVIL.to_owned(), 1.0), ("error_rate".to_owned(), 0.2)]),
                errors: BTreeMap::new(),
                traffic: BTreeMap::new(),
            },
            Event::PhaseStarted { phase: Phase::Inject },
            Event::RunStarted { experiment: 0, rehearsed: false },
            Event::FaultActive {
                experiment: Some(0),
                injection: "1:a".into(),
                fault: EVIL.into(),
                target: EVIL.into(),
            },
            Event::Steady { holds: false, since: 3.0, failing: vec![EVIL.into()] },
            Event::Noted { kind: NoteKind::Decision, text: EVIL.into() },
            Event::FollowUp(FollowUp { what: EVIL.into(), owner: EVIL.into(), due: EVIL.into() }),
            Event::FaultOver { injection: "1:a".into(), residue: vec![EVIL.into()] },
            Event::RunEnded {
                experiment: 0,
                run: EVIL.into(),
                verdict: Verdict::Residue,
                reasons: vec![EVIL.into()],
            },
            Event::Recovered { seconds: None, failover: None, within: 10.0, by_people: false },
            Event::Held { question: EVIL.into(), who: EVIL.into() },
            Event::Judged { judgements: vec![judgement(Outcome::NotMet), judgement(Outcome::Unknown)] },
            Event::Ended {
                verdict: Verdict::Residue,
                reasons: vec![EVIL.into()],
                exit_code: 6,
                seconds: 16.0,
            },
        ];
        let entry = |(index, event)| Entry {
            at: Timestamp::from_second(1_700_000_000 + index as i64).unwrap(),
            elapsed: index as f64,
            event,
        };
        events.into_iter().enumerate().map(entry).collect()
    }

    #[test]
    fn what_a_journal_holds_is_text_and_nothing_else() {
        let entries = day();
        // Wherever the journal ends, everything can be told of it.
        for end in 0..=entries.len() {
            let chronicle = Chronicle::of(&entries[..end]);
            let page = html(&chronicle);
            assert!(!page.contains("<script") && !page.contains('\u{1b}'), "after {end} events");
            // Code is shown as it is.
            let text = markdown(&chronicle).replace("\\<", "");
            let text: String = text.split('`').step_by(2).collect();
            assert!(!text.contains("<script") && !text.contains('\u{1b}'), "after {end} events");
            assert!(!csv(&chronicle).contains('\u{1b}'));
        }
        let page = html(&Chronicle::of(&entries));
        assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("Residue left"));
    }

    #[test]
    fn the_screen_fits_whatever_happens() {
        let entries = day();
        let prompt = screen::Prompt { label: "note".into(), typed: "a".repeat(300) };
        for end in 0..=entries.len() {
            let chronicle = Chronicle::of(&entries[..end]);
            for size in [(80, 24), (40, 12), (20, 5), (200, 60)] {
                let hint = screen::Bottom::Hint(EVIL);
                for bottom in [screen::Bottom::Keys, screen::Bottom::Prompt(&prompt), hint] {
                    let lines = screen::draw(&chronicle, end as f64, "12:00:00", bottom, size);
                    assert_eq!(lines.len(), size.1, "{size:?} after {end} events");
                    assert!(lines.iter().all(|line| line.width() <= size.0), "{size:?} after {end} events");
                    assert!(lines.iter().all(|line| !line.text(Colour::Off).contains('\u{1b}')));
                }
            }
        }
    }

    #[test]
    fn an_interruption_says_what_was_not_measured_and_the_first_count_stands() {
        let counted = |moment, orders| Event::Data {
            moment,
            values: BTreeMap::from([("orders".to_owned(), orders)]),
            errors: BTreeMap::new(),
            broken: Vec::new(),
        };
        let mut entries = day();
        entries.truncate(9);
        entries.insert(2, Entry { elapsed: 1.0, event: counted(Moment::Before, 5.0), ..entries[1].clone() });
        let last = entries.last().unwrap().clone();
        let later = |elapsed, event| Entry { elapsed, event, ..last.clone() };
        entries.push(later(68.0, Event::Resumed { interrupted: vec![0], changed: vec![EVIL.into()] }));
        entries.push(later(69.0, counted(Moment::Before, 3.0)));
        let chronicle = Chronicle::of(&entries);
        assert_eq!(chronicle.before, BTreeMap::from([("orders".to_owned(), 5.0)]));
        assert_eq!(chronicle.unmeasured, [(8.0, 68.0)]);
        let findings = chronicle.findings();
        let said = |(_, text): &(Tone, String)| text.contains("at 0:08") && text.contains("until 1:08");
        assert!(findings.iter().any(said), "{findings:?}");
        assert!(html(&chronicle).contains("nothing was measured until"));
        assert!(
            chronicle
                .log
                .iter()
                .any(|line| line.text.starts_with("The session goes on") && line.text.ends_with(EVIL))
        );
    }

    #[test]
    fn what_could_not_be_written_down_is_shown_as_lost_and_not_as_kept() {
        let mut chronicle = Chronicle::of(&day()[..10]);
        let kept = (chronicle.follow_ups.len(), chronicle.log.len());
        let entry = |event| Entry { at: Timestamp::UNIX_EPOCH, elapsed: 11.0, event };
        let said = |text: &str| Event::Noted { kind: NoteKind::Note, text: text.into() };
        let line = chronicle.lose(&entry(said("the cache is cold"))).unwrap();
        assert!(line.contains("Lost") && line.contains("Note: the cache is cold"), "{line}");
        let follow_up = FollowUp { what: "a".into(), owner: String::new(), due: String::new() };
        assert!(chronicle.lose(&entry(Event::FollowUp(follow_up))).is_some());
        assert_eq!((chronicle.follow_ups.len(), chronicle.log.len()), (kept.0, kept.1 + 2));
        assert_eq!(chronicle.log.last().unwrap().tone, Tone::Bad);
        // That it is over is known all the same.
        chronicle.lose(&entry(Event::Halted { reason: "full".into() }));
        assert_eq!(chronicle.halted.as_deref(), Some("full"));
        let lost =
            Event::Metrics { values: BTreeMap::new(), errors: BTreeMap::new(), traffic: BTreeMap::new() };
        assert_eq!(chronicle.lose(&entry(lost)), None);
    }

    #[test]
    fn a_narrow_terminal_shows_how_to_halt_and_a_low_one_shows_the_keys() {
        let chronicle = Chronicle::of(&day()[..9]);
        for size in [(40, 10), (40, 5)] {
            let lines = screen::draw(&chronicle, 9.0, "12:00:00", screen::Bottom::Keys, size);
            assert!(lines.last().unwrap().text(Colour::Off).contains("h HALT"), "{size:?}");
        }
    }

    #[test]
    fn what_nobody_said_is_not_marked_as_said() {
        let mut chronicle = Chronicle::default();
        let entry = |event| Entry { at: Timestamp::UNIX_EPOCH, elapsed: 1.0, event };
        let decided = |remark: &str| Event::Decided { go: true, remark: remark.into() };
        for event in [Event::Held { question: "Go?".into(), who: String::new() }, decided("nobody was asked")]
        {
            chronicle.on(&entry(event));
        }
        assert!(!html(&chronicle).contains("class=\"said\""));
        chronicle.on(&entry(decided("all are here")));
        assert_eq!(chronicle.log.last().unwrap().kind, Kind::Decision);
    }

    #[test]
    fn steps_of_the_rollback_keep_their_order_in_markdown() {
        let mut chronicle = Chronicle::default();
        chronicle.plan.rollback = vec!["Stop".into(), "Restore".into()];
        assert!(markdown(&chronicle).contains("1. Stop\n2. Restore\n"));
    }

    #[test]
    fn a_gap_in_the_log_is_no_gap_in_the_story() {
        let chronicle = Chronicle::of(&day());
        assert_eq!(chronicle.phase().unwrap().0, Phase::Inject);
        assert_eq!(chronicle.residue(), [EVIL]);
        assert_eq!(timeline::lost(&chronicle), [(3.0, 16.0)]);
        assert_eq!(chronicle.findings()[0].0, Tone::Bad);
    }
}
