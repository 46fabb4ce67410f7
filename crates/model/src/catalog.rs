//! What can be named in an experiment file: the tables of faults, probes, metric sources and kinds of load.
//!
//! The binary joins the tables of the crates that own them; reading and the schema only look here.

use crate::fault::AnyFault;
use crate::node::Node;
use crate::probe::AnyProbe;
use crate::read::ReadError;
use schemars::Schema;

/// A kind of load as it stands in the table of all loads. What every load has (`rate`, `timeout`, `window`) is read
/// by the experiment; this is about what stands under the kind's own key.
pub trait AnyLoad: Sync + Send {
    /// Its name in experiment files: `http`.
    fn name(&self) -> &'static str;
    /// What it sends, in one sentence.
    fn summary(&self) -> &'static str;
    /// A `load` entry that works, in YAML.
    fn example(&self) -> &'static str;
    /// JSON Schema of the parameters.
    fn schema(&self) -> Schema;
    /// Checks the parameters as they stand in a file; errors point at the place.
    fn check(&self, parameters: &Node) -> Result<(), ReadError>;
}

/// All that an experiment file can name.
pub trait Catalog {
    /// Every fault.
    fn faults(&self) -> &[&dyn AnyFault];
    /// Every probe.
    fn probes(&self) -> &[&dyn AnyProbe];
    /// Every metric source.
    fn metric_sources(&self) -> &[&dyn AnyProbe];
    /// Every kind of load.
    fn loads(&self) -> &[&dyn AnyLoad];

    /// The fault of this name.
    fn fault(&self, name: &str) -> Option<&dyn AnyFault> {
        self.faults().iter().copied().find(|fault| fault.name() == name)
    }
    /// The probe of this name.
    fn probe(&self, name: &str) -> Option<&dyn AnyProbe> {
        self.probes().iter().copied().find(|probe| probe.name() == name)
    }
    /// The metric source of this name.
    fn metric_source(&self, name: &str) -> Option<&dyn AnyProbe> {
        self.metric_sources().iter().copied().find(|source| source.name() == name)
    }
    /// The kind of load of this name.
    fn load(&self, name: &str) -> Option<&dyn AnyLoad> {
        self.loads().iter().copied().find(|load| load.name() == name)
    }
}
