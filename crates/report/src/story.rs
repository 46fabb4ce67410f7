//! The story of a run: one fold over the journal, from which every report is told.
//!
//! A journal may be cut short, hold events in an unusual order, or lack whole parts: what is missing stays empty, and
//! nothing is guessed.

use jiff::Timestamp;
use squall_model::condition::{Bound, Condition, ConditionState, Truth};
use squall_model::event::{AbortCause, CheckResult, Entry, Event, MetricChange, Phase, Planned};
use squall_model::protocol::Restored;
use squall_model::quantity::Unit;
use squall_model::undo::{Effect, Evidence};
use squall_model::value::{Reading, Value};
use squall_model::verdict::Verdict;
use std::collections::BTreeMap;

/// Beyond this a reading is no reading: nothing that is measured counts so far, and sums would overflow.
const LARGEST: f64 = 1e18;

/// All that the journal tells. Times are seconds since the run started.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// What ran, where and when.
    pub header: Header,
    /// The parts of the run, in order.
    pub phases: Vec<PhaseSpan>,
    /// Faults on their targets, in the order of the plan.
    pub injections: Vec<Injection>,
    /// Metrics, the most telling first.
    pub series: Vec<Series>,
    /// Answers of the checks, one row a check and part of the run.
    pub tallies: Vec<Tally>,
    /// The guard's last word.
    pub guard: Option<Guard>,
    /// What ended the run early.
    pub abort: Option<Abort>,
    /// Why putting back began.
    pub undo_why: Option<String>,
    /// Whether and when the steady state came back.
    pub recovery: Option<Recovery>,
    /// Metrics under the fault compared with the baseline, the most telling first.
    pub comparisons: Vec<MetricChange>,
    /// How the hypothesis fared.
    pub checks: Vec<CheckResult>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// What went wrong with injecting and belongs to no single injection.
    pub failures: Vec<String>,
    /// The end; none where the run did not finish.
    pub ending: Option<Ending>,
    /// The last moment that the journal speaks of.
    pub elapsed: f64,
    claims: Vec<Claim>,
}

/// A condition on metrics among the checks, which is asked of every sample.
#[derive(Debug, Clone)]
struct Claim {
    condition: Condition,
    names: Vec<String>,
    state: ConditionState,
}

/// What ran, where and when.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Unique name of the run.
    pub run: String,
    /// Name of the experiment.
    pub experiment: String,
    /// Its hypothesis.
    pub hypothesis: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The file.
    pub file: String,
    /// Options of the command that carried it out, beside the file and the seed.
    pub options: Vec<String>,
    /// Makes the run's choices repeatable.
    pub seed: u64,
    /// Version of Squall.
    pub squall: String,
    /// Version of the journal's vocabulary.
    pub version: u32,
    /// Name of the host.
    pub host: String,
    /// Services of the blast radius.
    pub services: Vec<String>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// How long the baseline lasts, in seconds.
    pub baseline_seconds: f64,
    /// How long the method lasts if nothing ends it, in seconds.
    pub method_seconds: f64,
    /// How soon the steady state must be back, in seconds.
    pub recovery_seconds: f64,
    objectives: Vec<Bound>,
    limits: Vec<Bound>,
}

/// One part of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseSpan {
    /// Which.
    pub phase: Phase,
    /// When it began.
    pub start: f64,
    /// When the next one began, or the journal ended.
    pub end: f64,
}

/// One fault on one target, from plan to undo.
#[derive(Debug, Clone, Default)]
pub struct Injection {
    /// Its name.
    pub id: String,
    /// Name of the fault.
    pub fault: String,
    /// What is struck.
    pub target: String,
    /// What stage of a ramp or repetition it is.
    pub stage: Option<String>,
    /// Whether it began to match while others of its fault were active, and joined them.
    pub joined: bool,
    /// Each step in words.
    pub does: Vec<String>,
    /// Each step's undo in words.
    pub undone_by: Vec<String>,
    /// When making it began.
    pub begun: Option<f64>,
    /// When it was active.
    pub active: Option<f64>,
    /// When it was put back, or failed.
    pub ended: Option<f64>,
    /// The last evidence of each step.
    pub evidence: Vec<Evidence>,
    /// The last evidence that showed an effect, in one line; none where none ever did.
    pub shown: Option<String>,
    /// When its target was found gone; none where it was there when somebody last looked.
    pub gone: Option<f64>,
    /// Why it could not be made.
    pub failure: Option<String>,
    /// How it was put back.
    pub put_back: Option<PutBack>,
}

