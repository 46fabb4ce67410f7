//! Prometheus' Alertmanager, by its API v2: trouble is an alert, and the next run that passes resolves it. Who is called
//! and how is Alertmanager's affair.
//!
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use crate::letter::Letter;
use crate::message::{Message, Severity};
use crate::outlet::{Notifier, Outlet};
use crate::surroundings::{Surroundings, post_json};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use squall_http::{Headers, Url};
use squall_model::settings::{Occasion, Secret};
use std::collections::BTreeMap;

/// How long an alert stays when nothing resolves it.
const STAYS: SignedDuration = SignedDuration::from_hours(1);
/// The same where something was left behind, which does not go away by itself.
const RESIDUE_STAYS: SignedDuration = SignedDuration::from_hours(24);

/// How to reach it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Where it is, without `/api`.
    url: Secret,
    /// Headers, such as `Authorization`.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// Labels of every alert, such as `team`.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

pub(crate) struct Alertmanager {
    url: Url,
    headers: Headers,
    labels: BTreeMap<String, String>,
}

impl Outlet for Alertmanager {
    const NAME: &'static str = "alertmanager";
    const SUMMARY: &'static str =
        "An alert in Prometheus' Alertmanager, which the next run that passes resolves";
    const EXAMPLE: &'static str = "alertmanager: {url: \"http://127.0.0.1:9093\", labels: {team: payment}}";
    const SILENT_ON: &'static [Occasion] = &[Occasion::Start];
    type Parameters = Parameters;

    fn new(parameters: Parameters, surroundings: &Surroundings) -> Result<Self, String> {
        let is_name = |name: &&String| {
            name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        if let Some(wrong) = parameters.labels.keys().find(|name| !is_name(name)) {
            return Err(format!("`{wrong}` cannot be the name of a label; letters, digits and `_` make one"));
        }
        Ok(Self {
            url: surroundings.url(&parameters.url, "/api/v2/alerts")?,
            headers: surroundings.headers(&parameters.headers)?,
            labels: parameters.labels,
        })
    }
}

/// The names of the alerts.
const NAMES: [(&str, Severity); 2] =
    [("SquallTrouble", Severity::Error), ("SquallResidue", Severity::Critical)];

impl Notifier for Alertmanager {
    fn destination(&self) -> String {
        format!("alertmanager ({})", self.url.host_and_port())
    }

    fn letters(&self, message: &Message) -> Vec<Letter> {
        let (names, ends): (Vec<_>, Timestamp) = match message.severity {
            Severity::Good => (NAMES.to_vec(), message.at),
            Severity::Critical => (vec![NAMES[1]], after(message.at, RESIDUE_STAYS)),
            Severity::Error => (vec![NAMES[0]], after(message.at, STAYS)),
            // A test is to be seen, news of what is meant to happen are no alert.
            Severity::Info if message.kind == "test" => {
                (vec![("SquallTest", Severity::Info)], after(message.at, SignedDuration::from_mins(1)))
            }
            Severity::Info => return Vec::new(),
        };
        let alerts: Vec<_> = names
            .iter()
            .map(|(name, severity)| {
                let mut labels = self.labels.clone();
                labels.extend([
                    ("alertname".to_owned(), (*name).to_owned()),
                    ("experiment".to_owned(), message.experiment.clone()),
                    ("instance".to_owned(), message.host.clone()),
                    ("severity".to_owned(), severity_label(*severity).to_owned()),
                ]);
                labels.retain(|_, value| !value.is_empty());
                // An alert begins before it ends.
                let starts = after(message.at.min(ends), SignedDuration::from_secs(-1));
                json!({
                    "labels": labels, "startsAt": starts.to_string(), "endsAt": ends.to_string(),
                    "annotations": {"summary": message.title, "description": message.body(), "run": message.run},
                })
            })
            .collect();
        vec![Letter::http(post_json(&self.url, &json!(alerts)).headers(self.headers.clone()))]
    }
}

fn severity_label(severity: Severity) -> &'static str {
    match severity {
        Severity::Good | Severity::Info => "info",
        Severity::Error => "warning",
        Severity::Critical => "critical",
    }
}

fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.saturating_add(span).unwrap_or(at)
}
