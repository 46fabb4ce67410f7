//! The operator's desk: what the cluster tells comes in, decisions are asked for, and what they come to is done.
//!
//! One task holds all that is known and decides; whatever takes time (calls to the cluster, runs) happens beside it and reports
//! back. An object for which something is being done is decided anew only when that is done.

use super::deeds::{self, Done, Office};
use super::kinds;
use super::live::{Live, Outcome};
use super::object::{self, Name};
use super::reconcile::experiment::first_line;
use super::reconcile::{self, Decision, Deed, Ending, World};
use super::repeats::Repeats;
use super::resources::{EXPERIMENT, HALT, Phase, RUN, RunStatus, SCHEDULE, SOURCE};
use super::store::{Key, Store};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use squall_kubernetes::{Change, ClusterError, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// How often the clock is looked at.
const TICKS: Duration = Duration::from_millis(500);
/// How long is waited before what went wrong is tried again.
const TRIES_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(3);
/// How long runs have to put back what they did, when the operator stops.
pub(super) const STOPS_WITHIN: Duration = Duration::from_secs(90);
/// How long an operator that stops goes on to let go of objects, once its runs are over.
const LETS_GO_WITHIN: Duration = Duration::from_secs(5);
/// How long a desk that retires the operator may take: to put back, and to let go of all objects.
const RETIRES_WITHIN: Duration = Duration::from_secs(90);
/// So many runs that wait are looked at when one ends.
const NEXT_IN_LINE: usize = 8;

/// What comes in.
pub(super) enum Input {
    /// The cluster tells something of a kind.
    Told(usize, Change),
    /// Something happened in a run.
    Happened(Key),
    /// A run is over.
    Over(Key, Outcome),
    /// What was to be done is done, or could not be.
    Done(Key, Box<Done>),
}

/// Why the desk is left.
pub(super) enum Left {
    /// Another operator leads, or the cluster cannot be reached.
    Deposed,
    /// This one is told to stop.
    Stopped,
}

/// What remains when the operator is retired.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// What could not be put back, in words.
    pub(super) residue: Vec<String>,
    /// What goes on, or is held by our finalizer: kinds and names.
    pub(super) held: Vec<String>,
}

pub(super) struct Desk {
    office: Arc<Office>,
    store: Store,
    live: BTreeMap<Key, Live>,
    /// Objects that are to be decided.
    dirty: BTreeSet<Key>,
    /// Objects for which something is being done, and whether they are to be decided again.
    busy: BTreeMap<Key, bool>,
    wakes: BTreeSet<(Timestamp, Key)>,
    /// Runs that begin and are not live yet.
    beginning: BTreeSet<Key>,
    repeats: Repeats,
    halted: Option<String>,
    /// Why nothing begins any more, when the desk is being left.
    closing: Option<&'static str>,
    inputs: UnboundedReceiver<Input>,
    sender: UnboundedSender<Input>,
    runs: usize,
    halts: usize,
}

impl Desk {
    /// Begins to watch all kinds.
    pub(super) fn open(office: Arc<Office>) -> Result<(Self, JoinSet<()>), ClusterError> {
        let kinds = kinds::all(office.chaos_mesh);
        let (sender, inputs) = unbounded_channel();
        let mut watching = JoinSet::new();
        for (place, kind) in kinds.iter().enumerate() {
            let mut watch = office.cluster.watch(kind, office.only.as_deref())?;
            let sender = sender.clone();
            watching.spawn(async move {
                let mut was_lost = false;
                while let Some(change) = watch.next().await {
                    let is_lost = matches!(change, Change::Lost(_));
                    if let (Change::Lost(why), false) = (&change, was_lost) {
                        crate::out::warn(format!("squall: {why}"));
                    }
                    was_lost = is_lost;
                    if sender.send(Input::Told(place, change)).is_err() {
                        return;
                    }
                }
            });
        }
        let store = Store::new(kinds);
        let place = |kind: &Kind| store.place(kind).unwrap_or_default();
        let (runs, halts) = (place(&RUN), place(&HALT));
        let desk = Self {
            office,
            store,
            live: BTreeMap::new(),
            dirty: BTreeSet::new(),
            busy: BTreeMap::new(),
            wakes: BTreeSet::new(),
            beginning: BTreeSet::new(),
            repeats: Repeats::default(),
            halted: None,
            closing: None,
            inputs,
            sender,
            runs,
            halts,
        };
        Ok((desk, watching))
    }

