//! `squall gameday new [FILE]`: asks a few questions and writes a plan. Without a terminal, or with `--yes`, what was
//! not given takes the suggestion.

use super::plan;
use crate::exit::{Failure, Outcome};
use crate::files::VariableOptions;
use crate::out;
use clap::Args;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to write it
    #[arg(default_value = "gameday.md")]
    file: PathBuf,
    /// What the day is called
    #[arg(long)]
    title: Option<String>,
    /// What it is for
    #[arg(long)]
    objective: Option<String>,
    /// What you believe
    #[arg(long)]
    hypothesis: Option<String>,
    /// Who takes part; may be given several times
    #[arg(long = "participant", value_name = "ROLE: NAME")]
    participants: Vec<String>,
    /// When the day is a success; may be given several times
    #[arg(long = "criterion", value_name = "TEXT")]
    criteria: Vec<String>,
    /// A step of the rollback plan; may be given several times
    #[arg(long = "rollback", value_name = "STEP")]
    rollback: Vec<String>,
    /// A page that customers use: Squall sends traffic to it and measures it
    #[arg(long)]
    url: Option<String>,
    /// An experiment that makes the failure; may be given several times
    #[arg(long = "experiment", value_name = "FILE")]
    experiments: Vec<PathBuf>,
    /// When it begins
    #[arg(long, default_value = "10:00", value_name = "HH:MM")]
    start: String,
    /// Asks nothing: what is not given takes the suggestion
    #[arg(short, long)]
    yes: bool,
}

const TITLE: &str = "Database failure";
const OBJECTIVE: &str = "Learn whether customers notice when the primary database fails";
const HYPOTHESIS: &str = "The system maintains 99% availability during database failover";
const PARTICIPANTS: [&str; 3] = ["Incident Commander: TBD", "Technical Lead: TBD", "Observer: TBD"];
const CRITERIA: [&str; 4] = [
    "Automatic failover completes within 2 minutes",
    "Error rate stays below 1%",
    "No data loss",
    "All alerts fire correctly",
];
const ROLLBACK: [&str; 2] = ["squall halt", "Bring the primary database back"];

/// Minutes from the start of the day to each part of it.
const TIMELINE: [(u32, &str); 5] = [
    (0, "Pre-checks and baseline metrics"),
    (15, "Inject the failure"),
    (20, "Observe and record"),
    (30, "Verify recovery"),
    (60, "Post-mortem discussion"),
];

