//! How the brain reaches its agents: a child process here, and one in a pod on each node of a cluster where a fault strikes.

mod child;
mod fleet;
#[cfg(feature = "kubernetes")]
mod pods;
mod stream;

#[cfg(feature = "kubernetes")]
pub(crate) use pods::keeper::{ROLE as KEEPER, main as keep_pods};
#[cfg(feature = "kubernetes")]
pub(crate) use pods::place;

use crate::carry::AgentOptions;
use crate::state::State;
use fleet::Fleet;
use squall_engine::link::Links;
use squall_model::cluster::ClusterRef;
use squall_model::probe::Keep;
use std::fmt;
use std::sync::Arc;

/// A node of a cluster, where an agent may be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Post {
    /// The cluster.
    pub(crate) cluster: ClusterRef,
    /// The node's name.
    pub(crate) node: String,
}

impl fmt::Display for Post {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "node {}", self.node)
    }
}

/// All agents of a run.
pub(crate) struct Agents {
    links: Arc<dyn Links>,
    #[cfg(feature = "kubernetes")]
    pods: Arc<pods::Pods>,
}

impl Agents {
    /// An agent here, which is started as the options say, and others on nodes where they are needed.
    pub(crate) fn new(state: &State, run: &str, options: &AgentOptions) -> std::io::Result<Self> {
        let here = child::ChildAgents::new(state, options.sudo)?;
        #[cfg(feature = "kubernetes")]
        {
            let pods = Arc::new(pods::Pods::new(run, options));
            Ok(Self { links: Arc::new(Fleet::new(here, Arc::clone(&pods) as _)), pods })
        }
        #[cfg(not(feature = "kubernetes"))]
        {
            let _ = run;
            Ok(Self { links: Arc::new(Fleet::new(here, Arc::new(fleet::Nowhere))) })
        }
    }

    /// The way to them, for the brain.
    pub(crate) fn links(&self) -> Arc<dyn Links> {
        Arc::clone(&self.links)
    }

    /// Who keeps what probes make in clusters.
    pub(crate) fn keep(&self) -> Arc<dyn Keep> {
        #[cfg(feature = "kubernetes")]
        return Arc::clone(&self.pods) as _;
        #[cfg(not(feature = "kubernetes"))]
        Arc::new(fleet::Nowhere)
    }

    /// The run is over: what was made in clusters goes. What could not be removed, in words.
    pub(crate) fn leave(&self) -> Option<String> {
        #[cfg(feature = "kubernetes")]
        return self.pods.leave();
        #[cfg(not(feature = "kubernetes"))]
        None
    }
}
