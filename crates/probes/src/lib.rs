//! Probes, metric sources and the load generator: they measure and never judge.
//!
//! One file each, and one line in a table below. Nothing is touched before a question is asked or a load is started.

pub mod alerts;
pub mod cloudwatch;
pub mod exec;
pub mod http;
mod http_load;
mod json;
pub mod load;
pub mod process;
pub mod prometheus;
mod question;
pub mod tcp;
mod timeout;

use load::{LoadKind, LoadPlan};
use squall_model::catalog::AnyLoad;
use squall_model::experiment;
use squall_model::probe::{AnyProbe, of};
use squall_model::read::ReadError;

pub use question::{Auth, Basic};
pub use timeout::Timeout;

/// All probes.
pub static PROBES: &[&dyn AnyProbe] = &[
    &of::<http::Http>(),
    &of::<tcp::Tcp>(),
    &of::<process::Process>(),
    &of::<exec::Exec>(),
    &of::<alerts::Alerts>(),
    &of::<prometheus::Prometheus>(),
];

/// All metric sources. What is asked reads exactly one value, named `value`.
pub static METRIC_SOURCES: &[&dyn AnyProbe] = &[
    &of::<prometheus::PrometheusMetric>(),
    &of::<cloudwatch::CloudWatch>(),
    &of::<http::HttpMetric>(),
    &of::<exec::ExecMetric>(),
];

const KINDS_OF_LOAD: [&dyn LoadKind; 1] = [&http_load::HttpLoad];

/// All kinds of load.
pub static LOADS: &[&dyn AnyLoad] = &{
    let mut loads: [&dyn AnyLoad; KINDS_OF_LOAD.len()] = [KINDS_OF_LOAD[0]; KINDS_OF_LOAD.len()];
    let mut index = 0;
    while index < loads.len() {
        loads[index] = KINDS_OF_LOAD[index];
        index += 1;
    }
    loads
};

/// The plan of an experiment's `load` entry, to be started with [`load::Load::start`]. Nothing is touched yet.
///
/// # Errors
/// Points at what is wrong with the entry.
pub fn load_plan(load: &experiment::Load) -> Result<LoadPlan, ReadError> {
    load::plan(&KINDS_OF_LOAD, load)
}

#[cfg(test)]
mod test_probe;
#[cfg(test)]
mod tests;
