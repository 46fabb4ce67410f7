//! Probes, metric sources and loads in use: each question is a task with the patience of its instrument.

use super::Inbox;
use crate::checks::{List, Question, Reply};
use crate::load::{LoadSource, RunningLoad};
use crate::method::asks;
use crate::run::Input;
use squall_model::experiment::{Check, Experiment, Load, Metric, ProbeCall};
use squall_model::probe::Observe;
use squall_model::units;
use squall_model::value::{Reading, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

/// How often a metric source is asked.
const ASKS_EVERY: Duration = Duration::from_secs(1);

/// How long before the guard looks: an answer that takes no longer is no older than this when it counts.
const ASKS_BEFORE_TICK: Duration = Duration::from_millis(250);

/// Makes the instruments that an experiment names. Making one touches nothing. Errors are for people.
pub trait Instruments {
    /// A probe.
    fn probe(&self, call: &ProbeCall) -> Result<Box<dyn Observe>, String>;
    /// A metric source. Its reading's `value`, or its only number, is the metric.
    fn metric(&self, metric: &Metric) -> Result<Box<dyn Observe>, String>;
    /// A load.
    fn load(&self, load: &Load) -> Result<Box<dyn LoadSource>, String>;
}

/// The instruments of one experiment.
#[derive(Default)]
pub(super) struct Toolbox {
    probes: HashMap<Question, Arc<dyn Observe>>,
    /// How long the method waits for an answer at most.
    patience: HashMap<Question, units::Duration>,
    metrics: Vec<(Metric, Arc<dyn Observe>)>,
    loads: Vec<(String, Box<dyn LoadSource>)>,
}

impl Toolbox {
    pub(super) fn build(experiment: &Experiment, instruments: &dyn Instruments) -> Result<Self, String> {
        let mut toolbox = Self::default();
        toolbox.add_probes(List::SteadyState, &experiment.steady_state, instruments)?;
        toolbox.add_probes(List::Hypothesis, &experiment.hypothesis_holds, instruments)?;
        for (index, ask) in asks(experiment).enumerate() {
            let probe = instruments.probe(&ask.probe).map_err(|why| format!("{}: {why}", ask.name))?;
            let question = Question { list: List::Method, index };
            toolbox.patience.insert(question, ask.within);
            toolbox.probes.insert(question, Arc::from(probe));
        }
        for metric in &experiment.metrics {
            let source =
                instruments.metric(metric).map_err(|why| format!("metric {}: {why}", metric.name))?;
            toolbox.metrics.push((metric.clone(), Arc::from(source)));
        }
        for load in &experiment.loads {
            let source = instruments.load(load).map_err(|why| format!("load {}: {why}", load.name))?;
            toolbox.loads.push((load.name.clone(), source));
        }
        Ok(toolbox)
    }

    fn add_probes(
        &mut self,
        list: List,
        checks: &[Check],
        instruments: &dyn Instruments,
    ) -> Result<(), String> {
        for (index, check) in checks.iter().enumerate() {
            if let Some(call) = &check.probe {
                let probe = instruments.probe(call).map_err(|why| format!("{}: {why}", check.name))?;
                self.probes.insert(Question { list, index }, Arc::from(probe));
            }
        }
        Ok(())
    }

    /// Asks a probe; the reply comes to the inbox, whatever becomes of the probe.
    pub(super) fn ask(&self, question: Question, tasks: &mut JoinSet<()>, inbox: &Inbox) {
        let replying = Replying { question, asked: Instant::now(), inbox: inbox.clone(), reading: None };
        let most = self.patience.get(&question).copied();
        if let Some(probe) = self.probes.get(&question).cloned() {
            tasks.spawn(async move {
                let mut replying = replying;
                let own = probe.patience();
                replying.reading = Some(ask(&*probe, most.map_or(own, |most| most.min(own))).await);
            });
        }
    }

    /// Begins to ask the metric sources: at once, and then shortly before each second that is over since `started`.
    pub(super) fn start_sources(&self, started: Instant) -> Sources {
        let start = |(metric, source): &(Metric, Arc<dyn Observe>)| {
            let latest = Arc::new(Mutex::new(None));
            let asking = keep_asking(Arc::clone(source), Arc::clone(&latest), started);
            let task = tokio::spawn(asking).abort_handle();
            Source { name: metric.name.clone(), latest, fresh_for: metric.fresh_for, task }
        };
        Sources(self.metrics.iter().map(start).collect())
    }

    pub(super) fn start_loads(&self) -> Result<Vec<Box<dyn RunningLoad>>, String> {
        let start = |(name, load): &(String, Box<dyn LoadSource>)| {
            load.start().map_err(|why| format!("load {name}: {why}"))
        };
        self.loads.iter().map(start).collect()
    }
}

/// Asks an instrument once, for so long.
async fn ask(instrument: &dyn Observe, patience: units::Duration) -> Result<Reading, String> {
    match timeout(patience.0, instrument.observe()).await {
        Ok(Ok(reading)) => Ok(reading),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {patience}")),
    }
}

/// Sends a probe's reply when dropped, so that a probe that panics is one that did not answer.
struct Replying {
    question: Question,
    asked: Instant,
    inbox: Inbox,
    reading: Option<Result<Reading, String>>,
}

impl Drop for Replying {
    fn drop(&mut self) {
        let answered = matches!(self.reading, Some(Ok(_)));
        let (list, index, seconds) =
            (self.question.list, self.question.index, self.asked.elapsed().as_secs_f64());
        tracing::debug!(?list, index, answered, seconds, "probe");
        let reading = self.reading.take().unwrap_or_else(|| Err("the probe broke down".to_owned()));
        let seconds = self.asked.elapsed().as_secs_f64();
        self.inbox.send(Input::Replied(self.question, Reply { reading, seconds }));
    }
}

/// The last answer of a metric source, and when it was asked for. That it was true later than that is not known.
type Latest = Arc<Mutex<Option<(Instant, Result<f64, String>)>>>;

/// Metric sources that are being asked; dropping them ends that.
#[derive(Default)]
pub(super) struct Sources(Vec<Source>);

struct Source {
    name: String,
    latest: Latest,
    /// How old an answer may be. However long its source may take for the next: what is older is unknown, and unknown
    /// is unsafe.
    fresh_for: units::Duration,
    task: AbortHandle,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sources {
    /// What is in hand.
    pub(super) fn read(&self, started: Instant) -> Given {
        let mut given = Given::default();
        for source in &self.0 {
            let name = || source.name.clone();
            let (asked, answer) = source.read();
            match answer {
                Ok(value) => given.values.insert(name(), value).map(drop),
                Err(error) => given.errors.insert(name(), error).map(drop),
            };
            let asked = asked.map(|asked| asked.saturating_duration_since(started).as_secs_f64());
            given.asked.extend(asked.map(|asked| (name(), asked)));
        }
        given
    }
}

/// What metric sources gave.
#[derive(Default)]
pub(super) struct Given {
    /// Values by name.
    pub(super) values: BTreeMap<String, f64>,
    /// Why others are absent.
    pub(super) errors: BTreeMap<String, String>,
    /// When they were asked for, in seconds since the run started.
    pub(super) asked: BTreeMap<String, f64>,
}

impl Source {
    /// The last answer, and when it was asked for; the time is left out where it is too old to say when it was true.
    fn read(&self) -> (Option<Instant>, Result<f64, String>) {
        match &*self.latest.lock().unwrap_or_else(PoisonError::into_inner) {
            None => (None, Err("no answer yet".to_owned())),
            Some((asked, Ok(_))) if asked.elapsed() > self.fresh_for.0 => {
                let why = format!(
                    "its last answer is {:.1} s old, and counts for {}; `fresh_for` says how old it may be",
                    asked.elapsed().as_secs_f64(),
                    self.fresh_for
                );
                (None, Err(why))
            }
            Some((asked, answer)) => (Some(*asked), answer.clone()),
        }
    }
}

async fn keep_asking(source: Arc<dyn Observe>, latest: Latest, started: Instant) {
    loop {
        let asked = Instant::now();
        let answer = ask(&*source, source.patience()).await.and_then(|reading| number_of(&reading));
        *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, answer));
        tokio::time::sleep_until(next_ask(started, asked)).await;
    }
}

