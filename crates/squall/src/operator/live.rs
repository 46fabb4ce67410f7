//! A run that is carried out here and now: on a thread of its own, by what carries out every experiment.

use super::author::{self, Author};
use super::progress::{ACCEPTED, Progress};
use super::reconcile::Ending;
use super::resources::{Phase, RunStatus};
use super::{conditions, object::Name};
use crate::carry::{self, AgentOptions, Order, View};
use crate::exit::Failure;
use crate::state::{Audience, State};
use jiff::Timestamp;
use squall_engine::approval::{Approval, Approver};
use squall_kubernetes::Cluster;
use squall_model::event::Entry;
use squall_model::experiment::Experiment;
use squall_model::plan::Plan;
use squall_model::probe::Pending;
use squall_model::verdict::Verdict;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// How often a status tells new evidence, where nothing else is new.
const TELLS_EVIDENCE_EVERY: Duration = Duration::from_secs(5);

/// So many journals of runs that are over are kept, and so many bytes of them: an operator lives long.
const JOURNALS: (usize, u64) = (500, 512 << 20);

/// What a run is, and whom it tells.
pub(crate) struct Start {
    pub(crate) name: Name,
    /// The name of the run in journals and marks.
    pub(crate) run: String,
    pub(crate) experiment: Experiment,
    /// Who wrote the run, and what it is of; all of them must be allowed to do it.
    pub(crate) authors: Vec<Author>,
    /// Whether what is not in the cluster may be struck.
    pub(crate) beyond: bool,
    /// Namespaces that opted in.
    pub(crate) reach: BTreeSet<String>,
    pub(crate) holder: String,
    pub(crate) cluster: Cluster,
    pub(crate) state: State,
    pub(crate) agent: AgentOptions,
    /// Why it may select nothing and then waits until it does, by the reasons of the condition `Selected`.
    pub(crate) waits_on: &'static [&'static str],
    /// What its choice among targets comes from.
    pub(crate) seed: u64,
}

/// A run that goes on, or has just ended.
pub(crate) struct Live {
    halts: UnboundedSender<String>,
    progress: Arc<Mutex<Progress>>,
    ending: Option<Ending>,
    waits_on: &'static [&'static str],
    /// Its last status, when it is over.
    over: Option<RunStatus>,
    told: Option<Instant>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of it.
pub(crate) type Outcome = (Verdict, String);

impl Live {
    /// Begins. `happens` is called for each event, and `ends` at the end.
    pub(crate) fn begin(
        start: Start,
        happens: impl Fn() + Send + 'static,
        ends: impl FnOnce(Outcome) + Send + 'static,
    ) -> std::io::Result<Self> {
        let begun = Progress::begun(&start.run, &start.holder, Timestamp::now());
        let progress = Arc::new(Mutex::new(begun));
        let (halts, told_to_halt) = unbounded_channel();
        let seen = Arc::clone(&progress);
        let witness = move |entry: &Entry| {
            locked(&seen).on(entry);
            happens();
        };
        let order = Order {
            file: PathBuf::from(format!("{}", start.name)),
            experiment: start.experiment,
            options: Vec::new(),
            seed: start.seed,
            environment: String::new(),
            origin: format!("operator {}", start.name),
            agent: start.agent,
            journal: None,
            view: View::Nothing,
            approver: Some(Box::new(Gate {
                cluster: start.cluster,
                authors: start.authors,
                beyond: start.beyond,
                reach: start.reach,
            })),
            witnesses: vec![Box::new(witness)],
            audience: Audience::default(),
            halts: Some(told_to_halt),
            run: Some(start.run),
        };
        let (state, waits_on) = (start.state, start.waits_on);
        std::thread::Builder::new().name("squall-run".to_owned()).spawn(move || {
            let carried = carry::out(&state, order);
            if let Err(error) = state.thin_journals(JOURNALS.0, JOURNALS.1) {
                tracing::warn!(%error, "old journals could not be removed");
            }
            ends(carried.map_or_else(told, |carried| (carried.verdict, carried.reason)));
        })?;
        Ok(Self { halts, progress, ending: None, waits_on, over: None, told: None })
    }

