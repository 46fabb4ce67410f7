//! A plan with all that belongs to it: what it is measured with, and its experiments.

use crate::exit::Failure;
use crate::files::{self, VariableOptions};
use crate::registry::Registry;
use squall_model::experiment::Experiment;
use squall_model::gameday::{Marks, Measures, Plan};
use squall_model::node::Place;
use squall_model::read::{self, ReadError, Source};
use squall_model::redaction::Redactor;
use squall_practice::gameday::{self, Draft};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a plan's own companion ends: `database.md` is measured with `database.squall.yaml`.
const COMPANION: &str = "squall.yaml";

/// A plan that was read with everything that belongs to it.
pub(super) struct Loaded {
    pub(super) plan: Plan,
    pub(super) measures: Measures,
    /// The file with the measures, where it is not the plan itself.
    pub(super) with: Option<PathBuf>,
    pub(super) experiments: Vec<Experiment>,
    pub(super) remarks: Vec<String>,
    /// What tells whether the files are as they were.
    pub(super) marks: Marks,
    /// The variables that were given by whatever way and are used.
    pub(super) given: BTreeMap<String, String>,
}

/// Reads a plan. Errors are ready to be shown, pointing at the places in the files.
pub(super) fn load(
    file: &Path,
    with: Option<&Path>,
    variables: &VariableOptions,
    colour: bool,
) -> Result<Loaded, Failure> {
    let source = files::source(file)?;
    let wrong = |source: &Source, errors: &[ReadError]| {
        let rendered = read::render(source, errors, colour);
        Failure::invalid(format!("{} is not valid\n{}", source.name, rendered.trim_end()))
    };
    if let Some(kind) = files::kind(file) {
        return Err(no_plan(file, &kind));
    }
    let draft = gameday::read(&source.text).map_err(|errors| wrong(&source, &errors))?;
    let (measured, with) = measured(file, with, &source, &draft)?;
    // Each file takes what it uses; that one of them does is looked at below.
    let mut overrides = variables.overrides(&[])?;
    let demanded = std::mem::take(&mut overrides.demanded);
    let mut known = measured.as_ref().and_then(|text| read::variable_names(text).ok()).unwrap_or_default();
    let measures = match &measured {
        None => Measures::default(),
        // Mistakes are shown in the plan as it is, not with everything else blank.
        Some(text) => {
            let shown = if with.is_some() { text } else { &source };
            read::gameday(text, &Registry, &overrides).map_err(|errors| wrong(shown, &errors))?
        }
    };
    let shown = match (&measured, &with) {
        (Some(text), Some(_)) => text,
        _ => &source,
    };
    let mut plan = draft.resolve(&measures).map_err(|errors| wrong(shown, &errors))?;
    let places = places(&draft, &measures, (&source, shown));
    let mut experiments = Vec::new();
    for linked in &mut plan.experiments {
        let (folder, source, place) = places
            .iter()
            .find(|(name, ..)| *name == linked.file)
            .map_or((file.parent(), &source, Place::default()), |(_, source, place)| {
                (Path::new(&source.name).parent(), *source, *place)
            });
        let path = folder.unwrap_or(Path::new("")).join(&linked.file);
        if !files::file_and_document(&path).0.is_file() {
            let error = ReadError::at(place, format!("there is no file {}", path.display()));
            return Err(wrong(source, &[error.label("not found")]));
        }
        known.extend(read::variable_names(&files::source(&path)?).unwrap_or_default());
        // What the command line says counts more than the plan.
        let mut overrides = overrides.clone();
        overrides.variables.splice(0..0, linked.variables.iter().cloned());
        overrides.demanded = linked.variables.iter().map(|(name, _)| name.clone()).collect();
        let experiment = files::read(&path, &overrides, colour)?;
        linked.file = path.display().to_string();
        linked.name.clone_from(&experiment.name);
        // They have done their part, and may hold what must not be written down.
        linked.variables.clear();
        experiments.push(experiment);
    }
    if let Some(name) = demanded.difference(&known).next() {
        let advice = read::nearest_variable(name, &known);
        return Err(Failure::invalid(format!(
            "--var {name}=… was given, but neither what the plan is measured with nor an experiment uses it; {advice}"
        )));
    }
    let given = overrides.given(&known);
    let marks = Marks {
        plan: squall_history::mark(&source.text),
        with: with.as_ref().map_or_else(String::new, |_| squall_history::mark(&shown.text)),
        experiments: experiments.iter().map(marked).collect(),
    };
    Ok(Loaded { plan, measures, with, experiments, remarks: draft.remarks, marks, given })
}

/// What to do with a file of another kind.
fn no_plan(file: &Path, kind: &str) -> Failure {
    let name = file.display();
    Failure::invalid(match kind {
        "GameDay" => format!(
            "{name} says what a game day is measured with, and is no plan: name the plan, and this with --with {name}"
        ),
        "Experiment" => format!(
            "{name} is an experiment, and no plan of a game day: `squall validate {name}` checks it, and a plan names it \
             under `experiments`"
        ),
        _ => format!("{name} is of kind {kind}, and no plan of a game day"),
    })
}

/// A mark of all that an experiment does; secrets are no part of it.
fn marked(experiment: &Experiment) -> String {
    let text = Redactor::new(&experiment.secrets).text(&format!("{experiment:?}"));
    squall_history::mark(&text)
}

/// The text that says what is measured, if there is one, and its file where it is not the plan.
fn measured(
    file: &Path,
    with: Option<&Path>,
    source: &Source,
    draft: &Draft,
) -> Result<(Option<Source>, Option<PathBuf>), Failure> {
    if let Some(with) = with {
        return Ok((Some(files::source(with)?), Some(with.to_owned())));
    }
    if let Some(block) = &draft.block {
        let text = read::blanked(&source.text, block.clone());
        return Ok((Some(Source { name: source.name.clone(), text }), None));
    }
    let companion = file.with_extension(COMPANION);
    if companion.is_file() {
        return Ok((Some(files::source(&companion)?), Some(companion)));
    }
    Ok((None, None))
}

/// Where each experiment is named: its file as written, the text, the place in it.
fn places<'s>(
    draft: &Draft,
    measures: &Measures,
    (plan, measured): (&'s Source, &'s Source),
) -> Vec<(String, &'s Source, Place)> {
    let of = |source: &'s Source| {
        move |(linked, place): &(squall_model::gameday::LinkedExperiment, Place)| {
            (linked.file.clone(), source, *place)
        }
    };
    measures.experiments.iter().map(of(measured)).chain(draft.experiments().iter().map(of(plan))).collect()
}
