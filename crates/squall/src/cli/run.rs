//! `squall run PATH...`: carries experiments out.

mod github;
mod matrix;

use crate::carry::{self, AgentOptions, Carried};
use crate::cli::plan;
use crate::cli::prompt::{Named, Prompt};
use crate::exit::{Failure, Outcome};
use crate::files::{self, VariableOptions};
use crate::out;
use crate::policy::{self, Circumstances, Rules};
use crate::state::{Audience, State};
use crate::telling::{self, TellingOptions};
use clap::Args;
use jiff::Timestamp;

use github::{Annotated, GithubOptions};
use matrix::MatrixOptions;
use squall_engine::approval::Approver;
use squall_model::experiment::Experiment;
use squall_model::read;
use squall_model::verdict::Verdict;
use squall_outbox::Outbox;
use squall_report::{Format, Story};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Experiment files, folders of them, or `-` for the standard input
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    variables: VariableOptions,
    #[command(flatten)]
    matrix: MatrixOptions,
    /// Makes the run's choices repeatable
    #[arg(long)]
    seed: Option<u64>,
    /// Only experiments that carry this tag; given again, any of the tags
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The environment: noted in the journal, and its rules in the settings are obeyed
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Who has said yes to this, where the environment wants a person to; kept in the journal
    #[arg(long, value_name = "NAME", value_parser = policy::approver)]
    approved_by: Option<String>,
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
    github: GithubOptions,
    #[command(flatten)]
    telling: TellingOptions,
    #[command(flatten)]
    agent: AgentOptions,
}

/// An experiment as it was read: from which file, with which variables.
struct Read {
    file: PathBuf,
    variables: VariableOptions,
    experiment: Experiment,
}

/// What holds for all experiments of the command.
struct Frame<'f> {
    outbox: &'f Outbox,
    rules: Option<&'f Rules>,
}