/// How an injection was put back.
#[derive(Debug, Clone)]
pub struct PutBack {
    /// What was done and looked at.
    pub restored: Restored,
    /// What could not be put back, in words.
    pub residue: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The course of one metric.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Readings in order of time; one that failed has no value.
    pub points: Vec<Point>,
    /// Thresholds that should hold.
    pub objectives: Vec<Bound>,
    /// Thresholds of the guard, beyond which the run ends.
    pub limits: Vec<Bound>,
    /// Why the last reading that failed did.
    pub error: Option<String>,
}

/// One reading of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When.
    pub elapsed: f64,
    /// In base units; none where it could not be read.
    pub value: Option<f64>,
}

/// Answers of one check in one part of the run.
#[derive(Debug, Clone)]
pub struct Tally {
    /// The part of the run.
    pub phase: Phase,
    /// Name of the check.
    pub check: String,
    /// The condition, as written.
    pub expect: String,
    /// How often it was asked.
    pub asked: u64,
    /// How often it held.
    pub held: u64,
    /// When it was first asked.
    pub first: f64,
    /// When it was last asked.
    pub last: f64,
    /// Whether it held when last asked; none before.
    pub truth: Option<Truth>,
    /// When it did not hold, and whether nothing was known.
    pub misses: Vec<Miss>,
    /// Why the last question that failed did.
    pub error: Option<String>,
    /// The longest that a question took, in seconds.
    pub slowest: f64,
    names: Vec<String>,
    extremes: Vec<(Bound, Option<f64>)>,
    missed_with: Option<String>,
    /// Why a claim about metrics could not be read.
    unread: Option<String>,
}

/// A check that did not hold at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Miss {
    /// When.
    pub elapsed: f64,
    /// Whether nothing was known, as opposed to known not to hold.
    pub unknown: bool,
}

/// The guard's last word.
#[derive(Debug, Clone)]
pub struct Guard {
    /// When it last spoke.
    pub elapsed: f64,
    /// How often it had looked.
    pub ticks: u64,
    /// Each condition with whether it held.
    pub conditions: Vec<(String, Truth)>,
    /// The slowest look, in seconds.
    pub slowest: f64,
}

/// What ended a run early.
#[derive(Debug, Clone)]
pub struct Abort {
    /// When.
    pub elapsed: f64,
    /// Why.
    pub cause: AbortCause,
    /// In words.
    pub reason: String,
}

/// Whether the steady state came back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recovery {
    /// Seconds after the undo; none where it did not come back.
    pub seconds: Option<f64>,
    /// How long was waited at most.
    pub within: f64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// The verdict.
    pub verdict: Verdict,
    /// Why; the first is the most important.
    pub reasons: Vec<String>,
    /// The exit code.
    pub exit_code: u8,
    /// How long the run took, in seconds.
    pub seconds: f64,
}

impl Story {
    /// Tells a journal.
    pub fn of(entries: &[Entry]) -> Self {
        let mut ordered: Vec<&Entry> = entries.iter().collect();
        ordered.sort_by(|one, other| one.elapsed.total_cmp(&other.elapsed));
        let mut story = Self::default();
        for entry in ordered {
            story.on(entry);
        }
        story
    }

    /// Notes, and what could not be made, where no reason of the verdict says that already.
    pub fn remarks(&self) -> impl Iterator<Item = &String> {
        let reasons = self.ending.iter().flat_map(|ending| &ending.reasons);
        let is_told =
            move |failure: &&String| reasons.clone().any(|reason| reason.contains(failure.as_str()));
        self.notes.iter().chain(self.failures.iter().filter(move |failure| !is_told(failure)))
    }

