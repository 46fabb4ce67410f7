//! A game day as a state machine: what people say and what is measured comes in, events and orders go out.
//!
//! Every change of what the session knows is an event of the journal, and is learned from that event alone: a session
//! whose journal is read again stands where it stood. Time is given by the caller, in seconds since the session began.

mod record;
mod steps;
mod watch;

use super::judge;
use record::Record;
use squall_model::gameday::{
    Event, FollowUp, Measures, Moment, NoteKind, Outcome, Phase, Plan, Setting, Traffic,
};
use squall_model::value::Reading;
use squall_model::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use watch::Watch;

pub(super) use record::{Counted, Record as Known};

/// Version of the journal's vocabulary.
const VERSION: u32 = 1;

/// How a session is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Nobody is asked: every hold is a go, and what only people can tell stays unknown.
    pub unattended: bool,
}

/// What is measured in a second.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Metrics by name, those of loads over their sliding windows, in base units.
    pub values: BTreeMap<String, f64>,
    /// Why metrics are absent, by name.
    pub errors: BTreeMap<String, String>,
    /// What users met lately.
    pub present: Option<Present>,
    /// Traffic that became final, by load.
    pub traffic: BTreeMap<String, Vec<Traffic>>,
    /// The latest answers of probes: of the steady state by position, of services by name.
    pub steady: BTreeMap<usize, Answer>,
    /// See `steady`.
    pub services: BTreeMap<String, Answer>,
    /// The alerts that fire, or why nothing is known; none where no source was asked yet.
    pub alerts: Option<Result<BTreeSet<String>, String>>,
}

/// The metrics of loads over the latest traffic whose requests have all ended.
#[derive(Debug, Clone, Default)]
pub struct Present {
    /// When that traffic begins, in seconds since the session began.
    pub from: f64,
    /// When it ends.
    pub to: f64,
    /// By name.
    pub values: BTreeMap<String, f64>,
}

/// A probe's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When it was asked, in seconds since the session began.
    pub asked: f64,
    /// What was read, or why nothing was.
    pub reading: Result<Reading, String>,
}

/// What people say.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Go, with a remark.
    Go(String),
    /// No-go, with a remark.
    NoGo(String),
    /// Something was seen or decided.
    Note(NoteKind, String),
    /// Something is to be done.
    FollowUp(FollowUp),
    /// The answer to a question about a criterion.
    Answer(Outcome, String),
    /// Everything is put back at once, and the day ends.
    Halt(String),
    /// Everything is put back; the day goes on another time.
    Suspend(String),
}

/// What the session is told.
#[derive(Debug)]
pub enum Input {
    /// It begins.
    Start(Box<Setting>, String),
    /// It goes on after an interruption; what is not as it was when it began, in words.
    Resume(Vec<String>),
    /// A second is over.
    Second(Sample),
    /// Nothing is measured any more; this was the last.
    Settled(Sample),
    /// Somebody said something.
    Said(Command),
    /// A fault of an experiment is active.
    Active {
        /// The experiment's position in the plan.
        experiment: usize,
        /// The injection's name.
        injection: String,
        /// The fault.
        fault: String,
        /// What is struck.
        target: String,
    },
    /// A fault was put back.
    Over {
        /// The injection's name.
        injection: String,
        /// What could not be put back.
        residue: Vec<String>,
    },
    /// An experiment is over.
    RunEnded {
        /// The experiment's position in the plan.
        experiment: usize,
        /// The run.
        run: String,
        /// What it found.
        verdict: Verdict,
        /// Why.
        reasons: Vec<String>,
    },
    /// Data was counted, by name of the probe.
    Counted(BTreeMap<String, Result<f64, String>>),
    /// A signal or the halt file ends it: everything is put back, and nobody is asked any more.
    Interrupted(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Write this down.
    Journal(Event),
    /// Carry this experiment out.
    Run(usize),
    /// End the experiment that goes on, at once.
    HaltRuns(String),
    /// Count the data.
    Count,
    /// Measure no more, and hand in what is left.
    StopMeasuring,
    /// It is over.
    Finish(Verdict),
}

/// A game day that is carried out.
#[derive(Debug)]
pub struct Session {
    measures: Measures,
    options: Options,
    record: Record,
    watch: Watch,
    outputs: Vec<Output>,
    /// Data is being counted.
    counting: bool,
    /// When data that did not hold was first counted, and when it was last.
    recounts: Option<(f64, f64)>,
    /// Nothing is measured any more.
    settled: bool,
    /// Whether measuring was told to stop.
    stopping: bool,
    finished: bool,
}

impl Session {
    /// A session of this plan.
    pub fn new(plan: Plan, measures: Measures, options: Options) -> Self {
        Self {
            watch: Watch::new(&measures),
            measures,
            options,
            record: Record::of(plan),
            outputs: Vec::new(),
            counting: false,
            recounts: None,
            settled: false,
            stopping: false,
            finished: false,
        }
    }

    /// A session whose journal was read again. [`Input::Resume`] makes it go on.
    pub fn resumed(
        entries: &[squall_model::gameday::Entry],
        measures: Measures,
        options: Options,
    ) -> Option<Self> {
        let plan = entries.iter().find_map(|entry| match &entry.event {
            Event::SessionStarted { plan, .. } => Some((**plan).clone()),
            _ => None,
        })?;
        let mut session = Self::new(plan, measures, options);
        for entry in entries {
            session.record.apply(entry.elapsed, &entry.event);
        }
        Some(session)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.record.plan
    }

    /// The setting; none before the start.
    pub fn setting(&self) -> Option<&Setting> {
        self.record.setting.as_ref()
    }

    /// What people are waited for, if they are: a go, or an answer.
    pub fn waits_for_people(&self) -> bool {
        !self.finished && (self.record.hold.is_some() || self.record.asked.is_some())
    }

