//! Probes, metric sources and the load generator: they measure and never judge.
//!
//! One file each, and one line in a table below. Nothing is touched before a question is asked or a load is started.

pub mod alerts;
pub mod cloudwatch;
pub mod container;
pub mod dns;
pub mod exec;
pub mod grpc_health;
pub mod http;
mod http_load;
pub mod json;
pub mod k8s;
pub mod load;
pub mod log;
mod metric;
pub mod pod;
pub mod process;
pub mod prometheus;
mod question;
pub mod redis;
mod server;
pub mod service;
pub mod sql;
pub mod tcp;
mod timeout;
pub mod tls;

use load::{LoadKind, LoadPlan};
use metric::metric_of;
use squall_model::catalog::AnyLoad;
use squall_model::experiment;
use squall_model::probe::{AnyProbe, of};
use squall_model::read::ReadError;

pub use question::{Auth, Basic};
pub use timeout::Timeout;

/// All probes.
pub static PROBES: &[&dyn AnyProbe] = &[
    &of::<http::Http>(),
    &of::<json::JsonPath>(),
    &of::<tcp::Tcp>(),
    &of::<tls::Tls>(),
    &of::<dns::Dns>(),
    &of::<grpc_health::GrpcHealth>(),
    &of::<process::Process>(),
    &of::<service::Service>(),
    &of::<container::Container>(),
    &of::<k8s::K8s>(),
    &of::<pod::Pod>(),
    &of::<log::Log>(),
    &of::<sql::Sql>(),
    &of::<redis::Redis>(),
    &of::<exec::Exec>(),
    &of::<prometheus::Prometheus>(),
    &of::<alerts::Alerts>(),
];

/// All metric sources. What is asked reads exactly one value, named `value`.
pub static METRIC_SOURCES: &[&dyn AnyProbe] = &[
    &metric_of::<prometheus::Prometheus>(
        "queue_depth: {prometheus: {url: \"http://127.0.0.1:9090\", query: \"sum(queue_depth)\", stale_after: 30s}}\n",
    ),
    &of::<cloudwatch::CloudWatch>(),
    &of::<http::HttpMetric>(),
    &metric_of::<json::JsonPath>(
        "queue_depth: {json: {url: \"http://127.0.0.1:8080/stats\", path: \"$.queues[0].depth\"}}\n",
    ),
    &of::<exec::ExecMetric>(),
    &metric_of::<log::Log>("errors: {log: {path: /var/log/shop.log, pattern: ERROR, value: per_second}}\n"),
    &metric_of::<sql::Sql>(
        "backlog: {sql: {url: \"postgres://app@127.0.0.1:5432/shop\", query: \"SELECT count(*) FROM outbox\"}}\n",
    ),
    &metric_of::<redis::Redis>("jobs: {redis: {url: \"redis://127.0.0.1:6379\", info: connected_clients}}\n"),
    &metric_of::<tcp::Tcp>("connect: {tcp: {address: \"127.0.0.1:5432\", value: latency}}\n"),
    &metric_of::<tls::Tls>("certificate: {tls: {address: \"127.0.0.1:443\", value: days_left}}\n"),
    &metric_of::<dns::Dns>("lookup: {dns: {name: shop.example.com, value: latency}}\n"),
    &metric_of::<grpc_health::GrpcHealth>(
        "orders: {grpc_health: {url: \"http://127.0.0.1:50051\", value: latency}}\n",
    ),
    &metric_of::<process::Process>("workers: {process: {name: postgres, value: count}}\n"),
    &metric_of::<service::Service>("restarts: {service: {name: payment, value: restarts}}\n"),
    &metric_of::<container::Container>("restarts: {container: {name: shop, value: restarts}}\n"),
    &metric_of::<k8s::K8s>(
        "payment_cpu: {k8s: {kind: Pod, namespace: shop, labels: {app: payment}, usage: true, value: cpu}}\n",
    ),
    &metric_of::<alerts::Alerts>(
        "firing: {alerts: {prometheus: \"http://127.0.0.1:9090\", value: firing}}\n",
    ),
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
