//! The command line: one file a verb, one line here each.

mod audit;
mod ci;
mod completions;
mod convert;
mod dashboard;
mod doctor;
mod faults;
mod gameday;
mod halt;
mod history;
mod init;
mod leftovers;
mod limit;
mod maturity;
mod monkey;
mod notify;
mod plan;
mod policy;
mod probes;
mod prompt;
mod recover;
mod report;
mod run;
mod schema;
mod since;
mod slo;
mod status;
mod suggest;
mod validate;

use crate::demo;
use crate::exit::Outcome;
use crate::log;
#[cfg(feature = "kubernetes")]
use crate::operator;
use crate::out;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Chaos engineering in one binary: break your own system on purpose, in a small and bounded way, watch what that
/// does to its users, and put everything back, proven.
#[derive(Debug, Parser)]
#[command(name = "squall", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes of `run`: 0 passed, 1 failed, 2 invalid, 3 not steady, 4 aborted, 5 no effect, \
6 residue; of \
every verb: 74 the result could not be written.\nState: SQUALL_STATE (default /var/lib/squall as root, else ~/.local/state/squall). \
Log: SQUALL_LOG=debug, or a filter, to standard error."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

/// Declares the verbs: each is a module with `Options` (its arguments and manual) and `run`.
macro_rules! verbs {
    ($($(#[$meta:meta])* $name:ident => $module:path),+ $(,)?) => {
        #[derive(Debug, Subcommand)]
        enum Verb {
            $($(#[$meta])* $name($module),)+
        }
        impl Verb {
            #[expect(unused_doc_comments, reason = "what a verb is said to do stands at its place in the list, beside what it needs")]
            fn run(self) -> Outcome {
                match self { $($(#[$meta])* Self::$name(options) => options.run(),)+ }
            }
        }
    };
}

verbs! {
    /// The whole job on a small shop that comes with Squall: a weakness found, put back, proven, reported
    Demo => demo::Options,
    /// Asks a few questions and writes a first experiment
    Init => init::Options,
    /// Carries experiments out; a folder runs in name order and the worst exit code wins
    Run => run::Options,
    /// Shows what would be touched, where, and how it would be undone; touches nothing
    Plan => plan::Options,
    /// Environments: whether one allows experiments, and what denies them; carries nothing out
    Policy => policy::Options,
    /// Reads and checks experiment files and points at mistakes
    Validate => validate::Options,
    /// Prints another tool's file, such as a manifest of Chaos Mesh, as an experiment of Squall
    Convert => convert::Options,
    /// Finds how much of a fault it takes until the hypothesis breaks
    Limit => limit::Options,
    /// Weaknesses that many services have: lists them, explains one, tries one out
    Scenario => demo::scenario::Options,
    /// Game days: a plan in Markdown, carried out with people and measurements, to its report
    Gameday => gameday::Options,
    /// Chaos Monkey: ends instances that opted in, by chance, a day planned ahead
    Monkey => monkey::Options,
    /// Objectives: measures a service, or reads what was measured, and fails a pipeline where one is missed
    Slo => slo::Options,
    /// Pipelines: writes a workflow for GitHub or GitLab that breaks a test environment and puts it back
    Ci => ci::Options,
    /// Prints a Grafana dashboard over what Squall exports, or rules for Prometheus
    Dashboard => dashboard::Options,
    /// Shows that whoever is to be told of runs can be reached
    Notify => notify::Options,
    /// Makes a report again from a run's journal
    Report => report::Options,
    /// What is kept of runs: lists, shows, compares and exports them
    History => history::Options,
    /// Where the team stands on four levels, from evidence in its history, and how resilient each service is
    Maturity => maturity::Options,
    /// What to do next, from what the history shows
    Suggest => suggest::Options,
    /// Who did what, in a log whose entries hold each other
    Audit => audit::Options,
    /// Lists the faults, or explains one
    Faults => faults::Options,
    /// Lists the probes, metric sources and loads, or explains one
    Probes => probes::Options,
    /// Prints the JSON Schema of experiment files, for editors
    Schema => schema::Options,
    /// Shows the runs and injections that are alive on this machine
    Status => status::Options,
    /// Ends all runs (or one) at once and puts everything back
    Halt => halt::Options,
    /// Puts back what injections without an owner left
    Recover => recover::Options,
    /// Looks for Squall's marks on this machine, log or no log
    Leftovers => leftovers::Options,
    /// Tells what this machine can do, what is missing, and how to get it
    Doctor => doctor::Options,
    /// Looks after experiments, schedules and runs that are objects of a Kubernetes cluster
    #[cfg(feature = "kubernetes")]
    Operator => operator::Options,
    /// Prints completions for a shell
    Completions => completions::Options,
}

/// Runs the command line.
pub(crate) fn main() -> ExitCode {
    let _log = log::start();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Clap prints help and versions through the same door; those are no errors.
            let printed = error.print();
            if error.use_stderr() {
                return ExitCode::from(2);
            }
            out::note(&printed);
            return out::finish(ExitCode::SUCCESS);
        }
    };
    let code = arguments.verb.run().unwrap_or_else(|failure| {
        out::warn(format!("squall: {failure}"));
        failure.code()
    });
    out::finish(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn no_two_arguments_of_a_verb_have_one_name() {
        Arguments::command().debug_assert();
    }
}
