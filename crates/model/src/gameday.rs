//! Game days: a plan that was understood, what it is measured with, and the journal of a session.
//!
//! The session decides on these events, the report is told from them: everything shown afterwards is a function of the
//! journal alone. Events may gain fields; a reader ignores those that it does not know.

use crate::condition::{Bound, Condition, Truth};
use crate::experiment::{Check, Load, Metric, ProbeCall};
use crate::node::Place;
use crate::units::Duration;
use crate::verdict::Verdict;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The parts of a game day, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The steady state and the health of the services are looked at, and what is normal is measured.
    Verify,
    /// The failure is made.
    Inject,
    /// Everybody watches and writes down.
    Observe,
    /// The steady state must come back; how long that takes is measured.
    Recover,
    /// The criteria are judged and follow-ups are agreed.
    Analyse,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Verify, Self::Inject, Self::Observe, Self::Recover, Self::Analyse];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verify => "Verify",
            Self::Inject => "Inject",
            Self::Observe => "Observe",
            Self::Recover => "Recover",
            Self::Analyse => "Analyse",
        }
    }

    /// Its number, counted from 1.
    pub fn number(self) -> usize {
        self as usize + 1
    }
}

/// A plan as it was understood.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// What the day is called.
    pub title: String,
    /// What it is for.
    pub objective: String,
    /// What is believed.
    pub hypothesis: String,
    /// Who takes part.
    pub participants: Vec<Participant>,
    /// What happens when.
    pub timeline: Vec<Slot>,
    /// Whose turn it is in each phase.
    #[serde(default)]
    pub turns: Vec<(Phase, String)>,
    /// Who says go or no-go.
    #[serde(default)]
    pub decides: String,
    /// When the day is a success.
    pub criteria: Vec<Criterion>,
    /// How people put things right by hand.
    pub rollback: Vec<String>,
    /// Experiments that make the failure, by file.
    pub experiments: Vec<LinkedExperiment>,
    /// What was to be done already.
    pub follow_ups: Vec<FollowUp>,
    /// Sections that mean nothing to Squall, by title; they stay with the plan.
    pub others: Vec<String>,
}

/// Somebody who takes part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Such as `Incident Commander`; empty where the plan gives none.
    pub role: String,
    /// Who it is.
    pub name: String,
}

/// An entry of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// The time as it was written.
    pub at: String,
    /// Seconds since the first entry.
    pub offset: f64,
    /// What happens.
    pub text: String,
    /// The phase that it stands for, where that can be told.
    pub phase: Option<Phase>,
    /// Whose turn it is.
    pub who: String,
}

/// When the day is a success, in one respect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// As it was written.
    pub text: String,
    /// Whether it stands in the hypothesis, and not among the criteria.
    #[serde(default)]
    pub of_hypothesis: bool,
    /// Who checks it and how.
    pub means: Means,
}

/// Who checks a criterion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// Squall does.
    Machine(Test),
    /// People are asked.
    People {
        /// Why no machine can.
        why: String,
        /// The line in the plan's `squall` block that would change that.
        remedy: String,
    },
}

/// What a machine looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Conditions on metrics, from the failure until the steady state is back.
    Conditions {
        /// All of them must hold.
        conditions: Vec<Condition>,
        /// Whether each second counts, and not only the whole time.
        each_second: bool,
    },
    /// The steady state is back by itself, while the failure lasts.
    Failover {
        /// Seconds since the failure was made.
        within: f64,
    },
    /// The steady state is back after the failure was put right.
    Recovery {
        /// Seconds since then.
        within: f64,
    },
    /// Alerts fire, and are resolved afterwards.
    Alerts {
        /// Their names.
        names: Vec<String>,
        /// Seconds since the failure.
        within: f64,
        /// Seconds since the steady state is back.
        resolved_within: f64,
    },
    /// Data is as it was.
    Data {
        /// Names of the data probes.
        probes: Vec<String>,
    },
    /// All services answer as expected once the day is over.
    Services,
}

/// An experiment that makes the failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedExperiment {
    /// Its file.
    pub file: String,
    /// Its name; the file where it is not known yet.
    pub name: String,
    /// Variables for it alone.
    #[serde(default)]
    pub variables: Vec<(String, String)>,
}

/// Something to be done after the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    /// What.
    pub what: String,
    /// By whom; empty where nobody is named.
    #[serde(default)]
    pub owner: String,
    /// Until when, as `2026-12-01`; empty where no date is named.
    #[serde(default)]
    pub due: String,
}

