//! Lists, page by page.

use crate::cluster::{Ask, Cluster};
use crate::error::{ClusterError, Problem};
use crate::kind::Kind;
use crate::protobuf::{Malformed, Message};
use crate::wire::{self, FromMessage};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
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
    /// Whether they may be as the server remembers them.
    pub(crate) remembered: bool,
}

/// What lists are read as.
pub(crate) trait Item: Sized {
    /// The forms that it can be read from.
    const ACCEPT: &'static str = Ask::JSON;

    fn page(answer: &[u8]) -> Result<Page<Self>, Unreadable>;
}

/// Why an answer cannot be read.
pub(crate) enum Unreadable {
    Json(serde_json::Error),
    Message,
}

impl From<Malformed> for Unreadable {
    fn from(_: Malformed) -> Self {
        Self::Message
    }
}

impl Item for Json {
    fn page(answer: &[u8]) -> Result<Page<Self>, Unreadable> {
        from_json(answer)
    }
}

impl Item for wire::Node {
    fn page(answer: &[u8]) -> Result<Page<Self>, Unreadable> {
        from_json(answer)
    }
}

impl Item for wire::Pod {
    const ACCEPT: &'static str = "application/vnd.kubernetes.protobuf,application/json";

    fn page(answer: &[u8]) -> Result<Page<Self>, Unreadable> {
        from_either(answer)
    }
}

impl Item for wire::Object {
    const ACCEPT: &'static str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                                  application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

    fn page(answer: &[u8]) -> Result<Page<Self>, Unreadable> {
        from_either(answer)
    }
}

/// What one answer holds.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(crate) struct Page<T> {
    metadata: PageMetadata,
    // Go writes an empty list as `null` at times.
    items: Option<Vec<T>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageMetadata {
    r#continue: String,
    resource_version: String,
}

fn from_json<T: DeserializeOwned>(answer: &[u8]) -> Result<Page<T>, Unreadable> {
    serde_json::from_slice(answer).map_err(Unreadable::Json)
}

fn from_either<T: DeserializeOwned + FromMessage>(answer: &[u8]) -> Result<Page<T>, Unreadable> {
    let Some(message) = Message::within(answer) else { return from_json(answer) };
    let mut metadata = PageMetadata::default();
    let mut items = Vec::new();
    for field in message? {
        match field? {
            (1, about) => {
                let about = about.message()?;
                if let Some(version) = about.last(2)? {
                    metadata.resource_version = version.text()?;
                }
                if let Some(next) = about.last(3)? {
                    metadata.r#continue = next.text()?;
                }
            }
            (2, item) => items.push(T::read(item.message()?)?),
            _ => {}
        }
    }
    Ok(Page { metadata, items: Some(items) })
}

impl Cluster {
    /// All objects of a kind that fit.
    pub(crate) async fn all<T: Item>(&self, kind: &Kind, which: Which<'_>) -> Result<Vec<T>, ClusterError> {
        self.all_at(kind, which).await.map(|(objects, _)| objects)
    }

    /// All objects of a kind in a namespace, or in all, and the state of the cluster in which they are so.
    pub(crate) async fn state(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
    ) -> Result<(Vec<Json>, String), ClusterError> {
        self.all_at(kind, Which { namespace, ..Which::default() }).await
    }

    async fn all_at<T: Item>(&self, kind: &Kind, which: Which<'_>) -> Result<(Vec<T>, String), ClusterError> {
        let listing = self.listing(kind, which).await?;
        match listing.pages().await {
            // The pages were read too slowly: the cluster has forgotten the state that the first one showed.
            Err(error) if error.problem == Problem::Expired => listing.pages().await,
            other => other,
        }
    }

    async fn listing(&self, kind: &Kind, which: Which<'_>) -> Result<Listing<'_>, ClusterError> {
        let kind = self.served(kind).await?;
        let place = which.namespace.unwrap_or("all namespaces");
        let place = if kind.namespaced { format!(" in {place}") } else { String::new() };
        // Since 1.31, servers answer from memory, and still as it is now.
        let from_memory = which.remembered && self.version().await?.minor < 31;
        let source = if from_memory { "resourceVersion=0".to_owned() } else { format!("limit={PAGE}") };
        let mut address = format!("{}?{source}", kind.path(which.namespace));
        for (name, selector) in [("labelSelector", which.labels), ("fieldSelector", which.fields)] {
            if !selector.is_empty() {
                address = format!("{address}&{name}={}", encoded(selector));
            }
        }
        Ok(Listing { cluster: self, tried: format!("list {kind}{place}"), address })
    }
}

/// A list that is being read.
struct Listing<'c> {
    cluster: &'c Cluster,
    tried: String,
    address: String,
}

