//! What people are told, and when: a pure fold from the events of a run to messages.

use crate::run::Run;
use jiff::Timestamp;
use serde::Serialize;
use squall_model::event::{Entry, Event, Phase};
use squall_model::fault::is_for_good;
use squall_model::settings::Occasion;
use squall_model::verdict::Verdict;
use std::collections::BTreeMap;

/// At most one message of a kind goes out in so many seconds of a run; what must be known goes out always.
const APART: f64 = 10.0;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// All is well again, if it ever was not.
    Good,
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Error,
    /// Somebody must do something now.
    Critical,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// What it is about: an occasion, `news` of a monkey, or a `test`.
    pub kind: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// All of it in a line.
    pub title: String,
    /// More of it, by name.
    pub details: Vec<(&'static str, String)>,
    /// The run; empty where it is about none.
    pub run: String,
    /// The experiment; or the group that news are about.
    pub experiment: String,
    /// The host.
    pub host: String,
    /// The verdict, where there is one.
    pub verdict: Option<Verdict>,
    /// Who is to know it, where somebody is named.
    pub owner: Option<String>,
    /// When it happened.
    pub at: Timestamp,
}

impl Message {
    /// A message that only shows that messages arrive.
    pub fn test(host: &str, at: Timestamp) -> Self {
        Self {
            kind: "test",
            title: format!("Squall on {host} can reach you: this is a test, nothing happened"),
            ..Self::of(host, at)
        }
    }

    /// News of a monkey for an owner.
    pub fn news(owner: Option<String>, group: &str, words: &str, host: &str, at: Timestamp) -> Self {
        Self {
            kind: "news",
            title: format!("Chaos Monkey on {host}: {group}: {words}"),
            details: owner.iter().map(|owner| ("owner", owner.clone())).collect(),
            experiment: group.to_owned(),
            owner,
            ..Self::of(host, at)
        }
    }

    fn of(host: &str, at: Timestamp) -> Self {
        Self {
            kind: "test",
            severity: Severity::Info,
            title: String::new(),
            details: Vec::new(),
            run: String::new(),
            experiment: String::new(),
            host: host.to_owned(),
            verdict: None,
            owner: None,
            at,
        }
    }

    /// What stays the same from one run of the experiment to the next: later messages of it are about the same trouble.
    pub fn key(&self) -> String {
        format!("squall/{}/{}", self.host, self.experiment)
    }

    /// The details as lines of text.
    pub fn body(&self) -> String {
        let lines: Vec<String> = self.details.iter().map(|(name, text)| format!("{name}: {text}")).collect();
        lines.join("\n")
    }

    /// What happened in a run, for those who want to be told of this occasion.
    fn about(occasion: Occasion, run: &Run, at: Timestamp) -> Self {
        let verdict = run.verdict.as_ref().map(|(verdict, _)| *verdict);
        let ended = || {
            let (verdict, reasons) = run.verdict.clone().unwrap_or((Verdict::Invalid, Vec::new()));
            let why = reasons.first().map(|reason| format!(": {reason}")).unwrap_or_default();
            (verdict, format!("{}{why}", verdict.name().replace('_', " ")))
        };
        let what = match occasion {
            Occasion::Start => "begins".to_owned(),
            Occasion::Abort => {
                let reason = run.aborted.as_ref().map(|(reason, _)| reason.as_str()).unwrap_or_default();
                let is_any_for_good = run.injections.iter().any(|injection| is_for_good(&injection.fault));
                let what = if is_any_for_good {
                    "what can be is being put back"
                } else {
                    "everything is being put back"
                };
                format!("is ended early, {what}: {reason}")
            }
            Occasion::Residue => {
                format!(
                    "could not put everything back: {}",
                    run.residue.first().map_or("see the journal", |left| left)
                )
            }
            Occasion::Failure | Occasion::End => ended().1,
        };
        let severity = match occasion {
            Occasion::Start => Severity::Info,
            Occasion::Residue => Severity::Critical,
            Occasion::Abort | Occasion::Failure => Severity::Error,
            Occasion::End => match ended().0 {
                Verdict::Passed => Severity::Good,
                Verdict::Residue => Severity::Critical,
                _ => Severity::Error,
            },
        };
        Self {
            kind: name(occasion),
            severity,
            title: format!("Squall: {} on {}: {what}", run.experiment, run.host),
            details: details(run),
            run: run.name.clone(),
            experiment: run.experiment.clone(),
            host: run.host.clone(),
            verdict,
            owner: None,
            at,
        }
    }
}

