//! Pods that probes make for their questions: they belong to the run as those of its agents do, and go with them.

use super::owner::Owner;
use super::{PATIENCE, Pods, manifest, place};
use crate::agent_pod::ASKED;
use squall_kubernetes::Cluster;
use squall_model::cluster::ClusterPlace;
use squall_model::probe::{Keep, Kept, Pending};
use std::sync::atomic::Ordering;

impl Keep for Pods {
    fn keep(&self, at: &ClusterPlace, namespace: &str) -> Pending<'_, Result<Kept, String>> {
        let key = (at.clone(), namespace.to_owned());
        Box::pin(async move {
            let site = &*self.0;
            let mut owners = site.asked.lock().await;
            if !owners.contains_key(&key) {
                let owner = self.own(&key.0, &key.1).await?;
                owners.insert(key.clone(), owner);
            }
            let owner = owners.get(&key).ok_or("what it belongs to is gone")?.reference();
            let name = format!("squall-{}-ask-{}", site.run, site.made.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(Kept { name, labels: manifest::labels(&site.run, ASKED), owner })
        })
    }
}

impl Pods {
    /// Makes what the pods of a namespace hang on.
    async fn own(&self, at: &ClusterPlace, namespace: &str) -> Result<Owner, String> {
        let cluster = Cluster::open(&place(at), PATIENCE).await.map_err(|error| error.to_string())?;
        self.0.make_owner(&cluster, at, namespace).await.map_err(|error| error.message)
    }
}
