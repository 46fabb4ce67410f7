//! `squall limit FILE --search PARAMETER --from V --to V`: how much of a fault it takes until the hypothesis breaks.
//!
//! The experiment is carried out again and again, mild first, each time planned, guarded, undone and journaled as by
//! `squall run`. A guard that ends a run has found the limit as well as a hypothesis that does not hold.

use crate::carry::{self, AgentOptions, Carried};
use crate::cli::prompt::Prompt;
use crate::exit::{Failure, Outcome};
use crate::files::{self, VariableOptions};
use crate::margins::Margins;
use crate::out;
use crate::policy::{Circumstances, Rules};
use crate::registry::FAULTS;
use crate::settings::SettingsOptions;
use crate::state::{Audience, State};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use squall_engine::approval::Approver;
use squall_model::event::{AbortCause, Event};
use squall_model::experiment::{Action, Experiment, Strike};
use squall_model::magnitude::Magnitude;
use squall_model::node::{Content, Key, Node};
use squall_model::past::{LIMIT, Limit};
use squall_model::redaction::Redactor;
use squall_model::verdict::Verdict;
use squall_practice::limit::Search;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The experiment
    file: PathBuf,
    /// The parameter that grows: `delay`, or with its fault where several have it, `network.latency.delay`
    #[arg(long, value_name = "PARAMETER")]
    search: String,
    /// The mildest value, which should hold
    #[arg(long, value_name = "VALUE")]
    from: String,
    /// The harshest value
    #[arg(long, value_name = "VALUE")]
    to: String,
    /// How often the experiment is carried out at most
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=50))]
    steps: u32,
    #[command(flatten)]
    variables: VariableOptions,
    /// The environment: noted in the journals, and its rules in the settings are obeyed
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    #[command(flatten)]
    settings: SettingsOptions,
    /// Makes the runs' choices repeatable
    #[arg(long)]
    seed: Option<u64>,
    /// Does not ask before anything is touched
    #[arg(short, long)]
    yes: bool,
    /// Prints what was found as JSON on standard output; what happens goes to standard error
    #[arg(long)]
    json: bool,
    /// No colour
    #[arg(long)]
    no_color: bool,
    #[command(flatten)]
    agent: AgentOptions,
}