fn name(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::Start => "start",
        Occasion::End => "end",
        Occasion::Failure => "failure",
        Occasion::Abort => "abort",
        Occasion::Residue => "residue",
    }
}

fn details(run: &Run) -> Vec<(&'static str, String)> {
    let faults = run.injections.iter().rev().take(5).map(|injection| {
        let state = match (&injection.failed, injection.over, injection.residue.is_empty()) {
            (Some(_), ..) => "could not be made",
            (_, Some(_), true) if is_for_good(&injection.fault) => {
                "cannot be put back, and nothing of Squall's is left"
            }
            (_, Some(_), true) => "put back",
            (_, Some(_), false) => "not put back",
            _ => "active",
        };
        ("fault", format!("{} on {} ({state})", injection.fault, injection.target))
    });
    let mut details = vec![
        ("hypothesis", run.hypothesis.clone()),
        ("services", run.services.join(", ")),
        ("environment", run.environment.clone()),
    ];
    details.extend(faults);
    details.extend(run.residue.iter().take(10).map(|left| ("residue", left.clone())));
    let reasons = run.verdict.iter().flat_map(|(_, reasons)| reasons.iter().take(5));
    details.extend(reasons.map(|reason| ("reason", reason.clone())));
    details.extend([("file", run.file.clone()), ("started by", run.by.clone()), ("run", run.name.clone())]);
    details.retain(|(_, text)| !text.is_empty());
    details
}

/// Decides what one who wants to be told is told.
#[derive(Debug, Clone)]
pub(crate) struct Occasions {
    wanted: Vec<Occasion>,
    began: bool,
    /// Somebody was asked about the plan and said no: that is nothing to tell.
    refused: bool,
    /// When each was told last, in seconds of the run.
    told: BTreeMap<Occasion, f64>,
}

impl Occasions {
    /// For one who wants to be told of these.
    pub(crate) fn new(wanted: Vec<Occasion>) -> Self {
        Self { wanted, began: false, refused: false, told: BTreeMap::new() }
    }

    /// What is told of an event, of which the run already knows.
    pub(crate) fn on(&mut self, run: &Run, entry: &Entry) -> Option<Message> {
        let offered = self.offered(entry);
        let occasion = offered.into_iter().filter(|occasion| self.wanted.contains(occasion)).max()?;
        let must_be_known = matches!(occasion, Occasion::Residue | Occasion::Abort);
        let is_too_soon = self.told.get(&occasion).is_some_and(|last| entry.elapsed - last < APART);
        if is_too_soon && !must_be_known {
            return None;
        }
        self.told.insert(occasion, entry.elapsed);
        Some(Message::about(occasion, run, entry.at))
    }

