//! `squall history list|show|compare|export`: what is kept of runs.

mod compare;
mod export;
mod list;
mod show;

use super::since::since;
use crate::exit::{Failure, Outcome};
use crate::history;
use crate::state::State;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use squall_history::{Found, Wanted};
use squall_model::past::Run;
use squall_model::verdict::Verdict;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists runs, the newest first
    List(list::Options),
    /// Tells what is kept of a run, and where its journal is
    Show(show::Options),
    /// Puts two runs side by side, and tells what got better or worse
    Compare(compare::Options),
    /// Writes runs as JSON or CSV, for other programs
    Export(export::Options),
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        match self.verb {
            Verb::List(options) => options.run(),
            Verb::Show(options) => options.run(),
            Verb::Compare(options) => options.run(),
            Verb::Export(options) => options.run(),
        }
    }
}

/// Which runs are meant.
#[derive(Debug, Args)]
struct Selection {
    /// Only runs since then: so long ago (7d, 12h, 2w), a date, or a time
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Only runs of this experiment
    #[arg(long, value_name = "NAME")]
    experiment: Option<String>,
    /// Only runs about this service of a blast radius
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only runs with this verdict
    #[arg(long, value_name = "VERDICT", value_parser = verdict)]
    verdict: Option<Verdict>,
    /// Only runs with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only runs in this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

fn verdict(text: &str) -> Result<Verdict, String> {
    Verdict::named(&text.replace([' ', '-'], "_")).ok_or_else(|| {
        let names: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.name()).collect();
        format!("there is no verdict {text:?}; they are {}", names.join(", "))
    })
}

impl Selection {
    fn wanted(&self, limit: Option<u32>) -> Wanted {
        Wanted {
            since: self.since,
            experiment: self.experiment.clone(),
            service: self.service.clone(),
            verdict: self.verdict,
            tag: self.tag.clone(),
            environment: self.environment.clone(),
            limit,
        }
    }
}

/// The runs that names mean, in their order.
fn find<const COUNT: usize>(state: &State, names: [&str; COUNT]) -> Result<[Run; COUNT], Failure> {
    let found = history::ask(state, |history| {
        names.iter().map(|name| history.find(name)).collect::<Result<Vec<Found>, _>>()
    })?;
    let named = names.iter().zip(found);
    let runs = named.map(|(name, found)| one(name, found)).collect::<Result<Vec<Run>, Failure>>()?;
    // As many as there are names.
    runs.try_into().map_err(|_| Failure::failed("a run was lost on the way"))
}

/// The run that a name means; none where there is none.
pub(super) fn meant(state: &State, name: &str) -> Result<Option<Run>, Failure> {
    match history::ask(state, |history| history.find(name))? {
        Found::Nothing => Ok(None),
        found => one(name, found).map(Some),
    }
}

fn one(name: &str, found: Found) -> Result<Run, Failure> {
    match found {
        Found::Run(run) => Ok(*run),
        Found::Nothing => Err(Failure::invalid(format!(
            "there is no run {name:?}; `squall history list` lists them, `last` and `last~1` are the newest"
        ))),
        Found::Several(names) => Err(Failure::invalid(format!(
            "the names of several runs begin with {name:?}: {} …; name more of it",
            names.join(", ")
        ))),
    }
}
