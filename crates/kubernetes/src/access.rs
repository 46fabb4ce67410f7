//! Who may do what: asked of the API server, which asks whoever decides in this cluster (roles, webhooks).

use crate::cluster::{Ask, Cluster};
use crate::error::ClusterError;
use crate::kind::Kind;
use http::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish<'a> {
    /// `get`, `list`, `create`, `patch`, `delete`…
    pub verb: &'a str,
    /// To objects of this kind.
    pub kind: &'a Kind,
    /// To a part of them: `exec`, `eviction`, `log`; none means the whole.
    pub part: Option<&'a str>,
    /// In this namespace; none means all.
    pub namespace: Option<&'a str>,
    /// To the one of this name; none means all.
    pub name: Option<&'a str>,
}

/// Somebody, as an API server knows them after it has seen their credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub username: String,
    /// What tells them from a later one of the same name; may be empty.
    pub uid: String,
    /// The groups that they are in.
    pub groups: Vec<String>,
    /// What else those that decide may want to know of them.
    pub extra: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Review {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    allowed: bool,
}

impl Wish<'_> {
    fn attributes(&self) -> Json {
        let Wish { verb, kind, part, namespace, name } = self;
        json!({
            "verb": verb, "group": kind.group, "resource": kind.plural, "subresource": part.unwrap_or_default(),
            "namespace": namespace.unwrap_or_default(), "name": name.unwrap_or_default(),
        })
    }
}

impl Cluster {
    /// Whether one may do what one wishes.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn may(&self, wish: &Wish<'_>) -> Result<bool, ClusterError> {
        let tried = format!("ask whether one may {} {}", wish.verb, wish.kind);
        self.reviewed(tried, "SelfSubjectAccessReview", &json!({"resourceAttributes": wish.attributes()}))
            .await
    }

    /// Whether somebody else may do what they wish.
    ///
    /// # Errors
    /// `Forbidden` where one may not ask this: it takes `create` of `subjectaccessreviews.authorization.k8s.io`.
    pub async fn may_user(&self, user: &User, wish: &Wish<'_>) -> Result<bool, ClusterError> {
        let User { username, uid, groups, extra } = user;
        let tried = format!("ask whether {username} may {} {}", wish.verb, wish.kind);
        let spec = json!({
            "resourceAttributes": wish.attributes(),
            "user": username, "uid": uid, "groups": groups, "extra": extra,
        });
        self.reviewed(tried, "SubjectAccessReview", &spec).await
    }

    async fn reviewed(&self, tried: String, kind: &str, spec: &Json) -> Result<bool, ClusterError> {
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
        let path = format!("/apis/authorization.k8s.io/v1/{}s", kind.to_lowercase());
        let review: Review = self.read(Ask::send(Method::POST, tried, path, &body)).await?;
        Ok(review.status.allowed)
    }
}
