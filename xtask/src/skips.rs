//! Tests that could not run. Each says so on a line of its output that begins with `skipped:`; here these lines are found,
//! told at the end, and refused where everything must run.

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
    ("tests in a second kernel", "the second kernel is no part of the project"),
];

/// A test, or a part of one, that could not run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Skip {
    test: String,
    why: String,
}

/// What was skipped so far.
#[derive(Debug, Default)]
pub(crate) struct Skips(BTreeSet<Skip>);

impl Skips {
    /// Notes one, and says it.
    pub(crate) fn add(&mut self, test: &str, why: &str) {
        eprintln!("skipped: {why}");
        self.0.insert(Skip { test: test.to_owned(), why: why.to_owned() });
    }

    /// Runs a command to its end and passes on what it writes, but for what tests that passed have to say.
    pub(crate) fn run(&mut self, title: &str, command: &mut Command) -> Outcome {
        let (seen, outcome) = watch(title, command);
        self.0.extend(seen.skips);
        outcome
    }

    /// The same in another place: tests that ran there are not skipped any more.
    pub(crate) fn run_elsewhere(&mut self, title: &str, command: &mut Command) -> Outcome {
        let (seen, outcome) = watch(title, command);
        self.0.retain(|skip| !seen.passed.contains(&skip.test));
        self.0.extend(seen.skips);
        outcome
    }

    /// Tells all of them. Where everything must run (`CI=true`), those that nobody expects are a failure.
    pub(crate) fn conclude(&self) -> Outcome {
        if self.0.is_empty() {
            return Ok(());
        }
        println!("\nskipped:");
        self.0.iter().for_each(|skip| println!("  {}: {}", skip.test, skip.why));
        let strict = std::env::var_os("CI").is_some_and(|value| value == "true" || value == "1");
        let unexpected = self.unexpected();
        if strict && !unexpected.is_empty() {
            return Err(format!(
                "these must not be skipped where CI is set: {}; provide what they lack, or list the reason in \
                 xtask/src/skips.rs",
                unexpected.join(", ")
            ));
        }
        Ok(())
    }

    fn unexpected(&self) -> Vec<&str> {
        let expected = |why: &str| EXPECTED.iter().any(|(reason, _)| why.starts_with(reason));
        self.0.iter().filter(|skip| !expected(&skip.why)).map(|skip| skip.test.as_str()).collect()
    }
}

fn watch(title: &str, command: &mut Command) -> (Seen, Outcome) {
    let mut seen = Seen::of(title);
    let outcome = shell::timed(title, command, |command| {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut stdout = std::io::stdout().lock();
        for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).split(b'\n')) {
            let line = line?;
            if seen.shows(&String::from_utf8_lossy(&line)) {
                stdout.write_all(&line)?;
                stdout.write_all(b"\n")?;
            }
        }
        child.wait()
    });
    (seen, outcome)
}

/// What the output of test programs that run with `--show-output` tells.
#[derive(Debug, Default)]
struct Seen {
    /// Whoever speaks: a test, else the whole command.
    speaker: String,
    title: String,
    part: Part,
    skips: Vec<Skip>,
    passed: BTreeSet<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    /// Progress, results, and what failed.
    #[default]
    Open,
    /// What the tests that passed wrote.
    Words,
    /// The names of the tests that passed.
    Names,
}

impl Seen {
    fn of(title: &str) -> Self {
        Self { title: title.to_owned(), speaker: title.to_owned(), ..Self::default() }
    }

    /// Takes a line, and says whether it is passed on.
    fn shows(&mut self, line: &str) -> bool {
        if let Some(why) = line.strip_prefix("skipped: ") {
            self.skips.push(Skip { test: self.speaker.clone(), why: why.to_owned() });
        }
        match line {
            "successes:" => {
                self.part = if self.part == Part::Words { Part::Names } else { Part::Words };
                return false;
            }
            _ if line == "failures:" || line.starts_with("test result:") => {
                self.part = Part::Open;
                self.speaker.clone_from(&self.title);
            }
            _ => {}
        }
        let speaker = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        self.speaker = speaker.map_or_else(|| std::mem::take(&mut self.speaker), str::to_owned);
        if self.part == Part::Names && line.starts_with("    ") {
            self.passed.insert(line.trim().to_owned());
        }
        self.part == Part::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 3 tests
..F
successes:

---- a::one stdout ----
skipped: this kernel has no codel
skipped: it takes root
---- a::two stdout ----
seen

successes:
    a::one
    a::two

failures:

---- a::three stdout ----
no

failures:
    a::three

test result: FAILED. 2 passed; 1 failed
skipped: clock-jump: this machine's clock is not the torture's to set";

    #[test]
    fn skips_are_found_with_the_tests_that_say_them() {
        let mut seen = Seen::of("all");
        let shown: Vec<&str> = OUTPUT.lines().filter(|line| seen.shows(line)).collect();
        assert!(shown.contains(&"---- a::three stdout ----") && shown.contains(&"no"), "{shown:?}");
        assert!(!shown.contains(&"seen"), "{shown:?}");
        let passed: Vec<&str> = seen.passed.iter().map(String::as_str).collect();
        assert_eq!(passed, ["a::one", "a::two"]);
        let tests: Vec<&str> = seen.skips.iter().map(|skip| skip.test.as_str()).collect();
        assert_eq!(tests, ["a::one", "a::one", "all"]);
        assert_eq!(Skips(seen.skips.into_iter().collect()).unexpected(), ["a::one"]);
    }
}