    /// Whether go or no-go means anything now: something is asked, or a go ends the observation.
    pub fn takes(&self, go: bool) -> bool {
        let observes = self.record.phase == Some(Phase::Observe) && !self.record.is_running();
        !self.finished && (self.record.hold.is_some() || (go && observes))
    }

    /// Takes in what happened at `now`.
    pub fn on(&mut self, now: f64, input: Input) -> Vec<Output> {
        if self.finished {
            return Vec::new();
        }
        match input {
            Input::Start(setting, session) => self.start(now, setting, session),
            Input::Resume(changed) => self.resume(now, changed),
            Input::Second(sample) => self.second(now, &sample),
            Input::Settled(sample) => {
                self.measured(now, &sample);
                self.settled = true;
            }
            Input::Said(command) => self.said(now, command),
            Input::Active { experiment, injection, fault, target } => {
                let experiment = Some(experiment);
                self.emit(now, Event::FaultActive { experiment, injection, fault, target });
            }
            Input::Over { injection, residue } => self.emit(now, Event::FaultOver { injection, residue }),
            Input::RunEnded { experiment, run, verdict, reasons } => {
                self.emit(now, Event::RunEnded { experiment, run, verdict, reasons });
            }
            Input::Counted(counted) => self.counted(now, counted),
            Input::Interrupted(reason) => self.interrupted(now, reason),
        }
        self.proceed(now);
        std::mem::take(&mut self.outputs)
    }

    /// Writes an event down and learns from it.
    fn emit(&mut self, now: f64, event: Event) {
        self.record.apply(now, &event);
        self.outputs.push(Output::Journal(event));
    }

    fn start(&mut self, now: f64, setting: Box<Setting>, session: String) {
        let plan = Box::new(self.record.plan.clone());
        self.emit(now, Event::SessionStarted { version: VERSION, session, plan, setting });
        self.emit(now, Event::PhaseStarted { phase: Phase::Verify });
    }

    /// Goes on where it stood. What was active when the session was interrupted was put back by its agent, and is made
    /// again only after the steady state was looked at anew.
    fn resume(&mut self, now: f64, changed: Vec<String>) {
        let interrupted = self.record.interrupted_runs();
        let anew = !interrupted.is_empty() || matches!(self.record.phase, None | Some(Phase::Verify));
        self.emit(now, Event::Resumed { interrupted, changed });
        if anew {
            self.emit(now, Event::PhaseStarted { phase: Phase::Verify });
        }
    }

    fn said(&mut self, now: f64, command: Command) {
        match command {
            Command::Go(remark) => self.decided(now, true, remark),
            Command::NoGo(remark) => self.decided(now, false, remark),
            Command::Note(kind, text) => self.emit(now, Event::Noted { kind, text }),
            Command::FollowUp(follow_up) => self.emit(now, Event::FollowUp(follow_up)),
            Command::Answer(outcome, remark) => {
                if let Some(criterion) = self.record.asked {
                    self.emit(now, Event::Answered { criterion, outcome, remark });
                }
            }
            Command::Halt(reason) => self.halt(now, reason),
            Command::Suspend(reason) => {
                self.emit(now, Event::Suspended { reason: reason.clone() });
                self.halt_runs(reason);
            }
        }
    }

    fn halt(&mut self, now: f64, reason: String) {
        if self.record.halted.is_none() {
            self.emit(now, Event::Halted { reason: reason.clone() });
        }
        self.halt_runs(reason);
    }

    fn interrupted(&mut self, now: f64, reason: String) {
        self.options.unattended = true;
        self.record.hurried = true;
        self.halt(now, reason);
    }

    fn halt_runs(&mut self, reason: String) {
        if self.record.is_running() {
            self.outputs.push(Output::HaltRuns(reason));
        }
    }

    fn measured(&mut self, now: f64, sample: &Sample) {
        let metrics = Event::Metrics {
            values: sample.values.clone(),
            errors: sample.errors.clone(),
            traffic: sample.traffic.clone(),
        };
        if !(sample.values.is_empty() && sample.errors.is_empty() && sample.traffic.is_empty()) {
            self.emit(now, metrics);
        }
    }

    /// A second's measurements: what changed is written down, and the guard looks.
    fn second(&mut self, now: f64, sample: &Sample) {
        self.measured(now, sample);
        for event in self.watch.look(now, sample, &self.measures) {
            self.emit(now, event);
        }
        if self.record.is_struck()
            && self.record.halted.is_none()
            && let Some(reason) = self.watch.guard(now, sample)
        {
            self.halt(now, reason);
        }
    }

    fn counted(&mut self, now: f64, counted: BTreeMap<String, Result<f64, String>>) {
        self.counting = false;
        let (mut values, mut errors) = (BTreeMap::new(), BTreeMap::new());
        for (name, result) in counted {
            match result {
                Ok(value) => drop(values.insert(name, value)),
                Err(why) => drop(errors.insert(name, why)),
            }
        }
        let moment = if self.record.phase == Some(Phase::Verify) { Moment::Before } else { Moment::After };
        let broken = match moment {
            Moment::Before => Vec::new(),
            Moment::After => judge::broken_data(&self.measures.data, self.record.before.as_ref(), &values),
        };
        if moment == Moment::After {
            let (first, _) = self.recounts.unwrap_or((now, now));
            self.recounts = Some((first, now));
        }
        let late = self.recounts.is_some_and(|(first, _)| now - first >= steps::LATE_DATA);
        // What is still on its way may arrive: only the last count is written down.
        if moment == Moment::Before || broken.is_empty() || late {
            self.emit(now, Event::Data { moment, values, errors, broken });
        }
    }
}

#[cfg(test)]
mod tests;