    /// Ends it; the first reason counts.
    pub(crate) fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            // It may be over already.
            let _ = self.halts.send(ending.why.clone());
            self.ending = Some(ending);
        }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some() || self.over.is_some()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Whether its object says already what became of it.
    pub(crate) fn is_told(&self, said: &RunStatus) -> bool {
        self.over.as_ref().is_some_and(|over| over.phase == said.phase)
    }

    /// It is over.
    pub(crate) fn close(&mut self, (verdict, reason): Outcome, now: Timestamp) {
        let mut status = locked(&self.progress).status().clone();
        let selects_nothing = conditions::failing(&status.conditions, "Selected");
        let refused = selects_nothing.map_or_else(|| "Refused".to_owned(), |selects| selects.reason.clone());
        let waits = self.ending.is_none() && self.waits_on.contains(&refused.as_str());
        // What was planned for may be held by another when it is to be made: then nothing was, and nothing is to be put back.
        let is_untouched = status.counts.restored == 0 && status.counts.residue == 0;
        if matches!(verdict, Verdict::Invalid | Verdict::NoEffect) && waits && is_untouched {
            self.over = Some(waiting_for_targets(&status, &refused, reason, now));
            return;
        }
        status.phase = if verdict == Verdict::Invalid { Phase::Invalid } else { Phase::Finished };
        if verdict == Verdict::Invalid {
            conditions::put(&mut status.conditions, ACCEPTED, Some(false), &refused, &reason, now);
        }
        status.verdict = Some(verdict);
        status.reason = reason;
        status.completion_time = Some(now);
        if let Some(Ending { word, why }) = &self.ending {
            conditions::put(&mut status.conditions, "Aborted", Some(true), word, why, now);
        }
        self.over = Some(status);
    }

    /// What there is to say of it, compared with what was said; nothing where that is only evidence, and some was told lately.
    pub(crate) fn status(&mut self, said: &RunStatus) -> Option<RunStatus> {
        let status = self.over.clone().unwrap_or_else(|| locked(&self.progress).status().clone());
        let is_news = status.phase != said.phase
            || status.counts != said.counts
            || status.conditions != said.conditions
            || status.verdict != said.verdict;
        if !is_news && self.told.is_some_and(|told| told.elapsed() < TELLS_EVIDENCE_EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(status)
    }
}

/// One that touched nothing since nothing could be struck, for a reason in one word and in a sentence, and is to be tried again.
fn waiting_for_targets(tried: &RunStatus, word: &str, reason: String, now: Timestamp) -> RunStatus {
    let conditions =
        tried.conditions.iter().filter(|condition| condition.kind == "Selected").cloned().collect();
    let mut status = RunStatus { phase: Phase::Pending, conditions, ..RunStatus::default() };
    conditions::put(&mut status.conditions, "Waiting", Some(true), word, &reason, now);
    status.reason = reason;
    status
}

/// A run that could not be carried out, by its exit code.
fn told(failure: Failure) -> Outcome {
    (failure.verdict().unwrap_or(Verdict::Aborted), failure.to_string())
}

/// Says of a plan whether its author may have it carried out.
struct Gate {
    cluster: Cluster,
    authors: Vec<Author>,
    beyond: bool,
    reach: BTreeSet<String>,
}

impl Approver for Gate {
    fn decide(&self, plan: Plan) -> Pending<'static, Approval> {
        let (cluster, authors, beyond) = (self.cluster.clone(), self.authors.clone(), self.beyond);
        // What the selectors named was looked at before; this is what they came to.
        let outside: Vec<String> = author::namespaces(&plan).difference(&self.reach).cloned().collect();
        Box::pin(async move {
            if !outside.is_empty() {
                let why = format!("namespaces that have not opted in: {}", outside.join(", "));
                return Approval::Refused { by: "the operator".to_owned(), why };
            }
            for author in &authors {
                if let Err(why) = author::check(&cluster, author, &plan, beyond).await {
                    return Approval::Refused { by: "the operator".to_owned(), why };
                }
            }
            match authors.first() {
                Some(author) => Approval::Agreed { by: author.to_string() },
                None => Approval::Implied,
            }
        })
    }

    fn decide_joining(&self, plan: Plan) -> Pending<'static, Approval> {
        self.decide(plan)
    }
}
