//! Objects of any kind: read, listed, made, changed, deleted.

use crate::cluster::{Ask, Cluster};
use crate::error::{ClusterError, Problem};
use crate::kind::{Kind, Reference};
use crate::list::Which;
use crate::wire;
use http::Method;
use serde::Serialize;
use serde_json::{Value as Json, json};
use squall_http::encoded;

/// A change of a part of an object (RFC 6902); all of a patch are made, or none.
///
/// Servers of 1.20 and older ones replace what is not there, as if it was to be added: test before.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Changes nothing, and nothing at all if there is something else.
    Test {
        /// Where (RFC 6901): `/spec/replicas`.
        path: String,
        /// What must be there.
        value: Json,
    },
    /// Puts something where nothing is or something else is; before what is there, in a list.
    Add {
        /// Where; the parent must be there.
        path: String,
        /// What.
        value: Json,
    },
    /// Puts something in place of what is there.
    Replace {
        /// Where.
        path: String,
        /// What.
        value: Json,
    },
    /// Takes away what is there.
    Remove {
        /// Where.
        path: String,
    },
}

impl Operation {
    /// Changes nothing, and nothing at all if the object is not the very version that is at hand any more.
    pub fn unchanged(object: &Json) -> Self {
        let value = object["metadata"]["resourceVersion"].clone();
        Self::Test { path: "/metadata/resourceVersion".to_owned(), value }
    }
}

/// A key of an object as a part of a path (RFC 6901).
pub fn pointer(keys: &[&str]) -> String {
    keys.iter().flat_map(|key| ["/".to_owned(), key.replace('~', "~0").replace('/', "~1")]).collect()
}

/// How an object is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Only the object that has this uid, and no other one of its name.
    pub uid: Option<String>,
    /// How long a pod has to end by itself, in seconds; 0 is at once. Otherwise as long as the pod says.
    pub grace: Option<u32>,
    /// What happens to those that belong to it; otherwise as its kind says.
    pub dependents: Option<Dependents>,
}

/// What happens to those that belong to an object that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependents {
    /// They stay, and belong to nobody.
    Orphaned,
    /// They go after it.
    After,
    /// They go before it.
    Before,
}

impl Deletion {
    fn body(&self) -> Json {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(uid) = &self.uid {
            body["preconditions"] = json!({"uid": uid});
        }
        if let Some(grace) = self.grace {
            body["gracePeriodSeconds"] = json!(grace);
        }
        if let Some(dependents) = self.dependents {
            body["propagationPolicy"] = json!(match dependents {
                Dependents::Orphaned => "Orphan",
                Dependents::After => "Background",
                Dependents::Before => "Foreground",
            });
        }
        body
    }
}

/// The name and the uid of an object, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// The namespace that it is in, if its kind is in namespaces.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Who applies what, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Application<'a> {
    /// By this name the cluster remembers which fields are ours: what is not applied any more goes.
    ///
    /// Clusters before 1.22 do not tell an object and its parts apart here: who applies both needs a name for each.
    pub manager: &'a str,
    /// Whether fields that others manage are taken from them; otherwise that is a conflict.
    pub force: bool,
    /// A part of the object: `status`, `scale`; none means the whole, and makes it where there is none.
    pub part: Option<&'a str>,
}

const PATCH: &str = "application/json-patch+json";
/// JSON is YAML.
const APPLY: &str = "application/apply-patch+yaml";

impl Cluster {
    /// An object, if there is one of this name.
    ///
    /// # Errors
    /// `Invalid` where the cluster has no such kind; otherwise see [`ClusterError`].
    pub async fn get(&self, reference: &Reference) -> Result<Option<Json>, ClusterError> {
        let reference = self.served_reference(reference).await?;
        let asked = self.read(Ask::get(format!("read {reference}"), reference.path())).await;
        match asked {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.problem == Problem::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The objects of a kind in a namespace, or in all, whose labels fit; no selector means all.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        labels: &str,
    ) -> Result<Vec<Json>, ClusterError> {
        let which = Which { namespace, labels, ..Which::default() };
        let mut objects: Vec<Json> = self.all(kind, which).await?;
        let kind = self.served(kind).await?;
        // In a list, objects do not say what they are.
        for object in &mut objects {
            object["apiVersion"] = json!(kind.api_version());
            object["kind"] = json!(kind.kind);
        }
        Ok(objects)
    }

    /// The names and uids of the objects of a kind in a namespace, or in all, whose labels fit; no selector means all.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn metadata(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        labels: &str,
    ) -> Result<Vec<Named>, ClusterError> {
        let which = Which { namespace, labels, ..Which::default() };
        let objects: Vec<wire::Object> = self.all(kind, which).await?;
        Ok(objects.into_iter().map(Named::from).collect())
    }

