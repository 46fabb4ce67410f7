//! `PagerDuty`, by its Events API v2: trouble opens an alert, the next run that passes resolves it, and what is only good to
//! know is a change event, which calls nobody.
//!
//! <https://developer.pagerduty.com/docs/events-api-v2-overview>

use crate::letter::Letter;
use crate::message::{Message, Severity};
use crate::outlet::{Notifier, Outlet};
use crate::surroundings::{Surroundings, post_json};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use squall_http::Url;
use squall_model::settings::Secret;

const SERVERS: &str = "https://events.pagerduty.com";

/// How to reach a service's people.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The integration key of the service.
    routing_key: Secret,
    /// Another server, such as `https://events.eu.pagerduty.com`.
    url: Option<Secret>,
}

pub(crate) struct PagerDuty {
    routing_key: String,
    events: Url,
    changes: Url,
}

impl Outlet for PagerDuty {
    const NAME: &'static str = "pagerduty";
    const SUMMARY: &'static str = "An alert in PagerDuty, which the next run that passes resolves";
    const EXAMPLE: &'static str = "pagerduty: {routing_key: {env: PAGERDUTY_KEY}}";
    type Parameters = Parameters;

    fn new(parameters: Parameters, surroundings: &Surroundings) -> Result<Self, String> {
        let server = parameters.url.unwrap_or(Secret::Plain(SERVERS.to_owned()));
        Ok(Self {
            routing_key: surroundings.text(&parameters.routing_key)?,
            events: surroundings.url(&server, "/v2/enqueue")?,
            changes: surroundings.url(&server, "/v2/change/enqueue")?,
        })
    }
}

impl PagerDuty {
    fn event(&self, action: &str, message: &Message, payload: Option<Value>) -> Letter {
        let mut event = json!({
            "routing_key": self.routing_key, "event_action": action, "dedup_key": message.key(), "client": "Squall",
        });
        if let Some(payload) = payload {
            event["payload"] = payload;
        }
        Letter::http(post_json(&self.events, &event))
    }

    fn change(&self, message: &Message) -> Letter {
        let payload = json!({
            "summary": summary(message), "timestamp": message.at.to_string(), "source": message.host,
            "custom_details": details(message),
        });
        Letter::http(post_json(&self.changes, &json!({"routing_key": self.routing_key, "payload": payload})))
    }
}

impl Notifier for PagerDuty {
    fn destination(&self) -> String {
        format!("pagerduty ({})", self.events.host_and_port())
    }

    fn letters(&self, message: &Message) -> Vec<Letter> {
        let severity = match message.severity {
            Severity::Info => return vec![self.change(message)],
            Severity::Good => return vec![self.event("resolve", message, None)],
            Severity::Error => "error",
            Severity::Critical => "critical",
        };
        let payload = json!({
            "summary": summary(message), "source": message.host, "severity": severity,
            "timestamp": message.at.to_string(), "component": message.experiment, "class": message.kind,
            "custom_details": details(message),
        });
        vec![self.event("trigger", message, Some(payload))]
    }
}

/// At most 1024 characters are taken.
fn summary(message: &Message) -> String {
    message.title.chars().take(1024).collect()
}

/// The details by name; several of a name are numbered.
pub(super) fn details(message: &Message) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, text) in &message.details {
        let nth = message.details.iter().filter(|(other, _)| other == name).count();
        let mut key = (*name).to_owned();
        let mut number = 1;
        while map.contains_key(&key) && nth > 1 {
            number += 1;
            key = format!("{name} {number}");
        }
        map.insert(key, Value::from(text.as_str()));
    }
    map
}
