//! What is measured all day: loads, metrics, probes, alerts and data, every second, on threads of their own. It measures
//! and never judges.

use crate::exit::Failure;
use crate::instruments::Toolbox;
use squall_engine::driver::Instruments;
use squall_engine::load::{RunningLoad, Slice, journal_name};
use squall_model::gameday::{Measures, Traffic};
use squall_model::probe::Observe;
use squall_model::quantity::load_metrics;
use squall_model::redaction::Redactor;
use squall_model::units;
use squall_model::value::{Reading, Value};
use squall_practice::gameday::{Answer, Input, Present, Sample};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{MissedTickBehavior, timeout};

/// How often everything is asked.
const TICK: Duration = Duration::from_secs(1);
/// How much traffic tells how things are now, in seconds.
const PRESENT: f64 = 2.0;
/// Less traffic than this tells nothing.
const LEAST_PRESENT: f64 = 1.0;

/// What is wished of the measuring.
enum Wish {
    Count,
    Stop,
}

/// The clock of a session: seconds since it began, however often it was resumed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    /// Seconds before that instant.
    before: f64,
}

impl Clock {
    /// A clock that shows `before` seconds now.
    pub(super) fn showing(before: f64) -> Self {
        Self { started: Instant::now(), before }
    }

    /// Seconds since the session began.
    pub(super) fn now(&self) -> f64 {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> f64 {
        self.before + instant.saturating_duration_since(self.started).as_secs_f64()
    }
}

/// Measuring that goes on until it is dropped.
pub(super) struct Measuring {
    wishes: UnboundedSender<Wish>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Measuring {
    /// Counts the data, and tells.
    pub(super) fn count(&self) {
        let _ = self.wishes.send(Wish::Count);
    }

    /// Ends it, and hands in what is left.
    pub(super) fn stop(&self) {
        let _ = self.wishes.send(Wish::Stop);
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A probe that blocks its thread may do so for ever.
            runtime.shutdown_background();
        }
    }
}

/// The last answer of something that is asked, and when it was.
type Latest = Arc<Mutex<Option<(Instant, Result<Reading, String>)>>>;

/// Something that is asked every second.
struct Asked {
    latest: Latest,
    fresh_for: units::Duration,
}

/// All that is asked.
struct Desk {
    clock: Clock,
    redactor: Redactor,
    names: Vec<String>,
    loads: Vec<Box<dyn RunningLoad>>,
    recent: Vec<VecDeque<Slice>>,
    metrics: Vec<(String, Asked)>,
    steady: Vec<(usize, Asked)>,
    services: Vec<(String, Asked)>,
    alerts: Option<Asked>,
    data: Vec<(String, Arc<dyn Observe>)>,
}

/// Begins to measure. `tell` is given what comes of it.
pub(super) fn start(
    measures: &Measures,
    clock: Clock,
    tell: impl Fn(Input) + Send + 'static,
) -> Result<Measuring, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let desk = {
        let _context = runtime.enter();
        Desk::open(measures, clock).map_err(Failure::invalid)?
    };
    let (wishes, listener) = unbounded_channel();
    runtime.spawn(desk.serve(listener, tell));
    Ok(Measuring { wishes, runtime: Some(runtime) })
}