impl Options {
    pub(crate) fn run(mut self) -> Outcome {
        let name = self.file.display().to_string();
        let refused = |error: io::Error| {
            Failure::invalid(format!("could not write {name}: {error}; name another file"))
        };
        // A plan that is there already is somebody's work.
        if self.file.exists() {
            return Err(Failure::invalid(format!(
                "{name} is there already, and is not written over; name another file, such as `squall gameday new \
                 another.md`, or look at this one with `squall gameday check {name}`"
            )));
        }
        self.look_for_experiments()?;
        let start = squall_practice::gameday::minutes_of(&self.start).ok_or_else(|| {
            Failure::invalid(format!("--start {:?} is no time of day, such as 10:00", self.start))
        })?;
        if !self.yes && io::stdin().is_terminal() && io::stdout().is_terminal() {
            self.ask()?;
        }
        let text = self.text(start);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.file).map_err(refused)?;
        file.write_all(text.as_bytes()).map_err(refused)?;
        drop(file);
        // What was given may hold a mistake; the plan is there to be mended.
        if let Err(failure) = plan::load(&self.file, None, &VariableOptions::default(), false) {
            out::warn(format!("wrote {name}, which still needs a hand:"));
            return Err(failure);
        }
        out::say(format!(
            "wrote {name}\n  squall gameday check {name}            says what is understood\n  \
             squall gameday run {name} --rehearse   goes through it without breaking anything\n  \
             squall gameday run {name}              carries it out"
        ));
        Ok(ExitCode::SUCCESS)
    }

    /// Refuses experiments that are not there, before a plan is written that names them.
    fn look_for_experiments(&self) -> Result<(), Failure> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        let missing = self.experiments.iter().find(|file| !folder.join(file).is_file());
        missing.map_or(Ok(()), |file| {
            Err(Failure::invalid(format!(
                "there is no experiment {}; `squall init` writes one; nothing was written",
                folder.join(file).display()
            )))
        })
    }

    fn ask(&mut self) -> Result<(), Failure> {
        let input = &mut io::stdin().lock();
        let title = answer(self.title.take(), input, "What is the day about", TITLE)?;
        let objective = answer(self.objective.take(), input, "What is it for", OBJECTIVE)?;
        let hypothesis = answer(self.hypothesis.take(), input, "What do you believe", HYPOTHESIS)?;
        (self.title, self.objective, self.hypothesis) = (Some(title), Some(objective), Some(hypothesis));
        several(&mut self.participants, input, "Who takes part, as ROLE: NAME", &PARTICIPANTS)?;
        several(&mut self.criteria, input, "When is the day a success", &CRITERIA)?;
        several(&mut self.rollback, input, "How do people put it right by hand", &ROLLBACK)?;
        if self.url.is_none() {
            let url = answer(None, input, "A page that customers use, to be measured", "none")?;
            self.url = Some(url).filter(|url| url != "none");
        }
        Ok(())
    }

    fn text(&self, start: u32) -> String {
        let given = |value: &Option<String>, suggestion: &str| {
            one_line(value.as_deref().filter(|value| !value.trim().is_empty()).unwrap_or(suggestion))
        };
        let list = |values: &[String], suggestions: &[&str]| -> Vec<String> {
            if values.is_empty() {
                suggestions.iter().map(|one| (*one).to_owned()).collect()
            } else {
                values.iter().map(|value| one_line(value)).collect()
            }
        };
        let bullets = |items: &[String]| lines(items.iter().map(|item| format!("- {item}")));
        let timeline = lines(TIMELINE.iter().map(|(minutes, what)| {
            let at = start + minutes;
            format!("- {:02}:{:02} - {what}", at / 60 % 24, at % 60)
        }));
        let steps = list(&self.rollback, &ROLLBACK);
        let rollback = lines(steps.iter().enumerate().map(|(index, step)| format!("{}. {step}", index + 1)));
        let mut text = format!(
            "# Game Day: {}\n\n## Objective\n{}\n\n## Hypothesis\n{}\n\n## Participants\n{}\n## Timeline\n{timeline}\n\
             ## Success Criteria\n{}\n## Rollback Plan\n{rollback}\n",
            given(&self.title, TITLE),
            given(&self.objective, OBJECTIVE),
            given(&self.hypothesis, HYPOTHESIS),
            bullets(&list(&self.participants, &PARTICIPANTS)),
            bullets(&list(&self.criteria, &CRITERIA)),
        );
        if !self.experiments.is_empty() {
            let links: Vec<String> =
                self.experiments.iter().map(|file| format!("`{}`", file.display())).collect();
            let _ = write!(text, "## Experiments\n{}\n", bullets(&links));
        }
        text.push_str("## Follow-ups\n- [ ] Send the report to everybody (owner: TBD)\n\n## Measurements\n");
        text.push_str(&self.block());
        text
    }

    /// What is measured, as far as it is known; the rest is there to be filled in.
    fn block(&self) -> String {
        let mut block = "```squall\n".to_owned();
        match &self.url {
            Some(url) => {
                let url = serde_json::Value::from(url.as_str());
                let _ = write!(
                    block,
                    "load: # traffic that Squall sends all day, and what customers see of it\n  \
                     app: {{http: {{url: {url}}}, rate: 20/s, timeout: 2s}}\nprobes: # the health of services\n  \
                     api: {{http: {{url: {url}}}, expect: status < 400}}\nsteady_state:\n  - expect: error_rate < 1%\n  \
                     - expect: latency_p99 < 500ms\n"
                );
            }
            None => block.push_str(
                "# load: # traffic that Squall sends all day, and what customers see of it\n\
                 #   app: {http: {url: \"http://127.0.0.1:8080/\"}, rate: 20/s, timeout: 2s}\n\
                 # probes: # the health of services\n\
                 #   api: {http: {url: \"http://127.0.0.1:8080/health\"}}\n\
                 #   database: {tcp: {address: \"127.0.0.1:5432\"}}\n",
            ),
        }
        block.push_str(
            "# data: # counted before and after\n\
             #   orders: {exec: {command: \"psql -Atc 'select count(*) from orders'\"}}\n\
             # alerts: # that must fire, and be over again\n\
             #   {prometheus: \"http://127.0.0.1:9090\", expect: [DatabaseDown], within: 2m}\n\
             # experiments: [database-fails.yaml] # make the failure, and put it back\n\
             observe: 300s\n```\n",
        );
        block
    }
}

/// Each on a line of its own.
fn lines(items: impl Iterator<Item = String>) -> String {
    items.map(|item| item + "\n").collect()
}

/// Text as it may stand in one line of Markdown.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What was given, or what is typed, or the suggestion where nothing is.
fn answer(
    given: Option<String>,
    input: &mut impl BufRead,
    question: &str,
    suggestion: &str,
) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(given);
    }
    let mut stdout = io::stdout().lock();
    write!(stdout, "{question} [{suggestion}]: ")?;
    stdout.flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    let typed = line.trim();
    Ok(if typed.is_empty() { suggestion.to_owned() } else { typed.to_owned() })
}

/// Lines until an empty one; the suggestions where there is none at all.
fn several(
    values: &mut Vec<String>,
    input: &mut impl BufRead,
    question: &str,
    suggestions: &[&str],
) -> Result<(), Failure> {
    if !values.is_empty() {
        return Ok(());
    }
    out::say(format!("{question}? One a line, an empty line ends; none for:"));
    suggestions.iter().for_each(|one| out::say(format!("  {one}")));
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(());
        }
        values.push(line.trim().to_owned());
    }
}