/// When a source is asked after it was asked: shortly before the next second that is over since `started`.
fn next_ask(started: Instant, asked: Instant) -> Instant {
    let seconds = (asked.saturating_duration_since(started) + ASKS_BEFORE_TICK).as_secs();
    started + ASKS_EVERY * (seconds as u32 + 1) - ASKS_BEFORE_TICK
}

/// The one number of a metric's reading.
fn number_of(reading: &Reading) -> Result<f64, String> {
    let numbers: Vec<f64> = reading.values().filter_map(Value::number).collect();
    let number = reading.get("value").and_then(Value::number);
    match (number, numbers.as_slice()) {
        (Some(number), _) | (None, &[number]) if number.is_finite() => Ok(number),
        (None, []) => Err("the source gave no number".to_owned()),
        (None, [_, _, ..]) => Err("the source gave several numbers, none of them called `value`".to_owned()),
        _ => Err("the source gave a number that is not finite".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_asked_shortly_before_the_guard_looks() {
        let started = Instant::now();
        let next = |seconds: f64| {
            let asked = started + Duration::from_secs_f64(seconds);
            next_ask(started, asked).duration_since(started).as_secs_f64()
        };
        for (now, expected) in [(0.0, 0.75), (0.5, 0.75), (0.75, 1.75), (0.76, 1.75), (3.2, 3.75)] {
            assert!((next(now) - expected).abs() < 1e-9, "{now}");
        }
    }
}
