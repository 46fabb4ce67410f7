//! `squall plan PATH...`: what would be touched, where, and how it would be undone. Touches nothing.

use crate::agent::transport::ChildAgents;
use crate::carry::AgentOptions;
use crate::cli::out;
use crate::exit::{Failure, Outcome};
use crate::files::{self, VariableOptions};
use crate::state::State;
use crate::undo_logs;
use clap::Args;
use serde_json::{Value as Json, json};
use squall_engine::link::{LinkError, Links};
use squall_engine::plan_request;
use squall_model::event::Planned;
use squall_model::experiment::{Action, Experiment};
use squall_model::plan::Plan;
use squall_model::protocol::{Answer, Call, VERSION};
use squall_model::redaction::Redactor;
use squall_model::target::Mode;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Experiment files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    variables: VariableOptions,
    /// Makes the choice among targets repeatable
    #[arg(long)]
    seed: Option<u64>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: AgentOptions,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let files = files::find(&self.paths)?;
        let overrides = self.variables.overrides(&files)?;
        let seed = self.seed.unwrap_or_else(random_seed);
        for file in files {
            let experiment = files::read(&file, &overrides, out::colour(false))?;
            show(&file, &experiment, seed, &self.agent, self.json)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A seed that a user can type again: exact also where JSON numbers are floating point.
pub(crate) fn random_seed() -> u64 {
    fastrand::u64(..1 << 53)
}

/// Asks an agent for the plan and prints it, without the experiment's secrets.
pub(crate) fn show(
    file: &Path,
    experiment: &Experiment,
    seed: u64,
    agent: &AgentOptions,
    json: bool,
) -> Result<(), Failure> {
    let redactor = Redactor::new(&experiment.secrets);
    let plan = ask(experiment, seed, agent, &redactor)?;
    if json {
        out::say_json(&in_words(&plan, &redactor));
    } else {
        out::say(redactor.text(&describe(file, experiment, seed, &plan)));
    }
    Ok(())
}

fn ask(
    experiment: &Experiment,
    seed: u64,
    agent: &AgentOptions,
    redactor: &Redactor,
) -> Result<Plan, Failure> {
    let request = plan_request(experiment, seed);
    if request.entries.is_empty() {
        return Ok(Plan::default());
    }
    let state = State::locate();
    let agents = ChildAgents::new(&state, agent.sudo)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut plan = runtime.block_on(async {
        let link = agents.connect().await.map_err(Failure::failed)?;
        let refused = |error: LinkError| Failure::invalid(redactor.text(&error.to_string()));
        let run = "plan".to_owned();
        let hello = Call::Hello { version: VERSION, run, lease: agent.lease, looks_only: true };
        link.call(hello).await.map_err(refused)?;
        let answer = link.call(Call::Plan(request)).await.map_err(refused)?;
        // The agent has nothing to undo; that it may already be gone is no loss.
        let _ = link.call(Call::Bye).await;
        match answer {
            Answer::Plan(plan) => Ok(plan),
            other => {
                Err(Failure::failed(format!("the agent answered something else than a plan: {other:?}")))
            }
        }
    })?;
    plan.notes.extend(orphans(&state));
    Ok(plan)
}

/// That something is still owed, which a run would put back first.
fn orphans(state: &State) -> Option<String> {
    let count = undo_logs::all(state).ok()?.iter().filter(|held| !held.alive).count();
    (count > 0).then(|| {
        format!(
            "injections of earlier runs that are still to be put back: {count}; a run does that first, and so does \
             `squall recover`"
        )
    })
}

/// The plan as it stands in the journal.
fn in_words(plan: &Plan, redactor: &Redactor) -> Json {
    let words = |injection| {
        let mut words = Planned::from(injection);
        redactor.planned(&mut words);
        words
    };
    let injections: Vec<Planned> = plan.injections.iter().map(words).collect();
    let notes: Vec<String> = plan.notes.iter().map(|note| redactor.text(note)).collect();
    json!({ "injections": injections, "notes": notes })
}

pub(crate) fn describe(file: &Path, experiment: &Experiment, seed: u64, plan: &Plan) -> String {
    let mut lines = vec![format!("{} ({})", experiment.name, file.display())];
    if !experiment.hypothesis.is_empty() {
        lines.push(format!("  {}", experiment.hypothesis));
    }
    for load in &experiment.loads {
        lines.push(format!("\nload {}: {} {}", load.name, load.kind, load.rate));
    }
    if plan.injections.is_empty() {
        lines.push("\nnothing would be touched: the method has no fault".to_owned());
    }
    for injection in &plan.injections {
        lines.push(format!("\n{} on {}, for {}", injection.fault, injection.target, injection.lasts));
        for (does, undone_by) in injection.does.iter().zip(&injection.undone_by) {
            lines.push(format!("  does   {does}"));
            lines.push(format!("  undo   {undone_by}"));
        }
    }
    if experiment.method.iter().filter(|action| matches!(action, Action::Strike(_))).count() > 1 {
        lines.push("\nentries after the first are planned again right before they begin".to_owned());
    }
    lines.extend(plan.notes.iter().map(|note| format!("\nnote: {note}")));
    lines.extend(
        experiment.guard.iter().map(|condition| format!("\nguard: ends at once if {}", condition.text)),
    );
    if chooses(experiment) {
        lines.push(format!(
            "\nchosen with seed {seed}: `squall run {} --seed {seed}` chooses the same",
            file.display()
        ));
    }
    lines.push("\nnothing was touched".to_owned());
    lines.join("\n")
}

/// Whether the seed decides what is struck.
fn chooses(experiment: &Experiment) -> bool {
    experiment.method.iter().any(|action| match action {
        Action::Strike(strikes) => strikes.iter().any(|strike| strike.selection.mode != Mode::All),
        Action::Wait(_) => false,
    })
}