/// One value and what came of it.
struct Tried {
    value: Magnitude,
    held: Option<bool>,
    verdict: Verdict,
    reason: String,
    run: String,
}

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let (from, to) = self.ends()?;
        let overrides = self.variables.overrides(std::slice::from_ref(&self.file))?;
        let experiment = files::read(&self.file, &overrides, out::colour(self.no_color))?;
        let seed = self.seed.unwrap_or_else(carry::random_seed);
        let rules = Rules::find(&self.settings, std::slice::from_ref(&self.file), &State::locate()?)?;
        // Both ends are checked before anything is touched.
        for end in [&from, &to] {
            self.admitted(with_value(&experiment, &self.search, end)?, rules.as_ref(), seed)?;
        }
        let redactor = Redactor::new(&experiment.secrets);
        let (mut search, mut tried, mut trouble) = (Search::default(), Vec::<Tried>::new(), Ok(()));
        while let Some(part) = search.next().filter(|_| (tried.len() as u32) < self.steps) {
            let value = from.towards(&to, part);
            if tried.iter().any(|one| one.value == value) {
                break;
            }
            if !self.json {
                out::say(format!("\n{} {value}", self.search));
            }
            let harsher = with_value(&experiment, &self.search, &value)?;
            let carried = match self.carry_out(&value, (&from, &to), harsher, rules.as_ref(), seed) {
                Ok(carried) => carried,
                Err(failure) => {
                    trouble = Err(failure);
                    break;
                }
            };
            let one = Tried::of(value, &carried, &redactor);
            let held = one.held;
            tried.push(one);
            let Some(held) = held else { break };
            search.tried(part, held);
        }
        // Where nothing broke and the harshest was not tried, nobody knows how far it would have held.
        let is_open = search.broke().is_none() && search.held() != Some(1.0);
        let open = is_open.then(|| why_open(&tried, trouble.as_ref().err()));
        let found = [search.held(), search.broke()].map(|part| part.map(|part| from.towards(&to, part)));
        // One value alone, or a way that was left early, is no limit to compare the next with.
        let shrunk =
            if is_open || self.steps == 1 { None } else { self.compare(&experiment, (&from, &to), found) };
        // What was found before something went wrong is told all the same.
        self.tell(&experiment, &tried, found, open.as_deref().or(shrunk.as_deref()));
        trouble.map(|()| exit_code(&tried))
    }

    /// The experiment as the rules let it pass, and whether they want a person to be asked.
    fn admitted(
        &self,
        mut experiment: Experiment,
        rules: Option<&Rules>,
        seed: u64,
    ) -> Result<(Experiment, bool), Failure> {
        let Some(rules) = rules else { return Ok((experiment, false)) };
        let environment = self.environment.as_deref();
        let circumstances = Circumstances {
            environment,
            at: Timestamp::now(),
            approved: self.can_ask(),
            seed,
            agent: &self.agent,
        };
        rules.admit(&self.file, &mut experiment, circumstances)?;
        Ok((experiment, rules.need_approval(environment)))
    }

    /// Whether there is a user to be asked.
    fn can_ask(&self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    fn ends(&self) -> Result<(Magnitude, Magnitude), Failure> {
        let read = |name: &str, text: &str| {
            Magnitude::typed(text).ok_or_else(|| {
                Failure::invalid(format!(
                    "{name} {text:?} is no quantity; give one such as 10ms, 5%, 64MiB or 3"
                ))
            })
        };
        let (from, to) = (read("--from", &self.from)?, read("--to", &self.to)?);
        let alike = Magnitude::alike(from, to).filter(|(from, to)| from != to);
        alike.ok_or_else(|| {
            Failure::invalid(format!(
                "--from {from} and --to {to} are no two values of one kind: {} and {}",
                from.words(),
                to.words()
            ))
        })
    }

    fn carry_out(
        &self,
        value: &Magnitude,
        (from, to): (&Magnitude, &Magnitude),
        experiment: Experiment,
        rules: Option<&Rules>,
        seed: u64,
    ) -> Result<Carried, Failure> {
        let (experiment, must_ask) = self.admitted(experiment, rules, seed)?;
        let asks = self.can_ask() && (must_ask || !self.yes);
        let approver = asks.then(|| {
            let (file, experiment) = (self.file.clone(), experiment.clone());
            Box::new(Prompt { file, experiment, seed }) as Box<dyn Approver>
        });
        let options = self.again(value, (from, to), &experiment, seed);
        let order = carry::Order {
            file: self.file.clone(),
            experiment,
            options,
            seed,
            environment: self.environment.clone().unwrap_or_default(),
            origin: LIMIT.to_owned(),
            agent: self.agent.clone(),
            journal: None,
            view: if self.json {
                carry::View::Quiet
            } else {
                carry::View::Full { colour: out::colour(self.no_color) }
            },
            approver,
            audience: Audience::default(),
            witnesses: Vec::new(),
            halts: None,
            run: None,
        };
        carry::out(&State::locate()?, order)
    }

    /// The command that tries this value alone once more.
    fn again(
        &self,
        value: &Magnitude,
        (from, to): (&Magnitude, &Magnitude),
        experiment: &Experiment,
        seed: u64,
    ) -> Vec<String> {
        // One step is tried at the beginning of the way.
        let other = if value == to { from } else { to };
        let ends = [value, other].map(ToString::to_string);
        let seed = seed.to_string();
        let words = ["limit", &self.file.display().to_string(), "--search", &self.search, "--from", &ends[0]]
            .map(str::to_owned);
        let more = ["--to", &ends[1], "--steps", "1", "--seed", &seed].map(str::to_owned);
        let variables = self.variables.again(&self.file, &experiment.secrets);
        let place = self.environment.iter().flat_map(|name| ["--environment".to_owned(), name.clone()]);
        let rest = variables.into_iter().chain(place).chain(self.settings.again()).chain(self.agent.again());
        words.into_iter().chain(more).chain(rest).collect()
    }

    /// Keeps what was found, and says whether something broke now that held the last time.
    fn compare(
        &self,
        experiment: &Experiment,
        (from, to): (&Magnitude, &Magnitude),
        [held, broke]: [Option<Magnitude>; 2],
    ) -> Option<String> {
        let margin = Limit {
            at: Timestamp::now(),
            experiment: experiment.name.clone(),
            environment: self.environment.clone().unwrap_or_default(),
            parameter: self.search.clone(),
            held_up_to: held.map(|held| held.to_string()),
            broke_at: broke.map(|broke| broke.to_string()),
        };
        let margins = Margins::of(&State::locate().ok()?);
        let last = margins.last_like(&margin);
        if (held.is_some() || broke.is_some())
            && let Err(error) = margins.keep(&margin)
        {
            out::warn(format!("squall: could not keep the limit for the next time: {error}"));
        }
        let last = last?;
        let before = last.held_up_to.as_deref()?;
        let part = |value: &Magnitude| value.part_between(from, to);
        let has_shrunk = part(&broke?)? <= part(&Magnitude::typed(before)?)? + f64::EPSILON;
        has_shrunk.then(|| {
            let when = last.at.strftime("%Y-%m-%d %H:%M");
            format!("the margin has shrunk: on {when} UTC it held up to {before}")
        })
    }

    /// The table of what was tried, and what it comes to.
    fn tell(
        &self,
        experiment: &Experiment,
        tried: &[Tried],
        [held, broke]: [Option<Magnitude>; 2],
        warning: Option<&str>,
    ) {
        if self.json {
            let text = |value: Option<Magnitude>| value.map(|value| value.to_string());
            out::say_json(&json!({
                "experiment": experiment.name, "parameter": self.search, "from": self.from, "to": self.to,
                "held_up_to": text(held), "broke_at": text(broke), "warning": warning,
                "runs": tried.iter().map(Tried::as_json).collect::<Vec<_>>(),
            }));
            return;
        }
        let rows: Vec<_> = tried
            .iter()
            .map(|one| (one.value.to_string(), format!("{:10} {}", one.verdict.name(), one.reason)))
            .collect();
        if !rows.is_empty() {
            out::say(format!("\n{}\n", out::columns(&rows)));
        }
        out::say(conclusion(&self.search, held, broke));
        if let Some(warning) = warning {
            out::say(format!("warning: {warning}"));
        }
    }
}

