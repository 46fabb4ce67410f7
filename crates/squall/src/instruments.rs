//! Probes, metric sources and loads for the engine, out of the tables of `probes`.

use crate::load::LoadOf;
use crate::registry::Registry;
use squall_engine::driver::Instruments;
use squall_engine::load::LoadSource;
use squall_model::catalog::Catalog;
use squall_model::experiment::{Load, Metric, ProbeCall};
use squall_model::probe::{Keep, Observe};
use std::sync::Arc;

/// Makes what experiments name.
pub(crate) struct Toolbox;

/// The same for a run, which keeps what its probes make.
pub(crate) struct Kept(pub(crate) Arc<dyn Keep>);

impl Instruments for Kept {
    fn probe(&self, call: &ProbeCall) -> Result<Box<dyn Observe>, String> {
        let mut probe = Toolbox.probe(call)?;
        probe.kept_by(Arc::clone(&self.0));
        Ok(probe)
    }

    fn metric(&self, metric: &Metric) -> Result<Box<dyn Observe>, String> {
        Toolbox.metric(metric)
    }

    fn load(&self, load: &Load) -> Result<Box<dyn LoadSource>, String> {
        Toolbox.load(load)
    }
}

impl Instruments for Toolbox {
    fn probe(&self, call: &ProbeCall) -> Result<Box<dyn Observe>, String> {
        let kind = Registry.probe(&call.kind).ok_or_else(|| format!("there is no probe {:?}", call.kind))?;
        kind.build(&call.parameters).map_err(|error| error.message)
    }

    fn metric(&self, metric: &Metric) -> Result<Box<dyn Observe>, String> {
        let source = Registry.metric_source(&metric.source);
        let source = source.ok_or_else(|| format!("there is no metric source {:?}", metric.source))?;
        source.build(&metric.parameters).map_err(|error| error.message)
    }

    fn load(&self, load: &Load) -> Result<Box<dyn LoadSource>, String> {
        Ok(Box::new(LoadOf::new(load)?))
    }
}