impl Desk {
    /// Makes every instrument and begins to ask. Needs a runtime's context.
    fn open(measures: &Measures, clock: Clock) -> Result<Self, String> {
        let names: Vec<String> = measures.loads.iter().map(|load| load.name.clone()).collect();
        let mut desk = Self {
            clock,
            redactor: Redactor::new(&measures.secrets),
            recent: names.iter().map(|_| VecDeque::new()).collect(),
            names,
            loads: Vec::new(),
            metrics: Vec::new(),
            steady: Vec::new(),
            services: Vec::new(),
            alerts: None,
            data: Vec::new(),
        };
        for metric in &measures.metrics {
            let source = Toolbox.metric(metric).map_err(|why| format!("metric {}: {why}", metric.name))?;
            desk.metrics.push((metric.name.clone(), Asked::begin(source, metric.fresh_for)));
        }
        let fresh = units::Duration::seconds(3600);
        for (index, check) in measures.steady_state.iter().enumerate() {
            if let Some(call) = &check.probe {
                let probe = Toolbox.probe(call).map_err(|why| format!("{}: {why}", check.name))?;
                desk.steady.push((index, Asked::begin(probe, fresh)));
            }
        }
        for check in &measures.services {
            if let Some(call) = &check.probe {
                let probe = Toolbox.probe(call).map_err(|why| format!("{}: {why}", check.name))?;
                desk.services.push((check.name.clone(), Asked::begin(probe, fresh)));
            }
        }
        for probe in &measures.data {
            let source =
                Toolbox.metric(&probe.source).map_err(|why| format!("data {}: {why}", probe.name))?;
            desk.data.push((probe.name.clone(), Arc::from(source)));
        }
        if let Some(alerts) = &measures.alerts {
            let probe = Toolbox.probe(&alerts.probe).map_err(|why| format!("alerts: {why}"))?;
            desk.alerts = Some(Asked::begin(probe, fresh));
        }
        // Traffic last: where something above is wrong, none was sent.
        for load in &measures.loads {
            let source = Toolbox.load(load).map_err(|why| format!("load {}: {why}", load.name))?;
            desk.loads.push(source.start().map_err(|why| format!("load {}: {why}", load.name))?);
        }
        Ok(desk)
    }

    async fn serve(mut self, mut wishes: UnboundedReceiver<Wish>, tell: impl Fn(Input)) {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (counted, mut counts) = unbounded_channel();
        loop {
            tokio::select! {
                biased;
                wish = wishes.recv() => match wish {
                    Some(Wish::Count) => self.count(counted.clone()),
                    Some(Wish::Stop) => {
                        self.loads.iter_mut().for_each(|load| load.stop());
                        let rest = self.traffic();
                        tell(Input::Settled(Sample { traffic: rest, ..Sample::default() }));
                        return;
                    }
                    None => return,
                },
                Some(values) = counts.recv() => tell(Input::Counted(values)),
                _ = ticks.tick() => {
                    let sample = self.sample();
                    tell(Input::Second(sample));
                }
            }
        }
    }

    /// Asks each data probe once, all at the same time.
    fn count(&self, tell: UnboundedSender<BTreeMap<String, Result<f64, String>>>) {
        let (data, redactor) = (self.data.clone(), self.redactor.clone());
        tokio::spawn(async move {
            let mut counted = BTreeMap::new();
            let tasks: Vec<_> = data
                .into_iter()
                .map(|(name, source)| (name, tokio::spawn(async move { ask(&*source).await })))
                .collect();
            for (name, task) in tasks {
                let answer = task.await.unwrap_or_else(|_| Err("the probe broke down".to_owned()));
                let value = answer.and_then(|reading| number(&reading)).map_err(|why| redactor.text(&why));
                counted.insert(name, value);
            }
            let _ = tell.send(counted);
        });
    }

    fn traffic(&mut self) -> BTreeMap<String, Vec<Traffic>> {
        let before = self.clock.before;
        let mut traffic = BTreeMap::new();
        for (index, load) in self.loads.iter_mut().enumerate() {
            let slices = load.slices(self.clock.started);
            let parts: Vec<Traffic> = slices
                .iter()
                .map(|slice| Traffic {
                    from: slice.start + before,
                    to: slice.end + before,
                    ended: slice.ended,
                    success: slice.success,
                    available: slice.available,
                })
                .collect();
            let recent = &mut self.recent[index];
            recent.extend(slices);
            let end = recent.back().map_or(0.0, |slice| slice.end);
            while recent.front().is_some_and(|oldest| oldest.start < end - PRESENT - 1e-6) {
                recent.pop_front();
            }
            if !parts.is_empty() {
                traffic.insert(self.names[index].clone(), parts);
            }
        }
        traffic
    }