impl Tried {
    fn of(value: Magnitude, carried: &Carried, redactor: &Redactor) -> Self {
        let run = carried.entries.iter().find_map(|entry| match &entry.event {
            Event::RunStarted { run, .. } => Some(run.clone()),
            _ => None,
        });
        let reason = redactor.text(&carried.reason);
        let held = holds(carried).filter(|_| !carried.interrupted);
        Self { value, held, verdict: carried.verdict, reason, run: run.unwrap_or_default() }
    }

    fn as_json(&self) -> Json {
        json!({
            "value": self.value.to_string(), "verdict": self.verdict.name(), "reason": self.reason, "run": self.run,
        })
    }
}

fn conclusion(parameter: &str, held: Option<Magnitude>, broke: Option<Magnitude>) -> String {
    match (held, broke) {
        (Some(held), Some(broke)) => {
            format!("the hypothesis held up to {parameter} {held}, and did not at {broke}")
        }
        (Some(held), None) => format!("the hypothesis held wherever it was tried, up to {parameter} {held}"),
        (None, Some(broke)) => format!("the hypothesis did not hold even at {parameter} {broke}"),
        (None, None) => "nothing was found: no run told whether the hypothesis holds".to_owned(),
    }
}

/// Why the search ended before it found a limit or came to the harshest value.
fn why_open(tried: &[Tried], trouble: Option<&Failure>) -> String {
    let last = tried.last().filter(|one| one.held.is_none());
    let why = match (trouble, last) {
        (Some(_), _) => "the next run could not begin".to_owned(),
        (None, Some(one)) => format!("the run at {} ended as {}", one.value, one.verdict.name()),
        (None, None) => "all steps were used (--steps)".to_owned(),
    };
    format!("the search did not come to its end: {why}; what is harsher is not known")
}

/// Whether the hypothesis held; none where the run tells nothing of it.
fn holds(carried: &Carried) -> Option<bool> {
    let is_guard = |event: &Event| matches!(event, Event::Aborted { cause: AbortCause::Guard, .. });
    match carried.verdict {
        Verdict::Passed => Some(true),
        Verdict::Failed => Some(false),
        Verdict::Aborted if carried.entries.iter().any(|entry| is_guard(&entry.event)) => Some(false),
        _ => None,
    }
}

/// A limit, or that there is none, is what was looked for; else the trouble that ended the search.
fn exit_code(tried: &[Tried]) -> ExitCode {
    let troubles = tried.iter().filter(|one| one.held.is_none());
    troubles.map(|one| one.verdict).max().map_or(ExitCode::SUCCESS, |worst| ExitCode::from(worst.exit_code()))
}