    fn offered(&mut self, entry: &Entry) -> Vec<Occasion> {
        match &entry.event {
            // What comes after the plan happens only once that was approved.
            Event::PhaseStarted { phase } if *phase != Phase::Plan && !self.began => {
                self.began = true;
                vec![Occasion::Start]
            }
            Event::Refused { .. } => {
                self.refused = true;
                Vec::new()
            }
            _ if self.refused => Vec::new(),
            Event::Aborted { .. } => vec![Occasion::Abort],
            Event::Restored { residue, .. } if !residue.is_empty() => vec![Occasion::Residue],
            Event::Verdict { verdict, .. } => match verdict {
                Verdict::Residue if !self.told.contains_key(&Occasion::Residue) => {
                    vec![Occasion::End, Occasion::Residue]
                }
                Verdict::Passed | Verdict::Aborted | Verdict::Residue => vec![Occasion::End],
                Verdict::Failed | Verdict::Invalid | Verdict::NotSteady | Verdict::NoEffect => {
                    vec![Occasion::End, Occasion::Failure]
                }
            },
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, journal};

    fn told(wanted: &[Occasion], journal: &[Entry]) -> Vec<Message> {
        let (mut run, mut occasions) = (Run::default(), Occasions::new(wanted.to_vec()));
        let tell = |entry: &Entry| {
            run.on(entry);
            occasions.on(&run, entry)
        };
        journal.iter().filter_map(tell).collect()
    }

    const ALL: [Occasion; 5] =
        [Occasion::Start, Occasion::End, Occasion::Failure, Occasion::Abort, Occasion::Residue];

    #[test]
    fn each_is_told_what_they_asked_for() {
        let kinds = |wanted: &[Occasion], journal: &[Entry]| -> Vec<&'static str> {
            told(wanted, journal).iter().map(|message| message.kind).collect()
        };
        let passed = journal("x", Verdict::Passed);
        assert_eq!(kinds(&ALL, &passed), ["start", "end"]);
        assert!(kinds(&Occasion::DEFAULT, &passed).is_empty());
        let failed = journal("x", Verdict::Failed);
        assert_eq!(kinds(&ALL, &failed), ["start", "failure"], "one event, one message");
        assert_eq!(kinds(&[Occasion::End], &failed), ["end"]);
        let aborted = journal("x", Verdict::Aborted);
        assert_eq!(kinds(&ALL, &aborted), ["start", "abort", "end"]);
        let residue = journal("x", Verdict::Residue);
        assert_eq!(kinds(&ALL, &residue), ["start", "residue", "end"]);
    }

    #[test]
    fn messages_say_what_happened_where() {
        let messages = told(&ALL, &journal("slow database", Verdict::Residue));
        assert_eq!(messages[0].title, "Squall: slow database on web-1: begins");
        let residue = &messages[1];
        assert_eq!(residue.severity, Severity::Critical);
        assert!(residue.title.contains("could not put everything back: eth0"), "{}", residue.title);
        let body = residue.body();
        assert!(body.contains("fault: network.latency on eth0 (not put back)\n"), "{body}");
        assert!(body.contains("hypothesis: it is well\n"), "{body}");
        assert_eq!(messages[2].verdict, Some(Verdict::Residue));
    }

    #[test]
    fn what_was_ended_for_good_is_not_called_put_back() {
        let mut journal = journal("x", Verdict::Aborted);
        for entry in &mut journal {
            match &mut entry.event {
                Event::InjectStarted { fault, .. } => *fault = "process.kill".to_owned(),
                Event::Restored { restored, residue, .. } => {
                    (restored.fault, *residue) = ("process.kill".to_owned(), Vec::new());
                    restored.errors.clear();
                }
                _ => {}
            }
        }
        let messages = told(&ALL, &journal);
        let last = messages.last().unwrap().body();
        assert!(last.contains("(cannot be put back, and nothing of Squall's is left)"), "{last}");
        assert!(messages.iter().all(|message| !message.title.contains("everything")), "{messages:?}");
    }

    #[test]
    fn what_must_be_known_is_told_however_often_it_happens() {
        let mut journal = journal("x", Verdict::Residue);
        let residue =
            journal.iter().find(|entry| matches!(entry.event, Event::Restored { .. })).unwrap().clone();
        let at = journal.len() - 1;
        journal.insert(at, residue);
        assert_eq!(told(&[Occasion::Residue], &journal).len(), 2);
        let mut refused = journal.clone();
        refused.insert(
            2,
            Entry { event: Event::Refused { by: "alice".into(), why: "no".into() }, ..journal[1].clone() },
        );
        refused.truncate(3);
        refused.push(testing::verdict(Verdict::Invalid));
        assert!(told(&ALL, &refused).is_empty(), "who said no knows it");
        let mut occasions = Occasions::new(ALL.to_vec());
        let end = |elapsed| Entry { elapsed, ..testing::verdict(Verdict::Passed) };
        assert!(occasions.on(&Run::default(), &end(1.0)).is_some());
        assert!(occasions.on(&Run::default(), &end(10.9)).is_none());
        assert!(occasions.on(&Run::default(), &end(11.0)).is_some());
    }
}
