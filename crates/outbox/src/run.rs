//! What is known of a run from its events so far: a pure fold, from which everything that is told follows.

use jiff::Timestamp;
use squall_model::event::{Entry, Event, Phase};
use squall_model::protocol::Restored;
use squall_model::verdict::Verdict;

/// A run, as far as it was told.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Its unique name.
    pub name: String,
    /// The experiment's name.
    pub experiment: String,
    /// Its hypothesis.
    pub hypothesis: String,
    /// Its file.
    pub file: String,
    /// The host of the brain.
    pub host: String,
    /// Services of the blast radius.
    pub services: Vec<String>,
    /// The environment that it is carried out in, where that was said.
    pub environment: String,
    /// Who started it.
    pub by: String,
    /// The version of Squall.
    pub squall: String,
    /// The phases that began, and when.
    pub phases: Vec<(Phase, Timestamp)>,
    /// The injections that were begun, in order.
    pub injections: Vec<Injection>,
    /// Why it was ended early, and when, if so.
    pub aborted: Option<(String, Timestamp)>,
    /// What could not be put back, in words.
    pub residue: Vec<String>,
    /// Seconds until the steady state was back.
    pub recovered: Option<f64>,
    /// The verdict and its reasons.
    pub verdict: Option<(Verdict, Vec<String>)>,
    /// When the first and the last event happened.
    pub lasted: Option<(Timestamp, Timestamp)>,
}

/// An injection of a run.
#[derive(Debug, Clone)]
pub struct Injection {
    /// Its name within the run.
    pub id: String,
    /// The fault.
    pub fault: String,
    /// What is struck.
    pub target: String,
    /// When it was begun.
    pub begun: Timestamp,
    /// When it was active.
    pub active: Option<Timestamp>,
    /// When it was put back, or could not be.
    pub over: Option<Timestamp>,
    /// Why it could not be made, if so.
    pub failed: Option<String>,
    /// What was left of it.
    pub residue: Vec<String>,
}

impl Run {
    /// Takes one more event in.
    pub fn on(&mut self, entry: &Entry) {
        let began = self.lasted.map_or(entry.at, |(began, _)| began);
        self.lasted = Some((began, entry.at));
        match &entry.event {
            Event::RunStarted {
                run,
                experiment,
                hypothesis,
                file,
                host,
                services,
                environment,
                by,
                squall,
                ..
            } => {
                self.name.clone_from(run);
                self.experiment.clone_from(experiment);
                self.hypothesis.clone_from(hypothesis);
                self.file.clone_from(file);
                self.host.clone_from(host);
                self.services.clone_from(services);
                self.environment.clone_from(environment);
                self.by.clone_from(by);
                self.squall.clone_from(squall);
            }
            Event::PhaseStarted { phase } => self.phases.push((*phase, entry.at)),
            Event::InjectStarted { injection, fault, target, .. } => {
                self.begun(injection, fault, target, entry.at);
            }
            Event::Injected { injection, .. } => {
                if let Some(injection) = self.latest(injection) {
                    injection.active = Some(entry.at);
                }
            }
            Event::TargetGone { injection, what: message }
            | Event::InjectFailed { injection, message, .. } => {
                if let Some(injection) = self.latest(injection) {
                    injection.failed = Some(message.clone());
                }
            }
            Event::Restored { restored, residue, .. } => self.restored(restored, residue, entry.at),
            Event::Aborted { reason, .. } => self.aborted = Some((reason.clone(), entry.at)),
            Event::Recovered { seconds, .. } => self.recovered = *seconds,
            Event::Verdict { verdict, reasons, .. } => self.verdict = Some((*verdict, reasons.clone())),
            _ => {}
        }
    }

    fn begun(&mut self, id: &str, fault: &str, target: &str, at: Timestamp) {
        // Made anew, such as a stage of a ramp: the one before it is over.
        if let Some(before) = self.latest(id) {
            before.over = Some(at);
        }
        self.injections.push(Injection {
            id: id.to_owned(),
            fault: fault.to_owned(),
            target: target.to_owned(),
            begun: at,
            active: None,
            over: None,
            failed: None,
            residue: Vec::new(),
        });
    }

    fn restored(&mut self, restored: &Restored, residue: &[String], at: Timestamp) {
        self.residue.extend_from_slice(residue);
        // What the agent found of earlier runs is restored here too, and is no injection of this one.
        if let Some(injection) = self.latest(&restored.injection) {
            injection.over = Some(at);
            injection.residue = residue.to_vec();
        }
    }

    /// The latest injection of a name that is not over: a repeated one begins anew.
    fn latest(&mut self, id: &str) -> Option<&mut Injection> {
        self.injections.iter_mut().rev().find(|injection| injection.id == id && injection.over.is_none())
    }

    /// The injection that an event is about, as it stands now.
    pub fn injection(&self, id: &str) -> Option<&Injection> {
        self.injections.iter().rev().find(|injection| injection.id == id)
    }

    /// Those that are active now.
    pub fn active(&self) -> impl Iterator<Item = &Injection> {
        self.injections.iter().filter(|injection| injection.active.is_some() && injection.over.is_none())
    }
}
