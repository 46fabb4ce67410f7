//! What is told of the tests at the end: those that could not run, which are refused where everything must run, and those
//! that passed only when they were run again.

use crate::output::{Seen, Skip};
use crate::{Outcome, shell};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// What may be skipped where everything must run: what the reason begins with, and why that is no loss.
const EXPECTED: &[(&str, &str)] = &[
    (
        "this kernel has no ",
        "the machine's kernel is not the tests' to choose, and kernels for clouds lack netem",
    ),
    (
        "network.latency: this kernel has no sch_netem",
        "as above; faults of the network are tortured with the others",
    ),
    ("clock-jump: this machine's clock", "only a machine of one's own can have its clock changed"),
    ("this machine has no IPv6", "there is no such connection to look at"),
    ("this machine has no [::1]", "there is no such connection to look at"),
    (
        "this machine is too busy to tell",
        "a delay that is asked for cannot be told from one that other work makes; it was tried several times",
    ),
    ("tests in a second kernel", "the second kernel is no part of the project"),
];

/// How many tests may fail and pass when they are run again. Real processes, kernels and clocks are tested, on machines
/// that do other work at the same time: one of a thousand may meet a bad moment. More are no accident.
const MOST_UNSTEADY: usize = 2;

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    skips: BTreeSet<Skip>,
    unsteady: BTreeSet<String>,
}

impl Ledger {
    /// Notes a skip, and says it.
    pub(crate) fn skip(&mut self, test: &str, why: &str) {
        eprintln!("skipped: {why}");
        self.skips.insert(Skip { test: test.to_owned(), why: why.to_owned() });
    }

    /// Runs a command to its end and passes on what it writes, but for what tests that passed have to say.
    pub(crate) fn run(&mut self, title: &str, command: &mut Command) -> Outcome {
        let (seen, outcome) = watch(title, command, &mut std::io::stdout());
        self.skips.extend(seen.skips);
        outcome
    }

    /// Runs test programs; `command` makes the command from the tests' names, of which none means all. The few that fail
    /// are run once more, with nothing beside them, and told as unsteady at the end if they pass then.
    pub(crate) fn test(
        &mut self,
        title: &str,
        command: impl FnMut(&[String]) -> Result<Command, String>,
    ) -> Outcome {
        self.test_and_show(title, command, &mut std::io::stdout())
    }

    fn test_and_show(
        &mut self,
        title: &str,
        mut command: impl FnMut(&[String]) -> Result<Command, String>,
        show: &mut dyn Write,
    ) -> Outcome {
        let (mut seen, outcome) = watch(title, &mut command(&[])?, show);
        if let Err(failure) = outcome {
            let failed: Vec<String> = std::mem::take(&mut seen.failed).into_iter().collect();
            if !seen.is_whole() || failed.is_empty() || self.unsteady.len() + failed.len() > MOST_UNSTEADY {
                return Err(failure);
            }
            let (again, outcome) =
                watch(&format!("{title} that failed, once more"), &mut command(&failed)?, show);
            outcome?;
            if let Some(missing) = failed.iter().find(|name| !again.passed.contains(*name)) {
                return Err(format!("{failure}; {missing} was not found when it was to run again"));
            }
            seen.passed.extend(again.passed);
            seen.skips.extend(again.skips);
            self.unsteady.extend(failed);
        }
        // Tests that ran now are not skipped any more, wherever they were before.
        self.skips.retain(|skip| !seen.passed.contains(&skip.test));
        self.skips.extend(seen.skips);
        Ok(())
    }

    /// Tells all of it. Where everything must run (`CI=true`), skips that nobody expects are a failure.
    pub(crate) fn conclude(&self) -> Outcome {
        if !self.unsteady.is_empty() {
            println!("\nunsteady, passed when run again:");
            self.unsteady.iter().for_each(|name| println!("  {name}"));
        }
        if self.skips.is_empty() {
            return Ok(());
        }
        println!("\nskipped:");
        self.skips.iter().for_each(|skip| println!("  {}: {}", skip.test, skip.why));
        let strict = std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1");
        let unexpected = self.unexpected();
        if strict && !unexpected.is_empty() {
            return Err(format!(
                "these must not be skipped where CI is set: {}; provide what they lack, or list the reason in \
                 xtask/src/ledger.rs",
                unexpected.join(", ")
            ));
        }
        Ok(())
    }

    fn unexpected(&self) -> Vec<&str> {
        let expected = |why: &str| EXPECTED.iter().any(|(reason, _)| why.starts_with(reason));
        self.skips.iter().filter(|skip| !expected(&skip.why)).map(|skip| skip.test.as_str()).collect()
    }
}

fn watch(title: &str, command: &mut Command, show: &mut dyn Write) -> (Seen, Outcome) {
    let mut seen = Seen::of(title);
    let outcome = shell::timed(title, command, |command| {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).split(b'\n')) {
            let line = line?;
            if seen.shows(&String::from_utf8_lossy(&line)) {
                show.write_all(&line)?;
                show.write_all(b"\n")?;
            }
        }
        child.wait()
    });
    (seen, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test program that speaks as libtest does, and leaves word of its runs in a file.
    fn program(first: &str, again: &str) -> (Ledger, Outcome, Vec<Vec<String>>) {
        let mut ledger = Ledger::default();
        let mut runs = Vec::new();
        let command = |names: &[String]| {
            runs.push(names.to_vec());
            let (text, code) = (if names.is_empty() { first } else { again }, i32::from(names.is_empty()));
            let mut command = Command::new("sh");
            command.args(["-c", "printf '%s' \"$0\"; exit \"$1\"", text, &code.to_string()]);
            Ok(command)
        };
        let outcome = ledger.test_and_show("tests", command, &mut std::io::sink());
        (ledger, outcome, runs)
    }

    fn failing(names: &[&str]) -> String {
        let list: String = names.iter().flat_map(|name| ["    ", name, "\n"]).collect();
        format!(
            "running 9 tests\n\nfailures:\n\n---- x stdout ----\nno\n\nfailures:\n{list}\ntest result: FAILED. 1 failed\n"
        )
    }

    const PASSING: &str =
        "running 1 test\nsuccesses:\n\nsuccesses:\n    a::three\n\ntest result: ok. 1 passed\n";

    #[test]
    fn a_test_that_fails_is_run_once_more_and_told_as_unsteady() {
        let (ledger, outcome, runs) = program(&failing(&["a::three"]), PASSING);
        assert_eq!(outcome, Ok(()));
        assert_eq!(runs, [vec![], vec!["a::three".to_owned()]]);
        assert!(ledger.unsteady.contains("a::three"));
    }

    #[test]
    fn many_failures_crashes_and_failures_without_a_name_are_not_tried_again() {
        let crash = format!("{}running 2 tests\n.", failing(&["a::three"]));
        for first in [failing(&["a::three", "b", "c"]), crash, String::new()] {
            let (_, outcome, runs) = program(&first, PASSING);
            assert!(outcome.is_err() && runs.len() == 1, "{first}");
        }
        let (_, outcome, runs) = program(&failing(&["another"]), PASSING);
        assert!(outcome.is_err() && runs.len() == 2, "one that did not run again has not passed");
    }
}
