//! Kubernetes, as far as Squall asks and tells it.
//!
//! Settings, credentials (tokens, certificates, plugins, service accounts) and TLS are those of the crate `kube`; requests are
//! ours, and answers are read as far as they matter: a pod has a few dozen fields here and a few hundred in the API, and there
//! may be ten thousand of them.
//!
//! ```text
//! Cluster::open(&Place { kubeconfig, context }, patience) -> Cluster    reads settings; asks nobody yet
//! cluster.pods(&filter) / cluster.pod(namespace, name) / cluster.log(…) pod.rs
//! Progress::of(status)                                                 progress.rs
//! cluster.nodes(labels)                                                 node.rs
//! cluster.get / list / metadata / create / apply / patch / delete / evict   object.rs
//! cluster.may(&wish) / cluster.may_user(&user, &wish)                   access.rs
//! cluster.watch(kind, namespace) -> Watch                                watch.rs
//! cluster.leases(…) / expired_leases(namespace, labels) / remove_lease(…) lease.rs
//! cluster.exec(…) -> Exec / cluster.run(…) -> Ran                       exec.rs
//! cluster.discover(group, version, kind) -> Kind                        kind.rs
//! wait(future)                                                          for those that have no runtime
//! ```
//!
//! Every call ends within the patience. Secrets are in no error, no log and no `Debug`.

mod access;
mod cluster;
mod error;
mod exec;
mod kind;
mod lease;
mod list;
mod node;
mod object;
mod place;
mod pod;
mod progress;
mod protobuf;
mod runtime;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transport;
mod watch;
mod wire;

pub use access::{User, Wish};
pub use cluster::{Cluster, Version};
pub use error::{ClusterError, Problem};
pub use exec::{Exec, Exit, Input, Output, Ran};
pub use kind::{Kind, Reference};
pub use lease::micro_time;
pub use node::{Address, Node, Taint};
pub use object::{Application, Deletion, Dependents, Named, Operation, pointer};
pub use place::Place;
pub use pod::{Container, Owner, Phase, Pod, PodFilter};
pub use progress::Progress;
pub use runtime::wait;
pub use watch::{Change, Watch};

#[cfg(test)]
mod tests;
