//! Faults of networks: packets are delayed, lost, sent twice, damaged, put out of order, held back or denied.

pub(crate) mod bandwidth;
pub(crate) mod corrupt;
pub(crate) mod duplicate;
mod filter;
pub(crate) mod latency;
pub(crate) mod loss;
pub(crate) mod netem;
pub(crate) mod partition;
mod place;
pub(crate) mod reorder;
mod shaping;
#[cfg(test)]
mod testing;

use squall_model::facts::Privilege;

/// What every fault of networks needs: to change them, and to enter those of others.
const PRIVILEGES: &[Privilege] = &[Privilege::NetAdmin, Privilege::SysAdmin];
