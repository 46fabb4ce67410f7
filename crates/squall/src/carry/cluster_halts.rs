//! `Halt` objects of the clusters that a run strikes: while there is one, nothing runs there, whoever began it. A cluster that
//! has no such kind, or does not let its halts be seen, halts nothing.

use super::Order;
use crate::agent::transport::place;
use crate::halt::{self, HALT};
use squall_engine::driver::AbortSwitch;
use squall_kubernetes::{Cluster, ClusterError, wait};
use squall_model::cluster::ClusterPlace;
use squall_model::event::AbortCause;
use squall_model::experiment::Action;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often is looked.
const LOOKS: Duration = Duration::from_secs(2);
/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The clusters that are struck, as far as they were reached.
pub(super) struct ClusterHalts {
    opened: BTreeMap<ClusterPlace, Option<Cluster>>,
}

impl ClusterHalts {
    /// Those that nobody else looks at: an operator watches its own.
    pub(super) fn of(order: &Order) -> Self {
        if order.halts.is_some() {
            return Self { opened: BTreeMap::new() };
        }
        let strikes = order.experiment.method.iter().flat_map(Action::strikes);
        let places = strikes.filter_map(|strike| strike.selection.target.cluster());
        Self { opened: places.map(|place| (place, None)).collect() }
    }

    /// Why nothing may begin there, if so.
    pub(super) fn standing(&mut self) -> Option<String> {
        if self.opened.is_empty() {
            return None;
        }
        // That a cluster cannot be reached, whoever plans says better.
        wait(async { Ok::<_, ClusterError>(self.look().await) }).ok().flatten()
    }

    /// Ends a run as soon as one of these clusters is halted. They were looked at before it began.
    pub(super) async fn watch(mut self, switch: AbortSwitch) {
        while !self.opened.is_empty() {
            tokio::time::sleep(LOOKS).await;
            if let Some(reason) = self.look().await {
                return switch.abort(AbortCause::Halt, reason);
            }
        }
    }

    /// Why nothing may run, if so.
    async fn look(&mut self) -> Option<String> {
        for (at, opened) in &mut self.opened {
            match halted(at, opened).await {
                Ok(None) => {}
                Ok(reason) => return reason,
                Err(error) => tracing::debug!(%error, "halts of a cluster"),
            }
        }
        None
    }
}

async fn halted(at: &ClusterPlace, opened: &mut Option<Cluster>) -> Result<Option<String>, ClusterError> {
    let cluster = match opened {
        Some(cluster) => cluster,
        None => opened.insert(Cluster::open(&place(at), PATIENCE).await?),
    };
    Ok(halt::reason(&cluster.list(&HALT, None, "").await?))
}
