//! Slack, by an incoming webhook; also what speaks like it, such as Mattermost.
//!
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>

use crate::letter::Letter;
use crate::message::{Message, Severity};
use crate::outlet::{Notifier, Outlet};
use crate::surroundings::{Surroundings, post_json};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use squall_http::Url;
use squall_model::settings::Secret;

/// How to reach a channel.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// The webhook's URL, which is a secret.
    url: Secret,
}

pub(crate) struct Slack {
    url: Url,
}

impl Outlet for Slack {
    const NAME: &'static str = "slack";
    const SUMMARY: &'static str = "A message in a channel of Slack or Mattermost, by an incoming webhook";
    const EXAMPLE: &'static str = "slack: {url: {env: SLACK_URL}}";
    type Parameters = Parameters;

    fn new(parameters: Parameters, surroundings: &Surroundings) -> Result<Self, String> {
        Ok(Self { url: surroundings.url(&parameters.url, "")? })
    }
}

impl Notifier for Slack {
    fn destination(&self) -> String {
        format!("slack ({})", self.url.host_and_port())
    }

    fn letters(&self, message: &Message) -> Vec<Letter> {
        let colour = match message.severity {
            Severity::Good => "#2e7d32",
            Severity::Info => "#1565c0",
            Severity::Error => "#e65100",
            Severity::Critical => "#b71c1c",
        };
        let fields: Vec<_> = message
            .details
            .iter()
            .map(|(name, text)| json!({"title": name, "value": escaped(text), "short": false}))
            .collect();
        let title = escaped(&message.title);
        let attachment = json!({"color": colour, "fallback": title, "fields": fields});
        vec![Letter::http(post_json(&self.url, &json!({"text": title, "attachments": [attachment]})))]
    }
}

/// The three characters that mean something in Slack's texts.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
