//! Fault Injection Service: templates, and experiments that are started from them.
//!
//! Source: <https://docs.aws.amazon.com/fis/latest/APIReference/Welcome.html>

use crate::client::{Ask, Aws};
use crate::ec2::odd;
use crate::endpoint::Service;
use crate::error::AwsError;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use squall_http::encoded;
use std::collections::BTreeMap;

const FIS: Service = Service { id: "fis", host: "fis", signing: "fis" };

/// A template of experiments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Its number: `EXT1a2b3c4d5e6f7`.
    pub id: String,
    /// Its whole name, with region and account.
    #[serde(default)]
    pub arn: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What it does, by name.
    #[serde(default)]
    pub actions: BTreeMap<String, Action>,
    /// What it strikes, by name.
    #[serde(default)]
    pub targets: BTreeMap<String, Target>,
    /// What would end it, such as an alarm.
    #[serde(default)]
    pub stop_conditions: Vec<StopCondition>,
}

/// One thing that a template does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// What: `aws:ec2:stop-instances`.
    #[serde(default)]
    pub action_id: String,
    /// How; `duration` is written as in ISO 8601.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// One kind of thing that a template strikes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// What: `aws:ec2:instance`.
    #[serde(default)]
    pub resource_type: String,
    /// How many: `ALL`, `COUNT(1)`, `PERCENT(50)`.
    #[serde(default)]
    pub selection_mode: String,
    /// Those that are named one by one.
    #[serde(default)]
    pub resource_arns: Vec<String>,
    /// The tags that they must have.
    #[serde(default)]
    pub resource_tags: BTreeMap<String, String>,
}

/// What would end an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StopCondition {
    /// `aws:cloudwatch:alarm` or `none`.
    #[serde(default)]
    pub source: String,
    /// The alarm.
    #[serde(default)]
    pub value: String,
}

/// An experiment that was started.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    /// Its number: `EXP1a2b3c4d5e6f7`.
    pub id: String,
    /// How it stands.
    #[serde(default)]
    pub state: Standing,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// How an experiment stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Standing {
    /// `pending`, `initiating`, `running`, `completed`, `stopping`, `stopped`, `failed`, `cancelled`.
    #[serde(default)]
    pub status: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl Experiment {
    /// Whether nothing of it is active any more.
    pub fn is_over(&self) -> bool {
        ["completed", "stopped", "failed", "cancelled"].contains(&self.state.status.as_str())
    }
}

impl Aws {
    /// A template by its number.
    ///
    /// # Errors
    /// `NotFound` where there is none; else see [`AwsError`].
    pub async fn template(&self, id: &str) -> Result<Template, AwsError> {
        let path = format!("/experimentTemplates/{}", encoded(id));
        self.fis("fis:GetExperimentTemplate", "GET", path, None, "experimentTemplate").await
    }

    /// Starts an experiment. `mark` makes another try the same one, and is its tag `key`.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn start_experiment(
        &self,
        template: &str,
        key: &str,
        mark: &str,
    ) -> Result<Experiment, AwsError> {
        let body = json!({"clientToken": mark, "experimentTemplateId": template, "tags": {key: mark}});
        self.fis("fis:StartExperiment", "POST", "/experiments".to_owned(), Some(&body), "experiment").await
    }

    /// The experiments of a template that carry a tag.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn experiments(
        &self,
        template: &str,
        key: &str,
        mark: &str,
    ) -> Result<Vec<Experiment>, AwsError> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let token =
                next.take().map(|token| format!("&nextToken={}", encoded(&token))).unwrap_or_default();
            let path =
                format!("/experiments?maxResults=100&experimentTemplateId={}{token}", encoded(template));
            let action = "fis:ListExperiments";
            let body = self.ask(Ask::json(FIS, action, "GET", path, None)).await?;
            let page: Page =
                serde_json::from_slice(&body).map_err(|error| odd(action, &error.to_string()))?;
            found.extend(
                page.experiments.into_iter().filter(|one| one.tags.get(key).is_some_and(|tag| tag == mark)),
            );
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// An experiment by its number.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn experiment(&self, id: &str) -> Result<Experiment, AwsError> {
        let path = format!("/experiments/{}", encoded(id));
        self.fis("fis:GetExperiment", "GET", path, None, "experiment").await
    }

    /// Ends an experiment: what AWS can put back of it, it does.
    ///
    /// # Errors
    /// See [`AwsError`].
    pub async fn stop_experiment(&self, id: &str) -> Result<Experiment, AwsError> {
        let path = format!("/experiments/{}", encoded(id));
        self.fis("fis:StopExperiment", "DELETE", path, None, "experiment").await
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn new_template(&self, body: &Json) -> Result<Template, AwsError> {
        let path = "/experimentTemplates".to_owned();
        self.fis("fis:CreateExperimentTemplate", "POST", path, Some(body), "experimentTemplate").await
    }

    async fn fis<T: for<'d> Deserialize<'d>>(
        &self,
        action: &'static str,
        method: &'static str,
        path: String,
        body: Option<&Json>,
        part: &str,
    ) -> Result<T, AwsError> {
        let answer = self.ask(Ask::json(FIS, action, method, path, body)).await?;
        let mut json: Json =
            serde_json::from_slice(&answer).map_err(|error| odd(action, &error.to_string()))?;
        serde_json::from_value(json[part].take()).map_err(|error| odd(action, &error.to_string()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    experiments: Vec<Experiment>,
    #[serde(default)]
    next_token: Option<String>,
}