/// What a game day is measured with: the `squall` block of a plan, or the file beside it.
#[derive(Debug, Clone, Default)]
pub struct Measures {
    /// Traffic that Squall sends all day.
    pub loads: Vec<Load>,
    /// Anything else that is measured every second.
    pub metrics: Vec<Metric>,
    /// What must hold before, and again after.
    pub steady_state: Vec<Check>,
    /// The health of services, by their names; part of the steady state.
    pub services: Vec<Check>,
    /// What is counted before and after.
    pub data: Vec<DataProbe>,
    /// Where alerts are read.
    pub alerts: Option<AlertSource>,
    /// Experiments that make the failure.
    pub experiments: Vec<(LinkedExperiment, Place)>,
    /// What ends the failure at once.
    pub guard: Vec<Condition>,
    /// How long the phase of observation lasts at least.
    pub observe: Option<Duration>,
    /// How long is measured before.
    pub baseline: Option<Duration>,
    /// How soon the steady state must be back.
    pub recovery_within: Option<Duration>,
    /// How criteria are checked that words alone do not tell, by their text.
    pub criteria: Vec<Assigned>,
    /// Texts that must never be shown.
    pub secrets: Vec<String>,
}

/// A criterion that the plan's `squall` block says how to check.
#[derive(Debug, Clone)]
pub struct Assigned {
    /// The criterion's text, or how it begins.
    pub criterion: String,
    /// Where it stands.
    pub place: Place,
    /// The test; people where there is none.
    pub test: Option<Test>,
}

/// Something that is counted before and after.
#[derive(Debug, Clone)]
pub struct DataProbe {
    /// Its name.
    pub name: String,
    /// What counts it.
    pub source: Metric,
    /// What is expected afterwards.
    pub keeps: Keeps,
}

/// What is expected of data afterwards.
#[derive(Debug, Clone, PartialEq)]
pub enum Keeps {
    /// At least as much as before.
    NotLess,
    /// As much as before.
    Unchanged,
    /// A condition over the `value` afterwards.
    Condition(Condition),
}

/// Where alerts are read.
#[derive(Debug, Clone)]
pub struct AlertSource {
    /// The probe that is asked.
    pub probe: ProbeCall,
    /// The alerts that must fire.
    pub names: Vec<String>,
    /// How soon after the failure.
    pub within: Duration,
    /// How soon after the recovery they must be over.
    pub resolved_within: Duration,
}

/// How a session is carried out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Setting {
    /// The plan's file.
    pub file: String,
    /// The file with the measures, where it is another.
    #[serde(default)]
    pub with: String,
    /// Marks of the files as they were when it began; none in journals of earlier versions.
    #[serde(default)]
    pub marks: Option<Marks>,
    /// The folder that the names of files start from.
    #[serde(default)]
    pub folder: String,
    /// The variables that were given and are used, with their values: an interrupted session goes on with them.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Variables that were given and whose values are secret: they are given anew.
    #[serde(default)]
    pub withheld: Vec<String>,
    /// Whether everything is gone through without a fault.
    pub rehearsal: bool,
    /// How long the phase of observation lasts at least, in seconds.
    pub observe: f64,
    /// How long is measured before, in seconds.
    pub baseline: f64,
    /// How soon the steady state must be back, in seconds.
    pub recovery: f64,
    /// Thresholds to draw beside metrics.
    pub objectives: Vec<Bound>,
    /// Thresholds of the guard.
    pub limits: Vec<Bound>,
    /// Version of Squall.
    pub squall: String,
    /// Name of the host.
    pub host: String,
}

/// What tells whether files are as they were: hashes, from which nothing can be read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks {
    /// Of the plan.
    pub plan: String,
    /// Of the file with the measures, where it is another.
    #[serde(default)]
    pub with: String,
    /// Of the experiments in the order of the plan, with variables put in and secrets taken out.
    pub experiments: Vec<String>,
}

/// One line of a session's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// Seconds since the session started.
    pub elapsed: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a part of a load's traffic brought: requests by the time that they were meant to be sent at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// When it begins, in seconds since the session started.
    pub from: f64,
    /// When it ends.
    pub to: f64,
    /// Requests that came to an end.
    pub ended: u64,
    /// Of these, those answered in time and as expected.
    pub success: u64,
    /// Of these, those answered in time without a server error.
    pub available: u64,
}

/// What came of a criterion. Unknown is never met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was met.
    Met,
    /// It was not.
    NotMet,
    /// Nobody can tell.
    Unknown,
    /// It can be checked, as the rehearsal showed; nothing was broken yet.
    Rehearsed,
}

/// A criterion's outcome, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The criterion, as it was written.
    pub criterion: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why.
    pub why: String,
    /// Whether people said so.
    pub by_people: bool,
}

/// Whether somebody noted an observation or a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// What was seen.
    Note,
    /// What was decided.
    Decision,
}

/// Before the failure or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before.
    Before,
    /// After.
    After,
}