    /// Takes in one more event.
    pub fn on(&mut self, entry: &Entry) {
        let elapsed = if entry.elapsed.is_finite() { entry.elapsed.max(0.0) } else { self.elapsed };
        self.elapsed = self.elapsed.max(elapsed);
        if let Some(last) = self.phases.last_mut().filter(|_| self.ending.is_none()) {
            last.end = self.elapsed;
        }
        match &entry.event {
            Event::RunStarted { .. } => self.start(entry),
            Event::PhaseStarted { phase } => {
                self.phases.push(PhaseSpan { phase: *phase, start: elapsed, end: elapsed });
            }
            Event::Planned { injections, notes, .. } => {
                for planned in injections {
                    self.plan(planned);
                }
                self.notes.extend(notes.iter().cloned());
            }
            Event::Replanned { replaced, injections, notes } => {
                self.injections.retain(|known| known.begun.is_some() || !replaced.contains(&known.id));
                for planned in injections {
                    self.plan(planned);
                }
                self.notes.extend(notes.iter().cloned());
            }
            Event::Joined { injections } => injections.iter().for_each(|planned| self.join(planned)),
            Event::Answered { .. } | Event::Skipped { .. } => {
                self.notes.extend(crate::words::choice(&entry.event));
            }
            // That somebody said no is the reason of the verdict.
            Event::Approved { .. } | Event::Refused { .. } => {}
            Event::Probe { .. } => self.probe(elapsed, &entry.event),
            Event::Metrics { phase, values, errors } => {
                self.measure(elapsed, values, errors);
                self.sample(elapsed, *phase, values, errors);
            }
            Event::InjectStarted { injection, fault, target, stage } => {
                let known = self.injection(injection);
                known.fault.clone_from(fault);
                known.target.clone_from(target);
                known.stage.clone_from(stage);
                known.begun = Some(elapsed);
            }
            Event::Injected { injection, evidence, .. } => {
                let known = self.injection(injection);
                known.active = Some(elapsed);
                known.take_evidence(elapsed, evidence);
            }
            Event::InjectFailed { injection, message, .. } if injection.is_empty() => {
                self.failures.push(message.clone());
            }
            Event::TargetGone { injection, what: message }
            | Event::InjectFailed { injection, message, .. } => {
                let known = self.injection(injection);
                known.failure = Some(message.clone());
                known.ended.get_or_insert(elapsed);
            }
            Event::Evidence { injection, evidence } => {
                self.injection(injection).take_evidence(elapsed, evidence);
            }
            Event::Guard { ticks, conditions, slowest_seconds } => {
                let conditions = conditions.clone();
                self.guard = Some(Guard { elapsed, ticks: *ticks, conditions, slowest: *slowest_seconds });
            }
            Event::Aborted { cause, reason } => {
                self.abort.get_or_insert(Abort { elapsed, cause: *cause, reason: reason.clone() });
            }
            Event::UndoStarted { why, .. } => self.undo_why = Some(why.clone()),
            Event::Restored { restored, residue, seconds } => {
                self.put_back(elapsed, restored, residue, *seconds);
            }
            Event::Recovered { seconds, within } => {
                self.recovery = Some(Recovery { seconds: *seconds, within: *within });
            }
            Event::Compared { comparisons } => {
                self.comparisons.clone_from(comparisons);
                self.comparisons.sort_by_key(|change| rank(&change.metric));
            }
            Event::Judged { checks } => self.checks.clone_from(checks),
            Event::Note { message } => self.notes.push(message.clone()),
            Event::Verdict { verdict, reasons, exit_code, seconds } => {
                let reasons = reasons.clone();
                self.ending =
                    Some(Ending { verdict: *verdict, reasons, exit_code: *exit_code, seconds: *seconds });
            }
        }
    }

    /// The verdict; none where the run did not finish.
    pub fn verdict(&self) -> Option<Verdict> {
        self.ending.as_ref().map(|ending| ending.verdict)
    }

    /// How long the run took, or lasted until the journal ended, in seconds.
    pub fn seconds(&self) -> f64 {
        self.ending.as_ref().map_or(self.elapsed, |ending| ending.seconds)
    }

    /// The end of the time axis: never zero.
    pub fn horizon(&self) -> f64 {
        self.elapsed.max(0.001)
    }

    /// When an injection was active: from being made until put back, or until the journal ends.
    pub fn window(&self, injection: &Injection) -> Option<(f64, f64)> {
        let start = injection.active?;
        Some((start, injection.ended.unwrap_or(self.elapsed).max(start)))
    }

    /// The times in which any fault was active, merged, in order.
    pub fn fault_windows(&self) -> Vec<(f64, f64)> {
        let mut windows: Vec<_> = self.injections.iter().filter_map(|known| self.window(known)).collect();
        windows.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut merged: Vec<(f64, f64)> = Vec::new();
        for window in windows {
            match merged.last_mut() {
                Some(last) if window.0 <= last.1 => last.1 = last.1.max(window.1),
                _ => merged.push(window),
            }
        }
        merged
    }