    fn sample(&mut self) -> Sample {
        let traffic = self.traffic();
        let mut sample = Sample { traffic, present: self.present(), ..Sample::default() };
        for (index, load) in self.loads.iter_mut().enumerate() {
            for (metric, value) in load.window() {
                if value.is_finite() {
                    sample.values.insert(journal_name(&self.names, index, &metric), value);
                }
            }
        }
        for (name, asked) in &self.metrics {
            match asked.fresh(&self.redactor).and_then(|reading| number(&reading)) {
                Ok(value) => drop(sample.values.insert(name.clone(), value)),
                Err(why) => drop(sample.errors.insert(name.clone(), why)),
            }
        }
        sample.steady =
            self.steady.iter().filter_map(|(index, asked)| Some((*index, self.answer(asked)?))).collect();
        sample.services = self
            .services
            .iter()
            .filter_map(|(name, asked)| Some((name.clone(), self.answer(asked)?)))
            .collect();
        sample.alerts = self.alerts.as_ref().and_then(|asked| self.answer(asked)).map(|answer| {
            let firing = |(name, value): (String, Value)| match (name.strip_prefix("alert."), value) {
                (Some(alert), Value::Bool(true)) => Some(alert.to_owned()),
                _ => None,
            };
            answer.reading.map(|reading| reading.into_iter().filter_map(firing).collect::<BTreeSet<_>>())
        });
        sample
    }

    /// What users met lately, by the traffic whose requests have all ended.
    fn present(&self) -> Option<Present> {
        let mut present = Present { to: f64::INFINITY, ..Present::default() };
        for (index, recent) in self.recent.iter().enumerate() {
            let span = Slice::union(recent)?;
            if span.end - span.start < LEAST_PRESENT {
                return None;
            }
            present.from = present.from.max(span.start + self.clock.before);
            present.to = present.to.min(span.end + self.clock.before);
            for metric in load_metrics() {
                if let Some(value) = span.metric(metric) {
                    present.values.insert(journal_name(&self.names, index, metric), value);
                }
            }
        }
        (!self.recent.is_empty()).then_some(present)
    }

    fn answer(&self, asked: &Asked) -> Option<Answer> {
        let latest = asked.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        latest
            .map(|(at, answer)| Answer { asked: self.clock.at(at), reading: hidden(&self.redactor, answer) })
    }
}

fn hidden(redactor: &Redactor, answer: Result<Reading, String>) -> Result<Reading, String> {
    match answer {
        Ok(reading) => Ok(redactor.values(&reading)),
        Err(why) => Err(redactor.text(&why)),
    }
}

impl Asked {
    /// Begins to ask every second.
    fn begin(source: Box<dyn Observe>, fresh_for: units::Duration) -> Self {
        let latest: Latest = Arc::default();
        let (source, noted): (Arc<dyn Observe>, Latest) = (Arc::from(source), Arc::clone(&latest));
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let (asked, source) = (Instant::now(), Arc::clone(&source));
                // In a task of its own: a probe that breaks down is one that did not answer.
                let answer = tokio::spawn(async move { ask(&*source).await }).await;
                let answer = answer.unwrap_or_else(|_| Err("the probe broke down".to_owned()));
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, answer));
            }
        });
        Self { latest, fresh_for }
    }

    /// The last answer, where it is not too old to be true.
    fn fresh(&self, redactor: &Redactor) -> Result<Reading, String> {
        match self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => Err("no answer yet".to_owned()),
            Some((asked, Ok(_))) if asked.elapsed() > self.fresh_for.0 => {
                let age = asked.elapsed().as_secs_f64();
                Err(format!("its last answer is {age:.1} s old, and counts for {}", self.fresh_for))
            }
            Some((_, answer)) => hidden(redactor, answer),
        }
    }
}

/// Asks once, for as long as the instrument's patience lasts.
async fn ask(source: &dyn Observe) -> Result<Reading, String> {
    let patience = source.patience();
    match timeout(patience.0, source.observe()).await {
        Ok(Ok(reading)) => Ok(reading),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {patience}")),
    }
}

/// The number of a metric's reading.
fn number(reading: &Reading) -> Result<f64, String> {
    let number = reading.get("value").or_else(|| reading.values().next()).and_then(Value::number);
    number.filter(|number| number.is_finite()).ok_or_else(|| "the source gave no number".to_owned())
}

/// Where answers of the measuring come in.
pub(super) fn teller<T: Send + 'static>(
    sender: mpsc::Sender<T>,
    wrap: impl Fn(Input) -> T + Send + 'static,
) -> impl Fn(Input) + Send + 'static {
    move |input| {
        // Nobody listens any more once the session is over.
        let _ = sender.send(wrap(input));
    }
}