/// What can happen on a game day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event.
    SessionStarted {
        /// Version of the journal's vocabulary.
        version: u32,
        /// Unique name of the session.
        session: String,
        /// The plan.
        plan: Box<Plan>,
        /// How it is carried out.
        setting: Box<Setting>,
    },
    /// An interrupted session goes on.
    Resumed {
        /// Experiments that were going on when it was interrupted; their agents have put everything back.
        interrupted: Vec<usize>,
        /// What is not as it was when the session began, in words.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changed: Vec<String>,
    },
    /// The facilitator left; the session can be resumed.
    Suspended {
        /// Why.
        reason: String,
    },
    /// A phase begins.
    PhaseStarted {
        /// Which.
        phase: Phase,
    },
    /// Somebody must say go or no-go.
    Held {
        /// What is asked.
        question: String,
        /// Who decides.
        who: String,
    },
    /// Somebody said so.
    Decided {
        /// Go or no-go.
        go: bool,
        /// Remarks, and who or what decided where it was no person.
        #[serde(default)]
        remark: String,
    },
    /// All metrics of a second, and the traffic that became final in it. A metric that could not be read is absent.
    Metrics {
        /// By name, in base units.
        values: BTreeMap<String, f64>,
        /// Why metrics are absent, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        errors: BTreeMap<String, String>,
        /// By load.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        traffic: BTreeMap<String, Vec<Traffic>>,
    },
    /// The steady state was lost, or is back.
    Steady {
        /// Whether it holds.
        holds: bool,
        /// Since when, in seconds since the session started.
        since: f64,
        /// The checks that do not hold, with what was read.
        failing: Vec<String>,
    },
    /// The health of a service changed.
    Service {
        /// Its name.
        name: String,
        /// Whether it answers as expected.
        health: Truth,
        /// What was read.
        found: String,
    },
    /// Other alerts fire than before.
    Alerts {
        /// Those that fire.
        firing: Vec<String>,
        /// Why nothing is known, if so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// What was counted.
    Data {
        /// When.
        moment: Moment,
        /// By name of the probe.
        values: BTreeMap<String, f64>,
        /// Why nothing was counted, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        errors: BTreeMap<String, String>,
        /// What does not hold, in words; afterwards only.
        #[serde(default)]
        broken: Vec<String>,
    },
    /// An experiment begins, or would begin.
    RunStarted {
        /// Its position in the plan.
        experiment: usize,
        /// Whether it is left out because this is a rehearsal.
        rehearsed: bool,
    },
    /// A fault is active.
    FaultActive {
        /// The experiment; none where people made it by hand.
        experiment: Option<usize>,
        /// Its name within the run.
        injection: String,
        /// What was made.
        fault: String,
        /// Of what.
        target: String,
    },
    /// A fault is over.
    FaultOver {
        /// Which.
        injection: String,
        /// What could not be put back.
        residue: Vec<String>,
    },
    /// An experiment is over.
    RunEnded {
        /// Its position in the plan.
        experiment: usize,
        /// The run, under which its own journal and report can be found.
        run: String,
        /// What it found.
        verdict: Verdict,
        /// Why.
        reasons: Vec<String>,
    },
    /// The steady state is back, or did not come back in time.
    Recovered {
        /// Seconds since the failure was put right; none where it did not come back.
        seconds: Option<f64>,
        /// Seconds since the failure was made, where the steady state came back while it lasted.
        failover: Option<f64>,
        /// How long was waited at most.
        within: f64,
        /// Whether people said so, because nothing is measured.
        by_people: bool,
    },
    /// Somebody wrote something down.
    Noted {
        /// An observation or a decision.
        kind: NoteKind,
        /// What.
        text: String,
    },
    /// Somebody is to do something.
    FollowUp(FollowUp),
    /// People are asked about a criterion.
    Asked {
        /// Its position in the plan.
        criterion: usize,
    },
    /// People answered.
    Answered {
        /// The criterion's position in the plan.
        criterion: usize,
        /// What they say.
        outcome: Outcome,
        /// Why.
        remark: String,
    },
    /// The day is ended early.
    Halted {
        /// Why.
        reason: String,
    },
    /// What came of each criterion.
    Judged {
        /// In the order of the plan.
        judgements: Vec<Judgement>,
    },
    /// The last event.
    Ended {
        /// In one word.
        verdict: Verdict,
        /// Why; the first is the most important.
        reasons: Vec<String>,
        /// The exit code.
        exit_code: u8,
        /// How long the session took, in seconds.
        seconds: f64,
    },
}

impl Event {
    /// Whether it must be on disk before it is shown: everything but measurements.
    pub fn is_acknowledged(&self) -> bool {
        !matches!(self, Self::Metrics { .. } | Self::Service { .. })
    }
}
