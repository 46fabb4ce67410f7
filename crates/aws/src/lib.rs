//! AWS, as far as Squall asks and tells it.
//!
//! Credentials (environment, profile, process, single sign-on, web identity, container and instance metadata), signatures,
//! retries and timeouts are AWS's own code; the few calls and the parts of their answers that matter here are ours, one
//! file a service. The generated crate of EC2 alone would take longer to build than all of Squall.
//!
//! ```text
//! Aws::open(&Place { region, endpoint, profile }, patience) -> Aws      reads settings; asks nobody yet
//! aws.instances(&filters) / aws.stop(&ids) …                            ec2.rs
//! aws.groups(&names) / aws.terminate_in_group(id)                       autoscaling.rs
//! aws.template(id) / aws.start_experiment(…) …                          fis.rs
//! aws.metric(&question)                                                 cloudwatch.rs
//! wait(future)                                                          for those that have no runtime
//! ```
//!
//! Secrets are in no error, no log and no `Debug`.

mod autoscaling;
mod client;
mod cloudwatch;
mod ec2;
mod endpoint;
mod error;
mod fis;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transport;
mod xml;

pub use autoscaling::{Group, Member};
pub use client::{Aws, Place, wait};
pub use cloudwatch::{MetricQuestion, Statistic};
pub use ec2::{Change, Filter, Instance, State};
pub use error::{AwsError, Problem};
pub use fis::{Experiment, Template};

#[cfg(test)]
mod tests;
