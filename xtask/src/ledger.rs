//! What is told of the tests at the end: those that could not run, which are refused where everything must run, and those
//! that passed only when they were run again.

use crate::output::{Seen, Skip};
use crate::{Outcome, shell};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    (
        "no cluster for tests: no lab/kube is beside the project",
        "the cluster is no part of the project either",
    ),
];

/// How many tests may fail and pass when they are run again. Real processes, kernels and clocks are tested, on machines
/// that do other work at the same time: one of a thousand may meet a bad moment. More are no accident.
const MOST_UNSTEADY: usize = 2;

/// Makes the command that runs tests of these names, of which none means all.
pub(crate) type Making<'a> = dyn Fn(&[String]) -> Result<Command, String> + Sync + 'a;

/// A test program, and how it is called.
pub(crate) struct Program<'a> {
    pub(crate) title: String,
    pub(crate) command: Box<Making<'a>>,
}

/// How a test program ended.
struct End<'a> {
    program: &'a Program<'a>,
    seen: Seen,
    outcome: Outcome,
}

impl End<'_> {
    /// A crash, or a failure of which it is not known what could be tried again.
    fn failed_without_a_name(&self) -> bool {
        self.outcome.is_err() && (!self.seen.is_whole() || self.seen.failed.is_empty())
    }
}

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

    /// Runs test programs, so many side by side: most of them wait most of their time. The few tests that fail are run
    /// once more, with nothing beside them, and told as unsteady at the end if they pass then.
    pub(crate) fn test(&mut self, programs: &[Program], side_by_side: usize) -> Outcome {
        self.test_and_show(programs, side_by_side, &mut std::io::stdout())
    }

    fn test_and_show(
        &mut self,
        programs: &[Program],
        side_by_side: usize,
        show: &mut (dyn Write + Send),
    ) -> Outcome {
        let ended = run_side_by_side(programs, side_by_side, show);
        let failures: Vec<String> = ended
            .iter()
            .filter_map(|end| end.outcome.as_ref().err().map(|why| with_reasons(why, &end.seen)))
            .collect();
        let failure = failures.join("\n");
        let failed: usize = ended.iter().map(|end| end.seen.failed.len()).sum();
        let nameless = ended.iter().any(End::failed_without_a_name);
        if nameless || (!failures.is_empty() && self.unsteady.len() + failed > MOST_UNSTEADY) {
            return Err(failure);
        }
        for End { program, mut seen, outcome } in ended {
            if outcome.is_err() {
                let failed = std::mem::take(&mut seen.failed).into_iter().collect();
                self.test_again(program, failed, &mut seen, show)
                    .map_err(|why| format!("{failure}\n{why}"))?;
            }
            // Tests that ran now are not skipped any more, wherever they were before.
            self.skips.retain(|skip| !seen.passed.contains(&skip.test));
            self.skips.extend(seen.skips);
        }
        Ok(())
    }

    fn test_again(
        &mut self,
        program: &Program,
        failed: Vec<String>,
        seen: &mut Seen,
        show: &mut (dyn Write + Send),
    ) -> Outcome {
        let title = format!("{} that failed, once more", program.title);
        let (again, outcome) = watch(&title, &mut (program.command)(&failed)?, show);
        outcome.map_err(|why| with_reasons(&why, &again))?;
        if let Some(missing) = failed.iter().find(|name| !again.passed.contains(*name)) {
            return Err(format!("{missing} was not found when it was to run again"));
        }
        seen.passed.extend(again.passed);
        seen.skips.extend(again.skips);
        self.unsteady.extend(failed);
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

/// A failure with why each of its tests failed: whoever reads the end of much output has it there.
fn with_reasons(failure: &str, seen: &Seen) -> String {
    std::iter::once(failure).chain(seen.reasons.iter().map(String::as_str)).collect::<Vec<_>>().join("\n")
}

/// Runs the programs in their order, the next one whenever one has ended; what each writes stays together.
fn run_side_by_side<'a>(
    programs: &'a [Program<'a>],
    side_by_side: usize,
    show: &mut (dyn Write + Send),
) -> Vec<End<'a>> {
    let (next, show, ended) = (Mutex::new(programs.iter()), Mutex::new(show), Mutex::new(Vec::new()));
    let one_after_the_other = || {
        while let Some(program) = { locked(&next).next() } {
            let mut written = Vec::new();
            let (seen, outcome) = match (program.command)(&[]) {
                Ok(mut command) => watch(&program.title, &mut command, &mut written),
                Err(why) => (Seen::of(&program.title), Err(why)),
            };
            // That nobody can read it is no failure of the tests.
            let _ = locked(&show).write_all(&written);
            locked(&ended).push(End { program, seen, outcome });
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..side_by_side {
            scope.spawn(one_after_the_other);
        }
    });
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    type Runs = Mutex<Vec<(String, Vec<String>)>>;

    /// A test program that speaks as libtest does, and leaves word of its runs.
    fn program<'a>(title: &'a str, runs: &'a Runs, first: &str, again: &'a str) -> Program<'a> {
        let first = first.to_owned();
        let fails = first.contains("FAILED") || first.is_empty();
        let command = move |names: &[String]| {
            locked(runs).push((title.to_owned(), names.to_vec()));
            let text = if names.is_empty() { &first } else { again };
            let mut command = Command::new("sh");
            let code = i32::from(fails && names.is_empty());
            command.args(["-c", "printf '%s' \"$0\"; exit \"$1\"", text, &code.to_string()]);
            Ok(command)
        };
        Program { title: title.to_owned(), command: Box::new(command) }
    }

    fn tested(programs: &[Program]) -> (Ledger, Outcome) {
        let mut ledger = Ledger::default();
        let outcome = ledger.test_and_show(programs, 2, &mut std::io::sink());
        (ledger, outcome)
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
        let runs = Runs::default();
        let (ledger, outcome) = tested(&[
            program("one", &runs, &failing(&["a::three"]), PASSING),
            program("two", &runs, PASSING, PASSING),
        ]);
        assert_eq!(outcome, Ok(()));
        let mut runs = runs.into_inner().unwrap();
        runs.sort();
        let name = |title: &str, names: &[&str]| {
            (title.to_owned(), names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(runs, [name("one", &[]), name("one", &["a::three"]), name("two", &[])]);
        assert!(ledger.unsteady.contains("a::three"));
    }

    #[test]
    fn many_failures_crashes_and_failures_without_a_name_are_not_tried_again() {
        let crash = format!("{}running 2 tests\n.", failing(&["a::three"]));
        for first in [failing(&["a::three", "b", "c"]), crash, String::new()] {
            let runs = Runs::default();
            let (_, outcome) = tested(&[program("one", &runs, &first, PASSING)]);
            assert!(outcome.is_err() && runs.into_inner().unwrap().len() == 1, "{first}");
        }
        let runs = Runs::default();
        let (_, outcome) = tested(&[program("one", &runs, &failing(&["another"]), PASSING)]);
        let ran = runs.into_inner().unwrap().len();
        assert!(outcome.is_err() && ran == 2, "one that did not run again has not passed");
        // Many are no accident, also where each is of a program of its own.
        let runs = Runs::default();
        let programs = ["a", "b", "c"].map(|title| program(title, &runs, &failing(&[title]), PASSING));
        assert!(tested(&programs).1.is_err());
        drop(programs);
        assert_eq!(runs.into_inner().unwrap().len(), 3);
    }
}