    /// Injections that are active now, as far as the journal goes.
    pub fn live(&self) -> impl Iterator<Item = &Injection> {
        self.injections.iter().filter(|known| known.active.is_some() && known.ended.is_none())
    }

    /// Injections that were put back, or were tried to be.
    pub fn put_backs(&self) -> impl Iterator<Item = (&Injection, &PutBack)> {
        self.injections.iter().filter_map(|known| known.put_back.as_ref().map(|done| (known, done)))
    }

    /// The same without those that were never made: there was nothing to put back, and nothing was found.
    pub fn put_backs_of_made(&self) -> impl Iterator<Item = (&Injection, &PutBack)> {
        self.put_backs().filter(|(known, done)| known.active.is_some() || !done.residue.is_empty())
    }

    /// The same of those that can be put back at all.
    pub fn put_backs_that_can_be(&self) -> impl Iterator<Item = (&Injection, &PutBack)> {
        self.put_backs_of_made().filter(|(known, done)| !known.is_for_good() || !done.residue.is_empty())
    }

    /// How many injections ended something for good and left nothing of Squall's.
    pub fn ended_for_good(&self) -> usize {
        self.over_for_good().filter(|known| known.has_ended_something()).count()
    }

    /// How many injections should have, and never showed that they did.
    pub fn ended_nothing(&self) -> usize {
        self.over_for_good().filter(|known| !known.has_ended_something()).count()
    }

    /// Injections that were made, leave nothing to put back, and left nothing of Squall's.
    fn over_for_good(&self) -> impl Iterator<Item = &Injection> {
        let over =
            self.put_backs_of_made().filter(|(known, done)| known.is_for_good() && done.residue.is_empty());
        over.map(|(known, _)| known)
    }

    /// All that could not be put back, in words.
    pub fn residue(&self) -> Vec<&str> {
        self.put_backs().flat_map(|(_, done)| done.residue.iter().map(String::as_str)).collect()
    }

    /// Injections that began and that the journal never tells to be put back. Nothing is owed once it failed to be
    /// made: the agent undoes it before it says so.
    pub fn never_put_back(&self) -> Vec<&Injection> {
        let owed = |known: &&Injection| {
            (known.begun.is_some() || known.active.is_some())
                && known.put_back.is_none()
                && known.failure.is_none()
        };
        self.injections.iter().filter(owed).collect()
    }

    /// The change of a metric under the fault.
    pub fn change(&self, metric: &str) -> Option<&MetricChange> {
        self.comparisons.iter().find(|change| change.metric == metric)
    }

    /// Whether any check speaks of metrics: its tally is of samples, which trail the traffic that is judged.
    pub fn samples_claims(&self) -> bool {
        self.tallies.iter().any(|tally| self.claims.iter().any(|claim| claim.condition.text == tally.expect))
    }

    fn start(&mut self, entry: &Entry) {
        let Event::RunStarted {
            version,
            run,
            experiment,
            hypothesis,
            tags,
            file,
            options,
            seed,
            squall,
            host,
            services,
            // The environment is among the tags; the rest is for the history.
            environment: _,
            origin: _,
            by: _,
            fingerprint: _,
            conditions,
            objectives,
            limits,
            method_seconds,
            baseline_seconds,
            recovery_seconds,
        } = &entry.event
        else {
            return;
        };
        self.header = Header {
            run: run.clone(),
            experiment: experiment.clone(),
            hypothesis: hypothesis.clone(),
            tags: tags.clone(),
            file: file.clone(),
            options: options.clone(),
            seed: *seed,
            squall: squall.clone(),
            version: *version,
            host: host.clone(),
            services: services.clone(),
            started: Some(entry.at),
            baseline_seconds: *baseline_seconds,
            method_seconds: *method_seconds,
            recovery_seconds: *recovery_seconds,
            objectives: distinct(objectives),
            limits: distinct(limits),
        };
        self.claims = claims(conditions);
        for series in &mut self.series {
            series.objectives = about(&self.header.objectives, &series.name);
            series.limits = about(&self.header.limits, &series.name);
        }
    }

    /// The injection of this name, made on first sight.
    fn injection(&mut self, id: &str) -> &mut Injection {
        let index = self.injections.iter().position(|known| known.id == id).unwrap_or_else(|| {
            self.injections.push(Injection { id: id.to_owned(), ..Injection::default() });
            self.injections.len() - 1
        });
        &mut self.injections[index]
    }