    /// Makes an object, and gives it as the cluster keeps it. Its kind and its namespace are written into it.
    ///
    /// # Errors
    /// `Conflict` where there is one of its name; otherwise see [`ClusterError`].
    pub async fn create(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        object: &Json,
    ) -> Result<Json, ClusterError> {
        let kind = self.served(kind).await?;
        let object = identified(&kind, namespace, object);
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().or_else(|| metadata["generateName"].as_str());
        let tried = format!("create {}", kind.named(namespace, name.unwrap_or_default()));
        self.read(Ask::send(Method::POST, tried, kind.path(namespace), &object)).await
    }

    /// Deletes an object. That it is gone when this returns is not said: a pod takes its time, and finalizers take theirs.
    ///
    /// # Errors
    /// `NotFound` where there is none of this name; `Conflict` where it is another one than the uid says.
    pub async fn delete(&self, reference: &Reference, how: &Deletion) -> Result<(), ClusterError> {
        let reference = self.served_reference(reference).await?;
        let tried = format!("delete {reference}");
        self.ask(Ask::send(Method::DELETE, tried, reference.path(), &how.body())).await.map(|_| ())
    }

    /// Changes an object, and gives it as it is then.
    ///
    /// # Errors
    /// `Conflict` where a test does not hold; `NotFound` where there is none of this name.
    pub async fn patch(&self, reference: &Reference, operations: &[Operation]) -> Result<Json, ClusterError> {
        let reference = self.served_reference(reference).await?;
        let tried = format!("change {reference}");
        let ask = Ask::send(Method::PATCH, tried, reference.path(), &json!(operations));
        self.read(Ask { content_type: PATCH, ..ask }).await
    }

    /// Has the cluster see to it that an object has these fields (server-side apply), and gives it as it is then. Its kind and
    /// its namespace are written into it; its name stands in it.
    ///
    /// # Errors
    /// `Conflict` where others manage a field and it is not to be taken from them; `NotFound` where there is none of this
    /// name and only a part is applied; otherwise see [`ClusterError`].
    pub async fn apply(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        object: &Json,
        how: Application<'_>,
    ) -> Result<Json, ClusterError> {
        let kind = self.served(kind).await?;
        let object = identified(&kind, namespace, object);
        let reference = kind.named(namespace, object["metadata"]["name"].as_str().unwrap_or_default());
        let Application { manager, force, part } = how;
        let part = part.map(|part| format!("/{part}")).unwrap_or_default();
        let path = format!("{}{part}?fieldManager={}&force={force}", reference.path(), encoded(manager));
        let ask = Ask::send(Method::PATCH, format!("apply {reference}{part}"), path, &object);
        self.read(Ask { content_type: APPLY, ..ask }).await
    }

    /// Has a pod deleted if no `PodDisruptionBudget` is against it; only the one that has this uid, if one is given.
    ///
    /// # Errors
    /// `Budget` where a budget is against it; `NotFound` where there is no such pod; `Conflict` where it is another one than
    /// the uid says.
    pub async fn evict(
        &self,
        namespace: &str,
        pod: &str,
        uid: Option<&str>,
        grace: Option<u32>,
    ) -> Result<(), ClusterError> {
        let version = self.version_of_evictions().await?;
        let how = Deletion { uid: uid.map(str::to_owned), grace, dependents: None };
        let reference = Kind::POD.named(Some(namespace), pod);
        let body = json!({
            "apiVersion": version,
            "kind": "Eviction",
            "metadata": {"namespace": namespace, "name": pod},
            "deleteOptions": how.body(),
        });
        let path = format!("{}/eviction", reference.path());
        self.ask(Ask::send(Method::POST, format!("evict {reference}"), path, &body)).await.map(|_| ())
    }

    async fn served_reference(&self, reference: &Reference) -> Result<Reference, ClusterError> {
        let kind = self.served(&reference.kind).await?;
        Ok(Reference { kind, ..reference.clone() })
    }
}

/// An object that says what it is and where.
fn identified(kind: &Kind, namespace: Option<&str>, object: &Json) -> Json {
    let mut object = object.clone();
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind);
    if let Some(namespace) = namespace.filter(|_| kind.namespaced) {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_written_as_the_standard_says() {
        let path = pointer(&["metadata", "annotations", "squall.dev/mark~1"]);
        assert_eq!(path, "/metadata/annotations/squall.dev~1mark~01");
        let operations = [
            Operation::Test { path: "/metadata/uid".to_owned(), value: json!("u") },
            Operation::Remove { path: "/x".to_owned() },
        ];
        let expected =
            json!([{"op": "test", "path": "/metadata/uid", "value": "u"}, {"op": "remove", "path": "/x"}]);
        assert_eq!(json!(operations), expected);
    }
}
