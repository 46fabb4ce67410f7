//! What a fault is: a pure function from parameters and facts to steps, with its own manual.
//!
//! A fault is one file in `crates/faults` with a type that implements [`Fault`], and one entry in that crate's table.
//! Its parameters' doc comments are the manual; the schema, the catalog and the error messages derive from them.

use crate::facts::{Facts, Feature, Privilege, Scope};
use crate::node::Node;
use crate::read::{self, ReadError};
use crate::step::Step;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::marker::PhantomData;

/// Why a fault cannot be planned on this target. The message says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
pub enum PlanError {
    /// A privilege is missing.
    #[error("{0}")]
    Forbidden(String),
    /// The kernel lacks something.
    #[error("{0}")]
    Unsupported(String),
    /// It would harm what must not be harmed, or could not be undone exactly.
    #[error("{0}")]
    Refused(String),
    /// The parameters do not fit together or do not fit the target.
    #[error("{0}")]
    Parameters(String),
}

/// Faults that end something for good: what they ended is not put back, only nothing of Squall's is left of them.
const FOR_GOOD: [&str; 8] = [
    "process.kill",
    "postgres.kill_backends",
    "mysql.kill_connections",
    "redis.kill_clients",
    "aws.asg_terminate",
    "aws.ec2_terminate",
    "k8s.pod_kill",
    "k8s.evict",
];

/// Whether a fault, by its name, ends something that no undo brings back.
pub fn is_for_good(fault: &str) -> bool {
    FOR_GOOD.contains(&fault)
}

/// A kind of harm.
pub trait Fault: 'static {
    /// Its name in experiment files: `network.latency`.
    const NAME: &'static str;
    /// What it does, in one sentence.
    const SUMMARY: &'static str;
    /// A `method` entry that works, in YAML.
    const EXAMPLE: &'static str;
    /// What it acts on.
    const SCOPE: Scope;
    /// Privileges that it always needs.
    const PRIVILEGES: &'static [Privilege];
    /// What the kernel must have; what only some parameters need is checked in `plan`.
    const FEATURES: &'static [Feature];
    /// Of these features one will do; nothing where there is no such choice.
    const ONE_OF: &'static [Feature] = &[];
    /// Its parameters: `with:` in an experiment. Must refuse unknown fields.
    type Parameters: DeserializeOwned + JsonSchema;

    /// Host names among the parameters, to be looked up before planning.
    fn host_names(_parameters: &Self::Parameters) -> Vec<String> {
        Vec::new()
    }

    /// Checks what can be known without a host, such as two parameters that exclude each other.
    fn check(_parameters: &Self::Parameters) -> Result<(), PlanError> {
        Ok(())
    }

    /// The steps that make the fault on the subject of `facts`, in order; undone in reverse order.
    fn plan(parameters: &Self::Parameters, facts: &Facts) -> Result<Vec<Step>, PlanError>;

    /// What of other people's data could be lost for good, in words: such a fault is only made where that was allowed.
    fn loses(_parameters: &Self::Parameters, _facts: &Facts) -> Option<String> {
        None
    }

    /// What whoever reads the plan should know beside its steps, each a sentence.
    fn notes(_parameters: &Self::Parameters, _facts: &Facts) -> Vec<String> {
        Vec::new()
    }
}

/// A [`Fault`] without its parameter type, as it stands in the table of all faults.
pub trait AnyFault: Sync + Send {
    /// See [`Fault::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Fault::SUMMARY`].
    fn summary(&self) -> &'static str;
    /// See [`Fault::EXAMPLE`].
    fn example(&self) -> &'static str;
    /// See [`Fault::SCOPE`].
    fn scope(&self) -> Scope;
    /// See [`Fault::PRIVILEGES`].
    fn privileges(&self) -> &'static [Privilege];
    /// See [`Fault::FEATURES`].
    fn features(&self) -> &'static [Feature];
    /// See [`Fault::ONE_OF`].
    fn one_of(&self) -> &'static [Feature];
    /// JSON Schema of the parameters.
    fn schema(&self) -> Schema;
    /// Checks the parameters as they stand in a file; errors point at the place.
    fn check(&self, with: &Node) -> Result<(), ReadError>;
    /// Host names among the parameters.
    fn host_names(&self, with: &Json) -> Result<Vec<String>, PlanError>;
    /// See [`Fault::plan`].
    fn plan(&self, with: &Json, facts: &Facts) -> Result<Vec<Step>, PlanError>;
    /// See [`Fault::loses`]; none for parameters that cannot be planned.
    fn loses(&self, with: &Json, facts: &Facts) -> Option<String>;
    /// See [`Fault::notes`]; none for parameters that cannot be planned.
    fn notes(&self, with: &Json, facts: &Facts) -> Vec<String>;
}

/// Joins a fault type to the table.
pub struct Of<F>(PhantomData<fn() -> F>);

/// The table entry of a fault type.
pub const fn of<F: Fault>() -> Of<F> {
    Of(PhantomData)
}

impl<F: Fault> Of<F> {
    fn parameters(with: &Json) -> Result<F::Parameters, PlanError> {
        // Nothing given is the same as an empty map.
        let with = if with.is_null() { Json::Object(serde_json::Map::new()) } else { with.clone() };
        serde_json::from_value(with).map_err(|error| PlanError::Parameters(format!("{}: {error}", F::NAME)))
    }
}

impl<F: Fault> AnyFault for Of<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }
    fn summary(&self) -> &'static str {
        F::SUMMARY
    }
    fn example(&self) -> &'static str {
        F::EXAMPLE
    }
    fn scope(&self) -> Scope {
        F::SCOPE
    }
    fn privileges(&self) -> &'static [Privilege] {
        F::PRIVILEGES
    }
    fn features(&self) -> &'static [Feature] {
        F::FEATURES
    }
    fn one_of(&self) -> &'static [Feature] {
        F::ONE_OF
    }
    fn schema(&self) -> Schema {
        schemars::schema_for!(F::Parameters)
    }
    fn check(&self, with: &Node) -> Result<(), ReadError> {
        let parameters: F::Parameters = read::decode(with)?;
        F::check(&parameters).map_err(|error| ReadError::at(with.place, error.to_string()))
    }
    fn host_names(&self, with: &Json) -> Result<Vec<String>, PlanError> {
        Ok(F::host_names(&Self::parameters(with)?))
    }
    fn plan(&self, with: &Json, facts: &Facts) -> Result<Vec<Step>, PlanError> {
        let parameters = Self::parameters(with)?;
        F::check(&parameters)?;
        F::plan(&parameters, facts)
    }
    fn loses(&self, with: &Json, facts: &Facts) -> Option<String> {
        F::loses(&Self::parameters(with).ok()?, facts)
    }
    fn notes(&self, with: &Json, facts: &Facts) -> Vec<String> {
        Self::parameters(with).map(|parameters| F::notes(&parameters, facts)).unwrap_or_default()
    }
}