    fn plan(&mut self, planned: &Planned) {
        let known = self.injection(&planned.id);
        known.fault.clone_from(&planned.fault);
        known.target.clone_from(&planned.target);
        known.does.clone_from(&planned.does);
        known.undone_by.clone_from(&planned.undone_by);
    }

    fn join(&mut self, planned: &Planned) {
        self.plan(planned);
        self.injection(&planned.id).joined = true;
    }

    fn put_back(&mut self, elapsed: f64, restored: &Restored, residue: &[String], seconds: f64) {
        let residue = if residue.is_empty() { restored.residue() } else { residue.to_vec() };
        let known = self.injection(&restored.injection);
        if known.fault.is_empty() {
            known.fault.clone_from(&restored.fault);
            known.target.clone_from(&restored.target);
        }
        known.ended.get_or_insert(elapsed);
        known.put_back = Some(PutBack { restored: restored.clone(), residue, seconds });
    }

    fn measure(&mut self, elapsed: f64, values: &BTreeMap<String, f64>, errors: &BTreeMap<String, String>) {
        let named = values.len() + errors.keys().filter(|name| !values.contains_key(*name)).count();
        let told = |series: &&Series| values.contains_key(&series.name) || errors.contains_key(&series.name);
        if self.series.iter().filter(told).count() < named {
            for name in values.keys().chain(errors.keys()) {
                if !self.series.iter().any(|series| series.name == *name) {
                    self.add_series(name);
                }
            }
        }
        for series in &mut self.series {
            let value = values.get(&series.name).copied().filter(|value| value.abs() <= LARGEST);
            series.points.push(Point { elapsed, value });
            if let Some(error) = errors.get(&series.name) {
                series.error = Some(error.clone());
            }
        }
    }

    fn add_series(&mut self, name: &str) {
        let series = Series {
            name: name.to_owned(),
            objectives: about(&self.header.objectives, name),
            limits: about(&self.header.limits, name),
            ..Series::default()
        };
        let place = self.series.partition_point(|known| order(known) <= order(&series));
        self.series.insert(place, series);
    }

    fn probe(&mut self, elapsed: f64, event: &Event) {
        let Event::Probe { phase, check, expect, truth, reading, error, seconds } = event else { return };
        // What was not looked at for long enough has neither held nor failed.
        if !truth.is_too_early() {
            self.tally(*phase, check, expect).take(elapsed, truth, reading, error.as_ref(), *seconds);
        }
    }

    /// Asks the claims about metrics of one sample. Their thresholds are drawn; this tells how often they were kept.
    fn sample(
        &mut self,
        elapsed: f64,
        phase: Phase,
        values: &BTreeMap<String, f64>,
        errors: &BTreeMap<String, String>,
    ) {
        let mut claims = std::mem::take(&mut self.claims);
        for Claim { condition, names, state } in &mut claims {
            let named = |name: &String| Some((name.clone(), Value::Number(*value_of(values, name)?)));
            let reading: Reading = names.iter().filter_map(named).collect();
            let truth = condition.judge(state, elapsed, &reading);
            let error =
                names.iter().filter(|name| !reading.contains_key(*name)).find_map(|name| errors.get(name));
            if !truth.is_too_early() {
                let tally = self.tally(phase, &condition.text, &condition.text);
                tally.take(elapsed, &truth, &reading, None, 0.0);
                tally.unread = error.cloned().or(tally.unread.take());
            }
        }
        self.claims = claims;
    }

    /// The tally of a check in a part of the run, made on first sight.
    fn tally(&mut self, phase: Phase, check: &str, expect: &str) -> &mut Tally {
        let same = |tally: &Tally| tally.phase == phase && tally.check == check && tally.expect == expect;
        let index = self.tallies.iter().position(same).unwrap_or_else(|| {
            self.tallies.push(Tally::new(phase, check, expect));
            self.tallies.len() - 1
        });
        &mut self.tallies[index]
    }
}

/// Where a series stands: by how telling it is, those with a threshold before their like without.
fn order(series: &Series) -> (u8, bool, String) {
    (rank(&series.name), series.objectives.is_empty() && series.limits.is_empty(), series.name.clone())
}

