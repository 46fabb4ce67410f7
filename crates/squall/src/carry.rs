//! One experiment carried out: agent, probes, journal, terminal and signals joined to the engine's driver. Every verb that
//! carries something out does so through here.

#[cfg(feature = "kubernetes")]
mod cluster_halts;
mod journals;
mod planning;
mod recorder;
mod screen;
mod witness;

pub(crate) use planning::plan;
pub(crate) use witness::Witness;

use crate::agent::transport::Agents;
use crate::epilogue;
use crate::exit::Failure;
use crate::files::{self, VariableOptions};
use crate::instruments::Kept;
use crate::out;
use crate::state::{Audience, LiveRun, State};

use crate::user;
use clap::Args;
use jiff::Timestamp;
use journals::{Copy, Journals};
use recorder::Recorder;
use screen::Screen;
use squall_engine::approval::Approver;
use squall_engine::driver::{self, AbortSwitch, Environment};
use squall_engine::run::Identity;
use squall_linux::sys::process;
use squall_model::event::{AbortCause, Entry, Event};
use squall_model::experiment::Experiment;
use squall_model::past;
use squall_model::protocol::{self, Restored};
use squall_model::units;
use squall_model::verdict::Verdict;
use squall_report::Format;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use witness::Witnesses;

/// How often the `halt` file is looked for.
const LOOKS_FOR_HALT: Duration = Duration::from_millis(250);

/// How the agent is started.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentOptions {
    /// Starts the agent through `sudo -n`, so that only it is root
    #[arg(long)]
    pub(crate) sudo: bool,
    /// How long the agent holds faults without hearing from the run
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = lease)]
    pub(crate) lease: units::Duration,
    /// Allows faults that could lose data for good; the plan says what
    #[arg(long)]
    pub(crate) allow_data_loss: bool,
    /// The image with Squall of which agents are made on nodes of a Kubernetes cluster, for faults in pods
    #[arg(long, env = "SQUALL_AGENT_IMAGE", value_name = "IMAGE")]
    pub(crate) agent_image: Option<String>,
    /// The namespace that they are made in; without it that of the kubeconfig's context
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) agent_namespace: Option<String>,
    /// Uses the agents that the operator's installation keeps on nodes in that namespace, where there are any
    #[arg(long)]
    pub(crate) resident_agents: bool,
}

fn lease(text: &str) -> Result<units::Duration, String> {
    text.parse::<units::Duration>().map_err(|error| error.to_string()).and_then(protocol::check_lease)
}

impl Default for AgentOptions {
    fn default() -> Self {
        let lease = units::Duration::seconds(5);
        let (agent_image, agent_namespace) = (None, None);
        Self {
            sudo: false,
            lease,
            allow_data_loss: false,
            agent_image,
            agent_namespace,
            resident_agents: false,
        }
    }
}

impl AgentOptions {
    /// The options that start the agent in the same way again.
    pub(crate) fn again(&self) -> Vec<String> {
        let sudo = self.sudo.then(|| vec!["--sudo".to_owned()]);
        let lease =
            (self.lease != Self::default().lease).then(|| vec!["--lease".to_owned(), self.lease.to_string()]);
        let loss = self.allow_data_loss.then(|| vec!["--allow-data-loss".to_owned()]);
        let given = |option: &str, value: &Option<String>| Some(vec![option.to_owned(), value.clone()?]);
        let image = given("--agent-image", &self.agent_image);
        let namespace = given("--agent-namespace", &self.agent_namespace);
        let resident = self.resident_agents.then(|| vec!["--resident-agents".to_owned()]);
        [sudo, lease, loss, image, namespace, resident].into_iter().flatten().flatten().collect()
    }
}

/// What is to be carried out, and how.
pub(crate) struct Order {
    pub(crate) file: PathBuf,
    pub(crate) experiment: Experiment,
    /// Options that carry it out again in the same way, without secrets.
    pub(crate) options: Vec<String>,
    pub(crate) seed: u64,
    /// The environment that it is carried out in; empty where that was not said.
    pub(crate) environment: String,
    /// What it is carried out for: `run`, `ci`, `gameday SESSION`, `monkey NAME`.
    pub(crate) origin: String,
    pub(crate) agent: AgentOptions,
    pub(crate) journal: Option<PathBuf>,
    pub(crate) view: View,
    /// Is asked about the plan; nobody is where it is carried out without further ado.
    pub(crate) approver: Option<Box<dyn Approver>>,
    /// Follow it.
    pub(crate) witnesses: Vec<Box<dyn Witness>>,
    /// Whom they tell, for whoever has to when this process cannot any more.
    pub(crate) audience: Audience,
    /// Each reason that comes here ends the run at once.
    pub(crate) halts: Option<UnboundedReceiver<String>>,
    /// What it is called, where somebody has written that down already; else [`name_of_run`].
    pub(crate) run: Option<String>,
}

