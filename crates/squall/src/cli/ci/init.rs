//! `squall ci init github|gitlab`: writes the pipeline into the folder at hand, and beside it the experiments that it names.

use crate::exit::{Failure, Outcome};
use crate::files;
use crate::out;
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Whose pipeline
    #[arg(value_parser = PossibleValuesParser::new(PLATFORMS.iter().map(|platform| platform.name)))]
    platform: String,
    /// Prints the pipeline and writes nothing
    #[arg(long)]
    stdout: bool,
    /// Writes over a pipeline that is there
    #[arg(long)]
    force: bool,
}

/// A kind of pipeline.
struct Platform {
    name: &'static str,
    /// Where it stands, from the top of the project.
    path: &'static str,
    text: &'static str,
    /// What is left to do, for people.
    then: &'static str,
}

const PLATFORMS: &[Platform] = &[
    Platform {
        name: "github",
        path: ".github/workflows/chaos.yml",
        text: include_str!("github.yml"),
        then: "set the variables at its top, put your deployment into `Deploy to Test Environment`, and set the \
               repository's variable SQUALL_URL to where the program can be had",
    },
    Platform {
        name: "gitlab",
        path: ".gitlab-ci.chaos.yml",
        text: include_str!("gitlab.yml"),
        then: "set the variables at its top, put your deployment into it, include it in .gitlab-ci.yml \
               (`include: .gitlab-ci.chaos.yml`), and add a schedule",
    },
];

/// The experiments that the pipelines name.
const EXPERIMENTS: &[(&str, &str)] = &[
    ("chaos/process-failure.yaml", include_str!("process-failure.yaml")),
    ("chaos/network-latency.yaml", include_str!("network-latency.yaml")),
];

impl Options {
    pub(crate) fn run(self) -> Outcome {
        let platform = PLATFORMS.iter().find(|platform| platform.name == self.platform);
        let platform =
            platform.ok_or_else(|| Failure::invalid(format!("there is no pipeline {:?}", self.platform)))?;
        if self.stdout {
            out::say(platform.text.trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        if Path::new(platform.path).exists() && !self.force {
            return Err(Failure::invalid(format!(
                "{} is there already, so nothing was written; --force writes over it, --stdout shows what would be written",
                platform.path
            )));
        }
        let paths = EXPERIMENTS.iter().map(|(path, _)| *path).chain([platform.path]);
        paths.map(Path::new).try_for_each(folder_can_be)?;
        write(platform.path, platform.text)?;
        for (path, text) in EXPERIMENTS {
            // An experiment that is there already is somebody's work.
            if Path::new(path).exists() {
                out::say(format!("kept {path}"));
            } else {
                write(path, text)?;
            }
        }
        out::say(format!("\nnow {}", platform.then));
        Ok(ExitCode::SUCCESS)
    }
}

/// Looks whether the folders of a file are there or can be made, before anything is written.
fn folder_can_be(path: &Path) -> Result<(), Failure> {
    let in_the_way = path.ancestors().skip(1).find(|above| above.exists() && !above.is_dir());
    in_the_way.map_or(Ok(()), |above| {
        Err(Failure::invalid(format!(
            "{} must be a folder, for {}, and is none; nothing was written",
            above.display(),
            path.display()
        )))
    })
}

fn write(path: &str, text: &str) -> Result<(), Failure> {
    let path = Path::new(path);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::unwritten(format!("could not make the folder {}: {error}", folder.display()))
        })?;
    }
    files::write(path, text)?;
    out::say(format!("wrote {}", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use squall_model::read::{self, Overrides, Source};

    #[test]
    fn the_experiments_are_valid_ones() {
        for (name, text) in EXPERIMENTS {
            let source = Source { name: (*name).to_owned(), text: (*text).to_owned() };
            let read = read::experiment(&source, &Registry, &Overrides::default());
            assert!(read.is_ok(), "{}", read::render(&source, &read.err().unwrap_or_default(), false));
        }
    }
}