/// The experiment with another value of the parameter.
fn with_value(experiment: &Experiment, search: &str, value: &Magnitude) -> Result<Experiment, Failure> {
    let mut experiment = experiment.clone();
    let known: Vec<&Strike> = strikes(&experiment).collect();
    let named = known.iter().filter(|strike| parameter_of(strike, search).is_some());
    let faults: BTreeSet<&str> = named.map(|strike| strike.fault.as_str()).collect();
    if faults.len() != 1 {
        return Err(Failure::invalid(ambiguous(&known, search, &faults)));
    }
    for action in &mut experiment.method {
        let Action::Strike(strikes) = action else { continue };
        for strike in strikes {
            let Some(parameter) = parameter_of(strike, search) else { continue };
            if strike.stage.as_ref().is_some_and(|stage| stage.starts_with(parameter)) {
                return Err(Failure::invalid(format!(
                    "{parameter} is in a `ramp` of the experiment already; take it out there, `squall limit` lets it grow"
                )));
            }
            put(&mut strike.with, parameter, value);
            let fault = FAULTS.iter().find(|fault| fault.name() == strike.fault);
            fault.map_or(Ok(()), |fault| fault.check(&strike.with)).map_err(|error| {
                Failure::invalid(format!("{} with {parameter} {value}: {}", strike.fault, error.message))
            })?;
        }
    }
    Ok(experiment)
}

fn strikes(experiment: &Experiment) -> impl Iterator<Item = &Strike> {
    experiment.method.iter().flat_map(Action::strikes)
}

/// The name of the parameter, where the strike's fault has it and is meant.
fn parameter_of<'s>(strike: &Strike, search: &'s str) -> Option<&'s str> {
    let name = search.strip_prefix(&strike.fault).and_then(|rest| rest.strip_prefix('.')).unwrap_or(search);
    let fault = FAULTS.iter().find(|fault| fault.name() == strike.fault)?;
    let schema = fault.schema().to_value();
    schema.get("properties")?.get(name)?;
    Some(name)
}

fn ambiguous(known: &[&Strike], search: &str, found: &BTreeSet<&str>) -> String {
    if let Some(first) = found.first() {
        let all = found.iter().copied().collect::<Vec<_>>().join(" and ");
        return format!("both {all} have a parameter {search}; say which: --search {first}.{search}");
    }
    let faults: BTreeSet<&str> = known.iter().map(|strike| strike.fault.as_str()).collect();
    let faults = faults.into_iter().collect::<Vec<_>>().join(", ");
    format!(
        "no fault of the experiment ({faults}) has a parameter {search}; `squall faults NAME` lists those of one"
    )
}

fn put(with: &mut Node, name: &str, value: &Magnitude) {
    let node = Node { content: value.content(), place: with.place };
    if !matches!(with.content, Content::Map(_)) {
        with.content = Content::Map(Vec::new());
    }
    let Content::Map(entries) = &mut with.content else { return };
    match entries.iter_mut().find(|(key, _)| key.name == name) {
        Some((_, known)) => *known = node,
        None => entries.push((Key { name: name.to_owned(), place: with.place }, node)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::read::Overrides;

    fn experiment(method: &str) -> Experiment {
        let text = format!("apiVersion: squall.dev/v1\nkind: Experiment\nname: x\nmethod:\n{method}");
        files::of_text("x.yaml", text, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn size(text: &str) -> Magnitude {
        Magnitude::typed(text).unwrap()
    }

    const TWO: &str = "  - fault: memory.spike\n    target: {host: true}\n    with: {size: 1MiB}\n    for: 1s\n  \
                       - fault: memory.leak\n    target: {host: true}\n    with: {rate: 1MB/s}\n    for: 1s\n";

    #[test]
    fn the_parameter_is_found_by_its_name_and_its_faults() {
        let two = experiment(TWO);
        let error = with_value(&two, "size", &size("2MiB")).unwrap_err().to_string();
        assert!(error.contains("--search memory.leak.size"), "{error}");
        let harsher = with_value(&two, "memory.spike.size", &size("2MiB")).unwrap();
        let values: Vec<_> =
            strikes(&harsher).map(|strike| strike.with.get("size").map(Node::to_json)).collect();
        assert_eq!(values, [Some("2097152B".into()), None]);
        // One that the file does not give has a value from now on.
        let harsher = with_value(&two, "memory.leak.size", &size("2MiB")).unwrap();
        assert_eq!(strikes(&harsher).filter(|strike| strike.with.get("size").is_some()).count(), 2);
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_runs() {
        let two = experiment(TWO);
        for (search, value, says) in [
            ("delay", "1ms", "no fault of the experiment (memory.leak, memory.spike)"),
            ("rate", "5%", "memory.leak with rate 5%"),
            ("memory.spike.size", "10ms", "memory.spike with size 10ms"),
        ] {
            let error = with_value(&two, search, &size(value)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