    /// Works until this operator does not lead any more, or is told to stop; then ends all runs, and waits until what they did is
    /// put back.
    pub(super) async fn work(
        mut self,
        mut leads: tokio::sync::watch::Receiver<bool>,
        mut stop: tokio::sync::watch::Receiver<bool>,
    ) -> Left {
        let mut ticks = tokio::time::interval(TICKS);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let left = loop {
            tokio::select! {
                Some(input) = self.inputs.recv() => self.take(input),
                _ = ticks.tick() => self.wake(),
                _ = stop.wait_for(|stop| *stop) => break Left::Stopped,
                _ = leads.wait_for(|leads| !leads) => break Left::Deposed,
            }
            while let Ok(input) = self.inputs.try_recv() {
                self.take(input);
            }
            self.decide_all();
        };
        self.close(&left).await;
        left
    }

    async fn close(&mut self, left: &Left) {
        self.closing = Some(match left {
            Left::Stopped => "the operator is told to stop",
            Left::Deposed => "another operator leads, or this one cannot reach the cluster",
        });
        let why = self.closing.unwrap_or_default();
        crate::out::warn(format!("squall: {why}; runs that are ended: {}", self.live.len()));
        for live in self.live.values_mut() {
            live.end(Ending { word: reconcile::LOST, why: self.closing.unwrap_or_default().to_owned() });
        }
        self.work_until(STOPS_WITHIN, |desk| desk.live.is_empty() && desk.beginning.is_empty()).await;
        // What was other than it was known to be is decided anew when the cluster has told of it.
        if matches!(left, Left::Stopped) {
            self.work_until(LETS_GO_WITHIN, |desk| desk.held().is_empty()).await;
        }
    }

    /// Does what is to be done until nothing is under way and all is as it is to be, or the time is over.
    async fn work_until(&mut self, most: Duration, is_so: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + most;
        let mut ticks = tokio::time::interval(TICKS);
        while !(self.busy.is_empty() && is_so(self)) {
            tokio::select! {
                Some(input) = self.inputs.recv() => self.take(input),
                _ = ticks.tick() => self.wake(),
                () = tokio::time::sleep_until(end) => return,
            }
            self.decide_all();
        }
    }

    /// Begins nothing, puts back what operators before left, and lets all objects go. What could not be put back since `begun` is
    /// told, whoever tried it.
    pub(super) async fn retire(mut self, begun: Timestamp) -> Rest {
        self.closing = Some("the operator is retired");
        let all = kinds::all(self.office.chaos_mesh);
        self.work_until(RETIRES_WITHIN, |desk| desk.store.knows(&all) && desk.held().is_empty()).await;
        Rest { residue: self.residue(begun), held: self.held() }
    }

    /// Objects that bear our finalizer, and runs that somebody is said to carry out.
    fn held(&self) -> Vec<String> {
        let all = (0..self.store.kinds()).flat_map(|kind| self.store.all(kind));
        let is_held = |(key, object): &(Key, &Arc<Json>)| {
            object::is_held(object)
                || (key.kind == self.runs && reconcile::status_of(object).phase == Phase::Running)
        };
        all.filter(is_held).map(|(key, _)| format!("{} {}", self.store.kind(&key).kind, key.name)).collect()
    }

