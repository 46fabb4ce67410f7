//! Lists, page by page.

use crate::cluster::{Ask, Cluster};
use crate::error::{ClusterError, Problem};
use crate::kind::Kind;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use squall_http::encoded;

/// Objects in one answer: many enough to be quick, few enough for the server to stay so.
const PAGE: u32 = 500;

/// Which objects of a kind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Which<'a> {
    /// None means all.
    pub(crate) namespace: Option<&'a str>,
    pub(crate) labels: &'a str,
    pub(crate) fields: &'a str,
}

#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Page<T> {
    metadata: PageMetadata,
    // Go writes an empty list as `null` at times.
    items: Option<Vec<T>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PageMetadata {
    r#continue: String,
}

impl Cluster {
    /// All objects of a kind that fit, each read as far as `T` wants it.
    pub(crate) async fn all<T: DeserializeOwned>(
        &self,
        kind: &Kind,
        which: Which<'_>,
        accept: &'static str,
    ) -> Result<Vec<T>, ClusterError> {
        match self.pages(kind, which, accept).await {
            // The pages were read too slowly: the cluster has forgotten the state that the first one showed.
            Err(error) if error.problem == Problem::Expired => self.pages(kind, which, accept).await,
            other => other,
        }
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        kind: &Kind,
        which: Which<'_>,
        accept: &'static str,
    ) -> Result<Vec<T>, ClusterError> {
        let kind = self.served(kind).await?;
        let place = which.namespace.map_or_else(|| "all namespaces".to_owned(), str::to_owned);
        let place = if kind.namespaced { format!(" in {place}") } else { String::new() };
        let tried = format!("list {kind}{place}");
        let mut address = format!("{}?limit={PAGE}", kind.path(which.namespace));
        for (name, selector) in [("labelSelector", which.labels), ("fieldSelector", which.fields)] {
            if !selector.is_empty() {
                address = format!("{address}&{name}={}", encoded(selector));
            }
        }
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let path = if next.is_empty() {
                address.clone()
            } else {
                format!("{address}&continue={}", encoded(&next))
            };
            let page: Page<T> = self.read(Ask { accept, ..Ask::get(&tried, path) }).await?;
            all.extend(page.items.into_iter().flatten());
            next = page.metadata.r#continue;
            if next.is_empty() {
                return Ok(all);
            }
        }
    }
}