/// Changes worth telling where there is little room: the most telling metrics, and those that something is expected of.
pub fn telling_changes(story: &Story) -> Vec<&MetricChange> {
    let expected = |name: &str| story.series.iter().any(|series| series.name == name && series.is_judged());
    story.comparisons.iter().filter(|change| rank(&change.metric) <= 3 || expected(&change.metric)).collect()
}

/// How telling a metric is by its name, the most telling first.
pub fn rank(metric: &str) -> u8 {
    let last = metric.rsplit_once('.').map_or(metric, |(_, last)| last);
    match last {
        "error_rate" => 0,
        "latency_p99" => 1,
        "throughput" => 2,
        "availability" | "success_rate" => 5,
        _ if last.starts_with("latency_") => 4,
        _ => 3,
    }
}

/// The bounds that speak of a metric.
fn about(bounds: &[Bound], metric: &str) -> Vec<Bound> {
    bounds.iter().filter(|bound| same_metric(&bound.name, metric)).cloned().collect()
}

/// Whether two names mean one metric: a single load's metrics can be named with and without its name.
fn same_metric(one: &str, other: &str) -> bool {
    let bare = |name: &str| name.split_once('.').map(|(_, last)| last.to_owned());
    one == other || bare(one).as_deref() == Some(other) || bare(other).as_deref() == Some(one)
}

fn value_of<'v>(values: &'v BTreeMap<String, f64>, name: &str) -> Option<&'v f64> {
    values
        .get(name)
        .or_else(|| values.iter().find(|(known, _)| same_metric(known, name)).map(|(_, value)| value))
}

/// The conditions on metrics among the checks: those that have no other name than the condition itself.
fn claims(conditions: &[(String, String)]) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for (check, expect) in conditions {
        if check == expect
            && !claims.iter().any(|claim| claim.condition.text == *expect)
            && let Ok(condition) = Condition::parse(expect)
        {
            let names = condition.names();
            claims.push(Claim { condition, names, state: ConditionState::unseen_before() });
        }
    }
    claims
}

fn distinct(bounds: &[Bound]) -> Vec<Bound> {
    let mut kept: Vec<Bound> = Vec::new();
    for bound in bounds {
        if bound.value.abs() <= LARGEST && !kept.contains(bound) {
            kept.push(bound.clone());
        }
    }
    kept
}

impl Injection {
    /// The fault and what it strikes: `network.latency on payment (pid 812)`.
    pub fn name(&self) -> String {
        named(&self.fault, &self.target)
    }

    /// The stage that it is, and whether it came later; none where there is nothing to say.
    pub fn aside(&self) -> Option<String> {
        let joined = self.joined.then(|| "joined later".to_owned());
        let parts: Vec<String> = self.stage.iter().cloned().chain(joined).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// Whether it ended something that no undo brings back.
    pub fn is_for_good(&self) -> bool {
        squall_model::fault::is_for_good(&self.fault)
    }

    /// Whether it did, and showed it; where it might, nothing says that it did.
    pub fn has_ended_something(&self) -> bool {
        self.is_for_good() && self.shown.is_some()
    }

    /// Whether an effect was seen when somebody last looked, or until its target was gone.
    pub fn effect_seen(&self) -> bool {
        match Evidence::effect_of(&self.evidence) {
            Effect::Seen => true,
            Effect::Gone => self.shown.is_some(),
            Effect::NotSeen | Effect::Lost => false,
        }
    }

    /// Whether what was made or changed for it was not there any more when somebody last looked.
    pub fn is_lost(&self) -> bool {
        Evidence::effect_of(&self.evidence) == Effect::Lost
    }

    /// After how many seconds its target was gone, if it was.
    pub fn gone_after(&self) -> Option<f64> {
        Some((self.gone? - self.active?).max(0.0))
    }

    /// The evidence in one line; empty where there is none.
    pub fn evidence_line(&self) -> String {
        evidence_line(&self.evidence)
    }

    fn take_evidence(&mut self, elapsed: f64, evidence: &[Evidence]) {
        if evidence.is_empty() {
            return;
        }
        let effect = Evidence::effect_of(evidence);
        if effect == Effect::Seen {
            self.shown = Some(evidence_line(evidence));
        }
        self.gone = (effect == Effect::Gone).then(|| self.gone.unwrap_or(elapsed));
        self.evidence = evidence.to_vec();
    }
}

/// A fault and what it strikes, as a phrase. A namespace is named after its process: `of postgres (pid 812)`.
pub fn named(fault: &str, target: &str) -> String {
    match (target, target.strip_prefix("of ")) {
        ("", _) => fault.to_owned(),
        (_, Some(process)) => format!("{fault} on the network of {process}"),
        _ => format!("{fault} on {target}"),
    }
}

/// Evidence of several steps in one line.
pub fn evidence_line(evidence: &[Evidence]) -> String {
    Evidence::line(evidence)
}

impl Series {
    /// The unit of its numbers.
    pub fn unit(&self) -> Unit {
        Unit::of(&self.name)
    }

