//! `squall plan PATH...`: what would be touched, where, and how it would be undone. Touches nothing.

use crate::carry::{self, AgentOptions};
use crate::exit::{Failure, Outcome};
use crate::files::{self, VariableOptions};
use crate::out;
use clap::Args;
use serde_json::{Value as Json, json};
use squall_model::condition::Condition;
use squall_model::event::Planned;
use squall_model::experiment::{Action, Experiment, Strike};
use squall_model::plan::{Plan, PlannedInjection};
use squall_model::redaction::Redactor;
use squall_model::target::Mode;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Experiment files, folders of them, or `-` for the standard input
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
        let seed = self.seed.unwrap_or_else(carry::random_seed);
        for file in files {
            let experiment = files::read(&file, &overrides, out::colour(false))?;
            show(&file, &experiment, seed, &self.agent, self.json)?;
        }
        Ok(ExitCode::SUCCESS)
    }
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
    let plan = carry::plan(experiment, seed, agent, &redactor)?;
    if json {
        out::say_json(&in_words(experiment, &plan, &redactor));
    } else {
        out::say(redactor.text(&describe(file, experiment, seed, &plan)));
    }
    Ok(())
}

/// The plan as it stands in the journal.
fn in_words(experiment: &Experiment, plan: &Plan, redactor: &Redactor) -> Json {
    let words = |injection: &PlannedInjection| {
        let mut words = Planned::from(injection).only(when(experiment, injection.entry));
        redactor.planned(&mut words);
        words
    };
    let injections: Vec<Planned> = plan.injections.iter().map(words).collect();
    let notes = experiment.notes.iter().chain(&plan.notes);
    let notes: Vec<String> = notes.map(|note| redactor.text(note)).collect();
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
        lines.extend(when(experiment, injection.entry).map(|when| format!("  only   when {when}")));
    }
    lines.extend(questions(experiment));
    if experiment.method.iter().filter(|action| matches!(action, Action::Strike(_))).count() > 1 {
        lines.push("\nentries after the first are planned again right before they begin".to_owned());
    }
    let notes = experiment.notes.iter().chain(&plan.notes);
    lines.extend(notes.map(|note| format!("\nnote: {note}")));
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

/// What is asked on the way.
fn questions(experiment: &Experiment) -> impl Iterator<Item = String> {
    experiment.method.iter().filter_map(|action| match action {
        Action::Ask(ask) => {
            let when = ask.when.as_ref().map(|when| format!(", when {when}")).unwrap_or_default();
            Some(format!("\nasks `{}` ({}){when}, for at most {}", ask.name, ask.probe.kind, ask.within))
        }
        Action::Strike(_) | Action::Wait(_) => None,
    })
}

/// Whether the seed decides what is struck.
fn chooses(experiment: &Experiment) -> bool {
    strikes(experiment).any(|strike| strike.selection.mode != Mode::All)
}

fn strikes(experiment: &Experiment) -> impl Iterator<Item = &Strike> {
    experiment.method.iter().flat_map(Action::strikes)
}

/// The condition over answers under which an injection of this entry is made.
fn when(experiment: &Experiment, entry: usize) -> Option<&Condition> {
    strikes(experiment).nth(entry)?.when.as_ref()
}
