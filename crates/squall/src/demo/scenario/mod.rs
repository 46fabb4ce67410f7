//! `squall scenario`: weaknesses that many services have, each with the experiment that shows it, to be tried on a
//! weak service of Squall's own and on one's own system.

mod cage;
mod postgres;
mod stage;
mod table;

pub(crate) use cage::main as cage_keeper;
pub(crate) use postgres::main as postgres_keeper;

use crate::carry;
use crate::exit::{Failure, Outcome};
use crate::files::VariableOptions;
use crate::manual;
use crate::out;
use clap::{Args, Subcommand};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use table::{ALL, Scenario};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Lists the scenarios: which can run, and for which fault the others wait
    List(List),
    /// Explains one: what it does, what to look for, how to fix it, and its experiment
    Show(Show),
    /// Carries one out: on a weak service of Squall's own, or where its variables say
    Run(Run),
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        match self.deed {
            Deed::List(list) => Ok(list.run()),
            Deed::Show(show) => show.run(),
            Deed::Run(run) => run.run(),
        }
    }
}

#[derive(Debug, Args)]
struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl List {
    fn run(&self) -> ExitCode {
        if self.json {
            out::say_json(&ALL.iter().map(Scenario::as_json).collect::<Vec<_>>());
        } else {
            let rows: Vec<_> =
                ALL.iter().map(|scenario| (scenario.name.to_owned(), in_a_line(scenario))).collect();
            out::say(out::columns(&rows));
            out::say("\n`squall scenario show NAME` explains one, `squall scenario run NAME` tries it out.");
        }
        ExitCode::SUCCESS
    }
}

fn in_a_line(scenario: &Scenario) -> String {
    let waits = scenario.waits_for();
    let state = match scenario.needs {
        _ if !waits.is_empty() => format!(" (waits for {})", waits.join(", ")),
        Some(needs) => format!(" (needs {needs})"),
        None => String::new(),
    };
    format!("{}{state}", scenario.teaches)
}

#[derive(Debug, Args)]
struct Show {
    /// Its name
    name: String,
}

impl Show {
    fn run(&self) -> Outcome {
        let scenario = find(&self.name)?;
        out::say(scenario.readme);
        if !scenario.is_runnable() {
            out::say(format!(
                "This version cannot run it: it waits for {}.\n",
                scenario.waits_for().join(", ")
            ));
        }
        out::say(format!("Its experiment:\n\n{}", manual::indented(scenario.experiment)));
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
struct Run {
    /// Its name
    name: String,
    /// The weak service with its weakness fixed
    #[arg(long)]
    fixed: bool,
    #[command(flatten)]
    variables: VariableOptions,
    /// On a system of your own: does not ask before anything is touched
    #[arg(short, long)]
    yes: bool,
    /// Where the experiment and its report go
    #[arg(long, default_value = "squall-scenario")]
    output: PathBuf,
    /// On a system of your own: more options of `squall run`, after `--`
    #[arg(last = true, value_name = "OPTIONS")]
    more: Vec<String>,
}

impl Run {
    fn run(self) -> Outcome {
        let scenario = find(&self.name)?;
        let waits = scenario.waits_for();
        if !waits.is_empty() {
            return Err(Failure::unsupported(format!(
                "this version cannot run {}: it waits for the fault {}; `squall scenario show {}` explains it",
                scenario.name,
                waits.join(", "),
                scenario.name
            )));
        }
        std::fs::create_dir_all(&self.output).map_err(|error| {
            Failure::invalid(format!("could not make the folder {}: {error}", self.output.display()))
        })?;
        let file = self.output.join(format!("{}.yaml", scenario.name));
        std::fs::write(&file, scenario.experiment)?;
        let given = self.variables.given(&file)?;
        let missing: Vec<&str> = scenario
            .places
            .iter()
            .copied()
            .filter(|place| !given.iter().any(|(name, _)| name == place))
            .collect();
        if missing.len() < scenario.places.len() {
            return self.on_a_system_of_ones_own(scenario, &file, &missing);
        }
        if !self.more.is_empty() {
            return Err(Failure::invalid(
                "options after `--` are for a system of your own: say where it is with `--var`, see `squall scenario show`",
            ));
        }
        self.on_stage(scenario, &file, &given)
    }

    /// Where the variables say: that is `squall run` with the experiment's file.
    fn on_a_system_of_ones_own(&self, scenario: &Scenario, file: &Path, missing: &[&str]) -> Outcome {
        if !missing.is_empty() {
            return Err(Failure::invalid(format!(
                "on a system of your own, {} needs to be told {} too (`--var {}=…`); `squall scenario show {}` says what \
                 they are",
                scenario.name,
                missing.join(" and "),
                missing[0],
                scenario.name
            )));
        }
        if self.fixed {
            return Err(Failure::invalid("--fixed is for the service that Squall brings along"));
        }
        let mut command = Command::new("/proc/self/exe");
        command.arg0("squall").arg("run").arg(file).args(self.variables.again(file, &[]));
        command.args(self.yes.then_some("--yes")).args(&self.more);
        // It returns only if it fails.
        Err(Failure::failed(format!("could not start squall run: {}", command.exec())))
    }

    /// On a service that is started for it.
    fn on_stage(&self, scenario: &Scenario, file: &Path, given: &[(String, String)]) -> Outcome {
        let build = scenario.stage.ok_or_else(|| {
            Failure::unsupported(format!(
                "Squall brings no service for {}; say where yours is with `--var`, see `squall scenario show {}`",
                scenario.name, scenario.name
            ))
        })?;
        let needs =
            scenario.needs.map_or(String::new(), |needs| format!("; {} needs {needs}", scenario.name));
        let unmade = |why: String| Failure::unsupported(format!("{why}{needs}"));
        let stage = build(&self.output, self.fixed).map_err(unmade)?;
        let as_built = if self.fixed { "with its weakness fixed" } else { "as first built" };
        out::say(format!("{}: on a small service of Squall's own, {as_built}.\n", scenario.title));
        let report =
            self.output.join(format!("{}-{}.html", scenario.name, if self.fixed { "fixed" } else { "weak" }));
        // What the user gives comes later, and counts more.
        let variables =
            stage.variables().chain(given.iter().map(|(name, value)| format!("{name}={value}"))).collect();
        let again = ["scenario", "run", scenario.name, "--fixed"];
        let again = if self.fixed { &again[..] } else { &again[..3] };
        let carried = carry::out_of_file(file, variables, again, &report)?;
        drop(stage);
        out::say(format!("\nreport   {}", report.display()));
        if !self.fixed {
            out::say(format!(
                "`squall scenario show {}` says what to look for and how to fix it; `--fixed` shows that it helps.",
                scenario.name
            ));
        }
        Ok(ExitCode::from(carried.verdict.exit_code()))
    }
}

fn find(name: &str) -> Result<&'static Scenario, Failure> {
    ALL.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let near = manual::nearest(name, ALL.iter().map(|scenario| scenario.name));
        Failure::invalid(format!("there is no scenario {name:?}: `squall scenario list` lists all{near}"))
    })
}