/// An experiment that was carried out.
struct Done {
    file: PathBuf,
    experiment: String,
    /// The line of its first fault.
    line: usize,
    carried: Carried,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        // One seed for what is shown, asked and carried out: what the user agrees to is what is struck.
        let seed = self.seed.unwrap_or_else(carry::random_seed);
        let experiments = self.read_all(&files::find(&self.paths)?)?;
        let mut experiments = self.of_tags(experiments)?;
        let files: Vec<PathBuf> = experiments.iter().map(|read| read.file.clone()).collect();
        let rules = Rules::find(self.telling.settings(), &files, &State::locate()?)?;
        if let Some(rules) = &rules {
            self.admit(rules, &mut experiments, seed)?;
        }
        if self.dry_run {
            return experiments
                .iter()
                .try_for_each(|read| plan::show(&read.file, &read.experiment, seed, &self.agent, false))
                .map(|()| ExitCode::SUCCESS);
        }
        let reports = self.reports()?;
        let targets = reports.iter().map(|(_, target)| *target).chain(self.journal.as_deref());
        targets.into_iter().try_for_each(files::writable)?;
        let outbox = self.telling.open(&files, &State::locate()?)?;
        let frame = Frame { outbox: &outbox, rules: rules.as_ref() };
        let mut done = Vec::new();
        let ended = self.carry_all_out(&frame, &files, experiments, seed, &mut done);
        if done.is_empty() {
            return ended.map(|()| ExitCode::SUCCESS);
        }
        // What was carried out before something went wrong is reported all the same.
        let concluded = self.conclude(&files, &done, &reports);
        if done.iter().all(|one| !one.carried.interrupted) {
            telling::farewell(&outbox);
        }
        ended.map(|()| concluded)
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
        frame: &Frame<'_>,
        files: &[PathBuf],
        experiments: Vec<Read>,
        seed: u64,
        done: &mut Vec<Done>,
    ) -> Result<(), Failure> {
        let journals = self.journal.as_ref().map(|target| files::apart(target, files));
        // What is secret to one of them is shown by none.
        let secrets: Vec<String> =
            experiments.iter().flat_map(|read| read.experiment.secrets.clone()).collect();
        let audience = self.telling.audience(files, &State::locate()?);
        for (index, Read { file, variables, experiment }) in experiments.into_iter().enumerate() {
            let journal = journals.as_ref().and_then(|targets| targets.get(index)).cloned();
            let options = self.again(&file, &variables, &secrets);
            // Those before may have taken long: an hour may be over, a freeze may have begun.
            if let Some(rules) = frame.rules {
                let judged = rules.judge_again(&file, &experiment, self.circumstances(seed));
                judged.inspect_err(|denial| {
                    rules.note_denied(&experiment, self.environment.as_deref(), denial);
                })?;
            }
            let must_ask = frame.rules.is_some_and(|rules| rules.need_approval(self.environment.as_deref()));
            let approver = self.approver(&file, &experiment, seed, must_ask);
            let (name, line) = (experiment.name.clone(), first_line(&file, &experiment));
            let witnesses = telling::witnesses(frame.outbox);
            let order = carry::Order {
                options,
                approver,
                witnesses,
                audience: audience.clone(),
                ..self.order(&file, experiment, seed, journal)
            };
            let carried = carry::out(&State::locate()?, order)?;
            let interrupted = carried.interrupted;
            done.push(Done { file, experiment: name, line, carried });
            if interrupted {
                break;
            }
        }
        Ok(())
    }

    /// Reads every file, with each combination of the matrix, before the first is carried out, so that a mistake in the last
    /// costs nothing. Tells the mistakes of all.
    fn read_all(&self, files: &[PathBuf]) -> Result<Vec<Read>, Failure> {
        let colour = out::colour(self.no_color) && std::io::stderr().is_terminal();
        self.matrix.must_not_be(&self.variables.names())?;
        let mut combinations = Vec::new();
        for combination in self.matrix.combinations()? {
            let variables = self.variables.with(&combination);
            combinations.push((variables.overrides(files)?, variables, combination));
        }
        let (mut experiments, mut mistakes) = (Vec::new(), Vec::new());
        for file in files {
            for (overrides, variables, combination) in &combinations {
                match files::read(file, overrides, colour) {
                    Ok(mut experiment) => {
                        matrix::name_after(&mut experiment, combination);
                        experiments.push(Read {
                            file: file.clone(),
                            variables: variables.clone(),
                            experiment,
                        });
                    }
                    Err(mistake) => {
                        mistakes.push(mistake);
                        // The others are likely to have the same.
                        break;
                    }
                }
            }
        }
        if mistakes.is_empty() {
            return Ok(experiments);
        }
        mistakes.iter().for_each(|mistake| self.annotate(mistake));
        let messages: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Err(Failure::invalid(messages.join("\n\n")))
    }

    /// Marks a mistake at its place, where it has one.
    fn annotate(&self, mistake: &Failure) {
        if let Some((file, line)) = mistake.place() {
            let message = mistake.to_string();
            self.github.annotate(&Annotated { file, line, title: "squall: invalid", message: &message });
        }
    }

    /// The experiments that carry one of the tags that were asked for; all where none was. Each then bears the name of
    /// the environment as a tag too.
    fn of_tags(&self, experiments: Vec<Read>) -> Result<Vec<Read>, Failure> {
        let known: BTreeSet<String> =
            experiments.iter().flat_map(|read| read.experiment.tags.clone()).collect();
        let is_meant = |read: &Read| {
            self.tags.is_empty() || self.tags.iter().any(|tag| read.experiment.tags.contains(tag))
        };
        let mut meant: Vec<Read> = experiments.into_iter().filter(is_meant).collect();
        if meant.is_empty() {
            let known: Vec<String> = known.into_iter().collect();
            return Err(Failure::invalid(format!(
                "no experiment carries the tag {}; {}",
                self.tags.join(" or "),
                if known.is_empty() {
                    "none has a tag".to_owned()
                } else {
                    format!("the tags are {}", known.join(", "))
                }
            )));
        }
        for read in &mut meant {
            read.experiment.tags.extend(self.environment.iter().map(|name| format!("environment:{name}")));
        }
        Ok(meant)
    }

    /// The options that carry this file out in the same way again.
    fn again(&self, file: &Path, variables: &VariableOptions, secrets: &[String]) -> Vec<String> {
        let environment = self.environment.iter().flat_map(|name| ["--environment".to_owned(), name.clone()]);
        let settings = self.telling.settings().again();
        let all = variables.again(file, secrets).into_iter().chain(environment).chain(settings);
        all.chain(self.agent.again()).collect()
    }

    /// Lets the experiments pass that the settings allow, narrowed to what they allow; tells what denies the others.
    fn admit(&self, rules: &Rules, experiments: &mut [Read], seed: u64) -> Result<(), Failure> {
        let mut denied = Vec::new();
        for read in experiments {
            let place = self.environment.as_deref();
            if let Err(denial) = rules.admit(&read.file, &mut read.experiment, self.circumstances(seed)) {
                self.annotate(&denial);
                rules.note_denied(&read.experiment, place, &denial);
                denied.push(denial.to_string());
            }
        }
        if denied.is_empty() { Ok(()) } else { Err(Failure::invalid(denied.join("\n\n"))) }
    }

    /// How and when an experiment would be carried out now.
    fn circumstances(&self, seed: u64) -> Circumstances<'_> {
        Circumstances {
            environment: self.environment.as_deref(),
            at: Timestamp::now(),
            approved: self.approved_by.is_some() || self.dry_run || self.can_ask(),
            seed,
            agent: &self.agent,
        }
    }

    /// Whether there is a user to be asked.
    fn can_ask(&self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    /// At a terminal, the user is shown the plan and asked, unless they wish not to be and need not.
    fn approver(
        &self,
        file: &Path,
        experiment: &Experiment,
        seed: u64,
        must_ask: bool,
    ) -> Option<Box<dyn Approver>> {
        if let Some(name) = &self.approved_by {
            return Some(Box::new(Named(name.clone())));
        }
        let asks = self.can_ask() && (must_ask || !self.yes);
        asks.then(|| {
            let (file, experiment) = (file.to_owned(), experiment.clone());
            Box::new(Prompt { file, experiment, seed }) as Box<dyn Approver>
        })
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
            options: Vec::new(),
            seed,
            environment: self.environment.clone().unwrap_or_default(),
            origin: origin(),
            agent: self.agent.clone(),
            journal,
            approver: None,
            view: if self.json {
                carry::View::Quiet
            } else {
                carry::View::Full { colour: out::colour(self.no_color) }
            },
            witnesses: Vec::new(),
            audience: Audience::default(),
            halts: None,
            run: None,
        }
    }

    /// How a table names one of several: by its file, and in a matrix by its combination too.
    fn label(&self, one: &Done) -> String {
        let file = one.file.display();
        if self.matrix.is_empty() { file.to_string() } else { format!("{file}: {}", one.experiment) }
    }

    /// Writes the reports that were asked for, and ends with the greatest exit code.
    fn conclude(&self, files: &[PathBuf], done: &[Done], reports: &[(&'static Format, &Path)]) -> ExitCode {
        let stories: Vec<Story> = done.iter().map(|one| Story::of(&one.carried.entries)).collect();
        for (format, target) in reports {
            if format.tells_several() {
                write_or_lose(target, &format.tell(&stories));
                continue;
            }
            for (target, story) in files::apart(target, files).iter().zip(stories.chunks(1)) {
                write_or_lose(target, &format.tell(story));
            }
        }
        if self.json {
            out::say(squall_report::json::objects(&stories).trim_end());
        } else if files.len() > 1 {
            let rows: Vec<_> =
                done.iter().map(|one| (self.label(one), one.carried.verdict.to_string())).collect();
            let verdicts: Vec<Verdict> = done.iter().map(|one| one.carried.verdict).collect();
            out::say(format!("\n{}\n\n{}", out::columns(&rows), tally(files.len(), &verdicts)));
        }
        for one in done {
            if let Some(title) = github::title(one.carried.verdict, &one.experiment) {
                let (file, _) = files::file_and_document(&one.file);
                let (file, message) = (file.display().to_string(), one.carried.reason.as_str());
                self.github.annotate(&Annotated { file: &file, line: one.line, title: &title, message });
            }
        }
        self.github.summarize(&stories);
        let worst = done.iter().map(|one| one.carried.verdict).max().unwrap_or(Verdict::Invalid);
        ExitCode::from(worst.exit_code())
    }
}

/// The line of an experiment's first fault, or its first line.
fn first_line(file: &Path, experiment: &Experiment) -> usize {
    let strike = experiment.method.iter().find_map(|action| action.strikes().first());
    let at = strike.map_or(0, |strike| strike.place.start);
    files::source(file).map_or(1, |source| read::line_of(&source.text, at))
}

/// What it is carried out for: pipelines set `CI`.
fn origin() -> String {
    let is_ci =
        std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
    if is_ci { "ci" } else { "run" }.to_owned()
}

/// Writes a report of what was carried out. That it could not be written changes no verdict.
fn write_or_lose(file: &Path, text: &str) {
    if let Err(failure) = files::write(file, text) {
        out::lose(failure.to_string());
    }
}

/// How several experiments ended, in a line: `3 experiments: 2 passed, 1 failed`.
fn tally(wanted: usize, verdicts: &[Verdict]) -> String {
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    verdicts.iter().for_each(|verdict| *counts.entry(*verdict).or_default() += 1);
    let left = wanted.saturating_sub(verdicts.len());
    let counts =
        counts.into_iter().map(|(verdict, count)| format!("{count} {}", verdict.name().replace('_', " ")));
    let left = (left > 0).then(|| format!("{left} not carried out"));
    format!("{wanted} experiments: {}", counts.chain(left).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_experiments_are_told_in_a_line() {
        let verdicts = [Verdict::Passed, Verdict::NotSteady, Verdict::Passed, Verdict::Failed];
        assert_eq!(tally(4, &verdicts), "4 experiments: 2 passed, 1 failed, 1 not steady");
        assert_eq!(tally(3, &verdicts[..1]), "3 experiments: 1 passed, 2 not carried out");
    }
}
