//! Objects of Kubernetes clusters, in builds that have them.

#[cfg(feature = "kubernetes")]
mod hands;
#[cfg(not(feature = "kubernetes"))]
mod lacking;

#[cfg(feature = "kubernetes")]
pub(crate) use hands::Clusters;
#[cfg(feature = "kubernetes")]
pub use hands::marks;
#[cfg(not(feature = "kubernetes"))]
pub(crate) use lacking::Clusters;
