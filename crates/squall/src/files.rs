//! Experiment files from the disk, with the variables from the command line, files and the environment.

use crate::exit::Failure;
use crate::registry::Registry;
use clap::Args;
use squall_model::experiment::Experiment;
use squall_model::read::{self, Overrides, Source};
use std::path::{Path, PathBuf};

/// What an experiment file's name ends in.
const ENDINGS: &[&str] = &["yaml", "yml", "json", "toml"];

/// Where variables come from; what is named later wins: the file, the environment, variable files, `--var`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct VariableOptions {
    /// Sets a variable of the experiment
    #[arg(long = "var", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Reads variables from a YAML, JSON or TOML file, or lines of NAME=VALUE (.env)
    #[arg(long = "var-file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl VariableOptions {
    /// Variables for one purpose, as if given with `--var`.
    pub(crate) fn of(variables: Vec<String>) -> Self {
        Self { variables, files: Vec::new() }
    }

    /// All of them, in rising precedence.
    pub(crate) fn overrides(&self) -> Result<Overrides, Failure> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let mut variables = Vec::new();
        for file in &self.files {
            variables.extend(from_file(file)?);
        }
        for pair in &self.variables {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Failure::invalid(format!("--var {pair:?} is not NAME=VALUE, such as --var db_port=5432"))
            })?;
            variables.push((name.trim().to_owned(), value.to_owned()));
        }
        Ok(Overrides { variables, environment: std::env::vars_os().filter_map(text).collect() })
    }
}

/// The variables of a file.
fn from_file(file: &Path) -> Result<Vec<(String, String)>, Failure> {
    let source = source(file)?;
    let is_env = file.extension().is_some_and(|ending| ending == "env") || file.ends_with(".env");
    if is_env {
        let lines =
            source.text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        return lines
            .map(|line| {
                let (name, value) = line.trim_start_matches("export ").split_once('=').ok_or_else(|| {
                    Failure::invalid(format!("{}: {line:?} is not NAME=VALUE", file.display()))
                })?;
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect();
    }
    read::variables(&source).map_err(|error| Failure::invalid(read::render(&source, &[error], false)))
}

fn source(file: &Path) -> Result<Source, Failure> {
    let wrong = |why: String| Failure::invalid(format!("could not read {}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| wrong(format!("byte {} is not UTF-8 text", error.utf8_error().valid_up_to())))?;
    Ok(Source { name: file.display().to_string(), text })
}

/// The experiment files that paths name: a file is itself, a folder its files in the order of their names.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let wrong = |error: std::io::Error| {
            Failure::invalid(format!("could not look into {}: {error}", path.display()))
        };
        let is_experiment = |path: &PathBuf| {
            path.is_file()
                && path
                    .extension()
                    .and_then(|ending| ending.to_str())
                    .is_some_and(|ending| ENDINGS.contains(&ending))
        };
        let mut inside: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(wrong)?
            .flatten()
            .map(|entry| entry.path())
            .filter(is_experiment)
            .collect();
        if inside.is_empty() {
            let endings = ENDINGS.join(", ");
            return Err(Failure::invalid(format!(
                "{} holds no experiment: no file ends in {endings}",
                path.display()
            )));
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// Reads one experiment; the error is ready to be shown, pointing at the places in the file.
pub(crate) fn read(file: &Path, overrides: &Overrides, colour: bool) -> Result<Experiment, Failure> {
    let source = source(file)?;
    let checked = read::experiment(&source, &Registry, overrides).and_then(|experiment| {
        // What the load generator asks of a whole entry (rate, timeout and window) only it knows.
        let wrong: Vec<_> =
            experiment.loads.iter().filter_map(|load| squall_probes::load_plan(load).err()).collect();
        if wrong.is_empty() { Ok(experiment) } else { Err(wrong) }
    });
    checked.map_err(|errors| {
        let rendered = read::render(&source, &errors, colour);
        Failure::invalid(format!("{} is not valid\n{}", file.display(), rendered.trim_end()))
    })
}
