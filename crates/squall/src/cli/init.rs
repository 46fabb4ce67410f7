//! `squall init`: asks a few questions and writes a first experiment.

use crate::exit::{Failure, Outcome};
use crate::out;
use crate::registry::Registry;
use clap::Args;
use squall_model::read::{self, Overrides, Source};
use std::fs::OpenOptions;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to write it
    #[arg(default_value = "experiment.yaml")]
    file: PathBuf,
    /// Answers the first question: a page of the service that must keep answering
    #[arg(long)]
    url: Option<String>,
    /// Answers the second question: the name of the process that is struck
    #[arg(long)]
    process: Option<String>,
    /// Answers the third question: the fault
    #[arg(long)]
    fault: Option<String>,
}

/// Faults that a first experiment may begin with: the name, what it is like, and its parameters.
const FIRST: &[(&str, &str, &str)] = &[
    ("process.pause", "the process hangs", "{}"),
    ("process.kill", "the process dies and should be restarted", "{signal: KILL}"),
    ("network.latency", "its answers come later (root)", "{delay: 100ms, jitter: 20ms}"),
    ("network.partition", "nothing reaches it (root)", "{direction: both}"),
    ("cpu.load", "the processor is busy", "{percent: 80%}"),
];

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let refused = |error: io::Error| {
            Failure::invalid(format!("could not write {}: {error}; name another file", self.file.display()))
        };
        // An experiment that is there already is somebody's work.
        if self.file.exists() {
            return Err(refused(io::ErrorKind::AlreadyExists.into()));
        }
        let input = &mut io::stdin().lock();
        let url = answer(
            self.url,
            input,
            "A page of your service that must keep answering",
            "http://127.0.0.1:8080/health",
        )?;
        let process = answer(self.process, input, "The name of the process to strike", "postgres")?;
        if self.fault.is_none() {
            FIRST.iter().for_each(|(name, like, _)| out::say(format!("  {name:18} {like}")));
        }
        let fault = answer(self.fault, input, "What happens to it", FIRST[0].0)?;
        let with = FIRST.iter().find(|(name, _, _)| *name == fault).map_or("{}", |(_, _, with)| with);
        let text = experiment(&url, &process, &fault, with)?;
        check(&text)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.file).map_err(refused)?;
        file.write_all(text.as_bytes()).map_err(refused)?;
        let file = self.file.display();
        out::say(format!(
            "\nwrote {file}\n  squall plan {file}   shows what would be touched\n  squall run {file}    carries it out"
        ));
        Ok(ExitCode::SUCCESS)
    }
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
    if input.read_line(&mut line)? == 0 {
        return Err(Failure::invalid(
            "the input ended before every question was answered, so nothing was written; answer them, or give --url, \
             --process and --fault",
        ));
    }
    let typed = line.trim();
    Ok(if typed.is_empty() { suggestion.to_owned() } else { typed.to_owned() })
}

/// Refuses answers of which no experiment can be made.
fn check(text: &str) -> Result<(), Failure> {
    let source = Source { name: "the experiment of these answers".to_owned(), text: text.to_owned() };
    match read::experiment(&source, &Registry, &Overrides::default()) {
        Ok(_) => Ok(()),
        Err(errors) => {
            let rendered = read::render(&source, &errors, false);
            Err(Failure::invalid(format!("nothing was written\n{}", rendered.trim_end())))
        }
    }
}

/// The experiment. Texts are quoted as JSON strings, which YAML reads as they are.
fn experiment(url: &str, process: &str, fault: &str, with: &str) -> Result<String, Failure> {
    let quoted = |text: &str| serde_json::to_string(text).map_err(|error| Failure::failed(error.to_string()));
    let (url, process, fault) = (quoted(url)?, quoted(process)?, quoted(fault)?);
    Ok(format!(
        r"apiVersion: squall.dev/v1
kind: Experiment
name: first-experiment
hypothesis: The page keeps answering while the process is in trouble

load: # Squall asks for the page 20 times a second and measures what users would see
  page: {{http: {{url: {url}}}, rate: 20/s, timeout: 2s}}

steady_state: # must hold before, and again after
  - http: {{url: {url}}}
    expect: status < 400
  - expect: error_rate < 1%
  - expect: latency_p99 < 500ms

method:
  - fault: {fault}
    target: {{process: {{name: {process}}}}}
    with: {with}
    for: 15s

guard: # any one of these ends the run at once and puts everything back
  - abort_if: error_rate > 90% for 20s

baseline: 15s
recovery: {{within: 30s}}
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_experiment_is_a_valid_one() {
        for (fault, _, with) in FIRST {
            let text = experiment("http://127.0.0.1/\"quoted\"", "my: app", fault, with).unwrap();
            check(&text).unwrap();
        }
    }

    #[test]
    fn answers_that_make_no_experiment_are_refused() {
        for (url, fault) in [("not a url", "process.pause"), ("http://127.0.0.1/", "process.paws")] {
            let text = experiment(url, "postgres", fault, "{}").unwrap();
            assert!(check(&text).unwrap_err().to_string().contains("nothing was written"));
        }
    }

    #[test]
    fn an_empty_answer_takes_the_suggestion() {
        let typed = &mut io::Cursor::new("\nnginx\n");
        assert_eq!(answer(None, typed, "What", "postgres").unwrap(), "postgres");
        assert_eq!(answer(None, typed, "What", "postgres").unwrap(), "nginx");
        assert_eq!(answer(Some("given".into()), typed, "What", "postgres").unwrap(), "given");
        let error = answer(None, typed, "What", "postgres").unwrap_err();
        assert!(error.to_string().contains("nothing was written"), "{error}");
    }
}