/// What the user sees while it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View {
    /// Lines on standard error; standard output is for the summary.
    Quiet,
    /// The live view at a terminal, lines elsewhere.
    Full {
        /// Whether colours are wanted.
        colour: bool,
    },
    /// Nothing: somebody else shows it.
    Nothing,
}

/// What came of it.
pub(crate) struct Carried {
    pub(crate) verdict: Verdict,
    /// The most important reason.
    pub(crate) reason: String,
    /// Whether the user ended it, and so whatever would follow.
    pub(crate) interrupted: bool,
    /// The journal.
    pub(crate) entries: Vec<Entry>,
}

/// Carries an experiment out, from the plan to the verdict.
pub(crate) fn out(state: &State, mut order: Order) -> Result<Carried, Failure> {
    order.experiment.blast_radius.allow_data_loss = order.agent.allow_data_loss;
    let in_folder = |error: io::Error| state.unusable(&error);
    state.prepare().map_err(in_folder)?;
    if state.halt_file().exists() {
        return Err(Failure::halted(format!(
            "halted: nothing runs while {} is there; remove it to go on",
            state.halt_file().display()
        )));
    }
    #[cfg(feature = "kubernetes")]
    let mut cluster_halts = cluster_halts::ClusterHalts::of(&order);
    #[cfg(feature = "kubernetes")]
    if let Some(reason) = cluster_halts.standing() {
        return Err(Failure::halted(reason));
    }
    let now = Timestamp::now();
    let run = order.run.unwrap_or_else(|| name_of_run(now));
    let mut journal = Journals::create(&state.journal(&run)).map_err(in_folder)?;
    let copy = order.journal.as_deref().map(|file| journal.copy_to(file)).transpose()?;
    let live = LiveRun {
        run: run.clone(),
        experiment: order.experiment.name.clone(),
        brain: process::own()?,
        through_sudo: order.agent.sudo,
        journal: state.journal(&run),
        started: now.to_string(),
        audience: order.audience,
        unwritten: false,
    };
    let announcement = state.announce(&live).map_err(in_folder)?;

    let agents = Agents::new(state, &run, &order.agent)?;
    let identity = Identity {
        run,
        file: order.file.display().to_string(),
        options: order.options,
        seed: order.seed,
        squall: env!("CARGO_PKG_VERSION").to_owned(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        environment: order.environment,
        origin: order.origin,
        by: user::name(),
        fingerprint: squall_history::fingerprint(&order.experiment),
        lease: order.agent.lease,
    };
    let screen = Screen::open(order.view, order.approver.is_some());
    let (seen, entries) = mpsc::channel();
    let mut show = screen.watcher();
    let recorder: Box<dyn Witness> = Box::new(Recorder::start(state));
    let witnesses = Witnesses::new([recorder].into_iter().chain(order.witnesses).collect());
    let told = witnesses.clone();
    let (switch, aborts) = driver::abort_switch();
    let environment = Environment {
        identity,
        instruments: Box::new(Kept(agents.keep())),
        links: agents.links(),
        journal: Box::new(journal),
        watch: Box::new(move |entry: &Entry| {
            // The receivers live as long as the run does.
            let _ = seen.send(entry.clone());
            told.see(entry);
            show(entry);
        }),
        approver: order.approver,
        aborts,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let outcome = runtime.block_on(async {
        let mut listening = listen(&switch, &interrupted, order.halts.is_some());
        listening.spawn(watch_for_halt(switch.clone(), state.halt_file()));
        #[cfg(feature = "kubernetes")]
        listening.spawn(cluster_halts.watch(switch.clone()));
        if let Some(halts) = order.halts {
            listening.spawn(obey(switch, halts));
        }
        // Until the run is over.
        let outcome = driver::drive(Arc::new(order.experiment), environment).await;
        drop(listening);
        outcome
    });
    // A probe that blocks its thread may do so for ever.
    runtime.shutdown_background();
    if let Some(note) = agents.leave() {
        out::warn(format!("squall: {note}"));
    }
    let entries: Vec<Entry> = entries.try_iter().collect();
    screen.close(&entries);
    if let Err(error) = outcome.journal {
        out::warn(format!("squall: the journal is not complete: {error}"));
        if outcome.verdict == Verdict::Aborted {
            out::warn("squall: the next `squall` that finds room gives it an end");
            announcement.leave(&live);
        }
    }
    if let Some(note) = copy.and_then(Copy::lost) {
        out::warn(format!("squall: {note}; the whole journal is {}", live.journal.display()));
    }
    // Those who tell others may take their time: everything that counts is done.
    witnesses.close();
    epilogue::write(state, &put_back(&entries));
    let refused = entries.iter().any(|entry| matches!(entry.event, Event::Refused { .. }));
    Ok(Carried {
        verdict: outcome.verdict,
        reason: outcome.reasons.first().cloned().unwrap_or_default(),
        interrupted: refused || interrupted.load(Ordering::Relaxed),
        entries,
    })
}

/// What was put back, also what the agent found of others.
fn put_back(entries: &[Entry]) -> Vec<Restored> {
    let told = entries.iter().filter_map(|entry| match &entry.event {
        Event::Restored { restored, .. } => Some(restored.clone()),
        _ => None,
    });
    told.collect()
}

/// A name for a run that begins now.
pub(crate) fn name_of_run(now: Timestamp) -> String {
    format!("{}-{:04x}", now.strftime("%Y%m%d-%H%M%S"), fastrand::u16(..))
}

/// Seeds are below this: a user can type them again, and they are exact also where JSON numbers are floating point.
pub(crate) const SEEDS: u64 = 1 << 53;

/// A seed by chance.
pub(crate) fn random_seed() -> u64 {
    fastrand::u64(..SEEDS)
}

/// Carries one file out with these variables and writes a report: what the demo does. `again` is the command that does all of
/// it: what the variables name is gone afterwards.
pub(crate) fn out_of_file(
    file: &Path,
    variables: Vec<String>,
    again: &[&str],
    report: &Path,
) -> Result<Carried, Failure> {
    let variables = VariableOptions::of(variables);
    let overrides = variables.overrides(&[file.to_owned()])?;
    let experiment = files::read(file, &overrides, out::colour(false))?;
    let order = Order {
        file: file.to_owned(),
        options: again.iter().map(|word| (*word).to_owned()).collect(),
        experiment,
        seed: random_seed(),
        environment: String::new(),
        origin: past::DEMO.to_owned(),
        agent: AgentOptions::default(),
        journal: None,
        approver: None,
        view: View::Full { colour: out::colour(false) },
        witnesses: Vec::new(),
        audience: Audience::default(),
        halts: None,
        run: None,
    };
    let carried = out(&State::locate()?, order)?;
    let format = Format::of_file(report).map_err(Failure::invalid)?;
    files::write(report, &format.render(&carried.entries))?;
    Ok(carried)
}

/// Turns signals into the end of the run, from now on until the set is dropped. None of them ends the process before
/// everything is put back. All are listened to when this returns: one that came between the start of a task and its
/// first turn would be lost, and the run would go on. `is_led`: whoever leads it ends it, with a better reason, when the process is to
/// end.
fn listen(switch: &AbortSwitch, interrupted: &Arc<AtomicBool>, is_led: bool) -> JoinSet<()> {
    let ends = [
        (SignalKind::interrupt(), AbortCause::Signal, "Ctrl-C"),
        (SignalKind::terminate(), AbortCause::Signal, "it was told to end (SIGTERM)"),
    ];
    let others = [
        (SignalKind::hangup(), AbortCause::Signal, "the terminal is gone (SIGHUP)"),
        (SignalKind::user_defined1(), AbortCause::Halt, "squall halt"),
    ];
    let mut tasks = JoinSet::new();
    for (kind, cause, name) in ends.into_iter().filter(|_| !is_led).chain(others) {
        // A signal that cannot be listened to ends the process, and the agent puts everything back.
        let Ok(mut arrivals) = signal(kind) else { continue };
        let (switch, interrupted) = (switch.clone(), Arc::clone(interrupted));
        tasks.spawn(async move {
            while arrivals.recv().await.is_some() {
                interrupted.store(true, Ordering::Relaxed);
                switch.abort(cause, name);
            }
        });
    }
    tasks
}

async fn obey(switch: AbortSwitch, mut halts: UnboundedReceiver<String>) {
    while let Some(reason) = halts.recv().await {
        switch.abort(AbortCause::Halt, reason);
    }
}

async fn watch_for_halt(switch: AbortSwitch, file: PathBuf) {
    while !file.exists() {
        tokio::time::sleep(LOOKS_FOR_HALT).await;
    }
    switch.abort(AbortCause::Halt, format!("the file {} is there", file.display()));
}