    /// Whether a threshold speaks of it.
    pub fn is_judged(&self) -> bool {
        !self.objectives.is_empty() || !self.limits.is_empty()
    }

    /// Whether it is worth its room: the most telling metrics, and those that a threshold speaks of.
    pub fn is_telling(&self) -> bool {
        rank(&self.name) <= 3 || self.is_judged()
    }

    /// The last reading, where it did not fail.
    pub fn last(&self) -> Option<f64> {
        self.points.last().and_then(|point| point.value)
    }
}

impl Tally {
    fn new(phase: Phase, check: &str, expect: &str) -> Self {
        let condition = Condition::parse(expect).ok();
        let bounds = condition.as_ref().map(Condition::bounds).unwrap_or_default();
        Self {
            phase,
            check: check.to_owned(),
            expect: expect.to_owned(),
            asked: 0,
            held: 0,
            first: f64::INFINITY,
            last: 0.0,
            truth: None,
            misses: Vec::new(),
            error: None,
            slowest: 0.0,
            names: condition.as_ref().map(Condition::names).unwrap_or_default(),
            extremes: bounds.into_iter().map(|bound| (bound, None)).collect(),
            missed_with: None,
            unread: None,
        }
    }

    fn take(&mut self, elapsed: f64, truth: &Truth, reading: &Reading, error: Option<&String>, seconds: f64) {
        self.asked += 1;
        self.truth = Some(truth.clone());
        self.first = self.first.min(elapsed);
        self.last = self.last.max(elapsed);
        self.slowest = self.slowest.max(seconds);
        match truth {
            Truth::Holds => self.held += 1,
            Truth::Fails => {
                self.misses.push(Miss { elapsed, unknown: false });
                self.missed_with.get_or_insert_with(|| shown(&self.names, reading));
            }
            Truth::Unknown { .. } => self.misses.push(Miss { elapsed, unknown: true }),
        }
        if let Some(error) = error {
            self.error = Some(error.clone());
        }
        for (bound, extreme) in &mut self.extremes {
            let Some(value) = reading.get(&bound.name).and_then(Value::number) else { continue };
            let worse =
                extreme.is_none_or(|known| if wants_less(bound) { value > known } else { value < known });
            if worse {
                *extreme = Some(value);
            }
        }
    }

    /// Words about the worst answer: what could not be asked, what was read when it did not hold, or how close it came.
    pub fn worst(&self) -> String {
        // That a claim was broken is worse than that it could not be read.
        let unread = self.unread.as_ref().filter(|_| self.missed_with.is_none());
        if let Some(error) = self.error.as_ref().or(unread) {
            return error.clone();
        }
        let extremes: Vec<(&str, f64)> = self
            .extremes
            .iter()
            .filter_map(|(bound, extreme)| extreme.map(|value| (bound.name.as_str(), value)))
            .collect();
        match (&extremes[..], &self.missed_with) {
            ([], Some(missed)) => missed.clone(),
            ([(name, value)], _) => Unit::of(name).show(*value),
            (several, _) => {
                let each =
                    several.iter().map(|(name, value)| format!("{name} {}", Unit::of(name).show(*value)));
                each.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// Whether a bound holds for small values.
pub fn wants_less(bound: &Bound) -> bool {
    use squall_model::condition::Comparison::{Less, LessOrEqual};
    matches!(bound.comparison, Less | LessOrEqual)
}

/// The values that a condition speaks of, as they were read.
fn shown(names: &[String], reading: &Reading) -> String {
    let each = names.iter().filter_map(|name| {
        let value = match reading.get(name)? {
            Value::Number(number) => Unit::of(name).show(*number),
            other => other.to_string(),
        };
        Some(format!("{name} {value}"))
    });
    each.collect::<Vec<_>>().join(", ")
}