impl Listing<'_> {
    /// All of them, and the state of the cluster that they are of.
    async fn pages<T: Item>(&self) -> Result<(Vec<T>, String), ClusterError> {
        let mut all = Vec::new();
        let mut address = self.address.clone();
        loop {
            let page: Page<T> = self.page(&address).await?;
            all.extend(page.items.into_iter().flatten());
            let PageMetadata { r#continue: next, resource_version } = page.metadata;
            if next.is_empty() {
                return Ok((all, resource_version));
            }
            address = format!("{}&continue={}", self.address, encoded(&next));
        }
    }

    async fn page<T: Item>(&self, address: &str) -> Result<Page<T>, ClusterError> {
        let ask = Ask { accept: T::ACCEPT, ..Ask::get(&self.tried, address) };
        let answer = self.cluster.ask(ask).await?;
        T::page(&answer).map_err(|unreadable| match unreadable {
            Unreadable::Json(error) => self.cluster.unreadable(&self.tried, &error),
            Unreadable::Message => {
                let why = "the answer is none that is known (in protocol buffers)";
                self.cluster.error(Problem::Unknown, &self.tried, why)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Lab, in_a_room};
    use crate::{Named, Pod};
    use serde_json::json;
    use std::collections::BTreeMap;

    async fn listed<T: Item>(cluster: &Cluster, path: &str, accept: &'static str) -> Vec<T> {
        let answer = cluster.ask(Ask { accept, ..Ask::get("list", path) }).await.unwrap();
        let Ok(page) = T::page(&answer) else { panic!("{accept}: {answer:?}") };
        assert_eq!(accept == T::ACCEPT, answer.starts_with(b"k8s\0"), "{accept}");
        page.items.unwrap()
    }

    #[test]
    fn pods_are_the_same_in_both_forms() {
        in_a_room("forms", async |Lab { cluster, .. }, room| {
            let mut spec = room.pod_spec("sleep 1000");
            spec["volumes"] =
                json!([{"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {"name": "none"}}]);
            spec["volumes"][1]["configMap"]["optional"] = json!(true);
            spec["initContainers"] = json!([room.container("first", "true")]);
            spec["hostNetwork"] = json!(true);
            room.pod("one", &json!({"a": "b", "c": ""}), &spec).await?;
            room.deployment("two", 1, "sleep 1000").await?;
            spec["schedulerName"] = json!("nobody");
            spec["terminationGracePeriodSeconds"] = json!(2);
            let three = json!({"metadata": {"name": "three", "annotations": {"x": "y"}}, "spec": spec});
            cluster.create(&Kind::POD, Some(&room.name), &three).await?;
            // Pods change all the time: those are compared that did not.
            let path = format!("/api/v1/namespaces/{}/pods", room.name);
            let one = listed::<wire::Pod>(cluster, &path, wire::Pod::ACCEPT).await;
            let one = one.into_iter().map(Pod::from).map(|pod| (pod.resource_version.clone(), pod));
            let one: BTreeMap<String, Pod> = one.collect();
            let same = listed::<wire::Pod>(cluster, &path, Ask::JSON).await.into_iter().map(Pod::from);
            let same = same.filter(|pod| {
                one.get(&pod.resource_version).is_some_and(|other| {
                    assert_eq!(pod, other);
                    true
                })
            });
            assert!(same.count() >= 2 && one.len() == 3);
            assert!(one.values().any(|pod| pod.name == "three" && pod.grace == 2), "{one:?}");

            let names =
                |objects: Vec<wire::Object>| -> Vec<Named> { objects.into_iter().map(Named::from).collect() };
            let one = names(listed(cluster, &path, wire::Object::ACCEPT).await);
            assert_eq!(one, names(listed(cluster, &path, Ask::JSON).await));
            assert_eq!(one.len(), 3);
            Ok(())
        });
    }
}
