//! What a probe and a metric source are. They measure and never judge.
//!
//! A probe answers a question once, with named values that a condition can speak of. A metric source gives one
//! number each time it is asked. Both are one file in `crates/probes` and one table entry.

use crate::cluster::ClusterPlace;
use crate::node::Node;
use crate::read::{self, ReadError};
use crate::units::Duration;
use crate::value::Reading;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

/// Why something could not be measured: what was tried and what came back. Never a judgement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProbeError(pub String);

/// A future that can be sent between threads.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A measuring instrument, ready to be asked as often as wanted. Being dropped while it is asked ends the question.
pub trait Observe: Send + Sync {
    /// Asks once. A question that fails as such (a refused connection) is an error, not a reading.
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>>;

    /// Is told who keeps what a question makes; most make nothing.
    fn kept_by(&mut self, _: Arc<dyn Keep>) {}

    /// How long one question may take before it counts as unanswered.
    fn patience(&self) -> Duration {
        Duration::seconds(5)
    }
}

/// What is made for a question shall be this, so that it does not outlive whoever asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Labels by which it is found.
    pub labels: BTreeMap<String, String>,
    /// What it belongs to, and goes with: an owner reference.
    pub owner: Json,
}

/// Sees to it that what a question makes in a cluster goes with the run that asks, however that ends.
pub trait Keep: Send + Sync {
    /// Is asked before anything is made in a namespace; or why nothing can be.
    fn keep(&self, place: &ClusterPlace, namespace: &str) -> Pending<'_, Result<Kept, String>>;
}

/// What may be compared with a value of an answer, where not everything makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// A number without a unit, such as a status code.
    Number,
    /// `true` or `false`.
    YesOrNo,
}

/// A kind of probe or metric source.
pub trait Probe: Observe + Sized + 'static {
    /// Its name in experiment files: `http`, `prometheus`.
    const NAME: &'static str;
    /// What it asks, in one sentence.
    const SUMMARY: &'static str;
    /// A `steady_state` or `metrics` entry that works, in YAML.
    const EXAMPLE: &'static str;
    /// The names of the values it reads, each with what it means and its unit; for the catalog and for checking
    /// conditions. A name that ends in `.*` stands for any name that begins so.
    const VALUES: &'static [(&'static str, &'static str)];
    /// Of which kind some of these values are; of the others nothing is known.
    const KINDS: &'static [(&'static str, ValueKind)] = &[];
    /// What the condition is where the experiment gives none: such as `status < 400`.
    const DEFAULT_EXPECTATION: Option<&'static str>;
    /// Its parameters. Must refuse unknown fields.
    type Parameters: DeserializeOwned + JsonSchema;

    /// Makes the instrument; touches nothing yet.
    fn new(parameters: Self::Parameters) -> Result<Self, ProbeError>;
}

/// A [`Probe`] without its types, as it stands in a table.
pub trait AnyProbe: Sync + Send {
    /// See [`Probe::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Probe::SUMMARY`].
    fn summary(&self) -> &'static str;
    /// See [`Probe::EXAMPLE`].
    fn example(&self) -> &'static str;
    /// See [`Probe::VALUES`].
    fn values(&self) -> &'static [(&'static str, &'static str)];
    /// See [`Probe::KINDS`].
    fn kinds(&self) -> &'static [(&'static str, ValueKind)];
    /// See [`Probe::DEFAULT_EXPECTATION`].
    fn default_expectation(&self) -> Option<&'static str>;
    /// JSON Schema of the parameters.
    fn schema(&self) -> Schema;
    /// Makes the instrument from parameters as they stand in a file; errors point at the place.
    fn build(&self, parameters: &Node) -> Result<Box<dyn Observe>, ReadError>;
}

/// Joins a probe type to the table.
pub struct Of<P>(PhantomData<fn() -> P>);

/// The table entry of a probe type.
pub const fn of<P: Probe>() -> Of<P> {
    Of(PhantomData)
}

impl<P: Probe> AnyProbe for Of<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }
    fn summary(&self) -> &'static str {
        P::SUMMARY
    }
    fn example(&self) -> &'static str {
        P::EXAMPLE
    }
    fn values(&self) -> &'static [(&'static str, &'static str)] {
        P::VALUES
    }
    fn kinds(&self) -> &'static [(&'static str, ValueKind)] {
        P::KINDS
    }
    fn default_expectation(&self) -> Option<&'static str> {
        P::DEFAULT_EXPECTATION
    }
    fn schema(&self) -> Schema {
        schemars::schema_for!(P::Parameters)
    }
    fn build(&self, parameters: &Node) -> Result<Box<dyn Observe>, ReadError> {
        let decoded = read::decode(parameters)?;
        match P::new(decoded) {
            Ok(probe) => Ok(Box::new(probe)),
            Err(error) => Err(ReadError::at(parameters.place, error.to_string())),
        }
    }
}
