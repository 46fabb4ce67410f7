//! What GitHub Actions shows of a run: annotations at the lines of the files, and a summary of the step.
//!
//! Format: <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use crate::out;
use clap::Args;
use squall_model::verdict::Verdict;
use squall_report::{Format, Story};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// GitHub shows no more of one step.
const LONGEST_SUMMARY: usize = 1 << 20;

#[derive(Debug, Clone, Default, Args)]
pub(super) struct GithubOptions {
    /// Writes annotations and a step summary for GitHub Actions; by itself where the variable
    /// `GITHUB_ACTIONS` is true
    #[arg(long, overrides_with = "no_github")]
    github: bool,
    /// Writes none
    #[arg(long)]
    no_github: bool,
}

/// A place that an annotation stands at.
pub(super) struct Annotated<'a> {
    pub(super) file: &'a str,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) title: &'a str,
    pub(super) message: &'a str,
}

impl GithubOptions {
    pub(super) fn are_wanted(&self) -> bool {
        let is_there = || std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        self.github || (!self.no_github && is_there())
    }

    /// Marks a mistake at its place. Standard output may be for JSON; GitHub reads standard error too.
    pub(super) fn annotate(&self, annotated: &Annotated<'_>) {
        if self.are_wanted() {
            out::warn(annotation(annotated));
        }
    }

    /// Adds a report of all runs to the summary of the step. That it could not be written changes no verdict.
    pub(super) fn summarize(&self, stories: &[Story]) {
        let file = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|name| !name.is_empty()).map(PathBuf::from);
        let Some(file) = file.filter(|_| self.are_wanted()) else { return };
        let Ok(markdown) = Format::named("markdown") else { return };
        if let Err(error) = append(&file, &bounded(markdown.tell(stories))) {
            out::warn(format!("squall: could not write the step summary {}: {error}", file.display()));
        }
    }
}

fn append(file: &PathBuf, text: &str) -> io::Result<()> {
    File::options().create(true).append(true).open(file)?.write_all(text.as_bytes())
}

/// As much as GitHub shows.
fn bounded(mut text: String) -> String {
    const REST: &str = "\n\n… and more; the reports have it all.\n";
    if text.len() > LONGEST_SUMMARY {
        let mut end = LONGEST_SUMMARY - REST.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(REST);
    }
    text
}

/// What of a verdict is said in an annotation; nothing where it passed.
pub(super) fn title(verdict: Verdict, experiment: &str) -> Option<String> {
    (verdict != Verdict::Passed).then(|| format!("{experiment}: {}", verdict.name().replace('_', " ")))
}

fn annotation(annotated: &Annotated<'_>) -> String {
    let Annotated { file, line, title, message } = annotated;
    format!("::error file={},line={line},title={}::{}", property(file), property(title), data(message))
}

/// A message, in which line ends are written out.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property, in which separators are written out too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_an_annotation_early() {
        let annotated = Annotated { file: "a,b:c.yaml", line: 3, title: "x: 5%", message: "one\r\ntwo: 5%" };
        assert_eq!(
            annotation(&annotated),
            "::error file=a%2Cb%3Ac.yaml,line=3,title=x%3A 5%25::one%0D%0Atwo: 5%25"
        );
    }

    #[test]
    fn a_summary_is_no_longer_than_is_shown() {
        assert_eq!(bounded("short".to_owned()), "short");
        let long = bounded("ä".repeat(LONGEST_SUMMARY));
        assert!(long.len() <= LONGEST_SUMMARY && long.ends_with("have it all.\n"));
    }
}
