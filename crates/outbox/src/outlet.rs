//! What an exporter and a notifier are, and how their tables are made. Both are one file and one line in a table: their
//! parameters are read from the settings, and what they do is a pure function from what happened to letters.

use crate::letter::Letter;
use crate::message::Message;
use crate::metrics::Metrics;
use crate::run::Run;
use crate::surroundings::Surroundings;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use squall_model::event::Entry;
use squall_model::node::Node;
use squall_model::read::{self, ReadError};
use squall_model::settings::{Kind, Occasion};
use std::net::SocketAddr;

/// What is known when something is told.
#[derive(Clone, Copy)]
pub struct Happened<'h> {
    /// What happened just now.
    pub entry: &'h Entry,
    /// The run, which knows of it.
    pub run: &'h Run,
    /// All metrics, which know of it.
    pub metrics: &'h Metrics,
    /// Whether the metrics are others than before.
    pub changed: bool,
}

/// Hands metrics, traces or marks to another system.
pub trait Exporter: Send + Sync {
    /// Where they go, for messages; without secrets.
    fn destination(&self) -> String;
    /// What is sent because of what happened.
    fn letters(&self, happened: Happened<'_>) -> Vec<Letter>;
    /// Where metrics are asked for, for one that is asked and sends nothing.
    fn listens_on(&self) -> Option<SocketAddr> {
        None
    }
}

/// Tells people.
pub trait Notifier: Send + Sync {
    /// Who is told, for messages; without secrets.
    fn destination(&self) -> String;
    /// What is sent to tell them. Some tell some messages in no way at all.
    fn letters(&self, message: &Message) -> Vec<Letter>;
}

/// How an exporter or a notifier is read from settings.
pub(crate) trait Outlet: Sized + 'static {
    /// Its name in settings.
    const NAME: &'static str;
    /// What it does, in a sentence.
    const SUMMARY: &'static str;
    /// Parameters that work.
    const EXAMPLE: &'static str;
    /// Of what it tells nothing, for one that tells people.
    const SILENT_ON: &'static [Occasion] = &[];
    /// Its parameters. Must refuse unknown fields.
    type Parameters: DeserializeOwned + JsonSchema;

    /// Makes it; touches nothing yet.
    ///
    /// # Errors
    /// What is wrong with the parameters, in words without secrets.
    fn new(parameters: Self::Parameters, surroundings: &Surroundings) -> Result<Self, String>;
}

type Build<T> = fn(&Node, &Surroundings) -> Result<Box<T>, ReadError>;

/// A line in a table.
pub struct Line<T: ?Sized> {
    /// See [`Outlet::NAME`].
    pub name: &'static str,
    /// See [`Outlet::SUMMARY`].
    pub summary: &'static str,
    /// See [`Outlet::EXAMPLE`].
    pub example: &'static str,
    /// JSON Schema of the parameters.
    pub schema: fn() -> Schema,
    silent_on: &'static [Occasion],
    check: fn(&Node) -> Result<(), ReadError>,
    build: Build<T>,
}

impl<T: ?Sized> Line<T> {
    const fn of<O: Outlet>(build: Build<T>) -> Self {
        let check = |node: &Node| read::decode::<O::Parameters>(node).map(drop);
        let schema = || schemars::schema_for!(O::Parameters);
        Self {
            name: O::NAME,
            summary: O::SUMMARY,
            example: O::EXAMPLE,
            schema,
            silent_on: O::SILENT_ON,
            check,
            build,
        }
    }

    /// As the reader of settings knows it.
    pub fn kind(&self) -> Kind {
        Kind { name: self.name, check: self.check, silent_on: self.silent_on }
    }

    /// Makes one from parameters as they stand in a file.
    ///
    /// # Errors
    /// What is wrong, at its place.
    pub fn build(&self, parameters: &Node, surroundings: &Surroundings) -> Result<Box<T>, ReadError> {
        (self.build)(parameters, surroundings)
    }
}

/// The line of an exporter.
pub(crate) const fn exporter<E: Outlet + Exporter>() -> Line<dyn Exporter> {
    Line::of::<E>(|node, surroundings| Ok(Box::new(build::<E>(node, surroundings)?)))
}

/// The line of a notifier.
pub(crate) const fn notifier<N: Outlet + Notifier>() -> Line<dyn Notifier> {
    Line::of::<N>(|node, surroundings| Ok(Box::new(build::<N>(node, surroundings)?)))
}

fn build<O: Outlet>(node: &Node, surroundings: &Surroundings) -> Result<O, ReadError> {
    let parameters = read::decode(node)?;
    O::new(parameters, surroundings).map_err(|why| ReadError::at(node.place, format!("`{}`: {why}", O::NAME)))
}
