//! What the output of test programs tells that run with `--show-output`.

use std::collections::BTreeSet;

/// A test, or a part of one, that could not run. It says so on a line of its output that begins with `skipped:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Skip {
    pub(crate) test: String,
    pub(crate) why: String,
}

/// What the output tells.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Whoever speaks: a test, else the whole command.
    speaker: String,
    title: String,
    part: Part,
    /// Test programs that began, and those that came to an end.
    programs: (usize, usize),
    pub(crate) skips: Vec<Skip>,
    pub(crate) passed: BTreeSet<String>,
    pub(crate) failed: BTreeSet<String>,
    /// The first words of each failure.
    pub(crate) reasons: Vec<String>,
    /// How many lines of a failure's words are still to be taken.
    reasoning: usize,
}

/// So many lines tell why a test failed, and so many letters of each.
const LINES_OF_A_REASON: usize = 6;
const LETTERS_OF_A_LINE: usize = 300;

#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    /// Progress and results.
    #[default]
    Open,
    /// What the tests that passed wrote.
    Words,
    /// The names of the tests that passed.
    Names,
    /// What the tests that failed wrote.
    Failures,
    /// The names of the tests that failed.
    FailedNames,
}

impl Seen {
    pub(crate) fn of(title: &str) -> Self {
        Self { title: title.to_owned(), speaker: title.to_owned(), ..Self::default() }
    }

    /// Whether every test program that began came to its end: none crashed with its tests.
    pub(crate) fn is_whole(&self) -> bool {
        self.programs.0 == self.programs.1
    }

    /// Takes a line, and says whether it is passed on.
    pub(crate) fn shows(&mut self, line: &str) -> bool {
        if let Some(why) = line.strip_prefix("skipped: ") {
            self.skips.push(Skip { test: self.speaker.clone(), why: why.to_owned() });
        }
        match line {
            "successes:" => {
                self.part = if self.part == Part::Words { Part::Names } else { Part::Words };
                return false;
            }
            "failures:" => {
                self.turn_to(if self.part == Part::Failures { Part::FailedNames } else { Part::Failures });
            }
            _ if line.starts_with("test result:") => {
                self.programs.1 += 1;
                self.turn_to(Part::Open);
            }
            _ if self.part == Part::Open && line.starts_with("running ") => {
                self.programs.0 += 1;
            }
            _ => {}
        }
        self.reason(line);
        let speaker = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        self.speaker = speaker.map_or_else(|| std::mem::take(&mut self.speaker), str::to_owned);
        if let Some(name) = line.strip_prefix("    ") {
            match self.part {
                Part::Names => self.passed.insert(name.trim().to_owned()),
                Part::FailedNames => self.failed.insert(name.trim().to_owned()),
                _ => false,
            };
        }
        !matches!(self.part, Part::Words | Part::Names)
    }

    fn reason(&mut self, line: &str) {
        if self.part != Part::Failures || line == "stack backtrace:" {
            self.reasoning = 0;
        } else if line.contains(" panicked at ") {
            self.reasoning = LINES_OF_A_REASON;
        }
        if self.reasoning > 0 {
            self.reasoning -= 1;
            self.reasons.push(line.chars().take(LETTERS_OF_A_LINE).collect());
        }
    }

    fn turn_to(&mut self, part: Part) {
        self.part = part;
        self.speaker.clone_from(&self.title);
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
thread 'a::three' panicked at a.rs:1:1:
left is not right
stack backtrace:
   0: panic

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
        assert_eq!(seen.failed.iter().collect::<Vec<_>>(), ["a::three"]);
        assert!(seen.is_whole());
        assert_eq!(seen.reasons, ["thread 'a::three' panicked at a.rs:1:1:", "left is not right"]);
        let tests: Vec<&str> = seen.skips.iter().map(|skip| skip.test.as_str()).collect();
        assert_eq!(tests, ["a::one", "a::one", "all"]);
    }
}