    /// What runs left that ended since then.
    fn residue(&self, since: Timestamp) -> Vec<String> {
        let ended = self.store.all(self.runs).filter_map(|(key, run)| {
            let status: RunStatus = reconcile::status_of(run);
            status.completion_time.is_some_and(|at| at >= since).then_some((key, status))
        });
        let told = |(key, status): (Key, RunStatus)| {
            let residue = status.residue.into_iter();
            residue.map(|words| format!("{}: {words}", key.name)).collect::<Vec<_>>()
        };
        ended.flat_map(told).collect()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Told(kind, change) => {
                if matches!(change, Change::All(_)) {
                    // Those of it were not decided before.
                    self.touch(self.runs);
                }
                for key in self.store.take(kind, change) {
                    self.changed(&key);
                }
            }
            Input::Happened(key) => {
                self.dirty.insert(key);
            }
            Input::Over(key, outcome) => {
                crate::out::warn(format!("squall: {}", ended(&key.name, &outcome)));
                if let Some(live) = self.live.get_mut(&key) {
                    live.close(outcome, Timestamp::now());
                }
                self.dirty.insert(key);
                self.next_in_line();
            }
            Input::Done(key, done) => self.done(&key, *done),
        }
    }

    fn done(&mut self, key: &Key, done: Done) {
        let again = self.busy.remove(key).unwrap_or(false);
        self.beginning.remove(key);
        for (kind, object) in done.objects {
            if let Some(place) = self.store.place(&kind)
                && let Some(changed) = self.store.put(place, object)
            {
                self.changed(&changed);
            }
        }
        if let Some(start) = done.start {
            self.start(key, start);
        }
        if let Some(error) = done.error {
            self.warn(key, &format!("{error}; it is tried again"));
            self.wakes.insert((Timestamp::now() + TRIES_AGAIN_AFTER, key.clone()));
        }
        if again {
            self.dirty.insert(key.clone());
        }
    }

    fn start(&mut self, key: &Key, start: super::live::Start) {
        let (happens, ends) = (self.sender.clone(), self.sender.clone());
        let (on, over) = (key.clone(), key.clone());
        let live = Live::begin(
            start,
            move || {
                let _ = happens.send(Input::Happened(on.clone()));
            },
            move |outcome| {
                let _ = ends.send(Input::Over(over, outcome));
            },
        );
        match live {
            Ok(mut live) => {
                crate::out::warn(format!("squall: run {} begins", key.name));
                if let Some(why) = self.closing {
                    live.end(Ending { word: reconcile::LOST, why: why.to_owned() });
                }
                self.live.insert(key.clone(), live);
            }
            // Its object says that it runs, and nobody carries it out: it is put back as any such.
            Err(error) => self.warn(key, &format!("the run could not be begun: {error}")),
        }
        self.dirty.insert(key.clone());
    }

    /// Says what went wrong with an object.
    fn warn(&mut self, key: &Key, words: &str) {
        if self.repeats.is_news(key, words, std::time::Instant::now()) {
            crate::out::warn(format!("squall: {} {}: {words}", self.store.kind(key).kind, key.name));
        }
    }

    /// Something is other than before: so may be what follows from it.
    fn changed(&mut self, key: &Key) {
        self.dirty.insert(key.clone());
        self.dirty.extend(self.store.schedules_of(key));
        if key.kind == self.halts {
            let halted = crate::halt::reason(self.store.all(self.halts).map(|(_, halt)| &**halt));
            if halted != self.halted {
                self.halted = halted;
                (0..self.store.kinds()).for_each(|kind| self.touch(kind));
            }
            return;
        }
        let Some(object) = self.store.get(key).cloned() else {
            // Whoever is of it, or is live by its name, must be told.
            let runs = self.store.all(self.runs).map(|(run, _)| run);
            self.dirty.extend(runs.filter(|run| run.name.namespace == key.name.namespace));
            return;
        };
        if key.kind == self.runs {
            if let Some((source, _)) = self.store.source(&object) {
                self.dirty.insert(source);
            }
            let owner = object["metadata"]["labels"][SOURCE].as_str();
            self.dirty.extend(owner.and_then(|uid| self.store.by_uid(uid)).cloned());
            self.touch(self.halts);
        } else {
            let runs = self.store.runs_of(key, &object, self.runs);
            self.dirty.extend(runs.iter().map(|run| Key { kind: self.runs, name: Name::of(run) }));
        }
    }

    /// All objects of a kind are to be decided.
    fn touch(&mut self, kind: usize) {
        self.dirty.extend(self.store.all(kind).map(|(key, _)| key));
    }

    /// What must be looked at again by now.
    fn wake(&mut self) {
        let now = Timestamp::now();
        while let Some((at, _)) = self.wakes.first() {
            if *at > now {
                break;
            }
            if let Some((_, key)) = self.wakes.pop_first() {
                self.dirty.insert(key);
            }
        }
        // What goes on is looked at all the time.
        self.dirty.extend(self.live.keys().cloned());
    }

    /// A run ended, so that another may begin: those that wait longest come first.
    fn next_in_line(&mut self) {
        let waits = |run: &Json| reconcile::status_of(run).phase == Phase::Pending;
        let mut waiting: Vec<(Timestamp, Key)> = self
            .store
            .all(self.runs)
            .filter(|(_, run)| waits(run))
            .map(|(key, run)| (object::created(run), key))
            .collect();
        waiting.sort();
        self.dirty.extend(waiting.into_iter().take(NEXT_IN_LINE).map(|(_, key)| key));
    }

    fn decide_all(&mut self) {
        // Before all of its own kinds are known, nothing is: a run that is not known yet would be made anew.
        if !self.store.knows(&kinds::OWN) {
            return;
        }
        for key in std::mem::take(&mut self.dirty) {
            if let Some(again) = self.busy.get_mut(&key) {
                *again = true;
                continue;
            }
            self.decide_one(&key);
        }
    }

    fn decide_one(&mut self, key: &Key) {
        let Some(object) = self.store.get(key).cloned() else { return self.without_object(key) };
        let world = World { now: Timestamp::now(), halted: self.halted() };
        let kind = self.store.kind(key).clone();
        if key.kind == self.runs && !self.store.knows_source(&object) {
            return;
        }
        let decision = if key.kind == self.runs {
            self.decide_run(key, &object, &world)
        } else if kind == HALT {
            let running = self.live.len() + self.beginning.len();
            reconcile::halt::decide(&object, running, &world)
        } else {
            let runs = self.store.runs_of(key, &object, self.runs);
            let runs: Vec<&Json> = runs.iter().map(|run| &**run).collect();
            match kind {
                kind if kind == EXPERIMENT => reconcile::experiment::decide(&object, &runs, &world),
                kind if kind == SCHEDULE => {
                    let experiment = self.store.scheduled(&object).map(|experiment| &**experiment);
                    reconcile::schedule::decide(&object, experiment, &runs, &world)
                }
                _ => reconcile::chaos_mesh::decide(&object, &runs, &world),
            }
        };
        self.carry_out(key, &object, decision);
    }

    /// Why nothing may begin, if so.
    fn halted(&self) -> Option<String> {
        self.halted.clone().or_else(|| self.closing.map(str::to_owned))
    }

    fn decide_run(&mut self, key: &Key, run: &Json, world: &World) -> Decision {
        let said: RunStatus = reconcile::status_of(run);
        if self.live.get(key).is_some_and(|live| live.is_told(&said)) {
            self.live.remove(key);
            self.touch(self.halts);
        }
        let going = self.live.values().filter(|live| !live.is_over()).count() + self.beginning.len();
        let live = self.live.get_mut(key);
        let known = reconcile::run::Known {
            is_live: live.is_some(),
            is_ending: live.as_ref().is_some_and(|live| live.is_ending()),
            status: live.and_then(|live| live.status(&said)),
            has_room: going < self.office.at_once,
        };
        let source = self.store.source(run).map(|(_, source)| Arc::clone(source));
        reconcile::run::decide(run, source.as_deref(), &known, world)
    }

    /// An object is gone; if it was a run that goes on, it ends.
    fn without_object(&mut self, key: &Key) {
        let Some(live) = self.live.get_mut(key) else { return };
        if live.is_over() {
            self.live.remove(key);
        } else {
            live.end(Ending { word: "Deleted", why: "its object is gone".to_owned() });
        }
    }

    fn carry_out(&mut self, key: &Key, object: &Arc<Json>, decision: Decision) {
        if let Some(again) = decision.again {
            self.wakes.retain(|(_, waiting)| waiting != key);
            self.wakes.insert((again, key.clone()));
        }
        let mut deeds = Vec::new();
        for deed in decision.deeds {
            match deed {
                Deed::End(ending) => {
                    if let Some(live) = self.live.get_mut(key) {
                        live.end(ending);
                    }
                }
                Deed::Begin if self.closing.is_some() => {}
                Deed::Begin => {
                    self.beginning.insert(key.clone());
                    deeds.push(Deed::Begin);
                }
                other => deeds.push(other),
            }
        }
        if deeds.is_empty() {
            return;
        }
        self.busy.insert(key.clone(), false);
        let task = deeds::Task {
            kind: self.store.kind(key).clone(),
            object: Arc::clone(object),
            source: self.store.source(object).map(|(_, source)| Arc::clone(source)),
            deeds,
        };
        let (office, sender, key) = (Arc::clone(&self.office), self.sender.clone(), key.clone());
        tokio::spawn(async move {
            let done = deeds::carry_out(&office, task).await;
            let _ = sender.send(Input::Done(key, Box::new(done)));
        });
    }
}

/// That a run is over, in one line.
fn ended(run: &Name, (verdict, reason): &Outcome) -> String {
    let reason = first_line(reason);
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!("run {run} ended: {verdict}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::verdict::Verdict;

    #[test]
    fn the_end_of_a_run_is_told_in_one_line() {
        let run = Name { namespace: "shop".to_owned(), name: "less-1".to_owned() };
        let told = |verdict, reason: &str| ended(&run, &(verdict, reason.to_owned()));
        assert_eq!(told(Verdict::Passed, ""), "run shop/less-1 ended: passed");
        assert_eq!(
            told(Verdict::Failed, "checkout was down\nfor 3s"),
            "run shop/less-1 ended: failed: checkout was down"
        );
    }
}
