//! Settings: what is set once for all experiments of a place, from the file that is named, or the one that lies there.

use crate::exit::Failure;
use crate::files;
use crate::out;
use crate::registry::Registry;
use crate::state::State;
use clap::Args;
use squall_model::read::{self, ReadError, Source};
use squall_model::settings::Settings;
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// What settings are called beside an experiment.
pub(crate) const BESIDE: &str = "squall.yaml";
/// What they are called in the state folder.
const IN_STATE: &str = "settings.yaml";

/// Where settings are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SettingsOptions {
    /// Settings: what is allowed where, where metrics go, who is told; else squall.yaml beside the experiment, else
    /// settings.yaml in the state folder
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
}

impl SettingsOptions {
    /// Settings in a file that is known.
    pub(crate) fn of(settings: Option<PathBuf>) -> Self {
        Self { settings }
    }

    /// The options that name them again.
    pub(crate) fn again(&self) -> Vec<String> {
        let name = |file: &PathBuf| ["--settings".to_owned(), file.display().to_string()];
        self.settings.iter().flat_map(name).collect()
    }
}

/// Settings that were found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) source: Source,
    pub(crate) settings: Settings,
    /// Paths in them begin here.
    pub(crate) folder: PathBuf,
}

impl SettingsOptions {
    /// The settings for files that are carried out together.
    ///
    /// # Errors
    /// They are wrong, or several would apply.
    pub(crate) fn find(&self, files: &[PathBuf], state: &State) -> Result<Option<Found>, Failure> {
        if let Some(file) = &self.settings {
            return read(file).map(Some);
        }
        let folder = |file: &PathBuf| match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let folders: BTreeSet<PathBuf> = files.iter().map(folder).collect();
        let beside: Vec<PathBuf> =
            folders.iter().map(|folder| folder.join(BESIDE)).filter(|file| are_settings(file)).collect();
        match beside.as_slice() {
            [] => {
                let file = state.folder().join(IN_STATE);
                if file.exists() { read(&file).map(Some) } else { Ok(None) }
            }
            [one] if folders.len() == 1 => read(one).map(Some),
            [first, ..] => Err(Failure::invalid(format!(
                "these experiments lie in {} folders, and not all have the settings {}; name one file with --settings, \
                 nothing was touched",
                folders.len(),
                first.display()
            ))),
        }
    }
}

impl Found {
    /// Mistakes in the settings, ready to be shown, pointing at their places.
    pub(crate) fn wrong(&self, errors: &[ReadError]) -> Failure {
        wrong(&self.source, errors)
    }
}

fn wrong(source: &Source, errors: &[ReadError]) -> Failure {
    let rendered = read::render(source, errors, out::colour(false) && std::io::stderr().is_terminal());
    Failure::invalid(format!("{} is not valid\n{}", source.name, rendered.trim_end()))
}

/// Whether a file holds settings and is no experiment that happens to be called so. One that cannot be read as a file of
/// any kind is taken for settings, so that what is wrong with it is told.
pub(crate) fn are_settings(file: &Path) -> bool {
    file.is_file() && files::source(file).map_or(true, |source| read::is_settings(&source).unwrap_or(true))
}

/// Reads settings.
///
/// # Errors
/// They are wrong.
pub(crate) fn read(file: &Path) -> Result<Found, Failure> {
    let source = files::source(file)?;
    let settings = read::settings(&source, &Registry, &squall_outbox::kinds())
        .map_err(|errors| wrong(&source, &errors))?;
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Found { source, settings, folder })
}
