//! `squall run PATH...`: carries experiments out.

use crate::carry::{self, AgentOptions, Carried};
use crate::cli::out;
use crate::cli::plan;
use crate::cli::report;
use crate::exit::{Failure, Outcome};
use crate::files::{self, VariableOptions};
use crate::state::State;
use clap::Args;

use squall_model::experiment::Experiment;
use squall_model::verdict::Verdict;
use squall_report::{Format, Story};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Experiment files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    variables: VariableOptions,
    /// Makes the run's choices repeatable
    #[arg(long)]
    seed: Option<u64>,
    /// Name of the environment, noted in the journal
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Does not ask before anything is touched
    #[arg(short, long)]
    yes: bool,
    /// Shows the plan and touches nothing
    #[arg(long)]
    dry_run: bool,
    /// Where the journal goes, besides the state folder; several experiments: FILE-NAME
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Writes a report: .html, .md, .xml (for CI), .json or .txt; may be given several times. Several experiments:
    /// FILE-NAME.html, one .xml or .json for all
    #[arg(long, value_name = "FILE.html")]
    report: Vec<PathBuf>,
    /// Writes a report for CI, whatever the file's name ends in
    #[arg(long, value_name = "FILE.xml")]
    junit: Option<PathBuf>,
    /// Prints a summary as JSON on standard output; what happens goes to standard error
    #[arg(long)]
    json: bool,
    /// No colour
    #[arg(long)]
    no_color: bool,
    #[command(flatten)]
    agent: AgentOptions,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        // One seed for what is shown, asked and carried out: what the user agrees to is what is struck.
        let seed = self.seed.unwrap_or_else(plan::random_seed);
        let files = files::find(&self.paths)?;
        let experiments = self.read_all(&files)?;
        if self.dry_run {
            return experiments
                .iter()
                .try_for_each(|(file, experiment)| plan::show(file, experiment, seed, &self.agent, false))
                .map(|()| ExitCode::SUCCESS);
        }
        let reports = self.reports()?;
        let targets = reports.iter().map(|(_, target)| *target).chain(self.journal.as_deref());
        targets.into_iter().try_for_each(files::writable)?;
        let mut carried = Vec::new();
        let ended = self.carry_all_out(&files, experiments, seed, &mut carried);
        if carried.is_empty() {
            return ended.map(|()| ExitCode::SUCCESS);
        }
        // What was carried out before something went wrong is reported all the same.
        let concluded = self.conclude(&files, &carried, &reports);
        ended.and(concluded)
    }

    /// The reports that are asked for: each its format and where it goes.
    fn reports(&self) -> Result<Vec<(&'static Format, &Path)>, Failure> {
        let named = self.report.iter().map(|target| (Format::of_file(target), target));
        let for_ci = self.junit.iter().map(|target| (Format::named("junit"), target));
        named
            .chain(for_ci)
            .map(|(format, target)| Ok((format.map_err(Failure::invalid)?, target.as_path())))
            .collect()
    }

    /// Carries the experiments out one after another, until the user or a mistake ends it.
    fn carry_all_out(
        &self,
        files: &[PathBuf],
        experiments: Vec<(PathBuf, Experiment)>,
        seed: u64,
        carried: &mut Vec<(PathBuf, Carried)>,
    ) -> Result<(), Failure> {
        let journals = self.journal.as_ref().map(|target| files::apart(target, files));
        for (index, (file, experiment)) in experiments.into_iter().enumerate() {
            self.ask_first(&file, &experiment, seed)?;
            let journal = journals.as_ref().and_then(|targets| targets.get(index)).cloned();
            let one = carry::out(&State::locate(), self.order(&file, experiment, seed, journal))?;
            let interrupted = one.interrupted;
            carried.push((file, one));
            if interrupted {
                break;
            }
        }
        Ok(())
    }

    /// Reads every file before the first is carried out, so that a mistake in the last costs nothing. Tells the
    /// mistakes of all.
    fn read_all(&self, files: &[PathBuf]) -> Result<Vec<(PathBuf, Experiment)>, Failure> {
        let overrides = self.variables.overrides(files)?;
        let colour = out::colour(self.no_color) && std::io::stderr().is_terminal();
        let (mut experiments, mut mistakes) = (Vec::new(), Vec::new());
        for file in files {
            match files::read(file, &overrides, colour) {
                Ok(mut experiment) => {
                    let tags = self.environment.iter().map(|name| format!("environment:{name}"));
                    experiment.tags.extend(tags);
                    experiments.push((file.clone(), experiment));
                }
                Err(mistake) => mistakes.push(mistake.to_string()),
            }
        }
        if mistakes.is_empty() { Ok(experiments) } else { Err(Failure::invalid(mistakes.join("\n\n"))) }
    }

    /// At a terminal, shows the plan and asks.
    fn ask_first(&self, file: &Path, experiment: &Experiment, seed: u64) -> Result<(), Failure> {
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if self.yes || self.json || !terminal || experiment.method.is_empty() {
            return Ok(());
        }
        plan::show(file, experiment, seed, &self.agent, false)?;
        let mut stdout = std::io::stdout().lock();
        write!(stdout, "\nCarry this out? [y/N] ")?;
        stdout.flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(Failure::invalid("not carried out; nothing was touched"))
        }
    }

    fn order(
        &self,
        file: &Path,
        experiment: Experiment,
        seed: u64,
        journal: Option<PathBuf>,
    ) -> carry::Order {
        carry::Order {
            file: file.to_owned(),
            experiment,
            seed,
            agent: self.agent.clone(),
            journal,
            view: if self.json {
                carry::View::Quiet
            } else {
                carry::View::Full { colour: out::colour(self.no_color) }
            },
        }
    }

    /// Writes the reports that were asked for, and ends with the greatest exit code.
    fn conclude(
        &self,
        files: &[PathBuf],
        carried: &[(PathBuf, Carried)],
        reports: &[(&'static Format, &Path)],
    ) -> Outcome {
        let stories: Vec<Story> = carried.iter().map(|(_, one)| Story::of(&one.entries)).collect();
        for (format, target) in reports {
            if format.tells_several() {
                report::write(target, &format.tell(&stories))?;
                continue;
            }
            for (target, story) in files::apart(target, files).iter().zip(stories.chunks(1)) {
                report::write(target, &format.tell(story))?;
            }
        }
        if self.json {
            out::say(squall_report::json::objects(&stories).trim_end());
        } else if files.len() > 1 {
            let rows: Vec<_> = carried
                .iter()
                .map(|(file, one)| (file.display().to_string(), one.verdict.to_string()))
                .collect();
            out::say(format!("\n{}", out::columns(&rows)));
        }
        let worst = carried.iter().map(|(_, one)| one.verdict).max().unwrap_or(Verdict::Invalid);
        Ok(ExitCode::from(worst.exit_code()))
    }
}

/// Carries one file out with these variables and writes a report: what the demo does.
pub(crate) fn carry_out_file(file: &Path, variables: Vec<String>, report: &Path) -> Result<Carried, Failure> {
    let overrides = VariableOptions::of(variables).overrides(&[file.to_owned()])?;
    let order = carry::Order {
        file: file.to_owned(),
        experiment: files::read(file, &overrides, out::colour(false))?,
        seed: plan::random_seed(),
        agent: AgentOptions::default(),
        journal: None,
        view: carry::View::Full { colour: out::colour(false) },
    };
    let carried = carry::out(&State::locate(), order)?;
    let format = Format::of_file(report).map_err(Failure::invalid)?;
    report::write(report, &format.render(&carried.entries))?;
    Ok(carried)
}
