//! Reading experiment files: YAML, JSON and TOML become one tree with places, variables are put in, and the tree
//! becomes typed values. Every mistake points at its place in the file.
//!
//! Nothing here reads a file or the environment; the caller brings both.

mod chaos_mesh;
mod decode;
mod dialect;
mod documents;
mod experiment;
mod fields;
mod gameday;
mod go;
mod istio;
mod json;
mod make;
mod method;
mod names;
mod nearest;
mod path;
mod render;
mod scalar;
mod schema;
mod settings;
mod toml;
mod tree;
mod variables;
mod write;
mod yaml;

use crate::node::{Content, Node, Place};

pub use decode::decode;
pub use dialect::{Conversion, convert, dialects};
pub use documents::{count_documents, document, document_name, file_and_document, without_list};
pub use experiment::experiment;
pub use gameday::{blanked, gameday};
pub(crate) use nearest::advice as nearest_advice;
pub use path::render_by_path;
pub use render::render;
pub use schema::schema;
pub use settings::{is_settings, kind, settings};
pub use variables::{Overrides, nearest_variable, variable_names, variables};
pub use write::to_yaml;

/// The longest file that is read, in bytes.
pub const MAX_LENGTH: usize = 1 << 20;
/// What is said of a file without anything in it.
const EMPTY: &str = "this file is empty";
/// How deep values may nest.
pub const MAX_DEPTH: usize = 64;
/// How many values a file may hold, with every use of an alias or a variable counted anew.
pub const MAX_NODES: usize = 100_000;

/// A file: what it is called and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What to call it in messages: its path.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2 with the core schema.
    Yaml,
    /// JSON, strictly.
    Json,
    /// TOML 1.0.
    Toml,
}

impl Format {
    /// The format by the extension of the name; where that says nothing, by the first characters.
    pub fn of(source: &Source) -> Self {
        let (name, _) = file_and_document(&source.name);
        let extension = name.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map(|(_, end)| end);
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("yaml" | "yml") => Self::Yaml,
            Some("json") => Self::Json,
            Some("toml") => Self::Toml,
            _ => Self::by_content(&source.text),
        }
    }

    fn by_content(text: &str) -> Self {
        let line = text
            .lines()
            .map(|line| line.trim_start_matches('\u{feff}').trim())
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .unwrap_or("");
        let before_equals = line.split_once('=').map_or(line, |(name, _)| name).trim();
        let is_toml_key = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        };
        if line.starts_with('{') {
            Self::Json
        } else if line.starts_with('[') || (line.contains('=') && is_toml_key(before_equals)) {
            Self::Toml
        } else {
            Self::Yaml
        }
    }
}

/// One mistake in a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// Short words at the place itself: what was expected.
    pub label: String,
    /// What to do: the nearest known name, an example.
    pub help: Option<String>,
}

impl ReadError {
    /// A mistake without a remedy.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), label: String::new(), help: None }
    }

    /// The same with short words at the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)?;
        if !self.label.is_empty() {
            write!(formatter, " ({})", self.label)?;
        }
        match &self.help {
            Some(help) => write!(formatter, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ReadError {}

/// Reads a file as a tree, in whatever format it is written.
///
/// # Errors
/// The first place where the text is not of its format, or is too large, too deep, or empty.
pub fn parse(source: &Source) -> Result<Node, ReadError> {
    let text = &source.text;
    if text.len() > MAX_LENGTH {
        let message = format!("this file has {} bytes; at most {MAX_LENGTH} are read", text.len());
        return Err(ReadError::at(Place::default(), message));
    }
    // Null bytes are no text in any of the formats, and the sign of a file that is something else.
    if let Some(at) = text.find('\0') {
        return Err(ReadError::at(
            Place { start: at, end: at + 1 },
            "this file is not a text: it holds a null byte",
        ));
    }
    let node = match Format::of(source) {
        Format::Toml => toml::parse(text),
        Format::Yaml => yaml::parse(text),
        Format::Json => json::parse(text),
    }?;
    if node.content == Content::Null {
        return Err(ReadError::at(Place::default(), EMPTY)
            .help("`squall init` writes a first experiment; `squall faults` lists what can be done"));
    }
    Ok(node)
}

/// The line of a byte, counted from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// The place of some characters within a value, where they stand in the file as they are; else the whole value's.
fn within(text: &str, place: Place, characters: &str) -> Place {
    let slice = text.get(place.start..place.end).unwrap_or("");
    match slice.find(characters).filter(|_| !characters.is_empty()) {
        Some(at) => Place { start: place.start + at, end: place.start + at + characters.len() },
        None => place,
    }
}
