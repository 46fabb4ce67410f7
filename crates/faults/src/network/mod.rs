//! Faults of networks: packets are delayed, lost, held back or denied.

pub(crate) mod bandwidth;
mod filter;
pub(crate) mod latency;
pub(crate) mod loss;
pub(crate) mod partition;
mod place;
#[cfg(test)]
mod testing;

use squall_model::facts::Privilege;

/// What every fault of networks needs: to change them, and to enter those of others.
const PRIVILEGES: &[Privilege] = &[Privilege::NetAdmin, Privilege::SysAdmin];
