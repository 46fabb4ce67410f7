//! The tables of everything that an experiment can name, joined from the crates that own them.

use squall_model::catalog::{AnyLoad, Catalog};
use squall_model::fault::AnyFault;
use squall_model::probe::AnyProbe;

pub(crate) use squall_faults::ALL as FAULTS;
pub(crate) use squall_probes::{LOADS, METRIC_SOURCES, PROBES};

/// The catalog of this binary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registry;

impl Catalog for Registry {
    fn faults(&self) -> &[&dyn AnyFault] {
        FAULTS
    }
    fn probes(&self) -> &[&dyn AnyProbe] {
        PROBES
    }
    fn metric_sources(&self) -> &[&dyn AnyProbe] {
        METRIC_SOURCES
    }
    fn loads(&self) -> &[&dyn AnyLoad] {
        LOADS
    }
}
